/* Labels keep off boxes and lines, and are left out where there is no room. */
#include "es_test.h"
#include "report/internal.h"

/* Where the label stands that was put last. */
static es_box last(const es_labels *labels)
{
    assert_true(labels->box_count > 0);
    return labels->boxes[labels->box_count - 1];
}

static void beside_the_line(void **state)
{
    static es_labels labels;
    (void)state;
    es_labels_init(&labels);
    const es_box flat = {0, 100, 200, 100};
    labels.room = (es_box){0, 0, 200, 200};
    es_labels_avoid_line(&labels, flat, 1);
    es_labels_put(&labels, flat, 6, false, "linklabel", "above & over");
    assert_true(last(&labels).bottom < 99 && last(&labels).top > 70);
    assert_non_null(strstr(es_text_get(&labels.text), "above &amp; over"));
    es_labels_put(&labels, flat, 6, true, "linklabel", "below");
    assert_true(last(&labels).top > 101);
    es_labels_done(&labels);
}

/* Three lines meet at a point: each label stands where no line crosses it. */
static void off_other_lines(void **state)
{
    static es_labels labels;
    (void)state;
    es_labels_init(&labels);
    const es_box fan[] = {{0, 20, 400, 150}, {0, 150, 400, 150}, {0, 280, 400, 150}};
    labels.room = (es_box){0, 0, 400, 300};
    for (size_t i = 0; i < 3; i++)
        es_labels_avoid_line(&labels, fan[i], 2);
    for (size_t i = 0; i < 3; i++) {
        size_t before = labels.box_count;
        es_labels_put(&labels, fan[i], 6, false, "linklabel", "12.5 requests/s");
        assert_int_equal(labels.box_count, before + 1);
        es_box box = last(&labels);
        for (size_t l = 0; l < 3; l++) {
            for (int p = 0; p <= 400; p++) { /* no place of the line lies in the box */
                double y = fan[l].top + (fan[l].bottom - fan[l].top) * p / 400;
                assert_false(p > box.left && p < box.right && y > box.top && y < box.bottom);
            }
        }
    }
    es_labels_done(&labels);
}

static void nowhere_without_room(void **state)
{
    static es_labels labels;
    (void)state;
    es_labels_init(&labels);
    labels.room = (es_box){0, 0, 200, 200};
    es_labels_avoid_box(&labels, (es_box){0, 80, 200, 120});
    es_labels_put(&labels, (es_box){0, 100, 200, 100}, 6, false, "linklabel", "hidden");
    assert_int_equal(labels.box_count, 1);
    assert_string_equal(es_text_get(&labels.text), "");
    /* a line that every place crosses does not hide the words */
    labels.box_count = 0;
    for (int i = 0; i < 40; i++)
        es_labels_avoid_line(&labels, (es_box){0, 5.0 * i, 200, 5.0 * i}, 1);
    es_labels_put(&labels, (es_box){0, 100, 200, 100}, 6, false, "linklabel", "shown");
    assert_non_null(strstr(es_text_get(&labels.text), "shown"));
    es_labels_done(&labels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(beside_the_line),
                                       cmocka_unit_test(off_other_lines),
                                       cmocka_unit_test(nowhere_without_room)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
