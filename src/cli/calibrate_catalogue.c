/* The certified cascade as a part of a scenario. */
#include "base/document.h"
#include "cli/calibrate.h"
#include "model/model.h"

#include <math.h>
#include <string.h>

es_status es_calibrate_catalogue_check(const es_calibrate_options *chosen, const char *const *files,
                                       size_t file_count, es_error *err)
{
    if (!(chosen->target > 0))
        return es_fail(err, ES_ERR_ARG, "--catalogue needs --target, to certify thresholds for");
    if (chosen->task == NULL)
        return es_fail(err, ES_ERR_ARG, "--catalogue needs --task, the scenario's name of it");
    if (chosen->confidence != ES_CONFIDENCE_MAX_PROB)
        return es_fail(err, ES_ERR_ARG,
                       "--catalogue needs --confidence max-prob: nodes stop by nothing else");
    if (file_count < 2)
        return es_fail(err, ES_ERR_ARG, "--catalogue takes at least two models");
    for (size_t i = 0; i < file_count; i++) {
        const char *end = strrchr(files[i], '.');
        if (end == NULL || strcmp(end, ".onnx") != 0)
            return es_fail(err, ES_ERR_ARG,
                           "--catalogue takes models, but '%s' is not called .onnx", files[i]);
    }
    return ES_OK;
}

static void put_stages(const es_calibration *c, const char *const *names, es_text *out)
{
    const es_cascade_point *point = &c->guarantee.point;
    for (size_t k = 0; k < c->all.count; k++) {
        es_text_append(out, "      - {segment: ");
        es_json_quoted(out, names[k]);
        if (k > 0)
            es_text_format(out, ", reach: %.6g, input: request",
                           fmax((double)point->reached[k], 0.5) / (double)c->held.count);
        if (k + 1 < c->all.count && isfinite(point->thresholds[k])) {
            es_text_append(out, ", exit_threshold: ");
            es_text_double(out, point->thresholds[k]);
        }
        es_text_append(out, "}\n");
    }
}

es_status es_calibrate_catalogue(const es_calibration *c, const char *const *files, es_text *out,
                                 es_error *err)
{
    const char *names[ES_CASCADE_STAGES_MAX];
    ES_CLEANUP(es_text_done) es_text all;
    es_text_init(&all, (size_t)1 << 16);
    if (!c->guarantee.found)
        return es_fail(err, ES_ERR_UNAVAILABLE,
                       "'%s' is not written: no thresholds can be certified for %.4g %%",
                       c->chosen->catalogue, 100 * c->chosen->target);
    for (size_t k = 0; k < c->all.count; k++) {
        names[k] = es_model_file_name(c->cli->arena, files[k]);
        if (names[k] == NULL)
            return es_arena_full(c->cli->arena, "names", err);
        es_text_format(&all, "%s%s", k > 0 ? "+" : "", names[k]);
    }
    const es_guarantee *g = &c->guarantee;
    uint64_t right = (uint64_t)llround(g->point.accuracy * (double)c->held.count);
    es_bounds quality = es_bounds_share(right, c->held.count, c->chosen->delta);
    es_text_append(out,
                   "format: estran-scenario\nversion: 1\n"
                   "# A part of one, for its `include`; the segments are those of the models.\n");
    es_text_format(
        out, "# On samples like those of %s at least %.4g %% right, with %.4g %% confidence.\n",
        c->chosen->data, 100 * c->chosen->target, 100 * (1 - c->chosen->delta));
    es_text_append(out, "pipelines:\n  - name: ");
    es_json_quoted(out, es_text_get(&all));
    es_text_append(out, "\n    task: ");
    es_json_quoted(out, c->chosen->task);
    es_text_format(out, "\n    quality: %.4f # %.4f to %.4f on %zu samples\n    stages:\n",
                   quality.value, quality.low, quality.high, c->held.count);
    put_stages(c, names, out);
    return ES_OK;
}
