/* The constraints over the whole plan: against brute force, the checker, and one another; the MPS
 * file; planning from a running plan; explanations. ES_SEED is not used: seeds are few and named.
 */
#include "es_test.h"
#include "plan/internal.h"
#include "plan/random_scenario.h"

#include <coin/Cbc_C_Interface.h>
#include <math.h>

static es_random_shape small_shape(uint64_t seed)
{
    es_random_shape shape = es_random_shape_default();
    shape.device_count = 1 + (uint32_t)(seed % 3);
    shape.edge_count = 1 + (uint32_t)(seed % 2);
    shape.task_count = 1 + (uint32_t)(seed / 2 % 2);
    shape.variant_count = 2;
    shape.long_count = (uint32_t)(seed / 3 % 2);
    shape.tightness = 0.3 + 0.3 * (double)(seed % 4);
    shape.refusal_cost = seed % 2 == 0 ? 3.0 : (double)INFINITY;
    shape.idle_per_j = seed % 3 == 0 ? 0.002 : 0.0;
    return shape;
}

static es_scenario *draw(es_arena *arena, uint64_t seed, es_random_shape shape)
{
    es_scenario *scenario = NULL;
    es_error err = {0};
    assert_ok_err(es_random_scenario(arena, seed, shape, &scenario, &err), err);
    return scenario;
}

static const es_plan *solve(es_arena *arena, const es_scenario *scenario, es_plan_opts opts)
{
    const es_plan *plan = NULL;
    es_error err = {0};
    assert_ok_err(es_plan_solve(arena, scenario, opts, &plan, &err), err);
    return plan;
}

static const es_plan *solve_by(es_arena *arena, const es_scenario *scenario, es_plan_method method)
{
    es_plan_opts opts = es_plan_opts_default();
    opts.method = method;
    opts.gap_relative = 1e-7;
    return solve(arena, scenario, opts);
}

static bool has_plan(const es_plan *plan)
{
    return plan->quality == ES_PLAN_OPTIMAL || plan->quality == ES_PLAN_FEASIBLE;
}

/* What the checker says first; NULL: nothing. */
static const char *verdict(es_arena *arena, const es_plan *plan, const es_scenario *scenario)
{
    const es_plan_violation *violations;
    size_t count;
    es_error err = {0};
    assert_ok_err(es_plan_check(arena, plan, scenario, 1e-6, &violations, &count, &err), err);
    return count > 0 ? violations[0].text : NULL;
}

static es_problem *lay_out(es_arena *arena, const es_scenario *scenario)
{
    es_problem *problem;
    es_error err = {0};
    assert_ok_err(es_problem_build(arena, scenario, es_problem_opts_default(), &problem, &err),
                  err);
    return problem;
}

/* Joules and grams per second of a plan, from the prices. */
static void measure(const es_scenario *s, const es_plan *plan, double *energy_w, double *carbon)
{
    *energy_w = 0.0;
    *carbon = 0.0;
    for (size_t i = 0; i < plan->routing_count; i++) {
        const es_routing *w = &plan->routings[i];
        es_price price = es_scenario_price(s, w->class_id, w->pipeline, w->nodes);
        double rate = s->classes[w->class_id.index].arrivals.rate_rps * w->share;
        *energy_w += rate * (price.energy_compute_j + price.energy_network_j);
        *carbon += rate * price.carbon_g;
    }
    for (size_t i = 0; i < plan->placement_count; i++) {
        const es_node *node = es_network_node(s->network, plan->placements[i].node);
        if (i > 0 && plan->placements[i].node.index == plan->placements[i - 1].node.index)
            continue;
        *energy_w += node->idle_w;
        *carbon += node->idle_w * node->carbon_gco2e_per_kwh / 3.6e6;
    }
}

enum { LIMIT_WHOLE, LIMIT_HOSTS, LIMIT_ENERGY, LIMIT_CARBON, LIMIT_EACH, LIMIT_COUNT };

