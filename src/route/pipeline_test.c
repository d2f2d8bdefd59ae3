/* Requests with routes as transformations of messages: parted, decided, sent on, answered. */
#include "base/rng.h"
#include "es_test.h"
#include "pipeline.h"

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

/* ---- a request and what a model with two outputs makes of it ---- */

static float image[4] = {1, 2, 3, 4};
static float sure[3] = {0.1F, 0.85F, 0.05F};
static float features[2] = {-1.5F, 3};
static const es_port probs_port = {.name = "probs", .dtype = ES_DTYPE_F32, .rank = 2};
static const es_port features_port = {.name = "features", .dtype = ES_DTYPE_F32, .rank = 2};

typedef struct stage_output {
    const es_port *ports[2];
    es_tensor tensors[2];
    es_pipeline_outputs outputs;
} stage_output;

static void fill(stage_output *out)
{
    static const int64_t probs_dims[2] = {1, 3};
    static const int64_t features_dims[2] = {1, 2};
    *out = (stage_output){.ports = {&probs_port, &features_port},
                          .tensors = {es_tensor_make(ES_DTYPE_F32, probs_dims, 2, sure),
                                      es_tensor_make(ES_DTYPE_F32, features_dims, 2, features)}};
    out->outputs = (es_pipeline_outputs){.count = 2, .ports = out->ports, .tensors = out->tensors};
}

static es_oip_message a_request(void)
{
    static const es_oip_tensor tensor = {.name = "image",
                                         .dtype = ES_DTYPE_F32,
                                         .rank = 2,
                                         .dims = {1, 4},
                                         .data = image,
                                         .size_bytes = sizeof image,
                                         .binary = true};
    static const es_oip_wanted wanted = {.name = "class", .binary = 1};
    return (es_oip_message){
        .id = "7", .tensors = &tensor, .tensor_count = 1, .wanted = &wanted, .wanted_count = 1};
}

static void receive(const char *route, const char *stages, const es_oip_message *message,
                    es_pipeline_request *out)
{
    es_error err = {0};
    es_pipeline_headers headers = {.route = route, .stages = stages, .task = "look"};
    assert_ok_err(es_pipeline_receive(arena, &headers, message, out, &err), err);
}

/* What the next node decodes from what this one sends. */
static es_oip_message over_the_wire(const es_oip_message *message)
{
    es_text text;
    int64_t json_size = 0;
    es_oip_message got;
    es_error err = {0};
    es_text_init(&text, 1 << 20);
    assert_ok_err(es_oip_encode(ES_OIP_REQUEST, message, &text, &json_size, &err), err);
    char *body = es_arena_text_n(arena, text.bytes, text.size);
    assert_non_null(body);
    assert_ok_err(es_oip_decode(arena, ES_OIP_REQUEST, body, text.size, json_size, &got, &err),
                  err);
    es_text_done(&text);
    return got;
}

static void visit_here(es_pipeline_request *request)
{
    es_serve_visit visit = {.node = request->route.stages[0].node,
                            .model = request->route.stages[0].model,
                            .queue_us = 10,
                            .compute_us = 100,
                            .joules = 0.5,
                            .grams = (double)NAN,
                            .source = "model"};
    es_pipeline_visit(request, &visit);
}

/* ---- tests ---- */

static void exits_when_sure_enough(void **state)
{
    (void)state;
    static const struct {
        const char *route;
        bool leaves, has_answer;
        size_t answer, forward;
    } cases[] = {
        {"a/m", true, true, 0, 1},
        {"a/m;exit=0.85, b/n", true, true, 0, 1},
        {"a/m;exit=0.86, b/n", false, true, 0, 1},
        {"a/m;exit=0, b/n", true, true, 0, 1},
        {"a/m;exit=1, b/n", false, true, 0, 1},
        {"a/m, b/n", false, false, 0, 1},
        {"a/m, b/n;input=request", false, true, 0, 1},
        {"a/m;exit=0.5;exit-output=features;forward=probs, b/n", true, true, 1, 0},
        {"a/m;exit-output=1, b/n", false, false, 1, 0},
    };
    stage_output out;
    fill(&out);
    es_oip_message message = a_request();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        es_pipeline_request request;
        es_pipeline_step step;
        es_error err = {0};
        receive(cases[i].route, NULL, &message, &request);
        assert_ok_err(es_pipeline_decide(&request, &out.outputs, &step, &err), err);
        if (step.leaves != cases[i].leaves || step.has_answer != cases[i].has_answer)
            fail_msg("%s: leaves %d, has an answer %d", cases[i].route, step.leaves,
                     step.has_answer);
        assert_int_equal(step.answer, cases[i].answer);
        assert_int_equal(step.forward, cases[i].forward);
    }
}

