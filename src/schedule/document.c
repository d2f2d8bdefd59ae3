/* The schedule document, written and read. */
#include "schedule/documents.h"

#include <math.h>

static const char FORMAT[] = "estran-schedule";
enum { VERSION = 1 };

static void put_budgets(es_json *json, const char *key, const double values[ES_BUDGET_COUNT])
{
    es_json_key(json, key);
    es_json_map_begin(json);
    es_json_put_number(json, "energy_j", values[ES_BUDGET_ENERGY]);
    es_json_put_number(json, "carbon_gco2e", values[ES_BUDGET_CARBON]);
    es_json_put_number(json, "price", values[ES_BUDGET_PRICE]);
    es_json_map_end(json);
}

static void put_entry(es_json *json, const es_schedule *schedule, const es_tasks *tasks,
                      const es_machines *machines, uint32_t i)
{
    const es_schedule_entry *entry = &schedule->entries[i];
    es_json_map_begin(json);
    es_json_put_int(json, "task", i);
    if (tasks->tasks[i].name != NULL)
        es_json_put_text(json, "name", tasks->tasks[i].name);
    es_json_put_text(json, "machine",
                     entry->machine != UINT32_MAX ? machines->machines[entry->machine].name : NULL);
    es_json_put_number(json, "start_s", entry->start_s);
    es_json_put_number(json, "end_s", entry->end_s);
    es_json_put_number(json, "work", entry->work);
    es_json_put_number(json, "quality", entry->quality);
    es_json_put_number(json, "energy_j", entry->energy_j);
    es_json_map_end(json);
}

void es_schedule_write(const es_schedule *schedule, const es_tasks *tasks,
                       const es_machines *machines, es_text *out)
{
    es_json json;
    es_json_init(&json, out, false);
    es_json_map_begin(&json);
    es_json_put_text(&json, "format", FORMAT);
    es_json_put_int(&json, "version", VERSION);
    es_json_put_text(&json, "method", es_schedule_method_names[schedule->method]);
    es_json_put_bool(&json, "optimal", schedule->optimal);
    es_json_put_bool(&json, "discrete", schedule->discrete);
    es_json_put_text(&json, "work_unit", tasks->work_unit);
    es_json_put_number(&json, "quality", schedule->quality);
    es_json_put_number(&json, "bound", schedule->bound);
    es_json_put_number(&json, "gap_relative", schedule->gap_relative);
    put_budgets(&json, "budgets", schedule->budgets); /* null: none */
    put_budgets(&json, "used", schedule->used);
    put_budgets(&json, "used_idle", schedule->used_idle);
    put_budgets(&json, "full", schedule->full);
    es_json_key(&json, "machines");
    es_json_list_begin(&json);
    for (uint32_t r = 0; r < schedule->machine_count; r++) {
        es_json_map_begin(&json);
        es_json_put_text(&json, "name", machines->machines[r].name);
        es_json_put_number(&json, "busy_s", schedule->busy_s[r]);
        es_json_map_end(&json);
    }
    es_json_list_end(&json);
    es_json_key(&json, "tasks");
    es_json_list_begin(&json);
    for (uint32_t i = 0; i < schedule->task_count; i++)
        put_entry(&json, schedule, tasks, machines, i);
    es_json_list_end(&json);
    es_json_map_end(&json);
}

/* ---- reading ---- */

/* A number or null, which is other. */
static es_status get_or(const es_doc *map, const char *key, double other, double *out,
                        es_error *err)
{
    *out = other;
    return es_doc_get_number(map, key, -ES_TIME_MAX_S, 1e300, out, err);
}

static es_status read_budgets(const es_doc *root, const char *key, double other, double *out,
                              es_error *err)
{
    const es_doc *map = NULL;
    ES_TRY(es_doc_need_map(root, key, &map, err));
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "energy_j", "carbon_gco2e", "price"));
    ES_TRY(get_or(map, "energy_j", other, &out[ES_BUDGET_ENERGY], err));
    ES_TRY(get_or(map, "carbon_gco2e", other, &out[ES_BUDGET_CARBON], err));
    return get_or(map, "price", other, &out[ES_BUDGET_PRICE], err);
}

static es_status find_machine(const es_doc *map, const es_machines *machines, uint32_t *out,
                              es_error *err)
{
    const char *name = NULL;
    ES_TRY(es_doc_get_text(map, "machine", &name, err));
    *out = UINT32_MAX;
    if (name == NULL)
        return ES_OK;
    for (uint32_t r = 0; r < machines->machine_count; r++)
        if (strcmp(machines->machines[r].name, name) == 0) {
            *out = r;
            return ES_OK;
        }
    return es_doc_fail(es_doc_find(map, "machine"), err, "there is no machine '%s'", name);
}

