/* Who runs next: rules one by one, and random arrivals against a naive model of the same rules. */
#include "base/rng.h"
#include "es_test.h"
#include "runtime/batch_internal.h"

#include <math.h>

enum { JOBS_MAX = 400, TIMES = 200 };

typedef struct world {
    es_batch_queue queue;
    es_batch_job jobs[JOBS_MAX];
    es_tensor inputs[JOBS_MAX];
} world;

static es_batch_job *make(world *w, size_t index, uint32_t rows, int64_t width)
{
    w->inputs[index] = es_tensor_make(ES_DTYPE_F32, (int64_t[]){rows, width}, 2, NULL);
    w->jobs[index] = (es_batch_job){.inputs = &w->inputs[index]};
    w->jobs[index].own.rows = rows;
    return &w->jobs[index];
}

static bool put(world *w, size_t index, uint32_t rows, uint32_t priority, int64_t now_ns)
{
    es_batch_job *job = make(w, index, rows, 4);
    job->priority = priority;
    return es_batch_queue_put(&w->queue, job, now_ns);
}

static es_batcher_opts joining(uint32_t rows_max)
{
    es_batcher_opts opts = es_batcher_opts_default();
    opts.rows_max = rows_max;
    opts.join = true;
    return opts;
}

/* The next batch is jobs[first], jobs[second], ... (-1 ends). */
static void expect_batch(world *w, int64_t now_ns, const int *wanted)
{
    es_batch_list jobs;
    uint32_t rows = 0;
    int64_t wake_ns = 0;
    es_batch_queue_take(&w->queue, now_ns, &jobs, &rows, &wake_ns);
    for (; *wanted >= 0; wanted++)
        assert_ptr_equal(es_batch_list_pop(&jobs), &w->jobs[*wanted]);
    assert_ptr_equal(es_batch_list_pop(&jobs), NULL);
}

#define EXPECT_BATCH(w, now_ns, ...) expect_batch((w), (now_ns), (const int[]){__VA_ARGS__, -1})

static int64_t expect_wait(world *w, int64_t now_ns)
{
    es_batch_list jobs;
    uint32_t rows = 0;
    int64_t wake_ns = 0;
    es_batch_queue_take(&w->queue, now_ns, &jobs, &rows, &wake_ns);
    assert_int_equal(jobs.count, 0);
    return wake_ns;
}

static void a_batch_is_what_waits_up_to_its_size(void **state)
{
    static world w;
    (void)state;
    es_batch_queue_init(&w.queue, joining(4), 1);
    for (size_t i = 0; i < 6; i++)
        assert_true(put(&w, i, 1, 0, (int64_t)i));
    EXPECT_BATCH(&w, 10, 0, 1, 2, 3);
    EXPECT_BATCH(&w, 10, 4, 5);
    assert_int_equal(expect_wait(&w, 10), INT64_MAX);
    assert_int_equal(w.queue.count, 0);
}

static void priority_goes_first_and_unknown_ones_are_the_default(void **state)
{
    static world w;
    es_batcher_opts opts = es_batcher_opts_default();
    (void)state;
    opts.level_count = 3;
    opts.level_default = 2;
    es_batch_queue_init(&w.queue, opts, 1);
    const uint32_t priorities[] = {3, 0, 9, 1, 2};
    for (size_t i = 0; i < 5; i++)
        assert_true(put(&w, i, 1, priorities[i], 0));
    const int order[] = {3, 1, 2, 4, 0};
    for (size_t i = 0; i < 5; i++)
        EXPECT_BATCH(&w, 0, order[i]);
}

static void a_full_level_refuses_and_others_do_not(void **state)
{
    static world w;
    es_batcher_opts opts = es_batcher_opts_default();
    (void)state;
    opts.level_count = 2;
    opts.levels[0].queue_max = 2;
    es_batch_queue_init(&w.queue, opts, 1);
    assert_true(put(&w, 0, 1, 1, 0));
    assert_true(put(&w, 1, 1, 1, 0));
    assert_false(put(&w, 2, 1, 1, 0));
    assert_true(put(&w, 3, 1, 2, 0));
    EXPECT_BATCH(&w, 0, 0);
    assert_true(put(&w, 4, 1, 1, 0));
}

