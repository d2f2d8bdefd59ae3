/*
 * plan, private: the decision problem laid out as arrays, which the solvers share.
 *
 * A *host* is a (node, segment) pair that some path uses; a *path* is a pipeline over given nodes
 * for one class. Solvers read es_problem only, so a constraint is relaxed by changing its
 * right-hand side here and nowhere else.
 */
#ifndef ES_PLAN_INTERNAL_H
#define ES_PLAN_INTERNAL_H

#include "base/array.h"
#include "plan/plan.h"

/* Bytes of working memory one solve may take. */
#define ES_PLAN_SCRATCH_BYTES ((size_t)8 << 30)

/* Shares below this are noise of the solvers. */
#define ES_PLAN_SHARE_MIN 1e-9

typedef struct es_host {
    es_node_id node;
    es_segment_id segment;
    double memory_bytes;
    double hosting_per_s;
    double move_per_s; /* of that, the price of not being hosted there yet */
} es_host;

typedef struct es_path {
    es_pipeline_id pipeline;
    uint32_t stage_count;
    uint32_t stage_first; /* into stage_hosts and stage_loads */
    uint32_t use_count;   /* of links that may bind */
    uint32_t use_first;   /* into uses */
    bool late;            /* misses its class's deadline */
    bool poor;            /* below the least quality of every request of its class */
    double cost;          /* per request */
    double quality;
    double latency_max_s;
    double energy_j; /* dynamic and of links, per request */
    double carbon_g; /* of that energy */
} es_path;

/* What remains of the time limit. */
typedef struct es_deadline {
    es_clock *clock;
    int64_t end_ns;
} es_deadline;

/* Bits that one request of a path sends over a directed link. */

typedef struct es_path_use {
    uint32_t row; /* into link rows */
    double bits;
} es_path_use;

typedef enum es_path_nodes {
    ES_PATH_NODES_ANY,
    ES_PATH_NODES_ENTRY, /* all stages where the request enters */
    ES_PATH_NODES_CLOUD, /* all stages on nodes of tier cloud */
    ES_PATH_NODES_EDGE,  /* all stages on nodes of tier edge */
    ES_PATH_NODES_SPLIT, /* first stages where the request enters, the others on one other node */
    ES_PATH_NODES_COUNT
} es_path_nodes;

/* Prices of a relaxation, by which to choose paths and to value those left out. */
typedef struct es_path_prices {
    const double *pi;    /* [class_count] of serving one request */
    const double *mu;    /* [node_count] of a busy second */
    const double *kappa; /* [class_count] of average quality, for the whole class */
} es_path_prices;

typedef struct es_problem_opts {
    es_path_nodes nodes;
    bool keep_late;        /* keep paths that are late or poor, marked so */
    bool keep_oversize;    /* keep hosts whose segment alone is too large for the node */
    uint32_t tuple_max;    /* node tuples per class and pipeline of several stages, at most */
    uint32_t tuple_min;    /* what remains of that however many classes there are */
    uint32_t tuple_total;  /* over all classes, as far as tuple_min allows */
    uint32_t single_min;   /* the same floor for pipelines of one stage */
    es_path_prices prices; /* pi not NULL: only nodes that may pay at these prices */
} es_problem_opts;

typedef struct es_problem {
    const es_scenario *scenario;
    uint32_t node_count;
    uint32_t class_count;
    uint32_t segment_count;

    uint32_t host_count;
    const es_host *hosts;
    const uint32_t *node_host_first; /* [node_count + 1] into node_hosts */
    const uint32_t *node_hosts;
    const uint32_t *segment_host_first; /* [segment_count + 1] into segment_hosts */
    const uint32_t *segment_hosts;

    uint32_t path_count;
    const uint32_t *class_paths; /* [class_count + 1]: the paths of a class, cheapest first */
    const es_path *paths;
    const uint32_t *stage_hosts; /* per path and stage */
    const double *stage_loads;   /* busy seconds per request */
    const es_path_use *uses;

    uint32_t link_row_count;
    const uint32_t *link_row_links; /* 2 * link + (1 when against its direction) */

    const bool *host_warm; /* [host_count] on in the plan that runs; NULL: there is none */

    double refusal_cost; /* INFINITY: not allowed */
    double idle_per_j;
    uint32_t replicas_min;
    uint32_t hosts_max;        /* hosts on at most; 0: no limit */
    bool unsplittable;         /* one path per class, or refused as a whole */
    double energy_w_max;       /* joules per second with idling; 0: no limit */
    double carbon_g_per_s_max; /* of them; 0: no limit */

    /* Right-hand sides; INFINITY: relaxed. */
    double *memory_bytes; /* [node_count] */
    double *compute_s;    /* [node_count] busy seconds per second */
    double *link_bps;     /* [link_row_count] */
    double *quality_min;  /* [class_count]; 0: none */
    bool *deadline_off;   /* [class_count]: late paths are allowed */
    bool *class_off;      /* [class_count]: need not be served */
    bool *poor_off;       /* [class_count]: poor paths are allowed; NULL: no path is poor */

    bool costless;                /* only whether there is any plan matters */
    bool truncated;               /* some node tuples were left out */
    const double *class_cost_min; /* [class_count] lower bound of the cost of a request served */
} es_problem;

