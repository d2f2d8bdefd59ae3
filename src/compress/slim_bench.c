/*
 * What sharing weights between widths costs and saves in the runtime: a session for each of four
 * widths, which unpacks weights of its own, beside one session of the file that switches. Memory is
 * the growth of a process of its own while the sessions are open and have run; times are of one
 * thread, in turns. Nets are not trained: only their sizes matter here.
 */
#include "compress/learn.h"
#include "es_bench.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WIDTHS = 4, SIZE = 28 * 28, CLASSES = 10, RUNS = 20, ROUNDS = 15, PATH_SIZE = 256 };
static const double mega = 1e6;

typedef struct net {
    const char *name, *spec;
    char paths[WIDTHS + 1][PATH_SIZE]; /* the last one switches */
    double file_mb[WIDTHS + 1];
} net;

static net nets[] = {{.name = "cnn", .spec = "{net: cnn}"},
                     {.name = "cnn, 8 times as wide", .spec = "{net: cnn, width: 8}"}};

/* ---- files ---- */

static es_status make_files(es_arena *arena, const char *folder, size_t index, es_error *err)
{
    net *n = &nets[index];
    const es_doc *doc = NULL;
    const es_recipe *recipe = NULL;
    const es_model *model = NULL;
    es_nn *nn = NULL;
    es_variants made = {0};
    es_clusters_opts clusters = es_clusters_opts_default();
    es_dataset set;
    char text[2 * PATH_SIZE];
    clusters.size = SIZE;
    clusters.class_count = CLASSES;
    clusters.count = 200;
    ES_TRY(es_data_make_clusters(arena, clusters, &set, NULL, err));
    ES_TRY(es_doc_parse_yaml(arena, "spec", n->spec, strlen(n->spec), &doc, err));
    ES_TRY(es_nn_from_spec(arena, doc, 1, &nn, err));
    ES_TRY(es_nn_to_model(arena, nn, false, &model, err));
    for (size_t i = 0; i <= WIDTHS; i++)
        (void)snprintf(n->paths[i], PATH_SIZE, "%s/%zu-%zu.onnx", folder, index, i);
    (void)snprintf(text, sizeof text, "slim:epochs=0,batch=50,start=fresh,switch=%s",
                   n->paths[WIDTHS]);
    es_compress_job job = {.arena = arena, .model = model, .name = "net", .seed = 1};
    job.fit.dataset = &set;
    ES_TRY(es_recipe_parse(arena, text, &recipe, err));
    ES_TRY(es_recipe_run(&job, recipe, &made, err));
    for (size_t i = 0; i < WIDTHS; i++)
        ES_TRY(es_model_write(arena, made.items[i].stages[0].model, n->paths[i], err));
    for (size_t i = 0; i <= WIDTHS; i++) {
        FILE *file = fopen(n->paths[i], "re");
        if (file == NULL || fseek(file, 0, SEEK_END) != 0)
            return es_fail(err, ES_ERR_IO, "cannot read '%s'", n->paths[i]);
        n->file_mb[i] = (double)ftell(file) / mega;
        (void)fclose(file);
    }
    return ES_OK;
}

/* ---- running ---- */

typedef struct runner {
    es_session *session;
    int64_t width; /* -1: the session has one */
    float x[SIZE], y[CLASSES];
} runner;

static bool run_once(runner *r)
{
    es_tensor in[] = {es_tensor_make(ES_DTYPE_F32, (const int64_t[]){1, 1, 28, 28}, 4, r->x),
                      es_tensor_make(ES_DTYPE_I64, (const int64_t[]){1}, 1, &r->width)};
    es_tensor out = es_tensor_make(ES_DTYPE_F32, (const int64_t[]){1, CLASSES}, 2, r->y);
    return es_session_run(r->session, in, r->width < 0 ? 1 : 2, &out, 1, NULL) == ES_OK;
}

static bool run_many(void *context)
{
    for (size_t i = 0; i < RUNS; i++)
        if (!run_once(context))
            return false;
    return true;
}

static double resident_mb(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL || fscanf(file, "%*u %lu", &pages) != 1)
        pages = 0;
    if (file != NULL)
        (void)fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / mega;
}

/* Opens and runs files [first, last]; the growth of this process, or -1. */
static double grow(const net *n, size_t first, size_t last, bool arena)
{
    es_session_opts opts = es_session_opts_default();
    opts.arena = arena;
    static runner r[WIDTHS + 1];
    es_runtime *runtime = NULL;
    es_session *small = NULL;
    if (es_runtime_new(es_runtime_opts_default(), &runtime, NULL) != ES_OK ||
        es_session_open(runtime, nets[0].paths[0], es_session_opts_default(), &small, NULL) !=
            ES_OK)
        return -1;
    r[0] = (runner){.session = small, .width = -1};
    if (!run_once(&r[0])) /* the library itself is there now */
        return -1;
    double before = resident_mb();
    for (size_t i = first; i <= last; i++) {
        if (es_session_open(runtime, n->paths[i], opts, &r[i].session, NULL) != ES_OK)
            return -1;
        for (int64_t w = 0; w < WIDTHS; w++) {
            r[i].width = i == WIDTHS ? w : -1;
            if (!run_once(&r[i]))
                return -1;
        }
    }
    return resident_mb() - before;
}

