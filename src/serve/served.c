#include "served.h"

#include "base/array.h"
#include "base/clock.h"
#include "base/file.h"

#include <math.h>
#include <sys/stat.h>

enum { LABELS_BYTES_MAX = 16 << 20 };

const double ES_SERVED_BUCKETS_S[ES_SERVED_BUCKETS] = {
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
    0.05,   0.1,     0.25,   0.5,   1,      2.5,   5,    10};

const char *const es_served_outcome_names[ES_SERVED_OUTCOME_COUNT] = {
    [ES_SERVED_OK] = "ok",
    [ES_SERVED_REJECTED] = "rejected",
    [ES_SERVED_CANCELLED] = "cancelled",
    [ES_SERVED_WRONG] = "wrong",
    [ES_SERVED_FAILED] = "failed",
};

es_served_defaults es_served_defaults_default(void)
{
    return (es_served_defaults){
        .replica_count = 1,
        .thread_count = 1,
        .batch_max = 8,
        .queue_max = 1024,
        .here_ns_max = 300 * ES_NS_PER_US,
    };
}

/* ---- counts ---- */

void es_served_count(es_served_duration *duration, int64_t ns)
{
    atomic_fetch_add_explicit(&duration->count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&duration->ns, ns, memory_order_relaxed);
}

void es_served_observe(es_served_histogram *histogram, int64_t ns)
{
    double seconds = es_s_from_ns(ns);
    size_t at = 0;
    while (at < ES_SERVED_BUCKETS && seconds > ES_SERVED_BUCKETS_S[at])
        at++;
    atomic_fetch_add_explicit(&histogram->buckets[at], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->ns, ns, memory_order_relaxed);
}

/* ---- completing the configuration ---- */

/* A model that does not say so is batched when trying shows that rows do not see each other. */
static es_status complete_batching(es_served *served, const es_served_defaults *defaults,
                                   es_error *err)
{
    es_model_config *config = &served->config;
    bool apart = false;
    if (config->max_batch_size_given || defaults->batch_max < 2)
        return ES_OK;
    ES_TRY(es_session_rows_apart(served->session, &apart, err));
    if (!apart)
        return ES_OK;
    config->max_batch_size = defaults->batch_max;
    config->batching = true;
    return ES_OK;
}

static void complete(es_served *served, const es_served_defaults *defaults)
{
    es_model_config *config = &served->config;
    if (config->replica_count == 0)
        config->replica_count = defaults->replica_count;
    for (size_t i = 0; i < ES_BATCH_LEVELS_MAX; i++) {
        if (config->levels[i].queue_max == 0)
            config->levels[i].queue_max = defaults->queue_max;
        served->has_timeouts = served->has_timeouts || config->levels[i].timeout_ns > 0;
    }
    if (!config->cache_given)
        config->cache = defaults->cache;
    const char *quality = es_model_config_parameter(config, "estran_quality");
    served->quality = (double)NAN;
    if (quality != NULL && (!es_text_to_double(quality, &served->quality) || served->quality < 0 ||
                            served->quality > 1))
        served->quality = (double)NAN;
    const char *payload = es_model_config_parameter(config, "estran_payload");
    served->payload_u8 = payload != NULL && strcmp(payload, "u8") == 0;
    const char *service = es_model_config_parameter(config, "estran_service_us");
    double service_us = 0;
    if (service != NULL && es_text_to_double(service, &service_us) && service_us > 0 &&
        service_us < 1e12)
        served->service_ns = (int64_t)(service_us * (double)ES_NS_PER_US);
}

