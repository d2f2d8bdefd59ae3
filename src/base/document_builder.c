#include "base/document_internal.h"

#include <assert.h>
#include <errno.h>
#include <math.h>

enum { PENDING_FIRST = 64, FEW_MAX = 16, DIGITS_MAX = 400 };

es_status es_doc_builder_init(es_doc_builder *builder, es_arena *arena, const char *name,
                              es_error *err)
{
    *builder = (es_doc_builder){.arena = arena};
    builder->file = es_arena_text(arena, name);
    if (builder->file == NULL)
        return es_arena_full(arena, name, err);
    return ES_OK;
}

void es_doc_builder_done(es_doc_builder *builder)
{
    free(builder->pending);
    builder->pending = NULL;
}

es_status es_doc_builder_fail(const es_doc_builder *builder, es_doc_place place, es_status status,
                              es_error *err, const char *format, ...)
{
    const es_doc *inner = builder->depth > 0 ? builder->frames[builder->depth - 1].container : NULL;
    va_list args;
    va_start(args, format);
    es_doc_fail_at(builder->file, place, inner, status, err, format, args);
    va_end(args);
    return status;
}

static es_status out_of_memory(const es_doc_builder *builder, es_error *err)
{
    return es_arena_full(builder->arena, builder->file, err);
}

bool es_doc_builder_wants_key(const es_doc_builder *builder)
{
    return builder->depth > 0 &&
           builder->frames[builder->depth - 1].container->type == ES_DOC_MAP &&
           builder->key == NULL;
}

es_status es_doc_builder_key(es_doc_builder *builder, const char *bytes, size_t size,
                             es_doc_place place, es_error *err)
{
    assert(es_doc_builder_wants_key(builder));
    if (memchr(bytes, '\0', size) != NULL)
        return es_doc_builder_fail(builder, place, ES_ERR_PARSE, err,
                                   "a key must not hold a NUL character");
    builder->key = es_arena_text_n(builder->arena, bytes, size);
    if (builder->key == NULL)
        return out_of_memory(builder, err);
    builder->key_place = place;
    return ES_OK;
}

static es_status push_pending(es_doc_builder *builder, es_doc *value, es_error *err)
{
    if (builder->pending_count == builder->pending_capacity) {
        size_t capacity =
            builder->pending_capacity > 0 ? builder->pending_capacity * 2 : PENDING_FIRST;
        es_doc_pending *grown = realloc(builder->pending, capacity * sizeof *grown);
        if (grown == NULL)
            return es_fail(err, ES_ERR_NOMEM, "%s: no memory for %zu values", builder->file,
                           capacity);
        builder->pending = grown;
        builder->pending_capacity = capacity;
    }
    builder->pending[builder->pending_count++] =
        (es_doc_pending){.value = value, .key_place = builder->key_place};
    return ES_OK;
}

es_status es_doc_builder_add(es_doc_builder *builder, es_doc value, const es_doc **out_value,
                             es_error *err)
{
    assert(!es_doc_builder_wants_key(builder));
    es_doc_place place = {value.line, value.column};
    bool is_container = value.type == ES_DOC_LIST || value.type == ES_DOC_MAP;
    if (is_container && builder->depth == ES_DOC_DEPTH_MAX)
        return es_doc_builder_fail(builder, place, ES_ERR_LIMIT, err,
                                   "lists and maps are nested more than %d deep", ES_DOC_DEPTH_MAX);
    if (builder->value_count == ES_DOC_VALUES_MAX)
        return es_doc_builder_fail(builder, place, ES_ERR_LIMIT, err,
                                   "more than %d values (those of aliases count each time)",
                                   ES_DOC_VALUES_MAX);
    es_doc *added = ES_TAKE_ONE(builder->arena, es_doc);
    if (added == NULL)
        return out_of_memory(builder, err);
    *added = value;
    added->file = builder->file;
    added->key = builder->key;
    if (builder->depth > 0) {
        const es_doc_frame *frame = &builder->frames[builder->depth - 1];
        added->parent = frame->container;
        added->index = builder->pending_count - frame->first;
        ES_TRY(push_pending(builder, added, err));
    } else {
        assert(builder->root == NULL);
        builder->root = added;
    }
    builder->key = NULL;
    builder->value_count++;
    if (is_container)
        builder->frames[builder->depth++] =
            (es_doc_frame){.container = added, .first = builder->pending_count};
    if (out_value != NULL)
        *out_value = added;
    return ES_OK;
}

