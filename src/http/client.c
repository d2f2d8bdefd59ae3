#include "base/array.h"
#include "base/text.h"
#include "internal.h"

#include <curl/curl.h>
#include <strings.h>

struct es_http_client {
    CURL *curl;
    es_arena *arena; /* options */
    es_http_client_opts opts;
    char *authorization;
};

/* What one call gathers. */
typedef struct gathering {
    es_arena *arena;
    const es_http_client_opts *opts;
    CURL *curl;
    volatile sig_atomic_t *stop;
    ES_ARRAY(es_http_header) headers;
    size_t header_bytes;
    char *body;
    size_t body_bytes, body_capacity;
    es_status status; /* why gathering was ended */
    es_error why;
} gathering;

/* ---- life ---- */

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void library_start(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT); /* a failure shows when a handle is made */
}

es_http_client_opts es_http_client_opts_default(void)
{
    return (es_http_client_opts){.connect_timeout_s = 5,
                                 .timeout_s = 30,
                                 .header_bytes_max = (size_t)64 << 10,
                                 .body_bytes_max = (size_t)64 << 20};
}

static es_status check_opts(const es_http_client_opts *opts, es_error *err)
{
    const char *url = opts->url;
    const char *host = url == NULL ? NULL : strstr(url, "://");
    if (host == NULL || (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) ||
        host[3] == '\0' || strpbrk(host + 3, "/?#@ \r\n") != NULL)
        return es_fail(err, ES_ERR_ARG, "url '%s' must be http://HOST:PORT or https://HOST:PORT",
                       url == NULL ? "" : url);
    if (!(opts->connect_timeout_s > 0 && opts->connect_timeout_s <= 86400) ||
        !(opts->timeout_s > 0 && opts->timeout_s <= 86400))
        return es_fail(err, ES_ERR_ARG,
                       "connect_timeout_s=%g and timeout_s=%g must be in (0, 86400]",
                       opts->connect_timeout_s, opts->timeout_s);
    if ((opts->certificate_file == NULL) != (opts->key_file == NULL))
        return es_fail(err, ES_ERR_ARG, "certificate_file and key_file go together");
    if (opts->token != NULL && strpbrk(opts->token, "\r\n") != NULL)
        return es_fail(err, ES_ERR_ARG, "the token must be one line");
    return ES_OK;
}

static es_status copy_opts(es_http_client *client, const es_http_client_opts *opts, es_error *err)
{
    const char **texts[] = {&client->opts.url, &client->opts.ca_file,
                            &client->opts.certificate_file, &client->opts.key_file,
                            &client->opts.token};
    client->opts = *opts;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (*texts[i] != NULL && (*texts[i] = es_arena_text(client->arena, *texts[i])) == NULL)
            return es_arena_full(client->arena, "client options", err);
    }
    if (opts->token == NULL)
        return ES_OK;
    client->authorization = es_arena_format(client->arena, "Authorization: Bearer %s", opts->token);
    return client->authorization != NULL ? ES_OK
                                         : es_arena_full(client->arena, "client options", err);
}

es_status es_http_client_new(es_http_client_opts opts, es_http_client **out_client, es_error *err)
{
    enum { OPTIONS_BYTES_MAX = 1 << 20 };
    ES_TRY(check_opts(&opts, err));
    (void)pthread_once(&library_once, library_start); /* cannot fail with these arguments */
    ES_CLEANUP(es_http_client_free_p) es_http_client *client = calloc(1, sizeof *client);
    if (client != NULL)
        client->arena = es_arena_new(OPTIONS_BYTES_MAX);
    if (client == NULL || client->arena == NULL || (client->curl = curl_easy_init()) == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for an HTTP client");
    ES_TRY(copy_opts(client, &opts, err));
    *out_client = ES_TAKE(client);
    return ES_OK;
}

void es_http_client_free(es_http_client *client)
{
    if (client == NULL)
        return;
    if (client->curl != NULL)
        curl_easy_cleanup(client->curl);
    es_arena_free(client->arena);
    free(client);
}

void es_http_client_free_p(es_http_client **client)
{
    es_http_client_free(*client);
}

/* ---- gathering the reply ---- */

static size_t stop_gathering(gathering *got, es_status status)
{
    got->status = status;
    return 0; /* less than was offered: the library ends the call */
}

static size_t take_header(char *line, size_t size, size_t count, void *context)
{
    gathering *got = context;
    size_t bytes = size * count;
    const char *colon = memchr(line, ':', bytes);
    if (bytes > 5 && strncmp(line, "HTTP/", 5) == 0) { /* a new answer: after 100 Continue */
        got->headers.count = 0;
        got->header_bytes = 0;
    }
    got->header_bytes += bytes;
    if (got->header_bytes > got->opts->header_bytes_max ||
        got->headers.count == ES_HTTP_HEADERS_MAX)
        return stop_gathering(got, es_fail(&got->why, ES_ERR_LIMIT,
                                           "more than %zu bytes or %d lines of headers",
                                           got->opts->header_bytes_max, ES_HTTP_HEADERS_MAX));
    if (colon == NULL || colon == line)
        return bytes;
    const char *from = colon + 1;
    const char *end = line + bytes;
    while (from < end && (*from == ' ' || *from == '\t'))
        from++;
    while (end > from && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' '))
        end--;
    es_http_header header = {.name = es_arena_text_n(got->arena, line, (size_t)(colon - line)),
                             .value = es_arena_text_n(got->arena, from, (size_t)(end - from))};
    if (header.name == NULL || header.value == NULL)
        return stop_gathering(got, es_arena_full(got->arena, "headers of a reply", &got->why));
    es_status status =
        ES_ARRAY_PUSH(got->arena, &got->headers, header, "headers of a reply", &got->why);
    return status == ES_OK ? bytes : stop_gathering(got, status);
}