/* Makes one of the limits bind on a plan that was found without it. */
static void tighten(es_arena *arena, es_scenario *s, const es_plan *free_plan, int limit)
{
    double energy_w;
    double carbon;
    measure(s, free_plan, &energy_w, &carbon);
    if (limit == LIMIT_WHOLE)
        s->unsplittable = true;
    if (limit == LIMIT_HOSTS)
        s->hosts_max =
            free_plan->placement_count > 1 ? (uint32_t)free_plan->placement_count - 1 : 1;
    if (limit == LIMIT_ENERGY)
        s->energy_w_max = 0.8 * energy_w + 1e-9;
    if (limit == LIMIT_CARBON)
        s->carbon_g_per_s_max = 0.8 * carbon + 1e-12;
    if (limit == LIMIT_EACH) {
        es_class *classes = ES_TAKE_ARRAY(arena, es_class, s->class_count);
        assert_non_null(classes);
        memcpy(classes, s->classes, s->class_count * sizeof *classes);
        for (uint32_t r = 0; r < s->class_count; r++)
            classes[r].quality_min_each = 0.78;
        s->classes = classes;
    }
}

/* Plans found without a limit often break it; plans found with it never do, and cost no less. */
static void test_limits_hold(void **state)
{
    (void)state;
    int plans[LIMIT_COUNT] = {0};
    int broken[LIMIT_COUNT] = {0};
    for (uint64_t seed = 0; seed < 40; seed++)
        for (int limit = 0; limit < LIMIT_COUNT; limit++) {
            es_arena *arena = es_arena_new((size_t)64 << 20);
            es_scenario *s = draw(arena, seed, small_shape(seed));
            const es_plan *free_plan = solve_by(arena, s, ES_PLAN_EXACT);
            if (has_plan(free_plan)) {
                tighten(arena, s, free_plan, limit);
                broken[limit] += verdict(arena, free_plan, s) != NULL ? 1 : 0;
                const es_plan *exact = solve_by(arena, s, ES_PLAN_EXACT);
                const es_plan *greedy = solve_by(arena, s, ES_PLAN_GREEDY);
                const char *wrong = verdict(arena, exact, s);
                wrong = wrong == NULL ? verdict(arena, greedy, s) : wrong;
                if (wrong != NULL)
                    fail_msg("seed %" PRIu64 ", limit %d: %s", seed, limit, wrong);
                double slack = 1e-5 * (1.0 + fabs(free_plan->objective));
                if (has_plan(exact) && exact->objective < free_plan->objective - slack)
                    fail_msg("seed %" PRIu64 ", limit %d: %.9g became %.9g", seed, limit,
                             free_plan->objective, exact->objective);
                if (has_plan(greedy) &&
                    (!has_plan(exact) || greedy->objective < exact->objective - slack ||
                     greedy->bound > exact->objective + slack))
                    fail_msg("seed %" PRIu64 ", limit %d: greedy %.9g, bound %.9g, exact %.9g",
                             seed, limit, greedy->objective, greedy->bound, exact->objective);
                plans[limit] += has_plan(exact) ? 1 : 0;
            }
            es_arena_free(arena);
        }
    for (int limit = 0; limit < LIMIT_COUNT; limit++) {
        print_message("limit %d: %d plans, broken by the free plan %d times\n", limit, plans[limit],
                      broken[limit]);
        assert_true(plans[limit] >= 10);
        assert_true(broken[limit] >= 5);
    }
}

/* ---- brute force ---- */

