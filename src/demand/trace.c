/* Traces of requests: our own CSV, and those that others published. */
#include "base/array.h"
#include "base/clock.h"
#include "base/document.h"
#include "base/file.h"
#include "demand/internal.h"

#include <stdlib.h>
#include <string.h>

const char *const es_trace_format_names[ES_TRACE_FORMAT_COUNT] = {
    "csv", "azure-llm", "mooncake", "alibaba-genai", "azure-functions", "requests"};

/* First cells of the header. */
static const char *const headers[ES_TRACE_FORMAT_COUNT] = {
    "timestamp_s,class", "TIMESTAMP,ContextTokens,GeneratedTokens", NULL,
    "gmt_create,",       "app,func,end_timestamp,duration",         NULL};

typedef struct trace_row {
    int64_t when_ns;
    uint32_t line;
    const char *class_name;
} trace_row;

typedef struct reader {
    es_arena *arena;
    es_table table;
    es_trace_format format;
    ES_ARRAY(trace_row) rows;
} reader;

static es_status copy_name(reader *r, es_cell cell, const char **out, es_error *err)
{
    if (r->rows.count > 0) { /* neighbours are often alike */
        const char *before = r->rows.items[r->rows.count - 1].class_name;
        if (before != NULL && es_cell_is(cell, before)) {
            *out = before;
            return ES_OK;
        }
    }
    *out = es_arena_text_n(r->arena, cell.bytes, cell.size);
    return *out != NULL ? ES_OK : es_arena_full(r->arena, "trace", err);
}

static es_status read_csv(reader *r, es_cell line, trace_row *row, es_error *err)
{
    es_cell cell;
    double seconds = 0;
    if (!es_table_cell(&line, &cell) || !es_cell_number(cell, &seconds))
        return es_table_fail(&r->table, err, "timestamp_s '%.*s' is no number",
                             (int)(cell.size < 40 ? cell.size : 40), cell.bytes);
    if (seconds < 0 || seconds > 9e9)
        return es_table_fail(&r->table, err, "timestamp_s=%g must be in [0, 9e9]", seconds);
    row->when_ns = es_ns_from_s(seconds);
    if (!es_table_cell(&line, &cell) || cell.size == 0)
        return es_table_fail(&r->table, err, "the class is missing");
    return copy_name(r, cell, &row->class_name, err);
}

/* One JSON map per line, with a time; class_key NULL: no class. */
static es_status read_json_line(reader *r, es_cell line, const char *time_key, double time_max,
                                const char *class_key, double *out_time, const char **out_class,
                                es_error *err)
{
    es_error lower = {0};
    const es_doc *map = NULL;
    const char *name = NULL;
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new((size_t)64 << 20);
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "%s: no memory for an arena", r->table.name);
    es_status status = es_doc_parse_json(scratch, "", line.bytes, line.size, &map, &lower);
    if (status == ES_OK)
        status = es_doc_expect_map(map, &lower);
    if (status == ES_OK)
        status = es_doc_need_number(map, time_key, 0, time_max, out_time, &lower);
    if (status == ES_OK && class_key != NULL)
        status = es_doc_need_text(map, class_key, &name, &lower);
    if (status != ES_OK)
        return es_table_fail(&r->table, err, "%.300s", es_error_text(&lower));
    return name == NULL
               ? ES_OK
               : copy_name(r, (es_cell){.bytes = name, .size = strlen(name)}, out_class, err);
}

/* {"timestamp": 27482, ...} in milliseconds. */
static es_status read_mooncake(reader *r, es_cell line, trace_row *row, es_error *err)
{
    double ms = 0;
    ES_TRY(read_json_line(r, line, "timestamp", 9e12, NULL, &ms, NULL, err));
    row->when_ns = es_ns_from_s(ms / 1e3);
    return ES_OK;
}

/* {"time_s": 1764322999.25, "class": "detect", ...}: as requests ended, not as they came. */
static es_status read_request(reader *r, es_cell line, trace_row *row, es_error *err)
{
    double seconds = 0;
    ES_TRY(read_json_line(r, line, "time_s", 9e9, "class", &seconds, &row->class_name, err));
    row->when_ns = es_ns_from_s(seconds);
    return ES_OK;
}

static es_status read_dated(reader *r, es_cell line, trace_row *row, es_error *err)
{
    es_cell cell;
    if (!es_table_cell(&line, &cell) || !es_cell_time(cell, &row->when_ns))
        return es_table_fail(&r->table, err, "'%.*s' is no time",
                             (int)(cell.size < 40 ? cell.size : 40), cell.bytes);
    return ES_OK;
}

static es_status read_functions(reader *r, es_cell line, trace_row *row, es_error *err)
{
    es_cell cells[4];
    double end_s = 0;
    double duration_s = 0;
    for (size_t i = 0; i < 4; i++) {
        if (!es_table_cell(&line, &cells[i]))
            return es_table_fail(&r->table, err, "the row has %zu cells, not 4", i);
    }
    if (!es_cell_number(cells[2], &end_s) || !es_cell_number(cells[3], &duration_s) || end_s < 0 ||
        end_s > 9e9 || duration_s < 0 || duration_s > 9e9)
        return es_table_fail(&r->table, err, "end_timestamp and duration must be seconds >= 0");
    row->when_ns = es_ns_from_s(end_s > duration_s ? end_s - duration_s : 0);
    return ES_OK;
}

