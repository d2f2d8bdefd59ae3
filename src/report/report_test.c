#include "es_world.h"
#include "report/report.h"

#include <ctype.h>

/* ---- a small checker of well-formed XML: tags balance, attributes are quoted, text is escaped
 * ---- */

enum { DEPTH_MAX = 64, NAME_MAX_SIZE = 32 };

static size_t name_size(const char *at)
{
    size_t size = 0;
    while (isalnum((unsigned char)at[size]) || at[size] == '-' || at[size] == ':')
        size++;
    return size;
}

static const char *check_entity(const char *at)
{
    static const char *const known[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strncmp(at, known[i], strlen(known[i])) == 0)
            return at + strlen(known[i]);
    }
    fail_msg("stray & at: %.40s", at);
    return at + 1;
}

/* From behind the tag's name to behind its end; *out_empty tells <br/>. */
static const char *check_attributes(const char *at, bool *out_empty)
{
    *out_empty = false;
    for (;;) {
        while (isspace((unsigned char)*at))
            at++;
        if (at[0] == '/' && at[1] == '>') {
            *out_empty = true;
            return at + 2;
        }
        if (*at == '>')
            return at + 1;
        size_t size = name_size(at);
        if (size == 0 || at[size] != '=' || at[size + 1] != '"')
            fail_msg("bad attribute at: %.40s", at);
        at += size + 2;
        while (*at != '"') {
            if (*at == '<' || *at == '\0')
                fail_msg("bad value at: %.40s", at);
            at = *at == '&' ? check_entity(at) : at + 1;
        }
        at++;
    }
}

static void check_xml(const char *page)
{
    char open[DEPTH_MAX][NAME_MAX_SIZE];
    size_t depth = 0;
    const char *at = page;
    if (strncmp(at, "<!DOCTYPE html>", 15) == 0)
        at += 15;
    while (*at != '\0') {
        if ((unsigned char)*at < 0x20 && *at != '\n')
            fail_msg("control character %d", *at);
        if (*at == '&') {
            at = check_entity(at);
        } else if (at[0] == '<' && at[1] == '/') {
            size_t size = name_size(at + 2);
            assert_true(depth > 0);
            depth--;
            if (strlen(open[depth]) != size || strncmp(open[depth], at + 2, size) != 0)
                fail_msg("'%s' is closed by: %.20s", open[depth], at);
            at += 2 + size + 1;
        } else if (*at == '<') {
            size_t size = name_size(at + 1);
            bool empty;
            assert_true(size > 0 && size < NAME_MAX_SIZE && depth < DEPTH_MAX);
            (void)snprintf(open[depth], NAME_MAX_SIZE, "%.*s", (int)size, at + 1);
            at = check_attributes(at + 1 + size, &empty);
            depth += !empty;
        } else {
            if (depth == 0 && !isspace((unsigned char)*at))
                fail_msg("text outside: %.40s", at);
            at++;
        }
    }
    assert_int_equal(depth, 0);
}

/* ---- reports to check ---- */

typedef struct es_fixture {
    es_world world;
    es_report_case cases[3];
    es_report report;
    es_text text;
} es_fixture;

static const es_outcome *outcome_of(es_world *world, const char *source, double latency_s)
{
    es_error err = {0};
    es_outcome_recorder *recorder = NULL;
    const es_outcome *outcome = NULL;
    assert_ok_err(es_outcome_recorder_new(world->arena, &world->scenario, &world->plan, "plan",
                                          source, 1, &recorder, &err),
                  err);
    for (uint32_t i = 0; i < 240; i++) {
        es_sample sample = {.slot = i % 12,
                            .class_id = {i % 2},
                            .fate = i == 7 ? ES_FATE_FAILED : ES_FATE_SERVED,
                            .weight = 1,
                            .latency_s = latency_s * (1 + i % 10),
                            .quality = 0.8,
                            .energy_compute_j = 0.5,
                            .energy_network_j = 0.125,
                            .carbon_g = 1e-4};
        assert_ok_err(es_outcome_add(recorder, &sample, &err), err);
    }
    for (uint32_t s = 0; s < 12; s++) {
        bool counted = strcmp(source, "run") == 0 && s >= 3;
        es_node_use use = {.slot = s,
                           .busy_s = 2.5,
                           .duration_s = 10,
                           .idle_j = 10,
                           .dynamic_j = 4,
                           .measured_j = counted ? 5 : 0,
                           .measured_source = counted ? "rapl" : NULL};
        assert_ok_err(es_outcome_add_node(recorder, &use, &err), err);
    }
    assert_ok_err(es_outcome_seal(recorder, &outcome, &err), err);
    return outcome;
}