es_status es_doc_builder_add_text(es_doc_builder *builder, const char *bytes, size_t size,
                                  es_doc_place place, const es_doc **out_value, es_error *err)
{
    if (memchr(bytes, '\0', size) != NULL)
        return es_doc_builder_fail(builder, place, ES_ERR_PARSE, err,
                                   "a text must not hold a NUL character");
    char *copy = es_arena_text_n(builder->arena, bytes, size);
    if (copy == NULL)
        return out_of_memory(builder, err);
    es_doc value = {.type = ES_DOC_TEXT, .line = place.line, .column = place.column};
    value.as.text.bytes = copy;
    value.as.text.size = size;
    return es_doc_builder_add(builder, value, out_value, err);
}

static int compare_members(const void *left, const void *right)
{
    const es_doc_member *a = left;
    const es_doc_member *b = right;
    int order = strcmp(a->key, b->key);
    return order != 0 ? order
                      : (a->value->index > b->value->index) - (a->value->index < b->value->index);
}

/* The earliest member whose key was there before, with the first of that key; NULL when none. */
static const es_doc_member *find_duplicate(const es_doc_member *sorted, size_t count,
                                           const es_doc_member **out_first)
{
    const es_doc_member *found = NULL;
    const es_doc_member *first = sorted;
    for (size_t i = 1; i < count; i++) {
        if (strcmp(sorted[i].key, first->key) != 0) {
            first = &sorted[i];
        } else if (found == NULL || sorted[i].value->index < found->value->index) {
            found = &sorted[i];
            *out_first = first;
        }
    }
    return found;
}

static es_status refuse_duplicates(const es_doc_builder *builder, const es_doc *map, es_error *err)
{
    size_t count = map->as.map.count;
    es_doc_member few[FEW_MAX];
    es_doc_member *many = NULL;
    if (count > FEW_MAX && (many = malloc(count * sizeof *many)) == NULL)
        return es_fail(err, ES_ERR_NOMEM, "%s: no memory to sort %zu keys", builder->file, count);
    es_doc_member *sorted = many != NULL ? many : few;
    memcpy(sorted, map->as.map.members, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_members);
    const es_doc_member *first = NULL;
    const es_doc_member *again = find_duplicate(sorted, count, &first);
    es_status status = ES_OK;
    if (again != NULL)
        status = es_doc_builder_fail(
            builder, (es_doc_place){again->line, again->column}, ES_ERR_PARSE, err,
            "duplicate key '%s' on line %" PRIu32 " (first on line %" PRIu32 ")",
            es_doc_show(again->key, strlen(again->key)).text, again->line, first->line);
    free(many);
    return status;
}

static es_status close_list(const es_doc_builder *builder, es_doc *list,
                            const es_doc_pending *children, size_t count, es_error *err)
{
    const es_doc **items = ES_TAKE_ARRAY(builder->arena, const es_doc *, count);
    if (items == NULL)
        return out_of_memory(builder, err);
    for (size_t i = 0; i < count; i++)
        items[i] = children[i].value;
    list->as.list.items = items;
    list->as.list.count = count;
    return ES_OK;
}

static es_status close_map(const es_doc_builder *builder, es_doc *map,
                           const es_doc_pending *children, size_t count, es_error *err)
{
    es_doc_member *members = ES_TAKE_ARRAY(builder->arena, es_doc_member, count);
    if (members == NULL)
        return out_of_memory(builder, err);
    for (size_t i = 0; i < count; i++)
        members[i] = (es_doc_member){
            .key = children[i].value->key,
            .line = children[i].key_place.line,
            .column = children[i].key_place.column,
            .value = children[i].value,
        };
    map->as.map.members = members;
    map->as.map.count = count;
    return refuse_duplicates(builder, map, err);
}

