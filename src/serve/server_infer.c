/* An inference: read it, hand it to the model's batcher, answer when it comes back. */
#include "base/clock.h"
#include "routes.h"
#include "server.h"

enum { KEPT_INFERS_MAX = 256, KEPT_BODY_BYTES_MAX = 1 << 20 };
static const size_t infer_bytes_max = (size_t)2 << 30; /* of one request, decoded */
static const size_t answer_bytes_max = (size_t)1 << 30;

/* ---- objects, used again and again ---- */

static void infer_free(es_infer *infer)
{
    es_text_done(&infer->body);
    es_text_done(&infer->stages);
    es_arena_free(infer->arena);
    free(infer);
}

static es_infer *infer_new(es_server *server)
{
    es_infer *infer = calloc(1, sizeof *infer);
    if (infer == NULL)
        return NULL;
    infer->server = server;
    infer->arena = es_arena_new(infer_bytes_max);
    es_text_init(&infer->body, answer_bytes_max);
    es_text_init(&infer->stages, ES_SERVE_HEADER_BYTES_MAX);
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
    *out = ES_OIP_DOUBT;
    if (value != NULL && (!es_text_to_int64(value, out) || *out < 0))
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
    return es_oip_raw_decode(infer->arena, es_session_input(session, 0), body, size,
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
    }
    if (infer->message.tensor_count > count)
        return name_stranger(infer, err);
    infer->job.inputs = inputs;
    return ES_OK;
}

/* ---- answering ---- */

static void note_end(es_infer *infer, es_served_outcome outcome)
{
    es_served_counts *counts = &infer->served->counts;
    int64_t total_ns = es_clock_now_ns(infer->server->clock) - infer->start_ns;
    es_served_count(&counts->outcomes[outcome], total_ns);
    es_served_observe(&counts->total, total_ns);
    atomic_fetch_sub_explicit(&counts->pending, 1, memory_order_relaxed);
}

/* The end of every inference that has a model. */
static void end_failed(es_infer *infer, es_served_outcome outcome, int status, const char *text)
{
    es_http_request *request = infer->request;
    note_end(infer, outcome);
    es_served_unref(infer->served);
    infer_give(infer);
    es_http_answer_error(request, status, text);
}

static void send_answer(es_infer *infer, int64_t json_size)
{
    es_http_header headers[4];
    size_t used = 0;
    char digits[24];
    headers[used++] =
        (es_http_header){.name = ES_STAGES_HEADER, .value = es_text_get(&infer->stages)};
    if (json_size != ES_OIP_DOUBT) {
        (void)snprintf(digits, sizeof digits, "%lld", (long long)json_size);
        headers[used++] = (es_http_header){.name = ES_OIP_JSON_SIZE_HEADER, .value = digits};
    }
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

static void answer(es_infer *infer, const es_batch_result *result)
{
    es_error err = {0};
    int64_t json_size = 0;
    es_served_counts *counts = &infer->served->counts;
    es_served_count(&counts->queue, result->queue_ns);
    es_served_count(&counts->infer, result->run_ns);
    if (es_server_answer_make(infer, result, &json_size, &err) != ES_OK) {
        end_failed(infer, ES_SERVED_FAILED, es_status_http(err.status), es_error_text(&err));
        return;
    }
    note_end(infer, ES_SERVED_OK);
    es_served_unref(infer->served);
    send_answer(infer, json_size);
}

/* On a replica's thread, or on the loop's when it ran there. */
static void on_done(es_batch_job *job, const es_batch_result *result)
{
    es_infer *infer = job->context;
    const char *text = result->error != NULL ? es_error_text(result->error) : "";
    switch (result->fate) {
    case ES_BATCH_SERVED:
        answer(infer, result);
        break;
    case ES_BATCH_EXPIRED:
        end_failed(infer, ES_SERVED_REJECTED, 504, text);
        break;
    case ES_BATCH_CANCELLED:
        end_failed(infer, ES_SERVED_CANCELLED, 503, text);
        break;
    case ES_BATCH_FAILED:
    case ES_BATCH_FATE_COUNT:
        end_failed(infer, ES_SERVED_FAILED, 500, text);
        break;
    }
}

/* ---- the handler ---- */

static es_status prepare(es_infer *infer, es_error *err)
{
    ES_TRY(decode(infer, err));
    ES_TRY(inputs_place(infer, err));
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

void es_server_infer(void *context, es_http_request *request)
{
    es_server *server = context;
    es_error err = {0};
    es_served *served = es_server_model_of(server, request);
    if (served == NULL)
        return;
    es_infer *infer = infer_take(server);
    if (infer == NULL) {
        es_served_unref(served);
        es_http_answer_error(request, 503, "out of memory");
        return;
    }
    infer->request = request;
    infer->served = es_served_ref(served); /* ours may go while submit still looks at it */
    infer->start_ns = es_http_request_start_ns(request);
    atomic_fetch_add_explicit(&served->counts.pending, 1, memory_order_relaxed);
    es_status status = prepare(infer, &err);
    if (status == ES_OK)
        status = es_batcher_submit(served->batcher, &infer->job, served->runs_inline, &err);
    if (status != ES_OK)
        end_failed(infer, status == ES_ERR_UNAVAILABLE ? ES_SERVED_REJECTED : ES_SERVED_WRONG,
                   es_status_http(status), es_error_text(&err));
    es_served_unref(served);
}
