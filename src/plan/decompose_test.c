/* Bounds and plans of the decomposition. ES_SEED=n replays one seed of the random instances. */
#include "base/file.h"
#include "es_test.h"
#include "plan/decompose.h"
#include "plan/family.h"
#include "plan/placement_instance.h"
#include "plan/random_scenario.h"

#include <math.h>

enum { SEED_COUNT = 60, KNAPSACK_SEEDS = 200, ARENA_BYTES = 1 << 30 };

static void assert_near(double got, double wanted, double tolerance)
{
    if (!(fabs(got - wanted) <= tolerance) && got != wanted)
        fail_msg("%.17g is not %.17g", got, wanted);
}

static es_deadline deadline_in(double seconds)
{
    es_clock *clock = es_clock_system();
    return (es_deadline){clock, es_clock_now_ns(clock) + es_ns_from_s(seconds)};
}

/* Whether a solution keeps every constraint of the problem, by plain sums. */
static const char *find_fault(es_arena *arena, const es_problem *problem, const es_solution *s)
{
    static const double SLACK = 1e-6;
    double *memory = ES_TAKE_ARRAY(arena, double, problem->node_count);
    double *compute = ES_TAKE_ARRAY(arena, double, problem->node_count);
    double *link = ES_TAKE_ARRAY(arena, double, problem->link_row_count);
    assert_true(memory != NULL && compute != NULL && link != NULL);
    for (uint32_t h = 0; h < problem->host_count; h++)
        memory[problem->hosts[h].node.index] += s->host_on[h] ? problem->hosts[h].memory_bytes : 0;
    for (uint32_t r = 0; r < problem->class_count; r++) {
        double sum = s->refused[r];
        double quality = 0.0;
        double rate = es_problem_rate(problem, r);
        if (s->refused[r] > SLACK && !problem->class_off[r] && !isfinite(problem->refusal_cost))
            return "refused where it must not";
        for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++) {
            const es_path *path = &problem->paths[p];
            double x = s->shares[p];
            if (x < 0.0 || (x > 0.0 && !es_path_allowed(problem, r, path)))
                return "a share where none may be";
            sum += x;
            quality += x * (path->quality - problem->quality_min[r]);
            for (uint32_t k = path->stage_first;
                 x > 0.0 && k < path->stage_first + path->stage_count; k++) {
                uint32_t h = problem->stage_hosts[k];
                if (!s->host_on[h])
                    return "a host that is not open";
                compute[problem->hosts[h].node.index] += x * rate * problem->stage_loads[k];
            }
            for (uint32_t i = path->use_first; i < path->use_first + path->use_count; i++)
                link[problem->uses[i].row] += x * rate * problem->uses[i].bits;
        }
        if (fabs(sum - 1.0) > SLACK)
            return "shares that do not add up to 1";
        if (quality < -SLACK)
            return "quality below the least";
    }
    for (uint32_t v = 0; v < problem->node_count; v++) {
        if (memory[v] > problem->memory_bytes[v] * (1.0 + SLACK))
            return "memory";
        if (compute[v] > problem->compute_s[v] * (1.0 + SLACK))
            return "compute";
    }
    for (uint32_t i = 0; i < problem->link_row_count; i++)
        if (link[i] > problem->link_bps[i] * (1.0 + SLACK))
            return "bandwidth";
    return NULL;
}

static bool has_solution(const es_solution *solution)
{
    return solution->quality == ES_PLAN_OPTIMAL || solution->quality == ES_PLAN_FEASIBLE;
}

/* ---- the knapsack against all choices ---- */

typedef struct small_knapsack {
    uint32_t first[6];
    es_knapsack_item items[16];
    es_knapsack knapsack;
} small_knapsack;

