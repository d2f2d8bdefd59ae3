/*
 * prune: a model with fewer channels, by dependency groups; trained again in between and after.
 *
 * Rounds go down evenly to the target. In each, channels are ranked, and as few blocks of them go
 * as meet it: found by bisection, where each candidate's cost is that of the really smaller net.
 * Measured time is no multiple of MACs (spec 5.4: time = fixed + slope MACs), so a target in time
 * is met by measuring candidates, and the two terms are told.
 */
#include "compress/learn.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PROBES_MAX = 64 };
static const double probe_s = 0.5;

typedef struct options {
    double macs, params, latency, least;
    size_t criterion, ranking;
    int64_t multiple, rounds, between, batches;
    es_learn_opts learn;
} options;

static const char *const rankings[] = {"global", "local"};

static const es_step_option rows[] = {
    {.name = "macs",
     .type = ES_STEP_NUMBER,
     .offset = offsetof(options, macs),
     .fallback = "1",
     .min = 0.001,
     .max = 1,
     .help = "share of the multiply-accumulates to come down to"},
    {.name = "params",
     .type = ES_STEP_NUMBER,
     .offset = offsetof(options, params),
     .fallback = "1",
     .min = 0.001,
     .max = 1,
     .help = "share of the parameters to come down to"},
    {.name = "latency",
     .type = ES_STEP_NUMBER,
     .offset = offsetof(options, latency),
     .fallback = "1",
     .min = 0.01,
     .max = 1,
     .help = "share of the time to come down to, measured here"},
    {.name = "criterion",
     .type = ES_STEP_WORD,
     .offset = offsetof(options, criterion),
     .fallback = "taylor",
     .words = es_prune_criterion_names,
     .word_count = ES_PRUNE_BY_COUNT,
     .help = "what a channel is worth: by weights and gradients, weights alone, batch norms"},
    {.name = "ranking",
     .type = ES_STEP_WORD,
     .offset = offsetof(options, ranking),
     .fallback = "global",
     .words = rankings,
     .word_count = 2,
     .help = "the least important channels of all layers, or the same share from each"},
    {.name = "multiple",
     .type = ES_STEP_INT,
     .offset = offsetof(options, multiple),
     .fallback = "0",
     .min = 0,
     .max = 1024,
     .help = "channels left are one of it; 0: 8 in wide layers, less in narrow ones"},
    {.name = "least",
     .type = ES_STEP_NUMBER,
     .offset = offsetof(options, least),
     .fallback = "0.1",
     .min = 0,
     .max = 1,
     .help = "share of the channels that every layer keeps"},
    {.name = "rounds",
     .type = ES_STEP_INT,
     .offset = offsetof(options, rounds),
     .fallback = "1",
     .min = 1,
     .max = 100,
     .help = "in which the target is reached"},
    {.name = "between",
     .type = ES_STEP_INT,
     .offset = offsetof(options, between),
     .fallback = "1",
     .min = 0,
     .max = 1000,
     .help = "epochs after each round but the last, which has those below"},
    {.name = "batches",
     .type = ES_STEP_INT,
     .offset = offsetof(options, batches),
     .fallback = "50",
     .min = 1,
     .max = 1e6,
     .help = "that gradients are looked at in, for criterion=taylor"},
    ES_LEARN_OPTIONS(options, "5", "0.02", "yes"),
};

/* ---- cost of a candidate ---- */

typedef struct probe {
    double macs, latency, latency_low, latency_high; /* shares of the original's */
} probe;

typedef struct pruner {
    es_learner *learner;
    const options *options;
    const es_nn *original;
    es_nn_work work; /* of the original */
    es_arena *arena; /* of a candidate: reset for each */
    es_session *session;
    probe probes[PROBES_MAX];
    size_t probe_count;
} pruner;

static es_status open_net(const pruner *p, const es_nn *nn, es_session **out, es_error *err)
{
    const es_model *model = NULL;
    ES_TRY(es_nn_to_model(p->arena, nn, true, &model, err));
    return es_job_open(p->learner->job, p->arena, model, out, err);
}

/* Time of the net as a share of the original's, by runs in turn. */
static es_status time_share(pruner *p, const es_nn *nn, double macs, double *out, es_error *err)
{
    ES_CLEANUP(es_session_unref_p) es_session *session = NULL;
    es_bounds faster;
    ES_TRY(open_net(p, nn, &session, err));
    ES_TRY(es_measure_speed(p->learner->job, p->arena, p->session, session, probe_s, &faster, err));
    *out = 1 / faster.value;
    if (p->probe_count < PROBES_MAX)
        p->probes[p->probe_count++] = (probe){.macs = macs,
                                              .latency = *out,
                                              .latency_low = 1 / faster.high,
                                              .latency_high = 1 / faster.low};
    return ES_OK;
}

