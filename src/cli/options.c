#include "cli/cli.h"

#include <assert.h>

/* What every verb takes. */
static const es_option common[] = {
    {.name = "json",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(es_cli, json),
     .help = "machine-readable output on stdout"},
    {.name = "seed",
     .type = ES_OPTION_INT,
     .offset = offsetof(es_cli, seed),
     .value = "N",
     .fallback = "0",
     .min = 0,
     .max = 9.0e15,
     .help = "random seed; 0: the scenario's"},
    {.name = "quiet",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(es_cli, quiet),
     .help = "no progress and no remarks, only errors"},
};
enum { COMMON_COUNT = sizeof common / sizeof common[0], NAMES_MAX = 64 };

static const es_option *find(const es_option *options, size_t count, const char *name, size_t size)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(options[i].name) == size && memcmp(options[i].name, name, size) == 0)
            return &options[i];
    return NULL;
}

static es_status fail_unknown(const es_verb *verb, const char *name, es_error *err)
{
    const char *names[NAMES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < verb->option_count && count < NAMES_MAX; i++)
        names[count++] = verb->options[i].name;
    for (size_t i = 0; i < COMMON_COUNT && count < NAMES_MAX; i++)
        names[count++] = common[i].name;
    const char *nearest = es_text_nearest(name, names, count);
    if (nearest != NULL)
        return es_fail(err, ES_ERR_ARG, "%s: unknown option --%s (did you mean --%s?)", verb->name,
                       name, nearest);
    return es_fail(err, ES_ERR_ARG, "%s: unknown option --%s; see 'estran %s --help'", verb->name,
                   name, verb->name);
}

static es_status set_word(const es_option *option, const char *value, size_t *out, es_error *err)
{
    for (size_t i = 0; i < option->word_count; i++) {
        if (strcmp(option->words[i], value) == 0) {
            *out = i;
            return ES_OK;
        }
    }
    const char *nearest = es_text_nearest(value, option->words, option->word_count);
    if (nearest != NULL)
        return es_fail(err, ES_ERR_ARG, "--%s: unknown word '%s' (did you mean '%s'?)",
                       option->name, value, nearest);
    es_text words;
    es_text_init(&words, ES_ERROR_SIZE);
    for (size_t i = 0; i < option->word_count; i++)
        es_text_format(&words, "%s%s", i > 0 ? ", " : "", option->words[i]);
    (void)es_fail(err, ES_ERR_ARG, "--%s: unknown word '%s', expected one of: %s", option->name,
                  value, es_text_get(&words));
    es_text_done(&words);
    return ES_ERR_ARG;
}

static es_status set_number(const es_option *option, const char *value, void *place, es_error *err)
{
    double number = 0;
    int64_t integer = 0;
    bool whole = option->type == ES_OPTION_INT;
    if (whole ? !es_text_to_int64(value, &integer) : !es_text_to_double(value, &number))
        return es_fail(err, ES_ERR_ARG, "--%s: '%s' is not a%s number", option->name, value,
                       whole ? " whole" : "");
    if (whole)
        number = (double)integer;
    if (number < option->min || number > option->max)
        return es_fail(err, ES_ERR_ARG, "--%s: %s must be between %g and %g", option->name, value,
                       option->min, option->max);
    if (whole)
        memcpy(place, &integer, sizeof integer);
    else
        memcpy(place, &number, sizeof number);
    return ES_OK;
}

static es_status set(es_cli *cli, const es_option *option, const char *value, void *base,
                     es_error *err)
{
    void *place = (char *)base + option->offset;
    switch (option->type) {
    case ES_OPTION_FLAG:
        *(bool *)place = true;
        return ES_OK;
    case ES_OPTION_TEXT:
        *(const char **)place = value;
        return ES_OK;
    case ES_OPTION_TEXTS: {
        es_cli_texts *texts = place;
        return ES_ARRAY_PUSH(cli->arena, texts, value, option->name, err);
    }
    case ES_OPTION_NUMBER:
    case ES_OPTION_INT:
        return set_number(option, value, place, err);
    case ES_OPTION_WORD:
        return set_word(option, value, place, err);
    }
    return ES_ERR_INTERNAL;
}

static es_status set_fallbacks(es_cli *cli, const es_option *options, size_t count, void *base,
                               es_error *err)
{
    for (size_t i = 0; i < count; i++)
        if (options[i].fallback != NULL)
            ES_TRY(set(cli, &options[i], options[i].fallback, base, err));
    return ES_OK;
}

