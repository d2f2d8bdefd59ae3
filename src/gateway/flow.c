/*
 * From the first copy of a request to its one answer. A copy that fails may be followed by another
 * over a different option; one that is slow may be joined by one. The first answer wins: the others
 * are cancelled and waited for, since they borrow the request's body; then it goes back.
 */
#include "base/percent.h"
#include "internal.h"
#include "route/route.h"

#include <assert.h>

enum { HEADERS_MAX = 10, DIGITS_SIZE = 24 };
static const double HEDGE_DELAY_S_MIN = 1e-3;
static const double LATE_FACTOR = 2; /* a node is blamed when it had so many p95 of the option */

static void conclude(es_gateway_request *request);
static void on_hedge(es_http_timer *timer);

static int64_t now_of(const es_gateway_request *request)
{
    return es_clock_now_ns(request->loop->gateway->clock);
}

static const es_serve_option *option_of(const es_gateway_request *request, uint32_t option)
{
    return &request->view->routes->table->routes->classes[request->class_index].options[option];
}

static size_t option_number(const es_gateway_request *request, uint32_t option)
{
    return request->view->routes->table->first_option[request->class_index] + option;
}

/* ---- a copy goes out ---- */

static void put(es_http_header *headers, size_t *count, const char *name, const char *value)
{
    if (value != NULL)
        headers[(*count)++] = (es_http_header){.name = name, .value = value};
}

static void on_copy_end(void *context, const es_http_result *result);

static es_status send_copy(es_gateway_request *request, es_serve_choice choice, int64_t now_ns,
                           es_error *err)
{
    uint32_t option = choice.option;
    const es_gateway_routes *routes = request->view->routes;
    const es_serve_option *way = option_of(request, option);
    es_gateway_copy *copy = &request->copies[request->copy_count];
    es_http_header headers[HEADERS_MAX];
    size_t count = 0;
    char left[DIGITS_SIZE];
    char due[DIGITS_SIZE];
    char unmet[64];
    int64_t left_ns = request->deadline_ns - now_ns;
    es_hop_link *link = &routes->links[way->peer];
    int64_t due_ns = es_hop_link_due_ns(
        link, false, now_ns, es_hop_payload_bytes(request->body_bytes, request->json_size));
    (void)snprintf(left, sizeof left, "%llu",
                   (unsigned long long)es_hop_timeout_us(left_ns, es_hop_link_latency_ns(link)));
    (void)snprintf(due, sizeof due, "%lld", (long long)due_ns);
    put(headers, &count, ES_ROUTE_HEADER, way->route);
    put(headers, &count, ES_TASK_HEADER, routes->task_headers[request->class_index]);
    put(headers, &count, ES_TIMEOUT_HEADER, left);
    put(headers, &count, ES_DUE_HEADER, due_ns > 0 ? due : NULL);
    if (choice.unmet != 0)
        put(headers, &count, ES_UNMET_HEADER,
            es_gateway_unmet_text(choice.unmet, unmet, sizeof unmet));
    put(headers, &count, ES_OIP_JSON_SIZE_HEADER, request->json_size);
    put(headers, &count, "Content-Type", request->content_type);
    put(headers, &count, "traceparent", request->traceparent);
    put(headers, &count, "tracestate", request->tracestate);
    put(headers, &count, "endpoint-load-metrics-format", request->load_format);
    assert(count <= HEADERS_MAX);
    *copy = (es_gateway_copy){.request = request,
                              .option = option,
                              .unmet = choice.unmet,
                              .sent_ns = now_ns,
                              .under_way = true};
    es_http_call call = {.method = ES_HTTP_POST,
                         .path = routes->option_paths[option_number(request, option)],
                         .headers = headers,
                         .header_count = count,
                         .body = request->body,
                         .body_bytes = request->body_bytes,
                         /* A little late is better than nothing: the node's best is on its way. */
                         .timeout_s = es_s_from_ns(left_ns + es_hop_margin_ns(left_ns)),
                         .repeatable = true,
                         .called = on_copy_end,
                         .context = copy};
    ES_TRY(es_http_call_send(routes->peers[way->peer], &call, &copy->id, err));
    request->copy_count++;
    request->under_way++;
    es_gateway_count(&request->view->taken[option_number(request, option)]);
    return ES_OK;
}

