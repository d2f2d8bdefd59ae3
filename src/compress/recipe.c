/*
 * Recipes: rows of steps with options, from one line of text or a file.
 */
#include "compress/internal.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* A new kind of step is a row here. */
static const es_step_kind *const kinds[] = {
    &es_step_quantise,   &es_step_prune,      &es_step_distil,
    &es_step_slim,       &es_step_specialise, &es_step_finetune,
    &es_step_gatekeeper, &es_step_exits,      &es_step_bottleneck};
enum {
    KIND_COUNT = sizeof kinds / sizeof kinds[0],
    STEPS_MAX = 16,
    RECIPES_MAX = 256,
    TEXT_BYTES = 1 << 16,
    FILE_BYTES = 1 << 20,
    VARIANTS_MAX = 1024
};

typedef struct step {
    const es_step_kind *kind;
    void *options; /* kind->options_size bytes */
} step;

struct es_recipe {
    const char *called; /* its variants; NULL: after the model and the steps */
    size_t step_count;
    step steps[STEPS_MAX];
    const char *text;  /* in full */
    const char *names; /* of the steps alone: for errors, which are short */
};

/* ---- options ---- */

static void *place(const es_step_option *row, void *options)
{
    return (char *)options + row->offset;
}

/* "must be one of a, b, c" as the nearest word is offered. */
static es_status unknown_word(const char *what, const char *word, const char *const *words,
                              size_t count, es_error *err)
{
    char list[256] = "";
    size_t size = 0;
    const char *near = es_text_nearest(word, words, count);
    if (near != NULL)
        return es_fail(err, ES_ERR_ARG, "%s '%s' is not known; did you mean '%s'?", what, word,
                       near);
    for (size_t i = 0; i < count && size + 1 < sizeof list; i++)
        size +=
            (size_t)snprintf(list + size, sizeof list - size, "%s%s", i > 0 ? ", " : "", words[i]);
    return es_fail(err, ES_ERR_ARG, "%s '%s' is not known; there are: %s", what, word, list);
}

static es_status set_option(es_arena *arena, const es_step_option *row, const char *value,
                            void *options, es_error *err)
{
    double number = 0;
    int64_t whole = 0;
    assert(value != NULL);
    switch (row->type) {
    case ES_STEP_WORD:
        for (size_t i = 0; i < row->word_count; i++) {
            if (strcmp(row->words[i], value) != 0)
                continue;
            *(size_t *)place(row, options) = i;
            return ES_OK;
        }
        return unknown_word(row->name, value, row->words, row->word_count, err);
    case ES_STEP_NUMBER:
        if (!es_text_to_double(value, &number) || number < row->min || number > row->max)
            return es_fail(err, ES_ERR_ARG, "%s=%s must be a number in %g..%g", row->name, value,
                           row->min, row->max);
        *(double *)place(row, options) = number;
        return ES_OK;
    case ES_STEP_INT:
        if (!es_text_to_int64(value, &whole) || (double)whole < row->min ||
            (double)whole > row->max)
            return es_fail(err, ES_ERR_ARG, "%s=%s must be a whole number in %.0f..%.0f", row->name,
                           value, row->min, row->max);
        *(int64_t *)place(row, options) = whole;
        return ES_OK;
    case ES_STEP_TEXT:
    default:
        *(const char **)place(row, options) = es_arena_text(arena, value);
        return *(const char **)place(row, options) != NULL ? ES_OK
                                                           : es_arena_full(arena, row->name, err);
    }
}

static const es_step_option *find_option(const es_step_kind *kind, const char *name, es_error *err)
{
    const char *names[64];
    size_t count = kind->option_count < 64 ? kind->option_count : 64;
    for (size_t i = 0; i < count; i++) {
        names[i] = kind->options[i].name;
        if (strcmp(names[i], name) == 0)
            return &kind->options[i];
    }
    (void)unknown_word("option", name, names, count, err);
    return NULL;
}

