/* Pruning: what is left computes what it did, targets are met, training goes on where it stopped.
 */
#include "compress/test_learn.h"
#include "nn/testing/forward.h"
#include "nn/testing/random_net.h"

/* ---- before any training ---- */

/* Columns that read channels which are not kept become 0. */
static void unread(es_nn *nn, const es_prune_order *order)
{
    for (size_t g = 0; g < order->groups->count; g++) {
        const es_nn_group *group = &order->groups->items[g];
        for (size_t s = 0; order->keep[g] != NULL && s < group->slice_count; s++) {
            const es_nn_slice *slice = &group->slices[s];
            es_nn_param *param = &nn->layers.items[slice->layer.index].params[slice->param];
            if (slice->axis == 0)
                continue;
            size_t inner = param->count / (param->dims[0] * param->dims[1]);
            for (size_t c = 0; c < group->channels; c++)
                for (size_t row = 0; !order->keep[g][c] && row < param->dims[0]; row++)
                    memset(param->values +
                               (row * param->dims[1] + slice->first + c * slice->stride) * inner,
                           0, slice->span * inner * sizeof(float));
        }
    }
}

static void check_net(es_arena *arena, uint64_t seed, es_prune_criterion criterion)
{
    es_error err = {0};
    es_nn_groups groups;
    es_prune_order order;
    es_nn *smaller = NULL;
    es_nn *nn = nn_random(arena, seed, true);
    es_rng rng = es_rng_make(seed, 7);
    es_compress_job job = {.arena = arena, .seed = seed};
    es_learner l = {.job = &job, .arena = arena, .scratch = es_arena_new(TEST_CAP)};
    size_t size = nn->layers.items[0].shape.count;
    float *x = ES_TAKE_ARRAY(arena, float, 2 * size);
    nn_random_values(&rng, x, 2 * size);
    assert_ok_err(es_nn_groups_find(arena, nn, &groups, &err), err);
    double **scores = ES_TAKE_ARRAY(arena, double *, groups.count);
    assert_ok_err(es_importance(&l, nn, &groups, criterion, 0, scores, &err), err);
    es_prune_order_opts opts = {.multiple = 1, .least = 0.2};
    assert_ok_err(
        es_prune_order_make(arena, &groups, (const double *const *)scores, opts, &order, &err),
        err);
    es_prune_keep(&order, order.block_count / 2);
    assert_ok_err(
        es_nn_keep(arena, nn, &groups, (const bool *const *)order.keep, &smaller, NULL, &err), err);
    double *const *after = nn_forward(arena, smaller, x, 2, false);
    unread(nn, &order);
    double *const *before = nn_forward(arena, nn, x, 2, false);
    for (size_t k = 0; k < nn->output_count; k++) {
        uint32_t at = nn->outputs[k].layer.index;
        for (size_t v = 0; v < 2 * nn->layers.items[at].shape.count; v++)
            assert_near(after[at][v], before[at][v], 1e-9 * (1 + fabs(before[at][v])));
    }
    es_arena_free(l.scratch);
}

static void a_pruned_net_is_the_big_one_with_unread_channels(void **state)
{
    static const es_prune_criterion criteria[] = {ES_PRUNE_BY_L1, ES_PRUNE_BY_L2, ES_PRUNE_BY_LAMP,
                                                  ES_PRUNE_BY_RANDOM};
    (void)state;
    for (uint64_t i = 0; i < 100; i++) {
        es_arena *arena = es_arena_new(TEST_CAP);
        check_net(arena, es_test_seed(i), criteria[i % 4]);
        es_arena_free(arena);
    }
}

/* ---- the step ---- */

static es_nn_work work_of(test_job *t, const es_variants *made)
{
    return es_nn_work_of(test_nn_of(t, made->items[0].stages[0].model));
}

static void targets_are_met_and_no_more(void **state)
{
    (void)state;
    test_job t;
    test_job_start(&t, TEST_CNN, 120);
    es_nn_work all = es_nn_work_of(test_nn_of(&t, t.job.model));
    es_variants made = test_recipe(&t, "prune:macs=0.5,epochs=0,batch=20,multiple=4,batches=2");
    assert_string_equal(made.items[0].name, "m-pruned");
    es_nn_work work = work_of(&t, &made);
    assert_true((double)work.macs <= 0.5 * (double)all.macs);
    assert_true((double)work.macs > 0.4 * (double)all.macs);
    made = test_recipe(&t, "prune:params=0.3,epochs=0,criterion=l1,ranking=local,multiple=1");
    work = work_of(&t, &made);
    assert_true((double)work.params <= 0.3 * (double)all.params);
    assert_true((double)work.params > 0.25 * (double)all.params);
    made = test_recipe(&t, "prune:params=0.6,macs=0.3,epochs=0,criterion=norm,multiple=1");
    work = work_of(&t, &made);
    assert_true((double)work.macs <= 0.3 * (double)all.macs);
    assert_true((double)work.params <= 0.6 * (double)all.params);
    const es_doc *after = test_report(&made, 0, "after");
    assert_int_equal(es_doc_find(after, "macs")->as.integer, work.macs);
    const es_doc *channels = test_report(&made, 0, "channels");
    assert_true(channels->as.list.count > 0);
    test_job_done(&t);
}

