/* Names beside lines of a drawing, where they cover nothing. */
#include "report/internal.h"

#include <math.h>

static const double ASCENT = 10, DESCENT = 3, CHARACTER = 5.8; /* pixels of the labels' font */

void es_labels_init(es_labels *labels)
{
    *labels = (es_labels){.room = {0, 0, (double)INFINITY, (double)INFINITY}};
    es_text_init(&labels->text, (size_t)1 << 20);
}

void es_labels_done(es_labels *labels)
{
    es_text_done(&labels->text);
}

void es_labels_avoid_box(es_labels *labels, es_box box)
{
    if (labels->box_count < ES_LABELS_MAX)
        labels->boxes[labels->box_count++] = box;
}

void es_labels_avoid_line(es_labels *labels, es_box ends, double half_width)
{
    if (labels->line_count < ES_LABELS_MAX) {
        labels->half_widths[labels->line_count] = half_width;
        labels->lines[labels->line_count++] = ends;
    }
}

static bool is_free(const es_labels *labels, es_box box)
{
    for (size_t i = 0; i < labels->box_count; i++) {
        es_box other = labels->boxes[i];
        if (box.left < other.right && other.left < box.right && box.top < other.bottom &&
            other.top < box.bottom)
            return false;
    }
    return box.left >= labels->room.left && box.right <= labels->room.right &&
           box.top >= labels->room.top && box.bottom <= labels->room.bottom;
}

/* Narrows the stretch from[0..1] of a line to where it is between low and high. */
static bool clip(double at, double step, double low, double high, double stretch[2])
{
    if (fabs(step) < 1e-9)
        return at > low && at < high;
    double a = (low - at) / step;
    double b = (high - at) / step;
    stretch[0] = fmax(stretch[0], fmin(a, b));
    stretch[1] = fmin(stretch[1], fmax(a, b));
    return stretch[0] < stretch[1];
}

static bool crosses_a_line(const es_labels *labels, es_box box)
{
    for (size_t i = 0; i < labels->line_count; i++) {
        es_box l = labels->lines[i];
        double w = labels->half_widths[i];
        double stretch[2] = {0, 1};
        if (clip(l.left, l.right - l.left, box.left - w, box.right + w, stretch) &&
            clip(l.top, l.bottom - l.top, box.top - w, box.bottom + w, stretch))
            return true;
    }
    return false;
}

/* Above or below the place (x, y) of a line that falls or rises by slope: of a steep one only a
 * corner of the box comes near. */
static es_box box_at(double x, double y, double slope, double width, double gap, bool below)
{
    bool steep = fabs(slope) > 0.2;
    bool starts = (slope > 0) != below; /* above what falls to the right: to the right of it */
    double left = !steep ? x - width / 2 : starts ? x + 3 : x - 3 - width;
    double top = below ? y + gap - 2 : y - gap - DESCENT - ASCENT + 3;
    return (es_box){left, top, left + width, top + ASCENT + DESCENT};
}

/* Near the middle first. Where every place crosses a line, one that only keeps off boxes; where
 * there is none, nowhere: hovering over the line tells. */
void es_labels_put(es_labels *labels, es_box ends, double gap, bool below, const char *class,
                   const char *words)
{
    static const double along[] = {0.5, 0.45, 0.55, 0.4,  0.6, 0.35, 0.65,
                                   0.3, 0.7,  0.25, 0.75, 0.2, 0.8};
    enum { PLACES = sizeof along / sizeof along[0] };
    double width = CHARACTER * (double)es_text_width(words);
    double across = ends.right - ends.left;
    double slope = fabs(across) < 1 ? 1e3 : (ends.bottom - ends.top) / across;
    for (int i = 0; i < 4 * PLACES; i++) {
        double t = along[i / 2 % PLACES];
        es_box box = box_at(ends.left + t * across, ends.top + t * (ends.bottom - ends.top), slope,
                            width, gap, (i % 2 == 0) == below);
        if (!is_free(labels, box) || (i < 2 * PLACES && crosses_a_line(labels, box)))
            continue;
        es_labels_avoid_box(labels, box);
        es_svg svg = {.out = &labels->text};
        es_svg_text(&svg, box.left, box.bottom - DESCENT, "start", class, words, 0);
        return;
    }
}
