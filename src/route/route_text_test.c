/* The headers Estran-Route and Estran-Stages: what they mean, what is refused, round trips. */
#include "base/rng.h"
#include "es_test.h"
#include "routes.h"

#include <math.h>

static es_arena *arena;

static int set_up(void **state)
{
    (void)state;
    arena = es_arena_new((size_t)64 << 20);
    return arena == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    es_arena_free(arena);
    return 0;
}

static void reads_what_a_stage_says(void **state)
{
    (void)state;
    es_serve_route route;
    es_error err = {0};
    assert_ok_err(
        es_serve_route_decode(arena,
                              " edge-1/small;exit=0.85; exit-output=probs;forward=2;payload=u8 ,\t"
                              "hall/a%2Fb%20c;input=request;exit=1,cloud/large;exit-output=%31st",
                              &route, &err),
        err);
    assert_int_equal(route.stage_count, 3);
    const es_serve_stage *first = &route.stages[0];
    assert_string_equal(first->node, "edge-1");
    assert_string_equal(first->model, "small");
    assert_true(first->exit == 0.85);
    assert_string_equal(first->exit_output.name, "probs");
    assert_null(first->forward.name);
    assert_int_equal(first->forward.index, 2);
    assert_int_equal(first->input, ES_STAGE_INPUT_PREVIOUS);
    assert_int_equal(first->payload, ES_SERVE_PAYLOAD_U8);
    assert_string_equal(route.stages[1].model, "a/b c");
    assert_int_equal(route.stages[1].input, ES_STAGE_INPUT_REQUEST);
    assert_int_equal(route.stages[1].exit_output.index, ES_INDEX_NONE);
    assert_int_equal(route.stages[1].payload, ES_SERVE_PAYLOAD_SAME);
    assert_true(route.stages[2].exit >= ES_SERVE_EXIT_NEVER);
    assert_string_equal(route.stages[2].exit_output.name, "1st");
}

static void writes_the_rest_of_a_route(void **state)
{
    (void)state;
    static const char TEXT[] = "edge-1/small;exit=0.85;exit-output=probs;forward=1;payload=u8, "
                               "hall/large;exit-output=%31;input=request";
    es_serve_route route;
    es_error err = {0};
    es_text text;
    es_text_init(&text, 1 << 12);
    assert_ok_err(es_serve_route_decode(arena, TEXT, &route, &err), err);
    es_serve_route_encode(&route, 0, &text);
    assert_string_equal(es_text_get(&text), TEXT);
    es_text_clear(&text);
    es_serve_route_encode(&route, 1, &text);
    assert_string_equal(es_text_get(&text), "hall/large;exit-output=%31;input=request");
    es_text_done(&text);
}

