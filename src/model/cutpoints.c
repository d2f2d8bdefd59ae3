/*
 * Cut points: tensors without which no output depends on any input.
 *
 * One sweep in execution order over the nodes that an output depends on, counting the activations
 * that are alive after each node; a graph output stays alive to the end. Where exactly one is
 * alive, and it is no output, all later results come through it alone. Constants, and shapes that
 * are known numbers, do not count: they are made again on the side that needs them.
 */
#include "model/internal.h"

#include <assert.h>

static uint32_t used_count(const es_gnode *node)
{
    return node->input_count + node->captured_count;
}

static uint32_t used_at(const es_gnode *node, uint32_t k)
{
    return k < node->input_count ? node->inputs[k] : node->captured[k - node->input_count];
}

/* A value of known numbers, in a type that can be written down again. */
static bool is_known(const es_fact *fact)
{
    bool writable =
        fact->type == ES_MODEL_INT64 || fact->type == ES_MODEL_INT32 || fact->type == ES_MODEL_BOOL;
    if (fact->kind != ES_MODEL_KIND_TENSOR || fact->data == NULL || !writable ||
        es_fact_elements(fact) != (int64_t)fact->data_count)
        return false;
    for (size_t i = 0; i < fact->data_count; i++) {
        if (fact->data[i].symbol != 0)
            return false;
    }
    return true;
}

static bool all_known(const es_flow *flow, const es_gnode *node)
{
    bool any = false;
    for (uint32_t k = 0; k < node->output_count; k++) {
        if (node->outputs[k] == ES_NO_VALUE)
            continue;
        any = true;
        if (!is_known(&flow->infer->facts[node->outputs[k]]))
            return false;
    }
    return any;
}

/* Fixed and live nodes, and the last live use of every value. */
static void mark(es_flow *flow, size_t *last_use, bool *needed)
{
    const es_graph *graph = flow->model->graph;
    for (size_t i = 0; i < graph->node_count; i++)
        flow->fixed[i] = graph->nodes[i].constant || all_known(flow, &graph->nodes[i]);
    for (size_t v = 0; v < graph->values.count; v++) {
        needed[v] = graph->values.items[v].is_output;
        last_use[v] = needed[v] ? graph->node_count : 0;
    }
    for (size_t i = graph->node_count; i-- > 0;) {
        const es_gnode *node = &graph->nodes[i];
        for (uint32_t k = 0; k < node->output_count && !flow->fixed[i]; k++)
            flow->live[i] =
                flow->live[i] || (node->outputs[k] != ES_NO_VALUE && needed[node->outputs[k]]);
        for (uint32_t k = 0; flow->live[i] && k < used_count(node); k++) {
            uint32_t v = used_at(node, k);
            if (v == ES_NO_VALUE)
                continue;
            needed[v] = true;
            if (last_use[v] < i)
                last_use[v] = i;
        }
    }
}

static bool is_activation(const es_flow *flow, uint32_t v)
{
    if (v == ES_NO_VALUE)
        return false;
    const es_value *value = &flow->model->graph->values.items[v];
    if (value->source == ES_VALUE_NODE)
        return !flow->fixed[value->node];
    return value->source == ES_VALUE_INPUT;
}

static void sweep(es_flow *flow, const size_t *last_use, const bool *needed, bool *gone)
{
    const es_graph *graph = flow->model->graph;
    size_t alive = 0;
    for (size_t i = 0; i < graph->input_count; i++)
        alive += needed[graph->inputs[i]];
    for (size_t i = 0; i < graph->node_count; i++) {
        const es_gnode *node = &graph->nodes[i];
        if (!flow->live[i])
            continue;
        for (uint32_t k = 0; k < used_count(node); k++) {
            uint32_t v = used_at(node, k);
            if (!is_activation(flow, v) || last_use[v] != i || gone[v])
                continue;
            gone[v] = true;
            alive--;
        }
        uint32_t made = ES_NO_VALUE;
        for (uint32_t k = 0; k < node->output_count; k++) {
            uint32_t v = node->outputs[k];
            if (v == ES_NO_VALUE || !needed[v])
                continue;
            alive++;
            made = v;
        }
        if (alive == 1 && made != ES_NO_VALUE && !graph->values.items[made].is_output &&
            flow->infer->facts[made].kind != ES_MODEL_KIND_SEQUENCE &&
            flow->infer->facts[made].kind != ES_MODEL_KIND_MAP &&
            flow->infer->facts[made].kind != ES_MODEL_KIND_OPTIONAL)
            flow->cut_values[flow->cut_count++] = made;
    }
}

