/* estran train: gradient training of a net in a few lines, or of a model that is there. */
#include "cli/train.h"

#include "base/file.h"
#include "cli/samples.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

enum { SPEC_CAP_BYTES = 1 << 20, TEST_BATCH = 250 };

typedef struct options {
    const char *data, *labels, *label_column, *test, *test_labels;
    int64_t limit;
    double validation;
    const char *output, *svg;
    int64_t epochs, batch;
    double lr, warm_up, momentum, weight_decay, smoothing, average, clip;
    size_t optimiser, schedule, loss, backend;
    const char *augment;
    int64_t patience, threads;
    bool resume, no_scale, allow_empty, no_energy;
    double idle_w, busy_w;
    const char *meter_root;
} options;
_Static_assert(sizeof(options) <= ES_CLI_OPTIONS_SIZE, "options do not fit");

#define TEXT(key, field, shown, words)                                                             \
    {                                                                                              \
        .name = (key), .type = ES_OPTION_TEXT, .offset = offsetof(options, field),                 \
        .value = (shown), .help = (words)                                                          \
    }
#define NUMBER(key, field, shown, by_default, least, most, words)                                  \
    {                                                                                              \
        .name = (key), .type = ES_OPTION_NUMBER, .offset = offsetof(options, field),               \
        .value = (shown), .fallback = (by_default), .min = (least), .max = (most), .help = (words) \
    }
#define WHOLE(key, field, shown, by_default, least, most, words)                                   \
    {                                                                                              \
        .name = (key), .type = ES_OPTION_INT, .offset = offsetof(options, field),                  \
        .value = (shown), .fallback = (by_default), .min = (least), .max = (most), .help = (words) \
    }
#define WORD(key, field, shown, by_default, list, list_count, words_)                              \
    {                                                                                              \
        .name = (key), .type = ES_OPTION_WORD, .offset = offsetof(options, field),                 \
        .value = (shown), .fallback = (by_default), .words = (list), .word_count = (list_count),   \
        .help = (words_)                                                                           \
    }
#define FLAG(key, field, words)                                                                    \
    {                                                                                              \
        .name = (key), .type = ES_OPTION_FLAG, .offset = offsetof(options, field), .help = (words) \
    }

static const es_option rows[] = {
    TEXT("data", data, "FILE",
         "samples: IDX, CIFAR records (.bin), NPY, NPZ, CSV, .f32; also gzipped"),
    TEXT("labels", labels, "FILE", "their classes: IDX, NPY, CSV of one column, a byte each (.u8)"),
    TEXT("label-column", label_column, "NAME", "column of the classes, when --data is CSV"),
    TEXT("test", test, "FILE", "samples to measure the result on"),
    TEXT("test-labels", test_labels, "FILE", "labels of --test"),
    WHOLE("limit", limit, "N", "0", 0, 1e9, "the first N samples of each file only; 0: all"),
    NUMBER("validation", validation, "SHARE", "0.1", 0, 0.9,
           "of --data held back, to choose the best epoch; 0: none"),
    TEXT("output", output, "FILE",
         "the ONNX file; record (.json) and page (.html) stand beside it"),
    TEXT("svg", svg, "FILE", "draw loss and accuracy by epoch"),
    WHOLE("epochs", epochs, "N", "10", 1, 1e6, "times through the samples"),
    WHOLE("batch", batch, "N", "64", 1, 65536, "samples of a step"),
    NUMBER("lr", lr, "RATE", "0", 0, 1e6,
           "the highest rate; 0: 0.05 with sgd, else 0.002; for a MODEL a tenth of that"),
    WORD("optimiser", optimiser, "KIND", "sgd", es_optimiser_names, ES_OPTIMISER_COUNT,
         "sgd has Nesterov momentum"),
    WORD("schedule", schedule, "KIND", "cosine", es_rate_names, ES_RATE_COUNT,
         "of the rate; step: a tenth after half and three quarters"),
    NUMBER("warm-up", warm_up, "SHARE", "0.05", 0, 1, "of the training in which the rate climbs"),
    NUMBER("momentum", momentum, "SHARE", "0.9", 0, 0.9999, "of sgd"),
    NUMBER("weight-decay", weight_decay, "D", "0.0005", 0, 10,
           "of weights, not of biases and batch norms"),
    NUMBER("smoothing", smoothing, "SHARE", "0", 0, 0.9, "label smoothing"),
    NUMBER("average", average, "SHARE", "0", 0, 0.999999,
           "end with the exponential mean of the parameters, this share kept per step; 0: not"),
    NUMBER("clip", clip, "LENGTH", "0", 0, 1e9, "of all gradients together; 0: any"),
    WORD("loss", loss, "KIND", "cross-entropy", es_fit_loss_names, ES_FIT_LOSS_COUNT,
         "squares: rebuild the input (autoencoders)"),
    TEXT("augment", augment, "LIST",
         "flip,shift=N,erase=N,stretch=X,noise=X,mixup=A: samples changed at random"),
    WHOLE("patience", patience, "EPOCHS", "0", 0, 1e6,
          "stop after so many without a better one; 0: never"),
    FLAG("resume", resume, "go on from OUTPUT.checkpoint, which an interrupted training leaves"),
    FLAG("no-scale", no_scale, "do not put a scaling of the inputs, fitted on the data, in front"),
    FLAG("allow-empty", allow_empty, "classes of the net may be without samples"),
    WHOLE("threads", threads, "N", "0", 0, 1024,
          "0: one per core; take 1 on a machine with other work"),
    WORD("backend", backend, "NAME", "auto", es_train_backend_names, ES_TRAIN_BACKEND_COUNT,
         "auto: oneDNN where it is installed"),
    FLAG("no-energy", no_energy, "do not measure joules"),
    NUMBER("idle-w", idle_w, "WATTS", "0", 0, 1e6,
           "declared power at rest, for machines without counters"),
    NUMBER("busy-w", busy_w, "WATTS", "0", 0, 1e6, "declared power at full use"),
    TEXT("meter-root", meter_root, "FOLDER", "where sys and proc are, for the meter"),
};

