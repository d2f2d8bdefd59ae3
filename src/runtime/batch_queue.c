/*
 * Who runs next. Levels in order, in each the order of coming; then those that are past their
 * timeout. Like-shaped jobs behind the first join it up to rows_max, or up to the largest preferred
 * size that they reach. Short of both, the batch waits for more while
 *     now + gap <= queued(oldest) + wait      (gap: smoothed time between the last jobs)
 * that is, while another job is to be expected in time; so a lone request never waits.
 */
#include "runtime/batch_internal.h"

#include <assert.h>
#include <math.h>

enum { GAP_SMOOTHING = 8, SCAN_FACTOR = 4 };
static const double gap_ns_max = 1e9; /* a pause says no more than that nothing is expected */

void es_batch_list_push(es_batch_list *list, es_batch_job *job)
{
    job->own.next = NULL;
    if (list->last != NULL)
        list->last->own.next = job;
    else
        list->first = job;
    list->last = job;
    list->count++;
}

es_batch_job *es_batch_list_pop(es_batch_list *list)
{
    es_batch_job *job = list->first;
    if (job == NULL)
        return NULL;
    list->first = job->own.next;
    if (list->first == NULL)
        list->last = NULL;
    list->count--;
    return job;
}

/* Takes job out; before is the one in front of it, or NULL. */
static void unlink_job(es_batch_list *list, es_batch_job *before, es_batch_job *job)
{
    if (before != NULL)
        before->own.next = job->own.next;
    else
        list->first = job->own.next;
    if (list->last == job)
        list->last = before;
    list->count--;
}

void es_batch_queue_init(es_batch_queue *queue, es_batcher_opts opts, size_t input_count)
{
    *queue = (es_batch_queue){.opts = opts,
                              .input_count = input_count,
                              .deadline_ns = INT64_MAX,
                              .last_put_ns = INT64_MIN,
                              .gap_ns = (double)INFINITY};
}

/* ---- coming ---- */

static void note_gap(es_batch_queue *queue, int64_t now_ns)
{
    if (queue->last_put_ns != INT64_MIN) {
        double gap_ns = fmin((double)(now_ns - queue->last_put_ns), gap_ns_max);
        queue->gap_ns = isinf(queue->gap_ns)
                            ? gap_ns
                            : queue->gap_ns + (gap_ns - queue->gap_ns) / GAP_SMOOTHING;
    }
    queue->last_put_ns = now_ns;
}

static int64_t deadline_of(const es_batch_level *level, const es_batch_job *job, int64_t now_ns)
{
    int64_t deadline_ns = INT64_MAX;
    if (level->timeout_ns > 0 && __builtin_add_overflow(now_ns, level->timeout_ns, &deadline_ns))
        deadline_ns = INT64_MAX;
    if (job->deadline_ns != 0 && level->timeout_override && job->deadline_ns < deadline_ns)
        deadline_ns = job->deadline_ns;
    return deadline_ns;
}

bool es_batch_queue_put(es_batch_queue *queue, es_batch_job *job, int64_t now_ns)
{
    bool known = job->priority >= 1 && job->priority <= queue->opts.level_count;
    uint32_t level = (known ? job->priority : queue->opts.level_default) - 1;
    note_gap(queue, now_ns);
    if (queue->waiting[level].count + queue->late[level].count >=
        queue->opts.levels[level].queue_max)
        return false;
    job->own.level = level;
    job->own.queued_ns = now_ns;
    job->own.deadline_ns = deadline_of(&queue->opts.levels[level], job, now_ns);
    if (job->own.deadline_ns < queue->deadline_ns)
        queue->deadline_ns = job->own.deadline_ns;
    es_batch_list_push(&queue->waiting[level], job);
    queue->count++;
    return true;
}

/* ---- deadlines ---- */

static void expire_level(es_batch_queue *queue, uint32_t level, int64_t now_ns,
                         es_batch_list *expired)
{
    es_batch_list *waiting = &queue->waiting[level];
    es_batch_job *before = NULL;
    es_batch_job *next = NULL;
    for (es_batch_job *job = waiting->first; job != NULL; job = next) {
        next = job->own.next;
        if (job->own.deadline_ns > now_ns) {
            if (job->own.deadline_ns < queue->deadline_ns)
                queue->deadline_ns = job->own.deadline_ns;
            before = job;
            continue;
        }
        unlink_job(waiting, before, job);
        if (queue->opts.levels[level].delay_late) {
            es_batch_list_push(&queue->late[level], job);
        } else {
            es_batch_list_push(expired, job);
            queue->count--;
        }
    }
}

void es_batch_queue_expire(es_batch_queue *queue, int64_t now_ns, es_batch_list *expired)
{
    if (now_ns < queue->deadline_ns)
        return;
    queue->deadline_ns = INT64_MAX;
    for (uint32_t level = 0; level < queue->opts.level_count; level++)
        expire_level(queue, level, now_ns, expired);
}

/* ---- going ---- */

/* May run in one batch: all but the first dim are the same. */
static bool alike(const es_batch_job *a, const es_batch_job *b, size_t input_count)
{
    for (size_t i = 0; i < input_count; i++) {
        const es_tensor *x = &a->inputs[i];
        const es_tensor *y = &b->inputs[i];
        if (x->rank != y->rank)
            return false;
        for (size_t k = 1; k < x->rank; k++)
            if (x->dims[k] != y->dims[k])
                return false;
    }
    return true;
}

