/* estran cut: where a model can be cut, and the segment files. */
#include "base/document.h"
#include "cli/cli.h"
#include "model/model.h"

typedef struct options {
    es_cli_texts at;
    bool all;
    const char *output;
} options;

static const es_option rows[] = {
    {.name = "at",
     .type = ES_OPTION_TEXTS,
     .offset = offsetof(options, at),
     .value = "TENSOR",
     .help = "cut behind this tensor; may be given several times"},
    {.name = "all",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, all),
     .help = "cut at every cut point"},
    {.name = "output",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, output),
     .value = "STEM",
     .help = "segments are written to STEM.seg0.onnx ..; else the model's name without .onnx"},
};

static void show(es_cli *cli, const es_model_cut_list *cuts, es_text *out)
{
    es_cli_table table = {.arena = cli->arena, .columns = 5};
    const char *const head[] = {"cut behind", "ships", "MACs before", "MACs after",
                                "weights before"};
    for (size_t i = 0; i < 5; i++)
        es_cli_cell(&table, "%s", head[i]);
    for (size_t i = 0; i < cuts->count; i++) {
        const es_model_cut_point *point = &cuts->points[i];
        es_text size;
        es_text_init(&size, 64);
        es_cli_cell(&table, "%s", point->tensor->name);
        es_cli_bytes(&size, point->tensor->bytes >= 0 ? (double)point->tensor->bytes : 0);
        es_cli_cell(&table, "%s", point->tensor->bytes >= 0 ? es_text_get(&size) : "?");
        es_cli_cell(&table, "%.4g M", (double)point->macs_before * 1e-6);
        es_cli_cell(&table, "%.4g M", (double)point->macs_after * 1e-6);
        es_text_clear(&size);
        es_cli_bytes(&size, (double)point->parameter_bytes_before);
        es_cli_cell(&table, "%s", es_text_get(&size));
        es_text_done(&size);
    }
    es_cli_table_print(&table, out);
}

static void write_json(const es_model *model, const es_model_analysis *analysis,
                       const es_model_cut_list *cuts, const char *const *paths, size_t path_count,
                       es_text *out)
{
    es_json json;
    es_json_init(&json, out, false);
    es_json_map_begin(&json);
    es_json_put_text(&json, "model", es_model_name(model));
    es_json_put_int(&json, "macs", analysis->macs);
    es_json_put_int(&json, "parameter_bytes", analysis->parameter_bytes);
    es_json_put_int(&json, "activation_bytes_peak", analysis->peak_bytes);
    es_json_key(&json, "cuts");
    es_json_list_begin(&json);
    for (size_t i = 0; i < cuts->count; i++) {
        const es_model_cut_point *point = &cuts->points[i];
        es_json_map_begin(&json);
        es_json_put_text(&json, "tensor", point->tensor->name);
        es_json_put_int(&json, "bytes", point->tensor->bytes);
        es_json_put_int(&json, "macs_before", point->macs_before);
        es_json_put_int(&json, "macs_after", point->macs_after);
        es_json_put_int(&json, "parameter_bytes_before", point->parameter_bytes_before);
        es_json_put_int(&json, "parameter_bytes_after", point->parameter_bytes_after);
        es_json_map_end(&json);
    }
    es_json_list_end(&json);
    es_json_key(&json, "segments");
    es_json_list_begin(&json);
    for (size_t i = 0; i < path_count; i++)
        es_json_text(&json, paths[i]);
    es_json_list_end(&json);
    es_json_map_end(&json);
}

static es_status write_segments(es_cli *cli, const options *chosen, const es_model *model,
                                const char *path, const es_model_cut_list *cuts,
                                const char *const **out_paths, size_t *out_count, es_error *err)
{
    size_t count = chosen->all ? cuts->count : chosen->at.count;
    const char **tensors = ES_TAKE_ARRAY(cli->arena, const char *, count);
    if (tensors == NULL)
        return es_arena_full(cli->arena, "cut", err);
    for (size_t i = 0; i < count; i++)
        tensors[i] = chosen->all ? cuts->points[i].tensor->name : chosen->at.items[i];
    const es_model *const *segments = NULL;
    ES_TRY(es_within(err, es_model_cut(cli->arena, model, tensors, count, &segments, err), "%s",
                     path));
    const char *stem = chosen->output;
    if (stem == NULL)
        stem = es_arena_text_n(cli->arena, path, es_model_stem_size(path));
    *out_count = count + 1;
    return es_model_write_segments(cli->arena, segments, count + 1, stem != NULL ? stem : path,
                                   out_paths, err);
}

static es_status run(es_cli *cli, const void *given, const char *const *files, size_t count,
                     es_error *err)
{
    (void)count;
    const options *chosen = given;
    const es_model *model = NULL;
    const es_model_analysis *analysis = NULL;
    es_model_cut_list cuts = {0};
    ES_TRY(es_model_load(cli->arena, files[0], es_model_opts_default(), &model, err));
    es_model_analyse_opts opts = es_model_analyse_opts_default();
    opts.unknown_allowed = true;
    ES_TRY(es_model_analyse(cli->arena, model, opts, &analysis, err));
    ES_TRY(es_model_cut_points(cli->arena, model, analysis, &cuts, err));
    const char *const *paths = NULL;
    size_t path_count = 0;
    if (chosen->all || chosen->at.count > 0)
        ES_TRY(write_segments(cli, chosen, model, files[0], &cuts, &paths, &path_count, err));
    ES_CLEANUP(es_text_done) es_text text;
    es_text_init(&text, (size_t)256 << 20);
    if (cli->json) {
        write_json(model, analysis, &cuts, paths, path_count, &text);
        return es_cli_print(&text, err);
    }
    es_text_format(&text,
                   "%s: %zu nodes, %.4g M MACs, %.4g MB of weights, peak activations %.4g MB\n",
                   files[0], analysis->node_count, (double)analysis->macs * 1e-6,
                   (double)analysis->parameter_bytes * 1e-6, (double)analysis->peak_bytes * 1e-6);
    if (cuts.count == 0)
        es_text_append(&text, "no tensor separates this model in two\n");
    else if (path_count == 0)
        show(cli, &cuts, &text);
    for (size_t i = 0; i < path_count; i++)
        es_text_format(&text, "%s\n", paths[i]);
    return es_cli_print(&text, err);
}

const es_verb es_verb_cut = {
    .name = "cut",
    .group = "prepare",
    .summary = "list where a model can be cut, or cut it into segment files",
    .arguments = "MODEL",
    .details =
        "A cut point is a tensor that alone joins what comes before it to what comes after. The\n"
        "segments chain to the same result as the whole model.\n\n"
        "  estran cut resnet8.onnx\n"
        "  estran cut resnet8.onnx --at pool1 --output out/resnet8",
    .file_min = 1,
    .file_max = 1,
    .options = rows,
    .option_count = sizeof rows / sizeof rows[0],
    .options_size = sizeof(options),
    .run = run,
};
