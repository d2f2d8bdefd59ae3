/* A part of a problem, as a problem of its own: some hosts free, the others as they are. */
#include "plan/decompose.h"

#include <math.h>

/* Less than this share of a capacity left is none. */
static const double LEFT_MIN = 1e-6;

es_status es_problem_index_hosts(es_arena *arena, es_problem *problem, es_error *err)
{
    uint32_t *node_first = ES_TAKE_ARRAY(arena, uint32_t, problem->node_count + 2);
    uint32_t *node_hosts = ES_TAKE_ARRAY(arena, uint32_t, problem->host_count);
    uint32_t *segment_first = ES_TAKE_ARRAY(arena, uint32_t, problem->segment_count + 2);
    uint32_t *segment_hosts = ES_TAKE_ARRAY(arena, uint32_t, problem->host_count);
    if (node_first == NULL || node_hosts == NULL || segment_first == NULL || segment_hosts == NULL)
        return es_arena_full(arena, "hosts", err);
    for (uint32_t h = 0; h < problem->host_count; h++) {
        node_first[problem->hosts[h].node.index + 2]++;
        segment_first[problem->hosts[h].segment.index + 2]++;
    }
    for (uint32_t v = 0; v < problem->node_count; v++)
        node_first[v + 2] += node_first[v + 1];
    for (uint32_t s = 0; s < problem->segment_count; s++)
        segment_first[s + 2] += segment_first[s + 1];
    for (uint32_t h = 0; h < problem->host_count; h++) {
        node_hosts[node_first[problem->hosts[h].node.index + 1]++] = h;
        segment_hosts[segment_first[problem->hosts[h].segment.index + 1]++] = h;
    }
    problem->node_host_first = node_first;
    problem->node_hosts = node_hosts;
    problem->segment_host_first = segment_first;
    problem->segment_hosts = segment_hosts;
    return ES_OK;
}

es_status es_problem_bare_scenario(es_arena *arena, const char *name, uint32_t node_count,
                                   const double *idle_w, uint32_t class_count,
                                   es_class **out_classes, const es_scenario **out_scenario,
                                   es_error *err)
{
    es_scenario *scenario = ES_TAKE_ONE(arena, es_scenario);
    es_class *classes = ES_TAKE_ARRAY(arena, es_class, class_count);
    es_network *network = NULL;
    if (scenario == NULL || classes == NULL)
        return es_arena_full(arena, "scenario", err);
    ES_TRY(es_network_new(arena, &network, err));
    for (uint32_t v = 0; v < node_count; v++) {
        es_node node = {.name = es_arena_format(arena, "n%u", (unsigned)v),
                        .processors = 1.0,
                        .utilisation_max = 1.0,
                        .idle_w = idle_w != NULL ? idle_w[v] : 0.0,
                        .busy_w = idle_w != NULL ? idle_w[v] : 0.0,
                        .slowdown = 1.0};
        if (node.name == NULL)
            return es_arena_full(arena, "scenario", err);
        ES_TRY(es_network_node_add(network, &node, NULL, err));
    }
    *scenario = (es_scenario){.file = name,
                              .name = name,
                              .network = network,
                              .class_count = class_count,
                              .classes = classes,
                              .replicas_min = 1};
    *out_classes = classes;
    *out_scenario = scenario;
    return ES_OK;
}

typedef struct cutter {
    es_arena *arena;
    const es_problem *whole;
    const uint8_t *parts;
    const bool *path_in;
    const es_solution *now;
    es_sub *sub;
    uint32_t *host_of; /* [host_count] number in the sub + 1 */
    uint32_t *node_of; /* [node_count] likewise */
    double *compute_left;
    double *link_left;
    es_error *err;
} cutter;

static es_status take_u32(cutter *c, uint32_t **out, size_t count)
{
    *out = ES_TAKE_ARRAY(c->arena, uint32_t, count);
    return *out != NULL ? ES_OK : es_arena_full(c->arena, "part", c->err);
}

