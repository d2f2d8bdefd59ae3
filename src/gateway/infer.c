/* A request comes in: what it asks for, which class it is of, which option it takes. */
#include "internal.h"
#include "route/route.h"

#include <math.h>

enum { KEPT_REQUESTS_MAX = 1024, KEPT_ARENA_BYTES_MAX = 1 << 16 };
static const size_t REQUEST_BYTES_MAX = (size_t)16 << 20; /* parameters and headers */

/* ---- objects, used again and again ---- */

static void request_free(es_gateway_request *request)
{
    es_arena_free(request->arena);
    free(request);
}

static es_gateway_request *request_take(es_gateway_loop *loop)
{
    es_gateway_request *request = loop->free_requests;
    if (request != NULL) {
        loop->free_requests = request->next_free;
        loop->free_count--;
        return request;
    }
    request = calloc(1, sizeof *request);
    if (request == NULL)
        return NULL;
    request->loop = loop;
    request->arena = es_arena_new(REQUEST_BYTES_MAX);
    if (request->arena == NULL) {
        request_free(request);
        return NULL;
    }
    return request;
}

static void request_give(es_gateway_request *request)
{
    es_gateway_loop *loop = request->loop;
    bool large = es_arena_used_bytes(request->arena) > KEPT_ARENA_BYTES_MAX;
    if (large || loop->free_count >= KEPT_REQUESTS_MAX) {
        request_free(request);
        return;
    }
    es_arena *arena = request->arena;
    es_arena_reset(arena);
    *request = (es_gateway_request){.loop = loop, .arena = arena, .next_free = loop->free_requests};
    loop->free_requests = request;
    loop->free_count++;
}

void es_gateway_requests_free(es_gateway_loop *loop)
{
    while (loop->free_requests != NULL) {
        es_gateway_request *request = loop->free_requests;
        loop->free_requests = request->next_free;
        request_free(request);
    }
}

/* ---- the end of every accepted request ---- */

static void log_line(const es_gateway_request *request, es_gateway_outcome outcome,
                     int64_t latency_ns)
{
    enum { NAME_SIZE = 2 * ES_SERVE_NAME_BYTES_MAX + 8 };
    const es_serve_class *class =
        &request->view->routes->table->routes->classes[request->class_index];
    char name[NAME_SIZE];
    es_request_line line = {.class_name = name,
                            .outcome = es_gateway_outcome_names[outcome],
                            .traceparent = request->traceparent,
                            .age_ns = latency_ns,
                            .total_ns = latency_ns,
                            .rows = 1,
                            .energy_j = 0};
    (void)snprintf(name, sizeof name, "%s at %s", class->task, class->entry);
    for (uint32_t k = 0; k < request->visit_count; k++) {
        const es_serve_visit *visit = &request->visits[k];
        line.model = visit->model;
        line.node = visit->node;
        line.queue_ns += (int64_t)visit->queue_us * ES_NS_PER_US;
        line.compute_ns += (int64_t)visit->compute_us * ES_NS_PER_US;
        line.energy_j += visit->joules; /* NAN: not known of all */
        line.energy_source = visit->source;
    }
    es_request_log_add(request->loop->gateway->log, &line);
}

void es_gateway_request_end(es_gateway_request *request, es_gateway_outcome outcome)
{
    es_gateway_view *view = request->view;
    es_gateway_class_counts *counts = view->counts[request->class_index];
    int64_t latency_ns = es_clock_now_ns(request->loop->gateway->clock) - request->start_ns;
    es_gateway_count(&counts->outcomes[outcome]);
    if (outcome == ES_GATEWAY_ANSWERED || outcome == ES_GATEWAY_PARTIAL) {
        es_gateway_count(&counts->buckets[es_gateway_bucket_of(latency_ns)]);
        ES_GATEWAY_ADD(&counts->latency_ns, latency_ns);
        if (request->unmet != 0)
            es_gateway_count(&counts->unmet);
    }
    if (request->loop->gateway->log != NULL)
        log_line(request, outcome, latency_ns);
    request_give(request);
    es_gateway_view_leave(view);
}

/* ---- reading ---- */

static es_status keep_header(es_gateway_request *request, const char *name, const char **out,
                             es_error *err)
{
    const char *value = es_http_request_header(request->http, name);
    if (value == NULL)
        return ES_OK;
    *out = es_arena_text(request->arena, value);
    return *out != NULL ? ES_OK : es_arena_full(request->arena, "headers", err);
}

static es_status read_request(es_gateway_request *request, es_error *err)
{
    const char *json = NULL;
    int64_t json_size = ES_OIP_DOUBT;
    request->body = es_http_request_body(request->http, &request->body_bytes);
    ES_TRY(keep_header(request, ES_OIP_JSON_SIZE_HEADER, &request->json_size, err));
    ES_TRY(keep_header(request, "Content-Type", &request->content_type, err));
    ES_TRY(keep_header(request, "traceparent", &request->traceparent, err));
    ES_TRY(keep_header(request, "tracestate", &request->tracestate, err));
    ES_TRY(keep_header(request, "endpoint-load-metrics-format", &request->load_format, err));
    if (request->json_size != NULL && (!es_text_to_int64(request->json_size, &json_size) ||
                                       json_size < 0 || (uint64_t)json_size > request->body_bytes))
        return es_fail(err, ES_ERR_ARG, "%s: '%.32s' must be from 0 to the %zu bytes of the body",
                       ES_OIP_JSON_SIZE_HEADER, request->json_size, request->body_bytes);
    if (json_size != 0 && request->body_bytes > 0) /* 0: raw, nothing but a tensor */
        json = request->body;
    return es_gateway_ask_read(request->arena, json,
                               json_size == ES_OIP_DOUBT ? request->body_bytes : (size_t)json_size,
                               &request->ask, err);
}

