/*
 * plan: what is decided. Which segments each node hosts and which way each class of requests goes.
 *
 * Reads a scenario, writes a plan document (JSON); never changes the scenario. The decision problem
 * is ARCHITECTURE §3, the formulation src/plan/README.md, the methods src/plan/methods.md. Threads:
 * a solve joins its threads before returning; solves may run side by side. "No feasible plan" and
 * "time limit, best so far" are answers (es_plan.quality), not errors. Same scenario, options and
 * seed: same bytes.
 */
#ifndef ES_PLAN_PLAN_H
#define ES_PLAN_PLAN_H

#include "base/clock.h"
#include "base/document.h"
#include "plan/lp.h"
#include "scenario/scenario.h"

typedef enum es_plan_method {
    ES_PLAN_AUTO,          /* exact when small, else decomposition */
    ES_PLAN_EXACT,         /* mixed-integer program by branch and cut: proven optimum or gap */
    ES_PLAN_GREEDY,        /* by density, with a bound from the relaxation without hosting */
    ES_PLAN_DECOMPOSITION, /* prices by node: the bound at sizes where exact gives up, and plans
                              from dives and neighbourhoods, started from greedy's */
    ES_PLAN_DEVICE_ONLY,   /* baseline: everything on the node where requests enter */
    ES_PLAN_CLOUD_ONLY,    /* baseline: everything on nodes of tier cloud */
    /* Baselines are plans to be measured: cheapest with all stages there. They always honour what
     * can run and memory. Where refusing is not allowed and not everything can be met, they ignore
     * as few as they can find of, given up last to first: deadlines, least qualities, compute,
     * bandwidth, replicas. What they violate stands in conflict ("ignores: ..."); bound is
     * -INFINITY. */
    ES_PLAN_EDGE_ONLY,    /* baseline: everything on nodes of tier edge */
    ES_PLAN_SINGLE_SPLIT, /* baseline: first stages where requests enter, the rest on one other node
                           */
    ES_PLAN_BEST_FIT,     /* baseline: class by class, heaviest first, where least room is left */
    ES_PLAN_RANDOM,       /* baseline: class by class in random order, anywhere it fits */
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
    es_plan_method method; /* that made it; auto becomes exact or decomposition */
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
    size_t move_count;           /* placements that the plan started from lacks; 0 without one */
    double move_cost_per_s;      /* their price: part of objective and bound */
    const struct es_plan_explanation *explanation; /* NULL unless asked for */
} es_plan;

/* Why a part of a class goes its way: what the best other way would add. */
typedef struct es_plan_reason {
    size_t routing; /* index into the plan's routings; or ES_PLAN_REFUSED */
    es_class_id class_id;
    es_pipeline_id pipeline;              /* the alternative; ES_INDEX_NONE: there is none */
    es_node_id nodes[ES_STAGE_COUNT_MAX]; /* its nodes */
    double extra_per_s; /* cost per second if all of the part went there, with hosts to open; less
                           than 0: it would be cheaper, but a limit stands in the way */
    const char *limit;  /* what stands in the way; NULL: nothing but the cost */
} es_plan_reason;
#define ES_PLAN_REFUSED SIZE_MAX

/* A capacity or budget that is used up, hosts as in the plan. */
typedef struct es_plan_limit {
    const char *what;   /* "compute of node 'phone' (0.8 busy seconds per second)" */
    double used;        /* share of it, about 1 */
    double price_per_s; /* shadow price: what a step more of it saves per second, while hosts stay;
                           NAN: not a matter of routing */
    const char *step;   /* "1 % more", or "0.01 less" of a least quality */
} es_plan_limit;

typedef struct es_plan_explanation {
    size_t reason_count;
    const es_plan_reason *reasons; /* by class */
    size_t limit_count;
    const es_plan_limit *limits;
} es_plan_explanation;

typedef struct es_plan_opts {
    es_plan_method method;      /* default auto */
    double time_limit_s;        /* > 0; default 60 */
    double gap_relative;        /* stop when proven within this; default 1e-4 */
    uint32_t thread_count;      /* default 1, which is what keeps the bytes the same */
    uint64_t seed;              /* default 1 */
    es_clock *clock;            /* default the system's */
    size_t exact_size_max;      /* auto takes exact up to this many path variables; default 2000 */
    const es_plan *warm_start;  /* the plan that runs; default NULL */
    double move_price;          /* objective per second of each placement it lacks; default 0 */
    double move_price_per_byte; /* the same per byte of the segment; default 0 */
    bool explain;               /* fill es_plan.explanation; default false */
} es_plan_opts;

