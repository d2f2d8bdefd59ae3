/* Sessions: one loaded model each, with its inputs and outputs read once. */
#include "runtime/internal.h"

#include <assert.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

enum { PORTS_ARENA_BYTES = 1 << 20, ROOM_BYTES_MIN = 4 << 20 };

es_session_opts es_session_opts_default(void)
{
    return (es_session_opts){
        .thread_count = 1, .spinning = false, .arena = true, .optimise = ES_SESSION_OPTIMISE_ALL};
}

typedef struct ort_options {
    const es_runtime *runtime;
    OrtSessionOptions *handle;
} ort_options;

static void ort_options_done(ort_options *options)
{
    if (options->handle != NULL)
        options->runtime->api.ReleaseSessionOptions(options->handle);
}

static es_status options_fill(const es_runtime *runtime, es_session_opts opts,
                              OrtSessionOptions *handle, es_error *err)
{
    static const int levels[ES_SESSION_OPTIMISE_COUNT] = {ORT_OPTIMISE_NONE, ORT_OPTIMISE_BASIC,
                                                          ORT_OPTIMISE_EXTENDED, ORT_OPTIMISE_ALL};
    const ort *api = &runtime->api;
    const char *what = "session options";
    ES_TRY(es_ort_check(runtime, api->SetSessionLogSeverityLevel(handle, runtime->log_level), what,
                        err));
    ES_TRY(es_ort_check(
        runtime, api->SetSessionGraphOptimizationLevel(handle, levels[opts.optimise]), what, err));
    ES_TRY(es_ort_check(runtime, api->SetIntraOpNumThreads(handle, (int)opts.thread_count), what,
                        err));
    ES_TRY(es_ort_check(runtime, api->SetInterOpNumThreads(handle, 1), what, err));
    ES_TRY(es_ort_check(runtime,
                        api->AddSessionConfigEntry(handle, "session.intra_op.allow_spinning",
                                                   opts.spinning ? "1" : "0"),
                        what, err));
    if (!opts.arena) {
        ES_TRY(es_ort_check(runtime, api->DisableCpuMemArena(handle), what, err));
        ES_TRY(es_ort_check(runtime, api->DisableMemPattern(handle), what, err));
    }
    return ES_OK;
}

/* Type and shape of one port; anything but a dense tensor of a type we carry stays NONE. */
static es_status port_shape(es_session *session, const OrtTypeInfo *info, es_port *port,
                            es_error *err)
{
    const es_runtime *runtime = session->runtime;
    const ort *api = &runtime->api;
    const OrtTensorInfo *tensor = NULL;
    ES_TRY(es_ort_check(runtime, api->CastTypeInfoToTensorInfo(info, &tensor), port->name, err));
    if (tensor == NULL)
        return ES_OK;
    int type = 0;
    ES_TRY(es_ort_check(runtime, api->GetTensorElementType(tensor, &type), port->name, err));
    ES_TRY(es_ort_check(runtime, api->GetDimensionsCount(tensor, &port->rank), port->name, err));
    if (port->rank > ES_TENSOR_RANK_MAX)
        return es_fail(err, ES_ERR_UNSUPPORTED, "'%s': rank=%zu must be <= %d", port->name,
                       port->rank, ES_TENSOR_RANK_MAX);
    if (type > 0 && type < ES_DTYPE_COUNT)
        port->dtype = (es_dtype)type;
    ES_TRY(
        es_ort_check(runtime, api->GetDimensions(tensor, port->dims, port->rank), port->name, err));
    const char *symbols[ES_TENSOR_RANK_MAX] = {NULL}; /* the library's; gone with info */
    ES_TRY(es_ort_check(runtime, api->GetSymbolicDimensions(tensor, symbols, port->rank),
                        port->name, err));
    for (size_t i = 0; i < port->rank; i++) {
        if (port->dims[i] >= 0 || symbols[i] == NULL || symbols[i][0] == '\0')
            continue;
        port->symbols[i] = es_arena_text(session->arena, symbols[i]);
        if (port->symbols[i] == NULL)
            return es_arena_full(session->arena, "dim name", err);
    }
    return ES_OK;
}

