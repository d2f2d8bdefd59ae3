/* Factor tables: reading, laying one over another, finding. */
#include "base/array.h"
#include "base/document.h"
#include "base/file.h"
#include "footprint/internal.h"

#include <math.h>
#include <stdlib.h>

#define FACTOR_MAX 1e12

typedef ES_ARRAY(es_factor) factor_array;
typedef ES_ARRAY(es_factor_alias) alias_array;

typedef struct given_source {
    const char *name;
    const es_doc *doc;
    int64_t year;
    const char *scope;
    const char *tag;
} given_source;
typedef ES_ARRAY(given_source) source_array;

static int compare(const void *left, const void *right)
{
    const es_factor *a = left;
    const es_factor *b = right;
    int by_name = strcmp(a->name, b->name);
    return by_name != 0 ? by_name : strcmp(a->source, b->source);
}

static es_status read_year(const es_doc *map, int64_t *year, es_error *err)
{
    return es_doc_get_int(map, "year", 1900, 2200, year, err);
}

static es_status read_sources(es_arena *arena, const es_doc *root, source_array *sources,
                              es_error *err)
{
    const es_doc *list = NULL;
    ES_TRY(es_doc_get_list(root, "sources", &list, err));
    for (size_t i = 0; list != NULL && i < list->as.list.count; i++) {
        const es_doc *map = list->as.list.items[i];
        given_source one = {.doc = map, .tag = "user"};
        const char *url = NULL;
        ES_TRY(es_doc_expect_keys(map, (const char *const[]){"name", "year", "scope", "tag", "url"},
                                  5, err));
        ES_TRY(es_doc_need_text(map, "name", &one.name, err));
        ES_TRY(es_doc_need_text(map, "scope", &one.scope, err));
        ES_TRY(es_doc_need_int(map, "year", 1900, 2200, &one.year, err));
        ES_TRY(es_doc_get_text(map, "tag", &one.tag, err));
        ES_TRY(es_doc_get_text(map, "url", &url, err));
        for (size_t k = 0; k < sources->count; k++)
            if (strcmp(sources->items[k].name, one.name) == 0)
                return es_doc_fail(map, err, "source '%s' is there twice, first in line %u",
                                   one.name, sources->items[k].doc->line);
        ES_TRY(ES_ARRAY_PUSH(arena, sources, one, "factor sources", err));
    }
    return ES_OK;
}

static es_status read_source(const es_doc *map, const source_array *sources, es_factor *factor,
                             es_error *err)
{
    ES_TRY(es_doc_need_text(map, "source", &factor->source, err));
    factor->tag = "user";
    factor->year = 0;
    for (size_t k = 0; k < sources->count; k++) {
        if (strcmp(sources->items[k].name, factor->source) == 0) {
            factor->year = sources->items[k].year;
            factor->scope = sources->items[k].scope;
            factor->tag = sources->items[k].tag;
        }
    }
    ES_TRY(read_year(map, &factor->year, err));
    ES_TRY(es_doc_get_text(map, "scope", &factor->scope, err));
    ES_TRY(es_doc_get_text(map, "tag", &factor->tag, err));
    if (factor->year == 0)
        return es_doc_fail(map, err, "year: missing, and source '%s' is not under sources",
                           factor->source);
    if (factor->scope == NULL)
        return es_doc_fail(map, err, "scope: missing, and source '%s' is not under sources",
                           factor->source);
    return ES_OK;
}

