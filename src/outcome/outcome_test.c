#include "base/file.h"
#include "es_world.h"
#include "outcome/outcome.h"

static es_sample served(uint32_t slot, uint32_t class, double latency_s)
{
    return (es_sample){.slot = slot,
                       .class_id = {class},
                       .fate = ES_FATE_SERVED,
                       .weight = 1,
                       .latency_s = latency_s,
                       .pipeline = {ES_WORLD_P_TINY},
                       .stages_run = 1,
                       .quality = 0.7,
                       .energy_compute_j = 0.04,
                       .energy_network_j = 0.008,
                       .carbon_g = 0.001};
}

static es_sample lost(uint32_t slot, uint32_t class, es_fate fate)
{
    return (es_sample){.slot = slot, .class_id = {class}, .fate = fate, .weight = 1};
}

static es_outcome_recorder *recorder_of(es_world *world)
{
    es_error err = {0};
    es_outcome_recorder *recorder = NULL;
    assert_ok_err(es_outcome_recorder_new(world->arena, &world->scenario, &world->plan, "plan",
                                          "simulate", 42, &recorder, &err),
                  err);
    return recorder;
}

static void add(es_outcome_recorder *recorder, es_sample sample)
{
    es_error err = {0};
    assert_ok_err(es_outcome_add(recorder, &sample, &err), err);
}

static const es_outcome *seal(es_outcome_recorder *recorder)
{
    es_error err = {0};
    const es_outcome *outcome = NULL;
    assert_ok_err(es_outcome_seal(recorder, &outcome, &err), err);
    return outcome;
}

/* Some of everything. */
static const es_outcome *busy_outcome(es_world *world)
{
    es_error err = {0};
    es_outcome_recorder *recorder = recorder_of(world);
    es_rng rng = es_rng_make(es_test_seed(3), 0);
    for (uint32_t i = 0; i < 500; i++) {
        es_sample sample = served(i % 11, i % 2, 0.02 + es_rng_exponential(&rng, 30) / (1 + i % 3));
        sample.weight = i % 5 == 0 ? 0.37 : 1;
        add(recorder, sample);
    }
    add(recorder, lost(3, 0, ES_FATE_FAILED));
    add(recorder, lost(3, 1, ES_FATE_REFUSED));
    add(recorder, lost(4, 1, ES_FATE_IN_FLIGHT));
    for (uint32_t s = 0; s < 11; s++) {
        es_node_use use = {.slot = s,
                           .node = {s % 3},
                           .busy_s = 1.0 / (1 + s),
                           .duration_s = 10,
                           .idle_j = 10,
                           .dynamic_j = 0.3,
                           .measured_j = s == 5 ? 0.4 : 0,
                           .measured_source = s == 5 ? "rapl+nvml" : NULL,
                           .model_bytes_loaded = s == 0 ? 1e6 : 0,
                           .died = s == 5};
        assert_ok_err(es_outcome_add_node(recorder, &use, &err), err);
    }
    return seal(recorder);
}

static void rows_add_up(void **state)
{
    (void)state;
    es_world world;
    es_world_init(&world);
    world.scenario.objective.refusal_cost = 5;
    world.scenario.objective.idle_per_j = 0.5;
    world.segments[ES_WORLD_TINY].hosting_per_s = 0.25;
    es_world_route(&world, 0, ES_WORLD_P_TINY, ES_WORLD_PHONE, 0, 1);
    es_world_seal(&world);
    es_outcome_recorder *recorder = recorder_of(&world);
    add(recorder, served(0, 0, 0.010));
    add(recorder, served(0, 0, 0.030));
    add(recorder, served(1, 0, 0.050));
    add(recorder, served(1, 1, 0.200));
    add(recorder, lost(1, 1, ES_FATE_REFUSED));
    const es_outcome *outcome = seal(recorder);
    assert_string_equal(outcome->class_names[1], "detect at edge box");
    assert_near(outcome->total.arrived, 5, 0);
    assert_near(outcome->total.served, 4, 0);
    assert_near(outcome->total.refused, 1, 0);
    assert_near(outcome->total.late, 1, 0);
    assert_near(outcome->total.latency_s_mean, 0.0725, 1e-12);
    assert_near(outcome->total.latency_s_max, 0.2, 0);
    assert_near(outcome->total.quality_mean, 0.7, 1e-12);
    assert_near(outcome->total.energy_compute_j, 0.16, 1e-12);
    assert_near(outcome->rows[0].latency_s_mean, 0.020, 1e-12);
    assert_near(outcome->slot_rows[1].latency_s_mean, 0.125, 1e-12);
    assert_true(isnan(outcome->rows[2].latency_s_mean + outcome->slot_rows[2].latency_s_mean));
    /* class 0: slot means 0.020 and 0.050; half width 12.7062 * 0.0212132 / sqrt 2 */
    assert_near(outcome->class_rows[0].latency_s_mean_ci95, 0.190593, 1e-5);
    assert_true(isnan(outcome->class_rows[1].latency_s_mean_ci95));
    assert_near(outcome->pipeline_served[ES_WORLD_P_TINY], 4, 0);
    double cost = 4 * (0.0725 + 0.3) + 0.1 * 4 * 0.048 + 5;
    assert_near(outcome->objective_per_s, cost / 120 + 0.25 + 0.5 * 1, 1e-9);
    es_world_done(&world);
}

