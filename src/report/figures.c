#include "report/internal.h"

#include <math.h>

const char *const es_side_names[ES_SIDE_COUNT] = {"predicted", "measured"};

const es_figure_info es_figures[ES_FIGURE_COUNT] = {
    [ES_FIGURE_LATENCY_MEAN] = {"Latency, mean", ES_UNIT_S, false},
    [ES_FIGURE_LATENCY_P95] = {"Latency, p95", ES_UNIT_S, false},
    [ES_FIGURE_LATENCY_P99] = {"Latency, p99", ES_UNIT_S, false},
    [ES_FIGURE_QUALITY] = {"Quality, mean", ES_UNIT_SHARE, false},
    [ES_FIGURE_LATE] = {"Late", ES_UNIT_SHARE, false},
    [ES_FIGURE_FAILED] = {"Failed", ES_UNIT_SHARE, false},
    [ES_FIGURE_REFUSED] = {"Refused", ES_UNIT_SHARE, false},
    [ES_FIGURE_IN_FLIGHT] = {"Unfinished", ES_UNIT_SHARE, false},
    [ES_FIGURE_ENERGY] = {"Energy/request", ES_UNIT_J, false},
    [ES_FIGURE_ENERGY_COMPUTE] = {"compute", ES_UNIT_J, true},
    [ES_FIGURE_ENERGY_NETWORK] = {"network", ES_UNIT_J, true},
    [ES_FIGURE_ENERGY_IDLE] = {"idle", ES_UNIT_J, true},
    [ES_FIGURE_CARBON] = {"CO2e/request", ES_UNIT_G, false},
    [ES_FIGURE_OBJECTIVE] = {"Objective", ES_UNIT_COST, false},
};

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : (double)NAN;
}

double es_figure_value(const es_outcome *outcome, es_figure figure)
{
    if (outcome == NULL)
        return (double)NAN;
    const es_outcome_row *total = &outcome->total;
    switch (figure) {
    case ES_FIGURE_LATENCY_MEAN:
        return total->latency_s_mean;
    case ES_FIGURE_LATENCY_P95:
        return total->latency_s_p95;
    case ES_FIGURE_LATENCY_P99:
        return total->latency_s_p99;
    case ES_FIGURE_QUALITY:
        return total->quality_mean;
    case ES_FIGURE_LATE:
        return ratio(total->late, total->arrived);
    case ES_FIGURE_FAILED:
        return ratio(total->failed, total->arrived);
    case ES_FIGURE_REFUSED:
        return ratio(total->refused, total->arrived);
    case ES_FIGURE_IN_FLIGHT:
        return ratio(total->in_flight, total->arrived);
    case ES_FIGURE_ENERGY:
        return ratio(outcome->energy_total_j, total->served);
    case ES_FIGURE_ENERGY_COMPUTE:
        return ratio(total->energy_compute_j, total->served);
    case ES_FIGURE_ENERGY_NETWORK:
        return ratio(total->energy_network_j, total->served);
    case ES_FIGURE_ENERGY_IDLE:
        return ratio(outcome->energy_idle_j, total->served);
    case ES_FIGURE_CARBON:
        return ratio(total->carbon_g + outcome->carbon_idle_g, total->served);
    case ES_FIGURE_OBJECTIVE:
        return total->arrived > 0 ? outcome->objective_per_s : (double)NAN;
    case ES_FIGURE_COUNT:
    default:
        return (double)NAN;
    }
}

const es_outcome *es_case_outcome(const es_report_case *one, es_side side)
{
    return side == ES_SIDE_MEASURED ? one->measured : one->predicted;
}

const es_outcome *es_case_best(const es_report_case *one)
{
    return one->measured != NULL ? one->measured : one->predicted;
}

const char *es_case_note(const es_report_case *one)
{
    if (one->note != NULL)
        return one->note;
    return one->plan != NULL ? one->plan->conflict : NULL;
}

bool es_report_has(const es_report *report, es_side side)
{
    for (size_t i = 0; i < report->case_count; i++) {
        if (es_case_outcome(&report->cases[i], side) != NULL)
            return true;
    }
    return false;
}

double es_report_largest(const es_report *report, es_figure figure)
{
    double largest = 0;
    for (size_t i = 0; i < report->case_count; i++) {
        for (int side = 0; side < ES_SIDE_COUNT; side++) {
            double value =
                es_figure_value(es_case_outcome(&report->cases[i], (es_side)side), figure);
            if (isfinite(value))
                largest = fmax(largest, fabs(value));
        }
    }
    return largest;
}

bool es_report_shows(const es_report *report, es_figure figure)
{
    return figure != ES_FIGURE_IN_FLIGHT || es_report_largest(report, figure) > 0;
}

const char *es_report_title(const es_report *report)
{
    if (report->title != NULL)
        return report->title;
    return report->scenario->name != NULL ? report->scenario->name : "estran";
}
