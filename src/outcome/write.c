#include "outcome/internal.h"

#include <inttypes.h>

/* Seeds beyond the integers of JSON readers are written as text. */
static void put_seed(es_json *json, uint64_t seed)
{
    char words[24];
    if (seed <= INT64_MAX) {
        es_json_put_int(json, "seed", (int64_t)seed);
        return;
    }
    (void)snprintf(words, sizeof words, "%" PRIu64, seed);
    es_json_put_text(json, "seed", words);
}

static void put_names(es_json *json, const char *key, const char *const *names, size_t count)
{
    es_json_key(json, key);
    es_json_list_begin(json);
    for (size_t i = 0; i < count; i++)
        es_json_text(json, names[i]);
    es_json_list_end(json);
}

static void put_row(es_json *json, const es_outcome_row *row)
{
    es_json_put_number(json, "arrived", row->arrived);
    es_json_put_number(json, "served", row->served);
    es_json_put_number(json, "refused", row->refused);
    es_json_put_number(json, "failed", row->failed);
    es_json_put_number(json, "in_flight", row->in_flight);
    es_json_put_number(json, "late", row->late);
    es_json_put_number(json, "quality_mean", row->quality_mean);
    es_json_put_number(json, "latency_s_mean", row->latency_s_mean);
    es_json_put_number(json, "latency_s_mean_ci95", row->latency_s_mean_ci95);
    es_json_put_number(json, "latency_s_p50", row->latency_s_p50);
    es_json_put_number(json, "latency_s_p90", row->latency_s_p90);
    es_json_put_number(json, "latency_s_p95", row->latency_s_p95);
    es_json_put_number(json, "latency_s_p99", row->latency_s_p99);
    es_json_put_number(json, "latency_s_max", row->latency_s_max);
    es_json_put_number(json, "energy_compute_j", row->energy_compute_j);
    es_json_put_number(json, "energy_network_j", row->energy_network_j);
    es_json_put_number(json, "carbon_g", row->carbon_g);
}

static void put_histogram(es_json *json, const es_histogram *histogram)
{
    es_json_key(json, "histogram");
    es_json_map_begin(json);
    es_json_put_number(json, "weight", histogram->weight);
    es_json_put_number(json, "sum_s", histogram->sum_s);
    es_json_put_number(json, "min_s", histogram->min_s);
    es_json_put_number(json, "max_s", histogram->max_s);
    es_json_key(json, "buckets");
    es_json_list_begin(json);
    for (size_t i = 0; i < ES_BUCKET_COUNT; i++) {
        if (es_histogram_bucket(histogram, i) > 0)
            es_json_int(json, (int64_t)i);
    }
    es_json_list_end(json);
    es_json_key(json, "weights");
    es_json_list_begin(json);
    for (size_t i = 0; i < ES_BUCKET_COUNT; i++) {
        if (es_histogram_bucket(histogram, i) > 0)
            es_json_number(json, es_histogram_bucket(histogram, i));
    }
    es_json_list_end(json);
    es_json_map_end(json);
}

static void begin_line(es_json *json, es_text *out, const char *what)
{
    es_json_init(json, out, true);
    es_json_map_begin(json);
    es_json_put_text(json, "what", what);
}

/* The writer ends the outermost value with its own newline or not, as it likes: one line each. */
static void end_line(es_json *json, es_text *out)
{
    es_json_map_end(json);
    if (out->size > 0 && out->bytes[out->size - 1] != '\n')
        es_text_append(out, "\n");
}

static void write_header(const es_outcome *outcome, es_text *out)
{
    es_json json;
    es_json_init(&json, out, true);
    es_json_map_begin(&json);
    es_json_put_text(&json, "format", "estran-outcome");
    es_json_put_int(&json, "version", 1);
    es_json_put_text(&json, "scenario", outcome->scenario);
    es_json_put_text(&json, "label", outcome->label);
    es_json_put_text(&json, "source", outcome->source);
    put_seed(&json, outcome->seed);
    es_json_put_number(&json, "slot_s", outcome->slot_s);
    es_json_put_int(&json, "slot_count", outcome->slot_count);
    put_names(&json, "classes", outcome->class_names, outcome->class_count);
    put_names(&json, "nodes", outcome->node_names, outcome->node_count);
    put_names(&json, "pipelines", outcome->pipeline_names, outcome->pipeline_count);
    end_line(&json, out);
}

