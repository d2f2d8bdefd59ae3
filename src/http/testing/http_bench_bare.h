/* The HTTP library's own smallest server, beside which ours is measured: one thread, one answer to
 * whatever comes. */
#ifndef ES_HTTP_BENCH_BARE_H
#define ES_HTTP_BENCH_BARE_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline enum MHD_Result bare_answer(void *context, struct MHD_Connection *mhd,
                                          const char *url, const char *method, const char *version,
                                          const char *upload, size_t *upload_size,
                                          void **request_context)
{
    static int seen;
    struct MHD_Response *response = context;
    (void)url;
    (void)method;
    (void)version;
    (void)upload;
    if (*request_context == NULL) {
        *request_context = &seen;
        return MHD_YES;
    }
    if (*upload_size > 0) {
        *upload_size = 0;
        return MHD_YES;
    }
    return MHD_queue_response(mhd, 200, response);
}

/* NULL: it does not start. The response is the caller's. */
static inline struct MHD_Daemon *bare_start(struct MHD_Response *response, uint16_t *port)
{
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, bare_answer, response,
                         MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)65536, MHD_OPTION_END);
    if (daemon != NULL)
        *port = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    return daemon;
}

/* The answer that another server gave, as a response: its body and headers, but those that the
 * library writes itself. Changes the text. NULL: it is none, or there is no memory. */
static inline struct MHD_Response *bare_response(char *answer, size_t size)
{
    char *body = strstr(answer, "\r\n\r\n");
    if (body == NULL)
        return NULL;
    *body = '\0';
    body += 4;
    struct MHD_Response *response = MHD_create_response_from_buffer(size - (size_t)(body - answer),
                                                                    body, MHD_RESPMEM_MUST_COPY);
    char *next = NULL;
    for (char *line = strstr(answer, "\r\n"); response != NULL && line != NULL; line = next) {
        line += 2;
        next = strstr(line, "\r\n");
        if (next != NULL)
            *next = '\0';
        char *value = strstr(line, ": ");
        if (value == NULL)
            continue;
        *value = '\0';
        bool own = strcmp(line, "Date") == 0 || strcmp(line, "Connection") == 0 ||
                   strcmp(line, "Content-Length") == 0;
        if (!own)
            (void)MHD_add_response_header(response, line, value + 2); /* else it goes without */
    }
    return response;
}

#endif
