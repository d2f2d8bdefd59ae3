/* Timers and tasks on the loops of callers and servers. */
#include "base/rng.h"
#include "base/text.h"
#include "calling.h"
#include "es_test.h"

/* ---- by hand: order, moving, clearing ---- */

enum { TIMERS = 200 };

typedef struct world {
    es_http_caller *caller;
    es_http_timer timers[TIMERS];
    int64_t when_ns[TIMERS]; /* INT64_MAX: not set */
    int64_t last_ns;
    size_t fired;
} world;

static void note(es_http_timer *timer)
{
    world *w = timer->context;
    size_t i = (size_t)(timer - w->timers);
    assert_false(es_http_timer_is_set(timer));
    assert_true(w->when_ns[i] != INT64_MAX);
    assert_true(w->when_ns[i] >= w->last_ns); /* the earliest first */
    assert_true(es_clock_now_ns(es_clock_system()) >= w->when_ns[i]);
    w->last_ns = w->when_ns[i];
    w->when_ns[i] = INT64_MAX;
    w->fired++;
}

static void fires_in_order_what_was_not_cleared(void **state)
{
    (void)state;
    uint64_t seed = es_test_seed(1);
    es_error err = {0};
    es_http_caller_opts opts = es_http_caller_opts_default();
    opts.by_hand = true;
    for (uint64_t round = 0; round < 20; round++) {
        static world w;
        es_rng rng = es_rng_make(seed, round);
        w = (world){.last_ns = INT64_MIN};
        assert_ok_err(es_http_caller_new(opts, &w.caller, &err), err);
        int64_t start_ns = es_clock_now_ns(es_clock_system());
        size_t wanted = 0;
        for (size_t i = 0; i < TIMERS; i++) {
            w.timers[i] = (es_http_timer){.fire = note, .context = &w};
            w.when_ns[i] = INT64_MAX;
        }
        for (size_t step = 0; step < 3 * TIMERS; step++) {
            size_t i = (size_t)es_rng_below(&rng, TIMERS);
            w.when_ns[i] = INT64_MAX;
            if (es_rng_below(&rng, 4) == 0) {
                es_http_timer_clear(&w.timers[i]);
            } else {
                w.when_ns[i] = start_ns + (int64_t)es_rng_below(&rng, 5 * ES_NS_PER_MS);
                assert_true(es_http_timer_set(w.caller, &w.timers[i], w.when_ns[i]));
            }
            assert_int_equal(es_http_timer_is_set(&w.timers[i]), w.when_ns[i] != INT64_MAX);
        }
        for (size_t i = 0; i < TIMERS; i++)
            wanted += w.when_ns[i] != INT64_MAX;
        while (w.fired < wanted)
            es_http_caller_run(w.caller, INT64_MAX);
        assert_int_equal(w.fired, wanted);
        es_http_caller_free(w.caller);
    }
}

static void fires_what_is_left_at_the_end(void **state)
{
    (void)state;
    static world w;
    es_error err = {0};
    es_http_caller_opts opts = es_http_caller_opts_default();
    opts.by_hand = true;
    w = (world){.last_ns = INT64_MIN};
    assert_ok_err(es_http_caller_new(opts, &w.caller, &err), err);
    for (size_t i = 0; i < TIMERS; i++) {
        w.timers[i] = (es_http_timer){.fire = note, .context = &w};
        w.when_ns[i] = 0; /* what note expects */
        assert_true(es_http_timer_set(w.caller, &w.timers[i], INT64_MAX - (int64_t)i));
    }
    es_http_caller_free(w.caller);
    assert_int_equal(w.fired, TIMERS);
}

/* ---- tasks: any thread to any loop ---- */

enum { POSTERS = 3, POSTS = 2000, LOOPS = 2 };

typedef struct posted {
    es_http_task task;
    struct poster *poster;
    uint32_t loop;
    uint32_t number;
} posted;

typedef struct poster {
    es_http_caller *caller;
    pthread_t thread;
    posted *posts;
    uint32_t next[LOOPS]; /* of the posts to a loop, in order */
    _Atomic uint32_t done;
} poster;

static void take_post(es_http_task *task)
{
    posted *p = task->context;
    assert_true(es_http_core_is_here(p->poster->caller->cores[p->loop]));
    assert_int_equal(p->number, p->poster->next[p->loop]++);
    atomic_fetch_add(&p->poster->done, 1);
}

static void *post_all(void *context)
{
    poster *self = context;
    uint32_t numbers[LOOPS] = {0};
    for (uint32_t i = 0; i < POSTS; i++) {
        posted *p = &self->posts[i];
        uint32_t loop = i * 7 / 3 % LOOPS;
        *p = (posted){.task = {.run = take_post, .context = p},
                      .poster = self,
                      .loop = loop,
                      .number = numbers[loop]++};
        if (!es_http_task_post(self->caller, loop, &p->task))
            abort();
    }
    return NULL;
}

