#include "report/internal.h"

#include <math.h>

enum { PLANES_MAX = 4 };

/* ---- head ---- */

static void put_tile(const es_report *report, es_figure figure, const char *name, es_text *out)
{
    const es_figure_info *info = &es_figures[figure];
    double value = es_figure_value(es_case_best(&report->cases[0]), figure);
    char words[ES_NUMBER_SIZE];
    es_text_append(out, "<div class=\"tile\"><b>");
    es_put_html(out, es_show_quantity(value, info->unit, words), 0);
    es_text_format(out, "</b><span>%s</span>", name);
    for (size_t i = 1; i < report->case_count && i < 4; i++) {
        double other = es_figure_value(es_case_best(&report->cases[i]), figure);
        es_text_append(out, i == 1 ? "<span class=\"than\">" : "<span>");
        es_put_html(out, es_show_quantity(other, info->unit, words), 0);
        es_text_append(out, " ");
        es_put_html(out, report->cases[i].label, 24);
        es_text_append(out, "</span>");
    }
    es_text_append(out, "</div>\n");
}

/* "48 ms (device only) and 61 ms (cloud only)"; false when no other case has the figure. */
static bool put_others(const es_report *report, es_figure figure, es_text *out)
{
    size_t last = 0;
    size_t count = 0;
    for (size_t i = 1; i < report->case_count; i++) {
        if (isfinite(es_figure_value(es_case_best(&report->cases[i]), figure))) {
            last = i;
            count++;
        }
    }
    size_t shown = 0;
    for (size_t i = 1; i <= last; i++) {
        double value = es_figure_value(es_case_best(&report->cases[i]), figure);
        char words[ES_NUMBER_SIZE];
        if (!isfinite(value))
            continue;
        es_text_append(out, shown == 0 ? "" : shown + 1 == count ? " and " : ", ");
        es_put_html(out, es_show_quantity(value, es_figures[figure].unit, words), 0);
        es_text_append(out, " (");
        es_put_html(out, report->cases[i].label, 0);
        es_text_append(out, ")");
        shown++;
    }
    return count > 0;
}

static void put_against(const es_report *report, es_figure figure, es_text *out)
{
    es_text others;
    es_text_init(&others, (size_t)1 << 20);
    if (put_others(report, figure, &others)) {
        es_text_append(out, ", against ");
        es_text_append(out, es_text_get(&others));
    }
    es_text_done(&others);
}

static void put_quantity(double value, es_unit unit, es_text *out)
{
    char words[ES_NUMBER_SIZE];
    es_put_html(out, es_show_quantity(value, unit, words), 0);
}

static void put_summary(const es_report *report, es_text *out)
{
    const es_report_case *first = &report->cases[0];
    const es_outcome *outcome = es_case_best(first);
    es_text_append(out, "<p class=\"summary\">");
    if (outcome == NULL || outcome->total.served <= 0) {
        es_text_append(out, "<b>");
        es_put_html(out, first->label, 0);
        es_text_append(out, "</b> answered no requests");
        if (es_case_note(first) != NULL) {
            es_text_append(out, ": ");
            es_put_html(out, es_case_note(first), 0);
        }
        es_text_append(out, ".</p>\n");
        return;
    }
    const es_outcome_row *total = &outcome->total;
    es_text_append(out, "With <b>");
    es_put_html(out, first->label, 0);
    es_text_append(out, "</b>, 95 % of the answers came within <b>");
    put_quantity(total->latency_s_p95, ES_UNIT_S, out);
    es_text_append(out, "</b>");
    if (first->measured != NULL && first->predicted != NULL) {
        es_text_append(out, " (predicted: ");
        put_quantity(first->predicted->total.latency_s_p95, ES_UNIT_S, out);
        es_text_append(out, ")");
    } else {
        es_text_append(out, first->measured != NULL ? " (measured)" : " (predicted)");
    }
    put_against(report, ES_FIGURE_LATENCY_P95, out);
    es_text_append(out, ". Mean quality is <b>");
    put_quantity(total->quality_mean, ES_UNIT_SHARE, out);
    es_text_append(out, "</b>");
    put_against(report, ES_FIGURE_QUALITY, out);
    es_text_append(out, ". A request takes <b>");
    put_quantity(es_figure_value(outcome, ES_FIGURE_ENERGY), ES_UNIT_J, out);
    es_text_append(out, "</b>");
    put_against(report, ES_FIGURE_ENERGY, out);
    double idle = outcome->energy_idle_j / outcome->energy_total_j;
    if (isfinite(idle) && idle > 0)
        es_text_format(out, "; %.0f %% of it is the idle power of nodes that are kept on",
                       100 * idle);
    es_text_append(out, ".");
    double lost = total->refused + total->failed;
    char number[ES_NUMBER_SIZE];
    if (lost > 0)
        es_text_format(out, " %s requests were refused or failed.", es_show_number(lost, number));
    if (total->in_flight > 0)
        es_text_format(out, " %s were unfinished at the end.",
                       es_show_number(total->in_flight, number));
    es_text_append(out, "</p>\n");
}

