/*
 * A net as an ONNX graph. The value a layer makes has the name of the output that tells it, else
 * the layer's; all other names are the layer's with one suffix, so that they cannot meet.
 */
#include "nn/internal.h"

enum { OPSET = 17 };

typedef struct writer {
    es_arena *arena;
    const es_nn *nn;
    es_model_build *build;
    const char **values; /* by layer: name of its ONNX value */
    bool full;           /* the arena is; told at the end */
} writer;

#define NODE(w, op, name, out, ...)                                                                \
    es_model_build_node((w)->build, (op), NULL, (name), (const char *const[]){__VA_ARGS__, NULL},  \
                        (const char *const[]){(out), NULL})

/* ---- names ---- */

static bool is_taken(const es_nn *nn, const char *name)
{
    for (size_t i = 0; i < nn->output_count; i++) {
        if (strcmp(nn->outputs[i].name, name) == 0)
            return true;
    }
    return es_nn_is(es_nn_find(nn, name));
}

/* "layer.suffix", with _ behind it while a layer or output has that name. */
static const char *derived(writer *w, const es_nn_layer *layer, const char *suffix)
{
    const char *name = es_arena_format(w->arena, "%s.%s", layer->name, suffix);
    while (name != NULL && is_taken(w->nn, name))
        name = es_arena_format(w->arena, "%s_", name);
    w->full = w->full || name == NULL;
    return name != NULL ? name : "";
}

/* Is the output another arrangement of its layer? */
static bool is_arranged(const es_nn *nn, const es_nn_output *output)
{
    return output->layout != ES_NN_CHANNELS_FIRST && es_nn_at(nn, output->layer)->shape.rank > 1;
}

static const char *value_name(writer *w, es_nn_id id)
{
    const es_nn *nn = w->nn;
    const es_nn_layer *layer = es_nn_at(nn, id);
    bool meets = false;
    for (size_t i = 0; i < nn->output_count; i++) {
        if (nn->outputs[i].layer.index == id.index && !is_arranged(nn, &nn->outputs[i]))
            return nn->outputs[i].name;
        meets = meets || strcmp(nn->outputs[i].name, layer->name) == 0;
    }
    return meets ? derived(w, layer, "value") : layer->name;
}

/* ---- weights ---- */

static const char *floats(writer *w, const es_nn_layer *layer, const char *suffix, size_t rank,
                          const int64_t *dims, const float *values, size_t count)
{
    const char *name = derived(w, layer, suffix);
    es_model_build_weight(w->build, name, ES_MODEL_FLOAT, rank, dims, values,
                          count * sizeof *values);
    return name;
}

static const char *integers(writer *w, const es_nn_layer *layer, const char *suffix, size_t rank,
                            const int64_t *values, size_t count)
{
    const char *name = derived(w, layer, suffix);
    es_model_build_weight(w->build, name, ES_MODEL_INT64, rank, (const int64_t[]){(int64_t)count},
                          values, count * sizeof *values);
    return name;
}

static const char *scalar(writer *w, const es_nn_layer *layer, const char *suffix, float value)
{
    return floats(w, layer, suffix, 0, NULL, &value, 1);
}

/* A parameter with its own dims, behind `leading` ones and before `trailing`. */
static const char *param(writer *w, const es_nn_layer *layer, const es_nn_param *p,
                         const char *suffix, size_t leading, size_t trailing)
{
    int64_t dims[2 * ES_NN_RANK_MAX];
    size_t rank = 0;
    for (size_t i = 0; i < leading; i++)
        dims[rank++] = 1;
    for (size_t i = 0; i < p->rank; i++)
        dims[rank++] = (int64_t)p->dims[i];
    for (size_t i = 0; i < trailing; i++)
        dims[rank++] = 1;
    return floats(w, layer, suffix, rank, dims, p->values, p->count);
}

/* "" stands for an optional input not given, which may end the list: NULL there. */
static const char *bias(writer *w, const es_nn_layer *layer, size_t index, size_t leading)
{
    return layer->param_count > index ? param(w, layer, &layer->params[index], "bias", leading, 0)
                                      : NULL;
}

