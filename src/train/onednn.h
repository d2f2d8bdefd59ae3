/*
 * train/onednn: what the files of the oneDNN backend share. A plan is a list of primitives and
 * small C steps over memory that is laid out once: forwards, then backwards.
 */
#ifndef ES_TRAIN_ONEDNN_H
#define ES_TRAIN_ONEDNN_H

#include "train/internal.h"

#include <oneapi/dnnl/dnnl.h>

/* ---- onednn_library.c ---- */

/* The library is loaded at run time: its OpenMP must find OMP_WAIT_POLICY in the environment. */
#define ES_ONEDNN_FUNCTIONS(X)                                                                     \
    X(engine_create)                                                                               \
    X(engine_destroy)                                                                              \
    X(stream_create)                                                                               \
    X(stream_destroy)                                                                              \
    X(memory_create)                                                                               \
    X(memory_destroy)                                                                              \
    X(memory_set_data_handle)                                                                      \
    X(memory_desc_init_by_tag)                                                                     \
    X(memory_desc_init_by_strides)                                                                 \
    X(memory_desc_init_submemory)                                                                  \
    X(memory_desc_equal)                                                                           \
    X(memory_desc_get_size)                                                                        \
    X(primitive_attr_create)                                                                       \
    X(primitive_attr_destroy)                                                                      \
    X(primitive_attr_set_scratchpad_mode)                                                          \
    X(primitive_attr_set_post_ops)                                                                 \
    X(post_ops_create)                                                                             \
    X(post_ops_destroy)                                                                            \
    X(post_ops_append_eltwise)                                                                     \
    X(primitive_desc_create)                                                                       \
    X(primitive_desc_destroy)                                                                      \
    X(primitive_desc_query_md)                                                                     \
    X(primitive_create)                                                                            \
    X(primitive_destroy)                                                                           \
    X(primitive_execute)                                                                           \
    X(dilated_convolution_forward_desc_init)                                                       \
    X(dilated_convolution_backward_data_desc_init)                                                 \
    X(dilated_convolution_backward_weights_desc_init)                                              \
    X(inner_product_forward_desc_init)                                                             \
    X(inner_product_backward_data_desc_init)                                                       \
    X(inner_product_backward_weights_desc_init)                                                    \
    X(batch_normalization_forward_desc_init)                                                       \
    X(batch_normalization_backward_desc_init)                                                      \
    X(eltwise_forward_desc_init)                                                                   \
    X(eltwise_backward_desc_init)                                                                  \
    X(pooling_v2_forward_desc_init)                                                                \
    X(pooling_v2_backward_desc_init)                                                               \
    X(binary_desc_init)                                                                            \
    X(lbr_gru_forward_desc_init)                                                                   \
    X(lbr_gru_backward_desc_init)                                                                  \
    X(reorder_primitive_desc_create)                                                               \
    X(concat_primitive_desc_create)                                                                \
    X(sgemm)                                                                                       \
    X(version)

typedef struct es_onednn_library {
/* NOLINTNEXTLINE(bugprone-macro-parentheses): a declaration */
#define X(name) __typeof__(dnnl_##name) *name;
    ES_ONEDNN_FUNCTIONS(X)
#undef X
    void (*omp_set_num_threads)(int count);
    bool spins; /* OpenMP was loaded before us, by some BLAS, and busy-waits: take one thread */
} es_onednn_library;

/* Never unloaded. ES_ERR_UNAVAILABLE when it is not there. */
es_status es_onednn_load(es_onednn_library *out_library, es_error *err) ES_MUST_CHECK;

/* ---- onednn_plan.c ---- */

/* Memory in one layout. Views of one buffer share it, one after the other. */
typedef struct es_view es_view;
struct es_view {
    dnnl_memory_desc_t desc;
    uint32_t buffer; /* of the plan; ES_ONEDNN_NO_BUFFER: memory of someone else */
    dnnl_memory_t memory;
    void *data;
    bool shared;        /* a gradient that goes to several layers: not to be written over */
    bool of_x;          /* lies over the input */
    es_view *converted; /* list of the same values in other layouts */
};

#define ES_ONEDNN_NO_BUFFER UINT32_MAX

enum { ES_ONEDNN_ARGS_MAX = 12 };

typedef struct es_onednn_plan es_onednn_plan;

typedef struct es_onednn_step {
    dnnl_primitive_t primitive; /* NULL: run is called, if any */
    int arg_count;
    dnnl_exec_arg_t args[ES_ONEDNN_ARGS_MAX];
    void (*run)(es_onednn_plan *plan, size_t layer);
    size_t layer;
} es_onednn_step;

