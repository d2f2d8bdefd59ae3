/* The whole net on plain operators: the portable backend, and the oracle of the other. */
#include "train/internal.h"

struct es_plain {
    es_nn *nn;
    const es_train_graph *graph;
    size_t samples;
    bool training;
    es_pool *pool; /* NULL: one thread */
    size_t chunks;
    es_plain_op *ops;                     /* [layer] */
    es_real **values, **gradients;        /* [layer], at full batch */
    es_real *(*params)[ES_NN_PARAMS_MAX]; /* [layer] as es_real */
    es_real *(*slopes)[ES_NN_PARAMS_MAX]; /* [layer] their gradients, or NULL */
};

const es_plain_kind *es_plain_kind_of(es_nn_kind kind)
{
    static const es_plain_kind *const kinds[ES_NN_KIND_COUNT] = {
        [ES_NN_CONV] = &es_plain_conv,
        [ES_NN_DENSE] = &es_plain_dense,
        [ES_NN_BATCH_NORM] = &es_plain_batch_norm,
        [ES_NN_SCALE] = &es_plain_scale,
        [ES_NN_RELU] = &es_plain_relu,
        [ES_NN_RELU6] = &es_plain_relu6,
        [ES_NN_HARD_SWISH] = &es_plain_hard_swish,
        [ES_NN_SIGMOID] = &es_plain_sigmoid,
        [ES_NN_TANH] = &es_plain_tanh,
        [ES_NN_MAX_POOL] = &es_plain_max_pool,
        [ES_NN_AVERAGE_POOL] = &es_plain_average_pool,
        [ES_NN_GLOBAL_POOL] = &es_plain_global_pool,
        [ES_NN_ADD] = &es_plain_add,
        [ES_NN_CONCAT] = &es_plain_concat,
        [ES_NN_FLATTEN] = &es_plain_copy,
        [ES_NN_DROPOUT] = &es_plain_dropout,
        [ES_NN_UPSAMPLE] = &es_plain_upsample,
        [ES_NN_GRU] = &es_plain_gru,
        [ES_NN_LAST] = &es_plain_last,
        [ES_NN_QUANTISE] = &es_plain_quantise,
        [ES_NN_SOFTMAX] = &es_plain_softmax,
    };
    return kinds[kind];
}

const es_real *es_plain_param(const es_plain_op *op, es_nn_role role)
{
    size_t at = es_train_param_index(op->layer, role);
    return at < ES_NN_PARAMS_MAX ? op->params[at] : NULL;
}

es_real *es_plain_param_gradient(const es_plain_op *op, es_nn_role role)
{
    size_t at = es_train_param_index(op->layer, role);
    return at < ES_NN_PARAMS_MAX ? op->param_gradients[at] : NULL;
}

/* ---- chunks ---- */

typedef struct chunk_job {
    const es_plain_op *op;
    void (*run)(const es_plain_op *op, size_t chunk);
} chunk_job;

static void run_chunk(void *context, size_t chunk)
{
    const chunk_job *job = context;
    job->run(job->op, chunk);
}

void es_plain_each(const es_plain_op *op, void (*run)(const es_plain_op *op, size_t chunk))
{
    chunk_job job = {op, run};
    if (op->pool != NULL && es_pool_for(op->pool, op->chunks, run_chunk, &job, NULL) == ES_OK)
        return;
    for (size_t i = 0; i < op->chunks; i++) /* alone, or the pool has no memory for its list */
        run(op, i);
}

es_plain_range es_plain_chunk(const es_plain_op *op, size_t chunk, size_t count)
{
    return (es_plain_range){count * chunk / op->chunks, count * (chunk + 1) / op->chunks};
}

/* ---- memory ---- */

static es_status take(es_arena *arena, size_t samples, size_t count, es_real **out, es_error *err)
{
    void *memory = NULL;
    size_t total = 0;
    if (!es_size_mul(samples, count, &total))
        return es_arena_full(arena, "values of layers", err);
    ES_TRY(es_arena_take_or_fail(arena, total, sizeof(es_real), "values of layers", &memory, err));
    *out = memory;
    return ES_OK;
}

static es_status take_params(es_arena *arena, es_plain *plain, size_t i, bool gradients,
                             es_error *err)
{
    const es_nn_layer *layer = &plain->nn->layers.items[i];
    for (size_t p = 0; p < layer->param_count; p++) {
        ES_TRY(take(arena, 1, layer->params[p].count, &plain->params[i][p], err));
        if (gradients && plain->graph->trained[i] && es_train_role_trained(layer->params[p].role))
            ES_TRY(take(arena, 1, layer->params[p].count, &plain->slopes[i][p], err));
        plain->ops[i].params[p] = plain->params[i][p];
        plain->ops[i].param_gradients[p] = plain->slopes[i][p];
    }
    return ES_OK;
}

