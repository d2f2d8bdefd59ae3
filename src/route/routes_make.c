/* Routes of gateways and peers of nodes, from a scenario, its plan and where the processes are. */
#include "model/model.h"
#include "routes.h"

#include <assert.h>
#include <math.h>

enum { TEXT_BYTES_MAX = 64 << 10 };
static const size_t MODEL_BYTES_MAX = (size_t)8 << 30;

es_serve_make_opts es_serve_make_opts_default(void)
{
    return (es_serve_make_opts){.generation = 1};
}

/* What is being made, and from what. */
typedef struct maker {
    es_arena *arena;
    const es_scenario *scenario;
    const es_plan *plan;
    const es_cluster *cluster;
    es_serve_make_opts opts;
    uint32_t *peer_of; /* [node]: 1 + number in peers; 0: not wanted */
    es_serve_peer *peers;
    size_t peer_count;
    es_error *err;
} maker;

static uint32_t node_count(const maker *m)
{
    return es_network_node_count(m->scenario->network);
}

static const char *node_name(const maker *m, uint32_t v)
{
    return es_network_node(m->scenario->network, (es_node_id){v})->name;
}

static es_status maker_init(maker *m)
{
    m->peer_of = ES_TAKE_ARRAY(m->arena, uint32_t, node_count(m));
    m->peers = ES_TAKE_ARRAY(m->arena, es_serve_peer, node_count(m));
    if (m->peer_of == NULL || m->peers == NULL)
        return es_arena_full(m->arena, "peers", m->err);
    for (size_t i = 0; i < m->plan->routing_count; i++) {
        const es_routing *routing = &m->plan->routings[i];
        if (routing->class_id.index >= m->scenario->class_count ||
            routing->pipeline.index >= m->scenario->pipeline_count)
            return es_fail(m->err, ES_ERR_ARG,
                           "routing %zu: class or pipeline is not in the scenario", i);
        const es_pipeline *pipeline = &m->scenario->pipelines[routing->pipeline.index];
        for (uint32_t k = 0; k < pipeline->stage_count; k++)
            if (routing->nodes[k].index >= node_count(m))
                return es_fail(m->err, ES_ERR_ARG, "routing %zu: node %u is not in the scenario", i,
                               routing->nodes[k].index);
    }
    return ES_OK;
}

bool es_serve_peer_link(const es_scenario *scenario, es_node_id from, es_node_id to,
                        es_serve_peer *peer)
{
    es_route way;
    double narrowest_bps = (double)INFINITY;
    es_node_id at = from;
    if (!es_routes_get(scenario->routes, from, to, &way))
        return false;
    /* Parts of shortest ways are shortest: first links tell the whole way. */
    for (uint32_t k = 0; k < way.hop_count && at.index != to.index; k++) {
        es_link_id first = ES_LINK_NONE;
        uint32_t count = 0;
        if (!es_routes_path(scenario->routes, at, to, &first, 1, &count))
            return false;
        const es_link *link = es_network_link(scenario->network, first);
        narrowest_bps = fmin(narrowest_bps, link->bandwidth_bps);
        at = link->from.index == at.index ? link->to : link->from;
    }
    peer->latency_s = way.latency_s;
    peer->bandwidth_bps = narrowest_bps;
    peer->relay_s_per_bit =
        way.hop_count > 1 ? fmax(0, way.seconds_per_bit - 1 / narrowest_bps) : 0;
    return true;
}

/* Fills peers with the wanted nodes in order of the scenario; links are as seen `from` a node. */
static es_status make_peers(maker *m, es_node_id from)
{
    for (uint32_t v = 0; v < node_count(m); v++) {
        if (m->peer_of[v] == 0)
            continue;
        const es_cluster_process *process = es_cluster_node(m->cluster, node_name(m, v));
        if (process == NULL)
            return es_fail(m->err, ES_ERR_ARG,
                           "the plan uses node '%s', which is not in cluster '%s'", node_name(m, v),
                           m->cluster->file);
        es_serve_peer *peer = &m->peers[m->peer_count];
        *peer = (es_serve_peer){.name = process->name,
                                .url = process->url,
                                .token = process->token,
                                .bandwidth_bps = (double)INFINITY};
        m->peer_of[v] = (uint32_t)++m->peer_count;
        if (!m->opts.emulate || es_node_is_none(from))
            continue;
        peer->one_way = m->opts.one_way;
        (void)es_serve_peer_link(m->scenario, from, (es_node_id){v}, peer); /* the plan uses it */
    }
    return ES_OK;
}

/* ---- routes ---- */

