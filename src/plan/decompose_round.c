/* A first solution from the ascent: per node the hosts chosen most, then the best routing. */
#include "plan/decompose.h"

#include <math.h>

/* The set of hosts of a node with the largest sum of means that fits. */
static void round_node(const es_ascent *ascent, const double *mean, uint32_t v, es_node_room *room,
                       uint8_t *choice)
{
    const es_layout *layout = ascent->layout;
    const es_problem *problem = layout->problem;
    uint32_t first = layout->node_group_first[v];
    uint32_t count = layout->node_group_first[v + 1] - first;
    uint32_t item_count = 0;
    double total = 0.0;
    room->first[0] = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t host_first = layout->group_host_first[first + i];
        uint32_t size = layout->group_host_first[first + i + 1] - host_first;
        for (uint32_t set = 1; set < 1u << size; set++) {
            es_knapsack_item *item = &room->items[item_count];
            *item = (es_knapsack_item){.set = (uint8_t)set};
            for (uint32_t j = 0; j < size; j++)
                if ((set >> j & 1) != 0) {
                    uint32_t h = layout->group_hosts[host_first + j];
                    item->weight += problem->hosts[h].memory_bytes;
                    item->value += mean[h];
                }
            total += item->weight;
            item_count++;
        }
        room->first[i + 1] = item_count;
    }
    es_knapsack knapsack = {.group_count = count,
                            .first = room->first,
                            .items = room->items,
                            .capacity = fmin(problem->memory_bytes[v], total)};
    memset(choice, 0, count);
    if (count > 0)
        (void)es_knapsack_solve(room->knapsack, &knapsack, choice);
}

es_status es_round(es_arena *arena, es_ascent *ascent, const double *mean, bool *out_open,
                   es_error *err)
{
    const es_layout *layout = ascent->layout;
    const es_problem *problem = layout->problem;
    uint8_t *choice = ES_TAKE_ARRAY(arena, uint8_t, layout->group_count);
    if (choice == NULL)
        return es_arena_full(arena, "rounding", err);
    for (uint32_t v = 0; v < problem->node_count; v++)
        round_node(ascent, mean, v, &ascent->room, choice + layout->node_group_first[v]);
    for (uint32_t h = 0; h < problem->host_count; h++)
        out_open[h] = (choice[layout->host_group[h]] >> layout->host_position[h] & 1) != 0;
    return ES_OK;
}
