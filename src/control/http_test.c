/* The controller over real HTTP: answers, faults of the network, its own page. */
#include "base/log.h"
#include "control/control.h"
#include "es_world.h"
#include "fleet_http.h"
#include "http/http.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#define TOKEN "a token of the controller"

typedef struct bench {
    es_world world;
    fleet *fleet;
    fleet_http *http;
    const es_cluster *cluster;
    es_http_fleet *calls;
    es_fleet interface;
} bench;

static void bench_init(bench *own, const char *token)
{
    es_http_fleet_opts opts = es_http_fleet_opts_default();
    es_error err = {0};
    *own = (bench){0};
    es_world_init(&own->world);
    es_world_seal(&own->world);
    own->fleet = fleet_new(1);
    own->http = fleet_http_new(own->fleet, &own->world, token);
    own->cluster = fleet_http_cluster(own->http, own->world.arena);
    opts.timeout_s = 0.3;
    assert_ok_err(es_http_fleet_new(own->cluster, opts, &own->calls, &err), err);
    own->interface = es_http_fleet_interface(own->calls);
    es_log_level_set(ES_LOG_ERROR);
}

static void bench_done(bench *own)
{
    es_http_fleet_free(own->calls);
    fleet_http_free(own->http);
    fleet_free(own->fleet);
    es_world_done(&own->world);
}

static es_fleet_call call_one(bench *own, es_fleet_call call)
{
    own->interface.call(own->interface.context, &call, 1);
    return call;
}

static es_fleet_call look(bench *own, uint32_t node)
{
    return call_one(own, (es_fleet_call){.verb = ES_FLEET_OBSERVE, .process = node});
}

static void calls_go_through(void **state)
{
    (void)state;
    bench own;
    bench_init(&own, TOKEN);
    es_fleet_call calls[] = {
        {.verb = ES_FLEET_LOAD, .process = ES_WORLD_EDGE, .text = "tiny"},
        {.verb = ES_FLEET_LOAD, .process = ES_WORLD_CLOUD, .text = "large-head"},
        {.verb = ES_FLEET_LOAD, .process = ES_WORLD_EDGE, .text = "large"},
        {.verb = ES_FLEET_UNLOAD, .process = ES_WORLD_EDGE, .text = "tiny"},
        {.verb = ES_FLEET_PEERS, .process = ES_WORLD_PHONE, .text = "{\"peers\":[]}"},
        {.verb = ES_FLEET_OBSERVE, .process = ES_WORLD_EDGE},
        {.verb = ES_FLEET_OBSERVE, .gateway = true},
    };
    own.fleet->gateways[0].arrived[1] = 17;
    own.interface.call(own.interface.context, calls, 7);
    for (int i = 0; i < 7; i++)
        assert_ok_err(calls[i].status, calls[i].err);
    assert_true(own.fleet->nodes[ES_WORLD_CLOUD].hosted[ES_WORLD_HEAD]);
    assert_true(own.fleet->nodes[ES_WORLD_PHONE].knows_peers);
    assert_int_equal(calls[5].seen->model_count, 1); /* in order; only what is ready */
    assert_string_equal(calls[5].seen->models[0], "large");
    assert_string_equal(calls[5].seen->epoch, "0");
    assert_int_equal(calls[6].seen->class_count, 2);
    assert_string_equal(calls[6].seen->classes[1].entry, "edge box");
    assert_near(calls[6].seen->classes[1].arrived, 17, 0);
    assert_true(calls[6].seen->tells_drained && calls[6].seen->drained);
    bench_done(&own);
}

