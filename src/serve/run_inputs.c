#include "base/checked.h"
#include "base/file.h"
#include "base/rng.h"
#include "run_internal.h"

#include <string.h>

enum { SAMPLES_SIZE_MAX = 1 << 30 };

/* Values that any model of that type takes: [0, 1) for floats, 0 or 1 for indexes, any byte for
 * pixels. */
static void draw(es_rng *rng, es_dtype dtype, uint8_t *out, size_t size)
{
    size_t width = es_dtype_size(dtype);
    for (size_t at = 0; width > 0 && at + width <= size; at += width) {
        uint64_t bits = es_rng_u64(rng);
        float single = (float)(bits >> 40) * 0x1p-24F;
        double number = (double)(bits >> 11) * 0x1p-53;
        uint16_t half = dtype == ES_DTYPE_BF16 ? (uint16_t)(0x3f00 | (bits >> 57))
                                               : (uint16_t)(0x3800 | (bits >> 54));
        uint64_t small = bits >> 63;
        uint8_t byte = (uint8_t)(bits >> 56);
        const void *value = &small; /* little-endian: the low bytes of an integer come first */
        if (dtype == ES_DTYPE_F32)
            value = &single;
        else if (dtype == ES_DTYPE_F64)
            value = &number;
        else if (dtype == ES_DTYPE_F16 || dtype == ES_DTYPE_BF16)
            value = &half;
        else if (dtype == ES_DTYPE_U8 || dtype == ES_DTYPE_I8)
            value = &byte;
        else if (width > sizeof small)
            continue; /* complex: stays 0 */
        memcpy(out + at, value, width);
    }
}

static es_status draw_all(es_run *run, es_run_inputs *inputs, es_error *err)
{
    uint8_t *bytes = es_arena_take(run->arena, ES_RUN_INPUT_VARIANTS, inputs->size_bytes);
    if (bytes == NULL)
        return es_arena_full(run->arena, "inputs of requests", err);
    /* Streams of arrivals are numbered from 0; inputs are far away from them. */
    es_rng rng = es_rng_make(run->seed, (UINT64_C(1) << 32) + inputs->task);
    draw(&rng, inputs->dtype, bytes, ES_RUN_INPUT_VARIANTS * inputs->size_bytes);
    inputs->bytes = bytes;
    inputs->count = ES_RUN_INPUT_VARIANTS;
    return ES_OK;
}

static es_status read_samples(es_run *run, const es_task *task, es_run_inputs *inputs,
                              es_error *err)
{
    char *bytes = NULL;
    size_t size = 0;
    ES_TRY(es_file_read(run->arena, task->samples_file, SAMPLES_SIZE_MAX, &bytes, &size, err));
    if (size == 0 || size % inputs->size_bytes != 0)
        return es_fail(err, ES_ERR_PARSE,
                       "samples '%s': %zu bytes must be a positive multiple of input_bytes=%zu",
                       task->samples_file, size, inputs->size_bytes);
    inputs->bytes = (const uint8_t *)bytes;
    inputs->count = size / inputs->size_bytes;
    if (task->labels_file == NULL)
        return ES_OK;
    ES_TRY(es_file_read(run->arena, task->labels_file, SAMPLES_SIZE_MAX, &bytes, &size, err));
    if (size != inputs->count)
        return es_fail(err, ES_ERR_PARSE,
                       "labels '%s': %zu bytes must be one for each of %zu "
                       "samples",
                       task->labels_file, size, inputs->count);
    inputs->labels = (const uint8_t *)bytes;
    return ES_OK;
}

/* Models have one input each: run_models.c. */
static es_dtype input_dtype(const es_run *run, const es_run_stage *stage)
{
    return es_run_model_of(run, stage)->inputs[0].dtype;
}

static es_status make_one(es_run *run, size_t r, es_error *err)
{
    const es_run_way *way = &run->ways[r];
    const es_pipeline *pipeline = &run->scenario->pipelines[run->plan->routings[r].pipeline.index];
    const es_task *task = &run->scenario->tasks[pipeline->task.index];
    es_dtype dtype = input_dtype(run, &way->stages[0]);
    for (uint32_t k = 1; k < way->stage_count; k++) {
        if (way->stages[k].input != ES_STAGE_INPUT_REQUEST)
            continue;
        es_dtype here = input_dtype(run, &way->stages[k]);
        if (here != dtype || way->stages[k].input_bytes != way->stages[0].input_bytes)
            return es_fail(err, ES_ERR_ARG,
                           "pipeline '%s': stage %u takes the request again as %u bytes of %s, but "
                           "stage 1 takes %u bytes of %s",
                           pipeline->name, k + 1, way->stages[k].input_bytes, es_dtype_name(here),
                           way->stages[0].input_bytes, es_dtype_name(dtype));
    }
    bool drawn = task->samples_file == NULL;
    for (size_t j = 0; j < r; j++) {
        const es_run_inputs *other = run->inputs[j];
        if (other->task == pipeline->task.index && (!drawn || other->dtype == dtype) &&
            other->size_bytes == way->stages[0].input_bytes) {
            run->inputs[r] = other;
            return ES_OK;
        }
    }
    es_run_inputs *inputs = ES_TAKE_ONE(run->arena, es_run_inputs);
    if (inputs == NULL)
        return es_arena_full(run->arena, "inputs of requests", err);
    inputs->task = pipeline->task.index;
    inputs->dtype = dtype;
    inputs->size_bytes = way->stages[0].input_bytes;
    run->inputs[r] = inputs;
    if (inputs->size_bytes == 0)
        return es_fail(err, ES_ERR_ARG, "pipeline '%s': input_bytes of stage 1 must be > 0",
                       pipeline->name);
    return drawn ? draw_all(run, inputs, err)
                 : es_within(err, read_samples(run, task, inputs, err), "task '%s'", task->name);
}

es_status es_run_inputs_make(es_run *run, es_error *err)
{
    run->inputs = ES_TAKE_ARRAY(run->arena, const es_run_inputs *, run->plan->routing_count);
    if (run->inputs == NULL)
        return es_arena_full(run->arena, "inputs of requests", err);
    for (size_t r = 0; r < run->plan->routing_count; r++)
        ES_TRY(make_one(run, r, err));
    return ES_OK;
}
