/* The plane: what nothing beats is joined, what was chosen is ringed, names stand once. */
#include "es_test.h"
#include "report/internal.h"

#include <math.h>
#include <string.h>

static size_t count_of(const char *text, const char *words)
{
    size_t count = 0;
    for (; (text = strstr(text, words)) != NULL; text += strlen(words))
        count++;
    return count;
}

static char *draw(const es_spot *spots, size_t count, double least, es_text *out)
{
    es_plane plane = {.title = "t",
                      .x_name = "cost",
                      .y_name = "quality, %",
                      .spots = spots,
                      .count = count,
                      .y_least = least};
    es_text_init(out, (size_t)4 << 20);
    es_draw_plane(&plane, out);
    return out->bytes;
}

/* Corners of the line, from left to right: of n spots that nothing beats 2 n, the last one at the
 * right edge. */
static size_t corners(const char *svg)
{
    const char *line = strstr(svg, "class=\"front\" points=\"");
    assert_non_null(line);
    line = strchr(line, '=') + 1;
    const char *end = strstr(line, "/>");
    size_t count = 0;
    for (; line < end; line++)
        count += *line == ',';
    return count;
}

static void the_line_joins_what_nothing_beats(void **state)
{
    (void)state;
    const es_spot spots[] = {
        {.x = 10, .y = 95, .name = "best", .class = "t0"},
        {.x = 1, .y = 80, .name = "quick", .class = "t0", .chosen = true},
        {.x = 2, .y = 79, .name = "worse", .class = "t1"},
        {.x = 3, .y = 90, .name = "middle", .class = "t2"},
        {.x = 3, .y = 90, .name = "twin", .class = "t2"}, /* equal: the first counts */
        {.x = 3, .y = 85, .name = "below", .class = "t3"},
    };
    es_text out;
    const char *svg = draw(spots, 6, (double)NAN, &out);
    assert_int_equal(corners(svg), 6);
    assert_int_equal(count_of(svg, "class=\"ring\""), 1);
    assert_int_equal(count_of(svg, ">quick</text>"), 1);
    assert_int_equal(count_of(svg, "class=\"least\""), 0);
    assert_non_null(strstr(svg, ">middle</text>"));
    assert_non_null(strstr(svg, ">best</text>"));
    es_text_done(&out);
}

static void names_stand_once(void **state)
{
    (void)state;
    es_spot spots[40];
    for (size_t i = 0; i < 40; i++)
        spots[i] = (es_spot){.x = 1 + (double)i,
                             .y = 90 - (double)i,
                             .name = i < 39 ? "same" : "other",
                             .title = "hover",
                             .class = "t0"};
    spots[5].chosen = true;
    es_text out;
    const char *svg = draw(spots, 40, 75, &out);
    assert_int_equal(corners(svg), 2);
    assert_int_equal(count_of(svg, "class=\"spot t0\""), 40);
    assert_int_equal(count_of(svg, "<title>hover</title>"), 41); /* the ring too */
    assert_int_equal(count_of(svg, ">same</text>"), 1);
    assert_int_equal(count_of(svg, ">other</text>"), 1); /* many spots, but two names */
    assert_int_equal(count_of(svg, "class=\"least\""), 1);
    assert_int_equal(count_of(svg, ">least: 75.0 %</text>"), 1);
    es_text_done(&out);
    char names[40][8];
    for (size_t i = 0; i < 39; i++) {
        (void)snprintf(names[i], sizeof names[i], "v%zu", i);
        spots[i].name = names[i];
    }
    svg = draw(spots, 40, 75, &out);
    assert_int_equal(count_of(svg, ">other</text>"), 0); /* many: only the best are named */
    assert_int_equal(count_of(svg, ">v0</text>"), 1);
    es_text_done(&out);
}

/* Whatever the values, every spot lies inside the picture. */
static void odd_values_stay_inside(void **state)
{
    (void)state;
    static const double xs[] = {0, 1e-12, 1, 1e12};
    static const double ys[] = {0, 50, 99.99, 100};
    for (size_t i = 0; i < 16; i++) {
        const es_spot spots[] = {{.x = xs[i % 4], .y = ys[i / 4], .name = "a", .class = "t0"},
                                 {.x = xs[i / 4], .y = ys[i % 4], .name = "b", .class = "t0"}};
        es_text out;
        const char *svg = draw(spots, i == 0 ? 0 : 1 + i % 2, (double)NAN, &out);
        assert_null(strstr(svg, "nan"));
        assert_null(strstr(svg, "inf"));
        for (const char *at = svg; (at = strstr(at, "cx=\"")) != NULL; at += 4)
            assert_true(strtod(at + 4, NULL) >= 52 && strtod(at + 4, NULL) <= 444);
        for (const char *at = svg; (at = strstr(at, "cy=\"")) != NULL; at += 4)
            assert_true(strtod(at + 4, NULL) >= 30 && strtod(at + 4, NULL) <= 266);
        es_text_done(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_line_joins_what_nothing_beats),
        cmocka_unit_test(names_stand_once),
        cmocka_unit_test(odd_values_stay_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
