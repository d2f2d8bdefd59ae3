#include "base/file.h"
#include "plan/internal.h"

#include <inttypes.h>
#include <math.h>

static const char FORMAT[] = "estran-plan";
enum { VERSION = 1 };
static const size_t DOCUMENT_BYTES_MAX = (size_t)1 << 30;
static const double SHARE_SUM_TOLERANCE = 1e-6;

/* ---- writing ---- */

static const char *node_name(const es_scenario *scenario, es_node_id id)
{
    return es_network_node(scenario->network, id)->name;
}

static void write_placements(es_json *json, const es_plan *plan, const es_scenario *scenario)
{
    es_json_key(json, "placements");
    es_json_list_begin(json);
    for (size_t i = 0; i < plan->placement_count;) {
        es_node_id node = plan->placements[i].node;
        es_json_map_begin(json);
        es_json_put_text(json, "node", node_name(scenario, node));
        es_json_key(json, "segments");
        es_json_list_begin(json);
        for (; i < plan->placement_count && plan->placements[i].node.index == node.index; i++)
            es_json_text(json, scenario->segments[plan->placements[i].segment.index].name);
        es_json_list_end(json);
        es_json_map_end(json);
    }
    es_json_list_end(json);
}

static void write_class(es_json *json, const es_scenario *scenario, uint32_t class_index)
{
    const es_class *class_ = &scenario->classes[class_index];
    es_json_put_text(json, "task", scenario->tasks[class_->task.index].name);
    es_json_put_text(json, "at", node_name(scenario, class_->node));
}

static void write_routing(es_json *json, const es_routing *routing, const es_scenario *scenario)
{
    const es_pipeline *pipeline = &scenario->pipelines[routing->pipeline.index];
    es_price price =
        es_scenario_price(scenario, routing->class_id, routing->pipeline, routing->nodes);
    es_json_map_begin(json);
    write_class(json, scenario, routing->class_id.index);
    es_json_put_text(json, "pipeline", pipeline->name);
    es_json_key(json, "nodes");
    es_json_list_begin(json);
    for (uint32_t k = 0; k < pipeline->stage_count; k++)
        es_json_text(json, node_name(scenario, routing->nodes[k]));
    es_json_list_end(json);
    es_json_put_number(json, "share", routing->share);
    es_json_put_number(json, "latency_ms", price.latency_s * 1e3);
    es_json_put_number(json, "latency_max_ms", price.latency_max_s * 1e3);
    es_json_put_number(json, "quality", price.quality);
    es_json_put_number(json, "energy_j", price.energy_compute_j + price.energy_network_j);
    es_json_put_number(json, "carbon_gco2e", price.carbon_g);
    es_json_put_number(json, "cost", price.cost);
    es_json_map_end(json);
}

static void write_way(es_json *json, es_pipeline_id id, const es_node_id *nodes,
                      const es_scenario *scenario)
{
    const es_pipeline *pipeline = &scenario->pipelines[id.index];
    es_json_put_text(json, "pipeline", pipeline->name);
    es_json_key(json, "nodes");
    es_json_list_begin(json);
    for (uint32_t k = 0; k < pipeline->stage_count; k++)
        es_json_text(json, node_name(scenario, nodes[k]));
    es_json_list_end(json);
}

static void write_reason(es_json *json, const es_plan_reason *reason, const es_plan *plan,
                         const es_scenario *scenario)
{
    es_json_map_begin(json);
    write_class(json, scenario, reason->class_id.index);
    if (reason->routing != ES_PLAN_REFUSED) {
        const es_routing *way = &plan->routings[reason->routing];
        write_way(json, way->pipeline, way->nodes, scenario);
    }
    es_json_key(json, "alternative");
    if (reason->pipeline.index == ES_INDEX_NONE) {
        es_json_null(json);
    } else {
        es_json_map_begin(json);
        write_way(json, reason->pipeline, reason->nodes, scenario);
        es_json_put_number(json, "extra_per_s", reason->extra_per_s);
        es_json_put_text(json, "limit", reason->limit);
        es_json_map_end(json);
    }
    es_json_map_end(json);
}

