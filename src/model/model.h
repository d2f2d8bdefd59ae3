/*
 * model: an ONNX graph as data: read, check, edit, write; shapes, work and memory; segments.
 *
 * Reads ONNX files (IR 1..13) with their external data, writes ONNX files; never runs them.
 * Life: load (structure is checked) -> analyse (shapes, work, peak memory) -> cut points -> cut.
 * Units: bytes; work in multiply-accumulates (MACs), formulas per operator in README.md.
 * Memory: everything lies in the arena given and obeys its cap; a model is read-only once made.
 * Threads: read-only objects may be shared; an arena has one owner.
 * Errors: ES_ERR_PARSE malformed or inconsistent file, ES_ERR_UNSUPPORTED unknown operator (names
 * operator, domain, node), ES_ERR_LIMIT over a cap, ES_ERR_IO, ES_ERR_NOMEM, ES_ERR_ARG.
 */
#ifndef ES_MODEL_MODEL_H
#define ES_MODEL_MODEL_H

#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>

/* Element types with ONNX's numbers: name, number, bits per element (0: no fixed size). */
#define ES_MODEL_TYPE_MAP(X)                                                                       \
    X(FLOAT, 1, 32)                                                                                \
    X(UINT8, 2, 8)                                                                                 \
    X(INT8, 3, 8)                                                                                  \
    X(UINT16, 4, 16)                                                                               \
    X(INT16, 5, 16)                                                                                \
    X(INT32, 6, 32)                                                                                \
    X(INT64, 7, 64)                                                                                \
    X(STRING, 8, 0)                                                                                \
    X(BOOL, 9, 8)                                                                                  \
    X(FLOAT16, 10, 16)                                                                             \
    X(DOUBLE, 11, 64)                                                                              \
    X(UINT32, 12, 32)                                                                              \
    X(UINT64, 13, 64)                                                                              \
    X(COMPLEX64, 14, 64)                                                                           \
    X(COMPLEX128, 15, 128)                                                                         \
    X(BFLOAT16, 16, 16)                                                                            \
    X(FLOAT8E4M3FN, 17, 8)                                                                         \
    X(FLOAT8E4M3FNUZ, 18, 8)                                                                       \
    X(FLOAT8E5M2, 19, 8)                                                                           \
    X(FLOAT8E5M2FNUZ, 20, 8)                                                                       \
    X(UINT4, 21, 4)                                                                                \
    X(INT4, 22, 4)                                                                                 \
    X(FLOAT4E2M1, 23, 4)                                                                           \
    X(FLOAT8E8M0, 24, 8)                                                                           \
    X(UINT2, 25, 2)                                                                                \
    X(INT2, 26, 2)

typedef enum es_model_type {
    ES_MODEL_UNDEFINED = 0,
#define X(name, number, bits) ES_MODEL_##name = (number),
    ES_MODEL_TYPE_MAP(X)
#undef X
        ES_MODEL_TYPE_COUNT
} es_model_type;

typedef enum es_model_kind {
    ES_MODEL_KIND_TENSOR,
    ES_MODEL_KIND_SPARSE,
    ES_MODEL_KIND_SEQUENCE, /* type is that of the elements; no shape */
    ES_MODEL_KIND_MAP,
    ES_MODEL_KIND_OPTIONAL,
    ES_MODEL_KIND_UNKNOWN,
    ES_MODEL_KIND_COUNT
} es_model_kind;

/* "FLOAT", "INT64", ...; "UNDEFINED" outside the range. */
const char *es_model_type_name(es_model_type type);
/* Bits per element; 0 for strings and undefined. */
uint32_t es_model_type_bits(es_model_type type);

/* A value of a graph: what is known of its type and shape. */
typedef struct es_model_tensor {
    const char *name;
    es_model_kind kind;
    es_model_type type;         /* ES_MODEL_UNDEFINED when not known */
    int32_t rank;               /* -1 when not known */
    const int64_t *dims;        /* rank of them; -1 where not known */
    const char *const *symbols; /* rank of them: name of a free dimension (`batch`), else NULL */
    int64_t elements;           /* product of dims; -1 when a dimension is not known */
    int64_t bytes;              /* -1 when not known or of no fixed size (strings) */
} es_model_tensor;

