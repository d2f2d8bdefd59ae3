#include "exposition.h"

#include <math.h>

const char ES_EXPOSITION_TYPE[] = "text/plain; version=0.0.4; charset=utf-8";

static void escaped(es_text *out, const char *words, bool quotes)
{
    for (const char *c = words; *c != '\0'; c++) {
        if (*c == '\\')
            es_text_append(out, "\\\\");
        else if (*c == '\n')
            es_text_append(out, "\\n");
        else if (*c == '"' && quotes)
            es_text_append(out, "\\\"");
        else
            es_text_append_n(out, c, 1);
    }
}

void es_exposition_family(es_text *out, const char *name, const char *type, const char *help)
{
    es_text_format(out, "# HELP %s ", name);
    escaped(out, help, false);
    es_text_format(out, "\n# TYPE %s %s\n", name, type);
}

static void labels_write(es_text *out, const es_exposition_label *labels, size_t count,
                         const char *last_name, const char *last_value)
{
    if (count == 0 && last_name == NULL)
        return;
    es_text_append(out, "{");
    for (size_t i = 0; i < count; i++) {
        es_text_format(out, "%s%s=\"", i > 0 ? "," : "", labels[i].name);
        escaped(out, labels[i].value, true);
        es_text_append(out, "\"");
    }
    if (last_name != NULL)
        es_text_format(out, "%s%s=\"%s\"", count > 0 ? "," : "", last_name, last_value);
    es_text_append(out, "}");
}

static void value_write(es_text *out, double value)
{
    es_text_append(out, " ");
    if (isnan(value))
        es_text_append(out, "NaN");
    else if (isinf(value))
        es_text_append(out, value > 0 ? "+Inf" : "-Inf");
    else
        es_text_double(out, value);
    es_text_append(out, "\n");
}

void es_exposition_sample(es_text *out, const char *name, const es_exposition_label *labels,
                          size_t label_count, double value)
{
    es_text_append(out, name);
    labels_write(out, labels, label_count, NULL, NULL);
    value_write(out, value);
}

void es_exposition_histogram(es_text *out, const char *name, const es_exposition_label *labels,
                             size_t label_count, const double *ends, const uint64_t *counts,
                             size_t count, double sum)
{
    uint64_t below = 0;
    char end[32];
    for (size_t i = 0; i <= count; i++) {
        below += counts[i];
        if (i < count)
            (void)snprintf(end, sizeof end, "%.9g", ends[i]);
        es_text_format(out, "%s_bucket", name);
        labels_write(out, labels, label_count, "le", i < count ? end : "+Inf");
        value_write(out, (double)below);
    }
    es_text_format(out, "%s_sum", name);
    labels_write(out, labels, label_count, NULL, NULL);
    value_write(out, sum);
    es_text_format(out, "%s_count", name);
    labels_write(out, labels, label_count, NULL, NULL);
    value_write(out, (double)below);
}
