/* The scaling of raw inputs as part of the net. */
#include "train/internal.h"

static es_status add_scale(es_nn *nn, const char *name, es_nn_id behind, size_t channels,
                           es_nn_id *out_id, es_error *err)
{
    es_nn_layer layer = {.kind = ES_NN_SCALE,
                         .name = es_nn_is(es_nn_find(nn, name)) ? NULL : name,
                         .input_count = 1,
                         .inputs = {behind}};
    ES_TRY(es_nn_add(nn, &layer, 0, false, out_id, err));
    const es_nn_layer *made = &nn->layers.items[out_id->index];
    if (made->shape.dims[0] != channels)
        return es_fail(err, ES_ERR_ARG, "net '%s': %zu channels, the scaling has %zu", nn->name,
                       made->shape.dims[0], channels);
    return ES_OK;
}

static float *values_of(es_nn *nn, es_nn_id id, es_nn_role role)
{
    return es_nn_param_of(&nn->layers.items[id.index], role)->values;
}

static const es_nn_layer *scale_of(const es_nn *nn)
{
    for (size_t i = 1; i < nn->layers.count; i++)
        if (nn->layers.items[i].kind == ES_NN_SCALE && nn->layers.items[i].inputs[0].index == 0)
            return &nn->layers.items[i];
    return NULL;
}

bool es_train_has_scale(const es_nn *nn)
{
    return scale_of(nn) != NULL;
}

const float *es_train_scaled(const es_nn *nn, const float *x, size_t samples, float *scratch)
{
    const es_nn_layer *scale = scale_of(nn);
    if (scale == NULL)
        return x;
    const float *factor = scale->params[es_train_param_index(scale, ES_NN_FACTOR)].values;
    const float *offset = scale->params[es_train_param_index(scale, ES_NN_OFFSET)].values;
    size_t channels = es_shape_channels(scale->shape);
    size_t inner = es_shape_inner(scale->shape);
    for (size_t row = 0; row < samples * channels; row++)
        for (size_t k = 0, at = row * inner; k < inner; k++, at++)
            scratch[at] = x[at] * factor[row % channels] + offset[row % channels];
    return scratch;
}

es_status es_train_scale_input(es_nn *nn, const es_scaling *scaling, es_error *err)
{
    es_nn_id id = ES_NN_NONE;
    ES_TRY(add_scale(nn, "scale", (es_nn_id){0}, scaling->channel_count, &id, err));
    for (size_t c = 0; c < scaling->channel_count; c++) {
        values_of(nn, id, ES_NN_FACTOR)[c] = scaling->factor[c];
        values_of(nn, id, ES_NN_OFFSET)[c] = -scaling->mean[c] * scaling->factor[c];
    }
    ES_TRY(es_nn_replace(nn, (es_nn_id){0}, id, err));
    return es_nn_seal(nn, err);
}

/* Which channel of the input a channel of the output belongs to: they may be flattened. */
es_status es_train_scale_output(es_nn *nn, const es_scaling *scaling, es_error *err)
{
    es_nn_id last = nn->outputs[nn->output_count - 1].layer;
    const es_nn_shape in = nn->layers.items[0].shape;
    const es_nn_shape out = nn->layers.items[last.index].shape;
    es_nn_id id = ES_NN_NONE;
    if (in.count != out.count || in.dims[0] != scaling->channel_count)
        return es_fail(err, ES_ERR_ARG,
                       "net '%s' gives %zu values for an input of %zu with %zu channels", nn->name,
                       out.count, in.count, in.dims[0]);
    ES_TRY(add_scale(nn, "rescale", last, out.dims[0], &id, err));
    for (size_t c = 0; c < out.dims[0]; c++) {
        size_t channel = c * (out.count / out.dims[0]) / (in.count / in.dims[0]);
        values_of(nn, id, ES_NN_FACTOR)[c] = 1 / scaling->factor[channel];
        values_of(nn, id, ES_NN_OFFSET)[c] = scaling->mean[channel];
    }
    nn->outputs[nn->output_count - 1].layer = id;
    return es_nn_seal(nn, err);
}
