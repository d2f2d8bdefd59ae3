/* estran pareto: what can be had of several objectives at once. */
#include "base/file.h"
#include "cli/cli.h"
#include "plan/plan.h"
#include "report/report.h"

#include <math.h>

typedef struct options {
    const char *objectives;
    size_t method;
    int64_t points;
    double time_limit;
    int64_t threads;
    const char *output;
    const char *svg;
    const char *plans;
} options;

static const es_option rows[] = {
    {.name = "objectives",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, objectives),
     .value = "LIST",
     .fallback = "latency,energy,quality",
     .help = "two or three of latency, energy, quality, carbon"},
    {.name = "method",
     .type = ES_OPTION_WORD,
     .offset = offsetof(options, method),
     .value = "METHOD",
     .fallback = "auto",
     .words = es_front_method_names,
     .word_count = ES_FRONT_METHOD_COUNT,
     .help = "how to find points"},
    {.name = "points",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, points),
     .value = "N",
     .fallback = "20",
     .min = 2,
     .max = 10000,
     .help = "how many points approx looks for; exact finds all"},
    {.name = "time-limit",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, time_limit),
     .value = "SECONDS",
     .fallback = "60",
     .min = 0.001,
     .max = 1e6,
     .help = "what was found and proven within this"},
    {.name = "threads",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, threads),
     .value = "N",
     .fallback = "1",
     .min = 1,
     .max = 256,
     .help = "worker threads"},
    {.name = "output",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, output),
     .value = "FILE",
     .help = "write the front document here"},
    {.name = "svg",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, svg),
     .value = "FILE",
     .help = "draw the front here"},
    {.name = "plans",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, plans),
     .value = "FOLDER",
     .help = "write each point's plan here, as 1.json and so on"},
};

/* One word of the list, without the spaces around it. */
static es_status read_measure(es_cli *cli, const char *word, size_t size, es_front_opts *opts,
                              es_error *err)
{
    while (size > 0 && *word == ' ') {
        word++;
        size--;
    }
    while (size > 0 && word[size - 1] == ' ')
        size--;
    char *name = es_arena_text_n(cli->arena, word, size);
    if (name == NULL)
        return es_arena_full(cli->arena, "objectives", err);
    for (size_t i = 0; i < ES_MEASURE_COUNT; i++) {
        if (strcmp(name, es_measure_names[i]) != 0)
            continue;
        if (opts->measure_count == ES_FRONT_MEASURES_MAX)
            return es_fail(err, ES_ERR_ARG, "--objectives: more than three, from '%s' on", name);
        for (uint32_t k = 0; k < opts->measure_count; k++)
            if (opts->measures[k] == (es_measure)i)
                return es_fail(err, ES_ERR_ARG, "--objectives: '%s' is given twice", name);
        opts->measures[opts->measure_count++] = (es_measure)i;
        return ES_OK;
    }
    const char *nearest = es_text_nearest(name, es_measure_names, ES_MEASURE_COUNT);
    if (nearest != NULL)
        return es_fail(err, ES_ERR_ARG, "--objectives: unknown word '%s' (did you mean '%s'?)",
                       name, nearest);
    return es_fail(err, ES_ERR_ARG,
                   "--objectives: unknown word '%s', expected two or three of: latency, energy, "
                   "quality, carbon",
                   name);
}

static es_status read_measures(es_cli *cli, const char *list, es_front_opts *opts, es_error *err)
{
    opts->measure_count = 0;
    for (const char *word = list;;) {
        size_t size = strcspn(word, ",");
        ES_TRY(read_measure(cli, word, size, opts, err));
        if (word[size] == '\0')
            break;
        word += size + 1;
    }
    if (opts->measure_count < 2)
        return es_fail(err, ES_ERR_ARG, "--objectives: '%s' is one, expected two or three", list);
    return ES_OK;
}