/* name stands for everything that a file may name. */
static void fixture_init(es_fixture *fixture, const char *name)
{
    es_world *world = &fixture->world;
    es_world_init(world);
    if (name != NULL) {
        world->scenario.name = world->scenario.description = name;
        world->task.name = name;
        world->nodes[1].name = name;
        for (int s = 0; s < ES_WORLD_SEGMENTS; s++)
            world->segments[s].name = world->segments[s].variant = name;
        for (int p = 0; p < ES_WORLD_PIPELINES; p++)
            world->pipelines[p].name = name;
    }
    es_world_route(world, 0, ES_WORLD_P_CASCADE, ES_WORLD_PHONE, ES_WORLD_EDGE, 0.75);
    es_world_route(world, 0, ES_WORLD_P_LARGE, ES_WORLD_CLOUD, 0, 0.25);
    es_world_route(world, 1, ES_WORLD_P_SPLIT, ES_WORLD_EDGE, ES_WORLD_CLOUD, 1);
    es_world_seal(world);
    fixture->cases[0] = (es_report_case){.label = name != NULL ? name : "plan",
                                         .plan = &world->plan,
                                         .predicted = outcome_of(world, "simulate", 0.010),
                                         .measured = outcome_of(world, "run", 0.011)};
    fixture->cases[1] =
        (es_report_case){.label = "device only", .predicted = outcome_of(world, "simulate", 0.025)};
    fixture->cases[2] = (es_report_case){.label = "cloud only",
                                         .note = name != NULL ? name : "no feasible plan: too far"};
    fixture->report = (es_report){.title = name,
                                  .scenario = &world->scenario,
                                  .case_count = 3,
                                  .cases = fixture->cases,
                                  .made_by = name != NULL ? name : "estran 0.1.0",
                                  .machine = name};
    es_text_init(&fixture->text, (size_t)16 << 20);
}

static void fixture_done(es_fixture *fixture)
{
    es_text_done(&fixture->text);
    es_world_done(&fixture->world);
}

static const char *html(es_fixture *fixture)
{
    es_error err = {0};
    es_text_clear(&fixture->text);
    es_report_html(&fixture->report, &fixture->text);
    assert_ok_err(es_text_status(&fixture->text, &err), err);
    return es_text_get(&fixture->text);
}

static const char *text(es_fixture *fixture, size_t width, bool color)
{
    es_text_clear(&fixture->text);
    es_report_text(&fixture->report, width, color, &fixture->text);
    return es_text_get(&fixture->text);
}

static void assert_has(const char *page, const char *words)
{
    if (strstr(page, words) == NULL)
        fail_msg("'%s' is missing", words);
}

static void assert_has_not(const char *page, const char *words)
{
    const char *found = strstr(page, words);
    if (found != NULL)
        fail_msg("'%s' is there: %.60s", words, found);
}

/* Columns of the longest line; every byte that does not continue a character counts. */
static size_t widest(const char *lines)
{
    size_t most = 0;
    size_t here = 0;
    for (; *lines != '\0'; lines++) {
        here = *lines == '\n' ? 0 : here + (((unsigned char)*lines & 0xC0) != 0x80);
        most = here > most ? here : most;
    }
    return most;
}

/* ---- the page ---- */

