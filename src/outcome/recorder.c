#include "base/checked.h"
#include "outcome/internal.h"

#include <math.h>

#define J_PER_KWH 3.6e6

/* "task at node" for every class, names of nodes and pipelines: the outcome stands alone. */
static es_status name_all(es_arena *arena, const es_scenario *scenario, es_outcome *outcome,
                          es_error *err)
{
    void *class_names;
    void *node_names;
    void *pipeline_names;
    ES_TRY(es_arena_take_or_fail(arena, scenario->class_count, sizeof(char *), "class names",
                                 &class_names, err));
    ES_TRY(es_arena_take_or_fail(arena, outcome->node_count, sizeof(char *), "node names",
                                 &node_names, err));
    ES_TRY(es_arena_take_or_fail(arena, scenario->pipeline_count, sizeof(char *), "pipeline names",
                                 &pipeline_names, err));
    const char **names = class_names;
    for (uint32_t c = 0; c < scenario->class_count; c++) {
        const es_class *class = &scenario->classes[c];
        names[c] = es_arena_format(arena, "%s at %s", scenario->tasks[class->task.index].name,
                                   es_network_node(scenario->network, class->node)->name);
        if (names[c] == NULL)
            return es_arena_full(arena, "class names", err);
    }
    outcome->class_names = names;
    names = node_names;
    for (uint32_t v = 0; v < outcome->node_count; v++)
        names[v] = es_network_node(scenario->network, (es_node_id){v})->name;
    outcome->node_names = names;
    names = pipeline_names;
    for (uint32_t p = 0; p < scenario->pipeline_count; p++)
        names[p] = scenario->pipelines[p].name;
    outcome->pipeline_names = names;
    return ES_OK;
}

static es_status take_cells(es_outcome_recorder *recorder, es_error *err)
{
    const es_outcome *outcome = recorder->outcome;
    void *cells;
    void *histograms;
    void *uses;
    void *served;
    size_t cell_count;
    size_t use_count;
    if (!es_size_mul(outcome->slot_count, outcome->class_count, &cell_count) ||
        !es_size_mul(outcome->slot_count, outcome->node_count, &use_count))
        return es_fail(err, ES_ERR_LIMIT, "slot_count=%u is too many for %u classes and %u nodes",
                       outcome->slot_count, outcome->class_count, outcome->node_count);
    es_arena *arena = recorder->arena;
    ES_TRY(es_arena_take_or_fail(arena, cell_count, sizeof *recorder->cells, "outcome cells",
                                 &cells, err));
    ES_TRY(es_arena_take_or_fail(arena, cell_count, sizeof(es_histogram *), "outcome histograms",
                                 &histograms, err));
    ES_TRY(es_arena_take_or_fail(arena, use_count, sizeof(es_node_use), "node uses", &uses, err));
    ES_TRY(es_arena_take_or_fail(arena, outcome->pipeline_count, sizeof(double), "pipeline counts",
                                 &served, err));
    void *rows;
    void *slot_rows;
    void *class_histograms;
    ES_TRY(es_arena_take_or_fail(arena, cell_count, sizeof(es_outcome_row), "outcome rows", &rows,
                                 err));
    ES_TRY(es_arena_take_or_fail(arena, outcome->slot_count, sizeof(es_outcome_row), "outcome rows",
                                 &slot_rows, err));
    ES_TRY(es_arena_take_or_fail(arena, outcome->class_count, sizeof(es_histogram *), "histograms",
                                 &class_histograms, err));
    recorder->rows = rows;
    recorder->slot_rows = slot_rows;
    recorder->class_histograms = class_histograms;
    recorder->slot_histogram = es_histogram_new(arena);
    for (uint32_t c = 0; c < outcome->class_count; c++) {
        recorder->class_histograms[c] = es_histogram_new(arena);
        if (recorder->class_histograms[c] == NULL)
            return es_arena_full(arena, "histograms", err);
    }
    if (recorder->slot_histogram == NULL)
        return es_arena_full(arena, "histograms", err);
    recorder->cells = cells;
    recorder->cell_histograms = histograms;
    recorder->node_uses = uses;
    recorder->pipeline_served = served;
    for (size_t i = 0; i < use_count; i++) {
        recorder->node_uses[i].slot = (uint32_t)(i / outcome->node_count);
        recorder->node_uses[i].node.index = (uint32_t)(i % outcome->node_count);
    }
    return ES_OK;
}

