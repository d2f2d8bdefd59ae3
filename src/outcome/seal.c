#include "outcome/internal.h"

#include <assert.h>
#include <math.h>

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

static es_status check_conservation(const es_outcome_recorder *recorder, uint32_t slot,
                                    uint32_t class, const es_outcome_row *row, es_error *err)
{
    if (es_outcome_row_conserves(row))
        return ES_OK;
    return es_fail(err, ES_ERR_INTERNAL,
                   "slot %u, class '%s': arrived %.9g, but served %.9g + refused %.9g + failed "
                   "%.9g + in flight %.9g",
                   slot, recorder->outcome->class_names[class], row->arrived, row->served,
                   row->refused, row->failed, row->in_flight);
}

/* Checks every cell of the slot before it changes anything. */
static es_status check_slot(es_outcome_recorder *recorder, uint32_t slot, es_error *err)
{
    uint32_t class_count = recorder->outcome->class_count;
    for (uint32_t c = 0; c < class_count; c++) {
        es_outcome_sums sums = recorder->cells[(size_t)slot * class_count + c];
        for (int f = 0; !recorder->told_arrivals && f < ES_FATE_COUNT; f++)
            sums.arrived += sums.fates[f];
        es_outcome_row row = make_row(&sums, NULL);
        ES_TRY(check_conservation(recorder, slot, c, &row, err));
    }
    return ES_OK;
}

/* Rows of the slot; its histograms go to the classes, and then to the spare ones. */
static es_status close_slot(es_outcome_recorder *recorder, uint32_t slot, es_error *err)
{
    uint32_t class_count = recorder->outcome->class_count;
    es_outcome_sums all = {0};
    ES_TRY(check_slot(recorder, slot, err));
    es_histogram_clear(recorder->slot_histogram);
    for (uint32_t c = 0; c < class_count; c++) {
        size_t cell = (size_t)slot * class_count + c;
        es_outcome_sums *sums = &recorder->cells[cell];
        es_histogram *histogram = recorder->cell_histograms[cell];
        for (int f = 0; !recorder->told_arrivals && f < ES_FATE_COUNT; f++)
            sums->arrived += sums->fates[f];
        add_sums(&all, sums);
        recorder->rows[cell] = make_row(sums, histogram);
        if (histogram == NULL)
            continue;
        es_histogram_merge(recorder->slot_histogram, histogram);
        es_histogram_merge(recorder->class_histograms[c], histogram);
        ES_TRY(es_histogram_status(recorder->class_histograms[c], err));
        es_histogram_clear(histogram);
        histogram->next_spare = recorder->spare;
        recorder->spare = histogram;
        recorder->cell_histograms[cell] = NULL;
    }
    ES_TRY(es_histogram_status(recorder->slot_histogram, err));
    recorder->slot_rows[slot] = make_row(&all, recorder->slot_histogram);
    recorder->closed_count = slot + 1;
    return ES_OK;
}

es_status es_outcome_close_slot(es_outcome_recorder *recorder, uint32_t slot, es_error *err)
{
    if (recorder->sealed || slot != recorder->closed_count || slot >= recorder->outcome->slot_count)
        return es_fail(err, ES_ERR_ARG, "slot=%u cannot be closed: the next to close is %u", slot,
                       recorder->closed_count);
    return close_slot(recorder, slot, err);
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

/* Classes and the total, from closed slots. */
static es_status sum_up(es_outcome_recorder *recorder, es_error *err)
{
    es_outcome *outcome = recorder->outcome;
    es_arena *arena = recorder->arena;
    size_t slots = outcome->slot_count;
    size_t classes = outcome->class_count;
    void *taken;
    void *scratch;
    ES_TRY(
        es_arena_take_or_fail(arena, classes, sizeof(es_outcome_row), "outcome rows", &taken, err));
    ES_TRY(es_arena_take_or_fail(arena, slots, sizeof(double), "slot means", &scratch, err));
    es_outcome_row *class_rows = taken;
    es_histogram *total = es_histogram_new(arena);
    if (total == NULL)
        return es_arena_full(arena, "histograms", err);
    es_outcome_sums all = {0};
    for (size_t c = 0; c < classes; c++) {
        es_outcome_sums sums = {0};
        for (size_t s = 0; s < slots; s++)
            add_sums(&sums, &recorder->cells[s * classes + c]);
        add_sums(&all, &sums);
        class_rows[c] = make_row(&sums, recorder->class_histograms[c]);
        class_rows[c].latency_s_mean_ci95 =
            interval_over_slots(recorder->rows + c, classes, slots, scratch);
        es_histogram_merge(total, recorder->class_histograms[c]);
    }
    ES_TRY(es_histogram_status(total, err));
    outcome->total = make_row(&all, total);
    outcome->total.latency_s_mean_ci95 =
        interval_over_slots(recorder->slot_rows, 1, slots, scratch);
    outcome->rows = recorder->rows;
    outcome->slot_rows = recorder->slot_rows;
    outcome->class_rows = class_rows;
    outcome->class_histograms = (const es_histogram *const *)recorder->class_histograms;
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
    double duration_s =
        recorder->observed_s > 0 ? recorder->observed_s : outcome->slot_s * outcome->slot_count;
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

void es_outcome_observed(es_outcome_recorder *recorder, double seconds)
{
    assert(seconds > 0);
    recorder->observed_s = seconds;
}

es_status es_outcome_seal(es_outcome_recorder *recorder, const es_outcome **out_outcome,
                          es_error *err)
{
    es_outcome *outcome = recorder->outcome;
    if (recorder->sealed)
        return es_fail(err, ES_ERR_ARG, "the outcome is sealed already");
    for (uint32_t s = 0; s < outcome->slot_count; s++) /* none is closed when one does not add up */
        ES_TRY(s < recorder->closed_count ? ES_OK : check_slot(recorder, s, err));
    while (recorder->closed_count < outcome->slot_count)
        ES_TRY(close_slot(recorder, recorder->closed_count, err));
    ES_TRY(sum_up(recorder, err));
    for (size_t i = 0; i < (size_t)outcome->slot_count * outcome->node_count; i++) {
        const es_node_use *use = &recorder->node_uses[i];
        outcome->energy_idle_j += use->idle_j;
        outcome->carbon_idle_g += use->idle_g;
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
