/* Tables, choices, shares, nodes that fail, budgets. */
#include "base/clock.h"
#include "base/rng.h"
#include "choose.h"
#include "es_test.h"

#include <math.h>

/* ---- routes as structs ---- */

enum { OPTIONS_MAX = 12 };

typedef struct world {
    es_arena *arena;
    es_serve_routes routes;
    es_serve_class classes[4];
    es_serve_option options[4][OPTIONS_MAX];
    es_serve_table *table;
    es_chooser *chooser;
} world;

static void add_class(world *w, const char *task, const char *entry, double refused_share)
{
    w->classes[w->routes.class_count] = (es_serve_class){
        .task = task,
        .entry = entry,
        .deadline_s = (double)INFINITY,
        .refused_share = refused_share,
        .options = w->options[w->routes.class_count],
    };
    w->routes.class_count++;
}

static es_serve_option *add_option(world *w, double share, const char *route, double latency_s)
{
    size_t c = w->routes.class_count - 1;
    es_serve_route decoded;
    es_error err = {0};
    assert_ok_err(es_serve_route_decode(w->arena, route, &decoded, &err), err);
    es_serve_option *option = &w->options[c][w->classes[c].option_count++];
    *option = (es_serve_option){.share = share,
                                .route = route,
                                .stage_count = decoded.stage_count,
                                .latency_s = latency_s,
                                .latency_s_p95 = (double)NAN,
                                .quality = 0.5};
    return option;
}

static world *world_new(void)
{
    es_arena *arena = es_arena_new((size_t)64 << 20);
    assert_non_null(arena);
    world *w = ES_TAKE_ONE(arena, world);
    assert_non_null(w);
    w->arena = arena;
    w->routes = (es_serve_routes){.generation = 1, .plan = "p", .classes = w->classes};
    return w;
}

static void world_start(world *w)
{
    es_error err = {0};
    assert_ok_err(es_serve_table_new(w->arena, &w->routes, &w->table, &err), err);
    assert_ok_err(es_chooser_new(w->table, NULL, &w->chooser, &err), err);
}

static void world_end(world *w)
{
    es_serve_table *table = w->table;
    es_chooser_free(w->chooser);
    es_serve_table_unref(table); /* the arena goes with it, and w */
}

/* ---- tables ---- */

static void finds_classes(void **state)
{
    (void)state;
    world *w = world_new();
    add_class(w, "look", "a", 1);
    add_class(w, "look", "b", 1);
    add_class(w, "hear", "a", 1);
    world_start(w);
    assert_int_equal(es_serve_table_class(w->table, "look", "a"), 0);
    assert_int_equal(es_serve_table_class(w->table, "look", "b"), 1);
    assert_int_equal(es_serve_table_class(w->table, "look", NULL), ES_SERVE_CLASS_MANY);
    assert_int_equal(es_serve_table_class(w->table, "hear", NULL), 2);
    assert_int_equal(es_serve_table_class(w->table, "hear", "b"), ES_SERVE_CLASS_NONE);
    assert_int_equal(es_serve_table_class(w->table, "smell", NULL), ES_SERVE_CLASS_NONE);
    assert_int_equal(es_serve_table_class(w->table, "lookb", ""), ES_SERVE_CLASS_NONE);
    world_end(w);
}

static void numbers_nodes(void **state)
{
    (void)state;
    world *w = world_new();
    add_class(w, "look", "a", 0);
    add_option(w, 0.5, "a/m;exit=0.5, b/m", 1);
    add_option(w, 0.5, "b/m", 1);
    world_start(w);
    assert_int_equal(w->table->node_count, 2);
    assert_int_equal(es_serve_table_node(w->table, "b"), 1);
    assert_int_equal(es_serve_table_node(w->table, "c"), UINT32_MAX);
    assert_int_equal(w->table->first_stage[2], 3);
    assert_int_equal(w->table->stage_nodes[2], 1);
    world_end(w);
}

/* ---- shares ---- */

static const char *const NAMES[OPTIONS_MAX] = {"n0/m", "n1/m", "n2/m", "n3/m", "n4/m",  "n5/m",
                                               "n6/m", "n7/m", "n8/m", "n9/m", "n10/m", "n11/m"};

