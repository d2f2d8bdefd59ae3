/* What a training came to: the record, the table, the page. */
#include "cli/train.h"
#include "report/report.h"

#include <math.h>

enum { FACTS_MAX = 32 };

static double images_per_s(const es_train_told *told)
{
    const es_fit_result *result = told->result;
    return (double)result->steps * (double)told->opts->batch / result->seconds;
}

/* ---- the record ---- */

static void put_net(es_json *json, const es_train_told *told)
{
    es_nn_work work = es_nn_work_of(told->nn);
    es_json_key(json, "net");
    es_json_map_begin(json);
    es_json_put_text(json, "name", told->nn->name);
    es_json_put_text(json, "from", told->source);
    es_json_put_int(json, "params", (int64_t)work.params);
    es_json_put_int(json, "macs", (int64_t)work.macs);
    es_json_put_bool(json, "input_scaled", told->scaled);
    es_json_map_end(json);
}

static void put_data(es_json *json, const es_train_told *told)
{
    es_json_key(json, "data");
    es_json_map_begin(json);
    es_json_put_text(json, "file", told->data);
    es_json_put_int(json, "samples", (int64_t)told->sample_count);
    es_json_put_int(json, "learned", (int64_t)told->learned_count);
    es_json_put_int(json, "held", (int64_t)told->held_count);
    es_json_map_end(json);
}

static void put_augment(es_json *json, const es_augment_opts *a)
{
    es_json_key(json, "augment");
    es_json_map_begin(json);
    es_json_put_bool(json, "flip", a->flip);
    es_json_put_int(json, "shift", (int64_t)a->shift);
    es_json_put_int(json, "erase", (int64_t)a->erase);
    es_json_put_number(json, "stretch", a->stretch);
    es_json_put_number(json, "noise", a->noise);
    es_json_put_number(json, "mixup", a->mixup);
    es_json_map_end(json);
}

static void put_settings(es_json *json, const es_train_told *told)
{
    const es_fit_opts *o = told->opts;
    es_json_key(json, "settings");
    es_json_map_begin(json);
    es_json_put_int(json, "seed", (int64_t)o->seed);
    es_json_put_int(json, "epochs", o->epoch_count);
    es_json_put_int(json, "batch", (int64_t)o->batch);
    es_json_put_text(json, "loss", es_fit_loss_names[o->loss]);
    es_json_put_text(json, "optimiser", es_optimiser_names[o->optimiser.kind]);
    es_json_put_text(json, "schedule", es_rate_names[o->rate.kind]);
    es_json_put_number(json, "rate", o->rate.rate);
    es_json_put_number(json, "warm_up", o->rate.warm_up);
    es_json_put_number(json, "momentum", o->optimiser.momentum);
    es_json_put_number(json, "weight_decay", o->optimiser.weight_decay);
    es_json_put_number(json, "label_smoothing", o->label_smoothing);
    es_json_put_number(json, "average", o->average);
    es_json_put_number(json, "clip", o->optimiser.clip_norm);
    es_json_put_int(json, "patience", o->patience);
    put_augment(json, &o->augment);
    es_json_put_text(json, "backend", es_train_backend_names[told->result->backend]);
    es_json_put_int(json, "threads", told->result->thread_count);
    es_json_map_end(json);
}

static void put_epochs(es_json *json, const es_fit_result *result)
{
    es_json_key(json, "epochs");
    es_json_list_begin(json);
    for (size_t i = 0; i < result->epoch_count; i++) {
        const es_fit_epoch *epoch = &result->epochs[i];
        es_json_map_begin(json);
        es_json_put_int(json, "epoch", (int64_t)i + 1);
        es_json_put_number(json, "rate", epoch->rate);
        es_json_put_number(json, "loss", epoch->loss);
        es_json_put_number(json, "accuracy", epoch->accuracy);
        es_json_put_number(json, "held_loss", epoch->held_loss);
        es_json_put_number(json, "held_accuracy", epoch->held_accuracy);
        es_json_put_number(json, "time_s", epoch->seconds);
        es_json_map_end(json);
    }
    es_json_list_end(json);
}

static void put_test(es_json *json, const es_train_told *told)
{
    size_t last = told->nn->output_count - 1;
    es_json_key(json, "test");
    es_json_map_begin(json);
    es_json_put_text(json, "file", told->test);
    es_json_put_int(json, "samples", (int64_t)told->test_figures.count);
    es_json_put_number(json, "loss", told->test_figures.loss[last]);
    if (isfinite(told->test_figures.accuracy[last])) {
        es_json_put_number(json, "accuracy", told->test_accuracy.value);
        es_json_put_number(json, "accuracy_low", told->test_accuracy.low);
        es_json_put_number(json, "accuracy_high", told->test_accuracy.high);
    }
    es_json_map_end(json);
}

void es_train_document(const es_train_told *told, es_text *out)
{
    es_json json;
    es_json_init(&json, out, false);
    es_json_map_begin(&json);
    es_json_put_text(&json, "format", "estran-training");
    es_json_put_int(&json, "version", 1);
    put_net(&json, told);
    put_data(&json, told);
    put_settings(&json, told);
    put_epochs(&json, told->result);
    es_json_put_int(&json, "best_epoch", (int64_t)told->result->best + 1);
    es_json_put_bool(&json, "stopped_early", told->result->early);
    if (told->tested)
        put_test(&json, told);
    es_json_put_number(&json, "time_s", told->result->seconds);
    es_json_put_number(&json, "images_per_s", images_per_s(told));
    if (told->metered) {
        es_json_key(&json, "energy");
        es_json_map_begin(&json);
        es_meter_figure_json(&told->energy, &json);
        es_json_map_end(&json);
    }
    es_json_map_end(&json);
}

