/* Hedge, EXP3, EXP4 (spec §7.1, 7.2) and budgets by a price (§7.4). LinUCB's linear algebra is in
 * linucb.c. */
#include "online/learn.h"

const char *const es_learner_names[ES_LEARNER_KIND_COUNT] = {"adahedge", "exp3", "exp3-ix", "exp4",
                                                             "linucb"};
enum { BUDGETS_MAX = 8 };

struct es_learner {
    es_learner_opts opts;
    es_rng rng;
    uint64_t round; /* being played, from 1 */
    uint32_t chosen;
    double *weights;       /* [arm or expert] cumulated losses */
    double *probabilities; /* [arm] */
    double *shares;        /* [expert] */
    double *priced;        /* [arm] losses with the price of spending */
    const double *advice;  /* EXP4: of this round */
    double mix_gap;        /* AdaHedge: Delta */
    double prices[BUDGETS_MAX];
    double left[BUDGETS_MAX];
    es_linucb *linear;
};

es_learner_opts es_learner_opts_default(es_learner_kind kind, uint32_t arm_count)
{
    return (es_learner_opts){.kind = kind,
                             .arm_count = arm_count,
                             .width = 1,
                             .ridge = 1,
                             .keep = 1,
                             .price_max = 10,
                             .seed = 1};
}

static es_status check(const es_learner_opts *opts, es_error *err)
{
    if (opts->arm_count < 1)
        return es_fail(err, ES_ERR_ARG, "learner: arm_count=0 must be >= 1");
    if (opts->kind == ES_LEARNER_EXP4 && opts->expert_count < 1)
        return es_fail(err, ES_ERR_ARG, "learner: expert_count=0 must be >= 1");
    if (opts->kind == ES_LEARNER_LINUCB &&
        (opts->context_size < 1 || opts->context_size > ES_LINUCB_SIZE_MAX))
        return es_fail(err, ES_ERR_ARG, "learner: context_size=%u must be 1..%d",
                       opts->context_size, ES_LINUCB_SIZE_MAX);
    if (!(opts->ridge > 0) || !(opts->width >= 0) || !(opts->keep > 0 && opts->keep <= 1))
        return es_fail(err, ES_ERR_ARG,
                       "learner: ridge=%g must be > 0, width=%g >= 0, keep=%g in (0, 1]",
                       opts->ridge, opts->width, opts->keep);
    if (opts->budget_count > BUDGETS_MAX)
        return es_fail(err, ES_ERR_ARG, "learner: budget_count=%u must be <= %d",
                       opts->budget_count, BUDGETS_MAX);
    if (opts->budget_count > 0 &&
        (opts->horizon == 0 || opts->idle_arm >= opts->arm_count || !(opts->price_max > 0)))
        return es_fail(err, ES_ERR_ARG,
                       "learner: budgets need a horizon > 0, an idle_arm < %u and "
                       "price_max > 0",
                       opts->arm_count);
    for (uint32_t j = 0; j < opts->budget_count; j++)
        if (!(opts->budgets[j] > 0 && isfinite(opts->budgets[j])))
            return es_fail(err, ES_ERR_ARG, "learner: budgets[%u]=%g must be finite and > 0", j,
                           opts->budgets[j]);
    return ES_OK;
}

es_status es_learner_new(es_arena *arena, es_learner_opts opts, es_learner **out_learner,
                         es_error *err)
{
    es_learner *own = NULL;
    ES_TRY(check(&opts, err));
    ES_TRY(es_online_take(arena, 1, sizeof *own, &own, err));
    *own = (es_learner){.opts = opts, .rng = es_rng_make(opts.seed, 0)};
    uint32_t weighed = opts.kind == ES_LEARNER_EXP4 ? opts.expert_count : opts.arm_count;
    ES_TRY(es_online_take(arena, weighed, sizeof *own->weights, &own->weights, err));
    ES_TRY(es_online_take(arena, weighed, sizeof *own->shares, &own->shares, err));
    ES_TRY(es_online_take(arena, opts.arm_count, sizeof *own->probabilities, &own->probabilities,
                          err));
    ES_TRY(es_online_take(arena, opts.arm_count, sizeof *own->priced, &own->priced, err));
    for (uint32_t j = 0; j < opts.budget_count; j++)
        own->left[j] = opts.budgets[j];
    if (opts.kind == ES_LEARNER_LINUCB)
        ES_TRY(
            es_linucb_new(arena, opts.arm_count, opts.context_size, opts.ridge, &own->linear, err));
    *out_learner = own;
    return ES_OK;
}

/* ---- steps ---- */

static double step_of(const es_learner *own)
{
    const es_learner_opts *opts = &own->opts;
    double arms = opts->arm_count;
    double log_n = log(opts->kind == ES_LEARNER_EXP4 ? opts->expert_count : opts->arm_count);
    if (opts->kind == ES_LEARNER_ADAHEDGE)
        return own->mix_gap > 0 ? log_n / own->mix_gap : (double)INFINITY;
    return opts->horizon > 0 ? sqrt(2 * log_n / ((double)opts->horizon * arms))
                             : sqrt(log_n / ((double)own->round * arms));
}

/* shares ~ exp(-eta L); on the leaders alone when eta is infinite. */
static void share_out(const double *losses, uint32_t count, double eta, double *shares)
{
    double least = (double)INFINITY;
    double sum = 0;
    for (uint32_t i = 0; i < count; i++)
        least = fmin(least, losses[i]);
    for (uint32_t i = 0; i < count; i++) {
        shares[i] = losses[i] <= least ? 1 : isinf(eta) ? 0 : exp(-eta * (losses[i] - least));
        sum += shares[i];
    }
    for (uint32_t i = 0; i < count; i++)
        shares[i] /= sum;
}

