/*
 * simulate/events: the discrete-event engine of event mode, over compiled tables (README.md).
 *
 * A request walks through steps: visit a node (queue, service), cross a link (shared bandwidth,
 * then latency), end. Time is int64 nanoseconds; ties are broken by kind, then by number.
 * Everything lives in pools of an arena; nothing is allocated per event once the pools have grown.
 * Threads: one owner per world.
 */
#ifndef ES_SIMULATE_EVENTS_H
#define ES_SIMULATE_EVENTS_H

#include "base/arena.h"
#include "base/rng.h"
#include "demand/demand.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- event_queue.c: a heap of four children per item ---- */

/* what: kind (8 bits), stamp (24), number (32). */
typedef struct es_event {
    int64_t when_ns;
    uint64_t what;
} es_event;

typedef struct es_event_queue {
    es_arena *arena;
    es_event *items;
    size_t count, capacity;
    bool full; /* the arena had no room: an event was lost, and the run must stop */
} es_event_queue;

/* ES_ERR_NOMEM. */
es_status es_event_queue_init(es_arena *arena, size_t capacity, es_event_queue *queue,
                              es_error *err) ES_MUST_CHECK;
/* O(log n). */
void es_event_queue_push(es_event_queue *queue, es_event event);
/* The earliest; of equal times the smallest `what`. False when empty. O(log n). */
bool es_event_queue_pop(es_event_queue *queue, es_event *out_event);

/* Kinds in the order in which they happen at one instant: what ends comes before what begins. */
typedef enum es_event_kind {
    ES_EVENT_CARBON,  /* number: 0 */
    ES_EVENT_REPAIR,  /* node */
    ES_EVENT_LINK_UP, /* link */
    ES_EVENT_SERVED,  /* request: its service ends */
    ES_EVENT_CROSSED, /* link direction: the next transfer may be through */
    ES_EVENT_DELIVER, /* request: latency is over */
    ES_EVENT_AWAKE,   /* node */
    ES_EVENT_BATCH,   /* node: the oldest has waited long enough */
    ES_EVENT_DRAINED, /* node: the battery may be empty */
    ES_EVENT_SLEEP,   /* node */
    ES_EVENT_FAIL,    /* node */
    ES_EVENT_LINK_DOWN,
    ES_EVENT_MOVE,   /* class: one of its devices moves */
    ES_EVENT_ARRIVE, /* class */
    ES_EVENT_SLOT,   /* slot that ends */
    ES_EVENT_KIND_COUNT
} es_event_kind;

static inline uint64_t es_event_what(es_event_kind kind, uint32_t stamp, uint32_t number)
{
    return (uint64_t)kind << 56 | (uint64_t)(stamp & 0xffffffU) << 32 | number;
}

#define ES_NONE UINT32_MAX
enum { ES_PRIORITY_COUNT = 4 };

/* ---- the tables ---- */

typedef enum es_step_kind { ES_STEP_VISIT, ES_STEP_CROSS, ES_STEP_END } es_step_kind;

typedef struct es_step {
    uint8_t kind;
    uint8_t stage;      /* visits: number of the stage, from 0 */
    bool draws;         /* visits: service time is exponential */
    uint32_t place;     /* node, or link direction */
    uint32_t model;     /* visits: what may be batched together */
    uint32_t exit_step; /* visits: where to go on when the request leaves after this one */
    uint32_t from, to;  /* ends of the whole way, whose grids a crossing counts with */
    double amount;      /* nanoseconds of service; bits */
    double energy_j;
    double carbon_g; /* at the grid of now */
    double go_on;    /* probability that a visit is followed by the next step */
} es_step;

typedef struct es_route_way {
    uint32_t first_step;
    uint32_t class_id, pipeline;
    uint32_t home_step; /* first of the steps that bring the answer home; ES_NONE */
    double upto;        /* share of the class that takes this way or one before */
    double quality;
    uint32_t step_count;
} es_route_way;

typedef enum es_node_state {
    ES_NODE_ON,
    ES_NODE_ASLEEP,
    ES_NODE_WAKING,
    ES_NODE_DOWN
} es_node_state;

