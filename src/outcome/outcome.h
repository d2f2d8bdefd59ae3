/*
 * outcome: what happened, per slot and per request class and per node. Simulation and production
 * write the same document (JSON lines, docs/reference/outcome.md); readers cannot tell which.
 *
 * A recorder takes one es_sample per finished request (or weighted fluid samples), and one
 * es_node_use per node and slot; sealing gives an es_outcome. Units: seconds, joules, grams.
 * Threads: a recorder has one owner; an outcome is read-only.
 * Conservation, checked at sealing: arrived = served + refused + failed + in_flight (late requests
 * are served ones, counted beside).
 */
#ifndef ES_OUTCOME_OUTCOME_H
#define ES_OUTCOME_OUTCOME_H

#include "plan/plan.h"

/* Latencies in logarithmic buckets: relative error at most 1 %, 1 us to 1e4 s; merges exactly. */
typedef struct es_histogram es_histogram;
es_histogram *es_histogram_new(es_arena *arena) ES_MUST_CHECK; /* NULL: arena full */
void es_histogram_add(es_histogram *histogram, double value_s, double weight);
void es_histogram_merge(es_histogram *into, const es_histogram *from);
double es_histogram_weight(const es_histogram *histogram);
double es_histogram_mean(const es_histogram *histogram); /* exact; NAN when empty */
double es_histogram_max(const es_histogram *histogram);  /* exact; NAN when empty */
/* q in [0, 1]: interpolated inside its bucket; NAN when empty. */
double es_histogram_quantile(const es_histogram *histogram, double q);
double es_histogram_min(const es_histogram *histogram); /* exact; NAN when empty */
/* Share of the weight at or below value_s, interpolated inside its bucket; NAN when empty. */
double es_histogram_share_below(const es_histogram *histogram, double value_s);
/* ES_ERR_NOMEM when an add or a merge found the arena full: the histogram then misses weight. */
es_status es_histogram_status(const es_histogram *histogram, es_error *err) ES_MUST_CHECK;

typedef enum es_fate {
    ES_FATE_SERVED,
    ES_FATE_REFUSED,   /* by the plan, or by a full queue */
    ES_FATE_FAILED,    /* a node died, a link broke, an error: never lost silently */
    ES_FATE_IN_FLIGHT, /* not finished when the run ended */
    ES_FATE_COUNT
} es_fate;

/* One request, or `weight` fluid requests that fared alike; the figures are per request. */
typedef struct es_sample {
    uint32_t slot; /* in which it arrived */
    es_class_id class_id;
    es_fate fate;
    double weight;           /* > 0; 1 for a real request */
    double latency_s;        /* served only */
    es_pipeline_id pipeline; /* served only */
    uint32_t stages_run;     /* stages that ran before it left */
    double quality;          /* expected, or 1/0 where the answer was checked */
    double energy_compute_j; /* dynamic */
    double energy_network_j;
    double carbon_g;
} es_sample;

typedef struct es_node_use {
    uint32_t slot;
    es_node_id node;
    double busy_s;     /* summed over processors */
    double duration_s; /* of the observation */
    double idle_j;     /* idle watts times the time it was on */
    double idle_g;     /* of idle_j, when has_idle_g; else at the grid that plans take */
    bool has_idle_g;
    double dynamic_j;
    double model_bytes_loaded;   /* model updates in this slot */
    double measured_j;           /* of the node's process on the machine that ran it, above rest,
                                    by counters; dynamic_j is what the scenario declares */
    const char *measured_source; /* "rapl", "rapl+nvml", ...; NULL: no counters. Copied */
    bool died;                   /* the node's process ended before it was told to */
} es_node_use;

/* Sums over a class and slot, or over all: what tables show. */
typedef struct es_outcome_row {
    double arrived, served, refused, failed, in_flight;
    double late;           /* served after the deadline */
    double quality_mean;   /* of the served; NAN when none */
    double latency_s_mean; /* of the served; NAN when none */
    double latency_s_p50, latency_s_p90, latency_s_p95, latency_s_p99, latency_s_max;
    double latency_s_mean_ci95; /* half width over slots (Student t); NAN with < 2 slots */
    double energy_compute_j, energy_network_j, carbon_g;
} es_outcome_row;

/* Mean over replications and half width of its 95 % interval (Student t; NAN below 2). */
typedef struct es_interval {
    const char *measure; /* name with unit */
    double mean, ci95;
} es_interval;