static void page_has_every_part(void **state)
{
    (void)state;
    es_fixture fixture;
    fixture_init(&fixture, NULL);
    const char *page = html(&fixture);
    check_xml(page);
    static const char *const parts[] = {"<title>world</title>",
                                        "device only",
                                        "cloud only",
                                        "no feasible plan: too far",
                                        "detect at phone",
                                        "detect at edge box",
                                        "large-head",
                                        "Comparison",
                                        "Energy by node",
                                        "Distribution of",
                                        "over time",
                                        "Load of nodes",
                                        "What runs where",
                                        "What there was",
                                        "in the plan",
                                        "class=\"front\"",
                                        "cascade: device \xe2\x86\x92 edge",
                                        "Placements",
                                        "Routing",
                                        "How to read",
                                        "not a meter",
                                        "Computed, not run",
                                        "estran 0.1.0",
                                        "prefers-color-scheme:dark",
                                        "@media print",
                                        "tabular-nums",
                                        "cascade: phone \xe2\x86\x92 edge box",
                                        "viewport",
                                        "max-width:760px",
                                        "\xe2\x80\x93"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        assert_has(page, parts[i]);
    /* mean of 10..100 ms over 239 of 240 requests (the 80 ms one failed), and 10 % more */
    assert_has(page, ">54.9</td>");
    assert_has(page, ">60.4</td>");
    assert_has(page, ">+10 %</td>");
    fixture_done(&fixture);
}

static void page_asks_for_nothing(void **state)
{
    (void)state;
    static const char *const outside[] = {"http",  "//",   "url(", "@import", "<script",
                                          "<link", "<img", "src=", "href=",   "<iframe"};
    es_fixture fixture;
    fixture_init(&fixture, NULL);
    const char *page = html(&fixture);
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++)
        assert_has_not(page, outside[i]);
    fixture_done(&fixture);
}

static void hostile_names_are_words(void **state)
{
    (void)state;
    static const char *const names[] = {"</title><script>alert(1)</script>",
                                        "\" onload=\"x",
                                        "a & b &lt; c",
                                        "'x'<b>",
                                        "\x1b[31mred\x07\r\n",
                                        "bad \xff\xc0\x80 utf-8 \xed\xa0\x80",
                                        "\xe2\x80\xaeright to left",
                                        "%s%n%d",
                                        "{}",
                                        "]]>",
                                        "<!--",
                                        "-->"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        es_fixture fixture;
        fixture_init(&fixture, names[i]);
        const char *page = html(&fixture);
        check_xml(page);
        assert_has_not(page, "<script");
        assert_has_not(page, "onload=\"x");
        assert_has_not(page, "<!--");
        assert_has_not(page, "\x1b");
        assert_has_not(page, "\xff");
        assert_has_not(page, "\xe2\x80\xae");
        const char *lines = text(&fixture, 80, false);
        assert_has_not(lines, "\x1b");
        assert_has_not(lines, "\r");
        assert_has_not(lines, "\xff");
        assert_true(widest(lines) <= 80);
        fixture_done(&fixture);
    }
}

static void nothing_is_shown_as_a_dash(void **state)
{
    (void)state;
    es_fixture fixture;
    fixture_init(&fixture, NULL);
    for (int round = 0; round < 4; round++) {
        if (round == 1)
            fixture.cases[0].measured = NULL;
        if (round == 2)
            fixture.cases[0].predicted = fixture.cases[1].predicted = NULL;
        if (round == 3)
            fixture.report.case_count = 0;
        const char *page = html(&fixture);
        check_xml(page);
        static const char *const wrong[] = {">nan",  "\"nan", " nan",   "-nan", ">inf",
                                            "\"inf", " inf<", "(null)", "-0<"};
        for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
            assert_has_not(page, wrong[i]);
        if (round == 2)
            assert_has(page, "answered no requests");
        const char *lines = text(&fixture, 80, false);
        assert_has_not(lines, "nan");
        assert_has_not(lines, "inf ");
        if (round < 3)
            assert_has(lines, "\xe2\x80\x93");
        es_text_clear(&fixture.text);
        es_report_csv(&fixture.report, &fixture.text);
        assert_has_not(es_text_get(&fixture.text), "nan");
    }
    fixture_done(&fixture);
}

static void an_empty_outcome_is_a_dash(void **state)
{
    (void)state;
    es_error err = {0};
    es_outcome_recorder *recorder = NULL;
    const es_outcome *empty = NULL;
    es_fixture fixture;
    fixture_init(&fixture, NULL);
    assert_ok_err(es_outcome_recorder_new(fixture.world.arena, &fixture.world.scenario, NULL,
                                          "plan", "run", 1, &recorder, &err),
                  err);
    assert_ok_err(es_outcome_seal(recorder, &empty, &err), err);
    fixture.cases[0].predicted = fixture.cases[0].measured = empty;
    fixture.cases[1].predicted = empty;
    const char *page = html(&fixture);
    check_xml(page);
    assert_has_not(page, "nan");
    assert_has(page, "answered no requests");
    fixture_done(&fixture);
}

