/*
 * exits: branches of a net that answer early (BranchyNet, Teerapittayanon et al. 2016), trained
 * together with it or on top of it as it is; then the net as stages that really stop.
 */
#include "compress/early.h"

#include <math.h>
#include <string.h>

enum { EXITS_MAX = ES_VARIANT_STAGES_MAX - 1 };

typedef struct options {
    const char *at, *shares, *weights;
    int64_t count, depth;
    double cost, alpha, temperature;
    size_t train, teacher;
    es_early_opts early;
    es_learn_opts learn;
} options;

enum { TRAIN_JOINT, TRAIN_FROZEN };
static const char *const trains[] = {"joint", "frozen"};
enum { TEACHER_NONE, TEACHER_FINAL, TEACHER_MODEL };
static const char *const teachers[] = {"none", "final", "model"};

static const es_step_option rows[] = {
    {.name = "at",
     .type = ES_STEP_TEXT,
     .offset = offsetof(options, at),
     .help = "layers (ONNX values) behind which answers are given, with '|' between; else by "
             "shares"},
    {.name = "count",
     .type = ES_STEP_INT,
     .offset = offsetof(options, count),
     .fallback = "2",
     .min = 1,
     .max = EXITS_MAX,
     .help = "exits, when neither at nor shares is given"},
    {.name = "shares",
     .type = ES_STEP_TEXT,
     .offset = offsetof(options, shares),
     .help = "of the MACs before each exit, with '|' between; the nearest places are taken"},
    {.name = "depth",
     .type = ES_STEP_INT,
     .offset = offsetof(options, depth),
     .fallback = "-1",
     .min = -1,
     .max = 4,
     .help = "convolutions of a branch before its classifier; -1: 2 in the first half, else 1"},
    {.name = "cost",
     .type = ES_STEP_NUMBER,
     .offset = offsetof(options, cost),
     .fallback = "0.3",
     .min = 0.001,
     .max = 1,
     .help = "work of a branch at most, as a share of the way to the next exit"},
    {.name = "train",
     .type = ES_STEP_WORD,
     .offset = offsetof(options, train),
     .fallback = "joint",
     .words = trains,
     .word_count = 2,
     .help = "branches and model together, or branches alone"},
    {.name = "weights",
     .type = ES_STEP_TEXT,
     .offset = offsetof(options, weights),
     .help = "of the exits' losses and of the model's own, with '|' between; else 1 each"},
    {.name = "teacher",
     .type = ES_STEP_WORD,
     .offset = offsetof(options, teacher),
     .fallback = "model",
     .words = teachers,
     .word_count = 3,
     .help = "exits learn also from the last exit, or all from the model as given"},
    {.name = "alpha",
     .type = ES_STEP_NUMBER,
     .offset = offsetof(options, alpha),
     .fallback = "0.5",
     .min = 0,
     .max = 1,
     .help = "weight of the teacher; the labels have the rest"},
    {.name = "temperature",
     .type = ES_STEP_NUMBER,
     .offset = offsetof(options, temperature),
     .fallback = "3",
     .min = 0.1,
     .max = 100,
     .help = "that softens the teacher's answers"},
    ES_EARLY_OPTIONS(options, early, "0.005"),
    ES_LEARN_OPTIONS_BY(options, "10", "0.001", "yes", "adam"),
};

/* ---- where ---- */

typedef struct exits {
    const options *options;
    size_t count; /* without the model's own output */
    size_t classes;
    bool softmax;
    es_place places[EXITS_MAX];
    const char *names[EXITS_MAX]; /* of the layers they hang from */
    uint64_t branch_macs[EXITS_MAX];
    double weights[EXITS_MAX + 1];
    es_teachers teachers;
    float *soft;                      /* [batch, classes] of the teacher */
    float *slopes[ES_NN_OUTPUTS_MAX]; /* [batch, classes] */
    float *slope_of;                  /* [batch, classes] of mixed labels */
} exits;

