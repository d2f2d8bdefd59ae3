/* NVML against a library of our own. */
#include "meter/testing/tree.h"

#include <math.h>

static void gpus(const tree *now, const char *lines)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/nvml", now->root);
    tree_write(now, "nvml", lines);
    assert_int_equal(setenv("ESTRAN_FAKE_NVML", path, 1), 0);
}

static es_meter_opts with_gpus(tree *now)
{
    es_meter_opts opts = tree_opts(now);
    opts.nvml_library = ES_FAKE_NVML;
    return opts;
}

static void test_energy_counter(void **state)
{
    tree *now = *state;
    gpus(now, "5000 70000 0\n9000 60000 0");
    tree_write(now, "sys/class/powercap/intel-rapl:0/name", "package-0");
    tree_number(now, "sys/class/powercap/intel-rapl:0/energy_uj", 1);
    tree_meter(now, with_gpus(now));
    TREE_COUNTED(now, "package-0", "gpu 0: Fake T4", "gpu 1: Fake T4");
    assert_non_null(
        strstr(tree_face(now, "gpu 0: Fake T4")->path, "nvmlDeviceGetTotalEnergyConsumption"));
    es_meter_mark first = tree_read(now, 0);
    gpus(now, "75000 70000 0\n69000 60000 0");
    tree_number(now, "sys/class/powercap/intel-rapl:0/energy_uj", 20000001);
    es_meter_mark last = tree_read(now, 1);
    es_meter_figure figure = es_meter_between(now->meter, &first, &last);
    assert_near(figure.energy_j, 150, 1e-9);
    char words[64];
    assert_string_equal(es_meter_figure_source(&figure, words, sizeof words), "rapl+nvml");
    assert_int_equal(figure.source, ES_METER_NVML); /* gave most */
}

/* Before Volta: the power is polled, and the record says which call and window. */
static void test_power_only(void **state)
{
    tree *now = *state;
    gpus(now, "-1 70000 0");
    tree_meter(now, with_gpus(now));
    tree_rejected(now, "gpu 0", "energy counter: Not Supported; its power is polled");
    const es_meter_channel *face = tree_face(now, "gpu 0: Fake T4");
    assert_non_null(strstr(face->path, "nvmlDeviceGetPowerUsage (mean of up to 1 s)"));
    assert_int_equal(face->method, ES_METER_POLLED);
    es_meter_mark first = tree_read(now, 0);
    es_meter_mark last = tree_read(now, 2);
    assert_near(tree_between(now, "gpu 0: Fake T4", &first, &last).energy_j, 140, 1e-9);
    /* the processor is not measured: the model says so */
    es_meter_figure figure = es_meter_between(now->meter, &first, &last);
    char words[64];
    assert_string_equal(es_meter_figure_source(&figure, words, sizeof words), "nvml+model");
    assert_int_equal(figure.method, ES_METER_MODELLED);
    assert_true(figure.energy_j > 140);
}

static void test_mig(void **state)
{
    tree *now = *state;
    gpus(now, "5000 70000 1");
    tree_meter(now, with_gpus(now));
    tree_rejected(now, "gpu 0", "MIG is on");
    assert_true(tree_face(now, "gpu 0: Fake T4 (MIG: all instances together)")->counted);
}

static void test_nothing_there(void **state)
{
    tree *now = *state;
    gpus(now, "-1 -1 0");
    tree_meter(now, with_gpus(now));
    tree_rejected(now, "gpu 0", "no energy (Not Supported) and no power (Not Supported)");
    gpus(now, "fail");
    tree_meter(now, with_gpus(now));
    tree_rejected(now, "fake_nvml", "does not start: Driver Not Loaded");
    es_meter_opts opts = tree_opts(now);
    opts.nvml_library = "/no/such/library.so";
    tree_meter(now, opts);
    tree_rejected(now, "/no/such/library.so", "no NVIDIA driver");
    TREE_COUNTED(now, "model");
    opts.nvml_library = NULL; /* whatever this machine has */
    tree_meter(now, opts);
}

/* Zeus #113: a counter that jumps beyond what is possible; the power is polled instead. */
static void test_impossible_counter(void **state)
{
    tree *now = *state;
    gpus(now, "1000 50000 0");
    tree_meter(now, with_gpus(now));
    gpus(now, "900000001000 50000 0");
    (void)tree_read(now, 1);
    gpus(now, "1000 50000 0");
    (void)tree_read(now, 1);
    gpus(now, "900000001000 50000 0");
    (void)tree_read(now, 1);
    tree_rejected(now, "gpu 0", "cannot be believed; its power is polled");
    es_meter_mark first = tree_read(now, 1);
    es_meter_mark last = tree_read(now, 1);
    es_meter_figure figure = tree_between(now, "gpu 0: Fake T4", &first, &last);
    assert_near(figure.energy_j, 50, 1e-9);
    assert_int_equal(figure.method, ES_METER_POLLED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TREE_TEST(test_energy_counter), TREE_TEST(test_power_only),         TREE_TEST(test_mig),
        TREE_TEST(test_nothing_there),  TREE_TEST(test_impossible_counter),
    };
    return cmocka_run_group_tests_name("meter.nvml", tests, NULL, NULL);
}