/* ---- facts in words ---- */

typedef struct fact_list {
    es_arena *arena;
    es_report_fact items[FACTS_MAX];
    size_t count;
    bool full;
} fact_list;

static void add(fact_list *list, const char *name, const char *format, ...) ES_PRINTF(3, 4);
static void add(fact_list *list, const char *name, const char *format, ...)
{
    char words[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(words, sizeof words, format, args); /* cut when longer */
    va_end(args);
    const char *value = es_arena_text(list->arena, words);
    list->full = list->full || value == NULL || list->count == FACTS_MAX;
    if (!list->full)
        list->items[list->count++] = (es_report_fact){.name = name, .value = value};
}

static void add_result(fact_list *list, const es_train_told *told)
{
    const es_fit_result *result = told->result;
    const es_fit_epoch *best = &result->epochs[result->best];
    size_t last = told->nn->output_count - 1;
    if (told->tested && isfinite(told->test_figures.accuracy[last]))
        add(list, "accuracy on the test samples", "%.2f %% (%.2f to %.2f), %zu samples",
            100 * told->test_accuracy.value, 100 * told->test_accuracy.low,
            100 * told->test_accuracy.high, told->test_figures.count);
    if (told->tested)
        add(list, "loss on the test samples", "%.4f", told->test_figures.loss[last]);
    if (isfinite(best->held_accuracy))
        add(list, "accuracy held back", "%.2f %%, epoch %zu%s", 100 * best->held_accuracy,
            result->best + 1, result->early ? "; stopped early" : "");
    else if (isfinite(best->held_loss))
        add(list, "loss held back", "%.4f, epoch %zu", best->held_loss, result->best + 1);
}

static void add_work(fact_list *list, const es_train_told *told)
{
    const es_fit_result *result = told->result;
    es_nn_work work = es_nn_work_of(told->nn);
    char source[64];
    add(list, "net", "%.100s: %llu parameters, %.3g M MACs", told->nn->name,
        (unsigned long long)work.params, 1e-6 * (double)work.macs);
    add(list, "time", "%.1f s, %.0f samples/s, %s, %u thread%s", result->seconds,
        images_per_s(told), es_train_backend_names[result->backend], result->thread_count,
        result->thread_count == 1 ? "" : "s");
    if (told->metered && told->energy.known)
        add(list, "energy", "%.4g J (%s), of the whole machine", told->energy.energy_j,
            es_meter_figure_source(&told->energy, source, sizeof source));
}

static void add_settings(fact_list *list, const es_train_told *told)
{
    const es_fit_opts *o = told->opts;
    const es_augment_opts *a = &o->augment;
    add(list, "from", "%.200s", told->source);
    add(list, "data", "%.150s: %zu samples, %zu learned from, %zu held back", told->data,
        told->sample_count, told->learned_count, told->held_count);
    add(list, "epochs", "%u of %zu-sample batches", o->epoch_count, o->batch);
    add(list, "optimiser", "%s, rate %g (%s, warm-up %g %%), weight decay %g",
        es_optimiser_names[o->optimiser.kind], o->rate.rate, es_rate_names[o->rate.kind],
        100 * o->rate.warm_up, o->optimiser.weight_decay);
    add(list, "loss", "%s, label smoothing %g, mean of parameters %g", es_fit_loss_names[o->loss],
        o->label_smoothing, o->average);
    add(list, "augmentation", "%sshift %zu, erase %zu, stretch %g, noise %g, mixup %g",
        a->flip ? "flip, " : "", a->shift, a->erase, a->stretch, a->noise, a->mixup);
    add(list, "seed", "%llu", (unsigned long long)o->seed);
}

void es_train_table(const es_train_told *told, es_text *out)
{
    fact_list list = {.arena = told->cli->arena};
    add_result(&list, told);
    add_work(&list, told);
    for (size_t i = 0; i < list.count; i++)
        es_text_format(out, "%-30s%s\n", list.items[i].name, list.items[i].value);
}

/* ---- the page ---- */

static es_status report_of(const es_train_told *told, fact_list *list, es_report_training *out,
                           es_error *err)
{
    *list = (fact_list){.arena = told->cli->arena};
    add_result(list, told);
    add_work(list, told);
    add_settings(list, told);
    *out = (es_report_training){.title = told->nn->name,
                                .result = told->result,
                                .facts = list->items,
                                .fact_count = list->count,
                                .made_by = "estran " ES_VERSION};
    return list->full ? es_arena_full(list->arena, "facts", err) : ES_OK;
}

es_status es_train_page(const es_train_told *told, es_text *out, es_error *err)
{
    fact_list list;
    es_report_training report;
    ES_TRY(report_of(told, &list, &report, err));
    es_report_training_html(&report, out);
    return ES_OK;
}

es_status es_train_picture(const es_train_told *told, es_text *out, es_error *err)
{
    fact_list list;
    es_report_training report;
    ES_TRY(report_of(told, &list, &report, err));
    es_report_training_svg(&report, out);
    return ES_OK;
}
