#include "cli/record.h"

#include "base/document.h"
#include "base/file.h"

#include <math.h>

enum { DOCUMENT_SIZE_MAX = 1 << 30 };

/* "device only" becomes "device-only", to name files with. */
static char *file_stem(es_arena *arena, const char *label)
{
    char *stem = es_arena_text(arena, label);
    for (char *c = stem; c != NULL && *c != '\0'; c++)
        if (*c == ' ' || *c == '/')
            *c = '-';
    return stem;
}

static es_status write_text(es_cli *cli, const char *folder, const char *name, const es_text *text,
                            es_error *err)
{
    char *path = es_file_join(cli->arena, folder, name);
    if (path == NULL)
        return es_arena_full(cli->arena, "path", err);
    ES_TRY(es_text_status(text, err));
    return es_file_write(path, es_text_get(text), text->size, err);
}

static es_status write_outcome(es_cli *cli, const es_outcome *outcome, const char *folder,
                               const char *name, es_json *json, const char *key, es_error *err)
{
    if (outcome == NULL)
        return ES_OK;
    ES_CLEANUP(es_text_done) es_text text;
    es_text_init(&text, DOCUMENT_SIZE_MAX);
    es_outcome_write(outcome, &text);
    ES_TRY(write_text(cli, folder, name, &text, err));
    es_json_put_text(json, key, name);
    return ES_OK;
}

static es_status write_case(es_cli *cli, const es_record *record, const es_report_case *one,
                            const char *folder, es_json *json, es_error *err)
{
    const char *stem = file_stem(cli->arena, one->label);
    if (stem == NULL)
        return es_arena_full(cli->arena, "record", err);
    char *plan = es_arena_format(cli->arena, "%s.plan.json", stem);
    char *predicted = es_arena_format(cli->arena, "%s.predicted.jsonl", stem);
    char *measured = es_arena_format(cli->arena, "%s.measured.jsonl", stem);
    if (plan == NULL || predicted == NULL || measured == NULL)
        return es_arena_full(cli->arena, "record", err);
    es_json_map_begin(json);
    es_json_put_text(json, "label", one->label);
    if (one->note != NULL)
        es_json_put_text(json, "note", one->note);
    if (one->plan != NULL) {
        ES_CLEANUP(es_text_done) es_text text;
        es_text_init(&text, DOCUMENT_SIZE_MAX);
        es_plan_write(one->plan, record->scenario, &text);
        ES_TRY(write_text(cli, folder, plan, &text, err));
        es_json_put_text(json, "plan", plan);
    }
    ES_TRY(write_outcome(cli, one->predicted, folder, predicted, json, "predicted", err));
    ES_TRY(write_outcome(cli, one->measured, folder, measured, json, "measured", err));
    es_json_map_end(json);
    return ES_OK;
}

es_status es_record_write(es_cli *cli, const es_record *record, const char *folder, es_error *err)
{
    ES_CLEANUP(es_text_done) es_text text;
    es_text_init(&text, DOCUMENT_SIZE_MAX);
    es_json json;
    es_json_init(&json, &text, false);
    es_json_map_begin(&json);
    es_json_put_text(&json, "format", "estran-run");
    es_json_put_int(&json, "version", 1);
    es_json_put_text(&json, "scenario", record->scenario_file);
    es_json_put_text(&json, "machine", record->machine);
    es_json_key(&json, "host_times");
    es_json_list_begin(&json);
    for (uint32_t i = 0; i < record->scenario->segment_count; i++) {
        if (isnan(record->host_time_s[i]))
            continue;
        es_json_map_begin(&json);
        es_json_put_text(&json, "segment", record->scenario->segments[i].name);
        es_json_put_number(&json, "time_s", record->host_time_s[i]);
        es_json_map_end(&json);
    }
    es_json_list_end(&json);
    es_json_key(&json, "cases");
    es_json_list_begin(&json);
    for (size_t i = 0; i < record->case_count; i++)
        ES_TRY(write_case(cli, record, &record->cases[i], folder, &json, err));
    es_json_list_end(&json);
    es_json_map_end(&json);
    return write_text(cli, folder, "run.json", &text, err);
}

