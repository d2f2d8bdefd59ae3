/* Footprints as figures, as a table, and as a document. */
#include "report/footprint.h"

#include "base/document.h"

#include <math.h>

#define SERVED_TOLERANCE 1e-3 /* relative */
#define SAME_PERCENT 0.05
#define MANIFOLD 10 /* growth from which it is told as a multiple */

/* Many cases get their values only; the ends are in the document and on the page. */
enum { LABEL_WIDTH = 24, CELL_WIDTH = 26, CASES_WIDE = 3 };

const es_foot_info es_foot_figures[ES_FOOT_FIGURE_COUNT] = {
    [ES_FOOT_ENERGY] = {"energy", "energy_j", "J", 1, false},
    [ES_FOOT_GWP] = {"CO2e", "gwp_gco2e", "g", 1, false},
    [ES_FOOT_GWP_DYNAMIC] = {"by requests", "gwp_dynamic_gco2e", "g", 1, true},
    [ES_FOOT_GWP_IDLE] = {"by idling", "gwp_idle_gco2e", "g", 1, true},
    [ES_FOOT_GWP_EMBODIED] = {"by making", "gwp_embodied_gco2e", "g", 1, true},
    [ES_FOOT_ADPE] = {"minerals, metals", "adpe_kgsbe", "gSbe", 1e3, false},
    [ES_FOOT_PE] = {"primary energy", "pe_mj", "J", 1e6, false},
    [ES_FOOT_WATER] = {"water", "water_l", "L", 1, false},
    [ES_FOOT_YEAR_ENERGY] = {"energy of a year", "year_energy_kwh", "kWh", 1, false},
    [ES_FOOT_YEAR_GWP] = {"CO2e of a year", "year_gwp_kgco2e", "kg", 1, false},
};

static es_estimate energy_of(const es_footprint *footprint)
{
    double each =
        footprint->frame.units > 0 ? ES_JOULES_PER_KWH / footprint->frame.units : (double)NAN;
    return es_estimate_scale(
        es_estimate_add(footprint->total.dynamic_kwh, footprint->total.idle_kwh), each);
}

es_estimate es_foot_value(const es_footprint *footprint, es_foot_figure figure)
{
    const es_footprint_row *total = &footprint->total;
    double each = footprint->frame.units > 0 ? 1 / footprint->frame.units : (double)NAN;
    switch (figure) {
    case ES_FOOT_ENERGY:
        return energy_of(footprint);
    case ES_FOOT_GWP:
        return footprint->per_unit.of[ES_CRITERION_GWP];
    case ES_FOOT_GWP_DYNAMIC:
        return es_estimate_scale(total->dynamic.of[ES_CRITERION_GWP], each);
    case ES_FOOT_GWP_IDLE:
        return es_estimate_scale(total->idle.of[ES_CRITERION_GWP], each);
    case ES_FOOT_GWP_EMBODIED:
        return es_estimate_scale(total->embodied.of[ES_CRITERION_GWP], each);
    case ES_FOOT_ADPE:
        return footprint->per_unit.of[ES_CRITERION_ADPE];
    case ES_FOOT_PE:
        return footprint->per_unit.of[ES_CRITERION_PE];
    case ES_FOOT_WATER:
        return footprint->per_unit.of[ES_CRITERION_WATER];
    case ES_FOOT_YEAR_ENERGY:
        return es_footprint_year_kwh(footprint, 0);
    case ES_FOOT_YEAR_GWP:
        return es_estimate_scale(es_footprint_year(footprint, 0).of[ES_CRITERION_GWP], 1e-3);
    case ES_FOOT_FIGURE_COUNT:
        break;
    }
    return es_estimate_unknown();
}

bool es_foot_shows(const es_report_footprints *report, es_foot_figure figure)
{
    for (size_t i = 0; i < report->case_count; i++) {
        es_estimate value = es_foot_value(report->cases[i].footprint, figure);
        if (es_estimate_known(value) && (value.high > 0 || !es_foot_figures[figure].part))
            return true;
    }
    return false;
}

