/* The network: columns by tier or places on the map, what each node hosts, where requests go. */
#include "base/checked.h"
#include "report/internal.h"

#include <math.h>

enum {
    WIDTH = 940,
    MARGIN = 16,
    HEAD = 30, /* above the columns: names of tiers */
    BOX_WIDTH = 168,
    BOX_HEAD = 40,
    BOX_LINE = 15,
    BOX_GAP = 30,
    HOSTED_MAX = 6, /* lines under a node */
    BOXES_MAX = 24, /* more nodes are dots */
    LINK_LABELS_MAX = 16,
    FLOW_LABELS_MAX = 16,
    DOTS_HEIGHT = 520,
    LINK_DOWN = 14, /* from the top of a box to its links, and to its flows */
    FLOW_DOWN = 28,
    DOT_HOSTED_MAX = 3,
    FLOWS_MAX = 400,
    HOPS_MAX = 64,
    NAMES_MAX = 40 /* named dots */
};

typedef struct es_place {
    double x, y; /* centre; for boxes the middle of the top edge */
    double height;
    double rate_rps; /* of requests that enter here */
    uint32_t hosted;
    bool named;
} es_place;

typedef struct es_drawing {
    const es_report *report;
    const es_network *network;
    const es_plan *plan; /* may be NULL */
    es_text *out;
    es_svg svg;
    bool boxes;
    es_place *places;
    uint32_t node_count;
    double height;
    es_labels labels;
} es_drawing;

static const es_node *node_at(const es_drawing *drawing, uint32_t v)
{
    return es_network_node(drawing->network, (es_node_id){v});
}

/* ---- where things lie ---- */

static void count_uses(es_drawing *drawing)
{
    const es_scenario *scenario = drawing->report->scenario;
    for (uint32_t c = 0; c < scenario->class_count; c++)
        drawing->places[scenario->classes[c].node.index].rate_rps +=
            scenario->classes[c].arrivals.rate_rps;
    for (size_t i = 0; drawing->plan != NULL && i < drawing->plan->placement_count; i++)
        drawing->places[drawing->plan->placements[i].node.index].hosted++;
    uint32_t named = 0;
    for (uint32_t v = 0; v < drawing->node_count; v++) {
        es_place *place = &drawing->places[v];
        bool busy = place->hosted > 0 || place->rate_rps > 0;
        place->named = drawing->boxes || (busy && named < NAMES_MAX);
        named += place->named;
    }
}

static bool all_placed(const es_drawing *drawing)
{
    for (uint32_t v = 0; v < drawing->node_count; v++) {
        if (!node_at(drawing, v)->has_position)
            return false;
    }
    return drawing->node_count > 1;
}

/* Equirectangular around the middle latitude: shapes of a country look right. */
static void place_on_map(es_drawing *drawing)
{
    double west = 180;
    double east = -180;
    double south = 90;
    double north = -90;
    for (uint32_t v = 0; v < drawing->node_count; v++) {
        const es_node *node = node_at(drawing, v);
        west = fmin(west, node->longitude_deg);
        east = fmax(east, node->longitude_deg);
        south = fmin(south, node->latitude_deg);
        north = fmax(north, node->latitude_deg);
    }
    double squeeze = fmax(cos((south + north) / 2 * 3.14159265358979 / 180), 0.1);
    double wide = fmax((east - west) * squeeze, 1e-6);
    double high = fmax(north - south, 1e-6);
    double room = WIDTH - 2 * 90.0;
    double scale = fmin(room / wide, (DOTS_HEIGHT - 2.0 * HEAD) / high);
    drawing->height = high * scale + 2.0 * HEAD;
    for (uint32_t v = 0; v < drawing->node_count; v++) {
        const es_node *node = node_at(drawing, v);
        drawing->places[v].x =
            WIDTH / 2.0 + ((node->longitude_deg - west) * squeeze - wide / 2) * scale;
        drawing->places[v].y = HEAD + (north - node->latitude_deg) * scale;
    }
}

static double box_height(const es_place *place, const es_node *node)
{
    if (place->hosted == 0 && node->processors <= 0)
        return BOX_HEAD;
    uint32_t lines = place->hosted > HOSTED_MAX ? HOSTED_MAX + 1 : place->hosted;
    return BOX_HEAD + BOX_LINE * (double)(lines > 0 ? lines : 1) + 8;
}

