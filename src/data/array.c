/* Arrays: types, values as numbers, NPY out. */
#include "base/checked.h"
#include "base/file.h"
#include "base/text.h"
#include "data/internal.h"

#include <assert.h>
#include <string.h>

static const struct {
    const char *name, *npy;
    size_t size;
} types[ES_DATA_TYPE_COUNT] = {
    [ES_DATA_U8] = {"u8", "|u1", 1},   [ES_DATA_I8] = {"i8", "|i1", 1},
    [ES_DATA_U16] = {"u16", "<u2", 2}, [ES_DATA_I16] = {"i16", "<i2", 2},
    [ES_DATA_U32] = {"u32", "<u4", 4}, [ES_DATA_I32] = {"i32", "<i4", 4},
    [ES_DATA_U64] = {"u64", "<u8", 8}, [ES_DATA_I64] = {"i64", "<i8", 8},
    [ES_DATA_F32] = {"f32", "<f4", 4}, [ES_DATA_F64] = {"f64", "<f8", 8},
};

size_t es_data_type_size(es_data_type type)
{
    return types[type].size;
}

const char *es_data_type_name(es_data_type type)
{
    return types[type].name;
}

double es_data_at(const es_data_array *array, size_t index)
{
    assert(index < array->count);
    switch (array->type) {
    case ES_DATA_U8:
        return ((const uint8_t *)array->bytes)[index];
    case ES_DATA_I8:
        return ((const int8_t *)array->bytes)[index];
    case ES_DATA_U16:
        return ((const uint16_t *)array->bytes)[index];
    case ES_DATA_I16:
        return ((const int16_t *)array->bytes)[index];
    case ES_DATA_U32:
        return ((const uint32_t *)array->bytes)[index];
    case ES_DATA_I32:
        return ((const int32_t *)array->bytes)[index];
    case ES_DATA_U64:
        return (double)((const uint64_t *)array->bytes)[index];
    case ES_DATA_I64:
        return (double)((const int64_t *)array->bytes)[index];
    case ES_DATA_F32:
        return (double)((const float *)array->bytes)[index];
    case ES_DATA_F64:
        return ((const double *)array->bytes)[index];
    case ES_DATA_TYPE_COUNT:
        break;
    }
    assert(false); /* a type is one of these */
    return 0;
}

void es_data_floats(const es_data_array *array, size_t first, size_t count, float *out)
{
    assert(first <= array->count && count <= array->count - first);
    if (array->type == ES_DATA_F32) {
        memcpy(out, (const float *)array->bytes + first, count * sizeof *out);
    } else if (array->type == ES_DATA_U8) { /* pixels: worth a loop of its own */
        const uint8_t *from = (const uint8_t *)array->bytes + first;
        for (size_t i = 0; i < count; i++)
            out[i] = from[i];
    } else {
        for (size_t i = 0; i < count; i++)
            out[i] = (float)es_data_at(array, first + i);
    }
}

es_status es_data_shape(es_data_array *array, const char *name, size_t *out_size_bytes,
                        es_error *err)
{
    size_t count = 1;
    size_t bytes = 0;
    for (size_t i = 0; i < array->rank; i++)
        if (!es_size_mul(count, array->dims[i], &count))
            return es_fail(err, ES_ERR_LIMIT, "'%s': the shape has too many values", name);
    if (!es_size_mul(count, types[array->type].size, &bytes))
        return es_fail(err, ES_ERR_LIMIT, "'%s': the shape has too many values", name);
    array->count = count;
    *out_size_bytes = bytes;
    return ES_OK;
}

es_status es_data_adopt(es_arena *arena, const char *name, const void *raw, bool swap,
                        es_data_array *array, es_error *err)
{
    size_t width = types[array->type].size;
    if (width == 1 || (!swap && (uintptr_t)raw % width == 0)) {
        array->bytes = raw;
        return ES_OK;
    }
    void *copy = NULL;
    ES_TRY(es_arena_take_or_fail(arena, array->count, width, name, &copy, err));
    const uint8_t *from = raw;
    uint8_t *to = copy;
    if (!swap && array->count > 0)
        memcpy(to, from, array->count * width);
    for (size_t i = 0; swap && i < array->count; i++)
        for (size_t k = 0; k < width; k++)
            to[i * width + k] = from[i * width + width - 1 - k];
    array->bytes = copy;
    return ES_OK;
}

es_status es_data_write_npy(const char *path, const es_data_array *array, es_error *err)
{
    es_data_array shape = *array;
    size_t size = 0;
    ES_TRY(es_data_shape(&shape, path, &size, err));
    ES_CLEANUP(es_text_done) es_text head;
    es_text_init(&head, 4096);
    es_text_format(&head, "{'descr': '%s', 'fortran_order': False, 'shape': (",
                   types[array->type].npy);
    for (size_t i = 0; i < array->rank; i++)
        es_text_format(&head, "%zu%s", array->dims[i], i + 1 < array->rank ? ", " : "");
    es_text_append(&head, array->rank == 1 ? ",), }" : "), }");
    while ((10 + head.size + 1) % 64 != 0) /* values start at a multiple of 64 */
        es_text_append(&head, " ");
    es_text_append(&head, "\n");
    ES_TRY(es_text_status(&head, err));
    ES_CLEANUP(es_text_done) es_text all;
    es_text_init(&all, SIZE_MAX / 2);
    const char lead[10] = {
        '\x93', 'N', 'U', 'M', 'P', 'Y', 1, 0, (char)(head.size & 255), (char)(head.size >> 8)};
    es_text_append_n(&all, lead, sizeof lead);
    es_text_append_n(&all, head.bytes, head.size);
    es_text_append_n(&all, array->bytes, size);
    ES_TRY(es_text_status(&all, err));
    return es_file_write(path, all.bytes, all.size, err);
}
