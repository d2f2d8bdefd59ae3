/*
 * Training steps per second: ours, the same LeNet hand-chained in oneDNN's own C interface, and
 * PyTorch where Debian's python3-torch is installed. All work on one batch in memory, forward,
 * backward, SGD with Nesterov momentum; in turns, so that other work on the machine meets all. One
 * thread counts processor seconds, two count the clock.
 */
#include "es_bench.h"
#include "train/testing/chain.h"
#include "train/train.h"

#include <unistd.h>

#ifndef ES_BENCH_SOURCE_DIR
#define ES_BENCH_SOURCE_DIR "."
#endif
#define TORCH "/usr/bin/python3 -c 'import torch' 2>/dev/null && env -u OMP_WAIT_POLICY "

enum { BATCH = 64, ROUNDS = 5, STEPS = 30, PATH_SIZE = 1024, NETS = 2, THREADS_MAX = 2 };

static const char *const net_names[NETS] = {"LeNet", "cnn"};
static const char *const net_specs[NETS] = {
    "{input: [1, 28, 28], layers: [{conv: {units: 16, kernel: 5}}, relu, {max-pool: {kernel: 2}}, "
    "{conv: {units: 32, kernel: 5}}, relu, {max-pool: {kernel: 2}}, flatten, {dense: {units: "
    "128}}, "
    "relu, {dense: {units: 10}}]}",
    "{net: cnn}",
};

/* ---- ours ---- */

typedef struct ours {
    es_train_engine *engine;
    es_optimiser optimiser;
    const float *x;
    const uint32_t *labels;
    float gradient[BATCH * 10];
} ours;

static bool ours_run(void *context)
{
    ours *o = context;
    const float *slopes[] = {o->gradient};
    for (size_t i = 0; i < STEPS; i++) {
        if (es_train_forward(o->engine, o->x, BATCH, ES_TRAIN_LEARN, NULL) != ES_OK)
            return false;
        (void)es_loss_cross_entropy(es_train_output(o->engine, 0), o->labels, BATCH, 10, 0, 1,
                                    o->gradient);
        if (es_train_backward(o->engine, slopes, false, NULL) != ES_OK)
            return false;
        (void)es_optimiser_step(&o->optimiser, 0.001);
    }
    return true;
}

static es_status ours_make(es_arena *arena, const char *words, uint32_t threads, ours *o,
                           es_error *err)
{
    const es_doc *spec = NULL;
    es_nn *nn = NULL;
    es_train_engine_opts opts = es_train_engine_opts_default();
    opts.batch = BATCH;
    opts.thread_count = threads;
    ES_TRY(es_doc_parse_yaml(arena, "net", words, strlen(words), &spec, err));
    ES_TRY(es_nn_from_spec(arena, spec, 1, &nn, err));
    ES_TRY(es_train_engine_new(nn, opts, &o->engine, err));
    return es_optimiser_init(arena, es_train_engine_params(o->engine), es_optimiser_opts_default(),
                             &o->optimiser, err);
}

/* ---- the chain ---- */

static bool chain_run(void *context)
{
    for (size_t i = 0; i < STEPS; i++)
        if (!es_chain_step(context))
            return false;
    return true;
}

/* ---- PyTorch ---- */

/* Images per second; NAN when it is not there. */
static double torch_ask(size_t net, uint32_t threads)
{
    char command[PATH_SIZE];
    double speed = (double)NAN;
    (void)snprintf(command, sizeof command,
                   TORCH "/usr/bin/python3 %s/tests/peers/train_torch.py %s %u %d %d",
                   ES_BENCH_SOURCE_DIR, net_names[net], threads, BATCH, STEPS);
    FILE *pipe = popen(command, "r"); /* a program of ours */
    if (pipe == NULL)
        return speed;
    char line[64] = "";
    bool read = fgets(line, sizeof line, pipe) != NULL;
    line[strcspn(line, "\n")] = '\0';
    return pclose(pipe) == 0 && read && es_text_to_double(line, &speed) ? speed : (double)NAN;
}

/* ---- all in turns ---- */

typedef struct contest {
    ours ours[NETS][THREADS_MAX];
    es_chain *chains[THREADS_MAX]; /* of LeNet; NULL without oneDNN */
    double ours_speed[NETS][THREADS_MAX][ROUNDS], chain_speed[THREADS_MAX][ROUNDS],
        torch_speed[NETS][THREADS_MAX][ROUNDS];
    size_t torch_rounds;
} contest;