/* Best over all sets of hosts, with the routing over each solved as a linear program. */
static double best_over_hosts(const es_problem *problem)
{
    double best = (double)INFINITY;
    bool open[16];
    assert_true(problem->host_count <= 16);
    for (uint32_t set = 0; set < (UINT32_C(1) << problem->host_count); set++) {
        es_arena *scratch = es_arena_new((size_t)16 << 20);
        es_solution *solution;
        es_error err = {0};
        uint32_t count = 0;
        bool good = true;
        for (uint32_t h = 0; h < problem->host_count; h++) {
            open[h] = (set >> h & 1) != 0;
            count += open[h] ? 1 : 0;
        }
        for (uint32_t v = 0; v < problem->node_count; v++) {
            double bytes = 0.0;
            for (uint32_t h = 0; h < problem->host_count; h++)
                if (open[h] && problem->hosts[h].node.index == v)
                    bytes += problem->hosts[h].memory_bytes;
            good = good && bytes <= problem->memory_bytes[v];
        }
        if (good && (problem->hosts_max == 0 || count <= problem->hosts_max)) {
            assert_ok_err(es_solve_routing(scratch, problem, open, &solution, &err), err);
            if (solution->quality == ES_PLAN_FEASIBLE)
                best = fmin(best, es_solution_cost(problem, solution));
        }
        es_arena_free(scratch);
    }
    return best;
}

static void assert_best(const es_plan *plan, double best, uint64_t seed, int limit)
{
    double found = has_plan(plan) ? plan->objective : (double)INFINITY;
    bool same = isinf(best) ? isinf(found) : fabs(found - best) <= 1e-5 * (1.0 + fabs(best));
    if (!same)
        fail_msg("seed %" PRIu64 ", limit %d: exact %.9g, search %.9g", seed, limit, found, best);
}

static void test_limits_equal_search(void **state)
{
    (void)state;
    int compared = 0;
    for (uint64_t seed = 0; seed < 60; seed++)
        for (int limit = LIMIT_HOSTS; limit < LIMIT_COUNT; limit++) {
            es_arena *arena = es_arena_new((size_t)64 << 20);
            es_random_shape shape = small_shape(seed);
            shape.device_count = 1 + (uint32_t)(seed % 2);
            shape.task_count = 1;
            es_scenario *s = draw(arena, seed, shape);
            const es_plan *free_plan = solve_by(arena, s, ES_PLAN_EXACT);
            if (has_plan(free_plan)) {
                tighten(arena, s, free_plan, limit);
                const es_problem *problem = lay_out(arena, s);
                if (problem->host_count <= 9) {
                    assert_best(solve_by(arena, s, ES_PLAN_EXACT), best_over_hosts(problem), seed,
                                limit);
                    compared++;
                }
            }
            es_arena_free(arena);
        }
    print_message("%d compared\n", compared);
    assert_true(compared >= 40);
}

/* Cost of an assignment of classes to paths (path_count: refused), INFINITY when it breaks. */
static double assignment_cost(es_arena *arena, const es_problem *problem, const uint32_t *paths)
{
    es_solution *solution;
    es_error err = {0};
    double link_bps[256] = {0};
    double compute_s[32] = {0};
    double bytes[32] = {0};
    assert_ok_err(es_solution_new(arena, problem, &solution, &err), err);
    assert_true(problem->node_count <= 32 && problem->link_row_count <= 256);
    for (uint32_t r = 0; r < problem->class_count; r++) {
        double rate = es_problem_rate(problem, r);
        if (paths[r] == problem->path_count) {
            solution->refused[r] = 1.0;
            continue;
        }
        const es_path *path = &problem->paths[paths[r]];
        solution->shares[paths[r]] = 1.0;
        if (path->quality < problem->quality_min[r])
            return (double)INFINITY;
        for (uint32_t k = 0; k < path->stage_count; k++) {
            uint32_t h = problem->stage_hosts[path->stage_first + k];
            if (!solution->host_on[h])
                bytes[problem->hosts[h].node.index] += problem->hosts[h].memory_bytes;
            solution->host_on[h] = true;
            compute_s[problem->hosts[h].node.index] +=
                rate * problem->stage_loads[path->stage_first + k];
        }
        for (uint32_t i = path->use_first; i < path->use_first + path->use_count; i++)
            link_bps[problem->uses[i].row] += rate * problem->uses[i].bits;
    }
    for (uint32_t v = 0; v < problem->node_count; v++)
        if (bytes[v] > problem->memory_bytes[v] || compute_s[v] > problem->compute_s[v] + 1e-9)
            return (double)INFINITY;
    for (uint32_t i = 0; i < problem->link_row_count; i++)
        if (link_bps[i] > problem->link_bps[i] * (1.0 + 1e-9))
            return (double)INFINITY;
    return es_solution_cost(problem, solution);
}

