/* One call with libcurl: what goes out, what comes back. A transfer is used again for later calls,
 * and keeps the library's handle, its options and its own buffers as far as they fit. */
#include "base/checked.h"
#include "calling.h"

#include <strings.h>

enum { KEPT_BODY_BYTES_MAX = 64 << 10, FIXED_LINES = 4 };

/* ---- the request, on the thread that sends ---- */

static bool grow(char **bytes, size_t *capacity, size_t wanted)
{
    if (wanted <= *capacity)
        return true;
    char *larger = realloc(*bytes, wanted + wanted / 2);
    if (larger == NULL)
        return false;
    *bytes = larger;
    *capacity = wanted + wanted / 2;
    return true;
}

static es_status check_call(const es_http_call *call, size_t *out_text, es_error *err)
{
    if (call->path == NULL || call->path[0] != '/' || strpbrk(call->path, " \r\n") != NULL)
        return es_fail(err, ES_ERR_ARG, "path '%s' must begin with '/' and hold no spaces",
                       call->path == NULL ? "" : call->path);
    if ((unsigned)call->method >= ES_HTTP_METHOD_COUNT || !(call->timeout_s >= 0))
        return es_fail(err, ES_ERR_ARG, "a call needs a method, and timeout_s=%g >= 0",
                       call->timeout_s);
    if (call->header_count > ES_HTTP_HEADERS_MAX)
        return es_fail(err, ES_ERR_ARG, "%zu headers are more than %d", call->header_count,
                       ES_HTTP_HEADERS_MAX);
    *out_text = 0;
    for (size_t i = 0; i < call->header_count; i++) {
        const es_http_header *header = &call->headers[i];
        if (header->name[0] == '\0' || strpbrk(header->name, "\r\n:; ") != NULL ||
            strpbrk(header->value, "\r\n") != NULL)
            return es_fail(err, ES_ERR_ARG, "headers[%zu]: name and value must be one line", i);
        *out_text += strlen(header->name) + strlen(header->value) + 3;
    }
    return ES_OK;
}

static bool fill_url(es_http_transfer *transfer, const char *path)
{
    const es_http_peer *peer = transfer->peer;
    size_t base = strlen(peer->opts.url);
    size_t size = strlen(path) + 1;
    transfer->url_changed = true;
    if (transfer->url_of == peer->serial && strcmp(transfer->url + base, path) == 0) {
        transfer->url_changed = false;
        return true;
    }
    transfer->url_of = 0;
    if (!grow(&transfer->url, &transfer->url_capacity, base + size))
        return false;
    memcpy(transfer->url, peer->opts.url, base);
    memcpy(transfer->url + base, path, size);
    transfer->url_of = peer->serial;
    return true;
}

static void add_line(es_http_transfer *transfer, size_t *count, const char *text)
{
    struct curl_slist *line = &transfer->lines[(*count)++];
    line->data = (char *)(uintptr_t)text; /* the library only reads it */
    line->next = NULL;
    if (line > transfer->lines)
        line[-1].next = line;
}

static void write_lines(es_http_transfer *transfer, const es_http_call *call)
{
    size_t count = 0;
    bool has_type = false;
    char *text = transfer->text;
    /* The library would wait a second for "100 Continue" with larger bodies, and would call every
     * body a form. */
    add_line(transfer, &count, "Expect:");
    add_line(transfer, &count, "User-Agent: estran");
    if (transfer->peer->authorization != NULL)
        add_line(transfer, &count, transfer->peer->authorization);
    for (size_t i = 0; i < call->header_count; i++) {
        const es_http_header *header = &call->headers[i];
        size_t name = strlen(header->name);
        size_t value = strlen(header->value);
        has_type |= strcasecmp(header->name, "content-type") == 0;
        add_line(transfer, &count, text);
        memcpy(text, header->name, name);
        memcpy(text + name, value == 0 ? ";" : ": ", 2); /* "name;" is its way to say empty */
        memcpy(text + name + 2, header->value, value + 1);
        text += name + value + 3;
    }
    if (!has_type)
        add_line(transfer, &count, "Content-Type:");
}

