/* What running nodes are told so that they follow a schedule: who hosts what, who takes which. */
#include "schedule/documents.h"

#include <math.h>

static const double QUALITY_TOLERANCE = 1e-9;

typedef struct builder {
    es_arena *arena;
    const es_scenario *scenario;
    const es_tasks *tasks;
    const es_machines *machines;
    const es_schedule *schedule;
    uint32_t node_count;
    es_plan *plan;
    uint32_t *first_task;
    size_t *routings;
    double *refused_share;
    size_t *uses; /* [class][pipeline][node] tasks; then the routing's index */
    double *leaves_s;
    uint32_t *turns;
} builder;

static size_t use_of(const builder *b, uint32_t class_, uint32_t pipeline, uint32_t node)
{
    return ((size_t)class_ * b->scenario->pipeline_count + pipeline) * b->node_count + node;
}

/* The fastest pipeline of one stage with this quality. */
static uint32_t find_pipeline(const builder *b, uint32_t task, uint32_t node, double quality)
{
    const es_scenario *scenario = b->scenario;
    uint32_t found = ES_INDEX_NONE;
    double least_s = (double)INFINITY;
    for (uint32_t p = scenario->task_pipelines[task]; p < scenario->task_pipelines[task + 1]; p++) {
        const es_pipeline *pipeline = &scenario->pipelines[p];
        if (pipeline->stage_count != 1 || fabs(pipeline->quality - quality) > QUALITY_TOLERANCE)
            continue;
        double time_s =
            es_scenario_service(scenario, pipeline->stages[0].segment, (es_node_id){node}).time_s;
        if (time_s < least_s) {
            least_s = time_s;
            found = p;
        }
    }
    return found;
}

/* Tasks lie in order of classes, requests of one class in order of arrival. */
static es_status count_classes(builder *b, es_error *err)
{
    uint32_t before = 0;
    for (uint32_t i = 0; i < b->tasks->task_count; i++) {
        uint32_t class_ = b->tasks->tasks[i].class_id.index;
        if (class_ < before || class_ >= b->scenario->class_count)
            return es_fail(err, ES_ERR_ARG, "execution: task %u is of class %u, must be %u to %u",
                           i, class_, before, b->scenario->class_count - 1);
        before = class_;
        b->first_task[class_ + 1]++;
    }
    for (uint32_t c = 0; c < b->scenario->class_count; c++)
        b->first_task[c + 1] += b->first_task[c];
    return ES_OK;
}

/* Marks in uses what every task takes; routings holds the index in uses for now. */
static es_status find_uses(builder *b, es_error *err)
{
    for (uint32_t i = 0; i < b->tasks->task_count; i++) {
        const es_schedule_entry *entry = &b->schedule->entries[i];
        uint32_t class_ = b->tasks->tasks[i].class_id.index;
        b->routings[i] = SIZE_MAX;
        if (entry->work <= 0) {
            b->refused_share[class_] += 1;
            continue;
        }
        if (entry->machine >= b->machines->machine_count)
            return es_fail(err, ES_ERR_ARG, "execution: task %u runs on several machines", i);
        uint32_t node = b->machines->machines[entry->machine].node;
        uint32_t pipeline =
            find_pipeline(b, b->scenario->classes[class_].task.index, node, entry->quality);
        if (node >= b->node_count || pipeline == ES_INDEX_NONE)
            return es_fail(err, ES_ERR_ARG,
                           "execution: task %u has quality %.9g, which no variant has (a discrete "
                           "schedule is needed)",
                           i, entry->quality);
        b->routings[i] = use_of(b, class_, pipeline, node);
        b->uses[b->routings[i]]++;
    }
    for (uint32_t c = 0; c < b->scenario->class_count; c++) {
        uint32_t count = b->first_task[c + 1] - b->first_task[c];
        b->refused_share[c] = count > 0 ? b->refused_share[c] / count : 1;
    }
    return ES_OK;
}

static es_status fill_placements(builder *b, const bool *hosts, size_t count, es_error *err)
{
    es_placement *placements = ES_TAKE_ARRAY(b->arena, es_placement, count);
    if (placements == NULL)
        return es_arena_full(b->arena, "placements", err);
    b->plan->placements = placements;
    for (uint32_t v = 0; v < b->node_count; v++)
        for (uint32_t s = 0; s < b->scenario->segment_count; s++)
            if (hosts[(size_t)v * b->scenario->segment_count + s])
                placements[b->plan->placement_count++] = (es_placement){{v}, {s}};
    return ES_OK;
}

static es_status fill_routings(builder *b, es_error *err)
{
    const es_scenario *scenario = b->scenario;
    size_t all = use_of(b, scenario->class_count, 0, 0);
    size_t routing_count = 0;
    size_t hosted = 0;
    for (size_t u = 0; u < all; u++)
        routing_count += b->uses[u] > 0 ? 1 : 0;
    es_routing *routings = ES_TAKE_ARRAY(b->arena, es_routing, routing_count);
    bool *hosts = ES_TAKE_ARRAY(b->arena, bool, (size_t)b->node_count * scenario->segment_count);
    if (routings == NULL || hosts == NULL)
        return es_arena_full(b->arena, "routings", err);
    b->plan->routings = routings;
    for (size_t u = 0; u < all; u++) {
        if (b->uses[u] == 0)
            continue;
        uint32_t node = (uint32_t)(u % b->node_count);
        uint32_t pipeline = (uint32_t)(u / b->node_count % scenario->pipeline_count);
        uint32_t class_ = (uint32_t)(u / b->node_count / scenario->pipeline_count);
        uint32_t count = b->first_task[class_ + 1] - b->first_task[class_];
        es_routing *routing = &routings[b->plan->routing_count];
        *routing = (es_routing){
            .class_id = {class_}, .pipeline = {pipeline}, .share = (double)b->uses[u] / count};
        routing->nodes[0].index = node;
        uint32_t segment = scenario->pipelines[pipeline].stages[0].segment.index;
        bool *hosts_it = &hosts[(size_t)node * scenario->segment_count + segment];
        hosted += *hosts_it ? 0 : 1;
        *hosts_it = true;
        b->uses[u] = b->plan->routing_count++;
    }
    for (uint32_t i = 0; i < b->tasks->task_count; i++)
        if (b->routings[i] != SIZE_MAX)
            b->routings[i] = b->uses[b->routings[i]];
    return fill_placements(b, hosts, hosted, err);
}

