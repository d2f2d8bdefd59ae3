/* Emulated processors: the order and the times of a queue before N servers, against a naive model;
 * turns in any order of coming; what is lost is not waited for forever. */
#include "base/rng.h"
#include "es_test.h"
#include "machine.h"

#include <stdlib.h>

enum { COUNT = 60, SEEDS = 200, MS = 1000000 };

static es_machine *open_machine(uint32_t processors, size_t queue_max)
{
    es_machine *machine = NULL;
    assert_ok(es_machine_new(processors, queue_max, &machine, NULL));
    return machine;
}

static void only_warm_time_is_slowed_down(void **state)
{
    (void)state;
    assert_int_equal(es_machine_service_ns(100, 100, 1), 100);
    assert_int_equal(es_machine_service_ns(100, 5000, 50), 5000);
    assert_int_equal(es_machine_service_ns(180, 5000, 50), 5080); /* cold: once */
    assert_int_equal(es_machine_service_ns(60, 5000, 50), 5000);
    assert_true(es_machine_service_ns(INT64_MAX / 2, INT64_MAX / 2, 1) > 0);
}

static void a_little_late_is_forgiven(void **state)
{
    (void)state;
    assert_int_equal(es_machine_settle_ns(5 * MS, 5 * MS + MS - 1), 5 * MS);
    assert_int_equal(es_machine_settle_ns(5 * MS, 5 * MS + MS), 6 * MS);
    assert_int_equal(es_machine_settle_ns(5 * MS, 4 * MS), 5 * MS);
}

/* ---- first come, first served ---- */

typedef struct load {
    es_machine_job jobs[COUNT];
    int64_t service_ns[COUNT];
    int64_t end_ns[COUNT]; /* 0: not begun */
} load;

/* The naive model: each in order of arrival takes the processor that is free first. */
static void check_against_naive(const load *all, uint32_t processors, uint64_t seed)
{
    int64_t free_ns[ES_MACHINE_PROCESSORS_MAX] = {0};
    for (size_t i = 0; i < COUNT; i++) {
        uint32_t first = 0;
        for (uint32_t p = 1; p < processors; p++)
            first = free_ns[p] < free_ns[first] ? p : first;
        int64_t start_ns =
            all->jobs[i].arrival_ns > free_ns[first] ? all->jobs[i].arrival_ns : free_ns[first];
        free_ns[first] = start_ns + all->service_ns[i];
        if (all->jobs[i].start_ns != start_ns)
            fail_msg("seed %" PRIu64 ": job %zu of %d began at %lld, not at %lld", seed, i, COUNT,
                     (long long)all->jobs[i].start_ns, (long long)start_ns);
    }
}

static void begin_all(es_machine *machine, load *all, int64_t now_ns)
{
    es_machine_job *job = NULL;
    while ((job = es_machine_next(machine, now_ns)) != NULL) {
        size_t i = (size_t)(job - all->jobs);
        all->end_ns[i] = job->start_ns + all->service_ns[i];
    }
}

/* The first to end of those that run; COUNT: none does. */
static size_t first_end(const load *all, const bool *ended)
{
    size_t found = COUNT;
    for (size_t i = 0; i < COUNT; i++)
        if (all->end_ns[i] > 0 && !ended[i] &&
            (found == COUNT || all->end_ns[i] < all->end_ns[found]))
            found = i;
    return found;
}

static void requests_are_served_as_they_come(void **state)
{
    (void)state;
    uint64_t first = es_test_seed(1);
    for (uint64_t seed = first; seed < first + SEEDS; seed++) {
        es_rng rng = es_rng_make(seed, 0);
        uint32_t processors = 1 + (uint32_t)(es_rng_u64(&rng) % 4);
        es_machine *machine = open_machine(processors, COUNT);
        bool ended[COUNT] = {false};
        es_machine_stats stats;
        load all = {.end_ns = {0}};
        int64_t now_ns = 1;
        double busy_s = 0;
        for (size_t i = 0; i < COUNT; i++) {
            now_ns += (int64_t)(es_rng_u64(&rng) % (2 * MS));
            all.jobs[i] = (es_machine_job){.arrival_ns = now_ns};
            all.service_ns[i] = 1 + (int64_t)(es_rng_u64(&rng) % (4 * MS));
            busy_s += es_s_from_ns(all.service_ns[i]);
        }
        for (size_t i = 0; i <= COUNT; i++) { /* events in order of time */
            int64_t next_ns = i < COUNT ? all.jobs[i].arrival_ns : INT64_MAX;
            size_t k = 0;
            while ((k = first_end(&all, ended)) < COUNT && all.end_ns[k] <= next_ns) {
                es_machine_end(machine, &all.jobs[k], all.end_ns[k]);
                ended[k] = true;
                begin_all(machine, &all, all.end_ns[k]);
            }
            if (i < COUNT) {
                assert_ok(es_machine_enter(machine, &all.jobs[i], NULL));
                begin_all(machine, &all, next_ns);
            }
        }
        check_against_naive(&all, processors, seed);
        es_machine_stats_get(machine, INT64_MAX, &stats);
        assert_true(stats.busy_s > busy_s - 1e-9 && stats.busy_s < busy_s + 1e-9);
        assert_int_equal(stats.waiting, 0);
        assert_int_equal(stats.running, 0);
        es_machine_free(machine);
    }
}

