#include "plan/greedy.h"

#include <math.h>

/* ---- life ---- */

static size_t rounded(size_t bytes)
{
    return (bytes + 15) / 16 * 16;
}

static es_status state_init(es_greedy_state *state, es_arena *arena, const es_problem *problem,
                            es_error *err)
{
    size_t sizes[] = {
        problem->node_count * sizeof(double),     problem->node_count * sizeof(double),
        problem->link_row_count * sizeof(double), problem->class_count * sizeof(es_greedy_class),
        problem->node_count * sizeof(uint32_t),   problem->segment_count * sizeof(uint32_t),
        problem->host_count * sizeof(uint32_t),   problem->host_count * sizeof(bool)};
    enum { PARTS = sizeof sizes / sizeof *sizes };
    char *at[PARTS];
    state->block_bytes = 0;
    for (int i = 0; i < PARTS; i++)
        state->block_bytes += rounded(sizes[i]);
    char *block = es_arena_take(arena, state->block_bytes, 1);
    if (block == NULL)
        return es_arena_full(arena, "greedy state", err);
    state->block = block;
    for (int i = 0; i < PARTS; i++) {
        at[i] = block;
        block += rounded(sizes[i]);
    }
    state->memory_left = (void *)at[0];
    state->compute_left = (void *)at[1];
    state->link_left = (void *)at[2];
    state->classes = (void *)at[3];
    state->node_open = (void *)at[4];
    state->segment_open = (void *)at[5];
    state->host_users = (void *)at[6];
    state->open = (void *)at[7];
    return ES_OK;
}

static void copy_totals(es_greedy_state *to, const es_greedy_state *from)
{
    to->cost = from->cost;
    to->energy_left = from->energy_left;
    to->carbon_left = from->carbon_left;
    to->hosts_open = from->hosts_open;
}

void es_greedy_save(es_greedy *greedy)
{
    copy_totals(&greedy->saved, &greedy->now);
    memcpy(greedy->saved.block, greedy->now.block, greedy->now.block_bytes);
}

void es_greedy_restore(es_greedy *greedy)
{
    copy_totals(&greedy->now, &greedy->saved);
    memcpy(greedy->now.block, greedy->saved.block, greedy->now.block_bytes);
}

/* Sorted numbers of the different hosts of a path; gives their count. */
static uint32_t path_hosts(const es_problem *problem, uint32_t path, uint32_t *hosts)
{
    const es_path *p = &problem->paths[path];
    uint32_t count = 0;
    for (uint32_t k = 0; k < p->stage_count; k++) {
        uint32_t host = problem->stage_hosts[p->stage_first + k];
        uint32_t i = count;
        bool known = false;
        for (uint32_t j = 0; j < count; j++)
            known = known || hosts[j] == host;
        if (known)
            continue;
        for (; i > 0 && hosts[i - 1] > host; i--)
            hosts[i] = hosts[i - 1];
        hosts[i] = host;
        count++;
    }
    return count;
}

static bool same_hosts(const es_problem *problem, uint32_t a, uint32_t b)
{
    uint32_t hosts_a[ES_STAGE_COUNT_MAX];
    uint32_t hosts_b[ES_STAGE_COUNT_MAX];
    uint32_t count = path_hosts(problem, a, hosts_a);
    return count == path_hosts(problem, b, hosts_b) &&
           memcmp(hosts_a, hosts_b, count * sizeof *hosts_a) == 0;
}

/* Numbers the different sets of hosts by hashing (open addressing, at most half full). */
static es_status number_bundles(es_greedy *greedy, es_arena *arena, es_error *err)
{
    const es_problem *problem = greedy->problem;
    es_bundles *bundles = &greedy->bundles;
    size_t slot_count = 16;
    while (slot_count < 2 * (size_t)problem->path_count)
        slot_count *= 2;
    uint32_t *slots = ES_TAKE_ARRAY(arena, uint32_t, slot_count); /* a path of the bundle, plus 1 */
    bundles->of_path = ES_TAKE_ARRAY(arena, uint32_t, problem->path_count);
    if (slots == NULL || bundles->of_path == NULL)
        return es_arena_full(arena, "bundles", err);
    for (uint32_t p = 0; p < problem->path_count; p++) {
        uint32_t hosts[ES_STAGE_COUNT_MAX];
        uint32_t count = path_hosts(problem, p, hosts);
        uint64_t hash = UINT64_C(0xcbf29ce484222325);
        for (uint32_t i = 0; i < count; i++)
            hash = (hash ^ hosts[i]) * UINT64_C(0x9e3779b97f4a7c15);
        size_t at = (size_t)((hash >> 20) & (slot_count - 1));
        while (slots[at] != 0 && !same_hosts(problem, slots[at] - 1, p))
            at = (at + 1) & (slot_count - 1);
        if (slots[at] == 0) {
            slots[at] = p + 1;
            bundles->of_path[p] = bundles->count++;
        } else {
            bundles->of_path[p] = bundles->of_path[slots[at] - 1];
        }
    }
    return ES_OK;
}

