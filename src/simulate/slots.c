#include "simulate/slots.h"

#include <math.h>

#define J_PER_KWH 3.6e6

/* Up to so many expected requests of a class, its arrivals are the very ones that a run with the
 * same seed sends (stream number: the class); beyond, counts are drawn per slot. */
#define STREAM_COUNT_MAX 1e6
#define POISSON_MEAN_MAX 1e9

es_simulate_opts es_simulate_opts_default(void)
{
    return (es_simulate_opts){.label = "plan"};
}

static es_status take(es_arena *arena, size_t count, size_t size, void *out, es_error *err)
{
    void *taken = NULL;
    ES_TRY(es_arena_take_or_fail(arena, count, size, "simulation", &taken, err));
    memcpy(out, &taken, sizeof taken);
    return ES_OK;
}

es_status es_sim_prepare(es_arena *scratch, es_sim *sim, es_error *err)
{
    const es_scenario *scenario = sim->scenario;
    uint32_t classes = scenario->class_count;
    uint32_t nodes = es_network_node_count(scenario->network);
    ES_TRY(take(scratch, classes, sizeof *sim->streams, &sim->streams, err));
    ES_TRY(take(scratch, classes, sizeof *sim->next_ns, &sim->next_ns, err));
    ES_TRY(take(scratch, classes, sizeof *sim->rngs, &sim->rngs, err));
    ES_TRY(take(scratch, classes, sizeof *sim->counts, &sim->counts, err));
    ES_TRY(take(scratch, nodes, sizeof *sim->nodes, &sim->nodes, err));
    ES_TRY(take(scratch, nodes, sizeof *sim->hosts, &sim->hosts, err));
    for (uint32_t v = 0; v < nodes && scenario->node_events != NULL; v++)
        if (scenario->node_events[v].carbon != NULL && sim->g_per_j == NULL)
            ES_TRY(take(scratch, nodes, sizeof *sim->g_per_j, &sim->g_per_j, err));
    for (uint32_t c = 0; c < classes; c++) {
        sim->streams[c] = es_arrival_stream_make(scenario->classes[c].arrivals, sim->opts.seed, c);
        sim->next_ns[c] = es_arrival_next_ns(&sim->streams[c]);
        sim->rngs[c] = es_rng_make(sim->opts.seed, c);
    }
    for (uint32_t v = 0; v < nodes; v++) {
        double processors = es_network_node(scenario->network, (es_node_id){v})->processors;
        sim->nodes[v].servers = (uint32_t)fmin(fmax(round(processors), 1), UINT32_MAX);
    }
    sim->end_s = scenario->slot_s * scenario->slot_count;
    sim->horizon_s = sim->opts.expected ? sim->end_s : scenario->slot_s;
    return ES_OK;
}

es_status es_sim_follow(es_arena *arena, es_sim *sim, const es_plan *plan, es_error *err)
{
    const es_scenario *scenario = sim->scenario;
    uint32_t nodes = es_network_node_count(scenario->network);
    sim->plan = plan;
    ES_TRY(
        es_sim_paths(arena, scenario, plan, sim->opts.overhead_s, &sim->paths, &sim->refused, err));
    memset(sim->hosts, 0, nodes * sizeof *sim->hosts);
    for (size_t i = 0; i < plan->placement_count; i++) {
        es_placement placement = plan->placements[i];
        if (placement.node.index >= nodes || placement.segment.index >= scenario->segment_count)
            return es_fail(err, ES_ERR_ARG, "plan: placements[%zu] is not in the scenario", i);
        sim->hosts[placement.node.index] = true;
    }
    return ES_OK;
}

/* Requests of a class that arrive in a slot. */
static double draw_count(es_sim *sim, uint32_t class, uint32_t slot)
{
    const es_arrivals *arrivals = &sim->scenario->classes[class].arrivals;
    double slot_s = sim->scenario->slot_s;
    double mean = es_arrivals_mean_count(arrivals, slot_s);
    if (arrivals->profile_count > 0 || arrivals->kind == ES_ARRIVAL_TRACE)
        mean = es_arrivals_count_between(arrivals, slot * slot_s, (slot + 1.0) * slot_s);
    if (sim->opts.expected)
        return mean;
    if (es_arrivals_mean_count(arrivals, sim->end_s) <= STREAM_COUNT_MAX) {
        int64_t until_ns = es_ns_from_s((slot + 1.0) * sim->scenario->slot_s);
        double count = 0;
        while (sim->next_ns[class] < until_ns) {
            sim->next_ns[class] = es_arrival_next_ns(&sim->streams[class]);
            count++;
        }
        return count;
    }
    if (arrivals->kind != ES_ARRIVAL_POISSON || mean > POISSON_MEAN_MAX)
        return mean;
    return (double)es_rng_poisson(&sim->rngs[class], mean);
}

