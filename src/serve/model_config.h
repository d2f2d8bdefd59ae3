/*
 * model_config, private to serve: how a model of the repository is to be served. The keys are those
 * of Triton's ModelConfig, read from config.pbtxt, config.json or config.yaml, or from a load
 * request. Plain data in an arena, sealed once made.
 *
 * Keys that estran has no use for are read over (`ignored` names them); what would change answers
 * and is not offered (ensembles, sequences) is ES_ERR_UNSUPPORTED. Mistakes are ES_ERR_PARSE with
 * place, path, value and expectation. Units: microseconds (_us), as in the protocol.
 */
#ifndef ES_SERVE_MODEL_CONFIG_H
#define ES_SERVE_MODEL_CONFIG_H

#include "base/document.h"
#include "runtime/runtime.h"

enum {
    ES_MODEL_CONFIG_BYTES_MAX = 1 << 20,
    ES_MODEL_CONFIG_VERSIONS_MAX = 64,
    ES_MODEL_CONFIG_WARMUPS_MAX = 32,
    ES_MODEL_CONFIG_PAIRS_MAX = 256,
    ES_MODEL_CONFIG_REPLICAS_MAX = 64
};

typedef struct es_model_config_port {
    const char *name;
    es_dtype dtype; /* NONE: not given */
    size_t rank;
    int64_t dims[ES_TENSOR_RANK_MAX]; /* -1: free; without the batch where max_batch_size > 0 */
    bool dims_given;
    bool reshape_given; /* what the model itself has instead of dims */
    size_t reshape_rank;
    int64_t reshape[ES_TENSOR_RANK_MAX];
    const char *label_filename; /* of outputs; NULL: none */
} es_model_config_port;

typedef enum es_version_policy {
    ES_VERSIONS_LATEST,
    ES_VERSIONS_ALL,
    ES_VERSIONS_SPECIFIC,
    ES_VERSIONS_COUNT
} es_version_policy;

typedef enum es_warmup_data {
    ES_WARMUP_ZERO,
    ES_WARMUP_RANDOM,
    ES_WARMUP_FILE,
    ES_WARMUP_COUNT
} es_warmup_data;

typedef struct es_model_config_warmup_input {
    const char *name;
    es_dtype dtype;
    size_t rank;
    int64_t dims[ES_TENSOR_RANK_MAX];
    es_warmup_data data;
    const char *file; /* of FILE: below the model's folder warmup/ */
} es_model_config_warmup_input;

typedef struct es_model_config_warmup {
    const char *name;
    uint32_t batch_size; /* 0: none */
    uint32_t count;      /* runs, 1..10000 */
    const es_model_config_warmup_input *inputs;
    size_t input_count;
} es_model_config_warmup;

typedef struct es_model_config_pair {
    const char *key, *value;
} es_model_config_pair;

typedef struct es_model_config {
    const char *name; /* NULL: not given */
    const char *platform;
    const char *backend;
    const char *default_model_filename; /* NULL: model.onnx */
    bool max_batch_size_given;
    uint32_t max_batch_size; /* 0: the first dim is no batch */
    const es_model_config_port *inputs;
    size_t input_count;
    const es_model_config_port *outputs;
    size_t output_count;
    es_version_policy version_policy;               /* default: the latest one */
    uint32_t num_versions;                          /* of LATEST */
    int64_t versions[ES_MODEL_CONFIG_VERSIONS_MAX]; /* of SPECIFIC */
    size_t version_count;
    uint32_t replica_count; /* sum of instance_group counts; 0: not given */
    bool batching;          /* dynamic_batching is there */
    uint32_t preferred[ES_BATCH_PREFERRED_MAX];
    size_t preferred_count;
    int64_t max_queue_delay_us;
    bool preserve_ordering;
    uint32_t priority_levels; /* 0: none */
    uint32_t default_priority_level;
    es_batch_level levels[ES_BATCH_LEVELS_MAX]; /* queue policies; queue_max 0: not given */
    const es_model_config_warmup *warmups;
    size_t warmup_count;
    bool cache_given, cache; /* response_cache.enable */
    const es_model_config_pair *parameters;
    size_t parameter_count;
    const es_model_config_pair *metric_tags;
    size_t metric_tag_count;
    const char *const *ignored; /* keys that were read over */
    size_t ignored_count;
} es_model_config;

/* Nothing given. */
es_model_config es_model_config_default(void);

/* From a tree of any of the formats. */
es_status es_model_config_read(es_arena *arena, const es_doc *root, es_model_config *out,
                               es_error *err) ES_MUST_CHECK;

/* From bytes; name tells the format by its ending (.pbtxt, .json, else YAML) and stands in
 * messages. */
es_status es_model_config_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                                es_model_config *out, es_error *err) ES_MUST_CHECK;

/* Do the declared ports fit the model's? Also max_batch_size. */
es_status es_model_config_fits(const es_model_config *config, const es_session *session,
                               es_error *err) ES_MUST_CHECK;

/* "TYPE_FP32", ...; "TYPE_INVALID" for what the protocol cannot carry. */
const char *es_model_config_dtype_name(es_dtype dtype);

/* The value of a key of parameters; NULL when absent. */
const char *es_model_config_parameter(const es_model_config *config, const char *key);

/* One JSON map with Triton's keys, ports filled in from the session. */
void es_model_config_write(es_json *json, const char *name, const es_model_config *config,
                           const es_session *session);

/* ---- pbtxt.c: protobuf's text format as a tree ---- */

/* Fields become keys of maps; one given several times, or in [ ], becomes a list; enum names become
 * texts. Values know their line and column. */
es_status es_pbtxt_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                         const es_doc **out_root, es_error *err) ES_MUST_CHECK;

#endif
