#include "plan/internal.h"

#include <inttypes.h>
#include <math.h>

static es_status add(es_arena *arena, es_groups *groups, es_group_kind kind, uint32_t index,
                     es_error *err)
{
    es_group group = {kind, index, false};
    return ES_ARRAY_PUSH(arena, &groups->all, group, "constraint groups", err);
}

static bool class_has(const es_problem *problem, uint32_t r, es_group_kind kind)
{
    for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++)
        if (kind == ES_GROUP_DEADLINE       ? problem->paths[p].late
            : kind == ES_GROUP_QUALITY_EACH ? problem->paths[p].poor
                                            : problem->paths[p].quality < problem->quality_min[r])
            return true;
    return false;
}

es_status es_groups_list(es_arena *arena, const es_problem *problem, es_groups *out_groups,
                         es_error *err)
{
    es_groups groups = {0};
    if (problem->replicas_min > 1)
        ES_TRY(add(arena, &groups, ES_GROUP_REPLICAS, 0, err));
    if (problem->hosts_max > 0 && problem->hosts_max < problem->host_count)
        ES_TRY(add(arena, &groups, ES_GROUP_HOSTS, 0, err));
    if (problem->unsplittable)
        ES_TRY(add(arena, &groups, ES_GROUP_WHOLE, 0, err));
    if (problem->energy_w_max > 0.0)
        ES_TRY(add(arena, &groups, ES_GROUP_ENERGY, 0, err));
    if (problem->carbon_g_per_s_max > 0.0)
        ES_TRY(add(arena, &groups, ES_GROUP_CARBON, 0, err));
    for (uint32_t i = 0; i < problem->link_row_count; i++)
        ES_TRY(add(arena, &groups, ES_GROUP_LINK, i, err));
    for (uint32_t v = 0; v < problem->node_count; v++)
        if (problem->node_host_first[v + 1] > problem->node_host_first[v])
            ES_TRY(add(arena, &groups, ES_GROUP_COMPUTE, v, err));
    for (uint32_t r = 0; r < problem->class_count; r++)
        if (class_has(problem, r, ES_GROUP_QUALITY))
            ES_TRY(add(arena, &groups, ES_GROUP_QUALITY, r, err));
    for (uint32_t r = 0; r < problem->class_count; r++)
        if (class_has(problem, r, ES_GROUP_QUALITY_EACH))
            ES_TRY(add(arena, &groups, ES_GROUP_QUALITY_EACH, r, err));
    for (uint32_t r = 0; r < problem->class_count; r++)
        if (class_has(problem, r, ES_GROUP_DEADLINE))
            ES_TRY(add(arena, &groups, ES_GROUP_DEADLINE, r, err));
    for (uint32_t v = 0; v < problem->node_count; v++)
        if (problem->node_host_first[v + 1] > problem->node_host_first[v])
            ES_TRY(add(arena, &groups, ES_GROUP_MEMORY, v, err));
    for (uint32_t r = 0; r < problem->class_count; r++)
        ES_TRY(add(arena, &groups, ES_GROUP_CLASS, r, err));
    *out_groups = groups;
    return ES_OK;
}

es_status es_groups_apply(es_arena *arena, const es_problem *problem, const es_groups *groups,
                          es_problem **out_problem, es_error *err)
{
    es_problem *copy;
    ES_TRY(es_problem_copy(arena, problem, &copy, err));
    for (size_t i = 0; i < groups->all.count; i++) {
        const es_group *group = &groups->all.items[i];
        if (!group->off)
            continue;
        switch (group->kind) {
        case ES_GROUP_REPLICAS:
            copy->replicas_min = 1;
            break;
        case ES_GROUP_HOSTS:
            copy->hosts_max = 0;
            break;
        case ES_GROUP_WHOLE:
            copy->unsplittable = false;
            break;
        case ES_GROUP_ENERGY:
            copy->energy_w_max = 0.0;
            break;
        case ES_GROUP_CARBON:
            copy->carbon_g_per_s_max = 0.0;
            break;
        case ES_GROUP_QUALITY_EACH:
            copy->poor_off[group->index] = true;
            break;
        case ES_GROUP_LINK:
            copy->link_bps[group->index] = (double)INFINITY;
            break;
        case ES_GROUP_COMPUTE:
            copy->compute_s[group->index] = (double)INFINITY;
            break;
        case ES_GROUP_QUALITY:
            copy->quality_min[group->index] = 0.0;
            break;
        case ES_GROUP_DEADLINE:
            copy->deadline_off[group->index] = true;
            break;
        case ES_GROUP_MEMORY:
            copy->memory_bytes[group->index] = (double)INFINITY;
            break;
        case ES_GROUP_CLASS:
            copy->class_off[group->index] = true;
            break;
        case ES_GROUP_KIND_COUNT:
            break;
        }
    }
    *out_problem = copy;
    return ES_OK;
}