static es_status read_host_times(es_cli *cli, const es_doc *root, const es_scenario *given,
                                 es_record *record, es_error *err)
{
    const es_doc *times = NULL;
    ES_TRY(es_doc_need_list(root, "host_times", &times, err));
    double *host_time_s = ES_TAKE_ARRAY(cli->arena, double, given->segment_count);
    if (host_time_s == NULL)
        return es_arena_full(cli->arena, "host times", err);
    for (uint32_t i = 0; i < given->segment_count; i++)
        host_time_s[i] = (double)NAN;
    for (size_t i = 0; i < times->as.list.count; i++) {
        const es_doc *entry = times->as.list.items[i];
        const char *name = NULL;
        double time_s = 0;
        ES_TRY(ES_DOC_EXPECT_KEYS(entry, err, "segment", "time_s"));
        ES_TRY(es_doc_need_text(entry, "segment", &name, err));
        ES_TRY(es_doc_need_number(entry, "time_s", 1e-9, 1e6, &time_s, err));
        es_segment_id segment = es_scenario_segment_find(given, name);
        if (segment.index == ES_INDEX_NONE)
            return es_doc_fail(entry, err, "unknown segment '%s' in scenario '%s'", name,
                               given->name);
        host_time_s[segment.index] = time_s;
    }
    record->host_time_s = host_time_s;
    return es_scenario_with_host_times(cli->arena, given, host_time_s, &record->scenario, err);
}

static es_status read_outcome(es_cli *cli, const es_doc *entry, const char *folder, const char *key,
                              const es_outcome **out, es_error *err)
{
    const char *name = NULL;
    ES_TRY(es_doc_get_text(entry, key, &name, err));
    if (name == NULL)
        return ES_OK;
    char *path = es_file_join(cli->arena, folder, name);
    if (path == NULL)
        return es_arena_full(cli->arena, "path", err);
    return es_outcome_load(cli->arena, path, out, err);
}

static es_status read_case(es_cli *cli, const es_doc *entry, const char *folder,
                           const es_scenario *scenario, es_report_case *out, es_error *err)
{
    ES_TRY(ES_DOC_EXPECT_KEYS(entry, err, "label", "note", "plan", "predicted", "measured"));
    ES_TRY(es_doc_need_text(entry, "label", &out->label, err));
    ES_TRY(es_doc_get_text(entry, "note", &out->note, err));
    const char *plan = NULL;
    ES_TRY(es_doc_get_text(entry, "plan", &plan, err));
    if (plan != NULL) {
        char *path = es_file_join(cli->arena, folder, plan);
        if (path == NULL)
            return es_arena_full(cli->arena, "path", err);
        ES_TRY(es_plan_load(cli->arena, path, scenario, &out->plan, err));
    }
    ES_TRY(read_outcome(cli, entry, folder, "predicted", &out->predicted, err));
    return read_outcome(cli, entry, folder, "measured", &out->measured, err);
}

