#include "cli/split.h"

#include "base/array.h"
#include "base/file.h"
#include "plan/plan.h"

#include <math.h>

enum { FRONT_MAX = 64 };

typedef struct job {
    const es_scenario *scenario;
    const es_split_model *model;
    const es_split_problem *problem;
    es_split_opts opts;
    es_node_id nodes[ES_SPLIT_NODES_MAX];
    size_t node_count;
    double throughput_min_rps;
    const char *path; /* of the model, as given */
    es_split best;
    es_split alone[ES_SPLIT_NODES_MAX];
    es_split pair; /* the best of those over exactly two nodes */
    const es_split *front;
    size_t front_count;
} job;

/* ---- what is asked ---- */

static es_status find_nodes(es_cli *cli, const char *over, job *now, es_error *err)
{
    const es_network *network = now->scenario->network;
    uint32_t count = es_network_node_count(network);
    for (const char *rest = over; rest != NULL;) {
        size_t size = strcspn(rest, ",");
        const char *name = es_arena_text_n(cli->arena, rest, size);
        rest = rest[size] == ',' ? rest + size + 1 : NULL;
        if (name == NULL)
            return es_arena_full(cli->arena, "--over", err);
        if (now->node_count == ES_SPLIT_NODES_MAX)
            return es_fail(err, ES_ERR_ARG, "--over: more than %d nodes", ES_SPLIT_NODES_MAX);
        es_node_id id = es_network_node_find(network, name);
        if (!es_node_is_none(id)) {
            now->nodes[now->node_count++] = id;
            continue;
        }
        const char **names = ES_TAKE_ARRAY(cli->arena, const char *, count);
        if (names == NULL)
            return es_arena_full(cli->arena, "--over", err);
        for (uint32_t i = 0; i < count; i++)
            names[i] = es_network_node(network, (es_node_id){.index = i})->name;
        const char *nearest = es_text_nearest(name, names, count);
        return nearest != NULL
                   ? es_fail(err, ES_ERR_ARG,
                             "--over: the scenario has no node '%s' (did you mean "
                             "'%s'?)",
                             name, nearest)
                   : es_fail(err, ES_ERR_ARG, "--over: the scenario has no node '%s'", name);
    }
    return ES_OK;
}

static es_status set_exit(es_cli *cli, const char *text, const es_split_model *model, es_error *err)
{
    const char *equals = strrchr(text, '=');
    double share = 0;
    if (equals == NULL || !es_text_to_double(equals + 1, &share) || share < 0 || share > 1)
        return es_fail(err, ES_ERR_ARG, "--exit: '%s' must be TENSOR=SHARE with a share of 0..1",
                       text);
    const char *name = es_arena_text_n(cli->arena, text, (size_t)(equals - text));
    const char **names = ES_TAKE_ARRAY(cli->arena, const char *, model->layer_count);
    if (name == NULL || names == NULL)
        return es_arena_full(cli->arena, "--exit", err);
    for (size_t j = 0; j + 1 < model->layer_count; j++) {
        names[j] = model->layers[j].output;
        if (strcmp(names[j], name) == 0) {
            model->layers[j].survival = 1 - share;
            return ES_OK;
        }
    }
    const char *nearest = es_text_nearest(name, names, model->layer_count - 1);
    return es_fail(err, ES_ERR_ARG, "--exit: '%s' is no cut point of %s%s%s%s", name, model->name,
                   nearest != NULL ? " (did you mean '" : "", nearest != NULL ? nearest : "",
                   nearest != NULL ? "'?)" : "");
}

static es_status prepare(es_cli *cli, const es_cli_split *given, const char *scenario_path,
                         job *now, es_error *err)
{
    if (given->over == NULL)
        return es_fail(err, ES_ERR_ARG, "--split needs --over NODE,NODE..: where it may run");
    ES_TRY(es_scenario_load(cli->arena, scenario_path, &now->scenario, err));
    ES_TRY(find_nodes(cli, given->over, now, err));
    ES_TRY(es_split_model_load(cli->arena, given->model, &now->model, err));
    for (size_t i = 0; i < given->exits.count; i++)
        ES_TRY(set_exit(cli, given->exits.items[i], now->model, err));
    now->path = given->model;
    now->throughput_min_rps = given->throughput_min_rps;
    now->opts = es_split_opts_default();
    now->opts.objective = (es_split_objective)given->objective;
    if (given->throughput_min_rps > 0)
        now->opts.bottleneck_s_max = 1 / given->throughput_min_rps;
    return es_split_layout(cli->arena, now->scenario, now->model, now->nodes, now->node_count,
                           &now->problem, err);
}

