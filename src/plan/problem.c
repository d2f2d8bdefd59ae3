#include "base/checked.h"
#include "plan/builder.h"

#include <inttypes.h>
#include <math.h>

es_problem_opts es_problem_opts_default(void)
{
    return (es_problem_opts){.nodes = ES_PATH_NODES_ANY,
                             .tuple_max = 20000,
                             .tuple_min = 36,
                             .tuple_total = 500000,
                             .single_min = 12};
}

double es_deadline_left_s(const es_deadline *deadline)
{
    return es_s_from_ns(deadline->end_ns - es_clock_now_ns(deadline->clock));
}

es_deadline es_deadline_part(const es_deadline *deadline, double share)
{
    es_deadline part = *deadline;
    double left_s = fmax(es_deadline_left_s(deadline), 0.0);
    part.end_ns = es_clock_now_ns(deadline->clock) + es_ns_from_s(share * left_s);
    return part;
}

static bool node_may_run(const es_builder *b, const es_class *class_, es_segment_id segment,
                         es_node_id id, bool *out_oversize)
{
    const es_node *node = es_network_node(b->scenario->network, id);
    *out_oversize = b->scenario->segments[segment.index].memory_bytes > node->memory_bytes;
    if (node->processors * node->utilisation_max <= 0.0)
        return false;
    if (b->opts.nodes == ES_PATH_NODES_ENTRY && id.index != class_->node.index)
        return false;
    if (b->opts.nodes == ES_PATH_NODES_CLOUD && node->tier != ES_TIER_CLOUD)
        return false;
    if (b->opts.nodes == ES_PATH_NODES_EDGE && node->tier != ES_TIER_EDGE)
        return false;
    return isfinite(es_scenario_service(b->scenario, segment, id).time_s);
}

/* Whether stage k may be where it is after the stages before it. */
static bool shape_allowed(const es_builder *b, const es_class *class_, uint32_t k,
                          const es_node_id *nodes)
{
    return b->opts.nodes != ES_PATH_NODES_SPLIT || k == 0 || nodes[k].index == nodes[k - 1].index ||
           nodes[k - 1].index == class_->node.index;
}

bool es_builder_way_s(const es_scenario *scenario, es_node_id from, es_node_id to, double bytes,
                      double *out_s)
{
    es_route route;
    if (from.index == to.index) {
        *out_s = 0.0;
        return true;
    }
    if (!es_routes_get(scenario->routes, from, to, &route))
        return false;
    *out_s = es_route_transfer_s(&route, bytes);
    return true;
}

void es_builder_all(es_builder *b, const es_class *class_, const es_pipeline *pipeline)
{
    uint32_t node_count = es_network_node_count(b->scenario->network);
    for (uint32_t k = 0; k < pipeline->stage_count; k++) {
        uint32_t count = 0;
        for (uint32_t v = 0; v < node_count; v++) {
            bool oversize;
            double ignored_s;
            if (node_may_run(b, class_, pipeline->stages[k].segment, (es_node_id){v}, &oversize) &&
                (!oversize || b->opts.keep_oversize) &&
                es_builder_way_s(b->scenario, class_->node, (es_node_id){v}, 0.0, &ignored_s))
                b->candidates[k][count++] = v;
        }
        b->candidate_counts[k] = count;
    }
}

