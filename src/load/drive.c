/* The loop of a load: hands queries over when they are due and takes what comes back, on one
 * thread. A query is one request, or several at once; its latency runs from when it was due to the
 * end of its last request, so neither a slow server nor a late loop hides what its clients wait. */
#include "internal.h"

#include <assert.h>
#include <sys/prctl.h>

typedef struct drive drive;

typedef struct query {
    drive *of;
    struct query *next_free;
    int64_t due_ns;
    uint32_t left; /* requests under way */
    bool failed;
} query;

struct drive {
    es_load *load;
    const es_load_plan *plan;
    es_load_tally *tally;
    es_clock *clock;
    es_rng samples;
    es_load_schedule schedule;
    int64_t start_ns, now_ns, next_due_ns; /* next_due_ns: of SERVER */
    uint32_t requests_per_query;
    uint64_t outstanding; /* queries */
    double issued_s;      /* when the latest query was due; of OFFLINE, handed over */
    double over_allowed;
    query *free_queries;
};

/* ---- what came of a request ---- */

static void note_fault(drive *d, const es_http_result *result)
{
    const es_http_reply *reply = &result->reply;
    es_load_tally *tally = d->tally;
    if (result->end == ES_HTTP_END_REPLY)
        tally->statuses[reply->status < ES_LOAD_STATUS_MAX ? reply->status : 0]++;
    else
        tally->ends[result->end]++;
    if (tally->first_fault[0] != '\0')
        return;
    if (result->end == ES_HTTP_END_REPLY)
        (void)snprintf(tally->first_fault, sizeof tally->first_fault, "status %d: %.200s",
                       reply->status, (const char *)reply->body);
    else
        (void)snprintf(tally->first_fault, sizeof tally->first_fault, "%s",
                       es_error_text(result->why));
}

static void end_query(query *q)
{
    drive *d = q->of;
    es_load_tally *tally = d->tally;
    double latency_s = es_s_from_ns(d->now_ns - q->due_ns);
    double done_s = es_s_from_ns(d->now_ns - d->start_ns);
    if (q->failed) {
        tally->failed++;
    } else {
        tally->answered++;
        tally->samples += (uint64_t)d->requests_per_query * d->load->opts.batch;
        es_histogram_add(tally->latency, latency_s > 0 ? latency_s : 0, 1);
    }
    if (q->failed || latency_s > d->load->opts.latency_target_s)
        tally->over_target++;
    if (done_s > tally->last_done_s)
        tally->last_done_s = done_s;
    d->outstanding--;
    q->next_free = d->free_queries;
    d->free_queries = q;
}

static void on_called(void *context, const es_http_result *result)
{
    query *q = context;
    drive *d = q->of;
    d->now_ns = es_clock_now_ns(d->clock);
    if (result->status != ES_OK || result->reply.status != 200) {
        note_fault(d, result);
        q->failed = true;
    }
    if (--q->left == 0)
        end_query(q);
}

/* ---- sending ---- */

static void send_request(drive *d, query *q)
{
    const es_load *load = d->load;
    const es_load_body *body = &load->bodies[es_rng_below(&d->samples, load->body_count)];
    es_http_header header;
    es_error err = {0};
    es_http_call call = es_load_call(load, body, &header);
    call.called = on_called;
    call.context = q;
    q->left++;
    if (es_http_call_send(load->peer, &call, NULL, &err) == ES_OK)
        return;
    q->left--;
    q->failed = true;
    d->tally->unsent++;
    if (d->tally->first_fault[0] == '\0')
        (void)snprintf(d->tally->first_fault, sizeof d->tally->first_fault, "%s",
                       es_error_text(&err));
}

static void send_query(drive *d, int64_t due_ns)
{
    query *q = d->free_queries;
    assert(q != NULL); /* see may_send */
    d->free_queries = q->next_free;
    *q = (query){.of = d, .due_ns = due_ns, .left = 1}; /* ours, until all are handed over */
    d->tally->queries++;
    d->outstanding++;
    for (uint32_t i = 0; i < d->requests_per_query; i++)
        send_request(d, q);
    d->now_ns = es_clock_now_ns(d->clock);
    if (--q->left == 0)
        end_query(q);
}

/* More than the pool of queries holds cannot be under way: such a query fails unsent. */
static void give_up_query(drive *d)
{
    es_load_tally *tally = d->tally;
    tally->queries++;
    tally->failed++;
    tally->unsent++;
    tally->over_target++;
    if (tally->first_fault[0] == '\0')
        (void)snprintf(tally->first_fault, sizeof tally->first_fault,
                       "%d queries are under way: the rest is not sent", ES_LOAD_OUTSTANDING_MAX);
}

/* ---- the scenario's rules ---- */

static bool wants_more(drive *d)
{
    const es_load_plan *plan = d->plan;
    es_load_tally *tally = d->tally;
    double elapsed_s = es_s_from_ns(d->now_ns - d->start_ns);
    const es_load_opts *opts = &d->load->opts;
    if (opts->stop != NULL && *opts->stop != 0)
        tally->stopped = true;
    if (plan->stop_when_lost && (double)tally->over_target > d->over_allowed)
        tally->hopeless = true;
    if (tally->stopped || tally->hopeless ||
        (plan->duration_s_max > 0 && elapsed_s >= plan->duration_s_max))
        return false;
    return d->issued_s < plan->duration_s || tally->queries < plan->query_count_min;
}

