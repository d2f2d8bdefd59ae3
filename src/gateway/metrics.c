/* Counts of all loops for Prometheus. Run by the clerk, who alone adds to the registries. */
#include "base/exposition.h"
#include "internal.h"

#include <stdio.h>

enum { BUCKET_STEP = 4 }; /* every octave */

static void put_int(es_text *out, const char *name, const es_exposition_label *labels, size_t count,
                    uint64_t value)
{
    es_exposition_sample(out, name, labels, count, (double)value);
}

/* ---- answers by where they left ---- */

static void sum_series(es_gateway *gateway, const es_gateway_series *wanted, uint64_t *answered,
                       uint64_t *partial)
{
    *answered = *partial = 0;
    for (uint32_t i = 0; i < gateway->opts.loop_count; i++) {
        es_gateway_series *here = NULL;
        if (es_gateway_registry_series(&gateway->loops[i].registry, wanted, &here, NULL) != ES_OK)
            continue;
        *answered += es_gateway_read(&here->answered);
        *partial += es_gateway_read(&here->partial);
    }
}

static void put_request(es_text *out, const es_gateway_series *series, const char *outcome,
                        uint64_t value)
{
    char exit[16] = "";
    if (series->exit > 0)
        (void)snprintf(exit, sizeof exit, "%u", series->exit);
    const es_exposition_label labels[] = {{"model", series->task},
                                          {"variant", series->model},
                                          {"node", series->node},
                                          {"exit", exit},
                                          {"outcome", outcome}};
    put_int(out, "estran_inference_requests_total", labels, 5, value);
}

/* ---- classes, by task ---- */

typedef struct by_task {
    const char *task;
    uint64_t arrived, outcomes[ES_GATEWAY_OUTCOME_COUNT], retried, hedged, unmet;
    uint64_t buckets[ES_GATEWAY_BUCKETS];
    double latency_s;
} by_task;

static int compare(const void *a, const void *b)
{
    const es_gateway_class_counts *const *x = a;
    const es_gateway_class_counts *const *y = b;
    return strcmp((*x)->task, (*y)->task);
}

static void add(by_task *sum, const es_gateway_class_counts *counts)
{
    sum->task = counts->task;
    sum->arrived += es_gateway_read(&counts->arrived);
    for (size_t i = 0; i < ES_GATEWAY_OUTCOME_COUNT; i++)
        sum->outcomes[i] += es_gateway_read(&counts->outcomes[i]);
    sum->retried += es_gateway_read(&counts->retried);
    sum->hedged += es_gateway_read(&counts->hedged);
    sum->unmet += es_gateway_read(&counts->unmet);
    for (size_t i = 0; i < ES_GATEWAY_BUCKETS; i++)
        sum->buckets[i] += es_gateway_read(&counts->buckets[i]);
    sum->latency_s +=
        (double)atomic_load_explicit(&counts->latency_ns, memory_order_relaxed) * 1e-9;
}

/* Sums per task in the order of their names; NULL: no memory. */
static by_task *sum_tasks(const es_gateway *gateway, size_t *out_count)
{
    size_t total = 0;
    size_t used = 0;
    size_t count = 0;
    for (uint32_t i = 0; i < gateway->opts.loop_count; i++)
        total += gateway->loops[i].registry.class_count;
    const es_gateway_class_counts **all = calloc(total + 1, sizeof *all);
    by_task *sums = calloc(total + 1, sizeof *sums);
    if (all == NULL || sums == NULL) {
        free(all);
        free(sums);
        return NULL;
    }
    for (uint32_t i = 0; i < gateway->opts.loop_count; i++)
        for (size_t c = 0; c < gateway->loops[i].registry.class_count; c++)
            all[used++] = gateway->loops[i].registry.classes[c];
    qsort(all, used, sizeof *all, compare);
    for (size_t i = 0; i < used; i++) {
        if (i > 0 && strcmp(all[i]->task, all[i - 1]->task) != 0)
            count++;
        add(&sums[count], all[i]);
    }
    free(all);
    *out_count = used > 0 ? count + 1 : 0;
    return sums;
}

