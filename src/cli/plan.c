/* estran plan: decides what runs where. */
#include "plan/plan.h"

#include "base/file.h"
#include "cli/cli.h"
#include "cli/split.h"

#include <math.h>

typedef struct options {
    size_t method;
    double time_limit;
    double gap;
    int64_t threads;
    const char *output;
    const char *warm_start;
    double move_price;
    double move_price_per_mb;
    bool explain;
    const char *write_mps;
    es_cli_split split;
} options;

static const es_option rows[] = {
    {.name = "method",
     .type = ES_OPTION_WORD,
     .offset = offsetof(options, method),
     .value = "METHOD",
     .fallback = "auto",
     .words = es_plan_method_names,
     .word_count = ES_PLAN_METHOD_COUNT,
     .help = "how to solve"},
    {.name = "time-limit",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, time_limit),
     .value = "SECONDS",
     .fallback = "60",
     .min = 0.001,
     .max = 1e6,
     .help = "best plan within this"},
    {.name = "gap",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, gap),
     .value = "RATIO",
     .fallback = "1e-4",
     .min = 0,
     .max = 1,
     .help = "stop when proven within this of the optimum"},
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
     .help = "write the plan document here"},
    {.name = "explain",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, explain),
     .help = "why each class goes where it goes, which limits bind, their shadow prices"},
    {.name = "warm-start",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, warm_start),
     .value = "PLAN",
     .help = "plan from this running plan of the scenario"},
    {.name = "move-price",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, move_price),
     .value = "X",
     .fallback = "0",
     .min = 0,
     .max = 1e12,
     .help = "with --warm-start: objective per second of each placement it lacks"},
    {.name = "move-price-per-mb",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, move_price_per_mb),
     .value = "X",
     .fallback = "0",
     .min = 0,
     .max = 1e12,
     .help = "with --warm-start: the same per megabyte of the segment"},
    {.name = "write-mps",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, write_mps),
     .value = "FILE",
     .help = "write the problem as free-format MPS, for other solvers"},
    {.name = "split",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, split.model),
     .value = "MODEL",
     .help = "instead: the best split of this .onnx, or profile (.json), over a chain of nodes"},
    {.name = "over",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, split.over),
     .value = "NODES",
     .help = "with --split: nodes in order, the first asks; with commas"},
    {.name = "objective",
     .type = ES_OPTION_WORD,
     .offset = offsetof(options, split.objective),
     .value = "WHAT",
     .fallback = "latency",
     .words = es_split_objective_names,
     .word_count = ES_SPLIT_OBJECTIVE_COUNT,
     .help = "with --split: what is best"},
    {.name = "throughput-min",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, split.throughput_min_rps),
     .value = "RPS",
     .fallback = "0",
     .min = 0,
     .max = 1e12,
     .help = "with --split: at least this many requests per second"},
    {.name = "exit",
     .type = ES_OPTION_TEXTS,
     .offset = offsetof(options, split.exits),
     .value = "TENSOR=SHARE",
     .help = "with --split: this share is answered behind the tensor; several times"},
};

static void show_routings(es_cli *cli, const es_scenario *scenario, const es_plan *plan,
                          es_text *text)
{
    es_cli_table table = {.arena = cli->arena, .columns = 7};
    const char *const head[] = {"class",   "pipeline", "nodes", "share",
                                "latency", "quality",  "energy"};
    for (size_t i = 0; i < 7; i++)
        es_cli_cell(&table, "%s", head[i]);
    for (size_t i = 0; i < plan->routing_count; i++) {
        const es_routing *routing = &plan->routings[i];
        const es_class *class = &scenario->classes[routing->class_id.index];
        const es_pipeline *pipeline = &scenario->pipelines[routing->pipeline.index];
        es_price price =
            es_scenario_price(scenario, routing->class_id, routing->pipeline, routing->nodes);
        es_text path;
        es_text_init(&path, 4096);
        for (uint32_t k = 0; k < pipeline->stage_count; k++)
            es_text_format(&path, "%s%s", k > 0 ? " > " : "",
                           es_network_node(scenario->network, routing->nodes[k])->name);
        es_cli_cell(&table, "%s at %s", scenario->tasks[class->task.index].name,
                    es_network_node(scenario->network, class->node)->name);
        es_cli_cell(&table, "%s", pipeline->name);
        es_cli_cell(&table, "%s", es_text_get(&path));
        es_cli_cell(&table, "%.1f %%", 100 * routing->share);
        es_text_clear(&path);
        es_cli_seconds(&path, price.latency_s);
        es_cli_cell(&table, "%s", es_text_get(&path));
        es_cli_cell(&table, "%.3f", price.quality);
        es_cli_cell(&table, "%.3g mJ", 1e3 * (price.energy_compute_j + price.energy_network_j));
        es_text_done(&path);
    }
    es_cli_table_print(&table, text);
    for (uint32_t i = 0; i < scenario->class_count; i++) {
        const es_class *class = &scenario->classes[i];
        if (plan->refused_share[i] > 0)
            es_text_format(text, "refused: %.1f %% of %s at %s\n", 100 * plan->refused_share[i],
                           scenario->tasks[class->task.index].name,
                           es_network_node(scenario->network, class->node)->name);
    }
}

