/*
 * roles: what a bearer token (es_http_token) may do with a process that serves.
 */
#ifndef ES_ROUTE_ROLES_H
#define ES_ROUTE_ROLES_H

/* Bits of what a bearer token may do. */
enum {
    ES_SERVER_CLIENT = 1,     /* infer, look */
    ES_SERVER_NODE = 2,       /* and set routes */
    ES_SERVER_GATEWAY = 4,    /* the same */
    ES_SERVER_CONTROLLER = 8, /* and load, unload, name peers */
};

#endif