static void confidence_takes_logits_and_probabilities(void **state)
{
    (void)state;
    const float probabilities[] = {0.7F, 0.2F, 0.1F};
    const float logits[] = {2, 0, 0};
    const float nearly[] = {0.7F, 0.7F, 0.1F}; /* within [0, 1], but no distribution */
    assert_true(fabs(es_stage_confidence(probabilities, 3) - 0.7) < 1e-6);
    assert_true(fabs(es_stage_confidence(logits, 3) - exp(2) / (exp(2) + 2)) < 1e-6);
    assert_true(fabs(es_stage_confidence(nearly, 3) - 1 / (2 + exp(-0.6))) < 1e-6);
    assert_true(es_stage_confidence(logits, 0) == 0);
    const float broken[] = {NAN, 1};
    assert_true(es_stage_confidence(broken, 2) == 0);
}

static void all_rows_must_be_sure(void **state)
{
    (void)state;
    static float rows[6] = {0.9F, 0.1F, 0.6F, 0.4F, 0.2F, 0.8F};
    static const int64_t dims[2] = {3, 2};
    stage_output out;
    es_pipeline_request request;
    es_pipeline_step step;
    es_error err = {0};
    es_oip_message message = a_request();
    fill(&out);
    out.tensors[0] = es_tensor_make(ES_DTYPE_F32, dims, 2, rows);
    receive("a/m;exit=0.7, b/n", NULL, &message, &request);
    assert_ok_err(es_pipeline_decide(&request, &out.outputs, &step, &err), err);
    assert_false(step.leaves);
    assert_true(fabs(step.confidence - 0.6) < 1e-6);
    rows[2] = 0.75F;
    rows[3] = 0.25F;
    assert_ok_err(es_pipeline_decide(&request, &out.outputs, &step, &err), err);
    assert_true(step.leaves);
}

static void refuses_outputs_that_do_not_exist(void **state)
{
    (void)state;
    stage_output out;
    es_pipeline_request request;
    es_pipeline_step step;
    es_error err = {0};
    es_oip_message message = a_request();
    fill(&out);
    receive("a/m;forward=2, b/n", NULL, &message, &request);
    assert_fails(es_pipeline_decide(&request, &out.outputs, &step, &err), ES_ERR_ARG, err,
                 "model 'm': forward=2, but it has 2 outputs");
    receive("a/m;exit-output=logits, b/n", NULL, &message, &request);
    assert_fails(es_pipeline_decide(&request, &out.outputs, &step, &err), ES_ERR_ARG, err,
                 "exit-output=logits is none of its outputs");
    out.tensors[0].dtype = ES_DTYPE_I32;
    receive("a/m;exit=0.5, b/n", NULL, &message, &request);
    assert_fails(es_pipeline_decide(&request, &out.outputs, &step, &err), ES_ERR_ARG, err,
                 "an exit needs an answer of type f32, not i32");
}

/* A split over three nodes whose last stage takes the request again: it travels along. */
static void carries_the_request(void **state)
{
    (void)state;
    stage_output out;
    es_pipeline_request here;
    es_pipeline_request there;
    es_pipeline_step step;
    es_oip_message next;
    es_error err = {0};
    es_oip_message message = a_request();
    fill(&out);
    receive("a/head, b/tail;exit=0.99, c/large;input=request", NULL, &message, &here);
    assert_ok_err(es_pipeline_decide(&here, &out.outputs, &step, &err), err);
    visit_here(&here);
    assert_ok_err(es_pipeline_next(arena, &here, &step, &out.outputs, &next, &err), err);
    assert_int_equal(next.tensor_count, 2);
    es_oip_message got = over_the_wire(&next);
    receive("b/tail;exit=0.99, c/large;input=request", "a/head;queue=10;compute=100", &got, &there);
    assert_int_equal(there.input_count, 1);
    assert_string_equal(there.inputs[0].name, "features");
    assert_memory_equal(there.inputs[0].data, features, sizeof features);
    assert_int_equal(there.own_count, 1);
    assert_string_equal(there.own[0].name, "image");
    assert_string_equal(there.message.id, "7");

    assert_ok_err(es_pipeline_decide(&there, &out.outputs, &step, &err), err);
    assert_ok_err(es_pipeline_next(arena, &there, &step, &out.outputs, &next, &err), err);
    got = over_the_wire(&next);
    receive("c/large;input=request", "a/head;queue=1;compute=1, b/tail;queue=1;compute=1", &got,
            &there);
    assert_int_equal(there.input_count, 1);
    assert_string_equal(there.inputs[0].name, "image");
    assert_memory_equal(there.inputs[0].data, image, sizeof image);
}

