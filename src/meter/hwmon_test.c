/* Rails of boards, drivers that differ in units, sensors that fail. */
#include "meter/testing/tree.h"

#include <math.h>

#define MON "sys/class/hwmon/hwmon0/"
#define NEW "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3/"
#define OLD "sys/bus/i2c/drivers/ina3221x/1-0040/iio:device0/"

static void rail(const tree *now, const char *folder, int index, const char *label,
                 long long millivolt, long long milliampere)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%sin%d_label", folder, index);
    tree_write(now, path, label);
    (void)snprintf(path, sizeof path, "%sin%d_input", folder, index);
    tree_number(now, path, millivolt);
    (void)snprintf(path, sizeof path, "%scurr%d_input", folder, index);
    tree_number(now, path, milliampere);
}

static void orin_nano(const tree *now, const char *folder)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%sname", folder);
    tree_write(now, path, "ina3221");
    rail(now, folder, 1, "VDD_IN", 5000, 2000);
    rail(now, folder, 2, "VDD_CPU_GPU_CV", 5000, 800);
    rail(now, folder, 3, "VDD_SOC", 5000, 400);
    (void)snprintf(path, sizeof path, "%sin7_label", folder);
    tree_write(now, path, "sum of shunt voltages");
}

/* millivolt times milliampere; the input rail holds the others; seen twice it counts once. */
static void test_jetson_new(void **state)
{
    tree *now = *state;
    orin_nano(now, NEW);
    orin_nano(now, "sys/class/hwmon/hwmon3/");
    tree_meter(now, tree_opts(now));
    TREE_COUNTED(now, "VDD_IN");
    assert_int_equal(es_meter_channel_count(now->meter), 4); /* and the model */
    es_meter_mark first = tree_read(now, 0);
    rail(now, "sys/class/hwmon/hwmon3/", 1, "VDD_IN", 5000, 3000);
    es_meter_mark last = tree_read(now, 2);
    es_meter_figure figure = es_meter_between(now->meter, &first, &last);
    assert_near(figure.energy_j, (10 + 15) / 2.0 * 2, 1e-9);
    assert_true(figure.source == ES_METER_INA && figure.method == ES_METER_POLLED);
    assert_true(figure.low_j <= 20 && figure.high_j >= 30); /* it was between 10 and 15 W */
    assert_near(tree_between(now, "VDD_SOC", &first, &last).energy_j, 4, 1e-9);
}

static void test_jetson_by_driver_only(void **state)
{
    tree *now = *state;
    orin_nano(now, NEW);
    tree_meter(now, tree_opts(now));
    TREE_COUNTED(now, "VDD_IN");
}

/* The old driver tells milliwatt. */
static void test_jetson_old(void **state)
{
    tree *now = *state;
    tree_write(now, OLD "rail_name_0", "POM_5V_IN");
    tree_number(now, OLD "in_power0_input", 4000);
    tree_write(now, OLD "rail_name_1", "POM_5V_GPU");
    tree_number(now, OLD "in_power1_input", 1000);
    tree_meter(now, tree_opts(now));
    TREE_COUNTED(now, "POM_5V_IN");
    es_meter_mark first = tree_read(now, 0);
    es_meter_mark last = tree_read(now, 1);
    assert_near(es_meter_between(now->meter, &first, &last).energy_j, 4, 1e-9);
}

/* jetson_stats #900: INA238 tells microwatt. */
static void test_thor_microwatt(void **state)
{
    tree *now = *state;
    tree_write(now, MON "name", "ina238");
    tree_write(now, MON "label", "VIN");
    tree_number(now, MON "power1_input", 45000000);
    tree_meter(now, tree_opts(now));
    TREE_COUNTED(now, "VIN");
    es_meter_mark first = tree_read(now, 0);
    es_meter_mark last = tree_read(now, 1);
    assert_near(es_meter_between(now->meter, &first, &last).power_w, 45, 1e-9);
}

/* No input rail: the rails of the board add up. */
static void test_rails_add_up(void **state)
{
    tree *now = *state;
    tree_write(now, MON "name", "ina3221");
    rail(now, MON, 1, "VDD_GPU_SOC", 10000, 300);
    rail(now, MON, 2, "VDD_CPU_CV", 10000, 100);
    rail(now, MON, 3, "VIN_SYS_5V0", 5000, 800);
    tree_meter(now, tree_opts(now));
    TREE_COUNTED(now, "VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0");
    es_meter_mark first = tree_read(now, 0);
    es_meter_mark last = tree_read(now, 1);
    assert_near(es_meter_between(now->meter, &first, &last).power_w, 8, 1e-9);
}

