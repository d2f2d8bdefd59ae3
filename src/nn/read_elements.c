/*
 * Reading operators that work element by element, sums and products with constants, payloads.
 */
#include "nn/read.h"

#include <float.h>
#include <math.h>

/* ---- plain ones ---- */

/* The layer computes whatever the arrangement, so the view stays. */
static es_status read_kind(es_nn_reader *r, es_nn_layer layer, es_error *err)
{
    es_nn_value *x = NULL;
    ES_TRY(es_nn_read_in(r, 0, &x, err));
    es_nn_view view = x->view;
    layer.input_count = 1;
    layer.inputs[0] = view.layer;
    ES_TRY(es_nn_read_add(r, 0, &layer, 0, false, &view.layer, err));
    return es_nn_read_give(r, 0, &view, err);
}

static es_status read_plain(es_nn_reader *r, es_error *err)
{
    static const struct {
        const char *op;
        es_nn_kind kind;
    } kinds[] = {{"Relu", ES_NN_RELU},
                 {"HardSwish", ES_NN_HARD_SWISH},
                 {"Sigmoid", ES_NN_SIGMOID},
                 {"Tanh", ES_NN_TANH}};
    es_nn_layer layer = {.kind = ES_NN_RELU};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i].op, r->op.op) == 0)
            layer.kind = kinds[i].kind;
    }
    return read_kind(r, layer, err);
}

/* A constant of one value; absent: fallback. */
static es_status read_scalar(es_nn_reader *r, size_t index, float fallback, float *out,
                             es_error *err)
{
    es_nn_constant c;
    bool found = false;
    *out = fallback;
    if (!es_nn_read_has(r, index))
        return ES_OK;
    ES_TRY(es_nn_read_constant(r, r->op.inputs[index], &c, &found, err));
    if (!found || c.count != 1)
        return es_nn_read_fail(r, err, "input '%s' must be one constant float",
                               r->op.inputs[index]);
    *out = c.values[0];
    return ES_OK;
}

static es_status read_clip(es_nn_reader *r, es_error *err)
{
    float low = 0;
    float high = 0;
    ES_TRY(read_scalar(r, 1, -FLT_MAX, &low, err));
    ES_TRY(read_scalar(r, 2, FLT_MAX, &high, err));
    if (low == 0.0F && high == 6.0F)
        return read_kind(r, (es_nn_layer){.kind = ES_NN_RELU6}, err);
    if (low == 0.0F && high >= FLT_MAX)
        return read_kind(r, (es_nn_layer){.kind = ES_NN_RELU}, err);
    return es_nn_read_fail(r, err, "between %g and %g; only 0 to 6 and 0 up are supported",
                           (double)low, (double)high);
}

static es_status read_dropout(es_nn_reader *r, es_error *err)
{
    float rate = 0;
    if (r->op.output_count > 1 && r->op.outputs[1][0] != '\0')
        return es_nn_read_fail(r, err, "its second output is not supported");
    ES_TRY(read_scalar(r, 1, 0.5F, &rate, err));
    return read_kind(r, (es_nn_layer){.kind = ES_NN_DROPOUT, .rate = (double)rate}, err);
}

/* x / 6 + 0.5 within 0 and 1: half of a hard swish, which its product with x completes. */
static es_status read_hard_sigmoid(es_nn_reader *r, es_error *err)
{
    es_nn_value *x = NULL;
    ES_TRY(es_nn_read_in(r, 0, &x, err));
    float alpha = es_nn_read_float(r, "alpha", 0.2F);
    float beta = es_nn_read_float(r, "beta", 0.5F);
    if (fabsf(alpha - 1.0F / 6) > 1e-6F || beta != 0.5F)
        return es_nn_read_fail(r, err, "alpha %g and beta %g, expected 1/6 and 0.5", (double)alpha,
                               (double)beta);
    ES_TRY(es_nn_read_give(r, 0, &x->view, err));
    es_nn_read_find(r, r->op.outputs[0])->gate = true;
    return ES_OK;
}

/* ---- sums and concats ---- */