es_status es_flow_make(es_arena *arena, const es_model *model, es_flow *out_flow, es_error *err)
{
    const es_graph *graph = model->graph;
    es_flow flow = {.model = model};
    es_model_analyse_opts *opts = ES_TAKE_ONE(arena, es_model_analyse_opts);
    flow.fixed = ES_TAKE_ARRAY(arena, bool, graph->node_count);
    flow.live = ES_TAKE_ARRAY(arena, bool, graph->node_count);
    flow.cut_values = ES_TAKE_ARRAY(arena, uint32_t, graph->node_count);
    size_t *last_use = ES_TAKE_ARRAY(arena, size_t, graph->values.count);
    bool *needed = ES_TAKE_ARRAY(arena, bool, graph->values.count);
    bool *gone = ES_TAKE_ARRAY(arena, bool, graph->values.count);
    if (opts == NULL || flow.fixed == NULL || flow.live == NULL || flow.cut_values == NULL ||
        last_use == NULL || needed == NULL || gone == NULL)
        return es_arena_full(arena, "cut points", err);
    opts->unknown_allowed = true; /* free dimensions stay free */
    ES_TRY(es_infer_model(arena, model, opts, false, &flow.infer, err));
    mark(&flow, last_use, needed);
    sweep(&flow, last_use, needed, gone);
    *out_flow = flow;
    return ES_OK;
}

/* ---- figures ---- */

/* Constants used on both sides of a cut after node i, as differences. */
static es_status shared_weights(es_arena *arena, const es_model *model,
                                const es_model_analysis *analysis, int64_t **out_count,
                                int64_t **out_bytes, es_error *err)
{
    const es_graph *graph = model->graph;
    size_t nodes = graph->node_count;
    int64_t *count = ES_TAKE_ARRAY(arena, int64_t, nodes + 1);
    int64_t *bytes = ES_TAKE_ARRAY(arena, int64_t, nodes + 1);
    size_t *first = ES_TAKE_ARRAY(arena, size_t, graph->values.count);
    if (count == NULL || bytes == NULL || first == NULL)
        return es_arena_full(arena, "cut points", err);
    for (size_t i = 0; i < nodes; i++) {
        const es_gnode *node = &graph->nodes[i];
        for (uint32_t k = 0; k < node->input_count && !node->constant; k++) {
            uint32_t v = node->inputs[k];
            if (v == ES_NO_VALUE || !graph->values.items[v].constant)
                continue;
            const es_model_tensor *tensor = analysis->nodes[i].inputs[k];
            if (first[v] != 0 && first[v] - 1 < i && tensor->elements >= 0) {
                count[first[v] - 1] += tensor->elements; /* shared from its last use up to here */
                count[i] -= tensor->elements;
                bytes[first[v] - 1] += tensor->bytes > 0 ? tensor->bytes : 0;
                bytes[i] -= tensor->bytes > 0 ? tensor->bytes : 0;
            }
            first[v] = i + 1;
        }
    }
    *out_count = count;
    *out_bytes = bytes;
    return ES_OK;
}

/* Of the node that made value: its tensor. */
static const es_model_tensor *tensor_of(const es_model *model, const es_model_analysis *analysis,
                                        uint32_t value)
{
    uint32_t index = model->graph->values.items[value].node;
    const es_gnode *node = &model->graph->nodes[index];
    for (uint32_t k = 0; k < node->output_count; k++) {
        if (node->outputs[k] == value)
            return analysis->nodes[index].outputs[k];
    }
    return NULL;
}

es_status es_model_cut_points(es_arena *arena, const es_model *model,
                              const es_model_analysis *analysis, es_model_cut_list *out_list,
                              es_error *err)
{
    if (analysis->node_count != model->graph->node_count)
        return es_fail(err, ES_ERR_ARG, "model '%s': the analysis is of another model",
                       model->name);
    es_flow flow = {0};
    ES_TRY(es_within(err, es_flow_make(arena, model, &flow, err), "model '%s'", model->name));
    int64_t *shared_count = NULL;
    int64_t *shared_bytes = NULL;
    ES_TRY(shared_weights(arena, model, analysis, &shared_count, &shared_bytes, err));
    assert(shared_count != NULL);
    assert(shared_bytes != NULL);
    es_model_cut_point *points = ES_TAKE_ARRAY(arena, es_model_cut_point, flow.cut_count);
    if (points == NULL)
        return es_arena_full(arena, "cut points", err);
    int64_t macs = 0;
    int64_t count = 0;
    int64_t bytes = 0;
    int64_t both_count = 0;
    int64_t both_bytes = 0;
    size_t at = 0;
    for (size_t i = 0; i < analysis->node_count && at < flow.cut_count; i++) {
        const es_model_node *node = &analysis->nodes[i];
        macs += node->constant ? 0 : node->macs;
        count += node->constant ? 0 : node->parameter_count;
        bytes += node->constant ? 0 : node->parameter_bytes;
        both_count += shared_count[i];
        both_bytes += shared_bytes[i];
        if (model->graph->values.items[flow.cut_values[at]].node != i)
            continue;
        points[at] = (es_model_cut_point){
            .tensor = tensor_of(model, analysis, flow.cut_values[at]),
            .node_index = i,
            .macs_before = macs,
            .macs_after = analysis->macs - macs,
            .parameter_count_before = count,
            .parameter_count_after = analysis->parameter_count - count + both_count,
            .parameter_bytes_before = bytes,
            .parameter_bytes_after = analysis->parameter_bytes - bytes + both_bytes};
        at++;
    }
    *out_list = (es_model_cut_list){.count = flow.cut_count, .points = points};
    return ES_OK;
}
