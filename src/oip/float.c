/*
 * Floats as text, as printf prints them with the least precision of 6 to 9 digits that reads back
 * the same. With p digits, v is about m 10^-k, m a whole number of p digits; where 10^|k| is an
 * exact double, m / 10^k is what reading the text gives, so the check needs no reading. A twentieth
 * of the time of printing and reading.
 */
#include "internal.h"

#include <math.h>

static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
enum { POWER_MAX = 22, PRECISION_MIN = 6, PRECISION_MAX = 9 };

static double scaled(double value, int power)
{
    return power < 0 ? value / powers[-power] : value * powers[power];
}

/* floor(log10(value)), value > 0, within the exact powers. */
static int exponent_of(double value)
{
    int exponent = (int)floor(log10(value));
    if (exponent >= -POWER_MAX && exponent < POWER_MAX && scaled(1, exponent + 1) <= value)
        exponent++; /* log10 rounds */
    return exponent;
}

static size_t put_digits(char *out, uint64_t digits, size_t count)
{
    for (size_t i = count; i-- > 0; digits /= 10)
        out[i] = (char)('0' + digits % 10);
    return count;
}

/* digits: of count places, the first one not 0, the last one neither; value = 0.ddd * 10^(e+1). */
static size_t put_decimal(char *out, uint64_t digits, int count, int exponent, int precision)
{
    char text[24] = "";
    size_t used = 0;
    (void)put_digits(text, digits, (size_t)count);
    if (exponent < -4 || exponent >= precision) {
        out[used++] = text[0];
        if (count > 1)
            out[used++] = '.';
        for (int i = 1; i < count; i++)
            out[used++] = text[i];
        int magnitude = exponent < 0 ? -exponent : exponent;
        out[used++] = 'e';
        out[used++] = exponent < 0 ? '-' : '+';
        return used + put_digits(out + used, (uint64_t)magnitude, 2);
    }
    if (exponent < 0) {
        out[used++] = '0';
        out[used++] = '.';
        for (int i = exponent + 1; i < 0; i++)
            out[used++] = '0';
    }
    for (int i = 0; i < count || i <= exponent; i++) {
        if (i == exponent + 1 && exponent >= 0)
            out[used++] = '.';
        out[used++] = i < count ? text[i] : '0';
    }
    return used;
}

static size_t print_slowly(float value, char out[ES_OIP_FLOAT_SIZE])
{
    for (int precision = PRECISION_MIN;; precision++) {
        double back = 0;
        int size = snprintf(out, ES_OIP_FLOAT_SIZE, "%.*g", precision, (double)value);
        if (precision == PRECISION_MAX || (es_text_to_double(out, &back) && (float)back == value))
            return (size_t)size;
    }
}

size_t es_oip_float_print(float value, char out[ES_OIP_FLOAT_SIZE])
{
    double wide = fabs((double)value);
    size_t used = 0;
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
    int exponent = exponent_of(wide);
    for (int precision = PRECISION_MIN; precision <= PRECISION_MAX; precision++) {
        int power = precision - 1 - exponent;
        double digits = nearbyint(scaled(wide, power));
        int count = precision;
        int shown = exponent;
        if ((float)scaled(digits, -power) != (float)wide)
            continue;
        if (digits >= powers[precision]) { /* 999999.7 became 1000000 */
            digits /= 10;
            shown++;
        }
        uint64_t whole = (uint64_t)digits;
        for (; whole % 10 == 0 && count > 1; count--)
            whole /= 10;
        if (value < 0)
            out[used++] = '-';
        used += put_decimal(out + used, whole, count, shown, precision);
        out[used] = '\0';
        return used;
    }
    return print_slowly(value, out);
}
