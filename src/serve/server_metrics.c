/* GET /metrics: our names, and Triton's behind a switch. One family after the other, each over all
 * models, as the format wants it. */
#include "base/clock.h"
#include "base/exposition.h"
#include "server.h"

#include <math.h>
#include <unistd.h>

enum { METRICS_BYTES_MAX = 64 << 20, LABELS_MAX = 6 };

typedef struct scrape {
    es_server *server;
    es_text text;
    es_server_listing all;
    es_batcher_stats *stats; /* [all.count]; of those that are served */
} scrape;

static uint64_t count_of(const es_served_duration *duration)
{
    return atomic_load_explicit(&duration->count, memory_order_relaxed);
}

static int64_t ns_of(const es_served_duration *duration)
{
    return atomic_load_explicit(&duration->ns, memory_order_relaxed);
}

/* One sample per model, and more labels. */
static void put(scrape *now, const char *name, const es_served *served,
                const es_exposition_label *more, size_t more_count, double value)
{
    es_exposition_label labels[LABELS_MAX] = {{"model", served->name},
                                              {"version", served->version_text}};
    for (size_t i = 0; i < more_count; i++)
        labels[2 + i] = more[i];
    es_exposition_sample(&now->text, name, labels, 2 + more_count, value);
}

#define EACH_SERVED(now, i, one)                                                                   \
    for (size_t i = 0; i < (now)->all.count; i++)                                                  \
        for (const es_served *one = (now)->all.entries[i].served; one != NULL; one = NULL)

/* ---- ours ---- */

static void put_requests(scrape *now)
{
    static const char name[] = "estran_inference_requests_total";
    es_exposition_family(&now->text, name, "counter", "Inference requests by how they ended.");
    EACH_SERVED(now, i, served)
    {
        for (size_t k = 0; k < ES_SERVED_OUTCOME_COUNT; k++) {
            const es_exposition_label more[] = {{"variant", served->name},
                                                {"node", now->server->opts.name},
                                                {"exit", "1"},
                                                {"outcome", es_served_outcome_names[k]}};
            put(now, name, served, more, 4, (double)count_of(&served->counts.outcomes[k]));
        }
    }
}

static void put_histogram(scrape *now, const char *name, const es_served *served,
                          const es_served_histogram *histogram)
{
    uint64_t counts[ES_SERVED_BUCKETS + 1];
    const es_exposition_label labels[] = {{"model", served->name},
                                          {"version", served->version_text}};
    for (size_t i = 0; i <= ES_SERVED_BUCKETS; i++)
        counts[i] = atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
    es_exposition_histogram(
        &now->text, name, labels, 2, ES_SERVED_BUCKETS_S, counts, ES_SERVED_BUCKETS,
        es_s_from_ns(atomic_load_explicit(&histogram->ns, memory_order_relaxed)));
}

static void put_histograms(scrape *now)
{
    es_exposition_family(&now->text, "estran_inference_duration_seconds", "histogram",
                         "From the request's head to its answer.");
    EACH_SERVED(now, i, served)
    put_histogram(now, "estran_inference_duration_seconds", served, &served->counts.total);
    es_exposition_family(&now->text, "estran_queue_duration_seconds", "histogram",
                         "Waiting for a replica, of requests that were served.");
    EACH_SERVED(now, i, served)
    put_histogram(now, "estran_queue_duration_seconds", served, &served->counts.queued);
}

static void put_batching(scrape *now)
{
    es_exposition_family(&now->text, "estran_batches_total", "counter", "Runs of a model.");
    EACH_SERVED(now, i, served)
    put(now, "estran_batches_total", served, NULL, 0, (double)now->stats[i].runs);
    es_exposition_family(&now->text, "estran_batch_rows_total", "counter",
                         "Rows of requests that were served.");
    EACH_SERVED(now, i, served)
    put(now, "estran_batch_rows_total", served, NULL, 0, (double)now->stats[i].rows);
    es_exposition_family(&now->text, "estran_compute_seconds_total", "counter",
                         "Time in runs, over all replicas.");
    EACH_SERVED(now, i, served)
    put(now, "estran_compute_seconds_total", served, NULL, 0, es_s_from_ns(now->stats[i].run_ns));
    es_exposition_family(&now->text, "estran_pending_requests", "gauge",
                         "Requests under way, waiting ones included.");
    EACH_SERVED(now, i, served)
    put(now, "estran_pending_requests", served, NULL, 0,
        (double)atomic_load_explicit(&served->counts.pending, memory_order_relaxed));
    es_exposition_family(&now->text, "estran_waiting_requests", "gauge",
                         "Requests that wait for a replica.");
    EACH_SERVED(now, i, served)
    put(now, "estran_waiting_requests", served, NULL, 0, (double)now->stats[i].waiting);
}