static void put_head(const es_report *report, es_text *out)
{
    es_page_open(es_report_title(report), "", out);
    bool both = es_report_has(report, ES_SIDE_PREDICTED) && es_report_has(report, ES_SIDE_MEASURED);
    es_text_append(out, both ? "<main>\n<h1>" : "<main class=\"single\">\n<h1>");
    es_put_html(out, es_report_title(report), 0);
    es_text_append(out, "</h1>\n");
    if (report->scenario->description != NULL && report->scenario->description[0] != '\0') {
        es_text_append(out, "<p class=\"lead\">");
        es_put_html(out, report->scenario->description, 0);
        es_text_append(out, "</p>\n");
    }
}

/* ---- charts ---- */

static void put_case_legend(const es_report *report, es_text *out)
{
    es_text_append(out, "<ul class=\"legend\">");
    for (size_t i = 0; i < report->case_count; i++) {
        es_text_format(out, "<li class=\"k%zu\"><i></i><b>", i % ES_SERIES_COUNT);
        es_put_html(out, report->cases[i].label, 0);
        es_text_append(out, "</b></li>");
    }
    if (es_report_has(report, ES_SIDE_PREDICTED) && es_report_has(report, ES_SIDE_MEASURED))
        es_text_append(out, "<li class=\"k4\"><i class=\"pale\"></i><b>pale or dashed: predicted"
                            "</b></li><li class=\"k4\"><i></i><b>full: measured</b></li>");
    es_text_append(out, "</ul>\n");
}

static void put_figure(const es_report *report, const char *title,
                       void (*chart)(const es_report *report, es_text *out), const char *caption,
                       es_text *out)
{
    es_text_format(out, "<figure><h3>%s</h3>\n", title);
    chart(report, out);
    es_text_format(out, "<figcaption>%s</figcaption></figure>\n", caption);
}

static void put_charts(const es_report *report, es_text *out)
{
    es_text_append(out, "<h2>Latency, energy, quality</h2>\n");
    put_case_legend(report, out);
    es_text_append(out, "<div class=\"charts\">\n");
    put_figure(report, "Latency", es_chart_latency,
               "Mean, and the time within which 95 % of the answers came.", out);
    put_figure(report, "Energy per request", es_chart_energy,
               "<span class=\"legend\"><span class=\"kc\"><i></i><b>compute</b></span>"
               "<span class=\"kn\"><i></i><b>network</b></span>"
               "<span class=\"ki\"><i></i><b>idle</b></span></span>",
               out);
    put_figure(report, "Quality", es_chart_quality, "Share of answers that are right.", out);
    put_figure(report, "Distribution of latency", es_chart_distribution,
               "The further left and the steeper, the better.", out);
    put_figure(report, "Latency over time", es_chart_slots, "Mean of each slot.", out);
    put_figure(report, "Load of nodes, first case", es_chart_load,
               "Busy time of the processors of each node, all slots together.", out);
    es_text_append(out, "</div>\n");
}

static void put_topology(const es_report *report, es_text *out)
{
    es_text_append(out, "<h2>What runs where</h2>\n<div class=\"scroll\"><div class=\"wide\">\n");
    es_draw_topology(report, out);
    es_text_append(out, "</div></div>\n<ul class=\"legend\"><li class=\"kf\"><i></i><b>requests of "
                        "the first case; the wider, the more</b></li><li class=\"k4\"><i></i><b>"
                        "links: one-way latency, bandwidth</b></li></ul>\n");
}

