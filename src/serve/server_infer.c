/* An inference: read it, hand it to the model's batcher, answer when it comes back. */
#include "base/clock.h"
#include "server_route.h"

#include <time.h>

enum { KEPT_INFERS_MAX = 256, KEPT_BODY_BYTES_MAX = 1 << 20 };
static const size_t infer_bytes_min = (size_t)64 << 20;
static const size_t infer_bytes_factor = 8; /* of one request, decoded: so many times a body */
static const size_t answer_bytes_max = (size_t)1 << 30;

/* ---- objects, used again and again ---- */

static void infer_free(es_infer *infer)
{
    es_text_done(&infer->body);
    es_text_done(&infer->stages);
    es_text_done(&infer->rest);
    es_text_done(&infer->path);
    es_arena_free(infer->arena);
    free(infer);
}

static es_infer *infer_new(es_server *server)
{
    es_infer *infer = calloc(1, sizeof *infer);
    if (infer == NULL)
        return NULL;
    infer->server = server;
    infer->arena = es_arena_new(infer_bytes_min + infer_bytes_factor * server->opts.body_bytes_max);
    es_text_init(&infer->body, answer_bytes_max);
    es_text_init(&infer->stages, ES_SERVE_HEADER_BYTES_MAX);
    es_text_init(&infer->rest, ES_SERVE_HEADER_BYTES_MAX);
    es_text_init(&infer->path, ES_SERVE_HEADER_BYTES_MAX);
    if (infer->arena == NULL) {
        infer_free(infer);
        return NULL;
    }
    return infer;
}

static es_infer *infer_take(es_server *server)
{
    (void)pthread_mutex_lock(&server->lock);
    es_infer *infer = server->free_infers;
    if (infer != NULL) {
        server->free_infers = infer->next_free;
        server->free_count--;
    }
    (void)pthread_mutex_unlock(&server->lock);
    return infer != NULL ? infer : infer_new(server);
}

/* Any thread, once the answer is sent or cannot be. */
static void infer_give(void *context)
{
    es_infer *infer = context;
    es_server *server = infer->server;
    bool large = infer->body.capacity > KEPT_BODY_BYTES_MAX ||
                 es_arena_used_bytes(infer->arena) > KEPT_BODY_BYTES_MAX;
    es_arena_reset(infer->arena);
    es_text_clear(&infer->body);
    es_text_clear(&infer->stages);
    es_text_clear(&infer->rest);
    es_text_clear(&infer->path);
    (void)pthread_mutex_lock(&server->lock);
    bool kept = !large && server->free_count < KEPT_INFERS_MAX;
    if (kept) {
        infer->next_free = server->free_infers;
        server->free_infers = infer;
        server->free_count++;
    }
    (void)pthread_mutex_unlock(&server->lock);
    if (!kept)
        infer_free(infer);
}

void es_server_infers_free(es_server *server)
{
    while (server->free_infers != NULL) {
        es_infer *infer = server->free_infers;
        server->free_infers = infer->next_free;
        infer_free(infer);
    }
}

/* ---- reading ---- */

static es_status json_size_of(es_http_request *request, int64_t *out, es_error *err)
{
    const char *value = es_http_request_header(request, ES_OIP_JSON_SIZE_HEADER);
    if (!es_oip_json_size(value, out))
        return es_fail(err, ES_ERR_ARG, "%s: '%.32s' must be a number of bytes",
                       ES_OIP_JSON_SIZE_HEADER, value);
    return ES_OK;
}

static es_status raw_decode(es_infer *infer, const void *body, size_t size, es_error *err)
{
    const es_session *session = infer->served->session;
    if (es_session_input_count(session) != 1)
        return es_fail(err, ES_ERR_ARG,
                       "model '%s' has %zu inputs: a raw request is for models of one",
                       infer->served->name, es_session_input_count(session));
    return es_oip_raw_decode(infer->arena, &infer->served->inputs[0].face, body, size,
                             &infer->message, err);
}