/* A step of that name with its defaults. */
static es_status start_step(es_arena *arena, const char *name, es_recipe *recipe, step **out,
                            es_error *err)
{
    const char *names[KIND_COUNT];
    if (recipe->step_count == STEPS_MAX)
        return es_fail(err, ES_ERR_LIMIT, "more than %d steps", STEPS_MAX);
    for (size_t k = 0; k < KIND_COUNT; k++) {
        names[k] = kinds[k]->name;
        if (strcmp(names[k], name) != 0)
            continue;
        step *s = &recipe->steps[recipe->step_count++];
        *s = (step){.kind = kinds[k], .options = es_arena_take(arena, 1, kinds[k]->options_size)};
        if (s->options == NULL)
            return es_arena_full(arena, "recipe", err);
        for (size_t i = 0; i < kinds[k]->option_count; i++) {
            const es_step_option *row = &kinds[k]->options[i];
            if (row->fallback != NULL)
                ES_TRY(set_option(arena, row, row->fallback, s->options, err));
        }
        *out = s;
        return ES_OK;
    }
    return unknown_word("step", name, names, KIND_COUNT, err);
}

/* ---- the text in full ---- */

/* False where there is nothing to tell. */
static bool tell_option(const es_step_option *row, const void *options, const char *before,
                        es_text *out)
{
    const void *value = (const char *)options + row->offset;
    if (row->type == ES_STEP_TEXT && *(const char *const *)value == NULL)
        return false;
    es_text_format(out, "%s%s=", before, row->name);
    switch (row->type) {
    case ES_STEP_WORD:
        es_text_append(out, row->words[*(const size_t *)value]);
        return true;
    case ES_STEP_NUMBER:
        es_text_double(out, *(const double *)value);
        return true;
    case ES_STEP_INT:
        es_text_format(out, "%lld", (long long)*(const int64_t *)value);
        return true;
    case ES_STEP_TEXT:
    default:
        es_text_append(out, *(const char *const *)value);
        return true;
    }
}

static es_status tell_in_full(es_arena *arena, es_recipe *recipe, es_error *err)
{
    ES_CLEANUP(es_text_done) es_text text;
    ES_CLEANUP(es_text_done) es_text names;
    es_text_init(&text, TEXT_BYTES);
    es_text_init(&names, TEXT_BYTES);
    if (recipe->called != NULL)
        es_text_format(&text, "%s=", recipe->called);
    for (size_t s = 0; s < recipe->step_count; s++) {
        const step *at = &recipe->steps[s];
        es_text_format(&text, "%s%s", s > 0 ? "+" : "", at->kind->name);
        es_text_format(&names, "%s%s", s > 0 ? "+" : "", at->kind->name);
        const char *before = ":";
        for (size_t i = 0; i < at->kind->option_count; i++)
            if (tell_option(&at->kind->options[i], at->options, before, &text))
                before = ",";
    }
    ES_TRY(es_text_status(&text, err));
    ES_TRY(es_text_status(&names, err));
    recipe->text = es_arena_text(arena, es_text_get(&text));
    recipe->names = es_arena_text(arena, es_text_get(&names));
    return recipe->text != NULL && recipe->names != NULL ? ES_OK
                                                         : es_arena_full(arena, "recipe", err);
}

const char *es_recipe_text(const es_recipe *recipe)
{
    return recipe->text;
}

/* ---- from a line ---- */

/* name=value */
static es_status parse_option(es_arena *arena, char *pair, step *s, es_error *err)
{
    char *equals = strchr(pair, '=');
    if (equals == NULL || equals == pair)
        return es_fail(err, ES_ERR_ARG, "'%s' must be OPTION=VALUE", pair);
    *equals = '\0';
    const es_step_option *row = find_option(s->kind, pair, err);
    return row != NULL ? set_option(arena, row, equals + 1, s->options, err) : ES_ERR_ARG;
}

/* step[:option=value,...] */
static es_status parse_step(es_arena *arena, char *words, es_recipe *recipe, es_error *err)
{
    step *s = NULL;
    char *at = strchr(words, ':');
    if (at != NULL)
        *at++ = '\0';
    ES_TRY(start_step(arena, words, recipe, &s, err));
    assert(s != NULL);
    while (at != NULL) {
        char *next = strchr(at, ',');
        if (next != NULL)
            *next++ = '\0';
        ES_TRY(es_within(err, parse_option(arena, at, s, err), "%s", s->kind->name));
        at = next;
    }
    return ES_OK;
}

