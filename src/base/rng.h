/*
 * rng: random numbers that are the same everywhere.
 *
 * Generator: xoshiro256** 1.0 (Blackman and Vigna, 2018, public domain), state filled from the seed
 * and the stream number by splitmix64. Streams of one seed are independent for all practical
 * purposes, so that adding a consumer does not shift the numbers of another.
 * Threads: one owner per es_rng.
 */
#ifndef ES_BASE_RNG_H
#define ES_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

typedef struct es_rng {
    uint64_t state[4];
} es_rng;

/* Stream `stream` of `seed`; any values. */
es_rng es_rng_make(uint64_t seed, uint64_t stream);

uint64_t es_rng_u64(es_rng *rng);                   /* uniform over all 2^64 */
double es_rng_double(es_rng *rng);                  /* uniform in [0, 1), 53 bits */
uint64_t es_rng_below(es_rng *rng, uint64_t bound); /* uniform in [0, bound), bound > 0, unbiased */
double es_rng_exponential(es_rng *rng, double rate); /* mean 1 / rate, rate > 0 */
double es_rng_normal(es_rng *rng);                   /* mean 0, variance 1 (polar method) */
uint64_t es_rng_poisson(es_rng *rng, double mean);   /* mean >= 0, at most 1e9; O(1) */
void es_rng_shuffle(es_rng *rng, size_t *items, size_t count); /* Fisher-Yates */

#endif
