/* Finds, checks and loads the library; one es_runtime per caller, all sharing the library's own
 * process-wide environment, which it counts itself. */
#include "runtime/internal.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, CANDIDATES_MAX = 6, MINOR_MIN = 17, MINOR_TELEMETRY = 29 };

static const char soname[] = "libonnxruntime.so.1";

es_runtime_opts es_runtime_opts_default(void)
{
    return (es_runtime_opts){.library_path = NULL, .log_level = 4};
}

/* Behind "/onnxruntime_src/file.cc:12 type name(arguments) const " in a message; NULL when it does
 * not look like that. */
static const char *location_end(const char *at)
{
    const char *open = strchr(at, '(');
    while (open != NULL && *open == '(') { /* twice for operator()(...) */
        int depth = 0;
        do {
            depth += (*open == '(') - (*open == ')');
            open++;
        } while (*open != '\0' && depth > 0);
    }
    if (open == NULL || *open == '\0')
        return NULL;
    if (strncmp(open, " const", 6) == 0)
        open += 6;
    const char *close = strncmp(open, " [with ", 7) == 0 ? strchr(open, ']') : NULL;
    open = close != NULL ? close + 1 : open;
    return open + (*open == ' ');
}

/* The library's message on one line, without the places in its own source that it is full of: they
 * would push the reason out of the error. */
static void tell(const char *message, char *out, size_t size)
{
    static const char place[] = "/onnxruntime_src/";
    size_t used = 0;
    while (*message != '\0' && used + 1 < size) {
        const char *end =
            strncmp(message, place, sizeof place - 1) == 0 ? location_end(message) : NULL;
        if (end != NULL) {
            message = end;
            continue;
        }
        out[used++] = *message;
        if ((unsigned char)*message < ' ')
            out[used - 1] = ' ';
        message++;
    }
    out[used] = '\0';
}

es_status es_ort_check(const es_runtime *runtime, OrtStatus *status, const char *what,
                       es_error *err)
{
    if (status == NULL)
        return ES_OK;
    int code = runtime->api.GetErrorCode(status);
    es_status mapped = code == ORT_INVALID_ARGUMENT                                ? ES_ERR_ARG
                       : code == ORT_NO_SUCHFILE                                   ? ES_ERR_IO
                       : code == ORT_INVALID_PROTOBUF || code == ORT_INVALID_GRAPH ? ES_ERR_PARSE
                       : code == ORT_NOT_IMPLEMENTED ? ES_ERR_UNSUPPORTED
                                                     : ES_ERR_INTERNAL;
    char text[ES_ERROR_SIZE];
    tell(runtime->api.GetErrorMessage(status), text, sizeof text);
    runtime->api.ReleaseStatus(status);
    if (strstr(text, "bad_alloc") != NULL || strstr(text, "Failed to allocate memory") != NULL)
        mapped = ES_ERR_NOMEM; /* it has no code of its own */
    return es_fail(err, mapped, "%s: ONNX Runtime: %s", what, text);
}

es_status es_ort_made(const es_runtime *runtime, OrtStatus *status, const void *made,
                      const char *what, es_error *err)
{
    ES_TRY(es_ort_check(runtime, status, what, err));
    return made != NULL ? ES_OK
                        : es_fail(err, ES_ERR_NOMEM, "%s: ONNX Runtime has no memory left", what);
}

/* The version must be 1.17 .. 1.28: older ones lack slots, newer ones phone home. */
static es_status check_version(const char *path, const char *version, es_error *err)
{
    char *end = NULL;
    unsigned long major = strtoul(version, &end, 10);
    unsigned long minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
    if (major > 1 || (major == 1 && minor >= MINOR_TELEMETRY))
        return es_fail(err, ES_ERR_UNAVAILABLE,
                       "'%s' is ONNX Runtime %s: versions from 1.%d on send telemetry over the "
                       "network and are refused; `run make setup` fetches 1.27.0",
                       path, version, MINOR_TELEMETRY);
    if (major < 1 || minor < MINOR_MIN)
        return es_fail(err, ES_ERR_UNAVAILABLE,
                       "'%s' is ONNX Runtime %s, wanted 1.%d to 1.%d; `run make setup` fetches "
                       "1.27.0",
                       path, version, MINOR_MIN, MINOR_TELEMETRY - 1);
    return ES_OK;
}

