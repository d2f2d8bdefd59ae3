/*
 * compress, inside: what the steps share. Numbers of nodes are those of es_model_op_at.
 */
#ifndef ES_COMPRESS_INTERNAL_H
#define ES_COMPRESS_INTERNAL_H

#include "base/array.h"
#include "base/checked.h"
#include "compress/compress.h"

#define ES_NONE SIZE_MAX

/* ---- affine quantisation (spec 5.1) ---- */

/* q = clamp(round(x / scale) + zero, low, high), x' = (q - zero) scale; rounds half to even, as
 * ONNX's QuantizeLinear. */
typedef struct es_affine {
    float scale;
    int32_t zero, low, high;
} es_affine;

/* Asymmetric over 0..255 for a range, widened to hold 0. An empty range gives scale 1. */
es_affine es_affine_u8(double low, double high);
/* Symmetric over -limit..limit (127, or 63 for reduced weights). */
es_affine es_affine_symmetric(double largest, int32_t limit);
int32_t es_affine_code(es_affine affine, float x);
float es_affine_value(es_affine affine, int32_t code);
static inline float es_affine_round(es_affine affine, float x)
{
    return es_affine_value(affine, es_affine_code(affine, x));
}

/* ---- ranges from histograms (spec 5.2) ---- */

enum { ES_HISTOGRAM_BINS = 2048, ES_KL_LEVELS = 128 };

/* Of one value over many samples: extremes first, bins in a second pass. */
typedef struct es_seen {
    uint64_t count;
    float low, high;    /* INFINITY, -INFINITY: nothing seen */
    float reach;        /* max |x|: bins span -reach..reach; NAN when the last values had one */
    uint64_t zeros;     /* exactly 0, among the binned */
    uint64_t *negative; /* [ES_HISTOGRAM_BINS] of |x| where x < 0; NULL: no second pass */
    uint64_t *positive; /* the same where x >= 0 */
} es_seen;

void es_seen_extremes(es_seen *seen, const float *values, size_t count);
void es_seen_bins(es_seen *seen, const float *values, size_t count);

/* The bound T on |x| by each method; <= reach. hist[bins] counts |x| in equal bins up to reach. */
double es_range_percentile(const uint64_t *hist, size_t bins, double reach, double percentile);
/* The number of bins i in levels..bins that makes KL(P || Q) least, and that divergence. */
size_t es_range_entropy(const uint64_t *hist, size_t bins, size_t levels, double *out_divergence);
/* T = alpha reach, alpha in 0.5, 0.51 .. 1, with the least squared error. */
double es_range_mse(const es_seen *seen, bool symmetric);

/* Range by the method, within what was seen; holds 0 in the end through es_affine_u8. */
void es_range_find(const es_seen *seen, es_range_method method, double percentile, bool symmetric,
                   double *out_low, double *out_high);

/* ---- wiring: who makes a value of the main graph, and who uses it ---- */

typedef struct es_wire_use {
    size_t node;
    size_t input; /* ES_NONE: in a subgraph of the node */
} es_wire_use;

typedef struct es_wire {
    const char *name;
    size_t maker; /* node, or ES_NONE */
    bool is_input, is_output;
    bool constant;       /* a weight, or the tensor of a Constant node */
    bool floating;       /* a tensor of 32-bit floats */
    int32_t rank;        /* -1: not known */
    const int64_t *dims; /* -1 where not known */
    size_t use_count;
    es_wire_use *uses; /* by node, then input */
} es_wire;

typedef struct es_wiring {
    es_arena *arena;
    const es_model *model;
    size_t node_count;
    es_model_op *ops; /* [node_count] */
    size_t **inputs;  /* [node][input] value, or ES_NONE where not given */
    size_t **outputs;
    size_t value_count;
    es_wire *values; /* sorted by name */
} es_wiring;

/* O(values log values + uses). */
es_status es_wiring_make(es_arena *arena, const es_model *model, es_wiring *out_wiring,
                         es_error *err) ES_MUST_CHECK;
