#include "compress/testing/shared.h"

/* A session of a model that gives back its input, of the shape given. */
static es_session *session_of(fixture *all, es_model_type type, size_t rank, const int64_t *dims,
                              size_t input_count)
{
    es_error err = {0};
    const void *bytes = NULL;
    size_t size = 0;
    es_session *session = NULL;
    es_model_build *b = es_model_build_new(all->arena, "same", 13);
    es_model_build_input(b, "x", type, rank, dims, NULL);
    if (input_count > 1)
        es_model_build_input(b, "z", type, rank, dims, NULL);
    es_model_build_node(b, input_count > 1 ? "Add" : "Identity", NULL, "",
                        NAMES("x", input_count > 1 ? "z" : NULL), NAMES("y"));
    es_model_build_output(b, "y", type, 0, NULL, NULL);
    assert_ok_err(es_model_bytes(all->arena, finish(b), &bytes, &size, &err), err);
    assert_ok_err(
        es_session_open_bytes(all->runtime, bytes, size, es_session_opts_default(), &session, &err),
        err);
    return session;
}

/* Samples of 0, 1, 2, .. */
static es_dataset counting(fixture *all, size_t count, size_t rank, const int64_t *dims)
{
    es_rng rng = es_rng_make(1, 0);
    es_dataset set = make_samples(all->arena, &rng, count, rank, dims, true);
    float *values = ES_TAKE_ARRAY(all->arena, float, set.x.count);
    assert_non_null(values);
    for (size_t i = 0; i < set.x.count; i++)
        values[i] = (float)i;
    set.x.bytes = values;
    return set;
}

static void values_come_in_order(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    es_dataset set = counting(all, 3, DIMS(2, 2, 3));
    es_session *session = session_of(all, ES_MODEL_FLOAT, DIMS(-1, 2, 2, 3), 1);
    const size_t picked[2] = {2, 1};
    es_data_rows rows = {.items = picked, .count = 2};
    const float mean[2] = {1, 2};
    const float factor[2] = {2, 10};
    es_samples samples = {.dataset = &set,
                          .rows = &rows,
                          .scaling = {.channel_count = 2, .mean = mean, .factor = factor}};
    es_feed feed;
    assert_int_equal(es_samples_count(&samples), 2);
    assert_ok_err(es_feed_init(all->arena, session, &samples, &feed, &err), err);
    assert_int_equal(feed.input.rank, 4);
    assert_int_equal(feed.input.dims[0], 1);
    es_feed_set(&feed, 1); /* sample 1: values 12..23 */
    const float *x = feed.input.data;
    for (size_t i = 0; i < 12; i++)
        assert_true(x[i] == (i < 6 ? 2 * (11.0f + (float)i) : 10 * (10.0f + (float)i)));
    es_session_unref(session);
}

static void channels_can_be_turned(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    const float mean[2] = {0, 100};
    const float factor[2] = {1, 1};
    es_feed feed;
    es_dataset set = counting(all, 1, DIMS(2, 2, 3));
    es_session *last = session_of(all, ES_MODEL_FLOAT, DIMS(1, 2, 3, 2), 1);
    es_samples samples = {.dataset = &set,
                          .order = ES_SAMPLE_ORDER_CHANNELS_LAST,
                          .scaling = {.channel_count = 2, .mean = mean, .factor = factor}};
    assert_ok_err(es_feed_init(all->arena, last, &samples, &feed, &err), err);
    es_feed_set(&feed, 0);
    const float *x = feed.input.data;
    for (size_t place = 0; place < 6; place++) {
        assert_true(x[2 * place] == (float)place);
        assert_true(x[2 * place + 1] == (float)place + 6 - 100);
    }
    samples.order = ES_SAMPLE_ORDER_KEEP;
    assert_fails(es_feed_init(all->arena, last, &samples, &feed, &err), ES_ERR_ARG, err,
                 "input 'x' is 1 x 2 x 3 x 2, samples of 'made' are 2 x 2 x 3: the channels stand "
                 "elsewhere");
    es_session_unref(last);

    es_dataset turned = counting(all, 1, DIMS(2, 3, 2));
    es_session *first = session_of(all, ES_MODEL_FLOAT, DIMS(1, 2, 2, 3), 1);
    samples = (es_samples){.dataset = &turned,
                           .order = ES_SAMPLE_ORDER_CHANNELS_FIRST,
                           .scaling = {.channel_count = 2, .mean = mean, .factor = factor}};
    assert_ok_err(es_feed_init(all->arena, first, &samples, &feed, &err), err);
    es_feed_set(&feed, 0);
    x = feed.input.data;
    for (size_t place = 0; place < 6; place++) {
        assert_true(x[place] == 2 * (float)place);
        assert_true(x[place + 6] == 2 * (float)place + 1 - 100);
    }
    es_session_unref(first);
}

static void what_does_not_fit_is_told(void **state)
{
    fixture *all = fixture_get(state);
    const struct {
        es_model_type type;
        int64_t model[4], sample[3];
        size_t inputs;
        es_status status;
        const char *words; /* NULL: it fits */
    } rows[] = {
        {ES_MODEL_FLOAT, {1, 1, 4, 6}, {1, 4, 6}, 1, ES_OK, NULL},
        {ES_MODEL_FLOAT, {1, 4, 6, 1}, {1, 4, 6}, 1, ES_OK, NULL}, /* one channel: the same bytes */
        {ES_MODEL_FLOAT, {-1, -1, 4, 6}, {3, 4, 6}, 1, ES_OK, NULL},
        {ES_MODEL_FLOAT, {1, 24, 1, 1}, {1, 4, 6}, 1, ES_OK, NULL}, /* flat */
        {ES_MODEL_FLOAT, {1, 1, 6, 4}, {1, 4, 6}, 1, ES_ERR_ARG, "the channels stand elsewhere"},
        {ES_MODEL_FLOAT,
         {1, 3, 8, 8},
         {3, 4, 6},
         1,
         ES_ERR_ARG,
         "is 1 x 3 x 8 x 8, samples of 'made' are 3 x 4 x 6"},
        {ES_MODEL_FLOAT, {4, 3, 4, 6}, {3, 4, 6}, 1, ES_ERR_ARG, "is 4 x 3 x 4 x 6"},
        {ES_MODEL_UINT8, {1, 3, 4, 6}, {3, 4, 6}, 1, ES_ERR_UNSUPPORTED, "takes u8; samples are"},
        {ES_MODEL_FLOAT, {1, 3, 4, 6}, {3, 4, 6}, 2, ES_ERR_UNSUPPORTED, "has 2 inputs"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        es_error err = {0};
        es_feed feed;
        es_dataset set = counting(all, 2, 3, rows[i].sample);
        es_session *session = session_of(all, rows[i].type, 4, rows[i].model, rows[i].inputs);
        es_samples samples = {.dataset = &set};
        if (rows[i].words == NULL)
            assert_ok_err(es_feed_init(all->arena, session, &samples, &feed, &err), err);
        else
            assert_fails(es_feed_init(all->arena, session, &samples, &feed, &err), rows[i].status,
                         err, rows[i].words);
        es_session_unref(session);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(values_come_in_order),
                                       cmocka_unit_test(channels_can_be_turned),
                                       cmocka_unit_test(what_does_not_fit_is_told)};
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
