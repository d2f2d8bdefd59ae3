/* Runs of a session: once with the caller's tensors, or again and again over bound ones. */
#include "runtime/internal.h"

typedef struct values {
    const es_runtime *runtime;
    size_t count;
    OrtValue *items[ES_SESSION_PORTS_MAX]; /* the first count are set or NULL */
} values;

static void values_done(values *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i] != NULL)
            list->runtime->api.ReleaseValue(list->items[i]);
}

/* Type, shape and memory of a value that the library made. */
static es_status output_read(const es_runtime *runtime, OrtValue *value, es_tensor *out,
                             es_error *err)
{
    const ort *api = &runtime->api;
    OrtTensorInfo *info = NULL;
    OrtStatus *failed = api->GetTensorTypeAndShape(value, &info);
    ES_TRY(es_ort_made(runtime, failed, info, "output", err));
    int type = 0;
    size_t rank = 0;
    int64_t dims[ES_TENSOR_RANK_MAX] = {0};
    failed = api->GetTensorElementType(info, &type);
    if (failed == NULL)
        failed = api->GetDimensionsCount(info, &rank);
    if (failed == NULL && rank <= ES_TENSOR_RANK_MAX)
        failed = api->GetDimensions(info, dims, rank);
    api->ReleaseTensorTypeAndShapeInfo(info);
    ES_TRY(es_ort_check(runtime, failed, "output", err));
    if (rank > ES_TENSOR_RANK_MAX)
        return es_fail(err, ES_ERR_UNSUPPORTED, "output has rank %zu, at most %d are carried", rank,
                       ES_TENSOR_RANK_MAX);
    void *data = NULL;
    ES_TRY(es_ort_check(runtime, api->GetTensorMutableData(value, &data), "output", err));
    *out = es_tensor_make((es_dtype)type, dims, rank, data);
    out->owner = value;
    out->runtime = runtime;
    return ES_OK;
}

/* Hands the values the library made to the caller's tensors. */
static es_status outputs_read(const es_session *session, values *made, const bool *given,
                              es_tensor *outputs, es_error *err)
{
    for (size_t k = 0; k < session->asked_count; k++) {
        if (given[k])
            continue;
        es_tensor *output = &outputs[session->asked[k]];
        es_status status = output_read(session->runtime, made->items[k], output, err);
        if (status != ES_OK) {
            for (size_t j = 0; j < k; j++)
                if (!given[j])
                    es_tensor_done(&outputs[session->asked[j]]);
            return es_within(err, status, "output '%s'", session->asked_names[k]);
        }
        made->items[k] = NULL;
    }
    for (size_t i = 0; i < session->output_count; i++)
        if (es_dtype_size(session->outputs[i].dtype) == 0)
            outputs[i] = (es_tensor){.dtype = ES_DTYPE_NONE};
    return ES_OK;
}

/* Without memory for a status a failed run looks like a good one (es_ort_made). What it then has
 * not made is NULL; what it has not written still holds a mark, set before. An output may be equal
 * to one mark by chance, not to two. */
enum { MARK_A = 0xa5, MARK_B = 0x5a, MARK_SIZE = 8 };

static size_t mark_size(const es_tensor *output)
{
    return output->size_bytes < MARK_SIZE ? output->size_bytes : MARK_SIZE;
}

static void marks_set(const es_session *session, const bool *given, const es_tensor *outputs,
                      int mark)
{
    for (size_t k = 0; k < session->asked_count; k++) {
        const es_tensor *output = &outputs[session->asked[k]];
        if (given[k])
            memset(output->data, mark, mark_size(output));
    }
}

static bool marks_gone(const es_session *session, const bool *given, const es_tensor *outputs,
                       int mark)
{
    unsigned char marked[MARK_SIZE];
    memset(marked, mark, sizeof marked);
    for (size_t k = 0; k < session->asked_count; k++) {
        const es_tensor *output = &outputs[session->asked[k]];
        size_t size = given[k] ? mark_size(output) : 0;
        if (size > 0 && memcmp(output->data, marked, size) == 0)
            return false;
    }
    return true;
}

static es_status run_marked(es_session *session, const values *in, values *out, const bool *given,
                            const es_tensor *outputs, es_error *err)
{
    const es_runtime *runtime = session->runtime;
    for (int tries = 0; tries < 2; tries++) {
        const int mark = tries == 0 ? MARK_A : MARK_B;
        marks_set(session, given, outputs, mark);
        OrtStatus *failed = runtime->api.Run(
            session->session, NULL, session->input_names, (const OrtValue *const *)in->items,
            in->count, session->asked_names, session->asked_count, out->items);
        ES_TRY(es_ort_check(runtime, failed, "run", err));
        for (size_t k = 0; k < session->asked_count; k++)
            ES_TRY(es_ort_made(runtime, NULL, out->items[k], "run", err));
        if (marks_gone(session, given, outputs, mark))
            return ES_OK;
    }
    return es_ort_made(runtime, NULL, NULL, "run", err);
}