static int by_time(const void *a, const void *b)
{
    const trace_row *x = a;
    const trace_row *y = b;
    if (x->when_ns != y->when_ns)
        return x->when_ns < y->when_ns ? -1 : 1;
    return (x->line > y->line) - (x->line < y->line);
}

static es_status check_order(const reader *r, const trace_row *row, es_error *err)
{
    if (r->rows.count == 0)
        return ES_OK;
    int64_t before_ns = r->rows.items[r->rows.count - 1].when_ns;
    if (row->when_ns >= before_ns)
        return ES_OK;
    return es_table_fail(&r->table, err, "out of order: %.9f s comes after %.9f s",
                         es_s_from_ns(row->when_ns), es_s_from_ns(before_ns));
}

static es_status read_rows(reader *r, es_error *err)
{
    static es_status (*const reads[ES_TRACE_FORMAT_COUNT])(reader *, es_cell, trace_row *,
                                                           es_error *) = {
        read_csv, read_dated, read_mooncake, read_dated, read_functions, read_request};
    /* These were written by end or without order. */
    bool sorts = r->format == ES_TRACE_AZURE_FUNCTIONS || r->format == ES_TRACE_ALIBABA_GENAI ||
                 r->format == ES_TRACE_REQUESTS;
    es_cell line;
    while (es_table_line(&r->table, &line)) {
        trace_row row = {.line = r->table.line};
        ES_TRY(reads[r->format](r, line, &row, err));
        if (!sorts)
            ES_TRY(check_order(r, &row, err));
        ES_TRY(ES_ARRAY_PUSH(r->arena, &r->rows, row, "trace", err));
    }
    if (sorts && r->rows.count > 0)
        qsort(r->rows.items, r->rows.count, sizeof *r->rows.items, by_time);
    return ES_OK;
}

static es_status expect_header(reader *r, es_error *err)
{
    const char *header = headers[r->format];
    es_cell line;
    if (header == NULL)
        return ES_OK;
    if (!es_table_line(&r->table, &line))
        return es_fail(err, ES_ERR_PARSE, "%s:1: the file is empty", r->table.name);
    if (line.size < strlen(header) || memcmp(line.bytes, header, strlen(header)) != 0)
        return es_table_fail(&r->table, err, "the header must start with '%s' (format %s)", header,
                             es_trace_format_names[r->format]);
    return ES_OK;
}

static es_status finish(const reader *r, const es_trace **out_trace, es_error *err)
{
    size_t count = r->rows.count;
    void *times = NULL;
    void *lines = NULL;
    void *classes = NULL;
    es_trace *trace = ES_TAKE_ONE(r->arena, es_trace);
    if (trace == NULL)
        return es_arena_full(r->arena, "trace", err);
    ES_TRY(es_arena_take_or_fail(r->arena, count, sizeof(int64_t), "trace", &times, err));
    ES_TRY(es_arena_take_or_fail(r->arena, count, sizeof(uint32_t), "trace", &lines, err));
    ES_TRY(es_arena_take_or_fail(r->arena, count, sizeof(char *), "trace", &classes, err));
    int64_t *times_ns = times;
    uint32_t *line_numbers = lines;
    const char **names = classes;
    bool dated = r->format == ES_TRACE_AZURE_LLM || r->format == ES_TRACE_ALIBABA_GENAI ||
                 r->format == ES_TRACE_REQUESTS;
    bool named = r->format == ES_TRACE_CSV || r->format == ES_TRACE_REQUESTS;
    for (size_t i = 0; i < count; i++) {
        times_ns[i] = r->rows.items[i].when_ns - (dated ? r->rows.items[0].when_ns : 0);
        line_numbers[i] = r->rows.items[i].line;
        names[i] = r->rows.items[i].class_name;
    }
    *trace = (es_trace){.name = es_arena_text(r->arena, r->table.name),
                        .count = count,
                        .times_ns = times_ns,
                        .lines = line_numbers,
                        .classes = named ? names : NULL};
    if (trace->name == NULL)
        return es_arena_full(r->arena, "trace", err);
    *out_trace = trace;
    return ES_OK;
}

es_status es_trace_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                         es_trace_format format, const es_trace **out_trace, es_error *err)
{
    reader r = {.arena = arena,
                .table = {.name = name, .at = bytes, .end = bytes + size},
                .format = format};
    ES_TRY(expect_header(&r, err));
    ES_TRY(read_rows(&r, err));
    return finish(&r, out_trace, err);
}

es_status es_trace_load(es_arena *arena, const char *path, es_trace_format format,
                        const es_trace **out_trace, es_error *err)
{
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(ES_TABLE_BYTES_MAX);
    char *bytes = NULL;
    size_t size = 0;
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "%s: no memory for an arena", path);
    ES_TRY(es_file_read_gz(scratch, path, ES_TABLE_BYTES_MAX / 2, &bytes, &size, err));
    return es_trace_parse(arena, path, bytes, size, format, out_trace, err);
}
