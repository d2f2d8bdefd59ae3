/* What there was to choose from: latency, quality and energy of every pipeline of a task. */
#include "report/internal.h"

#include <math.h>

enum {
    WIDTH = 460,
    HEIGHT = 310,
    LEFT = 52,
    RIGHT = 16,
    TOP = 30,
    FOOT = 44,
    POINTS_MAX = 600,
    NAME_SIZE = 32,
    NAMED_MAX = 16 /* with more pipelines, only the chosen are named */
};

typedef struct es_spot {
    es_price price;
    const char *pipeline;
    char where[96];
    bool chosen;
    uint32_t tier;
} es_spot;

typedef struct es_spots {
    size_t count;
    es_spot items[POINTS_MAX];
} es_spots;

/* Where names stand already, so that they do not cover each other. */
typedef struct es_names {
    size_t count;
    es_box boxes[2 * POINTS_MAX];
} es_names;

static bool overlaps(const es_names *names, es_box box)
{
    for (size_t i = 0; i < names->count; i++) {
        es_box other = names->boxes[i];
        if (box.left < other.right && other.left < box.right && box.top < other.bottom &&
            other.top < box.bottom)
            return true;
    }
    return box.left < LEFT || box.right > WIDTH || box.top < TOP || box.bottom > HEIGHT - FOOT;
}

/* Right of the disc, left, above or below it, or nowhere. must: right at worst. */
static void put_name(es_svg *svg, es_names *names, double x, double y, double radius,
                     const char *class, const char *text, bool must)
{
    static const char *const anchors[] = {"start", "end", "middle", "middle"};
    double width = 6.9 * fmin((double)es_text_width(text), NAME_SIZE);
    double middle = fmin(fmax(x, LEFT + width / 2), WIDTH - width / 2);
    const double lefts[] = {x + radius + 4, x - radius - 4 - width, middle - width / 2,
                            middle - width / 2};
    const double bases[] = {y + 4, y + 4, y - radius - 5, y + radius + 13};
    size_t at = 0;
    es_box box = {0};
    for (; at < 4; at++) {
        box = (es_box){lefts[at], bases[at] - 10, lefts[at] + width, bases[at] + 3};
        if (!overlaps(names, box))
            break;
    }
    if (at == 4 && !must)
        return;
    at = at == 4 ? 2 : at;
    if (names->count < 2 * (size_t)POINTS_MAX)
        names->boxes[names->count++] = box;
    const double anchor_x[] = {x + radius + 4, x - radius - 4, middle, middle};
    es_svg_text(svg, anchor_x[at], bases[at], anchors[at], class, text, NAME_SIZE);
}

/* The class of the task with the highest rate stands for it. */
static uint32_t class_of(const es_scenario *scenario, es_task_id task)
{
    uint32_t best = ES_INDEX_NONE;
    for (uint32_t c = 0; c < scenario->class_count; c++) {
        const es_class *class = &scenario->classes[c];
        if (class->task.index == task.index &&
            (best == ES_INDEX_NONE ||
             class->arrivals.rate_rps > scenario->classes[best].arrivals.rate_rps))
            best = c;
    }
    return best;
}

static void add_spot(es_spots *spots, const es_report *report, uint32_t class, uint32_t pipeline,
                     const es_node_id *nodes, bool chosen)
{
    const es_scenario *scenario = report->scenario;
    es_price price =
        es_scenario_price(scenario, (es_class_id){class}, (es_pipeline_id){pipeline}, nodes);
    if (!price.reachable || spots->count == POINTS_MAX || !(price.latency_s > 0))
        return;
    const es_pipeline *given = &scenario->pipelines[pipeline];
    const es_node *first = es_network_node(scenario->network, nodes[0]);
    const es_node *last = es_network_node(scenario->network, nodes[given->stage_count - 1]);
    es_spot *spot = &spots->items[spots->count++];
    *spot =
        (es_spot){.price = price, .pipeline = given->name, .chosen = chosen, .tier = last->tier};
    if (first == last)
        (void)snprintf(spot->where, sizeof spot->where, "%.80s", first->name);
    else
        (void)snprintf(spot->where, sizeof spot->where, "%.40s to %.40s", first->name, last->name);
}

/* Of each kind of node, the one nearest to where the class enters. */
static bool is_nearest(const es_scenario *scenario, es_node_id entry, uint32_t node)
{
    es_route mine;
    es_route other;
    if (!es_routes_get(scenario->routes, entry, (es_node_id){node}, &mine))
        return false;
    for (uint32_t v = 0; v < es_network_node_count(scenario->network); v++) {
        if (v != node && scenario->node_kinds[v] == scenario->node_kinds[node] &&
            es_routes_get(scenario->routes, entry, (es_node_id){v}, &other) &&
            (other.latency_s < mine.latency_s || (!(other.latency_s > mine.latency_s) && v < node)))
            return false;
    }
    return true;
}

static void collect(const es_report *report, es_task_id task, uint32_t class, es_spots *spots)
{
    const es_scenario *scenario = report->scenario;
    es_node_id entry = scenario->classes[class].node;
    const es_plan *plan = report->case_count > 0 ? report->cases[0].plan : NULL;
    for (size_t i = 0; plan != NULL && i < plan->routing_count; i++) {
        const es_routing *routing = &plan->routings[i];
        if (routing->class_id.index == class)
            add_spot(spots, report, class, routing->pipeline.index, routing->nodes, true);
    }
    for (uint32_t v = 0; v < es_network_node_count(scenario->network); v++) {
        if (es_network_node(scenario->network, (es_node_id){v})->processors <= 0 ||
            !is_nearest(scenario, entry, v))
            continue;
        es_node_id nodes[ES_STAGE_COUNT_MAX];
        for (size_t k = 0; k < ES_STAGE_COUNT_MAX; k++)
            nodes[k] = (es_node_id){v};
        for (uint32_t p = scenario->task_pipelines[task.index];
             p < scenario->task_pipelines[task.index + 1]; p++)
            add_spot(spots, report, class, p, nodes, false);
    }
}

