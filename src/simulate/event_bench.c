/* Event mode: events per second on tandems, beside SimGrid where it is installed, and a million
 * devices behind ten gateways for an hour. Run from the project's root. */
#include "es_bench.h"
#include "es_peers.h"
#include "simulate/simulate.h"

#include <sys/resource.h>

enum { ROUNDS = 5, SMALL = 10, LARGE = 1000, SMALL_REQUESTS = 100000, LARGE_REQUESTS = 2000 };
#define DEVICES 1000000.0

typedef struct tandem_job {
    es_tandem tandem;
    uint64_t event_count;
    double visits;
} tandem_job;

static es_tandem make_tandem(uint32_t nodes, uint32_t requests)
{
    es_tandem tandem = {.node_count = nodes,
                        .servers = 1,
                        .arrivals = {.kind = ES_ARRIVAL_POISSON, .rate_rps = 80},
                        .service_s = 0.01,
                        .bits = 4e5,
                        .bandwidth_bps = 1e8,
                        .latency_s = 0.001,
                        .run_s = requests / 80.0,
                        .drain = true,
                        .seed = 1};
    return tandem;
}

static bool run_tandem(void *context)
{
    tandem_job *job = context;
    es_tandem_sums sums;
    es_world world;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)256 << 20);
    if (arena == NULL || es_tandem_make(arena, &job->tandem, &sums, &world, NULL) != ES_OK ||
        es_world_run(&world, NULL) != ES_OK)
        return false;
    job->event_count = world.event_count;
    job->visits = sums.served * job->tandem.node_count;
    return es_tandem_conserves(&sums);
}

/* Visits of nodes per second of SimGrid; NAN: not installed. */
static double ask_simgrid(const es_tandem *tandem, uint32_t requests)
{
#ifdef ES_SIMGRID_PROGRAM
    char path[] = "/tmp/estran-bench-XXXXXX";
    es_peer_answer answer = {0};
    if (!es_peer_write(tandem, 0, requests, path))
        return (double)NAN;
    bool there = es_peer_ask(ES_SIMGRID_PROGRAM, path, &answer);
    (void)unlink(path);
    return there ? requests * (double)tandem->node_count / answer.wall_s : (double)NAN;
#else
    (void)tandem;
    (void)requests;
    return (double)NAN;
#endif
}

static bool bench_tandem(es_bench *bench, uint32_t nodes, uint32_t requests, double target,
                         const char *const words[3])
{
    tandem_job given = {.tandem = make_tandem(nodes, requests)};
    es_bench_job job = {.what = words[0], .run = run_tandem, .context = &given};
    if (!es_bench_time(&job, 1, ROUNDS))
        return false;
    es_bench_add(bench, words[0], (double)given.event_count / job.median_s, "events/s", "higher",
                 target);
    double own = given.visits / job.median_s;
    es_bench_add(bench, words[1], own, "visits/s", "higher", (double)NAN);
    double simgrid = ask_simgrid(&given.tandem, requests);
    if (isfinite(simgrid))
        es_bench_add(bench, words[2], own / simgrid, "times", "higher", 1);
    else
        (void)fprintf(stderr, "event_bench: SimGrid is not installed: no ratio\n");
    return true;
}

static const char CITY[] =
    "format: estran-scenario\nversion: 1\nname: city\n"
    "slots: {length_s: 60, count: 60}\n"
    "nodes:\n"
    "  - {name: cloud, tier: cloud, memory_mb: 1000, processors: 64, macs_per_s: 1.0e12}\n";

/* Ten gateways, a cloud behind them; 100,000 devices each that ask every ten minutes. */
static void write_city(es_text *text)
{
    es_text_append(text, CITY);
    for (int g = 0; g < 10; g++)
        es_text_format(text,
                       "  - {name: g%d, tier: edge, memory_mb: 100, processors: 4, "
                       "macs_per_s: 1.0e9, idle_w: 5, busy_w: 15}\n",
                       g);
    es_text_append(text, "links:\n");
    for (int g = 0; g < 10; g++)
        es_text_format(text, "  - {between: [g%d, cloud], latency_ms: 10, bandwidth_mbps: 100}\n",
                       g);
    es_text_append(text, "tasks: [{name: t, input_bytes: 2000, output_bytes: 50}]\n"
                         "segments:\n"
                         "  - {name: small, memory_mb: 1, work_macs: 10000000}\n"
                         "  - {name: large, memory_mb: 500, work_macs: 1000000000}\n"
                         "pipelines:\n"
                         "  - {name: cascade, task: t, quality: 0.95, stages: [{segment: small}, "
                         "{segment: large, reach: 0.2, input: request}]}\n"
                         "demand:\n"
                         "  - {task: t, at: {tier: edge}, rate_rps: 166.67, devices: {count: "
                         "100000, battery_j: 1000, request_mj: 50, moves_per_hour: 0.5}}\n");
}

static bool run_city(void *context)
{
    const es_scenario *scenario = NULL;
    const es_plan *plan = NULL;
    es_event_result result;
    es_error err = {0};
    es_text text;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)2 << 30);
    es_text_init(&text, 1 << 20);
    write_city(&text);
    es_status status = es_scenario_parse(arena, "city", NULL, es_text_get(&text), text.size, false,
                                         &scenario, &err);
    if (status == ES_OK)
        status = es_plan_solve(arena, scenario, es_plan_opts_default(), &plan, &err);
    if (status == ES_OK)
        status = es_simulate_events(arena, scenario, plan, es_event_opts_default(), &result, &err);
    es_text_done(&text);
    if (status != ES_OK) {
        (void)fprintf(stderr, "event_bench: %s\n", es_error_text(&err));
        return false;
    }
    *(double *)context = result.outcome->total.arrived;
    return true;
}

int main(void)
{
    static const char *const small[] = {"simulate: events, tandem of 10",
                                        "simulate: visits, tandem of 10",
                                        "simulate: visits, tandem of 10, over SimGrid's"};
    static const char *const large[] = {"simulate: events, tandem of 1,000",
                                        "simulate: visits, tandem of 1,000",
                                        "simulate: visits, tandem of 1,000, over SimGrid's"};
    es_bench bench = {0};
    double requests = 0;
    if (!bench_tandem(&bench, SMALL, SMALL_REQUESTS, 4e6, small) ||
        !bench_tandem(&bench, LARGE, LARGE_REQUESTS, 2e6, large))
        return 1;
    int64_t start_ns = es_clock_now_ns(es_clock_system());
    if (!run_city(&requests))
        return 1;
    double spent_s = es_s_from_ns(es_clock_now_ns(es_clock_system()) - start_ns);
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage); /* cannot fail for self */
    es_bench_add(&bench, "simulate: 1e6 devices, 10 gateways, 1 h", spent_s, "s", "lower", 60);
    es_bench_add(&bench, "simulate: requests of these", requests, "1", "higher", (double)NAN);
    es_bench_add(&bench, "simulate: largest memory of the program",
                 (double)usage.ru_maxrss * 1024 / (1 << 30), "GiB", "lower", 2);
    return es_bench_print(&bench);
}
