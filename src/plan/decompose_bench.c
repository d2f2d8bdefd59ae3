/*
 * Times and gaps of the decomposition, as a JSON array on stdout.
 *
 *     plan_decompose_bench [p60|p300|family|hard|replan|growth]…
 *
 * The data folder (ESTRAN_DATA, else ../shared/data) holds placement/p60.json.gz and its like; what
 * needs them is skipped without. Without names all parts run three times, about 25 minutes; a
 * figure is the median, and "spread" follows where it is a target's.
 */
#include "base/text.h"
#include "plan/decompose.h"
#include "plan/family.h"
#include "plan/placement_instance.h"

#include <math.h>
#include <stdio.h>
#include <sys/resource.h>

enum { THREADS = 2 };
static const uint64_t SEED = 1;
static const size_t ARENA_BYTES = (size_t)6 << 30;

typedef struct bench {
    const char *folder;
    es_json json;
    es_error err;
} bench;

typedef struct measured {
    double wall_s;
    double cpu_s;
    double gap; /* of the cost */
} measured;

static double now_s(void)
{
    return es_s_from_ns(es_clock_now_ns(es_clock_system()));
}

static double cpu_s(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage); /* cannot fail with these arguments */
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static double peak_bytes(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage); /* as above */
    return 1024.0 * (double)usage.ru_maxrss;
}

static void put_row(bench *b, const char *what, double value, const char *unit, const char *better,
                    const char *target)
{
    es_json_map_begin(&b->json);
    es_json_put_text(&b->json, "what", what);
    es_json_put_number(&b->json, "value", value);
    es_json_put_text(&b->json, "unit", unit);
    es_json_put_text(&b->json, "better", better);
    es_json_put_text(&b->json, "target", target);
    es_json_map_end(&b->json);
    (void)fprintf(stderr, "%-44s %12.6g %s (target %s)\n", what, value, unit,
                  target != NULL ? target : "none");
}

static es_deadline deadline_in(double seconds)
{
    es_clock *clock = es_clock_system();
    return (es_deadline){clock, es_clock_now_ns(clock) + es_ns_from_s(seconds)};
}

static double gap_of(const es_problem *problem, const es_solution *solution)
{
    if (solution->quality != ES_PLAN_OPTIMAL && solution->quality != ES_PLAN_FEASIBLE)
        return INFINITY;
    double cost = es_solution_cost(problem, solution);
    return (cost - solution->bound) / fmax(fabs(cost), 1e-9);
}

static es_status solve(bench *b, es_arena *arena, const es_problem *problem, double limit_s,
                       double gap, uint32_t threads, const es_solution *start,
                       es_decompose_memory *memory, es_solution **out, measured *m)
{
    es_plan_opts opts = es_plan_opts_default();
    opts.gap_relative = gap;
    opts.thread_count = threads;
    es_deadline deadline = deadline_in(limit_s);
    double wall = now_s();
    double cpu = cpu_s();
    es_decompose_memory kept = {0};
    ES_TRY(es_solve_decomposition_warm(arena, problem, &opts, &deadline, start,
                                       start != NULL ? memory : NULL, out, &kept, NULL, &b->err));
    *m = (measured){now_s() - wall, cpu_s() - cpu, gap_of(problem, *out)};
    if (memory != NULL)
        *memory = kept;
    return ES_OK;
}

/* (a) both 60-node instances to 0.01 %, and the exact solver beside. */
static es_status bench_p60(bench *b, const char *name)
{
    static const double LIMIT_S = 120.0;
    char what[64];
    es_placement_instance instance;
    es_solution *solution;
    measured ours;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(ARENA_BYTES);
    if (arena == NULL)
        return es_fail(&b->err, ES_ERR_NOMEM, "no memory");
    char *path = es_arena_format(arena, "%s/%s.json.gz", b->folder, name);
    ES_TRY(es_placement_instance_load(arena, path, &instance, &b->err));
    ES_TRY(solve(b, arena, instance.problem, LIMIT_S, 1e-4, 1, NULL, NULL, &solution, &ours));
    es_plan_opts opts = es_plan_opts_default();
    es_deadline deadline = deadline_in(LIMIT_S);
    double cpu = cpu_s();
    ES_TRY(es_solve_exact(arena, instance.problem, &opts, &deadline, NULL, &solution, &b->err));
    cpu = cpu_s() - cpu;
    (void)snprintf(what, sizeof what, "%s: gap", name);
    put_row(b, what, 100.0 * ours.gap, "%", "lower", "0.01");
    (void)snprintf(what, sizeof what, "%s: cpu to 0.01 %%", name);
    put_row(b, what, ours.cpu_s, "s", "lower", NULL);
    (void)snprintf(what, sizeof what, "%s: cpu of cbc to 0.01 %%", name);
    put_row(b, what, cpu, "s", "lower", NULL);
    (void)snprintf(what, sizeof what, "%s: cbc over ours", name);
    put_row(b, what, cpu / ours.cpu_s, "times", "higher", "5");
    return ES_OK;
}

