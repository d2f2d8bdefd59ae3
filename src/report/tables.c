/* The tables of the page. */
#include "report/internal.h"

#include <math.h>

enum { ROWS_MAX = 300 }; /* of a table; what is left out is said */

static void put_head(es_text *out, const char *class, const char *span, const char *words)
{
    es_text_format(out, "<th scope=\"col\"%s%s>", class, span);
    es_put_html(out, words, 0);
    es_text_append(out, "</th>");
}

static void put_cell(es_text *out, const char *class, const char *words)
{
    es_text_format(out, "<td class=\"%s\">", class);
    es_put_html(out, words, 0);
    es_text_append(out, "</td>");
}

static void put_number_cell(es_text *out, const char *class, double value)
{
    char number[ES_NUMBER_SIZE];
    put_cell(out, class, es_show_number(value, number));
}

/* ---- comparison ---- */

static void put_comparison_head(const es_report *report, const bool *sides, size_t columns,
                                es_text *out)
{
    char span[32];
    (void)snprintf(span, sizeof span, " colspan=\"%zu\"", columns);
    es_text_append(out, "<thead><tr><td></td>");
    for (size_t i = 0; i < report->case_count; i++)
        put_head(out, i == 0 ? " class=\"case first\"" : " class=\"case\"", span,
                 report->cases[i].label);
    es_text_append(out, "</tr>\n<tr><td></td>");
    for (size_t i = 0; i < report->case_count; i++) {
        const char *class = i == 0 ? " class=\"n first\"" : " class=\"n\"";
        for (int s = 0; s < ES_SIDE_COUNT; s++) {
            if (sides[s])
                put_head(out, class, "", es_side_names[s]);
        }
        if (sides[ES_SIDE_PREDICTED] && sides[ES_SIDE_MEASURED])
            put_head(out, class, "", "deviation");
    }
    es_text_append(out, "</tr></thead>\n<tbody>\n");
}

static void put_comparison_row(const es_report *report, const bool *sides, es_figure figure,
                               es_text *out)
{
    const es_figure_info *info = &es_figures[figure];
    es_figure sized = info->part ? ES_FIGURE_ENERGY : figure;
    es_scale scale = es_scale_of(info->unit, es_report_largest(report, sized));
    char deviation[ES_NUMBER_SIZE];
    es_text_format(out, "<tr%s><th scope=\"row\">%s, %s</th>", info->part ? " class=\"part\"" : "",
                   info->name, scale.unit);
    for (size_t i = 0; i < report->case_count; i++) {
        const es_report_case *one = &report->cases[i];
        const char *class = i == 0 ? "n first" : "n";
        for (int s = 0; s < ES_SIDE_COUNT; s++) {
            if (sides[s])
                put_number_cell(out, class,
                                scale.factor *
                                    es_figure_value(es_case_outcome(one, (es_side)s), figure));
        }
        if (sides[ES_SIDE_PREDICTED] && sides[ES_SIDE_MEASURED])
            put_cell(out, class,
                     es_show_deviation(es_figure_value(one->measured, figure),
                                       es_figure_value(one->predicted, figure), deviation));
    }
    es_text_append(out, "</tr>\n");
}