static void place_in_columns(es_drawing *drawing)
{
    double used[ES_TIER_COUNT] = {0};
    uint32_t counts[ES_TIER_COUNT] = {0};
    uint32_t columns = 0;
    double tallest = 0;
    for (uint32_t v = 0; v < drawing->node_count; v++) {
        es_tier tier = node_at(drawing, v)->tier;
        drawing->places[v].height =
            drawing->boxes ? box_height(&drawing->places[v], node_at(drawing, v)) : 0;
        used[tier] += drawing->places[v].height + BOX_GAP;
        counts[tier]++;
    }
    for (int t = 0; t < ES_TIER_COUNT; t++) {
        columns += counts[t] > 0;
        tallest = fmax(tallest, used[t]);
    }
    /* the outer columns stand at the edges: room for labels between */
    double room = WIDTH - 2.0 * MARGIN - BOX_WIDTH;
    drawing->height = drawing->boxes ? HEAD + tallest : DOTS_HEIGHT;
    uint32_t column = 0;
    for (int t = 0; t < ES_TIER_COUNT; t++) {
        if (counts[t] == 0)
            continue;
        double x =
            columns < 2 ? WIDTH / 2.0 : MARGIN + BOX_WIDTH / 2.0 + room * column / (columns - 1);
        column++;
        double y = HEAD + BOX_GAP / 2.0 + (tallest - used[t]) / 2;
        uint32_t row = 0;
        es_svg_text(&drawing->svg, x, 16, "middle", "tier", es_tier_name((es_tier)t), 0);
        for (uint32_t v = 0; v < drawing->node_count; v++) {
            es_place *place = &drawing->places[v];
            if ((int)node_at(drawing, v)->tier != t)
                continue;
            place->x = x;
            if (drawing->boxes)
                place->y = y;
            else
                place->y = HEAD + (row + 0.5) * (DOTS_HEIGHT - HEAD) / counts[t];
            if (drawing->boxes)
                es_labels_avoid_box(&drawing->labels,
                                    (es_box){x - BOX_WIDTH / 2.0 - 2, y - 5,
                                             x + BOX_WIDTH / 2.0 + 2, y + place->height + 5});
            y += place->height + BOX_GAP;
            row++;
        }
    }
}

/* ---- links ---- */

static void link_words(const es_link *link, char out[96])
{
    char latency[ES_NUMBER_SIZE];
    char rate[ES_NUMBER_SIZE];
    static const char *const units[] = {"bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"};
    double bandwidth = link->bandwidth_bps;
    size_t unit = 0;
    for (; bandwidth >= 999.5 && unit + 1 < sizeof units / sizeof units[0]; unit++)
        bandwidth /= 1000;
    (void)snprintf(out, 96, "%s \xc2\xb7 %s %s",
                   es_show_quantity(link->latency_s, ES_UNIT_S, latency),
                   es_show_number(bandwidth, rate), units[unit]);
}

/* A curve between two points; bulge is sideways, in pixels, for those in one column. */
static void put_curve(const es_drawing *drawing, const char *class, double width, double x1,
                      double y1, double x2, double y2, double bend_x, double bend_y,
                      const char *title)
{
    es_text_format(drawing->out,
                   "<path class=\"%s\" stroke-width=\"%.1f\" d=\"M%.1f,%.1f Q%.1f,%.1f "
                   "%.1f,%.1f\"><title>",
                   class, width, x1, y1, (x1 + x2) / 2 + bend_x, (y1 + y2) / 2 + bend_y, x2, y2);
    es_put_html(drawing->out, title, 0);
    es_text_append(drawing->out, "</title></path>\n");
}

/* Where a line leaves a box towards another: the side that faces it, below its head by down. */
static void box_ends(const es_place *from, const es_place *to, double down, double *x1, double *y1,
                     double *x2, double *y2, double *bend_x)
{
    bool same = fabs(from->x - to->x) < 1;
    double side = to->x > from->x || same ? 1 : -1;
    *x1 = from->x + side * BOX_WIDTH / 2.0;
    *x2 = to->x + (same ? side : -side) * BOX_WIDTH / 2.0;
    *y1 = from->y + down;
    *y2 = to->y + down;
    *bend_x = same ? 46 : 0;
}