/* What the request allows, else its class, and never more than the gateway does. */
static void set_deadline(es_gateway_request *request)
{
    const es_gateway_ask *ask = &request->ask;
    const es_serve_routes *routes = request->view->routes->table->routes;
    double allowed_s = ask->wish.latency_s_max;
    if (ask->timeout_us > 0 && (double)ask->timeout_us * 1e-6 < allowed_s)
        allowed_s = (double)ask->timeout_us * 1e-6;
    if (isinf(allowed_s))
        allowed_s = routes->classes[request->class_index].deadline_s;
    if (allowed_s > request->loop->gateway->opts.timeout_s)
        allowed_s = request->loop->gateway->opts.timeout_s;
    request->deadline_ns = request->start_ns + es_ns_from_s(allowed_s);
}

/* ---- the handler ---- */

static void answer_unknown(es_gateway_loop *loop, es_http_request *http, const char *task,
                           const char *entry, bool many)
{
    char text[ES_ERROR_SIZE];
    es_gateway_count(&loop->registry.stray);
    if (many)
        (void)snprintf(
            text, sizeof text,
            "task '%.200s' enters at several nodes: say where in parameters.estran_entry", task);
    else if (entry != NULL)
        (void)snprintf(text, sizeof text, "task '%.200s' at '%.200s' is not known", task, entry);
    else
        (void)snprintf(text, sizeof text, "task '%.200s' is not known", task);
    es_http_answer_error(http, many ? 400 : 404, text);
}

/* The class, counted as arrived; false: it has been answered. */
static bool find_class(es_gateway_request *request, const char *task)
{
    es_gateway_loop *loop = request->loop;
    const es_serve_table *table = request->view->routes->table;
    const char *entry = request->ask.entry != NULL ? request->ask.entry : loop->gateway->opts.entry;
    uint32_t c = es_serve_table_class(table, task, entry);
    if (c == ES_SERVE_CLASS_NONE && request->ask.entry == NULL)
        c = es_serve_table_class(table, task, NULL);
    if (c == ES_SERVE_CLASS_NONE || c == ES_SERVE_CLASS_MANY) {
        answer_unknown(loop, request->http, task, request->ask.entry, c == ES_SERVE_CLASS_MANY);
        return false;
    }
    request->class_index = c;
    return true;
}

const char *es_gateway_unmet_text(uint32_t bits, char *out, size_t size)
{
    static const char *const names[] = {"latency", "accuracy", "energy", "carbon"};
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if ((bits >> i & 1) != 0 && used < size)
            used +=
                (size_t)snprintf(out + used, size - used, "%s%s", used > 0 ? "+" : "", names[i]);
    return out;
}

static void refuse(es_gateway_request *request, es_serve_choice_kind kind)
{
    bool unmet = kind == ES_SERVE_CHOICE_UNMET;
    request->failure_status = unmet ? 422 : 503;
    es_http_answer_error(request->http, request->failure_status,
                         unmet ? "no option meets what parameters.estran_* ask for"
                               : "the plan refuses this request");
    es_gateway_request_end(request, ES_GATEWAY_REFUSED);
}

static void accept_request(es_gateway_request *request)
{
    es_gateway_loop *loop = request->loop;
    es_gateway_view *view = request->view;
    int64_t now_ns = es_clock_now_ns(loop->gateway->clock);
    es_gateway_count(&view->counts[request->class_index]->arrived);
    es_gateway_count(&view->under_way);
    es_serve_budget_earn(&loop->retries, now_ns);
    es_serve_budget_earn(&loop->hedges, now_ns);
    set_deadline(request);
    es_serve_choice choice =
        es_choose(view->chooser, request->class_index, &request->ask.wish, now_ns);
    es_gateway_count(&loop->registry.decisions);
    ES_GATEWAY_ADD(&loop->registry.decision_ns, es_clock_now_ns(loop->gateway->clock) - now_ns);
    if (choice.kind != ES_SERVE_CHOICE_OPTION)
        refuse(request, choice.kind);
    else
        es_gateway_flow_start(request, choice);
}

void es_gateway_infer(void *context, es_http_request *http)
{
    es_gateway *gateway = context;
    es_gateway_loop *loop = &gateway->loops[es_http_request_loop(http)];
    es_gateway_view *view = atomic_load_explicit(&loop->view, memory_order_relaxed);
    es_error err = {0};
    if (view == NULL) {
        es_http_answer_error(http, 503, "no routes yet");
        return;
    }
    es_gateway_request *request = request_take(loop);
    if (request == NULL) {
        es_http_answer_error(http, 503, "out of memory");
        return;
    }
    request->http = http;
    request->view = view;
    request->start_ns = es_http_request_start_ns(http);
    es_status status = read_request(request, &err);
    if (status != ES_OK) {
        es_gateway_count(&loop->registry.stray);
        es_http_answer_fail(http, &err);
        request_give(request);
        return;
    }
    if (!find_class(request, es_http_request_param(http, "model"))) {
        request_give(request);
        return;
    }
    accept_request(request);
}
