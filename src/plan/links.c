#include "plan/internal.h"

#include <math.h>

/* What one request of a path sends over each directed link. */
typedef struct walker {
    const es_problem *problem;
    es_link_id *links; /* [node_count] of one route */
    double *bits;      /* [2 * link_count], zero but for touched */
    uint32_t *touched; /* directed links with bits */
    uint32_t touched_count;
} walker;

/* Adds bytes sent from one node to another, hop by hop. */
static void walk_route(walker *w, es_node_id from, es_node_id to, double bytes)
{
    const es_scenario *scenario = w->problem->scenario;
    uint32_t count = 0;
    if (from.index == to.index || bytes <= 0.0 ||
        !es_routes_path(scenario->routes, from, to, w->links, w->problem->node_count, &count))
        return;
    uint32_t here = from.index;
    for (uint32_t i = 0; i < count && i < w->problem->node_count; i++) {
        const es_link *link = es_network_link(scenario->network, w->links[i]);
        bool forward = link->from.index == here;
        uint32_t directed = 2 * w->links[i].index + (forward ? 0 : 1);
        if (w->bits[directed] == 0.0)
            w->touched[w->touched_count++] = directed;
        w->bits[directed] += 8.0 * bytes;
        here = forward ? link->to.index : link->from.index;
    }
}

static void walk_path(walker *w, const es_class *class_, const es_path *path)
{
    const es_problem *problem = w->problem;
    const es_scenario *scenario = problem->scenario;
    const es_pipeline *pipeline = &scenario->pipelines[path->pipeline.index];
    const uint32_t *hosts = problem->stage_hosts + path->stage_first;
    es_node_id before = class_->node;
    w->touched_count = 0;
    for (uint32_t k = 0; k < path->stage_count; k++) {
        es_node_id here = problem->hosts[hosts[k]].node;
        const es_stage *stage = &pipeline->stages[k];
        double reach_next = k + 1 < path->stage_count ? pipeline->stages[k + 1].reach : 0.0;
        walk_route(w, before, here, stage->reach * stage->input_bytes);
        walk_route(w, here, class_->node,
                   (stage->reach - reach_next) * scenario->tasks[class_->task.index].output_bytes);
        before = here;
    }
}

static void clear_walk(walker *w)
{
    for (uint32_t i = 0; i < w->touched_count; i++)
        w->bits[w->touched[i]] = 0.0;
}

/* True when everything sent over one link would still fit the thinnest link. */
static bool nothing_binds(const es_problem *problem)
{
    const es_scenario *scenario = problem->scenario;
    double total_bps = 0.0;
    for (uint32_t r = 0; r < problem->class_count; r++) {
        double most = 0.0;
        for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++) {
            const es_pipeline *pipeline = &scenario->pipelines[problem->paths[p].pipeline.index];
            double bytes = scenario->tasks[scenario->classes[r].task.index].output_bytes;
            for (uint32_t k = 0; k < pipeline->stage_count; k++)
                bytes += pipeline->stages[k].reach * pipeline->stages[k].input_bytes;
            most = fmax(most, bytes);
        }
        total_bps += es_problem_rate(problem, r) * 8.0 * most;
    }
    for (uint32_t e = 0; e < es_network_link_count(scenario->network); e++)
        if (es_network_link(scenario->network, (es_link_id){e})->bandwidth_bps < total_bps)
            return false;
    return true;
}

/* Most that all classes together may send over each directed link. */
static void sum_worst(walker *w, double *worst_bps, double *class_most)
{
    const es_problem *problem = w->problem;
    size_t directed_count = 2 * (size_t)es_network_link_count(problem->scenario->network);
    for (uint32_t r = 0; r < problem->class_count; r++) {
        const es_class *class_ = &problem->scenario->classes[r];
        memset(class_most, 0, directed_count * sizeof *class_most);
        for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++) {
            walk_path(w, class_, &problem->paths[p]);
            for (uint32_t i = 0; i < w->touched_count; i++)
                class_most[w->touched[i]] = fmax(class_most[w->touched[i]], w->bits[w->touched[i]]);
            clear_walk(w);
        }
        for (size_t d = 0; d < directed_count; d++)
            worst_bps[d] += es_problem_rate(problem, r) * class_most[d];
    }
}

static es_status keep_uses(es_arena *arena, walker *w, es_path *paths, const uint32_t *row_of,
                           const es_path_use **out_uses, es_error *err)
{
    const es_problem *problem = w->problem;
    ES_ARRAY(es_path_use) uses = {0};
    for (uint32_t r = 0; r < problem->class_count; r++)
        for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++) {
            walk_path(w, &problem->scenario->classes[r], &paths[p]);
            paths[p].use_first = (uint32_t)uses.count;
            for (uint32_t i = 0; i < w->touched_count; i++) {
                uint32_t row = row_of[w->touched[i]];
                es_path_use use = {row - 1, w->bits[w->touched[i]]};
                if (row > 0)
                    ES_TRY(ES_ARRAY_PUSH(arena, &uses, use, "link uses", err));
            }
            paths[p].use_count = (uint32_t)uses.count - paths[p].use_first;
            clear_walk(w);
            if (uses.count > UINT32_MAX / 2)
                return es_fail(err, ES_ERR_LIMIT, "plan: more than %u link uses", UINT32_MAX / 2);
        }
    *out_uses = uses.items;
    return ES_OK;
}

es_status es_problem_find_link_rows(es_arena *arena, es_problem *problem, es_path *paths,
                                    es_error *err)
{
    const es_network *network = problem->scenario->network;
    size_t directed_count = 2 * (size_t)es_network_link_count(network);
    problem->link_row_count = 0;
    if (nothing_binds(problem))
        return ES_OK;
    walker w = {.problem = problem,
                .links = ES_TAKE_ARRAY(arena, es_link_id, problem->node_count),
                .bits = ES_TAKE_ARRAY(arena, double, directed_count),
                .touched = ES_TAKE_ARRAY(arena, uint32_t, directed_count)};
    double *worst_bps = ES_TAKE_ARRAY(arena, double, directed_count);
    double *class_most = ES_TAKE_ARRAY(arena, double, directed_count);
    uint32_t *row_of = ES_TAKE_ARRAY(arena, uint32_t, directed_count);
    uint32_t *row_links = ES_TAKE_ARRAY(arena, uint32_t, directed_count);
    problem->link_bps = ES_TAKE_ARRAY(arena, double, directed_count);
    if (w.links == NULL || w.bits == NULL || w.touched == NULL || worst_bps == NULL ||
        class_most == NULL || row_of == NULL || row_links == NULL || problem->link_bps == NULL)
        return es_arena_full(arena, "links", err);
    sum_worst(&w, worst_bps, class_most);
    for (uint32_t d = 0; d < directed_count; d++) {
        double bandwidth_bps = es_network_link(network, (es_link_id){d / 2})->bandwidth_bps;
        if (worst_bps[d] <= bandwidth_bps)
            continue;
        row_links[problem->link_row_count] = d;
        problem->link_bps[problem->link_row_count] = bandwidth_bps;
        row_of[d] = ++problem->link_row_count;
    }
    problem->link_row_links = row_links;
    if (problem->link_row_count == 0)
        return ES_OK;
    return keep_uses(arena, &w, paths, row_of, &problem->uses, err);
}