es_status es_groups_try(const es_problem *problem, const es_groups *groups,
                        const es_plan_opts *opts, const es_deadline *deadline,
                        es_plan_quality *out_quality, es_error *err)
{
    es_problem *copy;
    es_solution *solution;
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(ES_PLAN_SCRATCH_BYTES);
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "plan: no memory to look for conflicts");
    ES_TRY(es_groups_apply(scratch, problem, groups, &copy, err));
    copy->costless = true;
    ES_TRY(es_solve_exact(scratch, copy, opts, deadline, NULL, &solution, err));
    *out_quality = solution->quality == ES_PLAN_OPTIMAL ? ES_PLAN_FEASIBLE : solution->quality;
    return ES_OK;
}

void es_class_describe(const es_problem *problem, uint32_t class_index, es_text *text)
{
    const es_scenario *scenario = problem->scenario;
    const es_class *class_ = &scenario->classes[class_index];
    es_text_format(text, "'%s at %s'", scenario->tasks[class_->task.index].name,
                   es_network_node(scenario->network, class_->node)->name);
}

static const char *node_name(const es_problem *problem, es_node_id id)
{
    return es_network_node(problem->scenario->network, id)->name;
}

void es_group_describe(const es_problem *problem, const es_group *group, es_text *text)
{
    uint32_t i = group->index;
    switch (group->kind) {
    case ES_GROUP_REPLICAS:
        es_text_format(text, "replicas_min (%" PRIu32 ")", problem->replicas_min);
        break;
    case ES_GROUP_HOSTS:
        es_text_format(text, "hosts_max (%" PRIu32 ")", problem->hosts_max);
        break;
    case ES_GROUP_WHOLE:
        es_text_append(text, "unsplittable classes");
        break;
    case ES_GROUP_ENERGY:
        es_text_format(text, "energy_budget_w (%.6g W)", problem->energy_w_max);
        break;
    case ES_GROUP_CARBON:
        es_text_format(text, "carbon_budget_g_per_s (%.6g g/s)", problem->carbon_g_per_s_max);
        break;
    case ES_GROUP_QUALITY_EACH:
        es_text_append(text, "least quality of each request of class ");
        es_class_describe(problem, i, text);
        es_text_format(text, " (%.6g)", problem->scenario->classes[i].quality_min_each);
        break;
    case ES_GROUP_LINK: {
        es_link_id id = {problem->link_row_links[i] / 2};
        const es_link *link = es_network_link(problem->scenario->network, id);
        bool forward = problem->link_row_links[i] % 2 == 0;
        es_text_format(text, "bandwidth from node '%s' to '%s' (%.6g Mbit/s)",
                       node_name(problem, forward ? link->from : link->to),
                       node_name(problem, forward ? link->to : link->from),
                       problem->link_bps[i] / 1e6);
        break;
    }
    case ES_GROUP_COMPUTE:
        es_text_format(text, "compute of node '%s' (%.6g busy seconds per second)",
                       node_name(problem, (es_node_id){i}), problem->compute_s[i]);
        break;
    case ES_GROUP_QUALITY:
        es_text_append(text, "least quality of class ");
        es_class_describe(problem, i, text);
        es_text_format(text, " (%.6g)", problem->quality_min[i]);
        break;
    case ES_GROUP_DEADLINE:
        es_text_append(text, "deadline of class ");
        es_class_describe(problem, i, text);
        es_text_format(text, " (%.6g ms)", problem->scenario->classes[i].deadline_s * 1e3);
        break;
    case ES_GROUP_MEMORY:
        es_text_format(text, "memory of node '%s' (%.6g MB)", node_name(problem, (es_node_id){i}),
                       problem->memory_bytes[i] / 1e6);
        break;
    case ES_GROUP_CLASS:
        es_text_append(text, "serving class ");
        es_class_describe(problem, i, text);
        es_text_format(text, " (%.6g requests per second)", es_problem_rate(problem, i));
        break;
    case ES_GROUP_KIND_COUNT:
        break;
    }
}
