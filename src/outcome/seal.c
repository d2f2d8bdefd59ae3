#include "outcome/internal.h"

#include <math.h>

#define J_PER_KWH 3.6e6
#define CONSERVATION_TOLERANCE 1e-9 /* relative to the arrivals: rounding of sums, no more */

es_outcome_row es_outcome_row_empty(void)
{
    return (es_outcome_row){
        .quality_mean = (double)NAN,
        .latency_s_mean = (double)NAN,
        .latency_s_p50 = (double)NAN,
        .latency_s_p90 = (double)NAN,
        .latency_s_p95 = (double)NAN,
        .latency_s_p99 = (double)NAN,
        .latency_s_max = (double)NAN,
        .latency_s_mean_ci95 = (double)NAN,
    };
}

bool es_outcome_row_conserves(const es_outcome_row *row)
{
    double sum = row->served + row->refused + row->failed + row->in_flight;
    return fabs(row->arrived - sum) <= CONSERVATION_TOLERANCE * fmax(1, row->arrived);
}

static void add_sums(es_outcome_sums *into, const es_outcome_sums *from)
{
    into->arrived += from->arrived;
    for (int f = 0; f < ES_FATE_COUNT; f++)
        into->fates[f] += from->fates[f];
    into->late += from->late;
    into->quality += from->quality;
    into->energy_compute_j += from->energy_compute_j;
    into->energy_network_j += from->energy_network_j;
    into->carbon_g += from->carbon_g;
}

static es_outcome_row make_row(const es_outcome_sums *sums, const es_histogram *histogram)
{
    es_outcome_row row = es_outcome_row_empty();
    row.arrived = sums->arrived;
    row.served = sums->fates[ES_FATE_SERVED];
    row.refused = sums->fates[ES_FATE_REFUSED];
    row.failed = sums->fates[ES_FATE_FAILED];
    row.in_flight = sums->fates[ES_FATE_IN_FLIGHT];
    row.late = sums->late;
    row.energy_compute_j = sums->energy_compute_j;
    row.energy_network_j = sums->energy_network_j;
    row.carbon_g = sums->carbon_g;
    if (row.served > 0 && histogram != NULL) {
        row.quality_mean = fmin(sums->quality / row.served, 1);
        row.latency_s_mean = es_histogram_mean(histogram);
        row.latency_s_p50 = es_histogram_quantile(histogram, 0.50);
        row.latency_s_p90 = es_histogram_quantile(histogram, 0.90);
        row.latency_s_p95 = es_histogram_quantile(histogram, 0.95);
        row.latency_s_p99 = es_histogram_quantile(histogram, 0.99);
        row.latency_s_max = es_histogram_max(histogram);
    }
    return row;
}

static es_status check_conservation(const es_outcome_recorder *recorder, es_error *err)
{
    uint32_t class_count = recorder->outcome->class_count;
    for (uint32_t s = 0; s < recorder->outcome->slot_count; s++) {
        for (uint32_t c = 0; c < class_count; c++) {
            es_outcome_row row = make_row(&recorder->cells[(size_t)s * class_count + c], NULL);
            if (!es_outcome_row_conserves(&row))
                return es_fail(err, ES_ERR_INTERNAL,
                               "slot %u, class '%s': arrived %.9g, but served %.9g + refused %.9g "
                               "+ failed %.9g + in flight %.9g",
                               s, recorder->outcome->class_names[c], row.arrived, row.served,
                               row.refused, row.failed, row.in_flight);
        }
    }
    return ES_OK;
}

/* Rows of one run of cells: first, first + step, ... count of them; with the interval over them. */
static es_status sum_cells(es_outcome_recorder *recorder, size_t first, size_t step, size_t count,
                           es_histogram *histogram, es_outcome_row *out_row, es_error *err)
{
    es_outcome_sums sums = {0};
    for (size_t i = 0; i < count; i++) {
        size_t cell = first + i * step;
        add_sums(&sums, &recorder->cells[cell]);
        if (recorder->cell_histograms[cell] != NULL)
            es_histogram_merge(histogram, recorder->cell_histograms[cell]);
    }
    ES_TRY(es_histogram_status(histogram, err));
    *out_row = make_row(&sums, histogram);
    return ES_OK;
}

static double interval_over_slots(const es_outcome_row *rows, size_t stride, size_t slot_count,
                                  double *scratch)
{
    size_t count = 0;
    for (size_t s = 0; s < slot_count; s++) {
        if (rows[s * stride].served > 0)
            scratch[count++] = rows[s * stride].latency_s_mean;
    }
    return es_mean_ci95(scratch, count);
}

static es_status take_rows(es_arena *arena, size_t count, es_outcome_row **out, es_error *err)
{
    void *rows;
    ES_TRY(es_arena_take_or_fail(arena, count, sizeof **out, "outcome rows", &rows, err));
    *out = rows;
    return ES_OK;
}