void es_sim_draw(es_sim *sim, uint32_t slot)
{
    for (uint32_t c = 0; c < sim->scenario->class_count; c++)
        sim->counts[c] = draw_count(sim, c, slot);
}

static void add_loads(es_sim *sim)
{
    for (size_t i = 0; i < sim->plan->routing_count; i++) {
        const es_sim_path *path = &sim->paths[i];
        double scv = es_arrivals_scv(&sim->scenario->classes[path->class_id.index].arrivals);
        for (uint32_t k = 0; k < path->step_count; k++) {
            const es_sim_step *step = &path->steps[k];
            double thinned = path->share * step->reach;
            double visits = sim->counts[path->class_id.index] * thinned;
            es_load *load = &sim->nodes[step->node].load;
            load->count += visits;
            load->work_s += visits * step->service_s;
            load->squares += visits * step->service_s * step->service_s;
            load->variation += visits * (1 - thinned + thinned * scv);
            load->energy_j += visits * step->compute_j;
        }
    }
}

/* The strata of one exit as samples. */
static es_status emit_served(es_sim *sim, es_sample sample, const es_strata *wait, bool waits,
                             double weight, double base_s, es_error *err)
{
    sample.fate = ES_FATE_SERVED;
    for (size_t i = 0; i < ES_STRATA; i++) {
        sample.weight = waits ? weight * es_strata_weight(i) : weight;
        sample.latency_s = base_s + (waits ? wait->value_s[i] : 0);
        ES_TRY(es_outcome_add(sim->recorder, &sample, err));
        if (!waits)
            break;
    }
    return ES_OK;
}

/* Grams per joule of each node over the slot. */
static void set_grids(es_sim *sim, uint32_t slot)
{
    double from_s = slot * sim->scenario->slot_s;
    for (uint32_t v = 0; v < es_network_node_count(sim->scenario->network); v++) {
        const es_series *series = sim->scenario->node_events[v].carbon;
        double intensity =
            series != NULL
                ? es_series_mean(series, from_s, from_s + sim->scenario->slot_s)
                : es_network_node(sim->scenario->network, (es_node_id){v})->carbon_gco2e_per_kwh;
        sim->g_per_j[v] = intensity / J_PER_KWH;
    }
}

/* The step with the slot's grids; before: where the request is shipped from. */
static es_sim_step at_slot(const es_sim *sim, const es_sim_path *path, uint32_t before,
                           es_sim_step step)
{
    uint32_t entry = sim->scenario->classes[path->class_id.index].node.index;
    if (sim->g_per_j == NULL)
        return step;
    double here = sim->g_per_j[step.node];
    step.compute_g = step.compute_j * here;
    step.there_g = step.there_j * (sim->g_per_j[before] + here) / 2;
    step.back_g = step.back_j * (sim->g_per_j[entry] + here) / 2;
    return step;
}

/* Follows a path stage by stage: what is stuck behind a backlog at the end stays in flight, the
 * rest leaves by its exits. */
static es_status run_path(es_sim *sim, const es_sim_path *path, uint32_t slot, es_error *err)
{
    double weight = sim->counts[path->class_id.index] * path->share;
    double alive = 1;
    double passed_s = 0;
    bool waits = false;
    es_strata wait = {{0}};
    es_sample sample = {.slot = slot,
                        .class_id = path->class_id,
                        .pipeline = path->pipeline,
                        .quality = path->quality};
    uint32_t before = sim->scenario->classes[path->class_id.index].node.index;
    for (uint32_t k = 0; k < path->step_count; k++) {
        const es_sim_step now = at_slot(sim, path, before, path->steps[k]);
        const es_sim_step *step = &now;
        const es_sim_node *node = &sim->nodes[step->node];
        before = step->node;
        sample.energy_network_j += step->there_j;
        sample.carbon_g += step->there_g;
        double stuck = weight * alive * step->reach * node->unfinished;
        if (stuck > 0) {
            es_sample left = sample;
            left.fate = ES_FATE_IN_FLIGHT;
            left.weight = stuck;
            ES_TRY(es_outcome_add(sim->recorder, &left, err));
        }
        alive *= 1 - node->unfinished;
        passed_s += step->there_s + step->service_s;
        if (node->waits)
            wait = waits ? es_strata_sum(&wait, &node->wait) : node->wait;
        waits = waits || node->waits;
        sample.stages_run = k + 1;
        sample.energy_compute_j += step->compute_j;
        sample.carbon_g += step->compute_g;
        double leaving = weight * alive * step->exits;
        if (leaving <= 0)
            continue;
        es_sample out = sample;
        out.energy_network_j += step->back_j;
        out.carbon_g += step->back_g;
        ES_TRY(emit_served(sim, out, &wait, waits, leaving, passed_s + step->back_s, err));
    }
    return ES_OK;
}

