/*
 * A request with a route at this node: what comes before and after the model (pipeline.h), the next
 * stage here without a hop, the answer. The hop to another node is server_hop.c.
 */
#include "server_route.h"

#include "base/clock.h"

#include <assert.h>
#include <math.h>

/* ---- the head ---- */

static es_status keep(es_infer *infer, const char *name, const char **out, es_error *err)
{
    const char *value = es_http_request_header(infer->request, name);
    *out = es_arena_text(infer->arena, value);
    return value != NULL && *out == NULL ? es_arena_full(infer->arena, "headers", err) : ES_OK;
}

static es_status read_number(const char *name, const char *text, int64_t *out, es_error *err)
{
    if (text == NULL)
        return ES_OK;
    if (!es_text_to_int64(text, out) || *out < 0)
        return es_fail(err, ES_ERR_ARG, "%s: '%.32s' must be a whole number", name, text);
    return ES_OK;
}

static es_status read_head(es_infer *infer, es_infer_route *route, es_error *err)
{
    const char *timeout = NULL;
    const char *due = NULL;
    const char *turn = NULL;
    ES_TRY(keep(infer, ES_ROUTE_HEADER, &route->headers.route, err));
    ES_TRY(keep(infer, ES_STAGES_HEADER, &route->headers.stages, err));
    ES_TRY(keep(infer, ES_TASK_HEADER, &route->headers.task, err));
    ES_TRY(keep(infer, ES_UNMET_HEADER, &route->headers.unmet, err));
    ES_TRY(keep(infer, "tracestate", &route->tracestate, err));
    ES_TRY(keep(infer, ES_TIMEOUT_HEADER, &timeout, err));
    ES_TRY(keep(infer, ES_DUE_HEADER, &due, err));
    ES_TRY(keep(infer, ES_TURN_HEADER, &turn, err));
    ES_TRY(read_number(ES_TIMEOUT_HEADER, timeout, &route->timeout_us, err));
    if (!infer->server->opts.emulate)
        return ES_OK;
    ES_TRY(read_number(ES_DUE_HEADER, due, &route->due_ns, err));
    ES_TRY(read_number(ES_TURN_HEADER, turn, &route->turn, err));
    return route->turn <= UINT32_MAX ? ES_OK
                                     : es_fail(err, ES_ERR_ARG, "%s: %lld must be at most %u",
                                               ES_TURN_HEADER, (long long)route->turn, UINT32_MAX);
}

static bool may_set_routes(const es_infer *infer)
{
    const uint32_t roles = ES_SERVER_NODE | ES_SERVER_GATEWAY | ES_SERVER_CONTROLLER;
    return infer->server->opts.token_count == 0 ||
           (es_http_request_roles(infer->request) & roles) != 0;
}

es_status es_server_route_head(es_infer *infer, es_error *err)
{
    infer->route = NULL;
    if (es_http_request_header(infer->request, ES_ROUTE_HEADER) == NULL)
        return ES_OK;
    es_infer_route *route = ES_TAKE_ONE(infer->arena, es_infer_route);
    if (route == NULL)
        return es_arena_full(infer->arena, "route", err);
    route->timeout_us = -1;
    ES_TRY(read_head(infer, route, err));
    infer->route = route;
    return ES_OK;
}

bool es_server_route_is_forbidden(const es_infer *infer)
{
    return infer->route != NULL && !may_set_routes(infer);
}

/* ---- before the model ---- */

static es_status check_place(const es_infer *infer, es_error *err)
{
    const es_serve_stage *stage = &infer->route->request.route.stages[0];
    if (strcmp(stage->node, infer->server->opts.name) != 0)
        return es_fail(err, ES_ERR_ARG, "%s: its first stage is for node '%s', this is '%s'",
                       ES_ROUTE_HEADER, stage->node, infer->server->opts.name);
    if (strcmp(stage->model, infer->served->name) != 0)
        return es_fail(err, ES_ERR_ARG, "%s: its first stage is for model '%s', not '%s'",
                       ES_ROUTE_HEADER, stage->model, infer->served->name);
    return ES_OK;
}

/* The stage's inputs become those of the message, under the model's names. */
static void take_inputs(es_infer *infer)
{
    es_pipeline_request *request = &infer->route->request;
    es_pipeline_name_input(request, infer->served->session);
    infer->message.tensors = request->inputs;
    infer->message.tensor_count = request->input_count;
}

