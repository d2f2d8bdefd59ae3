/*
 * estran run, the main job: measure the models here, plan, start one process per node with its
 * links emulated, send real requests, compare with the prediction and with two baselines, report.
 */
#include "base/file.h"
#include "cli/record.h"
#include "runtime/runtime.h"
#include "serve/serve.h"
#include "simulate/simulate.h"

#include <math.h>
#include <sys/utsname.h>
#include <unistd.h>

typedef struct options {
    const char *output;
    double duration;
    double time_limit;
    int64_t queue;
    bool no_baselines;
    bool no_profile;
    const char *ort_library;
} options;

static const es_option rows[] = {
    {.name = "output",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, output),
     .value = "FOLDER",
     .help = "where plans, outcomes and report go (default out/NAME)"},
    {.name = "duration",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, duration),
     .value = "SECONDS",
     .fallback = "0",
     .min = 0,
     .max = 86400,
     .help = "of requests, per case, at most the scenario's slots; 0: all of them"},
    {.name = "time-limit",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, time_limit),
     .value = "SECONDS",
     .fallback = "20",
     .min = 0.001,
     .max = 1e6,
     .help = "of each planning"},
    {.name = "queue",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, queue),
     .value = "REQUESTS",
     .fallback = "1024",
     .min = 1,
     .max = 1e6,
     .help = "how many may wait at a node; more are refused"},
    {.name = "no-baselines",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, no_baselines),
     .help = "only the plan, without device only and cloud only"},
    {.name = "no-profile",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, no_profile),
     .help = "trust the scenario's times of kind 'host' instead of measuring them here"},
    {.name = "ort-library",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, ort_library),
     .value = "FILE",
     .help = "ONNX Runtime's library; else the usual search"},
};

enum { MACHINE_SIZE = 160 };
/* Per segment, back to back: a node slows down the warm time, and adds what cold caches cost. */
static const double PROFILE_BUDGET_S = 0.5;

/* ---- 1. what the models cost here ---- */

static es_status profile_segments(es_cli *cli, const options *chosen, es_record *record,
                                  es_error *err)
{
    const es_scenario *scenario = record->scenario;
    double *host_time_s = ES_TAKE_ARRAY(cli->arena, double, scenario->segment_count);
    if (host_time_s == NULL)
        return es_arena_full(cli->arena, "host times", err);
    record->host_time_s = host_time_s;
    for (uint32_t i = 0; i < scenario->segment_count; i++)
        host_time_s[i] = (double)NAN;
    if (chosen->no_profile)
        return ES_OK;
    es_runtime_opts runtime_opts = es_runtime_opts_default();
    runtime_opts.library_path = chosen->ort_library;
    ES_CLEANUP(es_runtime_free_p) es_runtime *runtime = NULL;
    ES_TRY(es_runtime_new(runtime_opts, &runtime, err));
    for (uint32_t i = 0; i < scenario->segment_count && !*cli->stop; i++) {
        if (scenario->segments[i].file == NULL)
            continue;
        es_cli_progress(cli, "measuring models", (double)i / scenario->segment_count);
        es_profile_opts opts = es_profile_opts_default();
        opts.batch_max = 1;
        opts.per_cut = false;
        opts.time_budget_s = PROFILE_BUDGET_S;
        const es_profile *profile = NULL;
        ES_TRY(es_within(
            err,
            es_profile_run(cli->arena, runtime, scenario->segments[i].file, opts, &profile, err),
            "segment '%s'", scenario->segments[i].name));
        host_time_s[i] = profile->latency.ms_p50 * 1e-3;
    }
    es_cli_progress(cli, "", 1);
    return es_scenario_with_host_times(cli->arena, scenario, host_time_s, &record->scenario, err);
}

/* ---- 2. plans ---- */

static es_status solve(es_cli *cli, const options *chosen, const es_scenario *scenario,
                       es_plan_method method, es_report_case *one, es_error *err)
{
    es_plan_opts opts = es_plan_opts_default();
    opts.method = method;
    opts.time_limit_s = chosen->time_limit;
    if (cli->seed != 0)
        opts.seed = (uint64_t)cli->seed;
    const es_plan *plan = NULL;
    ES_TRY(es_within(err, es_plan_solve(cli->arena, scenario, opts, &plan, err), "%s", one->label));
    one->note = plan->conflict;
    if (plan->quality == ES_PLAN_OPTIMAL || plan->quality == ES_PLAN_FEASIBLE)
        one->plan = plan;
    else if (one->note == NULL)
        one->note = "no feasible plan was found in time";
    return ES_OK;
}

static es_status make_plans(es_cli *cli, const options *chosen, es_record *record, es_error *err)
{
    static const struct {
        const char *label;
        es_plan_method method;
    } cases[] = {
        {"plan", ES_PLAN_AUTO},
        {"device only", ES_PLAN_DEVICE_ONLY},
        {"cloud only", ES_PLAN_CLOUD_ONLY},
    };
    record->case_count = chosen->no_baselines ? 1 : sizeof cases / sizeof cases[0];
    for (size_t i = 0; i < record->case_count; i++) {
        record->cases[i].label = cases[i].label;
        ES_TRY(solve(cli, chosen, record->scenario, cases[i].method, &record->cases[i], err));
    }
    return ES_OK;
}

