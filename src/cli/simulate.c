/* estran simulate: the outcome of a plan in virtual time, as slots or as events. */
#include "simulate/simulate.h"

#include "base/file.h"
#include "cli/cli.h"
#include "report/report.h"

#include <math.h>

typedef struct options {
    const char *plan;
    const char *policy;
    size_t on_bad;
    const char *output;
    bool expected;
    size_t mode;
    int64_t replications;
    int64_t threads;
    double warm_up_s;
    bool drain;
} options;

static const char *const bad_words[] = {"fail", "clip"};
static const char *const modes[] = {"slot", "event"};
enum { MODE_SLOT, MODE_EVENT };
#define WARM_UP_FOUND (-1.0) /* the default: by MSER-5 */

static const es_option rows[] = {
    {.name = "plan",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, plan),
     .value = "PLAN",
     .help = "the plan to follow; else one is made first, as 'estran plan' does"},
    {.name = "policy",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, policy),
     .value = "NAME",
     .help = "slot mode: what is hosted is decided slot by slot (see 'estran compare --help')"},
    {.name = "on-bad",
     .type = ES_OPTION_WORD,
     .offset = offsetof(options, on_bad),
     .value = "WORD",
     .fallback = "fail",
     .words = bad_words,
     .word_count = sizeof bad_words / sizeof bad_words[0],
     .help = "a bad answer of a policy is an error, or counted and clipped"},
    {.name = "output",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, output),
     .value = "FILE",
     .help = "write the outcome (JSON lines) here"},
    {.name = "expected",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, expected),
     .help = "take mean arrivals instead of drawing them by the seed (slot mode)"},
    {.name = "mode",
     .type = ES_OPTION_WORD,
     .offset = offsetof(options, mode),
     .value = "MODE",
     .fallback = "slot",
     .words = modes,
     .word_count = sizeof modes / sizeof modes[0],
     .help = "slot: fluid and formulas; event: every request an entity"},
    {.name = "replications",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, replications),
     .value = "COUNT",
     .fallback = "1",
     .min = 1,
     .max = 10000,
     .help = "event mode, policies: runs with other seeds, for 95 % intervals"},
    {.name = "threads",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, threads),
     .value = "COUNT",
     .fallback = "0",
     .min = 0,
     .max = 1024,
     .help = "for replications; 0: one per core; changes no byte"},
    {.name = "warm-up",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, warm_up_s),
     .value = "SECONDS",
     .fallback = "-1",
     .min = WARM_UP_FOUND,
     .max = 1e9,
     .help = "event mode: left out of latencies in the intervals; -1: by MSER-5"},
    {.name = "drain",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, drain),
     .help = "event mode: go on after the last slot until nothing is left"},
};

static es_status get_plan(es_cli *cli, const options *chosen, const es_scenario *scenario,
                          const es_plan **out_plan, es_error *err)
{
    if (chosen->plan != NULL)
        return es_plan_load(cli->arena, chosen->plan, scenario, out_plan, err);
    return es_plan_solve(cli->arena, scenario, es_plan_opts_default(), out_plan, err);
}

static void put_intervals(const es_event_result *result, es_text *text)
{
    const es_outcome *outcome = result->outcome;
    es_text_format(text, "\n%-20s %14s %14s   (%u replication%s, warm-up %.3g s left out)\n",
                   "measure", "mean", "95 % +/-", outcome->replication_count,
                   outcome->replication_count == 1 ? "" : "s", result->warm_up_s);
    for (size_t i = 0; i < outcome->interval_count; i++) {
        const es_interval *interval = &outcome->intervals[i];
        es_text_format(text, "%-20s %14.6g ", interval->measure, interval->mean);
        if (isnan(interval->ci95))
            es_text_format(text, "%14s\n", "-");
        else
            es_text_format(text, "%14.4g\n", interval->ci95);
    }
}

/* An option of the other mode would do nothing: say so. */
static es_status check_mode(const options *chosen, es_error *err)
{
    if (chosen->mode == MODE_EVENT)
        return chosen->expected ? es_fail(err, ES_ERR_ARG, "--expected needs --mode slot") : ES_OK;
    if (chosen->replications > 1)
        return es_fail(err, ES_ERR_ARG, "--replications needs --mode event");
    if (chosen->warm_up_s >= 0)
        return es_fail(err, ES_ERR_ARG, "--warm-up needs --mode event");
    if (chosen->drain)
        return es_fail(err, ES_ERR_ARG, "--drain needs --mode event");
    return ES_OK;
}

static es_status simulate(es_cli *cli, const options *chosen, const es_scenario *scenario,
                          const es_plan *plan, es_event_result *out_result, es_error *err)
{
    ES_TRY(check_mode(chosen, err));
    if (chosen->mode == MODE_SLOT) {
        es_simulate_opts opts = es_simulate_opts_default();
        opts.seed = (uint64_t)cli->seed;
        opts.expected = chosen->expected;
        *out_result = (es_event_result){0};
        return es_simulate_slots(cli->arena, scenario, plan, opts, &out_result->outcome, err);
    }
    es_event_opts opts = es_event_opts_default();
    opts.seed = (uint64_t)cli->seed;
    opts.replication_count = (uint32_t)chosen->replications;
    opts.thread_count = (uint32_t)chosen->threads;
    opts.warm_up_s = chosen->warm_up_s < 0 ? (double)NAN : chosen->warm_up_s;
    opts.drain = chosen->drain;
    return es_simulate_events(cli->arena, scenario, plan, opts, out_result, err);
}

