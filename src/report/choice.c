/* What there was to choose from: latency, energy and quality of every pipeline of a task. */
#include "report/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHOICES_MAX = 600,
    NEAR_MAX = 16, /* nodes that are tried, the nearest of each kind */
    ROWS_MAX = 40  /* of the table */
};

/* A pipeline on nodes: stages before `cut` on one, the others on another one. */
typedef struct choice {
    es_price price;
    const char *pipeline;
    double bytes; /* of its segments */
    char where[96];
    char tiers[96]; /* likewise */
    char title[256];
    bool chosen;
    uint32_t tier;
} choice;

typedef struct choices {
    const es_scenario *scenario;
    uint32_t class; /* that stands for the task */
    size_t count;
    choice items[CHOICES_MAX];
} choices;

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

/* ---- what can be hosted ---- */

static bool first_use(const es_pipeline *pipeline, uint32_t stage, const es_node_id *nodes)
{
    for (uint32_t k = 0; k < stage; k++) {
        if (pipeline->stages[k].segment.index == pipeline->stages[stage].segment.index &&
            nodes[k].index == nodes[stage].index)
            return false;
    }
    return true;
}

/* Whether each node has the memory for the segments that it would hold. */
static bool fits(const es_scenario *scenario, const es_pipeline *pipeline, const es_node_id *nodes)
{
    for (uint32_t k = 0; k < pipeline->stage_count; k++) {
        double bytes = 0;
        for (uint32_t j = 0; j < pipeline->stage_count; j++) {
            if (nodes[j].index == nodes[k].index && first_use(pipeline, j, nodes))
                bytes += scenario->segments[pipeline->stages[j].segment.index].memory_bytes;
        }
        if (bytes > es_network_node(scenario->network, nodes[k])->memory_bytes)
            return false;
    }
    return true;
}

/* ---- words ---- */

/* "sensor-1 -> hall"; of tiers "device -> edge". */
static void say_where(const es_scenario *scenario, const es_pipeline *pipeline,
                      const es_node_id *nodes, bool tiers, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (uint32_t k = 0; k < pipeline->stage_count && at < size; k++) {
        const es_node *node = es_network_node(scenario->network, nodes[k]);
        if (k > 0 && nodes[k].index == nodes[k - 1].index)
            continue;
        int more = snprintf(out + at, size - at, "%s%.32s", k == 0 ? "" : " \xe2\x86\x92 ",
                            tiers ? es_tier_names[node->tier] : node->name);
        at += more > 0 ? (size_t)more : 0;
    }
}

static double energy_of(const choice *c)
{
    return c->price.energy_compute_j + c->price.energy_network_j;
}

static void say(const choices *all, const es_pipeline *pipeline, const es_node_id *nodes, choice *c)
{
    char latency[ES_NUMBER_SIZE];
    char quality[ES_NUMBER_SIZE];
    char energy[ES_NUMBER_SIZE];
    char where[sizeof c->where];
    say_where(all->scenario, pipeline, nodes, true, c->tiers, sizeof c->tiers);
    say_where(all->scenario, pipeline, nodes, false, where, sizeof where);
    memcpy(c->where, where, sizeof where);
    (void)snprintf(c->title, sizeof c->title, "%.60s on %.90s: %s, quality %s, %s", pipeline->name,
                   where, es_show_quantity(c->price.latency_s, ES_UNIT_S, latency),
                   es_show_quantity(c->price.quality, ES_UNIT_SHARE, quality),
                   es_show_quantity(energy_of(c), ES_UNIT_J, energy));
}

/* ---- collecting ---- */

static bool is_there(const choices *all, const choice *new)
{
    for (size_t i = 0; i < all->count; i++) {
        const choice *c = &all->items[i];
        if (strcmp(c->pipeline, new->pipeline) == 0 && strcmp(c->where, new->where) == 0 &&
            !(fabs(c->price.latency_s - new->price.latency_s) > 1e-9 * new->price.latency_s))
            return true;
    }
    return false;
}