static void does_not_carry_what_nobody_takes(void **state)
{
    (void)state;
    stage_output out;
    es_pipeline_request here;
    es_pipeline_step step;
    es_oip_message next;
    es_error err = {0};
    es_oip_message message = a_request();
    fill(&out);
    receive("a/head, b/tail", NULL, &message, &here);
    assert_ok_err(es_pipeline_decide(&here, &out.outputs, &step, &err), err);
    assert_ok_err(es_pipeline_next(arena, &here, &step, &out.outputs, &next, &err), err);
    assert_int_equal(next.tensor_count, 1);
    es_oip_message got = over_the_wire(&next);
    receive("b/tail;exit=0.5, c/large;input=request", "a/head;queue=1;compute=1", &got, &here);
    assert_int_equal(here.own_count, 0);
    assert_ok_err(es_pipeline_decide(&here, &out.outputs, &step, &err), err);
    assert_fails(es_pipeline_next(arena, &here, &step, &out.outputs, &next, &err), ES_ERR_ARG, err,
                 "takes the request again, but it did not travel along");
    assert_fails(es_pipeline_advance(arena, &here, &step, &out.outputs, &err), ES_ERR_ARG, err,
                 "did not travel along");
}

static void moves_on_without_a_hop(void **state)
{
    (void)state;
    stage_output out;
    es_pipeline_request here;
    es_pipeline_step step;
    es_error err = {0};
    es_oip_message message = a_request();
    fill(&out);
    receive("a/head, a/tail;exit=0.99, a/large;input=request", NULL, &message, &here);
    assert_ok_err(es_pipeline_decide(&here, &out.outputs, &step, &err), err);
    visit_here(&here);
    assert_ok_err(es_pipeline_advance(arena, &here, &step, &out.outputs, &err), err);
    assert_string_equal(here.route.stages[0].model, "tail");
    assert_true(here.inputs[0].data != (const void *)features);
    assert_memory_equal(here.inputs[0].data, features, sizeof features);
    assert_int_equal(here.inputs[0].dims[1], 2);
    assert_ok_err(es_pipeline_advance(arena, &here, &step, &out.outputs, &err), err);
    assert_string_equal(here.route.stages[0].model, "large");
    assert_int_equal(here.route.stage_count, 1);
    assert_string_equal(here.inputs[0].name, "image");
}

static void eight_bits_arrive_as_floats(void **state)
{
    (void)state;
    stage_output out;
    es_pipeline_request here;
    es_pipeline_step step;
    es_oip_message next;
    es_error err = {0};
    es_oip_message message = a_request();
    fill(&out);
    receive("a/head;payload=u8, b/tail", NULL, &message, &here);
    assert_ok_err(es_pipeline_decide(&here, &out.outputs, &step, &err), err);
    assert_ok_err(es_pipeline_next(arena, &here, &step, &out.outputs, &next, &err), err);
    assert_int_equal(next.tensors[0].dtype, ES_DTYPE_U8);
    assert_int_equal(next.tensors[0].size_bytes, 2);
    es_oip_message got = over_the_wire(&next);
    receive("b/tail", "a/head;queue=1;compute=1", &got, &here);
    assert_int_equal(here.inputs[0].dtype, ES_DTYPE_F32);
    assert_int_equal(here.inputs[0].size_bytes, sizeof features);
    const float *values = here.inputs[0].data;
    for (size_t i = 0; i < 2; i++)
        assert_true(fabsf(values[i] - features[i]) <= 4.5F / 255 / 2 * 1.001F);
    /* What is not finite goes as it is. */
    float kept = features[0];
    features[0] = INFINITY;
    receive("a/head;payload=u8, b/tail", NULL, &message, &here);
    assert_ok_err(es_pipeline_next(arena, &here, &step, &out.outputs, &next, &err), err);
    assert_int_equal(next.tensors[0].dtype, ES_DTYPE_F32);
    features[0] = kept;
}

