/* Tasks and machines of a scenario: requests of its classes, measured variants, its processors. */
#include "schedule/documents.h"

#include <math.h>

static const double J_PER_KWH = 3.6e6;

/* A pipeline of one stage on the kind whose seconds are the work. */
typedef struct variant {
    double time_s, quality;
    uint32_t segment;
} variant;

typedef struct family {
    uint32_t curve;         /* ES_HULL_NONE: the task has no variant there */
    uint32_t variant_count; /* on the hull, without the one of no work */
    const variant *variants;
} family;

typedef struct builder {
    es_arena *arena;
    const es_scenario *scenario;
    uint32_t kind;
    family *families; /* per task */
    ES_ARRAY(es_curve) curves;
    ES_ARRAY(es_tasks_task) tasks;
    ES_ARRAY(es_machine) machines;
    es_text *note;
    es_error *err;
} builder;

static es_service service_of(const es_scenario *scenario, uint32_t kind, uint32_t segment)
{
    return scenario->services[(size_t)kind * scenario->segment_count + segment];
}

static uint32_t processors_of(const es_scenario *scenario, uint32_t kind)
{
    uint32_t count = 0;
    for (uint32_t v = 0; v < es_network_node_count(scenario->network); v++) {
        const es_node *node = es_network_node(scenario->network, (es_node_id){v});
        if (scenario->node_kinds[v] == kind && node->processors >= 1.0)
            count += (uint32_t)node->processors;
    }
    return count;
}

static bool single(const es_scenario *scenario, uint32_t pipeline, uint32_t kind, variant *out)
{
    const es_pipeline *p = &scenario->pipelines[pipeline];
    if (p->stage_count != 1)
        return false;
    es_service service = service_of(scenario, kind, p->stages[0].segment.index);
    *out = (variant){service.time_s, p->quality, p->stages[0].segment.index};
    return isfinite(service.time_s) && service.time_s > 0.0;
}

static es_status choose_kind(builder *b, const char *name)
{
    const es_scenario *scenario = b->scenario;
    uint32_t best = ES_HULL_NONE;
    uint32_t best_count = 0;
    for (uint32_t k = 0; k < scenario->kind_count; k++) {
        uint32_t count = 0;
        variant one;
        for (uint32_t p = 0; p < scenario->pipeline_count; p++)
            count += single(scenario, p, k, &one) ? 1 : 0;
        if (name != NULL && strcmp(name, scenario->kinds[k].name) == 0) {
            if (count == 0 || processors_of(scenario, k) == 0)
                return es_fail(b->err, ES_ERR_ARG,
                               "schedule: kind '%s' runs %u pipelines of one stage on %u "
                               "processors, there must be some of both",
                               name, count, processors_of(scenario, k));
            b->kind = k;
            return ES_OK;
        }
        if (count > best_count && processors_of(scenario, k) > 0) {
            best = k;
            best_count = count;
        }
    }
    if (name != NULL)
        return es_fail(b->err, ES_ERR_ARG, "schedule: there is no kind '%s'", name);
    if (best == ES_HULL_NONE)
        return es_fail(b->err, ES_ERR_ARG, "schedule: no node of '%s' runs a pipeline of one stage",
                       scenario->name);
    b->kind = best;
    return ES_OK;
}

static int by_time(const void *a, const void *b)
{
    const variant *left = a;
    const variant *right = b;
    if (left->time_s != right->time_s)
        return left->time_s < right->time_s ? -1 : 1;
    return (left->quality < right->quality) - (left->quality > right->quality);
}