static void write_node_use(const es_node_use *use, es_text *out)
{
    es_json json;
    begin_line(&json, out, "node");
    es_json_put_int(&json, "slot", use->slot);
    es_json_put_int(&json, "node", use->node.index);
    es_json_put_number(&json, "busy_s", use->busy_s);
    es_json_put_number(&json, "duration_s", use->duration_s);
    es_json_put_number(&json, "idle_j", use->idle_j);
    es_json_put_number(&json, "dynamic_j", use->dynamic_j);
    if (use->measured_source != NULL) {
        es_json_put_number(&json, "measured_j", use->measured_j);
        es_json_put_text(&json, "measured_source", use->measured_source);
    }
    es_json_put_number(&json, "loaded_bytes", use->model_bytes_loaded);
    es_json_put_bool(&json, "died", use->died);
    end_line(&json, out);
}

static void write_slot(const es_outcome *outcome, uint32_t slot, es_text *out)
{
    es_json json;
    for (uint32_t c = 0; c < outcome->class_count; c++) {
        const es_outcome_row *row = &outcome->rows[(size_t)slot * outcome->class_count + c];
        if (row->arrived <= 0)
            continue;
        begin_line(&json, out, "cell");
        es_json_put_int(&json, "slot", slot);
        es_json_put_int(&json, "class", c);
        put_row(&json, row);
        end_line(&json, out);
    }
    if (outcome->slot_rows[slot].arrived > 0) {
        begin_line(&json, out, "slot");
        es_json_put_int(&json, "slot", slot);
        put_row(&json, &outcome->slot_rows[slot]);
        end_line(&json, out);
    }
    for (uint32_t v = 0; v < outcome->node_count; v++) {
        const es_node_use *use = &outcome->node_uses[(size_t)slot * outcome->node_count + v];
        if (use->duration_s > 0 || use->busy_s > 0 || use->idle_j > 0 || use->dynamic_j > 0 ||
            use->model_bytes_loaded > 0 || use->died)
            write_node_use(use, out);
    }
}

static void write_interval(const es_outcome *outcome, size_t i, es_text *out)
{
    es_json json;
    begin_line(&json, out, "interval");
    es_json_put_text(&json, "measure", outcome->intervals[i].measure);
    es_json_put_int(&json, "replications", outcome->replication_count);
    es_json_put_number(&json, "mean", outcome->intervals[i].mean);
    es_json_put_number(&json, "ci95", outcome->intervals[i].ci95);
    end_line(&json, out);
}

void es_outcome_write(const es_outcome *outcome, es_text *out)
{
    es_json json;
    write_header(outcome, out);
    for (uint32_t s = 0; s < outcome->slot_count; s++)
        write_slot(outcome, s, out);
    for (uint32_t c = 0; c < outcome->class_count; c++) {
        if (outcome->class_rows[c].arrived <= 0)
            continue;
        begin_line(&json, out, "class");
        es_json_put_int(&json, "class", c);
        put_row(&json, &outcome->class_rows[c]);
        put_histogram(&json, outcome->class_histograms[c]);
        end_line(&json, out);
    }
    for (size_t i = 0; i < outcome->interval_count; i++)
        write_interval(outcome, i, out);
    begin_line(&json, out, "total");
    put_row(&json, &outcome->total);
    es_json_put_number(&json, "energy_idle_j", outcome->energy_idle_j);
    es_json_put_number(&json, "energy_total_j", outcome->energy_total_j);
    es_json_put_number(&json, "carbon_idle_g", outcome->carbon_idle_g);
    es_json_put_number(&json, "objective_per_s", outcome->objective_per_s);
    es_json_key(&json, "pipeline_served");
    es_json_list_begin(&json);
    for (size_t p = 0; p < outcome->pipeline_count; p++)
        es_json_number(&json, outcome->pipeline_served[p]);
    es_json_list_end(&json);
    end_line(&json, out);
}