static void put_classes(const es_report *report, es_text *out)
{
    es_scale scale = es_scale_of(ES_UNIT_S, es_report_largest(report, ES_FIGURE_LATENCY_P95));
    size_t rows = 0;
    size_t left_out = 0;
    es_text_format(out,
                   "<h2>By request class</h2>\n<div class=\"scroll\"><table><thead><tr>"
                   "<th scope=\"col\">Class</th><th scope=\"col\">Case</th>"
                   "<th scope=\"col\" class=\"n\">Requests</th>"
                   "<th scope=\"col\" class=\"n\">Mean, %s</th>"
                   "<th scope=\"col\" class=\"n\">95 %% interval</th>"
                   "<th scope=\"col\" class=\"n\">p95, %s</th>"
                   "<th scope=\"col\" class=\"n\">Quality, %%</th>"
                   "<th scope=\"col\" class=\"n\">Late</th>"
                   "<th scope=\"col\" class=\"n\">Not served</th></tr></thead>\n<tbody>\n",
                   scale.unit, scale.unit);
    const es_scenario *scenario = report->scenario;
    for (uint32_t c = 0; c < scenario->class_count; c++) {
        const es_class *class = &scenario->classes[c];
        for (size_t i = 0; i < report->case_count; i++) {
            const es_outcome *outcome = es_case_best(&report->cases[i]);
            if (rows++ >= ROWS_MAX) {
                left_out++;
                continue;
            }
            const es_outcome_row none = {.latency_s_mean = (double)NAN,
                                         .latency_s_mean_ci95 = (double)NAN,
                                         .latency_s_p95 = (double)NAN,
                                         .quality_mean = (double)NAN,
                                         .arrived = (double)NAN,
                                         .late = (double)NAN};
            const es_outcome_row *row =
                outcome != NULL && c < outcome->class_count ? &outcome->class_rows[c] : &none;
            char words[ES_NUMBER_SIZE];
            char interval[ES_NUMBER_SIZE + 8];
            es_text_append(out, "<tr><td class=\"name\">");
            es_put_html(out, scenario->tasks[class->task.index].name, 0);
            es_text_append(out, " at ");
            es_put_html(out, es_network_node(scenario->network, class->node)->name, 0);
            es_text_append(out, "</td>");
            put_cell(out, "name", report->cases[i].label);
            put_number_cell(out, "n", row->arrived);
            put_number_cell(out, "n", scale.factor * row->latency_s_mean);
            bool still = row->latency_s_mean_ci95 < 1e-4 * row->latency_s_mean; /* rounding */
            es_show_number(still ? 0 : scale.factor * row->latency_s_mean_ci95, words);
            (void)snprintf(interval, sizeof interval, "%s%s",
                           isfinite(row->latency_s_mean_ci95) ? "\xc2\xb1 " : "", words);
            put_cell(out, "n", interval);
            put_number_cell(out, "n", scale.factor * row->latency_s_p95);
            put_number_cell(out, "n", 100 * row->quality_mean);
            put_number_cell(out, "n", row->late);
            put_number_cell(out, "n", outcome != NULL ? row->arrived - row->served : (double)NAN);
            es_text_append(out, "</tr>\n");
        }
    }
    es_text_append(out, "</tbody></table></div>\n");
    if (left_out > 0)
        es_text_format(out, "<p class=\"hint\">%zu more rows are left out; the CSV has all.</p>\n",
                       left_out);
}

/* Of one outcome and node, over all slots. */
typedef struct node_sum {
    double dynamic_j, idle_j;
    double measured_j;  /* of the slots that have a source */
    double network_j;   /* of requests that enter here */
    const char *source; /* NULL: no counters */
    uint32_t slots, measured_slots;
} node_sum;

static node_sum sum_node(const es_scenario *scenario, const es_outcome *outcome, uint32_t v)
{
    node_sum sum = {0};
    for (uint32_t s = 0; s < outcome->slot_count && v < outcome->node_count; s++) {
        const es_node_use *use = &outcome->node_uses[(size_t)s * outcome->node_count + v];
        sum.dynamic_j += use->dynamic_j;
        sum.idle_j += use->idle_j;
        sum.slots += use->duration_s > 0;
        if (use->measured_source == NULL)
            continue;
        sum.measured_j += use->measured_j;
        sum.measured_slots++;
        if (sum.source == NULL)
            sum.source = use->measured_source;
    }
    for (uint32_t c = 0; c < outcome->class_count && c < scenario->class_count; c++) {
        if (scenario->classes[c].node.index == v)
            sum.network_j += outcome->class_rows[c].energy_network_j;
    }
    return sum;
}

static void put_source(const node_sum *sum, es_text *out)
{
    char words[96];
    if (sum->source == NULL)
        (void)snprintf(words, sizeof words, "model");
    else if (sum->measured_slots < sum->slots)
        (void)snprintf(words, sizeof words, "%.60s, %u of %u slots", sum->source,
                       sum->measured_slots, sum->slots);
    else
        (void)snprintf(words, sizeof words, "%.60s", sum->source);
    put_cell(out, "name", words);
}

