/* What must be computed for the outputs, which gradients are needed, and the shapes of windows. */
#include "train/internal.h"

bool es_train_role_trained(es_nn_role role)
{
    return role == ES_NN_WEIGHT || role == ES_NN_RECURRENT || role == ES_NN_BIAS ||
           role == ES_NN_GAMMA || role == ES_NN_BETA;
}

size_t es_train_param_index(const es_nn_layer *layer, es_nn_role role)
{
    for (size_t i = 0; i < layer->param_count; i++)
        if (layer->params[i].role == role)
            return i;
    return ES_NN_PARAMS_MAX;
}

size_t es_shape_channels(es_nn_shape shape)
{
    return shape.dims[0];
}

size_t es_shape_inner(es_nn_shape shape)
{
    return shape.count / shape.dims[0];
}

es_geometry es_geometry_of(const es_nn_layer *layer, es_nn_shape in)
{
    const es_nn_window *w = &layer->window;
    es_geometry g = {.channels = in.dims[0],
                     .rows = in.rank == 3 ? in.dims[1] : 1,
                     .columns = in.rank == 3   ? in.dims[2]
                                : in.rank == 2 ? in.dims[1]
                                               : 1,
                     .out_channels = layer->shape.dims[0],
                     .out_rows = layer->shape.rank == 3 ? layer->shape.dims[1] : 1,
                     .out_columns = layer->shape.rank == 3   ? layer->shape.dims[2]
                                    : layer->shape.rank == 2 ? layer->shape.dims[1]
                                                             : 1,
                     .groups = layer->groups > 0 ? layer->groups : 1};
    size_t shift = in.rank == 3 ? 0 : 1; /* a series' entry 0 is along columns */
    g.kernel[0] = g.stride[0] = g.dilation[0] = 1;
    for (size_t d = 0; d + shift < 2; d++) {
        g.kernel[d + shift] = w->kernel[d];
        g.stride[d + shift] = w->stride[d] > 0 ? w->stride[d] : 1;
        g.dilation[d + shift] = w->dilation[d] > 0 ? w->dilation[d] : 1;
        g.before[d + shift] = w->pad_before[d];
        g.after[d + shift] = w->pad_after[d];
    }
    if (layer->kind == ES_NN_GLOBAL_POOL) {
        g.kernel[0] = g.rows;
        g.kernel[1] = g.columns;
    }
    return g;
}

void es_train_statistics(es_nn_layer *layer, const es_real *mean, const es_real *variance)
{
    es_nn_param *running_mean = &layer->params[es_train_param_index(layer, ES_NN_MEAN)];
    es_nn_param *running_variance = &layer->params[es_train_param_index(layer, ES_NN_VARIANCE)];
    double keep = layer->momentum;
    for (size_t c = 0; c < running_mean->count; c++) {
        running_mean->values[c] =
            (float)(keep * (double)running_mean->values[c] + (1 - keep) * (double)mean[c]);
        running_variance->values[c] =
            (float)(keep * (double)running_variance->values[c] + (1 - keep) * (double)variance[c]);
    }
}

static es_nn_id behind_softmax(const es_nn *nn, es_nn_id id)
{
    const es_nn_layer *layer = &nn->layers.items[id.index];
    return layer->kind == ES_NN_SOFTMAX && layer->shape.rank == 1 ? layer->inputs[0] : id;
}

static bool has_trained_params(const es_nn_layer *layer)
{
    for (size_t i = 0; i < layer->param_count; i++)
        if (es_train_role_trained(layer->params[i].role))
            return !layer->frozen;
    return false;
}

es_status es_train_graph_make(es_arena *arena, const es_nn *nn, bool logits,
                              es_train_graph *out_graph, es_error *err)
{
    size_t count = nn->layers.count;
    es_train_graph graph = {.layer_count = count,
                            .output_count = nn->output_count,
                            .needed = ES_TAKE_ARRAY(arena, bool, count),
                            .trained = ES_TAKE_ARRAY(arena, bool, count),
                            .wanted = ES_TAKE_ARRAY(arena, bool, count),
                            .uses = ES_TAKE_ARRAY(arena, size_t, count)};
    if (graph.needed == NULL || graph.trained == NULL || graph.wanted == NULL || graph.uses == NULL)
        return es_arena_full(arena, "graph", err);
    if (count == 0 || nn->layers.items[0].kind != ES_NN_INPUT || nn->output_count == 0)
        return es_fail(err, ES_ERR_ARG, "net '%s' must have an input and an output", nn->name);
    for (size_t k = 0; k < nn->output_count; k++) {
        es_nn_id id = nn->outputs[k].layer;
        graph.outputs[k] = logits ? behind_softmax(nn, id) : id;
        graph.needed[graph.outputs[k].index] = true;
        graph.uses[graph.outputs[k].index]++;
    }
    graph.needed[0] = true;
    for (size_t i = count; i-- > 0;) {
        for (size_t k = 0; graph.needed[i] && k < nn->layers.items[i].input_count; k++) {
            graph.needed[nn->layers.items[i].inputs[k].index] = true;
            graph.uses[nn->layers.items[i].inputs[k].index]++;
        }
    }
    for (size_t i = 0; i < count; i++) {
        const es_nn_layer *layer = &nn->layers.items[i];
        graph.trained[i] = graph.needed[i] && has_trained_params(layer);
        graph.wanted[i] = graph.trained[i];
        for (size_t k = 0; graph.needed[i] && k < layer->input_count; k++)
            graph.wanted[i] = graph.wanted[i] || graph.wanted[layer->inputs[k].index];
    }
    *out_graph = graph;
    return ES_OK;
}
