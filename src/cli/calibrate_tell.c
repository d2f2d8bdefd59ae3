/* What estran calibrate found, as tables and as a document. */
#include "base/document.h"
#include "cli/calibrate.h"

#include <math.h>

enum { CURVE_SHOWN = 8 };

static void show_stages(const es_calibration *c, es_text *out)
{
    es_cli_table table = {.arena = c->cli->arena, .columns = 8};
    static const char *const head[] = {"stage",      "accuracy", "interval",  "temperature",
                                       "ECE before", "ECE now",  "by chance", "AUROC"};
    for (size_t i = 0; i < 8; i++)
        es_cli_cell(&table, "%s", head[i]);
    for (size_t k = 0; k < c->all.count; k++) {
        const es_calibrate_finding *f = &c->findings[k];
        es_cli_cell(&table, "%.40s", c->all.items[k].name);
        es_cli_cell(&table, "%.2f %%", 100 * f->after.accuracy.value);
        es_cli_cell(&table, "%.2f..%.2f %%", 100 * f->after.accuracy.low,
                    100 * f->after.accuracy.high);
        es_cli_cell(&table, "%.4g%s", f->temperature.temperature,
                    f->temperature.at_bound ? " (at its bound)" : "");
        es_cli_cell(&table, "%.4f", f->before.ece.value);
        es_cli_cell(&table, "%.4f (%.4f..%.4f)", f->after.ece.value, f->after.ece.low,
                    f->after.ece.high);
        es_cli_cell(&table, "%.4f", f->after.ece_chance);
        if (isfinite(f->auroc))
            es_cli_cell(&table, "%.3f", f->auroc);
        else
            es_cli_cell(&table, "-");
    }
    es_cli_table_print(&table, out);
}

static void put_thresholds(const es_calibration *c, const es_cascade_point *point, es_text *out)
{
    for (size_t k = 0; k + 1 < c->all.count; k++) {
        if (isfinite(point->thresholds[k]))
            es_text_format(out, "%s%.6g", k > 0 ? ", " : "", point->thresholds[k]);
        else
            es_text_format(out, "%snever", k > 0 ? ", " : "");
    }
}

static void show_curve(const es_calibration *c, es_text *out)
{
    es_cli_table table = {.arena = c->cli->arena, .columns = 4};
    es_cli_cell(&table, "stop at confidence");
    es_cli_cell(&table, "accuracy");
    es_cli_cell(&table, "%s", c->cost_unit);
    es_cli_cell(&table, "reach the last");
    size_t shown = c->curve.count < CURVE_SHOWN ? c->curve.count : CURVE_SHOWN;
    for (size_t i = 0; i < shown; i++) {
        size_t at = shown > 1 ? i * (c->curve.count - 1) / (shown - 1) : 0;
        const es_cascade_point *point = &c->curve.points[at];
        ES_CLEANUP(es_text_done) es_text words;
        es_text_init(&words, 4096);
        put_thresholds(c, point, &words);
        es_cli_cell(&table, "%s", es_text_get(&words));
        es_cli_cell(&table, "%.2f %%", 100 * point->accuracy);
        es_cli_cell(&table, "%.4g", point->cost);
        es_cli_cell(&table, "%.1f %%",
                    100 * (double)point->reached[c->all.count - 1] / (double)c->held.count);
    }
    es_text_format(out, "\naccuracy and cost of the cascade, %zu choices that no other beats%s\n",
                   c->curve.count, c->curve.exact ? "" : " (early thresholds on a grid)");
    es_cli_table_print(&table, out);
}

static void show_certificates(const es_calibration *c, es_text *out)
{
    double target = 100 * c->chosen->target;
    double sure = 100 * (1 - c->chosen->delta);
    es_text_append(out, "\n");
    if (c->all.count > 1 && c->guarantee.found) {
        es_text_append(out, "certified: stop at confidence ");
        put_thresholds(c, &c->guarantee.point, out);
        es_text_format(
            out, "; accuracy >= %.4g %% with %.4g %% confidence (here %.2f %%, %.4g %s)\n", target,
            sure, 100 * c->guarantee.point.accuracy, c->guarantee.point.cost, c->cost_unit);
    } else if (c->all.count > 1) {
        es_text_format(out,
                       "no thresholds can be certified for %.4g %%: the last stage alone does "
                       "not show it on %zu samples\n",
                       target, c->held.count);
    }
    for (size_t k = 0; k < c->all.count; k++) {
        const es_selective *s = &c->findings[k].selective;
        if (s->found)
            es_text_format(out,
                           "%.40s: of answers with confidence >= %.6g at least %.4g %% are right, "
                           "with %.4g %% confidence (%.1f %% of the samples)\n",
                           c->all.items[k].name, s->threshold, target, sure,
                           100 * (double)s->accepted / (double)c->held.count);
        else
            es_text_format(out, "%.40s: no threshold makes %.4g %% of its answers right for sure\n",
                           c->all.items[k].name, target);
    }
}

