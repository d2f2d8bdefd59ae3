/*
 * gateway, private to gateway: what the files of the gateway share.
 *
 * A request: handler (infer.c) -> copies to nodes, one after the other or side by side
 * (flow.c) -> one answer; all on the loop that it came in on. New routes: read, checked,
 * kept and laid out by one thread aside, the clerk (clerk.c), then adopted on each loop
 * between two requests: no request waits, none is lost, and those under way end on what they began
 * with. Counts are written by one loop each and read by anybody.
 */
#ifndef ES_GATEWAY_INTERNAL_H
#define ES_GATEWAY_INTERNAL_H

#include "base/clock.h"
#include "base/queue.h"
#include "gateway.h"
#include "http/http.h"
#include "meter/meter.h"
#include "route/route.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct es_gateway_loop es_gateway_loop;
typedef struct es_gateway_view es_gateway_view;
typedef struct es_gateway_request es_gateway_request;

/* ---- counts.c ---- */

/* Each accepted request ends as exactly one of these. */
typedef enum es_gateway_outcome {
    ES_GATEWAY_ANSWERED,
    ES_GATEWAY_PARTIAL, /* answered with the best that there was */
    ES_GATEWAY_REFUSED, /* by the plan, or since its wishes cannot be met */
    ES_GATEWAY_WRONG,   /* a node says that the request is (4xx) */
    ES_GATEWAY_FAILED,
    ES_GATEWAY_OUTCOME_COUNT
} es_gateway_outcome;

extern const char *const es_gateway_outcome_names[ES_GATEWAY_OUTCOME_COUNT];

/* Latency from 16 us up, four buckets per octave: bucket b ends at es_gateway_bucket_s(b); the last
 * one takes the rest. */
enum { ES_GATEWAY_BUCKETS = 96 };
double es_gateway_bucket_s(uint32_t bucket);
uint32_t es_gateway_bucket_of(int64_t latency_ns);

typedef struct es_gateway_class_counts {
    const char *task, *entry;
    _Atomic uint64_t arrived, outcomes[ES_GATEWAY_OUTCOME_COUNT];
    _Atomic uint64_t retried, hedged, unmet;
    _Atomic uint64_t buckets[ES_GATEWAY_BUCKETS]; /* of answered and partial */
    _Atomic int64_t latency_ns;                   /* their sum */
} es_gateway_class_counts;

/* Answers of a task that left at a model on a node, after so many stages. */
typedef struct es_gateway_series {
    const char *task, *model, *node;
    uint32_t exit;
    _Atomic uint64_t answered, partial;
} es_gateway_series;

/* What is counted on one loop, for as long as the gateway lives. The clerk adds to it. */
typedef struct es_gateway_registry {
    es_arena *arena;
    size_t class_count, class_room;
    es_gateway_class_counts **classes;
    size_t series_count, series_room;
    es_gateway_series **series;
    uint32_t *class_slots, *series_slots; /* 1 + index; twice the room, a power of two */
    _Atomic double joules[ES_METER_SOURCE_COUNT + 1]; /* of answers, by source; last: others */
    _Atomic double grams;
    _Atomic uint64_t stray; /* requests for tasks that are not known, or that cannot be read */
    _Atomic uint64_t decisions;
    _Atomic int64_t decision_ns; /* their sum */
} es_gateway_registry;

es_status es_gateway_registry_init(es_gateway_registry *registry, es_error *err) ES_MUST_CHECK;
void es_gateway_registry_done(es_gateway_registry *registry);
/* Found or added; never moves. */
es_status es_gateway_registry_class(es_gateway_registry *registry, const char *task,
                                    const char *entry, es_gateway_class_counts **out,
                                    es_error *err) ES_MUST_CHECK;
es_status es_gateway_registry_series(es_gateway_registry *registry, const es_gateway_series *wanted,
                                     es_gateway_series **out, es_error *err) ES_MUST_CHECK;