static void other_shapes_and_too_many_rows_stay_behind(void **state)
{
    static world w;
    (void)state;
    es_batch_queue_init(&w.queue, joining(4), 1);
    assert_true(put(&w, 0, 2, 0, 0));
    assert_true(es_batch_queue_put(&w.queue, make(&w, 1, 1, 5), 0)); /* another width */
    assert_true(put(&w, 2, 3, 0, 0));                                /* does not fit beside 2 */
    assert_true(put(&w, 3, 2, 0, 0));
    EXPECT_BATCH(&w, 0, 0, 3);
    EXPECT_BATCH(&w, 0, 1);
    EXPECT_BATCH(&w, 0, 2);
}

static void a_preferred_size_is_cut_to(void **state)
{
    static world w;
    es_batcher_opts opts = joining(8);
    (void)state;
    opts.preferred[0] = 2;
    opts.preferred[1] = 4;
    opts.preferred_count = 2;
    opts.wait_ns_max = 1000;
    es_batch_queue_init(&w.queue, opts, 1);
    for (size_t i = 0; i < 7; i++)
        assert_true(put(&w, i, 1, 0, 0));
    EXPECT_BATCH(&w, 0, 0, 1, 2, 3);
    EXPECT_BATCH(&w, 0, 4, 5);
    assert_int_equal(expect_wait(&w, 0), 1001); /* one is left: jobs came with no gap */
    EXPECT_BATCH(&w, 1001, 6);
}

static void a_lone_request_never_waits_and_a_stream_does(void **state)
{
    static world w;
    es_batcher_opts opts = joining(4);
    (void)state;
    opts.wait_ns_max = 100;
    es_batch_queue_init(&w.queue, opts, 1);
    assert_true(put(&w, 0, 1, 0, 0));
    EXPECT_BATCH(&w, 0, 0); /* the first of all: nothing is known */
    assert_true(put(&w, 1, 1, 0, 5000));
    EXPECT_BATCH(&w, 5000, 1); /* the last gap was 5000: nobody is expected within 100 */
    for (int64_t i = 0; i < 60; i++) {
        assert_true(put(&w, 2, 1, 0, 5000 + 10 * i));
        EXPECT_BATCH(&w, 90000, 2);
    }
    assert_true(put(&w, 2, 1, 0, 5600)); /* by now gaps are about 10 */
    int64_t wake_ns = expect_wait(&w, 5600);
    assert_in_range(wake_ns, 5680, 5691);
    assert_true(put(&w, 3, 1, 0, 5610));
    assert_int_equal(expect_wait(&w, 5610), wake_ns);
    EXPECT_BATCH(&w, wake_ns, 2, 3);
}

static void a_deadline_within_the_wait_is_not_waited_for(void **state)
{
    static world w;
    es_batcher_opts opts = joining(4);
    (void)state;
    opts.wait_ns_max = 100;
    es_batch_queue_init(&w.queue, opts, 1);
    assert_true(put(&w, 0, 1, 0, 0));
    assert_true(put(&w, 1, 1, 0, 0));
    (void)expect_wait(&w, 0);
    make(&w, 2, 1, 4)->deadline_ns = 90;
    assert_true(es_batch_queue_put(&w.queue, &w.jobs[2], 0));
    EXPECT_BATCH(&w, 0, 0, 1, 2);
}

static void what_is_late_is_answered_or_runs_last(void **state)
{
    static world w;
    es_batcher_opts opts = es_batcher_opts_default();
    es_batch_list expired = {.first = NULL};
    (void)state;
    opts.level_count = 2;
    opts.levels[0].timeout_ns = 50;
    opts.levels[1].timeout_ns = 10;
    opts.levels[1].delay_late = true;
    es_batch_queue_init(&w.queue, opts, 1);
    assert_true(put(&w, 0, 1, 2, 0));
    assert_true(put(&w, 1, 1, 1, 0));
    assert_true(put(&w, 2, 1, 2, 5));
    es_batch_queue_expire(&w.queue, 9, &expired);
    assert_int_equal(expired.count, 0);
    assert_int_equal(w.queue.deadline_ns, 10);
    es_batch_queue_expire(&w.queue, 12, &expired);
    assert_int_equal(expired.count, 0);
    assert_int_equal(w.queue.deadline_ns, 15);
    assert_true(put(&w, 3, 1, 2, 12));
    es_batch_queue_expire(&w.queue, 14, &expired);
    EXPECT_BATCH(&w, 14, 1);
    EXPECT_BATCH(&w, 14, 2);
    EXPECT_BATCH(&w, 14, 3);
    EXPECT_BATCH(&w, 14, 0);
    assert_true(put(&w, 1, 1, 1, 100));
    es_batch_queue_expire(&w.queue, 150, &expired);
    assert_ptr_equal(es_batch_list_pop(&expired), &w.jobs[1]);
    assert_int_equal(w.queue.count, 0);
}