static bool may_send(const drive *d)
{
    switch (d->load->opts.scenario) {
    case ES_LOAD_SERVER:
        return d->now_ns >= d->next_due_ns;
    case ES_LOAD_OFFLINE:
        return d->outstanding < d->load->opts.connections;
    case ES_LOAD_SINGLE_STREAM:
    case ES_LOAD_MULTI_STREAM:
    case ES_LOAD_SCENARIO_COUNT:
        break;
    }
    return d->outstanding == 0;
}

static void send_next(drive *d)
{
    es_load_scenario scenario = d->load->opts.scenario;
    int64_t due_ns = d->now_ns;
    d->issued_s = es_s_from_ns(d->now_ns - d->start_ns);
    if (scenario == ES_LOAD_SERVER) {
        due_ns = d->next_due_ns;
        d->issued_s = d->schedule.at_s;
        d->next_due_ns = d->start_ns + es_ns_from_s(es_load_schedule_next(&d->schedule));
        es_histogram_add(d->tally->send_delay, es_s_from_ns(d->now_ns - due_ns), 1);
    } else if (scenario == ES_LOAD_OFFLINE) {
        due_ns = d->start_ns; /* all were there from the start */
    }
    d->tally->scheduled_s = d->issued_s;
    if (d->free_queries != NULL)
        send_query(d, due_ns);
    else
        give_up_query(d);
}

/* ---- the loop ---- */

static void show_progress(const drive *d)
{
    const es_load_opts *opts = &d->load->opts;
    const es_load_plan *plan = d->plan;
    double by_time = plan->duration_s > 0 ? d->issued_s / plan->duration_s : 1;
    double by_count =
        plan->query_count_min > 0 ? (double)d->tally->queries / (double)plan->query_count_min : 1;
    double done = by_time < by_count ? by_time : by_count;
    if (opts->progress != NULL)
        opts->progress(opts->progress_context, plan->warm_up ? "warming up" : "sending",
                       done < 0.999 ? done : 0.999); /* the end is the caller's to tell */
}

static void run_loop(drive *d)
{
    enum { BURST = 64 }; /* what has come back must not wait for more */
    const int64_t look_ns = 100 * ES_NS_PER_MS;
    int64_t shown_ns = 0;
    for (;;) {
        d->now_ns = es_clock_now_ns(d->clock);
        bool more = wants_more(d);
        for (int i = 0; more && i < BURST && may_send(d); i++) {
            send_next(d);
            more = wants_more(d);
        }
        if (!more && d->outstanding == 0)
            return;
        int64_t until_ns = d->now_ns + look_ns;
        if (more && d->load->opts.scenario == ES_LOAD_SERVER && d->next_due_ns < until_ns)
            until_ns = d->next_due_ns;
        es_http_caller_run(d->load->caller, until_ns);
        if (d->now_ns - shown_ns > look_ns) {
            shown_ns = d->now_ns;
            show_progress(d);
        }
    }
}

static bool make_queries(drive *d, es_arena *arena)
{
    query *all = ES_TAKE_ARRAY(arena, query, ES_LOAD_OUTSTANDING_MAX);
    for (size_t i = 0; all != NULL && i < ES_LOAD_OUTSTANDING_MAX; i++) {
        all[i].next_free = d->free_queries;
        d->free_queries = &all[i];
    }
    return all != NULL;
}

es_status es_load_drive(es_load *load, const es_load_plan *plan, es_load_tally *tally,
                        es_error *err)
{
    const es_load_opts *opts = &load->opts;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(16 << 20);
    drive d = {.load = load,
               .plan = plan,
               .tally = tally,
               .clock = es_clock_system(),
               .samples = es_rng_make(plan->seed_samples, 0),
               .schedule = es_load_schedule_make(plan->seed_schedule, plan->rate_rps),
               .requests_per_query = 1};
    if (arena == NULL || !make_queries(&d, arena))
        return es_fail(err, ES_ERR_NOMEM, "no memory for the queries of a load");
    if (opts->scenario == ES_LOAD_MULTI_STREAM)
        d.requests_per_query = opts->samples_per_query / opts->batch;
    double expected = plan->rate_rps * plan->duration_s;
    if (expected < (double)plan->query_count_min)
        expected = (double)plan->query_count_min;
    d.over_allowed = (1 - opts->percentile) * expected;
    d.start_ns = d.now_ns = es_clock_now_ns(d.clock);
    d.next_due_ns = d.start_ns + es_ns_from_s(es_load_schedule_next(&d.schedule));
    int slack_ns = prctl(PR_GET_TIMERSLACK, 0UL, 0UL, 0UL, 0UL);
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); /* less exact without */
    run_loop(&d);
    if (slack_ns > 0)
        (void)prctl(PR_SET_TIMERSLACK, (unsigned long)slack_ns, 0UL, 0UL, 0UL); /* as above */
    return ES_OK;
}