es_serve_route es_serve_route_of(const es_scenario *scenario, const es_routing *routing)
{
    const es_pipeline *pipeline = &scenario->pipelines[routing->pipeline.index];
    es_serve_route route = {.stage_count = pipeline->stage_count};
    for (uint32_t k = 0; k < pipeline->stage_count; k++) {
        const es_stage *stage = &pipeline->stages[k];
        bool last = k + 1 == pipeline->stage_count;
        route.stages[k] = (es_serve_stage){
            .node = es_network_node(scenario->network, routing->nodes[k])->name,
            .model = scenario->segments[stage->segment.index].name,
            .exit = last ? ES_SERVE_EXIT_NEVER : stage->exit_threshold,
            .exit_output.index = stage->exit_output > 0 ? stage->exit_output : ES_INDEX_NONE,
            .forward.index = ES_INDEX_NONE,
            .input = k == 0 ? ES_STAGE_INPUT_PREVIOUS : stage->input,
        };
    }
    return route;
}

static es_status route_text(const maker *m, const es_routing *routing, const char **out)
{
    const es_pipeline *pipeline = &m->scenario->pipelines[routing->pipeline.index];
    es_serve_route route = es_serve_route_of(m->scenario, routing);
    es_text text;
    es_text_init(&text, TEXT_BYTES_MAX);
    es_serve_route_encode(&route, 0, &text);
    es_status status = es_text_status(&text, m->err);
    if (status == ES_OK && text.size > ES_SERVE_HEADER_BYTES_MAX)
        status = es_fail(m->err, ES_ERR_LIMIT, "pipeline '%s': its route has %zu bytes, at most %d",
                         pipeline->name, text.size, ES_SERVE_HEADER_BYTES_MAX);
    if (status == ES_OK && (*out = es_arena_text(m->arena, text.bytes)) == NULL)
        status = es_arena_full(m->arena, "routes", m->err);
    es_text_done(&text);
    return status;
}

static es_status make_option(const maker *m, size_t routing_index, es_serve_option *out)
{
    const es_routing *routing = &m->plan->routings[routing_index];
    const es_pipeline *pipeline = &m->scenario->pipelines[routing->pipeline.index];
    es_price price =
        es_scenario_price(m->scenario, routing->class_id, routing->pipeline, routing->nodes);
    if (!price.reachable)
        return es_fail(m->err, ES_ERR_ARG, "routing %zu: pipeline '%s' cannot run over these nodes",
                       routing_index, pipeline->name);
    *out = (es_serve_option){
        .share = routing->share,
        .peer = m->peer_of[routing->nodes[0].index] - 1,
        .stage_count = pipeline->stage_count,
        .latency_s = price.latency_s,
        .latency_s_p95 =
            m->opts.latency_s_p95 != NULL ? m->opts.latency_s_p95[routing_index] : (double)NAN,
        .quality = price.quality,
        .energy_j = price.energy_compute_j + price.energy_network_j,
        .carbon_gco2e = price.carbon_g,
    };
    return route_text(m, routing, &out->route);
}

static bool is_served(const maker *m, uint32_t c)
{
    const char *entry = node_name(m, m->scenario->classes[c].node.index);
    return m->opts.entry == NULL || strcmp(m->opts.entry, entry) == 0;
}

/* Routings in order of their classes: first[c] .. first[c + 1] - 1 of order are those of c. */
static es_status group_routings(const maker *m, uint32_t **out_first, uint32_t **out_order)
{
    const es_plan *plan = m->plan;
    uint32_t class_count = m->scenario->class_count;
    uint32_t *first = ES_TAKE_ARRAY(m->arena, uint32_t, (size_t)class_count + 2);
    uint32_t *order = ES_TAKE_ARRAY(m->arena, uint32_t, plan->routing_count);
    if (first == NULL || order == NULL)
        return es_arena_full(m->arena, "routes", m->err);
    for (size_t i = 0; i < plan->routing_count; i++)
        first[plan->routings[i].class_id.index + 2]++;
    for (uint32_t c = 0; c < class_count; c++)
        first[c + 2] += first[c + 1];
    for (size_t i = 0; i < plan->routing_count; i++)
        order[first[plan->routings[i].class_id.index + 1]++] = (uint32_t)i;
    *out_first = first;
    *out_order = order;
    return ES_OK;
}

