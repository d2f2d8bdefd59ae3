/*
 * request_log, private to route: one JSON line per request, written by a thread of its own so that
 * a slow disk delays nobody. `estran simulate` replays it as a trace (format requests).
 *
 * Lines wait in memory up to a bound; beyond it they are dropped and counted, as are those that a
 * full disk refuses. The file holds whole lines whatever happens.
 */
#ifndef ES_ROUTE_REQUEST_LOG_H
#define ES_ROUTE_REQUEST_LOG_H

#include "base/status.h"

#include <stdint.h>

typedef struct es_request_log es_request_log;

typedef struct es_request_line {
    const char *class_name;      /* of the trace: what the client called it, else the model */
    const char *model, *version; /* NULL: not known */
    const char *node;            /* where the answer left, of gateways; NULL: not told */
    const char *id;              /* NULL: none */
    const char *outcome;         /* "ok", "rejected", ... */
    const char *traceparent;     /* NULL: none */
    int64_t age_ns;              /* how long ago it had come */
    int64_t total_ns, queue_ns, compute_ns;
    uint32_t rows;
    double energy_j; /* NAN: none */
    const char *energy_source;
} es_request_line;

/* Appends to path; "-" is not taken. ES_ERR_IO when it cannot be opened. */
es_status es_request_log_open(const char *path, es_request_log **out_log,
                              es_error *err) ES_MUST_CHECK;
void es_request_log_add(es_request_log *log, const es_request_line *line); /* any thread */
/* Lines that were not written: no room, or the disk refused. */
uint64_t es_request_log_dropped(es_request_log *log);
/* Writes what waits. NULL is fine. */
void es_request_log_close(es_request_log *log);

#endif
