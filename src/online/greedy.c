#include "online/greedy.h"

typedef struct candidate {
    double density; /* bound of the gain per byte */
    uint32_t item;
} candidate;

typedef struct greedy {
    const es_idn *idn;
    const es_idn_load *loads;
    const double *weights;
    size_t count;
    double *hosted;
    double *room; /* [node] */
    candidate *heap;
    uint32_t heap_count;
} greedy;

static double gain_of(const greedy *own, uint32_t item)
{
    const es_idn *idn = own->idn;
    double gain = 0;
    for (size_t l = 0; l < own->count; l++) {
        for (uint32_t u = idn->use_first[item]; u < idn->use_first[item + 1]; u++) {
            uint32_t type = idn->use_types[u];
            double before = es_idn_type_cost(&own->loads[l], type, own->hosted);
            own->hosted[item] += 1;
            gain +=
                own->weights[l] * (before - es_idn_type_cost(&own->loads[l], type, own->hosted));
            own->hosted[item] -= 1;
        }
    }
    return gain;
}

/* Denser first, then the smaller number. */
static bool before(const candidate *a, const candidate *b)
{
    return a->density > b->density || (a->density == b->density && a->item < b->item);
}

static void sink(candidate *heap, uint32_t count, uint32_t at)
{
    for (;;) {
        uint32_t best = at;
        for (uint32_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++)
            if (before(&heap[child], &heap[best]))
                best = child;
        if (best == at)
            return;
        candidate held = heap[at];
        heap[at] = heap[best];
        heap[best] = held;
        at = best;
    }
}

static void pop(greedy *own)
{
    own->heap[0] = own->heap[--own->heap_count];
    sink(own->heap, own->heap_count, 0);
}

static bool fits(const greedy *own, uint32_t item)
{
    const es_idn_item *one = &own->idn->items[item];
    return own->hosted[item] + 0.5 < one->copies && one->size_bytes <= own->room[one->node];
}

static void run(greedy *own)
{
    while (own->heap_count > 0) {
        candidate *top = &own->heap[0];
        if (!fits(own, top->item)) {
            pop(own);
            continue;
        }
        const es_idn_item *one = &own->idn->items[top->item];
        double density = gain_of(own, top->item) / one->size_bytes;
        if (density <= 0) {
            pop(own);
            continue;
        }
        /* Fresh and still on top: the bound of all others is below it. */
        bool fresh = density >= top->density * (1 - 1e-12);
        top->density = density;
        if (fresh) {
            own->hosted[top->item] += 1;
            own->room[one->node] -= one->size_bytes;
        }
        sink(own->heap, own->heap_count, 0);
    }
}

es_status es_greedy_fill(es_arena *scratch, const es_idn_load *loads, const double *weights,
                         size_t count, const bool *allowed, double *hosted, es_error *err)
{
    const es_idn *idn = loads[0].idn;
    greedy own = {.idn = idn, .loads = loads, .weights = weights, .count = count, .hosted = hosted};
    ES_TRY(es_online_take(scratch, idn->node_count, sizeof *own.room, &own.room, err));
    ES_TRY(es_online_take(scratch, idn->item_count, sizeof *own.heap, &own.heap, err));
    es_idn_pinned(idn, hosted);
    for (uint32_t v = 0; v < idn->node_count; v++)
        own.room[v] = es_idn_free_bytes(idn, v) * (1 + 1e-12);
    for (uint32_t i = 0; i < idn->item_count; i++) {
        if (idn->items[i].pinned || (allowed != NULL && !allowed[idn->items[i].node]))
            continue;
        double density = gain_of(&own, i) / idn->items[i].size_bytes;
        if (density > 0)
            own.heap[own.heap_count++] = (candidate){.density = density, .item = i};
    }
    for (uint32_t at = own.heap_count / 2; at-- > 0;)
        sink(own.heap, own.heap_count, at);
    run(&own);
    return ES_OK;
}

es_status es_greedy_loads(es_arena *arena, const es_idn *idn, const double *demand, uint32_t slots,
                          uint32_t max, es_idn_load **out_loads, double **out_weights,
                          size_t *out_count, es_error *err)
{
    es_idn_load *loads = NULL;
    double *weights = NULL;
    double *mean = NULL;
    uint32_t types = idn->type_count;
    ES_TRY(es_online_take(arena, max, sizeof *loads, &loads, err));
    ES_TRY(es_online_take(arena, max, sizeof *weights, &weights, err));
    ES_TRY(es_online_take(arena, types, sizeof *mean, &mean, err));
    size_t count = 0;
    bool few = true;
    for (uint32_t s = 0; s < slots && few; s++) {
        const double *row = &demand[(size_t)s * types];
        size_t at = 0;
        while (at < count && memcmp(loads[at].requests, row, types * sizeof *row) != 0)
            at++;
        if (at == max) {
            few = false;
        } else if (at == count) {
            ES_TRY(es_idn_load_new(arena, idn, &loads[at], err));
            es_idn_load_set(&loads[at], row);
            count++;
        }
        if (few)
            weights[at] += 1;
    }
    for (uint32_t stretch = 0; !few && stretch < max; stretch++) {
        uint32_t from = (uint32_t)((uint64_t)slots * stretch / max);
        uint32_t to = (uint32_t)((uint64_t)slots * (stretch + 1) / max);
        memset(mean, 0, types * sizeof *mean);
        for (uint32_t s = from; s < to; s++)
            for (uint32_t t = 0; t < types; t++)
                mean[t] += demand[(size_t)s * types + t] / (to - from);
        es_idn_load_set(&loads[stretch], mean);
        weights[stretch] = to - from;
    }
    *out_loads = loads;
    *out_weights = weights;
    *out_count = count;
    return ES_OK;
}
