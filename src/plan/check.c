/* The independent checker. Nothing here is shared with the solvers or with es_scenario_price: the
 * figures come from the formulas of ARCHITECTURE §3, written out again. */
#include "base/array.h"
#include "plan/plan.h"

#include <inttypes.h>
#include <math.h>

static const double JOULES_PER_KWH = 3.6e6;

typedef struct checker {
    es_arena *arena;
    const es_plan *plan;
    const es_scenario *scenario;
    double tolerance;
    uint32_t node_count;
    bool *hosted;      /* [node][segment] */
    bool *used;        /* [segment] some share takes it */
    double *compute_s; /* [node] */
    double *link_bps;  /* [2 * link + direction] */
    double *served;    /* [class] */
    double *quality;   /* [class] share times quality */
    bool *split;       /* [class] takes a way in part */
    double energy_w;   /* of everything, with idling */
    double carbon_g_per_s;
    double objective;
    double *g_per_kwh; /* [node] */
    es_link_id *links; /* [node_count] of one route */
    ES_ARRAY(es_plan_violation) found;
    es_error *err;
} checker;

static es_status violated(checker *c, const char *format, ...) ES_PRINTF(2, 3);

static es_status violated(checker *c, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args); /* a longer text is cut */
    va_end(args);
    es_plan_violation violation = {es_arena_text(c->arena, text)};
    if (violation.text == NULL)
        return es_arena_full(c->arena, "violations", c->err);
    return ES_ARRAY_PUSH(c->arena, &c->found, violation, "violations", c->err);
}

static bool above(const checker *c, double value, double limit)
{
    return value > limit + c->tolerance * fmax(fabs(value), fabs(limit)) + 1e-12;
}

static const char *node_name(const checker *c, uint32_t node)
{
    return es_network_node(c->scenario->network, (es_node_id){node})->name;
}

/* "task at node" of a class. */
static const char *class_name(const checker *c, uint32_t class_index, char *text, size_t size)
{
    const es_class *class_ = &c->scenario->classes[class_index];
    (void)snprintf(text, size, "%s at %s", c->scenario->tasks[class_->task.index].name,
                   node_name(c, class_->node.index)); /* a longer name is cut */
    return text;
}

/* Grams per kWh of each node: a series' steps in the window, each by its share of it. */
static void set_grids(checker *c)
{
    const es_scenario *s = c->scenario;
    for (uint32_t v = 0; v < c->node_count; v++) {
        const es_series *series = s->node_events != NULL ? s->node_events[v].carbon : NULL;
        c->g_per_kwh[v] = es_network_node(s->network, (es_node_id){v})->carbon_gco2e_per_kwh;
        if (series == NULL || !(s->carbon_to_s > s->carbon_from_s))
            continue;
        c->g_per_kwh[v] = 0.0;
        for (size_t i = 0; i < series->count; i++) {
            double end_s =
                i + 1 < series->count ? (double)series->start_ns[i + 1] * 1e-9 : s->carbon_to_s;
            double from_s = fmax((double)series->start_ns[i] * 1e-9, s->carbon_from_s);
            double inside_s = fmin(end_s, s->carbon_to_s) - from_s;
            if (inside_s > 0.0)
                c->g_per_kwh[v] +=
                    series->value[i] * inside_s / (s->carbon_to_s - s->carbon_from_s);
        }
    }
}

/* ---- placements ---- */

static es_status check_placements(checker *c)
{
    for (size_t i = 0; i < c->plan->placement_count; i++) {
        const es_placement *p = &c->plan->placements[i];
        if (p->node.index >= c->node_count || p->segment.index >= c->scenario->segment_count) {
            ES_TRY(violated(c, "placements[%zu]: no such node or segment", i));
            continue;
        }
        const char *segment = c->scenario->segments[p->segment.index].name;
        bool *cell =
            &c->hosted[(size_t)p->node.index * c->scenario->segment_count + p->segment.index];
        const es_node *node = es_network_node(c->scenario->network, p->node);
        if (*cell)
            ES_TRY(violated(c, "node '%s': hosts segment '%s' twice", node->name, segment));
        *cell = true;
        uint32_t kind = c->scenario->node_kinds[p->node.index];
        bool runs =
            node->processors * node->utilisation_max > 0.0 && kind < c->scenario->kind_count &&
            isfinite(
                c->scenario->services[(size_t)kind * c->scenario->segment_count + p->segment.index]
                    .time_s);
        if (!runs)
            ES_TRY(violated(c, "node '%s': cannot run segment '%s', which it hosts", node->name,
                            segment));
    }
    return ES_OK;
}

