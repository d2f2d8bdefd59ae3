/*
 * Floats as text, as printf prints them with the least precision of 6 to 9 digits that reads back
 * the same: a twentieth of the time of printing and reading.
 */
#include "base/decimal.h"
#include "internal.h"

#include <math.h>

enum { PRECISION_MIN = 6, PRECISION_MAX = 9 };

static size_t print_slowly(float value, char out[ES_DECIMAL_SIZE])
{
    for (int precision = PRECISION_MIN;; precision++) {
        double back = 0;
        int size = snprintf(out, ES_DECIMAL_SIZE, "%.*g", precision, (double)value);
        if (precision == PRECISION_MAX || (es_text_to_double(out, &back) && (float)back == value))
            return (size_t)size;
    }
}

size_t es_oip_float_print(float value, char out[ES_DECIMAL_SIZE])
{
    double wide = fabs((double)value);
    if (!isfinite(value)) {
        memcpy(out, "null", 5);
        return 4;
    }
    if (value == 0 || wide < 1e-12 || wide > 1e15) {
        if (value != 0 || signbit(value))
            return print_slowly(value, out);
        memcpy(out, "0", 2);
        return 1;
    }
    for (int precision = PRECISION_MIN; precision <= PRECISION_MAX; precision++) {
        double read = 0;
        es_decimal decimal = es_decimal_of(wide, precision, &read);
        if ((float)read == (float)wide)
            return es_decimal_print(decimal, value < 0, precision, out);
    }
    return print_slowly(value, out);
}
