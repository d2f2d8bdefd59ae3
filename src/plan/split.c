/*
 * The best split of a chain of layers over a chain of nodes, by dynamic programming:
 *
 *   best[k][j] = min over i <= j of  enter[k][i] + segment(i..j at k)
 *   enter[k][i] = min over k' < k of  best[k'][i - 1] + ship(output of i - 1, k' -> k)
 *
 * where + is max for the throughput. Memory is summed over the segment i..j, which is why its first
 * layer is part of the state. Everything is weighted by the share of requests that gets there.
 */
#include "base/array.h"
#include "plan/plan.h"

#include <assert.h>
#include <math.h>

const char *const es_split_objective_names[ES_SPLIT_OBJECTIVE_COUNT] = {"latency", "energy",
                                                                        "throughput"};

typedef struct figures {
    double latency_s;
    double energy_j;
    double bottleneck_s;
} figures;

/* What a solve carries along. Layers are numbered from 0; best[k][j] ends in layer j. */
typedef struct work {
    const es_split_problem *problem;
    es_split_opts opts;
    double *reach;        /* [layer]: share of requests that run it */
    double *leave;        /* [layer]: share that is answered behind it */
    double *best;         /* [node][layer] */
    double *enter;        /* [layer], of the node at hand */
    uint32_t *enter_from; /* [layer] */
    uint32_t *first;      /* [node][layer]: where the last segment starts */
    uint32_t *before;     /* [node][layer]: the node of the segment before; the node itself: none */
} work;

es_split_opts es_split_opts_default(void)
{
    return (es_split_opts){
        .objective = ES_SPLIT_LATENCY, .bottleneck_s_max = INFINITY, .nodes_allowed = UINT32_MAX};
}

static const es_split_hop *hop_of(const es_split_problem *problem, size_t from, size_t to)
{
    return &problem->hops[from * problem->node_count + to];
}

/* Bytes that a share of the requests ships. Nobody on the way: no cost, even where there is none.
 */
static figures ship(const es_split_hop *hop, double share, double bytes)
{
    if (share <= 0)
        return (figures){0};
    double bits = 8 * bytes;
    return (figures){.latency_s = share * (hop->latency_s + bits * hop->seconds_per_bit),
                     .energy_j = share * bits * hop->energy_j_per_bit,
                     .bottleneck_s = share * bits * hop->bottleneck_seconds_per_bit};
}

/* A segment that grows towards the first layer, so that sums come in one order everywhere. */
typedef struct segment {
    figures sum; /* bottleneck_s unused */
    double busy_s;
    double leave;
    double memory_bytes;
} segment;

/* False when node cannot take the layer as well; then no longer segment fits either. */
static bool segment_grow(segment *grown, const es_split_problem *problem, size_t node, size_t layer,
                         double reach, double leave)
{
    double time_s = problem->time_s[node * problem->layer_count + layer];
    grown->memory_bytes += problem->layers[layer].memory_bytes;
    if (isinf(time_s) || grown->memory_bytes > problem->memory_bytes[node])
        return false;
    figures back = ship(hop_of(problem, node, 0), leave, problem->answer_bytes);
    if (isinf(back.latency_s))
        return false;
    double energy_j = problem->energy_j[node * problem->layer_count + layer];
    grown->busy_s += reach * time_s;
    grown->leave += leave;
    grown->sum.latency_s += reach * time_s + back.latency_s;
    grown->sum.energy_j += reach * energy_j + back.energy_j;
    return true;
}

static double segment_bottleneck(const segment *grown, const es_split_problem *problem, size_t node)
{
    figures back = ship(hop_of(problem, node, 0), grown->leave, problem->answer_bytes);
    return fmax(grown->busy_s / problem->processors[node], back.bottleneck_s);
}

static void shares(const es_split_problem *problem, double *reach, double *leave)
{
    double now = 1;
    for (size_t j = 0; j < problem->layer_count; j++) {
        bool last = j + 1 == problem->layer_count;
        double go_on = last ? 0 : now * problem->layers[j].survival;
        reach[j] = now;
        leave[j] = now - go_on;
        now = go_on;
    }
}

