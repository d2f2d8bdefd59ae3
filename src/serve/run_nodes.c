/* The processes of a run: `estran node` on loopback, one per node of the scenario. */
#include "base/log.h"
#include "run_internal.h"

#include <math.h>
#include <string.h>

enum { BODY_MB_MAX = (ES_RUN_PAYLOAD_MAX >> 20) + 1, CALLS_MAX = 65535 };

/* ---- starting ---- */

typedef struct words {
    const char *items[ES_CHILD_WORDS_MAX];
    size_t count;
} words;

static void put(words *all, const char *option, const char *value)
{
    all->items[all->count++] = option;
    if (value != NULL)
        all->items[all->count++] = value;
}

static es_status start_node(es_run *run, uint32_t v, es_error *err)
{
    es_run_node *node = &run->nodes[v];
    const es_kind *kind = &run->scenario->kinds[run->scenario->node_kinds[v]];
    uint32_t queue = run->opts.queue_capacity < 1000000 ? run->opts.queue_capacity : 1000000;
    words all = {.count = 0};
    char slowdown[32], processors[16], queue_max[16], body[16], connections[16];
    const char *folder = es_run_folder_of(run, v);
    const char *tokens = es_run_folder_tokens(run);
    if (folder == NULL || tokens == NULL)
        return es_arena_full(run->arena, "paths of models", err);
    (void)snprintf(slowdown, sizeof slowdown, "%.17g", fmax(1, kind->slowdown));
    (void)snprintf(processors, sizeof processors, "%u", node->processors);
    (void)snprintf(queue_max, sizeof queue_max, "%u", queue);
    (void)snprintf(body, sizeof body, "%d", BODY_MB_MAX);
    (void)snprintf(connections, sizeof connections, "%d", CALLS_MAX);
    put(&all, "node", NULL);
    put(&all, "--quiet", NULL);
    put(&all, "--name", node->name);
    put(&all, "--repository", folder);
    put(&all, "--listen", "127.0.0.1:0");
    put(&all, "--tokens", tokens);
    put(&all, "--emulate", NULL);
    put(&all, "--slowdown", slowdown);
    put(&all, "--processors", processors);
    put(&all, "--queue-max", queue_max);
    put(&all, "--batch-max", "0");
    put(&all, "--body-max", body);
    put(&all, "--connections-max", connections);
    put(&all, "--grace", "0");
    if (run->opts.ort_library != NULL)
        put(&all, "--ort-library", run->opts.ort_library);
    ES_TRY(es_child_start(run->opts.program, all.items, all.count, &node->child, err));
    if (run->opts.started != NULL)
        run->opts.started(run->opts.context, (es_node_id){v}, node->child.pid);
    return ES_OK;
}

static es_status make_peer(es_run *run, uint32_t v, es_error *err)
{
    es_run_node *node = &run->nodes[v];
    es_http_peer_opts opts = es_http_peer_opts_default();
    (void)snprintf(node->url, sizeof node->url, "http://127.0.0.1:%u", node->child.port);
    opts.url = node->url;
    opts.token = run->own_token;
    opts.connections_max = CALLS_MAX;
    opts.waiting_max = CALLS_MAX;
    opts.body_bytes_max = (size_t)BODY_MB_MAX << 20;
    return es_http_peer_new(run->caller, opts, &node->http, err);
}

static es_status start_processes(es_run *run, es_error *err)
{
    int64_t deadline_ns =
        es_clock_now_ns(es_clock_system()) + es_ns_from_s(run->opts.start_timeout_s);
    for (uint32_t v = 0; v < run->node_count; v++)
        ES_TRY(es_within(err, start_node(run, v, err), "node '%s'", run->nodes[v].name));
    for (uint32_t v = 0; v < run->node_count; v++)
        ES_TRY(es_within(
            err, es_child_await_ready(&run->nodes[v].child, deadline_ns, run->opts.stop, err),
            "node '%s'", run->nodes[v].name));
    es_http_caller_opts opts = es_http_caller_opts_default();
    opts.by_hand = true;
    opts.calls_max = CALLS_MAX;
    opts.connections_max = CALLS_MAX;
    ES_TRY(es_http_caller_new(opts, &run->caller, err));
    for (uint32_t v = 0; v < run->node_count; v++)
        ES_TRY(es_within(err, make_peer(run, v, err), "node '%s'", run->nodes[v].name));
    return ES_OK;
}

/* ---- peers ---- */

static es_status make_cluster(const es_run *run, es_cluster *cluster, es_error *err)
{
    es_cluster_process *nodes = ES_TAKE_ARRAY(run->arena, es_cluster_process, run->node_count);
    if (nodes == NULL)
        return es_arena_full(run->arena, "nodes of the run", err);
    for (uint32_t v = 0; v < run->node_count; v++)
        nodes[v] = (es_cluster_process){
            .name = run->nodes[v].name, .url = run->nodes[v].url, .token = run->peer_token};
    *cluster = (es_cluster){.file = "of the run", .node_count = run->node_count, .nodes = nodes};
    return ES_OK;
}

static es_status tell_peers(es_run *run, const es_cluster *cluster, uint32_t v, es_error *err)
{
    const es_serve_peer *peers = NULL;
    size_t count = 0;
    es_serve_make_opts make = es_serve_make_opts_default();
    es_http_peer_opts to = es_http_peer_opts_default();
    es_http_reply reply;
    es_text text;
    make.emulate = true;
    make.one_way = true; /* the way back is the origin's, which is here */
    ES_TRY(es_serve_peers_make(run->arena, run->scenario, run->plan, cluster, (es_node_id){v}, make,
                               &peers, &count, err));
    if (count == 0)
        return ES_OK;
    to.url = run->nodes[v].url;
    to.token = run->own_token;
    ES_CLEANUP(es_http_client_free_p) es_http_client *client = NULL;
    ES_TRY(es_http_client_new(to, &client, err));
    es_text_init(&text, ES_SERVE_DOCUMENT_BYTES_MAX);
    es_serve_peers_write(peers, count, true, &text);
    es_status status = es_text_status(&text, err);
    const es_http_call call = {.method = ES_HTTP_PUT,
                               .path = "/estran/v1/peers",
                               .body = es_text_get(&text),
                               .body_bytes = text.size};
    if (status == ES_OK)
        status = es_http_client_call(client, run->scratch, &call, run->opts.stop, &reply, err);
    es_text_done(&text);
    ES_TRY(status);
    if (reply.status != 200)
        return es_fail(err, ES_ERR_UNAVAILABLE, "it does not take its peers: %d %.300s",
                       reply.status, reply.body_bytes > 0 ? (const char *)reply.body : "");
    return ES_OK;
}

es_status es_run_nodes_start(es_run *run, es_error *err)
{
    es_cluster cluster;
    ES_TRY(start_processes(run, err));
    ES_TRY(es_run_models_check(run, err));
    ES_TRY(make_cluster(run, &cluster, err));
    for (uint32_t v = 0; v < run->node_count; v++)
        ES_TRY(es_within(err, tell_peers(run, &cluster, v, err), "node '%s'", run->nodes[v].name));
    return ES_OK;
}

/* ---- life ---- */

void es_run_node_look(es_run *run, uint32_t v, int wait_ms)
{
    es_run_node *node = &run->nodes[v];
    char text[64];
    if (node->dead || !es_child_reap(&node->child, wait_ms))
        return;
    node->dead = true;
    node->died_ns = es_clock_now_ns(es_clock_system());
    es_log(ES_LOG_WARNING, "serve", "node '%s' died: its process %s", node->name,
           es_child_end_text(&node->child, text, sizeof text));
}
