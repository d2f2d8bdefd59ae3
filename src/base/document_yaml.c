#include "base/array.h"
#include "base/document_internal.h"

#include <yaml.h>

enum { ANCHOR_COUNT_MAX = 1000 };

typedef struct anchor {
    const char *name;
    const es_doc *value;
} anchor;

typedef struct reader {
    es_doc_builder builder;
    yaml_parser_t parser;
    const char *bytes;
    size_t size;
    ES_ARRAY(anchor) anchors;
    bool has_document;
    bool ended;
} yaml_reader;

static void reader_done(yaml_reader *reader)
{
    yaml_parser_delete(&reader->parser);
    es_doc_builder_done(&reader->builder);
}

static es_doc_place place_of(yaml_mark_t mark)
{
    return (es_doc_place){
        .line = mark.line < UINT32_MAX ? (uint32_t)mark.line + 1 : UINT32_MAX,
        .column = mark.column < UINT32_MAX ? (uint32_t)mark.column + 1 : UINT32_MAX,
    };
}

static es_status read_events(yaml_reader *reader, es_error *err);

es_status es_doc_parse_yaml(es_arena *arena, const char *name, const char *bytes, size_t size,
                            const es_doc **out_root, es_error *err)
{
    ES_CLEANUP(reader_done) yaml_reader reader = {.bytes = bytes, .size = size};
    if (!yaml_parser_initialize(&reader.parser))
        return es_fail(err, ES_ERR_NOMEM, "%s: no memory for the YAML parser", name);
    ES_TRY(es_doc_builder_init(&reader.builder, arena, name, err));
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)bytes, size);
    ES_TRY(read_events(&reader, err));
    *out_root = reader.builder.root;
    return ES_OK;
}

/* libyaml gives a byte offset, but no line, for bytes that are not text. */
static es_doc_place place_of_offset(const yaml_reader *reader, size_t offset)
{
    es_doc_place place = {1, 1};
    for (size_t i = 0; i < offset && i < reader->size; i++) {
        if (reader->bytes[i] == '\n') {
            place.line++;
            place.column = 1;
        } else if (((unsigned char)reader->bytes[i] & 0xc0) != 0x80) {
            place.column++;
        }
    }
    return place;
}

static es_status parser_failed(const yaml_reader *reader, es_error *err)
{
    const yaml_parser_t *parser = &reader->parser;
    const char *problem = parser->problem != NULL ? parser->problem : "not YAML";
    const es_doc_builder *builder = &reader->builder;
    if (parser->error == YAML_MEMORY_ERROR)
        return es_fail(err, ES_ERR_NOMEM, "%s: no memory for the YAML parser", builder->file);
    es_doc_place place = place_of(parser->problem_mark);
    if (parser->error == YAML_READER_ERROR)
        place = place_of_offset(reader, parser->problem_offset);
    char context[128] = "";
    if (parser->context != NULL)
        (void)snprintf(context, sizeof context, " (%s that starts on line %" PRIu32 ")",
                       parser->context, place_of(parser->context_mark).line);
    return es_fail(err, ES_ERR_PARSE, "%s:%" PRIu32 ":%" PRIu32 ": %s%s", builder->file, place.line,
                   place.column, problem, context);
}

static es_status take_event(yaml_reader *reader, const yaml_event_t *event, es_error *err);

static es_status read_events(yaml_reader *reader, es_error *err)
{
    while (!reader->ended) {
        yaml_event_t event;
        if (!yaml_parser_parse(&reader->parser, &event))
            return parser_failed(reader, err);
        es_status status = take_event(reader, &event, err);
        yaml_event_delete(&event);
        ES_TRY(status);
    }
    return ES_OK;
}

static es_status take_scalar(yaml_reader *reader, const yaml_event_t *event, es_error *err);
static es_status take_alias(yaml_reader *reader, const yaml_event_t *event, es_error *err);
static es_status take_container(yaml_reader *reader, const yaml_event_t *event, es_doc_type type,
                                const yaml_char_t *tag, const yaml_char_t *name, es_error *err);