static es_status port_read(es_session *session, bool is_input, size_t index, es_port *port,
                           es_error *err)
{
    const es_runtime *runtime = session->runtime;
    const ort *api = &runtime->api;
    char *name = NULL;
    OrtStatus *made = (is_input ? api->SessionGetInputName : api->SessionGetOutputName)(
        session->session, index, runtime->allocator, &name);
    ES_TRY(es_ort_made(runtime, made, name, "port name", err));
    port->name = es_arena_text(session->arena, name);
    OrtStatus *freed = api->AllocatorFree(runtime->allocator, name);
    if (freed != NULL)
        api->ReleaseStatus(freed);
    if (port->name == NULL)
        return es_arena_full(session->arena, "port name", err);
    OrtTypeInfo *info = NULL;
    made = (is_input ? api->SessionGetInputTypeInfo
                     : api->SessionGetOutputTypeInfo)(session->session, index, &info);
    ES_TRY(es_ort_made(runtime, made, info, port->name, err));
    es_status status = port_shape(session, info, port, err);
    api->ReleaseTypeInfo(info);
    return status;
}

static es_status ports_read(es_session *session, bool is_input, size_t *out_count,
                            es_port **out_ports, es_error *err)
{
    const ort *api = &session->runtime->api;
    size_t count = 0;
    ES_TRY(es_ort_check(session->runtime,
                        (is_input ? api->SessionGetInputCount
                                  : api->SessionGetOutputCount)(session->session, &count),
                        "port count", err));
    if (count > ES_SESSION_PORTS_MAX)
        return es_fail(err, ES_ERR_LIMIT, "%zu %s, at most %d are carried", count,
                       is_input ? "inputs" : "outputs", ES_SESSION_PORTS_MAX);
    es_port *ports = ES_TAKE_ARRAY(session->arena, es_port, count);
    if (ports == NULL)
        return es_arena_full(session->arena, "ports", err);
    for (size_t i = 0; i < count; i++)
        ES_TRY(port_read(session, is_input, i, &ports[i], err));
    *out_count = count;
    *out_ports = ports;
    return ES_OK;
}

static es_status ports_prepare(es_session *session, es_error *err)
{
    ES_TRY(ports_read(session, true, &session->input_count, &session->inputs, err));
    ES_TRY(ports_read(session, false, &session->output_count, &session->outputs, err));
    session->input_names = ES_TAKE_ARRAY(session->arena, const char *, session->input_count);
    session->asked_names = ES_TAKE_ARRAY(session->arena, const char *, session->output_count);
    session->asked = ES_TAKE_ARRAY(session->arena, size_t, session->output_count);
    if (session->input_names == NULL || session->asked_names == NULL || session->asked == NULL)
        return es_arena_full(session->arena, "port names", err);
    for (size_t i = 0; i < session->input_count; i++)
        session->input_names[i] = session->inputs[i].name;
    for (size_t i = 0; i < session->output_count; i++) {
        if (es_dtype_size(session->outputs[i].dtype) == 0)
            continue;
        session->asked_names[session->asked_count] = session->outputs[i].name;
        session->asked[session->asked_count++] = i;
    }
    return ES_OK;
}

/* Reading a model takes about twice its size at the peak (1.9 times, measured). Where that is not
 * to be had, an allocation fails deep in the library at best; at worst, in a control group, the
 * kernel ends the process and all that it serves. */
static es_status check_room(const char *path, size_t size, es_error *err)
{
    struct stat about;
    uint64_t bytes = size;
    if (path != NULL && stat(path, &about) == 0 && about.st_size > 0)
        bytes = (uint64_t)about.st_size;
    if (bytes < ROOM_BYTES_MIN)
        return ES_OK;
    uint64_t room = es_memory_room_bytes("");
    if (bytes <= room / 2)
        return ES_OK;
    return es_fail(err, ES_ERR_NOMEM,
                   "no room in memory: %.0f MB of model need about %.0f MB to be read, %.0f MB are "
                   "free",
                   (double)bytes / 1e6, (double)bytes / 5e5, (double)room / 1e6);
}

