/* estran compare: policies on the same sample paths. */
#include "base/file.h"
#include "cli/cli.h"
#include "report/report.h"

typedef struct options {
    const char *policies;
    int64_t replications, threads, slots, shift;
    double alpha, late_s;
    size_t on_bad;
    bool expected;
    const char *output, *html, *svg;
} options;

static const char *const bad_words[] = {"fail", "clip"};
enum { BAD_FAIL, BAD_CLIP };
static const char rec_1[] = "idn-rec-1";

static const es_option rows[] = {
    {.name = "policies",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, policies),
     .value = "A,B,...",
     .fallback = "infida,static-greedy,olag,lfu,cloud-only",
     .help = "NAME[:KEY=VALUE]... each, or process:COMMAND; the first is the yardstick"},
    {.name = "replications",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, replications),
     .value = "COUNT",
     .fallback = "1",
     .min = 1,
     .max = 10000,
     .help = "sample paths, for 95 % intervals"},
    {.name = "threads",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, threads),
     .value = "COUNT",
     .fallback = "0",
     .min = 0,
     .max = 1024,
     .help = "0: one per core; changes no byte"},
    {.name = "expected",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, expected),
     .help = "take mean arrivals instead of drawing them by the seed"},
    {.name = "on-bad",
     .type = ES_OPTION_WORD,
     .offset = offsetof(options, on_bad),
     .value = "WORD",
     .fallback = "fail",
     .words = bad_words,
     .word_count = sizeof bad_words / sizeof bad_words[0],
     .help = "a bad answer of a policy is an error, or counted and clipped"},
    {.name = "late",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, late_s),
     .value = "SECONDS",
     .fallback = "10",
     .min = 1e-3,
     .max = 1e6,
     .help = "patience with the answer of a process"},
    {.name = "alpha",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, alpha),
     .value = "MS",
     .fallback = "200",
     .min = 0,
     .max = 1e9,
     .help = "idn-rec-1: milliseconds that a unit of inaccuracy is worth"},
    {.name = "slots",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, slots),
     .value = "COUNT",
     .fallback = "240",
     .min = 1,
     .max = 10000000,
     .help = "idn-rec-1: slots of 60 s"},
    {.name = "shift",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, shift),
     .value = "SLOTS",
     .fallback = "0",
     .min = 0,
     .max = 10000000,
     .help = "idn-rec-1: popularity slides by 5 ranks every so many slots; 0: fixed"},
    {.name = "output",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, output),
     .value = "FILE",
     .help = "write the comparison (JSON) here"},
    {.name = "html",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, html),
     .value = "FILE",
     .help = "write a page here"},
    {.name = "svg",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, svg),
     .value = "FILE",
     .help = "draw the regret curves here"},
};

es_status es_cli_policies(es_cli *cli, const char *list, const char **out_items, size_t max,
                          size_t *out_count, es_error *err)
{
    size_t count = 0;
    for (const char *word = list;;) {
        size_t size = strcspn(word, ",");
        if (size == 0)
            return es_fail(err, ES_ERR_ARG, "--policies: '%s' has an empty name", list);
        if (count == max)
            return es_fail(err, ES_ERR_ARG, "--policies: more than %zu", max);
        out_items[count] = es_arena_text_n(cli->arena, word, size);
        if (out_items[count++] == NULL)
            return es_arena_full(cli->arena, "policies", err);
        if (word[size] == '\0')
            break;
        word += size + 1;
    }
    *out_count = count;
    return ES_OK;
}

static es_status get_network(es_cli *cli, const options *chosen, const char *name,
                             es_compare_opts *opts, const es_idn **out_idn, es_error *err)
{
    if (strcmp(name, rec_1) == 0) {
        opts->slot_count = (uint32_t)chosen->slots;
        opts->shift_slots = (uint32_t)chosen->shift;
        opts->seed = cli->seed != 0 ? (uint64_t)cli->seed : 1;
        return es_idn_rec_1(cli->arena, chosen->alpha, out_idn, err);
    }
    const es_scenario *scenario = NULL;
    ES_TRY(es_scenario_load(cli->arena, name, &scenario, err));
    opts->seed = cli->seed != 0 ? (uint64_t)cli->seed : scenario->seed;
    return es_within(err, es_idn_from_scenario(cli->arena, scenario, out_idn, err), "%s", name);
}

static es_status put_file(const char *path, es_text *text, es_error *err)
{
    es_status status = es_text_status(text, err);
    if (status == ES_OK)
        status = es_file_write(path, es_text_get(text), text->size, err);
    es_text_clear(text);
    return status;
}

static es_status put_all(es_cli *cli, const options *chosen, const es_comparison *comparison,
                         es_text *text, es_error *err)
{
    if (chosen->output != NULL) {
        es_report_compare_json(comparison, text);
        ES_TRY(put_file(chosen->output, text, err));
    }
    if (chosen->html != NULL) {
        es_report_compare_html(comparison, "estran " ES_VERSION, text);
        ES_TRY(put_file(chosen->html, text, err));
    }
    if (chosen->svg != NULL) {
        es_report_compare_svg(comparison, text);
        ES_TRY(put_file(chosen->svg, text, err));
    }
    if (cli->json)
        es_report_compare_json(comparison, text);
    else
        es_report_compare_text(comparison, cli->color, text);
    return es_cli_print(text, err);
}

static es_status run(es_cli *cli, const void *given, const char *const *files, size_t count,
                     es_error *err)
{
    (void)count;
    const options *chosen = given;
    const char *policies[ES_COMPARE_POLICIES_MAX];
    const es_idn *idn = NULL;
    const es_comparison *comparison = NULL;
    es_compare_opts opts = {.policies = policies,
                            .replication_count = (uint32_t)chosen->replications,
                            .thread_count = (uint32_t)chosen->threads,
                            .expected = chosen->expected,
                            .clip = chosen->on_bad == BAD_CLIP,
                            .late_s = chosen->late_s};
    ES_TRY(es_cli_policies(cli, chosen->policies, policies, ES_COMPARE_POLICIES_MAX,
                           &opts.policy_count, err));
    ES_TRY(get_network(cli, chosen, files[0], &opts, &idn, err));
    ES_TRY(es_compare_run(cli->arena, idn, opts, &comparison, err));
    es_text text;
    es_text_init(&text, (size_t)1 << 30);
    es_status status = put_all(cli, chosen, comparison, &text, err);
    es_text_done(&text);
    return status;
}

const es_verb es_verb_compare = {
    .name = "compare",
    .group = "explain",
    .summary = "play policies on the same requests: differences, regret",
    .arguments = "SCENARIO",
    .details = "Online policies decide slot by slot what each node hosts, not knowing what comes\n"
               "(docs/reference/policy.md). All meet the same requests; replications give paired\n"
               "differences with 95 % intervals. Regret is against the best fixed allocation.\n"
               "SCENARIO is a file, or idn-rec-1: a reconstructed setting with 36 nodes.\n"
               "Policies: infida, infida-offline, olag, static-greedy, replan, lru, lfu, hottest, "
               "random,\n"
               "device-only, edge-only, cloud-only, adahedge, exp3, exp3-ix, process.\n\n"
               "  estran compare idn-rec-1 --shift 60 --policies infida,static-greedy,olag\n"
               "  estran compare examples/01-first-run/scenario.yaml --replications 20",
    .file_min = 1,
    .file_max = 1,
    .options = rows,
    .option_count = sizeof rows / sizeof rows[0],
    .options_size = sizeof(options),
    .run = run,
};
