/*
 * descent, private: what a descent over nodes knows (descent_state.c), for its moves (descent.c).
 */
#ifndef ES_PLAN_DESCENT_H
#define ES_PLAN_DESCENT_H

#include "plan/decompose.h"

enum { ES_KICK_NODES_MAX = 6, ES_PARTS_MAX = 3 };

/* What a class takes: parts of it over paths; what is left is refused. */
typedef struct es_taking {
    uint32_t count;
    uint32_t paths[ES_PARTS_MAX];
    double shares[ES_PARTS_MAX];
} es_taking;

/* What a node hosts and its classes take. */
typedef struct es_node_state {
    bool *on;         /* by host of the node */
    es_taking *taken; /* by class of the node */
} es_node_state;

/* Classes in the order in which they may come to a node. */
typedef struct es_turn_order {
    double density; /* gain per load */
    uint32_t class_index;
} es_turn_order;

struct es_descent {
    const es_layout *layout;
    es_rng rng;
    double *priced;   /* [path_count] cost at the prices; INFINITY: not for a class as a whole */
    double *refusal;  /* [class_count] true cost; large where not allowed */
    bool *on;         /* [host_count] */
    uint32_t *uses;   /* [host_count] classes whose path takes it */
    es_taking *taken; /* [class_count] */
    double *load;     /* [node_count] busy seconds per second */
    double *flow;     /* [link_row_count] bits per second */
    double value;     /* true cost per second */
    bool *undecided;  /* [node_count] emptied, to be filled again */
    uint32_t *node_class_first; /* [node_count + 1] */
    uint32_t *node_classes;
    es_node_room room;
    double *set_gain;     /* [groups of a node][ES_CLUSTER_SETS] */
    uint8_t *sets;        /* [groups of a node] */
    double *without;      /* [class_max] what classes of the node at hand pay without it, priced */
    es_turn_order *order; /* [class_max] */
    es_node_state before;
    es_node_state kept[ES_KICK_NODES_MAX];
};

/* Adds (sign 1) or takes away (-1) all that class r takes, with its refusal. */
void es_descent_put(es_descent *d, uint32_t r, double sign);

/* The largest part of class r, up to 1, that fits beside all else; 0: none worth it. */
double es_descent_room(const es_descent *d, uint32_t r, const es_path *path);

/* Class r, which takes nothing, takes the cheapest paths at the prices that have room. */
void es_descent_assign(es_descent *d, uint32_t r);

/* Hosting and idling of a node. */
double es_descent_node_cost(const es_descent *d, uint32_t v);

/* A node as it is, and back to it. */
void es_descent_save(const es_descent *d, uint32_t v, es_node_state *out);
void es_descent_restore(es_descent *d, uint32_t v, const es_node_state *saved);

#endif
