/*
 * What is wrong with the samples for the model, before any step takes its time.
 */
#include "compress/internal.h"

#include <assert.h>

/* The scores that the last output gives for the first sample; 0: it gives none. */
static es_status count_classes(es_session *session, const es_feed *feed, size_t *out, es_error *err)
{
    es_tensor outputs[ES_SESSION_PORTS_MAX] = {{.dtype = ES_DTYPE_NONE}};
    size_t count = es_session_output_count(session);
    assert(count >= 1 && count <= ES_SESSION_PORTS_MAX);
    ES_TRY(es_session_run(session, &feed->input, 1, outputs, count, err));
    *out = outputs[count - 1].dtype == ES_DTYPE_F32 ? es_tensor_count(&outputs[count - 1]) : 0;
    for (size_t i = 0; i < count; i++)
        es_tensor_done(&outputs[i]);
    return ES_OK;
}

static es_status check_labels(const es_samples *samples, size_t classes, es_error *err)
{
    const es_dataset *set = samples->dataset;
    for (size_t i = 0; set->labels != NULL && i < es_samples_count(samples); i++) {
        size_t row = samples->rows != NULL ? samples->rows->items[i] : i;
        ES_TRY(
            es_within(err, es_check_label(set->labels[row], row, classes, err), "'%s'", set->name));
    }
    return ES_OK;
}

es_status es_compress_check(const es_compress_job *job, es_error *err)
{
    const es_samples *const all[] = {&job->fit, &job->tune, &job->test};
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new((size_t)1 << 30);
    ES_CLEANUP(es_session_unref_p) es_session *session = NULL;
    size_t classes = 0;
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory to check the samples");
    ES_TRY(es_job_open(job, scratch, job->model, &session, err));
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        es_feed feed;
        if (es_samples_count(all[i]) == 0)
            continue;
        ES_TRY(es_feed_init(scratch, session, all[i], &feed, err));
        es_feed_set(&feed, 0);
        if (classes == 0)
            ES_TRY(count_classes(session, &feed, &classes, err));
        if (classes >= 2)
            ES_TRY(check_labels(all[i], classes, err));
    }
    return ES_OK;
}