static void refuses_bad_scales(void **state)
{
    (void)state;
    static const uint8_t bytes[2] = {1, 2};
    static const struct {
        es_oip_param params[2];
        es_dtype dtype;
        const char *words;
    } bad[] = {
        {{{.name = "estran_scale", .type = ES_DOC_NUMBER, .as.number = 0},
          {.name = "estran_zero_point", .type = ES_DOC_INT}},
         ES_DTYPE_U8,
         "parameter estran_scale must be a number above 0"},
        {{{.name = "estran_scale", .type = ES_DOC_NUMBER, .as.number = 1e-60},
          {.name = "estran_zero_point", .type = ES_DOC_INT}},
         ES_DTYPE_U8,
         "parameter estran_scale must be a number above 0"},
        {{{.name = "estran_scale", .type = ES_DOC_NUMBER, .as.number = 0.1},
          {.name = "estran_zero_point", .type = ES_DOC_INT, .as.integer = 256}},
         ES_DTYPE_U8,
         "parameter estran_zero_point must be from 0 to 255"},
        {{{.name = "estran_scale", .type = ES_DOC_NUMBER, .as.number = 0.1},
          {.name = "estran_zero_point", .type = ES_DOC_INT}},
         ES_DTYPE_I8,
         "estran_scale needs datatype UINT8, not INT8"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        es_oip_tensor tensor = {.name = "x",
                                .dtype = bad[i].dtype,
                                .rank = 1,
                                .dims = {2},
                                .data = bytes,
                                .size_bytes = 2,
                                .binary = true,
                                .params = {.items = bad[i].params, .count = 2}};
        es_oip_message message = {.tensors = &tensor, .tensor_count = 1};
        es_pipeline_headers headers = {.route = "b/tail", .stages = "a/m;queue=1;compute=1"};
        es_pipeline_request request;
        es_error err = {0};
        assert_fails(es_pipeline_receive(arena, &headers, &message, &request, &err), ES_ERR_ARG,
                     err, bad[i].words);
    }
}

static void answers_by_the_name_asked_for(void **state)
{
    (void)state;
    stage_output out;
    es_pipeline_request request;
    es_pipeline_step step;
    es_oip_message answer;
    es_error err = {0};
    es_oip_message message = a_request();
    fill(&out);
    receive("b/large", "a/small;queue=5;compute=50;joules=0.25;source=rapl", &message, &request);
    assert_ok_err(es_pipeline_decide(&request, &out.outputs, &step, &err), err);
    visit_here(&request);
    request.unmet = "latency";
    assert_ok_err(es_pipeline_answer(arena, &request, &step, &out.outputs, true, &answer, &err),
                  err);
    assert_string_equal(answer.model_name, "look");
    assert_string_equal(answer.id, "7");
    assert_int_equal(answer.tensor_count, 1);
    assert_string_equal(answer.tensors[0].name, "class");
    assert_true(answer.tensors[0].binary);
    assert_ptr_equal(answer.tensors[0].data, sure);
    assert_string_equal(es_oip_param_find(&answer.params, "estran_node")->as.text, "b");
    assert_string_equal(es_oip_param_find(&answer.params, "estran_variant")->as.text, "large");
    assert_int_equal(es_oip_param_find(&answer.params, "estran_exit")->as.integer, 2);
    assert_int_equal(es_oip_param_find(&answer.params, "estran_queue_us")->as.integer, 15);
    assert_int_equal(es_oip_param_find(&answer.params, "estran_compute_us")->as.integer, 150);
    assert_true(es_oip_param_find(&answer.params, "estran_energy_joules")->as.number == 0.75);
    assert_string_equal(es_oip_param_find(&answer.params, "estran_energy_source")->as.text,
                        "mixed");
    assert_null(es_oip_param_find(&answer.params, "estran_gco2e"));
    assert_string_equal(es_oip_param_find(&answer.params, "estran_unmet")->as.text, "latency");
    assert_true(es_oip_param_find(&answer.params, "estran_partial")->as.boolean);

    message.wanted_count = 0;
    receive("b/large", NULL, &message, &request);
    request.task = NULL;
    visit_here(&request);
    assert_ok_err(es_pipeline_answer(arena, &request, &step, &out.outputs, false, &answer, &err),
                  err);
    assert_string_equal(answer.model_name, "large");
    assert_string_equal(answer.tensors[0].name, "probs");
    assert_false(answer.tensors[0].binary);
    assert_null(es_oip_param_find(&answer.params, "estran_partial"));
    assert_true(es_oip_param_find(&answer.params, "estran_energy_joules")->as.number == 0.5);
    es_pipeline_headers headers = {.route = "b/large", .task = "l%20ook;output=pro%62s;"};
    assert_ok_err(es_pipeline_receive(arena, &headers, &message, &request, &err), err);
    assert_string_equal(request.task, "l ook");
    assert_string_equal(request.output, "probs;");
    headers.task = "look;colour=red";
    assert_fails(es_pipeline_receive(arena, &headers, &message, &request, &err), ES_ERR_ARG, err,
                 "Estran-Task: 'look;colour=red' must be NAME or NAME;output=NAME");
    headers.task = NULL;
    message.wanted_count = 2;
    assert_fails(es_pipeline_receive(arena, &headers, &message, &request, &err), ES_ERR_ARG, err,
                 "outputs: a pipeline has one answer, 2 are asked for");
}

static void refuses_routes_that_are_too_long(void **state)
{
    (void)state;
    es_pipeline_request request;
    es_error err = {0};
    es_oip_message message = a_request();
    es_pipeline_headers headers = {.route = "a/m, b/m, c/m, d/m, e/m",
                                   .stages = "v/m, w/m, x/m, y/m"};
    assert_fails(es_pipeline_receive(arena, &headers, &message, &request, &err), ES_ERR_ARG, err,
                 "4 stages passed and 5 to go are more than 8");
}

/* ---- 8-bit payloads ---- */

static void packs_within_half_a_scale(void **state)
{
    (void)state;
    enum { COUNT = 500 };
    uint64_t seed = es_test_seed(1);
    for (uint64_t round = 0; round < 200; round++) {
        es_rng rng = es_rng_make(seed, round);
        float values[COUNT];
        float back[COUNT];
        uint8_t packed[COUNT];
        es_payload_scale scale;
        double magnitude = pow(10, 60 * es_rng_double(&rng) - 30);
        double shift = es_rng_below(&rng, 3) == 0 ? 10 * es_rng_double(&rng) : 0;
        for (size_t i = 0; i < COUNT; i++)
            values[i] = (float)(magnitude * (es_rng_normal(&rng) + shift));
        for (size_t i = 0; i < COUNT; i += 3)
            values[i] = 0;
        assert_true(es_payload_pack(values, COUNT, packed, &scale));
        es_payload_unpack(packed, COUNT, scale, back);
        for (size_t i = 0; i < COUNT; i++) {
            if (fabsf(values[i] - back[i]) > scale.scale / 2 * 1.0001F)
                fail_msg("ES_SEED=%llu round %llu: %g came back as %g, scale %g",
                         (unsigned long long)seed, (unsigned long long)round, (double)values[i],
                         (double)back[i], (double)scale.scale);
            if (i % 3 == 0)
                assert_true(back[i] == 0);
        }
    }
}

static void packs_the_edges(void **state)
{
    (void)state;
    float back[2];
    uint8_t packed[2];
    es_payload_scale scale;
    static const float zeros[2] = {0, -0.0F};
    assert_true(es_payload_pack(zeros, 2, packed, &scale));
    es_payload_unpack(packed, 2, scale, back);
    assert_true(back[0] == 0 && back[1] == 0);
    static const float bad[][2] = {
        {NAN, 1}, {1, NAN}, {INFINITY, 1}, {-INFINITY, 1}, {3e38F, -3e38F}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(es_payload_pack(bad[i], 2, packed, &scale));
    assert_true(es_payload_pack(NULL, 0, NULL, &scale));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(exits_when_sure_enough, set_up, tear_down),
        cmocka_unit_test(confidence_takes_logits_and_probabilities),
        cmocka_unit_test_setup_teardown(all_rows_must_be_sure, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_outputs_that_do_not_exist, set_up, tear_down),
        cmocka_unit_test_setup_teardown(carries_the_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(does_not_carry_what_nobody_takes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(moves_on_without_a_hop, set_up, tear_down),
        cmocka_unit_test_setup_teardown(eight_bits_arrive_as_floats, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_bad_scales, set_up, tear_down),
        cmocka_unit_test_setup_teardown(answers_by_the_name_asked_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_routes_that_are_too_long, set_up, tear_down),
        cmocka_unit_test_setup_teardown(packs_within_half_a_scale, set_up, tear_down),
        cmocka_unit_test_setup_teardown(packs_the_edges, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
