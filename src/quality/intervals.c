/* Intervals and tails: binomial by the incomplete beta function, chi-square by the gamma one. */
#include "quality/quality.h"

#include <assert.h>
#include <math.h>

enum { FRACTION_STEPS_MAX = 100000, BISECTIONS = 100 };
static const double SMALL = 1e-300;

/* Continued fraction of the incomplete beta function (Lentz). */
static double beta_fraction(double a, double b, double x)
{
    double c = 1;
    double d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < SMALL ? SMALL : d);
    double h = d;
    for (int m = 1; m < FRACTION_STEPS_MAX; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 + even * d;
        d = 1 / (fabs(d) < SMALL ? SMALL : d);
        c = 1 + even / c;
        c = fabs(c) < SMALL ? SMALL : c;
        h *= d * c;
        d = 1 + odd * d;
        d = 1 / (fabs(d) < SMALL ? SMALL : d);
        c = 1 + odd / c;
        c = fabs(c) < SMALL ? SMALL : c;
        h *= d * c;
        if (fabs(d * c - 1) < 1e-15)
            break;
    }
    return h;
}

/* I_x(a, b), a and b > 0. */
static double beta_share(double a, double b, double x)
{
    if (x <= 0)
        return 0;
    if (x >= 1)
        return 1;
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2))
        return front * beta_fraction(a, b, x) / a;
    return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double es_binomial_cdf(uint64_t k, uint64_t n, double p)
{
    assert(p >= 0 && p <= 1);
    if (k >= n)
        return 1;
    return beta_share((double)(n - k), (double)k + 1, 1 - p);
}

/* Q(a, x) of the incomplete gamma function: series below a + 1, continued fraction above. */
double es_chi_square_tail(double value, double degrees)
{
    double a = degrees / 2;
    double x = value / 2;
    if (!(x > 0) || !(a > 0))
        return 1;
    double front = exp(a * log(x) - x - lgamma(a));
    if (x < a + 1) {
        double term = 1 / a;
        double sum = term;
        for (int n = 1; n < FRACTION_STEPS_MAX && term > sum * 1e-16; n++) {
            term *= x / (a + n);
            sum += term;
        }
        return fmax(1 - front * sum, 0);
    }
    double b = x + 1 - a;
    double c = 1 / SMALL;
    double d = 1 / b;
    double h = d;
    for (int n = 1; n < FRACTION_STEPS_MAX; n++) {
        double step = -n * (n - a);
        b += 2;
        d = step * d + b;
        d = 1 / (fabs(d) < SMALL ? SMALL : d);
        c = b + step / c;
        c = fabs(c) < SMALL ? SMALL : c;
        h *= d * c;
        if (fabs(d * c - 1) < 1e-15)
            break;
    }
    return front * h;
}

/* The p at which the chance of at most k right falls to tail. */
static double solve(uint64_t k, uint64_t n, double tail)
{
    double low = 0;
    double high = 1;
    for (int i = 0; i < BISECTIONS; i++) {
        double middle = (low + high) / 2;
        if (es_binomial_cdf(k, n, middle) > tail)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}

es_bounds es_bounds_share(uint64_t k, uint64_t n, double delta)
{
    assert(k <= n);
    if (n == 0)
        return (es_bounds){.value = 0.5, .low = 0, .high = 1};
    double value = (double)k / (double)n;
    double low = k == 0 ? 0 : solve(k - 1, n, 1 - delta / 2);
    double high = k == n ? 1 : solve(k, n, delta / 2);
    return (es_bounds){.value = value, .low = fmin(low, value), .high = fmax(high, value)};
}

static es_bounds around(double mean, double half, double low, double high)
{
    return (es_bounds){
        .value = mean, .low = fmax(mean - half, low), .high = fmin(mean + half, high)};
}

es_bounds es_bounds_hoeffding(double mean, uint64_t n, double low, double high, double delta)
{
    if (n == 0)
        return (es_bounds){.value = (low + high) / 2, .low = low, .high = high};
    return around(mean, (high - low) * sqrt(log(2 / delta) / (2 * (double)n)), low, high);
}

/* Maurer and Pontil 2009, theorem 4, on both sides: delta / 2 each. */
es_bounds es_bounds_bernstein(const double *values, size_t n, double low, double high, double delta)
{
    double mean = 0;
    double squares = 0;
    for (size_t i = 0; i < n; i++) {
        double step = values[i] - mean;
        mean += step / ((double)i + 1);
        squares += step * (values[i] - mean);
    }
    if (n < 2)
        return (es_bounds){.value = n == 1 ? mean : (low + high) / 2, .low = low, .high = high};
    double variance = squares / ((double)n - 1);
    double logarithm = log(4 / delta);
    double half = sqrt(2 * variance * logarithm / (double)n) +
                  7 * (high - low) * logarithm / (3 * ((double)n - 1));
    return around(mean, half, low, high);
}
