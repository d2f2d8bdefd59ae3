/*
 * Variants of several stages in the variants document, and as segments and pipelines of a scenario.
 */
#include "compress/internal.h"

#include <math.h>
#include <string.h>

/* ---- the document ---- */

static void put_stage(es_json *json, const es_variant_stage *stage, const es_stage_measure *m)
{
    es_json_map_begin(json);
    es_json_put_text(json, "file", es_tell_file(stage->path));
    es_json_put_int(json, "file_bytes", (int64_t)m->file_bytes);
    if (m->macs >= 0) {
        es_json_put_int(json, "macs", m->macs);
        es_json_put_int(json, "parameter_count", m->parameter_count);
    }
    if (m->forward_bytes > 0)
        es_json_put_int(json, "forward_bytes", (int64_t)m->forward_bytes);
    if (!isnan(m->accuracy))
        es_json_put_number(json, "accuracy", m->accuracy);
    es_json_put_number(json, "latency_ms_p50", m->latency.ms_p50);
    es_json_put_number(json, "latency_ms_p95", m->latency.ms_p95);
    if (m->energy.known) {
        es_json_put_number(json, "energy_j", m->energy.energy_j);
        es_json_put_text(json, "energy_source", m->energy.source);
    }
    es_json_map_end(json);
}

static void put_numbers(es_json *json, const char *key, const double *values, size_t count)
{
    es_json_key(json, key);
    es_json_list_begin(json);
    for (size_t i = 0; i < count; i++)
        es_json_number(json, values[i]);
    es_json_list_end(json);
}

static void put_pipeline(es_json *json, const es_variant *v, const es_variant_measure *m, size_t p)
{
    const es_variant_pipeline *pipeline = &v->pipelines[p];
    const es_pipeline_measure *found = &m->pipelines[p];
    double thresholds[ES_VARIANT_STAGES_MAX];
    for (size_t k = 0; k < v->stage_count; k++) {
        bool may = k + 1 < v->stage_count && v->stages[k].exit && pipeline->thresholds[k] <= 1;
        thresholds[k] = may ? pipeline->thresholds[k] : (double)NAN;
    }
    es_json_map_begin(json);
    es_json_key(json, "name");
    es_json_text(json, es_tell_pipeline_name(v, p, (char[ES_TELL_NAME]){0}));
    put_numbers(json, "exit_thresholds", thresholds, v->stage_count);
    put_numbers(json, "reach", found->reach, v->stage_count);
    if (m->labelled)
        es_tell_bounds(json, "quality", found->quality);
    es_json_put_number(json, "agreement", found->agreement);
    if (!isnan(found->macs))
        es_json_put_number(json, "macs", found->macs);
    es_json_put_number(json, "latency_ms", found->latency_ms);
    if (!isnan(found->energy_j))
        es_json_put_number(json, "energy_j", found->energy_j);
    es_tell_bounds(json, "speed_ratio", found->speed);
    es_json_map_end(json);
}

void es_tell_stages(es_json *json, const es_variant *v, const es_variant_measure *m)
{
    es_json_put_int(json, "file_bytes", (int64_t)m->file_bytes);
    if (m->parameter_count >= 0)
        es_json_put_int(json, "parameter_count", m->parameter_count);
    es_json_put_int(json, "test_samples", (int64_t)m->test_count);
    es_json_key(json, "stages");
    es_json_list_begin(json);
    for (size_t k = 0; k < v->stage_count; k++)
        put_stage(json, &v->stages[k], &m->stages[k]);
    es_json_list_end(json);
    es_json_key(json, "pipelines");
    es_json_list_begin(json);
    for (size_t p = 0; p < v->pipeline_count; p++)
        put_pipeline(json, v, m, p);
    es_json_list_end(json);
    es_json_put_bool(json, "offered", m->offered);
}

/* ---- the fragment ---- */

void es_tell_segments(const es_variants_told *told, size_t i, es_text *out)
{
    const es_variant *v = &told->variants[i];
    const es_variant_measure *m = &told->measures[i];
    for (size_t k = 0; k < v->stage_count; k++) {
        const es_stage_measure *stage = &m->stages[k];
        es_text_append(out, "  - name: ");
        es_tell_quoted(out, v->name, v->stages[k].suffix);
        es_text_append(out, "\n    variant: ");
        es_tell_quoted(out, v->name, "");
        es_text_append(out, "\n    file: ");
        es_tell_quoted(out, es_tell_file(v->stages[k].path), "");
        es_text_format(out, "\n    memory_bytes: %llu\n", (unsigned long long)stage->file_bytes);
        if (stage->forward_bytes > 0)
            es_text_format(out, "    output_bytes: %zu\n", stage->forward_bytes);
        if (stage->macs >= 0)
            es_text_format(out, "    work_macs: %lld\n", (long long)stage->macs);
        es_tell_on(out, told->kind, &stage->latency, &stage->energy);
    }
}

/* A reach of 0 is no reach to a scenario; what none of n came to is less likely than 1 / n. */
static double told_reach(double reach, size_t count)
{
    return reach > 0 ? reach : 0.5 / (double)count;
}

void es_tell_pipelines(const es_variants_told *told, size_t i, es_text *out)
{
    const es_variant *v = &told->variants[i];
    const es_variant_measure *m = &told->measures[i];
    for (size_t p = 0; p < v->pipeline_count; p++) {
        const es_pipeline_measure *found = &m->pipelines[p];
        es_text_append(out, "  - name: ");
        es_tell_quoted(out, es_tell_pipeline_name(v, p, (char[ES_TELL_NAME]){0}), "");
        es_text_append(out, "\n    task: ");
        es_tell_quoted(out, told->task, "");
        es_text_format(out, "\n    quality: %.4f # %.4f to %.4f on %zu samples\n    stages:\n",
                       found->quality.value, found->quality.low, found->quality.high,
                       m->test_count);
        for (size_t k = 0; k < v->stage_count; k++) {
            double threshold = v->pipelines[p].thresholds[k];
            es_text_append(out, "      - {segment: ");
            es_tell_quoted(out, v->name, v->stages[k].suffix);
            if (k > 0)
                es_text_format(out, ", reach: %.6g", told_reach(found->reach[k], m->test_count));
            if (k + 1 < v->stage_count && v->stages[k].exit && threshold <= 1) {
                es_text_append(out, ", exit_threshold: ");
                es_text_double(out, threshold);
            }
            es_text_append(out, "}\n");
        }
    }
}