/* alumet #212: files of one rail give I/O errors; the others are read. */
static void test_error_on_one_rail(void **state)
{
    tree *now = *state;
    tree_write(now, MON "name", "ina3221");
    tree_unreadable(now, MON "in1_label");
    rail(now, MON, 2, "VDD_CPU_CV", 10000, 100);
    rail(now, MON, 3, "VDD_SOC", 10000, 100);
    char path[256];
    (void)snprintf(path, sizeof path, "%s/" MON "curr3_input", now->root);
    assert_int_equal(remove(path), 0);
    tree_unreadable(now, MON "curr3_input");
    tree_meter(now, tree_opts(now));
    TREE_COUNTED(now, "VDD_CPU_CV");
    tree_rejected(now, "in1_label", "cannot be read: Is a directory");
    tree_rejected(now, "curr3_input", "VDD_SOC: cannot be read");
}

static void test_negative_current(void **state)
{
    tree *now = *state;
    tree_write(now, MON "name", "ina3221");
    rail(now, MON, 1, "VDD_IN", 5000, 1000);
    tree_meter(now, tree_opts(now));
    es_meter_mark first = tree_read(now, 0);
    rail(now, MON, 1, "VDD_IN", 5000, -8);
    (void)tree_read(now, 1);
    rail(now, MON, 1, "VDD_IN", 5000, 1000);
    (void)tree_read(now, 1);
    es_meter_mark last = tree_read(now, 1);
    es_meter_figure figure = es_meter_between(now->meter, &first, &last);
    assert_near(figure.energy_j, 5, 1e-9); /* the last second */
    assert_near(figure.covered_s, 1, 1e-9);
    assert_int_equal(figure.dropped, 1);
}

/* A sensor that goes away for good: the model takes over, and says so. */
static void test_lost(void **state)
{
    tree *now = *state;
    tree_write(now, MON "name", "ina3221");
    rail(now, MON, 1, "VDD_IN", 5000, 1000);
    tree_meter(now, tree_opts(now));
    tree_write(now, MON "curr1_input", "");
    for (int i = 0; i < 10; i++)
        (void)tree_read(now, 1);
    tree_rejected(now, "curr1_input", "10 readings in a row");
    TREE_COUNTED(now, "model");
}

static void test_hwmon_counters(void **state)
{
    tree *now = *state;
    tree_write(now, MON "name", "amd_energy");
    tree_write(now, MON "energy1_label", "Ecore000");
    tree_number(now, MON "energy1_input", 1);
    tree_write(now, MON "energy2_label", "Esocket0");
    tree_number(now, MON "energy2_input", 1);
    tree_write(now, "sys/class/hwmon/hwmon10/name", "amdgpu");
    tree_number(now, "sys/class/hwmon/hwmon10/power1_average", 30000000);
    tree_number(now, "sys/class/hwmon/hwmon10/power1_input", 31000000);
    tree_write(now, "sys/class/hwmon/hwmon2/name", "nct6775");
    tree_number(now, "sys/class/hwmon/hwmon2/power1_input", 99000000);
    tree_meter(now, tree_opts(now));
    TREE_COUNTED(now, "Esocket0", "amdgpu power1_input");
    assert_non_null(strstr(tree_face(now, "nct6775 power1_input")->note, "nobody knows"));
    es_meter_mark first = tree_read(now, 0);
    tree_number(now, MON "energy2_input", 20000001);
    es_meter_mark last = tree_read(now, 1);
    es_meter_figure figure = es_meter_between(now->meter, &first, &last);
    assert_near(figure.energy_j, 20 + 31, 1e-9);      /* two files of one sensor count once */
    assert_int_equal(figure.method, ES_METER_POLLED); /* the worst of the two */
}

static void test_power_meter(void **state)
{
    tree *now = *state;
    tree_write(now, MON "name", "power_meter");
    tree_number(now, MON "power1_average", 180000000);
    tree_meter(now, tree_opts(now));
    es_meter_mark first = tree_read(now, 0);
    es_meter_mark last = tree_read(now, 1);
    assert_near(es_meter_between(now->meter, &first, &last).power_w, 180, 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TREE_TEST(test_jetson_new),       TREE_TEST(test_jetson_by_driver_only),
        TREE_TEST(test_jetson_old),       TREE_TEST(test_thor_microwatt),
        TREE_TEST(test_rails_add_up),     TREE_TEST(test_error_on_one_rail),
        TREE_TEST(test_negative_current), TREE_TEST(test_lost),
        TREE_TEST(test_hwmon_counters),   TREE_TEST(test_power_meter),
    };
    return cmocka_run_group_tests_name("meter.hwmon", tests, NULL, NULL);
}