static void put_nodes(es_text *out, const es_scenario *scenario, es_pipeline_id id,
                      const es_node_id *nodes)
{
    es_text_format(out, "%s on", scenario->pipelines[id.index].name);
    for (uint32_t k = 0; k < scenario->pipelines[id.index].stage_count; k++)
        es_text_format(out, "%s %s", k > 0 ? " >" : "",
                       es_network_node(scenario->network, nodes[k])->name);
}

static void show_reasons(es_cli *cli, const es_scenario *scenario, const es_plan *plan,
                         es_text *text)
{
    es_cli_table table = {.arena = cli->arena, .columns = 5};
    static const char *const head[] = {"class", "goes", "best other way", "extra per second",
                                       "against it"};
    for (size_t i = 0; i < 5; i++)
        es_cli_cell(&table, "%s", head[i]);
    for (size_t i = 0; i < plan->explanation->reason_count; i++) {
        const es_plan_reason *reason = &plan->explanation->reasons[i];
        const es_class *class = &scenario->classes[reason->class_id.index];
        bool other = reason->pipeline.index != ES_INDEX_NONE;
        es_text way;
        es_text_init(&way, 4096);
        es_cli_cell(&table, "%s at %s", scenario->tasks[class->task.index].name,
                    es_network_node(scenario->network, class->node)->name);
        if (reason->routing == ES_PLAN_REFUSED)
            es_text_append(&way, "refused");
        else
            put_nodes(&way, scenario, plan->routings[reason->routing].pipeline,
                      plan->routings[reason->routing].nodes);
        es_cli_cell(&table, "%s", es_text_get(&way));
        es_text_clear(&way);
        if (other)
            put_nodes(&way, scenario, reason->pipeline, reason->nodes);
        es_cli_cell(&table, "%s", other ? es_text_get(&way) : "none");
        es_text_clear(&way);
        if (other)
            es_text_format(&way, "%.4g", reason->extra_per_s);
        es_cli_cell(&table, "%s", es_text_get(&way));
        es_cli_cell(&table, "%s", !other ? "" : reason->limit != NULL ? reason->limit : "cost");
        es_text_done(&way);
    }
    es_cli_table_print(&table, text);
}

static void show_explanation(es_cli *cli, const es_scenario *scenario, const es_plan *plan,
                             es_text *text)
{
    es_text_append(text, "\n");
    show_reasons(cli, scenario, plan, text);
    for (size_t i = 0; i < plan->explanation->limit_count; i++) {
        const es_plan_limit *limit = &plan->explanation->limits[i];
        es_text_format(text, "%s%s: %.4g %% used", i == 0 ? "\n" : "", limit->what,
                       100 * limit->used);
        if (isfinite(limit->price_per_s))
            es_text_format(text, ", %s would save %.4g per second", limit->step,
                           limit->price_per_s);
        es_text_append(text, "\n");
    }
    if (plan->explanation->limit_count == 0)
        es_text_append(text, "\nno capacity is used up\n");
}

