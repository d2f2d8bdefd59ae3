/* One routing decision with 10000 request classes of 10 options each: look the class up by the
 * names that a request brings, choose, and note how long the answer took. */
#include "base/rng.h"
#include "choose.h"
#include "es_bench.h"

enum { CLASSES = 10000, OPTIONS = 10, NODES = 1000, DECISIONS = 200000, ROUNDS = 9 };

typedef struct world {
    es_serve_routes routes;
    es_serve_table *table;
    es_chooser *chooser;
    uint32_t order[DECISIONS]; /* classes, as requests come */
    double quality_min;
    uint64_t sum;
} world;

static es_status fill(es_arena *arena, es_serve_routes *routes, es_error *err)
{
    es_rng rng = es_rng_make(1, 0);
    es_serve_class *classes = ES_TAKE_ARRAY(arena, es_serve_class, CLASSES);
    if (classes == NULL)
        return es_arena_full(arena, "classes", err);
    for (size_t c = 0; c < CLASSES; c++) {
        es_serve_option *options = ES_TAKE_ARRAY(arena, es_serve_option, OPTIONS);
        classes[c] = (es_serve_class){.task = es_arena_format(arena, "task-%zu", c % 10),
                                      .entry = es_arena_format(arena, "node-%zu", c / 10),
                                      .option_count = OPTIONS,
                                      .options = options};
        if (options == NULL || classes[c].task == NULL || classes[c].entry == NULL)
            return es_arena_full(arena, "classes", err);
        for (size_t o = 0; o < OPTIONS; o++) {
            options[o] = (es_serve_option){
                .share = 1.0 / OPTIONS,
                .route = es_arena_format(
                    arena, "node-%u/small;exit=0.8, node-%u/large;input=request",
                    (unsigned)es_rng_below(&rng, NODES), (unsigned)es_rng_below(&rng, NODES)),
                .stage_count = 2,
                .latency_s = 0.01 + 0.001 * (double)o,
                .latency_s_p95 = (double)NAN,
                .quality = 0.8 + 0.01 * (double)o,
                .energy_j = 0.1,
                .carbon_gco2e = 1e-6};
            if (options[o].route == NULL)
                return es_arena_full(arena, "classes", err);
        }
    }
    *routes = (es_serve_routes){
        .generation = 1, .plan = "bench", .class_count = CLASSES, .classes = classes};
    return ES_OK;
}

static bool decide(void *context)
{
    world *w = context;
    es_serve_wish wish = es_serve_wish_default();
    wish.latency_s_max = 0.05;
    wish.quality_min = w->quality_min;
    for (size_t i = 0; i < DECISIONS; i++) {
        const es_serve_class *class = &w->routes.classes[w->order[i]];
        uint32_t c = es_serve_table_class(w->table, class->task, class->entry);
        es_serve_choice choice = es_choose(w->chooser, c, &wish, (int64_t)i);
        if (choice.kind != ES_SERVE_CHOICE_OPTION)
            return false;
        es_chooser_observe(w->chooser, c, choice.option, 0.01);
        w->sum += choice.option;
    }
    return true;
}

int main(void)
{
    static world w;
    es_error err = {0};
    es_bench bench = {0};
    es_arena *arena = es_arena_new((size_t)1 << 30);
    if (arena == NULL || fill(arena, &w.routes, &err) != ES_OK ||
        es_serve_table_new(arena, &w.routes, &w.table, &err) != ES_OK ||
        es_chooser_new(w.table, NULL, &w.chooser, &err) != ES_OK) {
        (void)fprintf(stderr, "%s\n", es_error_text(&err));
        return 1;
    }
    es_rng rng = es_rng_make(1, 1);
    for (size_t i = 0; i < DECISIONS; i++)
        w.order[i] = (uint32_t)es_rng_below(&rng, CLASSES);
    es_bench_job job = {.what = "decide", .run = decide, .context = &w};
    bool good = es_bench_time(&job, 1, ROUNDS);
    es_bench_add(&bench, "serve: routing decision, 10000 classes of 10 options",
                 job.median_s / DECISIONS * 1e6, "us", "lower", 5);
    w.quality_min = 0.85;
    good = good && es_bench_time(&job, 1, ROUNDS);
    es_bench_add(&bench, "serve: the same, half of the options not good enough",
                 job.median_s / DECISIONS * 1e6, "us", "lower", 5);
    es_chooser_free(w.chooser);
    es_serve_table_unref(w.table);
    return good ? es_bench_print(&bench) : 1;
}
