/*
 * machine, private to serve: the processors of an emulated machine. Requests for all models of a
 * node wait in one queue for them, first come first served, as the simulator has it; models' own
 * queues stay empty. Pure bookkeeping in emulated time: who runs, since when. Running is the
 * caller's.
 *
 * enter -> next (begins; the caller runs it) -> end -> next ... Any thread; one lock, under which
 * nothing is called. Times are of the machine's monotonic clock.
 */
#ifndef ES_SERVE_MACHINE_H
#define ES_SERVE_MACHINE_H

#include "base/clock.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

enum { ES_MACHINE_PROCESSORS_MAX = 64 };

typedef struct es_machine es_machine;

/* A request; the caller's memory, from _enter to _end. */
typedef struct es_machine_job es_machine_job;
struct es_machine_job {
    int64_t arrival_ns; /* when it was here */
    uint32_t turn;      /* 1, 2, ...: these begin in this order however they come; 0: as it comes */
    int64_t start_ns;   /* set by _next: the arrival, or when a processor became free */
    void *context;
    struct { /* private */
        es_machine_job *next;
        int64_t ready_ns; /* the arrival, or when its turn came */
        uint32_t processor;
    } own;
};

/* processors in 1..ES_MACHINE_PROCESSORS_MAX; at most queue_max jobs wait. */
es_status es_machine_new(uint32_t processors, size_t queue_max, es_machine **out_machine,
                         es_error *err) ES_MUST_CHECK;
void es_machine_free(es_machine *machine); /* no job may be in it; NULL is fine */

/* ES_ERR_UNAVAILABLE: too many wait. O(jobs that came before it, though after it in time). */
es_status es_machine_enter(es_machine *machine, es_machine_job *job, es_error *err) ES_MUST_CHECK;
/* The next job that a processor is free for, which is busy from now on; NULL: none. now_ns is for
 * turns: one that is lost holds the next up until 50 ms after that came. */
es_machine_job *es_machine_next(es_machine *machine, int64_t now_ns);
/* The job's processor is free since end_ns >= start_ns. */
void es_machine_end(es_machine *machine, es_machine_job *job, int64_t end_ns);
/* Nobody waits for turns any more. */
void es_machine_close(es_machine *machine);
/* When somebody has waited long enough for a turn that was lost; INT64_MAX: nobody waits. */
int64_t es_machine_wake_ns(es_machine *machine);

typedef struct es_machine_stats {
    double busy_s;    /* of all processors, until now */
    uint64_t waiting; /* jobs */
    uint64_t running;
} es_machine_stats;

void es_machine_stats_get(es_machine *machine, int64_t now_ns, es_machine_stats *out);

/* How long the emulated machine takes for a run that took cpu_ns of processor time here: hold_ns,
 * which stands for hold_ns / slowdown of this machine; what goes beyond (cold caches after waking
 * up) is this machine's and counts once. slowdown >= 1. */
int64_t es_machine_service_ns(int64_t cpu_ns, int64_t hold_ns, double slowdown);

/* A thread that wakes up this late or later was on a machine that had too much to do: that counts;
 * what is less is forgiven. */
#define ES_MACHINE_LATE_NS ES_NS_PER_MS

/* when_ns, or now_ns when that is too late to be forgiven. */
int64_t es_machine_settle_ns(int64_t when_ns, int64_t now_ns);

#endif
