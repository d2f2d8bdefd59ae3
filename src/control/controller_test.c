/* A controller and a cluster in memory, with clocks that the tests move: it gets where the policy
 * wants, loses nothing on the way, and being killed anywhere changes nothing. */
#include "base/log.h"
#include "control/state.h"
#include "fleet.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { KILLS_STRIDE = 5 }; /* a fork is dear there */
#else
enum { KILLS_STRIDE = 1 };
#endif
enum { SLOT_S = 4 };

typedef struct bench {
    es_world world;
    fleet *fleet;
    const es_cluster *cluster;
    es_controller_given given;
    es_controller *controller;
    double rate[FLEET_CLASSES];
    char path[256];
} bench;

static void remove_state(const bench *own)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    for (int i = 0; i < 4; i++) {
        char name[300];
        (void)snprintf(name, sizeof name, "%s%s", own->path, ends[i]);
        (void)unlink(name);
    }
}

static void bench_init(bench *own, uint32_t gateways, const char *policy)
{
    const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : ES_TEST_BINARY_DIR;
    *own = (bench){.rate = {20, 20}};
    (void)snprintf(own->path, sizeof own->path, "%s/estran_controller_test_%ld.db", folder,
                   (long)getpid());
    remove_state(own);
    es_world_init(&own->world);
    for (int v = 0; v < FLEET_NODES; v++) /* room for one: whatever comes, something must go */
        own->world.nodes[v].memory_bytes = 1.5e6;
    own->world.scenario.slot_s = SLOT_S;
    es_world_seal(&own->world);
    own->fleet = fleet_new(gateways);
    own->cluster = fleet_cluster(own->fleet, own->world.arena);
    own->given = es_controller_given_default();
    own->given.scenario = &own->world.scenario;
    own->given.cluster = own->cluster;
    own->given.fleet = fleet_interface(own->fleet, &own->world);
    own->given.clock = &own->fleet->clock.clock;
    own->given.unix_ns = fleet_unix_ns;
    own->given.unix_context = own->fleet;
    own->given.policy = policy;
    own->given.state = own->path;
    own->given.patience_s = 10;
    es_log_level_set(ES_LOG_ERROR);
}

static void bench_done(bench *own)
{
    assert_int_equal(own->fleet->lost, 0);
    assert_int_equal(own->fleet->overfull, 0);
    assert_int_equal(own->fleet->misrouted, 0);
    es_controller_free(own->controller);
    remove_state(own);
    fleet_free(own->fleet);
    es_world_done(&own->world);
}

static void start(bench *own)
{
    es_error err = {0};
    assert_ok_err(es_controller_new(&own->given, &own->controller, &err), err);
}

static void stop(bench *own)
{
    es_controller_free(own->controller);
    own->controller = NULL;
}

static void pass(bench *own, int64_t until_ns)
{
    double seconds = es_s_from_ns(until_ns - own->fleet->clock.time_ns);
    for (uint32_t g = 0; g < own->fleet->gateway_count; g++) {
        if (!own->fleet->gateways[g].up)
            continue;
        for (int k = 0; k < FLEET_CLASSES; k++)
            own->fleet->gateways[g].arrived[k] += own->rate[k] * seconds;
        break; /* clients go to the first that answers */
    }
    own->fleet->clock.time_ns = until_ns;
}

/* Ticks for so long, or (settle) until all is in force; whether it is. */
static bool run_for(bench *own, double seconds, bool settle)
{
    int64_t end_ns = own->fleet->clock.time_ns + es_ns_from_s(seconds);
    while (own->fleet->clock.time_ns < end_ns) {
        int64_t next_ns = 0;
        es_error err = {0};
        assert_ok_err(es_controller_tick(own->controller, &next_ns, &err), err);
        if (settle && es_controller_is_settled(own->controller))
            return true;
        int64_t least_ns = own->fleet->clock.time_ns + ES_NS_PER_MS;
        next_ns = next_ns < least_ns ? least_ns : next_ns;
        pass(own, next_ns < end_ns ? next_ns : end_ns);
    }
    return es_controller_is_settled(own->controller);
}

