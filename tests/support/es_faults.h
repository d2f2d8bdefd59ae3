/*
 * es_faults: the nth fallible call of a program's own code fails.
 *
 * A test that includes this is linked with es_add_faults(TEST) (cmake/EstranModule.cmake): then the
 * calls below, from the test and from our libraries, come here first. Between es_faults_arm(n) and
 * es_faults_disarm() the nth of them over all threads fails, once. What outside libraries call
 * among themselves is not touched. A thread may exempt itself.
 */
#ifndef ES_FAULTS_H
#define ES_FAULTS_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

static _Atomic int64_t es_faults_left; /* 0: not armed */
static _Atomic bool es_faults_struck;
static _Thread_local bool es_faults_exempt;

static inline void es_faults_arm(int64_t nth)
{
    atomic_store(&es_faults_struck, false);
    atomic_store(&es_faults_left, nth);
}

/* True when a call did fail. */
static inline bool es_faults_disarm(void)
{
    atomic_store(&es_faults_left, 0);
    return atomic_load(&es_faults_struck);
}

static inline bool es_faults_now(int code)
{
    if (es_faults_exempt || atomic_load(&es_faults_left) <= 0 ||
        atomic_fetch_sub(&es_faults_left, 1) != 1)
        return false;
    atomic_store(&es_faults_struck, true);
    errno = code;
    return true;
}

/* What it takes to wrap a function that gives `bad` with errno `code` when it fails. */
#define ES_FAULTS_WRAP(result, name, params, args, bad, code)                                      \
    result __real_##name params;                                                                   \
    result __wrap_##name params;                                                                   \
    result __wrap_##name params                                                                    \
    {                                                                                              \
        return es_faults_now(code) ? (bad) : __real_##name args;                                   \
    }

ES_FAULTS_WRAP(void *, malloc, (size_t size), (size), NULL, ENOMEM)
ES_FAULTS_WRAP(void *, calloc, (size_t count, size_t size), (count, size), NULL, ENOMEM)
ES_FAULTS_WRAP(void *, realloc, (void *old, size_t size), (old, size), NULL, ENOMEM)
ES_FAULTS_WRAP(void *, aligned_alloc, (size_t align, size_t size), (align, size), NULL, ENOMEM)
ES_FAULTS_WRAP(int, socket, (int family, int type, int protocol), (family, type, protocol), -1,
               EMFILE)
ES_FAULTS_WRAP(int, epoll_create1, (int flags), (flags), -1, EMFILE)
ES_FAULTS_WRAP(int, epoll_ctl, (int epoll_fd, int what, int fd, struct epoll_event *event),
               (epoll_fd, what, fd, event), -1, ENOSPC)
ES_FAULTS_WRAP(int, eventfd, (unsigned start, int flags), (start, flags), -1, EMFILE)
ES_FAULTS_WRAP(int, dup, (int fd), (fd), -1, EMFILE)
ES_FAULTS_WRAP(int, pthread_create,
               (pthread_t * thread, const pthread_attr_t *attributes, void *(*run)(void *),
                void *context),
               (thread, attributes, run, context), EAGAIN, EAGAIN)

#endif