static es_status decode(es_infer *infer, es_error *err)
{
    size_t size = 0;
    int64_t json_size = 0;
    const void *body = es_http_request_body(infer->request, &size);
    ES_TRY(json_size_of(infer->request, &json_size, err));
    if (json_size == 0)
        return raw_decode(infer, body, size, err);
    return es_oip_decode(infer->arena, ES_OIP_REQUEST, body, size, json_size, &infer->message, err);
}

static const es_oip_tensor *find_tensor(const es_oip_message *message, const char *name)
{
    for (size_t i = 0; i < message->tensor_count; i++)
        if (strcmp(message->tensors[i].name, name) == 0)
            return &message->tensors[i];
    return NULL;
}

static es_status name_stranger(const es_infer *infer, es_error *err)
{
    const es_session *session = infer->served->session;
    for (size_t i = 0; i < infer->message.tensor_count; i++) {
        const char *name = infer->message.tensors[i].name;
        bool known = false;
        for (size_t k = 0; k < es_session_input_count(session); k++)
            known = known || strcmp(es_session_input(session, k)->name, name) == 0;
        if (!known)
            return es_fail(err, ES_ERR_ARG, "inputs[%zu].name: '%.64s' is no input of model '%s'",
                           i, name, infer->served->name);
    }
    return ES_OK;
}

static void shape_text(const int64_t *dims, size_t rank, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < rank && used < size; i++) {
        int more = dims[i] < 0 ? snprintf(out + used, size - used, "%s?", i > 0 ? "x" : "")
                               : snprintf(out + used, size - used, "%s%lld", i > 0 ? "x" : "",
                                          (long long)dims[i]);
        used += more > 0 ? (size_t)more : 0;
    }
}

/* From the shape that clients see to the model's. */
static es_status reshape(const es_infer *infer, size_t index, es_tensor *input, es_error *err)
{
    const es_port *face = &infer->served->inputs[index].face;
    const es_port *port = es_session_input(infer->served->session, index);
    bool fits = input->rank == face->rank;
    char got[96];
    char wanted[96];
    for (size_t i = 0; fits && i < face->rank; i++)
        fits = face->dims[i] < 0 || face->dims[i] == input->dims[i];
    if (!fits) {
        shape_text(input->dims, input->rank, got, sizeof got);
        shape_text(face->dims, face->rank, wanted, sizeof wanted);
        return es_fail(err, ES_ERR_ARG, "input '%s': got [%s], expected [%s]", face->name, got,
                       wanted);
    }
    int64_t rows = infer->served->config.max_batch_size > 0 ? input->dims[0] : 1;
    es_tensor shaped = es_port_tensor(port, rows);
    shaped.data = input->data;
    shaped.dtype = input->dtype;
    *input = shaped;
    return ES_OK;
}

/* The message's tensors in the order of the session. */
static es_status inputs_place(es_infer *infer, es_error *err)
{
    const es_session *session = infer->served->session;
    const size_t count = es_session_input_count(session);
    es_tensor *inputs = ES_TAKE_ARRAY(infer->arena, es_tensor, count);
    if (inputs == NULL)
        return es_arena_full(infer->arena, "inputs", err);
    for (size_t i = 0; i < count; i++) {
        const char *name = es_session_input(session, i)->name;
        const es_oip_tensor *given = find_tensor(&infer->message, name);
        if (given == NULL) {
            ES_TRY(name_stranger(infer, err));
            return es_fail(err, ES_ERR_ARG, "inputs: '%s' of model '%s' is missing", name,
                           infer->served->name);
        }
        inputs[i] = es_tensor_make(given->dtype, given->dims, given->rank,
                                   (void *)(uintptr_t)given->data); /* only read */
        if (infer->served->inputs[i].reshaped)
            ES_TRY(reshape(infer, i, &inputs[i], err));
    }
    if (infer->message.tensor_count > count)
        return name_stranger(infer, err);
    infer->job.inputs = inputs;
    return ES_OK;
}

/* ---- answering ---- */

