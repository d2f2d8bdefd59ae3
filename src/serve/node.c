#include "node_internal.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

/* What the loop watches besides connections, whose number + MARK_COUNT is their mark. */
enum { MARK_LISTEN, MARK_TIMER, MARK_WORKERS, MARK_COUNT };

enum {
    EVENTS_MAX = 64,
    RECEIVE_MAX = 64,     /* messages from one connection before the others have their turn */
    IDLE_MS = 200,        /* *stop is looked at this often at least */
    NEW_PEERS_MAX = 1024, /* connections without a hello */
    ARENA_CAP = 512 << 20
};
#define POOL_CAP ((size_t)1 << 30)

#define TYPES_NEW ES_FRAME_BIT(ES_FRAME_HELLO)
#define TYPES_LINK (ES_FRAME_BIT(ES_FRAME_REQUEST) | ES_FRAME_BIT(ES_FRAME_ANSWER))
#define TYPES_CONTROL                                                                              \
    (ES_FRAME_BIT(ES_FRAME_CONFIG) | ES_FRAME_BIT(ES_FRAME_REQUEST) |                              \
     ES_FRAME_BIT(ES_FRAME_STATS) | ES_FRAME_BIT(ES_FRAME_STOP))

es_node_opts es_node_opts_default(void)
{
    return (es_node_opts){.name = "node", .address = "127.0.0.1", .ready_fd = 1};
}

/* ---- connections ---- */

static uint64_t peer_mark(const es_node_server *node, const es_peer *peer)
{
    uint32_t i = 0;
    while (i < node->peer_count && node->peers[i] != peer)
        i++;
    return (uint64_t)i + MARK_COUNT;
}

void es_node_watch(es_node_server *node, es_peer *peer)
{
    if (peer->conn.fd < 0)
        return;
    uint32_t events = (peer->conn.starved ? 0U : (uint32_t)EPOLLIN) |
                      (peer->conn.wants_write ? (uint32_t)EPOLLOUT : 0U);
    if (events == peer->events)
        return;
    peer->events = events;
    es_poll_change(node->epoll_fd, peer->conn.fd, events, peer_mark(node, peer));
}

es_status es_node_peer_new(es_node_server *node, int fd, es_peer_role role, es_peer **out_peer,
                           es_error *err)
{
    es_peer *peer = NULL;
    uint32_t i = 0;
    while (i < node->peer_count && node->peers[i]->role != ES_PEER_FREE)
        i++;
    if (i < node->peer_count) {
        peer = node->peers[i];
    } else if (node->peer_count == ES_NODE_PEER_MAX) {
        return es_fail(err, ES_ERR_LIMIT, "more than %d connections", ES_NODE_PEER_MAX);
    } else {
        peer = calloc(1, sizeof *peer);
        if (peer == NULL)
            return es_fail(err, ES_ERR_NOMEM, "no memory for a connection");
        node->peers[node->peer_count++] = peer;
    }
    *peer = (es_peer){.role = role, .events = EPOLLIN};
    es_conn_init(&peer->conn, fd, &node->pool, ES_PAYLOAD_SIZE_MAX, TYPES_NEW);
    es_status status = es_poll_add(node->epoll_fd, fd, EPOLLIN, (uint64_t)i + MARK_COUNT, err);
    if (status != ES_OK) {
        peer->conn.fd = -1; /* the caller still owns it */
        peer->role = ES_PEER_FREE;
        return status;
    }
    *out_peer = peer;
    return ES_OK;
}

void es_node_peer_close(es_node_server *node, es_peer *peer)
{
    es_conn_close(&peer->conn);
    if (peer == node->control) {
        node->control = NULL;
        node->ended = true;
    }
    /* What has left its sender still arrives: messages held stay until they are due. Links out
     * keep their slot, since the configuration points to them. */
    if (peer->role != ES_PEER_OUT && peer->held.first == NULL)
        peer->role = ES_PEER_FREE;
}

