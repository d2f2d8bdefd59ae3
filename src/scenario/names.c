/* Names of one sort of thing: a hash table over the order of the document. */
#include "scenario/internal.h"

static uint32_t hash(const char *name)
{
    uint32_t value = 2166136261u; /* FNV-1a */
    for (const char *c = name; *c != '\0'; c++)
        value = (value ^ (uint8_t)*c) * 16777619u;
    return value;
}

es_status es_scenario_names_init(es_arena *scratch, es_scenario_names *names, const char *what,
                                 size_t capacity, es_error *err)
{
    if (capacity >= UINT32_MAX / 4)
        return es_fail(err, ES_ERR_LIMIT, "%zu %ss are too many", capacity, what);
    uint32_t slots = 8;
    while (slots < 2 * capacity)
        slots *= 2;
    *names = (es_scenario_names){.what = what, .capacity = (uint32_t)capacity, .slot_count = slots};
    ES_TRY(
        es_scenario_field_take(scratch, capacity, sizeof *names->items, what, &names->items, err));
    ES_TRY(es_scenario_field_take(scratch, capacity, sizeof(const es_doc *), what, &names->where,
                                  err));
    return es_scenario_field_take(scratch, slots, sizeof *names->slots, what, &names->slots, err);
}

/* The slot that holds name, or the empty one where it would go. */
static uint32_t slot_of(const es_scenario_names *names, const char *name)
{
    uint32_t at = hash(name) & (names->slot_count - 1);
    while (names->slots[at] != 0 && strcmp(names->items[names->slots[at] - 1], name) != 0)
        at = (at + 1) & (names->slot_count - 1);
    return at;
}

static es_status check_spelling(const es_doc *value, const char *what, const char *name,
                                es_error *err)
{
    size_t size = strlen(name);
    if (size == 0 || size > ES_SCENARIO_NAME_MAX)
        return es_doc_fail(value, err, "the name of a %s has 1 to %d bytes, not %zu", what,
                           ES_SCENARIO_NAME_MAX, size);
    for (size_t i = 0; i < size; i++) {
        if ((uint8_t)name[i] < 0x20 || name[i] == 0x7f)
            return es_doc_fail(value, err, "the name of a %s holds no control characters", what);
    }
    return ES_OK;
}

static es_status taken(const es_doc *value, const char *what, const char *name, const es_doc *first,
                       es_error *err)
{
    if (first->file != value->file)
        return es_doc_fail(value, err, "%s '%s' is already defined in %s:%u", what, name,
                           first->file, (unsigned)first->line);
    return es_doc_fail(value, err, "%s '%s' is already defined in line %u", what, name,
                       (unsigned)first->line);
}

es_status es_scenario_names_add(es_arena *arena, es_scenario_names *names, const es_doc *map,
                                const char **out_name, es_error *err)
{
    const char *name = NULL;
    ES_TRY(es_doc_need_text(map, "name", &name, err));
    const es_doc *value = es_doc_find(map, "name");
    ES_TRY(check_spelling(value, names->what, name, err));
    uint32_t slot = slot_of(names, name);
    if (names->slots[slot] != 0)
        return taken(value, names->what, name, names->where[names->slots[slot] - 1], err);
    ES_TRY(es_scenario_field_copy(arena, name, out_name, err));
    names->items[names->count] = *out_name;
    names->where[names->count] = value;
    names->slots[slot] = ++names->count;
    return ES_OK;
}

uint32_t es_scenario_names_find(const es_scenario_names *names, const char *name)
{
    if (names->slot_count == 0)
        return ES_INDEX_NONE;
    uint32_t found = names->slots[slot_of(names, name)];
    return found == 0 ? ES_INDEX_NONE : found - 1;
}

es_status es_scenario_names_expect(const es_scenario_names *names, const es_doc *value,
                                   uint32_t *out_index, es_error *err)
{
    const char *name = NULL;
    ES_TRY(es_doc_expect_text(value, &name, err));
    *out_index = es_scenario_names_find(names, name);
    if (*out_index != ES_INDEX_NONE)
        return ES_OK;
    const char *near = strlen(name) > ES_SCENARIO_NAME_MAX
                           ? NULL
                           : es_text_nearest(name, names->items, names->count);
    if (near != NULL)
        return es_doc_fail(value, err, "no %s is called '%.128s'; did you mean '%s'?", names->what,
                           name, near);
    if (names->count == 0)
        return es_doc_fail(value, err, "no %s is called '%.128s': none is defined", names->what,
                           name);
    return es_doc_fail(value, err, "no %s is called '%.128s'", names->what, name);
}

es_status es_scenario_names_need(const es_scenario_names *names, const es_doc *map, const char *key,
                                 uint32_t *out_index, es_error *err)
{
    const es_doc *value = NULL;
    ES_TRY(es_doc_need(map, key, &value, err));
    return es_scenario_names_expect(names, value, out_index, err);
}
