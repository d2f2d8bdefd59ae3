#include "request_log.h"

#include "base/clock.h"
#include "base/document.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

enum { WAITING_BYTES_MAX = 8 << 20, FLUSH_MS = 200 };

struct es_request_log {
    int fd;
    bool torn;     /* the file ends within a line; with the next one, the writing thread's */
    int reason;    /* errno of the last failure */
    uint64_t lost; /* since it was said; 0: all are written */
    pthread_t thread;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t work;  /* much waits, or it is over */
    es_text waiting;      /* lines */
    uint64_t dropped;
    bool closing;
};

/* ---- writing ---- */

/* How much could be written. */
static size_t write_some(int fd, const char *bytes, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t written = write(fd, bytes + done, size - done);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            break;
        done += (size_t)written;
    }
    return done;
}

static uint64_t count_lines(const char *bytes, size_t size)
{
    uint64_t count = 0;
    for (const char *at = bytes; (at = memchr(at, '\n', size - (size_t)(at - bytes))) != NULL; at++)
        count++;
    return count;
}

/* A line of which only the beginning found room is taken back, so that what follows can be read:
 * ours is the only end of the file. Where there is none to cut (a pipe), it is ended. */
static void cut_torn_line(es_request_log *log, const char *bytes, size_t done)
{
    size_t torn = 0;
    while (torn < done && bytes[done - torn - 1] != '\n')
        torn++;
    off_t end = torn > 0 ? lseek(log->fd, 0, SEEK_END) : -1;
    log->torn = torn > 0 && (end < (off_t)torn || ftruncate(log->fd, end - (off_t)torn) != 0);
}

/* A full disk costs lines, not requests. Gives the lines that were lost. */
static uint64_t write_lines(es_request_log *log, const char *bytes, size_t size)
{
    if (log->torn && size > 0 && write_some(log->fd, "\n", 1) == 1)
        log->torn = false;
    errno = 0;
    size_t done = log->torn ? 0 : write_some(log->fd, bytes, size);
    if (done == size)
        return 0;
    log->reason = errno;
    cut_torn_line(log, bytes, done);
    return count_lines(bytes, size) - count_lines(bytes, done);
}

/* Said when it begins and when it is over, however many lines that were. */
static void note_lost(es_request_log *log, uint64_t lost, bool wrote)
{
    char reason[128] = "";
    log->dropped += lost;
    if (lost > 0 && log->lost == 0 && strerror_r(log->reason, reason, sizeof reason) == 0)
        es_log(ES_LOG_WARNING, "serve", "request log: lines are dropped: %s", reason);
    log->lost += lost;
    if (lost > 0 || log->lost == 0 || !wrote)
        return;
    es_log(ES_LOG_INFO, "serve", "request log: lines are written again, %llu were dropped",
           (unsigned long long)log->lost);
    log->lost = 0;
}

static void *work(void *context)
{
    es_request_log *log = context;
    es_clock *clock = es_clock_system();
    es_text out; /* the other of two buffers */
    es_text_init(&out, WAITING_BYTES_MAX);
    (void)pthread_mutex_lock(&log->lock);
    while (!log->closing || log->waiting.size > 0) {
        if (log->waiting.size == 0 ||
            (!log->closing && log->waiting.size < WAITING_BYTES_MAX / 4)) {
            int64_t when_ns = es_clock_now_ns(clock) + FLUSH_MS * ES_NS_PER_MS;
            struct timespec when = {.tv_sec = (time_t)(when_ns / ES_NS_PER_S),
                                    .tv_nsec = (long)(when_ns % ES_NS_PER_S)};
            (void)pthread_cond_timedwait(&log->work, &log->lock, &when);
        }
        es_text full = log->waiting;
        log->waiting = out;
        (void)pthread_mutex_unlock(&log->lock);
        bool wrote = full.size > 0;
        uint64_t lost = write_lines(log, es_text_get(&full), full.size);
        es_text_clear(&full);
        out = full;
        (void)pthread_mutex_lock(&log->lock);
        note_lost(log, lost, wrote);
    }
    (void)pthread_mutex_unlock(&log->lock);
    es_text_done(&out);
    return NULL;
}

/* ---- lines ---- */

static int64_t wall_ns(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return 0;
    return (int64_t)now.tv_sec * ES_NS_PER_S + now.tv_nsec;
}

