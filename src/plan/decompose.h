/*
 * decompose, private: Lagrangian decomposition by node, with a proven bound, and what finds plans
 * from it.
 *
 * Relaxed: that shares of a class add up to 1 (price pi), compute (mu), links (gamma), average
 * quality (kappa), and that a path over several hosts takes each of them (rho, one per class and
 * host: a *slot*). What remains falls apart into one choice of hosts per node, a knapsack over
 * memory, and the refusals and longer paths of one class. Replicas, limits of hosts, energy and
 * carbon, and unsplittable classes are left out of the bound; with them the solution is the start
 * or greedy's. Symbols and sources: README.md.
 */
#ifndef ES_PLAN_DECOMPOSE_H
#define ES_PLAN_DECOMPOSE_H

#include "base/pool.h"
#include "base/rng.h"
#include "plan/internal.h"

/* Hosts of a node that classes may choose between are valued together, so many at most. */
enum { ES_CLUSTER_HOSTS_MAX = 3, ES_CLUSTER_SETS = 1 << ES_CLUSTER_HOSTS_MAX };

/* A path of one host, seen from its cell. */
typedef struct es_cell_path {
    uint32_t path;
    uint32_t position; /* of the host in its group */
} es_cell_path;

/*
 * The problem seen from its nodes. node -> groups of hosts -> cells (one per class) -> the paths
 * of one host, and the slots of longer paths. Numbers of lists: [first .. first of the next).
 */
typedef struct es_layout {
    const es_problem *problem;
    double *path_cost;    /* [path_count] per second when the whole class takes it; INFINITY:
                             not allowed */
    double *refusal;      /* [class_count] per second; INFINITY: not allowed */
    double *rate;         /* [class_count] */
    bool *quality_binds;  /* [class_count] */
    uint32_t *path_class; /* [path_count] */
    bool *path_long;      /* [path_count] more than one host */
    uint32_t *path_slots; /* [slots of path p: path_slot_first[p] ..] */
    uint32_t *path_slot_first;
    uint32_t group_count;
    uint32_t *node_group_first; /* [node_count + 1] */
    uint32_t *group_host_first; /* [group_count + 1] into group_hosts */
    uint32_t *group_hosts;
    uint32_t *host_group;
    uint32_t *host_position;
    uint32_t *group_cell_first; /* [group_count + 1] */
    uint32_t cell_count;
    uint32_t *cell_class;
    uint32_t *cell_path_first; /* [cell_count + 1] into cell_paths */
    es_cell_path *cell_paths;
    uint32_t slot_count;
    uint32_t *cell_slot_first; /* [cell_count + 1] into slots */
    uint32_t *slot_position;   /* [slot_count] */
    uint32_t *slot_host;
} es_layout;

es_status es_layout_build(es_arena *arena, const es_problem *problem, es_layout *out_layout,
                          es_error *err) ES_MUST_CHECK;

/* Multipliers, in one block so that steps are taken over plain arrays. */
typedef struct es_multipliers {
    size_t count;
    double *all;
    double *pi;    /* [class_count] */
    double *mu;    /* [node_count] >= 0, per busy second per second */
    double *gamma; /* [link_row_count] >= 0, per share of the bandwidth */
    double *kappa; /* [class_count] >= 0 */
    double *rho;   /* [slot_count] >= 0 */
} es_multipliers;

es_status es_multipliers_new(es_arena *arena, const es_layout *layout, es_multipliers *out,
                             es_error *err) ES_MUST_CHECK;

/* One answer of the relaxed problem. */
typedef struct es_relaxed {
    double value;          /* a lower bound of the problem */
    es_multipliers slope;  /* what the relaxed constraints miss: a supergradient */
    double *reduced;       /* [path_count] cost of a path with its prices */
    double *node_value;    /* [node_count] gain of the choice at the node */
    uint8_t *group_choice; /* [group_count] set of hosts, by position */
} es_relaxed;

es_status es_relaxed_new(es_arena *arena, const es_layout *layout, es_relaxed *out,
                         es_error *err) ES_MUST_CHECK;

/* One way to host at a group: a set of its hosts. */
typedef struct es_knapsack_item {
    double weight;
    double value;
    uint8_t set;
} es_knapsack_item;

/* A choice of at most one item per group within a capacity; exact (lagrange_knapsack.c). */
typedef struct es_knapsack {
    uint32_t group_count;
    const uint32_t *first; /* [group_count + 1] into items */
    const es_knapsack_item *items;
    double capacity;
} es_knapsack;

typedef struct es_knapsack_room es_knapsack_room;

es_status es_knapsack_room_new(es_arena *arena, uint32_t group_max, es_knapsack_room **out_room,
                               es_error *err) ES_MUST_CHECK;

/* Largest value; the chosen set of each group, 0: none. Beyond a limit of memory the value is an
 * upper bound and the choice may overfill. */
double es_knapsack_solve(es_knapsack_room *room, const es_knapsack *knapsack, uint8_t *out_sets);

