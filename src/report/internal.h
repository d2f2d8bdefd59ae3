/*
 * report/internal: figures, words and drawing that the tables, the page and the charts share.
 */
#ifndef ES_REPORT_INTERNAL_H
#define ES_REPORT_INTERNAL_H

#include "report/report.h"

/* ---- figures.c: what a case is measured by ---- */

typedef enum es_side { ES_SIDE_PREDICTED, ES_SIDE_MEASURED, ES_SIDE_COUNT } es_side;
extern const char *const es_side_names[ES_SIDE_COUNT];

typedef enum es_figure {
    ES_FIGURE_LATENCY_MEAN,
    ES_FIGURE_LATENCY_P95,
    ES_FIGURE_LATENCY_P99,
    ES_FIGURE_QUALITY,
    ES_FIGURE_LATE,
    ES_FIGURE_FAILED,
    ES_FIGURE_REFUSED,
    ES_FIGURE_IN_FLIGHT,
    ES_FIGURE_ENERGY,
    ES_FIGURE_ENERGY_COMPUTE,
    ES_FIGURE_ENERGY_NETWORK,
    ES_FIGURE_ENERGY_IDLE,
    ES_FIGURE_CARBON,
    ES_FIGURE_OBJECTIVE,
    ES_FIGURE_COUNT
} es_figure;

typedef enum es_unit { ES_UNIT_S, ES_UNIT_SHARE, ES_UNIT_J, ES_UNIT_G, ES_UNIT_COST } es_unit;

typedef struct es_figure_info {
    const char *name;
    es_unit unit;
    bool part; /* of the figure above it: shown indented */
} es_figure_info;
extern const es_figure_info es_figures[ES_FIGURE_COUNT];

/* Per served request where that makes sense; shares are of the arrived. NAN when there is none or
 * outcome is NULL. */
double es_figure_value(const es_outcome *outcome, es_figure figure);

const es_outcome *es_case_outcome(const es_report_case *one, es_side side);

/* The measured one if there is one, else the predicted one; NULL when there is neither. */
const es_outcome *es_case_best(const es_report_case *one);

/* The note, else what stands in the way of the plan; NULL when there is nothing to say. */
const char *es_case_note(const es_report_case *one);

/* Whether any case has an outcome on this side. */
bool es_report_has(const es_report *report, es_side side);

/* Whether the figure is worth a row: unfinished requests only when there are some. */
bool es_report_shows(const es_report *report, es_figure figure);

/* Largest finite magnitude of a figure over all cases and sides; 0 when there is none. */
double es_report_largest(const es_report *report, es_figure figure);

const char *es_report_title(const es_report *report);

/* ---- words.c: numbers and names as people read them ---- */

/* Multiply by factor to show in unit, e.g. 1000 and "ms". */
typedef struct es_scale {
    double factor;
    const char *unit;
} es_scale;
es_scale es_scale_of(es_unit unit, double largest);

enum { ES_NUMBER_SIZE = 32 };
#define ES_DASH "\xe2\x80\x93" /* en dash: nothing to show */

/* Three significant digits without an exponent where people can read it; the dash for NaN and
 * infinities. */
const char *es_show_number(double value, char out[ES_NUMBER_SIZE]);

/* Number, a space, unit: scaled by itself. */
const char *es_show_quantity(double value, es_unit unit, char out[ES_NUMBER_SIZE]);

/* "+12 %", "−3 %"; the dash when either is not a number or base is 0. */
const char *es_show_deviation(double value, double base, char out[ES_NUMBER_SIZE]);

/* Columns that text takes on a terminal; wide East Asian characters take two. */
size_t es_text_width(const char *text);

/* Appends text for a terminal: no control characters, at most width columns (… marks a cut),
 * padded to width when pad is not 0: < 0 on the right, > 0 on the left. */
void es_put_terminal(es_text *out, const char *text, size_t width, int pad);

/* Appends text for HTML, SVG and attributes: escaped, valid UTF-8, no control characters. At most
 * characters_max characters (0: all). */
void es_put_html(es_text *out, const char *text, size_t characters_max);

/* "cascade: phone → edge box" of a routing. */
void es_put_route(es_text *out, const es_scenario *scenario, const es_routing *routing,
                  const char *arrow);

/* ---- svg.c: drawing ---- */

typedef struct es_svg {
    es_text *out;
    double width, height;
} es_svg;

/* title is read aloud and shown on hovering. */
es_svg es_svg_begin(es_text *out, double width, double height, const char *title);
void es_svg_end(es_svg *svg);
void es_svg_line(es_svg *svg, double x1, double y1, double x2, double y2, const char *class);
/* title may be NULL. */
void es_svg_rect(es_svg *svg, double x, double y, double width, double height, double radius,
                 const char *class, const char *title);
