#include "cli/samples.h"

#include <string.h>

enum { CHANNELS_MAX = 4096 };

es_status es_cli_samples_load(es_cli *cli, const es_cli_samples *from, bool labelled,
                              es_dataset *out_dataset, es_error *err)
{
    es_dataset_opts opts = es_dataset_opts_default();
    opts.limit = (size_t)from->limit;
    opts.label = from->label_column;
    ES_TRY(es_dataset_load(cli->arena, from->data, from->labels, opts, out_dataset, err));
    if (labelled && out_dataset->labels == NULL)
        return es_fail(err, ES_ERR_ARG, "'%s' has no labels: give --labels", from->data);
    return ES_OK;
}

/* "0.5,0.4,0.4" */
static es_status numbers(es_cli *cli, const char *option, const char *list, float **out,
                         size_t *out_count, es_error *err)
{
    size_t count = 1;
    for (const char *at = list; *at != '\0'; at++)
        count += *at == ',';
    if (count > CHANNELS_MAX)
        return es_fail(err, ES_ERR_LIMIT, "%s: %zu numbers, at most %d", option, count,
                       CHANNELS_MAX);
    *out = ES_TAKE_ARRAY(cli->arena, float, count);
    if (*out == NULL)
        return es_arena_full(cli->arena, option, err);
    for (size_t i = 0; i < count; i++) {
        size_t size = strcspn(list, ",");
        char *word = es_arena_text_n(cli->arena, list, size);
        double value = 0;
        if (word == NULL || !es_text_to_double(word, &value))
            return es_fail(err, ES_ERR_ARG, "%s: '%.*s' is no number", option, (int)size, list);
        (*out)[i] = (float)value;
        list += size + 1;
    }
    *out_count = count;
    return ES_OK;
}

es_status es_cli_samples_scaling(es_cli *cli, double scale, const char *mean, const char *factor,
                                 es_scaling *out_scaling, es_error *err)
{
    float *means = NULL;
    float *factors = NULL;
    size_t mean_count = 0;
    size_t factor_count = 0;
    ES_TRY(numbers(cli, "--mean", mean != NULL ? mean : "0", &means, &mean_count, err));
    ES_TRY(numbers(cli, "--factor", factor != NULL ? factor : "1", &factors, &factor_count, err));
    size_t count = mean_count > factor_count ? mean_count : factor_count;
    if ((mean_count != 1 && mean_count != count) || (factor_count != 1 && factor_count != count))
        return es_fail(err, ES_ERR_ARG, "--mean has %zu numbers, --factor %zu: one, or as many",
                       mean_count, factor_count);
    float *all_means = ES_TAKE_ARRAY(cli->arena, float, count);
    float *all_factors = ES_TAKE_ARRAY(cli->arena, float, count);
    if (all_means == NULL || all_factors == NULL)
        return es_arena_full(cli->arena, "scaling", err);
    for (size_t i = 0; i < count; i++) {
        all_means[i] = means[mean_count == 1 ? 0 : i];
        all_factors[i] = (float)(scale * (double)factors[factor_count == 1 ? 0 : i]);
    }
    *out_scaling = (es_scaling){.channel_count = count, .mean = all_means, .factor = all_factors};
    return ES_OK;
}
