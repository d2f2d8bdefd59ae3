/* Floats as 8 bits between stages: one scale and zero point per tensor, chosen so that zero, which
 * most of an activation is, stays zero. */
#include "pipeline.h"

#include <math.h>

/* NaN comes out as NaN in *out_low. */
static void range_of(const float *restrict values, size_t count, float *out_low, float *out_high)
{
    float low = 0;
    float high = 0;
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        low = values[i] < low ? values[i] : low;
        high = values[i] > high ? values[i] : high;
        good = good && values[i] - values[i] == 0;
    }
    *out_low = good ? low : (float)NAN;
    *out_high = high;
}

bool es_payload_pack(const float *restrict values, size_t count, uint8_t *restrict out,
                     es_payload_scale *out_scale)
{
    float low = 0;
    float high = 0;
    range_of(values, count, &low, &high);
    double span = (double)high - (double)low;
    if (!(span <= (double)__FLT_MAX__))
        return false;
    double scale = span / 255;
    if (scale < (double)__FLT_MIN__)
        scale = (double)__FLT_MIN__; /* all zeros, or so small that they are */
    scale = (double)(float)scale;
    double zero = rint(-(double)low / scale);
    zero = zero < 0 ? 0 : zero > 255 ? 255 : zero;
    float inverse = (float)(1 / scale);
    float shift = (float)zero;
    for (size_t i = 0; i < count; i++) {
        float q = rintf(values[i] * inverse) + shift;
        out[i] = (uint8_t)(q < 0 ? 0 : q > 255 ? 255 : q);
    }
    *out_scale = (es_payload_scale){.scale = (float)scale, .zero_point = (uint8_t)zero};
    return true;
}

void es_payload_unpack(const uint8_t *restrict packed, size_t count, es_payload_scale scale,
                       float *restrict out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = scale.scale * (float)(packed[i] - scale.zero_point);
}
