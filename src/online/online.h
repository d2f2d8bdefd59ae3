/*
 * online: policies that decide slot by slot what each node hosts, not knowing future demand.
 *
 * A policy sees an inference delivery network (es_idn: request types, ranked options, capacities),
 * what was observed in the last slot, and its own memory; simulate and serve call it alike. Costs
 * are per request, in the unit of the network they come from (objective of a scenario, ms in
 * idn-rec-1); sizes in bytes; counts of requests per slot. Randomness comes from a seed.
 * Threads: an es_idn is read-only once built; a policy has one owner.
 * Errors: ES_ERR_ARG, ES_ERR_NOMEM, ES_ERR_LIMIT; ES_ERR_UNAVAILABLE: a policy's process is gone.
 * README.md has the mathematics.
 */
#ifndef ES_ONLINE_ONLINE_H
#define ES_ONLINE_ONLINE_H

#include "plan/plan.h"

/* ---- idn.c: the inference delivery network ---- */

/* Something that a node may host: a model (a segment of a scenario) in one or more like copies. */
typedef struct es_idn_item {
    uint32_t node;
    uint32_t model;  /* the same number on another node is the same model */
    uint32_t copies; /* hosted at most; >= 1 */
    bool pinned;     /* always hosted, all copies: a repository */
    double size_bytes;
} es_idn_item;

/* One way to serve a request of a type. */
typedef struct es_idn_option {
    double cost;     /* per request; >= 0 */
    double capacity; /* requests per slot and copy; INFINITY: no limit */
    double latency_s;
    double quality;
    uint32_t hop;        /* on the path of the type, 0: where it enters */
    uint32_t group;      /* whose capacity is shared pro rata by the requests of its types;
                            ES_INDEX_NONE: by this type alone */
    uint32_t item_count; /* 0: a refusal; several: all are needed, capacity is of the scarcest */
    uint32_t items[ES_STAGE_COUNT_MAX];
    es_pipeline_id pipeline; /* of a scenario; index ES_INDEX_NONE otherwise, and for a refusal */
    es_node_id nodes[ES_STAGE_COUNT_MAX];
} es_idn_option;

typedef struct es_idn es_idn;

/* Plain data, to be read by policies; es_idn_new fills the lower part. */
struct es_idn {
    const char *name;
    const char *cost_unit;       /* "objective", "ms" */
    const es_scenario *scenario; /* NULL: from a generator */
    double slot_s;
    uint32_t node_count;
    const char *const *node_names;
    const es_tier *tiers;       /* [node] */
    const double *budget_bytes; /* [node]; INFINITY: no limit */
    const bool *usable;         /* [item] that can be hosted now; NULL: all. A decider sets it */
    uint32_t model_count;
    const char *const *model_names;
    uint32_t item_count;
    const es_idn_item *items; /* by node */
    uint32_t type_count;
    const char *const *type_names;
    const uint32_t *type_first;   /* [type_count + 1]: options of type t */
    const es_idn_option *options; /* by type, then rising cost; the last of each type is pinned (or
                                     a refusal) and without limit, so that all is served */
    uint32_t group_count;
    /* ---- filled by es_idn_new ---- */
    const uint32_t *node_first; /* [node_count + 1]: items of node v */
    const double *costs;        /* [option], the same numbers side by side for the loops */
    const double *capacities;
    const uint32_t *groups;      /* [option]; private groups come behind the given ones */
    const uint32_t *main_item;   /* [option]; further ones in options[].items */
    const uint32_t *group_first; /* [group_count + 1]: types of a group */
    const uint32_t *group_types;
    const uint32_t *use_first; /* [item_count + 1]: types that item i may serve */
    const uint32_t *use_types;
};

/* Checks *given, sorts the options of each type by cost (then hop, then item), leaves out those
 * behind the first that is pinned and without limit, and fills the rest. Arrays of given are kept,
 * options are copied. O(options log options). ES_ERR_ARG: what is missing or out of range.
 */
es_status es_idn_new(es_arena *arena, const es_idn *given, const es_idn **out_idn,
                     es_error *err) ES_MUST_CHECK;

/* The network of a scenario. Path of a class: the nodes on the way to the nearest cloud (without
 * one: to the largest memory); an option is a pipeline over nodes of it in order. Cloud nodes that
 * can hold every segment are repositories. Where no repository takes everything, the last option is
 * refusal, at refusal_cost, or where that is forbidden at ten times the dearest option. */
es_status es_idn_from_scenario(es_arena *arena, const es_scenario *scenario, const es_idn **out_idn,
                               es_error *err) ES_MUST_CHECK;