static void test_unsplittable_equals_search(void **state)
{
    (void)state;
    enum { COMBINATIONS_MAX = 20000 };
    int compared = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        es_arena *arena = es_arena_new((size_t)64 << 20);
        es_random_shape shape = small_shape(seed);
        shape.device_count = 1 + (uint32_t)(seed % 2);
        es_scenario *s = draw(arena, seed, shape);
        s->unsplittable = true;
        const es_problem *problem = lay_out(arena, s);
        bool may_refuse = isfinite(problem->refusal_cost);
        double total = 1.0;
        for (uint32_t r = 0; r < problem->class_count; r++)
            total *= problem->class_paths[r + 1] - problem->class_paths[r] + (may_refuse ? 1 : 0);
        if (total > 0.0 && total <= COMBINATIONS_MAX) {
            double best = (double)INFINITY;
            for (uint64_t at = 0; at < (uint64_t)total; at++) {
                es_arena *scratch = es_arena_new((size_t)4 << 20);
                uint32_t paths[16];
                uint64_t rest = at;
                for (uint32_t r = 0; r < problem->class_count; r++) {
                    uint32_t own = problem->class_paths[r + 1] - problem->class_paths[r];
                    uint32_t count = own + (may_refuse ? 1 : 0);
                    uint32_t digit = (uint32_t)(rest % count);
                    paths[r] = digit < own ? problem->class_paths[r] + digit : problem->path_count;
                    rest /= count;
                }
                best = fmin(best, assignment_cost(scratch, problem, paths));
                es_arena_free(scratch);
            }
            assert_best(solve_by(arena, s, ES_PLAN_EXACT), best, seed, LIMIT_WHOLE);
            compared++;
        }
        es_arena_free(arena);
    }
    print_message("%d compared\n", compared);
    assert_true(compared >= 15);
}

/* ---- why there is no plan ---- */

static void test_conflicts_name_limits(void **state)
{
    (void)state;
    static const char *const words[LIMIT_COUNT] = {
        [LIMIT_HOSTS] = "hosts_max (1)",
        [LIMIT_ENERGY] = "energy_budget_w (1e-06 W)",
        [LIMIT_CARBON] = "carbon_budget_g_per_s (1e-12 g/s)",
        [LIMIT_EACH] = "least quality of each request 0.999"};
    for (int limit = LIMIT_HOSTS; limit < LIMIT_COUNT; limit++) {
        es_arena *arena = es_arena_new((size_t)64 << 20);
        es_random_shape shape = es_random_shape_default();
        shape.tightness = 0.0;
        shape.deadlines = shape.least_quality = false;
        shape.task_count = 2;
        es_scenario *s = draw(arena, 3, shape);
        if (limit == LIMIT_HOSTS)
            s->hosts_max = 1; /* two tasks share no segment */
        if (limit == LIMIT_ENERGY)
            s->energy_w_max = 1e-6;
        if (limit == LIMIT_CARBON)
            s->carbon_g_per_s_max = 1e-12;
        es_class *classes = ES_TAKE_ARRAY(arena, es_class, s->class_count);
        assert_non_null(classes);
        memcpy(classes, s->classes, s->class_count * sizeof *classes);
        classes[0].quality_min_each = limit == LIMIT_EACH ? 0.999 : 0.0;
        s->classes = classes;
        const es_plan *plan = solve_by(arena, s, ES_PLAN_EXACT);
        assert_int_equal(plan->quality, ES_PLAN_INFEASIBLE);
        if (strstr(plan->conflict, words[limit]) == NULL)
            fail_msg("limit %d: '%s' does not name %s", limit, plan->conflict, words[limit]);
        es_arena_free(arena);
    }
}

