/*
 * schedule: compressible tasks with deadlines on machines, under budgets of joules, grams, money.
 *
 * A task turns work into quality along a concave curve; how much work each task gets, where and
 * when, so that the sum of qualities is largest. Reads tasks and machines, writes a schedule; its
 * documents are in docs/reference/schedule.md, its mathematics in README.md.
 * Units: work as the curves count it (MAC, s, J: the user's), seconds, watts, joules, grams of
 * CO2e. Time 0 is now. Threads: none; sealed inputs may be shared. Same input and seed, same bytes
 * unless a time limit cut the search. Errors: ARG, PARSE, IO, NOMEM; a time limit is not one.
 */
#ifndef ES_SCHEDULE_SCHEDULE_H
#define ES_SCHEDULE_SCHEDULE_H

#include "base/clock.h"
#include "base/document.h"
#include "plan/plan.h"

/* ---- what is given ---- */

/* Quality against work: points[0] has work 0; work grows strictly, quality does not fall, slopes do
 * not grow (concave). Quality is any number >= 0; 0..1 where it is an accuracy. */
typedef struct es_curve {
    const char *name;
    uint32_t point_count; /* >= 1 */
    const double *work;
    const double *quality;
} es_curve;

typedef struct es_tasks_task {
    const char *name;  /* NULL: its number */
    double arrival_s;  /* >= 0; only an online schedule takes tasks that arrive later */
    double deadline_s; /* > arrival_s */
    uint32_t curve;
    double input_bytes;   /* shipped to a machine with a network */
    es_class_id class_id; /* of a scenario's: whose request it is */
} es_tasks_task;

typedef struct es_tasks {
    const char *work_unit; /* "GMAC"; for people */
    uint32_t curve_count;
    const es_curve *curves;
    uint32_t task_count;
    const es_tasks_task *tasks;
    const char *note; /* what was lost where a curve was replaced by its hull; or NULL */
} es_tasks;

/* What a joule of a zone costs, from start_s until the next period. */
typedef struct es_period {
    double start_s;        /* the first at 0 */
    double carbon_g_per_j; /* with the power usage effectiveness */
    double price_per_j;
} es_period;

typedef struct es_machine {
    const char *name;
    double speed_per_s;    /* work per second, > 0 */
    double busy_w;         /* while busy, >= idle_w */
    double idle_w;         /* drawn until the last deadline, busy or not; 0: it sleeps */
    double open_s;         /* nothing starts before */
    double close_s;        /* nothing runs after; INFINITY: always open */
    uint32_t period_count; /* >= 1 */
    const es_period *periods;
    /* The way to a remote machine; zeros: none. */
    double latency_s;
    double bandwidth_bps;    /* 0: transfers take no time */
    double energy_j_per_bit; /* of the input, at the machine's price and carbon */
    uint32_t node;           /* of a scenario's: where the processor is */
} es_machine;

typedef struct es_machines {
    uint32_t machine_count;
    const es_machine *machines;
} es_machines;

typedef enum es_budget {
    ES_BUDGET_ENERGY, /* J */
    ES_BUDGET_CARBON, /* g */
    ES_BUDGET_PRICE,  /* in the currency of the machines */
    ES_BUDGET_COUNT
} es_budget;
extern const char *const es_budget_names[ES_BUDGET_COUNT];
extern const char *const es_budget_units[ES_BUDGET_COUNT];

/* ---- what is decided ---- */

typedef enum es_schedule_method {
    ES_SCHEDULE_AUTO,       /* approx, then exact when small */
    ES_SCHEDULE_EXACT,      /* branch and bound */
    ES_SCHEDULE_FRACTIONAL, /* tasks may be split over machines: the upper bound; not executable */
    ES_SCHEDULE_APPROX,     /* rounded, refitted, improved */
    ES_SCHEDULE_EDF,        /* baseline: earliest deadline first, no compression */
    ES_SCHEDULE_EDF_3,      /* baseline: the same with 3 levels of work: all, half, a quarter */
    ES_SCHEDULE_BEST_FIT,   /* baseline: no compression, where the least room is left */
    ES_SCHEDULE_FIFO,       /* baseline: as they come, no compression */
    ES_SCHEDULE_METHOD_COUNT
} es_schedule_method;
extern const char *const es_schedule_method_names[ES_SCHEDULE_METHOD_COUNT];