static es_status make_op(es_arena *arena, es_plain *plain, size_t i, size_t batch, bool gradients,
                         es_error *err)
{
    es_nn_layer *layer = &plain->nn->layers.items[i];
    es_plain_op *op = &plain->ops[i];
    const es_plain_kind *kind = es_plain_kind_of(layer->kind);
    *op = (es_plain_op){.layer = layer,
                        .samples = batch,
                        .gemm = es_gemm_plain,
                        .pool = plain->pool,
                        .chunks = plain->chunks};
    ES_TRY(take(arena, batch, layer->shape.count, &plain->values[i], err));
    op->out = plain->values[i];
    if (gradients && plain->graph->wanted[i])
        ES_TRY(take(arena, batch, layer->shape.count, &plain->gradients[i], err));
    op->out_gradient = plain->gradients[i];
    for (size_t k = 0; k < layer->input_count; k++) {
        size_t from = layer->inputs[k].index;
        op->in_shapes[k] = plain->nn->layers.items[from].shape;
        op->in[k] = plain->values[from];
        op->in_gradients[k] = plain->gradients[from];
    }
    ES_TRY(take_params(arena, plain, i, gradients, err));
    if (kind != NULL && kind->saved_count != NULL)
        ES_TRY(take(arena, 1, kind->saved_count(op), &op->saved, err));
    if (kind != NULL && kind->scratch_count != NULL)
        ES_TRY(take(arena, 1, kind->scratch_count(op), &op->scratch, err));
    return ES_OK;
}

static void free_pool(void *pool)
{
    es_pool_free(pool);
}

es_status es_plain_new(es_arena *arena, es_nn *nn, const es_train_graph *graph, size_t batch,
                       bool gradients, uint32_t thread_count, es_plain **out_plain, es_error *err)
{
    size_t count = graph->layer_count;
    es_plain *plain = ES_TAKE_ONE(arena, es_plain);
    if (plain == NULL)
        return es_arena_full(arena, "plain backend", err);
    *plain = (es_plain){.nn = nn,
                        .graph = graph,
                        .ops = ES_TAKE_ARRAY(arena, es_plain_op, count),
                        .values = ES_TAKE_ARRAY(arena, es_real *, count),
                        .gradients = ES_TAKE_ARRAY(arena, es_real *, count),
                        .params = es_arena_take(arena, count, sizeof *plain->params),
                        .slopes = es_arena_take(arena, count, sizeof *plain->slopes)};
    if (plain->ops == NULL || plain->values == NULL || plain->gradients == NULL ||
        plain->params == NULL || plain->slopes == NULL)
        return es_arena_full(arena, "plain backend", err);
    if (thread_count > 1) {
        ES_TRY(es_pool_new(thread_count, thread_count, &plain->pool, err));
        ES_TRY(es_arena_attach(arena, plain->pool, free_pool, err));
    }
    plain->chunks = thread_count;
    for (size_t i = 0; i < count; i++)
        if (graph->needed[i])
            ES_TRY(make_op(arena, plain, i, batch, gradients, err));
    *out_plain = plain;
    return ES_OK;
}

/* ---- passes ---- */

static void read_params(es_plain *plain, size_t i)
{
    const es_nn_layer *layer = &plain->nn->layers.items[i];
    for (size_t p = 0; p < layer->param_count; p++)
        for (size_t k = 0; k < layer->params[p].count; k++)
            plain->params[i][p][k] = (es_real)layer->params[p].values[k];
}

void es_plain_forward(es_plain *plain, es_plain_run run)
{
    plain->samples = run.samples;
    plain->training = run.training;
    for (size_t k = 0; k < run.samples * plain->nn->layers.items[0].shape.count; k++)
        plain->values[0][k] = (es_real)run.x[k];
    for (size_t i = 1; i < plain->graph->layer_count; i++) {
        es_nn_layer *layer = &plain->nn->layers.items[i];
        es_plain_op *op = &plain->ops[i];
        if (!plain->graph->needed[i])
            continue;
        op->samples = run.samples;
        op->training = run.training;
        op->dropout = run.dropout;
        op->seed = run.seed;
        op->step = run.step;
        read_params(plain, i);
        es_plain_kind_of(layer->kind)->forward(op);
        if (layer->kind == ES_NN_BATCH_NORM && run.training && !layer->frozen)
            es_train_statistics(layer, op->saved, op->saved + es_shape_channels(layer->shape));
    }
}

const es_real *es_plain_output(const es_plain *plain, size_t output)
{
    return plain->values[plain->graph->outputs[output].index];
}

static void clear(es_plain *plain)
{
    for (size_t i = 0; i < plain->graph->layer_count; i++) {
        const es_nn_layer *layer = &plain->nn->layers.items[i];
        if (plain->gradients[i] != NULL)
            memset(plain->gradients[i], 0, plain->samples * layer->shape.count * sizeof(es_real));
        for (size_t p = 0; p < layer->param_count; p++)
            if (plain->slopes[i][p] != NULL)
                memset(plain->slopes[i][p], 0, layer->params[p].count * sizeof(es_real));
    }
}

void es_plain_backward(es_plain *plain, const float *const *gradients)
{
    const es_train_graph *graph = plain->graph;
    clear(plain);
    for (size_t k = 0; k < graph->output_count; k++) {
        size_t i = graph->outputs[k].index;
        size_t count = plain->samples * plain->nn->layers.items[i].shape.count;
        for (size_t v = 0; gradients[k] != NULL && graph->wanted[i] && v < count; v++)
            plain->gradients[i][v] += (es_real)gradients[k][v];
    }
    for (size_t i = graph->layer_count; i-- > 1;)
        if (graph->wanted[i])
            es_plain_kind_of(plain->nn->layers.items[i].kind)->backward(&plain->ops[i]);
}

const es_real *es_plain_gradient(const es_plain *plain, es_nn_id layer, size_t param)
{
    return plain->slopes[layer.index][param];
}
