/* NPY: one array of NumPy. The head is a Python literal of which three keys are known. */
#include "data/internal.h"

#include <string.h>

typedef struct npy_head {
    const char *at, *end;
    bool swap, fortran;
    bool has_type, has_order, has_shape;
} npy_head;

static void skip_space(npy_head *h)
{
    while (h->at < h->end && strchr(" \t\r\n", *h->at) != NULL && *h->at != '\0')
        h->at++;
}

static bool take(npy_head *h, char mark)
{
    skip_space(h);
    if (h->at == h->end || *h->at != mark)
        return false;
    h->at++;
    return true;
}

static bool take_word(npy_head *h, const char *word)
{
    size_t size = strlen(word);
    skip_space(h);
    if ((size_t)(h->end - h->at) < size || memcmp(h->at, word, size) != 0)
        return false;
    h->at += size;
    return true;
}

/* 'words' or "words", without escapes. */
static bool take_text(npy_head *h, const char **out, size_t *out_size)
{
    skip_space(h);
    if (h->at == h->end || (*h->at != '\'' && *h->at != '"'))
        return false;
    const char *stop = memchr(h->at + 1, *h->at, (size_t)(h->end - h->at) - 1);
    if (stop == NULL)
        return false;
    *out = h->at + 1;
    *out_size = (size_t)(stop - *out);
    h->at = stop + 1;
    return true;
}

static es_status read_type(npy_head *h, const char *name, es_data_array *array, es_error *err)
{
    static const struct {
        char kind, width;
        es_data_type type;
    } known[] = {{'b', '1', ES_DATA_U8},  {'u', '1', ES_DATA_U8},  {'i', '1', ES_DATA_I8},
                 {'u', '2', ES_DATA_U16}, {'i', '2', ES_DATA_I16}, {'u', '4', ES_DATA_U32},
                 {'i', '4', ES_DATA_I32}, {'u', '8', ES_DATA_U64}, {'i', '8', ES_DATA_I64},
                 {'f', '4', ES_DATA_F32}, {'f', '8', ES_DATA_F64}};
    const char *text = NULL;
    size_t size = 0;
    if (!take_text(h, &text, &size))
        return es_fail(err, ES_ERR_UNSUPPORTED, "'%s': records are not supported, only one type",
                       name);
    if (size == 3 && strchr("<>|=", text[0]) != NULL && text[0] != '\0') {
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
            if (text[1] == known[i].kind && text[2] == known[i].width) {
                array->type = known[i].type;
                h->swap = text[0] == '>';
                h->has_type = true;
                return ES_OK;
            }
        }
    }
    return es_fail(err, ES_ERR_UNSUPPORTED,
                   "'%s': type '%.*s' is not supported; bool, u1..u8, i1..i8, f4, f8 are", name,
                   (int)(size < 40 ? size : 40), text);
}

static bool read_number(npy_head *h, size_t *out)
{
    size_t value = 0;
    skip_space(h);
    const char *start = h->at;
    for (; h->at < h->end && *h->at >= '0' && *h->at <= '9'; h->at++) {
        if (__builtin_mul_overflow(value, (size_t)10, &value) ||
            __builtin_add_overflow(value, (size_t)(*h->at - '0'), &value))
            return false;
    }
    *out = value;
    return h->at > start;
}

static bool read_shape(npy_head *h, es_data_array *array)
{
    if (!take(h, '('))
        return false;
    array->rank = 0;
    while (!take(h, ')')) {
        if (array->rank == ES_DATA_RANK_MAX || !read_number(h, &array->dims[array->rank]))
            return false;
        array->rank++;
        if (!take(h, ',')) {
            h->has_shape = true;
            return take(h, ')');
        }
    }
    h->has_shape = true;
    return true;
}