/* ---- the MPS file ---- */

static void test_mps_has_the_same_optimum(void **state)
{
    (void)state;
    int compared = 0;
    for (uint64_t seed = 0; seed < 24; seed++) {
        es_arena *arena = es_arena_new((size_t)64 << 20);
        es_random_shape shape = small_shape(seed);
        shape.replicas_min = seed % 5 == 0 ? 2 : 1;
        es_scenario *s = draw(arena, seed, shape);
        s->unsplittable = seed % 4 == 1;
        s->hosts_max = seed % 4 == 2 ? 6 : 0;
        s->name = "näme with / odd characters";
        es_plan_opts opts = es_plan_opts_default();
        es_text text;
        es_error err = {0};
        char path[4096];
        es_text_init(&text, (size_t)64 << 20);
        assert_ok_err(es_plan_write_mps(s, opts, &text, &err), err);
        (void)snprintf(path, sizeof path, "%s/formulation_test_%u.mps", ES_TEST_BINARY_DIR,
                       (unsigned)seed);
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        assert_int_equal(fwrite(es_text_get(&text), 1, text.size, file), text.size);
        assert_int_equal(fclose(file), 0);
        for (const char *line = es_text_get(&text); *line != '\0'; line++)
            assert_true((unsigned char)*line < 128);
        es_text_done(&text);
        Cbc_Model *model = Cbc_newModel();
        Cbc_setLogLevel(model, 0);
        Cbc_setParameter(model, "slogLevel", "0");
        assert_int_equal(Cbc_readMps(model, path), 0);
        (void)Cbc_solve(model);
        const es_plan *plan = solve_by(arena, s, ES_PLAN_EXACT);
        if (Cbc_isProvenInfeasible(model)) {
            assert_false(has_plan(plan));
        } else {
            assert_true(Cbc_isProvenOptimal(model));
            double theirs = Cbc_getObjValue(model);
            if (fabs(theirs - plan->objective) > 1e-5 * (1.0 + fabs(theirs)))
                fail_msg("seed %" PRIu64 ": file %.9g, exact %.9g", seed, theirs, plan->objective);
            compared++;
        }
        Cbc_deleteModel(model);
        (void)remove(path); /* a leftover does no harm */
        es_arena_free(arena);
    }
    assert_true(compared >= 12);
}

/* ---- from a running plan ---- */

static void test_moves_have_a_price(void **state)
{
    (void)state;
    int moved = 0;
    int stayed = 0;
    for (uint64_t seed = 0; seed < 30; seed++) {
        es_arena *arena = es_arena_new((size_t)64 << 20);
        es_scenario *s = draw(arena, seed, small_shape(seed));
        es_plan_opts opts = es_plan_opts_default();
        opts.gap_relative = 1e-7;
        opts.method = ES_PLAN_EXACT;
        const es_plan *old = solve(arena, s, opts);
        es_class *classes = ES_TAKE_ARRAY(arena, es_class, s->class_count);
        assert_non_null(classes);
        memcpy(classes, s->classes, s->class_count * sizeof *classes);
        for (uint32_t r = 0; r < s->class_count; r++)
            classes[r].arrivals.rate_rps *= r % 2 == 0 ? 0.2 : 1.3;
        s->classes = classes;
        const es_plan *cold = solve(arena, s, opts);
        if (has_plan(old) && has_plan(cold)) {
            opts.warm_start = old;
            const es_plan *gratis = solve(arena, s, opts);
            opts.move_price = 100.0;
            const es_plan *dear = solve(arena, s, opts);
            double slack = 1e-5 * (1.0 + fabs(cold->objective));
            assert_null(verdict(arena, gratis, s));
            assert_null(verdict(arena, dear, s));
            assert_true(fabs(gratis->objective - cold->objective) <= slack);
            assert_true(gratis->move_cost_per_s == 0.0);
            assert_true(dear->objective >= cold->objective - slack);
            assert_true(dear->move_count <= gratis->move_count);
            assert_true(fabs(dear->move_cost_per_s - 100.0 * (double)dear->move_count) <= 1e-9);
            moved += gratis->move_count > 0 ? 1 : 0;
            stayed += dear->move_count < gratis->move_count ? 1 : 0;
        }
        es_arena_free(arena);
    }
    print_message("moves in %d plans, kept back by the price in %d\n", moved, stayed);
    assert_true(stayed >= 3);
}