static void an_own_deadline_only_shortens_and_only_where_allowed(void **state)
{
    static world w;
    es_batcher_opts opts = es_batcher_opts_default();
    (void)state;
    opts.level_count = 2;
    opts.levels[0].timeout_ns = 100;
    opts.levels[1].timeout_override = false;
    es_batch_queue_init(&w.queue, opts, 1);
    const int64_t wanted[4] = {100, 40, INT64_MAX, INT64_MAX};
    const int64_t deadlines[4] = {500, 40, 40, 0};
    for (size_t i = 0; i < 4; i++) {
        es_batch_job *job = make(&w, i, 1, 4);
        job->priority = i < 2 ? 1 : 2;
        job->deadline_ns = deadlines[i];
        assert_true(es_batch_queue_put(&w.queue, job, 0));
        assert_int_equal(job->own.deadline_ns, wanted[i]);
    }
}

/* ---- the naive model: one array, looked through from the start for every question ---- */

typedef enum fate { WAITS, LATE, RAN, EXPIRED, REFUSED } fate;

typedef struct naive {
    const es_batcher_opts *opts;
    struct {
        fate fate;
        uint32_t level, rows;
        int64_t width, queued_ns, deadline_ns;
        size_t late_at; /* when it became late, in order */
    } jobs[JOBS_MAX];
    size_t count, late_count;
    int64_t last_ns;
    double gap_ns;
} naive;

static bool naive_put(naive *all, const es_batch_job *job, int64_t now_ns)
{
    const es_batcher_opts *opts = all->opts;
    uint32_t priority = job->priority;
    if (priority < 1 || priority > opts->level_count)
        priority = opts->level_default;
    const es_batch_level *level = &opts->levels[priority - 1];
    if (all->last_ns >= 0) {
        double gap_ns = (double)(now_ns - all->last_ns);
        all->gap_ns = isinf(all->gap_ns) ? gap_ns : all->gap_ns + (gap_ns - all->gap_ns) / 8;
    }
    all->last_ns = now_ns;
    size_t there = 0;
    for (size_t i = 0; i < all->count; i++)
        there += all->jobs[i].fate <= LATE && all->jobs[i].level == priority - 1;
    size_t at = all->count++;
    int64_t deadline_ns = level->timeout_ns > 0 ? now_ns + level->timeout_ns : INT64_MAX;
    if (level->timeout_override && job->deadline_ns != 0 && job->deadline_ns < deadline_ns)
        deadline_ns = job->deadline_ns;
    all->jobs[at].level = priority - 1;
    all->jobs[at].rows = job->own.rows;
    all->jobs[at].width = job->inputs[0].dims[1];
    all->jobs[at].queued_ns = now_ns;
    all->jobs[at].deadline_ns = deadline_ns;
    all->jobs[at].fate = there < level->queue_max ? WAITS : REFUSED;
    return there < level->queue_max;
}

static void naive_expire(naive *all, int64_t now_ns)
{
    for (uint32_t level = 0; level < all->opts->level_count; level++)
        for (size_t i = 0; i < all->count; i++) {
            if (all->jobs[i].fate != WAITS || all->jobs[i].level != level ||
                all->jobs[i].deadline_ns > now_ns)
                continue;
            all->jobs[i].fate = all->opts->levels[level].delay_late ? LATE : EXPIRED;
            all->jobs[i].late_at = all->late_count++;
        }
}

/* Is job i before job k in the order of running? */
static bool naive_before(const naive *all, size_t i, size_t k)
{
    if (all->jobs[i].fate != all->jobs[k].fate)
        return all->jobs[i].fate == WAITS;
    if (all->jobs[i].level != all->jobs[k].level)
        return all->jobs[i].level < all->jobs[k].level;
    return all->jobs[i].fate == WAITS ? i < k : all->jobs[i].late_at < all->jobs[k].late_at;
}

