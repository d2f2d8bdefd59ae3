#include "base/log.h"
#include "run_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS_MAX = 64, RECEIVE_MAX = 256, STOP_GRACE_MS = 1000, WAIT_MS = 100 };
#define POOL_CAP ((size_t)512 << 20)
#define TIMER_MARK UINT64_MAX
#define TYPES_FROM_NODE                                                                            \
    (ES_FRAME_BIT(ES_FRAME_READY) | ES_FRAME_BIT(ES_FRAME_FAILED) |                                \
     ES_FRAME_BIT(ES_FRAME_ANSWER) | ES_FRAME_BIT(ES_FRAME_STATS))

es_run_opts es_run_opts_default(void)
{
    return (es_run_opts){.label = "plan",
                         .warm_up_s = 0.5,
                         .queue_capacity = 1024,
                         .grace_s = 2,
                         .start_timeout_s = 60};
}

bool es_run_cancelled(const es_run *run)
{
    return run->opts.stop != NULL && *run->opts.stop != 0;
}

/* ---- events ---- */

void es_run_watch(es_run *run, uint32_t v)
{
    es_run_node *node = &run->nodes[v];
    uint32_t events = (uint32_t)EPOLLIN | (node->conn.wants_write ? (uint32_t)EPOLLOUT : 0U);
    if (node->conn.fd < 0 || events == node->events)
        return;
    node->events = events;
    es_poll_change(run->epoll_fd, node->conn.fd, events, v);
}

void es_run_node_died(es_run *run, uint32_t v)
{
    es_run_node *node = &run->nodes[v];
    char text[64];
    if (node->dead)
        return;
    node->dead = true;
    node->died_ns = es_clock_now_ns(es_clock_system());
    es_conn_close(&node->conn);
    (void)es_child_reap(&node->child, 200); /* the text tells either way */
    (void)es_child_end_text(&node->child, text, sizeof text);
    if (run->time_0_ns == 0) { /* not serving yet: that is a failure of the whole run */
        if (run->status == ES_OK)
            run->status =
                es_fail(run->err, ES_ERR_UNAVAILABLE,
                        "node '%s': the process %s before it was ready", node->config.name, text);
        return;
    }
    es_log(ES_LOG_WARNING, "serve", "node '%s' died: its process %s", node->config.name, text);
}

static void node_failed(es_run *run, uint32_t v, const es_message *message)
{
    es_error told = {0};
    es_status status = es_failed_decode(message->bytes, message->header.size, &told, run->err);
    if (status == ES_OK)
        status = es_fail(run->err, told.status, "%s", told.text);
    if (run->status == ES_OK)
        run->status = es_within(run->err, status, "node '%s'", run->nodes[v].config.name);
}

static void handle(es_run *run, uint32_t v, const es_message *message)
{
    es_run_node *node = &run->nodes[v];
    if (message->header.type == ES_FRAME_ANSWER) {
        es_run_answer_in(run, message);
    } else if (message->header.type == ES_FRAME_STATS) {
        es_run_stats_in(run, v, message);
    } else if (message->header.type == ES_FRAME_FAILED) {
        node_failed(run, v, message);
    } else {
        es_status status = es_ready_decode(message->bytes, message->header.size, node->dtypes,
                                           node->config.segment_count, run->err);
        node->ready = status == ES_OK;
        if (status != ES_OK && run->status == ES_OK)
            run->status = es_within(run->err, status, "node '%s'", node->config.name);
    }
}

static void serve_node(es_run *run, uint32_t v, uint32_t events)
{
    es_run_node *node = &run->nodes[v];
    es_status status = ES_OK;
    if (node->conn.fd >= 0 && (events & (uint32_t)EPOLLOUT) != 0)
        status = es_conn_flush(&node->conn, NULL);
    for (int i = 0; i < RECEIVE_MAX && status == ES_OK && node->conn.fd >= 0; i++) {
        es_message *message = NULL;
        status = es_conn_receive(&node->conn, &message, NULL);
        if (status != ES_OK || message == NULL)
            break;
        handle(run, v, message);
        es_message_give(&run->pool, message);
    }
    if (status != ES_OK)
        es_run_node_died(run, v);
    es_run_watch(run, v);
}

