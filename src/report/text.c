#include "report/internal.h"

#include <math.h>

enum { LABEL_WIDTH = 22, PAIR_WIDTH = 11, ONE_WIDTH = 16, WIDTH_MIN = 60, PLACE_WIDTH = 24 };

static void put_rule(es_text *out, size_t width)
{
    for (size_t i = 0; i < width; i++)
        es_text_append(out, "-");
    es_text_append(out, "\n");
}

static void bold(es_text *out, bool color, bool on)
{
    if (color)
        es_text_append(out, on ? "\x1b[1m" : "\x1b[0m");
}

/* One row per figure for cases first .. first + count - 1, a column for each side shown. */
static void put_table(const es_report *report, size_t first, size_t count, bool color, es_text *out)
{
    bool sides[ES_SIDE_COUNT];
    size_t side_count = 0;
    for (int s = 0; s < ES_SIDE_COUNT; s++) {
        sides[s] = es_report_has(report, (es_side)s);
        side_count += sides[s];
    }
    if (side_count == 0)
        sides[ES_SIDE_PREDICTED] = ++side_count > 0;
    size_t cell_width = side_count > 1 ? PAIR_WIDTH : ONE_WIDTH;
    size_t case_width = side_count * cell_width;
    bold(out, color, true);
    es_put_terminal(out, "", LABEL_WIDTH, -1);
    for (size_t i = first; i < first + count; i++) {
        es_text_append(out, "  ");
        es_put_terminal(out, report->cases[i].label, case_width - 2, 1);
    }
    bold(out, color, false);
    es_text_append(out, "\n");
    es_put_terminal(out, "", LABEL_WIDTH, -1);
    for (size_t i = first; i < first + count; i++) {
        for (int s = 0; s < ES_SIDE_COUNT; s++) {
            if (sides[s])
                es_put_terminal(out, es_side_names[s], cell_width, 1);
        }
    }
    es_text_append(out, "\n");
    put_rule(out, LABEL_WIDTH + count * case_width);
    for (int f = 0; f < ES_FIGURE_COUNT; f++) {
        if (!es_report_shows(report, (es_figure)f))
            continue;
        const es_figure_info *info = &es_figures[f];
        es_figure largest = info->part ? ES_FIGURE_ENERGY : (es_figure)f;
        es_scale scale = es_scale_of(info->unit, es_report_largest(report, largest));
        char label[64];
        (void)snprintf(label, sizeof label, "%s%s, %s", info->part ? "  " : "", info->name,
                       scale.unit);
        es_put_terminal(out, label, LABEL_WIDTH, -1);
        for (size_t i = first; i < first + count; i++) {
            for (int s = 0; s < ES_SIDE_COUNT; s++) {
                char number[ES_NUMBER_SIZE];
                double value =
                    es_figure_value(es_case_outcome(&report->cases[i], (es_side)s), (es_figure)f);
                if (sides[s])
                    es_put_terminal(out, es_show_number(value * scale.factor, number), cell_width,
                                    1);
            }
        }
        es_text_append(out, "\n");
    }
}

/* Greedy wrapping at spaces; what continues is indented. */
static void put_wrapped(es_text *out, const char *words, size_t width)
{
    size_t used = 0;
    while (*words != '\0') {
        size_t size = strcspn(words, " ");
        char word[128];
        (void)snprintf(word, sizeof word, "%.*s", (int)(size < 120 ? size : 120), words);
        size_t columns = es_text_width(word);
        if (used > 0 && used + 1 + columns > width) {
            es_text_append(out, "\n  ");
            used = 2;
        } else if (used > 0) {
            es_text_append(out, " ");
            used++;
        }
        es_put_terminal(out, word, width - 2, 0);
        used += columns < width - 2 ? columns : width - 2;
        words += size + strspn(words + size, " ");
    }
    es_text_append(out, "\n");
}

/* "plan, measured against predicted: latency mean +4 %, ..." where there are both. */
static void put_deviation(const es_report_case *one, size_t width, es_text *out)
{
    static const struct {
        es_figure figure;
        const char *name;
    } shown[] = {{ES_FIGURE_LATENCY_MEAN, "latency mean"},
                 {ES_FIGURE_LATENCY_P95, "p95"},
                 {ES_FIGURE_QUALITY, "quality"},
                 {ES_FIGURE_ENERGY, "energy"}};
    char deviation[ES_NUMBER_SIZE];
    es_text line;
    es_text_init(&line, (size_t)1 << 16);
    es_text_format(&line, "%s, measured against predicted:", one->label);
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
        es_text_format(&line, "%s %s %s", i == 0 ? "" : ",", shown[i].name,
                       es_show_deviation(es_figure_value(one->measured, shown[i].figure),
                                         es_figure_value(one->predicted, shown[i].figure),
                                         deviation));
    put_wrapped(out, es_text_get(&line), width);
    es_text_done(&line);
}

/* "plan, nodes by counters (rapl): 12.3 J above rest, declared 10.1 J" of the slots that have both.
 * Says nothing where no machine has counters. */