static es_status read_entry(const es_doc *map, const es_machines *machines, size_t number,
                            es_schedule_entry *out, es_error *err)
{
    int64_t task = 0;
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "task", "name", "machine", "start_s", "end_s", "work",
                              "quality", "energy_j"));
    ES_TRY(es_doc_need_int(map, "task", 0, ES_TASKS_MAX, &task, err));
    if ((size_t)task != number)
        return es_doc_fail(map, err, "task %lld where %zu is due", (long long)task, number);
    ES_TRY(find_machine(map, machines, &out->machine, err));
    ES_TRY(get_or(map, "start_s", (double)NAN, &out->start_s, err));
    ES_TRY(get_or(map, "end_s", (double)NAN, &out->end_s, err));
    if (out->machine != UINT32_MAX && !(out->end_s >= out->start_s))
        return es_doc_fail(map, err, "needs start_s and a later end_s, for it has a machine");
    ES_TRY(es_doc_need_number(map, "work", 0.0, 1e300, &out->work, err));
    ES_TRY(es_doc_need_number(map, "quality", 0.0, 1e300, &out->quality, err));
    return es_doc_need_number(map, "energy_j", 0.0, 1e300, &out->energy_j, err);
}

static es_status read_lists(es_arena *arena, const es_doc *root, const es_machines *machines,
                            es_schedule *out, es_error *err)
{
    const es_doc *list = NULL;
    ES_TRY(es_doc_need_list(root, "tasks", &list, err));
    if (list->as.list.count != out->task_count)
        return es_doc_fail(list, err, "%zu tasks, there are %u", list->as.list.count,
                           out->task_count);
    es_schedule_entry *entries = ES_TAKE_ARRAY(arena, es_schedule_entry, out->task_count);
    double *busy_s = ES_TAKE_ARRAY(arena, double, out->machine_count);
    if (entries == NULL || busy_s == NULL)
        return es_arena_full(arena, "schedule", err);
    for (size_t i = 0; i < out->task_count; i++)
        ES_TRY(read_entry(list->as.list.items[i], machines, i, &entries[i], err));
    ES_TRY(es_doc_need_list(root, "machines", &list, err));
    if (list->as.list.count != out->machine_count)
        return es_doc_fail(list, err, "%zu machines, there are %u", list->as.list.count,
                           out->machine_count);
    for (size_t r = 0; r < out->machine_count; r++) {
        const es_doc *one = list->as.list.items[r];
        const char *name = NULL;
        ES_TRY(ES_DOC_EXPECT_KEYS(one, err, "name", "busy_s"));
        ES_TRY(es_doc_need_text(one, "name", &name, err));
        if (strcmp(name, machines->machines[r].name) != 0)
            return es_doc_fail(one, err, "machine '%s' where '%s' is due", name,
                               machines->machines[r].name);
        ES_TRY(es_doc_need_number(one, "busy_s", 0.0, 1e300, &busy_s[r], err));
    }
    out->entries = entries;
    out->busy_s = busy_s;
    return ES_OK;
}

static es_status read_root(es_arena *arena, const es_doc *root, const es_tasks *tasks,
                           const es_machines *machines, const es_schedule **out_schedule,
                           es_error *err)
{
    const char *unit = NULL;
    size_t method = 0;
    es_schedule *out = ES_TAKE_ONE(arena, es_schedule);
    if (out == NULL)
        return es_arena_full(arena, "schedule", err);
    ES_TRY(es_doc_expect_map(root, err));
    ES_TRY(es_doc_expect_format(root, FORMAT, VERSION, err));
    ES_TRY(ES_DOC_EXPECT_KEYS(root, err, "format", "version", "method", "optimal", "discrete",
                              "work_unit", "quality", "bound", "gap_relative", "budgets", "used",
                              "used_idle", "full", "machines", "tasks"));
    ES_TRY(es_doc_need_word(root, "method", es_schedule_method_names, ES_SCHEDULE_METHOD_COUNT,
                            &method, err));
    out->method = (es_schedule_method)method;
    ES_TRY(es_doc_get_bool(root, "optimal", &out->optimal, err));
    ES_TRY(es_doc_get_bool(root, "discrete", &out->discrete, err));
    ES_TRY(es_doc_get_text(root, "work_unit", &unit, err));
    ES_TRY(es_doc_need_number(root, "quality", 0.0, 1e300, &out->quality, err));
    ES_TRY(get_or(root, "bound", (double)INFINITY, &out->bound, err));
    ES_TRY(get_or(root, "gap_relative", (double)NAN, &out->gap_relative, err));
    ES_TRY(read_budgets(root, "budgets", (double)INFINITY, out->budgets, err));
    ES_TRY(read_budgets(root, "used", 0.0, out->used, err));
    ES_TRY(read_budgets(root, "used_idle", 0.0, out->used_idle, err));
    ES_TRY(read_budgets(root, "full", 0.0, out->full, err));
    out->task_count = tasks->task_count;
    out->machine_count = machines->machine_count;
    ES_TRY(read_lists(arena, root, machines, out, err));
    *out_schedule = out;
    return ES_OK;
}

es_status es_schedule_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                            const es_tasks *tasks, const es_machines *machines,
                            const es_schedule **out_schedule, es_error *err)
{
    const es_doc *root = NULL;
    ES_TRY(es_doc_parse_json(arena, name, bytes, size, &root, err));
    return read_root(arena, root, tasks, machines, out_schedule, err);
}

es_status es_schedule_load(es_arena *arena, const char *path, const es_tasks *tasks,
                           const es_machines *machines, const es_schedule **out_schedule,
                           es_error *err)
{
    const es_doc *root = NULL;
    ES_TRY(es_doc_read(arena, path, ES_SCHEDULE_FILE_MAX, &root, err));
    return read_root(arena, root, tasks, machines, out_schedule, err);
}
