/* Documents: round trips, hulls, tables of hours, traces, scenarios, short memory. */
#include "es_test.h"
#include "schedule/documents.h"

#include <math.h>

static const char tasks_text[] = "format: estran-tasks\nversion: 1\nwork_unit: GMAC\n"
                                 "curves:\n  - {name: c, points: [[0, 0.1], [1, 0.6], [3, 0.8]]}\n"
                                 "tasks:\n  - {name: a, curve: c, deadline_s: 2, count: 3}\n"
                                 "  - {curve: c, deadline_s: 9, input_bytes: 1000}\n";
static const char machines_text[] =
    "format: estran-machines\nversion: 1\n"
    "zones: [{name: Z, carbon_gco2e_per_kwh: [360, 36], price_per_kwh: 0.36, pue: 2, period_s: "
    "5}]\n"
    "machines:\n  - {name: m, count: 2, speed_per_s: 1, busy_w: 10, idle_w: 1, zone: Z}\n"
    "  - {name: far, speed_per_s: 4, busy_w: 40, close_s: 8,\n"
    "     network: {latency_ms: 100, bandwidth_mbps: 1, energy_nj_per_bit: 50}}\n";

static es_status parse_tasks(es_arena *arena, const char *text, bool csv, bool hull,
                             const es_tasks **out, es_error *err)
{
    return es_tasks_parse(arena, csv ? "t.csv" : "t.yaml", text, strlen(text), csv, hull, out, err);
}

static void test_read(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new((size_t)1 << 24);
    es_error err = {0};
    const es_tasks *tasks = NULL;
    const es_machines *machines = NULL;
    assert_ok_err(parse_tasks(arena, tasks_text, false, false, &tasks, &err), err);
    assert_int_equal(tasks->task_count, 4);
    assert_string_equal(tasks->tasks[2].name, "a");
    assert_null(tasks->tasks[3].name);
    assert_true(tasks->tasks[3].input_bytes == 1000);
    assert_null(tasks->note);
    assert_ok_err(es_machines_parse(arena, "m.yaml", machines_text, sizeof machines_text - 1,
                                    &machines, &err),
                  err);
    assert_int_equal(machines->machine_count, 3);
    assert_string_equal(machines->machines[1].name, "m-2");
    const es_machine *m = &machines->machines[0];
    assert_int_equal(m->period_count, 2);
    assert_true(m->periods[1].start_s == 5);
    /* 360 g/kWh twice over 3.6e6 J */
    assert_true(fabs(m->periods[0].carbon_g_per_j - 2e-4) < 1e-15);
    assert_true(fabs(m->periods[1].carbon_g_per_j - 2e-5) < 1e-15);
    assert_true(fabs(m->periods[1].price_per_j - 2e-7) < 1e-18);
    assert_true(machines->machines[2].latency_s == 0.1);
    assert_true(machines->machines[2].bandwidth_bps == 1e6);
    es_arena_free(arena);
}

static void test_round_trip(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new((size_t)1 << 26);
    es_error err = {0};
    const es_tasks *tasks = NULL;
    const es_machines *machines = NULL;
    assert_ok_err(parse_tasks(arena, tasks_text, false, false, &tasks, &err), err);
    assert_ok_err(es_machines_parse(arena, "m.yaml", machines_text, sizeof machines_text - 1,
                                    &machines, &err),
                  err);
    for (int m = ES_SCHEDULE_EXACT; m < ES_SCHEDULE_METHOD_COUNT; m++) {
        es_schedule_opts opts = es_schedule_opts_default();
        const es_schedule *first = NULL;
        const es_schedule *again = NULL;
        es_text one;
        es_text two;
        opts.method = (es_schedule_method)m;
        opts.budgets[ES_BUDGET_ENERGY] = 60;
        assert_ok_err(es_schedule_solve(arena, tasks, machines, opts, &first, &err), err);
        assert_ok_err(es_schedule_check(tasks, machines, first, &err), err);
        es_text_init(&one, 1 << 20);
        es_text_init(&two, 1 << 20);
        es_schedule_write(first, tasks, machines, &one);
        assert_ok_err(es_schedule_parse(arena, "s.json", es_text_get(&one), one.size, tasks,
                                        machines, &again, &err),
                      err);
        assert_ok_err(es_schedule_check(tasks, machines, again, &err), err);
        es_schedule_write(again, tasks, machines, &two);
        assert_string_equal(es_text_get(&one), es_text_get(&two));
        es_text_done(&one);
        es_text_done(&two);
    }
    es_arena_free(arena);
}