static void put_measured(const es_report_case *one, size_t width, es_text *out)
{
    const es_outcome *outcome = one->measured;
    const char *source = NULL;
    double measured_j = 0;
    double declared_j = 0;
    for (size_t i = 0; i < (size_t)outcome->slot_count * outcome->node_count; i++) {
        const es_node_use *use = &outcome->node_uses[i];
        if (use->measured_source == NULL)
            continue;
        source = source == NULL ? use->measured_source : source;
        measured_j += use->measured_j;
        declared_j += use->dynamic_j;
    }
    if (source == NULL)
        return;
    char measured[ES_NUMBER_SIZE];
    char declared[ES_NUMBER_SIZE];
    es_text line;
    es_text_init(&line, (size_t)1 << 16);
    es_text_format(&line, "%s, nodes by counters (%s): %s above rest, declared %s", one->label,
                   source, es_show_quantity(measured_j, ES_UNIT_J, measured),
                   es_show_quantity(declared_j, ES_UNIT_J, declared));
    put_wrapped(out, es_text_get(&line), width);
    es_text_done(&line);
}

static void put_notes(const es_report *report, size_t width, es_text *out)
{
    es_text line;
    es_text_init(&line, (size_t)1 << 16);
    for (size_t i = 0; i < report->case_count; i++) {
        const char *note = es_case_note(&report->cases[i]);
        if (note == NULL)
            continue;
        es_text_clear(&line);
        es_text_format(&line, "%s: %s", report->cases[i].label, note);
        put_wrapped(out, es_text_get(&line), width);
    }
    es_text_done(&line);
    for (size_t i = 0; i < report->case_count; i++) {
        if (report->cases[i].predicted != NULL && report->cases[i].measured != NULL)
            put_deviation(&report->cases[i], width, out);
        if (report->cases[i].measured != NULL)
            put_measured(&report->cases[i], width, out);
    }
}

static void put_placements(const es_report *report, const es_plan *plan, size_t width, es_text *out)
{
    es_text line;
    es_text_init(&line, (size_t)1 << 20);
    for (size_t i = 0; i < plan->placement_count;) {
        es_node_id node = plan->placements[i].node;
        es_text_clear(&line);
        bool first = true;
        for (; i < plan->placement_count && plan->placements[i].node.index == node.index; i++) {
            es_text_format(&line, "%s%s", first ? "" : ", ",
                           report->scenario->segments[plan->placements[i].segment.index].name);
            first = false;
        }
        es_text_append(out, "  ");
        es_put_terminal(out, es_network_node(report->scenario->network, node)->name, PLACE_WIDTH,
                        -1);
        es_text_append(out, "  ");
        es_put_terminal(out, es_text_get(&line), width - PLACE_WIDTH - 4, 0);
        es_text_append(out, "\n");
    }
    es_text_done(&line);
}

static void put_routings(const es_report *report, const es_plan *plan, size_t width, es_text *out)
{
    const es_scenario *scenario = report->scenario;
    es_text line;
    es_text_init(&line, (size_t)1 << 20);
    for (size_t i = 0; i < plan->routing_count; i++) {
        const es_routing *routing = &plan->routings[i];
        const es_class *class = &scenario->classes[routing->class_id.index];
        es_text_clear(&line);
        es_text_format(&line, "%s at %s", scenario->tasks[class->task.index].name,
                       es_network_node(scenario->network, class->node)->name);
        es_text_append(out, "  ");
        es_put_terminal(out, es_text_get(&line), PLACE_WIDTH, -1);
        es_text_format(out, "  %5.1f %%  ", 100 * routing->share);
        es_text_clear(&line);
        es_put_route(&line, scenario, routing, " -> ");
        es_put_terminal(out, es_text_get(&line), width - PLACE_WIDTH - 13, 0);
        es_text_append(out, "\n");
    }
    for (uint32_t c = 0; plan->refused_share != NULL && c < scenario->class_count; c++) {
        if (plan->refused_share[c] <= 0)
            continue;
        const es_class *class = &scenario->classes[c];
        es_text_clear(&line);
        es_text_format(&line, "%s at %s", scenario->tasks[class->task.index].name,
                       es_network_node(scenario->network, class->node)->name);
        es_text_append(out, "  ");
        es_put_terminal(out, es_text_get(&line), PLACE_WIDTH, -1);
        es_text_format(out, "  %5.1f %%  refused\n", 100 * plan->refused_share[c]);
    }
    es_text_done(&line);
}

void es_report_text(const es_report *report, size_t width, bool color, es_text *out)
{
    width = width < WIDTH_MIN ? WIDTH_MIN : width;
    bool both = es_report_has(report, ES_SIDE_PREDICTED) && es_report_has(report, ES_SIDE_MEASURED);
    size_t per_table = (width - LABEL_WIDTH) / (both ? 2 * PAIR_WIDTH : ONE_WIDTH);
    bold(out, color, true);
    es_put_terminal(out, es_report_title(report), width, 0);
    bold(out, color, false);
    es_text_append(out, "\n\n");
    for (size_t i = 0; i < report->case_count; i += per_table) {
        size_t left = report->case_count - i;
        if (i > 0)
            es_text_append(out, "\n");
        put_table(report, i, left < per_table ? left : per_table, color, out);
    }
    es_text_append(out, "\n");
    size_t before_notes = out->size;
    put_notes(report, width, out);
    if (report->case_count == 0 || report->cases[0].plan == NULL)
        return;
    const es_plan *plan = report->cases[0].plan;
    if (out->size > before_notes)
        es_text_append(out, "\n");
    bold(out, color, true);
    es_text_append(out, "What to run where");
    bold(out, color, false);
    es_text_append(out, "\n");
    put_placements(report, plan, width, out);
    put_routings(report, plan, width, out);
}