es_plan_opts es_plan_opts_default(void);

/* Best plan within the limits. On failure *out_plan is untouched and err says why. The plan lives
 * in arena. Saying why there is none may take a quarter of time_limit_s more. Errors: ES_ERR_ARG
 * (an option out of range), ES_ERR_NOMEM, ES_ERR_LIMIT (too large to lay out). */
es_status es_plan_solve(es_arena *arena, const es_scenario *scenario, es_plan_opts opts,
                        const es_plan **out_plan, es_error *err) ES_MUST_CHECK;

/* The mixed-integer program that exact solves, as free-format MPS with names from the scenario; its
 * optimum is the plan's objective. Appends to out, which must be large enough (its cap). */
es_status es_plan_write_mps(const es_scenario *scenario, es_plan_opts opts, es_text *out,
                            es_error *err) ES_MUST_CHECK;

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

/* ---- split.c: one model over a chain of nodes ---- */

enum { ES_SPLIT_LAYERS_MAX = 4096, ES_SPLIT_NODES_MAX = 16 };

/* What lies between two neighbouring cut points: the least that can be moved. */
typedef struct es_split_layer {
    const char *output;  /* tensor it ends in; NULL: the outputs of the model */
    double macs;         /* 0: none or unknown */
    double host_time_s;  /* measured on a host; NAN: not measured */
    double memory_bytes; /* of its weights, on the node that runs it */
    double output_bytes; /* shipped when the next layer runs elsewhere; unused at the end */
    double survival;     /* share of what reaches it that goes on behind it; 1: no exit here */
} es_split_layer;

/* The way between two nodes of the chain. */
typedef struct es_split_hop {
    double latency_s; /* INFINITY: no way */
    double seconds_per_bit;
    double bottleneck_seconds_per_bit; /* of its slowest link: what bounds the rate */
    double energy_j_per_bit;
} es_split_hop;

/* Requests enter at node 0 and the answer returns there. Nodes are taken in order; any may be left
 * out. All numbers >= 0; only times and hop latencies may be INFINITY (cannot). */
typedef struct es_split_problem {
    size_t layer_count; /* 1..ES_SPLIT_LAYERS_MAX */
    size_t node_count;  /* 1..ES_SPLIT_NODES_MAX */
    const es_split_layer *layers;
    const double *time_s;       /* [node][layer] */
    const double *energy_j;     /* [node][layer] */
    const double *memory_bytes; /* [node] */
    const double *processors;   /* [node], > 0: requests served side by side */
    const es_split_hop *hops;   /* [from][to]; the same node: zeros */
    double input_bytes;
    double answer_bytes;
} es_split_problem;

typedef enum es_split_objective {
    ES_SPLIT_LATENCY,    /* expected, over exits, with transfers and the way back */
    ES_SPLIT_ENERGY,     /* expected, compute and network */
    ES_SPLIT_THROUGHPUT, /* least bottleneck of busy and transfer time; then least latency */
    ES_SPLIT_OBJECTIVE_COUNT
} es_split_objective;
extern const char *const es_split_objective_names[ES_SPLIT_OBJECTIVE_COUNT];

typedef struct es_split_opts {
    es_split_objective objective; /* default latency */
    double bottleneck_s_max;      /* 1 / the least throughput; default INFINITY: none */
    uint32_t nodes_allowed;       /* bit k: node k may compute; default all */
} es_split_opts;

typedef struct es_split {
    bool feasible;           /* false: no split keeps the limits; the rest is 0 */
    const uint32_t *node_of; /* [layer_count], rising */
    size_t segment_count;
    double latency_s;     /* expected */
    double energy_j;      /* expected */
    double bottleneck_s;  /* 1 / the highest rate it sustains, each link and node for itself */
    double shipped_bytes; /* expected, each transfer once: input, cuts and answer */
} es_split;

es_split_opts es_split_opts_default(void);

/* The best split: proven, by dynamic programming over (first layer, last layer, node).
 * O(L^2 K + L K^2) time, O(L K) memory. ES_ERR_ARG: a number out of range. */
es_status es_split_solve(es_arena *arena, const es_split_problem *problem, es_split_opts opts,
                         es_split *out_split, es_error *err) ES_MUST_CHECK;