static void draw_knapsack(uint64_t seed, small_knapsack *small)
{
    es_rng rng = es_rng_make(seed, 3);
    uint32_t count = 0;
    *small = (small_knapsack){0};
    for (uint32_t g = 0; g < 5; g++) {
        uint32_t size = 1 + (uint32_t)es_rng_below(&rng, 3);
        for (uint32_t i = 0; i < size; i++)
            small->items[count++] = (es_knapsack_item){.weight = es_rng_double(&rng),
                                                       .value = es_rng_double(&rng) - 0.2,
                                                       .set = (uint8_t)(i + 1)};
        small->first[g + 1] = count;
    }
    small->knapsack = (es_knapsack){.group_count = 5,
                                    .first = small->first,
                                    .items = small->items,
                                    .capacity = 2.0 * es_rng_double(&rng)};
}

/* Largest value over all choices; with item `with` chosen (NONE: any), group `without` empty. */
static double try_all(const es_knapsack *k, uint32_t with, uint32_t without)
{
    double best = -INFINITY;
    uint32_t total = 1;
    for (uint32_t g = 0; g < k->group_count; g++)
        total *= k->first[g + 1] - k->first[g] + 1;
    for (uint32_t code = 0; code < total; code++) {
        double weight = 0.0;
        double value = 0.0;
        bool fine = with == ES_INDEX_NONE;
        uint32_t rest = code;
        for (uint32_t g = 0; g < k->group_count; g++) {
            uint32_t size = k->first[g + 1] - k->first[g] + 1;
            uint32_t pick = rest % size;
            rest /= size;
            if (pick == 0)
                continue;
            uint32_t item = k->first[g] + pick - 1;
            weight += k->items[item].weight;
            value += k->items[item].value;
            fine = fine || item == with;
            if (g == without)
                weight = INFINITY;
        }
        if (fine && weight <= k->capacity)
            best = fmax(best, value);
    }
    return best;
}

static void test_knapsack_equals_all_choices(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(ARENA_BYTES);
    es_knapsack_room *room = NULL;
    es_error err = {0};
    assert_ok_err(es_knapsack_room_new(arena, 5, &room, &err), err);
    for (uint64_t seed = 0; seed < KNAPSACK_SEEDS; seed++) {
        small_knapsack small;
        uint8_t sets[5];
        double with[16];
        double without[5];
        draw_knapsack(seed, &small);
        double value = es_knapsack_solve(room, &small.knapsack, sets);
        assert_near(value, try_all(&small.knapsack, ES_INDEX_NONE, ES_INDEX_NONE), 1e-12);
        es_knapsack_each(room, &small.knapsack, with, without);
        for (uint32_t g = 0; g < 5; g++)
            assert_near(without[g], try_all(&small.knapsack, ES_INDEX_NONE, g), 1e-12);
        for (uint32_t i = 0; i < small.first[5]; i++) {
            double all = try_all(&small.knapsack, i, ES_INDEX_NONE);
            assert_true(with[i] == all || fabs(with[i] - all) < 1e-12);
        }
    }
    es_arena_free(arena);
}

/* ---- and larger ones against a table over whole weights ---- */

enum { WIDE_GROUPS = 40, WIDE_ITEMS = WIDE_GROUPS * 7, WIDE_CAPACITY = 60 };

typedef struct wide_knapsack {
    uint32_t first[WIDE_GROUPS + 1];
    es_knapsack_item items[WIDE_ITEMS];
    es_knapsack knapsack;
} wide_knapsack;

static void draw_wide(uint64_t seed, wide_knapsack *wide)
{
    es_rng rng = es_rng_make(seed, 4);
    uint32_t count = 0;
    wide->first[0] = 0;
    for (uint32_t g = 0; g < WIDE_GROUPS; g++) {
        uint32_t size = (uint32_t)es_rng_below(&rng, 8);
        for (uint32_t i = 0; i < size; i++) {
            double weight = (double)es_rng_below(&rng, seed % 2 == 0 ? 40 : 9);
            /* Values near weights: the hard case. */
            double value = weight + 3.0 * es_rng_double(&rng) - 1.0;
            wide->items[count++] =
                (es_knapsack_item){.weight = weight, .value = value, .set = (uint8_t)(i + 1)};
        }
        wide->first[g + 1] = count;
    }
    wide->knapsack =
        (es_knapsack){WIDE_GROUPS, wide->first, wide->items, (double)(20 + seed % WIDE_CAPACITY)};
}

