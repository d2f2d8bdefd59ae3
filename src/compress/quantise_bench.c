/*
 * What quantising real models gives: bytes, accuracy, time in ONNX Runtime with one thread.
 * ResNet-8 over three seeds; the others for their speed alone, on a made-up image.
 */
#include "compress/compress.h"
#include "es_bench.h"

#include <string.h>

enum { SEEDS = 3, ROUNDS = 400, BATCH = 16, IMAGES = 32, PATH_BYTES = 4096 };

typedef struct setting {
    es_arena *arena;
    es_runtime *runtime;
    es_bench bench;
} setting;

static bool told(es_status status, const es_error *err)
{
    if (status != ES_OK)
        (void)fprintf(stderr, "%s\n", es_error_text(err));
    return status == ES_OK;
}

static const char *data_path(const char *name)
{
    static char path[PATH_BYTES];
    const char *root = getenv("ESTRAN_DATA");
    (void)snprintf(path, sizeof path, "%s/%s", root != NULL ? root : "../shared/data", name);
    return path;
}

/* ---- running ---- */

typedef struct runner {
    es_session *session;
    es_tensor input, outputs[ES_SESSION_PORTS_MAX];
    es_binding *binding;
    size_t runs;
} runner;

static bool run_often(runner *r)
{
    bool good = true;
    for (size_t i = 0; i < r->runs; i++)
        good = es_binding_run(r->binding, NULL) == ES_OK && good;
    return good;
}

static void runner_done(runner *r)
{
    es_binding_free(r->binding);
    es_session_unref(r->session);
}

/* A model over a ramp of values, bound to memory of its own. */
static bool start(setting *s, const es_model *model, runner *r)
{
    es_error err = {0};
    const void *bytes = NULL;
    size_t size = 0;
    if (!told(es_model_bytes(s->arena, model, &bytes, &size, &err), &err) ||
        !told(es_session_open_bytes(s->runtime, bytes, size, es_session_opts_default(), &r->session,
                                    &err),
              &err))
        return false;
    size_t count = es_session_output_count(r->session);
    r->input = es_port_tensor(es_session_input(r->session, 0), 1);
    float *x = es_arena_take(s->arena, r->input.size_bytes, 1);
    if (x == NULL)
        return false;
    for (size_t i = 0; i < es_tensor_count(&r->input); i++)
        x[i] = (float)(i * 7919 % 256);
    r->input.data = x;
    if (!told(es_session_run(r->session, &r->input, 1, r->outputs, count, &err), &err))
        return false;
    for (size_t o = 0; o < count; o++) {
        es_tensor mine =
            es_tensor_make(r->outputs[o].dtype, r->outputs[o].dims, r->outputs[o].rank, NULL);
        mine.data = es_arena_take(s->arena, mine.size_bytes, 1);
        es_tensor_done(&r->outputs[o]);
        r->outputs[o] = mine;
    }
    return told(es_binding_new(r->session, &r->input, 1, r->outputs, count, &r->binding, &err),
                &err);
}

/* How many times faster b is: the fastest of many rounds of each, in turn, as those were not
 * interrupted on a busy machine. NAN when one fails. */
static double speed_of(setting *s, const es_model *a, const es_model *b, size_t runs)
{
    runner pair[2] = {{.runs = runs}, {.runs = runs}};
    double least_s[2] = {(double)INFINITY, (double)INFINITY};
    es_clock *clock = es_clock_system();
    bool good = start(s, a, &pair[0]) && start(s, b, &pair[1]);
    for (size_t round = 0; good && round < ROUNDS; round++)
        for (size_t i = 0; i < 2; i++) {
            int64_t start_ns = es_clock_now_ns(clock);
            good = run_often(&pair[i]) && good;
            least_s[i] = fmin(least_s[i], es_s_from_ns(es_clock_now_ns(clock) - start_ns));
        }
    runner_done(&pair[0]);
    runner_done(&pair[1]);
    return good ? least_s[0] / least_s[1] : (double)NAN;
}

/* ---- ResNet-8 ---- */

static size_t bytes_of(setting *s, const es_model *model)
{
    const void *bytes = NULL;
    size_t size = 0;
    return es_model_bytes(s->arena, model, &bytes, &size, NULL) == ES_OK ? size : 0;
}

/* Share of right answers on the test samples; NAN when it does not run. */
static double accuracy_of(setting *s, const es_model *model, const es_samples *samples)
{
    es_error err = {0};
    const void *bytes = NULL;
    size_t size = 0;
    es_feed feed;
    ES_CLEANUP(es_session_unref_p) es_session *session = NULL;
    if (!told(es_model_bytes(s->arena, model, &bytes, &size, &err), &err) ||
        !told(es_session_open_bytes(s->runtime, bytes, size, es_session_opts_default(), &session,
                                    &err),
              &err) ||
        !told(es_feed_init(s->arena, session, samples, &feed, &err), &err))
        return (double)NAN;
    size_t right = 0;
    for (size_t i = 0; i < samples->dataset->count; i++) {
        es_tensor out = {.dtype = ES_DTYPE_NONE};
        es_feed_set(&feed, i);
        if (!told(es_session_run(session, &feed.input, 1, &out, 1, &err), &err))
            return (double)NAN;
        right += es_argmax(out.data, es_tensor_count(&out)) == samples->dataset->labels[i];
        es_tensor_done(&out);
    }
    return (double)right / (double)samples->dataset->count;
}

