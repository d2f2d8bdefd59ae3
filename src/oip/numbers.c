/*
 * Numbers of a tensor straight from the JSON. A tree of values takes about 90 bytes and 90 ns per
 * value; here it is the tensor's own bytes and a fifth of the time. Only what is surely right is
 * taken: everything else goes the general way, which also says what is wrong.
 */
#include "internal.h"

#include <float.h>

enum { DEPTH_MAX = ES_DOC_DEPTH_MAX, DIGITS_MAX = 64 };

/* ---- where the numbers are ---- */

typedef struct scanner {
    const char *at, *end, *start;
    char *copy;
    char open[DEPTH_MAX]; /* '{' or '[' */
    size_t depth;
    bool is_data;    /* the last key was "data" of a tensor */
    bool is_list;    /* the last key was the one of the tensors, at the root */
    bool in_tensors; /* the list at depth 2 is that of the tensors */
} scanner;

/* Behind the closing quote; false at the end of the bytes. */
static bool skip_string(scanner *s)
{
    for (s->at++; s->at < s->end; s->at++) {
        if (*s->at == '\\')
            s->at++;
        else if (*s->at == '"') {
            s->at++;
            return true;
        }
    }
    return false;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Behind a list that holds nothing but numbers, true and false, in lists or not; else NULL. */
static const char *list_end(const char *at, const char *end)
{
    size_t depth = 0;
    for (; at < end; at++) {
        char c = *at;
        if (c == '[') {
            if (++depth > ES_TENSOR_RANK_MAX)
                return NULL;
        } else if (c == ']') {
            if (--depth == 0)
                return at + 1;
        } else if (!((c >= '0' && c <= '9') || c == ',' || c == '.' || c == '-' || c == '+' ||
                     (c >= 'a' && c <= 'z') || c == 'E' || is_space(c))) {
            return NULL;
        }
    }
    return NULL;
}

static void take_span(scanner *s, es_oip_spans *out)
{
    const char *end = list_end(s->at, s->end);
    if (end == NULL || out->count == 0 || out->items[out->count - 1].size > 0)
        return;
    out->items[out->count - 1] = (es_oip_span){.bytes = s->at, .size = (size_t)(end - s->at)};
    for (const char *c = s->at + 1; c < end - 1; c++)
        if (*c != '\n')
            s->copy[c - s->start] = ' ';
    s->at = end - 1; /* the ']' is seen as the end of an empty list */
}

/* A string; when ':' follows, a key. */
static bool scan_string(scanner *s, const char *key)
{
    const char *from = s->at + 1;
    if (!skip_string(s))
        return false;
    size_t size = (size_t)(s->at - 1 - from);
    const char *next = s->at;
    while (next < s->end && is_space(*next))
        next++;
    bool is_key = next < s->end && *next == ':';
    s->is_list = is_key && s->depth == 1 && size == strlen(key) && memcmp(from, key, size) == 0;
    s->is_data = is_key && s->depth == 3 && s->in_tensors && s->open[2] == '{' && size == 4 &&
                 memcmp(from, "data", 4) == 0;
    return true;
}

static bool scan_open(scanner *s, es_oip_spans *out)
{
    if (s->depth == DEPTH_MAX)
        return false;
    s->open[s->depth++] = *s->at;
    if (s->depth == 2)
        s->in_tensors = s->is_list && *s->at == '[' && s->open[0] == '{';
    if (s->depth == 3 && s->in_tensors) {
        if (out->count == ES_OIP_TENSORS_MAX)
            return false;
        out->items[out->count++] = (es_oip_span){.size = 0};
    }
    if (s->depth == 4 && s->is_data && *s->at == '[')
        take_span(s, out);
    else
        s->at++;
    s->is_list = s->is_data = false;
    return true;
}

void es_oip_spans_find(const char *json, size_t size, const char *key, char *copy,
                       es_oip_spans *out)
{
    scanner s = {.at = json, .end = json + size, .start = json, .copy = copy};
    bool going = true;
    out->count = 0;
    memcpy(copy, json, size);
    while (going && s.at < s.end) {
        switch (*s.at) {
        case '"':
            going = scan_string(&s, key);
            break;
        case '{':
        case '[':
            going = scan_open(&s, out);
            break;
        case '}':
        case ']':
            going = s.depth > 0;
            s.depth -= going;
            s.at++;
            break;
        case ',':
            s.is_list = s.is_data = false;
            s.at++;
            break;
        default:
            s.at++;
        }
    }
}

/* ---- one number ---- */

/* value = mantissa * 10^exponent, with what JSON allows and no more. */
typedef struct decimal {
    uint64_t mantissa; /* exact unless long */
    int exponent;
    bool negative, whole, is_long;
} decimal;

static const char *digits_read(const char *at, const char *end, decimal *out, int step)
{
    for (; at < end && *at >= '0' && *at <= '9'; at++) {
        if (out->mantissa > (UINT64_MAX - 9) / 10) {
            out->is_long = true; /* the general way counts these */
            continue;
        }
        out->mantissa = out->mantissa * 10 + (uint64_t)(*at - '0');
        out->exponent -= step;
    }
    return at;
}

static const char *exponent_read(const char *at, const char *end, decimal *out)
{
    bool negative = at < end && *at == '-';
    int value = 0;
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    const char *from = at;
    for (; at < end && *at >= '0' && *at <= '9'; at++)
        value = value < 10000 ? value * 10 + (*at - '0') : value;
    out->exponent += negative ? -value : value;
    return at > from ? at : NULL;
}

/* Behind the number, or NULL when it is none. */
static const char *decimal_read(const char *at, const char *end, decimal *out)
{
    *out = (decimal){.whole = true, .negative = at < end && *at == '-'};
    at += out->negative;
    const char *from = at;
    at = digits_read(at, end, out, 0);
    if (at == from || (*from == '0' && at > from + 1))
        return NULL;
    if (at < end && *at == '.') {
        out->whole = false;
        from = ++at;
        at = digits_read(at, end, out, 1);
        if (at == from)
            return NULL;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        out->whole = false;
        at = exponent_read(at + 1, end, out);
    }
    return at;
}

/* Exact powers: a quotient or product of two exact doubles is rounded once, as strtod rounds. */
static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
enum { POWER_MAX = 22 };

static bool to_double(const char *from, const char *to, const decimal *number, double *out)
{
    char copy[DIGITS_MAX];
    size_t size = (size_t)(to - from);
    if (!number->is_long && number->mantissa <= UINT64_C(1) << 53 &&
        number->exponent >= -POWER_MAX && number->exponent <= POWER_MAX) {
        double value = (double)number->mantissa;
        value = number->exponent < 0 ? value / powers[-number->exponent]
                                     : value * powers[number->exponent];
        *out = number->negative ? -value : value;
        return true;
    }
    if (size >= sizeof copy)
        return false;
    memcpy(copy, from, size);
    copy[size] = '\0';
    return es_text_to_double(copy, out);
}

static bool store_float(const char *from, const char *to, const decimal *number, es_dtype dtype,
                        unsigned char *out)
{
    double value = 0;
    if (!to_double(from, to, number, &value))
        return false;
    if (dtype == ES_DTYPE_F64) {
        memcpy(out, &value, sizeof value);
        return value >= -DBL_MAX && value <= DBL_MAX;
    }
    if (!(value >= -(double)FLT_MAX && value <= (double)FLT_MAX))
        return false;
    float narrow = (float)value;
    memcpy(out, &narrow, sizeof narrow);
    return true;
}

static bool store_int(const decimal *number, es_dtype dtype, unsigned char *out)
{
    size_t size = es_dtype_size(dtype);
    bool is_signed = dtype == ES_DTYPE_I8 || dtype == ES_DTYPE_I16 || dtype == ES_DTYPE_I32 ||
                     dtype == ES_DTYPE_I64;
    uint64_t most = size == 8 ? INT64_MAX : (UINT64_C(1) << (8 * size - (is_signed ? 1 : 0))) - 1;
    if (number->negative && is_signed)
        most++;
    if (!number->whole || number->is_long || number->mantissa > most ||
        (number->negative && !is_signed))
        return false; /* 1e3 and -0 of unsigned go the general way */
    uint64_t bits = number->negative ? -number->mantissa : number->mantissa;
    for (size_t i = 0; i < size; i++)
        out[i] = (unsigned char)(bits >> (8 * i));
    return true;
}

/* Behind the value at `at`, or NULL. */
static const char *value_read(const char *at, const char *end, es_dtype dtype, unsigned char *out)
{
    decimal number;
    if (dtype == ES_DTYPE_BOOL && *at == 't' && end - at >= 4 && memcmp(at, "true", 4) == 0) {
        *out = 1;
        return at + 4;
    }
    if (dtype == ES_DTYPE_BOOL && *at == 'f' && end - at >= 5 && memcmp(at, "false", 5) == 0) {
        *out = 0;
        return at + 5;
    }
    const char *next = decimal_read(at, end, &number);
    if (next == NULL)
        return NULL;
    bool good = false;
    if (dtype == ES_DTYPE_F32 || dtype == ES_DTYPE_F64)
        good = store_float(at, next, &number, dtype, out);
    else if (dtype == ES_DTYPE_BOOL)
        good = number.whole && !number.negative && !number.is_long && number.mantissa <= 1 &&
               (*out = (unsigned char)number.mantissa, true);
    else
        good = store_int(&number, dtype, out);
    return good ? next : NULL;
}

/* ---- the list ---- */

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && is_space(*at))
        at++;
    return at;
}