/* Lists paths by bundle, and bundles of several hosts by host. */
static es_status list_bundles(es_greedy *greedy, es_arena *arena, es_error *err)
{
    const es_problem *problem = greedy->problem;
    es_bundles *b = &greedy->bundles;
    uint32_t hosts[ES_STAGE_COUNT_MAX];
    b->first = ES_TAKE_ARRAY(arena, uint32_t, (size_t)b->count + 2);
    b->paths = ES_TAKE_ARRAY(arena, uint32_t, problem->path_count);
    b->path_classes = ES_TAKE_ARRAY(arena, uint32_t, problem->path_count);
    b->host_first = ES_TAKE_ARRAY(arena, uint32_t, (size_t)problem->host_count + 2);
    if (b->first == NULL || b->paths == NULL || b->path_classes == NULL || b->host_first == NULL)
        return es_arena_full(arena, "bundles", err);
    for (uint32_t p = 0; p < problem->path_count; p++)
        b->first[b->of_path[p] + 2]++;
    for (uint32_t i = 0; i < b->count; i++)
        b->first[i + 2] += b->first[i + 1];
    for (uint32_t p = 0; p < problem->path_count; p++)
        b->paths[b->first[b->of_path[p] + 1]++] = p;
    for (uint32_t r = 0; r < problem->class_count; r++)
        for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++)
            b->path_classes[p] = r;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < b->count; i++) {
            uint32_t count = path_hosts(problem, b->paths[b->first[i]], hosts);
            for (uint32_t k = 0; count > 1 && k < count; k++) {
                if (pass == 0)
                    b->host_first[hosts[k] + 2]++;
                else
                    b->host_bundles[b->host_first[hosts[k] + 1]++] = i;
            }
        }
        if (pass == 1)
            break;
        for (uint32_t h = 0; h < problem->host_count; h++)
            b->host_first[h + 2] += b->host_first[h + 1];
        b->host_bundles = ES_TAKE_ARRAY(arena, uint32_t, b->host_first[problem->host_count + 1]);
        if (b->host_bundles == NULL)
            return es_arena_full(arena, "bundles", err);
    }
    return ES_OK;
}

/* More than any plan can cost, so that serving always comes first. */
static double unserved_penalty(const es_problem *problem)
{
    double most = 1.0;
    for (uint32_t r = 0; r < problem->class_count; r++)
        if (problem->class_paths[r + 1] > problem->class_paths[r])
            most +=
                es_problem_rate(problem, r) * problem->paths[problem->class_paths[r + 1] - 1].cost;
    for (uint32_t h = 0; h < problem->host_count; h++)
        most += problem->hosts[h].hosting_per_s;
    for (uint32_t v = 0; v < problem->node_count; v++)
        most += es_problem_on_cost(problem, v);
    return 10.0 * most;
}

es_status es_greedy_init(es_greedy *greedy, es_arena *arena, const es_problem *problem,
                         const es_deadline *deadline, es_error *err)
{
    *greedy = (es_greedy){.problem = problem, .deadline = deadline};
    ES_TRY(number_bundles(greedy, arena, err));
    ES_TRY(list_bundles(greedy, arena, err));
    ES_TRY(state_init(&greedy->now, arena, problem, err));
    ES_TRY(state_init(&greedy->saved, arena, problem, err));
    greedy->penalty = unserved_penalty(problem);
    es_greedy_state *now = &greedy->now;
    now->energy_left = problem->energy_w_max > 0.0 ? problem->energy_w_max : (double)INFINITY;
    now->carbon_left =
        problem->carbon_g_per_s_max > 0.0 ? problem->carbon_g_per_s_max : (double)INFINITY;
    memcpy(now->memory_left, problem->memory_bytes, problem->node_count * sizeof(double));
    memcpy(now->compute_left, problem->compute_s, problem->node_count * sizeof(double));
    if (problem->link_row_count > 0)
        memcpy(now->link_left, problem->link_bps, problem->link_row_count * sizeof(double));
    for (uint32_t r = 0; r < problem->class_count; r++)
        es_greedy_route(greedy, r);
    return ES_OK;
}

