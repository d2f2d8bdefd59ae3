/*
 * The ONNX project's own cases: every model is loaded, written, loaded again and analysed; shapes
 * and types must agree with the output tensors that come with the case.
 */
#include "base/file.h"
#include "es_test.h"
#include "model/model.h"

enum { ARCHIVE_MAX = 200 * 1000 * 1000, OUTPUTS_MAX = 16, RANK_MAX = 16 };

typedef struct entry {
    char name[300];
    const char *bytes;
    size_t size;
} entry;

/* The next file of a tar archive, following GNU and pax long names. */
static bool next_entry(const char *archive, size_t size, size_t *at, entry *out)
{
    char long_name[300] = "";
    while (*at + 512 <= size && archive[*at] != '\0') {
        const char *header = archive + *at;
        size_t length = 0;
        for (int i = 124; i < 136 && header[i] >= '0' && header[i] <= '7'; i++)
            length = length * 8 + (size_t)(header[i] - '0');
        *at += 512;
        if (length > size - *at)
            return false;
        const char *bytes = archive + *at;
        *at += (length + 511) / 512 * 512;
        if (header[156] == 'L') {
            (void)snprintf(long_name, sizeof long_name, "%.*s", (int)length, bytes);
            continue;
        }
        if (header[156] != '0' && header[156] != '\0')
            continue;
        if (long_name[0] != '\0')
            (void)snprintf(out->name, sizeof out->name, "%s", long_name);
        else
            (void)snprintf(out->name, sizeof out->name, "%.155s%s%.100s", header + 345,
                           header[345] != '\0' ? "/" : "", header);
        out->bytes = bytes;
        out->size = length;
        return true;
    }
    return false;
}

typedef struct truth {
    bool is_tensor;
    int64_t type;
    int32_t rank;
    int64_t dims[RANK_MAX];
} truth;

static uint64_t varint(const uint8_t *bytes, size_t size, size_t *at)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && *at < size; shift += 7) {
        uint8_t byte = bytes[(*at)++];
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            break;
    }
    return value;
}

/* dims (field 1) and data_type (field 2) of a TensorProto. */
static truth read_truth(const entry *file)
{
    truth t = {.is_tensor = true};
    const uint8_t *bytes = (const uint8_t *)file->bytes;
    for (size_t at = 0; at < file->size && t.rank < RANK_MAX;) {
        uint64_t tag = varint(bytes, file->size, &at);
        if (tag == 8) {
            t.dims[t.rank++] = (int64_t)varint(bytes, file->size, &at);
        } else if (tag == 16) {
            t.type = (int64_t)varint(bytes, file->size, &at);
        } else if (tag == 10) { /* packed */
            size_t end = (size_t)varint(bytes, file->size, &at);
            end += at;
            while (at < end && t.rank < RANK_MAX)
                t.dims[t.rank++] = (int64_t)varint(bytes, file->size, &at);
        } else if ((tag & 7) == 2) {
            at += (size_t)varint(bytes, file->size, &at);
        } else if ((tag & 7) == 0) {
            (void)varint(bytes, file->size, &at);
        } else {
            at += (tag & 7) == 1 ? 8 : 4;
        }
    }
    return t;
}

typedef struct tally {
    size_t cases, refused, failed, known, unknown, wrong, outputs;
} tally;

static void compare(const char *name, const es_model_tensor *got, const truth *want, tally *sum)
{
    if (got->kind != ES_MODEL_KIND_TENSOR)
        return;
    sum->outputs++;
    bool wrong = got->type != ES_MODEL_UNDEFINED && (int64_t)got->type != want->type;
    bool known = got->rank >= 0;
    wrong = wrong || (known && got->rank != want->rank);
    for (int32_t i = 0; i < got->rank && !wrong; i++) {
        known = known && got->dims[i] >= 0;
        wrong = got->dims[i] >= 0 && got->dims[i] != want->dims[i];
    }
    sum->known += known;
    sum->unknown += !known;
    if (!wrong)
        return;
    sum->wrong++;
    print_error("%s: output '%s': got %s rank %d [", name, got->name, es_model_type_name(got->type),
                (int)got->rank);
    for (int32_t i = 0; i < got->rank; i++)
        print_error(" %" PRId64, got->dims[i]);
    print_error(" ], the case has type %" PRId64 " [", want->type);
    for (int32_t i = 0; i < want->rank; i++)
        print_error(" %" PRId64, want->dims[i]);
    print_error(" ]\n");
}

