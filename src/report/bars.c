/* Bars lying on their side: names of cases are long, and read from the left. */
#include "report/internal.h"

#include <math.h>

enum { WIDTH = 460, LEFT = 118, RIGHT = 64, TOP = 12, BAR = 13, GAP = 3, CASE_GAP = 16, FOOT = 44 };

/* One bar of a case: a figure on one side. */
typedef struct es_bar {
    es_figure figure;
    const char *name; /* "mean", "p95"; NULL: none */
} es_bar;

static size_t sides_of(const es_report *report, es_side sides[ES_SIDE_COUNT])
{
    size_t count = 0;
    for (int s = 0; s < ES_SIDE_COUNT; s++) {
        if (es_report_has(report, (es_side)s))
            sides[count++] = (es_side)s;
    }
    return count;
}

static void put_bar(es_svg *svg, const es_report_case *one, size_t i, es_side side, es_bar drawn,
                    const es_axis *axis, es_scale scale, double y)
{
    char number[ES_NUMBER_SIZE];
    char title[192];
    char class[32];
    double value = es_figure_value(es_case_outcome(one, side), drawn.figure);
    es_show_number(value * scale.factor, number);
    if (!isfinite(value)) {
        es_svg_text(svg, LEFT + 4, y + BAR - 3, "start", "tick", number, 0);
        return;
    }
    (void)snprintf(title, sizeof title, "%.80s, %s, %s: %s %s", one->label, es_side_names[side],
                   es_figures[drawn.figure].name, number, scale.unit);
    (void)snprintf(class, sizeof class, "%s s%zu", es_side_names[side], i % ES_SERIES_COUNT);
    double end = es_axis_at(axis, value * scale.factor);
    es_svg_rect(svg, LEFT, y, fmax(end - LEFT, 1), BAR, 2, class, title);
    if (drawn.name != NULL && end - LEFT > 44)
        es_svg_text(svg, LEFT + 5, y + BAR - 3, "start",
                    side == ES_SIDE_MEASURED ? "inbar" : "inbar-light", drawn.name, 0);
    else if (drawn.name != NULL) {
        (void)snprintf(title, sizeof title, "%s %s", number, drawn.name);
        es_svg_text(svg, end + 5, y + BAR - 3, "start", "value", title, 0);
        return;
    }
    es_svg_text(svg, end + 5, y + BAR - 3, "start", "value", number, 0);
}

static void put_case_name(es_svg *svg, const es_report_case *one, double y)
{
    es_svg_text(svg, LEFT - 10, y, "end", "label", one->label, 17);
}

static void chart_bars(const es_report *report, es_text *out, const char *title, const es_bar *bars,
                       size_t bar_count, es_scale scale, double largest)
{
    es_side sides[ES_SIDE_COUNT];
    size_t side_count = sides_of(report, sides);
    double per_case = (double)(bar_count * side_count) * (BAR + GAP);
    double height = TOP + (per_case + CASE_GAP) * (double)report->case_count + FOOT;
    es_svg svg = es_svg_begin(out, WIDTH, height, title);
    es_axis axis = es_axis_make(0, largest, LEFT, WIDTH - RIGHT, false);
    es_box box = {LEFT, TOP, WIDTH - RIGHT, height - FOOT};
    es_svg_axis_x(&svg, &axis, box, scale.unit);
    double y = TOP + CASE_GAP / 2.0;
    for (size_t i = 0; i < report->case_count; i++) {
        put_case_name(&svg, &report->cases[i], y + per_case / 2 + 3);
        for (size_t b = 0; b < bar_count; b++) {
            for (size_t s = 0; s < side_count; s++) {
                put_bar(&svg, &report->cases[i], i, sides[s], bars[b], &axis, scale, y);
                y += BAR + GAP;
            }
        }
        y += CASE_GAP;
    }
    es_svg_end(&svg);
}

void es_chart_latency(const es_report *report, es_text *out)
{
    static const es_bar bars[] = {{ES_FIGURE_LATENCY_MEAN, "mean"}, {ES_FIGURE_LATENCY_P95, "p95"}};
    double largest = fmax(es_report_largest(report, ES_FIGURE_LATENCY_P95),
                          es_report_largest(report, ES_FIGURE_LATENCY_MEAN));
    es_scale scale = es_scale_of(ES_UNIT_S, largest);
    chart_bars(report, out, "Latency of each case, mean and 95th percentile", bars, 2, scale,
               largest * scale.factor);
}

void es_chart_quality(const es_report *report, es_text *out)
{
    static const es_bar bars[] = {{ES_FIGURE_QUALITY, NULL}};
    chart_bars(report, out, "Mean quality of the answers of each case", bars, 1,
               es_scale_of(ES_UNIT_SHARE, 1), 100);
}

/* Compute, network and idle joules end to end. */
static void put_stack(es_svg *svg, const es_report_case *one, es_side side, const es_axis *axis,
                      es_scale scale, double y)
{
    static const es_figure parts[] = {ES_FIGURE_ENERGY_COMPUTE, ES_FIGURE_ENERGY_NETWORK,
                                      ES_FIGURE_ENERGY_IDLE};
    static const char *const classes[] = {"e-compute", "e-network", "e-idle"};
    const es_outcome *outcome = es_case_outcome(one, side);
    char number[ES_NUMBER_SIZE];
    char title[192];
    char class[64];
    double sum = 0;
    for (size_t p = 0; p < sizeof parts / sizeof parts[0]; p++) {
        double value = es_figure_value(outcome, parts[p]) * scale.factor;
        if (!isfinite(value))
            continue;
        double start = es_axis_at(axis, sum);
        double end = es_axis_at(axis, sum + value);
        (void)snprintf(title, sizeof title, "%.80s, %s, %s: %s %s per request", one->label,
                       es_side_names[side], es_figures[parts[p]].name,
                       es_show_number(value, number), scale.unit);
        (void)snprintf(class, sizeof class, "%s %s", es_side_names[side], classes[p]);
        es_svg_rect(svg, start, y, end - start, BAR, 0, class, title);
        sum += value;
    }
    es_show_number(es_figure_value(outcome, ES_FIGURE_ENERGY) * scale.factor, number);
    es_svg_text(svg, es_axis_at(axis, sum) + 5, y + BAR - 3, "start", "value", number, 0);
}