static double value_of(es_split_objective objective, double latency_s, double energy_j,
                       double bottleneck_s)
{
    switch (objective) {
    case ES_SPLIT_ENERGY:
        return energy_j;
    case ES_SPLIT_THROUGHPUT:
        return bottleneck_s;
    case ES_SPLIT_LATENCY:
    case ES_SPLIT_OBJECTIVE_COUNT:
        break;
    }
    return latency_s;
}

static double join(es_split_objective objective, double a, double b)
{
    return objective == ES_SPLIT_THROUGHPUT ? fmax(a, b) : a + b;
}

static double ship_value(const work *now, size_t from, size_t to, double share, double bytes)
{
    const es_split_hop *hop = hop_of(now->problem, from, to);
    figures cost = ship(hop, share, bytes);
    if (isinf(hop->latency_s) || cost.bottleneck_s > now->opts.bottleneck_s_max)
        return INFINITY;
    return value_of(now->opts.objective, cost.latency_s, cost.energy_j, cost.bottleneck_s);
}

/* enter[i]: the least value with which layer i can start at node. */
static void fill_enter(work *now, size_t node)
{
    const es_split_problem *problem = now->problem;
    size_t count = problem->layer_count;
    for (size_t i = 0; i < count; i++) {
        now->enter[i] = INFINITY;
        now->enter_from[i] = (uint32_t)node;
        if (i == 0) {
            now->enter[0] = ship_value(now, 0, node, 1, problem->input_bytes);
            continue;
        }
        for (size_t from = 0; from < node; from++) {
            double before = now->best[from * count + i - 1];
            if (isinf(before))
                continue;
            double value = join(
                now->opts.objective, before,
                ship_value(now, from, node, now->reach[i], problem->layers[i - 1].output_bytes));
            if (value < now->enter[i]) {
                now->enter[i] = value;
                now->enter_from[i] = (uint32_t)from;
            }
        }
    }
}

static void fill_best(work *now, size_t node)
{
    const es_split_problem *problem = now->problem;
    size_t count = problem->layer_count;
    for (size_t last = 0; last < count; last++) {
        segment grown = {0};
        size_t at = node * count + last;
        for (size_t first = last + 1; first-- > 0;) {
            if (!segment_grow(&grown, problem, node, first, now->reach[first], now->leave[first]))
                break;
            double bottleneck_s = segment_bottleneck(&grown, problem, node);
            if (bottleneck_s > now->opts.bottleneck_s_max)
                break;
            double value = join(now->opts.objective, now->enter[first],
                                value_of(now->opts.objective, grown.sum.latency_s,
                                         grown.sum.energy_j, bottleneck_s));
            if (value < now->best[at]) {
                now->best[at] = value;
                now->first[at] = (uint32_t)first;
                now->before[at] = now->enter_from[first];
            }
        }
    }
}

/* The layers' nodes of the best split, read backwards; false when there is none. */
static bool trace(const work *now, uint32_t *node_of)
{
    size_t count = now->problem->layer_count;
    size_t node = 0;
    double least = INFINITY;
    for (size_t k = 0; k < now->problem->node_count; k++) {
        if (now->best[k * count + count - 1] < least) {
            least = now->best[k * count + count - 1];
            node = k;
        }
    }
    if (isinf(least))
        return false;
    size_t last = count - 1;
    for (size_t step = 0; step < now->problem->node_count; step++) {
        size_t at = node * count + last;
        for (size_t j = now->first[at]; j <= last; j++)
            node_of[j] = (uint32_t)node;
        if (now->first[at] == 0)
            return true;
        assert(now->before[at] < node);
        last = now->first[at] - 1;
        node = now->before[at];
    }
    assert(false && "a split has at most one segment per node");
    return false;
}

static bool run(work *now, uint32_t *node_of)
{
    size_t count = now->problem->layer_count;
    for (size_t k = 0; k < now->problem->node_count; k++) {
        for (size_t j = 0; j < count; j++)
            now->best[k * count + j] = INFINITY;
        if ((now->opts.nodes_allowed >> k & 1) == 0)
            continue;
        fill_enter(now, k);
        fill_best(now, k);
    }
    return trace(now, node_of);
}

