/*
 * footprint/internal: what the files of footprint share.
 */
#ifndef ES_FOOTPRINT_INTERNAL_H
#define ES_FOOTPRINT_INTERNAL_H

#include "footprint/footprint.h"

enum { ES_FOOTPRINT_FILE_MAX = 64 << 20, ES_CSV_COLUMNS_MAX = 64 };

/* tables.c, written by CMake from data/factors */
typedef struct es_factor_table {
    const char *name;
    const unsigned char *bytes;
    size_t size;
} es_factor_table;
extern const size_t es_factor_table_count;
extern const es_factor_table es_factor_tables[];

/* ---- csv.c: lines of cells; quotes may hold commas ---- */

typedef struct es_csv {
    const char *name;
    const char *at, *end;
    uint32_t line;
    size_t count;
    const char *cells[ES_CSV_COLUMNS_MAX];
} es_csv;

/* bytes[size] must outlive it. */
es_csv es_csv_make(const char *name, const char *bytes, size_t size);

/* The next line that is not blank; *out_more is false at the end. Cells live in the arena. */
es_status es_csv_next(es_arena *arena, es_csv *csv, bool *out_more, es_error *err) ES_MUST_CHECK;

/* `file:line: ` and the text. */
es_status es_csv_fail(const es_csv *csv, es_error *err, const char *format, ...) ES_PRINTF(3, 4);

/* Column of the line read last whose name is one of words (in any case); SIZE_MAX: none. */
size_t es_csv_column(const es_csv *csv, const char *const *words, size_t count);

/* A cell as a number; an empty or missing one is NAN. */
es_status es_csv_number(const es_csv *csv, size_t column, const char *what, double *out,
                        es_error *err) ES_MUST_CHECK;

#endif
