/*
 * SNDlib native text: sections NAME ( ... ) of entries; '#' starts a comment.
 *   META     name = anything to the end of the line
 *   NODES    id [ ( x y ) ]
 *   LINKS    id ( from to ) capacity capacity_cost routing_cost setup_cost ( { module cost }* )
 *   DEMANDS  id ( from to ) routing_unit value path_length
 * Sections of other names are read over.
 */
#include "network/internal.h"

typedef struct reader {
    es_topology_maker *maker;
    const char *at;
    const char *line_start;
    size_t line;
    double unit_bps;
    char word[ES_NETWORK_NAME_MAX + 1]; /* the last one read; "(" and ")" are words */
    es_place place;                     /* of it */
} reader;

static es_status fail(const reader *r, es_error *err, const char *expected)
{
    if (r->word[0] == '\0')
        return es_maker_fail(r->maker, r->place, err, "the file ends, expected %s", expected);
    return es_maker_fail(r->maker, r->place, err, "found '%.64s', expected %s", r->word, expected);
}

static void skip_space(reader *r)
{
    for (;; r->at++) {
        if (*r->at == '\n') {
            r->line++;
            r->line_start = r->at + 1;
        } else if (*r->at == '#') {
            r->at += strcspn(r->at, "\n") - 1;
        } else if (*r->at != ' ' && *r->at != '\t' && *r->at != '\r') {
            return;
        }
    }
}

/* The next word into r->word; "" at the end of the file. */
static es_status next(reader *r, es_error *err)
{
    skip_space(r);
    r->place = (es_place){.line = r->line, .column = (size_t)(r->at - r->line_start) + 1};
    size_t size = strcspn(r->at, " \t\r\n()#");
    if (*r->at == '(' || *r->at == ')')
        size = 1;
    if (size > ES_NETWORK_NAME_MAX)
        return es_maker_fail(r->maker, r->place, err, "word '%.32s...' has %zu bytes, at most %d",
                             r->at, size, ES_NETWORK_NAME_MAX);
    memcpy(r->word, r->at, size);
    r->word[size] = '\0';
    r->at += size;
    return ES_OK;
}

static bool is(const reader *r, const char *word)
{
    return strcmp(r->word, word) == 0;
}

static es_status expect(reader *r, const char *word, const char *expected, es_error *err)
{
    ES_TRY(next(r, err));
    return is(r, word) ? ES_OK : fail(r, err, expected);
}

static es_status read_number(reader *r, const char *what, double *out, es_error *err)
{
    ES_TRY(next(r, err));
    if (is(r, "") || is(r, "(") || is(r, ")"))
        return fail(r, err, what);
    return es_maker_number(r->maker, r->word, what, r->place, out, err);
}

static es_status read_id(reader *r, const char *what, const char **out, es_error *err)
{
    ES_TRY(next(r, err));
    if (is(r, "") || is(r, "(") || is(r, ")"))
        return fail(r, err, what);
    return es_maker_text(r->maker, r->word, strlen(r->word), out, err);
}

/* ( from to ) */
static es_status read_ends(reader *r, const char **from, const char **to, es_error *err)
{
    ES_TRY(expect(r, "(", "'(' before the two nodes", err));
    ES_TRY(read_id(r, "the first node", from, err));
    ES_TRY(read_id(r, "the second node", to, err));
    return expect(r, ")", "')' after the two nodes", err);
}

/* Reads on to the word after the entry, since a node may have no coordinates. */
static es_status read_node(reader *r, es_error *err)
{
    es_draft draft = {.place = r->place};
    ES_TRY(es_maker_text(r->maker, r->word, strlen(r->word), &draft.id, err));
    ES_TRY(next(r, err));
    if (is(r, "(")) {
        double x = 0.0, y = 0.0;
        ES_TRY(read_number(r, "longitude", &x, err));
        ES_TRY(read_number(r, "latitude", &y, err));
        ES_TRY(expect(r, ")", "')' after the coordinates", err));
        es_draft_set_plane(r->maker, &draft, x, y);
        ES_TRY(next(r, err));
    }
    return es_maker_node(r->maker, &draft, err);
}

/* What is installed counts; where nothing is, the smallest module that could be. */
static es_status read_capacity(reader *r, es_draft *draft, es_error *err)
{
    double installed = 0.0, cost = 0.0, smallest = 0.0;
    ES_TRY(read_number(r, "capacity", &installed, err));
    es_place place = r->place;
    ES_TRY(read_number(r, "capacity_cost", &cost, err));
    ES_TRY(read_number(r, "routing_cost", &cost, err));
    ES_TRY(read_number(r, "setup_cost", &cost, err));
    ES_TRY(expect(r, "(", "'(' before the modules", err));
    for (;;) {
        ES_TRY(next(r, err));
        if (is(r, ")"))
            break;
        if (is(r, "") || is(r, "("))
            return fail(r, err, "')' after the modules");
        double module = 0.0;
        ES_TRY(es_maker_number(r->maker, r->word, "module capacity", r->place, &module, err));
        ES_TRY(read_number(r, "module cost", &cost, err));
        if (module > 0.0 && (smallest <= 0.0 || module < smallest))
            smallest = module;
    }
    if (installed < 0.0)
        smallest = 0.0; /* to be refused, not replaced */
    return es_draft_set_number(r->maker, draft, ES_ATTRIBUTE_BANDWIDTH, "capacity",
                               es_sndlib_capacity(installed, smallest), place, err);
}

