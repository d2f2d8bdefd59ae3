#include "report/internal.h"

#include <assert.h>
#include <math.h>

/* Two decimals are finer than any screen; "-0.00" would differ from "0.00" for nothing. */
static void put(es_svg *svg, const char *name, double value)
{
    double shown = isfinite(value) ? round(value * 100) / 100 : 0;
    es_text_format(svg->out, " %s=\"%g\"", name, fabs(shown) < 0.005 ? 0 : shown);
}

static void close_with_title(es_svg *svg, const char *element, const char *title)
{
    if (title == NULL) {
        es_text_append(svg->out, "/>\n");
        return;
    }
    es_text_append(svg->out, "><title>");
    es_put_html(svg->out, title, 0);
    es_text_format(svg->out, "</title></%s>\n", element);
}

es_svg es_svg_begin(es_text *out, double width, double height, const char *title)
{
    es_text_format(out, "<svg viewBox=\"0 0 %g %g\" role=\"img\"><title>", width, height);
    es_put_html(out, title, 0);
    es_text_append(out, "</title>\n");
    return (es_svg){.out = out, .width = width, .height = height};
}

void es_svg_end(es_svg *svg)
{
    es_text_append(svg->out, "</svg>\n");
}

void es_svg_line(es_svg *svg, double x1, double y1, double x2, double y2, const char *class)
{
    es_text_format(svg->out, "<line class=\"%s\"", class);
    put(svg, "x1", x1);
    put(svg, "y1", y1);
    put(svg, "x2", x2);
    put(svg, "y2", y2);
    es_text_append(svg->out, "/>\n");
}

void es_svg_rect(es_svg *svg, double x, double y, double width, double height, double radius,
                 const char *class, const char *title)
{
    es_text_format(svg->out, "<rect class=\"%s\"", class);
    put(svg, "x", x);
    put(svg, "y", y);
    put(svg, "width", fmax(width, 0));
    put(svg, "height", fmax(height, 0));
    if (radius > 0)
        put(svg, "rx", radius);
    close_with_title(svg, "rect", title);
}

void es_svg_circle(es_svg *svg, double x, double y, double radius, const char *class,
                   const char *title)
{
    es_text_format(svg->out, "<circle class=\"%s\"", class);
    put(svg, "cx", x);
    put(svg, "cy", y);
    put(svg, "r", radius);
    close_with_title(svg, "circle", title);
}

void es_svg_text(es_svg *svg, double x, double y, const char *anchor, const char *class,
                 const char *text, size_t characters_max)
{
    es_text_format(svg->out, "<text class=\"%s\" text-anchor=\"%s\"", class, anchor);
    put(svg, "x", x);
    put(svg, "y", y);
    es_text_append(svg->out, ">");
    es_put_html(svg->out, text, characters_max);
    es_text_append(svg->out, "</text>\n");
}

void es_svg_polyline_begin(es_svg *svg, const char *class)
{
    es_text_format(svg->out, "<polyline class=\"%s\" points=\"", class);
}

void es_svg_polyline_point(es_svg *svg, double x, double y)
{
    assert(isfinite(x));
    assert(isfinite(y));
    es_text_format(svg->out, "%.1f,%.1f ", x, y);
}

void es_svg_polyline_end(es_svg *svg, const char *title)
{
    es_text_append(svg->out, "\"");
    close_with_title(svg, "polyline", title);
}

/* 1, 2 or 5 times a power of ten, at least size. */
static double round_up(double size)
{
    double power = pow(10, floor(log10(size)));
    double digits = size / power;
    if (digits <= 1.0000001)
        return power;
    return digits <= 2.0000001 ? 2 * power : digits <= 5.0000001 ? 5 * power : 10 * power;
}

