#include "base/document_internal.h"

#include <jansson.h>

/*
 * jansson keeps no positions and no bound on memory, so structure, places and limits are ours, in
 * one pass without recursion; jansson decodes the texts that have escapes or other than ASCII.
 */
typedef struct json_reader {
    es_doc_builder builder;
    const char *bytes;
    size_t size;
    size_t at;
    /* Where column has been counted up to; it only moves forward. */
    size_t counted;
    uint32_t line;
    uint32_t column;
} json_reader;

static void reader_done(json_reader *reader)
{
    es_doc_builder_done(&reader->builder);
}

static es_status read_document(json_reader *reader, es_error *err);

es_status es_doc_parse_json(es_arena *arena, const char *name, const char *bytes, size_t size,
                            const es_doc **out_root, es_error *err)
{
    ES_CLEANUP(reader_done)
    json_reader reader = {.bytes = bytes, .size = size, .line = 1, .column = 1};
    ES_TRY(es_doc_builder_init(&reader.builder, arena, name, err));
    ES_TRY(read_document(&reader, err));
    *out_root = reader.builder.root;
    return ES_OK;
}

/* Line and column of the byte at reader->at; columns count characters, as editors do. */
static es_doc_place here(json_reader *reader)
{
    for (; reader->counted < reader->at; reader->counted++) {
        unsigned char byte = (unsigned char)reader->bytes[reader->counted];
        if (byte == '\n') {
            reader->line += reader->line < UINT32_MAX;
            reader->column = 1;
        } else if ((byte & 0xc0) != 0x80) {
            reader->column += reader->column < UINT32_MAX;
        }
    }
    return (es_doc_place){reader->line, reader->column};
}

static void skip_space(json_reader *reader)
{
    while (reader->at < reader->size &&
           (reader->bytes[reader->at] == ' ' || reader->bytes[reader->at] == '\t' ||
            reader->bytes[reader->at] == '\n' || reader->bytes[reader->at] == '\r'))
        reader->at++;
}

/* The byte at the reader, or -1 at the end. */
static int peek(const json_reader *reader)
{
    return reader->at < reader->size ? (unsigned char)reader->bytes[reader->at] : -1;
}

static es_status unexpected(json_reader *reader, const char *wanted, es_error *err)
{
    es_doc_place place = here(reader);
    if (reader->at >= reader->size)
        return es_doc_builder_fail(&reader->builder, place, ES_ERR_PARSE, err,
                                   "expected %s, but the file ends", wanted);
    size_t size = es_doc_utf8_size(reader->bytes + reader->at, reader->size - reader->at);
    return es_doc_builder_fail(&reader->builder, place, ES_ERR_PARSE, err, "expected %s, got '%s'",
                               wanted,
                               es_doc_show(reader->bytes + reader->at, size > 0 ? size : 1).text);
}

static es_status read_value(json_reader *reader, es_error *err);
static es_status read_key(json_reader *reader, es_error *err);

/* Closes a container when its closer stands here. */
static es_status take_end(json_reader *reader, bool *out_ended, es_error *err)
{
    const es_doc_builder *builder = &reader->builder;
    const es_doc *inner = builder->frames[builder->depth - 1].container;
    *out_ended = peek(reader) == (inner->type == ES_DOC_LIST ? ']' : '}');
    if (!*out_ended)
        return ES_OK;
    reader->at++;
    return es_doc_builder_end(&reader->builder, err);
}

static es_status read_document(json_reader *reader, es_error *err)
{
    es_doc_builder *builder = &reader->builder;
    skip_space(reader);
    if (reader->at == reader->size)
        return es_doc_builder_fail(builder, (es_doc_place){1, 1}, ES_ERR_PARSE, err,
                                   "the document is empty");
    ES_TRY(read_value(reader, err));
    bool fresh = true; /* the innermost container has no children yet */
    size_t depth = 0;
    while (builder->depth > 0) {
        fresh = builder->depth > depth;
        depth = builder->depth;
        bool is_list = builder->frames[depth - 1].container->type == ES_DOC_LIST;
        bool ended = false;
        skip_space(reader);
        ES_TRY(take_end(reader, &ended, err));
        if (ended) {
            depth--;
            continue;
        }
        if (!fresh) {
            if (peek(reader) != ',')
                return unexpected(reader, is_list ? "',' or ']'" : "',' or '}'", err);
            reader->at++;
            skip_space(reader);
        }
        if (!is_list)
            ES_TRY(read_key(reader, err));
        ES_TRY(read_value(reader, err));
    }
    skip_space(reader);
    return reader->at == reader->size ? ES_OK : unexpected(reader, "the end of the file", err);
}

/* The bytes of a text between its quotes; moves behind it. */
static es_status scan_text(json_reader *reader, size_t *out_start, size_t *out_size,
                           bool *out_simple, es_error *err)
{
    es_doc_place place = here(reader);
    size_t start = ++reader->at;
    bool simple = true;
    for (; peek(reader) != '"'; reader->at++) {
        int byte = peek(reader);
        if (byte < 0)
            return es_doc_builder_fail(&reader->builder, place, ES_ERR_PARSE, err,
                                       "the text that starts here has no end quote");
        if (byte < ' ')
            return es_doc_builder_fail(&reader->builder, here(reader), ES_ERR_PARSE, err,
                                       "control character 0x%02x in a text; write it as \\u%04x",
                                       (unsigned)byte, (unsigned)byte);
        simple = simple && byte != '\\' && byte < 0x80;
        if (byte == '\\' && reader->at + 1 < reader->size &&
            (unsigned char)reader->bytes[reader->at + 1] >= ' ')
            reader->at++;
    }
    *out_start = start;
    *out_size = reader->at - start;
    *out_simple = simple;
    reader->at++;
    return ES_OK;
}