static void test_hull(void **state)
{
    (void)state;
    /* (2, 4) is under the line from (1, 4) to (4, 7) by 1; (3, 3.9) by 2.1; (5, 6) falls. */
    static const double work[] = {0, 1, 2, 3, 4, 5};
    static const double quality[] = {0, 4, 4, 3.9, 7, 6};
    bool keep[6];
    uint32_t kept = 0;
    double lost = 0;
    es_curve_hull(6, work, quality, keep, &kept, &lost);
    static const bool wanted[] = {true, true, false, false, true, false};
    assert_memory_equal(keep, wanted, sizeof wanted);
    assert_int_equal(kept, 3);
    assert_true(fabs(lost - 2.1) < 1e-12);
    /* Points on one line all stay. */
    static const double line[] = {0, 0.1, 0.2, 0.3, 0.4, 0.5};
    es_curve_hull(6, work, line, keep, &kept, &lost);
    assert_int_equal(kept, 6);
    assert_true(lost == 0);

    es_arena *arena = es_arena_new((size_t)1 << 24);
    es_error err = {0};
    const es_tasks *tasks = NULL;
    static const char bent[] = "deadline_s,curve\n1,0:0 1:4 2:4 3:3.9 4:7 5:6\n";
    assert_fails(parse_tasks(arena, bent, true, false, &tasks, &err), ES_ERR_PARSE, err,
                 "t.csv:2: curve 'line 2' is not concave and rising: with --hull 3 of its 6 points "
                 "are left out, the lowest of them 2.1 under the hull");
    assert_ok_err(parse_tasks(arena, bent, true, true, &tasks, &err), err);
    assert_string_equal(tasks->note,
                        "curve 'line 2': 3 of 6 points left out, at most 2.1 under the hull");
    static const char flat[] = "deadline_s,curve\n1,0:0 1:1 2:1\n";
    assert_ok_err(parse_tasks(arena, flat, true, false, &tasks, &err), err);
    assert_null(tasks->note);
    assert_int_equal(tasks->curves[0].point_count, 2);
    es_arena_free(arena);
}