/* Keeps the `keep` best candidates of stage k by a score: request's way there and back, service. */
static void cut_candidates(es_builder *b, const es_class *class_, const es_pipeline *pipeline,
                           uint32_t k, uint32_t keep)
{
    const es_scenario *scenario = b->scenario;
    const es_objective *objective = &scenario->objective;
    uint32_t *list = b->candidates[k];
    uint32_t count = b->candidate_counts[k];
    if (count <= keep)
        return;
    for (uint32_t i = 0; i < count; i++) {
        es_node_id node = {list[i]};
        es_service service = es_scenario_service(scenario, pipeline->stages[k].segment, node);
        double there_s = 0.0;
        double back_s = 0.0;
        (void)es_builder_way_s(scenario, class_->node, node, pipeline->stages[k].input_bytes,
                               &there_s);
        (void)es_builder_way_s(scenario, node, class_->node, 0.0, &back_s);
        double price = b->opts.prices.pi != NULL ? b->opts.prices.mu[list[i]] : 0.0;
        b->scores[list[i]] =
            (objective->latency_per_s + 1e-9) * (there_s + back_s + service.time_s) +
            objective->energy_per_j * service.energy_j + price * service.time_s;
    }
    /* Selection keeps the order of numbers among the kept; keep is small. */
    for (uint32_t i = 0; i < keep; i++) {
        uint32_t best = i;
        for (uint32_t j = i + 1; j < count; j++)
            if (b->scores[list[j]] < b->scores[list[best]])
                best = j;
        uint32_t swap = list[i];
        list[i] = list[best];
        list[best] = swap;
    }
    b->candidate_counts[k] = keep;
    b->truncated = true;
}

double es_builder_service_cost(const es_scenario *scenario, const es_stage *stage, es_node_id node,
                               const es_path_prices *prices)
{
    const es_objective *objective = &scenario->objective;
    es_service service = es_scenario_service(scenario, stage->segment, node);
    return stage->reach *
           (objective->latency_per_s * service.time_s + objective->energy_per_j * service.energy_j +
            prices->mu[node.index] * service.time_s);
}

/* Leaves out nodes over which no path pays at the prices: direct way, the best of other stages. */
static void keep_paying(es_builder *b, uint32_t class_index, const es_pipeline *pipeline)
{
    static const double MARGIN = 0.02;
    const es_scenario *scenario = b->scenario;
    const es_class *class_ = &scenario->classes[class_index];
    const es_path_prices *prices = &b->opts.prices;
    double least[ES_STAGE_COUNT_MAX];
    double floor_cost = scenario->objective.quality * (1.0 - pipeline->quality);
    double rate = class_->arrivals.rate_rps;
    if (class_->quality_min > 0.0 && rate > 0.0)
        floor_cost -= prices->kappa[class_index] * (pipeline->quality - class_->quality_min) / rate;
    double total = floor_cost;
    for (uint32_t k = 0; k < pipeline->stage_count; k++) {
        least[k] = INFINITY;
        for (uint32_t i = 0; i < b->candidate_counts[k]; i++)
            least[k] =
                fmin(least[k], es_builder_service_cost(scenario, &pipeline->stages[k],
                                                       (es_node_id){b->candidates[k][i]}, prices));
        total += least[k];
    }
    for (uint32_t k = 0; k < pipeline->stage_count; k++) {
        uint32_t kept = 0;
        for (uint32_t i = 0; i < b->candidate_counts[k]; i++) {
            es_node_id node = {b->candidates[k][i]};
            double way_s = 0.0;
            (void)es_builder_way_s(scenario, class_->node, node, 0.0, &way_s);
            double cost = total - least[k] +
                          es_builder_service_cost(scenario, &pipeline->stages[k], node, prices) +
                          pipeline->stages[k].reach * scenario->objective.latency_per_s * way_s;
            if (cost < prices->pi[class_index] * (1.0 + MARGIN))
                b->candidates[k][kept++] = node.index;
        }
        b->truncated = b->truncated || kept < b->candidate_counts[k];
        b->candidate_counts[k] = kept;
    }
}

void es_builder_cut(es_builder *b, uint32_t class_index, const es_pipeline *pipeline)
{
    const es_class *class_ = &b->scenario->classes[class_index];
    if (b->opts.nodes != ES_PATH_NODES_ANY && pipeline->stage_count == 1)
        return;
    if (b->opts.prices.pi != NULL)
        keep_paying(b, class_index, pipeline);
    double product = 1.0;
    for (uint32_t k = 0; k < pipeline->stage_count; k++)
        product *= b->candidate_counts[k];
    double most = pipeline->stage_count == 1 ? b->single_max : b->opts.tuple_max;
    if (product <= most || b->opts.nodes == ES_PATH_NODES_SPLIT)
        return;
    double keep = floor(pow(most, 1.0 / pipeline->stage_count) + 1e-9);
    for (uint32_t k = 0; k < pipeline->stage_count; k++)
        cut_candidates(b, class_, pipeline, k, keep < 1.0 ? 1 : (uint32_t)keep);
}

