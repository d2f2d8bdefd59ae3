#include "base/text.h"

#include "base/checked.h"
#include "base/decimal.h"

#include <assert.h>
#include <errno.h>
#include <float.h>
#include <math.h>

enum { CAPACITY_FIRST = 256, WORD_SIZE_MAX = 64 };

void es_text_init(es_text *text, size_t cap_bytes)
{
    assert(cap_bytes > 0);
    *text = (es_text){.cap_bytes = cap_bytes};
}

void es_text_done(es_text *text)
{
    if (text == NULL)
        return;
    free(text->bytes);
    *text = (es_text){.cap_bytes = text->cap_bytes};
}

/* Room for size more bytes and a terminator. */
static bool reserve(es_text *text, size_t size)
{
    size_t needed;
    if (text->status != ES_OK)
        return false; /* the first failure is the one to tell */
    if (!es_size_add(text->size, size, &needed) || needed >= text->cap_bytes) {
        text->status = ES_ERR_NOMEM;
        return false;
    }
    if (needed < text->capacity)
        return true;
    size_t capacity = text->capacity > 0 ? text->capacity : CAPACITY_FIRST;
    while (capacity <= needed && capacity < text->cap_bytes)
        capacity = capacity > text->cap_bytes / 2 ? text->cap_bytes : capacity * 2;
    char *grown = realloc(text->bytes, capacity);
    if (grown == NULL) {
        text->status = ES_ERR_NOMEM;
        return false;
    }
    text->bytes = grown;
    text->capacity = capacity;
    return true;
}

void es_text_append_n(es_text *text, const char *bytes, size_t size)
{
    if (!reserve(text, size))
        return;
    if (size > 0)
        memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
    text->bytes[text->size] = '\0';
}

void es_text_append(es_text *text, const char *words)
{
    es_text_append_n(text, words, strlen(words));
}

void es_text_format(es_text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    /* Mostly it fits into what is there: then formatting once is enough. */
    size_t end = text->capacity < text->cap_bytes ? text->capacity : text->cap_bytes;
    size_t room = text->status == ES_OK && text->size < end ? end - text->size : 0;
    int size = vsnprintf(room > 0 ? text->bytes + text->size : NULL, room, format, args);
    va_end(args);
    if (size >= 0 && (size_t)size < room) {
        text->size += (size_t)size;
    } else {
        if (room > 0)
            text->bytes[text->size] = '\0';
        if (size >= 0 && reserve(text, (size_t)size)) {
            (void)vsnprintf(text->bytes + text->size, (size_t)size + 1, format, again);
            text->size += (size_t)size;
        }
    }
    va_end(again);
}

void es_text_uint(es_text *text, uint64_t number)
{
    char digits[20]; /* of the largest */
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    es_text_append_n(text, digits + at, sizeof digits - at);
}

void es_text_int(es_text *text, int64_t number)
{
    if (number < 0)
        es_text_append_n(text, "-", 1);
    es_text_uint(text, number < 0 ? -(uint64_t)number : (uint64_t)number);
}

void es_text_clear(es_text *text)
{
    text->size = 0;
    text->status = ES_OK;
    if (text->bytes != NULL)
        text->bytes[0] = '\0';
}

void es_text_double(es_text *text, double number)
{
    if (!isfinite(number)) {
        es_text_append(text, "null");
        return;
    }
    char digits[ES_DECIMAL_SIZE];
    double wide = fabs(number);
    if (wide >= 1e-7 && wide < 1e15) { /* where powers of ten are exact */
        double read = 0;
        es_decimal decimal = es_decimal_of(wide, DBL_DIG, &read);
        if (!(read < wide) && !(read > wide)) {
            es_text_append_n(text, digits, es_decimal_print(decimal, number < 0, DBL_DIG, digits));
            return;
        }
    }
    for (int precision = DBL_DIG; precision <= DBL_DIG + 2; precision++) {
        (void)snprintf(digits, sizeof digits, "%.*g", precision, number);
        double read = strtod(digits, NULL);
        if (!(read < number) && !(read > number))
            break;
    }
    es_text_append(text, digits);
}

const char *es_text_get(const es_text *text)
{
    return text->bytes != NULL ? text->bytes : "";
}

es_status es_text_status(const es_text *text, es_error *err)
{
    if (text->status == ES_OK)
        return ES_OK;
    if (text->status != ES_ERR_NOMEM)
        return es_fail(err, text->status, "text: %s", es_status_text(text->status));
    return es_fail(err, ES_ERR_NOMEM, "text: no memory left (the cap is %zu bytes)",
                   text->cap_bytes);
}

/* strtod and strtoll skip leading space; a number in a document or an option has none. */
static bool starts_as_number(const char *words)
{
    return words != NULL &&
           (*words == '-' || *words == '+' || *words == '.' || (*words >= '0' && *words <= '9'));
}

bool es_text_to_double(const char *words, double *out)
{
    if (!starts_as_number(words))
        return false;
    char *end = NULL;
    errno = 0;
    double number = strtod(words, &end);
    if (*end != '\0' || end == words || !isfinite(number))
        return false;
    *out = number;
    return true;
}

bool es_text_to_int64(const char *words, int64_t *out)
{
    if (!starts_as_number(words))
        return false;
    char *end = NULL;
    errno = 0;
    long long number = strtoll(words, &end, 10);
    if (*end != '\0' || end == words || errno != 0)
        return false;
    *out = number;
    return true;
}

bool es_text_to_uint64(const char *words, uint64_t *out)
{
    if (!starts_as_number(words) || *words == '-')
        return false;
    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(words, &end, 10);
    if (*end != '\0' || end == words || errno != 0)
        return false;
    *out = number;
    return true;
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment: insert, delete, replace, swap neighbours each cost 1. */
static size_t distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t rows[3][WORD_SIZE_MAX + 1];
    for (size_t j = 0; j <= b_size; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i - 1) % 3];
        const size_t *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
            best = min_size(best, min_size(above[j] + 1, row[j - 1] + 1));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = min_size(best, two_above[j - 2] + 1);
            row[j] = best;
        }
    }
    return rows[a_size % 3][b_size];
}

const char *es_text_nearest(const char *word, const char *const *candidates, size_t count)
{
    size_t word_size = strlen(word);
    if (word_size > WORD_SIZE_MAX)
        return NULL;
    size_t best_distance = word_size / 3 > 0 ? word_size / 3 : 1;
    const char *best = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(candidates[i]);
        if (size > WORD_SIZE_MAX)
            continue;
        size_t found = distance(word, word_size, candidates[i], size);
        if (found < best_distance || (found == best_distance && best == NULL)) {
            best_distance = found;
            best = candidates[i];
        }
    }
    return best;
}