/* ---- solving ---- */

static double value_of(const job *now, const es_split *split)
{
    if (!split->feasible)
        return INFINITY;
    return now->opts.objective == ES_SPLIT_ENERGY       ? split->energy_j
           : now->opts.objective == ES_SPLIT_THROUGHPUT ? split->bottleneck_s
                                                        : split->latency_s;
}

/* The best cut of all over two nodes, also where one node alone would be better. */
static es_status solve_pairs(es_cli *cli, job *now, es_error *err)
{
    size_t layers = now->model->layer_count;
    uint32_t *node_of = ES_TAKE_ARRAY(cli->arena, uint32_t, layers);
    uint32_t *best = ES_TAKE_ARRAY(cli->arena, uint32_t, layers);
    if (node_of == NULL || best == NULL)
        return es_arena_full(cli->arena, "split", err);
    for (uint32_t a = 0; a < now->node_count; a++) {
        for (uint32_t b = a + 1; b < now->node_count; b++) {
            for (size_t j = 0; j < layers; j++)
                node_of[j] = b;
            for (size_t cut = 1; cut < layers; cut++) {
                node_of[cut - 1] = a;
                es_split split = es_split_price(now->problem, node_of);
                if (!split.feasible || split.bottleneck_s > now->opts.bottleneck_s_max ||
                    !(value_of(now, &split) < value_of(now, &now->pair)))
                    continue;
                memcpy(best, node_of, layers * sizeof *best);
                now->pair = split;
                now->pair.node_of = best;
            }
        }
    }
    return ES_OK;
}

static es_status solve(es_cli *cli, job *now, es_error *err)
{
    ES_TRY(es_split_solve(cli->arena, now->problem, now->opts, &now->best, err));
    for (uint32_t k = 0; k < now->node_count; k++) {
        es_split_opts opts = now->opts;
        opts.nodes_allowed = UINT32_C(1) << k;
        opts.bottleneck_s_max = INFINITY; /* told for comparison, whatever its rate */
        ES_TRY(es_split_solve(cli->arena, now->problem, opts, &now->alone[k], err));
    }
    ES_TRY(solve_pairs(cli, now, err));
    return es_split_front(cli->arena, now->problem, FRONT_MAX, &now->front, &now->front_count, err);
}

static const char *name_of(const job *now, uint32_t node)
{
    return es_network_node(now->scenario->network, now->nodes[node])->name;
}

/* The last layer of the segment that starts with layer first. */
static size_t segment_end(const job *now, const es_split *split, size_t first)
{
    size_t last = first;
    while (last + 1 < now->model->layer_count && split->node_of[last + 1] == split->node_of[first])
        last++;
    return last;
}

static double reach_of(const job *now, size_t layer)
{
    double reach = 1;
    for (size_t j = 0; j < layer; j++)
        reach *= now->model->layers[j].survival;
    return reach;
}

/* ---- the document ---- */

static void put_figures(es_json *json, const es_split *split)
{
    double rate = split->bottleneck_s > 0 ? 1 / split->bottleneck_s : (double)INFINITY;
    es_json_put_number(json, "latency_ms", 1e3 * split->latency_s);
    es_json_put_number(json, "energy_j", split->energy_j);
    es_json_put_number(json, "throughput_max_rps", rate);
    es_json_put_number(json, "shipped_bytes", split->shipped_bytes);
}

static void put_segments(es_json *json, const job *now, const es_split *split)
{
    es_json_key(json, "segments");
    es_json_list_begin(json);
    size_t layers = now->model->layer_count;
    for (size_t first = 0, last = 0; first < layers; first = last + 1) {
        last = segment_end(now, split, first);
        double time_s = 0;
        double memory_bytes = 0;
        uint32_t node = split->node_of[first];
        for (size_t j = first; j <= last; j++) {
            time_s += now->problem->time_s[node * layers + j];
            memory_bytes += now->model->layers[j].memory_bytes;
        }
        es_json_map_begin(json);
        es_json_put_text(json, "node", name_of(now, node));
        es_json_put_text(json, "from", first > 0 ? now->model->layers[first - 1].output : NULL);
        es_json_put_text(json, "to", now->model->layers[last].output);
        es_json_put_number(json, "reach", reach_of(now, first));
        es_json_put_number(json, "time_ms", 1e3 * time_s);
        es_json_put_number(json, "memory_bytes", memory_bytes);
        es_json_put_number(json, "output_bytes",
                           last + 1 < layers ? now->model->layers[last].output_bytes
                                             : now->model->answer_bytes);
        es_json_map_end(json);
    }
    es_json_list_end(json);
}

