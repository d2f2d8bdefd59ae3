/*
 * scenario: what is given. Composes network, catalogue, demand, objective and constraints.
 *
 * Reads YAML or JSON (docs/reference/scenario.md), checks everything, seals; read-only after.
 * Units inside: seconds (_s), bytes, bits per second (_bps), joules (_j), watts (_w), grams of
 * CO2e (_gco2e); qualities and probabilities are 0..1. Keys in the file carry their unit.
 * Threads: a sealed scenario may be read by any number of threads.
 * Errors: ES_ERR_PARSE with file:line:column; ES_ERR_IO; ES_ERR_NOMEM.
 */
#ifndef ES_SCENARIO_SCENARIO_H
#define ES_SCENARIO_SCENARIO_H

#include "base/arena.h"
#include "demand/demand.h"
#include "network/network.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct es_task_id {
    uint32_t index;
} es_task_id;
typedef struct es_segment_id {
    uint32_t index;
} es_segment_id;
typedef struct es_pipeline_id {
    uint32_t index;
} es_pipeline_id;
typedef struct es_class_id {
    uint32_t index;
} es_class_id;
#define ES_INDEX_NONE UINT32_MAX

/* What a user wants inferred. */
typedef struct es_task {
    const char *name;
    double input_bytes;       /* shipped into stage 1 */
    double output_bytes;      /* shipped back to the entry node */
    double deadline_s;        /* INFINITY: none */
    double quality_min;       /* least average quality of a class; 0: none */
    double quality_min_each;  /* least quality of every request; 0: none */
    const char *samples_file; /* requests to send in a run: records of input_bytes, back to back;
                                 NULL: drawn by the seed */
    const char *labels_file;  /* the right answer of each record, one byte: the index of the class;
                                 NULL: the quality of answers is not checked */
} es_task;

/* A contiguous part of a variant that can run alone on a node; the unit of hosting. */
typedef struct es_segment {
    const char *name;
    const char *variant;  /* the model in one form it belongs to; the name when alone */
    const char *file;     /* ONNX file, resolved against the scenario's folder; NULL: none */
    double memory_bytes;  /* on the node that hosts it */
    double output_bytes;  /* shipped into the next stage of a split */
    double work_macs;     /* 0: unknown */
    double hosting_per_s; /* objective per second while hosted */
} es_segment;

/* Hardware kind: a row of the service table. */
typedef struct es_kind {
    const char *name;
    double macs_per_s; /* 0: unknown */
    double slowdown; /* >= 1: this kind is the host of `estran run`, so many times slower; 0: no */
    double server_w; /* above idle, of one busy processor: energy where none was measured */
} es_kind;

/* Time and dynamic energy of one segment on one kind. */
typedef struct es_service {
    double time_s;   /* INFINITY: cannot run there */
    double energy_j; /* above idle, per inference */
} es_service;

typedef enum es_stage_input {
    ES_STAGE_INPUT_PREVIOUS, /* the previous segment's output: a split */
    ES_STAGE_INPUT_REQUEST,  /* the request again: a cascade */
    ES_STAGE_INPUT_COUNT
} es_stage_input;

typedef struct es_stage {
    es_segment_id segment;
    double reach;       /* probability that a request reaches this stage; 1 for the first */
    double input_bytes; /* shipped into it when it runs elsewhere than the stage before */
    es_stage_input input;
    double exit_threshold; /* the request leaves after this stage when the largest class
                              probability of its answer is at least this; 2: never leaves early */
    uint32_t exit_output;  /* which output of the segment is the answer */
} es_stage;

enum { ES_STAGE_COUNT_MAX = 8 };

/* A sequence of stages; what a request may be served by. */
typedef struct es_pipeline {
    const char *name;
    es_task_id task;
    double quality; /* expected over all its exits */
    uint32_t stage_count;
    const es_stage *stages;
} es_pipeline;

/* Small devices behind a class: its requests are theirs, each device as likely (event mode). */
typedef struct es_devices {
    uint32_t count;    /* 0: none */
    double battery_j;  /* of each; INFINITY: mains */
    double idle_w;     /* drawn from it all the time */
    double request_j;  /* to sense and send one request */
    double move_per_s; /* moves of one device to another node of the demand entry */
} es_devices;

enum { ES_PRIORITIES = 4 };

/* Requests of one task entering at one node. */
typedef struct es_class {
    es_task_id task;
    es_node_id node;
    es_arrivals arrivals;
    double deadline_s;       /* the task's unless the class has its own */
    double quality_min;      /* on average */
    double quality_min_each; /* of every request: pipelines below it do not exist */
    uint32_t priority;       /* 0 is served first, below ES_PRIORITIES (event mode) */
    es_devices devices;
} es_class;

/* What event mode knows of a node beyond the plan (key `events`). */
typedef struct es_node_events {
    bool exponential;     /* service times are, with the table's as mean */
    uint32_t queue_max;   /* requests that may wait; UINT32_MAX: no limit */
    bool drop_late;       /* what is past its deadline when its turn comes is not served */
    uint32_t batch_max;   /* >= 1: requests of one segment served together */
    double batch_wait_s;  /* how long the first waits for others */
    double batch_growth;  /* 0..1: b together take 1 + (b - 1) * growth times as long as one */
    double up_s;          /* mean time to failure; 0: never fails */
    double repair_s;      /* mean */
    double battery_j;     /* INFINITY: mains */
    double sleep_after_s; /* idle for so long: asleep; INFINITY: never */
    double sleep_w;
    double wake_s;
    const es_series *carbon; /* grams per kWh as time goes; NULL: the node's constant */
} es_node_events;

