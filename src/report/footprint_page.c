/* Footprints as a picture and as a page. */
#include "report/footprint.h"

#include <math.h>

enum {
    WIDTH = 720,
    LEFT = 172,
    RIGHT = 92,
    ROW = 34,
    TOP = 44,
    BAR = 16,
    FOOT = 46,
    PARTS = 6,
    CASES_SHOWN = 16
};

static const char style[] =
    "<style>svg{font-family:system-ui,sans-serif;background:#fff}"
    "text{fill:#1b2127;font-size:12px}.tick,.name{fill:#5a6672}text.tick{font-size:11px}"
    ".grid{stroke:#dde2e7}.base{stroke:#5a6672}.range{stroke:#1b2127;stroke-width:1.4}"
    ".p0{fill:#56b4e9}.p1{fill:#009e73}.p2{fill:#e69f00}.p3{fill:#0072b2}.p4{fill:#c6ced5}"
    ".p5{fill:#a94f86}</style>\n";

static const char *const part_names[PARTS] = {"device", "edge", "network",
                                              "cloud",  "idle", "making"};

/* What a chart shows of each case: joules or grams. */
typedef struct es_bars {
    const es_report_footprints *report;
    es_foot_figure figure; /* ES_FOOT_ENERGY or ES_FOOT_GWP */
    double factor;
    char unit[32];
} es_bars;

/* Of a row, per year or whatever it counts. */
static double row_value(const es_bars *bars, const es_footprint_row *row, int part)
{
    bool energy = bars->figure == ES_FOOT_ENERGY;
    if (part < 4)
        return (int)row->part != part ? 0
               : energy               ? row->dynamic_kwh.value * ES_JOULES_PER_KWH
                                      : row->dynamic.of[ES_CRITERION_GWP].value;
    if (part == 4)
        return energy ? row->idle_kwh.value * ES_JOULES_PER_KWH
                      : row->idle.of[ES_CRITERION_GWP].value;
    return energy ? 0 : row->embodied.of[ES_CRITERION_GWP].value;
}

/* Per unit, of one part of a case's bar. */
static double part_value(const es_bars *bars, const es_footprint *footprint, int part)
{
    double sum = 0;
    for (size_t i = 0; i < footprint->row_count; i++)
        sum += row_value(bars, &footprint->rows[i], part);
    return footprint->frame.units > 0 ? sum / footprint->frame.units : (double)NAN;
}

static void put_range(const es_axis *axis, double low, double high, double y, es_svg *svg)
{
    double left = es_axis_at(axis, low);
    double right = es_axis_at(axis, high);
    es_svg_line(svg, left, y, right, y, "range");
    es_svg_line(svg, left, y - 3, left, y + 3, "range");
    es_svg_line(svg, right, y - 3, right, y + 3, "range");
}

static void put_bar(const es_bars *bars, const es_report_footprint_case *one, const es_axis *axis,
                    double top, es_svg *svg)
{
    double at = 0;
    char number[ES_NUMBER_SIZE];
    char words[ES_NUMBER_SIZE + 40];
    es_svg_text(svg, LEFT - 8, top + 12, "end", "label", one->label, 22);
    for (int p = 0; p < PARTS; p++) {
        double value = part_value(bars, one->footprint, p) * bars->factor;
        char class[16];
        char title[160];
        if (!(value > 0))
            continue;
        (void)snprintf(class, sizeof class, "p%d", p);
        (void)snprintf(title, sizeof title, "%s: %s %s", part_names[p],
                       es_show_number(value, number), bars->unit);
        double start = es_axis_at(axis, at);
        at += value;
        es_svg_rect(svg, start, top, es_axis_at(axis, at) - start, BAR, 0, class, title);
    }
    es_estimate whole = es_foot_value(one->footprint, bars->figure);
    if (es_estimate_known(whole) && whole.high > whole.low)
        put_range(axis, whole.low * bars->factor, whole.high * bars->factor, top + BAR + 4, svg);
    (void)snprintf(words, sizeof words, "%s %s", es_show_number(whole.value * bars->factor, number),
                   bars->unit);
    es_svg_text(svg, es_axis_at(axis, at) + 8, top + 12, "start", "name", words, 0);
}