/* Every prefix of the requests: each option has had its share to within one. Without refusing this
 * is Tijdeman's theorem, with it too, since refusing is one more option. */
static void shares_hold_for_every_prefix(void **state)
{
    (void)state;
    uint64_t seed = es_test_seed(1);
    es_serve_wish none = es_serve_wish_default();
    for (uint64_t round = 0; round < 200; round++) {
        es_rng rng = es_rng_make(seed, round);
        world *w = world_new();
        uint32_t count = 1 + (uint32_t)es_rng_below(&rng, OPTIONS_MAX);
        double refused = es_rng_below(&rng, 3) == 0 ? es_rng_double(&rng) : 0;
        double weights[OPTIONS_MAX];
        double sum = 0;
        for (uint32_t o = 0; o < count; o++)
            sum += weights[o] = pow(es_rng_double(&rng), 1 + (double)es_rng_below(&rng, 8)) + 1e-6;
        add_class(w, "look", "a", refused);
        for (uint32_t o = 0; o < count; o++)
            add_option(w, weights[o] / sum * (1 - refused), NAMES[o], 1);
        world_start(w);
        uint64_t taken[OPTIONS_MAX + 1] = {0};
        for (uint64_t n = 1; n <= 600; n++) {
            es_serve_choice choice = es_choose(w->chooser, 0, &none, 0);
            bool is_refused = choice.kind == ES_SERVE_CHOICE_REFUSED;
            assert_true(is_refused || choice.kind == ES_SERVE_CHOICE_OPTION);
            assert_int_equal(choice.unmet, 0);
            taken[is_refused ? count : choice.option]++;
            for (uint32_t o = 0; o <= count; o++) {
                double share = o == count ? refused : w->options[0][o].share;
                if (fabs(share * (double)n - (double)taken[o]) >= 1 + 1e-6)
                    fail_msg("ES_SEED=%llu round %llu: option %u has %llu of %llu, share %g",
                             (unsigned long long)seed, (unsigned long long)round, o,
                             (unsigned long long)taken[o], (unsigned long long)n, share);
            }
        }
        world_end(w);
    }
}

/* Two large shares and ten small ones: the largest credit alone would leave a large one 1.2 behind.
 */
static void shares_hold_where_the_largest_credit_fails(void **state)
{
    (void)state;
    es_serve_wish none = es_serve_wish_default();
    world *w = world_new();
    add_class(w, "look", "a", 0);
    for (uint32_t o = 0; o < 12; o++)
        add_option(w, o < 10 ? 0.02 : 0.4, NAMES[o], 1);
    world_start(w);
    double taken[12] = {0};
    for (uint32_t n = 1; n <= 1000; n++) {
        taken[es_choose(w->chooser, 0, &none, 0).option]++;
        for (uint32_t o = 0; o < 12; o++)
            assert_true(fabs(w->options[0][o].share * n - taken[o]) < 1);
    }
    world_end(w);
}

/* Requests with wishes take what meets them; over all requests with the same wishes the shares
 * among these options hold, and no option is owed more than a few whatever the order. */
static void shares_hold_among_what_is_left(void **state)
{
    (void)state;
    uint64_t seed = es_test_seed(1);
    for (uint64_t round = 0; round < 100; round++) {
        es_rng rng = es_rng_make(seed, round);
        world *w = world_new();
        add_class(w, "look", "a", 0);
        for (uint32_t o = 0; o < 6; o++)
            add_option(w, (1.0 + o) / 21, NAMES[o], 1)->quality = 0.1 * (1 + o);
        world_start(w);
        double owed[6] = {0};
        for (uint64_t n = 0; n < 2000; n++) {
            es_serve_wish wish = es_serve_wish_default();
            uint32_t first = (uint32_t)es_rng_below(&rng, 6);
            wish.quality_min = 0.1 * (1 + first) - 1e-9;
            double sum = 0;
            for (uint32_t o = first; o < 6; o++)
                sum += (1.0 + o) / 21;
            for (uint32_t o = first; o < 6; o++)
                owed[o] += (1.0 + o) / 21 / sum;
            es_serve_choice choice = es_choose(w->chooser, 0, &wish, 0);
            assert_int_equal(choice.kind, ES_SERVE_CHOICE_OPTION);
            assert_int_equal(choice.unmet, 0);
            assert_true(choice.option >= first);
            owed[choice.option] -= 1;
            for (uint32_t o = 0; o < 6; o++)
                if (fabs(owed[o]) > 3)
                    fail_msg("ES_SEED=%llu round %llu: option %u is owed %g",
                             (unsigned long long)seed, (unsigned long long)round, o, owed[o]);
        }
        world_end(w);
    }
}