static const char *describe(const bench *own, es_text *text)
{
    es_text_clear(text);
    fleet_describe(own->fleet, text);
    return es_text_get(text);
}

/* ---- it gets there ---- */

static void it_follows_the_plan(void **state)
{
    (void)state;
    bench own;
    const es_plan *plan = NULL;
    es_error err = {0};
    bench_init(&own, 1, "replan");
    start(&own);
    assert_true(run_for(&own, 3, true));
    es_plan_opts opts = es_plan_opts_default();
    opts.method = ES_PLAN_GREEDY;
    assert_ok_err(es_plan_solve(own.world.arena, &own.world.scenario, opts, &plan, &err), err);
    const fleet_gateway *gateway = &own.fleet->gateways[0];
    assert_int_equal(gateway->way_count, plan->routing_count);
    for (size_t r = 0; r < plan->routing_count; r++) {
        assert_int_equal(gateway->ways[r].class_index, plan->routings[r].class_id.index);
        assert_int_equal(gateway->ways[r].nodes[0], plan->routings[r].nodes[0].index);
        assert_near(gateway->ways[r].share, plan->routings[r].share, 1e-9);
    }
    uint32_t hosted = 0;
    for (int v = 0; v < FLEET_NODES; v++)
        for (int m = 0; m < FLEET_MODELS; m++)
            hosted += own.fleet->nodes[v].hosted[m];
    assert_int_equal(hosted, plan->placement_count);
    uint32_t changes = own.fleet->changes;
    assert_true(run_for(&own, 100, false));
    assert_int_equal(own.fleet->changes, changes); /* steady demand: nothing to do */
    bench_done(&own);
}

/* Every policy that can run: changing demand, nothing lost, nothing overfull. */
static void every_policy_runs(void **state)
{
    (void)state;
    static const char *const policies[] = {
        "replan:every=1", "infida",     "olag",   "lru",     "hottest",
        "static-greedy",  "cloud-only", "random", "adahedge"};
    for (size_t p = 0; p < sizeof policies / sizeof policies[0]; p++) {
        bench own;
        bench_init(&own, 1, policies[p]);
        start(&own);
        for (int i = 0; i < 12; i++) {
            own.rate[0] = i % 3 == 0 ? 400 : 3;
            own.rate[1] = i % 4 == 0 ? 0 : 60;
            (void)run_for(&own, 2 * SLOT_S + 0.3, false);
        }
        assert_true(own.fleet->changes > 0);
        assert_true(own.fleet->gateways[0].way_count > 0);
        bench_done(&own);
    }
}

/* ---- who comes and goes ---- */

static bool leads_over(const bench *own, uint32_t node)
{
    const fleet_gateway *gateway = &own->fleet->gateways[0];
    for (uint32_t w = 0; w < gateway->way_count; w++)
        for (uint32_t k = 0; k < gateway->ways[w].stage_count; k++)
            if (gateway->ways[w].nodes[k] == node)
                return true;
    return false;
}

static void a_node_goes_and_returns(void **state)
{
    (void)state;
    for (uint32_t node = 0; node < FLEET_NODES; node++) {
        bench own;
        es_text before, after;
        es_text_init(&before, 1 << 16);
        es_text_init(&after, 1 << 16);
        bench_init(&own, 1, "replan:every=1");
        start(&own);
        assert_true(run_for(&own, 3 * SLOT_S, false));
        (void)describe(&own, &before);
        fleet_node_stop(own.fleet, node);
        (void)run_for(&own, 3.5, false); /* two looks, a second between, and the push */
        assert_false(leads_over(&own, node));
        (void)run_for(&own, 3 * SLOT_S, false);
        assert_false(leads_over(&own, node));
        fleet_node_start(own.fleet, node);
        assert_true(run_for(&own, 12 + 3 * SLOT_S, false)); /* the longest pause, then slots */
        assert_string_equal(describe(&own, &after), es_text_get(&before));
        es_text_done(&before);
        es_text_done(&after);
        bench_done(&own);
    }
}

