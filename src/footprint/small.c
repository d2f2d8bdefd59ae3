/* Small is sufficient: the smallest model that is good enough, and what that saves. */
#include "base/array.h"
#include "base/file.h"
#include "footprint/internal.h"

#include <math.h>

es_small_opts es_small_opts_default(void)
{
    return (es_small_opts){.margin = 0.05, .exponent = 1};
}

static const es_small_model *find_best(const es_small_model *models, size_t count)
{
    const es_small_model *best = &models[0];
    for (size_t i = 1; i < count; i++)
        if (models[i].utility > best->utility ||
            (models[i].utility >= best->utility && models[i].size < best->size))
            best = &models[i];
    return best;
}

es_status es_small_choose(const es_small_model *models, size_t count, es_small_opts opts,
                          es_small_choice *out_choice, es_error *err)
{
    if (count == 0)
        return es_fail(err, ES_ERR_ARG, "no model");
    if (!(opts.margin >= 0 && isfinite(opts.margin)) || (!opts.absolute && opts.margin > 1))
        return es_fail(err, ES_ERR_ARG, "margin=%g must be >= 0%s", opts.margin,
                       opts.absolute ? "" : " and <= 1");
    if (!(opts.exponent > 0 && isfinite(opts.exponent)))
        return es_fail(err, ES_ERR_ARG, "exponent=%g must be > 0", opts.exponent);
    es_small_choice choice = {.task = models[0].task, .model_count = count};
    choice.best = find_best(models, count);
    double best = choice.best->utility;
    double least = opts.absolute ? best - opts.margin : best - opts.margin * fabs(best);
    choice.sufficient = choice.best;
    for (size_t i = 0; i < count; i++)
        if (models[i].utility >= least && models[i].size < choice.sufficient->size)
            choice.sufficient = &models[i];
    for (size_t i = 0; i < count; i++) {
        choice.before += models[i].popularity * pow(models[i].size, opts.exponent);
        choice.after += models[i].popularity *
                        pow(fmin(models[i].size, choice.sufficient->size), opts.exponent);
    }
    if (!(choice.before > 0) || !isfinite(choice.before))
        return es_fail(err, ES_ERR_ARG, "task '%s': popularity times size sums to %g, expected > 0",
                       choice.task, choice.before);
    choice.saving = 1 - choice.after / choice.before;
    *out_choice = choice;
    return ES_OK;
}

/* ---- reading ---- */

typedef struct columns {
    size_t task, name, utility, size, popularity;
} columns;

static const char *const task_words[] = {"task"};
static const char *const name_words[] = {"model", "id", "name"};
static const char *const utility_words[] = {"utility"};
static const char *const size_words[] = {"size", "nParams", "params"};
static const char *const popularity_words[] = {"popularity", "downloads"};
#define COLUMN(csv, words) es_csv_column((csv), (words), sizeof(words) / sizeof(words)[0])

static es_status read_head(const es_csv *csv, columns *at, es_error *err)
{
    *at = (columns){COLUMN(csv, task_words), COLUMN(csv, name_words), COLUMN(csv, utility_words),
                    COLUMN(csv, size_words), COLUMN(csv, popularity_words)};
    const char *missing = at->utility == SIZE_MAX      ? "utility"
                          : at->size == SIZE_MAX       ? "size (or nParams)"
                          : at->popularity == SIZE_MAX ? "popularity (or downloads)"
                                                       : NULL;
    if (missing != NULL)
        return es_csv_fail(csv, err, "no column %s", missing);
    return ES_OK;
}

static es_status read_model(const es_csv *csv, const columns *at, es_small_model *model,
                            es_error *err)
{
    if (at->task < csv->count)
        model->task = csv->cells[at->task];
    model->name = at->name < csv->count ? csv->cells[at->name] : "";
    ES_TRY(es_csv_number(csv, at->utility, "utility", &model->utility, err));
    ES_TRY(es_csv_number(csv, at->size, "size", &model->size, err));
    ES_TRY(es_csv_number(csv, at->popularity, "popularity", &model->popularity, err));
    if (isnan(model->utility))
        return es_csv_fail(csv, err, "utility: missing");
    if (model->size < 0)
        return es_csv_fail(csv, err, "size: %g must be > 0", model->size);
    if (isnan(model->popularity) || model->popularity < 0)
        return es_csv_fail(csv, err, "popularity: %s must be >= 0",
                           isnan(model->popularity) ? "missing, it" : csv->cells[at->popularity]);
    return ES_OK;
}

typedef ES_ARRAY(es_small_model) model_array;

/* Rows of one task side by side, tasks as they first appear. O(tasks * rows). */
static es_status group(es_arena *arena, const model_array *read, const es_small_model **out_models,
                       es_error *err)
{
    void *taken = NULL;
    ES_TRY(
        es_arena_take_or_fail(arena, read->count, sizeof(es_small_model), "models", &taken, err));
    es_small_model *models = taken;
    size_t count = 0;
    for (size_t i = 0; i < read->count; i++) {
        const char *task = read->items[i].task;
        if (task == NULL)
            continue;
        for (size_t k = i; k < read->count; k++) {
            if (read->items[k].task == NULL || strcmp(read->items[k].task, task) != 0)
                continue;
            models[count] = read->items[k];
            models[count++].task = task;
            read->items[k].task = NULL;
        }
    }
    *out_models = models;
    return ES_OK;
}

es_status es_small_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                         const es_small_model **out_models, size_t *out_count, size_t *out_left_out,
                         es_error *err)
{
    es_csv csv = es_csv_make(name, bytes, size);
    model_array models = {0};
    columns at = {0};
    size_t left_out = 0;
    bool more = false;
    ES_TRY(es_csv_next(arena, &csv, &more, err));
    if (!more)
        return es_csv_fail(&csv, err, "empty, expected a head and rows");
    ES_TRY(read_head(&csv, &at, err));
    for (;;) {
        es_small_model model = {.task = name};
        ES_TRY(es_csv_next(arena, &csv, &more, err));
        if (!more)
            break;
        ES_TRY(read_model(&csv, &at, &model, err));
        if (model.size > 0)
            ES_TRY(ES_ARRAY_PUSH(arena, &models, model, "models", err));
        else
            left_out++;
    }
    if (models.count == 0)
        return es_csv_fail(&csv, err, "no row with a size");
    ES_TRY(group(arena, &models, out_models, err));
    *out_count = models.count;
    *out_left_out = left_out;
    return ES_OK;
}

es_status es_small_load(es_arena *arena, const char *path, const es_small_model **out_models,
                        size_t *out_count, size_t *out_left_out, es_error *err)
{
    char *bytes = NULL;
    size_t size = 0;
    ES_TRY(es_file_read_gz(arena, path, ES_FOOTPRINT_FILE_MAX, &bytes, &size, err));
    const char *slash = strrchr(path, '/');
    return es_small_parse(arena, slash != NULL ? slash + 1 : path, bytes, size, out_models,
                          out_count, out_left_out, err);
}
