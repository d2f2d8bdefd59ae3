/*
 * make_models: trains the small family of models of this example and writes it as ONNX.
 *
 *     make_models FOLDER
 *
 * Task: from 512 samples of a machine's vibration (6.4 kHz) tell one of six conditions. The signal
 * is synthetic, drawn by a fixed seed (vibration below). Each network is a fixed bank of Gabor
 * filters (convolution), ReLU, average pooling, for the larger ones a random ReLU layer, and a
 * linear classifier whose weights come in closed form: ridge regression on one-hot targets
 * (an extreme learning machine), then one temperature that makes the softmax honest.
 *
 * Writes tiny.onnx, small.onnx, large.onnx, large-head.onnx, large-tail.onnx (large cut in two),
 * samples.f32 and labels.u8 (requests for `estran run`), and prints the measured qualities, the
 * facts that scenario.yaml states.
 */
#include "base/file.h"
#include "base/rng.h"
#include "model/model.h"

#include <math.h>

enum {
    SIGNAL_SIZE = 512,
    CLASS_COUNT = 6,
    TRAIN_COUNT = 5000,
    VALID_COUNT = 1000,
    TEST_COUNT = 4000,
    SAMPLE_COUNT = 200, /* of the test set, written for `estran run` */
    WIDTH_MAX = 512,
    FILTER_MAX = 64
};
static const double PI = 3.14159265358979323846;
static const double RATE_HZ = 6400;
static const double RIDGE = 1e-3;
static const double CASCADE_THRESHOLD = 0.85;

typedef struct network {
    const char *name;
    int filters, kernel, stride, pools; /* pools: averages over time kept per filter */
    int hidden;                         /* random ReLU units; 0: none */
    float *filter;                      /* [filters][kernel] */
    float *random;                      /* [hidden][features], with bias in random_bias */
    float *random_bias;
    float *output; /* [CLASS_COUNT][width], temperature folded in */
    float output_bias[CLASS_COUNT];
} network;

typedef struct data {
    int count;
    float *signal; /* [count][SIGNAL_SIZE] */
    int *label;
} data;

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
    double noise = 0.05 + 0.13 * es_rng_double(rng);
    double scale = exp(0.15 * es_rng_normal(rng));
    for (int i = 0; i < SIGNAL_SIZE; i++)
        x[i] = (float)(scale * ((double)x[i] + noise * es_rng_normal(rng)));
}

static void *need(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (memory == NULL) {
        (void)fprintf(stderr, "make_models: out of memory\n");
        exit(1);
    }
    return memory;
}

static data make_data(int count, uint64_t stream)
{
    data made = {.count = count,
                 .signal = need((size_t)count * SIGNAL_SIZE, sizeof(float)),
                 .label = need((size_t)count, sizeof(int))};
    es_rng rng = es_rng_make(20260101, stream);
    for (int n = 0; n < count; n++) {
        made.label[n] = n % CLASS_COUNT;
        vibration(made.signal + (size_t)n * SIGNAL_SIZE, made.label[n], &rng);
    }
    return made;
}

/* ---- the networks ---- */

static int conv_size(const network *net)
{
    return (SIGNAL_SIZE - net->kernel) / net->stride + 1;
}

static int pool_size(const network *net)
{
    return conv_size(net) / net->pools;
}

static int feature_count(const network *net)
{
    return net->filters * net->pools;
}

static int width(const network *net)
{
    return net->hidden > 0 ? net->hidden : feature_count(net);
}

/* Filters of pairs in quadrature, frequencies spaced evenly on a log scale. */
static void make_filters(network *net)
{
    net->filter = need((size_t)(net->filters * net->kernel), sizeof(float));
    int pairs = net->filters / 2;
    for (int f = 0; f < net->filters; f++) {
        double hz = 45 * pow(2600.0 / 45, pairs > 1 ? (double)(f / 2) / (pairs - 1) : 0.5);
        double centre = (net->kernel - 1) / 2.0;
        double spread = fmin(net->kernel / 4.0, 2.5 * RATE_HZ / hz);
        double norm = 0;
        for (int i = 0; i < net->kernel; i++) {
            double u = (i - centre) / spread;
            double angle = 2 * PI * hz * (i - centre) / RATE_HZ + (f % 2 != 0 ? PI / 2 : 0);
            double w = exp(-u * u / 2) * cos(angle);
            net->filter[f * net->kernel + i] = (float)w;
            norm += w * w;
        }
        for (int i = 0; i < net->kernel; i++)
            net->filter[f * net->kernel + i] /= (float)sqrt(norm);
    }
}