/* The cost over the target, of the target that is furthest from being met: <= 1 is met. what tells
 * the share that it has come to. step: how much of the way to the targets is gone by now. */
static es_status cost_of(pruner *p, const es_nn *nn, double step, double *out, char what[64],
                         es_error *err)
{
    const options *o = p->options;
    es_nn_work work = es_nn_work_of(nn);
    const char *names[] = {"macs", "params", "latency"};
    double wanted[] = {o->macs, o->params, o->latency};
    double got[] = {(double)work.macs / (double)p->work.macs,
                    (double)work.params / (double)p->work.params, 0};
    *out = 0;
    if (o->latency < 1)
        ES_TRY(time_share(p, nn, got[0], &got[2], err));
    for (size_t i = 0; i < 3; i++) {
        double over = got[i] / (1 - step * (1 - wanted[i]));
        if (wanted[i] < 1 && over > *out) {
            *out = over;
            (void)snprintf(what, 64, "%s=%g cannot be reached: it is %.3g", names[i], wanted[i],
                           got[i]);
        }
    }
    return ES_OK;
}

/* ---- one round ---- */

static es_status without(const es_nn *nn, es_prune_order *order, size_t gone, es_arena *arena,
                         es_nn **out, es_error *err)
{
    es_prune_keep(order, gone);
    return es_nn_keep(arena, nn, order->groups, (const bool *const *)order->keep, out, NULL, err);
}

static es_status cost_without(pruner *p, const es_nn *nn, es_prune_order *order, size_t gone,
                              double step, double *out, char what[64], es_error *err)
{
    es_nn *smaller = NULL;
    es_arena_reset(p->arena);
    ES_TRY(without(nn, order, gone, p->arena, &smaller, err));
    ES_TRY(cost_of(p, smaller, step, out, what, err));
    return es_job_go_on(p->learner->job, err);
}

/* The fewest blocks whose going meets the targets. */
static es_status search(pruner *p, const es_nn *nn, es_prune_order *order, double step,
                        size_t *out_gone, es_error *err)
{
    size_t low = 0;                   /* not enough */
    size_t high = order->block_count; /* enough */
    double cost = 0;
    char what[64] = "";
    *out_gone = 0;
    if (p->options->rounds > 1) { /* the round before may have gone further than it had to */
        ES_TRY(cost_without(p, nn, order, low, step, &cost, what, err));
        if (cost <= 1)
            return ES_OK;
    }
    ES_TRY(cost_without(p, nn, order, high, step, &cost, what, err));
    if (cost > 1)
        return es_fail(err, ES_ERR_ARG,
                       "%s with the fewest channels that least=%g and multiple=%lld leave", what,
                       p->options->least, (long long)p->options->multiple);
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        ES_TRY(cost_without(p, nn, order, middle, step, &cost, what, err));
        *(cost > 1 ? &low : &high) = middle;
    }
    *out_gone = high;
    return ES_OK;
}

/* *nn becomes the smaller net, not trained yet. */
static es_status one_round(pruner *p, es_nn **nn, double step, es_error *err)
{
    es_learner *l = p->learner;
    es_nn_groups groups;
    es_prune_order order;
    es_prune_order_opts opts = {.multiple = (size_t)p->options->multiple,
                                .least = p->options->least,
                                .local = p->options->ranking == 1};
    size_t gone = 0;
    ES_TRY(es_nn_groups_find(l->arena, *nn, &groups, err));
    double **scores = ES_TAKE_ARRAY(l->arena, double *, groups.count);
    if (scores == NULL)
        return es_arena_full(l->arena, "importance", err);
    ES_TRY(es_importance(l, *nn, &groups, (es_prune_criterion)p->options->criterion,
                         (size_t)p->options->batches, scores, err));
    ES_TRY(
        es_prune_order_make(l->arena, &groups, (const double *const *)scores, opts, &order, err));
    if (order.block_count == 0)
        return es_fail(err, ES_ERR_ARG,
                       "no channel can go: least=%g and multiple=%lld leave all of them",
                       p->options->least, (long long)p->options->multiple);
    ES_TRY(search(p, *nn, &order, step, &gone, err));
    return without(*nn, &order, gone, l->arena, nn, err);
}

/* ---- the report ---- */

/* time = fixed + slope macs by least squares over the probes; false when they are too alike. */
static bool fixed_share(const pruner *p, double *out_fixed, double *out_slope)
{
    double n = 1; /* the original, 1 and 1, counts as one */
    double x = 1;
    double y = 1;
    double xx = 1;
    double xy = 1;
    for (size_t i = 0; i < p->probe_count; i++) {
        n++;
        x += p->probes[i].macs;
        y += p->probes[i].latency;
        xx += p->probes[i].macs * p->probes[i].macs;
        xy += p->probes[i].macs * p->probes[i].latency;
    }
    double spread = n * xx - x * x;
    if (!(spread > 1e-6))
        return false;
    *out_slope = (n * xy - x * y) / spread;
    *out_fixed = (y - *out_slope * x) / n;
    return true;
}