/* ---- wishes ---- */

/* What the choice may be, by looking at every option: the naive model. */
static void assert_allowed(const world *w, const es_serve_wish *wish, es_serve_choice choice)
{
    const es_serve_class *class = &w->classes[0];
    bool any = false;
    for (size_t o = 0; o < class->option_count; o++) {
        const es_serve_option *option = &class->options[o];
        double latency_s = isnan(option->latency_s_p95) ? option->latency_s : option->latency_s_p95;
        any = any || (latency_s <= wish->latency_s_max && option->quality >= wish->quality_min &&
                      option->energy_j <= wish->energy_j_max &&
                      option->carbon_gco2e <= wish->carbon_g_max);
    }
    if (!any && wish->strict) {
        assert_int_equal(choice.kind, ES_SERVE_CHOICE_UNMET);
        return;
    }
    assert_int_equal(choice.kind, ES_SERVE_CHOICE_OPTION);
    const es_serve_option *taken = &class->options[choice.option];
    double latency_s = isnan(taken->latency_s_p95) ? taken->latency_s : taken->latency_s_p95;
    uint32_t unmet = (latency_s > wish->latency_s_max ? ES_SERVE_WISH_LATENCY : 0) |
                     (taken->quality < wish->quality_min ? ES_SERVE_WISH_QUALITY : 0) |
                     (taken->energy_j > wish->energy_j_max ? ES_SERVE_WISH_ENERGY : 0) |
                     (taken->carbon_gco2e > wish->carbon_g_max ? ES_SERVE_WISH_CARBON : 0);
    assert_int_equal(choice.unmet, unmet);
    assert_true((unmet == 0) == any);
}

static void wishes_are_met_where_they_can_be(void **state)
{
    (void)state;
    uint64_t seed = es_test_seed(1);
    for (uint64_t round = 0; round < 300; round++) {
        es_rng rng = es_rng_make(seed, round);
        world *w = world_new();
        uint32_t count = 1 + (uint32_t)es_rng_below(&rng, 6);
        add_class(w, "look", "a", 0);
        for (uint32_t o = 0; o < count; o++) {
            es_serve_option *option = add_option(w, 1.0 / count, NAMES[o], es_rng_double(&rng));
            option->quality = es_rng_double(&rng);
            option->energy_j = es_rng_double(&rng);
            option->carbon_gco2e = es_rng_double(&rng);
            if (es_rng_below(&rng, 2) == 0)
                option->latency_s_p95 = 2 * option->latency_s;
        }
        world_start(w);
        for (uint32_t n = 0; n < 50; n++) {
            es_serve_wish wish = es_serve_wish_default();
            if (es_rng_below(&rng, 2) == 0)
                wish.latency_s_max = es_rng_double(&rng);
            if (es_rng_below(&rng, 2) == 0)
                wish.quality_min = es_rng_double(&rng);
            if (es_rng_below(&rng, 2) == 0)
                wish.energy_j_max = es_rng_double(&rng);
            if (es_rng_below(&rng, 2) == 0)
                wish.carbon_g_max = es_rng_double(&rng);
            wish.strict = es_rng_below(&rng, 2) == 0;
            assert_allowed(w, &wish, es_choose(w->chooser, 0, &wish, 0));
        }
        world_end(w);
    }
}