/* Convolution, ReLU, average pooling: what ONNX Conv, Relu, AveragePool do. */
static void features(const network *net, const float *x, float *out)
{
    for (int f = 0; f < net->filters; f++) {
        for (int p = 0; p < net->pools; p++) {
            float sum = 0;
            for (int j = 0; j < pool_size(net); j++) {
                const float *window = x + (p * pool_size(net) + j) * net->stride;
                float value = 0;
                for (int i = 0; i < net->kernel; i++)
                    value += window[i] * net->filter[f * net->kernel + i];
                sum += value > 0 ? value : 0;
            }
            out[f * net->pools + p] = sum / (float)pool_size(net);
        }
    }
}

/* The random layer looks at standardised features; mean and spread fold into its weights. */
static void make_random_layer(network *net, const float *train, int count)
{
    int inputs = feature_count(net);
    net->random = need((size_t)(net->hidden * inputs), sizeof(float));
    net->random_bias = need((size_t)net->hidden, sizeof(float));
    es_rng rng = es_rng_make(77, (uint64_t)net->hidden);
    for (int i = 0; i < inputs; i++) {
        double mean = 0;
        double square = 0;
        for (int n = 0; n < count; n++) {
            mean += (double)train[n * inputs + i];
            square += (double)train[n * inputs + i] * (double)train[n * inputs + i];
        }
        mean /= count;
        double spread = sqrt(square / count - mean * mean) + 1e-9;
        for (int h = 0; h < net->hidden; h++) {
            double w = es_rng_normal(&rng) / sqrt(inputs) / spread;
            net->random[h * inputs + i] = (float)w;
            net->random_bias[h] -= (float)(w * mean);
        }
    }
    for (int h = 0; h < net->hidden; h++)
        net->random_bias[h] += (float)(0.5 * es_rng_normal(&rng));
}

static void last_layer_inputs(const network *net, const float *feature, float *out)
{
    int inputs = feature_count(net);
    if (net->hidden == 0) {
        memcpy(out, feature, (size_t)inputs * sizeof *out);
        return;
    }
    for (int h = 0; h < net->hidden; h++) {
        float value = net->random_bias[h];
        for (int i = 0; i < inputs; i++)
            value += net->random[h * inputs + i] * feature[i];
        out[h] = value > 0 ? value : 0;
    }
}

/* Solves (A^T A + ridge n I) W = A^T T by Cholesky; the last column of A is 1. */
static void ridge(const float *a, int rows, int columns, const int *label, double *weights)
{
    int n = columns + 1;
    double *gram = need((size_t)n * (size_t)n, sizeof *gram);
    memset(weights, 0, (size_t)n * CLASS_COUNT * sizeof *weights);
    double row[WIDTH_MAX + 1];
    for (int r = 0; r < rows; r++) {
        for (int i = 0; i < columns; i++)
            row[i] = a[(size_t)r * (size_t)columns + (size_t)i];
        row[columns] = 1;
        for (int i = 0; i < n; i++) {
            for (int j = 0; j <= i; j++)
                gram[i * n + j] += row[i] * row[j];
            for (int c = 0; c < CLASS_COUNT; c++)
                weights[i * CLASS_COUNT + c] += row[i] * (label[r] == c ? 1 : 0);
        }
    }
    double trace = 0;
    for (int i = 0; i < columns; i++)
        trace += gram[i * n + i];
    for (int i = 0; i < columns; i++)
        gram[i * n + i] += RIDGE * trace / columns;
    for (int j = 0; j < n; j++) { /* Cholesky, lower triangle in place */
        for (int i = j; i < n; i++) {
            double sum = gram[i * n + j];
            for (int k = 0; k < j; k++)
                sum -= gram[i * n + k] * gram[j * n + k];
            gram[i * n + j] = i == j ? sqrt(fmax(sum, 1e-12)) : sum / gram[j * n + j];
        }
    }
    for (int c = 0; c < CLASS_COUNT; c++) {
        for (int i = 0; i < n; i++) {
            double sum = weights[i * CLASS_COUNT + c];
            for (int k = 0; k < i; k++)
                sum -= gram[i * n + k] * weights[k * CLASS_COUNT + c];
            weights[i * CLASS_COUNT + c] = sum / gram[i * n + i];
        }
        for (int i = n - 1; i >= 0; i--) {
            double sum = weights[i * CLASS_COUNT + c];
            for (int k = i + 1; k < n; k++)
                sum -= gram[k * n + i] * weights[k * CLASS_COUNT + c];
            weights[i * CLASS_COUNT + c] = sum / gram[i * n + i];
        }
    }
    free(gram);
}

