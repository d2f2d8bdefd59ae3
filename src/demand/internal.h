/*
 * demand/internal: lines and cells of table files.
 */
#ifndef ES_DEMAND_INTERNAL_H
#define ES_DEMAND_INTERNAL_H

#include "demand/demand.h"

#define ES_TABLE_BYTES_MAX ((size_t)1 << 30)

typedef struct es_cell {
    const char *bytes;
    size_t size;
} es_cell;

/* A cursor over a text of lines. */
typedef struct es_table {
    const char *name;
    const char *at, *end;
    uint32_t line; /* of the one last read, from 1 */
} es_table;

/* The next line without its end; false at the end of the text. Empty lines are skipped. */
bool es_table_line(es_table *table, es_cell *out_line);

/* Cuts the first cell (commas; quotes are taken off) from *rest; false when none is left. */
bool es_table_cell(es_cell *rest, es_cell *out_cell);

bool es_cell_is(es_cell cell, const char *words);

/* A finite decimal number that fills the cell. */
bool es_cell_number(es_cell cell, double *out);

/* Nanoseconds: of a number of seconds, or of a date since 1970. */
bool es_cell_time(es_cell cell, int64_t *out_ns);

/* ES_ERR_PARSE with name:line. */
es_status es_table_fail(const es_table *table, es_error *err, const char *format, ...)
    ES_PRINTF(3, 4);

#endif