typedef struct training {
    es_cli *cli;
    const options *chosen;
    bool from_model;
    es_nn *nn;
    es_dataset set, test;
    es_data_rows parts[ES_DATA_PARTS_MAX]; /* learned from, held back */
    bool held, scaled;
    es_scaling scaling;
    es_fit_opts fit;
    es_fit_result result;
    es_meter *meter;
    es_meter_mark from, to;
    const char *stem; /* of the output, without .onnx */
} training;

/* ---- options ---- */

static es_status read_augment_word(const char *word, es_augment_opts *out, es_error *err)
{
    static const char *const names[] = {"flip", "shift", "erase", "stretch", "noise", "mixup"};
    size_t size = strcspn(word, "=");
    double value = 0;
    size_t at = 0;
    while (at < 6 && (strlen(names[at]) != size || strncmp(names[at], word, size) != 0))
        at++;
    bool needs = at > 0 && at < 6;
    bool has = word[size] == '=' && es_text_to_double(word + size + 1, &value);
    if (at == 6)
        return es_fail(err, ES_ERR_ARG,
                       "--augment: '%s' is none of flip, shift, erase, stretch, noise, mixup",
                       word);
    if (needs != has || value < 0 || value > 1e6 || (at < 3 && value != floor(value)))
        return es_fail(err, ES_ERR_ARG, "--augment: '%s' must be %s%s", word, names[at],
                       needs ? "=number >= 0" : " alone");
    out->flip = out->flip || at == 0;
    out->shift = at == 1 ? (size_t)value : out->shift;
    out->erase = at == 2 ? (size_t)value : out->erase;
    out->stretch = at == 3 ? value : out->stretch;
    out->noise = at == 4 ? value : out->noise;
    out->mixup = at == 5 ? value : out->mixup;
    return ES_OK;
}

static es_status read_augment(es_arena *arena, const char *list, es_augment_opts *out,
                              es_error *err)
{
    while (list != NULL && *list != '\0') {
        size_t size = strcspn(list, ",");
        char *word = es_arena_text_n(arena, list, size);
        if (word == NULL)
            return es_arena_full(arena, "options", err);
        ES_TRY(read_augment_word(word, out, err));
        list += size + (list[size] == ',');
    }
    return ES_OK;
}

static double rate_of(const training *t)
{
    if (t->chosen->lr > 0)
        return t->chosen->lr;
    return (t->chosen->optimiser == ES_OPTIMISER_SGD ? 0.05 : 0.002) * (t->from_model ? 0.1 : 1);
}

