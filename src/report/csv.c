#include "report/internal.h"

#include <math.h>

/* Quoted when it must be; a leading =, +, - or @ would be a formula to a spreadsheet. */
static void put_word(es_text *out, const char *word)
{
    bool formula = word[0] != '\0' && strchr("=+-@\t\r", word[0]) != NULL;
    if (!formula && strpbrk(word, ",\"\r\n") == NULL) {
        es_text_append(out, word);
        return;
    }
    es_text_append(out, formula ? "\"'" : "\"");
    for (const char *at = word; *at != '\0'; at++)
        es_text_append_n(out, *at == '"' ? "\"\"" : at, *at == '"' ? 2 : 1);
    es_text_append(out, "\"");
}

static void put_number(es_text *out, double value)
{
    es_text_append(out, ",");
    if (isfinite(value))
        es_text_double(out, value);
}

static void put_row(es_text *out, const char *label, const char *side, const es_outcome *outcome,
                    uint32_t slot, const char *class_name, const es_outcome_row *row)
{
    put_word(out, label);
    es_text_format(out, ",%s,", side);
    put_word(out, outcome->source);
    es_text_format(out, ",%u,", slot);
    put_word(out, class_name);
    put_number(out, outcome->slot_s * slot);
    const double values[] = {row->arrived,       row->served,           row->refused,
                             row->failed,        row->in_flight,        row->late,
                             row->quality_mean,  row->latency_s_mean,   row->latency_s_p50,
                             row->latency_s_p90, row->latency_s_p95,    row->latency_s_p99,
                             row->latency_s_max, row->energy_compute_j, row->energy_network_j,
                             row->carbon_g};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        put_number(out, values[i]);
    es_text_append(out, "\n");
}

void es_report_csv(const es_report *report, es_text *out)
{
    es_text_append(out, "case,side,source,slot,class,start_s,arrived,served,refused,failed,"
                        "in_flight,late,quality_mean,latency_s_mean,latency_s_p50,latency_s_p90,"
                        "latency_s_p95,latency_s_p99,latency_s_max,energy_compute_j,"
                        "energy_network_j,carbon_g\n");
    for (size_t i = 0; i < report->case_count; i++) {
        for (int side = 0; side < ES_SIDE_COUNT; side++) {
            const es_outcome *outcome = es_case_outcome(&report->cases[i], (es_side)side);
            for (uint32_t s = 0; outcome != NULL && s < outcome->slot_count; s++) {
                for (uint32_t c = 0; c < outcome->class_count; c++)
                    put_row(out, report->cases[i].label, es_side_names[side], outcome, s,
                            outcome->class_names[c],
                            &outcome->rows[(size_t)s * outcome->class_count + c]);
            }
        }
    }
}