static void what_cannot_be_is_told(void **state)
{
    (void)state;
    test_job t;
    test_job_start(&t, TEST_CNN, 120);
    test_recipe_fails(&t, "prune", ES_ERR_ARG, "say how far");
    test_recipe_fails(&t, "prune:macs=0.01,least=0.5,criterion=l2", ES_ERR_ARG,
                      "macs=0.01 cannot be reached: it is 0.2");
    test_recipe_fails(&t, "prune:macs=0.5,least=1,criterion=l2", ES_ERR_ARG, "no channel can go");
    test_recipe_fails(&t, "prune:macs=0.5,batch=1000", ES_ERR_ARG, "");
    test_recipe_fails(&t, "prune:macs=2", ES_ERR_ARG, "macs=2 must be a number in 0.001..1");
    es_dataset set = t.set;
    set.size = 32;
    t.job.fit.dataset = &set;
    test_recipe_fails(&t, "prune:macs=0.5", ES_ERR_ARG, "samples of 32 values");
    t.job.fit.dataset = NULL;
    test_recipe_fails(&t, "prune:macs=0.5", ES_ERR_ARG, "needs samples");
    test_job_done(&t);
}

#define FEW "batch=20,rate=0.05,multiple=4,batches=3,threads=1"

static void training_heals_and_repeats(void **state)
{
    (void)state;
    test_job t;
    test_job_start(&t, TEST_CNN, 240);
    es_variants base = test_recipe(&t, "finetune:epochs=6,batch=20,rate=0.05,threads=1");
    t.job.model = base.items[0].stages[0].model;
    assert_true(test_accuracy(&t, t.job.model) > 0.95);
    es_variants raw = test_recipe(&t, "prune:macs=0.1,epochs=0,rounds=2,between=0," FEW);
    es_variants made = test_recipe(&t, "prune:macs=0.1,epochs=3,rounds=2," FEW);
    es_variants again = test_recipe(&t, "prune:macs=0.1,epochs=3,rounds=2," FEW);
    double before = test_accuracy(&t, raw.items[0].stages[0].model);
    double after = test_accuracy(&t, made.items[0].stages[0].model);
    assert_true(after > 0.95);
    assert_true(after > before);
    assert_int_equal(test_report(&made, 0, "epochs")->as.list.count, 4); /* one between */
    const void *bytes[2];
    size_t sizes[2];
    es_error err = {0};
    assert_ok_err(
        es_model_bytes(t.arena, made.items[0].stages[0].model, &bytes[0], &sizes[0], &err), err);
    assert_ok_err(
        es_model_bytes(t.arena, again.items[0].stages[0].model, &bytes[1], &sizes[1], &err), err);
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(bytes[0], bytes[1], sizes[0]);
    test_job_done(&t);
}

/* Norms for the training alone: the file has what it had. */
static void norms_come_and_go(void **state)
{
    (void)state;
    test_job t;
    test_job_start(&t,
                   "{input: [1, 8, 8], layers: [{conv: {units: 16, kernel: 3, name: c1}}, relu, "
                   "{conv: {units: 16, kernel: 3, name: c2}}, relu, global-pool, "
                   "{dense: {units: 3, name: logits}}]}",
                   120);
    es_variants made = test_recipe(&t, "prune:macs=0.5,criterion=norm,epochs=3," FEW);
    const es_nn *before = test_nn_of(&t, t.job.model);
    const es_nn *after = test_nn_of(&t, made.items[0].stages[0].model);
    assert_int_equal(after->layers.count, before->layers.count);
    for (size_t i = 0; i < after->layers.count; i++)
        assert_int_equal(after->layers.items[i].kind, before->layers.items[i].kind);
    assert_true(test_accuracy(&t, made.items[0].stages[0].model) > 0.8);
    test_recipe_fails(&t, "prune:macs=0.5,criterion=norm,add_norms=no," FEW, ES_ERR_ARG,
                      "have no batch norm");
    test_job_done(&t);
}

static void goes_on_where_it_was_stopped(void **state)
{
    (void)state;
    test_goes_on(TEST_CNN, "prune:macs=0.4,epochs=3,rounds=2," FEW, "prune round-2", 0.4);
}

/* ---- time ---- */

static void time_is_measured(void **state)
{
    (void)state;
    test_job t;
    es_error err = {0};
    es_runtime *runtime = NULL;
    if (es_runtime_new(es_runtime_opts_default(), &runtime, &err) != ES_OK) {
        print_message("skipped: %s\n", es_error_text(&err));
        skip();
    }
    test_job_start(&t, "{net: cnn, input: [1, 8, 8], classes: 3, width: 4}", 60);
    t.job.runtime = runtime;
    es_nn_work all = es_nn_work_of(test_nn_of(&t, t.job.model));
    es_variants made = test_recipe(&t, "prune:latency=0.6,epochs=0,criterion=l2,ranking=local");
    assert_true(work_of(&t, &made).macs < all.macs);
    const es_doc *measured = test_report(&made, 0, "measured");
    assert_true(measured->as.list.count >= 2);
    const es_doc *first = measured->as.list.items[0]; /* the fewest channels */
    assert_true(es_doc_find(first, "latency_share")->as.number < 0.6);
    assert_non_null(test_report(&made, 0, "latency_fixed_share"));
    test_recipe_fails(&t, "prune:latency=0.01,epochs=0,criterion=l2,least=0.5", ES_ERR_ARG,
                      "latency=0.01 cannot be reached");
    es_runtime_free(runtime);
    test_job_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pruned_net_is_the_big_one_with_unread_channels),
        cmocka_unit_test(targets_are_met_and_no_more),
        cmocka_unit_test(what_cannot_be_is_told),
        cmocka_unit_test(training_heals_and_repeats),
        cmocka_unit_test(norms_come_and_go),
        cmocka_unit_test(goes_on_where_it_was_stopped),
        cmocka_unit_test(time_is_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