/* What a given split costs; feasible is false where memory, times or ways forbid it. node_of is
 * kept. O(L). */
es_split es_split_price(const es_split_problem *problem, const uint32_t *node_of);

/* All splits of which none is beaten in both expected latency and bottleneck, by rising latency:
 * one solve each, at most `max` of them. */
es_status es_split_front(es_arena *arena, const es_split_problem *problem, size_t max,
                         const es_split **out_splits, size_t *out_count,
                         es_error *err) ES_MUST_CHECK;

/* A model as a chain of layers, and where they come from: an ONNX file (cut at its single-tensor
 * points; work in MACs) or a document of `estran profile` (measured times, scaled so that they add
 * up to the whole's where they exceed it). */
typedef struct es_split_model {
    const char *name;
    size_t layer_count;
    es_split_layer *layers;
    double input_bytes;
    double answer_bytes;
} es_split_model;

es_status es_split_model_load(es_arena *arena, const char *path, const es_split_model **out_model,
                              es_error *err) ES_MUST_CHECK;

/* The problem of a model over nodes[count] of a scenario. Time of a layer: measured times the
 * kind's slowdown, else MACs / macs_per_s; ES_ERR_ARG where a node has neither. */
es_status es_split_layout(es_arena *arena, const es_scenario *scenario, const es_split_model *model,
                          const es_node_id *nodes, size_t count,
                          const es_split_problem **out_problem, es_error *err) ES_MUST_CHECK;

/* ---- hedonic.c: many small devices choose their gateway or server ---- */

#define ES_HEDONIC_ALONE UINT32_MAX

/* What everyone at a resource gets from its load:
 *   gain * (1 - exp(-load / gain_load)) - price * load^power - loss * (1 - exp(-2 load))
 * learning from company, congestion, packets lost in pure ALOHA. */
typedef struct es_hedonic_resource {
    double gain, gain_load; /* >= 0; gain_load > 0 where gain > 0 */
    double price, power;    /* >= 0; power > 0 where price > 0 */
    double loss;            /* >= 0 */
    double load_max;        /* nobody joins above it; INFINITY: no limit */
} es_hedonic_resource;

/* Player i at resource g has utility value + net_g(load of g); alone it has alone[i]. */
typedef struct es_hedonic_game {
    uint32_t player_count;
    uint32_t resource_count;
    const es_hedonic_resource *resources;
    const uint32_t *first;           /* [player_count + 1]: choices of player i are first[i] .. */
    const uint32_t *choice_resource; /* different ones within a player */
    const double *choice_value;      /* finite */
    const double *choice_load;       /* > 0: what the player adds to the load; NULL: 1 everywhere */
    const double *alone;             /* [player_count]; NULL: staying alone is no choice */
} es_hedonic_game;

typedef enum es_hedonic_stability {
    ES_HEDONIC_NASH,       /* nobody gains by moving */
    ES_HEDONIC_INDIVIDUAL, /* nobody gains by moving to where no member loses by it */
    ES_HEDONIC_STABILITY_COUNT
} es_hedonic_stability;

/* A function that every improving move raises; with one, moving ends by itself. */
typedef enum es_hedonic_potential {
    ES_HEDONIC_EXACT,    /* loads depend on the resource alone: by exactly what the mover gains */
    ES_HEDONIC_WEIGHTED, /* loads on the player alone, linear price: by its load times the gain */
    ES_HEDONIC_NONE,     /* not known to have one: history makes it end */
    ES_HEDONIC_POTENTIAL_COUNT
} es_hedonic_potential;

typedef struct es_hedonic_opts {
    es_hedonic_stability stability; /* default Nash */
    double epsilon;                 /* least gain worth a move, > 0; default 1e-9 */
    uint32_t pass_max;              /* default 10000 */
    uint64_t seed;                  /* of the order in which players move; default 1 */
    bool history;          /* nobody joins twice the same set of players; default false: only where
                              there is no potential */
    const uint32_t *start; /* [player_count] resources or ES_HEDONIC_ALONE; NULL: each at the choice
                              of highest value that has room */
} es_hedonic_opts;

typedef struct es_hedonic {
    const uint32_t *resource_of; /* [player_count], or ES_HEDONIC_ALONE */
    double welfare;              /* sum of utilities */
    uint64_t move_count;
    uint32_t pass_count;
    uint32_t unstable_count; /* players that would still move: 0 unless pass_max or history */
    es_hedonic_potential potential;
} es_hedonic;

