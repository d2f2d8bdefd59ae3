/* Configurations of models: the three formats say the same; mistakes are named. */
#include "es_test.h"
#include "model_config.h"

static es_arena *arena;

static int begin(void **state)
{
    (void)state;
    arena = es_arena_new(1 << 26);
    return arena == NULL;
}

static int end(void **state)
{
    (void)state;
    es_arena_free(arena);
    return 0;
}

static es_model_config config_of(const char *name, const char *words)
{
    es_error err = {0};
    es_model_config config = es_model_config_default();
    assert_ok_err(es_model_config_parse(arena, name, words, strlen(words), &config, &err), err);
    return config;
}

static void expect_failure(const char *words, es_status status, const char *wanted)
{
    es_error err = {0};
    es_model_config config;
    assert_fails(es_model_config_parse(arena, "config.pbtxt", words, strlen(words), &config, &err),
                 status, err, wanted);
}

static const char PBTXT[] =
    "name: \"m\"\n"
    "platform: \"onnxruntime_onnx\"\n"
    "max_batch_size: 8\n"
    "input [ { name: \"x\" data_type: TYPE_FP32 dims: [ 3, -1 ] reshape { shape: [ 3 ] } } ]\n"
    "output { name: 'y' data_type: TYPE_INT64 dims: [ 1 ] label_filename: 'labels.txt' }\n"
    "version_policy: { specific { versions: [ 2, 5 ] } }\n"
    "instance_group [ { count: 2 kind: KIND_CPU }, { kind: KIND_CPU } ]\n"
    "dynamic_batching {\n"
    "  preferred_batch_size: [ 8, 4 ]\n"
    "  max_queue_delay_microseconds: 100\n"
    "  priority_levels: 2 default_priority_level: 2\n"
    "  default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 7000\n"
    "                         allow_timeout_override: true max_queue_size: 9 }\n"
    "  priority_queue_policy { key: 1 value { max_queue_size: 3 timeout_action: REJECT } }\n"
    "}\n"
    "model_warmup { name: 'w' batch_size: 2 count: 3\n"
    "  inputs { key: 'x' value { data_type: TYPE_FP32 dims: [ 3, 1 ] random_data: true } } }\n"
    "response_cache { enable: true }\n"
    "parameters { key: 'estran_variant' value: { string_value: 'small' } }\n"
    "parameters { key: 'other' value: { string_value: '1' } }\n"
    "metric_tags { key: 'k' value: 'v' }\n"
    "optimization { graph { level: 1 } }\n";

static const char JSON[] =
    "{\"name\":\"m\",\"platform\":\"onnxruntime_onnx\",\"max_batch_size\":8,"
    "\"input\":[{\"name\":\"x\",\"data_type\":\"TYPE_FP32\",\"dims\":[\"3\",\"-1\"],"
    "\"reshape\":{\"shape\":[3]}}],"
    "\"output\":[{\"name\":\"y\",\"data_type\":\"TYPE_INT64\",\"dims\":[1],"
    "\"label_filename\":\"labels.txt\"}],"
    "\"version_policy\":{\"specific\":{\"versions\":[\"2\",5]}},"
    "\"instance_group\":[{\"count\":2,\"kind\":\"KIND_CPU\"},{}],"
    "\"dynamic_batching\":{\"preferred_batch_size\":[4,8],\"max_queue_delay_microseconds\":\"100\","
    "\"priority_levels\":2,\"default_priority_level\":2,"
    "\"default_queue_policy\":{\"timeout_action\":\"DELAY\",\"default_timeout_microseconds\":7000,"
    "\"allow_timeout_override\":true,\"max_queue_size\":9},"
    "\"priority_queue_policy\":{\"1\":{\"max_queue_size\":3,\"timeout_action\":\"REJECT\"}}},"
    "\"model_warmup\":[{\"name\":\"w\",\"batch_size\":2,\"count\":3,\"inputs\":{\"x\":{"
    "\"data_type\":\"TYPE_FP32\",\"dims\":[3,1],\"random_data\":true}}}],"
    "\"response_cache\":{\"enable\":true},"
    "\"parameters\":{\"estran_variant\":{\"string_value\":\"small\"},\"other\":\"1\"},"
    "\"metric_tags\":{\"k\":\"v\"},\"optimization\":{}}";