/* A power cut between two looks: the node is back at once, but empty. */
static void a_node_restarts_unseen(void **state)
{
    (void)state;
    bench own;
    es_text before, after;
    es_text_init(&before, 1 << 16);
    es_text_init(&after, 1 << 16);
    bench_init(&own, 1, "replan");
    start(&own);
    assert_true(run_for(&own, 3, false));
    (void)describe(&own, &before);
    for (uint32_t node = 0; node < FLEET_NODES; node++) {
        fleet_node_start(own.fleet, node);
        assert_true(run_for(&own, 3, false));
        assert_string_equal(describe(&own, &after), es_text_get(&before));
        assert_true(own.fleet->nodes[node].knows_peers);
    }
    es_text_done(&before);
    es_text_done(&after);
    bench_done(&own);
}

/* The last way is kept though its node cannot be reached from here: the gateway may reach it. */
static void nobody_answers(void **state)
{
    (void)state;
    bench own;
    bench_init(&own, 1, "replan:every=1");
    start(&own);
    assert_true(run_for(&own, 3, false));
    for (uint32_t node = 0; node < FLEET_NODES; node++)
        fleet_node_stop(own.fleet, node);
    (void)run_for(&own, 5 * SLOT_S, false);
    const fleet_gateway *gateway = &own.fleet->gateways[0];
    assert_true(gateway->way_count >= FLEET_CLASSES);
    assert_near(gateway->refused[0], 0, 1e-6);
    bench_done(&own);
}

/* A model that a node refuses is planned around, and tried again later. */
static void a_model_is_refused(void **state)
{
    (void)state;
    bench own;
    es_text before, after;
    es_text_init(&before, 1 << 16);
    es_text_init(&after, 1 << 16);
    bench_init(&own, 1, "replan:every=1");
    start(&own);
    assert_true(run_for(&own, 3, false));
    (void)describe(&own, &before);
    stop(&own);
    remove_state(&own);
    for (uint32_t node = 0; node < FLEET_NODES; node++)
        fleet_node_start(own.fleet, node);
    uint32_t node = own.fleet->gateways[0].ways[0].nodes[0];
    uint32_t model = own.fleet->gateways[0].ways[0].models[0];
    own.fleet->nodes[node].refuses[model] = true;
    start(&own);
    assert_true(run_for(&own, 3 * SLOT_S, false));
    assert_string_not_equal(describe(&own, &after), es_text_get(&before));
    assert_true(own.fleet->gateways[0].way_count > 0);
    own.fleet->nodes[node].refuses[model] = false;
    assert_true(run_for(&own, 90, false));
    assert_string_equal(describe(&own, &after), es_text_get(&before));
    es_text_done(&before);
    es_text_done(&after);
    bench_done(&own);
}

/* A gateway that does not answer may still serve by its old routes: what they need stays, until
 * patience is at its end. When it is back it is told at once. */
static void a_gateway_is_away(void **state)
{
    (void)state;
    bench own;
    bench_init(&own, 2, "random:every=1");
    start(&own);
    (void)run_for(&own, 2.5 * SLOT_S, false);
    own.fleet->gateways[1].up = false;
    own.fleet->gateways[1].cut_off = true;
    (void)run_for(&own, 2 * SLOT_S + 1, false); /* its routes are behind for less than 10 s */
    assert_true(own.fleet->gateways[0].generation > own.fleet->gateways[1].generation);
    assert_int_equal(own.fleet->lost, 0);
    own.fleet->gateways[1].cut_off = false;
    uint32_t changes = own.fleet->changes;
    (void)run_for(&own, 4 * SLOT_S, false);
    assert_true(own.fleet->changes > changes);
    assert_int_equal(own.fleet->lost, 0);
    fleet_gateway_start(own.fleet, 1);
    (void)run_for(&own, 10, false);
    own.fleet->lost = 0; /* until it was looked at again it followed routes of long ago */
    assert_int_equal(own.fleet->gateways[0].generation, own.fleet->gateways[1].generation);
    assert_memory_equal(own.fleet->gateways[0].ways, own.fleet->gateways[1].ways,
                        own.fleet->gateways[0].way_count * sizeof(fleet_way));
    bench_done(&own);
}

