/* The calls of one loop, by socket actions of libcurl's multi interface. A call is SENT (from
 * another thread), then RUNNING or WAITING for a connection of its peer, then ENDED; its callback
 * comes between the library's turns, never within one. */
#include "calling.h"

#include <assert.h>
struct es_http_core {
    uint32_t number, calls_max;
    long rest_s;
    es_clock *clock;
    CURLM *multi;
    es_http_sockets sockets;
    es_http_waker *waker;
    pthread_t thread;
    _Atomic bool begun; /* thread is known */
    bool closed;
    es_http_transfer *transfers;
    _Atomic uint64_t free_top; /* a stack of free ones: turns << 32 | index + 1; 0: empty */
    _Atomic uint32_t fresh;    /* from here on never used */
    _Atomic size_t count;
    _Atomic(es_http_transfer *) inbox; /* latest first; the mark of the end: see ended_mark */
    _Atomic bool cancels;              /* some transfer has a cancelled_id */
    es_http_transfer *live;            /* waiting and running, newest first */
    es_http_transfer *ended_first, *ended_last;
    int64_t library_due_ns;
    int64_t deadline_ns; /* no live one has an earlier one */
    es_http_timers timers;
    es_http_tasks tasks;
};

void es_http_core_event(es_http_core *core, int fd, uint32_t events)
{
    int running = 0;
    int mask = es_http_sockets_event(&core->sockets, fd, events);
    if (mask != 0) /* a failure shows in the results */
        (void)curl_multi_socket_action(core->multi, fd, mask, &running);
}

static int on_timer(CURLM *multi, long wait_ms, void *context)
{
    es_http_core *core = context;
    (void)multi;
    core->library_due_ns = INT64_MAX;
    if (wait_ms == 0)
        core->library_due_ns = 0;
    else if (wait_ms > 0)
        core->library_due_ns = es_clock_now_ns(core->clock) + wait_ms * ES_NS_PER_MS;
    return 0;
}

/* ---- free transfers: a stack for all threads; turns tell a top from the same one later ---- */

static uint64_t top_of(uint64_t before, uint32_t place)
{
    return ((before >> 32) + 1) << 32 | place;
}

static es_http_transfer *pop_free(es_http_core *core)
{
    uint64_t top = atomic_load(&core->free_top);
    while ((uint32_t)top != 0) {
        uint32_t index = (uint32_t)top - 1;
        uint32_t next = atomic_load(&core->transfers[index].next_free);
        if (atomic_compare_exchange_weak(&core->free_top, &top, top_of(top, next)))
            return &core->transfers[index];
    }
    uint32_t fresh = atomic_load(&core->fresh);
    while (fresh < core->calls_max) {
        if (atomic_compare_exchange_weak(&core->fresh, &fresh, fresh + 1)) {
            core->transfers[fresh].index = fresh;
            core->transfers[fresh].core = core;
            return &core->transfers[fresh];
        }
    }
    return NULL;
}

es_http_transfer *es_http_core_take(es_http_core *core)
{
    es_http_transfer *transfer = pop_free(core);
    if (transfer == NULL)
        return NULL;
    uint64_t turn = atomic_load(&transfer->id) >> (ES_HTTP_INDEX_BITS + ES_HTTP_CORE_BITS);
    uint64_t place = (uint64_t)core->number << ES_HTTP_INDEX_BITS | transfer->index;
    atomic_store(&transfer->id, (turn + 1) << (ES_HTTP_INDEX_BITS + ES_HTTP_CORE_BITS) | place);
    atomic_fetch_add(&core->count, 1);
    return transfer;
}

void es_http_core_give_back(es_http_core *core, es_http_transfer *transfer)
{
    es_http_transfer_clear(transfer);
    transfer->state = ES_HTTP_TRANSFER_FREE;
    atomic_fetch_sub(&core->count, 1);
    uint64_t top = atomic_load(&core->free_top);
    do {
        atomic_store(&transfer->next_free, (uint32_t)top);
    } while (
        !atomic_compare_exchange_weak(&core->free_top, &top, top_of(top, transfer->index + 1)));
}

size_t es_http_core_count(const es_http_core *core)
{
    return atomic_load(&core->count);
}

/* ---- a call begins and ends ---- */

static void link_live(es_http_core *core, es_http_transfer *transfer)
{
    transfer->newer = NULL;
    transfer->older = core->live;
    if (core->live != NULL)
        core->live->newer = transfer;
    core->live = transfer;
    if (transfer->deadline_ns < core->deadline_ns)
        core->deadline_ns = transfer->deadline_ns;
}

