/*
 * exposition: Prometheus' text format, version 0.0.4: a family's HELP and TYPE
 * once before its samples, label values escaped, histograms cumulative with +Inf, _sum and _count.
 */
#ifndef ES_BASE_EXPOSITION_H
#define ES_BASE_EXPOSITION_H

#include "base/text.h"

extern const char ES_EXPOSITION_TYPE[]; /* the content type */

/* type: "counter", "gauge", "histogram". help: one line. */
void es_exposition_family(es_text *out, const char *name, const char *type, const char *help);

typedef struct es_exposition_label {
    const char *name, *value;
} es_exposition_label;

void es_exposition_sample(es_text *out, const char *name, const es_exposition_label *labels,
                          size_t label_count, double value);

/* Counts of buckets that end at ends[count], and of what is beyond in counts[count]. */
void es_exposition_histogram(es_text *out, const char *name, const es_exposition_label *labels,
                             size_t label_count, const double *ends, const uint64_t *counts,
                             size_t count, double sum);

#endif
