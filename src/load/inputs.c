/* The requests of a load, whole and made before the run: from the model's metadata and from samples
 * of a file, or by seed. */
#include "base/checked.h"
#include "base/file.h"
#include "data/data.h"
#include "internal.h"

#include <assert.h>

enum { DRAWN_BODIES = 16, WORD_SIZE = 8 };

static const size_t DRAWN_BYTES_MAX = (size_t)64 << 20; /* of all drawn bodies */
static const size_t BODIES_BYTES_MAX = (size_t)768 << 20;

typedef struct input {
    es_port port; /* dims with the batch */
    size_t element_count;
    size_t size_bytes;
} input;

typedef struct inputs {
    input items[ES_SESSION_PORTS_MAX];
    size_t count;
    es_oip_param params[ES_OIP_PARAMS_MAX];
    size_t param_count;
} inputs;

/* ---- shapes ---- */

static es_status read_dims(const char *text, input *out, es_error *err)
{
    const char *at = text;
    out->port.rank = 0;
    while (*at != '\0') {
        char *end = NULL;
        long long dim = strtoll(at, &end, 10);
        if (end == at || dim < 1 || out->port.rank == ES_TENSOR_RANK_MAX ||
            (*end != ',' && *end != 0))
            return es_fail(err, ES_ERR_ARG, "shape '%s' must be whole numbers >= 1 with commas",
                           text);
        out->port.dims[out->port.rank++] = dim;
        at = *end == ',' ? end + 1 : end;
    }
    return ES_OK;
}

static es_status override_shape(const es_load *load, input *in, es_error *err)
{
    size_t size = strlen(in->port.name);
    for (size_t i = 0; i < load->opts.shape_count; i++) {
        const char *given = load->opts.shapes[i];
        if (strncmp(given, in->port.name, size) == 0 && given[size] == '=')
            return read_dims(given + size + 1, in, err);
    }
    return ES_OK;
}

static es_status measure_input(input *in, es_error *err)
{
    in->element_count = 1;
    for (size_t i = 0; i < in->port.rank; i++) {
        if (in->port.dims[i] < 0)
            return es_fail(err, ES_ERR_ARG, "input '%s': dimension %zu is free; give its shape",
                           in->port.name, i);
        if (!es_size_mul(in->element_count, (size_t)in->port.dims[i], &in->element_count))
            return es_fail(err, ES_ERR_LIMIT, "input '%s' is too large", in->port.name);
    }
    size_t each = in->port.dtype == ES_DTYPE_STRING ? 4 + WORD_SIZE : es_dtype_size(in->port.dtype);
    if (!es_size_mul(in->element_count, each, &in->size_bytes) || in->size_bytes > BODIES_BYTES_MAX)
        return es_fail(err, ES_ERR_LIMIT, "input '%s' is larger than %zu bytes", in->port.name,
                       BODIES_BYTES_MAX);
    return ES_OK;
}

static es_status read_input(es_load *load, const es_doc *doc, input *in, es_error *err)
{
    const uint32_t batch = load->opts.batch;
    ES_TRY(es_oip_read_port(doc, &in->port, err));
    if (in->port.dtype == ES_DTYPE_NONE)
        return es_doc_fail(doc, err, "datatype '%s' is not known",
                           es_doc_find(doc, "datatype")->as.text.bytes);
    bool batched = in->port.rank > 0 && in->port.dims[0] < 0;
    if (batch > 1 && !batched)
        return es_fail(err, ES_ERR_ARG, "input '%s' has no free first dimension for batch=%u",
                       in->port.name, batch);
    ES_TRY(override_shape(load, in, err));
    if (batched && in->port.rank > 0)
        in->port.dims[0] = batch;
    return measure_input(in, err);
}

static es_status read_inputs(es_load *load, const es_doc *metadata, inputs *all, es_error *err)
{
    const es_doc *list = NULL;
    ES_TRY(es_doc_need_list(metadata, "inputs", &list, err));
    if (list->as.list.count == 0 || list->as.list.count > ES_SESSION_PORTS_MAX)
        return es_doc_fail(list, err, "%zu inputs must be 1 to %d", list->as.list.count,
                           ES_SESSION_PORTS_MAX);
    all->count = list->as.list.count;
    for (size_t i = 0; i < all->count; i++)
        ES_TRY(read_input(load, list->as.list.items[i], &all->items[i], err));
    return ES_OK;
}

/* ---- request parameters ---- */

