#include "run_internal.h"

#include <assert.h>
#include <math.h>

/* Requests are handed to their first node a little early, which holds them until they are due: so
 * the driver's own time does not count. */
#define LEAD_NS (5 * ES_NS_PER_MS)
#define PROGRESS_NS (100 * ES_NS_PER_MS)
enum { PENDING_MAX = 1 << 20 }; /* more under way: refused */
#define BODY_BYTES_MAX ((size_t)ES_RUN_PAYLOAD_MAX + (1 << 20))

/* ---- classes ---- */

static es_status class_init(es_run *run, uint32_t c, es_error *err)
{
    const es_plan *plan = run->plan;
    es_run_class *class = &run->classes[c];
    class->routing_first = plan->routing_count;
    for (size_t r = plan->routing_count; r-- > 0;) {
        if (plan->routings[r].class_id.index == c) {
            class->routing_first = r;
            class->routing_count++;
        }
    }
    /* Routings are sorted by class: those of one class lie together. */
    for (size_t i = 0; i < class->routing_count; i++) {
        if (plan->routings[class->routing_first + i].class_id.index != c)
            return es_fail(err, ES_ERR_ARG, "routings of the plan must be in order of classes");
    }
    es_arrivals arrivals = run->scenario->classes[c].arrivals;
    class->arrivals = es_arrival_stream_make(arrivals, run->seed, c);
    class->warm_up =
        es_arrival_stream_make(arrivals, run->seed, (uint64_t)run->scenario->class_count + c);
    class->warming = run->opts.warm_up_s > 0;
    return ES_OK;
}

/* As the caller wishes, where it does; only among the routings of the class. */
static es_status find_routing(es_run *run, uint32_t c, const es_run_pending *next, size_t *out,
                              es_error *err)
{
    const es_run_class *class = &run->classes[c];
    if (run->opts.route == NULL || !next->recorded) {
        *out = es_run_choose(run, c);
        return ES_OK;
    }
    *out = run->opts.route(run->opts.context, (es_class_id){c}, next->sequence);
    if (*out == SIZE_MAX ||
        (*out >= class->routing_first && *out - class->routing_first < class->routing_count))
        return ES_OK;
    return es_fail(err, ES_ERR_ARG,
                   "route: request %llu of class %u is sent along routing %zu, must be one of its "
                   "%zu in the plan from %zu on",
                   (unsigned long long)next->sequence, c, *out, class->routing_count,
                   class->routing_first);
}

/* ---- requests under way ---- */

static es_status pending_take(es_run *run, es_run_pending **out, es_error *err)
{
    es_run_pending *pending = NULL;
    if (run->pending_free.count > 0) {
        pending = run->pending.items[run->pending_free.items[--run->pending_free.count]];
    } else {
        pending = ES_TAKE_ONE(run->arena, es_run_pending);
        if (pending == NULL)
            return es_arena_full(run->arena, "requests under way", err);
        pending->run = run;
        pending->index = (uint32_t)run->pending.count;
        es_text_init(&pending->body, BODY_BYTES_MAX);
        ES_TRY(ES_ARRAY_PUSH(run->arena, &run->pending, pending, "requests under way", err));
    }
    pending->used = true;
    run->pending_count++;
    *out = pending;
    return ES_OK;
}

static es_status record(es_run *run, const es_run_pending *pending, es_sample *sample,
                        es_error *err)
{
    run->answered += sample->fate == ES_FATE_SERVED;
    run->failed += sample->fate == ES_FATE_FAILED;
    if (!pending->recorded)
        return ES_OK;
    sample->slot = pending->slot;
    sample->class_id.index = pending->class_id;
    sample->weight = 1;
    return es_outcome_add(run->recorder, sample, err);
}

static void fail_run(es_run *run, es_status status)
{
    if (run->status == ES_OK)
        run->status = status;
}

void es_run_pending_end(es_run *run, es_run_pending *pending, es_sample *sample)
{
    assert(pending->used);
    es_status status = record(run, pending, sample, run->err);
    pending->used = false;
    run->pending_count--;
    if (pending->body.size > 0)
        run->body_bytes -= pending->body.size;
    if (status == ES_OK)
        status = ES_ARRAY_PUSH(run->arena, &run->pending_free, pending->index, "requests under way",
                               run->err);
    if (status != ES_OK)
        fail_run(run, status);
}

/* ---- arrivals ---- */