static void put_energy(scrape *now)
{
    const es_joules *joules = now->server->joules;
    const char *counted = NULL;
    (void)es_joules_of(joules, 1, &counted);
    es_exposition_family(&now->text, "estran_energy_joules_total", "counter",
                         "Energy of answers above rest, with its source.");
    EACH_SERVED(now, i, served)
    {
        double modelled = (double)atomic_load(&served->counts.energy_model_pj) / 1e12;
        double measured = (double)atomic_load(&served->counts.energy_counted_pj) / 1e12;
        put(now, "estran_energy_joules_total", served, &(es_exposition_label){"source", "model"}, 1,
            modelled);
        if (strcmp(counted, "model") != 0)
            put(now, "estran_energy_joules_total", served,
                &(es_exposition_label){"source", counted}, 1, measured);
    }
    if (!isnan(es_joules_grams(joules, 1))) {
        es_exposition_family(&now->text, "estran_carbon_grams_total", "counter",
                             "CO2e of the energy of answers.");
        EACH_SERVED(now, i, served)
        put(now, "estran_carbon_grams_total", served, &(es_exposition_label){"scope", "operation"},
            1,
            es_joules_grams(joules, (double)(atomic_load(&served->counts.energy_model_pj) +
                                             atomic_load(&served->counts.energy_counted_pj)) /
                                        1e12));
    }
    es_joules_total total;
    es_joules_total_get(now->server->joules, &total);
    es_exposition_family(&now->text, "estran_process_energy_joules_total", "counter",
                         "Energy of the whole process above rest.");
    es_exposition_sample(&now->text, "estran_process_energy_joules_total",
                         &(es_exposition_label){"source", total.source}, 1, total.energy_j);
    es_exposition_family(&now->text, "process_cpu_seconds_total", "counter",
                         "Processor time of the process.");
    es_exposition_sample(&now->text, "process_cpu_seconds_total", NULL, 0, total.busy_s);
}

static void put_quality(scrape *now)
{
    es_exposition_family(&now->text, "estran_accuracy_estimate_ratio", "gauge",
                         "Quality that the model's configuration declares.");
    EACH_SERVED(now, i, served)
    if (!isnan(served->quality))
        put(now, "estran_accuracy_estimate_ratio", served, NULL, 0, served->quality);
}

static void put_cache(scrape *now)
{
    es_response_cache_stats stats;
    if (now->server->cache == NULL)
        return;
    es_exposition_family(&now->text, "estran_cache_hits_total", "counter",
                         "Answers from the response cache.");
    EACH_SERVED(now, i, served)
    put(now, "estran_cache_hits_total", served, NULL, 0,
        (double)count_of(&served->counts.cache_hit));
    es_exposition_family(&now->text, "estran_cache_misses_total", "counter",
                         "Answers that the response cache did not have.");
    EACH_SERVED(now, i, served)
    put(now, "estran_cache_misses_total", served, NULL, 0,
        (double)count_of(&served->counts.cache_miss));
    es_response_cache_stats_get(now->server->cache, &stats);
    es_exposition_family(&now->text, "estran_cache_bytes", "gauge", "Held by the response cache.");
    es_exposition_sample(&now->text, "estran_cache_bytes", NULL, 0, (double)stats.bytes);
}

static void put_one(scrape *now, const char *name, const char *type, const char *help, double value)
{
    es_exposition_family(&now->text, name, type, help);
    es_exposition_sample(&now->text, name, NULL, 0, value);
}

