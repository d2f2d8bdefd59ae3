/*
 * train/internal: what the files of the module share. Both backends work from the same graph; the
 * plain one's operators also serve the other where it has nothing better.
 */
#ifndef ES_TRAIN_INTERNAL_H
#define ES_TRAIN_INTERNAL_H

#include "base/checked.h"
#include "base/pool.h"
#include "train/train.h"

/* The plain operators are compiled a second time in double, so that tests can hold their gradients
 * against finite differences to many digits. */
#ifndef ES_TRAIN_REAL
#define ES_TRAIN_REAL float
#endif
typedef ES_TRAIN_REAL es_real;

/* ---- graph.c: what must be computed, and for whom ---- */

typedef struct es_train_graph {
    size_t layer_count;
    size_t output_count;
    es_nn_id outputs[ES_NN_OUTPUTS_MAX]; /* of the net, or what goes into their softmax */
    bool *needed;                        /* [layer] some output needs it */
    bool *trained;                       /* [layer] its parameters get gradients */
    bool *wanted;                        /* [layer] the gradient of its value is needed */
    size_t *uses;                        /* [layer] by layers that are needed, and as output */
} es_train_graph;

es_status es_train_graph_make(es_arena *arena, const es_nn *nn, bool logits,
                              es_train_graph *out_graph, es_error *err) ES_MUST_CHECK;

bool es_train_role_trained(es_nn_role role); /* by gradient */

/* Index in the layer's params, or ES_NN_PARAMS_MAX. */
size_t es_train_param_index(const es_nn_layer *layer, es_nn_role role);

/* A convolution or pool as two-dimensional: a series has one row. */
typedef struct es_geometry {
    size_t channels, rows, columns;
    size_t out_channels, out_rows, out_columns;
    size_t kernel[2], stride[2], dilation[2], before[2], after[2];
    size_t groups;
} es_geometry;

es_geometry es_geometry_of(const es_nn_layer *layer, es_nn_shape in);
size_t es_shape_channels(es_nn_shape shape); /* first dimension */
size_t es_shape_inner(es_nn_shape shape);    /* values of one channel */

/* running = momentum running + (1 - momentum) of the batch */
void es_train_statistics(es_nn_layer *layer, const es_real *mean, const es_real *variance);

/* ---- gemm.c ---- */

/* c[m, n] = (add: c +) a b, a [m, k] (or [k, m] when turned), b [k, n] (or [n, k]), row-major. */
typedef void (*es_gemm_fn)(const void *context, bool turn_a, bool turn_b, size_t m, size_t n,
                           size_t k, const es_real *a, size_t a_step, const es_real *b,
                           size_t b_step, bool add, es_real *c, size_t c_step);
void es_gemm_plain(const void *context, bool turn_a, bool turn_b, size_t m, size_t n, size_t k,
                   const es_real *a, size_t a_step, const es_real *b, size_t b_step, bool add,
                   es_real *c, size_t c_step);

/* ---- plain operators: plain_*.c ---- */

/* One layer at work on row-major values [samples, shape]. */
typedef struct es_plain_op {
    const es_nn_layer *layer;
    size_t samples;
    bool training; /* batch statistics */
    bool dropout;
    es_nn_shape in_shapes[ES_NN_INPUTS_MAX];
    const es_real *in[ES_NN_INPUTS_MAX];
    es_real *in_gradients[ES_NN_INPUTS_MAX]; /* added to; NULL: not wanted */
    es_real *out;
    const es_real *out_gradient;
    const es_real *params[ES_NN_PARAMS_MAX];
    es_real *param_gradients[ES_NN_PARAMS_MAX]; /* added to; NULL: not wanted */
    es_real *saved;                             /* from forward to backward */
    es_real *scratch;
    uint64_t seed, step; /* of a dropout's numbers */
    es_gemm_fn gemm;
    const void *gemm_context;
    es_pool *pool; /* NULL: the calling thread does all chunks */
    size_t chunks; /* >= 1; what is added up depends on it, never on who did what when */
} es_plain_op;

