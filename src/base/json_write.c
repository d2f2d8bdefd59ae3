#include "base/document_internal.h"

#include <assert.h>

void es_json_init(es_json *json, es_text *text, bool compact)
{
    *json = (es_json){.text = text, .compact = compact};
}

static void new_line(es_json *json)
{
    if (json->compact)
        return;
    es_text_append(json->text, "\n");
    for (int i = 0; i < json->depth; i++)
        es_text_append(json->text, "  ");
}

/* Whatever stands between the last thing written and the value that comes now. */
static void before_value(es_json *json)
{
    if (json->after_key) {
        json->after_key = false;
        return;
    }
    if (json->depth == 0)
        return;
    assert(json->closers[json->depth - 1] == ']'); /* in a map a key comes first */
    if (json->has_items[json->depth - 1])
        es_text_append(json->text, ",");
    json->has_items[json->depth - 1] = true;
    new_line(json);
}

static void after_value(es_json *json)
{
    if (json->depth == 0)
        es_text_append(json->text, "\n");
}

static void begin(es_json *json, const char *opener, char closer)
{
    assert(json->depth < ES_DOC_DEPTH_MAX);
    before_value(json);
    es_text_append(json->text, opener);
    json->closers[json->depth] = closer;
    json->has_items[json->depth] = false;
    json->depth++;
}

static void end(es_json *json, char closer)
{
    assert(json->depth > 0);
    assert(!json->after_key);
    assert(json->closers[json->depth - 1] == closer);
    json->depth--;
    if (json->has_items[json->depth])
        new_line(json);
    es_text_append_n(json->text, &closer, 1);
    after_value(json);
}

void es_json_map_begin(es_json *json)
{
    begin(json, "{", '}');
}

void es_json_map_end(es_json *json)
{
    end(json, '}');
}

void es_json_list_begin(es_json *json)
{
    begin(json, "[", ']');
}

void es_json_list_end(es_json *json)
{
    end(json, ']');
}

static const char *escape_of(unsigned char byte, char space[8])
{
    switch (byte) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\b':
        return "\\b";
    case '\f':
        return "\\f";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        (void)snprintf(space, 8, "\\u%04x", byte);
        return space;
    }
}

static void append_quoted(es_text *text, const char *bytes, size_t size)
{
    es_text_append(text, "\"");
    size_t plain_from = 0;
    for (size_t i = 0; i < size;) {
        unsigned char byte = (unsigned char)bytes[i];
        size_t step = byte < 0x80 ? 1 : es_doc_utf8_size(bytes + i, size - i);
        if (step > 0 && byte >= ' ' && byte != '"' && byte != '\\') {
            i += step;
            continue;
        }
        es_text_append_n(text, bytes + plain_from, i - plain_from);
        char space[8];
        es_text_append(text, step == 0 ? "\xef\xbf\xbd" : escape_of(byte, space));
        i++;
        plain_from = i;
    }
    es_text_append_n(text, bytes + plain_from, size - plain_from);
    es_text_append(text, "\"");
}

void es_json_key(es_json *json, const char *key)
{
    assert(json->depth > 0);
    assert(!json->after_key);
    assert(json->closers[json->depth - 1] == '}');
    if (json->has_items[json->depth - 1])
        es_text_append(json->text, ",");
    json->has_items[json->depth - 1] = true;
    new_line(json);
    append_quoted(json->text, key, strlen(key));
    es_text_append(json->text, json->compact ? ":" : ": ");
    json->after_key = true;
}

void es_json_quoted(es_text *out, const char *text)
{
    append_quoted(out, text, strlen(text));
}

void es_json_quoted_n(es_text *out, const char *bytes, size_t size)
{
    append_quoted(out, bytes, size);
}

void es_json_text(es_json *json, const char *text)
{
    if (text == NULL) {
        es_json_null(json);
        return;
    }
    before_value(json);
    append_quoted(json->text, text, strlen(text));
    after_value(json);
}

void es_json_number(es_json *json, double number)
{
    before_value(json);
    es_text_double(json->text, number);
    after_value(json);
}

void es_json_int(es_json *json, int64_t number)
{
    before_value(json);
    es_text_format(json->text, "%" PRId64, number);
    after_value(json);
}

void es_json_bool(es_json *json, bool boolean)
{
    before_value(json);
    es_text_append(json->text, boolean ? "true" : "false");
    after_value(json);
}

void es_json_null(es_json *json)
{
    before_value(json);
    es_text_append(json->text, "null");
    after_value(json);
}

void es_json_put_text(es_json *json, const char *key, const char *text)
{
    es_json_key(json, key);
    es_json_text(json, text);
}

void es_json_put_number(es_json *json, const char *key, double number)
{
    es_json_key(json, key);
    es_json_number(json, number);
}

void es_json_put_int(es_json *json, const char *key, int64_t number)
{
    es_json_key(json, key);
    es_json_int(json, number);
}

void es_json_put_bool(es_json *json, const char *key, bool boolean)
{
    es_json_key(json, key);
    es_json_bool(json, boolean);
}

/* A scalar as a whole; of a list or a map only the start. */
static void write_one(es_json *json, const es_doc *value)
{
    switch (value->type) {
    case ES_DOC_BOOL:
        es_json_bool(json, value->as.boolean);
        return;
    case ES_DOC_INT:
        es_json_int(json, value->as.integer);
        return;
    case ES_DOC_NUMBER:
        es_json_number(json, value->as.number);
        return;
    case ES_DOC_TEXT:
        es_json_text(json, value->as.text.bytes);
        return;
    case ES_DOC_LIST:
        es_json_list_begin(json);
        return;
    case ES_DOC_MAP:
        es_json_map_begin(json);
        return;
    case ES_DOC_NULL:
    case ES_DOC_TYPE_COUNT:
        break;
    }
    es_json_null(json);
}

void es_json_doc(es_json *json, const es_doc *value)
{
    const es_doc *at = value;
    for (;;) {
        if (at != value && at->key != NULL)
            es_json_key(json, at->key);
        bool is_container = at->type == ES_DOC_LIST || at->type == ES_DOC_MAP;
        if (is_container && json->depth == ES_DOC_DEPTH_MAX) {
            json->text->status = ES_ERR_LIMIT; /* a deep tree inside others: not our mistake */
            is_container = false;
            es_json_null(json);
        } else {
            write_one(json, at);
        }
        const es_doc *child = is_container ? es_doc_child_first(at) : NULL;
        if (child != NULL) {
            at = child;
            continue;
        }
        if (is_container)
            end(json, json->closers[json->depth - 1]);
        while (at != value && es_doc_sibling_next(at) == NULL) {
            at = at->parent;
            end(json, json->closers[json->depth - 1]);
        }
        if (at == value)
            return;
        at = es_doc_sibling_next(at);
    }
}