size_t es_wiring_find(const es_wiring *wiring, const char *name); /* value, or ES_NONE */
/* The node is of the standard's domain and has that name. */
bool es_wiring_is(const es_wiring *wiring, size_t node, const char *op);
/* The value is used once, by that node, and nobody else sees it. */
bool es_wiring_private(const es_wiring *wiring, size_t value);
/* The value of an input, or ES_NONE where not given. */
static inline size_t es_wiring_input(const es_wiring *wiring, size_t node, size_t index)
{
    return index < wiring->ops[node].input_count ? wiring->inputs[node][index] : ES_NONE;
}
/* A constant of 32-bit floats; any other tensor of them. */
static inline bool es_wiring_is_weight(const es_wiring *wiring, size_t value)
{
    return value != ES_NONE && wiring->values[value].floating && wiring->values[value].constant;
}
static inline bool es_wiring_is_activation(const es_wiring *wiring, size_t value)
{
    return value != ES_NONE && wiring->values[value].floating && !wiring->values[value].constant;
}
/* A constant's elements as floats with its dims; ES_ERR_ARG when value is none. */
es_status es_wiring_floats(const es_wiring *wiring, size_t value, es_model_weight *out_weight,
                           const float **out_floats, es_error *err) ES_MUST_CHECK;

/* ---- layers with constant weights: Conv, ConvTranspose, Gemm, MatMul by a matrix ---- */

typedef struct es_layer {
    size_t node, weight, bias; /* values; bias may be ES_NONE */
    es_model_weight shape;
    size_t count; /* of weights */
    const float *weights;
    const float *biases; /* [bias_count], channels or 1; NULL: none */
    size_t bias_count;
    bool transposed;                 /* ConvTranspose */
    size_t axis, inner;              /* of the output channels in the weight; elements behind it */
    size_t channels, inputs, groups; /* output channels, input channels */
} es_layer;

/* *out_found false: not such a layer, or one that says more (alpha, transA, a matrix to add). */
es_status es_layer_read(const es_wiring *wiring, size_t node, es_layer *out_layer, bool *out_found,
                        es_error *err) ES_MUST_CHECK;
size_t es_layer_output_at(const es_layer *layer, size_t index); /* channel of weight [index] */
size_t es_layer_input_at(const es_layer *layer, size_t index);
double es_layer_bias(const es_layer *layer, size_t channel); /* 0 without */

/* ---- changes that keep the meaning ---- */

/* What depends on no input becomes weights: run once by the runtime. */
es_status es_fold_constants(es_arena *arena, es_runtime *runtime, const es_model *model,
                            const es_model **out_model, es_error *err) ES_MUST_CHECK;
/* Batch norms, additions and factors per channel go into the convolution before them; MatMul + Add
 * becomes Gemm; zero padding goes into the convolution behind it; identities go. */
es_status es_fold_layers(es_arena *arena, const es_model *model, const es_model **out_model,
                         es_error *err) ES_MUST_CHECK;
/* Cross-layer equalisation (spec 5.3): where layer, Relu, layer follow each other alone, channels
 * are rescaled between the two until their weights are equally large. A Clip from 0 becomes a Relu,
 * which is the one change of meaning. *out_pairs: pairs of layers, 0: the model is given back. */
es_status es_equalise(es_arena *arena, const es_model *model, const es_model **out_model,
                      size_t *out_pairs, es_error *err) ES_MUST_CHECK;

/* ---- looking at values while samples run ---- */

enum { ES_PROBE_MAX = ES_SESSION_PORTS_MAX / 2 }; /* values looked at at once */

/* A copy of a model whose outputs are values of its inside. */
typedef struct es_probe {
    const char *const *wanted; /* [count] */
    size_t count;
    size_t ports[ES_PROBE_MAX]; /* of the outputs; ES_NONE: an input of the model, shown as fed */
    es_session *session;
    es_feed feed;
    es_tensor outputs[ES_PROBE_MAX];
    size_t output_count;
} es_probe;

/* wanted[count] of floats are kept until close. */
es_status es_probe_open(const es_compress_job *job, es_arena *scratch, const es_model *model,
                        const es_samples *samples, const char *const *wanted, size_t count,
                        es_probe *out_probe, es_error *err) ES_MUST_CHECK;
/* Runs a sample; values stay until the next run. */
es_status es_probe_run(es_probe *probe, size_t sample, es_error *err) ES_MUST_CHECK;
const es_tensor *es_probe_value(const es_probe *probe, size_t which);
void es_probe_close(es_probe *probe); /* for ES_CLEANUP; zeroed is fine */

/* Gets value number `which` of the wanted ones for a sample. */
typedef struct es_probe_visit {
    void (*value)(void *context, size_t which, const es_tensor *tensor);
    void *context;
} es_probe_visit;