es_status es_server_route_begin(es_infer *infer, es_error *err)
{
    es_infer_route *route = infer->route;
    es_pipeline_request *request = &route->request;
    ES_TRY(es_pipeline_receive(infer->arena, &route->headers, &infer->message, request, err));
    ES_TRY(check_place(infer, err));
    if (route->timeout_us >= 0)
        infer->message.timeout_us = route->timeout_us > 0 ? route->timeout_us : 1;
    take_inputs(infer);
    return ES_OK;
}

/* ---- answers ---- */

static es_status put_stages(es_infer *infer, es_error *err)
{
    const es_pipeline_request *request = &infer->route->request;
    es_text_clear(&infer->stages);
    for (uint32_t k = 0; k < request->visit_count; k++)
        es_serve_visit_append(&infer->stages, &request->visits[k]);
    return es_text_status(&infer->stages, err);
}

/* The answer of this stage, best classes instead of values where the request wants that. */
static es_status make_answer(es_infer *infer, const es_pipeline_step *step,
                             const es_pipeline_outputs *outputs, bool partial, es_oip_message *out,
                             es_error *err)
{
    const es_pipeline_request *request = &infer->route->request;
    ES_TRY(es_pipeline_answer(infer->arena, request, step, outputs, partial, out, err));
    int64_t wanted =
        request->message.wanted_count > 0 ? request->message.wanted[0].classification : 0;
    if (wanted <= 0)
        return ES_OK;
    es_oip_tensor *tensor = ES_TAKE_ONE(infer->arena, es_oip_tensor);
    if (tensor == NULL)
        return es_arena_full(infer->arena, "answer", err);
    *tensor = out->tensors[0];
    out->tensors = tensor;
    return es_server_classify(infer, step->answer, &outputs->tensors[step->answer], (size_t)wanted,
                              tensor, err);
}

static es_status encode(es_infer *infer, const es_oip_message *message, int64_t *out_json_size,
                        es_error *err)
{
    es_text_clear(&infer->body);
    return es_oip_encode(ES_OIP_ANSWER, message, &infer->body, out_json_size, err);
}

/* Departure of an answer over an emulated link: when the stage ended, not when a thread woke up. */
static void add_due(es_infer *infer, es_http_header *headers, size_t *count)
{
    es_infer_route *route = infer->route;
    if (!infer->server->opts.emulate)
        return;
    (void)snprintf(route->due_text, sizeof route->due_text, "%lld", (long long)route->ready_ns);
    headers[(*count)++] = (es_http_header){.name = ES_DUE_HEADER, .value = route->due_text};
}

static void leave(es_infer *infer, const es_pipeline_step *step, const es_pipeline_outputs *outputs)
{
    es_http_header headers[1];
    size_t count = 0;
    es_oip_message answer;
    es_error err = {0};
    int64_t json_size = 0;
    es_status status = make_answer(infer, step, outputs, false, &answer, &err);
    if (status == ES_OK)
        status = encode(infer, &answer, &json_size, &err);
    if (status == ES_OK)
        status = put_stages(infer, &err);
    if (status != ES_OK) {
        es_server_infer_fail(infer, ES_SERVED_WRONG, es_status_http(status), es_error_text(&err));
        return;
    }
    add_due(infer, headers, &count);
    es_server_infer_answer(infer, json_size, headers, count);
}

/* Keeps what would go back if what follows fails: outputs are gone by then. */
static es_status keep_partial(es_infer *infer, const es_pipeline_step *step,
                              const es_pipeline_outputs *outputs, es_error *err)
{
    es_infer_route *route = infer->route;
    if (!step->has_answer)
        return ES_OK;
    ES_TRY(make_answer(infer, step, outputs, true, &route->partial, err));
    es_oip_tensor *tensor = ES_TAKE_ONE(infer->arena, es_oip_tensor);
    void *data = es_arena_take(infer->arena, route->partial.tensors[0].size_bytes, 1);
    if (tensor == NULL || data == NULL)
        return es_arena_full(infer->arena, "answer", err);
    *tensor = route->partial.tensors[0];
    if (tensor->size_bytes > 0)
        memcpy(data, tensor->data, tensor->size_bytes);
    tensor->data = data;
    route->partial.tensors = tensor;
    ES_TRY(put_stages(infer, err));
    route->partial_stages = es_arena_text(infer->arena, es_text_get(&infer->stages));
    if (route->partial_stages == NULL)
        return es_arena_full(infer->arena, "stages", err);
    route->has_partial = true;
    return ES_OK;
}

