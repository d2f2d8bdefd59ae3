#include "simulate/internal.h"

#include <math.h>

#define SHARES_TOLERANCE 1e-6
#define J_PER_KWH 3.6e6

static const char *class_name(const es_scenario *scenario, es_class_id class_id)
{
    return es_network_node(scenario->network, scenario->classes[class_id.index].node)->name;
}

/* Time, joules and grams of bytes from one node to another; carbon at the mean of both ends, as in
 * es_scenario_price. False when there is no route. */
static bool transfer(const es_scenario *scenario, es_node_id from, es_node_id to, double bytes,
                     double *out_s, double *out_j, double *out_g)
{
    es_route route;
    *out_s = *out_j = *out_g = 0;
    if (from.index == to.index)
        return true;
    if (!es_routes_get(scenario->routes, from, to, &route))
        return false;
    *out_s = es_route_transfer_s(&route, bytes);
    *out_j = 8 * bytes * route.energy_j_per_bit;
    *out_g = *out_j / J_PER_KWH *
             (es_network_node(scenario->network, from)->carbon_gco2e_per_kwh +
              es_network_node(scenario->network, to)->carbon_gco2e_per_kwh) /
             2;
    return true;
}

static es_status check_routing(const es_scenario *scenario, const es_routing *routing, size_t i,
                               es_error *err)
{
    uint32_t node_count = es_network_node_count(scenario->network);
    if (routing->class_id.index >= scenario->class_count)
        return es_fail(err, ES_ERR_ARG, "plan: routings[%zu]: class %u is not in the scenario", i,
                       routing->class_id.index);
    if (routing->pipeline.index >= scenario->pipeline_count)
        return es_fail(err, ES_ERR_ARG, "plan: routings[%zu]: pipeline %u is not in the scenario",
                       i, routing->pipeline.index);
    if (!(routing->share >= 0 && routing->share <= 1 + SHARES_TOLERANCE))
        return es_fail(err, ES_ERR_ARG, "plan: routings[%zu]: share=%g must be in [0, 1]", i,
                       routing->share);
    for (uint32_t k = 0; k < scenario->pipelines[routing->pipeline.index].stage_count; k++) {
        if (routing->nodes[k].index >= node_count)
            return es_fail(err, ES_ERR_ARG, "plan: routings[%zu]: node %u is not in the scenario",
                           i, routing->nodes[k].index);
    }
    return ES_OK;
}

static es_status make_step(const es_scenario *scenario, const es_routing *routing, uint32_t k,
                           double overhead_s, es_sim_step *step, es_error *err)
{
    const es_pipeline *pipeline = &scenario->pipelines[routing->pipeline.index];
    const es_stage *stage = &pipeline->stages[k];
    es_node_id entry = scenario->classes[routing->class_id.index].node;
    es_node_id before = k == 0 ? entry : routing->nodes[k - 1];
    es_node_id here = routing->nodes[k];
    const es_node *node = es_network_node(scenario->network, here);
    es_service service = es_scenario_service(scenario, stage->segment, here);
    if (!isfinite(service.time_s))
        return es_fail(err, ES_ERR_ARG, "plan: segment '%s' cannot run on node '%s'",
                       scenario->segments[stage->segment.index].name, node->name);
    double next = k + 1 < pipeline->stage_count ? pipeline->stages[k + 1].reach : 0;
    *step = (es_sim_step){
        .node = here.index,
        .reach = stage->reach,
        .exits = fmax(stage->reach - next, 0),
        .service_s = service.time_s + overhead_s,
        .compute_j = service.energy_j,
        .compute_g = service.energy_j * node->carbon_gco2e_per_kwh / J_PER_KWH,
    };
    if (!transfer(scenario, before, here, stage->input_bytes, &step->there_s, &step->there_j,
                  &step->there_g) ||
        !transfer(scenario, here, entry, scenario->tasks[pipeline->task.index].output_bytes,
                  &step->back_s, &step->back_j, &step->back_g))
        return es_fail(err, ES_ERR_ARG, "plan: node '%s' cannot be reached by class at '%s'",
                       node->name, class_name(scenario, routing->class_id));
    return ES_OK;
}

/* Shares and refusals of each class must cover it; what rounding left is spread. */
static es_status spread_shares(const es_scenario *scenario, const es_plan *plan, es_sim_path *paths,
                               double *refused, double *sums, es_error *err)
{
    for (uint32_t c = 0; c < scenario->class_count; c++)
        sums[c] = refused[c] = plan->refused_share != NULL ? plan->refused_share[c] : 0;
    for (size_t i = 0; i < plan->routing_count; i++)
        sums[paths[i].class_id.index] += paths[i].share;
    for (uint32_t c = 0; c < scenario->class_count; c++) {
        if (!(fabs(sums[c] - 1) <= SHARES_TOLERANCE))
            return es_fail(err, ES_ERR_ARG,
                           "plan: class %u at '%s': shares and refusals add up to %.9g, not 1", c,
                           class_name(scenario, (es_class_id){c}), sums[c]);
        refused[c] /= sums[c];
    }
    for (size_t i = 0; i < plan->routing_count; i++)
        paths[i].share /= sums[paths[i].class_id.index];
    return ES_OK;
}

es_status es_sim_paths(es_arena *arena, const es_scenario *scenario, const es_plan *plan,
                       double overhead_s, const es_sim_path **out_paths, double **out_refused,
                       es_error *err)
{
    void *taken;
    void *refused;
    void *sums;
    ES_TRY(es_arena_take_or_fail(arena, plan->routing_count, sizeof(es_sim_path), "paths", &taken,
                                 err));
    ES_TRY(es_arena_take_or_fail(arena, scenario->class_count, sizeof(double), "refusals", &refused,
                                 err));
    ES_TRY(
        es_arena_take_or_fail(arena, scenario->class_count, sizeof(double), "shares", &sums, err));
    es_sim_path *paths = taken;
    for (size_t i = 0; i < plan->routing_count; i++) {
        const es_routing *routing = &plan->routings[i];
        ES_TRY(check_routing(scenario, routing, i, err));
        const es_pipeline *pipeline = &scenario->pipelines[routing->pipeline.index];
        paths[i] = (es_sim_path){.class_id = routing->class_id,
                                 .pipeline = routing->pipeline,
                                 .share = routing->share,
                                 .quality = pipeline->quality,
                                 .step_count = pipeline->stage_count};
        for (uint32_t k = 0; k < pipeline->stage_count; k++)
            ES_TRY(make_step(scenario, routing, k, overhead_s, &paths[i].steps[k], err));
    }
    ES_TRY(spread_shares(scenario, plan, paths, refused, sums, err));
    *out_paths = paths;
    *out_refused = refused;
    return ES_OK;
}