es_status es_run_wait(es_run *run, int64_t until_ns, es_error *err)
{
    struct epoll_event events[EVENTS_MAX];
    es_timer_set(run->timer_fd, until_ns);
    int count = epoll_wait(run->epoll_fd, events, EVENTS_MAX, WAIT_MS);
    if (count < 0 && errno != EINTR)
        return es_fail(err, ES_ERR_IO, "cannot wait for nodes: %s", strerror(errno));
    if (es_run_cancelled(run))
        return es_fail(err, ES_ERR_CANCELLED, "the run was stopped");
    for (int i = 0; i < count; i++) {
        if (events[i].data.u64 == TIMER_MARK)
            es_timer_clear(run->timer_fd);
        else
            serve_node(run, (uint32_t)events[i].data.u64, events[i].events);
    }
    return run->status;
}

/* ---- starting ---- */

static es_status make_token(es_run *run, char hex[2 * ES_TOKEN_SIZE + 1], es_error *err)
{
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, run->token, ES_TOKEN_SIZE) : -1;
    if (fd >= 0)
        (void)close(fd); /* only read from */
    if (got != ES_TOKEN_SIZE)
        return es_fail(err, ES_ERR_IO, "cannot read /dev/urandom");
    for (size_t i = 0; i < ES_TOKEN_SIZE; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", run->token[i]); /* two digits and the end */
    return ES_OK;
}

static es_status start_processes(es_run *run, es_error *err)
{
    char hex[2 * ES_TOKEN_SIZE + 1];
    ES_TRY(make_token(run, hex, err));
    int64_t deadline_ns =
        es_clock_now_ns(es_clock_system()) + es_ns_from_s(run->opts.start_timeout_s);
    for (uint32_t v = 0; v < run->node_count; v++) {
        es_child_opts opts = {.program = run->opts.program,
                              .name = run->nodes[v].config.name,
                              .token = hex,
                              .ort_library = run->opts.ort_library};
        ES_TRY(es_within(err, es_child_start(opts, &run->nodes[v].child, err), "node '%s'",
                         opts.name));
        if (run->opts.started != NULL)
            run->opts.started(run->opts.context, (es_node_id){v}, run->nodes[v].child.pid);
    }
    for (uint32_t v = 0; v < run->node_count; v++)
        ES_TRY(es_within(
            err, es_child_await_ready(&run->nodes[v].child, deadline_ns, run->opts.stop, err),
            "node '%s'", run->nodes[v].config.name));
    return ES_OK;
}

static es_status connect_node(es_run *run, uint32_t v, es_error *err)
{
    es_run_node *node = &run->nodes[v];
    uint8_t bytes[ES_HELLO_SIZE];
    int fd = -1;
    ES_TRY(es_socket_connect("127.0.0.1", node->child.port, &fd, err));
    es_conn_init(&node->conn, fd, &run->pool, ES_PAYLOAD_SIZE_MAX, TYPES_FROM_NODE);
    node->events = EPOLLIN;
    ES_TRY(es_poll_add(run->epoll_fd, fd, EPOLLIN, v, err));
    es_hello hello = {.role = ES_HELLO_CONTROL};
    memcpy(hello.token, run->token, ES_TOKEN_SIZE);
    es_hello_encode(&hello, bytes);
    return es_conn_send_bytes(&node->conn, ES_FRAME_HELLO, bytes, sizeof bytes, err);
}

static es_status send_config(es_run *run, uint32_t v, es_error *err)
{
    es_run_node *node = &run->nodes[v];
    for (uint32_t i = 0; i < node->config.link_count; i++)
        node->config.links[i].port = run->nodes[node->config.links[i].to].child.port;
    es_text text;
    es_text_init(&text, ES_CONFIG_SIZE_MAX);
    es_config_encode(&node->config, &text);
    es_status status = es_text_status(&text, err);
    if (status == ES_OK)
        status = es_conn_send_bytes(&node->conn, ES_FRAME_CONFIG, text.bytes, text.size, err);
    es_text_done(&text);
    es_run_watch(run, v);
    return status;
}

/* One after the other, since each measures its models. */
static es_status configure_node(es_run *run, uint32_t v, int64_t deadline_ns, es_error *err)
{
    const char *name = run->nodes[v].config.name;
    ES_TRY(es_within(err, send_config(run, v, err), "node '%s'", name));
    while (!run->nodes[v].ready) {
        if (es_clock_now_ns(es_clock_system()) > deadline_ns)
            return es_fail(err, ES_ERR_UNAVAILABLE, "node '%s' is not ready after %g s", name,
                           run->opts.start_timeout_s);
        ES_TRY(es_run_wait(run, deadline_ns, err));
    }
    return ES_OK;
}

