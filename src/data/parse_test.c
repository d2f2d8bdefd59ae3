/* The parsers on bytes in memory: what is right comes out, what is wrong is named. */
#include "base/file.h"
#include "data/data.h"
#include "es_test.h"

#include <math.h>

/* Both as doubles, so that floats may be given. */
#define near(got, wanted, tolerance)                                                               \
    do {                                                                                           \
        double got_ = (double)(got);                                                               \
        double wanted_ = (double)(wanted);                                                         \
        if (!(fabs(got_ - wanted_) <= (tolerance)))                                                \
            fail_msg("%s: %.17g, wanted %.17g", #got, got_, wanted_);                              \
    } while (0)

static es_arena *arena;
static es_error err;

static int start(void **state)
{
    (void)state;
    arena = es_arena_new((size_t)64 << 20);
    err = (es_error){0};
    return arena == NULL;
}

static int stop(void **state)
{
    (void)state;
    es_arena_free(arena);
    return 0;
}

static void idx_turns_the_byte_order(void **state)
{
    (void)state;
    es_data_array a;
    const uint8_t shorts[] = {0, 0, 0x0b, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0x01, 0x02, 0xff, 0xfe};
    assert_ok_err(es_data_parse_idx(arena, "a", shorts, sizeof shorts, &a, &err), err);
    assert_int_equal(a.type, ES_DATA_I16);
    assert_int_equal(a.rank, 2);
    assert_int_equal(a.dims[1], 2);
    near(es_data_at(&a, 0), 258, 0);
    near(es_data_at(&a, 1), -2, 0);
    const uint8_t one[] = {0, 0, 0x0d, 1, 0, 0, 0, 1, 0x3f, 0xc0, 0, 0};
    assert_ok_err(es_data_parse_idx(arena, "a", one, sizeof one, &a, &err), err);
    near(es_data_at(&a, 0), 1.5, 0);
}

static void idx_that_is_wrong_is_refused(void **state)
{
    (void)state;
    es_data_array a = {.rank = 99};
    const uint8_t bytes[] = {0, 0, 8, 1, 0, 0, 0, 3, 7, 8};
    assert_fails(es_data_parse_idx(arena, "f", bytes, 10, &a, &err), ES_ERR_PARSE, err,
                 "'f': 2 bytes of values, its head says 3");
    assert_fails(es_data_parse_idx(arena, "f", bytes, 6, &a, &err), ES_ERR_PARSE, err,
                 "end within the head");
    const uint8_t huge[] = {0,   0,   14,  3,   255, 255, 255, 255,
                            255, 255, 255, 255, 255, 255, 255, 255};
    assert_fails(es_data_parse_idx(arena, "f", huge, sizeof huge, &a, &err), ES_ERR_LIMIT, err,
                 "too many values");
    assert_fails(es_data_parse_idx(arena, "f", "\0\0\x77\1", 4, &a, &err), ES_ERR_PARSE, err,
                 "not IDX");
    assert_int_equal(a.rank, 99);
}

static size_t make_npy(uint8_t *out, const char *head, const void *values, size_t size)
{
    size_t n = strlen(head);
    memcpy(out, "\x93NUMPY\1\0", 8);
    out[8] = (uint8_t)(n & 255);
    out[9] = (uint8_t)(n >> 8);
    memcpy(out + 10, head, n);
    memcpy(out + 10 + n, values, size);
    return 10 + n + size;
}

static void npy_in_both_orders(void **state)
{
    (void)state;
    uint8_t bytes[256];
    es_data_array a;
    const float six[] = {1, 2, 3, 4, 5, 6};
    size_t size = make_npy(bytes, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n",
                           six, sizeof six);
    assert_ok_err(es_data_parse_npy(arena, "a", bytes, size, &a, &err), err);
    assert_int_equal(a.rank, 2);
    for (size_t i = 0; i < 6; i++)
        near(es_data_at(&a, i), (double)six[i], 0);
    size = make_npy(bytes, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }\n", six,
                    sizeof six);
    assert_ok_err(es_data_parse_npy(arena, "a", bytes, size, &a, &err), err);
    const double turned[] = {1, 3, 5, 2, 4, 6};
    for (size_t i = 0; i < 6; i++)
        near(es_data_at(&a, i), turned[i], 0);
    const uint8_t big[] = {0, 0, 0, 0, 0, 0, 1, 0};
    size = make_npy(bytes, "{'descr': '>i8', 'fortran_order': False, 'shape': ()}", big, 8);
    assert_ok_err(es_data_parse_npy(arena, "a", bytes, size, &a, &err), err);
    assert_int_equal(a.count, 1);
    near(es_data_at(&a, 0), 256, 0);
}