es_problem_opts es_problem_opts_default(void);

/* Lays the problem out in arena. */
es_status es_problem_build(es_arena *arena, const es_scenario *scenario, es_problem_opts opts,
                           es_problem **out_problem, es_error *err) ES_MUST_CHECK;

/* What a bound of a truncated problem may be too high by: for each class what the cheapest tuple
 * left out, free of hosting and links, undercuts the class's price by (rest.c). opts as the problem
 * was built. *out_complete false: the time was too short to tell. */
es_status es_problem_rest(es_arena *arena, const es_scenario *scenario, es_problem_opts opts,
                          const es_path_prices *prices, const es_deadline *deadline,
                          double *out_loss, bool *out_complete, es_error *err) ES_MUST_CHECK;

/* The directed links that may fill up, and each path's bits on them (links.c). */
es_status es_problem_find_link_rows(es_arena *arena, es_problem *problem, es_path *paths,
                                    es_error *err) ES_MUST_CHECK;

/* A copy whose right-hand sides can be changed without changing the original's. */
es_status es_problem_copy(es_arena *arena, const es_problem *problem, es_problem **out_problem,
                          es_error *err) ES_MUST_CHECK;

static inline bool es_path_allowed(const es_problem *problem, uint32_t class_index,
                                   const es_path *path)
{
    return (!path->late || problem->deadline_off[class_index]) &&
           (!path->poor || problem->poor_off[class_index]);
}

/* Requests per second of a class. */
static inline double es_problem_rate(const es_problem *problem, uint32_t class_index)
{
    return problem->scenario->classes[class_index].arrivals.rate_rps;
}

/* Idle cost of a node that hosts anything, per second. */
double es_problem_on_cost(const es_problem *problem, uint32_t node);

/* Idle joules and grams per second of a node that hosts anything. */
double es_problem_idle_w(const es_problem *problem, uint32_t node);
double es_problem_idle_g_per_s(const es_problem *problem, uint32_t node);

/* Lower bound: every class at its cheapest, no hosting, no capacity. */
double es_problem_relaxed_bound(const es_problem *problem);

/* Shares over paths and refusals; what a solver found. Lives in the arena it was made in. */
typedef struct es_solution {
    es_plan_quality quality;
    double bound;    /* proven lower bound; -INFINITY: none */
    bool *host_on;   /* [host_count] */
    bool *host_used; /* [host_count] some share takes it; set by tidy */
    double *shares;  /* [path_count] */
    double *refused; /* [class_count] */
} es_solution;

es_status es_solution_new(es_arena *arena, const es_problem *problem, es_solution **out_solution,
                          es_error *err) ES_MUST_CHECK;

/* Drops noise, makes the shares of each class add up to 1 and closes hosts nobody needs (but for
 * replicas). */
void es_solution_tidy(const es_problem *problem, es_solution *solution);

/* Cost per second of the solution. */
double es_solution_cost(const es_problem *problem, const es_solution *solution);

double es_deadline_left_s(const es_deadline *deadline);

/* After a share of the time left. */
es_deadline es_deadline_part(const es_deadline *deadline, double share);

/* One coefficient of a program. */
typedef struct es_term {
    uint32_t row;
    uint32_t col;
    double value;
} es_term;

/* What a row of a program stands for. */
typedef enum es_row_kind {
    ES_ROW_CLASS,    /* class */
    ES_ROW_QUALITY,  /* class */
    ES_ROW_COMPUTE,  /* node */
    ES_ROW_LINK,     /* link row */
    ES_ROW_ENERGY,   /* */
    ES_ROW_CARBON,   /* */
    ES_ROW_MEMORY,   /* node */
    ES_ROW_ON,       /* host */
    ES_ROW_COVER,    /* host, class */
    ES_ROW_USED,     /* host */
    ES_ROW_REPLICAS, /* segment */
    ES_ROW_HOSTS,    /* */
    ES_ROW_KIND_COUNT
} es_row_kind;