/* ---- kinds ---- */

static void sizes(writer *w, const char *name, const size_t *first, const size_t *second,
                  size_t places)
{
    int64_t values[4];
    size_t count = 0;
    for (size_t i = 0; i < places; i++)
        values[count++] = (int64_t)first[i];
    for (size_t i = 0; second != NULL && i < places; i++)
        values[count++] = (int64_t)second[i];
    es_model_build_ints(w->build, name, values, count);
}

static void window(writer *w, const es_nn_layer *layer, bool dilated)
{
    size_t places = layer->shape.rank - 1;
    const es_nn_window *win = &layer->window;
    sizes(w, "kernel_shape", win->kernel, NULL, places);
    sizes(w, "strides", win->stride, NULL, places);
    sizes(w, "pads", win->pad_before, win->pad_after, places);
    if (dilated)
        sizes(w, "dilations", win->dilation, NULL, places);
}

static void write_conv(writer *w, const es_nn_layer *layer, const char *x, const char *y)
{
    const char *weight = param(w, layer, &layer->params[0], "weight", 0, 0);
    NODE(w, "Conv", layer->name, y, x, weight, bias(w, layer, 1, 0));
    window(w, layer, true);
    es_model_build_int(w->build, "group", (int64_t)layer->groups);
}

static void write_dense(writer *w, const es_nn_layer *layer, const char *x, const char *y)
{
    const char *weight = param(w, layer, &layer->params[0], "weight", 0, 0);
    NODE(w, "Gemm", layer->name, y, x, weight, bias(w, layer, 1, 0));
    es_model_build_int(w->build, "transB", 1);
}

static void write_batch_norm(writer *w, const es_nn_layer *layer, const char *x, const char *y)
{
    static const char *const suffixes[] = {"gamma", "beta", "mean", "variance"};
    const char *names[4];
    for (size_t i = 0; i < 4; i++)
        names[i] = param(w, layer, &layer->params[i], suffixes[i], 0, 0);
    NODE(w, "BatchNormalization", layer->name, y, x, names[0], names[1], names[2], names[3]);
    es_model_build_float(w->build, "epsilon", (float)layer->epsilon);
    es_model_build_float(w->build, "momentum", (float)layer->momentum);
}

static void write_scale(writer *w, const es_nn_layer *layer, const char *x, const char *y)
{
    size_t places = layer->shape.rank - 1;
    const char *scaled = derived(w, layer, "scaled");
    const char *factor = param(w, layer, &layer->params[0], "factor", 0, places);
    const char *offset = param(w, layer, &layer->params[1], "offset", 0, places);
    NODE(w, "Mul", scaled, scaled, x, factor);
    NODE(w, "Add", layer->name, y, scaled, offset);
}

static void write_relu6(writer *w, const es_nn_layer *layer, const char *x, const char *y)
{
    const char *low = scalar(w, layer, "low", 0);
    const char *high = scalar(w, layer, "high", 6);
    NODE(w, "Clip", layer->name, y, x, low, high);
}

static void write_pool(writer *w, const es_nn_layer *layer, const char *x, const char *y)
{
    NODE(w, layer->kind == ES_NN_MAX_POOL ? "MaxPool" : "AveragePool", layer->name, y, x);
    window(w, layer, false);
}

static void write_flatten(writer *w, const char *name, const char *x, const char *y)
{
    NODE(w, "Flatten", name, y, x);
    es_model_build_int(w->build, "axis", 1);
}

static void write_global_pool(writer *w, const es_nn_layer *layer, const char *x, const char *y)
{
    const char *mean = derived(w, layer, "mean");
    NODE(w, "GlobalAveragePool", mean, mean, x);
    write_flatten(w, layer->name, mean, y);
}

static void write_many(writer *w, const es_nn_layer *layer, const char *y)
{
    const char *inputs[ES_NN_INPUTS_MAX + 1] = {NULL};
    for (size_t i = 0; i < layer->input_count; i++)
        inputs[i] = w->values[layer->inputs[i].index];
    const char *sum = layer->input_count > 2 ? "Sum" : "Add";
    es_model_build_node(w->build, layer->kind == ES_NN_ADD ? sum : "Concat", NULL, layer->name,
                        inputs, (const char *const[]){y, NULL});
    if (layer->kind == ES_NN_CONCAT)
        es_model_build_int(w->build, "axis", 1);
}