static void add(choices *all, uint32_t class, uint32_t pipeline, const es_node_id *nodes,
                bool chosen)
{
    const es_scenario *scenario = all->scenario;
    const es_pipeline *given = &scenario->pipelines[pipeline];
    es_price price =
        es_scenario_price(scenario, (es_class_id){class}, (es_pipeline_id){pipeline}, nodes);
    if (!price.reachable || all->count == CHOICES_MAX || !(price.latency_s > 0) ||
        !fits(scenario, given, nodes))
        return;
    choice *c = &all->items[all->count];
    *c = (choice){.price = price, .pipeline = given->name, .chosen = chosen};
    c->tier = es_network_node(scenario->network, nodes[given->stage_count - 1])->tier;
    for (uint32_t k = 0; k < given->stage_count; k++)
        c->bytes += scenario->segments[given->stages[k].segment.index].memory_bytes;
    say(all, given, nodes, c);
    if (!is_there(all, c))
        all->count++;
}

/* Routings of other classes of the task are shown once for each pipeline and row of kinds. */
static bool same_way(const es_scenario *scenario, const es_routing *a, const es_routing *b)
{
    if (a->pipeline.index != b->pipeline.index)
        return false;
    for (uint32_t k = 0; k < scenario->pipelines[a->pipeline.index].stage_count; k++) {
        if (scenario->node_kinds[a->nodes[k].index] != scenario->node_kinds[b->nodes[k].index])
            return false;
    }
    return true;
}

static void add_chosen(choices *all, const es_plan *plan, es_task_id task)
{
    const es_routing *shown[CHOICES_MAX];
    size_t count = 0;
    for (int own = 1; own >= 0; own--) { /* those of the class that stands for the task first */
        for (size_t i = 0; i < plan->routing_count && count < CHOICES_MAX; i++) {
            const es_routing *routing = &plan->routings[i];
            uint32_t class = routing->class_id.index;
            bool known = all->scenario->classes[class].task.index != task.index ||
                         (class == all->class) != (own == 1);
            for (size_t k = 0; k < count && !known; k++)
                known = same_way(all->scenario, shown[k], routing);
            if (known)
                continue;
            shown[count++] = routing;
            add(all, class, routing->pipeline.index, routing->nodes, true);
        }
    }
}

/* Of each kind of node, the one nearest to where the class enters; from near to far. */
static size_t find_near(const es_scenario *scenario, es_node_id entry, uint32_t near[NEAR_MAX])
{
    double latency_s[NEAR_MAX];
    size_t count = 0;
    for (uint32_t v = 0; v < es_network_node_count(scenario->network); v++) {
        es_route route;
        if (es_network_node(scenario->network, (es_node_id){v})->processors <= 0 ||
            !es_routes_get(scenario->routes, entry, (es_node_id){v}, &route))
            continue;
        size_t at = 0;
        while (at < count && scenario->node_kinds[near[at]] != scenario->node_kinds[v])
            at++;
        if (at == count && count == NEAR_MAX)
            continue;
        if (at < count && latency_s[at] <= route.latency_s)
            continue;
        count += at == count;
        for (; at > 0 && latency_s[at - 1] > route.latency_s; at--) {
            near[at] = near[at - 1];
            latency_s[at] = latency_s[at - 1];
        }
        near[at] = v;
        latency_s[at] = route.latency_s;
    }
    return count;
}

/* All stages on one node, or the first ones on a node and the others on one further away. */
static void add_possible(choices *all, es_task_id task)
{
    const es_scenario *scenario = all->scenario;
    uint32_t near[NEAR_MAX];
    size_t near_count = find_near(scenario, scenario->classes[all->class].node, near);
    for (uint32_t p = scenario->task_pipelines[task.index];
         p < scenario->task_pipelines[task.index + 1]; p++) {
        uint32_t stages = scenario->pipelines[p].stage_count;
        for (size_t u = 0; u < near_count; u++) {
            for (size_t v = u; v < near_count; v++) {
                for (uint32_t cut = 1; cut < (v == u ? 2 : stages); cut++) {
                    es_node_id nodes[ES_STAGE_COUNT_MAX];
                    for (uint32_t k = 0; k < stages; k++)
                        nodes[k] = (es_node_id){near[v == u || k < cut ? u : v]};
                    add(all, all->class, p, nodes, false);
                }
            }
        }
    }
}

/* ---- drawing ---- */