static es_status read_factor(const es_doc *map, const source_array *sources, es_factor *factor,
                             es_error *err)
{
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "name", "value", "low", "high", "unit", "source", "year",
                              "scope", "tag"));
    ES_TRY(es_doc_need_text(map, "name", &factor->name, err));
    ES_TRY(es_doc_need_number(map, "value", 0, FACTOR_MAX, &factor->is.value, err));
    factor->is.low = factor->is.high = factor->is.value;
    factor->bounded = es_doc_find(map, "low") != NULL;
    if (factor->bounded != (es_doc_find(map, "high") != NULL))
        return es_doc_fail(map, err, "low and high: one is missing, give both or none");
    ES_TRY(es_doc_get_number(map, "low", 0, factor->is.value, &factor->is.low, err));
    ES_TRY(es_doc_get_number(map, "high", factor->is.value, FACTOR_MAX, &factor->is.high, err));
    ES_TRY(es_doc_need_text(map, "unit", &factor->unit, err));
    if (factor->name[0] == '\0' || factor->unit[0] == '\0')
        return es_doc_fail(map, err, "name and unit must not be empty (a ratio has unit \"1\")");
    factor->file = map->file;
    factor->line = map->line;
    return read_source(map, sources, factor, err);
}

static es_status read_factors(es_arena *arena, const es_doc *root, factor_array *factors,
                              es_error *err)
{
    source_array sources = {0};
    const es_doc *list = NULL;
    ES_TRY(read_sources(arena, root, &sources, err));
    ES_TRY(es_doc_need_list(root, "factors", &list, err));
    for (size_t i = 0; i < list->as.list.count; i++) {
        es_factor factor = {0};
        ES_TRY(read_factor(list->as.list.items[i], &sources, &factor, err));
        ES_TRY(ES_ARRAY_PUSH(arena, factors, factor, "factors", err));
    }
    if (factors->count > 0)
        qsort(factors->items, factors->count, sizeof *factors->items, compare);
    for (size_t i = 1; i < factors->count; i++) {
        const es_factor *a = &factors->items[i - 1];
        const es_factor *b = &factors->items[i];
        if (compare(a, b) == 0) {
            uint32_t first = a->line < b->line ? a->line : b->line;
            uint32_t second = a->line < b->line ? b->line : a->line;
            return es_fail(err, ES_ERR_PARSE, "%s:%u: '%s' of source '%s' is already in line %u",
                           b->file, second, b->name, b->source, first);
        }
    }
    return ES_OK;
}

static es_status read_aliases(es_arena *arena, const es_doc *root, alias_array *aliases,
                              es_error *err)
{
    const es_doc *map = NULL;
    ES_TRY(es_doc_get_map(root, "aliases", &map, err));
    for (size_t i = 0; map != NULL && i < map->as.map.count; i++) {
        es_factor_alias alias = {.name = map->as.map.members[i].key};
        ES_TRY(es_doc_expect_text(map->as.map.members[i].value, &alias.zone, err));
        ES_TRY(ES_ARRAY_PUSH(arena, aliases, alias, "aliases", err));
    }
    return ES_OK;
}

/* Merges two sorted lists; of equals the one on top. */
static es_status lay(es_arena *arena, const es_factors *base, const factor_array *top,
                     es_factors *out, es_error *err)
{
    void *taken = NULL;
    size_t below = base != NULL ? base->count : 0;
    ES_TRY(es_arena_take_or_fail(arena, below + top->count, sizeof(es_factor), "factors", &taken,
                                 err));
    es_factor *items = taken;
    size_t i = 0;
    size_t k = 0;
    while (i < below || k < top->count) {
        int order = i >= below        ? 1
                    : k >= top->count ? -1
                                      : compare(&base->items[i], &top->items[k]);
        items[out->count++] = order < 0 ? base->items[i] : top->items[k];
        i += order <= 0;
        k += order >= 0;
    }
    out->items = items;
    return ES_OK;
}

static es_status read_root(es_arena *arena, const es_doc *root, const es_factors *base,
                           const es_factors **out_factors, es_error *err)
{
    factor_array factors = {0};
    alias_array aliases = {0};
    ES_TRY(ES_DOC_EXPECT_KEYS(root, err, "format", "version", "sources", "aliases", "factors"));
    ES_TRY(es_doc_expect_format(root, "estran-factors", 1, err));
    ES_TRY(read_factors(arena, root, &factors, err));
    for (size_t i = 0; base != NULL && i < base->alias_count; i++)
        ES_TRY(ES_ARRAY_PUSH(arena, &aliases, base->aliases[i], "aliases", err));
    ES_TRY(read_aliases(arena, root, &aliases, err));
    es_factors *made = ES_TAKE_ONE(arena, es_factors);
    if (made == NULL)
        return es_arena_full(arena, "factors", err);
    made->aliases = aliases.items;
    made->alias_count = aliases.count;
    ES_TRY(lay(arena, base, &factors, made, err));
    *out_factors = made;
    return ES_OK;
}

