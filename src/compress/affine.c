#include "compress/internal.h"

#include <float.h>
#include <math.h>

es_affine es_affine_u8(double low, double high)
{
    es_affine affine = {.scale = 1, .low = 0, .high = UINT8_MAX};
    low = fmin(low, 0);
    high = fmax(high, 0);
    float scale = (float)((high - low) / UINT8_MAX);
    if (!(scale >= FLT_MIN)) /* all zeros, or as good as */
        return affine;
    affine.scale = scale;
    double zero = nearbyint(-low / (double)scale);
    affine.zero = (int32_t)fmin(fmax(zero, 0), UINT8_MAX);
    return affine;
}

es_affine es_affine_symmetric(double largest, int32_t limit)
{
    float scale = (float)(largest / limit);
    /* -128 is left out for weights: it has no counterpart */
    return (es_affine){.scale = scale >= FLT_MIN ? scale : 1, .low = -limit, .high = limit};
}

int32_t es_affine_code(es_affine affine, float x)
{
    float steps = nearbyintf(x / affine.scale);
    float code = steps + (float)affine.zero;
    return (int32_t)fminf(fmaxf(code, (float)affine.low), (float)affine.high);
}

float es_affine_value(es_affine affine, int32_t code)
{
    return (float)(code - affine.zero) * affine.scale;
}