/* False: nothing was used there, so there is no row. */
static bool put_node_energy(const es_report *report, uint32_t v, size_t i, es_side side,
                            es_text *out)
{
    const es_outcome *outcome = es_case_outcome(&report->cases[i], side);
    if (outcome == NULL)
        return false;
    node_sum sum = sum_node(report->scenario, outcome, v);
    if (!(sum.dynamic_j + sum.idle_j + sum.measured_j + sum.network_j > 0))
        return false;
    es_text_append(out, "<tr>");
    put_cell(out, "name", es_network_node(report->scenario->network, (es_node_id){v})->name);
    put_cell(out, "name", report->cases[i].label);
    put_cell(out, "", side == ES_SIDE_MEASURED ? "run" : "computed");
    put_number_cell(out, "n", sum.dynamic_j);
    put_number_cell(out, "n", sum.source != NULL ? sum.measured_j : (double)NAN);
    put_source(&sum, out);
    put_number_cell(out, "n", sum.idle_j);
    put_number_cell(out, "n", sum.network_j);
    es_text_append(out, "</tr>\n");
    return true;
}

static void put_energy(const es_report *report, es_text *out)
{
    size_t rows = 0;
    es_text_append(
        out, "<h2>Energy by node</h2>\n<p class=\"hint\">Joules over all slots. Requests, idle and "
             "network are what the scenario declares for the work done, as everywhere on this "
             "page; network is of links, by the node where the requests enter. By counters: what "
             "the machine that ran the node told of its process, above rest; not of the "
             "device that the node stands for.</p>\n"
             "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">Node</th>"
             "<th scope=\"col\">Case</th><th scope=\"col\"></th>"
             "<th scope=\"col\" class=\"n\">Requests, J</th>"
             "<th scope=\"col\" class=\"n\">by counters, J</th><th scope=\"col\">Source</th>"
             "<th scope=\"col\" class=\"n\">Idle, J</th>"
             "<th scope=\"col\" class=\"n\">Network, J</th></tr></thead>\n<tbody>\n");
    for (uint32_t v = 0; v < es_network_node_count(report->scenario->network); v++)
        for (size_t i = 0; i < report->case_count; i++)
            for (int s = 0; s < ES_SIDE_COUNT && rows < ROWS_MAX; s++)
                rows += put_node_energy(report, v, i, (es_side)s, out);
    es_text_append(out, "</tbody></table></div>\n");
    if (rows >= ROWS_MAX)
        es_text_format(out, "<p class=\"hint\">The first %d rows; the outcomes have all.</p>\n",
                       ROWS_MAX);
}

void es_page_comparison(const es_report *report, es_text *out)
{
    bool sides[ES_SIDE_COUNT];
    size_t columns = 0;
    for (int s = 0; s < ES_SIDE_COUNT; s++) {
        sides[s] = es_report_has(report, (es_side)s);
        columns += sides[s];
    }
    if (columns == 2)
        columns = 3;
    if (columns == 0)
        sides[ES_SIDE_PREDICTED] = ++columns > 0;
    es_text_append(out, "<h2>Comparison</h2>\n<div class=\"scroll\"><table>\n");
    put_comparison_head(report, sides, columns, out);
    for (int f = 0; f < ES_FIGURE_COUNT; f++) {
        if (es_report_shows(report, (es_figure)f))
            put_comparison_row(report, sides, (es_figure)f, out);
    }
    es_text_append(out, "</tbody></table></div>\n");
    for (size_t i = 0; i < report->case_count; i++) {
        const char *note = es_case_note(&report->cases[i]);
        if (note == NULL)
            continue;
        es_text_append(out, "<p class=\"note\"><b>");
        es_put_html(out, report->cases[i].label, 0);
        es_text_append(out, "</b>: ");
        es_put_html(out, note, 0);
        es_text_append(out, "</p>\n");
    }
}

void es_page_details(const es_report *report, es_text *out)
{
    put_classes(report, out);
    if (es_report_has(report, ES_SIDE_PREDICTED) || es_report_has(report, ES_SIDE_MEASURED))
        put_energy(report, out);
}

/* ---- decision ---- */

static void put_left_out(es_text *out, size_t count)
{
    if (count > ROWS_MAX)
        es_text_format(out, "<p class=\"hint\">%zu more are left out; the plan file has all.</p>\n",
                       count - ROWS_MAX);
}

