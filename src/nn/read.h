/*
 * read: an ONNX graph walked node by node, while each of its values is known as a view of a layer.
 *
 * Exporters write Transpose, Reshape, Squeeze between layers. None of them computes anything, so
 * none becomes a layer: a view says how the dimensions of an ONNX value are made of the axes of a
 * layer, and a layer is asked for in the arrangement it needs.
 */
#ifndef ES_NN_READ_H
#define ES_NN_READ_H

#include "nn/internal.h"

enum { ES_NN_VIEW_RANK_MAX = 6, ES_NN_BATCH_AXIS = 3 };

/* The axes of a layer that make up one dimension, slowest first; none when its size is 1. Axes of
 * size 1 are left out, but for the batch. */
typedef struct es_nn_dim {
    uint8_t count;
    uint8_t axes[ES_NN_RANK_MAX];
} es_nn_dim;

typedef struct es_nn_view {
    es_nn_id layer;
    size_t rank;
    es_nn_dim parts[ES_NN_VIEW_RANK_MAX];
} es_nn_view;

/* [batch, channels, rows, columns], as the layer has it; last: [batch, rows, columns, channels]. */
es_nn_view es_nn_view_plain(es_nn_id layer, es_nn_shape shape);
es_nn_view es_nn_view_last(es_nn_id layer, es_nn_shape shape);
bool es_nn_view_same(const es_nn_view *a, const es_nn_view *b); /* arranged alike */
bool es_nn_view_is_plain(const es_nn_view *view, es_nn_shape shape);
/* [batch, everything]; *out_natural: in the layer's own order. */
bool es_nn_view_is_flat(const es_nn_view *view, es_nn_shape shape, bool *out_natural);
/* The dimension is the layer's channels, all of them and nothing else. */
bool es_nn_view_is_channels(const es_nn_view *view, es_nn_shape shape, size_t dim);
bool es_nn_dim_is(const es_nn_dim *part, uint8_t axis);
/* The same values as dims[rank]: axes are merged, or ones come and go. False when an axis would be
 * split or the batch lost. */
bool es_nn_view_reshape(es_nn_view *view, es_nn_shape shape, size_t batch, size_t rank,
                        const int64_t *dims);
bool es_nn_view_transpose(es_nn_view *view, const int64_t *perm, size_t count);
/* Takes a dimension of size 1 out, or puts one in before dim. */
bool es_nn_view_squeeze(es_nn_view *view, size_t dim);
bool es_nn_view_unsqueeze(es_nn_view *view, size_t dim);

/* A value of the main graph that depends on the input. */
typedef struct es_nn_value {
    const char *name;
    const es_model_tensor *tensor;
    uint32_t node; /* that makes it; UINT32_MAX: the input */
    size_t uses;   /* by nodes and outputs */
    bool has_view;
    es_nn_view view;
    bool own;      /* between the layer and this value, each value has one use */
    es_nn_id flat; /* the layer that gives it as features, once asked for */
    /* What a layer behind it has to do first. */
    bool padded;
    size_t pad_before[2], pad_after[2];
    bool gate;      /* HardSigmoid: waits for its product */
    bool quantised; /* bytes: wait for DequantizeLinear */
    float factor, zero;
    bool stacked; /* values one upon the other (states of GRUs): waits for the choice of one */
    size_t stack_dim;
} es_nn_value;

typedef struct es_nn_constant {
    size_t rank;
    int64_t dims[ES_NN_VIEW_RANK_MAX];
    size_t count;
    const float *values;
} es_nn_constant;

typedef struct es_nn_reader {
    es_arena *arena;
    const es_model *model;
    const es_model_analysis *analysis;
    es_nn *nn;
    es_nn_value *values; /* by name */
    size_t value_count;
    size_t batch; /* size of it in the analysis */
    size_t node;  /* the one being read */
    es_model_op op;
} es_nn_reader;

/* The reading of one operator: its outputs get views. */
typedef es_status (*es_nn_read_fn)(es_nn_reader *r, es_error *err);
es_nn_read_fn es_nn_read_layers(const char *op);   /* those with a layer of their own, or NULL */
es_nn_read_fn es_nn_read_elements(const char *op); /* element by element, sums, constants */
es_nn_read_fn es_nn_read_series(const char *op);
es_nn_read_fn es_nn_read_views(const char *op); /* those that only rearrange */

/* ES_ERR_UNSUPPORTED "node 'n' (Op): ..." */
es_status es_nn_read_fail(const es_nn_reader *r, es_error *err, const char *format, ...)
    ES_PRINTF(3, 4);

es_nn_value *es_nn_read_find(const es_nn_reader *r, const char *name); /* or NULL */
bool es_nn_read_has(const es_nn_reader *r, size_t index);              /* is the input given? */
/* Input number index, with a view and nothing pending. */
es_status es_nn_read_in(const es_nn_reader *r, size_t index, es_nn_value **out,
                        es_error *err) ES_MUST_CHECK;
/* The same, arranged as its layer: [batch, channels, ...] with one or two more dimensions. padded
 * may be NULL: then no padding may wait. */
es_status es_nn_read_image(const es_nn_reader *r, size_t index, bool padding_taken,
                           es_nn_value **out, es_error *err) ES_MUST_CHECK;
/* The layer that gives a value [batch, features] in the layer's own order; makes a flatten. */
es_status es_nn_read_flat(es_nn_reader *r, es_nn_value *value, es_nn_id *out,
                          es_error *err) ES_MUST_CHECK;

/* The node whose first output it is, or SIZE_MAX. O(nodes). */
size_t es_nn_read_maker(const es_nn_reader *r, const char *name);
/* A constant input as floats. found false (and no error) when it is not constant. */
es_status es_nn_read_constant(es_nn_reader *r, const char *name, es_nn_constant *out, bool *found,
                              es_error *err) ES_MUST_CHECK;
es_status es_nn_read_weights(es_nn_reader *r, size_t index, size_t rank, es_nn_constant *out,
                             es_error *err) ES_MUST_CHECK;
/* Constant integers: input number index, or the attribute; count 0 when neither is there. */
es_status es_nn_read_ints(es_nn_reader *r, size_t index, const char *attr, const int64_t **out,
                          size_t *out_count, es_error *err) ES_MUST_CHECK;
int64_t es_nn_read_int(const es_nn_reader *r, const char *attr, int64_t fallback);
float es_nn_read_float(const es_nn_reader *r, const char *attr, float fallback);

/* Adds a layer that makes output number index and is called like it. */
es_status es_nn_read_add(es_nn_reader *r, size_t index, es_nn_layer *layer, size_t units, bool bias,
                         es_nn_id *out, es_error *err) ES_MUST_CHECK;
/* The output is seen as that; its dimensions must be those the model module inferred. */
es_status es_nn_read_give(es_nn_reader *r, size_t index, const es_nn_view *view,
                          es_error *err) ES_MUST_CHECK;
/* Copies a constant into a parameter of the layer added last. */
es_status es_nn_read_param(es_nn_reader *r, es_nn_role role, const float *values, size_t count,
                           es_error *err) ES_MUST_CHECK;
typedef struct es_nn_read_row {
    const char *op;
    es_nn_read_fn fn;
} es_nn_read_row;
es_nn_read_fn es_nn_read_row_of(const es_nn_read_row *rows, size_t count, const char *op);

/* Nothing but the node at hand sees what the value's layer makes. */
bool es_nn_read_owns(const es_nn_value *value);

#endif