static void write_explanation(es_json *json, const es_plan *plan, const es_scenario *scenario)
{
    es_json_key(json, "explain");
    es_json_map_begin(json);
    es_json_key(json, "reasons");
    es_json_list_begin(json);
    for (size_t i = 0; i < plan->explanation->reason_count; i++)
        write_reason(json, &plan->explanation->reasons[i], plan, scenario);
    es_json_list_end(json);
    es_json_key(json, "limits");
    es_json_list_begin(json);
    for (size_t i = 0; i < plan->explanation->limit_count; i++) {
        const es_plan_limit *limit = &plan->explanation->limits[i];
        es_json_map_begin(json);
        es_json_put_text(json, "what", limit->what);
        es_json_put_number(json, "used", limit->used);
        es_json_put_number(json, "price_per_s", limit->price_per_s);
        es_json_put_text(json, "step", limit->step);
        es_json_map_end(json);
    }
    es_json_list_end(json);
    es_json_map_end(json);
}

void es_plan_put(es_json *json, const es_plan *plan, const es_scenario *scenario)
{
    es_json_map_begin(json);
    es_json_put_text(json, "format", FORMAT);
    es_json_put_int(json, "version", VERSION);
    es_json_put_text(json, "scenario", plan->scenario);
    es_json_put_text(json, "method", es_plan_method_names[plan->method]);
    es_json_put_text(json, "quality", es_plan_quality_names[plan->quality]);
    es_json_put_number(json, "objective_per_s", plan->objective);
    es_json_put_number(json, "bound_per_s", plan->bound);
    es_json_put_number(json, "gap_relative", plan->gap_relative);
    es_json_put_text(json, "conflict", plan->conflict);
    if (plan->move_count > 0) {
        es_json_key(json, "moves");
        es_json_map_begin(json);
        es_json_put_int(json, "count", (int64_t)plan->move_count);
        es_json_put_number(json, "cost_per_s", plan->move_cost_per_s);
        es_json_map_end(json);
    }
    write_placements(json, plan, scenario);
    es_json_key(json, "routing");
    es_json_list_begin(json);
    for (size_t i = 0; i < plan->routing_count; i++)
        write_routing(json, &plan->routings[i], scenario);
    es_json_list_end(json);
    es_json_key(json, "refused");
    es_json_list_begin(json);
    for (uint32_t r = 0; r < scenario->class_count; r++) {
        if (plan->refused_share[r] <= 0.0)
            continue;
        es_json_map_begin(json);
        write_class(json, scenario, r);
        es_json_put_number(json, "share", plan->refused_share[r]);
        es_json_map_end(json);
    }
    es_json_list_end(json);
    if (plan->explanation != NULL)
        write_explanation(json, plan, scenario);
    es_json_map_end(json);
}

void es_plan_write(const es_plan *plan, const es_scenario *scenario, es_text *out)
{
    es_json json;
    es_json_init(&json, out, false);
    es_plan_put(&json, plan, scenario);
}

/* ---- reading ---- */

/* A plan being read. */
typedef struct reader {
    es_arena *arena;
    const es_scenario *scenario;
    es_plan *plan;
    ES_ARRAY(es_placement) placements;
    ES_ARRAY(es_routing) routings;
    double *refused;
    const es_doc **refused_at; /* [class_count]: where it was said, to refuse a second time */
    es_error *err;
} reader;

/* Fails at value naming what is unknown, with the nearest known name. */
static es_status fail_unknown(reader *r, const es_doc *value, const char *what, const char *name,
                              const char *const *known, size_t count)
{
    const char *nearest = es_text_nearest(name, known, count);
    if (nearest != NULL)
        return es_doc_fail(value, r->err, "%s '%s' is not in scenario '%s'; did you mean '%s'?",
                           what, name, r->scenario->name, nearest);
    return es_doc_fail(value, r->err, "%s '%s' is not in scenario '%s'", what, name,
                       r->scenario->name);
}