/* The same in a process of its own. */
static double grow_apart(const net *n, size_t first, size_t last, bool arena)
{
    int ends[2];
    double value = -1;
    if (pipe(ends) != 0)
        return -1;
    pid_t child = fork();
    if (child == 0) {
        value = grow(n, first, last, arena);
        _exit(write(ends[1], &value, sizeof value) == (ssize_t)sizeof value ? 0 : 1);
    }
    (void)close(ends[1]);
    if (child < 0 || read(ends[0], &value, sizeof value) != (ssize_t)sizeof value)
        value = -1;
    (void)close(ends[0]);
    if (child > 0)
        (void)waitpid(child, NULL, 0);
    return value;
}

/* ---- the table ---- */

static void put(es_bench *bench, const net *n, const char *what, double value, const char *unit)
{
    static char texts[ES_BENCH_ROWS_MAX][128];
    char *text = texts[bench->count];
    (void)snprintf(text, sizeof texts[0], "%s: %s", n->name, what);
    es_bench_add(bench, text, value, unit, "lower", (double)NAN);
}

static bool time_net(es_bench *bench, const net *n, es_runtime *runtime)
{
    static const char *const shares[WIDTHS] = {"0.25", "0.5", "0.75", "1"};
    static runner r[2 * WIDTHS];
    es_bench_job jobs[2 * WIDTHS];
    char what[64];
    for (size_t i = 0; i < 2 * WIDTHS; i++) {
        bool switches = i >= WIDTHS;
        r[i].width = switches ? (int64_t)(i - WIDTHS) : -1;
        if (es_session_open(runtime, n->paths[switches ? WIDTHS : i], es_session_opts_default(),
                            &r[i].session, NULL) != ES_OK)
            return false;
        jobs[i] = (es_bench_job){.what = n->name, .run = run_many, .context = &r[i]};
    }
    bool good = es_bench_time(jobs, 2 * WIDTHS, ROUNDS);
    for (size_t w = 0; good && w < WIDTHS; w++) {
        (void)snprintf(what, sizeof what, "width %s, a file of its own", shares[w]);
        put(bench, n, what, 1e3 * jobs[w].median_s / RUNS, "ms");
        (void)snprintf(what, sizeof what, "width %s, switched / its own file", shares[w]);
        put(bench, n, what, jobs[WIDTHS + w].median_s / jobs[w].median_s, "ratio");
    }
    for (size_t i = 0; i < 2 * WIDTHS; i++)
        es_session_unref(r[i].session);
    return good;
}

static bool bench_net(es_bench *bench, const net *n, es_runtime *runtime)
{
    double files = 0;
    for (size_t i = 0; i < WIDTHS; i++)
        files += n->file_mb[i];
    put(bench, n, "four files", files, "MB");
    put(bench, n, "one that switches", n->file_mb[WIDTHS], "MB");
    put(bench, n, "memory of four sessions", grow_apart(n, 0, WIDTHS - 1, true), "MB");
    put(bench, n, "memory of the widest alone", grow_apart(n, WIDTHS - 1, WIDTHS - 1, true), "MB");
    put(bench, n, "memory of one that switches", grow_apart(n, WIDTHS, WIDTHS, true), "MB");
    put(bench, n, "the same, memory of runs given back", grow_apart(n, WIDTHS, WIDTHS, false),
        "MB");
    return time_net(bench, n, runtime);
}

int main(void)
{
    static es_bench bench;
    char folder[] = "/tmp/slim_bench_XXXXXX";
    es_error err = {0};
    es_arena *arena = es_arena_new((size_t)2 << 30);
    es_runtime *runtime = NULL;
    size_t count = sizeof nets / sizeof *nets;
    bool good = arena != NULL && mkdtemp(folder) != NULL;
    for (size_t i = 0; good && i < count; i++)
        good = make_files(arena, folder, i, &err) == ES_OK;
    double warm =
        good ? grow_apart(&nets[0], 0, 0, true) : -1; /* the file's pages are in memory now */
    good = good && warm >= 0 && es_runtime_new(es_runtime_opts_default(), &runtime, &err) == ES_OK;
    for (size_t i = 0; good && i < count; i++)
        good = bench_net(&bench, &nets[i], runtime);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k <= WIDTHS; k++)
            (void)unlink(nets[i].paths[k]);
    (void)rmdir(folder);
    es_runtime_free(runtime);
    es_arena_free(arena);
    if (!good) {
        (void)fprintf(stderr, "slim: %s\n", es_error_text(&err));
        return 1;
    }
    return es_bench_print(&bench);
}