static void the_nearest_is_the_least_over(void **state)
{
    (void)state;
    world *w = world_new();
    add_class(w, "look", "a", 0);
    add_option(w, 0.4, "n0/m", 0.100)->quality = 0.99;
    add_option(w, 0.3, "n1/m", 0.012)->quality = 0.90;
    add_option(w, 0.3, "n2/m", 0.010)->quality = 0.50;
    world_start(w);
    es_serve_wish wish = es_serve_wish_default();
    wish.latency_s_max = 0.010;
    wish.quality_min = 0.95;
    for (int n = 0; n < 5; n++) { /* 9 over; 0.2 + 0.06 over; 0.9 over */
        es_serve_choice choice = es_choose(w->chooser, 0, &wish, 0);
        assert_int_equal(choice.option, 1);
        assert_int_equal(choice.unmet, ES_SERVE_WISH_LATENCY | ES_SERVE_WISH_QUALITY);
    }
    wish.strict = true;
    assert_int_equal(es_choose(w->chooser, 0, &wish, 0).kind, ES_SERVE_CHOICE_UNMET);
    world_end(w);
}

/* ---- nodes that fail ---- */

#define MS ES_NS_PER_MS

static void goes_round_failed_nodes(void **state)
{
    (void)state;
    world *w = world_new();
    add_class(w, "look", "a", 0);
    add_option(w, 0.5, "a/m;exit=0.5, b/m", 1);
    add_option(w, 0.5, "c/m", 1);
    world_start(w);
    es_serve_wish none = es_serve_wish_default();
    uint32_t b = es_serve_table_node(w->table, "b");
    uint32_t c = es_serve_table_node(w->table, "c");
    for (int i = 0; i < 50; i++) /* a crowd that fails together counts once */
        es_chooser_node_failed(w->chooser, b, 0);
    assert_true(es_chooser_node_is_down(w->chooser, b));
    for (int i = 0; i < 20; i++)
        assert_int_equal(es_choose(w->chooser, 0, &none, 99 * MS).option, 1);
    /* One tries it after 100 ms; while it does, nobody else. */
    int tries = 0;
    for (int i = 0; i < 20; i++)
        tries += es_choose(w->chooser, 0, &none, 100 * MS).option == 0;
    assert_int_equal(tries, 1);
    /* Not waited for: another one may try at once. */
    es_chooser_option_unknown(w->chooser, 0, 0, 100 * MS);
    tries = 0;
    for (int i = 0; i < 20; i++)
        tries += es_choose(w->chooser, 0, &none, 100 * MS).option == 0;
    assert_int_equal(tries, 1);
    /* It fails again: 200 ms now. */
    es_chooser_node_failed(w->chooser, b, 101 * MS);
    for (int i = 0; i < 20; i++)
        assert_int_equal(es_choose(w->chooser, 0, &none, 300 * MS).option, 1);
    tries = 0;
    for (int i = 0; i < 20; i++)
        tries += es_choose(w->chooser, 0, &none, 301 * MS).option == 0;
    assert_int_equal(tries, 1);
    es_chooser_node_answered(w->chooser, b);
    tries = 0;
    for (int i = 0; i < 20; i++)
        tries += es_choose(w->chooser, 0, &none, 302 * MS).option == 0;
    assert_int_equal(tries, 10);
    /* Both down: rather one of them than nothing. */
    es_chooser_node_failed(w->chooser, b, 400 * MS);
    es_chooser_node_failed(w->chooser, c, 400 * MS);
    assert_int_equal(es_choose(w->chooser, 0, &none, 401 * MS).kind, ES_SERVE_CHOICE_OPTION);
    world_end(w);
}

static void waits_at_most_two_seconds(void **state)
{
    (void)state;
    world *w = world_new();
    add_class(w, "look", "a", 0);
    add_option(w, 0.5, "a/m", 1);
    add_option(w, 0.5, "b/m", 1);
    world_start(w);
    es_serve_wish none = es_serve_wish_default();
    int64_t now_ns = 0;
    for (int failure = 0; failure < 40; failure++) {
        es_chooser_node_failed(w->chooser, 0, now_ns);
        int64_t waited_ns = 0;
        bool tried = false;
        for (; !tried && waited_ns <= 3000 * MS; waited_ns += 10 * MS)
            tried = es_choose(w->chooser, 0, &none, now_ns + waited_ns).option == 0;
        assert_true(tried);
        int64_t wanted_ns = failure < 5 ? (INT64_C(100) << failure) * MS : 2000 * MS;
        assert_in_range(waited_ns, wanted_ns, wanted_ns + 40 * MS);
        now_ns += waited_ns;
    }
    world_end(w);
}