static es_status read_node(reader *r, const es_doc *value, es_node_id *out)
{
    const char *name;
    ES_TRY(es_doc_expect_text(value, &name, r->err));
    *out = es_network_node_find(r->scenario->network, name);
    if (!es_node_is_none(*out))
        return ES_OK;
    uint32_t count = es_network_node_count(r->scenario->network);
    const char **names = ES_TAKE_ARRAY(r->arena, const char *, count);
    if (names == NULL)
        return es_arena_full(r->arena, "names", r->err);
    for (uint32_t v = 0; v < count; v++)
        names[v] = node_name(r->scenario, (es_node_id){v});
    return fail_unknown(r, value, "node", name, names, count);
}

static es_status read_segment(reader *r, const es_doc *value, es_segment_id *out)
{
    const char *name;
    ES_TRY(es_doc_expect_text(value, &name, r->err));
    *out = es_scenario_segment_find(r->scenario, name);
    if (out->index != ES_INDEX_NONE)
        return ES_OK;
    const char **names = ES_TAKE_ARRAY(r->arena, const char *, r->scenario->segment_count);
    if (names == NULL)
        return es_arena_full(r->arena, "names", r->err);
    for (uint32_t s = 0; s < r->scenario->segment_count; s++)
        names[s] = r->scenario->segments[s].name;
    return fail_unknown(r, value, "segment", name, names, r->scenario->segment_count);
}

/* The class that the members task and at name. */
static es_status read_class(reader *r, const es_doc *map, uint32_t *out)
{
    const es_scenario *scenario = r->scenario;
    const es_doc *at;
    const char *task_name;
    es_node_id node;
    ES_TRY(es_doc_need_text(map, "task", &task_name, r->err));
    ES_TRY(es_doc_need(map, "at", &at, r->err));
    ES_TRY(read_node(r, at, &node));
    es_task_id task = es_scenario_task_find(scenario, task_name);
    if (task.index == ES_INDEX_NONE) {
        const char **names = ES_TAKE_ARRAY(r->arena, const char *, scenario->task_count);
        if (names == NULL)
            return es_arena_full(r->arena, "names", r->err);
        for (uint32_t t = 0; t < scenario->task_count; t++)
            names[t] = scenario->tasks[t].name;
        return fail_unknown(r, es_doc_find(map, "task"), "task", task_name, names,
                            scenario->task_count);
    }
    for (uint32_t c = 0; c < scenario->class_count; c++)
        if (scenario->classes[c].task.index == task.index &&
            scenario->classes[c].node.index == node.index) {
            *out = c;
            return ES_OK;
        }
    return es_doc_fail(map, r->err, "scenario '%s' has no requests of task '%s' at node '%s'",
                       scenario->name, task_name, node_name(scenario, node));
}

static es_status read_pipeline(reader *r, const es_doc *map, uint32_t class_index,
                               es_pipeline_id *out)
{
    const es_scenario *scenario = r->scenario;
    uint32_t task = scenario->classes[class_index].task.index;
    const char *name;
    ES_TRY(es_doc_need_text(map, "pipeline", &name, r->err));
    uint32_t first = scenario->task_pipelines[task];
    uint32_t count = scenario->task_pipelines[task + 1] - first;
    for (uint32_t p = first; p < first + count; p++)
        if (strcmp(scenario->pipelines[p].name, name) == 0) {
            *out = (es_pipeline_id){p};
            return ES_OK;
        }
    const es_doc *value = es_doc_find(map, "pipeline");
    if (es_scenario_pipeline_find(scenario, name).index != ES_INDEX_NONE)
        return es_doc_fail(value, r->err, "pipeline '%s' does not solve task '%s'", name,
                           scenario->tasks[task].name);
    const char **names = ES_TAKE_ARRAY(r->arena, const char *, count);
    if (names == NULL)
        return es_arena_full(r->arena, "names", r->err);
    for (uint32_t i = 0; i < count; i++)
        names[i] = scenario->pipelines[first + i].name;
    return fail_unknown(r, value, "pipeline", name, names, count);
}

