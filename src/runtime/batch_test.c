/* The batcher over real sessions: outputs equal unbatched ones, and every job is answered once. */
#include "base/file.h"
#include "model/model.h"
#include "runtime/batch_internal.h"
#include "runtime/testing/shared.h"
#include "runtime/testing/tiny_model.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum { WIDTH = 4, ROWS_MAX = 4 };

/* ---- models ---- */

static es_session *open_bytes(fixture *all, const void *bytes, size_t size)
{
    es_error err = {0};
    es_session *session = NULL;
    assert_ok_err(
        es_session_open_bytes(all->runtime, bytes, size, es_session_opts_default(), &session, &err),
        err);
    return session;
}

static es_session *open_add(fixture *all, int64_t batch)
{
    es_error err = {0};
    const void *bytes = NULL;
    size_t size = 0;
    assert_ok_err(tiny_add(all->arena, batch, &bytes, &size, &err), err);
    return open_bytes(all, bytes, size);
}

static es_session *finish(fixture *all, es_model_build *build)
{
    es_error err = {0};
    const es_model *model = NULL;
    const void *bytes = NULL;
    size_t size = 0;
    assert_ok_err(es_model_build_finish(build, &model, &err), err);
    assert_ok_err(es_model_bytes(all->arena, model, &bytes, &size, &err), err);
    return open_bytes(all, bytes, size);
}

static const int64_t free_by_four[2] = {-1, WIDTH};

/* y = table[x], x: i64[?]; an index outside 0..3 fails at run time. */
static es_session *open_gather(fixture *all)
{
    static const float table[4] = {10, 11, 12, 13};
    es_model_build *build = es_model_build_new(all->arena, "gather", 13);
    es_model_build_input(build, "x", ES_MODEL_INT64, 1, (const int64_t[]){-1}, NULL);
    es_model_build_weight(build, "table", ES_MODEL_FLOAT, 1, (const int64_t[]){4}, table,
                          sizeof table);
    es_model_build_node(build, "Gather", NULL, "g", (const char *const[]){"table", "x", NULL},
                        (const char *const[]){"y", NULL});
    es_model_build_output(build, "y", ES_MODEL_FLOAT, 1, (const int64_t[]){-1}, NULL);
    return finish(all, build);
}

/* y is the first row alone, though a free number of rows is declared. */
static es_session *open_first_row(fixture *all)
{
    static const unsigned char first = 1;
    es_model_build *build = es_model_build_new(all->arena, "first", 13);
    es_model_build_input(build, "x", ES_MODEL_FLOAT, 2, free_by_four, NULL);
    es_model_build_weight(build, "keep", ES_MODEL_BOOL, 1, (const int64_t[]){1}, &first, 1);
    es_model_build_node(build, "Compress", NULL, "c", (const char *const[]){"x", "keep", NULL},
                        (const char *const[]){"y", NULL});
    es_model_build_int(build, "axis", 0);
    es_model_build_output(build, "y", ES_MODEL_FLOAT, 2, free_by_four, NULL);
    return finish(all, build);
}

/* Each row is what came so far. */
static es_session *open_sequence(fixture *all)
{
    es_model_build *build = es_model_build_new(all->arena, "sequence", 14);
    es_model_build_input(build, "x", ES_MODEL_FLOAT, 2, free_by_four, NULL);
    es_model_build_weight(build, "axis", ES_MODEL_INT64, 0, NULL, (const int64_t[]){0}, 8);
    es_model_build_node(build, "CumSum", NULL, "c", (const char *const[]){"x", "axis", NULL},
                        (const char *const[]){"y", NULL});
    es_model_build_output(build, "y", ES_MODEL_FLOAT, 2, free_by_four, NULL);
    return finish(all, build);
}