typedef struct es_schedule_opts {
    es_schedule_method method;
    double budgets[ES_BUDGET_COUNT]; /* >= 0; INFINITY: none */
    bool discrete;                   /* work only at points of the curves */
    double gap_relative;             /* exact stops when proven within; default 1e-6 */
    double time_limit_s;             /* wall clock, > 0; default 60 */
    es_clock *clock;                 /* NULL: the system's */
} es_schedule_opts;
es_schedule_opts es_schedule_opts_default(void);

/* Where one task runs. machine UINT32_MAX: nowhere (work 0), or on several (fractional). */
typedef struct es_schedule_entry {
    uint32_t machine;
    double start_s, end_s; /* NAN when it runs nowhere or on several */
    double work;
    double quality;
    double energy_j; /* above idle, with the network's */
} es_schedule_entry;

typedef struct es_schedule {
    es_schedule_method method; /* never AUTO */
    bool optimal;              /* proven within gap_relative, or 1e-9 */
    bool discrete;
    double budgets[ES_BUDGET_COUNT];
    double quality;                    /* sum over tasks */
    double bound;                      /* proven: no schedule has more */
    double gap_relative;               /* (bound - quality) / bound */
    double used[ES_BUDGET_COUNT];      /* with idle */
    double used_idle[ES_BUDGET_COUNT]; /* of that, whatever runs */
    double full[ES_BUDGET_COUNT];      /* if every machine were busy until the last deadline */
    uint32_t task_count;
    const es_schedule_entry *entries; /* in the order of tasks */
    uint32_t machine_count;
    const double *busy_s; /* per machine */
} es_schedule;

/* Checks opts and input, solves. *out_schedule lives in arena. ES_ERR_ARG: a budget below what idle
 * machines use, NaN, tasks that arrive later. */
es_status es_schedule_solve(es_arena *arena, const es_tasks *tasks, const es_machines *machines,
                            es_schedule_opts opts, const es_schedule **out_schedule,
                            es_error *err) ES_MUST_CHECK;

/* Whether a schedule keeps what it says: one task at a time per machine, windows, deadlines,
 * curves, sums, budgets. Shares no code with the solvers. A broken rule is ES_ERR_ARG naming it.
 * For fractional schedules only sums, curves and the total capacity are checked. */
es_status es_schedule_check(const es_tasks *tasks, const es_machines *machines,
                            const es_schedule *schedule, es_error *err) ES_MUST_CHECK;

/* What all machines busy until the last deadline use, and what they use idle. */
es_status es_schedule_full_use(const es_tasks *tasks, const es_machines *machines,
                               double full[ES_BUDGET_COUNT], double idle[ES_BUDGET_COUNT],
                               es_error *err) ES_MUST_CHECK;

/* One point of the curve of quality against a budget. */
typedef struct es_schedule_point {
    double share; /* of full */
    double budget;
    double quality; /* sum */
    double bound;
    double used; /* of the budget */
} es_schedule_point;

/* Solves with budget which at shares 1 / count .. 1 of what full use takes; the other budgets as in
 * opts. points[count]. */
es_status es_schedule_sweep(const es_tasks *tasks, const es_machines *machines,
                            es_schedule_opts opts, es_budget which, uint32_t count,
                            es_schedule_point *points, es_error *err) ES_MUST_CHECK;

/* ---- tasks that arrive over time ---- */

typedef struct es_online_opts {
    es_schedule_opts schedule; /* budgets are for the whole horizon; method APPROX */
    double pace;               /* share of a budget that is released as time goes by, 0..1: the rest
                                  is free from the start; default 1 */
} es_online_opts;
es_online_opts es_online_opts_default(void);

