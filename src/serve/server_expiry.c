/*
 * Replicas answer overdue requests between runs; when all are busy with long ones, a timer of the
 * loop does. One timer per loop, set to the nearest deadline of the models whose requests that loop
 * has taken; each model is asked again when it fires.
 */
#include "base/clock.h"
#include "server.h"

enum { LISTING_BYTES_MAX = 16 << 20 };
static const int64_t period_ns_min = ES_NS_PER_MS;

struct es_server_expiry {
    es_http_timer timer;
    es_server *server;
    int64_t when_ns; /* INT64_MAX: not set */
};

static void set(es_server_expiry *expiry, int64_t when_ns)
{
    int64_t soonest_ns = es_clock_now_ns(expiry->server->clock) + period_ns_min;
    when_ns = when_ns < soonest_ns ? soonest_ns : when_ns;
    if (when_ns >= expiry->when_ns)
        return;
    if (es_http_timer_set(expiry->server->caller, &expiry->timer, when_ns))
        expiry->when_ns = when_ns; /* else the replicas do it, a little later */
}

static void fire(es_http_timer *timer)
{
    es_server_expiry *expiry = timer->context;
    es_repository_entry *entries = NULL;
    size_t count = 0;
    int64_t next_ns = INT64_MAX;
    expiry->when_ns = INT64_MAX;
    if (atomic_load(&expiry->server->phase) == ES_SERVER_STOPPING)
        return;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(LISTING_BYTES_MAX);
    if (arena == NULL ||
        es_repository_index(expiry->server->repository, arena, &entries, &count, NULL) != ES_OK)
        return;
    for (size_t i = 0; i < count; i++) {
        if (entries[i].served == NULL)
            continue;
        int64_t own_ns = es_batcher_expire(entries[i].served->batcher);
        next_ns = own_ns < next_ns ? own_ns : next_ns;
    }
    es_repository_index_done(entries, count);
    if (next_ns != INT64_MAX)
        set(expiry, next_ns);
}

es_status es_server_expiries_new(es_server *server, es_error *err)
{
    uint32_t count = server->opts.loop_count;
    server->expiries = ES_TAKE_ARRAY(server->arena, es_server_expiry, count);
    if (server->expiries == NULL)
        return es_arena_full(server->arena, "timers", err);
    for (uint32_t i = 0; i < count; i++)
        server->expiries[i] =
            (es_server_expiry){.timer = {.fire = fire, .context = &server->expiries[i]},
                               .server = server,
                               .when_ns = INT64_MAX};
    return ES_OK;
}

void es_server_expiry_watch(es_server *server, uint32_t loop, es_served *served)
{
    int64_t next_ns = es_batcher_expire(served->batcher);
    if (next_ns != INT64_MAX)
        set(&server->expiries[loop], next_ns);
}
