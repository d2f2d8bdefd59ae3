/*
 * The headers Estran-Route and Estran-Stages: lists in the style of RFC 8941,
 *
 *     list = item *( OWS "," OWS item )        item = name "/" name *( OWS ";" OWS key [ "=" value
 * ] )
 *
 * with names and values percent-encoded. A value that begins with a digit is a number; names that
 * do have that digit encoded where both may stand.
 */
#include "base/percent.h"
#include "routes.h"

#include <math.h>
#include <stdio.h>

const char ES_ROUTE_HEADER[] = "Estran-Route";
const char ES_STAGES_HEADER[] = "Estran-Stages";
const char ES_PARTIAL_HEADER[] = "Estran-Partial";
const char ES_DUE_HEADER[] = "Estran-Due-Ns";
const char ES_TURN_HEADER[] = "Estran-Turn";

enum { PARAMS_MAX = 8, VALUE_BYTES_MAX = 1024 };

/* ---- any list ---- */

typedef struct part {
    const char *at;
    size_t size;
} part;

typedef struct param {
    part key;
    part value;
} param;

typedef struct item {
    part node, model;
    size_t param_count;
    param params[PARAMS_MAX];
} item;

/* A header being read. */
typedef struct reader {
    es_arena *arena;
    const char *header;
    const char *text;
    const char *at;
    es_error *err;
} reader;

static es_status fail_at(const reader *r, const char *at, const char *what)
{
    return es_fail(r->err, ES_ERR_PARSE, "%s: at %zu: %s", r->header, (size_t)(at - r->text) + 1,
                   what);
}

static void skip_space(reader *r)
{
    r->at += strspn(r->at, " \t");
}

static part take(reader *r, const char *until)
{
    part taken = {.at = r->at, .size = strcspn(r->at, until)};
    r->at += taken.size;
    return taken;
}

static bool is(part words, const char *name)
{
    return words.size == strlen(name) && memcmp(words.at, name, words.size) == 0;
}

static es_status read_item(reader *r, item *out)
{
    out->param_count = 0;
    out->node = take(r, "/,; \t");
    if (*r->at != '/')
        return fail_at(r, r->at, "expected NODE/MODEL");
    r->at++;
    out->model = take(r, "/,; \t");
    for (;;) {
        skip_space(r);
        if (*r->at != ';')
            break;
        r->at++;
        skip_space(r);
        param next = {.key = take(r, "=,; \t"), .value = {.at = r->at}};
        if (next.key.size == 0)
            return fail_at(r, r->at, "expected the name of a parameter");
        if (*r->at == '=') {
            r->at++;
            next.value = take(r, ",; \t");
        }
        if (out->param_count == PARAMS_MAX)
            return fail_at(r, next.key.at, "too many parameters");
        for (size_t i = 0; i < out->param_count; i++)
            if (out->params[i].key.size == next.key.size &&
                memcmp(out->params[i].key.at, next.key.at, next.key.size) == 0)
                return fail_at(r, next.key.at, "a parameter stands twice");
        out->params[out->param_count++] = next;
    }
    if (*r->at != ',' && *r->at != '\0')
        return fail_at(r, r->at, "expected ';' or ','");
    return ES_OK;
}

/* Begins reading; *out_any false: the list is empty. */
static es_status begin(reader *r, bool *out_any)
{
    r->at = r->text;
    if (strlen(r->text) > ES_SERVE_HEADER_BYTES_MAX)
        return es_fail(r->err, ES_ERR_PARSE, "%s: %zu bytes must be at most %d", r->header,
                       strlen(r->text), ES_SERVE_HEADER_BYTES_MAX);
    skip_space(r);
    *out_any = *r->at != '\0';
    return ES_OK;
}

/* True when another item follows. */
static bool next(reader *r)
{
    if (*r->at != ',')
        return false;
    r->at++;
    skip_space(r);
    return true;
}

