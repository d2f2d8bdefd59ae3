/* The face of calling: which loop a call goes to, and loops that no server drives. */
#include "calling.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { CALLS_MAX = 1 << ES_HTTP_INDEX_BITS, EVENTS_MAX = 64 };

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void library_start(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT); /* a failure shows when a handle is made */
}

void es_http_library_start(void)
{
    (void)pthread_once(&library_once, library_start); /* cannot fail with these arguments */
}

/* ---- options ---- */

es_http_caller_opts es_http_caller_opts_default(void)
{
    return (es_http_caller_opts){.calls_max = 1024, .connections_max = 256, .idle_timeout_s = 50};
}

static es_status check_opts(const es_http_caller_opts *opts, es_error *err)
{
    if (opts->calls_max < 1 || opts->calls_max >= CALLS_MAX)
        return es_fail(err, ES_ERR_ARG, "calls_max=%u must be in [1, %d]", opts->calls_max,
                       CALLS_MAX - 1);
    if (opts->connections_max < 1 || opts->connections_max > CALLS_MAX)
        return es_fail(err, ES_ERR_ARG, "connections_max=%u must be in [1, %d]",
                       opts->connections_max, CALLS_MAX);
    if (!(opts->idle_timeout_s >= 1 && opts->idle_timeout_s <= 86400))
        return es_fail(err, ES_ERR_ARG, "idle_timeout_s=%g must be in [1, 86400]",
                       opts->idle_timeout_s);
    return ES_OK;
}

/* ---- a loop of our own ---- */

static void turn(es_http_caller *caller, int64_t until_ns)
{
    struct epoll_event events[EVENTS_MAX];
    es_http_core *core = caller->cores[0];
    int64_t due_ns = es_http_core_due_ns(core);
    int count =
        es_http_epoll_wait(caller->epoll_fd, events, EVENTS_MAX, es_clock_now_ns(es_clock_system()),
                           due_ns < until_ns ? due_ns : until_ns);
    for (int i = 0; i < count; i++) {
        if (events[i].data.u64 == ES_HTTP_TAG_WAKER)
            es_http_waker_hush(caller->waker);
        else
            es_http_core_event(core, (int)events[i].data.u64, events[i].events);
    }
    es_http_core_step(core);
}

static void *run(void *context)
{
    es_http_caller *caller = context;
    es_http_core_begin(caller->cores[0]);
    while (!atomic_load(&caller->ending))
        turn(caller, INT64_MAX);
    es_http_core_close(caller->cores[0]);
    return NULL;
}

void es_http_caller_run(es_http_caller *caller, int64_t until_ns)
{
    if (!es_http_core_is_here(caller->cores[0]))
        es_http_core_begin(caller->cores[0]);
    turn(caller, until_ns);
}

/* ---- life ---- */