/* Room for `bytes` more and a terminator: at once when the length is known. */
static es_status reserve(gathering *got, size_t bytes)
{
    curl_off_t length = -1;
    size_t wanted = got->body_bytes + bytes; /* both bounded by body_bytes_max, below */
    if (wanted > got->opts->body_bytes_max)
        return es_fail(&got->why, ES_ERR_LIMIT, "a body of more than %zu bytes",
                       got->opts->body_bytes_max);
    if (wanted < got->body_capacity)
        return ES_OK;
    (void)curl_easy_getinfo(got->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (length > 0 && (uint64_t)length > got->opts->body_bytes_max)
        return es_fail(&got->why, ES_ERR_LIMIT, "a body of %lld bytes is more than %zu",
                       (long long)length, got->opts->body_bytes_max);
    size_t capacity = 2 * wanted;
    if (length > 0 && (uint64_t)length >= wanted)
        capacity = (size_t)length;
    char *larger = ES_TAKE_ARRAY(got->arena, char, capacity + 1);
    if (larger == NULL)
        return es_arena_full(got->arena, "body of a reply", &got->why);
    if (got->body_bytes > 0)
        memcpy(larger, got->body, got->body_bytes);
    got->body = larger;
    got->body_capacity = capacity + 1;
    return ES_OK;
}

static size_t take_body(char *bytes, size_t size, size_t count, void *context)
{
    gathering *got = context;
    size_t total = size * count;
    if (total > got->opts->body_bytes_max)
        return stop_gathering(got, es_fail(&got->why, ES_ERR_LIMIT, "a body of more than %zu bytes",
                                           got->opts->body_bytes_max));
    es_status status = reserve(got, total);
    if (status != ES_OK)
        return stop_gathering(got, status);
    memcpy(got->body + got->body_bytes, bytes, total);
    got->body_bytes += total;
    got->body[got->body_bytes] = '\0';
    return total;
}

static int look_at_stop(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                        curl_off_t up)
{
    gathering *got = context;
    (void)down_total;
    (void)down;
    (void)up_total;
    (void)up;
    return got->stop != NULL && *got->stop != 0;
}

/* ---- a call ---- */

static bool add_line(struct curl_slist **lines, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*lines, line);
    if (longer == NULL)
        return false;
    *lines = longer;
    return true;
}

static es_status make_lines(es_http_client *client, es_arena *arena, const es_http_call *call,
                            struct curl_slist **lines, es_error *err)
{
    /* The library would wait a second for "100 Continue" with larger bodies, and would call every
     * body a form. */
    bool good = add_line(lines, "Expect:") && add_line(lines, "User-Agent: estran");
    bool has_type = false;
    if (client->authorization != NULL)
        good = good && add_line(lines, client->authorization);
    for (size_t i = 0; i < call->header_count; i++) {
        const es_http_header *header = &call->headers[i];
        if (strpbrk(header->name, "\r\n:; ") != NULL || strpbrk(header->value, "\r\n") != NULL)
            return es_fail(err, ES_ERR_ARG, "headers[%zu]: name and value must be one line", i);
        has_type |= strcasecmp(header->name, "content-type") == 0;
        /* "name;" is the library's way to say an empty value */
        const char *line = header->value[0] == '\0'
                               ? es_arena_format(arena, "%s;", header->name)
                               : es_arena_format(arena, "%s: %s", header->name, header->value);
        good = good && line != NULL && add_line(lines, line);
    }
    if (!has_type)
        good = good && add_line(lines, "Content-Type:");
    return good ? ES_OK : es_fail(err, ES_ERR_NOMEM, "no memory for the headers of a call");
}

static void set_method(CURL *curl, const es_http_call *call)
{
    bool has_body = call->body_bytes > 0 || call->method == ES_HTTP_POST ||
                    call->method == ES_HTTP_PUT || call->method == ES_HTTP_PATCH;
    if (has_body) {
        (void)curl_easy_setopt(curl, CURLOPT_POST, 1L);
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_bytes);
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, call->body != NULL ? call->body : "");
    } else {
        (void)curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    }
    (void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, es_http_method_name(call->method));
}