double es_foot_scale(const es_report_footprints *report, es_foot_figure figure, char unit[32])
{
    static const struct {
        double factor;
        const char *prefix;
    } scales[] = {{1e-6, "M"},       {1e-3, "k"}, {1, ""},     {1e3, "m"},
                  {1e6, "\xc2\xb5"}, {1e9, "n"},  {1e12, "p"}, {1e15, "f"}};
    const es_foot_info *info = &es_foot_figures[figure];
    /* parts share the unit of the whole; what is in thousands keeps it */
    bool fixed = info->unit[0] == 'k';
    double largest = 0;
    for (size_t i = 0; i < report->case_count; i++) {
        double value =
            es_foot_value(report->cases[i].footprint, info->part ? ES_FOOT_GWP : figure).value;
        if (isfinite(value))
            largest = fmax(largest, value * info->factor);
    }
    size_t at = 2;
    while (!fixed && largest > 0 && at + 1 < sizeof scales / sizeof scales[0] &&
           largest * scales[at].factor < 1)
        at++;
    while (!fixed && at > 1 && largest * scales[at].factor >= 1e4)
        at--;
    (void)snprintf(unit, 32, "%s%s", scales[at].prefix, info->unit);
    return scales[at].factor * info->factor;
}

const char *es_foot_served(const es_report_footprint_case *one, char out[ES_FOOT_SERVED_SIZE])
{
    char number[ES_NUMBER_SIZE];
    int size = snprintf(out, ES_FOOT_SERVED_SIZE, "%s", es_show_number(one->served, number));
    if (one->asked - one->served > SERVED_TOLERANCE * one->asked)
        (void)snprintf(out + size, ES_FOOT_SERVED_SIZE - (size_t)size, " of %s",
                       es_show_number(one->asked, number));
    return out;
}

/* ---- text ---- */

static void put_cell(es_estimate value, double factor, bool wide, es_text *out)
{
    char middle[ES_NUMBER_SIZE];
    char low[ES_NUMBER_SIZE];
    char high[ES_NUMBER_SIZE];
    char cell[128];
    es_show_number(value.value * factor, middle);
    if (wide && es_estimate_known(value) && value.high > value.low)
        (void)snprintf(cell, sizeof cell, "%s (%s\xe2\x80\x93%s)", middle,
                       es_show_number(value.low * factor, low),
                       es_show_number(value.high * factor, high));
    else
        (void)snprintf(cell, sizeof cell, "%s", middle);
    es_text_append(out, "  ");
    es_put_terminal(out, cell, CELL_WIDTH - 2, 1);
}

static void put_row(const es_report_footprints *report, es_foot_figure figure, es_text *out)
{
    char unit[32];
    char label[96];
    double factor = es_foot_scale(report, figure, unit);
    (void)snprintf(label, sizeof label, "%s%s, %s", es_foot_figures[figure].part ? "  " : "",
                   es_foot_figures[figure].name, unit);
    es_put_terminal(out, label, LABEL_WIDTH, -1);
    for (size_t i = 0; i < report->case_count; i++)
        put_cell(es_foot_value(report->cases[i].footprint, figure), factor,
                 report->case_count <= CASES_WIDE, out);
    es_text_append(out, "\n");
}

static void put_quality(const es_report_footprints *report, es_text *out)
{
    es_put_terminal(out, "requests served", LABEL_WIDTH, -1);
    for (size_t i = 0; i < report->case_count; i++) {
        char words[ES_FOOT_SERVED_SIZE];
        es_text_append(out, "  ");
        es_put_terminal(out, es_foot_served(&report->cases[i], words), CELL_WIDTH - 2, 1);
    }
    es_text_append(out, "\n");
    es_put_terminal(out, "mean quality, %", LABEL_WIDTH, -1);
    for (size_t i = 0; i < report->case_count; i++)
        put_cell(es_estimate_exact(report->cases[i].quality), 100, false, out);
    es_text_append(out, "\n");
}

static double share_less(double of, double than)
{
    return than > 0 ? 100 * (1 - of / than) : (double)NAN;
}

static void put_share(double percent, const char *what, es_text *out)
{
    char number[ES_NUMBER_SIZE];
    if (isnan(percent))
        es_text_format(out, "%s not comparable", what);
    else if (fabs(percent) < SAME_PERCENT)
        es_text_format(out, "the same %s", what);
    else
        es_text_format(out, "%s %% %s %s", es_show_number(fabs(percent), number),
                       percent < 0 ? "more" : "less", what);
}

