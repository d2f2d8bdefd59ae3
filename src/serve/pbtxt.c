/*
 * Protobuf's text format, as far as configurations use it:
 *     field = name [':'] ( scalar | '{' field* '}' | '<' field* '>' | '[' (scalar | message),* ']'
 * ) separated by white space, ',' or ';', with '#' comments. Texts may stand in parts. Nothing
 * recurses: open messages are on a stack of ES_DOC_DEPTH_MAX.
 */
#include "base/document_internal.h"
#include "model_config.h"

#include <assert.h>

enum { VALUES_MAX = 1 << 20, NAMES_MAX = 1024 };

/* A field's values in order of coming; a message's fields likewise. */
typedef struct value value;
typedef struct field field;
struct value {
    es_doc *doc;
    value *next;
};
struct field {
    const char *name;
    es_doc_place place;
    value *first, *last;
    size_t count;
    bool listed; /* [ ] was used */
    field *next;
};

typedef struct message {
    es_doc *doc; /* the map that it becomes */
    field *first, *last;
    size_t count;
    char closer;      /* '}' or '>'; 0: the end of the file */
    field *open_list; /* of the parent: the message is an item of [ ] */
} message;

typedef struct parser {
    es_arena *arena;
    const char *file;
    const char *at, *end, *line_start;
    uint32_t line;
    size_t value_count;
    message stack[ES_DOC_DEPTH_MAX];
    size_t depth;
} parser;

/* ---- characters ---- */

static es_doc_place here(const parser *p)
{
    return (es_doc_place){.line = p->line, .column = (uint32_t)(p->at - p->line_start) + 1};
}

static ES_PRINTF(3, 4) es_status fail(const parser *p, es_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    es_status status = es_doc_fail_at(p->file, here(p), NULL, ES_ERR_PARSE, err, format, args);
    va_end(args);
    return status;
}

static void skip_space(parser *p)
{
    while (p->at < p->end) {
        if (*p->at == '#') {
            while (p->at < p->end && *p->at != '\n')
                p->at++;
        } else if (*p->at == '\n') {
            p->at++;
            p->line++;
            p->line_start = p->at;
        } else if (*p->at == ' ' || *p->at == '\t' || *p->at == '\r') {
            p->at++;
        } else {
            return;
        }
    }
}

static char peek(const parser *p)
{
    return p->at < p->end ? *p->at : '\0';
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* What stands here, in quotes. */
static const char *shown(const parser *p, es_doc_shown *room)
{
    size_t size = 0;
    while (p->at + size < p->end && size < 20 && p->at[size] != '\n')
        size++;
    if (size == 0)
        return p->at == p->end ? "the end" : "the end of the line";
    es_doc_shown bare = es_doc_show(p->at, size);
    (void)snprintf(room->text, sizeof room->text, "'%.*s'", ES_DOC_SHOWN_SIZE - 3, bare.text);
    return room->text;
}

/* ---- scalars ---- */

static es_status new_doc(parser *p, es_doc_type type, es_doc **out, es_error *err)
{
    if (++p->value_count > VALUES_MAX)
        return fail(p, err, "more than %d values", VALUES_MAX);
    es_doc *doc = ES_TAKE_ONE(p->arena, es_doc);
    if (doc == NULL)
        return es_arena_full(p->arena, "configuration", err);
    *doc = (es_doc){.type = type, .file = p->file, .line = here(p).line, .column = here(p).column};
    *out = doc;
    return ES_OK;
}

static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The character behind a backslash; p is at it. */
static es_status read_escape(parser *p, es_text *out, es_error *err)
{
    static const char names[] = "abfnrtv\\'\"?";
    static const char codes[] = "\a\b\f\n\r\t\v\\'\"?";
    const char *known = peek(p) != '\0' ? strchr(names, peek(p)) : NULL;
    unsigned code = 0;
    if (known != NULL) {
        p->at++;
        es_text_append_n(out, &codes[known - names], 1);
        return ES_OK;
    }
    int digits = 0;
    if (peek(p) == 'x') {
        p->at++;
        for (; digits < 2 && p->at < p->end && hex_of(*p->at) >= 0; digits++)
            code = code * 16 + (unsigned)hex_of(*p->at++);
    } else {
        for (; digits < 3 && p->at < p->end && *p->at >= '0' && *p->at <= '7'; digits++)
            code = code * 8 + (unsigned)(*p->at++ - '0');
    }
    char c = (char)code;
    if (digits == 0 || code == 0 || code > 0xff)
        return fail(p, err, "an escape that is none, or a NUL");
    es_text_append_n(out, &c, 1);
    return ES_OK;
}

static es_status read_quoted(parser *p, es_text *out, es_error *err)
{
    char quote = *p->at++;
    while (p->at < p->end && *p->at != quote) {
        char c = *p->at++;
        if (c == '\n' || c == '\0')
            return fail(p, err, "a text does not end on its line");
        if (c == '\\')
            ES_TRY(read_escape(p, out, err));
        else
            es_text_append_n(out, &c, 1);
    }
    if (p->at == p->end)
        return fail(p, err, "a text does not end");
    p->at++;
    return ES_OK;
}

static es_status check_utf8(const parser *p, const es_text *text, es_error *err)
{
    for (size_t at = 0; at < text->size;) {
        size_t size = es_doc_utf8_size(text->bytes + at, text->size - at);
        if (size == 0)
            return fail(p, err, "a text is no UTF-8");
        at += size;
    }
    return ES_OK;
}

/* "a" 'b' ... are one text. */
static es_status read_texts(parser *p, es_text *text, es_doc *doc, es_error *err)
{
    do {
        ES_TRY(read_quoted(p, text, err));
        skip_space(p);
    } while (peek(p) == '"' || peek(p) == '\'');
    ES_TRY(es_text_status(text, err));
    ES_TRY(check_utf8(p, text, err));
    doc->as.text.bytes = es_arena_text_n(p->arena, es_text_get(text), text->size);
    doc->as.text.size = text->size;
    return doc->as.text.bytes != NULL ? ES_OK : es_arena_full(p->arena, "text", err);
}

/* A number, true, false, or the name of an enum's value. */
static es_status read_word(parser *p, es_doc *doc, es_error *err)
{
    es_doc_shown room;
    const char *start = p->at;
    if (peek(p) == '-' || peek(p) == '+')
        p->at++;
    while (p->at < p->end && (is_word(*p->at) || *p->at == '.' ||
                              ((*p->at == '-' || *p->at == '+') && (p->at[-1] | 0x20) == 'e')))
        p->at++;
    size_t size = (size_t)(p->at - start);
    if (size == 0)
        return fail(p, err, "a value is expected, not %s", shown(p, &room));
    char *word = es_arena_text_n(p->arena, start, size);
    if (word == NULL)
        return es_arena_full(p->arena, "configuration", err);
    double number = 0;
    if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0) {
        doc->type = ES_DOC_BOOL;
        doc->as.boolean = word[0] == 't';
    } else if (es_text_to_int64(word, &doc->as.integer)) {
        doc->type = ES_DOC_INT;
    } else if (es_text_to_double(word, &number)) {
        doc->type = ES_DOC_NUMBER;
        doc->as.number = number;
    } else if ((*start >= '0' && *start <= '9') || *start == '-' || *start == '+' ||
               *start == '.') {
        return fail(p, err, "'%.32s' is no number", word);
    } else {
        doc->as.text.bytes = word;
        doc->as.text.size = size;
    }
    return ES_OK;
}

