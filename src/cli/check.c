/* estran check: holds a plan against its scenario, with none of the solvers' code. */
#include "base/document.h"
#include "cli/cli.h"
#include "plan/plan.h"

typedef struct options {
    double tolerance;
} options;

static const es_option rows[] = {
    {.name = "tolerance",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, tolerance),
     .value = "RATIO",
     .fallback = "1e-6",
     .min = 0,
     .max = 1,
     .help = "relative slack in every comparison"},
};

static void write_json(const es_plan *plan, const es_plan_violation *violations, size_t count,
                       es_text *text)
{
    es_json json;
    es_json_init(&json, text, false);
    es_json_map_begin(&json);
    es_json_put_text(&json, "scenario", plan->scenario);
    es_json_put_bool(&json, "feasible", count == 0);
    es_json_key(&json, "violations");
    es_json_list_begin(&json);
    for (size_t i = 0; i < count; i++)
        es_json_text(&json, violations[i].text);
    es_json_list_end(&json);
    es_json_map_end(&json);
}

static es_status run(es_cli *cli, const void *given, const char *const *files, size_t count,
                     es_error *err)
{
    (void)count;
    const options *chosen = given;
    const es_scenario *scenario = NULL;
    const es_plan *plan = NULL;
    ES_TRY(es_scenario_load(cli->arena, files[1], &scenario, err));
    ES_TRY(es_plan_load(cli->arena, files[0], scenario, &plan, err));
    const es_plan_violation *violations = NULL;
    size_t found = 0;
    ES_TRY(es_plan_check(cli->arena, plan, scenario, chosen->tolerance, &violations, &found, err));
    es_text text;
    es_text_init(&text, 64 << 20);
    if (cli->json)
        write_json(plan, violations, found, &text);
    for (size_t i = 0; !cli->json && i < found; i++)
        es_text_format(&text, "%s: %s\n", files[0], violations[i].text);
    if (!cli->json && found == 0)
        es_text_format(&text,
                       "%s: holds: %zu placements, %zu routings, objective %.6g per second\n",
                       files[0], plan->placement_count, plan->routing_count, plan->objective);
    cli->exit_code = found > 0 ? 1 : 0;
    es_status status = es_cli_print(&text, err);
    es_text_done(&text);
    return status;
}

const es_verb es_verb_check = {
    .name = "check",
    .group = "explain",
    .summary = "check a plan against its scenario, independently of the solvers",
    .arguments = "PLAN SCENARIO",
    .details =
        "Recomputes every figure and constraint of the plan from the scenario: hosting, memory,\n"
        "compute, bandwidth, deadlines, least quality, shares, objective and bound. Prints one\n"
        "line per violation and exits with 1 when there is any.\n\n"
        "  estran plan scenario.yaml --output plan.json\n"
        "  estran check plan.json scenario.yaml",
    .file_min = 2,
    .file_max = 2,
    .options = rows,
    .option_count = sizeof rows / sizeof rows[0],
    .options_size = sizeof(options),
    .run = run,
};