/* A run cut short has the same cost per second, not less. */
static void cut_short_costs_no_less(void **state)
{
    (void)state;
    double per_s[2];
    for (int i = 0; i < 2; i++) {
        es_world world;
        es_world_init(&world);
        es_world_seal(&world);
        es_outcome_recorder *recorder = recorder_of(&world);
        add(recorder, served(0, 0, 0.010));
        if (i == 1)
            es_outcome_observed(recorder, 30);
        per_s[i] = seal(recorder)->objective_per_s;
        es_world_done(&world);
    }
    assert_true(per_s[0] > 0);
    assert_near(per_s[1], per_s[0] * 120 / 30, 1e-9);
}

static void unpriced_refusals_have_no_objective(void **state)
{
    (void)state;
    es_world world;
    es_world_init(&world);
    es_world_seal(&world);
    es_outcome_recorder *recorder = recorder_of(&world);
    add(recorder, lost(0, 0, ES_FATE_FAILED));
    assert_true(isnan(seal(recorder)->objective_per_s));
    es_world_done(&world);
}

static void idle_has_its_own_carbon(void **state)
{
    (void)state;
    es_error err = {0};
    es_world world;
    es_world_init(&world);
    es_world_seal(&world);
    es_outcome_recorder *recorder = recorder_of(&world);
    es_node_use use = {.slot = 1, .node = {2}, .duration_s = 10, .idle_j = 3.6e6};
    assert_ok_err(es_outcome_add_node(recorder, &use, &err), err);
    assert_ok_err(es_outcome_add_node(recorder, &use, &err), err);
    const es_outcome *outcome = seal(recorder);
    assert_near(outcome->energy_idle_j, 7.2e6, 1e-6);
    assert_near(outcome->carbon_idle_g, 600, 1e-9);
    assert_near(outcome->node_uses[1 * 3 + 2].duration_s, 20, 0);
    /* The mean of a series, where a plan takes it. */
    static const double means[ES_WORLD_NODES] = {100, 200, 50};
    world.scenario.carbon_gco2e_per_kwh = means;
    recorder = recorder_of(&world);
    assert_ok_err(es_outcome_add_node(recorder, &use, &err), err);
    assert_near(seal(recorder)->carbon_idle_g, 50, 1e-9);
    es_world_done(&world);
}

static void lost_requests_are_noticed(void **state)
{
    (void)state;
    es_error err = {0};
    const es_outcome *outcome = NULL;
    es_world world;
    es_world_init(&world);
    es_world_seal(&world);
    es_outcome_recorder *recorder = recorder_of(&world);
    assert_ok_err(es_outcome_arrive(recorder, 3, (es_class_id){1}, 2, &err), err);
    add(recorder, served(3, 1, 0.01));
    assert_fails(es_outcome_seal(recorder, &outcome, &err), ES_ERR_INTERNAL, err,
                 "slot 3, class 'detect at edge box': arrived 2, but served 1");
    assert_null(outcome);
    add(recorder, lost(3, 1, ES_FATE_FAILED));
    assert_ok_err(es_outcome_seal(recorder, &outcome, &err), err);
    es_sample late = served(3, 1, 0.01);
    assert_fails(es_outcome_add(recorder, &late, &err), ES_ERR_ARG, err, "sealed");
    /* a request that finished but never came */
    recorder = recorder_of(&world);
    assert_ok_err(es_outcome_arrive(recorder, 0, (es_class_id){0}, 1, &err), err);
    add(recorder, served(0, 0, 0.01));
    add(recorder, served(0, 1, 0.01));
    assert_fails(es_outcome_seal(recorder, &outcome, &err), ES_ERR_INTERNAL, err, "arrived 0");
    es_world_done(&world);
}

