/* What there was to choose from: only what fits, what the plan uses is marked. */
#include "es_test.h"
#include "report/internal.h"

#include <string.h>

static const char world[] =
    "format: estran-scenario\nversion: 1\n"
    "nodes:\n"
    "  - {name: phone, tier: device, memory_mb: 1, macs_per_s: 1.0e6, idle_w: 1, busy_w: 2}\n"
    "  - {name: shed, tier: edge, memory_mb: 10, macs_per_s: 1.0e7, idle_w: 1, busy_w: 3}\n"
    "links: [{between: [phone, shed], latency_ms: 2}]\n"
    "tasks: [{name: look, input_bytes: 100, output_bytes: 4, quality_min: 0.9}]\n"
    "segments:\n"
    "  - {name: head, memory_mb: 0.5, work_macs: 1000, output_bytes: 50}\n"
    "  - {name: tail, memory_mb: 2, work_macs: 5000}\n"
    "  - {name: big, memory_mb: 5, work_macs: 6000}\n"
    "pipelines:\n"
    "  - {name: whole, task: look, quality: 0.96, stages: [{segment: big}]}\n"
    "  - {name: cut, task: look, quality: 0.95, stages: [{segment: head}, {segment: tail}]}\n"
    "demand: [{task: look, at: phone, rate_rps: 1}]\n";

static void only_what_fits_is_shown(void **state)
{
    (void)state;
    es_error err = {0};
    es_text out;
    const es_scenario *scenario = NULL;
    es_arena *arena = es_arena_new((size_t)4 << 20);
    assert_ok_err(es_scenario_parse(arena, "w", NULL, world, strlen(world), false, &scenario, &err),
                  err);
    es_routing routing = {.pipeline = {1}, .nodes = {{0}, {1}}, .share = 1};
    es_plan plan = {.routing_count = 1, .routings = &routing};
    es_report_case one = {.label = "plan", .plan = &plan};
    es_report report = {.scenario = scenario, .case_count = 1, .cases = &one};
    es_text_init(&out, (size_t)4 << 20);
    es_page_choice(&report, (es_task_id){0}, &out);
    const char *page = es_text_get(&out);
    assert_non_null(strstr(page, "whole on shed: "));
    assert_non_null(strstr(page, "cut on shed: "));
    assert_null(strstr(page, "whole on phone")); /* 5 MB into 1 MB */
    assert_null(strstr(page, "cut on phone: ")); /* nor its tail */
    assert_non_null(strstr(page, "cut on phone \xe2\x86\x92 shed: "));
    assert_non_null(strstr(page, ">cut: device \xe2\x86\x92 edge</text>"));
    assert_non_null(strstr(page, "phone \xe2\x86\x92 shed (in the plan)"));
    const char *marked = strstr(page, "(in the plan)");
    assert_null(strstr(marked + 1, "(in the plan)"));
    assert_non_null(strstr(page, "least: 90.0 %"));
    assert_non_null(strstr(page, "energy above idle"));
    es_text_done(&out);
    es_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(only_what_fits_is_shown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
