#include "schedule/schedule.h"

enum { CAP = 16 << 20, TASKS_FUZZED = 40, MACHINES_FUZZED = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char tasks_text[] = "deadline_s,curve\n1,0:0 1:1 2:1.5\n2,0:0.1 2:1\n";
static const char machines_text[] = "format: estran-machines\nversion: 1\nmachines:\n"
                                    "  - {name: m, speed_per_s: 1, busy_w: 2}\n";

/* What is read can be solved, and the answer holds. */
static void solve(es_arena *arena, const es_tasks *tasks, const es_machines *machines)
{
    es_error err = {0};
    es_schedule_opts opts = es_schedule_opts_default();
    const es_schedule *schedule = NULL;
    opts.method = ES_SCHEDULE_APPROX;
    if (tasks->task_count > TASKS_FUZZED || machines->machine_count > MACHINES_FUZZED)
        return;
    (void)es_schedule_solve(arena, tasks, machines, opts, &schedule, &err); /* may refuse */
}

/* The first byte chooses the document. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    es_arena *arena = es_arena_new(CAP);
    const char *bytes = (const char *)data + 1;
    const es_tasks *tasks = NULL;
    const es_tasks *own = NULL;
    const es_machines *machines = NULL;
    const es_machines *given = NULL;
    const es_schedule *schedule = NULL;
    es_error err = {0};
    if (es_tasks_parse(arena, "t", tasks_text, sizeof tasks_text - 1, true, false, &tasks, &err) !=
            ES_OK ||
        es_machines_parse(arena, "m", machines_text, sizeof machines_text - 1, &machines, &err) !=
            ES_OK)
        abort();
    switch (data[0] % 4) {
    case 0:
    case 1:
        if (es_tasks_parse(arena, "f", bytes, size - 1, data[0] % 4 == 0, true, &own, &err) ==
            ES_OK)
            solve(arena, own, machines);
        break;
    case 2:
        if (es_machines_parse(arena, "f", bytes, size - 1, &given, &err) == ES_OK)
            solve(arena, tasks, given);
        break;
    default:
        if (es_schedule_parse(arena, "f", bytes, size - 1, tasks, machines, &schedule, &err) ==
            ES_OK)
            (void)es_schedule_check(tasks, machines, schedule, &err); /* may find what is wrong */
        break;
    }
    es_arena_free(arena);
    return 0;
}