/* Words with '|' between; NULL when the list is over. */
static char *next_word(char **at)
{
    char *word = *at;
    if (word == NULL)
        return NULL;
    *at = strchr(word, '|');
    if (*at != NULL)
        *(*at)++ = '\0';
    return word;
}

static es_status too_many(es_error *err)
{
    return es_fail(err, ES_ERR_ARG, "more than %d exits", EXITS_MAX);
}

static es_status places_by_name(es_learner *l, const es_nn *nn, exits *x, es_error *err)
{
    char *at = es_arena_text(l->arena, x->options->at);
    if (at == NULL)
        return es_arena_full(l->arena, "exits", err);
    for (char *word = next_word(&at); word != NULL; word = next_word(&at)) {
        if (x->count == EXITS_MAX)
            return too_many(err);
        ES_TRY(
            es_within(err, es_places_named(l->arena, nn, word, &x->places[x->count], err), "at"));
        if (x->count > 0 && x->places[x->count].layer.index <= x->places[x->count - 1].layer.index)
            return es_fail(err, ES_ERR_ARG, "at: '%s' must come behind '%s'", word,
                           nn->layers.items[x->places[x->count - 1].layer.index].name);
        x->count++;
    }
    return ES_OK;
}

/* Without shares: 1/4, and half of what is left again and again of the way to it. */
static es_status read_shares(es_learner *l, const options *o, double shares[EXITS_MAX],
                             size_t *out_count, es_error *err)
{
    char *at = o->shares != NULL ? es_arena_text(l->arena, o->shares) : NULL;
    size_t count = 0;
    if (o->shares == NULL) {
        count = (size_t)o->count;
        for (size_t k = 0; k < count; k++)
            shares[k] = ldexp(0.5, -(int)(count - k));
        *out_count = count;
        return ES_OK;
    }
    if (at == NULL)
        return es_arena_full(l->arena, "shares", err);
    for (char *word = next_word(&at); word != NULL; word = next_word(&at)) {
        if (count == EXITS_MAX)
            return too_many(err);
        if (!es_text_to_double(word, &shares[count]) || !(shares[count] > 0 && shares[count] < 1))
            return es_fail(err, ES_ERR_ARG, "shares: '%s' must be a number between 0 and 1", word);
        if (count > 0 && shares[count] <= shares[count - 1])
            return es_fail(err, ES_ERR_ARG, "shares: %g must be above %g", shares[count],
                           shares[count - 1]);
        count++;
    }
    *out_count = count;
    return ES_OK;
}

static es_status places_by_share(es_learner *l, const es_nn *nn, exits *x, es_error *err)
{
    double shares[EXITS_MAX];
    size_t wanted = 0;
    size_t first = 0;
    es_places places = {0};
    ES_TRY(read_shares(l, x->options, shares, &wanted, err));
    ES_TRY(es_places_find(l->arena, nn, &places, err));
    for (size_t k = 0; k < wanted && first < places.count; k++) {
        size_t at = es_places_near(&places, shares[k], first);
        x->places[x->count++] = places.items[at];
        first = at + 1;
    }
    return ES_OK;
}

/* MACs of the way from an exit to the next one. */
static uint64_t way_behind(const exits *x, size_t k, uint64_t all)
{
    return (k + 1 < x->count ? x->places[k + 1].macs : all) - x->places[k].macs;
}

/* Where places were not asked for, one without room for a classifier is left out. */
static es_status leave_out(es_learner *l, const es_nn *nn, exits *x, es_error *err)
{
    uint64_t all = es_nn_work_of(nn).macs;
    for (size_t k = x->count; k-- > 0 && x->count > 1;) {
        es_branch_wish wish = {.in = nn->layers.items[x->places[k].layer.index].shape,
                               .classes = x->classes,
                               .macs_max = UINT64_MAX};
        es_nn *least = NULL;
        es_arena_reset(l->scratch);
        ES_TRY(es_branch_make(l->scratch, &wish, &least, err));
        if ((double)es_nn_work_of(least).macs <= x->options->cost * (double)way_behind(x, k, all))
            continue;
        x->count--;
        memmove(&x->places[k], &x->places[k + 1], (x->count - k) * sizeof *x->places);
    }
    return ES_OK;
}

