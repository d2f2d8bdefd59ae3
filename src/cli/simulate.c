/* estran simulate: the outcome of a plan in virtual time. */
#include "simulate/simulate.h"

#include "base/file.h"
#include "cli/cli.h"
#include "report/report.h"

typedef struct options {
    const char *plan;
    const char *output;
    bool expected;
} options;

static const es_option rows[] = {
    {.name = "plan",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, plan),
     .value = "PLAN",
     .help = "the plan to follow; else one is made first, as 'estran plan' does"},
    {.name = "output",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, output),
     .value = "FILE",
     .help = "write the outcome (JSON lines) here"},
    {.name = "expected",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, expected),
     .help = "take mean arrivals instead of drawing them by the seed"},
};

static es_status get_plan(es_cli *cli, const options *chosen, const es_scenario *scenario,
                          const es_plan **out_plan, es_error *err)
{
    if (chosen->plan != NULL)
        return es_plan_load(cli->arena, chosen->plan, scenario, out_plan, err);
    return es_plan_solve(cli->arena, scenario, es_plan_opts_default(), out_plan, err);
}

static es_status run(es_cli *cli, const void *given, const char *const *files, size_t count,
                     es_error *err)
{
    (void)count;
    const options *chosen = given;
    const es_scenario *scenario = NULL;
    const es_plan *plan = NULL;
    ES_TRY(es_scenario_load(cli->arena, files[0], &scenario, err));
    ES_TRY(get_plan(cli, chosen, scenario, &plan, err));
    if (plan->quality == ES_PLAN_INFEASIBLE || plan->quality == ES_PLAN_UNKNOWN) {
        cli->exit_code = 3;
        (void)fprintf(stderr, "estran: %s: no feasible plan: %s\n", files[0],
                      plan->conflict != NULL ? plan->conflict : "none found in time");
        return ES_OK;
    }
    es_simulate_opts opts = es_simulate_opts_default();
    opts.seed = (uint64_t)cli->seed;
    opts.expected = chosen->expected;
    const es_outcome *outcome = NULL;
    ES_TRY(es_simulate_slots(cli->arena, scenario, plan, opts, &outcome, err));
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
    }
    if (status == ES_OK)
        status = es_cli_print(&text, err);
    es_text_done(&text);
    return status;
}

const es_verb es_verb_simulate = {
    .name = "simulate",
    .group = "run",
    .summary = "play a plan in virtual time",
    .arguments = "SCENARIO",
    .details =
        "Slot mode: per slot, the arrivals take the plan's routing; waiting follows queueing\n"
        "formulas (src/simulate/README.md). Same scenario, plan and seed: same bytes.\n\n"
        "  estran simulate examples/01-first-run/scenario.yaml --seed 7 --output outcome.jsonl",
    .file_min = 1,
    .file_max = 1,
    .options = rows,
    .option_count = sizeof rows / sizeof rows[0],
    .options_size = sizeof(options),
    .run = run,
};
