/*
 * builder, private: a problem being laid out (problem.c), and what is left out of it (rest.c).
 */
#ifndef ES_PLAN_BUILDER_H
#define ES_PLAN_BUILDER_H

#include "plan/internal.h"

/* A problem being laid out. */
typedef struct es_builder {
    es_arena *arena;
    const es_scenario *scenario;
    es_problem_opts opts;
    es_error *err;
    uint32_t *host_of; /* [node][segment], index + 1; 0: none yet */
    ES_ARRAY(es_host) hosts;
    ES_ARRAY(es_path) paths;
    ES_ARRAY(uint32_t) stage_hosts;
    ES_ARRAY(double) stage_loads;
    double *class_cost_min;
    bool truncated;
    uint32_t *candidates[ES_STAGE_COUNT_MAX]; /* nodes that may run stage k */
    uint32_t candidate_counts[ES_STAGE_COUNT_MAX];
    double *scores;      /* [node_count] for the cut */
    uint32_t single_max; /* nodes of a pipeline of one stage, at most */
} es_builder;

/* A builder with its lists. */
es_status es_builder_new(es_arena *arena, const es_scenario *scenario, es_problem_opts opts,
                         es_builder *out, es_error *err) ES_MUST_CHECK;

/* Every node that may run each stage, and of these the ones that are laid out. */
void es_builder_all(es_builder *b, const es_class *class_, const es_pipeline *pipeline);
void es_builder_cut(es_builder *b, uint32_t class_index, const es_pipeline *pipeline);

/* Seconds from one node to another for some bytes; false when there is no route. */
bool es_builder_way_s(const es_scenario *scenario, es_node_id from, es_node_id to, double bytes,
                      double *out_s);

/* Cost per request of a stage's service at a node, with the price of its time. */
double es_builder_service_cost(const es_scenario *scenario, const es_stage *stage, es_node_id node,
                               const es_path_prices *prices);

/* Whether a priced path would be laid out, but for the lists. */
bool es_builder_wants(const es_builder *b, const es_class *class_, const es_price *price);

#endif
