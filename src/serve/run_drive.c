#include "base/log.h"
#include "run_internal.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* Requests are handed to their entry node a little early, which holds them until they are due: so
 * the driver's own time does not count. */
#define LEAD_NS (2 * ES_NS_PER_MS)
#define PROGRESS_NS (100 * ES_NS_PER_MS)
enum { PENDING_MAX = 1 << 20 }; /* more under way: refused */

/* ---- which way a request goes ---- */

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
    class->taken = ES_TAKE_ARRAY(run->arena, uint64_t, class->routing_count);
    if (class->taken == NULL)
        return es_arena_full(run->arena, "classes of the run", err);
    es_arrivals arrivals = run->scenario->classes[c].arrivals;
    class->arrivals = es_arrival_stream_make(arrivals, run->seed, c);
    class->warm_up =
        es_arrival_stream_make(arrivals, run->seed, (uint64_t)run->scenario->class_count + c);
    class->warming = run->opts.warm_up_s > 0;
    return ES_OK;
}

/* The option whose count is furthest behind its share, so that every prefix of the requests comes
 * as close to the shares as it can. SIZE_MAX: refused by the plan. */
static size_t choose(es_run *run, uint32_t c)
{
    es_run_class *class = &run->classes[c];
    class->drawn++;
    double best = run->plan->refused_share[c] * (double)class->drawn - (double)class->refused;
    size_t chosen = SIZE_MAX;
    if (run->plan->refused_share[c] <= 0)
        best = -(double)INFINITY;
    for (size_t i = 0; i < class->routing_count; i++) {
        double behind = run->plan->routings[class->routing_first + i].share * (double)class->drawn -
                        (double)class->taken[i];
        if (behind > best) {
            best = behind;
            chosen = i;
        }
    }
    if (chosen == SIZE_MAX) {
        class->refused++;
        return SIZE_MAX;
    }
    class->taken[chosen]++;
    return class->routing_first + chosen;
}