static void write_upsample(writer *w, const es_nn_layer *layer, const char *x, const char *y)
{
    float scales[ES_NN_RANK_MAX] = {1, 1};
    size_t rank = layer->shape.rank + 1;
    for (size_t i = 2; i < rank; i++)
        scales[i] = (float)layer->window.stride[i - 2];
    const char *name =
        floats(w, layer, "scales", 1, (const int64_t[]){(int64_t)rank}, scales, rank);
    NODE(w, "Resize", layer->name, y, x, "", name);
    es_model_build_text(w->build, "mode", "nearest");
    es_model_build_text(w->build, "coordinate_transformation_mode", "asymmetric");
    es_model_build_text(w->build, "nearest_mode", "floor");
}

/* ONNX's GRU takes steps first; all its steps come out as [steps, 1, batch, units]. */
static void write_gru(writer *w, const es_nn_layer *layer, const char *x, const char *y)
{
    const char *steps_first = derived(w, layer, "in");
    const char *all = derived(w, layer, "all");
    const char *squeezed = derived(w, layer, "out");
    const char *weight = param(w, layer, &layer->params[0], "weight", 1, 0);
    const char *recurrent = param(w, layer, &layer->params[1], "recurrent", 1, 0);
    const char *b = bias(w, layer, 2, 1);
    const char *axes = integers(w, layer, "axes", 1, (const int64_t[]){1}, 1);
    NODE(w, "Transpose", steps_first, steps_first, x);
    es_model_build_ints(w->build, "perm", (const int64_t[]){2, 0, 1}, 3);
    NODE(w, "GRU", layer->name, all, steps_first, weight, recurrent, b);
    es_model_build_int(w->build, "hidden_size", (int64_t)layer->shape.dims[0]);
    es_model_build_int(w->build, "linear_before_reset", 1);
    NODE(w, "Squeeze", squeezed, squeezed, all, axes);
    NODE(w, "Transpose", derived(w, layer, "last"), y, squeezed);
    es_model_build_ints(w->build, "perm", (const int64_t[]){1, 2, 0}, 3);
}

static void write_last(writer *w, const es_nn_layer *layer, const char *x, const char *y)
{
    const char *index = integers(w, layer, "index", 0, (const int64_t[]){-1}, 1);
    NODE(w, "Gather", layer->name, y, x, index);
    es_model_build_int(w->build, "axis", 2);
}

static void write_quantise(writer *w, const es_nn_layer *layer, const char *x, const char *y)
{
    const char *bytes = derived(w, layer, "bytes");
    const char *zero = derived(w, layer, "zero");
    const char *factor = scalar(w, layer, "factor", layer->params[0].values[0]);
    uint8_t point = (uint8_t)layer->params[1].values[0];
    es_model_build_weight(w->build, zero, ES_MODEL_UINT8, 0, NULL, &point, 1);
    NODE(w, "QuantizeLinear", bytes, bytes, x, factor, zero);
    NODE(w, "DequantizeLinear", layer->name, y, bytes, factor, zero);
}

static void write_plain(writer *w, const es_nn_layer *layer, const char *x, const char *y)
{
    static const char *const ops[ES_NN_KIND_COUNT] = {
        [ES_NN_RELU] = "Relu", [ES_NN_HARD_SWISH] = "HardSwish", [ES_NN_SIGMOID] = "Sigmoid",
        [ES_NN_TANH] = "Tanh", [ES_NN_SOFTMAX] = "Softmax",
    };
    NODE(w, ops[layer->kind], layer->name, y, x);
    if (layer->kind == ES_NN_SOFTMAX)
        es_model_build_int(w->build, "axis", 1);
}

