/* routes, private to its files: what routes and cluster check alike. */
#ifndef ES_ROUTE_ROUTES_INTERNAL_H
#define ES_ROUTE_ROUTES_INTERNAL_H

#include "routes.h"

/* A name: 1 to ES_SERVE_NAME_BYTES_MAX bytes without control characters, copied to arena. */
es_status es_serve_need_name(es_arena *arena, const es_doc *map, const char *key, const char **out,
                             es_error *err) ES_MUST_CHECK;
/* The key url: scheme, host and port, nothing else; copied to arena. */
es_status es_serve_need_url(es_arena *arena, const es_doc *map, const char **out,
                            es_error *err) ES_MUST_CHECK;
/* Fit to stand in a header. */
bool es_serve_token_is_good(const char *token);

#endif
