#include "base/file.h"
#include "model/internal.h"

es_model_opts es_model_opts_default(void)
{
    return (es_model_opts){.size_max_bytes = 2147483647};
}

/* protobuf-c gets its memory from the arena; freeing does nothing. */
typedef struct supply {
    es_arena *arena;
    bool refused;
} supply;

static void *take_bytes(void *data, size_t size)
{
    supply *from = data;
    /* One zero more than asked, so that the bytes of a text attribute end as a text does. */
    void *bytes = size < SIZE_MAX ? es_arena_take(from->arena, 1, size + 1) : NULL;
    from->refused = from->refused || bytes == NULL;
    return bytes;
}

static void keep_bytes(void *data, void *bytes)
{
    (void)data; /* the arena frees everything at once */
    (void)bytes;
}

static es_status unpack(es_arena *arena, const void *bytes, size_t size, Onnx__ModelProto **out,
                        es_error *err)
{
    if (size == 0)
        return es_fail(err, ES_ERR_PARSE, "is empty, expected an ONNX model");
    ES_TRY(es_wire_check(bytes, size, err));
    supply from = {.arena = arena};
    ProtobufCAllocator allocator = {
        .alloc = take_bytes, .free = keep_bytes, .allocator_data = &from};
    *out = onnx__model_proto__unpack(&allocator, size, bytes);
    if (*out != NULL)
        return ES_OK;
    if (from.refused)
        return es_arena_full(arena, "unpacked model", err);
    return es_fail(err, ES_ERR_PARSE, "is not an ONNX model: a field has the wrong type");
}

static es_status parse_in(es_arena *arena, const char *name, const void *bytes, size_t size,
                          es_model_opts opts, const es_model **out_model, es_error *err)
{
    if (size > opts.size_max_bytes)
        return es_fail(err, ES_ERR_LIMIT, "is %zu bytes, at most %zu are allowed", size,
                       opts.size_max_bytes);
    Onnx__ModelProto *proto = NULL;
    ES_TRY(unpack(arena, bytes, size, &proto, err));
    ES_TRY(es_tensors_bring_in(arena, proto, opts.folder, opts.size_max_bytes, err));
    return es_model_of(arena, name, proto, out_model, err);
}

es_status es_model_parse(es_arena *arena, const char *name, const void *bytes, size_t size,
                         es_model_opts opts, const es_model **out_model, es_error *err)
{
    return es_within(err, parse_in(arena, name, bytes, size, opts, out_model, err), "model '%s'",
                     name);
}

static es_status load_in(es_arena *arena, const char *path, es_model_opts opts,
                         const es_model **out_model, es_error *err)
{
    /* The packed bytes are needed only until they are unpacked. */
    ES_CLEANUP(es_arena_free_p)
    es_arena *packed = es_arena_new(es_arena_cap_bytes(arena));
    if (packed == NULL)
        return es_fail(err, ES_ERR_NOMEM, "model '%s': no memory for the file", path);
    char *bytes = NULL;
    size_t size = 0;
    ES_TRY(es_file_read(packed, path, opts.size_max_bytes, &bytes, &size, err));
    if (opts.folder == NULL)
        opts.folder = es_file_folder(arena, path);
    return es_model_parse(arena, path, bytes, size, opts, out_model, err);
}

es_status es_model_load(es_arena *arena, const char *path, es_model_opts opts,
                        const es_model **out_model, es_error *err)
{
    return load_in(arena, path, opts, out_model, err);
}

es_status es_model_bytes(es_arena *arena, const es_model *model, const void **out_bytes,
                         size_t *out_size, es_error *err)
{
    size_t size = onnx__model_proto__get_packed_size(model->proto);
    if (size > 2147483647)
        return es_fail(err, ES_ERR_LIMIT,
                       "model '%s': %zu bytes, one ONNX file holds at most 2147483647", model->name,
                       size);
    uint8_t *bytes = es_arena_take(arena, 1, size);
    if (bytes == NULL)
        return es_arena_full(arena, "packed model", err);
    (void)onnx__model_proto__pack(model->proto, bytes); /* gives back the size */
    *out_bytes = bytes;
    *out_size = size;
    return ES_OK;
}

es_status es_model_write(es_arena *scratch, const es_model *model, const char *path, es_error *err)
{
    const void *bytes = NULL;
    size_t size = 0;
    ES_TRY(es_model_bytes(scratch, model, &bytes, &size, err));
    return es_file_write(path, bytes, size, err);
}
