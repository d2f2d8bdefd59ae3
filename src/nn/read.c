/*
 * A net from an ONNX graph: values by name, the walk over the nodes, the outputs.
 */
#include "nn/read.h"

#include <stdlib.h>

/* ---- values ---- */

static int compare_values(const void *left, const void *right)
{
    const es_nn_value *a = left;
    const es_nn_value *b = right;
    return strcmp(a->name, b->name);
}

es_nn_value *es_nn_read_find(const es_nn_reader *r, const char *name)
{
    es_nn_value key = {.name = name};
    return bsearch(&key, r->values, r->value_count, sizeof key, compare_values);
}

static void count_use(const es_nn_reader *r, const char *name)
{
    es_nn_value *value = es_nn_read_find(r, name);
    if (value != NULL)
        value->uses++;
}

/* The input and what nodes make of it. */
static es_status list_values(es_nn_reader *r, es_error *err)
{
    size_t nodes = r->analysis->node_count;
    size_t most = 1;
    for (size_t i = 0; i < nodes; i++)
        most += r->analysis->nodes[i].output_count;
    r->values = ES_TAKE_ARRAY(r->arena, es_nn_value, most);
    if (r->values == NULL)
        return es_arena_full(r->arena, "net", err);
    const es_model_tensor *input = es_model_input(r->model, 0);
    r->values[r->value_count++] =
        (es_nn_value){.name = input->name, .tensor = input, .node = UINT32_MAX, .flat = ES_NN_NONE};
    for (size_t i = 0; i < nodes; i++) {
        const es_model_node *node = &r->analysis->nodes[i];
        for (size_t k = 0; k < node->output_count && !node->constant; k++) {
            if (node->outputs[k] == NULL)
                continue;
            r->values[r->value_count++] = (es_nn_value){.name = node->outputs[k]->name,
                                                        .tensor = node->outputs[k],
                                                        .node = (uint32_t)i,
                                                        .flat = ES_NN_NONE};
        }
    }
    qsort(r->values, r->value_count, sizeof *r->values, compare_values);
    for (size_t i = 0; i < nodes; i++) {
        es_model_op op = es_model_op_at(r->model, i);
        for (size_t k = 0; k < op.input_count; k++)
            count_use(r, op.inputs[k]);
        for (size_t k = 0; k < op.captured_count; k++)
            count_use(r, op.captured[k]);
    }
    for (size_t i = 0; i < es_model_output_count(r->model); i++)
        count_use(r, es_model_output(r->model, i)->name);
    return ES_OK;
}

/* ---- the walk ---- */

/* Arithmetic on shapes: its results were inferred already. */
static bool makes_no_floats(const es_model_node *node)
{
    for (size_t i = 0; i < node->output_count; i++) {
        if (node->outputs[i] != NULL && node->outputs[i]->type != ES_MODEL_INT64 &&
            node->outputs[i]->type != ES_MODEL_INT32 && node->outputs[i]->type != ES_MODEL_BOOL)
            return false;
    }
    return true;
}

/* What follows from shapes alone (a GRU's first state) is asked for where it is used. */
static bool sees_a_view(const es_nn_reader *r)
{
    for (size_t i = 0; i < r->op.input_count; i++) {
        const es_nn_value *value = es_nn_read_find(r, r->op.inputs[i]);
        if (value != NULL && (value->has_view || value->stacked))
            return true;
    }
    return false;
}

static es_nn_read_fn find_fn(const es_model_op *op)
{
    es_nn_read_fn fn = NULL;
    if (strcmp(op->domain, "ai.onnx") != 0)
        return NULL;
    fn = es_nn_read_layers(op->op);
    fn = fn != NULL ? fn : es_nn_read_elements(op->op);
    fn = fn != NULL ? fn : es_nn_read_series(op->op);
    return fn != NULL ? fn : es_nn_read_views(op->op);
}

static es_status walk(es_nn_reader *r, es_error *err)
{
    for (r->node = 0; r->node < r->analysis->node_count; r->node++) {
        const es_model_node *node = &r->analysis->nodes[r->node];
        if (node->constant || makes_no_floats(node))
            continue;
        r->op = es_model_op_at(r->model, r->node);
        if (!sees_a_view(r))
            continue;
        es_nn_read_fn fn = find_fn(&r->op);
        if (fn == NULL || r->op.subgraph_count > 0 || r->op.output_count == 0)
            return es_nn_read_fail(r, err, "no kind of layer computes this operator");
        ES_TRY(fn(r, err));
    }
    return ES_OK;
}

/* ---- inputs and outputs ---- */

static es_status check_input(const es_nn_reader *r, es_error *err)
{
    if (es_model_input_count(r->model) != 1)
        return es_fail(err, ES_ERR_UNSUPPORTED, "%zu inputs, expected one",
                       es_model_input_count(r->model));
    const es_model_tensor *input = es_model_input(r->model, 0);
    if (input->type != ES_MODEL_FLOAT || input->rank < 2 || input->rank > 4)
        return es_fail(
            err, ES_ERR_UNSUPPORTED,
            "input '%s' is %s of rank %d, expected FLOAT of rank 2 to 4, the batch first",
            input->name, es_model_type_name(input->type), (int)input->rank);
    for (int32_t i = 1; i < input->rank; i++) {
        if (input->dims[i] < 1)
            return es_fail(err, ES_ERR_UNSUPPORTED,
                           "input '%s': dimension %d is free; only the batch may be: bind it",
                           input->name, (int)i);
    }
    return ES_OK;
}