static void refusals_are_told(void **state)
{
    (void)state;
    bench own;
    bench_init(&own, NULL);
    own.fleet->nodes[0].refuses[ES_WORLD_TINY] = true;
    es_fleet_call call = call_one(&own, (es_fleet_call){.verb = ES_FLEET_LOAD, .text = "tiny"});
    assert_int_equal(call.status, ES_ERR_IO);
    assert_non_null(strstr(call.err.text, "'phone' answers 500 to load tiny: no memory"));
    own.fleet->gateways[0].generation = 9;
    call = call_one(&own, (es_fleet_call){.verb = ES_FLEET_ROUTES,
                                          .gateway = true,
                                          .text = "{\"format\":\"estran-routes\",\"version\":1,"
                                                  "\"generation\":3,\"plan\":\"p\",\"peers\":[],"
                                                  "\"classes\":[]}"});
    assert_int_equal(call.status, ES_ERR_ARG);
    assert_int_equal(call.newer, 9);
    bench_done(&own);
}

static void any_server_of_the_protocol_may_be_a_node(void **state)
{
    (void)state;
    bench own;
    bench_init(&own, NULL);
    fleet_http_manner(own.http, ES_WORLD_EDGE, FLEET_PLAIN);
    es_fleet_call calls[] = {
        {.verb = ES_FLEET_PEERS, .process = ES_WORLD_EDGE, .text = "{\"peers\":[]}"},
        {.verb = ES_FLEET_LOAD, .process = ES_WORLD_EDGE, .text = "tiny"},
        {.verb = ES_FLEET_OBSERVE, .process = ES_WORLD_EDGE},
    };
    own.interface.call(own.interface.context, calls, 3);
    for (int i = 0; i < 3; i++)
        assert_ok_err(calls[i].status, calls[i].err);
    assert_int_equal(calls[2].seen->model_count, 1);
    bench_done(&own);
}

static double now_s(void)
{
    return es_s_from_ns(es_clock_now_ns(es_clock_system()));
}

static void bad_answers_are_no_answers(void **state)
{
    (void)state;
    static const struct {
        fleet_manner manner;
        es_status status;
        const char *words;
    } cases[] = {
        {FLEET_GARBAGE, ES_ERR_PARSE, "phone:1:"},
        {FLEET_WRONG, ES_ERR_PARSE, "epoch"},
        {FLEET_TEAPOT, ES_ERR_ARG, "'phone' answers 418 to observe: I am a teapot"},
        {FLEET_SILENT, ES_ERR_UNAVAILABLE, ""},
    };
    bench own;
    bench_init(&own, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fleet_http_manner(own.http, 0, cases[i].manner);
        double from_s = now_s();
        es_fleet_call call = look(&own, 0);
        assert_int_equal(call.status, cases[i].status);
        assert_non_null(strstr(call.err.text, cases[i].words));
        assert_true(now_s() - from_s < 5);
    }
    fleet_http_stop(own.http, 0);
    assert_int_equal(look(&own, 0).status, ES_ERR_UNAVAILABLE);
    fleet_http_manner(own.http, 0, FLEET_GOOD);
    fleet_http_start(own.http, 0);
    assert_int_equal(look(&own, 0).status, ES_OK);
    bench_done(&own);
}

/* Several that do not answer cost the time of one. */
static void the_silent_are_waited_for_together(void **state)
{
    (void)state;
    bench own;
    es_fleet_call calls[FLEET_NODES];
    bench_init(&own, NULL);
    for (uint32_t v = 0; v < FLEET_NODES; v++) {
        fleet_http_manner(own.http, v, FLEET_SILENT);
        calls[v] = (es_fleet_call){.verb = ES_FLEET_OBSERVE, .process = v};
    }
    double from_s = now_s();
    own.interface.call(own.interface.context, calls, FLEET_NODES);
    double passed_s = now_s() - from_s;
    assert_true(passed_s >= 0.25 && passed_s < 0.3 * FLEET_NODES);
    for (uint32_t v = 0; v < FLEET_NODES; v++)
        assert_int_equal(calls[v].status, ES_ERR_UNAVAILABLE);
    bench_done(&own);
}

/* ---- as a process would run it ---- */

typedef struct served {
    es_controller_opts opts;
    es_text out;
    es_error err;
    es_status status;
    _Atomic int port;
} served;