/* For every item the largest value with it chosen, and for every group with nothing chosen. */
void es_knapsack_each(es_knapsack_room *room, const es_knapsack *knapsack, double *out_with,
                      double *out_without);

/* Work space of one thread for the problems of nodes. */
typedef struct es_node_room {
    es_knapsack_room *knapsack;
    es_knapsack_item *items;
    uint32_t *first;
    double *with;
    double *without;
    /* More threads for the nodes; lane_count 0: this one alone. */
    es_pool *pool;
    uint32_t lane_count;
    struct es_node_room *lanes;
} es_node_room;

es_status es_node_room_new(es_arena *arena, const es_layout *layout, es_node_room *out,
                           es_error *err) ES_MUST_CHECK;

/* Lets lane_count threads of pool share the nodes; the answers stay the same. */
es_status es_node_room_share(es_arena *arena, const es_layout *layout, es_pool *pool,
                             uint32_t lane_count, es_node_room *room, es_error *err) ES_MUST_CHECK;

/* Hosts that are known to be open or closed in any better solution. */
typedef enum es_fixing { ES_FIX_FREE, ES_FIX_CLOSED, ES_FIX_OPEN } es_fixing;

/* Cost of every path with the prices of what it takes, but for its slots and its class:
 * out_reduced [path_count]. */
void es_price_paths(const es_layout *layout, const es_multipliers *prices, double *out_reduced);

/* Evaluates the relaxed problem at prices. fixing [host_count] or NULL. */
void es_relaxed_solve(const es_layout *layout, const es_multipliers *prices, const uint8_t *fixing,
                      es_node_room *room, es_relaxed *out);

/* The bound with each host open, and closed: [host_count] each. After es_relaxed_solve. */
void es_relaxed_probe(const es_layout *layout, const es_multipliers *prices, const uint8_t *fixing,
                      const es_relaxed *at, es_node_room *room, double *out_open,
                      double *out_closed);

/*
 * The volume algorithm (Barahona and Anbil 2000): steps from the best prices along the mean slope
 * of the answers so far, whose mean is close to a solution of the linear relaxation (lagrange.c).
 */
typedef struct es_ascent {
    const es_layout *layout;
    const uint8_t *fixing; /* [host_count] or NULL */
    es_multipliers best;   /* prices of the best bound */
    double bound;
    double upper;      /* cost of a solution known; INFINITY: none */
    double *host_mean; /* [host_count] how much a host is chosen of late, 0..1 */
    uint64_t step_count;
    bool restarted;
    double factor; /* of the step */
    double weight; /* of a new answer in the mean, at most */
    uint32_t dull; /* steps without a better bound in a row */
    double target; /* where the step aims when there is no upper */
    es_multipliers trial;
    es_multipliers mean;  /* slope */
    es_multipliers scale; /* squared, of the step in each direction */
    es_relaxed answer;
    es_node_room room;
} es_ascent;

/* Starts from prices of the cheapest paths. */
es_status es_ascent_init(es_ascent *ascent, es_arena *arena, const es_layout *layout,
                         es_error *err) ES_MUST_CHECK;

/* Goes on from other prices or under another fixing, with the mean kept. */
void es_ascent_restart(es_ascent *ascent, const es_multipliers *prices, const uint8_t *fixing,
                       double factor, double weight);

/* Takes up to step_max steps; stops before that when steps have become too small, upper is
 * reached within gap_relative, or the time is up. True: more steps may help. */
bool es_ascent_run(es_ascent *ascent, uint32_t step_max, double gap_relative,
                   const es_deadline *deadline);

/* ---- a part of a problem, as a problem (decompose_sub.c) ---- */

typedef enum es_host_part {
    ES_HOST_OUT,  /* not there */
    ES_HOST_HELD, /* open, and paid for outside */
    ES_HOST_FREE  /* to be decided */
} es_host_part;

typedef struct es_sub {
    es_problem problem;
    uint32_t *nodes;   /* [problem.node_count] numbers in the whole */
    uint32_t *hosts;   /* [problem.host_count] */
    uint32_t *paths;   /* [problem.path_count] */
    uint32_t *classes; /* [problem.class_count] */
    bool *class_in;    /* [class_count of the whole] */
} es_sub;

/*
 * parts [host_count]; path_in [path_count], or NULL: every path of hosts that are there; now: what
 * the classes outside do, or NULL when all classes are in. A class is in when it has a path over a
 * free host. Capacities are what the classes outside leave.
 */
es_status es_sub_build(es_arena *arena, const es_problem *whole, const uint8_t *parts,
                       const bool *path_in, const es_solution *now, es_sub *out_sub,
                       es_error *err) ES_MUST_CHECK;

/* The part of a solution, and back: classes in the sub and its free hosts are overwritten. */
void es_sub_take(const es_sub *sub, const es_solution *whole, es_solution *part);
void es_sub_put(const es_sub *sub, const uint8_t *parts, const es_solution *part,
                es_solution *whole);

/* A scenario that says no more than nodes, what they draw when idle ([node_count] watts or NULL: 0)
 * and the rates of classes, for problems filled in by hand. */
