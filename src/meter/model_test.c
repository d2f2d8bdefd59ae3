/* The power model: formulas, bounds, and that it never says zero. */
#include "meter/testing/tree.h"

#include <math.h>

static void stat_line(const tree *now, long long busy, long long idle)
{
    char words[256];
    (void)snprintf(words, sizeof words,
                   "cpu  %lld 0 0 %lld 0 0 0 0 0 0\ncpu0 1 0 0 1 0 0 0 0\ncpu1 1 0 0 1 0 0 0 0\n"
                   "intr 0",
                   busy, idle);
    tree_write(now, "proc/stat", words);
}

static void test_curves(void **state)
{
    (void)state;
    es_meter_model model = {.curve = ES_METER_LINEAR, .idle_w = 10, .busy_w = 30};
    assert_near(es_meter_model_power_w(&model, 0.25, 1), 15, 1e-12);
    assert_near(es_meter_model_power_w(&model, 7, 1), 30, 1e-12);
    assert_near(es_meter_model_power_w(&model, -1, 1), 10, 1e-12);
    model.curve = ES_METER_DVFS;
    assert_near(es_meter_model_power_w(&model, 1, 0.5), 10 + 20 * 0.125, 1e-12);
    /* the published points of the default curve: 35.6, 76.6, 182.2, 260.0 W */
    model = (es_meter_model){.curve = ES_METER_LOG, .idle_w = 35.583, .busy_w = 259.98};
    assert_near(es_meter_model_power_w(&model, 0, 1), 35.6, 0.05);
    assert_near(es_meter_model_power_w(&model, 0.1, 1), 76.6, 0.06);
    assert_near(es_meter_model_power_w(&model, 0.5, 1), 182.2, 0.06);
    assert_near(es_meter_model_power_w(&model, 1, 1), 260.0, 0.05);
}

static void test_declared(void **state)
{
    tree *now = *state;
    stat_line(now, 1000, 1000);
    es_meter_opts opts = tree_opts(now);
    opts.model = (es_meter_model){.idle_w = 4, .busy_w = 12, .uncertainty = 0.1};
    tree_meter(now, opts);
    es_meter_mark first = tree_read(now, 0);
    stat_line(now, 1000 + 50, 1000 + 150);
    es_meter_mark last = tree_read(now, 1);
    es_meter_figure figure = es_meter_between(now->meter, &first, &last);
    assert_near(figure.energy_j, 4 + 8 * 0.25, 1e-9);
    assert_near(figure.low_j, 6 * 0.9 - 2 * 0.01 * 6, 1e-9); /* and a tick at each end */
    assert_near(figure.high_j, 6 * 1.1 + 2 * 0.01 * 6, 1e-9);
    assert_int_equal(figure.method, ES_METER_MODELLED);
    assert_string_equal(es_meter_boundary(now->meter), "what the declared model covers");
    assert_near(es_meter_active_w(now->meter), (12 - 4) / 2.0, 1e-12); /* two processors */
}

/* Undeclared: per logical processor, and wide. */
static void test_generic(void **state)
{
    tree *now = *state;
    stat_line(now, 0, 1000);
    tree_meter(now, tree_opts(now));
    es_meter_mark first = tree_read(now, 0);
    stat_line(now, 0, 1200);
    es_meter_mark last = tree_read(now, 1);
    es_meter_figure figure = es_meter_between(now->meter, &first, &last);
    assert_near(figure.energy_j, 2 * 0.74, 1e-9);
    assert_true(figure.low_j > 0 && figure.low_j < 2 * 0.45 + 1e-9 && figure.high_j > 2 * 3.04);
    assert_non_null(strstr(es_meter_boundary(now->meter), "not declared for this machine"));
}

static void test_without_proc(void **state)
{
    tree *now = *state;
    es_meter_opts opts = tree_opts(now);
    opts.model = (es_meter_model){.idle_w = 2, .busy_w = 10};
    tree_meter(now, opts);
    tree_rejected(now, "proc/stat", "between idle and busy");
    es_meter_mark first = tree_read(now, 0);
    es_meter_mark last = tree_read(now, 1);
    es_meter_figure figure = es_meter_between(now->meter, &first, &last);
    assert_near(figure.energy_j, 6, 1e-9);
    assert_true(figure.low_j <= 2 && figure.high_j >= 10);
}

static void test_frequency(void **state)
{
    tree *now = *state;
    stat_line(now, 0, 0);
    tree_number(now, "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", 3000000);
    tree_number(now, "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", 1500000);
    es_meter_opts opts = tree_opts(now);
    opts.model = (es_meter_model){.curve = ES_METER_DVFS, .idle_w = 2, .busy_w = 10};
    tree_meter(now, opts);
    es_meter_mark first = tree_read(now, 0);
    stat_line(now, 200, 0);
    es_meter_mark last = tree_read(now, 1);
    assert_near(es_meter_between(now->meter, &first, &last).energy_j, 2 + 8 * 0.125, 1e-9);
}

/* Asked for the model alone, counters are not looked at. */
static void test_model_only(void **state)
{
    tree *now = *state;
    tree_write(now, "sys/class/powercap/intel-rapl:0/name", "package-0");
    tree_number(now, "sys/class/powercap/intel-rapl:0/energy_uj", 1);
    es_meter_opts opts = tree_opts(now);
    opts.model_only = true;
    tree_meter(now, opts);
    assert_int_equal(es_meter_channel_count(now->meter), 1);
}

static void test_errors(void **state)
{
    tree *now = *state;
    es_error err = {0};
    es_meter_opts opts = tree_opts(now);
    opts.model = (es_meter_model){.idle_w = 5, .busy_w = 4};
    assert_fails(es_meter_new(now->arena, opts, &now->meter, &err), ES_ERR_ARG, err,
                 "busy_w=4 must be > 0 and >= idle_w=5");
    opts.model = (es_meter_model){.idle_w = 1, .busy_w = 4, .uncertainty = 2};
    assert_fails(es_meter_new(now->arena, opts, &now->meter, &err), ES_ERR_ARG, err,
                 "uncertainty=2 must be in 0..1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TREE_TEST(test_curves),       TREE_TEST(test_declared),  TREE_TEST(test_generic),
        TREE_TEST(test_without_proc), TREE_TEST(test_frequency), TREE_TEST(test_model_only),
        TREE_TEST(test_errors),
    };
    return cmocka_run_group_tests_name("meter.model", tests, NULL, NULL);
}
