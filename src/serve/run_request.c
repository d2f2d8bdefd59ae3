/*
 * A request from its origin to the node of its first stage, and its answer back. The driver is the
 * origin: it emulates its links both ways; those between nodes are the nodes'.
 */
#include "base/log.h"
#include "oip/oip.h"
#include "run_internal.h"

#include <string.h>

enum { TENSOR_TEXT_MAX = 4096, DIGITS_SIZE = 24 };
#define BODIES_BYTES_MAX ((size_t)512 << 20) /* of requests under way; more: refused */
#define TIMEOUT_MORE_S 60.0 /* nothing that the run still waits for may run into its time limit */

/* ---- links between the origin and another node ---- */

/* When bytes that leave `from` are at `to`. *out_ns; INT64_MAX: arena full. */
static int64_t link_due_ns(es_run *run, uint32_t from, uint32_t to, int64_t leaves_ns, double bytes)
{
    es_link_emulator **link = &run->links[(size_t)from * run->node_count + to];
    es_serve_peer way = {.latency_s = 0};
    if (from == to)
        return leaves_ns;
    if (*link == NULL) {
        *link = ES_TAKE_ONE(run->arena, es_link_emulator);
        if (*link == NULL)
            return INT64_MAX;
        (void)es_serve_peer_link(run->scenario, (es_node_id){from}, (es_node_id){to},
                                 &way); /* there is one: run_config.c */
        **link = es_link_emulator_make(es_ns_from_s(way.latency_s), way.bandwidth_bps,
                                       way.relay_s_per_bit);
    }
    return es_link_emulator_enqueue(*link, leaves_ns, bytes);
}

bool es_run_way_lives(const es_run *run, size_t routing, uint32_t stages_run, int64_t before_ns)
{
    const uint64_t *bits = run->ways[routing].touches[stages_run - 1];
    for (uint32_t v = 0; v < run->node_count; v++) {
        const es_run_node *node = &run->nodes[v];
        if (node->dead && node->died_ns < before_ns && (bits[v / 64] >> (v % 64) & 1) != 0)
            return false;
    }
    return true;
}

/* ---- the answer ---- */

/* The task's samples in order; classes begin at other ones, so that all have their share. */
static size_t sample_of(const es_run *run, const es_run_pending *pending)
{
    size_t count = run->inputs[pending->routing]->count;
    size_t first = count * pending->class_id / run->scenario->class_count;
    return (first + (size_t)(pending->sequence % count)) % count;
}

static double quality_of(const es_run *run, const es_run_pending *pending,
                         const es_oip_tensor *answer)
{
    const es_routing *routing = &run->plan->routings[pending->routing];
    const es_run_inputs *inputs = run->inputs[pending->routing];
    if (inputs->labels == NULL || run->opts.input != NULL || answer->dtype != ES_DTYPE_F32 ||
        answer->size_bytes < sizeof(float))
        return run->scenario->pipelines[routing->pipeline.index].quality;
    size_t best = es_argmax(answer->data, answer->size_bytes / sizeof(float));
    return best == inputs->labels[sample_of(run, pending)] ? 1 : 0;
}

typedef struct stages {
    uint32_t count;
    double service_s[ES_STAGE_COUNT_MAX], queue_s[ES_STAGE_COUNT_MAX];
} stages;

static es_status read_stages(const es_run *run, const es_run_pending *pending,
                             const es_http_reply *reply, stages *out, es_error *err)
{
    es_serve_visit visits[ES_STAGE_COUNT_MAX];
    const char *text = es_http_reply_header(reply, ES_STAGES_HEADER);
    *out = (stages){.count = 0};
    ES_TRY(es_serve_visits_decode(run->scratch, text, visits, &out->count, err));
    if (out->count > run->ways[pending->routing].stage_count)
        return es_fail(err, ES_ERR_PARSE, "%u stages, more than the route has", out->count);
    for (uint32_t k = 0; k < out->count; k++) {
        out->service_s[k] = (double)visits[k].compute_us * 1e-6;
        out->queue_s[k] = (double)visits[k].queue_us * 1e-6;
    }
    return ES_OK;
}

static es_status read_tensor(const es_run *run, const es_http_reply *reply, es_oip_tensor *out,
                             es_error *err)
{
    es_oip_message message;
    int64_t json_size = 0;
    const char *size = es_http_reply_header(reply, ES_OIP_JSON_SIZE_HEADER);
    if (!es_oip_json_size(size, &json_size))
        return es_fail(err, ES_ERR_PARSE, "%s: '%.32s'", ES_OIP_JSON_SIZE_HEADER, size);
    ES_TRY(es_oip_decode(run->scratch, ES_OIP_ANSWER, reply->body, reply->body_bytes, json_size,
                         &message, err));
    if (message.tensor_count != 1)
        return es_fail(err, ES_ERR_PARSE, "%zu tensors in an answer", message.tensor_count);
    *out = message.tensors[0];
    return ES_OK;
}