void es_svg_circle(es_svg *svg, double x, double y, double radius, const char *class,
                   const char *title);
/* anchor: "start", "middle", "end". */
void es_svg_text(es_svg *svg, double x, double y, const char *anchor, const char *class,
                 const char *text, size_t characters_max);
void es_svg_polyline_begin(es_svg *svg, const char *class);
void es_svg_polyline_point(es_svg *svg, double x, double y);
void es_svg_polyline_end(es_svg *svg, const char *title);

/* Maps values to pixels; logarithmic when told. */
typedef struct es_axis {
    double low, high;  /* values at the ends; low < high */
    double start, end; /* pixels */
    bool logarithmic;
} es_axis;

enum { ES_TICK_MAX = 12 };

/* An axis from 0 (or from low when logarithmic) to a round number at or above high. */
es_axis es_axis_make(double low, double high, double start, double end, bool logarithmic);
double es_axis_at(const es_axis *axis, double value);
/* Round values inside the axis, at most about wanted. */
size_t es_axis_ticks(const es_axis *axis, size_t wanted, double ticks[ES_TICK_MAX]);

/* Grid lines, tick labels and the axis' name. x: along the bottom of box; y: along its left. */
typedef struct es_box {
    double left, top, right, bottom;
} es_box;
void es_svg_axis_x(es_svg *svg, const es_axis *axis, es_box box, const char *name);
void es_svg_axis_y(es_svg *svg, const es_axis *axis, es_box box, const char *name);

/* ---- labels.c: names beside lines ---- */

enum { ES_LABELS_MAX = 1024 }; /* boxes, and lines, that are kept off; more are not seen */

typedef struct es_labels {
    es_text text; /* the labels as SVG, to be drawn over everything */
    es_box room;  /* labels stay inside */
    size_t box_count, line_count;
    es_box boxes[ES_LABELS_MAX]; /* that labels keep off */
    es_box lines[ES_LABELS_MAX]; /* from (left, top) to (right, bottom), in any direction */
    double half_widths[ES_LABELS_MAX];
} es_labels;

void es_labels_init(es_labels *labels);
void es_labels_done(es_labels *labels);
void es_labels_avoid_box(es_labels *labels, es_box box);
void es_labels_avoid_line(es_labels *labels, es_box ends, double half_width);

/* Words in 11 pixels beside the line, gap pixels from it, above or below: the other way round, or
 * nowhere, when there is no room. All lines should be known before. */
void es_labels_put(es_labels *labels, es_box ends, double gap, bool below, const char *class,
                   const char *words);

/* ---- charts ---- */

enum { ES_SERIES_COUNT = 6 }; /* colours; more cases repeat them */

void es_chart_latency(const es_report *report, es_text *out);
void es_chart_energy(const es_report *report, es_text *out);
void es_chart_quality(const es_report *report, es_text *out);
void es_chart_distribution(const es_report *report, es_text *out);
void es_chart_slots(const es_report *report, es_text *out);
void es_chart_load(const es_report *report, es_text *out);

/* ---- plane.c: what there is to choose from ---- */

typedef struct es_spot {
    double x, y;       /* as the axes are labelled; y is percent */
    double low, high;  /* interval of y, drawn when low < high */
    const char *name;  /* written where there is room, once if several have it */
    const char *where; /* written behind the name of a chosen one; may be NULL */
    const char *title; /* on hovering */
    const char *class; /* colour */
    bool chosen;       /* ringed, and named in any case */
    bool pale;
} es_spot;

typedef struct es_plane {
    const char *title;
    const char *x_name; /* of a logarithmic axis, where less is better */
    const char *y_name; /* where more is better */
    const es_spot *spots;
    size_t count;
    double y_least; /* a dashed line; NAN: none */
} es_plane;

/* Up and left is better; a line joins those that none is both left of and above. O(count^2). */
void es_draw_plane(const es_plane *plane, es_text *out);

/* ---- choice.c ---- */

/* Planes and table of the pipelines of a task on the nodes near the class with the highest rate;
 * what the first case's plan uses is marked. */
void es_page_choice(const es_report *report, es_task_id task, es_text *out);

void es_draw_topology(const es_report *report, es_text *out);

/* ---- page.c, style.c ---- */

/* From the first byte of a page to the start of its body. what: behind the title, "" for nothing.
 */
void es_page_open(const char *title, const char *what, es_text *out);
void es_page_comparison(const es_report *report, es_text *out);
void es_page_details(const es_report *report, es_text *out);
void es_page_decision(const es_report *report, es_text *out);
void es_page_method(const es_report *report, es_text *out);

#endif