static void another_option_for_another_try(void **state)
{
    (void)state;
    world *w = world_new();
    add_class(w, "look", "a", 0);
    add_option(w, 0.5, "a/m", 1)->quality = 0.9;
    add_option(w, 0.3, "a/n", 1)->quality = 0.8;
    add_option(w, 0.2, "b/m", 1)->quality = 0.7;
    world_start(w);
    es_serve_wish wish = es_serve_wish_default();
    uint32_t tried[3] = {0, 1, 2};
    assert_int_equal(es_choose_again(w->chooser, 0, &wish, tried, 1, true, 0).option, 2);
    assert_int_equal(es_choose_again(w->chooser, 0, &wish, tried, 2, false, 0).option, 2);
    assert_int_equal(es_choose_again(w->chooser, 0, &wish, tried, 3, false, 0).kind,
                     ES_SERVE_CHOICE_NONE);
    wish.quality_min = 0.75;
    assert_int_equal(es_choose_again(w->chooser, 0, &wish, tried, 1, false, 0).option, 1);
    es_serve_choice worse = es_choose_again(w->chooser, 0, &wish, tried, 2, false, 0);
    assert_int_equal(worse.option, 2);
    assert_int_equal(worse.unmet, ES_SERVE_WISH_QUALITY);
    wish.strict = true;
    assert_int_equal(es_choose_again(w->chooser, 0, &wish, tried, 2, false, 0).kind,
                     ES_SERVE_CHOICE_NONE);
    /* Trying again does not count in the shares. */
    wish = es_serve_wish_default();
    uint32_t taken[3] = {0};
    for (int i = 0; i < 100; i++) {
        (void)es_choose_again(w->chooser, 0, &wish, tried, 1, false, 0);
        taken[es_choose(w->chooser, 0, &wish, 0).option]++;
    }
    assert_int_equal(taken[0], 50);
    assert_int_equal(taken[1], 30);
    world_end(w);
}

static void knowledge_survives_a_new_table(void **state)
{
    (void)state;
    es_error err = {0};
    world *old = world_new();
    add_class(old, "look", "a", 0);
    add_option(old, 0.5, "a/m", 1);
    add_option(old, 0.5, "b/m", 1);
    world_start(old);
    es_chooser_node_failed(old->chooser, es_serve_table_node(old->table, "b"), 0);
    for (int i = 0; i < 1000; i++)
        es_chooser_observe(old->chooser, 0, 1, 0.25);
    double seen_s = es_chooser_p95_s(old->chooser, 0, 1);
    world *new = world_new();
    add_class(new, "hear", "a", 1);
    add_class(new, "look", "a", 0);
    add_option(new, 0.5, "b/m", 1);
    add_option(new, 0.5, "c/m", 1);
    assert_ok_err(es_serve_table_new(new->arena, &new->routes, &new->table, &err), err);
    assert_ok_err(es_chooser_new(new->table, old->table, &new->chooser, &err), err);
    es_chooser_adopt(new->chooser, old->chooser);
    assert_true(es_chooser_node_is_down(new->chooser, es_serve_table_node(new->table, "b")));
    assert_true(fabs(es_chooser_p95_s(new->chooser, 1, 0) - seen_s) < 1e-12);
    assert_true(fabs(es_chooser_p95_s(new->chooser, 1, 1) - 3) < 1e-12);
    world_end(old);
    world_end(new);
}

/* ---- quantiles and budgets ---- */