typedef es_status take_text(es_doc_builder *builder, const char *bytes, size_t size,
                            es_doc_place place, es_error *err);

static es_status take_as_value(es_doc_builder *builder, const char *bytes, size_t size,
                               es_doc_place place, es_error *err)
{
    return es_doc_builder_add_text(builder, bytes, size, place, NULL, err);
}

static es_status read_text(json_reader *reader, take_text *take, es_error *err)
{
    es_doc_builder *builder = &reader->builder;
    es_doc_place place = here(reader);
    size_t start = 0;
    size_t size = 0;
    bool simple = false;
    ES_TRY(scan_text(reader, &start, &size, &simple, err));
    const char *bytes = reader->bytes + start;
    if (simple)
        return take(builder, bytes, size, place, err);
    json_error_t problem;
    json_t *decoded = json_loadb(bytes - 1, size + 2, JSON_DECODE_ANY | JSON_ALLOW_NUL, &problem);
    if (decoded == NULL)
        return es_doc_builder_fail(builder, place, ES_ERR_PARSE, err, "text %s: %s",
                                   es_doc_show(bytes - 1, size + 2).text,
                                   es_doc_show(problem.text, strlen(problem.text)).text);
    es_status status =
        take(builder, json_string_value(decoded), json_string_length(decoded), place, err);
    json_decref(decoded);
    return status;
}

static es_status read_key(json_reader *reader, es_error *err)
{
    if (peek(reader) != '"')
        return unexpected(reader, "a key in quotes", err);
    ES_TRY(read_text(reader, es_doc_builder_key, err));
    skip_space(reader);
    if (peek(reader) != ':')
        return unexpected(reader, "':' after the key", err);
    reader->at++;
    skip_space(reader);
    return ES_OK;
}

static size_t skip_digits(json_reader *reader)
{
    size_t start = reader->at;
    while (peek(reader) >= '0' && peek(reader) <= '9')
        reader->at++;
    return reader->at - start;
}

/* -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [-+]? [0-9]+)? */
static es_status read_number(json_reader *reader, es_error *err)
{
    es_doc_place place = here(reader);
    size_t start = reader->at;
    reader->at += peek(reader) == '-';
    bool zero_first = peek(reader) == '0';
    size_t whole_digits = skip_digits(reader);
    if (whole_digits == 0)
        return unexpected(reader, "a digit", err);
    if (zero_first && whole_digits > 1)
        return es_doc_builder_fail(&reader->builder, place, ES_ERR_PARSE, err,
                                   "a number must not start with a needless 0");
    if (peek(reader) == '.') {
        reader->at++;
        if (skip_digits(reader) == 0)
            return unexpected(reader, "a digit after '.'", err);
    }
    if (peek(reader) == 'e' || peek(reader) == 'E') {
        reader->at++;
        reader->at += peek(reader) == '-' || peek(reader) == '+';
        if (skip_digits(reader) == 0)
            return unexpected(reader, "a digit of the exponent", err);
    }
    es_doc value = {.line = place.line, .column = place.column};
    const char *digits = reader->bytes + start;
    if (!es_doc_number_from(digits, reader->at - start, &value))
        return es_doc_builder_fail(&reader->builder, place, ES_ERR_PARSE, err,
                                   "number %s is out of range",
                                   es_doc_show(digits, reader->at - start).text);
    return es_doc_builder_add(&reader->builder, value, NULL, err);
}

static es_status read_word(json_reader *reader, es_error *err)
{
    static const struct {
        const char *word;
        es_doc_type type;
        bool boolean;
    } words[] = {
        {"null", ES_DOC_NULL, false}, {"true", ES_DOC_BOOL, true}, {"false", ES_DOC_BOOL, false}};
    es_doc_place place = here(reader);
    const char *start = reader->bytes + reader->at;
    size_t size = 0;
    while (reader->at + size < reader->size &&
           (start[size] == '_' || (start[size] >= '0' && start[size] <= '9') ||
            (start[size] >= 'a' && start[size] <= 'z') ||
            (start[size] >= 'A' && start[size] <= 'Z')))
        size++;
    if (size == 0)
        return unexpected(reader, "a value", err);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (size != strlen(words[i].word) || memcmp(start, words[i].word, size) != 0)
            continue;
        reader->at += size;
        es_doc value = {.type = words[i].type, .line = place.line, .column = place.column};
        value.as.boolean = words[i].boolean;
        return es_doc_builder_add(&reader->builder, value, NULL, err);
    }
    return es_doc_builder_fail(&reader->builder, place, ES_ERR_PARSE, err,
                               "expected a value, got '%s' (texts need quotes)",
                               es_doc_show(start, size).text);
}

static es_status read_value(json_reader *reader, es_error *err)
{
    int first = peek(reader);
    if (first == '"')
        return read_text(reader, take_as_value, err);
    if (first == '-' || (first >= '0' && first <= '9'))
        return read_number(reader, err);
    if (first != '{' && first != '[')
        return read_word(reader, err);
    es_doc_place place = here(reader);
    es_doc value = {.type = first == '[' ? ES_DOC_LIST : ES_DOC_MAP,
                    .line = place.line,
                    .column = place.column};
    reader->at++;
    return es_doc_builder_add(&reader->builder, value, NULL, err);
}