/* 8-bit with the scale taken over the whole tensor: joining changes the answers. */
static es_session *open_dynamic_scale(fixture *all)
{
    es_model_build *build = es_model_build_new(all->arena, "dynamic", 13);
    es_model_build_input(build, "x", ES_MODEL_FLOAT, 2, free_by_four, NULL);
    es_model_build_node(build, "DynamicQuantizeLinear", NULL, "q", (const char *const[]){"x", NULL},
                        (const char *const[]){"q", "scale", "zero", NULL});
    es_model_build_node(build, "DequantizeLinear", NULL, "d",
                        (const char *const[]){"q", "scale", "zero", NULL},
                        (const char *const[]){"y", NULL});
    es_model_build_output(build, "y", ES_MODEL_FLOAT, 2, free_by_four, NULL);
    return finish(all, build);
}

/* ---- jobs that check their own answers ---- */

typedef struct request {
    es_batch_job job;
    es_tensor input;
    float x[ROWS_MAX * WIDTH];
    atomic_int answers;
    es_batch_fate fate;
    bool right; /* the output is x + [1, 2, 3, 4] */
    uint32_t batch_rows;
    es_status status;
} request;

static void check_sum(es_batch_job *job, const es_batch_result *result)
{
    request *one = job->context;
    one->fate = result->fate;
    one->batch_rows = result->batch_rows;
    one->status = result->error != NULL ? result->error->status : ES_OK;
    one->right = result->fate == ES_BATCH_SERVED && result->queue_ns >= 0 &&
                 result->rows == (uint32_t)one->input.dims[0];
    if (result->fate == ES_BATCH_SERVED) {
        const es_tensor *y = &result->outputs[0];
        one->right = one->right && y->rank == 2 && y->dims[0] == one->input.dims[0] &&
                     y->dims[1] == WIDTH && y->size_bytes == one->input.size_bytes;
        for (size_t i = 0; one->right && i < y->size_bytes / sizeof(float); i++)
            one->right = ((const float *)y->data)[i] == one->x[i] + (float)(i % WIDTH + 1);
    }
    atomic_fetch_add(&one->answers, 1);
}

static void request_fill(request *one, es_rng *rng, uint32_t rows)
{
    for (size_t i = 0; i < (size_t)rows * WIDTH; i++)
        one->x[i] = (float)es_rng_below(rng, 1000);
    one->input = es_tensor_make(ES_DTYPE_F32, (int64_t[]){rows, WIDTH}, 2, one->x);
    one->job = (es_batch_job){.inputs = &one->input, .done = check_sum, .context = one};
    atomic_init(&one->answers, 0);
    one->right = false;
    one->fate = ES_BATCH_FATE_COUNT;
}

static es_batcher_opts joining(uint32_t rows_max)
{
    es_batcher_opts opts = es_batcher_opts_default();
    opts.rows_max = rows_max;
    opts.join = true;
    return opts;
}

static es_batcher *batcher_of(es_session *session, es_batcher_opts opts)
{
    es_error err = {0};
    es_batcher *batcher = NULL;
    assert_ok_err(es_batcher_new(session, opts, &batcher, &err), err);
    es_session_unref(session); /* the batcher holds it */
    return batcher;
}

/* ---- on one thread, by a clock of the test ---- */