/* The model for so many images at once. */
static const es_model *batched(setting *s, const es_model *model)
{
    const es_model *made = NULL;
    es_model_build *build = es_model_build_from(s->arena, model);
    if (build == NULL)
        return NULL;
    es_model_build_input(build, es_model_input(model, 0)->name, ES_MODEL_FLOAT, 4,
                         (const int64_t[]){BATCH, 3, 32, 32}, NULL);
    es_model_build_output(build, es_model_output(model, 0)->name, ES_MODEL_FLOAT, 2,
                          (const int64_t[]){BATCH, 10}, NULL);
    return es_model_build_finish(build, &made, NULL) == ES_OK ? made : NULL;
}

static bool resnet(setting *s)
{
    es_error err = {0};
    es_dataset fit;
    es_dataset test;
    const es_model *model = NULL;
    const es_model *int8 = NULL;
    es_dataset_opts opts = es_dataset_opts_default();
    if (!told(es_model_load(s->arena, data_path("onnx/mlperf_tiny_resnet8_cifar10.onnx"),
                            es_model_opts_default(), &model, &err),
              &err) ||
        !told(es_dataset_load(s->arena, data_path("cifar10/train_5000.bin.gz"), NULL, opts, &fit,
                              &err),
              &err) ||
        !told(es_dataset_load(s->arena, data_path("cifar10/test_1000.bin.gz"), NULL, opts, &test,
                              &err),
              &err))
        return false;
    es_compress_job job = {.arena = s->arena,
                           .runtime = s->runtime,
                           .model = model,
                           .name = "resnet8",
                           .fit = {.dataset = &fit},
                           .test = {.dataset = &test}};
    double before = accuracy_of(s, model, &job.test);
    double lost[SEEDS];
    double taken[SEEDS];
    double sum = 0;
    es_clock *clock = es_clock_system();
    for (job.seed = 1; job.seed <= SEEDS; job.seed++) {
        int64_t start_ns = es_clock_now_ns(clock);
        if (!told(es_quantise(&job, es_quantise_opts_default(), &int8, NULL, &err), &err))
            return false;
        taken[job.seed - 1] = es_s_from_ns(es_clock_now_ns(clock) - start_ns);
        lost[job.seed - 1] = 100 * (before - accuracy_of(s, int8, &job.test));
        sum += lost[job.seed - 1];
    }
    es_bench *b = &s->bench;
    es_bench_add(b, "ResNet-8 int8: bytes over float's",
                 (double)bytes_of(s, int8) / (double)bytes_of(s, model), "ratio", "lower", 0.30);
    es_bench_add(b, "ResNet-8 int8: points lost, mean of 3 seeds", sum / SEEDS, "points", "lower",
                 0.5);
    es_bench_add(b, "ResNet-8 int8: points lost, worst of 3 seeds",
                 fmax(fmax(lost[0], lost[1]), lost[2]), "points", "lower", 0.5);
    es_bench_add(b, "ResNet-8 int8: times faster, one thread", speed_of(s, model, int8, 8), "times",
                 "higher", 2);
    const es_model *many = batched(s, model);
    const es_model *many_int8 = batched(s, int8);
    if (many != NULL && many_int8 != NULL)
        es_bench_add(b, "ResNet-8 int8: times faster, one thread, 16 images at once",
                     speed_of(s, many, many_int8, 1), "times", "higher", 2);
    es_bench_add(b, "ResNet-8: quantise, all choices", es_bench_median(taken, SEEDS), "s", "lower",
                 (double)NAN);
    return true;
}

/* ---- others ---- */

static bool other(setting *s, const char *name, size_t rows, size_t columns)
{
    char file[100];
    char what[100];
    es_error err = {0};
    const es_model *model = NULL;
    const es_model *int8 = NULL;
    (void)snprintf(file, sizeof file, "onnx/%s.onnx", name);
    if (!told(es_model_load(s->arena, data_path(file), es_model_opts_default(), &model, &err),
              &err))
        return false;
    es_dataset set = {.name = "noise", .count = IMAGES, .size = 3 * rows * columns};
    set.x = (es_data_array){.name = "",
                            .type = ES_DATA_U8,
                            .rank = 4,
                            .dims = {IMAGES, 3, rows, columns},
                            .count = IMAGES * set.size};
    uint8_t *bytes = ES_TAKE_ARRAY(s->arena, uint8_t, set.x.count);
    if (bytes == NULL)
        return false;
    for (size_t i = 0; i < set.x.count; i++)
        bytes[i] = (uint8_t)(i / 16 * 2654435761u >> 24);
    set.x.bytes = bytes;
    es_compress_job job = {.arena = s->arena,
                           .runtime = s->runtime,
                           .model = model,
                           .name = name,
                           .fit = {.dataset = &set},
                           .seed = 1};
    es_quantise_opts opts = es_quantise_opts_default();
    opts.samples = IMAGES / 4;
    opts.method = ES_RANGE_MINMAX;
    opts.equalise = ES_CHOICE_NO;
    if (!told(es_quantise(&job, opts, &int8, NULL, &err), &err))
        return false;
    (void)snprintf(what, sizeof what, "%s int8: times faster, one thread", name);
    char *kept = es_arena_text(s->arena, what);
    es_bench_add(&s->bench, kept != NULL ? kept : name, speed_of(s, model, int8, 1), "times",
                 "higher", (double)NAN);
    return true;
}

int main(void)
{
    static setting s;
    es_error err = {0};
    s.arena = es_arena_new((size_t)4 << 30);
    if (s.arena == NULL || !told(es_runtime_new(es_runtime_opts_default(), &s.runtime, &err), &err))
        return 1;
    bool good = resnet(&s) && other(&s, "stm_mobilenet_v2_0.35_128", 128, 128) &&
                other(&s, "ultraface_RFB-320", 240, 320) &&
                other(&s, "yunet_s_320_320", 320, 320) && other(&s, "FastestDet", 352, 352);
    es_runtime_free(s.runtime);
    es_arena_free(s.arena);
    return good ? es_bench_print(&s.bench) : 1;
}
