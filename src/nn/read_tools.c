/*
 * What the readings of operators share: inputs, constants, new layers.
 */
#include "nn/read.h"

#include <assert.h>

es_status es_nn_read_fail(const es_nn_reader *r, es_error *err, const char *format, ...)
{
    const char *name = r->op.name;
    if (name[0] == '\0' && r->op.output_count > 0)
        name = r->op.outputs[0];
    va_list args;
    va_start(args, format);
    (void)es_fail_v(err, ES_ERR_UNSUPPORTED, format, args);
    va_end(args);
    (void)es_within(err, ES_ERR_UNSUPPORTED, "node '%s' (%s)", name, r->op.op); /* as it is */
    return ES_ERR_UNSUPPORTED;
}

es_nn_read_fn es_nn_read_row_of(const es_nn_read_row *rows, size_t count, const char *op)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rows[i].op, op) == 0)
            return rows[i].fn;
    }
    return NULL;
}

/* ---- inputs ---- */

bool es_nn_read_has(const es_nn_reader *r, size_t index)
{
    return index < r->op.input_count && r->op.inputs[index][0] != '\0';
}

static es_status find_input(const es_nn_reader *r, size_t index, es_nn_value **out, es_error *err)
{
    if (!es_nn_read_has(r, index))
        return es_nn_read_fail(r, err, "input %zu is missing", index);
    es_nn_value *value = es_nn_read_find(r, r->op.inputs[index]);
    if (value == NULL || !value->has_view)
        return es_nn_read_fail(r, err, "input '%s' is not made by a layer", r->op.inputs[index]);
    if (value->gate)
        return es_nn_read_fail(r, err, "a HardSigmoid is read only as HardSigmoid(x) * x");
    *out = value;
    return ES_OK;
}

static es_status refuse_pending(const es_nn_reader *r, const es_nn_value *value, es_error *err)
{
    if (value->padded)
        return es_nn_read_fail(r, err, "a Pad is read only before a Conv");
    if (value->quantised)
        return es_nn_read_fail(r, err, "a QuantizeLinear is read only before its DequantizeLinear");
    return ES_OK;
}

es_status es_nn_read_in(const es_nn_reader *r, size_t index, es_nn_value **out, es_error *err)
{
    es_nn_value *value = NULL;
    ES_TRY(find_input(r, index, &value, err));
    assert(value != NULL);
    ES_TRY(refuse_pending(r, value, err));
    *out = value;
    return ES_OK;
}

es_status es_nn_read_image(const es_nn_reader *r, size_t index, bool padding_taken,
                           es_nn_value **out, es_error *err)
{
    es_nn_value *value = NULL;
    char text[ES_NN_SHAPE_TEXT];
    ES_TRY(find_input(r, index, &value, err));
    assert(value != NULL);
    if (!padding_taken || value->quantised)
        ES_TRY(refuse_pending(r, value, err));
    es_nn_shape shape = es_nn_at(r->nn, value->view.layer)->shape;
    if (shape.rank < 2 || !es_nn_view_is_plain(&value->view, shape))
        return es_nn_read_fail(r, err,
                               "input '%s' is another arrangement of layer '%s', {%s}; expected "
                               "[batch, channels, steps] or [batch, channels, rows, columns]",
                               value->name, es_nn_at(r->nn, value->view.layer)->name,
                               es_nn_shape_text(shape, text));
    *out = value;
    return ES_OK;
}

/* ---- layers ---- */

static const char *free_name(const es_nn_reader *r, const char *name)
{
    for (size_t number = 2; name != NULL && es_nn_is(es_nn_find(r->nn, name)); number++)
        name = es_arena_format(r->arena, "%s_%zu", name, number);
    return name;
}

static es_status push(es_nn_reader *r, es_nn_layer *layer, size_t units, bool bias, es_nn_id *out,
                      es_error *err)
{
    es_error why = {0};
    layer->name = free_name(r, layer->name);
    if (layer->name == NULL)
        return es_arena_full(r->arena, "net", err);
    es_status status = es_nn_add(r->nn, layer, units, bias, out, &why);
    if (status == ES_ERR_ARG)
        return es_nn_read_fail(r, err, "%s", why.text);
    if (status != ES_OK && err != NULL)
        *err = why;
    return status;
}