/* Options that the library was built without show in the call's result. */
static void set_options(es_http_client *client, const es_http_call *call, gathering *got,
                        struct curl_slist *lines, char *reason)
{
    CURL *curl = client->curl;
    const es_http_client_opts *opts = &client->opts;
    double timeout_s = call->timeout_s > 0 ? call->timeout_s : opts->timeout_s;
    double connect_s = opts->connect_timeout_s < timeout_s ? opts->connect_timeout_s : timeout_s;
    curl_easy_reset(curl); /* keeps the connection */
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(curl, CURLOPT_MAXCONNECTS, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, lines);
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(timeout_s * 1000 + 0.999));
    (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)(connect_s * 1000 + 0.999));
    (void)curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    (void)curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (opts->ca_file != NULL) {
        (void)curl_easy_setopt(curl, CURLOPT_CAINFO, opts->ca_file);
        (void)curl_easy_setopt(curl, CURLOPT_CAPATH, NULL); /* these and no others */
    }
    if (opts->certificate_file != NULL) {
        (void)curl_easy_setopt(curl, CURLOPT_SSLCERT, opts->certificate_file);
        (void)curl_easy_setopt(curl, CURLOPT_SSLKEY, opts->key_file);
    }
    (void)curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    (void)curl_easy_setopt(curl, CURLOPT_HEADERDATA, got);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, got);
    if (call->stop != NULL) {
        (void)curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
        (void)curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look_at_stop);
        (void)curl_easy_setopt(curl, CURLOPT_XFERINFODATA, got);
    }
    set_method(curl, call);
}

static es_status failed(const es_http_client *client, const es_http_call *call,
                        const gathering *got, CURLcode code, const char *reason, es_error *err)
{
    const char *text = reason[0] != '\0' ? reason : curl_easy_strerror(code);
    const char *method = es_http_method_name(call->method);
    if (got->status != ES_OK)
        return es_fail(err, got->status, "%s %s%s: %s", method, client->opts.url, call->path,
                       es_error_text(&got->why));
    es_status status = ES_ERR_UNAVAILABLE;
    if (code == CURLE_ABORTED_BY_CALLBACK)
        status = ES_ERR_CANCELLED;
    else if (code == CURLE_OUT_OF_MEMORY)
        status = ES_ERR_NOMEM;
    else if (code == CURLE_WEIRD_SERVER_REPLY || code == CURLE_UNSUPPORTED_PROTOCOL)
        status = ES_ERR_PARSE;
    else if (code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_CACERT_BADFILE)
        status = ES_ERR_ARG;
    return es_fail(err, status, "%s %s%s: %s", method, client->opts.url, call->path, text);
}

es_status es_http_client_call(es_http_client *client, es_arena *arena, const es_http_call *call,
                              es_http_reply *out_reply, es_error *err)
{
    char reason[CURL_ERROR_SIZE] = "";
    struct curl_slist *lines = NULL;
    if (call->path == NULL || call->path[0] != '/' || strpbrk(call->path, " \r\n") != NULL)
        return es_fail(err, ES_ERR_ARG, "path '%s' must begin with '/' and hold no spaces",
                       call->path == NULL ? "" : call->path);
    const char *url = es_arena_format(arena, "%s%s", client->opts.url, call->path);
    if (url == NULL)
        return es_arena_full(arena, "url of a call", err);
    gathering got = {.arena = arena,
                     .opts = &client->opts,
                     .curl = client->curl,
                     .stop = call->stop,
                     .status = ES_OK};
    es_status status = make_lines(client, arena, call, &lines, err);
    if (status == ES_OK) {
        set_options(client, call, &got, lines, reason);
        (void)curl_easy_setopt(client->curl, CURLOPT_URL, url);
        CURLcode code = curl_easy_perform(client->curl);
        if (code != CURLE_OK)
            status = failed(client, call, &got, code, reason, err);
    }
    if (status == ES_OK) {
        long http_status = 0;
        long connects = 0;
        (void)curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &http_status);
        (void)curl_easy_getinfo(client->curl, CURLINFO_NUM_CONNECTS, &connects);
        *out_reply = (es_http_reply){.status = (int)http_status,
                                     .headers = got.headers.items,
                                     .header_count = got.headers.count,
                                     .body = got.body != NULL ? got.body : "",
                                     .body_bytes = got.body_bytes,
                                     .reused = connects == 0};
    }
    curl_slist_free_all(lines);
    return status;
}

const char *es_http_reply_header(const es_http_reply *reply, const char *name)
{
    for (size_t i = 0; i < reply->header_count; i++) {
        if (strcasecmp(reply->headers[i].name, name) == 0)
            return reply->headers[i].value;
    }
    return NULL;
}