static void tell_answer(const es_run *run, const es_run_pending *pending, const stages *did,
                        const es_oip_tensor *tensor, double latency_s)
{
    const es_run_answer answer = {
        .class_id = {pending->class_id},
        .sequence = pending->sequence,
        .routing = pending->routing,
        .latency_s = latency_s,
        .stages_run = did->count,
        .service_s = did->service_s,
        .queue_s = did->queue_s,
        .output = tensor->data,
        .output_bytes = tensor->size_bytes,
    };
    run->opts.answered(run->opts.context, &answer);
}

/* When the origin has the answer: the link has brought it, or so much later as this machine was too
 * busy to bring it. */
static int64_t back_ns(es_run *run, const es_run_pending *pending, const stages *did,
                       const es_http_reply *reply)
{
    const es_run_way *way = &run->ways[pending->routing];
    int64_t now_ns = es_clock_now_ns(es_clock_system());
    int64_t leaves_ns = 0;
    const char *text = es_http_reply_header(reply, ES_DUE_HEADER);
    if (text == NULL || !es_text_to_int64(text, &leaves_ns) || leaves_ns <= 0)
        leaves_ns = now_ns;
    int64_t due_ns = link_due_ns(run, way->stages[did->count - 1].node, way->origin, leaves_ns,
                                 (double)way->output_bytes);
    return now_ns > due_ns ? es_machine_settle_ns(due_ns, now_ns) : due_ns;
}

/* Fills the sample of an answer that is one. */
static es_status take_answer(es_run *run, const es_run_pending *pending, const es_http_reply *reply,
                             es_sample *sample, es_error *err)
{
    stages did;
    es_oip_tensor tensor = {.dtype = ES_DTYPE_NONE};
    ES_TRY(read_stages(run, pending, reply, &did, err));
    ES_TRY(read_tensor(run, reply, &tensor, err));
    if (did.count == 0)
        return es_fail(err, ES_ERR_PARSE, "an answer without stages");
    sample->stages_run = did.count;
    if (es_http_reply_header(reply, ES_PARTIAL_HEADER) != NULL) {
        /* What stands in for an answer is not the plan's: the stage that is missing failed, or had
         * no room. */
        bool failed = es_http_reply_header(reply, ES_FAILED_HEADER) != NULL;
        sample->fate = failed ? ES_FATE_FAILED : ES_FATE_REFUSED;
    } else {
        int64_t there_ns = back_ns(run, pending, &did, reply);
        double latency_s = es_s_from_ns(there_ns - pending->arrival_ns);
        bool lives = es_run_way_lives(run, pending->routing, did.count, there_ns);
        sample->fate = lives ? ES_FATE_SERVED : ES_FATE_FAILED;
        sample->latency_s = latency_s > 0 ? latency_s : 0;
        sample->pipeline = run->plan->routings[pending->routing].pipeline;
        sample->quality = quality_of(run, pending, &tensor);
        if (lives && pending->recorded && run->opts.answered != NULL)
            tell_answer(run, pending, &did, &tensor, sample->latency_s);
    }
    es_run_account(run, pending->routing, did.count, did.service_s, sample);
    return ES_OK;
}

static void tell_failure(es_run *run, const char *text)
{
    if (!run->failure_told)
        es_log(ES_LOG_WARNING, "serve", "a request failed: %s (told once)", text);
    run->failure_told = true;
}

/* Full queues, and no room for what waits, answer 503 without naming a node that failed. */
static void take_error(es_run *run, const es_http_reply *reply, es_sample *sample)
{
    bool named = es_http_reply_header(reply, ES_FAILED_HEADER) != NULL;
    sample->fate = reply->status == 503 && !named ? ES_FATE_REFUSED : ES_FATE_FAILED;
    if (sample->fate == ES_FATE_FAILED)
        tell_failure(run, reply->body_bytes > 0 ? (const char *)reply->body : "no text");
}

static void on_called(void *context, const es_http_result *result)
{
    enum { GONE_MS = 20 };
    es_run_pending *pending = context;
    es_run *run = pending->run;
    es_error err = {0};
    es_sample sample = {.fate = ES_FATE_FAILED};
    if (!pending->used)
        return; /* it has its fate: the run is over */
    es_arena_reset(run->scratch);
    if (result->end == ES_HTTP_END_REPLY && result->reply.status == 200) {
        if (take_answer(run, pending, &result->reply, &sample, &err) != ES_OK)
            tell_failure(run, es_error_text(&err));
    } else if (result->end == ES_HTTP_END_REPLY) {
        take_error(run, &result->reply, &sample);
    } else if (result->end == ES_HTTP_END_REFUSED) {
        sample.fate = ES_FATE_REFUSED;
    } else { /* its node is gone, as a rule */
        es_run_node_look(run, run->ways[pending->routing].stages[0].node, GONE_MS);
        tell_failure(run, es_error_text(result->why));
    }
    es_run_pending_end(run, pending, &sample);
}

