#include "plan/family.h"

#include "base/rng.h"
#include "plan/decompose.h"

#include <math.h>

enum { PER_TASK = 5, NEAR_MAX = 8, STAGES = 3, EDGE = 0, SITE = 1, CLOUD = 2 };
/* Nodes around a class that each stage may use, by number of stages. */
static const uint32_t NEAR[STAGES + 1] = {0, 8, 5, 3};
static const double REFUSAL = 60.0;

typedef struct pipeline_kind {
    uint32_t task;
    uint32_t stage_count;
    uint32_t segments[STAGES];
    double loads[STAGES]; /* busy seconds per request, with the share that reaches the stage */
    double reach[STAGES];
    double penalty; /* of quality, per request */
} pipeline_kind;

typedef struct maker {
    es_arena *arena;
    es_family family;
    es_problem *problem;
    es_rng rng;
    uint32_t task_count;
    pipeline_kind *pipelines;
    double *segment_bytes;
    double *x, *y, *speed; /* [node_count] */
    uint32_t *tier;        /* [node_count] EDGE, SITE or CLOUD; flat: EDGE */
    uint32_t edge_first;   /* in tiers: clouds come first, then sites, then edges */
    uint32_t *host_of;     /* [node][segment] host + 1 */
    ES_ARRAY(es_host) hosts;
    ES_ARRAY(es_path) paths;
    ES_ARRAY(uint32_t) stage_hosts;
    ES_ARRAY(double) stage_loads;
    es_class *classes;
    es_error *err;
} maker;

/* The class at hand and the nodes it may use: the nearest; in tiers where it enters, the site and
 * the cloud above, then other edges. */
typedef struct place {
    double x, y;
    uint32_t near[NEAR_MAX];
    uint32_t near_count;
} place;

es_family es_family_default(void)
{
    return (es_family){.node_count = 300,
                       .variant_count = 30,
                       .class_count = 1500,
                       .stage_max = 3,
                       .tightness = 1.0};
}

static double uniform(maker *m, double low, double high)
{
    return low + (high - low) * es_rng_double(&m->rng);
}

/* As tight as p300-tight at any size: memory for its ten tasks, compute for its five classes. */
static void draw_flat(maker *m, uint32_t v, double tasks, double crowd)
{
    static const double BYTES[3] = {60.0, 110.0, 300.0};
    static const double SECONDS[3] = {6.0, 14.0, 40.0};
    static const double SPEEDS[3] = {1.0, 1.6, 2.5};
    uint64_t size = es_rng_below(&m->rng, 3);
    m->x[v] = es_rng_double(&m->rng);
    m->y[v] = es_rng_double(&m->rng);
    m->speed[v] = SPEEDS[size];
    m->problem->memory_bytes[v] = BYTES[size] * tasks / 10.0 / m->family.tightness;
    m->problem->compute_s[v] = SECONDS[size] * crowd / 5.0 / m->family.tightness;
}

static uint32_t cloud_count(const maker *m)
{
    return (m->family.node_count + 249) / 250;
}

/* An edge holds about one large model of ten tasks and computes half of what enters there; a site
 * does so for the ten edges below it; clouds hold all and compute all. */
static void draw_tier(maker *m, uint32_t v, double tasks, double crowd)
{
    static const double BYTES[3] = {200.0, 1200.0, 0.0};
    static const double SECONDS[3] = {1.2, 6.0, 0.0};
    static const double SPEEDS[3] = {1.0, 2.0, 4.0};
    uint32_t tier = v < cloud_count(m) ? CLOUD : v < m->edge_first ? SITE : EDGE;
    double size = exp(uniform(m, log(0.5), log(2.0)));
    m->tier[v] = tier;
    m->x[v] = es_rng_double(&m->rng);
    m->y[v] = es_rng_double(&m->rng);
    m->speed[v] = SPEEDS[tier];
    m->problem->memory_bytes[v] =
        tier == CLOUD ? (double)INFINITY : size * BYTES[tier] * tasks / 10.0 / m->family.tightness;
    m->problem->compute_s[v] =
        tier == CLOUD ? (double)INFINITY : size * SECONDS[tier] * crowd / m->family.tightness;
}