typedef struct lists {
    int64_t seen[ES_TENSOR_RANK_MAX]; /* items of the open lists */
    size_t depth;
    bool nested;
} lists;

/* May an item stand here? Values only innermost, lists only above. */
static bool item_fits(lists *open, const es_oip_tensor *tensor, bool is_list)
{
    if (is_list != (open->nested && open->depth < tensor->rank))
        return false;
    open->seen[open->depth - 1]++;
    return true;
}

static bool list_fits(const lists *open, const es_oip_tensor *tensor)
{
    return !open->nested || open->seen[open->depth - 1] == tensor->dims[open->depth - 1];
}

bool es_oip_numbers_read(es_oip_span span, const es_oip_tensor *tensor, size_t count,
                         unsigned char *out, size_t *out_given)
{
    const char *at = skip_space(span.bytes + 1, span.bytes + span.size);
    const char *end = span.bytes + span.size;
    const size_t each = es_dtype_size(tensor->dtype);
    lists open = {.depth = 1, .nested = tensor->rank > 1 && at < end && *at == '['};
    bool wants_item = true; /* behind '[' or ',' */
    bool may_end = true;    /* not behind ',' */
    *out_given = 0;
    while (at < end) {
        if (*at == ']' && (may_end || !wants_item)) {
            if (!list_fits(&open, tensor))
                return false;
            wants_item = may_end = false;
            at++;
            if (--open.depth == 0)
                return at == end && *out_given == count;
        } else if (*at == ',' && !wants_item) {
            wants_item = true;
            may_end = false;
            at++;
        } else if (*at == '[' && wants_item) {
            if (!item_fits(&open, tensor, true))
                return false;
            open.seen[open.depth++] = 0;
            wants_item = may_end = true;
            at++;
        } else {
            if (!wants_item || *out_given == count || !item_fits(&open, tensor, false))
                return false;
            at = value_read(at, end, tensor->dtype, out);
            if (at == NULL)
                return false;
            out += each;
            ++*out_given;
            wants_item = may_end = false;
        }
        at = skip_space(at, end);
    }
    return false;
}
