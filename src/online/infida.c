/* The policy: ascents with several steps side by side, weighed by AdaHedge (a mix of feasible
 * states is feasible, and the mix loses little against the best step); then rounding and repair. */
#include "online/ascent.h"
#include "online/repair.h"

enum { STEP, DECAY, REFRESH, STRETCH, REPAIR, SMOOTH, MOVE, EVERY, KEY_COUNT };
enum { STEPS_MAX = 3 };
static const double steps[STEPS_MAX] = {0.75, 6, 48}; /* when none is given */

typedef struct memory {
    const es_idn *idn;
    uint32_t ascent_count;
    es_ascent ascents[STEPS_MAX];
    es_learner *learner; /* of the steps */
    double *fraction;    /* [item] their mix */
    es_rounder rounder;
    es_idn_load load;     /* of the last slot */
    es_idn_load smoothed; /* what repair looks at */
    double *mean;         /* [type] */
    es_repair *repair;    /* NULL: plain rounding */
    double *whole;        /* [item] */
    uint32_t *proposal;   /* [item] */
    double keys[KEY_COUNT];
    double move_bytes;   /* per slot */
    double credit_bytes; /* not yet moved, at most credit_max */
    double credit_max;
    double next_refresh; /* slot */
} memory;

static const double *fraction(const void *given)
{
    const memory *own = given;
    return own->fraction;
}

static void mix(memory *own)
{
    (void)es_learner_choose(own->learner, NULL);
    const double *shares = es_learner_probabilities(own->learner);
    for (uint32_t i = 0; i < own->idn->item_count; i++) {
        own->fraction[i] = 0;
        for (uint32_t a = 0; a < own->ascent_count; a++)
            own->fraction[i] += shares[a] * own->ascents[a].hosted[i];
    }
}

static void climb(memory *own, const es_observation *last)
{
    double losses[STEPS_MAX];
    es_idn_load_set(&own->load, last->requests);
    for (uint32_t a = 0; a < own->ascent_count; a++) {
        losses[a] = es_idn_gradient(&own->load, own->ascents[a].hosted, own->ascents[a].gradient);
        es_ascent_climb(&own->ascents[a]);
    }
    es_learner_learn(own->learner, losses, NULL);
    mix(own);
}

static void smooth(memory *own, const es_observation *last)
{
    double keep = last->slot == 0 ? 0 : own->keys[SMOOTH] / (own->keys[SMOOTH] + 1);
    for (uint32_t t = 0; t < own->idn->type_count; t++)
        own->mean[t] = keep * own->mean[t] + (1 - keep) * last->requests[t];
    es_idn_load_set(&own->smoothed, own->mean);
}

/* A part of the nodes each slot; all of them when that is slot 1. */
static void repair(memory *own, uint32_t slot, uint32_t *hosted)
{
    own->credit_bytes = es_least(own->credit_bytes + own->move_bytes, own->credit_max);
    uint32_t every = slot > 1 ? (uint32_t)own->keys[EVERY] : 1;
    es_rounder_draw(&own->rounder, own->fraction, (es_round_opts){0}, slot % every, every,
                    own->proposal);
    for (uint32_t i = 0; i < own->idn->item_count; i++)
        own->whole[i] = hosted[i];
    own->credit_bytes -= es_repair_run(own->repair, &own->smoothed, own->whole, own->proposal,
                                       slot % every, every, 1e-6, own->credit_bytes);
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
        climb(own, last);
        if (own->repair != NULL)
            smooth(own, last);
    }
    if (slot < own->next_refresh)
        return ES_OK;
    own->next_refresh = slot + period(own, slot);
    if (own->repair != NULL && last != NULL)
        repair(own, slot, hosted);
    else
        es_rounder_draw(&own->rounder, own->fraction, (es_round_opts){0}, 0, 1, hosted);
    return ES_OK;
}

static es_status prepare_repair(const es_policy_given *given, memory *own, es_error *err)
{
    const es_idn *idn = given->idn;
    es_arena *arena = given->arena;
    ES_TRY(es_idn_load_new(arena, idn, &own->smoothed, err));
    ES_TRY(es_repair_new(arena, idn, &own->repair, err));
    ES_TRY(es_online_take(arena, idn->type_count, sizeof *own->mean, &own->mean, err));
    ES_TRY(es_online_take(arena, idn->item_count, sizeof *own->whole, &own->whole, err));
    ES_TRY(es_online_take(arena, idn->item_count, sizeof *own->proposal, &own->proposal, err));
    for (uint32_t v = 0; v < idn->node_count; v++)
        if (isfinite(idn->budget_bytes[v]))
            own->move_bytes += own->keys[MOVE] * es_idn_free_bytes(idn, v);
    own->credit_max = own->move_bytes; /* but a single item must be able to move */
    for (uint32_t i = 0; i < idn->item_count; i++)
        if (!idn->items[i].pinned)
            own->credit_max = es_most(own->credit_max, idn->items[i].size_bytes);
    return ES_OK;
}

static es_status prepare(const es_policy_given *given, memory *own, es_error *err)
{
    const es_idn *idn = given->idn;
    es_arena *arena = given->arena;
    bool given_step = own->keys[STEP] > 0;
    own->ascent_count = given_step ? 1 : STEPS_MAX;
    for (uint32_t a = 0; a < own->ascent_count; a++)
        ES_TRY(es_ascent_new(arena, idn, given_step ? own->keys[STEP] : steps[a], own->keys[DECAY],
                             &own->ascents[a], err));
    es_learner_opts opts = es_learner_opts_default(ES_LEARNER_ADAHEDGE, own->ascent_count);
    ES_TRY(es_learner_new(arena, opts, &own->learner, err));
    ES_TRY(es_online_take(arena, idn->item_count, sizeof *own->fraction, &own->fraction, err));
    ES_TRY(es_rounder_new(arena, &own->ascents[0], given->seed, &own->rounder, err));
    ES_TRY(es_idn_load_new(arena, idn, &own->load, err));
    mix(own);
    return own->keys[REPAIR] > 0 ? prepare_repair(given, own, err) : ES_OK;
}

es_status es_policy_infida(const es_policy_given *given, const char *options, es_policy *out_policy,
                           es_error *err)
{
    es_policy_key keys[KEY_COUNT] = {
        [STEP] = {"step", 0, 0, 1e6},       [DECAY] = {"decay", 0, 0, 1},
        [REFRESH] = {"refresh", 1, 1, 1e6}, [STRETCH] = {"stretch", 0, 0, 1e9},
        [REPAIR] = {"repair", 1, 0, 1},     [SMOOTH] = {"smooth", 1, 0, 1e6},
        [MOVE] = {"move", 0.12, 0, 1},      [EVERY] = {"every", 8, 1, 1e6},
    };
    memory *own = NULL;
    ES_TRY(es_policy_keys("infida", options, keys, KEY_COUNT, err));
    ES_TRY(es_online_take(given->arena, 1, sizeof *own, &own, err));
    own->idn = given->idn;
    for (size_t i = 0; i < KEY_COUNT; i++)
        own->keys[i] = keys[i].value;
    ES_TRY(prepare(given, own, err));
    *out_policy =
        (es_policy){.name = "infida", .memory = own, .decide = decide, .fraction = fraction};
    return ES_OK;
}
