/*
 * control: keeps nodes and gateways on the plan, slot by slot, through their failures and its own.
 * What `estran controller` runs; docs/reference/controller.md.
 */
#ifndef ES_CONTROL_CONTROL_H
#define ES_CONTROL_CONTROL_H

#include "route/route.h"
#include "scenario/scenario.h"

#include <signal.h>

typedef struct es_controller_opts {
    const es_scenario *scenario; /* required */
    const char *cluster;         /* path of the document; required */
    const char *state;           /* path of its SQLite file; required */
    const char *policy;          /* es_policy_make; default "replan" */
    uint64_t seed;               /* 0: the scenario's */
    double slot_s;               /* 0: the scenario's */
    double probe_s;              /* between looks at a process that answers; default 1 */
    double patience_s;           /* a gateway that does not answer holds back unloading; 30 */
    double drain_s;              /* where gateways do not tell; 0: the longest deadline */
    bool emulate;                /* tell peers the scenario's links */
    bool once;                   /* end when what was decided is in force */
    bool dry_run;                /* decide, tell the steps, change nothing */
    bool json;                   /* what dry_run and replay tell, as JSON */
    bool replay;                 /* hold what the state tells against the simulator, and end */
    const char *address;         /* of its own page; default "127.0.0.1" */
    uint16_t port;               /* 0: any; default 8090 */
    const char *certificate_file, *key_file, *client_ca_file; /* PEM; see es_http_tls */
    const es_http_token *tokens;
    size_t token_count;
    const char *peer_certificate_file, *peer_key_file; /* shown to nodes and gateways */
    void (*ready)(void *context, uint16_t port);       /* listening; may be NULL */
    void *context;
    volatile sig_atomic_t *stop;
} es_controller_opts;

es_controller_opts es_controller_opts_default(void);

/* Runs a controller until *stop becomes non-zero, or as once, dry_run and replay say; what these
 * have to tell is appended to out. ES_ERR_UNAVAILABLE: once, and the cluster did not let it;
 * ES_ERR_INTERNAL: the simulator decided otherwise. */
es_status es_controller_serve(es_controller_opts opts, es_text *out, es_error *err) ES_MUST_CHECK;

#endif