static void test_mistakes(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
        bool csv;
    } tasks_wrong[] = {
        {"deadline_s,curve\n1,0:0 1:1\n2\n", "t.csv:3: 1 fields, the first line has 2", true},
        {"deadline_s,curve\nx,0:0 1:1\n", "t.csv:2: deadline_s='x' is not a number", true},
        {"deadline_s,deadline_s,curve\n", "t.csv:1: column 'deadline_s' is given twice", true},
        {"name,curve\n", "t.csv:1: no column 'deadline_s'", true},
        {"", "t.csv: no task", true},
        {"deadline_s,curve\n1,0:0 1:1 1:2\n", "work 1 must be more than the 1 before it", true},
        {"deadline_s,curve\n1,0:-1 1:1\n", "quality -1 must be finite and >= 0", true},
        {"format: estran-tasks\nversion: 1\ncurves: []\ntasks: []\n", "must name at least one task",
         false},
        {"format: estran-tasks\nversion: 1\ncurves: [{name: c, points: [[0, 1]]}]\n"
         "tasks: [{curve: d, deadline_s: 1}]\n",
         "t.yaml:4:17: tasks[0].curve: there is no curve 'd' (did you mean 'c'?)", false},
        {"format: estran-tasks\nversion: 1\ncurves: [{name: c, points: [[0, 1]]}]\n"
         "tasks: [{curve: c, deadline_s: 1, arrival_s: 1}]\n",
         "1 is in the past, must be more than arrival_s=1", false},
        {"format: estran-tasks\nversion: 1\ncurves: [{name: c, points: [[0, 1]]}]\n"
         "traces: [{file: x, curve: c, deadline_after_s: 1}]\n",
         "only a document that is a file may name another", false},
    };
    es_arena *arena = es_arena_new((size_t)1 << 24);
    es_error err = {0};
    const es_tasks *tasks = NULL;
    for (size_t i = 0; i < sizeof tasks_wrong / sizeof tasks_wrong[0]; i++)
        assert_fails(
            parse_tasks(arena, tasks_wrong[i].text, tasks_wrong[i].csv, false, &tasks, &err),
            ES_ERR_PARSE, err, tasks_wrong[i].words);
    static const struct {
        const char *text, *words;
    } machines_wrong[] = {
        {"machines: []\n", "must name at least one machine"},
        {"machines:\n - {name: a, speed_per_s: 1, busy_w: 1}\n"
         " - {name: a, speed_per_s: 1, busy_w: 1}\n",
         "machine 'a' is given twice"},
        {"machines: [{name: a, speed_per_s: 0, busy_w: 1}]\n", "machines[0].speed_per_s"},
        {"machines: [{name: a, speed_per_s: 1, busy_w: 1, open_s: 3, close_s: 3}]\n",
         "3 must be more than open_s=3"},
        {"machines: [{name: a, speed_per_s: 1, busy_w: 1, carbon_gco2e_per_kwh: [1, 2], "
         "price_per_kwh: [1, 2, 3]}]\n",
         "give both the same number"},
        {"zones: [{name: Z}]\nmachines: [{name: a, speed_per_s: 1, busy_w: 1, zone: Z, pue: 2}]\n",
         "zone 'Z' says it already"},
    };
    for (size_t i = 0; i < sizeof machines_wrong / sizeof machines_wrong[0]; i++) {
        char text[512];
        const es_machines *machines = NULL;
        (void)snprintf(text, sizeof text, "format: estran-machines\nversion: 1\n%s",
                       machines_wrong[i].text);
        assert_fails(es_machines_parse(arena, "m.yaml", text, strlen(text), &machines, &err),
                     ES_ERR_PARSE, err, machines_wrong[i].words);
    }
    es_arena_free(arena);
}

/* A year of measured hours: work under a carbon budget goes to the cleanest. */
static void test_hours(void **state)
{
    (void)state;
    const char *table = es_test_data("carbon-electricitymaps/GB_2023.csv.gz");
    if (table == NULL)
        skip();
    enum { HOURS = 48 };
    char path[4096];
    char text[8192];
    es_arena *arena = es_arena_new((size_t)1 << 28);
    es_error err = {0};
    const es_machines *machines = NULL;
    const es_tasks *tasks = NULL;
    const es_schedule *schedule = NULL;
    (void)snprintf(path, sizeof path, "%s/schedule_hours.yaml", ES_TEST_BINARY_DIR);
    (void)snprintf(text, sizeof text,
                   "format: estran-machines\nversion: 1\nmachines:\n"
                   "  - {name: m, speed_per_s: 1, busy_w: 100, carbon_gco2e_per_kwh: {file: '%s',\n"
                   "     column: Carbon Intensity gCO\xe2\x82\x82"
                   "eq/kWh (LCA), count: %d}}\n",
                   table, HOURS);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_ok_err(es_machines_load(arena, path, &machines, &err), err);
    const es_machine *m = &machines->machines[0];
    assert_int_equal(m->period_count, HOURS);
    static const char work[] =
        "format: estran-tasks\nversion: 1\ncurves: [{name: c, points: [[0, 0], [600, 1]]}]\n"
        "tasks: [{curve: c, deadline_s: 172800, count: 60}]\n";
    assert_ok_err(parse_tasks(arena, work, false, false, &tasks, &err), err);
    es_schedule_opts opts = es_schedule_opts_default();
    double full[ES_BUDGET_COUNT];
    double idle[ES_BUDGET_COUNT];
    assert_ok_err(es_schedule_full_use(tasks, machines, full, idle, &err), err);
    opts.method = ES_SCHEDULE_APPROX;
    opts.budgets[ES_BUDGET_CARBON] = 0.1 * full[ES_BUDGET_CARBON];
    assert_ok_err(es_schedule_solve(arena, tasks, machines, opts, &schedule, &err), err);
    assert_ok_err(es_schedule_check(tasks, machines, schedule, &err), err);
    /* Grams per joule of the work done, against the mean of the hours. */
    double mean = full[ES_BUDGET_CARBON] / full[ES_BUDGET_ENERGY];
    double done = schedule->used[ES_BUDGET_CARBON] / schedule->used[ES_BUDGET_ENERGY];
    print_message("grams per joule of the hours chosen: %.2f of the mean\n", done / mean);
    assert_true(done < 0.8 * mean);
    assert_true(schedule->gap_relative < 0.01);
    es_arena_free(arena);
}