static es_status take_f64(cutter *c, double **out, size_t count)
{
    *out = ES_TAKE_ARRAY(c->arena, double, count);
    return *out != NULL ? ES_OK : es_arena_full(c->arena, "part", c->err);
}

static bool path_there(const cutter *c, uint32_t r, uint32_t p)
{
    const es_path *path = &c->whole->paths[p];
    if ((c->path_in != NULL && !c->path_in[p] && !(c->now != NULL && c->now->shares[p] > 0.0)) ||
        !es_path_allowed(c->whole, r, path))
        return false;
    for (uint32_t k = path->stage_first; k < path->stage_first + path->stage_count; k++)
        if (c->parts[c->whole->stage_hosts[k]] == ES_HOST_OUT)
            return false;
    return true;
}

static bool path_free(const cutter *c, const es_path *path)
{
    for (uint32_t k = path->stage_first; k < path->stage_first + path->stage_count; k++)
        if (c->parts[c->whole->stage_hosts[k]] == ES_HOST_FREE)
            return true;
    return false;
}

/* Which classes are in; the others' use is taken off the capacities. */
static es_status choose_classes(cutter *c)
{
    const es_problem *whole = c->whole;
    c->sub->class_in = ES_TAKE_ARRAY(c->arena, bool, whole->class_count);
    if (c->sub->class_in == NULL)
        return es_arena_full(c->arena, "part", c->err);
    ES_TRY(take_u32(c, &c->sub->classes, whole->class_count));
    ES_TRY(take_f64(c, &c->compute_left, whole->node_count));
    ES_TRY(take_f64(c, &c->link_left, whole->link_row_count));
    memcpy(c->compute_left, whole->compute_s, whole->node_count * sizeof(double));
    if (whole->link_row_count > 0)
        memcpy(c->link_left, whole->link_bps, whole->link_row_count * sizeof(double));
    for (uint32_t r = 0; r < whole->class_count; r++) {
        bool in = c->now == NULL;
        for (uint32_t p = whole->class_paths[r]; !in && p < whole->class_paths[r + 1]; p++)
            in = path_free(c, &whole->paths[p]) && path_there(c, r, p);
        c->sub->class_in[r] = in;
        if (in) {
            c->sub->classes[c->sub->problem.class_count++] = r;
            continue;
        }
        double rate = es_problem_rate(whole, r);
        for (uint32_t p = whole->class_paths[r]; p < whole->class_paths[r + 1]; p++) {
            const es_path *path = &whole->paths[p];
            double flow = rate * c->now->shares[p];
            for (uint32_t k = 0; flow > 0.0 && k < path->stage_count; k++) {
                const es_host *host = &whole->hosts[whole->stage_hosts[path->stage_first + k]];
                c->compute_left[host->node.index] -=
                    flow * whole->stage_loads[path->stage_first + k];
            }
            for (uint32_t i = path->use_first; flow > 0.0 && i < path->use_first + path->use_count;
                 i++)
                c->link_left[whole->uses[i].row] -= flow * whole->uses[i].bits;
        }
    }
    return ES_OK;
}

/* Whether a path asks for something of which nothing is left. */
static bool path_starved(const cutter *c, const es_path *path)
{
    const es_problem *whole = c->whole;
    for (uint32_t k = path->stage_first; k < path->stage_first + path->stage_count; k++) {
        uint32_t v = whole->hosts[whole->stage_hosts[k]].node.index;
        if (whole->stage_loads[k] > 0.0 && isfinite(whole->compute_s[v]) &&
            c->compute_left[v] <= LEFT_MIN * whole->compute_s[v])
            return true;
    }
    for (uint32_t i = path->use_first; i < path->use_first + path->use_count; i++) {
        uint32_t row = whole->uses[i].row;
        if (isfinite(whole->link_bps[row]) && c->link_left[row] <= LEFT_MIN * whole->link_bps[row])
            return true;
    }
    return false;
}