static void show_share(es_cli_table *table, es_bounds share)
{
    es_cli_cell(table, "%.2f (%.2f..%.2f) %%", 100 * share.value, 100 * share.low,
                100 * share.high);
}

static void show_stream(const es_calibration *c, es_text *out)
{
    es_cli_table table = {.arena = c->cli->arena, .columns = 7};
    static const char *const head[] = {"stage",          "with labels", "by confidence",
                                       "by threshold",   "by asking",   "classes drifted",
                                       "confidence fell"};
    for (size_t i = 0; i < 7; i++)
        es_cli_cell(&table, "%s", head[i]);
    for (size_t k = 0; k < c->all.count; k++) {
        const es_calibrate_watch *w = &c->findings[k].watch;
        es_cli_cell(&table, "%.40s", c->all.items[k].name);
        es_cli_cell(&table, "%.2f %%", 100 * c->findings[k].after.accuracy.value);
        show_share(&table, w->by_confidence);
        show_share(&table, w->by_threshold);
        if (w->asked)
            show_share(&table, w->agreement.accuracy);
        else
            es_cli_cell(&table, "-");
        es_cli_cell(&table, "%s (p %.2g)", w->drift.p_value < c->chosen->delta ? "yes" : "no",
                    w->drift.p_value);
        if (w->alarm)
            es_cli_cell(&table, "ALARM at sample %zu", w->alarm_at);
        else
            es_cli_cell(&table, "no");
    }
    es_text_format(out, "\nstream of %zu samples without labels: accuracy of each stage\n",
                   c->stream_count);
    es_cli_table_print(&table, out);
    es_text_append(out,
                   "by confidence and by threshold hold while the inputs are of the same kind; "
                   "where something drifted, believe only by asking\n");
}

void es_calibrate_show(const es_calibration *c, es_text *out)
{
    es_text_format(out, "%zu samples fit the temperatures, %zu others measure\n", c->fit.count,
                   c->held.count);
    show_stages(c, out);
    if (c->all.count > 1)
        show_curve(c, out);
    if (c->chosen->target > 0)
        show_certificates(c, out);
    if (c->stream_count > 0)
        show_stream(c, out);
}

/* ---- the document ---- */

static void put_interval(es_json *json, const char *key, es_bounds i)
{
    es_json_key(json, key);
    es_json_map_begin(json);
    es_json_put_number(json, "value", i.value);
    es_json_put_number(json, "low", i.low);
    es_json_put_number(json, "high", i.high);
    es_json_map_end(json);
}

static void put_point(es_json *json, const es_calibration *c, const es_cascade_point *point)
{
    es_json_map_begin(json);
    es_json_key(json, "thresholds"); /* null: never stop here */
    es_json_list_begin(json);
    for (size_t k = 0; k + 1 < c->all.count; k++)
        es_json_number(json, point->thresholds[k]);
    es_json_list_end(json);
    es_json_key(json, "reached");
    es_json_list_begin(json);
    for (size_t k = 0; k < c->all.count; k++)
        es_json_number(json, (double)point->reached[k] / (double)c->held.count);
    es_json_list_end(json);
    es_json_put_number(json, "accuracy", point->accuracy);
    es_json_put_number(json, "cost", point->cost);
    es_json_map_end(json);
}

static void put_bins(es_json *json, const es_reliability *r)
{
    es_json_key(json, "bins");
    es_json_list_begin(json);
    for (size_t b = 0; b < r->bin_count; b++) {
        es_json_map_begin(json);
        es_json_put_number(json, "high", r->bins[b].high);
        es_json_put_int(json, "count", (int64_t)r->bins[b].count);
        es_json_put_number(json, "confidence", r->bins[b].confidence);
        put_interval(json, "accuracy", r->bins[b].accuracy);
        es_json_map_end(json);
    }
    es_json_list_end(json);
}