static void npy_that_is_wrong_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[256];
    es_data_array a;
    static const struct {
        const char *head, *words;
        es_status status;
    } bad[] = {
        {"{'descr': '<f2', 'fortran_order': False, 'shape': (4,)}", "'<f2' is not supported",
         ES_ERR_UNSUPPORTED},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", "records",
         ES_ERR_UNSUPPORTED},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", "its shape says 12",
         ES_ERR_PARSE},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", "shape must be", ES_ERR_PARSE},
        {"{'descr': '<f4', 'shape': (2,)}", "lacks descr", ES_ERR_PARSE},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}", "True or False", ES_ERR_PARSE},
        {"{'odd': '<f4'}", "unknown key 'odd'", ES_ERR_PARSE},
        {"{'descr'", "malformed", ES_ERR_PARSE},
        {"", "dictionary", ES_ERR_PARSE},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        size_t size = make_npy(bytes, bad[i].head, "12345678", 8);
        assert_fails(es_data_parse_npy(arena, "f", bytes, size, &a, &err), bad[i].status, err,
                     bad[i].words);
    }
}

static void npy_written_is_read_again(void **state)
{
    (void)state;
    const double values[] = {0.1, -2, 3e300, 4, 5, 6};
    const es_data_array given = {
        .type = ES_DATA_F64, .rank = 3, .dims = {1, 3, 2}, .count = 6, .bytes = values};
    const char *path = ES_TEST_BINARY_DIR "/data_parse_test.npy";
    assert_ok_err(es_data_write_npy(path, &given, &err), err);
    es_data_array a;
    assert_ok_err(es_data_read_array(arena, path, NULL, &a, &err), err);
    assert_int_equal(a.rank, 3);
    assert_int_equal(a.dims[1], 3);
    assert_memory_equal(a.bytes, values, sizeof values);
    (void)unlink(path);
}

/* Python's zipfile made these: x deflated, y stored, with a comment. */
static void npz_members_by_name(void **state)
{
    (void)state;
    es_data_array a;
    const char *path = ES_TEST_SOURCE_DIR "/src/data/testing/two.npz";
    assert_ok_err(es_data_read_array(arena, path, "x", &a, &err), err);
    assert_int_equal(a.type, ES_DATA_F32);
    assert_int_equal(a.dims[0], 4);
    assert_int_equal(a.dims[1], 100);
    for (size_t i = 0; i < a.count; i++)
        near(es_data_at(&a, i), (double)(i % 7), 0);
    assert_ok_err(es_data_read_array(arena, path, "y", &a, &err), err);
    near(es_data_at(&a, 3), 2, 0);
    assert_fails(es_data_read_array(arena, path, "z", &a, &err), ES_ERR_ARG, err,
                 "no z among its 2 members");
    assert_fails(es_data_read_array(arena, path, NULL, &a, &err), ES_ERR_ARG, err, "name one");
    es_dataset set;
    assert_ok_err(es_dataset_load(arena, path, NULL, es_dataset_opts_default(), &set, &err), err);
    assert_int_equal(set.count, 4);
    assert_int_equal(set.class_count, 3);
}

/* Every byte of the file changed in turn: never a wrong value without an error, as all is summed.
 */
