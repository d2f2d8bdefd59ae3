/* Construction: open the bundle of hosts that saves most per share of memory, again and again.
 * A saving only shrinks while other bundles open (but for bundles that share a host), so the queue
 * holds old values and only the top is looked at again. */
#include "plan/greedy.h"

#include <math.h>

typedef struct entry {
    double density;
    uint32_t bundle;
    uint32_t stamp; /* older than the bundle's: passed over */
} entry;

typedef struct heap {
    ES_ARRAY(entry) entries;
    uint32_t *stamps; /* [bundle count] */
} heap;

static bool before(const entry *a, const entry *b)
{
    if (a->density > b->density || a->density < b->density)
        return a->density > b->density;
    return a->bundle < b->bundle;
}

static void sift_down(heap *h, size_t at)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= h->entries.count)
            return;
        if (child + 1 < h->entries.count &&
            before(&h->entries.items[child + 1], &h->entries.items[child]))
            child++;
        if (!before(&h->entries.items[child], &h->entries.items[at]))
            return;
        entry swap = h->entries.items[at];
        h->entries.items[at] = h->entries.items[child];
        h->entries.items[child] = swap;
        at = child;
    }
}

static es_status push(heap *h, es_arena *arena, uint32_t bundle, double density, es_error *err)
{
    entry e = {density, bundle, ++h->stamps[bundle]};
    ES_TRY(ES_ARRAY_PUSH(arena, &h->entries, e, "greedy queue", err));
    for (size_t at = h->entries.count - 1; at > 0;) {
        size_t parent = (at - 1) / 2;
        if (!before(&h->entries.items[at], &h->entries.items[parent]))
            break;
        entry swap = h->entries.items[at];
        h->entries.items[at] = h->entries.items[parent];
        h->entries.items[parent] = swap;
        at = parent;
    }
    return ES_OK;
}

static entry pop(heap *h)
{
    entry top = h->entries.items[0];
    h->entries.items[0] = h->entries.items[--h->entries.count];
    sift_down(h, 0);
    return top;
}

static double density(const es_greedy *greedy, uint32_t bundle)
{
    double memory_share;
    double saving = es_greedy_estimate(greedy, bundle, &memory_share);
    return saving > 0.0 ? saving / (0.02 + memory_share) : -1.0;
}

/* Bundles with a host that was just opened became cheaper. */
static es_status push_neighbours(es_greedy *greedy, heap *h, es_arena *arena, uint32_t bundle,
                                 es_error *err)
{
    const es_bundles *b = &greedy->bundles;
    const es_path *path = &greedy->problem->paths[b->paths[b->first[bundle]]];
    for (uint32_t k = 0; k < path->stage_count; k++) {
        uint32_t host = greedy->problem->stage_hosts[path->stage_first + k];
        for (uint32_t i = b->host_first[host]; i < b->host_first[host + 1]; i++) {
            uint32_t other = b->host_bundles[i];
            double value = other == bundle ? -1.0 : density(greedy, other);
            if (value > 0.0)
                ES_TRY(push(h, arena, other, value, err));
        }
    }
    return ES_OK;
}

/* Opens a bundle and keeps it when that pays in truth. */
static bool try_bundle(es_greedy *greedy, uint32_t bundle)
{
    es_greedy_save(greedy);
    if (es_greedy_open_path(greedy, greedy->bundles.paths[greedy->bundles.first[bundle]])) {
        es_greedy_use(greedy, bundle);
        if (greedy->now.cost < greedy->saved.cost)
            return true;
    }
    es_greedy_restore(greedy);
    return false;
}

static es_status construct(es_greedy *greedy, es_arena *arena, es_error *err)
{
    heap h = {.stamps = ES_TAKE_ARRAY(arena, uint32_t, greedy->bundles.count)};
    if (h.stamps == NULL)
        return es_arena_full(arena, "greedy queue", err);
    for (uint32_t b = 0; b < greedy->bundles.count; b++) {
        double value = density(greedy, b);
        if (value > 0.0)
            ES_TRY(push(&h, arena, b, value, err));
    }
    while (h.entries.count > 0 && es_deadline_left_s(greedy->deadline) > 0.0) {
        entry top = pop(&h);
        if (top.stamp != h.stamps[top.bundle])
            continue;
        double value = density(greedy, top.bundle);
        if (value <= 0.0)
            continue;
        if (h.entries.count > 0 && value < h.entries.items[0].density) {
            ES_TRY(push(&h, arena, top.bundle, value, err));
            continue;
        }
        if (try_bundle(greedy, top.bundle))
            ES_TRY(push_neighbours(greedy, &h, arena, top.bundle, err));
    }
    return ES_OK;
}

static void read_state(const es_greedy *greedy, es_solution *solution)
{
    const es_problem *problem = greedy->problem;
    memcpy(solution->host_on, greedy->now.open, problem->host_count * sizeof(bool));
    for (uint32_t r = 0; r < problem->class_count; r++) {
        const es_greedy_class *c = &greedy->now.classes[r];
        for (uint32_t i = 0; i < c->part_count; i++)
            solution->shares[c->parts[i].path] = c->parts[i].share;
        solution->refused[r] = c->refused;
    }
    solution->quality = ES_PLAN_FEASIBLE;
    for (uint32_t r = 0; r < problem->class_count; r++)
        if (greedy->now.classes[r].unserved > 0.0)
            solution->quality = ES_PLAN_UNKNOWN;
    if (solution->quality == ES_PLAN_FEASIBLE)
        es_solution_tidy(problem, solution);
}

/* The best routing over the hosts found, which also mends what greedy splits could not serve. */
static es_status polish(es_arena *arena, const es_problem *problem, es_solution **solution,
                        es_error *err)
{
    es_solution *routed;
    ES_TRY(es_solve_routing(arena, problem, (*solution)->host_on, &routed, err));
    if (routed->quality != ES_PLAN_FEASIBLE)
        return ES_OK;
    if ((*solution)->quality != ES_PLAN_FEASIBLE ||
        es_solution_cost(problem, routed) < es_solution_cost(problem, *solution))
        *solution = routed;
    return ES_OK;
}

es_status es_solve_greedy(es_arena *arena, const es_problem *problem, const es_plan_opts *opts,
                          const es_deadline *deadline, es_solution **out_solution, es_error *err)
{
    es_greedy greedy;
    es_solution *solution;
    (void)opts; /* the seed: nothing here is drawn */
    ES_TRY(es_greedy_init(&greedy, arena, problem, deadline, err));
    ES_TRY(construct(&greedy, arena, err));
    ES_TRY(es_greedy_improve(&greedy, arena, err));
    ES_TRY(es_solution_new(arena, problem, &solution, err));
    read_state(&greedy, solution);
    if (es_deadline_left_s(deadline) > 0.0)
        ES_TRY(polish(arena, problem, &solution, err));
    solution->bound = es_problem_relaxed_bound(problem);
    *out_solution = solution;
    return ES_OK;
}