static void random_arrivals_are_answered_right_and_once(void **state)
{
    enum { COUNT = 300 };
    static request requests[COUNT];
    fixture *all = fixture_get(state);
    es_clock_manual clock;
    es_clock_manual_init(&clock, 1000);
    es_rng rng = es_rng_make(es_test_seed(3), 0);
    es_batcher_opts opts = joining(6);
    opts.clock = &clock.clock;
    opts.threads = false;
    opts.preferred[0] = 4;
    opts.preferred_count = 1;
    opts.wait_ns_max = 300;
    opts.levels[0].queue_max = COUNT;
    es_batcher *batcher = batcher_of(open_add(all, -1), opts);
    int64_t wake_ns = 0;
    size_t served = 0;
    for (size_t i = 0; i < COUNT; i++) {
        request_fill(&requests[i], &rng, 1 + (uint32_t)es_rng_below(&rng, ROWS_MAX));
        if (es_rng_below(&rng, 4) == 0)
            requests[i].job.deadline_ns = clock.time_ns + 1 + (int64_t)es_rng_below(&rng, 200);
        assert_ok(es_batcher_submit(batcher, &requests[i].job, 0, NULL));
        clock.time_ns += (int64_t)es_rng_below(&rng, 120);
        if (es_rng_below(&rng, 3) == 0)
            (void)es_batcher_turn(batcher, &wake_ns);
    }
    while (es_batcher_turn(batcher, &wake_ns) || wake_ns != INT64_MAX)
        clock.time_ns = wake_ns != INT64_MAX && wake_ns > clock.time_ns ? wake_ns : clock.time_ns;
    bool joined = false;
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(requests[i].answers, 1);
        assert_true(requests[i].right || requests[i].fate == ES_BATCH_EXPIRED);
        served += requests[i].right;
        joined = joined || requests[i].batch_rows > requests[i].input.dims[0];
    }
    assert_true(joined);
    es_batcher_stats stats;
    es_batch_size_stats sizes[6];
    es_batcher_stats_get(batcher, &stats, sizes, 6);
    assert_int_equal(stats.jobs[ES_BATCH_SERVED], served);
    assert_int_equal(stats.jobs[ES_BATCH_EXPIRED], COUNT - served);
    assert_true(stats.jobs[ES_BATCH_EXPIRED] > 0);
    uint64_t runs = 0;
    uint64_t rows = 0;
    for (size_t i = 0; i < 6; i++) {
        runs += sizes[i].runs;
        rows += sizes[i].runs * (i + 1);
    }
    assert_int_equal(stats.runs, runs);
    assert_int_equal(stats.rows, rows);
    assert_true(runs < served);
    es_batcher_free(batcher);
}

static void what_is_overdue_never_runs(void **state)
{
    static request requests[2];
    fixture *all = fixture_get(state);
    es_clock_manual clock;
    es_clock_manual_init(&clock, 1000);
    es_rng rng = es_rng_make(1, 0);
    es_batcher_opts opts = joining(4);
    opts.clock = &clock.clock;
    opts.threads = false;
    es_batcher *batcher = batcher_of(open_add(all, -1), opts);
    assert_int_equal(es_batcher_expire(batcher), INT64_MAX);
    request_fill(&requests[0], &rng, 1);
    requests[0].job.deadline_ns = 1500;
    request_fill(&requests[1], &rng, 1);
    requests[1].job.deadline_ns = 1600;
    assert_ok(es_batcher_submit(batcher, &requests[0].job, 0, NULL));
    assert_ok(es_batcher_submit(batcher, &requests[1].job, 0, NULL));
    assert_int_equal(es_batcher_expire(batcher), 1500);
    clock.time_ns = 1550;
    assert_int_equal(es_batcher_expire(batcher), 1600);
    assert_int_equal(requests[0].fate, ES_BATCH_EXPIRED);
    assert_int_equal(requests[0].status, ES_ERR_UNAVAILABLE);
    int64_t wake_ns = 0;
    assert_true(es_batcher_turn(batcher, &wake_ns));
    assert_int_equal(requests[0].answers, 1);
    assert_true(requests[1].right);
    es_batcher_free(batcher);
}

/* ---- one bad request among good ones ---- */

typedef struct lookup {
    es_batch_job job;
    es_tensor input;
    int64_t x;
    float y;
    es_batch_fate fate;
    char text[128];
} lookup;

static void keep_value(es_batch_job *job, const es_batch_result *result)
{
    lookup *one = job->context;
    one->fate = result->fate;
    if (result->fate == ES_BATCH_SERVED)
        one->y = ((const float *)result->outputs[0].data)[0];
    else
        (void)snprintf(one->text, sizeof one->text, "%s", es_error_text(result->error));
}