es_hedonic_opts es_hedonic_opts_default(void);

/* Which potential the game has. O(choices). */
es_status es_hedonic_potential_kind(es_arena *scratch, const es_hedonic_game *game,
                                    es_hedonic_potential *out_kind, es_error *err) ES_MUST_CHECK;

/* Best responses in random order until a pass moves nobody. O(choices) per pass. ES_ERR_ARG: a
 * number out of range, or a player with no choice; the seed decides everything. */
es_status es_hedonic_solve(es_arena *arena, const es_hedonic_game *game, es_hedonic_opts opts,
                           es_hedonic *out_partition, es_error *err) ES_MUST_CHECK;

/* Potential of a partition (of the kind above; NAN: none). O(choices). */
es_status es_hedonic_potential_of(es_arena *scratch, const es_hedonic_game *game,
                                  const uint32_t *resource_of, double *out_potential,
                                  es_error *err) ES_MUST_CHECK;

/* The planner's optimum: the partition of highest welfare, whether anybody likes it or not. */
typedef struct es_hedonic_optimum {
    const uint32_t *resource_of;
    double welfare; /* of that partition */
    double bound;   /* no partition has more: enumeration when small, else Lagrangian */
    bool exact;     /* welfare is the optimum */
} es_hedonic_optimum;

/* partition: where to start from. O(choices) per round, a bounded number of rounds. */
es_status es_hedonic_optimum_of(es_arena *arena, const es_hedonic_game *game,
                                const es_hedonic *partition, es_hedonic_optimum *out_optimum,
                                es_error *err) ES_MUST_CHECK;

/* optimum over welfare as a ratio >= 1 of gains (both > 0) or of costs (both < 0); 1 when equal,
 * INFINITY when their signs differ. Any upper bound in the optimum's place gives an upper bound. */
double es_hedonic_anarchy(double welfare, double optimum);

/* ---- lora.c: LoRa as a link (Semtech AN1200.13, EU868) ---- */

typedef struct es_lora {
    uint32_t spreading_factor; /* 7..12 */
    double bandwidth_hz;       /* default 125e3 */
    uint32_t payload_bytes;    /* of the application, without the header */
    uint32_t header_bytes;     /* LoRaWAN's; default 13 */
    uint32_t preamble_symbols; /* default 8 */
    uint32_t coding_rate;      /* 1..4 for 4/5..4/8; default 1 */
    bool crc;                  /* default true: uplinks have it */
    bool implicit_header;      /* default false */
    double duty_max;           /* share of time on air allowed, (0, 1]; default 0.01 */
    double transmit_w;         /* default 44 mA at 3.3 V */
} es_lora;

es_lora es_lora_default(uint32_t spreading_factor, uint32_t payload_bytes);

/* ES_ERR_ARG: a field out of range, or more payload than EU868 allows (51, 115, 222 bytes). */
es_status es_lora_check(const es_lora *lora, es_error *err) ES_MUST_CHECK;

/* Of a checked es_lora. */
double es_lora_airtime_s(const es_lora *lora);                  /* of one packet */
double es_lora_silence_s(const es_lora *lora);                  /* after it, for the duty cycle */
double es_lora_bytes_per_day(const es_lora *lora);              /* of the application, at most */
double es_lora_aloha_success(double device_count, double duty); /* each on air this share: e^-2Nd */

/* A one-way link from device to gateway: airtime of one packet as latency, what the duty cycle
 * sustains as bandwidth, joules per bit of the application, ALOHA success against the others that
 * use the spreading factor at full duty as availability. Ends are left for the caller. */
es_link es_lora_link(const es_lora *lora, double other_count);

/* ---- Pareto front (pareto.c; docs/reference/pareto.md) ---- */

/* What a front is between; all smaller is better, of the whole scenario per second. */
typedef enum es_measure {
    ES_MEASURE_LATENCY, /* sum of rate times latency, s/s */
    ES_MEASURE_ENERGY,  /* dynamic, network and idle of nodes that host, W */
    ES_MEASURE_QUALITY, /* loss: sum of rate times (1 - quality), 1/s */
    ES_MEASURE_CARBON,  /* of the same joules, g/s */
    ES_MEASURE_COUNT
} es_measure;
extern const char *const es_measure_names[ES_MEASURE_COUNT];
extern const char *const es_measure_units[ES_MEASURE_COUNT];

