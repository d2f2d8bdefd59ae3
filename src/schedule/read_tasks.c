/* Tasks as a document. */
#include "base/file.h"
#include "schedule/documents.h"

#include <math.h>

enum { POINTS_MAX = 4096, NOTE_BYTES = 1 << 16 };

typedef struct reader {
    es_arena *arena;
    bool hull;
    const char *folder; /* of the document; NULL: it names no files */
    ES_ARRAY(es_curve) curves;
    ES_ARRAY(es_tasks_task) tasks;
    es_text *note;
    es_error *err;
} reader;

static es_status read_point(reader *r, const es_doc *point, double *work, double *quality)
{
    ES_TRY(es_doc_expect_list(point, r->err));
    if (point->as.list.count != 2)
        return es_doc_fail(point, r->err, "must be [work, quality]");
    ES_TRY(es_doc_expect_number(point->as.list.items[0], 0.0, ES_TIME_MAX_S, work, r->err));
    return es_doc_expect_number(point->as.list.items[1], 0.0, ES_TIME_MAX_S, quality, r->err);
}

static es_status read_curve(reader *r, const es_doc *doc)
{
    const es_doc *points = NULL;
    const char *name = NULL;
    ES_TRY(ES_DOC_EXPECT_KEYS(doc, r->err, "name", "points"));
    ES_TRY(es_doc_need_text(doc, "name", &name, r->err));
    ES_TRY(es_doc_need_list(doc, "points", &points, r->err));
    for (size_t i = 0; i < r->curves.count; i++)
        if (strcmp(r->curves.items[i].name, name) == 0)
            return es_doc_fail(doc, r->err, "curve '%s' is given twice", name);
    size_t count = points->as.list.count;
    if (count > POINTS_MAX)
        return es_doc_fail(points, r->err, "more than %d points", POINTS_MAX);
    double *work = ES_TAKE_ARRAY(r->arena, double, count);
    double *quality = ES_TAKE_ARRAY(r->arena, double, count);
    if (work == NULL || quality == NULL)
        return es_arena_full(r->arena, "curves", r->err);
    for (size_t i = 0; i < count; i++)
        ES_TRY(read_point(r, points->as.list.items[i], &work[i], &quality[i]));
    es_curve curve;
    es_error inner = {0};
    es_status status = es_curve_make(r->arena, name, (uint32_t)count, work, quality, r->hull,
                                     &curve, r->note, &inner);
    if (status == ES_ERR_PARSE)
        return es_doc_fail(points, r->err, "%s", es_error_text(&inner));
    if (status != ES_OK)
        return es_fail(r->err, status, "%s", es_error_text(&inner));
    return ES_ARRAY_PUSH(r->arena, &r->curves, curve, "curves", r->err);
}

static es_status find_curve(reader *r, const es_doc *doc, uint32_t *out)
{
    enum { NAMES_MAX = 64 };
    const char *name = NULL;
    const char *names[NAMES_MAX];
    size_t count = 0;
    ES_TRY(es_doc_need_text(doc, "curve", &name, r->err));
    for (size_t i = 0; i < r->curves.count; i++) {
        if (strcmp(r->curves.items[i].name, name) == 0) {
            *out = (uint32_t)i;
            return ES_OK;
        }
        if (count < NAMES_MAX)
            names[count++] = r->curves.items[i].name;
    }
    const char *nearest = es_text_nearest(name, names, count);
    return es_doc_fail(es_doc_find(doc, "curve"), r->err, "there is no curve '%s'%s%s%s", name,
                       nearest != NULL ? " (did you mean '" : "", nearest != NULL ? nearest : "",
                       nearest != NULL ? "'?)" : "");
}

