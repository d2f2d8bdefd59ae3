/* What plans are measured by in a front. */
#include "plan/pareto.h"

#include <assert.h>

const char *const es_measure_names[ES_MEASURE_COUNT] = {"latency", "energy", "quality", "carbon"};
const char *const es_measure_units[ES_MEASURE_COUNT] = {"s/s", "W", "1/s", "g/s"};
const char *const es_front_method_names[ES_FRONT_METHOD_COUNT] = {"auto", "exact", "approx"};

static const double JOULES_PER_KWH = 3.6e6;

double es_measure_of_price(es_measure measure, const es_price *price)
{
    switch (measure) {
    case ES_MEASURE_LATENCY:
        return price->latency_s;
    case ES_MEASURE_ENERGY:
        return price->energy_compute_j + price->energy_network_j;
    case ES_MEASURE_QUALITY:
        return 1.0 - price->quality;
    case ES_MEASURE_CARBON:
        return price->carbon_g;
    case ES_MEASURE_COUNT:
        break;
    }
    assert(false);
    return 0.0;
}

double es_measure_of_node(es_measure measure, const es_scenario *scenario, es_node_id node)
{
    double idle_w = es_network_node(scenario->network, node)->idle_w;
    if (measure == ES_MEASURE_ENERGY)
        return idle_w;
    if (measure == ES_MEASURE_CARBON)
        return idle_w * es_scenario_carbon_gco2e_per_kwh(scenario, node) / JOULES_PER_KWH;
    return 0.0;
}

void es_front_values(const es_scenario *scenario, const es_measure *measures, uint32_t count,
                     const es_plan *plan, double *values)
{
    for (uint32_t k = 0; k < count; k++)
        values[k] = 0.0;
    for (size_t i = 0; i < plan->routing_count; i++) {
        const es_routing *way = &plan->routings[i];
        es_price price = es_scenario_price(scenario, way->class_id, way->pipeline, way->nodes);
        double rate = scenario->classes[way->class_id.index].arrivals.rate_rps;
        for (uint32_t k = 0; k < count; k++)
            values[k] += rate * way->share * es_measure_of_price(measures[k], &price);
    }
    for (size_t i = 0; i < plan->placement_count; i++) {
        es_node_id node = plan->placements[i].node;
        if (i > 0 && plan->placements[i - 1].node.index == node.index)
            continue;
        for (uint32_t k = 0; k < count; k++)
            values[k] += es_measure_of_node(measures[k], scenario, node);
    }
}

double es_front_objective(const es_scenario *scenario, const es_plan *plan)
{
    double cost = 0.0;
    for (size_t i = 0; i < plan->routing_count; i++) {
        const es_routing *way = &plan->routings[i];
        es_price price = es_scenario_price(scenario, way->class_id, way->pipeline, way->nodes);
        cost += scenario->classes[way->class_id.index].arrivals.rate_rps * way->share * price.cost;
    }
    for (size_t i = 0; i < plan->placement_count; i++) {
        const es_placement *here = &plan->placements[i];
        cost += scenario->segments[here->segment.index].hosting_per_s;
        if (i == 0 || plan->placements[i - 1].node.index != here->node.index)
            cost += scenario->objective.idle_per_j *
                    es_network_node(scenario->network, here->node)->idle_w;
    }
    return cost;
}

bool es_front_covers(const double *a, const double *b, uint32_t count)
{
    for (uint32_t k = 0; k < count; k++)
        if (a[k] > b[k])
            return false;
    return true;
}
