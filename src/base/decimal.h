/*
 * decimal: the digits of a floating-point number, found without printing and reading it. With p
 * digits, v is about m 10^-k, m a whole number of p digits; where 10^|k| is an exact double and m
 * is below 2^53, m / 10^k is what reading the text gives, so the check is one division.
 */
#ifndef ES_BASE_DECIMAL_H
#define ES_BASE_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Powers of ten up to this are exact doubles. */
enum { ES_DECIMAL_POWER_MAX = 22, ES_DECIMAL_SIZE = 40 };

/* Digits of a number, the first one not 0, the last one neither unless it is alone:
 * 0.ddd * 10^(exponent + 1). */
typedef struct es_decimal {
    uint64_t digits;
    int count, exponent;
} es_decimal;

/* value > 0 to so many digits, 1..15; *out_read is what reading them gives. 1e-7 <= value < 1e15,
 * or |exponent| + precision within ES_DECIMAL_POWER_MAX. */
es_decimal es_decimal_of(double value, int precision, double *out_read);

/* As printf's %.*g with that precision would print the digits, after '-' when negative. Returns the
 * size, without the NUL that ends it. */
size_t es_decimal_print(es_decimal decimal, bool negative, int precision,
                        char out[ES_DECIMAL_SIZE]);

#endif
