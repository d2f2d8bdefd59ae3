/*
 * Times and gaps of the decomposition, medians of three rounds.
 *
 *     plan_decompose_bench [-1] [p60|p300|family|hard|replan|growth]…
 *
 * Without names all parts run, about 20 minutes; -1: one round. Data: placement/p60.json.gz and its
 * like under ESTRAN_DATA, else ../shared/data; parts that need them are skipped without.
 */
#include "base/text.h"
#include "es_bench.h"
#include "plan/decompose.h"
#include "plan/family.h"
#include "plan/placement_instance.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum { THREADS = 2, ROUNDS = 3, FIGURES_MAX = 60 };
static const uint64_t SEED = 1;
static const size_t ARENA_BYTES = (size_t)6 << 30;

/* One figure, a value per round. */
typedef struct figure {
    char what[64];
    const char *unit;
    const char *better;
    double target; /* NAN: none */
    double values[ROUNDS];
    size_t count;
} figure;

typedef struct bench {
    char folder[4096];
    figure figures[FIGURES_MAX];
    size_t figure_count;
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
                    double target)
{
    size_t i = 0;
    while (i < b->figure_count && strcmp(b->figures[i].what, what) != 0)
        i++;
    if (i == FIGURES_MAX)
        return;
    figure *f = &b->figures[i];
    if (i == b->figure_count) {
        b->figure_count++;
        *f = (figure){.unit = unit, .better = better, .target = target};
        (void)snprintf(f->what, sizeof f->what, "%s", what);
    }
    if (f->count < ROUNDS)
        f->values[f->count++] = value;
    (void)fprintf(stderr, "%-44s %12.6g %s\n", what, value, unit);
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
    put_row(b, what, 100.0 * ours.gap, "%", "lower", 0.01);
    (void)snprintf(what, sizeof what, "%s: cpu to 0.01 %%", name);
    put_row(b, what, ours.cpu_s, "s", "lower", (double)NAN);
    (void)snprintf(what, sizeof what, "%s: cpu of cbc to 0.01 %%", name);
    put_row(b, what, cpu, "s", "lower", (double)NAN);
    (void)snprintf(what, sizeof what, "%s: cbc over ours", name);
    put_row(b, what, cpu / ours.cpu_s, "times", "higher", 5);
    return ES_OK;
}

/* (b) */
static es_status bench_p300(bench *b, double limit_s, double target)
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
    put_row(b, what, m.cpu_s, "s", "lower", (double)NAN);
    (void)snprintf(what, sizeof what, "p300-tight: bound at %.0f s", limit_s);
    put_row(b, what, solution->bound, "per second", "higher", (double)NAN);
    (void)snprintf(what, sizeof what, "p300-tight: cost at %.0f s", limit_s);
    put_row(b, what, es_solution_cost(instance.problem, solution), "per second", "lower",
            (double)NAN);
    return ES_OK;
}

/* (c) stops at 3 %. */
static es_status bench_family(bench *b)
{
    es_family family = {.form = ES_FAMILY_TIERS,
                        .node_count = 1000,
                        .variant_count = 100,
                        .class_count = 10000,
                        .stage_max = 3,
                        .tightness = 1.0};
    es_problem *problem;
    es_solution *solution;
    measured m;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(ARENA_BYTES);
    if (arena == NULL)
        return es_fail(&b->err, ES_ERR_NOMEM, "no memory");
    ES_TRY(es_family_make(arena, SEED, family, &problem, &b->err));
    ES_TRY(solve(b, arena, problem, 120.0, 0.03, THREADS, NULL, NULL, &solution, &m));
    put_row(b, "1000 nodes in tiers, 3 stages: gap", 100.0 * m.gap, "%", "lower", 3);
    put_row(b, "1000 nodes in tiers, 3 stages: wall", m.wall_s, "s", "lower", 120);
    put_row(b, "1000 nodes in tiers, 3 stages: cpu", m.cpu_s, "s", "lower", (double)NAN);
    put_row(b, "1000 nodes in tiers, 3 stages: memory", peak_bytes() / 1073741824.0, "GiB", "lower",
            4);
    return ES_OK;
}

/* The worst families found: flat, as tight as p300-tight. */
static es_status bench_hard(bench *b)
{
    for (uint32_t stages = 1; stages <= 3; stages += 2) {
        es_family family = es_family_default();
        es_problem *problem;
        es_solution *solution;
        measured m;
        char what[64];
        ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(ARENA_BYTES);
        if (arena == NULL)
            return es_fail(&b->err, ES_ERR_NOMEM, "no memory");
        family.variant_count = 50;
        family.stage_max = stages;
        ES_TRY(es_family_make(arena, SEED, family, &problem, &b->err));
        ES_TRY(solve(b, arena, problem, 30.0, 1e-4, THREADS, NULL, NULL, &solution, &m));
        (void)snprintf(what, sizeof what, "300 nodes, flat, tight, %u stages: gap at 30 s",
                       (unsigned)stages);
        put_row(b, what, 100.0 * m.gap, "%", "lower", (double)NAN);
    }
    return ES_OK;
}

