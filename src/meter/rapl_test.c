/* The powercap tree: every layout, and what users of other meters complain about. */
#include "meter/testing/tree.h"

#include <math.h>

#define CAP "sys/class/powercap/"
#define RANGE 262143328850LL

static void zone(const tree *now, const char *id, const char *name, long long energy_uj,
                 long long range_uj)
{
    char path[256];
    (void)snprintf(path, sizeof path, CAP "%s/name", id);
    tree_write(now, path, name);
    (void)snprintf(path, sizeof path, CAP "%s/energy_uj", id);
    tree_number(now, path, energy_uj);
    (void)snprintf(path, sizeof path, CAP "%s/max_energy_range_uj", id);
    if (range_uj > 0)
        tree_number(now, path, range_uj);
}

static void energy(const tree *now, const char *id, long long energy_uj)
{
    char path[256];
    (void)snprintf(path, sizeof path, CAP "%s/energy_uj", id);
    tree_number(now, path, energy_uj);
}

/* Two sockets with all domains, the platform, and the first socket again through MMIO. */
static void two_sockets(const tree *now)
{
    zone(now, "intel-rapl:0", "package-0", 1000000, RANGE);
    zone(now, "intel-rapl:0:0", "core", 10, RANGE);
    zone(now, "intel-rapl:0:1", "uncore", 10, RANGE);
    zone(now, "intel-rapl:0:2", "dram", 10, 65532610987LL);
    zone(now, "intel-rapl:1", "package-1", 2000000, RANGE);
    zone(now, "intel-rapl:1:0", "core", 20, RANGE);
    zone(now, "intel-rapl:2", "psys", 5000000, RANGE);
    zone(now, "intel-rapl-mmio:0", "package-0", 999000, RANGE);
}

static void test_domain_tree(void **state)
{
    tree *now = *state;
    two_sockets(now);
    tree_meter(now, tree_opts(now));
    TREE_COUNTED(now, "package-0", "package-1");
    assert_string_equal(tree_face(now, "package-0/core")->note, "inside the package");
    assert_true(tree_channel(now, "package-1/core") >= 0); /* the cores of two sockets stay apart */
    assert_int_equal(tree_face(now, "psys")->part, ES_METER_PLATFORM);
    assert_non_null(strstr(tree_face(now, "psys")->note, "holds the packages"));
    tree_rejected(now, "intel-rapl-mmio:0", "package-0 again");
    es_meter_mark first = tree_read(now, 0);
    energy(now, "intel-rapl:0", 1000000 + 6000000);
    energy(now, "intel-rapl:0:0", 10 + 4000000);
    energy(now, "intel-rapl:1", 2000000 + 3600000);
    energy(now, "intel-rapl:2", 5000000 + 14400000);
    energy(now, "intel-rapl:0:2", 10 + 500000);
    es_meter_mark last = tree_read(now, 1);
    es_meter_figure total = es_meter_between(now->meter, &first, &last);
    assert_near(total.energy_j, 9.6, 1e-9); /* not 9.6 + 4.8 */
    assert_near(tree_between(now, "psys", &first, &last).energy_j, 14.4, 1e-9);
    assert_near(tree_between(now, "package-0/core", &first, &last).energy_j, 4, 1e-9);
    assert_true(total.known && total.method == ES_METER_COUNTER && total.source == ES_METER_RAPL);
    assert_true(total.low_j < 9.6 && total.high_j > 9.6 && total.high_j < 11);
    assert_non_null(strstr(es_meter_boundary(now->meter), "processor packages; without memory"));
}

static void test_memory_on_demand(void **state)
{
    tree *now = *state;
    two_sockets(now);
    es_meter_opts opts = tree_opts(now);
    opts.dram = true;
    tree_meter(now, opts);
    TREE_COUNTED(now, "package-0", "package-1", "package-0/dram");
}

static void test_psys_alone(void **state)
{
    tree *now = *state;
    zone(now, "intel-rapl:0", "psys", 1, RANGE);
    tree_meter(now, tree_opts(now));
    TREE_COUNTED(now, "psys");
}

static void test_mmio_alone(void **state)
{
    tree *now = *state;
    zone(now, "intel-rapl-mmio:0", "package-0", 1, RANGE);
    tree_meter(now, tree_opts(now));
    TREE_COUNTED(now, "package-0");
}