/* Segments at all cut points are sound models, chained by name. */
static void check_cuts(es_arena *arena, const es_model *model, const es_model_analysis *analysis)
{
    es_error err = {0};
    es_model_cut_list list = {0};
    const es_model *const *segments = NULL;
    assert_ok_err(es_model_cut_points(arena, model, analysis, &list, &err), err);
    const char **names = ES_TAKE_ARRAY(arena, const char *, list.count);
    assert_non_null(names);
    for (size_t i = 0; i < list.count; i++)
        names[i] = list.points[i].tensor->name;
    assert_ok_err(es_model_cut(arena, model, names, list.count, &segments, &err), err);
    for (size_t k = 1; k <= list.count; k++) {
        assert_int_equal(es_model_input_count(segments[k]), 1);
        assert_string_equal(es_model_input(segments[k], 0)->name, names[k - 1]);
        assert_string_equal(es_model_output(segments[k - 1], 0)->name, names[k - 1]);
    }
    assert_int_equal(es_model_output_count(segments[list.count]), es_model_output_count(model));
}

static void run_case(const char *name, const entry *model_file, const truth *outputs, tally *sum)
{
    es_arena *arena = es_arena_new(64 * 1000 * 1000);
    es_error err = {0};
    const es_model *first = NULL;
    const es_model *model = NULL;
    const es_model_analysis *analysis = NULL;
    const void *bytes = NULL;
    size_t size = 0;
    sum->cases++;
    es_model_opts opts = es_model_opts_default();
    assert_ok_err(
        es_model_parse(arena, name, model_file->bytes, model_file->size, opts, &first, &err), err);
    assert_ok_err(es_model_bytes(arena, first, &bytes, &size, &err), err);
    assert_ok_err(es_model_parse(arena, name, bytes, size, opts, &model, &err), err);
    es_model_analyse_opts how = es_model_analyse_opts_default();
    how.free_dim = 0;
    es_status status = es_model_analyse(arena, model, how, &analysis, &err);
    if (status == ES_ERR_UNSUPPORTED) {
        sum->refused++;
        print_message("refused: %s\n", es_error_text(&err));
    } else {
        if (status != ES_OK) {
            print_error("%s\n", es_error_text(&err));
            sum->failed++;
        }
        for (size_t k = 0; status == ES_OK && k < analysis->output_count && k < OUTPUTS_MAX; k++) {
            if (outputs[k].is_tensor)
                compare(name, analysis->outputs[k], &outputs[k], sum);
        }
    }
    if (status == ES_OK)
        check_cuts(arena, model, analysis);
    es_arena_free(arena);
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text);
    return size >= strlen(end) && strcmp(text + size - strlen(end), end) == 0;
}

/* Files of a case lie together, its model first or last. */
static void test_conformance(void **state)
{
    (void)state;
    const char *path = es_test_data("onnx-conformance/onnx_backend_tests.tar.gz");
    if (path == NULL)
        skip();
    es_arena *arena = es_arena_new(2 * (size_t)ARCHIVE_MAX);
    es_error err = {0};
    char *archive = NULL;
    size_t size = 0;
    assert_ok_err(es_file_read_gz(arena, path, ARCHIVE_MAX, &archive, &size, &err), err);
    tally sum = {0};
    char at_case[300] = "";
    entry model = {.bytes = NULL};
    truth outputs[OUTPUTS_MAX] = {{0}};
    size_t at = 0;
    for (bool more = true; more;) {
        entry file = {.name = ""};
        more = next_entry(archive, size, &at, &file);
        const char *set = strstr(file.name, "/test_data_set_");
        const char *own = strstr(file.name, "/model.onnx");
        const char *end = set != NULL ? set : own;
        char name[300] = "";
        if (end != NULL)
            (void)snprintf(name, sizeof name, "%.*s", (int)(end - file.name), file.name);
        if (!more || strcmp(name, at_case) != 0) {
            if (model.bytes != NULL)
                run_case(at_case, &model, outputs, &sum);
            model.bytes = NULL;
            memset(outputs, 0, sizeof outputs);
            (void)snprintf(at_case, sizeof at_case, "%s", name);
        }
        unsigned number = 0;
        if (own != NULL)
            model = file;
        else if (set != NULL && ends_with(file.name, ".pb") &&
                 sscanf(set, "/test_data_set_0/output_%u.pb", &number) == 1 && number < OUTPUTS_MAX)
            outputs[number] = read_truth(&file);
    }
    print_message("%zu cases, %zu refused; %zu outputs: %zu fully known, %zu partly\n", sum.cases,
                  sum.refused, sum.outputs, sum.known, sum.unknown);
    assert_true(sum.cases > 1000);
    assert_int_equal(sum.wrong, 0);
    assert_int_equal(sum.failed, 0);
    assert_true(sum.refused * 20 < sum.cases);
    es_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_conformance)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
