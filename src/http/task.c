/* What other threads want done on a loop: a stack that the loop takes whole and turns round. */
#include "calling.h"

#include <assert.h>

/* Stands there once nothing may come in. */
static es_http_task ended_mark;

static es_http_task *take_all(es_http_tasks *tasks, es_http_task *leave)
{
    es_http_task *oldest = NULL;
    es_http_task *next = NULL;
    if (leave == NULL && atomic_load(&tasks->latest) == NULL)
        return NULL;
    for (es_http_task *at = atomic_exchange(&tasks->latest, leave); at != NULL && at != &ended_mark;
         at = next) {
        next = at->next;
        at->next = oldest;
        oldest = at;
    }
    return oldest;
}

static void run_all(es_http_task *oldest)
{
    es_http_task *next = NULL;
    for (es_http_task *at = oldest; at != NULL; at = next) {
        next = at->next; /* its memory goes with it */
        at->run(at);
    }
}

void es_http_tasks_run(es_http_tasks *tasks)
{
    run_all(take_all(tasks, NULL));
}

void es_http_tasks_end(es_http_tasks *tasks)
{
    run_all(take_all(tasks, &ended_mark));
}

bool es_http_task_post(es_http_caller *caller, uint32_t number, es_http_task *task)
{
    assert(number < caller->core_count);
    es_http_core *core = caller->cores[number];
    es_http_tasks *tasks = es_http_core_tasks(core);
    es_http_task *latest = atomic_load(&tasks->latest);
    do {
        if (latest == &ended_mark)
            return false;
        task->next = latest;
    } while (!atomic_compare_exchange_weak(&tasks->latest, &latest, task));
    if (latest == NULL) /* whoever found it empty rings for all behind */
        es_http_waker_ring(es_http_core_waker(core));
    return true;
}