/* The reconstructed setting `idn-rec-1` (spec §1.8; a reconstruction, not the paper's): 36 nodes in
 * 5 tiers, 20 tasks x 6 YOLOv4 variants x 3 copies. alpha in ms per unit of inaccuracy. */
es_status es_idn_rec_1(es_arena *arena, double alpha, const es_idn **out_idn,
                       es_error *err) ES_MUST_CHECK;

/* Its demand in a slot: 7500 requests per second, Zipf 1.2 over tasks, ranks shifted by 5 every
 * shift_slots (0: fixed). out_requests[type_count]. */
void es_idn_rec_1_demand(const es_idn *idn, uint32_t slot, uint32_t shift_slots,
                         double *out_requests);

/* A small random network for property tests: every kind of feature, by seed. */
es_status es_idn_random(es_arena *arena, uint64_t seed, const es_idn **out_idn,
                        es_error *err) ES_MUST_CHECK;

/* ---- load.c: what hosting is worth ---- */

/* The requests of one slot with the capacities that follow. hosted[item] is in copies and may be
 * fractional: the concave extension. */
typedef struct es_idn_load {
    const es_idn *idn;
    double *requests;  /* [type] */
    double *per_group; /* [group_count]: 1 / requests that share it */
    double *pinned;    /* [item] */
    double total;      /* requests */
    double base_cost;  /* of serving all from pinned items */
} es_idn_load;

es_status es_idn_load_new(es_arena *arena, const es_idn *idn, es_idn_load *out_load,
                          es_error *err) ES_MUST_CHECK;
/* requests[type_count] >= 0, copied. O(options). */
void es_idn_load_set(es_idn_load *load, const double *requests);
/* Largest number of requests of a type that one copy behind option may serve: the lambda of the
 * paper. O(1). */
double es_idn_load_capacity(const es_idn_load *load, uint32_t type, uint32_t option);

/* Cost of serving the load, cheapest options first. O(options). */
double es_idn_cost(const es_idn_load *load, const double *hosted);
/* Cost saved against the pinned items alone; concave and rising in hosted. */
double es_idn_gain(const es_idn_load *load, const double *hosted);
/* A supergradient of the gain, per copy of each item: gain(z) <= gain(u) + sum g (z - u). Returns
 * the cost at hosted. */
double es_idn_gradient(const es_idn_load *load, const double *hosted, double *out_gradient);

/* What the requests of the slot met. */
typedef struct es_idn_service {
    double cost, latency_s, quality; /* sums over requests */
    double refused;
} es_idn_service;
/* served[option] is optional: requests per option. */
es_idn_service es_idn_serve(const es_idn_load *load, const double *hosted, double *served);

/* The control messages by which nodes compute es_idn_gradient together (README.md). */
typedef struct es_idn_messages {
    double messages; /* one per link of a path and direction */
    double entries;  /* (cost, capacity) pairs carried */
} es_idn_messages;
/* out_gradient as es_idn_gradient's, computed the distributed way; a cross-check. */
es_idn_messages es_idn_exchange(const es_idn_load *load, const double *hosted,
                                double *out_gradient);

/* ---- project.c, round.c: the two steps of mirror ascent on a set of knapsacks ---- */

/* The point of { sum_i weight_i min(1, beta h_i) = budget }: the projection of h > 0 by the
 * negative entropy weighted with the sizes. All ones when everything fits. O(count), few passes.
 * y may be h. */
void es_online_project(const double *h, const double *weight, size_t count, double budget,
                       double *y);

/* Rounds the fractional copies u[count] of sizes to whole ones: E = u, weight kept within the
 * budget. order is the fixed order of pairing and uniform[count + 1] the fixed draws: the same slot
 * after slot, the result changes only where u does. The last fractional one: up with its
 * probability (unbiased), or down when it does not fit (strict). */
typedef struct es_round_opts {
    bool unbiased; /* default false: strict */
} es_round_opts;
void es_online_round(const double *u, const double *size, const uint32_t *order,
                     const double *uniform, size_t count, double budget, es_round_opts opts,
                     double *scratch, uint32_t *out_copies);

/* ---- policy.c ---- */

/* What a policy is told about the slot that went by. */
typedef struct es_observation {
    uint32_t slot;
    const double *requests; /* [type] that came */
    const uint32_t *hosted; /* [item] that stood, after clipping */
    double cost;            /* of serving them */
} es_observation;

