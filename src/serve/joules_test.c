/* Watts of a busy processor: by a tree of files that stands for a machine with a counter, and by
 * the model where there is none. */
#include "joules.h"
#include "meter/testing/tree.h"

#include <math.h>

#define ZONE "sys/class/powercap/intel-rapl:0/"

static void processors(const tree *now, long long busy_ticks, long long idle_ticks)
{
    char words[256];
    (void)snprintf(words, sizeof words,
                   "cpu  %lld 0 0 %lld 0 0 0 0 0 0\ncpu0 1 0 0 1 0 0 0 0\ncpu1 1 0 0 1 0 0 0 0\n"
                   "intr 0",
                   busy_ticks, idle_ticks);
    tree_write(now, "proc/stat", words);
}

static void counter(const tree *now, long long energy_uj)
{
    tree_write(now, ZONE "name", "package-0");
    tree_number(now, ZONE "energy_uj", energy_uj);
    tree_number(now, ZONE "max_energy_range_uj", 262143328850LL);
}

static es_joules *open_on(tree *now, double idle_w, double busy_w)
{
    es_error err = {0};
    es_joules *joules = NULL;
    assert_ok_err(es_joules_new((es_joules_opts){.root = now->root,
                                                 .clock = &now->time.clock,
                                                 .by_hand = true,
                                                 .idle_w = idle_w,
                                                 .busy_w = busy_w,
                                                 .g_per_kwh = 36},
                                &joules, &err),
                  err);
    return joules;
}

static void without_counters_the_model_tells(void **state)
{
    tree *now = *state;
    const char *source = NULL;
    es_joules_total total;
    processors(now, 100, 100);
    es_joules *joules = open_on(now, 4, 10);
    assert_near(es_joules_of(joules, 2, &source), 2 * (10 - 4) / 2.0, 1e-9); /* of two processors */
    assert_string_equal(source, "model");
    assert_near(es_joules_grams(joules, 1e6), 10, 1e-9);
    es_joules_look(joules);
    es_joules_total_get(joules, &total);
    assert_string_equal(total.source, "model");
    assert_true(total.energy_j >= 0 && total.busy_s >= 0);
    es_joules_free(joules);
    joules = open_on(now, 0, 0); /* generic: 0.74 to 3.5 W per logical processor */
    assert_near(es_joules_of(joules, 1, &source), 3.5 - 0.74, 1e-9);
    es_joules_free(joules);
    es_joules_free(NULL);
}

static void a_declared_model_without_a_gain_still_costs(void **state)
{
    tree *now = *state;
    const char *source = NULL;
    processors(now, 100, 100);
    es_joules *joules = open_on(now, 5, 5);
    assert_true(es_joules_of(joules, 1, &source) > 0);
    es_joules_free(joules);
}

static void counters_tell_once_enough_was_done(void **state)
{
    tree *now = *state;
    const char *source = NULL;
    es_joules_total total;
    counter(now, 0);
    processors(now, 1000, 1000);
    es_joules *joules = open_on(now, 0, 0);
    (void)es_joules_of(joules, 1, &source);
    assert_string_equal(source, "model"); /* until a window has told */
    now->time.time_ns += ES_NS_PER_S / 2;
    counter(now, 1000000);
    processors(now, 1002, 1098); /* two ticks: too little to tell by */
    es_joules_look(joules);
    (void)es_joules_of(joules, 1, &source);
    assert_string_equal(source, "model");
    now->time.time_ns += ES_NS_PER_S / 2;
    counter(now, 10000000);
    processors(now, 1100, 1100); /* in all: 10 J in 1 s, half of it busy, 1 s of a processor */
    es_joules_look(joules);
    assert_near(es_joules_of(joules, 1, &source), 5, 1e-6);
    assert_string_equal(source, "rapl");
    assert_near(es_joules_of(joules, 0.001, &source), 0.005, 1e-9);
    es_joules_total_get(joules, &total);
    assert_string_equal(total.source, "rapl");
    assert_true(total.energy_j >= 0 && total.energy_j <= 5); /* this process's share */
    now->time.time_ns += ES_NS_PER_S;
    counter(now, 10000000 + 26000000);
    processors(now, 1100 + 200, 1100); /* 26 J, all busy, 2 s of processors: 13 W each */
    es_joules_look(joules);
    assert_near(es_joules_of(joules, 1, &source), 5 + (13 - 5) / 4.0, 1e-6); /* smoothed */
    es_joules_free(joules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TREE_TEST(without_counters_the_model_tells),
        TREE_TEST(a_declared_model_without_a_gain_still_costs),
        TREE_TEST(counters_tell_once_enough_was_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
