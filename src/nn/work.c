/*
 * Work and parameters, and what the figures rest on: which layers a layer needs, who uses it.
 */
#include "nn/internal.h"

void es_nn_set_close(const es_nn *nn, es_nn_set *set, const es_nn_set *stop)
{
    bool grown = true;
    /* One round when layers are in order, which they are once sealed. */
    while (grown) {
        grown = false;
        for (size_t i = nn->layers.count; i-- > 0;) {
            es_nn_id id = {(uint32_t)i};
            if (!es_nn_set_has(set, id) || es_nn_set_has(stop, id))
                continue;
            const es_nn_layer *layer = &nn->layers.items[i];
            for (size_t k = 0; k < layer->input_count; k++) {
                es_nn_id input = layer->inputs[k];
                grown = grown || (!es_nn_set_has(set, input) && input.index > i);
                es_nn_set_add(set, input);
            }
        }
    }
}

size_t es_nn_uses(const es_nn *nn, es_nn_id id)
{
    size_t uses = 0;
    for (size_t i = 0; i < nn->layers.count; i++) {
        const es_nn_layer *layer = &nn->layers.items[i];
        for (size_t k = 0; k < layer->input_count; k++)
            uses += layer->inputs[k].index == id.index;
    }
    for (size_t i = 0; i < nn->output_count; i++)
        uses += nn->outputs[i].layer.index == id.index;
    return uses;
}

/* Through norms that fold themselves. */
es_nn_id es_nn_fold_into(const es_nn *nn, es_nn_id norm)
{
    es_nn_id at = norm;
    for (size_t i = 0; i < nn->layers.count && es_nn_at(nn, at)->kind == ES_NN_BATCH_NORM; i++) {
        at = es_nn_at(nn, at)->inputs[0];
        if (es_nn_uses(nn, at) != 1)
            return ES_NN_NONE;
    }
    es_nn_kind kind = es_nn_at(nn, at)->kind;
    bool fits = kind == ES_NN_CONV || kind == ES_NN_DENSE;
    return fits && at.index != norm.index ? at : ES_NN_NONE;
}

static uint64_t macs_of(const es_nn_layer *layer)
{
    const es_nn_param *weight = &layer->params[0];
    switch ((int)layer->kind) {
    case ES_NN_CONV: /* every output: one filter */
        return (uint64_t)layer->shape.count * (weight->count / weight->dims[0]);
    case ES_NN_DENSE:
        return weight->count;
    case ES_NN_GRU: /* every step: both matrices */
        return (uint64_t)layer->shape.dims[1] * (weight->count + layer->params[1].count);
    default:
        return 0;
    }
}

es_nn_work es_nn_layer_work(const es_nn *nn, es_nn_id id)
{
    const es_nn_layer *layer = es_nn_at(nn, id);
    es_nn_work work = {.macs = macs_of(layer)};
    es_nn_id into = es_nn_fold_into(nn, id);
    if (es_nn_is(into)) {
        bool first = layer->inputs[0].index == into.index;
        work.params = first && !es_nn_has_bias(es_nn_at(nn, into)) ? layer->params[0].count : 0;
    } else {
        for (size_t i = 0; i < layer->param_count; i++)
            work.params += layer->params[i].count;
    }
    work.param_bytes = work.params * sizeof(float);
    return work;
}

static es_nn_work work_of_set(const es_nn *nn, const es_nn_set *set, const es_nn_set *without)
{
    es_nn_work all = {0};
    for (uint32_t i = 0; i < nn->layers.count; i++) {
        es_nn_id id = {i};
        if (!es_nn_set_has(set, id) || es_nn_set_has(without, id))
            continue;
        es_nn_work one = es_nn_layer_work(nn, id);
        all.macs += one.macs;
        all.params += one.params;
        all.param_bytes += one.param_bytes;
    }
    return all;
}

/* The layers that outputs first..last need. */
static es_nn_set needed_by(const es_nn *nn, size_t first, size_t last)
{
    es_nn_set set = {0};
    es_nn_set none = {0};
    for (size_t i = first; i <= last && i < nn->output_count; i++)
        es_nn_set_add(&set, nn->outputs[i].layer);
    es_nn_set_close(nn, &set, &none);
    return set;
}

es_nn_work es_nn_work_of(const es_nn *nn)
{
    es_nn_set none = {0};
    es_nn_set all = needed_by(nn, 0, ES_NN_OUTPUTS_MAX);
    return work_of_set(nn, &all, &none);
}

uint64_t es_nn_macs_between(const es_nn *nn, size_t from, size_t to)
{
    es_nn_set done = {0};
    if (from < nn->output_count)
        done = needed_by(nn, 0, from);
    es_nn_set wanted = needed_by(nn, to, to);
    return work_of_set(nn, &wanted, &done).macs;
}