static volatile sig_atomic_t stop_asked; /* by a signal to the thread that serves */

static void ask_stop(int signal_number)
{
    (void)signal_number;
    stop_asked = 1;
}

static void on_ready(void *context, uint16_t port)
{
    ((served *)context)->port = port;
}

static void *serve(void *context)
{
    served *own = context;
    own->status = es_controller_serve(own->opts, &own->out, &own->err);
    return NULL;
}

static void served_init(served *own, bench *b, const char *cluster, const char *db)
{
    *own = (served){.opts = es_controller_opts_default()};
    own->opts.scenario = &b->world.scenario;
    own->opts.cluster = cluster;
    own->opts.state = db;
    own->opts.port = 0;
    own->opts.probe_s = 0.05;
    own->opts.ready = on_ready;
    own->opts.context = own;
    own->opts.stop = &stop_asked;
    es_text_init(&own->out, 1 << 20);
}

static void remove_state(const char *db)
{
    char name[600];
    (void)unlink(db);
    (void)snprintf(name, sizeof name, "%s-wal", db);
    (void)unlink(name);
}

static int get(uint16_t port, const char *path, const char *token, es_arena *arena,
               es_http_reply *out)
{
    es_http_peer_opts opts = es_http_peer_opts_default();
    es_http_client *client = NULL;
    es_error err = {0};
    char url[64];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", port);
    opts.url = url;
    opts.token = token;
    assert_ok_err(es_http_client_new(opts, &client, &err), err);
    es_http_call call = {.method = ES_HTTP_GET, .path = path};
    assert_ok_err(es_http_client_call(client, arena, &call, NULL, out, &err), err);
    es_http_client_free(client);
    return out->status;
}

static void nap(void)
{
    struct timespec pause = {.tv_nsec = 20000000};
    (void)nanosleep(&pause, NULL);
}

static void it_serves_its_page(void **state)
{
    (void)state;
    static const char db[] = ES_TEST_BINARY_DIR "/controller_http_test.db";
    static const char yaml[] = ES_TEST_BINARY_DIR "/controller_http_test.yaml";
    static const es_http_token tokens[] = {{"a token of whoever looks", ES_SERVER_CLIENT}};
    bench b;
    served own;
    pthread_t thread;
    es_http_reply reply;
    bench_init(&b, NULL);
    fleet_http_write_cluster(b.http, yaml, NULL);
    remove_state(db);
    served_init(&own, &b, yaml, db);
    own.opts.tokens = tokens;
    own.opts.token_count = 1;
    struct sigaction action = {.sa_handler = ask_stop};
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, serve, &own), 0);
    es_arena *arena = es_arena_new((size_t)64 << 20);
    bool settled = false;
    for (int i = 0; i < 500 && !settled; i++) {
        nap();
        settled =
            own.port != 0 &&
            get((uint16_t)own.port, "/estran/v1/status", tokens[0].text, arena, &reply) == 200 &&
            strstr(reply.body, "\"settled\": true") != NULL;
    }
    assert_true(settled);
    uint16_t port = (uint16_t)own.port;
    assert_int_equal(get(port, "/", NULL, arena, &reply), 401);
    assert_int_equal(get(port, "/", tokens[0].text, arena, &reply), 200);
    assert_non_null(strstr(reply.body, "<td>edge box</td>"));
    assert_int_equal(get(port, "/estran/v1/plan", tokens[0].text, arena, &reply), 200);
    assert_non_null(strstr(reply.body, "\"estran-plan\""));
    assert_int_equal(get(port, "/metrics", tokens[0].text, arena, &reply), 200);
    assert_non_null(strstr(reply.body, "\nestran_node_up{node=\"cloud\"} 1\n"));
    assert_non_null(strstr(reply.body, "\nestran_decision_duration_seconds_count 1\n"));
    assert_non_null(strstr(reply.body, "# TYPE estran_regret_total counter\n"));
    assert_int_equal(pthread_kill(thread, SIGUSR1), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_ok_err(own.status, own.err);
    assert_int_equal(b.fleet->lost + b.fleet->misrouted + b.fleet->overfull, 0);
    assert_true(b.fleet->gateways[0].way_count > 0);
    stop_asked = 0;
    es_text_done(&own.out);
    es_arena_free(arena);
    remove_state(db);
    bench_done(&b);
}

