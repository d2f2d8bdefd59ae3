/*
 * roles: what a bearer token may do with a process that serves.
 */
#ifndef ES_ROUTE_ROLES_H
#define ES_ROUTE_ROLES_H

#include <stdint.h>

/* Bits of what a bearer token may do. */
enum {
    ES_SERVER_CLIENT = 1,     /* infer, look */
    ES_SERVER_NODE = 2,       /* and set routes */
    ES_SERVER_GATEWAY = 4,    /* the same */
    ES_SERVER_CONTROLLER = 8, /* and load, unload, name peers */
};

typedef struct es_server_token {
    const char *text; /* at least 16 characters */
    uint32_t roles;
} es_server_token;

#endif