/* ---- when requests leave, and in which turn they are served ---- */

typedef struct turn {
    uint32_t node, task;
    double start_s, transfer_s;
} turn;

static int by_turn(const void *a, const void *b)
{
    const turn *left = a;
    const turn *right = b;
    if (left->node != right->node)
        return left->node < right->node ? -1 : 1;
    if (left->start_s != right->start_s)
        return left->start_s < right->start_s ? -1 : 1;
    return (left->task > right->task) - (left->task < right->task);
}

static double transfer_s(const builder *b, const es_routing *routing)
{
    const es_scenario *scenario = b->scenario;
    const es_stage *stage = &scenario->pipelines[routing->pipeline.index].stages[0];
    es_route route;
    return es_routes_get(scenario->routes, scenario->classes[routing->class_id.index].node,
                         routing->nodes[0], &route)
               ? es_route_transfer_s(&route, stage->input_bytes)
               : 0;
}

/* Each is at its node when it starts, or as soon as it can be, and behind those before it. */
static es_status fill_leaves(builder *b, es_error *err)
{
    turn *turns = ES_TAKE_ARRAY(b->arena, turn, b->tasks->task_count);
    uint32_t count = 0;
    if (turns == NULL)
        return es_arena_full(b->arena, "execution", err);
    for (uint32_t i = 0; i < b->tasks->task_count; i++) {
        b->leaves_s[i] = (double)NAN;
        if (b->routings[i] == SIZE_MAX)
            continue;
        const es_routing *routing = &b->plan->routings[b->routings[i]];
        turns[count++] = (turn){.node = routing->nodes[0].index,
                                .task = i,
                                .start_s = b->schedule->entries[i].start_s,
                                .transfer_s = transfer_s(b, routing)};
    }
    qsort(turns, count, sizeof *turns, by_turn);
    double before_s = 0;
    uint32_t number = 0;
    for (uint32_t k = 0; k < count; k++) {
        const turn *t = &turns[k];
        double there_s = fmax(t->start_s, b->tasks->tasks[t->task].arrival_s + t->transfer_s);
        bool first = k == 0 || t[-1].node != t->node;
        there_s = first ? there_s : fmax(there_s, before_s);
        number = first ? 1 : number + 1;
        b->turns[t->task] = number;
        b->leaves_s[t->task] = there_s - t->transfer_s;
        before_s = there_s;
    }
    return ES_OK;
}

es_status es_schedule_execution_make(es_arena *arena, const es_scenario *scenario,
                                     const es_tasks *tasks, const es_machines *machines,
                                     const es_schedule *schedule, es_schedule_execution *out,
                                     es_error *err)
{
    builder b = {.arena = arena,
                 .scenario = scenario,
                 .tasks = tasks,
                 .machines = machines,
                 .schedule = schedule,
                 .node_count = es_network_node_count(scenario->network),
                 .plan = ES_TAKE_ONE(arena, es_plan),
                 .first_task = ES_TAKE_ARRAY(arena, uint32_t, (size_t)scenario->class_count + 1),
                 .routings = ES_TAKE_ARRAY(arena, size_t, tasks->task_count),
                 .refused_share = ES_TAKE_ARRAY(arena, double, scenario->class_count),
                 .leaves_s = ES_TAKE_ARRAY(arena, double, tasks->task_count),
                 .turns = ES_TAKE_ARRAY(arena, uint32_t, tasks->task_count)};
    b.uses = ES_TAKE_ARRAY(arena, size_t, use_of(&b, scenario->class_count, 0, 0));
    if (b.plan == NULL || b.first_task == NULL || b.routings == NULL || b.refused_share == NULL ||
        b.uses == NULL || b.leaves_s == NULL || b.turns == NULL)
        return es_arena_full(arena, "execution", err);
    ES_TRY(count_classes(&b, err));
    ES_TRY(find_uses(&b, err));
    ES_TRY(fill_routings(&b, err));
    ES_TRY(fill_leaves(&b, err));
    *b.plan = (es_plan){.scenario = scenario->name,
                        .method = ES_PLAN_AUTO,
                        .quality = ES_PLAN_FEASIBLE,
                        .objective = (double)INFINITY,
                        .bound = -(double)INFINITY,
                        .gap_relative = (double)INFINITY,
                        .placement_count = b.plan->placement_count,
                        .placements = b.plan->placements,
                        .routing_count = b.plan->routing_count,
                        .routings = b.plan->routings,
                        .refused_share = b.refused_share};
    *out = (es_schedule_execution){b.plan, b.first_task, b.routings, b.leaves_s, b.turns};
    return ES_OK;
}