static es_status choose_places(es_learner *l, const es_nn *nn, exits *x, es_error *err)
{
    bool asked = x->options->at != NULL || x->options->shares != NULL;
    ES_TRY(x->options->at != NULL ? places_by_name(l, nn, x, err) : places_by_share(l, nn, x, err));
    if (!asked)
        ES_TRY(leave_out(l, nn, x, err));
    for (size_t k = 0; k < x->count; k++)
        x->names[k] = nn->layers.items[x->places[k].layer.index].name;
    return ES_OK;
}

/* ---- branches ---- */

static es_status look_at(const es_nn *nn, exits *x, es_error *err)
{
    const es_nn_layer *last = &nn->layers.items[nn->outputs[nn->output_count - 1].layer.index];
    char text[ES_NN_SHAPE_TEXT];
    if (last->shape.rank != 1 || last->shape.count < 2)
        return es_fail(err, ES_ERR_UNSUPPORTED, "the model gives %s, to be scores of classes",
                       es_nn_shape_text(last->shape, text));
    x->classes = last->shape.count;
    x->softmax = last->kind == ES_NN_SOFTMAX;
    return ES_OK;
}

static es_status add_branch(es_learner *l, es_nn *nn, exits *x, size_t k, uint64_t all,
                            es_error *err)
{
    const options *o = x->options;
    bool early = 2 * x->places[k].macs < all;
    es_nn_id at = es_nn_find(nn, x->names[k]);
    es_branch_wish wish = {.in = nn->layers.items[at.index].shape,
                           .classes = x->classes,
                           .depth = o->depth >= 0 ? (size_t)o->depth
                                    : early       ? 2
                                                  : 1,
                           .softmax = x->softmax,
                           .macs_max = (uint64_t)(o->cost * (double)way_behind(x, k, all)),
                           .seed = l->job->seed + k};
    es_nn *branch = NULL;
    es_nn_id last = ES_NN_NONE;
    char prefix[32];
    char name[32];
    (void)snprintf(prefix, sizeof prefix, "exit-%zu-", k + 1);
    (void)snprintf(name, sizeof name, "exit-%zu", k + 1);
    ES_TRY(es_within(err, es_branch_make(l->arena, &wish, &branch, err), "exit behind '%s'",
                     x->names[k]));
    x->branch_macs[k] = es_nn_work_of(branch).macs;
    ES_TRY(es_nn_attach(nn, at, branch, prefix, &last, err));
    return es_nn_exit_add(nn, es_arena_text(l->arena, name), last, err);
}

static es_status add_branches(es_learner *l, es_nn *nn, exits *x, es_error *err)
{
    uint64_t all = es_nn_work_of(nn).macs;
    for (size_t i = 0; i < nn->layers.count; i++)
        nn->layers.items[i].frozen = x->options->train == TRAIN_FROZEN;
    for (size_t k = 0; k < x->count; k++)
        ES_TRY(add_branch(l, nn, x, k, all, err));
    return es_nn_seal(nn, err);
}

/* ---- training ---- */

static es_status read_weights(es_learner *l, exits *x, es_error *err)
{
    char *at = x->options->weights != NULL ? es_arena_text(l->arena, x->options->weights) : NULL;
    size_t count = 0;
    for (size_t k = 0; k <= x->count; k++)
        x->weights[k] = 1;
    if (x->options->weights == NULL)
        return ES_OK;
    if (at == NULL)
        return es_arena_full(l->arena, "weights", err);
    for (char *word = next_word(&at); word != NULL; word = next_word(&at), count++)
        if (count > x->count || !es_text_to_double(word, &x->weights[count]) ||
            x->weights[count] < 0)
            return es_fail(err, ES_ERR_ARG, "weights: '%s', must be %zu numbers >= 0",
                           x->options->weights, x->count + 1);
    if (count != x->count + 1)
        return es_fail(err, ES_ERR_ARG, "weights: '%s', must be %zu numbers >= 0",
                       x->options->weights, x->count + 1);
    return ES_OK;
}

