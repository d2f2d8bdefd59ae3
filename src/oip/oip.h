/*
 * oip, private to oip: the Open Inference Protocol v2 between bytes and tensors in memory: JSON,
 * the binary tensor extension, raw binary requests. No sockets, no models.
 *
 * Both directions of both messages, so that nodes, gateways and load generators share one reading.
 * Tensors of a decoded message lie in the body where alignment allows, else in the arena: keep
 * both. Everything is checked against the body's size before memory is taken. Errors are
 * ES_ERR_PARSE or ES_ERR_ARG (a 400) and name the field. Keys that the protocol does not know are
 * ignored.
 */
#ifndef ES_OIP_OIP_H
#define ES_OIP_OIP_H

#include "base/document.h"
#include "runtime/runtime.h"

enum { ES_OIP_TENSORS_MAX = ES_SESSION_PORTS_MAX, ES_OIP_PARAMS_MAX = 64, ES_OIP_DOUBT = -1 };

extern const char ES_OIP_JSON_SIZE_HEADER[]; /* "Inference-Header-Content-Length" */

/* "FP32", "BYTES" (ES_DTYPE_STRING), ...; NULL for what the protocol cannot carry. */
const char *es_oip_dtype_name(es_dtype dtype);
/* ES_DTYPE_NONE when unknown. */
es_dtype es_oip_dtype_of(const char *name);

typedef struct es_oip_param {
    const char *name;
    es_doc_type type; /* BOOL, INT, NUMBER or TEXT */
    union {
        bool boolean;
        int64_t integer;
        double number;
        const char *text;
    } as;
} es_oip_param;

typedef struct es_oip_params {
    const es_oip_param *items;
    size_t count;
} es_oip_params;

/* NULL when absent. */
const es_oip_param *es_oip_param_find(const es_oip_params *params, const char *name);

typedef struct es_oip_tensor {
    const char *name;
    es_dtype dtype;
    size_t rank;
    int64_t dims[ES_TENSOR_RANK_MAX]; /* >= 0 */
    const void
        *data; /* little-endian, row-major; STRING: 4 bytes of length, then the bytes, each */
    size_t size_bytes;    /* of data */
    bool binary;          /* came so; is to go so */
    es_oip_params params; /* without binary_data_size */
} es_oip_tensor;

typedef struct es_oip_wanted {
    const char *name;
    int binary;             /* 0, 1; ES_OIP_DOUBT: the request's default */
    int64_t classification; /* best k as texts; 0: the tensor itself */
    es_oip_params params;
} es_oip_wanted;

/* A request, or an answer (then wanted is not used). */
typedef struct es_oip_message {
    const char *model_name;    /* of an answer */
    const char *model_version; /* may be NULL */
    const char *id;            /* NULL: none */
    es_oip_params params;
    const es_oip_tensor *tensors; /* inputs, or outputs */
    size_t tensor_count;
    const es_oip_wanted *wanted; /* none: all outputs */
    size_t wanted_count;
    bool binary_output; /* binary_data_output */
    int64_t priority;   /* 0: default, 1: highest */
    int64_t timeout_us; /* 0: none */
} es_oip_message;

typedef enum es_oip_kind { ES_OIP_REQUEST, ES_OIP_ANSWER, ES_OIP_KIND_COUNT } es_oip_kind;

/* json_size: what the header said; ES_OIP_DOUBT: there was none, all of body is JSON. 0 is refused
 * here, see es_oip_raw_decode. */
es_status es_oip_decode(es_arena *arena, es_oip_kind kind, const void *body, size_t size,
                        int64_t json_size, es_oip_message *out, es_error *err) ES_MUST_CHECK;

/* A raw binary request for a model whose only input is `port` (one free dim at most): the body is
 * its bytes, a batch of one; of STRING the whole body is the one element. Outputs are binary. */
es_status es_oip_raw_decode(es_arena *arena, const es_port *port, const void *body, size_t size,
                            es_oip_message *out, es_error *err) ES_MUST_CHECK;

/* Appends the whole body to text; *out_json_size is the header's value, or ES_OIP_DOUBT when no
 * tensor is binary (no header, content type JSON). NaN and infinities in JSON become null. */
es_status es_oip_encode(es_oip_kind kind, const es_oip_message *message, es_text *text,
                        int64_t *out_json_size, es_error *err) ES_MUST_CHECK;

/* The JSON of T in metadata: name, datatype, shape. dims -1: free. */
void es_oip_write_port(es_json *json, const es_port *port);
/* The same, read: name borrowed from doc, dtype ES_DTYPE_NONE when the protocol has none such, no
 * symbols. */
es_status es_oip_read_port(const es_doc *doc, es_port *out, es_error *err) ES_MUST_CHECK;

/* Value of ES_OIP_JSON_SIZE_HEADER; NULL: ES_OIP_DOUBT. False: it is no number of bytes. */
bool es_oip_json_size(const char *value, int64_t *out);

/* The answer of /v2: who serves, and what it can. */
void es_oip_write_server(es_text *out, const char *name, const char *version,
                         const char *const *extensions, size_t extension_count);

#endif
