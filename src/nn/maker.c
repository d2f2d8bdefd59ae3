/*
 * Adding layer upon layer, for nets from a spec.
 */
#include "nn/maker.h"

/* A mistake in a net is one of the document that asked for it. */
static void fail(es_nn_maker *m, es_status status, const es_error *why)
{
    if (status == ES_ERR_NOMEM)
        m->status = es_fail(m->err, status, "%s", why->text);
    else
        m->status = es_doc_fail(m->place, m->err, "%s", why->text);
}

void es_nn_make(es_nn_maker *m, es_nn_layer layer, size_t units, bool bias)
{
    es_error why = {0};
    if (m->status != ES_OK)
        return;
    if (layer.input_count == 0) {
        layer.input_count = 1;
        layer.inputs[0] = m->at;
    }
    es_status status = es_nn_add(m->nn, &layer, units, bias, &m->at, &why);
    if (status != ES_OK)
        fail(m, status, &why);
}

void es_nn_make_plain(es_nn_maker *m, es_nn_kind kind, const char *name)
{
    es_nn_make(m, (es_nn_layer){.kind = kind, .name = name}, 0, false);
}

void es_nn_make_dense(es_nn_maker *m, const char *name, size_t units, bool bias)
{
    es_nn_make(m, (es_nn_layer){.kind = ES_NN_DENSE, .name = name}, units, bias);
}

void es_nn_make_dropout(es_nn_maker *m, const char *name, double rate)
{
    if (rate > 0)
        es_nn_make(m, (es_nn_layer){.kind = ES_NN_DROPOUT, .name = name, .rate = rate}, 0, false);
}

void es_nn_make_add(es_nn_maker *m, const char *name, es_nn_id other)
{
    es_nn_layer layer = {
        .kind = ES_NN_ADD, .name = name, .input_count = 2, .inputs = {m->at, other}};
    es_nn_make(m, layer, 0, false);
}

void es_nn_make_max_pool(es_nn_maker *m, const char *name, size_t kernel)
{
    es_nn_layer layer = {.kind = ES_NN_MAX_POOL, .name = name};
    layer.window.kernel[0] = layer.window.kernel[1] = kernel;
    layer.window.stride[0] = layer.window.stride[1] = kernel;
    es_nn_make(m, layer, 0, false);
}

void es_nn_make_classifier(es_nn_maker *m, const es_nn_wishes *w)
{
    es_nn_make_dropout(m, "dropout", w->dropout);
    es_nn_make_dense(m, "logits", w->classes, true);
    if (w->softmax)
        es_nn_make_plain(m, ES_NN_SOFTMAX, "probabilities");
}

es_nn_shape es_nn_made_shape(const es_nn_maker *m)
{
    return es_nn_at(m->nn, m->at)->shape;
}

static const char *joined(es_nn_maker *m, const char *name, const char *suffix)
{
    es_error why = {0};
    const char *text = es_arena_format(m->nn->arena, "%s-%s", name, suffix);
    if (text == NULL && m->status == ES_OK)
        fail(m, es_arena_full(m->nn->arena, "net", &why), &why);
    return text;
}

const char *es_nn_make_name(es_nn_maker *m, const char *prefix, size_t number, const char *suffix)
{
    es_error why = {0};
    const char *text = es_arena_format(m->nn->arena, "%s%zu%s", prefix, number, suffix);
    if (text == NULL && m->status == ES_OK)
        fail(m, es_arena_full(m->nn->arena, "net", &why), &why);
    return text;
}

void es_nn_make_block(es_nn_maker *m, es_nn_block block)
{
    if (m->status != ES_OK)
        return;
    es_nn_shape in = es_nn_made_shape(m);
    es_nn_layer layer = {.kind = ES_NN_CONV, .name = block.name};
    for (size_t i = 0; i < 2; i++) {
        size_t kernel = i > 0 && block.kernel[1] > 0 ? block.kernel[1] : block.kernel[0];
        layer.window.kernel[i] = kernel;
        layer.window.stride[i] = block.stride;
        layer.window.dilation[i] = block.dilation;
        if (block.causal)
            layer.window.pad_before[i] = (block.dilation > 0 ? block.dilation : 1) * (kernel - 1);
        else if (i + 1 < in.rank)
            es_nn_pad_same(&layer.window, i, in.dims[i + 1]);
    }
    layer.groups = block.depthwise ? in.dims[0] : 1;
    es_nn_make(m, layer, block.depthwise ? in.dims[0] : block.units, false);
    es_nn_make_plain(m, ES_NN_BATCH_NORM, joined(m, block.name, "norm"));
    if (block.act != ES_NN_INPUT)
        es_nn_make_plain(m, block.act, joined(m, block.name, es_nn_kind_name(block.act)));
}

size_t es_nn_channels(double channels, double width, size_t step)
{
    double wanted = channels * width;
    size_t rounded = (size_t)(wanted / (double)step + 0.5) * step;
    if (rounded < step)
        rounded = step;
    return (double)rounded < 0.9 * wanted ? rounded + step : rounded;
}
