/*
 * vibration: draws the samples of the examples, each set by a fixed seed.
 *
 *     vibration FOLDER
 *
 * A sample is 512 values of a machine's vibration at 6.4 kHz, synthetic, in one of six conditions:
 * healthy, imbalance, misalignment, a fault of a bearing's inner or outer race, looseness.
 * Writes train.npy, tune.npy and test.npy ([samples, 1, 512] floats), their classes beside them
 * (train-labels.npy, ...), and the first test samples as `estran run` sends them: samples.f32 and
 * labels.u8.
 */
#include "base/file.h"
#include "base/rng.h"
#include "data/data.h"

#include <math.h>

enum {
    SIGNAL_SIZE = 512,
    CLASS_COUNT = 6,
    TRAIN_COUNT = 6000,
    TUNE_COUNT = 6000,
    TEST_COUNT = 4000,
    SAMPLE_COUNT = 200 /* of the test set, for `estran run` */
};
static const double PI = 3.14159265358979323846;
static const double RATE_HZ = 6400;

/* ---- the signal ---- */

/* Impulses at rate_hz ring a resonance; modulation in [0,1] is tied to the shaft. */
static void add_bearing_fault(float *x, es_rng *rng, double shaft_hz, double ratio,
                              double modulation, double gain)
{
    double rate_hz = shaft_hz * ratio * (1 + 0.01 * es_rng_normal(rng));
    double resonance_hz = 1500 + 1000 * es_rng_double(rng);
    double offset_s = es_rng_double(rng) / rate_hz;
    double phase = 2 * PI * es_rng_double(rng);
    for (int i = 0; i < SIGNAL_SIZE; i++) {
        double t = i / RATE_HZ + offset_s;
        double since = fmod(t, 1 / rate_hz);
        double load =
            1 - modulation + modulation * (0.5 + 0.5 * cos(2 * PI * shaft_hz * t + phase));
        x[i] += (float)(gain * load * exp(-since * 900) * sin(2 * PI * resonance_hz * since));
    }
}

static void add_harmonics(float *x, es_rng *rng, double shaft_hz, const double *gain, int count,
                          double step)
{
    for (int k = 0; k < count; k++) {
        double phase = 2 * PI * es_rng_double(rng);
        double amplitude = gain[k] * (0.7 + 0.6 * es_rng_double(rng));
        for (int i = 0; i < SIGNAL_SIZE; i++)
            x[i] +=
                (float)(amplitude * sin(2 * PI * shaft_hz * step * (k + 1) * i / RATE_HZ + phase));
    }
}

/* 0 healthy, 1 imbalance, 2 misalignment, 3 inner race, 4 outer race, 5 looseness. */
static void vibration(float *x, int label, es_rng *rng)
{
    static const double harmonics[CLASS_COUNT][6] = {
        {0.30, 0.10, 0.05, 0, 0, 0}, {0.62, 0.12, 0.05, 0, 0, 0},
        {0.34, 0.42, 0.22, 0, 0, 0}, {0.30, 0.12, 0.06, 0, 0, 0},
        {0.30, 0.12, 0.06, 0, 0, 0}, {0.22, 0.30, 0.16, 0.22, 0.16, 0.18},
    };
    memset(x, 0, SIGNAL_SIZE * sizeof *x);
    double shaft_hz = 85 + 30 * es_rng_double(rng);
    add_harmonics(x, rng, shaft_hz, harmonics[label], 6, label == 5 ? 0.5 : 1);
    double gain = 0.5 + 0.9 * es_rng_double(rng);
    if (label == 3)
        add_bearing_fault(x, rng, shaft_hz, 5.4, 0.9, gain);
    if (label == 4)
        add_bearing_fault(x, rng, shaft_hz, 3.6, 0.1, gain);
    double noise = 0.09 + 0.22 * es_rng_double(rng);
    double scale = exp(0.15 * es_rng_normal(rng));
    for (int i = 0; i < SIGNAL_SIZE; i++)
        x[i] = (float)(scale * ((double)x[i] + noise * es_rng_normal(rng)));
}

/* ---- the files ---- */

typedef struct set {
    const char *name;
    size_t count;
    uint64_t stream; /* of the seed: no two sets share a sample */
} set;

static es_status write_set(es_arena *arena, const char *folder, set s, const float *x,
                           const uint8_t *labels, es_error *err)
{
    const es_data_array samples = {.name = "",
                                   .type = ES_DATA_F32,
                                   .rank = 3,
                                   .dims = {s.count, 1, SIGNAL_SIZE},
                                   .count = s.count * SIGNAL_SIZE,
                                   .bytes = x};
    const es_data_array classes = {.name = "",
                                   .type = ES_DATA_U8,
                                   .rank = 1,
                                   .dims = {s.count},
                                   .count = s.count,
                                   .bytes = labels};
    const char *path = es_arena_format(arena, "%s/%s.npy", folder, s.name);
    const char *labels_path = es_arena_format(arena, "%s/%s-labels.npy", folder, s.name);
    if (path == NULL || labels_path == NULL)
        return es_fail(err, ES_ERR_NOMEM, "out of memory");
    ES_TRY(es_data_write_npy(path, &samples, err));
    return es_data_write_npy(labels_path, &classes, err);
}

static es_status write_requests(es_arena *arena, const char *folder, const float *x,
                                const uint8_t *labels, es_error *err)
{
    const char *path = es_arena_format(arena, "%s/samples.f32", folder);
    const char *labels_path = es_arena_format(arena, "%s/labels.u8", folder);
    if (path == NULL || labels_path == NULL)
        return es_fail(err, ES_ERR_NOMEM, "out of memory");
    ES_TRY(es_file_write(path, x, (size_t)SAMPLE_COUNT * SIGNAL_SIZE * sizeof *x, err));
    return es_file_write(labels_path, labels, SAMPLE_COUNT, err);
}

static es_status make_set(const char *folder, set s, es_error *err)
{
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)64 << 20);
    float *x = arena != NULL ? ES_TAKE_ARRAY(arena, float, s.count *SIGNAL_SIZE) : NULL;
    uint8_t *labels = arena != NULL ? ES_TAKE_ARRAY(arena, uint8_t, s.count) : NULL;
    if (x == NULL || labels == NULL)
        return es_fail(err, ES_ERR_NOMEM, "out of memory");
    es_rng rng = es_rng_make(20260101, s.stream);
    for (size_t n = 0; n < s.count; n++) {
        labels[n] = (uint8_t)(n % CLASS_COUNT);
        vibration(x + n * SIGNAL_SIZE, labels[n], &rng);
    }
    ES_TRY(write_set(arena, folder, s, x, labels, err));
    return s.count == TEST_COUNT ? write_requests(arena, folder, x, labels, err) : ES_OK;
}

int main(int argc, char **argv)
{
    static const set sets[] = {
        {"train", TRAIN_COUNT, 1}, {"tune", TUNE_COUNT, 2}, {"test", TEST_COUNT, 3}};
    if (argc != 2) {
        (void)fprintf(stderr, "usage: vibration FOLDER\n");
        return 2;
    }
    es_error err = {0};
    es_status status = es_file_make_folder(argv[1], &err);
    for (size_t i = 0; i < sizeof sets / sizeof sets[0] && status == ES_OK; i++)
        status = make_set(argv[1], sets[i], &err);
    if (status != ES_OK)
        (void)fprintf(stderr, "vibration: %s\n", es_error_text(&err));
    return status == ES_OK ? 0 : 1;
}