typedef struct es_online_result {
    const es_schedule *schedule; /* what ran; bound: of the clairvoyant */
    uint32_t replan_count;
    double ratio; /* quality gained / clairvoyant bound, both above quality without work; 0..1 */
    bool tight;   /* the bound knows arrivals (a linear program); else it ignores them */
} es_online_result;

/* Rolling: at every arrival all that has not started is planned again, what runs goes on. */
es_status es_schedule_online(es_arena *arena, const es_tasks *tasks, const es_machines *machines,
                             es_online_opts opts, es_online_result *out_result,
                             es_error *err) ES_MUST_CHECK;

/* ---- documents ---- */

/* The upper concave hull of points, quality never falling: keep[i] says which remain. Points in
 * order of work. *out_lost: the largest height of the hull over a point that it drops. */
void es_curve_hull(uint32_t point_count, const double *work, const double *quality, bool *keep,
                   uint32_t *out_kept, double *out_lost);

/* tasks: .csv, else YAML or JSON. hull: curves that are not concave are replaced by their hull and
 * *out_tasks says so; without it they are an error that says what the hull would lose. */
es_status es_tasks_load(es_arena *arena, const char *path, bool hull, const es_tasks **out_tasks,
                        es_error *err) ES_MUST_CHECK;
es_status es_tasks_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                         bool csv, bool hull, const es_tasks **out_tasks,
                         es_error *err) ES_MUST_CHECK;
es_status es_machines_load(es_arena *arena, const char *path, const es_machines **out_machines,
                           es_error *err) ES_MUST_CHECK;
es_status es_machines_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                            const es_machines **out_machines, es_error *err) ES_MUST_CHECK;

/* Tasks and machines of a scenario: requests of its classes over horizon_s drawn by seed; curves of
 * its pipelines of one stage, work being seconds on nodes of a kind (NULL: the one that runs most
 * variants), hull taken; machines are its processors that run them all, each as slow and as thirsty
 * as on its worst variant, so that what is promised is kept. */
es_status es_schedule_from_scenario(es_arena *arena, const es_scenario *scenario, const char *kind,
                                    double horizon_s, uint64_t seed, const es_tasks **out_tasks,
                                    const es_machines **out_machines, es_error *err) ES_MUST_CHECK;

/* A schedule that running nodes can follow, request by request. */
typedef struct es_schedule_execution {
    const es_plan *plan;        /* hosts what is used; shares are the schedule's counts */
    const uint32_t *first_task; /* [class_count + 1]: request q of class c is task first_task[c] +
                                   q, as a run with the same seed draws them */
    const size_t *routings;     /* [task_count] of the plan; SIZE_MAX: it does not run */
    const double *leaves_s; /* [task_count] when it must leave its origin so that it is at its node
                               when it starts, behind all that start there before; NAN: it does
                               not run */
    const uint32_t *turns;  /* [task_count] 1, 2, ... in order of starts on one node; 0: none */
} es_schedule_execution;

/* tasks and machines: of es_schedule_from_scenario; schedule: of them, discrete. A request takes
 * the machine's node and the variant of its quality. With leaves_s and turns its node serves it in
 * the schedule's order and not before its start_s; what overruns pushes back what follows.
 * Transfers are those of idle links. ES_ERR_ARG: work between variants. */
es_status es_schedule_execution_make(es_arena *arena, const es_scenario *scenario,
                                     const es_tasks *tasks, const es_machines *machines,
                                     const es_schedule *schedule, es_schedule_execution *out,
                                     es_error *err) ES_MUST_CHECK;

void es_schedule_write(const es_schedule *schedule, const es_tasks *tasks,
                       const es_machines *machines, es_text *out);
es_status es_schedule_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                            const es_tasks *tasks, const es_machines *machines,
                            const es_schedule **out_schedule, es_error *err) ES_MUST_CHECK;
es_status es_schedule_load(es_arena *arena, const char *path, const es_tasks *tasks,
                           const es_machines *machines, const es_schedule **out_schedule,
                           es_error *err) ES_MUST_CHECK;

#endif
