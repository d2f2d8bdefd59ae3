/*
 * specialise: a model for one node's own data. The trunk stays as it is, and what it makes of the
 * samples is computed once; the last layers learn from that.
 */
#include "compress/learn.h"

#include <string.h>

typedef struct options {
    const char *from, *data, *labels, *classes, *name;
    size_t fresh;
    es_learn_opts learn;
} options;

static const es_step_option option_rows[] = {
    {.name = "from",
     .type = ES_STEP_TEXT,
     .offset = offsetof(options, from),
     .help = "layer (ONNX value) where the trunk ends; else what goes into the last layer with "
             "weights"},
    {.name = "data",
     .type = ES_STEP_TEXT,
     .offset = offsetof(options, data),
     .help = "the node's samples; else those of the command"},
    {.name = "labels",
     .type = ES_STEP_TEXT,
     .offset = offsetof(options, labels),
     .help = "their classes, when they are in a file of their own"},
    {.name = "classes",
     .type = ES_STEP_TEXT,
     .offset = offsetof(options, classes),
     .help = "the node meets these alone: numbers from 0, with '|' between; outputs stay as many"},
    {.name = "fresh",
     .type = ES_STEP_WORD,
     .offset = offsetof(options, fresh),
     .fallback = "no",
     .words = es_learn_no_yes,
     .word_count = 2,
     .help = "the last layers start at random"},
    {.name = "name",
     .type = ES_STEP_TEXT,
     .offset = offsetof(options, name),
     .fallback = "special",
     .help = "of the node, behind the variant's name"},
    ES_LEARN_OPTIONS(options, "20", "0.05", "no"),
};

/* ---- the node's samples ---- */

static es_status own_samples(es_learner *l, const options *o, const es_nn *nn, es_error *err)
{
    es_dataset *set = ES_TAKE_ONE(l->arena, es_dataset);
    es_samples samples = l->job->fit;
    if (set == NULL)
        return es_arena_full(l->arena, "samples", err);
    if (o->data == NULL)
        return ES_OK;
    ES_TRY(es_dataset_load(l->arena, o->data, o->labels, es_dataset_opts_default(), set, err));
    samples.dataset = set;
    samples.rows = NULL;
    return es_learner_data(l, &samples, nn, err);
}

static es_status read_classes(es_learner *l, const char *list, size_t classes, bool *wanted,
                              es_error *err)
{
    char *at = es_arena_text(l->arena, list);
    if (at == NULL)
        return es_arena_full(l->arena, "classes", err);
    while (at != NULL) {
        uint64_t number = 0;
        char *next = strchr(at, '|');
        if (next != NULL)
            *next++ = '\0';
        if (!es_text_to_uint64(at, &number) || number >= classes)
            return es_fail(err, ES_ERR_ARG, "classes: '%s' must be a number from 0 to %zu", at,
                           classes - 1);
        wanted[number] = true;
        at = next;
    }
    return ES_OK;
}

static es_status keep_rows(es_learner *l, const bool *wanted, const es_data_rows **rows,
                           es_error *err)
{
    const es_data_rows *old = *rows;
    size_t all = old != NULL ? old->count : l->set.count;
    es_data_rows *kept = ES_TAKE_ONE(l->arena, es_data_rows);
    size_t *items = ES_TAKE_ARRAY(l->arena, size_t, all);
    if (kept == NULL || items == NULL)
        return es_arena_full(l->arena, "rows", err);
    for (size_t i = 0; i < all; i++) {
        size_t row = old != NULL ? old->items[i] : i;
        if (wanted[l->set.labels[row]])
            items[kept->count++] = row;
    }
    kept->items = items;
    *rows = kept;
    return ES_OK;
}

/* Only samples of those classes, from here on. */
static es_status choose_classes(es_learner *l, const char *list, size_t classes, es_error *err)
{
    size_t count = classes > l->set.class_count ? classes : l->set.class_count;
    bool *wanted = ES_TAKE_ARRAY(l->arena, bool, count);
    if (wanted == NULL)
        return es_arena_full(l->arena, "classes", err);
    ES_TRY(read_classes(l, list, classes, wanted, err));
    ES_TRY(keep_rows(l, wanted, &l->rows, err));
    if (l->held != NULL)
        ES_TRY(keep_rows(l, wanted, &l->held, err));
    if (l->rows->count == 0)
        return es_fail(err, ES_ERR_ARG, "classes=%s: '%s' has no sample of them", list,
                       l->set.name);
    return ES_OK;
}