static es_status arrive(es_sim *sim, uint32_t slot, es_error *err)
{
    for (uint32_t c = 0; c < sim->scenario->class_count; c++) {
        if (sim->counts[c] <= 0)
            continue;
        ES_TRY(es_outcome_arrive(sim->recorder, slot, (es_class_id){c}, sim->counts[c], err));
        es_sample refused = {.slot = slot,
                             .class_id = {c},
                             .fate = ES_FATE_REFUSED,
                             .weight = sim->counts[c] * sim->refused[c]};
        if (refused.weight > 0)
            ES_TRY(es_outcome_add(sim->recorder, &refused, err));
    }
    return ES_OK;
}

/* Bytes of what a node hosts and did not in the slot before. */
static double loaded_bytes(const es_sim *sim, uint32_t node, uint32_t slot)
{
    double sum = 0;
    if (slot > 0 && sim->held == NULL)
        return 0;
    for (size_t i = 0; i < sim->plan->placement_count; i++) {
        es_placement placement = sim->plan->placements[i];
        if (placement.node.index != node)
            continue;
        size_t at = (size_t)node * sim->scenario->segment_count + placement.segment.index;
        if (sim->held == NULL || !sim->held[at])
            sum += sim->scenario->segments[placement.segment.index].memory_bytes;
    }
    return sum;
}

static void hold(es_sim *sim)
{
    size_t segments = sim->scenario->segment_count;
    memset(sim->held, 0,
           segments * es_network_node_count(sim->scenario->network) * sizeof *sim->held);
    for (size_t i = 0; i < sim->plan->placement_count; i++) {
        es_placement placement = sim->plan->placements[i];
        sim->held[placement.node.index * segments + placement.segment.index] = true;
    }
}

static es_status use_nodes(es_sim *sim, uint32_t slot, es_error *err)
{
    double slot_s = sim->scenario->slot_s;
    for (uint32_t v = 0; v < es_network_node_count(sim->scenario->network); v++) {
        const es_sim_node *node = &sim->nodes[v];
        if (!sim->hosts[v] && node->done_s <= 0)
            continue;
        es_node_use use = {.slot = slot, .node = {v}, .busy_s = node->done_s, .duration_s = slot_s};
        use.dynamic_j = node->done_j;
        use.idle_j = es_network_node(sim->scenario->network, (es_node_id){v})->idle_w * slot_s;
        use.has_idle_g = sim->g_per_j != NULL;
        use.idle_g = use.has_idle_g ? use.idle_j * sim->g_per_j[v] : 0;
        use.model_bytes_loaded = loaded_bytes(sim, v, slot);
        ES_TRY(es_outcome_add_node(sim->recorder, &use, err));
    }
    return ES_OK;
}

es_status es_sim_play(es_sim *sim, uint32_t slot, es_error *err)
{
    double slot_s = sim->scenario->slot_s;
    if (sim->g_per_j != NULL)
        set_grids(sim, slot);
    ES_TRY(arrive(sim, slot, err));
    add_loads(sim);
    for (uint32_t v = 0; v < es_network_node_count(sim->scenario->network); v++)
        es_sim_node_step(&sim->nodes[v], slot * slot_s, slot_s, sim->end_s, sim->horizon_s);
    for (size_t i = 0; i < sim->plan->routing_count; i++) {
        if (sim->counts[sim->paths[i].class_id.index] > 0)
            ES_TRY(run_path(sim, &sim->paths[i], slot, err));
    }
    ES_TRY(use_nodes(sim, slot, err));
    if (sim->held != NULL)
        hold(sim);
    return es_outcome_close_slot(sim->recorder, slot, err);
}

es_status es_simulate_slots(es_arena *arena, const es_scenario *scenario, const es_plan *plan,
                            es_simulate_opts opts, const es_outcome **out_outcome, es_error *err)
{
    if (!(isfinite(opts.overhead_s) && opts.overhead_s >= 0))
        return es_fail(err, ES_ERR_ARG, "overhead_s=%g must be finite and >= 0", opts.overhead_s);
    if (opts.seed == 0)
        opts.seed = scenario->seed;
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(es_arena_cap_bytes(arena));
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "simulate: no memory for an arena");
    es_sim sim = {.scenario = scenario, .opts = opts};
    ES_TRY(es_sim_prepare(scratch, &sim, err));
    ES_TRY(es_sim_follow(scratch, &sim, plan, err));
    ES_TRY(es_outcome_recorder_new(arena, scenario, plan, opts.label, "simulate", opts.seed,
                                   &sim.recorder, err));
    for (uint32_t s = 0; s < scenario->slot_count; s++) {
        es_sim_draw(&sim, s);
        ES_TRY(es_sim_play(&sim, s, err));
    }
    return es_outcome_seal(sim.recorder, out_outcome, err);
}