static void check(const es_model_config *config)
{
    assert_string_equal(config->name, "m");
    assert_int_equal(config->max_batch_size, 8);
    assert_true(config->max_batch_size_given);
    assert_int_equal(config->input_count, 1);
    assert_string_equal(config->inputs[0].name, "x");
    assert_int_equal(config->inputs[0].dtype, ES_DTYPE_F32);
    assert_int_equal(config->inputs[0].rank, 2);
    assert_int_equal(config->inputs[0].dims[1], -1);
    assert_true(config->inputs[0].reshape_given);
    assert_int_equal(config->inputs[0].reshape_rank, 1);
    assert_string_equal(config->outputs[0].label_filename, "labels.txt");
    assert_int_equal(config->version_policy, ES_VERSIONS_SPECIFIC);
    assert_int_equal(config->version_count, 2);
    assert_int_equal(config->versions[1], 5);
    assert_int_equal(config->replica_count, 3);
    assert_true(config->batching);
    assert_int_equal(config->preferred_count, 2);
    assert_int_equal(config->preferred[0], 4);
    assert_int_equal(config->preferred[1], 8);
    assert_int_equal(config->max_queue_delay_us, 100);
    assert_int_equal(config->priority_levels, 2);
    assert_int_equal(config->default_priority_level, 2);
    assert_int_equal(config->levels[0].queue_max, 3);
    assert_false(config->levels[0].delay_late);
    assert_int_equal(config->levels[0].timeout_ns, 7000000);
    assert_false(config->levels[0].timeout_override);
    assert_int_equal(config->levels[1].queue_max, 9);
    assert_true(config->levels[1].delay_late);
    assert_true(config->levels[1].timeout_override);
    assert_int_equal(config->warmup_count, 1);
    assert_int_equal(config->warmups[0].count, 3);
    assert_int_equal(config->warmups[0].batch_size, 2);
    assert_string_equal(config->warmups[0].inputs[0].name, "x");
    assert_int_equal(config->warmups[0].inputs[0].data, ES_WARMUP_RANDOM);
    assert_true(config->cache);
    assert_string_equal(es_model_config_parameter(config, "estran_variant"), "small");
    assert_string_equal(es_model_config_parameter(config, "other"), "1");
    assert_ptr_equal(es_model_config_parameter(config, "none"), NULL);
    assert_string_equal(config->metric_tags[0].value, "v");
    assert_int_equal(config->ignored_count, 1);
    assert_string_equal(config->ignored[0], "optimization");
}

static void formats_say_the_same(void **state)
{
    (void)state;
    es_model_config config = config_of("config.pbtxt", PBTXT);
    check(&config);
    config = config_of("config.json", JSON);
    check(&config);
    config = config_of("config.yaml", JSON); /* JSON is YAML, too */
    check(&config);
}

static void nothing_is_a_configuration(void **state)
{
    (void)state;
    es_model_config config = config_of("config.pbtxt", "");
    assert_false(config.max_batch_size_given);
    assert_int_equal(config.version_policy, ES_VERSIONS_LATEST);
    assert_int_equal(config.num_versions, 1);
    assert_true(config.levels[0].timeout_override);
    config = config_of("config.pbtxt", "version_policy { latest { num_versions: 3 } }");
    assert_int_equal(config.num_versions, 3);
    config = config_of("config.pbtxt", "version_policy { all { } }");
    assert_int_equal(config.version_policy, ES_VERSIONS_ALL);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    expect_failure("max_batch_sise: 1", ES_ERR_PARSE, "did you mean 'max_batch_size'");
    expect_failure("max_batch_size: -1", ES_ERR_PARSE, "max_batch_size");
    expect_failure("max_batch_size: 5000", ES_ERR_PARSE, "1024");
    expect_failure("input { data_type: TYPE_FP32 }", ES_ERR_PARSE, "name is missing");
    expect_failure("input { name: 'x' data_type: FP32 }", ES_ERR_PARSE, "TYPE_FP32");
    expect_failure("input { name: 'x' dims: [ -2 ] }", ES_ERR_PARSE, "dims");
    expect_failure("input { name: 'x' optional: true }", ES_ERR_PARSE, "not optional");
    expect_failure("output { name: 'x' label_filename: '../a' }", ES_ERR_PARSE, "below the model");
    expect_failure("dynamic_batching { }", ES_ERR_PARSE, "max_batch_size");
    expect_failure("max_batch_size: 0 dynamic_batching { }", ES_ERR_PARSE, "max_batch_size >= 1");
    expect_failure("max_batch_size: 4 dynamic_batching { preferred_batch_size: 8 }", ES_ERR_PARSE,
                   "preferred_batch_size");
    expect_failure("max_batch_size: 4 dynamic_batching { preferred_batch_size: [ 2, 2 ] }",
                   ES_ERR_PARSE, "twice");
    expect_failure("max_batch_size: 4 dynamic_batching { priority_levels: 2 }", ES_ERR_PARSE,
                   "default_priority_level=0");
    expect_failure("max_batch_size: 4 dynamic_batching { priority_levels: 1 "
                   "default_priority_level: 1 priority_queue_policy { key: 2 value { } } }",
                   ES_ERR_PARSE, "priority 2 must be in 1..priority_levels=1");
    expect_failure("ensemble_scheduling { }", ES_ERR_UNSUPPORTED, "ensemble_scheduling");
    expect_failure("sequence_batching { }", ES_ERR_UNSUPPORTED, "sequence_batching");
    expect_failure("platform: 'tensorrt_plan'", ES_ERR_UNSUPPORTED, "tensorrt_plan");
    expect_failure("backend: 'python'", ES_ERR_UNSUPPORTED, "python");
    expect_failure("instance_group { kind: KIND_GPU }", ES_ERR_PARSE, "KIND_GPU");
    expect_failure("instance_group { count: 65 }", ES_ERR_PARSE, "count");
    expect_failure("version_policy { all { } latest { } }", ES_ERR_PARSE, "one of latest");
    expect_failure("model_warmup { inputs { key: 'x' value { dims: 1 } } }", ES_ERR_PARSE,
                   "one of zero_data");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_say_the_same),
        cmocka_unit_test(nothing_is_a_configuration),
        cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