typedef struct es_row_tag {
    es_row_kind kind;
    uint32_t index;
    uint32_t class_index; /* of a cover row */
} es_row_tag;

/*
 * The problem as a (mixed-integer) linear program: minimise cost . c with row bounds (program.c).
 * Rows of capacities are divided by the capacity. Column numbers: ES_INDEX_NONE when absent. A host
 * that costs nothing by itself has its node's column, or none where that is free too.
 */
typedef struct es_program {
    ES_ARRAY(double) col_cost;
    ES_ARRAY(bool) col_integer;
    ES_ARRAY(double) col_upper;
    ES_ARRAY(double) row_lower;
    ES_ARRAY(double) row_upper;
    ES_ARRAY(es_row_tag) row_tags;
    ES_ARRAY(es_term) terms;
    uint32_t *path_cols;    /* [path_count] */
    uint32_t *refused_cols; /* [class_count] */
    uint32_t *host_cols;    /* [host_count] */
    uint32_t *on_cols;      /* [node_count] */
    uint32_t *segment_cols; /* [segment_count]: in use at all, with replicas */
} es_program;

/* fixed_hosts [host_count]: only paths over these, without hosting columns; NULL: the whole. */
es_status es_program_build(es_arena *arena, const es_problem *problem, const bool *fixed_hosts,
                           es_program *program, es_error *err) ES_MUST_CHECK;

/* The terms by column, in order of rows, as COIN wants them. starts has a column more. */
es_status es_program_columns(es_arena *arena, const es_program *program, int **out_starts,
                             int **out_rows, double **out_values, es_error *err) ES_MUST_CHECK;

/* Branch and cut on a program of the problem, rows and costs as they stand in it. size: about what
 * the objective will be, for scaling; 0: unknown. start may be NULL. Fills solution's shares,
 * hosts, quality and bound; nothing is tidied. */
es_status es_program_solve(es_arena *arena, const es_problem *problem, const es_program *program,
                           double size, const es_plan_opts *opts, double left_s,
                           const es_solution *start, es_solution *solution,
                           es_error *err) ES_MUST_CHECK;

/* Exact by branch and cut. start may be NULL. */
es_status es_solve_exact(es_arena *arena, const es_problem *problem, const es_plan_opts *opts,
                         const es_deadline *deadline, const es_solution *start,
                         es_solution **out_solution, es_error *err) ES_MUST_CHECK;

/* Best routing over given hosts, a linear program; quality INFEASIBLE when there is none. Its bound
 * says nothing about other hosts and is -INFINITY. UNKNOWN: classes must not split and this one
 * splits some. */
es_status es_solve_routing(es_arena *arena, const es_problem *problem, const bool *host_on,
                           es_solution **out_solution, es_error *err) ES_MUST_CHECK;

/* The same with the program and the shadow price of each of its rows (cost per second per unit of
 * the row), set unless INFEASIBLE. out_program and out_prices may be NULL. */
es_status es_solve_routing_priced(es_arena *arena, const es_problem *problem, const bool *host_on,
                                  es_solution **out_solution, es_program *out_program,
                                  double **out_prices, es_error *err) ES_MUST_CHECK;

/* Greedy by density, then local improvement until nothing helps or the time is up. */
es_status es_solve_greedy(es_arena *arena, const es_problem *problem, const es_plan_opts *opts,
                          const es_deadline *deadline, es_solution **out_solution,
                          es_error *err) ES_MUST_CHECK;

/* ---- constraints in groups, to be let go and taken back (groups.c) ---- */

typedef enum es_group_kind {
    ES_GROUP_REPLICAS,
    ES_GROUP_HOSTS,
    ES_GROUP_WHOLE, /* unsplittable */
    ES_GROUP_ENERGY,
    ES_GROUP_CARBON,
    ES_GROUP_LINK,
    ES_GROUP_COMPUTE,
    ES_GROUP_QUALITY,
    ES_GROUP_QUALITY_EACH,
    ES_GROUP_DEADLINE,
    ES_GROUP_MEMORY,
    ES_GROUP_CLASS, /* that a class is served at all */
    ES_GROUP_KIND_COUNT
} es_group_kind;

typedef struct es_group {
    es_group_kind kind;
    uint32_t index; /* link row, node or class */
    bool off;
} es_group;

typedef struct es_groups {
    ES_ARRAY(es_group) all; /* by kind */
} es_groups;