/* Closing slots on the way changes memory, not the document. */
static void closed_slots_give_the_same(void **state)
{
    (void)state;
    es_text texts[2];
    size_t used_bytes[2];
    for (int round = 0; round < 2; round++) {
        es_error err = {0};
        es_world world;
        es_world_init(&world);
        es_world_seal(&world);
        es_outcome_recorder *recorder = recorder_of(&world);
        es_rng rng = es_rng_make(es_test_seed(9), 0);
        for (uint32_t s = 0; s < 12; s++) {
            for (int i = 0; i < 100; i++)
                add(recorder, served(s, (uint32_t)(i % 2), es_rng_exponential(&rng, 10)));
            if (round == 1)
                assert_ok_err(es_outcome_close_slot(recorder, s, &err), err);
        }
        if (round == 1) {
            es_sample late = served(11, 0, 1);
            assert_fails(es_outcome_add(recorder, &late, &err), ES_ERR_ARG, err, "closed");
            assert_fails(es_outcome_close_slot(recorder, 3, &err), ES_ERR_ARG, err, "slot=3");
        }
        es_text_init(&texts[round], 16 << 20);
        es_outcome_write(seal(recorder), &texts[round]);
        used_bytes[round] = es_arena_used_bytes(world.arena);
        es_world_done(&world);
    }
    assert_string_equal(es_text_get(&texts[0]), es_text_get(&texts[1]));
    assert_true(used_bytes[1] < used_bytes[0] / 2);
    es_text_done(&texts[0]);
    es_text_done(&texts[1]);
}

static void bad_samples_are_refused(void **state)
{
    (void)state;
    es_error err = {0};
    es_world world;
    es_world_init(&world);
    es_world_seal(&world);
    es_outcome_recorder *recorder = recorder_of(&world);
    es_sample sample = served(12, 0, 0.01);
    assert_fails(es_outcome_add(recorder, &sample, &err), ES_ERR_ARG, err, "slot=12 must be < 12");
    sample = served(0, 2, 0.01);
    assert_fails(es_outcome_add(recorder, &sample, &err), ES_ERR_ARG, err, "class=2 must be < 2");
    sample = served(0, 0, (double)NAN);
    assert_fails(es_outcome_add(recorder, &sample, &err), ES_ERR_ARG, err, "latency_s=");
    sample = served(0, 0, 1);
    sample.weight = 0;
    assert_fails(es_outcome_add(recorder, &sample, &err), ES_ERR_ARG, err, "weight=0");
    sample = served(0, 0, 1);
    sample.quality = 1.5;
    assert_fails(es_outcome_add(recorder, &sample, &err), ES_ERR_ARG, err, "quality=1.5");
    sample = served(0, 0, 1);
    sample.pipeline.index = 9;
    assert_fails(es_outcome_add(recorder, &sample, &err), ES_ERR_ARG, err, "pipeline=9");
    es_node_use use = {.node = {7}};
    assert_fails(es_outcome_add_node(recorder, &use, &err), ES_ERR_ARG, err, "node=7");
    use = (es_node_use){.busy_s = -1};
    assert_fails(es_outcome_add_node(recorder, &use, &err), ES_ERR_ARG, err, "busy_s=-1");
    assert_near(seal(recorder)->total.arrived, 0, 0);
    es_world_done(&world);
}

/* ---- the document ---- */

static void text_of(const es_outcome *outcome, es_text *text)
{
    es_error err = {0};
    es_text_init(text, 64 << 20);
    es_outcome_write(outcome, text);
    assert_ok_err(es_text_status(text, &err), err);
}

