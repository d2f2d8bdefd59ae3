/* Small is sufficient: published tables of eight tasks, the rule's options, the reader. */
#include "es_test.h"
#include "footprint/footprint.h"

#include <math.h>

/* Facts from the authors' tables, github.com/tsb4/small-is-sufficient, data folder at 5f326ec: size
 * (parameters), utility, popularity (downloads). Sizes of closed models are the authors' estimates.
 */
static const char translation[] =
    "size,utility,popularity\n"
    "11e9,32.1,1648300\n2851599360,31.8,708100\n737668608,32.0,1028285\n"
    "60506880,26.7,5685735\n222903936,30.9,3670686\n";
static const char time_series[] = "size,utility,popularity\n"
                                  "83807,0.116,35260\n264000,0.495,46349\n616000,0.578,7030\n"
                                  "311e6,0.486,26020\n91e6,0.544,5269\n14e6,0.588,56895\n";
static const char object_detection[] =
    "size,utility,popularity\n"
    "6488736,0.2572,153958\n30684768,0.3336,92\n30684768,0.3326,45365\n"
    "34172833,0.4139,116\n34172833,0.3923,320\n40175905,0.4453,7683\n"
    "40955900,0.4629,1651\n41631008,0.4326,2060\n41631008,0.4208,1207679\n"
    "43524641,0.4093,11075\n48544729,0.4935,210\n48544729,0.4877,3123\n"
    "60675360,0.4489,12852\n60675360,0.4351,277755\n219273037,0.5564,47849\n";
static const char text_to_image[] =
    "size,utility,popularity\n"
    "123060557,824.7,34140\n1370283435,804.1,81983\n2e9,1013.5,227411\n"
    "2.6e9,1056.4,1914\n3468837867,1123.0,233322\n3468837867,1071.6,9396\n"
    "3468837867,1022.9,121226\n3468837867,912.0,1438331\n3.5e9,966.4,2722801\n"
    "4762310656,1011.6,48952\n8150081767,1009.8,695\n12e9,1118.2,1225253\n"
    "12e9,1074.1,1540794\n";
static const char image_segmentation[] = "size,utility,popularity\n"
                                         "1.31e9,62.9,23\n223e6,60.8,1064357\n1.08e9,60.2,3462\n"
                                         "368e6,55.3,25\n256e6,54.1,28\n391e6,54.0,1682\n"
                                         "235e6,53.7,7587\n122e6,53.1,273\n84.7e6,51.8,30793\n"
                                         "128e6,51.3,25\n64.1e6,51.1,20905\n80e6,50.9,54\n"
                                         "55e6,50.2,246\n122e6,49.9,273\n82e6,49.6,53303\n"
                                         "27.4e6,49.6,214\n59e6,48.1,197\n49e6,48.1,246\n"
                                         "60e6,46.7,1781\n18e6,42.9,171\n8e6,38.5,573\n"
                                         "3.8e6,37.4,163252\n";
static const char speech_recognition[] =
    "size,utility,popularity\n"
    "0,30.74,52\n0,28.64,58\n0,25.45,57\n"
    "37760256,26.99,227174\n72593408,29.48,605075\n94395552,10.4,1146881\n"
    "166132224,31.23,21324\n241734144,31.21,107193\n315471520,16.87,63615\n"
    "394375168,31.03,596743\n593426112,16.52,39136\n756220160,31.88,67095\n"
    "756405760,32.28,108490\n763856896,31.71,321660\n962538400,17.25,6508\n"
    "964748494,0,241\n964845850,17.26,797606\n1e9,33.3,11597\n"
    "1.1e9,32.79,465519\n1.1e9,32.68,54205\n1.1e9,32.4,5933\n"
    "1543304960,31.97,44104872\n1543304960,31.86,281009\n1543490560,32.36,4120952\n";
