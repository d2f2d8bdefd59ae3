/*
 * controller_internal: one controller, taken apart: who is there (members.c), what came
 * and what is decided (slot.c), how the cluster gets there (move.c), what is
 * remembered (memory.c).
 */
#ifndef ES_CONTROL_INTERNAL_H
#define ES_CONTROL_INTERNAL_H

#include "base/log.h"
#include "control/controller.h"
#include "control/state.h"
#include "control/transition.h"

#include <math.h>
#include <stdatomic.h>

enum {
    ES_MEMBER_EPOCH_MAX = 64,
    ES_DECISION_BUCKETS = 12,
    ES_RECENT = 20,
    ES_DOCUMENT_BYTES_MAX = 256 << 20
};

/* A process of the cluster. Nodes first, then gateways. */
typedef struct es_member {
    const es_cluster_process *process;
    bool gateway;
    uint32_t index;  /* among nodes or gateways */
    es_node_id node; /* of the scenario: a node itself; of a gateway, where it serves; NONE: all */
    bool known;      /* it was looked at once */
    bool up;
    uint32_t hits, misses; /* looks in a row that were answered, or not */
    int64_t probe_ns;      /* next look */
    int64_t changed_ns;    /* when it came or went */
    double backoff_s;
    char epoch[ES_MEMBER_EPOCH_MAX];
    char trouble[ES_ERROR_SIZE]; /* the last; empty: none */
    bool told;                   /* node: knows its peers, since it started */
    int64_t generation;          /* gateway: of the routes that it has */
    int64_t behind_ns;           /* gateway: since when that is not ours; 0: it is */
    int64_t retry_ns;            /* gateway: when it is told again */
    bool drained, tells_drained; /* gateway */
    int64_t seen_ns;             /* when it answered a look last */
} es_member;

/* What a gateway's counters said last, per class of the scenario. */
typedef struct es_reading {
    bool known;
    char epoch[ES_MEMBER_EPOCH_MAX];
    double uptime_s;  /* NAN: it does not tell */
    int64_t when_ns;  /* by our clock; 0: before we started */
    double *arrived;  /* [class] */
    double *answered; /* [class] */
    double *quality;  /* [class] mean of the answered; NAN: not known */
} es_reading;

/* A place for a model that refused it. */
typedef struct es_block {
    int64_t until_ns;
    double backoff_s; /* 0: never refused */
} es_block;

/* A slot that was observed, for those who look. */
typedef struct es_recent {
    uint32_t slot;
    double elapsed_s, requests, cost, regret, decision_s;
} es_recent;

/* On the way to the goal. */
typedef struct es_move {
    es_arena *arena;
    const es_transition *transition; /* NULL: nothing to do */
    const char *told;                /* its steps, a line each */
    size_t at;                       /* the next step */
    int64_t due_ns;
    double backoff_s;
    bool stale; /* what stands has changed: to be planned anew */
    bool draining;
    int64_t drain_from_ns;
    bool undrained;    /* a route was put, no drain followed */
    uint32_t failures; /* in a row */
} es_move;

/* Ends of the buckets of estran_decision_duration_seconds; the last bucket has none. */
extern const double es_decision_ends_s[ES_DECISION_BUCKETS];

struct es_controller {
    es_controller_given given;
    es_arena *arena;
    es_scenario scenario;
    const es_idn *idn;
    es_state *state;
    uint32_t node_count, segment_count, class_count, item_count;
    /* members */
    es_member *members;
    size_t member_count;
    uint32_t *member_of;  /* [node] 1 + index; 0: none */
    bool *hosted;         /* [node][segment] as last seen or done */
    bool *cells;          /* [node][segment] that can be loaded now */
    es_block *blocks;     /* [item] */
    bool cut;             /* usable differs from decided_usable: the slot ends early */
    es_fleet_call *calls; /* [members or steps] */
    size_t calls_max;
    es_text *texts; /* [gateway] documents that they are told */
    /* slots */
    es_arena *policy_arena;
    es_decider *decider;
    bool *usable;         /* [item] now */
    bool *decided_usable; /* [item] when the slot was decided */
    bool *hosted_flags;   /* [item] */
    uint32_t *copies;     /* [item] */
    double *requests;     /* [class] of the slot that ends */
    double *last;         /* [class] of the slot before; the scenario's in the first */
    es_reading *readings; /* [gateway] */
    bool thinking;        /* a decision is under way, perhaps on the pool: hands off the decider */
    _Atomic bool thought; /* it is there */
    int64_t think_from_ns;
    es_status think_status;
    es_error think_err;
    es_reading fresh;     /* of one gateway, before it is taken in */
    bool decided;         /* a slot is running */
    uint32_t slot;        /* it, of the scenario */
    int64_t slot_unix_ns; /* when it was decided */
    uint32_t next_slot;   /* the least number of the next */
    int64_t anchor_ns;    /* when slot 0 of the scenario was, by our clock */
    int64_t slot_start_ns;
    int64_t slot_end_ns;
    int64_t retry_ns; /* after a failure of state or policy; 0: none */
    uint32_t kept;    /* slots in the state */
    uint32_t first_kept;
    uint32_t disagreements; /* of recall with the log */
    es_idn_load regret_load;
    double *best; /* [item] */
    es_state_totals totals;
    es_recent recent[ES_RECENT]; /* a ring */
    uint32_t recent_count;       /* ever put */
    double decision_s;           /* of the slot that is running */
    uint64_t decisions[ES_DECISION_BUCKETS + 1];
    uint64_t decision_count;
    double decision_s_sum;
    uint64_t transitions;
    /* the goal and what is in force */
    es_arena *goal_arenas[2];
    uint32_t goal_turn;
    const es_plan *goal;        /* decided; NULL: none yet */
    const es_plan *coming_goal; /* goal once it is committed */
    es_arena *force_arenas[2];
    uint32_t force_turn;
    const es_plan *force;               /* as gateways were told last; NULL: nothing */
    const es_serve_routes *told_routes; /* made of force, of all classes; NULL: not yet */
    const es_serve_routes *coming_routes;
    const es_serve_routes *task_routes; /* whose tasks gateways are told; NULL: none */
    int64_t generation;                 /* of it */
    const es_plan *coming;              /* force once it is committed */
    int64_t coming_generation;
    int64_t progress_ns; /* when a step was taken or a gateway told last; 0: never */
    bool pending;        /* the goal is not yet in force */
    es_move move;
    char trouble[ES_ERROR_SIZE]; /* of the state or the policy: what keeps it from working */
    char said[ES_ERROR_SIZE];    /* the last trouble that was logged */
};

