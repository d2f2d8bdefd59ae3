#include "internal.h"

#include <strings.h>

static const char *const METHODS[ES_HTTP_METHOD_COUNT] = {
    [ES_HTTP_GET] = "GET",       [ES_HTTP_POST] = "POST",   [ES_HTTP_PUT] = "PUT",
    [ES_HTTP_DELETE] = "DELETE", [ES_HTTP_PATCH] = "PATCH",
};

const char *es_http_method_name(es_http_method method)
{
    return (unsigned)method < ES_HTTP_METHOD_COUNT ? METHODS[method] : "?";
}

/* The headers that decide, gathered in one walk. */
typedef struct head {
    size_t length_count, transfer_count;
    const char *length, *transfer, *encoding, *authorization;
    bool has_nul;
} head;

static enum MHD_Result look_at_header(void *context, enum MHD_ValueKind kind, const char *key,
                                      size_t key_size, const char *value, size_t value_size)
{
    head *seen = context;
    (void)kind; /* only headers are asked for */
    (void)key_size;
    if (value == NULL)
        return MHD_YES;
    seen->has_nul |= strlen(value) != value_size;
    if (strcasecmp(key, "content-length") == 0) {
        seen->length_count++;
        seen->length = value;
    } else if (strcasecmp(key, "transfer-encoding") == 0) {
        seen->transfer_count++;
        seen->transfer = value;
    } else if (strcasecmp(key, "content-encoding") == 0) {
        seen->encoding = value;
    } else if (strcasecmp(key, "authorization") == 0 && seen->authorization == NULL) {
        seen->authorization = value;
    }
    return MHD_YES;
}

static bool to_length(const char *text, uint64_t *out)
{
    uint64_t value = 0;
    if (*text == '\0' || strlen(text) > 18)
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
    }
    *out = value;
    return true;
}

/* Two readings of where a body ends let a request hide in another one. */
static int check_framing(const head *seen, uint64_t *out_length, bool *out_chunked, es_error *err)
{
    *out_length = 0;
    *out_chunked = false;
    if (seen->has_nul) {
        (void)es_fail(err, ES_ERR_PARSE, "a header holds a NUL byte");
        return 400;
    }
    if (seen->length_count + seen->transfer_count > 1) {
        (void)es_fail(err, ES_ERR_PARSE,
                      "one Content-Length or one Transfer-Encoding is expected, not %zu",
                      seen->length_count + seen->transfer_count);
        return 400;
    }
    if (seen->length != NULL && !to_length(seen->length, out_length)) {
        (void)es_fail(err, ES_ERR_PARSE, "Content-Length '%.32s' must be a number", seen->length);
        return 400;
    }
    if (seen->transfer != NULL) {
        *out_chunked = true;
        if (strcasecmp(seen->transfer, "chunked") != 0) {
            (void)es_fail(err, ES_ERR_UNSUPPORTED, "Transfer-Encoding '%.32s' is not 'chunked'",
                          seen->transfer);
            return 501;
        }
    }
    if (seen->encoding != NULL && strcasecmp(seen->encoding, "identity") != 0) {
        (void)es_fail(err, ES_ERR_UNSUPPORTED, "Content-Encoding '%.32s' is not 'identity'",
                      seen->encoding);
        return 415;
    }
    return 0;
}

static bool method_fits(es_http_method wanted, const char *method)
{
    return strcmp(METHODS[wanted], method) == 0 ||
           (wanted == ES_HTTP_GET && strcmp(method, "HEAD") == 0);
}

static int find_route(es_http_request *request, const char *method, es_error *err)
{
    const es_http_server *server = request->loop->server;
    bool path_known = false;
    for (size_t i = 0; i < server->opts.route_count; i++) {
        const es_http_route *route = &server->opts.routes[i];
        if (path_known && !method_fits(route->method, method))
            continue;
        if (!es_http_path_fits(route->path, request->target, &request->match, request->scratch,
                               request->target_capacity))
            continue;
        path_known = true;
        if (method_fits(route->method, method)) {
            request->route = route;
            request->method = route->method;
            return 0;
        }
    }
    request->match.count = 0;
    if (path_known) {
        (void)es_fail(err, ES_ERR_UNSUPPORTED, "method %.16s is not allowed for '%.200s'", method,
                      request->target);
        return 405;
    }
    (void)es_fail(err, ES_ERR_ARG, "nothing is at '%.200s'", request->target);
    return 404;
}

