#include "machine.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

/* One that was lost on its way holds the others up this long, once. */
#define PATIENCE_NS (50 * ES_NS_PER_MS)
#define SERVICE_MAX_NS 1e17 /* three years */

typedef struct processor {
    const es_machine_job *job; /* NULL: idle */
    int64_t free_ns;           /* when idle, since when; else when it began */
} processor;

typedef struct job_list {
    es_machine_job *first, *last;
} job_list;

struct es_machine {
    uint32_t processor_count;
    size_t queue_max;
    pthread_mutex_t lock; /* guards all below */
    job_list queue;       /* by ready_ns */
    job_list turns;       /* not yet in the queue, by turn */
    size_t waiting;       /* in both */
    uint32_t turn_served; /* the highest that has gone into the queue */
    int64_t turn_ns;      /* ready_ns of that one */
    bool closed;          /* turns are not waited for */
    int64_t busy_ns;      /* of jobs that have ended */
    processor processors[ES_MACHINE_PROCESSORS_MAX];
};

es_status es_machine_new(uint32_t processors, size_t queue_max, es_machine **out_machine,
                         es_error *err)
{
    assert(processors >= 1 && processors <= ES_MACHINE_PROCESSORS_MAX);
    es_machine *machine = calloc(1, sizeof *machine);
    if (machine == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for an emulated machine");
    machine->processor_count = processors;
    machine->queue_max = queue_max;
    (void)pthread_mutex_init(&machine->lock, NULL); /* default attributes: cannot fail */
    for (uint32_t i = 0; i < processors; i++)
        machine->processors[i].free_ns = INT64_MIN;
    *out_machine = machine;
    return ES_OK;
}

void es_machine_free(es_machine *machine)
{
    if (machine == NULL)
        return;
    (void)pthread_mutex_destroy(&machine->lock); /* nobody holds it */
    free(machine);
}

/* ---- lists in order ---- */

static bool is_before(const es_machine_job *a, const es_machine_job *b, bool by_turn)
{
    return by_turn ? a->turn < b->turn : a->own.ready_ns < b->own.ready_ns;
}

/* Behind those of the same rank; most come in order and go to the end. */
static void insert(job_list *list, es_machine_job *job, bool by_turn)
{
    es_machine_job **at = &list->first;
    if (list->last != NULL && !is_before(job, list->last, by_turn))
        at = &list->last->own.next;
    while (*at != NULL && !is_before(job, *at, by_turn))
        at = &(*at)->own.next;
    job->own.next = *at;
    *at = job;
    if (job->own.next == NULL)
        list->last = job;
}

static es_machine_job *take_first(job_list *list)
{
    es_machine_job *job = list->first;
    list->first = job->own.next;
    if (list->first == NULL)
        list->last = NULL;
    job->own.next = NULL;
    return job;
}

/* ---- turns ---- */

/* Moves those whose turn it is, or who have waited long enough, into the queue, where they keep
 * their order. */
static void serve_turns(es_machine *machine, int64_t now_ns)
{
    while (machine->turns.first != NULL) {
        const es_machine_job *first = machine->turns.first;
        int64_t until_ns = first->arrival_ns + PATIENCE_NS;
        bool is_due = first->turn <= machine->turn_served + 1;
        if (!is_due && now_ns < until_ns && !machine->closed)
            return;
        es_machine_job *job = take_first(&machine->turns);
        int64_t ready_ns = is_due ? job->arrival_ns : until_ns;
        if (job->turn > machine->turn_served) {
            machine->turn_served = job->turn;
            machine->turn_ns = ready_ns > machine->turn_ns ? ready_ns : machine->turn_ns;
            ready_ns = machine->turn_ns;
        }
        job->own.ready_ns = ready_ns;
        insert(&machine->queue, job, false);
    }
}

int64_t es_machine_wake_ns(es_machine *machine)
{
    (void)pthread_mutex_lock(&machine->lock);
    int64_t wake_ns =
        machine->turns.first != NULL ? machine->turns.first->arrival_ns + PATIENCE_NS : INT64_MAX;
    (void)pthread_mutex_unlock(&machine->lock);
    return wake_ns;
}

void es_machine_close(es_machine *machine)
{
    (void)pthread_mutex_lock(&machine->lock);
    machine->closed = true;
    (void)pthread_mutex_unlock(&machine->lock);
}

/* ---- jobs ---- */

es_status es_machine_enter(es_machine *machine, es_machine_job *job, es_error *err)
{
    (void)pthread_mutex_lock(&machine->lock);
    bool full = machine->waiting >= machine->queue_max;
    if (!full) {
        machine->waiting++;
        job->own.ready_ns = job->arrival_ns;
        insert(job->turn > 0 ? &machine->turns : &machine->queue, job, job->turn > 0);
    }
    (void)pthread_mutex_unlock(&machine->lock);
    return full ? es_fail(err, ES_ERR_UNAVAILABLE, "%zu requests wait for a processor: no more may",
                          machine->queue_max)
                : ES_OK;
}

/* The one that has been idle for longest; NULL: all are busy. */
static processor *idle_processor(es_machine *machine)
{
    processor *found = NULL;
    for (uint32_t i = 0; i < machine->processor_count; i++) {
        processor *one = &machine->processors[i];
        if (one->job == NULL && (found == NULL || one->free_ns < found->free_ns))
            found = one;
    }
    return found;
}

es_machine_job *es_machine_next(es_machine *machine, int64_t now_ns)
{
    es_machine_job *job = NULL;
    (void)pthread_mutex_lock(&machine->lock);
    serve_turns(machine, now_ns);
    processor *idle = idle_processor(machine);
    if (idle != NULL && machine->queue.first != NULL) {
        job = take_first(&machine->queue);
        machine->waiting--;
        job->start_ns = job->own.ready_ns > idle->free_ns ? job->own.ready_ns : idle->free_ns;
        job->own.processor = (uint32_t)(idle - machine->processors);
        idle->job = job;
        idle->free_ns = job->start_ns;
    }
    (void)pthread_mutex_unlock(&machine->lock);
    return job;
}

void es_machine_end(es_machine *machine, es_machine_job *job, int64_t end_ns)
{
    (void)pthread_mutex_lock(&machine->lock);
    processor *mine = &machine->processors[job->own.processor];
    assert(mine->job == job);
    machine->busy_ns += end_ns - mine->free_ns;
    mine->job = NULL;
    mine->free_ns = end_ns;
    (void)pthread_mutex_unlock(&machine->lock);
}

void es_machine_stats_get(es_machine *machine, int64_t now_ns, es_machine_stats *out)
{
    (void)pthread_mutex_lock(&machine->lock);
    int64_t busy_ns = machine->busy_ns;
    *out = (es_machine_stats){.waiting = machine->waiting};
    for (uint32_t i = 0; i < machine->processor_count; i++) {
        const processor *one = &machine->processors[i];
        if (one->job == NULL)
            continue;
        out->running++;
        busy_ns += now_ns > one->free_ns ? now_ns - one->free_ns : 0;
    }
    (void)pthread_mutex_unlock(&machine->lock);
    out->busy_s = es_s_from_ns(busy_ns);
}

/* ---- times ---- */

int64_t es_machine_service_ns(int64_t cpu_ns, int64_t hold_ns, double slowdown)
{
    double warm_ns = (double)hold_ns / slowdown;
    double cold_ns = (double)cpu_ns > warm_ns ? (double)cpu_ns - warm_ns : 0;
    double wanted_ns = (double)hold_ns + cold_ns;
    return wanted_ns < SERVICE_MAX_NS ? (int64_t)llround(wanted_ns) : (int64_t)SERVICE_MAX_NS;
}

int64_t es_machine_settle_ns(int64_t when_ns, int64_t now_ns)
{
    return now_ns - when_ns < ES_MACHINE_LATE_NS ? when_ns : now_ns;
}