/* Without class/powercap the zones are nested below the control type. */
static void test_nested_layout(void **state)
{
    tree *now = *state;
    const char *base = "sys/devices/virtual/powercap/intel-rapl/intel-rapl:0";
    char path[256];
    (void)snprintf(path, sizeof path, "%s/name", base);
    tree_write(now, path, "package-0-die-1");
    (void)snprintf(path, sizeof path, "%s/energy_uj", base);
    tree_number(now, path, 5);
    (void)snprintf(path, sizeof path, "%s/intel-rapl:0:0/name", base);
    tree_write(now, path, "dram");
    (void)snprintf(path, sizeof path, "%s/intel-rapl:0:0/energy_uj", base);
    tree_number(now, path, 5);
    tree_meter(now, tree_opts(now));
    TREE_COUNTED(now, "package-0-die-1");
    assert_int_equal(tree_face(now, "package-0-die-1/dram")->part, ES_METER_DRAM);
}

static void test_wrap(void **state)
{
    tree *now = *state;
    zone(now, "intel-rapl:0", "package-0", RANGE - 1000000, RANGE);
    tree_meter(now, tree_opts(now));
    es_meter_mark first = tree_read(now, 0);
    energy(now, "intel-rapl:0", 2000000);
    es_meter_mark last = tree_read(now, 1);
    es_meter_figure figure = es_meter_between(now->meter, &first, &last);
    assert_near(figure.energy_j, 3, 1e-9);
    assert_int_equal(figure.dropped, 0);
}

/* powerjoular #87: only the memory's counter wraps, with a range of its own. */
static void test_wrap_of_memory_only(void **state)
{
    tree *now = *state;
    zone(now, "intel-rapl:0", "package-0", 1000000, RANGE);
    zone(now, "intel-rapl:0:0", "dram", 65532000000LL, 65532610987LL);
    es_meter_opts opts = tree_opts(now);
    opts.dram = true;
    tree_meter(now, opts);
    es_meter_mark first = tree_read(now, 0);
    energy(now, "intel-rapl:0", 11000000);
    energy(now, "intel-rapl:0:0", 389013);
    es_meter_mark last = tree_read(now, 1);
    es_meter_figure figure = es_meter_between(now->meter, &first, &last);
    assert_near(figure.energy_j, 10 + 1, 1e-6); /* 0.610987 to the top, 0.389013 beyond */
    assert_true(figure.power_w < 20);
}

/* codecarbon #1309: the range cannot be read. The sample is dropped, and nothing is negative. */
static void test_wrap_without_range(void **state)
{
    tree *now = *state;
    zone(now, "intel-rapl:0", "package-0", 200000000, 0);
    tree_meter(now, tree_opts(now));
    assert_true(tree_face(now, "package-0")->range_j == 0);
    es_meter_mark first = tree_read(now, 0);
    energy(now, "intel-rapl:0", 210000000);
    (void)tree_read(now, 1);
    energy(now, "intel-rapl:0", 4000000);
    (void)tree_read(now, 1);
    energy(now, "intel-rapl:0", 24000000);
    es_meter_mark last = tree_read(now, 1);
    es_meter_figure figure = es_meter_between(now->meter, &first, &last);
    assert_near(figure.energy_j, 30, 1e-9);
    assert_int_equal(figure.dropped, 1);
    assert_near(figure.covered_s, 2, 1e-9);
    assert_near(figure.interval_s, 3, 1e-9);
    assert_near(figure.power_w, 15, 1e-9);
    assert_true(figure.high_j > 1000); /* what is missing is bounded by what the part can use */
}

static void test_absurd_value(void **state)
{
    tree *now = *state;
    zone(now, "intel-rapl:0", "package-0", 1000000, RANGE);
    tree_number(now, CAP "intel-rapl:0/constraint_0_power_limit_uw", 15000000);
    tree_number(now, CAP "intel-rapl:0/constraint_1_max_power_uw", 64000000);
    tree_meter(now, tree_opts(now));
    assert_near(tree_face(now, "package-0")->power_w_max, 64, 1e-9);
    es_meter_mark first = tree_read(now, 0);
    energy(now, "intel-rapl:0", 1000000 + 76000000);
    es_meter_mark second = tree_read(now, 1);
    assert_near(es_meter_between(now->meter, &first, &second).energy_j, 76, 1e-9); /* < 1.2 * 64 */
    energy(now, "intel-rapl:0", 1000000 + 76000000 + 78000000);
    es_meter_mark last = tree_read(now, 1);
    es_meter_figure figure = es_meter_between(now->meter, &second, &last);
    assert_false(figure.known);
    assert_int_equal(figure.dropped, 1);
    assert_true(isnan(figure.energy_j)); /* not zero */
}