/* ---- explanations ---- */

/* Where nothing stands against the other way it must cost more: the plan is optimal. */
static void test_explanations_fit_the_plan(void **state)
{
    (void)state;
    size_t reasons = 0;
    size_t limits = 0;
    size_t priced = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        es_arena *arena = es_arena_new((size_t)64 << 20);
        es_scenario *s = draw(arena, seed, small_shape(seed));
        es_plan_opts opts = es_plan_opts_default();
        opts.method = ES_PLAN_EXACT;
        opts.gap_relative = 1e-7;
        opts.explain = true;
        const es_plan *plan = solve(arena, s, opts);
        assert_true((plan->explanation != NULL) == has_plan(plan));
        for (size_t i = 0; has_plan(plan) && i < plan->explanation->reason_count; i++) {
            const es_plan_reason *reason = &plan->explanation->reasons[i];
            if (plan->quality == ES_PLAN_OPTIMAL && reason->limit == NULL &&
                reason->extra_per_s < -1e-5 * (1.0 + plan->objective))
                fail_msg("seed %" PRIu64 ": a free way saves %.9g of %.9g (bound %.9g)", seed,
                         -reason->extra_per_s, plan->objective, plan->bound);
            reasons++;
        }
        for (size_t i = 0; has_plan(plan) && i < plan->explanation->limit_count; i++) {
            limits++;
            priced += plan->explanation->limits[i].price_per_s > 1e-9 ? 1 : 0;
        }
        es_arena_free(arena);
    }
    print_message("%zu reasons, %zu limits, %zu with a price\n", reasons, limits, priced);
    assert_true(reasons > 50);
    assert_true(priced > 5);
}

/* A shadow price foretells what a little more of the only scarce capacity saves. */
static void test_shadow_price_foretells_the_saving(void **state)
{
    (void)state;
    int compared = 0;
    for (uint64_t seed = 0; seed < 60 && compared < 5; seed++) {
        es_arena *arena = es_arena_new((size_t)64 << 20);
        es_random_shape shape = small_shape(seed);
        shape.least_quality = false;
        es_scenario *s = draw(arena, seed, shape);
        double energy_w;
        double carbon;
        const es_plan *free_plan = solve_by(arena, s, ES_PLAN_EXACT);
        if (has_plan(free_plan)) {
            measure(s, free_plan, &energy_w, &carbon);
            s->energy_w_max = 0.9 * energy_w;
            es_plan_opts opts = es_plan_opts_default();
            opts.method = ES_PLAN_EXACT;
            opts.gap_relative = 1e-9;
            opts.explain = true;
            const es_plan *before = solve(arena, s, opts);
            s->energy_w_max *= 1.0001;
            opts.explain = false;
            const es_plan *after = solve(arena, s, opts);
            for (size_t i = 0; has_plan(before) && has_plan(after) &&
                               after->placement_count == before->placement_count &&
                               i < before->explanation->limit_count;
                 i++) {
                const es_plan_limit *limit = &before->explanation->limits[i];
                if (strstr(limit->what, "energy_budget_w") == NULL || limit->price_per_s < 1e-4)
                    continue;
                double saved = before->objective - after->objective;
                if (fabs(saved - 0.01 * limit->price_per_s) > 0.2 * saved + 1e-7)
                    fail_msg("seed %" PRIu64 ": saved %.9g, foretold %.9g", seed, saved,
                             0.01 * limit->price_per_s);
                compared++;
            }
        }
        es_arena_free(arena);
    }
    assert_true(compared >= 3);
}

