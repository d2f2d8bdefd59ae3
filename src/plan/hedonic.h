/* hedonic: a partition in the making, shared by the players' moves and the planner's. Private. */
#ifndef ES_PLAN_HEDONIC_H
#define ES_PLAN_HEDONIC_H

#include "plan/plan.h"

/* choice[i] is an index into the game's choices, or ES_HEDONIC_ALONE. */
typedef struct es_coalitions {
    const es_hedonic_game *game;
    bool uniform;         /* everyone adds weight[g] to resource g */
    const double *weight; /* [resource]; 0 where nobody can join */
    uint32_t *choice;     /* [player] */
    uint32_t *count;      /* [resource] */
    double *load;         /* [resource] */
} es_coalitions;

/* ES_ERR_ARG for numbers out of range. start as in es_hedonic_opts. */
es_status es_coalitions_init(es_arena *arena, const es_hedonic_game *game, const uint32_t *start,
                             es_coalitions *out, es_error *err) ES_MUST_CHECK;

/* Counts again, so that sums of loads do not drift. */
void es_coalitions_recount(es_coalitions *all);

/* Moves a player; does not look whether there is room. */
void es_coalitions_move(es_coalitions *all, uint32_t player, uint32_t choice);

/* Load of a choice, with room or without. */
static inline double es_choice_load(const es_coalitions *all, uint32_t choice)
{
    return all->game->choice_load != NULL ? all->game->choice_load[choice] : 1;
}

/* What everyone gets at this load. */
double es_hedonic_net(const es_hedonic_resource *resource, double load);

/* Is there room for load more? Rounding of sums must not close a resource that is just full. */
bool es_coalitions_room(const es_coalitions *all, uint32_t resource, double load);

/* Sum of all utilities, from the game's numbers alone. O(players + resources). */
double es_coalitions_welfare(const es_coalitions *all);

/* Resources instead of choices. */
void es_coalitions_resources(const es_coalitions *all, uint32_t *out_resource_of);

/* A fresh random order of the players: of single ones, or with many players of runs of neighbours,
 * so that memory is read in lines. order has room for player_count. */
void es_hedonic_shuffle(uint64_t seed, uint64_t pass, uint32_t *order, uint32_t player_count);

#endif
