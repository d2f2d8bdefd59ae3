/*
 * controller, private to control: observes the nodes and gateways of a cluster, lets a policy
 * decide slot by slot, and leads the cluster from what stands to what was decided, in steps that
 * lose no request (transition.h), remembered at every step (state.h).
 *
 * The same code decides as in simulate: a decider of online, told the same observations; the state
 * holds them, so that a controller that was killed goes on as if it had not been, and the simulator
 * can replay them. Time, the wall clock and the cluster come in as arguments.
 * Threads: one owner. Errors of the cluster are not the controller's: they are noted, tried again
 * with longer and longer pauses, and planned around.
 */
#ifndef ES_CONTROL_CONTROLLER_H
#define ES_CONTROL_CONTROLLER_H

#include "base/clock.h"
#include "base/pool.h"
#include "online/online.h"
#include "route/route.h"

#include <signal.h>

/* ---- the cluster, as the controller reaches it ---- */

typedef enum es_fleet_verb {
    ES_FLEET_OBSERVE,
    ES_FLEET_LOAD,   /* node: text names the model */
    ES_FLEET_UNLOAD, /* node: text names the model */
    ES_FLEET_PEERS,  /* node: text is the document */
    ES_FLEET_ROUTES, /* gateway: text is the document */
    ES_FLEET_VERB_COUNT
} es_fleet_verb;

/* How often a gateway took a way of its routes. */
typedef struct es_fleet_taken {
    const char *route; /* as in the routes that it was told */
    double taken;
} es_fleet_taken;

/* Requests of a class since a gateway started. */
typedef struct es_fleet_class {
    const char *task, *entry;
    double arrived, answered, partial, refused, failed;
    size_t option_count;
    const es_fleet_taken *options; /* of the routes in force */
} es_fleet_class;

/* What a process says of itself. */
typedef struct es_fleet_seen {
    const char *epoch; /* differs after a restart */
    double uptime_s;   /* by its own clock; NAN: it does not tell */
    size_t model_count;
    const char *const *models; /* of a node: ready to serve */
    int64_t generation;        /* of a gateway's routes; 0: none */
    bool drained;              /* a gateway has no request under way on older routes */
    bool tells_drained;
    size_t class_count;
    const es_fleet_class *classes; /* of a gateway */
} es_fleet_seen;

typedef struct es_fleet_call {
    es_fleet_verb verb;
    bool gateway;
    uint32_t process; /* index among the cluster's nodes or gateways */
    const char *text;
    /* ---- filled ---- */
    es_status status; /* UNAVAILABLE: no answer; else an answer that was not yes */
    es_error err;
    int64_t newer;             /* ROUTES: refused, since it has this generation; else 0 */
    const es_fleet_seen *seen; /* OBSERVE: until the next call to this process */
} es_fleet_call;

/* Does all calls side by side, those of one process in order; returns when all have ended. */
typedef struct es_fleet {
    void *context;
    void (*call)(void *context, es_fleet_call *calls, size_t count);
} es_fleet;

/* ---- the controller ---- */

typedef struct es_controller_given {
    const es_scenario *scenario;
    const es_cluster *cluster;
    es_fleet fleet;
    es_pool *pool; /* decisions are made there, and the rest goes on meanwhile; freed before the
                      controller. NULL: within the tick */
    es_clock *clock;
    int64_t (*unix_ns)(
        void *context); /* wall clock: for people, and for how long nobody was here */
    void *unix_context;
    const char
        *policy;       /* es_policy_make; references that know the future are told the scenario's */
    uint64_t seed;     /* 0: the scenario's */
    const char *state; /* path */
    bool dry_run;      /* decides once; changes neither cluster nor state */
    double probe_s;    /* between looks at a process that answers; default 1 */
    double patience_s; /* how long a gateway that does not answer holds back unloading; 30 */
    double drain_s;    /* for requests under way where gateways do not tell; 0, the default: the
                          longest deadline, 1 to 30 s */
    uint32_t slots_max; /* kept one by one; default 2048 */
    bool emulate;       /* peers are told the scenario's links; default false */
} es_controller_given;

es_controller_given es_controller_given_default(void);

typedef struct es_controller es_controller;

/* Opens the state and rebuilds what was known. Texts and objects of given are kept. Errors: those
 * of es_state_open and es_policy_make, a state whose documents do not fit the scenario. */
es_status es_controller_new(const es_controller_given *given, es_controller **out_controller,
                            es_error *err) ES_MUST_CHECK;
void es_controller_free(es_controller *controller);
void es_controller_free_p(es_controller **controller);

/* Does what is due: looks at processes, ends slots, decides, takes the next step. *out_next_ns:
 * when to come again, by the clock. Fails only where going on makes no sense (no memory). */
es_status es_controller_tick(es_controller *controller, int64_t *out_next_ns,
                             es_error *err) ES_MUST_CHECK;

/* Everything decided is in force, and nobody is behind. */
bool es_controller_is_settled(const es_controller *controller);

/* Whether a slot has been decided since the start. */
bool es_controller_has_decided(const es_controller *controller);

/* The steps from what stands to what was decided, planned now, a line each. */
es_status es_controller_steps(es_controller *controller, es_text *out, es_error *err) ES_MUST_CHECK;

/* ---- page.c: what it shows ---- */

void es_controller_write_plan(const es_controller *controller, es_text *out);   /* JSON */
void es_controller_write_status(const es_controller *controller, es_text *out); /* JSON */
void es_controller_write_metrics(const es_controller *controller, es_text *out);
void es_controller_write_page(const es_controller *controller, es_text *out); /* HTML */

/* ---- replay.c: the log in the simulator ---- */

typedef struct es_replayed {
    uint32_t slots;
    uint32_t different;       /* of them: decided otherwise by the simulator */
    uint32_t first_different; /* slot */
} es_replayed;

/* Plays the slots that the state holds in the simulator (es_simulate_control): the same requests,
 * the same places that could not host; and compares what is decided. The state is only read. */
es_status es_controller_replay(const es_controller_given *given, es_replayed *out,
                               es_error *err) ES_MUST_CHECK;

/* ---- answers.c: what the cluster says ---- */

/* Fill *seen from JSON; name stands for the process in messages. Texts point into bytes' tree in
 * the arena. */
es_status es_fleet_read_observe(es_arena *arena, const char *name, const char *bytes, size_t size,
                                bool gateway, es_fleet_seen *seen, es_error *err) ES_MUST_CHECK;
es_status es_fleet_read_models(es_arena *arena, const char *name, const char *bytes, size_t size,
                               es_fleet_seen *seen, es_error *err) ES_MUST_CHECK;

/* ---- fleet.c: the cluster over HTTP ---- */

typedef struct es_http_fleet es_http_fleet;

typedef struct es_http_fleet_opts {
    double timeout_s;             /* of a look, routes, peers; default 2 */
    double load_timeout_s;        /* of loading or unloading a model; default 120 */
    const char *certificate_file; /* shown to servers; NULL: none */
    const char *key_file;
    volatile sig_atomic_t *stop; /* non-zero ends what is under way; may be NULL */
} es_http_fleet_opts;

es_http_fleet_opts es_http_fleet_opts_default(void);

/* cluster is kept. */
es_status es_http_fleet_new(const es_cluster *cluster, es_http_fleet_opts opts,
                            es_http_fleet **out_fleet, es_error *err) ES_MUST_CHECK;
void es_http_fleet_free(es_http_fleet *fleet);
void es_http_fleet_free_p(es_http_fleet **fleet);
es_fleet es_http_fleet_interface(es_http_fleet *fleet);

#endif