static const char audio_classification[] =
    "size,utility,popularity\n"
    "94371712,44.1033,743636\n94381936,48.1333,46611\n94381936,48.7367,632899\n"
    "94371712,51.5667,710923\n93164288,39.3525,41722\n94371712,45.7817,132\n"
    "94371712,55.0075,146\n315438720,25.0292,1540\n315438720,45.4208,3997099\n"
    "315453120,57.0775,296238\n315438720,55.0017,41083\n313276416,37.9258,30714\n"
    "317390592,56.9442,110\n315438720,58.3275,98\n962497408,54.0025,50156\n"
    "962497408,55.9783,1320\n";
static const char math_reasoning[] = "size,utility,popularity\n"
                                     "440e9,37.74,3.6e9\n176e9,26.42,84e6\n175e9,25.86,3.6e9\n"
                                     "60e9,23.94,84e6\n14.17e9,22.28,2457\n34.39e9,18.93,16067\n"
                                     "7.24e9,18.22,200741\n2.78e9,9.21,262900\n13e9,7.56,8641\n"
                                     "1.3e9,0.22,140958\n30e9,0.02,2738\n";

static const struct {
    const char *task, *csv;
    double best, size; /* utility of the best; size that suffices at 5 % */
    double percent[4]; /* saving at 1, 2, 5, 10 % */
} published[] = {
    {"translation", translation, 32.1, 2.23e+08, {83.4, 83.4, 91.3, 91.3}},
    {"time series", time_series, 0.588, 616000, {86.6, 99.2, 99.2, 99.2}},
    {"object detection", object_detection, 0.5564, 2.19e+08, {0, 0, 0, 0}},
    {"text to image", text_to_image, 1123, 3.47e+09, {47.7, 47.7, 47.7, 69.4}},
    {"image segmentation", image_segmentation, 62.9, 2.23e+08, {0, 0, 1.3, 1.3}},
    {"speech recognition", speech_recognition, 33.3, 7.56e+08, {34.3, 34.3, 50.0, 88.8}},
    {"audio classification", audio_classification, 58.33, 3.15e+08, {2.0, 2.0, 2.0, 61.9}},
    {"math reasoning", math_reasoning, 37.74, 4.4e+11, {0, 0, 0, 0}},
};

static es_arena *arena;

static int begin(void **state)
{
    (void)state;
    arena = es_arena_new(16 << 20);
    return arena != NULL ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    es_arena_free(arena);
    return 0;
}

#define assert_close(got, wanted, tolerance)                                                       \
    do {                                                                                           \
        double got_ = (got);                                                                       \
        double wanted_ = (wanted);                                                                 \
        if (!(fabs(got_ - wanted_) <= (tolerance)))                                                \
            fail_msg("%s: got %.9g, wanted %.9g", #got, got_, wanted_);                            \
    } while (0)

static const es_small_model *read_rows(const char *csv, size_t *count)
{
    const es_small_model *models = NULL;
    size_t left_out = 0;
    es_error err = {0};
    assert_ok_err(es_small_parse(arena, "m.csv", csv, strlen(csv), &models, count, &left_out, &err),
                  err);
    return models;
}

static es_small_choice choose(const char *csv, double margin, bool absolute, double exponent)
{
    size_t count = 0;
    const es_small_model *models = read_rows(csv, &count);
    es_small_choice choice = {0};
    es_error err = {0};
    es_small_opts opts = {.margin = margin, .absolute = absolute, .exponent = exponent};
    assert_ok_err(es_small_choose(models, count, opts, &choice, &err), err);
    return choice;
}

static void test_published_savings(void **state)
{
    (void)state;
    static const double margins[] = {0.01, 0.02, 0.05, 0.10};
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++) {
        for (size_t m = 0; m < 4; m++) {
            es_small_choice choice = choose(published[i].csv, margins[m], false, 1);
            assert_close(100 * choice.saving, published[i].percent[m], 0.1);
        }
        es_small_choice five = choose(published[i].csv, 0.05, false, 1);
        assert_close(five.best->utility / published[i].best, 1, 1e-3);
        assert_close(five.sufficient->size / published[i].size, 1, 5e-3);
    }
}