/* "latency s/s"; the quality is a loss. */
static void head_cell(es_cli_table *table, es_measure measure)
{
    es_cli_cell(table, "%s%s %s", es_measure_names[measure],
                measure == ES_MEASURE_QUALITY ? " loss" : "", es_measure_units[measure]);
}

/* Requests per second that a plan sends over a pipeline. */
static double served_rps(const es_scenario *scenario, const es_plan *plan, uint32_t pipeline)
{
    double served = 0;
    for (size_t i = 0; i < plan->routing_count; i++)
        if (plan->routings[i].pipeline.index == pipeline)
            served += plan->routings[i].share *
                      scenario->classes[plan->routings[i].class_id.index].arrivals.rate_rps;
    return served;
}

/* The pipelines of a plan by the share of requests they serve, the largest by name: "small 62 %,
 * split 30 %, 3 more". */
static void put_pipelines(const es_scenario *scenario, const es_plan *plan, es_text *out)
{
    enum { NAMED = 3 };
    uint32_t named[NAMED];
    double shares[NAMED] = {0};
    double total = 0;
    size_t count = 0;
    for (uint32_t r = 0; r < scenario->class_count; r++)
        total += scenario->classes[r].arrivals.rate_rps;
    for (uint32_t p = 0; p < scenario->pipeline_count && total > 0; p++) {
        double share = served_rps(scenario, plan, p) / total;
        if (share <= 0)
            continue;
        size_t at = count < NAMED ? count : NAMED - 1;
        bool in = count < NAMED || share > shares[at];
        count++;
        if (!in)
            continue;
        for (; at > 0 && shares[at - 1] < share; at--) {
            shares[at] = shares[at - 1];
            named[at] = named[at - 1];
        }
        shares[at] = share;
        named[at] = p;
    }
    for (size_t i = 0; i < count && i < NAMED; i++)
        es_text_format(out, "%s%s %.0f %%", i > 0 ? ", " : "", scenario->pipelines[named[i]].name,
                       100 * shares[i]);
    if (count > NAMED)
        es_text_format(out, ", %zu more", count - NAMED);
}

static void show(es_cli *cli, const es_scenario *scenario, const es_front *front, es_text *text)
{
    es_text_format(text, "%s: ", front->scenario);
    if (front->quality == ES_PLAN_OPTIMAL)
        es_text_format(text, "exact front of %zu points", front->point_count);
    else if (front->quality == ES_PLAN_FEASIBLE)
        es_text_format(text, "%zu points by %s", front->point_count,
                       es_front_method_names[front->method]);
    else
        es_text_format(text, "%s", es_plan_quality_names[front->quality]);
    if (front->point_count > 0)
        es_text_format(text, ", hypervolume %.6g", front->hypervolume);
    if (front->point_count > 0 && isfinite(front->hypervolume_bound) &&
        front->quality != ES_PLAN_OPTIMAL)
        es_text_format(text, ", proven bound %.6g, gap %.3g %%", front->hypervolume_bound,
                       100 * (front->hypervolume_bound / front->hypervolume - 1));
    es_text_append(text, "\n");
    if (front->conflict != NULL)
        es_text_format(text, "%s\n", front->conflict);
    if (front->point_count == 0)
        return;
    es_cli_table table = {.arena = cli->arena, .columns = front->measure_count + 2};
    es_text words;
    es_text_init(&words, 1 << 16);
    es_cli_cell(&table, "point");
    for (uint32_t k = 0; k < front->measure_count; k++)
        head_cell(&table, front->measures[k]);
    es_cli_cell(&table, "requests by pipeline");
    for (size_t i = 0; i < front->point_count; i++) {
        es_cli_cell(&table, "%zu", i + 1);
        for (uint32_t k = 0; k < front->measure_count; k++)
            es_cli_cell(&table, "%.5g", front->points[i].values[k]);
        es_text_clear(&words);
        put_pipelines(scenario, front->points[i].plan, &words);
        es_cli_cell(&table, "%s", es_text_get(&words));
    }
    es_text_done(&words);
    es_cli_table_print(&table, text);
}

