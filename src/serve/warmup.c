/* Runs before the first request: what the configuration asks for, else one with zeros. */
#include "base/clock.h"
#include "base/file.h"
#include "base/rng.h"
#include "served.h"

enum { TIMED_RUNS = 5, MEMORY_MAX = 1 << 30 };

typedef struct warm_up {
    es_arena *arena;
    es_served *served;
    const char *folder;
    es_tensor inputs[ES_SESSION_PORTS_MAX];
} warm_up;

static es_status run_once(warm_up *now, es_error *err)
{
    es_session *session = now->served->session;
    const size_t output_count = es_session_output_count(session);
    es_tensor outputs[ES_SESSION_PORTS_MAX] = {{.dtype = ES_DTYPE_NONE}};
    es_status status = es_session_run(session, now->inputs, es_session_input_count(session),
                                      outputs, output_count, err);
    for (size_t i = 0; status == ES_OK && i < output_count; i++)
        es_tensor_done(&outputs[i]);
    return status;
}

/* ---- as configured ---- */

static es_status fill_from_file(warm_up *now, const es_model_config_warmup_input *input,
                                es_tensor *tensor, es_error *err)
{
    char *bytes = NULL;
    size_t size = 0;
    char *below = es_file_join(now->arena, "warmup", input->file);
    char *path =
        below != NULL && now->folder != NULL ? es_file_join(now->arena, now->folder, below) : NULL;
    if (path == NULL)
        return es_fail(err, ES_ERR_ARG, "warm-up '%s': input_data_file needs a model on disk",
                       input->name);
    ES_TRY(es_file_read(now->arena, path, MEMORY_MAX, &bytes, &size, err));
    if (size != tensor->size_bytes)
        return es_fail(err, ES_ERR_ARG, "'%s' has %zu bytes, but warm-up '%s' takes %zu", path,
                       size, input->name, tensor->size_bytes);
    memcpy(tensor->data, bytes, size);
    return ES_OK;
}

static es_status make_input(warm_up *now, const es_model_config_warmup *warmup, size_t index,
                            es_error *err)
{
    const es_port *port = es_session_input(now->served->session, index);
    const es_model_config_warmup_input *input = NULL;
    int64_t dims[ES_TENSOR_RANK_MAX + 1];
    size_t rank = 0;
    for (size_t i = 0; i < warmup->input_count; i++)
        if (strcmp(warmup->inputs[i].name, port->name) == 0)
            input = &warmup->inputs[i];
    if (input == NULL)
        return es_fail(err, ES_ERR_ARG, "warm-up '%s' has no input '%s'",
                       warmup->name != NULL ? warmup->name : "", port->name);
    if (now->served->config.max_batch_size > 0)
        dims[rank++] = warmup->batch_size > 0 ? warmup->batch_size : 1;
    for (size_t i = 0; i < input->rank; i++)
        dims[rank++] = input->dims[i];
    if (rank > ES_TENSOR_RANK_MAX)
        return es_fail(err, ES_ERR_ARG, "warm-up '%s': too many dims", input->name);
    es_tensor *tensor = &now->inputs[index];
    *tensor = es_tensor_make(input->dtype, dims, rank, NULL);
    if (tensor->size_bytes > MEMORY_MAX)
        return es_fail(err, ES_ERR_ARG, "warm-up '%s': its dims are too large", input->name);
    ES_TRY(es_arena_take_or_fail(now->arena, tensor->size_bytes, 1, "warm-up", &tensor->data, err));
    es_rng rng = es_rng_make(1, index);
    if (input->data == ES_WARMUP_RANDOM)
        es_tensor_fill(tensor, &rng);
    return input->data == ES_WARMUP_FILE ? fill_from_file(now, input, tensor, err) : ES_OK;
}

static es_status run_configured(warm_up *now, es_error *err)
{
    const es_model_config *config = &now->served->config;
    for (size_t i = 0; i < config->warmup_count; i++) {
        const es_model_config_warmup *warmup = &config->warmups[i];
        es_arena_reset(now->arena);
        for (size_t k = 0; k < es_session_input_count(now->served->session); k++)
            ES_TRY(make_input(now, warmup, k, err));
        for (uint32_t run = 0; run < warmup->count; run++)
            ES_TRY(es_within(err, run_once(now, err), "warm-up '%s'",
                             warmup->name != NULL ? warmup->name : ""));
    }
    return ES_OK;
}

/* ---- by default ---- */

static bool make_zeros(warm_up *now)
{
    const es_session *session = now->served->session;
    es_arena_reset(now->arena);
    for (size_t i = 0; i < es_session_input_count(session); i++) {
        const es_port *port = es_session_input(session, i);
        for (size_t k = 1; k < port->rank; k++)
            if (port->dims[k] < 0)
                return false;
        now->inputs[i] = es_port_tensor(port, 1);
        if (es_dtype_size(port->dtype) == 0 || now->inputs[i].size_bytes > MEMORY_MAX)
            return false;
        now->inputs[i].data = es_arena_take(now->arena, now->inputs[i].size_bytes, 1);
        if (now->inputs[i].data == NULL)
            return false;
    }
    return true;
}

/* A model that does not like zeros is still served. */
static int64_t time_zeros(warm_up *now)
{
    es_clock *clock = es_clock_system();
    int64_t best_ns = INT64_MAX;
    if (!make_zeros(now) || run_once(now, NULL) != ES_OK)
        return 0;
    for (int i = 0; i < TIMED_RUNS; i++) {
        int64_t start_ns = es_clock_now_ns(clock);
        if (run_once(now, NULL) != ES_OK)
            return 0;
        int64_t took_ns = es_clock_now_ns(clock) - start_ns;
        best_ns = took_ns < best_ns ? took_ns : best_ns;
        if (best_ns > ES_NS_PER_MS) /* all that is asked is whether it is tiny */
            break;
    }
    return best_ns > 0 ? best_ns : 1;
}

es_status es_served_warm_up(es_served *served, const char *folder, int64_t *out_run_ns,
                            es_error *err)
{
    warm_up now = {.served = served, .folder = folder, .arena = es_arena_new((size_t)4 << 30)};
    if (now.arena == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory to warm up");
    es_status status = run_configured(&now, err);
    if (status == ES_OK)
        *out_run_ns = time_zeros(&now);
    es_arena_free(now.arena);
    return status;
}