static void write_layer(writer *w, es_nn_id id)
{
    const es_nn_layer *layer = es_nn_at(w->nn, id);
    const char *y = w->values[id.index];
    const char *x = layer->input_count > 0 ? w->values[layer->inputs[0].index] : NULL;
    switch (layer->kind) {
    case ES_NN_CONV:
        write_conv(w, layer, x, y);
        break;
    case ES_NN_DENSE:
        write_dense(w, layer, x, y);
        break;
    case ES_NN_BATCH_NORM:
        write_batch_norm(w, layer, x, y);
        break;
    case ES_NN_SCALE:
        write_scale(w, layer, x, y);
        break;
    case ES_NN_RELU6:
        write_relu6(w, layer, x, y);
        break;
    case ES_NN_RELU:
    case ES_NN_HARD_SWISH:
    case ES_NN_SIGMOID:
    case ES_NN_TANH:
    case ES_NN_SOFTMAX:
        write_plain(w, layer, x, y);
        break;
    case ES_NN_MAX_POOL:
    case ES_NN_AVERAGE_POOL:
        write_pool(w, layer, x, y);
        break;
    case ES_NN_GLOBAL_POOL:
        write_global_pool(w, layer, x, y);
        break;
    case ES_NN_ADD:
    case ES_NN_CONCAT:
        write_many(w, layer, y);
        break;
    case ES_NN_FLATTEN:
        write_flatten(w, layer->name, x, y);
        break;
    case ES_NN_UPSAMPLE:
        write_upsample(w, layer, x, y);
        break;
    case ES_NN_GRU:
        write_gru(w, layer, x, y);
        break;
    case ES_NN_LAST:
        write_last(w, layer, x, y);
        break;
    case ES_NN_QUANTISE:
        write_quantise(w, layer, x, y);
        break;
    case ES_NN_INPUT:
    case ES_NN_DROPOUT:
    case ES_NN_KIND_COUNT:
        break;
    }
}

/* ---- the graph ---- */

static void dims_of(es_nn_shape shape, bool channels_last, int64_t *out_dims)
{
    out_dims[0] = -1;
    for (size_t i = 0; i < shape.rank; i++)
        out_dims[1 + i] = (int64_t)shape.dims[channels_last ? (i + 1) % shape.rank : i];
}

static const char *const symbols[ES_NN_RANK_MAX] = {"batch"};

/* The value that layers read as the input. */
static const char *write_input(writer *w)
{
    const es_nn_layer *layer = &w->nn->layers.items[0];
    int64_t dims[ES_NN_RANK_MAX];
    size_t rank = layer->shape.rank + 1;
    bool channels_last = w->nn->channels_last && rank > 2;
    dims_of(layer->shape, channels_last, dims);
    es_model_build_input(w->build, layer->name, ES_MODEL_FLOAT, rank, dims, symbols);
    if (!channels_last)
        return layer->name;
    const char *turned = derived(w, layer, "turned");
    NODE(w, "Transpose", turned, turned, layer->name);
    es_model_build_ints(w->build, "perm", (const int64_t[]){0, (int64_t)rank - 1, 1, 2}, rank);
    return turned;
}

/* Channels last, perhaps with rows and columns as one dimension. */
static void write_arranged(writer *w, size_t index, const char *value)
{
    const es_nn_output *output = &w->nn->outputs[index];
    const es_nn_layer *layer = es_nn_at(w->nn, output->layer);
    const int64_t perm[] = {0, 2, 3, 1};
    const int64_t series_perm[] = {0, 2, 1};
    const int64_t dims[] = {0, -1, (int64_t)layer->shape.dims[0]};
    size_t rank = layer->shape.rank + 1;
    char suffix[32];
    (void)snprintf(suffix, sizeof suffix, "turned%zu", index); /* a number fits */
    const char *node = derived(w, layer, suffix);
    const char *turned = output->layout == ES_NN_PLACES ? node : output->name;
    NODE(w, "Transpose", node, turned, value);
    es_model_build_ints(w->build, "perm", rank == 4 ? perm : series_perm, rank);
    if (output->layout != ES_NN_PLACES)
        return;
    (void)snprintf(suffix, sizeof suffix, "places%zu", index);
    const char *shape = integers(w, layer, suffix, 1, dims, 3);
    NODE(w, "Reshape", shape, output->name, turned, shape);
}