/* ---- trunk and head ---- */

/* What goes into the last layer with weights that the last output needs. */
static es_status find_trunk(const es_nn *nn, const char *name, es_nn_id *out, es_error *err)
{
    if (name != NULL) {
        *out = es_nn_find(nn, name);
        if (!es_nn_is(*out))
            return es_fail(err, ES_ERR_ARG, "from=%s is no layer of the model", name);
        return ES_OK;
    }
    es_nn_id at = nn->outputs[nn->output_count - 1].layer;
    while (nn->layers.items[at.index].param_count == 0 &&
           nn->layers.items[at.index].input_count == 1)
        at = nn->layers.items[at.index].inputs[0];
    if (nn->layers.items[at.index].input_count != 1)
        return es_fail(err, ES_ERR_ARG,
                       "the model does not end in one layer with weights: say from=LAYER");
    *out = nn->layers.items[at.index].inputs[0];
    return ES_OK;
}

/* What the trunk gives for rows, as a dataset of floats: labels and all. */
static es_status features_of(es_learner *l, es_nn *trunk, const es_data_rows *rows, es_dataset *out,
                             es_error *err)
{
    ES_CLEANUP(es_train_engine_free_p) es_train_engine *engine = NULL;
    es_train_engine_opts opts = es_train_engine_opts_default();
    es_evaluation got;
    size_t count = rows != NULL ? rows->count : l->set.count;
    size_t size = trunk->layers.items[trunk->outputs[0].layer.index].shape.count;
    size_t values = 0;
    if (!es_size_mul(count, size, &values))
        return es_fail(err, ES_ERR_LIMIT, "%zu features of %zu samples are too many", size, count);
    float *x = ES_TAKE_ARRAY(l->arena, float, values);
    uint32_t *labels = ES_TAKE_ARRAY(l->arena, uint32_t, count);
    if (x == NULL || labels == NULL)
        return es_arena_full(l->arena, "features", err);
    opts.batch = (size_t)l->opts.batch;
    opts.thread_count = (uint32_t)l->opts.threads;
    opts.gradients = opts.logits = false;
    es_dataset plain = l->set; /* labels mean nothing to the trunk */
    plain.labels = NULL;
    ES_TRY(es_train_engine_new(trunk, opts, &engine, err));
    ES_TRY(es_train_evaluate(engine, &plain, rows, ES_FIT_CROSS_ENTROPY, &got, (float *const[]){x},
                             err));
    for (size_t i = 0; i < count; i++)
        labels[i] = l->set.labels[rows != NULL ? rows->items[i] : i];
    *out = l->set;
    out->x = (es_data_array){.name = "features",
                             .type = ES_DATA_F32,
                             .rank = 2,
                             .dims = {count, size},
                             .count = values,
                             .bytes = x};
    out->count = count;
    out->size = size;
    out->labels = labels;
    return ES_OK;
}

/* The learner's samples become features; held ones follow the others as rows of their own. */
static es_status to_features(es_learner *l, es_nn *trunk, es_error *err)
{
    size_t learn = l->rows != NULL ? l->rows->count : l->set.count;
    size_t held = l->held != NULL ? l->held->count : 0;
    size_t *items = ES_TAKE_ARRAY(l->arena, size_t, learn + held);
    es_data_rows *parts = ES_TAKE_ARRAY(l->arena, es_data_rows, 2);
    if (items == NULL || parts == NULL)
        return es_arena_full(l->arena, "features", err);
    for (size_t i = 0; i < learn; i++)
        items[i] = l->rows != NULL ? l->rows->items[i] : i;
    for (size_t i = 0; i < held; i++)
        items[learn + i] = l->held->items[i];
    es_data_rows all = {.items = items, .count = learn + held};
    ES_TRY(features_of(l, trunk, &all, &l->set, err));
    for (size_t i = 0; i < learn + held; i++)
        items[i] = i;
    parts[0] = (es_data_rows){.items = items, .count = learn};
    parts[1] = (es_data_rows){.items = items + learn, .count = held};
    l->rows = &parts[0];
    l->held = held > 0 ? &parts[1] : NULL;
    l->allow_empty = true;
    return ES_OK;
}