/* The result is there. */
static void ended(es_http_core *core, es_http_transfer *transfer)
{
    if (transfer->newer != NULL)
        transfer->newer->older = transfer->older;
    else
        core->live = transfer->older;
    if (transfer->older != NULL)
        transfer->older->newer = transfer->newer;
    transfer->state = ES_HTTP_TRANSFER_ENDED;
    transfer->next = NULL;
    if (core->ended_last != NULL)
        core->ended_last->next = transfer;
    else
        core->ended_first = transfer;
    core->ended_last = transfer;
}

static es_http_place *place_of(const es_http_core *core, const es_http_transfer *transfer)
{
    return &transfer->peer->places[core->number];
}

static void run_call(es_http_core *core, es_http_transfer *transfer)
{
    if (!es_http_transfer_prepare(transfer) ||
        curl_multi_add_handle(core->multi, transfer->curl) != CURLM_OK) {
        es_http_transfer_fail(transfer, ES_HTTP_END_REFUSED, ES_ERR_NOMEM, "no memory for a call");
        ended(core, transfer);
        return;
    }
    transfer->state = ES_HTTP_TRANSFER_RUNNING;
    place_of(core, transfer)->running++;
}

static void begin_call(es_http_core *core, es_http_transfer *transfer)
{
    const es_http_peer_opts *opts = &transfer->peer->opts;
    es_http_place *place = place_of(core, transfer);
    link_live(core, transfer);
    if (place->running < opts->connections_max) {
        run_call(core, transfer);
        return;
    }
    if (place->waiting >= opts->waiting_max) {
        es_http_transfer_fail(transfer, ES_HTTP_END_REFUSED, ES_ERR_UNAVAILABLE,
                              "%u calls wait for one of %u connections", place->waiting,
                              opts->connections_max);
        ended(core, transfer);
        return;
    }
    transfer->state = ES_HTTP_TRANSFER_WAITING;
    transfer->next = NULL;
    if (place->last != NULL)
        place->last->next = transfer;
    else
        place->first = transfer;
    place->last = transfer;
    place->waiting++;
}

static void run_waiting(es_http_core *core, es_http_place *place, uint32_t connections_max)
{
    while (place->first != NULL && place->running < connections_max) {
        es_http_transfer *transfer = place->first;
        place->first = transfer->next;
        if (place->first == NULL)
            place->last = NULL;
        place->waiting--;
        run_call(core, transfer);
    }
}

static void leave_library(es_http_core *core, es_http_transfer *transfer)
{
    (void)curl_multi_remove_handle(core->multi, transfer->curl); /* it is there */
    place_of(core, transfer)->running--;
}

static void leave_queue(es_http_core *core, es_http_transfer *transfer)
{
    es_http_place *place = place_of(core, transfer);
    es_http_transfer *before = NULL;
    for (es_http_transfer *at = place->first; at != transfer; at = at->next)
        before = at;
    if (before != NULL)
        before->next = transfer->next;
    else
        place->first = transfer->next;
    if (place->last == transfer)
        place->last = before;
    place->waiting--;
}

/* A waiting or running call ends here, whatever the library would say. */
static void cut(es_http_core *core, es_http_transfer *transfer, es_http_end end)
{
    es_http_place *place = place_of(core, transfer);
    assert(transfer->state == ES_HTTP_TRANSFER_WAITING ||
           transfer->state == ES_HTTP_TRANSFER_RUNNING);
    if (transfer->state == ES_HTTP_TRANSFER_RUNNING)
        leave_library(core, transfer);
    else
        leave_queue(core, transfer);
    if (end == ES_HTTP_END_LATE)
        es_http_transfer_fail(transfer, end, ES_ERR_UNAVAILABLE, "timed out after %g s",
                              transfer->timeout_s);
    else
        es_http_transfer_fail(transfer, end, ES_ERR_CANCELLED, "cancelled");
    ended(core, transfer);
    if (!core->closed)
        run_waiting(core, place, transfer->peer->opts.connections_max);
}

/* ---- what other threads want ---- */

/* Stands in the inbox once nothing may come in: a transfer that is never handed out. */
static es_http_transfer *ended_mark(const es_http_core *core)
{
    return &core->transfers[core->calls_max];
}