static double by_table(const es_knapsack *k)
{
    double best[20 + WIDE_CAPACITY + 1] = {0};
    uint32_t capacity = (uint32_t)k->capacity;
    for (uint32_t g = 0; g < k->group_count; g++)
        for (uint32_t room = capacity + 1; room-- > 0;) {
            double most = best[room];
            for (uint32_t i = k->first[g]; i < k->first[g + 1]; i++)
                if (k->items[i].weight <= (double)room)
                    most =
                        fmax(most, k->items[i].value + best[room - (uint32_t)k->items[i].weight]);
            best[room] = most;
        }
    return best[capacity];
}

static void test_wide_knapsack_equals_table(void **state)
{
    (void)state;
    static wide_knapsack wide;
    es_arena *arena = es_arena_new(ARENA_BYTES);
    es_knapsack_room *room = NULL;
    es_error err = {0};
    assert_ok_err(es_knapsack_room_new(arena, WIDE_GROUPS, &room, &err), err);
    for (uint64_t seed = 0; seed < KNAPSACK_SEEDS; seed++) {
        uint8_t sets[WIDE_GROUPS];
        double weight = 0.0;
        double chosen = 0.0;
        draw_wide(seed, &wide);
        double value = es_knapsack_solve(room, &wide.knapsack, sets);
        assert_near(value, by_table(&wide.knapsack), 1e-9);
        for (uint32_t g = 0; g < WIDE_GROUPS; g++)
            if (sets[g] != 0) {
                weight += wide.items[wide.first[g] + sets[g] - 1].weight;
                chosen += wide.items[wide.first[g] + sets[g] - 1].value;
            }
        assert_near(chosen, value, 1e-9);
        assert_true(weight <= wide.knapsack.capacity);
    }
    es_arena_free(arena);
}

/* ---- random scenarios: bound <= exact <= decomposition ---- */

static es_random_shape shape_of(uint64_t seed)
{
    es_random_shape shape = es_random_shape_default();
    shape.device_count = 1 + (uint32_t)(seed % 4);
    shape.edge_count = (uint32_t)(seed / 4 % 3);
    shape.long_count = (uint32_t)(seed / 3 % 3);
    shape.tightness = (double)(seed % 5) * 0.3;
    shape.refusal_cost = seed % 3 == 0 ? 3.0 : (double)INFINITY;
    shape.idle_per_j = seed % 2 == 0 ? 0.002 : 0.0;
    shape.replicas_min = seed % 7 == 0 ? 2 : 1;
    return shape;
}

static es_problem *problem_of(es_arena *arena, uint64_t seed, const es_scenario **out_scenario)
{
    es_scenario *scenario = NULL;
    es_problem *problem = NULL;
    es_error err = {0};
    assert_ok_err(es_random_scenario(arena, seed, shape_of(seed), &scenario, &err), err);
    assert_ok_err(es_problem_build(arena, scenario, es_problem_opts_default(), &problem, &err),
                  err);
    *out_scenario = scenario;
    return problem;
}

static void assert_accepted(es_arena *arena, const es_problem *problem, const es_solution *found,
                            const es_scenario *scenario, uint64_t seed)
{
    const es_plan *plan = NULL;
    const es_plan_violation *violations;
    size_t count;
    es_error err = {0};
    assert_ok_err(
        es_plan_from_solution(arena, problem, found, ES_PLAN_GREEDY, 1e-4, NULL, &plan, &err), err);
    assert_ok_err(es_plan_check(arena, plan, scenario, 1e-6, &violations, &count, &err), err);
    if (count > 0)
        fail_msg("seed %" PRIu64 ": %s", seed, violations[0].text);
}

