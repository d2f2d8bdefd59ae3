/* Learners against what is proven of them. */
#include "es_world.h"
#include "online/internal.h"

static es_learner *make(es_arena *arena, es_learner_opts opts)
{
    es_learner *learner = NULL;
    es_error err = {0};
    assert_ok_err(es_learner_new(arena, opts, &learner, &err), err);
    return learner;
}

/* R <= 2 sqrt(S (L* - L-)(L+ - L*) / (L+ - L-) ln K) + S (16/3 ln K + 2), at any scale. */
static void adahedge_keeps_its_bound(void **state)
{
    (void)state;
    enum { ROUNDS = 2000, ARMS = 8 };
    for (int n = 0; n < 60; n++) {
        es_rng rng = es_rng_make(es_test_seed(1) + (uint64_t)n, 0);
        es_arena *arena = es_arena_new((size_t)1 << 20);
        double scale = pow(10, 6 * es_rng_double(&rng) - 3);
        es_learner *learner = make(arena, es_learner_opts_default(ES_LEARNER_ADAHEDGE, ARMS));
        double sums[ARMS] = {0};
        double played = 0;
        double low = 0;
        double high = 0;
        double range = 0;
        for (int t = 0; t < ROUNDS; t++) {
            double losses[ARMS];
            (void)es_learner_choose(learner, NULL);
            const double *w = es_learner_probabilities(learner);
            double least = (double)INFINITY;
            double most = -(double)INFINITY;
            for (int k = 0; k < ARMS; k++) {
                losses[k] = n % 3 == 0 ? (double)es_rng_below(&rng, 2) : es_rng_double(&rng);
                if (n % 3 == 2 && k == 3)
                    losses[k] *= 0.3;
                if (n % 4 == 1)
                    losses[k] = (t / 50 + k) % 2; /* turns against whoever leads */
                losses[k] *= scale;
                played += w[k] * losses[k];
                sums[k] += losses[k];
                least = fmin(least, losses[k]);
                most = fmax(most, losses[k]);
            }
            low += least;
            high += most;
            range = fmax(range, most - least);
            es_learner_learn(learner, losses, NULL);
        }
        double best = (double)INFINITY;
        for (int k = 0; k < ARMS; k++)
            best = fmin(best, sums[k]);
        double log_k = log(ARMS);
        double bound = 2 * sqrt(range * (best - low) * (high - best) / (high - low) * log_k) +
                       range * (16.0 / 3 * log_k + 2);
        assert_true(played - best <= bound);
        es_arena_free(arena);
    }
}

/* Regret of a bandit over losses(round, arm), mean over runs. */
typedef double loss_of(es_rng *rng, uint32_t round, uint32_t arm);

static double bandit_regret(es_learner_kind kind, bool anytime, uint32_t rounds, uint32_t arms,
                            loss_of *loss, double *out_worst)
{
    enum { RUNS = 20 };
    double mean = 0;
    *out_worst = -(double)INFINITY;
    for (uint64_t r = 0; r < RUNS; r++) {
        es_arena *arena = es_arena_new((size_t)1 << 20);
        es_learner_opts opts = es_learner_opts_default(kind, arms);
        double sums[16] = {0};
        double losses[16];
        double played = 0;
        es_rng rng = es_rng_make(es_test_seed(7) + r, 1);
        opts.horizon = anytime ? 0 : rounds;
        opts.seed = r;
        es_learner *learner = make(arena, opts);
        for (uint32_t t = 0; t < rounds; t++) {
            uint32_t arm = es_learner_choose(learner, NULL);
            for (uint32_t k = 0; k < arms; k++) {
                losses[k] = loss(&rng, t, k);
                sums[k] += losses[k];
            }
            played += losses[arm];
            es_learner_learn(learner, losses, NULL);
        }
        double best = (double)INFINITY;
        for (uint32_t k = 0; k < arms; k++)
            best = fmin(best, sums[k]);
        mean += (played - best) / RUNS;
        *out_worst = fmax(*out_worst, played - best);
        es_arena_free(arena);
    }
    return mean;
}

static double gap_loss(es_rng *rng, uint32_t round, uint32_t arm)
{
    (void)round;
    return es_rng_double(rng) < (arm == 2 ? 0.35 : 0.5);
}