typedef enum measure { LATENCY, ENERGY } measure;

static double measure_of(const choice *c, measure what)
{
    return what == LATENCY ? c->price.latency_s : energy_of(c);
}

static void draw(const choices *all, measure what, es_text *out)
{
    es_spot *spots = calloc(all->count + 1, sizeof *spots);
    double largest = 0;
    double least = (double)INFINITY;
    for (size_t i = 0; i < all->count; i++) {
        double value = measure_of(&all->items[i], what);
        largest = fmax(largest, value);
        least = value > 0 ? fmin(least, value) : least;
    }
    if (spots == NULL || !(largest > 0)) {
        free(spots);
        return;
    }
    static const char *const classes[] = {"t0", "t1", "t2", "t3"};
    es_scale scale = es_scale_of(what == LATENCY ? ES_UNIT_S : ES_UNIT_J, sqrt(least * largest));
    for (size_t i = 0; i < all->count; i++) {
        const choice *c = &all->items[i];
        spots[i] = (es_spot){.x = measure_of(c, what) * scale.factor,
                             .y = 100 * c->price.quality,
                             .name = c->pipeline,
                             .where = c->tiers,
                             .title = c->title,
                             .class = classes[c->tier],
                             .chosen = c->chosen};
    }
    char name[64];
    (void)snprintf(name, sizeof name,
                   what == LATENCY ? "latency without waiting, %s (logarithmic)"
                                   : "energy above idle, %s per request (logarithmic)",
                   scale.unit);
    double asked = 100 * all->scenario->classes[all->class].quality_min;
    es_plane plane = {.title =
                          what == LATENCY ? "Quality against latency" : "Quality against energy",
                      .x_name = name,
                      .y_name = "quality, %",
                      .spots = spots,
                      .count = all->count,
                      .y_least = asked > 0 ? asked : (double)NAN};
    es_text_append(out, "<figure>\n");
    es_draw_plane(&plane, out);
    es_text_append(out, "</figure>\n");
    free(spots);
}

static void put_number(es_text *out, double value)
{
    char number[ES_NUMBER_SIZE];
    es_text_format(out, "<td class=\"n\">%s</td>", es_show_number(value, number));
}

static void put_table(const choices *all, es_text *out)
{
    es_text_append(out, "<details><summary>The figures</summary><div class=\"scroll\"><table>"
                        "<thead><tr><th>Pipeline</th><th>Nodes</th><th class=\"n\">Quality, %</th>"
                        "<th class=\"n\">Latency, ms</th><th class=\"n\">Energy, mJ</th>"
                        "<th class=\"n\">Models, kB</th></tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < all->count && i < ROWS_MAX; i++) {
        const choice *c = &all->items[i];
        es_text_append(out, c->chosen ? "<tr class=\"first\"><td>" : "<tr><td>");
        es_put_html(out, c->pipeline, 0);
        es_text_append(out, "</td><td>");
        es_put_html(out, c->where, 0);
        es_text_append(out, c->chosen ? " (in the plan)</td>" : "</td>");
        put_number(out, 100 * c->price.quality);
        put_number(out, 1e3 * c->price.latency_s);
        put_number(out, 1e3 * energy_of(c));
        put_number(out, 1e-3 * c->bytes);
        es_text_append(out, "</tr>\n");
    }
    es_text_append(out, "</tbody></table></div>");
    if (all->count > ROWS_MAX)
        es_text_format(out, "<p class=\"hint\">%zu more are left out.</p>", all->count - ROWS_MAX);
    es_text_append(out, "</details>\n");
}

void es_page_choice(const es_report *report, es_task_id task, es_text *out)
{
    choices *all = calloc(1, sizeof *all);
    if (all == NULL)
        return;
    all->scenario = report->scenario;
    all->class = class_of(report->scenario, task);
    if (all->class != ES_INDEX_NONE) {
        if (report->case_count > 0 && report->cases[0].plan != NULL)
            add_chosen(all, report->cases[0].plan, task);
        add_possible(all, task);
        es_text_append(out, "<div class=\"charts\">\n");
        draw(all, LATENCY, out);
        draw(all, ENERGY, out);
        es_text_append(out, "</div>\n");
        put_table(all, out);
    }
    free(all);
}