static void put_links(es_drawing *drawing)
{
    uint32_t count = es_network_link_count(drawing->network);
    for (uint32_t e = 0; e < count; e++) {
        const es_link *link = es_network_link(drawing->network, (es_link_id){e});
        const es_place *from = &drawing->places[link->from.index];
        const es_place *to = &drawing->places[link->to.index];
        char words[96];
        char title[400];
        double x1 = from->x;
        double y1 = from->y;
        double x2 = to->x;
        double y2 = to->y;
        double bend = 0;
        link_words(link, words);
        (void)snprintf(title, sizeof title, "%.128s \xe2\x80\x93 %.128s: %s",
                       node_at(drawing, link->from.index)->name,
                       node_at(drawing, link->to.index)->name, words);
        if (drawing->boxes)
            box_ends(from, to, LINK_DOWN, &x1, &y1, &x2, &y2, &bend);
        put_curve(drawing, "link", 1.2, x1, y1, x2, y2, bend, 0, title);
        es_labels_avoid_line(&drawing->labels, (es_box){x1 + bend, y1, x2 + bend, y2}, 1);
    }
}

/* Flat lines have less choice. */
static bool is_steep(es_box ends)
{
    return fabs(ends.bottom - ends.top) > 0.2 * fabs(ends.right - ends.left);
}

static void label_links(es_drawing *drawing, bool steep)
{
    uint32_t count = es_network_link_count(drawing->network);
    for (uint32_t e = 0; count <= LINK_LABELS_MAX && e < count; e++) {
        const es_link *link = es_network_link(drawing->network, (es_link_id){e});
        char words[96];
        double x1;
        double y1;
        double x2;
        double y2;
        double bend;
        box_ends(&drawing->places[link->from.index], &drawing->places[link->to.index], LINK_DOWN,
                 &x1, &y1, &x2, &y2, &bend);
        link_words(link, words);
        es_box ends = {x1 + bend, y1, x2 + bend, y2};
        if (is_steep(ends) == steep)
            es_labels_put(&drawing->labels, ends, 6, false, "linklabel", words);
    }
}

/* ---- flows: where requests go ---- */

typedef struct es_flow {
    uint32_t from, to;
    double rate_rps;
} es_flow;

static size_t add_flow(es_flow *flows, size_t count, uint32_t from, uint32_t to, double rate_rps)
{
    if (from == to || rate_rps <= 0)
        return count;
    for (size_t i = 0; i < count; i++) {
        if (flows[i].from == from && flows[i].to == to) {
            flows[i].rate_rps += rate_rps;
            return count;
        }
    }
    if (count < FLOWS_MAX)
        flows[count++] = (es_flow){.from = from, .to = to, .rate_rps = rate_rps};
    return count;
}

/* Requests follow the links of their route. */
static size_t add_path(const es_drawing *drawing, es_flow *flows, size_t count, uint32_t from,
                       uint32_t to, double rate_rps)
{
    es_link_id links[HOPS_MAX];
    uint32_t hops = 0;
    if (!es_routes_path(drawing->report->scenario->routes, (es_node_id){from}, (es_node_id){to},
                        links, HOPS_MAX, &hops) ||
        hops > HOPS_MAX)
        return add_flow(flows, count, from, to, rate_rps);
    uint32_t at = from;
    for (uint32_t h = 0; h < hops; h++) {
        const es_link *link = es_network_link(drawing->network, links[h]);
        uint32_t next = link->from.index == at ? link->to.index : link->from.index;
        count = add_flow(flows, count, at, next, rate_rps);
        at = next;
    }
    return count;
}

static size_t collect_flows(const es_drawing *drawing, es_flow *flows)
{
    const es_scenario *scenario = drawing->report->scenario;
    size_t count = 0;
    for (size_t i = 0; drawing->plan != NULL && i < drawing->plan->routing_count; i++) {
        const es_routing *routing = &drawing->plan->routings[i];
        const es_pipeline *pipeline = &scenario->pipelines[routing->pipeline.index];
        const es_class *class = &scenario->classes[routing->class_id.index];
        uint32_t before = class->node.index;
        for (uint32_t k = 0; k < pipeline->stage_count; k++) {
            count = add_path(drawing, flows, count, before, routing->nodes[k].index,
                             class->arrivals.rate_rps * routing->share * pipeline->stages[k].reach);
            before = routing->nodes[k].index;
        }
    }
    return count;
}

/* The head points along the last leg of the curve. */
static void put_arrow_head(const es_drawing *drawing, double from_x, double from_y, double x,
                           double y, double size)
{
    double length = hypot(x - from_x, y - from_y);
    if (length < 1e-6)
        return;
    double ux = (x - from_x) / length;
    double uy = (y - from_y) / length;
    es_text_format(drawing->out,
                   "<path class=\"head\" d=\"M%.1f,%.1f L%.1f,%.1f L%.1f,%.1f Z\"/>\n", x, y,
                   x - size * ux - size / 2 * uy, y - size * uy + size / 2 * ux,
                   x - size * ux + size / 2 * uy, y - size * uy - size / 2 * ux);
}