static void put_growth(const es_report_footprints *report, double growth, const char *what,
                       es_text *out)
{
    char number[ES_NUMBER_SIZE];
    if (isnan(growth) || growth < SAME_PERCENT / 100)
        return;
    if (isinf(growth)) {
        es_text_format(out, "\n  what it saves in %s stays whatever the demand", what);
        return;
    }
    if (growth >= MANIFOLD)
        es_text_format(out, "\n  its saving of %s is gone at %s times the demand", what,
                       es_show_number(1 + growth, number));
    else
        es_text_format(out, "\n  its saving of %s is gone when demand grows by %s %%", what,
                       es_show_number(100 * growth, number));
    if (report->growth > 0)
        es_text_format(out, " (%s years at %g %% a year)",
                       es_show_number(log1p(growth) / log1p(report->growth), number),
                       100 * report->growth);
}

void es_foot_saving(const es_report_footprints *report, const es_report_saving *saving,
                    es_text *out)
{
    const es_report_footprint_case *of = &report->cases[saving->of];
    const es_report_footprint_case *than = &report->cases[saving->than];
    double joules[2] = {es_foot_value(of->footprint, ES_FOOT_ENERGY).value,
                        es_foot_value(than->footprint, ES_FOOT_ENERGY).value};
    double grams[2] = {es_foot_value(of->footprint, ES_FOOT_GWP).value,
                       es_foot_value(than->footprint, ES_FOOT_GWP).value};
    char number[ES_NUMBER_SIZE];
    es_text_format(out, "%s against %s: ", of->label, than->label);
    put_share(share_less(joules[0], joules[1]), "energy", out);
    if (fabs(share_less(joules[0], joules[1])) >= SAME_PERCENT)
        es_text_format(out, " (%s J %s per %s)",
                       es_show_number(fabs(joules[1] - joules[0]), number),
                       joules[0] > joules[1] ? "more" : "saved", of->footprint->frame.unit);
    es_text_append(out, ", ");
    put_share(share_less(grams[0], grams[1]), "CO2e", out);
    if (isfinite(of->quality) && isfinite(than->quality))
        es_text_format(out, ", quality %.2f %% against %.2f %%", 100 * of->quality,
                       100 * than->quality);
    if (fabs(of->served - than->served) > SERVED_TOLERANCE * than->served) {
        es_text_append(out, "\n  they do not serve the same requests: no total is compared\n");
        return;
    }
    put_growth(report, es_footprint_rebound_energy(of->footprint, than->footprint), "energy", out);
    put_growth(report, es_footprint_rebound(of->footprint, than->footprint, ES_CRITERION_GWP),
               "CO2e", out);
    es_text_append(out, "\n");
}

void es_report_footprint_text(const es_report_footprints *report, es_text *out)
{
    if (report->case_count == 0)
        return;
    const es_footprint_frame *frame = &report->cases[0].footprint->frame;
    es_text_format(out, "%s: footprint per %s, value (low to high)\n", report->title, frame->unit);
    es_text_append(out, "counts ");
    es_footprint_boundary_text(frame->boundary, out);
    es_text_append(out, "\n\n");
    es_put_terminal(out, "", LABEL_WIDTH, -1);
    for (size_t i = 0; i < report->case_count; i++)
        es_put_terminal(out, report->cases[i].label, CELL_WIDTH, 1);
    es_text_append(out, "\n");
    put_quality(report, out);
    for (int f = 0; f < ES_FOOT_FIGURE_COUNT; f++)
        if (es_foot_shows(report, (es_foot_figure)f))
            put_row(report, (es_foot_figure)f, out);
    es_text_append(out, "\n");
    for (size_t i = 0; i < report->saving_count; i++)
        es_foot_saving(report, &report->savings[i], out);
    for (size_t i = 0; i < report->case_count; i++)
        if (report->cases[i].note != NULL)
            es_text_format(out, "%s: %s\n", report->cases[i].label, report->cases[i].note);
    es_text_append(out, "sources\n");
    for (size_t i = 0; i < frame->source_count; i++)
        es_text_format(out, "  %s\n", frame->sources[i]);
    const char *between = "not known from these: ";
    for (int f = ES_FOOT_ADPE; f <= ES_FOOT_WATER; f++) {
        if (es_foot_shows(report, (es_foot_figure)f))
            continue;
        es_text_format(out, "%s%s", between, es_foot_figures[f].name);
        between = "; ";
    }
    es_text_append(out, between[0] == ';' ? "\n" : "");
}

/* ---- the document ---- */

static void json_estimate(es_json *json, const char *key, es_estimate value)
{
    es_json_key(json, key);
    es_json_map_begin(json);
    es_json_put_number(json, "low", value.low);
    es_json_put_number(json, "value", value.value);
    es_json_put_number(json, "high", value.high);
    es_json_map_end(json);
}

