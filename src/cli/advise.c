/* estran advise: which smaller model suffices for a task, and what that saves. */
#include "base/array.h"
#include "base/document.h"
#include "cli/cli.h"
#include "footprint/footprint.h"

#include <math.h>

typedef struct options {
    double margin;
    es_cli_texts absolute;
    double exponent;
    es_cli_texts shares;
} options;

typedef struct advice {
    es_small_choice choice;
    bool absolute;
    double margin;
    double share; /* of the energy of all tasks; NAN: from popularity times size */
} advice;
typedef ES_ARRAY(advice) advices;

static const es_option rows[] = {
    {.name = "margin",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, margin),
     .value = "PERCENT",
     .fallback = "5",
     .min = 0,
     .max = 100,
     .help = "utility given up, as a share of the best"},
    {.name = "absolute",
     .type = ES_OPTION_TEXTS,
     .offset = offsetof(options, absolute),
     .value = "TASK=POINTS",
     .help = "points given up instead, for scores without a zero such as Elo"},
    {.name = "exponent",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, exponent),
     .value = "GAMMA",
     .fallback = "1",
     .min = 0.01,
     .max = 10,
     .help = "energy grows as size to this power"},
    {.name = "share",
     .type = ES_OPTION_TEXTS,
     .offset = offsetof(options, shares),
     .value = "TASK=PERCENT",
     .help = "a task's share of the energy; without any: popularity times size"},
};

/* The number given for task in a list of TASK=NUMBER; NAN: none. */
static es_status lookup(const char *option, const es_cli_texts *texts, const char *task,
                        double *out, es_error *err)
{
    *out = (double)NAN;
    for (size_t i = 0; i < texts->count; i++) {
        const char *words = texts->items[i];
        const char *equals = strrchr(words, '=');
        double number = 0;
        if (equals == NULL || equals == words || !es_text_to_double(equals + 1, &number) ||
            number < 0)
            return es_fail(err, ES_ERR_ARG, "--%s: '%s', expected TASK=NUMBER, >= 0", option,
                           words);
        if (strlen(task) == (size_t)(equals - words) &&
            strncmp(task, words, (size_t)(equals - words)) == 0)
            *out = number;
    }
    return ES_OK;
}

static es_status advise_task(es_cli *cli, const options *chosen, const es_small_model *models,
                             size_t count, advices *found, es_error *err)
{
    es_small_opts opts = {.margin = chosen->margin / 100, .exponent = chosen->exponent};
    advice one = {0};
    double points = 0;
    ES_TRY(lookup("absolute", &chosen->absolute, models[0].task, &points, err));
    if (!isnan(points)) {
        opts.absolute = true;
        opts.margin = points;
    }
    ES_TRY(lookup("share", &chosen->shares, models[0].task, &one.share, err));
    ES_TRY(es_small_choose(models, count, opts, &one.choice, err));
    one.absolute = opts.absolute;
    one.margin = opts.margin;
    return ES_ARRAY_PUSH(cli->arena, found, one, "tasks", err);
}

static es_status advise_file(es_cli *cli, const options *chosen, const char *path, advices *found,
                             es_error *err)
{
    const es_small_model *models = NULL;
    size_t count = 0;
    size_t left_out = 0;
    ES_TRY(es_small_load(cli->arena, path, &models, &count, &left_out, err));
    if (left_out > 0)
        es_cli_say(cli, "%s: rows left out for want of a size: %zu", path, left_out);
    for (size_t i = 0; i < count;) {
        size_t first = i;
        while (i < count && strcmp(models[i].task, models[first].task) == 0)
            i++;
        ES_TRY(es_within(err, advise_task(cli, chosen, &models[first], i - first, found, err), "%s",
                         path));
    }
    return ES_OK;
}

/* Over all tasks: by given shares, which every task must then have, else by weight. */
static es_status total(const options *chosen, const advices *found, double *out, es_error *err)
{
    double sum = 0;
    double saved = 0;
    for (size_t i = 0; i < found->count; i++) {
        const advice *one = &found->items[i];
        double weight = chosen->shares.count > 0 ? one->share : one->choice.before;
        if (isnan(weight))
            return es_fail(err, ES_ERR_ARG, "--share: task '%s' has none, others have",
                           one->choice.task);
        sum += weight;
        saved += weight * one->choice.saving;
    }
    if (!(sum > 0))
        return es_fail(err, ES_ERR_ARG, "--share: the shares sum to %g", sum);
    *out = saved / sum;
    return ES_OK;
}

