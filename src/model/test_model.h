/*
 * test_model: short ways to build small graphs in tests.
 */
#ifndef ES_MODEL_TEST_MODEL_H
#define ES_MODEL_TEST_MODEL_H

#include "es_test.h"
#include "model/model.h"

enum { TEST_ARENA_BYTES = 64 * 1000 * 1000 };

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

static inline void test_input(es_model_build *b, const char *name, size_t rank, const int64_t *dims)
{
    es_model_build_input(b, name, ES_MODEL_FLOAT, rank, dims, NULL);
}

static inline void test_output(es_model_build *b, const char *name)
{
    es_model_build_output(b, name, ES_MODEL_FLOAT, 0, NULL, NULL); /* the shape is inferred */
}

/* A float weight of zeros. */
static inline void test_weight(es_model_build *b, const char *name, size_t rank,
                               const int64_t *dims)
{
    static const float zeros[1 << 16] = {0};
    size_t size = sizeof(float);
    for (size_t i = 0; i < rank; i++)
        size *= (size_t)dims[i];
    assert_true(size <= sizeof zeros);
    es_model_build_weight(b, name, ES_MODEL_FLOAT, rank, dims, zeros, size);
}

static inline void test_ints(es_model_build *b, const char *name, size_t count,
                             const int64_t *values)
{
    es_model_build_weight(b, name, ES_MODEL_INT64, 1, (const int64_t[]){(int64_t)count}, values,
                          count * sizeof *values);
}

static inline const es_model *test_finish(es_model_build *b)
{
    es_error err = {0};
    const es_model *model = NULL;
    assert_ok_err(es_model_build_finish(b, &model, &err), err);
    return model;
}

static inline const es_model_analysis *test_analyse(es_arena *arena, const es_model *model)
{
    es_error err = {0};
    const es_model_analysis *analysis = NULL;
    assert_ok_err(es_model_analyse(arena, model, es_model_analyse_opts_default(), &analysis, &err),
                  err);
    return analysis;
}

/* The shape as "1x8x4", unknown dims "?", unknown rank "none". */
static inline const char *test_shape(const es_model_tensor *tensor)
{
    static char text[200];
    size_t size = 0;
    if (tensor->rank < 0)
        return "none";
    text[0] = '\0';
    for (int32_t i = 0; i < tensor->rank; i++) {
        const char *cross = i > 0 ? "x" : "";
        if (tensor->dims[i] < 0)
            size += (size_t)snprintf(text + size, sizeof text - size, "%s?", cross);
        else
            size += (size_t)snprintf(text + size, sizeof text - size, "%s%" PRId64, cross,
                                     tensor->dims[i]);
    }
    return text;
}

#define assert_shape(analysis, name, wanted)                                                       \
    do {                                                                                           \
        const es_model_tensor *found_ = es_model_analysis_find((analysis), (name));                \
        assert_non_null(found_);                                                                   \
        assert_string_equal(test_shape(found_), (wanted));                                         \
    } while (0)

#endif
