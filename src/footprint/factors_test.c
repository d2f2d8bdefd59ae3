/* Factor tables: what is built in, errors with their place, users' rows on top. */
#include "es_test.h"
#include "footprint/footprint.h"

#include <math.h>

#define HEAD "format: estran-factors\nversion: 1\n"

static int arena_make(void **state)
{
    *state = es_arena_new(16 << 20);
    return *state != NULL ? 0 : -1;
}

static int arena_drop(void **state)
{
    es_arena_free(*state);
    return 0;
}

static const es_factors *builtin(es_arena *arena)
{
    const es_factors *factors = NULL;
    es_error err = {0};
    assert_ok_err(es_factors_builtin(arena, &factors, &err), err);
    return factors;
}

static es_status parse(es_arena *arena, const char *text, const es_factors *base,
                       const es_factors **out, es_error *err)
{
    return es_factors_parse(arena, "mine.yaml", text, strlen(text), base, out, err);
}

static void test_builtin_rows_are_whole(void **state)
{
    const es_factors *factors = builtin(*state);
    assert_true(factors->count > 200);
    for (size_t i = 0; i < factors->count; i++) {
        const es_factor *f = &factors->items[i];
        assert_true(f->is.low >= 0 && f->is.low <= f->is.value && f->is.value <= f->is.high);
        assert_true(f->year >= 2011 && f->scope != NULL && f->tag != NULL && f->line > 0);
        assert_true(strcmp(f->tag, "found") == 0 || strcmp(f->tag, "from memory") == 0 ||
                    strcmp(f->tag, "derived") == 0);
        assert_true(strncmp(f->name, "grid/", 5) != 0 || strstr(f->name, "/gwp") == NULL ||
                    (f->is.value > 5 && f->is.value < 1600));
        /* every row is found by its own name and source */
        assert_ptr_equal(es_factors_find(factors, f->name, f->source), f);
    }
}

static void test_three_sources_of_one_zone(void **state)
{
    const es_factors *factors = builtin(*state);
    const es_factor *factor = NULL;
    es_error err = {0};
    assert_ok_err(
        es_factors_need(factors, "grid/FRA/gwp", "codecarbon", "gCO2e/kWh", &factor, &err), err);
    assert_true(factor->is.value == 56.0 && factor->is.low == 44.2 && factor->is.high == 98);
    assert_ok_err(es_factors_need(factors, "grid/FRA/gwp", "boavizta", "gCO2e/kWh", &factor, &err),
                  err);
    assert_true(factor->is.value == 98 && factor->year == 2019);
    assert_fails(es_factors_need(factors, "grid/FRA/gwp", NULL, "gCO2e/kWh", &factor, &err),
                 ES_ERR_ARG, err,
                 "several sources, choose one of: boavizta, codecarbon, ecologits");
    assert_fails(es_factors_need(factors, "grid/ZAF/gwp", "ecologits", "gCO2e/kWh", &factor, &err),
                 ES_ERR_ARG, err, "source 'ecologits' has no factor 'grid/ZAF/gwp'; these have: ");
    assert_fails(es_factors_need(factors, "grid/XXX/gwp", "ecologits", "gCO2e/kWh", &factor, &err),
                 ES_ERR_ARG, err, "no factor 'grid/XXX/gwp' in any table");
    assert_fails(es_factors_need(factors, "pue/aws", NULL, "gCO2e/kWh", &factor, &err), ES_ERR_ARG,
                 err, "unit '1', expected 'gCO2e/kWh'");
    assert_string_equal(es_factors_zone(factors, "UK"), "GBR");
    assert_string_equal(es_factors_zone(factors, "mine"), "mine");
}

static void test_grid_criteria(void **state)
{
    const es_factors *factors = builtin(*state);
    es_impact impact;
    es_error err = {0};
    assert_ok_err(es_impact_grid(factors, "FR", "ecologits", &impact, &err), err);
    assert_true(impact.of[ES_CRITERION_GWP].value == 44.2);
    assert_true(impact.of[ES_CRITERION_ADPE].value == 4.858e-8);
    assert_true(impact.of[ES_CRITERION_PE].value == 9.3135);
    assert_true(impact.of[ES_CRITERION_WATER].value == 3.6737);
    /* what a source does not say is unknown, never 0 and never another source's */
    assert_ok_err(es_impact_grid(factors, "FR", "codecarbon", &impact, &err), err);
    assert_true(impact.of[ES_CRITERION_GWP].value == 56);
    assert_false(es_estimate_known(impact.of[ES_CRITERION_WATER]));
    assert_fails(es_impact_grid(factors, "atlantis", "codecarbon", &impact, &err), ES_ERR_ARG, err,
                 "grid/atlantis/gwp");
}