static es_status batcher_start(es_served *served, const es_served_defaults *defaults,
                               int64_t run_ns, es_error *err)
{
    const es_model_config *config = &served->config;
    es_batcher_opts opts = es_batcher_opts_default();
    opts.replica_count = config->replica_count;
    opts.run_ns_expected = run_ns;
    opts.cpu_time = defaults->cpu_time && defaults->thread_count == 1;
    opts.rows_max = config->max_batch_size;
    opts.join = config->batching;
    opts.wait_ns_max = config->max_queue_delay_us * ES_NS_PER_US;
    opts.preferred_count = config->preferred_count;
    memcpy(opts.preferred, config->preferred, sizeof opts.preferred);
    memcpy(opts.levels, config->levels, sizeof opts.levels);
    if (config->priority_levels > 0) {
        opts.level_count = config->priority_levels;
        opts.level_default = config->default_priority_level;
    }
    return es_batcher_new(served->session, opts, &served->batcher, err);
}

/* ---- shapes that clients see ---- */

static es_status reshape(const es_model_config *config, const es_model_config_port *declared,
                         es_served_port *port, es_error *err)
{
    const size_t batch = config->max_batch_size > 0 ? 1 : 0;
    es_port *face = &port->face;
    for (size_t i = batch; i < face->rank; i++)
        if (face->dims[i] < 0)
            return es_fail(err, ES_ERR_UNSUPPORTED,
                           "'%s': reshape needs a model without other free dims than the batch",
                           face->name);
    if (batch + declared->rank > ES_TENSOR_RANK_MAX)
        return es_fail(err, ES_ERR_ARG, "'%s': more than %d dims", face->name, ES_TENSOR_RANK_MAX);
    es_tensor model = es_port_tensor(face, 1);
    face->rank = batch + declared->rank;
    for (size_t i = 0; i < declared->rank; i++)
        face->dims[batch + i] = declared->dims[i];
    if (batch > 0)
        face->dims[0] = -1;
    es_tensor client = es_port_tensor(face, 1);
    if (es_tensor_count(&model) != es_tensor_count(&client))
        return es_fail(err, ES_ERR_ARG, "'%s': dims and reshape have other numbers of elements",
                       face->name);
    port->reshaped = true;
    return ES_OK;
}

static es_status ports_make(es_served *served, bool is_input, es_error *err)
{
    const es_session *session = served->session;
    const es_model_config *config = &served->config;
    size_t count = is_input ? es_session_input_count(session) : es_session_output_count(session);
    const es_model_config_port *declared = is_input ? config->inputs : config->outputs;
    size_t declared_count = is_input ? config->input_count : config->output_count;
    es_served_port *ports = ES_TAKE_ARRAY(served->arena, es_served_port, count);
    if (ports == NULL)
        return es_arena_full(served->arena, "ports", err);
    for (size_t i = 0; i < count; i++) {
        ports[i].face = is_input ? *es_session_input(session, i) : *es_session_output(session, i);
        for (size_t k = 0; k < declared_count; k++)
            if (declared[k].reshape_given && declared[k].dims_given &&
                strcmp(declared[k].name, ports[i].face.name) == 0)
                ES_TRY(reshape(config, &declared[k], &ports[i], err));
    }
    *(is_input ? &served->inputs : &served->outputs) = ports;
    return ES_OK;
}

/* ---- labels: one per line ---- */

static es_status labels_split(es_arena *arena, char *text, es_served_labels *out, es_error *err)
{
    ES_ARRAY(const char *) lines = {0};
    while (*text != '\0') {
        char *end = text + strcspn(text, "\n");
        char *next = *end == '\0' ? end : end + 1;
        *end = '\0';
        if (end > text && end[-1] == '\r')
            end[-1] = '\0';
        ES_TRY(ES_ARRAY_PUSH(arena, &lines, text, "labels", err));
        text = next;
    }
    *out = (es_served_labels){.items = lines.items, .count = lines.count};
    return ES_OK;
}

