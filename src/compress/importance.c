/*
 * Importance of channels: what each is worth by its weights, its gradients or its batch norm.
 *
 * A member of a group is one side of a layer: what makes its channels (rows of weights, biases,
 * scales) or what reads them (columns). Of a layer's output z, the sum of w dL/dw over all that
 * makes a channel of it is z dL/dz: what the loss would change, to first order, without it.
 */
#include "compress/learn.h"

#include <math.h>
#include <string.h>

const char *const es_prune_criterion_names[ES_PRUNE_BY_COUNT] = {"taylor", "l1",   "l2",
                                                                 "norm",   "lamp", "random"};

static double term_absolute(double value, double gradient)
{
    (void)gradient;
    return fabs(value);
}

static double term_square(double value, double gradient)
{
    (void)gradient;
    return value * value;
}

static double term_product(double value, double gradient)
{
    return value * gradient;
}

double es_slice_sum(const es_nn_param *param, const es_nn_slice *slice, size_t channel,
                    const float *gradient, double (*term)(double value, double gradient))
{
    size_t outer = 1;
    size_t inner = 1;
    size_t size = param->dims[slice->axis];
    size_t begin = slice->first + channel * slice->stride;
    double sum = 0;
    for (size_t i = 0; i < slice->axis; i++)
        outer *= param->dims[i];
    for (size_t i = slice->axis + 1; i < param->rank; i++)
        inner *= param->dims[i];
    for (size_t o = 0; o < outer; o++) {
        size_t from = (o * size + begin) * inner;
        for (size_t k = from; k < from + slice->span * inner; k++)
            sum += term((double)param->values[k], gradient != NULL ? (double)gradient[k] : 0);
    }
    return sum;
}

/* ---- members ---- */

typedef struct scorer {
    const es_nn *nn;
    const es_nn_groups *groups;
    es_prune_criterion criterion;
    double **scores;
    float ***gradients; /* [layer][param]; NULL: none */
    double *member;     /* [most channels of a group] */
} scorer;

/* The same layer, and the same side of it. */
static bool same_member(const es_nn_slice *a, const es_nn_slice *b)
{
    return a->layer.index == b->layer.index && (a->axis == 0) == (b->axis == 0);
}

static bool counts(const scorer *s, const es_nn_slice *slice)
{
    es_nn_role role = s->nn->layers.items[slice->layer.index].params[slice->param].role;
    switch (s->criterion) {
    case ES_PRUNE_BY_TAYLOR:
        return s->gradients[slice->layer.index][slice->param] != NULL;
    case ES_PRUNE_BY_NORM:
        return role == ES_NN_GAMMA;
    case ES_PRUNE_BY_L1:
    case ES_PRUNE_BY_L2:
    case ES_PRUNE_BY_LAMP:
        return role == ES_NN_WEIGHT || role == ES_NN_RECURRENT || role == ES_NN_GAMMA;
    case ES_PRUNE_BY_RANDOM:
    case ES_PRUNE_BY_COUNT:
    default:
        return false;
    }
}

static double sum_of(const scorer *s, const es_nn_slice *slice, size_t channel)
{
    const es_nn_param *param = &s->nn->layers.items[slice->layer.index].params[slice->param];
    if (s->criterion == ES_PRUNE_BY_TAYLOR)
        return es_slice_sum(param, slice, channel, s->gradients[slice->layer.index][slice->param],
                            term_product);
    bool squares = s->criterion == ES_PRUNE_BY_L2 || s->criterion == ES_PRUNE_BY_LAMP;
    return es_slice_sum(param, slice, channel, NULL, squares ? term_square : term_absolute);
}

static bool is_first_of_member(const es_nn_group *group, size_t slice)
{
    for (size_t i = 0; i < slice; i++)
        if (same_member(&group->slices[i], &group->slices[slice]))
            return false;
    return true;
}

