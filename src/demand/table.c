#include "base/clock.h"
#include "demand/internal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIME_S_MAX 9e9 /* above it nanoseconds do not fit */

bool es_table_line(es_table *table, es_cell *out_line)
{
    while (table->at < table->end) {
        const char *start = table->at;
        const char *stop = memchr(start, '\n', (size_t)(table->end - start));
        if (stop == NULL)
            stop = table->end;
        table->at = stop < table->end ? stop + 1 : table->end;
        table->line++;
        if (stop > start && stop[-1] == '\r')
            stop--;
        if (table->line == 1 && stop - start >= 3 && memcmp(start, "\xef\xbb\xbf", 3) == 0)
            start += 3; /* byte order mark */
        if (stop > start) {
            *out_line = (es_cell){.bytes = start, .size = (size_t)(stop - start)};
            return true;
        }
    }
    return false;
}

bool es_table_cell(es_cell *rest, es_cell *out_cell)
{
    if (rest->bytes == NULL)
        return false;
    bool quoted = rest->size > 0 && rest->bytes[0] == '"';
    size_t start = quoted ? 1 : 0;
    size_t stop = start;
    while (stop < rest->size && rest->bytes[stop] != (quoted ? '"' : ','))
        stop++;
    *out_cell = (es_cell){.bytes = rest->bytes + start, .size = stop - start};
    while (stop < rest->size && rest->bytes[stop] != ',')
        stop++;
    if (stop < rest->size)
        *rest = (es_cell){.bytes = rest->bytes + stop + 1, .size = rest->size - stop - 1};
    else
        *rest = (es_cell){0};
    return true;
}

bool es_cell_is(es_cell cell, const char *words)
{
    return cell.size == strlen(words) && memcmp(cell.bytes, words, cell.size) == 0;
}

bool es_cell_number(es_cell cell, double *out)
{
    char copy[64];
    if (cell.size == 0 || cell.size >= sizeof copy)
        return false;
    for (size_t i = 0; i < cell.size; i++) {
        if (strchr("0123456789+-.eE", cell.bytes[i]) == NULL || cell.bytes[i] == 0)
            return false; /* no hexadecimal, no words */
        copy[i] = cell.bytes[i];
    }
    copy[cell.size] = 0;
    char *end = NULL;
    double number = strtod(copy, &end);
    if (end != copy + cell.size || !isfinite(number))
        return false;
    *out = number;
    return true;
}

static bool digits(const char **at, const char *end, int count, int64_t *out)
{
    int64_t value = 0;
    if (end - *at < count)
        return false;
    for (int i = 0; i < count; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        value = value * 10 + (**at - '0');
    }
    *out = value;
    return true;
}

static bool mark(const char **at, const char *end, const char *marks)
{
    if (*at == end || **at == 0 || strchr(marks, **at) == NULL)
        return false;
    (*at)++;
    return true;
}

/* Days since 1970-01-01 in the Gregorian calendar (years from March on, eras of 400). */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = year / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* Up to nine digits behind the point; what follows (a zone) is left. */
static int64_t fraction_ns(const char *at, const char *end)
{
    int64_t value = 0;
    int64_t unit = ES_NS_PER_S / 10;
    if (at == end || *at != '.')
        return 0;
    for (at++; at < end && *at >= '0' && *at <= '9'; at++, unit /= 10)
        value += (*at - '0') * unit;
    return value;
}

bool es_cell_time(es_cell cell, int64_t *out_ns)
{
    double seconds;
    if (es_cell_number(cell, &seconds)) {
        if (fabs(seconds) > TIME_S_MAX)
            return false;
        *out_ns = es_ns_from_s(seconds);
        return true;
    }
    const char *at = cell.bytes;
    const char *end = cell.bytes + cell.size;
    int64_t year;
    int64_t month;
    int64_t day;
    int64_t hour;
    int64_t minute;
    int64_t second = 0;
    if (!digits(&at, end, 4, &year))
        return false;
    bool dashes = mark(&at, end, "-");
    if (!digits(&at, end, 2, &month) || (dashes && !mark(&at, end, "-")) ||
        !digits(&at, end, 2, &day) || !mark(&at, end, dashes ? " T" : "-") ||
        !digits(&at, end, 2, &hour) || (dashes && !mark(&at, end, ":")) ||
        !digits(&at, end, 2, &minute))
        return false;
    if (mark(&at, end, ":") && !digits(&at, end, 2, &second))
        return false;
    if (year < 1970 || year > 2200 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 24 ||
        minute > 59 || second > 60)
        return false;
    int64_t whole_s = ((days_of(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    *out_ns = whole_s * ES_NS_PER_S + fraction_ns(at, end);
    return true;
}

es_status es_table_fail(const es_table *table, es_error *err, const char *format, ...)
{
    char words[400];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    return es_fail(err, ES_ERR_PARSE, "%s:%u: %s", table->name, table->line, words);
}