/* ---- hosts ---- */

static double host_price(const es_greedy *greedy, uint32_t host)
{
    const es_host *h = &greedy->problem->hosts[host];
    double on = greedy->now.node_open[h->node.index] == 0
                    ? es_problem_on_cost(greedy->problem, h->node.index)
                    : 0.0;
    return h->hosting_per_s + on;
}

/* Whether memory, the number of hosts and the budgets have room for a closed host. */
static bool may_open(const es_greedy *greedy, uint32_t host)
{
    const es_problem *problem = greedy->problem;
    const es_greedy_state *now = &greedy->now;
    uint32_t v = problem->hosts[host].node.index;
    if (problem->hosts[host].memory_bytes > now->memory_left[v])
        return false;
    if (problem->hosts_max > 0 && now->hosts_open >= problem->hosts_max)
        return false;
    return now->node_open[v] > 0 || (es_problem_idle_w(problem, v) <= now->energy_left &&
                                     es_problem_idle_g_per_s(problem, v) <= now->carbon_left);
}

static bool open_one(es_greedy *greedy, uint32_t host)
{
    es_greedy_state *now = &greedy->now;
    const es_host *h = &greedy->problem->hosts[host];
    if (now->open[host])
        return true;
    if (!may_open(greedy, host))
        return false;
    now->cost += host_price(greedy, host);
    if (now->node_open[h->node.index] == 0) {
        now->energy_left -= es_problem_idle_w(greedy->problem, h->node.index);
        now->carbon_left -= es_problem_idle_g_per_s(greedy->problem, h->node.index);
    }
    now->open[host] = true;
    now->hosts_open++;
    now->memory_left[h->node.index] -= h->memory_bytes;
    now->node_open[h->node.index]++;
    now->segment_open[h->segment.index]++;
    return true;
}

/* The cheapest closed host of a segment that fits; ES_INDEX_NONE when there is none. */
static uint32_t cheapest_spare(const es_greedy *greedy, uint32_t segment)
{
    const es_problem *problem = greedy->problem;
    uint32_t best = ES_INDEX_NONE;
    for (uint32_t i = problem->segment_host_first[segment];
         i < problem->segment_host_first[segment + 1]; i++) {
        uint32_t h = problem->segment_hosts[i];
        if (greedy->now.open[h] || !may_open(greedy, h))
            continue;
        if (best == ES_INDEX_NONE || host_price(greedy, h) < host_price(greedy, best))
            best = h;
    }
    return best;
}

bool es_greedy_open(es_greedy *greedy, uint32_t host)
{
    uint32_t segment = greedy->problem->hosts[host].segment.index;
    if (!open_one(greedy, host))
        return false;
    while (greedy->now.segment_open[segment] < greedy->problem->replicas_min) {
        uint32_t spare = cheapest_spare(greedy, segment);
        if (spare == ES_INDEX_NONE || !open_one(greedy, spare))
            return false;
    }
    return true;
}

bool es_greedy_open_path(es_greedy *greedy, uint32_t path)
{
    const es_path *p = &greedy->problem->paths[path];
    for (uint32_t k = 0; k < p->stage_count; k++)
        if (!es_greedy_open(greedy, greedy->problem->stage_hosts[p->stage_first + k]))
            return false;
    return true;
}

void es_greedy_close(es_greedy *greedy, uint32_t host)
{
    es_greedy_state *now = &greedy->now;
    const es_host *h = &greedy->problem->hosts[host];
    if (!now->open[host])
        return;
    now->open[host] = false;
    now->hosts_open--;
    now->memory_left[h->node.index] += h->memory_bytes;
    if (--now->node_open[h->node.index] == 0) {
        now->energy_left += es_problem_idle_w(greedy->problem, h->node.index);
        now->carbon_left += es_problem_idle_g_per_s(greedy->problem, h->node.index);
    }
    now->segment_open[h->segment.index]--;
    now->cost -= host_price(greedy, host);
}