static es_status make_rows(es_outcome_recorder *recorder, es_error *err)
{
    es_outcome *outcome = recorder->outcome;
    es_arena *arena = recorder->arena;
    size_t slots = outcome->slot_count;
    size_t classes = outcome->class_count;
    es_outcome_row *rows;
    es_outcome_row *slot_rows;
    es_outcome_row *class_rows;
    void *scratch;
    void *taken;
    ES_TRY(take_rows(arena, slots * classes, &rows, err));
    ES_TRY(take_rows(arena, slots, &slot_rows, err));
    ES_TRY(take_rows(arena, classes, &class_rows, err));
    ES_TRY(es_arena_take_or_fail(arena, slots, sizeof(double), "slot means", &scratch, err));
    ES_TRY(
        es_arena_take_or_fail(arena, classes, sizeof(es_histogram *), "histograms", &taken, err));
    es_histogram **class_histograms = taken;
    es_histogram *scratch_histogram = es_histogram_new(arena);
    es_histogram *total = es_histogram_new(arena);
    if (scratch_histogram == NULL || total == NULL)
        return es_arena_full(arena, "histograms", err);
    for (size_t i = 0; i < slots * classes; i++)
        rows[i] = make_row(&recorder->cells[i], recorder->cell_histograms[i]);
    for (size_t s = 0; s < slots; s++) {
        es_histogram_clear(scratch_histogram);
        ES_TRY(sum_cells(recorder, s * classes, 1, classes, scratch_histogram, &slot_rows[s], err));
    }
    for (size_t c = 0; c < classes; c++) {
        class_histograms[c] = es_histogram_new(arena);
        if (class_histograms[c] == NULL)
            return es_arena_full(arena, "histograms", err);
        ES_TRY(sum_cells(recorder, c, classes, slots, class_histograms[c], &class_rows[c], err));
        class_rows[c].latency_s_mean_ci95 = interval_over_slots(rows + c, classes, slots, scratch);
        es_histogram_merge(total, class_histograms[c]);
    }
    ES_TRY(es_histogram_status(total, err));
    es_outcome_sums all = {0};
    for (size_t i = 0; i < slots * classes; i++)
        add_sums(&all, &recorder->cells[i]);
    outcome->total = make_row(&all, total);
    outcome->total.latency_s_mean_ci95 = interval_over_slots(slot_rows, 1, slots, scratch);
    outcome->rows = rows;
    outcome->slot_rows = slot_rows;
    outcome->class_rows = class_rows;
    outcome->class_histograms = (const es_histogram *const *)class_histograms;
    outcome->histogram = total;
    return ES_OK;
}

/* ARCHITECTURE §3 with what happened in place of what was expected; hosting and idle power are the
 * plan's. */
static double objective_per_s(const es_outcome_recorder *recorder)
{
    const es_outcome *outcome = recorder->outcome;
    const es_scenario *scenario = recorder->scenario;
    const es_objective *weights = &scenario->objective;
    const es_outcome_row *total = &outcome->total;
    double duration_s = outcome->slot_s * outcome->slot_count;
    double cost = weights->energy_per_j * (total->energy_compute_j + total->energy_network_j) +
                  weights->carbon_per_g * total->carbon_g;
    if (total->served > 0)
        cost += total->served * (weights->latency_per_s * total->latency_s_mean +
                                 weights->quality * (1 - total->quality_mean));
    double unserved = total->refused + total->failed;
    if (unserved > 0)
        cost += isfinite(weights->refusal_cost) ? unserved * weights->refusal_cost : (double)NAN;
    double per_s = cost / duration_s;
    if (recorder->plan == NULL)
        return per_s;
    uint32_t node_before = ES_INDEX_NONE; /* placements are sorted by node */
    for (size_t i = 0; i < recorder->plan->placement_count; i++) {
        es_placement placement = recorder->plan->placements[i];
        per_s += scenario->segments[placement.segment.index].hosting_per_s;
        if (placement.node.index != node_before)
            per_s +=
                weights->idle_per_j * es_network_node(scenario->network, placement.node)->idle_w;
        node_before = placement.node.index;
    }
    return per_s;
}

es_status es_outcome_seal(es_outcome_recorder *recorder, const es_outcome **out_outcome,
                          es_error *err)
{
    es_outcome *outcome = recorder->outcome;
    if (recorder->sealed)
        return es_fail(err, ES_ERR_ARG, "the outcome is sealed already");
    size_t cell_count = (size_t)outcome->slot_count * outcome->class_count;
    for (size_t i = 0; !recorder->told_arrivals && i < cell_count; i++) {
        for (int f = 0; f < ES_FATE_COUNT; f++)
            recorder->cells[i].arrived += recorder->cells[i].fates[f];
    }
    ES_TRY(check_conservation(recorder, err));
    ES_TRY(make_rows(recorder, err));
    for (size_t i = 0; i < (size_t)outcome->slot_count * outcome->node_count; i++) {
        const es_node_use *use = &recorder->node_uses[i];
        outcome->energy_idle_j += use->idle_j;
        outcome->carbon_idle_g +=
            use->idle_j / J_PER_KWH *
            es_network_node(recorder->scenario->network, use->node)->carbon_gco2e_per_kwh;
    }
    outcome->energy_total_j =
        outcome->total.energy_compute_j + outcome->total.energy_network_j + outcome->energy_idle_j;
    outcome->objective_per_s = objective_per_s(recorder);
    outcome->node_uses = recorder->node_uses;
    outcome->pipeline_served = recorder->pipeline_served;
    recorder->sealed = true;
    *out_outcome = outcome;
    return ES_OK;
}