static es_status read_param(es_load *load, const char *text, es_oip_param *out, es_error *err)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text)
        return es_fail(err, ES_ERR_ARG, "parameter '%s' must be NAME=VALUE", text);
    out->name = es_arena_text_n(load->arena, text, (size_t)(equals - text));
    if (out->name == NULL)
        return es_arena_full(load->arena, "parameters", err);
    const char *value = equals + 1;
    if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0) {
        out->type = ES_DOC_BOOL;
        out->as.boolean = value[0] == 't';
    } else if (es_text_to_int64(value, &out->as.integer)) {
        out->type = ES_DOC_INT;
    } else if (es_text_to_double(value, &out->as.number)) {
        out->type = ES_DOC_NUMBER;
    } else {
        out->type = ES_DOC_TEXT;
        out->as.text = value;
    }
    return ES_OK;
}

static es_status read_params(es_load *load, inputs *all, es_error *err)
{
    if (load->opts.parameter_count >= ES_OIP_PARAMS_MAX)
        return es_fail(err, ES_ERR_ARG, "%zu parameters are more than %d",
                       load->opts.parameter_count, ES_OIP_PARAMS_MAX - 1);
    for (size_t i = 0; i < load->opts.parameter_count; i++)
        ES_TRY(read_param(load, load->opts.parameters[i], &all->params[all->param_count++], err));
    if (!load->opts.json_tensors)
        all->params[all->param_count++] =
            (es_oip_param){.name = "binary_data_output", .type = ES_DOC_BOOL, .as.boolean = true};
    return ES_OK;
}

/* ---- bodies ---- */

static es_status encode(es_load *load, const inputs *all, void *const *data, es_load_body *out,
                        es_error *err)
{
    es_oip_tensor tensors[ES_SESSION_PORTS_MAX];
    int64_t json_size = ES_OIP_DOUBT;
    for (size_t i = 0; i < all->count; i++) {
        const input *in = &all->items[i];
        tensors[i] = (es_oip_tensor){.name = in->port.name,
                                     .dtype = in->port.dtype,
                                     .rank = in->port.rank,
                                     .data = data[i],
                                     .size_bytes = in->size_bytes,
                                     .binary = !load->opts.json_tensors};
        memcpy(tensors[i].dims, in->port.dims, sizeof in->port.dims);
    }
    es_oip_message message = {.params = {.items = all->params, .count = all->param_count},
                              .tensors = tensors,
                              .tensor_count = all->count};
    ES_CLEANUP(es_text_done) es_text text;
    es_text_init(&text, BODIES_BYTES_MAX);
    ES_TRY(es_oip_encode(ES_OIP_REQUEST, &message, &text, &json_size, err));
    char *copy = es_arena_text_n(load->arena, text.bytes, text.size);
    *out = (es_load_body){.bytes = copy, .size = text.size};
    if (copy != NULL && json_size != ES_OIP_DOUBT)
        out->json_size = es_arena_format(load->arena, "%lld", (long long)json_size);
    if (copy == NULL || (json_size != ES_OIP_DOUBT && out->json_size == NULL))
        return es_arena_full(load->arena, "requests of a load", err);
    return ES_OK;
}

static void draw(const input *in, void *data, es_rng *rng)
{
    if (in->port.dtype != ES_DTYPE_STRING) {
        es_tensor tensor = es_tensor_make(in->port.dtype, in->port.dims, in->port.rank, data);
        es_tensor_fill(&tensor, rng);
        return;
    }
    unsigned char *at = data;
    for (size_t i = 0; i < in->element_count; i++, at += 4 + WORD_SIZE) {
        const unsigned char head[4] = {WORD_SIZE, 0, 0, 0};
        memcpy(at, head, sizeof head);
        for (size_t k = 0; k < WORD_SIZE; k++)
            at[4 + k] = (unsigned char)('a' + es_rng_below(rng, 26));
    }
}

static es_status draw_bodies(es_load *load, es_arena *scratch, const inputs *all, es_error *err)
{
    void *data[ES_SESSION_PORTS_MAX];
    es_rng rng = es_rng_make(es_load_seed_samples(load->opts.seed), 1);
    size_t count = DRAWN_BODIES;
    while (count > 1 && count * load->input_bytes > DRAWN_BYTES_MAX)
        count /= 2;
    es_load_body *bodies = ES_TAKE_ARRAY(load->arena, es_load_body, count);
    for (size_t i = 0; i < all->count; i++)
        if ((data[i] = es_arena_take(scratch, all->items[i].size_bytes, 1)) == NULL)
            return es_arena_full(scratch, "inputs", err);
    if (bodies == NULL)
        return es_arena_full(load->arena, "requests of a load", err);
    for (size_t b = 0; b < count; b++) {
        for (size_t i = 0; i < all->count; i++)
            draw(&all->items[i], data[i], &rng);
        ES_TRY(encode(load, all, data, &bodies[b], err));
    }
    load->bodies = bodies;
    load->body_count = count;
    return ES_OK;
}

/* ---- samples of a file ---- */

