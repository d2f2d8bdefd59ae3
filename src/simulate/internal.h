/*
 * simulate/internal: queues, waits and paths of slot mode (README.md has the formulas).
 */
#ifndef ES_SIMULATE_INTERNAL_H
#define ES_SIMULATE_INTERNAL_H

#include "simulate/simulate.h"

/* ---- queue.c ---- */

/* Probability that a request must wait: servers >= 1, offered load in servers, load < servers. */
double es_erlang_c(uint32_t servers, double load);

/* What comes to a node in a slot. Sums over the stages that it serves. */
typedef struct es_load {
    double count;     /* stage visits */
    double work_s;    /* busy seconds */
    double squares;   /* of service times, summed over visits */
    double variation; /* squared coefficient of variation of the intervals, times count */
    double energy_j;
} es_load;

/* Mean wait in steady state with the share that waits: M/G/c by Allen and Cunneen. load.work_s <
 * servers * duration_s. */
typedef struct es_wait {
    double mean_s;
    double share; /* of requests that wait at all */
} es_wait;
es_wait es_queue_wait(const es_load *load, uint32_t servers, double duration_s);

/* Mean wait that chance builds up within horizon_s at full load: bounds the steady state, which has
 * no time to settle near saturation. */
double es_queue_wait_bound(const es_load *load, uint32_t servers, double duration_s,
                           double horizon_s);

/* ---- strata.c ---- */

/* A distribution as points of fixed weight, each the mean of its quantile range; finer at the tail
 * and centred on the quantiles that tables show. */
enum { ES_STRATA = 24 };
extern const double es_strata_edges[ES_STRATA + 1];
typedef struct es_strata {
    double value_s[ES_STRATA];
} es_strata;

double es_strata_weight(size_t i);
double es_strata_mean(const es_strata *strata);

/* P(W > t) = share * exp(-t * share / mean): the mean is kept exactly. */
es_strata es_strata_of_wait(es_wait wait);

/* Waits of a backlog that goes evenly from first_s to last_s over the drained share of the slot,
 * and then those of settled. */
es_strata es_strata_of_backlog(double first_s, double last_s, double drained,
                               const es_strata *settled);

/* Sum of two independent ones, again as strata; the mean is kept exactly. */
es_strata es_strata_sum(const es_strata *a, const es_strata *b);

/* ---- node.c ---- */

/* A node in time. The plan's nodes only. */
typedef struct es_sim_node {
    uint32_t servers;
    double backlog_s; /* busy seconds left from before */
    double backlog_j;
    es_load load; /* of this slot */
    es_strata wait;
    bool waits;        /* wait is not all zero */
    double unfinished; /* share of this slot's visits still waiting when the run ends */
    double done_s;     /* busy seconds of this slot */
    double done_j;
} es_sim_node;

/* From load and backlog: wait, unfinished, done, and the backlog after the slot. start_s is when
 * the slot starts, end_s when the run ends; horizon_s bounds chance. */
void es_sim_node_step(es_sim_node *node, double start_s, double slot_s, double end_s,
                      double horizon_s);

/* ---- paths.c ---- */

/* One stage of one routing, worked out once. */
typedef struct es_sim_step {
    uint32_t node;
    double reach;
    double exits;     /* probability that a request leaves after this stage */
    double there_s;   /* transfer into the stage */
    double service_s; /* with overhead */
    double back_s;    /* transfer of the answer to the entry */
    double compute_j, there_j, back_j;
    double compute_g, there_g, back_g;
} es_sim_step;

typedef struct es_sim_path {
    es_class_id class_id;
    es_pipeline_id pipeline;
    double share; /* of the class; shares and refusals of a class add up to 1 */
    double quality;
    uint32_t step_count;
    es_sim_step steps[ES_STAGE_COUNT_MAX];
} es_sim_path;

/* ES_ERR_ARG when the plan names what the scenario does not have, sends requests where there is no
 * route or no service, or does not say where all of a class goes. refused[class_count]. */
es_status es_sim_paths(es_arena *arena, const es_scenario *scenario, const es_plan *plan,
                       double overhead_s, const es_sim_path **out_paths, double **out_refused,
                       es_error *err) ES_MUST_CHECK;

#endif
