/* The page of variants: every one is there, the summary names the best, unknown figures are dashes.
 */
#include "es_test.h"
#include "report/report.h"

#include <math.h>
#include <string.h>

enum { COUNT = 4 };

typedef struct fixture {
    es_variant variants[COUNT];
    es_variant_measure measures[COUNT];
    es_variants_told told;
    es_text page;
} fixture;

static es_variant_measure measure(double quality, uint64_t bytes, double ms, double speed)
{
    return (es_variant_measure){.file_bytes = bytes,
                                .macs = 1000000,
                                .test_count = 500,
                                .labelled = true,
                                .quality = {quality, quality - 0.01, quality + 0.01},
                                .agreement = 0.97,
                                .latency = {.ms_p50 = ms},
                                .speed = {speed, speed, speed},
                                .energy_note = "not asked for",
                                .offered = true,
                                .node = "a machine"};
}

static void make(fixture *f, const char *name)
{
    *f =
        (fixture){.variants = {{.name = name, .recipe = "", .stage_count = 1},
                               {.name = "m-int8", .recipe = "quantise:form=int8", .stage_count = 1},
                               {.name = "m-pruned", .recipe = "prune:macs=0.5", .stage_count = 1},
                               {.name = "m-exits",
                                .recipe = "exits:count=1",
                                .stage_count = 2,
                                .pipeline_count = 2,
                                .pipelines = {{.suffix = "-1pt"}, {.suffix = "-2pt"}}}},
                  .measures = {measure(0.9, 100000, 2, 1), measure(0.899, 30000, 1, 2),
                               measure(0.85, 20000, 0.5, 4), measure(0.89, 120000, 0, 1)}};
    f->measures[1].offered = false;
    f->measures[1].why_not = "not faster here";
    for (size_t p = 0; p < 2; p++)
        f->measures[3].pipelines[p] = (es_pipeline_measure){
            .quality = {0.897 - 0.01 * (double)p, 0.88, 0.9},
            .agreement = 0.98,
            .macs = 5e5,
            .latency_ms = 1.25,
            .energy_j = (double)NAN,
            .speed = {1.6, 1.5, 1.7},
        };
    f->told = (es_variants_told){.variants = f->variants,
                                 .measures = f->measures,
                                 .count = COUNT,
                                 .task = "t",
                                 .kind = "host",
                                 .data = "/a/b/test.npy"};
    es_text_init(&f->page, (size_t)4 << 20);
}

static const char *draw(fixture *f)
{
    es_text_clear(&f->page);
    es_report_variants_html(&f->told, "estran 0", &f->page);
    assert_int_equal(es_text_status(&f->page, NULL), ES_OK);
    return es_text_get(&f->page);
}

static size_t count_of(const char *text, const char *words)
{
    size_t count = 0;
    for (; (text = strstr(text, words)) != NULL; text += strlen(words))
        count++;
    return count;
}

static void every_variant_is_told(void **state)
{
    (void)state;
    fixture f;
    make(&f, "m");
    const char *page = draw(&f);
    static const char *const words[] = {"<h1>m</h1>",
                                        "a machine; samples of test.npy",
                                        "<th>m-int8</th>",
                                        "<th>m-exits-1pt</th>",
                                        "<th>m-exits-2pt</th>",
                                        "no: not faster here",
                                        "quantise:form=int8",
                                        "Not known: not asked for",
                                        "<td class=\"n\">90.00<small>89.00 to 91.00</small></td>",
                                        "one request, ms (logarithmic)",
                                        "models, kB (logarithmic)"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strstr(page, words[i]) == NULL)
            fail_msg("'%s' is missing", words[i]);
    }
    assert_int_equal(count_of(page, "<svg viewBox=\"0 0 460"), 2); /* no joules, no third plane */
    assert_int_equal(count_of(page, "class=\"spot s0\""), 2 * 4);
    assert_int_equal(count_of(page, "class=\"spot s0 pale\""), 2 * 1);
    assert_int_equal(count_of(page, "class=\"range\""), 2 * 5);
    es_text_done(&f.page);
}