static void accept_all(es_node_server *node)
{
    int fd = -1;
    while ((fd = es_socket_accept(node->listen_fd)) >= 0) {
        es_peer *peer = NULL;
        uint32_t new_count = 0;
        for (uint32_t i = 0; i < node->peer_count; i++)
            new_count += node->peers[i]->role == ES_PEER_NEW;
        if (new_count >= NEW_PEERS_MAX ||
            es_node_peer_new(node, fd, ES_PEER_NEW, &peer, NULL) != ES_OK)
            (void)close(fd); /* refused: too many */
    }
}

/* ---- configuration ---- */

/* Neighbours may still have to connect to it: their first frames come before any request. */
static void say_configured(es_node_server *node)
{
    es_text text;
    es_text_init(&text, ES_READY_SIZE_MAX);
    es_put_uint(&text, node->models.segment_count, 4);
    for (uint32_t i = 0; i < node->models.segment_count; i++)
        es_put_uint(&text, (uint64_t)node->models.segments[i].input.dtype, 4);
    if (es_text_status(&text, NULL) != ES_OK || node->control == NULL ||
        es_conn_send_bytes(&node->control->conn, ES_FRAME_READY, text.bytes, text.size, NULL) !=
            ES_OK)
        node->ended = true;
    else
        es_node_watch(node, node->control);
    es_text_done(&text);
}

static es_status connect_link(es_node_server *node, const es_config_link *link, es_peer **out_peer,
                              es_error *err)
{
    int fd = -1;
    es_peer *peer = NULL;
    ES_TRY(es_socket_connect(link->address, link->port, &fd, err));
    es_status status = es_node_peer_new(node, fd, ES_PEER_OUT, &peer, err);
    if (status != ES_OK) {
        (void)close(fd); /* the first error is the one to tell */
        return status;
    }
    peer->conn.types = 0; /* nothing comes back on a link */
    peer->to = link->to;
    peer->link = es_link_emulator_make(link->latency_ns, link->bandwidth_bps, 0);
    es_hello hello = {.role = ES_HELLO_LINK, .from = node->config.node};
    memcpy(hello.token, node->token, ES_TOKEN_SIZE);
    uint8_t bytes[ES_HELLO_SIZE];
    es_hello_encode(&hello, bytes);
    *out_peer = peer;
    return es_conn_send_bytes(&peer->conn, ES_FRAME_HELLO, bytes, sizeof bytes, err);
}

static es_status configure(es_node_server *node, const es_message *message, es_error *err)
{
    if (node->configured)
        return es_fail(err, ES_ERR_PARSE, "a second configuration");
    es_config config;
    ES_TRY(es_config_decode(node->arena, message->bytes, message->header.size, &config, err));
    node->config = config;
    if (config.ort_library[0] == '\0' && node->opts.ort_library != NULL)
        node->config.ort_library = node->opts.ort_library;
    ES_TRY(es_node_models_load(node->arena, &node->config, &node->models, err));
    if (config.segment_count > 0 && config.workers == 0)
        return es_fail(err, ES_ERR_ARG, "it has no processors, but segments to run");
    node->workers_on = true;
    ES_TRY(es_workers_start(node->arena, &node->workers, config.workers,
                            (size_t)config.queue_capacity + config.workers,
                            node->models.scratch_bytes, config.slowdown, err));
    ES_TRY(es_poll_add(node->epoll_fd, node->workers.event_fd, EPOLLIN, MARK_WORKERS, err));
    node->links = ES_TAKE_ARRAY(node->arena, es_peer *, config.link_count);
    if (node->links == NULL)
        return es_arena_full(node->arena, "links", err);
    for (uint32_t i = 0; i < config.link_count; i++)
        ES_TRY(es_within(err, connect_link(node, &config.links[i], &node->links[i], err),
                         "link to node %u", config.links[i].to));
    node->configured = true;
    return ES_OK;
}