static es_status read_scalar(parser *p, es_doc **out, es_error *err)
{
    ES_TRY(new_doc(p, ES_DOC_TEXT, out, err));
    if (peek(p) != '"' && peek(p) != '\'')
        return read_word(p, *out, err);
    es_text text;
    es_text_init(&text, ES_MODEL_CONFIG_BYTES_MAX);
    es_status status = read_texts(p, &text, *out, err);
    es_text_done(&text);
    return status;
}

/* ---- fields ---- */

static es_status field_find(parser *p, message *in, const char *name, size_t size, field **out,
                            es_error *err)
{
    for (field *known = in->first; known != NULL; known = known->next) {
        if (strlen(known->name) == size && memcmp(known->name, name, size) == 0) {
            *out = known;
            return ES_OK;
        }
    }
    if (in->count == NAMES_MAX)
        return fail(p, err, "more than %d fields of a message", NAMES_MAX);
    field *made = ES_TAKE_ONE(p->arena, field);
    if (made == NULL)
        return es_arena_full(p->arena, "configuration", err);
    made->name = es_arena_text_n(p->arena, name, size);
    made->place = here(p);
    if (made->name == NULL)
        return es_arena_full(p->arena, "configuration", err);
    if (in->last != NULL)
        in->last->next = made;
    else
        in->first = made;
    in->last = made;
    in->count++;
    *out = made;
    return ES_OK;
}

static es_status field_add(parser *p, field *to, es_doc *doc, es_error *err)
{
    value *made = ES_TAKE_ONE(p->arena, value);
    if (made == NULL)
        return es_arena_full(p->arena, "configuration", err);
    made->doc = doc;
    if (to->last != NULL)
        to->last->next = made;
    else
        to->first = made;
    to->last = made;
    to->count++;
    return ES_OK;
}

/* One value stays as it is; several, or [ ], are a list. */
static es_status field_value(parser *p, const es_doc *owner, const field *of, size_t index,
                             es_doc **out, es_error *err)
{
    if (of->count == 1 && !of->listed) {
        *out = of->first->doc;
    } else {
        es_doc *list = NULL;
        ES_TRY(new_doc(p, ES_DOC_LIST, &list, err));
        const es_doc **items = ES_TAKE_ARRAY(p->arena, const es_doc *, of->count);
        if (items == NULL)
            return es_arena_full(p->arena, "configuration", err);
        list->line = of->place.line;
        list->column = of->place.column;
        list->as.list.items = items;
        list->as.list.count = of->count;
        size_t at = 0;
        for (value *item = of->first; item != NULL; item = item->next) {
            item->doc->parent = list;
            item->doc->index = at;
            items[at++] = item->doc;
        }
        *out = list;
    }
    (*out)->parent = owner;
    (*out)->key = of->name;
    (*out)->index = index;
    return ES_OK;
}

