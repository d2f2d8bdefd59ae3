/* Any bytes as a checkpoint: refused with words, or taken whole. */
#include "train/fit.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

typedef struct given {
    es_arena *arena;
    es_dataset set;
    es_fit_opts opts;
    es_fit_state fit;
} given;

static es_status make_net(es_arena *arena, es_nn **out_nn, es_error *err)
{
    const size_t in[] = {2};
    es_nn_id id = ES_NN_NONE;
    es_nn_layer dense = {.kind = ES_NN_DENSE, .name = "d", .input_count = 1};
    ES_TRY(es_nn_new(arena, "net", "x", es_nn_shape_of(1, in), out_nn, err));
    ES_TRY(es_nn_add(*out_nn, &dense, 2, true, &id, err));
    return es_nn_output_add(*out_nn, "y", id, err);
}

/* A training of four epochs of two steps, as es_fit would begin it. */
static es_status make(given *g, es_error *err)
{
    es_arena *arena = g->arena;
    g->opts = es_fit_opts_default();
    g->opts.epoch_count = 4;
    g->opts.average = 0.5;
    g->opts.engine.backend = ES_TRAIN_PLAIN;
    g->set = (es_dataset){.name = "set", .count = 8, .size = 2};
    g->fit = (es_fit_state){.arena = arena, .set = &g->set, .row_count = 8, .opts = &g->opts};
    ES_TRY(make_net(arena, &g->fit.nn, err));
    ES_TRY(es_train_engine_new(g->fit.nn, g->opts.engine, &g->fit.engine, err));
    ES_TRY(es_optimiser_init(arena, &g->fit.engine->params, g->opts.optimiser, &g->fit.optimiser,
                             err));
    g->fit.steps_per_epoch = 2;
    g->fit.value_count = es_fit_values_count(g->fit.nn);
    g->fit.average = ES_TAKE_ARRAY(arena, float, g->fit.value_count);
    g->fit.epochs = ES_TAKE_ARRAY(arena, es_fit_epoch, g->opts.epoch_count);
    return g->fit.average != NULL && g->fit.epochs != NULL ? ES_OK : ES_ERR_NOMEM;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    es_error err = {0};
    given g = {.arena = es_arena_new((size_t)8 << 20)};
    if (g.arena == NULL || make(&g, &err) != ES_OK)
        abort();
    es_status status = es_fit_checkpoint_parse(&g.fit, "c", (const char *)bytes, size, &err);
    if (status == ES_OK && (g.fit.epoch_count > 4 || g.fit.step > 8 || g.fit.best_at > 3))
        abort();
    if (status != ES_OK && err.text[0] == '\0')
        abort();
    es_train_engine_free(g.fit.engine);
    es_arena_free(g.arena);
    return 0;
}