/* The hull of a task's variants from no answer at all: quality 0. */
static es_status make_family(builder *b, uint32_t task)
{
    const es_scenario *scenario = b->scenario;
    uint32_t first = scenario->task_pipelines[task];
    uint32_t last = scenario->task_pipelines[task + 1];
    size_t most = (size_t)(last - first) + 1;
    variant *all = ES_TAKE_ARRAY(b->arena, variant, most);
    double *work = ES_TAKE_ARRAY(b->arena, double, most);
    double *quality = ES_TAKE_ARRAY(b->arena, double, most);
    variant *kept = ES_TAKE_ARRAY(b->arena, variant, most);
    if (all == NULL || work == NULL || quality == NULL || kept == NULL)
        return es_arena_full(b->arena, "variants", b->err);
    uint32_t count = 0;
    for (uint32_t p = first; p < last; p++)
        count += single(scenario, p, b->kind, &all[count]) ? 1 : 0;
    family *out = &b->families[task];
    *out = (family){.curve = ES_HULL_NONE, .variants = kept};
    if (count == 0)
        return ES_OK;
    qsort(all, count, sizeof *all, by_time);
    uint32_t points = 1;
    for (uint32_t i = 0; i < count; i++)
        if (all[i].time_s > work[points - 1]) {
            work[points] = all[i].time_s;
            quality[points++] = all[i].quality;
        }
    es_curve curve;
    ES_TRY(es_curve_make(b->arena, scenario->tasks[task].name, points, work, quality, true, &curve,
                         b->note, b->err));
    for (uint32_t k = 1; k < curve.point_count; k++)
        for (uint32_t i = 0; i < count; i++)
            if (all[i].time_s == curve.work[k]) {
                kept[out->variant_count++] = all[i];
                break;
            }
    out->curve = (uint32_t)b->curves.count;
    return ES_ARRAY_PUSH(b->arena, &b->curves, curve, "curves", b->err);
}

/* How fast and how thirsty a kind is at worst, against the kind whose seconds are the work. */
static bool rate_kind(const builder *b, uint32_t kind, double *out_speed, double *out_w)
{
    *out_speed = (double)INFINITY;
    *out_w = 0.0;
    for (uint32_t t = 0; t < b->scenario->task_count; t++)
        for (uint32_t i = 0; i < b->families[t].variant_count; i++) {
            const variant *v = &b->families[t].variants[i];
            es_service service = service_of(b->scenario, kind, v->segment);
            if (!(isfinite(service.time_s) && service.time_s > 0.0))
                return false;
            *out_speed = fmin(*out_speed, v->time_s / service.time_s);
            *out_w = fmax(*out_w, service.energy_j / service.time_s);
        }
    return true;
}

static es_status add_machines(builder *b)
{
    const es_scenario *scenario = b->scenario;
    for (uint32_t v = 0; v < es_network_node_count(scenario->network); v++) {
        const es_node *node = es_network_node(scenario->network, (es_node_id){v});
        double speed;
        double watts;
        if (node->processors < 1.0 || !rate_kind(b, scenario->node_kinds[v], &speed, &watts))
            continue;
        uint32_t count = (uint32_t)node->processors;
        es_period *period = ES_TAKE_ONE(b->arena, es_period);
        if (period == NULL)
            return es_arena_full(b->arena, "machines", b->err);
        period->carbon_g_per_j =
            es_scenario_carbon_gco2e_per_kwh(scenario, (es_node_id){v}) / J_PER_KWH;
        double idle_w = node->idle_w / count;
        for (uint32_t i = 0; i < count; i++) {
            es_machine machine = {
                .name =
                    count > 1 ? es_arena_format(b->arena, "%s-%u", node->name, i + 1) : node->name,
                .speed_per_s = speed,
                .busy_w = idle_w + watts,
                .idle_w = idle_w,
                .close_s = (double)INFINITY,
                .period_count = 1,
                .periods = period,
                .node = v};
            if (machine.name == NULL)
                return es_arena_full(b->arena, "machines", b->err);
            ES_TRY(ES_ARRAY_PUSH(b->arena, &b->machines, machine, "machines", b->err));
        }
    }
    return ES_OK;
}

