/*
 * model, inside: the graph over protobuf messages, and the machinery of shape inference.
 *
 * Names are resolved once to value numbers. Facts (type, shape, small constant data) are kept apart
 * from the graph, one array per inference run, so that a model stays read-only.
 */
#ifndef ES_MODEL_INTERNAL_H
#define ES_MODEL_INTERNAL_H

#include "base/array.h"
#include "base/checked.h"
#include "model/model.h"
#include "onnx.pb-c.h"

enum {
    ES_RANK_MAX = 16,      /* dimensions of a tensor */
    ES_DATA_MAX = 1024,    /* elements of a constant that inference follows */
    ES_WIRE_DEPTH_MAX = 64 /* nested messages; about 20 nested subgraphs */
};
#define ES_NO_VALUE UINT32_MAX

/* Texts of a message, where NULL means "" and, for a domain, "ai.onnx". */
static inline const char *es_text_of(const char *text)
{
    return text != NULL ? text : "";
}
static inline const char *es_domain(const char *domain)
{
    return domain != NULL && domain[0] != '\0' ? domain : "ai.onnx";
}

/* ---- names ---- */

/* Text -> number, open addressing, grows in the arena. Never iterated. */
typedef struct es_names {
    const char **keys;
    uint32_t *numbers;
    size_t count;
    size_t capacity; /* a power of two, or 0 */
} es_names;

/* The number of name, or ES_NO_VALUE. */
uint32_t es_names_find(const es_names *names, const char *name);
/* Adds name, which must not be there yet. */
es_status es_names_add(es_arena *arena, es_names *names, const char *name, uint32_t number,
                       es_error *err) ES_MUST_CHECK;

/* ---- graph ---- */

typedef enum es_value_source {
    ES_VALUE_INPUT,
    ES_VALUE_WEIGHT,
    ES_VALUE_SPARSE,
    ES_VALUE_NODE,
    ES_VALUE_OUTER /* of the graph around this one */
} es_value_source;

typedef struct es_value {
    const char *name;
    es_value_source source;
    uint32_t node;                         /* that makes it (ES_VALUE_NODE) */
    uint32_t outer;                        /* its number in the parent (ES_VALUE_OUTER) */
    const Onnx__SparseTensorProto *sparse; /* its data (ES_VALUE_SPARSE) */
    const Onnx__TensorProto *tensor;       /* its data (ES_VALUE_WEIGHT) */
    const Onnx__ValueInfoProto *declared;  /* its type in the file, or NULL */
    bool constant;                         /* depends on no input of the main graph */
    bool is_output;
} es_value;

typedef struct es_graph es_graph;

typedef struct es_gnode {
    Onnx__NodeProto *proto;
    uint32_t input_count;
    uint32_t *inputs; /* value numbers; ES_NO_VALUE: not given */
    uint32_t captured_count;
    uint32_t *captured; /* values of this graph that its subgraphs use, each once */
    const char **captured_names;
    uint32_t output_count;
    uint32_t *outputs;
    uint32_t subgraph_count;
    es_graph **subgraphs; /* in the order of its graph attributes */
    bool constant;
} es_gnode;

struct es_graph {
    Onnx__GraphProto *proto;
    es_graph *parent;
    es_names names;
    ES_ARRAY(es_value) values;
    es_gnode *nodes; /* topological order, as in proto->node */
    size_t node_count;
    uint32_t *inputs; /* without those that are weights */
    size_t input_count;
    uint32_t *outputs;
    size_t output_count;
};

struct es_model {
    const char *name;
    Onnx__ModelProto *proto;
    es_graph *graph;
    size_t node_total;  /* with subgraphs */
    es_names functions; /* names of model-local functions */
    es_model_tensor *inputs;
    es_model_tensor *outputs;
};

/* Looks at the bytes before protobuf-c does: fields complete, nesting bounded. Errors name the
 * field and the byte. */
es_status es_wire_check(const uint8_t *bytes, size_t size, es_error *err) ES_MUST_CHECK;

/* The model over a message that lives in the arena: checks, resolves names, sorts. */
es_status es_model_of(es_arena *arena, const char *name, Onnx__ModelProto *proto,
                      const es_model **out_model, es_error *err) ES_MUST_CHECK;

es_status es_graph_make(es_arena *arena, Onnx__GraphProto *proto, es_graph *parent,
                        size_t *node_total, es_graph **out_graph, es_error *err) ES_MUST_CHECK;
