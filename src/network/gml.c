/*
 * GML (Himsolt 1997): key value pairs; a value is a number, a "text", or a list in [ ]. Read with
 * a stack of list kinds instead of recursion.
 */
#include "network/internal.h"

typedef enum kind { KIND_TOP, KIND_GRAPH, KIND_NODE, KIND_EDGE, KIND_OTHER } kind;

typedef enum token_type {
    TOKEN_END,
    TOKEN_WORD,
    TOKEN_NUMBER,
    TOKEN_TEXT,
    TOKEN_OPEN,
    TOKEN_CLOSE
} token_type;

typedef struct token {
    token_type type;
    const char *text; /* of words, numbers and texts: terminated, in the scratch arena */
    es_place place;
} token;

typedef struct gml {
    es_topology_maker *maker;
    const char *at;
    const char *line_start;
    size_t line;
    kind stack[ES_TOPOLOGY_DEPTH_MAX];
    es_place opened[ES_TOPOLOGY_DEPTH_MAX];
    size_t depth;
    es_draft draft; /* of the node or edge that is open */
    bool seen_graph, seen_directed;
} gml;

static es_place here(const gml *g)
{
    return (es_place){.line = g->line, .column = (size_t)(g->at - g->line_start) + 1};
}

static void skip_space(gml *g)
{
    for (;; g->at++) {
        if (*g->at == '\n') {
            g->line++;
            g->line_start = g->at + 1;
        } else if (*g->at == '#') {
            g->at += strcspn(g->at, "\n") - 1;
        } else if (*g->at != ' ' && *g->at != '\t' && *g->at != '\r') {
            return;
        }
    }
}

/* Writes a code point as UTF-8; returns its size. */
static size_t put_utf8(char *out, unsigned long code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

/* The code point of an entity "&...;", or 0 when it is none; *out_size is what it takes up. */
static unsigned long entity(const char *text, size_t *out_size)
{
    static const struct {
        const char *name;
        unsigned long code;
    } names[] = {{"&quot;", '"'}, {"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&apos;", '\''}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strncmp(text, names[i].name, strlen(names[i].name)) == 0) {
            *out_size = strlen(names[i].name);
            return names[i].code;
        }
    if (text[1] != '#' || text[2] < '0' || text[2] > '9')
        return 0;
    char *end = NULL;
    unsigned long code = strtoul(text + 2, &end, 10);
    bool is_surrogate = code >= 0xd800 && code <= 0xdfff;
    if (*end != ';' || code == 0 || code > 0x10ffff || is_surrogate)
        return 0;
    *out_size = (size_t)(end - text) + 1;
    return code;
}

/* Decodes entities in place: the result is never longer. */
static void decode(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0';) {
        size_t size = 0;
        unsigned long code = *from == '&' ? entity(from, &size) : 0;
        if (code == 0) {
            *to++ = *from++;
        } else {
            to += put_utf8(to, code);
            from += size;
        }
    }
    *to = '\0';
}

static es_status read_quoted(gml *g, token *out, es_error *err)
{
    const char *start = g->at + 1;
    const char *end = strchr(start, '"');
    if (end == NULL)
        return es_maker_fail(g->maker, out->place, err, "text is never closed by '\"'");
    for (const char *c = start; c < end; c++)
        if (*c == '\n') {
            g->line++;
            g->line_start = c + 1;
        }
    char *copy = es_arena_text_n(g->maker->scratch, start, (size_t)(end - start));
    if (copy == NULL)
        return es_arena_full(g->maker->scratch, "texts of a topology", err);
    decode(copy);
    g->at = end + 1;
    *out = (token){.type = TOKEN_TEXT, .text = copy, .place = out->place};
    return ES_OK;
}

static bool starts_number(char c)
{
    return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.';
}

static bool starts_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static es_status next(gml *g, token *out, es_error *err)
{
    skip_space(g);
    *out = (token){.type = TOKEN_END, .place = here(g)};
    char c = *g->at;
    if (c == '\0')
        return ES_OK;
    if (c == '[' || c == ']') {
        out->type = c == '[' ? TOKEN_OPEN : TOKEN_CLOSE;
        g->at++;
        return ES_OK;
    }
    if (c == '"')
        return read_quoted(g, out, err);
    if (!starts_number(c) && !starts_word(c))
        return es_maker_fail(g->maker, out->place, err, "byte 0x%02x is not GML",
                             (unsigned)(unsigned char)c);
    size_t size = strcspn(g->at, " \t\r\n[]\"#");
    out->type = starts_number(c) ? TOKEN_NUMBER : TOKEN_WORD;
    out->text = es_arena_text_n(g->maker->scratch, g->at, size);
    if (out->text == NULL)
        return es_arena_full(g->maker->scratch, "words of a topology", err);
    g->at += size;
    return ES_OK;
}

/* GML ids are integers; written one way, so that 01 and 1 are the same node. */
static es_status read_id(gml *g, const char *key, const token *value, const char **out,
                         es_error *err)
{
    int64_t number = 0;
    if (value->type != TOKEN_NUMBER || !es_text_to_int64(value->text, &number))
        return es_maker_fail(g->maker, value->place, err, "%s='%.64s' must be an integer", key,
                             value->text);
    if (*out != NULL)
        return es_maker_fail(g->maker, value->place, err, "%s is given twice", key);
    char text[32];
    int size = snprintf(text, sizeof text, "%lld", (long long)number);
    return es_maker_text(g->maker, text, (size_t)size, out, err);
}