/* Half width of the 95 % confidence interval of the mean of values[count]; NAN for count < 2. */
double es_mean_ci95(const double *values, size_t count);

typedef struct es_outcome {
    const char *scenario; /* name */
    const char *label;    /* of the policy or plan: "plan", "device only", ... */
    const char *source;   /* "simulate", "run" */
    uint64_t seed;
    double slot_s;
    uint32_t slot_count;
    uint32_t class_count;
    uint32_t node_count;
    const char *const *class_names; /* "task at node" */
    const char *const *node_names;
    const es_outcome_row *rows;       /* [slot][class] */
    const es_outcome_row *slot_rows;  /* [slot], over all classes */
    const es_outcome_row *class_rows; /* [class], over all slots */
    es_outcome_row total;
    const es_histogram *const *class_histograms; /* [class], latency of the served; never NULL */
    const es_histogram *histogram;               /* of all classes */
    const es_node_use *node_uses;                /* [slot][node] */
    double energy_idle_j;                        /* over all nodes and slots */
    double energy_total_j;                       /* compute + network + idle */
    double carbon_idle_g;   /* of energy_idle_j, at each node's grid; rows hold the rest */
    double objective_per_s; /* what the run cost per second, as the scenario weighs it; idle
                         and hosting as in the plan; refused and failed at the refusal
                         cost: NAN when there are some and refusing is not allowed */
    size_t pipeline_count;
    const char *const *pipeline_names;
    const double *pipeline_served; /* [pipeline] requests */
    uint32_t replication_count;    /* 0: no intervals; else the rest is the first replication */
    size_t interval_count;
    const es_interval *intervals;
} es_outcome;

typedef struct es_outcome_recorder es_outcome_recorder;

/* label and source are copied. plan gives hosting cost and which nodes are on. */
es_status es_outcome_recorder_new(es_arena *arena, const es_scenario *scenario, const es_plan *plan,
                                  const char *label, const char *source, uint64_t seed,
                                  es_outcome_recorder **out_recorder, es_error *err) ES_MUST_CHECK;
/* weight (> 0) requests of a class came in a slot. Optional: a recorder that is told arrivals holds
 * the fates against them when it seals; one that is not takes arrived as the sum of the fates. */
es_status es_outcome_arrive(es_outcome_recorder *recorder, uint32_t slot, es_class_id class_id,
                            double weight, es_error *err) ES_MUST_CHECK;
/* Only the first seconds of the slots were observed (a run cut short); > 0, default all of them.
 * The objective is per second of that. */
void es_outcome_observed(es_outcome_recorder *recorder, double seconds);
/* ES_ERR_ARG names the member that is out of range; the recorder is then as before. */
es_status es_outcome_add(es_outcome_recorder *recorder, const es_sample *sample,
                         es_error *err) ES_MUST_CHECK;
/* Adds up when called several times for one node and slot. */
es_status es_outcome_add_node(es_outcome_recorder *recorder, const es_node_use *use,
                              es_error *err) ES_MUST_CHECK;
/* Nothing more comes for this slot: its histograms are given to later slots, so that memory does
 * not grow with the number of slots. Optional; slots in ascending order. Errors as es_outcome_seal.
 */
es_status es_outcome_close_slot(es_outcome_recorder *recorder, uint32_t slot,
                                es_error *err) ES_MUST_CHECK;
/* Ends recording. ES_ERR_INTERNAL: `slot 3, class 'x': arrived 5, but served 3 + ...`. O(slots *
 * classes * buckets). */
es_status es_outcome_seal(es_outcome_recorder *recorder, const es_outcome **out_outcome,
                          es_error *err) ES_MUST_CHECK;

/* JSON lines: a header, one line per slot and class with arrivals, one per slot and node, a total.
 */
void es_outcome_write(const es_outcome *outcome, es_text *out);

/* Errors start with file:line: ES_ERR_PARSE, ES_ERR_IO, ES_ERR_LIMIT, ES_ERR_NOMEM. Writing what
 * was loaded gives the same bytes. */
es_status es_outcome_load(es_arena *arena, const char *path, const es_outcome **out_outcome,
                          es_error *err) ES_MUST_CHECK;

/* The same from bytes; name stands for the file. */
es_status es_outcome_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                           const es_outcome **out_outcome, es_error *err) ES_MUST_CHECK;

#endif
