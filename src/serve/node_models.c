#include "node_internal.h"

#include <assert.h>
#include <string.h>

/* Room for outputs is aligned so that the library may use its fastest loads. */
enum { PLACE_ALIGNMENT = 64, WARM_UP_COUNT = 5 };

static const char *shape_text(const es_port *port, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "%s[", es_dtype_name(port->dtype));
    for (size_t i = 0; i < port->rank && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, i == 0 ? "%lld" : ",%lld",
                                 (long long)port->dims[i]);
    if (used < size)
        (void)snprintf(out + used, size - used, "]"); /* only for people */
    return out;
}

static es_status describe_outputs(es_arena *arena, es_node_segment *segment, size_t *scratch_bytes,
                                  es_error *err)
{
    segment->output_count = (uint32_t)es_session_output_count(segment->session);
    segment->outputs = ES_TAKE_ARRAY(arena, es_tensor, segment->output_count);
    segment->output_places = ES_TAKE_ARRAY(arena, size_t, segment->output_count);
    if (segment->outputs == NULL || segment->output_places == NULL)
        return es_arena_full(arena, "outputs of a segment", err);
    size_t place = 0;
    for (uint32_t i = 0; i < segment->output_count; i++) {
        const es_port *port = es_session_output(segment->session, i);
        if (es_dtype_size(port->dtype) == 0)
            return es_fail(err, ES_ERR_UNSUPPORTED, "output '%s' is no tensor of numbers",
                           port->name);
        segment->outputs[i] = es_port_tensor(port, 1);
        segment->output_places[i] = place;
        for (size_t d = 0; d < port->rank; d++) {
            if (port->dims[d] < 0)
                segment->output_places[i] = SIZE_MAX;
        }
        if (port->rank == 0)
            segment->output_places[i] = SIZE_MAX; /* a scalar, or a shape left open */
        if (segment->outputs[i].size_bytes > ES_PAYLOAD_SIZE_MAX)
            return es_fail(err, ES_ERR_LIMIT, "output '%s' has more than %d bytes", port->name,
                           ES_PAYLOAD_SIZE_MAX);
        if (segment->output_places[i] != SIZE_MAX)
            place += (segment->outputs[i].size_bytes + PLACE_ALIGNMENT - 1) / PLACE_ALIGNMENT *
                     PLACE_ALIGNMENT;
    }
    if (place > *scratch_bytes)
        *scratch_bytes = place;
    return ES_OK;
}

uint8_t *es_node_scratch_new(size_t bytes)
{
    return aligned_alloc(PLACE_ALIGNMENT, (bytes / PLACE_ALIGNMENT + 1) * PLACE_ALIGNMENT);
}

void es_node_outputs_place(const es_node_segment *segment, uint8_t *scratch, es_tensor *outputs)
{
    memcpy(outputs, segment->outputs, segment->output_count * sizeof outputs[0]);
    for (uint32_t i = 0; i < segment->output_count; i++) {
        if (segment->output_places[i] != SIZE_MAX)
            outputs[i].data = scratch + segment->output_places[i];
    }
}

static es_status run_once(const es_node_segment *segment, const es_tensor *input, uint8_t *scratch,
                          es_error *err)
{
    es_tensor outputs[ES_SESSION_PORTS_MAX];
    es_node_outputs_place(segment, scratch, outputs);
    ES_TRY(es_session_run(segment->session, input, 1, outputs, segment->output_count, err));
    for (uint32_t i = 0; i < segment->output_count; i++)
        es_tensor_done(&outputs[i]);
    return ES_OK;
}

