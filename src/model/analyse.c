/*
 * Figures per node and in total: work, weights, activations, and the peak of live activations.
 */
#include "model/internal.h"

typedef struct counter {
    es_arena *arena;
    const es_graph *graph;
    const es_infer *infer;
    es_model_tensor *tensors; /* by value */
    size_t *last_use;         /* by value: node index, or node_count for outputs; SIZE_MAX: never */
    bool *counted;            /* by value: weight already counted */
} counter;

static bool add(int64_t *sum, int64_t value)
{
    return es_int64_add(*sum, value, sum) && *sum <= INT64_MAX / 4;
}

static es_status tell_all(counter *c, es_error *err)
{
    const es_graph *graph = c->graph;
    size_t count = graph->values.count;
    c->tensors = ES_TAKE_ARRAY(c->arena, es_model_tensor, count);
    c->last_use = ES_TAKE_ARRAY(c->arena, size_t, count);
    c->counted = ES_TAKE_ARRAY(c->arena, bool, count);
    if (c->tensors == NULL || c->last_use == NULL || c->counted == NULL)
        return es_arena_full(c->arena, "analysis", err);
    for (size_t v = 0; v < count; v++) {
        ES_TRY(es_fact_tell(c->arena, c->infer->symbols, graph->values.items[v].name,
                            &c->infer->facts[v], &c->tensors[v], err));
        c->last_use[v] = graph->values.items[v].is_output ? graph->node_count : SIZE_MAX;
    }
    for (size_t i = 0; i < graph->node_count; i++) {
        const es_gnode *node = &graph->nodes[i];
        for (uint32_t k = 0; k < node->input_count + node->captured_count; k++) {
            uint32_t v =
                k < node->input_count ? node->inputs[k] : node->captured[k - node->input_count];
            if (v != ES_NO_VALUE && c->last_use[v] != graph->node_count)
                c->last_use[v] = i;
        }
    }
    return ES_OK;
}

static es_status point_at(counter *c, const uint32_t *values, uint32_t count,
                          const es_model_tensor *const **out, es_error *err)
{
    const es_model_tensor **list = ES_TAKE_ARRAY(c->arena, const es_model_tensor *, count);
    if (list == NULL)
        return es_arena_full(c->arena, "analysis", err);
    for (uint32_t k = 0; k < count; k++)
        list[k] = values[k] != ES_NO_VALUE ? &c->tensors[values[k]] : NULL;
    *out = list;
    return ES_OK;
}

/* Weights stored inside subgraphs. Recursion is bounded by ES_WIRE_DEPTH_MAX. */
static bool count_inner(const es_graph *graph, es_model_node *out)
{
    bool ok = true;
    for (size_t i = 0; i < graph->proto->n_initializer; i++) {
        ok = ok && add(&out->parameter_count, es_tensor_elements(graph->proto->initializer[i]));
        ok = ok && add(&out->parameter_bytes, es_tensor_bytes(graph->proto->initializer[i]));
    }
    for (size_t i = 0; i < graph->node_count; i++) {
        const es_gnode *node = &graph->nodes[i];
        for (size_t a = 0;
             strcmp(node->proto->op_type, "Constant") == 0 && a < node->proto->n_attribute; a++) {
            const Onnx__TensorProto *tensor = node->proto->attribute[a]->t;
            ok = ok && (tensor == NULL || add(&out->parameter_count, es_tensor_elements(tensor)));
            ok = ok && (tensor == NULL || add(&out->parameter_bytes, es_tensor_bytes(tensor)));
        }
        for (uint32_t g = 0; g < node->subgraph_count; g++)
            ok = ok && count_inner(node->subgraphs[g], out);
    }
    return ok;
}

static bool count_uses(counter *c, const es_gnode *node, es_model_node *out)
{
    bool ok = true;
    for (uint32_t k = 0; k < node->input_count + node->captured_count; k++) {
        uint32_t v =
            k < node->input_count ? node->inputs[k] : node->captured[k - node->input_count];
        if (v == ES_NO_VALUE)
            continue;
        const es_model_tensor *tensor = &c->tensors[v];
        if (c->graph->values.items[v].constant) {
            if (!node->constant && !c->counted[v] && tensor->elements >= 0) {
                ok = ok && add(&out->parameter_count, tensor->elements) &&
                     add(&out->parameter_bytes, tensor->bytes > 0 ? tensor->bytes : 0);
                c->counted[v] = true;
            }
        } else if (tensor->bytes >= 0) {
            ok = ok && add(&out->input_bytes, tensor->bytes);
        } else {
            out->known = false;
        }
    }
    return ok;
}