static void put_process(scrape *now)
{
    es_http_stats http = es_http_server_stats(now->server->http);
    es_exposition_family(&now->text, "estran_build_info", "gauge", "What runs here.");
    const es_exposition_label labels[] = {
        {"version", now->server->opts.version},
        {"node", now->server->opts.name},
        {"onnxruntime", es_runtime_version(now->server->runtime)}};
    es_exposition_sample(&now->text, "estran_build_info", labels, 3, 1);
    put_one(now, "process_start_time_seconds", "gauge", "Unix time of the start.",
            es_s_from_ns(now->server->start_wall_ns));
    put_one(now, "process_resident_memory_bytes", "gauge", "Resident memory.",
            (double)es_server_memory_bytes());
    put_one(now, "estran_http_connections", "gauge", "Open connections.",
            (double)http.connections_open);
    put_one(now, "estran_http_requests_total", "counter", "Requests of any kind.",
            (double)http.requests);
    put_one(now, "estran_http_refused_total", "counter",
            "Requests that were answered before a handler saw them.", (double)http.refused);
    put_one(now, "estran_http_timed_out_total", "counter", "Requests that did not come in time.",
            (double)http.timed_out_receiving);
    put_one(now, "estran_http_body_bytes", "gauge", "Bodies of requests held now.",
            (double)http.body_bytes);
    put_one(now, "estran_unknown_model_total", "counter",
            "Requests for models that are not there or not ready.",
            (double)atomic_load(&now->server->wrong));
    if (now->server->log != NULL)
        put_one(now, "estran_request_log_dropped_total", "counter",
                "Lines that the request log could not write.",
                (double)es_request_log_dropped(now->server->log));
}

/* ---- Triton's ---- */

typedef struct nv_duration {
    const char *name, *help;
    size_t offset; /* in es_served_counts */
} nv_duration;

static const nv_duration NV_DURATIONS[] = {
    {"nv_inference_queue_duration_us", "Cumulative inference queuing duration in microseconds.",
     offsetof(es_served_counts, queue)},
    {"nv_inference_compute_input_duration_us", "Cumulative compute input duration in microseconds.",
     offsetof(es_served_counts, input)},
    {"nv_inference_compute_infer_duration_us",
     "Cumulative compute inference duration in microseconds.", offsetof(es_served_counts, infer)},
    {"nv_inference_compute_output_duration_us",
     "Cumulative inference compute output duration in microseconds.",
     offsetof(es_served_counts, output)},
    {"nv_cache_hit_duration_per_model", "Cumulative cache hit duration in microseconds.",
     offsetof(es_served_counts, cache_hit)},
    {"nv_cache_miss_duration_per_model", "Cumulative cache miss duration in microseconds.",
     offsetof(es_served_counts, cache_miss)},
};

static void put_nv_failures(scrape *now)
{
    static const struct {
        const char *reason;
        es_served_outcome outcome;
    } reasons[] = {{"REJECTED", ES_SERVED_REJECTED},
                   {"CANCELED", ES_SERVED_CANCELLED},
                   {"BACKEND", ES_SERVED_FAILED},
                   {"OTHER", ES_SERVED_WRONG}};
    es_exposition_family(&now->text, "nv_inference_request_failure", "counter",
                         "Number of failed inference requests.");
    EACH_SERVED(now, i, served)
    for (size_t k = 0; k < 4; k++)
        put(now, "nv_inference_request_failure", served,
            &(es_exposition_label){"reason", reasons[k].reason}, 1,
            (double)count_of(&served->counts.outcomes[reasons[k].outcome]));
}