static es_status make_class(const maker *m, uint32_t c, const uint32_t *routings, size_t count,
                            es_serve_class *out)
{
    const es_class *class = &m->scenario->classes[c];
    if (count > ES_SERVE_OPTIONS_MAX)
        return es_fail(m->err, ES_ERR_LIMIT, "%zu options of task '%s' at '%s', at most %d", count,
                       m->scenario->tasks[class->task.index].name, node_name(m, class->node.index),
                       ES_SERVE_OPTIONS_MAX);
    es_serve_option *options = ES_TAKE_ARRAY(m->arena, es_serve_option, count);
    if (options == NULL)
        return es_arena_full(m->arena, "routes", m->err);
    for (size_t i = 0; i < count; i++)
        ES_TRY(make_option(m, routings[i], &options[i]));
    *out = (es_serve_class){
        .task = m->scenario->tasks[class->task.index].name,
        .entry = node_name(m, class->node.index),
        .deadline_s = class->deadline_s,
        .refused_share = m->plan->refused_share[c],
        .option_count = count,
        .options = options,
    };
    return ES_OK;
}

static es_status make_routes(maker *m, es_serve_routes *routes)
{
    uint32_t *first = NULL;
    uint32_t *order = NULL;
    uint32_t class_count = m->scenario->class_count;
    ES_TRY(group_routings(m, &first, &order));
    for (uint32_t c = 0; c < class_count; c++)
        for (uint32_t i = first[c]; i < first[c + 1] && is_served(m, c); i++)
            m->peer_of[m->plan->routings[order[i]].nodes[0].index] = 1;
    ES_TRY(make_peers(m, es_network_node_find(m->scenario->network, m->opts.entry)));
    es_serve_class *classes = ES_TAKE_ARRAY(m->arena, es_serve_class, class_count);
    if (classes == NULL)
        return es_arena_full(m->arena, "routes", m->err);
    for (uint32_t c = 0; c < class_count; c++)
        if (is_served(m, c))
            ES_TRY(make_class(m, c, order + first[c], first[c + 1] - first[c],
                              &classes[routes->class_count++]));
    routes->classes = classes;
    routes->peers = m->peers;
    routes->peer_count = m->peer_count;
    return ES_OK;
}

/* ---- what tasks take and give: read from the models of a first and a last stage ---- */

static es_status fill_port(const maker *m, const es_model_tensor *tensor, const char *file,
                           es_port *out)
{
    es_dtype dtype = (es_dtype)tensor->type; /* ONNX's numbers, both */
    if (tensor->kind != ES_MODEL_KIND_TENSOR || (int)tensor->type >= ES_DTYPE_COUNT ||
        es_oip_dtype_name(dtype) == NULL)
        return es_fail(m->err, ES_ERR_UNSUPPORTED, "'%s': tensor '%s' of type %s cannot travel",
                       file, tensor->name, es_model_type_name(tensor->type));
    if (tensor->rank > ES_TENSOR_RANK_MAX)
        return es_fail(m->err, ES_ERR_UNSUPPORTED, "'%s': tensor '%s' has rank %d, at most %d",
                       file, tensor->name, tensor->rank, ES_TENSOR_RANK_MAX);
    *out = (es_port){.name = es_arena_text(m->arena, tensor->name),
                     .dtype = dtype,
                     .rank = tensor->rank > 0 ? (size_t)tensor->rank : 0};
    for (size_t i = 0; i < out->rank; i++)
        out->dims[i] = tensor->dims[i];
    return out->name != NULL ? ES_OK : es_arena_full(m->arena, "ports of a task", m->err);
}

static es_status load(const maker *m, es_arena *scratch, const es_stage *stage,
                      const es_model **out)
{
    const es_segment *segment = &m->scenario->segments[stage->segment.index];
    if (segment->file == NULL)
        return es_fail(m->err, ES_ERR_ARG, "segment '%s' has no model file", segment->name);
    return es_model_load(scratch, segment->file, es_model_opts_default(), out, m->err);
}

static es_status fill_inputs(const maker *m, const es_pipeline *pipeline, es_serve_task *task)
{
    const es_model *model = NULL;
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(MODEL_BYTES_MAX);
    if (scratch == NULL)
        return es_fail(m->err, ES_ERR_NOMEM, "no memory to read a model");
    ES_TRY(load(m, scratch, &pipeline->stages[0], &model));
    task->input_count = es_model_input_count(model);
    es_port *inputs = ES_TAKE_ARRAY(m->arena, es_port, task->input_count);
    if (inputs == NULL)
        return es_arena_full(m->arena, "ports of a task", m->err);
    for (size_t i = 0; i < task->input_count; i++)
        ES_TRY(fill_port(m, es_model_input(model, i), es_model_name(model), &inputs[i]));
    task->inputs = inputs;
    return ES_OK;
}

