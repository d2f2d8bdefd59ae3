/* The cluster over HTTP: many processes asked at once, on this thread. */
#include "base/document.h"
#include "base/percent.h"
#include "control/controller.h"
#include "http/http.h"

#include <math.h>
#include <stdlib.h>

static const char *const verb_names[ES_FLEET_VERB_COUNT] = {"observe", "load", "unload", "peers",
                                                            "routes"};
enum { ARENA_BYTES = 256 << 20, PATH_BYTES_MAX = 4096, CALLS_MAX = 65535 };
#define LOOK_NS (100 * ES_NS_PER_MS) /* whether to stop */

/* One process, and what it is asked just now. */
typedef struct process {
    es_http_fleet *fleet;
    const es_cluster_process *place;
    bool gateway;
    es_http_peer *peer;
    es_arena *arena; /* of what was seen last */
    es_fleet_seen seen;
    es_fleet_call *calls; /* of the batch, from the next on */
    size_t *order;        /* indices of its calls */
    size_t order_count, order_at;
    es_http_call_id id;
    bool listing; /* a node is looked at in two calls: observe, then the models */
} process;

struct es_http_fleet {
    const es_cluster *cluster;
    es_http_fleet_opts opts;
    es_http_caller *caller;
    process *processes;
    size_t process_count;
    size_t under_way;
};

es_http_fleet_opts es_http_fleet_opts_default(void)
{
    return (es_http_fleet_opts){.timeout_s = 2, .load_timeout_s = 120};
}

/* ---- what is said ---- */

/* The body lives as long as the arena. */
static es_status take_look(process *p, es_fleet_call *call, const es_http_reply *reply)
{
    char *copy = es_arena_text_n(p->arena, reply->body, reply->body_bytes);
    if (copy == NULL)
        return es_arena_full(p->arena, "answer", &call->err);
    ES_TRY(p->listing ? es_fleet_read_models(p->arena, p->place->name, copy, reply->body_bytes,
                                             &p->seen, &call->err)
                      : es_fleet_read_observe(p->arena, p->place->name, copy, reply->body_bytes,
                                              p->gateway, &p->seen, &call->err));
    call->seen = &p->seen;
    return ES_OK;
}

/* {"error": text}, whatever else it is. */
static es_status take_refusal(process *p, es_fleet_call *call, const es_http_reply *reply)
{
    const es_doc *root = NULL;
    const es_doc *generation = NULL;
    const char *text = "";
    es_error ignored = {0};
    if (reply->body_bytes > 0 &&
        es_doc_parse_json(p->arena, p->place->name, reply->body, reply->body_bytes, &root,
                          &ignored) == ES_OK &&
        root->type == ES_DOC_MAP) {
        if (es_doc_get_text(root, "error", &text, &ignored) != ES_OK)
            text = "";
        generation = es_doc_find(root, "generation");
    }
    if (call->verb == ES_FLEET_ROUTES && reply->status == 409 && generation != NULL &&
        generation->type == ES_DOC_INT && generation->as.integer > 0)
        call->newer = generation->as.integer;
    bool model = call->verb == ES_FLEET_LOAD || call->verb == ES_FLEET_UNLOAD;
    es_status status = reply->status >= 500 ? ES_ERR_IO : ES_ERR_ARG;
    return es_fail(&call->err, status, "'%s' answers %d to %s%s%s: %s", p->place->name,
                   reply->status, verb_names[call->verb], model ? " " : "", model ? call->text : "",
                   text);
}

/* ---- asking ---- */

static void on_called(void *context, const es_http_result *result);

static es_status model_path(const es_fleet_call *call, char *out, size_t room, es_error *err)
{
    es_text text;
    es_text_init(&text, room - 1);
    es_text_append(&text, "/v2/repository/models/");
    es_percent_encode(&text, call->text);
    es_text_append(&text, call->verb == ES_FLEET_LOAD ? "/load" : "/unload");
    es_status status = es_text_status(&text, err);
    if (status == ES_OK)
        (void)snprintf(out, room, "%s", es_text_get(&text));
    es_text_done(&text);
    return status;
}