static es_status take_event(yaml_reader *reader, const yaml_event_t *event, es_error *err)
{
    const es_doc_builder *builder = &reader->builder;
    switch (event->type) {
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return ES_OK;
    case YAML_STREAM_END_EVENT:
        reader->ended = true;
        if (!reader->has_document)
            return es_doc_builder_fail(builder, (es_doc_place){1, 1}, ES_ERR_PARSE, err,
                                       "the document is empty");
        return ES_OK;
    case YAML_DOCUMENT_START_EVENT:
        if (reader->has_document)
            return es_doc_builder_fail(builder, place_of(event->start_mark), ES_ERR_PARSE, err,
                                       "a second document starts here; one file holds one");
        reader->has_document = true;
        return ES_OK;
    case YAML_ALIAS_EVENT:
        return take_alias(reader, event, err);
    case YAML_SCALAR_EVENT:
        return take_scalar(reader, event, err);
    case YAML_SEQUENCE_START_EVENT:
        return take_container(reader, event, ES_DOC_LIST, event->data.sequence_start.tag,
                              event->data.sequence_start.anchor, err);
    case YAML_MAPPING_START_EVENT:
        return take_container(reader, event, ES_DOC_MAP, event->data.mapping_start.tag,
                              event->data.mapping_start.anchor, err);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return es_doc_builder_end(&reader->builder, err);
    }
    return es_fail(err, ES_ERR_INTERNAL, "%s: unknown YAML event", builder->file);
}

static es_status unknown_tag(const yaml_reader *reader, const yaml_event_t *event,
                             const yaml_char_t *tag, es_error *err)
{
    const char *text = (const char *)tag;
    return es_doc_builder_fail(&reader->builder, place_of(event->start_mark), ES_ERR_PARSE, err,
                               "tag '%s' is unknown or does not fit the value",
                               es_doc_show(text, strlen(text)).text);
}

static es_status set_anchor(yaml_reader *reader, const yaml_event_t *event, const yaml_char_t *name,
                            const es_doc *value, es_error *err)
{
    if (name == NULL)
        return ES_OK;
    es_arena *arena = reader->builder.arena;
    if (reader->anchors.count == ANCHOR_COUNT_MAX)
        return es_doc_builder_fail(&reader->builder, place_of(event->start_mark), ES_ERR_LIMIT, err,
                                   "more than %d anchors", ANCHOR_COUNT_MAX);
    const char *copy = es_arena_text(arena, (const char *)name);
    if (copy == NULL)
        return es_arena_full(arena, reader->builder.file, err);
    return ES_ARRAY_PUSH(arena, &reader->anchors, ((anchor){.name = copy, .value = value}),
                         "anchors", err);
}

static es_status take_container(yaml_reader *reader, const yaml_event_t *event, es_doc_type type,
                                const yaml_char_t *tag, const yaml_char_t *name, es_error *err)
{
    es_doc_builder *builder = &reader->builder;
    es_doc_place place = place_of(event->start_mark);
    const char *wanted = type == ES_DOC_LIST ? YAML_SEQ_TAG : YAML_MAP_TAG;
    if (tag != NULL && strcmp((const char *)tag, wanted) != 0 &&
        strcmp((const char *)tag, "!") != 0)
        return unknown_tag(reader, event, tag, err);
    if (es_doc_builder_wants_key(builder))
        return es_doc_builder_fail(builder, place, ES_ERR_PARSE, err,
                                   "a key must be a text, not a %s",
                                   type == ES_DOC_LIST ? "list" : "map");
    es_doc value = {.type = type, .line = place.line, .column = place.column};
    const es_doc *added = NULL;
    ES_TRY(es_doc_builder_add(builder, value, &added, err));
    return set_anchor(reader, event, name, added, err);
}