static es_status add_requests(builder *b, double horizon_s, uint64_t seed)
{
    const es_scenario *scenario = b->scenario;
    for (uint32_t r = 0; r < scenario->class_count; r++) {
        const es_class *class_ = &scenario->classes[r];
        const family *own = &b->families[class_->task.index];
        if (own->curve == ES_HULL_NONE)
            return es_fail(b->err, ES_ERR_ARG,
                           "schedule: task '%s' has no pipeline of one stage on kind '%s'",
                           scenario->tasks[class_->task.index].name, scenario->kinds[b->kind].name);
        es_arrival_stream stream = es_arrival_stream_make(class_->arrivals, seed, r);
        for (;;) {
            double at_s = es_s_from_ns(es_arrival_next_ns(&stream));
            if (!(at_s < horizon_s))
                break;
            es_tasks_task task = {.arrival_s = at_s,
                                  .deadline_s =
                                      fmin(at_s + class_->deadline_s, isfinite(class_->deadline_s)
                                                                          ? (double)INFINITY
                                                                          : 2.0 * horizon_s),
                                  .curve = own->curve,
                                  .class_id = {r},
                                  .input_bytes = scenario->tasks[class_->task.index].input_bytes};
            if (b->tasks.count == ES_TASKS_MAX)
                return es_fail(b->err, ES_ERR_LIMIT, "schedule: more than %d requests in %g s",
                               ES_TASKS_MAX, horizon_s);
            ES_TRY(ES_ARRAY_PUSH(b->arena, &b->tasks, task, "tasks", b->err));
        }
    }
    if (b->tasks.count == 0)
        return es_fail(b->err, ES_ERR_ARG, "schedule: no request arrives within %g s", horizon_s);
    return ES_OK;
}

static es_status build(builder *b, const char *kind, double horizon_s, uint64_t seed)
{
    const es_scenario *scenario = b->scenario;
    ES_TRY(choose_kind(b, kind));
    b->families = ES_TAKE_ARRAY(b->arena, family, scenario->task_count);
    bool *asked = ES_TAKE_ARRAY(b->arena, bool, scenario->task_count);
    if (b->families == NULL || asked == NULL)
        return es_arena_full(b->arena, "variants", b->err);
    for (uint32_t r = 0; r < scenario->class_count; r++)
        asked[scenario->classes[r].task.index] = true;
    for (uint32_t t = 0; t < scenario->task_count; t++) {
        b->families[t].curve = ES_HULL_NONE;
        if (asked[t])
            ES_TRY(make_family(b, t));
    }
    ES_TRY(add_machines(b));
    return add_requests(b, horizon_s, seed);
}

es_status es_schedule_from_scenario(es_arena *arena, const es_scenario *scenario, const char *kind,
                                    double horizon_s, uint64_t seed, const es_tasks **out_tasks,
                                    const es_machines **out_machines, es_error *err)
{
    enum { NOTE_BYTES = 1 << 16 };
    es_tasks *tasks = ES_TAKE_ONE(arena, es_tasks);
    es_machines *machines = ES_TAKE_ONE(arena, es_machines);
    if (tasks == NULL || machines == NULL)
        return es_arena_full(arena, "schedule", err);
    es_text note;
    es_text_init(&note, NOTE_BYTES);
    builder b = {.arena = arena, .scenario = scenario, .note = &note, .err = err};
    es_status status = build(&b, kind, horizon_s, seed);
    if (status == ES_OK) {
        *tasks =
            (es_tasks){.work_unit = es_arena_format(arena, "s on %s", scenario->kinds[b.kind].name),
                       .curve_count = (uint32_t)b.curves.count,
                       .curves = b.curves.items,
                       .task_count = (uint32_t)b.tasks.count,
                       .tasks = b.tasks.items,
                       .note = note.size > 0 ? es_arena_text(arena, es_text_get(&note)) : NULL};
        *machines = (es_machines){.machine_count = (uint32_t)b.machines.count,
                                  .machines = b.machines.items};
        *out_tasks = tasks;
        *out_machines = machines;
    }
    es_text_done(&note);
    return status;
}