/* All inputs as layers, arranged alike; what differs only in shape is made features. */
static es_status read_many(es_nn_reader *r, es_nn_layer *layer, es_nn_view *view, es_error *err)
{
    es_nn_value *values[ES_NN_INPUTS_MAX] = {NULL};
    bool alike = true;
    if (r->op.input_count < 1 || r->op.input_count > ES_NN_INPUTS_MAX)
        return es_nn_read_fail(r, err, "%zu inputs, 1 to %d are supported", r->op.input_count,
                               ES_NN_INPUTS_MAX);
    for (size_t i = 0; i < r->op.input_count; i++) {
        ES_TRY(es_nn_read_in(r, i, &values[i], err));
        alike = alike && values[i]->view.rank == values[0]->view.rank &&
                es_nn_at(r->nn, values[i]->view.layer)->shape.rank ==
                    es_nn_at(r->nn, values[0]->view.layer)->shape.rank;
    }
    *view = values[0]->view;
    for (size_t i = 0; i < r->op.input_count; i++) {
        layer->inputs[i] = values[i]->view.layer;
        if (!alike || (view->rank == 2 && es_nn_at(r->nn, layer->inputs[i])->shape.rank > 1))
            ES_TRY(es_nn_read_flat(r, values[i], &layer->inputs[i], err));
    }
    if (view->rank == 2 || !alike)
        *view = es_nn_view_plain(layer->inputs[0], es_nn_at(r->nn, layer->inputs[0])->shape);
    layer->input_count = r->op.input_count;
    return ES_OK;
}

/* A sum or concat of one. */
static es_status read_one(es_nn_reader *r, es_error *err)
{
    es_nn_value *x = NULL;
    ES_TRY(es_nn_read_in(r, 0, &x, err));
    return es_nn_read_give(r, 0, &x->view, err);
}

static es_status read_sum(es_nn_reader *r, es_error *err)
{
    es_nn_layer layer = {.kind = ES_NN_ADD};
    es_nn_view view;
    if (r->op.input_count == 1)
        return read_one(r, err);
    ES_TRY(read_many(r, &layer, &view, err));
    for (size_t i = 0; i < r->op.input_count && view.rank != 2; i++) {
        if (!es_nn_view_same(&es_nn_read_find(r, r->op.inputs[i])->view, &view))
            return es_nn_read_fail(r, err, "'%s' and '%s' are arranged differently",
                                   r->op.inputs[0], r->op.inputs[i]);
    }
    ES_TRY(es_nn_read_add(r, 0, &layer, 0, false, &view.layer, err));
    return es_nn_read_give(r, 0, &view, err);
}

/* Along a dimension that no input has: no layer, but one of them may be chosen again. */
static bool stack(es_nn_reader *r, int64_t axis)
{
    es_nn_value *y = es_nn_read_find(r, r->op.outputs[0]);
    for (size_t i = 0; i < r->op.input_count; i++) {
        const es_nn_value *x = es_nn_read_find(r, r->op.inputs[i]);
        if (x == NULL || !x->has_view || x->padded || x->gate || x->quantised || axis < 0 ||
            axis >= (int64_t)x->view.rank || x->view.parts[axis].count > 0)
            return false;
    }
    if (y == NULL)
        return false;
    y->stacked = true;
    y->stack_dim = (size_t)axis;
    return true;
}

static es_status read_concat(es_nn_reader *r, es_error *err)
{
    es_nn_layer layer = {.kind = ES_NN_CONCAT};
    es_nn_view view;
    if (r->op.input_count == 1)
        return read_one(r, err);
    ES_TRY(read_many(r, &layer, &view, err));
    int64_t axis = es_nn_read_int(r, "axis", 1);
    axis += axis < 0 ? (int64_t)view.rank : 0;
    if (axis < 0 || axis >= (int64_t)view.rank)
        return es_nn_read_fail(r, err, "axis %lld of rank %zu",
                               (long long)es_nn_read_int(r, "axis", 1), view.rank);
    for (size_t i = 0; i < layer.input_count; i++) {
        es_nn_view other = es_nn_read_find(r, r->op.inputs[i])->view;
        es_nn_shape shape = es_nn_at(r->nn, layer.inputs[i])->shape;
        if (view.rank == 2)
            other = es_nn_view_plain(layer.inputs[i], shape);
        bool channels = es_nn_view_is_channels(&other, shape, (size_t)axis);
        other.parts[axis] = view.parts[axis];
        if ((!channels || !es_nn_view_same(&other, &view)) && stack(r, axis))
            return ES_OK;
        if (!channels || !es_nn_view_same(&other, &view))
            return es_nn_read_fail(r, err,
                                   "it must be along the channels of '%s', arranged as '%s'",
                                   r->op.inputs[i], r->op.inputs[0]);
    }
    ES_TRY(es_nn_read_add(r, 0, &layer, 0, false, &view.layer, err));
    view.parts[axis] = (es_nn_dim){.count = 1}; /* two channels at least */
    return es_nn_read_give(r, 0, &view, err);
}

/* ---- constants per channel ---- */

/* Which dimension of the view the constant follows: view.rank when it is one value. */
static es_status constant_dim(const es_nn_reader *r, const es_nn_constant *c,
                              const es_nn_view *view, size_t *out, es_error *err)
{
    *out = view->rank;
    if (c->rank > view->rank)
        return es_nn_read_fail(r, err, "a constant of rank %zu on a value of rank %zu", c->rank,
                               view->rank);
    for (size_t i = 0; i < c->rank; i++) {
        if (c->dims[i] == 1)
            continue;
        if (*out != view->rank)
            return es_nn_read_fail(r, err, "its constant must have one value per channel");
        *out = i + view->rank - c->rank;
    }
    return ES_OK;
}

