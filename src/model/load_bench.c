/* Load, analyse and list the cut points of a model of about 1 MB: a chain of dense layers. */
#include "es_bench.h"
#include "model/model.h"

enum { ROUNDS = 21, LAYERS = 60, WIDTH = 64 };

typedef struct given {
    const void *bytes;
    size_t size;
} given;

static bool load(void *context)
{
    const given *file = context;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)1 << 30);
    const es_model *model = NULL;
    return arena != NULL && es_model_parse(arena, "bench", file->bytes, file->size,
                                           es_model_opts_default(), &model, NULL) == ES_OK;
}

static bool analyse(void *context)
{
    const given *file = context;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)1 << 30);
    const es_model *model = NULL;
    const es_model_analysis *analysis = NULL;
    es_model_cut_list cuts;
    return arena != NULL &&
           es_model_parse(arena, "bench", file->bytes, file->size, es_model_opts_default(), &model,
                          NULL) == ES_OK &&
           es_model_analyse(arena, model, es_model_analyse_opts_default(), &analysis, NULL) ==
               ES_OK &&
           es_model_cut_points(arena, model, analysis, &cuts, NULL) == ES_OK;
}

/* A chain of LAYERS dense layers with ReLU: about 1 MB of weights. */
static es_status make_chain(es_arena *arena, given *out, es_error *err)
{
    static const float weights[WIDTH * WIDTH];
    const int64_t square[] = {WIDTH, WIDTH};
    const int64_t row[] = {1, WIDTH};
    es_model_build *build = es_model_build_new(arena, "chain", 13);
    if (build == NULL)
        return es_arena_full(arena, "chain", err);
    es_model_build_input(build, "x0", ES_MODEL_FLOAT, 2, row, NULL);
    for (int i = 0; i < LAYERS; i++) {
        char names[4][16];
        (void)snprintf(names[0], sizeof names[0], "x%d", i);
        (void)snprintf(names[1], sizeof names[1], "w%d", i);
        (void)snprintf(names[2], sizeof names[2], "h%d", i);
        (void)snprintf(names[3], sizeof names[3], "x%d", i + 1);
        es_model_build_weight(build, names[1], ES_MODEL_FLOAT, 2, square, weights, sizeof weights);
        es_model_build_node(build, "MatMul", NULL, names[2],
                            (const char *const[]){names[0], names[1], NULL},
                            (const char *const[]){names[2], NULL});
        es_model_build_node(build, "Relu", NULL, names[3], (const char *const[]){names[2], NULL},
                            (const char *const[]){names[3], NULL});
    }
    char last[16];
    (void)snprintf(last, sizeof last, "x%d", LAYERS);
    es_model_build_output(build, last, ES_MODEL_FLOAT, 2, row, NULL);
    const es_model *model = NULL;
    ES_TRY(es_model_build_finish(build, &model, err));
    return es_model_bytes(arena, model, &out->bytes, &out->size, err);
}

int main(void)
{
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)1 << 30);
    given chain = {0};
    es_error err = {0};
    if (make_chain(arena, &chain, &err) != ES_OK) {
        (void)fprintf(stderr, "load_bench: %s\n", es_error_text(&err));
        return 1;
    }
    es_bench_job jobs[] = {
        {.what = "load", .run = load, .context = &chain},
        {.what = "analyse", .run = analyse, .context = &chain},
    };
    if (!es_bench_time(jobs, 2, ROUNDS))
        return 1;
    es_bench bench = {0};
    es_bench_add(&bench, "model: load and validate 1 MB, 120 nodes", jobs[0].median_s * 1e3, "ms",
                 "lower", NAN);
    es_bench_add(&bench, "model: load, analyse and find cut points", jobs[1].median_s * 1e3, "ms",
                 "lower", NAN);
    return es_bench_print(&bench);
}
