#include "report/internal.h"

#include <assert.h>
#include <math.h>

es_scale es_scale_of(es_unit unit, double largest)
{
    double size = fabs(largest);
    switch (unit) {
    case ES_UNIT_S:
        if (size >= 1)
            return (es_scale){1, "s"};
        return size >= 1e-3 || size <= 0 ? (es_scale){1e3, "ms"} : (es_scale){1e6, "\xc2\xb5s"};
    case ES_UNIT_SHARE:
        return (es_scale){100, "%"};
    case ES_UNIT_J:
        if (size >= 1e3)
            return (es_scale){1e-3, "kJ"};
        if (size >= 0.1 || size <= 0)
            return (es_scale){1, "J"};
        return size >= 1e-4 ? (es_scale){1e3, "mJ"} : (es_scale){1e6, "\xc2\xb5J"};
    case ES_UNIT_G:
        if (size >= 1 || size <= 0)
            return (es_scale){1, "g"};
        return size >= 1e-3 ? (es_scale){1e3, "mg"} : (es_scale){1e6, "\xc2\xb5g"};
    case ES_UNIT_COST:
    default:
        return (es_scale){1, "/s"};
    }
}

const char *es_show_number(double value, char out[ES_NUMBER_SIZE])
{
    double size = fabs(value);
    if (!isfinite(value))
        (void)snprintf(out, ES_NUMBER_SIZE, ES_DASH);
    else if (size <= 0)
        (void)snprintf(out, ES_NUMBER_SIZE, "0");
    else if (size >= 1e7 || size < 1e-4)
        (void)snprintf(out, ES_NUMBER_SIZE, "%.2e", value);
    else if (size >= 99.95)
        (void)snprintf(out, ES_NUMBER_SIZE, "%.0f", value);
    else
        (void)snprintf(out, ES_NUMBER_SIZE, "%.*f", 2 - (int)floor(log10(size * 1.0005)), value);
    return out;
}

const char *es_show_quantity(double value, es_unit unit, char out[ES_NUMBER_SIZE])
{
    es_scale scale = es_scale_of(unit, isfinite(value) ? value : 0);
    char number[ES_NUMBER_SIZE];
    if (isfinite(value))
        (void)snprintf(out, ES_NUMBER_SIZE, "%.22s\xc2\xa0%s",
                       es_show_number(value * scale.factor, number), scale.unit);
    else
        (void)snprintf(out, ES_NUMBER_SIZE, ES_DASH);
    return out;
}

const char *es_show_deviation(double value, double base, char out[ES_NUMBER_SIZE])
{
    double percent = 100 * (value - base) / fabs(base);
    if (!isfinite(percent))
        (void)snprintf(out, ES_NUMBER_SIZE, ES_DASH);
    else if (fabs(percent) < 0.5)
        (void)snprintf(out, ES_NUMBER_SIZE,
                       "\xc2\xb1"
                       "0 %%");
    else if (fabs(percent) > 1e6)
        (void)snprintf(out, ES_NUMBER_SIZE, "%s",
                       percent > 0 ? "> +1e6 %"
                                   : "< \xe2\x88\x92"
                                     "1e6 %");
    else
        (void)snprintf(out, ES_NUMBER_SIZE, "%s%.0f %%", percent > 0 ? "+" : "\xe2\x88\x92",
                       fabs(percent));
    return out;
}

