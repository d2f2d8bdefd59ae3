/* Layers that oneDNN has nothing for, or nothing better: the plain operator on row-major values,
 * with oneDNN's matrix product. */
#include "train/onednn.h"

static void multiply(const void *context, bool turn_a, bool turn_b, size_t m, size_t n, size_t k,
                     const float *a, size_t a_step, const float *b, size_t b_step, bool add,
                     float *c, size_t c_step)
{
    const es_onednn_library *lib = context;
    dnnl_status_t status = lib->sgemm(turn_a ? 'T' : 'N', turn_b ? 'T' : 'N', (dnnl_dim_t)m,
                                      (dnnl_dim_t)n, (dnnl_dim_t)k, 1, a, (dnnl_dim_t)a_step, b,
                                      (dnnl_dim_t)b_step, add ? 1 : 0, c, (dnnl_dim_t)c_step);
    if (status != dnnl_success) /* out of memory for its panels: ours needs none */
        es_gemm_plain(NULL, turn_a, turn_b, m, n, k, a, a_step, b, b_step, add, c, c_step);
}

static es_status take(es_onednn_plan *plan, size_t count, es_view **out, es_error *err)
{
    dnnl_memory_desc_t vector = es_onednn_vector_desc(plan, count);
    return es_onednn_view_new(plan, &vector, out, err);
}

static es_status make_op(es_onednn_plan *plan, size_t layer, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    const es_nn_layer *nn = es_onednn_nn_layer(plan, layer);
    const es_plain_kind *kind = es_plain_kind_of(nn->kind);
    at->op = ES_TAKE_ONE(plan->arena, es_plain_op);
    if (at->op == NULL)
        return es_arena_full(plan->arena, "operators", err);
    *at->op = (es_plain_op){.layer = nn,
                            .samples = plan->samples,
                            .training = plan->learn,
                            .chunks = 1,
                            .gemm = multiply,
                            .gemm_context = plan->lib};
    for (size_t k = 0; k < nn->input_count; k++)
        at->op->in_shapes[k] = plan->engine->nn->layers.items[nn->inputs[k].index].shape;
    if (kind->saved_count != NULL)
        ES_TRY(take(plan, kind->saved_count(at->op), &at->saved, err));
    if (kind->scratch_count != NULL)
        ES_TRY(take(plan, kind->scratch_count(at->op), &at->scratch, err));
    return ES_OK;
}

/* ---- at work ---- */

static void run_forward(es_onednn_plan *plan, size_t layer)
{
    es_onednn_layer *at = &plan->layers[layer];
    const es_nn_layer *nn = es_onednn_nn_layer(plan, layer);
    es_plain_op *op = at->op;
    op->out = at->value->data;
    op->saved = at->saved != NULL ? at->saved->data : NULL;
    op->scratch = at->scratch != NULL ? at->scratch->data : NULL;
    for (size_t k = 0; k < nn->input_count; k++)
        op->in[k] = at->op_in[k]->data;
    for (size_t p = 0; p < nn->param_count; p++)
        op->params[p] = nn->params[p].values;
    es_plain_kind_of(nn->kind)->forward(op);
}

static void run_backward(es_onednn_plan *plan, size_t layer)
{
    es_onednn_layer *at = &plan->layers[layer];
    const es_nn_layer *nn = es_onednn_nn_layer(plan, layer);
    es_plain_op *op = at->op;
    op->out_gradient = at->op_out_gradient->data;
    for (size_t k = 0; k < nn->input_count; k++) {
        if (at->op_in_gradient[k] == NULL)
            continue;
        op->in_gradients[k] = at->op_in_gradient[k]->data;
        memset(op->in_gradients[k], 0, plan->samples * op->in_shapes[k].count * sizeof(float));
    }
    for (size_t p = 0; p < nn->param_count; p++) {
        op->param_gradients[p] = es_train_engine_slot(plan->engine, (es_nn_id){(uint32_t)layer}, p);
        if (op->param_gradients[p] != NULL)
            memset(op->param_gradients[p], 0, nn->params[p].count * sizeof(float));
    }
    es_plain_kind_of(nn->kind)->backward(op);
}

/* ---- in the plan ---- */

static es_status forward(es_onednn_plan *plan, size_t layer, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    const es_nn_layer *nn = es_onednn_nn_layer(plan, layer);
    dnnl_memory_desc_t out = es_onednn_value_desc(plan, nn->shape, false);
    es_view *used[ES_NN_INPUTS_MAX + 3] = {0};
    ES_TRY(make_op(plan, layer, err));
    for (size_t k = 0; k < nn->input_count; k++) {
        ES_TRY(es_onednn_as_plain(plan, layer, es_onednn_input(plan, layer, k)->value,
                                  &at->op_in[k], err));
        used[k] = at->op_in[k];
    }
    ES_TRY(es_onednn_view_new(plan, &out, &at->value, err));
    used[nn->input_count] = at->value;
    used[nn->input_count + 1] = at->saved;
    used[nn->input_count + 2] = at->scratch;
    return es_onednn_call_add(plan, layer, run_forward, used, nn->input_count + 3, err);
}

static es_status backward(es_onednn_plan *plan, size_t layer, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    const es_nn_layer *nn = es_onednn_nn_layer(plan, layer);
    es_view *used[2 * ES_NN_INPUTS_MAX + 4] = {at->value, at->saved, at->scratch};
    size_t count = 4;
    ES_TRY(es_onednn_as_plain(plan, layer, at->gradient, &at->op_out_gradient, err));
    used[3] = at->op_out_gradient;
    for (size_t k = 0; k < nn->input_count; k++) {
        used[count++] = at->op_in[k];
        if (!es_onednn_wants(plan, layer, k))
            continue;
        ES_TRY(es_onednn_view_new(plan, &at->op_in[k]->desc, &at->op_in_gradient[k], err));
        used[count++] = at->op_in_gradient[k];
    }
    ES_TRY(es_onednn_call_add(plan, layer, run_backward, used, count, err));
    for (size_t k = 0; k < nn->input_count; k++)
        if (at->op_in_gradient[k] != NULL)
            ES_TRY(es_onednn_give(plan, layer, k, at->op_in_gradient[k], err));
    return ES_OK;
}

const es_onednn_kind es_onednn_plain = {.forward = forward, .backward = backward};