/* Each is written by one loop only, so reading and writing need not be one step. */
#define ES_GATEWAY_ADD(place, more)                                                                \
    atomic_store_explicit((place), atomic_load_explicit((place), memory_order_relaxed) + (more),   \
                          memory_order_relaxed)
static inline void es_gateway_count(_Atomic uint64_t *count)
{
    ES_GATEWAY_ADD(count, 1);
}
/* For any thread. */
static inline uint64_t es_gateway_read(const _Atomic uint64_t *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

/* ---- view.c: routes as one loop follows them ---- */

/* Of all loops: sealed, counted. */
typedef struct es_gateway_routes {
    _Atomic uint32_t refs;
    es_serve_table *table;
    es_http_peer **peers;      /* [peer_count of the routes] */
    es_hop_link *links;        /* [peer_count] */
    size_t link_count;         /* made so far */
    const char **task_headers; /* [class]: the value of Estran-Task */
    const char **option_paths; /* [option]: where its first stage is asked */
    es_arena *arena;           /* of the texts */
} es_gateway_routes;

struct es_gateway_view {
    es_gateway_loop *loop;
    es_gateway_routes *routes;
    es_chooser *chooser;
    es_gateway_class_counts **counts; /* [class] */
    es_gateway_series **series;       /* [stage of any option], as table.first_stage counts */
    _Atomic uint64_t *taken;          /* [option] requests that began with it */
    _Atomic uint64_t under_way;       /* requests */
    bool retired;                     /* another one is followed */
    es_gateway_view *next;            /* of the loop's retired ones */
};

/* before: what is followed now, NULL: nothing. */
es_status es_gateway_routes_new(es_gateway *gateway, es_serve_table *table,
                                const es_gateway_routes *before, es_gateway_routes **out_routes,
                                es_error *err) ES_MUST_CHECK;
void es_gateway_routes_unref(es_gateway_routes *routes);
es_status es_gateway_view_new(es_gateway_loop *loop, es_gateway_routes *routes,
                              const es_gateway_view *before, es_gateway_view **out_view,
                              es_error *err) ES_MUST_CHECK;
void es_gateway_view_free(es_gateway_view *view);
/* On the loop: follows view from now on. What was followed before is given back when no request
 * holds it any more, for another thread to free: that takes a while. Else NULL. */
es_gateway_view *es_gateway_view_adopt(es_gateway_loop *loop, es_gateway_view *view);
/* On the loop: one request less; a retired view goes to the clerk with its last. */
void es_gateway_view_leave(es_gateway_view *view);

/* ---- loops ---- */

struct es_gateway_loop {
    es_gateway *gateway;
    uint32_t number;
    es_gateway_registry registry;
    _Atomic(es_gateway_view *) view; /* changed on the loop only; NULL: no routes yet */
    pthread_mutex_t lock;            /* guards retired, and views of others that are looked at */
    es_gateway_view *retired;
    es_serve_budget retries, hedges;
    es_gateway_request *free_requests;
    size_t free_count;
};

struct es_gateway {
    es_gateway_opts opts;
    es_clock *clock;
    int64_t start_ns, start_wall_s;
    es_http_server *http;
    es_http_caller *caller;
    es_gateway_loop *loops; /* [opts.loop_count] */
    es_request_log *log;    /* NULL: none */
    bool stopped;
    struct es_gateway_clerk *clerk;
    bool unkept; /* the routes followed are not on the disk; the clerk's, who tells it too */
};

/* ---- clerk.c ---- */

/* Starts the clerk; follows opts.routes_file when it is there. */
es_status es_gateway_clerk_start(es_gateway *gateway, es_error *err) ES_MUST_CHECK;
void es_gateway_clerk_stop(es_gateway *gateway);
/* Frees a view that nobody follows, aside where the clerk has room for it. */
void es_gateway_clerk_free(es_gateway *gateway, es_gateway_view *view);

/* ---- ask.c: what a request asks for ---- */

typedef struct es_gateway_ask {
    es_serve_wish wish;
    const char *entry;  /* NULL: not said */
    int64_t timeout_us; /* 0: not said */
} es_gateway_ask;

/* Finds the value of the key "parameters" of the object json[size] without reading the rest; false
 * when there is none, or the text is no object. O(size), no memory. */
bool es_gateway_find_params(const char *json, size_t size, const char **out, size_t *out_size);

/* json NULL: nothing is asked for. ES_ERR_PARSE names the parameter. */
es_status es_gateway_ask_read(es_arena *arena, const char *json, size_t size, es_gateway_ask *out,
                              es_error *err) ES_MUST_CHECK;

/* ---- infer.c, flow.c ---- */

enum { ES_GATEWAY_COPIES_MAX = 4 };

typedef struct es_gateway_copy {
    es_gateway_request *request;
    uint32_t option;
    uint32_t unmet; /* wishes that it does not meet */
    es_http_call_id id;
    int64_t sent_ns;
    bool under_way;
} es_gateway_copy;

struct es_gateway_request {
    es_gateway_loop *loop;
    es_gateway_request *next_free;
    es_arena *arena; /* reset between requests */
    es_http_request *http;
    es_gateway_view *view;
    uint32_t class_index;
    es_gateway_ask ask;
    int64_t start_ns, deadline_ns;
    const es_serve_visit *visits; /* of the answer, in the arena; visit_count 0: not told */
    uint32_t visit_count;
    const char *json_size, *content_type, *traceparent, *tracestate, *load_format; /* or NULL */
    const void *body;
    size_t body_bytes;
    size_t copy_count, under_way;
    es_gateway_copy copies[ES_GATEWAY_COPIES_MAX];
    es_http_timer hedge;
    es_http_timer arrival; /* emulated: the answer is on its way */
    int64_t due_ns;        /* and here then; 0: it is */
    es_hop_reply reply;    /* the answer, once there is one */
    uint32_t unmet;        /* of the option that answered */
    es_error failure;      /* why the latest copy failed */
    int failure_status;
};

void es_gateway_infer(void *context, es_http_request *request); /* handler */
/* Sends the first copy. */
void es_gateway_flow_start(es_gateway_request *request, es_serve_choice choice);
/* The request has been answered: gives everything back. */
void es_gateway_request_end(es_gateway_request *request, es_gateway_outcome outcome);
void es_gateway_requests_free(es_gateway_loop *loop);
/* "latency, accuracy": the wishes of bits. */
const char *es_gateway_unmet_text(uint32_t bits, char *out, size_t size);

/* ---- tell.c: handlers that answer at once, on the loop ---- */
void es_gateway_metadata(void *context, es_http_request *request);
void es_gateway_live(void *context, es_http_request *request);
void es_gateway_ready(void *context, es_http_request *request);
void es_gateway_task_metadata(void *context, es_http_request *request);
void es_gateway_task_ready(void *context, es_http_request *request);

/* ---- clerk.c: handlers whose work is done aside, by the clerk's thread ---- */
void es_gateway_routes_put(void *context, es_http_request *request);
void es_gateway_routes_get(void *context, es_http_request *request);
void es_gateway_task_list(void *context, es_http_request *request);
void es_gateway_observe(void *context, es_http_request *request);
void es_gateway_metrics(void *context, es_http_request *request);
void es_gateway_page(void *context, es_http_request *request);

/* What the clerk has them write; observe.c, metrics.c, page.c. */
void es_gateway_observe_write(es_gateway *gateway, es_text *out);
void es_gateway_metrics_write(es_gateway *gateway, es_text *out);
void es_gateway_page_write(es_gateway *gateway, es_text *out);

/* The views that loops follow, until es_gateway_views_release: no view comes or goes meanwhile.
 * [loop_count]; NULL: no routes yet. */
void es_gateway_views_hold(es_gateway *gateway, const es_gateway_view **out_views);
void es_gateway_views_release(es_gateway *gateway);

#endif