/* As the caller wishes, where it does; only among the routings of the class. */
static es_status find_routing(es_run *run, uint32_t c, const es_run_pending *next, size_t *out,
                              es_error *err)
{
    const es_run_class *class = &run->classes[c];
    if (run->opts.route == NULL || !next->recorded) {
        *out = choose(run, c);
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

static es_status pending_take(es_run *run, uint32_t *out_index, es_error *err)
{
    if (run->pending_free.count > 0) {
        *out_index = run->pending_free.items[--run->pending_free.count];
    } else {
        es_run_pending fresh = {0};
        ES_TRY(ES_ARRAY_PUSH(run->arena, &run->pending, fresh, "requests under way", err));
        *out_index = (uint32_t)(run->pending.count - 1);
    }
    run->pending.items[*out_index].used = true;
    run->pending_count++;
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

static void pending_end(es_run *run, uint32_t index, es_sample *sample)
{
    es_run_pending *pending = &run->pending.items[index];
    assert(pending->used);
    es_status status = record(run, pending, sample, run->err);
    pending->used = false;
    pending->generation++;
    run->pending_count--;
    if (status == ES_OK)
        status =
            ES_ARRAY_PUSH(run->arena, &run->pending_free, index, "requests under way", run->err);
    if (status != ES_OK)
        fail_run(run, status);
}

static double quality_of(const es_run *run, const es_run_pending *pending,
                         const es_message *message)
{
    const es_routing *routing = &run->plan->routings[pending->routing];
    const es_run_inputs *inputs = run->inputs[pending->routing];
    uint32_t bytes = message->request.payload_bytes;
    if (inputs->labels == NULL || run->opts.input != NULL || bytes < sizeof(float) ||
        bytes % sizeof(float) != 0)
        return run->scenario->pipelines[routing->pipeline.index].quality;
    const void *values = message->bytes + ES_REQUEST_HEADER_SIZE; /* aligned as the frame is */
    size_t best = es_argmax(values, bytes / sizeof(float));
    return best == inputs->labels[pending->sequence % inputs->count] ? 1 : 0;
}

static void tell_answer(const es_run *run, const es_run_pending *pending, const es_message *message,
                        double latency_s)
{
    const es_request *request = &message->request;
    double service_s[ES_STAGE_COUNT_MAX];
    double queue_s[ES_STAGE_COUNT_MAX];
    for (size_t k = 0; k < ES_STAGE_COUNT_MAX; k++) {
        service_s[k] = (double)request->service_ns[k] * 1e-9;
        queue_s[k] = (double)request->queue_ns[k] * 1e-9;
    }
    es_run_answer answer = {
        .class_id = {pending->class_id},
        .sequence = pending->sequence,
        .routing = pending->routing,
        .latency_s = latency_s,
        .stages_run = request->stages_run,
        .service_s = service_s,
        .queue_s = queue_s,
        .output = message->bytes + ES_REQUEST_HEADER_SIZE,
        .output_bytes = request->payload_bytes,
    };
    run->opts.answered(run->opts.context, &answer);
}

void es_run_answer_in(es_run *run, const es_message *message)
{
    const es_request *request = &message->request;
    uint32_t index = (uint32_t)request->id;
    if (index >= run->pending.count || !run->pending.items[index].used ||
        run->pending.items[index].generation != (uint32_t)(request->id >> 32))
        return; /* ended already, e.g. with its node */
    const es_run_pending *pending = &run->pending.items[index];
    es_sample sample = {.fate = request->fate, .stages_run = request->stages_run};
    if (request->fate == ES_FATE_SERVED) {
        double latency_s = es_s_from_ns(request->when_ns - pending->arrival_ns);
        sample.latency_s = latency_s > 0 ? latency_s : 0;
        sample.pipeline = run->plan->routings[pending->routing].pipeline;
        sample.quality = quality_of(run, pending, message);
        if (pending->recorded && run->opts.answered != NULL)
            tell_answer(run, pending, message, sample.latency_s);
    } else if (request->fate == ES_FATE_FAILED && !run->failure_told) {
        run->failure_told = true;
        es_log(ES_LOG_WARNING, "serve", "a request failed: %.*s (told once)",
               (int)request->payload_bytes, (const char *)message->bytes + ES_REQUEST_HEADER_SIZE);
    }
    es_run_account(run, pending->routing, request, &sample);
    pending_end(run, index, &sample);
}

/* ---- sending ---- */

static es_message *make_request(es_run *run, const es_run_pending *pending, uint32_t index)
{
    const es_config_route *route = &run->routes[pending->routing];
    const es_run_inputs *inputs = run->inputs[pending->routing];
    es_message *message =
        es_message_take(&run->pool, ES_FRAME_REQUEST, ES_REQUEST_HEADER_SIZE + inputs->size_bytes);
    if (message == NULL)
        return NULL;
    uint8_t *payload = message->bytes + ES_REQUEST_HEADER_SIZE;
    if (run->opts.input == NULL || !pending->recorded ||
        !run->opts.input(run->opts.context, (es_class_id){pending->class_id}, pending->sequence,
                         payload, inputs->size_bytes))
        memcpy(payload, inputs->bytes + pending->sequence % inputs->count * inputs->size_bytes,
               inputs->size_bytes);
    message->request = (es_request){
        .id = (uint64_t)pending->generation << 32 | index,
        .when_ns = pending->leaves_ns,
        .link_bytes = inputs->size_bytes,
        .route = (uint32_t)pending->routing,
        .destination = route->stages[0].node,
        .turn = pending->turn,
        .payload_bytes = (uint32_t)inputs->size_bytes,
    };
    return message;
}

static void send_request(es_run *run, uint32_t index)
{
    const es_run_pending *pending = &run->pending.items[index];
    uint32_t entry = run->routes[pending->routing].origin;
    es_run_node *node = &run->nodes[entry];
    es_sample sample = {.fate = ES_FATE_FAILED};
    if (node->dead) {
        pending_end(run, index, &sample);
        return;
    }
    es_message *message = make_request(run, pending, index);
    if (message == NULL) { /* the node takes them slower than they come */
        sample.fate = ES_FATE_REFUSED;
        pending_end(run, index, &sample);
        return;
    }
    if (es_conn_send(&node->conn, message, NULL) != ES_OK)
        es_run_node_died(run, entry); /* the request is counted at the end, with the node's */
    else
        es_run_watch(run, entry);
}

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
    bool recorded = !class->warming;
    es_run_pending next = {
        .used = true,
        .recorded = recorded,
        .class_id = c,
        .arrival_ns = run->time_0_ns + class->next_ns,
        .sequence = class->sequence++,
    };
    if (recorded) {
        double slot = floor(es_s_from_ns(class->next_ns) / run->scenario->slot_s);
        double last = (double)run->boundary_count - 2;
        next.slot = (uint32_t)(slot < last ? slot : last);
        ES_TRY(es_outcome_arrive(run->recorder, next.slot, (es_class_id){c}, 1, err));
    }
    ES_TRY(find_routing(run, c, &next, &next.routing, err));
    es_sample refused = {.fate = ES_FATE_REFUSED};
    if (next.routing == SIZE_MAX || run->pending_count >= PENDING_MAX)
        return record(run, &next, &refused, err);
    uint32_t index = 0;
    ES_TRY(pending_take(run, &index, err));
    next.generation = run->pending.items[index].generation;
    find_turn(run, &next);
    run->pending.items[index] = next;
    if (next.leaves_ns > next.arrival_ns)
        return es_hold_push(&run->hold, run->arena, next.leaves_ns, index, err);
    send_request(run, index);
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

/* Sends what is due until then, in order of time, as entry nodes need it; *out_next_ns: when more
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
            send_request(run, es_hold_pop(&run->hold));
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

static void ask_stats(es_run *run, uint32_t boundary)
{
    es_stats question = {.tag = boundary};
    uint8_t bytes[ES_STATS_SIZE];
    es_stats_encode(&question, bytes);
    for (uint32_t v = 0; v < run->node_count; v++) {
        if (run->nodes[v].dead)
            continue;
        if (es_conn_send_bytes(&run->nodes[v].conn, ES_FRAME_STATS, bytes, sizeof bytes, NULL) !=
            ES_OK)
            es_run_node_died(run, v);
        else
            es_run_watch(run, v);
    }
}

void es_run_stats_in(es_run *run, uint32_t v, const es_message *message)
{
    es_stats stats;
    es_run_node *node = &run->nodes[v];
    if (es_stats_decode(message->bytes, message->header.size, &stats, NULL) != ES_OK ||
        stats.tag >= run->boundary_count || node->busy_s == NULL)
        return; /* nothing that was asked for */
    node->busy_s[stats.tag] = (double)stats.busy_ns * 1e-9;
    if (stats.energy_sources != 0)
        node->energy_j[stats.tag] = (double)stats.energy_uj * 1e-6;
    node->energy_sources |= (uint32_t)stats.energy_sources;
    node->told++;
}

static bool stats_complete(const es_run *run)
{
    for (uint32_t v = 0; v < run->node_count; v++) {
        if (!run->nodes[v].dead && run->nodes[v].told < run->boundary_count)
            return false;
    }
    return run->boundary_next == run->boundary_count;
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

static bool touches_dead(const es_run *run, size_t routing)
{
    size_t words = (run->node_count + 63) / 64;
    const uint64_t *bits = run->touches + routing * words;
    for (uint32_t v = 0; v < run->node_count; v++) {
        if (run->nodes[v].dead && (bits[v / 64] >> (v % 64) & 1) != 0)
            return true;
    }
    return false;
}

/* Whoever has no answer now gets none: failed when a dead node may have had it. */
static void end_pending(es_run *run)
{
    for (uint32_t i = 0; i < run->pending.count; i++) {
        if (!run->pending.items[i].used)
            continue;
        es_sample sample = {.fate = touches_dead(run, run->pending.items[i].routing)
                                        ? ES_FATE_FAILED
                                        : ES_FATE_IN_FLIGHT};
        pending_end(run, i, &sample);
    }
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

es_status es_run_drive(es_run *run, es_error *err)
{
    es_clock *clock = es_clock_system();
    ES_TRY(prepare(run, err));
    run->time_0_ns = es_clock_now_ns(clock) + es_ns_from_s(run->opts.warm_up_s) + 10 * LEAD_NS;
    int64_t end_ns = run->time_0_ns + es_ns_from_s(run->duration_s);
    int64_t last_ns = end_ns + es_ns_from_s(run->opts.grace_s);
    for (;;) {
        int64_t now_ns = es_clock_now_ns(clock);
        int64_t next_ns = INT64_MAX;
        ES_TRY(send_due(run, now_ns, &next_ns, err));
        while (run->boundary_next < run->boundary_count &&
               boundary_ns(run, run->boundary_next) <= now_ns)
            ask_stats(run, run->boundary_next++);
        tell_progress(run, now_ns);
        if (now_ns >= last_ns ||
            (now_ns >= end_ns && run->pending_count == 0 && stats_complete(run)))
            break;
        if (run->boundary_next < run->boundary_count &&
            boundary_ns(run, run->boundary_next) < next_ns)
            next_ns = boundary_ns(run, run->boundary_next);
        if (now_ns + PROGRESS_NS < next_ns)
            next_ns = now_ns + PROGRESS_NS;
        ES_TRY(es_run_wait(run, next_ns, err));
    }
    end_pending(run);
    ES_TRY(run->status);
    return es_run_record_nodes(run, err);
}
