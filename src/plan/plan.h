/*
 * plan: what is decided. Which segments each node hosts and which way each class of requests goes.
 *
 * Reads a scenario, writes a plan document (JSON); never changes the scenario. The decision problem
 * is ARCHITECTURE §3, the formulation src/plan/README.md. Threads: a solve joins its threads before
 * returning; solves may run side by side. "No feasible plan" and "time limit, best so far" are
 * answers (es_plan.quality), not errors. Same scenario, options and seed: same bytes.
 */
#ifndef ES_PLAN_PLAN_H
#define ES_PLAN_PLAN_H

#include "base/clock.h"
#include "base/document.h"
#include "scenario/scenario.h"

typedef enum es_plan_method {
    ES_PLAN_AUTO,        /* exact when small, else greedy */
    ES_PLAN_EXACT,       /* mixed-integer program by branch and cut: proven optimum or gap */
    ES_PLAN_GREEDY,      /* by density, with a bound from the relaxation without hosting */
    ES_PLAN_DEVICE_ONLY, /* baseline: everything on the node where requests enter */
    ES_PLAN_CLOUD_ONLY,  /* baseline: everything on nodes of tier cloud */
    /* Baselines are plans to be measured: cheapest with all stages there. They always honour what
     * can run and memory. Where refusing is not allowed and not everything can be met, they ignore
     * as few as they can find of, given up last to first: deadlines, least qualities, compute,
     * bandwidth, replicas. What they violate stands in conflict ("ignores: ..."); bound is
     * -INFINITY. */
    ES_PLAN_METHOD_COUNT
} es_plan_method;
extern const char *const es_plan_method_names[ES_PLAN_METHOD_COUNT];

typedef enum es_plan_quality {
    ES_PLAN_OPTIMAL,    /* proven within gap_relative */
    ES_PLAN_FEASIBLE,   /* feasible; the gap says how far from the bound */
    ES_PLAN_INFEASIBLE, /* proven: no plan satisfies the constraints; conflict says why */
    ES_PLAN_UNKNOWN,    /* stopped before any plan was found */
    ES_PLAN_QUALITY_COUNT
} es_plan_quality;
extern const char *const es_plan_quality_names[ES_PLAN_QUALITY_COUNT];

typedef struct es_placement {
    es_node_id node;
    es_segment_id segment;
} es_placement;

/* The share of a class that takes a pipeline over given nodes. */
typedef struct es_routing {
    es_class_id class_id;
    es_pipeline_id pipeline;
    es_node_id nodes[ES_STAGE_COUNT_MAX]; /* [stage_count] */
    double share;                         /* (0, 1] */
} es_routing;

typedef struct es_plan {
    const char *scenario;  /* name of the scenario it was made for */
    es_plan_method method; /* that made it; auto becomes exact or greedy */
    es_plan_quality quality;
    double objective;    /* cost per second; INFINITY when there is no plan */
    double bound;        /* proven lower bound; -INFINITY: none */
    double gap_relative; /* (objective - bound) / max(|objective|, 1e-9); INFINITY: none */
    size_t placement_count;
    const es_placement *placements; /* by node, then segment */
    size_t routing_count;
    const es_routing *routings;  /* by class, then pipeline, then nodes */
    const double *refused_share; /* [class_count] */
    const char *conflict;        /* why infeasible, or what a baseline ignores, one line; or NULL */
} es_plan;

typedef struct es_plan_opts {
    es_plan_method method; /* default auto */
    double time_limit_s;   /* > 0; default 60 */
    double gap_relative;   /* stop when proven within this; default 1e-4 */
    uint32_t thread_count; /* default 1, which is what keeps the bytes the same */
    uint64_t seed;         /* default 1 */
    es_clock *clock;       /* default the system's */
    size_t exact_size_max; /* auto takes exact up to this many path variables; default 20000 */
} es_plan_opts;

es_plan_opts es_plan_opts_default(void);

/* Best plan within the limits. On failure *out_plan is untouched and err says why. The plan lives
 * in arena. Saying why there is none may take a quarter of time_limit_s more. Errors: ES_ERR_ARG
 * (an option out of range), ES_ERR_NOMEM, ES_ERR_LIMIT (too large to lay out). */
es_status es_plan_solve(es_arena *arena, const es_scenario *scenario, es_plan_opts opts,
                        const es_plan **out_plan, es_error *err) ES_MUST_CHECK;

/* The plan as JSON (docs/reference/plan.md), names instead of numbers; and back, checked against
 * the scenario's names (file:line:column on every mistake). */
void es_plan_write(const es_plan *plan, const es_scenario *scenario, es_text *out);
es_status es_plan_load(es_arena *arena, const char *path, const es_scenario *scenario,
                       const es_plan **out_plan, es_error *err) ES_MUST_CHECK;
es_status es_plan_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                        const es_scenario *scenario, const es_plan **out_plan,
                        es_error *err) ES_MUST_CHECK;

/* One violated constraint or wrong figure. */
typedef struct es_plan_violation {
    const char *text; /* "node 'phone': memory 12 MB of 8 MB" */
} es_plan_violation;

/*
 * The independent checker: recomputes everything from the scenario's data without any code of the
 * solvers: hosting, memory, compute, bandwidth, deadlines, least quality, shares, objective, bound
 * not above objective. tolerance is relative (1e-6). Gives every violation.
 */
es_status es_plan_check(es_arena *arena, const es_plan *plan, const es_scenario *scenario,
                        double tolerance, const es_plan_violation **out_violations,
                        size_t *out_count, es_error *err) ES_MUST_CHECK;

/*
 * "Do what this plan says": implemented by simulate, serve and later kube; the outcome they write
 * is the same document. cli wires them.
 */

#endif
