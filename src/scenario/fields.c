/* Getters on top of the schema walker: positive numbers, scaled units, memory in two units. */
#include "base/file.h"
#include "scenario/internal.h"

#include <math.h>

static es_status check_positive(const es_doc *map, const char *key, double number, es_error *err)
{
    if (number > 0)
        return ES_OK;
    return es_doc_fail(es_doc_find(map, key), err, "%.17g must be > 0", number);
}

es_status es_scenario_field_get_positive(const es_doc *map, const char *key, double max,
                                         double *out, es_error *err)
{
    double number = 1;
    ES_TRY(es_doc_get_number(map, key, 0, max, &number, err));
    ES_TRY(check_positive(map, key, number, err));
    const es_doc *value = es_doc_find(map, key);
    if (value != NULL && value->type != ES_DOC_NULL)
        *out = number;
    return ES_OK;
}

es_status es_scenario_field_need_positive(const es_doc *map, const char *key, double max,
                                          double *out, es_error *err)
{
    ES_TRY(es_doc_need_number(map, key, 0, max, out, err));
    return check_positive(map, key, *out, err);
}

es_status es_scenario_field_get_scaled(const es_doc *map, const char *key, double scale, double max,
                                       double *out, es_error *err)
{
    double number = (double)NAN;
    ES_TRY(es_doc_get_number(map, key, 0, max, &number, err));
    if (!isnan(number))
        *out = number * scale;
    return ES_OK;
}

es_status es_scenario_field_get_memory(const es_doc *map, double *out, es_error *err)
{
    double megabytes = (double)NAN;
    double bytes = (double)NAN;
    ES_TRY(es_doc_get_number(map, "memory_mb", 0, ES_SCENARIO_BYTES_MAX / 1e6, &megabytes, err));
    ES_TRY(es_doc_get_number(map, "memory_bytes", 0, ES_SCENARIO_BYTES_MAX, &bytes, err));
    if (!isnan(megabytes) && !isnan(bytes))
        return es_doc_fail(es_doc_find(map, "memory_bytes"), err,
                           "give memory_mb or memory_bytes, not both");
    if (!isnan(megabytes))
        *out = megabytes * 1e6;
    if (!isnan(bytes))
        *out = bytes;
    return ES_OK;
}

es_status es_scenario_field_need_items(const es_doc *map, const char *key, const es_doc **out,
                                       es_error *err)
{
    ES_TRY(es_doc_need_list(map, key, out, err));
    if ((*out)->as.list.count == 0)
        return es_doc_fail(*out, err, "the list needs at least one item");
    return ES_OK;
}

es_status es_scenario_field_at(const es_doc *value, es_status status, es_error *err)
{
    if (status != ES_ERR_ARG && status != ES_ERR_IO)
        return status;
    es_error lower = {.status = status};
    if (err != NULL)
        lower = *err; /* a copy: err is written while its text is read */
    return es_doc_fail(value, err, "%s", es_error_text(&lower));
}

es_status es_scenario_field_take(es_arena *arena, size_t count, size_t size, const char *what,
                                 void *out, es_error *err)
{
    void *items = es_arena_take(arena, count, size);
    if (items == NULL)
        return es_arena_full(arena, what, err);
    memcpy(out, &items, sizeof items); /* out points to a pointer of some object type */
    return ES_OK;
}

es_status es_scenario_field_copy(es_arena *arena, const char *text, const char **out, es_error *err)
{
    if (text == NULL) {
        *out = NULL;
        return ES_OK;
    }
    const char *copy = es_arena_text(arena, text);
    if (copy == NULL)
        return es_arena_full(arena, "a text of the scenario", err);
    *out = copy;
    return ES_OK;
}

es_status es_scenario_field_path(const es_reader *reader, const es_doc *map, const char *file,
                                 es_arena *arena, const char **out_path, es_error *err)
{
    const char *folder = reader->folder;
    if (map->file != reader->file) { /* a document has one text for its name */
        folder = es_file_folder(reader->scratch, map->file);
        if (folder == NULL)
            return es_arena_full(reader->scratch, "a path", err);
    }
    *out_path = es_file_join(arena, folder, file);
    return *out_path != NULL ? ES_OK : es_arena_full(arena, "a path", err);
}
