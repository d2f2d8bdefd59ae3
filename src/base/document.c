#include "base/document_internal.h"
#include "base/file.h"

#include <assert.h>
#include <float.h>
#include <math.h>

enum { PATH_SIZE = 200, NUMBER_SIZE = 40, FILE_SLACK_BYTES = 64 * 1024 };

/* ---- reading ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text);
    size_t end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

es_status es_doc_read(es_arena *arena, const char *path, size_t cap_bytes, const es_doc **out_root,
                      es_error *err)
{
    size_t scratch_cap =
        cap_bytes < SIZE_MAX - FILE_SLACK_BYTES ? cap_bytes + FILE_SLACK_BYTES : SIZE_MAX;
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(scratch_cap);
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "cannot read '%s': no memory", path);
    char *bytes = NULL;
    size_t size = 0;
    ES_TRY(es_file_read_gz(scratch, path, cap_bytes, &bytes, &size, err));
    if (strcmp(path, "-") == 0)
        return es_doc_parse_yaml(arena, "stdin", bytes, size, out_root, err);
    if (ends_with(path, ".json") || ends_with(path, ".json.gz"))
        return es_doc_parse_json(arena, path, bytes, size, out_root, err);
    return es_doc_parse_yaml(arena, path, bytes, size, out_root, err);
}

/* ---- errors at a value ---- */

size_t es_doc_utf8_size(const char *bytes, size_t size)
{
    unsigned char first = (unsigned char)bytes[0];
    if (first < 0x80)
        return 1;
    size_t wanted = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || size < wanted)
        return 0;
    unsigned char second = (unsigned char)bytes[1];
    /* no overlong forms, no surrogates, nothing above U+10FFFF */
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
        (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f))
        return 0;
    for (size_t i = 1; i < wanted; i++)
        if (((unsigned char)bytes[i] & 0xc0) != 0x80)
            return 0;
    return wanted;
}

es_doc_shown es_doc_show(const char *bytes, size_t size)
{
    es_doc_shown shown = {.text = ""};
    size_t used = 0;
    for (size_t i = 0; i < size;) {
        size_t step = es_doc_utf8_size(bytes + i, size - i);
        if (used + 4 > ES_DOC_SHOWN_SIZE - 20) {
            memcpy(shown.text + used, "...", 4);
            return shown;
        }
        bool printable = step > 1 || (step == 1 && bytes[i] >= ' ' && bytes[i] != 0x7f);
        if (printable)
            memcpy(shown.text + used, bytes + i, step);
        else
            shown.text[used] = '?';
        used += printable ? step : 1;
        i += step > 0 ? step : 1;
    }
    return shown;
}

static bool is_plain_key(const char *key)
{
    size_t plain = strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");
    return plain > 0 && key[plain] == '\0' && plain <= ES_DOC_SHOWN_SIZE - 20;
}

/* `path.to[3].key`; from the right end when it is long. */
static void show_path(const es_doc *value, char path[PATH_SIZE])
{
    size_t start = PATH_SIZE - 1;
    path[start] = '\0';
    for (; value != NULL && value->parent != NULL; value = value->parent) {
        char part[ES_DOC_SHOWN_SIZE + 8];
        bool first = value->parent->parent == NULL;
        if (value->key == NULL)
            (void)snprintf(part, sizeof part, "[%zu]", value->index);
        else if (is_plain_key(value->key))
            (void)snprintf(part, sizeof part, "%s%s", first ? "" : ".", value->key);
        else
            (void)snprintf(part, sizeof part, "['%s']",
                           es_doc_show(value->key, strlen(value->key)).text);
        size_t size = strlen(part);
        if (size + 3 > start) {
            start -= 3;
            memcpy(path + start, "...", 3);
            break;
        }
        start -= size;
        memcpy(path + start, part, size);
    }
    memmove(path, path + start, PATH_SIZE - start);
}

es_status es_doc_fail_at(const char *file, es_doc_place place, const es_doc *value,
                         es_status status, es_error *err, const char *format, va_list args)
{
    char path[PATH_SIZE];
    show_path(value, path);
    es_fail_v(err, status, format, args);
    if (path[0] != '\0')
        es_within(err, status, "%s", path);
    if (file != NULL && place.line > 0)
        es_within(err, status, "%s:%" PRIu32 ":%" PRIu32, file, place.line, place.column);
    else if (file != NULL)
        es_within(err, status, "%s", file);
    return status;
}

es_status es_doc_fail(const es_doc *value, es_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    es_doc_fail_at(value->file, (es_doc_place){value->line, value->column}, value, ES_ERR_PARSE,
                   err, format, args);
    va_end(args);
    return ES_ERR_PARSE;
}