static void written_loaded_written_is_the_same(void **state)
{
    (void)state;
    es_error err = {0};
    es_world world;
    es_world_init(&world);
    world.scenario.objective.refusal_cost = 1;
    es_world_seal(&world);
    const es_outcome *outcome = busy_outcome(&world);
    es_text first;
    es_text second;
    text_of(outcome, &first);
    const es_outcome *loaded = NULL;
    const char *path = ES_TEST_BINARY_DIR "/outcome_test.jsonl";
    assert_ok_err(es_file_write(path, first.bytes, first.size, &err), err);
    assert_ok_err(es_outcome_load(world.arena, path, &loaded, &err), err);
    (void)unlink(path);
    text_of(loaded, &second);
    assert_string_equal(es_text_get(&first), es_text_get(&second));
    assert_near(es_histogram_quantile(loaded->histogram, 0.95),
                es_histogram_quantile(outcome->histogram, 0.95), 0);
    assert_near(es_histogram_quantile(loaded->class_histograms[1], 0.5),
                outcome->class_rows[1].latency_s_p50, 0);
    assert_true(isnan(loaded->slot_rows[11].latency_s_mean));
    assert_true(loaded->node_uses[5 * 3 + 2].died);
    assert_string_equal(loaded->node_uses[5 * 3 + 2].measured_source, "rapl+nvml");
    assert_near(loaded->node_uses[5 * 3 + 2].measured_j, 0.4, 0);
    assert_null(loaded->node_uses[6 * 3].measured_source);
    assert_int_equal(loaded->seed, 42);
    es_text_done(&first);
    es_text_done(&second);
    es_world_done(&world);
}

static void empty_outcome_and_huge_seed_survive(void **state)
{
    (void)state;
    es_error err = {0};
    es_world world;
    es_world_init(&world);
    es_world_seal(&world);
    es_outcome_recorder *recorder = NULL;
    assert_ok_err(es_outcome_recorder_new(world.arena, &world.scenario, &world.plan, "<\"é\n",
                                          "run", UINT64_MAX, &recorder, &err),
                  err);
    es_text first;
    es_text second;
    text_of(seal(recorder), &first);
    const es_outcome *loaded = NULL;
    assert_ok_err(es_outcome_parse(world.arena, "x", first.bytes, first.size, &loaded, &err), err);
    assert_true(loaded->seed == UINT64_MAX);
    assert_string_equal(loaded->label, "<\"é\n");
    text_of(loaded, &second);
    assert_string_equal(es_text_get(&first), es_text_get(&second));
    es_text_done(&first);
    es_text_done(&second);
    es_world_done(&world);
}

#define HEADER                                                                                     \
    "{\"format\":\"estran-outcome\",\"version\":1,\"scenario\":\"s\",\"label\":\"l\","             \
    "\"source\":\"run\",\"seed\":1,\"slot_s\":1,\"slot_count\":2,\"classes\":[\"c\"],"             \
    "\"nodes\":[\"v\"],\"pipelines\":[\"p\"]}\n"
#define ROW(arrived, served)                                                                       \
    "\"arrived\":" arrived ",\"served\":" served ",\"refused\":0,\"failed\":0,\"in_flight\":0,"    \
    "\"late\":0,\"quality_mean\":null,\"latency_s_mean\":null,\"latency_s_mean_ci95\":null,"       \
    "\"latency_s_p50\":null,\"latency_s_p90\":null,\"latency_s_p95\":null,"                        \
    "\"latency_s_p99\":null,\"latency_s_max\":null,\"energy_compute_j\":0,"                        \
    "\"energy_network_j\":0,\"carbon_g\":0"
#define SLOT(slot, arrived, served)                                                                \
    "{\"what\":\"slot\",\"slot\":" slot "," ROW(arrived, served) "}\n"
#define TOTAL                                                                                      \
    "{\"what\":\"total\"," ROW(                                                                    \
        "0", "0") ",\"energy_idle_j\":0,\"energy_total_j\":0,"                                     \
                  "\"carbon_idle_g\":0,\"objective_per_s\":0,\"pipeline_served\":[0]}\n"