static es_status read_placement(reader *r, const es_doc *map)
{
    const es_doc *node_value;
    const es_doc *segments;
    es_node_id node;
    ES_TRY(ES_DOC_EXPECT_KEYS(map, r->err, "node", "segments"));
    ES_TRY(es_doc_need(map, "node", &node_value, r->err));
    ES_TRY(read_node(r, node_value, &node));
    for (size_t i = 0; i < r->placements.count; i++)
        if (r->placements.items[i].node.index == node.index)
            return es_doc_fail(node_value, r->err, "node '%s' is listed twice",
                               node_name(r->scenario, node));
    ES_TRY(es_doc_need_list(map, "segments", &segments, r->err));
    if (segments->as.list.count == 0)
        return es_doc_fail(segments, r->err, "must name at least one segment");
    size_t first = r->placements.count;
    for (size_t i = 0; i < segments->as.list.count; i++) {
        es_placement placement = {.node = node};
        ES_TRY(read_segment(r, segments->as.list.items[i], &placement.segment));
        for (size_t j = first; j < r->placements.count; j++)
            if (r->placements.items[j].segment.index == placement.segment.index)
                return es_doc_fail(segments->as.list.items[i], r->err,
                                   "segment '%s' is listed twice",
                                   r->scenario->segments[placement.segment.index].name);
        ES_TRY(ES_ARRAY_PUSH(r->arena, &r->placements, placement, "placements", r->err));
    }
    return ES_OK;
}

/* Predicted figures are told for the reader and computed again when written; types are checked. */
static es_status check_figures(reader *r, const es_doc *map)
{
    static const char *const figures[] = {"latency_ms", "latency_max_ms", "energy_j",
                                          "carbon_gco2e", "cost"};
    double ignored = 0.0;
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        ES_TRY(es_doc_get_number(map, figures[i], 0.0, (double)INFINITY, &ignored, r->err));
    return es_doc_get_number(map, "quality", 0.0, 1.0, &ignored, r->err);
}

static es_status read_routing(reader *r, const es_doc *map)
{
    const es_doc *nodes;
    uint32_t class_index;
    es_routing routing = {0};
    ES_TRY(ES_DOC_EXPECT_KEYS(map, r->err, "task", "at", "pipeline", "nodes", "share", "latency_ms",
                              "latency_max_ms", "quality", "energy_j", "carbon_gco2e", "cost"));
    ES_TRY(read_class(r, map, &class_index));
    routing.class_id = (es_class_id){class_index};
    ES_TRY(read_pipeline(r, map, class_index, &routing.pipeline));
    const es_pipeline *pipeline = &r->scenario->pipelines[routing.pipeline.index];
    ES_TRY(es_doc_need_list(map, "nodes", &nodes, r->err));
    if (nodes->as.list.count != pipeline->stage_count)
        return es_doc_fail(nodes, r->err,
                           "%zu nodes for pipeline '%s', which has %" PRIu32 " stages",
                           nodes->as.list.count, pipeline->name, pipeline->stage_count);
    for (uint32_t k = 0; k < pipeline->stage_count; k++)
        ES_TRY(read_node(r, nodes->as.list.items[k], &routing.nodes[k]));
    ES_TRY(es_doc_need_number(map, "share", 0.0, 1.0, &routing.share, r->err));
    if (routing.share <= 0.0)
        return es_doc_fail(es_doc_find(map, "share"), r->err, "share=0 must be > 0");
    ES_TRY(check_figures(r, map));
    return ES_ARRAY_PUSH(r->arena, &r->routings, routing, "routing", r->err);
}