typedef struct es_plain_kind {
    void (*forward)(const es_plain_op *op);
    void (*backward)(const es_plain_op *op);
    /* values of saved and scratch for that many samples; NULL: none */
    size_t (*saved_count)(const es_plain_op *op);
    size_t (*scratch_count)(const es_plain_op *op);
} es_plain_kind;

const es_plain_kind *es_plain_kind_of(es_nn_kind kind); /* every kind but the input */

/* run(op, i) for each chunk, at the same time where there is a pool. */
void es_plain_each(const es_plain_op *op, void (*run)(const es_plain_op *op, size_t chunk));

/* The chunk's part of 0..count. */
typedef struct es_plain_range {
    size_t from, to;
} es_plain_range;
es_plain_range es_plain_chunk(const es_plain_op *op, size_t chunk, size_t count);

extern const es_plain_kind es_plain_conv, es_plain_dense, es_plain_batch_norm, es_plain_scale,
    es_plain_relu, es_plain_relu6, es_plain_hard_swish, es_plain_sigmoid, es_plain_tanh,
    es_plain_max_pool, es_plain_average_pool, es_plain_global_pool, es_plain_add, es_plain_concat,
    es_plain_copy, es_plain_dropout, es_plain_upsample, es_plain_gru, es_plain_last,
    es_plain_quantise, es_plain_softmax;

/* NULL when the layer has no such parameter. */
const es_real *es_plain_param(const es_plain_op *op, es_nn_role role);
es_real *es_plain_param_gradient(const es_plain_op *op, es_nn_role role);

/* out[count] = factor for a kept value (1 / (1 - rate)) or 0, by seed, step and layer. */
void es_dropout_mask(const es_nn_layer *layer, uint64_t seed, uint64_t step, size_t count,
                     es_real *out);

/* ---- plain.c: the whole net on plain operators ---- */

typedef struct es_plain es_plain;

typedef struct es_plain_run {
    const float *x;
    size_t samples;
    bool training, dropout;
    uint64_t seed, step;
} es_plain_run;

/* All memory for up to `batch` samples; backward only with gradients. Threads start with the first
 * and end with the arena. */
es_status es_plain_new(es_arena *arena, es_nn *nn, const es_train_graph *graph, size_t batch,
                       bool gradients, uint32_t thread_count, es_plain **out_plain,
                       es_error *err) ES_MUST_CHECK;
void es_plain_forward(es_plain *plain, es_plain_run run);
const es_real *es_plain_output(const es_plain *plain, size_t output);
/* gradients[output_count], NULL: none. Afterwards es_plain_gradient holds this pass's gradient. */
void es_plain_backward(es_plain *plain, const float *const *gradients);
const es_real *es_plain_gradient(const es_plain *plain, es_nn_id layer, size_t param);

/* ---- scale.c ---- */

/* x as the net's own scaling gives it, in scratch[samples * size]; x itself when it has none. */
const float *es_train_scaled(const es_nn *nn, const float *x, size_t samples, float *scratch);

/* ---- engine.c ---- */

typedef struct es_train_backend_ops {
    es_status (*make)(es_train_engine *engine, es_error *err);
    es_status (*forward)(es_train_engine *engine, const float *x, size_t samples, es_error *err);
    es_status (*backward)(es_train_engine *engine, const float *const *gradients, es_error *err);
    void (*free)(void *backend);
} es_train_backend_ops;

extern const es_train_backend_ops es_train_plain_ops, es_train_onednn_ops;

struct es_train_engine {
    es_arena *arena;
    es_nn *nn;
    es_train_engine_opts opts;
    es_train_graph graph;
    es_train_params params;
    float *gradients, *before;               /* of params, close together; those added to */
    const float *outputs[ES_NN_OUTPUTS_MAX]; /* of the last forward */
    es_nn_shape output_shapes[ES_NN_OUTPUTS_MAX];
    size_t samples; /* of the last forward; 0: none */
    bool training;  /* of the last forward */
    bool dropout;
    uint64_t step;
    const es_train_backend_ops *ops;
    void *backend;
};

/* Where a parameter's gradient goes, or NULL. */
float *es_train_engine_slot(const es_train_engine *engine, es_nn_id layer, size_t param);

#endif