static void only_the_guilty_one_fails(void **state)
{
    static lookup lookups[3];
    const int64_t indices[3] = {2, 77, 1};
    fixture *all = fixture_get(state);
    es_batcher_opts opts = joining(4);
    int64_t wake_ns = 0;
    opts.threads = false;
    es_batcher *batcher = batcher_of(open_gather(all), opts);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 3; i++) {
            lookups[i] = (lookup){.x = round == 0 ? (int64_t)i : indices[i]};
            lookups[i].input = es_tensor_make(ES_DTYPE_I64, (int64_t[]){1}, 1, &lookups[i].x);
            lookups[i].job = (es_batch_job){
                .inputs = &lookups[i].input, .done = keep_value, .context = &lookups[i]};
            assert_ok(es_batcher_submit(batcher, &lookups[i].job, 0, NULL));
        }
        assert_true(es_batcher_turn(batcher, &wake_ns));
        for (size_t i = 0; i < 3; i++) {
            bool bad = lookups[i].x > 3;
            assert_int_equal(lookups[i].fate, bad ? ES_BATCH_FAILED : ES_BATCH_SERVED);
            assert_true(bad || lookups[i].y == 10 + (float)lookups[i].x);
            assert_true(!bad || strstr(lookups[i].text, "run") != NULL);
        }
    }
    es_batcher_stats stats;
    es_batcher_stats_get(batcher, &stats, NULL, 0);
    assert_int_equal(stats.parted, 2);
    assert_int_equal(stats.jobs[ES_BATCH_FAILED], 2);
    assert_int_equal(stats.jobs[ES_BATCH_SERVED], 7);
    es_batcher_free(batcher);
}

static void outputs_without_the_batch_part_it(void **state)
{
    static lookup lookups[2];
    static float x[2][WIDTH] = {{1, 2, 3, 4}, {5, 6, 7, 8}};
    fixture *all = fixture_get(state);
    es_batcher_opts opts = joining(4);
    int64_t wake_ns = 0;
    opts.threads = false;
    es_batcher *batcher = batcher_of(open_first_row(all), opts);
    for (size_t i = 0; i < 2; i++) {
        lookups[i].input = es_tensor_make(ES_DTYPE_F32, (int64_t[]){1, WIDTH}, 2, x[i]);
        lookups[i].job =
            (es_batch_job){.inputs = &lookups[i].input, .done = keep_value, .context = &lookups[i]};
        assert_ok(es_batcher_submit(batcher, &lookups[i].job, 0, NULL));
    }
    assert_true(es_batcher_turn(batcher, &wake_ns));
    assert_true(lookups[0].fate == ES_BATCH_SERVED && lookups[0].y == 1);
    assert_true(lookups[1].fate == ES_BATCH_SERVED && lookups[1].y == 5);
    es_batcher_free(batcher);
}

/* ---- threads ---- */

typedef struct sender {
    es_batcher *batcher;
    request *requests;
    size_t count;
    uint64_t stream;
    size_t refused;
} sender;

/* At most 8 of its own under way, but for the last ones, which meet the end. */
static void hold_back(const sender *own, size_t next)
{
    for (size_t i = next < 8 ? 0 : next - 8; i + 8 <= next && next + 20 < own->count; i++)
        while (atomic_load(&own->requests[i].answers) == 0)
            (void)sched_yield();
}

static void *send(void *context)
{
    sender *own = context;
    es_clock *clock = es_clock_system();
    es_rng rng = es_rng_make(es_test_seed(5), own->stream);
    for (size_t i = 0; i < own->count; i++) {
        request *one = &own->requests[i];
        hold_back(own, i);
        request_fill(one, &rng, 1 + (uint32_t)es_rng_below(&rng, ROWS_MAX));
        one->job.priority = (uint32_t)es_rng_below(&rng, 4);
        if (es_rng_below(&rng, 10) == 0)
            one->job.deadline_ns = es_clock_now_ns(clock) + (int64_t)es_rng_below(&rng, 200000);
        if (es_batcher_submit(own->batcher, &one->job, (int64_t)es_rng_below(&rng, 2) * ES_NS_PER_S,
                              NULL) != ES_OK) {
            own->refused++;
            atomic_fetch_add(&one->answers, 1); /* here, once */
        }
    }
    return NULL;
}