/* The colours of the tiers that there are. */
static void put_tiers(const es_network *network, es_text *out)
{
    static const char *const colours[ES_TIER_COUNT] = {"k2", "k0", "k4", "k3"}; /* of .t0 .. .t3 */
    const char *before = "ends at: ";
    for (int t = 0; t < ES_TIER_COUNT; t++) {
        bool there = false;
        for (uint32_t v = 0; v < es_network_node_count(network) && !there; v++)
            there = es_network_node(network, (es_node_id){v})->tier == (es_tier)t;
        if (!there)
            continue;
        es_text_format(out, "<li class=\"%s\"><i class=\"round\"></i><b>%s%s</b></li>", colours[t],
                       before, es_tier_name((es_tier)t));
        before = "";
    }
    es_text_append(out, "</ul>\n");
}

static void put_planes(const es_report *report, es_text *out)
{
    const es_scenario *scenario = report->scenario;
    uint32_t count = scenario->task_count < PLANES_MAX ? scenario->task_count : PLANES_MAX;
    es_text_append(out, "<h2>What there was to choose from</h2>\n<p class=\"hint\">Every pipeline "
                        "that fits, on the nearest node of each kind or from one to the next, for "
                        "one request that does not wait. Up and left is better; the line joins "
                        "what nothing shown beats.</p>\n<ul class=\"legend\">"
                        "<li><svg class=\"key\" viewBox=\"0 0 22 22\"><circle class=\"ring\" "
                        "cx=\"11\" cy=\"11\" r=\"9\"/></svg><b>in the plan</b></li>");
    put_tiers(scenario->network, out);
    for (uint32_t t = 0; t < count; t++) {
        es_text_append(out, "<h3 class=\"task\">");
        es_put_html(out, scenario->tasks[t].name, 0);
        es_text_append(out, "</h3>\n");
        es_page_choice(report, (es_task_id){t}, out);
    }
    if (scenario->task_count > count)
        es_text_format(out, "<p class=\"hint\">%u more tasks are left out.</p>\n",
                       scenario->task_count - count);
}

/* ---- how the figures came about ---- */

static void put_plan_words(const es_plan *plan, es_text *out)
{
    char objective[ES_NUMBER_SIZE];
    char gap[ES_NUMBER_SIZE];
    char bound[ES_NUMBER_SIZE];
    es_text_format(out, "<dt>Plan</dt><dd>Made by method %s; %s. Planned objective %s per second",
                   es_plan_method_names[plan->method], es_plan_quality_names[plan->quality],
                   es_show_number(plan->objective, objective));
    if (isfinite(plan->bound))
        es_text_format(out, ", proven to be at least %s (gap %s %%)",
                       es_show_number(plan->bound, bound),
                       es_show_number(100 * plan->gap_relative, gap));
    es_text_append(out, ".");
    es_text_append(out, "</dd>\n");
}

static void put_objective_words(const es_objective *weights, es_text *out)
{
    char a[ES_NUMBER_SIZE];
    char b[ES_NUMBER_SIZE];
    char c[ES_NUMBER_SIZE];
    char d[ES_NUMBER_SIZE];
    char e[ES_NUMBER_SIZE];
    char f[ES_NUMBER_SIZE];
    es_text_format(
        out,
        "<dt>Objective</dt><dd>What the run cost per second: per request %s per second of latency "
        "+ %s times (1 %s quality) + %s per joule + %s per gram of CO2e; %s per joule of "
        "idle power of nodes that host anything; hosting as the scenario prices it; a refused or "
        "failed request %s. A dash where refusing has no price and some were lost.</dd>\n",
        es_show_number(weights->latency_per_s, a), es_show_number(weights->quality, b),
        "\xe2\x88\x92", es_show_number(weights->energy_per_j, c),
        es_show_number(weights->carbon_per_g, d), es_show_number(weights->idle_per_j, e),
        isfinite(weights->refusal_cost) ? es_show_number(weights->refusal_cost, f)
                                        : "has no price");
}