es_status es_problem_bare_scenario(es_arena *arena, const char *name, uint32_t node_count,
                                   const double *idle_w, uint32_t class_count,
                                   es_class **out_classes, const es_scenario **out_scenario,
                                   es_error *err) ES_MUST_CHECK;

/* The lists of hosts by node and by segment, from problem->hosts. */
es_status es_problem_index_hosts(es_arena *arena, es_problem *problem, es_error *err) ES_MUST_CHECK;

typedef struct es_dive_opts {
    uint32_t step_count; /* of ascent between fixings */
    double fix_share;    /* of the hosts still to be opened, fixed at a time */
    double factor;
    double weight;
    const uint8_t *fixing; /* [host_count] to start with, or NULL */
} es_dive_opts;

es_dive_opts es_dive_opts_default(void);

/* Opens hosts for good, those chosen most first, and lets prices follow (decompose_dive.c). dive is
 * an ascent of its own that starts from prices; out_open [host_count]. */
es_status es_dive(es_arena *arena, es_ascent *dive, const es_multipliers *prices, es_dive_opts opts,
                  const es_deadline *deadline, bool *out_open, es_error *err) ES_MUST_CHECK;

/* Prices of the whole, as prices of the part: where to start from. */
void es_sub_prices(const es_sub *sub, const es_layout *whole, const es_multipliers *prices,
                   const es_layout *part, es_multipliers *out);

/* ---- descent over nodes at given prices (descent.c) ---- */

typedef struct es_descent es_descent;

es_status es_descent_new(es_arena *arena, const es_layout *layout, uint64_t seed,
                         es_descent **out_descent, es_error *err) ES_MUST_CHECK;

/* From a solution, at these prices of compute, links and quality. */
void es_descent_start(es_descent *descent, const es_multipliers *prices,
                      const es_solution *solution);

/* Every node in turn until none gets better. */
void es_descent_sweep(es_descent *descent, uint32_t sweep_max);

/* Empties a few nodes at random and fills them again; true: kept. What makes it dearer by no more
 * than about temperature (cost per second, >= 0) is kept now and then. */
bool es_descent_kick(es_descent *descent, double temperature);

/* [host_count] as they are now; until the next step. */
/* Cost per second as it is now, with few paths per class. */
double es_descent_value(const es_descent *descent);

const bool *es_descent_hosts(const es_descent *descent);

/* ---- large neighbourhoods (lns.c) ---- */

typedef struct es_lns {
    const es_layout *layout;
    const es_multipliers *prices; /* the best */
    const es_relaxed *answer;     /* at these */
    bool *path_in;                /* [path_count] paths worth a look at these prices */
    const es_plan_opts *opts;
    const es_deadline *deadline;
    es_pool *pool; /* NULL: one at a time */
    uint32_t lane_count;
    es_rng rng;
    double *blame;       /* [node_count] part of the gap that a node is to blame for */
    uint32_t *visits;    /* [node_count] */
    uint32_t node_count; /* nodes per neighbourhood */
    uint32_t dull;       /* neighbourhoods in a row without a better solution */
    uint64_t tried;
    uint64_t won;
} es_lns;

es_status es_lns_init(es_lns *lns, es_arena *arena, const es_layout *layout,
                      const es_multipliers *prices, const es_relaxed *answer,
                      const es_plan_opts *opts, const es_deadline *deadline, es_pool *pool,
                      es_error *err) ES_MUST_CHECK;

/* One neighbourhood per lane from now, which is made better in place; cost is kept along. */
es_status es_lns_round(es_lns *lns, es_solution *now, double *cost, bool exact,
                       es_error *err) ES_MUST_CHECK;

/* What a warm start keeps of an earlier solve. */
typedef struct es_decompose_memory {
    uint32_t class_count;
    uint32_t node_count;
    size_t count;
    double *prices; /* [count] as es_multipliers */
} es_decompose_memory;

/* What a solve did, for the report. */
typedef struct es_decompose_trace {
    double bound_s; /* when the ascent was done, seconds since the start */
    double first_s; /* when there was a first solution */
    double first_cost;
    uint64_t step_count;
    uint64_t neighbourhoods;
    uint64_t neighbourhoods_won;
    bool core_solved; /* the core program proved the gap */
} es_decompose_trace;

/* Decomposition: bound by prices, first solution by a core program or a dive, better ones by
 * descent and neighbourhoods. start, warm, out_memory and out_trace may be NULL. */
es_status es_solve_decomposition_warm(es_arena *arena, const es_problem *problem,
                                      const es_plan_opts *opts, const es_deadline *deadline,
                                      const es_solution *start, const es_decompose_memory *warm,
                                      es_solution **out_solution, es_decompose_memory *out_memory,
                                      es_decompose_trace *out_trace, es_error *err) ES_MUST_CHECK;

es_status es_solve_decomposition(es_arena *arena, const es_problem *problem,
                                 const es_plan_opts *opts, const es_deadline *deadline,
                                 const es_solution *start, es_solution **out_solution,
                                 es_error *err) ES_MUST_CHECK;

#endif