static void test_bound_exact_decomposition(void **state)
{
    (void)state;
    uint64_t first = es_test_seed(0);
    uint64_t end = getenv("ES_SEED") != NULL ? first + 1 : SEED_COUNT;
    double worst = 0.0;
    int compared = 0;
    for (uint64_t seed = first; seed < end; seed++) {
        es_arena *arena = es_arena_new(ARENA_BYTES);
        const es_scenario *scenario;
        es_problem *problem = problem_of(arena, seed, &scenario);
        es_plan_opts opts = es_plan_opts_default();
        es_deadline deadline = deadline_in(5.0);
        es_solution *exact;
        es_solution *found;
        es_error err = {0};
        assert_ok_err(es_solve_exact(arena, problem, &opts, &deadline, NULL, &exact, &err), err);
        deadline = deadline_in(0.3);
        assert_ok_err(es_solve_decomposition(arena, problem, &opts, &deadline, NULL, &found, &err),
                      err);
        if (has_solution(found)) {
            assert_true(has_solution(exact));
            assert_accepted(arena, problem, found, scenario, seed);
        }
        if (has_solution(exact)) {
            double cost = es_solution_cost(problem, exact);
            if (found->bound > cost + 1e-6 * fabs(cost))
                fail_msg("seed %" PRIu64 ": bound %.9g above the optimum %.9g", seed, found->bound,
                         cost);
        }
        if (has_solution(exact) && has_solution(found)) {
            double cost = es_solution_cost(problem, found);
            if (cost < exact->bound - 1e-6 * fabs(cost))
                fail_msg("seed %" PRIu64 ": cost %.9g below the bound %.9g", seed, cost,
                         exact->bound);
            worst = fmax(worst, cost / es_solution_cost(problem, exact) - 1.0);
            compared++;
        }
        es_arena_free(arena);
    }
    print_message("worst above exact %.4f %% over %d instances\n", 100.0 * worst, compared);
    assert_true(getenv("ES_SEED") != NULL || compared >= SEED_COUNT / 3);
}

/* Forcing a host open or closed never lowers the probed bound below what the forced problem has. */
static void test_probe_bounds_forced_problems(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 20; seed += 3) {
        es_arena *arena = es_arena_new(ARENA_BYTES);
        es_family family = {.node_count = 4,
                            .variant_count = 10,
                            .class_count = 12,
                            .stage_max = 2,
                            .tightness = 0.8};
        es_problem *problem = NULL;
        es_layout layout;
        es_ascent ascent;
        es_error err = {0};
        es_deadline deadline = deadline_in(5.0);
        assert_ok_err(es_family_make(arena, seed, family, &problem, &err), err);
        assert_ok_err(es_layout_build(arena, problem, &layout, &err), err);
        assert_ok_err(es_ascent_init(&ascent, arena, &layout, &err), err);
        (void)es_ascent_run(&ascent, 200, 0.0, &deadline);
        double *open = ES_TAKE_ARRAY(arena, double, problem->host_count);
        double *closed = ES_TAKE_ARRAY(arena, double, problem->host_count);
        uint8_t *fixing = ES_TAKE_ARRAY(arena, uint8_t, problem->host_count);
        assert_true(open != NULL && closed != NULL && fixing != NULL);
        es_relaxed_solve(&layout, &ascent.best, NULL, &ascent.room, &ascent.answer);
        es_relaxed_probe(&layout, &ascent.best, NULL, &ascent.answer, &ascent.room, open, closed);
        double value = ascent.answer.value;
        assert_near(value, ascent.bound, 1e-9 * fabs(value));
        for (uint32_t h = 0; h < problem->host_count; h++) {
            /* One of the two is what the free choice made. */
            assert_near(fmin(open[h], closed[h]), value, 1e-6 * fabs(value));
            fixing[h] = ES_FIX_CLOSED;
            es_relaxed_solve(&layout, &ascent.best, fixing, &ascent.room, &ascent.answer);
            assert_true(ascent.answer.value >= closed[h] - 1e-6 * fabs(value));
            fixing[h] = ES_FIX_OPEN;
            es_relaxed_solve(&layout, &ascent.best, fixing, &ascent.room, &ascent.answer);
            if (isfinite(open[h]))
                assert_near(ascent.answer.value, open[h], 1e-6 * fabs(value));
            fixing[h] = ES_FIX_FREE;
            es_relaxed_solve(&layout, &ascent.best, NULL, &ascent.room, &ascent.answer);
        }
        es_arena_free(arena);
    }
}

