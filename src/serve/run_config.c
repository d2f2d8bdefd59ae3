/* What the plan asks of a run: which node hosts what, which stages a request passes, and which
 * nodes lie on its way. */
#include "base/file.h"
#include "run_internal.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

static es_status whole_bytes(double bytes, const char *what, uint64_t *out, es_error *err)
{
    if (!(bytes >= 0) || bytes > ES_RUN_PAYLOAD_MAX)
        return es_fail(err, ES_ERR_LIMIT, "%s=%g must be 0 to %d to be sent for real", what, bytes,
                       ES_RUN_PAYLOAD_MAX);
    if (bytes != floor(bytes))
        return es_fail(err, ES_ERR_ARG, "%s=%.17g must be a whole number to be sent for real", what,
                       bytes);
    *out = (uint64_t)bytes;
    return ES_OK;
}

static es_status fill_way(es_run *run, size_t r, es_error *err)
{
    const es_scenario *scenario = run->scenario;
    const es_routing *routing = &run->plan->routings[r];
    if (routing->class_id.index >= scenario->class_count ||
        routing->pipeline.index >= scenario->pipeline_count)
        return es_fail(err, ES_ERR_ARG, "routing %zu: class or pipeline is not in the scenario", r);
    const es_class *class = &scenario->classes[routing->class_id.index];
    const es_pipeline *pipeline = &scenario->pipelines[routing->pipeline.index];
    es_run_way *way = &run->ways[r];
    way->origin = class->node.index;
    way->stage_count = pipeline->stage_count;
    ES_TRY(es_within(err,
                     whole_bytes(ceil(scenario->tasks[pipeline->task.index].output_bytes),
                                 "output_bytes", &way->output_bytes, err),
                     "task '%s'", scenario->tasks[pipeline->task.index].name));
    for (uint32_t k = 0; k < pipeline->stage_count; k++) {
        const es_stage *stage = &pipeline->stages[k];
        uint64_t input_bytes = 0;
        if (routing->nodes[k].index >= run->node_count)
            return es_fail(err, ES_ERR_ARG, "routing %zu: node %u is not in the scenario", r,
                           routing->nodes[k].index);
        ES_TRY(es_within(err, whole_bytes(stage->input_bytes, "input_bytes", &input_bytes, err),
                         "pipeline '%s', stage %u", pipeline->name, k + 1));
        way->stages[k] = (es_run_stage){.segment = stage->segment.index,
                                        .node = routing->nodes[k].index,
                                        .input = k == 0 ? ES_STAGE_INPUT_REQUEST : stage->input,
                                        .exit_output = stage->exit_output,
                                        .exit_threshold = stage->exit_threshold,
                                        .input_bytes = (uint32_t)input_bytes};
    }
    return ES_OK;
}

/* ---- what a node hosts ---- */

/* Nodes find it wherever they are started; NULL: arena full. */
static const char *absolute_path(const es_run *run, const char *path)
{
    char folder[4096];
    if (path[0] == '/' || getcwd(folder, sizeof folder) == NULL)
        return es_arena_text(run->arena, path);
    return es_file_join(run->arena, folder, path);
}

static es_status host(es_run *run, uint32_t v, uint32_t s, es_error *err)
{
    const es_segment *segment = &run->scenario->segments[s];
    es_run_node *node = &run->nodes[v];
    if (segment->file == NULL)
        return es_fail(err, ES_ERR_ARG,
                       "segment '%s' has no model file, and a run needs one for what the plan "
                       "hosts",
                       segment->name);
    if (access(segment->file, R_OK) != 0)
        return es_fail(err, ES_ERR_IO, "segment '%s': cannot read '%s': %s", segment->name,
                       segment->file, strerror(errno));
    if (segment->name[0] == '.' || strchr(segment->name, '/') != NULL)
        return es_fail(err, ES_ERR_ARG,
                       "segment '%s': a node serves it by its name, which must not hold '/' nor "
                       "begin with '.'",
                       segment->name);
    es_run_model *model = &node->models[node->model_count++];
    *model = (es_run_model){.segment = s, .file = absolute_path(run, segment->file)};
    return model->file != NULL ? ES_OK : es_arena_full(run->arena, "paths of models", err);
}

