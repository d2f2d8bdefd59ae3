/*
 * Reading operators on series: GRU, the last step.
 */
#include "nn/read.h"

#include <assert.h>

enum { CHAIN_MAX = 8, STEPS = 1 };

/* ---- GRU ---- */

static es_status all_zero(es_nn_reader *r, const char *name, bool *out, es_error *err)
{
    es_nn_constant c;
    bool found = false;
    ES_TRY(es_nn_read_constant(r, name, &c, &found, err));
    *out = found;
    for (size_t i = 0; found && i < c.count; i++)
        *out = *out && c.values[i] == 0.0F;
    return ES_OK;
}

/* Zeros as exporters make them: a constant, perhaps spread to the batch's size. */
static es_status is_zero(es_nn_reader *r, const char *name, bool *out, es_error *err)
{
    *out = false;
    for (size_t depth = 0; depth < CHAIN_MAX; depth++) {
        ES_TRY(all_zero(r, name, out, err));
        size_t node = es_nn_read_maker(r, name);
        if (*out || node == SIZE_MAX)
            return ES_OK;
        es_model_op op = es_model_op_at(r->model, node);
        es_model_weight weight;
        if (strcmp(op.op, "ConstantOfShape") == 0) {
            const float *values = NULL;
            *out = !es_model_attr_tensor(r->model, node, "value", &weight);
            if (*out || weight.tensor.elements != 1)
                return ES_OK;
            ES_TRY(es_model_floats(r->arena, &weight, &values, err));
            *out = values[0] == 0.0F;
            return ES_OK;
        }
        bool passes = strcmp(op.op, "Expand") == 0 || strcmp(op.op, "Identity") == 0 ||
                      strcmp(op.op, "Unsqueeze") == 0 || strcmp(op.op, "Slice") == 0;
        if (!passes || op.input_count == 0)
            return ES_OK;
        name = op.inputs[0];
    }
    return ES_OK;
}

static es_status check_gru(es_nn_reader *r, es_error *err)
{
    static const char *const usual[] = {"Sigmoid", "Tanh"};
    bool zero = true;
    if (strcmp(es_model_attr_text(r->model, r->node, "direction", "forward"), "forward") != 0 ||
        es_nn_read_int(r, "linear_before_reset", 0) != 1 || es_nn_read_int(r, "layout", 0) != 0 ||
        es_nn_read_float(r, "clip", 0) != 0.0F || es_nn_read_has(r, 4))
        return es_nn_read_fail(r, err,
                               "only forward, with linear_before_reset 1, without clip and "
                               "sequence_lens is supported");
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        const char *given = es_model_attr_text_at(r->model, r->node, "activations", i);
        if (given != NULL && strcmp(given, usual[i]) != 0)
            return es_nn_read_fail(r, err, "activation %s, only %s is supported", given, usual[i]);
    }
    if (es_nn_read_has(r, 5))
        ES_TRY(is_zero(r, r->op.inputs[5], &zero, err));
    if (!zero)
        return es_nn_read_fail(r, err, "its first state must be zero");
    return ES_OK;
}

/* The series with its steps first: [steps, batch, channels]. */
static es_status read_steps(es_nn_reader *r, es_nn_value **out, es_error *err)
{
    es_nn_value *x = NULL;
    ES_TRY(es_nn_read_in(r, 0, &x, err));
    es_nn_shape shape = es_nn_at(r->nn, x->view.layer)->shape;
    es_nn_view wanted = es_nn_view_plain(x->view.layer, shape);
    if (shape.rank == 2)
        (void)es_nn_view_transpose(&wanted, (const int64_t[]){2, 0, 1}, 3); /* a permutation */
    if (shape.rank != 2 || !es_nn_view_same(&x->view, &wanted))
        return es_nn_read_fail(r, err, "input '%s' must be a series, [steps, batch, channels]",
                               x->name);
    *out = x;
    return ES_OK;
}

static bool has_output(const es_nn_reader *r, size_t index)
{
    return index < r->op.output_count && r->op.outputs[index][0] != '\0';
}

static es_status read_gru(es_nn_reader *r, es_error *err)
{
    es_nn_value *x = NULL;
    es_nn_constant params[3];
    es_nn_id gru = ES_NN_NONE;
    bool biased = es_nn_read_has(r, 3);
    ES_TRY(check_gru(r, err));
    ES_TRY(read_steps(r, &x, err));
    assert(x != NULL);
    for (size_t i = 0; i < 2; i++)
        ES_TRY(es_nn_read_weights(r, i + 1, 3, &params[i], err));
    if (biased)
        ES_TRY(es_nn_read_weights(r, 3, 2, &params[2], err));
    size_t units = (size_t)params[1].dims[2];
    es_nn_layer layer = {.kind = ES_NN_GRU, .input_count = 1, .inputs = {x->view.layer}};
    ES_TRY(es_nn_read_add(r, has_output(r, 0) ? 0 : 1, &layer, units, biased, &gru, err));
    ES_TRY(es_nn_read_param(r, ES_NN_WEIGHT, params[0].values, params[0].count, err));
    ES_TRY(es_nn_read_param(r, ES_NN_RECURRENT, params[1].values, params[1].count, err));
    if (biased)
        ES_TRY(es_nn_read_param(r, ES_NN_BIAS, params[2].values, params[2].count, err));
    es_nn_view view = es_nn_view_plain(gru, es_nn_at(r->nn, gru)->shape);
    (void)es_nn_view_transpose(&view, (const int64_t[]){2, 0, 1}, 3); /* a permutation */
    (void)es_nn_view_unsqueeze(&view, 1);                             /* of rank 3 */
    if (has_output(r, 0))
        ES_TRY(es_nn_read_give(r, 0, &view, err));
    if (!has_output(r, 1))
        return ES_OK;
    es_nn_id last = ES_NN_NONE;
    es_nn_layer end = {.kind = ES_NN_LAST, .input_count = 1, .inputs = {gru}};
    ES_TRY(es_nn_read_add(r, 1, &end, 0, false, &last, err));
    view = es_nn_view_plain(last, es_nn_at(r->nn, last)->shape);
    (void)es_nn_view_unsqueeze(&view, 0); /* of rank 2 */
    return es_nn_read_give(r, 1, &view, err);
}

