#include "base/base64.h"

#include <stdint.h>

/* 0..63; -1: none; -2: white space */
static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    if (c == '/')
        return 63;
    return c == '\n' || c == '\r' || c == ' ' || c == '\t' ? -2 : -1;
}

es_status es_base64_decode(es_arena *arena, const char *text, size_t size, void **out_bytes,
                           size_t *out_size, es_error *err)
{
    unsigned char *bytes = es_arena_take(arena, size / 4 * 3 + 3, 1);
    uint32_t bits = 0;
    size_t used = 0;
    size_t digits = 0;
    size_t pads = 0;
    if (bytes == NULL)
        return es_arena_full(arena, "base64", err);
    for (size_t i = 0; i < size; i++) {
        int value = value_of(text[i]);
        if (value == -2)
            continue;
        if (text[i] == '=' && digits % 4 >= 2 && pads < 2) {
            pads++;
            continue;
        }
        if (value < 0 || pads > 0)
            return es_fail(err, ES_ERR_PARSE, "base64: character %zu is none of it", i);
        bits = bits << 6 | (uint32_t)value;
        if (++digits % 4 == 0) {
            bytes[used++] = (unsigned char)(bits >> 16);
            bytes[used++] = (unsigned char)(bits >> 8);
            bytes[used++] = (unsigned char)bits;
        }
    }
    size_t left = digits % 4;
    if (left == 1 || (pads > 0 && left + pads != 4))
        return es_fail(err, ES_ERR_PARSE, "base64: it is cut off");
    if (left == 3) {
        bytes[used++] = (unsigned char)(bits >> 10);
        bytes[used++] = (unsigned char)(bits >> 2);
    } else if (left == 2) {
        bytes[used++] = (unsigned char)(bits >> 4);
    }
    *out_bytes = bytes;
    *out_size = used;
    return ES_OK;
}
