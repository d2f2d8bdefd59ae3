/*
 * record: the folder that `estran run` leaves and `estran report` reads: run.json beside the plan,
 * the predicted and the measured outcome of every case.
 */
#ifndef ES_CLI_RECORD_H
#define ES_CLI_RECORD_H

#include "cli/cli.h"
#include "report/report.h"

enum { ES_RECORD_CASES_MAX = 8 };

typedef struct es_record {
    const char *scenario_file;   /* as given to run */
    const es_scenario *scenario; /* with the host's times */
    const double *host_time_s;   /* [segment], NAN where not measured */
    const char *machine;         /* what it ran on */
    size_t case_count;
    es_report_case cases[ES_RECORD_CASES_MAX];
} es_record;

/* Writes run.json and every case's plan and outcomes into folder. */
es_status es_record_write(es_cli *cli, const es_record *record, const char *folder,
                          es_error *err) ES_MUST_CHECK;

/* Reads folder back. */
es_status es_record_read(es_cli *cli, const char *folder, es_record *out_record,
                         es_error *err) ES_MUST_CHECK;

/* Writes folder/report.html and folder/report.csv, prints the table (or, with cli->json, run.json's
 * summary) to stdout, and tells the path of the page. */
es_status es_record_report(es_cli *cli, const es_record *record, const char *folder,
                           es_error *err) ES_MUST_CHECK;

#endif
