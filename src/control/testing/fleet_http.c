#include "fleet_http.h"

#include "base/document.h"
#include "http/http.h"

#include <pthread.h>
#include <stdlib.h>

enum { PROCESSES = FLEET_NODES + FLEET_GATEWAYS, PARKED_MAX = 64 };

typedef struct place {
    fleet_http *http;
    uint32_t process;
    es_http_server *server;
    uint16_t port;
    fleet_manner manner;
    es_http_request *parked[PARKED_MAX]; /* by a silent one */
    size_t parked_count;
} place;

struct fleet_http {
    fleet *own;
    es_fleet interface;
    pthread_mutex_t lock; /* guards the fleet and the places */
    place places[PROCESSES];
    uint32_t count;
    char *token;
};

/* ---- answers ---- */

static void send_text(es_http_request *request, int status, es_text *text)
{
    es_http_answer_send(request, &(es_http_answer){.status = status,
                                                   .content_type = "application/json",
                                                   .body = es_text_get(text),
                                                   .body_bytes = text->size});
    es_text_done(text);
}

/* True when a bad manner has answered, or never will. */
static bool misbehave(place *own, es_http_request *request)
{
    es_text text;
    es_text_init(&text, 1 << 10);
    switch (own->manner) {
    case FLEET_GOOD:
        return false;
    case FLEET_SILENT:
        assert_true(own->parked_count < PARKED_MAX);
        own->parked[own->parked_count++] = request;
        return true;
    case FLEET_GARBAGE:
        es_text_append(&text, "{\"epoch\": 5, ");
        break;
    case FLEET_WRONG:
        es_text_append(&text, "{\"epoch\": \"yesterday\"}");
        break;
    case FLEET_TEAPOT:
        es_text_append(&text, "{\"error\": \"I am a teapot\"}");
        break;
    case FLEET_PLAIN:
        if (strncmp(es_http_request_path(request), "/v2/", 4) == 0)
            return false;
        break;
    }
    int status = own->manner == FLEET_TEAPOT ? 418 : own->manner == FLEET_PLAIN ? 404 : 200;
    send_text(request, status, &text);
    return true;
}

static void do_one(place *own, es_fleet_verb verb, const char *text, es_fleet_call *out)
{
    bool gateway = own->process >= FLEET_NODES;
    *out = (es_fleet_call){.verb = verb,
                           .gateway = gateway,
                           .process = own->process - (gateway ? FLEET_NODES : 0),
                           .text = text};
    own->http->interface.call(own->http->interface.context, out, 1);
}

static void put_classes(es_json *json, const es_fleet_seen *seen)
{
    es_json_key(json, "classes");
    es_json_list_begin(json);
    for (size_t i = 0; i < seen->class_count; i++) {
        es_json_map_begin(json);
        es_json_put_text(json, "task", seen->classes[i].task);
        es_json_put_text(json, "entry", seen->classes[i].entry);
        es_json_put_number(json, "arrived", seen->classes[i].arrived);
        es_json_put_number(json, "answered", seen->classes[i].answered);
        es_json_put_number(json, "another key", 1);
        es_json_map_end(json);
    }
    es_json_list_end(json);
}

static void observe(void *context, es_http_request *request)
{
    place *own = context;
    es_fleet_call call;
    es_json json;
    es_text text;
    (void)pthread_mutex_lock(&own->http->lock);
    if (!misbehave(own, request)) {
        do_one(own, ES_FLEET_OBSERVE, NULL, &call);
        es_text_init(&text, 1 << 20);
        es_json_init(&json, &text, true);
        es_json_map_begin(&json);
        es_json_put_int(&json, own->process < FLEET_NODES ? "epoch" : "epoch_s",
                        strtol(strchr(call.seen->epoch, ' '), NULL, 10));
        if (own->process >= FLEET_NODES) {
            es_json_put_number(&json, "up_s", call.seen->uptime_s);
            es_json_put_int(&json, "generation", call.seen->generation);
            es_json_key(&json, "draining");
            es_json_list_begin(&json);
            es_json_map_begin(&json);
            es_json_put_int(&json, "under_way", !call.seen->drained);
            es_json_map_end(&json);
            es_json_list_end(&json);
            put_classes(&json, call.seen);
        }
        es_json_map_end(&json);
        send_text(request, 200, &text);
    }
    (void)pthread_mutex_unlock(&own->http->lock);
}

static void list_models(void *context, es_http_request *request)
{
    place *own = context;
    es_fleet_call call;
    es_json json;
    es_text text;
    es_text_init(&text, 1 << 20);
    es_json_init(&json, &text, true);
    (void)pthread_mutex_lock(&own->http->lock);
    do_one(own, ES_FLEET_OBSERVE, NULL, &call);
    es_json_list_begin(&json);
    for (size_t i = 0; i < call.seen->model_count; i++) {
        es_json_map_begin(&json);
        es_json_put_text(&json, "name", call.seen->models[i]);
        es_json_put_text(&json, "state", "READY");
        es_json_map_end(&json);
    }
    es_json_map_begin(&json);
    es_json_put_text(&json, "name", "tiny");
    es_json_put_text(&json, "state", "UNAVAILABLE"); /* does not count */
    es_json_map_end(&json);
    es_json_list_end(&json);
    send_text(request, 200, &text);
    (void)pthread_mutex_unlock(&own->http->lock);
}

static void change(place *own, es_http_request *request, es_fleet_verb verb, const char *word)
{
    es_fleet_call call;
    es_text text;
    es_text_init(&text, 1 << 16);
    (void)pthread_mutex_lock(&own->http->lock);
    if (!misbehave(own, request)) {
        do_one(own, verb, word, &call);
        if (call.newer > 0)
            es_text_format(&text, "{\"error\":\"older\",\"generation\":%lld}",
                           (long long)call.newer);
        else if (call.status != ES_OK)
            es_text_format(&text, "{\"error\":\"no memory\"}");
        else
            es_text_append(&text, "{}");
        send_text(request, call.newer > 0 ? 409 : call.status != ES_OK ? 500 : 200, &text);
    }
    (void)pthread_mutex_unlock(&own->http->lock);
}