static double turning_loss(es_rng *rng, uint32_t round, uint32_t arm)
{
    (void)rng;
    return (round / 300 + arm) % 3 == 0 ? 0.1 : 0.9;
}

static void bandits_keep_their_bounds(void **state)
{
    (void)state;
    enum { ROUNDS = 5000, ARMS = 5 };
    double bound = sqrt(2.0 * ROUNDS * ARMS * log(ARMS));
    loss_of *losses[] = {gap_loss, turning_loss};
    for (int l = 0; l < 2; l++) {
        double worst = 0;
        assert_true(bandit_regret(ES_LEARNER_EXP3, false, ROUNDS, ARMS, losses[l], &worst) <=
                    bound);
        /* sqrt 2 more for not knowing the horizon */
        assert_true(bandit_regret(ES_LEARNER_EXP3, true, ROUNDS, ARMS, losses[l], &worst) <=
                    sqrt(2) * bound);
        /* with probability 1 - delta: 2 sqrt(2 T K ln K) + (sqrt(2 T K / ln K) + 1) ln(2 / delta)
         */
        (void)bandit_regret(ES_LEARNER_EXP3_IX, false, ROUNDS, ARMS, losses[l], &worst);
        assert_true(worst <=
                    2 * bound + (sqrt(2.0 * ROUNDS * ARMS / log(ARMS)) + 1) * log(2 / 0.01));
    }
}

/* 64 constant or context-reading experts; only one reads the context rightly. */
static void exp4_finds_the_expert(void **state)
{
    (void)state;
    enum { ROUNDS = 6000, ARMS = 3, EXPERTS = 27 };
    es_arena *arena = es_arena_new((size_t)1 << 20);
    es_learner_opts opts = es_learner_opts_default(ES_LEARNER_EXP4, ARMS);
    opts.expert_count = EXPERTS;
    opts.horizon = ROUNDS;
    es_learner *learner = make(arena, opts);
    es_rng rng = es_rng_make(es_test_seed(9), 0);
    double sums[EXPERTS] = {0};
    double played = 0;
    static const uint32_t powers[] = {1, 3, 9};
    for (int t = 0; t < ROUNDS; t++) {
        uint32_t context = (uint32_t)es_rng_below(&rng, 3);
        double advice[EXPERTS * ARMS] = {0};
        double losses[ARMS];
        for (uint32_t n = 0; n < EXPERTS; n++) /* expert n maps context c to digit c of n */
            advice[n * ARMS + n / powers[context] % 3] = 1;
        for (uint32_t k = 0; k < ARMS; k++)
            losses[k] = es_rng_double(&rng) < (k == (context + 1) % 3 ? 0.2 : 0.8);
        uint32_t arm = es_learner_choose(learner, advice);
        played += losses[arm];
        for (uint32_t n = 0; n < EXPERTS; n++)
            sums[n] += losses[n / powers[context] % 3];
        es_learner_learn(learner, losses, NULL);
    }
    double best = (double)INFINITY;
    for (int n = 0; n < EXPERTS; n++)
        best = fmin(best, sums[n]);
    assert_near(best / ROUNDS, 0.2, 0.03);
    assert_true(played - best <= sqrt(2.0 * ROUNDS * ARMS * log(EXPERTS)));
    es_arena_free(arena);
}

/* Losses linear in the context: regret per round falls; with forgetting it follows a change. */
static void linucb_learns_and_follows(void **state)
{
    (void)state;
    enum { ROUNDS = 4000, ARMS = 4, SIZE = 3 };
    for (int keep = 0; keep < 2; keep++) {
        es_arena *arena = es_arena_new((size_t)1 << 20);
        es_learner_opts opts = es_learner_opts_default(ES_LEARNER_LINUCB, ARMS);
        opts.context_size = SIZE;
        opts.width = 0.5;
        opts.keep = keep ? 1 : 0.99;
        es_learner *learner = make(arena, opts);
        es_rng rng = es_rng_make(es_test_seed(11), 0);
        double theta[ARMS][SIZE];
        double late_regret = 0;
        for (int t = 0; t < ROUNDS; t++) {
            double x[SIZE] = {1, es_rng_double(&rng), es_rng_double(&rng)};
            double means[ARMS];
            double losses[ARMS];
            double least = (double)INFINITY;
            if (t == 0 || (t == ROUNDS / 2 && !keep))
                for (int k = 0; k < ARMS; k++)
                    for (int i = 0; i < SIZE; i++)
                        theta[k][i] = es_rng_double(&rng) / 3;
            uint32_t arm = es_learner_choose(learner, x);
            for (int k = 0; k < ARMS; k++) {
                means[k] = 0;
                for (int i = 0; i < SIZE; i++)
                    means[k] += theta[k][i] * x[i];
                least = fmin(least, means[k]);
                losses[k] = means[k] + 0.1 * (es_rng_double(&rng) - 0.5);
            }
            if (t >= ROUNDS * 3 / 4)
                late_regret += means[arm] - least;
            es_learner_learn(learner, losses, NULL);
        }
        assert_true(late_regret / (ROUNDS / 4) < (keep ? 0.01 : 0.03));
        es_arena_free(arena);
    }
}