/* Memory, hosting and idling of each node. */
static es_status check_memory(checker *c)
{
    for (uint32_t v = 0; v < c->node_count; v++) {
        const es_node *node = es_network_node(c->scenario->network, (es_node_id){v});
        double bytes = 0.0;
        bool on = false;
        for (uint32_t s = 0; s < c->scenario->segment_count; s++) {
            if (!c->hosted[(size_t)v * c->scenario->segment_count + s])
                continue;
            bytes += c->scenario->segments[s].memory_bytes;
            c->objective += c->scenario->segments[s].hosting_per_s;
            on = true;
        }
        if (on) {
            c->objective += node->idle_w * c->scenario->objective.idle_per_j;
            c->energy_w += node->idle_w;
            c->carbon_g_per_s += node->idle_w / JOULES_PER_KWH * c->g_per_kwh[v];
        }
        if (above(c, bytes, node->memory_bytes))
            ES_TRY(violated(c, "node '%s': memory %.6g MB of %.6g MB", node->name, bytes / 1e6,
                            node->memory_bytes / 1e6));
    }
    return ES_OK;
}

static es_status check_replicas(checker *c)
{
    for (uint32_t s = 0; s < c->scenario->segment_count; s++) {
        uint32_t hosts = 0;
        for (uint32_t v = 0; v < c->node_count; v++)
            hosts += c->hosted[(size_t)v * c->scenario->segment_count + s] ? 1 : 0;
        if (c->used[s] && hosts < c->scenario->replicas_min)
            ES_TRY(violated(c, "segment '%s': %" PRIu32 " hosts, replicas_min is %" PRIu32,
                            c->scenario->segments[s].name, hosts, c->scenario->replicas_min));
    }
    return ES_OK;
}

/* ---- routings ---- */

/* What a request of a routing takes, as it goes along. */
typedef struct trip {
    double latency_s;
    double passed_s; /* through all stages */
    double energy_j;
    double carbon_g;
} trip;

/* Sends bytes with some probability; false when there is no route. Gives the time of one way. */
static bool ship(checker *c, es_node_id from, es_node_id to, double bytes, double probability,
                 double rate, trip *t, double *out_s)
{
    *out_s = 0.0;
    if (from.index == to.index)
        return true;
    uint32_t count = 0;
    if (!es_routes_path(c->scenario->routes, from, to, c->links, c->node_count, &count))
        return false;
    uint32_t here = from.index;
    double joules_per_bit = 0.0;
    for (uint32_t i = 0; i < count; i++) {
        const es_link *link = es_network_link(c->scenario->network, c->links[i]);
        bool forward = link->from.index == here;
        *out_s += link->latency_s + 8.0 * bytes / link->bandwidth_bps;
        joules_per_bit += link->energy_j_per_bit;
        c->link_bps[2 * (size_t)c->links[i].index + (forward ? 0 : 1)] +=
            rate * probability * 8.0 * bytes;
        here = forward ? link->to.index : link->from.index;
    }
    double energy_j = probability * 8.0 * bytes * joules_per_bit;
    t->latency_s += probability * *out_s;
    t->energy_j += energy_j;
    t->carbon_g +=
        energy_j / JOULES_PER_KWH * 0.5 * (c->g_per_kwh[from.index] + c->g_per_kwh[to.index]);
    return true;
}

static es_status check_numbers(checker *c, size_t i, bool *out_good)
{
    const es_routing *w = &c->plan->routings[i];
    const es_scenario *s = c->scenario;
    *out_good = false;
    if (w->class_id.index >= s->class_count || w->pipeline.index >= s->pipeline_count)
        return violated(c, "routing[%zu]: no such class or pipeline", i);
    const es_pipeline *pipeline = &s->pipelines[w->pipeline.index];
    for (uint32_t k = 0; k < pipeline->stage_count; k++)
        if (w->nodes[k].index >= c->node_count)
            return violated(c, "routing[%zu]: no such node", i);
    if (pipeline->task.index != s->classes[w->class_id.index].task.index)
        return violated(c, "routing[%zu]: pipeline '%s' does not solve task '%s'", i,
                        pipeline->name, s->tasks[s->classes[w->class_id.index].task.index].name);
    if (!(w->share > 0.0) || above(c, w->share, 1.0))
        return violated(c, "routing[%zu]: share %.9g must be in (0, 1]", i, w->share);
    *out_good = true;
    return ES_OK;
}