bool es_http_core_submit(es_http_core *core, es_http_transfer *transfer)
{
    if (es_http_core_is_here(core)) {
        if (!core->closed)
            begin_call(core, transfer);
        return !core->closed;
    }
    transfer->state = ES_HTTP_TRANSFER_SENT;
    es_http_transfer *head = atomic_load(&core->inbox);
    do {
        if (head == ended_mark(core))
            return false;
        transfer->next = head;
    } while (!atomic_compare_exchange_weak(&core->inbox, &head, transfer));
    if (head == NULL) /* whoever found it empty rings for all behind */
        es_http_waker_ring(core->waker);
    return true;
}

/* In the order in which they were sent. */
static es_http_transfer *take_inbox(es_http_core *core, es_http_transfer *leave)
{
    es_http_transfer *oldest = NULL;
    es_http_transfer *next = NULL;
    if (leave == NULL && atomic_load(&core->inbox) == NULL)
        return NULL;
    for (es_http_transfer *at = atomic_exchange(&core->inbox, leave);
         at != NULL && at != ended_mark(core); at = next) {
        next = at->next;
        at->next = oldest;
        oldest = at;
    }
    return oldest;
}

void es_http_core_cancel(es_http_core *core, uint32_t index, uint64_t id)
{
    if (index >= atomic_load(&core->fresh))
        return;
    es_http_transfer *transfer = &core->transfers[index];
    uint64_t before = atomic_load(&transfer->cancelled_id);
    while (before < id && !atomic_compare_exchange_weak(&transfer->cancelled_id, &before, id))
        continue;
    if (before >= id || atomic_load(&transfer->id) != id) /* said already, or long ended */
        return;
    atomic_store(&core->cancels, true);
    if (!es_http_core_is_here(core))
        es_http_waker_ring(core->waker);
}

static void cut_cancelled(es_http_core *core)
{
    es_http_transfer *older = NULL;
    if (!atomic_load(&core->cancels) || !atomic_exchange(&core->cancels, false))
        return;
    for (es_http_transfer *at = core->live; at != NULL; at = older) {
        older = at->older; /* a cut may begin another, and that may end at once */
        if (atomic_load(&at->cancelled_id) == atomic_load(&at->id) &&
            at->state != ES_HTTP_TRANSFER_ENDED)
            cut(core, at, ES_HTTP_END_CANCELLED);
    }
}

static void cut_late(es_http_core *core, int64_t now_ns)
{
    es_http_transfer *older = NULL;
    if (now_ns < core->deadline_ns)
        return;
    for (es_http_transfer *at = core->live; at != NULL; at = older) {
        older = at->older;
        if (at->deadline_ns <= now_ns && at->state != ES_HTTP_TRANSFER_ENDED)
            cut(core, at, ES_HTTP_END_LATE);
    }
    core->deadline_ns = INT64_MAX;
    for (const es_http_transfer *at = core->live; at != NULL; at = at->older) {
        if (at->deadline_ns < core->deadline_ns)
            core->deadline_ns = at->deadline_ns;
    }
}

/* ---- a turn of the loop ---- */

static void collect(es_http_core *core)
{
    int left = 0;
    const CURLMsg *message = NULL;
    while ((message = curl_multi_info_read(core->multi, &left)) != NULL) {
        void *own = NULL;
        CURLcode code = message->data.result; /* the message goes with the handle */
        if (message->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &own);
        es_http_transfer *transfer = own;
        es_http_place *place = place_of(core, transfer);
        es_http_transfer_conclude(transfer, code);
        leave_library(core, transfer);
        ended(core, transfer);
        run_waiting(core, place, transfer->peer->opts.connections_max);
    }
}

/* Those that had ended before; their callbacks may end others. */
static void call_back(es_http_core *core)
{
    es_http_transfer *next = NULL;
    es_http_transfer *first = core->ended_first;
    core->ended_first = core->ended_last = NULL;
    for (es_http_transfer *at = first; at != NULL; at = next) {
        next = at->next;
        at->called(at->context, &at->result);
        es_http_core_give_back(core, at);
    }
}

