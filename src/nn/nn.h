/*
 * nn: a neural network as layers that can be changed: what training, pruning, slimming, exits and
 * bottlenecks work on. Between ONNX files and plain arrays; nothing is run here.
 *
 * Life: read from ONNX, written down in a short spec, or built by hand -> changed -> sealed ->
 * ONNX. Values are float32. Shapes leave out the batch: {channels, rows, columns} for images,
 * {channels, steps} for series, {features}. Parameters are row-major in ONNX's own order, so that
 * what is written is what was trained. Work in multiply-accumulates (MACs), as in model/README.md.
 * Memory: all lies in the arena given. Threads: one owner, or read-only.
 * Errors: ES_ERR_UNSUPPORTED names layer and operator; ES_ERR_ARG, ES_ERR_PARSE, ES_ERR_NOMEM.
 */
#ifndef ES_NN_NN_H
#define ES_NN_NN_H

#include "base/array.h"
#include "base/document.h"
#include "base/rng.h"
#include "model/model.h"

enum {
    ES_NN_RANK_MAX = 4,
    ES_NN_INPUTS_MAX = 8,
    ES_NN_PARAMS_MAX = 5,
    ES_NN_OUTPUTS_MAX = 16,
    ES_NN_LAYERS_MAX = 16384,
    ES_NN_SHAPE_TEXT = 96
};

/* ---- layers ---- */

typedef enum es_nn_kind {
    ES_NN_INPUT,
    ES_NN_CONV,  /* 1-D or 2-D; groups; weight [out, in / groups, kernel...], bias [out] or none */
    ES_NN_DENSE, /* weight [out, in], bias [out] or none */
    ES_NN_BATCH_NORM, /* scale, shift, mean, variance, each [channels] */
    ES_NN_SCALE,      /* per channel: a x + b, [channels] each, fixed: scaling of raw inputs */
    ES_NN_RELU,
    ES_NN_RELU6,
    ES_NN_HARD_SWISH,
    ES_NN_SIGMOID,
    ES_NN_TANH,
    ES_NN_MAX_POOL,     /* pools are not dilated */
    ES_NN_AVERAGE_POOL, /* padding is not counted */
    ES_NN_GLOBAL_POOL,  /* mean over all places; gives {channels} */
    ES_NN_ADD,          /* same shapes */
    ES_NN_CONCAT,       /* along channels */
    ES_NN_FLATTEN,
    ES_NN_DROPOUT,  /* rate; only while training; not written to ONNX */
    ES_NN_UPSAMPLE, /* nearest, by whole factors (stride) */
    ES_NN_GRU,      /* {channels, steps} -> {units, steps}; weights as ONNX's GRU, gates z r h,
                       linear_before_reset 1: W [3u, c], R [3u, u], B [6u] */
    ES_NN_LAST,     /* {channels, steps} -> {channels}: the last step */
    ES_NN_QUANTISE, /* to 8 bits and back (QuantizeLinear, DequantizeLinear), one scale: a payload;
                       gradient passes straight through inside the range */
    ES_NN_SOFTMAX,  /* over the channels, at each place */
    ES_NN_KIND_COUNT
} es_nn_kind;

const char *es_nn_kind_name(es_nn_kind kind); /* "conv", "dense", ... */

typedef struct es_nn_shape {
    size_t rank; /* 1..3 */
    size_t dims[ES_NN_RANK_MAX];
    size_t count; /* product */
} es_nn_shape;

/* The shape of dims[rank] (<= ES_NN_RANK_MAX - 1, all >= 1), its count filled in. */
es_nn_shape es_nn_shape_of(size_t rank, const size_t *dims);
bool es_nn_shape_same(es_nn_shape a, es_nn_shape b);
/* "3 x 32 x 32", into text, which it returns. */
const char *es_nn_shape_text(es_nn_shape shape, char text[ES_NN_SHAPE_TEXT]);

typedef struct es_nn_id { /* a layer; its place in es_nn.layers */
    uint32_t index;
} es_nn_id;
#define ES_NN_NONE ((es_nn_id){UINT32_MAX})

typedef enum es_nn_role {
    ES_NN_WEIGHT,
    ES_NN_RECURRENT, /* of a GRU */
    ES_NN_BIAS,
    ES_NN_GAMMA, /* scale of a batch norm */
    ES_NN_BETA,
    ES_NN_MEAN, /* running statistics: not trained by gradient */
    ES_NN_VARIANCE,
    ES_NN_FACTOR, /* of a SCALE or QUANTISE: fixed */
    ES_NN_OFFSET,
    ES_NN_ROLE_COUNT
} es_nn_role;

typedef struct es_nn_param {
    es_nn_role role;
    size_t rank;
    size_t dims[ES_NN_RANK_MAX];
    size_t count;
    float *values; /* [count] */
} es_nn_param;

typedef struct es_nn_window { /* of convolutions and pools; 1-D uses entry 0 */
    size_t kernel[2], stride[2], dilation[2];
    size_t pad_before[2], pad_after[2];
} es_nn_window;