static es_status take_memory(es_learner *l, exits *x, es_error *err)
{
    size_t values = (size_t)l->opts.batch * x->classes;
    bool full = false;
    x->soft = ES_TAKE_ARRAY(l->arena, float, values);
    x->slope_of = ES_TAKE_ARRAY(l->arena, float, values);
    for (size_t k = 0; k <= x->count; k++) {
        x->slopes[k] = ES_TAKE_ARRAY(l->arena, float, values);
        full = full || x->slopes[k] == NULL;
    }
    if (full || x->soft == NULL || x->slope_of == NULL)
        return es_arena_full(l->arena, "a batch", err);
    return ES_OK;
}

/* Labels have 1 - alpha, the teacher alpha; both times the exit's weight. */
static double loss_of(const exits *x, const es_learner *l, const float *scores,
                      const es_fit_batch *batch, double alpha, size_t k)
{
    double weight = x->weights[k];
    double temperature = x->options->temperature;
    float *slope = x->slopes[k];
    size_t values = batch->samples * x->classes;
    double loss = 0;
    if (batch->targets != NULL)
        loss = es_loss_soft(scores, batch->targets, batch->samples, x->classes,
                            (1 - alpha) * weight, slope);
    else
        loss = es_loss_cross_entropy(scores, batch->labels, batch->samples, x->classes,
                                     l->opts.smoothing, (1 - alpha) * weight, slope);
    if (!(alpha > 0))
        return loss;
    loss += es_loss_distil(scores, x->soft, NULL, batch->samples, x->classes, 1, temperature,
                           alpha * weight, x->slope_of);
    for (size_t i = 0; i < values; i++)
        slope[i] += x->slope_of[i];
    return loss;
}

typedef struct trainer {
    exits *exits;
    const es_learner *learner;
} trainer;

static es_status step(void *context, es_train_engine *engine, const es_fit_batch *batch,
                      double *out_loss, size_t *out_right, es_error *err)
{
    trainer *t = context;
    exits *x = t->exits;
    const float *slopes[ES_NN_OUTPUTS_MAX] = {0};
    double temperature = x->options->temperature;
    size_t teacher = x->options->teacher;
    double loss = 0;
    if (teacher == TEACHER_MODEL)
        ES_TRY(es_teachers_ask(&x->teachers, batch->x, batch->samples, temperature, x->soft, err));
    ES_TRY(es_train_forward(engine, batch->x, batch->samples, ES_TRAIN_LEARN, err));
    const float *last = es_train_output(engine, x->count);
    if (teacher == TEACHER_FINAL)
        es_loss_soften(&last, 1, batch->samples, x->classes, temperature, x->soft);
    for (size_t k = 0; k <= x->count; k++) {
        bool taught = teacher == TEACHER_MODEL || (teacher == TEACHER_FINAL && k < x->count);
        if (k == x->count && x->options->train == TRAIN_FROZEN)
            continue;
        loss += loss_of(x, t->learner, es_train_output(engine, k), batch,
                        taught ? x->options->alpha : 0, k);
        slopes[k] = x->slopes[k];
    }
    *out_loss = loss;
    *out_right = es_loss_right(last, batch->labels, batch->samples, x->classes);
    return es_train_backward(engine, slopes, false, err);
}

/* given: the model before; exits of a frozen one learn nothing of its norms either. */
static es_status train(es_learner *l, es_nn *given, es_nn *nn, exits *x, es_error *err)
{
    trainer t = {.exits = x, .learner = l};
    if (l->set.labels == NULL)
        return es_fail(err, ES_ERR_ARG, "'%s' has no labels to learn from", l->set.name);
    ES_TRY(read_weights(l, x, err));
    ES_TRY(take_memory(l, x, err));
    if (x->options->teacher == TEACHER_MODEL)
        ES_TRY(es_teachers_open(l, given, NULL, &x->teachers, err));
    return es_learner_fit(l, nn, "", x->options->learn.epochs, step, &t, err);
}