static bool fill_lines(es_http_transfer *transfer, const es_http_call *call, size_t text_size)
{
    size_t wanted = call->header_count + FIXED_LINES;
    if (wanted > transfer->line_capacity) {
        struct curl_slist *more = realloc(transfer->lines, wanted * sizeof *more);
        if (more == NULL)
            return false;
        transfer->lines = more;
        transfer->line_capacity = wanted;
    }
    if (!grow(&transfer->text, &transfer->text_capacity, text_size))
        return false;
    write_lines(transfer, call);
    return true;
}

es_status es_http_transfer_fill(es_http_transfer *transfer, const es_http_call *call, es_error *err)
{
    size_t text_size = 0;
    const es_http_peer_opts *opts = &transfer->peer->opts;
    ES_TRY(check_call(call, &text_size, err));
    if (!fill_url(transfer, call->path) || !fill_lines(transfer, call, text_size))
        return es_fail(err, ES_ERR_NOMEM, "no memory for a call to %s", opts->url);
    transfer->method = call->method;
    transfer->body = call->body;
    transfer->body_bytes = call->body_bytes;
    transfer->repeatable = call->repeatable;
    transfer->called = call->called;
    transfer->context = call->context;
    transfer->timeout_s = call->timeout_s > 0 ? call->timeout_s : opts->timeout_s;
    transfer->deadline_ns = es_clock_now_ns(es_clock_system()) + es_ns_from_s(transfer->timeout_s);
    return ES_OK;
}

/* ---- the reply, as the library hands it over ---- */

static size_t stop_gathering(es_http_transfer *transfer, es_status status, const char *text,
                             size_t number)
{
    (void)es_fail(&transfer->why, status, "%s %zu", text, number);
    (void)es_within(&transfer->why, status, "%s %s", es_http_method_name(transfer->method),
                    transfer->url);
    return 0; /* less than was offered: the library ends the call */
}

static bool keep_header(es_http_transfer *transfer, const char *line, size_t name,
                        const char *value, size_t value_size)
{
    size_t at = transfer->header_used;
    size_t total = name + value_size + 2;
    if (!grow(&transfer->header_text, &transfer->header_capacity, at + total))
        return false;
    memcpy(transfer->header_text + at, line, name);
    transfer->header_text[at + name] = '\0';
    memcpy(transfer->header_text + at + name + 1, value, value_size);
    transfer->header_text[at + name + 1 + value_size] = '\0';
    transfer->name_at[transfer->header_count] = (uint32_t)at;
    transfer->value_at[transfer->header_count] = (uint32_t)(at + name + 1);
    transfer->header_count++;
    transfer->header_used = at + total;
    return true;
}

static size_t take_header(char *line, size_t size, size_t count, void *context)
{
    es_http_transfer *transfer = context;
    size_t limit = transfer->peer->opts.header_bytes_max;
    size_t bytes = size * count;
    if (bytes > 5 && strncmp(line, "HTTP/", 5) == 0) { /* a new answer: after 100 Continue */
        transfer->header_count = 0;
        transfer->header_used = 0;
        transfer->header_bytes = 0;
    }
    transfer->header_bytes += bytes;
    if (transfer->header_bytes > limit || transfer->header_bytes > UINT32_MAX / 2)
        return stop_gathering(transfer, ES_ERR_LIMIT, "bytes of headers are more than", limit);
    const char *colon = memchr(line, ':', bytes);
    if (colon == NULL || colon == line)
        return bytes;
    if (transfer->header_count == ES_HTTP_HEADERS_MAX)
        return stop_gathering(transfer, ES_ERR_LIMIT, "lines of headers are more than",
                              ES_HTTP_HEADERS_MAX);
    const char *from = colon + 1;
    const char *end = line + bytes;
    while (from < end && (*from == ' ' || *from == '\t'))
        from++;
    while (end > from && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' '))
        end--;
    if (!keep_header(transfer, line, (size_t)(colon - line), from, (size_t)(end - from)))
        return stop_gathering(transfer, ES_ERR_NOMEM, "no memory for headers; bytes:", bytes);
    return bytes;
}