es_status es_nn_read_add(es_nn_reader *r, size_t index, es_nn_layer *layer, size_t units, bool bias,
                         es_nn_id *out, es_error *err)
{
    if (index >= r->op.output_count || r->op.outputs[index][0] == '\0')
        return es_nn_read_fail(r, err, "output %zu is missing", index);
    layer->name = r->op.outputs[index];
    return push(r, layer, units, bias, out, err);
}

static bool fits(const es_nn_reader *r, const es_nn_view *view, const es_model_tensor *tensor)
{
    es_nn_shape shape = es_nn_at(r->nn, view->layer)->shape;
    if (tensor->rank >= 0 && (size_t)tensor->rank != view->rank)
        return false;
    for (size_t i = 0; tensor->rank >= 0 && i < view->rank; i++) {
        size_t size = 1;
        for (size_t k = 0; k < view->parts[i].count; k++) {
            uint8_t axis = view->parts[i].axes[k];
            size *= axis == ES_NN_BATCH_AXIS ? r->batch : shape.dims[axis];
        }
        if (tensor->dims[i] >= 0 && (size_t)tensor->dims[i] != size)
            return false;
    }
    return true;
}

es_status es_nn_read_give(es_nn_reader *r, size_t index, const es_nn_view *view, es_error *err)
{
    if (index >= r->op.output_count || r->op.outputs[index][0] == '\0')
        return es_nn_read_fail(r, err, "output %zu is missing", index);
    es_nn_value *value = es_nn_read_find(r, r->op.outputs[index]);
    char text[ES_NN_SHAPE_TEXT];
    es_nn_shape shape = es_nn_at(r->nn, view->layer)->shape;
    if (value == NULL || !fits(r, view, value->tensor))
        return es_nn_read_fail(r, err, "output %zu was inferred to have another shape than {%s}",
                               index, es_nn_shape_text(shape, text));
    value->has_view = true;
    value->view = *view;
    value->own = true;
    for (size_t i = 0; i < r->op.input_count; i++) { /* seen by inputs already? */
        const es_nn_value *x = es_nn_read_find(r, r->op.inputs[i]);
        if (x != NULL && x->has_view && x->view.layer.index == view->layer.index)
            value->own = x->own && x->uses == 1;
    }
    return ES_OK;
}

es_status es_nn_read_param(es_nn_reader *r, es_nn_role role, const float *values, size_t count,
                           es_error *err)
{
    es_nn_layer *layer = &r->nn->layers.items[r->nn->layers.count - 1];
    es_nn_param *param = es_nn_param_of(layer, role);
    if (param == NULL || (count != param->count && count != 1))
        return es_nn_read_fail(r, err, "%zu values of a parameter, expected %zu", count,
                               param != NULL ? param->count : 0);
    for (size_t i = 0; i < param->count; i++)
        param->values[i] = values[count == 1 ? 0 : i];
    return ES_OK;
}

bool es_nn_read_owns(const es_nn_value *value)
{
    return value->uses == 1 && value->own;
}

es_status es_nn_read_flat(es_nn_reader *r, es_nn_value *value, es_nn_id *out, es_error *err)
{
    bool natural = false;
    const es_nn_layer *layer = es_nn_at(r->nn, value->view.layer);
    if (!es_nn_view_is_flat(&value->view, layer->shape, &natural) || !natural)
        return es_nn_read_fail(r, err,
                               "'%s' is another arrangement of layer '%s'; expected [batch, "
                               "features]",
                               value->name, layer->name);
    if (layer->shape.rank > 1 && !es_nn_is(value->flat)) {
        es_nn_layer flat = {.kind = ES_NN_FLATTEN,
                            .name = value->name,
                            .input_count = 1,
                            .inputs = {value->view.layer}};
        ES_TRY(push(r, &flat, 0, false, &value->flat, err));
    }
    *out = layer->shape.rank > 1 ? value->flat : value->view.layer;
    return ES_OK;
}