void es_chart_energy(const es_report *report, es_text *out)
{
    es_side sides[ES_SIDE_COUNT];
    size_t side_count = sides_of(report, sides);
    double largest = es_report_largest(report, ES_FIGURE_ENERGY);
    es_scale scale = es_scale_of(ES_UNIT_J, largest);
    double per_case = (double)side_count * (BAR + GAP);
    double height = TOP + (per_case + CASE_GAP) * (double)report->case_count + FOOT;
    char name[64];
    es_svg svg = es_svg_begin(out, WIDTH, height, "Energy per request of each case, by place");
    es_axis axis = es_axis_make(0, largest * scale.factor, LEFT, WIDTH - RIGHT, false);
    (void)snprintf(name, sizeof name, "%s per request", scale.unit);
    es_svg_axis_x(&svg, &axis, (es_box){LEFT, TOP, WIDTH - RIGHT, height - FOOT}, name);
    double y = TOP + CASE_GAP / 2.0;
    for (size_t i = 0; i < report->case_count; i++) {
        put_case_name(&svg, &report->cases[i], y + per_case / 2 + 3);
        for (size_t s = 0; s < side_count; s++) {
            put_stack(&svg, &report->cases[i], sides[s], &axis, scale, y);
            y += BAR + GAP;
        }
        y += CASE_GAP;
    }
    es_svg_end(&svg);
}

/* ---- how busy the nodes of the first case are ---- */

enum { NODES_MAX = 12 };

/* Busy seconds over processor seconds observed; NAN for a node of which nothing was recorded. */
static double node_load(const es_report *report, const es_outcome *outcome, uint32_t node)
{
    double busy_s = 0;
    double duration_s = 0;
    if (outcome == NULL || node >= outcome->node_count)
        return (double)NAN;
    for (uint32_t s = 0; s < outcome->slot_count; s++) {
        const es_node_use *use = &outcome->node_uses[(size_t)s * outcome->node_count + node];
        busy_s += use->busy_s;
        duration_s += use->duration_s;
    }
    double processors = es_network_node(report->scenario->network, (es_node_id){node})->processors;
    return duration_s > 0 ? busy_s / duration_s / fmax(processors, 1) : (double)NAN;
}

static void put_load(es_svg *svg, const es_report *report, uint32_t node, const es_side *sides,
                     size_t side_count, const es_axis *axis, double y)
{
    const char *name = es_network_node(report->scenario->network, (es_node_id){node})->name;
    es_svg_text(svg, LEFT - 10, y + (double)side_count * (BAR + GAP) / 2 + 3, "end", "label", name,
                17);
    for (size_t s = 0; s < side_count; s++) {
        char number[ES_NUMBER_SIZE];
        char title[256];
        char class[32];
        double load = 100 * node_load(report, es_case_outcome(&report->cases[0], sides[s]), node);
        es_show_number(load, number);
        (void)snprintf(title, sizeof title, "%.128s, %s: %s %% busy", name, es_side_names[sides[s]],
                       number);
        (void)snprintf(class, sizeof class, "%s s0", es_side_names[sides[s]]);
        double end = es_axis_at(axis, isfinite(load) ? load : 0);
        if (isfinite(load))
            es_svg_rect(svg, LEFT, y, fmax(end - LEFT, 1), BAR, 2, class, title);
        es_svg_text(svg, end + 5, y + BAR - 3, "start", "value", number, 0);
        y += BAR + GAP;
    }
}

void es_chart_load(const es_report *report, es_text *out)
{
    es_side sides[ES_SIDE_COUNT];
    size_t side_count = 0;
    uint32_t nodes[NODES_MAX];
    size_t node_count = 0;
    const es_report_case *first = &report->cases[0];
    for (int s = 0; s < ES_SIDE_COUNT; s++) {
        if (es_case_outcome(first, (es_side)s) != NULL)
            sides[side_count++] = (es_side)s;
    }
    for (uint32_t v = 0; v < es_network_node_count(report->scenario->network); v++) {
        if (node_count < NODES_MAX && (isfinite(node_load(report, first->predicted, v)) ||
                                       isfinite(node_load(report, first->measured, v))))
            nodes[node_count++] = v;
    }
    double per_node = (double)side_count * (BAR + GAP);
    double height = TOP + (per_node + CASE_GAP) * (double)node_count + FOOT;
    es_svg svg = es_svg_begin(out, WIDTH, height, "Busy share of each node in the first case");
    es_axis axis = {.high = 100, .start = LEFT, .end = WIDTH - RIGHT};
    es_svg_axis_x(&svg, &axis, (es_box){LEFT, TOP, WIDTH - RIGHT, height - FOOT}, "% busy");
    for (size_t i = 0; i < node_count; i++)
        put_load(&svg, report, nodes[i], sides, side_count, &axis,
                 TOP + CASE_GAP / 2.0 + (per_node + CASE_GAP) * (double)i);
    es_svg_end(&svg);
}
