/*
 * Running a variant's stages one after the other, as nodes do: what a stage gives last goes into
 * the next one, what it gives first may be the answer.
 */
#include "compress/internal.h"

#include <string.h>

void es_chain_close(es_chain *chain)
{
    for (size_t k = 0; k < chain->count; k++) {
        for (size_t o = 0; o < 2; o++)
            es_tensor_done(&chain->outputs[k][o]);
        es_session_unref(chain->sessions[k]);
    }
    chain->count = 0;
}

static size_t last_output(const es_chain *chain, size_t stage)
{
    return es_session_output_count(chain->sessions[stage]) - 1;
}

/* One input; as many outputs as the stage should have. */
static es_status check_ports(const es_variant *variant, size_t k, const es_session *session,
                             es_error *err)
{
    bool last = k + 1 == variant->stage_count;
    size_t outputs = !last && variant->stages[k].exit ? 2 : 1;
    if (es_session_input_count(session) != 1 || es_session_output_count(session) != outputs)
        return es_fail(err, ES_ERR_ARG, "stage %zu has %zu inputs and %zu outputs, to be 1 and %zu",
                       k + 1, es_session_input_count(session), es_session_output_count(session),
                       outputs);
    return ES_OK;
}

es_status es_chain_open(const es_compress_job *job, es_arena *scratch, const es_variant *variant,
                        const es_samples *samples, es_chain *out_chain, es_error *err)
{
    *out_chain = (es_chain){.variant = variant};
    for (size_t k = 0; k < variant->stage_count; k++) {
        ES_TRY(es_within(
            err, es_job_open(job, scratch, variant->stages[k].model, &out_chain->sessions[k], err),
            "stage %zu", k + 1));
        out_chain->count = k + 1;
        ES_TRY(check_ports(variant, k, out_chain->sessions[k], err));
    }
    return es_feed_init(scratch, out_chain->sessions[0], samples, &out_chain->feed, err);
}

const es_tensor *es_chain_answer(const es_chain *chain, size_t stage)
{
    return &chain->outputs[stage][0];
}

double es_answer_confidence(const es_tensor *answer)
{
    const float *values = answer->data;
    size_t count = es_tensor_count(answer);
    bool probabilities = es_scores_look_like_probabilities(values, 1, (uint32_t)count);
    return es_confidence_max_prob(values, count, !probabilities);
}

es_status es_chain_run(es_chain *chain, size_t sample, const double *thresholds, size_t *out_ran,
                       es_error *err)
{
    es_tensor input;
    es_feed_set(&chain->feed, sample);
    input = chain->feed.input;
    for (size_t k = 0; k < chain->count; k++) {
        es_tensor *outputs = chain->outputs[k];
        size_t last = last_output(chain, k);
        for (size_t o = 0; o <= last; o++)
            es_tensor_done(&outputs[o]);
        ES_TRY(es_within(err, es_session_run(chain->sessions[k], &input, 1, outputs, last + 1, err),
                         "stage %zu", k + 1));
        *out_ran = k + 1;
        bool exit = chain->variant->stages[k].exit && k + 1 < chain->count;
        if (exit && thresholds != NULL && es_answer_confidence(&outputs[0]) >= thresholds[k])
            return ES_OK;
        input = outputs[last];
    }
    return ES_OK;
}
