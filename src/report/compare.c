#include "report/compare.h"

#include "base/document.h"
#include "report/internal.h"

#include <math.h>

enum { NAME_WIDTH = 30, CELL_WIDTH = 12 };

/* A column: a figure, or its difference to the first policy, or its interval. */
typedef enum column_kind { COLUMN_MEAN, COLUMN_CI95, COLUMN_DIFF, COLUMN_DIFF_CI95 } column_kind;

typedef struct column {
    const char *head;
    es_compare_measure figure;
    column_kind kind;
    double factor;
} column;

static const column costs[] = {
    {"cost", ES_COMPARE_COST, COLUMN_MEAN, 1},
    {"+/-", ES_COMPARE_COST, COLUMN_CI95, 1},
    {"difference", ES_COMPARE_COST, COLUMN_DIFF, 1},
    {"+/-", ES_COMPARE_COST, COLUMN_DIFF_CI95, 1},
    {"gain", ES_COMPARE_GAIN, COLUMN_MEAN, 1},
    {"latency ms", ES_COMPARE_LATENCY, COLUMN_MEAN, 1e3},
    {"quality %", ES_COMPARE_QUALITY, COLUMN_MEAN, 100},
    {"MB/slot", ES_COMPARE_MOVED, COLUMN_MEAN, 1e-6},
};
static const column queues[] = {
    {"p95 ms", ES_COMPARE_P95, COLUMN_MEAN, 1e3},
    {"+/-", ES_COMPARE_P95, COLUMN_CI95, 1e3},
    {"late %", ES_COMPARE_LATE, COLUMN_MEAN, 100},
    {"refused %", ES_COMPARE_REFUSED, COLUMN_MEAN, 100},
    {"J/request", ES_COMPARE_ENERGY, COLUMN_MEAN, 1},
    {"mg/request", ES_COMPARE_CARBON, COLUMN_MEAN, 1e3},
    {"objective/s", ES_COMPARE_OBJECTIVE, COLUMN_MEAN, 1},
    {"+/-", ES_COMPARE_OBJECTIVE, COLUMN_CI95, 1},
};
enum { COSTS = sizeof costs / sizeof costs[0], QUEUES = sizeof queues / sizeof queues[0] };

static double value_of(const es_compare_row *row, const column *one)
{
    const es_interval *figure = &row->figures[one->figure];
    const es_interval *difference = &row->differences[one->figure];
    double value = one->kind == COLUMN_MEAN   ? figure->mean
                   : one->kind == COLUMN_CI95 ? figure->ci95
                   : one->kind == COLUMN_DIFF ? difference->mean
                                              : difference->ci95;
    return value * one->factor;
}

static bool has_queues(const es_comparison *comparison)
{
    return comparison->rows[0].outcome != NULL;
}

static void put_name(const es_compare_row *row, es_text *out)
{
    char name[256];
    (void)snprintf(name, sizeof name, "%.200s%s", row->policy, row->knows_future ? " *" : "");
    es_put_terminal(out, name, NAME_WIDTH, -1);
}

static void put_rows(const es_comparison *comparison, const column *columns, size_t count,
                     bool color, es_text *out)
{
    es_text_append(out, color ? "\x1b[1m" : "");
    es_put_terminal(out, "policy", NAME_WIDTH, -1);
    for (size_t c = 0; c < count; c++)
        es_put_terminal(out, columns[c].head, CELL_WIDTH, 1);
    es_text_append(out, color ? "\x1b[0m\n" : "\n");
    for (size_t r = 0; r < comparison->row_count; r++) {
        put_name(&comparison->rows[r], out);
        for (size_t c = 0; c < count; c++) {
            char number[ES_NUMBER_SIZE];
            double value = value_of(&comparison->rows[r], &columns[c]);
            bool self =
                r == 0 && (columns[c].kind == COLUMN_DIFF || columns[c].kind == COLUMN_DIFF_CI95);
            es_put_terminal(out, self ? ES_DASH : es_show_number(value, number), CELL_WIDTH, 1);
        }
        es_text_append(out, "\n");
    }
}

