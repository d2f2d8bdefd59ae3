/* Tasks as a table: one line per task, its curve as "work:quality work:quality ...". */
#include "schedule/documents.h"

#include <math.h>

typedef enum column {
    COLUMN_NAME,
    COLUMN_DEADLINE,
    COLUMN_ARRIVAL,
    COLUMN_INPUT,
    COLUMN_CURVE,
    COLUMN_COUNT
} column;
static const char *const column_names[COLUMN_COUNT] = {"name", "deadline_s", "arrival_s",
                                                       "input_bytes", "curve"};

enum { FIELDS_MAX = 16, CURVE_POINTS_MAX = 4096, CURVES_LOOKED_AT = 64 };

typedef struct reader {
    es_arena *arena;
    const char *file;
    bool hull;
    uint32_t line;
    int columns[FIELDS_MAX]; /* which column field i is */
    size_t field_count;
    ES_ARRAY(es_curve) curves;
    ES_ARRAY(const char *) texts; /* of the curves, as written */
    ES_ARRAY(es_tasks_task) tasks;
    double *work; /* [CURVE_POINTS_MAX] */
    double *quality;
    es_text *note;
    es_error *err;
} reader;

/* The line split at commas, without spaces around. More than FIELDS_MAX: SIZE_MAX. */
static size_t split(char *line, char *fields[FIELDS_MAX])
{
    size_t count = 0;
    for (char *at = line;;) {
        if (count == FIELDS_MAX)
            return SIZE_MAX;
        char *comma = strchr(at, ',');
        char *end = comma != NULL ? comma : at + strlen(at);
        while (*at == ' ' || *at == '\t')
            at++;
        char *last = end;
        while (last > at && (last[-1] == ' ' || last[-1] == '\t' || last[-1] == '\r'))
            last--;
        fields[count++] = at;
        if (comma == NULL) {
            *last = '\0';
            return count;
        }
        *last = '\0';
        at = comma + 1;
    }
}

static es_status read_head(reader *r, char *line)
{
    char *fields[FIELDS_MAX];
    bool seen[COLUMN_COUNT] = {false};
    r->field_count = split(line, fields);
    if (r->field_count == SIZE_MAX)
        return es_fail(r->err, ES_ERR_PARSE, "%s:1: more than %d columns", r->file, FIELDS_MAX);
    for (size_t i = 0; i < r->field_count; i++) {
        int found = -1;
        for (int c = 0; c < COLUMN_COUNT; c++)
            if (strcmp(fields[i], column_names[c]) == 0)
                found = c;
        if (found < 0) {
            const char *nearest = es_text_nearest(fields[i], column_names, COLUMN_COUNT);
            return es_fail(r->err, ES_ERR_PARSE,
                           "%s:1: unknown column '%.40s'%s%s%s; there are name, deadline_s, "
                           "arrival_s, input_bytes, curve",
                           r->file, fields[i], nearest != NULL ? " (did you mean '" : "",
                           nearest != NULL ? nearest : "", nearest != NULL ? "'?)" : "");
        }
        if (seen[found])
            return es_fail(r->err, ES_ERR_PARSE, "%s:1: column '%s' is given twice", r->file,
                           column_names[found]);
        seen[found] = true;
        r->columns[i] = found;
    }
    if (!seen[COLUMN_DEADLINE] || !seen[COLUMN_CURVE])
        return es_fail(r->err, ES_ERR_PARSE, "%s:1: no column '%s'", r->file,
                       seen[COLUMN_DEADLINE] ? "curve" : "deadline_s");
    return ES_OK;
}

static es_status read_points(reader *r, char *text, uint32_t *out_count)
{
    uint32_t count = 0;
    for (char *at = text; *at != '\0';) {
        size_t size = strcspn(at, " ");
        char *next = at + size + (at[size] == ' ' ? 1 : 0);
        at[size] = '\0';
        char *colon = strchr(at, ':');
        if (size > 0) {
            if (count == CURVE_POINTS_MAX)
                return es_fail(r->err, ES_ERR_LIMIT, "%s:%u: more than %d points", r->file, r->line,
                               CURVE_POINTS_MAX);
            if (colon != NULL)
                *colon = '\0';
            if (colon == NULL || !es_text_to_double(at, &r->work[count]) ||
                !es_text_to_double(colon + 1, &r->quality[count]))
                return es_fail(r->err, ES_ERR_PARSE,
                               "%s:%u: curve point '%.40s%s%.40s' must be work:quality, e.g. "
                               "0.6:75",
                               r->file, r->line, at, colon != NULL ? ":" : "",
                               colon != NULL ? colon + 1 : "");
            count++;
        }
        at = next;
    }
    *out_count = count;
    return ES_OK;
}