/* codecarbon #117: the counter is differenced over the whole interval, never scaled from a part. */
static void test_long_interval(void **state)
{
    tree *now = *state;
    zone(now, "intel-rapl:0", "package-0", 0, RANGE);
    tree_meter(now, tree_opts(now));
    es_meter_mark first = tree_read(now, 0);
    energy(now, "intel-rapl:0", 7920000000LL); /* 2.2 Wh */
    es_meter_mark last = tree_read(now, 120);
    es_meter_figure figure = es_meter_between(now->meter, &first, &last);
    assert_near(figure.energy_j / 3600, 2.2, 1e-9);
    assert_near(figure.power_w, 66, 1e-9);
}

static void test_too_long_to_tell(void **state)
{
    tree *now = *state;
    zone(now, "intel-rapl:0", "package-0", 0, RANGE);
    es_meter_opts opts = tree_opts(now);
    opts.power_w_max = 200;
    tree_meter(now, opts);
    assert_near(es_meter_period_s_max(now->meter), 262143.328850 / 200 / 2, 1e-6);
    es_meter_mark first = tree_read(now, 0);
    energy(now, "intel-rapl:0", 1000000);
    es_meter_mark last = tree_read(now, 1400); /* 1311 s at 200 W is once round */
    assert_int_equal(es_meter_between(now->meter, &first, &last).dropped, 1);
}

/* A failed read is not a zero, and what was used meanwhile is not lost. */
static void test_failed_read(void **state)
{
    tree *now = *state;
    zone(now, "intel-rapl:0", "package-0", 50000000, RANGE);
    tree_meter(now, tree_opts(now));
    es_meter_mark first = tree_read(now, 0);
    tree_write(now, CAP "intel-rapl:0/energy_uj", "garbage");
    es_meter_mark second = tree_read(now, 1);
    assert_false(es_meter_between(now->meter, &first, &second).known);
    energy(now, "intel-rapl:0", 50000000 + 24000000);
    es_meter_mark last = tree_read(now, 1);
    es_meter_figure figure = es_meter_between(now->meter, &first, &last);
    assert_near(figure.energy_j, 24, 1e-9);
    assert_near(figure.covered_s, 2, 1e-9);
    assert_int_equal(figure.dropped, 1);
}

/* codecarbon #915: one wants to know why RAPL is not used. */
static void test_permission(void **state)
{
    tree *now = *state;
    zone(now, "intel-rapl:0", "package-0", 1, RANGE);
    char path[256];
    (void)snprintf(path, sizeof path, "%s/" CAP "intel-rapl:0/energy_uj", now->root);
    assert_int_equal(chmod(path, 0), 0);
    bool root = geteuid() == 0;
    if (root)
        assert_int_equal(seteuid(65534), 0);
    tree_meter(now, tree_opts(now));
    if (root)
        assert_int_equal(seteuid(0), 0);
    tree_rejected(now, "intel-rapl:0/energy_uj", "Permission denied; since kernel 5.10");
    TREE_COUNTED(now, "model");
}

/* kepler #352: a virtual machine exposes nothing. The figure says model and is not zero. */
static void test_virtual_machine(void **state)
{
    tree *now = *state;
    tree_write(now, CAP "dummy", "");
    tree_meter(now, tree_opts(now));
    tree_rejected(now, "sys/class/powercap", "virtual machine");
    es_meter_mark first = tree_read(now, 0);
    es_meter_mark last = tree_read(now, 1);
    es_meter_figure figure = es_meter_between(now->meter, &first, &last);
    char words[64];
    assert_true(figure.known && figure.energy_j > 0 && figure.low_j > 0);
    assert_string_equal(es_meter_figure_source(&figure, words, sizeof words), "model");
    assert_int_equal(figure.method, ES_METER_MODELLED);
}

/* scaphandre #351: a zone that is switched off stands still; that is absence, not 0 W. */
static void test_stands_still(void **state)
{
    tree *now = *state;
    zone(now, "intel-rapl:0", "package-0", 777, RANGE);
    tree_meter(now, tree_opts(now));
    es_meter_mark first = tree_read(now, 0);
    es_meter_mark second = tree_read(now, 0.5);
    assert_false(es_meter_between(now->meter, &first, &second).known);
    (void)tree_read(now, 0.6);
    tree_rejected(now, "intel-rapl:0", "stands still");
    TREE_COUNTED(now, "model");
    es_meter_mark third = tree_read(now, 1);
    es_meter_mark last = tree_read(now, 1);
    es_meter_figure figure = es_meter_between(now->meter, &third, &last);
    assert_true(figure.known && figure.source == ES_METER_MODEL && figure.energy_j > 0);
}