/* What was read late but came first is first; what is too much is refused. */
static void arrival_decides(void **state)
{
    (void)state;
    es_error err = {0};
    es_machine_stats stats;
    es_machine *machine = open_machine(1, 2);
    es_machine_job jobs[4] = {{.arrival_ns = 10}, {.arrival_ns = 30}, {.arrival_ns = 20}, {0}};
    assert_ok(es_machine_enter(machine, &jobs[0], NULL));
    assert_ptr_equal(es_machine_next(machine, 10), &jobs[0]);
    assert_ok(es_machine_enter(machine, &jobs[1], NULL));
    assert_ok(es_machine_enter(machine, &jobs[2], NULL));
    assert_fails(es_machine_enter(machine, &jobs[3], &err), ES_ERR_UNAVAILABLE, err,
                 "2 requests wait");
    es_machine_stats_get(machine, 1000, &stats);
    assert_int_equal(stats.waiting, 2);
    assert_int_equal(stats.running, 1);
    assert_true(stats.busy_s > 0.98e-6 && stats.busy_s < 1e-6);
    assert_null(es_machine_next(machine, 40));
    es_machine_end(machine, &jobs[0], 40);
    assert_ptr_equal(es_machine_next(machine, 41), &jobs[2]);
    assert_int_equal(jobs[2].start_ns, 40); /* when the processor was free, not when we looked */
    es_machine_end(machine, &jobs[2], 50);
    assert_ptr_equal(es_machine_next(machine, 51), &jobs[1]);
    es_machine_end(machine, &jobs[1], 60);
    es_machine_free(machine);
}

/* ---- turns ---- */

static void any_order_of_coming_leaves_in_turn(void **state)
{
    (void)state;
    uint64_t first = es_test_seed(1);
    for (uint64_t seed = first; seed < first + SEEDS; seed++) {
        es_rng rng = es_rng_make(seed, 0);
        es_machine *machine = open_machine(1, COUNT);
        es_machine_job jobs[COUNT];
        es_machine_job *job = NULL;
        uint32_t order[COUNT];
        uint32_t served = 0;
        int64_t end_ns = 0;
        for (uint32_t i = 0; i < COUNT; i++) {
            uint32_t k = (uint32_t)(es_rng_u64(&rng) % (i + 1));
            order[i] = order[k];
            order[k] = i + 1;
        }
        for (uint32_t i = 0; i < COUNT; i++) {
            jobs[i] = (es_machine_job){.arrival_ns = i, .turn = order[i]};
            assert_ok(es_machine_enter(machine, &jobs[i], NULL));
            while ((job = es_machine_next(machine, i)) != NULL) {
                if (job->turn != ++served || job->start_ns < end_ns)
                    fail_msg("seed %" PRIu64 ": turn %u behind %u", seed, job->turn, served - 1);
                end_ns = job->start_ns + (int64_t)(es_rng_u64(&rng) % 3);
                es_machine_end(machine, job, end_ns);
            }
        }
        assert_int_equal(served, COUNT);
        assert_true(es_machine_wake_ns(machine) == INT64_MAX);
        es_machine_free(machine);
    }
}

/* The turns of those that can begin now. */
static void take(es_machine *machine, int64_t now_ns, const uint32_t *wanted, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        es_machine_job *job = es_machine_next(machine, now_ns);
        assert_non_null(job);
        assert_int_equal(job->turn, wanted[i]);
        es_machine_end(machine, job, job->start_ns);
    }
    assert_null(es_machine_next(machine, now_ns));
}

/* 1 comes; 2 and 4 are lost; 3 and 5 wait 50 ms in all, not each; 4 comes late after all. */
static void a_lost_turn_is_waited_for_once(void **state)
{
    (void)state;
    es_machine *machine = open_machine(1, 8);
    es_machine_job jobs[8];
    for (uint32_t i = 0; i < 8; i++)
        jobs[i] = (es_machine_job){.turn = i};
    jobs[3].arrival_ns = jobs[5].arrival_ns = 10 * MS;
    jobs[4].arrival_ns = jobs[6].arrival_ns = 70 * MS;
    assert_ok(es_machine_enter(machine, &jobs[1], NULL));
    assert_ok(es_machine_enter(machine, &jobs[3], NULL));
    assert_ok(es_machine_enter(machine, &jobs[5], NULL));
    take(machine, 59 * MS, (uint32_t[]){1}, 1);
    assert_true(es_machine_wake_ns(machine) == 60 * MS);
    take(machine, 60 * MS, (uint32_t[]){3, 5}, 2);
    assert_int_equal(jobs[3].start_ns, 60 * MS);
    assert_ok(es_machine_enter(machine, &jobs[4], NULL));
    assert_ok(es_machine_enter(machine, &jobs[6], NULL));
    take(machine, 70 * MS, (uint32_t[]){4, 6}, 2);
    jobs[7] = (es_machine_job){.turn = 9, .arrival_ns = 80 * MS};
    assert_ok(es_machine_enter(machine, &jobs[7], NULL));
    take(machine, 80 * MS, NULL, 0);
    es_machine_close(machine); /* at the end nobody is waited for */
    take(machine, 80 * MS, (uint32_t[]){9}, 1);
    es_machine_free(machine);
    es_machine_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_warm_time_is_slowed_down),
        cmocka_unit_test(a_little_late_is_forgiven),
        cmocka_unit_test(requests_are_served_as_they_come),
        cmocka_unit_test(arrival_decides),
        cmocka_unit_test(any_order_of_coming_leaves_in_turn),
        cmocka_unit_test(a_lost_turn_is_waited_for_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