/* Decodes one character; bad bytes and control characters give U+FFFD. Returns the bytes read. */
static size_t decode(const char *text, uint32_t *out)
{
    const unsigned char *bytes = (const unsigned char *)text;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t size = 1;
    uint32_t code = bytes[0];
    *out = 0xFFFD;
    if (code >= 0xF0 && code < 0xF8)
        size = 4;
    else if (code >= 0xE0 && code < 0xF0)
        size = 3;
    else if (code >= 0xC0 && code < 0xE0)
        size = 2;
    else if (code >= 0x80)
        return 1;
    if (size > 1)
        code &= 0x7Fu >> size;
    for (size_t i = 1; i < size; i++) {
        if ((bytes[i] & 0xC0) != 0x80)
            return 1;
        code = code << 6 | (bytes[i] & 0x3F);
    }
    bool surrogate = code >= 0xD800 && code <= 0xDFFF;
    bool control = code < 0x20 || (code >= 0x7F && code < 0xA0);
    bool direction = (code >= 0x200E && code <= 0x200F) || (code >= 0x202A && code <= 0x202E) ||
                     (code >= 0x2066 && code <= 0x2069); /* could reorder what stands around it */
    if (code >= least[size] && code <= 0x10FFFF && !surrogate && !control && !direction &&
        code != 0xFFFE && code != 0xFFFF)
        *out = code;
    return size;
}

static size_t columns_of(uint32_t code)
{
    static const uint32_t wide[][2] = {{0x1100, 0x115F},   {0x2E80, 0x303E},  {0x3041, 0xA4CF},
                                       {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},  {0xFE30, 0xFE6F},
                                       {0xFF00, 0xFF60},   {0xFFE0, 0xFFE6},  {0x1F300, 0x1F64F},
                                       {0x1F900, 0x1F9FF}, {0x20000, 0x3FFFD}};
    if ((code >= 0x300 && code <= 0x36F) || code == 0x200B || code == 0x200D || code == 0xFE0F)
        return 0;
    for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++) {
        if (code >= wide[i][0] && code <= wide[i][1])
            return 2;
    }
    return 1;
}

size_t es_text_width(const char *text)
{
    size_t width = 0;
    while (*text != '\0') {
        uint32_t code;
        text += decode(text, &code);
        width += columns_of(code);
    }
    return width;
}

static void pad_by(es_text *out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        es_text_append(out, " ");
}

static void put_code(es_text *out, const char *bytes, size_t size, uint32_t code)
{
    if (code == 0xFFFD)
        es_text_append(out, "\xef\xbf\xbd");
    else
        es_text_append_n(out, bytes, size);
}

void es_put_terminal(es_text *out, const char *text, size_t width, int pad)
{
    size_t whole = es_text_width(text);
    size_t room = whole <= width ? width : width - 1;
    size_t used = 0;
    if (pad > 0 && whole < width)
        pad_by(out, width - whole);
    while (*text != '\0') {
        uint32_t code;
        size_t size = decode(text, &code);
        if (used + columns_of(code) > room)
            break;
        put_code(out, text, size, code);
        used += columns_of(code);
        text += size;
    }
    if (whole > width) {
        es_text_append(out, "\xe2\x80\xa6");
        used++;
    }
    if (pad < 0 && used < width)
        pad_by(out, width - used);
}

void es_put_html(es_text *out, const char *text, size_t characters_max)
{
    size_t count = 0;
    while (text != NULL && *text != '\0') {
        uint32_t code;
        size_t size = decode(text, &code);
        if (characters_max > 0 && count + 1 >= characters_max && text[size] != '\0') {
            es_text_append(out, "\xe2\x80\xa6");
            return;
        }
        if (code == '&')
            es_text_append(out, "&amp;");
        else if (code == '<')
            es_text_append(out, "&lt;");
        else if (code == '>')
            es_text_append(out, "&gt;");
        else if (code == '"')
            es_text_append(out, "&quot;");
        else if (code == '\'')
            es_text_append(out, "&#39;");
        else
            put_code(out, text, size, code);
        text += size;
        count++;
    }
}

void es_put_route(es_text *out, const es_scenario *scenario, const es_routing *routing,
                  const char *arrow)
{
    const es_pipeline *pipeline = &scenario->pipelines[routing->pipeline.index];
    uint32_t before = ES_INDEX_NONE;
    es_text_format(out, "%s: ", pipeline->name);
    for (uint32_t k = 0; k < pipeline->stage_count; k++) {
        if (routing->nodes[k].index == before)
            continue;
        before = routing->nodes[k].index;
        es_text_format(out, "%s%s", k == 0 ? "" : arrow,
                       es_network_node(scenario->network, routing->nodes[k])->name);
    }
}