static es_status host_number(es_builder *b, es_node_id node, es_segment_id segment, uint32_t *out)
{
    uint32_t *slot = &b->host_of[(size_t)node.index * b->scenario->segment_count + segment.index];
    if (*slot == 0) {
        const es_segment *s = &b->scenario->segments[segment.index];
        es_host host = {.node = node,
                        .segment = segment,
                        .memory_bytes = s->memory_bytes,
                        .hosting_per_s = s->hosting_per_s};
        ES_TRY(ES_ARRAY_PUSH(b->arena, &b->hosts, host, "hosts", b->err));
        *slot = (uint32_t)b->hosts.count;
    }
    *out = *slot - 1;
    return ES_OK;
}

/* A request is never better served at the price of refusing it, unless the class needs the quality
 * of this path to make up for others: the only dominance that stays safe under shared hosting. */
static bool worse_than_refusing(const es_scenario *scenario, const es_class *class_,
                                const es_price *price)
{
    return price->cost >= scenario->objective.refusal_cost &&
           (class_->quality_min <= 0.0 || price->quality <= class_->quality_min);
}

bool es_builder_wants(const es_builder *b, const es_class *class_, const es_price *price)
{
    bool late = price->latency_max_s > class_->deadline_s;
    bool poor = price->quality < class_->quality_min_each;
    return price->reachable && (b->opts.keep_late || (!late && !poor)) &&
           !worse_than_refusing(b->scenario, class_, price);
}

static es_status add_path(es_builder *b, uint32_t class_index, es_pipeline_id id,
                          const es_node_id *nodes)
{
    const es_scenario *scenario = b->scenario;
    const es_class *class_ = &scenario->classes[class_index];
    const es_pipeline *pipeline = &scenario->pipelines[id.index];
    es_price price = es_scenario_price(scenario, (es_class_id){class_index}, id, nodes);
    if (!price.reachable)
        return ES_OK;
    bool late = price.latency_max_s > class_->deadline_s;
    bool poor = price.quality < class_->quality_min_each;
    if ((late || poor) && !b->opts.keep_late)
        return ES_OK;
    if (price.cost < b->class_cost_min[class_index])
        b->class_cost_min[class_index] = price.cost;
    if (worse_than_refusing(scenario, class_, &price))
        return ES_OK;
    if (b->stage_hosts.count > UINT32_MAX - ES_STAGE_COUNT_MAX)
        return es_fail(b->err, ES_ERR_LIMIT, "plan: more than %u path stages", UINT32_MAX);
    es_path path = {.pipeline = id,
                    .stage_count = pipeline->stage_count,
                    .stage_first = (uint32_t)b->stage_hosts.count,
                    .late = late,
                    .poor = poor,
                    .cost = price.cost,
                    .quality = price.quality,
                    .latency_max_s = price.latency_max_s,
                    .energy_j = price.energy_compute_j + price.energy_network_j,
                    .carbon_g = price.carbon_g};
    for (uint32_t k = 0; k < pipeline->stage_count; k++) {
        uint32_t host = 0;
        ES_TRY(host_number(b, nodes[k], pipeline->stages[k].segment, &host));
        ES_TRY(ES_ARRAY_PUSH(b->arena, &b->stage_hosts, host, "path stages", b->err));
        ES_TRY(ES_ARRAY_PUSH(b->arena, &b->stage_loads, price.compute_s[k], "path loads", b->err));
    }
    return ES_ARRAY_PUSH(b->arena, &b->paths, path, "paths", b->err);
}