static es_status read_task(reader *r, const es_doc *doc)
{
    es_tasks_task task = {0};
    int64_t count = 1;
    ES_TRY(ES_DOC_EXPECT_KEYS(doc, r->err, "name", "curve", "deadline_s", "arrival_s",
                              "input_bytes", "count"));
    ES_TRY(es_doc_get_text(doc, "name", &task.name, r->err));
    ES_TRY(find_curve(r, doc, &task.curve));
    ES_TRY(es_doc_need_number(doc, "deadline_s", 0.0, ES_TIME_MAX_S, &task.deadline_s, r->err));
    ES_TRY(es_doc_get_number(doc, "arrival_s", 0.0, ES_TIME_MAX_S, &task.arrival_s, r->err));
    ES_TRY(es_doc_get_number(doc, "input_bytes", 0.0, ES_TIME_MAX_S, &task.input_bytes, r->err));
    ES_TRY(es_doc_get_int(doc, "count", 1, ES_TASKS_MAX, &count, r->err));
    if (!(task.deadline_s > task.arrival_s))
        return es_doc_fail(es_doc_find(doc, "deadline_s"), r->err,
                           "%g is in the past, must be more than arrival_s=%g", task.deadline_s,
                           task.arrival_s);
    if (r->tasks.count + (size_t)count > ES_TASKS_MAX)
        return es_doc_fail(doc, r->err, "more than %d tasks", ES_TASKS_MAX);
    for (int64_t i = 0; i < count; i++)
        ES_TRY(ES_ARRAY_PUSH(r->arena, &r->tasks, task, "tasks", r->err));
    return ES_OK;
}

/* Requests of a trace: each a task of one curve, due some time after it came. */
static es_status read_trace(reader *r, const es_doc *doc)
{
    const char *file = NULL;
    size_t format = ES_TRACE_CSV;
    int64_t count_max = ES_TASKS_MAX;
    double after_s = 0.0;
    double from_s = 0.0;
    es_tasks_task task = {0};
    const es_trace *trace = NULL;
    ES_TRY(ES_DOC_EXPECT_KEYS(doc, r->err, "file", "format", "curve", "deadline_after_s", "from_s",
                              "count_max", "input_bytes"));
    ES_TRY(es_doc_need_text(doc, "file", &file, r->err));
    ES_TRY(es_doc_get_word(doc, "format", es_trace_format_names, ES_TRACE_FORMAT_COUNT, &format,
                           r->err));
    ES_TRY(find_curve(r, doc, &task.curve));
    ES_TRY(es_doc_need_number(doc, "deadline_after_s", 1e-9, ES_TIME_MAX_S, &after_s, r->err));
    ES_TRY(es_doc_get_number(doc, "from_s", 0.0, ES_TIME_MAX_S, &from_s, r->err));
    ES_TRY(es_doc_get_int(doc, "count_max", 1, ES_TASKS_MAX, &count_max, r->err));
    ES_TRY(es_doc_get_number(doc, "input_bytes", 0.0, ES_TIME_MAX_S, &task.input_bytes, r->err));
    if (r->folder == NULL)
        return es_doc_fail(doc, r->err, "only a document that is a file may name another");
    char *path = es_file_join(r->arena, r->folder, file);
    if (path == NULL)
        return es_arena_full(r->arena, "traces", r->err);
    ES_TRY(es_trace_load(r->arena, path, (es_trace_format)format, &trace, r->err));
    int64_t taken = 0;
    for (size_t i = 0; i < trace->count && taken < count_max; i++) {
        task.arrival_s = es_s_from_ns(trace->times_ns[i]) - from_s;
        task.deadline_s = task.arrival_s + after_s;
        if (task.arrival_s < 0.0)
            continue;
        if (r->tasks.count == ES_TASKS_MAX)
            return es_doc_fail(doc, r->err, "more than %d tasks", ES_TASKS_MAX);
        taken++;
        ES_TRY(ES_ARRAY_PUSH(r->arena, &r->tasks, task, "tasks", r->err));
    }
    return ES_OK;
}

