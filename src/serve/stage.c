#include "node_internal.h"
#include "route/route.h"

#include <assert.h>
#include <math.h>
#include <string.h>
#include <time.h>

#define SERVICE_MAX_NS 1e17 /* three years */

int64_t es_thread_cpu_ns(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) != 0)
        return 0;
    return (int64_t)now.tv_sec * ES_NS_PER_S + now.tv_nsec;
}

int64_t es_stage_service_ns(int64_t cpu_ns, int64_t hold_ns, double slowdown)
{
    double warm_ns = slowdown > 0 ? (double)hold_ns / slowdown : (double)cpu_ns;
    double cold_ns = (double)cpu_ns > warm_ns ? (double)cpu_ns - warm_ns : 0;
    double wanted_ns = (double)hold_ns + cold_ns;
    return wanted_ns < SERVICE_MAX_NS ? (int64_t)llround(wanted_ns) : (int64_t)SERVICE_MAX_NS;
}

/* Puts tensors behind the head of the message: at most what was reserved. */
static es_status put_payload(es_message *out, const void *payload, size_t payload_bytes,
                             const void *carried, size_t carried_bytes, es_error *err)
{
    size_t size = 0;
    if (payload_bytes > UINT32_MAX || carried_bytes > UINT32_MAX ||
        (size = ES_REQUEST_HEADER_SIZE + payload_bytes + carried_bytes) > out->capacity)
        return es_fail(err, ES_ERR_LIMIT, "the model gave %zu bytes, more than its shape says",
                       payload_bytes);
    uint8_t *at = out->bytes + ES_REQUEST_HEADER_SIZE;
    if (payload_bytes > 0)
        memcpy(at, payload, payload_bytes);
    if (carried_bytes > 0)
        memcpy(at + payload_bytes, carried, carried_bytes);
    out->header.size = (uint32_t)size;
    out->request.payload_bytes = (uint32_t)payload_bytes;
    out->request.carried_bytes = (uint32_t)carried_bytes;
    return ES_OK;
}

static es_status answer(es_job *job, const es_tensor *output, es_error *err)
{
    es_message *out = job->out;
    out->header.type = ES_FRAME_ANSWER;
    out->request.destination = job->route->origin;
    out->request.link_bytes = job->route->output_bytes;
    out->request.fate = ES_FATE_SERVED;
    return put_payload(out, output->data, output->size_bytes, NULL, 0, err);
}

/* The next stage gets the output (a split) or the request again (a cascade). The request's own
 * input is carried along only when it is not the payload and a later stage wants it. */
static es_status go_on(es_job *job, const es_tensor *outputs, es_error *err)
{
    const es_request *in = &job->in->request;
    es_message *out = job->out;
    const es_config_route *route = job->route;
    uint32_t k = in->stage;
    const es_config_stage *next = &route->stages[k + 1];
    const uint8_t *payload = job->in->bytes + ES_REQUEST_HEADER_SIZE;
    bool payload_is_own = k == 0 || route->stages[k].input == ES_STAGE_INPUT_REQUEST;
    const uint8_t *own = payload_is_own ? payload : payload + in->payload_bytes;
    size_t own_bytes = payload_is_own ? in->payload_bytes : in->carried_bytes;
    bool wanted = false;
    for (uint32_t j = k + 2; j < route->stage_count; j++)
        wanted = wanted || route->stages[j].input == ES_STAGE_INPUT_REQUEST;

    out->header.type = ES_FRAME_REQUEST;
    out->request.destination = next->node;
    out->request.stage = (uint8_t)(k + 1);
    if (next->input == ES_STAGE_INPUT_REQUEST) {
        ES_TRY(put_payload(out, own, own_bytes, NULL, 0, err));
    } else {
        const es_tensor *forward = &outputs[job->stage->forward_output];
        ES_TRY(
            put_payload(out, forward->data, forward->size_bytes, own, wanted ? own_bytes : 0, err));
    }
    if (out->request.payload_bytes != next->input_bytes)
        return es_fail(err, ES_ERR_ARG, "%u bytes for a stage that takes %u",
                       out->request.payload_bytes, next->input_bytes);
    out->request.link_bytes = (uint64_t)out->request.payload_bytes + out->request.carried_bytes;
    return ES_OK;
}

es_status es_stage_decide(es_job *job, const es_tensor *outputs, es_error *err)
{
    uint32_t k = job->in->request.stage;
    const es_config_stage *stage = &job->route->stages[k];
    const es_tensor *exit = &outputs[stage->exit_output];
    bool leaves = k + 1 == job->route->stage_count;
    if (!leaves && stage->exit_threshold <= 1) {
        assert(exit->dtype == ES_DTYPE_F32);
        leaves = es_stage_confidence(exit->data, exit->size_bytes / sizeof(float)) >=
                 stage->exit_threshold;
    }
    job->out->request = job->in->request;
    job->out->request.stages_run = (uint8_t)(k + 1);
    job->out->request.turn = 0; /* it was that of this node */
    return leaves ? answer(job, exit, err) : go_on(job, outputs, err);
}

es_status es_stage_run(es_job *job, uint8_t *scratch, int64_t *out_cpu_ns, es_error *err)
{
    const es_node_segment *segment = job->stage->segment;
    es_tensor input = segment->input;
    es_tensor outputs[ES_SESSION_PORTS_MAX];
    assert(segment->output_count <= ES_SESSION_PORTS_MAX);
    input.data = job->in->bytes + ES_REQUEST_HEADER_SIZE;
    es_node_outputs_place(segment, scratch, outputs);
    int64_t before_ns = es_thread_cpu_ns();
    ES_TRY(es_session_run(segment->session, &input, 1, outputs, segment->output_count, err));
    *out_cpu_ns = es_thread_cpu_ns() - before_ns;
    es_status status = es_stage_decide(job, outputs, err);
    for (uint32_t i = 0; i < segment->output_count; i++)
        es_tensor_done(&outputs[i]);
    return status;
}