static void many_threads_lose_nothing(void **state)
{
    enum { SENDERS = 4, EACH = 1500 };
    static request requests[SENDERS][EACH];
    sender senders[SENDERS];
    pthread_t threads[SENDERS];
    fixture *all = fixture_get(state);
    es_batcher_opts opts = joining(6);
    opts.replica_count = 3;
    opts.wait_ns_max = 20000;
    opts.level_count = 3;
    opts.level_default = 2;
    opts.levels[1].queue_max = 4;
    es_batcher *batcher = batcher_of(open_add(all, -1), opts);
    size_t refused = 0;
    for (size_t i = 0; i < SENDERS; i++) {
        senders[i] =
            (sender){.batcher = batcher, .requests = requests[i], .count = EACH, .stream = i};
        assert_int_equal(pthread_create(&threads[i], NULL, send, &senders[i]), 0);
    }
    for (size_t i = 0; i < SENDERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        refused += senders[i].refused;
    }
    es_batcher_free(batcher); /* what waits is cancelled */
    for (size_t i = 0; i < SENDERS; i++)
        for (size_t k = 0; k < EACH; k++) {
            assert_int_equal(requests[i][k].answers, 1);
            if (!requests[i][k].right && requests[i][k].fate == ES_BATCH_SERVED)
                fail_msg("sender %zu, request %zu: wrong values", i, k);
            assert_int_not_equal(requests[i][k].fate, ES_BATCH_FAILED);
        }
    print_message("%zu of %d were refused\n", refused, SENDERS * EACH);
}

/* Is the next job answered before submit returns? By a clock of the test, where runs take no time.
 */
static bool runs_here(es_batcher *batcher, int64_t here_ns_max)
{
    static request one;
    es_rng rng = es_rng_make(1, 0);
    int64_t wake_ns = 0;
    request_fill(&one, &rng, 2);
    assert_ok(es_batcher_submit(batcher, &one.job, here_ns_max, NULL));
    bool here = atomic_load(&one.answers) == 1;
    while (es_batcher_turn(batcher, &wake_ns))
        continue;
    assert_true(one.right);
    return here;
}

static void a_job_runs_here_when_that_pays(void **state)
{
    const int64_t us = ES_NS_PER_US;
    fixture *all = fixture_get(state);
    es_clock_manual clock;
    es_clock_manual_init(&clock, 1000);
    es_batcher_opts opts = joining(4);
    opts.clock = &clock.clock;
    opts.threads = false;
    es_batcher *batcher = batcher_of(open_add(all, -1), opts);
    assert_false(runs_here(batcher, 0)); /* not asked for */
    es_batcher_free(batcher);
    batcher = batcher_of(open_add(all, -1), opts);
    assert_false(runs_here(batcher, ES_NS_PER_S)); /* nobody knows how long it takes */
    es_batcher_free(batcher);
    opts.run_ns_expected = 10 * us;
    batcher = batcher_of(open_add(all, -1), opts);
    assert_true(runs_here(batcher, 50 * us)); /* shorter than a switch, however busy */
    assert_true(runs_here(batcher, 50 * us));
    es_batcher_free(batcher);
    opts.run_ns_expected = 100 * us;
    batcher = batcher_of(open_add(all, -1), opts);
    assert_false(runs_here(batcher, 50 * us));  /* too long */
    assert_false(runs_here(batcher, 200 * us)); /* comes right behind the last one */
    for (int i = 0; i < 2; i++) {               /* one rest may be a pause of the machine */
        clock.time_ns += 1000 * us;
        assert_false(runs_here(batcher, 200 * us));
    }
    clock.time_ns += 1000 * us;
    assert_true(runs_here(batcher, 200 * us)); /* it rests between jobs */
    es_batcher_free(batcher);
}