static void put_watch(es_json *json, const es_calibrate_watch *w)
{
    es_json_key(json, "stream");
    es_json_map_begin(json);
    put_interval(json, "by_confidence", w->by_confidence);
    put_interval(json, "by_threshold", w->by_threshold);
    if (w->asked) {
        es_json_put_int(json, "asked_count", (int64_t)w->agreement.asked);
        put_interval(json, "disagreement", w->agreement.disagreement);
        put_interval(json, "by_asking", w->agreement.accuracy);
    }
    es_json_put_number(json, "classes_divergence", w->drift.divergence);
    es_json_put_number(json, "classes_p_value", w->drift.p_value);
    es_json_put_number(json, "fall", w->fall);
    es_json_put_number(json, "fall_alarm_level", w->alarm_level);
    es_json_key(json, "alarm_at"); /* null: no alarm */
    if (w->alarm)
        es_json_int(json, (int64_t)w->alarm_at);
    else
        es_json_null(json);
    es_json_map_end(json);
}

static void put_stage(es_json *json, const es_calibration *c, size_t k)
{
    const es_calibrate_finding *f = &c->findings[k];
    es_json_map_begin(json);
    es_json_put_text(json, "name", c->all.items[k].name);
    es_json_put_bool(json, "probabilities", c->all.items[k].scores.probabilities);
    es_json_put_number(json, "cost", c->costs[k]);
    es_json_put_number(json, "temperature", f->temperature.temperature);
    es_json_put_bool(json, "temperature_at_bound", f->temperature.at_bound);
    put_interval(json, "accuracy", f->after.accuracy);
    es_json_put_number(json, "ece_before", f->before.ece.value);
    put_interval(json, "ece", f->after.ece);
    es_json_put_number(json, "ece_chance", f->after.ece_chance);
    es_json_put_number(json, "ece_chance_high", f->after.ece_chance_high);
    es_json_put_number(json, "mce", f->after.mce);
    es_json_put_number(json, "nll_before", f->nll_before);
    es_json_put_number(json, "nll", f->nll_after);
    es_json_put_number(json, "brier", f->brier_after);
    es_json_put_number(json, "auroc", f->auroc);
    if (f->selective.found) {
        es_json_put_number(json, "answer_threshold", f->selective.threshold);
        es_json_put_number(json, "answered_share",
                           (double)f->selective.accepted / (double)c->held.count);
    }
    put_bins(json, &f->after);
    if (c->stream_count > 0)
        put_watch(json, &f->watch);
    es_json_map_end(json);
}

void es_calibrate_write(const es_calibration *c, es_text *out)
{
    es_json json;
    es_json_init(&json, out, false);
    es_json_map_begin(&json);
    es_json_put_text(&json, "format", "estran-calibration");
    es_json_put_int(&json, "version", 1);
    es_json_put_text(&json, "confidence", es_confidence_names[c->chosen->confidence]);
    es_json_put_text(&json, "thresholds_of", c->chosen->catalogue != NULL ? "given" : "calibrated");
    es_json_put_text(&json, "cost_unit", c->cost_unit);
    es_json_put_int(&json, "fit_count", (int64_t)c->fit.count);
    es_json_put_int(&json, "measured_count", (int64_t)c->held.count);
    es_json_put_number(&json, "delta", c->chosen->delta);
    if (c->stream_count > 0)
        es_json_put_int(&json, "stream_count", (int64_t)c->stream_count);
    es_json_key(&json, "stages");
    es_json_list_begin(&json);
    for (size_t k = 0; k < c->all.count; k++)
        put_stage(&json, c, k);
    es_json_list_end(&json);
    es_json_put_bool(&json, "curve_exact", c->curve.exact);
    es_json_key(&json, "curve");
    es_json_list_begin(&json);
    for (size_t i = 0; i < c->curve.count; i++)
        put_point(&json, c, &c->curve.points[i]);
    es_json_list_end(&json);
    if (c->chosen->target > 0) {
        es_json_put_number(&json, "target", c->chosen->target);
        es_json_key(&json, "certified"); /* null: nothing could be */
        if (c->guarantee.found)
            put_point(&json, c, &c->guarantee.point);
        else
            es_json_null(&json);
    }
    es_json_map_end(&json);
}