static es_status check_numbers(const es_split_problem *problem, es_error *err)
{
    size_t layers = problem->layer_count;
    size_t nodes = problem->node_count;
    if (!(problem->input_bytes >= 0 && problem->answer_bytes >= 0))
        return es_fail(err, ES_ERR_ARG, "split: input_bytes=%g and answer_bytes=%g must be >= 0",
                       problem->input_bytes, problem->answer_bytes);
    for (size_t j = 0; j < layers; j++) {
        const es_split_layer *layer = &problem->layers[j];
        if (!(layer->memory_bytes >= 0 && layer->output_bytes >= 0))
            return es_fail(err, ES_ERR_ARG,
                           "split: layers[%zu]: memory_bytes=%g and output_bytes=%g must be >= 0",
                           j, layer->memory_bytes, layer->output_bytes);
        if (!(layer->survival >= 0 && layer->survival <= 1))
            return es_fail(err, ES_ERR_ARG, "split: layers[%zu]: survival=%g must be 0..1", j,
                           layer->survival);
    }
    for (size_t k = 0; k < nodes; k++) {
        if (!(problem->memory_bytes[k] >= 0 && problem->processors[k] > 0))
            return es_fail(err, ES_ERR_ARG,
                           "split: nodes[%zu]: memory_bytes=%g must be >= 0, processors=%g > 0", k,
                           problem->memory_bytes[k], problem->processors[k]);
        for (size_t j = 0; j < layers; j++)
            if (!(problem->time_s[k * layers + j] >= 0 && problem->energy_j[k * layers + j] >= 0))
                return es_fail(err, ES_ERR_ARG,
                               "split: nodes[%zu], layers[%zu]: time_s=%g and energy_j=%g must be "
                               ">= 0",
                               k, j, problem->time_s[k * layers + j],
                               problem->energy_j[k * layers + j]);
        for (size_t to = 0; to < nodes; to++) {
            const es_split_hop *hop = hop_of(problem, k, to);
            if (!(hop->latency_s >= 0 && hop->seconds_per_bit >= 0 &&
                  hop->bottleneck_seconds_per_bit >= 0 && hop->energy_j_per_bit >= 0))
                return es_fail(err, ES_ERR_ARG, "split: hop %zu to %zu: figures must be >= 0", k,
                               to);
        }
    }
    return ES_OK;
}

static es_status check(const es_split_problem *problem, const es_split_opts *opts, es_error *err)
{
    if (problem->layer_count < 1 || problem->layer_count > ES_SPLIT_LAYERS_MAX)
        return es_fail(err, ES_ERR_ARG, "split: %zu layers, must be 1..%d", problem->layer_count,
                       ES_SPLIT_LAYERS_MAX);
    if (problem->node_count < 1 || problem->node_count > ES_SPLIT_NODES_MAX)
        return es_fail(err, ES_ERR_ARG, "split: %zu nodes, must be 1..%d", problem->node_count,
                       ES_SPLIT_NODES_MAX);
    if ((unsigned)opts->objective >= ES_SPLIT_OBJECTIVE_COUNT)
        return es_fail(err, ES_ERR_ARG,
                       "split: objective=%d is none of latency, energy, throughput",
                       (int)opts->objective);
    if (isnan(opts->bottleneck_s_max))
        return es_fail(err, ES_ERR_ARG, "split: bottleneck_s_max must be a number");
    return check_numbers(problem, err);
}

static es_status work_init(es_arena *arena, work *now, const es_split_problem *problem,
                           es_error *err)
{
    size_t count = problem->layer_count;
    size_t states = count * problem->node_count;
    now->problem = problem;
    now->reach = ES_TAKE_ARRAY(arena, double, count);
    now->leave = ES_TAKE_ARRAY(arena, double, count);
    now->best = ES_TAKE_ARRAY(arena, double, states);
    now->enter = ES_TAKE_ARRAY(arena, double, count);
    now->enter_from = ES_TAKE_ARRAY(arena, uint32_t, count);
    now->first = ES_TAKE_ARRAY(arena, uint32_t, states);
    now->before = ES_TAKE_ARRAY(arena, uint32_t, states);
    if (now->reach == NULL || now->leave == NULL || now->best == NULL || now->enter == NULL ||
        now->enter_from == NULL || now->first == NULL || now->before == NULL)
        return es_arena_full(arena, "split", err);
    shares(problem, now->reach, now->leave);
    return ES_OK;
}