static void put_nv_counts(scrape *now)
{
    es_exposition_family(&now->text, "nv_inference_request_success", "counter",
                         "Number of successful inference requests.");
    EACH_SERVED(now, i, served)
    put(now, "nv_inference_request_success", served, NULL, 0,
        (double)count_of(&served->counts.outcomes[ES_SERVED_OK]));
    put_nv_failures(now);
    es_exposition_family(&now->text, "nv_inference_count", "counter",
                         "Number of inferences performed, a batch of n counts n.");
    EACH_SERVED(now, i, served)
    put(now, "nv_inference_count", served, NULL, 0, (double)now->stats[i].rows);
    es_exposition_family(&now->text, "nv_inference_exec_count", "counter",
                         "Number of model executions.");
    EACH_SERVED(now, i, served)
    put(now, "nv_inference_exec_count", served, NULL, 0, (double)now->stats[i].runs);
    es_exposition_family(&now->text, "nv_inference_pending_request_count", "gauge",
                         "Number of requests that wait for a model.");
    EACH_SERVED(now, i, served)
    put(now, "nv_inference_pending_request_count", served, NULL, 0, (double)now->stats[i].waiting);
    es_exposition_family(&now->text, "nv_cache_num_hits_per_model", "counter",
                         "Number of cache hits.");
    EACH_SERVED(now, i, served)
    put(now, "nv_cache_num_hits_per_model", served, NULL, 0,
        (double)count_of(&served->counts.cache_hit));
    es_exposition_family(&now->text, "nv_cache_num_misses_per_model", "counter",
                         "Number of cache misses.");
    EACH_SERVED(now, i, served)
    put(now, "nv_cache_num_misses_per_model", served, NULL, 0,
        (double)count_of(&served->counts.cache_miss));
}

static void put_nv_durations(scrape *now)
{
    es_exposition_family(&now->text, "nv_inference_request_duration_us", "counter",
                         "Cumulative inference request duration in microseconds.");
    EACH_SERVED(now, i, served)
    put(now, "nv_inference_request_duration_us", served, NULL, 0,
        (double)(ns_of(&served->counts.outcomes[ES_SERVED_OK]) / ES_NS_PER_US));
    for (size_t k = 0; k < sizeof NV_DURATIONS / sizeof NV_DURATIONS[0]; k++) {
        es_exposition_family(&now->text, NV_DURATIONS[k].name, "counter", NV_DURATIONS[k].help);
        EACH_SERVED(now, i, served)
        {
            const char *base = (const char *)&served->counts;
            const es_served_duration *duration =
                (const es_served_duration *)(const void *)(base + NV_DURATIONS[k].offset);
            put(now, NV_DURATIONS[k].name, served, NULL, 0,
                (double)(ns_of(duration) / ES_NS_PER_US));
        }
    }
}

static void put_nv_node(scrape *now)
{
    double busy_s = 0;
    double all_s = 0;
    const char *root = now->server->opts.meter_root != NULL ? now->server->opts.meter_root : "";
    long pages = sysconf(_SC_PHYS_PAGES);
    long page = sysconf(_SC_PAGESIZE);
    if (es_meter_cpu_node(root, &busy_s, &all_s, NULL) == ES_OK && all_s > 0)
        put_one(now, "nv_cpu_utilization", "gauge", "Share of time that processors were busy.",
                busy_s / all_s);
    if (pages > 0 && page > 0)
        put_one(now, "nv_cpu_memory_total_bytes", "gauge", "Memory of the machine.",
                (double)pages * (double)page);
    put_one(now, "nv_cpu_memory_used_bytes", "gauge", "Memory of this process.",
            (double)es_server_memory_bytes());
}

/* ---- the handler ---- */

static bool stats_take(scrape *now)
{
    now->stats = ES_TAKE_ARRAY(now->all.arena, es_batcher_stats, now->all.count);
    for (size_t i = 0; now->stats != NULL && i < now->all.count; i++)
        if (now->all.entries[i].served != NULL)
            es_batcher_stats_get(now->all.entries[i].served->batcher, &now->stats[i], NULL, 0);
    return now->stats != NULL;
}

void es_server_metrics(void *context, es_http_request *request)
{
    scrape now = {.server = context};
    if (!es_server_listing_take(now.server, request, &now.all))
        return;
    es_text_init(&now.text, METRICS_BYTES_MAX);
    if (stats_take(&now)) {
        put_process(&now);
        put_requests(&now);
        put_histograms(&now);
        put_batching(&now);
        put_energy(&now);
        put_quality(&now);
        put_cache(&now);
        if (now.server->opts.metrics_nv) {
            put_nv_counts(&now);
            put_nv_durations(&now);
            put_nv_node(&now);
        }
        es_http_answer_text(request, 200, ES_EXPOSITION_TYPE, &now.text);
    } else {
        es_text_done(&now.text);
        es_http_answer_error(request, 503, "out of memory");
    }
    es_server_listing_done(&now.all);
}