static void learns_the_quantile(void **state)
{
    (void)state;
    world *w = world_new();
    add_class(w, "look", "a", 0);
    add_option(w, 1, "a/m", 1);
    world_start(w);
    es_rng rng = es_rng_make(es_test_seed(1), 0);
    for (int shift = 0; shift < 2; shift++) {
        double mean_s = shift == 0 ? 0.010 : 0.040;
        for (int i = 0; i < 2000; i++)
            es_chooser_observe(w->chooser, 0, 0, es_rng_exponential(&rng, 1 / mean_s));
        double sum = 0;
        for (int i = 0; i < 2000; i++) {
            es_chooser_observe(w->chooser, 0, 0, es_rng_exponential(&rng, 1 / mean_s));
            sum += log(es_chooser_p95_s(w->chooser, 0, 0));
        }
        double got_s = exp(sum / 2000);
        double wanted_s = mean_s * log(20);
        if (fabs(got_s / wanted_s - 1) > 0.1)
            fail_msg("p95 %g s, wanted %g s", got_s, wanted_s);
    }
    world_end(w);
}

/* Any stretch of any history: never more than burst + share * requests + rate * seconds. */
static void budgets_are_never_exceeded(void **state)
{
    (void)state;
    enum { EVENTS = 300 };
    uint64_t seed = es_test_seed(1);
    for (uint64_t round = 0; round < 200; round++) {
        es_rng rng = es_rng_make(seed, round);
        double share = es_rng_double(&rng) / 2;
        double rate = es_rng_below(&rng, 2) == 0 ? 0 : 5 * es_rng_double(&rng);
        double burst = 10 * es_rng_double(&rng);
        es_serve_budget budget = es_serve_budget_make(share, rate, burst, 0);
        double requests[EVENTS + 1] = {0};
        double copies[EVENTS + 1] = {0};
        double at_s[EVENTS + 1] = {0};
        int64_t now_ns = 0;
        for (size_t i = 1; i <= EVENTS; i++) {
            now_ns += (int64_t)es_rng_below(&rng, 50 * MS);
            bool request = es_rng_below(&rng, 2) == 0;
            if (request)
                es_serve_budget_earn(&budget, now_ns);
            bool copy = !request && es_serve_budget_take(&budget, now_ns);
            requests[i] = requests[i - 1] + request;
            copies[i] = copies[i - 1] + copy;
            at_s[i] = es_s_from_ns(now_ns);
        }
        for (size_t from = 0; from < EVENTS; from++)
            for (size_t to = from + 1; to <= EVENTS; to++) {
                double most = burst + share * (requests[to] - requests[from]) +
                              rate * (at_s[to] - at_s[from]);
                if (copies[to] - copies[from] > most + 1e-9)
                    fail_msg("ES_SEED=%llu round %llu: %g copies, budget %g",
                             (unsigned long long)seed, (unsigned long long)round,
                             copies[to] - copies[from], most);
            }
    }
}

static void budgets_are_used(void **state)
{
    (void)state;
    es_serve_budget budget = es_serve_budget_make(0.25, 0, 1, 0);
    int copies = 0;
    for (int i = 0; i < 1000; i++) {
        es_serve_budget_earn(&budget, 0);
        copies += es_serve_budget_take(&budget, 0);
    }
    assert_int_equal(copies, 250);
    budget = es_serve_budget_make(0, 2, 1, 0);
    assert_true(es_serve_budget_take(&budget, 0));
    assert_false(es_serve_budget_take(&budget, 499 * MS));
    assert_true(es_serve_budget_take(&budget, 500 * MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_classes),
        cmocka_unit_test(numbers_nodes),
        cmocka_unit_test(shares_hold_for_every_prefix),
        cmocka_unit_test(shares_hold_where_the_largest_credit_fails),
        cmocka_unit_test(shares_hold_among_what_is_left),
        cmocka_unit_test(wishes_are_met_where_they_can_be),
        cmocka_unit_test(the_nearest_is_the_least_over),
        cmocka_unit_test(goes_round_failed_nodes),
        cmocka_unit_test(waits_at_most_two_seconds),
        cmocka_unit_test(another_option_for_another_try),
        cmocka_unit_test(knowledge_survives_a_new_table),
        cmocka_unit_test(learns_the_quantile),
        cmocka_unit_test(budgets_are_never_exceeded),
        cmocka_unit_test(budgets_are_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
