/* The emulated machine of a node (machine.h) before its batchers: an inference is handed over to
 * its model once a processor is free, and a replica is then idle. */
#include "base/clock.h"
#include "server_route.h"

struct es_server_turns {
    es_http_timer timer;
    es_server *server;
};

/* ---- times, also of nodes whose models do not share processors ---- */

int64_t es_server_machine_arrival_ns(es_infer *infer)
{
    int64_t now_ns = es_clock_now_ns(infer->server->clock);
    es_infer_route *route = infer->route;
    if (route == NULL || route->due_ns == 0)
        return now_ns;
    int64_t due_ns = route->due_ns;
    route->due_ns = 0;
    return es_machine_settle_ns(due_ns, now_ns);
}

int64_t es_server_machine_hold(es_infer *infer, const es_batch_result *result, int64_t *out_end_ns)
{
    const es_server *server = infer->server;
    int64_t cpu_ns = result->gather_ns + (result->cpu_ns > 0 ? result->cpu_ns : result->run_ns);
    double slowdown = server->opts.slowdown;
    int64_t hold_ns = infer->served->service_ns > 0 ? infer->served->service_ns
                                                    : (int64_t)((double)cpu_ns * slowdown);
    int64_t start_ns =
        server->machine != NULL ? infer->processor.start_ns : infer->arrival_ns + result->queue_ns;
    start_ns = es_machine_settle_ns(start_ns, infer->submitted_ns + result->queue_ns);
    int64_t end_ns = start_ns + es_machine_service_ns(cpu_ns, hold_ns, slowdown);
    es_hop_be_exact();
    es_clock_sleep_until_ns(server->clock, end_ns);
    *out_end_ns = es_machine_settle_ns(end_ns, es_clock_now_ns(server->clock));
    if (infer->route != NULL)
        infer->route->ready_ns = *out_end_ns;
    return start_ns;
}

/* ---- handing over ---- */

static void start_next(es_server *server)
{
    es_machine_job *job = NULL;
    while ((job = es_machine_next(server->machine, es_clock_now_ns(server->clock))) != NULL)
        es_server_infer_hand_over(job->context);
}

void es_server_machine_leave(es_infer *infer, int64_t end_ns)
{
    es_server *server = infer->server;
    if (server->machine == NULL)
        return;
    es_machine_end(server->machine, &infer->processor, end_ns);
    start_next(server);
}

/* ---- turns: a timer of the loop looks after those whose predecessor was lost ---- */

static void watch(es_server *server, uint32_t loop)
{
    int64_t wake_ns = es_machine_wake_ns(server->machine);
    if (wake_ns != INT64_MAX &&
        !es_http_timer_set(server->caller, &server->turns[loop].timer, wake_ns))
        es_server_machine_close(server); /* no memory: rather out of turn than never */
}

static void on_patience(es_http_timer *timer)
{
    es_server_turns *turns = timer->context;
    es_server *server = turns->server;
    start_next(server);
    if (atomic_load(&server->phase) != ES_SERVER_STOPPING)
        watch(server, (uint32_t)(turns - server->turns));
}

void es_server_machine_enter(es_infer *infer)
{
    es_error err = {0};
    es_server *server = infer->server;
    uint32_t loop = es_http_request_loop(infer->request);
    uint32_t turn = infer->route != NULL ? (uint32_t)infer->route->turn : 0;
    infer->processor =
        (es_machine_job){.arrival_ns = infer->arrival_ns, .turn = turn, .context = infer};
    if (turn > 0)
        infer->route->turn = 0; /* it was that of this stage */
    if (es_machine_enter(server->machine, &infer->processor, &err) != ES_OK) {
        es_server_infer_refuse(infer, &err);
        return;
    }
    start_next(server); /* the inference may be gone by now */
    if (turn > 0 && es_http_caller_is_here(server->caller))
        watch(server, loop);
}

/* ---- life ---- */

es_status es_server_machine_new(es_server *server, es_error *err)
{
    uint32_t loops = server->opts.loop_count;
    if (!server->opts.emulate || server->opts.processors == 0)
        return ES_OK;
    server->turns = ES_TAKE_ARRAY(server->arena, es_server_turns, loops);
    if (server->turns == NULL)
        return es_arena_full(server->arena, "timers", err);
    for (uint32_t i = 0; i < loops; i++)
        server->turns[i] = (es_server_turns){
            .timer = {.fire = on_patience, .context = &server->turns[i]}, .server = server};
    return es_machine_new(server->opts.processors, server->opts.queue_max, &server->machine, err);
}

void es_server_machine_close(es_server *server)
{
    if (server->machine == NULL)
        return;
    es_machine_close(server->machine);
    start_next(server);
}
