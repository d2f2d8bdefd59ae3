/* NPZ: a zip of NPY. Only the central directory at the end is believed. */
#include "data/internal.h"

#include <string.h>
#include <zlib.h>

enum {
    END_SIZE = 22,   /* end of central directory, without its comment */
    ENTRY_SIZE = 46, /* of the central directory */
    LOCAL_SIZE = 30, /* before a member */
    COMMENT_MAX = 65535,
    MEMBERS_MAX = 4096,
    STORED = 0,
    DEFLATED = 8
};

typedef struct zip {
    const char *name;
    const uint8_t *bytes;
    size_t size;
    size_t left; /* of what may be unpacked */
} zip;

static size_t u16_at(const uint8_t *at)
{
    return (size_t)at[1] << 8 | at[0];
}

static size_t u32_at(const uint8_t *at)
{
    return u16_at(at + 2) << 16 | u16_at(at);
}

static const uint8_t *find_end(const zip *z)
{
    size_t tried = 0;
    for (size_t at = z->size; at-- > 0 && tried <= COMMENT_MAX + END_SIZE; tried++)
        if (z->size - at >= END_SIZE && memcmp(z->bytes + at, "PK\5\6", 4) == 0)
            return z->bytes + at;
    return NULL;
}

static es_status inflate_member(es_arena *arena, const zip *z, const uint8_t *from, size_t packed,
                                size_t size, void **out, es_error *err)
{
    void *bytes = NULL;
    ES_TRY(es_arena_take_or_fail(arena, size + 1, 1, z->name, &bytes, err));
    z_stream stream = {.next_in = (z_const Bytef *)(uintptr_t)from, /* zlib only reads it */
                       .avail_in = (uInt)packed,
                       .next_out = bytes,
                       .avail_out = (uInt)size + 1}; /* one more: notices what is too long */
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
        return es_fail(err, ES_ERR_NOMEM, "'%s': no memory to inflate", z->name);
    int code = inflate(&stream, Z_FINISH);
    size_t got = stream.total_out;
    (void)inflateEnd(&stream); /* only frees */
    if (code != Z_STREAM_END || got != size)
        return es_fail(err, ES_ERR_PARSE, "'%s': a member does not inflate to its %zu bytes",
                       z->name, size);
    *out = bytes;
    return ES_OK;
}

static es_status read_member(es_arena *arena, zip *z, const uint8_t *entry, const char *member,
                             es_data_array *out, es_error *err)
{
    size_t flags = u16_at(entry + 8);
    size_t method = u16_at(entry + 10);
    size_t packed = u32_at(entry + 20);
    size_t size = u32_at(entry + 24);
    size_t start = u32_at(entry + 42);
    if ((flags & 1) != 0 || (method != STORED && method != DEFLATED))
        return es_fail(err, ES_ERR_UNSUPPORTED, "'%s': '%s' is encrypted or packed by method %zu",
                       z->name, member, method);
    if (start > z->size || z->size - start < LOCAL_SIZE ||
        memcmp(z->bytes + start, "PK\3\4", 4) != 0)
        return es_fail(err, ES_ERR_PARSE, "'%s': '%s' is not where the directory says", z->name,
                       member);
    start += LOCAL_SIZE + u16_at(z->bytes + start + 26) + u16_at(z->bytes + start + 28);
    if (start > z->size || packed > z->size - start || (method == STORED && packed != size))
        return es_fail(err, ES_ERR_PARSE, "'%s': '%s' reaches beyond the end", z->name, member);
    if (size > z->left || size == UINT32_MAX)
        return es_fail(err, ES_ERR_LIMIT, "'%s' unpacks to more than its limit", z->name);
    z->left -= size;
    const void *bytes = z->bytes + start;
    void *unpacked = NULL;
    if (method == DEFLATED) {
        ES_TRY(inflate_member(arena, z, z->bytes + start, packed, size, &unpacked, err));
        bytes = unpacked;
    }
    if (crc32_z(0, bytes, size) != u32_at(entry + 16))
        return es_fail(err, ES_ERR_PARSE, "'%s': '%s' has a wrong checksum", z->name, member);
    return es_data_parse_npy(arena, member, bytes, size, out, err);
}

static es_status read_entries(es_arena *arena, zip *z, const uint8_t *at, const uint8_t *end,
                              es_data_array *arrays, size_t count, es_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (end - at < ENTRY_SIZE || memcmp(at, "PK\1\2", 4) != 0)
            return es_fail(err, ES_ERR_PARSE, "'%s': the directory is malformed at member %zu",
                           z->name, i + 1);
        size_t name_size = u16_at(at + 28);
        size_t whole = ENTRY_SIZE + name_size + u16_at(at + 30) + u16_at(at + 32);
        if ((size_t)(end - at) < whole)
            return es_fail(err, ES_ERR_PARSE, "'%s': the directory is cut short", z->name);
        char *member = es_arena_text_n(arena, (const char *)at + ENTRY_SIZE, name_size);
        if (member == NULL)
            return es_arena_full(arena, z->name, err);
        ES_TRY(read_member(arena, z, at, member, &arrays[i], err));
        size_t length = strlen(member);
        if (length > 4 && strcmp(member + length - 4, ".npy") == 0)
            member[length - 4] = '\0';
        arrays[i].name = member;
        at += whole;
    }
    return ES_OK;
}

es_status es_data_parse_npz(es_arena *arena, const char *name, const void *bytes, size_t size,
                            size_t cap_bytes, es_data_array **out_arrays, size_t *out_count,
                            es_error *err)
{
    zip z = {.name = name, .bytes = bytes, .size = size, .left = cap_bytes};
    const uint8_t *end = find_end(&z);
    if (end == NULL)
        return es_fail(err, ES_ERR_PARSE, "'%s' is not NPZ: it has no directory at its end", name);
    size_t count = u16_at(end + 10);
    size_t directory_size = u32_at(end + 12);
    size_t directory = u32_at(end + 16);
    size_t before = (size_t)(end - z.bytes);
    if (count == 0xffff || directory == 0xffffffff)
        return es_fail(err, ES_ERR_UNSUPPORTED, "'%s': zip64 is not supported", name);
    if (count < 1 || count > MEMBERS_MAX || directory > before ||
        directory_size > before - directory)
        return es_fail(err, ES_ERR_PARSE,
                       "'%s': a directory of %zu members must have 1 to %d and lie within the file",
                       name, count, MEMBERS_MAX);
    es_data_array *arrays = ES_TAKE_ARRAY(arena, es_data_array, count);
    if (arrays == NULL)
        return es_arena_full(arena, name, err);
    ES_TRY(read_entries(arena, &z, z.bytes + directory, z.bytes + directory + directory_size,
                        arrays, count, err));
    *out_arrays = arrays;
    *out_count = count;
    return ES_OK;
}