/* Adds the sum of each member, made positive. */
static void add_group(scorer *s, size_t g)
{
    const es_nn_group *group = &s->groups->items[g];
    for (size_t i = 0; i < group->slice_count; i++) {
        if (!is_first_of_member(group, i))
            continue;
        memset(s->member, 0, group->channels * sizeof *s->member);
        for (size_t k = i; k < group->slice_count; k++) {
            if (!same_member(&group->slices[k], &group->slices[i]) || !counts(s, &group->slices[k]))
                continue;
            for (size_t c = 0; c < group->channels; c++)
                s->member[c] += sum_of(s, &group->slices[k], c);
        }
        for (size_t c = 0; c < group->channels; c++)
            s->scores[g][c] += fabs(s->member[c]);
    }
}

/* ---- gradients ---- */

static es_status find_gradients(scorer *s, es_arena *arena, const es_train_engine *engine,
                                es_error *err)
{
    const es_train_params *params = es_train_engine_params(engine);
    s->gradients = ES_TAKE_ARRAY(arena, float **, s->nn->layers.count);
    for (size_t i = 0; s->gradients != NULL && i < s->nn->layers.count; i++)
        if ((s->gradients[i] = ES_TAKE_ARRAY(arena, float *, ES_NN_PARAMS_MAX)) == NULL)
            return es_arena_full(arena, "gradients", err);
    if (s->gradients == NULL)
        return es_arena_full(arena, "gradients", err);
    for (size_t i = 0; i < params->count; i++)
        s->gradients[params->items[i].layer.index][params->items[i].param] =
            params->items[i].gradient;
    return ES_OK;
}

/* Gradients of the cross entropy of every output of scores. */
static es_status pass(es_train_engine *engine, const float *x, const uint32_t *labels,
                      size_t samples, float *const *gradients, es_error *err)
{
    const float *slopes[ES_NN_OUTPUTS_MAX] = {0};
    ES_TRY(es_train_forward(engine, x, samples, ES_TRAIN_STATISTICS, err));
    for (size_t k = 0; k < es_train_engine_nn(engine)->output_count; k++) {
        if (!es_learn_is_scores(engine, k))
            continue;
        (void)es_loss_cross_entropy(es_train_output(engine, k), labels, samples,
                                    es_train_output_shape(engine, k).count, 0, 1, gradients[k]);
        slopes[k] = gradients[k];
    }
    return es_train_backward(engine, slopes, false, err);
}

static es_status check_labels(const es_learner *l, const es_train_engine *engine, es_error *err)
{
    size_t last = es_train_engine_nn(engine)->output_count - 1;
    if (l->set.labels == NULL)
        return es_fail(err, ES_ERR_ARG, "criterion taylor needs labels, '%s' has none",
                       l->set.name);
    if (!es_learn_is_scores(engine, last))
        return es_fail(err, ES_ERR_UNSUPPORTED,
                       "criterion taylor needs scores of classes as the "
                       "last output");
    size_t classes = es_train_output_shape(engine, last).count;
    if (l->set.class_count > classes)
        return es_fail(err, ES_ERR_ARG,
                       "'%s' has labels up to %u, the model %zu classes (0 to %zu)", l->set.name,
                       l->set.class_count - 1, classes, classes - 1);
    return ES_OK;
}

static es_status score_by_gradients(es_learner *l, scorer *s, size_t batch_count, es_error *err)
{
    ES_CLEANUP(es_train_engine_free_p) es_train_engine *engine = NULL;
    es_train_engine_opts opts = es_train_engine_opts_default();
    es_data_batches batches;
    es_nn *copy = NULL; /* its running statistics move */
    float *gradients[ES_NN_OUTPUTS_MAX] = {NULL};
    opts.batch = (size_t)l->opts.batch;
    opts.thread_count = (uint32_t)l->opts.threads;
    ES_TRY(es_nn_copy(l->scratch, s->nn, &copy, err));
    ES_TRY(es_train_engine_new(copy, opts, &engine, err));
    ES_TRY(check_labels(l, engine, err));
    ES_TRY(find_gradients(s, l->scratch, engine, err));
    ES_TRY(es_learner_batches(l, &batches, err));
    float *x = ES_TAKE_ARRAY(l->scratch, float, opts.batch * l->set.size);
    uint32_t *labels = ES_TAKE_ARRAY(l->scratch, uint32_t, opts.batch);
    for (size_t k = 0; k < copy->output_count; k++)
        if ((gradients[k] = ES_TAKE_ARRAY(
                 l->scratch, float, opts.batch *es_train_output_shape(engine, k).count)) == NULL)
            return es_arena_full(l->scratch, "gradients", err);
    if (x == NULL || labels == NULL)
        return es_arena_full(l->scratch, "a batch", err);
    for (size_t b = 0; b < batch_count; b++) {
        size_t n = es_data_batches_next(&batches, x, labels);
        if (n == 0) /* an epoch is over; the next one begins */
            n = es_data_batches_next(&batches, x, labels);
        ES_TRY(pass(engine, x, labels, n, gradients, err));
        for (size_t g = 0; g < s->groups->count; g++)
            if (s->scores[g] != NULL)
                add_group(s, g);
        es_job_progress(l->job, "importance", (double)(b + 1) / (double)batch_count);
        ES_TRY(es_job_go_on(l->job, err));
    }
    return ES_OK;
}