static void put_legend(const es_bars *bars, es_svg *svg)
{
    double x = LEFT;
    for (int p = 0; p < PARTS; p++) {
        double largest = 0;
        for (size_t i = 0; i < bars->report->case_count; i++)
            largest = fmax(largest, part_value(bars, bars->report->cases[i].footprint, p));
        if (!(largest > 0))
            continue;
        char class[16];
        (void)snprintf(class, sizeof class, "p%d", p);
        es_svg_rect(svg, x, 14, 11, 11, 0, class, NULL);
        es_svg_text(svg, x + 16, 24, "start", "name", part_names[p], 0);
        x += 84;
    }
}

static void put_chart(const es_report_footprints *report, es_foot_figure figure, es_text *out)
{
    es_bars bars = {.report = report, .figure = figure};
    bars.factor = es_foot_scale(report, figure, bars.unit);
    char name[96];
    double highest = 0;
    double height = TOP + ROW * (double)report->case_count + FOOT;
    for (size_t i = 0; i < report->case_count; i++) {
        es_estimate value = es_foot_value(report->cases[i].footprint, figure);
        if (es_estimate_known(value))
            highest = fmax(highest, value.high * bars.factor);
    }
    es_text_format(out,
                   "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%g\" "
                   "viewBox=\"0 0 %d %g\" role=\"img\"><title>",
                   WIDTH, height, WIDTH, height);
    es_put_html(out, report->title, 0);
    es_text_format(out, ": %s by place and cause</title>\n%s", es_foot_figures[figure].name, style);
    es_svg svg = {.out = out, .width = WIDTH, .height = height};
    es_box box = {LEFT, TOP - 6, WIDTH - RIGHT, height - FOOT};
    es_axis axis = es_axis_make(0, highest > 0 ? highest : 1, box.left, box.right, false);
    (void)snprintf(
        name, sizeof name, "%s per %s, %s; line: low to high", es_foot_figures[figure].name,
        report->case_count > 0 ? report->cases[0].footprint->frame.unit : "unit", bars.unit);
    es_svg_axis_x(&svg, &axis, box, name);
    put_legend(&bars, &svg);
    for (size_t i = 0; i < report->case_count; i++)
        put_bar(&bars, &report->cases[i], &axis, TOP + ROW * (double)i, &svg);
    es_text_append(out, "</svg>\n");
}

void es_report_footprint_svg(const es_report_footprints *report, es_text *out)
{
    put_chart(report, ES_FOOT_GWP, out);
}

/* ---- page ---- */

static void put_value(es_estimate value, double factor, es_text *out)
{
    char number[ES_NUMBER_SIZE];
    es_text_append(out, "<td class=\"n\">");
    es_put_html(out, es_show_number(value.value * factor, number), 0);
    if (es_estimate_known(value) && value.high > value.low) {
        es_text_append(out, " <span class=\"hint\">");
        es_put_html(out, es_show_number(value.low * factor, number), 0);
        es_text_append(out, " to ");
        es_put_html(out, es_show_number(value.high * factor, number), 0);
        es_text_append(out, "</span>");
    }
    es_text_append(out, "</td>");
}

static void put_table(const es_report_footprints *report, es_text *out)
{
    es_text_append(out, "<div class=\"scroll\"><table><thead><tr><td></td>");
    for (size_t i = 0; i < report->case_count; i++) {
        es_text_append(out, "<th scope=\"col\" class=\"n\">");
        es_put_html(out, report->cases[i].label, 0);
        es_text_append(out, "</th>");
    }
    es_text_append(out, "</tr></thead>\n<tbody><tr><th scope=\"row\">requests served</th>");
    for (size_t i = 0; i < report->case_count; i++) {
        char words[ES_FOOT_SERVED_SIZE];
        es_text_format(out, "<td class=\"n\">%s</td>", es_foot_served(&report->cases[i], words));
    }
    es_text_append(out, "</tr>\n<tr><th scope=\"row\">mean quality, %</th>");
    for (size_t i = 0; i < report->case_count; i++)
        put_value(es_estimate_exact(report->cases[i].quality), 100, out);
    es_text_append(out, "</tr>\n");
    for (int f = 0; f < ES_FOOT_FIGURE_COUNT; f++) {
        char unit[32];
        if (!es_foot_shows(report, (es_foot_figure)f))
            continue;
        double factor = es_foot_scale(report, (es_foot_figure)f, unit);
        es_text_format(out, "<tr%s><th scope=\"row\">%s, %s</th>",
                       es_foot_figures[f].part ? " class=\"part\"" : "", es_foot_figures[f].name,
                       unit);
        for (size_t i = 0; i < report->case_count; i++)
            put_value(es_foot_value(report->cases[i].footprint, (es_foot_figure)f), factor, out);
        es_text_append(out, "</tr>\n");
    }
    es_text_append(out, "</tbody></table></div>\n");
}