static es_status choose_paths(cutter *c)
{
    const es_problem *whole = c->whole;
    es_problem *problem = &c->sub->problem;
    size_t path_max = 0;
    size_t stage_max = 0;
    for (uint32_t i = 0; i < problem->class_count; i++) {
        uint32_t r = c->sub->classes[i];
        for (uint32_t p = whole->class_paths[r]; p < whole->class_paths[r + 1]; p++)
            stage_max += whole->paths[p].stage_count;
        path_max += whole->class_paths[r + 1] - whole->class_paths[r];
    }
    es_path *paths = ES_TAKE_ARRAY(c->arena, es_path, path_max);
    uint32_t *class_paths;
    uint32_t *stage_hosts;
    double *stage_loads;
    if (paths == NULL)
        return es_arena_full(c->arena, "part", c->err);
    ES_TRY(take_u32(c, &class_paths, (size_t)problem->class_count + 1));
    ES_TRY(take_u32(c, &stage_hosts, stage_max));
    ES_TRY(take_f64(c, &stage_loads, stage_max));
    ES_TRY(take_u32(c, &c->sub->paths, path_max));
    uint32_t stages = 0;
    for (uint32_t i = 0; i < problem->class_count; i++) {
        uint32_t r = c->sub->classes[i];
        for (uint32_t p = whole->class_paths[r]; p < whole->class_paths[r + 1]; p++) {
            if (!path_there(c, r, p) || path_starved(c, &whole->paths[p]))
                continue;
            es_path *path = &paths[problem->path_count];
            *path = whole->paths[p];
            path->stage_first = stages;
            path->late = path->poor = false;
            for (uint32_t k = 0; k < path->stage_count; k++) {
                stage_hosts[stages] = whole->stage_hosts[whole->paths[p].stage_first + k];
                stage_loads[stages++] = whole->stage_loads[whole->paths[p].stage_first + k];
            }
            c->sub->paths[problem->path_count++] = p;
        }
        class_paths[i + 1] = problem->path_count;
    }
    problem->paths = paths;
    problem->class_paths = class_paths;
    problem->stage_hosts = stage_hosts;
    problem->stage_loads = stage_loads;
    /* Hosts are numbered once the paths that need them are known. */
    for (uint32_t k = 0; k < stages; k++)
        c->host_of[stage_hosts[k]] = 1;
    return ES_OK;
}

static es_status choose_hosts(cutter *c, double **out_idle)
{
    const es_problem *whole = c->whole;
    es_problem *problem = &c->sub->problem;
    es_host *hosts = ES_TAKE_ARRAY(c->arena, es_host, whole->host_count);
    if (hosts == NULL)
        return es_arena_full(c->arena, "part", c->err);
    ES_TRY(take_u32(c, &c->sub->hosts, whole->host_count));
    ES_TRY(take_u32(c, &c->sub->nodes, whole->node_count));
    ES_TRY(take_f64(c, out_idle, whole->node_count));
    for (uint32_t h = 0; h < whole->host_count; h++) {
        if (c->host_of[h] == 0)
            continue;
        uint32_t v = whole->hosts[h].node.index;
        if (c->node_of[v] == 0) {
            c->sub->nodes[problem->node_count] = v;
            c->node_of[v] = ++problem->node_count;
        }
        uint32_t at = c->node_of[v] - 1;
        es_host *host = &hosts[problem->host_count];
        *host = whole->hosts[h];
        host->node.index = at;
        if (c->parts[h] == ES_HOST_FREE)
            (*out_idle)[at] = es_problem_on_cost(whole, v);
        else
            host->hosting_per_s = 0.0;
        c->sub->hosts[problem->host_count] = h;
        c->host_of[h] = ++problem->host_count;
    }
    problem->hosts = hosts;
    uint32_t stages = 0;
    uint32_t *stage_hosts;
    for (uint32_t p = 0; p < problem->path_count; p++)
        stages += problem->paths[p].stage_count;
    ES_TRY(take_u32(c, &stage_hosts, stages));
    for (uint32_t k = 0; k < stages; k++)
        stage_hosts[k] = c->host_of[problem->stage_hosts[k]] - 1;
    problem->stage_hosts = stage_hosts;
    return ES_OK;
}

