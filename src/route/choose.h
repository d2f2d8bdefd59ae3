/*
 * choose, private to route: which option a request takes, and when it may be sent once more. Pure
 * logic: time comes in as nanoseconds of any clock that does not go back, nothing waits or sends.
 *
 * A table is what a gateway was told, sealed and counted: loops share it. A chooser follows the
 * shares of one table for one loop and remembers what it saw: nodes that fail, how long options
 * take. Threads: one owner per chooser.
 */
#ifndef ES_ROUTE_CHOOSE_H
#define ES_ROUTE_CHOOSE_H

#include "routes.h"

/* ---- table.c: routes ready to be looked up ---- */

typedef struct es_serve_table {
    _Atomic uint32_t refs;
    es_arena *arena; /* holds everything, with the routes */
    const es_serve_routes *routes;
    size_t option_count;
    const uint32_t *first_option; /* [class_count + 1]: options of class c, numbered over all */
    const double *shares;         /* [option]; with refused_shares exactly 1 per class */
    const double *refused_shares; /* [class] */
    uint32_t node_count;          /* nodes that any route passes */
    const char *const *nodes;
    const uint32_t *first_stage; /* [option_count + 1] */
    const uint32_t *stage_nodes; /* numbers in nodes, of the stages of an option in order */
    size_t slot_count;           /* power of two */
    const uint32_t *by_place;    /* [slot]: 1 + class, by task and entry; 0: none */
    const uint32_t *by_task;     /* [slot]: 1 + the first class of a task */
    const bool *only_one;        /* [class]: no other class has its task */
} es_serve_table;

/* Takes arena, in which routes live, over when it succeeds. */
es_status es_serve_table_new(es_arena *arena, const es_serve_routes *routes,
                             es_serve_table **out_table, es_error *err) ES_MUST_CHECK;
es_serve_table *es_serve_table_ref(es_serve_table *table);
void es_serve_table_unref(es_serve_table *table); /* NULL is fine; any thread */

#define ES_SERVE_CLASS_NONE UINT32_MAX       /* the table does not know the task, or it there */
#define ES_SERVE_CLASS_MANY (UINT32_MAX - 1) /* the task enters at several nodes: say where */

/* The class of task that enters at entry; entry NULL: of the task's only class. O(1). */
uint32_t es_serve_table_class(const es_serve_table *table, const char *task, const char *entry);

/* Is it the first of the classes of its task? O(1). */
bool es_serve_table_is_first(const es_serve_table *table, uint32_t class_index);

/* Its number in nodes, or UINT32_MAX. O(nodes). */
uint32_t es_serve_table_node(const es_serve_table *table, const char *name);

/* ---- choose.c ---- */

/* What a request asks for; the default asks for nothing. */
typedef struct es_serve_wish {
    double latency_s_max; /* held against the option's p95, else its mean; INFINITY: none */
    double quality_min;   /* 0: none */
    double energy_j_max;  /* INFINITY: none */
    double carbon_g_max;  /* INFINITY: none */
    bool strict;          /* rather no answer than one that does not meet them */
} es_serve_wish;

es_serve_wish es_serve_wish_default(void);

enum { /* bits */
       ES_SERVE_WISH_LATENCY = 1,
       ES_SERVE_WISH_QUALITY = 2,
       ES_SERVE_WISH_ENERGY = 4,
       ES_SERVE_WISH_CARBON = 8
};

typedef enum es_serve_choice_kind {
    ES_SERVE_CHOICE_OPTION,
    ES_SERVE_CHOICE_REFUSED, /* the plan turns this request away */
    ES_SERVE_CHOICE_UNMET,   /* strict, and no option meets the wishes */
    ES_SERVE_CHOICE_NONE,    /* every option was tried */
    ES_SERVE_CHOICE_COUNT
} es_serve_choice_kind;

typedef struct es_serve_choice {
    es_serve_choice_kind kind;
    uint32_t option; /* of the class, from 0 */
    uint32_t unmet;  /* wishes that it does not meet */
} es_serve_choice;

typedef struct es_chooser es_chooser;

/* Follows table (which it counts). before: the table that it replaces, NULL: none; what is known of
 * its nodes and options is taken over by _adopt. Any thread. O(options). */
es_status es_chooser_new(es_serve_table *table, const es_serve_table *before,
                         es_chooser **out_chooser, es_error *err) ES_MUST_CHECK;
/* Takes over what `before`, a chooser of the table named at _new, has seen. Once. O(options), but
 * only copying: fit for a loop between two requests. */
void es_chooser_adopt(es_chooser *chooser, const es_chooser *before);
void es_chooser_free(es_chooser *chooser); /* NULL is fine */
const es_serve_table *es_chooser_table(const es_chooser *chooser);

/*
 * The option of a new request. Among those that meet the wishes and pass no node that is known to
 * have failed, the shares are followed: after every request each option has had its share of them
 * to within one (Tijdeman's rule for the chairman assignment problem: of those that are owed
 * enough, the one that would be owed a whole request first). Where none is left: with strict, one
 * that meets the wishes, whatever its nodes, else UNMET; without, the nearest: the least sum of
 * relative excess over the wishes, first among options without failed nodes.
 * O(options of the class * stages), no memory.
 */
es_serve_choice es_choose(es_chooser *chooser, uint32_t class_index, const es_serve_wish *wish,
                          int64_t now_ns);

/* Another option for a request that has tried some: does not count in the shares. NONE when all
 * that may be taken were tried. elsewhere: not one that passes any node of the tried ones'
 * first stages. */
es_serve_choice es_choose_again(es_chooser *chooser, uint32_t class_index,
                                const es_serve_wish *wish, const uint32_t *tried,
                                size_t tried_count, bool elsewhere, int64_t now_ns);

/* What was seen. A node that failed is passed by for 100 ms, doubled with each failure up to 2 s;
 * then one request may try it, and so on until one is answered. */
void es_chooser_node_failed(es_chooser *chooser, uint32_t node, int64_t now_ns);
void es_chooser_node_answered(es_chooser *chooser, uint32_t node);
/* A try that said nothing: it was not sent, or not waited for. The next request may try again. */
void es_chooser_option_unknown(es_chooser *chooser, uint32_t class_index, uint32_t option,
                               int64_t now_ns);
bool es_chooser_node_is_down(const es_chooser *chooser, uint32_t node);

/* How long an option took from here; and the latency that 95 % of its requests stay below, from
 * what was seen lately (before: the prediction). */
void es_chooser_observe(es_chooser *chooser, uint32_t class_index, uint32_t option,
                        double latency_s);
double es_chooser_p95_s(const es_chooser *chooser, uint32_t class_index, uint32_t option);

/* ---- budget.c: how many extra copies may be sent ---- */

/* Over any stretch of time, at most burst + share * requests + rate * seconds are taken. */
typedef struct es_serve_budget {
    double share; /* earned per request, >= 0 */
    double rate;  /* earned per second, >= 0 */
    double burst; /* kept at most, >= 0 */
    double saved;
    int64_t at_ns;
} es_serve_budget;

es_serve_budget es_serve_budget_make(double share, double rate, double burst, int64_t now_ns);
void es_serve_budget_earn(es_serve_budget *budget, int64_t now_ns); /* a request has come */
bool es_serve_budget_take(es_serve_budget *budget, int64_t now_ns); /* false: not now */

#endif
