/* A node in event mode: queues by priority, several servers, batches. */
#include "simulate/events.h"

#include <assert.h>
#include <math.h>

#define SERVICE_NS_MAX 4e18
enum { BATCH_SCAN_MAX = 1024 }; /* how far back a batch looks for its like */

static double watts(const es_visit_node *node)
{
    switch (node->state) {
    case ES_NODE_ON:
    case ES_NODE_WAKING:
        return node->idle_w;
    case ES_NODE_ASLEEP:
        return node->more->sleep_w;
    case ES_NODE_DOWN:
        break;
    }
    return 0;
}

void es_node_account(es_world *world, es_visit_node *node)
{
    int64_t passed_ns = world->now_ns - node->since_ns;
    if (passed_ns <= 0)
        return;
    node->since_ns = world->now_ns;
    node->busy_ns += node->busy * passed_ns;
    if (!node->hosts)
        return;
    double joules = watts(node) * 1e-9 * (double)passed_ns;
    node->idle_j += joules;
    node->idle_g += joules * node->g_per_j;
    if (node->state != ES_NODE_DOWN)
        node->on_ns += passed_ns;
    if (node->more != NULL && node->more->has_battery)
        node->more->battery_j -= joules;
}

void es_node_refund(es_world *world, es_request *request)
{
    if (request->state != ES_REQUEST_SERVED || request->until_ns <= world->now_ns)
        return;
    const es_step *step = &world->steps[request->pc];
    double whole_ns = (double)(request->until_ns - request->since_ns);
    double unused = (double)(request->until_ns - world->now_ns) / whole_ns * request->service_j;
    request->compute_j -= unused;
    request->carbon_g = fmax(request->carbon_g - unused * world->nodes[step->place].g_per_j, 0);
    world->nodes[step->place].dynamic_j -= unused;
    world->compute_j -= unused;
}

/* ---- the queue ---- */

static void enqueue(es_world *world, es_visit_node *node, uint32_t index)
{
    es_request *request = &world->requests[index];
    uint32_t level = world->sources[request->class_id].priority;
    request->since_ns = world->now_ns;
    request->state = ES_REQUEST_WAITING;
    request->next = ES_NONE;
    request->prev = node->tail[level];
    if (node->tail[level] == ES_NONE)
        node->head[level] = index;
    else
        world->requests[node->tail[level]].next = index;
    node->tail[level] = index;
    node->waiting++;
}

static void dequeue(es_world *world, es_visit_node *node, uint32_t index)
{
    const es_request *request = &world->requests[index];
    uint32_t level = world->sources[request->class_id].priority;
    if (request->prev == ES_NONE)
        node->head[level] = request->next;
    else
        world->requests[request->prev].next = request->next;
    if (request->next == ES_NONE)
        node->tail[level] = request->prev;
    else
        world->requests[request->next].prev = request->prev;
    node->waiting--;
}

/* The first of the most urgent; node->waiting > 0. */
static uint32_t first_of(const es_visit_node *node)
{
    uint32_t level = 0;
    while (node->head[level] == ES_NONE)
        level++;
    return node->head[level];
}

/* ---- service ---- */

/* Duration and joules as factors of the table's. */
static void serve(es_world *world, es_visit_node *node, uint32_t index, double time_factor,
                  double energy_factor)
{
    es_request *request = &world->requests[index];
    const es_step *step = &world->steps[request->pc];
    request->state = ES_REQUEST_SERVED;
    request->since_ns = world->now_ns;
    request->until_ns =
        world->now_ns + (int64_t)fmin(step->amount * time_factor + 0.5, SERVICE_NS_MAX);
    request->service_j = step->energy_j * energy_factor;
    request->compute_j += request->service_j;
    request->carbon_g += step->carbon_g * energy_factor;
    node->dynamic_j += request->service_j;
    world->compute_j += request->service_j;
}

static double draw_factor(es_world *world, uint32_t index)
{
    const es_request *request = &world->requests[index];
    if (!world->steps[request->pc].draws)
        return 1;
    return es_rng_exponential(&world->sources[request->class_id].rng, 1);
}

static void occupy(es_world *world, es_visit_node *node, uint32_t index)
{
    const es_request *request = &world->requests[index];
    es_node_account(world, node);
    node->busy++;
    es_world_schedule(world, request->until_ns,
                      es_event_what(ES_EVENT_SERVED, request->stamp, index));
}

static void start_one(es_world *world, es_visit_node *node, uint32_t index)
{
    double factor = draw_factor(world, index);
    serve(world, node, index, factor, factor);
    occupy(world, node, index);
}

/* ---- nodes with more ---- */

static void hold(es_world *world, es_visit_node *node, uint32_t index)
{
    es_request *request = &world->requests[index];
    request->prev = ES_NONE;
    request->next = node->more->serving;
    if (request->next != ES_NONE)
        world->requests[request->next].prev = index;
    node->more->serving = index;
}

static void release(es_world *world, es_visit_node *node, uint32_t index)
{
    const es_request *request = &world->requests[index];
    if (request->prev == ES_NONE)
        node->more->serving = request->next;
    else
        world->requests[request->prev].next = request->next;
    if (request->next != ES_NONE)
        world->requests[request->next].prev = request->prev;
}