/* Memory less what held hosts take; a node that holds any is on already. */
static es_status set_capacities(cutter *c, double *idle)
{
    const es_problem *whole = c->whole;
    es_problem *problem = &c->sub->problem;
    ES_TRY(take_f64(c, &problem->memory_bytes, problem->node_count));
    ES_TRY(take_f64(c, &problem->compute_s, problem->node_count));
    ES_TRY(take_f64(c, &problem->link_bps, problem->link_row_count));
    for (uint32_t i = 0; i < problem->node_count; i++) {
        uint32_t v = c->sub->nodes[i];
        problem->memory_bytes[i] = whole->memory_bytes[v];
        problem->compute_s[i] = isfinite(whole->compute_s[v])
                                    ? fmax(c->compute_left[v], LEFT_MIN * whole->compute_s[v])
                                    : whole->compute_s[v];
        for (uint32_t k = whole->node_host_first[v]; k < whole->node_host_first[v + 1]; k++)
            if (c->parts[whole->node_hosts[k]] == ES_HOST_HELD)
                idle[i] = 0.0;
    }
    for (uint32_t h = 0; h < problem->host_count; h++)
        if (c->parts[c->sub->hosts[h]] == ES_HOST_HELD)
            problem->memory_bytes[problem->hosts[h].node.index] += problem->hosts[h].memory_bytes;
    for (uint32_t i = 0; i < problem->node_count; i++) {
        uint32_t v = c->sub->nodes[i];
        for (uint32_t k = whole->node_host_first[v]; k < whole->node_host_first[v + 1]; k++)
            if (c->parts[whole->node_hosts[k]] == ES_HOST_HELD)
                problem->memory_bytes[i] -= whole->hosts[whole->node_hosts[k]].memory_bytes;
    }
    for (uint32_t i = 0; i < problem->link_row_count; i++)
        problem->link_bps[i] = isfinite(whole->link_bps[i])
                                   ? fmax(c->link_left[i], LEFT_MIN * whole->link_bps[i])
                                   : whole->link_bps[i];
    return ES_OK;
}

static es_status set_classes(cutter *c, const double *idle)
{
    const es_problem *whole = c->whole;
    es_problem *problem = &c->sub->problem;
    es_class *classes;
    double *cost_min;
    ES_TRY(es_problem_bare_scenario(c->arena, whole->scenario->name, problem->node_count, idle,
                                    problem->class_count, &classes, &problem->scenario, c->err));
    ES_TRY(take_f64(c, &problem->quality_min, problem->class_count));
    ES_TRY(take_f64(c, &cost_min, problem->class_count));
    problem->deadline_off = ES_TAKE_ARRAY(c->arena, bool, problem->class_count);
    problem->class_off = ES_TAKE_ARRAY(c->arena, bool, problem->class_count);
    if (problem->deadline_off == NULL || problem->class_off == NULL)
        return es_arena_full(c->arena, "part", c->err);
    for (uint32_t i = 0; i < problem->class_count; i++) {
        uint32_t r = c->sub->classes[i];
        classes[i].arrivals.rate_rps = es_problem_rate(whole, r);
        problem->quality_min[i] = whole->quality_min[r];
        problem->class_off[i] = whole->class_off[r];
        cost_min[i] = whole->class_cost_min[r];
    }
    problem->class_cost_min = cost_min;
    return ES_OK;
}

