#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

enum { OPTIONS_BYTES_MAX = 4 << 20, LOOPS_MAX = 64, TEXT_SIZE_MAX = 128 };

es_http_server_opts es_http_server_opts_default(void)
{
    return (es_http_server_opts){
        .address = "127.0.0.1",
        .loop_count = 1,
        .connections_max = 1024,
        .target_bytes_max = 4096,
        .header_bytes_max = (size_t)16 << 10,
        .body_bytes_max = (size_t)64 << 20,
        .bodies_bytes_max = (size_t)512 << 20,
        .idle_timeout_s = 60,
        .receive_timeout_s = 20,
        .receive_rate_min = 65536,
    };
}

/* ---- options ---- */

static es_status check_range(const char *name, double value, double min, double max, es_error *err)
{
    if (!(value >= min && value <= max))
        return es_fail(err, ES_ERR_ARG, "%s=%g must be in [%g, %g]", name, value, min, max);
    return ES_OK;
}

static es_status check_opts(const es_http_server_opts *opts, es_error *err)
{
    const double bytes_max = 1e15;
    ES_TRY(check_range("loop_count", opts->loop_count, 1, LOOPS_MAX, err));
    ES_TRY(check_range("connections_max", opts->connections_max, 1, 1e6, err));
    ES_TRY(check_range("target_bytes_max", (double)opts->target_bytes_max, 16, 65536, err));
    ES_TRY(check_range("header_bytes_max", (double)opts->header_bytes_max, 256, 1 << 20, err));
    ES_TRY(check_range("body_bytes_max", (double)opts->body_bytes_max, 0, bytes_max, err));
    ES_TRY(check_range("bodies_bytes_max", (double)opts->bodies_bytes_max, 0, bytes_max, err));
    ES_TRY(check_range("idle_timeout_s", opts->idle_timeout_s, 1, 86400, err));
    ES_TRY(check_range("receive_timeout_s", opts->receive_timeout_s, 0.01, 86400, err));
    ES_TRY(check_range("receive_rate_min", opts->receive_rate_min, 1, 1e12, err));
    ES_TRY(check_range("answer_timeout_s", opts->answer_timeout_s, 0, 86400, err));
    ES_TRY(check_range("routes", (double)opts->route_count, 1, ES_HTTP_ROUTES_MAX, err));
    for (size_t i = 0; i < opts->route_count; i++) {
        ES_TRY(es_within(err, es_http_pattern_check(opts->routes[i].path, err), "routes[%zu]", i));
        if (opts->routes[i].handle == NULL || opts->routes[i].method >= ES_HTTP_METHOD_COUNT)
            return es_fail(err, ES_ERR_ARG, "routes[%zu]: needs a method and a handler", i);
    }
    for (size_t i = 0; i < opts->token_count; i++) {
        const char *text = opts->tokens[i].text;
        size_t size = text == NULL ? 0 : strlen(text);
        if (size < ES_HTTP_TOKEN_SIZE_MIN || size > ES_HTTP_TOKEN_SIZE_MAX)
            return es_fail(err, ES_ERR_ARG, "tokens[%zu]: %zu characters must be %d to %d", i, size,
                           ES_HTTP_TOKEN_SIZE_MIN, ES_HTTP_TOKEN_SIZE_MAX);
    }
    return ES_OK;
}

static es_status copy_text(es_arena *arena, const char **text, es_error *err)
{
    if (*text == NULL)
        return ES_OK;
    *text = es_arena_text(arena, *text);
    return *text != NULL ? ES_OK : es_arena_full(arena, "server options", err);
}

static es_status copy_opts(es_http_server *server, const es_http_server_opts *opts, es_error *err)
{
    es_arena *arena = server->arena;
    es_http_route *routes = ES_TAKE_ARRAY(arena, es_http_route, opts->route_count);
    es_http_token *tokens = ES_TAKE_ARRAY(arena, es_http_token, opts->token_count);
    server->opts = *opts;
    if (routes == NULL || tokens == NULL)
        return es_arena_full(arena, "server options", err);
    server->opts.routes = routes;
    server->opts.tokens = tokens;
    for (size_t i = 0; i < opts->route_count; i++) {
        routes[i] = opts->routes[i];
        ES_TRY(copy_text(arena, &routes[i].path, err));
    }
    for (size_t i = 0; i < opts->token_count; i++) {
        tokens[i] = opts->tokens[i];
        ES_TRY(copy_text(arena, &tokens[i].text, err));
    }
    ES_TRY(copy_text(arena, &server->opts.address, err));
    ES_TRY(copy_text(arena, &server->opts.tls.certificate_file, err));
    ES_TRY(copy_text(arena, &server->opts.tls.key_file, err));
    return copy_text(arena, &server->opts.tls.client_ca_file, err);
}

/* ---- listening ---- */

static es_status to_address(const es_http_server_opts *opts, struct sockaddr_storage *out,
                            socklen_t *out_size, es_error *err)
{
    struct sockaddr_in *four = (struct sockaddr_in *)out;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, opts->address, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons(opts->port);
        *out_size = sizeof *four;
        return ES_OK;
    }
    if (inet_pton(AF_INET6, opts->address, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(opts->port);
        *out_size = sizeof *six;
        return ES_OK;
    }
    return es_fail(err, ES_ERR_ARG, "address '%s' must be an IPv4 or IPv6 address in digits",
                   opts->address);
}