static void put_regret_rows(const es_comparison *comparison, es_text *out)
{
    char number[ES_NUMBER_SIZE];
    es_put_terminal(out, "regret", NAME_WIDTH, -1);
    static const char *const heads[] = {"at the end", "+/-",        "slope",
                                        "fraction",   "psi-regret", "its bound"};
    for (size_t h = 0; h < sizeof heads / sizeof heads[0]; h++)
        es_put_terminal(out, heads[h], CELL_WIDTH, 1);
    es_text_append(out, "\n");
    for (size_t r = 0; r < comparison->row_count; r++) {
        const es_compare_row *row = &comparison->rows[r];
        const double cells[] = {row->figures[ES_COMPARE_REGRET].mean,
                                row->figures[ES_COMPARE_REGRET].ci95,
                                row->slope,
                                row->fraction_slope,
                                row->psi_regret,
                                row->psi_regret_bound};
        put_name(row, out);
        for (size_t c = 0; c < sizeof cells / sizeof cells[0]; c++)
            es_put_terminal(out, es_show_number(cells[c], number), CELL_WIDTH, 1);
        es_text_append(out, "\n");
    }
}

static void put_faults(const es_comparison *comparison, es_text *out)
{
    for (size_t r = 0; r < comparison->row_count; r++) {
        const es_policy_faults *faults = &comparison->rows[r].faults;
        if (faults->over_budget + faults->over_copies + faults->bad_answers == 0)
            continue;
        es_text_format(out,
                       "%s: %llu nodes over their memory, %llu items over their copies, %llu "
                       "bad answers, all clipped; the first: %s\n",
                       comparison->rows[r].policy, (unsigned long long)faults->over_budget,
                       (unsigned long long)faults->over_copies,
                       (unsigned long long)faults->bad_answers, faults->first);
    }
}

void es_report_compare_text(const es_comparison *comparison, bool color, es_text *out)
{
    char number[ES_NUMBER_SIZE];
    char bound[ES_NUMBER_SIZE];
    es_text_format(out,
                   "%s: %u slots of %g s, %u replication%s from seed %llu; costs in %s per "
                   "request\n\n",
                   comparison->name, comparison->slot_count, comparison->slot_s,
                   comparison->replication_count, comparison->replication_count == 1 ? "" : "s",
                   (unsigned long long)comparison->seed, comparison->cost_unit);
    put_rows(comparison, costs, COSTS, color, out);
    if (has_queues(comparison)) {
        es_text_append(out, "\n");
        put_rows(comparison, queues, QUEUES, color, out);
    }
    es_text_append(out, "\n");
    put_regret_rows(comparison, out);
    es_text_format(out,
                   "\nbest fixed allocation, fractional: gain %s per request, none has more "
                   "than %s\n",
                   es_show_number(comparison->best_gain, number),
                   es_show_number(comparison->best_gain_bound, bound));
    bool future = false;
    for (size_t r = 0; r < comparison->row_count; r++)
        future = future || comparison->rows[r].knows_future;
    if (future)
        es_text_append(out, "* knows all demand beforehand: a reference\n");
    put_faults(comparison, out);
}

/* ---- document ---- */

static void write_interval(es_json *json, const es_compare_row *row, int figure)
{
    es_json_key(json, es_compare_names[figure]);
    es_json_map_begin(json);
    es_json_put_number(json, "mean", row->figures[figure].mean);
    es_json_put_number(json, "ci95", row->figures[figure].ci95);
    es_json_put_number(json, "difference", row->differences[figure].mean);
    es_json_put_number(json, "difference_ci95", row->differences[figure].ci95);
    es_json_map_end(json);
}

static void write_curve(es_json *json, const char *key, const double *values, uint32_t count)
{
    es_json_key(json, key);
    es_json_list_begin(json);
    for (uint32_t p = 0; p < count; p++)
        es_json_number(json, values[p]);
    es_json_list_end(json);
}