static es_status read_link(reader *r, es_error *err)
{
    es_draft draft = {.place = r->place};
    ES_TRY(read_ends(r, &draft.source, &draft.target, err));
    ES_TRY(read_capacity(r, &draft, err));
    ES_TRY(es_maker_edge(r->maker, &draft, err));
    return next(r, err);
}

static es_status read_demand(reader *r, es_error *err)
{
    es_place place = r->place;
    const char *from = NULL, *to = NULL;
    double unit = 0.0, value = 0.0;
    ES_TRY(read_ends(r, &from, &to, err));
    ES_TRY(read_number(r, "routing_unit", &unit, err));
    if (unit < 0.0)
        return fail(r, err, "a routing_unit >= 0");
    ES_TRY(read_number(r, "demand value", &value, err));
    ES_TRY(next(r, err)); /* path length: UNLIMITED or a number */
    if (is(r, "") || is(r, "(") || is(r, ")"))
        return fail(r, err, "max_path_length");
    ES_TRY(es_maker_demand(r->maker, place, from, to, value, value * unit, err));
    return next(r, err);
}

/* The first word of an entry is in r->word; each entry leaves the next there. */
static es_status read_entries(reader *r, es_status (*entry)(reader *, es_error *), es_error *err)
{
    ES_TRY(next(r, err));
    while (!is(r, ")")) {
        if (is(r, "") || is(r, "("))
            return fail(r, err, "an id or ')'");
        ES_TRY(entry(r, err));
    }
    return ES_OK;
}

/* name = anything; only the unit matters. Ends with a line that starts with ')'. */
static es_status read_meta(reader *r, es_error *err)
{
    for (;;) {
        ES_TRY(next(r, err));
        if (is(r, ")"))
            return ES_OK;
        if (is(r, ""))
            return fail(r, err, "')' after META");
        bool is_unit = is(r, "unit");
        ES_TRY(expect(r, "=", "'=' after a name of META", err));
        if (is_unit) {
            ES_TRY(next(r, err));
            r->unit_bps = es_sndlib_unit_bps(r->word);
        }
        r->at += strcspn(r->at, "\n");
    }
}

/* A section of no interest, to its ')'. */
static es_status skip_section(reader *r, es_error *err)
{
    for (size_t depth = 1; depth > 0;) {
        ES_TRY(next(r, err));
        if (is(r, ""))
            return fail(r, err, "')' after a section");
        depth += is(r, "(");
        depth -= is(r, ")");
    }
    return ES_OK;
}

static es_status read_section(reader *r, es_error *err)
{
    char name[sizeof r->word];
    memcpy(name, r->word, sizeof name);
    if (is(r, "(") || is(r, ")"))
        return fail(r, err, "the name of a section");
    ES_TRY(expect(r, "(", "'(' after the name of a section", err));
    if (strcmp(name, "META") == 0)
        return read_meta(r, err);
    if (strcmp(name, "NODES") == 0)
        return read_entries(r, read_node, err);
    if (strcmp(name, "LINKS") == 0)
        return read_entries(r, read_link, err);
    if (strcmp(name, "DEMANDS") == 0)
        return read_entries(r, read_demand, err);
    return skip_section(r, err);
}

/* "# network NAME", the second line of SNDlib's own files. */
static es_status read_name(reader *r, es_error *err)
{
    static const char words[] = "\n# network ";
    const char *line = strchr(r->at, '\n');
    if (line == NULL || strncmp(line, words, sizeof words - 1) != 0)
        return ES_OK;
    const char *name = line + sizeof words - 1;
    return es_maker_text(r->maker, name, strcspn(name, "\r\n"), &r->maker->name, err);
}

es_status es_topology_read_sndlib(es_topology_maker *maker, const char *bytes, size_t size,
                                  es_error *err)
{
    (void)size; /* terminated */
    if (strncmp(bytes, "\xef\xbb\xbf", 3) == 0)
        bytes += 3;
    reader r = {.maker = maker, .at = bytes, .line_start = bytes, .line = 1};
    skip_space(&r);
    if (strncmp(r.at, "?SNDlib native format", 21) != 0)
        return es_maker_fail(maker, (es_place){.line = r.line}, err,
                             "expected the first line '?SNDlib native format; ...'");
    ES_TRY(read_name(&r, err));
    r.at += strcspn(r.at, "\n");
    for (;;) {
        ES_TRY(next(&r, err));
        if (is(&r, ""))
            return es_maker_scale(maker, r.unit_bps, err);
        ES_TRY(read_section(&r, err));
    }
}
