/*
 * percent: texts as parts of URLs and headers (RFC 3986): %XX for what may not stand there.
 */
#ifndef ES_BASE_PERCENT_H
#define ES_BASE_PERCENT_H

#include "base/text.h"

/* Appends words; all but letters, digits and "-._~" become %XX. */
void es_percent_encode(es_text *out, const char *words);

/* text[size] into out with a terminator. False when a '%' stands without two hexadecimal digits, a
 * NUL comes out, or room is too small; out is of no use then. plus_is_space: as in queries. */
bool es_percent_decode(const char *text, size_t size, bool plus_is_space, char *out,
                       size_t room) ES_MUST_CHECK;

#endif