static void write_copy(writer *w, size_t index, const char *value)
{
    const es_nn_output *output = &w->nn->outputs[index];
    char suffix[32];
    (void)snprintf(suffix, sizeof suffix, "copy%zu", index); /* a number fits */
    NODE(w, "Identity", derived(w, es_nn_at(w->nn, output->layer), suffix), output->name, value);
}

static void declare_output(writer *w, const es_nn_output *output)
{
    int64_t dims[ES_NN_RANK_MAX];
    es_nn_shape shape = es_nn_at(w->nn, output->layer)->shape;
    bool merged = output->layout == ES_NN_PLACES && shape.rank > 1;
    if (merged)
        shape = es_nn_shape_of(2, (const size_t[]){shape.dims[0], shape.count / shape.dims[0]});
    dims_of(shape, output->layout != ES_NN_CHANNELS_FIRST, dims);
    es_model_build_output(w->build, output->name, ES_MODEL_FLOAT, shape.rank + 1, dims, symbols);
}

/* An output whose value has another name is a copy of it. */
static es_status write_outputs(writer *w, es_error *err)
{
    const es_nn *nn = w->nn;
    for (size_t i = 0; i < nn->output_count; i++) {
        const es_nn_output *output = &nn->outputs[i];
        const char *value = w->values[output->layer.index];
        if (strcmp(output->name, nn->layers.items[0].name) == 0)
            return es_fail(err, ES_ERR_ARG, "net '%s': output '%s' has the name of the input",
                           nn->name, output->name);
        if (is_arranged(nn, output))
            write_arranged(w, i, value);
        else if (strcmp(output->name, value) != 0)
            write_copy(w, i, value);
        declare_output(w, output);
    }
    return ES_OK;
}

static es_status check_payloads(const es_nn *nn, es_error *err)
{
    for (size_t i = 0; i < nn->layers.count; i++) {
        const es_nn_layer *layer = &nn->layers.items[i];
        if (layer->kind != ES_NN_QUANTISE)
            continue;
        double factor = (double)layer->params[0].values[0];
        double zero = (double)layer->params[1].values[0];
        if (!(factor > 0) || !(zero >= 0 && zero <= 255) || zero != (double)(uint8_t)zero)
            return es_nn_fail(layer, err,
                              "factor %g and offset %g, expected a factor above 0 and "
                              "a whole offset of 0 to 255",
                              factor, zero);
    }
    return ES_OK;
}

static es_status write_net(es_arena *arena, const es_nn *nn, const es_model **out_model,
                           es_error *err)
{
    writer w = {.arena = arena, .nn = nn};
    ES_TRY(check_payloads(nn, err));
    w.values = ES_TAKE_ARRAY(arena, const char *, nn->layers.count);
    w.build = es_model_build_new(arena, nn->name, OPSET);
    if (w.values == NULL || w.build == NULL)
        return es_arena_full(arena, "model", err);
    w.values[0] = write_input(&w);
    for (uint32_t i = 1; i < nn->layers.count; i++) {
        const es_nn_layer *layer = &nn->layers.items[i];
        w.values[i] = layer->kind == ES_NN_DROPOUT ? w.values[layer->inputs[0].index]
                                                   : value_name(&w, (es_nn_id){i});
    }
    for (uint32_t i = 1; i < nn->layers.count; i++)
        write_layer(&w, (es_nn_id){i});
    ES_TRY(write_outputs(&w, err));
    if (w.full)
        return es_arena_full(arena, "model", err);
    return es_model_build_finish(w.build, out_model, err);
}

es_status es_nn_to_model(es_arena *arena, const es_nn *nn, bool fold, const es_model **out_model,
                         es_error *err)
{
    es_nn *folded = NULL;
    if (!fold)
        return write_net(arena, nn, out_model, err);
    ES_TRY(es_nn_copy(arena, nn, &folded, err));
    ES_TRY(es_nn_fold(folded, err));
    return write_net(arena, folded, out_model, err);
}
