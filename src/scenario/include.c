/* Parts of a scenario in files of their own: their lists stand before the scenario's. */
#include "base/file.h"
#include "scenario/internal.h"

enum { INCLUDES_MAX = 1000 };

static const char *const lists[] = {"kinds",    "nodes",     "links", "tasks",
                                    "segments", "pipelines", "demand"};
enum { LIST_COUNT = sizeof lists / sizeof lists[0] };

static bool is_list(const char *key)
{
    for (size_t i = 0; i < LIST_COUNT; i++) {
        if (strcmp(lists[i], key) == 0)
            return true;
    }
    return false;
}

/* A part has a scenario's head and lists; what stands once in a scenario is the scenario's own. */
static es_status check_part(const es_doc *part, es_error *err)
{
    ES_TRY(es_doc_expect_map(part, err));
    ES_TRY(es_doc_expect_format(part, "estran-scenario", 1, err));
    ES_TRY(es_scenario_expect_keys(part, err));
    for (size_t i = 0; i < part->as.map.count; i++) {
        const es_doc_member *member = &part->as.map.members[i];
        const char *key = member->key;
        if (strcmp(key, "include") == 0)
            return es_doc_fail(member->value, err,
                               "an included file includes no other; name both in the scenario");
        if (!is_list(key) && strcmp(key, "format") != 0 && strcmp(key, "version") != 0 &&
            strcmp(key, "name") != 0 && strcmp(key, "description") != 0)
            return es_doc_fail(member->value, err,
                               "an included file holds lists only; this stands in the scenario");
    }
    return ES_OK;
}

static es_status read_part(es_arena *scratch, const char *folder, const es_doc *value,
                           const es_doc **out_part, es_error *err)
{
    const char *name = NULL;
    ES_TRY(es_doc_expect_text(value, &name, err));
    if (*name == '\0' || strcmp(name, "-") == 0)
        return es_doc_fail(value, err, "'%s' must be the name of a file", name);
    const char *path = es_file_join(scratch, folder, name);
    if (path == NULL)
        return es_arena_full(scratch, "a path", err);
    ES_TRY(es_scenario_field_at(
        value, es_doc_read(scratch, path, ES_SCENARIO_FILE_MAX, out_part, err), err));
    return check_part(*out_part, err);
}

/* One list out of those of all documents; its items keep their places. Absent in all: *out stays.
 */
static es_status join(es_arena *scratch, const es_doc *const *docs, size_t count, const char *key,
                      const es_doc **out, es_error *err)
{
    const es_doc *first = NULL;
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        const es_doc *list = NULL;
        ES_TRY(es_doc_get_list(docs[i], key, &list, err));
        first = first == NULL ? list : first;
        total += list != NULL ? list->as.list.count : 0;
    }
    if (first == NULL)
        return ES_OK;
    es_doc *joined = NULL;
    const es_doc **items = NULL;
    ES_TRY(es_scenario_field_take(scratch, 1, sizeof *joined, key, &joined, err));
    ES_TRY(es_scenario_field_take(scratch, total, sizeof(const es_doc *), key, &items, err));
    *joined = *first;
    joined->as.list.items = items;
    joined->as.list.count = 0;
    for (size_t i = 0; i < count; i++) {
        const es_doc *list = NULL;
        ES_TRY(es_doc_get_list(docs[i], key, &list, err));
        for (size_t k = 0; list != NULL && k < list->as.list.count; k++)
            items[joined->as.list.count++] = list->as.list.items[k];
    }
    *out = joined;
    return ES_OK;
}

/* The scenario's own members, with the joined lists in place of its own. */
static es_status merge(es_arena *scratch, const es_doc *const *docs, size_t count,
                       const es_doc *root, const es_doc **out_root, es_error *err)
{
    es_doc *merged = NULL;
    es_doc_member *members = NULL;
    size_t room = root->as.map.count + LIST_COUNT;
    ES_TRY(es_scenario_field_take(scratch, 1, sizeof *merged, "a scenario", &merged, err));
    ES_TRY(es_scenario_field_take(scratch, room, sizeof *members, "a scenario", &members, err));
    *merged = *root;
    merged->as.map.members = members;
    merged->as.map.count = 0;
    for (size_t i = 0; i < root->as.map.count; i++) {
        if (!is_list(root->as.map.members[i].key))
            members[merged->as.map.count++] = root->as.map.members[i];
    }
    for (size_t i = 0; i < LIST_COUNT; i++) {
        const es_doc *list = NULL;
        ES_TRY(join(scratch, docs, count, lists[i], &list, err));
        if (list != NULL)
            members[merged->as.map.count++] = (es_doc_member){
                .key = lists[i], .line = list->line, .column = list->column, .value = list};
    }
    *out_root = merged;
    return ES_OK;
}

es_status es_scenario_include(es_arena *scratch, const char *folder, const es_doc *root,
                              const es_doc **out_root, es_error *err)
{
    const es_doc *include = NULL;
    ES_TRY(es_doc_get_list(root, "include", &include, err));
    *out_root = root;
    if (include == NULL)
        return ES_OK;
    size_t count = include->as.list.count;
    if (count > INCLUDES_MAX)
        return es_doc_fail(include, err, "%zu files are more than %d", count, INCLUDES_MAX);
    const es_doc **docs = NULL;
    ES_TRY(es_scenario_field_take(scratch, count + 1, sizeof(const es_doc *), "parts", &docs, err));
    for (size_t i = 0; i < count; i++) {
        const es_doc *value = include->as.list.items[i];
        ES_TRY(read_part(scratch, folder, value, &docs[i], err));
        for (size_t k = 0; k < i; k++) {
            if (strcmp(docs[k]->file, docs[i]->file) == 0)
                return es_doc_fail(value, err, "'%s' is included twice", value->as.text.bytes);
        }
    }
    docs[count] = root;
    return merge(scratch, docs, count + 1, root, out_root, err);
}