static void show(es_cli *cli, const es_scenario *scenario, const es_plan *plan, es_text *text)
{
    es_text_format(text, "%s: %s by %s", plan->scenario, es_plan_quality_names[plan->quality],
                   es_plan_method_names[plan->method]);
    if (isfinite(plan->objective))
        es_text_format(text, ", objective %.6g per second", plan->objective);
    if (isfinite(plan->bound))
        es_text_format(text, ", proven bound %.6g", plan->bound);
    if (isfinite(plan->gap_relative))
        es_text_format(text, ", gap %.3g %%", 100 * plan->gap_relative);
    if (plan->move_count > 0)
        es_text_format(text, ", %zu moves for %.6g of it", plan->move_count, plan->move_cost_per_s);
    es_text_append(text, "\n");
    if (plan->conflict != NULL)
        es_text_format(text, "%s\n", plan->conflict);
    if (plan->routing_count > 0)
        show_routings(cli, scenario, plan, text);
    if (plan->explanation != NULL)
        show_explanation(cli, scenario, plan, text);
}

static es_status write_mps(const es_scenario *scenario, es_plan_opts opts, const char *path,
                           es_error *err)
{
    es_text text;
    es_text_init(&text, (size_t)8 << 30);
    es_status status = es_plan_write_mps(scenario, opts, &text, err);
    if (status == ES_OK)
        status = es_file_write(path, es_text_get(&text), text.size, err);
    es_text_done(&text);
    return status;
}

static es_status run(es_cli *cli, const void *given, const char *const *files, size_t count,
                     es_error *err)
{
    (void)count;
    const options *chosen = given;
    if (chosen->split.model != NULL)
        return es_cli_split_run(cli, &chosen->split, files[0], chosen->output, err);
    if (chosen->split.over != NULL)
        return es_fail(err, ES_ERR_ARG, "--over needs --split MODEL");
    const es_scenario *scenario = NULL;
    ES_TRY(es_scenario_load(cli->arena, files[0], &scenario, err));
    es_plan_opts opts = es_plan_opts_default();
    opts.method = (es_plan_method)chosen->method;
    opts.time_limit_s = chosen->time_limit;
    opts.gap_relative = chosen->gap;
    opts.thread_count = (uint32_t)chosen->threads;
    if (cli->seed != 0)
        opts.seed = (uint64_t)cli->seed;
    opts.explain = chosen->explain;
    opts.move_price = chosen->move_price;
    opts.move_price_per_byte = chosen->move_price_per_mb / 1e6;
    if (chosen->warm_start != NULL)
        ES_TRY(es_plan_load(cli->arena, chosen->warm_start, scenario, &opts.warm_start, err));
    else if (chosen->move_price > 0 || chosen->move_price_per_mb > 0)
        return es_fail(err, ES_ERR_ARG, "--move-price needs --warm-start PLAN");
    if (chosen->write_mps != NULL)
        ES_TRY(write_mps(scenario, opts, chosen->write_mps, err));
    const es_plan *plan = NULL;
    ES_TRY(es_plan_solve(cli->arena, scenario, opts, &plan, err));
    es_text text;
    es_text_init(&text, (size_t)1 << 30);
    es_status status = ES_OK;
    if (chosen->output != NULL) {
        es_plan_write(plan, scenario, &text);
        status = es_text_status(&text, err);
        if (status == ES_OK)
            status = es_file_write(chosen->output, es_text_get(&text), text.size, err);
        es_text_clear(&text);
    }
    if (status == ES_OK) {
        if (cli->json)
            es_plan_write(plan, scenario, &text);
        else if (chosen->output == NULL || strcmp(chosen->output, "-") != 0)
            show(cli, scenario, plan, &text);
        status = es_cli_print(&text, err);
    }
    es_text_done(&text);
    if (plan->quality == ES_PLAN_INFEASIBLE || plan->quality == ES_PLAN_UNKNOWN)
        cli->exit_code = 3;
    return status;
}

const es_verb es_verb_plan = {
    .name = "plan",
    .group = "decide",
    .summary = "decide which model, in which form, runs where",
    .arguments = "SCENARIO",
    .details =
        "Prints the plan with its proven bound and gap; --json prints the document itself. Exits\n"
        "with 3, and says which constraints conflict, when there is no feasible plan.\n\n"
        "  estran plan examples/01-first-run/scenario.yaml --output plan.json\n"
        "  estran plan --split large.onnx --over sensor-1,hall,cloud scenario.yaml",
    .file_min = 1,
    .file_max = 1,
    .options = rows,
    .option_count = sizeof rows / sizeof rows[0],
    .options_size = sizeof(options),
    .run = run,
};