/* One stage: that it is hosted and can run; its time and joules. */
static es_status run_stage(checker *c, const es_routing *w, uint32_t k, trip *t, double *out_s)
{
    const es_scenario *s = c->scenario;
    const es_stage *stage = &s->pipelines[w->pipeline.index].stages[k];
    uint32_t v = w->nodes[k].index;
    uint32_t segment = stage->segment.index;
    const es_node *node = es_network_node(s->network, w->nodes[k]);
    char name[300];
    *out_s = 0.0;
    if (!c->hosted[(size_t)v * s->segment_count + segment])
        ES_TRY(violated(c, "class '%s': sent to node '%s' for segment '%s', which it does not host",
                        class_name(c, w->class_id.index, name, sizeof name), node->name,
                        s->segments[segment].name));
    c->used[segment] = true;
    if (s->node_kinds[v] >= s->kind_count)
        return violated(c, "node '%s': has no kind, so it runs nothing", node->name);
    es_service service = s->services[(size_t)s->node_kinds[v] * s->segment_count + segment];
    if (!isfinite(service.time_s))
        return ES_OK; /* told once, at the placement */
    double busy_s = stage->reach * service.time_s;
    double energy_j = stage->reach * service.energy_j;
    t->latency_s += busy_s;
    t->energy_j += energy_j;
    t->carbon_g += energy_j / JOULES_PER_KWH * c->g_per_kwh[v];
    c->compute_s[v] += s->classes[w->class_id.index].arrivals.rate_rps * w->share * busy_s;
    *out_s = service.time_s;
    return ES_OK;
}

static es_status check_routing(checker *c, size_t i)
{
    const es_routing *w = &c->plan->routings[i];
    const es_scenario *s = c->scenario;
    bool good;
    char name[300];
    ES_TRY(check_numbers(c, i, &good));
    if (!good)
        return ES_OK;
    const es_class *class_ = &s->classes[w->class_id.index];
    const es_pipeline *pipeline = &s->pipelines[w->pipeline.index];
    double rate = class_->arrivals.rate_rps * w->share;
    trip t = {0};
    es_node_id before = class_->node;
    double back_s = 0.0;
    for (uint32_t k = 0; k < pipeline->stage_count; k++) {
        const es_stage *stage = &pipeline->stages[k];
        double leaving =
            stage->reach - (k + 1 < pipeline->stage_count ? pipeline->stages[k + 1].reach : 0.0);
        double there_s;
        double run_s;
        bool routed =
            ship(c, before, w->nodes[k], stage->input_bytes, stage->reach, rate, &t, &there_s);
        ES_TRY(run_stage(c, w, k, &t, &run_s));
        back_s = 0.0;
        if (leaving > 0.0)
            routed = ship(c, w->nodes[k], class_->node, s->tasks[class_->task.index].output_bytes,
                          leaving, rate, &t, &back_s) &&
                     routed;
        if (!routed)
            ES_TRY(violated(c, "class '%s': no route between nodes '%s' and '%s'",
                            class_name(c, w->class_id.index, name, sizeof name),
                            node_name(c, before.index), node_name(c, w->nodes[k].index)));
        t.passed_s += there_s + run_s;
        before = w->nodes[k];
    }
    if (above(c, t.passed_s + back_s, class_->deadline_s))
        ES_TRY(violated(c, "class '%s': pipeline '%s' takes %.6g ms, deadline %.6g ms",
                        class_name(c, w->class_id.index, name, sizeof name), pipeline->name,
                        (t.passed_s + back_s) * 1e3, class_->deadline_s * 1e3));
    const es_objective *o = &s->objective;
    c->objective +=
        rate * (o->latency_per_s * t.latency_s + o->quality * (1.0 - pipeline->quality) +
                o->energy_per_j * t.energy_j + o->carbon_per_g * t.carbon_g);
    if (pipeline->quality < class_->quality_min_each)
        ES_TRY(violated(c, "class '%s': pipeline '%s' has quality %.9g, each request at least %.9g",
                        class_name(c, w->class_id.index, name, sizeof name), pipeline->name,
                        pipeline->quality, class_->quality_min_each));
    if (above(c, 1.0, w->share))
        c->split[w->class_id.index] = true;
    c->energy_w += rate * t.energy_j;
    c->carbon_g_per_s += rate * t.carbon_g;
    c->served[w->class_id.index] += w->share;
    c->quality[w->class_id.index] += w->share * pipeline->quality;
    return ES_OK;
}