static es_status draw_nodes(maker *m)
{
    es_problem *problem = m->problem;
    uint32_t count = m->family.node_count;
    problem->node_count = count;
    problem->memory_bytes = ES_TAKE_ARRAY(m->arena, double, count);
    problem->compute_s = ES_TAKE_ARRAY(m->arena, double, count);
    m->x = ES_TAKE_ARRAY(m->arena, double, count);
    m->y = ES_TAKE_ARRAY(m->arena, double, count);
    m->speed = ES_TAKE_ARRAY(m->arena, double, count);
    m->tier = ES_TAKE_ARRAY(m->arena, uint32_t, count);
    if (problem->memory_bytes == NULL || problem->compute_s == NULL || m->x == NULL ||
        m->y == NULL || m->speed == NULL || m->tier == NULL)
        return es_arena_full(m->arena, "family", m->err);
    double tasks = (double)m->family.variant_count / PER_TASK;
    double crowd = (double)m->family.class_count / count;
    m->edge_first = cloud_count(m) + count / 10;
    for (uint32_t v = 0; v < count; v++) {
        if (m->family.form == ES_FAMILY_TIERS)
            draw_tier(m, v, tasks, crowd);
        else
            draw_flat(m, v, tasks, crowd);
    }
    return ES_OK;
}

/* Of five pipelines of a task one has two stages and one has three, where allowed. */
static es_status draw_pipelines(maker *m)
{
    uint32_t count = m->family.variant_count;
    m->pipelines = ES_TAKE_ARRAY(m->arena, pipeline_kind, count);
    m->segment_bytes = ES_TAKE_ARRAY(m->arena, double, (size_t)count *STAGES);
    if (m->pipelines == NULL || m->segment_bytes == NULL)
        return es_arena_full(m->arena, "family", m->err);
    m->task_count = (count + PER_TASK - 1) / PER_TASK;
    double base_bytes = 0.0;
    double base_load = 0.0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t form = i % PER_TASK;
        if (form == 0) {
            base_bytes = uniform(m, 110.0, 240.0);
            base_load = uniform(m, 1.2, 3.2);
        }
        uint32_t stages = form == 3 ? 2 : form == 4 ? 3 : 1;
        stages = stages < m->family.stage_max ? stages : m->family.stage_max;
        double shrink = pow(0.55, (double)(form < 3 ? form : form - 3));
        pipeline_kind *kind = &m->pipelines[i];
        *kind = (pipeline_kind){.task = i / PER_TASK, .stage_count = stages};
        kind->penalty = form < 3 ? 1.6 * form : 0.5 * (form - 2);
        double reach = 1.0;
        for (uint32_t k = 0; k < stages; k++) {
            uint32_t s = m->problem->segment_count++;
            kind->segments[k] = s;
            m->segment_bytes[s] = base_bytes * shrink / stages * uniform(m, 0.7, 1.2);
            kind->reach[k] = reach;
            kind->loads[k] = base_load * shrink / stages * reach;
            reach *= stages > 1 ? uniform(m, 0.4, 1.0) : 1.0;
        }
    }
    return ES_OK;
}

static es_status host_at(maker *m, uint32_t v, uint32_t s, uint32_t *out_host)
{
    uint32_t *at = &m->host_of[(size_t)v * m->problem->segment_count + s];
    if (*at == 0) {
        es_host host = {.node = {v},
                        .segment = {s},
                        .memory_bytes = m->segment_bytes[s],
                        .hosting_per_s = 0.002 * m->segment_bytes[s]};
        ES_TRY(ES_ARRAY_PUSH(m->arena, &m->hosts, host, "hosts", m->err));
        *at = (uint32_t)m->hosts.count;
    }
    *out_host = *at - 1;
    return ES_OK;
}

static double distance(double ax, double ay, double bx, double by)
{
    return sqrt((ax - bx) * (ax - bx) + (ay - by) * (ay - by));
}

/* What a request pays from one place to another. In tiers a hop costs beside the way, and the way
 * to a cloud costs the same from everywhere. */
