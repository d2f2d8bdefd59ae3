/* IDX: the format of MNIST. */
#include "data/internal.h"

#include <string.h>

static bool type_of(uint8_t code, es_data_type *out)
{
    switch (code) {
    case 0x08:
        *out = ES_DATA_U8;
        return true;
    case 0x09:
        *out = ES_DATA_I8;
        return true;
    case 0x0b:
        *out = ES_DATA_I16;
        return true;
    case 0x0c:
        *out = ES_DATA_I32;
        return true;
    case 0x0d:
        *out = ES_DATA_F32;
        return true;
    case 0x0e:
        *out = ES_DATA_F64;
        return true;
    default:
        return false;
    }
}

es_status es_data_parse_idx(es_arena *arena, const char *name, const void *bytes, size_t size,
                            es_data_array *out_array, es_error *err)
{
    const uint8_t *at = bytes;
    es_data_array array = {.name = ""};
    if (size < 4 || at[0] != 0 || at[1] != 0 || !type_of(at[2], &array.type))
        return es_fail(err, ES_ERR_PARSE, "'%s' is not IDX: it must start with 0, 0, a type", name);
    array.rank = at[3];
    if (array.rank < 1 || array.rank > ES_DATA_RANK_MAX)
        return es_fail(err, ES_ERR_PARSE, "'%s': %zu dimensions must be 1 to %d", name, array.rank,
                       ES_DATA_RANK_MAX);
    size_t head = 4 + 4 * array.rank;
    if (size < head)
        return es_fail(err, ES_ERR_PARSE, "'%s': %zu bytes end within the head of %zu", name, size,
                       head);
    for (size_t i = 0; i < array.rank; i++) {
        const uint8_t *d = at + 4 + 4 * i;
        array.dims[i] = (size_t)d[0] << 24 | (size_t)d[1] << 16 | (size_t)d[2] << 8 | d[3];
    }
    size_t wanted = 0;
    ES_TRY(es_data_shape(&array, name, &wanted, err));
    if (size - head != wanted)
        return es_fail(err, ES_ERR_PARSE, "'%s': %zu bytes of values, its head says %zu", name,
                       size - head, wanted);
    ES_TRY(es_data_adopt(arena, name, at + head, true, &array, err));
    *out_array = array;
    return ES_OK;
}