/* Threads do not matter to a job that runs where it was submitted. */
static void a_lone_job_runs_where_it_is_submitted(void **state)
{
    static request one;
    fixture *all = fixture_get(state);
    es_rng rng = es_rng_make(1, 0);
    es_batcher_opts opts = joining(4);
    opts.run_ns_expected = ES_NS_PER_US;
    es_batcher *batcher = batcher_of(open_add(all, -1), opts);
    request_fill(&one, &rng, 2);
    assert_ok(es_batcher_submit(batcher, &one.job, ES_NS_PER_S, NULL));
    assert_int_equal(one.answers, 1); /* before submit returned */
    assert_true(one.right);
    es_batcher_free(batcher);
}

static void what_waits_at_the_end_is_cancelled(void **state)
{
    static request requests[3];
    fixture *all = fixture_get(state);
    es_rng rng = es_rng_make(1, 0);
    es_batcher_opts opts = joining(2);
    opts.threads = false;
    opts.levels[0].queue_max = 2;
    es_error err = {0};
    es_batcher *batcher = batcher_of(open_add(all, -1), opts);
    for (size_t i = 0; i < 3; i++)
        request_fill(&requests[i], &rng, 1);
    assert_ok(es_batcher_submit(batcher, &requests[0].job, 0, &err));
    assert_ok(es_batcher_submit(batcher, &requests[1].job, 0, &err));
    assert_fails(es_batcher_submit(batcher, &requests[2].job, 0, &err), ES_ERR_UNAVAILABLE, err,
                 "full");
    es_batcher_free(batcher);
    assert_int_equal(requests[0].fate, ES_BATCH_CANCELLED);
    assert_int_equal(requests[1].answers, 1);
    assert_int_equal(requests[2].answers, 0);
    es_batcher_free(NULL);
}

/* ---- what is refused ---- */

static void wrong_jobs_and_options_are_named(void **state)
{
    static request one;
    fixture *all = fixture_get(state);
    es_rng rng = es_rng_make(1, 0);
    es_error err = {0};
    es_batcher *none = NULL;
    es_batcher *batcher = batcher_of(open_add(all, -1), joining(2));
    request_fill(&one, &rng, 3);
    assert_fails(es_batcher_submit(batcher, &one.job, 0, &err), ES_ERR_ARG, err,
                 "'x': 3 rows must be in 1..2");
    one.input.dims[0] = 0;
    one.input.size_bytes = 0;
    assert_fails(es_batcher_submit(batcher, &one.job, 0, &err), ES_ERR_ARG, err,
                 "0 rows must be in 1..2");
    one.input = es_tensor_make(ES_DTYPE_F32, (int64_t[]){1, 3}, 2, one.x);
    assert_fails(es_batcher_submit(batcher, &one.job, 0, &err), ES_ERR_ARG, err,
                 "expected f32[?x4]");
    es_batcher_free(batcher);
    es_session *fixed = open_add(all, 1);
    assert_fails(es_batcher_new(fixed, joining(2), &none, &err), ES_ERR_ARG, err,
                 "without a free first dim");
    es_session_unref(fixed);
    es_session *session = open_add(all, -1);
    es_batcher_opts opts = joining(4);
    opts.preferred[0] = 5;
    opts.preferred_count = 1;
    assert_fails(es_batcher_new(session, opts, &none, &err), ES_ERR_ARG, err, "preferred[0]=5");
    opts = es_batcher_opts_default();
    opts.join = true;
    assert_fails(es_batcher_new(session, opts, &none, &err), ES_ERR_ARG, err, "rows_max");
    opts = joining(4);
    opts.level_default = 2;
    assert_fails(es_batcher_new(session, opts, &none, &err), ES_ERR_ARG, err, "level_default=2");
    opts = joining(4);
    opts.levels[0].queue_max = 0;
    assert_fails(es_batcher_new(session, opts, &none, &err), ES_ERR_ARG, err, "queue_max=0");
    opts = joining(4);
    opts.replica_count = 0;
    assert_fails(es_batcher_new(session, opts, &none, &err), ES_ERR_ARG, err, "replica_count=0");
    es_session_unref(session);
}