es_status es_record_read(es_cli *cli, const char *folder, es_record *out_record, es_error *err)
{
    char *path = es_file_join(cli->arena, folder, "run.json");
    if (path == NULL)
        return es_arena_full(cli->arena, "path", err);
    const es_doc *root = NULL;
    es_record record = {0};
    ES_TRY(es_doc_read(cli->arena, path, DOCUMENT_SIZE_MAX, &root, err));
    ES_TRY(ES_DOC_EXPECT_KEYS(root, err, "format", "version", "scenario", "machine", "host_times",
                              "cases"));
    ES_TRY(es_doc_expect_format(root, "estran-run", 1, err));
    ES_TRY(es_doc_need_text(root, "scenario", &record.scenario_file, err));
    ES_TRY(es_doc_need_text(root, "machine", &record.machine, err));
    const es_scenario *given = NULL;
    ES_TRY(es_within(err, es_scenario_load(cli->arena, record.scenario_file, &given, err), "%s",
                     path));
    ES_TRY(read_host_times(cli, root, given, &record, err));
    const es_doc *cases = NULL;
    ES_TRY(es_doc_need_list(root, "cases", &cases, err));
    if (cases->as.list.count > ES_RECORD_CASES_MAX)
        return es_doc_fail(cases, err, "%zu cases, at most %d", cases->as.list.count,
                           ES_RECORD_CASES_MAX);
    for (size_t i = 0; i < cases->as.list.count; i++)
        ES_TRY(read_case(cli, cases->as.list.items[i], folder, record.scenario, &record.cases[i],
                         err));
    record.case_count = cases->as.list.count;
    *out_record = record;
    return ES_OK;
}

static void put_row(es_json *json, const char *key, const es_outcome *outcome)
{
    if (outcome == NULL)
        return;
    const es_outcome_row *total = &outcome->total;
    es_json_key(json, key);
    es_json_map_begin(json);
    es_json_put_number(json, "arrived", total->arrived);
    es_json_put_number(json, "served", total->served);
    es_json_put_number(json, "refused", total->refused);
    es_json_put_number(json, "failed", total->failed);
    es_json_put_number(json, "in_flight", total->in_flight);
    es_json_put_number(json, "late", total->late);
    es_json_put_number(json, "quality", total->quality_mean);
    es_json_put_number(json, "latency_s_mean", total->latency_s_mean);
    es_json_put_number(json, "latency_s_p50", total->latency_s_p50);
    es_json_put_number(json, "latency_s_p95", total->latency_s_p95);
    es_json_put_number(json, "latency_s_p99", total->latency_s_p99);
    es_json_put_number(json, "energy_j", outcome->energy_total_j);
    es_json_put_number(json, "carbon_gco2e", total->carbon_g);
    es_json_put_number(json, "objective_per_s", outcome->objective_per_s);
    es_json_map_end(json);
}

static void write_summary(const es_record *record, const char *page, es_text *out)
{
    es_json json;
    es_json_init(&json, out, false);
    es_json_map_begin(&json);
    es_json_put_text(&json, "scenario", record->scenario->name);
    es_json_put_text(&json, "report", page);
    es_json_key(&json, "cases");
    es_json_list_begin(&json);
    for (size_t i = 0; i < record->case_count; i++) {
        es_json_map_begin(&json);
        es_json_put_text(&json, "label", record->cases[i].label);
        if (record->cases[i].note != NULL)
            es_json_put_text(&json, "note", record->cases[i].note);
        put_row(&json, "predicted", record->cases[i].predicted);
        put_row(&json, "measured", record->cases[i].measured);
        es_json_map_end(&json);
    }
    es_json_list_end(&json);
    es_json_map_end(&json);
}

es_status es_record_report(es_cli *cli, const es_record *record, const char *folder, es_error *err)
{
    es_report report = {
        .scenario = record->scenario,
        .case_count = record->case_count,
        .cases = record->cases,
        .made_by = "estran " ES_VERSION,
        .machine = record->machine,
    };
    ES_CLEANUP(es_text_done) es_text text;
    es_text_init(&text, DOCUMENT_SIZE_MAX);
    es_report_html(&report, &text);
    ES_TRY(write_text(cli, folder, "report.html", &text, err));
    es_text_clear(&text);
    es_report_csv(&report, &text);
    ES_TRY(write_text(cli, folder, "report.csv", &text, err));
    es_text_clear(&text);
    char *page = es_file_join(cli->arena, folder, "report.html");
    if (page == NULL)
        return es_arena_full(cli->arena, "path", err);
    if (cli->json) {
        write_summary(record, page, &text);
    } else {
        es_report_text(&report, 100, cli->color, &text);
        es_text_format(&text, "\nreport: %s\n", page);
    }
    return es_cli_print(&text, err);
}
