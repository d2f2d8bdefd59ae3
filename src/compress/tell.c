/*
 * The variants document, and the fragment of a scenario.
 */
#include "compress/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *es_tell_file(const char *path)
{
    const char *slash = path != NULL ? strrchr(path, '/') : NULL;
    return slash != NULL ? slash + 1 : path;
}

/* ---- the document ---- */

void es_tell_bounds(es_json *json, const char *key, es_bounds b)
{
    es_json_key(json, key);
    es_json_map_begin(json);
    es_json_put_number(json, "value", b.value);
    es_json_put_number(json, "low", b.low);
    es_json_put_number(json, "high", b.high);
    es_json_map_end(json);
}

static void put_energy(es_json *json, const es_variant_measure *m)
{
    const es_profile_energy *e = &m->energy;
    if (!e->known) {
        es_json_key(json, "energy");
        es_json_null(json);
        es_json_put_text(json, "energy_note", m->energy_note);
        return;
    }
    es_json_key(json, "energy");
    es_json_map_begin(json);
    es_json_put_number(json, "energy_j", e->energy_j);
    es_json_put_number(json, "energy_j_low", e->low_j);
    es_json_put_number(json, "energy_j_high", e->high_j);
    es_json_put_text(json, "source", e->source);
    es_json_put_text(json, "method", e->method);
    es_json_put_text(json, "boundary", e->boundary);
    es_json_map_end(json);
}

static void put_measure(es_json *json, const es_variant *v, const es_variant_measure *m)
{
    es_json_put_int(json, "file_bytes", (int64_t)m->file_bytes);
    if (m->macs >= 0) {
        es_json_put_int(json, "macs", m->macs);
        es_json_put_int(json, "parameter_count", m->parameter_count);
    }
    es_json_put_int(json, "test_samples", (int64_t)m->test_count);
    if (m->labelled)
        es_tell_bounds(json, "quality", m->quality);
    if (v->recipe[0] != '\0' && m->test_count > 0) {
        if (!isnan(m->agreement))
            es_json_put_number(json, "agreement", m->agreement);
        if (isfinite(m->output_sqnr_db))
            es_json_put_number(json, "output_sqnr_db", m->output_sqnr_db);
    }
    es_json_put_number(json, "latency_ms_p50", m->latency.ms_p50);
    es_json_put_number(json, "latency_ms_p50_low", m->latency.ms_p50_low);
    es_json_put_number(json, "latency_ms_p50_high", m->latency.ms_p50_high);
    es_json_put_number(json, "latency_ms_p95", m->latency.ms_p95);
    es_json_put_int(json, "repetitions", (int64_t)m->latency.repetitions);
    if (v->recipe[0] != '\0')
        es_tell_bounds(json, "speed_ratio", m->speed);
    put_energy(json, m);
    es_json_put_bool(json, "offered", m->offered);
    if (m->why_not != NULL)
        es_json_put_text(json, "why_not", m->why_not);
}

void es_variants_document(const es_variants_told *told, es_json *json)
{
    es_json_map_begin(json);
    es_json_put_text(json, "format", "estran-variants");
    es_json_put_int(json, "version", 1);
    es_json_put_text(json, "task", told->task);
    es_json_put_text(json, "kind", told->kind);
    es_json_put_text(json, "node", told->measures[0].node);
    es_json_put_text(json, "data", told->data);
    es_json_key(json, "variants");
    es_json_list_begin(json);
    for (size_t i = 0; i < told->count; i++) {
        const es_variant *v = &told->variants[i];
        es_json_map_begin(json);
        es_json_put_text(json, "name", v->name);
        es_json_put_text(json, "recipe", v->recipe);
        es_json_key(json, "files");
        es_json_list_begin(json);
        for (size_t s = 0; s < v->stage_count; s++)
            es_json_text(json, es_tell_file(v->stages[s].path));
        es_json_list_end(json);
        if (v->stage_count > 1)
            es_tell_stages(json, v, &told->measures[i]);
        else
            put_measure(json, v, &told->measures[i]);
        if (v->report != NULL) {
            es_json_key(json, "report");
            es_json_doc(json, v->report);
        }
        es_json_map_end(json);
    }
    es_json_list_end(json);
    es_json_map_end(json);
}