static es_status take_alias(yaml_reader *reader, const yaml_event_t *event, es_error *err)
{
    es_doc_builder *builder = &reader->builder;
    es_doc_place place = place_of(event->start_mark);
    const char *name = (const char *)event->data.alias.anchor;
    es_doc_shown shown = es_doc_show(name, strlen(name));
    if (es_doc_builder_wants_key(builder))
        return es_doc_builder_fail(builder, place, ES_ERR_PARSE, err,
                                   "a key must be a text, not the alias '*%s'", shown.text);
    const es_doc *source = NULL;
    for (size_t i = reader->anchors.count; i > 0 && source == NULL; i--)
        if (strcmp(reader->anchors.items[i - 1].name, name) == 0)
            source = reader->anchors.items[i - 1].value;
    if (source == NULL)
        return es_doc_builder_fail(builder, place, ES_ERR_PARSE, err,
                                   "alias '*%s' has no anchor '&%s' before it", shown.text,
                                   shown.text);
    for (size_t i = 0; i < builder->depth; i++)
        if (builder->frames[i].container == source)
            return es_doc_builder_fail(builder, place, ES_ERR_PARSE, err,
                                       "alias '*%s' stands inside its own anchor", shown.text);
    return es_doc_builder_add_copy(builder, source, err);
}

/* ---- plain scalars: the YAML 1.2 core schema ---- */

static bool is_word(const char *text, const char *const words[3])
{
    return strcmp(text, words[0]) == 0 || strcmp(text, words[1]) == 0 ||
           strcmp(text, words[2]) == 0;
}

static const char *skip_digits(const char *at, const char *digits)
{
    return at + strspn(at, digits);
}

/* 0o7 | 0xF | [-+]?[0-9]+ | [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool is_number(const char *text)
{
    static const char *const decimal = "0123456789";
    if (text[0] == '0' && (text[1] == 'o' || text[1] == 'x')) {
        const char *end =
            skip_digits(text + 2, text[1] == 'o' ? "01234567" : "0123456789abcdefABCDEF");
        return end > text + 2 && *end == '\0';
    }
    const char *at = text + (*text == '-' || *text == '+');
    const char *end = skip_digits(at, decimal);
    size_t digit_count = (size_t)(end - at);
    if (*end == '.') {
        at = end + 1;
        end = skip_digits(at, decimal);
        digit_count += (size_t)(end - at);
    }
    if (digit_count == 0)
        return false;
    if (*end == 'e' || *end == 'E') {
        at = end + 1 + (end[1] == '-' || end[1] == '+');
        end = skip_digits(at, decimal);
        if (end == at)
            return false;
    }
    return *end == '\0';
}

static bool is_infinity_or_nan(const char *text)
{
    static const char *const infinities[3] = {".inf", ".Inf", ".INF"};
    static const char *const nans[3] = {".nan", ".NaN", ".NAN"};
    return is_word(text + (*text == '-' || *text == '+'), infinities) || is_word(text, nans);
}

/* Turns *out, a text so far, into what a plain scalar of these bytes is (terminated). */
static es_status resolve_plain(const yaml_reader *reader, const char *text, size_t size,
                               es_doc_place place, es_doc *out, es_error *err)
{
    static const char *const nulls[3] = {"null", "Null", "NULL"};
    static const char *const trues[3] = {"true", "True", "TRUE"};
    static const char *const falses[3] = {"false", "False", "FALSE"};
    if (strlen(text) != size) {
        return ES_OK; /* holds a NUL; refused later */
    } else if (size == 0 || strcmp(text, "~") == 0 || is_word(text, nulls)) {
        out->type = ES_DOC_NULL;
    } else if (is_word(text, trues) || is_word(text, falses)) {
        out->type = ES_DOC_BOOL;
        out->as.boolean = is_word(text, trues);
    } else if (is_infinity_or_nan(text)) {
        return es_doc_builder_fail(&reader->builder, place, ES_ERR_PARSE, err,
                                   "%s is not a finite number", text);
    } else if (is_number(text) && !es_doc_number_from(text, size, out)) {
        return es_doc_builder_fail(&reader->builder, place, ES_ERR_PARSE, err,
                                   "number %s is out of range", es_doc_show(text, size).text);
    }
    return ES_OK;
}

