/* What a request asks for: its parameters, found without reading its tensors. */
#include "internal.h"

#include <math.h>

/* ---- the key "parameters" ---- */

typedef struct scan {
    const char *at, *end;
} scan;

static void skip_space(scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

static bool take(scan *s, char wanted)
{
    skip_space(s);
    if (s->at == s->end || *s->at != wanted)
        return false;
    s->at++;
    return true;
}

/* Behind the closing quote; the opening one has been taken. */
static bool skip_text(scan *s)
{
    while (s->at < s->end) {
        const char *quote = memchr(s->at, '"', (size_t)(s->end - s->at));
        if (quote == NULL)
            return false;
        const char *slashes = quote;
        while (slashes > s->at && slashes[-1] == '\\')
            slashes--;
        s->at = quote + 1;
        if ((quote - slashes) % 2 == 0)
            return true;
    }
    return false;
}

/* Any value; what is within lists and maps is not looked at but for texts. */
static bool skip_value(scan *s)
{
    size_t depth = 0;
    skip_space(s);
    while (s->at < s->end) {
        char c = *s->at;
        if (depth == 0 && (c == ',' || c == '}' || c == ']'))
            return true;
        s->at++;
        if (c == '"' && !skip_text(s))
            return false;
        if (c == '[' || c == '{')
            depth++;
        else if (c == ']' || c == '}')
            depth--;
    }
    return false;
}

bool es_gateway_find_params(const char *json, size_t size, const char **out, size_t *out_size)
{
    static const char KEY[] = "parameters";
    scan s = {.at = json, .end = json + size};
    if (!take(&s, '{'))
        return false;
    do {
        if (!take(&s, '"'))
            return false;
        const char *key = s.at;
        if (!skip_text(&s))
            return false;
        size_t key_size = (size_t)(s.at - key) - 1;
        if (!take(&s, ':'))
            return false;
        skip_space(&s);
        const char *value = s.at;
        if (!skip_value(&s))
            return false;
        if (key_size == sizeof KEY - 1 && memcmp(key, KEY, key_size) == 0) {
            *out = value;
            *out_size = (size_t)(s.at - value);
            return true;
        }
    } while (take(&s, ','));
    return false;
}

/* ---- its members ---- */

static es_status read_wishes(const es_doc *map, es_gateway_ask *out, es_error *err)
{
    double slo_ms = (double)INFINITY;
    ES_TRY(es_doc_get_number(map, "estran_slo_ms", 0, 1e12, &slo_ms, err));
    ES_TRY(es_doc_get_number(map, "estran_min_accuracy", 0, 1, &out->wish.quality_min, err));
    ES_TRY(es_doc_get_number(map, "estran_max_energy_j", 0, 1e300, &out->wish.energy_j_max, err));
    ES_TRY(es_doc_get_number(map, "estran_max_gco2e", 0, 1e300, &out->wish.carbon_g_max, err));
    ES_TRY(es_doc_get_bool(map, "estran_strict", &out->wish.strict, err));
    ES_TRY(es_doc_get_text(map, "estran_entry", &out->entry, err));
    ES_TRY(es_doc_get_int(map, "timeout", 0, INT64_MAX / 2000, &out->timeout_us, err));
    out->wish.latency_s_max = slo_ms / 1e3;
    return ES_OK;
}

es_status es_gateway_ask_read(es_arena *arena, const char *json, size_t size, es_gateway_ask *out,
                              es_error *err)
{
    const char *params = NULL;
    size_t params_size = 0;
    const es_doc *map = NULL;
    *out = (es_gateway_ask){.wish = es_serve_wish_default()};
    if (json == NULL || !es_gateway_find_params(json, size, &params, &params_size))
        return ES_OK;
    ES_TRY(es_doc_parse_json(arena, "parameters", params, params_size, &map, err));
    ES_TRY(es_doc_expect_map(map, err));
    return read_wishes(map, out, err);
}