void es_http_core_step(es_http_core *core)
{
    enum { ROUNDS_MAX = 16 }; /* callbacks that always send more must not hold the loop */
    for (int round = 0; round < ROUNDS_MAX; round++) {
        es_http_transfer *next = NULL;
        for (es_http_transfer *at = take_inbox(core, NULL); at != NULL; at = next) {
            next = at->next;
            begin_call(core, at);
        }
        es_http_tasks_run(&core->tasks);
        cut_cancelled(core);
        int64_t now_ns = es_clock_now_ns(core->clock);
        es_http_timers_fire(&core->timers, now_ns);
        if (core->library_due_ns <= now_ns) {
            int running = 0;
            core->library_due_ns = INT64_MAX; /* unless the library sets it again */
            (void)curl_multi_socket_action(core->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        }
        collect(core);
        cut_late(core, now_ns); /* after what has come in time */
        if (core->ended_first == NULL && core->library_due_ns > now_ns)
            break;
        call_back(core);
    }
}

int64_t es_http_core_due_ns(const es_http_core *core)
{
    if (core->ended_first != NULL || atomic_load(&core->cancels))
        return 0;
    int64_t due_ns = es_http_timers_due_ns(&core->timers);
    due_ns = core->library_due_ns < due_ns ? core->library_due_ns : due_ns;
    return core->deadline_ns < due_ns ? core->deadline_ns : due_ns;
}

es_http_timers *es_http_core_timers(es_http_core *core)
{
    return &core->timers;
}

es_http_tasks *es_http_core_tasks(es_http_core *core)
{
    return &core->tasks;
}

es_http_waker *es_http_core_waker(es_http_core *core)
{
    return core->waker;
}

bool es_http_core_is_closed(const es_http_core *core)
{
    return core->closed;
}

/* ---- life ---- */

es_status es_http_core_new(const es_http_caller_opts *opts, uint32_t number, int epoll_fd,
                           es_http_waker *waker, es_http_core **out_core, es_error *err)
{
    es_http_library_start();
    es_http_core *core = calloc(1, sizeof *core);
    if (core == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for an HTTP caller");
    core->number = number;
    core->calls_max = opts->calls_max;
    core->rest_s = (long)(opts->idle_timeout_s + 0.5);
    core->clock = es_clock_system();
    core->sockets.epoll_fd = epoll_fd;
    core->waker = es_http_waker_ref(waker);
    core->library_due_ns = core->deadline_ns = INT64_MAX;
    core->transfers = calloc((size_t)opts->calls_max + 1, sizeof *core->transfers);
    core->multi = curl_multi_init();
    if (core->transfers == NULL || core->multi == NULL) {
        es_http_core_free(core);
        return es_fail(err, ES_ERR_NOMEM, "no memory for an HTTP caller");
    }
    (void)curl_multi_setopt(core->multi, CURLMOPT_SOCKETFUNCTION, es_http_sockets_want);
    (void)curl_multi_setopt(core->multi, CURLMOPT_SOCKETDATA, &core->sockets);
    (void)curl_multi_setopt(core->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    (void)curl_multi_setopt(core->multi, CURLMOPT_TIMERDATA, core);
    (void)curl_multi_setopt(core->multi, CURLMOPT_MAXCONNECTS, (long)opts->connections_max);
    *out_core = core;
    return ES_OK;
}

void es_http_core_begin(es_http_core *core)
{
    core->thread = pthread_self();
    atomic_store(&core->begun, true);
}

bool es_http_core_is_here(const es_http_core *core)
{
    return atomic_load(&core->begun) && pthread_equal(core->thread, pthread_self()) != 0;
}

es_http_sockets *es_http_core_sockets(es_http_core *core)
{
    return &core->sockets;
}

long es_http_core_rest_s(const es_http_core *core)
{
    return core->rest_s;
}

void es_http_core_close(es_http_core *core)
{
    es_http_transfer *next = NULL;
    if (core->closed || core->transfers == NULL)
        return;
    core->closed = true;
    for (es_http_transfer *at = take_inbox(core, ended_mark(core)); at != NULL; at = next) {
        next = at->next;
        link_live(core, at);
        es_http_transfer_fail(at, ES_HTTP_END_CANCELLED, ES_ERR_CANCELLED, "the caller has ended");
        ended(core, at);
    }
    while (core->live != NULL)
        cut(core, core->live, ES_HTTP_END_CANCELLED);
    while (core->ended_first != NULL)
        call_back(core);
    es_http_tasks_end(&core->tasks);
    while (es_http_timers_due_ns(&core->timers) != INT64_MAX)
        es_http_timers_fire(&core->timers, INT64_MAX);
}

void es_http_core_free(es_http_core *core)
{
    if (core == NULL)
        return;
    es_http_core_close(core);
    for (uint32_t i = 0; core->transfers != NULL && i < atomic_load(&core->fresh); i++)
        es_http_transfer_done(&core->transfers[i]);
    if (core->multi != NULL)
        (void)curl_multi_cleanup(core->multi); /* closes the kept connections */
    es_http_sockets_done(&core->sockets);
    es_http_timers_done(&core->timers);
    free(core->transfers);
    es_http_waker_unref(core->waker);
    free(core);
}