static void put_ms(es_json *json, const char *key, int64_t ns)
{
    es_json_put_number(json, key, (double)(ns / ES_NS_PER_US) / 1e3);
}

static void put_line(es_text *out, const es_request_line *line)
{
    es_json json;
    int64_t came_us = (wall_ns() - line->age_ns) / ES_NS_PER_US;
    es_json_init(&json, out, true);
    es_json_map_begin(&json);
    es_json_put_number(&json, "time_s", (double)came_us / 1e6);
    es_json_put_text(&json, "class", line->class_name);
    es_json_put_text(&json, "model", line->model);
    es_json_put_text(&json, "version", line->version);
    if (line->node != NULL)
        es_json_put_text(&json, "node", line->node);
    if (line->id != NULL)
        es_json_put_text(&json, "id", line->id);
    es_json_put_text(&json, "outcome", line->outcome);
    put_ms(&json, "total_ms", line->total_ns);
    put_ms(&json, "queue_ms", line->queue_ns);
    put_ms(&json, "compute_ms", line->compute_ns);
    es_json_put_int(&json, "rows", line->rows);
    if (line->energy_j > 0) {
        es_json_put_number(&json, "energy_j", line->energy_j);
        es_json_put_text(&json, "energy_source", line->energy_source);
    }
    if (line->traceparent != NULL)
        es_json_put_text(&json, "traceparent", line->traceparent);
    es_json_map_end(&json); /* and the end of the line */
}

void es_request_log_add(es_request_log *log, const es_request_line *line)
{
    (void)pthread_mutex_lock(&log->lock);
    size_t before = log->waiting.size;
    put_line(&log->waiting, line);
    if (es_text_status(&log->waiting, NULL) != ES_OK) { /* back to whole lines */
        log->waiting.size = before;
        log->waiting.status = ES_OK;
        log->dropped++;
    }
    if (log->waiting.size >= WAITING_BYTES_MAX / 4)
        (void)pthread_cond_signal(&log->work);
    (void)pthread_mutex_unlock(&log->lock);
}

uint64_t es_request_log_dropped(es_request_log *log)
{
    (void)pthread_mutex_lock(&log->lock);
    uint64_t dropped = log->dropped;
    (void)pthread_mutex_unlock(&log->lock);
    return dropped;
}

/* ---- life ---- */

static es_status start(es_request_log *log, es_error *err)
{
    pthread_condattr_t attributes;
    sigset_t every;
    sigset_t before;
    /* these cannot fail on Linux */
    (void)pthread_mutex_init(&log->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&log->work, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    es_text_init(&log->waiting, WAITING_BYTES_MAX);
    (void)sigfillset(&every); /* signals are for the program's own thread */
    (void)pthread_sigmask(SIG_SETMASK, &every, &before);
    int failed = pthread_create(&log->thread, NULL, work, log);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed == 0 ? ES_OK
                       : es_fail(err, ES_ERR_NOMEM, "cannot start the request log's thread");
}

es_status es_request_log_open(const char *path, es_request_log **out_log, es_error *err)
{
    char reason[128] = "";
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0) {
        if (strerror_r(errno, reason, sizeof reason) != 0)
            reason[0] = '\0';
        return es_fail(err, ES_ERR_IO, "cannot open the request log '%s': %s", path, reason);
    }
    es_request_log *log = calloc(1, sizeof *log);
    if (log == NULL) {
        (void)close(fd);
        return es_fail(err, ES_ERR_NOMEM, "no memory for a request log");
    }
    log->fd = fd;
    es_status status = start(log, err);
    if (status != ES_OK) {
        (void)close(fd);
        free(log);
        return status;
    }
    *out_log = log;
    return ES_OK;
}

void es_request_log_close(es_request_log *log)
{
    if (log == NULL)
        return;
    (void)pthread_mutex_lock(&log->lock);
    log->closing = true;
    (void)pthread_cond_signal(&log->work);
    (void)pthread_mutex_unlock(&log->lock);
    (void)pthread_join(log->thread, NULL); /* ours, joinable */
    (void)close(log->fd);                  /* failures showed at the writes */
    es_text_done(&log->waiting);
    (void)pthread_cond_destroy(&log->work);
    (void)pthread_mutex_destroy(&log->lock);
    free(log);
}