static void same_inputs_same_bytes(void **state)
{
    (void)state;
    es_fixture first;
    es_fixture second;
    fixture_init(&first, NULL);
    fixture_init(&second, NULL);
    assert_string_equal(html(&first), html(&second));
    assert_string_equal(text(&first, 100, true), text(&second, 100, true));
    fixture_done(&first);
    fixture_done(&second);
}

/* Positions put the nodes on a map, many nodes become dots. */
static void maps_are_drawn(void **state)
{
    (void)state;
    es_fixture fixture;
    fixture_init(&fixture, NULL);
    es_error err = {0};
    es_network *network = NULL;
    es_routes *routes = NULL;
    assert_ok_err(es_network_new(fixture.world.arena, &network, &err), err);
    for (uint32_t v = 0; v < 60; v++) {
        char name[32];
        es_node node = fixture.world.nodes[v < 3 ? v : 1];
        (void)snprintf(name, sizeof name, "node %u", v);
        node.name = name;
        node.has_position = true;
        node.latitude_deg = 40 + v % 8;
        node.longitude_deg = floor(v / 8.0);
        assert_ok_err(es_network_node_add(network, &node, NULL, &err), err);
        es_link link = fixture.world.links[0];
        link.from.index = v > 0 ? v - 1 : 0;
        link.to.index = v;
        if (v > 0)
            assert_ok_err(es_network_link_add(network, &link, NULL, &err), err);
    }
    assert_ok_err(es_network_seal(network, &err), err);
    assert_ok_err(es_network_routes_new(fixture.world.arena, network, es_routes_weights_default(),
                                        &routes, &err),
                  err);
    assert_ok_err(es_routes_all(routes, NULL, &err), err);
    static uint32_t kinds[60];
    for (uint32_t v = 0; v < 60; v++)
        kinds[v] = v < 3 ? v : 1;
    fixture.world.scenario.network = network;
    fixture.world.scenario.routes = routes;
    fixture.world.scenario.node_kinds = kinds;
    const char *page = html(&fixture);
    check_xml(page);
    assert_has(page, "node 59");
    assert_has(page, "class=\"dot hosting t0\"");
    assert_has_not(page, "class=\"box");
    fixture_done(&fixture);
}

/* ---- the table and the CSV ---- */

static void table_is_aligned_and_fits(void **state)
{
    (void)state;
    es_fixture fixture;
    fixture_init(&fixture, NULL);
    const size_t widths[] = {60, 72, 80, 100, 200};
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) {
        const char *lines = text(&fixture, widths[i], false);
        assert_true(widest(lines) <= widths[i]);
        assert_has(lines, "device only");
        assert_has(lines, "cloud only: no feasible plan: too far");
    }
    const char *lines = text(&fixture, 100, false);
    assert_has(lines,
               "Latency, mean, ms            54.9       60.4        137          \xe2\x80\x93"
               "          \xe2\x80\x93          \xe2\x80\x93\n");
    assert_has(lines, "plan, measured against predicted: latency mean +10 %, p95 +10 %");
    assert_has(lines, "What to run where\n  phone                     tiny\n");
    assert_has(lines, "  detect at phone            75.0 %  cascade: phone -> edge box\n");
    assert_has_not(lines, "\x1b");
    assert_has(text(&fixture, 100, true), "\x1b[1m");
    fixture_done(&fixture);
}

/* 12 slots of 4 J declared; counters told 5 J in the last 9 of them. */
static void counters_stand_beside_the_model(void **state)
{
    (void)state;
    es_fixture fixture;
    fixture_init(&fixture, NULL);
    assert_has(html(&fixture),
               "<td class=\"name\">phone</td><td class=\"name\">plan</td><td "
               "class=\"\">run</td><td class=\"n\">48.0</td><td class=\"n\">45.0</td>"
               "<td class=\"name\">rapl, 9 of 12 slots</td>"
               "<td class=\"n\">120</td><td class=\"n\">15.0</td></tr>");
    assert_has(
        text(&fixture, 100, false),
        "plan, nodes by counters (rapl): 45.0\xc2\xa0J above rest, declared 36.0\xc2\xa0J\n");
    fixture.cases[0].measured = NULL;
    assert_has(html(&fixture), "<td class=\"\">computed</td><td class=\"n\">48.0</td>"
                               "<td class=\"n\">\xe2\x80\x93</td><td class=\"name\">model</td>");
    assert_has_not(html(&fixture), "rapl");
    assert_has_not(text(&fixture, 100, false), "by counters");
    fixture_done(&fixture);
}