/* Latency up to and with stage k over nodes; false when it cannot be or is late already. */
static bool extend_latency(const es_builder *b, const es_class *class_, const es_pipeline *pipeline,
                           uint32_t k, const es_node_id *nodes, double *latency_s)
{
    es_node_id before = k == 0 ? class_->node : nodes[k - 1];
    double way_s;
    if (!es_builder_way_s(b->scenario, before, nodes[k], pipeline->stages[k].input_bytes, &way_s))
        return false;
    double so_far_s = k == 0 ? 0.0 : latency_s[k - 1];
    latency_s[k] = so_far_s + way_s +
                   es_scenario_service(b->scenario, pipeline->stages[k].segment, nodes[k]).time_s;
    /* A little slack: whether a whole path is late is decided on its price alone. */
    return k + 1 == pipeline->stage_count || b->opts.keep_late ||
           latency_s[k] <= class_->deadline_s * (1.0 + 1e-9);
}

/* Every tuple of candidates, in order, leaving out what starts late: an odometer over stages. */
static es_status add_pipeline(es_builder *b, uint32_t class_index, es_pipeline_id id)
{
    const es_class *class_ = &b->scenario->classes[class_index];
    const es_pipeline *pipeline = &b->scenario->pipelines[id.index];
    uint32_t at[ES_STAGE_COUNT_MAX] = {0};
    es_node_id nodes[ES_STAGE_COUNT_MAX];
    double latency_s[ES_STAGE_COUNT_MAX];
    int last = (int)pipeline->stage_count - 1;
    for (int k = 0; k >= 0;) {
        if (at[k] >= b->candidate_counts[k]) {
            at[k--] = 0;
            continue;
        }
        nodes[k] = (es_node_id){b->candidates[k][at[k]++]};
        if (!shape_allowed(b, class_, (uint32_t)k, nodes) ||
            !extend_latency(b, class_, pipeline, (uint32_t)k, nodes, latency_s))
            continue;
        if (k < last)
            k++;
        else
            ES_TRY(add_path(b, class_index, id, nodes));
    }
    return ES_OK;
}

/* What any path of the pipeline costs at least: best node for each stage, no transfers. */
static double pipeline_cost_min(const es_builder *b, const es_pipeline *pipeline)
{
    const es_objective *objective = &b->scenario->objective;
    double cost = objective->quality * (1.0 - pipeline->quality);
    for (uint32_t k = 0; k < pipeline->stage_count; k++) {
        double best = (double)INFINITY;
        for (uint32_t i = 0; i < b->candidate_counts[k]; i++) {
            es_service service = es_scenario_service(b->scenario, pipeline->stages[k].segment,
                                                     (es_node_id){b->candidates[k][i]});
            best = fmin(best, objective->latency_per_s * service.time_s +
                                  objective->energy_per_j * service.energy_j);
        }
        cost += pipeline->stages[k].reach * best;
    }
    return cost;
}

static es_status add_class(es_builder *b, uint32_t class_index)
{
    const es_scenario *scenario = b->scenario;
    const es_class *class_ = &scenario->classes[class_index];
    b->class_cost_min[class_index] = (double)INFINITY;
    uint32_t end = scenario->task_pipelines[class_->task.index + 1];
    for (uint32_t p = scenario->task_pipelines[class_->task.index]; p < end; p++) {
        const es_pipeline *pipeline = &scenario->pipelines[p];
        bool was_truncated = b->truncated;
        if (pipeline->quality < class_->quality_min_each && !b->opts.keep_late)
            continue;
        es_builder_all(b, class_, pipeline);
        double cost_min = pipeline_cost_min(b, pipeline);
        b->truncated = false;
        es_builder_cut(b, class_index, pipeline);
        if (b->truncated && cost_min < b->class_cost_min[class_index])
            b->class_cost_min[class_index] = cost_min;
        b->truncated = b->truncated || was_truncated;
        ES_TRY(add_pipeline(b, class_index, (es_pipeline_id){p}));
    }
    return ES_OK;
}

static int compare_paths(const void *left, const void *right)
{
    const es_path *a = left;
    const es_path *b = right;
    if (a->cost < b->cost || a->cost > b->cost)
        return a->cost < b->cost ? -1 : 1;
    return a->stage_first < b->stage_first ? -1 : a->stage_first > b->stage_first;
}

