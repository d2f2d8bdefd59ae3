/* Leave or go on, what is shipped, and how long the emulated machine takes: without sessions. */
#include "es_test.h"
#include "node_internal.h"
#include "route/route.h"

#include <math.h>
#include <string.h>

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

static void only_warm_time_is_slowed_down(void **state)
{
    (void)state;
    assert_int_equal(es_stage_service_ns(100, 100, 1), 100);
    assert_int_equal(es_stage_service_ns(100, 5000, 50), 5000);
    assert_int_equal(es_stage_service_ns(180, 5000, 50), 5080); /* cold: once */
    assert_int_equal(es_stage_service_ns(60, 5000, 50), 5000);
    assert_int_equal(es_stage_service_ns(9000, 5000, 0),
                     5000); /* hardware of which nothing is told */
    assert_true(es_stage_service_ns(INT64_MAX / 2, INT64_MAX / 2, 1e9) > 0);
}

/* A route of three stages: split, exit at the second, then the request again. */
typedef struct bench {
    es_message_pool pool;
    es_config_route route;
    es_node_stage stage;
    es_job job;
    float hidden[4];
    float guess[2];
    es_tensor outputs[2];
} bench;

static void set_bench(bench *here, uint8_t stage, uint32_t payload, uint32_t carried)
{
    *here = (bench){.hidden = {1, 2, 3, 4}, .guess = {5, 0}};
    es_message_pool_init(&here->pool, 1 << 20);
    here->route = (es_config_route){.origin = 3,
                                    .output_bytes = 1000,
                                    .stage_count = 3,
                                    .stages = {{.node = 0,
                                                .input = ES_STAGE_INPUT_REQUEST,
                                                .exit_threshold = 2,
                                                .exit_output = 1,
                                                .input_bytes = 8},
                                               {.node = 1,
                                                .input = ES_STAGE_INPUT_PREVIOUS,
                                                .exit_threshold = 0.9,
                                                .exit_output = 1,
                                                .input_bytes = 16},
                                               {.node = 2,
                                                .input = ES_STAGE_INPUT_REQUEST,
                                                .exit_threshold = 2,
                                                .exit_output = 1,
                                                .input_bytes = 8}}};
    here->stage = (es_node_stage){.forward_output = 0};
    here->job.route = &here->route;
    here->job.stage = &here->stage;
    here->job.in =
        es_message_take(&here->pool, ES_FRAME_REQUEST, ES_REQUEST_HEADER_SIZE + payload + carried);
    here->job.out = es_message_take(&here->pool, ES_FRAME_ANSWER, ES_REQUEST_HEADER_SIZE + 24);
    assert_non_null(here->job.in);
    assert_non_null(here->job.out);
    here->job.in->request =
        (es_request){.id = 5, .stage = stage, .payload_bytes = payload, .carried_bytes = carried};
    memset(here->job.in->bytes + ES_REQUEST_HEADER_SIZE, 'p', payload);
    memset(here->job.in->bytes + ES_REQUEST_HEADER_SIZE + payload, 'c', carried);
    int64_t hidden_dims[] = {1, 4};
    int64_t guess_dims[] = {1, 2};
    here->outputs[0] = es_tensor_make(ES_DTYPE_F32, hidden_dims, 2, here->hidden);
    here->outputs[1] = es_tensor_make(ES_DTYPE_F32, guess_dims, 2, here->guess);
}

static void done_bench(bench *here)
{
    es_message_give(&here->pool, here->job.in);
    es_message_give(&here->pool, here->job.out);
    es_message_pool_done(&here->pool);
}

static void a_split_carries_what_a_later_stage_wants(void **state)
{
    (void)state;
    bench here;
    es_error err = {0};
    set_bench(&here, 0, 8, 0);
    assert_ok_err(es_stage_decide(&here.job, here.outputs, &err), err);
    const es_message *out = here.job.out;
    assert_int_equal(out->header.type, ES_FRAME_REQUEST);
    assert_int_equal(out->header.size, ES_REQUEST_HEADER_SIZE + 16 + 8);
    assert_int_equal(out->request.stage, 1);
    assert_int_equal(out->request.stages_run, 1);
    assert_int_equal(out->request.destination, 1);
    assert_int_equal(out->request.link_bytes, 24); /* what is really shipped */
    assert_memory_equal(out->bytes + ES_REQUEST_HEADER_SIZE, here.hidden, 16);
    assert_memory_equal(out->bytes + ES_REQUEST_HEADER_SIZE + 16, "pppppppp", 8);
    done_bench(&here);
}

static void a_sure_answer_leaves(void **state)
{
    (void)state;
    bench here;
    es_error err = {0};
    set_bench(&here, 1, 16, 8);
    assert_ok_err(es_stage_decide(&here.job, here.outputs, &err), err);
    assert_int_equal(here.job.out->header.type, ES_FRAME_ANSWER);
    assert_int_equal(here.job.out->request.destination, 3);
    assert_int_equal(here.job.out->request.stages_run, 2);
    assert_int_equal(here.job.out->request.link_bytes, 1000); /* what the task says */
    assert_int_equal(here.job.out->request.payload_bytes, 8);
    assert_memory_equal(here.job.out->bytes + ES_REQUEST_HEADER_SIZE, here.guess, 8);
    done_bench(&here);
}

static void an_unsure_one_goes_on_with_the_request(void **state)
{
    (void)state;
    bench here;
    es_error err = {0};
    set_bench(&here, 1, 16, 8);
    here.guess[0] = 0.1F;
    assert_ok_err(es_stage_decide(&here.job, here.outputs, &err), err);
    assert_int_equal(here.job.out->header.type, ES_FRAME_REQUEST);
    assert_int_equal(here.job.out->request.destination, 2);
    assert_int_equal(here.job.out->request.payload_bytes, 8);
    assert_int_equal(here.job.out->request.carried_bytes, 0);
    assert_memory_equal(here.job.out->bytes + ES_REQUEST_HEADER_SIZE, "cccccccc", 8);
    done_bench(&here);
    /* nobody carried it along: told, not read beyond the end */
    set_bench(&here, 1, 16, 0);
    here.guess[0] = 0.1F;
    assert_fails(es_stage_decide(&here.job, here.outputs, &err), ES_ERR_ARG, err,
                 "0 bytes for a stage that takes 8");
    done_bench(&here);
}

static void a_model_that_gives_too_much_is_told(void **state)
{
    (void)state;
    bench here;
    es_error err = {0};
    static float many[64];
    set_bench(&here, 2, 8, 0);
    int64_t dims[] = {1, 64};
    here.outputs[1] = es_tensor_make(ES_DTYPE_F32, dims, 2, many);
    here.job.out->capacity = ES_REQUEST_HEADER_SIZE + 24;
    assert_fails(es_stage_decide(&here.job, here.outputs, &err), ES_ERR_LIMIT, err,
                 "more than its shape says");
    here.job.out->capacity = 256;
    done_bench(&here);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(confidence_takes_logits_and_probabilities),
        cmocka_unit_test(only_warm_time_is_slowed_down),
        cmocka_unit_test(a_split_carries_what_a_later_stage_wants),
        cmocka_unit_test(a_sure_answer_leaves),
        cmocka_unit_test(an_unsure_one_goes_on_with_the_request),
        cmocka_unit_test(a_model_that_gives_too_much_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