static es_status make_call(process *p, es_fleet_call *call, char *path, es_http_call *out)
{
    static const es_http_header json[] = {{"Content-Type", "application/json"}};
    static const char ready[] = "{\"ready\":true}";
    static const char empty[] = "{}";
    *out = (es_http_call){.method = ES_HTTP_GET,
                          .path = "/estran/v1/observe",
                          .timeout_s = p->fleet->opts.timeout_s,
                          .repeatable = true, /* all may be said twice */
                          .called = on_called,
                          .context = p};
    if (call->verb == ES_FLEET_OBSERVE && !p->listing)
        return ES_OK;
    out->headers = json;
    out->header_count = 1;
    out->method = ES_HTTP_POST;
    out->body = call->text;
    switch (call->verb) {
    case ES_FLEET_OBSERVE:
        out->path = "/v2/repository/index";
        out->body = ready;
        break;
    case ES_FLEET_LOAD:
    case ES_FLEET_UNLOAD:
        ES_TRY(model_path(call, path, PATH_BYTES_MAX, &call->err));
        out->path = path;
        out->body = empty;
        out->timeout_s = p->fleet->opts.load_timeout_s;
        break;
    case ES_FLEET_PEERS:
        out->method = ES_HTTP_PUT;
        out->path = "/estran/v1/peers";
        break;
    case ES_FLEET_ROUTES:
        out->method = ES_HTTP_PUT;
        out->path = "/estran/v1/routes";
        break;
    case ES_FLEET_VERB_COUNT:
        return es_fail(&call->err, ES_ERR_INTERNAL, "fleet: no such call");
    }
    out->body_bytes = strlen(out->body);
    return ES_OK;
}

/* Sends the process's next call; those that cannot be sent have failed. */
static void ask(process *p)
{
    for (; p->order_at < p->order_count; p->order_at++) {
        es_fleet_call *call = &p->calls[p->order[p->order_at]];
        char path[PATH_BYTES_MAX];
        es_http_call http;
        if (!p->listing) {
            es_arena_reset(p->arena);
            p->seen = (es_fleet_seen){.uptime_s = (double)NAN};
        }
        call->status = make_call(p, call, path, &http);
        if (call->status == ES_OK)
            call->status = es_http_call_send(p->peer, &http, &p->id, &call->err);
        if (call->status == ES_OK)
            return;
        p->listing = false;
    }
    p->fleet->under_way--;
}

/* Any server of the protocol may be a node: it lists, loads and unloads models, but does not know
 * our paths. Then a restart is seen by its models only, and it can forward to nobody. */
static bool is_plain(const process *p, const es_fleet_call *call, const es_http_reply *reply)
{
    bool ours = (call->verb == ES_FLEET_OBSERVE && !p->listing) || call->verb == ES_FLEET_PEERS;
    return !p->gateway && ours && (reply->status == 404 || reply->status == 405);
}

static void on_called(void *context, const es_http_result *result)
{
    process *p = context;
    es_fleet_call *call = &p->calls[p->order[p->order_at]];
    const es_http_reply *reply = &result->reply;
    bool look = call->verb == ES_FLEET_OBSERVE;
    if (result->end != ES_HTTP_END_REPLY)
        call->status = es_fail(&call->err, ES_ERR_UNAVAILABLE, "%s", es_error_text(result->why));
    else if (is_plain(p, call, reply))
        call->status = ES_OK;
    else if (reply->status >= 200 && reply->status < 300)
        call->status = look ? take_look(p, call, reply) : ES_OK;
    else
        call->status = take_refusal(p, call, reply);
    bool models_next = call->status == ES_OK && look && !p->gateway && !p->listing;
    p->listing = models_next;
    p->order_at += !models_next;
    ask(p);
}

static process *process_of(es_http_fleet *fleet, const es_fleet_call *call)
{
    return &fleet->processes[call->process + (call->gateway ? fleet->cluster->node_count : 0)];
}

/* What is under way ends, and nothing more is sent. */
static void give_up(es_http_fleet *fleet)
{
    for (size_t v = 0; v < fleet->process_count; v++) {
        process *p = &fleet->processes[v];
        if (p->order_at < p->order_count)
            es_http_call_cancel(fleet->caller, p->id);
        for (size_t i = p->order_at + 1; i < p->order_count; i++)
            p->calls[p->order[i]].status =
                es_fail(&p->calls[p->order[i]].err, ES_ERR_CANCELLED, "stopped");
        p->order_count = p->order_at < p->order_count ? p->order_at + 1 : p->order_count;
    }
}