static void json_rows(es_json *json, const es_footprint *footprint)
{
    es_json_key(json, "places");
    es_json_list_begin(json);
    for (size_t i = 0; i < footprint->row_count; i++) {
        const es_footprint_row *row = &footprint->rows[i];
        es_json_map_begin(json);
        es_json_put_text(json, "place", row->place);
        es_json_put_text(json, "part", es_boundary_names[row->part]);
        json_estimate(json, "dynamic_kwh", row->dynamic_kwh);
        json_estimate(json, "idle_kwh", row->idle_kwh);
        json_estimate(json, "gwp_gco2e", row->total.of[ES_CRITERION_GWP]);
        es_json_map_end(json);
    }
    es_json_list_end(json);
}

static void json_case(es_json *json, const es_report_footprint_case *one)
{
    es_json_map_begin(json);
    es_json_put_text(json, "label", one->label);
    es_json_put_number(json, "served", one->served);

    es_json_put_number(json, "duration_s", one->footprint->frame.duration_s);
    es_json_put_number(json, "quality", one->quality);
    if (one->note != NULL)
        es_json_put_text(json, "note", one->note);
    for (int f = 0; f < ES_FOOT_FIGURE_COUNT; f++)
        json_estimate(json, es_foot_figures[f].key,
                      es_foot_value(one->footprint, (es_foot_figure)f));
    json_rows(json, one->footprint);
    es_json_map_end(json);
}

/* Infinite growth, that nothing eats the saving, is null beside "endless": true. */
static void json_saving(es_json *json, const es_report_footprints *report,
                        const es_report_saving *saving)
{
    const es_footprint *of = report->cases[saving->of].footprint;
    const es_footprint *than = report->cases[saving->than].footprint;
    double energy = es_footprint_rebound_energy(of, than);
    es_json_map_begin(json);
    es_json_put_text(json, "of", report->cases[saving->of].label);
    es_json_put_text(json, "than", report->cases[saving->than].label);
    es_json_put_number(json, "saved_j",
                       es_foot_value(than, ES_FOOT_ENERGY).value -
                           es_foot_value(of, ES_FOOT_ENERGY).value);
    es_json_put_number(json, "saved_gco2e",
                       es_foot_value(than, ES_FOOT_GWP).value -
                           es_foot_value(of, ES_FOOT_GWP).value);
    es_json_put_number(json, "growth_energy", energy);
    es_json_put_bool(json, "endless", isinf(energy) && energy > 0);
    es_json_put_number(json, "growth_gwp", es_footprint_rebound(of, than, ES_CRITERION_GWP));
    es_json_map_end(json);
}

static void json_boundary(es_json *json, const char *key, uint32_t boundary)
{
    es_json_key(json, key);
    es_json_list_begin(json);
    for (uint32_t i = 0; i < ES_BOUNDARY_COUNT; i++)
        if ((boundary & (1u << i)) != 0)
            es_json_text(json, es_boundary_names[i]);
    es_json_list_end(json);
}

void es_report_footprint_json(const es_report_footprints *report, es_text *out)
{
    const es_footprint_frame *frame = &report->cases[0].footprint->frame;
    es_json json;
    es_json_init(&json, out, false);
    es_json_map_begin(&json);
    es_json_put_text(&json, "format", "estran-footprint");
    es_json_put_int(&json, "version", 1);
    es_json_put_text(&json, "scenario", report->title);
    es_json_put_text(&json, "unit", frame->unit);
    json_boundary(&json, "boundary", frame->boundary);
    json_boundary(&json, "not_counted", ~frame->boundary);
    es_json_key(&json, "sources");
    es_json_list_begin(&json);
    for (size_t i = 0; i < frame->source_count; i++)
        es_json_text(&json, frame->sources[i]);
    es_json_list_end(&json);
    es_json_key(&json, "cases");
    es_json_list_begin(&json);
    for (size_t i = 0; i < report->case_count; i++)
        json_case(&json, &report->cases[i]);
    es_json_list_end(&json);
    es_json_key(&json, "savings");
    es_json_list_begin(&json);
    for (size_t i = 0; i < report->saving_count; i++)
        json_saving(&json, report, &report->savings[i]);
    es_json_list_end(&json);
    es_json_map_end(&json);
}