static void nobody_calls(void *context, es_http_request *request)
{
    (void)context;
    es_http_answer_error(request, 500, "nobody calls");
}

static void tasks_run_once_in_order(void **state)
{
    (void)state;
    es_error err = {0};
    es_http_server *server = NULL;
    es_http_caller *caller = NULL;
    es_http_server_opts opts = es_http_server_opts_default();
    const es_http_route route = {.method = ES_HTTP_GET, .path = "/", .handle = nobody_calls};
    opts.loop_count = LOOPS;
    opts.routes = &route;
    opts.route_count = 1;
    static poster posters[POSTERS];
    assert_ok_err(es_http_server_init(opts, &server, &err), err);
    assert_ok_err(es_http_server_caller(server, es_http_caller_opts_default(), &caller, &err), err);
    assert_ok_err(es_http_server_start(server, &err), err);
    for (size_t i = 0; i < POSTERS; i++) {
        posters[i].caller = caller;
        posters[i].posts = calloc(POSTS, sizeof *posters[i].posts);
        assert_non_null(posters[i].posts);
        assert_int_equal(pthread_create(&posters[i].thread, NULL, post_all, &posters[i]), 0);
    }
    for (size_t i = 0; i < POSTERS; i++)
        assert_int_equal(pthread_join(posters[i].thread, NULL), 0);
    es_http_server_stop(server, 1); /* what waits runs at the latest now */
    for (size_t i = 0; i < POSTERS; i++)
        assert_int_equal(atomic_load(&posters[i].done), POSTS);
    es_http_task late = {.run = NULL};
    assert_false(es_http_task_post(caller, 0, &late));
    for (size_t i = 0; i < POSTERS; i++)
        free(posters[i].posts);
    es_http_server_done(server);
}

/* ---- on a server: an answer that comes later, without a thread ---- */

typedef struct later {
    es_http_timer timer;
    es_http_request *request;
    int64_t due_ns;
    pthread_t thread;
} later;

static es_http_caller *server_caller;

static void answer_now(es_http_timer *timer)
{
    later *l = timer->context;
    char digits[32];
    assert_true(pthread_equal(l->thread, pthread_self()) != 0);
    int64_t late_ns = es_clock_now_ns(es_clock_system()) - l->due_ns;
    int size = snprintf(digits, sizeof digits, "%lld", (long long)late_ns);
    es_http_answer_send(
        l->request, &(es_http_answer){.status = 200, .body = digits, .body_bytes = (size_t)size});
    free(l);
}

static void answer_later(void *context, es_http_request *request)
{
    later *l = calloc(1, sizeof *l);
    (void)context;
    assert_non_null(l);
    *l = (later){.timer = {.fire = answer_now, .context = l},
                 .request = request,
                 .due_ns = es_clock_now_ns(es_clock_system()) + 5 * ES_NS_PER_MS,
                 .thread = pthread_self()};
    assert_true(es_http_timer_set(server_caller, &l->timer, l->due_ns));
}

static void answers_later_on_the_same_loop(void **state)
{
    (void)state;
    enum { CALLS = 40 };
    static const es_http_route routes[] = {
        {.method = ES_HTTP_GET, .path = "/", .handle = answer_later}};
    es_error err = {0};
    es_http_server *server = NULL;
    es_http_server_opts opts = es_http_server_opts_default();
    opts.routes = routes;
    opts.route_count = 1;
    assert_ok_err(es_http_server_init(opts, &server, &err), err);
    assert_ok_err(
        es_http_server_caller(server, es_http_caller_opts_default(), &server_caller, &err), err);
    assert_ok_err(es_http_server_start(server, &err), err);
    char url[64];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", es_http_server_port(server));
    es_http_client *client = NULL;
    es_http_peer_opts peer = es_http_peer_opts_default();
    peer.url = url;
    assert_ok_err(es_http_client_new(peer, &client, &err), err);
    es_arena *arena = es_arena_new(1 << 20);
    int64_t least_ns = INT64_MAX;
    for (int i = 0; i < CALLS; i++) {
        es_http_reply reply;
        int64_t late_ns = -1;
        es_http_call call = {.method = ES_HTTP_GET, .path = "/"};
        assert_ok_err(es_http_client_call(client, arena, &call, NULL, &reply, &err), err);
        assert_int_equal(reply.status, 200);
        assert_true(es_text_to_int64(reply.body, &late_ns));
        assert_true(late_ns >= 0);
        least_ns = late_ns < least_ns ? late_ns : least_ns;
    }
    assert_true(least_ns < ES_NS_PER_MS); /* the best of many: other load only adds */
    es_arena_free(arena);
    es_http_client_free(client);
    es_http_server_done(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fires_in_order_what_was_not_cleared),
        cmocka_unit_test(fires_what_is_left_at_the_end),
        cmocka_unit_test(tasks_run_once_in_order),
        cmocka_unit_test(answers_later_on_the_same_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