static void bad_files_are_told_by_line(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *words;
    } cases[] = {
        {"", "f:1: the file ends before its total line"},
        {HEADER, "f:2: the file ends before its total line"},
        {HEADER SLOT("0", "1", "1"), "f:3: the file ends"},
        {HEADER "{\"what\":\"slot\",\"slo", "f:2: the line does not end"},
        {HEADER "{\"what\":\"slot\",\"slo\n", "f:2:"},
        {HEADER "\n", "f:2:"},
        {HEADER "[]\n", "f:2:"},
        {"{}\n", "f:1:"},
        {"{\"format\":\"estran-plan\",\"version\":1}\n", "f:1:"},
        {HEADER "{\"what\":\"slots\"}\n", "f:2:"},
        {HEADER SLOT("0", "1", "1") SLOT("2", "1", "1"), "slot: must be < 2"},
        {HEADER SLOT("0", "1", "1") SLOT("0", "1", "1"), "f:3:1: a line of this slot came before"},
        {HEADER SLOT("0", "2", "1"), "f:2:1: arrived=2 must be served=1"},
        {HEADER SLOT("0", "\"2\"", "1"), "f:2:"},
        {HEADER SLOT("0", "-1", "1"), "f:2:"},
        {HEADER SLOT("0", "null", "1"), "f:2:"},
        {HEADER "{\"what\":\"slot\",\"slot\":0,\"arived\":1}\n", "arived"},
        {HEADER "{\"what\":\"slot\",\"slot\":0}\n", "missing key 'arrived'"},
        {HEADER TOTAL SLOT("0", "1", "1"), "f:3:1: nothing may follow the total"},
        {HEADER "{\"what\":\"class\",\"class\":0," ROW(
             "0", "0") ",\"histogram\":{\"weight\":1,\"sum_s\":1,\"min_s\":1,\"max_s\":1,"
                       "\"buckets\":[3,3],\"weights\":[1,1]}}\n",
         "f:2:"},
        {HEADER "{\"what\":\"class\",\"class\":0," ROW(
             "0", "0") ",\"histogram\":{\"weight\":1,\"sum_s\":1,\"min_s\":1,\"max_s\":1,"
                       "\"buckets\":[3],\"weights\":[1,1]}}\n",
         "has 2 numbers but there are 1 buckets"},
        {HEADER "{\"what\":\"class\",\"class\":0," ROW(
             "0", "0") ",\"histogram\":{\"weight\":3,\"sum_s\":1,\"min_s\":1,\"max_s\":1,"
                       "\"buckets\":[3,9],\"weights\":[1,1]}}\n",
         "add up to 2 but weight is 3"},
    };
    es_arena *arena = es_arena_new(16 << 20);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        es_error err = {0};
        const es_outcome *outcome = NULL;
        assert_fails(
            es_outcome_parse(arena, "f", cases[i].bytes, strlen(cases[i].bytes), &outcome, &err),
            ES_ERR_PARSE, err, cases[i].words);
        assert_int_equal(strncmp(es_error_text(&err), "f:", 2), 0);
        assert_null(outcome);
    }
    es_error err = {0};
    const es_outcome *outcome = NULL;
    static const char good[] = HEADER SLOT("1", "1", "1") TOTAL;
    assert_ok_err(es_outcome_parse(arena, "f", good, strlen(good), &outcome, &err), err);
    static const char huge[] =
        "{\"format\":\"estran-outcome\",\"version\":1,\"scenario\":\"s\",\"label\":\"l\","
        "\"source\":\"run\",\"seed\":1,\"slot_s\":1,\"slot_count\":90000000,\"classes\":[\"c\"],"
        "\"nodes\":[\"v\"],\"pipelines\":[\"p\"]}\n";
    assert_fails(es_outcome_parse(arena, "f", huge, strlen(huge), &outcome, &err), ES_ERR_NOMEM,
                 err, "f:1:");
    assert_fails(es_outcome_load(arena, "/nonexistent/o.jsonl", &outcome, &err), ES_ERR_IO, err,
                 "/nonexistent/o.jsonl");
    es_arena_free(arena);
}

/* Every prefix of a good file is an error, never a crash or a half outcome. */
static void every_truncation_is_refused(void **state)
{
    (void)state;
    es_world world;
    es_world_init(&world);
    es_world_seal(&world);
    es_text text;
    text_of(busy_outcome(&world), &text);
    for (size_t size = 0; size < text.size; size += 97) {
        es_error err = {0};
        es_arena *arena = es_arena_new(16 << 20);
        const es_outcome *outcome = NULL;
        assert_int_equal(es_outcome_parse(arena, "f", text.bytes, size, &outcome, &err),
                         ES_ERR_PARSE);
        es_arena_free(arena);
    }
    es_text_done(&text);
    es_world_done(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_add_up),
        cmocka_unit_test(cut_short_costs_no_less),
        cmocka_unit_test(unpriced_refusals_have_no_objective),
        cmocka_unit_test(idle_has_its_own_carbon),
        cmocka_unit_test(lost_requests_are_noticed),
        cmocka_unit_test(closed_slots_give_the_same),
        cmocka_unit_test(bad_samples_are_refused),
        cmocka_unit_test(written_loaded_written_is_the_same),
        cmocka_unit_test(empty_outcome_and_huge_seed_survive),
        cmocka_unit_test(bad_files_are_told_by_line),
        cmocka_unit_test(every_truncation_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