static double radius_of(const es_spot *spot, double energy_max_j)
{
    double energy_j = spot->price.energy_compute_j + spot->price.energy_network_j;
    return 3 + 11 * sqrt(energy_max_j > 0 ? energy_j / energy_max_j : 0);
}

static void put_spot(es_svg *svg, const es_spot *spot, const es_axis *x, const es_axis *y,
                     double factor, double energy_max_j)
{
    char title[256];
    char class[32];
    char latency[ES_NUMBER_SIZE];
    char quality[ES_NUMBER_SIZE];
    char energy[ES_NUMBER_SIZE];
    double energy_j = spot->price.energy_compute_j + spot->price.energy_network_j;
    double radius = radius_of(spot, energy_max_j);
    (void)snprintf(title, sizeof title, "%.60s on %.90s: %s, quality %s, %s", spot->pipeline,
                   spot->where, es_show_quantity(spot->price.latency_s, ES_UNIT_S, latency),
                   es_show_quantity(spot->price.quality, ES_UNIT_SHARE, quality),
                   es_show_quantity(energy_j, ES_UNIT_J, energy));
    (void)snprintf(class, sizeof class, "spot t%u", spot->tier);
    double at_x = es_axis_at(x, spot->price.latency_s * factor);
    double at_y = es_axis_at(y, 100 * spot->price.quality);
    if (spot->chosen) {
        es_svg_circle(svg, at_x, at_y, radius + 4, "ring", title);
    }
    es_svg_circle(svg, at_x, at_y, radius, class, title);
}

static void put_names(es_svg *svg, const es_spots *spots, const es_axis *x, const es_axis *y,
                      double factor, double energy_max_j)
{
    es_names *names = calloc(1, sizeof *names);
    /* discs first, so that names keep off them */
    for (size_t i = 0; names != NULL && i < spots->count; i++) {
        const es_spot *spot = &spots->items[i];
        double at_x = es_axis_at(x, spot->price.latency_s * factor);
        double at_y = es_axis_at(y, 100 * spot->price.quality);
        double radius = radius_of(spot, energy_max_j);
        names->boxes[names->count++] =
            (es_box){at_x - radius, at_y - radius, at_x + radius, at_y + radius};
    }
    for (size_t i = 0; names != NULL && i < spots->count; i++) {
        const es_spot *spot = &spots->items[i];
        double at_x = es_axis_at(x, spot->price.latency_s * factor);
        double at_y = es_axis_at(y, 100 * spot->price.quality);
        double radius = radius_of(spot, energy_max_j) + (spot->chosen ? 4 : 0);
        if (spot->chosen || spots->count <= NAMED_MAX)
            put_name(svg, names, at_x, at_y, radius, spot->chosen ? "chosen" : "spotname",
                     spot->pipeline, spot->chosen);
    }
    free(names);
}

void es_chart_plane(const es_report *report, es_task_id task, es_text *out)
{
    uint32_t class = class_of(report->scenario, task);
    es_spots *spots = calloc(1, sizeof *spots);
    if (spots == NULL || class == ES_INDEX_NONE) {
        free(spots);
        return;
    }
    collect(report, task, class, spots);
    double low_s = (double)INFINITY;
    double high_s = 0;
    double low_quality = 1;
    double high_quality = 0;
    double energy_max_j = 0;
    for (size_t i = 0; i < spots->count; i++) {
        const es_price *price = &spots->items[i].price;
        low_s = fmin(low_s, price->latency_s);
        high_s = fmax(high_s, price->latency_s);
        low_quality = fmin(low_quality, price->quality);
        high_quality = fmax(high_quality, price->quality);
        energy_max_j = fmax(energy_max_j, price->energy_compute_j + price->energy_network_j);
    }
    es_scale scale = es_scale_of(ES_UNIT_S, sqrt(low_s * high_s));
    char name[64];
    (void)snprintf(name, sizeof name, "latency without waiting, %s (logarithmic)", scale.unit);
    es_svg svg =
        es_svg_begin(out, WIDTH, HEIGHT, "Latency, quality and energy of what could be chosen");
    es_box box = {LEFT, TOP, WIDTH - RIGHT, HEIGHT - FOOT};
    es_axis x =
        es_axis_make(low_s * scale.factor, high_s * scale.factor, LEFT + 8, WIDTH - RIGHT, true);
    /* whole tens of percent around the qualities there are */
    double bottom = fmax(floor(low_quality * 10 - 0.2) * 10, 0);
    double top = fmin(ceil(high_quality * 10 + 0.2) * 10, 100);
    es_axis y = {.low = bottom < top ? bottom : 0,
                 .high = bottom < top ? top : 100,
                 .start = HEIGHT - FOOT,
                 .end = TOP};
    es_svg_axis_x(&svg, &x, box, name);
    es_svg_axis_y(&svg, &y, box, "quality, %");
    for (size_t i = spots->count; i-- > 0;) /* the chosen ones come first, so they lie on top */
        put_spot(&svg, &spots->items[i], &x, &y, scale.factor, energy_max_j);
    put_names(&svg, spots, &x, &y, scale.factor, energy_max_j);
    es_svg_end(&svg);
    free(spots);
}