static void put_flow(es_drawing *drawing, const es_flow *flow, double largest_rps)
{
    const es_place *from = &drawing->places[flow->from];
    const es_place *to = &drawing->places[flow->to];
    char rate[ES_NUMBER_SIZE];
    char words[64];
    char title[400];
    double width = 1.5 + 5 * sqrt(flow->rate_rps / largest_rps);
    double x1 = from->x;
    double y1 = from->y;
    double x2 = to->x;
    double y2 = to->y;
    double bend_x = 0;
    double bend_y = 0;
    (void)snprintf(words, sizeof words, "%s requests/s", es_show_number(flow->rate_rps, rate));
    (void)snprintf(title, sizeof title, "%.128s \xe2\x86\x92 %.128s: %s",
                   node_at(drawing, flow->from)->name, node_at(drawing, flow->to)->name, words);
    if (drawing->boxes) {
        box_ends(from, to, FLOW_DOWN, &x1, &y1, &x2, &y2, &bend_x);
    } else {
        bend_x = (y1 - y2) * 0.1;
        bend_y = (x2 - x1) * 0.1;
    }
    double control_x = (x1 + x2) / 2 + bend_x;
    double control_y = (y1 + y2) / 2 + bend_y;
    double head = 6 + width;
    double length = fmax(hypot(x2 - control_x, y2 - control_y), 1);
    double end_x = x2 - (x2 - control_x) / length * head * 0.8;
    double end_y = y2 - (y2 - control_y) / length * head * 0.8;
    put_curve(drawing, "flow", width, x1, y1, end_x, end_y, control_x - (x1 + end_x) / 2,
              control_y - (y1 + end_y) / 2, title);
    es_labels_avoid_line(&drawing->labels, (es_box){x1 + bend_x, y1, x2 + bend_x, y2}, width / 2);
    put_arrow_head(drawing, control_x, control_y, x2, y2, head);
}

static void label_flow(es_drawing *drawing, const es_flow *flow, bool steep)
{
    char rate[ES_NUMBER_SIZE];
    char words[64];
    double x1;
    double y1;
    double x2;
    double y2;
    double bend;
    box_ends(&drawing->places[flow->from], &drawing->places[flow->to], FLOW_DOWN, &x1, &y1, &x2,
             &y2, &bend);
    (void)snprintf(words, sizeof words, "%s requests/s", es_show_number(flow->rate_rps, rate));
    es_box ends = {x1 + bend, y1, x2 + bend, y2};
    if (is_steep(ends) == steep)
        es_labels_put(&drawing->labels, ends, 7, true, "flowlabel", words);
}

static void put_flows(es_drawing *drawing)
{
    es_flow flows[FLOWS_MAX];
    size_t count = collect_flows(drawing, flows);
    double largest_rps = 0;
    for (size_t i = 0; i < count; i++)
        largest_rps = fmax(largest_rps, flows[i].rate_rps);
    for (size_t i = 0; i < count; i++)
        put_flow(drawing, &flows[i], largest_rps);
    for (int steep = 0; drawing->boxes && steep < 2; steep++) {
        for (size_t i = 0; count <= FLOW_LABELS_MAX && i < count; i++)
            label_flow(drawing, &flows[i], steep == 1);
        label_links(drawing, steep == 1);
    }
}

/* ---- nodes ---- */

static void put_hosted(es_drawing *drawing, uint32_t v, double x, double y, const char *anchor)
{
    uint32_t shown = 0;
    char more[48];
    for (size_t i = 0; drawing->plan != NULL && i < drawing->plan->placement_count; i++) {
        es_placement placement = drawing->plan->placements[i];
        if (placement.node.index != v)
            continue;
        if (shown == HOSTED_MAX) {
            (void)snprintf(more, sizeof more, "and %u more", drawing->places[v].hosted - shown);
            es_svg_text(&drawing->svg, x, y + shown * (double)BOX_LINE, anchor, "muted", more, 0);
            return;
        }
        es_svg_text(&drawing->svg, x, y + shown * (double)BOX_LINE, anchor, "hosted",
                    drawing->report->scenario->segments[placement.segment.index].name, 24);
        shown++;
    }
}