/* A new state, or a lost one, meets gateways with newer routes: it overtakes them, and takes
 * nothing away that they need meanwhile. */
static void a_lost_state(void **state)
{
    (void)state;
    bench own;
    es_text before, after;
    es_text_init(&before, 1 << 16);
    es_text_init(&after, 1 << 16);
    bench_init(&own, 1, "replan");
    start(&own);
    assert_true(run_for(&own, 3, false));
    (void)describe(&own, &before);
    stop(&own);
    remove_state(&own);
    own.fleet->gateways[0].generation = 100;
    start(&own);
    assert_true(run_for(&own, 6, false));
    assert_true(own.fleet->gateways[0].generation > 100);
    assert_string_equal(describe(&own, &after), es_text_get(&before));
    for (int i = 0; i < 8; i++) { /* full nodes, other plans */
        stop(&own);
        remove_state(&own);
        own.given.policy = i % 2 == 0 ? "random:every=1" : "replan";
        own.given.seed = (uint64_t)i + 1;
        start(&own);
        (void)run_for(&own, 2.5 * SLOT_S, false);
        assert_int_equal(own.fleet->lost, 0);
    }
    es_text_done(&before);
    es_text_done(&after);
    bench_done(&own);
}

/* ---- killed, full disks, clocks ---- */