static size_t naive_order(const naive *all, size_t *order)
{
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++) {
        if (all->jobs[i].fate > LATE)
            continue;
        size_t at = count++;
        for (; at > 0 && naive_before(all, i, order[at - 1]); at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    return count;
}

static size_t naive_group(const naive *all, const size_t *order, size_t count, uint32_t limit,
                          size_t *chosen, uint32_t *out_rows)
{
    size_t used = 0;
    *out_rows = 0;
    for (size_t i = 0; i < count && i <= (size_t)4 * all->opts->rows_max; i++) {
        size_t job = order[i];
        bool first = i == 0;
        bool fits = all->opts->join && *out_rows + all->jobs[job].rows <= limit &&
                    all->jobs[job].width == all->jobs[order[0]].width;
        if (!first && !fits)
            continue;
        chosen[used++] = job;
        *out_rows += all->jobs[job].rows;
    }
    return used;
}

/* Fills chosen with what runs now; 0 and *out_wake_ns when nothing does. */
static size_t naive_take(naive *all, int64_t now_ns, size_t *chosen, int64_t *out_wake_ns)
{
    size_t order[JOBS_MAX];
    uint32_t rows = 0;
    size_t count = naive_order(all, order);
    const es_batcher_opts *opts = all->opts;
    *out_wake_ns = INT64_MAX;
    for (size_t i = 0; i < count; i++)
        if (all->jobs[order[i]].fate == WAITS && all->jobs[order[i]].deadline_ns < *out_wake_ns)
            *out_wake_ns = all->jobs[order[i]].deadline_ns;
    size_t used = naive_group(all, order, count, opts->rows_max, chosen, &rows);
    if (used == 0)
        return 0;
    uint32_t limit = opts->rows_max;
    if (opts->join && rows < limit) {
        int64_t until_ns = INT64_MAX;
        int64_t deadline_ns = INT64_MAX;
        uint32_t preferred = 0;
        for (size_t i = 0; i < opts->preferred_count; i++)
            if (opts->preferred[i] <= rows)
                preferred = opts->preferred[i];
        for (size_t i = 0; i < used; i++) {
            int64_t end_ns = all->jobs[chosen[i]].queued_ns + opts->wait_ns_max;
            until_ns = end_ns < until_ns ? end_ns : until_ns;
            int64_t own_ns = all->jobs[chosen[i]].deadline_ns;
            deadline_ns = own_ns < deadline_ns ? own_ns : deadline_ns;
        }
        if (preferred > 0) {
            limit = preferred;
        } else if (until_ns > now_ns && deadline_ns > until_ns &&
                   (double)now_ns + all->gap_ns <= (double)until_ns) {
            int64_t up_ns = until_ns - (int64_t)all->gap_ns + 1;
            *out_wake_ns = up_ns < *out_wake_ns ? up_ns : *out_wake_ns;
            return 0;
        }
    }
    used = naive_group(all, order, count, limit, chosen, &rows);
    for (size_t i = 0; i < used; i++)
        all->jobs[chosen[i]].fate = RAN;
    return used;
}

static es_batcher_opts draw_opts(es_rng *rng)
{
    es_batcher_opts opts = es_batcher_opts_default();
    opts.rows_max = (uint32_t)es_rng_below(rng, 9);
    opts.join = opts.rows_max > 0 && es_rng_below(rng, 4) > 0;
    opts.wait_ns_max = es_rng_below(rng, 2) == 0 ? 0 : (int64_t)es_rng_below(rng, 200);
    for (uint32_t size = 2; size < opts.rows_max; size++)
        if (es_rng_below(rng, 4) == 0)
            opts.preferred[opts.preferred_count++] = size;
    opts.level_count = 1 + (uint32_t)es_rng_below(rng, 3);
    opts.level_default = 1 + (uint32_t)es_rng_below(rng, opts.level_count);
    for (size_t i = 0; i < opts.level_count; i++)
        opts.levels[i] = (es_batch_level){.queue_max = 1 + (uint32_t)es_rng_below(rng, 30),
                                          .timeout_ns = (int64_t)es_rng_below(rng, 3) * 150,
                                          .timeout_override = es_rng_below(rng, 2) == 0,
                                          .delay_late = es_rng_below(rng, 3) == 0};
    return opts;
}

/* Takes as a replica would, and checks. Returns how long the batch keeps it busy, 0: none ran. */
static int64_t compare_take(world *w, naive *model, int64_t now_ns, es_rng *rng)
{
    es_batch_list expired = {.first = NULL};
    es_batch_list jobs;
    es_batch_job *job = NULL;
    size_t chosen[JOBS_MAX];
    int64_t wake_ns = 0;
    int64_t naive_wake_ns = 0;
    uint32_t rows = 0;
    es_batch_queue_expire(&w->queue, now_ns, &expired);
    naive_expire(model, now_ns);
    while ((job = es_batch_list_pop(&expired)) != NULL) {
        assert_int_equal(model->jobs[job - w->jobs].fate, EXPIRED);
        model->jobs[job - w->jobs].fate = RAN; /* seen */
    }
    for (size_t i = 0; i < model->count; i++)
        assert_int_not_equal(model->jobs[i].fate, EXPIRED); /* none forgotten */
    es_batch_queue_take(&w->queue, now_ns, &jobs, &rows, &wake_ns);
    size_t used = naive_take(model, now_ns, chosen, &naive_wake_ns);
    assert_int_equal(jobs.count, used);
    if (used == 0) /* it may look again too early, once per deadline, never too late */
        assert_true(now_ns < wake_ns && wake_ns <= naive_wake_ns);
    uint32_t sum = 0;
    for (size_t i = 0; i < used; i++) {
        job = es_batch_list_pop(&jobs);
        assert_int_equal(job - w->jobs, chosen[i]);
        sum += job->own.rows;
    }
    assert_int_equal(rows, sum);
    return used == 0 ? 0 : 1 + (int64_t)es_rng_below(rng, 60);
}

static void agrees_with_the_naive_model(void **state)
{
    static world w;
    static naive model;
    uint64_t seed = es_test_seed(11);
    (void)state;
    for (uint64_t time = 0; time < TIMES; time++) {
        es_rng rng = es_rng_make(seed, time);
        es_batcher_opts opts = draw_opts(&rng);
        uint32_t rows_most = opts.rows_max == 0 ? 1 : opts.rows_max < 3 ? opts.rows_max : 3;
        int64_t now_ns = 0;
        int64_t free_ns = 0;
        uint64_t pace = 1 + es_rng_below(&rng, 60);
        es_batch_queue_init(&w.queue, opts, 1);
        model = (naive){.opts = &opts, .last_ns = -1, .gap_ns = (double)INFINITY};
        for (size_t i = 0; i < JOBS_MAX; i++) {
            now_ns += (int64_t)es_rng_below(&rng, pace);
            while (free_ns <= now_ns) {
                int64_t busy_ns = compare_take(&w, &model, free_ns, &rng);
                free_ns = busy_ns > 0 ? free_ns + busy_ns : now_ns + 1;
            }
            es_batch_job *job = make(&w, i, 1 + (uint32_t)es_rng_below(&rng, rows_most),
                                     4 + (int64_t)es_rng_below(&rng, 2));
            job->priority = (uint32_t)es_rng_below(&rng, 5);
            job->deadline_ns =
                es_rng_below(&rng, 3) == 0 ? now_ns + (int64_t)es_rng_below(&rng, 300) : 0;
            bool taken = es_batch_queue_put(&w.queue, job, now_ns);
            assert_int_equal(taken, naive_put(&model, job, now_ns));
        }
        while (w.queue.count > 0) {
            now_ns += 1000;
            while (compare_take(&w, &model, now_ns, &rng) > 0)
                continue;
        }
        for (size_t i = 0; i < JOBS_MAX; i++)
            assert_true(model.jobs[i].fate == RAN || model.jobs[i].fate == REFUSED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_is_what_waits_up_to_its_size),
        cmocka_unit_test(priority_goes_first_and_unknown_ones_are_the_default),
        cmocka_unit_test(a_full_level_refuses_and_others_do_not),
        cmocka_unit_test(other_shapes_and_too_many_rows_stay_behind),
        cmocka_unit_test(a_preferred_size_is_cut_to),
        cmocka_unit_test(a_lone_request_never_waits_and_a_stream_does),
        cmocka_unit_test(a_deadline_within_the_wait_is_not_waited_for),
        cmocka_unit_test(what_is_late_is_answered_or_runs_last),
        cmocka_unit_test(an_own_deadline_only_shortens_and_only_where_allowed),
        cmocka_unit_test(agrees_with_the_naive_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