/* As the caller wishes, but never before its arrival. */
static void find_turn(const es_run *run, es_run_pending *next)
{
    next->leaves_ns = next->arrival_ns;
    if (run->opts.turn == NULL || !next->recorded)
        return;
    es_run_turn wished =
        run->opts.turn(run->opts.context, (es_class_id){next->class_id}, next->sequence);
    double most_s = run->duration_s + run->opts.grace_s;
    next->turn = wished.turn;
    if (wished.leaves_s > es_s_from_ns(next->arrival_ns - run->time_0_ns))
        next->leaves_ns = run->time_0_ns + es_ns_from_s(fmin(wished.leaves_s, most_s));
}

static es_status arrive(es_run *run, uint32_t c, es_error *err)
{
    es_run_class *class = &run->classes[c];
    es_run_pending next = {
        .recorded = !class->warming,
        .class_id = c,
        .arrival_ns = run->time_0_ns + class->next_ns,
        .sequence = class->sequence++,
    };
    if (next.recorded) {
        double slot = floor(es_s_from_ns(class->next_ns) / run->scenario->slot_s);
        double last = (double)run->boundary_count - 2;
        next.slot = (uint32_t)(slot < last ? slot : last);
        ES_TRY(es_outcome_arrive(run->recorder, next.slot, (es_class_id){c}, 1, err));
    }
    ES_TRY(find_routing(run, c, &next, &next.routing, err));
    es_sample refused = {.fate = ES_FATE_REFUSED};
    if (next.routing == SIZE_MAX || run->pending_count >= PENDING_MAX)
        return record(run, &next, &refused, err);
    es_run_pending *pending = NULL;
    ES_TRY(pending_take(run, &pending, err));
    find_turn(run, &next);
    pending->recorded = next.recorded;
    pending->class_id = next.class_id;
    pending->arrival_ns = next.arrival_ns;
    pending->sequence = next.sequence;
    pending->slot = next.slot;
    pending->routing = next.routing;
    pending->leaves_ns = next.leaves_ns;
    pending->turn = next.turn;
    if (next.leaves_ns > next.arrival_ns)
        return es_hold_push(&run->hold, run->arena, next.leaves_ns, pending->index, err);
    es_run_send(run, pending);
    return ES_OK;
}

/* The offset from time 0 of the class's next request; INT64_MAX: none any more. */
static void step(es_run *run, es_run_class *class)
{
    int64_t warm_up_ns = es_ns_from_s(run->opts.warm_up_s);
    if (class->warming) {
        int64_t at_ns = es_arrival_next_ns(&class->warm_up);
        if (at_ns < warm_up_ns) {
            class->next_ns = at_ns - warm_up_ns;
            return;
        }
        class->warming = false;
        class->sequence = 0;
    }
    int64_t at_ns = es_arrival_next_ns(&class->arrivals);
    class->next_ns = at_ns < es_ns_from_s(run->duration_s) ? at_ns : INT64_MAX;
}

/* The class whose request comes next, and when; INT64_MAX: none any more. */
static uint32_t next_class(const es_run *run, int64_t *out_ns)
{
    uint32_t first = 0;
    *out_ns = INT64_MAX;
    for (uint32_t c = 0; c < run->scenario->class_count; c++) {
        if (run->classes[c].next_ns < *out_ns) {
            *out_ns = run->classes[c].next_ns;
            first = c;
        }
    }
    if (*out_ns != INT64_MAX)
        *out_ns += run->time_0_ns;
    return first;
}

/* Sends what is due until then, in order of time, as nodes need it; *out_next_ns: when more
 * is. */
static es_status send_due(es_run *run, int64_t until_ns, int64_t *out_next_ns, es_error *err)
{
    for (;;) {
        int64_t arrival_ns = 0;
        uint32_t c = next_class(run, &arrival_ns);
        int64_t held_ns = es_hold_next_ns(&run->hold);
        int64_t first_ns = held_ns < arrival_ns ? held_ns : arrival_ns;
        *out_next_ns = first_ns == INT64_MAX ? INT64_MAX : first_ns - LEAD_NS;
        if (*out_next_ns == INT64_MAX || *out_next_ns > until_ns)
            return ES_OK;
        if (held_ns < arrival_ns) {
            es_run_send(run, run->pending.items[es_hold_pop(&run->hold)]);
            continue;
        }
        ES_TRY(arrive(run, c, err));
        step(run, &run->classes[c]);
    }
}

/* ---- statistics at the ends of slots ---- */

static int64_t boundary_ns(const es_run *run, uint32_t boundary)
{
    double at_s = fmin(boundary * run->scenario->slot_s, run->duration_s);
    return run->time_0_ns + es_ns_from_s(at_s);
}

/* ---- the drive ---- */