static es_dtype dtype_of(es_data_type type)
{
    static const es_dtype TYPES[ES_DATA_TYPE_COUNT] = {
        [ES_DATA_U8] = ES_DTYPE_U8,   [ES_DATA_I8] = ES_DTYPE_I8,   [ES_DATA_U16] = ES_DTYPE_U16,
        [ES_DATA_I16] = ES_DTYPE_I16, [ES_DATA_U32] = ES_DTYPE_U32, [ES_DATA_I32] = ES_DTYPE_I32,
        [ES_DATA_U64] = ES_DTYPE_U64, [ES_DATA_I64] = ES_DTYPE_I64, [ES_DATA_F32] = ES_DTYPE_F32,
        [ES_DATA_F64] = ES_DTYPE_F64};
    return TYPES[type];
}

/* The values of an array as bytes of the input's type. */
static es_status read_array(es_arena *scratch, const char *path, const input *in,
                            const unsigned char **out, size_t *out_size, es_error *err)
{
    es_data_array array;
    ES_TRY(es_data_read_array(scratch, path, NULL, &array, err));
    *out_size = array.count * es_dtype_size(in->port.dtype);
    *out = array.bytes;
    if (dtype_of(array.type) == in->port.dtype)
        return ES_OK;
    if (in->port.dtype != ES_DTYPE_F32)
        return es_fail(err, ES_ERR_ARG, "'%s' holds %s, input '%s' takes %s", path,
                       es_data_type_name(array.type), in->port.name, es_dtype_name(in->port.dtype));
    float *floats = ES_TAKE_ARRAY(scratch, float, array.count);
    if (floats == NULL)
        return es_arena_full(scratch, "samples", err);
    es_data_floats(&array, 0, array.count, floats);
    *out = (const unsigned char *)floats;
    return ES_OK;
}

static es_status read_samples(es_load *load, es_arena *scratch, const input *in,
                              const unsigned char **out, size_t *out_count, es_error *err)
{
    const char *path = load->opts.input;
    size_t length = strlen(path);
    size_t size = 0;
    char *bytes = NULL;
    if (length > 4 && strcmp(path + length - 4, ".npy") == 0) {
        ES_TRY(read_array(scratch, path, in, out, &size, err));
    } else {
        ES_TRY(es_file_read(scratch, path, BODIES_BYTES_MAX, &bytes, &size, err));
        *out = (const unsigned char *)bytes;
    }
    if (size == 0 || size % in->size_bytes != 0)
        return es_fail(err, ES_ERR_ARG, "'%s': %zu bytes are no multiple of the %zu of a request",
                       path, size, in->size_bytes);
    *out_count = size / in->size_bytes;
    return ES_OK;
}

static es_status file_bodies(es_load *load, es_arena *scratch, const inputs *all, es_error *err)
{
    const input *in = &all->items[0];
    const unsigned char *samples = NULL;
    size_t count = 0;
    if (all->count != 1 || in->port.dtype == ES_DTYPE_STRING)
        return es_fail(err, ES_ERR_ARG, "input '%s': the model must have one input, of numbers",
                       load->opts.input);
    ES_TRY(read_samples(load, scratch, in, &samples, &count, err));
    es_load_body *bodies = ES_TAKE_ARRAY(load->arena, es_load_body, count);
    if (bodies == NULL)
        return es_arena_full(load->arena, "requests of a load", err);
    for (size_t i = 0; i < count; i++) {
        void *data = (void *)(uintptr_t)(samples + i * in->size_bytes); /* only read */
        ES_TRY(encode(load, all, &data, &bodies[i], err));
    }
    load->bodies = bodies;
    load->body_count = count;
    return ES_OK;
}

es_status es_load_inputs_make(es_load *load, const es_doc *metadata, es_error *err)
{
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new((size_t)2 << 30);
    inputs *all = scratch == NULL ? NULL : ES_TAKE_ONE(scratch, inputs);
    if (all == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for the requests of a load");
    ES_TRY(es_within(err, read_inputs(load, metadata, all, err), "model '%s'", load->opts.model));
    ES_TRY(read_params(load, all, err));
    for (size_t i = 0; i < all->count; i++)
        load->input_bytes += all->items[i].size_bytes;
    if (load->opts.input != NULL)
        return file_bodies(load, scratch, all, err);
    return draw_bodies(load, scratch, all, err);
}

es_http_call es_load_call(const es_load *load, const es_load_body *body, es_http_header *header)
{
    *header = (es_http_header){ES_OIP_JSON_SIZE_HEADER, body->json_size};
    return (es_http_call){.method = ES_HTTP_POST,
                          .path = load->infer_path,
                          .headers = header,
                          .header_count = body->json_size != NULL,
                          .body = body->bytes,
                          .body_bytes = body->size,
                          .repeatable = true};
}
