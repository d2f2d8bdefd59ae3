/* estran footprint: joules, grams and the rest of a life cycle, of outcomes or of a scenario. */
#include "cli/footprint.h"

#include "base/file.h"

#include <math.h>

static const char *const allocations[] = {"on", "busy"};
static const char *const minimises[] = {"none", "energy", "carbon"};
enum { FRONT_POINTS = 12, FRONT_TIME_LIMIT_S = 20 };

#define TEXTS(name_, field, value_, help_)                                                         \
    {                                                                                              \
        .name = (name_), .type = ES_OPTION_TEXTS, .offset = offsetof(es_footprint_options, field), \
        .value = (value_), .help = (help_)                                                         \
    }
#define TEXT(name_, field, value_, fallback_, help_)                                               \
    {                                                                                              \
        .name = (name_), .type = ES_OPTION_TEXT, .offset = offsetof(es_footprint_options, field),  \
        .value = (value_), .fallback = (fallback_), .help = (help_)                                \
    }

static const es_option rows[] = {
    TEXT("scenario", scenario, "FILE", NULL, "the scenario that the outcomes are of"),
    TEXT("grid", grid, "SOURCE", "scenario",
         "where grams per kWh come from: scenario, or a table's boavizta, codecarbon, ecologits"),
    TEXTS("zone", zones, "NODE=ZONE", "electricity zone of a node; a bare ZONE: of all without"),
    TEXTS("series", series, "ZONE=FILE", "grams per kWh as time goes: CSV with time in column 1"),
    TEXT("column", column, "NAME", NULL, "column of the series with gCO2e/kWh; else the second"),
    {.name = "from",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(es_footprint_options, from_h),
     .value = "HOURS",
     .fallback = "0",
     .min = 0,
     .max = 1e6,
     .help = "where in the series the first slot lies"},
    TEXTS("pue", pue, "TIER=VALUE",
          "total over equipment energy of a tier: a number, or a table's "
          "aws, azure, gcp"),
    TEXTS("water", water, "TIER=L/kWh", "water used on site per kWh of equipment"),
    TEXTS("hardware", hardware, "KIND=NAME",
          "count the making: what a kind of node is (server, gpu, smartphone, sensor-board, ...)"),
    {.name = "allocate",
     .type = ES_OPTION_WORD,
     .offset = offsetof(es_footprint_options, allocate),
     .value = "KEY",
     .fallback = "on",
     .words = allocations,
     .word_count = 2,
     .help = "hardware's share: of the time a node is on, or of its busy time"},
    {.name = "minimise",
     .type = ES_OPTION_WORD,
     .offset = offsetof(es_footprint_options, minimise),
     .value = "WHAT",
     .fallback = "none",
     .words = minimises,
     .word_count = 3,
     .help = "solve again for this alone, at the baselines' quality"},
    {.name = "growth",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(es_footprint_options, growth),
     .value = "PERCENT",
     .fallback = "0",
     .min = 0,
     .max = 1e4,
     .help = "yearly growth of demand: tells when a saving is gone"},
    TEXTS("factors", factors, "FILE", "a factor table laid over the built-in ones"),
    TEXT("html", html, "FILE", NULL, "write a page, for a scenario with its front"),
    TEXT("svg", svg, "FILE", NULL, "draw the grams by place and cause"),
    {.name = "federated",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(es_footprint_options, federated),
     .help = "centralised, federated and consensus learning instead; FILE: docs/reference"},
};

static es_status load_outcomes(es_cli *cli, const char *const *files, size_t count,
                               es_footprint_cases *cases, es_error *err)
{
    for (size_t i = 0; i < count; i++) {
        es_footprint_case *one = &cases->items[cases->count++];
        ES_TRY(es_outcome_load(cli->arena, files[i], &one->outcome, err));
        one->label = one->outcome->label;
        for (size_t k = 0; k < i; k++)
            if (strcmp(cases->items[k].label, one->label) == 0)
                one->label = files[i]; /* two of one label are told apart by file */
        if (i > 0)
            cases->savings[cases->saving_count++] = (es_report_saving){0, i};
    }
    return ES_OK;
}

static bool is_outcome(const char *path)
{
    size_t size = strlen(path);
    return size > 6 && (strcmp(path + size - 6, ".jsonl") == 0 ||
                        (size > 9 && strcmp(path + size - 9, ".jsonl.gz") == 0));
}

static es_status get_cases(es_cli *cli, const es_footprint_options *chosen,
                           const char *const *files, size_t count, const es_scenario **out_scenario,
                           es_footprint_cases *cases, es_error *err)
{
    const char *path = chosen->scenario;
    if (path == NULL && count > 0 && is_outcome(files[0]))
        return es_fail(err, ES_ERR_ARG,
                       "footprint: an outcome knows no tiers and grids: give --scenario FILE");
    if (path == NULL && count > 0) {
        path = files[0];
        files++;
        count--;
    }
    if (path == NULL)
        return es_fail(err, ES_ERR_ARG,
                       "footprint: missing argument; usage: estran footprint "
                       "[options] SCENARIO [OUTCOME...]");
    ES_TRY(es_scenario_load(cli->arena, path, out_scenario, err));
    if (count == 0)
        return es_footprint_plan_cases(cli, *out_scenario, chosen->minimise, cases, err);
    if (chosen->minimise != ES_MINIMISE_NONE)
        return es_fail(err, ES_ERR_ARG, "--minimise solves a scenario, outcomes have happened");
    return load_outcomes(cli, files, count, cases, err);
}