/* Lines of words become lines of the item. */
static void put_item(const char *words, es_text *out)
{
    char line[512];
    es_text_append(out, "<li>");
    while (*words != '\0') {
        size_t size = strcspn(words, "\n");
        (void)snprintf(line, sizeof line, "%.*s", (int)(size < 500 ? size : 500), words);
        es_put_html(out, line, 0);
        words += size;
        words += *words == '\n';
        es_text_append(out, *words != '\0' ? "<br/>" : "");
    }
    es_text_append(out, "</li>\n");
}

static void put_savings(const es_report_footprints *report, es_text *out)
{
    es_text line;
    es_text_init(&line, (size_t)1 << 16);
    es_text_append(out, "<ul>\n");
    for (size_t i = 0; i < report->saving_count; i++) {
        es_text_clear(&line);
        es_foot_saving(report, &report->savings[i], &line);
        put_item(es_text_get(&line), out);
    }
    for (size_t i = 0; i < report->case_count; i++) {
        if (report->cases[i].note == NULL)
            continue;
        es_text_clear(&line);
        es_text_format(&line, "%s: %s", report->cases[i].label, report->cases[i].note);
        put_item(es_text_get(&line), out);
    }
    es_text_append(out, "</ul>\n");
    es_text_done(&line);
}

static void put_method(const es_report_footprints *report, es_text *out)
{
    const es_footprint_frame *frame = &report->cases[0].footprint->frame;
    es_text line;
    es_text_init(&line, (size_t)1 << 16);
    es_footprint_boundary_text(frame->boundary, &line);
    es_text_append(out, "<h2>What is counted, and from where</h2>\n<p>Boundary: ");
    es_put_html(out, es_text_get(&line), 0);
    es_text_append(out, ". With embodied in it, CO2e per unit is the SCI score (ISO/IEC "
                        "21031). Low and high take all "
                        "factors at their ends together; a factor without stated bounds has "
                        "none.</p>\n<ul>\n");
    for (size_t i = 0; i < frame->source_count; i++)
        put_item(frame->sources[i], out);
    es_text_append(out, "</ul>\n");
    es_text_done(&line);
}

/* Every case whose joules and quality are known beside the front. */
static void put_front(const es_report_footprints *report, es_text *out)
{
    es_front_case cases[CASES_SHOWN] = {{0}};
    size_t count = 0;
    for (size_t i = 0; i < report->case_count && count < CASES_SHOWN; i++) {
        const es_report_footprint_case *one = &report->cases[i];
        if (isfinite(one->plain_j) && isfinite(one->quality))
            cases[count++] = (es_front_case){one->label, {one->plain_j, 1 - one->quality}};
    }
    es_text_append(out, "<h2>Energy against quality: the Pareto front</h2>\n<p>Each dot is a plan "
                        "that serves every request within the scenario's limits; none is better "
                        "than another in both respects. ");
    if (report->front->quality != ES_PLAN_OPTIMAL)
        es_text_append(out, "No plan can lie below or left of the dashed line. ");
    es_text_append(out, "Rings are the cases above, which may serve fewer requests or ignore a "
                        "limit, as said there. Joules here are those of the equipment, without "
                        "cooling.</p>\n");
    es_report_front_each(report->front, report->rate_rps, cases, count, out);
}

void es_report_footprint_html(const es_report_footprints *report, es_text *out)
{
    if (report->case_count == 0)
        return;
    es_page_open(report->title, ": footprint", out);
    es_text_append(out, "<main>\n<h1>");
    es_put_html(out, report->title, 0);
    es_text_append(out, "</h1>\n<p class=\"lead\">Footprint per ");
    es_put_html(out, report->cases[0].footprint->frame.unit, 0);
    es_text_append(out, "</p>\n");
    put_table(report, out);
    put_savings(report, out);
    es_text_append(out, "<h2>Where it goes</h2>\n");
    put_chart(report, ES_FOOT_ENERGY, out);
    put_chart(report, ES_FOOT_GWP, out);
    if (report->front != NULL && report->front->point_count > 0)
        put_front(report, out);
    put_method(report, out);
    if (report->made_by != NULL) {
        es_text_append(out, "<footer>");
        es_put_html(out, report->made_by, 0);
        es_text_append(out, "</footer>\n");
    }
    es_text_append(out, "</main></body></html>\n");
}