static es_status read_opts(training *t, es_error *err)
{
    const options *chosen = t->chosen;
    es_fit_opts *fit = &t->fit;
    *fit = es_fit_opts_default();
    fit->epoch_count = (uint32_t)chosen->epochs;
    fit->batch = (size_t)chosen->batch;
    fit->loss = (es_fit_loss)chosen->loss;
    fit->label_smoothing = chosen->smoothing;
    fit->optimiser.kind = (es_optimiser_kind)chosen->optimiser;
    fit->optimiser.momentum = chosen->momentum;
    fit->optimiser.weight_decay = chosen->weight_decay;
    fit->optimiser.clip_norm = chosen->clip;
    fit->rate.kind = (es_rate_kind)chosen->schedule;
    fit->rate.rate = rate_of(t);
    fit->rate.warm_up = chosen->warm_up;
    fit->average = chosen->average;
    fit->patience = (uint32_t)chosen->patience;
    fit->allow_empty = chosen->allow_empty;
    fit->seed = t->cli->seed != 0 ? (uint64_t)t->cli->seed : 1;
    fit->engine.backend = (es_train_backend)chosen->backend;
    fit->engine.thread_count = (uint32_t)chosen->threads;
    fit->checkpoint = es_arena_format(t->cli->arena, "%s.checkpoint", chosen->output);
    fit->resume = chosen->resume;
    fit->stop = t->cli->stop;
    if (fit->checkpoint == NULL)
        return es_arena_full(t->cli->arena, "options", err);
    return read_augment(t->cli->arena, chosen->augment, &fit->augment, err);
}

/* ---- what goes in ---- */

static bool ends_with(const char *path, const char *end)
{
    size_t size = strlen(path);
    size_t tail = strlen(end);
    return size > tail && strcmp(path + size - tail, end) == 0;
}

static es_status open_net(training *t, const char *path, es_error *err)
{
    es_arena *arena = t->cli->arena;
    uint64_t seed = t->cli->seed != 0 ? (uint64_t)t->cli->seed : 1;
    const es_model *model = NULL;
    const es_doc *spec = NULL;
    t->from_model = ends_with(path, ".onnx");
    if (!t->from_model) {
        ES_TRY(es_doc_read(arena, path, SPEC_CAP_BYTES, &spec, err));
        return es_nn_from_spec(arena, spec, seed, &t->nn, err);
    }
    ES_TRY(es_model_load(arena, path, es_model_opts_default(), &model, err));
    return es_nn_from_model(arena, model, &t->nn, err);
}

static es_status open_samples(training *t, es_error *err)
{
    const options *chosen = t->chosen;
    bool labelled = chosen->loss == ES_FIT_CROSS_ENTROPY;
    es_cli_samples from = {.data = chosen->data,
                           .labels = chosen->labels,
                           .label_column = chosen->label_column,
                           .limit = chosen->limit};
    const double shares[] = {1 - chosen->validation, chosen->validation};
    ES_TRY(es_cli_samples_load(t->cli, &from, labelled, &t->set, err));
    t->held = chosen->validation > 0;
    ES_TRY(es_within(err,
                     es_data_split(t->cli->arena, t->set.labels, t->set.count, shares,
                                   t->held ? 2 : 1, t->fit.seed, t->parts, err),
                     "--validation %g of '%s'", chosen->validation, t->set.name));
    if (chosen->test == NULL)
        return ES_OK;
    from.data = chosen->test;
    from.labels = chosen->test_labels;
    return es_cli_samples_load(t->cli, &from, labelled, &t->test, err);
}

/* A net of our own takes values as the data has them; a model's inputs are its maker's affair. The
 * samples are seen in the net's own shape: files of bare numbers have none. */
static es_status put_scaling(training *t, es_error *err)
{
    const es_nn_shape in = t->nn->layers.items[0].shape;
    es_dataset shaped = t->set;
    if (t->chosen->no_scale || t->from_model || es_train_has_scale(t->nn))
        return ES_OK;
    if (t->set.size != in.count)
        return ES_OK; /* fit says so better */
    shaped.x.rank = 1 + in.rank;
    memcpy(&shaped.x.dims[1], in.dims, in.rank * sizeof in.dims[0]);
    ES_TRY(es_scaling_fit(t->cli->arena, &shaped, &t->parts[0], &t->scaling, err));
    t->scaled = true;
    return es_train_scale_input(t->nn, &t->scaling, err);
}

/* ---- at work ---- */

