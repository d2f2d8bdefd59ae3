/*
 * schedule, private: what its documents share.
 */
#ifndef ES_SCHEDULE_DOCUMENTS_H
#define ES_SCHEDULE_DOCUMENTS_H

#include "base/array.h"
#include "schedule/schedule.h"

#define ES_HULL_NONE UINT32_MAX
#define ES_TASKS_MAX 10000000
#define ES_TIME_MAX_S 1e12

/* Bytes of one document. */
#define ES_SCHEDULE_FILE_MAX ((size_t)2 << 30)

/* Checks points and copies them; name is kept. A curve that is not concave is an error, or with
 * hull its hull, and note says so. Errors name the curve, not the place. */
es_status es_curve_make(es_arena *arena, const char *name, uint32_t count, const double *work,
                        const double *quality, bool hull, es_curve *out, es_text *note,
                        es_error *err) ES_MUST_CHECK;

/* read_csv.c */
es_status es_tasks_parse_csv(es_arena *arena, const char *name, const char *bytes, size_t size,
                             bool hull, es_tasks *out, es_text *note, es_error *err) ES_MUST_CHECK;

#endif