/* ---- sums ---- */

static es_status check_class(checker *c, uint32_t r)
{
    const es_scenario *s = c->scenario;
    const es_class *class_ = &s->classes[r];
    double refused = c->plan->refused_share[r];
    char name[300];
    (void)class_name(c, r, name, sizeof name);
    if (!(refused >= 0.0) || above(c, refused, 1.0))
        ES_TRY(violated(c, "class '%s': refused share %.9g must be 0..1", name, refused));
    if (refused > 0.0 && !isfinite(s->objective.refusal_cost))
        ES_TRY(violated(c, "class '%s': share %.9g refused, which is not allowed", name, refused));
    if (refused > 0.0 && isfinite(s->objective.refusal_cost))
        c->objective += class_->arrivals.rate_rps * refused * s->objective.refusal_cost;
    if (!(fabs(c->served[r] + refused - 1.0) <= c->tolerance))
        ES_TRY(violated(c, "class '%s': shares add up to %.9g, must be 1", name,
                        c->served[r] + refused));
    if (s->unsplittable && c->split[r])
        ES_TRY(violated(c, "class '%s': takes several ways, must not split", name));
    if (c->served[r] > 0.0 && above(c, class_->quality_min, c->quality[r] / c->served[r]))
        ES_TRY(violated(c, "class '%s': average quality %.9g, least %.9g", name,
                        c->quality[r] / c->served[r], class_->quality_min));
    return ES_OK;
}

static es_status check_capacities(checker *c)
{
    for (uint32_t v = 0; v < c->node_count; v++) {
        const es_node *node = es_network_node(c->scenario->network, (es_node_id){v});
        double capacity_s = node->processors * node->utilisation_max;
        if (above(c, c->compute_s[v], capacity_s))
            ES_TRY(violated(c, "node '%s': busy %.6g s/s of %.6g s/s", node->name, c->compute_s[v],
                            capacity_s));
    }
    for (uint32_t e = 0; e < es_network_link_count(c->scenario->network); e++) {
        const es_link *link = es_network_link(c->scenario->network, (es_link_id){e});
        for (uint32_t d = 0; d < 2; d++)
            if (above(c, c->link_bps[2 * (size_t)e + d], link->bandwidth_bps))
                ES_TRY(violated(c, "link '%s' to '%s': %.6g Mbit/s of %.6g Mbit/s",
                                node_name(c, d == 0 ? link->from.index : link->to.index),
                                node_name(c, d == 0 ? link->to.index : link->from.index),
                                c->link_bps[2 * (size_t)e + d] / 1e6, link->bandwidth_bps / 1e6));
    }
    return ES_OK;
}

static es_status check_totals(checker *c)
{
    const es_scenario *s = c->scenario;
    if (s->hosts_max > 0 && c->plan->placement_count > s->hosts_max)
        ES_TRY(violated(c, "%zu hosts, hosts_max is %" PRIu32, c->plan->placement_count,
                        s->hosts_max));
    if (s->energy_w_max > 0.0 && above(c, c->energy_w, s->energy_w_max))
        ES_TRY(violated(c, "energy %.6g W of energy_budget_w %.6g", c->energy_w, s->energy_w_max));
    if (s->carbon_g_per_s_max > 0.0 && above(c, c->carbon_g_per_s, s->carbon_g_per_s_max))
        ES_TRY(violated(c, "carbon %.6g g/s of carbon_budget_g_per_s %.6g", c->carbon_g_per_s,
                        s->carbon_g_per_s_max));
    return ES_OK;
}