static void show_progress(void *context, uint64_t epoch, double share, double loss)
{
    training *t = context;
    char words[96];
    (void)snprintf(words, sizeof words, "epoch %llu of %u, loss %.4f",
                   (unsigned long long)epoch + 1, t->fit.epoch_count, loss);
    es_cli_progress(t->cli, words, fmin(share, 0.999));
}

static bool show_epoch(void *context, const es_fit_epoch *epoch)
{
    training *t = context;
    ES_CLEANUP(es_text_done) es_text words;
    es_text_init(&words, 1024);
    es_cli_progress(t->cli, "", 1);
    es_text_format(&words, "epoch %llu: rate %.4g, loss %.4f", (unsigned long long)epoch->epoch + 1,
                   epoch->rate, epoch->loss);
    if (isfinite(epoch->accuracy))
        es_text_format(&words, ", accuracy %.2f %%", 100 * epoch->accuracy);
    if (isfinite(epoch->held_loss))
        es_text_format(&words, "; held back: loss %.4f", epoch->held_loss);
    if (isfinite(epoch->held_accuracy))
        es_text_format(&words, ", accuracy %.2f %%", 100 * epoch->held_accuracy);
    es_text_format(&words, "; %.1f s%s", epoch->seconds, epoch->best ? ", the best so far" : "");
    es_cli_say(t->cli, "%s", es_text_get(&words));
    if (t->meter != NULL)
        es_meter_read(t->meter, &t->to); /* often enough for counters that wrap */
    return true;
}

static es_status open_meter(training *t, es_error *err)
{
    es_meter_opts opts = es_meter_opts_default();
    if (t->chosen->no_energy)
        return ES_OK;
    opts.root = t->chosen->meter_root != NULL ? t->chosen->meter_root : opts.root;
    opts.model.idle_w = t->chosen->idle_w;
    opts.model.busy_w = t->chosen->busy_w;
    ES_TRY(es_meter_new(t->cli->arena, opts, &t->meter, err));
    es_meter_read(t->meter, &t->from);
    return ES_OK;
}

static es_status learn(training *t, es_error *err)
{
    t->fit.hooks = (es_fit_hooks){.context = t, .progress = show_progress, .epoch = show_epoch};
    ES_TRY(open_meter(t, err));
    es_status status = es_fit(t->cli->arena, t->nn, &t->set, &t->parts[0],
                              t->held ? &t->parts[1] : NULL, &t->fit, &t->result, err);
    es_cli_progress(t->cli, "", 1);
    ES_TRY(status);
    if (t->meter != NULL)
        es_meter_read(t->meter, &t->to);
    if (*t->cli->stop != 0)
        return es_fail(err, ES_ERR_CANCELLED, "stopped in epoch %zu; --resume goes on from '%s'",
                       t->result.epoch_count + 1, t->fit.checkpoint);
    return ES_OK;
}

static es_status measure(training *t, es_train_told *told, es_error *err)
{
    es_train_engine_opts opts = t->fit.engine;
    ES_CLEANUP(es_train_engine_free_p) es_train_engine *engine = NULL;
    size_t last = t->nn->output_count - 1;
    if (t->chosen->test == NULL)
        return ES_OK;
    opts.batch = TEST_BATCH;
    opts.gradients = false;
    ES_TRY(es_train_engine_new(t->nn, opts, &engine, err));
    ES_TRY(es_train_evaluate(engine, &t->test, NULL, t->fit.loss, &told->test_figures, NULL, err));
    told->tested = true;
    told->test = t->chosen->test;
    if (isfinite(told->test_figures.accuracy[last]))
        told->test_accuracy = es_bounds_share(
            (uint64_t)llround(told->test_figures.accuracy[last] * (double)t->test.count),
            t->test.count, 0.05);
    return ES_OK;
}

/* ---- what comes out ---- */

static es_status write_text(es_arena *arena, const char *stem, const char *end, const es_text *text,
                            es_error *err)
{
    const char *path = es_arena_format(arena, "%s%s", stem, end);
    if (path == NULL)
        return es_arena_full(arena, "path", err);
    ES_TRY(es_text_status(text, err));
    return es_file_write(path, es_text_get(text), text->size, err);
}