/* ---- the last step ---- */

/* Takes the last step; dimension dim of the view goes, or stays with size 1. */
static es_status take_last(es_nn_reader *r, es_nn_view view, size_t dim, bool keep, es_error *err)
{
    es_nn_layer layer = {.kind = ES_NN_LAST, .input_count = 1, .inputs = {view.layer}};
    ES_TRY(es_nn_read_add(r, 0, &layer, 0, false, &view.layer, err));
    view.parts[dim] = (es_nn_dim){0};
    if (!keep)
        (void)es_nn_view_squeeze(&view, dim); /* just made of size 1 */
    return es_nn_read_give(r, 0, &view, err);
}

/* The steps of a series, as a dimension of their own? */
static bool is_steps(const es_nn_reader *r, const es_nn_view *view, int64_t axis, int64_t *out_dim,
                     size_t *out_steps)
{
    es_nn_shape shape = es_nn_at(r->nn, view->layer)->shape;
    *out_dim = axis + (axis < 0 ? (int64_t)view->rank : 0);
    *out_steps = shape.dims[STEPS];
    return shape.rank == 2 && *out_dim >= 0 && *out_dim < (int64_t)view->rank &&
           (*out_steps == 1 ? view->parts[*out_dim].count == 0
                            : es_nn_dim_is(&view->parts[*out_dim], STEPS));
}

/* One of the values that a Concat stacked. */
static es_status choose(es_nn_reader *r, const es_nn_value *stack, const int64_t *index,
                        size_t count, es_error *err)
{
    es_model_op concat = es_model_op_at(r->model, stack->node);
    int64_t at = count == 1 ? index[0] + (index[0] < 0 ? (int64_t)concat.input_count : 0) : -1;
    const es_nn_value *y = es_nn_read_find(r, r->op.outputs[0]);
    if (at < 0 || at >= (int64_t)concat.input_count || y == NULL ||
        es_nn_read_int(r, "axis", 0) != (int64_t)stack->stack_dim)
        return es_nn_read_fail(r, err, "only one of stacked states can be chosen");
    es_nn_view view = es_nn_read_find(r, concat.inputs[at])->view;
    if (y->tensor->rank == (int32_t)view.rank - 1)
        (void)es_nn_view_squeeze(&view, stack->stack_dim); /* of size 1 in each */
    return es_nn_read_give(r, 0, &view, err);
}

static es_status read_gather(es_nn_reader *r, es_error *err)
{
    es_nn_value *x = NULL;
    const int64_t *index = NULL;
    size_t count = 0;
    int64_t dim = 0;
    size_t steps = 0;
    const es_nn_value *stack = es_nn_read_find(r, r->op.inputs[0]);
    ES_TRY(es_nn_read_ints(r, 1, "", &index, &count, err));
    if (stack != NULL && stack->stacked)
        return choose(r, stack, index, count, err);
    ES_TRY(es_nn_read_in(r, 0, &x, err));
    const es_nn_value *y = es_nn_read_find(r, r->op.outputs[0]);
    bool scalar = y != NULL && y->tensor->rank == (int32_t)x->view.rank - 1;
    if (count != 1 || !is_steps(r, &x->view, es_nn_read_int(r, "axis", 0), &dim, &steps) ||
        (index[0] != -1 && index[0] != (int64_t)steps - 1))
        return es_nn_read_fail(r, err, "only the last step of a series is supported");
    return take_last(r, x->view, (size_t)dim, !scalar, err);
}

static es_status read_slice(es_nn_reader *r, es_error *err)
{
    es_nn_value *x = NULL;
    const int64_t *lists[4] = {NULL}; /* starts, ends, axes, steps */
    size_t counts[4] = {0};
    int64_t dim = 0;
    size_t steps = 0;
    ES_TRY(es_nn_read_in(r, 0, &x, err));
    for (size_t i = 0; i < 4; i++)
        ES_TRY(es_nn_read_ints(r, i + 1, "", &lists[i], &counts[i], err));
    bool whole = counts[0] >= 1 && counts[1] == counts[0] && counts[2] == counts[0] &&
                 (counts[3] == 0 || counts[3] == counts[0]);
    size_t found = SIZE_MAX;
    for (size_t i = 0; whole && i < counts[0]; i++) {
        bool by_one = counts[3] == 0 || lists[3][i] == 1;
        bool last = is_steps(r, &x->view, lists[2][i], &dim, &steps) &&
                    (lists[0][i] == -1 || lists[0][i] == (int64_t)steps - 1) &&
                    lists[1][i] >= (int64_t)steps;
        /* Other dimensions may be sliced whole, as TensorFlow writes it. */
        whole = by_one && (last || (lists[0][i] == 0 && lists[1][i] == INT64_MAX));
        found = last ? (size_t)dim : found;
    }
    if (!whole || found == SIZE_MAX)
        return es_nn_read_fail(r, err, "only the last step of a series is supported");
    return take_last(r, x->view, found, true, err);
}

es_nn_read_fn es_nn_read_series(const char *op)
{
    static const es_nn_read_row rows[] = {
        {"GRU", read_gru},
        {"Gather", read_gather},
        {"Slice", read_slice},
    };
    return es_nn_read_row_of(rows, sizeof rows / sizeof *rows, op);
}
