#include "meter/testing/tree.h"

#include <math.h>

#define BAT "sys/class/power_supply/BAT0/"

static void charge_battery(const tree *now, const char *status, long long current_ua)
{
    tree_write(now, BAT "type", "Battery");
    tree_write(now, BAT "status", status);
    tree_number(now, BAT "voltage_now", 12000000);
    tree_number(now, BAT "current_now", current_ua);
}

/* Drivers differ in the sign; the status tells the direction. */
static void test_sign_of_current(void **state)
{
    tree *now = *state;
    charge_battery(now, "Discharging", -1500000);
    tree_write(now, "sys/class/power_supply/AC/type", "Mains");
    tree_meter(now, tree_opts(now));
    TREE_COUNTED(now, "BAT0");
    es_meter_mark first = tree_read(now, 0);
    tree_number(now, BAT "current_now", 1500000);
    es_meter_mark last = tree_read(now, 2);
    es_meter_figure figure = es_meter_between(now->meter, &first, &last);
    assert_near(figure.energy_j, 36, 1e-9);
    assert_true(figure.source == ES_METER_BATTERY && figure.method == ES_METER_POLLED);
    assert_true(figure.high_j > 50); /* it updates every 10 s or so: two seconds tell little */
}

static void test_power_file(void **state)
{
    tree *now = *state;
    tree_write(now, BAT "type", "Battery");
    tree_write(now, BAT "status", "Discharging");
    tree_number(now, BAT "power_now", 9500000);
    tree_meter(now, tree_opts(now));
    es_meter_mark first = tree_read(now, 0);
    es_meter_mark last = tree_read(now, 60);
    assert_near(es_meter_between(now->meter, &first, &last).power_w, 9.5, 1e-9);
}

static void test_plugged_in(void **state)
{
    tree *now = *state;
    charge_battery(now, "Charging", 1500000);
    tree_meter(now, tree_opts(now));
    TREE_COUNTED(now, "model");
    tree_rejected(now, "BAT0", "status is 'Charging'");
}

/* Plugged in while measuring: what flows in is not what is used. */
static void test_plugged_in_later(void **state)
{
    tree *now = *state;
    charge_battery(now, "Discharging", 1000000);
    tree_meter(now, tree_opts(now));
    es_meter_mark first = tree_read(now, 0);
    (void)tree_read(now, 1);
    charge_battery(now, "Charging", 3000000);
    es_meter_mark last = tree_read(now, 1);
    es_meter_figure figure = es_meter_between(now->meter, &first, &last);
    assert_near(figure.energy_j, 12, 1e-9);
    assert_near(figure.covered_s, 1, 1e-9);
    assert_int_equal(figure.dropped, 1);
}

static void test_missing_files(void **state)
{
    tree *now = *state;
    tree_write(now, BAT "type", "Battery");
    tree_write(now, BAT "status", "Discharging");
    tree_number(now, BAT "voltage_now", 12000000);
    tree_write(now, "sys/class/power_supply/mouse/type", "Battery");
    tree_write(now, "sys/class/power_supply/mouse/scope", "Device");
    tree_meter(now, tree_opts(now));
    tree_rejected(now, "BAT0", "neither power_now nor voltage_now and current_now");
    tree_rejected(now, "mouse", "beside the machine");
    TREE_COUNTED(now, "model");
}

/* Two batteries feed one machine; but with RAPL they are a figure of their own. */
static void test_two(void **state)
{
    tree *now = *state;
    charge_battery(now, "Discharging", 1000000);
    tree_write(now, "sys/class/power_supply/BAT1/type", "Battery");
    tree_write(now, "sys/class/power_supply/BAT1/status", "Discharging");
    tree_number(now, "sys/class/power_supply/BAT1/power_now", 1000000);
    tree_meter(now, tree_opts(now));
    TREE_COUNTED(now, "BAT0", "BAT1");
    tree_write(now, "sys/class/powercap/intel-rapl:0/name", "package-0");
    tree_number(now, "sys/class/powercap/intel-rapl:0/energy_uj", 1);
    tree_meter(now, tree_opts(now));
    TREE_COUNTED(now, "package-0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TREE_TEST(test_sign_of_current),  TREE_TEST(test_power_file),    TREE_TEST(test_plugged_in),
        TREE_TEST(test_plugged_in_later), TREE_TEST(test_missing_files), TREE_TEST(test_two),
    };
    return cmocka_run_group_tests_name("meter.battery", tests, NULL, NULL);
}