static es_status read_refused(reader *r, const es_doc *map)
{
    uint32_t class_index;
    double share = 0.0;
    ES_TRY(ES_DOC_EXPECT_KEYS(map, r->err, "task", "at", "share"));
    ES_TRY(read_class(r, map, &class_index));
    ES_TRY(es_doc_need_number(map, "share", 0.0, 1.0, &share, r->err));
    if (r->refused_at[class_index] != NULL)
        return es_doc_fail(map, r->err, "the same requests are listed twice, first on line %u",
                           (unsigned)r->refused_at[class_index]->line);
    r->refused_at[class_index] = map;
    r->refused[class_index] = share;
    return ES_OK;
}

/* null, or a number; what stands for null is fallback. */
static es_status read_figure(reader *r, const es_doc *root, const char *key, double fallback,
                             double *out)
{
    *out = fallback;
    return es_doc_get_number(root, key, -(double)INFINITY, (double)INFINITY, out, r->err);
}

/* The explanation is for people and is not read back. */
static es_status read_moves(reader *r, const es_doc *root)
{
    const es_doc *map = NULL;
    int64_t count = 0;
    ES_TRY(es_doc_get_map(root, "explain", &map, r->err));
    map = NULL;
    ES_TRY(es_doc_get_map(root, "moves", &map, r->err));
    if (map == NULL)
        return ES_OK;
    ES_TRY(ES_DOC_EXPECT_KEYS(map, r->err, "count", "cost_per_s"));
    ES_TRY(es_doc_get_int(map, "count", 1, UINT32_MAX, &count, r->err));
    r->plan->move_count = (size_t)count;
    return es_doc_get_number(map, "cost_per_s", 0.0, (double)INFINITY, &r->plan->move_cost_per_s,
                             r->err);
}

static es_status read_head(reader *r, const es_doc *root)
{
    size_t method = 0;
    size_t quality = 0;
    const char *name = NULL;
    const char *conflict = NULL;
    ES_TRY(es_doc_expect_format(root, FORMAT, VERSION, r->err));
    ES_TRY(ES_DOC_EXPECT_KEYS(root, r->err, "format", "version", "scenario", "method", "quality",
                              "objective_per_s", "bound_per_s", "gap_relative", "conflict", "moves",
                              "placements", "routing", "refused", "explain"));
    ES_TRY(es_doc_need_text(root, "scenario", &name, r->err));
    if (strcmp(name, r->scenario->name) != 0)
        return es_doc_fail(es_doc_find(root, "scenario"), r->err,
                           "plan of scenario '%s', but the scenario given is '%s'", name,
                           r->scenario->name);
    ES_TRY(es_doc_need_word(root, "method", es_plan_method_names, ES_PLAN_METHOD_COUNT, &method,
                            r->err));
    ES_TRY(es_doc_need_word(root, "quality", es_plan_quality_names, ES_PLAN_QUALITY_COUNT, &quality,
                            r->err));
    ES_TRY(es_doc_get_text(root, "conflict", &conflict, r->err));
    ES_TRY(read_figure(r, root, "objective_per_s", (double)INFINITY, &r->plan->objective));
    ES_TRY(read_figure(r, root, "bound_per_s", -(double)INFINITY, &r->plan->bound));
    ES_TRY(read_figure(r, root, "gap_relative", (double)INFINITY, &r->plan->gap_relative));
    ES_TRY(read_moves(r, root));
    r->plan->scenario = es_arena_text(r->arena, name);
    r->plan->conflict = es_arena_text(r->arena, conflict);
    if (r->plan->scenario == NULL || (r->plan->conflict == NULL && conflict != NULL))
        return es_arena_full(r->arena, "plan", r->err);
    r->plan->method = (es_plan_method)method;
    r->plan->quality = (es_plan_quality)quality;
    return ES_OK;
}

static es_status read_list(reader *r, const es_doc *root, const char *key,
                           es_status (*read)(reader *r, const es_doc *map))
{
    const es_doc *list;
    ES_TRY(es_doc_need_list(root, key, &list, r->err));
    for (size_t i = 0; i < list->as.list.count; i++)
        ES_TRY(read(r, list->as.list.items[i]));
    return ES_OK;
}