static void log_line(const es_infer *infer, es_served_outcome outcome, int64_t total_ns)
{
    const es_oip_param *class_name = es_oip_param_find(&infer->message.params, "estran_class");
    const es_serve_visit *visit = &infer->visit;
    bool named = class_name != NULL && class_name->type == ES_DOC_TEXT;
    es_request_log_add(infer->server->log,
                       &(es_request_line){
                           .class_name = named ? class_name->as.text : infer->served->name,
                           .model = infer->served->name,
                           .version = infer->served->version_text,
                           .id = infer->message.id,
                           .outcome = es_served_outcome_names[outcome],
                           .traceparent = infer->traceparent[0] != '\0' ? infer->traceparent : NULL,
                           .age_ns = total_ns,
                           .total_ns = total_ns,
                           .queue_ns = (int64_t)visit->queue_us * ES_NS_PER_US,
                           .compute_ns = (int64_t)visit->compute_us * ES_NS_PER_US,
                           .rows = infer->rows,
                           .energy_j = visit->joules,
                           .energy_source = visit->source,
                       });
}

/* The last that the model hears of it. */
static void note_end(es_infer *infer, es_served_outcome outcome)
{
    es_served_counts *counts = &infer->served->counts;
    int64_t total_ns = es_clock_now_ns(infer->server->clock) - infer->start_ns;
    es_served_count(&counts->outcomes[outcome], total_ns);
    es_served_observe(&counts->total, total_ns);
    atomic_fetch_sub_explicit(&counts->pending, 1, memory_order_relaxed);
    if (infer->server->log != NULL)
        log_line(infer, outcome, total_ns);
    es_served_unref(infer->served);
    infer->served = NULL;
}

void es_server_infer_fail(es_infer *infer, es_served_outcome outcome, int status, const char *text)
{
    es_http_request *request = infer->request;
    note_end(infer, outcome);
    if (es_server_route_stand_in(infer, NULL))
        return;
    infer_give(infer);
    es_http_answer_error(request, status, text);
}

void es_server_infer_answer(es_infer *infer, int64_t json_size, const es_http_header *more,
                            size_t more_count)
{
    enum { HEADERS_MAX = 8, REPORT_SIZE = 256 };
    es_http_header headers[HEADERS_MAX];
    size_t used = 0;
    char digits[24];
    char report[REPORT_SIZE];
    headers[used++] =
        (es_http_header){.name = ES_STAGES_HEADER, .value = es_text_get(&infer->stages)};
    if (json_size != ES_OIP_DOUBT) {
        (void)snprintf(digits, sizeof digits, "%lld", (long long)json_size);
        headers[used++] = (es_http_header){.name = ES_OIP_JSON_SIZE_HEADER, .value = digits};
    }
    if (infer->traceparent[0] != '\0')
        headers[used++] = (es_http_header){.name = "traceparent", .value = infer->traceparent};
    for (size_t i = 0; i < more_count; i++)
        headers[used++] = more[i];
    if (infer->load_format != ES_LOAD_NONE && infer->served != NULL) {
        es_server_load_report(infer, report, sizeof report);
        headers[used++] = (es_http_header){.name = "endpoint-load-metrics", .value = report};
    }
    if (infer->served != NULL)
        note_end(infer, ES_SERVED_OK); /* the report has looked at the model */
    es_http_answer_send(infer->request,
                        &(es_http_answer){
                            .status = 200,
                            .content_type = json_size == ES_OIP_DOUBT ? "application/json"
                                                                      : "application/octet-stream",
                            .headers = headers,
                            .header_count = used,
                            .body = es_text_get(&infer->body),
                            .body_bytes = infer->body.size,
                            .release = infer_give,
                            .release_context = infer,
                        });
}