/* Tables repeat few curves, mostly those seen last. */
static es_status read_curve(reader *r, char *text, uint32_t *out_curve)
{
    size_t seen = 0;
    for (size_t i = r->texts.count; i > 0 && seen < CURVES_LOOKED_AT; i--, seen++)
        if (strcmp(r->texts.items[i - 1], text) == 0) {
            *out_curve = (uint32_t)(i - 1);
            return ES_OK;
        }
    const char *kept = es_arena_text(r->arena, text);
    const char *name = es_arena_format(r->arena, "line %u", r->line);
    uint32_t count = 0;
    es_curve curve;
    if (kept == NULL || name == NULL)
        return es_arena_full(r->arena, "curves", r->err);
    ES_TRY(read_points(r, text, &count));
    ES_TRY(es_within(
        r->err,
        es_curve_make(r->arena, name, count, r->work, r->quality, r->hull, &curve, r->note, r->err),
        "%s:%u", r->file, r->line));
    *out_curve = (uint32_t)r->curves.count;
    ES_TRY(ES_ARRAY_PUSH(r->arena, &r->texts, kept, "curves", r->err));
    return ES_ARRAY_PUSH(r->arena, &r->curves, curve, "curves", r->err);
}

static es_status read_number(reader *r, column which, const char *text, double *out)
{
    double value;
    if (!es_text_to_double(text, &value))
        return es_fail(r->err, ES_ERR_PARSE, "%s:%u: %s='%.40s' is not a number", r->file, r->line,
                       column_names[which], text);
    if (value < 0.0 || value > ES_TIME_MAX_S)
        return es_fail(r->err, ES_ERR_PARSE, "%s:%u: %s=%g must be between 0 and %g", r->file,
                       r->line, column_names[which], value, ES_TIME_MAX_S);
    *out = value;
    return ES_OK;
}

static es_status read_line(reader *r, char *line)
{
    char *fields[FIELDS_MAX];
    es_tasks_task task = {0};
    size_t count = split(line, fields);
    if (count != r->field_count)
        return es_fail(r->err, ES_ERR_PARSE, "%s:%u: %zu fields, the first line has %zu", r->file,
                       r->line, count == SIZE_MAX ? (size_t)FIELDS_MAX + 1 : count, r->field_count);
    for (size_t i = 0; i < count; i++) {
        switch (r->columns[i]) {
        case COLUMN_NAME:
            task.name = es_arena_text(r->arena, fields[i]);
            if (task.name == NULL)
                return es_arena_full(r->arena, "tasks", r->err);
            break;
        case COLUMN_DEADLINE:
            ES_TRY(read_number(r, COLUMN_DEADLINE, fields[i], &task.deadline_s));
            break;
        case COLUMN_ARRIVAL:
            ES_TRY(read_number(r, COLUMN_ARRIVAL, fields[i], &task.arrival_s));
            break;
        case COLUMN_INPUT:
            ES_TRY(read_number(r, COLUMN_INPUT, fields[i], &task.input_bytes));
            break;
        default:
            ES_TRY(read_curve(r, fields[i], &task.curve));
            break;
        }
    }
    if (!(task.deadline_s > task.arrival_s))
        return es_fail(r->err, ES_ERR_PARSE,
                       "%s:%u: deadline_s=%g is in the past, must be more than arrival_s=%g",
                       r->file, r->line, task.deadline_s, task.arrival_s);
    if (r->tasks.count == ES_TASKS_MAX)
        return es_fail(r->err, ES_ERR_LIMIT, "%s:%u: more than %d tasks", r->file, r->line,
                       ES_TASKS_MAX);
    return ES_ARRAY_PUSH(r->arena, &r->tasks, task, "tasks", r->err);
}

es_status es_tasks_parse_csv(es_arena *arena, const char *name, const char *bytes, size_t size,
                             bool hull, es_tasks *out, es_text *note, es_error *err)
{
    reader r = {.arena = arena,
                .file = name,
                .hull = hull,
                .work = ES_TAKE_ARRAY(arena, double, CURVE_POINTS_MAX),
                .quality = ES_TAKE_ARRAY(arena, double, CURVE_POINTS_MAX),
                .note = note,
                .err = err};
    char *copy = es_arena_text_n(arena, bytes, size);
    if (r.work == NULL || r.quality == NULL || copy == NULL)
        return es_arena_full(arena, "tasks", err);
    if (memchr(bytes, '\0', size) != NULL)
        return es_fail(err, ES_ERR_PARSE, "%s: not text: holds a zero byte", name);
    bool head = true;
    for (char *at = copy; at != NULL && *at != '\0';) {
        char *end = strchr(at, '\n');
        if (end != NULL)
            *end = '\0';
        r.line++;
        if (at[strspn(at, " \t\r")] != '\0' && *at != '#') {
            ES_TRY(head ? read_head(&r, at) : read_line(&r, at));
            head = false;
        }
        at = end != NULL ? end + 1 : NULL;
    }
    if (r.tasks.count == 0)
        return es_fail(err, ES_ERR_PARSE, "%s: no task; the first line names the columns", name);
    *out = (es_tasks){.work_unit = "work",
                      .curve_count = (uint32_t)r.curves.count,
                      .curves = r.curves.items,
                      .task_count = (uint32_t)r.tasks.count,
                      .tasks = r.tasks.items};
    return ES_OK;
}
