#include "network/internal.h"

#include <assert.h>

#define NO_LINK UINT32_MAX
#define NO_PLACE UINT32_MAX

/* How one node is reached from the source: 48 bytes. */
typedef struct reach {
    double weight;
    double latency_s, seconds_per_bit, energy_j_per_bit, availability;
    uint32_t hop_count; /* UINT32_MAX: not reached */
    uint32_t link;      /* the last link of the path; NO_LINK at the source */
} reach;

/* A binary heap of nodes by (weight, hops, number), with the place of each node in it. */
typedef struct heap {
    uint32_t *nodes;
    uint32_t *places; /* NO_PLACE: not in the heap */
    uint32_t count;
} heap;

struct es_routes {
    es_arena *arena;
    const es_network *network;
    double *link_weights;
    reach **sources; /* by node; NULL: not computed yet */
    heap heap;       /* for one source at a time */
    es_status status;
};

double es_route_transfer_s(const es_route *route, double bytes)
{
    return route->latency_s + 8.0 * bytes * route->seconds_per_bit;
}

es_routes_weights es_routes_weights_default(void)
{
    return (es_routes_weights){.latency_weight = 1.0, .reference_bytes = 1500.0};
}

/* Order of the heap and of candidates: lighter, then fewer links. */
static int compare(double weight_a, uint32_t hops_a, double weight_b, uint32_t hops_b)
{
    if (weight_a < weight_b)
        return -1;
    if (weight_a > weight_b)
        return 1;
    return hops_a < hops_b ? -1 : hops_a > hops_b;
}

static bool before(const reach *tree, uint32_t a, uint32_t b)
{
    int order = compare(tree[a].weight, tree[a].hop_count, tree[b].weight, tree[b].hop_count);
    return order != 0 ? order < 0 : a < b;
}

static void put(heap *h, uint32_t place, uint32_t node)
{
    h->nodes[place] = node;
    h->places[node] = place;
}