static es_status learn_port(es_http_server *server, es_error *err)
{
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    if (getsockname(server->listen_fd, (struct sockaddr *)&bound, &size) != 0)
        return es_fail(err, ES_ERR_IO, "cannot learn the port: errno %d", errno);
    server->port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                                     : ((struct sockaddr_in *)&bound)->sin_port);
    return ES_OK;
}

static es_status listen_on(es_http_server *server, es_error *err)
{
    struct sockaddr_storage address;
    socklen_t size = 0;
    int on = 1;
    char reason[TEXT_SIZE_MAX];
    ES_TRY(to_address(&server->opts, &address, &size, err));
    server->listen_fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (server->listen_fd >= 0) /* a port still in TIME_WAIT may be taken */
        (void)setsockopt(server->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (server->listen_fd < 0 || bind(server->listen_fd, (struct sockaddr *)&address, size) != 0 ||
        listen(server->listen_fd, SOMAXCONN) != 0) {
        int code = errno;
        if (strerror_r(code, reason, sizeof reason) != 0)
            (void)snprintf(reason, sizeof reason, "errno %d", code);
        return es_fail(err, ES_ERR_IO, "cannot listen on %s port %u: %s", server->opts.address,
                       (unsigned)server->opts.port, reason);
    }
    return learn_port(server, err);
}

/* ---- life ---- */

es_status es_http_server_init(es_http_server_opts opts, es_http_server **out_server, es_error *err)
{
    ES_TRY(check_opts(&opts, err));
    ES_CLEANUP(es_http_server_done_p) es_http_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for an HTTP server");
    server->listen_fd = -1;
    server->clock = es_clock_system();
    server->stop_at_ns = INT64_MAX;
    server->arena = es_arena_new(OPTIONS_BYTES_MAX);
    if (server->arena == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for an HTTP server");
    ES_TRY(copy_opts(server, &opts, err));
    ES_TRY(es_http_tls_read(server, err));
    server->loops = calloc(opts.loop_count, sizeof *server->loops);
    if (server->loops == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for %u loops", opts.loop_count);
    for (uint32_t i = 0; i < opts.loop_count; i++)
        server->loops[i] = (es_http_loop){.listen_fd = -1, .epoll_fd = -1};
    for (uint32_t i = 0; i < opts.loop_count; i++)
        ES_TRY(es_http_loop_init(&server->loops[i], server, err));
    ES_TRY(listen_on(server, err));
    *out_server = ES_TAKE(server);
    return ES_OK;
}

uint16_t es_http_server_port(const es_http_server *server)
{
    return server->port;
}

es_status es_http_server_start(es_http_server *server, es_error *err)
{
    if (server->started)
        return es_fail(err, ES_ERR_ARG, "an HTTP server starts once");
    server->started = true;
    for (uint32_t i = 0; i < server->opts.loop_count; i++) {
        es_status status = es_http_loop_start(&server->loops[i], err);
        if (status != ES_OK) {
            es_http_server_stop(server, 0);
            return status;
        }
    }
    return ES_OK;
}

void es_http_server_stop(es_http_server *server, double grace_s)
{
    if (server->stopped || server->loops == NULL)
        return;
    server->stopped = true;
    atomic_store(&server->stop_at_ns,
                 es_clock_now_ns(server->clock) + es_ns_from_s(grace_s > 0 ? grace_s : 0));
    if (server->listen_fd >= 0)
        (void)close(server->listen_fd); /* nothing was written to it */
    server->listen_fd = -1;
    for (uint32_t i = 0; i < server->opts.loop_count; i++) {
        if (server->loops[i].waker != NULL)
            es_http_waker_ring(server->loops[i].waker);
    }
    for (uint32_t i = 0; i < server->opts.loop_count; i++)
        es_http_loop_done(&server->loops[i]);
}

void es_http_server_done(es_http_server *server)
{
    if (server == NULL)
        return;
    es_http_server_stop(server, 0);
    if (server->listen_fd >= 0)
        (void)close(server->listen_fd); /* nothing was written to it */
    es_http_caller_free(server->caller);
    free(server->loops);
    es_arena_free(server->arena);
    free(server);
}

void es_http_server_done_p(es_http_server **server)
{
    es_http_server_done(*server);
}

es_http_stats es_http_server_stats(const es_http_server *server)
{
    return (es_http_stats){
        .connections = atomic_load(&server->connections),
        .connections_open = atomic_load(&server->connections_open),
        .requests = atomic_load(&server->requests),
        .handled = atomic_load(&server->handled),
        .refused = atomic_load(&server->refused),
        .timed_out_receiving = atomic_load(&server->late_receiving),
        .timed_out_answering = atomic_load(&server->late_answering),
        .gone = atomic_load(&server->gone),
        .body_bytes = atomic_load(&server->bodies),
    };
}
