/*
 * listen: what verbs that listen have in common (node, gateway, controller).
 */
#ifndef ES_CLI_LISTEN_H
#define ES_CLI_LISTEN_H

#include "cli/cli.h"
#include "route/route.h"

/* "ADDRESS:PORT" of --listen. */
es_status es_cli_listen(es_cli *cli, const char *listen, const char **out_address,
                        uint16_t *out_port, es_error *err) ES_MUST_CHECK;

/* The file of --tokens: lines `ROLE TOKEN`; '#' begins a comment. path NULL: none. */
es_status es_cli_tokens(es_cli *cli, const char *path, const es_http_token **out_tokens,
                        size_t *out_count, es_error *err) ES_MUST_CHECK;

/* A file of one line, a bearer token to show; path NULL gives NULL. */
es_status es_cli_token(es_cli *cli, const char *path, const char **out_token,
                       es_error *err) ES_MUST_CHECK;

/* Writes "ready PORT\n" to the file descriptor of --ready-fd. */
es_status es_cli_ready(int fd, uint16_t port, es_error *err) ES_MUST_CHECK;

/* Warns when the address is not loopback and nothing guards it. */
void es_cli_warn_open(const char *what, const char *address, bool guarded);

#endif
