/*
 * schedule_execute: a schedule of a scenario's requests on real node processes.
 */
#ifndef ES_CLI_SCHEDULE_EXECUTE_H
#define ES_CLI_SCHEDULE_EXECUTE_H

#include "cli/cli.h"
#include "outcome/outcome.h"
#include "schedule/schedule.h"

typedef struct es_execution_variant {
    const char *variant;
    const char *node;   /* that runs it */
    const char *origin; /* of the requests */
    double requests;    /* told to take it */
    es_histogram *latency;
} es_execution_variant;

typedef struct es_execution_told {
    const es_outcome *outcome;
    size_t variant_count;
    const es_execution_variant *variants; /* in the order of the plan's routings */
} es_execution_told;

/* Runs the requests of the first horizon_s, each as the discrete schedule says. seed: that of the
 * schedule's requests. ES_ERR_ARG when the scenario's slots are shorter. */
es_status es_cli_schedule_execute(es_cli *cli, const es_scenario *scenario, double horizon_s,
                                  uint64_t seed, const es_tasks *tasks, const es_machines *machines,
                                  const es_schedule *schedule, es_execution_told *out,
                                  es_error *err) ES_MUST_CHECK;

/* For people: what was promised beside what was measured, then a row per variant and node. */
void es_cli_schedule_executed(es_cli *cli, const es_execution_told *told,
                              const es_schedule *schedule, es_text *text);

#endif
