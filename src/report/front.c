/* A front as a picture of its own: two objectives as axes, the third as colour. */
#include "report/internal.h"

#include <math.h>

enum {
    WIDTH = 720,
    HEIGHT = 460,
    LEFT = 76,
    RIGHT = 150,
    TOP = 40,
    FOOT = 56,
    SHADES = 9,
    BOUND_STEPS = 200,
    NAME_SIZE = 64,
    REACH = 3 /* times the points' largest value: how far a case may lie to be drawn */
};

/* From few to much: a sequence that grows darker steadily, readable without colour vision. */
static const char style[] =
    "<style>svg{font-family:system-ui,sans-serif;background:#fff}"
    "text{fill:#1b2127;font-size:12px}.tick,.name{fill:#5a6672}text.tick{font-size:11px}"
    ".grid{stroke:#dde2e7}.base{stroke:#5a6672}"
    ".stair{fill:none;stroke:#6b7680;stroke-width:1.2}"
    ".bound{fill:none;stroke:#d55e00;stroke-width:1.5;stroke-dasharray:5 4}"
    "circle{stroke:#fff}.case{fill:none;stroke:#d55e00;stroke-width:2}"
    ".c0{fill:#fde725}.c1{fill:#aadc32}.c2{fill:#5ec962}.c3{fill:#27ad81}.c4{fill:#21918c}"
    ".c5{fill:#2c728e}.c6{fill:#3b528b}.c7{fill:#472d7b}.c8{fill:#440154}</style>\n";

/* What a picture shows beside the front. */
typedef struct es_view {
    double rate_rps; /* 0: sums per second; else means per request */
    const es_front_case *cases;
    size_t case_count;
} es_view;

/* How an objective is shown. */
typedef struct es_shown {
    double low, high; /* over the points, already scaled */
    double factor;    /* of the front's values */
    double each;      /* of a case's, which are per request */
    const char *unit;
    char name[NAME_SIZE];
} es_shown;

/* Per request, in a unit that leaves numbers people can read. */
static void show_each(es_shown *shown, es_measure measure, double rate_rps)
{
    static const struct {
        const char *name, *unit, *small;
        double factor, small_factor;
    } forms[ES_MEASURE_COUNT] = {
        [ES_MEASURE_LATENCY] = {"latency", "s", "ms", 1, 1e3},
        [ES_MEASURE_ENERGY] = {"energy per request", "J", "mJ", 1, 1e3},
        [ES_MEASURE_QUALITY] = {"quality lost", "%", "%", 100, 100},
        [ES_MEASURE_CARBON] = {"CO2e per request", "mg", "\xc2\xb5g", 1e3, 1e6},
    };
    bool small = shown->high / rate_rps * forms[measure].factor < 0.5;
    shown->each = small ? forms[measure].small_factor : forms[measure].factor;
    shown->factor = shown->each / rate_rps;
    shown->unit = small ? forms[measure].small : forms[measure].unit;
    (void)snprintf(shown->name, sizeof shown->name, "%s, %s", forms[measure].name, shown->unit);
}

static void show_sum(es_shown *shown, es_measure measure)
{
    static const char *const scaled[ES_MEASURE_COUNT] = {"ms/s", "mW", NULL, "mg/s"};
    shown->unit = es_measure_units[measure];
    if (shown->high < 0.5 && shown->high > 0 && scaled[measure] != NULL) {
        shown->factor = 1000;
        shown->unit = scaled[measure];
    }
    (void)snprintf(shown->name, sizeof shown->name, "%s%s, %s", es_measure_names[measure],
                   measure == ES_MEASURE_QUALITY ? " loss" : "", shown->unit);
}

static es_shown show_measure(const es_front *front, uint32_t k, double rate_rps)
{
    es_measure measure = front->measures[k];
    es_shown shown = {.low = (double)INFINITY, .high = -(double)INFINITY, .factor = 1, .each = 1};
    for (size_t i = 0; i < front->point_count; i++) {
        shown.low = fmin(shown.low, front->points[i].values[k]);
        shown.high = fmax(shown.high, front->points[i].values[k]);
    }
    if (front->point_count == 0)
        shown.low = shown.high = 0;
    if (rate_rps > 0)
        show_each(&shown, measure, rate_rps);
    else
        show_sum(&shown, measure);
    shown.low *= shown.factor;
    shown.high *= shown.factor;
    return shown;
}

/* 1, 2 or 5 times a power of ten, at least size. */
static double round_step(double size)
{
    double power = pow(10, floor(log10(size)));
    double digits = size / power;
    return digits <= 1 ? power : digits <= 2 ? 2 * power : digits <= 5 ? 5 * power : 10 * power;
}