static void put_requests(es_gateway *gateway, es_text *out, const by_task *sums, size_t count)
{
    const es_gateway_registry *registry = &gateway->loops[0].registry;
    es_exposition_family(out, "estran_inference_requests_total", "counter",
                         "Requests by task (model), by the model (variant), node and stage (exit) "
                         "where the answer left, and by outcome.");
    for (size_t i = 0; i < registry->series_count; i++) {
        uint64_t answered = 0;
        uint64_t partial = 0;
        sum_series(gateway, registry->series[i], &answered, &partial);
        if (answered > 0)
            put_request(out, registry->series[i], "answered", answered);
        if (partial > 0)
            put_request(out, registry->series[i], "partial", partial);
    }
    for (size_t i = 0; i < count; i++) {
        const es_gateway_series nowhere = {.task = sums[i].task, .model = "", .node = ""};
        for (size_t k = ES_GATEWAY_REFUSED; k < ES_GATEWAY_OUTCOME_COUNT; k++)
            put_request(out, &nowhere, es_gateway_outcome_names[k], sums[i].outcomes[k]);
    }
}

static void put_durations(es_text *out, const by_task *sums, size_t count)
{
    static const char NAME[] = "estran_inference_duration_seconds";
    enum { ENDS = (ES_GATEWAY_BUCKETS - 1) / BUCKET_STEP };
    es_exposition_family(out, NAME, "histogram",
                         "From the request's first line to its answer, by task.");
    for (size_t i = 0; i < count; i++) {
        double ends[ENDS];
        uint64_t counts[ENDS + 1] = {0};
        const es_exposition_label label = {"model", sums[i].task};
        for (uint32_t e = 0; e < ENDS; e++)
            ends[e] = es_gateway_bucket_s(e * BUCKET_STEP);
        for (uint32_t b = 0; b < ES_GATEWAY_BUCKETS; b++) {
            uint32_t e = (b + BUCKET_STEP - 1) / BUCKET_STEP;
            counts[e < ENDS ? e : ENDS] += sums[i].buckets[b];
        }
        es_exposition_histogram(out, NAME, &label, 1, ends, counts, ENDS, sums[i].latency_s);
    }
}

typedef uint64_t pick(const by_task *sum);
static uint64_t pick_retried(const by_task *sum)
{
    return sum->retried;
}
static uint64_t pick_hedged(const by_task *sum)
{
    return sum->hedged;
}
static uint64_t pick_unmet(const by_task *sum)
{
    return sum->unmet;
}

static void put_task_counter(es_text *out, const char *name, const char *help, const by_task *sums,
                             size_t count, pick *value)
{
    es_exposition_family(out, name, "counter", help);
    for (size_t i = 0; i < count; i++) {
        const es_exposition_label label = {"model", sums[i].task};
        put_int(out, name, &label, 1, value(&sums[i]));
    }
}

/* ---- of the whole gateway ---- */

static void put_energy(const es_gateway *gateway, es_text *out)
{
    double grams = 0;
    es_exposition_family(out, "estran_energy_joules_total", "counter",
                         "Above idle, as nodes told with their answers, by source.");
    for (size_t s = 0; s <= ES_METER_SOURCE_COUNT; s++) {
        double joules = 0;
        const char *name =
            s < ES_METER_SOURCE_COUNT ? es_meter_source_name((es_meter_source)s) : "other";
        for (uint32_t i = 0; i < gateway->opts.loop_count; i++)
            joules +=
                atomic_load_explicit(&gateway->loops[i].registry.joules[s], memory_order_relaxed);
        const es_exposition_label label = {"source", name};
        if (joules > 0)
            es_exposition_sample(out, "estran_energy_joules_total", &label, 1, joules);
    }
    for (uint32_t i = 0; i < gateway->opts.loop_count; i++)
        grams += atomic_load_explicit(&gateway->loops[i].registry.grams, memory_order_relaxed);
    const es_exposition_label scope = {"scope", "compute"};
    es_exposition_family(out, "estran_carbon_grams_total", "counter",
                         "CO2e of these joules, where nodes know their grid.");
    es_exposition_sample(out, "estran_carbon_grams_total", &scope, 1, grams);
}