static void put_split(es_json *json, const job *now, const char *name, const es_split *split)
{
    if (!split->feasible)
        return;
    es_json_map_begin(json);
    if (name != NULL)
        es_json_put_text(json, "name", name);
    put_figures(json, split);
    put_segments(json, now, split);
    es_json_map_end(json);
}

static void write_document(const job *now, es_text *out)
{
    es_json json;
    es_json_init(&json, out, false);
    es_json_map_begin(&json);
    es_json_put_text(&json, "format", "estran-split");
    es_json_put_int(&json, "version", 1);
    es_json_put_text(&json, "scenario", now->scenario->name);
    es_json_put_text(&json, "model", now->model->name);
    es_json_put_text(&json, "objective", es_split_objective_names[now->opts.objective]);
    es_json_put_number(&json, "throughput_min_rps", now->throughput_min_rps);
    es_json_put_text(
        &json, "quality",
        es_plan_quality_names[now->best.feasible ? ES_PLAN_OPTIMAL : ES_PLAN_INFEASIBLE]);
    if (now->best.feasible) {
        put_figures(&json, &now->best);
        put_segments(&json, now, &now->best);
    }
    es_json_key(&json, "alternatives");
    es_json_list_begin(&json);
    for (uint32_t k = 0; k < now->node_count; k++)
        put_split(&json, now, "one-node", &now->alone[k]);
    put_split(&json, now, "two-nodes", &now->pair);
    es_json_list_end(&json);
    es_json_key(&json, "front");
    es_json_list_begin(&json);
    for (size_t i = 0; i < now->front_count; i++)
        put_split(&json, now, NULL, &now->front[i]);
    es_json_list_end(&json);
    es_json_map_end(&json);
}

/* ---- for people ---- */

static void cell_seconds(es_cli_table *table, double seconds)
{
    es_text text;
    es_text_init(&text, 64);
    es_cli_seconds(&text, seconds);
    es_cli_cell(table, "%s", es_text_get(&text));
    es_text_done(&text);
}

static void cell_bytes(es_cli_table *table, double bytes)
{
    es_text text;
    es_text_init(&text, 64);
    es_cli_bytes(&text, bytes);
    es_cli_cell(table, "%s", es_text_get(&text));
    es_text_done(&text);
}

static void show_segments(es_cli *cli, const job *now, es_text *out)
{
    es_cli_table table = {.arena = cli->arena, .columns = 6};
    const char *const head[] = {"segment up to", "node", "reach", "time", "memory", "ships"};
    size_t layers = now->model->layer_count;
    for (size_t i = 0; i < 6; i++)
        es_cli_cell(&table, "%s", head[i]);
    for (size_t first = 0, last = 0; first < layers; first = last + 1) {
        last = segment_end(now, &now->best, first);
        uint32_t node = now->best.node_of[first];
        double time_s = 0;
        double memory_bytes = 0;
        for (size_t j = first; j <= last; j++) {
            time_s += now->problem->time_s[node * layers + j];
            memory_bytes += now->model->layers[j].memory_bytes;
        }
        const char *to = now->model->layers[last].output;
        es_cli_cell(&table, "%.60s", to != NULL ? to : "(end)");
        es_cli_cell(&table, "%s", name_of(now, node));
        es_cli_cell(&table, "%.3g", reach_of(now, first));
        cell_seconds(&table, time_s);
        cell_bytes(&table, memory_bytes);
        cell_bytes(&table, last + 1 < layers ? now->model->layers[last].output_bytes
                                             : now->model->answer_bytes);
    }
    es_cli_table_print(&table, out);
}