/* It becomes the name of a file and of a segment. */
static es_status check_called(const char *name, es_error *err)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t size = strlen(name);
    if (size == 0 || size > 100 || name[0] == '.' || strspn(name, good) != size)
        return es_fail(err, ES_ERR_ARG,
                       "name '%s' must be 1 to 100 letters, digits, '-', '_' or '.', no '.' first",
                       name);
    return ES_OK;
}

static es_status parse(es_arena *arena, const char *text, const es_recipe **out, es_error *err)
{
    es_recipe *recipe = ES_TAKE_ONE(arena, es_recipe);
    char *at = es_arena_text(arena, text);
    if (recipe == NULL || at == NULL)
        return es_arena_full(arena, "recipe", err);
    char *mark = at + strcspn(at, "=:+");
    if (*mark == '=') {
        *mark = '\0';
        recipe->called = at;
        at = mark + 1;
        ES_TRY(check_called(recipe->called, err));
    }
    while (at != NULL) {
        char *next = strchr(at, '+');
        if (next != NULL)
            *next++ = '\0';
        ES_TRY(parse_step(arena, at, recipe, err));
        at = next;
    }
    ES_TRY(tell_in_full(arena, recipe, err));
    *out = recipe;
    return ES_OK;
}

es_status es_recipe_parse(es_arena *arena, const char *text, const es_recipe **out_recipe,
                          es_error *err)
{
    return es_within(err, parse(arena, text, out_recipe, err), "recipe '%s'", text);
}

/* ---- from a file ---- */

/* A value of the document as the text that an option is read from. */
static es_status value_text(es_arena *arena, const es_doc *value, const char **out, es_error *err)
{
    ES_CLEANUP(es_text_done) es_text text;
    es_text_init(&text, TEXT_BYTES);
    switch (value->type) {
    case ES_DOC_TEXT:
        es_text_append(&text, value->as.text.bytes);
        break;
    case ES_DOC_INT:
        es_text_format(&text, "%lld", (long long)value->as.integer);
        break;
    case ES_DOC_NUMBER:
        es_text_double(&text, value->as.number);
        break;
    case ES_DOC_BOOL:
        es_text_append(&text, value->as.boolean ? "yes" : "no");
        break;
    case ES_DOC_NULL:
    case ES_DOC_LIST:
    case ES_DOC_MAP:
    case ES_DOC_TYPE_COUNT:
    default:
        return es_doc_fail(value, err, "must be a text, number or boolean");
    }
    ES_TRY(es_text_status(&text, err));
    *out = es_arena_text(arena, es_text_get(&text));
    return *out != NULL ? ES_OK : es_arena_full(arena, "recipe", err);
}

/* {step: NAME, option: value, ...} */
static es_status read_step(es_arena *arena, const es_doc *map, es_recipe *recipe, es_error *err)
{
    const char *name = NULL;
    step *s = NULL;
    es_error why = {.status = ES_OK};
    ES_TRY(es_doc_expect_map(map, err));
    ES_TRY(es_doc_need_text(map, "step", &name, err));
    if (start_step(arena, name, recipe, &s, &why) != ES_OK)
        return es_doc_fail(es_doc_find(map, "step"), err, "%s", es_error_text(&why));
    assert(s != NULL);
    for (size_t i = 0; i < map->as.map.count; i++) {
        const es_doc_member *member = &map->as.map.members[i];
        const char *text = NULL;
        if (strcmp(member->key, "step") == 0)
            continue;
        const es_step_option *row = find_option(s->kind, member->key, &why);
        if (row == NULL)
            return es_doc_fail(member->value, err, "%s", es_error_text(&why));
        ES_TRY(value_text(arena, member->value, &text, err));
        if (set_option(arena, row, text, s->options, &why) != ES_OK)
            return es_doc_fail(member->value, err, "%s", es_error_text(&why));
    }
    return ES_OK;
}