es_axis es_axis_make(double low, double high, double start, double end, bool logarithmic)
{
    es_axis axis = {.start = start, .end = end, .logarithmic = logarithmic};
    if (!logarithmic) {
        high = isfinite(high) && high > 0 ? high : 1;
        double step = round_up(high / 4);
        axis.high = ceil(high / step - 1e-9) * step;
        return axis;
    }
    if (!(isfinite(low) && low > 0 && isfinite(high) && high >= low)) {
        low = 1;
        high = 10;
    }
    /* whole steps of 1, 2, 5 on both sides */
    axis.high = round_up(high);
    axis.low = 1 / round_up(1 / low);
    if (axis.high / axis.low < 4) {
        axis.low = axis.low / 2;
        axis.high = axis.high * 2;
    }
    return axis;
}

double es_axis_at(const es_axis *axis, double value)
{
    double share;
    if (axis->logarithmic)
        share = log(fmax(value, axis->low * 1e-9) / axis->low) / log(axis->high / axis->low);
    else
        share = (value - axis->low) / (axis->high - axis->low);
    share = fmin(fmax(share, 0), 1);
    return axis->start + share * (axis->end - axis->start);
}

size_t es_axis_ticks(const es_axis *axis, size_t wanted, double ticks[ES_TICK_MAX])
{
    size_t count = 0;
    assert(wanted >= 1);
    if (!axis->logarithmic) {
        double step = round_up((axis->high - axis->low) / (double)wanted);
        for (size_t i = 0; i < ES_TICK_MAX; i++) {
            double tick = axis->low + (double)i * step;
            if (tick <= axis->high * (1 + 1e-9))
                ticks[count++] = tick;
        }
        return count;
    }
    double decades = log10(axis->high / axis->low);
    double stride = ceil(decades / (ES_TICK_MAX - 1));
    bool fine = decades * 3 <= (double)wanted + 1;
    double first = floor(log10(axis->low));
    for (int i = 0; first + i * stride <= log10(axis->high) + 1e-9; i++) {
        static const double digits[] = {1, 2, 5};
        for (size_t d = 0; d < (fine ? 3 : 1); d++) {
            double tick = digits[d] * pow(10, first + i * stride);
            if (tick >= axis->low * (1 - 1e-9) && tick <= axis->high * (1 + 1e-9) &&
                count < ES_TICK_MAX)
                ticks[count++] = tick;
        }
    }
    return count;
}

static const char *tick_label(double value, char out[ES_NUMBER_SIZE])
{
    double size = fabs(value);
    (void)snprintf(out, ES_NUMBER_SIZE, size >= 1e6 || (size > 0 && size < 1e-4) ? "%.0e" : "%.6g",
                   value);
    return out;
}

void es_svg_axis_x(es_svg *svg, const es_axis *axis, es_box box, const char *name)
{
    double ticks[ES_TICK_MAX];
    char label[ES_NUMBER_SIZE];
    size_t count = es_axis_ticks(axis, 5, ticks);
    for (size_t i = 0; i < count; i++) {
        double x = es_axis_at(axis, ticks[i]);
        es_svg_line(svg, x, box.top, x, box.bottom, i == 0 && !axis->logarithmic ? "base" : "grid");
        es_svg_text(svg, x, box.bottom + 16, "middle", "tick", tick_label(ticks[i], label), 0);
    }
    es_svg_text(svg, (box.left + box.right) / 2, box.bottom + 34, "middle", "name", name, 0);
}

void es_svg_axis_y(es_svg *svg, const es_axis *axis, es_box box, const char *name)
{
    double ticks[ES_TICK_MAX];
    char label[ES_NUMBER_SIZE];
    size_t count = es_axis_ticks(axis, 5, ticks);
    for (size_t i = 0; i < count; i++) {
        double y = es_axis_at(axis, ticks[i]);
        es_svg_line(svg, box.left, y, box.right, y, i == 0 && !axis->logarithmic ? "base" : "grid");
        es_svg_text(svg, box.left - 8, y + 4, "end", "tick", tick_label(ticks[i], label), 0);
    }
    es_svg_text(svg, box.left, box.top - 10, "start", "name", name, 0);
}
