/*
 * internal to oip: numbers of tensors as JSON, without a tree of values in between: what makes the
 * difference for clients that speak JSON.
 */
#ifndef ES_OIP_INTERNAL_H
#define ES_OIP_INTERNAL_H

#include "base/decimal.h"
#include "oip.h"

/* ---- numbers.c ---- */

/* The list of numbers that is a tensor's data: from '[' to ']', in the body. */
typedef struct es_oip_span {
    const char *bytes;
    size_t size; /* 0: that tensor has none, or it holds other things than numbers */
} es_oip_span;

typedef struct es_oip_spans {
    es_oip_span items[ES_OIP_TENSORS_MAX]; /* by place in the list of tensors */
    size_t count;
} es_oip_spans;

/* Finds the spans below key ("inputs"), and blanks them in copy[size], which is json otherwise: a
 * reader of the copy sees empty lists at the same places. What is no JSON is left to that reader.
 */
void es_oip_spans_find(const char *json, size_t size, const char *key, char *copy,
                       es_oip_spans *out);

/* The values of span, flat or in the tensor's shape, into out[count elements]. False when anything
 * is not as it should be; *out_given then counts the values that were fine. */
bool es_oip_numbers_read(es_oip_span span, const es_oip_tensor *tensor, size_t count,
                         unsigned char *out, size_t *out_given);

/* ---- float.c ---- */

/* The shortest of %.6g to %.9g that reads back the same float; "null" when it is not finite.
 * Returns the size. */
size_t es_oip_float_print(float value, char out[ES_DECIMAL_SIZE]);

#endif