static void refuses_what_it_does_not_understand(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *words;
    } bad[] = {
        {"", "Estran-Route: at 1: expected NODE/MODEL"},
        {"  ", "expected NODE/MODEL"},
        {"edge", "at 5: expected NODE/MODEL"},
        {"edge/", "at 6: a name is empty"},
        {"/small", "at 1: a name is empty"},
        {"a/b,", "at 5: expected NODE/MODEL"},
        {"a/b/c", "at 4: expected ';' or ','"},
        {"a/b c/d", "at 5: expected ';' or ','"},
        {"a/%0a", "a name holds a control character"},
        {"a/%00", "a name is malformed or too long"},
        {"a/%zz", "a name is malformed or too long"},
        {"a/b;", "expected the name of a parameter"},
        {"a/b;exit=1.5,c/d", "at 10: expected a number in its range"},
        {"a/b;exit=-1,c/d", "expected a number in its range"},
        {"a/b;exit=nan,c/d", "expected a number in its range"},
        {"a/b;exit,c/d", "expected a number"},
        {"a/b;exit=0.5;exit=0.6,c/d", "at 14: a parameter stands twice"},
        {"a/b;forward=1.5,c/d", "expected a whole number"},
        {"a/b;input=nothing,c/d", "input must be previous or request"},
        {"a/b;payload=u4,c/d", "payload must be u8"},
        {"a/b;colour=red", "at 5: unknown parameter"},
        {"a/b;exit=0.5", "nothing goes on from the last stage"},
        {"a/b;payload=u8", "nothing goes on from the last stage"},
        {"a/b;forward=x", "nothing goes on from the last stage"},
        {"a/b,a/b,a/b,a/b,a/b,a/b,a/b,a/b,a/b", "too many stages"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        es_serve_route route;
        es_error err = {0};
        assert_fails(es_serve_route_decode(arena, bad[i].text, &route, &err), ES_ERR_PARSE, err,
                     bad[i].words);
    }
    char name[2 * ES_SERVE_NAME_BYTES_MAX];
    es_serve_route route;
    es_error err = {0};
    memset(name, 'a', sizeof name - 1);
    memcpy(name, "n/", 2);
    name[ES_SERVE_NAME_BYTES_MAX + 2] = '\0';
    assert_ok_err(es_serve_route_decode(arena, name, &route, &err), err);
    name[ES_SERVE_NAME_BYTES_MAX + 2] = 'a';
    name[ES_SERVE_NAME_BYTES_MAX + 3] = '\0';
    assert_fails(es_serve_route_decode(arena, name, &route, &err), ES_ERR_PARSE, err, "too long");
    char *longer = es_arena_take(arena, ES_SERVE_HEADER_BYTES_MAX + 2, 1);
    assert_non_null(longer);
    memset(longer, ' ', ES_SERVE_HEADER_BYTES_MAX + 1);
    assert_fails(es_serve_route_decode(arena, longer, &route, &err), ES_ERR_PARSE, err,
                 "8193 bytes must be at most 8192");
}

static const char *draw_name(es_rng *rng)
{
    char name[24];
    size_t size = 1 + (size_t)es_rng_below(rng, sizeof name - 1);
    for (size_t i = 0; i < size; i++) {
        uint64_t c = 0x20 + es_rng_below(rng, 224);
        name[i] = (char)(unsigned char)(c == 0x7f ? '1' : c);
    }
    const char *copy = es_arena_text_n(arena, name, size);
    assert_non_null(copy);
    return copy;
}

static es_serve_output draw_output(es_rng *rng)
{
    switch (es_rng_below(rng, 3)) {
    case 0:
        return (es_serve_output){.name = draw_name(rng)};
    case 1:
        return (es_serve_output){.index = (uint32_t)es_rng_below(rng, 1001)};
    default:
        return (es_serve_output){.index = ES_INDEX_NONE};
    }
}

static es_serve_route draw_route(es_rng *rng)
{
    es_serve_route route = {.stage_count = 1 + (uint32_t)es_rng_below(rng, ES_STAGE_COUNT_MAX)};
    for (uint32_t k = 0; k < route.stage_count; k++) {
        bool last = k + 1 == route.stage_count;
        route.stages[k] = (es_serve_stage){
            .node = draw_name(rng),
            .model = draw_name(rng),
            .exit = last || es_rng_below(rng, 2) == 0 ? ES_SERVE_EXIT_NEVER : es_rng_double(rng),
            .exit_output = draw_output(rng),
            .forward = last ? (es_serve_output){.index = ES_INDEX_NONE} : draw_output(rng),
            .input = (es_stage_input)es_rng_below(rng, ES_STAGE_INPUT_COUNT),
            .payload = last ? ES_SERVE_PAYLOAD_SAME
                            : (es_serve_payload)es_rng_below(rng, ES_SERVE_PAYLOAD_COUNT),
        };
    }
    return route;
}

static void assert_same_output(es_serve_output a, es_serve_output b)
{
    assert_true((a.name == NULL) == (b.name == NULL));
    if (a.name != NULL)
        assert_string_equal(a.name, b.name);
    else
        assert_int_equal(a.index, b.index);
}