/* The first runs of a model allocate: they belong to loading. */
static es_status warm_up(const es_node_segment *segment, size_t scratch_bytes, es_error *err)
{
    es_tensor input = segment->input;
    uint8_t *zeros = calloc(1, input.size_bytes > 0 ? input.size_bytes : 1);
    uint8_t *scratch = es_node_scratch_new(scratch_bytes);
    es_status status = ES_OK;
    if (zeros == NULL || scratch == NULL)
        status =
            es_fail(err, ES_ERR_NOMEM, "no memory for an input of %zu bytes and outputs of %zu",
                    input.size_bytes, scratch_bytes);
    input.data = zeros;
    for (int i = 0; i < WARM_UP_COUNT && status == ES_OK; i++)
        status = run_once(segment, &input, scratch, err);
    free(zeros);
    free(scratch);
    return status;
}

static es_status open_segment(es_arena *arena, es_node_models *models, es_node_segment *segment,
                              es_error *err)
{
    ES_TRY(es_session_open(models->runtime, segment->config->file, es_session_opts_default(),
                           &segment->session, err));
    size_t inputs = es_session_input_count(segment->session);
    if (inputs != 1)
        return es_fail(err, ES_ERR_UNSUPPORTED,
                       "model '%s' has %zu inputs; a segment that runs has exactly 1",
                       segment->config->file, inputs);
    const es_port *port = es_session_input(segment->session, 0);
    if (es_dtype_size(port->dtype) == 0)
        return es_fail(err, ES_ERR_UNSUPPORTED, "input '%s' is no tensor of numbers", port->name);
    segment->input = es_port_tensor(port, 1);
    if (segment->input.size_bytes > ES_PAYLOAD_SIZE_MAX)
        return es_fail(err, ES_ERR_LIMIT, "input '%s' has more than %d bytes", port->name,
                       ES_PAYLOAD_SIZE_MAX);
    ES_TRY(describe_outputs(arena, segment, &models->scratch_bytes, err));
    return warm_up(segment, models->scratch_bytes, err);
}

static es_status check_input(const es_node_segment *segment, const es_config_stage *stage,
                             es_error *err)
{
    if (segment->input.size_bytes == stage->input_bytes)
        return ES_OK;
    char shape[128];
    const es_port *port = es_session_input(segment->session, 0);
    return es_fail(err, ES_ERR_ARG,
                   "model '%s' takes %zu bytes (input '%s', %s), but the scenario's input_bytes "
                   "for it are %u",
                   segment->config->file, segment->input.size_bytes, port->name,
                   shape_text(port, shape, sizeof shape), stage->input_bytes);
}

static es_status check_answer(const es_node_segment *segment, const es_config_stage *stage,
                              es_error *err)
{
    if (stage->exit_output >= segment->output_count)
        return es_fail(err, ES_ERR_ARG, "exit_output=%u, but model '%s' has %u outputs",
                       stage->exit_output, segment->config->file, segment->output_count);
    const es_tensor *answer = &segment->outputs[stage->exit_output];
    if (stage->exit_threshold <= 1 && answer->dtype != ES_DTYPE_F32)
        return es_fail(err, ES_ERR_UNSUPPORTED,
                       "exit_threshold needs an answer of type f32, but output %u of model '%s' "
                       "is %s",
                       stage->exit_output, segment->config->file, es_dtype_name(answer->dtype));
    return ES_OK;
}

/* Which output goes into the next stage of a split: the one of the size that is shipped, rather
 * not the answer of an exit. */
static es_status find_forward(const es_node_segment *segment, const es_config_stage *stage,
                              const es_config_stage *next, uint32_t *out, es_error *err)
{
    uint32_t found = UINT32_MAX;
    for (uint32_t i = 0; i < segment->output_count; i++) {
        if (segment->outputs[i].size_bytes == next->input_bytes &&
            (found == UINT32_MAX || found == stage->exit_output))
            found = i;
    }
    if (found == UINT32_MAX)
        return es_fail(err, ES_ERR_ARG,
                       "model '%s' has no output of the %u bytes that go into the next stage "
                       "(output 0 has %zu)",
                       segment->config->file, next->input_bytes,
                       segment->output_count > 0 ? segment->outputs[0].size_bytes : 0);
    *out = found;
    return ES_OK;
}