/* Mean quality that the options taken are expected to have. */
static void put_accuracy(const es_gateway *gateway, const es_gateway_view *const *views,
                         es_text *out)
{
    double sum = 0;
    uint64_t taken = 0;
    for (uint32_t i = 0; i < gateway->opts.loop_count; i++) {
        const es_serve_table *table = views[i] != NULL ? views[i]->routes->table : NULL;
        for (size_t c = 0; table != NULL && c < table->routes->class_count; c++)
            for (size_t o = 0; o < table->routes->classes[c].option_count; o++) {
                uint64_t here = es_gateway_read(&views[i]->taken[table->first_option[c] + o]);
                sum += (double)here * table->routes->classes[c].options[o].quality;
                taken += here;
            }
    }
    if (taken == 0)
        return;
    es_exposition_family(out, "estran_accuracy_estimate_ratio", "gauge",
                         "Mean expected quality of the options taken under these routes.");
    es_exposition_sample(out, "estran_accuracy_estimate_ratio", NULL, 0, sum / (double)taken);
}

static void put_gateway(es_gateway *gateway, es_text *out)
{
    const es_gateway_view *views[ES_GATEWAY_LOOPS_MAX];
    uint64_t under_way = 0;
    uint64_t decisions = 0;
    double decision_s = 0;
    es_gateway_views_hold(gateway, views);
    for (uint32_t i = 0; i < gateway->opts.loop_count; i++) {
        const es_gateway_registry *registry = &gateway->loops[i].registry;
        under_way += views[i] != NULL ? es_gateway_read(&views[i]->under_way) : 0;
        for (const es_gateway_view *view = gateway->loops[i].retired; view != NULL;
             view = view->next)
            under_way += es_gateway_read(&view->under_way);
        decisions += es_gateway_read(&registry->decisions);
        decision_s +=
            (double)atomic_load_explicit(&registry->decision_ns, memory_order_relaxed) * 1e-9;
    }
    put_accuracy(gateway, views, out);
    es_exposition_family(out, "estran_routes_generation", "gauge",
                         "Generation of the routes followed; 0: none yet.");
    put_int(out, "estran_routes_generation", NULL, 0,
            views[0] != NULL ? (uint64_t)views[0]->routes->table->routes->generation : 0);
    es_gateway_views_release(gateway);
    es_exposition_family(out, "estran_routes_kept", "gauge",
                         "1: the routes followed are on the disk; 0: that failed.");
    put_int(out, "estran_routes_kept", NULL, 0, !gateway->unkept);
    if (gateway->log != NULL) {
        es_exposition_family(out, "estran_request_log_dropped_total", "counter",
                             "Lines that the request log could not write.");
        put_int(out, "estran_request_log_dropped_total", NULL, 0,
                es_request_log_dropped(gateway->log));
    }
    es_exposition_family(out, "estran_pending_requests", "gauge", "Requests under way.");
    put_int(out, "estran_pending_requests", NULL, 0, under_way);
    es_exposition_family(out, "estran_decision_duration_seconds", "summary", "Choosing an option.");
    es_exposition_sample(out, "estran_decision_duration_seconds_sum", NULL, 0, decision_s);
    put_int(out, "estran_decision_duration_seconds_count", NULL, 0, decisions);
    const es_exposition_label build = {"version", gateway->opts.version};
    es_exposition_family(out, "estran_build_info", "gauge", "The program; always 1.");
    put_int(out, "estran_build_info", &build, 1, 1);
}

void es_gateway_metrics_write(es_gateway *gateway, es_text *out)
{
    size_t count = 0;
    by_task *sums = sum_tasks(gateway, &count);
    if (sums == NULL) {
        out->status = ES_ERR_NOMEM;
        return;
    }
    put_requests(gateway, out, sums, count);
    put_durations(out, sums, count);
    put_task_counter(out, "estran_retries_total", "Copies sent since one before failed.", sums,
                     count, pick_retried);
    put_task_counter(out, "estran_hedges_total", "Copies sent since one before was slow.", sums,
                     count, pick_hedged);
    put_task_counter(out, "estran_unmet_total", "Answers that do not meet what was wished.", sums,
                     count, pick_unmet);
    put_energy(gateway, out);
    put_gateway(gateway, out);
    free(sums);
}
