/* The profile as a document: one entry of a catalogue of measured models. */
#include "runtime/internal.h"

static void put_bytes(es_json *json, const char *key, uint64_t bytes)
{
    es_json_put_int(json, key, bytes < INT64_MAX ? (int64_t)bytes : INT64_MAX);
}

static void put_latency(es_json *json, const es_profile_latency *latency)
{
    es_json_put_number(json, "latency_ms_min", latency->ms_min);
    es_json_put_number(json, "latency_ms_mean", latency->ms_mean);
    es_json_put_number(json, "latency_ms_p50", latency->ms_p50);
    es_json_put_number(json, "latency_ms_p90", latency->ms_p90);
    es_json_put_number(json, "latency_ms_p95", latency->ms_p95);
    es_json_put_number(json, "latency_ms_p99", latency->ms_p99);
    es_json_put_number(json, "latency_ms_mean_ci95", latency->ms_mean_ci);
    es_json_put_number(json, "latency_ms_p50_low", latency->ms_p50_low);
    es_json_put_number(json, "latency_ms_p50_high", latency->ms_p50_high);
    es_json_put_int(json, "repetitions", (int64_t)latency->repetitions);
    es_json_put_bool(json, "tight", latency->tight);
}

static void put_energy(es_json *json, const es_profile *profile)
{
    const es_profile_energy *energy = &profile->energy;
    es_json_key(json, "energy");
    if (energy->known) {
        es_json_map_begin(json);
        es_json_put_number(json, "energy_j", energy->energy_j);
        es_json_put_number(json, "energy_j_low", energy->low_j);
        es_json_put_number(json, "energy_j_high", energy->high_j);
        es_json_put_number(json, "power_rest_w", energy->rest_w);
        es_json_put_number(json, "covered_s", energy->covered_s);
        put_bytes(json, "runs", energy->runs);
        es_json_put_text(json, "source", energy->source);
        es_json_put_text(json, "method", energy->method);
        es_json_put_text(json, "boundary", energy->boundary);
        es_json_map_end(json);
    } else {
        es_json_null(json);
    }
    es_json_put_text(json, "energy_note", profile->energy_note);
}

static void put_batches(es_json *json, const es_profile *profile)
{
    es_json_put_bool(json, "batchable", profile->batchable);
    es_json_key(json, "batches");
    es_json_list_begin(json);
    for (size_t i = 0; i < profile->batch_count; i++) {
        es_json_map_begin(json);
        es_json_put_int(json, "batch", profile->batches[i].batch);
        es_json_put_number(json, "throughput_rps", profile->batches[i].throughput_rps);
        put_latency(json, &profile->batches[i].latency);
        es_json_map_end(json);
    }
    es_json_list_end(json);
}

static void put_segments(es_json *json, const es_profile *profile)
{
    es_json_key(json, "segments");
    es_json_list_begin(json);
    for (size_t i = 0; i < profile->segment_count; i++) {
        const es_profile_segment *segment = &profile->segments[i];
        es_json_map_begin(json);
        /* the last segment ends in the model's outputs */
        es_json_put_text(json, "cut", segment->output[0] != '\0' ? segment->output : NULL);
        put_bytes(json, "output_bytes", segment->output_bytes);
        put_bytes(json, "params_bytes", segment->params_bytes);
        put_bytes(json, "macs", segment->macs);
        es_json_put_number(json, "latency_ms_p50_cumulative", segment->ms_p50_cumulative);
        put_latency(json, &segment->latency);
        es_json_map_end(json);
    }
    es_json_list_end(json);
    es_json_put_text(json, "segments_note", profile->segment_note);
}

void es_profile_write_json(const es_profile *profile, es_json *json)
{
    es_json_map_begin(json);
    es_json_put_text(json, "format", "estran-profile");
    es_json_put_int(json, "version", 1);
    es_json_key(json, "node");
    es_json_map_begin(json);
    es_json_put_text(json, "kind", profile->node_kind);
    es_json_put_text(json, "cpu", profile->cpu);
    es_json_put_text(json, "onnxruntime", profile->runtime_version);
    es_json_put_int(json, "thread_count", profile->thread_count);
    es_json_map_end(json);
    es_json_put_text(json, "variant", profile->variant);
    es_json_put_text(json, "file", profile->path);
    es_json_put_text(json, "dtype", profile->dtype);
    put_bytes(json, "file_bytes", profile->file_bytes);
    put_bytes(json, "input_bytes", profile->input_bytes);
    put_bytes(json, "output_bytes", profile->output_bytes);
    put_bytes(json, "params_bytes", profile->params_bytes);
    put_bytes(json, "macs", profile->macs);
    put_bytes(json, "memory_bytes", profile->memory_bytes);
    put_bytes(json, "memory_bytes_peak", profile->memory_bytes_peak);
    es_json_put_number(json, "load_ms", profile->load_ms);
    put_latency(json, &profile->latency);
    put_energy(json, profile);
    put_batches(json, profile);
    put_segments(json, profile);
    es_json_map_end(json);
}