/* Does a stage behind `stage` want the request's own input? */
static bool wanted_later(const es_config_route *route, uint32_t stage)
{
    for (uint32_t k = stage + 1; k < route->stage_count; k++) {
        if (route->stages[k].input == ES_STAGE_INPUT_REQUEST)
            return true;
    }
    return false;
}

static es_status check_stage(const es_config *config, const es_config_route *route, uint32_t k,
                             es_node_models *models, es_node_stage *out, es_error *err)
{
    const es_config_stage *stage = &route->stages[k];
    for (uint32_t i = 0; i < models->segment_count && out->segment == NULL; i++) {
        if (models->segments[i].config->segment == stage->segment)
            out->segment = &models->segments[i];
    }
    const es_node_segment *segment = out->segment;
    if (segment == NULL)
        return es_fail(err, ES_ERR_ARG,
                       "stage %u of a route runs segment number %u here, which the plan does not "
                       "place on this node",
                       k, stage->segment);
    ES_TRY(es_within(err, check_input(segment, stage, err), "segment '%s'", segment->config->name));
    ES_TRY(
        es_within(err, check_answer(segment, stage, err), "segment '%s'", segment->config->name));
    uint64_t result = segment->outputs[stage->exit_output].size_bytes;
    if (k + 1 < route->stage_count) {
        const es_config_stage *next = &route->stages[k + 1];
        uint64_t shipped = next->input_bytes;
        if (next->input == ES_STAGE_INPUT_PREVIOUS) {
            ES_TRY(es_within(err, find_forward(segment, stage, next, &out->forward_output, err),
                             "segment '%s'", segment->config->name));
            if (wanted_later(route, k))
                shipped += route->stages[0].input_bytes;
        }
        result = shipped > result ? shipped : result;
    }
    if (result > config->payload_max)
        return es_fail(err, ES_ERR_LIMIT, "segment '%s' ships %llu bytes, more than %u",
                       segment->config->name, (unsigned long long)result, config->payload_max);
    out->result_bytes_max = (uint32_t)result;
    return ES_OK;
}

static es_status check_stages(es_arena *arena, const es_config *config, es_node_models *models,
                              es_error *err)
{
    models->stages =
        ES_TAKE_ARRAY(arena, es_node_stage, (size_t)config->route_count * ES_STAGE_COUNT_MAX);
    if (models->stages == NULL)
        return es_arena_full(arena, "stages", err);
    for (uint32_t r = 0; r < config->route_count; r++) {
        const es_config_route *route = &config->routes[r];
        for (uint32_t k = 0; k < route->stage_count; k++) {
            if (route->stages[k].node == config->node)
                ES_TRY(check_stage(config, route, k, models,
                                   &models->stages[(size_t)r * ES_STAGE_COUNT_MAX + k], err));
        }
    }
    return ES_OK;
}

es_status es_node_models_load(es_arena *arena, const es_config *config, es_node_models *out,
                              es_error *err)
{
    if (config->segment_count > 0) {
        es_runtime_opts opts = es_runtime_opts_default();
        opts.library_path = config->ort_library[0] != '\0' ? config->ort_library : NULL;
        ES_TRY(es_runtime_new(opts, &out->runtime, err));
    }
    out->segments = ES_TAKE_ARRAY(arena, es_node_segment, config->segment_count);
    if (out->segments == NULL)
        return es_arena_full(arena, "segments", err);
    for (uint32_t i = 0; i < config->segment_count; i++) {
        es_node_segment *segment = &out->segments[i];
        segment->config = &config->segments[i];
        out->segment_count = i + 1;
        ES_TRY(es_within(err, open_segment(arena, out, segment, err), "segment '%s'",
                         segment->config->name));
    }
    return check_stages(arena, config, out, err);
}

void es_node_models_done(es_node_models *models)
{
    for (uint32_t i = 0; i < models->segment_count; i++)
        es_session_unref(models->segments[i].session);
    es_runtime_free(models->runtime);
    *models = (es_node_models){0};
}
