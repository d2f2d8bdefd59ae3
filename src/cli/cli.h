/*
 * cli: the program. One table of verbs, one file per verb, one table row per option.
 *
 * stdout is data, stderr is talk. Exit status: 0 done, 1 failure, 2 usage, 3 no feasible plan.
 * A mistake on the command line prints one line with the nearest valid word, not the manual.
 */
#ifndef ES_CLI_CLI_H
#define ES_CLI_CLI_H

#include "base/array.h"
#include "base/text.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#define ES_VERSION "0.1.0"

typedef enum es_option_type {
    ES_OPTION_FLAG,   /* bool */
    ES_OPTION_TEXT,   /* const char * */
    ES_OPTION_TEXTS,  /* es_cli_texts: may be given several times */
    ES_OPTION_NUMBER, /* double */
    ES_OPTION_INT,    /* int64_t */
    ES_OPTION_WORD,   /* size_t, an index into words */
} es_option_type;

typedef struct es_cli_texts {
    const char **items;
    size_t count;
    size_t capacity;
} es_cli_texts;

/* One row is all there is to know about an option: parsing, checks and help come from it. */
typedef struct es_option {
    const char *name; /* without the dashes */
    es_option_type type;
    size_t offset;            /* of the value in the verb's options struct */
    const char *value;        /* placeholder with the unit: "SECONDS"; NULL for flags */
    const char *fallback;     /* default as text, parsed like the user's; NULL: zero */
    double min, max;          /* NUMBER and INT, inclusive */
    const char *const *words; /* WORD */
    size_t word_count;
    const char *help;
} es_option;

typedef struct es_cli {
    es_arena *arena;             /* of the process */
    const char *program;         /* path of this executable, to start node processes */
    bool json;                   /* machine-readable stdout */
    bool quiet;                  /* no talk but errors */
    bool terminal;               /* stderr is one: progress bars are welcome */
    bool color;                  /* stdout is a terminal that wants it */
    int64_t seed;                /* 0: the scenario's */
    int exit_code;               /* a verb may set 3: nothing does what was asked */
    volatile sig_atomic_t *stop; /* set by Ctrl-C and SIGTERM */
} es_cli;

typedef struct es_verb {
    const char *name;
    const char *group;     /* prepare, decide, run, explain */
    const char *summary;   /* one line */
    const char *arguments; /* "SCENARIO" */
    const char *details;   /* a paragraph or two and an example */
    int file_min, file_max;
    const es_option *options;
    size_t option_count;
    size_t options_size; /* of the options struct, at most ES_CLI_OPTIONS_SIZE */
    es_status (*run)(es_cli *cli, const void *options, const char *const *files, size_t count,
                     es_error *err);
} es_verb;

enum { ES_CLI_OPTIONS_SIZE = 512, ES_CLI_FILES_MAX = 4096 };

/* The verbs, in the order of the help. */
extern const es_verb es_verb_import, es_verb_profile, es_verb_cut, es_verb_calibrate, es_verb_train,
    es_verb_compress, es_verb_plan, es_verb_pareto, es_verb_schedule, es_verb_run, es_verb_simulate,
    es_verb_node, es_verb_gateway, es_verb_controller, es_verb_bench_serve, es_verb_report,
    es_verb_compare, es_verb_meter, es_verb_footprint, es_verb_advise, es_verb_check;

/* options.c: fills options (zeroed, verb->options_size bytes) and cli's common options from
 * argv[0..argc), files get the rest. *out_help is set when -h or --help was given. */
es_status es_cli_parse(const es_verb *verb, es_cli *cli, int argc, char **argv, void *options,
                       const char **files, size_t *out_file_count, bool *out_help,
                       es_error *err) ES_MUST_CHECK;

/* help.c */
void es_cli_help(const es_verb *const *verbs, size_t count, es_text *out);
void es_cli_verb_help(const es_verb *verb, es_text *out);

/* compare.c: "a,b,c" into out_items[max]. */
es_status es_cli_policies(es_cli *cli, const char *list, const char **out_items, size_t max,
                          size_t *out_count, es_error *err) ES_MUST_CHECK;

/* output.c: talk and data. */
void es_cli_say(const es_cli *cli, const char *format, ...) ES_PRINTF(2, 3); /* unless quiet */
es_status es_cli_print(es_text *text, es_error *err) ES_MUST_CHECK; /* to stdout, and clears it */

/* Draws `what [####    ] 42 %` over itself on a terminal; done >= 1 wipes the line. Nothing when
 * quiet or not on a terminal. */
void es_cli_progress(const es_cli *cli, const char *what, double done);

/* "%.3g" with a unit that people read: "1.50 ms", "12.0 us", "3.20 MB". */
void es_cli_seconds(es_text *out, double seconds);
void es_cli_bytes(es_text *out, double bytes);

/* A table for people: the first row is the head, the first column left aligned, the others right.
 */
typedef struct es_cli_table {
    es_arena *arena;
    size_t columns;
    es_cli_texts cells;
} es_cli_table;

/* Adds a cell, row by row. A cell that does not fit in memory is left empty. */
void es_cli_cell(es_cli_table *table, const char *format, ...) ES_PRINTF(2, 3);
void es_cli_table_print(const es_cli_table *table, es_text *out);

#endif