/* Each process's calls in order, the processes side by side. */
static void do_calls(void *context, es_fleet_call *calls, size_t count)
{
    es_http_fleet *fleet = context;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(ARENA_BYTES);
    size_t *orders = arena != NULL ? ES_TAKE_ARRAY(arena, size_t, count) : NULL;
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        calls[i].status = ES_OK;
        calls[i].newer = 0;
        if (orders == NULL)
            calls[i].status = es_fail(&calls[i].err, ES_ERR_NOMEM, "fleet: no memory");
    }
    if (orders == NULL)
        return;
    for (size_t v = 0; v < fleet->process_count; v++)
        fleet->processes[v].order_count = 0;
    for (size_t i = 0; i < count; i++)
        process_of(fleet, &calls[i])->order_count++;
    for (size_t v = 0; v < fleet->process_count; v++) {
        process *p = &fleet->processes[v];
        p->calls = calls;
        p->order = &orders[used];
        p->order_at = 0;
        used += p->order_count;
        p->order_count = 0;
    }
    for (size_t i = 0; i < count; i++) {
        process *p = process_of(fleet, &calls[i]);
        p->order[p->order_count++] = i;
    }
    for (size_t v = 0; v < fleet->process_count; v++) {
        if (fleet->processes[v].order_count == 0)
            continue;
        fleet->under_way++;
        ask(&fleet->processes[v]);
    }
    while (fleet->under_way > 0) {
        es_http_caller_run(fleet->caller, es_clock_now_ns(es_clock_system()) + LOOK_NS);
        if (fleet->opts.stop != NULL && *fleet->opts.stop != 0)
            give_up(fleet);
    }
}

/* ---- life ---- */

static es_status init_process(es_http_fleet *fleet, process *p, es_error *err)
{
    es_http_peer_opts opts = es_http_peer_opts_default();
    opts.url = p->place->url;
    opts.token = p->place->token;
    opts.ca_file = p->place->ca_file;
    opts.certificate_file = fleet->opts.certificate_file;
    opts.key_file = fleet->opts.key_file;
    opts.connect_timeout_s = fleet->opts.timeout_s;
    opts.timeout_s = fleet->opts.timeout_s;
    opts.connections_max = 1;
    p->fleet = fleet;
    p->arena = es_arena_new(ARENA_BYTES);
    if (p->arena == NULL)
        return es_fail(err, ES_ERR_NOMEM, "fleet: no memory for an arena");
    return es_within(err, es_http_peer_new(fleet->caller, opts, &p->peer, err), "%s '%s'",
                     p->gateway ? "gateway" : "node", p->place->name);
}

static es_status init_all(es_http_fleet *fleet, es_error *err)
{
    const es_cluster *cluster = fleet->cluster;
    es_http_caller_opts opts = es_http_caller_opts_default();
    size_t count = cluster->node_count + cluster->gateway_count;
    opts.by_hand = true;
    opts.calls_max = CALLS_MAX;
    opts.connections_max = count < CALLS_MAX ? (uint32_t)count + 1 : CALLS_MAX;
    ES_TRY(es_http_caller_new(opts, &fleet->caller, err));
    fleet->processes = calloc(count + 1, sizeof *fleet->processes);
    if (fleet->processes == NULL)
        return es_fail(err, ES_ERR_NOMEM, "fleet: no memory");
    fleet->process_count = count;
    for (size_t i = 0; i < count; i++) {
        process *p = &fleet->processes[i];
        p->gateway = i >= cluster->node_count;
        p->place = p->gateway ? &cluster->gateways[i - cluster->node_count] : &cluster->nodes[i];
        ES_TRY(init_process(fleet, p, err));
    }
    return ES_OK;
}

es_status es_http_fleet_new(const es_cluster *cluster, es_http_fleet_opts opts,
                            es_http_fleet **out_fleet, es_error *err)
{
    es_http_fleet *fleet = calloc(1, sizeof *fleet);
    if (fleet == NULL)
        return es_fail(err, ES_ERR_NOMEM, "fleet: no memory");
    fleet->cluster = cluster;
    fleet->opts = opts;
    es_status status = init_all(fleet, err);
    if (status != ES_OK) {
        es_http_fleet_free(fleet);
        return status;
    }
    *out_fleet = fleet;
    return ES_OK;
}

void es_http_fleet_free(es_http_fleet *fleet)
{
    if (fleet == NULL)
        return;
    es_http_caller_free(fleet->caller);
    for (size_t i = 0; i < fleet->process_count; i++) {
        es_http_peer_unref(fleet->processes[i].peer);
        es_arena_free(fleet->processes[i].arena);
    }
    free(fleet->processes);
    free(fleet);
}

void es_http_fleet_free_p(es_http_fleet **fleet)
{
    es_http_fleet_free(*fleet);
    *fleet = NULL;
}

es_fleet es_http_fleet_interface(es_http_fleet *fleet)
{
    return (es_fleet){.context = fleet, .call = do_calls};
}