es_status es_outcome_recorder_new(es_arena *arena, const es_scenario *scenario, const es_plan *plan,
                                  const char *label, const char *source, uint64_t seed,
                                  es_outcome_recorder **out_recorder, es_error *err)
{
    es_outcome_recorder *recorder = ES_TAKE_ONE(arena, es_outcome_recorder);
    es_outcome *outcome = ES_TAKE_ONE(arena, es_outcome);
    char *label_copy = es_arena_text(arena, label != NULL ? label : "plan");
    char *source_copy = es_arena_text(arena, source != NULL ? source : "");
    char *scenario_copy = es_arena_text(arena, scenario->name != NULL ? scenario->name : "");
    if (recorder == NULL || outcome == NULL || label_copy == NULL || source_copy == NULL ||
        scenario_copy == NULL)
        return es_arena_full(arena, "outcome", err);
    *outcome = (es_outcome){
        .scenario = scenario_copy,
        .label = label_copy,
        .source = source_copy,
        .seed = seed,
        .slot_s = scenario->slot_s,
        .slot_count = scenario->slot_count,
        .class_count = scenario->class_count,
        .node_count = es_network_node_count(scenario->network),
        .pipeline_count = scenario->pipeline_count,
    };
    *recorder = (es_outcome_recorder){
        .arena = arena, .scenario = scenario, .plan = plan, .outcome = outcome};
    ES_TRY(name_all(arena, scenario, outcome, err));
    ES_TRY(take_cells(recorder, err));
    *out_recorder = recorder;
    return ES_OK;
}

static es_status check_place(const es_outcome_recorder *recorder, const char *what, uint32_t slot,
                             es_class_id class_id, double weight, es_error *err)
{
    const es_outcome *outcome = recorder->outcome;
    if (recorder->sealed)
        return es_fail(err, ES_ERR_ARG, "%s: the outcome is sealed", what);
    if (slot >= outcome->slot_count)
        return es_fail(err, ES_ERR_ARG, "%s: slot=%u must be < %u", what, slot,
                       outcome->slot_count);
    if (slot < recorder->closed_count)
        return es_fail(err, ES_ERR_ARG, "%s: slot=%u is closed", what, slot);
    if (class_id.index >= outcome->class_count)
        return es_fail(err, ES_ERR_ARG, "%s: class=%u must be < %u", what, class_id.index,
                       outcome->class_count);
    if (!isfinite(weight) || weight <= 0)
        return es_fail(err, ES_ERR_ARG, "%s: weight=%g must be finite and > 0", what, weight);
    return ES_OK;
}

static es_status check_figure(const char *what, const char *name, double value, double max,
                              es_error *err)
{
    if (isfinite(value) && value >= 0 && value <= max)
        return ES_OK;
    if (isfinite(max))
        return es_fail(err, ES_ERR_ARG, "%s: %s=%g must be in [0, %g]", what, name, value, max);
    return es_fail(err, ES_ERR_ARG, "%s: %s=%g must be finite and >= 0", what, name, value);
}

es_status es_outcome_arrive(es_outcome_recorder *recorder, uint32_t slot, es_class_id class_id,
                            double weight, es_error *err)
{
    ES_TRY(check_place(recorder, "arrival", slot, class_id, weight, err));
    size_t cell = (size_t)slot * recorder->outcome->class_count + class_id.index;
    recorder->cells[cell].arrived += weight;
    recorder->told_arrivals = true;
    return ES_OK;
}

static es_status check_sample(const es_outcome_recorder *recorder, const es_sample *sample,
                              es_error *err)
{
    const char *what = "sample";
    ES_TRY(check_place(recorder, what, sample->slot, sample->class_id, sample->weight, err));
    if ((unsigned)sample->fate >= ES_FATE_COUNT)
        return es_fail(err, ES_ERR_ARG, "sample: fate=%d is unknown", (int)sample->fate);
    ES_TRY(check_figure(what, "energy_compute_j", sample->energy_compute_j, (double)INFINITY, err));
    ES_TRY(check_figure(what, "energy_network_j", sample->energy_network_j, (double)INFINITY, err));
    ES_TRY(check_figure(what, "carbon_g", sample->carbon_g, (double)INFINITY, err));
    if (sample->fate != ES_FATE_SERVED)
        return ES_OK;
    ES_TRY(check_figure(what, "latency_s", sample->latency_s, (double)INFINITY, err));
    ES_TRY(check_figure(what, "quality", sample->quality, 1, err));
    if (sample->pipeline.index >= recorder->outcome->pipeline_count)
        return es_fail(err, ES_ERR_ARG, "sample: pipeline=%u must be < %zu", sample->pipeline.index,
                       recorder->outcome->pipeline_count);
    return ES_OK;
}