static es_status fill_table(es_runtime *runtime, const struct ort_base *base, const char *path,
                            es_error *err)
{
    const void *table = base->GetApi(ORT_API_VERSION);
    if (table == NULL)
        return es_fail(err, ES_ERR_UNAVAILABLE, "'%s' does not serve version %d of its table", path,
                       ORT_API_VERSION);
    typedef void (*function)(void);
    const function *slots = (const function *)table;
    /* NOLINTNEXTLINE(bugprone-macro-parentheses): result and arguments are types */
#define X(slot, result, name, arguments) runtime->api.name = (result(*) arguments)slots[slot];
    ORT_SLOTS(X)
#undef X
    return ES_OK;
}

/* Asks the loaded file what it is and fills the table; nothing else of it runs before its version
 * is known to be fit. */
static es_status take_table(es_runtime *runtime, void *handle, const char *path, es_error *err)
{
    const struct ort_base *(*get_base)(void) = NULL;
    void *symbol = dlsym(handle, "OrtGetApiBase");
    if (symbol == NULL)
        return es_fail(err, ES_ERR_UNAVAILABLE, "'%s' is not ONNX Runtime: no OrtGetApiBase", path);
    memcpy(&get_base, &symbol, sizeof symbol); /* C has no cast from data to function */
    const struct ort_base *base = get_base();
    ES_TRY(check_version(path, base->GetVersionString(), err));
    ES_TRY(fill_table(runtime, base, path, err));
    (void)snprintf(runtime->version, sizeof runtime->version, "%s", base->GetVersionString());
    runtime->library_path = strdup(path);
    return runtime->library_path != NULL
               ? ES_OK
               : es_fail(err, ES_ERR_NOMEM, "no memory for the name of '%s'", path);
}

/* The handle of a fit library is dropped on purpose: it keeps threads and destructors until exit.
 */
static es_status load(es_runtime *runtime, const char *path, es_error *err)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL)
        return es_fail(err, ES_ERR_UNAVAILABLE, "cannot load ONNX Runtime: %s", dlerror());
    es_status status = take_table(runtime, handle, path, err);
    if (status != ES_OK)
        (void)dlclose(handle); /* refused: the first failure is the one to tell */
    else
        es_reserve_start(handle);
    return status;
}

typedef struct candidates {
    char paths[CANDIDATES_MAX][PATH_SIZE];
    size_t count;
} candidates;

static void candidate_add(candidates *found, const char *folder, const char *name)
{
    char *path = found->paths[found->count];
    int size = snprintf(path, PATH_SIZE, "%s%s", folder, name);
    if (size > 0 && size < PATH_SIZE)
        found->count++;
}

static void candidates_find(candidates *found)
{
    candidate_add(found, "", ESTRAN_ORT_LIBRARY_DEFAULT);
    char program[PATH_SIZE];
    ssize_t size = readlink("/proc/self/exe", program, sizeof program - 1);
    if (size > 0) {
        program[size] = '\0';
        char *slash = strrchr(program, '/');
        if (slash != NULL) {
            slash[1] = '\0';
            candidate_add(found, program, "../lib/libonnxruntime.so.1");
            candidate_add(found, program, "libonnxruntime.so.1");
        }
    }
    candidate_add(found, "", soname);
}

/* The first candidate that is there and fit; else the reason of the most telling one: a library
 * that was refused before one that is absent. */
