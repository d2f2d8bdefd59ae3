/* Mirror ascent by the size-weighted negative entropy, and dependent rounding coupled over slots.
 */
#include "online/ascent.h"

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
            if (used[i] && !idn->items[i].pinned &&
                idn->items[i].size_bytes <= es_idn_free_bytes(idn, v) * (1 + 1e-12))
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
    ES_TRY(es_online_take(arena, count, sizeof *ascent.copies, &ascent.copies, err));
    ES_TRY(es_online_take(arena, count, sizeof *ascent.weight, &ascent.weight, err));
    ES_TRY(es_online_take(arena, idn->node_count, sizeof *ascent.budget, &ascent.budget, err));
    ES_TRY(es_online_take(arena, idn->item_count, sizeof *ascent.hosted, &ascent.hosted, err));
    ES_TRY(es_online_take(arena, idn->item_count, sizeof *ascent.gradient, &ascent.gradient, err));
    es_idn_pinned(idn, ascent.hosted);
    for (uint32_t a = 0; a < count; a++) {
        const es_idn_item *item = &idn->items[ascent.list[a]];
        double room = es_idn_free_bytes(idn, item->node) * (1 + 1e-12);
        ascent.copies[a] = es_least(item->copies, floor(room / item->size_bytes));
        ascent.size[a] = item->size_bytes;
        ascent.weight[a] = item->size_bytes * ascent.copies[a];
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
        ascent->hosted[ascent->list[a]] = ascent->y[a] * ascent->copies[a];
}

/* y exp(eta g / s), scaled so that the largest exponent of the node is 0: the projection does not
 * mind the scale, and nothing overflows. */
static void dual_step(const es_ascent *ascent, uint32_t from, uint32_t to, double eta)
{
    double largest = 0;
    for (uint32_t a = from; a < to; a++)
        largest = es_most(largest, ascent->gradient[ascent->list[a]] / ascent->size[a]);
    double rest = exp(-eta * largest);
    for (uint32_t a = from; a < to; a++) {
        double slope = ascent->gradient[ascent->list[a]] / ascent->size[a];
        double factor = slope > 0 ? exp(eta * (slope - largest)) : rest;
        ascent->h[a] = es_most(ascent->y[a] * factor, 1e-30);
    }
}

void es_ascent_climb(es_ascent *ascent)
{
    const es_idn *idn = ascent->idn;
    for (uint32_t a = 0; a < ascent->first[idn->node_count]; a++)
        ascent->theta = es_most(ascent->theta, ascent->gradient[ascent->list[a]] / ascent->size[a]);
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
            ascent->y[a] = es_most(ascent->y[a], ES_ONLINE_FLOOR);
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
    ES_TRY(es_online_take(arena, count + idn->node_count, sizeof *rounder.uniform, &rounder.uniform,
                          err));
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

void es_rounder_draw(es_rounder *rounder, const double *fraction, es_round_opts opts, uint32_t from,
                     uint32_t step, uint32_t *hosted)
{
    const es_ascent *ascent = rounder->ascent;
    const es_idn *idn = ascent->idn;
    for (uint32_t v = from; v < idn->node_count; v += step) {
        uint32_t first = ascent->first[v];
        uint32_t end = ascent->first[v + 1];
        for (uint32_t i = idn->node_first[v]; i < idn->node_first[v + 1]; i++)
            hosted[i] = idn->items[i].pinned ? idn->items[i].copies : 0;
        for (uint32_t a = first; a < end; a++)
            rounder->u[a] = fraction[ascent->list[a]];
        es_online_round(&rounder->u[first], &ascent->size[first], &rounder->order[first],
                        &rounder->uniform[first + v], end - first, ascent->budget[v], opts,
                        &rounder->scratch[first], &rounder->copies[first]);
        for (uint32_t a = first; a < end; a++)
            hosted[ascent->list[a]] = rounder->copies[a];
    }
}
