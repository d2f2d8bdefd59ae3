/*
 * Which option a request takes. Shares are followed by Tijdeman's rule for the chairman assignment
 * problem (Discrete Mathematics 32, 1980, 323-330): with k options of shares p_i, credit c_i =
 * p_i n - taken_i before the n-th is given away; among those with c_i >= 1 / (2k - 2) the one whose
 * credit would first reach 1 - 1 / (2k - 2) gets it. Then |p_i n - taken_i| <= 1 - 1 / (2k - 2)
 * after every n; the largest credit alone would miss by more than one.
 */
#include "choose.h"

#include "base/clock.h"

#include <assert.h>
#include <math.h>

#define BACKOFF_MIN_NS (100 * ES_NS_PER_MS)
#define BACKOFF_MAX_NS (2 * ES_NS_PER_S)
static const double CREDIT_SLACK = 1e-9; /* rounding of credits */
static const double P95_STEP_LAST = 0.05, P95_FIRST_FACTOR = 3, P95_LEAST_S = 1e-6;

typedef struct node_state {
    uint32_t failures; /* since it last answered; of a crowd that fails together, one counts */
    int64_t next_ns;   /* with failures: when the next request may try it */
    bool tried;        /* one does */
} node_state;

typedef struct option_state {
    double p95_s;
    uint32_t seen;
} option_state;

struct es_chooser {
    es_serve_table *table;
    double *credits; /* those of class c, and of refusing, from first_option[c] + c on */
    node_state *nodes;
    option_state *options;
    uint32_t *old_options; /* [option]: its number in the table before; UINT32_MAX: none */
    uint32_t *old_nodes;   /* [node] */
};

es_serve_wish es_serve_wish_default(void)
{
    return (es_serve_wish){.latency_s_max = (double)INFINITY,
                           .energy_j_max = (double)INFINITY,
                           .carbon_g_max = (double)INFINITY};
}

/* ---- life ---- */

static uint32_t option_of_route(const es_serve_class *class, const char *route)
{
    for (uint32_t o = 0; o < class->option_count; o++)
        if (strcmp(class->options[o].route, route) == 0)
            return o;
    return UINT32_MAX;
}

static option_state fresh(const es_serve_option *option)
{
    double p95_s =
        isnan(option->latency_s_p95) ? P95_FIRST_FACTOR * option->latency_s : option->latency_s_p95;
    return (option_state){.p95_s = p95_s > P95_LEAST_S ? p95_s : P95_LEAST_S};
}

static void map_options(es_chooser *chooser, const es_serve_table *before)
{
    const es_serve_table *table = chooser->table;
    for (uint32_t c = 0; c < table->routes->class_count; c++) {
        const es_serve_class *class = &table->routes->classes[c];
        uint32_t old = before == NULL ? ES_SERVE_CLASS_NONE
                                      : es_serve_table_class(before, class->task, class->entry);
        for (uint32_t o = 0; o < class->option_count; o++) {
            uint32_t number = table->first_option[c] + o;
            uint32_t at =
                old == ES_SERVE_CLASS_NONE
                    ? UINT32_MAX
                    : option_of_route(&before->routes->classes[old], class->options[o].route);
            chooser->options[number] = fresh(&class->options[o]);
            chooser->old_options[number] =
                at == UINT32_MAX ? UINT32_MAX : before->first_option[old] + at;
        }
    }
    for (uint32_t v = 0; v < table->node_count; v++)
        chooser->old_nodes[v] =
            before == NULL ? UINT32_MAX : es_serve_table_node(before, table->nodes[v]);
}

static bool allocate(es_chooser *chooser)
{
    const es_serve_table *table = chooser->table;
    size_t options = table->option_count + 1;
    size_t nodes = (size_t)table->node_count + 1;
    chooser->credits = calloc(options + table->routes->class_count, sizeof *chooser->credits);
    chooser->nodes = calloc(nodes, sizeof *chooser->nodes);
    chooser->options = calloc(options, sizeof *chooser->options);
    chooser->old_options = calloc(options, sizeof *chooser->old_options);
    chooser->old_nodes = calloc(nodes, sizeof *chooser->old_nodes);
    return chooser->credits != NULL && chooser->nodes != NULL && chooser->options != NULL &&
           chooser->old_options != NULL && chooser->old_nodes != NULL;
}

