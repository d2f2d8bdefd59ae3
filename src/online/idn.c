#include "online/internal.h"

es_status es_online_take(es_arena *arena, size_t count, size_t size, void *out, es_error *err)
{
    void *taken = NULL;
    ES_TRY(es_arena_take_or_fail(arena, count, size, "online", &taken, err));
    memcpy(out, &taken, sizeof taken);
    return ES_OK;
}

void es_idn_pinned(const es_idn *idn, double *hosted)
{
    for (uint32_t i = 0; i < idn->item_count; i++)
        hosted[i] = idn->items[i].pinned ? idn->items[i].copies : 0;
}

double es_idn_free_bytes(const es_idn *idn, uint32_t node)
{
    double left = idn->budget_bytes[node];
    for (uint32_t i = idn->node_first[node]; i < idn->node_first[node + 1]; i++)
        if (idn->items[i].pinned)
            left -= idn->items[i].copies * idn->items[i].size_bytes;
    return fmax(left, 0);
}

static int by_cost(const void *left, const void *right)
{
    const es_idn_option *a = left;
    const es_idn_option *b = right;
    if (a->cost != b->cost)
        return a->cost < b->cost ? -1 : 1;
    if (a->hop != b->hop)
        return a->hop < b->hop ? -1 : 1;
    if (a->item_count != b->item_count)
        return a->item_count < b->item_count ? -1 : 1;
    for (uint32_t i = 0; i < a->item_count; i++)
        if (a->items[i] != b->items[i])
            return a->items[i] < b->items[i] ? -1 : 1;
    return 0;
}

static bool is_certain(const es_idn *idn, const es_idn_option *option)
{
    if (!isinf(option->capacity))
        return false;
    for (uint32_t i = 0; i < option->item_count; i++)
        if (!idn->items[option->items[i]].pinned)
            return false;
    return true;
}

static es_status check_items(const es_idn *idn, es_error *err)
{
    for (uint32_t i = 0; i < idn->item_count; i++) {
        const es_idn_item *item = &idn->items[i];
        if (item->node >= idn->node_count || (i > 0 && item->node < idn->items[i - 1].node))
            return es_fail(err, ES_ERR_ARG, "items[%u].node=%u: items must go by node, < %u", i,
                           item->node, idn->node_count);
        if (item->model >= idn->model_count)
            return es_fail(err, ES_ERR_ARG, "items[%u].model=%u must be < %u", i, item->model,
                           idn->model_count);
        if (item->copies < 1)
            return es_fail(err, ES_ERR_ARG, "items[%u].copies=0 must be >= 1", i);
        if (!(item->size_bytes > 0 && isfinite(item->size_bytes)))
            return es_fail(err, ES_ERR_ARG, "items[%u].size_bytes=%g must be finite and > 0", i,
                           item->size_bytes);
    }
    for (uint32_t v = 0; v < idn->node_count; v++)
        if (!(idn->budget_bytes[v] >= 0))
            return es_fail(err, ES_ERR_ARG, "budget_bytes[%u]=%g must be >= 0", v,
                           idn->budget_bytes[v]);
    return ES_OK;
}

static es_status check_option(const es_idn *idn, uint32_t k, es_error *err)
{
    const es_idn_option *option = &idn->options[k];
    if (!(option->cost >= 0 && isfinite(option->cost)))
        return es_fail(err, ES_ERR_ARG, "options[%u].cost=%g must be finite and >= 0", k,
                       option->cost);
    if (!(option->capacity >= 0))
        return es_fail(err, ES_ERR_ARG, "options[%u].capacity=%g must be >= 0", k,
                       option->capacity);
    if (option->group >= idn->group_count && option->group != ES_INDEX_NONE)
        return es_fail(err, ES_ERR_ARG, "options[%u].group=%u must be < %u", k, option->group,
                       idn->group_count);
    if (option->item_count > ES_STAGE_COUNT_MAX)
        return es_fail(err, ES_ERR_ARG, "options[%u].item_count=%u must be <= %d", k,
                       option->item_count, ES_STAGE_COUNT_MAX);
    if (option->item_count == 0 && !isinf(option->capacity))
        return es_fail(err, ES_ERR_ARG, "options[%u]: a refusal must be without limit", k);
    for (uint32_t i = 0; i < option->item_count; i++)
        if (option->items[i] >= idn->item_count)
            return es_fail(err, ES_ERR_ARG, "options[%u].items[%u]=%u must be < %u", k, i,
                           option->items[i], idn->item_count);
    return ES_OK;
}

/* Copies what can ever be used, sorted. */
static es_status copy_options(es_arena *arena, const es_idn *given, es_idn *idn, es_error *err)
{
    uint32_t total = given->type_first[given->type_count];
    es_idn_option *options = NULL;
    uint32_t *first = NULL;
    ES_TRY(es_online_take(arena, total, sizeof *options, &options, err));
    ES_TRY(es_online_take(arena, given->type_count + 1, sizeof *first, &first, err));
    uint32_t count = 0;
    for (uint32_t t = 0; t < given->type_count; t++) {
        uint32_t size = given->type_first[t + 1] - given->type_first[t];
        first[t] = count;
        if (size > 0)
            memcpy(&options[count], &given->options[given->type_first[t]], size * sizeof *options);
        qsort(&options[count], size, sizeof *options, by_cost);
        uint32_t used = 0;
        while (used < size && !is_certain(idn, &options[count + used]))
            used++;
        if (used == size)
            return es_fail(err, ES_ERR_ARG,
                           "type '%s': no option is pinned and without limit, so not all requests "
                           "could be served",
                           idn->type_names[t]);
        count += used + 1;
    }
    first[given->type_count] = count;
    idn->options = options;
    idn->type_first = first;
    return ES_OK;
}