/* A dear arm, a cheap one, and idling: the budget is never passed, and nearly all of it is used for
 * most of what the best fixed mix would get. */
static void budgets_are_kept(void **state)
{
    (void)state;
    enum { ROUNDS = 8000 };
    static const es_learner_kind kinds[] = {ES_LEARNER_EXP3, ES_LEARNER_ADAHEDGE,
                                            ES_LEARNER_LINUCB};
    const double budgets[] = {0.3 * ROUNDS, 0.6 * ROUNDS};
    for (size_t n = 0; n < sizeof kinds / sizeof kinds[0]; n++) {
        es_arena *arena = es_arena_new((size_t)1 << 20);
        es_learner_opts opts = es_learner_opts_default(kinds[n], 3);
        opts.horizon = ROUNDS;
        opts.context_size = 1;
        opts.budget_count = 2;
        opts.budgets = budgets;
        opts.idle_arm = 2;
        opts.price_max = 3;
        es_learner *learner = make(arena, opts);
        es_rng rng = es_rng_make(es_test_seed(13), n);
        double saved = 0;
        for (int t = 0; t < ROUNDS; t++) {
            const double one = 1;
            const double losses[] = {0.1 + 0.1 * es_rng_double(&rng), 0.6, 1};
            const double spent[] = {0.9, 0.5, 0.2, 0.3, 0, 0}; /* [arm][budget] */
            uint32_t arm = es_learner_choose(learner, &one);
            saved += 1 - losses[arm];
            es_learner_learn(learner, losses, spent);
        }
        /* the best mix: share a of the dear, 1 - a of the cheap with 0.9 a + 0.2 (1 - a) = 0.3 */
        double best = ROUNDS * (0.85 / 7 + 0.4 * 6 / 7);
        print_message("%s: %.3f of the best mix, left %.0f and %.0f\n", es_learner_names[kinds[n]],
                      saved / best, es_learner_budget_left(learner, 0),
                      es_learner_budget_left(learner, 1));
        assert_true(es_learner_budget_left(learner, 0) >= 0);
        assert_true(es_learner_budget_left(learner, 1) >= 0);
        assert_true(saved >= 0.8 * best);
        es_arena_free(arena);
    }
}

static void mistakes_are_named(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new((size_t)1 << 20);
    es_learner *learner = NULL;
    es_error err = {0};
    es_learner_opts opts = es_learner_opts_default(ES_LEARNER_EXP3, 0);
    assert_fails(es_learner_new(arena, opts, &learner, &err), ES_ERR_ARG, err, "arm_count=0");
    opts = es_learner_opts_default(ES_LEARNER_LINUCB, 2);
    assert_fails(es_learner_new(arena, opts, &learner, &err), ES_ERR_ARG, err, "context_size=0");
    opts = es_learner_opts_default(ES_LEARNER_EXP4, 2);
    assert_fails(es_learner_new(arena, opts, &learner, &err), ES_ERR_ARG, err, "expert_count=0");
    opts = es_learner_opts_default(ES_LEARNER_EXP3, 2);
    opts.budget_count = 1;
    opts.budgets = (const double[]){5};
    assert_fails(es_learner_new(arena, opts, &learner, &err), ES_ERR_ARG, err, "horizon");
    es_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adahedge_keeps_its_bound), cmocka_unit_test(bandits_keep_their_bounds),
        cmocka_unit_test(exp4_finds_the_expert),    cmocka_unit_test(linucb_learns_and_follows),
        cmocka_unit_test(budgets_are_kept),         cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