static es_status check_figures(checker *c)
{
    const es_plan *p = c->plan;
    /* What was hosted before is not told, so the price of moves is taken as given. */
    c->objective += p->move_cost_per_s;
    double slack = c->tolerance * fmax(fabs(p->objective), fabs(c->objective)) + 1e-12;
    if (!(p->move_cost_per_s >= 0.0) || p->move_count > p->placement_count ||
        (p->move_count == 0 && p->move_cost_per_s > 0.0))
        ES_TRY(violated(c, "%zu moves of %zu placements at %.9g per second", p->move_count,
                        p->placement_count, p->move_cost_per_s));
    if (!(fabs(p->objective - c->objective) <= slack))
        ES_TRY(
            violated(c, "objective %.9g per second, should be %.9g", p->objective, c->objective));
    if (!(p->bound <= c->objective + slack))
        ES_TRY(violated(c, "bound %.9g above the objective %.9g", p->bound, c->objective));
    if (!isfinite(p->bound))
        return ES_OK;
    double gap = (p->objective - p->bound) / fmax(fabs(p->objective), 1e-9);
    if (!(fabs(gap - p->gap_relative) <= c->tolerance * fmax(1.0, fabs(gap))))
        ES_TRY(violated(c, "gap %.9g, should be %.9g", p->gap_relative, gap));
    return ES_OK;
}

static es_status check_empty(checker *c)
{
    const es_plan *p = c->plan;
    const char *quality = es_plan_quality_names[p->quality];
    if (p->placement_count > 0 || p->routing_count > 0)
        ES_TRY(violated(c, "quality '%s', but there are placements or routings", quality));
    if (isfinite(p->objective))
        ES_TRY(violated(c, "quality '%s', but the objective is %.9g", quality, p->objective));
    if (p->quality == ES_PLAN_INFEASIBLE && p->conflict == NULL)
        ES_TRY(violated(c, "quality '%s' without a conflict that says why", quality));
    return ES_OK;
}

static es_status check_whole(checker *c)
{
    ES_TRY(check_placements(c));
    ES_TRY(check_memory(c));
    for (size_t i = 0; i < c->plan->routing_count; i++)
        ES_TRY(check_routing(c, i));
    ES_TRY(check_replicas(c));
    for (uint32_t r = 0; r < c->scenario->class_count; r++)
        ES_TRY(check_class(c, r));
    ES_TRY(check_capacities(c));
    ES_TRY(check_totals(c));
    return check_figures(c);
}

es_status es_plan_check(es_arena *arena, const es_plan *plan, const es_scenario *scenario,
                        double tolerance, const es_plan_violation **out_violations,
                        size_t *out_count, es_error *err)
{
    checker c = {.arena = arena,
                 .plan = plan,
                 .scenario = scenario,
                 .tolerance = tolerance,
                 .node_count = es_network_node_count(scenario->network),
                 .err = err};
    if (!(tolerance >= 0.0) || !isfinite(tolerance))
        return es_fail(err, ES_ERR_ARG, "tolerance=%g must be finite and >= 0", tolerance);
    size_t link_count = es_network_link_count(scenario->network);
    c.hosted = ES_TAKE_ARRAY(arena, bool, (size_t)c.node_count * scenario->segment_count);
    c.used = ES_TAKE_ARRAY(arena, bool, scenario->segment_count);
    c.compute_s = ES_TAKE_ARRAY(arena, double, c.node_count);
    c.link_bps = ES_TAKE_ARRAY(arena, double, 2 * link_count);
    c.served = ES_TAKE_ARRAY(arena, double, scenario->class_count);
    c.quality = ES_TAKE_ARRAY(arena, double, scenario->class_count);
    c.split = ES_TAKE_ARRAY(arena, bool, scenario->class_count);
    c.g_per_kwh = ES_TAKE_ARRAY(arena, double, c.node_count);
    c.links = ES_TAKE_ARRAY(arena, es_link_id, c.node_count);
    if (c.hosted == NULL || c.used == NULL || c.compute_s == NULL || c.link_bps == NULL ||
        c.served == NULL || c.quality == NULL || c.split == NULL || c.g_per_kwh == NULL ||
        c.links == NULL)
        return es_arena_full(arena, "check", err);
    set_grids(&c);
    if (plan->quality == ES_PLAN_OPTIMAL || plan->quality == ES_PLAN_FEASIBLE)
        ES_TRY(check_whole(&c));
    else
        ES_TRY(check_empty(&c));
    *out_violations = c.found.items;
    *out_count = c.found.count;
    return ES_OK;
}
