/* Bodies of requests and answers: the first byte says which, the next two the size of the JSON
 * (65535: none said). What is accepted must be written and read back with the same tensors. */
#include "oip.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(es_arena *arena, es_oip_kind kind, es_oip_message *message)
{
    es_text text;
    int64_t json_size = 0;
    es_oip_message back;
    es_text_init(&text, 1 << 22);
    if (es_oip_encode(kind, message, &text, &json_size, NULL) == ES_OK &&
        es_oip_decode(arena, kind, text.bytes, text.size, json_size, &back, NULL) == ES_OK) {
        assert(back.tensor_count == message->tensor_count);
        for (size_t i = 0; i < back.tensor_count; i++) {
            assert(back.tensors[i].size_bytes == message->tensors[i].size_bytes);
            assert(!back.tensors[i].binary || back.tensors[i].size_bytes == 0 ||
                   memcmp(back.tensors[i].data, message->tensors[i].data,
                          back.tensors[i].size_bytes) == 0);
        }
    }
    es_text_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const es_port port = {.name = "x", .dtype = ES_DTYPE_F32, .rank = 2, .dims = {-1, 3}};
    es_oip_message message;
    if (size < 3)
        return 0;
    es_oip_kind kind = data[0] % 2 == 0 ? ES_OIP_REQUEST : ES_OIP_ANSWER;
    int64_t json_size = data[1] | data[2] << 8;
    es_arena *arena = es_arena_new(1 << 24);
    unsigned char *body = malloc(size - 3 > 0 ? size - 3 : 1);
    if (arena != NULL && body != NULL) {
        memcpy(body, data + 3, size - 3);
        if (json_size == 65535)
            json_size = ES_OIP_DOUBT;
        if (es_oip_decode(arena, kind, body, size - 3, json_size, &message, NULL) == ES_OK)
            check_again(arena, kind, &message);
        (void)es_oip_raw_decode(arena, &port, body, size - 3, &message, NULL);
    }
    free(body);
    es_arena_free(arena);
    return 0;
}