static void scores(const network *net, const float *x, double scale, double *out)
{
    float feature[WIDTH_MAX];
    float inputs[WIDTH_MAX];
    features(net, x, feature);
    last_layer_inputs(net, feature, inputs);
    for (int c = 0; c < CLASS_COUNT; c++) {
        double sum = net->output_bias[c];
        for (int i = 0; i < width(net); i++)
            sum += (double)net->output[c * width(net) + i] * (double)inputs[i];
        out[c] = scale * sum;
    }
}

/* Softmax in place; gives the index of the largest. */
static int softmax(double *z)
{
    int best = 0;
    for (int c = 1; c < CLASS_COUNT; c++)
        best = z[c] > z[best] ? c : best;
    double top = z[best];
    double sum = 0;
    for (int c = 0; c < CLASS_COUNT; c++)
        sum += z[c] = exp(z[c] - top);
    for (int c = 0; c < CLASS_COUNT; c++)
        z[c] /= sum;
    return best;
}

static double log_loss(const double *z, const int *label, int count, double scale)
{
    double loss = 0;
    for (int n = 0; n < count; n++) {
        double p[CLASS_COUNT];
        for (int c = 0; c < CLASS_COUNT; c++)
            p[c] = scale * z[n * CLASS_COUNT + c];
        (void)softmax(p);
        loss -= log(fmax(p[label[n]], 1e-12));
    }
    return loss;
}

/* One scale that minimises the log loss on held-out data (temperature scaling), by ternary search:
 * the loss is convex in it. */
static void calibrate(network *net, const data *valid)
{
    double *z = need((size_t)valid->count * CLASS_COUNT, sizeof *z);
    for (int n = 0; n < valid->count; n++)
        scores(net, valid->signal + (size_t)n * SIGNAL_SIZE, 1, z + n * CLASS_COUNT);
    double low = 0.1;
    double high = 100;
    for (int i = 0; i < 60; i++) {
        double a = low + (high - low) / 3;
        double b = high - (high - low) / 3;
        if (log_loss(z, valid->label, valid->count, a) < log_loss(z, valid->label, valid->count, b))
            high = b;
        else
            low = a;
    }
    for (int i = 0; i < CLASS_COUNT * width(net); i++)
        net->output[i] *= (float)low;
    for (int c = 0; c < CLASS_COUNT; c++)
        net->output_bias[c] *= (float)low;
    free(z);
}

static void train(network *net, const data *train_set, const data *valid)
{
    make_filters(net);
    int inputs = feature_count(net);
    size_t rows = (size_t)train_set->count;
    float *feature = need(rows * (size_t)inputs, sizeof(float));
    for (size_t n = 0; n < rows; n++)
        features(net, train_set->signal + n * SIGNAL_SIZE, feature + n * (size_t)inputs);
    if (net->hidden > 0)
        make_random_layer(net, feature, train_set->count);
    size_t columns = (size_t)width(net);
    float *last = need(rows * columns, sizeof(float));
    for (size_t n = 0; n < rows; n++)
        last_layer_inputs(net, feature + n * (size_t)inputs, last + n * columns);
    double *weights = need((columns + 1) * CLASS_COUNT, sizeof(double));
    ridge(last, train_set->count, (int)columns, train_set->label, weights);
    net->output = need(columns * CLASS_COUNT, sizeof(float));
    for (size_t c = 0; c < CLASS_COUNT; c++) {
        for (size_t i = 0; i < columns; i++)
            net->output[c * columns + i] = (float)weights[i * CLASS_COUNT + c];
        net->output_bias[c] = (float)weights[columns * CLASS_COUNT + c];
    }
    free(weights);
    free(last);
    free(feature);
    calibrate(net, valid);
}

