/*
 * Price: what one request costs on one pipeline over given nodes (ARCHITECTURE §3), no queueing.
 *
 *   L = sum_k pi_k (transfer(v_{k-1}, v_k, b_k) + t_k)
 *     + sum_k (pi_k - pi_{k+1}) transfer(v_k, v_0, answer),   v_0 the entry, pi_{K+1} = 0.
 */
#include "scenario/internal.h"

#include <assert.h>
#include <math.h>

static const double JOULES_PER_KWH = 3.6e6;

/* Adds a transfer made with probability share. False when there is no route. */
static bool add_transfer(const es_scenario *scenario, es_node_id from, es_node_id to, double bytes,
                         double share, es_price *price, double *out_time_s)
{
    *out_time_s = 0;
    if (from.index == to.index)
        return true;
    es_route route;
    if (!es_routes_get(scenario->routes, from, to, &route))
        return false;
    *out_time_s = route.latency_s + 8 * bytes * route.seconds_per_bit;
    double energy_j = share * 8 * bytes * route.energy_j_per_bit;
    double intensity = (es_scenario_carbon_gco2e_per_kwh(scenario, from) +
                        es_scenario_carbon_gco2e_per_kwh(scenario, to)) /
                       2;
    price->latency_s += share * *out_time_s;
    price->energy_network_j += energy_j;
    price->carbon_g += energy_j * intensity / JOULES_PER_KWH;
    return true;
}

/* Adds the service of one stage. False when it cannot run there. */
static bool add_service(const es_scenario *scenario, const es_stage *stage, es_node_id node,
                        es_price *price, double *out_busy_s, double *out_time_s)
{
    es_service service = es_scenario_service(scenario, stage->segment, node);
    if (isinf(service.time_s))
        return false;
    double energy_j = stage->reach * service.energy_j;
    *out_time_s = service.time_s;
    *out_busy_s = stage->reach * service.time_s;
    price->latency_s += *out_busy_s;
    price->energy_compute_j += energy_j;
    price->carbon_g += energy_j * es_scenario_carbon_gco2e_per_kwh(scenario, node) / JOULES_PER_KWH;
    return true;
}

es_price es_scenario_price(const es_scenario *scenario, es_class_id class_id,
                           es_pipeline_id pipeline_id, const es_node_id *nodes)
{
    assert(class_id.index < scenario->class_count);
    assert(pipeline_id.index < scenario->pipeline_count);
    const es_price unreachable = {.reachable = false};
    const es_pipeline *pipeline = &scenario->pipelines[pipeline_id.index];
    es_node_id entry = scenario->classes[class_id.index].node;
    double answer_bytes = scenario->tasks[pipeline->task.index].output_bytes;
    es_price price = {.quality = pipeline->quality, .reachable = true};
    es_node_id before = entry;
    double passed_s = 0; /* so far, of a request that goes through all stages */
    for (uint32_t k = 0; k < pipeline->stage_count; k++) {
        const es_stage *stage = &pipeline->stages[k];
        double next = k + 1 < pipeline->stage_count ? pipeline->stages[k + 1].reach : 0;
        double there_s = 0;
        double service_s = 0;
        double back_s = 0;
        if (!add_transfer(scenario, before, nodes[k], stage->input_bytes, stage->reach, &price,
                          &there_s) ||
            !add_service(scenario, stage, nodes[k], &price, &price.compute_s[k], &service_s))
            return unreachable;
        if (stage->reach > next && !add_transfer(scenario, nodes[k], entry, answer_bytes,
                                                 stage->reach - next, &price, &back_s))
            return unreachable;
        passed_s += there_s + service_s;
        price.latency_max_s = passed_s + back_s;
        before = nodes[k];
    }
    const es_objective *weights = &scenario->objective;
    price.cost = weights->latency_per_s * price.latency_s + weights->quality * (1 - price.quality) +
                 weights->energy_per_j * (price.energy_compute_j + price.energy_network_j) +
                 weights->carbon_per_g * price.carbon_g;
    return price;
}