static void answer(es_infer *infer, const es_tensor *outputs)
{
    es_error err = {0};
    int64_t json_size = 0;
    es_clock *clock = infer->server->clock;
    int64_t before_ns = es_clock_now_ns(clock);
    if (infer->route != NULL) {
        es_server_route_step(infer, outputs);
        return;
    }
    if (es_server_answer_make(infer, outputs, &json_size, &err) != ES_OK) {
        es_server_infer_fail(infer, ES_SERVED_WRONG, es_status_http(err.status),
                             es_error_text(&err));
        return;
    }
    es_served_count(&infer->served->counts.output, es_clock_now_ns(clock) - before_ns);
    es_server_infer_answer(infer, json_size, NULL, 0);
}

/* ---- what it cost ---- */

/* A processor counts as busy for the whole of a run, as many as the run may use. */
static void note_cost(es_infer *infer, int64_t queue_ns, int64_t compute_ns, double share)
{
    const es_server *server = infer->server;
    es_served_counts *counts = &infer->served->counts;
    const char *source = NULL;
    double busy_s = es_s_from_ns(compute_ns) * share * infer->served->thread_count;
    double energy_j = es_joules_of(server->joules, busy_s, &source);
    infer->visit = (es_serve_visit){
        .node = server->opts.name,
        .model = infer->served->name,
        .queue_us = (uint64_t)((queue_ns + ES_NS_PER_US / 2) / ES_NS_PER_US),
        .compute_us = (uint64_t)((compute_ns + ES_NS_PER_US / 2) / ES_NS_PER_US),
        .joules = energy_j,
        .grams = es_joules_grams(server->joules, energy_j),
        .source = source,
    };
    bool modelled = strcmp(source, "model") == 0;
    atomic_fetch_add_explicit(modelled ? &counts->energy_model_pj : &counts->energy_counted_pj,
                              (int64_t)(energy_j * 1e12), memory_order_relaxed);
}