static es_status start(es_nn_reader *r, bool channels_last, es_error *err)
{
    const es_model_tensor *input = es_model_input(r->model, 0);
    const char *graph = es_model_graph(r->model);
    size_t dims[ES_NN_RANK_MAX] = {0};
    size_t rank = (size_t)input->rank - 1;
    for (size_t i = 0; i < rank; i++)
        dims[channels_last ? (i + 1) % rank : i] = (size_t)input->dims[i + 1];
    r->batch = input->dims[0] > 0 ? (size_t)input->dims[0] : 1;
    es_nn_shape shape = {.rank = rank};
    memcpy(shape.dims, dims, sizeof dims);
    ES_TRY(es_nn_new(r->arena, graph[0] != '\0' ? graph : "net", input->name, shape, &r->nn, err));
    r->nn->channels_last = channels_last;
    shape = r->nn->layers.items[0].shape;
    for (size_t i = 0; i < r->value_count; i++) {
        r->values[i].has_view = r->values[i].padded = r->values[i].gate = false;
        r->values[i].quantised = r->values[i].stacked = false;
        r->values[i].flat = ES_NN_NONE;
    }
    es_nn_value *value = es_nn_read_find(r, input->name);
    value->has_view = true;
    value->view = channels_last ? es_nn_view_last((es_nn_id){0}, shape)
                                : es_nn_view_plain((es_nn_id){0}, shape);
    return ES_OK;
}

/* [batch, rows * columns, channels] */
static bool is_places(const es_nn_view *view, es_nn_shape shape)
{
    es_nn_view last = es_nn_view_last(view->layer, shape);
    int64_t dims[3] = {1, (int64_t)(shape.count / shape.dims[0]), (int64_t)shape.dims[0]};
    return es_nn_view_reshape(&last, shape, 1, 3, dims) && es_nn_view_same(view, &last);
}

static es_status add_output(es_nn_reader *r, const char *name, es_error *err)
{
    es_nn_value *value = es_nn_read_find(r, name);
    if (value == NULL || !value->has_view || value->padded || value->gate || value->quantised)
        return es_fail(err, ES_ERR_UNSUPPORTED, "output '%s' is not made by a layer", name);
    es_nn_id layer = value->view.layer;
    es_nn_shape shape = es_nn_at(r->nn, layer)->shape;
    es_nn_view last = es_nn_view_last(layer, shape);
    es_nn_layout layout = ES_NN_CHANNELS_FIRST;
    if (es_nn_view_is_plain(&value->view, shape))
        layout = ES_NN_CHANNELS_FIRST;
    else if (es_nn_view_same(&value->view, &last))
        layout = ES_NN_CHANNELS_LAST;
    else if (is_places(&value->view, shape))
        layout = ES_NN_PLACES;
    else
        ES_TRY(es_within(err, es_nn_read_flat(r, value, &layer, err), "output '%s'", name));
    ES_TRY(es_nn_output_add(r->nn, name, layer, err));
    r->nn->outputs[r->nn->output_count - 1].layout = layout;
    return ES_OK;
}

/* A mean over all places and a flatten that only it feeds are one layer. */
static void join_global_pools(es_nn *nn)
{
    for (size_t i = 0; i < nn->layers.count; i++) {
        es_nn_layer *flat = &nn->layers.items[i];
        if (flat->kind != ES_NN_FLATTEN)
            continue;
        const es_nn_layer *pool = es_nn_at(nn, flat->inputs[0]);
        if (pool->kind != ES_NN_AVERAGE_POOL || pool->shape.count != pool->shape.dims[0] ||
            es_nn_uses(nn, flat->inputs[0]) != 1)
            continue;
        es_nn_shape in = es_nn_at(nn, pool->inputs[0])->shape;
        bool whole = true;
        for (size_t k = 0; k + 1 < in.rank; k++)
            whole = whole && pool->window.kernel[k] == in.dims[k + 1];
        if (!whole)
            continue;
        flat->kind = ES_NN_GLOBAL_POOL;
        flat->inputs[0] = pool->inputs[0];
    }
}

static es_status attempt(es_nn_reader *r, bool channels_last, es_error *err)
{
    ES_TRY(start(r, channels_last, err));
    ES_TRY(walk(r, err));
    for (size_t i = 0; i < es_model_output_count(r->model); i++)
        ES_TRY(add_output(r, es_model_output(r->model, i)->name, err));
    join_global_pools(r->nn);
    return es_nn_seal(r->nn, err);
}

/* Which way the input's channels lie is known when the layers behind it fit. */
static es_status read_graph(es_nn_reader *r, es_error *err)
{
    ES_TRY(check_input(r, err));
    ES_TRY(list_values(r, err));
    es_error first = {0};
    es_error second = {0};
    es_status status = attempt(r, false, &first);
    size_t reached = r->node;
    if (status != ES_ERR_UNSUPPORTED || es_model_input(r->model, 0)->rank < 3) {
        if (status != ES_OK && err != NULL)
            *err = first;
        return status;
    }
    status = attempt(r, true, &second);
    if (status != ES_OK && err != NULL)
        *err = status == ES_ERR_UNSUPPORTED && r->node <= reached ? first : second;
    return status;
}

static es_status read_model(es_nn_reader *r, es_error *err)
{
    es_model_analyse_opts opts = es_model_analyse_opts_default();
    opts.unknown_allowed = true;
    ES_TRY(es_model_upgrade(r->arena, r->model, &r->model, err));
    ES_TRY(es_model_analyse(r->arena, r->model, opts, &r->analysis, err));
    return es_within(err, read_graph(r, err), "model '%s'", es_model_name(r->model));
}

es_status es_nn_from_model(es_arena *arena, const es_model *model, es_nn **out_nn, es_error *err)
{
    es_nn_reader reader = {.arena = arena, .model = model};
    ES_TRY(read_model(&reader, err));
    *out_nn = reader.nn;
    return ES_OK;
}
