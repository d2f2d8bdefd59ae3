/*
 * state, private to control: what a controller must not forget, in one SQLite file.
 *
 * The plan in force, the plan on the way and the step that is next, the routes that gateways were
 * told with their generation, counters as last read, and slot by slot what came and what was
 * decided: from these a policy's memory is rebuilt. Every call is one transaction, or part of the
 * one that es_state_begin opened: after a crash at any moment the file holds all of it or nothing.
 * One controller at a time: the file is locked while it is open. Size is bounded: old slots are
 * summed up by es_state_forget, and the file stops growing at a limit.
 * Threads: one owner. Errors: ES_ERR_UNAVAILABLE in use by another; ES_ERR_PARSE damaged, or not
 * such a file; ES_ERR_UNSUPPORTED of a newer version; ES_ERR_ARG of another scenario; ES_ERR_IO.
 */
#ifndef ES_CONTROL_STATE_H
#define ES_CONTROL_STATE_H

#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct es_state es_state;

typedef struct es_state_opts {
    const char *path;
    const char *scenario; /* name; with the rest, whose state it is */
    const char *policy;   /* spec */
    uint64_t seed;
    double slot_s;
    uint32_t class_count; /* numbers per slot */
    uint32_t item_count;
    uint64_t layout;         /* of classes and items: es_state_layout */
    uint64_t size_bytes_max; /* of the file; default 1 GiB */
    bool copy;               /* works on a copy in memory: path is only read */
} es_state_opts;

es_state_opts es_state_opts_default(void);

/* A number that changes when texts change; start with 0 and fold one after the other. */
uint64_t es_state_layout(uint64_t layout, const char *text);

/* Opens or makes the file and checks it whole; texts of opts are kept while it is open. A file of
 * another scenario, policy, seed, slot length or layout is refused by naming the difference.
 * O(file). */
es_status es_state_open(es_state_opts opts, es_state **out_state, es_error *err) ES_MUST_CHECK;
void es_state_close(es_state *state); /* rolls back what is not committed; NULL is fine */
void es_state_close_p(es_state **state);

/* Several calls as one. A call that fails has rolled everything back. */
es_status es_state_begin(es_state *state, es_error *err) ES_MUST_CHECK;
es_status es_state_commit(es_state *state, es_error *err) ES_MUST_CHECK;

/* ---- documents ---- */

typedef enum es_state_document {
    ES_STATE_PLAN,   /* in force */
    ES_STATE_TARGET, /* on the way: none once it is in force */
    ES_STATE_ROUTES, /* as gateways were told last, as a plan */
    ES_STATE_DOCUMENT_COUNT
} es_state_document;

/* text NULL: there is none from now on. slot: for which it was made. */
es_status es_state_put(es_state *state, es_state_document which, uint32_t slot, const char *text,
                       es_error *err) ES_MUST_CHECK;
/* *out_text NULL: none. out_slot may be NULL. */
es_status es_state_get(es_state *state, es_state_document which, es_arena *arena,
                       const char **out_text, uint32_t *out_slot, es_error *err) ES_MUST_CHECK;

/* The next generation, greater than all before and than `above`; it is never given again. */
es_status es_state_generation(es_state *state, int64_t above, int64_t *out_generation,
                              es_error *err) ES_MUST_CHECK;
/* The last one given; 0: none yet. */
es_status es_state_generation_last(es_state *state, int64_t *out_generation,
                                   es_error *err) ES_MUST_CHECK;

/* The step of the transition to the target that comes next (step of count), and its steps as text
 * for people. Gone with the target. */
es_status es_state_step(es_state *state, uint32_t step, uint32_t count, const char *text,
                        es_error *err) ES_MUST_CHECK;
/* *out_count 0: no transition is under way. text may be NULL. */
es_status es_state_step_get(es_state *state, es_arena *arena, uint32_t *out_step,
                            uint32_t *out_count, const char **out_text,
                            es_error *err) ES_MUST_CHECK;

/* ---- slots ---- */

typedef struct es_state_slot {
    uint32_t slot;          /* rising, with gaps where nobody was there to decide */
    int64_t unix_ns;        /* when it was decided, for people and for gaps */
    const bool *usable;     /* [item] */
    const bool *hosted;     /* [item] decided */
    double decision_s;      /* how long that took */
    bool observed;          /* the rest is known */
    const double *requests; /* [class] that came, scaled to a slot */
    double elapsed_s;       /* over which they came */
    double cost;            /* of serving them, in the unit of the objective */
    double regret;          /* of that, what the best allocation would have saved */
} es_state_slot;

/* The decision of a slot; observed, requests and what follows are not used. */
es_status es_state_decide(es_state *state, const es_state_slot *slot, es_error *err) ES_MUST_CHECK;
/* The rest of a slot that was decided. */
es_status es_state_observe(es_state *state, const es_state_slot *slot, es_error *err) ES_MUST_CHECK;

/* Calls `each` for the slots that are kept, in order, until it fails. Arrays are borrowed. */
es_status es_state_slots(es_state *state,
                         es_status (*each)(void *context, const es_state_slot *slot, es_error *err),
                         void *context, es_error *err) ES_MUST_CHECK;

/* Slots before `before` are taken out and added to the totals. */
es_status es_state_forget(es_state *state, uint32_t before, es_error *err) ES_MUST_CHECK;

/* Over all slots that were observed, kept or not. */
typedef struct es_state_totals {
    uint64_t slots;
    double requests, cost, regret;
} es_state_totals;
es_status es_state_totals_get(es_state *state, es_state_totals *out, es_error *err) ES_MUST_CHECK;

/* ---- counters ---- */

/* What a process said last, so that what came while the controller was away is counted once. */
es_status es_state_counter_put(es_state *state, const char *process, const char *text,
                               es_error *err) ES_MUST_CHECK;
es_status es_state_counter_get(es_state *state, const char *process, es_arena *arena,
                               const char **out_text, es_error *err) ES_MUST_CHECK;

#endif
