/*
 * joules, private to serve: what a second of a busy processor costs above rest, by this machine's
 * counters where it has them, else by a power model, declared or generic; and what the process has
 * used so far. A figure always says its source and is never zero.
 *
 * With counters a thread looks at them twice a second; all reading functions are for any thread.
 */
#ifndef ES_SERVE_JOULES_H
#define ES_SERVE_JOULES_H

#include "meter/meter.h"

enum { ES_JOULES_SOURCE_SIZE = 32 };

typedef struct es_joules es_joules;

typedef struct es_joules_opts {
    const char *root;      /* where sys and proc are; NULL or "": this machine's */
    double idle_w, busy_w; /* of the whole node, declared; both 0: not declared */
    double g_per_kwh;      /* of the grid; NAN: not told */
    es_clock *clock;       /* of the counters; NULL: the system's */
    bool by_hand;          /* no thread: es_joules_look does it, for tests */
} es_joules_opts;

es_status es_joules_new(es_joules_opts opts, es_joules **out_joules, es_error *err) ES_MUST_CHECK;
void es_joules_free(es_joules *joules); /* joins; NULL is fine */

/* Looks at the counters, where there are any. */
void es_joules_look(es_joules *joules);

/* Joules of `busy_s` processor seconds, > 0 for busy_s > 0; *out_source "rapl", ..., "model". */
double es_joules_of(const es_joules *joules, double busy_s, const char **out_source);

/* Grams of CO2e of joules; NAN when the grid's intensity was not told. */
double es_joules_grams(const es_joules *joules, double energy_j);

typedef struct es_joules_total {
    double energy_j; /* of this process above rest, since es_joules_new */
    double busy_s;   /* its processor seconds, user and system, since it began */
    char source[ES_JOULES_SOURCE_SIZE];
} es_joules_total;

void es_joules_total_get(es_joules *joules, es_joules_total *out);

#endif