static void test_user_rows_on_top(void **state)
{
    const es_factors *base = builtin(*state);
    const es_factors *factors = NULL;
    es_error err = {0};
    assert_ok_err(parse(*state,
                        HEAD "sources: [{name: meter, year: 2026, scope: own contract}]\n"
                             "aliases: {home: FRA}\n"
                             "factors:\n"
                             "  - {name: grid/FRA/gwp, value: 12, unit: gCO2e/kWh, source: meter}\n"
                             "  - {name: grid/DEU/gwp, value: 5, unit: gCO2e/kWh, year: 2026,\n"
                             "     source: codecarbon, scope: test}\n",
                        base, &factors, &err),
                  err);
    assert_int_equal(factors->count, base->count + 1);
    assert_true(es_factors_find(factors, "grid/FRA/gwp", "meter")->is.value == 12);
    assert_string_equal(es_factors_find(factors, "grid/FRA/gwp", "meter")->tag, "user");
    assert_true(es_factors_find(factors, "grid/DEU/gwp", "codecarbon")->is.value == 5);
    assert_true(es_factors_find(base, "grid/DEU/gwp", "codecarbon")->is.value == 381);
    assert_string_equal(es_factors_zone(factors, "home"), "FRA");
    assert_string_equal(es_factors_zone(factors, "FR"), "FRA");
    for (size_t i = 0; i < factors->count; i++)
        assert_ptr_equal(es_factors_find(factors, factors->items[i].name, factors->items[i].source),
                         &factors->items[i]);
}

static void test_errors_name_the_place(void **state)
{
    static const struct {
        const char *text, *words;
    } rows[] = {
        {"format: estran-plan\nversion: 1\nfactors: []\n", "mine.yaml:1:"},
        {HEAD "factors:\n  - {name: a, value: -1, unit: g, source: s}\n", "mine.yaml:4:"},
        {HEAD "factors:\n  - {name: a, value: 1, unit: g}\n", "source"},
        {HEAD "factors:\n  - {name: a, value: 1, unit: g, source: s}\n", "year: missing"},
        {HEAD "factors:\n  - {name: a, value: 1, unit: g, source: s, year: 2020}\n",
         "scope: missing"},
        {HEAD "factors:\n  - {name: a, value: 1, low: 2, high: 3, unit: g, source: s}\n",
         "factors[0].low: 2"},
        {HEAD "factors:\n  - {name: a, value: 1, low: 0.5, unit: g, source: s}\n",
         "one is missing"},
        {HEAD "factors:\n  - {name: a, valu: 1, unit: g, source: s}\n", "valu"},
        {HEAD "factors:\n  - {name: \"\", value: 1, unit: g, source: s}\n", "must not be empty"},
        {HEAD "factors:\n  - {name: a, value: 1, unit: g, source: s, year: 1, scope: x}\n",
         "year: 1"},
        {HEAD "factors:\n  - {name: a, value: .nan, unit: g, source: s}\n", "mine.yaml:4:"},
        {HEAD "sources: [{name: s, year: 2020, scope: x}, {name: s, year: 2021, scope: x}]\n"
              "factors: []\n",
         "source 's' is there twice"},
        {HEAD "sources: [{name: s, year: 2020, scope: x}]\n"
              "factors:\n  - {name: a, value: 1, unit: g, source: s}\n"
              "  - {name: a, value: 2, unit: g, source: s}\n",
         "mine.yaml:6: 'a' of source 's' is already in line 5"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const es_factors *factors = NULL;
        es_error err = {0};
        assert_fails(parse(*state, rows[i].text, NULL, &factors, &err), ES_ERR_PARSE, err,
                     rows[i].words);
        assert_null(factors);
    }
    const es_factors *factors = NULL;
    es_error err = {0};
    assert_fails(es_factors_load(*state, "/no/such.yaml", NULL, &factors, &err), ES_ERR_IO, err,
                 "/no/such.yaml");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_builtin_rows_are_whole),
        cmocka_unit_test(test_three_sources_of_one_zone),
        cmocka_unit_test(test_grid_criteria),
        cmocka_unit_test(test_user_rows_on_top),
        cmocka_unit_test(test_errors_name_the_place),
    };
    int failed = 0;
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        const struct CMUnitTest one[] = {tests[i]};
        failed += cmocka_run_group_tests(one, arena_make, arena_drop);
    }
    return failed;
}