/* ---- baselines ---- */

static void test_baselines_are_where_they_say(void **state)
{
    (void)state;
    static const es_plan_method methods[] = {ES_PLAN_EDGE_ONLY, ES_PLAN_SINGLE_SPLIT,
                                             ES_PLAN_BEST_FIT, ES_PLAN_RANDOM};
    int plans[4] = {0};
    int different = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        es_arena *arena = es_arena_new((size_t)64 << 20);
        es_random_shape shape = small_shape(seed);
        shape.long_count = 2;
        const es_scenario *s = draw(arena, seed, shape);
        const es_plan *exact = solve_by(arena, s, ES_PLAN_EXACT);
        for (int m = 0; m < 4; m++) {
            const es_plan *plan = solve_by(arena, s, methods[m]);
            if (!has_plan(plan))
                continue;
            plans[m]++;
            const char *wrong = verdict(arena, plan, s);
            if ((wrong != NULL) != (plan->conflict != NULL))
                fail_msg("seed %" PRIu64 ", %s: checker %s, plan %s", seed,
                         es_plan_method_names[methods[m]], wrong != NULL ? wrong : "content",
                         plan->conflict != NULL ? plan->conflict : "content");
            if (wrong == NULL && has_plan(exact))
                assert_true(plan->objective >= exact->objective * (1.0 - 1e-6) - 1e-9);
            for (size_t i = 0; i < plan->routing_count; i++) {
                const es_routing *w = &plan->routings[i];
                uint32_t stages = s->pipelines[w->pipeline.index].stage_count;
                uint32_t entry = s->classes[w->class_id.index].node.index;
                uint32_t changes = 0;
                for (uint32_t k = 0; k < stages; k++) {
                    uint32_t before = k == 0 ? w->nodes[0].index : w->nodes[k - 1].index;
                    if (methods[m] == ES_PLAN_EDGE_ONLY)
                        assert_int_equal(es_network_node(s->network, w->nodes[k])->tier,
                                         ES_TIER_EDGE);
                    changes += w->nodes[k].index != before ? 1 : 0;
                    if (methods[m] == ES_PLAN_SINGLE_SPLIT && w->nodes[k].index != before)
                        assert_int_equal(before, entry);
                }
                assert_true(methods[m] != ES_PLAN_SINGLE_SPLIT || changes <= 1);
                assert_true(methods[m] != ES_PLAN_BEST_FIT || w->share == 1.0);
            }
        }
        es_plan_opts opts = es_plan_opts_default();
        opts.method = ES_PLAN_RANDOM;
        const es_plan *one = solve(arena, s, opts);
        opts.seed = 99;
        const es_plan *other = solve(arena, s, opts);
        different += one->objective != other->objective ? 1 : 0;
        es_arena_free(arena);
    }
    print_message("edge-only %d, single-split %d, best-fit %d, random %d plans\n", plans[0],
                  plans[1], plans[2], plans[3]);
    for (int m = 0; m < 4; m++)
        assert_true(plans[m] >= 10);
    assert_true(different >= 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits_hold),
        cmocka_unit_test(test_limits_equal_search),
        cmocka_unit_test(test_unsplittable_equals_search),
        cmocka_unit_test(test_conflicts_name_limits),
        cmocka_unit_test(test_mps_has_the_same_optimum),
        cmocka_unit_test(test_moves_have_a_price),
        cmocka_unit_test(test_explanations_fit_the_plan),
        cmocka_unit_test(test_shadow_price_foretells_the_saving),
        cmocka_unit_test(test_baselines_are_where_they_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