static es_status fill_output(const maker *m, const es_pipeline *pipeline, es_serve_task *task)
{
    const es_model *model = NULL;
    const es_stage *last = &pipeline->stages[pipeline->stage_count - 1];
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(MODEL_BYTES_MAX);
    es_port *output = ES_TAKE_ONE(m->arena, es_port);
    if (scratch == NULL || output == NULL)
        return es_fail(m->err, ES_ERR_NOMEM, "no memory to read a model");
    ES_TRY(load(m, scratch, last, &model));
    if (last->exit_output >= es_model_output_count(model))
        return es_fail(m->err, ES_ERR_ARG,
                       "pipeline '%s': exit_output=%u, but '%s' has %zu outputs", pipeline->name,
                       last->exit_output, es_model_name(model), es_model_output_count(model));
    ES_TRY(fill_port(m, es_model_output(model, last->exit_output), es_model_name(model), output));
    task->outputs = output;
    task->output_count = 1;
    return ES_OK;
}

/* By the first way of each task that has one. */
static es_status make_tasks(const maker *m, es_serve_routes *routes)
{
    es_serve_task *tasks = ES_TAKE_ARRAY(m->arena, es_serve_task, m->scenario->task_count);
    bool *known = ES_TAKE_ARRAY(m->arena, bool, m->scenario->task_count);
    if (tasks == NULL || known == NULL)
        return es_arena_full(m->arena, "tasks", m->err);
    for (size_t i = 0; i < m->plan->routing_count; i++) {
        const es_routing *routing = &m->plan->routings[i];
        const es_pipeline *pipeline = &m->scenario->pipelines[routing->pipeline.index];
        if (known[pipeline->task.index] || !is_served(m, routing->class_id.index))
            continue;
        known[pipeline->task.index] = true;
        es_serve_task *task = &tasks[routes->task_count++];
        task->name = m->scenario->tasks[pipeline->task.index].name;
        ES_TRY(fill_inputs(m, pipeline, task));
        ES_TRY(fill_output(m, pipeline, task));
    }
    routes->tasks = tasks;
    return ES_OK;
}

es_status es_serve_routes_make(es_arena *arena, const es_scenario *scenario, const es_plan *plan,
                               const es_cluster *cluster, es_serve_make_opts opts,
                               const es_serve_routes **out_routes, es_error *err)
{
    if (opts.generation < 1)
        return es_fail(err, ES_ERR_ARG, "generation=%lld must be >= 1", (long long)opts.generation);
    if (plan->quality == ES_PLAN_INFEASIBLE || plan->quality == ES_PLAN_UNKNOWN)
        return es_fail(err, ES_ERR_ARG, "the plan is %s: it has no routes",
                       es_plan_quality_names[plan->quality]);
    if (opts.entry != NULL && es_node_is_none(es_network_node_find(scenario->network, opts.entry)))
        return es_fail(err, ES_ERR_ARG, "entry '%s' must be a node of scenario '%s'", opts.entry,
                       scenario->name);
    es_serve_routes *routes = ES_TAKE_ONE(arena, es_serve_routes);
    if (routes == NULL)
        return es_arena_full(arena, "routes", err);
    *routes = (es_serve_routes){.generation = opts.generation,
                                .plan = opts.plan != NULL ? opts.plan : scenario->name};
    maker m = {.arena = arena,
               .scenario = scenario,
               .plan = plan,
               .cluster = cluster,
               .opts = opts,
               .err = err};
    ES_TRY(maker_init(&m));
    ES_TRY(make_routes(&m, routes));
    if (opts.models)
        ES_TRY(make_tasks(&m, routes));
    *out_routes = routes;
    return ES_OK;
}

/* ---- peers of a node ---- */

es_status es_serve_peers_make(es_arena *arena, const es_scenario *scenario, const es_plan *plan,
                              const es_cluster *cluster, es_node_id node, es_serve_make_opts opts,
                              const es_serve_peer **out_peers, size_t *out_count, es_error *err)
{
    maker m = {.arena = arena,
               .scenario = scenario,
               .plan = plan,
               .cluster = cluster,
               .opts = opts,
               .err = err};
    assert(node.index < node_count(&m));
    ES_TRY(maker_init(&m));
    for (size_t i = 0; i < plan->routing_count; i++) {
        const es_routing *routing = &plan->routings[i];
        uint32_t stages = scenario->pipelines[routing->pipeline.index].stage_count;
        for (uint32_t k = 0; k + 1 < stages; k++)
            if (routing->nodes[k].index == node.index && routing->nodes[k + 1].index != node.index)
                m.peer_of[routing->nodes[k + 1].index] = 1;
    }
    ES_TRY(make_peers(&m, node));
    *out_peers = m.peers;
    *out_count = m.peer_count;
    return ES_OK;
}