static double way(const maker *m, const place *at, uint32_t from, uint32_t to)
{
    double x = from == ES_INDEX_NONE ? at->x : m->x[from];
    double y = from == ES_INDEX_NONE ? at->y : m->y[from];
    double d = distance(x, y, m->x[to], m->y[to]);
    if (m->family.form == ES_FAMILY_FLAT)
        return d * sqrt((double)m->family.node_count); /* in units of the mesh */
    if (from == to || d <= 0.0)
        return 0.0;
    uint32_t from_tier = from == ES_INDEX_NONE ? EDGE : m->tier[from];
    if (m->tier[to] == CLOUD || from_tier == CLOUD)
        return 5.0 + d;
    return 0.5 + d * sqrt((double)m->edge_first);
}

/* One tuple of nodes for a pipeline. */
static es_status add_path(maker *m, const place *at, uint32_t pipeline, const uint32_t *nodes)
{
    const pipeline_kind *kind = &m->pipelines[pipeline];
    es_path path = {.pipeline = {pipeline},
                    .stage_count = kind->stage_count,
                    .stage_first = (uint32_t)m->stage_hosts.count,
                    .quality = 1.0};
    uint32_t from = ES_INDEX_NONE;
    path.cost = kind->penalty;
    for (uint32_t k = 0; k < kind->stage_count; k++) {
        uint32_t v = nodes[k];
        uint32_t host;
        if (m->segment_bytes[kind->segments[k]] > m->problem->memory_bytes[v]) {
            m->stage_hosts.count = m->stage_loads.count = path.stage_first;
            return ES_OK;
        }
        ES_TRY(host_at(m, v, kind->segments[k], &host));
        double load = kind->loads[k] / m->speed[v];
        path.cost += kind->reach[k] * way(m, at, from, v) + load;
        from = v;
        ES_TRY(ES_ARRAY_PUSH(m->arena, &m->stage_hosts, host, "stages", m->err));
        ES_TRY(ES_ARRAY_PUSH(m->arena, &m->stage_loads, load, "stages", m->err));
    }
    return ES_ARRAY_PUSH(m->arena, &m->paths, path, "paths", m->err);
}

/* Nodes that a stage may use, of those around the class. */
static uint32_t choice_count(const maker *m, const place *at, uint32_t stages)
{
    uint32_t count = NEAR[stages];
    if (m->family.form == ES_FAMILY_TIERS)
        count = stages == 1 ? 5 : 3;
    return count < at->near_count ? count : at->near_count;
}

static es_status add_pipeline(maker *m, const place *at, uint32_t pipeline)
{
    uint32_t stages = m->pipelines[pipeline].stage_count;
    uint32_t near = choice_count(m, at, stages);
    uint32_t tuples = 1;
    for (uint32_t k = 0; k < stages; k++)
        tuples *= near;
    for (uint32_t t = 0; t < tuples; t++) {
        uint32_t nodes[STAGES];
        uint32_t before = 0;
        bool backwards = false;
        for (uint32_t k = 0, rest = t; k < stages; k++, rest /= near) {
            nodes[k] = at->near[rest % near];
            backwards = backwards || rest % near < before;
            before = rest % near;
        }
        if (m->family.form == ES_FAMILY_FLAT || !backwards)
            ES_TRY(add_path(m, at, pipeline, nodes));
    }
    return ES_OK;
}

/* The nearest nodes by insertion. */
static void find_near(const maker *m, uint32_t first, uint32_t end, uint32_t max, place *at)
{
    double best[NEAR_MAX];
    uint32_t *near = at->near + at->near_count;
    uint32_t count = 0;
    for (uint32_t v = first; v < end; v++) {
        double d = distance(at->x, at->y, m->x[v], m->y[v]);
        if (count == max && d >= best[max - 1])
            continue;
        uint32_t i = count < max ? count++ : max - 1;
        for (; i > 0 && best[i - 1] > d; i--) {
            best[i] = best[i - 1];
            near[i] = near[i - 1];
        }
        best[i] = d;
        near[i] = v;
    }
    at->near_count += count;
}

/* Where the class enters and which nodes may serve it. */
static void draw_place(maker *m, place *at)
{
    uint32_t count = m->family.node_count;
    *at = (place){0};
    if (m->family.form == ES_FAMILY_FLAT) {
        at->x = es_rng_double(&m->rng);
        at->y = es_rng_double(&m->rng);
        find_near(m, 0, count, NEAR_MAX, at);
        return;
    }
    uint32_t edge = m->edge_first + (uint32_t)es_rng_below(&m->rng, count - m->edge_first);
    at->x = m->x[edge];
    at->y = m->y[edge];
    at->near[at->near_count++] = edge;
    find_near(m, cloud_count(m), m->edge_first, 1, at);
    find_near(m, 0, cloud_count(m), 1, at);
    uint32_t others = at->near_count;
    find_near(m, m->edge_first, count, 3, at);
    /* The nearest of these is the edge itself. */
    memmove(at->near + others, at->near + others + 1, 2 * sizeof *at->near);
    at->near_count--;
}

