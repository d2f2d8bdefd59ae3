/*
 * The order in which channels go: by blocks that leave each group a multiple of some number, the
 * least important of all groups first, or the same share from each.
 */
#include "compress/learn.h"

#include <math.h>
#include <stdlib.h>

size_t es_prune_multiple(size_t multiple, size_t channels)
{
    size_t most = 8;
    if (multiple > 0)
        return multiple;
    while (most > 1 && most * 4 > channels)
        most /= 2;
    return most;
}

/* ---- ranks ---- */

/* Channels by score, ties by number (insertion: groups are small and this is no hot place). */
static void rank_channels(const double *scores, size_t channels, uint32_t *ranks)
{
    for (size_t c = 0; c < channels; c++) {
        size_t at = c;
        while (at > 0 && scores[ranks[at - 1]] > scores[c]) {
            ranks[at] = ranks[at - 1];
            at--;
        }
        ranks[at] = (uint32_t)c;
    }
}

/* ---- blocks ---- */

/* What must stay of a group: a multiple, at least one of it, at least that share. */
static size_t floor_of(size_t channels, size_t multiple, double least)
{
    size_t stays = (size_t)ceil(least * (double)channels - 1e-9);
    stays = (stays + multiple - 1) / multiple * multiple;
    stays = stays > 0 ? stays : multiple;
    return stays < channels ? stays : channels;
}

/* The first block takes what is over a multiple as well. */
static void add_blocks(es_prune_order *order, size_t g, const double *scores,
                       es_prune_order_opts opts)
{
    size_t channels = order->groups->items[g].channels;
    size_t multiple = es_prune_multiple(opts.multiple, channels);
    size_t can_go = channels - floor_of(channels, multiple, opts.least);
    for (size_t first = 0; first < can_go;) {
        size_t over = first == 0 ? channels % multiple : 0;
        size_t count = over > 0 ? over : multiple;
        double sum = 0;
        if (count > can_go - first)
            break;
        for (size_t i = first; i < first + count; i++)
            sum += scores[order->ranks[g][i]];
        order->blocks[order->block_count++] = (es_prune_block){
            .group = (uint32_t)g,
            .first = (uint32_t)first,
            .count = (uint32_t)count,
            .key = opts.local ? (double)(first + count) / (double)channels : sum / (double)count};
        first += count;
    }
}

/* Blocks of a group keep their order, as their keys do not fall. */
static int by_key(const void *a, const void *b)
{
    const es_prune_block *x = a;
    const es_prune_block *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    return (x->first > y->first) - (x->first < y->first);
}

es_status es_prune_order_make(es_arena *arena, const es_nn_groups *groups,
                              const double *const *scores, es_prune_order_opts opts,
                              es_prune_order *out_order, es_error *err)
{
    es_prune_order order = {.groups = groups};
    size_t total = 0;
    uint32_t **ranks = ES_TAKE_ARRAY(arena, uint32_t *, groups->count);
    order.ranks = ranks;
    order.keep = ES_TAKE_ARRAY(arena, bool *, groups->count);
    for (size_t g = 0; g < groups->count; g++)
        total += groups->items[g].channels;
    order.blocks = ES_TAKE_ARRAY(arena, es_prune_block, total);
    if (ranks == NULL || order.keep == NULL || order.blocks == NULL)
        return es_arena_full(arena, "order of channels", err);
    for (size_t g = 0; g < groups->count; g++) {
        size_t channels = groups->items[g].channels;
        if (groups->items[g].fixed)
            continue;
        ranks[g] = ES_TAKE_ARRAY(arena, uint32_t, channels);
        order.keep[g] = ES_TAKE_ARRAY(arena, bool, channels);
        if (ranks[g] == NULL || order.keep[g] == NULL)
            return es_arena_full(arena, "order of channels", err);
        rank_channels(scores[g], channels, ranks[g]);
        add_blocks(&order, g, scores[g], opts);
    }
    qsort(order.blocks, order.block_count, sizeof *order.blocks, by_key);
    es_prune_keep(&order, 0);
    *out_order = order;
    return ES_OK;
}

void es_prune_keep(es_prune_order *order, size_t gone)
{
    for (size_t g = 0; g < order->groups->count; g++)
        for (size_t c = 0; order->keep[g] != NULL && c < order->groups->items[g].channels; c++)
            order->keep[g][c] = true;
    for (size_t b = 0; b < gone && b < order->block_count; b++) {
        const es_prune_block *block = &order->blocks[b];
        for (size_t i = block->first; i < block->first + block->count; i++)
            order->keep[block->group][order->ranks[block->group][i]] = false;
    }
}
