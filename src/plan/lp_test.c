#include "es_test.h"
#include "plan/lp.h"

#include <math.h>

/* max 3x + 2y, x + y <= 4, x + 3y <= 9, 0 <= x <= 3: (3, 1), 11; prices 2 and 0. */
static void test_solves_and_restarts(void **state)
{
    (void)state;
    es_error err = {0};
    const es_lp_term terms[] = {{0, 0, 1}, {1, 1, 3}, {0, 1, 1}, {1, 0, 1}};
    const double gain[] = {3, 2};
    const double zero[] = {0, 0};
    const double upper[] = {3, INFINITY};
    const double row_lower[] = {-INFINITY, -INFINITY};
    const double row_upper[] = {4, 9};
    es_lp_spec spec = {.row_count = 2,
                       .col_count = 2,
                       .gain = gain,
                       .lower = zero,
                       .upper = upper,
                       .row_lower = row_lower,
                       .row_upper = row_upper,
                       .term_count = 4,
                       .terms = terms};
    es_lp *lp = NULL;
    assert_ok_err(es_lp_new(&spec, &lp, &err), err);
    assert_int_equal(es_lp_solve(lp, 10), ES_LP_OPTIMAL);
    assert_true(fabs(es_lp_objective(lp) - 11) < 1e-9);
    assert_true(fabs(es_lp_values(lp)[0] - 3) < 1e-9);
    assert_true(fabs(es_lp_values(lp)[1] - 1) < 1e-9);
    assert_true(fabs(es_lp_prices(lp)[0] - 2) < 1e-9);
    assert_true(fabs(es_lp_prices(lp)[1]) < 1e-9);
    es_lp_set_bounds(lp, 0, 0, 0);
    assert_int_equal(es_lp_solve(lp, 10), ES_LP_OPTIMAL);
    assert_true(fabs(es_lp_objective(lp) - 6) < 1e-9);
    es_lp_set_bounds(lp, 0, 5, 6);
    assert_int_equal(es_lp_solve(lp, 10), ES_LP_INFEASIBLE);
    es_lp_set_bounds(lp, 0, 0, 3);
    es_lp_set_row_bounds(lp, 0, -(double)INFINITY, 2);
    assert_int_equal(es_lp_solve(lp, 10), ES_LP_OPTIMAL);
    assert_true(fabs(es_lp_objective(lp) - 6) < 1e-9);
    es_lp_free(lp);
    es_lp_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_solves_and_restarts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