es_status es_sub_build(es_arena *arena, const es_problem *whole, const uint8_t *parts,
                       const bool *path_in, const es_solution *now, es_sub *out_sub, es_error *err)
{
    *out_sub = (es_sub){.problem = {.segment_count = whole->segment_count,
                                    .uses = whole->uses,
                                    .link_row_count = whole->link_row_count,
                                    .link_row_links = whole->link_row_links,
                                    .refusal_cost = whole->refusal_cost,
                                    .idle_per_j = 1.0,
                                    .replicas_min = 1,
                                    .costless = whole->costless}};
    cutter c = {.arena = arena,
                .whole = whole,
                .parts = parts,
                .path_in = path_in,
                .now = now,
                .sub = out_sub,
                .err = err};
    double *idle = NULL;
    ES_TRY(take_u32(&c, &c.host_of, whole->host_count));
    ES_TRY(take_u32(&c, &c.node_of, whole->node_count));
    ES_TRY(choose_classes(&c));
    ES_TRY(choose_paths(&c));
    ES_TRY(choose_hosts(&c, &idle));
    ES_TRY(set_capacities(&c, idle));
    ES_TRY(set_classes(&c, idle));
    return es_problem_index_hosts(arena, &out_sub->problem, err);
}

void es_sub_take(const es_sub *sub, const es_solution *whole, es_solution *part)
{
    for (uint32_t h = 0; h < sub->problem.host_count; h++)
        part->host_on[h] = whole->host_on[sub->hosts[h]];
    for (uint32_t p = 0; p < sub->problem.path_count; p++)
        part->shares[p] = whole->shares[sub->paths[p]];
    for (uint32_t r = 0; r < sub->problem.class_count; r++)
        part->refused[r] = whole->refused[sub->classes[r]];
    part->quality = ES_PLAN_FEASIBLE;
}

void es_sub_put(const es_sub *sub, const uint8_t *parts, const es_solution *part,
                es_solution *whole_solution)
{
    for (uint32_t h = 0; h < sub->problem.host_count; h++)
        if (parts[sub->hosts[h]] == ES_HOST_FREE)
            whole_solution->host_on[sub->hosts[h]] = part->host_on[h];
    for (uint32_t p = 0; p < sub->problem.path_count; p++)
        whole_solution->shares[sub->paths[p]] = part->shares[p];
    for (uint32_t r = 0; r < sub->problem.class_count; r++)
        whole_solution->refused[sub->classes[r]] = part->refused[r];
}

/* The slot of a class at a host, or NONE. Cells of a group stand in order of classes. */
static uint32_t find_slot(const es_layout *layout, uint32_t r, uint32_t h)
{
    uint32_t g = layout->host_group[h];
    uint32_t low = layout->group_cell_first[g];
    uint32_t end = layout->group_cell_first[g + 1];
    uint32_t high = end;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (layout->cell_class[middle] < r)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == end || layout->cell_class[low] != r)
        return ES_INDEX_NONE;
    for (uint32_t i = layout->cell_slot_first[low]; i < layout->cell_slot_first[low + 1]; i++)
        if (layout->slot_host[i] == h)
            return i;
    return ES_INDEX_NONE;
}

void es_sub_prices(const es_sub *sub, const es_layout *whole, const es_multipliers *prices,
                   const es_layout *part, es_multipliers *out)
{
    for (uint32_t i = 0; i < sub->problem.class_count; i++) {
        out->pi[i] = prices->pi[sub->classes[i]];
        out->kappa[i] = prices->kappa[sub->classes[i]];
    }
    for (uint32_t i = 0; i < sub->problem.node_count; i++)
        out->mu[i] = prices->mu[sub->nodes[i]];
    for (uint32_t i = 0; i < sub->problem.link_row_count; i++)
        out->gamma[i] = prices->gamma[i];
    for (uint32_t c = 0; c < part->cell_count; c++)
        for (uint32_t i = part->cell_slot_first[c]; i < part->cell_slot_first[c + 1]; i++) {
            uint32_t slot =
                find_slot(whole, sub->classes[part->cell_class[c]], sub->hosts[part->slot_host[i]]);
            out->rho[i] = slot != ES_INDEX_NONE ? prices->rho[slot] : 0.0;
        }
}