static void put_box(es_drawing *drawing, uint32_t v)
{
    const es_place *place = &drawing->places[v];
    const es_node *node = node_at(drawing, v);
    char words[64];
    char rate[ES_NUMBER_SIZE];
    double left = place->x - BOX_WIDTH / 2.0;
    es_svg_rect(&drawing->svg, left, place->y, BOX_WIDTH, place->height, 6,
                place->hosted > 0 ? "box hosts" : "box", node->name);
    es_svg_text(&drawing->svg, left + 10, place->y + 18, "start", "nodename", node->name, 22);
    if (place->rate_rps > 0)
        (void)snprintf(words, sizeof words, "%s requests/s enter",
                       es_show_number(place->rate_rps, rate));
    else if (node->processors > 0)
        (void)snprintf(words, sizeof words, "%g processor%s", node->processors,
                       node->processors > 1 ? "s" : "");
    else
        (void)snprintf(words, sizeof words, "forwards only");
    es_svg_text(&drawing->svg, left + 10, place->y + 33, "start", "muted", words, 0);
    if (place->hosted > 0)
        put_hosted(drawing, v, left + 10, place->y + BOX_HEAD + 13, "start");
    else if (node->processors > 0)
        es_svg_text(&drawing->svg, left + 10, place->y + BOX_HEAD + 13, "start", "muted",
                    "hosts nothing", 0);
}

static void put_dot(es_drawing *drawing, uint32_t v)
{
    const es_place *place = &drawing->places[v];
    const es_node *node = node_at(drawing, v);
    char class[32];
    (void)snprintf(class, sizeof class, "%s t%u", place->hosted > 0 ? "dot hosting" : "dot",
                   (unsigned)node->tier);
    es_svg_circle(&drawing->svg, place->x, place->y, place->hosted > 0 ? 7 : 4, class, node->name);
    if (!place->named)
        return;
    bool right = place->x < WIDTH - 130;
    double x = place->x + (right ? 11 : -11);
    es_svg_text(&drawing->svg, x, place->y + 4, right ? "start" : "end", "nodename halo",
                node->name, 20);
    uint32_t shown = 0;
    for (size_t i = 0; drawing->plan != NULL && i < drawing->plan->placement_count; i++) {
        es_placement placement = drawing->plan->placements[i];
        if (placement.node.index != v || shown == DOT_HOSTED_MAX)
            continue;
        shown++;
        es_svg_text(&drawing->svg, x, place->y + 4 + 13.0 * shown, right ? "start" : "end",
                    "hosted halo",
                    drawing->report->scenario->segments[placement.segment.index].name, 22);
    }
}

static void begin(es_drawing *drawing)
{
    drawing->svg = es_svg_begin(drawing->out, WIDTH, drawing->height,
                                "Network: nodes with what they host, links, and where requests go");
}

void es_draw_topology(const es_report *report, es_text *out)
{
    uint32_t node_count = es_network_node_count(report->scenario->network);
    es_drawing drawing = {.report = report,
                          .network = report->scenario->network,
                          .plan = report->case_count > 0 ? report->cases[0].plan : NULL,
                          .out = out,
                          .node_count = node_count,
                          .boxes = node_count <= BOXES_MAX,
                          .places = calloc(node_count, sizeof(es_place))};
    if (drawing.places == NULL) {
        out->status = ES_ERR_NOMEM;
        return;
    }
    es_labels_init(&drawing.labels);
    bool map = all_placed(&drawing);
    drawing.boxes = drawing.boxes && !map;
    count_uses(&drawing);
    /* the height is known only after placing, and placing in columns writes the tiers' names */
    es_text names;
    es_text_init(&names, (size_t)1 << 16);
    drawing.svg.out = &names;
    if (map)
        place_on_map(&drawing);
    else
        place_in_columns(&drawing);
    begin(&drawing);
    drawing.labels.room = (es_box){0, 0, WIDTH, drawing.height};
    es_text_append(out, es_text_get(&names));
    es_text_done(&names);
    put_links(&drawing);
    put_flows(&drawing);
    for (uint32_t v = 0; v < node_count; v++) {
        if (drawing.boxes)
            put_box(&drawing, v);
        else
            put_dot(&drawing, v);
    }
    es_text_append(out, es_text_get(&drawing.labels.text));
    es_labels_done(&drawing.labels);
    es_svg_end(&drawing.svg);
    free(drawing.places);
}
