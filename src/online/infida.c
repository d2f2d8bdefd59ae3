#include "online/ascent.h"
#include "online/repair.h"

/* ---- mirror ascent: the fractional state ---- */

static es_status list_free_items(es_arena *arena, es_ascent *ascent, es_error *err)
{
    const es_idn *idn = ascent->idn;
    bool *used = NULL;
    ES_TRY(es_online_take(arena, idn->item_count, sizeof *used, &used, err));
    ES_TRY(es_online_take(arena, idn->item_count, sizeof *ascent->list, &ascent->list, err));
    ES_TRY(es_online_take(arena, idn->node_count + 1, sizeof *ascent->first, &ascent->first, err));
    for (uint32_t k = 0; k < idn->type_first[idn->type_count]; k++)
        for (uint32_t i = 0; i < idn->options[k].item_count; i++)
            used[idn->options[k].items[i]] = true;
    uint32_t count = 0;
    for (uint32_t v = 0; v < idn->node_count; v++) {
        ascent->first[v] = count;
        for (uint32_t i = idn->node_first[v]; i < idn->node_first[v + 1]; i++)
            if (used[i] && !idn->items[i].pinned)
                ascent->list[count++] = i;
    }
    ascent->first[idn->node_count] = count;
    return ES_OK;
}

es_status es_ascent_new(es_arena *arena, const es_idn *idn, double step, double decay,
                        es_ascent *out_ascent, es_error *err)
{
    es_ascent ascent = {.idn = idn, .step = step, .decay = decay};
    ES_TRY(list_free_items(arena, &ascent, err));
    uint32_t count = ascent.first[idn->node_count];
    ES_TRY(es_online_take(arena, count, sizeof *ascent.y, &ascent.y, err));
    ES_TRY(es_online_take(arena, count, sizeof *ascent.h, &ascent.h, err));
    ES_TRY(es_online_take(arena, count, sizeof *ascent.size, &ascent.size, err));
    ES_TRY(es_online_take(arena, count, sizeof *ascent.weight, &ascent.weight, err));
    ES_TRY(es_online_take(arena, idn->node_count, sizeof *ascent.budget, &ascent.budget, err));
    ES_TRY(es_online_take(arena, idn->item_count, sizeof *ascent.hosted, &ascent.hosted, err));
    ES_TRY(es_online_take(arena, idn->item_count, sizeof *ascent.gradient, &ascent.gradient, err));
    es_idn_pinned(idn, ascent.hosted);
    for (uint32_t a = 0; a < count; a++) {
        const es_idn_item *item = &idn->items[ascent.list[a]];
        ascent.size[a] = item->size_bytes;
        ascent.weight[a] = item->size_bytes * item->copies;
        ascent.h[a] = 1;
    }
    for (uint32_t v = 0; v < idn->node_count; v++) {
        uint32_t from = ascent.first[v];
        ascent.budget[v] = es_idn_free_bytes(idn, v);
        es_online_project(&ascent.h[from], &ascent.weight[from], ascent.first[v + 1] - from,
                          ascent.budget[v], &ascent.y[from]);
    }
    *out_ascent = ascent;
    es_ascent_spread(out_ascent);
    return ES_OK;
}

void es_ascent_spread(es_ascent *ascent)
{
    const es_idn *idn = ascent->idn;
    for (uint32_t a = 0; a < ascent->first[idn->node_count]; a++)
        ascent->hosted[ascent->list[a]] = ascent->y[a] * idn->items[ascent->list[a]].copies;
}

/* y exp(eta g / s), scaled so that the largest exponent of the node is 0: the projection does not
 * mind the scale, and nothing overflows. */
static void dual_step(const es_ascent *ascent, uint32_t from, uint32_t to, double eta)
{
    double largest = 0;
    for (uint32_t a = from; a < to; a++)
        largest = fmax(largest, ascent->gradient[ascent->list[a]] / ascent->size[a]);
    double rest = exp(-eta * largest);
    for (uint32_t a = from; a < to; a++) {
        double slope = ascent->gradient[ascent->list[a]] / ascent->size[a];
        double factor = slope > 0 ? exp(eta * (slope - largest)) : rest;
        ascent->h[a] = fmax(ascent->y[a] * factor, 1e-30);
    }
}