static void put_placements(const es_report *report, const es_plan *plan, es_text *out)
{
    const es_scenario *scenario = report->scenario;
    es_text_append(out, "<h2>Placements</h2>\n<p class=\"hint\">Which model parts each node holds "
                        "in memory.</p>\n<div class=\"scroll\"><table><thead><tr>"
                        "<th scope=\"col\">Node</th><th scope=\"col\">Tier</th>"
                        "<th scope=\"col\">Segment</th><th scope=\"col\">Variant</th>"
                        "<th scope=\"col\" class=\"n\">Memory, MB</th>"
                        "<th scope=\"col\" class=\"n\">of the node's, %</th>"
                        "<th scope=\"col\" class=\"n\">Service, ms</th></tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < plan->placement_count && i < ROWS_MAX; i++) {
        es_placement placement = plan->placements[i];
        const es_segment *segment = &scenario->segments[placement.segment.index];
        const es_node *node = es_network_node(scenario->network, placement.node);
        es_service service = es_scenario_service(scenario, placement.segment, placement.node);
        es_text_append(out, "<tr>");
        put_cell(out, "name", node->name);
        put_cell(out, "", es_tier_name(node->tier));
        put_cell(out, "name", segment->name);
        put_cell(out, "name", segment->variant != NULL ? segment->variant : segment->name);
        put_number_cell(out, "n", segment->memory_bytes / 1e6);
        put_number_cell(out, "n", 100 * segment->memory_bytes / node->memory_bytes);
        put_number_cell(out, "n", 1000 * service.time_s);
        es_text_append(out, "</tr>\n");
    }
    es_text_append(out, "</tbody></table></div>\n");
    put_left_out(out, plan->placement_count);
}

static void put_routings(const es_report *report, const es_plan *plan, es_text *out)
{
    const es_scenario *scenario = report->scenario;
    es_text route;
    es_text_init(&route, (size_t)1 << 20);
    es_text_append(out, "<h2>Routing</h2>\n<p class=\"hint\">Which way each class of requests "
                        "goes. Latency, energy and carbon are those of one request that never "
                        "waits.</p>\n<div class=\"scroll\"><table><thead><tr>"
                        "<th scope=\"col\">Class</th><th scope=\"col\" class=\"n\">Share, %</th>"
                        "<th scope=\"col\">Pipeline and nodes</th>"
                        "<th scope=\"col\" class=\"n\">Latency, ms</th>"
                        "<th scope=\"col\" class=\"n\">Quality, %</th>"
                        "<th scope=\"col\" class=\"n\">Energy, mJ</th>"
                        "<th scope=\"col\" class=\"n\">CO2e, mg</th></tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < plan->routing_count && i < ROWS_MAX; i++) {
        const es_routing *routing = &plan->routings[i];
        const es_class *class = &scenario->classes[routing->class_id.index];
        es_price price =
            es_scenario_price(scenario, routing->class_id, routing->pipeline, routing->nodes);
        es_text_clear(&route);
        es_put_route(&route, scenario, routing, " \xe2\x86\x92 ");
        es_text_append(out, "<tr><td class=\"name\">");
        es_put_html(out, scenario->tasks[class->task.index].name, 0);
        es_text_append(out, " at ");
        es_put_html(out, es_network_node(scenario->network, class->node)->name, 0);
        es_text_append(out, "</td>");
        put_number_cell(out, "n", 100 * routing->share);
        put_cell(out, "name", es_text_get(&route));
        put_number_cell(out, "n", 1000 * price.latency_s);
        put_number_cell(out, "n", 100 * price.quality);
        put_number_cell(out, "n", 1000 * (price.energy_compute_j + price.energy_network_j));
        put_number_cell(out, "n", 1000 * price.carbon_g);
        es_text_append(out, "</tr>\n");
    }
    es_text_done(&route);
    es_text_append(out, "</tbody></table></div>\n");
    put_left_out(out, plan->routing_count);
}

void es_page_decision(const es_report *report, es_text *out)
{
    const es_plan *plan = report->case_count > 0 ? report->cases[0].plan : NULL;
    if (plan == NULL)
        return;
    put_placements(report, plan, out);
    put_routings(report, plan, out);
}