/* The graphics of a processor may be off: 0 W is then true. */
static void test_true_zero(void **state)
{
    tree *now = *state;
    two_sockets(now);
    tree_meter(now, tree_opts(now));
    es_meter_mark first = tree_read(now, 0);
    for (int i = 1; i <= 4; i++) {
        energy(now, "intel-rapl:0", 1000000 + i * 1000000);
        energy(now, "intel-rapl:1", 2000000 + i * 1000000);
        (void)tree_read(now, 1);
    }
    es_meter_mark last = tree_read(now, 0.001);
    es_meter_figure figure = tree_between(now, "package-0/uncore", &first, &last);
    assert_true(figure.known && figure.energy_j == 0);
    assert_near(es_meter_between(now->meter, &first, &last).energy_j, 8, 1e-9);
}

static void test_calibration(void **state)
{
    tree *now = *state;
    zone(now, "intel-rapl:0", "package-0", 1, RANGE);
    es_meter_opts opts = tree_opts(now);
    opts.calibration = 34.0 / 13.5; /* socket against RAPL on a small computer */
    tree_meter(now, opts);
    es_meter_mark first = tree_read(now, 0);
    energy(now, "intel-rapl:0", 13500001);
    es_meter_mark last = tree_read(now, 1);
    assert_near(es_meter_between(now->meter, &first, &last).power_w, 34, 1e-9);
    assert_near(tree_between(now, "package-0", &first, &last).power_w, 13.5, 1e-9);
    es_error err = {0};
    opts.calibration = 0;
    assert_fails(es_meter_new(now->arena, opts, &now->meter, &err), ES_ERR_ARG, err,
                 "calibration=0 must be");
}

/* Windows that begin and end between updates lose nothing, whatever the wraps. */
static void test_random_walk(void **state)
{
    tree *now = *state;
    uint64_t seed = es_test_seed(7);
    const long long range = 5000000; /* wraps every few steps */
    zone(now, "intel-rapl:0", "package-0", 0, range);
    es_meter_opts opts = tree_opts(now);
    opts.power_w_max = 40;
    tree_meter(now, opts);
    es_meter_mark first = tree_read(now, 0);
    uint64_t draw = seed;
    long long whole_uj = 0;
    for (int i = 0; i < 500; i++) {
        draw = draw * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        long long step = (long long)(draw >> 33) % 3900000 + 1;
        whole_uj += step;
        energy(now, "intel-rapl:0", whole_uj % range);
        (void)tree_read(now, 0.1);
    }
    es_meter_mark last = tree_read(now, 0);
    es_meter_figure figure = es_meter_between(now->meter, &first, &last);
    if (fabs(figure.energy_j - (double)whole_uj * 1e-6) > 1e-6 || figure.dropped != 0)
        fail_msg("seed %" PRIu64 ": %.9g J, %u dropped, wanted %.9g", seed, figure.energy_j,
                 figure.dropped, (double)whole_uj * 1e-6);
}

/* Wherever memory ends: a meter, or NOMEM; never a crash or an open file. */
static void test_little_memory(void **state)
{
    tree *now = *state;
    two_sockets(now);
    bool made = false;
    int before = dup(STDIN_FILENO);
    for (size_t cap = 4096; cap < (size_t)300 << 10; cap += 1531) {
        es_arena *arena = es_arena_new(cap);
        es_meter *meter = NULL;
        es_error err = {0};
        es_status status = es_meter_new(arena, tree_opts(now), &meter, &err);
        assert_true(status == ES_OK || status == ES_ERR_NOMEM);
        assert_true((meter != NULL) == (status == ES_OK));
        made = made || meter != NULL;
        es_arena_free(arena);
    }
    int after = dup(STDIN_FILENO);
    assert_true(made);
    assert_int_equal(after, before + 1); /* the lowest that is free */
    (void)close(before);
    (void)close(after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TREE_TEST(test_domain_tree),         TREE_TEST(test_memory_on_demand),
        TREE_TEST(test_psys_alone),          TREE_TEST(test_mmio_alone),
        TREE_TEST(test_nested_layout),       TREE_TEST(test_wrap),
        TREE_TEST(test_wrap_of_memory_only), TREE_TEST(test_wrap_without_range),
        TREE_TEST(test_absurd_value),        TREE_TEST(test_long_interval),
        TREE_TEST(test_too_long_to_tell),    TREE_TEST(test_failed_read),
        TREE_TEST(test_permission),          TREE_TEST(test_virtual_machine),
        TREE_TEST(test_stands_still),        TREE_TEST(test_true_zero),
        TREE_TEST(test_calibration),         TREE_TEST(test_random_walk),
        TREE_TEST(test_little_memory),
    };
    return cmocka_run_group_tests_name("meter.rapl", tests, NULL, NULL);
}
