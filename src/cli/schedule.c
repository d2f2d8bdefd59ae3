/* estran schedule: how much work each task gets, where and when. */
#include "schedule/schedule.h"

#include "base/file.h"
#include "cli/schedule_execute.h"
#include "report/report.h"

#include <assert.h>
#include <math.h>

typedef struct options {
    const char *budgets[ES_BUDGET_COUNT];
    size_t method;
    bool discrete;
    bool hull;
    double gap;
    double time_limit;
    bool online;
    double pace;
    double horizon;
    const char *kind;
    int64_t curve;
    bool compare;
    const char *check;
    const char *execute;
    const char *output;
    const char *svg;
    const char *curve_svg;
    const char *html;
} options;

static const es_option rows[] = {
    {.name = "energy-budget",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, budgets[ES_BUDGET_ENERGY]),
     .value = "J",
     .help = "joules in all, or N% of all machines busy throughout"},
    {.name = "carbon-budget",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, budgets[ES_BUDGET_CARBON]),
     .value = "G",
     .help = "grams of CO2e in all, or N%"},
    {.name = "price-budget",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, budgets[ES_BUDGET_PRICE]),
     .value = "X",
     .help = "money in all, in the machines' currency, or N%"},
    {.name = "method",
     .type = ES_OPTION_WORD,
     .offset = offsetof(options, method),
     .value = "METHOD",
     .fallback = "auto",
     .words = es_schedule_method_names,
     .word_count = ES_SCHEDULE_METHOD_COUNT,
     .help = "how to solve"},
    {.name = "discrete",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, discrete),
     .help = "work only at the points of the curves: variants, not a continuum"},
    {.name = "hull",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, hull),
     .help = "take the concave hull of curves that are not concave, and say what was lost"},
    {.name = "gap",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, gap),
     .value = "RATIO",
     .fallback = "1e-6",
     .min = 0,
     .max = 1,
     .help = "exact stops when proven within this of the optimum"},
    {.name = "time-limit",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, time_limit),
     .value = "SECONDS",
     .fallback = "60",
     .min = 0.001,
     .max = 1e6,
     .help = "best schedule within this"},
    {.name = "online",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, online),
     .help = "tasks are known when they arrive; plan again at each arrival"},
    {.name = "pace",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, pace),
     .value = "SHARE",
     .fallback = "1",
     .min = 0,
     .max = 1,
     .help = "with --online: share of a budget that is released as time goes by"},
    {.name = "horizon",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, horizon),
     .value = "SECONDS",
     .fallback = "60",
     .min = 0.001,
     .max = 1e9,
     .help = "of a scenario: requests that arrive within this"},
    {.name = "kind",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, kind),
     .value = "NAME",
     .help = "of a scenario: the kind whose seconds are the work; else the one with most variants"},
    {.name = "curve",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, curve),
     .value = "N",
     .fallback = "0",
     .min = 0,
     .max = 1000,
     .help = "also quality at N energy budgets, evenly spread"},
    {.name = "compare",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, compare),
     .help = "also what the baselines and the fractional bound come to"},
    {.name = "check",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, check),
     .value = "SCHEDULE",
     .help = "instead: whether this schedule document keeps every rule"},
    {.name = "execute",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, execute),
     .value = "OUTCOME",
     .help = "with --online --discrete: run it on node processes; the measured outcome goes here"},
    {.name = "output",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, output),
     .value = "FILE",
     .help = "write the schedule document here"},
    {.name = "svg",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, svg),
     .value = "FILE",
     .help = "draw the schedule as a Gantt chart here"},
    {.name = "curve-svg",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, curve_svg),
     .value = "FILE",
     .help = "draw the curve here; --curve 20 when none is given"},
    {.name = "html",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, html),
     .value = "FILE",
     .help = "write the report here"},
};

/* What the methods are compared with, in this order. */
static const es_schedule_method others[] = {ES_SCHEDULE_FRACTIONAL, ES_SCHEDULE_EDF_3,
                                            ES_SCHEDULE_EDF, ES_SCHEDULE_BEST_FIT,
                                            ES_SCHEDULE_FIFO};
enum { OTHER_COUNT = sizeof others / sizeof others[0], CURVE_DEFAULT = 20, TASKS_SHOWN = 20 };