/* path NULL: from bytes. */
static es_status session_fill(es_session *session, const char *path, const void *bytes, size_t size,
                              es_session_opts opts, es_error *err)
{
    es_runtime *runtime = session->runtime;
    const ort *api = &runtime->api;
    ES_CLEANUP(ort_options_done) ort_options options = {.runtime = runtime};
    ES_TRY(check_room(path, size, err));
    ES_TRY(es_reserve_keep("session", err));
    OrtStatus *made = api->CreateSessionOptions(&options.handle);
    ES_TRY(es_ort_made(runtime, made, options.handle, "session options", err));
    ES_TRY(options_fill(runtime, opts, options.handle, err));
    made = path != NULL ? api->CreateSession(runtime->env, path, options.handle, &session->session)
                        : api->CreateSessionFromArray(runtime->env, bytes, size, options.handle,
                                                      &session->session);
    es_status status = es_ort_made(runtime, made, session->session, "cannot open", err);
    /* What cannot be opened is at fault, not the library. */
    if (status == ES_ERR_INTERNAL) {
        status = ES_ERR_PARSE;
        if (err != NULL)
            err->status = status;
    }
    ES_TRY(status);
    es_memory_trim(); /* reading and optimising leave about the size of the model behind */
    return ports_prepare(session, err);
}

static es_status session_new(es_runtime *runtime, const char *path, const void *bytes, size_t size,
                             es_session_opts opts, es_session **out_session, es_error *err)
{
    if (opts.thread_count < 1 || opts.thread_count > 1024)
        return es_fail(err, ES_ERR_ARG, "thread_count=%u must be in 1..1024", opts.thread_count);
    if ((unsigned)opts.optimise >= ES_SESSION_OPTIMISE_COUNT)
        return es_fail(err, ES_ERR_ARG, "optimise=%d must be in 0..%d", (int)opts.optimise,
                       ES_SESSION_OPTIMISE_COUNT - 1);
    es_session *session = calloc(1, sizeof *session);
    if (session == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for a session");
    atomic_init(&session->references, 1);
    session->runtime = es_runtime_ref(runtime);
    session->arena = es_arena_new(PORTS_ARENA_BYTES);
    es_status status = session->arena != NULL
                           ? session_fill(session, path, bytes, size, opts, err)
                           : es_fail(err, ES_ERR_NOMEM, "no memory for a session");
    if (status != ES_OK) {
        es_session_unref(session);
        return status;
    }
    *out_session = session;
    return ES_OK;
}

es_status es_session_open(es_runtime *runtime, const char *path, es_session_opts opts,
                          es_session **out_session, es_error *err)
{
    if (access(path, R_OK) != 0) {
        char reason[128] = "";
        if (strerror_r(errno, reason, sizeof reason) != 0)
            (void)snprintf(reason, sizeof reason, "error %d", errno);
        return es_fail(err, ES_ERR_IO, "cannot read model '%s': %s", path, reason);
    }
    return es_within(err, session_new(runtime, path, NULL, 0, opts, out_session, err), "model '%s'",
                     path);
}

es_status es_session_open_bytes(es_runtime *runtime, const void *bytes, size_t size,
                                es_session_opts opts, es_session **out_session, es_error *err)
{
    if (size == 0)
        return es_fail(err, ES_ERR_PARSE, "model has 0 bytes");
    return session_new(runtime, NULL, bytes, size, opts, out_session, err);
}

es_session *es_session_ref(es_session *session)
{
    atomic_fetch_add(&session->references, 1);
    return session;
}

void es_session_unref(es_session *session)
{
    if (session == NULL || atomic_fetch_sub(&session->references, 1) != 1)
        return;
    if (session->session != NULL) {
        session->runtime->api.ReleaseSession(session->session);
        es_memory_trim();
    }
    es_runtime_free(session->runtime);
    es_arena_free(session->arena);
    free(session);
}

void es_session_unref_p(es_session **session)
{
    es_session_unref(*session);
}

size_t es_session_input_count(const es_session *session)
{
    return session->input_count;
}

size_t es_session_output_count(const es_session *session)
{
    return session->output_count;
}

const es_port *es_session_input(const es_session *session, size_t index)
{
    assert(index < session->input_count);
    return &session->inputs[index];
}

const es_port *es_session_output(const es_session *session, size_t index)
{
    assert(index < session->output_count);
    return &session->outputs[index];
}

void es_memory_trim(void)
{
#ifdef __GLIBC__
    (void)malloc_trim(0); /* says only whether anything was given back */
#endif
}
