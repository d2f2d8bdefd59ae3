#include "report/compare.h"
#include "report/internal.h"

#include <math.h>

enum { WIDTH = 460, HEIGHT = 300, LEFT = 62, RIGHT = 16, TOP = 30, FOOT = 44, ROW = 26 };

/* Okabe and Ito's colours, as on the page. */
static const char style[] =
    "<style>text{font:12px system-ui,sans-serif;fill:#1b2127}.tick,.name{fill:#5a6672;"
    "font-size:11px}.grid{stroke:#dde2e7}.base{stroke:#5a6672}.line{fill:none;stroke-width:1.8}"
    ".l0{stroke:#0072b2}.l1{stroke:#d55e00}.l2{stroke:#00876a}.l3{stroke:#a94f86}"
    ".l4{stroke:#6b7680}.l5{stroke:#8f6b00}.s0{fill:#0072b2}.s1{fill:#d55e00}.s2{fill:#00876a}"
    ".s3{fill:#a94f86}.s4{fill:#6b7680}.s5{fill:#8f6b00}.predicted{stroke-dasharray:5 4}"
    "</style>\n";

/* Positive stretches of a curve; a line breaks where it is not. */
static void put_curve(es_svg *svg, const es_comparison *comparison, const double *regret,
                      const char *class, const char *title, const es_axis *x, const es_axis *y)
{
    bool open = false;
    for (uint32_t p = 0; p < comparison->point_count; p++) {
        bool shown = isfinite(regret[p]) && regret[p] >= y->low;
        if (shown && !open)
            es_svg_polyline_begin(svg, class);
        if (!shown && open)
            es_svg_polyline_end(svg, title);
        open = shown;
        if (shown)
            es_svg_polyline_point(svg, es_axis_at(x, comparison->slots[p]),
                                  es_axis_at(y, regret[p]));
    }
    if (open)
        es_svg_polyline_end(svg, title);
}

static void put_key(es_svg *svg, const es_comparison *comparison, size_t r, double top)
{
    const es_compare_row *row = &comparison->rows[r];
    char class[32];
    char words[256];
    char number[ES_NUMBER_SIZE];
    (void)snprintf(class, sizeof class, "s%zu", r % ES_SERIES_COUNT);
    es_svg_rect(svg, LEFT, top - 9, 10, 10, 2, class, NULL);
    if (isfinite(row->slope))
        (void)snprintf(words, sizeof words, "%.44s, slope %s", row->policy,
                       es_show_number(row->slope, number));
    else
        (void)snprintf(words, sizeof words, "%.44s%s", row->policy,
                       row->regret[comparison->point_count - 1] <= 0 ? ", below the best fixed one"
                                                                     : "");
    es_svg_text(svg, LEFT + 16, top, "start", "tick", words, 0);
}

void es_chart_regret(const es_comparison *comparison, bool alone, es_text *out)
{
    double high = 0;
    for (size_t r = 0; r < comparison->row_count; r++)
        for (uint32_t p = 0; p < comparison->point_count; p++)
            if (isfinite(comparison->rows[r].regret[p]))
                high = fmax(high, comparison->rows[r].regret[p]);
    high = high > 0 ? high : 1;
    double height = HEIGHT + 18.0 * (double)comparison->row_count;
    if (alone)
        es_text_format(out,
                       "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%g\" "
                       "viewBox=\"0 0 %d %g\" role=\"img\"><title>Regret over slots</title>\n%s",
                       WIDTH, height, WIDTH, height, style);
    es_svg svg = alone ? (es_svg){.out = out, .width = WIDTH, .height = height}
                       : es_svg_begin(out, WIDTH, height, "Regret over slots");
    es_box box = {LEFT, TOP, WIDTH - RIGHT, HEIGHT - FOOT};
    es_axis x = es_axis_make(1, comparison->slot_count, box.left, box.right, true);
    es_axis y = es_axis_make(high / 1e4, high, box.bottom, box.top, true);
    char name[64];
    (void)snprintf(name, sizeof name, "regret, %.40s", comparison->cost_unit);
    es_svg_axis_x(&svg, &x, box, "slots");
    es_svg_axis_y(&svg, &y, box, name);
    for (size_t r = comparison->row_count; r-- > 0;) {
        char class[32];
        (void)snprintf(class, sizeof class, "line l%zu", r % ES_SERIES_COUNT);
        put_curve(&svg, comparison, comparison->rows[r].regret, class, comparison->rows[r].policy,
                  &x, &y);
        put_key(&svg, comparison, r, HEIGHT + 8 + 18.0 * (double)r);
    }
    es_svg_end(&svg);
}

void es_report_compare_svg(const es_comparison *comparison, es_text *out)
{
    es_chart_regret(comparison, true, out);
}

void es_chart_differences(const es_comparison *comparison, es_text *out)
{
    double low = 0;
    double high = 0;
    for (size_t r = 0; r < comparison->row_count; r++) {
        const es_interval *one = &comparison->rows[r].differences[ES_COMPARE_COST];
        double half = isfinite(one->ci95) ? one->ci95 : 0;
        if (!isfinite(one->mean))
            continue;
        low = fmin(low, one->mean - half);
        high = fmax(high, one->mean + half);
    }
    double room = 0.05 * fmax(high - low, 1e-12);
    double bottom = TOP + ROW * (double)comparison->row_count;
    es_svg svg = es_svg_begin(out, WIDTH, bottom + FOOT, "Cost against the first policy");
    es_box box = {LEFT + 110, TOP - 10, WIDTH - RIGHT, bottom};
    es_axis x = {.low = low - room, .high = high + room, .start = box.left, .end = box.right};
    double ticks[ES_TICK_MAX];
    es_axis span = es_axis_make(0, fmax(high - low, 1e-12), 0, 1, false);
    size_t count = es_axis_ticks(&span, 4, ticks);
    double step = count > 1 ? ticks[1] - ticks[0] : 1;
    for (double tick = ceil(x.low / step) * step; tick <= x.high; tick += step) {
        char number[ES_NUMBER_SIZE];
        double at = es_axis_at(&x, tick);
        es_svg_line(&svg, at, box.top, at, box.bottom, fabs(tick) < step / 2 ? "base" : "grid");
        es_svg_text(&svg, at, box.bottom + 16, "middle", "tick",
                    fabs(tick) < step / 2 ? "0" : es_show_number(tick, number), 0);
    }
    for (size_t r = 0; r < comparison->row_count; r++) {
        const es_interval *one = &comparison->rows[r].differences[ES_COMPARE_COST];
        double y = TOP + ROW * ((double)r + 0.4);
        char class[16];
        (void)snprintf(class, sizeof class, "s%zu", r % ES_SERIES_COUNT);
        es_svg_text(&svg, box.left - 8, y + 4, "end", "tick", comparison->rows[r].policy, 24);
        if (!isfinite(one->mean))
            continue;
        if (isfinite(one->ci95))
            es_svg_line(&svg, es_axis_at(&x, one->mean - one->ci95), y,
                        es_axis_at(&x, one->mean + one->ci95), y, "base");
        es_svg_circle(&svg, es_axis_at(&x, one->mean), y, 4, class, comparison->rows[r].policy);
    }
    es_svg_text(&svg, (box.left + box.right) / 2, box.bottom + 34, "middle", "name",
                "difference in cost per request", 0);
    es_svg_end(&svg);
}