/* Plays so long in a child, which may kill itself at a call. */
static void play_in_child(bench *own, double seconds)
{
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        start(own);
        (void)run_for(own, seconds, false);
        es_controller_free(own->controller);
        _exit(0);
    }
    while (waitpid(child, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
}

/* Places change in every slot; killed before and after every call to the cluster, and started
 * again, the cluster ends as it does without. */
static void killed_at_every_call(void **state)
{
    (void)state;
    const double seconds = 3.5 * SLOT_S;
    uint64_t calls = 0;
    es_text wanted, found;
    es_text_init(&wanted, 1 << 16);
    es_text_init(&found, 1 << 16);
    for (uint64_t n = 0; n <= 2 * calls; n += KILLS_STRIDE) {
        bench own;
        bench_init(&own, 1, "random:every=1");
        int64_t end_ns = own.fleet->clock.time_ns + es_ns_from_s(seconds);
        own.fleet->kill_before = n % 2 == 0 ? n / 2 : 0;
        own.fleet->kill_after = n % 2 == 1 ? n / 2 + 1 : 0;
        play_in_child(&own, seconds);
        own.fleet->kill_before = 0;
        own.fleet->kill_after = 0;
        if (n == 0) {
            calls = own.fleet->calls;
            assert_true(own.fleet->changes > 12);
            (void)describe(&own, &wanted);
        } else {
            start(&own);
            (void)run_for(&own, es_s_from_ns(end_ns - own.fleet->clock.time_ns), false);
            if (strcmp(describe(&own, &found), es_text_get(&wanted)) != 0)
                fail_msg("killed at %d: %s instead of %s", (int)n, es_text_get(&found),
                         es_text_get(&wanted));
        }
        bench_done(&own);
    }
    es_text_done(&wanted);
    es_text_done(&found);
}

/* Where nothing can be written down nothing is done; the cluster serves on. */
static void a_full_disk(void **state)
{
    (void)state;
    bench own;
    es_text text;
    es_text_init(&text, 1 << 20);
    struct rlimit limit;
    bench_init(&own, 1, "random:every=1");
    start(&own);
    (void)run_for(&own, 3 * SLOT_S, false);
    uint32_t changes = own.fleet->changes;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 1;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    (void)run_for(&own, 5 * SLOT_S, false);
    es_controller_write_status(own.controller, &text);
    limit.rlim_cur = before;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(own.fleet->changes, changes);
    assert_non_null(strstr(es_text_get(&text), "state '"));
    (void)run_for(&own, 5 * SLOT_S, false);
    assert_true(own.fleet->changes > changes);
    es_text_done(&text);
    bench_done(&own);
}

/* The wall clock jumps by days, forth and back, while running and while away. */
static void the_wall_clock_steps(void **state)
{
    (void)state;
    bench own, other;
    es_text wanted, found;
    es_text_init(&wanted, 1 << 16);
    es_text_init(&found, 1 << 16);
    bench_init(&own, 1, "random:every=1");
    start(&own);
    (void)run_for(&own, 6.5 * SLOT_S, false);
    (void)describe(&own, &wanted);
    bench_done(&own);
    bench_init(&other, 1, "random:every=1");
    start(&other);
    for (int i = 0; i < 13; i++) {
        int64_t step_ns = INT64_C(86400) * ES_NS_PER_S * (i % 2 == 0 ? 3 : -5);
        (void)run_for(&other, SLOT_S / 2.0, false);
        other.fleet->unix_ns += step_ns;
    }
    assert_string_equal(describe(&other, &found), es_text_get(&wanted));
    stop(&other);
    for (int i = 0; i < 4; i++) { /* jumps while it is away: no slot is ended twice or never */
        other.fleet->unix_ns += INT64_C(86400) * ES_NS_PER_S * (i % 2 == 0 ? -9 : 7);
        start(&other);
        (void)run_for(&other, 2 * SLOT_S, false);
        stop(&other);
    }
    start(&other);
    assert_true(run_for(&other, 3 * SLOT_S - 0.5, true));
    es_text_done(&wanted);
    es_text_done(&found);
    bench_done(&other);
}

/* ---- the log ---- */

/* Nodes come and go, demand changes, the controller is stopped and started in between. */
static void live_through(bench *own, int rounds)
{
    start(own);
    for (int i = 0; i < rounds; i++) {
        own->rate[0] = i % 3 == 0 ? 400 : 3;
        own->rate[1] = i % 4 == 0 ? 0 : 60;
        if (i % 5 == 2)
            fleet_node_stop(own->fleet, (uint32_t)i % FLEET_NODES);
        if (i % 5 == 4)
            fleet_node_start(own->fleet, (uint32_t)(i - 2) % FLEET_NODES);
        (void)run_for(own, 1.5 * SLOT_S + 0.3, false);
        if (i % 4 == 3) {
            stop(own);
            pass(own, own->fleet->clock.time_ns + es_ns_from_s(i % 8 == 3 ? 1 : 3 * SLOT_S));
            start(own);
        }
    }
    stop(own);
}

static void the_simulator_decides_the_same(void **state)
{
    (void)state;
    static const char *const policies[] = {"replan:every=2",
                                           "replan:every=3:exact=1",
                                           "infida",
                                           "olag",
                                           "lru",
                                           "lfu",
                                           "hottest",
                                           "cloud-only",
                                           "adahedge",
                                           "random:every=1"};
    for (size_t p = 0; p < sizeof policies / sizeof policies[0]; p++) {
        bench own;
        es_replayed replayed;
        es_error err = {0};
        bench_init(&own, 1, policies[p]);
        live_through(&own, 22);
        assert_ok_err(es_controller_replay(&own.given, &replayed, &err), err);
        assert_true(replayed.slots >= 25);
        if (replayed.different > 0)
            fail_msg("%s: %u of %u slots differ, the first is %u", policies[p], replayed.different,
                     replayed.slots, replayed.first_different);
        bench_done(&own);
    }
}

/* Old slots are forgotten, and with them what the policy knew of them: so that one that was started
 * again decides as one that was not. */
static void forgetting_is_the_same_for_all(void **state)
{
    (void)state;
    es_text ends[2];
    for (int stops = 0; stops < 2; stops++) {
        bench own;
        es_text_init(&ends[stops], 1 << 16);
        bench_init(&own, 1, "infida");
        own.given.slots_max = 16;
        start(&own);
        for (int i = 0; i < 60; i++) {
            own.rate[0] = i % 3 == 0 ? 400 : 3;
            (void)run_for(&own, SLOT_S, false);
            if (stops == 0 || i % 7 != 3)
                continue;
            stop(&own);
            start(&own);
        }
        (void)describe(&own, &ends[stops]);
        bench_done(&own);
    }
    assert_string_equal(es_text_get(&ends[0]), es_text_get(&ends[1]));
    es_text_done(&ends[0]);
    es_text_done(&ends[1]);
}

/* The value on the line of a metric. */
static double metric(const bench *own, const char *name)
{
    es_text text;
    char line[128];
    es_text_init(&text, 1 << 20);
    (void)snprintf(line, sizeof line, "\n%s ", name);
    es_controller_write_metrics(own->controller, &text);
    const char *at = strstr(es_text_get(&text), line);
    assert_non_null(at);
    double value = strtod(at + strlen(line), NULL);
    es_text_done(&text);
    return value;
}

/* Regret is none where the best is in force, and grows where it is not; the estimate of accuracy is
 * that of the ways taken. */
static void figures_are_told(void **state)
{
    (void)state;
    double regret[2] = {0};
    static const char *const policies[] = {"replan:every=1:exact=1", "cloud-only"};
    for (int p = 0; p < 2; p++) {
        bench own;
        double quality = 0;
        bench_init(&own, 1, policies[p]);
        start(&own);
        (void)run_for(&own, 6 * SLOT_S, false);
        regret[p] = metric(&own, "estran_regret_total");
        assert_near(metric(&own, "estran_slots_total"), 5, 0);
        assert_near(metric(&own, "estran_decision_duration_seconds_count"), 6, 0);
        const fleet_gateway *gateway = &own.fleet->gateways[0];
        for (uint32_t w = 0; w < gateway->way_count; w++) {
            const fleet_way *way = &gateway->ways[w];
            uint32_t pipeline =
                way->stage_count == 1
                    ? (way->models[0] == ES_WORLD_TINY ? ES_WORLD_P_TINY : ES_WORLD_P_LARGE)
                    : (way->models[0] == ES_WORLD_TINY ? ES_WORLD_P_CASCADE : ES_WORLD_P_SPLIT);
            if (way->class_index == 0)
                quality += way->share * own.world.pipelines[pipeline].quality;
        }
        assert_near(metric(&own, "estran_accuracy_estimate_ratio{task=\"detect\",entry=\"phone\"}"),
                    quality, 1e-9);
        bench_done(&own);
    }
    assert_true(regret[0] >= 0);
    assert_true(regret[1] > regret[0] + 1e-3);
}

/* Only looks: nothing is changed, the steps are told. */
static void a_dry_run(void **state)
{
    (void)state;
    bench own;
    es_text text;
    es_text_init(&text, 1 << 16);
    bench_init(&own, 1, "replan");
    own.given.dry_run = true;
    start(&own);
    (void)run_for(&own, 1, false);
    es_error err = {0};
    assert_ok_err(es_controller_steps(own.controller, &text, &err), err);
    assert_non_null(strstr(es_text_get(&text), "load 'tiny' on 'phone'\n"));
    assert_non_null(strstr(es_text_get(&text), "route 1 of 1\n"));
    assert_int_equal(own.fleet->changes, 0);
    assert_false(own.fleet->nodes[0].knows_peers);
    assert_int_equal(access(own.path, F_OK), -1);
    es_text_done(&text);
    bench_done(&own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_follows_the_plan),
        cmocka_unit_test(every_policy_runs),
        cmocka_unit_test(a_node_goes_and_returns),
        cmocka_unit_test(a_node_restarts_unseen),
        cmocka_unit_test(nobody_answers),
        cmocka_unit_test(a_model_is_refused),
        cmocka_unit_test(a_gateway_is_away),
        cmocka_unit_test(a_lost_state),
        cmocka_unit_test(killed_at_every_call),
        cmocka_unit_test(a_full_disk),
        cmocka_unit_test(the_wall_clock_steps),
        cmocka_unit_test(the_simulator_decides_the_same),
        cmocka_unit_test(forgetting_is_the_same_for_all),
        cmocka_unit_test(figures_are_told),
        cmocka_unit_test(a_dry_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