static es_status prepare(es_run *run, es_error *err)
{
    uint32_t class_count = run->scenario->class_count;
    double slots = ceil(run->duration_s / run->scenario->slot_s - 1e-9);
    run->boundary_count = (uint32_t)(slots < 1 ? 1 : slots) + 1;
    run->classes = ES_TAKE_ARRAY(run->arena, es_run_class, class_count);
    if (run->classes == NULL)
        return es_arena_full(run->arena, "classes of the run", err);
    for (uint32_t c = 0; c < class_count; c++) {
        ES_TRY(class_init(run, c, err));
        step(run, &run->classes[c]);
    }
    ES_TRY(es_run_chooser_make(run, err));
    for (uint32_t v = 0; v < run->node_count; v++) {
        run->nodes[v].busy_s = ES_TAKE_ARRAY(run->arena, double, run->boundary_count);
        run->nodes[v].energy_j = ES_TAKE_ARRAY(run->arena, double, run->boundary_count);
        if (run->nodes[v].busy_s == NULL || run->nodes[v].energy_j == NULL)
            return es_arena_full(run->arena, "statistics of nodes", err);
        for (uint32_t b = 0; b < run->boundary_count; b++) {
            run->nodes[v].busy_s[b] = (double)NAN;
            run->nodes[v].energy_j[b] = (double)NAN;
        }
    }
    return ES_OK;
}

/* Whoever has no answer now gets none: failed when a dead node may have had it. */
static void end_pending(es_run *run)
{
    for (size_t i = 0; i < run->pending.count; i++) {
        es_run_pending *pending = run->pending.items[i];
        if (!pending->used)
            continue;
        const es_run_way *way = &run->ways[pending->routing];
        bool lives = es_run_way_lives(run, pending->routing, way->stage_count, INT64_MAX);
        es_sample sample = {.fate = lives ? ES_FATE_IN_FLIGHT : ES_FATE_FAILED};
        es_run_pending_end(run, pending, &sample);
    }
}

/* Ten times a second: are all nodes there? */
static void look_around(es_run *run, int64_t now_ns)
{
    if (now_ns < run->looked_ns + PROGRESS_NS)
        return;
    run->looked_ns = now_ns;
    for (uint32_t v = 0; v < run->node_count; v++)
        es_run_node_look(run, v, 0);
}

static void tell_progress(es_run *run, int64_t now_ns)
{
    if (run->opts.progress == NULL || now_ns < run->progress_ns)
        return;
    run->progress_ns = now_ns + PROGRESS_NS;
    double done_s = es_s_from_ns(now_ns - run->time_0_ns);
    done_s = done_s < 0 ? 0 : done_s > run->duration_s ? run->duration_s : done_s;
    run->opts.progress(run->opts.progress_context, done_s, run->duration_s, run->answered,
                       run->failed);
}

static es_status loop(es_run *run, es_error *err)
{
    es_clock *clock = es_clock_system();
    int64_t end_ns = run->time_0_ns + es_ns_from_s(run->duration_s);
    for (;;) {
        int64_t now_ns = es_clock_now_ns(clock);
        int64_t next_ns = INT64_MAX;
        if (es_run_cancelled(run))
            return es_fail(err, ES_ERR_CANCELLED, "the run was stopped");
        ES_TRY(send_due(run, now_ns, &next_ns, err));
        while (run->boundary_next < run->boundary_count &&
               boundary_ns(run, run->boundary_next) <= now_ns)
            es_run_ask_stats(run, run->boundary_next++);
        look_around(run, now_ns);
        tell_progress(run, now_ns);
        ES_TRY(run->status);
        if (now_ns >= run->last_ns ||
            (now_ns >= end_ns && run->pending_count == 0 && es_run_stats_complete(run)))
            return ES_OK;
        if (run->boundary_next < run->boundary_count &&
            boundary_ns(run, run->boundary_next) < next_ns)
            next_ns = boundary_ns(run, run->boundary_next);
        if (now_ns + PROGRESS_NS < next_ns)
            next_ns = now_ns + PROGRESS_NS;
        es_http_caller_run(run->caller, next_ns);
    }
}

es_status es_run_drive(es_run *run, es_error *err)
{
    ES_TRY(prepare(run, err));
    run->time_0_ns =
        es_clock_now_ns(es_clock_system()) + es_ns_from_s(run->opts.warm_up_s) + 10 * LEAD_NS;
    run->last_ns = run->time_0_ns + es_ns_from_s(run->duration_s) + es_ns_from_s(run->opts.grace_s);
    ES_TRY(loop(run, err));
    end_pending(run);
    ES_TRY(run->status);
    return es_run_record_nodes(run, err);
}