static void test_scenario(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new((size_t)1 << 28);
    es_error err = {0};
    const es_scenario *scenario = NULL;
    const es_tasks *tasks = NULL;
    const es_machines *machines = NULL;
    assert_ok_err(
        es_scenario_load(arena, ES_TEST_SOURCE_DIR "/examples/02-measured-catalogue/scenario.yaml",
                         &scenario, &err),
        err);
    assert_ok_err(es_schedule_from_scenario(arena, scenario, "vim4", 2, 1, &tasks, &machines, &err),
                  err);
    assert_string_equal(tasks->work_unit, "s on vim4");
    /* Each processor that runs all variants, none faster than its worst. */
    assert_int_equal(machines->machine_count, 5);
    for (uint32_t r = 0; r < machines->machine_count; r++) {
        bool reference = strcmp(machines->machines[r].name, "camera-it") == 0 ||
                         strcmp(machines->machines[r].name, "camera-nl") == 0;
        if (reference)
            assert_true(fabs(machines->machines[r].speed_per_s - 1) < 1e-12);
    }
    es_online_result result;
    assert_ok_err(
        es_schedule_online(arena, tasks, machines, es_online_opts_default(), &result, &err), err);
    assert_ok_err(es_schedule_check(tasks, machines, result.schedule, &err), err);
    assert_fails(es_schedule_from_scenario(arena, scenario, "vim5", 2, 1, &tasks, &machines, &err),
                 ES_ERR_ARG, err, "there is no kind 'vim5'");
    assert_fails(es_schedule_from_scenario(arena, scenario, NULL, 1e-6, 1, &tasks, &machines, &err),
                 ES_ERR_ARG, err, "no request arrives");
    es_arena_free(arena);
}

/* Short of memory it says so, and crashes nowhere. */
static void test_memory(void **state)
{
    (void)state;
    bool done = false;
    for (size_t cap = 256; !done; cap += cap / 8) {
        es_arena *arena = es_arena_new(cap);
        es_error err = {0};
        const es_tasks *tasks = NULL;
        const es_machines *machines = NULL;
        const es_schedule *schedule = NULL;
        es_status status = parse_tasks(arena, tasks_text, false, false, &tasks, &err);
        if (status == ES_OK)
            status = es_machines_parse(arena, "m", machines_text, sizeof machines_text - 1,
                                       &machines, &err);
        if (status == ES_OK)
            status = es_schedule_solve(arena, tasks, machines, es_schedule_opts_default(),
                                       &schedule, &err);
        if (status != ES_OK && status != ES_ERR_NOMEM)
            fail_msg("cap %zu: %s", cap, es_error_text(&err));
        done = status == ES_OK;
        es_arena_free(arena);
        assert_true(cap < (size_t)1 << 24);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),   cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_hull),   cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_hours),  cmocka_unit_test(test_scenario),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