static es_status read_recipe(es_arena *arena, const es_doc *value, const es_recipe **out,
                             es_error *err)
{
    const es_doc *steps = NULL;
    es_recipe *recipe = ES_TAKE_ONE(arena, es_recipe);
    if (recipe == NULL)
        return es_arena_full(arena, "recipe", err);
    if (value->type == ES_DOC_TEXT) {
        es_error why = {.status = ES_OK};
        if (parse(arena, value->as.text.bytes, out, &why) != ES_OK)
            return es_doc_fail(value, err, "%s", es_error_text(&why));
        return ES_OK;
    }
    ES_TRY(ES_DOC_EXPECT_KEYS(value, err, "name", "steps"));
    ES_TRY(es_doc_need_list(value, "steps", &steps, err));
    ES_TRY(es_doc_get_text(value, "name", &recipe->called, err));
    if (recipe->called != NULL) {
        es_error why = {.status = ES_OK};
        if (check_called(recipe->called, &why) != ES_OK)
            return es_doc_fail(es_doc_find(value, "name"), err, "%s", es_error_text(&why));
    }
    if (steps->as.list.count == 0)
        return es_doc_fail(steps, err, "needs at least one step");
    for (size_t i = 0; i < steps->as.list.count; i++)
        ES_TRY(read_step(arena, steps->as.list.items[i], recipe, err));
    ES_TRY(tell_in_full(arena, recipe, err));
    *out = recipe;
    return ES_OK;
}

es_status es_recipes_read(es_arena *arena, const char *path, const es_recipe *const **out_recipes,
                          size_t *out_count, es_error *err)
{
    const es_doc *root = NULL;
    const es_doc *list = NULL;
    ES_TRY(es_doc_read(arena, path, FILE_BYTES, &root, err));
    ES_TRY(es_doc_expect_map(root, err));
    ES_TRY(es_doc_expect_format(root, "estran-recipes", 1, err));
    ES_TRY(ES_DOC_EXPECT_KEYS(root, err, "format", "version", "recipes"));
    ES_TRY(es_doc_need_list(root, "recipes", &list, err));
    if (list->as.list.count == 0 || list->as.list.count > RECIPES_MAX)
        return es_doc_fail(list, err, "needs 1 to %d recipes", RECIPES_MAX);
    const es_recipe **recipes = ES_TAKE_ARRAY(arena, const es_recipe *, list->as.list.count);
    if (recipes == NULL)
        return es_arena_full(arena, "recipes", err);
    for (size_t i = 0; i < list->as.list.count; i++)
        ES_TRY(read_recipe(arena, list->as.list.items[i], &recipes[i], err));
    *out_recipes = recipes;
    *out_count = list->as.list.count;
    return ES_OK;
}

/* ---- help ---- */

static void tell_option_help(const es_step_option *row, es_text *out)
{
    char value[200] = "";
    size_t size = 0;
    for (size_t w = 0; w < row->word_count && size < sizeof value; w++)
        size += (size_t)snprintf(value + size, sizeof value - size, "%s%s", w > 0 ? "|" : "",
                                 row->words[w]);
    if (row->type == ES_STEP_NUMBER || row->type == ES_STEP_INT)
        (void)snprintf(value, sizeof value, "%g..%g", row->min, row->max);
    es_text_format(out, "  %s=%s\n      %s", row->name, row->type == ES_STEP_TEXT ? "TEXT" : value,
                   row->help);
    if (row->fallback != NULL)
        es_text_format(out, " (default %s)", row->fallback);
    es_text_append(out, "\n");
}

/* finetune has the options of training and no others: the one of that name; NULL: none. */
static const es_step_option *of_training(const es_step_option *row)
{
    for (size_t i = 0; i < es_step_finetune.option_count; i++)
        if (strcmp(es_step_finetune.options[i].name, row->name) == 0)
            return &es_step_finetune.options[i];
    return NULL;
}

/* Options of its own, and where those of training have another default. */
static void tell_kind_help(const es_step_kind *kind, es_text *out)
{
    bool any = false;
    const char *before = "; here ";
    es_text_format(out, "%s: %s\n", kind->name, kind->help);
    for (size_t i = 0; i < kind->option_count; i++)
        if (of_training(&kind->options[i]) == NULL)
            tell_option_help(&kind->options[i], out);
    for (size_t i = 0; i < kind->option_count; i++) {
        const es_step_option *row = &kind->options[i];
        const es_step_option *common = of_training(row);
        if (common == NULL)
            continue;
        es_text_append(out, any ? "" : "  options of training, below");
        any = true;
        if (row->fallback == NULL || strcmp(row->fallback, common->fallback) == 0)
            continue;
        es_text_format(out, "%s%s=%s", before, row->name, row->fallback);
        before = ", ";
    }
    es_text_append(out, any ? "\n" : "");
}