static uint32_t draw(es_rng *rng, const double *probabilities, uint32_t count)
{
    double at = es_rng_double(rng);
    for (uint32_t i = 0; i + 1 < count; i++) {
        at -= probabilities[i];
        if (at < 0)
            return i;
    }
    return count - 1;
}

static bool is_spent(const es_learner *own)
{
    for (uint32_t j = 0; j < own->opts.budget_count; j++)
        if (own->left[j] < 1) /* spending of a round is at most 1 */
            return true;
    return false;
}

static void take_only(es_learner *own, uint32_t arm)
{
    memset(own->probabilities, 0, own->opts.arm_count * sizeof *own->probabilities);
    own->probabilities[arm] = 1;
    own->chosen = arm;
}

uint32_t es_learner_choose(es_learner *own, const double *context)
{
    const es_learner_opts *opts = &own->opts;
    own->round++;
    own->advice = context;
    if (is_spent(own)) {
        take_only(own, opts->idle_arm);
        return own->chosen;
    }
    if (opts->kind == ES_LEARNER_LINUCB) {
        take_only(own, es_linucb_choose(own->linear, context, opts->width));
        return own->chosen;
    }
    if (opts->kind == ES_LEARNER_EXP4) {
        share_out(own->weights, opts->expert_count, step_of(own), own->shares);
        for (uint32_t k = 0; k < opts->arm_count; k++) {
            own->probabilities[k] = 0;
            for (uint32_t n = 0; n < opts->expert_count; n++)
                own->probabilities[k] += own->shares[n] * context[(size_t)n * opts->arm_count + k];
        }
    } else {
        share_out(own->weights, opts->arm_count, step_of(own), own->probabilities);
    }
    own->chosen = draw(&own->rng, own->probabilities, opts->arm_count);
    return own->chosen;
}

const double *es_learner_probabilities(const es_learner *learner)
{
    return learner->probabilities;
}

double es_learner_budget_left(const es_learner *learner, uint32_t j)
{
    return learner->left[j];
}

/* ---- learning ---- */

static void learn_hedge(es_learner *own, const double *losses)
{
    uint32_t count = own->opts.arm_count;
    const double *w = own->probabilities;
    double eta = step_of(own);
    double played = 0;
    double mixed = 0;
    double least = (double)INFINITY;
    double before = (double)INFINITY;
    double after = (double)INFINITY;
    for (uint32_t k = 0; k < count; k++) {
        played += w[k] * losses[k];
        least = fmin(least, losses[k]);
        before = fmin(before, own->weights[k]);
        after = fmin(after, own->weights[k] + losses[k]);
        own->weights[k] += losses[k];
    }
    if (isinf(eta)) {
        mixed = after - before;
    } else {
        double sum = 0;
        for (uint32_t k = 0; k < count; k++)
            sum += w[k] * exp(-eta * (losses[k] - least));
        mixed = least - log(sum) / eta;
    }
    own->mix_gap += fmax(played - mixed, 0);
}

static void learn_bandit(es_learner *own, double loss)
{
    const es_learner_opts *opts = &own->opts;
    double p = own->probabilities[own->chosen];
    double bias = opts->kind == ES_LEARNER_EXP3_IX ? step_of(own) / 2 : 0;
    double estimate = loss / (p + bias);
    if (opts->kind != ES_LEARNER_EXP4) {
        own->weights[own->chosen] += estimate;
        return;
    }
    for (uint32_t n = 0; n < opts->expert_count; n++)
        own->weights[n] += own->advice[(size_t)n * opts->arm_count + own->chosen] * estimate;
}

/* Losses as the price of spending makes them, over 1 + the largest price so that they stay within a
 * unit; then the price follows what was spent. */
static void price(es_learner *own, const double *losses, const double *spent)
{
    const es_learner_opts *opts = &own->opts;
    double scale = 1 + opts->budget_count * opts->price_max;
    for (uint32_t k = 0; k < opts->arm_count; k++) {
        own->priced[k] = losses[k];
        for (uint32_t j = 0; j < opts->budget_count; j++)
            own->priced[k] += own->prices[j] * spent[(size_t)k * opts->budget_count + j];
        own->priced[k] /= scale;
    }
    double step = opts->price_max / sqrt((double)opts->horizon);
    for (uint32_t j = 0; j < opts->budget_count; j++) {
        double used = spent[(size_t)own->chosen * opts->budget_count + j];
        double fair = opts->budgets[j] / (double)opts->horizon;
        own->left[j] -= used;
        own->prices[j] = fmin(fmax(own->prices[j] + step * (used - fair), 0), opts->price_max);
    }
}

void es_learner_learn(es_learner *own, const double *losses, const double *spent)
{
    const es_learner_opts *opts = &own->opts;
    bool idle = is_spent(own);
    if (opts->budget_count > 0) {
        price(own, losses, spent);
        losses = own->priced;
    }
    if (idle)
        return;
    if (opts->kind == ES_LEARNER_ADAHEDGE)
        learn_hedge(own, losses);
    else if (opts->kind == ES_LEARNER_LINUCB)
        es_linucb_learn(own->linear, own->chosen, own->advice, losses[own->chosen], opts->keep);
    else
        learn_bandit(own, losses[own->chosen]);
}