static void test_published_exponents(void **state)
{
    (void)state;
    static const double exponents[] = {0.7, 0.85, 1};
    static const double speech[] = {38.2, 44.4, 50.0};
    static const double words[] = {75.3, 85.1, 91.3};
    for (size_t i = 0; i < 3; i++) {
        assert_close(100 * choose(speech_recognition, 0.05, false, exponents[i]).saving, speech[i],
                     0.1);
        assert_close(100 * choose(translation, 0.05, false, exponents[i]).saving, words[i], 0.1);
    }
}

/* More margin never saves less; nobody is moved to a larger model. */
static void test_monotone(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++) {
        double last = 0;
        for (int step = 0; step <= 100; step++) {
            es_small_choice choice = choose(published[i].csv, step / 100.0, false, 1);
            assert_true(choice.saving >= last && choice.saving < 1);
            assert_true(choice.after <= choice.before);
            last = choice.saving;
        }
    }
}

static void test_absolute_margin(void **state)
{
    (void)state;
    /* Elo has no zero: 70 points below 1123 is 1053, so the model of 1056.4 suffices */
    es_small_choice choice = choose(text_to_image, 70, true, 1);
    assert_close(choice.sufficient->size, 2.6e9, 1);
    assert_close(choose(text_to_image, 0, true, 1).sufficient->size, 3468837867, 1);
    /* utilities below zero: the margin is a share of the magnitude */
    static const char below[] = "size,utility,popularity\n10,-100,1\n5,-104,1\n1,-106,1\n";
    assert_close(choose(below, 0.05, false, 1).sufficient->size, 5, 0);
}

static void test_mistakes(void **state)
{
    (void)state;
    es_small_model model = {.task = "t", .name = "m", .utility = 1, .size = 1};
    es_small_choice choice = {0};
    es_error err = {0};
    es_small_opts opts = es_small_opts_default();
    assert_fails(es_small_choose(&model, 0, opts, &choice, &err), ES_ERR_ARG, err, "no model");
    assert_fails(es_small_choose(&model, 1, opts, &choice, &err), ES_ERR_ARG, err,
                 "task 't': popularity");
    opts.margin = 1.5;
    assert_fails(es_small_choose(&model, 1, opts, &choice, &err), ES_ERR_ARG, err, "margin=1.5");
    opts = es_small_opts_default();
    opts.exponent = 0;
    assert_fails(es_small_choose(&model, 1, opts, &choice, &err), ES_ERR_ARG, err, "exponent=0");
}

static void test_reader(void **state)
{
    (void)state;
    size_t count = 0;
    const es_small_model *models = read_rows(
        "Task,id,Utility,nParams,downloads,more\nb,\"x, y\",1,2,3,\na,z,1,2,3\nb,w,4,5,6\n",
        &count);
    assert_int_equal(count, 3);
    assert_string_equal(models[0].task, "b");
    assert_string_equal(models[0].name, "x, y");
    assert_string_equal(models[1].name, "w");
    assert_string_equal(models[2].task, "a");
    static const struct {
        const char *text, *words;
    } rows[] = {
        {"", "empty"},
        {"size,utility\n", "m.csv:1: no column popularity"},
        {"size,popularity\n", "no column utility"},
        {"size,utility,popularity\n", "no row with a size"},
        {"size,utility,popularity\n0,1,1\n", "no row with a size"},
        {"size,utility,popularity\n1,,1\n", "m.csv:2: utility: missing"},
        {"size,utility,popularity\n1,1,\n", "m.csv:2: popularity: missing"},
        {"size,utility,popularity\n1,1,-4\n", "m.csv:2: popularity: -4"},
        {"size,utility,popularity\n-1,1,4\n", "m.csv:2: size: -1"},
        {"size,utility,popularity\n1,good,4\n", "m.csv:2: utility: 'good' is not a number"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t left_out = 0;
        es_error err = {0};
        assert_fails(es_small_parse(arena, "m.csv", rows[i].text, strlen(rows[i].text), &models,
                                    &count, &left_out, &err),
                     ES_ERR_PARSE, err, rows[i].words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_savings), cmocka_unit_test(test_published_exponents),
        cmocka_unit_test(test_monotone),          cmocka_unit_test(test_absolute_margin),
        cmocka_unit_test(test_mistakes),          cmocka_unit_test(test_reader),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