es_status es_doc_builder_end(es_doc_builder *builder, es_error *err)
{
    assert(builder->depth > 0);
    assert(builder->key == NULL);
    const es_doc_frame *frame = &builder->frames[builder->depth - 1];
    const es_doc_pending *children =
        builder->pending != NULL ? builder->pending + frame->first : NULL;
    size_t count = builder->pending_count - frame->first;
    assert(children != NULL || count == 0);
    if (frame->container->type == ES_DOC_LIST)
        ES_TRY(close_list(builder, frame->container, children, count, err));
    else
        ES_TRY(close_map(builder, frame->container, children, count, err));
    builder->pending_count = frame->first;
    builder->depth--;
    return ES_OK;
}

const es_doc *es_doc_child_first(const es_doc *container)
{
    if (container->type == ES_DOC_LIST && container->as.list.count > 0)
        return container->as.list.items[0];
    if (container->type == ES_DOC_MAP && container->as.map.count > 0)
        return container->as.map.members[0].value;
    return NULL;
}

const es_doc *es_doc_sibling_next(const es_doc *value)
{
    const es_doc *parent = value->parent;
    size_t next = value->index + 1;
    if (parent->type == ES_DOC_LIST)
        return next < parent->as.list.count ? parent->as.list.items[next] : NULL;
    return next < parent->as.map.count ? parent->as.map.members[next].value : NULL;
}

/* Adds one value of the copy, before its key where it has one. */
static es_status add_copy_of(es_doc_builder *builder, const es_doc *value, bool is_root,
                             es_error *err)
{
    if (!is_root && value->key != NULL) {
        const es_doc_member *member = &value->parent->as.map.members[value->index];
        builder->key = member->key;
        builder->key_place = (es_doc_place){member->line, member->column};
    }
    return es_doc_builder_add(builder, *value, NULL, err);
}

es_status es_doc_builder_add_copy(es_doc_builder *builder, const es_doc *source, es_error *err)
{
    const es_doc *value = source;
    for (;;) {
        ES_TRY(add_copy_of(builder, value, value == source, err));
        if (value->type == ES_DOC_LIST || value->type == ES_DOC_MAP) {
            const es_doc *child = es_doc_child_first(value);
            if (child != NULL) {
                value = child;
                continue;
            }
            ES_TRY(es_doc_builder_end(builder, err));
        }
        while (value != source && es_doc_sibling_next(value) == NULL) {
            value = value->parent;
            ES_TRY(es_doc_builder_end(builder, err));
        }
        if (value == source)
            return ES_OK;
        value = es_doc_sibling_next(value);
    }
}

/* Digits of base 8 or 16 behind a two-byte prefix. */
static void number_from_base(const char *digits, int base, es_doc *out)
{
    errno = 0;
    unsigned long long whole = strtoull(digits + 2, NULL, base);
    if (errno == 0 && whole <= INT64_MAX) {
        out->type = ES_DOC_INT;
        out->as.integer = (int64_t)whole;
        return;
    }
    double number = 0;
    for (const char *digit = digits + 2; *digit != '\0'; digit++)
        number = number * base + (double)strtol((char[]){*digit, '\0'}, NULL, base);
    out->type = ES_DOC_NUMBER;
    out->as.number = number;
}

bool es_doc_number_from(const char *digits, size_t size, es_doc *out)
{
    char copy[DIGITS_MAX + 1];
    if (size > DIGITS_MAX)
        return false;
    memcpy(copy, digits, size);
    copy[size] = '\0';
    if (copy[0] == '0' && (copy[1] == 'x' || copy[1] == 'o')) {
        number_from_base(copy, copy[1] == 'x' ? 16 : 8, out);
        return isfinite(out->type == ES_DOC_NUMBER ? out->as.number : 0.0);
    }
    int64_t whole;
    if (strpbrk(copy, ".eE") == NULL && es_text_to_int64(copy, &whole) &&
        !(whole == 0 && copy[0] == '-')) {
        out->type = ES_DOC_INT;
        out->as.integer = whole;
        return true;
    }
    out->type = ES_DOC_NUMBER;
    return es_text_to_double(copy, &out->as.number);
}