/* What few nodes have. */
typedef struct es_node_more {
    uint32_t batch_max;     /* 1: no batches */
    int64_t batch_wait_ns;  /* how long a first request waits for company */
    double batch_growth;    /* a batch of b takes 1 + (b - 1) * growth times as long */
    int64_t batch_event_ns; /* of the pending ES_EVENT_BATCH */
    bool drop_late;         /* what is late when its turn comes is lost */
    double up_s, repair_s;  /* means; up_s 0: never fails */
    bool has_battery;
    double battery_j;
    int64_t sleep_after_ns; /* -1: never */
    double sleep_w;
    int64_t wake_ns;
    uint32_t sleep_stamp, battery_stamp;
    uint32_t serving;    /* first request in service */
    double loaded_bytes; /* of the hosted models, loaded again after a repair */
    es_rng rng;
} es_node_more;

typedef struct es_visit_node {
    uint32_t servers, busy;
    uint32_t waiting, waiting_max;
    uint32_t head[ES_PRIORITY_COUNT], tail[ES_PRIORITY_COUNT];
    es_node_state state;
    bool hosts;         /* draws power even when idle */
    es_node_more *more; /* NULL: plain */
    int64_t since_ns;   /* busy_ns and power are accounted up to here */
    int64_t busy_ns;    /* of this slot, over servers */
    double dynamic_j;   /* of this slot */
    double idle_j, idle_g;
    double idle_w;
    double g_per_j;
    double loaded_bytes; /* of this slot */
    int64_t on_ns;
    bool died;
} es_visit_node;

/* One direction of a link: everybody on it gets the same share of the bandwidth. */
typedef struct es_lane {
    double bits_per_ns;
    double level; /* bits that each of those on it all along has got: virtual time */
    int64_t since_ns, next_ns;
    int64_t latency_ns;
    uint32_t count, capacity;
    struct es_lane_item *items; /* heap by level at which it is through */
    uint64_t order;             /* of the next that comes */
    uint32_t sender;            /* node whose battery pays */
    bool down;
} es_lane;

typedef struct es_lane_item {
    double level;
    uint64_t order; /* ties: first come */
    uint32_t request;
} es_lane_item;

typedef struct es_link_more {
    double up_s, repair_s;
    uint32_t lanes[2]; /* ES_NONE: none */
    es_rng rng;
} es_link_more;

/* A population of devices that enters at one place. */
typedef struct es_device {
    uint32_t place; /* class through which it now enters */
    bool dead;
    double spent_j;
} es_device;

typedef struct es_source {
    es_arrival_stream stream;
    es_rng rng; /* ways, exits and service times */
    uint32_t node;
    uint32_t first_way, way_count;
    uint32_t priority;
    int64_t deadline_ns; /* INT64_MAX: none */
    /* devices */
    uint32_t first_device, device_count; /* those that start here */
    double device_battery_j, device_idle_w, device_request_j;
    double move_rate;                /* moves of one device per second */
    uint32_t first_peer, peer_count; /* classes of the same task: where devices may go */
    es_rng device_rng;
} es_source;

typedef enum es_request_state {
    ES_REQUEST_FREE,
    ES_REQUEST_WAITING,
    ES_REQUEST_SERVED,
    ES_REQUEST_CROSSING,
    ES_REQUEST_FLYING
} es_request_state;

typedef struct es_request {
    int64_t arrived_ns, since_ns, until_ns; /* of the wait or service */
    double compute_j, network_j, carbon_g;
    double service_j; /* of the service under way */
    uint32_t pc;      /* step */
    uint32_t way;
    uint32_t next, prev; /* of the list it is in */
    uint32_t mate;       /* next of its batch */
    uint32_t stamp;
    uint32_t class_id; /* it entered by */
    uint32_t device;   /* ES_NONE: none */
    uint8_t state;
    uint8_t stages_run;
    bool homing; /* goes to where its device moved */
} es_request;

/* How a request ended. */
typedef enum es_end { ES_END_SERVED, ES_END_REFUSED, ES_END_LOST, ES_END_IN_FLIGHT } es_end;

typedef struct es_world es_world;

/* Who hears what happens; any member may be NULL. A false answer stops the run. */
typedef struct es_listener {
    void *context;
    bool (*arrived)(void *context, int64_t now_ns, uint32_t class_id);
    bool (*ended)(void *context, const es_world *world, const es_request *request, es_end end,
                  int64_t now_ns);
    bool (*slot_ended)(void *context, es_world *world, uint32_t slot, int64_t now_ns);
} es_listener;

typedef struct es_intensity {
    const es_series *series; /* NULL: constant */
    size_t at;
} es_intensity;