static es_status count_node(counter *c, size_t index, es_model_node *out, es_error *err)
{
    const es_gnode *node = &c->graph->nodes[index];
    const Onnx__NodeProto *proto = node->proto;
    *out = (es_model_node){.name = proto->name != NULL ? proto->name : "",
                           .op = proto->op_type,
                           .domain = es_domain(proto->domain),
                           .input_count = node->input_count,
                           .output_count = node->output_count,
                           .constant = node->constant,
                           .known = true};
    ES_TRY(point_at(c, node->inputs, node->input_count, &out->inputs, err));
    ES_TRY(point_at(c, node->outputs, node->output_count, &out->outputs, err));
    int64_t macs = c->infer->macs[index];
    int64_t elements = c->infer->element_ops[index];
    out->known = macs >= 0 && elements >= 0;
    out->macs = macs >= 0 ? macs : 0;
    out->element_ops = elements >= 0 ? elements : 0;
    bool ok = count_uses(c, node, out);
    for (uint32_t g = 0; !node->constant && g < node->subgraph_count; g++)
        ok = ok && count_inner(node->subgraphs[g], out);
    for (uint32_t k = 0; k < node->output_count && !node->constant; k++) {
        if (node->outputs[k] == ES_NO_VALUE)
            continue;
        int64_t bytes = c->tensors[node->outputs[k]].bytes;
        out->known = out->known && bytes >= 0;
        ok = ok && (bytes < 0 || add(&out->output_bytes, bytes));
    }
    return ok ? ES_OK
              : es_fail(err, ES_ERR_LIMIT, "node %zu '%s': sizes add up to more than 61 bits",
                        index, out->name);
}

static int64_t live_bytes_of(const counter *c, uint32_t value)
{
    bool counts = value != ES_NO_VALUE && !c->graph->values.items[value].constant &&
                  c->tensors[value].bytes > 0;
    return counts ? c->tensors[value].bytes : 0;
}

/* Graph inputs live from the start to their last use, outputs to the end; a value that nobody uses
 * lives while its node runs. */
static es_status count_live(counter *c, es_model_node *nodes, es_model_analysis *out, es_error *err)
{
    const es_graph *graph = c->graph;
    int64_t live = 0;
    bool ok = true;
    for (size_t i = 0; i < graph->input_count; i++)
        ok = ok && add(&live, live_bytes_of(c, graph->inputs[i]));
    out->peak_bytes = graph->node_count == 0 ? live : 0;
    for (size_t i = 0; i < graph->node_count && ok; i++) {
        const es_gnode *node = &graph->nodes[i];
        for (uint32_t k = 0; k < node->output_count; k++)
            ok = ok && add(&live, live_bytes_of(c, node->outputs[k]));
        nodes[i].live_bytes = live;
        if (live > out->peak_bytes) {
            out->peak_bytes = live;
            out->peak_node = i;
        }
        for (uint32_t k = 0; k < node->output_count; k++) {
            if (node->outputs[k] != ES_NO_VALUE && c->last_use[node->outputs[k]] == SIZE_MAX)
                live -= live_bytes_of(c, node->outputs[k]);
        }
        for (uint32_t k = 0; k < node->input_count + node->captured_count; k++) {
            uint32_t v =
                k < node->input_count ? node->inputs[k] : node->captured[k - node->input_count];
            if (v == ES_NO_VALUE || c->last_use[v] != i)
                continue;
            live -= live_bytes_of(c, v);
            c->last_use[v] = SIZE_MAX; /* released once, also when it is used twice */
        }
    }
    return ok ? ES_OK : es_fail(err, ES_ERR_LIMIT, "activations add up to more than 61 bits");
}