static es_status start(es_run *run, es_error *err)
{
    int64_t deadline_ns =
        es_clock_now_ns(es_clock_system()) + es_ns_from_s(run->opts.start_timeout_s);
    ES_TRY(start_processes(run, err));
    for (uint32_t v = 0; v < run->node_count; v++)
        ES_TRY(es_within(err, connect_node(run, v, err), "node '%s'", run->nodes[v].config.name));
    for (uint32_t v = 0; v < run->node_count; v++)
        ES_TRY(configure_node(run, v, deadline_ns, err));
    return ES_OK;
}

/* ---- the whole ---- */

static es_status check_opts(const es_scenario *scenario, const es_run_opts *opts, es_error *err)
{
    double total_s = scenario->slot_s * scenario->slot_count;
    uint32_t nodes = es_network_node_count(scenario->network);
    if (opts->program == NULL)
        return es_fail(err, ES_ERR_ARG, "a run needs the program that serves a node");
    if (nodes > ES_RUN_NODE_MAX)
        return es_fail(err, ES_ERR_LIMIT,
                       "a run starts one process per node: %u nodes must be at most %d", nodes,
                       ES_RUN_NODE_MAX);
    if (!(opts->duration_s >= 0) || opts->duration_s > total_s * (1 + 1e-9))
        return es_fail(err, ES_ERR_ARG, "duration_s=%g must be 0 to %g, the slots of the scenario",
                       opts->duration_s, total_s);
    if (!(opts->warm_up_s >= 0) || !(opts->grace_s >= 0) || !(opts->start_timeout_s > 0) ||
        opts->warm_up_s > 1e6 || opts->grace_s > 1e6 || opts->start_timeout_s > 1e6)
        return es_fail(err, ES_ERR_ARG,
                       "warm_up_s=%g and grace_s=%g must be 0 to 1e6, start_timeout_s=%g > 0",
                       opts->warm_up_s, opts->grace_s, opts->start_timeout_s);
    if (opts->queue_capacity == 0)
        return es_fail(err, ES_ERR_ARG, "queue_capacity=0 must be > 0");
    return ES_OK;
}

static es_status open_loop(es_run *run, es_error *err)
{
    run->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (run->epoll_fd < 0)
        return es_fail(err, ES_ERR_IO, "cannot make an event poll: %s", strerror(errno));
    ES_TRY(es_timer_new(&run->timer_fd, err));
    return es_poll_add(run->epoll_fd, run->timer_fd, EPOLLIN, TIMER_MARK, err);
}

static es_status execute(es_run *run, es_error *err)
{
    ES_TRY(es_run_configure(run, err));
    ES_TRY(open_loop(run, err));
    ES_TRY(start(run, err));
    ES_TRY(es_run_inputs_make(run, err));
    ES_TRY(es_outcome_recorder_new(run->arena, run->scenario, run->plan, run->opts.label, "run",
                                   run->seed, &run->recorder, err));
    return es_run_drive(run, err);
}

/* Tells every node to stop by closing its connection, then ends and reaps the processes. */
static void stop_all(es_run *run)
{
    es_child *children[ES_RUN_NODE_MAX];
    uint32_t count = run->nodes != NULL ? run->node_count : 0;
    for (uint32_t v = 0; v < count; v++) {
        es_conn *conn = &run->nodes[v].conn;
        es_status told = ES_OK;
        if (conn->fd >= 0)
            told = es_conn_send_bytes(conn, ES_FRAME_STOP, NULL, 0, NULL);
        (void)told; /* closing says the same */
        es_conn_close(conn);
        children[v] = &run->nodes[v].child;
    }
    es_children_end(children, count, STOP_GRACE_MS);
    es_message_pool_done(&run->pool);
    if (run->timer_fd >= 0)
        (void)close(run->timer_fd); /* nothing to do about it */
    if (run->epoll_fd >= 0)
        (void)close(run->epoll_fd);
}

es_status es_run_plan(es_arena *arena, const es_scenario *scenario, const es_plan *plan,
                      es_run_opts opts, const es_outcome **out_outcome, es_error *err)
{
    es_error own = {0};
    ES_TRY(check_opts(scenario, &opts, err));
    es_run run = {
        .arena = arena,
        .scenario = scenario,
        .plan = plan,
        .opts = opts,
        .seed = opts.seed != 0 ? opts.seed : scenario->seed,
        .duration_s =
            opts.duration_s > 0 ? opts.duration_s : scenario->slot_s * scenario->slot_count,
        .node_count = es_network_node_count(scenario->network),
        .epoll_fd = -1,
        .timer_fd = -1,
        .err = err != NULL ? err : &own,
    };
    es_message_pool_init(&run.pool, POOL_CAP);
    es_status status = execute(&run, run.err);
    stop_all(&run);
    ES_TRY(status);
    return es_outcome_seal(run.recorder, out_outcome, err);
}