/* Groups hosts by key(host) by counting. */
static es_status group_hosts(es_arena *arena, const es_problem *problem, bool by_segment,
                             const uint32_t **out_first, const uint32_t **out_list, es_error *err)
{
    uint32_t count = by_segment ? problem->segment_count : problem->node_count;
    uint32_t *first = ES_TAKE_ARRAY(arena, uint32_t, (size_t)count + 1);
    uint32_t *list = ES_TAKE_ARRAY(arena, uint32_t, problem->host_count);
    uint32_t *next = ES_TAKE_ARRAY(arena, uint32_t, (size_t)count + 1);
    if (first == NULL || list == NULL || next == NULL)
        return es_arena_full(arena, "hosts", err);
    for (uint32_t h = 0; h < problem->host_count; h++) {
        const es_host *host = &problem->hosts[h];
        first[(by_segment ? host->segment.index : host->node.index) + 1]++;
    }
    for (uint32_t i = 0; i < count; i++) {
        first[i + 1] += first[i];
        next[i] = first[i];
    }
    for (uint32_t h = 0; h < problem->host_count; h++) {
        const es_host *host = &problem->hosts[h];
        list[next[by_segment ? host->segment.index : host->node.index]++] = h;
    }
    *out_first = first;
    *out_list = list;
    return ES_OK;
}

/* With replicas, a segment may also be hosted where no path takes it: any node that can run it. */
static es_status add_spare_hosts(es_builder *b)
{
    const es_scenario *scenario = b->scenario;
    if (scenario->replicas_min < 2)
        return ES_OK;
    es_class anywhere = {.node = ES_NODE_NONE};
    uint32_t node_count = es_network_node_count(scenario->network);
    size_t used = b->hosts.count;
    bool *wanted = ES_TAKE_ARRAY(b->arena, bool, scenario->segment_count);
    if (wanted == NULL)
        return es_arena_full(b->arena, "segments", b->err);
    for (size_t h = 0; h < used; h++)
        wanted[b->hosts.items[h].segment.index] = true;
    for (uint32_t v = 0; v < node_count; v++)
        for (uint32_t s = 0; s < scenario->segment_count; s++) {
            bool oversize;
            uint32_t host;
            if (wanted[s] &&
                node_may_run(b, &anywhere, (es_segment_id){s}, (es_node_id){v}, &oversize) &&
                (!oversize || b->opts.keep_oversize))
                ES_TRY(host_number(b, (es_node_id){v}, (es_segment_id){s}, &host));
        }
    return ES_OK;
}

static es_status take_limits(es_arena *arena, es_problem *problem, es_error *err)
{
    const es_scenario *scenario = problem->scenario;
    problem->memory_bytes = ES_TAKE_ARRAY(arena, double, problem->node_count);
    problem->compute_s = ES_TAKE_ARRAY(arena, double, problem->node_count);
    problem->quality_min = ES_TAKE_ARRAY(arena, double, problem->class_count);
    problem->deadline_off = ES_TAKE_ARRAY(arena, bool, problem->class_count);
    problem->class_off = ES_TAKE_ARRAY(arena, bool, problem->class_count);
    problem->poor_off = ES_TAKE_ARRAY(arena, bool, problem->class_count);
    if (problem->memory_bytes == NULL || problem->compute_s == NULL ||
        problem->quality_min == NULL || problem->deadline_off == NULL ||
        problem->class_off == NULL || problem->poor_off == NULL)
        return es_arena_full(arena, "limits", err);
    for (uint32_t v = 0; v < problem->node_count; v++) {
        const es_node *node = es_network_node(scenario->network, (es_node_id){v});
        problem->memory_bytes[v] = node->memory_bytes;
        problem->compute_s[v] = node->processors * node->utilisation_max;
    }
    for (uint32_t r = 0; r < problem->class_count; r++)
        problem->quality_min[r] = scenario->classes[r].quality_min;
    return ES_OK;
}