/* How many behind the first, itself included, run the same model: at most `most`. */
static uint32_t count_like(const es_world *world, uint32_t first, uint32_t most)
{
    uint32_t model = world->steps[world->requests[first].pc].model;
    uint32_t count = 0;
    uint32_t scanned = 0;
    for (uint32_t i = first; i != ES_NONE && count < most && scanned < BATCH_SCAN_MAX;
         i = world->requests[i].next, scanned++)
        count += world->steps[world->requests[i].pc].model == model;
    return count;
}

/* Takes `count` of the same model, chained by mate; the first leads. */
static void start_batch(es_world *world, es_visit_node *node, uint32_t first, uint32_t count)
{
    uint32_t model = world->steps[world->requests[first].pc].model;
    double growth = 1 + (count - 1) * node->more->batch_growth;
    double factor = draw_factor(world, first) * growth;
    uint32_t last = ES_NONE;
    double joules = 0;
    for (uint32_t i = first, left = count; left > 0;) {
        uint32_t next = world->requests[i].next;
        if (world->steps[world->requests[i].pc].model == model) {
            dequeue(world, node, i);
            serve(world, node, i, factor, factor / count);
            world->requests[i].until_ns = world->requests[first].until_ns;
            world->requests[i].mate = ES_NONE;
            joules += world->requests[i].service_j;
            if (last != ES_NONE)
                world->requests[last].mate = i;
            last = i;
            left--;
        }
        i = next;
    }
    occupy(world, node, first);
    hold(world, node, first);
    node->more->sleep_stamp++;
    if (node->more->has_battery)
        es_node_drain(world, (uint32_t)(node - world->nodes), joules);
}

/* Those whose deadline passed while they waited. */
static bool drop_first_late(es_world *world, es_visit_node *node, uint32_t first)
{
    const es_request *request = &world->requests[first];
    int64_t deadline_ns = world->sources[request->class_id].deadline_ns;
    if (!node->more->drop_late || world->now_ns - request->arrived_ns <= deadline_ns)
        return false;
    dequeue(world, node, first);
    es_world_end(world, first, ES_END_LOST);
    return true;
}

void es_node_start_all(es_world *world, uint32_t v)
{
    es_visit_node *node = &world->nodes[v];
    es_node_more *more = node->more;
    while (node->state == ES_NODE_ON && node->waiting > 0 && node->busy < node->servers) {
        uint32_t first = first_of(node);
        if (drop_first_late(world, node, first))
            continue;
        uint32_t count = count_like(world, first, more->batch_max);
        int64_t due_ns = world->requests[first].since_ns + more->batch_wait_ns;
        if (count < more->batch_max && due_ns > world->now_ns) {
            if (more->batch_event_ns != due_ns)
                es_world_schedule(world, due_ns, es_event_what(ES_EVENT_BATCH, 0, v));
            more->batch_event_ns = due_ns;
            return;
        }
        start_batch(world, node, first, count);
    }
    if (node->state == ES_NODE_ON && node->busy == 0 && node->waiting == 0)
        es_node_idle(world, v);
}

/* A late one that is dropped leaves its place, hence the order of the tests. */
static void enter_more(es_world *world, uint32_t v, uint32_t index)
{
    es_visit_node *node = &world->nodes[v];
    if (node->state == ES_NODE_DOWN) {
        es_world_end(world, index, ES_END_LOST);
        return;
    }
    bool starts = node->state == ES_NODE_ON && node->busy < node->servers;
    if (node->waiting >= node->waiting_max && !(starts && node->waiting == 0)) {
        es_world_end(world, index, ES_END_REFUSED);
        return;
    }
    enqueue(world, node, index);
    if (node->state == ES_NODE_ASLEEP)
        es_node_wake(world, v);
    else if (starts)
        es_node_start_all(world, v);
}

static void served_more(es_world *world, uint32_t v, uint32_t index)
{
    release(world, &world->nodes[v], index);
    world->nodes[v].busy--;
    es_node_start_all(world, v);
    for (uint32_t i = index; i != ES_NONE;) {
        uint32_t next = world->requests[i].mate;
        world->requests[i].mate = ES_NONE;
        world->requests[i].state = ES_REQUEST_FLYING;
        es_world_move_on(world, i);
        i = next;
    }
}

/* ---- what the loop calls ---- */

void es_node_enter(es_world *world, uint32_t v, uint32_t index)
{
    es_visit_node *node = &world->nodes[v];
    if (node->more != NULL)
        enter_more(world, v, index);
    else if (node->busy < node->servers)
        start_one(world, node, index);
    else if (node->waiting < node->waiting_max)
        enqueue(world, node, index);
    else
        es_world_end(world, index, ES_END_REFUSED);
}

void es_node_served(es_world *world, uint32_t index)
{
    uint32_t v = world->steps[world->requests[index].pc].place;
    es_visit_node *node = &world->nodes[v];
    assert(node->busy > 0);
    es_node_account(world, node);
    if (node->more != NULL) {
        served_more(world, v, index);
        return;
    }
    node->busy--;
    if (node->waiting > 0) {
        uint32_t next = first_of(node);
        dequeue(world, node, next);
        start_one(world, node, next);
    }
    world->requests[index].state = ES_REQUEST_FLYING;
    es_world_move_on(world, index);
}