/* ---- the step ---- */

static void tell_exit(void *context, size_t k, es_json *json)
{
    const exits *x = context;
    if (k == x->count)
        return;
    es_json_put_text(json, "at", x->names[k]);
    es_json_put_int(json, "macs_before", (int64_t)x->places[k].macs);
    es_json_put_int(json, "branch_macs", (int64_t)x->branch_macs[k]);
}

/* Temperatures and thresholds of the trained net; it gives calibrated scores afterwards. */
static es_status judge(es_learner *l, const es_tune *tune, es_nn *nn, exits *x, es_early *early,
                       es_error *err)
{
    float *scores[ES_NN_OUTPUTS_MAX];
    double accuracy[ES_NN_OUTPUTS_MAX];
    double costs[ES_VARIANT_STAGES_MAX];
    for (size_t k = 0; k <= x->count; k++)
        costs[k] = (double)es_nn_macs_between(nn, k > 0 ? k - 1 : SIZE_MAX, k);
    ES_TRY(es_tune_scores(l, tune, nn, scores, accuracy, err));
    ES_TRY(es_early_choose(l, tune, &x->options->early, scores, x->count + 1, x->classes, costs,
                           early, err));
    for (size_t k = 0; k <= x->count; k++)
        ES_TRY(es_output_temper(nn, k, early->temperature[k], err));
    return ES_OK;
}

static es_status give(const es_learner *l, const es_nn *nn, const exits *x, const es_variant *from,
                      es_variants *out, es_variant **made, es_error *err)
{
    const char *answers[ES_VARIANT_STAGES_MAX];
    es_nn_id forwards[ES_VARIANT_STAGES_MAX];
    for (size_t k = 0; k <= x->count; k++) {
        answers[k] = nn->outputs[k].name;
        forwards[k] = k < x->count ? es_nn_find(nn, x->names[k]) : ES_NN_NONE;
    }
    return es_early_give(l, nn, from, "exits", answers, forwards, x->count + 1, out, made, err);
}

static void exits_done(exits *x)
{
    es_teachers_close(&x->teachers);
}

static es_status run(const es_compress_job *job, const void *given, const es_variant *from,
                     es_variants *out, es_error *err)
{
    const options *o = given;
    ES_CLEANUP(es_learner_close) es_learner learner;
    ES_CLEANUP(es_learn_report_done) es_learn_report report = {.text = {0}};
    ES_CLEANUP(exits_done) exits x = {.options = o};
    es_tune tune;
    es_early early;
    es_nn *model = NULL;
    es_nn *nn = NULL;
    es_variant *made = NULL;
    ES_TRY(es_learner_open(job, "exits", from, o->learn, &learner, &model, err));
    ES_TRY(look_at(model, &x, err));
    ES_TRY(es_tune_open(&learner, model, o->early.tune, &tune, err));
    ES_TRY(es_nn_copy(learner.arena, model, &nn, err));
    ES_TRY(choose_places(&learner, nn, &x, err));
    ES_TRY(add_branches(&learner, nn, &x, err));
    ES_TRY(train(&learner, model, nn, &x, err));
    ES_TRY(judge(&learner, &tune, nn, &x, &early, err));
    ES_TRY(give(&learner, nn, &x, from, out, &made, err));
    ES_TRY(es_early_pipelines(job->arena, &early, made, err));
    es_learn_report_begin(&report, &learner, model, nn);
    es_early_report(&early, &tune, &(es_early_teller){tell_exit, &x}, &report.json);
    return es_learn_report_end(&report, job->arena, &made->report, err);
}

const es_step_kind es_step_exits = {
    .name = "exits",
    .help = "branches that answer early, as segments that really stop",
    .options = rows,
    .option_count = sizeof rows / sizeof rows[0],
    .options_size = sizeof(options),
    .run = run,
};
