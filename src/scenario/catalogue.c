/* Catalogue, first half: tasks, and segments with what was measured of them. */
#include "scenario/internal.h"

#include <math.h>
#include <sys/stat.h>

static const char HOST[] = "host";

/* A file named under key; *out is left alone when there is none. */
static es_status read_path(es_reader *reader, const es_doc *map, const char *key, const char **out,
                           es_error *err)
{
    const char *file = NULL;
    ES_TRY(es_doc_get_text(map, key, &file, err));
    if (file == NULL)
        return ES_OK;
    if (*file == '\0')
        return es_doc_fail(es_doc_find(map, key), err, "the name of the file is empty");
    return es_scenario_field_path(reader, map, file, reader->arena, out, err);
}

/* ---- tasks ---- */

static es_status read_task(es_reader *reader, const es_doc *map, es_task *task, es_error *err)
{
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "name", "input_bytes", "output_bytes", "deadline_ms",
                              "quality_min", "quality_min_each", "samples", "labels"));
    *task = (es_task){.deadline_s = (double)INFINITY};
    ES_TRY(es_scenario_names_add(reader->arena, &reader->tasks, map, &task->name, err));
    ES_TRY(
        es_doc_need_number(map, "input_bytes", 0, ES_SCENARIO_BYTES_MAX, &task->input_bytes, err));
    ES_TRY(es_doc_need_number(map, "output_bytes", 0, ES_SCENARIO_BYTES_MAX, &task->output_bytes,
                              err));
    double deadline_ms = (double)INFINITY;
    ES_TRY(es_scenario_field_get_positive(map, "deadline_ms", ES_SCENARIO_TIME_S_MAX * 1e3,
                                          &deadline_ms, err));
    task->deadline_s = deadline_ms / 1e3;
    ES_TRY(read_path(reader, map, "samples", &task->samples_file, err));
    ES_TRY(read_path(reader, map, "labels", &task->labels_file, err));
    if (task->labels_file != NULL && task->samples_file == NULL)
        return es_doc_fail(es_doc_find(map, "labels"), err, "labels without samples");
    ES_TRY(es_doc_get_number(map, "quality_min", 0, 1, &task->quality_min, err));
    return es_doc_get_number(map, "quality_min_each", 0, 1, &task->quality_min_each, err);
}

static es_status read_tasks(es_reader *reader, const es_doc *root, es_error *err)
{
    const es_doc *list = NULL;
    ES_TRY(es_scenario_field_need_items(root, "tasks", &list, err));
    size_t count = list->as.list.count;
    ES_TRY(es_scenario_names_init(reader->scratch, &reader->tasks, "task", count, err));
    es_task *tasks = NULL;
    ES_TRY(es_scenario_field_take(reader->arena, count, sizeof *tasks, "tasks", &tasks, err));
    ES_TRY(es_scenario_field_take(reader->scratch, count, sizeof(const es_doc *), "tasks",
                                  &reader->task_places, err));
    for (size_t i = 0; i < count; i++) {
        reader->task_places[i] = list->as.list.items[i];
        ES_TRY(read_task(reader, list->as.list.items[i], &tasks[i], err));
    }
    reader->scenario->tasks = tasks;
    reader->scenario->task_count = (uint32_t)count;
    return ES_OK;
}

/* ---- segments ---- */

/* Size of a file that is there, else false. */
static bool file_size(const char *path, double *out_bytes)
{
    struct stat about;
    if (path == NULL || stat(path, &about) != 0 || !S_ISREG(about.st_mode))
        return false;
    *out_bytes = (double)about.st_size;
    return true;
}

static es_status read_memory(const es_doc *map, es_segment *segment, es_error *err)
{
    segment->memory_bytes = (double)NAN;
    ES_TRY(es_scenario_field_get_memory(map, &segment->memory_bytes, err));
    if (!isnan(segment->memory_bytes) || file_size(segment->file, &segment->memory_bytes))
        return ES_OK;
    if (segment->file == NULL)
        return es_doc_fail(map, err,
                           "memory_mb (or memory_bytes) is missing, and there is no "
                           "file to take it from");
    return es_doc_fail(es_doc_find(map, "file"), err,
                       "memory_mb (or memory_bytes) is missing, and there is no file '%.200s' to "
                       "take it from",
                       segment->file);
}