static es_status fail_at_member(const es_doc *map, const es_doc_member *member, es_error *err,
                                const char *format, ...) ES_PRINTF(4, 5);

static es_status fail_at_member(const es_doc *map, const es_doc_member *member, es_error *err,
                                const char *format, ...)
{
    va_list args;
    va_start(args, format);
    es_doc_fail_at(map->file, (es_doc_place){member->line, member->column}, map, ES_ERR_PARSE, err,
                   format, args);
    va_end(args);
    return ES_ERR_PARSE;
}

static void show_number(double number, char out[NUMBER_SIZE])
{
    for (int precision = 6; precision <= 17; precision++) {
        (void)snprintf(out, NUMBER_SIZE, "%.*g", precision, number);
        double back = strtod(out, NULL);
        if (!(back < number) && !(back > number))
            break;
    }
}

/* What was found in place of what was wanted: `a map`, `text 'abc'`, `3.5`. */
static void show_value(const es_doc *value, char out[ES_DOC_SHOWN_SIZE + 8])
{
    size_t size = ES_DOC_SHOWN_SIZE + 8;
    char number[NUMBER_SIZE];
    switch (value->type) {
    case ES_DOC_BOOL:
        (void)snprintf(out, size, "%s", value->as.boolean ? "true" : "false");
        return;
    case ES_DOC_INT:
        (void)snprintf(out, size, "%" PRId64, value->as.integer);
        return;
    case ES_DOC_NUMBER:
        show_number(value->as.number, number);
        (void)snprintf(out, size, "%s", number);
        return;
    case ES_DOC_TEXT:
        (void)snprintf(out, size, "text '%s'",
                       es_doc_show(value->as.text.bytes, value->as.text.size).text);
        return;
    case ES_DOC_LIST:
        (void)snprintf(out, size, "a list");
        return;
    case ES_DOC_MAP:
        (void)snprintf(out, size, "a map");
        return;
    case ES_DOC_NULL:
    case ES_DOC_TYPE_COUNT:
        break;
    }
    (void)snprintf(out, size, "null");
}

static es_status fail_type(const es_doc *value, const char *wanted, es_error *err)
{
    char found[ES_DOC_SHOWN_SIZE + 8];
    show_value(value, found);
    return es_doc_fail(value, err, "expected %s, got %s", wanted, found);
}

/* ---- schema walker: values ---- */

es_status es_doc_expect_map(const es_doc *value, es_error *err)
{
    assert(value != NULL);
    return value->type == ES_DOC_MAP ? ES_OK : fail_type(value, "a map", err);
}

es_status es_doc_expect_list(const es_doc *value, es_error *err)
{
    assert(value != NULL);
    return value->type == ES_DOC_LIST ? ES_OK : fail_type(value, "a list", err);
}

es_status es_doc_expect_text(const es_doc *value, const char **out, es_error *err)
{
    assert(value != NULL);
    if (value->type != ES_DOC_TEXT)
        return fail_type(value, "a text", err);
    *out = value->as.text.bytes;
    return ES_OK;
}

/* min or max is empty when that side is open. */
static es_status fail_range(const es_doc *value, const char *min, const char *max, es_error *err)
{
    char found[ES_DOC_SHOWN_SIZE + 8];
    show_value(value, found);
    if (*min != '\0' && *max != '\0' && strcmp(min, max) == 0)
        return es_doc_fail(value, err, "%s must be %s", found, min);
    if (*min != '\0' && *max != '\0')
        return es_doc_fail(value, err, "%s must be between %s and %s", found, min, max);
    return es_doc_fail(value, err, "%s must be %s %s", found,
                       *min != '\0' ? ">=" : "<=", *min != '\0' ? min : max);
}

es_status es_doc_expect_number(const es_doc *value, double min, double max, double *out,
                               es_error *err)
{
    assert(value != NULL);
    if (value->type != ES_DOC_NUMBER && value->type != ES_DOC_INT)
        return fail_type(value, "a number", err);
    double number = value->type == ES_DOC_INT ? (double)value->as.integer : value->as.number;
    if (number >= min && number <= max) {
        *out = number;
        return ES_OK;
    }
    char min_shown[NUMBER_SIZE] = "";
    char max_shown[NUMBER_SIZE] = "";
    if (min > -DBL_MAX)
        show_number(min, min_shown);
    if (max < DBL_MAX)
        show_number(max, max_shown);
    return fail_range(value, min_shown, max_shown, err);
}