/* One row of the comparison; what starts with what runs where. */
static void show_row(es_cli_table *table, const job *now, const char *what, const es_split *split)
{
    es_text name;
    es_text_init(&name, 4096);
    es_text_format(&name, "%s:", what);
    for (size_t first = 0; split->feasible && first < now->model->layer_count;
         first = segment_end(now, split, first) + 1)
        es_text_format(&name, "%s %s", first > 0 ? " >" : "", name_of(now, split->node_of[first]));
    es_cli_cell(table, "%s", es_text_get(&name));
    es_text_done(&name);
    if (!split->feasible) {
        for (size_t i = 0; i < 4; i++)
            es_cli_cell(table, "-");
        return;
    }
    cell_seconds(table, split->latency_s);
    es_cli_cell(table, "%.3g mJ", 1e3 * split->energy_j);
    es_cli_cell(table, "%.4g/s", 1 / split->bottleneck_s);
    cell_bytes(table, split->shipped_bytes);
}

static void show_comparison(es_cli *cli, const job *now, es_text *out)
{
    es_cli_table table = {.arena = cli->arena, .columns = 5};
    const char *const head[] = {"alternatives", "latency", "energy", "at most", "ships"};
    for (size_t i = 0; i < 5; i++)
        es_cli_cell(&table, "%s", head[i]);
    show_row(&table, now, "best", &now->best);
    if (now->pair.feasible)
        show_row(&table, now, "two nodes", &now->pair);
    for (uint32_t k = 0; k < now->node_count; k++) {
        char what[160];
        (void)snprintf(what, sizeof what, now->alone[k].feasible ? "all" : "all %s (cannot)",
                       name_of(now, k)); /* a long name is cut */
        show_row(&table, now, what, &now->alone[k]);
    }
    es_cli_table_print(&table, out);
}

/* The command that makes the segment files. */
static void show_cut(const job *now, es_text *out)
{
    if (now->best.segment_count < 2)
        return;
    size_t size = strlen(now->path);
    bool profile = size > 5 && strcmp(now->path + size - 5, ".json") == 0;
    es_text_format(out, "segment files: estran cut %s", profile ? "MODEL.onnx" : now->path);
    for (size_t first = segment_end(now, &now->best, 0) + 1; first < now->model->layer_count;
         first = segment_end(now, &now->best, first) + 1)
        es_text_format(out, " --at '%s'", now->model->layers[first - 1].output);
    es_text_append(out, "\n");
}

static es_status show_infeasible(es_cli *cli, const job *now, es_text *out, es_error *err)
{
    es_split fastest = {0};
    es_split_opts opts = es_split_opts_default();
    opts.objective = ES_SPLIT_THROUGHPUT;
    ES_TRY(es_split_solve(cli->arena, now->problem, opts, &fastest, err));
    if (fastest.feasible)
        es_text_format(out, "no split of %s sustains %g requests per second; at most %.4g\n",
                       now->model->name, now->throughput_min_rps, 1 / fastest.bottleneck_s);
    else
        es_text_format(out,
                       "no split of %s over these nodes: memory or a missing way forbids each\n",
                       now->model->name);
    return ES_OK;
}

es_status es_cli_split_run(es_cli *cli, const es_cli_split *given, const char *scenario_path,
                           const char *output, es_error *err)
{
    job now = {0};
    ES_TRY(prepare(cli, given, scenario_path, &now, err));
    ES_TRY(es_within(err, solve(cli, &now, err), "%s", given->model));
    ES_CLEANUP(es_text_done) es_text text;
    es_text_init(&text, (size_t)256 << 20);
    if (output != NULL) {
        write_document(&now, &text);
        ES_TRY(es_text_status(&text, err));
        ES_TRY(es_file_write(output, es_text_get(&text), text.size, err));
        es_text_clear(&text);
    }
    if (!now.best.feasible)
        cli->exit_code = 3;
    if (cli->json) {
        write_document(&now, &text);
    } else if (!now.best.feasible) {
        ES_TRY(show_infeasible(cli, &now, &text, err));
    } else if (output == NULL || strcmp(output, "-") != 0) {
        es_text_format(&text, "%s in %zu part%s by %s, of %zu layers\n", now.model->name,
                       now.best.segment_count, now.best.segment_count == 1 ? "" : "s",
                       es_split_objective_names[now.opts.objective], now.model->layer_count);
        show_segments(cli, &now, &text);
        es_text_append(&text, "\n");
        show_comparison(cli, &now, &text);
        show_cut(&now, &text);
    }
    return es_cli_print(&text, err);
}