void es_greedy_close_unused(es_greedy *greedy)
{
    const es_problem *problem = greedy->problem;
    for (uint32_t s = 0; s < problem->segment_count; s++) {
        uint32_t first = problem->segment_host_first[s];
        uint32_t end = problem->segment_host_first[s + 1];
        bool used = false;
        for (uint32_t i = first; i < end; i++)
            used = used || greedy->now.host_users[problem->segment_hosts[i]] > 0;
        for (uint32_t i = first; i < end; i++) {
            uint32_t h = problem->segment_hosts[i];
            if (greedy->now.open[h] && greedy->now.host_users[h] == 0 &&
                (!used || greedy->now.segment_open[s] > problem->replicas_min))
                es_greedy_close(greedy, h);
        }
    }
}

/* ---- routes ---- */

/* Adds sign * share of a class on a path to what is used. */
static void take_part(es_greedy *greedy, uint32_t class_index, uint32_t path, double share)
{
    const es_problem *problem = greedy->problem;
    const es_path *p = &problem->paths[path];
    double rate = es_problem_rate(problem, class_index) * share;
    for (uint32_t k = 0; k < p->stage_count; k++) {
        uint32_t h = problem->stage_hosts[p->stage_first + k];
        greedy->now.compute_left[problem->hosts[h].node.index] -=
            rate * problem->stage_loads[p->stage_first + k];
        greedy->now.host_users[h] += share > 0.0 ? 1u : UINT32_MAX; /* minus one, by wrapping */
    }
    for (uint32_t i = p->use_first; i < p->use_first + p->use_count; i++)
        greedy->now.link_left[problem->uses[i].row] -= rate * problem->uses[i].bits;
    greedy->now.energy_left -= rate * p->energy_j;
    greedy->now.carbon_left -= rate * p->carbon_g;
}

/* The largest share of a class that still fits on a path. */
static double share_room(const es_greedy *greedy, uint32_t class_index, uint32_t path)
{
    const es_problem *problem = greedy->problem;
    const es_path *p = &problem->paths[path];
    double rate = es_problem_rate(problem, class_index);
    double room = 1.0;
    if (rate * p->energy_j > 0.0)
        room = fmin(room, greedy->now.energy_left / (rate * p->energy_j));
    if (rate * p->carbon_g > 0.0)
        room = fmin(room, greedy->now.carbon_left / (rate * p->carbon_g));
    for (uint32_t k = 0; k < p->stage_count; k++) {
        uint32_t v = problem->hosts[problem->stage_hosts[p->stage_first + k]].node.index;
        double load = 0.0;
        for (uint32_t j = 0; j < p->stage_count; j++)
            if (problem->hosts[problem->stage_hosts[p->stage_first + j]].node.index == v)
                load += problem->stage_loads[p->stage_first + j];
        if (rate * load > 0.0)
            room = fmin(room, greedy->now.compute_left[v] / (rate * load));
    }
    for (uint32_t i = p->use_first; i < p->use_first + p->use_count; i++)
        if (rate * problem->uses[i].bits > 0.0)
            room = fmin(room, greedy->now.link_left[problem->uses[i].row] /
                                  (rate * problem->uses[i].bits));
    return room;
}

static bool path_usable(const es_greedy *greedy, uint32_t class_index, uint32_t path)
{
    const es_path *p = &greedy->problem->paths[path];
    return es_path_allowed(greedy->problem, class_index, p) &&
           p->quality >= greedy->problem->quality_min[class_index];
}

void es_greedy_release(es_greedy *greedy, uint32_t class_index)
{
    es_greedy_class *c = &greedy->now.classes[class_index];
    for (uint32_t i = 0; i < c->part_count; i++)
        take_part(greedy, class_index, c->parts[i].path, -c->parts[i].share);
    greedy->now.cost -= c->cost;
    *c = (es_greedy_class){0};
}

static bool path_open(const es_greedy *greedy, uint32_t path)
{
    const es_path *p = &greedy->problem->paths[path];
    for (uint32_t k = 0; k < p->stage_count; k++)
        if (!greedy->now.open[greedy->problem->stage_hosts[p->stage_first + k]])
            return false;
    return true;
}