static es_status count_totals(const es_model_node *nodes, const es_graph *graph,
                              es_model_analysis *out, es_error *err)
{
    bool ok = true;
    for (size_t i = 0; i < graph->node_count; i++) {
        const es_model_node *node = &nodes[i];
        if (node->constant)
            continue;
        ok = ok && add(&out->macs, node->macs) && add(&out->element_ops, node->element_ops) &&
             add(&out->parameter_count, node->parameter_count) &&
             add(&out->parameter_bytes, node->parameter_bytes);
        if (!node->known && out->unknown_count++ == 0) {
            bool named =
                node->name[0] != '\0' || node->output_count == 0 || node->outputs[0] == NULL;
            out->unknown_first = named ? node->name : node->outputs[0]->name;
        }
    }
    for (size_t i = 0; i < graph->proto->n_initializer; i++) {
        const Onnx__TensorProto *tensor = graph->proto->initializer[i];
        ok = ok && add(&out->stored_count, es_tensor_elements(tensor)) &&
             add(&out->stored_bytes, es_tensor_bytes(tensor));
    }
    for (size_t i = 0; i < graph->node_count; i++) {
        const Onnx__NodeProto *proto = graph->nodes[i].proto;
        for (size_t k = 0; strcmp(proto->op_type, "Constant") == 0 && k < proto->n_attribute; k++) {
            const Onnx__TensorProto *tensor = proto->attribute[k]->t;
            ok = ok && (tensor == NULL || (add(&out->stored_count, es_tensor_elements(tensor)) &&
                                           add(&out->stored_bytes, es_tensor_bytes(tensor))));
        }
    }
    return ok ? ES_OK : es_fail(err, ES_ERR_LIMIT, "figures add up to more than 61 bits");
}

static es_status check_opts(const es_model_analyse_opts *opts, es_error *err)
{
    if (opts->free_dim < 0)
        return es_fail(err, ES_ERR_ARG, "free_dim=%lld must be >= 0", (long long)opts->free_dim);
    for (size_t i = 0; i < opts->binding_count; i++) {
        if (opts->bindings[i].value < 1)
            return es_fail(err, ES_ERR_ARG, "free dimension '%s'=%lld must be >= 1",
                           opts->bindings[i].name != NULL ? opts->bindings[i].name : "*",
                           (long long)opts->bindings[i].value);
    }
    return ES_OK;
}

static es_status analyse(es_arena *arena, const es_model *model, const es_model_analyse_opts *opts,
                         const es_model_analysis **out_analysis, es_error *err)
{
    ES_TRY(check_opts(opts, err));
    es_infer *infer = NULL;
    ES_TRY(es_infer_model(arena, model, opts, true, &infer, err));
    counter c = {.arena = arena, .graph = model->graph, .infer = infer};
    ES_TRY(tell_all(&c, err));
    es_model_analysis *out = ES_TAKE_ONE(arena, es_model_analysis);
    es_model_node *nodes = ES_TAKE_ARRAY(arena, es_model_node, model->graph->node_count);
    if (out == NULL || nodes == NULL)
        return es_arena_full(arena, "analysis", err);
    for (size_t i = 0; i < model->graph->node_count; i++)
        ES_TRY(count_node(&c, i, &nodes[i], err));
    ES_TRY(count_live(&c, nodes, out, err));
    ES_TRY(count_totals(nodes, model->graph, out, err));
    out->node_count = model->graph->node_count;
    out->nodes = nodes;
    out->input_count = model->graph->input_count;
    out->output_count = model->graph->output_count;
    ES_TRY(point_at(&c, model->graph->inputs, (uint32_t)out->input_count, &out->inputs, err));
    ES_TRY(point_at(&c, model->graph->outputs, (uint32_t)out->output_count, &out->outputs, err));
    *out_analysis = out;
    return ES_OK;
}

static bool has_free_dims(const es_model *model)
{
    for (size_t i = 0; i < es_model_input_count(model); i++) {
        for (int32_t k = 0; k < es_model_input(model, i)->rank; k++) {
            if (es_model_input(model, i)->dims[k] < 0)
                return true;
        }
    }
    return false;
}

es_status es_model_analyse(es_arena *arena, const es_model *model, es_model_analyse_opts opts,
                           const es_model_analysis **out_analysis, es_error *err)
{
    es_status status = analyse(arena, model, &opts, out_analysis, err);
    if (status == ES_ERR_PARSE && opts.free_dim > 0 && has_free_dims(model))
        status = es_within(err, status, "free dimensions without binding taken as %lld",
                           (long long)opts.free_dim);
    return es_within(err, status, "model '%s'", model->name);
}

const es_model_tensor *es_model_analysis_find(const es_model_analysis *analysis, const char *name)
{
    for (size_t i = 0; i < analysis->input_count; i++) {
        if (strcmp(analysis->inputs[i]->name, name) == 0)
            return analysis->inputs[i];
    }
    for (size_t i = 0; i < analysis->node_count; i++) {
        const es_model_node *node = &analysis->nodes[i];
        for (size_t k = 0; k < node->input_count + node->output_count; k++) {
            const es_model_tensor *tensor =
                k < node->input_count ? node->inputs[k] : node->outputs[k - node->input_count];
            if (tensor != NULL && strcmp(tensor->name, name) == 0)
                return tensor;
        }
    }
    return NULL;
}