typedef struct es_link_events {
    double up_s; /* 0: never fails */
    double repair_s;
} es_link_events;

/* Weights of cost = latency + quality + energy + carbon (ARCHITECTURE §3), per request. */
typedef struct es_objective {
    double latency_per_s;
    double quality; /* times (1 - quality) */
    double energy_per_j;
    double carbon_per_g;
    double idle_per_j;   /* objective per joule of a node that hosts anything, at idle power */
    double refusal_cost; /* per refused request; INFINITY: refusing is not allowed */
} es_objective;

typedef struct es_scenario {
    const char *file;
    const char *name;
    const char *description;
    uint64_t seed;
    double slot_s;       /* > 0 */
    uint32_t slot_count; /* >= 1 */
    const es_network *network;
    es_routes *routes; /* all pairs, computed: calls only read */
    uint32_t kind_count;
    const es_kind *kinds;
    const uint32_t *node_kinds; /* per node, an index into kinds */
    uint32_t task_count;
    const es_task *tasks;
    uint32_t segment_count;
    const es_segment *segments;
    const es_service *services; /* [kind][segment] */
    uint32_t pipeline_count;
    const es_pipeline *pipelines;   /* grouped by task in order of tasks */
    const uint32_t *task_pipelines; /* [task_count + 1]: the pipelines of task t are
                                       task_pipelines[t] .. task_pipelines[t + 1] - 1 */
    uint32_t class_count;
    const es_class *classes;
    es_objective objective;
    uint32_t replicas_min; /* >= 1: hosts per segment in use, so that replicas_min - 1 may fail */
    bool unsplittable;     /* each class takes one path as a whole, or is refused as a whole */
    uint32_t hosts_max;    /* hosted (node, segment) pairs at most; 0: no limit */
    double energy_w_max;   /* dynamic, network and idle joules per second; 0: no limit */
    double carbon_g_per_s_max;         /* of the same joules; 0: no limit */
    const es_node_events *node_events; /* [node]; NULL: none has any */
    const es_link_events *link_events; /* [link]; NULL: none has any */
    /* Grams per kWh of each node in prices and plans, means of the series over the window; NULL: no
     * node has a series, all have their constants. Set by es_scenario_carbon_over. */
    const double *carbon_gco2e_per_kwh;
    double carbon_from_s, carbon_to_s; /* the window; after reading, all slots */
} es_scenario;

/* A node on the mains that never fails, sleeps, batches or turns away. */
es_node_events es_node_events_default(void);

/* Reads, checks and seals. The scenario lives in the arena. */
es_status es_scenario_load(es_arena *arena, const char *path, const es_scenario **out_scenario,
                           es_error *err) ES_MUST_CHECK;

/* The same from bytes (YAML, or JSON when json); name stands for the file, folder resolves model
 * files (NULL: the working folder). */
es_status es_scenario_parse(es_arena *arena, const char *name, const char *folder,
                            const char *bytes, size_t size, bool json,
                            const es_scenario **out_scenario, es_error *err) ES_MUST_CHECK;

/* Time and energy of segment on node's kind. O(1). */
es_service es_scenario_service(const es_scenario *scenario, es_segment_id segment, es_node_id node);

/* A copy in arena in which the host's service times are replaced: host_time_s[segment_count], in
 * seconds; NAN leaves a segment as it is. Kinds with a slowdown get slowdown times the value, and
 * energy from their watts. Everything else is shared with the original, which must outlive it. */
es_status es_scenario_with_host_times(es_arena *arena, const es_scenario *scenario,
                                      const double *host_time_s, const es_scenario **out_scenario,
                                      es_error *err) ES_MUST_CHECK;

/* Grams of CO2e per kWh of a node's electricity as prices, objectives and budgets take it: the mean
 * of its series over the window, else its constant. O(1). */
double es_scenario_carbon_gco2e_per_kwh(const es_scenario *scenario, es_node_id node);

/* Sets the window of scenario, which is the caller's own copy, to [from_s, to_s); the means live in
 * arena. Without series it changes nothing. After its end a series holds its last value.
 * ES_ERR_ARG unless 0 <= from_s < to_s < INFINITY. O(nodes + steps of series between). */
es_status es_scenario_carbon_over(es_arena *arena, es_scenario *scenario, double from_s,
                                  double to_s, es_error *err) ES_MUST_CHECK;

/* Finders by name; index ES_INDEX_NONE when absent. O(count). */
es_task_id es_scenario_task_find(const es_scenario *scenario, const char *name);
es_segment_id es_scenario_segment_find(const es_scenario *scenario, const char *name);
es_pipeline_id es_scenario_pipeline_find(const es_scenario *scenario, const char *name);

/* What one request of a class costs on one pipeline over given nodes, without queueing. */
typedef struct es_price {
    double latency_s;     /* expected, with transfers and the way back */
    double latency_max_s; /* when it goes through all stages: what the deadline is held against */
    double compute_s[ES_STAGE_COUNT_MAX]; /* expected busy time at each stage's node */
    double energy_compute_j;              /* expected, dynamic */
    double energy_network_j;
    double carbon_g; /* of both */
    double quality;
    double cost;    /* of the objective, per request */
    bool reachable; /* false: no route, or a segment cannot run there; the rest is 0 */
} es_price;

/* nodes[stage_count]. Formula: ARCHITECTURE §3 with reach; the answer returns from the node where
 * the request leaves. O(stages). */
es_price es_scenario_price(const es_scenario *scenario, es_class_id class_id,
                           es_pipeline_id pipeline, const es_node_id *nodes);

#endif