static es_status load_first(es_runtime *runtime, es_error *err)
{
    candidates *found = calloc(1, sizeof *found);
    if (found == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory to look for ONNX Runtime");
    candidates_find(found);
    es_error refused = {.status = ES_OK};
    es_status status = ES_ERR_UNAVAILABLE;
    for (size_t i = 0; i < found->count && status != ES_OK; i++) {
        const char *path = found->paths[i];
        if (strchr(path, '/') != NULL && access(path, R_OK) != 0)
            continue;
        es_error now = {.status = ES_OK};
        status = load(runtime, path, &now);
        bool absent = strchr(path, '/') == NULL;
        if (status != ES_OK && refused.status == ES_OK && !absent)
            refused = now;
    }
    free(found);
    if (status == ES_OK)
        return ES_OK;
    if (refused.status != ES_OK)
        return es_fail(err, refused.status, "%s", refused.text);
    return es_fail(err, ES_ERR_UNAVAILABLE,
                   "ONNX Runtime not found (tried '%s', ../lib beside the program, the system): "
                   "run make setup, or set ESTRAN_ORT_LIBRARY to the file",
                   ESTRAN_ORT_LIBRARY_DEFAULT);
}

static es_status start(es_runtime *runtime, es_runtime_opts opts, es_error *err)
{
    const char *asked =
        opts.library_path != NULL ? opts.library_path : getenv("ESTRAN_ORT_LIBRARY");
    if (opts.log_level < 0 || opts.log_level > 4)
        return es_fail(err, ES_ERR_ARG, "log_level=%d must be in 0..4", opts.log_level);
    /* Before the library runs at all: some builds start their telemetry with the environment. */
    if (setenv("ORT_DISABLE_TELEMETRY", "1", 1) != 0)
        return es_fail(err, ES_ERR_NOMEM, "cannot set ORT_DISABLE_TELEMETRY");
    if (asked != NULL && asked[0] != '\0') {
        es_status status = load(runtime, asked, err);
        if (status != ES_OK && strchr(asked, '/') != NULL && access(asked, R_OK) != 0)
            return es_fail(err, ES_ERR_UNAVAILABLE,
                           "ONNX Runtime '%s' cannot be read: run make setup, or set "
                           "ESTRAN_ORT_LIBRARY to the file",
                           asked);
        ES_TRY(status);
    } else {
        ES_TRY(load_first(runtime, err));
    }
    const ort *api = &runtime->api;
    OrtStatus *made = api->CreateEnv(opts.log_level, "estran", &runtime->env);
    ES_TRY(es_ort_made(runtime, made, runtime->env, "environment", err));
    ES_TRY(es_ort_check(runtime, api->DisableTelemetryEvents(runtime->env), "telemetry off", err));
    made = api->CreateCpuMemoryInfo(0, 0, &runtime->memory);
    ES_TRY(es_ort_made(runtime, made, runtime->memory, "memory", err));
    made = api->GetAllocatorWithDefaultOptions(&runtime->allocator);
    return es_ort_made(runtime, made, runtime->allocator, "allocator", err);
}

es_status es_runtime_new(es_runtime_opts opts, es_runtime **out_runtime, es_error *err)
{
    es_runtime *runtime = calloc(1, sizeof *runtime);
    if (runtime == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for the runtime");
    atomic_init(&runtime->references, 1);
    runtime->log_level = opts.log_level;
    es_status status = start(runtime, opts, err);
    if (status != ES_OK) {
        es_runtime_free(runtime);
        return status;
    }
    *out_runtime = runtime;
    return ES_OK;
}

es_runtime *es_runtime_ref(es_runtime *runtime)
{
    atomic_fetch_add(&runtime->references, 1);
    return runtime;
}

void es_runtime_free(es_runtime *runtime)
{
    if (runtime == NULL || atomic_fetch_sub(&runtime->references, 1) != 1)
        return;
    if (runtime->memory != NULL)
        runtime->api.ReleaseMemoryInfo(runtime->memory);
    if (runtime->env != NULL)
        runtime->api.ReleaseEnv(runtime->env);
    free(runtime->library_path);
    free(runtime);
}

void es_runtime_free_p(es_runtime **runtime)
{
    es_runtime_free(*runtime);
}

const char *es_runtime_version(const es_runtime *runtime)
{
    return runtime->version;
}

const char *es_runtime_library_path(const es_runtime *runtime)
{
    return runtime->library_path;
}