static es_status read_on(es_reader *reader, const es_doc *map, uint32_t segment, es_error *err)
{
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "kind", "time_ms", "energy_mj"));
    es_on on = {.segment = segment, .kind = ES_INDEX_NONE, .energy_j = (double)NAN};
    const char *kind = NULL;
    ES_TRY(es_doc_need_text(map, "kind", &kind, err));
    if (strcmp(kind, HOST) != 0)
        ES_TRY(es_scenario_names_need(&reader->kinds, map, "kind", &on.kind, err));
    uint32_t *last = &reader->on_last[on.kind == ES_INDEX_NONE ? reader->kinds.count : on.kind];
    if (*last != 0 && reader->on.items[*last - 1].segment == segment)
        return es_doc_fail(es_doc_find(map, "kind"), err,
                           "kind '%s' already has a time in this segment", kind);
    double time_ms = 0;
    ES_TRY(es_scenario_field_need_positive(map, "time_ms", ES_SCENARIO_TIME_S_MAX * 1e3, &time_ms,
                                           err));
    on.time_s = time_ms / 1e3;
    ES_TRY(es_scenario_field_get_scaled(map, "energy_mj", 1e-3, ES_SCENARIO_ENERGY_J_MAX * 1e3,
                                        &on.energy_j, err));
    if (on.kind == ES_INDEX_NONE && !isnan(on.energy_j))
        return es_doc_fail(es_doc_find(map, "energy_mj"), err,
                           "energy of the host says nothing about a node; "
                           "give it for a kind, or watts to the kind");
    *last = (uint32_t)reader->on.count + 1; /* below ES_DOC_VALUES_MAX */
    return ES_ARRAY_PUSH(reader->scratch, &reader->on, on, "times of segments", err);
}

static es_status read_segment(es_reader *reader, const es_doc *map, uint32_t index,
                              bool *out_output_given, es_error *err)
{
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "name", "variant", "file", "memory_mb", "memory_bytes",
                              "output_bytes", "work_macs", "hosting_cost_per_s", "on"));
    es_segment *segment = &reader->segment_items[index];
    ES_TRY(es_scenario_names_add(reader->arena, &reader->segments, map, &segment->name, err));
    const char *variant = segment->name;
    ES_TRY(es_doc_get_text(map, "variant", &variant, err));
    ES_TRY(es_scenario_field_copy(reader->arena, variant, &segment->variant, err));
    ES_TRY(read_path(reader, map, "file", &segment->file, err));
    ES_TRY(read_memory(map, segment, err));
    segment->output_bytes = (double)NAN;
    ES_TRY(es_doc_get_number(map, "output_bytes", 0, ES_SCENARIO_BYTES_MAX, &segment->output_bytes,
                             err));
    *out_output_given = !isnan(segment->output_bytes);
    ES_TRY(es_doc_get_number(map, "work_macs", 0, ES_SCENARIO_WORK_MACS_MAX, &segment->work_macs,
                             err));
    ES_TRY(es_doc_get_number(map, "hosting_cost_per_s", 0, ES_SCENARIO_WEIGHT_MAX,
                             &segment->hosting_per_s, err));
    const es_doc *on = NULL;
    ES_TRY(es_doc_get_list(map, "on", &on, err));
    for (size_t i = 0; on != NULL && i < on->as.list.count; i++)
        ES_TRY(read_on(reader, on->as.list.items[i], index, err));
    return ES_OK;
}

static es_status read_segments(es_reader *reader, const es_doc *root, es_error *err)
{
    const es_doc *list = NULL;
    ES_TRY(es_scenario_field_need_items(root, "segments", &list, err));
    size_t count = list->as.list.count;
    ES_TRY(es_scenario_names_init(reader->scratch, &reader->segments, "segment", count, err));
    ES_TRY(es_scenario_field_take(reader->arena, count, sizeof *reader->segment_items, "segments",
                                  &reader->segment_items, err));
    ES_TRY(es_scenario_field_take(reader->scratch, (size_t)reader->kinds.count + 1,
                                  sizeof *reader->on_last, "segments", &reader->on_last, err));
    bool *given = NULL;
    ES_TRY(es_scenario_field_take(reader->scratch, count, sizeof *given, "segments", &given, err));
    for (size_t i = 0; i < count; i++)
        ES_TRY(read_segment(reader, list->as.list.items[i], (uint32_t)i, &given[i], err));
    reader->segment_output_given = given;
    reader->scenario->segments = reader->segment_items;
    reader->scenario->segment_count = (uint32_t)count;
    return ES_OK;
}

es_status es_scenario_read_catalogue(es_reader *reader, const es_doc *root, es_error *err)
{
    ES_TRY(read_tasks(reader, root, err));
    return read_segments(reader, root, err);
}