static void routes_come_back_the_same(void **state)
{
    (void)state;
    uint64_t seed = es_test_seed(1);
    es_text text;
    es_text_init(&text, 1 << 16);
    for (uint64_t round = 0; round < 500; round++) {
        es_rng rng = es_rng_make(seed, round);
        es_serve_route given = draw_route(&rng);
        es_serve_route got;
        es_error err = {0};
        es_text_clear(&text);
        es_serve_route_encode(&given, 0, &text);
        if (es_serve_route_decode(arena, es_text_get(&text), &got, &err) != ES_OK)
            fail_msg("ES_SEED=%llu round %llu: '%s': %s", (unsigned long long)seed,
                     (unsigned long long)round, es_text_get(&text), err.text);
        assert_int_equal(got.stage_count, given.stage_count);
        for (uint32_t k = 0; k < got.stage_count; k++) {
            assert_string_equal(got.stages[k].node, given.stages[k].node);
            assert_string_equal(got.stages[k].model, given.stages[k].model);
            assert_true(!(got.stages[k].exit < given.stages[k].exit) &&
                        !(got.stages[k].exit > given.stages[k].exit));
            assert_same_output(got.stages[k].exit_output, given.stages[k].exit_output);
            assert_same_output(got.stages[k].forward, given.stages[k].forward);
            assert_int_equal(got.stages[k].input, given.stages[k].input);
            assert_int_equal(got.stages[k].payload, given.stages[k].payload);
        }
        es_arena_reset(arena);
    }
    es_text_done(&text);
}

static void stages_add_up(void **state)
{
    (void)state;
    es_serve_visit got[ES_STAGE_COUNT_MAX];
    uint32_t count = 7;
    es_error err = {0};
    es_text text;
    es_text_init(&text, 1 << 12);
    assert_ok_err(es_serve_visits_decode(arena, NULL, got, &count, &err), err);
    assert_int_equal(count, 0);
    es_serve_visit first = {.node = "edge 1",
                            .model = "small",
                            .queue_us = 120,
                            .compute_us = 850,
                            .joules = 0.0021,
                            .grams = 1e-7,
                            .source = "model"};
    es_serve_visit second = {
        .node = "hall", .model = "large", .joules = (double)NAN, .grams = (double)NAN};
    es_serve_visit_append(&text, &first);
    es_serve_visit_append(&text, &second);
    assert_string_equal(es_text_get(&text),
                        "edge%201/small;queue=120;compute=850;joules=0.0021;grams=1e-07;"
                        "source=model, hall/large;queue=0;compute=0");
    es_text_append(&text, ";later=invention");
    assert_ok_err(es_serve_visits_decode(arena, es_text_get(&text), got, &count, &err), err);
    assert_int_equal(count, 2);
    assert_string_equal(got[0].node, "edge 1");
    assert_int_equal(got[0].queue_us, 120);
    assert_int_equal(got[0].compute_us, 850);
    assert_true(got[0].joules == 0.0021);
    assert_true(got[0].grams == 1e-7);
    assert_string_equal(got[0].source, "model");
    assert_true(isnan(got[1].joules));
    assert_null(got[1].source);
    assert_fails(es_serve_visits_decode(arena, "a/b;queue=-1", got, &count, &err), ES_ERR_PARSE,
                 err, "Estran-Stages: at 11: expected a number in its range");
    es_text_done(&text);
}

static void memory_that_runs_out_is_an_error(void **state)
{
    (void)state;
    bool done = false;
    for (size_t cap = 16; cap < ((size_t)1 << 16) && !done; cap += 16) {
        es_arena *small = es_arena_new(cap);
        es_serve_route route;
        es_status status =
            es_serve_route_decode(small, "edge-1/small;exit-output=probs, b/c", &route, NULL);
        assert_true(status == ES_OK || status == ES_ERR_NOMEM);
        done = status == ES_OK;
        es_arena_free(small);
    }
    assert_true(done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_what_a_stage_says, set_up, tear_down),
        cmocka_unit_test_setup_teardown(writes_the_rest_of_a_route, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_what_it_does_not_understand, set_up, tear_down),
        cmocka_unit_test_setup_teardown(routes_come_back_the_same, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stages_add_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_that_runs_out_is_an_error, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
