/*
 * cli/footprint: what the files of the verb footprint share.
 */
#ifndef ES_CLI_FOOTPRINT_H
#define ES_CLI_FOOTPRINT_H

#include "cli/cli.h"
#include "report/report.h"

typedef struct es_footprint_options {
    const char *scenario;
    es_cli_texts factors;
    const char *grid;
    es_cli_texts zones;
    es_cli_texts series;
    const char *column;
    double from_h;
    es_cli_texts pue;
    es_cli_texts water;
    es_cli_texts hardware;
    size_t allocate;
    size_t minimise;
    double growth;
    const char *html;
    const char *svg;
    bool federated;
} es_footprint_options;

enum { ES_ALLOCATE_ON, ES_ALLOCATE_BUSY };
enum { ES_MINIMISE_NONE, ES_MINIMISE_ENERGY, ES_MINIMISE_CARBON };
enum { ES_FOOTPRINT_CASES_MAX = 16 };

typedef struct es_footprint_case {
    const char *label;
    const es_outcome *outcome;
    const char *note;
} es_footprint_case;

typedef struct es_footprint_cases {
    size_t count;
    es_footprint_case items[ES_FOOTPRINT_CASES_MAX];
    size_t saving_count;
    es_report_saving savings[ES_FOOTPRINT_CASES_MAX];
} es_footprint_cases;

/* "name=value" cut at its first '='; without one, *out_name is NULL and the whole is the value. */
es_status es_footprint_split(es_cli *cli, const char *option, const char *words,
                             const char **out_name, const char **out_value,
                             es_error *err) ES_MUST_CHECK;

/* footprint_cases.c: the scenario's plan and the baselines, simulated with mean arrivals. */
es_status es_footprint_plan_cases(es_cli *cli, const es_scenario *scenario, size_t minimise,
                                  es_footprint_cases *cases, es_error *err) ES_MUST_CHECK;

/* footprint_use.c: every case's footprint, with one set of factors and sources. */
es_status es_footprint_of_cases(es_cli *cli, const es_scenario *scenario,
                                const es_footprint_options *chosen, const es_footprint_cases *cases,
                                const es_footprint **out, es_error *err) ES_MUST_CHECK;

/* footprint_learning.c: --federated. path may be NULL. */
es_status es_footprint_learning(es_cli *cli, const es_footprint_options *chosen, const char *path,
                                es_error *err) ES_MUST_CHECK;

#endif
