#include "report/internal.h"

#include <math.h>

enum { WIDTH = 460, HEIGHT = 270, LEFT = 52, RIGHT = 16, TOP = 30, FOOT = 44, POINTS = 120 };

static const es_box box = {LEFT, TOP, WIDTH - RIGHT, HEIGHT - FOOT};

static void line_class(char out[32], es_side side, size_t i)
{
    (void)snprintf(out, 32, "line %s l%zu", es_side_names[side], i % ES_SERIES_COUNT);
}

static void line_title(char out[160], const es_report_case *one, es_side side)
{
    (void)snprintf(out, 160, "%.100s, %s", one->label, es_side_names[side]);
}

/* ---- share of requests answered within a time ---- */

static void put_distribution(es_svg *svg, const es_report_case *one, size_t i, es_side side,
                             const es_axis *x, const es_axis *y, double factor)
{
    const es_outcome *outcome = es_case_outcome(one, side);
    char class[32];
    char title[160];
    if (outcome == NULL || es_histogram_weight(outcome->histogram) <= 0)
        return;
    line_class(class, side, i);
    line_title(title, one, side);
    es_svg_polyline_begin(svg, class);
    for (int p = 0; p <= POINTS; p++) {
        double q = (double)p / POINTS;
        es_svg_polyline_point(svg,
                              es_axis_at(x, es_histogram_quantile(outcome->histogram, q) * factor),
                              es_axis_at(y, 100 * q));
    }
    es_svg_polyline_end(svg, title);
}

void es_chart_distribution(const es_report *report, es_text *out)
{
    double low = (double)INFINITY;
    double high = 0;
    for (size_t i = 0; i < report->case_count; i++) {
        for (int s = 0; s < ES_SIDE_COUNT; s++) {
            const es_outcome *outcome = es_case_outcome(&report->cases[i], (es_side)s);
            if (outcome == NULL || es_histogram_weight(outcome->histogram) <= 0)
                continue;
            low = fmin(low, es_histogram_quantile(outcome->histogram, 0.01));
            high = fmax(high, es_histogram_quantile(outcome->histogram, 0.995));
        }
    }
    es_scale scale = es_scale_of(ES_UNIT_S, es_report_largest(report, ES_FIGURE_LATENCY_MEAN));
    char name[64];
    (void)snprintf(name, sizeof name, "latency, %s (logarithmic)", scale.unit);
    es_svg svg = es_svg_begin(out, WIDTH, HEIGHT, "Share of requests answered within a time");
    es_axis x = es_axis_make(low * scale.factor, high * scale.factor, LEFT, WIDTH - RIGHT, true);
    es_axis y = {.high = 100, .start = HEIGHT - FOOT, .end = TOP};
    es_svg_axis_x(&svg, &x, box, name);
    es_svg_axis_y(&svg, &y, box, "% of requests answered within");
    for (size_t i = report->case_count; i-- > 0;) {
        for (int s = 0; s < ES_SIDE_COUNT; s++)
            put_distribution(&svg, &report->cases[i], i, (es_side)s, &x, &y, scale.factor);
    }
    es_svg_end(&svg);
}

/* ---- slots ---- */

/* Mean latency over as many slots as make one point, weighted by requests; NAN when none. */
static double mean_over(const es_outcome *outcome, uint32_t from, uint32_t to)
{
    double sum = 0;
    double count = 0;
    for (uint32_t s = from; s < to && s < outcome->slot_count; s++) {
        const es_outcome_row *row = &outcome->slot_rows[s];
        if (row->served > 0) {
            sum += row->served * row->latency_s_mean;
            count += row->served;
        }
    }
    return count > 0 ? sum / count : (double)NAN;
}

static uint32_t stride_of(const es_outcome *outcome)
{
    return outcome->slot_count / POINTS + 1;
}

static double largest_over(const es_outcome *outcome)
{
    double largest = 0;
    uint32_t stride = stride_of(outcome);
    for (uint32_t s = 0; s < outcome->slot_count; s += stride) {
        double mean = mean_over(outcome, s, s + stride);
        if (isfinite(mean))
            largest = fmax(largest, mean);
    }
    return largest;
}

/* A slot without answers breaks the line. */
static void put_slots(es_svg *svg, const es_report_case *one, size_t i, es_side side,
                      const es_axis *x, const es_axis *y, double factor)
{
    const es_outcome *outcome = es_case_outcome(one, side);
    char class[32];
    char title[160];
    bool open = false;
    if (outcome == NULL)
        return;
    line_class(class, side, i);
    line_title(title, one, side);
    uint32_t stride = stride_of(outcome);
    for (uint32_t s = 0; s < outcome->slot_count; s += stride) {
        double mean = mean_over(outcome, s, s + stride);
        if (isfinite(mean)) {
            if (!open)
                es_svg_polyline_begin(svg, class);
            open = true;
            double middle = s + fmin(stride, outcome->slot_count - s) / 2.0;
            es_svg_polyline_point(svg, es_axis_at(x, middle * outcome->slot_s),
                                  es_axis_at(y, mean * factor));
        } else if (open) {
            es_svg_polyline_end(svg, title);
            open = false;
        }
    }
    if (open)
        es_svg_polyline_end(svg, title);
}

void es_chart_slots(const es_report *report, es_text *out)
{
    double end_s = 0;
    double largest = 0;
    for (size_t i = 0; i < report->case_count; i++) {
        for (int s = 0; s < ES_SIDE_COUNT; s++) {
            const es_outcome *outcome = es_case_outcome(&report->cases[i], (es_side)s);
            if (outcome == NULL)
                continue;
            end_s = fmax(end_s, outcome->slot_s * outcome->slot_count);
            largest = fmax(largest, largest_over(outcome));
        }
    }
    es_scale scale = es_scale_of(ES_UNIT_S, largest);
    char name[64];
    (void)snprintf(name, sizeof name, "mean latency per slot, %s", scale.unit);
    es_svg svg = es_svg_begin(out, WIDTH, HEIGHT, "Mean latency of each slot over time");
    es_axis x = {.high = end_s > 0 ? end_s : 1, .start = LEFT, .end = WIDTH - RIGHT};
    es_axis y = es_axis_make(0, largest * scale.factor, HEIGHT - FOOT, TOP, false);
    es_svg_axis_x(&svg, &x, box, "time, s");
    es_svg_axis_y(&svg, &y, box, name);
    for (size_t i = report->case_count; i-- > 0;) {
        for (int s = 0; s < ES_SIDE_COUNT; s++)
            put_slots(&svg, &report->cases[i], i, (es_side)s, &x, &y, scale.factor);
    }
    es_svg_end(&svg);
}
