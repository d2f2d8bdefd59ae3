/*
 * shared: what the test programs of compress begin with: a runtime, samples, small nets.
 */
#ifndef ES_COMPRESS_TESTING_SHARED_H
#define ES_COMPRESS_TESTING_SHARED_H

#include "base/rng.h"
#include "compress/internal.h"
#include "es_test.h"

#include <math.h>
#include <string.h>

typedef struct fixture {
    es_runtime *runtime; /* NULL where the library is absent: the tests then skip */
    es_arena *arena, *scratch;
} fixture;

static inline int fixture_start(void **state)
{
    static fixture only;
    es_error err = {0};
    only.arena = es_arena_new((size_t)2 << 30);
    only.scratch = es_arena_new((size_t)2 << 30);
    es_status status = es_runtime_new(es_runtime_opts_default(), &only.runtime, &err);
    if (status != ES_OK)
        print_message("skipped: %s\n", es_error_text(&err));
    *state = &only;
    return only.arena == NULL || only.scratch == NULL ||
           (status != ES_OK && status != ES_ERR_UNAVAILABLE);
}

static inline int fixture_stop(void **state)
{
    fixture *only = *state;
    es_runtime_free(only->runtime);
    es_arena_free(only->arena);
    es_arena_free(only->scratch);
    return 0;
}

/* A test calls it first. */
static inline fixture *fixture_get(void **state)
{
    fixture *only = *state;
    if (only->runtime == NULL)
        skip();
    es_arena_reset(only->arena);
    return only;
}

#define DIMS(...)                                                                                  \
    sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (const int64_t[])                    \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define NAMES(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

/* Samples of normal numbers, or in 0..1 when `positive`; dims are those of one sample. */
static inline es_dataset make_samples(es_arena *arena, es_rng *rng, size_t count, size_t rank,
                                      const int64_t *dims, bool positive)
{
    es_dataset set = {.name = "made", .count = count, .size = 1};
    set.x = (es_data_array){.name = "", .type = ES_DATA_F32, .rank = rank + 1};
    set.x.dims[0] = count;
    for (size_t i = 0; i < rank; i++) {
        set.x.dims[i + 1] = (size_t)dims[i];
        set.size *= (size_t)dims[i];
    }
    set.x.count = count * set.size;
    float *values = ES_TAKE_ARRAY(arena, float, set.x.count);
    assert_non_null(values);
    for (size_t i = 0; i < set.x.count; i++)
        values[i] = (float)(positive ? es_rng_double(rng) : es_rng_normal(rng));
    set.x.bytes = values;
    return set;
}

/* A weight of normal numbers, on average `size` large. */
static inline void random_weight(es_model_build *b, es_arena *arena, es_rng *rng, const char *name,
                                 size_t rank, const int64_t *dims, double size)
{
    size_t count = 1;
    for (size_t i = 0; i < rank; i++)
        count *= (size_t)dims[i];
    float *values = ES_TAKE_ARRAY(arena, float, count);
    assert_non_null(values);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(size * es_rng_normal(rng));
    es_model_build_weight(b, name, ES_MODEL_FLOAT, rank, dims, values, count * sizeof *values);
}

static inline void float_input(es_model_build *b, const char *name, size_t rank,
                               const int64_t *dims)
{
    es_model_build_input(b, name, ES_MODEL_FLOAT, rank, dims, NULL);
}

static inline void float_output(es_model_build *b, const char *name)
{
    es_model_build_output(b, name, ES_MODEL_FLOAT, 0, NULL, NULL);
}

static inline const es_model *finish(es_model_build *b)
{
    es_error err = {0};
    const es_model *model = NULL;
    assert_ok_err(es_model_build_finish(b, &model, &err), err);
    return model;
}

static inline es_compress_job job_of(fixture *all, const es_model *model, const es_dataset *set)
{
    return (es_compress_job){.arena = all->arena,
                             .runtime = all->runtime,
                             .model = model,
                             .name = "model",
                             .fit = {.dataset = set},
                             .test = {.dataset = set},
                             .seed = 1};
}

/* Noise over signal of the outputs of `other` against those of `model`, on all samples. */
static inline double noise_between(fixture *all, const es_model *model, const es_model *other,
                                   const es_dataset *set)
{
    es_error err = {0};
    double noise = (double)NAN;
    es_compress_job job = job_of(all, model, set);
    assert_ok_err(es_outputs_noise(&job, all->scratch, model, other, &job.fit, set->count, "test",
                                   &noise, &err),
                  err);
    return noise;
}

static inline size_t count_ops(const es_model *model, const char *op)
{
    size_t count = 0;
    for (size_t i = 0; i < es_model_node_count(model); i++)
        count += strcmp(es_model_op_at(model, i).op, op) == 0;
    return count;
}

#endif