typedef struct es_model es_model;

/* ---- reading and writing ---- */

typedef struct es_model_opts {
    size_t size_max_bytes; /* of the file, and of all external data together; default 2 GiB - 1 */
    const char *folder;    /* where external data lies; NULL: the folder of the file when loading,
                              no external data when parsing; default NULL */
} es_model_opts;

es_model_opts es_model_opts_default(void);

/* Bytes of path before ".onnx" at its end; all of them when it does not end so. */
size_t es_model_stem_size(const char *path);
/* "folder/small.onnx" gives "small", in the arena; NULL: it is full. */
const char *es_model_file_name(es_arena *arena, const char *path);

/* Reads and checks a file; path "-" is standard input. External data is read into the model, so
 * that what is written later is one file. Nodes come out in topological order. Errors name file,
 * node, value and expectation. O(bytes). The arena
 * must hold about 1.2 times the weights, and up to 20 times the rest of the file. */
es_status es_model_load(es_arena *arena, const char *path, es_model_opts opts,
                        const es_model **out_model, es_error *err) ES_MUST_CHECK;

/* The same for bytes in memory (copied); name stands for the file in messages. */
es_status es_model_parse(es_arena *arena, const char *name, const void *bytes, size_t size,
                         es_model_opts opts, const es_model **out_model,
                         es_error *err) ES_MUST_CHECK;

/* The model as an ONNX file, in the arena or atomically in a file ("-": standard output). Fields
 * this module does not know are kept. */
es_status es_model_bytes(es_arena *arena, const es_model *model, const void **out_bytes,
                         size_t *out_size, es_error *err) ES_MUST_CHECK;
es_status es_model_write(es_arena *scratch, const es_model *model, const char *path,
                         es_error *err) ES_MUST_CHECK;

/* ---- what the file says ---- */

typedef struct es_model_opset {
    const char *domain; /* "ai.onnx" for the default domain */
    int64_t version;
} es_model_opset;

const char *es_model_name(const es_model *model);  /* as given to load or parse */
const char *es_model_graph(const es_model *model); /* name of the graph, "" when there is none */
int64_t es_model_ir_version(const es_model *model);
size_t es_model_opset_count(const es_model *model);
es_model_opset es_model_opset_at(const es_model *model, size_t index);
/* Version of a domain ("" and "ai.onnx" are the same); 0 when not imported. A file from before
 * opsets existed counts as version 1. */
int64_t es_model_opset_of(const es_model *model, const char *domain);
size_t es_model_node_count(const es_model *model); /* of the main graph, without subgraphs */

/* Inputs that a caller has to give (initializers with the same name are not), and outputs, as
 * declared; index < count. Names are unique. */
size_t es_model_input_count(const es_model *model);
const es_model_tensor *es_model_input(const es_model *model, size_t index);
size_t es_model_output_count(const es_model *model);
const es_model_tensor *es_model_output(const es_model *model, size_t index);

/* Weights stored in the main graph, in the order of the file. data is NULL unless the bytes are
 * stored raw (little endian); valid as long as the model. */
typedef struct es_model_weight {
    es_model_tensor tensor;
    const void *data;
    size_t size;
    const void *stored; /* private */
} es_model_weight;
size_t es_model_weight_count(const es_model *model);
es_model_weight es_model_weight_at(const es_model *model, size_t index);

/* A constant of the main graph by name: a weight, or the tensor that a Constant node gives. False
 * when there is none. O(1). */
bool es_model_constant(const es_model *model, const char *name, es_model_weight *out_weight);

/* Its elements whatever the storage (raw or typed; 4-bit types are ES_ERR_UNSUPPORTED): as floats,
 * from any real type (double is rounded); as integers, from integers and booleans. Lives as long
 * as model and arena. */
es_status es_model_floats(es_arena *arena, const es_model_weight *weight, const float **out_floats,
                          es_error *err) ES_MUST_CHECK;