typedef struct es_nn_layer {
    es_nn_kind kind;
    const char *name; /* unique in the net; the ONNX value it makes */
    size_t input_count;
    es_nn_id inputs[ES_NN_INPUTS_MAX]; /* earlier layers */
    es_nn_shape shape;                 /* of what it gives; set by the functions below */
    es_nn_window window;
    size_t groups;   /* of a convolution, >= 1 */
    double epsilon;  /* of a batch norm */
    double momentum; /* share of the old running statistics kept, 0..1 */
    double rate;     /* of a dropout, 0..1 */
    size_t param_count;
    es_nn_param params[ES_NN_PARAMS_MAX];
    bool frozen; /* parameters are not trained; a batch norm uses its running statistics */
} es_nn_layer;

/* How an output's dimensions lie in the ONNX file; inside, channels are first. */
typedef enum es_nn_layout {
    ES_NN_CHANNELS_FIRST, /* [batch, channels, rows, columns] */
    ES_NN_CHANNELS_LAST,  /* [batch, rows, columns, channels] */
    ES_NN_PLACES          /* [batch, rows * columns, channels], as detectors have it */
} es_nn_layout;

typedef struct es_nn_output {
    const char *name;
    es_nn_id layer;
    es_nn_layout layout; /* es_nn_output_add: channels first */
} es_nn_output;

typedef struct es_nn {
    const char *name;
    es_arena *arena;
    ES_ARRAY(es_nn_layer) layers;            /* topological order; layer 0 is the input */
    es_nn_output outputs[ES_NN_OUTPUTS_MAX]; /* first the exits, the net's own last */
    size_t output_count;
    bool channels_last; /* the ONNX input is {rows, columns, channels} ({steps, channels}): a
                           Transpose in the file only, layers never see it */
} es_nn;

/* The layer's parameter of that role, or NULL. */
es_nn_param *es_nn_param_of(es_nn_layer *layer, es_nn_role role);
/* The layer of that name, or ES_NN_NONE. O(layers). */
es_nn_id es_nn_find(const es_nn *nn, const char *name);
static inline bool es_nn_is(es_nn_id id)
{
    return id.index != UINT32_MAX;
}

/* ---- building by hand ---- */

/* An empty net with its input. */
es_status es_nn_new(es_arena *arena, const char *name, const char *input, es_nn_shape shape,
                    es_nn **out_nn, es_error *err) ES_MUST_CHECK;

/* Adds a layer: kind, name, inputs, window, groups, ... are read from *layer (name NULL: one is
 * made; stride, dilation, groups, epsilon, momentum 0: 1, 1, 1, 1e-5, 0.9); `units` are the
 * channels of a convolution, the features of a dense layer, the units of a GRU (else 0). Infers the
 * shape, takes zeroed parameters (bias: with one; gamma, variance and factor: ones). Errors name
 * layer, shape and what was expected. Pointers into layers.items do not outlive an add. O(layers).
 */
es_status es_nn_add(es_nn *nn, const es_nn_layer *layer, size_t units, bool bias, es_nn_id *out_id,
                    es_error *err) ES_MUST_CHECK;

/* Appends an output, or puts an exit before the last one (the net's own). name: of its ONNX output;
 * NULL is the layer's. */
es_status es_nn_output_add(es_nn *nn, const char *name, es_nn_id layer,
                           es_error *err) ES_MUST_CHECK;
es_status es_nn_exit_add(es_nn *nn, const char *name, es_nn_id layer, es_error *err) ES_MUST_CHECK;

/* Random start: He normal (fan in) for weights followed by a ReLU kind, Glorot uniform else,
 * orthogonal for recurrent ones; gamma and variance 1, the rest 0. Layer by layer from its own
 * stream, by its name, so that a layer's start does not depend on its neighbours. Factors and
 * offsets, which are not trained, stay as they are. */
void es_nn_init(es_nn *nn, uint64_t seed);

/* ---- standard nets by a short spec ---- */

/* A map (YAML or JSON), e.g. {net: mobilenet-v2, input: [3, 32, 32], classes: 10, width: 0.5}, or a
 * list of layers; docs/reference/net.md. Nets: lenet, resnet-8 (MLPerf Tiny), ds-cnn, mobilenet-v2,
 * cnn (a small one of our own), autoencoder, temporal-cnn, gru. seed starts the parameters. */
es_status es_nn_from_spec(es_arena *arena, const es_doc *spec, uint64_t seed, es_nn **out_nn,
                          es_error *err) ES_MUST_CHECK;

/* ---- ONNX ---- */

/* One float input whose first dimension is the batch, operators that have a layer kind above (also
 * as exporters write them: MatMul + Add, Clip as ReLU6, Pad before Conv, Reshape as flatten,
 * Transposes around convolutions that cancel, Identity, Constant, HardSigmoid * x), opset 7 or
 * newer. The file's values stay exactly; a layer has the name of the ONNX value it makes. Errors:
 * ES_ERR_UNSUPPORTED with the first node that no layer kind computes. */