static int64_t wall_ms(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return 0;
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void on_served(es_infer *infer, const es_batch_result *result)
{
    es_served *served = infer->served;
    es_served_counts *counts = &served->counts;
    double share = (double)result->rows / result->batch_rows;
    int64_t queue_ns = result->queue_ns;
    int64_t compute_ns = result->gather_ns + result->run_ns;
    if (infer->server->opts.emulate) {
        int64_t end_ns = 0;
        int64_t start_ns = es_server_machine_hold(infer, result, &end_ns);
        queue_ns = start_ns - infer->arrival_ns;
        compute_ns = end_ns - start_ns;
        es_server_machine_leave(infer, end_ns);
    }
    infer->rows = result->rows;
    note_cost(infer, queue_ns, compute_ns, share);
    es_served_count(&counts->queue, queue_ns);
    es_served_observe(&counts->queued, queue_ns);
    es_served_count(&counts->input, infer->input_ns + result->gather_ns);
    es_served_count(&counts->infer, result->run_ns);
    atomic_store_explicit(&counts->last_ms, wall_ms(), memory_order_relaxed);
    if (infer->caches) {
        int64_t before_ns = es_clock_now_ns(infer->server->clock);
        es_response_cache_put(infer->server->cache, served->number, infer->job.inputs,
                              es_session_input_count(served->session), result->outputs,
                              es_session_output_count(served->session));
        es_served_count(&counts->cache_miss, es_clock_now_ns(infer->server->clock) - before_ns);
    }
    answer(infer, result->outputs);
}

/* On a replica's thread, or on the loop's when it ran there. */
static void on_done(es_batch_job *job, const es_batch_result *result)
{
    es_infer *infer = job->context;
    const char *text = result->error != NULL ? es_error_text(result->error) : "";
    if (result->fate != ES_BATCH_SERVED)
        es_server_machine_leave(infer, es_clock_now_ns(infer->server->clock));
    switch (result->fate) {
    case ES_BATCH_SERVED:
        on_served(infer, result);
        break;
    case ES_BATCH_EXPIRED:
        es_server_infer_fail(infer, ES_SERVED_REJECTED, 504, text);
        break;
    case ES_BATCH_CANCELLED:
        es_server_infer_fail(infer, ES_SERVED_CANCELLED, 503, text);
        break;
    case ES_BATCH_FAILED:
    case ES_BATCH_FATE_COUNT: {
        bool room = result->error == NULL || result->error->status != ES_ERR_NOMEM;
        es_server_infer_fail(infer, ES_SERVED_FAILED, room ? 500 : 503, text);
        break;
    }
    }
}

/* True: it has been answered. */
static bool answer_from_cache(es_infer *infer)
{
    es_server *server = infer->server;
    const es_session *session = infer->served->session;
    const size_t output_count = es_session_output_count(session);
    infer->caches = server->cache != NULL && infer->served->config.cache;
    es_tensor *outputs =
        infer->caches ? ES_TAKE_ARRAY(infer->arena, es_tensor, output_count) : NULL;
    if (outputs == NULL)
        return false;
    int64_t before_ns = es_clock_now_ns(server->clock);
    if (!es_response_cache_find(server->cache, infer->served->number, infer->job.inputs,
                                es_session_input_count(session), infer->arena, outputs,
                                output_count))
        return false;
    int64_t took_ns = es_clock_now_ns(server->clock) - before_ns;
    es_served_count(&infer->served->counts.cache_hit, took_ns);
    infer->rows =
        infer->served->config.max_batch_size > 0 ? (uint32_t)infer->job.inputs[0].dims[0] : 1;
    note_cost(infer, 0, took_ns > 0 ? took_ns : 1, 1);
    if (infer->route != NULL)
        infer->route->ready_ns = es_clock_now_ns(server->clock);
    answer(infer, outputs);
    return true;
}

/* ---- the handler ---- */

/* 00-<32 hex>-<16 hex>-<2 hex>, not all zeros where it matters little: what is no such thing is not
 * passed on. */
static void keep_traceparent(es_infer *infer)
{
    const char *value = es_http_request_header(infer->request, "traceparent");
    infer->traceparent[0] = '\0';
    if (value == NULL || strlen(value) != ES_TRACEPARENT_SIZE - 1)
        return;
    for (size_t i = 0; i < ES_TRACEPARENT_SIZE - 1; i++) {
        bool dash = i == 2 || i == 35 || i == 52;
        bool hex = (value[i] >= '0' && value[i] <= '9') || (value[i] >= 'a' && value[i] <= 'f');
        if (dash ? value[i] != '-' : !hex)
            return;
    }
    memcpy(infer->traceparent, value, ES_TRACEPARENT_SIZE);
}

static void read_head(es_infer *infer)
{
    const char *format = es_http_request_header(infer->request, "endpoint-load-metrics-format");
    infer->load_format = format == NULL                ? ES_LOAD_NONE
                         : strcmp(format, "json") == 0 ? ES_LOAD_JSON
                         : strcmp(format, "text") == 0 ? ES_LOAD_TEXT
                                                       : ES_LOAD_NONE;
    keep_traceparent(infer);
}

static es_status prepare(es_infer *infer, es_error *err)
{
    ES_TRY(decode(infer, err));
    if (infer->route != NULL)
        ES_TRY(es_server_route_begin(infer, err));
    else
        ES_TRY(es_server_wanted_check(infer, err));
    const es_oip_message *message = &infer->message;
    infer->job.priority = message->priority > UINT32_MAX ? 0 : (uint32_t)message->priority;
    infer->job.deadline_ns = 0;
    if (message->timeout_us > 0 && message->timeout_us < INT64_MAX / ES_NS_PER_US / 2)
        infer->job.deadline_ns = infer->start_ns + message->timeout_us * ES_NS_PER_US;
    infer->job.done = on_done;
    infer->job.context = infer;
    return ES_OK;
}

static es_infer *infer_begin(es_server *server, es_http_request *request, es_served *served)
{
    es_infer *infer = infer_take(server);
    if (infer == NULL)
        return NULL;
    infer->request = request;
    infer->served = es_served_ref(served);
    infer->start_ns = es_http_request_start_ns(request);
    infer->message = (es_oip_message){.id = NULL};
    infer->visit = (es_serve_visit){.node = server->opts.name, .model = served->name};
    infer->rows = 0;
    infer->route = NULL;
    atomic_fetch_add_explicit(&served->counts.pending, 1, memory_order_relaxed);
    read_head(infer);
    return infer;
}

void es_server_infer_leave(es_infer *infer)
{
    note_end(infer, ES_SERVED_OK);
}

void es_server_infer_move(es_infer *infer, es_served *next)
{
    note_end(infer, ES_SERVED_OK);
    infer->served = es_served_ref(next);
    infer->visit = (es_serve_visit){.node = infer->server->opts.name, .model = next->name};
    atomic_fetch_add_explicit(&next->counts.pending, 1, memory_order_relaxed);
}

void es_server_infer_drop(es_infer *infer)
{
    infer_give(infer);
}

void es_server_infer_refuse(es_infer *infer, const es_error *err)
{
    es_server_infer_fail(infer,
                         err->status == ES_ERR_UNAVAILABLE ? ES_SERVED_REJECTED : ES_SERVED_WRONG,
                         es_status_http(err->status), es_error_text(err));
}

void es_server_infer_hand_over(es_infer *infer)
{
    es_error err = {0};
    es_server *server = infer->server;
    es_served *served = infer->served;
    const bool may_expire = infer->job.deadline_ns != 0 || served->has_timeouts;
    const uint32_t loop = es_http_request_loop(infer->request);
    (void)es_served_ref(served); /* the inference may let go of it while it runs */
    infer->submitted_ns = es_clock_now_ns(server->clock);
    es_status status = es_batcher_submit(served->batcher, &infer->job, served->here_ns_max, &err);
    if (status != ES_OK) {
        if (server->machine != NULL)
            es_machine_end(server->machine, &infer->processor, infer->processor.start_ns);
        es_server_infer_refuse(infer, &err);
    } else if (may_expire && es_http_caller_is_here(server->caller)) {
        es_server_expiry_watch(server, loop, served); /* the inference may be gone by now */
    }
    es_served_unref(served);
}

void es_server_infer_submit(es_infer *infer)
{
    es_error err = {0};
    es_status status = inputs_place(infer, &err);
    if (status != ES_OK) {
        es_server_infer_fail(infer, ES_SERVED_WRONG, es_status_http(status), es_error_text(&err));
        return;
    }
    if (answer_from_cache(infer))
        return;
    if (infer->server->opts.emulate)
        infer->arrival_ns = es_server_machine_arrival_ns(infer);
    if (infer->server->machine != NULL)
        es_server_machine_enter(infer);
    else
        es_server_infer_hand_over(infer);
}

static void run(es_infer *infer)
{
    es_error err = {0};
    es_server *server = infer->server;
    int64_t before_ns = es_clock_now_ns(server->clock);
    es_status status = prepare(infer, &err);
    infer->input_ns = es_clock_now_ns(server->clock) - before_ns;
    if (status == ES_OK)
        es_server_infer_submit(infer);
    else
        es_server_infer_fail(infer, ES_SERVED_WRONG, es_status_http(status), es_error_text(&err));
}

static void on_due(es_http_timer *timer)
{
    run(timer->context);
}

void es_server_infer(void *context, es_http_request *request)
{
    es_server *server = context;
    es_error err = {0};
    es_served *served = es_server_model_of(server, request);
    if (served == NULL)
        return;
    es_infer *infer = infer_begin(server, request, served);
    es_served_unref(served); /* the inference holds it */
    if (infer == NULL) {
        es_http_answer_error(request, 503, "out of memory");
        return;
    }
    es_status status = es_server_route_head(infer, &err);
    if (status != ES_OK)
        es_server_infer_fail(infer, ES_SERVED_WRONG, es_status_http(status), es_error_text(&err));
    else if (es_server_route_is_forbidden(infer))
        es_server_infer_fail(infer, ES_SERVED_WRONG, 403, "this token may not set routes");
    else if (infer->route == NULL || !es_server_hop_hold(infer, on_due))
        run(infer);
}
