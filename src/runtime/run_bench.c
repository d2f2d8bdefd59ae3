/* What our calls add to the library's own: a trivial model, rounds interleaved, medians. A JSON
 * array on stdout, a table on stderr. */
#include "runtime/internal.h"
#include "runtime/testing/tiny_model.h"

#include <math.h>

enum { ROUNDS = 41, CALLS = 5000, WAYS = 5 };
static const double target_us = 2; /* the most that a call may add */

typedef struct bench {
    es_session *session;
    es_binding *binding;
    es_tensor x;
    es_tensor y;
    OrtValue *x_value;
    OrtValue *y_value;
    es_status status;
} bench;

static void bare(bench *all)
{
    const ort *api = &all->session->runtime->api;
    OrtStatus *failed = api->Run(all->session->session, NULL, all->session->input_names,
                                 (const OrtValue *const[]){all->x_value}, 1,
                                 all->session->asked_names, 1, &all->y_value);
    if (failed != NULL)
        all->status = ES_ERR_INTERNAL;
}

static void bare_its_own(bench *all)
{
    const ort *api = &all->session->runtime->api;
    OrtValue *y = NULL;
    OrtStatus *failed =
        api->Run(all->session->session, NULL, all->session->input_names,
                 (const OrtValue *const[]){all->x_value}, 1, all->session->asked_names, 1, &y);
    if (failed != NULL)
        all->status = ES_ERR_INTERNAL;
    api->ReleaseValue(y);
}

static void into_ours(bench *all)
{
    if (es_session_run(all->session, &all->x, 1, &all->y, 1, NULL) != ES_OK)
        all->status = ES_ERR_INTERNAL;
}

static void into_its_own(bench *all)
{
    es_tensor y = {.dtype = ES_DTYPE_NONE};
    if (es_session_run(all->session, &all->x, 1, &y, 1, NULL) != ES_OK)
        all->status = ES_ERR_INTERNAL;
    es_tensor_done(&y);
}

static void bound(bench *all)
{
    if (es_binding_run(all->binding, NULL) != ES_OK)
        all->status = ES_ERR_INTERNAL;
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, by_value);
    return values[count / 2];
}

/* base: the way whose time is the library's own part. */
static const struct {
    const char *what;
    void (*call)(bench *all);
    size_t base;
} ways[WAYS] = {
    {"bare Run, output given", bare, 0},
    {"es_binding_run", bound, 0},
    {"es_session_run, output given", into_ours, 0},
    {"bare Run, output made by it", bare_its_own, 3},
    {"es_session_run, output made by it", into_its_own, 3},
};

static es_status start(bench *all, es_arena *arena, es_runtime *runtime, es_error *err)
{
    static float in[4] = {1, 2, 3, 4};
    static float out[4];
    const void *bytes = NULL;
    size_t size = 0;
    ES_TRY(tiny_add(arena, 1, &bytes, &size, err));
    ES_TRY(
        es_session_open_bytes(runtime, bytes, size, es_session_opts_default(), &all->session, err));
    all->x = es_tensor_make(ES_DTYPE_F32, (int64_t[]){1, 4}, 2, in);
    all->y = es_tensor_make(ES_DTYPE_F32, (int64_t[]){1, 4}, 2, out);
    ES_TRY(es_tensor_wrap(runtime, &all->x, &all->x_value, err));
    ES_TRY(es_tensor_wrap(runtime, &all->y, &all->y_value, err));
    return es_binding_new(all->session, &all->x, 1, &all->y, 1, &all->binding, err);
}

/* us[way][round]; every round measures each way once, so that disturbances hit all alike. */
static void measure(bench *all, double us[WAYS][ROUNDS])
{
    es_clock *clock = es_clock_system();
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t way = 0; way < WAYS; way++) {
            int64_t before = es_clock_now_ns(clock);
            for (size_t call = 0; call < CALLS; call++)
                ways[way].call(all);
            int64_t after = es_clock_now_ns(clock);
            us[way][round] = (double)(after - before) / (double)ES_NS_PER_US / CALLS;
        }
    }
}

static void put(es_json *json, const char *what, double value, double target)
{
    es_json_map_begin(json);
    es_json_put_text(json, "what", what);
    es_json_put_number(json, "value", value);
    es_json_put_text(json, "unit", "us");
    es_json_put_text(json, "better", "lower");
    es_json_put_number(json, "target", target); /* NaN writes null: no target */
    es_json_map_end(json);
}

static es_status report(double us[WAYS][ROUNDS], es_error *err)
{
    char what[128];
    double added[WAYS][ROUNDS];
    for (size_t way = 0; way < WAYS; way++)
        for (size_t round = 0; round < ROUNDS; round++)
            added[way][round] = us[way][round] - us[ways[way].base][round];
    es_text text;
    es_text_init(&text, 1 << 16);
    es_json json;
    es_json_init(&json, &text, false);
    es_json_list_begin(&json);
    (void)fprintf(stderr, "%-36s %9s %9s\n", "Add of 4 floats, one call", "us", "added us");
    for (size_t way = 0; way < WAYS; way++) {
        double total = median(us[way], ROUNDS);
        double extra = median(added[way], ROUNDS);
        (void)fprintf(stderr, "%-36s %9.3f %9.3f\n", ways[way].what, total, extra);
        put(&json, ways[way].what, total, (double)NAN);
        if (way == ways[way].base)
            continue;
        (void)snprintf(what, sizeof what, "%s: added to the bare call", ways[way].what);
        put(&json, what, extra, target_us);
    }
    es_json_list_end(&json);
    es_status status = es_text_status(&text, err);
    if (status == ES_OK)
        (void)fputs(es_text_get(&text), stdout);
    es_text_done(&text);
    return status;
}

int main(void)
{
    es_error err = {0};
    bench all = {.status = ES_OK};
    static double us[WAYS][ROUNDS];
    es_arena *arena = es_arena_new((size_t)64 << 20);
    es_runtime *runtime = NULL;
    es_status status = es_runtime_new(es_runtime_opts_default(), &runtime, &err);
    if (status == ES_OK)
        status = start(&all, arena, runtime, &err);
    if (status == ES_OK) {
        measure(&all, us);
        status = all.status;
    }
    if (status == ES_OK)
        status = report(us, &err);
    if (status != ES_OK)
        (void)fprintf(stderr, "runtime bench: %s\n", es_error_text(&err));
    if (all.x_value != NULL)
        runtime->api.ReleaseValue(all.x_value);
    if (all.y_value != NULL)
        runtime->api.ReleaseValue(all.y_value);
    es_binding_free(all.binding);
    es_session_unref(all.session);
    es_runtime_free(runtime);
    es_arena_free(arena);
    return es_status_exit_code(status);
}
