/*
 * fleet_http: the nodes and gateways of a fleet behind real HTTP servers on loopback.
 */
#ifndef ES_CONTROL_FLEET_HTTP_H
#define ES_CONTROL_FLEET_HTTP_H

#include "fleet.h"

typedef struct fleet_http fleet_http;

/* Answers that are not what they should be, by process (nodes, then gateways). */
typedef enum fleet_manner {
    FLEET_GOOD,
    FLEET_SILENT,  /* takes the request and never answers */
    FLEET_GARBAGE, /* 200 with what is no JSON */
    FLEET_WRONG,   /* 200 with JSON of another kind */
    FLEET_TEAPOT,  /* 418 */
    FLEET_PLAIN    /* a server of the protocol that does not know our paths */
} fleet_manner;

fleet_http *fleet_http_new(fleet *own, es_world *world, const char *token);
void fleet_http_free(fleet_http *http);

void fleet_http_manner(fleet_http *http, uint32_t process, fleet_manner manner);
/* The process's server ends, and starts again on the same port. */
void fleet_http_stop(fleet_http *http, uint32_t process);
void fleet_http_start(fleet_http *http, uint32_t process);

/* The cluster document, with their addresses. */
const es_cluster *fleet_http_cluster(const fleet_http *http, es_arena *arena);
/* The same as a file; token_file names the file of the token, NULL: none. */
void fleet_http_write_cluster(const fleet_http *http, const char *path, const char *token_file);

#endif