static es_status read_graph_value(gml *g, const char *key, const token *value, es_error *err)
{
    es_topology_maker *maker = g->maker;
    if (strcmp(key, "directed") == 0) {
        bool is_bit = strcmp(value->text, "0") == 0 || strcmp(value->text, "1") == 0;
        if (value->type != TOKEN_NUMBER || !is_bit || g->seen_directed)
            return es_maker_fail(maker, value->place, err, "directed='%.64s' must be 0 or 1, once",
                                 value->text);
        g->seen_directed = true;
        maker->directed = value->text[0] == '1';
    }
    bool is_name = strcmp(key, "label") == 0 || strcmp(key, "name") == 0;
    if (is_name && value->type == TOKEN_TEXT && maker->name[0] == '\0')
        return es_maker_text(maker, value->text, strlen(value->text), &maker->name, err);
    return ES_OK;
}

static es_status read_value(gml *g, const char *key, const token *value, es_error *err)
{
    switch (g->stack[g->depth]) {
    case KIND_GRAPH:
        return read_graph_value(g, key, value, err);
    case KIND_NODE:
        if (strcmp(key, "id") == 0)
            return read_id(g, key, value, &g->draft.id, err);
        return es_draft_set(g->maker, &g->draft, es_attribute_of_node(key), key, value->text,
                            value->place, err);
    case KIND_EDGE:
        if (strcmp(key, "source") == 0)
            return read_id(g, key, value, &g->draft.source, err);
        if (strcmp(key, "target") == 0)
            return read_id(g, key, value, &g->draft.target, err);
        return es_draft_set(g->maker, &g->draft, es_attribute_of_edge(key), key, value->text,
                            value->place, err);
    case KIND_TOP:
    case KIND_OTHER:
        break;
    }
    return ES_OK;
}

static es_status open_list(gml *g, const char *key, es_place place, es_error *err)
{
    kind parent = g->stack[g->depth];
    kind opened = KIND_OTHER;
    if (parent == KIND_TOP && strcmp(key, "graph") == 0) {
        if (g->seen_graph)
            return es_maker_fail(g->maker, place, err, "a second graph; expected one in a file");
        g->seen_graph = true;
        opened = KIND_GRAPH;
    } else if (parent == KIND_GRAPH && strcmp(key, "node") == 0) {
        opened = KIND_NODE;
    } else if (parent == KIND_GRAPH && strcmp(key, "edge") == 0) {
        opened = KIND_EDGE;
    } else if ((parent == KIND_NODE || parent == KIND_EDGE) &&
               (strcmp(key, "node") == 0 || strcmp(key, "edge") == 0)) {
        return es_maker_fail(g->maker, place, err,
                             "%s inside the %s of line %zu; is a ']' missing?", key,
                             parent == KIND_NODE ? "node" : "edge", g->draft.place.line);
    }
    if (g->depth + 1 >= ES_TOPOLOGY_DEPTH_MAX)
        return es_maker_fail(g->maker, place, err, "more than %d nested lists",
                             ES_TOPOLOGY_DEPTH_MAX);
    g->stack[++g->depth] = opened;
    g->opened[g->depth] = place;
    if (opened == KIND_NODE || opened == KIND_EDGE)
        g->draft = (es_draft){.place = place};
    return ES_OK;
}

static es_status close_list(gml *g, es_place place, es_error *err)
{
    if (g->depth == 0)
        return es_maker_fail(g->maker, place, err, "']' closes nothing");
    switch (g->stack[g->depth--]) {
    case KIND_NODE:
        return es_maker_node(g->maker, &g->draft, err);
    case KIND_EDGE:
        return es_maker_edge(g->maker, &g->draft, err);
    case KIND_TOP:
    case KIND_GRAPH:
    case KIND_OTHER:
        break;
    }
    return ES_OK;
}

/* key value | key [ | ] */
static es_status read_pair(gml *g, const token *key, es_error *err)
{
    if (key->type == TOKEN_CLOSE)
        return close_list(g, key->place, err);
    if (key->type != TOKEN_WORD)
        return es_maker_fail(g->maker, key->place, err, "expected a key or ']', found %s",
                             key->type == TOKEN_OPEN ? "'['" : "a value");
    token value;
    ES_TRY(next(g, &value, err));
    if (value.type == TOKEN_OPEN)
        return open_list(g, key->text, key->place, err);
    if (value.type != TOKEN_NUMBER && value.type != TOKEN_TEXT)
        return es_maker_fail(g->maker, value.place, err,
                             "value of '%.64s' must be a number, a \"text\" or a list in [ ]",
                             key->text);
    return read_value(g, key->text, &value, err);
}

es_status es_topology_read_gml(es_topology_maker *maker, const char *bytes, size_t size,
                               es_error *err)
{
    (void)size; /* terminated */
    if (strncmp(bytes, "\xef\xbb\xbf", 3) == 0)
        bytes += 3;
    gml g = {.maker = maker, .at = bytes, .line_start = bytes, .line = 1};
    for (;;) {
        token key;
        ES_TRY(next(&g, &key, err));
        if (key.type == TOKEN_END)
            break;
        ES_TRY(read_pair(&g, &key, err));
    }
    if (g.depth > 0)
        return es_maker_fail(maker, here(&g), err, "the file ends inside the list of line %zu",
                             g.opened[g.depth].line);
    if (!g.seen_graph)
        return es_maker_fail(maker, here(&g), err, "has no 'graph [ ... ]'");
    return ES_OK;
}