static void load(void *context, es_http_request *request)
{
    change(context, request, ES_FLEET_LOAD, es_http_request_param(request, "model"));
}

static void unload(void *context, es_http_request *request)
{
    change(context, request, ES_FLEET_UNLOAD, es_http_request_param(request, "model"));
}

static void take_document(void *context, es_http_request *request)
{
    place *own = context;
    size_t size = 0;
    const char *body = es_http_request_body(request, &size);
    char *copy = malloc(size + 1);
    assert_non_null(copy);
    memcpy(copy, body, size);
    copy[size] = '\0';
    change(own, request, own->process < FLEET_NODES ? ES_FLEET_PEERS : ES_FLEET_ROUTES, copy);
    free(copy);
}

/* ---- life ---- */

void fleet_http_start(fleet_http *http, uint32_t process)
{
    place *own = &http->places[process];
    es_error err = {0};
    es_http_route routes[] = {
        {.method = ES_HTTP_GET, .path = "/estran/v1/observe", .handle = observe},
        {.method = ES_HTTP_POST, .path = "/v2/repository/index", .handle = list_models},
        {.method = ES_HTTP_POST, .path = "/v2/repository/models/{model}/load", .handle = load},
        {.method = ES_HTTP_POST, .path = "/v2/repository/models/{model}/unload", .handle = unload},
        {.method = ES_HTTP_PUT, .path = "/estran/v1/peers", .handle = take_document},
        {.method = ES_HTTP_PUT, .path = "/estran/v1/routes", .handle = take_document},
    };
    es_http_token token = {http->token, 1};
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        routes[i].context = own;
        routes[i].roles = 1;
    }
    es_http_server_opts opts = es_http_server_opts_default();
    opts.port = own->port;
    opts.routes = routes;
    opts.route_count = sizeof routes / sizeof routes[0];
    opts.tokens = &token;
    opts.token_count = http->token != NULL ? 1 : 0;
    assert_ok_err(es_http_server_init(opts, &own->server, &err), err);
    own->port = es_http_server_port(own->server);
    assert_ok_err(es_http_server_start(own->server, &err), err);
}

void fleet_http_stop(fleet_http *http, uint32_t process)
{
    place *own = &http->places[process];
    es_http_server_stop(own->server, 0);
    for (size_t i = 0; i < own->parked_count; i++)
        es_http_answer_error(own->parked[i], 503, "too late");
    own->parked_count = 0;
    es_http_server_done(own->server);
    own->server = NULL;
}

fleet_http *fleet_http_new(fleet *own, es_world *world, const char *token)
{
    fleet_http *http = calloc(1, sizeof *http);
    assert_non_null(http);
    http->own = own;
    http->interface = fleet_interface(own, world);
    http->count = FLEET_NODES + own->gateway_count;
    http->token = token != NULL ? strdup(token) : NULL;
    (void)pthread_mutex_init(&http->lock, NULL);
    for (uint32_t i = 0; i < http->count; i++) {
        http->places[i] = (place){.http = http, .process = i};
        fleet_http_start(http, i);
    }
    return http;
}

void fleet_http_free(fleet_http *http)
{
    for (uint32_t i = 0; i < http->count; i++)
        if (http->places[i].server != NULL)
            fleet_http_stop(http, i);
    (void)pthread_mutex_destroy(&http->lock);
    free(http->token);
    free(http);
}

void fleet_http_manner(fleet_http *http, uint32_t process, fleet_manner manner)
{
    (void)pthread_mutex_lock(&http->lock);
    http->places[process].manner = manner;
    (void)pthread_mutex_unlock(&http->lock);
}

/* ---- documents ---- */

const es_cluster *fleet_http_cluster(const fleet_http *http, es_arena *arena)
{
    const es_cluster *plain = fleet_cluster(http->own, arena);
    es_cluster *cluster = ES_TAKE_ONE(arena, es_cluster);
    es_cluster_process *list = ES_TAKE_ARRAY(arena, es_cluster_process, http->count);
    assert_true(cluster != NULL && list != NULL);
    *cluster = *plain;
    for (uint32_t i = 0; i < http->count; i++) {
        list[i] = i < FLEET_NODES ? plain->nodes[i] : plain->gateways[i - FLEET_NODES];
        list[i].url = es_arena_format(arena, "http://127.0.0.1:%u", http->places[i].port);
        list[i].token = http->token;
    }
    cluster->nodes = list;
    cluster->gateways = list + FLEET_NODES;
    return cluster;
}

void fleet_http_write_cluster(const fleet_http *http, const char *path, const char *token_file)
{
    es_arena *arena = es_arena_new(1 << 20);
    const es_cluster *cluster = fleet_http_cluster(http, arena);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fprintf(file, "format: estran-cluster\nversion: 1\n");
    for (uint32_t i = 0; i < http->count; i++) {
        if (i == 0 || i == FLEET_NODES)
            (void)fprintf(file, i == 0 ? "nodes:\n" : "gateways:\n");
        const es_cluster_process *one =
            i < FLEET_NODES ? &cluster->nodes[i] : &cluster->gateways[i - FLEET_NODES];
        (void)fprintf(file, "  - {name: %s, url: \"%s\"", one->name, one->url);
        (void)fprintf(file, token_file != NULL ? ", token_file: %s}\n" : "}\n", token_file);
    }
    assert_int_equal(fclose(file), 0);
    es_arena_free(arena);
}