typedef struct es_policy es_policy;
struct es_policy {
    const char *name;
    void *memory;
    /* Copies of each item for the coming slot into hosted[item], which holds the last ones (pinned
     * ones are put back by the caller). last: NULL in slot 0. */
    es_status (*decide)(void *memory, uint32_t slot, const es_observation *last, uint32_t *hosted,
                        es_error *err);
    /* The fractional state that hosted was drawn from, in copies [item]; NULL: there is none. */
    const double *(*fraction)(const void *memory);
    /* The plan behind hosted, with its routing, kept until the next decide; NULL, or gives NULL:
     * none. */
    const es_plan *(*plan)(const void *memory);
    /* As decide where the answer is known from a log, when deciding is dear; NULL: decide does it.
     */
    es_status (*recall)(void *memory, uint32_t slot, const es_observation *last,
                        const uint32_t *hosted, es_error *err);
    void (*done)(void *memory); /* NULL: nothing beyond the arena's memory */
};

/* What a policy is made from. */
typedef struct es_policy_given {
    es_arena *arena; /* of the policy; outlives it */
    const es_idn *idn;
    uint64_t seed;
    uint32_t slot_count;
    uint32_t first_slot;  /* of the scenario, where the policy has its slot 0 */
    const double *future; /* [slot][type]: read only by the references that know it */
    double late_s;        /* an answer of a process later than this is late; default 10 */
} es_policy_given;

/* spec: NAME[:KEY=VALUE]..., e.g. "infida:refresh=8", or "process:COMMAND". ES_ERR_ARG offers the
 * nearest name or key. */
es_status es_policy_make(const es_policy_given *given, const char *spec, es_policy *out_policy,
                         es_error *err) ES_MUST_CHECK;
void es_policy_done(es_policy *policy);

/* Names in the order of the table, with one line each; false past the end. */
bool es_policy_list(size_t index, const char **out_name, const char **out_help);

/* Whether spec names a reference that knows the future: not a policy one could run. */
bool es_policy_knows_future(const char *spec);

/* What was wrong with an answer, and what became of it: copies beyond the item's are cut, then
 * items are dropped, the last ones of each node first, until the budget holds. */
typedef struct es_policy_violations {
    uint64_t over_copies;
    uint64_t over_budget; /* nodes */
} es_policy_violations;
es_policy_violations es_policy_clip(const es_idn *idn, uint32_t *hosted);

/* ---- route.c: who is served where ---- */

typedef struct es_router es_router; /* lives in the arena */

/* idn has a scenario. */
es_status es_router_new(es_arena *arena, const es_idn *idn, es_router **out_router,
                        es_error *err) ES_MUST_CHECK;

/* counts[type] requests of a slot take hosted[item] options, cheapest first, within each class's
 * pro rata share of the nodes' time; then within what is left, class by class; the rest is refused,
 * or where that is forbidden waits at its cheapest hosted option. The plan lives in arena. */
es_status es_router_plan(es_arena *arena, es_router *router, const double *counts,
                         const uint32_t *hosted, const es_plan **out_plan,
                         es_error *err) ES_MUST_CHECK;

/* ---- decider.c: a policy slot by slot, as simulate and serve alike drive it ---- */

/* What is wrong with a policy's answers, counted when they are clipped. */
typedef struct es_policy_faults {
    uint64_t over_copies; /* more copies than the item has */
    uint64_t over_budget; /* nodes asked to hold more than their memory */
    uint64_t bad_answers; /* none, late or no sense: what stood stays */
    char first[160];      /* of them; empty: none */
} es_policy_faults;

typedef struct es_decider es_decider;

/* A policy, made from spec, before its slot 0. clip: faults are counted and clipped; else the first
 * is an error. Lives in given->arena, and keeps *given's idn. */
es_status es_decider_new(const es_policy_given *given, const char *spec, bool clip,
                         es_decider **out_decider, es_error *err) ES_MUST_CHECK;
void es_decider_free(es_decider *decider); /* ends the policy; NULL is fine */
void es_decider_free_p(es_decider **decider);

/* Decides the next slot. usable[item] (NULL: all): what cannot be hosted now, on a node that is
 * gone or refuses it, offers no capacity to the policy and is left out of the answer. */
es_status es_decider_decide(es_decider *decider, const bool *usable, es_error *err) ES_MUST_CHECK;

/* The same where what came of it, hosted[item], stands in a log; *out_same: the policy agrees, as
 * it must while neither it nor the scenario has changed (and no solve ended by its time limit). */
es_status es_decider_recall(es_decider *decider, const bool *usable, const uint32_t *hosted,
                            bool *out_same, es_error *err) ES_MUST_CHECK;

/* What came in the slot decided last, requests[type]: the policy sees it when the next is decided.
 * Gives the fluid account of serving them. */
es_idn_service es_decider_observe(es_decider *decider, const double *requests);