/* Room for a body of `wanted` bytes and a terminator: at once when the length is known. */
static bool reserve(es_http_transfer *transfer, size_t wanted)
{
    size_t capacity = 2 * wanted;
    curl_off_t length = -1;
    if (wanted < transfer->reply_capacity)
        return true;
    (void)curl_easy_getinfo(transfer->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (length > 0 && (uint64_t)length >= wanted)
        capacity = (size_t)length;
    char *larger = transfer->reply_bytes == 0 ? malloc(capacity + 1)
                                              : realloc(transfer->reply_body, capacity + 1);
    if (larger == NULL)
        return false;
    if (transfer->reply_bytes == 0)
        free(transfer->reply_body);
    transfer->reply_body = larger;
    transfer->reply_capacity = capacity + 1;
    return true;
}

static size_t take_body(char *bytes, size_t size, size_t count, void *context)
{
    es_http_transfer *transfer = context;
    size_t limit = transfer->peer->opts.body_bytes_max;
    size_t total = size * count;
    if (total > limit || transfer->reply_bytes > limit - total)
        return stop_gathering(transfer, ES_ERR_LIMIT, "the body is larger than", limit);
    if (!reserve(transfer, transfer->reply_bytes + total))
        return stop_gathering(transfer, ES_ERR_NOMEM, "no memory for the body; bytes:", total);
    memcpy(transfer->reply_body + transfer->reply_bytes, bytes, total);
    transfer->reply_bytes += total;
    transfer->reply_body[transfer->reply_bytes] = '\0';
    return total;
}

/* The request is about to go out. By itself the library would repeat every call on a fresh
 * connection when a kept one is dead, up to five times. */
static int on_attempt(void *context, char *to_ip, char *from_ip, int to_port, int from_port)
{
    es_http_transfer *transfer = context;
    (void)to_ip;
    (void)from_ip;
    (void)to_port;
    (void)from_port;
    transfer->attempts++;
    return transfer->attempts > (transfer->repeatable ? 2u : 1u) ? CURL_PREREQFUNC_ABORT
                                                                 : CURL_PREREQFUNC_OK;
}

/* ---- the library's handle ---- */

/* An option that the library was built without shows in the call's result. */
static bool set_text(CURL *curl, CURLoption option, const char *text)
{
    return curl_easy_setopt(curl, option, text) != CURLE_OUT_OF_MEMORY;
}

static bool set_tls(CURL *curl, const es_http_peer_opts *opts)
{
    bool good = true;
    (void)curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    (void)curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (opts->ca_file != NULL) {
        good = set_text(curl, CURLOPT_CAINFO, opts->ca_file);
        (void)curl_easy_setopt(curl, CURLOPT_CAPATH, NULL); /* these and no others */
    }
    if (opts->certificate_file != NULL)
        good = good && set_text(curl, CURLOPT_SSLCERT, opts->certificate_file) &&
               set_text(curl, CURLOPT_SSLKEY, opts->key_file);
    return good;
}

/* What is the same for all calls to a peer. */
static bool configure(es_http_transfer *transfer)
{
    enum { PIECE_BYTES = 64 << 10 };
    CURL *curl = transfer->curl;
    es_http_sockets *sockets = es_http_core_sockets(transfer->core);
    const es_http_peer_opts *opts = &transfer->peer->opts;
    curl_easy_reset(curl);
    bool good = set_text(curl, CURLOPT_PROXY, "") &&
                set_text(curl, CURLOPT_PROTOCOLS_STR, "http,https") && set_tls(curl, opts);
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    /* Else a call that ends while its name is being looked up holds the loop until it is found. */
    (void)curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(curl, CURLOPT_PRIVATE, transfer);
    (void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, transfer->reason);
    (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                           (long)(opts->connect_timeout_s * 1000 + 0.999));
    (void)curl_easy_setopt(curl, CURLOPT_MAXAGE_CONN, es_http_core_rest_s(transfer->core));
    (void)curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, es_http_sockets_open);
    (void)curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, sockets);
    (void)curl_easy_setopt(curl, CURLOPT_CLOSESOCKETFUNCTION, es_http_sockets_close);
    (void)curl_easy_setopt(curl, CURLOPT_CLOSESOCKETDATA, sockets);
    (void)curl_easy_setopt(curl, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)opts->body_bytes_max);
    (void)curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    (void)curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    (void)curl_easy_setopt(curl, CURLOPT_PREREQFUNCTION, on_attempt);
    (void)curl_easy_setopt(curl, CURLOPT_PREREQDATA, transfer);
    (void)curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, (long)PIECE_BYTES);
    (void)curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, (long)PIECE_BYTES);
    transfer->configured = good ? transfer->peer->serial : 0;
    transfer->url_changed = true;
    return good;
}

