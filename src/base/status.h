/*
 * status: what a fallible call answers, and the text that says why.
 *
 * A call returns es_status and takes `es_error *err` last. err may be NULL; it lives in the
 * caller's frame and needs no memory to fill. The text names the thing, the value and what was
 * expected; callers prepend where with es_within. Threads: an es_error belongs to one thread.
 */
#ifndef ES_BASE_STATUS_H
#define ES_BASE_STATUS_H

#include "base/banned.h"

#include <stdarg.h>
#include <stddef.h>

#define ES_MUST_CHECK __attribute__((warn_unused_result))
#define ES_CLEANUP(fn) __attribute__((cleanup(fn)))
#define ES_PRINTF(text_at, values_at) __attribute__((format(printf, text_at, values_at)))

/* name, text, exit status of the program, HTTP status: by what a caller can do about it */
#define ES_STATUS_MAP(X)                                                                           \
    X(OK, "ok", 0, 200)                                                                            \
    X(ERR_ARG, "invalid argument", 2, 400)                                                         \
    X(ERR_PARSE, "invalid input", 1, 400)                                                          \
    X(ERR_IO, "input/output error", 1, 500)                                                        \
    X(ERR_NOMEM, "out of memory", 1, 503)                                                          \
    X(ERR_LIMIT, "limit exceeded", 1, 413)                                                         \
    X(ERR_UNSUPPORTED, "unsupported", 1, 501)                                                      \
    X(ERR_UNAVAILABLE, "unavailable", 1, 503)                                                      \
    X(ERR_CANCELLED, "cancelled", 1, 503)                                                          \
    X(ERR_INTERNAL, "internal error", 1, 500)

typedef enum es_status {
#define X(name, text, exit_code, http) ES_##name,
    ES_STATUS_MAP(X)
#undef X
        ES_STATUS_COUNT
} es_status;

enum { ES_ERROR_SIZE = 512 };

typedef struct es_error {
    es_status status;
    char text[ES_ERROR_SIZE]; /* always terminated; a longer text ends in "..." */
} es_error;

/* Fixed text of a status, e.g. "invalid argument"; "unknown status" outside the range. */
const char *es_status_text(es_status status);

/* Exit status of the program for a status: 0 done, 1 failure, 2 usage. */
int es_status_exit_code(es_status status);

/* HTTP status code for a status. */
int es_status_http(es_status status);

/* Fills err (when not NULL) and returns status, so that `return es_fail(...)` reads well. */
es_status es_fail(es_error *err, es_status status, const char *format, ...) ES_PRINTF(3, 4);
es_status es_fail_v(es_error *err, es_status status, const char *format, va_list args)
    ES_PRINTF(3, 0);

/* Prepends "where: " to err when status is a failure; returns status unchanged. */
es_status es_within(es_error *err, es_status status, const char *format, ...) ES_PRINTF(3, 4);

/* The text of err, or the fixed text of its status when none was given. */
const char *es_error_text(const es_error *err);

#define ES_TRY(call)                                                                               \
    do {                                                                                           \
        es_status es_try_status_ = (call);                                                         \
        if (es_try_status_ != ES_OK)                                                               \
            return es_try_status_;                                                                 \
    } while (0)

/* Hands p over and forgets it, so that its cleanup does nothing. */
#define ES_TAKE(p)                                                                                 \
    __extension__({                                                                                \
        __typeof__(p) es_take_ = (p);                                                              \
        (p) = NULL;                                                                                \
        es_take_;                                                                                  \
    })

#endif