typedef struct es_onednn_buffer {
    size_t size, offset;
    size_t first, last; /* steps that use it */
} es_onednn_buffer;

/* What one layer has in the plan. */
typedef struct es_onednn_layer {
    es_view *value;
    es_view *gradient;
    ES_ARRAY(es_view *) parts;                /* of the gradient, one per user */
    es_view *source;                          /* the input as the primitive took it */
    es_view *weight;                          /* as the parameter has it */
    es_view *scale, *shift, *mean, *variance; /* of a batch norm */
    es_view *saved, *scratch;                 /* for the way back; for plain operators */
    dnnl_primitive_desc_t hint;               /* of the forward primitive, for the backward ones */
    size_t fused;                             /* the activation done with this layer, or 0 */
    size_t fused_by;                          /* the layer that does this activation, or 0 */
    es_plain_op *op;                          /* where a plain operator does it */
    es_view *op_in[ES_NN_INPUTS_MAX], *op_in_gradient[ES_NN_INPUTS_MAX];
    es_view *op_out_gradient;
    es_view *matrices[2], *matrix_gradients[2]; /* of a GRU: W and R */
    es_view *bias, *bias_gradient, *sequence;   /* the four biases; [steps, samples, units] */
} es_onednn_layer;

struct es_onednn_plan {
    es_train_engine *engine;
    const es_onednn_library *lib;
    dnnl_engine_t dnnl;
    dnnl_stream_t stream;
    dnnl_primitive_attr_t attr; /* scratchpad is ours */
    es_arena *arena;
    size_t samples;
    bool learn; /* with batch statistics and, with gradients, the way back */
    bool back;
    es_onednn_layer *layers;
    ES_ARRAY(es_onednn_step) steps;
    size_t forward_count; /* steps before the way back */
    ES_ARRAY(es_onednn_buffer) buffers;
    ES_ARRAY(es_view *) views; /* all, to give them their places */
    size_t scratch_size;
    ES_ARRAY(dnnl_memory_t) scratch_memories;
    es_view *x;
    ES_ARRAY(es_view *) x_views; /* x and what lies over it: moved to each pass's input */
    es_view *outputs[ES_NN_OUTPUTS_MAX];
    es_view *output_gradients[ES_NN_OUTPUTS_MAX]; /* NULL: not wanted */
    size_t pool_size;
    void *pool;
};

typedef struct es_onednn_arg {
    int name; /* DNNL_ARG_... */
    es_view *view;
} es_onednn_arg;

/* A dnnl status as ours, naming the layer. */
es_status es_onednn_check(const es_onednn_plan *plan, size_t layer, dnnl_status_t status,
                          es_error *err) ES_MUST_CHECK;

/* Row-major, or free for a primitive to choose. */
dnnl_memory_desc_t es_onednn_desc(const es_onednn_plan *plan, int rank, const dnnl_dims_t dims,
                                  bool any);
/* Of a layer's values: {samples, channels, rows, columns} or {samples, features}. */
dnnl_memory_desc_t es_onednn_value_desc(const es_onednn_plan *plan, es_nn_shape shape, bool any);
dnnl_memory_desc_t es_onednn_vector_desc(const es_onednn_plan *plan, size_t count);
/* The same dims, row-major. */
dnnl_memory_desc_t es_onednn_plain_desc(const es_onednn_plan *plan, const dnnl_memory_desc_t *desc);

/* A view of a new buffer, of another view's buffer, of memory elsewhere. */
es_status es_onednn_view_new(es_onednn_plan *plan, const dnnl_memory_desc_t *desc,
                             es_view **out_view, es_error *err) ES_MUST_CHECK;
es_status es_onednn_view_over(es_onednn_plan *plan, const dnnl_memory_desc_t *desc,
                              const es_view *under, es_view **out_view,
                              es_error *err) ES_MUST_CHECK;
es_status es_onednn_view_outside(es_onednn_plan *plan, const dnnl_memory_desc_t *desc, void *data,
                                 es_view **out_view, es_error *err) ES_MUST_CHECK;

/* The view in a layout: itself, or what a reorder gives, made once. */
es_status es_onednn_as(es_onednn_plan *plan, size_t layer, es_view *view,
                       const dnnl_memory_desc_t *desc, es_view **out_view,
                       es_error *err) ES_MUST_CHECK;
es_status es_onednn_as_plain(es_onednn_plan *plan, size_t layer, es_view *view, es_view **out_view,
                             es_error *err) ES_MUST_CHECK;
es_status es_onednn_reorder(es_onednn_plan *plan, size_t layer, es_view *from, es_view *to,
                            es_error *err) ES_MUST_CHECK;

