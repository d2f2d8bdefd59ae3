/* Series from CSV: grid carbon, traffic matrices. */
#include "base/array.h"
#include "base/clock.h"
#include "base/file.h"
#include "demand/internal.h"

#include <string.h>

#define VALUE_MAX 1e15

/* The number of the column, from 0. */
static es_status find_column(const es_table *table, es_cell header, const char *column,
                             size_t *out_index, es_error *err)
{
    es_cell cell;
    size_t index = 0;
    size_t found = 0;
    size_t matches = 0;
    if (column == NULL) {
        *out_index = 1;
        return ES_OK;
    }
    size_t size = strlen(column);
    for (; es_table_cell(&header, &cell); index++) {
        if (index > 0 && es_cell_is(cell, column)) {
            *out_index = index;
            return ES_OK;
        }
        if (index > 0 && cell.size >= size && memcmp(cell.bytes, column, size) == 0) {
            found = index;
            matches++;
        }
    }
    *out_index = found;
    if (matches == 1)
        return ES_OK;
    return es_table_fail(table, err, "%s column '%.80s' among %zu",
                         matches == 0 ? "there is no" : "more than one is meant by", column, index);
}

typedef struct series_rows {
    ES_ARRAY(int64_t) start_ns;
    ES_ARRAY(double) value;
} series_rows;

static es_status read_row(es_arena *arena, const es_table *table, es_cell line, size_t column,
                          series_rows *rows, es_error *err)
{
    es_cell cell;
    int64_t when_ns = 0;
    double value = rows->value.count > 0 ? rows->value.items[rows->value.count - 1] : -1;
    for (size_t i = 0; i <= column; i++) {
        if (!es_table_cell(&line, &cell))
            return es_table_fail(table, err, "the row has %zu cells but column %zu is wanted", i,
                                 column + 1);
        if (i == 0 && !es_cell_time(cell, &when_ns))
            return es_table_fail(table, err, "'%.*s' is no time",
                                 (int)(cell.size < 40 ? cell.size : 40), cell.bytes);
    }
    if (cell.size > 0 && !es_cell_number(cell, &value))
        return es_table_fail(table, err, "'%.*s' is no number",
                             (int)(cell.size < 40 ? cell.size : 40), cell.bytes);
    if (cell.size == 0 && value < 0)
        return es_table_fail(table, err, "the first value is missing");
    if (value < 0 || value > VALUE_MAX)
        return es_table_fail(table, err, "%g must be in [0, %g]", value, VALUE_MAX);
    if (rows->start_ns.count > 0) {
        int64_t before_ns = rows->start_ns.items[rows->start_ns.count - 1];
        if (when_ns <= before_ns)
            return es_table_fail(table, err, "times must rise: %.9g s comes after %.9g s",
                                 es_s_from_ns(when_ns), es_s_from_ns(before_ns));
    }
    ES_TRY(ES_ARRAY_PUSH(arena, &rows->start_ns, when_ns, "series", err));
    return ES_ARRAY_PUSH(arena, &rows->value, value, "series", err);
}

/* Drops what ends before from_s and makes that time 0. */
static void shift(series_rows *rows, double from_s)
{
    int64_t zero_ns = rows->start_ns.items[0] + es_ns_from_s(from_s);
    size_t first = 0;
    while (first + 1 < rows->start_ns.count && rows->start_ns.items[first + 1] <= zero_ns)
        first++;
    for (size_t i = first; i < rows->start_ns.count; i++) {
        rows->start_ns.items[i - first] = i == first ? 0 : rows->start_ns.items[i] - zero_ns;
        rows->value.items[i - first] = rows->value.items[i];
    }
    rows->start_ns.count -= first;
}

es_status es_series_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                          const char *column, double from_s, const es_series **out_series,
                          es_error *err)
{
    es_table table = {.name = name, .at = bytes, .end = bytes + size};
    es_cell line;
    size_t index = 0;
    series_rows rows = {0};
    if (!es_table_line(&table, &line))
        return es_fail(err, ES_ERR_PARSE, "%s:1: the file is empty", name);
    ES_TRY(find_column(&table, line, column, &index, err));
    while (es_table_line(&table, &line))
        ES_TRY(read_row(arena, &table, line, index, &rows, err));
    if (rows.start_ns.count == 0)
        return es_table_fail(&table, err, "the file has no rows");
    shift(&rows, from_s);
    es_series *series = ES_TAKE_ONE(arena, es_series);
    if (series == NULL)
        return es_arena_full(arena, "series", err);
    *series = (es_series){
        .count = rows.start_ns.count, .start_ns = rows.start_ns.items, .value = rows.value.items};
    *out_series = series;
    return ES_OK;
}

es_status es_series_load(es_arena *arena, const char *path, const char *column, double from_s,
                         const es_series **out_series, es_error *err)
{
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(ES_TABLE_BYTES_MAX);
    char *bytes = NULL;
    size_t size = 0;
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "%s: no memory for an arena", path);
    ES_TRY(es_file_read_gz(scratch, path, ES_TABLE_BYTES_MAX / 2, &bytes, &size, err));
    return es_series_parse(arena, path, bytes, size, column, from_s, out_series, err);
}