/* ---- messages ---- */

static es_status open_message(parser *p, es_doc *doc, char closer, field *open_list, es_error *err)
{
    if (p->depth == ES_DOC_DEPTH_MAX)
        return fail(p, err, "more than %d levels", ES_DOC_DEPTH_MAX);
    p->stack[p->depth++] = (message){.doc = doc, .closer = closer, .open_list = open_list};
    return ES_OK;
}

/* Makes the map of what came. */
static es_status close_message(parser *p, es_error *err)
{
    message *done = &p->stack[--p->depth];
    es_doc_member *members = ES_TAKE_ARRAY(p->arena, es_doc_member, done->count);
    if (members == NULL)
        return es_arena_full(p->arena, "configuration", err);
    done->doc->as.map.members = members;
    done->doc->as.map.count = done->count;
    size_t at = 0;
    for (field *one = done->first; one != NULL; one = one->next) {
        es_doc *child = NULL;
        ES_TRY(field_value(p, done->doc, one, at, &child, err));
        members[at++] = (es_doc_member){
            .key = one->name, .line = one->place.line, .column = one->place.column, .value = child};
    }
    return ES_OK;
}

/* A scalar, or the beginning of a message. */
static es_status read_value(parser *p, field *to, field *open_list, bool colon, es_error *err)
{
    es_doc *doc = NULL;
    es_doc_shown room;
    char c = peek(p);
    if (c == '{' || c == '<') {
        ES_TRY(new_doc(p, ES_DOC_MAP, &doc, err));
        ES_TRY(field_add(p, to, doc, err));
        p->at++;
        return open_message(p, doc, c == '{' ? '}' : '>', open_list, err);
    }
    if (!colon)
        return fail(p, err, "'%.64s': ':' or '{' is expected, not %s", to->name, shown(p, &room));
    ES_TRY(read_scalar(p, &doc, err));
    return field_add(p, to, doc, err);
}

/* Items of [ ] from p on, until its end or until one is a message, which is then open. */
static es_status read_items(parser *p, field *to, bool first, es_error *err)
{
    const size_t depth = p->depth;
    es_doc_shown room;
    for (;; first = false) {
        skip_space(p);
        if (peek(p) == ']' && (first || p->at[-1] != ',')) {
            p->at++;
            return ES_OK;
        }
        if (!first) {
            if (peek(p) != ',')
                return fail(p, err, "'%.64s': ',' or ']' is expected, not %s", to->name,
                            shown(p, &room));
            p->at++;
            skip_space(p);
        }
        ES_TRY(read_value(p, to, to, true, err));
        if (p->depth > depth)
            return ES_OK;
    }
}

static es_status read_field(parser *p, es_error *err)
{
    es_doc_shown room;
    const char *start = p->at;
    field *to = NULL;
    while (p->at < p->end && is_word(*p->at))
        p->at++;
    size_t size = (size_t)(p->at - start);
    p->at = start;
    if (size == 0)
        return fail(p, err, "the name of a field is expected, not %s", shown(p, &room));
    ES_TRY(field_find(p, &p->stack[p->depth - 1], start, size, &to, err));
    p->at = start + size;
    skip_space(p);
    bool colon = peek(p) == ':';
    if (colon) {
        p->at++;
        skip_space(p);
    }
    if (peek(p) == '[') {
        p->at++;
        to->listed = true;
        return read_items(p, to, true, err);
    }
    return read_value(p, to, NULL, colon, err);
}

/* The innermost message ends here; an item of [ ] goes on with the next. */
static es_status end_message(parser *p, es_error *err)
{
    field *list = p->stack[p->depth - 1].open_list;
    p->at++;
    ES_TRY(close_message(p, err));
    return list != NULL ? read_items(p, list, false, err) : ES_OK;
}

static es_status parse(parser *p, es_error *err)
{
    for (;;) {
        skip_space(p);
        const message *in = &p->stack[p->depth - 1];
        if (p->at == p->end) {
            if (in->closer != 0)
                return fail(p, err, "'%c' is missing", in->closer);
            return close_message(p, err);
        }
        if (in->closer != 0 && *p->at == in->closer)
            ES_TRY(end_message(p, err));
        else if (*p->at == ',' || *p->at == ';')
            p->at++;
        else
            ES_TRY(read_field(p, err));
    }
}

es_status es_pbtxt_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                         const es_doc **out_root, es_error *err)
{
    parser p = {.arena = arena, .at = bytes, .end = bytes + size, .line_start = bytes, .line = 1};
    es_doc *root = NULL;
    p.file = es_arena_text(arena, name);
    if (p.file == NULL)
        return es_arena_full(arena, "configuration", err);
    ES_TRY(new_doc(&p, ES_DOC_MAP, &root, err));
    ES_TRY(open_message(&p, root, 0, NULL, err));
    ES_TRY(parse(&p, err));
    assert(p.depth == 0);
    *out_root = root;
    return ES_OK;
}
