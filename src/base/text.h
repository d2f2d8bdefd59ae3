/*
 * text: growing text with a cap, numbers from text, nearest words.
 *
 * es_text owns heap memory: init, append any number of times, look at es_text_get, done. A failed
 * append is remembered: check es_text_status once at the end. Numbers print in the C locale.
 */
#ifndef ES_BASE_TEXT_H
#define ES_BASE_TEXT_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct es_text {
    char *bytes; /* terminated once anything was appended */
    size_t size; /* without the terminator */
    size_t capacity;
    size_t cap_bytes;
    es_status status;
} es_text;

/* An empty text that may grow to cap_bytes (> 0). Nothing is allocated yet. */
void es_text_init(es_text *text, size_t cap_bytes);
void es_text_done(es_text *text); /* NULL, zeroed and failed texts are fine */

void es_text_append(es_text *text, const char *words);
void es_text_append_n(es_text *text, const char *bytes, size_t size);
void es_text_format(es_text *text, const char *format, ...) ES_PRINTF(2, 3);
void es_text_uint(es_text *text, uint64_t number); /* in decimal */
void es_text_int(es_text *text, int64_t number);
void es_text_clear(es_text *text); /* keeps the memory and forgets a failure */

/* Appends a number so that reading it gives the same double: the shortest of %.15g, %.16g, %.17g.
 * NaN and infinities become null (JSON has no word for them). */
void es_text_double(es_text *text, double number);

/* What is there so far, never NULL. */
const char *es_text_get(const es_text *text);

/* ES_OK, or ES_ERR_NOMEM with the cap in the text when an append did not fit. */
es_status es_text_status(const es_text *text, es_error *err) ES_MUST_CHECK;

/* The whole of words as a number (C locale, no surrounding space); false and *out untouched
 * otherwise. NaN, infinities and out-of-range values are refused. */
bool es_text_to_double(const char *words, double *out);
bool es_text_to_int64(const char *words, int64_t *out);
bool es_text_to_uint64(const char *words, uint64_t *out);

/* The candidate nearest to word (Damerau-Levenshtein distance at most a third of its length, at
 * least 1), or NULL when none is near. O(count * size^2). Ties: the first. */
const char *es_text_nearest(const char *word, const char *const *candidates, size_t count);

#endif