es_status es_session_run(es_session *session, const es_tensor *inputs, size_t input_count,
                         es_tensor *outputs, size_t output_count, es_error *err)
{
    const es_runtime *runtime = session->runtime;
    ES_TRY(
        es_ports_check(session->inputs, session->input_count, inputs, input_count, "input", err));
    ES_TRY(es_ports_check(session->outputs, session->output_count, outputs, output_count, "output",
                          err));
    ES_TRY(es_reserve_keep("run", err));
    /* count grows with what is set, so the arrays need no clearing */
    ES_CLEANUP(values_done) values in;
    in.runtime = runtime;
    in.count = 0;
    ES_CLEANUP(values_done) values out;
    out.runtime = runtime;
    out.count = 0;
    for (size_t i = 0; i < input_count; i++) {
        ES_TRY(es_tensor_wrap(runtime, &inputs[i], &in.items[i], err));
        in.count++;
    }
    bool given[ES_SESSION_PORTS_MAX];
    for (size_t k = 0; k < session->asked_count; k++) {
        const es_tensor *output = &outputs[session->asked[k]];
        given[k] = output->data != NULL;
        out.items[k] = NULL;
        if (given[k])
            ES_TRY(es_tensor_wrap(runtime, output, &out.items[k], err));
        out.count++;
    }
    ES_TRY(run_marked(session, &in, &out, given, outputs, err));
    return outputs_read(session, &out, given, outputs, err);
}

struct es_binding {
    es_session *session;
    OrtIoBinding *handle;
};

static es_status binding_fill(es_binding *binding, const es_tensor *inputs, size_t input_count,
                              const es_tensor *outputs, size_t output_count, es_error *err)
{
    es_session *session = binding->session;
    const es_runtime *runtime = session->runtime;
    const ort *api = &runtime->api;
    ES_TRY(
        es_ports_check(session->inputs, session->input_count, inputs, input_count, "input", err));
    ES_TRY(es_ports_check(session->outputs, session->output_count, outputs, output_count, "output",
                          err));
    OrtStatus *made = api->CreateIoBinding(session->session, &binding->handle);
    ES_TRY(es_ort_made(runtime, made, binding->handle, "binding", err));
    for (size_t i = 0; i < input_count; i++) {
        ES_CLEANUP(values_done) values one = {.runtime = runtime, .count = 1};
        ES_TRY(es_tensor_wrap(runtime, &inputs[i], &one.items[0], err));
        ES_TRY(es_ort_check(runtime,
                            api->BindInput(binding->handle, session->input_names[i], one.items[0]),
                            session->input_names[i], err));
    }
    for (size_t k = 0; k < session->asked_count; k++) {
        const es_tensor *output = &outputs[session->asked[k]];
        if (output->data == NULL)
            return es_fail(err, ES_ERR_ARG, "output '%s': a binding needs the caller's memory",
                           session->asked_names[k]);
        ES_CLEANUP(values_done) values one = {.runtime = runtime, .count = 1};
        ES_TRY(es_tensor_wrap(runtime, output, &one.items[0], err));
        ES_TRY(es_ort_check(runtime,
                            api->BindOutput(binding->handle, session->asked_names[k], one.items[0]),
                            session->asked_names[k], err));
    }
    return ES_OK;
}

es_status es_binding_new(es_session *session, const es_tensor *inputs, size_t input_count,
                         const es_tensor *outputs, size_t output_count, es_binding **out_binding,
                         es_error *err)
{
    es_binding *binding = calloc(1, sizeof *binding);
    if (binding == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for a binding");
    binding->session = es_session_ref(session);
    es_status status = binding_fill(binding, inputs, input_count, outputs, output_count, err);
    if (status != ES_OK) {
        es_binding_free(binding);
        return status;
    }
    *out_binding = binding;
    return ES_OK;
}

void es_binding_free(es_binding *binding)
{
    if (binding == NULL)
        return;
    if (binding->handle != NULL)
        binding->session->runtime->api.ReleaseIoBinding(binding->handle);
    es_session_unref(binding->session);
    free(binding);
}

void es_binding_free_p(es_binding **binding)
{
    es_binding_free(*binding);
}

es_status es_binding_run(es_binding *binding, es_error *err)
{
    es_session *session = binding->session;
    OrtStatus *failed =
        session->runtime->api.RunWithBinding(session->session, NULL, binding->handle);
    return failed == NULL ? ES_OK : es_ort_check(session->runtime, failed, "run", err);
}