/* ---- 3. prediction and reality ---- */

typedef struct talk {
    const es_cli *cli;
    const char *label;
} talk;

static void show_progress(void *context, double done_s, double total_s, uint64_t answered,
                          uint64_t failed)
{
    const talk *about = context;
    char what[96];
    (void)snprintf(what, sizeof what, "%s: %llu answers, %llu failed", about->label,
                   (unsigned long long)answered, (unsigned long long)failed);
    es_cli_progress(about->cli, what, total_s > 0 && done_s < total_s ? done_s / total_s : 0.999);
}

static es_status play(es_cli *cli, const options *chosen, const es_scenario *scenario,
                      es_report_case *one, es_error *err)
{
    if (one->plan == NULL)
        return ES_OK;
    es_simulate_opts simulate = es_simulate_opts_default();
    simulate.label = one->label;
    simulate.seed = (uint64_t)cli->seed;
    ES_TRY(es_simulate_slots(cli->arena, scenario, one->plan, simulate, &one->predicted, err));
    talk about = {.cli = cli, .label = one->label};
    es_run_opts opts = es_run_opts_default();
    opts.program = cli->program;
    opts.label = one->label;
    opts.ort_library = chosen->ort_library;
    opts.seed = (uint64_t)cli->seed;
    opts.duration_s = chosen->duration;
    opts.queue_capacity = (uint32_t)chosen->queue;
    opts.stop = cli->stop;
    opts.progress = show_progress;
    opts.progress_context = &about;
    es_status status = es_run_plan(cli->arena, scenario, one->plan, opts, &one->measured, err);
    es_cli_progress(cli, "", 1);
    return es_within(err, status, "%s", one->label);
}

/* "Linux x86_64, 2 cores, AMD EPYC ..." */
static const char *machine(es_cli *cli)
{
    struct utsname name;
    if (uname(&name) != 0)
        return "unknown";
    char model[MACHINE_SIZE] = "";
    FILE *info = fopen("/proc/cpuinfo", "re");
    char line[512];
    while (info != NULL && model[0] == '\0' && fgets(line, sizeof line, info) != NULL) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon != NULL)
            (void)snprintf(model, sizeof model, ", %.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
    }
    if (info != NULL)
        (void)fclose(info);
    const char *text = es_arena_format(cli->arena, "%s %s, %ld cores%s", name.sysname, name.machine,
                                       sysconf(_SC_NPROCESSORS_ONLN), model);
    return text != NULL ? text : "unknown";
}

static es_status run(es_cli *cli, const void *given, const char *const *files, size_t count,
                     es_error *err)
{
    (void)count;
    const options *chosen = given;
    es_record record = {.scenario_file = files[0], .machine = machine(cli)};
    ES_TRY(es_scenario_load(cli->arena, files[0], &record.scenario, err));
    ES_TRY(profile_segments(cli, chosen, &record, err));
    if (*cli->stop)
        return es_fail(err, ES_ERR_CANCELLED, "stopped");
    ES_TRY(make_plans(cli, chosen, &record, err));
    if (record.cases[0].plan == NULL) {
        cli->exit_code = 3;
        (void)fprintf(stderr, "estran: %s: no feasible plan: %s\n", files[0], record.cases[0].note);
        return ES_OK;
    }
    const char *folder = chosen->output;
    if (folder == NULL)
        folder = es_arena_format(cli->arena, "out/%s", record.scenario->name);
    if (folder == NULL)
        return es_arena_full(cli->arena, "path", err);
    ES_TRY(es_file_make_folder(folder, err)); /* before minutes of work, not after */
    for (size_t i = 0; i < record.case_count; i++)
        ES_TRY(play(cli, chosen, record.scenario, &record.cases[i], err));
    ES_TRY(es_record_write(cli, &record, folder, err));
    return es_record_report(cli, &record, folder, err);
}

const es_verb es_verb_run = {
    .name = "run",
    .group = "run",
    .summary = "plan, run on real processes with emulated links, compare, report",
    .arguments = "SCENARIO",
    .details =
        "Measures the models on this machine, plans, starts one node process per node on\n"
        "loopback with the links' latency and bandwidth emulated, sends real requests through\n"
        "ONNX Runtime, and compares what was measured with the simulator's prediction and with\n"
        "two baselines: all on the device, all in the cloud. Ctrl-C stops every process.\n\n"
        "  estran run examples/01-first-run/scenario.yaml",
    .file_min = 1,
    .file_max = 1,
    .options = rows,
    .option_count = sizeof rows / sizeof rows[0],
    .options_size = sizeof(options),
    .run = run,
};