/* ---- the request ---- */

static const void *input_of(es_run *run, const es_run_pending *pending)
{
    const es_run_inputs *inputs = run->inputs[pending->routing];
    if (run->opts.input != NULL && pending->recorded) {
        void *bytes = es_arena_take(run->scratch, inputs->size_bytes, 1);
        if (bytes != NULL && run->opts.input(run->opts.context, (es_class_id){pending->class_id},
                                             pending->sequence, bytes, inputs->size_bytes))
            return bytes;
    }
    return inputs->bytes + sample_of(run, pending) * inputs->size_bytes;
}

static es_status make_body(es_run *run, es_run_pending *pending, int64_t *out_json_size,
                           es_error *err)
{
    static const es_oip_param binary = {
        .name = "binary_data_output", .type = ES_DOC_BOOL, .as.boolean = true};
    const es_run_way *way = &run->ways[pending->routing];
    const es_run_inputs *inputs = run->inputs[pending->routing];
    es_tensor shape = es_port_tensor(&es_run_model_of(run, &way->stages[0])->inputs[0], 1);
    es_oip_tensor tensor = {.name = es_run_model_of(run, &way->stages[0])->inputs[0].name,
                            .dtype = shape.dtype,
                            .rank = shape.rank,
                            .data = input_of(run, pending),
                            .size_bytes = inputs->size_bytes,
                            .binary = true};
    memcpy(tensor.dims, shape.dims, sizeof tensor.dims);
    const es_oip_message message = {
        .params = {.items = &binary, .count = 1}, .tensors = &tensor, .tensor_count = 1};
    es_text_clear(&pending->body);
    return es_oip_encode(ES_OIP_REQUEST, &message, &pending->body, out_json_size, err);
}

static es_status send(es_run *run, es_run_pending *pending, es_error *err)
{
    const es_run_way *way = &run->ways[pending->routing];
    uint32_t first = way->stages[0].node;
    es_http_header headers[5];
    size_t count = 0;
    char json[DIGITS_SIZE], due[DIGITS_SIZE], timeout[DIGITS_SIZE], turn[DIGITS_SIZE];
    int64_t json_size = 0;
    double left_s = es_s_from_ns(run->last_ns - pending->leaves_ns) + TIMEOUT_MORE_S;
    ES_TRY(make_body(run, pending, &json_size, err));
    int64_t due_ns = link_due_ns(run, way->origin, first, pending->leaves_ns,
                                 (double)run->inputs[pending->routing]->size_bytes);
    (void)snprintf(json, sizeof json, "%lld", (long long)json_size);
    (void)snprintf(due, sizeof due, "%lld", (long long)due_ns);
    (void)snprintf(timeout, sizeof timeout, "%.0f", 1e6 * left_s);
    (void)snprintf(turn, sizeof turn, "%u", pending->turn);
    headers[count++] = (es_http_header){ES_OIP_JSON_SIZE_HEADER, json};
    headers[count++] = (es_http_header){ES_ROUTE_HEADER, way->header};
    headers[count++] = (es_http_header){ES_DUE_HEADER, due};
    headers[count++] = (es_http_header){ES_TIMEOUT_HEADER, timeout};
    if (pending->turn > 0)
        headers[count++] = (es_http_header){ES_TURN_HEADER, turn};
    const es_http_call call = {.method = ES_HTTP_POST,
                               .path = way->path,
                               .headers = headers,
                               .header_count = count,
                               .body = es_text_get(&pending->body),
                               .body_bytes = pending->body.size,
                               .timeout_s = left_s,
                               .called = on_called,
                               .context = pending};
    return es_http_call_send(run->nodes[first].http, &call, NULL, err);
}

void es_run_send(es_run *run, es_run_pending *pending)
{
    const es_run_way *way = &run->ways[pending->routing];
    size_t size = run->inputs[pending->routing]->size_bytes + TENSOR_TEXT_MAX;
    es_error err = {0};
    es_sample sample = {.fate = ES_FATE_REFUSED};
    if (run->nodes[way->origin].dead || run->nodes[way->stages[0].node].dead)
        sample.fate = ES_FATE_FAILED;
    else if (run->body_bytes + size <= BODIES_BYTES_MAX) {
        es_arena_reset(run->scratch);
        if (send(run, pending, &err) == ES_OK) {
            run->body_bytes += pending->body.size;
            return;
        }
        sample.fate = err.status == ES_ERR_UNAVAILABLE ? ES_FATE_REFUSED : ES_FATE_FAILED;
        if (sample.fate == ES_FATE_FAILED)
            tell_failure(run, es_error_text(&err));
    }
    es_text_clear(&pending->body);
    es_run_pending_end(run, pending, &sample);
}