typedef struct job {
    const options *chosen;
    const es_tasks *tasks;
    const es_machines *machines;
    es_schedule_opts opts;
    const es_scenario *scenario; /* NULL: of documents */
    uint64_t seed;               /* of the scenario's requests */
    const es_schedule *schedule;
    es_online_result online;
    es_execution_told executed; /* outcome NULL: it was not */
    es_schedule_point *points;
    uint32_t point_count;
    es_schedule_case cases[1 + OTHER_COUNT];
    size_t case_count;
} job;

/* ---- what is given ---- */

static es_status load(es_cli *cli, job *j, const char *const *files, size_t count, es_error *err)
{
    if (count == 2) {
        ES_TRY(es_tasks_load(cli->arena, files[0], j->chosen->hull, &j->tasks, err));
        ES_TRY(es_machines_load(cli->arena, files[1], &j->machines, err));
        return ES_OK;
    }
    const es_scenario *scenario = NULL;
    es_status status = es_scenario_load(cli->arena, files[0], &scenario, err);
    if (status == ES_ERR_PARSE && strstr(es_error_text(err), "estran-tasks") != NULL)
        return es_fail(err, ES_ERR_ARG,
                       "schedule: '%s' holds tasks, the machines are missing; usage: estran "
                       "schedule TASKS MACHINES",
                       files[0]);
    ES_TRY(status);
    j->scenario = scenario;
    j->seed = cli->seed != 0 ? (uint64_t)cli->seed : scenario->seed;
    return es_schedule_from_scenario(cli->arena, scenario, j->chosen->kind, j->chosen->horizon,
                                     j->seed, &j->tasks, &j->machines, err);
}

static double share_of(double full, double idle, double share)
{
    return idle + share * (full - idle);
}

/* "12.5" or "30%", which is of all machines busy beyond idle. */
static es_status read_budgets(job *j, es_error *err)
{
    double full[ES_BUDGET_COUNT];
    double idle[ES_BUDGET_COUNT];
    ES_TRY(es_schedule_full_use(j->tasks, j->machines, full, idle, err));
    for (int b = 0; b < ES_BUDGET_COUNT; b++) {
        const char *text = j->chosen->budgets[b];
        char number[64];
        double value;
        if (text == NULL)
            continue;
        size_t size = strlen(text);
        bool share = size > 0 && text[size - 1] == '%';
        (void)snprintf(number, sizeof number, "%.*s", (int)(share ? size - 1 : size), text);
        if (size >= sizeof number || !es_text_to_double(number, &value) || value < 0)
            return es_fail(err, ES_ERR_ARG, "--%s-budget: '%s' must be a number >= 0%s%s, or N%%",
                           es_budget_names[b], text, b == ES_BUDGET_PRICE ? "" : " of ",
                           b == ES_BUDGET_PRICE ? "" : es_budget_units[b]);
        if (share && full[b] <= 0)
            return es_fail(err, ES_ERR_ARG,
                           "--%s-budget: '%s' is a share of nothing: the machines say no %s",
                           es_budget_names[b], text, es_budget_names[b]);
        j->opts.budgets[b] = share ? share_of(full[b], idle[b], value / 100) : value;
    }
    return ES_OK;
}

/* ---- what is decided ---- */

static es_status decide(es_cli *cli, job *j, es_error *err)
{
    if (j->chosen->online) {
        es_online_opts online = {.schedule = j->opts, .pace = j->chosen->pace};
        ES_TRY(es_schedule_online(cli->arena, j->tasks, j->machines, online, &j->online, err));
        j->schedule = j->online.schedule;
    } else {
        es_status status =
            es_schedule_solve(cli->arena, j->tasks, j->machines, j->opts, &j->schedule, err);
        if (status == ES_ERR_ARG && strstr(es_error_text(err), "only an online") != NULL)
            return es_within(err, status, "schedule (--online plans as they come)");
        ES_TRY(status);
    }
    return es_within(err, es_schedule_check(j->tasks, j->machines, j->schedule, err),
                     "the schedule breaks its own rules");
}

static es_status execute(es_cli *cli, job *j, es_error *err)
{
    if (j->chosen->execute == NULL)
        return ES_OK;
    return es_cli_schedule_execute(cli, j->scenario, j->chosen->horizon, j->seed, j->tasks,
                                   j->machines, j->schedule, &j->executed, err);
}