static es_status read_document(reader *r, const es_doc *root, es_tasks *out)
{
    const es_doc *curves = NULL;
    const es_doc *tasks = NULL;
    const es_doc *traces = NULL;
    const char *unit = "work";
    ES_TRY(es_doc_expect_map(root, r->err));
    ES_TRY(es_doc_expect_format(root, "estran-tasks", 1, r->err));
    ES_TRY(ES_DOC_EXPECT_KEYS(root, r->err, "format", "version", "description", "work_unit",
                              "curves", "tasks", "traces"));
    ES_TRY(es_doc_get_text(root, "work_unit", &unit, r->err));
    ES_TRY(es_doc_need_list(root, "curves", &curves, r->err));
    ES_TRY(es_doc_get_list(root, "tasks", &tasks, r->err));
    ES_TRY(es_doc_get_list(root, "traces", &traces, r->err));
    for (size_t i = 0; i < curves->as.list.count; i++)
        ES_TRY(read_curve(r, curves->as.list.items[i]));
    for (size_t i = 0; tasks != NULL && i < tasks->as.list.count; i++)
        ES_TRY(read_task(r, tasks->as.list.items[i]));
    for (size_t i = 0; traces != NULL && i < traces->as.list.count; i++)
        ES_TRY(read_trace(r, traces->as.list.items[i]));
    if (r->tasks.count == 0)
        return es_doc_fail(tasks != NULL ? tasks : root, r->err, "must name at least one task");
    *out = (es_tasks){.work_unit = unit,
                      .curve_count = (uint32_t)r->curves.count,
                      .curves = r->curves.items,
                      .task_count = (uint32_t)r->tasks.count,
                      .tasks = r->tasks.items};
    return ES_OK;
}

typedef struct source {
    const char *name, *folder;
    const char *bytes;
    size_t size;
    bool csv, hull;
} source;

static es_status parse(es_arena *arena, const source *from, es_tasks *out, es_text *note,
                       es_error *err)
{
    if (from->csv)
        return es_tasks_parse_csv(arena, from->name, from->bytes, from->size, from->hull, out, note,
                                  err);
    reader r = {
        .arena = arena, .hull = from->hull, .folder = from->folder, .note = note, .err = err};
    const es_doc *root = NULL;
    ES_TRY(es_doc_parse_yaml(arena, from->name, from->bytes, from->size, &root, err));
    return read_document(&r, root, out);
}

static es_status parse_noted(es_arena *arena, const source *from, const es_tasks **out_tasks,
                             es_error *err)
{
    es_tasks *tasks = ES_TAKE_ONE(arena, es_tasks);
    if (tasks == NULL)
        return es_arena_full(arena, "tasks", err);
    es_text note;
    es_text_init(&note, NOTE_BYTES);
    es_status status = parse(arena, from, tasks, &note, err);
    if (status == ES_OK && note.size > 0) {
        tasks->note = es_arena_text(arena, es_text_get(&note));
        if (tasks->note == NULL)
            status = es_arena_full(arena, "tasks", err);
    }
    es_text_done(&note);
    if (status == ES_OK)
        *out_tasks = tasks;
    return status;
}

es_status es_tasks_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                         bool csv, bool hull, const es_tasks **out_tasks, es_error *err)
{
    source from = {.name = name, .bytes = bytes, .size = size, .csv = csv, .hull = hull};
    return parse_noted(arena, &from, out_tasks, err);
}

es_status es_tasks_load(es_arena *arena, const char *path, bool hull, const es_tasks **out_tasks,
                        es_error *err)
{
    char *bytes = NULL;
    source from = {.name = path, .folder = es_file_folder(arena, path), .hull = hull};
    if (from.folder == NULL)
        return es_arena_full(arena, "tasks", err);
    ES_TRY(es_file_read_gz(arena, path, ES_SCHEDULE_FILE_MAX, &bytes, &from.size, err));
    from.bytes = bytes;
    size_t length = strlen(path);
    from.csv = (length >= 4 && strcmp(path + length - 4, ".csv") == 0) ||
               (length >= 7 && strcmp(path + length - 7, ".csv.gz") == 0);
    return parse_noted(arena, &from, out_tasks, err);
}