static es_status seal_problem(es_builder *b, const uint32_t *class_paths, es_problem **out_problem)
{
    es_problem *problem = ES_TAKE_ONE(b->arena, es_problem);
    if (problem == NULL)
        return es_arena_full(b->arena, "problem", b->err);
    const es_scenario *scenario = b->scenario;
    *problem = (es_problem){.scenario = scenario,
                            .node_count = es_network_node_count(scenario->network),
                            .class_count = scenario->class_count,
                            .segment_count = scenario->segment_count,
                            .host_count = (uint32_t)b->hosts.count,
                            .hosts = b->hosts.items,
                            .path_count = (uint32_t)b->paths.count,
                            .class_paths = class_paths,
                            .paths = b->paths.items,
                            .stage_hosts = b->stage_hosts.items,
                            .stage_loads = b->stage_loads.items,
                            .refusal_cost = scenario->objective.refusal_cost,
                            .idle_per_j = scenario->objective.idle_per_j,
                            .replicas_min = scenario->replicas_min,
                            .hosts_max = scenario->hosts_max,
                            .unsplittable = scenario->unsplittable,
                            .energy_w_max = scenario->energy_w_max,
                            .carbon_g_per_s_max = scenario->carbon_g_per_s_max,
                            .truncated = b->truncated,
                            .class_cost_min = b->class_cost_min};
    ES_TRY(group_hosts(b->arena, problem, false, &problem->node_host_first, &problem->node_hosts,
                       b->err));
    ES_TRY(group_hosts(b->arena, problem, true, &problem->segment_host_first,
                       &problem->segment_hosts, b->err));
    ES_TRY(take_limits(b->arena, problem, b->err));
    ES_TRY(es_problem_find_link_rows(b->arena, problem, b->paths.items, b->err));
    *out_problem = problem;
    return ES_OK;
}

static es_status take_builder(es_builder *b)
{
    const es_scenario *scenario = b->scenario;
    size_t node_count = es_network_node_count(scenario->network);
    size_t cells;
    if (!es_size_mul(node_count, scenario->segment_count, &cells) || cells > ((size_t)1 << 30))
        return es_fail(b->err, ES_ERR_LIMIT,
                       "plan: %zu nodes times %" PRIu32 " segments exceed 2^30", node_count,
                       scenario->segment_count);
    b->host_of = ES_TAKE_ARRAY(b->arena, uint32_t, cells);
    b->class_cost_min = ES_TAKE_ARRAY(b->arena, double, scenario->class_count);
    b->scores = ES_TAKE_ARRAY(b->arena, double, node_count);
    if (b->host_of == NULL || b->class_cost_min == NULL || b->scores == NULL)
        return es_arena_full(b->arena, "paths", b->err);
    for (int k = 0; k < ES_STAGE_COUNT_MAX; k++) {
        b->candidates[k] = ES_TAKE_ARRAY(b->arena, uint32_t, node_count);
        if (b->candidates[k] == NULL)
            return es_arena_full(b->arena, "paths", b->err);
    }
    return ES_OK;
}

/* Many classes share what tuples there is room for; none gets fewer than the least. */
static void share_tuples(es_builder *b)
{
    const es_scenario *scenario = b->scenario;
    double singles = 0.0; /* pairs of a class and a pipeline of one stage */
    double pairs = 0.0;   /* of several stages */
    for (uint32_t r = 0; r < scenario->class_count; r++) {
        uint32_t task = scenario->classes[r].task.index;
        for (uint32_t p = scenario->task_pipelines[task]; p < scenario->task_pipelines[task + 1];
             p++) {
            singles += scenario->pipelines[p].stage_count == 1 ? 1.0 : 0.0;
            pairs += scenario->pipelines[p].stage_count > 1 ? 1.0 : 0.0;
        }
    }
    es_problem_opts *opts = &b->opts;
    double nodes = es_network_node_count(scenario->network);
    b->single_max = singles * nodes <= opts->tuple_total
                        ? (uint32_t)nodes
                        : (uint32_t)fmax(opts->tuple_total / singles, opts->single_min);
    if (pairs * opts->tuple_max > opts->tuple_total)
        opts->tuple_max =
            (uint32_t)fmin(fmax(opts->tuple_total / pairs, opts->tuple_min), opts->tuple_max);
}