/* Solves a member of a family; its cost. */
static double solve_family(es_family family)
{
    es_arena *arena = es_arena_new((size_t)4 << 30);
    es_problem *problem = NULL;
    es_solution *found;
    es_error err = {0};
    es_plan_opts opts = es_plan_opts_default();
    opts.gap_relative = family.stage_max == 1 ? 0.2 : 0.05;
    es_deadline deadline = deadline_in(60.0);
    assert_ok_err(es_family_make(arena, 7, family, &problem, &err), err);
    assert_ok_err(es_solve_decomposition(arena, problem, &opts, &deadline, NULL, &found, &err),
                  err);
    assert_true(has_solution(found));
    const char *fault = find_fault(arena, problem, found);
    if (fault != NULL)
        fail_msg("%s", fault);
    double cost = es_solution_cost(problem, found);
    if (found->bound > cost)
        fail_msg("bound %.17g above cost %.17g", found->bound, cost);
    assert_true(found->quality == ES_PLAN_OPTIMAL);
    es_arena_free(arena);
    return cost;
}

static void test_families_are_feasible_and_repeat(void **state)
{
    (void)state;
    es_family family = es_family_default();
    family.node_count = 30;
    family.class_count = 120;
    family.stage_max = 1;
    assert_true(solve_family(family) == solve_family(family));
    family.form = ES_FAMILY_TIERS;
    family.stage_max = 3;
    assert_true(solve_family(family) == solve_family(family));
}

/* ---- descent ---- */

/* Hosts within memory, and a value that the best routing over them does not exceed. */
static void assert_descended(es_arena *arena, const es_problem *problem, const es_descent *descent)
{
    const bool *on = es_descent_hosts(descent);
    es_solution *routed = NULL;
    es_error err = {0};
    for (uint32_t v = 0; v < problem->node_count; v++) {
        double used = 0.0;
        for (uint32_t i = problem->node_host_first[v]; i < problem->node_host_first[v + 1]; i++)
            if (on[problem->node_hosts[i]])
                used += problem->hosts[problem->node_hosts[i]].memory_bytes;
        assert_true(used <= problem->memory_bytes[v] * (1.0 + 1e-9));
    }
    assert_ok_err(es_solve_routing(arena, problem, on, &routed, &err), err);
    assert_true(has_solution(routed));
    double cost = es_solution_cost(problem, routed);
    if (cost > es_descent_value(descent) * (1.0 + 1e-7))
        fail_msg("routed %.17g above %.17g", cost, es_descent_value(descent));
}