static bool set_request(es_http_transfer *transfer)
{
    CURL *curl = transfer->curl;
    es_http_method method = transfer->method;
    bool has_body = transfer->body_bytes > 0 || method == ES_HTTP_POST || method == ES_HTTP_PUT ||
                    method == ES_HTTP_PATCH;
    if (has_body) {
        const void *body = transfer->body != NULL ? transfer->body : "";
        (void)curl_easy_setopt(curl, CURLOPT_POST, 1L);
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)transfer->body_bytes);
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body); /* not copied */
    } else {
        (void)curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    }
    bool own_name = method != (has_body ? ES_HTTP_POST : ES_HTTP_GET);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, transfer->lines);
    return set_text(curl, CURLOPT_CUSTOMREQUEST, own_name ? es_http_method_name(method) : NULL);
}

bool es_http_transfer_prepare(es_http_transfer *transfer)
{
    transfer->attempts = 0;
    transfer->header_count = transfer->header_used = transfer->header_bytes = 0;
    transfer->reply_bytes = 0;
    transfer->reason[0] = '\0';
    transfer->why.status = ES_OK;
    if (transfer->curl == NULL) {
        transfer->configured = 0;
        transfer->curl = curl_easy_init();
        if (transfer->curl == NULL)
            return false;
    }
    if (transfer->configured != transfer->peer->serial && !configure(transfer))
        return false;
    if (transfer->url_changed && !set_text(transfer->curl, CURLOPT_URL, transfer->url)) {
        transfer->configured = 0;
        return false;
    }
    return set_request(transfer);
}

/* ---- results ---- */

void es_http_transfer_fail(es_http_transfer *transfer, es_http_end end, es_status status,
                           const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)es_fail_v(&transfer->why, status, format, args);
    va_end(args);
    (void)es_within(&transfer->why, status, "%s %s", es_http_method_name(transfer->method),
                    transfer->url);
    transfer->result =
        (es_http_result){.end = end, .status = status, .why = &transfer->why, .own = transfer};
}

static void conclude_reply(es_http_transfer *transfer)
{
    long status = 0;
    long connects = 0;
    (void)curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(transfer->curl, CURLINFO_NUM_CONNECTS, &connects);
    for (size_t i = 0; i < transfer->header_count; i++)
        transfer->headers[i] =
            (es_http_header){.name = transfer->header_text + transfer->name_at[i],
                             .value = transfer->header_text + transfer->value_at[i]};
    transfer->why.status = ES_OK;
    transfer->why.text[0] = '\0';
    transfer->result =
        (es_http_result){.end = ES_HTTP_END_REPLY,
                         .status = ES_OK,
                         .why = &transfer->why,
                         .own = transfer,
                         .reply = {.status = (int)status,
                                   .headers = transfer->headers,
                                   .header_count = transfer->header_count,
                                   .body = transfer->reply_bytes > 0 ? transfer->reply_body : "",
                                   .body_bytes = transfer->reply_bytes,
                                   .reused = connects == 0}};
}