static es_status read_head(npy_head *h, const char *name, es_data_array *array, es_error *err)
{
    if (!take(h, '{'))
        return es_fail(err, ES_ERR_PARSE, "'%s': the head of the NPY must be a dictionary", name);
    while (!take(h, '}')) {
        const char *key = NULL;
        size_t size = 0;
        if (!take_text(h, &key, &size) || !take(h, ':'))
            return es_fail(err, ES_ERR_PARSE, "'%s': the head of the NPY is malformed", name);
        if (size == 5 && memcmp(key, "descr", size) == 0) {
            ES_TRY(read_type(h, name, array, err));
        } else if (size == 13 && memcmp(key, "fortran_order", size) == 0) {
            h->fortran = take_word(h, "True");
            if (!h->fortran && !take_word(h, "False"))
                return es_fail(err, ES_ERR_PARSE, "'%s': fortran_order must be True or False",
                               name);
            h->has_order = true;
        } else if (size == 5 && memcmp(key, "shape", size) == 0) {
            if (!read_shape(h, array))
                return es_fail(err, ES_ERR_PARSE, "'%s': shape must be at most %d whole numbers",
                               name, ES_DATA_RANK_MAX);
        } else {
            return es_fail(err, ES_ERR_PARSE, "'%s': unknown key '%.*s' in the head of the NPY",
                           name, (int)(size < 40 ? size : 40), key);
        }
        (void)take(h, ','); /* optional behind the last */
    }
    if (!h->has_type || !h->has_order || !h->has_shape)
        return es_fail(err, ES_ERR_PARSE,
                       "'%s': the head of the NPY lacks descr, fortran_order or "
                       "shape",
                       name);
    return ES_OK;
}

/* First index fastest to last index fastest. */
static es_status to_rows(es_arena *arena, const char *name, es_data_array *array, es_error *err)
{
    size_t width = es_data_type_size(array->type);
    void *copy = NULL;
    ES_TRY(es_arena_take_or_fail(arena, array->count, width, name, &copy, err));
    size_t index[ES_DATA_RANK_MAX] = {0};
    for (size_t i = 0; i < array->count; i++) {
        size_t from = 0;
        for (size_t k = array->rank; k-- > 0;)
            from = from * array->dims[k] + index[k];
        memcpy((char *)copy + i * width, (const char *)array->bytes + from * width, width);
        for (size_t k = array->rank; k-- > 0;) {
            if (++index[k] < array->dims[k])
                break;
            index[k] = 0;
        }
    }
    array->bytes = copy;
    return ES_OK;
}

es_status es_data_parse_npy(es_arena *arena, const char *name, const void *bytes, size_t size,
                            es_data_array *out_array, es_error *err)
{
    const uint8_t *at = bytes;
    es_data_array array = {.name = ""};
    if (size < 12 || memcmp(at, "\x93NUMPY", 6) != 0)
        return es_fail(err, ES_ERR_PARSE, "'%s' is not NPY", name);
    if (at[6] < 1 || at[6] > 3)
        return es_fail(err, ES_ERR_UNSUPPORTED, "'%s': NPY version %d must be 1, 2 or 3", name,
                       at[6]);
    size_t lead = at[6] == 1 ? 10 : 12;
    size_t head_size = (size_t)at[9] << 8 | at[8];
    if (at[6] > 1)
        head_size |= (size_t)at[11] << 24 | (size_t)at[10] << 16;
    if (head_size > size - lead)
        return es_fail(err, ES_ERR_PARSE, "'%s' ends within the head of the NPY", name);
    npy_head h = {.at = (const char *)at + lead, .end = (const char *)at + lead + head_size};
    ES_TRY(read_head(&h, name, &array, err));
    size_t wanted = 0;
    ES_TRY(es_data_shape(&array, name, &wanted, err));
    size_t got = size - lead - head_size;
    if (got != wanted)
        return es_fail(err, ES_ERR_PARSE, "'%s': %zu bytes of values, its shape says %zu", name,
                       got, wanted);
    ES_TRY(es_data_adopt(arena, name, at + lead + head_size, h.swap, &array, err));
    if (h.fortran && array.rank > 1 && array.count > 0)
        ES_TRY(to_rows(arena, name, &array, err));
    *out_array = array;
    return ES_OK;
}