static bool same_way(const es_routing *a, const es_routing *b)
{
    for (int k = 0; k < ES_STAGE_COUNT_MAX; k++)
        if (a->nodes[k].index != b->nodes[k].index)
            return false;
    return a->class_id.index == b->class_id.index && a->pipeline.index == b->pipeline.index;
}

/* Every class is told what becomes of all of it, and no way stands twice. */
static es_status check_shares(reader *r, const es_doc *root)
{
    const es_doc *routing = es_doc_find(root, "routing");
    const es_scenario *scenario = r->scenario;
    bool empty = r->plan->quality == ES_PLAN_INFEASIBLE || r->plan->quality == ES_PLAN_UNKNOWN;
    if (empty && r->routings.count > 0)
        return es_doc_fail(routing, r->err, "must be empty in a plan of quality '%s'",
                           es_plan_quality_names[r->plan->quality]);
    double *sums = ES_TAKE_ARRAY(r->arena, double, scenario->class_count);
    if (sums == NULL)
        return es_arena_full(r->arena, "shares", r->err);
    for (size_t i = 0; i < r->routings.count; i++) {
        const es_routing *way = &r->routings.items[i];
        sums[way->class_id.index] += way->share;
        if (i > 0 && same_way(way, way - 1))
            return es_doc_fail(routing, r->err,
                               "pipeline '%s' over the same nodes stands twice "
                               "for the same requests",
                               scenario->pipelines[way->pipeline.index].name);
    }
    for (uint32_t c = 0; !empty && c < scenario->class_count; c++) {
        const es_class *class_ = &scenario->classes[c];
        double sum = sums[c] + r->refused[c];
        if (fabs(sum - 1.0) > SHARE_SUM_TOLERANCE)
            return es_doc_fail(routing, r->err,
                               "shares of task '%s' at node '%s' with what is refused add up to "
                               "%.9g, must be 1",
                               scenario->tasks[class_->task.index].name,
                               node_name(scenario, class_->node), sum);
    }
    return ES_OK;
}

static es_status read_plan(es_arena *arena, const es_doc *root, const es_scenario *scenario,
                           const es_plan **out_plan, es_error *err)
{
    reader r = {.arena = arena, .scenario = scenario, .err = err};
    r.plan = ES_TAKE_ONE(arena, es_plan);
    r.refused = ES_TAKE_ARRAY(arena, double, scenario->class_count);
    r.refused_at = ES_TAKE_ARRAY(arena, const es_doc *, scenario->class_count);
    if (r.plan == NULL || r.refused == NULL || r.refused_at == NULL)
        return es_arena_full(arena, "plan", err);
    ES_TRY(read_head(&r, root));
    ES_TRY(read_list(&r, root, "placements", read_placement));
    ES_TRY(read_list(&r, root, "routing", read_routing));
    ES_TRY(read_list(&r, root, "refused", read_refused));
    es_plan_sort(r.placements.items, r.placements.count, r.routings.items, r.routings.count);
    ES_TRY(check_shares(&r, root));
    r.plan->placement_count = r.placements.count;
    r.plan->placements = r.placements.items;
    r.plan->routing_count = r.routings.count;
    r.plan->routings = r.routings.items;
    r.plan->refused_share = r.refused;
    *out_plan = r.plan;
    return ES_OK;
}

es_status es_plan_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                        const es_scenario *scenario, const es_plan **out_plan, es_error *err)
{
    const es_doc *root;
    ES_TRY(es_doc_parse_json(arena, name, bytes, size, &root, err));
    return read_plan(arena, root, scenario, out_plan, err);
}

es_status es_plan_load(es_arena *arena, const char *path, const es_scenario *scenario,
                       const es_plan **out_plan, es_error *err)
{
    char *bytes;
    size_t size;
    ES_TRY(es_file_read_gz(arena, path, DOCUMENT_BYTES_MAX, &bytes, &size, err));
    return es_plan_parse(arena, path, bytes, size, scenario, out_plan, err);
}