/* Costs, capacities and groups side by side; a private group for each type that needs one. */
static es_status spread_options(es_arena *arena, es_idn *idn, es_error *err)
{
    uint32_t total = idn->type_first[idn->type_count];
    uint32_t given = idn->group_count;
    double *costs = NULL;
    double *capacities = NULL;
    uint32_t *groups = NULL;
    uint32_t *main_item = NULL;
    ES_TRY(es_online_take(arena, total, sizeof *costs, &costs, err));
    ES_TRY(es_online_take(arena, total, sizeof *capacities, &capacities, err));
    ES_TRY(es_online_take(arena, total, sizeof *groups, &groups, err));
    ES_TRY(es_online_take(arena, total, sizeof *main_item, &main_item, err));
    for (uint32_t t = 0; t < idn->type_count; t++) {
        for (uint32_t k = idn->type_first[t]; k < idn->type_first[t + 1]; k++) {
            const es_idn_option *option = &idn->options[k];
            costs[k] = option->cost;
            capacities[k] = option->capacity;
            groups[k] = option->group != ES_INDEX_NONE ? option->group : given + t;
            main_item[k] = option->item_count == 1 ? option->items[0] : ES_INDEX_NONE;
        }
    }
    idn->costs = costs;
    idn->capacities = capacities;
    idn->groups = groups;
    idn->main_item = main_item;
    idn->group_count = given + idn->type_count;
    return ES_OK;
}

static bool first_of_group(const es_idn *idn, uint32_t type, uint32_t option)
{
    for (uint32_t k = idn->type_first[type]; k < option; k++)
        if (idn->groups[k] == idn->groups[option])
            return false;
    return true;
}

/* Which types share each group. */
static es_status list_groups(es_arena *arena, es_idn *idn, es_error *err)
{
    uint32_t *first = NULL;
    uint32_t *types = NULL;
    ES_TRY(es_online_take(arena, idn->group_count + 2, sizeof *first, &first, err));
    ES_TRY(es_online_take(arena, idn->type_first[idn->type_count], sizeof *types, &types, err));
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t t = 0; t < idn->type_count; t++) {
            for (uint32_t k = idn->type_first[t]; k < idn->type_first[t + 1]; k++) {
                if (!first_of_group(idn, t, k))
                    continue;
                if (pass == 0)
                    first[idn->groups[k] + 2]++;
                else
                    types[first[idn->groups[k] + 1]++] = t;
            }
        }
        for (uint32_t g = 0; pass == 0 && g < idn->group_count; g++)
            first[g + 2] += first[g + 1];
    }
    idn->group_first = first;
    idn->group_types = types;
    return ES_OK;
}

/* Types with an option that needs the item, each once. */
static es_status list_uses(es_arena *arena, es_idn *idn, es_error *err)
{
    uint32_t *first = NULL;
    uint32_t *types = NULL;
    uint32_t *last_type = NULL;
    ES_TRY(es_online_take(arena, idn->item_count + 2, sizeof *first, &first, err));
    ES_TRY(es_online_take(arena, idn->item_count, sizeof *last_type, &last_type, err));
    for (int pass = 0; pass < 2; pass++) {
        memset(last_type, 0xff, idn->item_count * sizeof *last_type);
        for (uint32_t t = 0; t < idn->type_count; t++) {
            for (uint32_t k = idn->type_first[t]; k < idn->type_first[t + 1]; k++) {
                const es_idn_option *option = &idn->options[k];
                for (uint32_t i = 0; i < option->item_count; i++) {
                    uint32_t item = option->items[i];
                    if (last_type[item] == t)
                        continue;
                    last_type[item] = t;
                    if (pass == 0)
                        first[item + 2]++;
                    else
                        types[first[item + 1]++] = t;
                }
            }
        }
        if (pass == 1)
            break;
        for (uint32_t i = 0; i < idn->item_count; i++)
            first[i + 2] += first[i + 1];
        ES_TRY(es_online_take(arena, first[idn->item_count + 1], sizeof *types, &types, err));
    }
    idn->use_first = first;
    idn->use_types = types;
    return ES_OK;
}

es_status es_idn_new(es_arena *arena, const es_idn *given, const es_idn **out_idn, es_error *err)
{
    es_idn *idn = NULL;
    uint32_t *node_first = NULL;
    ES_TRY(es_online_take(arena, 1, sizeof *idn, &idn, err));
    *idn = *given;
    ES_TRY(check_items(idn, err));
    for (uint32_t k = 0; k < given->type_first[given->type_count]; k++)
        ES_TRY(check_option(given, k, err));
    ES_TRY(es_online_take(arena, idn->node_count + 1, sizeof *node_first, &node_first, err));
    for (uint32_t i = 0; i < idn->item_count; i++)
        node_first[idn->items[i].node + 1]++;
    for (uint32_t v = 0; v < idn->node_count; v++)
        node_first[v + 1] += node_first[v];
    idn->node_first = node_first;
    ES_TRY(copy_options(arena, given, idn, err));
    ES_TRY(spread_options(arena, idn, err));
    ES_TRY(list_groups(arena, idn, err));
    ES_TRY(list_uses(arena, idn, err));
    *out_idn = idn;
    return ES_OK;
}