/* What a walk in the order of running finds to put beside the first job. */
typedef struct group {
    const es_batch_job *head;
    uint32_t rows;
    size_t looked_at;
    int64_t oldest_ns, deadline_ns;
} group;

static bool joins(const es_batch_queue *queue, group *found, const es_batch_job *job,
                  uint32_t rows_limit)
{
    if (found->head != NULL && (!queue->opts.join || job->own.rows > rows_limit - found->rows ||
                                !alike(found->head, job, queue->input_count)))
        return false;
    if (found->head == NULL)
        found->head = job;
    found->rows += job->own.rows;
    if (job->own.queued_ns < found->oldest_ns)
        found->oldest_ns = job->own.queued_ns;
    if (job->own.deadline_ns < found->deadline_ns)
        found->deadline_ns = job->own.deadline_ns;
    return true;
}

/* Walks one list; out_jobs NULL: only looks. */
static void gather_list(es_batch_queue *queue, es_batch_list *list, group *found,
                        uint32_t rows_limit, es_batch_list *out_jobs)
{
    const size_t look_max = (size_t)SCAN_FACTOR * queue->opts.rows_max + 1;
    es_batch_job *before = NULL;
    es_batch_job *next = NULL;
    for (es_batch_job *job = list->first; job != NULL; job = next) {
        next = job->own.next;
        bool full = found->head != NULL && (!queue->opts.join || found->rows >= rows_limit);
        if (full || found->looked_at++ >= look_max)
            return;
        if (!joins(queue, found, job, rows_limit) || out_jobs == NULL) {
            before = job;
            continue;
        }
        unlink_job(list, before, job);
        queue->count--;
        es_batch_list_push(out_jobs, job);
    }
}

static group gather(es_batch_queue *queue, uint32_t rows_limit, es_batch_list *out_jobs)
{
    group found = {.oldest_ns = INT64_MAX, .deadline_ns = INT64_MAX};
    for (uint32_t level = 0; level < queue->opts.level_count; level++)
        gather_list(queue, &queue->waiting[level], &found, rows_limit, out_jobs);
    for (uint32_t level = 0; level < queue->opts.level_count; level++)
        gather_list(queue, &queue->late[level], &found, rows_limit, out_jobs);
    return found;
}

/* The largest preferred size within rows; 0: none. */
static uint32_t preferred_within(const es_batcher_opts *opts, uint32_t rows)
{
    uint32_t best = 0;
    for (size_t i = 0; i < opts->preferred_count; i++)
        if (opts->preferred[i] <= rows)
            best = opts->preferred[i];
    return best;
}

/* Does it pay to wait for more until *out_until_ns? */
static bool should_wait(const es_batch_queue *queue, const group *found, int64_t now_ns,
                        int64_t *out_until_ns)
{
    int64_t until_ns = 0;
    if (!queue->opts.join || queue->opts.wait_ns_max == 0 ||
        __builtin_add_overflow(found->oldest_ns, queue->opts.wait_ns_max, &until_ns))
        return false;
    /* nobody may expire for the sake of company */
    if (until_ns <= now_ns || found->deadline_ns <= until_ns)
        return false;
    if (!(queue->gap_ns <= (double)(until_ns - now_ns)))
        return false;
    *out_until_ns = until_ns;
    return true;
}

void es_batch_queue_take(es_batch_queue *queue, int64_t now_ns, es_batch_list *out_jobs,
                         uint32_t *out_rows, int64_t *out_wake_ns)
{
    const es_batcher_opts *opts = &queue->opts;
    *out_jobs = (es_batch_list){.first = NULL};
    *out_rows = 0;
    *out_wake_ns = queue->deadline_ns;
    group found = gather(queue, opts->rows_max, NULL);
    if (found.head == NULL)
        return;
    uint32_t limit = opts->rows_max;
    if (opts->join && found.rows < opts->rows_max) {
        uint32_t preferred = preferred_within(opts, found.rows);
        int64_t until_ns = 0;
        if (preferred > 0) {
            limit = preferred;
        } else if (should_wait(queue, &found, now_ns, &until_ns)) {
            /* it gives up when the gap no longer fits into what is left */
            int64_t give_up_ns = until_ns - (int64_t)queue->gap_ns + 1;
            *out_wake_ns = give_up_ns < *out_wake_ns ? give_up_ns : *out_wake_ns;
            return;
        }
    }
    found = gather(queue, limit, out_jobs);
    assert(out_jobs->count > 0);
    if (queue->count == 0)
        queue->deadline_ns = INT64_MAX;
    *out_rows = found.rows;
}

void es_batch_queue_clear(es_batch_queue *queue, es_batch_list *out_jobs)
{
    for (uint32_t level = 0; level < queue->opts.level_count; level++) {
        es_batch_job *job = NULL;
        while ((job = es_batch_list_pop(&queue->waiting[level])) != NULL)
            es_batch_list_push(out_jobs, job);
        while ((job = es_batch_list_pop(&queue->late[level])) != NULL)
            es_batch_list_push(out_jobs, job);
    }
    queue->count = 0;
    queue->deadline_ns = INT64_MAX;
}