static void wide_names_keep_columns(void **state)
{
    (void)state;
    es_fixture fixture;
    fixture_init(&fixture, "\xe6\x89\x8b\xe6\xa9\x9f"); /* two characters of two columns */
    const char *lines = text(&fixture, 80, false);
    assert_has(lines, "\n  \xe6\x89\x8b\xe6\xa9\x9f                      \xe6\x89\x8b");
    fixture_done(&fixture);
}

static void csv_has_a_row_per_case_slot_and_class(void **state)
{
    (void)state;
    es_fixture fixture;
    fixture_init(&fixture, "=cmd(\"x\"),y");
    es_report_csv(&fixture.report, &fixture.text);
    const char *csv = es_text_get(&fixture.text);
    size_t lines = 0;
    for (const char *at = csv; *at != '\0'; at++)
        lines += *at == '\n';
    assert_int_equal(lines, 1 + 3 * 12 * 2);
    assert_has(csv, "\"'=cmd(\"\"x\"\"),y\",predicted,simulate,0,");
    assert_has(csv, ",measured,run,");
    fixture_done(&fixture);
}

/* Nothing held back, one epoch, names of any kind: a page and a picture all the same. */
static void a_training_as_a_page(void **state)
{
    (void)state;
    es_fit_epoch epochs[3] = {
        {.rate = 0.1, .loss = 1.5, .accuracy = 0.5, .held_loss = 1.2, .held_accuracy = 0.625},
        {.rate = 0.05, .loss = 1, .accuracy = 0.7, .held_loss = 0.9, .held_accuracy = 0.75},
        {.rate = 0.01, .loss = 0.9, .accuracy = 0.8, .held_loss = 0.95, .held_accuracy = 0.7}};
    es_fit_result result = {.epochs = epochs, .epoch_count = 3, .best = 1};
    const es_report_fact facts[] = {{"net", "<b>small & \"quoted\"</b>"}, {"seed", "7"}};
    es_report_training report = {
        .title = "a <net>", .result = &result, .facts = facts, .fact_count = 2};
    es_text out;
    es_text_init(&out, 1 << 20);
    for (int round = 0; round < 4; round++) {
        for (size_t i = 0; round > 0 && i < 3; i++)
            epochs[i].held_loss = epochs[i].held_accuracy = NAN;
        for (size_t i = 0; round > 1 && i < 3; i++)
            epochs[i].accuracy = NAN;
        result.epoch_count = round == 3 ? 0 : 3;
        es_text_clear(&out);
        es_report_training_html(&report, &out);
        check_xml(es_text_get(&out));
        assert_has(es_text_get(&out), "&lt;b&gt;small");
        assert_has_not(es_text_get(&out), "nan");
        assert_has_not(es_text_get(&out), "inf");
        if (round == 0) {
            assert_has(es_text_get(&out), "<tr class=\"first\"><th>2</th>");
            assert_has(es_text_get(&out), "best: epoch 2, 75");
        }
        es_text_clear(&out);
        es_report_training_svg(&report, &out);
        check_xml(es_text_get(&out));
    }
    es_text_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_has_every_part),
        cmocka_unit_test(page_asks_for_nothing),
        cmocka_unit_test(hostile_names_are_words),
        cmocka_unit_test(nothing_is_shown_as_a_dash),
        cmocka_unit_test(an_empty_outcome_is_a_dash),
        cmocka_unit_test(same_inputs_same_bytes),
        cmocka_unit_test(maps_are_drawn),
        cmocka_unit_test(table_is_aligned_and_fits),
        cmocka_unit_test(counters_stand_beside_the_model),
        cmocka_unit_test(wide_names_keep_columns),
        cmocka_unit_test(csv_has_a_row_per_case_slot_and_class),
        cmocka_unit_test(a_training_as_a_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