static void configure_or_tell(es_node_server *node, const es_message *message)
{
    es_error err = {0};
    es_status status = configure(node, message, &err);
    if (status == ES_OK) {
        say_configured(node);
        return;
    }
    uint8_t bytes[ES_FAILED_SIZE_MAX];
    size_t size = es_failed_encode(status, es_error_text(&err), bytes);
    /* The run ends the node by closing the connection; when it cannot be told, it is gone. */
    if (node->control == NULL ||
        es_conn_send_bytes(&node->control->conn, ES_FRAME_FAILED, bytes, size, NULL) != ES_OK)
        node->ended = true;
}

/* ---- messages ---- */

/* Every byte is looked at, so that the time tells nothing. */
static bool same_token(const uint8_t *a, const uint8_t *b)
{
    uint8_t differs = 0;
    for (size_t i = 0; i < ES_TOKEN_SIZE; i++)
        differs |= (uint8_t)(a[i] ^ b[i]);
    return differs == 0;
}

static es_status greet(es_node_server *node, es_peer *peer, const es_message *message,
                       es_error *err)
{
    es_hello hello;
    ES_TRY(es_hello_decode(message->bytes, message->header.size, &hello, err));
    if (node->token_set && !same_token(hello.token, node->token))
        return es_fail(err, ES_ERR_ARG, "wrong token");
    if (hello.role == ES_HELLO_CONTROL) {
        if (node->control != NULL)
            return es_fail(err, ES_ERR_ARG, "a second controller");
        node->control = peer;
        peer->role = ES_PEER_CONTROL;
        peer->conn.types = TYPES_CONTROL;
    } else {
        peer->role = ES_PEER_IN;
        peer->conn.types = TYPES_LINK;
    }
    return ES_OK;
}

static void tell_stats(es_node_server *node, const es_message *message)
{
    es_stats stats;
    if (es_stats_decode(message->bytes, message->header.size, &stats, NULL) != ES_OK)
        return; /* its size was checked */
    es_node_collect(node);
    int64_t now_ns = es_clock_now_ns(es_clock_system());
    stats.busy_ns = node->busy_ns;
    stats.waiting = node->jobs_out + node->turns.waiting.count;
    es_node_meter_read(node, true);
    es_node_meter_tell(node, &stats);
    for (uint32_t i = 0; i < node->workers.count; i++) {
        int64_t since_ns = atomic_load(&node->workers.items[i].since_ns);
        if (since_ns > 0 && since_ns < now_ns)
            stats.busy_ns += (uint64_t)(now_ns - since_ns);
    }
    uint8_t bytes[ES_STATS_SIZE];
    es_stats_encode(&stats, bytes);
    if (node->control == NULL || es_conn_send_bytes(&node->control->conn, ES_FRAME_STATS, bytes,
                                                    sizeof bytes, NULL) != ES_OK)
        node->ended = true;
    else
        es_node_watch(node, node->control);
}

/* Takes the message over. */
static es_status handle(es_node_server *node, es_peer *peer, es_message *message, es_error *err)
{
    es_status status = ES_OK;
    es_frame_type type = message->header.type; /* one that the connection may carry */
    if (type == ES_FRAME_REQUEST || type == ES_FRAME_ANSWER) {
        if (node->configured) {
            message->when_ns = message->request.when_ns;
            es_message_list_push(&peer->held, message);
            return ES_OK;
        }
        status = es_fail(err, ES_ERR_PARSE, "a request before the configuration");
    } else if (type == ES_FRAME_HELLO) {
        status = greet(node, peer, message, err);
    } else if (type == ES_FRAME_CONFIG) {
        configure_or_tell(node, message);
    } else if (type == ES_FRAME_STATS) {
        tell_stats(node, message);
    } else {
        node->ended = true; /* stop */
    }
    es_message_give(&node->pool, message);
    return status;
}