static void test_descent_keeps_feasible_and_falls(void **state)
{
    (void)state;
    int fell = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        es_arena *arena = es_arena_new(ARENA_BYTES);
        es_family family = {.form = seed % 2 == 0 ? ES_FAMILY_TIERS : ES_FAMILY_FLAT,
                            .node_count = 20,
                            .variant_count = 10,
                            .class_count = 60,
                            .stage_max = 1 + (uint32_t)seed % 3,
                            .tightness = 1.0};
        es_problem *problem = NULL;
        es_layout layout;
        es_ascent ascent;
        es_descent *descent = NULL;
        es_solution *nothing = NULL;
        es_error err = {0};
        es_deadline deadline = deadline_in(5.0);
        assert_ok_err(es_family_make(arena, seed, family, &problem, &err), err);
        assert_ok_err(es_layout_build(arena, problem, &layout, &err), err);
        assert_ok_err(es_ascent_init(&ascent, arena, &layout, &err), err);
        (void)es_ascent_run(&ascent, 100, 0.0, &deadline);
        assert_ok_err(es_solution_new(arena, problem, &nothing, &err), err);
        assert_ok_err(es_descent_new(arena, &layout, seed, &descent, &err), err);
        es_descent_start(descent, &ascent.best, nothing);
        double empty = es_descent_value(descent);
        es_descent_sweep(descent, 5);
        double swept = es_descent_value(descent);
        assert_true(swept <= empty);
        fell += swept < 0.9 * empty ? 1 : 0;
        assert_descended(arena, problem, descent);
        for (int i = 0; i < 100; i++)
            (void)es_descent_kick(descent, 0.0);
        assert_true(es_descent_value(descent) <= swept + 1e-9 * swept);
        if (es_descent_value(descent) < ascent.bound * (1.0 - 1e-9))
            fail_msg("seed %llu: %.17g below the bound %.17g", (unsigned long long)seed,
                     es_descent_value(descent), ascent.bound);
        assert_descended(arena, problem, descent);
        es_arena_free(arena);
    }
    /* Some draws have no memory for any model. */
    assert_true(fell >= 15);
}

/* ---- published-style instances ---- */

static void reach_optimum(const char *name)
{
    const char *path = es_test_data(name);
    if (path == NULL)
        skip();
    es_arena *arena = es_arena_new((size_t)4 << 30);
    es_placement_instance instance;
    es_solution *found;
    es_error err = {0};
    es_plan_opts opts = es_plan_opts_default();
    es_deadline deadline = deadline_in(30.0);
    assert_ok_err(es_placement_instance_load(arena, path, &instance, &err), err);
    assert_ok_err(
        es_solve_decomposition(arena, instance.problem, &opts, &deadline, NULL, &found, &err), err);
    const char *fault = find_fault(arena, instance.problem, found);
    if (fault != NULL)
        fail_msg("%s: %s", name, fault);
    double cost = es_solution_cost(instance.problem, found);
    assert_int_equal(found->quality, ES_PLAN_OPTIMAL);
    /* The file's optimum is proven to 0.01 %. */
    assert_true(found->bound <= instance.optimum * (1.0 + 1e-9));
    assert_true(cost >= instance.optimum * (1.0 - 1e-4));
    assert_true(cost <= instance.optimum * (1.0 + 1e-4));
    assert_true(found->bound > instance.lp_bound);
    es_arena_free(arena);
}

static void test_p60_optimum(void **state)
{
    (void)state;
    reach_optimum("placement/p60.json.gz");
}

static void test_p60_tight_optimum(void **state)
{
    (void)state;
    reach_optimum("placement/p60-tight.json.gz");
}

static void test_instance_errors_name_the_place(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(ARENA_BYTES);
    es_placement_instance instance;
    es_error err = {0};
    const char *path = ES_TEST_BINARY_DIR "/decompose_test_bad.json";
    const char text[] = "{\"name\": \"bad\", \"known\": {}, \"nodes\": [{\"memory\": -1, "
                        "\"compute\": 1}], \"hosting\": [], \"classes\": []}";
    assert_ok_err(es_file_write(path, text, sizeof text - 1, &err), err);
    assert_fails(es_placement_instance_load(arena, path, &instance, &err), ES_ERR_PARSE, err,
                 "memory");
    (void)remove(path); /* a leftover does no harm */
    es_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_knapsack_equals_all_choices),
        cmocka_unit_test(test_wide_knapsack_equals_table),
        cmocka_unit_test(test_bound_exact_decomposition),
        cmocka_unit_test(test_probe_bounds_forced_problems),
        cmocka_unit_test(test_families_are_feasible_and_repeat),
        cmocka_unit_test(test_descent_keeps_feasible_and_falls),
        cmocka_unit_test(test_p60_optimum),
        cmocka_unit_test(test_p60_tight_optimum),
        cmocka_unit_test(test_instance_errors_name_the_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
