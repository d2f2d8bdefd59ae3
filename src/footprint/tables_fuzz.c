/* The first byte chooses the reader: factor table, intensity, models. What is accepted holds. */
#include "footprint/footprint.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_factors(es_arena *arena, const char *bytes, size_t size)
{
    const es_factors *factors = NULL;
    if (es_factors_parse(arena, "fuzz", bytes, size, NULL, &factors, NULL) != ES_OK)
        return;
    for (size_t i = 0; i < factors->count; i++) {
        const es_factor *f = &factors->items[i];
        assert(f->is.low >= 0 && f->is.low <= f->is.value && f->is.value <= f->is.high);
        assert(es_factors_find(factors, f->name, f->source) == f);
    }
}

static void try_intensity(es_arena *arena, const char *bytes, size_t size)
{
    const es_intensity *series = NULL;
    if (es_intensity_parse(arena, "fuzz", bytes, size, "z", NULL, &series, NULL) != ES_OK)
        return;
    assert(series->count >= 2 && series->step_s > 0);
    double mean = 0;
    double end_s = series->time_s[series->count - 1];
    if (end_s > 0 && es_intensity_mean(series, 0, end_s, &mean, NULL) == ES_OK)
        assert(mean >= 0 && mean <= 1.000001e5);
}

static void try_models(es_arena *arena, const char *bytes, size_t size)
{
    const es_small_model *models = NULL;
    size_t count = 0;
    size_t left_out = 0;
    es_small_choice choice;
    if (es_small_parse(arena, "fuzz", bytes, size, &models, &count, &left_out, NULL) != ES_OK)
        return;
    if (es_small_choose(models, count, es_small_opts_default(), &choice, NULL) == ES_OK)
        assert(choice.after <= choice.before && choice.sufficient->size <= choice.best->size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)32 << 20);
    if (arena == NULL)
        return 0;
    const char *bytes = (const char *)data + 1;
    if (data[0] % 3 == 0)
        try_factors(arena, bytes, size - 1);
    else if (data[0] % 3 == 1)
        try_intensity(arena, bytes, size - 1);
    else
        try_models(arena, bytes, size - 1);
    return 0;
}