static inline size_t es_cell(const es_controller *c, es_node_id node, es_segment_id segment)
{
    return (size_t)node.index * c->segment_count + segment.index;
}

/* Notes trouble and logs it when it is another than before; clears it for status ES_OK. */
void es_controller_note(es_controller *c, es_status status, const es_error *err);

/* ---- members.c ---- */

es_status es_members_init(es_controller *c, es_error *err) ES_MUST_CHECK;
/* Looks at those whose time has come; sets move.stale where what stands has changed. */
void es_members_probe(es_controller *c);
int64_t es_members_next_ns(const es_controller *c);
/* A call to a member was not answered: a look at it is due. */
void es_member_missed(es_controller *c, es_member *member, const es_error *err);
/* A model was refused by a node that answers: not to be tried for a while. */
void es_members_block(es_controller *c, es_node_id node, es_segment_id segment);
void es_members_loaded(es_controller *c, es_node_id node, es_segment_id segment);
/* usable[item] and cells from who is up and what is blocked. */
void es_members_usable(es_controller *c);
es_member *es_member_of_node(es_controller *c, es_node_id node); /* NULL: not in the cluster */
/* Tells gateways that are behind the routes in force; at most as often as back-off allows. */
void es_members_catch_up(es_controller *c);
/* Whether a gateway that is behind, and for less than the patience, must be waited for. */
bool es_members_behind(const es_controller *c);

/* ---- slot.c ---- */

/* Requests that the scenario expects in a slot, [class]. */
void es_slot_expect(const es_controller *c, uint32_t slot, double *out_requests);
/* Ends the running slot when it is over or cut, and decides the next. */
es_status es_slot_advance(es_controller *c, es_error *err) ES_MUST_CHECK;
int64_t es_slot_next_ns(const es_controller *c);
/* The policy anew, told what the state holds. */
es_status es_slot_recall(es_controller *c, es_error *err) ES_MUST_CHECK;

/* ---- move.c ---- */

/* Takes the next step towards the goal when it is due. */
es_status es_move_advance(es_controller *c, es_error *err) ES_MUST_CHECK;
int64_t es_move_next_ns(const es_controller *c);
/* Plans the way from what stands to the goal. */
es_status es_move_plan(es_controller *c, es_error *err) ES_MUST_CHECK;

/* ---- memory.c ---- */

/* Documents of the state into goal and force. */
es_status es_memory_load(es_controller *c, es_error *err) ES_MUST_CHECK;
/* The plan, as text and read again: what the state keeps is what is followed. Takes effect with
 * es_memory_aimed once the caller has committed it. */
es_status es_memory_goal(es_controller *c, const es_plan *plan, es_text *out,
                         es_error *err) ES_MUST_CHECK;
void es_memory_aimed(es_controller *c);
/* A table that gateways are to be told, with a generation above all they may have. Within the
 * caller's transaction; takes effect with es_memory_forced once that is committed. */
es_status es_memory_force(es_controller *c, const es_plan *table, int64_t above,
                          es_error *err) ES_MUST_CHECK;
void es_memory_forced(es_controller *c);
/* What the state says is in force may not have reached every gateway. */
void es_memory_resumed(es_controller *c);
/* What the tasks take and give, from the models' files. */
es_status es_memory_tasks(es_controller *c, es_error *err) ES_MUST_CHECK;
/* Counters of gateways as text, and back. */
es_status es_memory_readings_put(es_controller *c, es_error *err) ES_MUST_CHECK;
es_status es_memory_readings_get(es_controller *c, es_error *err) ES_MUST_CHECK;

#endif