/* A policy instead of a plan: the outcome of the first replication with intervals over all. */
static es_status follow(es_cli *cli, const options *chosen, const es_scenario *scenario,
                        es_event_result *out_result, es_error *err)
{
    const es_idn *idn = NULL;
    const es_comparison *comparison = NULL;
    if (chosen->plan != NULL)
        return es_fail(err, ES_ERR_ARG, "--policy and --plan: take one");
    if (chosen->mode != MODE_SLOT)
        return es_fail(err, ES_ERR_ARG, "--policy: policies decide per slot; --mode must be slot");
    if (es_policy_knows_future(chosen->policy))
        return es_fail(err, ES_ERR_ARG,
                       "--policy: '%s' knows all demand beforehand: a reference "
                       "for 'estran compare'",
                       chosen->policy);
    es_compare_opts opts = {.policies = &chosen->policy,
                            .policy_count = 1,
                            .seed = cli->seed != 0 ? (uint64_t)cli->seed : scenario->seed,
                            .replication_count = (uint32_t)chosen->replications,
                            .thread_count = (uint32_t)chosen->threads,
                            .expected = chosen->expected,
                            .clip = chosen->on_bad != 0};
    ES_TRY(es_idn_from_scenario(cli->arena, scenario, &idn, err));
    ES_TRY(es_compare_run(cli->arena, idn, opts, &comparison, err));
    const es_compare_row *row = &comparison->rows[0];
    es_outcome *outcome = ES_TAKE_ONE(cli->arena, es_outcome);
    es_interval *intervals = ES_TAKE_ARRAY(cli->arena, es_interval, ES_COMPARE_COUNT);
    if (outcome == NULL || intervals == NULL)
        return es_arena_full(cli->arena, "intervals", err);
    *outcome = *row->outcome;
    outcome->replication_count = comparison->replication_count;
    outcome->intervals = intervals;
    for (int f = 0; f < ES_COMPARE_COUNT; f++)
        if (isfinite(row->figures[f].mean))
            intervals[outcome->interval_count++] = row->figures[f];
    if (row->faults.first[0] != '\0')
        es_cli_say(cli,
                   "clipped: %llu nodes over their memory, %llu items over their copies, %llu "
                   "bad answers; the first: %s",
                   (unsigned long long)row->faults.over_budget,
                   (unsigned long long)row->faults.over_copies,
                   (unsigned long long)row->faults.bad_answers, row->faults.first);
    *out_result = (es_event_result){.outcome = outcome};
    return ES_OK;
}

static es_status run(es_cli *cli, const void *given, const char *const *files, size_t count,
                     es_error *err)
{
    (void)count;
    const options *chosen = given;
    const es_scenario *scenario = NULL;
    const es_plan *plan = NULL;
    es_event_result result;
    ES_TRY(es_scenario_load(cli->arena, files[0], &scenario, err));
    if (chosen->policy != NULL)
        ES_TRY(follow(cli, chosen, scenario, &result, err));
    else
        ES_TRY(get_plan(cli, chosen, scenario, &plan, err));
    if (plan != NULL && (plan->quality == ES_PLAN_INFEASIBLE || plan->quality == ES_PLAN_UNKNOWN)) {
        cli->exit_code = 3;
        (void)fprintf(stderr, "estran: %s: no feasible plan: %s\n", files[0],
                      plan->conflict != NULL ? plan->conflict : "none found in time");
        return ES_OK;
    }
    if (plan != NULL)
        ES_TRY(simulate(cli, chosen, scenario, plan, &result, err));
    const es_outcome *outcome = result.outcome;
    es_text text;
    es_text_init(&text, (size_t)1 << 30);
    es_status status = ES_OK;
    if (chosen->output != NULL || cli->json) {
        es_outcome_write(outcome, &text);
        status = es_text_status(&text, err);
        if (status == ES_OK && chosen->output != NULL)
            status = es_file_write(chosen->output, es_text_get(&text), text.size, err);
        if (!cli->json)
            es_text_clear(&text);
    }
    if (status == ES_OK && !cli->json) {
        es_report_case only = {.label = outcome->label, .plan = plan, .predicted = outcome};
        es_report report = {.scenario = scenario, .case_count = 1, .cases = &only};
        es_report_text(&report, 100, cli->color, &text);
        if (outcome->interval_count > 0)
            put_intervals(&result, &text);
    }
    if (status == ES_OK)
        status = es_cli_print(&text, err);
    es_text_done(&text);
    return status;
}

const es_verb es_verb_simulate = {
    .name = "simulate",
    .group = "run",
    .summary = "play a plan or a policy in virtual time",
    .arguments = "SCENARIO",
    .details =
        "Slot mode: per slot, the arrivals take the plan's routing; waiting follows queueing\n"
        "formulas (src/simulate/README.md). Event mode: every request goes through queues,\n"
        "batches, shared links, failures (key events of the scenario), with 95 % intervals over\n"
        "replications. Same scenario, plan and seed: same bytes, whatever the threads.\n\n"
        "  estran simulate examples/01-first-run/scenario.yaml --seed 7 --output outcome.jsonl",
    .file_min = 1,
    .file_max = 1,
    .options = rows,
    .option_count = sizeof rows / sizeof rows[0],
    .options_size = sizeof(options),
    .run = run,
};
