/*
 * world: three nodes, device - edge - cloud, and small models, for tests that start processes.
 */
#ifndef ES_SERVE_TESTING_WORLD_H
#define ES_SERVE_TESTING_WORLD_H

#include "es_test.h"
#include "runtime/runtime.h"
#include "serve/serve.h"

enum {
    WORLD_INPUTS = 64,
    WORLD_HIDDEN = 32,
    WORLD_CLASSES = 8,
    WORLD_ROUTES_MAX = 8,
    WORLD_SAMPLES = 10
};
enum { DEVICE, EDGE, CLOUD };

typedef struct world {
    es_arena *arena;
    const es_scenario *scenario;
    es_plan plan;
    es_routing routings[WORLD_ROUTES_MAX];
    es_placement placements[4 * WORLD_ROUTES_MAX];
    double refused_share[4];
    char folder[512];
} world;

/* Writes the models and parses the scenario: the standard head with `rest` behind it (demand and
 * more; NULL: 50 requests per second, constant). */
void world_make(world *w, const char *rest);
void world_done(world *w);
/* Adds a routing (class 0) and what it needs placed. nodes: of each stage. */
void world_route(world *w, const char *pipeline, const int *nodes, double share);
es_run_opts world_opts(void);
/* The run's outcome; fails the test when it fails. */
const es_outcome *world_run(world *w, es_run_opts opts);
/* served + refused + failed + in flight = arrived, everywhere. */
void world_conserves(const es_outcome *outcome);

#endif