void es_recipe_help(es_text *out)
{
    for (size_t k = 0; k < KIND_COUNT; k++)
        tell_kind_help(kinds[k], out);
    es_text_append(out, "options of training, of every step that has any:\n");
    for (size_t i = 0; i < es_step_finetune.option_count; i++)
        tell_option_help(&es_step_finetune.options[i], out);
}

/* ---- running ---- */

static bool is_name_taken(const es_variants *variants, const char *name)
{
    for (size_t i = 0; i < variants->count; i++)
        if (strcmp(variants->items[i].name, name) == 0)
            return true;
    return false;
}

es_status es_variant_add(const es_compress_job *job, const es_variant *from, const char *suffix,
                         const es_model *model, es_variants *out, es_variant **out_variant,
                         es_error *err)
{
    es_variant v = {.name = es_arena_format(job->arena, "%s-%s", from->name, suffix),
                    .recipe = "",
                    .stage_count = 1,
                    .needs_speed = from->needs_speed};
    v.stages[0] = (es_variant_stage){.suffix = "", .model = model};
    if (v.name == NULL)
        return es_arena_full(job->arena, "variant", err);
    ES_TRY(ES_ARRAY_PUSH(job->arena, out, v, "variants", err));
    *out_variant = &out->items[out->count - 1];
    return ES_OK;
}

/* As the recipe calls it: of several variants each keeps what the steps put behind the model's. */
static const char *called(const es_compress_job *job, const es_recipe *recipe,
                          const es_variants *made, size_t i)
{
    const char *name = made->items[i].name;
    if (recipe->called == NULL || made->count == 1)
        return recipe->called != NULL ? recipe->called : name;
    assert(strncmp(name, job->name, strlen(job->name)) == 0);
    return es_arena_format(job->arena, "%s%s", recipe->called, name + strlen(job->name));
}

/* Two recipes may give the same name: the later one gets a number. */
static es_status take_over(const es_compress_job *job, const es_recipe *recipe,
                           const es_variants *made, es_variants *variants, es_error *err)
{
    for (size_t i = 0; i < made->count; i++) {
        es_variant v = made->items[i];
        const char *wanted = called(job, recipe, made, i);
        const char *name = wanted;
        for (int number = 2; name != NULL && is_name_taken(variants, name); number++)
            name = es_arena_format(job->arena, "%s-%d", wanted, number);
        if (name == NULL)
            return es_arena_full(job->arena, "variants", err);
        if (variants->count == VARIANTS_MAX)
            return es_fail(err, ES_ERR_LIMIT, "more than %d variants", VARIANTS_MAX);
        v.name = name;
        v.recipe = recipe->text;
        ES_TRY(ES_ARRAY_PUSH(job->arena, variants, v, "variants", err));
    }
    return ES_OK;
}

es_variant es_variant_original(const es_compress_job *job)
{
    es_variant v = {.name = job->name, .recipe = "", .stage_count = 1};
    v.stages[0] = (es_variant_stage){.suffix = "", .model = job->model};
    return v;
}

static es_status run(const es_compress_job *job, const es_recipe *recipe, es_variants *variants,
                     es_error *err)
{
    es_variants before = {0};
    ES_TRY(ES_ARRAY_PUSH(job->arena, &before, es_variant_original(job), "variants", err));
    for (size_t s = 0; s < recipe->step_count; s++) {
        const step *at = &recipe->steps[s];
        es_variants after = {0};
        for (size_t i = 0; i < before.count; i++)
            ES_TRY(es_within(err, at->kind->run(job, at->options, &before.items[i], &after, err),
                             "%s", before.items[i].name));
        before = after;
    }
    return take_over(job, recipe, &before, variants, err);
}

es_status es_recipe_run(const es_compress_job *job, const es_recipe *recipe, es_variants *variants,
                        es_error *err)
{
    return es_within(err, run(job, recipe, variants, err), "recipe '%s'", recipe->names);
}
