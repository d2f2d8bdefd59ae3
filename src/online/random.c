/* Small random networks for property tests. */
#include "online/internal.h"

enum { NODES_MAX = 4, MODELS_MAX = 5, TYPES_MAX = 4, OPTIONS_MAX = 10 };

static const char *const words[] = {"a", "b", "c", "d", "e"};
static const es_tier tier_words[] = {ES_TIER_DEVICE, ES_TIER_EDGE, ES_TIER_NETWORK, ES_TIER_CLOUD};

/* One item on each node for each model; a few are pinned. */
static es_status fill_items(es_arena *arena, es_rng *rng, es_idn *idn, es_error *err)
{
    es_idn_item *items = NULL;
    double *budgets = NULL;
    ES_TRY(es_online_take(arena, idn->item_count, sizeof *items, &items, err));
    ES_TRY(es_online_take(arena, idn->node_count, sizeof *budgets, &budgets, err));
    for (uint32_t i = 0; i < idn->item_count; i++) {
        uint32_t node = i / idn->model_count;
        items[i] = (es_idn_item){.node = node,
                                 .model = i % idn->model_count,
                                 .copies = 1 + (uint32_t)es_rng_below(rng, 3),
                                 .pinned = es_rng_below(rng, 6) == 0,
                                 .size_bytes = 1 + (double)es_rng_below(rng, 9)};
        budgets[node] +=
            items[i].copies * items[i].size_bytes * (items[i].pinned ? 1 : es_rng_double(rng));
    }
    idn->items = items;
    idn->budget_bytes = budgets;
    return ES_OK;
}

static es_idn_option draw_option(es_rng *rng, const es_idn *idn)
{
    es_idn_option option = {.cost = (double)es_rng_below(rng, 20),
                            .capacity = 20 * es_rng_double(rng),
                            .hop = (uint32_t)es_rng_below(rng, 3),
                            .group = es_rng_below(rng, 3) == 0
                                         ? ES_INDEX_NONE
                                         : (uint32_t)es_rng_below(rng, idn->group_count),
                            .item_count = es_rng_below(rng, 5) == 0 ? 2 : 1,
                            .pipeline = {ES_INDEX_NONE}};
    for (uint32_t i = 0; i < option.item_count; i++)
        option.items[i] = (uint32_t)es_rng_below(rng, idn->item_count);
    option.latency_s = option.cost / 1000;
    option.quality = es_rng_double(rng);
    return option;
}

es_status es_idn_random(es_arena *arena, uint64_t seed, const es_idn **out_idn, es_error *err)
{
    es_rng rng = es_rng_make(seed, 0);
    es_idn idn = {.name = "random", .cost_unit = "cost", .slot_s = 1, .node_names = words};
    idn.node_count = 1 + (uint32_t)es_rng_below(&rng, NODES_MAX);
    idn.model_count = 1 + (uint32_t)es_rng_below(&rng, MODELS_MAX);
    idn.type_count = 1 + (uint32_t)es_rng_below(&rng, TYPES_MAX);
    idn.group_count = 1 + (uint32_t)es_rng_below(&rng, 4);
    idn.item_count = idn.node_count * idn.model_count;
    idn.model_names = words;
    idn.type_names = words;
    idn.tiers = tier_words;
    es_idn_option *options = NULL;
    uint32_t *first = NULL;
    ES_TRY(fill_items(arena, &rng, &idn, err));
    ES_TRY(es_online_take(arena, (size_t)TYPES_MAX * OPTIONS_MAX, sizeof *options, &options, err));
    ES_TRY(es_online_take(arena, TYPES_MAX + 1, sizeof *first, &first, err));
    uint32_t count = 0;
    for (uint32_t t = 0; t < idn.type_count; t++) {
        uint32_t size = (uint32_t)es_rng_below(&rng, OPTIONS_MAX);
        for (uint32_t k = 0; k < size; k++)
            options[count++] = draw_option(&rng, &idn);
        options[count++] = (es_idn_option){.cost = 20,
                                           .capacity = (double)INFINITY,
                                           .group = ES_INDEX_NONE,
                                           .pipeline = {ES_INDEX_NONE}};
        first[t + 1] = count;
    }
    idn.options = options;
    idn.type_first = first;
    return es_idn_new(arena, &idn, out_idn, err);
}