static void receive(es_node_server *node, es_peer *peer)
{
    for (int i = 0; i < RECEIVE_MAX && peer->conn.fd >= 0; i++) {
        es_message *message = NULL;
        es_status status = es_conn_receive(&peer->conn, &message, NULL);
        if (status == ES_OK && message == NULL)
            break;
        if (status == ES_OK)
            status = handle(node, peer, message, NULL);
        if (status != ES_OK && peer->role == ES_PEER_OUT)
            es_node_link_lost(node, peer);
        else if (status != ES_OK)
            es_node_peer_close(node, peer);
    }
    es_node_watch(node, peer);
}

static void serve_peer(es_node_server *node, es_peer *peer, uint32_t events)
{
    if (peer->conn.fd >= 0 && (events & (uint32_t)EPOLLOUT) != 0) {
        es_status status = es_conn_flush(&peer->conn, NULL);
        if (status != ES_OK && peer->role == ES_PEER_OUT)
            es_node_link_lost(node, peer);
        else if (status != ES_OK)
            es_node_peer_close(node, peer);
    }
    if (peer->conn.fd >= 0)
        receive(node, peer);
}

/* ---- the loop ---- */

/* Hands on what is due, in order of time; returns when the next one is. */
static int64_t release_due(es_node_server *node)
{
    for (;;) {
        es_peer *first = NULL;
        for (uint32_t i = 0; i < node->peer_count; i++) {
            es_peer *peer = node->peers[i];
            if (peer->held.first != NULL &&
                (first == NULL || peer->held.first->when_ns < first->held.first->when_ns))
                first = peer;
        }
        if (first == NULL)
            return INT64_MAX;
        if (first->held.first->when_ns > es_clock_now_ns(es_clock_system()))
            return first->held.first->when_ns;
        es_node_deliver(node, es_message_list_pop(&first->held));
        if (first->conn.fd < 0 && first->held.first == NULL && first->role != ES_PEER_OUT)
            first->role = ES_PEER_FREE;
    }
}

static void feed_starved(es_node_server *node)
{
    for (uint32_t i = 0; i < node->peer_count; i++) {
        if (node->peers[i]->conn.fd >= 0 && node->peers[i]->conn.starved)
            receive(node, node->peers[i]);
    }
}

static void serve_event(es_node_server *node, const struct epoll_event *event)
{
    if (event->data.u64 == MARK_LISTEN) {
        accept_all(node);
    } else if (event->data.u64 == MARK_TIMER) {
        es_timer_clear(node->timer_fd);
    } else if (event->data.u64 == MARK_WORKERS) {
        es_timer_clear(node->workers.event_fd); /* it reads like a timer */
        es_node_collect(node);
    } else {
        uint64_t i = event->data.u64 - MARK_COUNT;
        if (i < node->peer_count)
            serve_peer(node, node->peers[i], event->events);
    }
}

static es_status loop(es_node_server *node, const volatile sig_atomic_t *stop, es_error *err)
{
    struct epoll_event events[EVENTS_MAX];
    int64_t timer_ns = INT64_MAX;
    while (!node->ended && (stop == NULL || *stop == 0)) {
        int64_t next_ns = release_due(node);
        es_node_serve_turns(node);
        if (es_turns_next_ns(&node->turns) < next_ns)
            next_ns = es_turns_next_ns(&node->turns);
        if (next_ns != timer_ns)
            es_timer_set(node->timer_fd, next_ns);
        timer_ns = next_ns;
        int count = epoll_wait(node->epoll_fd, events, EVENTS_MAX, IDLE_MS);
        if (count < 0 && errno != EINTR)
            return es_fail(err, ES_ERR_IO, "cannot wait for connections: %s", strerror(errno));
        for (int i = 0; i < count; i++)
            serve_event(node, &events[i]);
        feed_starved(node);
        es_node_meter_read(node, false);
    }
    return ES_OK;
}

/* ---- life ---- */