static void fail(es_gateway_request *request, int status, const char *text)
{
    request->failure_status = status;
    (void)es_fail(&request->failure, ES_ERR_UNAVAILABLE, "%s", text);
}

static void set_hedge(es_gateway_request *request, uint32_t option, int64_t now_ns)
{
    es_gateway_loop *loop = request->loop;
    double wait_s = es_chooser_p95_s(request->view->chooser, request->class_index, option);
    if (loop->gateway->opts.hedge_share <= 0 ||
        request->view->routes->table->routes->classes[request->class_index].option_count < 2)
        return;
    wait_s = wait_s > HEDGE_DELAY_S_MIN ? wait_s : HEDGE_DELAY_S_MIN;
    int64_t when_ns = now_ns + es_ns_from_s(wait_s);
    if (when_ns >= request->deadline_ns)
        return;
    request->hedge.fire = on_hedge;
    request->hedge.context = request;
    if (!es_http_timer_set(loop->gateway->caller, &request->hedge, when_ns))
        request->hedge.context = NULL; /* no memory: no hedge */
}

void es_gateway_flow_start(es_gateway_request *request, es_serve_choice choice)
{
    es_error err = {0};
    int64_t now_ns = now_of(request);
    if (now_ns >= request->deadline_ns) {
        fail(request, 504, "the time for an answer was over before it was sent on");
    } else if (send_copy(request, choice, now_ns, &err) == ES_OK) {
        set_hedge(request, choice.option, now_ns);
        return;
    } else {
        fail(request, 503, es_error_text(&err));
    }
    conclude(request);
}

/* ---- another copy ---- */

/* Sends one more over an option that was not tried, if there is one and the budget allows it. */
static bool send_another(es_gateway_request *request, es_serve_budget *budget, bool elsewhere)
{
    uint32_t tried[ES_GATEWAY_COPIES_MAX];
    es_error err = {0};
    int64_t now_ns = now_of(request);
    if (request->copy_count == ES_GATEWAY_COPIES_MAX || now_ns >= request->deadline_ns ||
        es_http_request_gone(request->http))
        return false;
    for (size_t i = 0; i < request->copy_count; i++)
        tried[i] = request->copies[i].option;
    es_serve_choice choice =
        es_choose_again(request->view->chooser, request->class_index, &request->ask.wish, tried,
                        request->copy_count, elsewhere, now_ns);
    if (choice.kind != ES_SERVE_CHOICE_OPTION)
        return false;
    if (!es_serve_budget_take(budget, now_ns)) {
        es_chooser_option_unknown(request->view->chooser, request->class_index, choice.option,
                                  now_ns);
        return false;
    }
    return send_copy(request, choice, now_ns, &err) == ES_OK;
}

static void on_hedge(es_http_timer *timer)
{
    es_gateway_request *request = timer->context;
    if (request->reply.status == 0 && request->under_way > 0 &&
        send_another(request, &request->loop->hedges, true))
        es_gateway_count(&request->view->counts[request->class_index]->hedged);
}

/* ---- what a copy came to ---- */

typedef enum verdict {
    VERDICT_ANSWER, /* goes back, whatever its status */
    VERDICT_AGAIN   /* another option may do better */
} verdict;

static verdict judge(const es_http_result *result)
{
    int status = result->reply.status;
    if (result->end != ES_HTTP_END_REPLY || status >= 500)
        return VERDICT_AGAIN;
    /* The node does not know the model or the route: our fault, not the client's. */
    if (status == 404 || status == 401 || status == 403 || status == 421 || status == 429)
        return VERDICT_AGAIN;
    return VERDICT_ANSWER;
}

