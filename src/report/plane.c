/* A plane of what there is to choose from: two measures, what was chosen, what nothing beats. */
#include "report/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    WIDTH = 460,
    HEIGHT = 310,
    LEFT = 52,
    RIGHT = 16,
    TOP = 30,
    FOOT = 44,
    NAME_SIZE = 40,
    NAMED_MAX = 24, /* with more names, only the chosen and those on the line are told */
    RADIUS = 5,
    RING = 9
};

/* What stands already, so that names do not cover it or each other. */
typedef struct layout {
    const es_plane *plane;
    es_axis x, y;
    size_t *order; /* spots from left to right */
    bool *best;    /* [count]: none is both further left and higher */
    bool *named;   /* [count] */
    es_box *boxes;
    size_t box_count;
} layout;

/* ---- axes ---- */

/* Whole steps around the values there are, not beyond 0 and 100. */
static es_axis quality_axis(const es_plane *plane)
{
    double low = isfinite(plane->y_least) ? plane->y_least : 100;
    double high = isfinite(plane->y_least) ? plane->y_least : 0;
    for (size_t i = 0; i < plane->count; i++) {
        const es_spot *spot = &plane->spots[i];
        bool wide = spot->low < spot->high;
        low = fmin(low, wide ? spot->low : spot->y);
        high = fmax(high, wide ? spot->high : spot->y);
    }
    static const double steps[] = {0.1, 0.2, 0.5, 1, 2, 5, 10, 20};
    double step = 25;
    for (size_t i = sizeof steps / sizeof steps[0]; i-- > 0;)
        step = high - low <= 4 * steps[i] ? steps[i] : step;
    es_axis axis = {.low = fmax(floor(low / step - 0.3) * step, 0),
                    .high = fmin(ceil(high / step + 0.3) * step, 100),
                    .start = HEIGHT - FOOT,
                    .end = TOP};
    if (!(axis.low < axis.high)) {
        axis.low = 0;
        axis.high = 100;
    }
    return axis;
}

static es_axis cost_axis(const es_plane *plane)
{
    double low = (double)INFINITY;
    double high = 0;
    for (size_t i = 0; i < plane->count; i++) {
        low = plane->spots[i].x > 0 ? fmin(low, plane->spots[i].x) : low;
        high = fmax(high, plane->spots[i].x);
    }
    return es_axis_make(low, high, LEFT + RING + 3, WIDTH - RIGHT - RING, true);
}

/* ---- the line of those that nothing beats ---- */

/* Insertion: planes are drawn from at most a few hundred spots. */
static void find_best(layout *l)
{
    const es_spot *spots = l->plane->spots;
    for (size_t i = 0; i < l->plane->count; i++) {
        size_t at = i;
        for (; at > 0; at--) {
            const es_spot *before = &spots[l->order[at - 1]];
            if (before->x < spots[i].x || (!(before->x > spots[i].x) && before->y >= spots[i].y))
                break;
            l->order[at] = l->order[at - 1];
        }
        l->order[at] = i;
    }
    double highest = -1;
    for (size_t i = 0; i < l->plane->count; i++) {
        size_t at = l->order[i];
        l->best[at] = spots[at].y > highest;
        highest = fmax(highest, spots[at].y);
    }
}

static void put_line(es_svg *svg, const layout *l)
{
    double level = (double)NAN;
    es_svg_polyline_begin(svg, "front");
    for (size_t i = 0; i < l->plane->count; i++) {
        const es_spot *spot = &l->plane->spots[l->order[i]];
        if (!l->best[l->order[i]])
            continue;
        double x = es_axis_at(&l->x, spot->x);
        if (isfinite(level))
            es_svg_polyline_point(svg, x, level);
        level = es_axis_at(&l->y, spot->y);
        es_svg_polyline_point(svg, x, level);
    }
    if (isfinite(level))
        es_svg_polyline_point(svg, WIDTH - RIGHT, level);
    es_svg_polyline_end(svg, NULL);
}

/* ---- names ---- */

static bool overlaps(const layout *l, es_box box)
{
    for (size_t i = 0; i < l->box_count; i++) {
        es_box other = l->boxes[i];
        if (box.left < other.right && other.left < box.right && box.top < other.bottom &&
            other.top < box.bottom)
            return true;
    }
    return box.left < LEFT || box.right > WIDTH || box.top < TOP - 8 || box.bottom > HEIGHT - FOOT;
}

static void take_places(layout *l)
{
    for (size_t i = 0; i < l->plane->count; i++) {
        const es_spot *spot = &l->plane->spots[i];
        double x = es_axis_at(&l->x, spot->x);
        double y = es_axis_at(&l->y, spot->y);
        double radius = spot->chosen ? RING : RADIUS;
        l->boxes[l->box_count++] = (es_box){x - radius, y - radius, x + radius, y + radius};
    }
}

