/* The program: finds the verb, parses its options, runs it, tells what went wrong. */
#include "base/log.h"
#include "cli/cli.h"

#include <stdalign.h>
#include <unistd.h>

enum { PROCESS_ARENA_MAX_MB = 4096, PATH_SIZE_MAX = 4096 };

static const es_verb *const verbs[] = {
    &es_verb_import,   &es_verb_profile,    &es_verb_cut,         &es_verb_calibrate,
    &es_verb_train,    &es_verb_compress,   &es_verb_plan,        &es_verb_pareto,
    &es_verb_schedule, &es_verb_run,        &es_verb_simulate,    &es_verb_node,
    &es_verb_gateway,  &es_verb_controller, &es_verb_bench_serve, &es_verb_report,
    &es_verb_compare,  &es_verb_footprint,  &es_verb_advise,      &es_verb_meter,
    &es_verb_check,
};
enum { VERB_COUNT = sizeof verbs / sizeof verbs[0] };

static volatile sig_atomic_t stop_asked;

static void ask_stop(int signal_number)
{
    (void)signal_number;
    stop_asked = 1;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = ask_stop};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    action.sa_handler = SIG_IGN; /* a closed pipe is an error of a write, not the end */
    (void)sigaction(SIGPIPE, &action, NULL);
    (void)sigaction(SIGXFSZ, &action, NULL); /* so is a file that may not grow */
}

static const es_verb *find_verb(const char *name)
{
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}

static int tell(es_status status, const es_error *err)
{
    (void)fprintf(stderr, "estran: %s\n", es_error_text(err));
    return es_status_exit_code(status);
}

static int unknown_verb(const char *name)
{
    const char *names[VERB_COUNT];
    for (size_t i = 0; i < VERB_COUNT; i++)
        names[i] = verbs[i]->name;
    const char *nearest = es_text_nearest(name, names, VERB_COUNT);
    if (nearest != NULL)
        (void)fprintf(stderr, "estran: unknown verb '%s' (did you mean '%s'?)\n", name, nearest);
    else
        (void)fprintf(stderr, "estran: unknown verb '%s'; see 'estran --help'\n", name);
    return 2;
}

static int print_help(const es_verb *verb)
{
    es_text text;
    es_text_init(&text, 1 << 20);
    if (verb != NULL)
        es_cli_verb_help(verb, &text);
    else
        es_cli_help(verbs, VERB_COUNT, &text);
    es_error err = {0};
    es_status status = es_cli_print(&text, &err);
    es_text_done(&text);
    return status == ES_OK ? 0 : tell(status, &err);
}

/* Where this executable lies: node processes are started from it. */
static const char *own_path(char *buffer, size_t size, const char *fallback)
{
    ssize_t length = readlink("/proc/self/exe", buffer, size - 1);
    if (length <= 0)
        return fallback;
    buffer[length] = '\0';
    return buffer;
}

static int run_verb(const es_verb *verb, es_cli *cli, int argc, char **argv)
{
    alignas(max_align_t) unsigned char options[ES_CLI_OPTIONS_SIZE] = {0};
    static const char *files[ES_CLI_FILES_MAX];
    size_t file_count = 0;
    bool help = false;
    es_error err = {0};
    es_status status =
        es_cli_parse(verb, cli, argc, argv, options, files, &file_count, &help, &err);
    if (status == ES_OK && help)
        return print_help(verb);
    if (cli->quiet)
        es_log_level_set(ES_LOG_ERROR);
    if (status == ES_OK)
        status = verb->run(cli, options, files, file_count, &err);
    return status == ES_OK ? cli->exit_code : tell(status, &err);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        (void)print_help(NULL);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_help(NULL);
    if (strcmp(argv[1], "help") == 0)
        return argc > 2 && find_verb(argv[2]) == NULL
                   ? unknown_verb(argv[2])
                   : print_help(argc > 2 ? find_verb(argv[2]) : NULL);
    if (strcmp(argv[1], "--version") == 0) {
        (void)puts("estran " ES_VERSION);
        return 0;
    }
    const es_verb *verb = find_verb(argv[1]);
    if (verb == NULL)
        return unknown_verb(argv[1]);
    catch_signals();
    char path[PATH_SIZE_MAX];
    es_cli cli = {
        .arena = es_arena_new((size_t)PROCESS_ARENA_MAX_MB << 20),
        .program = own_path(path, sizeof path, argv[0]),
        .terminal = isatty(STDERR_FILENO) != 0,
        .color = isatty(STDOUT_FILENO) != 0 && getenv("NO_COLOR") == NULL,
        .stop = &stop_asked,
    };
    if (cli.arena == NULL) {
        (void)fprintf(stderr, "estran: out of memory\n");
        return 1;
    }
    int code = run_verb(verb, &cli, argc - 2, argv + 2);
    es_arena_free(cli.arena);
    return code;
}
