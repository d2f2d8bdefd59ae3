/*
 * Topological order by Kahn's algorithm; a graph that is in order stays as it is.
 */
#include "base/text.h"
#include "model/internal.h"

enum { CYCLE_NAMES_MAX = 6 };

/* The k-th value that a node uses, captured ones included. */
static uint32_t used_at(const es_gnode *node, uint32_t k)
{
    return k < node->input_count ? node->inputs[k] : node->captured[k - node->input_count];
}

/* The node that makes the k-th used value, or ES_NO_VALUE. */
static uint32_t maker_at(const es_graph *graph, const es_gnode *node, uint32_t k)
{
    uint32_t value = used_at(node, k);
    if (value == ES_NO_VALUE || graph->values.items[value].source != ES_VALUE_NODE)
        return ES_NO_VALUE;
    return graph->values.items[value].node;
}

static uint32_t used_count(const es_gnode *node)
{
    return node->input_count + node->captured_count;
}

static bool is_sorted(const es_graph *graph)
{
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const es_gnode *node = &graph->nodes[i];
        for (uint32_t k = 0; k < used_count(node); k++) {
            uint32_t maker = maker_at(graph, node, k);
            if (maker != ES_NO_VALUE && maker >= i)
                return false;
        }
    }
    return true;
}

/* Walks backwards among the nodes that wait until one comes again. */
static es_status cycle_error(const es_graph *graph, const uint32_t *waiting, uint32_t *seen,
                             es_error *err)
{
    uint32_t at = 0;
    while (waiting[at] == 0)
        at++;
    memset(seen, 0, graph->node_count * sizeof *seen);
    while (!seen[at]) {
        seen[at] = 1;
        for (uint32_t k = 0; k < used_count(&graph->nodes[at]); k++) {
            uint32_t maker = maker_at(graph, &graph->nodes[at], k);
            if (maker != ES_NO_VALUE && waiting[maker] > 0) {
                at = maker;
                break;
            }
        }
    }
    char names[300] = "";
    size_t size = 0;
    uint32_t start = at;
    for (int shown = 0; size < sizeof names; shown++) {
        const Onnx__NodeProto *proto = graph->nodes[at].proto;
        bool more = shown < CYCLE_NAMES_MAX;
        int wrote =
            snprintf(names + size, sizeof names - size, "%s%u '%s' (%s)", shown > 0 ? " <- " : "",
                     (unsigned)at, proto->name != NULL ? proto->name : "", proto->op_type);
        size += wrote > 0 ? (size_t)wrote : 0;
        if (!more || (shown > 0 && at == start))
            break;
        for (uint32_t k = 0; k < used_count(&graph->nodes[at]); k++) {
            uint32_t maker = maker_at(graph, &graph->nodes[at], k);
            if (maker != ES_NO_VALUE && waiting[maker] > 0) {
                at = maker;
                break;
            }
        }
    }
    return es_fail(err, ES_ERR_PARSE, "nodes form a cycle: %s", names);
}

static es_status reorder(es_arena *arena, es_graph *graph, const uint32_t *order, es_error *err)
{
    es_gnode *nodes = ES_TAKE_ARRAY(arena, es_gnode, graph->node_count);
    if (nodes == NULL)
        return es_arena_full(arena, "sorted nodes", err);
    for (uint32_t i = 0; i < graph->node_count; i++) {
        nodes[i] = graph->nodes[order[i]];
        graph->proto->node[i] = nodes[i].proto;
        for (uint32_t k = 0; k < nodes[i].output_count; k++) {
            if (nodes[i].outputs[k] != ES_NO_VALUE)
                graph->values.items[nodes[i].outputs[k]].node = i;
        }
    }
    graph->nodes = nodes;
    return ES_OK;
}

es_status es_graph_sort(es_arena *arena, es_graph *graph, es_error *err)
{
    if (is_sorted(graph))
        return ES_OK;
    size_t count = graph->node_count;
    uint32_t *waiting = ES_TAKE_ARRAY(arena, uint32_t, count); /* makers not yet placed */
    uint32_t *order = ES_TAKE_ARRAY(arena, uint32_t, count);
    uint32_t *first = ES_TAKE_ARRAY(arena, uint32_t, count + 1); /* users of a node: CSR */
    if (waiting == NULL || order == NULL || first == NULL)
        return es_arena_full(arena, "order of nodes", err);
    size_t edges = 0;
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < used_count(&graph->nodes[i]); k++) {
            uint32_t maker = maker_at(graph, &graph->nodes[i], k);
            if (maker == ES_NO_VALUE)
                continue;
            first[maker]++;
            waiting[i]++;
            edges++;
        }
    }
    uint32_t *users = ES_TAKE_ARRAY(arena, uint32_t, edges);
    if (users == NULL)
        return es_arena_full(arena, "order of nodes", err);
    for (uint32_t i = 0, sum = 0; i <= count; i++) { /* ends of the ranges, filled backwards */
        sum += i < count ? first[i] : 0;
        first[i] = sum;
    }
    for (uint32_t i = (uint32_t)count; i-- > 0;) {
        for (uint32_t k = 0; k < used_count(&graph->nodes[i]); k++) {
            uint32_t maker = maker_at(graph, &graph->nodes[i], k);
            if (maker != ES_NO_VALUE)
                users[--first[maker]] = i;
        }
    }
    size_t done = 0;
    size_t ready = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (waiting[i] == 0)
            order[ready++] = i;
    }
    for (; done < ready; done++) {
        uint32_t end = order[done] + 1 < count ? first[order[done] + 1] : (uint32_t)edges;
        for (uint32_t u = first[order[done]]; u < end; u++) {
            if (--waiting[users[u]] == 0)
                order[ready++] = users[u];
        }
    }
    if (ready < count)
        return cycle_error(graph, waiting, order, err);
    return reorder(arena, graph, order, err);
}