/* ---- ONNX ---- */

static void put_node(es_model_build *build, const char *op, const char *a, const char *b,
                     const char *c, const char *output)
{
    const char *inputs[] = {a, b, c, NULL};
    const char *outputs[] = {output, NULL};
    es_model_build_node(build, op, NULL, output, inputs, outputs);
}

static void put_weight(es_model_build *build, const char *name, size_t rank, const int64_t *dims,
                       const float *values, size_t count)
{
    es_model_build_weight(build, name, ES_MODEL_FLOAT, rank, dims, values, count * sizeof *values);
}

/* signal -> pooled features */
static void put_head(es_model_build *build, const network *net)
{
    const int64_t dims[] = {net->filters, 1, net->kernel};
    const int64_t stride = net->stride;
    const int64_t pool = pool_size(net);
    put_weight(build, "filter", 3, dims, net->filter, (size_t)(net->filters * net->kernel));
    put_node(build, "Conv", "signal", "filter", NULL, "bands");
    es_model_build_ints(build, "kernel_shape", &dims[2], 1);
    es_model_build_ints(build, "strides", &stride, 1);
    put_node(build, "Relu", "bands", NULL, NULL, "rectified");
    put_node(build, "AveragePool", "rectified", NULL, NULL, "features");
    es_model_build_ints(build, "kernel_shape", &pool, 1);
    es_model_build_ints(build, "strides", &pool, 1);
}

static void put_gemm(es_model_build *build, const char *const *names, int rows, int columns,
                     const float *w, const float *b)
{
    const int64_t dims[] = {rows, columns};
    put_weight(build, names[1], 2, dims, w, (size_t)rows * (size_t)columns);
    put_weight(build, names[2], 1, dims, b, (size_t)rows);
    put_node(build, "Gemm", names[0], names[1], names[2], names[3]);
    es_model_build_int(build, "transB", 1);
}

/* pooled features -> class probabilities */
static void put_tail(es_model_build *build, const network *net)
{
    static const char *const random[] = {"flat", "random", "random_bias", "hidden"};
    const char *output[] = {"flat", "output", "output_bias", "scores"};
    put_node(build, "Flatten", "features", NULL, NULL, "flat");
    es_model_build_int(build, "axis", 1);
    if (net->hidden > 0) {
        put_gemm(build, random, net->hidden, feature_count(net), net->random, net->random_bias);
        put_node(build, "Relu", "hidden", NULL, NULL, "active");
        output[0] = "active";
    }
    put_gemm(build, output, CLASS_COUNT, width(net), net->output, net->output_bias);
    put_node(build, "Softmax", "scores", NULL, NULL, "probabilities");
    es_model_build_int(build, "axis", 1);
}

static es_status write_model(const char *folder, const char *name, const network *net, bool head,
                             bool tail, es_error *err)
{
    static const char *const symbols[] = {"batch", NULL, NULL};
    const int64_t signal[] = {-1, 1, SIGNAL_SIZE};
    const int64_t pooled[] = {-1, net->filters, net->pools};
    const int64_t classes[] = {-1, CLASS_COUNT};
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(16 << 20);
    es_model_build *build = arena != NULL ? es_model_build_new(arena, name, 13) : NULL;
    char *path = arena != NULL ? es_arena_format(arena, "%s/models/%s.onnx", folder, name) : NULL;
    if (build == NULL || path == NULL)
        return es_fail(err, ES_ERR_NOMEM, "out of memory");
    es_model_build_input(build, head ? "signal" : "features", ES_MODEL_FLOAT, 3,
                         head ? signal : pooled, symbols);
    if (head)
        put_head(build, net);
    if (tail)
        put_tail(build, net);
    es_model_build_output(build, tail ? "probabilities" : "features", ES_MODEL_FLOAT, tail ? 2 : 3,
                          tail ? classes : pooled, symbols);
    const es_model *model = NULL;
    ES_TRY(es_model_build_finish(build, &model, err));
    return es_model_write(arena, model, path, err);
}

/* ---- measuring ---- */

enum { NETWORK_COUNT = 3, CASCADE = NETWORK_COUNT, ANSWER_COUNT };