es_status es_chooser_new(es_serve_table *table, const es_serve_table *before,
                         es_chooser **out_chooser, es_error *err)
{
    es_chooser *chooser = calloc(1, sizeof *chooser);
    if (chooser == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for a chooser");
    chooser->table = es_serve_table_ref(table);
    if (!allocate(chooser)) {
        es_chooser_free(chooser);
        return es_fail(err, ES_ERR_NOMEM, "no memory for a chooser of %zu options",
                       table->option_count);
    }
    map_options(chooser, before);
    *out_chooser = chooser;
    return ES_OK;
}

void es_chooser_adopt(es_chooser *chooser, const es_chooser *before)
{
    const es_serve_table *table = chooser->table;
    for (size_t o = 0; o < table->option_count; o++)
        if (chooser->old_options[o] != UINT32_MAX)
            chooser->options[o] = before->options[chooser->old_options[o]];
    for (size_t v = 0; v < table->node_count; v++)
        if (chooser->old_nodes[v] != UINT32_MAX)
            chooser->nodes[v] = before->nodes[chooser->old_nodes[v]];
}

void es_chooser_free(es_chooser *chooser)
{
    if (chooser == NULL)
        return;
    es_serve_table_unref(chooser->table);
    free(chooser->credits);
    free(chooser->nodes);
    free(chooser->options);
    free(chooser->old_options);
    free(chooser->old_nodes);
    free(chooser);
}

const es_serve_table *es_chooser_table(const es_chooser *chooser)
{
    return chooser->table;
}

/* ---- what may be taken ---- */

/* The options of one class as one request sees them. */
typedef struct view {
    const es_serve_class *class;
    uint32_t first; /* number of the class's first option over all */
    uint32_t count;
    uint8_t unmet[ES_SERVE_OPTIONS_MAX];
    bool up[ES_SERVE_OPTIONS_MAX];
    bool out[ES_SERVE_OPTIONS_MAX]; /* not to be taken at all */
} view;

static double latency_of(const es_serve_option *option)
{
    return isnan(option->latency_s_p95) ? option->latency_s : option->latency_s_p95;
}

static uint8_t unmet_of(const es_serve_option *option, const es_serve_wish *wish)
{
    unsigned unmet = 0;
    if (latency_of(option) > wish->latency_s_max)
        unmet |= ES_SERVE_WISH_LATENCY;
    if (option->quality < wish->quality_min)
        unmet |= ES_SERVE_WISH_QUALITY;
    if (option->energy_j > wish->energy_j_max)
        unmet |= ES_SERVE_WISH_ENERGY;
    if (option->carbon_gco2e > wish->carbon_g_max)
        unmet |= ES_SERVE_WISH_CARBON;
    return (uint8_t)unmet;
}

static bool is_up(const es_chooser *chooser, uint32_t option, int64_t now_ns)
{
    const es_serve_table *table = chooser->table;
    for (uint32_t k = table->first_stage[option]; k < table->first_stage[option + 1]; k++) {
        const node_state *node = &chooser->nodes[table->stage_nodes[k]];
        if (node->failures > 0 && now_ns < node->next_ns)
            return false;
    }
    return true;
}

static void look(const es_chooser *chooser, uint32_t c, const es_serve_wish *wish, int64_t now_ns,
                 view *out)
{
    const es_serve_table *table = chooser->table;
    assert(c < table->routes->class_count);
    out->class = &table->routes->classes[c];
    out->first = table->first_option[c];
    out->count = (uint32_t)out->class->option_count;
    assert(out->count <= ES_SERVE_OPTIONS_MAX);
    for (uint32_t o = 0; o < out->count; o++) {
        out->unmet[o] = unmet_of(&out->class->options[o], wish);
        out->up[o] = is_up(chooser, out->first + o, now_ns);
        out->out[o] = false;
    }
}

/* How far an option is from the wishes: the sum of what is over, relative to what was wished. */
static double distance(const es_serve_option *option, const es_serve_wish *wish)
{
    const double over[][2] = {{latency_of(option), wish->latency_s_max},
                              {wish->quality_min, option->quality},
                              {option->energy_j, wish->energy_j_max},
                              {option->carbon_gco2e, wish->carbon_g_max}};
    double sum = 0;
    for (size_t i = 0; i < sizeof over / sizeof *over; i++)
        if (over[i][0] > over[i][1])
            sum += (over[i][0] - over[i][1]) / fmax(over[i][1], 1e-12);
    return sum;
}

static uint32_t nearest(const view *v, const es_serve_wish *wish, bool only_up)
{
    uint32_t best = UINT32_MAX;
    double best_distance = 0;
    for (uint32_t o = 0; o < v->count; o++) {
        if (v->out[o] || (only_up && !v->up[o]))
            continue;
        double here = distance(&v->class->options[o], wish);
        if (best == UINT32_MAX || here < best_distance) {
            best = o;
            best_distance = here;
        }
    }
    return best;
}

static int64_t backoff_ns(uint32_t failures)
{
    int64_t wait_ns = BACKOFF_MIN_NS;
    for (uint32_t i = 1; i < failures && wait_ns < BACKOFF_MAX_NS; i++)
        wait_ns *= 2;
    return wait_ns < BACKOFF_MAX_NS ? wait_ns : BACKOFF_MAX_NS;
}

/* One request tries a node that failed; the others wait for what it finds. */
static void send_over(es_chooser *chooser, uint32_t option, int64_t now_ns)
{
    const es_serve_table *table = chooser->table;
    for (uint32_t k = table->first_stage[option]; k < table->first_stage[option + 1]; k++) {
        node_state *node = &chooser->nodes[table->stage_nodes[k]];
        if (node->failures == 0)
            continue;
        node->tried = true;
        node->next_ns = now_ns + backoff_ns(node->failures);
    }
}

static es_serve_choice choice_of(es_chooser *chooser, const view *v, uint32_t o, int64_t now_ns)
{
    send_over(chooser, v->first + o, now_ns);
    return (es_serve_choice){.kind = ES_SERVE_CHOICE_OPTION, .option = o, .unmet = v->unmet[o]};
}

/* ---- shares ---- */

/* Tijdeman's rule over members (share > 0) of count; the credits of the others stay. Returns whose
 * turn it is. */
static uint32_t take_turn(const double *shares, double *credits, uint32_t count, uint32_t members)
{
    double least = members > 1 ? 1.0 / (2.0 * members - 2) : 0;
    uint32_t turn = UINT32_MAX;
    uint32_t richest = UINT32_MAX;
    double soonest = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!(shares[i] > 0))
            continue;
        credits[i] += shares[i];
        if (richest == UINT32_MAX || credits[i] > credits[richest])
            richest = i;
        if (credits[i] < least - CREDIT_SLACK)
            continue;
        double when = (1 - least - credits[i]) / shares[i];
        if (turn == UINT32_MAX || when < soonest) {
            turn = i;
            soonest = when;
        }
    }
    /* Nobody is owed enough only where wishes or failures changed who takes part. */
    turn = turn == UINT32_MAX ? richest : turn;
    credits[turn] -= 1;
    return turn;
}

