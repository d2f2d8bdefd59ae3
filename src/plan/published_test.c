/* Published instances whose optima are known: the quick ones. All of them: published_bench. */
#include "es_test.h"
#include "plan/or_instances.h"
#include "plan/plan.h"

#include <math.h>

typedef struct wanted {
    es_or_set set;
    const char *name;
} wanted;

static const double GAP_RELATIVE = 1e-6;

static void check_one(es_or_set set, const char *folder, const char *name)
{
    es_arena *arena = es_arena_new((size_t)1 << 30);
    es_or_instance given;
    const es_plan *plan;
    const es_plan_violation *violations;
    size_t count;
    es_error err = {0};
    es_plan_opts opts = es_plan_opts_default();
    opts.method = ES_PLAN_EXACT;
    opts.gap_relative = GAP_RELATIVE;
    assert_ok_err(es_or_load(arena, set, folder, name, &given, &err), err);
    assert_ok_err(es_plan_solve(arena, given.scenario, opts, &plan, &err), err);
    double slack = given.tolerance * given.known_high;
    if (plan->quality != ES_PLAN_OPTIMAL || plan->objective < given.known_low - slack ||
        plan->objective > given.known_high * (1.0 + GAP_RELATIVE) + slack ||
        plan->bound > given.known_high + slack)
        fail_msg("%s %s: %s, %.9g with bound %.9g, known %.9g to %.9g", es_or_set_names[set], name,
                 es_plan_quality_names[plan->quality], plan->objective, plan->bound,
                 given.known_low, given.known_high);
    assert_ok_err(es_plan_check(arena, plan, given.scenario, 1e-6, &violations, &count, &err), err);
    if (count > 0)
        fail_msg("%s %s: %s", es_or_set_names[set], name, violations[0].text);
    es_arena_free(arena);
}

static void check_all(const wanted *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char folder[4096];
        const char *path = es_test_data(es_or_set_folders[list[i].set]);
        if (path == NULL)
            skip();
        (void)snprintf(folder, sizeof folder, "%s", path);
        check_one(list[i].set, folder, list[i].name);
    }
}

static void test_facility_location(void **state)
{
    (void)state;
    static const wanted list[] = {{ES_OR_UFL, "cap71"},       {ES_OR_UFL, "cap101"},
                                  {ES_OR_UFL, "cap134"},      {ES_OR_CFL, "cap74"},
                                  {ES_OR_CFL, "cap131"},      {ES_OR_CFL_ORLIB, "cap63"},
                                  {ES_OR_CFL_ORLIB, "cap94"}, {ES_OR_CFL_ORLIB, "cap123"}};
    check_all(list, sizeof list / sizeof *list);
}

static void test_single_source(void **state)
{
    (void)state;
    static const wanted list[] = {{ES_OR_SSCFLP_ORLIB, "cap62"}, {ES_OR_SSCFLP_ORLIB, "cap64"},
                                  {ES_OR_SSCFLP_ORLIB, "cap93"}, {ES_OR_SSCFLP_ORLIB, "cap122"},
                                  {ES_OR_SSCFLP, "Lib_1_p1"},    {ES_OR_SSCFLP, "Lib_2_p1"}};
    check_all(list, sizeof list / sizeof *list);
}

static void test_assignment(void **state)
{
    (void)state;
    static const wanted list[] = {{ES_OR_GAP, "cattrysse1994_gap1-0"},
                                  {ES_OR_GAP, "cattrysse1994_gap4-1"},
                                  {ES_OR_GAP, "cattrysse1994_gap7-3"},
                                  {ES_OR_GAP, "chu1997_a05100"}};
    check_all(list, sizeof list / sizeof *list);
}

static void test_median(void **state)
{
    (void)state;
    static const wanted list[] = {
        {ES_OR_PMED, "pmed1"}, {ES_OR_PMED, "pmed4"}, {ES_OR_PMED, "pmed5"}};
    check_all(list, sizeof list / sizeof *list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facility_location),
        cmocka_unit_test(test_single_source),
        cmocka_unit_test(test_assignment),
        cmocka_unit_test(test_median),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