static es_status fill_node(es_run *run, uint32_t v, es_error *err)
{
    const es_plan *plan = run->plan;
    const es_node *given = es_network_node(run->scenario->network, (es_node_id){v});
    es_run_node *node = &run->nodes[v];
    size_t count = 0;
    node->name = given->name;
    for (size_t i = 0; i < plan->placement_count; i++)
        count += plan->placements[i].node.index == v;
    node->models = ES_TAKE_ARRAY(run->arena, es_run_model, count);
    if (node->models == NULL)
        return es_arena_full(run->arena, "segments of a node", err);
    for (size_t i = 0; i < plan->placement_count; i++)
        if (plan->placements[i].node.index == v)
            ES_TRY(host(run, v, plan->placements[i].segment.index, err));
    double processors = ceil(given->processors);
    if (processors < 1 && count > 0)
        return es_fail(err, ES_ERR_ARG, "it has no processors, but segments to run");
    node->processors = processors < 1                       ? 1
                       : processors > ES_RUN_PROCESSORS_MAX ? ES_RUN_PROCESSORS_MAX
                                                            : (uint32_t)processors;
    return ES_OK;
}

/* ---- ways ---- */

/* Marks the nodes between from and to, both included; false when there is no way. Parts of shortest
 * ways are shortest, so first links tell the whole. */
static bool mark_way(const es_run *run, uint32_t from, uint32_t to, uint64_t *bits)
{
    es_node_id at = {from};
    for (uint32_t steps = 0; steps <= run->node_count; steps++) {
        es_link_id first = ES_LINK_NONE;
        uint32_t length = 0;
        bits[at.index / 64] |= UINT64_C(1) << (at.index % 64);
        if (at.index == to)
            return true;
        if (!es_routes_path(run->scenario->routes, at, (es_node_id){to}, &first, 1, &length))
            return false;
        const es_link *link = es_network_link(run->scenario->network, first);
        at = link->from.index == at.index ? link->to : link->from;
    }
    return false;
}

static es_status mark_ways(es_run *run, size_t r, es_error *err)
{
    es_run_way *way = &run->ways[r];
    size_t words = (run->node_count + 63) / 64;
    uint32_t before = way->origin;
    for (uint32_t k = 0; k < way->stage_count; k++) {
        uint32_t here = way->stages[k].node;
        uint64_t *bits = ES_TAKE_ARRAY(run->arena, uint64_t, 2 * words);
        if (bits == NULL)
            return es_arena_full(run->arena, "ways of requests", err);
        if (k > 0)
            memcpy(bits, way->touches[k - 1] + words, words * sizeof *bits);
        bool there = mark_way(run, before, here, bits);
        memcpy(bits + words, bits, words * sizeof *bits); /* behind: without the way back */
        if (!there || !mark_way(run, here, way->origin, bits))
            return es_fail(err, ES_ERR_ARG, "routing %zu: there is no way between '%s' and '%s'", r,
                           run->nodes[before].name, run->nodes[here].name);
        way->touches[k] = bits;
        before = here;
    }
    return ES_OK;
}

es_status es_run_configure(es_run *run, es_error *err)
{
    const es_plan *plan = run->plan;
    run->nodes = ES_TAKE_ARRAY(run->arena, es_run_node, run->node_count);
    run->ways = ES_TAKE_ARRAY(run->arena, es_run_way, plan->routing_count);
    run->links =
        ES_TAKE_ARRAY(run->arena, es_link_emulator *, (size_t)run->node_count * run->node_count);
    if (run->nodes == NULL || run->ways == NULL || run->links == NULL)
        return es_arena_full(run->arena, "nodes of the run", err);
    for (uint32_t v = 0; v < run->node_count; v++)
        run->nodes[v].child.ready_fd = -1;
    for (size_t i = 0; i < plan->placement_count; i++) {
        if (plan->placements[i].node.index >= run->node_count ||
            plan->placements[i].segment.index >= run->scenario->segment_count)
            return es_fail(err, ES_ERR_ARG, "placement %zu is not of this scenario", i);
    }
    for (size_t r = 0; r < plan->routing_count; r++)
        ES_TRY(fill_way(run, r, err));
    for (uint32_t v = 0; v < run->node_count; v++)
        ES_TRY(es_within(err, fill_node(run, v, err), "node '%s'",
                         es_network_node(run->scenario->network, (es_node_id){v})->name));
    for (size_t r = 0; r < plan->routing_count; r++)
        ES_TRY(mark_ways(run, r, err));
    return ES_OK;
}