typedef enum es_front_method {
    ES_FRONT_AUTO,   /* exact when small, else approx */
    ES_FRONT_EXACT,  /* every nondominated point, each class on one path */
    ES_FRONT_APPROX, /* some points, shares as in plan, and a proven bound of all others */
    ES_FRONT_METHOD_COUNT
} es_front_method;
extern const char *const es_front_method_names[ES_FRONT_METHOD_COUNT];

enum { ES_FRONT_MEASURES_MAX = 3 };

typedef struct es_front_opts {
    es_measure measures[ES_FRONT_MEASURES_MAX]; /* all different */
    uint32_t measure_count;                     /* 2 or 3 */
    es_front_method method;
    uint32_t point_count;   /* approx: about so many are sought; 2..10000, default 20 */
    size_t exact_paths_max; /* auto takes exact up to this many path variables; default 200 */
    es_plan_opts plan;      /* time limit of the whole, threads, seed, clock; the rest is unused */
} es_front_opts;

es_front_opts es_front_opts_default(void);

typedef struct es_front_point {
    double values[ES_FRONT_MEASURES_MAX];
    const es_plan *plan; /* feasible; its objective is the scenario's, its bound none */
} es_front_point;

/* Proven: no plan has all of values[k] <= corner[k] for k > 0 and values[0] < corner[0]. */
typedef struct es_front_box {
    double corner[ES_FRONT_MEASURES_MAX]; /* INFINITY: no limit */
} es_front_box;

/* Proven: sum of weights[k] values[k] >= least for every plan. */
typedef struct es_front_cut {
    double weights[ES_FRONT_MEASURES_MAX]; /* >= 0 */
    double least;
} es_front_cut;

typedef struct es_front {
    const char *scenario; /* its name */
    uint32_t measure_count;
    es_measure measures[ES_FRONT_MEASURES_MAX];
    es_front_method method;  /* exact or approx */
    es_plan_quality quality; /* OPTIMAL: every point is there; FEASIBLE: some; INFEASIBLE, UNKNOWN:
                                none, as of a plan */
    const char *conflict;    /* why infeasible, or NULL */
    size_t point_count;
    const es_front_point *points; /* by values[0], then [1], then [2]; none dominates another */
    double ideal[ES_FRONT_MEASURES_MAX];
    double reference[ES_FRONT_MEASURES_MAX]; /* ideal + 1.1 (worst of the points - ideal) */
    double hypervolume;       /* of the points, with (reference - ideal) / 1.1 as unit; 1.1^m and
                                 less */
    double hypervolume_bound; /* no set of plans has more; INFINITY: nothing is proven */
    size_t box_count;
    const es_front_box *boxes;
    size_t cut_count;
    const es_front_cut *cuts;
    size_t solve_count; /* programs solved */
    size_t reuse_count; /* programs whose answer was known already: bypass and early exit */
} es_front;

/* The front within the time limit. Errors: ES_ERR_ARG, ES_ERR_NOMEM, ES_ERR_LIMIT (method exact on
 * a scenario whose paths were cut). The front lives in arena. */
es_status es_front_solve(es_arena *arena, const es_scenario *scenario, es_front_opts opts,
                         const es_front **out_front, es_error *err) ES_MUST_CHECK;

/* What values[0] of any plan is at least, given upper limits on the others (limits[1], [2]);
 * -INFINITY: nothing proven. O(boxes + cuts). */
double es_front_least(const es_front *front, const double *limits);

/* The document estran-front, version 1, with every point's plan. */
void es_front_write(const es_front *front, const es_scenario *scenario, es_text *out);

/* Volume that points[count][dimensions] dominate below reference, all smaller is better; points
 * that are not below it in every coordinate count nothing. 1 to 8 dimensions: O(n log n) for 2,
 * O(n^2) for 3, WFG beyond (exponential at worst). Errors: ES_ERR_ARG (NaN, dimensions). */
es_status es_hypervolume(es_arena *scratch, const double *points, size_t count, uint32_t dimensions,
                         const double *reference, double *out_volume, es_error *err) ES_MUST_CHECK;

/*
 * "Do what this plan says": implemented by simulate, serve and later kube; the outcome they write
 * is the same document. cli wires them.
 */

#endif