static void put_probes(const pruner *p, es_json *json)
{
    double fixed = 0;
    double slope = 0;
    if (fixed_share(p, &fixed, &slope)) {
        es_json_put_number(json, "latency_fixed_share", fixed);
        es_json_put_number(json, "latency_share_per_macs_share", slope);
    }
    es_json_key(json, "measured");
    es_json_list_begin(json);
    for (size_t i = 0; i < p->probe_count; i++) {
        es_json_map_begin(json);
        es_json_put_number(json, "macs_share", p->probes[i].macs);
        es_json_put_number(json, "latency_share", p->probes[i].latency);
        es_json_put_number(json, "latency_share_low", p->probes[i].latency_low);
        es_json_put_number(json, "latency_share_high", p->probes[i].latency_high);
        es_json_map_end(json);
    }
    es_json_list_end(json);
}

/* Layers with weights whose channels are fewer. */
static void put_layers(const es_nn *before, const es_nn *after, es_json *json)
{
    es_json_key(json, "channels");
    es_json_list_begin(json);
    for (size_t i = 0; i < before->layers.count; i++) {
        const es_nn_layer *old = &before->layers.items[i];
        const es_nn_layer *now = &after->layers.items[i];
        if (old->param_count == 0 || old->params[0].role != ES_NN_WEIGHT ||
            old->shape.dims[0] == now->shape.dims[0])
            continue;
        es_json_map_begin(json);
        es_json_put_text(json, "layer", old->name);
        es_json_put_int(json, "before", (int64_t)old->shape.dims[0]);
        es_json_put_int(json, "after", (int64_t)now->shape.dims[0]);
        es_json_map_end(json);
    }
    es_json_list_end(json);
}

static es_status tell(const pruner *p, const es_nn *after, const es_doc **out, es_error *err)
{
    ES_CLEANUP(es_learn_report_done) es_learn_report report;
    es_learn_report_begin(&report, p->learner, p->original, after);
    es_json_put_text(&report.json, "criterion", es_prune_criterion_names[p->options->criterion]);
    put_layers(p->original, after, &report.json);
    if (p->options->latency < 1)
        put_probes(p, &report.json);
    return es_learn_report_end(&report, p->learner->job->arena, out, err);
}

/* ---- the step ---- */

static es_status all_rounds(pruner *p, es_nn **nn, es_error *err)
{
    int64_t rounds = p->options->rounds;
    for (int64_t r = 1; r <= rounds; r++) {
        char part[32] = "";
        if (rounds > 1)
            (void)snprintf(part, sizeof part, "round-%d", (int)r);
        ES_TRY(es_within(err, one_round(p, nn, (double)r / (double)rounds, err), "prune"));
        ES_TRY(es_learner_fit(p->learner, *nn, part,
                              r < rounds ? p->options->between : p->learner->opts.epochs, NULL,
                              NULL, err));
    }
    return ES_OK;
}

static void pruner_done(pruner *p)
{
    es_session_unref(p->session);
    es_arena_free(p->arena);
}

static es_status run(const es_compress_job *job, const void *given, const es_variant *from,
                     es_variants *out, es_error *err)
{
    const options *o = given;
    ES_CLEANUP(es_learner_close) es_learner learner;
    ES_CLEANUP(pruner_done) pruner p = {.learner = &learner, .options = o};
    es_variant *made = NULL;
    es_nn *nn = NULL;
    ES_TRY(es_learner_open(job, "prune", from, o->learn, &learner, &nn, err));
    if (o->macs >= 1 && o->params >= 1 && o->latency >= 1)
        return es_fail(err, ES_ERR_ARG, "prune: say how far: macs, params or latency below 1");
    p.arena = es_arena_new(es_arena_cap_bytes(job->arena));
    if (p.arena == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory to prune in");
    p.original = nn;
    p.work = es_nn_work_of(nn);
    if (o->latency < 1)
        ES_TRY(open_net(&p, nn, &p.session, err));
    ES_TRY(all_rounds(&p, &nn, err));
    ES_TRY(es_learner_give(&learner, nn, from, "pruned", out, &made, err));
    return tell(&p, nn, &made->report, err);
}

const es_step_kind es_step_prune = {
    .name = "prune",
    .help = "fewer channels, really smaller tensors; trained again",
    .options = rows,
    .option_count = sizeof rows / sizeof rows[0],
    .options_size = sizeof(options),
    .run = run,
};