/* ---- over a group ---- */

/* s_c / sum of those >= s_c: the share that would be lost of what is still there when channels
 * have gone from the smallest on. */
static void lamp(double *scores, size_t channels, double *before)
{
    memcpy(before, scores, channels * sizeof *before);
    for (size_t c = 0; c < channels; c++) {
        double sum = 0;
        for (size_t k = 0; k < channels; k++)
            sum += before[k] >= before[c] ? before[k] : 0;
        scores[c] = sum > 0 ? before[c] / sum : 0;
    }
}

static void by_mean(double *scores, size_t channels)
{
    double sum = 0;
    for (size_t c = 0; c < channels; c++)
        sum += scores[c];
    for (size_t c = 0; sum > 0 && c < channels; c++)
        scores[c] *= (double)channels / sum;
}

static es_status check_norm(const scorer *s, size_t g, es_error *err)
{
    const es_nn_group *group = &s->groups->items[g];
    for (size_t i = 0; i < group->slice_count; i++)
        if (counts(s, &group->slices[i]))
            return ES_OK;
    return es_fail(err, ES_ERR_ARG,
                   "criterion norm: the channels of '%s' have no batch norm; take taylor or l2",
                   s->nn->layers.items[group->layers[0].index].name);
}

static es_status start(es_learner *l, scorer *s, es_error *err)
{
    size_t most = 1;
    for (size_t g = 0; g < s->groups->count; g++)
        most = s->groups->items[g].channels > most ? s->groups->items[g].channels : most;
    s->member = ES_TAKE_ARRAY(l->arena, double, most);
    if (s->member == NULL)
        return es_arena_full(l->arena, "importance", err);
    for (size_t g = 0; g < s->groups->count; g++) {
        s->scores[g] = NULL;
        if (s->groups->items[g].fixed)
            continue;
        s->scores[g] = ES_TAKE_ARRAY(l->arena, double, s->groups->items[g].channels);
        if (s->scores[g] == NULL)
            return es_arena_full(l->arena, "importance", err);
        if (s->criterion == ES_PRUNE_BY_NORM)
            ES_TRY(check_norm(s, g, err));
    }
    return ES_OK;
}

es_status es_importance(es_learner *learner, const es_nn *nn, const es_nn_groups *groups,
                        es_prune_criterion criterion, size_t batch_count, double **out_scores,
                        es_error *err)
{
    scorer s = {.nn = nn, .groups = groups, .criterion = criterion, .scores = out_scores};
    es_rng rng = es_rng_make(learner->job->seed, 0x72616e6b);
    es_arena_reset(learner->scratch);
    ES_TRY(start(learner, &s, err));
    if (criterion == ES_PRUNE_BY_TAYLOR)
        ES_TRY(score_by_gradients(learner, &s, batch_count, err));
    for (size_t g = 0; g < groups->count; g++) {
        double *scores = out_scores[g];
        size_t channels = groups->items[g].channels;
        if (scores == NULL)
            continue;
        if (criterion != ES_PRUNE_BY_TAYLOR)
            add_group(&s, g);
        for (size_t c = 0; criterion == ES_PRUNE_BY_RANDOM && c < channels; c++)
            scores[c] = es_rng_double(&rng);
        if (criterion == ES_PRUNE_BY_LAMP)
            lamp(scores, channels, s.member);
        else
            by_mean(scores, channels);
    }
    return ES_OK;
}