/* Among the options that are up and meet the wishes, and refusing, which keeps its own share.
 * UINT32_MAX: there is no such option. The count of options: refused. */
static uint32_t follow_shares(es_chooser *chooser, uint32_t c, const view *v)
{
    const es_serve_table *table = chooser->table;
    double shares[ES_SERVE_OPTIONS_MAX + 1];
    double sum = 0;
    uint32_t members = 0;
    for (uint32_t o = 0; o < v->count; o++) {
        bool in = v->up[o] && v->unmet[o] == 0;
        shares[o] = in ? table->shares[v->first + o] : 0;
        sum += shares[o];
        members += in;
    }
    if (members == 0)
        return UINT32_MAX;
    double refused = table->refused_shares[c];
    for (uint32_t o = 0; o < v->count; o++)
        shares[o] *= (1 - refused) / sum;
    shares[v->count] = refused;
    return take_turn(shares, chooser->credits + v->first + c, v->count + 1,
                     members + (refused > 0));
}

/* ---- the choice ---- */

static uint32_t meeting(const view *v)
{
    for (uint32_t o = 0; o < v->count; o++)
        if (!v->out[o] && v->unmet[o] == 0)
            return o;
    return UINT32_MAX;
}

/* What is left when no option is both up and as wished. */
static es_serve_choice make_do(es_chooser *chooser, const view *v, const es_serve_wish *wish,
                               es_serve_choice_kind none, int64_t now_ns)
{
    uint32_t o = wish->strict ? meeting(v) : nearest(v, wish, true);
    if (o == UINT32_MAX && !wish->strict)
        o = nearest(v, wish, false);
    if (o == UINT32_MAX)
        return (es_serve_choice){.kind = none};
    return choice_of(chooser, v, o, now_ns);
}