static es_status add_curve(es_cli *cli, job *j, es_error *err)
{
    bool drawn = j->chosen->curve_svg != NULL;
    j->point_count = (uint32_t)j->chosen->curve;
    if (j->point_count == 0 && drawn)
        j->point_count = CURVE_DEFAULT;
    if (j->point_count == 0)
        return ES_OK;
    if (j->chosen->online)
        return es_fail(err, ES_ERR_ARG, "--curve does not go with --online");
    j->points = ES_TAKE_ARRAY(cli->arena, es_schedule_point, j->point_count);
    if (j->points == NULL)
        return es_arena_full(cli->arena, "curve", err);
    return es_schedule_sweep(j->tasks, j->machines, j->opts, ES_BUDGET_ENERGY, j->point_count,
                             j->points, err);
}

static es_status add_cases(es_cli *cli, job *j, es_error *err)
{
    if (!j->chosen->compare)
        return ES_OK;
    if (j->chosen->online)
        return es_fail(err, ES_ERR_ARG, "--compare does not go with --online");
    j->cases[j->case_count++] =
        (es_schedule_case){es_schedule_method_names[j->schedule->method], j->schedule};
    for (size_t i = 0; i < OTHER_COUNT; i++) {
        es_schedule_opts opts = j->opts;
        const es_schedule *other = NULL;
        opts.method = others[i];
        opts.discrete = false;
        if (others[i] == j->schedule->method)
            continue;
        ES_TRY(es_schedule_solve(cli->arena, j->tasks, j->machines, opts, &other, err));
        j->cases[j->case_count++] = (es_schedule_case){es_schedule_method_names[others[i]], other};
    }
    return ES_OK;
}

/* ---- what is told ---- */

static void show_budgets(const es_schedule *schedule, es_text *text)
{
    for (int b = 0; b < ES_BUDGET_COUNT; b++) {
        if (schedule->used[b] <= 0 && !isfinite(schedule->budgets[b]))
            continue;
        es_text_format(text, "%s: %.6g %s", es_budget_names[b], schedule->used[b],
                       es_budget_units[b]);
        if (isfinite(schedule->budgets[b]))
            es_text_format(text, " of %.6g", schedule->budgets[b]);
        if (schedule->used_idle[b] > 0)
            es_text_format(text, ", %.6g of them idle", schedule->used_idle[b]);
        if (schedule->full[b] > 0)
            es_text_format(text, " (%.1f %% of all machines busy)",
                           100 * schedule->used[b] / schedule->full[b]);
        es_text_append(text, "\n");
    }
}

static void show_tasks(es_cli *cli, const job *j, es_text *text)
{
    es_cli_table table = {.arena = cli->arena, .columns = 6};
    const es_schedule *schedule = j->schedule;
    static const char *const head[] = {"task", "machine", "start s", "end s", "work", "quality"};
    for (size_t i = 0; i < 6; i++)
        es_cli_cell(&table, "%s", head[i]);
    uint32_t shown = schedule->task_count < TASKS_SHOWN ? schedule->task_count : TASKS_SHOWN;
    for (uint32_t i = 0; i < shown; i++) {
        const es_schedule_entry *entry = &schedule->entries[i];
        bool runs = entry->machine != UINT32_MAX;
        if (j->tasks->tasks[i].name != NULL)
            es_cli_cell(&table, "%s", j->tasks->tasks[i].name);
        else
            es_cli_cell(&table, "%u", i);
        es_cli_cell(&table, "%s",
                    runs              ? j->machines->machines[entry->machine].name
                    : entry->work > 0 ? "several"
                                      : "-");
        es_cli_cell(&table, runs ? "%.4g" : "-", entry->start_s);
        es_cli_cell(&table, runs ? "%.4g" : "-", entry->end_s);
        es_cli_cell(&table, "%.4g", entry->work);
        es_cli_cell(&table, "%.4g", entry->quality);
    }
    es_cli_table_print(&table, text);
    if (shown < schedule->task_count)
        es_text_format(text, "... and %u more; --output FILE has them all\n",
                       schedule->task_count - shown);
}