/* The share of `low` that brings a mix with `high` down to the least quality; 0: none. */
static double low_share(const es_greedy *greedy, uint32_t class_index, uint32_t low, uint32_t high)
{
    double least = greedy->problem->quality_min[class_index];
    double low_quality = greedy->problem->paths[low].quality;
    double high_quality = greedy->problem->paths[high].quality;
    if (low_quality >= least || high_quality <= least)
        return 0.0;
    return (high_quality - least) / (high_quality - low_quality);
}

/* Puts a class on a path below its least quality and one above when that is cheaper than what it
 * has: the least quality is one of the average. */
static void try_mix(es_greedy *greedy, uint32_t class_index)
{
    enum { LOOK_AT = 32 };
    const es_problem *problem = greedy->problem;
    es_greedy_class *c = &greedy->now.classes[class_index];
    es_greedy_class before = *c;
    double rate = es_problem_rate(problem, class_index);
    uint32_t open[LOOK_AT];
    uint32_t count = 0;
    es_greedy_part best[2] = {{0}};
    double best_cost = c->cost * (1.0 - 1e-9);
    for (uint32_t p = problem->class_paths[class_index];
         p < problem->class_paths[class_index + 1] && count < LOOK_AT; p++)
        if (path_open(greedy, p) && es_path_allowed(problem, class_index, &problem->paths[p]))
            open[count++] = p;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < count; j++) {
            double share = low_share(greedy, class_index, open[i], open[j]);
            double cost = rate * (share * problem->paths[open[i]].cost +
                                  (1.0 - share) * problem->paths[open[j]].cost);
            if (share <= 0.0 || cost >= best_cost)
                continue;
            best_cost = cost;
            best[0] = (es_greedy_part){open[i], share};
            best[1] = (es_greedy_part){open[j], 1.0 - share};
        }
    if (best[0].share <= 0.0)
        return;
    for (uint32_t i = 0; i < before.part_count; i++)
        take_part(greedy, class_index, before.parts[i].path, -before.parts[i].share);
    *c = (es_greedy_class){.cost = best_cost};
    for (uint32_t i = 0; i < 2; i++)
        if (share_room(greedy, class_index, best[i].path) >= best[i].share) {
            take_part(greedy, class_index, best[i].path, best[i].share);
            c->parts[c->part_count++] = best[i];
        }
    if (c->part_count == 2)
        return;
    for (uint32_t i = 0; i < c->part_count; i++)
        take_part(greedy, class_index, c->parts[i].path, -c->parts[i].share);
    *c = before;
    for (uint32_t i = 0; i < before.part_count; i++)
        take_part(greedy, class_index, before.parts[i].path, before.parts[i].share);
}

/* What is left of a class is refused, or unserved where that is not allowed. */
static void leave_rest(es_greedy *greedy, uint32_t class_index, double left)
{
    const es_problem *problem = greedy->problem;
    es_greedy_class *c = &greedy->now.classes[class_index];
    if (problem->class_off[class_index]) {
        c->refused = left;
    } else if (isfinite(problem->refusal_cost)) {
        c->refused = left;
        c->cost += es_problem_rate(problem, class_index) * left * problem->refusal_cost;
    } else {
        c->unserved = left;
        c->cost += left * greedy->penalty;
    }
}

void es_greedy_route(es_greedy *greedy, uint32_t class_index)
{
    const es_problem *problem = greedy->problem;
    es_greedy_class *c = &greedy->now.classes[class_index];
    double rate = es_problem_rate(problem, class_index);
    double left = 1.0;
    *c = (es_greedy_class){0};
    uint32_t end = problem->class_paths[class_index + 1];
    for (uint32_t p = problem->class_paths[class_index];
         p < end && left > 0.0 && c->part_count < ES_GREEDY_SPLIT_MAX; p++) {
        const es_path *path = &problem->paths[p];
        if (problem->class_off[class_index] || path->cost >= problem->refusal_cost)
            break;
        if (!path_open(greedy, p) || !path_usable(greedy, class_index, p))
            continue;
        double share = fmin(left, share_room(greedy, class_index, p));
        if (share < (problem->unsplittable ? left : 1e-6))
            continue;
        take_part(greedy, class_index, p, share);
        c->parts[c->part_count++] = (es_greedy_part){p, share};
        c->cost += rate * share * path->cost;
        left -= share;
        if (left < ES_PLAN_SHARE_MIN)
            left = 0.0;
    }
    leave_rest(greedy, class_index, left);
    if (problem->quality_min[class_index] > 0.0 && !problem->class_off[class_index] &&
        !problem->unsplittable)
        try_mix(greedy, class_index);
    greedy->now.cost += c->cost;
}