static void npz_notices_damage(void **state)
{
    (void)state;
    char *bytes = NULL;
    size_t size = 0;
    assert_ok_err(es_file_read(arena, ES_TEST_SOURCE_DIR "/src/data/testing/two.npz", 1 << 20,
                               &bytes, &size, &err),
                  err);
    es_data_array *arrays = NULL;
    size_t count = 0;
    assert_fails(es_data_parse_npz(arena, "f", bytes, size, 100, &arrays, &count, &err),
                 ES_ERR_LIMIT, err, "unpacks to more");
    size_t refused = 0;
    for (size_t i = 0; i < size; i++) {
        es_arena *scratch = es_arena_new(1 << 22);
        bytes[i] = (char)(bytes[i] ^ 0x20);
        if (es_data_parse_npz(scratch, "f", bytes, size, 1 << 20, &arrays, &count, &err) == ES_OK) {
            for (size_t k = 0; k < count && arrays[k].rank == 2; k++)
                for (size_t v = 0; v < arrays[k].count; v++)
                    near(es_data_at(&arrays[k], v), (double)(v % 7), 0);
        } else {
            refused++;
        }
        bytes[i] = (char)(bytes[i] ^ 0x20);
        es_arena_free(scratch);
    }
    assert_true(refused > size / 2);
}

static const es_data_table *table_of(const char *text)
{
    const es_data_table *table = NULL;
    assert_ok_err(
        es_data_parse_csv(arena, "t.csv", text, strlen(text), ES_DATA_HEAD_GUESS, &table, &err),
        err);
    return table;
}

static void csv_tells_numbers_from_words(void **state)
{
    (void)state;
    const es_data_table *t = table_of("\xef\xbb\xbf"
                                      "a, b,c\r\n1,x,\"u, \"\"v\"\"\"\r\n\r\n,y,w\n");
    assert_int_equal(t->column_count, 3);
    assert_int_equal(t->row_count, 2);
    assert_string_equal(t->columns[1].name, "b");
    near(t->columns[0].numbers[0], 1, 0);
    assert_true(isnan(t->columns[0].numbers[1]));
    assert_string_equal(t->columns[2].words[0], "u, \"v\"");
    assert_string_equal(t->columns[2].words[t->columns[2].codes[1]], "w");
    assert_ptr_equal(es_data_table_column(t, "c"), &t->columns[2]);
    assert_ptr_equal(es_data_table_column(t, "2"), &t->columns[1]);
    assert_null(es_data_table_column(t, "4"));
    t = table_of("1,x\n2,y\n");
    assert_int_equal(t->row_count, 2); /* a number in the first line: no head */
    assert_string_equal(t->columns[0].name, "column 1");
}

static void csv_gives_many_words_their_numbers(void **state)
{
    (void)state;
    char *text = es_arena_take(arena, 1 << 20, 1);
    size_t size = 0;
    for (int i = 0; i < 20000; i++)
        size += (size_t)snprintf(text + size, (1 << 20) - size, "w%d,1\n", (i * 7) % 5000);
    const es_data_table *t = table_of(text);
    assert_int_equal(t->columns[0].word_count, 5000);
    for (int i = 0; i < 20000; i++) {
        char word[16];
        (void)snprintf(word, sizeof word, "w%d", (i * 7) % 5000);
        assert_string_equal(t->columns[0].words[t->columns[0].codes[i]], word);
    }
}

static void csv_that_is_wrong_is_refused(void **state)
{
    (void)state;
    static const char *const bad[][2] = {{"", "is empty"},
                                         {"a,b\n", "no rows"},
                                         {"a,b\n1,2\n3\n", "f:3: 1 cells, the first line has 2"},
                                         {"a\n\"x\n", "f:2: a quote is open"},
                                         {"a\n\"x\"y\n", "something behind"}};
    const es_data_table *table = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_fails(es_data_parse_csv(arena, "f", bad[i][0], strlen(bad[i][0]), ES_DATA_HEAD_GUESS,
                                       &table, &err),
                     ES_ERR_PARSE, err, bad[i][1]);
    assert_null(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(idx_turns_the_byte_order, start, stop),
        cmocka_unit_test_setup_teardown(idx_that_is_wrong_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(npy_in_both_orders, start, stop),
        cmocka_unit_test_setup_teardown(npy_that_is_wrong_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(npy_written_is_read_again, start, stop),
        cmocka_unit_test_setup_teardown(npz_members_by_name, start, stop),
        cmocka_unit_test_setup_teardown(npz_notices_damage, start, stop),
        cmocka_unit_test_setup_teardown(csv_tells_numbers_from_words, start, stop),
        cmocka_unit_test_setup_teardown(csv_gives_many_words_their_numbers, start, stop),
        cmocka_unit_test_setup_teardown(csv_that_is_wrong_is_refused, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