/* A policy that takes its time: meanwhile nodes are looked at. */
static void it_looks_while_it_thinks(void **state)
{
    (void)state;
    static const char db[] = ES_TEST_BINARY_DIR "/controller_http_test.db";
    static const char yaml[] = ES_TEST_BINARY_DIR "/controller_http_test.yaml";
    bench b;
    served own;
    pthread_t thread;
    es_http_reply reply;
    bench_init(&b, NULL);
    fleet_http_write_cluster(b.http, yaml, NULL);
    remove_state(db);
    served_init(&own, &b, yaml, db);
    own.opts.policy = "process:read h; n=0; while read l; do sleep 1; echo \"{\\\"slot\\\":$n}\"; "
                      "n=$((n+1)); done";
    struct sigaction action = {.sa_handler = ask_stop};
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, serve, &own), 0);
    es_arena *arena = es_arena_new((size_t)64 << 20);
    bool seen = false;
    bool decided = false;
    for (int i = 0; i < 500 && !decided; i++) {
        nap();
        es_arena_reset(arena);
        if (own.port == 0 ||
            get((uint16_t)own.port, "/estran/v1/status", NULL, arena, &reply) != 200)
            continue;
        decided = strstr(reply.body, "\"slot\": null") == NULL;
        seen = seen || (!decided && strstr(reply.body, "\"up\": true") != NULL);
    }
    assert_true(decided && seen);
    assert_int_equal(pthread_kill(thread, SIGUSR1), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_ok_err(own.status, own.err);
    stop_asked = 0;
    es_text_done(&own.out);
    es_arena_free(arena);
    remove_state(db);
    bench_done(&b);
}

static void once_dry_run_and_replay(void **state)
{
    (void)state;
    static const char db[] = ES_TEST_BINARY_DIR "/controller_http_test.db";
    static const char yaml[] = ES_TEST_BINARY_DIR "/controller_http_test.yaml";
    bench b;
    served own;
    bench_init(&b, NULL);
    fleet_http_write_cluster(b.http, yaml, NULL);
    remove_state(db);
    served_init(&own, &b, yaml, db);
    own.opts.dry_run = true;
    (void)serve(&own);
    assert_ok_err(own.status, own.err);
    assert_non_null(strstr(es_text_get(&own.out), "load 'tiny' on 'phone'\n"));
    assert_int_equal(b.fleet->changes, 0);
    assert_int_equal(access(db, F_OK), -1);
    es_text_done(&own.out);
    served_init(&own, &b, yaml, db);
    own.opts.once = true;
    (void)serve(&own);
    assert_ok_err(own.status, own.err);
    assert_true(b.fleet->gateways[0].way_count > 0);
    es_text_done(&own.out);
    served_init(&own, &b, yaml, db);
    own.opts.replay = true;
    (void)serve(&own);
    assert_ok_err(own.status, own.err);
    assert_non_null(strstr(es_text_get(&own.out), "0 decided otherwise"));
    es_text_done(&own.out);
    remove_state(db);
    bench_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_go_through),
        cmocka_unit_test(refusals_are_told),
        cmocka_unit_test(any_server_of_the_protocol_may_be_a_node),
        cmocka_unit_test(bad_answers_are_no_answers),
        cmocka_unit_test(the_silent_are_waited_for_together),
        cmocka_unit_test(it_serves_its_page),
        cmocka_unit_test(it_looks_while_it_thinks),
        cmocka_unit_test(once_dry_run_and_replay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