/* A NUMBER such as 3.0 or 1e6 is a whole number too. */
static bool whole_number(const es_doc *value, int64_t *out)
{
    if (value->type == ES_DOC_INT) {
        *out = value->as.integer;
        return true;
    }
    double number = value->as.number;
    if (!(number >= -0x1p63 && number < 0x1p63) || trunc(number) < number || trunc(number) > number)
        return false;
    *out = (int64_t)number;
    return true;
}

es_status es_doc_expect_int(const es_doc *value, int64_t min, int64_t max, int64_t *out,
                            es_error *err)
{
    assert(value != NULL);
    int64_t whole = 0;
    if ((value->type != ES_DOC_INT && value->type != ES_DOC_NUMBER) || !whole_number(value, &whole))
        return fail_type(value, "a whole number", err);
    if (whole >= min && whole <= max) {
        *out = whole;
        return ES_OK;
    }
    char min_shown[NUMBER_SIZE] = "";
    char max_shown[NUMBER_SIZE] = "";
    if (min > INT64_MIN)
        (void)snprintf(min_shown, sizeof min_shown, "%" PRId64, min);
    if (max < INT64_MAX)
        (void)snprintf(max_shown, sizeof max_shown, "%" PRId64, max);
    return fail_range(value, min_shown, max_shown, err);
}

/* ---- schema walker: members of a map ---- */

const es_doc *es_doc_find(const es_doc *map, const char *key)
{
    assert(map->type == ES_DOC_MAP);
    for (size_t i = 0; i < map->as.map.count; i++)
        if (strcmp(map->as.map.members[i].key, key) == 0)
            return map->as.map.members[i].value;
    return NULL;
}

/* `a, b, c`, cut with "..." when it does not fit. */
static void show_words(const char *const *words, size_t count, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        int wrote = snprintf(out + used, size - used, "%s%s", i > 0 ? ", " : "", words[i]);
        if (wrote < 0 || (size_t)wrote + 8 > size - used) {
            memcpy(out + used, i > 0 ? ", ..." : "...", i > 0 ? 6 : 4);
            return;
        }
        used += (size_t)wrote;
    }
}

es_status es_doc_expect_keys(const es_doc *value, const char *const *keys, size_t count,
                             es_error *err)
{
    ES_TRY(es_doc_expect_map(value, err));
    for (size_t i = 0; i < value->as.map.count; i++) {
        const es_doc_member *member = &value->as.map.members[i];
        bool known = false;
        for (size_t j = 0; j < count && !known; j++)
            known = strcmp(member->key, keys[j]) == 0;
        if (known)
            continue;
        es_doc_shown shown = es_doc_show(member->key, strlen(member->key));
        const char *nearest = es_text_nearest(member->key, keys, count);
        if (nearest != NULL)
            return fail_at_member(value, member, err, "unknown key '%s' (did you mean '%s'?)",
                                  shown.text, nearest);
        char known_keys[160];
        show_words(keys, count, known_keys, sizeof known_keys);
        return fail_at_member(value, member, err, "unknown key '%s' (known: %s)", shown.text,
                              known_keys);
    }
    return ES_OK;
}

es_status es_doc_need(const es_doc *map, const char *key, const es_doc **out, es_error *err)
{
    ES_TRY(es_doc_expect_map(map, err));
    const es_doc *found = es_doc_find(map, key);
    if (found == NULL)
        return es_doc_fail(map, err, "missing key '%s'", key);
    *out = found;
    return ES_OK;
}

/* NULL when the key is missing or its value is null. */
static es_status get(const es_doc *map, const char *key, const es_doc **out, es_error *err)
{
    ES_TRY(es_doc_expect_map(map, err));
    const es_doc *found = es_doc_find(map, key);
    *out = found != NULL && found->type != ES_DOC_NULL ? found : NULL;
    return ES_OK;
}

es_status es_doc_need_text(const es_doc *map, const char *key, const char **out, es_error *err)
{
    const es_doc *value = NULL;
    ES_TRY(es_doc_need(map, key, &value, err));
    return es_doc_expect_text(value, out, err);
}

es_status es_doc_need_number(const es_doc *map, const char *key, double min, double max,
                             double *out, es_error *err)
{
    const es_doc *value = NULL;
    ES_TRY(es_doc_need(map, key, &value, err));
    return es_doc_expect_number(value, min, max, out, err);
}

es_status es_doc_need_int(const es_doc *map, const char *key, int64_t min, int64_t max,
                          int64_t *out, es_error *err)
{
    const es_doc *value = NULL;
    ES_TRY(es_doc_need(map, key, &value, err));
    return es_doc_expect_int(value, min, max, out, err);
}

es_status es_doc_need_list(const es_doc *map, const char *key, const es_doc **out, es_error *err)
{
    const es_doc *value = NULL;
    ES_TRY(es_doc_need(map, key, &value, err));
    ES_TRY(es_doc_expect_list(value, err));
    *out = value;
    return ES_OK;
}

