/*
 * document: one tree for YAML and JSON, in which every value knows file:line:column.
 *
 * Reads YAML 1.1 (libyaml; scalars resolved by the YAML 1.2 core schema: null, true/false, int,
 * float; quoted scalars are texts) or JSON (structure and places are ours, since jansson keeps no
 * places; it decodes texts with escapes), and writes canonical JSON. Trees live in the
 * arena and are read-only. Duplicate keys, NaN, infinities, several YAML documents, unknown tags,
 * more than ES_DOC_DEPTH_MAX levels or ES_DOC_VALUES_MAX values (aliases count each time) are
 * errors. Errors start with `file:line:column: `, then `path.to[3].key: ` where there is one.
 */
#ifndef ES_BASE_DOCUMENT_H
#define ES_BASE_DOCUMENT_H

#include "base/arena.h"
#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

enum { ES_DOC_DEPTH_MAX = 64, ES_DOC_VALUES_MAX = 20 * 1000 * 1000 };

typedef enum es_doc_type {
    ES_DOC_NULL,
    ES_DOC_BOOL,
    ES_DOC_INT,    /* fits int64 */
    ES_DOC_NUMBER, /* a finite double */
    ES_DOC_TEXT,
    ES_DOC_LIST,
    ES_DOC_MAP,
    ES_DOC_TYPE_COUNT
} es_doc_type;

typedef struct es_doc es_doc;

typedef struct es_doc_member {
    const char *key;
    uint32_t line; /* of the key, from 1 */
    uint32_t column;
    const es_doc *value;
} es_doc_member;

/* Plain and read-only; walk it directly or with the getters below. */
struct es_doc {
    es_doc_type type;
    uint32_t line; /* from 1; 0 for values made by a program */
    uint32_t column;
    const char *file;
    const es_doc *parent; /* NULL at the root */
    const char *key;      /* key under the parent map, else NULL */
    size_t index;         /* place in the parent list or map */
    union {
        bool boolean;
        int64_t integer;
        double number;
        struct {
            const char *bytes; /* terminated; a text holds no NUL byte */
            size_t size;
        } text;
        struct {
            const es_doc *const *items;
            size_t count;
        } list;
        struct {
            const es_doc_member *members; /* in the order of the file */
            size_t count;
        } map;
    } as;
};

/* ---- reading ---- */

/* Reads a file; .json is JSON, anything else YAML (of which JSON is nearly a subset); "-" is
 * standard input as YAML; .gz is unpacked. cap_bytes bounds the file. */
es_status es_doc_read(es_arena *arena, const char *path, size_t cap_bytes, const es_doc **out_root,
                      es_error *err) ES_MUST_CHECK;

/* Parses bytes; name stands for the file in messages and is kept until the arena goes. */
es_status es_doc_parse_yaml(es_arena *arena, const char *name, const char *bytes, size_t size,
                            const es_doc **out_root, es_error *err) ES_MUST_CHECK;
es_status es_doc_parse_json(es_arena *arena, const char *name, const char *bytes, size_t size,
                            const es_doc **out_root, es_error *err) ES_MUST_CHECK;

/* ---- errors at a value ---- */

/* ES_ERR_PARSE with `file:line:column: path: text`. */
es_status es_doc_fail(const es_doc *value, es_error *err, const char *format, ...) ES_PRINTF(3, 4);

/* ---- schema walker: each call checks type and range and says what it wanted ---- */

/* The value under key, or NULL. map must be a map. O(members). */
const es_doc *es_doc_find(const es_doc *map, const char *key);

/* Fails unless value is a map whose keys are all among keys[count] (unknown: the nearest known key
 * is offered). Call it first on every map. */
es_status es_doc_expect_keys(const es_doc *value, const char *const *keys, size_t count,
                             es_error *err) ES_MUST_CHECK;

#define ES_DOC_EXPECT_KEYS(value, err, ...)                                                        \
    es_doc_expect_keys((value), (const char *const[]){__VA_ARGS__},                                \
                       sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *), (err))

/* Type checks of a value itself. */
es_status es_doc_expect_map(const es_doc *value, es_error *err) ES_MUST_CHECK;
es_status es_doc_expect_list(const es_doc *value, es_error *err) ES_MUST_CHECK;
es_status es_doc_expect_text(const es_doc *value, const char **out, es_error *err) ES_MUST_CHECK;
es_status es_doc_expect_number(const es_doc *value, double min, double max, double *out,
                               es_error *err) ES_MUST_CHECK;