static void blame(es_gateway_request *request, const char *node, bool late, const char *by_us,
                  int64_t waited_ns, uint32_t option)
{
    es_chooser *chooser = request->view->chooser;
    double p95_s = es_chooser_p95_s(chooser, request->class_index, option);
    uint32_t v = es_serve_table_node(es_chooser_table(chooser), node != NULL ? node : by_us);
    if (v == UINT32_MAX || (late && es_s_from_ns(waited_ns) < LATE_FACTOR * p95_s))
        return;
    es_chooser_node_failed(chooser, v, now_of(request));
}

/* Which nodes answered, which did not: so that the next requests go round them. */
static void note_nodes(es_gateway_request *request, const es_gateway_copy *copy,
                       const es_http_result *result, int64_t waited_ns)
{
    const es_serve_table *table = request->view->routes->table;
    const es_serve_option *way = option_of(request, copy->option);
    const char *first = table->routes->peers[way->peer].name;
    const char *failed = es_http_reply_header(&result->reply, ES_FAILED_HEADER);
    es_chooser *chooser = request->view->chooser;
    if (result->end == ES_HTTP_END_UNREACHED || result->end == ES_HTTP_END_BROKEN ||
        result->end == ES_HTTP_END_LATE) {
        blame(request, NULL, result->end == ES_HTTP_END_LATE, first, waited_ns, copy->option);
        return;
    }
    if (result->end == ES_HTTP_END_CANCELLED) /* another copy was quicker, which says little */
        es_chooser_option_unknown(chooser, request->class_index, copy->option, now_of(request));
    if (result->end != ES_HTTP_END_REPLY)
        return;
    size_t number = option_number(request, copy->option);
    es_chooser_node_answered(chooser, table->stage_nodes[table->first_stage[number]]);
    if (failed == NULL)
        return;
    char name[ES_SERVE_NAME_BYTES_MAX + 1];
    const char *mark = strchr(failed, ';');
    size_t size = mark != NULL ? (size_t)(mark - failed) : strlen(failed);
    if (es_percent_decode(failed, size, false, name, sizeof name))
        blame(request, name, mark != NULL && strcmp(mark, ";late") == 0, NULL, waited_ns,
              copy->option);
}

static size_t source_of(const char *name)
{
    size_t source = 0;
    while (source < ES_METER_SOURCE_COUNT &&
           (name == NULL || strcmp(es_meter_source_name((es_meter_source)source), name) != 0))
        source++;
    return source;
}

static void note_visits(es_gateway_request *request, uint32_t option, const char *stages,
                        bool partial)
{
    es_gateway_view *view = request->view;
    const es_serve_table *table = view->routes->table;
    uint32_t count = 0;
    size_t number = option_number(request, option);
    es_serve_visit *visits = ES_TAKE_ARRAY(request->arena, es_serve_visit, ES_STAGE_COUNT_MAX);
    if (visits == NULL ||
        es_serve_visits_decode(request->arena, stages, visits, &count, NULL) != ES_OK ||
        count == 0 || count > option_of(request, option)->stage_count)
        return;
    request->visits = visits;
    request->visit_count = count;
    es_gateway_series *series = view->series[table->first_stage[number] + count - 1];
    es_gateway_count(partial ? &series->partial : &series->answered);
    es_gateway_registry *registry = &request->loop->registry;
    for (uint32_t k = 0; k < count; k++) {
        if (visits[k].joules >= 0)
            ES_GATEWAY_ADD(&registry->joules[source_of(visits[k].source)], visits[k].joules);
        if (visits[k].grams >= 0)
            ES_GATEWAY_ADD(&registry->grams, visits[k].grams);
        if (!partial || k + 1 < count) /* it answered, so it is up */
            es_chooser_node_answered(view->chooser,
                                     table->stage_nodes[table->first_stage[number] + k]);
    }
}

