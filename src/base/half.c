#include "base/half.h"

#include <math.h>
#include <string.h>

enum { HALF_FRACTION_BITS = 10, HALF_BIAS = 15, HALF_EXPONENT_ALL = 31 };

static float float_of(uint32_t bits)
{
    float value = 0;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float es_half_to_float(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000) << 16;
    int exponent = (bits >> HALF_FRACTION_BITS) & HALF_EXPONENT_ALL;
    uint32_t fraction = bits & 0x3ff;
    if (exponent == HALF_EXPONENT_ALL)
        return float_of(sign | 0x7f800000 | fraction << 13);
    float size = exponent == 0
                     ? ldexpf((float)fraction, 1 - HALF_BIAS - HALF_FRACTION_BITS)
                     : ldexpf((float)(fraction | 0x400), exponent - HALF_BIAS - HALF_FRACTION_BITS);
    return sign != 0 ? -size : size;
}

uint16_t es_half_from_float(float value)
{
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000;
    uint32_t size = bits & 0x7fffffff;
    if (size > 0x7f800000) /* NaN, kept quiet */
        return (uint16_t)(sign | 0x7e00);
    if (size >= 0x477ff000) /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7c00);
    if (size < 0x38800000) { /* below 2^-14: subnormal, in units of 2^-24 */
        float units = ldexpf(float_of(size), 24);
        return (uint16_t)(sign | (uint32_t)lrintf(units));
    }
    /* A carry out of the fraction raises the exponent, as it should. */
    uint32_t rounded = size + 0xfff + (size >> 13 & 1);
    return (uint16_t)(sign | (rounded - 0x38000000) >> 13);
}

float es_bfloat_to_float(uint16_t bits)
{
    return float_of((uint32_t)bits << 16);
}