/* One thread is timed by the processor, which other work on the machine does not change. */
static double now_s(uint32_t threads)
{
    struct timespec time;
    if (clock_gettime(threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &time) != 0)
        abort();
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static double speed_of(bool (*run)(void *), void *context, uint32_t threads)
{
    double start_s = now_s(threads);
    if (!run(context)) {
        (void)fprintf(stderr, "a step failed\n");
        exit(1);
    }
    return (double)BATCH * STEPS / (now_s(threads) - start_s);
}

static void play(contest *c)
{
    bool torch = isfinite(torch_ask(0, 1));
    if (!torch)
        (void)fprintf(stderr, "skipped: PyTorch is not installed (python3-torch)\n");
    for (size_t round = 0; round < ROUNDS + 1; round++) { /* the first does not count */
        size_t at = round > 0 ? round - 1 : 0;
        for (uint32_t t = 0; t < THREADS_MAX; t++) {
            for (size_t net = 0; net < NETS; net++)
                c->ours_speed[net][t][at] = speed_of(ours_run, &c->ours[net][t], t + 1);
            if (c->chains[t] != NULL)
                c->chain_speed[t][at] = speed_of(chain_run, c->chains[t], t + 1);
            for (size_t net = 0; torch && round > 0 && net < NETS; net++)
                c->torch_speed[net][t][at] = torch_ask(net, t + 1);
        }
    }
    c->torch_rounds = torch ? ROUNDS : 0;
}

static const char *label(es_arena *arena, const char *net, uint32_t threads, const char *what)
{
    const char *text =
        es_arena_format(arena, "%s, %u thread%s: %s", net, threads, threads > 1 ? "s" : "", what);
    return text != NULL ? text : "";
}

/* The ratio of a round, not of medians: both sides met the same minute. */
static double ratio(const double *a, const double *b)
{
    double each[ROUNDS];
    for (size_t i = 0; i < ROUNDS; i++)
        each[i] = a[i] / b[i];
    return es_bench_median(each, ROUNDS);
}

static void tell(es_arena *arena, contest *c, es_bench *bench)
{
    for (uint32_t t = 0; t < THREADS_MAX; t++) {
        for (size_t net = 0; net < NETS; net++) {
            const char *name = net_names[net];
            if (net == 0 && c->chains[t] != NULL)
                es_bench_add(bench, label(arena, name, t + 1, "ours / hand-chained"),
                             ratio(c->ours_speed[net][t], c->chain_speed[t]), "ratio", "higher",
                             0.8);
            if (c->torch_rounds > 0)
                es_bench_add(bench, label(arena, name, t + 1, "ours / PyTorch"),
                             ratio(c->ours_speed[net][t], c->torch_speed[net][t]), "ratio",
                             "higher", (double)NAN);
            es_bench_add(bench, label(arena, name, t + 1, "ours"),
                         es_bench_median(c->ours_speed[net][t], ROUNDS), "images/s", "higher",
                         (double)NAN);
            if (c->torch_rounds > 0)
                es_bench_add(bench, label(arena, name, t + 1, "PyTorch"),
                             es_bench_median(c->torch_speed[net][t], ROUNDS), "images/s", "higher",
                             (double)NAN);
        }
        if (c->chains[t] != NULL)
            es_bench_add(bench, label(arena, net_names[0], t + 1, "hand-chained"),
                         es_bench_median(c->chain_speed[t], ROUNDS), "images/s", "higher",
                         (double)NAN);
    }
}

int main(void)
{
    static contest c;
    static float x[BATCH * 784];
    static uint32_t labels[BATCH];
    es_arena *arena = es_arena_new((size_t)256 << 20);
    es_rng rng = es_rng_make(1, 0);
    es_bench bench = {0};
    es_error err = {0};
    for (size_t i = 0; i < sizeof x / sizeof x[0]; i++)
        x[i] = (float)es_rng_normal(&rng);
    for (size_t i = 0; i < BATCH; i++)
        labels[i] = (uint32_t)es_rng_below(&rng, 10);
    for (uint32_t t = 0; t < THREADS_MAX; t++) {
        for (size_t net = 0; net < NETS; net++) {
            c.ours[net][t].x = x;
            c.ours[net][t].labels = labels;
            if (ours_make(arena, net_specs[net], t + 1, &c.ours[net][t], &err) != ES_OK) {
                (void)fprintf(stderr, "%s\n", es_error_text(&err));
                return 1;
            }
        }
        c.chains[t] = es_chain_new(x, labels, BATCH, t + 1);
    }
    play(&c);
    tell(arena, &c, &bench);
    return es_bench_print(&bench);
}