struct es_world {
    es_arena *arena;
    int64_t now_ns, end_ns;
    int64_t last_ns; /* of the last event that moved a request */
    int64_t slot_ns;
    uint32_t slot_count;
    bool drain; /* arrivals stop at end_ns, the run when nothing is left */
    es_event_queue queue;
    uint64_t event_count;

    uint32_t node_count, lane_count, link_count, step_count, way_count, source_count;
    es_visit_node *nodes;
    es_lane *lanes;
    es_link_more *links; /* [link_count] */
    es_step *steps;
    es_route_way *ways;
    es_source *sources;
    const uint32_t *peers;
    const uint32_t *handover; /* [class][class]: first step between access nodes; or NULL */
    es_device *devices;
    uint32_t device_count;
    double *refused;           /* share per class */
    es_intensity *intensities; /* [node_count], or NULL */

    es_request *requests;
    uint32_t request_count, request_capacity, request_max, request_free, request_live;

    double compute_j, network_j; /* spent so far, by whoever spent it */
    uint32_t down_count;         /* nodes and lanes that are down */
    es_listener listener;
    const char *failure; /* why the run stopped, NULL: it did not */
};

/* ---- event_build.c ---- */

typedef struct es_world_size {
    uint32_t nodes, lanes, links, steps, ways, sources, devices;
} es_world_size;

/* Tables of that size: nodes of one server that never refuse, lanes without latency, nothing
 * drawn. run_s > 0. ES_ERR_NOMEM. */
es_status es_world_init(es_arena *arena, es_world *world, es_world_size size, double run_s,
                        uint32_t slot_count, es_error *err) ES_MUST_CHECK;

/* ---- event_run.c ---- */

/* Arrivals, slots and failures from time 0 until end_ns, then what is left is in flight. Errors:
 * ES_ERR_NOMEM, ES_ERR_LIMIT (more than request_max requests under way), ES_ERR_INTERNAL (the
 * listener said no). */
es_status es_world_run(es_world *world, es_error *err) ES_MUST_CHECK;

/* The request goes on at its step: enters a node or a link, or ends. */
void es_world_advance(es_world *world, uint32_t request);
void es_world_end(es_world *world, uint32_t request, es_end end);
void es_world_move_on(es_world *world, uint32_t request); /* after a visit or a crossing */

static inline void es_world_schedule(es_world *world, int64_t when_ns, uint64_t what)
{
    es_event_queue_push(&world->queue, (es_event){.when_ns = when_ns, .what = what});
}

/* ---- event_node.c ---- */

void es_node_enter(es_world *world, uint32_t node, uint32_t request);
void es_node_served(es_world *world, uint32_t request);
void es_node_start_all(es_world *world, uint32_t node);     /* as many as may start */
void es_node_account(es_world *world, es_visit_node *node); /* busy time and power up to now */
void es_node_refund(es_world *world, es_request *request);  /* joules of a service cut short */

/* ---- event_life.c: failures, batteries, sleep ---- */

void es_node_life_start(es_world *world, uint32_t node);
void es_node_fail(es_world *world, uint32_t node, bool for_good);
void es_node_repair(es_world *world, uint32_t node);
void es_node_idle(es_world *world, uint32_t node); /* nothing to do any more: may fall asleep */
void es_node_sleep(es_world *world, uint32_t node, uint32_t stamp);
void es_node_wake(es_world *world, uint32_t node);
void es_node_awake(es_world *world, uint32_t node, uint32_t stamp);
void es_node_drain(es_world *world, uint32_t node, double joules); /* may end in its death */
void es_node_drained(es_world *world, uint32_t node, uint32_t stamp);
void es_link_life_start(es_world *world, uint32_t link);
void es_link_fail(es_world *world, uint32_t link);
void es_link_repair(es_world *world, uint32_t link);

/* ---- event_link.c ---- */

void es_lane_enter(es_world *world, uint32_t lane, uint32_t request);
void es_lane_check(es_world *world, uint32_t lane);
void es_lane_fail_all(es_world *world, uint32_t lane);

/* ---- event_devices.c: populations, and what changes with the clock ---- */

/* The device that asks now; false when it is dead. out_source: the class it enters by. */
bool es_device_pick(es_world *world, uint32_t source, uint32_t *out_device, uint32_t *out_source);
void es_device_move(es_world *world, uint32_t source);
int64_t es_device_next_move_ns(es_world *world, uint32_t source);
void es_carbon_change(es_world *world);
int64_t es_carbon_next_ns(const es_world *world);

#endif