void es_http_allowed(es_http_request *request, char out[ES_HTTP_ALLOWED_SIZE])
{
    const es_http_server_opts *opts = &request->loop->server->opts;
    es_http_match match;
    unsigned mask = 0;
    size_t used = 0;
    for (size_t i = 0; i < opts->route_count; i++) {
        if (es_http_path_fits(opts->routes[i].path, request->target, &match, request->scratch,
                              request->target_capacity))
            mask |= 1u << opts->routes[i].method;
    }
    out[0] = '\0';
    for (unsigned i = 0; i < ES_HTTP_METHOD_COUNT; i++) { /* all names together fit */
        if ((mask & 1u << i) != 0)
            used +=
                (size_t)snprintf(out + used, ES_HTTP_ALLOWED_SIZE - used, "%s%s",
                                 used > 0 ? ", " : "", i == ES_HTTP_GET ? "GET, HEAD" : METHODS[i]);
    }
}

static int check_role(es_http_request *request, const char *authorization, es_error *err)
{
    const es_http_server_opts *opts = &request->loop->server->opts;
    request->roles = es_http_bearer_roles(authorization, opts->tokens, opts->token_count);
    if (opts->token_count == 0 || request->route->roles == 0 ||
        (request->roles & request->route->roles) != 0)
        return 0;
    if (request->roles == 0) {
        (void)es_fail(err, ES_ERR_ARG,
                      authorization == NULL ? "a bearer token is needed (Authorization: Bearer ...)"
                                            : "the bearer token is not known");
        return 401;
    }
    (void)es_fail(err, ES_ERR_ARG, "the token's role does not allow this");
    return 403;
}

/* Blocks of memory begin at multiples of it. A number that is none is for the handler to refuse. */
static size_t find_shift(const es_http_request *request)
{
    const char *name = request->route->head_size_header;
    const char *value = name != NULL ? es_http_request_header(request, name) : NULL;
    uint64_t head_bytes = 0;
    if (value == NULL || !to_length(value, &head_bytes))
        return 0;
    return (ES_HTTP_BODY_ALIGN - head_bytes % ES_HTTP_BODY_ALIGN) % ES_HTTP_BODY_ALIGN;
}

static int check_sizes(es_http_request *request, struct MHD_Connection *mhd, uint64_t length,
                       es_error *err)
{
    const es_http_server_opts *opts = &request->loop->server->opts;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    request->body_shift = find_shift(request);
    request->body_max = opts->body_bytes_max;
    if (request->route->body_bytes_max > 0)
        request->body_max = request->route->body_bytes_max;
    if (info != NULL && info->header_size > opts->header_bytes_max) {
        (void)es_fail(err, ES_ERR_LIMIT, "%zu bytes of headers are more than %zu",
                      info->header_size, opts->header_bytes_max);
        return 431;
    }
    if (length > request->body_max) {
        (void)es_fail(err, ES_ERR_LIMIT, "a body of %llu bytes is larger than %zu",
                      (unsigned long long)length, request->body_max);
        return 413;
    }
    if (length > 0 && request->route->take == NULL &&
        !es_http_body_reserve(request, (size_t)length)) {
        (void)es_fail(err, ES_ERR_NOMEM, "no room for a body of %llu bytes now",
                      (unsigned long long)length);
        return 503;
    }
    return 0;
}

static bool client_is_trusted(es_http_request *request, struct MHD_Connection *mhd)
{
    es_http_conn *conn = request->conn;
    if (request->loop->server->ca_pem != NULL && !conn->certificate_good)
        conn->certificate_good = es_http_tls_client_good(mhd);
    return request->loop->server->ca_pem == NULL || conn->certificate_good;
}

int es_http_head_check(es_http_request *request, const char *method, uint64_t *out_length,
                       bool *out_chunked, es_error *err)
{
    struct MHD_Connection *mhd = request->mhd;
    head seen = {0};
    (void)MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, look_at_header, &seen);
    int status = check_framing(&seen, out_length, out_chunked, err);
    if (status == 0 && !client_is_trusted(request, mhd)) {
        (void)es_fail(err, ES_ERR_ARG, "a client certificate of a trusted authority is needed");
        status = 403;
    }
    if (status == 0 && request->target_too_long) {
        (void)es_fail(err, ES_ERR_LIMIT, "path and query are longer than %zu bytes",
                      request->loop->server->opts.target_bytes_max);
        status = 414;
    }
    if (status == 0)
        status = find_route(request, method, err);
    if (status == 0)
        status = check_role(request, seen.authorization, err);
    if (status == 0)
        status = check_sizes(request, mhd, *out_length, err);
    return status;
}