/* (b) */
static es_status bench_p300(bench *b, double limit_s, const char *target)
{
    char what[64];
    es_placement_instance instance;
    es_solution *solution;
    measured m;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(ARENA_BYTES);
    if (arena == NULL)
        return es_fail(&b->err, ES_ERR_NOMEM, "no memory");
    char *path = es_arena_format(arena, "%s/p300-tight.json.gz", b->folder);
    ES_TRY(es_placement_instance_load(arena, path, &instance, &b->err));
    ES_TRY(solve(b, arena, instance.problem, limit_s, 1e-4, THREADS, NULL, NULL, &solution, &m));
    (void)snprintf(what, sizeof what, "p300-tight: gap at %.0f s", limit_s);
    put_row(b, what, 100.0 * m.gap, "%", "lower", target);
    (void)snprintf(what, sizeof what, "p300-tight: cpu at %.0f s", limit_s);
    put_row(b, what, m.cpu_s, "s", "lower", NULL);
    (void)snprintf(what, sizeof what, "p300-tight: bound at %.0f s", limit_s);
    put_row(b, what, solution->bound, "per second", "higher", NULL);
    (void)snprintf(what, sizeof what, "p300-tight: cost at %.0f s", limit_s);
    put_row(b, what, es_solution_cost(instance.problem, solution), "per second", "lower", NULL);
    return ES_OK;
}

/* (c) stops at 3 %. */
static es_status bench_family(bench *b, uint32_t stage_max)
{
    char what[64];
    es_family family = {.node_count = 1000,
                        .variant_count = 100,
                        .class_count = 10000,
                        .stage_max = stage_max,
                        .tightness = 0.6};
    es_problem *problem;
    es_solution *solution;
    measured m;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(ARENA_BYTES);
    if (arena == NULL)
        return es_fail(&b->err, ES_ERR_NOMEM, "no memory");
    ES_TRY(es_family_make(arena, SEED, family, &problem, &b->err));
    ES_TRY(solve(b, arena, problem, 120.0, 0.03, THREADS, NULL, NULL, &solution, &m));
    (void)snprintf(what, sizeof what, "1000 nodes, %u stages: gap", (unsigned)stage_max);
    put_row(b, what, 100.0 * m.gap, "%", "lower", "3");
    (void)snprintf(what, sizeof what, "1000 nodes, %u stages: wall", (unsigned)stage_max);
    put_row(b, what, m.wall_s, "s", "lower", "120");
    (void)snprintf(what, sizeof what, "1000 nodes, %u stages: cpu", (unsigned)stage_max);
    put_row(b, what, m.cpu_s, "s", "lower", NULL);
    (void)snprintf(what, sizeof what, "1000 nodes, %u stages: peak memory", (unsigned)stage_max);
    put_row(b, what, peak_bytes() / 1073741824.0, "GiB", "lower", "4");
    return ES_OK;
}

/* (d) to 2 % cold, and after 5 % of the demand changed. */
static es_status bench_replan(bench *b)
{
    es_family family = es_family_default();
    es_problem *problem;
    es_solution *cold;
    es_solution *again;
    es_decompose_memory memory;
    measured first;
    measured second;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(ARENA_BYTES);
    if (arena == NULL)
        return es_fail(&b->err, ES_ERR_NOMEM, "no memory");
    family.form = ES_FAMILY_TIERS;
    ES_TRY(es_family_make(arena, SEED, family, &problem, &b->err));
    ES_TRY(solve(b, arena, problem, 60.0, 0.02, THREADS, NULL, &memory, &cold, &first));
    family.changed_share = 0.05;
    ES_TRY(es_family_make(arena, SEED, family, &problem, &b->err));
    ES_TRY(solve(b, arena, problem, 60.0, 0.02, THREADS, cold, &memory, &again, &second));
    put_row(b, "replan: cold cpu to 2 %", first.cpu_s, "s", "lower", NULL);
    put_row(b, "replan: warm cpu to 2 %", second.cpu_s, "s", "lower", NULL);
    put_row(b, "replan: warm gap", 100.0 * second.gap, "%", "lower", "2");
    put_row(b, "replan: warm over cold", 100.0 * second.cpu_s / first.cpu_s, "%", "lower", "10");
    return ES_OK;
}