void es_page_method(const es_report *report, es_text *out)
{
    const es_scenario *scenario = report->scenario;
    char slot[ES_NUMBER_SIZE];
    es_text_append(out, "<h2>How to read the figures</h2>\n<dl>\n");
    if (report->case_count > 0 && report->cases[0].plan != NULL)
        put_plan_words(report->cases[0].plan, out);
    es_text_format(out,
                   "<dt>Predicted</dt><dd>Computed, not run: %u slots of %s s in virtual time. "
                   "Latency is transfer + service + expected waiting at each node (queueing "
                   "formula of Allen and Cunneen); service times and qualities are those of the "
                   "catalogue. Queues on links, batching and failures are not in it.</dd>\n",
                   scenario->slot_count, es_show_number(scenario->slot_s, slot));
    es_text_append(
        out,
        "<dt>Measured</dt><dd>Real requests through real models in node processes, timed from "
        "sending to answer. When the nodes are processes of one machine, the latency and bandwidth "
        "of links are emulated, slower devices are emulated by waiting, and the processes share "
        "that machine's processors.</dd>\n"
        "<dt>Latency</dt><dd>Of served requests. Quantiles come from a histogram with at most 1 % "
        "error. The 95 % interval is that of the mean over slots (Student t).</dd>\n"
        "<dt>Quality</dt><dd>Share of right answers: where the answers of a run were checked, as "
        "checked; else what the catalogue expects of the pipeline.</dd>\n"
        "<dt>Late, failed, refused, unfinished</dt><dd>Shares of all requests that arrived. Late "
        "ones were served, but after their deadline. Every request is accounted for: arrived = "
        "served + refused + failed + unfinished.</dd>\n"
        "<dt>Energy</dt><dd>A declared power model, not a meter; where a run's machine has "
        "counters, their joules stand beside it under Energy by node. Compute: joules above idle "
        "per inference, from the catalogue. Network: joules per bit of each link on the way. Idle: "
        "idle watts of every node that hosts anything, over the whole run, shared by the served "
        "requests; at low load it dominates.</dd>\n"
        "<dt>CO2e</dt><dd>That energy times the carbon intensity of the electricity at each node, "
        "as the scenario gives it. Operation only: making the hardware is not in it.</dd>\n"
        "<dt>Deviation</dt><dd>Measured less predicted, over predicted.</dd>\n");
    put_objective_words(&scenario->objective, out);
    es_text_append(out, "</dl>\n");
}

static void put_foot(const es_report *report, es_text *out)
{
    es_text_format(out, "<footer>Scenario ");
    es_put_html(out, report->scenario->name != NULL ? report->scenario->name : "", 0);
    es_text_append(out, ", seed ");
    es_text_format(out, "%llu", (unsigned long long)report->scenario->seed);
    if (report->machine != NULL) {
        es_text_append(out, ". Run on ");
        es_put_html(out, report->machine, 0);
    }
    if (report->made_by != NULL) {
        es_text_append(out, ". Made by ");
        es_put_html(out, report->made_by, 0);
    }
    es_text_append(out, ".</footer>\n</main>\n</body>\n</html>\n");
}

void es_report_html(const es_report *report, es_text *out)
{
    put_head(report, out);
    if (report->case_count > 0) {
        es_text_append(out, "<div class=\"tiles\">\n");
        put_tile(report, ES_FIGURE_LATENCY_P95, "latency, 95 % within", out);
        put_tile(report, ES_FIGURE_QUALITY, "mean quality", out);
        put_tile(report, ES_FIGURE_ENERGY, "energy per request", out);
        put_tile(report, ES_FIGURE_CARBON, "CO2e per request", out);
        es_text_append(out, "</div>\n");
        put_summary(report, out);
        es_page_comparison(report, out);
    }
    put_topology(report, out);
    put_planes(report, out);
    if (es_report_has(report, ES_SIDE_PREDICTED) || es_report_has(report, ES_SIDE_MEASURED))
        put_charts(report, out);
    es_page_decision(report, out);
    es_page_details(report, out);
    es_page_method(report, out);
    put_foot(report, out);
}