/* right[n][k]: answer k (a network, or the cascade of small and large) is right on sample n. */
typedef struct verdicts {
    bool (*right)[ANSWER_COUNT];
    double quality[ANSWER_COUNT];
    double reach; /* of the cascade's second stage */
} verdicts;

static verdicts measure(const network *nets, const data *test)
{
    verdicts made = {.right = need((size_t)test->count, sizeof *made.right)};
    for (int n = 0; n < test->count; n++) {
        int answer[ANSWER_COUNT] = {0};
        bool sure = false;
        for (int k = 0; k < NETWORK_COUNT; k++) {
            double z[CLASS_COUNT];
            scores(&nets[k], test->signal + (size_t)n * SIGNAL_SIZE, 1, z);
            answer[k] = softmax(z);
            sure = k == 1 ? z[answer[k]] >= CASCADE_THRESHOLD : sure;
        }
        answer[CASCADE] = answer[sure ? 1 : 2];
        made.reach += sure ? 0 : 1.0 / test->count;
        for (int k = 0; k < ANSWER_COUNT; k++) {
            made.right[n][k] = answer[k] == test->label[n];
            made.quality[k] += made.right[n][k] ? 1.0 / test->count : 0;
        }
    }
    return made;
}

/* The first run of SAMPLE_COUNT test samples on which every answer is as good, within half a point,
 * as on all of them: a short file that does not mislead. */
static int representative(const verdicts *all, int count)
{
    for (int first = 0; first + SAMPLE_COUNT <= count; first++) {
        bool close = true;
        for (int k = 0; k < ANSWER_COUNT; k++) {
            int right = 0;
            for (int n = first; n < first + SAMPLE_COUNT; n++)
                right += all->right[n][k];
            close = close && fabs((double)right / SAMPLE_COUNT - all->quality[k]) <= 0.005;
        }
        if (close)
            return first;
    }
    return 0;
}

static es_status write_samples(const char *folder, const data *test, int first, es_error *err)
{
    unsigned char label[SAMPLE_COUNT];
    for (int n = 0; n < SAMPLE_COUNT; n++)
        label[n] = (unsigned char)test->label[first + n];
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/samples.f32", folder);
    ES_TRY(es_file_write(path, test->signal + (size_t)first * SIGNAL_SIZE,
                         SAMPLE_COUNT * SIGNAL_SIZE * sizeof(float), err));
    (void)snprintf(path, sizeof path, "%s/labels.u8", folder);
    return es_file_write(path, label, sizeof label, err);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: make_models FOLDER\n");
        return 2;
    }
    network nets[NETWORK_COUNT] = {
        {.name = "tiny", .filters = 16, .kernel = 64, .stride = 16, .pools = 1, .hidden = 0},
        {.name = "small", .filters = 32, .kernel = 80, .stride = 8, .pools = 1, .hidden = 128},
        {.name = "large", .filters = 64, .kernel = 128, .stride = 2, .pools = 2, .hidden = 320},
    };
    data train_set = make_data(TRAIN_COUNT, 1);
    data valid = make_data(VALID_COUNT, 2);
    data test = make_data(TEST_COUNT, 3);
    es_error err = {0};
    es_status status = ES_OK;
    for (int k = 0; k < NETWORK_COUNT && status == ES_OK; k++) {
        train(&nets[k], &train_set, &valid);
        status = write_model(argv[1], nets[k].name, &nets[k], true, true, &err);
    }
    if (status == ES_OK)
        status = write_model(argv[1], "large-head", &nets[2], true, false, &err);
    if (status == ES_OK)
        status = write_model(argv[1], "large-tail", &nets[2], false, true, &err);
    verdicts all = {0};
    if (status == ES_OK) {
        all = measure(nets, &test);
        status = write_samples(argv[1], &test, representative(&all, test.count), &err);
    }
    if (status != ES_OK) {
        (void)fprintf(stderr, "make_models: %s\n", es_error_text(&err));
        return 1;
    }
    for (int k = 0; k < NETWORK_COUNT; k++)
        (void)printf("%s quality %.4f\n", nets[k].name, all.quality[k]);
    (void)printf("cascade quality %.4f reach %.4f threshold %.2f\n", all.quality[CASCADE],
                 all.reach, CASCADE_THRESHOLD);
    return 0;
}