static es_status caller_make(es_http_caller_opts opts, size_t core_count,
                             es_http_caller **out_caller, es_error *err)
{
    ES_TRY(check_opts(&opts, err));
    ES_CLEANUP(es_http_caller_free_p) es_http_caller *caller = calloc(1, sizeof *caller);
    if (caller == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for an HTTP caller");
    caller->opts = opts;
    caller->epoll_fd = -1;
    caller->cores = calloc(core_count, sizeof *caller->cores);
    if (caller->cores == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for an HTTP caller");
    caller->core_count = core_count;
    *out_caller = ES_TAKE(caller);
    return ES_OK;
}

es_status es_http_caller_new(es_http_caller_opts opts, es_http_caller **out_caller, es_error *err)
{
    ES_CLEANUP(es_http_caller_free_p) es_http_caller *caller = NULL;
    ES_TRY(caller_make(opts, 1, &caller, err));
    caller->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    caller->waker = es_http_waker_new();
    if (caller->epoll_fd < 0 || caller->waker == NULL ||
        !es_http_epoll_add(caller->epoll_fd, caller->waker->fd, ES_HTTP_TAG_WAKER))
        return es_fail(err, ES_ERR_IO, "cannot make descriptors for an HTTP caller: errno %d",
                       errno);
    ES_TRY(es_http_core_new(&opts, 0, caller->epoll_fd, caller->waker, &caller->cores[0], err));
    if (opts.by_hand)
        es_http_core_begin(caller->cores[0]);
    else if (pthread_create(&caller->thread, NULL, run, caller) != 0)
        return es_fail(err, ES_ERR_NOMEM, "cannot start a thread for an HTTP caller");
    else
        caller->thread_runs = true;
    *out_caller = ES_TAKE(caller);
    return ES_OK;
}

es_status es_http_server_caller(es_http_server *server, es_http_caller_opts opts,
                                es_http_caller **out_caller, es_error *err)
{
    uint32_t count = server->opts.loop_count;
    if (server->started || server->stopped || server->caller != NULL)
        return es_fail(err, ES_ERR_ARG, "a server takes one caller, before it starts");
    ES_CLEANUP(es_http_caller_free_p) es_http_caller *caller = NULL;
    ES_TRY(caller_make(opts, count, &caller, err));
    caller->borrowed = true;
    for (uint32_t i = 0; i < count; i++)
        ES_TRY(es_http_core_new(&opts, i, server->loops[i].epoll_fd, server->loops[i].waker,
                                &caller->cores[i], err));
    for (uint32_t i = 0; i < count; i++)
        server->loops[i].core = caller->cores[i];
    *out_caller = server->caller = ES_TAKE(caller);
    return ES_OK;
}

void es_http_caller_free(es_http_caller *caller)
{
    if (caller == NULL)
        return;
    atomic_store(&caller->ending, true);
    if (caller->thread_runs) {
        es_http_waker_ring(caller->waker);
        (void)pthread_join(caller->thread, NULL); /* fails only for a thread that is not ours */
    }
    for (size_t i = 0; i < caller->core_count; i++)
        es_http_core_free(caller->cores[i]);
    if (caller->epoll_fd >= 0)
        (void)close(caller->epoll_fd); /* nothing is lost with it */
    es_http_waker_unref(caller->waker);
    free(caller->cores);
    free(caller);
}

void es_http_caller_free_p(es_http_caller **caller)
{
    es_http_caller_free(*caller);
}

/* ---- calls ---- */

es_http_core *es_http_caller_core_here(es_http_caller *caller)
{
    for (size_t i = 0; i < caller->core_count; i++) {
        if (es_http_core_is_here(caller->cores[i]))
            return caller->cores[i];
    }
    return NULL;
}

static es_http_core *choose(es_http_caller *caller)
{
    es_http_core *here = es_http_caller_core_here(caller);
    if (here != NULL)
        return here;
    return caller->cores[atomic_fetch_add(&caller->turn, 1) % caller->core_count];
}

es_status es_http_call_send(es_http_peer *peer, const es_http_call *call, es_http_call_id *out_id,
                            es_error *err)
{
    es_http_core *core = choose(peer->caller);
    if (call->called == NULL)
        return es_fail(err, ES_ERR_ARG, "a call needs a callback");
    es_http_transfer *transfer = es_http_core_take(core);
    if (transfer == NULL)
        return es_fail(err, ES_ERR_UNAVAILABLE, "%u calls are under way",
                       peer->caller->opts.calls_max);
    transfer->peer = es_http_peer_ref(peer);
    es_status status = es_http_transfer_fill(transfer, call, err);
    uint64_t id = atomic_load(&transfer->id);
    if (status == ES_OK && !es_http_core_submit(core, transfer))
        status = es_fail(err, ES_ERR_UNAVAILABLE, "the caller has ended");
    if (status != ES_OK) {
        es_http_core_give_back(core, transfer);
        return status;
    }
    if (out_id != NULL)
        out_id->value = id;
    return ES_OK;
}

void es_http_call_cancel(es_http_caller *caller, es_http_call_id id)
{
    uint32_t index = id.value & ((1u << ES_HTTP_INDEX_BITS) - 1);
    size_t number = (size_t)(id.value >> ES_HTTP_INDEX_BITS) & ((1u << ES_HTTP_CORE_BITS) - 1);
    if (id.value != 0 && number < caller->core_count)
        es_http_core_cancel(caller->cores[number], index, id.value);
}

bool es_http_caller_is_here(es_http_caller *caller)
{
    return es_http_caller_core_here(caller) != NULL;
}

size_t es_http_caller_count(const es_http_caller *caller)
{
    size_t count = 0;
    for (size_t i = 0; i < caller->core_count; i++)
        count += es_http_core_count(caller->cores[i]);
    return count;
}
