/*
 * What a truncated problem leaves out. A bound at prices of the relaxation stays one for the whole
 * when each class is offered the tuples left out, too, free of hosting: it falls by what the
 * cheapest of them undercuts the class's price by. Tuples are tried depth first and cut off by the
 * cost so far and the least of the stages to come.
 */
#include "plan/builder.h"

#include <math.h>

typedef struct rest {
    es_builder b;
    const es_path_prices *prices;
    const es_deadline *deadline;
    bool *listed; /* [ES_STAGE_COUNT_MAX][node_count] laid out */
    uint32_t *all[ES_STAGE_COUNT_MAX];
    uint32_t all_counts[ES_STAGE_COUNT_MAX];
    double *service[ES_STAGE_COUNT_MAX]; /* [by candidate] priced */
    uint32_t node_count;
    bool late;
} rest;

static es_status take_rest(rest *x, es_arena *arena, es_error *err)
{
    x->node_count = es_network_node_count(x->b.scenario->network);
    x->listed = ES_TAKE_ARRAY(arena, bool, (size_t)ES_STAGE_COUNT_MAX * x->node_count);
    if (x->listed == NULL)
        return es_arena_full(arena, "rest", err);
    for (int k = 0; k < ES_STAGE_COUNT_MAX; k++) {
        x->all[k] = ES_TAKE_ARRAY(arena, uint32_t, x->node_count);
        x->service[k] = ES_TAKE_ARRAY(arena, double, x->node_count);
        if (x->all[k] == NULL || x->service[k] == NULL)
            return es_arena_full(arena, "rest", err);
    }
    return ES_OK;
}

/* The lists of all nodes and which of them are laid out; false: all are. */
static bool make_lists(rest *x, uint32_t class_index, const es_pipeline *pipeline)
{
    const es_class *class_ = &x->b.scenario->classes[class_index];
    es_builder_all(&x->b, class_, pipeline);
    for (uint32_t k = 0; k < pipeline->stage_count; k++) {
        x->all_counts[k] = x->b.candidate_counts[k];
        memcpy(x->all[k], x->b.candidates[k], x->all_counts[k] * sizeof *x->all[k]);
    }
    es_builder_cut(&x->b, class_index, pipeline);
    bool cut = false;
    for (uint32_t k = 0; k < pipeline->stage_count; k++) {
        bool *listed = x->listed + (size_t)k * x->node_count;
        memset(listed, 0, x->node_count * sizeof *listed);
        for (uint32_t i = 0; i < x->b.candidate_counts[k]; i++)
            listed[x->b.candidates[k][i]] = true;
        cut = cut || x->b.candidate_counts[k] < x->all_counts[k];
    }
    return cut;
}

/* Cost at the prices of a whole tuple, but for links; INFINITY: it would not be laid out anyway. */
static double price_tuple(const rest *x, uint32_t class_index, es_pipeline_id id,
                          const es_node_id *nodes, double quality_cost)
{
    const es_scenario *scenario = x->b.scenario;
    es_price price = es_scenario_price(scenario, (es_class_id){class_index}, id, nodes);
    if (!es_builder_wants(&x->b, &scenario->classes[class_index], &price))
        return INFINITY;
    double cost = price.cost + quality_cost;
    for (uint32_t k = 0; k < scenario->pipelines[id.index].stage_count; k++)
        cost += price.compute_s[k] * x->prices->mu[nodes[k].index];
    return cost;
}

/* The cheapest tuple left out of a pipeline, when below limit; else limit. */
static double find_cheapest(rest *x, uint32_t class_index, es_pipeline_id id, double limit)
{
    enum { CHECK = 1 << 16 };
    const es_scenario *scenario = x->b.scenario;
    const es_class *class_ = &scenario->classes[class_index];
    const es_pipeline *pipeline = &scenario->pipelines[id.index];
    const es_objective *objective = &scenario->objective;
    double rate = class_->arrivals.rate_rps;
    double quality_cost = 0.0;
    double ahead[ES_STAGE_COUNT_MAX + 1] = {0};
    double so_far[ES_STAGE_COUNT_MAX];
    uint32_t at[ES_STAGE_COUNT_MAX] = {0};
    es_node_id nodes[ES_STAGE_COUNT_MAX];
    if (class_->quality_min > 0.0)
        quality_cost =
            -x->prices->kappa[class_index] * (pipeline->quality - class_->quality_min) / rate;
    for (uint32_t k = pipeline->stage_count; k-- > 0;) {
        double least = INFINITY;
        for (uint32_t i = 0; i < x->all_counts[k]; i++) {
            x->service[k][i] = es_builder_service_cost(scenario, &pipeline->stages[k],
                                                       (es_node_id){x->all[k][i]}, x->prices);
            least = fmin(least, x->service[k][i]);
        }
        ahead[k] = ahead[k + 1] + least;
    }
    double base = objective->quality * (1.0 - pipeline->quality) + quality_cost;
    int last = (int)pipeline->stage_count - 1;
    uint32_t steps = 0;
    for (int k = 0; k >= 0;) {
        if (++steps % CHECK == 0 && es_deadline_left_s(x->deadline) <= 0.0) {
            x->late = true;
            return limit;
        }
        if (at[k] >= x->all_counts[k]) {
            at[k--] = 0;
            continue;
        }
        uint32_t i = at[k]++;
        double way_s;
        nodes[k] = (es_node_id){x->all[k][i]};
        if (!es_builder_way_s(scenario, k == 0 ? class_->node : nodes[k - 1], nodes[k],
                              pipeline->stages[k].input_bytes, &way_s))
            continue;
        so_far[k] = (k == 0 ? base : so_far[k - 1]) + x->service[k][i] +
                    pipeline->stages[k].reach * objective->latency_per_s * way_s;
        if (so_far[k] + ahead[k + 1] >= limit)
            continue;
        if (k < last) {
            k++;
            continue;
        }
        bool listed = true;
        for (int j = 0; listed && j <= last; j++)
            listed = x->listed[(size_t)j * x->node_count + nodes[j].index];
        if (!listed)
            limit = fmin(limit, price_tuple(x, class_index, id, nodes, quality_cost));
    }
    return limit;
}

es_status es_problem_rest(es_arena *arena, const es_scenario *scenario, es_problem_opts opts,
                          const es_path_prices *prices, const es_deadline *deadline,
                          double *out_loss, bool *out_complete, es_error *err)
{
    rest x = {.prices = prices, .deadline = deadline};
    ES_TRY(es_builder_new(arena, scenario, opts, &x.b, err));
    ES_TRY(take_rest(&x, arena, err));
    double loss = 0.0;
    for (uint32_t r = 0; !x.late && r < scenario->class_count; r++) {
        const es_class *class_ = &scenario->classes[r];
        double rate = class_->arrivals.rate_rps;
        double least = prices->pi[r];
        uint32_t first = scenario->task_pipelines[class_->task.index];
        uint32_t end = scenario->task_pipelines[class_->task.index + 1];
        for (uint32_t p = first; rate > 0.0 && p < end && !x.late; p++)
            if (scenario->pipelines[p].quality >= class_->quality_min_each &&
                make_lists(&x, r, &scenario->pipelines[p]))
                least = find_cheapest(&x, r, (es_pipeline_id){p}, least);
        loss += rate * (prices->pi[r] - least);
    }
    *out_loss = loss;
    *out_complete = !x.late;
    return ES_OK;
}