void es_ascent_climb(es_ascent *ascent)
{
    const es_idn *idn = ascent->idn;
    for (uint32_t a = 0; a < ascent->first[idn->node_count]; a++)
        ascent->theta =
            fmax(ascent->theta, ascent->gradient[ascent->list[a]] / ascent->size[a]);
    ascent->steps++;
    if (ascent->theta <= 0)
        return;
    double eta = ascent->step / ascent->theta;
    if (ascent->decay > 0)
        eta *= pow((double)ascent->steps, -ascent->decay);
    for (uint32_t v = 0; v < idn->node_count; v++) {
        uint32_t from = ascent->first[v];
        uint32_t to = ascent->first[v + 1];
        dual_step(ascent, from, to, eta);
        es_online_project(&ascent->h[from], &ascent->weight[from], to - from, ascent->budget[v],
                          &ascent->y[from]);
        for (uint32_t a = from; a < to; a++)
            ascent->y[a] = fmax(ascent->y[a], ES_ONLINE_FLOOR);
    }
    es_ascent_spread(ascent);
}

/* ---- coupled rounding ---- */

es_status es_rounder_new(es_arena *arena, const es_ascent *ascent, uint64_t seed,
                         es_rounder *out_rounder, es_error *err)
{
    es_rounder rounder = {.ascent = ascent};
    const es_idn *idn = ascent->idn;
    uint32_t count = ascent->first[idn->node_count];
    ES_TRY(es_online_take(arena, count, sizeof *rounder.order, &rounder.order, err));
    ES_TRY(es_online_take(arena, count + idn->node_count, sizeof *rounder.uniform,
                          &rounder.uniform, err));
    ES_TRY(es_online_take(arena, count, sizeof *rounder.u, &rounder.u, err));
    ES_TRY(es_online_take(arena, count, sizeof *rounder.scratch, &rounder.scratch, err));
    ES_TRY(es_online_take(arena, count, sizeof *rounder.copies, &rounder.copies, err));
    for (uint32_t v = 0; v < idn->node_count; v++) {
        uint32_t from = ascent->first[v];
        uint32_t size = ascent->first[v + 1] - from;
        es_rng rng = es_rng_make(seed, v);
        for (uint32_t i = 0; i < size; i++) {
            uint32_t j = (uint32_t)es_rng_below(&rng, i + 1);
            rounder.order[from + i] = rounder.order[from + j];
            rounder.order[from + j] = i;
        }
        for (uint32_t i = 0; i <= size; i++)
            rounder.uniform[from + v + i] = es_rng_double(&rng);
    }
    *out_rounder = rounder;
    return ES_OK;
}

void es_rounder_draw(es_rounder *rounder, es_round_opts opts, uint32_t *hosted)
{
    const es_ascent *ascent = rounder->ascent;
    const es_idn *idn = ascent->idn;
    for (uint32_t a = 0; a < ascent->first[idn->node_count]; a++)
        rounder->u[a] = ascent->hosted[ascent->list[a]];
    memset(hosted, 0, idn->item_count * sizeof *hosted);
    for (uint32_t v = 0; v < idn->node_count; v++) {
        uint32_t from = ascent->first[v];
        es_online_round(&rounder->u[from], &ascent->size[from], &rounder->order[from],
                        &rounder->uniform[from + v], ascent->first[v + 1] - from,
                        ascent->budget[v], opts, &rounder->scratch[from],
                        &rounder->copies[from]);
        for (uint32_t a = from; a < ascent->first[v + 1]; a++)
            hosted[ascent->list[a]] = rounder->copies[a];
    }
    for (uint32_t i = 0; i < idn->item_count; i++)
        if (idn->items[i].pinned)
            hosted[i] = idn->items[i].copies;
}

/* ---- the policy ---- */

enum { STEP, DECAY, REFRESH, STRETCH, REPAIR, SMOOTH, MOVE, EVERY, KEY_COUNT };

typedef struct memory {
    const es_idn *idn;
    es_ascent ascent;
    es_rounder rounder;
    es_idn_load load;     /* of the last slot */
    es_idn_load smoothed; /* what repair looks at */
    double *mean;         /* [type] */
    es_repair *repair;    /* NULL: plain rounding */
    double *whole;        /* [item] */
    uint32_t *proposal;   /* [item] */
    double keys[KEY_COUNT];
    double move_bytes;
    double next_refresh; /* slot */
} memory;

static const double *fraction(const void *given)
{
    const memory *own = given;
    return own->ascent.hosted;
}