/* Sorts nodes (and proto->node) if they are not; a cycle is an error that names nodes on it. */
es_status es_graph_sort(es_arena *arena, es_graph *graph, es_error *err) ES_MUST_CHECK;

/* ---- tensors ---- */

/* Dims sane, data present and of the right size. */
es_status es_tensor_check(const Onnx__TensorProto *tensor, es_error *err) ES_MUST_CHECK;
/* Elements and bytes of a checked tensor. */
int64_t es_tensor_elements(const Onnx__TensorProto *tensor);
int64_t es_tensor_bytes(const Onnx__TensorProto *tensor);
/* Bytes of so many elements (sub-byte types packed); false on overflow or no fixed size. */
bool es_type_bytes(int32_t type, int64_t elements, int64_t *out_bytes);
/* The tensor as the face tells it. */
es_model_weight es_weight_of(const Onnx__TensorProto *tensor);
/* Brings external data of every tensor of the model into raw_data. */
es_status es_tensors_bring_in(es_arena *arena, Onnx__ModelProto *proto, const char *folder,
                              size_t size_max, es_error *err) ES_MUST_CHECK;

/* ---- facts ---- */

/* A dimension. symbol 0: v is known (>= 0). Else unknown: -1, or the number of a free dimension. */
typedef struct es_dim {
    int64_t v;
    int32_t symbol;
} es_dim;

typedef struct es_dims {
    int32_t rank; /* -1: not known */
    es_dim d[ES_RANK_MAX];
} es_dims;

/* An element of constant data; i for integers and booleans, f for floats. symbol as in es_dim. */
typedef struct es_num {
    int64_t i;
    double f;
    int32_t symbol;
} es_num;

typedef struct es_fact es_fact;
struct es_fact {
    es_model_kind kind;
    int32_t type; /* of the tensor, or of the elements of a sequence or optional */
    int32_t rank; /* -1: not known */
    const es_dim *dims;
    const es_num *data; /* data_count known elements, or NULL */
    size_t data_count;
    const Onnx__TensorProto *tensor; /* data not looked at yet, or NULL */
    bool set;
};

typedef struct es_symbols {
    ES_ARRAY(const char *) names; /* entry k is symbol k + 1; NULL: a free dimension without name */
    es_names index;
} es_symbols;

/* One inference run over one graph. */
typedef struct es_infer {
    es_arena *arena;
    const es_model *model;
    const es_graph *graph;
    const struct es_infer *outer;
    es_fact *facts; /* by value number */
    int64_t *macs;  /* by node; NULL: not wanted */
    int64_t *element_ops;
    es_symbols *symbols;
    const es_model_analyse_opts *opts;
    uint64_t *steps_left;
} es_infer;

/* Inference over the main graph. opts.free_dim 0 keeps free dimensions as symbols. */
es_status es_infer_model(es_arena *arena, const es_model *model, const es_model_analyse_opts *opts,
                         bool want_costs, es_infer **out_infer, es_error *err) ES_MUST_CHECK;
/* Over a graph whose inputs (and outer values) are set in infer->facts. */
es_status es_infer_graph(es_infer *infer, es_error *err) ES_MUST_CHECK;
/* A run over a subgraph: facts of outer values filled in, inputs as declared. */
es_status es_infer_sub(es_infer *outer, const es_graph *graph, es_infer *out_infer,
                       es_error *err) ES_MUST_CHECK;
es_status es_fact_declared(es_infer *infer, const Onnx__TypeProto *type, bool free_dims,
                           es_fact *out_fact, es_error *err) ES_MUST_CHECK;
es_status es_fact_tensor(es_infer *infer, const Onnx__TensorProto *tensor, es_fact *out_fact,
                         es_error *err) ES_MUST_CHECK;
/* The fact as the face tells it. */
es_status es_fact_tell(es_arena *arena, const es_symbols *symbols, const char *name,
                       const es_fact *fact, es_model_tensor *out, es_error *err) ES_MUST_CHECK;
/* Elements of a shape; -1 when not known. */
int64_t es_fact_elements(const es_fact *fact);
int64_t es_fact_bytes(const es_fact *fact);
/* What both facts say (for branches): dims that differ become unknown. */
es_status es_fact_meet(es_arena *arena, es_fact *into, const es_fact *other,
                       es_error *err) ES_MUST_CHECK;

/* ---- cutting ---- */

/* The graph without bindings, as cutting sees it. */
typedef struct es_flow {
    const es_model *model;
    es_infer *infer;
    bool *fixed;          /* by node: constant, or all outputs are known numbers */
    bool *live;           /* by node: not fixed, and an output depends on it */
    uint32_t *cut_values; /* cut points in order */
    size_t cut_count;
} es_flow;