static void rows_that_see_each_other_are_found_out(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    const void *bytes = NULL;
    size_t size = 0;
    assert_ok_err(tiny_layers(all->arena, -1, 32, 3, &bytes, &size, &err), err);
    struct {
        es_session *session;
        bool apart;
    } cases[] = {
        {open_add(all, -1), true},   {open_bytes(all, bytes, size), true},
        {open_gather(all), true},    {open_first_row(all), false},
        {open_sequence(all), false}, {open_dynamic_scale(all), false},
        {open_add(all, 1), false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool apart = !cases[i].apart;
        assert_ok_err(es_session_rows_apart(cases[i].session, &apart, &err), err);
        if (apart != cases[i].apart)
            fail_msg("case %zu: apart=%d", i, apart);
        es_session_unref(cases[i].session);
    }
}

/* The real network: joined answers equal lone ones but for rounding. */
static void a_real_network_joined_equals_itself_alone(void **state)
{
    enum { COUNT = 6, PIXELS = 128 * 128 * 3 };
    static float x[COUNT][PIXELS];
    static lookup lookups[COUNT];
    fixture *all = fixture_get(state);
    const char *path = es_test_data("onnx/stm_mobilenet_v2_0.35_128.onnx");
    if (path == NULL)
        skip();
    es_error err = {0};
    es_session *session = NULL;
    bool apart = false;
    assert_ok_err(es_session_open(all->runtime, path, es_session_opts_default(), &session, &err),
                  err);
    assert_ok_err(es_session_rows_apart(session, &apart, &err), err);
    assert_true(apart);
    es_batcher_opts opts = joining(COUNT);
    opts.threads = false;
    es_session *kept = es_session_ref(session);
    es_batcher *batcher = batcher_of(session, opts);
    es_rng rng = es_rng_make(1, 0);
    for (size_t i = 0; i < COUNT; i++) {
        lookups[i].input = es_port_tensor(es_session_input(kept, 0), 1);
        assert_int_equal(lookups[i].input.size_bytes, sizeof x[i]);
        lookups[i].input.data = x[i];
        es_tensor_fill(&lookups[i].input, &rng);
        lookups[i].job =
            (es_batch_job){.inputs = &lookups[i].input, .done = keep_value, .context = &lookups[i]};
        assert_ok(es_batcher_submit(batcher, &lookups[i].job, 0, NULL));
    }
    int64_t wake_ns = 0;
    assert_true(es_batcher_turn(batcher, &wake_ns));
    for (size_t i = 0; i < COUNT; i++) {
        es_tensor y = {.dtype = ES_DTYPE_NONE};
        assert_ok_err(es_session_run(kept, &lookups[i].input, 1, &y, 1, &err), err);
        assert_int_equal(lookups[i].fate, ES_BATCH_SERVED);
        assert_true(fabs((double)lookups[i].y - (double)((const float *)y.data)[0]) < 1e-5);
        es_tensor_done(&y);
    }
    es_batcher_free(batcher);
    es_session_unref(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_arrivals_are_answered_right_and_once),
        cmocka_unit_test(what_is_overdue_never_runs),
        cmocka_unit_test(only_the_guilty_one_fails),
        cmocka_unit_test(outputs_without_the_batch_part_it),
        cmocka_unit_test(many_threads_lose_nothing),
        cmocka_unit_test(a_job_runs_here_when_that_pays),
        cmocka_unit_test(a_lone_job_runs_where_it_is_submitted),
        cmocka_unit_test(what_waits_at_the_end_is_cancelled),
        cmocka_unit_test(wrong_jobs_and_options_are_named),
        cmocka_unit_test(rows_that_see_each_other_are_found_out),
        cmocka_unit_test(a_real_network_joined_equals_itself_alone),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