/* op_desc: any of dnnl's; attr NULL: the plan's; hint may be NULL. */
es_status es_onednn_describe(const es_onednn_plan *plan, size_t layer, const void *op_desc,
                             const_dnnl_primitive_attr_t attr, const_dnnl_primitive_desc_t hint,
                             dnnl_primitive_desc_t *out_pd, es_error *err) ES_MUST_CHECK;
const dnnl_memory_desc_t *es_onednn_query(const es_onednn_plan *plan,
                                          const_dnnl_primitive_desc_t pd, dnnl_query_t what);
/* Appends the primitive of pd. */
es_status es_onednn_step_add(es_onednn_plan *plan, size_t layer, const_dnnl_primitive_desc_t pd,
                             const es_onednn_arg *args, size_t arg_count,
                             es_error *err) ES_MUST_CHECK;
/* Appends a C step that uses these views; run NULL: they are filled from outside by then. */
es_status es_onednn_call_add(es_onednn_plan *plan, size_t layer,
                             void (*run)(es_onednn_plan *plan, size_t layer), es_view *const *views,
                             size_t view_count, es_error *err) ES_MUST_CHECK;
/* The memory is needed until the end of both passes. */
void es_onednn_keep(es_onednn_plan *plan, const es_view *view);
/* Gives every buffer its place. */
es_status es_onednn_settle(es_onednn_plan *plan, es_error *err) ES_MUST_CHECK;
es_status es_onednn_run(es_onednn_plan *plan, size_t from, size_t to, es_error *err) ES_MUST_CHECK;

/* onednn.c: of the engine and the plans it has. */
size_t es_onednn_used_bytes(const es_train_engine *engine);

/* ---- layers: onednn_conv.c, onednn_norm.c, onednn_element.c, onednn_pool.c, onednn_gru.c,
 * onednn_plain.c ----
 */

/* Forward sets the layer's value; backward reads its gradient and adds to its inputs'. */
typedef struct es_onednn_kind {
    es_status (*forward)(es_onednn_plan *plan, size_t layer, es_error *err);
    es_status (*backward)(es_onednn_plan *plan, size_t layer, es_error *err);
} es_onednn_kind;

extern const es_onednn_kind es_onednn_conv, es_onednn_dense, es_onednn_batch_norm,
    es_onednn_element, es_onednn_pool, es_onednn_global_pool, es_onednn_add, es_onednn_concat,
    es_onednn_flatten, es_onednn_dropout, es_onednn_gru, es_onednn_plain;

static inline const es_nn_layer *es_onednn_nn_layer(const es_onednn_plan *plan, size_t layer)
{
    return &plan->engine->nn->layers.items[layer];
}
static inline es_onednn_layer *es_onednn_input(const es_onednn_plan *plan, size_t layer, size_t k)
{
    return &plan->layers[es_onednn_nn_layer(plan, layer)->inputs[k].index];
}
/* The gradient of input k is wanted on the way back. */
bool es_onednn_wants(const es_onednn_plan *plan, size_t layer, size_t k);
/* Hands a gradient to input k. */
es_status es_onednn_give(es_onednn_plan *plan, size_t layer, size_t k, es_view *gradient,
                         es_error *err) ES_MUST_CHECK;
/* The layer is the only user of its input 0, which is no output and which nobody reads later: its
 * memory may be written over. */
bool es_onednn_may_overwrite(const es_onednn_plan *plan, size_t layer);
/* The parameter as the net has it; its gradient as the engine has it, or NULL. */
es_status es_onednn_param(es_onednn_plan *plan, size_t layer, es_nn_role role,
                          const dnnl_memory_desc_t *desc, es_view **out_view,
                          es_error *err) ES_MUST_CHECK;
es_status es_onednn_param_gradient(es_onednn_plan *plan, size_t layer, es_nn_role role,
                                   const dnnl_memory_desc_t *desc, es_view **out_view,
                                   es_error *err) ES_MUST_CHECK;

/* onednn_element.c: a + b in a's layout, over a when told; how an activation is told to oneDNN. */
es_status es_onednn_sum(es_onednn_plan *plan, size_t layer, es_view *a, es_view *b, bool over,
                        es_view **out_view, es_error *err) ES_MUST_CHECK;

typedef struct es_onednn_activation {
    dnnl_alg_kind_t kind; /* its slope is told by the result, but for hard swish */
    float alpha, beta;
    bool by_source;
} es_onednn_activation;
bool es_onednn_activation_of(es_nn_kind kind, es_onednn_activation *out);

#endif