/* Layers of the head, by name, take their values to the whole net. */
static void bring_back(es_nn *nn, const es_nn *head)
{
    for (size_t i = 1; i < head->layers.count; i++) {
        const es_nn_layer *from = &head->layers.items[i];
        es_nn_id id = es_nn_find(nn, from->name);
        for (size_t p = 0; es_nn_is(id) && p < from->param_count; p++)
            memcpy(nn->layers.items[id.index].params[p].values, from->params[p].values,
                   from->params[p].count * sizeof(float));
    }
}

/* ---- the step of a recipe ---- */

static es_status part_net(es_learner *l, const options *o, const es_nn *nn, es_nn **out_trunk,
                          es_nn **out_head, es_error *err)
{
    es_nn_id at = ES_NN_NONE;
    es_nn_id last = nn->outputs[nn->output_count - 1].layer;
    ES_TRY(find_trunk(nn, o->from, &at, err));
    ES_TRY(es_nn_part(l->arena, nn, (es_nn_id){0}, at, out_trunk, err));
    return es_nn_part(l->arena, nn, at, last, out_head, err);
}

/* Over the samples it did not learn from, when some are held. */
static es_status accuracy(es_learner *l, es_nn *head, double *out, es_error *err)
{
    es_arena_reset(l->scratch);
    return es_learner_accuracy(l, head, &l->set, l->held != NULL ? l->held : l->rows, 0, out, err);
}

static es_status run(const es_compress_job *job, const void *given, const es_variant *from,
                     es_variants *out, es_error *err)
{
    const options *o = given;
    ES_CLEANUP(es_learner_close) es_learner learner;
    ES_CLEANUP(es_learn_report_done) es_learn_report report = {.text = {.bytes = NULL}};
    es_learner *l = &learner;
    es_variant *made = NULL;
    es_nn *nn = NULL;
    es_nn *trunk = NULL;
    es_nn *head = NULL;
    double before = 0;
    double after = 0;
    ES_TRY(es_learner_open(job, "specialise", from, o->learn, l, &nn, err));
    ES_TRY(own_samples(l, o, nn, err));
    ES_TRY(part_net(l, o, nn, &trunk, &head, err));
    size_t classes = head->layers.items[head->outputs[0].layer.index].shape.count;
    if (l->set.labels == NULL)
        return es_fail(err, ES_ERR_ARG, "specialise: '%s' has no labels", l->set.name);
    if (o->classes != NULL)
        ES_TRY(choose_classes(l, o->classes, classes, err));
    ES_TRY(to_features(l, trunk, err));
    ES_TRY(accuracy(l, head, &before, err));
    if (o->fresh == 1)
        es_nn_init(head, job->seed);
    ES_TRY(es_learner_fit(l, head, "", o->learn.epochs, NULL, NULL, err));
    ES_TRY(accuracy(l, head, &after, err));
    bring_back(nn, head);
    ES_TRY(es_learner_give(l, nn, from, o->name, out, &made, err));
    es_learn_report_begin(&report, l, NULL, nn);
    es_json_put_int(&report.json, "samples", (int64_t)l->rows->count);
    es_json_put_text(&report.json, "accuracy_on", l->held != NULL ? "held" : "learned");
    es_json_put_number(&report.json, "accuracy_before", before);
    es_json_put_number(&report.json, "accuracy_after", after);
    return es_learn_report_end(&report, job->arena, &made->report, err);
}

const es_step_kind es_step_specialise = {
    .name = "specialise",
    .help = "the last layers learn a node's own data; the rest stays",
    .options = option_rows,
    .option_count = sizeof option_rows / sizeof option_rows[0],
    .options_size = sizeof(options),
    .run = run,
};