static es_status read_name(const reader *r, part words, const char **out)
{
    char name[ES_SERVE_NAME_BYTES_MAX + 1];
    if (words.size == 0)
        return fail_at(r, words.at, "a name is empty");
    if (!es_percent_decode(words.at, words.size, false, name, sizeof name))
        return fail_at(r, words.at, "a name is malformed or too long");
    for (const char *c = name; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return fail_at(r, words.at, "a name holds a control character");
    *out = es_arena_text(r->arena, name);
    return *out == NULL ? es_arena_full(r->arena, "names of a header", r->err) : ES_OK;
}

static es_status read_number(const reader *r, part words, double max, double *out)
{
    char digits[64];
    double number = 0;
    if (words.size == 0 || words.size >= sizeof digits)
        return fail_at(r, words.at, "expected a number");
    memcpy(digits, words.at, words.size);
    digits[words.size] = '\0';
    if (!es_text_to_double(digits, &number) || !(number >= 0) || number > max)
        return fail_at(r, words.at, "expected a number in its range");
    *out = number;
    return ES_OK;
}

static es_status read_count(const reader *r, part words, double max, uint64_t *out)
{
    double number = 0;
    ES_TRY(read_number(r, words, max, &number));
    if (number != floor(number))
        return fail_at(r, words.at, "expected a whole number");
    *out = (uint64_t)number;
    return ES_OK;
}

/* ---- Estran-Route ---- */

static es_status read_output(const reader *r, part words, es_serve_output *out)
{
    if (words.size > 0 && words.at[0] >= '0' && words.at[0] <= '9') {
        uint64_t index = 0;
        ES_TRY(read_count(r, words, 1000, &index));
        out->index = (uint32_t)index;
        return ES_OK;
    }
    return read_name(r, words, &out->name);
}

static es_status read_stage_param(const reader *r, const param *given, es_serve_stage *stage)
{
    if (is(given->key, "exit"))
        return read_number(r, given->value, 1, &stage->exit);
    if (is(given->key, "exit-output"))
        return read_output(r, given->value, &stage->exit_output);
    if (is(given->key, "forward"))
        return read_output(r, given->value, &stage->forward);
    if (is(given->key, "input")) {
        if (!is(given->value, "previous") && !is(given->value, "request"))
            return fail_at(r, given->value.at, "input must be previous or request");
        stage->input =
            is(given->value, "request") ? ES_STAGE_INPUT_REQUEST : ES_STAGE_INPUT_PREVIOUS;
        return ES_OK;
    }
    if (is(given->key, "payload")) {
        if (!is(given->value, "u8"))
            return fail_at(r, given->value.at, "payload must be u8");
        stage->payload = ES_SERVE_PAYLOAD_U8;
        return ES_OK;
    }
    return fail_at(r, given->key.at,
                   "unknown parameter, must be exit, exit-output, forward, input or payload");
}

static es_status read_stage(const reader *r, const item *given, es_serve_stage *out)
{
    *out = (es_serve_stage){.exit = ES_SERVE_EXIT_NEVER,
                            .exit_output = {.index = ES_INDEX_NONE},
                            .forward = {.index = ES_INDEX_NONE}};
    ES_TRY(read_name(r, given->node, &out->node));
    ES_TRY(read_name(r, given->model, &out->model));
    for (size_t i = 0; i < given->param_count; i++)
        ES_TRY(read_stage_param(r, &given->params[i], out));
    return ES_OK;
}

static bool is_default(es_serve_output output)
{
    return output.name == NULL && output.index == ES_INDEX_NONE;
}

es_status es_serve_route_decode(es_arena *arena, const char *text, es_serve_route *out,
                                es_error *err)
{
    reader r = {.arena = arena, .header = ES_ROUTE_HEADER, .text = text, .err = err};
    es_serve_route route = {0};
    bool more = false;
    ES_TRY(begin(&r, &more));
    if (!more)
        return fail_at(&r, r.at, "expected NODE/MODEL");
    for (; more; more = next(&r)) {
        item given;
        if (route.stage_count == ES_STAGE_COUNT_MAX)
            return fail_at(&r, r.at, "too many stages");
        ES_TRY(read_item(&r, &given));
        ES_TRY(read_stage(&r, &given, &route.stages[route.stage_count++]));
    }
    const es_serve_stage *last = &route.stages[route.stage_count - 1];
    if (last->exit <= 1 || !is_default(last->forward) || last->payload != ES_SERVE_PAYLOAD_SAME)
        return fail_at(&r, r.at, "nothing goes on from the last stage: no exit, forward, payload");
    *out = route;
    return ES_OK;
}

static void put_output(es_text *out, const char *key, es_serve_output output)
{
    if (is_default(output))
        return;
    es_text_format(out, ";%s=", key);
    const char *name = output.name;
    if (name == NULL) {
        es_text_format(out, "%u", output.index);
    } else if (name[0] >= '0' && name[0] <= '9') {
        es_text_format(out, "%%%02X", (unsigned)(unsigned char)name[0]);
        es_percent_encode(out, name + 1);
    } else {
        es_percent_encode(out, name);
    }
}

void es_serve_route_encode(const es_serve_route *route, uint32_t first, es_text *out)
{
    for (uint32_t k = first; k < route->stage_count; k++) {
        const es_serve_stage *stage = &route->stages[k];
        es_text_append(out, k > first ? ", " : "");
        es_percent_encode(out, stage->node);
        es_text_append(out, "/");
        es_percent_encode(out, stage->model);
        if (stage->exit <= 1) {
            es_text_append(out, ";exit=");
            es_text_double(out, stage->exit);
        }
        put_output(out, "exit-output", stage->exit_output);
        put_output(out, "forward", stage->forward);
        if (stage->input == ES_STAGE_INPUT_REQUEST)
            es_text_append(out, ";input=request");
        if (stage->payload == ES_SERVE_PAYLOAD_U8)
            es_text_append(out, ";payload=u8");
    }
}

/* ---- Estran-Stages ---- */

static es_status read_visit_param(const reader *r, const param *given, es_serve_visit *visit)
{
    static const double US_MAX = 9e15; /* whole in a double */
    if (is(given->key, "queue"))
        return read_count(r, given->value, US_MAX, &visit->queue_us);
    if (is(given->key, "compute"))
        return read_count(r, given->value, US_MAX, &visit->compute_us);
    if (is(given->key, "joules"))
        return read_number(r, given->value, 1e300, &visit->joules);
    if (is(given->key, "grams"))
        return read_number(r, given->value, 1e300, &visit->grams);
    if (is(given->key, "source"))
        return read_name(r, given->value, &visit->source);
    return ES_OK;
}

es_status es_serve_visits_decode(es_arena *arena, const char *text,
                                 es_serve_visit out[ES_STAGE_COUNT_MAX], uint32_t *out_count,
                                 es_error *err)
{
    reader r = {
        .arena = arena, .header = ES_STAGES_HEADER, .text = text == NULL ? "" : text, .err = err};
    uint32_t count = 0;
    bool more = false;
    ES_TRY(begin(&r, &more));
    for (; more; more = next(&r)) {
        item given;
        if (count == ES_STAGE_COUNT_MAX)
            return fail_at(&r, r.at, "too many stages");
        es_serve_visit *visit = &out[count++];
        *visit = (es_serve_visit){.joules = (double)NAN, .grams = (double)NAN};
        ES_TRY(read_item(&r, &given));
        ES_TRY(read_name(&r, given.node, &visit->node));
        ES_TRY(read_name(&r, given.model, &visit->model));
        for (size_t i = 0; i < given.param_count; i++)
            ES_TRY(read_visit_param(&r, &given.params[i], visit));
    }
    *out_count = count;
    return ES_OK;
}

void es_serve_visit_append(es_text *text, const es_serve_visit *visit)
{
    es_text_append(text, text->size > 0 ? ", " : "");
    es_percent_encode(text, visit->node);
    es_text_append(text, "/");
    es_percent_encode(text, visit->model);
    es_text_append(text, ";queue=");
    es_text_uint(text, visit->queue_us);
    es_text_append(text, ";compute=");
    es_text_uint(text, visit->compute_us);
    if (!isnan(visit->joules)) {
        es_text_append(text, ";joules=");
        es_text_double(text, visit->joules);
    }
    if (!isnan(visit->grams)) {
        es_text_append(text, ";grams=");
        es_text_double(text, visit->grams);
    }
    if (visit->source != NULL) {
        es_text_append(text, ";source=");
        es_percent_encode(text, visit->source);
    }
}