es_status es_flow_make(es_arena *arena, const es_model *model, es_flow *out_flow,
                       es_error *err) ES_MUST_CHECK;
/* A declaration of a value from a fact. */
es_status es_value_info_of(es_arena *arena, const es_symbols *symbols, const char *name,
                           const es_fact *fact, Onnx__ValueInfoProto **out,
                           es_error *err) ES_MUST_CHECK;
/* A tensor message of raw data (kept, not copied). */
es_status es_tensor_of(es_arena *arena, const char *name, int32_t type, size_t rank,
                       const int64_t *dims, const void *data, size_t size, Onnx__TensorProto **out,
                       es_error *err) ES_MUST_CHECK;

/* ---- operators ---- */

typedef struct es_op es_op;
typedef es_status (*es_op_fn)(es_op *op, es_error *err);

typedef enum es_op_work {
    ES_WORK_FREE,    /* moves or renames data */
    ES_WORK_ELEMENT, /* counts the elements it writes */
    ES_WORK_READ,    /* counts the elements it reads: reductions, pooling */
    ES_WORK_MACS     /* counts multiply-accumulates by its function */
} es_op_work;

typedef struct es_op_row {
    const char *name;
    es_op_fn shape;
    es_op_work work;
    es_op_fn macs; /* sets op->macs; NULL unless ES_WORK_MACS */
    int32_t arg;   /* meaning depends on the shape function */
} es_op_row;

/* The row of an operator, or NULL. domain "" and "ai.onnx" are the same. O(log operators). */
const es_op_row *es_op_find(const char *domain, const char *name);

struct es_op {
    es_infer *infer;
    const es_gnode *node;
    const es_op_row *row;
    int64_t version;     /* of the operator's domain */
    es_fact *outs;       /* output_count facts to fill in */
    int64_t macs;        /* -1: not known */
    int64_t element_ops; /* -1: not known; filled by control flow only */
};

/* inputs */
bool es_op_has(const es_op *op, size_t index);
const es_fact *es_op_in(const es_op *op, size_t index); /* never NULL; unknown when not given */
es_dims es_op_dims(const es_op *op, size_t index);
const es_num *es_op_data(es_op *op, size_t index, size_t *out_count); /* NULL: not known */
/* Fails unless at least so many inputs are given. */
es_status es_op_need(const es_op *op, size_t count, es_error *err) ES_MUST_CHECK;

/* attributes; a missing one leaves *out alone */
const Onnx__AttributeProto *es_op_attr(const es_op *op, const char *name);
int64_t es_op_int(const es_op *op, const char *name, int64_t fallback);
double es_op_float(const es_op *op, const char *name, double fallback);
/* Bytes of a text attribute compared; "" equals missing. */
bool es_op_text_is(const es_op *op, const char *name, const char *text);
size_t es_op_ints(const es_op *op, const char *name, const int64_t **out);
/* Integers from attribute (old versions) or constant input (new). *out_known false: not constant,
 * *out_given false: neither is there. */
es_status es_op_int_list(es_op *op, const char *attr, size_t input, es_dims *out, bool *out_given,
                         bool *out_known, es_error *err) ES_MUST_CHECK;
/* axis in -rank..rank-1 made >= 0. */
es_status es_op_axis(const es_op *op, int64_t axis, int32_t rank, int32_t *out,
                     es_error *err) ES_MUST_CHECK;

/* outputs */
es_status es_op_out(es_op *op, size_t index, int32_t type, const es_dims *dims,
                    es_error *err) ES_MUST_CHECK;
es_status es_op_out_unknown(es_op *op, size_t index, int32_t type, int32_t rank,
                            es_error *err) ES_MUST_CHECK;
void es_op_out_data(es_op *op, size_t index, const es_num *data, size_t count);
/* Data of output 0 picked from that of input 0: element (i0, i1, ..) of the output is element
 * offset + sum of i_k * strides[k] of the input. Nothing when data or shape are not known. */
es_status es_op_out_view(es_op *op, int64_t offset, const int64_t *strides,
                         es_error *err) ES_MUST_CHECK;
/* Row-major strides; 0 behind a dimension that is not known. */
void es_dims_strides(const es_dims *dims, int64_t *out_strides);
es_status es_op_fail(const es_op *op, es_error *err, const char *format, ...) ES_PRINTF(3, 4);