/* (d) cold, and after 5 % of the demand changed. */
static es_status bench_replan(bench *b, double gap)
{
    es_family family = es_family_default();
    es_problem *problem;
    es_solution *cold;
    es_solution *again;
    es_decompose_memory memory;
    measured first;
    measured second;
    char what[64];
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(ARENA_BYTES);
    if (arena == NULL)
        return es_fail(&b->err, ES_ERR_NOMEM, "no memory");
    family.form = ES_FAMILY_TIERS;
    ES_TRY(es_family_make(arena, SEED, family, &problem, &b->err));
    ES_TRY(solve(b, arena, problem, 60.0, gap, THREADS, NULL, &memory, &cold, &first));
    family.changed_share = 0.05;
    ES_TRY(es_family_make(arena, SEED, family, &problem, &b->err));
    ES_TRY(solve(b, arena, problem, 60.0, gap, THREADS, cold, &memory, &again, &second));
    (void)snprintf(what, sizeof what, "replan to %g %%: cold cpu", 100.0 * gap);
    put_row(b, what, first.cpu_s, "s", "lower", (double)NAN);
    (void)snprintf(what, sizeof what, "replan to %g %%: warm cpu", 100.0 * gap);
    put_row(b, what, second.cpu_s, "s", "lower", (double)NAN);
    (void)snprintf(what, sizeof what, "replan to %g %%: warm gap", 100.0 * gap);
    put_row(b, what, 100.0 * second.gap, "%", "lower", 100.0 * gap);
    (void)snprintf(what, sizeof what, "replan to %g %%: warm over cold", 100.0 * gap);
    put_row(b, what, 100.0 * second.cpu_s / first.cpu_s, "%", "lower", 10.0);
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

/* (e) tiers, five classes per node, three stages, to 3 %. */
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
        family.form = ES_FAMILY_TIERS;
        ES_TRY(es_family_make(arena, SEED, family, &problem, &b->err));
        ES_TRY(solve(b, arena, problem, 60.0, 0.03, THREADS, NULL, NULL, &solution, &m));
        x[i] = (double)NODES[i];
        seconds[i] = m.cpu_s;
        bytes[i] = (double)es_arena_used_bytes(arena);
        (void)snprintf(what, sizeof what, "%u nodes: cpu to 3 %%", (unsigned)NODES[i]);
        put_row(b, what, m.cpu_s, "s", "lower", (double)NAN);
        (void)snprintf(what, sizeof what, "%u nodes: gap", (unsigned)NODES[i]);
        put_row(b, what, 100.0 * m.gap, "%", "lower", 3);
    }
    put_row(b, "slope of time over nodes", log_slope(x, seconds, SIZES), "exponent", "lower",
            (double)NAN);
    put_row(b, "slope of memory over nodes", log_slope(x, bytes, SIZES), "exponent", "lower",
            (double)NAN);
    return ES_OK;
}

static bool wanted(int argc, char **argv, const char *part)
{
    bool any = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], part) == 0)
            return true;
        any = any || argv[i][0] != '-';
    }
    return !any;
}

static es_status run(bench *b, int argc, char **argv)
{
    bool data = access(b->folder, R_OK) == 0;
    /* First of all, so that the peak of memory is its own. */
    if (wanted(argc, argv, "family"))
        ES_TRY(bench_family(b));
    if (wanted(argc, argv, "hard"))
        ES_TRY(bench_hard(b));
    if (!data)
        (void)fprintf(stderr, "skipped: no data at %s (set ESTRAN_DATA)\n", b->folder);
    if (data && wanted(argc, argv, "p60")) {
        ES_TRY(bench_p60(b, "p60"));
        ES_TRY(bench_p60(b, "p60-tight"));
    }
    if (data && wanted(argc, argv, "p300")) {
        ES_TRY(bench_p300(b, 20.0, 2.0));
        ES_TRY(bench_p300(b, 60.0, 1.0));
    }
    if (wanted(argc, argv, "replan")) {
        ES_TRY(bench_replan(b, 0.02));
        ES_TRY(bench_replan(b, 0.03));
    }
    if (wanted(argc, argv, "growth"))
        ES_TRY(bench_growth(b));
    return ES_OK;
}

/* Medians; for figures with a target the largest and smallest, too. */
static void conclude(bench *b, es_bench *out)
{
    static char names[FIGURES_MAX][3][96];
    for (size_t i = 0; i < b->figure_count; i++) {
        figure *f = &b->figures[i];
        double median = es_bench_median(f->values, f->count); /* sorts */
        (void)snprintf(names[i][0], sizeof names[i][0], "plan: %s", f->what);
        es_bench_add(out, names[i][0], median, f->unit, f->better, f->target);
        if (isnan(f->target) || f->count < 2)
            continue;
        (void)snprintf(names[i][1], sizeof names[i][1], "plan: %s, least", f->what);
        (void)snprintf(names[i][2], sizeof names[i][2], "plan: %s, most", f->what);
        es_bench_add(out, names[i][1], f->values[0], f->unit, f->better, (double)NAN);
        es_bench_add(out, names[i][2], f->values[f->count - 1], f->unit, f->better, (double)NAN);
    }
}

int main(int argc, char **argv)
{
    static bench b;
    es_bench out = {0};
    const char *root = getenv("ESTRAN_DATA");
    int rounds = argc > 1 && strcmp(argv[1], "-1") == 0 ? 1 : ROUNDS;
    (void)snprintf(b.folder, sizeof b.folder, "%s/placement",
                   root != NULL ? root : "../shared/data");
    for (int round = 0; round < rounds; round++)
        if (run(&b, argc, argv) != ES_OK) {
            (void)fprintf(stderr, "%s\n", es_error_text(&b.err));
            return 1;
        }
    conclude(&b, &out);
    return es_bench_print(&out);
}