static es_status labels_read(es_served *served, const char *folder, es_error *err)
{
    const es_model_config *config = &served->config;
    const size_t output_count = es_session_output_count(served->session);
    served->labels = ES_TAKE_ARRAY(served->arena, es_served_labels, output_count);
    if (served->labels == NULL)
        return es_arena_full(served->arena, "labels", err);
    for (size_t i = 0; i < config->output_count && folder != NULL; i++) {
        const es_model_config_port *port = &config->outputs[i];
        char *text = NULL;
        size_t size = 0;
        if (port->label_filename == NULL)
            continue;
        char *path = es_file_join(served->arena, folder, port->label_filename);
        if (path == NULL)
            return es_arena_full(served->arena, "labels", err);
        ES_TRY(es_file_read(served->arena, path, LABELS_BYTES_MAX, &text, &size, err));
        for (size_t k = 0; k < output_count; k++)
            if (strcmp(es_session_output(served->session, k)->name, port->name) == 0)
                ES_TRY(labels_split(served->arena, text, &served->labels[k], err));
    }
    return ES_OK;
}

/* ---- life ---- */

static es_status open_session(es_served *served, es_runtime *runtime,
                              const es_served_source *source, es_error *err)
{
    es_session_opts opts = es_session_opts_default();
    struct stat about;
    opts.thread_count = served->thread_count;
    if (source->path == NULL) {
        served->file_bytes = source->size;
        return es_session_open_bytes(runtime, source->bytes, source->size, opts, &served->session,
                                     err);
    }
    if (stat(source->path, &about) == 0 && about.st_size > 0)
        served->file_bytes = (uint64_t)about.st_size;
    return es_session_open(runtime, source->path, opts, &served->session, err);
}

static es_status fill(es_served *served, es_runtime *runtime, const es_served_source *source,
                      const es_served_defaults *defaults, es_error *err)
{
    es_clock *clock = es_clock_system();
    int64_t start_ns = es_clock_now_ns(clock);
    int64_t run_ns = 0;
    served->config = *source->config;
    served->version = source->version;
    served->number = source->number;
    served->thread_count = defaults->thread_count;
    served->name = es_arena_text(served->arena, source->name);
    if (served->name == NULL)
        return es_arena_full(served->arena, "model", err);
    (void)snprintf(served->version_text, sizeof served->version_text, "%lld",
                   (long long)source->version);
    if (served->config.name != NULL && strcmp(served->config.name, source->name) != 0)
        return es_fail(err, ES_ERR_ARG, "the configuration is of '%.64s'", served->config.name);
    ES_TRY(open_session(served, runtime, source, err));
    ES_TRY(es_model_config_fits(&served->config, served->session, err));
    ES_TRY(complete_batching(served, defaults, err));
    complete(served, defaults);
    ES_TRY(ports_make(served, true, err));
    ES_TRY(ports_make(served, false, err));
    ES_TRY(labels_read(served, source->folder, err));
    ES_TRY(es_served_warm_up(served, source->folder, &run_ns, err));
    served->here_ns_max = defaults->here_ns_max;
    ES_TRY(batcher_start(served, defaults, run_ns, err));
    served->load_ns = es_clock_now_ns(clock) - start_ns;
    return ES_OK;
}

es_status es_served_new(es_arena *arena, es_runtime *runtime, const es_served_source *source,
                        const es_served_defaults *defaults, es_served **out_served, es_error *err)
{
    es_served *served = ES_TAKE_ONE(arena, es_served);
    if (served == NULL) {
        es_status full = es_arena_full(arena, "model", err);
        es_arena_free(arena);
        return full;
    }
    served->arena = arena;
    atomic_init(&served->references, 1);
    es_status status = fill(served, runtime, source, defaults, err);
    if (status != ES_OK) {
        es_served_free(served);
        return status;
    }
    *out_served = served;
    return ES_OK;
}

void es_served_free(es_served *served)
{
    if (served == NULL)
        return;
    es_batcher_free(served->batcher);
    es_session_unref(served->session);
    es_arena_free(served->arena);
}

es_served *es_served_ref(es_served *served)
{
    atomic_fetch_add(&served->references, 1);
    return served;
}

void es_served_unref(es_served *served)
{
    if (served == NULL || atomic_fetch_sub(&served->references, 1) != 1)
        return;
    served->retire(served->retire_context, served);
}