/* Writes what text holds, and clears it. */
static es_status put_file(const char *path, es_text *text, es_error *err)
{
    es_status status = es_text_status(text, err);
    if (status == ES_OK)
        status = es_file_write(path, es_text_get(text), text->size, err);
    es_text_clear(text);
    return status;
}

static es_status put_plans(es_cli *cli, const es_scenario *scenario, const es_front *front,
                           const char *folder, es_text *text, es_error *err)
{
    ES_TRY(es_file_make_folder(folder, err));
    for (size_t i = 0; i < front->point_count; i++) {
        char *path = es_arena_format(cli->arena, "%s/%zu.json", folder, i + 1);
        if (path == NULL)
            return es_arena_full(cli->arena, "paths of plans", err);
        es_plan_write(front->points[i].plan, scenario, text);
        ES_TRY(put_file(path, text, err));
    }
    return ES_OK;
}

static es_status put_all(es_cli *cli, const es_scenario *scenario, const es_front *front,
                         const options *chosen, es_text *text, es_error *err)
{
    if (chosen->output != NULL) {
        es_front_write(front, scenario, text);
        ES_TRY(put_file(chosen->output, text, err));
    }
    if (chosen->svg != NULL) {
        es_report_front(front, text);
        ES_TRY(put_file(chosen->svg, text, err));
    }
    if (chosen->plans != NULL)
        ES_TRY(put_plans(cli, scenario, front, chosen->plans, text, err));
    bool taken = (chosen->output != NULL && strcmp(chosen->output, "-") == 0) ||
                 (chosen->svg != NULL && strcmp(chosen->svg, "-") == 0);
    if (cli->json)
        es_front_write(front, scenario, text);
    else if (!taken)
        show(cli, scenario, front, text);
    return es_cli_print(text, err);
}

static es_status run(es_cli *cli, const void *given, const char *const *files, size_t count,
                     es_error *err)
{
    (void)count;
    const options *chosen = given;
    const es_scenario *scenario = NULL;
    const es_front *front = NULL;
    es_front_opts opts = es_front_opts_default();
    ES_TRY(read_measures(cli, chosen->objectives, &opts, err));
    ES_TRY(es_scenario_load(cli->arena, files[0], &scenario, err));
    opts.method = (es_front_method)chosen->method;
    opts.point_count = (uint32_t)chosen->points;
    opts.plan.time_limit_s = chosen->time_limit;
    opts.plan.thread_count = (uint32_t)chosen->threads;
    if (cli->seed != 0)
        opts.plan.seed = (uint64_t)cli->seed;
    ES_TRY(es_front_solve(cli->arena, scenario, opts, &front, err));
    es_text text;
    es_text_init(&text, (size_t)1 << 30);
    es_status status = put_all(cli, scenario, front, chosen, &text, err);
    es_text_done(&text);
    if (front->quality == ES_PLAN_INFEASIBLE || front->quality == ES_PLAN_UNKNOWN)
        cli->exit_code = 3;
    return status;
}

const es_verb es_verb_pareto = {
    .name = "pareto",
    .group = "decide",
    .summary = "what can be had of several objectives at once",
    .arguments = "SCENARIO",
    .details =
        "Prints the plans none of which is better than another in every objective, each a sum\n"
        "over the scenario per second: exactly for small scenarios (each class on one path), else\n"
        "some of them with a proven bound of what any others could add (hypervolume). --json\n"
        "prints the document with every plan. Exits with 3 when there is no feasible plan.\n\n"
        "  estran pareto examples/01-first-run/scenario.yaml --objectives latency,energy \\\n"
        "      --svg front.svg --plans plans",
    .file_min = 1,
    .file_max = 1,
    .options = rows,
    .option_count = sizeof rows / sizeof rows[0],
    .options_size = sizeof(options),
    .run = run,
};
