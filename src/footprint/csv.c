/* Lines of cells. */
#include "footprint/internal.h"

#include <math.h>
#include <strings.h>

es_csv es_csv_make(const char *name, const char *bytes, size_t size)
{
    static const char mark[] = "\xef\xbb\xbf"; /* byte order mark */
    if (size >= 3 && memcmp(bytes, mark, 3) == 0) {
        bytes += 3;
        size -= 3;
    }
    return (es_csv){.name = name, .at = bytes, .end = bytes + size};
}

es_status es_csv_fail(const es_csv *csv, es_error *err, const char *format, ...)
{
    char text[ES_ERROR_SIZE];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return es_fail(err, ES_ERR_PARSE, "%s:%u: %s", csv->name, csv->line, text);
}

/* One cell from *at; *at then stands at its comma or at the end of the line. */
static es_status cell(es_arena *arena, es_csv *csv, const char **at, const char *end, es_error *err)
{
    char *copy = es_arena_take(arena, (size_t)(end - *at) + 1, 1);
    if (copy == NULL)
        return es_arena_full(arena, csv->name, err);
    size_t size = 0;
    bool quoted = *at < end && **at == '"';
    if (quoted)
        (*at)++;
    while (*at < end) {
        if (quoted && **at == '"') {
            if (*at + 1 < end && (*at)[1] == '"') {
                (*at)++;
            } else {
                quoted = false;
                (*at)++;
                continue;
            }
        } else if (!quoted && **at == ',') {
            break;
        }
        copy[size++] = *(*at)++;
    }
    if (quoted)
        return es_csv_fail(csv, err, "a quote is open at the end of the line");
    if (csv->count >= ES_CSV_COLUMNS_MAX)
        return es_csv_fail(csv, err, "more than %d columns", ES_CSV_COLUMNS_MAX);
    csv->cells[csv->count++] = copy;
    return ES_OK;
}

es_status es_csv_next(es_arena *arena, es_csv *csv, bool *out_more, es_error *err)
{
    const char *at = csv->at;
    const char *end = at;
    do {
        if (csv->at >= csv->end) {
            *out_more = false;
            return ES_OK;
        }
        at = csv->at;
        const char *stop = memchr(at, '\n', (size_t)(csv->end - at));
        csv->at = stop != NULL ? stop + 1 : csv->end;
        end = stop != NULL ? stop : csv->end;
        if (end > at && end[-1] == '\r')
            end--;
        csv->line++;
    } while (at == end);
    if (memchr(at, '\0', (size_t)(end - at)) != NULL)
        return es_csv_fail(csv, err, "a NUL byte, expected text");
    csv->count = 0;
    for (;;) {
        ES_TRY(cell(arena, csv, &at, end, err));
        if (at >= end)
            break;
        at++; /* the comma */
    }
    *out_more = true;
    return ES_OK;
}

size_t es_csv_column(const es_csv *csv, const char *const *words, size_t count)
{
    for (size_t w = 0; w < count; w++)
        for (size_t i = 0; i < csv->count; i++)
            if (strcasecmp(csv->cells[i], words[w]) == 0)
                return i;
    return SIZE_MAX;
}

es_status es_csv_number(const es_csv *csv, size_t column, const char *what, double *out,
                        es_error *err)
{
    *out = (double)NAN;
    if (column >= csv->count || csv->cells[column][0] == '\0')
        return ES_OK;
    if (!es_text_to_double(csv->cells[column], out))
        return es_csv_fail(csv, err, "%s: '%.60s' is not a number", what, csv->cells[column]);
    return ES_OK;
}