es_status es_model_ints(es_arena *arena, const es_model_weight *weight, const int64_t **out_ints,
                        es_error *err) ES_MUST_CHECK;

/* A node of the main graph as the file gives it; index < es_model_node_count, in execution order
 * as in an analysis. Texts are never NULL; "" is an optional input or output that is not given. */
typedef struct es_model_op {
    const char *name;
    const char *op;     /* "Conv" */
    const char *domain; /* "ai.onnx" for the default domain */
    size_t input_count;
    const char *const *inputs;
    size_t output_count;
    const char *const *outputs;
    size_t captured_count; /* values of the main graph that its subgraphs use, each once */
    const char *const *captured;
    size_t subgraph_count;
} es_model_op;
es_model_op es_model_op_at(const es_model *model, size_t index);

/* Attributes of a node. Missing, or of another kind: fallback; NULL with count 0; false. */
int64_t es_model_attr_int(const es_model *model, size_t node, const char *name, int64_t fallback);
float es_model_attr_float(const es_model *model, size_t node, const char *name, float fallback);
const char *es_model_attr_text(const es_model *model, size_t node, const char *name,
                               const char *fallback);
const int64_t *es_model_attr_ints(const es_model *model, size_t node, const char *name,
                                  size_t *out_count);
const float *es_model_attr_floats(const es_model *model, size_t node, const char *name,
                                  size_t *out_count);
/* Text number index of a list; NULL behind its end. */
const char *es_model_attr_text_at(const es_model *model, size_t node, const char *name,
                                  size_t index);
bool es_model_attr_tensor(const es_model *model, size_t node, const char *name,
                          es_model_weight *out_weight);

/* ---- free dimensions ---- */

/* name NULL: every free dimension that no other entry names. value >= 1. */
typedef struct es_model_binding {
    const char *name;
    int64_t value;
} es_model_binding;

/* A copy whose free input dimensions are fixed (free dimensions without binding stay free; inner
 * declared shapes that become stale are dropped). */
es_status es_model_bind(es_arena *arena, const es_model *model, const es_model_binding *bindings,
                        size_t binding_count, const es_model **out_model,
                        es_error *err) ES_MUST_CHECK;

/* ---- analysis ---- */

typedef struct es_model_analyse_opts {
    const es_model_binding *bindings; /* values of free dimensions; default none */
    size_t binding_count;
    int64_t free_dim; /* value of free dimensions without binding; 0 leaves them unknown; def. 1 */
    bool
        unknown_allowed; /* unknown operators give unknown shapes instead of an error; def. false */
} es_model_analyse_opts;

es_model_analyse_opts es_model_analyse_opts_default(void);

/* One node of the main graph in execution order. Counts of nodes with a subgraph (If: the dearer
 * branch; Loop and Scan: trip count times body when it is known) include it. */
typedef struct es_model_node {
    const char *name; /* "" when the file gives none */
    const char *op;   /* "Conv" */
    const char *domain;
    size_t input_count; /* NULL entries: optional input not given */
    const es_model_tensor *const *inputs;
    size_t output_count;
    const es_model_tensor *const *outputs;
    bool constant;           /* depends on no graph input: its outputs count as weights */
    bool known;              /* all shapes that the figures need are known */
    int64_t macs;            /* 0 for operators that do not multiply-accumulate */
    int64_t element_ops;     /* elements written by the other operators (activations, sums, ...) */
    int64_t parameter_count; /* elements of constant inputs not counted at an earlier node */
    int64_t parameter_bytes;
    int64_t input_bytes;  /* activations read; what is unknown counts 0 */
    int64_t output_bytes; /* activations written */
    int64_t live_bytes;   /* activations alive while it runs, its inputs and outputs included */
} es_model_node;