/* Without the cases that have no outcome; the savings' numbers follow. */
static es_status assemble(es_cli *cli, const es_footprint_cases *cases,
                          const es_footprint *const *footprints, es_report_footprints *report,
                          es_error *err)
{
    es_report_footprint_case *shown =
        ES_TAKE_ARRAY(cli->arena, es_report_footprint_case, ES_FOOTPRINT_CASES_MAX);
    es_report_saving *savings = ES_TAKE_ARRAY(cli->arena, es_report_saving, ES_FOOTPRINT_CASES_MAX);
    size_t at[ES_FOOTPRINT_CASES_MAX] = {0};
    if (shown == NULL || savings == NULL)
        return es_arena_full(cli->arena, "report", err);
    for (size_t i = 0; i < cases->count; i++) {
        const es_footprint_case *one = &cases->items[i];
        at[i] = report->case_count;
        if (footprints[i] == NULL) {
            es_cli_say(cli, "%s: %s", one->label, one->note);
            continue;
        }
        const es_outcome *outcome = one->outcome;
        shown[report->case_count++] =
            (es_report_footprint_case){.label = one->label,
                                       .footprint = footprints[i],
                                       .quality = outcome->total.quality_mean,
                                       .served = outcome->total.served,
                                       .asked = outcome->total.arrived,
                                       .plain_j = outcome->energy_total_j / outcome->total.served,
                                       .note = one->note};
    }
    for (size_t i = 0; i < cases->saving_count; i++) {
        es_report_saving pair = {at[cases->savings[i].of], at[cases->savings[i].than]};
        ES_TRY(es_footprint_comparable(shown[pair.of].footprint, shown[pair.than].footprint, err));
        savings[report->saving_count++] = pair;
    }
    report->cases = shown;
    report->savings = savings;
    return ES_OK;
}

static es_status put_file(const char *path, es_text *text, es_error *err)
{
    es_status status = es_text_status(text, err);
    if (status == ES_OK)
        status = es_file_write(path, es_text_get(text), text->size, err);
    es_text_clear(text);
    return status;
}

static es_status put_all(es_cli *cli, const es_footprint_options *chosen,
                         const es_report_footprints *report, es_text *text, es_error *err)
{
    if (chosen->html != NULL) {
        es_report_footprint_html(report, text);
        ES_TRY(put_file(chosen->html, text, err));
    }
    if (chosen->svg != NULL) {
        es_report_footprint_svg(report, text);
        ES_TRY(put_file(chosen->svg, text, err));
    }
    if (cli->json)
        es_report_footprint_json(report, text);
    else
        es_report_footprint_text(report, text);
    return es_cli_print(text, err);
}

/* Of energy and quality, per request of all classes. */
static es_status get_front(es_cli *cli, const es_scenario *scenario, es_report_footprints *report,
                           es_error *err)
{
    es_front_opts opts = es_front_opts_default();
    opts.measures[0] = ES_MEASURE_ENERGY;
    opts.measures[1] = ES_MEASURE_QUALITY;
    opts.measure_count = 2;
    opts.point_count = FRONT_POINTS;
    opts.plan.time_limit_s = FRONT_TIME_LIMIT_S;
    for (uint32_t c = 0; c < scenario->class_count; c++)
        report->rate_rps += scenario->classes[c].arrivals.rate_rps;
    return es_front_solve(cli->arena, scenario, opts, &report->front, err);
}

static es_status run(es_cli *cli, const void *given, const char *const *files, size_t count,
                     es_error *err)
{
    const es_footprint_options *chosen = given;
    if (chosen->federated)
        return es_footprint_learning(cli, chosen, count > 0 ? files[0] : NULL, err);
    const es_scenario *scenario = NULL;
    es_footprint_cases cases = {0};
    const es_footprint *footprints[ES_FOOTPRINT_CASES_MAX] = {NULL};
    ES_TRY(get_cases(cli, chosen, files, count, &scenario, &cases, err));
    ES_TRY(es_footprint_of_cases(cli, scenario, chosen, &cases, footprints, err));
    es_report_footprints report = {
        .title = scenario->name, .growth = chosen->growth / 100, .made_by = "estran " ES_VERSION};
    ES_TRY(assemble(cli, &cases, footprints, &report, err));
    if (report.case_count == 0) {
        cli->exit_code = 3;
        return ES_OK;
    }
    if (chosen->html != NULL && count <= (chosen->scenario == NULL ? 1u : 0u))
        ES_TRY(get_front(cli, scenario, &report, err));
    es_text text;
    es_text_init(&text, (size_t)1 << 28);
    es_status status = put_all(cli, chosen, &report, &text, err);
    es_text_done(&text);
    return status;
}

const es_verb es_verb_footprint = {
    .name = "footprint",
    .group = "explain",
    .summary = "energy, carbon and life cycle per request and year",
    .arguments = "SCENARIO [OUTCOME...]",
    .details =
        "Of outcomes, or of a scenario's plan and the baselines device only and cloud only. Each\n"
        "figure is low, value, high; the boundary and the sources stand beside them; sources are\n"
        "never mixed within a comparison. With --hardware also what making the machines cost.\n\n"
        "  estran footprint examples/02-measured-catalogue/scenario.yaml --minimise energy\n"
        "  estran footprint scenario.yaml outcome.jsonl --grid ecologits --zone FRA\n"
        "  estran footprint --federated learning.yaml",
    .file_min = 0,
    .file_max = ES_FOOTPRINT_CASES_MAX,
    .options = rows,
    .option_count = sizeof rows / sizeof rows[0],
    .options_size = sizeof(es_footprint_options),
    .run = run,
};