/* Runs the model over samples [0, count) and shows the wanted values, some at a time, so that
 * memory stays small. scratch is reset. what is told to job->progress. */
es_status es_probe_all(const es_compress_job *job, es_arena *scratch, const es_model *model,
                       const es_samples *samples, size_t count, const char *const *wanted,
                       size_t wanted_count, es_probe_visit visit, const char *what,
                       es_error *err) ES_MUST_CHECK;

/* Sums of y^2 and of (y - y')^2 of wanted values of two models over samples [0, count). */
typedef struct es_noise {
    double signal, noise;
} es_noise;
es_status es_probe_compare(const es_compress_job *job, es_arena *scratch, const es_model *model,
                           const char *const *wanted, const es_model *other,
                           const char *const *other_wanted, size_t wanted_count,
                           const es_samples *samples, size_t count, es_noise *out_noise,
                           const char *what, es_error *err) ES_MUST_CHECK;
/* The same for the outputs (those of floats): mean of noise / signal. */
es_status es_outputs_noise(const es_compress_job *job, es_arena *scratch, const es_model *model,
                           const es_model *other, const es_samples *samples, size_t count,
                           const char *what, double *out_noise, es_error *err) ES_MUST_CHECK;
void es_noise_add(es_noise *to, const es_tensor *a, const es_tensor *b); /* floats of equal shape */
double es_noise_db(es_noise noise); /* 10 log10(signal / noise); INFINITY without noise */

/* ES_ERR_CANCELLED when the job is to end. */
es_status es_job_go_on(const es_compress_job *job, es_error *err) ES_MUST_CHECK;
void es_job_progress(const es_compress_job *job, const char *what, double done);

/* A session over a model. */
es_status es_job_open(const es_compress_job *job, es_arena *scratch, const es_model *model,
                      es_session **out_session, es_error *err) ES_MUST_CHECK;

/* ---- stages ---- */

/* Where a stage ends: names of values of the whole model. */
typedef struct es_stage_end {
    const char *answer;  /* scores, given first; NULL: none */
    const char *forward; /* what goes on, given last; NULL: nothing, the last stage */
} es_stage_end;

/* Stage k takes ends[k - 1].forward (the first one the model's inputs) and needs nothing else of
 * what is before it, or the model is refused. O(count * nodes). */
es_status es_stages_cut(es_arena *arena, const es_model *model, const es_stage_end *ends,
                        size_t count, const es_model **out_stages, es_error *err) ES_MUST_CHECK;

/* Runs a variant's stages one after the other on samples. */
typedef struct es_chain {
    const es_variant *variant;
    es_feed feed;
    size_t count;
    es_session *sessions[ES_VARIANT_STAGES_MAX];
    es_tensor outputs[ES_VARIANT_STAGES_MAX][2]; /* of the last run */
} es_chain;

es_status es_chain_open(const es_compress_job *job, es_arena *scratch, const es_variant *variant,
                        const es_samples *samples, es_chain *out_chain,
                        es_error *err) ES_MUST_CHECK;
void es_chain_close(es_chain *chain); /* for ES_CLEANUP; zeroed and half opened is fine */
/* Runs a sample until it may leave (thresholds NULL: to the end); *out_ran: stages that ran. */
es_status es_chain_run(es_chain *chain, size_t sample, const double *thresholds, size_t *out_ran,
                       es_error *err) ES_MUST_CHECK;
/* What the stage gave first, until it runs again. */
const es_tensor *es_chain_answer(const es_chain *chain, size_t stage);
/* How sure an answer is, as nodes tell: the largest probability, of logits after a softmax. */
double es_answer_confidence(const es_tensor *answer);

/* ---- measuring ---- */

/* Of one file: size, latency and joules; node in words. */
typedef struct es_file_profile {
    uint64_t file_bytes;
    es_profile_latency latency;
    es_profile_energy energy;
    const char *energy_note, *node;
} es_file_profile;
es_status es_measure_file(const es_compress_job *job, const char *path, es_measure_opts opts,
                          es_file_profile *out, es_error *err) ES_MUST_CHECK;
/* -1 where something is not known. */
void es_measure_work(es_arena *scratch, const es_model *model, int64_t *out_macs,
                     int64_t *out_params);