static void take_answer(es_gateway_request *request, es_gateway_copy *copy,
                        const es_http_result *result, int64_t waited_ns)
{
    es_hop_reply_keep(&request->reply, request->arena, result);
    request->unmet = copy->unmet;
    es_hop_link *link = &request->view->routes->links[option_of(request, copy->option)->peer];
    int64_t leaves_ns = request->reply.leaves_ns > 0 ? request->reply.leaves_ns : now_of(request);
    request->due_ns = es_hop_link_due_ns(link, true, leaves_ns, request->reply.payload_bytes);
    es_http_timer_clear(&request->hedge);
    if (request->reply.status < 300) {
        if (!request->reply.partial)
            es_chooser_observe(request->view->chooser, request->class_index, copy->option,
                               es_s_from_ns(waited_ns));
        note_visits(request, copy->option, request->reply.stages, request->reply.partial);
    }
    for (size_t i = 0; i < request->copy_count; i++)
        if (request->copies[i].under_way)
            es_http_call_cancel(request->loop->gateway->caller, request->copies[i].id);
}

static void note_failure(es_gateway_request *request, const es_http_result *result)
{
    char text[ES_ERROR_SIZE];
    if (result->end != ES_HTTP_END_REPLY) {
        fail(request, result->end == ES_HTTP_END_LATE ? 504 : 503, es_error_text(result->why));
        return;
    }
    /* A node's own words; what it does not know is not the client's business as such. */
    int status =
        result->reply.status == 504 || result->reply.status == 500 ? result->reply.status : 503;
    (void)snprintf(text, sizeof text, "a node answered %d: %.300s", result->reply.status,
                   result->reply.body_bytes > 0 ? (const char *)result->reply.body : "");
    fail(request, status, text);
}

static void on_copy_end(void *context, const es_http_result *result)
{
    es_gateway_copy *copy = context;
    es_gateway_request *request = copy->request;
    int64_t waited_ns = now_of(request) - copy->sent_ns;
    copy->under_way = false;
    request->under_way--;
    note_nodes(request, copy, result, waited_ns);
    if (request->reply.status == 0) {
        if (judge(result) == VERDICT_ANSWER) {
            take_answer(request, copy, result, waited_ns);
        } else {
            note_failure(request, result);
            if (result->end != ES_HTTP_END_CANCELLED &&
                send_another(request, &request->loop->retries, false))
                es_gateway_count(&request->view->counts[request->class_index]->retried);
        }
    }
    if (request->under_way == 0)
        conclude(request);
}

/* ---- the answer ---- */

static void on_arrival(es_http_timer *timer)
{
    conclude(timer->context);
}

/* Over an emulated link the answer is here later. */
static bool is_on_its_way(es_gateway_request *request)
{
    if (request->due_ns <= now_of(request))
        return false;
    es_hop_be_exact();
    request->arrival = (es_http_timer){.fire = on_arrival, .context = request};
    int64_t due_ns = request->due_ns;
    request->due_ns = 0; /* once, also when the loop ends before */
    return es_http_timer_set(request->loop->gateway->caller, &request->arrival, due_ns);
}

static void conclude(es_gateway_request *request)
{
    if (request->due_ns > 0 && is_on_its_way(request))
        return;
    es_gateway_outcome outcome = ES_GATEWAY_FAILED;
    char unmet[64];
    es_http_timer_clear(&request->hedge);
    if (request->reply.status != 0) {
        if (request->reply.status < 300)
            outcome = request->reply.partial ? ES_GATEWAY_PARTIAL : ES_GATEWAY_ANSWERED;
        else
            outcome = ES_GATEWAY_WRONG;
        if (request->unmet != 0)
            es_hop_reply_put(&request->reply, ES_UNMET_HEADER,
                             es_gateway_unmet_text(request->unmet, unmet, sizeof unmet));
        es_hop_reply_send(&request->reply, request->http);
    } else {
        es_http_answer_error(request->http, request->failure_status,
                             es_error_text(&request->failure));
    }
    es_gateway_request_end(request, outcome);
}