const uint32_t *es_decider_hosted(const es_decider *decider);  /* [item] in the slot decided last */
uint32_t es_decider_next(const es_decider *decider);           /* slot, from 0 */
const es_idn_load *es_decider_load(const es_decider *decider); /* of the slot observed last */
const es_policy *es_decider_policy(const es_decider *decider);
const es_policy_faults *es_decider_faults(const es_decider *decider);

/* The policy's own plan for the slot decided last, while all that it needs is hosted; else NULL. */
const es_plan *es_decider_plan(const es_decider *decider);

/* How counts[type] requests go in the slot decided last: the routing of es_decider_plan, else
 * es_router_plan's; placements are all that is hosted. Of a scenario's idn. */
es_status es_decider_route(es_arena *arena, const es_decider *decider, const double *counts,
                           const es_plan **out_plan, es_error *err) ES_MUST_CHECK;

/* ---- learn.c: which configuration (exit threshold, precision, split), by losses ---- */

typedef enum es_learner_kind {
    ES_LEARNER_ADAHEDGE, /* all losses seen; no parameter; regret O(sqrt(T ln K)) and less */
    ES_LEARNER_EXP3,     /* only the loss of what was chosen; sqrt(2 T K ln K) on average */
    ES_LEARNER_EXP3_IX,  /* the same with high probability */
    ES_LEARNER_EXP4,     /* experts advise; sqrt(2 T K ln N) against the best of N experts */
    ES_LEARNER_LINUCB,   /* loss linear in a context */
    ES_LEARNER_KIND_COUNT
} es_learner_kind;
extern const char *const es_learner_names[ES_LEARNER_KIND_COUNT];

typedef struct es_learner_opts {
    es_learner_kind kind;
    uint32_t arm_count;    /* >= 1 */
    uint32_t expert_count; /* EXP4: >= 1 */
    uint32_t context_size; /* LinUCB: 1..64 */
    uint64_t horizon;      /* rounds; 0: not known, steps shrink with time; default 0 */
    double width;          /* LinUCB: of the confidence; default 1 */
    double ridge;          /* LinUCB: > 0; default 1 */
    double keep;           /* LinUCB: of the past per round, (0, 1]; default 1 */
    uint32_t budget_count; /* energy, bytes, ...; at most 8; default 0 */
    const double *budgets; /* in all, over horizon (then > 0); kept until the learner goes */
    uint32_t idle_arm;     /* spends nothing: all that is left when a budget is used up */
    double price_max;      /* of a unit of spending per round, in losses; default 10 */
    uint64_t seed;
} es_learner_opts;

typedef struct es_learner es_learner; /* lives in the arena */

es_learner_opts es_learner_opts_default(es_learner_kind kind, uint32_t arm_count);
es_status es_learner_new(es_arena *arena, es_learner_opts opts, es_learner **out_learner,
                         es_error *err) ES_MUST_CHECK;
/* The arm of this round. context: LinUCB [context_size]; EXP4 advice[expert][arm], each a
 * distribution; else NULL. O(arms * (experts or context^2)). */
uint32_t es_learner_choose(es_learner *learner, const double *context);
/* Probabilities of the last choice [arm_count]; LinUCB: 1 for the chosen. */
const double *es_learner_probabilities(const es_learner *learner);
/* losses[arm_count], 0..1 (AdaHedge: any scale): the bandits look only at the chosen arm.
 * spent[arm][budget_count], NULL without budgets: the chosen arm's row; AdaHedge reads all. */
void es_learner_learn(es_learner *learner, const double *losses, const double *spent);
/* What is left of budget j. */
double es_learner_budget_left(const es_learner *learner, uint32_t j);

/* ---- regret.c, best.c ---- */

/* The best fixed fractional allocation for demand[slots][types] that steps of mirror ascent find
 * (three sizes of step, `steps` of each): out_best[item], its mean gain per slot, and an upper
 * bound of that of every fixed allocation, whole or fractional. Demand of more than 64 distinct
 * slots is averaged over 64 stretches; the bound then holds for the averaged one. */
es_status es_online_best(es_arena *arena, const es_idn *idn, const double *demand, uint32_t slots,
                         uint32_t steps, double *out_best, double *out_gain, double *out_bound,
                         es_error *err) ES_MUST_CHECK;

/* Bound of the (1 - 1/e)-regret of INFIDA with its best constant step over slots (spec §1.4,
 * derived): psi * theta * sqrt(2 T sum_v D_v sum_v b_v). theta: the largest |gradient| / size. */
double es_online_regret_bound(const es_idn *idn, double theta, uint32_t slot_count);

/* Slope of log regret over log slot: least squares over the points from the last slot / 16 on
 * (space them evenly in the logarithm); NAN where one of them is not positive, or there are fewer
 * than 4. */
double es_online_slope(const double *slots, const double *regret, size_t count);

#endif