es_status es_doc_need_map(const es_doc *map, const char *key, const es_doc **out, es_error *err)
{
    const es_doc *value = NULL;
    ES_TRY(es_doc_need(map, key, &value, err));
    ES_TRY(es_doc_expect_map(value, err));
    *out = value;
    return ES_OK;
}

es_status es_doc_get_text(const es_doc *map, const char *key, const char **out, es_error *err)
{
    const es_doc *value = NULL;
    ES_TRY(get(map, key, &value, err));
    return value != NULL ? es_doc_expect_text(value, out, err) : ES_OK;
}

es_status es_doc_get_number(const es_doc *map, const char *key, double min, double max, double *out,
                            es_error *err)
{
    const es_doc *value = NULL;
    ES_TRY(get(map, key, &value, err));
    return value != NULL ? es_doc_expect_number(value, min, max, out, err) : ES_OK;
}

es_status es_doc_get_int(const es_doc *map, const char *key, int64_t min, int64_t max, int64_t *out,
                         es_error *err)
{
    const es_doc *value = NULL;
    ES_TRY(get(map, key, &value, err));
    return value != NULL ? es_doc_expect_int(value, min, max, out, err) : ES_OK;
}

es_status es_doc_get_bool(const es_doc *map, const char *key, bool *out, es_error *err)
{
    const es_doc *value = NULL;
    ES_TRY(get(map, key, &value, err));
    if (value == NULL)
        return ES_OK;
    if (value->type != ES_DOC_BOOL)
        return fail_type(value, "true or false", err);
    *out = value->as.boolean;
    return ES_OK;
}

es_status es_doc_get_list(const es_doc *map, const char *key, const es_doc **out, es_error *err)
{
    const es_doc *value = NULL;
    ES_TRY(get(map, key, &value, err));
    if (value == NULL)
        return ES_OK;
    ES_TRY(es_doc_expect_list(value, err));
    *out = value;
    return ES_OK;
}

es_status es_doc_get_map(const es_doc *map, const char *key, const es_doc **out, es_error *err)
{
    const es_doc *value = NULL;
    ES_TRY(get(map, key, &value, err));
    if (value == NULL)
        return ES_OK;
    ES_TRY(es_doc_expect_map(value, err));
    *out = value;
    return ES_OK;
}

static es_status expect_word(const es_doc *value, const char *const *words, size_t count,
                             size_t *out, es_error *err)
{
    const char *word = NULL;
    ES_TRY(es_doc_expect_text(value, &word, err));
    assert(word != NULL);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(words[i], word) == 0) {
            *out = i;
            return ES_OK;
        }
    }
    char known[160];
    show_words(words, count, known, sizeof known);
    es_doc_shown shown = es_doc_show(word, value->as.text.size);
    const char *nearest = es_text_nearest(word, words, count);
    if (nearest == NULL)
        return es_doc_fail(value, err, "'%s' must be one of %s", shown.text, known);
    return es_doc_fail(value, err, "'%s' must be one of %s (did you mean '%s'?)", shown.text, known,
                       nearest);
}

es_status es_doc_need_word(const es_doc *map, const char *key, const char *const *words,
                           size_t count, size_t *out, es_error *err)
{
    const es_doc *value = NULL;
    ES_TRY(es_doc_need(map, key, &value, err));
    return expect_word(value, words, count, out, err);
}

es_status es_doc_get_word(const es_doc *map, const char *key, const char *const *words,
                          size_t count, size_t *out, es_error *err)
{
    const es_doc *value = NULL;
    ES_TRY(get(map, key, &value, err));
    return value != NULL ? expect_word(value, words, count, out, err) : ES_OK;
}

es_status es_doc_expect_format(const es_doc *map, const char *format, int64_t version_max,
                               es_error *err)
{
    const es_doc *value = NULL;
    const char *found = NULL;
    int64_t version = 0;
    ES_TRY(es_doc_need(map, "format", &value, err));
    ES_TRY(es_doc_expect_text(value, &found, err));
    assert(found != NULL);
    if (strcmp(found, format) != 0)
        return es_doc_fail(value, err, "'%s' must be '%s'",
                           es_doc_show(found, value->as.text.size).text, format);
    ES_TRY(es_doc_need(map, "version", &value, err));
    ES_TRY(es_doc_expect_int(value, 1, INT64_MAX, &version, err));
    if (version > version_max)
        return es_doc_fail(value, err,
                           "%" PRId64 " is newer than this program reads (1 to %" PRId64 ")",
                           version, version_max);
    return ES_OK;
}