es_status es_nn_from_model(es_arena *arena, const es_model *model, es_nn **out_nn,
                           es_error *err) ES_MUST_CHECK;

/* With a free batch dimension, names kept, opset 17, batch norms folded into the convolution or
 * dense layer before them when fold. The result runs to the same outputs within rounding. */
es_status es_nn_to_model(es_arena *arena, const es_nn *nn, bool fold, const es_model **out_model,
                         es_error *err) ES_MUST_CHECK;

/* ---- figures ---- */

/* Of one sample. params are those of the folded net: a batch norm that es_nn_fold folds counts the
 * bias it adds, if any. param_bytes = 4 params. */
typedef struct es_nn_work {
    uint64_t macs, params, param_bytes;
} es_nn_work;

es_nn_work es_nn_layer_work(const es_nn *nn, es_nn_id id); /* O(layers) */
es_nn_work es_nn_work_of(const es_nn *nn);                 /* of all layers that an output needs */
/* MACs that output `to` needs when `from` and the outputs before it have been computed already;
 * from SIZE_MAX: when nothing has. */
uint64_t es_nn_macs_between(const es_nn *nn, size_t from, size_t to);

/* ---- changing ---- */

/* A copy in another arena; parameters are copied. */
es_status es_nn_copy(es_arena *arena, const es_nn *nn, es_nn **out_nn, es_error *err) ES_MUST_CHECK;

/* Drops layers that no output needs, puts the rest in order and recomputes shapes; parameters that
 * do not fit are errors. Call after changing layers by hand, attach and replace. Numbers of layers
 * (es_nn_id) change, names do not. */
es_status es_nn_seal(es_nn *nn, es_error *err) ES_MUST_CHECK;

/* Folds batch norms into the convolution or dense layer before them, where that has no other user.
 */
es_status es_nn_fold(es_nn *nn, es_error *err) ES_MUST_CHECK;

/* The part that computes `to` from `from` (layers): from becomes the input, under its name, `to`
 * the only output. For splits, heads and tails. ES_ERR_ARG when `to` needs something else than
 * `from`, or is `from`. */
es_status es_nn_part(es_arena *arena, const es_nn *nn, es_nn_id from, es_nn_id to, es_nn **out_nn,
                     es_error *err) ES_MUST_CHECK;

/* Puts `part` (one input) behind layer `at` of nn, its layers prefixed and copied; gives the layer
 * its last output became. For branches, tails and bottlenecks. On failure nn is as before. */
es_status es_nn_attach(es_nn *nn, es_nn_id at, const es_nn *part, const char *prefix,
                       es_nn_id *out_last, es_error *err) ES_MUST_CHECK;

/* All uses of layer `of` (also as output) become uses of `by`, but for those in by's own past. To
 * put something between: add it behind `of`, then replace `of` by it. Seal afterwards. */
es_status es_nn_replace(es_nn *nn, es_nn_id of, es_nn_id by, es_error *err) ES_MUST_CHECK;

/* ---- channels ---- */

/* Channels that must be kept or dropped together, so many times over: a dependency group. Coupled
 * through adds, concats, depthwise convolutions, batch norms, flattens (DepGraph, Fang et al.
 * 2023). Of a convolution with fewer groups than channels, whole groups are kept or dropped. */
typedef struct es_nn_slice {
    es_nn_id layer;
    uint32_t param; /* index in params */
    uint32_t axis;  /* of the parameter */
    size_t first;   /* where this group's channel 0 lies on that axis */
    size_t stride;  /* channel c of the group: [first + c * stride, + span) of the axis */
    size_t span;
} es_nn_slice;

typedef struct es_nn_group {
    size_t channels;
    bool fixed; /* reaches the input, an output or a softmax: not to be pruned */
    const es_nn_slice *slices;
    size_t slice_count;
    const es_nn_id *layers; /* whose channels these are, with or without parameters, in order */
    size_t layer_count;
} es_nn_group;

typedef struct es_nn_groups {
    const es_nn_group *items;
    size_t count;
} es_nn_groups;

/* All groups of a sealed net, by their first layer. Every output channel of every layer belongs to
 * one. O(channels of all layers + layers * groups). */
es_status es_nn_groups_find(es_arena *arena, const es_nn *nn, es_nn_groups *out_groups,
                            es_error *err) ES_MUST_CHECK;

/* A net with only the channels kept: keep[g][c] of groups' group g (NULL: all of it). Really
 * smaller tensors; it computes what nn does with the dropped channels' parameters at 0. ES_ERR_ARG
 * when a fixed group would lose a channel, or another all. origin (may be NULL) gets, per parameter
 * of the new net in order of layers and params, where each of its values lies in the old one's. */
typedef struct es_nn_origin {
    const uint32_t *const *places; /* [parameter] -> [its count] index into the old values */
    size_t param_total;
} es_nn_origin;
es_status es_nn_keep(es_arena *arena, const es_nn *nn, const es_nn_groups *groups,
                     const bool *const *keep, es_nn **out_nn, es_nn_origin *out_origin,
                     es_error *err) ES_MUST_CHECK;

#endif
