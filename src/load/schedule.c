#include "internal.h"

/* LoadGen's published seeds. */
static const uint64_t SAMPLE_INDEX_SEED = 2747215439041700203u;
static const uint64_t SCHEDULE_SEED = 16159082839903944936u;

uint64_t es_load_seed_schedule(uint64_t seed)
{
    return seed != 0 ? seed : SCHEDULE_SEED;
}

uint64_t es_load_seed_samples(uint64_t seed)
{
    return seed != 0 ? seed : SAMPLE_INDEX_SEED;
}

es_load_schedule es_load_schedule_make(uint64_t seed, double rate_rps)
{
    return (es_load_schedule){.rng = es_rng_make(seed, 0), .rate_rps = rate_rps};
}

double es_load_schedule_next(es_load_schedule *schedule)
{
    schedule->at_s += es_rng_exponential(&schedule->rng, 1) / schedule->rate_rps;
    return schedule->at_s;
}