/* A little room around the points, on round numbers; from 0 where that costs little room. */
static es_axis axis_of(const es_shown *shown, double start, double end)
{
    double room = 0.06 * (shown->high - shown->low);
    if (!(room > 1e-9 * fabs(shown->high)))
        room = shown->high > 0 ? 0.1 * shown->high : 1;
    double low = shown->low < 0.35 * shown->high ? 0 : shown->low - room;
    double step = round_step((shown->high + room - low) / 3.5);
    low = fmax(floor(low / step) * step, 0);
    double high = ceil((shown->high + room) / step) * step;
    return (es_axis){.low = low, .high = high, .start = start, .end = end};
}

static void put_legend(es_svg *svg, const es_shown *shown)
{
    char number[ES_NUMBER_SIZE];
    char class[16]; /* any int fits, which sanitizers ask */
    double left = WIDTH - RIGHT + 28;
    double step = (HEIGHT - TOP - FOOT) / (double)SHADES;
    for (int i = 0; i < SHADES; i++) {
        double top = HEIGHT - FOOT - (i + 1) * step;
        (void)snprintf(class, sizeof class, "c%d", i);
        es_svg_rect(svg, left, top, 16, step, 0, class, NULL);
    }
    es_svg_text(svg, left + 22, HEIGHT - FOOT, "start", "tick", es_show_number(shown->low, number),
                0);
    es_svg_text(svg, left + 22, TOP + 8, "start", "tick", es_show_number(shown->high, number), 0);
    es_svg_text(svg, left - 4, TOP - 12, "start", "name", shown->name, 0);
}

/* Between two objectives: what the points dominate, and below what no plan can be. */
static void put_steps(es_svg *svg, const es_front *front, const es_shown *shown, const es_axis *x,
                      const es_axis *y)
{
    es_svg_polyline_begin(svg, "stair");
    for (size_t i = 0; i < front->point_count; i++) {
        double at_x = es_axis_at(x, front->points[i].values[0] * shown[0].factor);
        if (i > 0)
            es_svg_polyline_point(svg, at_x,
                                  es_axis_at(y, front->points[i - 1].values[1] * shown[1].factor));
        es_svg_polyline_point(svg, at_x,
                              es_axis_at(y, front->points[i].values[1] * shown[1].factor));
    }
    es_svg_polyline_end(svg, "what the points attain");
    if (front->quality == ES_PLAN_OPTIMAL)
        return;
    es_svg_polyline_begin(svg, "bound");
    for (int i = 0; i <= BOUND_STEPS; i++) {
        double limits[ES_FRONT_MEASURES_MAX] = {0};
        limits[1] = (y->low + (y->high - y->low) * i / BOUND_STEPS) / shown[1].factor;
        double least = es_front_least(front, limits) * shown[0].factor;
        if (isfinite(least))
            es_svg_polyline_point(svg, es_axis_at(x, least),
                                  es_axis_at(y, limits[1] * shown[1].factor));
    }
    es_svg_polyline_end(svg, "no plan is left of or below this line");
}

static void put_points(es_svg *svg, const es_front *front, const es_shown *shown, const es_axis *x,
                       const es_axis *y)
{
    for (size_t i = 0; i < front->point_count; i++) {
        const double *values = front->points[i].values;
        char class[16];
        int shade = SHADES / 2 + 1;
        if (front->measure_count == 3 && shown[2].high > shown[2].low)
            shade = (int)((values[2] * shown[2].factor - shown[2].low) /
                          (shown[2].high - shown[2].low) * (SHADES - 1e-6));
        shade = shade < 0 ? 0 : shade >= SHADES ? SHADES - 1 : shade;
        (void)snprintf(class, sizeof class, "c%d", shade);
        es_text title;
        es_text_init(&title, 1024);
        es_text_format(&title, "point %zu;", i + 1);
        for (uint32_t k = 0; k < front->measure_count; k++) {
            char number[ES_NUMBER_SIZE];
            es_text_format(&title, "%s %s: %s", k > 0 ? ";" : "", shown[k].name,
                           es_show_number(values[k] * shown[k].factor, number));
        }
        es_svg_circle(svg, es_axis_at(x, values[0] * shown[0].factor),
                      es_axis_at(y, values[1] * shown[1].factor), 5, class, es_text_get(&title));
        es_text_done(&title);
    }
}

/* A case far beyond the points would leave them no room. */
static bool in_reach(const es_front_case *one, const es_shown *shown)
{
    for (int k = 0; k < 2; k++)
        if (!(one->values[k] * shown[k].each <= REACH * shown[k].high))
            return false;
    return true;
}