static void write_row(es_json *json, const es_comparison *comparison, const es_compare_row *row)
{
    es_json_map_begin(json);
    es_json_put_text(json, "policy", row->policy);
    es_json_put_bool(json, "knows_future", row->knows_future);
    es_json_key(json, "measures");
    es_json_map_begin(json);
    for (int f = 0; f < ES_COMPARE_COUNT; f++)
        write_interval(json, row, f);
    es_json_map_end(json);
    es_json_put_number(json, "regret_slope", row->slope);
    es_json_put_number(json, "fraction_regret_slope", row->fraction_slope);
    es_json_put_number(json, "psi_regret", row->psi_regret);
    es_json_put_number(json, "psi_regret_bound", row->psi_regret_bound);
    write_curve(json, "regret", row->regret, comparison->point_count);
    write_curve(json, "regret_ci95", row->regret_ci95, comparison->point_count);
    write_curve(json, "fraction_regret", row->fraction_regret, comparison->point_count);
    es_json_key(json, "faults");
    es_json_map_begin(json);
    es_json_put_int(json, "over_copies", (int64_t)row->faults.over_copies);
    es_json_put_int(json, "over_budget", (int64_t)row->faults.over_budget);
    es_json_put_int(json, "bad_answers", (int64_t)row->faults.bad_answers);
    es_json_put_text(json, "first", row->faults.first[0] != '\0' ? row->faults.first : NULL);
    es_json_map_end(json);
    es_json_map_end(json);
}

void es_report_compare_json(const es_comparison *comparison, es_text *out)
{
    es_json json;
    es_json_init(&json, out, false);
    es_json_map_begin(&json);
    es_json_put_text(&json, "format", "estran-comparison");
    es_json_put_int(&json, "version", 1);
    es_json_put_text(&json, "scenario", comparison->name);
    es_json_put_text(&json, "cost_unit", comparison->cost_unit);
    es_json_put_int(&json, "seed", (int64_t)comparison->seed);
    es_json_put_int(&json, "slot_count", comparison->slot_count);
    es_json_put_number(&json, "slot_s", comparison->slot_s);
    es_json_put_int(&json, "replication_count", comparison->replication_count);
    es_json_put_number(&json, "best_gain_per_request", comparison->best_gain);
    es_json_put_number(&json, "best_gain_bound_per_request", comparison->best_gain_bound);
    es_json_key(&json, "slots");
    es_json_list_begin(&json);
    for (uint32_t p = 0; p < comparison->point_count; p++)
        es_json_int(&json, comparison->slots[p]);
    es_json_list_end(&json);
    es_json_key(&json, "policies");
    es_json_list_begin(&json);
    for (size_t r = 0; r < comparison->row_count; r++)
        write_row(&json, comparison, &comparison->rows[r]);
    es_json_list_end(&json);
    es_json_map_end(&json);
}

/* ---- page ---- */

static void put_html_table(const es_comparison *comparison, const column *columns, size_t count,
                           es_text *out)
{
    es_text_append(out, "<div class=\"scroll\"><table><thead><tr><th>policy</th>");
    for (size_t c = 0; c < count; c++) {
        es_text_append(out, "<th class=\"n\">");
        es_put_html(out, strcmp(columns[c].head, "+/-") == 0 ? "\xc2\xb1" : columns[c].head, 0);
        es_text_append(out, "</th>");
    }
    es_text_append(out, "</tr></thead><tbody>\n");
    for (size_t r = 0; r < comparison->row_count; r++) {
        const es_compare_row *row = &comparison->rows[r];
        es_text_format(out, "<tr%s><th>", r == 0 ? " class=\"first\"" : "");
        es_put_html(out, row->policy, 80);
        es_text_append(out, row->knows_future ? " *</th>" : "</th>");
        for (size_t c = 0; c < count; c++) {
            char number[ES_NUMBER_SIZE];
            bool self =
                r == 0 && (columns[c].kind == COLUMN_DIFF || columns[c].kind == COLUMN_DIFF_CI95);
            es_text_append(out, "<td class=\"n\">");
            es_put_html(out, self ? ES_DASH : es_show_number(value_of(row, &columns[c]), number),
                        0);
            es_text_append(out, "</td>");
        }
        es_text_append(out, "</tr>\n");
    }
    es_text_append(out, "</tbody></table></div>\n");
}

