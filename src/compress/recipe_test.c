#include "base/file.h"
#include "compress/testing/shared.h"

static const char *const in_full =
    "quantise:form=int8,method=auto,samples=256,percentile=99.999,activations=u8,equalise=auto,"
    "correct=auto,reduce=auto";

static void lines_are_read(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(1 << 20);
    es_error err = {0};
    const es_recipe *recipe = NULL;
    assert_ok_err(es_recipe_parse(arena, "quantise", &recipe, &err), err);
    assert_string_equal(es_recipe_text(recipe), in_full);
    assert_ok_err(
        es_recipe_parse(arena, "quantise:form=fp16+quantise:method=mse,skip=a|b", &recipe, &err),
        err);
    const char *text = es_recipe_text(recipe);
    assert_non_null(strstr(text, "quantise:form=fp16,method=auto"));
    assert_non_null(strstr(text, "+quantise:form=int8,method=mse"));
    assert_non_null(strstr(text, ",skip=a|b"));
    const es_recipe *again = NULL; /* what is told is read the same */
    assert_ok_err(es_recipe_parse(arena, text, &again, &err), err);
    assert_string_equal(es_recipe_text(again), text);
    assert_ok_err(es_recipe_parse(arena, "small=quantise:form=fp16", &recipe, &err), err);
    assert_non_null(strstr(es_recipe_text(recipe), "small=quantise:form=fp16"));
    es_arena_free(arena);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(1 << 20);
    const struct {
        const char *text, *words;
    } rows[] = {{"quantize", "step 'quantize' is not known; did you mean 'quantise'?"},
                {"prune_all", "step 'prune_all' is not known; there are: quantise"},
                {"quantise:methd=mse", "option 'methd' is not known; did you mean 'method'?"},
                {"quantise:method=kl", "method 'kl' is not known; there are: auto, minmax"},
                {"quantise:samples=0", "samples=0 must be a whole number in 1..1000000"},
                {"quantise:samples=2.5", "samples=2.5 must be a whole number"},
                {"quantise:percentile=101", "percentile=101 must be a number in 50..100"},
                {"quantise:method", "'method' must be OPTION=VALUE"},
                {"quantise+", "step '' is not known"},
                {"=quantise", "name '' must be 1 to 100 letters"},
                {"a/b=quantise", "name 'a/b' must be"},
                {"..=quantise", "no '.' first"},
                {"form=int8", "step 'int8' is not known"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        es_error err = {0};
        const es_recipe *recipe = NULL;
        assert_fails(es_recipe_parse(arena, rows[i].text, &recipe, &err), ES_ERR_ARG, err,
                     rows[i].words);
    }
    es_arena_free(arena);
}

static es_status read_text(es_arena *arena, const char *text, const es_recipe *const **out,
                           size_t *count, es_error *err)
{
    const char *path = ES_TEST_BINARY_DIR "/compress_recipe_test.yaml";
    assert_ok_err(es_file_write(path, text, strlen(text), err), *err);
    es_status status = es_recipes_read(arena, path, out, count, err);
    (void)unlink(path);
    return status;
}

static void files_are_read(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(1 << 20);
    es_error err = {0};
    const es_recipe *const *recipes = NULL;
    size_t count = 0;
    assert_ok_err(
        read_text(arena,
                  "format: estran-recipes\nversion: 1\nrecipes:\n"
                  "  - quantise:form=fp16\n"
                  "  - name: mine\n"
                  "    steps:\n"
                  "      - {step: quantise, method: entropy, samples: 64, equalise: yes}\n"
                  "      - {step: quantise, percentile: 99.5, correct: false}\n",
                  &recipes, &count, &err),
        err);
    assert_int_equal(count, 2);
    assert_non_null(strstr(es_recipe_text(recipes[0]), "form=fp16"));
    assert_non_null(strstr(es_recipe_text(recipes[1]), "mine=quantise:"));
    assert_non_null(strstr(es_recipe_text(recipes[1]), "method=entropy,samples=64"));
    assert_non_null(strstr(es_recipe_text(recipes[1]), "equalise=yes"));
    assert_non_null(strstr(es_recipe_text(recipes[1]), "percentile=99.5"));
    assert_non_null(strstr(es_recipe_text(recipes[1]), "correct=no"));
    const struct {
        const char *recipes, *words;
    } rows[] = {{"[]", "needs 1 to"},
                {"[{steps: []}]", "needs at least one step"},
                {"[{steps: [{step: quantize}]}]", "did you mean 'quantise'"},
                {"[{name: a/b, steps: [{step: quantise}]}]", "name 'a/b' must be"},
                {"[{steps: [{step: quantise, samples: many}]}]", "samples=many must be a whole"},
                {"[{steps: [{step: quantise, samples: [1]}]}]", "must be a text, number or"},
                {"[{step: [{step: quantise}]}]", "step"},
                {"['quantise:x=1']", "option 'x' is not known"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[200];
        (void)snprintf(text, sizeof text, "format: estran-recipes\nversion: 1\nrecipes: %s\n",
                       rows[i].recipes);
        assert_fails(read_text(arena, text, &recipes, &count, &err), ES_ERR_PARSE, err,
                     rows[i].words);
        assert_non_null(strstr(es_error_text(&err), "compress_recipe_test.yaml:3:"));
    }
    es_arena_free(arena);
}

static void help_tells_every_option(void **state)
{
    (void)state;
    es_text text;
    es_text_init(&text, 1 << 16);
    es_recipe_help(&text);
    static const char *const words[] = {"quantise: ",  "form=int8|fp16", "(default int8)",
                                        "samples=1..", "skip=TEXT",      "entropy"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        assert_non_null(strstr(es_text_get(&text), words[i]));
    const char *once = strstr(es_text_get(&text), "  weight_decay="); /* not at every step */
    assert_non_null(once);
    assert_null(strstr(once + 1, "  weight_decay="));
    assert_non_null(
        strstr(es_text_get(&text), "  options of training, below; here epochs=10, rate=0.1"));
    es_text_done(&text);
}

/* Steps run on what the one before gave; names do not repeat. */
static void recipes_chain(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    es_rng rng = es_rng_make(1, 0);
    es_model_build *b = es_model_build_new(all->arena, "net", 13);
    float_input(b, "x", DIMS(1, 8));
    random_weight(b, all->arena, &rng, "w", DIMS(8, 6), 1);
    es_model_build_node(b, "MatMul", NULL, "", NAMES("x", "w"), NAMES("y"));
    float_output(b, "y");
    es_dataset set = make_samples(all->arena, &rng, 20, DIMS(8), false);
    es_compress_job job = job_of(all, finish(b), &set);
    es_variants variants = {0};
    static const char *const texts[] = {"quantise:samples=10", "quantise:samples=20",
                                        "quantise:form=fp16+quantise:samples=5",
                                        "mine=quantise:samples=5", "mine=quantise:form=fp16"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const es_recipe *recipe = NULL;
        assert_ok_err(es_recipe_parse(all->arena, texts[i], &recipe, &err), err);
        assert_ok_err(es_recipe_run(&job, recipe, &variants, &err), err);
    }
    assert_int_equal(variants.count, 5);
    assert_string_equal(variants.items[0].name, "model-int8");
    assert_string_equal(variants.items[1].name, "model-int8-2");
    assert_string_equal(variants.items[2].name, "model-fp16-int8");
    assert_string_equal(variants.items[3].name, "mine");
    assert_string_equal(variants.items[4].name, "mine-2");
    assert_true(variants.items[2].needs_speed);
    assert_non_null(variants.items[0].report);
    const es_doc *layers = es_doc_find(variants.items[0].report, "layers");
    assert_int_equal(layers->as.list.count, 1);
    const es_recipe *recipe = NULL;
    assert_ok_err(es_recipe_parse(all->arena, "quantise:samples=21", &recipe, &err), err);
    assert_fails(es_recipe_run(&job, recipe, &variants, &err), ES_ERR_ARG, err,
                 "21 samples to calibrate with, but only 20 are there");
}

/* Also where a step's first option is a text that was not given. */
static void texts_are_read_again(void **state)
{
    static const char *const texts[] = {"exits",      "exits:at=a|b,loss=0|0.01",
                                        "specialise", "distil:student=s.yaml",
                                        "prune",      "slim"};
    es_arena *arena = es_arena_new(1 << 20);
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        es_error err = {0};
        const es_recipe *recipe = NULL;
        const es_recipe *again = NULL;
        assert_ok_err(es_recipe_parse(arena, texts[i], &recipe, &err), err);
        assert_ok_err(es_recipe_parse(arena, es_recipe_text(recipe), &again, &err), err);
        assert_string_equal(es_recipe_text(again), es_recipe_text(recipe));
    }
    es_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_read), cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(files_are_read), cmocka_unit_test(help_tells_every_option),
        cmocka_unit_test(recipes_chain),  cmocka_unit_test(texts_are_read_again)};
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
