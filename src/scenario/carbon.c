/* Carbon intensity that prices take: of a node with a series its mean over a window of time. */
#include "scenario/internal.h"

#include <math.h>

double es_scenario_carbon_gco2e_per_kwh(const es_scenario *scenario, es_node_id node)
{
    if (scenario->carbon_gco2e_per_kwh != NULL)
        return scenario->carbon_gco2e_per_kwh[node.index];
    return es_network_node(scenario->network, node)->carbon_gco2e_per_kwh;
}

static bool has_series(const es_scenario *scenario)
{
    for (uint32_t v = 0; v < es_network_node_count(scenario->network); v++) {
        if (scenario->node_events != NULL && scenario->node_events[v].carbon != NULL)
            return true;
    }
    return false;
}

es_status es_scenario_carbon_over(es_arena *arena, es_scenario *scenario, double from_s,
                                  double to_s, es_error *err)
{
    double *means = NULL;
    uint32_t count = es_network_node_count(scenario->network);
    if (!(from_s >= 0 && from_s < to_s && isfinite(to_s)))
        return es_fail(err, ES_ERR_ARG, "carbon from %g s to %g s: needs 0 <= from < to", from_s,
                       to_s);
    if (!has_series(scenario))
        return ES_OK;
    ES_TRY(es_scenario_field_take(arena, count, sizeof *means, "carbon", &means, err));
    for (uint32_t v = 0; v < count; v++) {
        const es_series *series = scenario->node_events[v].carbon;
        means[v] = series != NULL
                       ? es_series_mean(series, from_s, to_s)
                       : es_network_node(scenario->network, (es_node_id){v})->carbon_gco2e_per_kwh;
    }
    scenario->carbon_gco2e_per_kwh = means;
    scenario->carbon_from_s = from_s;
    scenario->carbon_to_s = to_s;
    return ES_OK;
}