/* ---- the fragment ---- */

/* In double quotes, escaped as in JSON. */
void es_tell_quoted(es_text *out, const char *text, const char *suffix)
{
    es_text both;
    es_text_init(&both, strlen(text) + strlen(suffix) + 1);
    es_text_format(&both, "%s%s", text, suffix);
    es_json_quoted(out, es_text_get(&both));
    es_text_done(&both);
}

const char *es_tell_pipeline_name(const es_variant *v, size_t pipeline, char text[ES_TELL_NAME])
{
    (void)snprintf(text, ES_TELL_NAME, "%s%s", v->name, v->pipelines[pipeline].suffix);
    return text;
}

/* Where it was measured, and what came out. */
void es_tell_on(es_text *out, const char *kind, const es_profile_latency *latency,
                const es_profile_energy *energy)
{
    es_text_append(out, "    on: [{kind: ");
    es_tell_quoted(out, kind, "");
    es_text_format(out, ", time_ms: %.4g", latency->ms_p50);
    if (energy->known && strcmp(kind, "host") != 0)
        es_text_format(out, ", energy_mj: %.4g", 1e3 * energy->energy_j);
    es_text_format(out, "}] # %.4g to %.4g ms", latency->ms_p50_low, latency->ms_p50_high);
    if (energy->known)
        es_text_format(out, "; %.3g mJ by %s", 1e3 * energy->energy_j, energy->source);
    es_text_append(out, "\n");
}

static void put_segment(const es_variants_told *told, size_t i, es_text *out)
{
    const es_variant *v = &told->variants[i];
    const es_variant_measure *m = &told->measures[i];
    es_text_append(out, "  - name: ");
    es_tell_quoted(out, v->name, "");
    es_text_append(out, "\n    file: ");
    es_tell_quoted(out, es_tell_file(v->stages[0].path), "");
    es_text_format(out, "\n    memory_bytes: %llu\n", (unsigned long long)m->file_bytes);
    if (m->macs >= 0)
        es_text_format(out, "    work_macs: %lld\n", (long long)m->macs);
    es_tell_on(out, told->kind, &m->latency, &m->energy);
}

static void put_pipeline(const es_variants_told *told, size_t i, es_text *out)
{
    const es_variant *v = &told->variants[i];
    const es_variant_measure *m = &told->measures[i];
    es_text_append(out, "  - {name: ");
    es_tell_quoted(out, v->name, "");
    es_text_append(out, ", task: ");
    es_tell_quoted(out, told->task, "");
    es_text_format(out, ", quality: %.4f, stages: [{segment: ", m->quality.value);
    es_tell_quoted(out, v->name, "");
    es_text_format(out, "}]} # %.4f to %.4f on %zu samples\n", m->quality.low, m->quality.high,
                   m->test_count);
}

void es_variants_catalogue(const es_variants_told *told, es_text *out)
{
    bool labelled = false;
    es_text_append(out, "format: estran-scenario\nversion: 1\n"
                        "# A part of one, for its `include`. Models are beside this file.\n");
    es_text_format(out, "# Measured on %s; quality on %s.\n", told->measures[0].node, told->data);
    for (size_t i = 0; i < told->count; i++)
        if (!told->measures[i].offered)
            es_text_format(out, "# %s is left out: %s\n", told->variants[i].name,
                           told->measures[i].why_not);
    es_text_append(out, "segments:\n");
    for (size_t i = 0; i < told->count; i++) {
        if (told->measures[i].offered && told->variants[i].stage_count > 1)
            es_tell_segments(told, i, out);
        else if (told->measures[i].offered)
            put_segment(told, i, out);
    }
    for (size_t i = 0; i < told->count; i++)
        labelled = labelled || told->measures[i].labelled;
    if (!labelled) {
        es_text_append(out, "# no pipelines: the samples had no labels, so quality is not known\n");
        return;
    }
    es_text_append(out, "pipelines:\n");
    for (size_t i = 0; i < told->count; i++) {
        if (told->measures[i].offered && told->variants[i].stage_count > 1)
            es_tell_pipelines(told, i, out);
        else if (told->measures[i].offered)
            put_pipeline(told, i, out);
    }
}