/* ---- bundles ---- */

/* What a class would save per second by a path if it were open and had room; below its least
 * quality, by mixing it with what the class takes now. */
static double path_gain(const es_greedy *greedy, uint32_t class_index, uint32_t path)
{
    const es_problem *problem = greedy->problem;
    const es_greedy_class *c = &greedy->now.classes[class_index];
    double cost = es_problem_rate(problem, class_index) * problem->paths[path].cost;
    if (!es_path_allowed(problem, class_index, &problem->paths[path]))
        return 0.0;
    if (path_usable(greedy, class_index, path))
        return c->cost - cost;
    if (problem->unsplittable)
        return 0.0;
    double share = c->part_count > 0 ? low_share(greedy, class_index, path, c->parts[0].path) : 0.0;
    return share * (c->cost - cost);
}

double es_greedy_estimate(const es_greedy *greedy, uint32_t bundle, double *out_memory_share)
{
    const es_problem *problem = greedy->problem;
    const es_bundles *b = &greedy->bundles;
    uint32_t hosts[ES_STAGE_COUNT_MAX];
    uint32_t count = path_hosts(problem, b->paths[b->first[bundle]], hosts);
    double price = 0.0;
    double saving = 0.0;
    double demand = 0.0; /* largest ratio of load to room over the nodes, as if all moved */
    double memory_share = 0.0;
    for (uint32_t i = 0; i < count; i++) {
        const es_host *h = &problem->hosts[hosts[i]];
        if (greedy->now.open[hosts[i]])
            continue;
        price += host_price(greedy, hosts[i]);
        if (greedy->now.segment_open[h->segment.index] == 0 && problem->replicas_min > 1)
            price += (problem->replicas_min - 1) * h->hosting_per_s;
        if (problem->memory_bytes[h->node.index] > 0.0)
            memory_share += h->memory_bytes / problem->memory_bytes[h->node.index];
    }
    bool any = false;
    uint32_t last_class = ES_INDEX_NONE;
    for (uint32_t i = b->first[bundle]; i < b->first[bundle + 1]; i++) {
        uint32_t p = b->paths[i];
        uint32_t r = b->path_classes[p];
        /* Paths of a class lie together, the cheapest first. */
        if (r == last_class || problem->class_off[r])
            continue;
        double gain = path_gain(greedy, r, p);
        if (gain <= 0.0)
            continue;
        last_class = r;
        double rate = es_problem_rate(problem, r);
        any = true;
        saving += gain;
        const es_path *path = &problem->paths[p];
        for (uint32_t k = 0; k < path->stage_count; k++)
            demand += rate * problem->stage_loads[path->stage_first + k];
    }
    double room = (double)INFINITY;
    for (uint32_t i = 0; i < count; i++)
        room = fmin(room, greedy->now.compute_left[problem->hosts[hosts[i]].node.index]);
    if (count > 0 && demand > room * count)
        saving *= fmax(room, 0.0) * count / demand;
    *out_memory_share = memory_share;
    return any ? saving - price : -(double)INFINITY;
}

void es_greedy_use(es_greedy *greedy, uint32_t bundle)
{
    const es_bundles *b = &greedy->bundles;
    for (uint32_t i = b->first[bundle]; i < b->first[bundle + 1]; i++) {
        uint32_t p = b->paths[i];
        uint32_t r = b->path_classes[p];
        if (path_gain(greedy, r, p) <= 0.0)
            continue;
        es_greedy_class before = greedy->now.classes[r];
        es_greedy_release(greedy, r);
        es_greedy_route(greedy, r);
        if (greedy->now.classes[r].cost <= before.cost)
            continue;
        /* Another class had taken the room meanwhile; routing never does worse with all open. */
        es_greedy_release(greedy, r);
        greedy->now.classes[r] = before;
        greedy->now.cost += before.cost;
        for (uint32_t k = 0; k < before.part_count; k++)
            take_part(greedy, r, before.parts[k].path, before.parts[k].share);
    }
}
