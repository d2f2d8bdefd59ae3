#include "base/rng.h"

#include <assert.h>
#include <math.h>

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

es_rng es_rng_make(uint64_t seed, uint64_t stream)
{
    uint64_t mixer = seed;
    uint64_t start = splitmix64(&mixer) ^ (stream * 0xd1342543de82ef95u);
    es_rng rng;
    for (size_t i = 0; i < 4; i++)
        rng.state[i] = splitmix64(&start);
    return rng;
}

static uint64_t rotate_left(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

uint64_t es_rng_u64(es_rng *rng)
{
    uint64_t *s = rng->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

double es_rng_double(es_rng *rng)
{
    return (double)(es_rng_u64(rng) >> 11) * 0x1.0p-53;
}

uint64_t es_rng_below(es_rng *rng, uint64_t bound)
{
    assert(bound > 0);
    uint64_t reject_below = (0 - bound) % bound; /* 2^64 mod bound */
    uint64_t drawn = es_rng_u64(rng);
    while (drawn < reject_below)
        drawn = es_rng_u64(rng);
    return drawn % bound;
}

double es_rng_exponential(es_rng *rng, double rate)
{
    assert(rate > 0);
    return -log1p(-es_rng_double(rng)) / rate;
}

double es_rng_normal(es_rng *rng)
{
    /* The second number of the pair is dropped: no state beyond the generator's. */
    for (;;) {
        double u = 2 * es_rng_double(rng) - 1;
        double v = 2 * es_rng_double(rng) - 1;
        double s = u * u + v * v;
        if (s > 0 && s < 1)
            return u * sqrt(-2 * log(s) / s);
    }
}

/* Counts unit-rate arrivals; fine for small means. */
static uint64_t poisson_small(es_rng *rng, double mean)
{
    double limit = exp(-mean);
    uint64_t count = 0;
    double product = es_rng_double(rng);
    while (product > limit) {
        count++;
        product *= es_rng_double(rng);
    }
    return count;
}

/* Transformed rejection, PTRS of Hoermann (1993), for means of 10 and above. */
static uint64_t poisson_large(es_rng *rng, double mean)
{
    double b = 0.931 + 2.53 * sqrt(mean);
    double a = -0.059 + 0.02483 * b;
    double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
    double v_r = 0.9277 - 3.6224 / (b - 2);
    for (;;) {
        double u = es_rng_double(rng) - 0.5;
        double v = es_rng_double(rng);
        double us = 0.5 - fabs(u);
        double k = floor((2 * a / us + b) * u + mean + 0.43);
        if (us >= 0.07 && v <= v_r)
            return (uint64_t)k;
        if (k < 0 || (us < 0.013 && v > us))
            continue;
        double left = log(v) + log(inverse_alpha) - log(a / (us * us) + b);
        if (left <= k * log(mean) - mean - lgamma(k + 1))
            return (uint64_t)k;
    }
}

uint64_t es_rng_poisson(es_rng *rng, double mean)
{
    assert(mean >= 0 && mean <= 1e9);
    return mean < 10 ? poisson_small(rng, mean) : poisson_large(rng, mean);
}

void es_rng_shuffle(es_rng *rng, size_t *items, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)es_rng_below(rng, i);
        size_t kept = items[i - 1];
        items[i - 1] = items[j];
        items[j] = kept;
    }
}