void es_http_transfer_conclude(es_http_transfer *transfer, CURLcode code)
{
    const char *text = transfer->reason[0] != '\0' ? transfer->reason : curl_easy_strerror(code);
    es_http_end end = transfer->attempts == 0 ? ES_HTTP_END_UNREACHED : ES_HTTP_END_BROKEN;
    if (code == CURLE_OK) {
        conclude_reply(transfer);
    } else if (code == CURLE_WRITE_ERROR && transfer->why.status != ES_OK) { /* ours */
        es_status status = transfer->why.status;
        end = status == ES_ERR_LIMIT ? ES_HTTP_END_OVERSIZE : ES_HTTP_END_REFUSED;
        transfer->result =
            (es_http_result){.end = end, .status = status, .why = &transfer->why, .own = transfer};
    } else if (code == CURLE_FILESIZE_EXCEEDED) {
        es_http_transfer_fail(transfer, ES_HTTP_END_OVERSIZE, ES_ERR_LIMIT,
                              "the body is larger than %zu", transfer->peer->opts.body_bytes_max);
    } else if (code == CURLE_ABORTED_BY_CALLBACK) {
        es_http_transfer_fail(transfer, ES_HTTP_END_BROKEN, ES_ERR_UNAVAILABLE,
                              "the kept connection had ended, and the call is not %s",
                              transfer->repeatable ? "repeated twice" : "repeatable");
    } else if (code == CURLE_OUT_OF_MEMORY) {
        es_http_transfer_fail(transfer, ES_HTTP_END_REFUSED, ES_ERR_NOMEM, "%s", text);
    } else if (code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_CACERT_BADFILE) {
        es_http_transfer_fail(transfer, end, ES_ERR_ARG, "%s", text);
    } else {
        es_http_transfer_fail(transfer, end, ES_ERR_UNAVAILABLE, "%s", text);
    }
}

void *es_http_result_keep_body(const es_http_result *result)
{
    es_http_transfer *transfer = result->own;
    if (result->reply.body_bytes == 0)
        return NULL;
    void *kept = transfer->reply_body;
    transfer->reply_body = NULL;
    transfer->reply_capacity = 0;
    return kept;
}

void es_http_body_free(void *kept)
{
    free(kept);
}

const char *es_http_reply_header(const es_http_reply *reply, const char *name)
{
    for (size_t i = 0; i < reply->header_count; i++) {
        if (strcasecmp(reply->headers[i].name, name) == 0)
            return reply->headers[i].value;
    }
    return NULL;
}

/* ---- life ---- */

void es_http_transfer_clear(es_http_transfer *transfer)
{
    es_http_peer_unref(transfer->peer);
    transfer->peer = NULL;
    transfer->body = NULL;
    if (transfer->reply_capacity > KEPT_BODY_BYTES_MAX) {
        free(transfer->reply_body);
        transfer->reply_body = NULL;
        transfer->reply_capacity = 0;
    }
    if (transfer->attempts > 1) { /* the library counts repeats over the life of a handle */
        curl_easy_cleanup(transfer->curl);
        transfer->curl = NULL;
        transfer->attempts = 0;
    }
}

void es_http_transfer_done(es_http_transfer *transfer)
{
    curl_easy_cleanup(transfer->curl);
    free(transfer->url);
    free(transfer->text);
    free(transfer->lines);
    free(transfer->header_text);
    free(transfer->reply_body);
}
