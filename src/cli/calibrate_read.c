/* Scores for estran calibrate: from models over samples, or from files. */
#include "cli/calibrate.h"
#include "cli/samples.h"
#include "model/model.h"
#include "runtime/runtime.h"

#include <math.h>
#include <string.h>

enum { STOP_ASKED_EVERY = 64 };

static bool is_model(const char *path)
{
    return es_model_stem_size(path) < strlen(path);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static es_status add_stage(es_cli *cli, es_calibrate_stages *all, const char *name,
                           const float *values, uint32_t classes, double cost, es_error *err)
{
    if (all->count == ES_CASCADE_STAGES_MAX)
        return es_fail(err, ES_ERR_LIMIT, "more than %d stages", ES_CASCADE_STAGES_MAX);
    if (name == NULL)
        return es_arena_full(cli->arena, "stages", err);
    es_scores scores = {.values = values, .count = all->sample_count, .class_count = classes};
    scores.probabilities = es_scores_look_like_probabilities(values, all->sample_count, classes);
    all->items[all->count++] = (es_calibrate_stage){.name = name, .scores = scores, .cost = cost};
    return es_within(err, es_scores_check(&scores, err), "%s", name);
}

/* Work of a model with one exit; of several it is not told apart. */
static double macs_of(es_cli *cli, const char *path)
{
    const es_model *model = NULL;
    const es_model_analysis *analysis = NULL;
    if (es_model_load(cli->arena, path, es_model_opts_default(), &model, NULL) != ES_OK ||
        es_model_analyse(cli->arena, model, es_model_analyse_opts_default(), &analysis, NULL) !=
            ES_OK)
        return (double)NAN;
    return (double)analysis->macs;
}

typedef struct model_run {
    es_session *session;
    const es_dataset *set;
    es_feed feed;
    size_t output_count;
    es_tensor outputs[ES_SESSION_PORTS_MAX];
    float *kept[ES_SESSION_PORTS_MAX]; /* all samples' values of an output that is an exit */
    size_t classes;
} model_run;

static es_status prepare(es_cli *cli, model_run *run, const es_samples *samples, const char *path,
                         es_error *err)
{
    ES_TRY(es_within(err, es_feed_init(cli->arena, run->session, samples, &run->feed, err), "'%s'",
                     path));
    run->output_count = es_session_output_count(run->session);
    for (size_t i = run->output_count; i-- > 0;) {
        run->outputs[i] = es_port_tensor(es_session_output(run->session, i), 1);
        run->outputs[i].data = es_arena_take(cli->arena, run->outputs[i].size_bytes, 1);
        size_t count = es_tensor_count(&run->outputs[i]);
        if (i + 1 == run->output_count)
            run->classes = count;
        if (run->outputs[i].data == NULL)
            return es_arena_full(cli->arena, path, err);
        if (run->outputs[i].dtype != ES_DTYPE_F32 || count != run->classes)
            continue;
        run->kept[i] = ES_TAKE_ARRAY(cli->arena, float, run->set->count *count);
        if (run->kept[i] == NULL)
            return es_arena_full(cli->arena, path, err);
    }
    if (run->kept[run->output_count - 1] == NULL || run->classes < 2)
        return es_fail(err, ES_ERR_ARG, "'%s': its last output must be 2 or more f32 scores", path);
    return ES_OK;
}

static es_status run_all(es_cli *cli, model_run *run, const char *name, es_error *err)
{
    ES_CLEANUP(es_binding_free_p) es_binding *binding = NULL;
    ES_TRY(es_binding_new(run->session, &run->feed.input, 1, run->outputs, run->output_count,
                          &binding, err));
    for (size_t i = 0; i < run->set->count; i++) {
        es_feed_set(&run->feed, i);
        ES_TRY(es_binding_run(binding, err));
        for (size_t o = 0; o < run->output_count; o++)
            if (run->kept[o] != NULL)
                memcpy(run->kept[o] + i * run->classes, run->outputs[o].data,
                       run->classes * sizeof(float));
        if (i % STOP_ASKED_EVERY == 0) {
            es_cli_progress(cli, name, (double)i / (double)run->set->count);
            if (*cli->stop)
                return es_fail(err, ES_ERR_CANCELLED, "stopped");
        }
    }
    es_cli_progress(cli, "", 1);
    return ES_OK;
}

static es_status read_model(es_cli *cli, const es_calibrate_input *input, es_runtime *runtime,
                            const es_dataset *set, const char *path, es_calibrate_stages *all,
                            es_error *err)
{
    ES_CLEANUP(es_session_unref_p) es_session *session = NULL;
    ES_TRY(es_session_open(runtime, path, es_session_opts_default(), &session, err));
    model_run run = {.session = session, .set = set};
    es_samples samples = {.dataset = set};
    ES_TRY(es_cli_samples_scaling(cli, input->scale, NULL, NULL, &samples.scaling, err));
    ES_TRY(prepare(cli, &run, &samples, path, err));
    ES_TRY(run_all(cli, &run, base_name(path), err));
    size_t exits = 0;
    for (size_t o = 0; o < run.output_count; o++)
        exits += run.kept[o] != NULL;
    for (size_t o = 0; o < run.output_count; o++) {
        if (run.kept[o] == NULL)
            continue;
        const char *name = exits == 1 ? base_name(path)
                                      : es_arena_format(cli->arena, "%s:%s", base_name(path),
                                                        es_session_output(session, o)->name);
        ES_TRY(add_stage(cli, all, name, run.kept[o], (uint32_t)run.classes,
                         exits == 1 ? macs_of(cli, path) : (double)NAN, err));
    }
    return ES_OK;
}

static es_status read_scores(es_cli *cli, const char *path, es_calibrate_stages *all, es_error *err)
{
    es_dataset set;
    es_dataset_opts opts = es_dataset_opts_default();
    opts.one_hot = false;
    ES_TRY(es_dataset_load(cli->arena, path, NULL, opts, &set, err));
    if (all->sample_count == 0) /* without labels the first file says how many */
        all->sample_count = set.count;
    if (set.count != all->sample_count && (!all->limited || set.count < all->sample_count))
        return es_fail(err, ES_ERR_PARSE, "'%s' has scores of %zu samples, %s %zu samples", path,
                       set.count, all->labels != NULL ? "labelled are" : "the file before it",
                       all->sample_count);
    float *values = ES_TAKE_ARRAY(cli->arena, float, set.x.count);
    if (values == NULL)
        return es_arena_full(cli->arena, path, err);
    es_data_floats(&set.x, 0, set.x.count, values);
    return add_stage(cli, all, base_name(path), values, (uint32_t)set.size, (double)NAN, err);
}

/* Labels alone are read as samples of one value. */
static es_status read_labels(es_cli *cli, const es_calibrate_input *input, es_calibrate_stages *all,
                             es_error *err)
{
    es_dataset set;
    es_dataset_opts opts = es_dataset_opts_default();
    opts.limit = (size_t)input->limit;
    opts.label = input->label_column;
    if (input->data != NULL)
        return es_fail(err, ES_ERR_ARG, "--data is for models (.onnx); scores need only --labels");
    all->limited = input->limit > 0;
    all->sample_count = (size_t)input->limit;
    if (input->unlabelled)
        return ES_OK;
    if (input->labels == NULL)
        return es_fail(err, ES_ERR_ARG, "scores need --labels");
    ES_TRY(es_dataset_load_labels(cli->arena, input->labels, opts, &set, err));
    all->labels = set.labels;
    all->sample_count = set.count;
    return ES_OK;
}

es_status es_calibrate_read(es_cli *cli, const es_calibrate_input *input, const char *const *files,
                            size_t file_count, es_calibrate_stages *out, es_error *err)
{
    es_calibrate_stages all = {0};
    es_dataset set = {0};
    bool models = is_model(files[0]);
    ES_CLEANUP(es_runtime_free_p) es_runtime *runtime = NULL;
    for (size_t i = 0; i < file_count; i++)
        if (is_model(files[i]) != models)
            return es_fail(err, ES_ERR_ARG, "'%s' and '%s': either all are models or all scores",
                           files[0], files[i]);
    if (models) {
        es_cli_samples from = {.data = input->data,
                               .labels = input->labels,
                               .label_column = input->label_column,
                               .limit = input->limit};
        es_runtime_opts runtime_opts = es_runtime_opts_default();
        runtime_opts.library_path = input->ort_library;
        if (input->data == NULL)
            return es_fail(err, ES_ERR_ARG, "models need --data: labelled samples");
        ES_TRY(es_cli_samples_load(cli, &from, !input->unlabelled, &set, err));
        ES_TRY(es_runtime_new(runtime_opts, &runtime, err));
        all.labels = input->unlabelled ? NULL : set.labels;
        all.sample_count = set.count;
    } else {
        ES_TRY(read_labels(cli, input, &all, err));
    }
    for (size_t i = 0; i < file_count; i++)
        ES_TRY(models ? read_model(cli, input, runtime, &set, files[i], &all, err)
                      : read_scores(cli, files[i], &all, err));
    for (size_t i = 0; all.labels != NULL && i < all.sample_count; i++)
        for (size_t k = 0; k < all.count; k++)
            if (all.labels[i] >= all.items[k].scores.class_count)
                return es_fail(err, ES_ERR_ARG, "label %u of sample %zu, but %s has %u classes",
                               all.labels[i], i + 1, all.items[k].name,
                               all.items[k].scores.class_count);
    *out = all;
    return ES_OK;
}