static void show_curve(es_cli *cli, const job *j, es_text *text)
{
    es_cli_table table = {.arena = cli->arena, .columns = 4};
    static const char *const head[] = {"energy budget", "J", "mean quality", "at most"};
    for (size_t i = 0; i < 4; i++)
        es_cli_cell(&table, "%s", head[i]);
    for (uint32_t i = 0; i < j->point_count; i++) {
        es_cli_cell(&table, "%.1f %%", 100 * j->points[i].share);
        es_cli_cell(&table, "%.6g", j->points[i].budget);
        es_cli_cell(&table, "%.5g", j->points[i].quality / j->tasks->task_count);
        es_cli_cell(&table, "%.5g", j->points[i].bound / j->tasks->task_count);
    }
    es_text_append(text, "\n");
    es_cli_table_print(&table, text);
}

/* Rounding of sums is no gap. */
static double gap_percent(const es_schedule *schedule)
{
    return schedule->gap_relative > 1e-10 ? 100 * schedule->gap_relative : 0;
}

static void show_cases(es_cli *cli, const job *j, es_text *text)
{
    es_cli_table table = {.arena = cli->arena, .columns = 4};
    static const char *const head[] = {"method", "mean quality", "gap", "energy J"};
    for (size_t i = 0; i < 4; i++)
        es_cli_cell(&table, "%s", head[i]);
    for (size_t i = 0; i < j->case_count; i++) {
        const es_schedule *one = j->cases[i].schedule;
        es_cli_cell(&table, "%s", j->cases[i].label);
        es_cli_cell(&table, "%.5g", one->quality / one->task_count);
        es_cli_cell(&table, "%.3g %%", gap_percent(one));
        es_cli_cell(&table, "%.6g", one->used[ES_BUDGET_ENERGY]);
    }
    es_text_append(text, "\n");
    es_cli_table_print(&table, text);
}

static void show(es_cli *cli, const job *j, es_text *text)
{
    const es_schedule *schedule = j->schedule;
    uint32_t run = 0;
    for (uint32_t i = 0; i < schedule->task_count; i++)
        run += schedule->entries[i].work > 0 ? 1 : 0;
    es_text_format(text, "%u of %u tasks run on %u machines by %s: mean quality %.6g", run,
                   schedule->task_count, schedule->machine_count,
                   es_schedule_method_names[schedule->method],
                   schedule->quality / schedule->task_count);
    if (schedule->optimal)
        es_text_append(text, ", optimal\n");
    else
        es_text_format(text, ", at most %.6g possible, gap %.3g %%\n",
                       schedule->bound / schedule->task_count, gap_percent(schedule));
    if (j->chosen->online)
        es_text_format(text, "planned %u times; %.4f of what %s could have gained%s\n",
                       j->online.replan_count, j->online.ratio, "a clairvoyant",
                       j->online.tight ? "" : " (a loose bound: it ignores arrivals)");
    show_budgets(schedule, text);
    show_tasks(cli, j, text);
    if (j->point_count > 0)
        show_curve(cli, j, text);
    if (j->case_count > 0)
        show_cases(cli, j, text);
}

static es_status put_file(const char *path, es_text *text, es_error *err)
{
    es_status status = es_text_status(text, err);
    if (status == ES_OK)
        status = es_file_write(path, es_text_get(text), text->size, err);
    es_text_clear(text);
    return status;
}

static es_status put_pictures(const job *j, const char *title, es_text *text, es_error *err)
{
    const options *chosen = j->chosen;
    if (chosen->svg != NULL) {
        if (j->schedule->method == ES_SCHEDULE_FRACTIONAL)
            return es_fail(err, ES_ERR_ARG,
                           "--svg: a fractional schedule says how much, not where and when");
        es_report_gantt(j->tasks, j->machines, j->schedule, text);
        ES_TRY(put_file(chosen->svg, text, err));
    }
    if (chosen->curve_svg != NULL) {
        es_report_schedule_curve(j->points, j->point_count, j->tasks->task_count, ES_BUDGET_ENERGY,
                                 text);
        ES_TRY(put_file(chosen->curve_svg, text, err));
    }
    if (chosen->html == NULL)
        return ES_OK;
    es_schedule_report report = {.title = title,
                                 .tasks = j->tasks,
                                 .machines = j->machines,
                                 .schedule = j->schedule,
                                 .note = j->tasks->note,
                                 .point_count = j->point_count,
                                 .points = j->points,
                                 .case_count = j->case_count,
                                 .cases = j->cases,
                                 .made_by = "estran " ES_VERSION};
    es_report_schedule(&report, text);
    return put_file(chosen->html, text, err);
}