/* One `--name value`, `--name=value` or `--flag` at argv[*at]; moves *at past it. */
static es_status take_option(const es_verb *verb, es_cli *cli, int argc, char **argv, int *at,
                             void *options, es_error *err)
{
    const char *name = argv[*at] + 2;
    const char *equals = strchr(name, '=');
    size_t size = equals != NULL ? (size_t)(equals - name) : strlen(name);
    void *base = options;
    const es_option *option = find(verb->options, verb->option_count, name, size);
    if (option == NULL) {
        base = cli;
        option = find(common, COMMON_COUNT, name, size);
    }
    if (option == NULL) {
        char *word = es_arena_text_n(cli->arena, name, size);
        return fail_unknown(verb, word != NULL ? word : name, err);
    }
    (*at)++;
    const char *value = equals != NULL ? equals + 1 : NULL;
    if (option->type == ES_OPTION_FLAG) {
        if (value != NULL)
            return es_fail(err, ES_ERR_ARG, "--%s takes no value, got '%s'", option->name, value);
    } else if (value == NULL) {
        if (*at >= argc)
            return es_fail(err, ES_ERR_ARG, "--%s needs a value: --%s %s", option->name,
                           option->name, option->value);
        value = argv[(*at)++];
    }
    return set(cli, option, value, base, err);
}

es_status es_cli_parse(const es_verb *verb, es_cli *cli, int argc, char **argv, void *options,
                       const char **files, size_t *out_file_count, bool *out_help, es_error *err)
{
    assert(verb->options_size <= ES_CLI_OPTIONS_SIZE);
    size_t file_count = 0;
    *out_help = false;
    ES_TRY(set_fallbacks(cli, verb->options, verb->option_count, options, err));
    ES_TRY(set_fallbacks(cli, common, COMMON_COUNT, cli, err));
    bool only_files = false;
    for (int at = 0; at < argc;) {
        const char *word = argv[at];
        if (!only_files && (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0)) {
            *out_help = true;
            return ES_OK;
        }
        if (!only_files && strcmp(word, "--") == 0) {
            only_files = true;
            at++;
        } else if (!only_files && strncmp(word, "--", 2) == 0) {
            ES_TRY(take_option(verb, cli, argc, argv, &at, options, err));
        } else if (!only_files && word[0] == '-' && word[1] != '\0') {
            return es_fail(err, ES_ERR_ARG, "%s: unknown option %s; long options start with --",
                           verb->name, word);
        } else {
            if (file_count >= ES_CLI_FILES_MAX || (int)file_count >= verb->file_max)
                return es_fail(err, ES_ERR_ARG, "%s: unexpected argument '%s'; usage: estran %s %s",
                               verb->name, word, verb->name, verb->arguments);
            files[file_count++] = word;
            at++;
        }
    }
    if ((int)file_count < verb->file_min)
        return es_fail(err, ES_ERR_ARG, "%s: missing argument; usage: estran %s [options] %s",
                       verb->name, verb->name, verb->arguments);
    *out_file_count = file_count;
    return ES_OK;
}

static void option_help(const es_option *option, es_text *out)
{
    char head[64];
    (void)snprintf(head, sizeof head, "--%s%s%s", option->name, option->value != NULL ? " " : "",
                   option->value != NULL ? option->value : "");
    es_text_format(out, "  %-26s %s", head, option->help);
    if (option->type == ES_OPTION_WORD) {
        es_text_append(out, ": ");
        for (size_t i = 0; i < option->word_count; i++)
            es_text_format(out, "%s%s", i > 0 ? ", " : "", option->words[i]);
    }
    if (option->fallback != NULL && strcmp(option->fallback, "0") != 0)
        es_text_format(out, " (default %s)", option->fallback);
    es_text_append(out, "\n");
}

void es_cli_verb_help(const es_verb *verb, es_text *out)
{
    es_text_format(out, "usage: estran %s [options] %s\n\n%s.\n\n%s\n\noptions\n", verb->name,
                   verb->arguments, verb->summary, verb->details);
    for (size_t i = 0; i < verb->option_count; i++)
        option_help(&verb->options[i], out);
    for (size_t i = 0; i < COMMON_COUNT; i++)
        option_help(&common[i], out);
    option_help(&(es_option){.name = "help", .help = "this text"}, out);
}

void es_cli_help(const es_verb *const *verbs, size_t count, es_text *out)
{
    es_text_append(out,
                   "usage: estran VERB [options] FILE...\n\n"
                   "Decides which AI model, in which form, runs where in a network of devices,\n"
                   "edge, network and cloud; runs it there; and shows what it cost.\n");
    const char *group = "";
    for (size_t i = 0; i < count; i++) {
        if (strcmp(group, verbs[i]->group) != 0) {
            group = verbs[i]->group;
            es_text_format(out, "\n%s\n", group);
        }
        es_text_format(out, "  %-11s %s\n", verbs[i]->name, verbs[i]->summary);
    }
    es_text_append(out, "\n'estran VERB --help' tells more. Start with\n"
                        "  estran run examples/01-first-run/scenario.yaml\n");
}