bool es_server_route_stand_in(es_infer *infer, const char *failed)
{
    es_infer_route *route = infer->route;
    es_http_header headers[3];
    size_t count = 0;
    int64_t json_size = 0;
    if (route == NULL || !route->has_partial)
        return false;
    if (encode(infer, &route->partial, &json_size, NULL) != ES_OK)
        return false;
    es_text_clear(&infer->stages);
    es_text_append(&infer->stages, route->partial_stages);
    headers[count++] = (es_http_header){.name = ES_PARTIAL_HEADER, .value = "1"};
    if (failed != NULL)
        headers[count++] = (es_http_header){.name = ES_FAILED_HEADER, .value = failed};
    add_due(infer, headers, &count);
    route->has_partial = false; /* once */
    es_server_infer_answer(infer, json_size, headers, count);
    return true;
}

/* ---- after the model ---- */

/* Would the next model here be done in time, as its last runs went? Once it runs nothing stops it,
 * so it is not begun when an answer is there that can go back now. */
static bool is_too_slow(const es_infer *infer, const es_served *next)
{
    es_batcher_stats stats;
    if (infer->job.deadline_ns == 0 || !infer->route->has_partial)
        return false;
    es_batcher_stats_get(next->batcher, &stats, NULL, 0);
    int64_t run_ns = stats.run_ns_expected;
    if (infer->server->opts.emulate && next->service_ns > run_ns)
        run_ns = next->service_ns;
    return es_clock_now_ns(infer->server->clock) + run_ns > infer->job.deadline_ns;
}

static void go_on_here(es_infer *infer, const es_pipeline_step *step,
                       const es_pipeline_outputs *outputs)
{
    es_pipeline_request *request = &infer->route->request;
    es_served *next = NULL;
    es_error err = {0};
    es_status status = es_pipeline_advance(infer->arena, request, step, outputs, &err);
    if (status == ES_OK &&
        es_repository_find(infer->server->repository, request->route.stages[0].model, NULL,
                           &next) != ES_FOUND)
        status = es_fail(&err, ES_ERR_UNAVAILABLE, "model '%s' is not ready",
                         request->route.stages[0].model);
    if (status != ES_OK) {
        es_server_infer_fail(infer, ES_SERVED_WRONG, es_status_http(status), es_error_text(&err));
        return;
    }
    if (is_too_slow(infer, next)) {
        if (!es_server_route_stand_in(infer, NULL))
            es_server_infer_fail(infer, ES_SERVED_REJECTED, 504, "the time for an answer is over");
    } else {
        es_server_infer_move(infer, next);
        infer->route->due_ns =
            infer->route->ready_ns; /* emulated: it is here when that one ended */
        take_inputs(infer);
        es_server_infer_submit(infer);
    }
    es_served_unref(next);
}

static void make_outputs(const es_infer *infer, const es_tensor *tensors, const es_port **ports,
                         es_pipeline_outputs *out)
{
    size_t count = es_session_output_count(infer->served->session);
    for (size_t i = 0; i < count; i++)
        ports[i] = es_session_output(infer->served->session, i);
    *out = (es_pipeline_outputs){.count = count, .ports = ports, .tensors = tensors};
}

void es_server_route_step(es_infer *infer, const es_tensor *tensors)
{
    es_infer_route *route = infer->route;
    es_pipeline_request *request = &route->request;
    const es_port *ports[ES_SESSION_PORTS_MAX];
    es_pipeline_outputs outputs;
    es_pipeline_step step;
    es_error err = {0};
    make_outputs(infer, tensors, ports, &outputs);
    es_pipeline_visit(request, &infer->visit);
    es_status status = es_pipeline_decide(request, &outputs, &step, &err);
    if (status == ES_OK && step.leaves) {
        leave(infer, &step, &outputs);
        return;
    }
    if (status == ES_OK)
        status = keep_partial(infer, &step, &outputs, &err);
    if (infer->served->payload_u8)
        request->route.stages[0].payload = ES_SERVE_PAYLOAD_U8;
    if (status != ES_OK) {
        es_server_infer_fail(infer, ES_SERVED_WRONG, es_status_http(status), es_error_text(&err));
        return;
    }
    if (strcmp(request->route.stages[1].node, infer->server->opts.name) == 0)
        go_on_here(infer, &step, &outputs);
    else
        es_server_hop_send(infer, &step, &outputs);
}