static void stages_tell_who_comes_and_leaves(void **state)
{
    (void)state;
    fixture f;
    make(&f, "m");
    es_variant *v = &f.variants[3];
    es_variant_measure *m = &f.measures[3];
    v->stages[0].exit = true;
    v->pipelines[0].thresholds[0] = 0.875;
    v->pipelines[1].thresholds[0] = 2; /* nobody leaves */
    m->stages[0] = (es_stage_measure){.file_bytes = 20000,
                                      .macs = 250000,
                                      .forward_bytes = 98,
                                      .accuracy = 0.8125,
                                      .latency = {.ms_p50 = 0.5}};
    m->stages[1] = (es_stage_measure){.file_bytes = 100000, .macs = -1, .accuracy = 0.9};
    m->pipelines[0].reach[0] = m->pipelines[1].reach[0] = m->pipelines[1].reach[1] = 1;
    m->pipelines[0].reach[1] = 0.25;
    const char *page = draw(&f);
    static const char *const words[] = {
        "<h2>Stages</h2>", "<h3>m-exits</h3>", "1pt, % come</th>",
        "<tr><th>1</th><td class=\"n\">81.2</td><td class=\"n\">0.250</td>"
        "<td class=\"n\">0.500</td><td class=\"n\">20.0</td><td class=\"n\">98</td>"
        "<td class=\"n\">100<small>leave from 87.5 %</small></td>"
        "<td class=\"n\">100<small>all go on</small></td></tr>",
        "<td class=\"n\">25.0</td><td class=\"n\">100</td></tr>"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strstr(page, words[i]) == NULL)
            fail_msg("'%s' is missing in %s", words[i], strstr(page, "<h2>Stages"));
    v->stage_count = 1;
    assert_null(strstr(draw(&f), "<h2>Stages</h2>"));
    es_text_done(&f.page);
}

static void the_summary_names_the_best(void **state)
{
    (void)state;
    fixture f;
    make(&f, "m");
    /* the quicker ones lose too much or are not offered */
    assert_non_null(strstr(draw(&f), "90.00 %: <b>m-exits-1pt</b> is the fastest, 1.60 times as "
                                     "fast.</p>"));
    f.measures[1].offered = true;
    assert_non_null(strstr(draw(&f), "<b>m-int8</b> is the fastest, 2.00 times as fast, and the "
                                     "smallest, with 30.0 % of the bytes.</p>"));
    f.measures[2].quality.value = 0.896;
    f.measures[2].file_bytes = 50000;
    assert_non_null(strstr(draw(&f),
                           "<b>m-pruned</b> is the fastest, 4.00 times as fast; "
                           "<b>m-int8</b> is the smallest, with 30.0 % of the bytes.</p>"));
    for (size_t i = 1; i < COUNT; i++)
        f.measures[i].offered = false;
    assert_non_null(strstr(draw(&f), "No variant within half a point"));
    es_text_done(&f.page);
}

static void without_labels_and_with_joules(void **state)
{
    (void)state;
    fixture f;
    make(&f, "<script>&");
    for (size_t i = 0; i < COUNT; i++)
        f.measures[i].labelled = false;
    f.measures[0].energy = (es_profile_energy){
        .known = true, .energy_j = 1e-4, .source = "rapl", .boundary = "processor packages"};
    const char *page = draw(&f);
    assert_null(strstr(page, "<script>"));
    assert_null(strstr(page, "nan"));
    assert_null(strstr(page, "Within half a point"));
    assert_non_null(strstr(page, "class as the original"));
    assert_non_null(strstr(page, "energy of one request"));
    assert_non_null(strstr(page, "by rapl: processor packages."));
    es_text_done(&f.page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_variant_is_told),
        cmocka_unit_test(stages_tell_who_comes_and_leaves),
        cmocka_unit_test(the_summary_names_the_best),
        cmocka_unit_test(without_labels_and_with_joules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
