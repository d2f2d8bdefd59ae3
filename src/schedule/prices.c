/* The search for prices of budgets: the dual of an oracle that is exact at given prices. */
#include "schedule/internal.h"

#include <math.h>

enum { ANSWERS_MAX = 200, BISECT_EVERY = 4 };

/* One line (or plane) of the dual function: gain + Σ price (budget - used). */
typedef struct line {
    double prices[ES_BUDGET_COUNT];
    es_answer answer;
} line;

typedef struct search {
    const es_oracle *oracle;
    const double *budget;
    const double *price_max;
    double gap;
    bool bind[ES_BUDGET_COUNT]; /* budgets that are finite and may bind */
    line lines[ANSWERS_MAX];
    uint32_t count;
    double bound; /* least value of the dual function */
    double best[ES_BUDGET_COUNT];
    es_error *err;
} search;

static bool fits(const search *s, const es_answer *answer)
{
    for (int b = 0; b < ES_BUDGET_COUNT; b++)
        if (answer->used[b] > s->budget[b] * (1.0 + 1e-12))
            return false;
    return true;
}

static bool same_prices(const double *a, const double *b)
{
    for (int i = 0; i < ES_BUDGET_COUNT; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

static es_status ask(search *s, const double *prices, line **out_line)
{
    assert(s->count < ANSWERS_MAX);
    line *l = &s->lines[s->count];
    memcpy(l->prices, prices, sizeof l->prices);
    ES_TRY(s->oracle->answer(s->oracle->context, prices, NULL, NULL, &l->answer, s->err));
    s->count++;
    double value = l->answer.gain;
    for (int b = 0; b < ES_BUDGET_COUNT; b++)
        if (prices[b] > 0.0)
            value += prices[b] * (s->budget[b] - l->answer.used[b]);
    if (value < s->bound) {
        s->bound = value;
        memcpy(s->best, prices, sizeof s->best);
    }
    *out_line = l;
    return ES_OK;
}

static void give_one(const search *s, const line *l, es_mix *out)
{
    out->count = 1;
    out->weights[0] = 1.0;
    memcpy(out->prices[0], l->prices, sizeof l->prices);
    out->gain = l->answer.gain;
    out->bound = fmax(s->bound, out->gain);
    memcpy(out->best_prices, s->best, sizeof s->best);
    out->answer_count = s->count;
}

/* Uses exactly the budget: heavy uses more than it, light does not. */
static void give_two(const search *s, int b, const line *heavy, const line *light, es_mix *out)
{
    double range = heavy->answer.used[b] - light->answer.used[b];
    double weight = range > 0.0 ? (s->budget[b] - light->answer.used[b]) / range : 0.0;
    give_one(s, light, out);
    out->count = 2;
    out->weights[0] = 1.0 - weight;
    out->weights[1] = weight;
    memcpy(out->prices[1], heavy->prices, sizeof heavy->prices);
    out->gain = weight * heavy->answer.gain + (1.0 - weight) * light->answer.gain;
    out->bound = fmax(s->bound, out->gain);
}

/* One budget: where the lines of the dearest price that overspends and the cheapest that does not
 * meet. Every few steps the middle, so that one end cannot stand still. */
static es_status search_one(search *s, int b, line *heavy, es_mix *out)
{
    double prices[ES_BUDGET_COUNT] = {0};
    line *light;
    prices[b] = s->price_max[b];
    ES_TRY(ask(s, prices, &light));
    while (s->count < ANSWERS_MAX) {
        give_two(s, b, heavy, light, out);
        if (out->bound - out->gain <= s->gap * fabs(out->bound))
            break;
        double range = heavy->answer.used[b] - light->answer.used[b];
        double low = heavy->prices[b];
        double high = light->prices[b];
        prices[b] = (heavy->answer.gain - light->answer.gain) / range;
        if (s->count % BISECT_EVERY == 0 || !(prices[b] > low && prices[b] < high))
            prices[b] = low + (high - low) / 2;
        if (!(prices[b] > low && prices[b] < high))
            break;
        line *middle;
        ES_TRY(ask(s, prices, &middle));
        *(middle->answer.used[b] <= s->budget[b] ? &light : &heavy) = middle;
    }
    give_two(s, b, heavy, light, out);
    return ES_OK;
}

/* The best convex combination of the lines within the budgets, and prices at which it is. */
static es_status solve_master(search *s, double *prices, es_mix *out)
{
    uint32_t rows = 0;
    int row_budget[ES_BUDGET_COUNT];
    for (int b = 0; b < ES_BUDGET_COUNT; b++)
        if (s->bind[b])
            row_budget[rows++] = b;
    double gain[ANSWERS_MAX], lower[ANSWERS_MAX], upper[ANSWERS_MAX];
    double row_lower[ES_MIX_MAX], row_upper[ES_MIX_MAX];
    es_lp_term terms[ANSWERS_MAX * ES_MIX_MAX];
    size_t term_count = 0;
    double gain_size = 1e-300;
    for (uint32_t i = 0; i < s->count; i++)
        gain_size = fmax(gain_size, s->lines[i].answer.gain);
    for (uint32_t i = 0; i < s->count; i++) {
        gain[i] = s->lines[i].answer.gain / gain_size;
        lower[i] = 0.0;
        upper[i] = (double)INFINITY;
        for (uint32_t k = 0; k < rows; k++) {
            double size = fmax(s->budget[row_budget[k]], 1e-300);
            double used = s->lines[i].answer.used[row_budget[k]] / size;
            terms[term_count++] = (es_lp_term){k, i, used};
        }
        terms[term_count++] = (es_lp_term){rows, i, 1.0};
    }
    for (uint32_t k = 0; k < rows; k++) {
        row_lower[k] = -(double)INFINITY;
        row_upper[k] = s->budget[row_budget[k]] > 0.0 ? 1.0 : 0.0;
    }
    row_lower[rows] = row_upper[rows] = 1.0;
    es_lp_spec spec = {.row_count = rows + 1,
                       .col_count = s->count,
                       .gain = gain,
                       .lower = lower,
                       .upper = upper,
                       .row_lower = row_lower,
                       .row_upper = row_upper,
                       .term_count = term_count,
                       .terms = terms};
    ES_CLEANUP(es_lp_free_p) es_lp *lp = NULL;
    ES_TRY(es_lp_new(&spec, &lp, s->err));
    if (es_lp_solve(lp, 60.0) != ES_LP_OPTIMAL)
        return es_fail(s->err, ES_ERR_INTERNAL, "schedule: the master program has no answer");
    for (uint32_t k = 0; k < rows; k++)
        prices[row_budget[k]] =
            fmax(es_lp_prices(lp)[k], 0.0) * gain_size / fmax(s->budget[row_budget[k]], 1e-300);
    out->count = 0;
    double total = 0.0;
    for (uint32_t i = 0; i < s->count; i++) {
        double weight = es_lp_values(lp)[i];
        if (weight <= 1e-12 || out->count == ES_MIX_MAX)
            continue;
        out->weights[out->count] = weight;
        memcpy(out->prices[out->count++], s->lines[i].prices, sizeof s->lines[i].prices);
        total += weight;
    }
    out->gain = 0.0;
    for (uint32_t i = 0, k = 0; i < s->count && k < out->count; i++)
        if (same_prices(out->prices[k], s->lines[i].prices)) {
            out->weights[k] /= total;
            out->gain += out->weights[k++] * s->lines[i].answer.gain;
        }
    return ES_OK;
}

/* Several budgets: cutting planes. The last answer is at prices where nothing is used, so the
 * master always has one. */
static es_status search_many(search *s, es_mix *out)
{
    double prices[ES_BUDGET_COUNT] = {0};
    line *added;
    for (int b = 0; b < ES_BUDGET_COUNT; b++)
        prices[b] = s->bind[b] ? s->price_max[b] : 0.0;
    ES_TRY(ask(s, prices, &added));
    while (s->count < ANSWERS_MAX) {
        ES_TRY(solve_master(s, prices, out));
        out->bound = fmax(s->bound, out->gain);
        if (out->bound - out->gain <= s->gap * fabs(out->bound))
            break;
        bool known = false;
        for (uint32_t i = 0; i < s->count; i++)
            known = known || same_prices(s->lines[i].prices, prices);
        if (known)
            break;
        /* Every other step halfway to the best prices so far: steadier than the corners. */
        if (s->count % 2 == 0)
            for (int b = 0; b < ES_BUDGET_COUNT; b++)
                prices[b] = (prices[b] + s->best[b]) / 2;
        ES_TRY(ask(s, prices, &added));
    }
    ES_TRY(solve_master(s, prices, out));
    out->bound = fmax(s->bound, out->gain);
    memcpy(out->best_prices, s->best, sizeof s->best);
    out->answer_count = s->count;
    return ES_OK;
}

es_status es_prices_search(const es_oracle *oracle, const double *budget, const double *price_max,
                           double gap_relative, es_mix *out_mix, es_error *err)
{
    search s = {.oracle = oracle,
                .budget = budget,
                .price_max = price_max,
                .gap = gap_relative,
                .bound = (double)INFINITY,
                .err = err};
    const double zero[ES_BUDGET_COUNT] = {0};
    line *free_line;
    ES_TRY(ask(&s, zero, &free_line));
    if (fits(&s, &free_line->answer)) {
        give_one(&s, free_line, out_mix);
        return ES_OK;
    }
    uint32_t binding = 0;
    int last = 0;
    uint32_t finite = 0;
    for (int b = 0; b < ES_BUDGET_COUNT; b++) {
        s.bind[b] = isfinite(budget[b]) && price_max[b] > 0.0;
        finite += s.bind[b] ? 1 : 0;
        if (s.bind[b] && free_line->answer.used[b] > budget[b]) {
            binding++;
            last = b;
        }
    }
    /* Budgets kept without a price may still break once another has one. */
    if (finite > 1 && binding == 1) {
        ES_TRY(search_one(&s, last, free_line, out_mix));
        bool all = true;
        for (uint32_t i = 0; i < out_mix->count; i++)
            for (uint32_t k = 0; k < s.count; k++)
                if (same_prices(s.lines[k].prices, out_mix->prices[i]))
                    for (int b = 0; b < ES_BUDGET_COUNT; b++)
                        all = all && (b == last || s.lines[k].answer.used[b] <= budget[b]);
        return all || s.count >= ANSWERS_MAX - 1 ? ES_OK : search_many(&s, out_mix);
    }
    return finite > 1 ? search_many(&s, out_mix) : search_one(&s, last, free_line, out_mix);
}

es_status es_mix_expand(es_arena *scratch, const es_oracle *oracle, const es_mix *mix,
                        uint32_t task_count, uint32_t cell_count, double *work, double *busy_s,
                        es_error *err)
{
    double *part_work = ES_TAKE_ARRAY(scratch, double, task_count);
    double *part_busy = ES_TAKE_ARRAY(scratch, double, cell_count);
    if (part_work == NULL || part_busy == NULL)
        return es_arena_full(scratch, "combination", err);
    memset(work, 0, task_count * sizeof *work);
    memset(busy_s, 0, cell_count * sizeof *busy_s);
    for (uint32_t i = 0; i < mix->count; i++) {
        es_answer answer;
        ES_TRY(oracle->answer(oracle->context, mix->prices[i], part_work, part_busy, &answer, err));
        for (uint32_t j = 0; j < task_count; j++)
            work[j] += mix->weights[i] * part_work[j];
        for (uint32_t c = 0; c < cell_count; c++)
            busy_s[c] += mix->weights[i] * part_busy[c];
    }
    return ES_OK;
}