static int hex_digit(char letter)
{
    const char *digits = "0123456789abcdef";
    const char *at = letter != '\0' ? strchr(digits, letter) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

static es_status read_token(es_node_server *node, es_error *err)
{
    const char *words = node->opts.token != NULL ? node->opts.token : getenv("ESTRAN_NODE_TOKEN");
    if (words == NULL)
        return ES_OK;
    for (size_t i = 0; i < ES_TOKEN_SIZE; i++) {
        int high = hex_digit(words[2 * i]);
        int low = high >= 0 ? hex_digit(words[2 * i + 1]) : -1;
        if (low < 0)
            return es_fail(err, ES_ERR_ARG, "ESTRAN_NODE_TOKEN must be %d hexadecimal digits",
                           2 * ES_TOKEN_SIZE);
        node->token[i] = (uint8_t)(16 * high + low);
    }
    node->token_set = true;
    return ES_OK;
}

static es_status say_ready(es_node_server *node, es_error *err)
{
    char line[32];
    int size = snprintf(line, sizeof line, "ready %u\n", node->port);
    if (write(node->opts.ready_fd, line, (size_t)size) != size)
        return es_fail(err, ES_ERR_IO, "cannot say on descriptor %d that it is ready: %s",
                       node->opts.ready_fd, strerror(errno));
    if (node->opts.ready_fd > STDERR_FILENO)
        (void)close(node->opts.ready_fd); /* said what there was to say */
    return ES_OK;
}

static es_status start(es_node_server *node, es_error *err)
{
    ES_TRY(read_token(node, err));
    node->arena = es_arena_new(ARENA_CAP);
    node->peers = calloc(ES_NODE_PEER_MAX, sizeof(es_peer *));
    if (node->arena == NULL || node->peers == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for the node");
    es_message_pool_init(&node->pool, POOL_CAP);
    es_node_meter_start(node);
    node->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (node->epoll_fd < 0)
        return es_fail(err, ES_ERR_IO, "cannot make an event poll: %s", strerror(errno));
    ES_TRY(es_timer_new(&node->timer_fd, err));
    ES_TRY(
        es_socket_listen(node->opts.address, node->opts.port, &node->listen_fd, &node->port, err));
    ES_TRY(es_poll_add(node->epoll_fd, node->listen_fd, EPOLLIN, MARK_LISTEN, err));
    ES_TRY(es_poll_add(node->epoll_fd, node->timer_fd, EPOLLIN, MARK_TIMER, err));
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); /* less exact without */
    return say_ready(node, err);
}

static void close_if_open(int fd)
{
    if (fd >= 0)
        (void)close(fd); /* nothing to do about it */
}

/* Workers first, since they hold messages and sessions; then connections; then memory. */
static void finish(es_node_server *node)
{
    if (node->workers_on) {
        es_workers_stop(&node->workers);
        es_workers_done(&node->workers);
    }
    while (node->jobs_made != NULL) {
        es_job *job = node->jobs_made;
        node->jobs_made = job->next_made;
        es_message_give(&node->pool, job->in);
        es_message_give(&node->pool, job->out);
        free(job);
    }
    for (size_t i = 0; i < node->turns.waiting.count; i++)
        es_message_give(&node->pool, node->turns.waiting.items[i].message);
    for (uint32_t i = 0; i < node->peer_count; i++) {
        es_conn_close(&node->peers[i]->conn);
        es_message_list_clear(&node->peers[i]->held, &node->pool);
        free(node->peers[i]);
    }
    free((void *)node->peers);
    es_node_models_done(&node->models);
    es_message_pool_done(&node->pool);
    close_if_open(node->listen_fd);
    close_if_open(node->timer_fd);
    close_if_open(node->epoll_fd);
    es_arena_free(node->arena);
}

es_status es_node_serve(es_node_opts opts, volatile sig_atomic_t *stop, es_error *err)
{
    es_node_server node = {.opts = opts, .listen_fd = -1, .epoll_fd = -1, .timer_fd = -1};
    es_status status = start(&node, err);
    if (status == ES_OK)
        status = loop(&node, stop, err);
    finish(&node);
    return es_within(err, status, "node '%s'", opts.name);
}