/* Sorts the values; median, and its 95 % interval by order statistics. count >= 1. */
es_bounds es_median_of(double *values, size_t count);
es_status es_check_label(uint32_t label, size_t sample, size_t classes,
                         es_error *err) ES_MUST_CHECK;

/* Original's processor time over the variant's, by runs in turn for that long: median and its 95 %
 * interval.
 */
es_status es_measure_speed(const es_compress_job *job, es_arena *scratch, es_session *original,
                           es_session *variant, double time_s, es_bounds *out,
                           es_error *err) ES_MUST_CHECK;
/* Scores of all test samples at one answer; zeroed at first. */
typedef struct es_sheet {
    float *values; /* [count, classes] */
    size_t count, classes;
} es_sheet;
/* answer: floats, as many for every sample. */
es_status es_sheet_put(es_arena *arena, es_sheet *sheet, size_t count, size_t sample,
                       const es_tensor *answer, es_error *err) ES_MUST_CHECK;
/* NAME.onnx: to NAME.scores.npy. */
es_status es_sheet_write(es_arena *arena, const es_sheet *sheet, const char *model_path,
                         es_error *err) ES_MUST_CHECK;

/* A written variant of several stages. */
es_status es_measure_stages(const es_compress_job *job, es_arena *scratch, es_session *original,
                            const es_variant *variant, es_measure_opts opts,
                            es_variant_measure *out, es_error *err) ES_MUST_CHECK;

/* ---- telling ---- */

enum { ES_TELL_NAME = 512 };
const char *es_tell_file(const char *path); /* without its folder; NULL for NULL */
void es_tell_bounds(es_json *json, const char *key, es_bounds b);
/* A text and what is behind it, as YAML takes any. */
void es_tell_quoted(es_text *out, const char *text, const char *suffix);
/* Into text, which it returns. */
const char *es_tell_pipeline_name(const es_variant *v, size_t pipeline, char text[ES_TELL_NAME]);
/* Line `on` of a segment. */
void es_tell_on(es_text *out, const char *kind, const es_profile_latency *latency,
                const es_profile_energy *energy);
/* Of a variant of several stages: its part of the document, its segments, its pipelines. */
void es_tell_stages(es_json *json, const es_variant *v, const es_variant_measure *m);
void es_tell_segments(const es_variants_told *told, size_t i, es_text *out);
void es_tell_pipelines(const es_variants_told *told, size_t i, es_text *out);

/* ---- regions: what runs on codes ---- */

/* By what the runtime has integer kernels for (README.md). */
typedef enum es_region_kind {
    ES_REGION_FLOAT,
    ES_REGION_CONV,
    ES_REGION_GEMM,
    ES_REGION_MATMUL,  /* by constant weights */
    ES_REGION_PRODUCT, /* MatMul of two activations */
    ES_REGION_BINARY,  /* Add, Mul */
    ES_REGION_MOVE,    /* moves or picks elements: one scale in and out */
    ES_REGION_CONCAT,  /* one scale for all of them */
    ES_REGION_MEAN,    /* average pools */
    ES_REGION_UNARY,   /* Sigmoid, LeakyRelu */
    ES_REGION_CLAMP    /* Relu, Clip: part of the range of what is before it */
} es_region_kind;

typedef struct es_region_node {
    es_region_kind kind;
    const char *why_not;   /* it stays float; NULL otherwise */
    bool leads;            /* on to a product by weights, on codes all the way */
    double floor, ceiling; /* of a CLAMP */
} es_region_node;

typedef struct es_region_value {
    bool coded;   /* exists as codes */
    bool entry;   /* made as floats, coded for its users */
    size_t group; /* values of one scale have the same; ES_NONE: not coded */
    size_t shown; /* the value whose range counts: itself, or what the CLAMP behind it gives */
    double floor, ceiling; /* of the group: what its CLAMPs forbid */
} es_region_value;

typedef struct es_regions {
    const es_wiring *w;
    bool is_signed; /* activations symmetric in s8: a CLAMP stays */
    es_region_node *nodes;
    es_region_value *values;
    size_t coded_count;
    size_t product_count; /* CONV, GEMM, MATMUL, PRODUCT */
} es_regions;

/* skip as in es_quantise_opts. ES_ERR_ARG when it names nothing of the model. */
es_status es_regions_find(const es_wiring *wiring, bool is_signed, const char *skip,
                          es_regions *out_regions, es_error *err) ES_MUST_CHECK;
