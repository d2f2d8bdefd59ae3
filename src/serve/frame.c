#include "internal.h"

#include <string.h>

static const uint8_t magic[4] = {'e', 's', 't', '1'};

static void put_uint(uint8_t *out, uint64_t value, size_t byte_count)
{
    for (size_t i = 0; i < byte_count; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_uint(const uint8_t *bytes, size_t byte_count)
{
    uint64_t value = 0;
    for (size_t i = 0; i < byte_count; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

void es_frame_header_encode(es_frame_header header, uint8_t out[ES_FRAME_HEADER_SIZE])
{
    memcpy(out, magic, sizeof magic);
    put_uint(out + 4, (uint64_t)header.type, 4);
    put_uint(out + 8, header.size, 4);
}

/* Least and largest body of a type. */
static void size_range(es_frame_type type, size_t payload_max, size_t *least, size_t *most)
{
    *least = 0;
    *most = 0;
    switch (type) {
    case ES_FRAME_HELLO:
        *least = *most = ES_HELLO_SIZE;
        break;
    case ES_FRAME_CONFIG:
        *most = ES_CONFIG_SIZE_MAX;
        break;
    case ES_FRAME_READY:
        *most = ES_READY_SIZE_MAX;
        break;
    case ES_FRAME_FAILED:
        *least = 4;
        *most = ES_FAILED_SIZE_MAX;
        break;
    case ES_FRAME_REQUEST:
    case ES_FRAME_ANSWER:
        *least = ES_REQUEST_HEADER_SIZE;
        *most = ES_REQUEST_HEADER_SIZE + payload_max;
        break;
    case ES_FRAME_STATS:
        *least = *most = ES_STATS_SIZE;
        break;
    case ES_FRAME_STOP:
    case ES_FRAME_TYPE_END:
        break;
    }
}

es_status es_frame_header_decode(const uint8_t bytes[ES_FRAME_HEADER_SIZE], size_t payload_max,
                                 es_frame_header *out, es_error *err)
{
    if (memcmp(bytes, magic, sizeof magic) != 0)
        return es_fail(err, ES_ERR_PARSE, "frame: wrong first bytes %02x%02x%02x%02x", bytes[0],
                       bytes[1], bytes[2], bytes[3]);
    uint64_t type = get_uint(bytes + 4, 4);
    uint64_t size = get_uint(bytes + 8, 4);
    if (type < ES_FRAME_HELLO || type >= ES_FRAME_TYPE_END)
        return es_fail(err, ES_ERR_PARSE, "frame: unknown type %llu", (unsigned long long)type);
    size_t least = 0;
    size_t most = 0;
    size_range((es_frame_type)type, payload_max, &least, &most);
    if (size < least || size > most)
        return es_fail(err, ES_ERR_LIMIT, "frame of type %llu: %llu bytes must be %zu to %zu",
                       (unsigned long long)type, (unsigned long long)size, least, most);
    *out = (es_frame_header){.type = (es_frame_type)type, .size = (uint32_t)size};
    return ES_OK;
}

void es_hello_encode(const es_hello *hello, uint8_t out[ES_HELLO_SIZE])
{
    memset(out, 0, ES_HELLO_SIZE);
    put_uint(out, ES_PROTOCOL_VERSION, 4);
    put_uint(out + 4, (uint64_t)hello->role, 4);
    put_uint(out + 8, hello->from, 4);
    memcpy(out + 16, hello->token, ES_TOKEN_SIZE);
}

es_status es_hello_decode(const uint8_t *bytes, size_t size, es_hello *out, es_error *err)
{
    if (size != ES_HELLO_SIZE)
        return es_fail(err, ES_ERR_PARSE, "hello: %zu bytes must be %d", size, ES_HELLO_SIZE);
    uint64_t version = get_uint(bytes, 4);
    uint64_t role = get_uint(bytes + 4, 4);
    if (version != ES_PROTOCOL_VERSION)
        return es_fail(err, ES_ERR_UNSUPPORTED, "hello: protocol version %llu must be %d",
                       (unsigned long long)version, ES_PROTOCOL_VERSION);
    if (role >= ES_HELLO_COUNT || get_uint(bytes + 12, 4) != 0)
        return es_fail(err, ES_ERR_PARSE, "hello: unknown role %llu", (unsigned long long)role);
    es_hello hello = {.role = (es_hello_role)role, .from = (uint32_t)get_uint(bytes + 8, 4)};
    memcpy(hello.token, bytes + 16, ES_TOKEN_SIZE);
    *out = hello;
    return ES_OK;
}

void es_request_encode(const es_request *request, uint8_t out[ES_REQUEST_HEADER_SIZE])
{
    memset(out, 0, ES_REQUEST_HEADER_SIZE);
    put_uint(out, request->id, 8);
    put_uint(out + 8, (uint64_t)request->when_ns, 8);
    put_uint(out + 16, request->link_bytes, 8);
    put_uint(out + 24, request->route, 4);
    put_uint(out + 28, request->destination, 4);
    put_uint(out + 32, request->payload_bytes, 4);
    put_uint(out + 36, request->carried_bytes, 4);
    out[40] = request->stage;
    out[41] = request->stages_run;
    out[42] = (uint8_t)request->fate;
    put_uint(out + 44, request->turn, 4);
    for (size_t i = 0; i < ES_STAGE_COUNT_MAX; i++) {
        put_uint(out + 64 + 16 * i, request->queue_ns[i], 8);
        put_uint(out + 72 + 16 * i, request->service_ns[i], 8);
    }
}

es_status es_request_decode(const uint8_t *bytes, size_t size, es_request *out, es_error *err)
{
    if (size < ES_REQUEST_HEADER_SIZE)
        return es_fail(err, ES_ERR_PARSE, "request: %zu bytes must be at least %d", size,
                       ES_REQUEST_HEADER_SIZE);
    es_request request = {
        .id = get_uint(bytes, 8),
        .when_ns = (int64_t)get_uint(bytes + 8, 8),
        .link_bytes = get_uint(bytes + 16, 8),
        .route = (uint32_t)get_uint(bytes + 24, 4),
        .destination = (uint32_t)get_uint(bytes + 28, 4),
        .payload_bytes = (uint32_t)get_uint(bytes + 32, 4),
        .carried_bytes = (uint32_t)get_uint(bytes + 36, 4),
        .turn = (uint32_t)get_uint(bytes + 44, 4),
        .stage = bytes[40],
        .stages_run = bytes[41],
    };
    uint64_t tensors = (uint64_t)request.payload_bytes + request.carried_bytes;
    if (size - ES_REQUEST_HEADER_SIZE != tensors)
        return es_fail(err, ES_ERR_PARSE, "request: %zu bytes of tensors, but announced are %llu",
                       size - ES_REQUEST_HEADER_SIZE, (unsigned long long)tensors);
    if (request.stage >= ES_STAGE_COUNT_MAX || request.stages_run > ES_STAGE_COUNT_MAX ||
        bytes[42] >= ES_FATE_COUNT)
        return es_fail(err, ES_ERR_PARSE, "request: stage %u, stages run %u, fate %u out of range",
                       request.stage, request.stages_run, bytes[42]);
    for (size_t i = 43; i < 64; i++) {
        if ((i < 44 || i >= 48) && bytes[i] != 0)
            return es_fail(err, ES_ERR_PARSE, "request: byte %zu must be 0", i);
    }
    request.fate = (es_fate)bytes[42];
    for (size_t i = 0; i < ES_STAGE_COUNT_MAX; i++) {
        request.queue_ns[i] = get_uint(bytes + 64 + 16 * i, 8);
        request.service_ns[i] = get_uint(bytes + 72 + 16 * i, 8);
    }
    *out = request;
    return ES_OK;
}

void es_stats_encode(const es_stats *stats, uint8_t out[ES_STATS_SIZE])
{
    put_uint(out, stats->tag, 8);
    put_uint(out + 8, stats->busy_ns, 8);
    put_uint(out + 16, stats->waiting, 8);
    put_uint(out + 24, stats->energy_uj, 8);
    put_uint(out + 32, stats->energy_sources, 8);
}

es_status es_stats_decode(const uint8_t *bytes, size_t size, es_stats *out, es_error *err)
{
    if (size != ES_STATS_SIZE)
        return es_fail(err, ES_ERR_PARSE, "stats: %zu bytes must be %d", size, ES_STATS_SIZE);
    *out = (es_stats){.tag = get_uint(bytes, 8),
                      .busy_ns = get_uint(bytes + 8, 8),
                      .waiting = get_uint(bytes + 16, 8),
                      .energy_uj = get_uint(bytes + 24, 8),
                      .energy_sources = get_uint(bytes + 32, 8)};
    return ES_OK;
}

size_t es_failed_encode(es_status status, const char *text, uint8_t out[ES_FAILED_SIZE_MAX])
{
    size_t size = strnlen(text, ES_ERROR_SIZE - 1);
    put_uint(out, (uint64_t)status, 4);
    memcpy(out + 4, text, size);
    return 4 + size;
}

es_status es_failed_decode(const uint8_t *bytes, size_t size, es_error *out, es_error *err)
{
    if (size < 4 || size > ES_FAILED_SIZE_MAX)
        return es_fail(err, ES_ERR_PARSE, "failure: %zu bytes must be 4 to %d", size,
                       ES_FAILED_SIZE_MAX);
    uint64_t status = get_uint(bytes, 4);
    if (status == ES_OK || status >= ES_STATUS_COUNT)
        return es_fail(err, ES_ERR_PARSE, "failure: status %llu is none",
                       (unsigned long long)status);
    (void)es_fail(out, (es_status)status, "%.*s", (int)(size - 4), (const char *)bytes + 4);
    return ES_OK;
}

uint64_t es_cursor_uint(es_cursor *cursor, size_t byte_count)
{
    if (cursor->broken || cursor->size - cursor->at < byte_count) {
        cursor->broken = true;
        return 0;
    }
    uint64_t value = get_uint(cursor->bytes + cursor->at, byte_count);
    cursor->at += byte_count;
    return value;
}

double es_cursor_double(es_cursor *cursor)
{
    uint64_t bits = es_cursor_uint(cursor, 8);
    double value = 0;
    memcpy(&value, &bits, sizeof value);
    return value;
}

const char *es_cursor_text(es_cursor *cursor, es_arena *arena, size_t size_max)
{
    size_t size = (size_t)es_cursor_uint(cursor, 4);
    const uint8_t *words = cursor->bytes + cursor->at;
    if (cursor->broken || size > size_max || size > cursor->size - cursor->at ||
        (size > 0 && memchr(words, 0, size) != NULL)) {
        cursor->broken = true;
        return NULL;
    }
    cursor->at += size;
    const char *text = es_arena_text_n(arena, size > 0 ? (const char *)words : "", size);
    cursor->broken = text == NULL;
    return text;
}

void es_put_uint(es_text *out, uint64_t value, size_t byte_count)
{
    uint8_t bytes[8];
    put_uint(bytes, value, byte_count);
    es_text_append_n(out, (const char *)bytes, byte_count);
}

void es_put_double(es_text *out, double value)
{
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    es_put_uint(out, bits, 8);
}

void es_put_text(es_text *out, const char *text)
{
    size_t size = strlen(text);
    es_put_uint(out, size, 4);
    es_text_append_n(out, text, size);
}