static void make_room(const es_view *view, es_shown *shown)
{
    double low[2] = {shown[0].low, shown[1].low};
    double high[2] = {shown[0].high, shown[1].high};
    for (size_t i = 0; i < view->case_count; i++)
        for (int k = 0; k < 2 && in_reach(&view->cases[i], shown); k++) {
            low[k] = fmin(low[k], view->cases[i].values[k] * shown[k].each);
            high[k] = fmax(high[k], view->cases[i].values[k] * shown[k].each);
        }
    for (int k = 0; k < 2; k++) {
        shown[k].low = low[k];
        shown[k].high = high[k];
    }
}

static void put_case(es_svg *svg, const es_front_case *one, const es_shown *shown, double x,
                     double y, bool below)
{
    char title[256];
    char numbers[2][ES_NUMBER_SIZE];
    for (int k = 0; k < 2; k++)
        es_show_number(one->values[k] * shown[k].each, numbers[k]);
    (void)snprintf(title, sizeof title, "%s; %s: %s; %s: %s", one->label, shown[0].name, numbers[0],
                   shown[1].name, numbers[1]);
    es_svg_circle(svg, x, y, 7, "case", title);
    es_svg_text(svg, x + 11, below ? y + 16 : y - 7, "start", "name", one->label, 40);
}

/* Rings, their names above and below by turns: a case often lies by the one that it is held
 * against. Those out of reach are named above the picture; reach: before room was made. */
static void put_cases(es_svg *svg, const es_view *view, const es_shown *reach,
                      const es_shown *shown, const es_axis *x, const es_axis *y)
{
    es_text far;
    es_text_init(&far, 4096);
    for (size_t i = 0; i < view->case_count; i++) {
        const es_front_case *one = &view->cases[i];
        if (in_reach(one, reach)) {
            put_case(svg, one, shown, es_axis_at(x, one->values[0] * shown[0].each),
                     es_axis_at(y, one->values[1] * shown[1].each), i % 2 == 1);
            continue;
        }
        char numbers[2][ES_NUMBER_SIZE];
        for (int k = 0; k < 2; k++)
            es_show_number(one->values[k] * shown[k].each, numbers[k]);
        es_text_format(&far, "%s%s (%s %s, %s %s)", far.size > 0 ? "; " : "outside: ", one->label,
                       numbers[0], shown[0].unit, numbers[1], shown[1].unit);
    }
    if (far.size > 0)
        es_svg_text(svg, WIDTH - 8, TOP - 12, "end", "name", es_text_get(&far), 0);
    es_text_done(&far);
}

static void put_front(const es_front *front, const es_view *view, es_text *out)
{
    es_shown shown[ES_FRONT_MEASURES_MAX];
    for (uint32_t k = 0; k < front->measure_count; k++)
        shown[k] = show_measure(front, k, view->rate_rps);
    const es_shown reach[2] = {shown[0], shown[1]};
    make_room(view, shown);
    es_text_format(out,
                   "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                   "viewBox=\"0 0 %d %d\" role=\"img\"><title>",
                   WIDTH, HEIGHT, WIDTH, HEIGHT);
    es_put_html(out, front->scenario, 0);
    es_text_format(out, ": %zu points</title>\n%s", front->point_count, style);
    es_svg svg = {.out = out, .width = WIDTH, .height = HEIGHT};
    es_box box = {LEFT, TOP, WIDTH - RIGHT, HEIGHT - FOOT};
    es_axis x = axis_of(&shown[0], box.left, box.right);
    es_axis y = axis_of(&shown[1], box.bottom, box.top);
    es_svg_axis_x(&svg, &x, box, shown[0].name);
    es_svg_axis_y(&svg, &y, box, shown[1].name);
    if (front->measure_count == 2 && front->point_count > 0)
        put_steps(&svg, front, shown, &x, &y);
    put_points(&svg, front, shown, &x, &y);
    put_cases(&svg, view, reach, shown, &x, &y);
    if (front->measure_count == 3 && front->point_count > 0)
        put_legend(&svg, &shown[2]);
    es_svg_end(&svg);
}

void es_report_front(const es_front *front, es_text *out)
{
    const es_view view = {.rate_rps = 0};
    put_front(front, &view, out);
}

void es_report_front_each(const es_front *front, double rate_rps, const es_front_case *cases,
                          size_t case_count, es_text *out)
{
    const es_view view = {.rate_rps = rate_rps, .cases = cases, .case_count = case_count};
    put_front(front, &view, out);
}
