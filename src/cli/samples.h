/*
 * samples: what verbs that run models over samples share: opening the data, and how its values
 * become a model's input.
 */
#ifndef ES_CLI_SAMPLES_H
#define ES_CLI_SAMPLES_H

#include "cli/cli.h"
#include "compress/compress.h"
#include "data/data.h"

typedef struct es_cli_samples {
    const char *data, *labels; /* NULL: none given */
    const char *label_column;  /* of CSV */
    int64_t limit;             /* samples, from the start; 0: all */
} es_cli_samples;

/* labelled: without labels it is an error that says how to give them. */
es_status es_cli_samples_load(es_cli *cli, const es_cli_samples *from, bool labelled,
                              es_dataset *out_dataset, es_error *err) ES_MUST_CHECK;

/* scale * (value - mean) * factor; mean and factor are numbers with commas, one or one per channel
 * (NULL: 0 and 1). */
es_status es_cli_samples_scaling(es_cli *cli, double scale, const char *mean, const char *factor,
                                 es_scaling *out_scaling, es_error *err) ES_MUST_CHECK;

#endif
