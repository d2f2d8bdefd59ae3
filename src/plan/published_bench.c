/* Published instances with known optima: published_bench [CSV [SECONDS_EACH [SECONDS_TOTAL]]].
 * The table goes to CSV, what it comes to as JSON to stdout. Without arguments a minute's worth. */
#include "base/file.h"
#include "es_bench.h"
#include "plan/or_instances.h"
#include "plan/plan.h"

static const double GAP_RELATIVE = 1e-6;

typedef struct tally {
    es_text csv;
    size_t solved; /* plans found */
    size_t finished;
    size_t wrong;
    size_t count;
    double gaps[1024];
} tally;

/* Above a known optimum's value a bound is wrong, below it a plan is. */
static bool is_wrong(const es_or_instance *given, const es_plan *plan)
{
    double slack = given->tolerance * fabs(given->known_high);
    if (isfinite(plan->objective) && plan->objective < given->known_low - slack)
        return true;
    if (isfinite(plan->bound) && plan->bound > given->known_high + slack)
        return true;
    return plan->quality == ES_PLAN_INFEASIBLE ||
           (plan->quality == ES_PLAN_OPTIMAL && given->known_low >= given->known_high &&
            plan->objective > given->known_high * (1.0 + GAP_RELATIVE) + slack);
}

/* The independent checker's opinion counts too. */
static bool is_accepted(es_arena *arena, const es_plan *plan, const es_scenario *scenario)
{
    const es_plan_violation *violations;
    size_t count = 0;
    es_error err = {0};
    if (es_plan_check(arena, plan, scenario, 1e-6, &violations, &count, &err) != ES_OK)
        return false;
    if (count > 0)
        (void)fprintf(stderr, "%s: %s\n", scenario->name, violations[0].text);
    return count == 0;
}

static bool run_one(tally *t, es_or_set set, const char *folder, const char *name, double limit_s)
{
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)4 << 30);
    es_or_instance given;
    const es_plan *plan;
    es_error err = {0};
    es_plan_opts opts = es_plan_opts_default();
    opts.method = ES_PLAN_EXACT;
    opts.gap_relative = GAP_RELATIVE;
    opts.time_limit_s = limit_s;
    es_clock *clock = es_clock_system();
    if (arena == NULL || es_or_load(arena, set, folder, name, &given, &err) != ES_OK) {
        (void)fprintf(stderr, "%s: %s\n", name, es_error_text(&err));
        return false;
    }
    int64_t start_ns = es_clock_now_ns(clock);
    if (es_plan_solve(arena, given.scenario, opts, &plan, &err) != ES_OK) {
        (void)fprintf(stderr, "%s: %s\n", name, es_error_text(&err));
        return false;
    }
    double took_s = es_s_from_ns(es_clock_now_ns(clock) - start_ns);
    bool wrong = is_wrong(&given, plan) || !is_accepted(arena, plan, given.scenario);
    bool exact = given.known_low >= given.known_high;
    t->wrong += wrong ? 1 : 0;
    t->finished += plan->quality == ES_PLAN_OPTIMAL ? 1 : 0;
    if (isfinite(plan->objective))
        t->solved++;
    t->gaps[t->count++] = isfinite(plan->gap_relative) ? 100.0 * plan->gap_relative : 100.0;
    es_text_format(&t->csv, "%s,%s,%.10g,%s,%.10g,%.10g,%.3g,%.2f,%s,%s,%s\n", es_or_set_names[set],
                   name, given.known_low, exact ? "optimum" : "bound", plan->objective, plan->bound,
                   plan->gap_relative, took_s, es_plan_method_names[plan->method],
                   es_plan_quality_names[plan->quality], wrong ? "WRONG" : "ok");
    (void)fprintf(stderr, "%-13s %-24s known %-12.9g ours %-12.9g bound %-12.9g %6.2f s %s%s\n",
                  es_or_set_names[set], name, given.known_low, plan->objective, plan->bound, took_s,
                  es_plan_quality_names[plan->quality], wrong ? " WRONG" : "");
    return true;
}

/* Every set has the same share of the total; what one leaves goes to those after it. */
static bool run_all(tally *t, double each_s, double total_s)
{
    static const es_or_set order[] = {ES_OR_CFL, ES_OR_CFL_ORLIB, ES_OR_SSCFLP_ORLIB, ES_OR_UFL,
                                      ES_OR_GAP, ES_OR_SSCFLP,    ES_OR_PMED};
    const char *root = getenv("ESTRAN_DATA");
    es_clock *clock = es_clock_system();
    int64_t start_ns = es_clock_now_ns(clock);
    for (size_t s = 0; s < ES_OR_SET_COUNT; s++) {
        ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)64 << 20);
        const char *const *names;
        size_t count;
        char folder[4096];
        es_error err = {0};
        (void)snprintf(folder, sizeof folder, "%s/%s", root != NULL ? root : "../shared/data",
                       es_or_set_folders[order[s]]);
        if (arena == NULL || es_or_list(arena, order[s], folder, &names, &count, &err) != ES_OK) {
            (void)fprintf(stderr, "skipped: %s (set ESTRAN_DATA)\n", es_error_text(&err));
            continue;
        }
        double end_s = total_s * (double)(s + 1) / ES_OR_SET_COUNT;
        for (size_t i = 0; i < count && t->count < sizeof t->gaps / sizeof *t->gaps; i++) {
            if (es_s_from_ns(es_clock_now_ns(clock) - start_ns) > end_s)
                break;
            if (!run_one(t, order[s], folder, names[i], each_s))
                return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    static tally t;
    double each_s = argc > 2 ? strtod(argv[2], NULL) : 2.0;
    double total_s = argc > 3 ? strtod(argv[3], NULL) : 60.0;
    es_error err = {0};
    es_text_init(&t.csv, (size_t)16 << 20);
    es_text_append(&t.csv, "set,instance,known,known_is,ours,bound,gap_relative,seconds,method,"
                           "quality,verdict\n");
    if (!(each_s > 0.0) || !(total_s > 0.0) || !run_all(&t, each_s, total_s))
        return 1;
    if (argc > 1 && es_file_write(argv[1], es_text_get(&t.csv), t.csv.size, &err) != ES_OK) {
        (void)fprintf(stderr, "%s\n", es_error_text(&err));
        return 1;
    }
    es_text_done(&t.csv);
    es_bench bench = {0};
    es_bench_add(&bench, "plan: published instances tried", (double)t.count, "", "higher",
                 (double)NAN);
    es_bench_add(&bench, "plan: published optima reproduced with proof", (double)t.finished, "",
                 "higher", (double)NAN);
    es_bench_add(&bench, "plan: published instances with a plan", (double)t.solved, "", "higher",
                 (double)t.count);
    es_bench_add(&bench, "plan: published instances answered wrongly", (double)t.wrong, "", "lower",
                 0.0);
    if (t.count > 0)
        es_bench_add(&bench, "plan: median gap on published instances",
                     es_bench_median(t.gaps, t.count), "%", "lower", (double)NAN);
    return es_bench_print(&bench);
}