static es_status solve(es_arena *arena, work *now, es_split_opts opts, es_split *out_split,
                       es_error *err)
{
    uint32_t *node_of = ES_TAKE_ARRAY(arena, uint32_t, now->problem->layer_count);
    if (node_of == NULL)
        return es_arena_full(arena, "split", err);
    now->opts = opts;
    *out_split = (es_split){0};
    if (!run(now, node_of))
        return ES_OK;
    *out_split = es_split_price(now->problem, node_of);
    assert(out_split->feasible);
    if (opts.objective == ES_SPLIT_THROUGHPUT) {
        now->opts.objective = ES_SPLIT_LATENCY;
        now->opts.bottleneck_s_max = out_split->bottleneck_s;
        if (run(now, node_of))
            *out_split = es_split_price(now->problem, node_of);
    }
    return ES_OK;
}

es_status es_split_solve(es_arena *arena, const es_split_problem *problem, es_split_opts opts,
                         es_split *out_split, es_error *err)
{
    work now = {0};
    ES_TRY(check(problem, &opts, err));
    ES_TRY(work_init(arena, &now, problem, err));
    return solve(arena, &now, opts, out_split, err);
}

static void add(es_split *split, figures more)
{
    split->latency_s += more.latency_s;
    split->energy_j += more.energy_j;
    split->bottleneck_s = fmax(split->bottleneck_s, more.bottleneck_s);
}

/* Adds the segment first..last at node, with shares reach[] and leave[] of its layers. */
static bool price_segment(const es_split_problem *problem, size_t node, size_t first, size_t last,
                          const double *reach, const double *leave, es_split *split)
{
    segment grown = {0};
    for (size_t j = last + 1; j-- > first;)
        if (!segment_grow(&grown, problem, node, j, reach[j], leave[j]))
            return false;
    grown.sum.bottleneck_s = segment_bottleneck(&grown, problem, node);
    add(split, grown.sum);
    if (node > 0)
        split->shipped_bytes += grown.leave * problem->answer_bytes;
    return true;
}

es_split es_split_price(const es_split_problem *problem, const uint32_t *node_of)
{
    static const es_split none = {0};
    double reach[ES_SPLIT_LAYERS_MAX];
    double leave[ES_SPLIT_LAYERS_MAX];
    size_t count = problem->layer_count;
    es_split split = {.feasible = true, .node_of = node_of};
    assert(count <= ES_SPLIT_LAYERS_MAX);
    shares(problem, reach, leave);
    size_t from = 0;
    double bytes = problem->input_bytes;
    for (size_t first = 0; first < count;) {
        size_t node = node_of[first];
        size_t last = first;
        while (last + 1 < count && node_of[last + 1] == node)
            last++;
        if (node >= problem->node_count || node < from || (first > 0 && node == from) ||
            isinf(hop_of(problem, from, node)->latency_s))
            return none;
        add(&split, ship(hop_of(problem, from, node), reach[first], bytes));
        split.shipped_bytes += node != from ? reach[first] * bytes : 0;
        if (!price_segment(problem, node, first, last, reach, leave, &split))
            return none;
        split.segment_count++;
        from = node;
        bytes = problem->layers[last].output_bytes;
        first = last + 1;
    }
    return split;
}

es_status es_split_front(es_arena *arena, const es_split_problem *problem, size_t max,
                         const es_split **out_splits, size_t *out_count, es_error *err)
{
    /* Latencies this near are one: the slower bottleneck of the two is of no use. */
    const double same = 1 + 1e-12;
    work now = {0};
    es_split_opts opts = es_split_opts_default();
    ES_ARRAY(es_split) front = {0};
    ES_TRY(check(problem, &opts, err));
    ES_TRY(work_init(arena, &now, problem, err));
    while (front.count < max) {
        es_split next = {0};
        ES_TRY(solve(arena, &now, opts, &next, err));
        if (!next.feasible)
            break;
        if (front.count > 0 && next.latency_s <= front.items[front.count - 1].latency_s * same)
            front.items[front.count - 1] = next;
        else
            ES_TRY(ES_ARRAY_PUSH(arena, &front, next, "front", err));
        if (next.bottleneck_s <= 0)
            break;
        opts.bottleneck_s_max = nextafter(next.bottleneck_s, 0);
    }
    *out_splits = front.items;
    *out_count = front.count;
    return ES_OK;
}
