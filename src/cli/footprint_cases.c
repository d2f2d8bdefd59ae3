/* The cases of a scenario: its plan, the baselines, and the least energy at their quality. */
#include "cli/footprint.h"
#include "plan/plan.h"
#include "simulate/simulate.h"

#include <math.h>

#define QUALITY_SLACK 1e-9
#define WEIGHT 1000.0 /* costs in mJ, so that tolerances of solvers are small beside them */
#define CARBON_WEIGHT 1e9

static es_status add(es_cli *cli, const es_scenario *scenario, es_plan_method method,
                     const char *label, es_footprint_cases *cases, es_error *err)
{
    es_plan_opts opts = es_plan_opts_default();
    es_simulate_opts simulate = es_simulate_opts_default();
    const es_plan *plan = NULL;
    opts.method = method;
    if (cli->seed != 0)
        opts.seed = simulate.seed = (uint64_t)cli->seed;
    ES_TRY(es_within(err, es_plan_solve(cli->arena, scenario, opts, &plan, err), "%s", label));
    es_footprint_case *one = &cases->items[cases->count++];
    *one = (es_footprint_case){.label = label, .note = plan->conflict};
    if (plan->quality == ES_PLAN_INFEASIBLE || plan->quality == ES_PLAN_UNKNOWN) {
        if (plan->conflict == NULL)
            one->note = "no feasible plan found in time";
        return ES_OK;
    }
    simulate.label = label;
    simulate.expected = true;
    return es_within(err,
                     es_simulate_slots(cli->arena, scenario, plan, simulate, &one->outcome, err),
                     "%s", label);
}

/* Grams per joule of the nodes' mean grid: idle joules are weighed alike everywhere. */
static double mean_g_per_j(const es_scenario *scenario)
{
    double sum = 0;
    uint32_t count = 0;
    for (uint32_t v = 0; v < es_network_node_count(scenario->network); v++) {
        const es_node *node = es_network_node(scenario->network, (es_node_id){v});
        if (node->processors > 0) {
            sum += es_scenario_carbon_gco2e_per_kwh(scenario, (es_node_id){v});
            count++;
        }
    }
    return count > 0 ? sum / count / ES_JOULES_PER_KWH : 0;
}

/* The classes that outcome served, at the rate at which it did, each at least as good as there: the
 * same work at equal quality. A baseline may fall short of the scenario's own least quality, and is
 * then met where it stands. */
static es_status same_work(es_cli *cli, const es_scenario *scenario, const es_outcome *outcome,
                           es_scenario *out, es_error *err)
{
    es_class *classes = ES_TAKE_ARRAY(cli->arena, es_class, scenario->class_count);
    if (classes == NULL)
        return es_arena_full(cli->arena, "classes", err);
    out->class_count = 0;
    out->classes = classes;
    for (uint32_t c = 0; c < scenario->class_count; c++) {
        const es_outcome_row *row = &outcome->class_rows[c];
        if (!(row->served > 0))
            continue;
        es_class *class = &classes[out->class_count++];
        *class = scenario->classes[c];
        class->arrivals.rate_rps *= row->served / row->arrived;
        class->quality_min = fmax(row->quality_mean - QUALITY_SLACK, 0);
    }
    return ES_OK;
}

/* Weighed by joules or grams alone; every request must be served. */
static es_status weigh(es_cli *cli, const es_scenario *scenario, size_t minimise, es_scenario *out,
                       es_error *err)
{
    es_segment *segments = ES_TAKE_ARRAY(cli->arena, es_segment, scenario->segment_count);
    if (segments == NULL)
        return es_arena_full(cli->arena, "segments", err);
    memcpy(segments, scenario->segments, scenario->segment_count * sizeof *segments);
    for (uint32_t s = 0; s < scenario->segment_count; s++)
        segments[s].hosting_per_s = 0;
    out->segments = segments;
    out->objective = (es_objective){.refusal_cost = (double)INFINITY};
    if (minimise == ES_MINIMISE_ENERGY) {
        out->objective.energy_per_j = out->objective.idle_per_j = WEIGHT;
        return ES_OK;
    }
    out->objective.carbon_per_g = CARBON_WEIGHT;
    out->objective.idle_per_j = CARBON_WEIGHT * mean_g_per_j(scenario);
    return ES_OK;
}

static es_status add_least(es_cli *cli, const es_scenario *scenario, size_t minimise,
                           const char *against, es_footprint_cases *cases, es_error *err)
{
    size_t base = cases->count - 1;
    const es_outcome *outcome = cases->items[base].outcome;
    if (outcome == NULL || !(outcome->total.served > 0))
        return ES_OK;
    es_scenario *weighed = ES_TAKE_ONE(cli->arena, es_scenario);
    char *label = es_arena_format(cli->arena, "least %s >= %s",
                                  minimise == ES_MINIMISE_ENERGY ? "energy" : "CO2e", against);
    if (weighed == NULL || label == NULL)
        return es_arena_full(cli->arena, "scenario", err);
    *weighed = *scenario;
    ES_TRY(same_work(cli, scenario, outcome, weighed, err));
    ES_TRY(weigh(cli, scenario, minimise, weighed, err));
    ES_TRY(add(cli, weighed, ES_PLAN_AUTO, label, cases, err));
    if (cases->items[base + 1].outcome != NULL)
        cases->savings[cases->saving_count++] = (es_report_saving){base + 1, base};
    return ES_OK;
}

es_status es_footprint_plan_cases(es_cli *cli, const es_scenario *scenario, size_t minimise,
                                  es_footprint_cases *cases, es_error *err)
{
    if (minimise == ES_MINIMISE_NONE) {
        ES_TRY(add(cli, scenario, ES_PLAN_AUTO, "plan", cases, err));
        ES_TRY(add(cli, scenario, ES_PLAN_DEVICE_ONLY, "device only", cases, err));
        ES_TRY(add(cli, scenario, ES_PLAN_CLOUD_ONLY, "cloud only", cases, err));
        for (size_t i = 1; i < cases->count; i++)
            if (cases->items[0].outcome != NULL && cases->items[i].outcome != NULL)
                cases->savings[cases->saving_count++] = (es_report_saving){0, i};
        return ES_OK;
    }
    ES_TRY(add(cli, scenario, ES_PLAN_DEVICE_ONLY, "device only", cases, err));
    ES_TRY(add_least(cli, scenario, minimise, "device", cases, err));
    ES_TRY(add(cli, scenario, ES_PLAN_CLOUD_ONLY, "cloud only", cases, err));
    return add_least(cli, scenario, minimise, "cloud", cases, err);
}
