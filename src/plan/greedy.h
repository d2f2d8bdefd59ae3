/*
 * greedy, private: the state that construction and improvement change move by move.
 *
 * A state always satisfies every constraint; what cannot be served or refused is counted as
 * unserved, at a penalty above any plan's cost.
 */
#ifndef ES_PLAN_GREEDY_H
#define ES_PLAN_GREEDY_H

#include "plan/internal.h"

enum { ES_GREEDY_SPLIT_MAX = 6 }; /* paths per class at most; the linear program may split more */

typedef struct es_greedy_part {
    uint32_t path;
    double share;
} es_greedy_part;

typedef struct es_greedy_class {
    uint32_t part_count;
    es_greedy_part parts[ES_GREEDY_SPLIT_MAX];
    double refused;
    double unserved;
    double cost; /* of all that, with the penalty */
} es_greedy_class;

/* One block of memory, so that a move is taken back by copying. */
typedef struct es_greedy_state {
    double cost;        /* of everything, with penalties */
    double energy_left; /* W; INFINITY: no budget */
    double carbon_left; /* g/s */
    uint32_t hosts_open;
    double *memory_left;
    double *compute_left;
    double *link_left;
    es_greedy_class *classes;
    uint32_t *node_open;    /* hosts open per node */
    uint32_t *segment_open; /* hosts open per segment */
    uint32_t *host_users;   /* parts that take the host */
    bool *open;
    void *block;
    size_t block_bytes;
} es_greedy_state;

/* Paths that need the same hosts. */
typedef struct es_bundles {
    uint32_t count;
    uint32_t *of_path;      /* [path_count] */
    uint32_t *first;        /* [count + 1] into paths */
    uint32_t *paths;        /* by bundle */
    uint32_t *path_classes; /* [path_count] the class of a path */
    uint32_t *host_first;   /* [host_count + 1] into host_bundles */
    uint32_t *host_bundles; /* bundles with two hosts or more, by host */
} es_bundles;

typedef struct es_greedy {
    const es_problem *problem;
    const es_deadline *deadline;
    es_bundles bundles;
    double penalty; /* per class unserved */
    es_greedy_state now;
    es_greedy_state saved;
} es_greedy;

es_status es_greedy_init(es_greedy *greedy, es_arena *arena, const es_problem *problem,
                         const es_deadline *deadline, es_error *err) ES_MUST_CHECK;

void es_greedy_save(es_greedy *greedy);
void es_greedy_restore(es_greedy *greedy);

/* Opens a host, with replicas when it is the first of its segment; false when memory is short (the
 * state is then half-changed: restore it). */
bool es_greedy_open(es_greedy *greedy, uint32_t host);

/* Opens all hosts of a path; the rules of es_greedy_open. */
bool es_greedy_open_path(es_greedy *greedy, uint32_t path);

/* Closes a host nobody takes. */
void es_greedy_close(es_greedy *greedy, uint32_t host);

/* Takes a class off its paths, and puts it on the cheapest open ones with room. */
void es_greedy_release(es_greedy *greedy, uint32_t class_index);
void es_greedy_route(es_greedy *greedy, uint32_t class_index);

/* Closes hosts without users; replicas of segments in use stay. */
void es_greedy_close_unused(es_greedy *greedy);

/* What opening a bundle would save per second, as an estimate, and the share of memory it takes.
 * Negative: it costs. -INFINITY: no path is allowed. */
double es_greedy_estimate(const es_greedy *greedy, uint32_t bundle, double *out_memory_share);

/* Makes use of a bundle that was just opened: moves those classes that gain. */
void es_greedy_use(es_greedy *greedy, uint32_t bundle);

/* Local search: drop, add, swap, route again, until nothing helps or the time is up. */
es_status es_greedy_improve(es_greedy *greedy, es_arena *arena, es_error *err) ES_MUST_CHECK;

#endif