static const char *name_of(const es_small_model *model)
{
    return model->name[0] != '\0' ? model->name : "?";
}

static void put_table(es_cli *cli, const options *chosen, const advices *found, double saving,
                      es_text *text)
{
    static const char *const head[] = {"task",    "models",       "best", "utility", "suffices",
                                       "utility", "size of best", "size", "saves"};
    enum { COLUMNS = sizeof head / sizeof head[0] };
    es_cli_table table = {.arena = cli->arena, .columns = COLUMNS};
    for (int i = 0; i < COLUMNS; i++)
        es_cli_cell(&table, "%s", head[i]);
    for (size_t i = 0; i < found->count; i++) {
        const es_small_choice *choice = &found->items[i].choice;
        es_cli_cell(&table, "%s", choice->task);
        es_cli_cell(&table, "%zu", choice->model_count);
        es_cli_cell(&table, "%.40s", name_of(choice->best));
        es_cli_cell(&table, "%.4g", choice->best->utility);
        es_cli_cell(&table, "%.40s", name_of(choice->sufficient));
        es_cli_cell(&table, "%.4g", choice->sufficient->utility);
        es_cli_cell(&table, "%.3g", choice->best->size);
        es_cli_cell(&table, "%.3g", choice->sufficient->size);
        es_cli_cell(&table, "%.1f %%", 100 * choice->saving);
    }
    es_cli_table_print(&table, text);
    es_text_format(text,
                   "\nall tasks, weighed by %s: %.1f %% less energy\n"
                   "counts the energy of inference as size to the power %g (a model, not measured; "
                   "not counted: idle, network, embodied); users of smaller models keep them\n",
                   chosen->shares.count > 0 ? "the given shares" : "popularity times size",
                   100 * saving, chosen->exponent);
}

static void json_model(es_json *json, const char *key, const es_small_model *model)
{
    es_json_key(json, key);
    es_json_map_begin(json);
    es_json_put_text(json, "model", model->name);
    es_json_put_number(json, "utility", model->utility);
    es_json_put_number(json, "size", model->size);
    es_json_map_end(json);
}

static void put_json(const options *chosen, const advices *found, double saving, es_text *text)
{
    es_json json;
    es_json_init(&json, text, false);
    es_json_map_begin(&json);
    es_json_put_text(&json, "format", "estran-advice");
    es_json_put_int(&json, "version", 1);
    es_json_put_number(&json, "exponent", chosen->exponent);
    es_json_key(&json, "tasks");
    es_json_list_begin(&json);
    for (size_t i = 0; i < found->count; i++) {
        const advice *one = &found->items[i];
        es_json_map_begin(&json);
        es_json_put_text(&json, "task", one->choice.task);
        es_json_put_int(&json, "models", (int64_t)one->choice.model_count);
        es_json_put_number(&json, one->absolute ? "margin_points" : "margin", one->margin);
        json_model(&json, "best", one->choice.best);
        json_model(&json, "sufficient", one->choice.sufficient);
        es_json_put_number(&json, "saving", one->choice.saving);
        es_json_map_end(&json);
    }
    es_json_list_end(&json);
    es_json_put_number(&json, "saving", saving);
    es_json_map_end(&json);
}

static es_status run(es_cli *cli, const void *given, const char *const *files, size_t count,
                     es_error *err)
{
    const options *chosen = given;
    advices found = {0};
    double saving = 0;
    for (size_t i = 0; i < count; i++)
        ES_TRY(advise_file(cli, chosen, files[i], &found, err));
    ES_TRY(total(chosen, &found, &saving, err));
    es_text text;
    es_text_init(&text, 1 << 26);
    if (cli->json)
        put_json(chosen, &found, saving, &text);
    else
        put_table(cli, chosen, &found, saving, &text);
    es_status status = es_cli_print(&text, err);
    es_text_done(&text);
    return status;
}

const es_verb es_verb_advise = {
    .name = "advise",
    .group = "explain",
    .summary = "which smaller model suffices, and what it saves",
    .arguments = "MODELS.csv...",
    .details =
        "MODELS.csv has a head and the columns utility, size (parameters, or joules per\n"
        "inference) and popularity, and perhaps task and model. The smallest model within the\n"
        "margin of the best suffices; users of smaller ones keep them.\n\n"
        "  estran advise models.csv --margin 5",
    .file_min = 1,
    .file_max = 64,
    .options = rows,
    .option_count = sizeof rows / sizeof rows[0],
    .options_size = sizeof(options),
    .run = run,
};