es_status es_factors_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                           const es_factors *base, const es_factors **out_factors, es_error *err)
{
    const es_doc *root = NULL;
    ES_TRY(es_doc_parse_yaml(arena, name, bytes, size, &root, err));
    return read_root(arena, root, base, out_factors, err);
}

es_status es_factors_load(es_arena *arena, const char *path, const es_factors *base,
                          const es_factors **out_factors, es_error *err)
{
    const es_doc *root = NULL;
    ES_TRY(es_doc_read(arena, path, ES_FOOTPRINT_FILE_MAX, &root, err));
    return read_root(arena, root, base, out_factors, err);
}

es_status es_factors_builtin(es_arena *arena, const es_factors **out_factors, es_error *err)
{
    const es_factors *factors = NULL;
    for (size_t i = 0; i < es_factor_table_count; i++) {
        const es_factor_table *table = &es_factor_tables[i];
        ES_TRY(es_factors_parse(arena, table->name, (const char *)table->bytes, table->size,
                                factors, &factors, err));
    }
    *out_factors = factors;
    return ES_OK;
}

const char *es_factors_zone(const es_factors *factors, const char *zone)
{
    for (size_t i = factors->alias_count; i > 0; i--) /* the user's come last and win */
        if (strcmp(factors->aliases[i - 1].name, zone) == 0)
            return factors->aliases[i - 1].zone;
    return zone;
}

/* First factor with this name; count when there is none. */
static size_t first_of(const es_factors *factors, const char *name)
{
    size_t low = 0;
    size_t high = factors->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(factors->items[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < factors->count && strcmp(factors->items[low].name, name) == 0 ? low
                                                                               : factors->count;
}

const es_factor *es_factors_find(const es_factors *factors, const char *name, const char *source)
{
    const es_factor *found = NULL;
    for (size_t i = first_of(factors, name);
         i < factors->count && strcmp(factors->items[i].name, name) == 0; i++) {
        if (source != NULL && strcmp(factors->items[i].source, source) == 0)
            return &factors->items[i];
        if (source == NULL && found != NULL)
            return NULL;
        if (source == NULL)
            found = &factors->items[i];
    }
    return found;
}

static es_status fail_absent(const es_factors *factors, const char *name, const char *source,
                             es_error *err)
{
    char have[256] = "";
    size_t size = 0;
    for (size_t i = first_of(factors, name);
         i < factors->count && strcmp(factors->items[i].name, name) == 0; i++) {
        int put = snprintf(have + size, sizeof have - size, "%s%s", size > 0 ? ", " : "",
                           factors->items[i].source);
        if (put < 0 || size + (size_t)put >= sizeof have)
            break;
        size += (size_t)put;
    }
    if (have[0] == '\0')
        return es_fail(err, ES_ERR_ARG, "no factor '%s' in any table", name);
    if (source == NULL)
        return es_fail(err, ES_ERR_ARG, "factor '%s' has several sources, choose one of: %s", name,
                       have);
    return es_fail(err, ES_ERR_ARG, "source '%s' has no factor '%s'; these have: %s", source, name,
                   have);
}

es_status es_factors_need(const es_factors *factors, const char *name, const char *source,
                          const char *unit, const es_factor **out_factor, es_error *err)
{
    const es_factor *found = es_factors_find(factors, name, source);
    if (found == NULL)
        return fail_absent(factors, name, source, err);
    if (strcmp(found->unit, unit) != 0)
        return es_fail(err, ES_ERR_ARG, "%s:%u: %s: unit '%s', expected '%s'", found->file,
                       found->line, name, found->unit, unit);
    *out_factor = found;
    return ES_OK;
}