static void smooth(memory *own, const es_observation *last)
{
    double keep = last->slot == 0 ? 0 : own->keys[SMOOTH] / (own->keys[SMOOTH] + 1);
    for (uint32_t t = 0; t < own->idn->type_count; t++)
        own->mean[t] = keep * own->mean[t] + (1 - keep) * last->requests[t];
    es_idn_load_set(&own->smoothed, own->mean);
}

static void repair(memory *own, uint32_t slot, uint32_t *hosted)
{
    uint32_t every = (uint32_t)own->keys[EVERY];
    for (uint32_t i = 0; i < own->idn->item_count; i++)
        own->whole[i] = hosted[i];
    (void)es_repair_run(own->repair, &own->smoothed, own->whole, own->proposal, slot % every, every,
                        1e-6, own->move_bytes);
    for (uint32_t i = 0; i < own->idn->item_count; i++)
        hosted[i] = (uint32_t)(own->whole[i] + 0.5);
}

/* Period now: from 1 slot to the target over the stretch. */
static double period(const memory *own, uint32_t slot)
{
    double stretch = own->keys[STRETCH];
    double share = stretch > 0 ? fmin(slot / stretch, 1) : 1;
    return floor(1 + share * (own->keys[REFRESH] - 1));
}

static es_status decide(void *given, uint32_t slot, const es_observation *last, uint32_t *hosted,
                        es_error *err)
{
    memory *own = given;
    (void)err;
    if (last != NULL) {
        es_idn_load_set(&own->load, last->requests);
        (void)es_idn_gradient(&own->load, own->ascent.hosted, own->ascent.gradient);
        es_ascent_climb(&own->ascent);
        if (own->repair != NULL)
            smooth(own, last);
    }
    if (slot < own->next_refresh)
        return ES_OK;
    own->next_refresh = slot + period(own, slot);
    bool repaired = own->repair != NULL && last != NULL;
    es_rounder_draw(&own->rounder, (es_round_opts){0}, repaired ? own->proposal : hosted);
    if (repaired)
        repair(own, slot, hosted);
    return ES_OK;
}

static es_status prepare(const es_policy_given *given, memory *own, es_error *err)
{
    const es_idn *idn = given->idn;
    es_arena *arena = given->arena;
    ES_TRY(es_ascent_new(arena, idn, own->keys[STEP], own->keys[DECAY], &own->ascent, err));
    ES_TRY(es_rounder_new(arena, &own->ascent, given->seed, &own->rounder, err));
    ES_TRY(es_idn_load_new(arena, idn, &own->load, err));
    if (own->keys[REPAIR] <= 0)
        return ES_OK;
    ES_TRY(es_idn_load_new(arena, idn, &own->smoothed, err));
    ES_TRY(es_repair_new(arena, idn, &own->repair, err));
    ES_TRY(es_online_take(arena, idn->type_count, sizeof *own->mean, &own->mean, err));
    ES_TRY(es_online_take(arena, idn->item_count, sizeof *own->whole, &own->whole, err));
    ES_TRY(es_online_take(arena, idn->item_count, sizeof *own->proposal, &own->proposal, err));
    for (uint32_t v = 0; v < idn->node_count; v++)
        if (isfinite(idn->budget_bytes[v]))
            own->move_bytes += own->keys[MOVE] * own->ascent.budget[v];
    return ES_OK;
}

es_status es_policy_infida(const es_policy_given *given, const char *options,
                           es_policy *out_policy, es_error *err)
{
    es_policy_key keys[KEY_COUNT] = {
        [STEP] = {"step", 6, 1e-6, 1e6},    [DECAY] = {"decay", 0, 0, 1},
        [REFRESH] = {"refresh", 1, 1, 1e6}, [STRETCH] = {"stretch", 0, 0, 1e9},
        [REPAIR] = {"repair", 1, 0, 1},     [SMOOTH] = {"smooth", 1, 0, 1e6},
        [MOVE] = {"move", 0.12, 0, 1},      [EVERY] = {"every", 4, 1, 1e6},
    };
    memory *own = NULL;
    ES_TRY(es_policy_keys("infida", options, keys, KEY_COUNT, err));
    ES_TRY(es_online_take(given->arena, 1, sizeof *own, &own, err));
    own->idn = given->idn;
    for (size_t i = 0; i < KEY_COUNT; i++)
        own->keys[i] = keys[i].value;
    ES_TRY(prepare(given, own, err));
    *out_policy = (es_policy){
        .name = "infida", .memory = own, .decide = decide, .fraction = fraction};
    return ES_OK;
}
