/*
 * Layers with constant weights: which channel of the output, and of the input, a weight belongs to.
 */
#include "compress/internal.h"

/* Groups and the axis of the output channels; false when the dimensions do not go together. */
static bool arrange(const es_wiring *w, es_layer *l, bool conv)
{
    const int64_t *dims = l->shape.tensor.dims;
    size_t rank = (size_t)l->shape.tensor.rank;
    bool turned =
        es_wiring_is(w, l->node, "Gemm") && es_model_attr_int(w->model, l->node, "transB", 0) != 0;
    int64_t groups = conv || l->transposed ? es_model_attr_int(w->model, l->node, "group", 1) : 1;
    if (rank < 2 || (rank != 2 && !conv && !l->transposed) || groups < 1 ||
        l->shape.tensor.elements == 0)
        return false;
    l->groups = (size_t)groups;
    l->axis = conv || turned ? 0 : 1;
    l->inner = 1;
    for (size_t i = l->axis + 1; i < rank; i++)
        l->inner *= (size_t)dims[i];
    size_t across = (size_t)dims[l->axis == 0 ? 1 : 0]; /* channels of the other side */
    l->channels = (size_t)dims[l->axis] * (l->transposed ? l->groups : 1);
    l->inputs = across * (conv ? l->groups : 1);
    return l->channels % l->groups == 0 && l->inputs % l->groups == 0;
}

es_status es_layer_read(const es_wiring *w, size_t node, es_layer *out, bool *out_found,
                        es_error *err)
{
    bool conv = es_wiring_is(w, node, "Conv");
    bool gemm = es_wiring_is(w, node, "Gemm");
    bool matmul = es_wiring_is(w, node, "MatMul");
    es_layer l = {.node = node,
                  .weight = es_wiring_input(w, node, 1),
                  .bias = matmul ? ES_NONE : es_wiring_input(w, node, 2),
                  .transposed = es_wiring_is(w, node, "ConvTranspose")};
    *out_found = false;
    *out = l;
    if ((!conv && !gemm && !matmul && !l.transposed) || !es_wiring_is_weight(w, l.weight) ||
        (l.bias != ES_NONE && !es_wiring_is_weight(w, l.bias)))
        return ES_OK;
    if (gemm && (es_model_attr_float(w->model, node, "alpha", 1) != 1.0f ||
                 es_model_attr_float(w->model, node, "beta", 1) != 1.0f ||
                 es_model_attr_int(w->model, node, "transA", 0) != 0))
        return ES_OK;
    ES_TRY(es_wiring_floats(w, l.weight, &l.shape, &l.weights, err));
    if (!arrange(w, &l, conv))
        return ES_OK;
    l.count = (size_t)l.shape.tensor.elements;
    if (l.bias != ES_NONE) {
        es_model_weight bias;
        ES_TRY(es_wiring_floats(w, l.bias, &bias, &l.biases, err));
        l.bias_count = (size_t)bias.tensor.elements;
        int32_t rank = bias.tensor.rank;
        bool row = rank == 0 || bias.tensor.dims[rank - 1] == bias.tensor.elements;
        if (!row || (l.bias_count != 1 && l.bias_count != l.channels))
            return ES_OK; /* a Gemm may add a matrix */
    }
    *out = l;
    *out_found = true;
    return ES_OK;
}

size_t es_layer_output_at(const es_layer *l, size_t index)
{
    size_t along = (size_t)l->shape.tensor.dims[l->axis];
    size_t place = index / l->inner % along;
    if (!l->transposed)
        return place;
    size_t input = index / l->inner / along;
    return input / (l->inputs / l->groups) * along + place;
}

size_t es_layer_input_at(const es_layer *l, size_t index)
{
    if (l->axis == 1) /* [inputs, outputs, ...] */
        return index / l->inner / (size_t)l->shape.tensor.dims[1];
    size_t in_group = l->inputs / l->groups;
    size_t kernel = l->inner / in_group;
    size_t group = index / l->inner / (l->channels / l->groups);
    return group * in_group + index / kernel % in_group;
}

double es_layer_bias(const es_layer *l, size_t channel)
{
    return l->biases != NULL ? (double)l->biases[l->bias_count == 1 ? 0 : channel] : 0;
}
