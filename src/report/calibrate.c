/* A reliability diagram: accuracy against confidence, bin by bin, and how many samples lie where.
 */
#include "report/internal.h"

enum { WIDTH = 460, HEIGHT = 430, LEFT = 56, RIGHT = 16, TOP = 44, PLANE = 330, FOOT = 44 };

static const char style[] =
    "<style>svg{font-family:system-ui,sans-serif;background:#fff}"
    "text{fill:#1b2127;font-size:12px}.tick,.name{fill:#5a6672}text.tick{font-size:11px}"
    ".grid{stroke:#dde2e7}.base{stroke:#5a6672}.even{stroke:#5a6672;stroke-dasharray:5 4}"
    ".before{fill:#b9c2ca}.after{fill:#0072b2}.spread{stroke:#0072b2;stroke-opacity:.5}"
    ".mass{fill:#0072b2;fill-opacity:.35}</style>\n";

static void put_dots(es_svg *svg, const es_reliability *r, const es_axis *x, const es_axis *y,
                     const char *class, bool spread)
{
    char title[160];
    for (size_t b = 0; b < r->bin_count; b++) {
        const es_reliability_bin *bin = &r->bins[b];
        if (bin->count == 0)
            continue;
        double at = es_axis_at(x, bin->confidence);
        if (spread)
            es_svg_line(svg, at, es_axis_at(y, bin->accuracy.low), at,
                        es_axis_at(y, bin->accuracy.high), "spread");
        (void)snprintf(title, sizeof title, "confidence %.3f, accuracy %.3f (%.3f to %.3f), %zu",
                       bin->confidence, bin->accuracy.value, bin->accuracy.low, bin->accuracy.high,
                       bin->count);
        es_svg_circle(svg, at, es_axis_at(y, bin->accuracy.value), spread ? 4.5 : 3.5, class,
                      title);
    }
}

static void put_mass(es_svg *svg, const es_reliability *r, const es_axis *x)
{
    size_t most = 1;
    double floor_y = HEIGHT - FOOT;
    double height = HEIGHT - FOOT - PLANE - 12;
    for (size_t b = 0; b < r->bin_count; b++)
        most = r->bins[b].count > most ? r->bins[b].count : most;
    for (size_t b = 0; b < r->bin_count; b++) {
        const es_reliability_bin *bin = &r->bins[b];
        double left = es_axis_at(x, bin->low);
        double tall = height * (double)bin->count / (double)most;
        char title[64];
        (void)snprintf(title, sizeof title, "%zu samples", bin->count);
        es_svg_rect(svg, left + 0.5, floor_y - tall, es_axis_at(x, bin->high) - left - 1, tall, 0,
                    "mass", title);
    }
    es_svg_line(svg, LEFT, floor_y, WIDTH - RIGHT, floor_y, "base");
    es_svg_text(svg, LEFT - 6, floor_y - height / 2, "end", "tick", "samples", 0);
}

void es_report_reliability(const char *title, const es_reliability *before,
                           const es_reliability *after, es_text *out)
{
    char words[160];
    es_text_format(out,
                   "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                   "viewBox=\"0 0 %d %d\" role=\"img\"><title>Reliability of ",
                   WIDTH, HEIGHT, WIDTH, HEIGHT);
    es_put_html(out, title, 0);
    es_text_format(out, "</title>\n%s", style);
    es_svg svg = {.out = out, .width = WIDTH, .height = HEIGHT};
    es_box box = {LEFT, TOP, WIDTH - RIGHT, PLANE};
    es_box foot = {LEFT, PLANE, WIDTH - RIGHT, HEIGHT - FOOT};
    es_axis x = {.high = 1, .start = LEFT, .end = WIDTH - RIGHT};
    es_axis y = {.high = 1, .start = PLANE, .end = TOP};
    es_svg_text(&svg, LEFT, 16, "start", "value", title, 48);
    (void)snprintf(words, sizeof words,
                   "ECE %.4f before (grey), %.4f calibrated (blue; %.4f by "
                   "chance)",
                   before->ece.value, after->ece.value, after->ece_chance);
    es_svg_text(&svg, LEFT, 33, "start", "tick", words, 0);
    es_svg_axis_y(&svg, &y, box, "");
    es_svg_axis_x(&svg, &x, foot, "confidence (points: share of right answers at that confidence)");
    es_svg_line(&svg, es_axis_at(&x, 0), es_axis_at(&y, 0), es_axis_at(&x, 1), es_axis_at(&y, 1),
                "even");
    put_mass(&svg, after, &x);
    put_dots(&svg, before, &x, &y, "before", false);
    put_dots(&svg, after, &x, &y, "after", true);
    es_svg_end(&svg);
}