es_status es_doc_expect_int(const es_doc *value, int64_t min, int64_t max, int64_t *out,
                            es_error *err) ES_MUST_CHECK;

/* Members of a map. `need`: missing is an error at the map. `get`: missing (or null) leaves *out
 * as it was, so fill in the default before. min and max are inclusive; the unit is the key's last
 * word and appears in the message as it stands in the key. */
es_status es_doc_need(const es_doc *map, const char *key, const es_doc **out,
                      es_error *err) ES_MUST_CHECK;
es_status es_doc_need_text(const es_doc *map, const char *key, const char **out,
                           es_error *err) ES_MUST_CHECK;
es_status es_doc_need_number(const es_doc *map, const char *key, double min, double max,
                             double *out, es_error *err) ES_MUST_CHECK;
es_status es_doc_need_int(const es_doc *map, const char *key, int64_t min, int64_t max,
                          int64_t *out, es_error *err) ES_MUST_CHECK;
es_status es_doc_need_list(const es_doc *map, const char *key, const es_doc **out,
                           es_error *err) ES_MUST_CHECK;
es_status es_doc_need_map(const es_doc *map, const char *key, const es_doc **out,
                          es_error *err) ES_MUST_CHECK;
es_status es_doc_get_text(const es_doc *map, const char *key, const char **out,
                          es_error *err) ES_MUST_CHECK;
es_status es_doc_get_number(const es_doc *map, const char *key, double min, double max, double *out,
                            es_error *err) ES_MUST_CHECK;
es_status es_doc_get_int(const es_doc *map, const char *key, int64_t min, int64_t max, int64_t *out,
                         es_error *err) ES_MUST_CHECK;
es_status es_doc_get_bool(const es_doc *map, const char *key, bool *out,
                          es_error *err) ES_MUST_CHECK;
es_status es_doc_get_list(const es_doc *map, const char *key, const es_doc **out,
                          es_error *err) ES_MUST_CHECK;
es_status es_doc_get_map(const es_doc *map, const char *key, const es_doc **out,
                         es_error *err) ES_MUST_CHECK;

/* One of words[count], as its index; unknown words are errors that offer the nearest. */
es_status es_doc_need_word(const es_doc *map, const char *key, const char *const *words,
                           size_t count, size_t *out, es_error *err) ES_MUST_CHECK;
es_status es_doc_get_word(const es_doc *map, const char *key, const char *const *words,
                          size_t count, size_t *out, es_error *err) ES_MUST_CHECK;

/* Fails unless map.format == format and 1 <= map.version <= version_max. */
es_status es_doc_expect_format(const es_doc *map, const char *format, int64_t version_max,
                               es_error *err) ES_MUST_CHECK;

/* ---- writing ---- */

/*
 * A writer appends JSON to text: call begin/key/value/end in order; misuse asserts. The canonical
 * form keeps the caller's key order, indents by two spaces, prints doubles so that they read back
 * the same, escapes as JSON does, and ends in a newline when the outermost value ends.
 * compact: everything on one line without spaces (for JSON lines).
 */
typedef struct es_json {
    es_text *text;
    bool compact;
    bool after_key;
    int depth;
    bool has_items[ES_DOC_DEPTH_MAX];
    char closers[ES_DOC_DEPTH_MAX];
} es_json;

void es_json_init(es_json *json, es_text *text, bool compact);
void es_json_map_begin(es_json *json);
void es_json_map_end(es_json *json);
void es_json_list_begin(es_json *json);
void es_json_list_end(es_json *json);
void es_json_key(es_json *json, const char *key);
void es_json_text(es_json *json, const char *text); /* NULL writes null; bad UTF-8 becomes U+FFFD */
void es_json_number(es_json *json, double number);  /* NaN and infinities write null */
void es_json_int(es_json *json, int64_t number);
void es_json_bool(es_json *json, bool boolean);
void es_json_null(es_json *json);

/* key and value at once */
void es_json_put_text(es_json *json, const char *key, const char *text);
void es_json_put_number(es_json *json, const char *key, double number);
void es_json_put_int(es_json *json, const char *key, int64_t number);
void es_json_put_bool(es_json *json, const char *key, bool boolean);

/* Appends text as a JSON text and nothing else: also good YAML, whatever is in it. */
void es_json_quoted(es_text *out, const char *text);
void es_json_quoted_n(es_text *out, const char *bytes, size_t size); /* need not end in a NUL */

/* Writes a whole tree. */
void es_json_doc(es_json *json, const es_doc *value);

#endif
