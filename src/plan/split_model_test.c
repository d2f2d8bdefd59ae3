/* Layers from models and profiles, and the problem over nodes of a scenario. */
#include "base/file.h"
#include "es_test.h"
#include "plan/plan.h"

#include <math.h>

#define EXAMPLE ES_TEST_SOURCE_DIR "/examples/01-first-run/"
#define PROFILE ES_TEST_BINARY_DIR "/split_model_test.json"

static const char good[] =
    "[{\"format\": \"estran-profile\", \"version\": 1, \"variant\": \"two\", \"input_bytes\": 100,"
    " \"output_bytes\": 8, \"latency_ms_p50\": 3, \"segments\": ["
    "{\"cut\": \"middle\", \"latency_ms_p50\": 4, \"output_bytes\": 50, \"params_bytes\": 1000,"
    " \"macs\": 700},"
    "{\"cut\": null, \"latency_ms_p50\": 2, \"output_bytes\": 8, \"params_bytes\": 2000,"
    " \"macs\": 300}]}]";

static es_status load(es_arena *arena, const char *text, const es_split_model **out, es_error *err)
{
    ES_TRY(es_file_write(PROFILE, text, strlen(text), err));
    es_status status = es_split_model_load(arena, PROFILE, out, err);
    (void)unlink(PROFILE); /* the next test writes it again */
    return status;
}

static const es_scenario *example(es_arena *arena)
{
    const es_scenario *scenario = NULL;
    es_error err = {0};
    assert_ok_err(es_scenario_load(arena, EXAMPLE "scenario.yaml", &scenario, &err), err);
    return scenario;
}

static es_node_id node(const es_scenario *scenario, const char *name)
{
    return es_network_node_find(scenario->network, name);
}

static void test_onnx_becomes_layers(void **state)
{
    (void)state;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(64 << 20);
    const es_split_model *model = NULL;
    es_error err = {0};
    assert_ok_err(es_split_model_load(arena, EXAMPLE "models/large.onnx", &model, &err), err);
    double macs = 0, memory_bytes = 0;
    bool features = false;
    for (size_t j = 0; j < model->layer_count; j++) {
        const es_split_layer *layer = &model->layers[j];
        macs += layer->macs;
        memory_bytes += layer->memory_bytes;
        assert_true(layer->macs >= 0 && layer->memory_bytes >= 0 && layer->survival == 1);
        assert_true(isnan(layer->host_time_s));
        assert_int_equal(layer->output == NULL, j + 1 == model->layer_count);
        if (layer->output != NULL && strcmp(layer->output, "features") == 0) {
            features = true;
            assert_true(layer->output_bytes == 192);
        }
    }
    assert_true(features);
    assert_true(fabs(macs - 983328) < 1e3);
    assert_true(memory_bytes >= 104e3 && memory_bytes < 125e3);
    assert_true(model->input_bytes == 2048 && model->answer_bytes == 24);
}

static void test_profile_becomes_layers(void **state)
{
    (void)state;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(4 << 20);
    const es_split_model *model = NULL;
    es_error err = {0};
    assert_ok_err(load(arena, good, &model, &err), err);
    assert_string_equal(model->name, "two");
    assert_int_equal(model->layer_count, 2);
    assert_string_equal(model->layers[0].output, "middle");
    assert_null(model->layers[1].output);
    assert_true(model->layers[0].output_bytes == 50 && model->layers[1].memory_bytes == 2000);
    /* 4 + 2 ms in parts, 3 ms as a whole */
    assert_true(fabs(model->layers[0].host_time_s - 2e-3) < 1e-12);
    assert_true(fabs(model->layers[1].host_time_s - 1e-3) < 1e-12);
}

static void test_layout_over_a_scenario(void **state)
{
    (void)state;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(64 << 20);
    const es_scenario *scenario = example(arena);
    const es_split_model *model = NULL;
    const es_split_problem *problem = NULL;
    es_error err = {0};
    assert_ok_err(load(arena, good, &model, &err), err);
    const es_node_id nodes[] = {node(scenario, "sensor-1"), node(scenario, "hall"),
                                node(scenario, "cloud")};
    assert_ok_err(es_split_layout(arena, scenario, model, nodes, 3, &problem, &err), err);
    assert_true(fabs(problem->time_s[0] - 1000 * 2e-3) < 1e-9);
    assert_true(fabs(problem->time_s[2 + 1] - 40 * 1e-3) < 1e-9);
    assert_true(fabs(problem->energy_j[0] - 1000 * 2e-3 * 0.85) < 1e-9);
    assert_true(problem->memory_bytes[0] == 0.024e6);
    const es_split_hop *far = &problem->hops[0 * 3 + 2];
    assert_true(fabs(far->latency_s - 21e-3) < 1e-12);
    assert_true(fabs(far->bottleneck_seconds_per_bit - 1 / 4e6) < 1e-15);
    assert_true(fabs(far->seconds_per_bit - (1 / 4e6 + 1 / 50e6)) < 1e-15);
    assert_true(fabs(far->energy_j_per_bit - 620e-9) < 1e-15);
    assert_true(problem->hops[4].latency_s == 0);
}

static void test_errors_say_where(void **state)
{
    (void)state;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(64 << 20);
    const es_scenario *scenario = example(arena);
    const es_split_model *model = NULL;
    const es_split_problem *problem = NULL;
    es_error err = {0};
    assert_fails(load(arena, "[{}, {}]", &model, &err), ES_ERR_PARSE, err, "2 profiles");
    assert_fails(load(arena, "{\"format\": \"estran-plan\", \"version\": 1}", &model, &err),
                 ES_ERR_PARSE, err, "estran-profile");
    assert_fails(load(arena,
                      "{\"format\": \"estran-profile\", \"version\": 1, \"input_bytes\": 1,"
                      "\"output_bytes\": 1, \"latency_ms_p50\": 1, \"segments\": []}",
                      &model, &err),
                 ES_ERR_PARSE, err, "--no-cuts");
    assert_fails(load(arena,
                      "{\"format\": \"estran-profile\", \"version\": 1, \"input_bytes\": 1,"
                      "\"output_bytes\": 1, \"latency_ms_p50\": 1, \"segments\": [{\"cut\": \"a\","
                      "\"latency_ms_p50\": -1}]}",
                      &model, &err),
                 ES_ERR_PARSE, err, "the last segment ends");
    assert_null(model);
    assert_ok_err(es_split_model_load(arena, EXAMPLE "models/tiny.onnx", &model, &err), err);
    const es_node_id twice[] = {node(scenario, "hall"), node(scenario, "hall")};
    assert_fails(es_split_layout(arena, scenario, model, twice, 2, &problem, &err), ES_ERR_ARG, err,
                 "node 'hall' comes twice");
    assert_fails(es_split_layout(arena, scenario, model, twice, 1, &problem, &err), ES_ERR_ARG, err,
                 "macs_per_s, or a profile");
    assert_fails(es_split_layout(arena, scenario, model, twice, 0, &problem, &err), ES_ERR_ARG, err,
                 "0 nodes");
    assert_fails(es_split_model_load(arena, EXAMPLE "models/none.onnx", &model, &err), ES_ERR_IO,
                 err, "none.onnx");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_onnx_becomes_layers),
        cmocka_unit_test(test_profile_becomes_layers),
        cmocka_unit_test(test_layout_over_a_scenario),
        cmocka_unit_test(test_errors_say_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
