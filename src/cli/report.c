/* estran report: tells again what a run left in its folder. */
#include "cli/record.h"

static es_status run(es_cli *cli, const void *given, const char *const *files, size_t count,
                     es_error *err)
{
    (void)given;
    (void)count;
    es_record record;
    ES_TRY(es_record_read(cli, files[0], &record, err));
    return es_record_report(cli, &record, files[0], err);
}

const es_verb es_verb_report = {
    .name = "report",
    .group = "explain",
    .summary = "write the report of a finished run again",
    .arguments = "FOLDER",
    .details =
        "FOLDER is what 'estran run --output FOLDER' left. Prints the comparison and writes\n"
        "report.html (one page, no script or font from elsewhere) and report.csv into it.\n\n"
        "  estran report out/first-run",
    .file_min = 1,
    .file_max = 1,
    .options = NULL,
    .option_count = 0,
    .options_size = 0,
    .run = run,
};