static es_status put_all(es_cli *cli, const job *j, const char *title, es_text *text, es_error *err)
{
    const options *chosen = j->chosen;
    if (chosen->output != NULL) {
        es_schedule_write(j->schedule, j->tasks, j->machines, text);
        ES_TRY(put_file(chosen->output, text, err));
    }
    if (j->executed.outcome != NULL) {
        es_outcome_write(j->executed.outcome, text);
        ES_TRY(put_file(chosen->execute, text, err));
    }
    ES_TRY(put_pictures(j, title, text, err));
    const char *const files[] = {chosen->output, chosen->svg, chosen->curve_svg, chosen->html,
                                 chosen->execute};
    bool taken = false;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        taken = taken || (files[i] != NULL && strcmp(files[i], "-") == 0);
    if (cli->json)
        es_schedule_write(j->schedule, j->tasks, j->machines, text);
    else if (!taken)
        show(cli, j, text);
    if (!cli->json && !taken && j->executed.outcome != NULL)
        es_cli_schedule_executed(cli, &j->executed, j->schedule, text);
    return es_cli_print(text, err);
}

static es_status check(es_cli *cli, job *j, es_error *err)
{
    ES_TRY(
        es_schedule_load(cli->arena, j->chosen->check, j->tasks, j->machines, &j->schedule, err));
    es_status status = es_schedule_check(j->tasks, j->machines, j->schedule, err);
    if (status == ES_ERR_ARG) { /* a finding about the document, not about the command */
        char why[ES_ERROR_SIZE];
        (void)snprintf(why, sizeof why, "%s", es_error_text(err));
        return es_fail(err, ES_ERR_PARSE, "%.200s: %.280s", j->chosen->check, why);
    }
    ES_TRY(status);
    (void)printf("%s holds: %u tasks on %u machines, quality %.6g, bound %.6g\n", j->chosen->check,
                 j->schedule->task_count, j->schedule->machine_count, j->schedule->quality,
                 j->schedule->bound);
    return ES_OK;
}

static es_status run(es_cli *cli, const void *given, const char *const *files, size_t count,
                     es_error *err)
{
    job j = {.chosen = given, .opts = es_schedule_opts_default()};
    if (j.chosen->execute != NULL &&
        (count != 1 || !j.chosen->online || !j.chosen->discrete || j.chosen->check != NULL))
        return es_fail(err, ES_ERR_ARG,
                       "--execute needs a SCENARIO, --online and --discrete, and no --check");
    ES_TRY(load(cli, &j, files, count, err));
    assert(j.tasks != NULL);
    if (j.tasks->note != NULL)
        es_cli_say(cli, "hull: %s", j.tasks->note);
    if (j.chosen->check != NULL)
        return check(cli, &j, err);
    j.opts.method = (es_schedule_method)j.chosen->method;
    j.opts.discrete = j.chosen->discrete;
    j.opts.gap_relative = j.chosen->gap;
    j.opts.time_limit_s = j.chosen->time_limit;
    ES_TRY(read_budgets(&j, err));
    ES_TRY(decide(cli, &j, err));
    ES_TRY(execute(cli, &j, err));
    ES_TRY(add_curve(cli, &j, err));
    ES_TRY(add_cases(cli, &j, err));
    es_text text;
    es_text_init(&text, (size_t)4 << 30);
    es_status status = put_all(cli, &j, files[0], &text, err);
    es_text_done(&text);
    return status;
}

const es_verb es_verb_schedule = {
    .name = "schedule",
    .group = "decide",
    .summary = "how much work each task gets, where and when",
    .arguments = "TASKS MACHINES | SCENARIO",
    .details =
        "Tasks with deadlines can do with less work, for a little less quality. Finds how much\n"
        "work each gets on which machine so that the sum of qualities is largest within the\n"
        "deadlines and the budgets, with a proven bound. TASKS is a table (.csv) or a document,\n"
        "MACHINES a document; of a SCENARIO the classes make tasks and the nodes machines.\n\n"
        "  estran schedule examples/03-schedule/tasks.yaml examples/03-schedule/machines.yaml \\\n"
        "      --energy-budget 30% --compare --html schedule.html",
    .file_min = 1,
    .file_max = 2,
    .options = rows,
    .option_count = sizeof rows / sizeof rows[0],
    .options_size = sizeof(options),
    .run = run,
};