static int compare_paths(const void *left, const void *right)
{
    const es_path *a = left;
    const es_path *b = right;
    if (a->cost != b->cost)
        return a->cost < b->cost ? -1 : 1;
    return a->stage_first < b->stage_first ? -1 : a->stage_first > b->stage_first;
}

static es_status draw_classes(maker *m, uint64_t seed)
{
    es_problem *problem = m->problem;
    uint32_t count = m->family.class_count;
    uint32_t *class_paths = ES_TAKE_ARRAY(m->arena, uint32_t, (size_t)count + 1);
    double *cost_min = ES_TAKE_ARRAY(m->arena, double, count);
    problem->quality_min = ES_TAKE_ARRAY(m->arena, double, count);
    problem->deadline_off = ES_TAKE_ARRAY(m->arena, bool, count);
    problem->class_off = ES_TAKE_ARRAY(m->arena, bool, count);
    if (class_paths == NULL || cost_min == NULL || problem->quality_min == NULL ||
        problem->deadline_off == NULL || problem->class_off == NULL)
        return es_arena_full(m->arena, "family", m->err);
    problem->class_count = count;
    /* Changes are drawn from a stream of their own, so that all else stays. */
    es_rng changes = es_rng_make(seed, 2);
    for (uint32_t r = 0; r < count; r++) {
        place at;
        draw_place(m, &at);
        uint32_t task = (uint32_t)es_rng_below(&m->rng, m->task_count);
        double rate = exp(uniform(m, log(0.3), log(2.5)));
        if (es_rng_double(&changes) < m->family.changed_share)
            rate *= exp((2.0 * es_rng_double(&changes) - 1.0) * log(2.0));
        m->classes[r].arrivals.rate_rps = rate;
        size_t first = m->paths.count;
        for (uint32_t i = task * PER_TASK; i < (task + 1) * PER_TASK && i < m->family.variant_count;
             i++)
            ES_TRY(add_pipeline(m, &at, i));
        cost_min[r] = REFUSAL;
        if (m->paths.count > first) {
            qsort(m->paths.items + first, m->paths.count - first, sizeof(es_path), compare_paths);
            cost_min[r] = m->paths.items[first].cost;
        }
        class_paths[r + 1] = (uint32_t)m->paths.count;
    }
    problem->class_paths = class_paths;
    problem->class_cost_min = cost_min;
    return ES_OK;
}

es_status es_family_make(es_arena *arena, uint64_t seed, es_family family, es_problem **out_problem,
                         es_error *err)
{
    maker m = {.arena = arena, .family = family, .rng = es_rng_make(seed, 1), .err = err};
    m.problem = ES_TAKE_ONE(arena, es_problem);
    if (m.problem == NULL)
        return es_arena_full(arena, "family", err);
    *m.problem = (es_problem){.refusal_cost = REFUSAL, .replicas_min = 1};
    ES_TRY(draw_nodes(&m));
    ES_TRY(draw_pipelines(&m));
    m.host_of =
        ES_TAKE_ARRAY(arena, uint32_t, (size_t)family.node_count * m.problem->segment_count);
    if (m.host_of == NULL)
        return es_arena_full(arena, "family", err);
    ES_TRY(es_problem_bare_scenario(arena, "family", family.node_count, NULL, family.class_count,
                                    &m.classes, &m.problem->scenario, err));
    ES_TRY(draw_classes(&m, seed));
    m.problem->host_count = (uint32_t)m.hosts.count;
    m.problem->hosts = m.hosts.items;
    m.problem->path_count = (uint32_t)m.paths.count;
    m.problem->paths = m.paths.items;
    m.problem->stage_hosts = m.stage_hosts.items;
    m.problem->stage_loads = m.stage_loads.items;
    *out_problem = m.problem;
    return es_problem_index_hosts(arena, m.problem, err);
}