static es_status write_model(training *t, es_error *err)
{
    const es_model *model = NULL;
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new((size_t)4 << 30);
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory to write the model");
    if (t->fit.loss == ES_FIT_SQUARES && t->scaled)
        ES_TRY(es_train_scale_output(t->nn, &t->scaling, err));
    ES_TRY(es_nn_to_model(t->cli->arena, t->nn, true, &model, err));
    return es_model_write(scratch, model, t->chosen->output, err);
}

static es_status write_all(training *t, const es_train_told *told, es_error *err)
{
    ES_CLEANUP(es_text_done) es_text document;
    ES_CLEANUP(es_text_done) es_text page;
    ES_CLEANUP(es_text_done) es_text picture;
    ES_CLEANUP(es_text_done) es_text table;
    es_text_init(&document, (size_t)64 << 20);
    es_text_init(&page, (size_t)64 << 20);
    es_text_init(&picture, (size_t)64 << 20);
    es_text_init(&table, (size_t)1 << 20);
    es_train_document(told, &document);
    es_train_table(told, &table);
    ES_TRY(es_train_page(told, &page, err));
    ES_TRY(write_text(t->cli->arena, t->stem, ".json", &document, err));
    ES_TRY(write_text(t->cli->arena, t->stem, ".html", &page, err));
    if (t->chosen->svg != NULL) {
        ES_TRY(es_train_picture(told, &picture, err));
        ES_TRY(write_text(t->cli->arena, t->chosen->svg, "", &picture, err));
    }
    es_text_format(&table, "%s: the model; %s.json: all figures; %s.html: the curves\n",
                   t->chosen->output, t->stem, t->stem);
    return es_cli_print(t->cli->json ? &document : &table, err);
}

static es_status run(es_cli *cli, const void *given, const char *const *files, size_t count,
                     es_error *err)
{
    training *t = ES_TAKE_ONE(cli->arena, training);
    if (t == NULL)
        return es_arena_full(cli->arena, "training", err);
    (void)count; /* one, the table says */
    t->cli = cli;
    t->chosen = given;
    if (t->chosen->data == NULL)
        return es_fail(err, ES_ERR_ARG, "give samples with --data");
    if (t->chosen->output == NULL || !ends_with(t->chosen->output, ".onnx"))
        return es_fail(err, ES_ERR_ARG, "say with --output where the model goes: FILE.onnx");
    t->stem = es_arena_text_n(cli->arena, t->chosen->output, strlen(t->chosen->output) - 5);
    if (t->stem == NULL)
        return es_arena_full(cli->arena, "path", err);
    ES_TRY(open_net(t, files[0], err));
    ES_TRY(read_opts(t, err));
    ES_TRY(open_samples(t, err));
    ES_TRY(put_scaling(t, err));
    ES_TRY(learn(t, err));
    es_train_told told = {.cli = cli,
                          .source = files[0],
                          .data = t->chosen->data,
                          .nn = t->nn,
                          .sample_count = t->set.count,
                          .learned_count = t->parts[0].count,
                          .held_count = t->held ? t->parts[1].count : 0,
                          .opts = &t->fit,
                          .result = &t->result,
                          .scaled = t->scaled};
    ES_TRY(measure(t, &told, err));
    if (t->meter != NULL) {
        told.metered = true;
        told.energy = es_meter_between(t->meter, &t->from, &t->to);
    }
    ES_TRY(write_model(t, err));
    ES_TRY(write_all(t, &told, err));
    (void)unlink(t->fit.checkpoint); /* done with; it may never have been written */
    return ES_OK;
}

const es_verb es_verb_train = {
    .name = "train",
    .group = "prepare",
    .summary = "train a net, given in a few lines, or fine-tune a model",
    .arguments = "SPEC.yaml|MODEL.onnx",
    .details =
        "Learns by gradient descent from labelled samples and writes an ONNX model that takes\n"
        "values as the data has them. A part is held back to choose the best epoch; --test\n"
        "measures the result. Interrupted with Ctrl-C it can be gone on with, byte by byte.\n\n"
        "  estran train net.yaml --data x.idx.gz --labels y.idx.gz --augment flip,shift=2 \\\n"
        "      --test tx.idx.gz --test-labels ty.idx.gz --output model.onnx\n\n"
        "net.yaml: {net: cnn}; docs/reference/net.md tells the nets there are.",
    .file_min = 1,
    .file_max = 1,
    .options = rows,
    .option_count = sizeof rows / sizeof rows[0],
    .options_size = sizeof(options),
    .run = run,
};