/* Adds node, or moves it up after its key became smaller. */
static void heap_raise(heap *h, const reach *tree, uint32_t node)
{
    uint32_t place = h->places[node] == NO_PLACE ? h->count++ : h->places[node];
    while (place > 0 && before(tree, node, h->nodes[(place - 1) / 2])) {
        put(h, place, h->nodes[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    put(h, place, node);
}

static uint32_t heap_pop(heap *h, const reach *tree)
{
    uint32_t first = h->nodes[0];
    h->places[first] = NO_PLACE;
    uint32_t last = h->nodes[--h->count];
    if (h->count == 0)
        return first;
    uint32_t place = 0;
    for (;;) {
        uint32_t child = 2 * place + 1;
        if (child >= h->count)
            break;
        if (child + 1 < h->count && before(tree, h->nodes[child + 1], h->nodes[child]))
            child++;
        if (!before(tree, h->nodes[child], last))
            break;
        put(h, place, h->nodes[child]);
        place = child;
    }
    put(h, place, last);
    return first;
}

static uint32_t other_end(const es_network *network, uint32_t link, uint32_t node)
{
    const es_link *joined = &network->links.items[link];
    return joined->to.index == node ? joined->from.index : joined->to.index;
}

/* Whether a path to `to` over `from` and `link` is better than the one known. Both are equally
 * heavy and long only when `to` is not settled, so the node before may still change. */
static bool is_better(const es_routes *routes, const reach *tree, uint32_t from, es_hop hop,
                      double weight)
{
    const reach *known = &tree[hop.to.index];
    if (known->hop_count == UINT32_MAX)
        return true;
    int order = compare(weight, tree[from].hop_count + 1, known->weight, known->hop_count);
    if (order != 0 || known->link == NO_LINK)
        return order < 0;
    uint32_t known_from = other_end(routes->network, known->link, hop.to.index);
    return from != known_from ? from < known_from : hop.link.index < known->link;
}

/* Everything else along the path follows from the node before, which is settled. */
static void settle(const es_routes *routes, reach *tree, uint32_t node)
{
    reach *here = &tree[node];
    if (here->link == NO_LINK)
        return;
    const es_link *link = &routes->network->links.items[here->link];
    const reach *prior = &tree[other_end(routes->network, here->link, node)];
    here->latency_s = prior->latency_s + link->latency_s;
    here->seconds_per_bit = prior->seconds_per_bit + 1.0 / link->bandwidth_bps;
    here->energy_j_per_bit = prior->energy_j_per_bit + link->energy_j_per_bit;
    here->availability = prior->availability * link->availability;
}

/* Dijkstra over (weight, hops): every link adds (>= 0, 1), so keys only grow along a path. */
static void search(const es_routes *routes, heap *h, uint32_t source, reach *tree)
{
    const es_network *network = routes->network;
    for (size_t v = 0; v < network->nodes.count; v++) {
        tree[v] = (reach){.hop_count = UINT32_MAX, .link = NO_LINK};
        h->places[v] = NO_PLACE;
    }
    tree[source] = (reach){.availability = 1.0, .link = NO_LINK};
    h->count = 0;
    heap_raise(h, tree, source);
    while (h->count > 0) {
        uint32_t from = heap_pop(h, tree);
        settle(routes, tree, from);
        for (uint32_t i = network->hop_starts[from]; i < network->hop_starts[from + 1]; i++) {
            es_hop hop = network->hops[i];
            double weight = tree[from].weight + routes->link_weights[hop.link.index];
            if (!is_better(routes, tree, from, hop, weight))
                continue;
            reach *reached = &tree[hop.to.index];
            reached->weight = weight;
            reached->hop_count = tree[from].hop_count + 1;
            reached->link = hop.link.index;
            heap_raise(h, tree, hop.to.index);
        }
    }
}

static es_status heap_take(es_routes *routes, heap *out, es_error *err)
{
    size_t count = routes->network->nodes.count;
    out->nodes = ES_TAKE_ARRAY(routes->arena, uint32_t, count);
    out->places = ES_TAKE_ARRAY(routes->arena, uint32_t, count);
    if (out->nodes == NULL || out->places == NULL)
        return es_arena_full(routes->arena, "heap of routes", err);
    return ES_OK;
}

static es_status check_weights(es_routes_weights weights, es_error *err)
{
    const struct {
        const char *field;
        double value, max;
    } ranges[] = {
        {"latency_weight", weights.latency_weight, 1e12},
        {"energy_weight", weights.energy_weight, 1e12},
        {"reference_bytes", weights.reference_bytes, 1e15},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (!(ranges[i].value >= 0.0 && ranges[i].value <= ranges[i].max))
            return es_fail(err, ES_ERR_ARG, "routes: %s=%g must be in 0..%g", ranges[i].field,
                           ranges[i].value, ranges[i].max);
    return ES_OK;
}

es_status es_network_routes_new(es_arena *arena, const es_network *network,
                                es_routes_weights weights, es_routes **out_routes, es_error *err)
{
    if (!network->sealed)
        return es_fail(err, ES_ERR_ARG, "routes: the network must be sealed first");
    ES_TRY(check_weights(weights, err));
    es_routes *routes = ES_TAKE_ONE(arena, es_routes);
    if (routes == NULL)
        return es_arena_full(arena, "routes", err);
    *routes = (es_routes){.arena = arena, .network = network};
    routes->sources = ES_TAKE_ARRAY(arena, reach *, network->nodes.count);
    routes->link_weights = ES_TAKE_ARRAY(arena, double, network->links.count);
    if (routes->sources == NULL || routes->link_weights == NULL)
        return es_arena_full(arena, "routes", err);
    ES_TRY(heap_take(routes, &routes->heap, err));
    double bits = 8.0 * weights.reference_bytes;
    for (size_t i = 0; i < network->links.count; i++) {
        const es_link *link = &network->links.items[i];
        routes->link_weights[i] =
            weights.latency_weight * (link->latency_s + bits / link->bandwidth_bps) +
            weights.energy_weight * bits * link->energy_j_per_bit;
    }
    *out_routes = routes;
    return ES_OK;
}

static es_status take_tree(es_routes *routes, reach **out, es_error *err)
{
    *out = ES_TAKE_ARRAY(routes->arena, reach, routes->network->nodes.count);
    return *out != NULL ? ES_OK : es_arena_full(routes->arena, "routes of a source", err);
}

es_status es_routes_from(es_routes *routes, es_node_id from, es_error *err)
{
    assert(from.index < routes->network->nodes.count);
    if (routes->sources[from.index] != NULL)
        return ES_OK;
    reach *tree = NULL;
    ES_TRY(take_tree(routes, &tree, err));
    search(routes, &routes->heap, from.index, tree);
    routes->sources[from.index] = tree;
    return ES_OK;
}

/* One thread's share of the sources: first, first + stride, ... */
typedef struct share {
    const es_routes *routes;
    reach **trees; /* by node; NULL: was computed before */
    heap *heaps;   /* by share */
    size_t stride;
} share;

static void search_share(void *context, size_t first)
{
    const share *mine = context;
    for (size_t v = first; v < mine->routes->network->nodes.count; v += mine->stride)
        if (mine->trees[v] != NULL)
            search(mine->routes, &mine->heaps[first], (uint32_t)v, mine->trees[v]);
}

es_status es_routes_all(es_routes *routes, es_pool *pool, es_error *err)
{
    size_t count = routes->network->nodes.count;
    size_t stride = pool != NULL ? es_pool_thread_count(pool) : 1;
    if (stride > count)
        stride = count;
    share all = {.routes = routes, .stride = stride};
    all.trees = ES_TAKE_ARRAY(routes->arena, reach *, count);
    all.heaps = ES_TAKE_ARRAY(routes->arena, heap, stride);
    if (all.trees == NULL || all.heaps == NULL)
        return es_arena_full(routes->arena, "routes of all sources", err);
    for (size_t i = 0; i < stride; i++)
        ES_TRY(heap_take(routes, &all.heaps[i], err));
    for (size_t v = 0; v < count; v++)
        if (routes->sources[v] == NULL)
            ES_TRY(take_tree(routes, &all.trees[v], err));
    if (pool != NULL)
        ES_TRY(es_pool_for(pool, stride, search_share, &all, err));
    else
        search_share(&all, 0);
    for (size_t v = 0; v < count; v++)
        if (routes->sources[v] == NULL)
            routes->sources[v] = all.trees[v];
    return ES_OK;
}

/* How `to` is reached, or NULL. */
static const reach *reach_of(es_routes *routes, es_node_id from, es_node_id to)
{
    assert(from.index < routes->network->nodes.count);
    assert(to.index < routes->network->nodes.count);
    if (routes->sources[from.index] == NULL) {
        es_status status = es_routes_from(routes, from, NULL);
        if (status != ES_OK) {
            routes->status = status;
            return NULL;
        }
    }
    const reach *found = &routes->sources[from.index][to.index];
    return found->hop_count == UINT32_MAX ? NULL : found;
}

bool es_routes_get(es_routes *routes, es_node_id from, es_node_id to, es_route *out_route)
{
    const reach *found = reach_of(routes, from, to);
    if (found == NULL)
        return false;
    *out_route = (es_route){.latency_s = found->latency_s,
                            .seconds_per_bit = found->seconds_per_bit,
                            .energy_j_per_bit = found->energy_j_per_bit,
                            .availability = found->availability,
                            .hop_count = found->hop_count};
    return true;
}

bool es_routes_weight(es_routes *routes, es_node_id from, es_node_id to, double *out_weight)
{
    const reach *found = reach_of(routes, from, to);
    if (found == NULL)
        return false;
    *out_weight = found->weight;
    return true;
}

bool es_routes_path(es_routes *routes, es_node_id from, es_node_id to, es_link_id *links,
                    uint32_t max, uint32_t *out_count)
{
    const reach *found = reach_of(routes, from, to);
    if (found == NULL)
        return false;
    const reach *tree = routes->sources[from.index];
    *out_count = found->hop_count;
    uint32_t node = to.index;
    for (uint32_t place = found->hop_count; place > 0; place--) {
        uint32_t link = tree[node].link;
        if (place <= max)
            links[place - 1] = (es_link_id){.index = link};
        node = other_end(routes->network, link, node);
    }
    assert(node == from.index);
    return true;
}

es_status es_routes_status(const es_routes *routes, es_error *err)
{
    if (routes->status == ES_OK)
        return ES_OK;
    return es_arena_full(routes->arena, "routes of a source", err);
}