/* Every group that can bind in problem, all on. */
es_status es_groups_list(es_arena *arena, const es_problem *problem, es_groups *out_groups,
                         es_error *err) ES_MUST_CHECK;

/* Whether the groups that are on can hold together: FEASIBLE, INFEASIBLE or UNKNOWN. */
es_status es_groups_try(const es_problem *problem, const es_groups *groups,
                        const es_plan_opts *opts, const es_deadline *deadline,
                        es_plan_quality *out_quality, es_error *err) ES_MUST_CHECK;

/* A copy of problem without the groups that are off. */
es_status es_groups_apply(es_arena *arena, const es_problem *problem, const es_groups *groups,
                          es_problem **out_problem, es_error *err) ES_MUST_CHECK;

/* Appends e.g. "memory of node 'phone' (8 MB)". */
void es_group_describe(const es_problem *problem, const es_group *group, es_text *text);

/* "task at node" */
void es_class_describe(const es_problem *problem, uint32_t class_index, es_text *text);

/* One line that says which constraints cannot hold together, no more of them than needed as far as
 * time allows (conflict.c). */
es_status es_plan_explain(es_arena *arena, const es_scenario *scenario, const es_plan_opts *opts,
                          es_path_nodes nodes, const es_deadline *deadline,
                          const char **out_conflict, es_error *err) ES_MUST_CHECK;

/* Best fit or random, one class after the other (assign.c); UNKNOWN: memory was short. Late paths,
 * least qualities and capacities are ignored where nothing else is left and refusing has no
 * price; replicas and budgets always. */
es_status es_solve_assign(es_arena *arena, const es_problem *problem, const es_plan_opts *opts,
                          es_solution **out_solution, es_error *err) ES_MUST_CHECK;

/* Decomposition of a problem whose tuples were cut: lists of nodes are chosen anew by the prices
 * found, and the bound is corrected by what is left out (wide.c). lists: as *problem was built.
 * *problem becomes the one that the solution is of, and counts as whole. */
es_status es_solve_wide(es_arena *scratch, es_problem_opts lists, const es_plan_opts *opts,
                        const es_deadline *deadline, es_problem **problem,
                        es_solution **out_solution, es_error *err) ES_MUST_CHECK;

/* Baselines: least cost while as few constraints as possible are ignored (baseline.c). */
es_status es_solve_baseline(es_arena *arena, es_arena *scratch, const es_scenario *scenario,
                            const es_plan_opts *opts, const es_deadline *deadline,
                            const es_plan **out_plan, es_error *err) ES_MUST_CHECK;

bool es_plan_method_is_baseline(es_plan_method method);

/* Exact, started from greedy; the better of the two when time ran out (plan.c). */
es_status es_solve_exact_warm(es_arena *scratch, const es_problem *problem,
                              const es_plan_opts *opts, const es_deadline *deadline,
                              es_solution **out_solution, es_error *err) ES_MUST_CHECK;

/* The plan as a value of a document being written (document.c). */
void es_plan_put(es_json *json, const es_plan *plan, const es_scenario *scenario);

/* The whole program as free-format MPS (mps.c). */
es_status es_problem_write_mps(es_arena *arena, const es_problem *problem, es_text *out,
                               es_error *err) ES_MUST_CHECK;

/* Lays out the problem of the options: with the price of moves from the plan that runs (warm.c). */
es_status es_problem_build_warm(es_arena *arena, const es_scenario *scenario, es_problem_opts paths,
                                const es_plan_opts *opts, es_problem **out_problem,
                                es_error *err) ES_MUST_CHECK;

/* The best routing over the hosts of the plan that runs; NULL when there is none. */
es_status es_solve_warm(es_arena *arena, const es_problem *problem, es_solution **out_start,
                        es_error *err) ES_MUST_CHECK;

/* Why each class goes where it goes in solution, which becomes plan (explain.c). */
es_status es_plan_make_explanation(es_arena *arena, es_arena *scratch, const es_problem *problem,
                                   const es_solution *solution, const es_plan *plan,
                                   const es_plan_explanation **out_explanation,
                                   es_error *err) ES_MUST_CHECK;

/* The order a plan promises. */
void es_plan_sort(es_placement *placements, size_t placement_count, es_routing *routings,
                  size_t routing_count);

/* Turns a solution into a plan in arena. conflict may be NULL. */
es_status es_plan_from_solution(es_arena *arena, const es_problem *problem,
                                const es_solution *solution, es_plan_method method,
                                double gap_relative, const char *conflict, const es_plan **out_plan,
                                es_error *err) ES_MUST_CHECK;

#endif