/* Input index of node is an activation that must come as codes. */
bool es_regions_takes_codes(const es_regions *regions, size_t node, size_t index);
/* CONV, GEMM, MATMUL: an es_layer. */
bool es_region_has_weights(es_region_kind kind);

/* ---- what calibration saw ---- */

typedef struct es_calibration {
    es_seen *seen;       /* by value; only the coded ones are filled in */
    double **means;      /* by value: mean of each channel; NULL: not a layer's input */
    size_t *mean_counts; /* by value: channels */
} es_calibration;

/* bins: also histograms (a second pass). */
es_status es_calibrate_values(const es_compress_job *job, es_arena *arena, es_arena *scratch,
                              const es_regions *regions, const es_samples *samples, size_t count,
                              bool bins, es_calibration *out_calibration,
                              es_error *err) ES_MUST_CHECK;

/* ---- weights as codes ---- */

typedef struct es_coded_weights {
    int8_t *codes;  /* like the weight */
    float *scales;  /* [channels] */
    int32_t *bias;  /* [channels], scale s_x s_w; NULL: none */
    double sqnr_db; /* of the weights; INFINITY when exact */
} es_coded_weights;

/* Symmetric codes per output channel, up to +-limit. input_scale: s_x. has_bias: the layer can have
 * one. means: of the input's channels, to correct the bias by (spec 5.3), [layer->inputs] or NULL.
 */
es_status es_weights_code(es_arena *arena, const es_layer *layer, int32_t limit, float input_scale,
                          bool has_bias, const double *means, es_coded_weights *out_weights,
                          es_error *err) ES_MUST_CHECK;

/* ---- the model in QDQ form ---- */

typedef struct es_qdq_opts {
    const es_affine *affines;      /* by value: those of a group are equal */
    int32_t weight_limit;          /* 127 or 63 */
    const es_calibration *correct; /* means to correct biases by; NULL: no correction */
} es_qdq_opts;

typedef struct es_qdq {
    const es_model *model;
    const char **names;     /* by value: the same value, dequantised; NULL: gone */
    double *weight_sqnr_db; /* by node; NAN: no weights */
} es_qdq;

es_status es_qdq_make(es_arena *arena, const es_regions *regions, es_qdq_opts opts, es_qdq *out_qdq,
                      es_error *err) ES_MUST_CHECK;

/* ---- steps of recipes: one row each in recipe.c ---- */

typedef enum es_step_option_type {
    ES_STEP_WORD,   /* size_t, an index into words */
    ES_STEP_NUMBER, /* double */
    ES_STEP_INT,    /* int64_t */
    ES_STEP_TEXT    /* const char *; NULL: not given */
} es_step_option_type;

/* All there is to know about an option: parsing, checks and help come from it. */
typedef struct es_step_option {
    const char *name;
    es_step_option_type type;
    size_t offset;        /* of the value in the step's options struct */
    const char *fallback; /* as text, read like the user's; NULL for TEXT: not given */
    double min, max;      /* NUMBER and INT, inclusive */
    const char *const *words;
    size_t word_count;
    const char *help;
} es_step_option;

typedef struct es_step_kind {
    const char *name, *help;
    const es_step_option *options;
    size_t option_count, options_size;
    /* Appends what comes of `from` to out. */
    es_status (*run)(const es_compress_job *job, const void *options, const es_variant *from,
                     es_variants *out, es_error *err);
} es_step_kind;

extern const es_step_kind es_step_quantise, es_step_prune, es_step_distil, es_step_slim,
    es_step_specialise, es_step_finetune, es_step_gatekeeper, es_step_exits, es_step_bottleneck;

/* A variant of one model called `from`-suffix, appended; its recipe is filled in by the caller. */
es_status es_variant_add(const es_compress_job *job, const es_variant *from, const char *suffix,
                         const es_model *model, es_variants *out, es_variant **out_variant,
                         es_error *err) ES_MUST_CHECK;

/* ---- forms ---- */

/* Weights of floats in half precision, with a Cast behind each. */
es_status es_half_weights(es_arena *arena, const es_model *model, const es_model **out_model,
                          es_error *err) ES_MUST_CHECK;

/* Whether this processor's 8-bit products could saturate 16-bit sums: x86 without VNNI. */
bool es_cpu_saturates(void);

#endif