/* Above the spot, right, left or below it, or nowhere; a chosen one above at worst. */
static bool put_name(es_svg *svg, layout *l, const es_spot *spot)
{
    static const char *const anchors[] = {"middle", "start", "end", "middle"};
    double x = es_axis_at(&l->x, spot->x);
    double y = es_axis_at(&l->y, spot->y);
    double radius = spot->chosen ? RING : RADIUS;
    char words[128];
    bool more = spot->chosen && spot->where != NULL;
    (void)snprintf(words, sizeof words, "%.60s%s%.60s", spot->name, more ? ": " : "",
                   more ? spot->where : "");
    double width = (spot->chosen ? 6.6 : 5.6) * fmin((double)es_text_width(words), NAME_SIZE);
    double middle = fmin(fmax(x, LEFT + width / 2), WIDTH - width / 2);
    const double lefts[] = {middle - width / 2, x + radius + 4, x - radius - 4 - width,
                            middle - width / 2};
    const double bases[] = {y - radius - 5, y + 4, y + 4, y + radius + 13};
    const double anchor_x[] = {middle, x + radius + 4, x - radius - 4, middle};
    size_t at = 0;
    es_box box = {0};
    for (; at < 4; at++) {
        box = (es_box){lefts[at], bases[at] - 10, lefts[at] + width, bases[at] + 3};
        if (!overlaps(l, box))
            break;
    }
    if (at == 4 && !spot->chosen)
        return false;
    at = at == 4 ? 0 : at;
    l->boxes[l->box_count++] = box;
    es_svg_text(svg, anchor_x[at], bases[at], anchors[at], spot->chosen ? "chosen" : "spotname",
                words, NAME_SIZE);
    return true;
}

/* The same name is written once, at the best of its spots. */
static bool is_named(const layout *l, const char *name)
{
    for (size_t i = 0; i < l->plane->count; i++) {
        if (l->named[i] && strcmp(l->plane->spots[i].name, name) == 0)
            return true;
    }
    return false;
}

static size_t different_names(const es_plane *plane)
{
    size_t count = 0;
    for (size_t i = 0; i < plane->count; i++) {
        size_t first = 0;
        while (strcmp(plane->spots[first].name, plane->spots[i].name) != 0)
            first++;
        count += first == i;
    }
    return count;
}

static void put_names(es_svg *svg, layout *l)
{
    enum { CHOSEN, BEST, REST, ROUNDS };
    for (int round = CHOSEN; round < ROUNDS; round++) {
        if (round == REST && different_names(l->plane) > NAMED_MAX)
            return;
        for (size_t i = 0; i < l->plane->count; i++) {
            size_t at = l->order[i];
            const es_spot *spot = &l->plane->spots[at];
            bool wanted = round == CHOSEN ? spot->chosen : round == BEST ? l->best[at] : true;
            if (wanted && !l->named[at] && (spot->chosen || !is_named(l, spot->name)))
                l->named[at] = put_name(svg, l, spot);
        }
    }
}

/* ---- the drawing ---- */

static void put_spot(es_svg *svg, const layout *l, const es_spot *spot)
{
    char class[64];
    double x = es_axis_at(&l->x, spot->x);
    double y = es_axis_at(&l->y, spot->y);
    if (spot->low < spot->high)
        es_svg_line(svg, x, es_axis_at(&l->y, spot->low), x, es_axis_at(&l->y, spot->high),
                    "range");
    if (spot->chosen)
        es_svg_circle(svg, x, y, RING, "ring", spot->title);
    (void)snprintf(class, sizeof class, "spot %s%s", spot->class, spot->pale ? " pale" : "");
    es_svg_circle(svg, x, y, RADIUS, class, spot->title);
}

/* The dashed line is named at one of its ends, where there is room. */
static void put_least(es_svg *svg, layout *l)
{
    char words[64];
    char number[ES_NUMBER_SIZE];
    double y = es_axis_at(&l->y, l->plane->y_least);
    (void)snprintf(words, sizeof words, "least: %s %%", es_show_number(l->plane->y_least, number));
    double width = 5.6 * (double)strlen(words);
    const double lefts[] = {LEFT + 4, LEFT + 4, WIDTH - RIGHT - width, WIDTH - RIGHT - width};
    const double bases[] = {y + 14, y - 5, y + 14, y - 5};
    es_box box = {0};
    for (size_t i = 0; i < 4; i++) {
        box = (es_box){lefts[i], bases[i] - 10, lefts[i] + width, bases[i] + 3};
        if (!overlaps(l, box))
            break;
    }
    l->boxes[l->box_count++] = box;
    es_svg_line(svg, LEFT, y, WIDTH - RIGHT, y, "least");
    es_svg_text(svg, box.left, box.bottom - 3, "start", "spotname", words, 0);
}

static void draw(layout *l, es_text *out)
{
    const es_plane *plane = l->plane;
    es_box box = {LEFT, TOP, WIDTH - RIGHT, HEIGHT - FOOT};
    es_svg svg = es_svg_begin(out, WIDTH, HEIGHT, plane->title);
    l->x = cost_axis(plane);
    l->y = quality_axis(plane);
    find_best(l);
    take_places(l);
    es_svg_axis_x(&svg, &l->x, box, plane->x_name);
    es_svg_axis_y(&svg, &l->y, box, plane->y_name);
    if (isfinite(plane->y_least))
        put_least(&svg, l);
    put_line(&svg, l);
    for (int chosen = 0; chosen < 2; chosen++) { /* the chosen ones lie on top */
        for (size_t i = 0; i < plane->count; i++) {
            if (plane->spots[i].chosen == (chosen == 1))
                put_spot(&svg, l, &plane->spots[i]);
        }
    }
    put_names(&svg, l);
    es_svg_end(&svg);
}

void es_draw_plane(const es_plane *plane, es_text *out)
{
    layout l = {.plane = plane,
                .order = calloc(plane->count + 1, sizeof *l.order),
                .best = calloc(plane->count + 1, sizeof *l.best),
                .named = calloc(plane->count + 1, sizeof *l.named),
                .boxes = calloc(2 * plane->count + 2, sizeof *l.boxes)};
    if (l.order != NULL && l.best != NULL && l.named != NULL && l.boxes != NULL)
        draw(&l, out);
    free(l.order);
    free(l.best);
    free(l.named);
    free(l.boxes);
}