/* What to do with x: a x + b; exactly one of both is the constant. */
typedef struct affine {
    bool multiplies;
    bool divides;
    bool negates_x; /* c - x */
    bool negates_c; /* x - c */
} affine;

static void set_affine(const affine *how, const es_nn_constant *c, float *factor, float *offset,
                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float value = c->values[c->count == 1 ? 0 : i];
        if (how->multiplies)
            factor[i] = how->divides ? 1.0F / value : value;
        else
            offset[i] = how->negates_c ? -value : value;
        if (how->negates_x)
            factor[i] = -1;
    }
}

/* A sum behind a product, or behind a layer that has no bias yet, is part of it. */
static es_status join(es_nn_reader *r, const es_nn_value *x, const affine *how,
                      const es_nn_constant *c, bool *done, es_error *err)
{
    es_nn_layer *layer = &r->nn->layers.items[x->view.layer.index];
    *done = false;
    if (how->multiplies || how->negates_x || !es_nn_read_owns(x))
        return ES_OK;
    bool bare = (layer->kind == ES_NN_CONV || layer->kind == ES_NN_DENSE) && !es_nn_has_bias(layer);
    if (layer->kind == ES_NN_SCALE) {
        const es_nn_param *offset = es_nn_param_of(layer, ES_NN_OFFSET);
        for (size_t i = 0; i < offset->count; i++) {
            if (offset->values[i] != 0.0F)
                return ES_OK;
        }
    } else if (!bare) {
        return ES_OK;
    }
    if (bare)
        ES_TRY(es_nn_give_bias(r->nn, layer, err));
    es_nn_param *param = es_nn_param_of(layer, bare ? ES_NN_BIAS : ES_NN_OFFSET);
    set_affine(how, c, param->values, param->values, param->count);
    const char *name = r->op.outputs[0];
    if (!es_nn_is(es_nn_find(r->nn, name)))
        layer->name = name;
    *done = true;
    return es_nn_read_give(r, 0, &x->view, err);
}

static es_status read_affine(es_nn_reader *r, size_t index, const es_nn_constant *c,
                             const affine *how, es_error *err)
{
    es_nn_value *x = NULL;
    es_nn_layer layer = {.kind = ES_NN_SCALE, .input_count = 1};
    size_t dim = 0;
    bool done = false;
    ES_TRY(es_nn_read_in(r, index, &x, err));
    es_nn_view view = x->view;
    ES_TRY(constant_dim(r, c, &view, &dim, err));
    es_nn_shape shape = es_nn_at(r->nn, view.layer)->shape;
    if (dim < view.rank && !es_nn_view_is_channels(&view, shape, dim)) {
        if (dim != 1 || view.rank != 2)
            return es_nn_read_fail(r, err, "its constant must have one value per channel");
        ES_TRY(es_nn_read_flat(r, x, &view.layer, err));
        shape = es_nn_at(r->nn, view.layer)->shape;
        view = es_nn_view_plain(view.layer, shape);
    }
    if (c->count != 1 && c->count != shape.dims[0])
        return es_nn_read_fail(r, err, "its constant has %zu values, '%s' has %zu channels",
                               c->count, x->name, shape.dims[0]);
    if (view.layer.index == x->view.layer.index)
        ES_TRY(join(r, x, how, c, &done, err));
    if (done)
        return ES_OK;
    layer.inputs[0] = view.layer;
    ES_TRY(es_nn_read_add(r, 0, &layer, 0, false, &view.layer, err));
    es_nn_layer *made = &r->nn->layers.items[view.layer.index];
    set_affine(how, c, es_nn_param_of(made, ES_NN_FACTOR)->values,
               es_nn_param_of(made, ES_NN_OFFSET)->values, shape.dims[0]);
    return es_nn_read_give(r, 0, &view, err);
}

/* gate(x) * x */
static es_status read_hard_swish(es_nn_reader *r, const es_nn_value *x, const es_nn_value *gate,
                                 es_error *err)
{
    if (x->gate || x->padded || x->quantised || !x->has_view ||
        x->view.layer.index != gate->view.layer.index || !es_nn_view_same(&x->view, &gate->view))
        return es_nn_read_fail(r, err, "a HardSigmoid is read only as HardSigmoid(x) * x");
    es_nn_view view = x->view;
    es_nn_layer layer = {.kind = ES_NN_HARD_SWISH, .input_count = 1, .inputs = {view.layer}};
    ES_TRY(es_nn_read_add(r, 0, &layer, 0, false, &view.layer, err));
    return es_nn_read_give(r, 0, &view, err);
}

