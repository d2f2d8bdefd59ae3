/*
 * half: 16-bit floating point numbers as bits: IEEE binary16, and bfloat16 (the upper half of a
 * float). Conversion to them rounds half to even; what is too large becomes infinite.
 */
#ifndef ES_BASE_HALF_H
#define ES_BASE_HALF_H

#include <stdint.h>

#define ES_HALF_MAX 65504.0f /* the largest finite binary16 */

float es_half_to_float(uint16_t bits); /* exact; NaN stays NaN */
uint16_t es_half_from_float(float value);
float es_bfloat_to_float(uint16_t bits); /* exact */

#endif