es_serve_choice es_choose(es_chooser *chooser, uint32_t class_index, const es_serve_wish *wish,
                          int64_t now_ns)
{
    view v;
    look(chooser, class_index, wish, now_ns, &v);
    if (v.count == 0)
        return (es_serve_choice){.kind = ES_SERVE_CHOICE_REFUSED};
    uint32_t o = follow_shares(chooser, class_index, &v);
    if (o == v.count)
        return (es_serve_choice){.kind = ES_SERVE_CHOICE_REFUSED};
    if (o != UINT32_MAX)
        return choice_of(chooser, &v, o, now_ns);
    return make_do(chooser, &v, wish, ES_SERVE_CHOICE_UNMET, now_ns);
}

static void leave_out(const es_chooser *chooser, view *v, uint32_t tried, bool elsewhere)
{
    const es_serve_table *table = chooser->table;
    v->out[tried] = true;
    uint32_t node = table->stage_nodes[table->first_stage[v->first + tried]];
    for (uint32_t o = 0; elsewhere && o < v->count; o++)
        if (table->stage_nodes[table->first_stage[v->first + o]] == node)
            v->out[o] = true;
}

es_serve_choice es_choose_again(es_chooser *chooser, uint32_t class_index,
                                const es_serve_wish *wish, const uint32_t *tried,
                                size_t tried_count, bool elsewhere, int64_t now_ns)
{
    view v;
    look(chooser, class_index, wish, now_ns, &v);
    for (size_t i = 0; i < tried_count; i++) {
        assert(tried[i] < v.count);
        leave_out(chooser, &v, tried[i], elsewhere);
    }
    const double *credits = chooser->credits + v.first + class_index;
    uint32_t best = UINT32_MAX;
    for (uint32_t o = 0; o < v.count; o++)
        if (!v.out[o] && v.up[o] && v.unmet[o] == 0 &&
            (best == UINT32_MAX || credits[o] > credits[best]))
            best = o;
    if (best != UINT32_MAX)
        return choice_of(chooser, &v, best, now_ns);
    return make_do(chooser, &v, wish, ES_SERVE_CHOICE_NONE, now_ns);
}

/* ---- what was seen ---- */

void es_chooser_node_failed(es_chooser *chooser, uint32_t node, int64_t now_ns)
{
    assert(node < chooser->table->node_count);
    node_state *state = &chooser->nodes[node];
    if (state->failures > 0 && !state->tried && now_ns < state->next_ns)
        return;
    state->failures += state->failures < UINT32_MAX;
    state->tried = false;
    state->next_ns = now_ns + backoff_ns(state->failures);
}

void es_chooser_node_answered(es_chooser *chooser, uint32_t node)
{
    assert(node < chooser->table->node_count);
    chooser->nodes[node] = (node_state){0};
}

void es_chooser_option_unknown(es_chooser *chooser, uint32_t class_index, uint32_t option,
                               int64_t now_ns)
{
    const es_serve_table *table = chooser->table;
    uint32_t number = table->first_option[class_index] + option;
    for (uint32_t k = table->first_stage[number]; k < table->first_stage[number + 1]; k++) {
        node_state *node = &chooser->nodes[table->stage_nodes[k]];
        if (node->tried) {
            node->tried = false;
            node->next_ns = now_ns;
        }
    }
}

bool es_chooser_node_is_down(const es_chooser *chooser, uint32_t node)
{
    assert(node < chooser->table->node_count);
    return chooser->nodes[node].failures > 0;
}

/* Stochastic approximation of the quantile on a logarithmic scale (Robbins and Monro): up 0.95 of
 * a step when it was exceeded, down 0.05 of one when not. Steps shrink to a last size, so that it
 * follows what changes. */
void es_chooser_observe(es_chooser *chooser, uint32_t class_index, uint32_t option,
                        double latency_s)
{
    option_state *state = &chooser->options[chooser->table->first_option[class_index] + option];
    state->seen += state->seen < UINT32_MAX;
    double step = fmax(P95_STEP_LAST, 2.0 / (1 + state->seen));
    state->p95_s *= exp(latency_s > state->p95_s ? 0.95 * step : -0.05 * step);
    state->p95_s = fmax(state->p95_s, P95_LEAST_S);
}

double es_chooser_p95_s(const es_chooser *chooser, uint32_t class_index, uint32_t option)
{
    return chooser->options[chooser->table->first_option[class_index] + option].p95_s;
}