/* dimensions */
static inline es_dim es_dim_of(int64_t v)
{
    return (es_dim){.v = v};
}
static inline es_dim es_dim_unknown(void)
{
    return (es_dim){.v = -1, .symbol = -1};
}
static inline bool es_dim_known(es_dim d)
{
    return d.symbol == 0;
}
bool es_dim_same(es_dim a, es_dim b); /* surely equal */
es_dims es_dims_unknown(int32_t rank);
es_dim es_dim_mul(es_dim a, es_dim b); /* unknown on overflow */
es_status es_dims_broadcast(const es_op *op, const es_dims *a, const es_dims *b, es_dims *out,
                            es_error *err) ES_MUST_CHECK;
bool es_dims_product(const es_dims *dims, int32_t from, int32_t to, int64_t *out);
/* Both say the same dimension: the known one; a contradiction is an error. */
es_status es_dim_merge(const es_op *op, es_dim a, es_dim b, const char *what, es_dim *out,
                       es_error *err) ES_MUST_CHECK;

bool es_type_is_float(int32_t type);
bool es_type_is_int(int32_t type);

/* product of counted factors, each -1 when unknown; sets op->macs */
es_status es_op_set_macs(es_op *op, const int64_t *factors, size_t count,
                         es_error *err) ES_MUST_CHECK;

/* shape and work functions; the comment of each is at its definition */
/* clang-format off */
#define ES_OP_FUNCTIONS(X) \
    X(same) X(same_typed) X(broadcast) X(compare) X(variadic) X(where) X(cast) X(cast_like) \
    X(dropout) X(batchnorm) X(layernorm) X(like) X(quantize) X(dequantize) X(dynamic_quantize) \
    X(shape) X(size) X(reshape) X(flatten) X(squeeze) X(unsqueeze) X(transpose) X(concat) \
    X(split) X(slice) X(pad) X(tile) X(expand) X(gather) X(gather_elements) X(gather_nd) \
    X(onehot) X(nonzero) X(topk) X(reduce) X(arg) X(constant) X(constant_of_shape) X(range) \
    X(random) X(depth_space) X(resize) X(conv) X(conv_transpose) X(pool) X(global_pool) X(rnn) \
    X(gemm) X(matmul) X(einsum) X(tree) X(linear) X(per_row) X(zipmap) X(ml_same) X(features) \
    X(loose) X(sequence) X(sequence_element) X(split_sequence) X(scalar) X(if_else) X(loop) \
    X(scan) X(nms) X(roi) X(unpool) X(grid) X(affine_grid) X(window) X(dft) X(stft) X(mel) \
    X(loss) X(crop_pad) X(col2im) X(det) X(compress) X(unique) X(multinomial) X(attention) \
    X(training) X(optional) X(optional_get) X(skip_norm) X(deform)
/* clang-format on */
#define X(name) es_status es_shape_##name(es_op *op, es_error *err);
ES_OP_FUNCTIONS(X)
#undef X
#define ES_OP_MACS(X)                                                                              \
    X(conv)                                                                                        \
    X(conv_transpose)                                                                              \
    X(gemm) X(matmul) X(rnn) X(einsum) X(tree) X(linear) X(attention) X(dft) X(deform)
#define X(name) es_status es_macs_##name(es_op *op, es_error *err);
ES_OP_MACS(X)
#undef X

/* element functions of es_shape_same and es_shape_broadcast that inference evaluates */
typedef enum es_fold {
    ES_FOLD_NONE,
    ES_FOLD_COPY,
    ES_FOLD_ABS,
    ES_FOLD_NEG,
    ES_FOLD_FLOOR,
    ES_FOLD_CEIL,
    ES_FOLD_ROUND,
    ES_FOLD_SQRT,
    ES_FOLD_NOT,
    ES_FOLD_ADD,
    ES_FOLD_SUB,
    ES_FOLD_MUL,
    ES_FOLD_DIV,
    ES_FOLD_MOD,
    ES_FOLD_POW,
    ES_FOLD_MIN,
    ES_FOLD_MAX,
    ES_FOLD_SUM,
    ES_FOLD_PROD,
    ES_FOLD_AND,
    ES_FOLD_OR,
    ES_FOLD_XOR,
    ES_FOLD_EQUAL,
    ES_FOLD_LESS,
    ES_FOLD_GREATER,
    ES_FOLD_LESS_EQUAL,
    ES_FOLD_GREATER_EQUAL
} es_fold;

es_num es_fold_one(es_fold fold, es_num a, int32_t type);
es_num es_fold_two(es_fold fold, es_num a, es_num b, int32_t type);

#endif
