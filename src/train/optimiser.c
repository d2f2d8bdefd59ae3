/* Optimisers, value by value over the parameters in order. */
#include "train/internal.h"

#include <math.h>

const char *const es_optimiser_names[ES_OPTIMISER_COUNT] = {
    [ES_OPTIMISER_SGD] = "sgd", [ES_OPTIMISER_ADAM] = "adam", [ES_OPTIMISER_ADAMW] = "adamw"};

es_optimiser_opts es_optimiser_opts_default(void)
{
    return (es_optimiser_opts){
        .momentum = 0.9, .nesterov = true, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
}

static es_status check(es_optimiser_opts opts, es_error *err)
{
    if (!(opts.momentum >= 0 && opts.momentum < 1))
        return es_fail(err, ES_ERR_ARG, "momentum=%g must be in 0..1", opts.momentum);
    if (!(opts.beta1 >= 0 && opts.beta1 < 1 && opts.beta2 >= 0 && opts.beta2 < 1))
        return es_fail(err, ES_ERR_ARG, "beta1=%g and beta2=%g must be in 0..1", opts.beta1,
                       opts.beta2);
    if (!(opts.epsilon > 0))
        return es_fail(err, ES_ERR_ARG, "epsilon=%g must be > 0", opts.epsilon);
    if (!(opts.weight_decay >= 0 && opts.clip_norm >= 0))
        return es_fail(err, ES_ERR_ARG, "weight_decay=%g and clip_norm=%g must be >= 0",
                       opts.weight_decay, opts.clip_norm);
    return ES_OK;
}

es_status es_optimiser_init(es_arena *arena, const es_train_params *params, es_optimiser_opts opts,
                            es_optimiser *out_optimiser, es_error *err)
{
    es_optimiser made = {.opts = opts, .params = params};
    ES_TRY(check(opts, err));
    made.first = ES_TAKE_ARRAY(arena, float, params->total);
    if (opts.kind != ES_OPTIMISER_SGD)
        made.second = ES_TAKE_ARRAY(arena, float, params->total);
    if (made.first == NULL || (opts.kind != ES_OPTIMISER_SGD && made.second == NULL))
        return es_arena_full(arena, "moments of the optimiser", err);
    *out_optimiser = made;
    return ES_OK;
}

/* In lanes, so that one addition need not wait for the other; always the same ones. */
static double length_of(const es_train_params *params)
{
    enum { LANES = 8 };
    double squares[LANES] = {0};
    double sum = 0;
    for (size_t i = 0; i < params->count; i++) {
        const float *gradient = params->items[i].gradient;
        const size_t count = params->items[i].count;
        const size_t whole = count / LANES * LANES;
        for (size_t k = 0; k < whole; k += LANES)
            for (size_t lane = 0; lane < LANES; lane++)
                squares[lane] += (double)gradient[k + lane] * (double)gradient[k + lane];
        for (size_t k = whole; k < count; k++)
            squares[0] += (double)gradient[k] * (double)gradient[k];
    }
    for (size_t lane = 0; lane < LANES; lane++)
        sum += squares[lane];
    return sqrt(sum);
}

/* factor: of the gradients, by clipping. */
static void step_sgd(const es_optimiser *o, const es_train_param *param, float decay, float rate,
                     float factor, float *restrict velocity)
{
    const float momentum = (float)o->opts.momentum;
    const float *restrict gradient = param->gradient;
    float *restrict values = param->values;
    for (size_t k = 0; k < param->count; k++) {
        float g = factor * gradient[k] + decay * values[k];
        velocity[k] = momentum * velocity[k] + g;
        values[k] -= rate * (o->opts.nesterov ? g + momentum * velocity[k] : velocity[k]);
    }
}

static void step_adam(const es_optimiser *o, const es_train_param *param, float decay, float rate,
                      float factor, float *restrict first, float *restrict second)
{
    const float *restrict gradient = param->gradient;
    float *restrict values = param->values;
    double steps = (double)o->step;
    double beta1 = o->opts.beta1;
    double beta2 = o->opts.beta2;
    double correct1 = 1 - pow(beta1, steps);
    double correct2 = sqrt(1 - pow(beta2, steps));
    bool beside = o->opts.kind == ES_OPTIMISER_ADAMW;
    for (size_t k = 0; k < param->count; k++) {
        double g =
            (double)(factor * gradient[k]) + (beside ? 0 : (double)decay * (double)values[k]);
        double m = beta1 * (double)first[k] + (1 - beta1) * g;
        double v = beta2 * (double)second[k] + (1 - beta2) * g * g;
        double move = m / correct1 / (sqrt(v) / correct2 + o->opts.epsilon);
        double kept = (double)values[k] * (beside ? 1 - (double)rate * (double)decay : 1);
        first[k] = (float)m;
        second[k] = (float)v;
        values[k] = (float)(kept - (double)rate * move);
    }
}

double es_optimiser_step(es_optimiser *optimiser, double rate)
{
    const es_optimiser_opts *opts = &optimiser->opts;
    double length = length_of(optimiser->params);
    double factor = opts->clip_norm > 0 && length > opts->clip_norm ? opts->clip_norm / length : 1;
    size_t at = 0;
    optimiser->step++;
    for (size_t i = 0; i < optimiser->params->count; i++) {
        const es_train_param *param = &optimiser->params->items[i];
        bool weight = param->role == ES_NN_WEIGHT || param->role == ES_NN_RECURRENT;
        float decay = weight || opts->decay_all ? (float)opts->weight_decay : 0;
        if (opts->kind == ES_OPTIMISER_SGD)
            step_sgd(optimiser, param, decay, (float)rate, (float)factor, optimiser->first + at);
        else
            step_adam(optimiser, param, decay, (float)rate, (float)factor, optimiser->first + at,
                      optimiser->second + at);
        at += param->count;
    }
    return length;
}
