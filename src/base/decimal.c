#include "base/decimal.h"

#include <math.h>

static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static double scaled(double value, int power)
{
    return power < 0 ? value / powers[-power] : value * powers[power];
}

/* floor(log10(value)), value > 0, within the exact powers. */
static int exponent_of(double value)
{
    int exponent = (int)floor(log10(value));
    if (exponent >= -ES_DECIMAL_POWER_MAX && exponent < ES_DECIMAL_POWER_MAX &&
        scaled(1, exponent + 1) <= value)
        exponent++; /* log10 rounds */
    return exponent;
}

es_decimal es_decimal_of(double value, int precision, double *out_read)
{
    es_decimal out = {.count = precision, .exponent = exponent_of(value)};
    int power = precision - 1 - out.exponent;
    double digits = nearbyint(scaled(value, power));
    *out_read = scaled(digits, -power);
    if (digits >= powers[precision]) { /* 999999.7 became 1000000 */
        digits /= 10;
        out.exponent++;
    }
    out.digits = (uint64_t)digits;
    for (; out.digits % 10 == 0 && out.count > 1; out.count--)
        out.digits /= 10;
    return out;
}

static size_t put_digits(char *out, uint64_t digits, size_t count)
{
    for (size_t i = count; i-- > 0; digits /= 10)
        out[i] = (char)('0' + digits % 10);
    return count;
}

static size_t put_scientific(const char *text, es_decimal decimal, char *out)
{
    size_t used = 0;
    int magnitude = decimal.exponent < 0 ? -decimal.exponent : decimal.exponent;
    out[used++] = text[0];
    if (decimal.count > 1)
        out[used++] = '.';
    for (int i = 1; i < decimal.count; i++)
        out[used++] = text[i];
    out[used++] = 'e';
    out[used++] = decimal.exponent < 0 ? '-' : '+';
    return used + put_digits(out + used, (uint64_t)magnitude, 2);
}

static size_t put_plain(const char *text, es_decimal decimal, char *out)
{
    size_t used = 0;
    if (decimal.exponent < 0) {
        out[used++] = '0';
        out[used++] = '.';
        for (int i = decimal.exponent + 1; i < 0; i++)
            out[used++] = '0';
    }
    for (int i = 0; i < decimal.count || i <= decimal.exponent; i++) {
        if (i == decimal.exponent + 1 && decimal.exponent >= 0)
            out[used++] = '.';
        out[used++] = i < decimal.count ? text[i] : '0';
    }
    return used;
}

size_t es_decimal_print(es_decimal decimal, bool negative, int precision, char out[ES_DECIMAL_SIZE])
{
    char text[24] = "";
    bool scientific = decimal.exponent < -4 || decimal.exponent >= precision;
    size_t used = 0;
    (void)put_digits(text, decimal.digits, (size_t)decimal.count);
    if (negative)
        out[used++] = '-';
    used += scientific ? put_scientific(text, decimal, out + used)
                       : put_plain(text, decimal, out + used);
    out[used] = '\0';
    return used;
}