/* Slope of a line through points on logarithmic axes. */
static double log_slope(const double *x, const double *y, int count)
{
    double sx = 0.0;
    double sy = 0.0;
    double sxx = 0.0;
    double sxy = 0.0;
    for (int i = 0; i < count; i++) {
        double lx = log(x[i]);
        double ly = log(fmax(y[i], 1e-6));
        sx += lx;
        sy += ly;
        sxx += lx * lx;
        sxy += lx * ly;
    }
    return (count * sxy - sx * sy) / (count * sxx - sx * sx);
}

/* (e) five classes per node, one stage, to 3 %. */
static es_status bench_growth(bench *b)
{
    enum { SIZES = 5 };
    static const uint32_t NODES[SIZES] = {50, 125, 300, 750, 2000};
    double x[SIZES];
    double seconds[SIZES];
    double bytes[SIZES];
    for (int i = 0; i < SIZES; i++) {
        es_family family = es_family_default();
        es_problem *problem;
        es_solution *solution;
        measured m;
        char what[64];
        ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(ARENA_BYTES);
        if (arena == NULL)
            return es_fail(&b->err, ES_ERR_NOMEM, "no memory");
        family.node_count = NODES[i];
        family.class_count = 5 * NODES[i];
        family.stage_max = 1;
        ES_TRY(es_family_make(arena, SEED, family, &problem, &b->err));
        ES_TRY(solve(b, arena, problem, 60.0, 0.03, THREADS, NULL, NULL, &solution, &m));
        x[i] = (double)NODES[i];
        seconds[i] = m.cpu_s;
        bytes[i] = (double)es_arena_used_bytes(arena);
        (void)snprintf(what, sizeof what, "%u nodes: cpu to 3 %%", (unsigned)NODES[i]);
        put_row(b, what, m.cpu_s, "s", "lower", NULL);
        (void)snprintf(what, sizeof what, "%u nodes: gap", (unsigned)NODES[i]);
        put_row(b, what, 100.0 * m.gap, "%", "lower", "3");
    }
    put_row(b, "slope of time over nodes", log_slope(x, seconds, SIZES), "exponent", "lower", NULL);
    put_row(b, "slope of memory over nodes", log_slope(x, bytes, SIZES), "exponent", "lower", NULL);
    return ES_OK;
}

static bool wanted(int argc, char **argv, const char *part)
{
    for (int i = 2; i < argc; i++)
        if (strcmp(argv[i], part) == 0)
            return true;
    return argc <= 2;
}

/* Memory first: its peak must not be another part's. */
static es_status run(bench *b, int argc, char **argv)
{
    if (wanted(argc, argv, "family")) {
        ES_TRY(bench_family(b, 1));
        ES_TRY(bench_family(b, 3));
    }
    if (wanted(argc, argv, "p60")) {
        ES_TRY(bench_p60(b, "p60"));
        ES_TRY(bench_p60(b, "p60-tight"));
    }
    if (wanted(argc, argv, "p300")) {
        ES_TRY(bench_p300(b, 20.0, "2"));
        ES_TRY(bench_p300(b, 60.0, "1"));
    }
    if (wanted(argc, argv, "replan"))
        ES_TRY(bench_replan(b));
    if (wanted(argc, argv, "growth"))
        ES_TRY(bench_growth(b));
    return ES_OK;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        (void)fprintf(stderr, "usage: %s DATA_FOLDER [p60|p300|family|replan|growth]...\n",
                      argv[0]);
        return 2;
    }
    es_text text;
    es_text_init(&text, (size_t)1 << 24);
    bench b = {.folder = argv[1]};
    es_json_init(&b.json, &text, false);
    es_json_list_begin(&b.json);
    es_status status = run(&b, argc, argv);
    es_json_list_end(&b.json);
    (void)fputs(es_text_get(&text), stdout);
    if (status != ES_OK)
        (void)fprintf(stderr, "%s\n", es_error_text(&b.err));
    es_text_done(&text);
    return status == ES_OK ? 0 : 1;
}
