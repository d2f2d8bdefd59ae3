/*
 * base64: bytes from their text form (RFC 4648, section 4; line breaks and blanks are read over).
 */
#ifndef ES_BASE_BASE64_H
#define ES_BASE_BASE64_H

#include "base/arena.h"

/* Decodes text[size] into the arena, at most 3/4 of it. ES_ERR_PARSE names the place of what is no
 * base64. O(size). */
es_status es_base64_decode(es_arena *arena, const char *text, size_t size, void **out_bytes,
                           size_t *out_size, es_error *err) ES_MUST_CHECK;

#endif