es_status es_builder_new(es_arena *arena, const es_scenario *scenario, es_problem_opts opts,
                         es_builder *out, es_error *err)
{
    *out = (es_builder){.arena = arena, .scenario = scenario, .opts = opts, .err = err};
    share_tuples(out);
    return take_builder(out);
}

es_status es_problem_build(es_arena *arena, const es_scenario *scenario, es_problem_opts opts,
                           es_problem **out_problem, es_error *err)
{
    es_builder b;
    ES_TRY(es_builder_new(arena, scenario, opts, &b, err));
    uint32_t *class_paths = ES_TAKE_ARRAY(arena, uint32_t, (size_t)scenario->class_count + 1);
    if (class_paths == NULL)
        return es_arena_full(arena, "paths", err);
    for (uint32_t r = 0; r < scenario->class_count; r++) {
        ES_TRY(add_class(&b, r));
        if (b.paths.count > UINT32_MAX / 2)
            return es_fail(err, ES_ERR_LIMIT, "plan: more than %u paths", UINT32_MAX / 2);
        class_paths[r + 1] = (uint32_t)b.paths.count;
        if (class_paths[r + 1] > class_paths[r])
            qsort(b.paths.items + class_paths[r], class_paths[r + 1] - class_paths[r],
                  sizeof *b.paths.items, compare_paths);
    }
    ES_TRY(add_spare_hosts(&b));
    return seal_problem(&b, class_paths, out_problem);
}

static es_status copy_array(es_arena *arena, void **field, size_t count, size_t size, es_error *err)
{
    const void *from = *field;
    ES_TRY(es_arena_take_or_fail(arena, count, size, "limits", field, err));
    if (count > 0)
        memcpy(*field, from, count * size);
    return ES_OK;
}

#define COPY(field, count)                                                                         \
    do {                                                                                           \
        void *copied_ = (copy)->field;                                                             \
        ES_TRY(copy_array(arena, &copied_, (count), sizeof *(copy)->field, err));                  \
        (copy)->field = copied_;                                                                   \
    } while (0)

es_status es_problem_copy(es_arena *arena, const es_problem *problem, es_problem **out_problem,
                          es_error *err)
{
    es_problem *copy = ES_TAKE_ONE(arena, es_problem);
    if (copy == NULL)
        return es_arena_full(arena, "problem", err);
    *copy = *problem;
    COPY(memory_bytes, problem->node_count);
    COPY(compute_s, problem->node_count);
    COPY(link_bps, problem->link_row_count);
    COPY(quality_min, problem->class_count);
    COPY(deadline_off, problem->class_count);
    COPY(class_off, problem->class_count);
    if (problem->poor_off != NULL)
        COPY(poor_off, problem->class_count);
    *out_problem = copy;
    return ES_OK;
}

double es_problem_on_cost(const es_problem *problem, uint32_t node)
{
    return es_network_node(problem->scenario->network, (es_node_id){node})->idle_w *
           problem->idle_per_j;
}

double es_problem_idle_w(const es_problem *problem, uint32_t node)
{
    return es_network_node(problem->scenario->network, (es_node_id){node})->idle_w;
}

double es_problem_idle_g_per_s(const es_problem *problem, uint32_t node)
{
    static const double JOULES_PER_KWH = 3.6e6;
    return es_problem_idle_w(problem, node) *
           es_scenario_carbon_gco2e_per_kwh(problem->scenario, (es_node_id){node}) / JOULES_PER_KWH;
}

double es_problem_relaxed_bound(const es_problem *problem)
{
    double bound = 0.0;
    for (uint32_t r = 0; r < problem->class_count; r++) {
        double rate = es_problem_rate(problem, r);
        if (!problem->class_off[r] && rate > 0.0)
            bound += rate * fmin(problem->class_cost_min[r], problem->refusal_cost);
    }
    return bound;
}
