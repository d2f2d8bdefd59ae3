#include "node_internal.h"

#include <assert.h>
#include <string.h>

void es_node_report(es_node_server *node, const es_request *request, es_fate fate, const char *text)
{
    size_t size = strnlen(text, ES_ERROR_SIZE - 1);
    es_message *message =
        es_message_take(&node->pool, ES_FRAME_ANSWER, ES_REQUEST_HEADER_SIZE + size);
    if (message == NULL || node->control == NULL) {
        es_message_give(&node->pool, message);
        return; /* the run counts requests that nobody answered */
    }
    message->request = *request;
    message->request.fate = fate;
    message->request.payload_bytes = (uint32_t)size;
    message->request.carried_bytes = 0;
    message->request.when_ns = es_clock_now_ns(es_clock_system());
    memcpy(message->bytes + ES_REQUEST_HEADER_SIZE, text, size);
    if (es_conn_send(&node->control->conn, message, NULL) != ES_OK)
        node->ended = true; /* without its run a node has nothing to do */
    else
        es_node_watch(node, node->control);
}

static void fail_message(es_node_server *node, es_message *message, es_fate fate, const char *text)
{
    es_node_report(node, &message->request, fate, text);
    es_message_give(&node->pool, message);
}

void es_node_link_lost(es_node_server *node, es_peer *peer)
{
    es_message *message = NULL;
    while ((message = es_message_list_pop(&peer->conn.outgoing)) != NULL)
        fail_message(node, message, ES_FATE_FAILED, "the link to the next node is gone");
    es_node_peer_close(node, peer);
}

/* The run wants to know when the answer was here, whatever was planned. */
static void answer_run(es_node_server *node, es_message *message)
{
    int64_t now_ns = es_clock_now_ns(es_clock_system());
    message->request.when_ns = now_ns > message->when_ns ? now_ns : message->when_ns;
    if (node->control == NULL || es_conn_send(&node->control->conn, message, NULL) != ES_OK)
        node->ended = true;
    else
        es_node_watch(node, node->control);
}

/* Sent at once: the other end holds it until the emulated link would have delivered it, so the
 * real socket's time does not add up. */
static void forward(es_node_server *node, es_message *message)
{
    uint32_t hop = node->config.next_hops[message->request.destination];
    es_peer *peer = hop != ES_INDEX_NONE ? node->links[hop] : NULL;
    if (peer == NULL || peer->conn.fd < 0) {
        fail_message(node, message, ES_FATE_FAILED,
                     peer == NULL ? "there is no way to the next node"
                                  : "the link to the next node is gone");
        return;
    }
    double bytes = (double)message->request.link_bytes;
    double backlog = es_link_emulator_backlog_bytes(&peer->link, message->when_ns);
    if (backlog > 0 && backlog + bytes > node->config.link_backlog_bytes) {
        fail_message(node, message, ES_FATE_REFUSED, "too much is waiting on the link");
        return;
    }
    message->request.when_ns = es_link_emulator_enqueue(&peer->link, message->when_ns, bytes);
    if (es_conn_send(&peer->conn, message, NULL) != ES_OK)
        es_node_link_lost(node, peer);
    else
        es_node_watch(node, peer);
}

static es_job *take_job(es_node_server *node)
{
    es_job *job = node->jobs_free;
    if (job != NULL) {
        node->jobs_free = job->next;
        return job;
    }
    job = calloc(1, sizeof *job);
    if (job != NULL) {
        job->next_made = node->jobs_made;
        node->jobs_made = job;
    }
    return job;
}

static void give_job(es_node_server *node, es_job *job)
{
    es_message_give(&node->pool, job->in);
    es_message_give(&node->pool, job->out);
    job->in = NULL;
    job->out = NULL;
    job->next = node->jobs_free;
    node->jobs_free = job;
}

/* The stage of a request that is for this node, or why there is none. */
static const es_node_stage *find_stage(const es_node_server *node, const es_request *request,
                                       const char **why)
{
    if (request->route >= node->config.route_count ||
        request->stage >= node->config.routes[request->route].stage_count) {
        *why = "the route or the stage is unknown to the node";
        return NULL;
    }
    const es_config_stage *planned = &node->config.routes[request->route].stages[request->stage];
    const es_node_stage *stage =
        &node->models.stages[(size_t)request->route * ES_STAGE_COUNT_MAX + request->stage];
    *why = stage->segment == NULL                           ? "the stage does not run on the node"
           : request->payload_bytes != planned->input_bytes ? "the input has the wrong size"
                                                            : NULL;
    return *why == NULL ? stage : NULL;
}

static void run_here(es_node_server *node, es_message *message)
{
    const char *why = NULL;
    const es_node_stage *stage = find_stage(node, &message->request, &why);
    if (stage == NULL) {
        fail_message(node, message, ES_FATE_FAILED, why);
        return;
    }
    if (node->jobs_out >= (size_t)node->config.queue_capacity + node->workers.count) {
        fail_message(node, message, ES_FATE_REFUSED, "the queue of the node is full");
        return;
    }
    es_message *out = es_message_take(&node->pool, ES_FRAME_ANSWER,
                                      ES_REQUEST_HEADER_SIZE + (size_t)stage->result_bytes_max);
    es_job *job = out != NULL ? take_job(node) : NULL;
    if (job == NULL) {
        es_message_give(&node->pool, out);
        fail_message(node, message, ES_FATE_REFUSED, "the node has no memory for the result");
        return;
    }
    job->in = message;
    job->out = out;
    job->route = &node->config.routes[message->request.route];
    job->stage = stage;
    node->jobs_out++;
    bool pushed = es_queue_try_push(node->workers.waiting, job);
    assert(pushed); /* it has room for every job */
    (void)pushed;
}

void es_node_serve_turns(es_node_server *node)
{
    es_message *message = NULL;
    int64_t now_ns = es_clock_now_ns(es_clock_system());
    while ((message = es_turns_take(&node->turns, now_ns)) != NULL)
        run_here(node, message);
}

static void wait_for_turn(es_node_server *node, es_message *message)
{
    int64_t now_ns = es_clock_now_ns(es_clock_system());
    if (node->turns.waiting.count >= node->config.queue_capacity ||
        es_turns_add(&node->turns, node->arena, message, now_ns, NULL) != ES_OK)
        fail_message(node, message, ES_FATE_REFUSED, "too many wait for their turn");
    es_node_serve_turns(node);
}

void es_node_deliver(es_node_server *node, es_message *message)
{
    if (message->request.destination >= node->config.node_count)
        fail_message(node, message, ES_FATE_FAILED, "the destination is unknown to the node");
    else if (message->request.destination != node->config.node)
        forward(node, message);
    else if (message->header.type == ES_FRAME_ANSWER)
        answer_run(node, message);
    else if (message->request.turn > 0)
        wait_for_turn(node, message);
    else
        run_here(node, message);
}

void es_node_collect(es_node_server *node)
{
    es_job *job = NULL;
    while ((job = es_queue_try_pop(node->workers.finished)) != NULL) {
        node->jobs_out--;
        node->busy_ns += (uint64_t)(job->end_ns - job->start_ns);
        if (job->status == ES_OK) {
            es_message *out = ES_TAKE(job->out);
            out->when_ns = job->end_ns;
            es_node_deliver(node, out);
        } else {
            es_node_report(node, &job->in->request, ES_FATE_FAILED, es_error_text(&job->err));
        }
        give_job(node, job);
    }
}
