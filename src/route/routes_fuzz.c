/* The first byte says what the rest is: Estran-Route, Estran-Stages, routes, peers or a cluster.
 * What is accepted must be written and read back the same. */
#include "routes.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAP = 1 << 22 };

static void try_route(es_arena *arena, const char *words)
{
    es_serve_route route;
    es_text first;
    es_text second;
    if (es_serve_route_decode(arena, words, &route, NULL) != ES_OK)
        return;
    es_text_init(&first, CAP);
    es_text_init(&second, CAP);
    es_serve_route_encode(&route, 0, &first);
    /* Encoding may be longer than what was read: then it is refused for its size alone. */
    if (first.size <= ES_SERVE_HEADER_BYTES_MAX) {
        if (es_serve_route_decode(arena, es_text_get(&first), &route, NULL) != ES_OK)
            abort();
        es_serve_route_encode(&route, 0, &second);
        assert(strcmp(es_text_get(&first), es_text_get(&second)) == 0);
    }
    es_text_done(&first);
    es_text_done(&second);
}

static void try_visits(es_arena *arena, const char *words)
{
    es_serve_visit visits[ES_STAGE_COUNT_MAX];
    uint32_t count = 0;
    uint32_t again = 0;
    es_text text;
    if (es_serve_visits_decode(arena, words, visits, &count, NULL) != ES_OK)
        return;
    es_text_init(&text, CAP);
    for (uint32_t i = 0; i < count; i++)
        es_serve_visit_append(&text, &visits[i]);
    if (text.size <= ES_SERVE_HEADER_BYTES_MAX) {
        if (es_serve_visits_decode(arena, es_text_get(&text), visits, &again, NULL) != ES_OK)
            abort();
        assert(again == count);
    }
    es_text_done(&text);
}

static void try_routes(es_arena *arena, const char *bytes, size_t size)
{
    const es_serve_routes *routes = NULL;
    es_text first;
    es_text second;
    if (es_serve_routes_parse(arena, "f", bytes, size, &routes, NULL) != ES_OK)
        return;
    es_text_init(&first, CAP);
    es_text_init(&second, CAP);
    es_serve_routes_write(routes, true, &first);
    if (es_serve_routes_parse(arena, "g", es_text_get(&first), first.size, &routes, NULL) != ES_OK)
        abort();
    es_serve_routes_write(routes, true, &second);
    assert(strcmp(es_text_get(&first), es_text_get(&second)) == 0);
    es_text_done(&first);
    es_text_done(&second);
}

static void try_peers(es_arena *arena, const char *bytes, size_t size)
{
    const es_serve_peer *peers = NULL;
    size_t count = 0;
    size_t again = 0;
    es_text text;
    if (es_serve_peers_parse(arena, "f", bytes, size, &peers, &count, NULL) != ES_OK)
        return;
    es_text_init(&text, CAP);
    es_serve_peers_write(peers, count, true, &text);
    if (es_serve_peers_parse(arena, "g", es_text_get(&text), text.size, &peers, &again, NULL) !=
        ES_OK)
        abort();
    assert(again == count);
    es_text_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const es_cluster *cluster = NULL;
    if (size == 0)
        return 0;
    es_arena *arena = es_arena_new(CAP);
    char *words = es_arena_text_n(arena, (const char *)data + 1, size - 1);
    if (words != NULL) {
        switch (data[0]) {
        case 'r':
            try_route(arena, words);
            break;
        case 's':
            try_visits(arena, words);
            break;
        case 'd':
            try_routes(arena, words, size - 1);
            break;
        case 'p':
            try_peers(arena, words, size - 1);
            break;
        default:
            (void)es_cluster_parse(arena, "f", "/nowhere", words, size - 1, data[0] == 'j', NULL,
                                   &cluster, NULL);
            break;
        }
    }
    es_arena_free(arena);
    return 0;
}