typedef struct es_model_analysis {
    size_t node_count;
    const es_model_node *nodes;
    size_t input_count;
    const es_model_tensor *const *inputs;
    size_t output_count;
    const es_model_tensor *const *outputs;
    int64_t macs; /* totals over non-constant nodes */
    int64_t element_ops;
    int64_t parameter_count; /* constants that reach an activation, each counted once */
    int64_t parameter_bytes;
    int64_t stored_count; /* elements of initializers and Constant nodes in the main graph */
    int64_t stored_bytes;
    int64_t peak_bytes;        /* most activation bytes alive at once, in execution order */
    size_t peak_node;          /* node at which that is; 0 in an empty graph */
    size_t unknown_count;      /* non-constant nodes whose figures miss something */
    const char *unknown_first; /* name of the first such node (or of its output), NULL when none */
} es_model_analysis;

/* Infers shapes and counts. Shapes that depend on data stay unknown; contradictions are errors
 * (ES_ERR_PARSE), unknown operators ES_ERR_UNSUPPORTED. O(nodes + edges + constants). */
es_status es_model_analyse(es_arena *arena, const es_model *model, es_model_analyse_opts opts,
                           const es_model_analysis **out_analysis, es_error *err) ES_MUST_CHECK;

/* What the analysis knows of a value of the main graph, or NULL. O(values). */
const es_model_tensor *es_model_analysis_find(const es_model_analysis *analysis, const char *name);

/* ---- cutting ---- */

/* A tensor through which everything passes: without it no output depends on any input. Graph inputs
 * and outputs are never cut points, nor is anything that does not depend on an input. */
typedef struct es_model_cut_point {
    const es_model_tensor *tensor; /* tensor->bytes is what crosses the cut */
    size_t node_index;             /* the node that makes it; later nodes lie behind the cut */
    int64_t macs_before;
    int64_t macs_after;
    int64_t parameter_count_before; /* a constant used on both sides counts on both */
    int64_t parameter_count_after;
    int64_t parameter_bytes_before;
    int64_t parameter_bytes_after;
} es_model_cut_point;

typedef struct es_model_cut_list {
    size_t count; /* from inputs to outputs */
    const es_model_cut_point *points;
} es_model_cut_list;

/* All cut points. analysis is of the same model (it gives the figures). O(nodes + edges). */
es_status es_model_cut_points(es_arena *arena, const es_model *model,
                              const es_model_analysis *analysis, es_model_cut_list *out_list,
                              es_error *err) ES_MUST_CHECK;

/* Cuts at count tensors (any order, each a cut point) into count + 1 models that chain to the same
 * result: segment 0 has the inputs of the model, segment k takes the k-th tensor. Each segment gets
 * only the weights and constant nodes it needs; free dimensions stay free. *out_segments has
 * count + 1 entries. Errors: ES_ERR_ARG for a name that is no cut point (the nearest is offered)
 * or comes twice. */
es_status es_model_cut(es_arena *arena, const es_model *model, const char *const *tensors,
                       size_t count, const es_model *const **out_segments,
                       es_error *err) ES_MUST_CHECK;

/* Writes segments to `<stem>.seg0.onnx`, `<stem>.seg1.onnx`, ...; *out_paths (may be NULL) gets the
 * count paths. When one cannot be written, those written before are removed. */
es_status es_model_write_segments(es_arena *arena, const es_model *const *segments, size_t count,
                                  const char *stem, const char *const **out_paths,
                                  es_error *err) ES_MUST_CHECK;

/* ---- making and editing a model ---- */

/* A graph under construction: inputs, weights, nodes and outputs in any order. The first failure is
 * remembered and told by finish. Texts and data are copied. */
typedef struct es_model_build es_model_build;

/* name is the graph's; opset that of the default domain. NULL when the arena is full. */
es_model_build *es_model_build_new(es_arena *arena, const char *name, int64_t opset);
/* A build that starts with all of model, which is not changed; what is left alone is shared with
 * it, so it must outlive the result. Nodes keep the numbers of es_model_op_at until finish. An
 * input, output, weight, domain or attribute of a name that is there already is replaced. Inner
 * declared shapes are dropped, as they may become stale; an IR version below 8 becomes 8, without
 * weights among the inputs. Finish drops the nodes and weights that no output needs. */