static es_histogram *take_histogram(es_outcome_recorder *recorder)
{
    es_histogram *histogram = recorder->spare;
    if (histogram == NULL)
        return es_histogram_new(recorder->arena);
    recorder->spare = histogram->next_spare;
    histogram->next_spare = NULL;
    return histogram;
}

es_status es_outcome_add(es_outcome_recorder *recorder, const es_sample *sample, es_error *err)
{
    ES_TRY(check_sample(recorder, sample, err));
    size_t cell = (size_t)sample->slot * recorder->outcome->class_count + sample->class_id.index;
    es_outcome_sums *sums = &recorder->cells[cell];
    double weight = sample->weight;
    if (sample->fate == ES_FATE_SERVED) {
        es_histogram **histogram = &recorder->cell_histograms[cell];
        if (*histogram == NULL)
            *histogram = take_histogram(recorder);
        if (*histogram == NULL)
            return es_arena_full(recorder->arena, "histogram", err);
        es_histogram_add(*histogram, sample->latency_s, weight);
        ES_TRY(es_histogram_status(*histogram, err));
        if (sample->latency_s > recorder->scenario->classes[sample->class_id.index].deadline_s)
            sums->late += weight;
        sums->quality += weight * sample->quality;
        recorder->pipeline_served[sample->pipeline.index] += weight;
    }
    sums->fates[sample->fate] += weight;
    sums->energy_compute_j += weight * sample->energy_compute_j;
    sums->energy_network_j += weight * sample->energy_network_j;
    sums->carbon_g += weight * sample->carbon_g;
    return ES_OK;
}

es_status es_outcome_add_node(es_outcome_recorder *recorder, const es_node_use *use, es_error *err)
{
    const es_outcome *outcome = recorder->outcome;
    const char *what = "node use";
    if (recorder->sealed)
        return es_fail(err, ES_ERR_ARG, "node use: the outcome is sealed");
    if (use->slot >= outcome->slot_count)
        return es_fail(err, ES_ERR_ARG, "node use: slot=%u must be < %u", use->slot,
                       outcome->slot_count);
    if (use->node.index >= outcome->node_count)
        return es_fail(err, ES_ERR_ARG, "node use: node=%u must be < %u", use->node.index,
                       outcome->node_count);
    ES_TRY(check_figure(what, "busy_s", use->busy_s, (double)INFINITY, err));
    ES_TRY(check_figure(what, "duration_s", use->duration_s, (double)INFINITY, err));
    ES_TRY(check_figure(what, "idle_j", use->idle_j, (double)INFINITY, err));
    ES_TRY(check_figure(what, "idle_g", use->has_idle_g ? use->idle_g : 0, (double)INFINITY, err));
    ES_TRY(check_figure(what, "measured_j", use->measured_j, (double)INFINITY, err));
    ES_TRY(check_figure(what, "dynamic_j", use->dynamic_j, (double)INFINITY, err));
    ES_TRY(
        check_figure(what, "model_bytes_loaded", use->model_bytes_loaded, (double)INFINITY, err));
    es_node_use *sum =
        &recorder->node_uses[(size_t)use->slot * outcome->node_count + use->node.index];
    if (use->measured_source != NULL && sum->measured_source == NULL) {
        sum->measured_source = es_arena_text(recorder->arena, use->measured_source);
        if (sum->measured_source == NULL)
            return es_arena_full(recorder->arena, "node use", err);
    }
    sum->measured_j += use->measured_j;
    sum->busy_s += use->busy_s;
    sum->duration_s += use->duration_s;
    sum->idle_j += use->idle_j;
    sum->idle_g += use->has_idle_g
                       ? use->idle_g
                       : use->idle_j / J_PER_KWH *
                             es_scenario_carbon_gco2e_per_kwh(recorder->scenario, use->node);
    sum->has_idle_g = true;
    sum->dynamic_j += use->dynamic_j;
    sum->model_bytes_loaded += use->model_bytes_loaded;
    sum->died = sum->died || use->died;
    return ES_OK;
}