static void put_lead(const es_comparison *comparison, es_text *out)
{
    es_text_append(out, "<h1>");
    es_put_html(out, comparison->name, 0);
    es_text_append(out, ": policies compared</h1>\n<p class=\"lead\">");
    es_text_format(out,
                   "%u slots of %g s, %u replication%s from seed %llu. Every policy met the same "
                   "requests; differences are to <b>",
                   comparison->slot_count, comparison->slot_s, comparison->replication_count,
                   comparison->replication_count == 1 ? "" : "s",
                   (unsigned long long)comparison->seed);
    es_put_html(out, comparison->rows[0].policy, 80);
    es_text_append(out, "</b>, paired by replication, with 95 % intervals. Costs are in ");
    es_put_html(out, comparison->cost_unit, 0);
    es_text_append(out, " per request. * knows all demand beforehand: a reference.</p>\n");
}

static void put_regret_table(const es_comparison *comparison, es_text *out)
{
    es_text_append(out, "<div class=\"scroll\"><table><thead><tr><th>policy</th>"
                        "<th class=\"n\">regret at the end</th><th class=\"n\">\xc2\xb1</th>"
                        "<th class=\"n\">slope</th><th class=\"n\">slope of the fraction</th>"
                        "<th class=\"n\">(1 \xe2\x88\x92 1/e)-regret</th><th class=\"n\">its "
                        "bound</th></tr></thead><tbody>\n");
    for (size_t r = 0; r < comparison->row_count; r++) {
        const es_compare_row *row = &comparison->rows[r];
        const double cells[] = {row->figures[ES_COMPARE_REGRET].mean,
                                row->figures[ES_COMPARE_REGRET].ci95,
                                row->slope,
                                row->fraction_slope,
                                row->psi_regret,
                                row->psi_regret_bound};
        es_text_append(out, "<tr><th>");
        es_put_html(out, row->policy, 80);
        es_text_append(out, "</th>");
        for (size_t c = 0; c < sizeof cells / sizeof cells[0]; c++) {
            char number[ES_NUMBER_SIZE];
            es_text_append(out, "<td class=\"n\">");
            es_put_html(out, es_show_number(cells[c], number), 0);
            es_text_append(out, "</td>");
        }
        es_text_append(out, "</tr>\n");
    }
    es_text_append(out, "</tbody></table></div>\n");
}

static void put_method(const es_comparison *comparison, es_text *out)
{
    es_text_append(out,
                   "<h2>How it was measured</h2>\n<p>Cost and gain are those of the fluid network: "
                   "requests take the cheapest hosted option that has capacity; gain is what "
                   "that saves against the models that are always there. Regret is against the "
                   "best fixed fractional allocation in hindsight");
    char number[ES_NUMBER_SIZE];
    es_text_append(out, " (gain ");
    es_put_html(out, es_show_number(comparison->best_gain, number), 0);
    es_text_append(out, " per request; none has more than ");
    es_put_html(out, es_show_number(comparison->best_gain_bound, number), 0);
    es_text_append(out, "). A policy that follows the demand may do better than any fixed one: its "
                        "regret is then negative and has no slope.");
    if (has_queues(comparison))
        es_text_append(out, " Latency, lateness, energy and carbon are of slot mode with queues.");
    es_text_append(out, "</p>\n");
}

void es_report_compare_html(const es_comparison *comparison, const char *made_by, es_text *out)
{
    es_page_open(comparison->name, ": policies compared", out);
    es_text_append(out, "<main>\n");
    put_lead(comparison, out);
    put_html_table(comparison, costs, COSTS, out);
    if (has_queues(comparison)) {
        es_text_append(out, "<h2>With queues</h2>\n");
        put_html_table(comparison, queues, QUEUES, out);
    }
    es_text_append(out, "<h2>Regret</h2>\n<div class=\"charts\"><figure>\n");
    es_chart_regret(comparison, false, out);
    es_text_append(out,
                   "<figcaption>Summed cost above the best fixed allocation; straight lines are "
                   "powers of time.</figcaption></figure>\n<figure>\n");
    es_chart_differences(comparison, out);
    es_text_append(out,
                   "<figcaption>Cost per request against the first policy, with 95 % intervals "
                   "over replications; left is cheaper.</figcaption></figure></div>\n");
    put_regret_table(comparison, out);
    put_method(comparison, out);
    if (made_by != NULL) {
        es_text_append(out, "<footer><p>");
        es_put_html(out, made_by, 0);
        es_text_append(out, "</p></footer>\n");
    }
    es_text_append(out, "</main></body></html>\n");
}