es_model_build *es_model_build_from(es_arena *arena, const es_model *model);

void es_model_build_domain(es_model_build *build, const char *domain, int64_t version);
/* dims: -1 is a free dimension; symbols (may be NULL) names them. dims NULL: shape not declared. */
void es_model_build_input(es_model_build *build, const char *name, es_model_type type, size_t rank,
                          const int64_t *dims, const char *const *symbols);
void es_model_build_output(es_model_build *build, const char *name, es_model_type type, size_t rank,
                           const int64_t *dims, const char *const *symbols);
/* data: little-endian elements, size bytes; must fit dims. */
void es_model_build_weight(es_model_build *build, const char *name, es_model_type type, size_t rank,
                           const int64_t *dims, const void *data, size_t size);
/* inputs and outputs end with NULL; "" is an optional input not given. domain NULL is ai.onnx. */
void es_model_build_node(es_model_build *build, const char *op, const char *domain,
                         const char *name, const char *const *inputs, const char *const *outputs);
/* Attributes of the node added or chosen last. */
void es_model_build_int(es_model_build *build, const char *name, int64_t value);
void es_model_build_float(es_model_build *build, const char *name, float value);
void es_model_build_text(es_model_build *build, const char *name, const char *value);
void es_model_build_texts(es_model_build *build, const char *name, const char *const *values,
                          size_t count);
void es_model_build_ints(es_model_build *build, const char *name, const int64_t *values,
                         size_t count);
void es_model_build_floats(es_model_build *build, const char *name, const float *values,
                           size_t count);
void es_model_build_tensor(es_model_build *build, const char *name, es_model_type type, size_t rank,
                           const int64_t *dims, const void *data, size_t size);
void es_model_build_drop_attr(es_model_build *build, const char *name);

size_t es_model_build_node_count(const es_model_build *build);  /* number of the node added next */
void es_model_build_choose(es_model_build *build, size_t node); /* for attributes */
void es_model_build_op(es_model_build *build, size_t node, const char *op);
/* One input of a node; index == its count appends. "" is none. */
void es_model_build_set_input(es_model_build *build, size_t node, size_t index, const char *value);
void es_model_build_set_output(es_model_build *build, size_t node, size_t index, const char *value);
/* Every use of value by a node, inside subgraphs too, becomes one of instead. Outputs of the graph
 * stay. O(nodes). */
void es_model_build_replace(es_model_build *build, const char *value, const char *instead);
/* The value gets another name wherever it stands: its maker, uses, weight, input, output. */
void es_model_build_rename(es_model_build *build, const char *value, const char *name);
/* What is not there is an error. */
void es_model_build_drop_node(es_model_build *build, size_t node);
void es_model_build_drop_weight(es_model_build *build, const char *name);
void es_model_build_drop_input(es_model_build *build, const char *name);
void es_model_build_drop_output(es_model_build *build, const char *name);
/* A name that no value has yet: stem, stem_2, stem_3, ...; never NULL. It counts as taken. */
const char *es_model_build_fresh(es_model_build *build, const char *stem);

/* The checked model, its nodes sorted. */
es_status es_model_build_finish(es_model_build *build, const es_model **out_model,
                                es_error *err) ES_MUST_CHECK;

/* The same model with numbers for the names of inner values and weights, and nodes without names:
 * smaller as a file. Names of inputs, outputs and what subgraphs use stay. */
es_status es_model_compact(es_arena *arena, const es_model *model, const es_model **out_model,
                           es_error *err) ES_MUST_CHECK;

/* The same model with the default domain at opset 13 (where per-channel quantisation begins), from
 * 7 on: operators whose form changed are rewritten. A newer one is given back as it is.
 * ES_ERR_UNSUPPORTED names a node that has no new form, or would need one inside a subgraph. */
enum { ES_MODEL_OPSET_OLDEST = 7, ES_MODEL_OPSET_UPGRADED = 13 };
es_status es_model_upgrade(es_arena *arena, const es_model *model, const es_model **out_model,
                           es_error *err) ES_MUST_CHECK;

#endif