static es_status read_two(es_nn_reader *r, es_error *err)
{
    es_nn_constant c;
    int op = r->op.op[0] == 'S' ? '-' : r->op.op[0]; /* Add, Sub, Mul, Div */
    affine how = {.multiplies = op == 'M' || op == 'D', .divides = op == 'D'};
    if (r->op.input_count != 2 || !es_nn_read_has(r, 0) || !es_nn_read_has(r, 1))
        return es_nn_read_fail(r, err, "expected two inputs");
    const es_nn_value *a = es_nn_read_find(r, r->op.inputs[0]);
    const es_nn_value *b = es_nn_read_find(r, r->op.inputs[1]);
    if (a != NULL && b != NULL) {
        if (op == 'M' && (a->gate || b->gate))
            return a->gate ? read_hard_swish(r, b, a, err) : read_hard_swish(r, a, b, err);
        return op == 'A' ? read_sum(r, err)
                         : es_nn_read_fail(r, err, "one of its inputs must be constant");
    }
    size_t index = a != NULL ? 0 : 1;
    bool found = false;
    ES_TRY(es_nn_read_constant(r, r->op.inputs[1 - index], &c, &found, err));
    if (!found || (op == 'D' && index == 1))
        return es_nn_read_fail(r, err, "input '%s' must be constant floats",
                               r->op.inputs[op == 'D' ? 1 : 1 - index]);
    how.negates_x = op == '-' && index == 1;
    how.negates_c = op == '-' && index == 0;
    return read_affine(r, index, &c, &how, err);
}

/* ---- payloads ---- */

/* One scale and one zero point of unsigned bytes. */
static es_status read_grid(es_nn_reader *r, float *factor, float *zero, es_error *err)
{
    es_model_weight weight;
    const int64_t *point = NULL;
    ES_TRY(read_scalar(r, 1, 0, factor, err));
    if (!(*factor > 0) || !es_nn_read_has(r, 2) ||
        !es_model_constant(r->model, r->op.inputs[2], &weight) ||
        weight.tensor.type != ES_MODEL_UINT8 || weight.tensor.elements != 1)
        return es_nn_read_fail(r, err, "expected one scale above 0 and one zero point of UINT8");
    ES_TRY(es_model_ints(r->arena, &weight, &point, err));
    *zero = (float)point[0];
    return ES_OK;
}

static es_status read_quantise(es_nn_reader *r, es_error *err)
{
    es_nn_value *x = NULL;
    float factor = 0;
    float zero = 0;
    ES_TRY(es_nn_read_in(r, 0, &x, err));
    ES_TRY(read_grid(r, &factor, &zero, err));
    ES_TRY(es_nn_read_give(r, 0, &x->view, err));
    es_nn_value *y = es_nn_read_find(r, r->op.outputs[0]);
    y->quantised = true;
    y->factor = factor;
    y->zero = zero;
    return ES_OK;
}

static es_status read_dequantise(es_nn_reader *r, es_error *err)
{
    float factor = 0;
    float zero = 0;
    ES_TRY(read_grid(r, &factor, &zero, err));
    const es_nn_value *x = es_nn_read_find(r, r->op.inputs[0]);
    if (x == NULL || !x->has_view || !x->quantised || x->factor != factor || x->zero != zero)
        return es_nn_read_fail(r, err, "it must follow a QuantizeLinear of the same scale");
    es_nn_view view = x->view;
    es_nn_layer layer = {.kind = ES_NN_QUANTISE, .input_count = 1, .inputs = {view.layer}};
    ES_TRY(es_nn_read_add(r, 0, &layer, 0, false, &view.layer, err));
    ES_TRY(es_nn_read_param(r, ES_NN_FACTOR, &factor, 1, err));
    ES_TRY(es_nn_read_param(r, ES_NN_OFFSET, &zero, 1, err));
    return es_nn_read_give(r, 0, &view, err);
}

es_nn_read_fn es_nn_read_elements(const char *op)
{
    static const es_nn_read_row rows[] = {
        {"Relu", read_plain},
        {"HardSwish", read_plain},
        {"Sigmoid", read_plain},
        {"Tanh", read_plain},
        {"Clip", read_clip},
        {"Dropout", read_dropout},
        {"HardSigmoid", read_hard_sigmoid},
        {"Add", read_two},
        {"Sub", read_two},
        {"Mul", read_two},
        {"Div", read_two},
        {"Sum", read_sum},
        {"Concat", read_concat},
        {"QuantizeLinear", read_quantise},
        {"DequantizeLinear", read_dequantise},
    };
    return es_nn_read_row_of(rows, sizeof rows / sizeof *rows, op);
}
