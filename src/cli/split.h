/* split: `estran plan --split`, the best split of one model over a chain of nodes. */
#ifndef ES_CLI_SPLIT_H
#define ES_CLI_SPLIT_H

#include "cli/cli.h"

typedef struct es_cli_split {
    const char *model; /* ONNX file or profile; NULL: not asked for */
    const char *over;  /* names of nodes, with commas */
    size_t objective;  /* es_split_objective */
    double throughput_min_rps;
    es_cli_texts exits; /* TENSOR=SHARE */
} es_cli_split;

/* Prints the split (or its document, with --json) and writes the document to output where given.
 * Exit status 3 when there is none. */
es_status es_cli_split_run(es_cli *cli, const es_cli_split *given, const char *scenario_path,
                           const char *output, es_error *err) ES_MUST_CHECK;

#endif