static es_status take_key(yaml_reader *reader, const yaml_event_t *event, const es_doc *resolved,
                          es_error *err)
{
    es_doc_builder *builder = &reader->builder;
    es_doc_place place = place_of(event->start_mark);
    const char *text = (const char *)event->data.scalar.value;
    size_t size = event->data.scalar.length;
    es_doc_shown shown = es_doc_show(text, size);
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && strcmp(text, "<<") == 0)
        return es_doc_builder_fail(builder, place, ES_ERR_PARSE, err,
                                   "merge keys ('<<') are not supported; write the members out");
    if (resolved->type != ES_DOC_TEXT)
        return es_doc_builder_fail(builder, place, ES_ERR_PARSE, err,
                                   "a key must be a text: write '%s' in quotes", shown.text);
    if (event->data.scalar.anchor != NULL)
        return es_doc_builder_fail(builder, place, ES_ERR_PARSE, err,
                                   "an anchor on a key ('%s') is not supported", shown.text);
    return es_doc_builder_key(builder, text, size, place, err);
}

/* The type that a tag asks for, or ES_DOC_TYPE_COUNT; the tag "!" says: not resolved. */
static es_doc_type type_of_tag(const char *tag)
{
    static const struct {
        const char *tag;
        es_doc_type type;
    } known[] = {
        {YAML_NULL_TAG, ES_DOC_NULL},    {YAML_BOOL_TAG, ES_DOC_BOOL}, {YAML_INT_TAG, ES_DOC_INT},
        {YAML_FLOAT_TAG, ES_DOC_NUMBER}, {YAML_STR_TAG, ES_DOC_TEXT},  {"!", ES_DOC_TEXT},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(tag, known[i].tag) == 0)
            return known[i].type;
    return ES_DOC_TYPE_COUNT;
}

/* What a scalar is by its tag, else by its style. */
static es_status resolve_scalar(const yaml_reader *reader, const yaml_event_t *event, es_doc *out,
                                es_error *err)
{
    es_doc_place place = place_of(event->start_mark);
    const char *text = (const char *)event->data.scalar.value;
    const yaml_char_t *tag = event->data.scalar.tag;
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    es_doc_type wanted = tag != NULL ? type_of_tag((const char *)tag)
                         : plain     ? ES_DOC_TYPE_COUNT
                                     : ES_DOC_TEXT;
    *out = (es_doc){.type = ES_DOC_TEXT, .line = place.line, .column = place.column};
    if (wanted == ES_DOC_TEXT)
        return ES_OK;
    ES_TRY(resolve_plain(reader, text, event->data.scalar.length, place, out, err));
    if (wanted == ES_DOC_NUMBER && out->type == ES_DOC_INT) {
        out->type = ES_DOC_NUMBER;
        out->as.number = (double)out->as.integer;
    }
    return tag == NULL || wanted == out->type ? ES_OK : unknown_tag(reader, event, tag, err);
}

static es_status take_scalar(yaml_reader *reader, const yaml_event_t *event, es_error *err)
{
    es_doc_builder *builder = &reader->builder;
    es_doc value;
    ES_TRY(resolve_scalar(reader, event, &value, err));
    if (es_doc_builder_wants_key(builder))
        return take_key(reader, event, &value, err);
    const es_doc *added = NULL;
    if (value.type == ES_DOC_TEXT)
        ES_TRY(es_doc_builder_add_text(builder, (const char *)event->data.scalar.value,
                                       event->data.scalar.length, place_of(event->start_mark),
                                       &added, err));
    else
        ES_TRY(es_doc_builder_add(builder, value, &added, err));
    return set_anchor(reader, event, event->data.scalar.anchor, added, err);
}
