/* Datasets: which format a file is, samples and labels together. */
#include "base/checked.h"
#include "base/file.h"
#include "data/internal.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { LABEL_MAX = 1 << 20, CIFAR_IMAGE = 3072, CIFAR_SIDE = 32 };

const char *const es_data_format_names[ES_DATA_FORMAT_COUNT] = {
    [ES_DATA_FORMAT_AUTO] = "auto",       [ES_DATA_FORMAT_IDX] = "idx",
    [ES_DATA_FORMAT_CIFAR10] = "cifar10", [ES_DATA_FORMAT_CIFAR100] = "cifar100",
    [ES_DATA_FORMAT_NPY] = "npy",         [ES_DATA_FORMAT_NPZ] = "npz",
    [ES_DATA_FORMAT_CSV] = "csv",         [ES_DATA_FORMAT_F32] = "f32",
};

typedef struct file {
    const char *path;
    const uint8_t *bytes;
    size_t size;
} file;

es_dataset_opts es_dataset_opts_default(void)
{
    return (es_dataset_opts){.cap_bytes = (size_t)1 << 30, .one_hot = true};
}

static bool ends_with(const char *path, const char *ending)
{
    size_t size = strlen(path);
    size_t gz = size > 3 && strcmp(path + size - 3, ".gz") == 0 ? 3 : 0;
    size_t wanted = strlen(ending);
    return size - gz >= wanted && memcmp(path + size - gz - wanted, ending, wanted) == 0;
}

static es_status read_whole(es_arena *arena, const char *path, size_t cap_bytes, file *out,
                            es_error *err)
{
    char *bytes = NULL;
    size_t size = 0;
    ES_TRY(es_file_read_gz(arena, path, cap_bytes, &bytes, &size, err));
    *out = (file){.path = path, .bytes = (const uint8_t *)bytes, .size = size};
    return ES_OK;
}

static es_data_format guess(const file *f)
{
    if (ends_with(f->path, ".npy") || (f->size >= 6 && memcmp(f->bytes, "\x93NUMPY", 6) == 0))
        return ES_DATA_FORMAT_NPY;
    if (ends_with(f->path, ".npz") || (f->size >= 4 && memcmp(f->bytes, "PK\3\4", 4) == 0))
        return ES_DATA_FORMAT_NPZ;
    if (ends_with(f->path, ".f32"))
        return ES_DATA_FORMAT_F32;
    if (ends_with(f->path, ".bin") && f->size % (1 + CIFAR_IMAGE) == 0)
        return ES_DATA_FORMAT_CIFAR10;
    if (ends_with(f->path, ".bin") && f->size % (2 + CIFAR_IMAGE) == 0)
        return ES_DATA_FORMAT_CIFAR100;
    if (f->size >= 4 && f->bytes[0] == 0 && f->bytes[1] == 0 && f->bytes[2] >= 8)
        return ES_DATA_FORMAT_IDX;
    return memchr(f->bytes, '\0', f->size < 4096 ? f->size : 4096) == NULL ? ES_DATA_FORMAT_CSV
                                                                           : ES_DATA_FORMAT_AUTO;
}

/* ---- labels ---- */

static es_status take_labels(es_arena *arena, const char *path, const es_data_array *from,
                             es_dataset *dataset, es_error *err)
{
    uint32_t *labels = ES_TAKE_ARRAY(arena, uint32_t, from->count);
    if (labels == NULL)
        return es_arena_full(arena, path, err);
    uint32_t most = 0;
    for (size_t i = 0; i < from->count; i++) {
        double value = es_data_at(from, i);
        if (!(value >= 0 && value <= LABEL_MAX) || value > floor(value))
            return es_fail(err, ES_ERR_PARSE,
                           "'%s': label %g of sample %zu must be a whole number from 0 to %d", path,
                           value, i + 1, LABEL_MAX);
        labels[i] = (uint32_t)value;
        most = labels[i] > most ? labels[i] : most;
    }
    dataset->labels = labels;
    dataset->class_count = most + 1;
    return ES_OK;
}

static es_status labels_of_table(es_arena *arena, const file *f, es_dataset_opts opts,
                                 es_dataset *dataset, size_t *out_count, es_error *err)
{
    const es_data_table *table = NULL;
    ES_TRY(
        es_data_parse_csv(arena, f->path, (const char *)f->bytes, f->size, opts.head, &table, err));
    if (table->column_count != 1)
        return es_fail(err, ES_ERR_PARSE, "'%s': labels must be one column, not %zu", f->path,
                       table->column_count);
    const es_data_column *column = &table->columns[0];
    *out_count = table->row_count;
    if (column->codes != NULL) {
        dataset->labels = column->codes;
        dataset->class_count = column->word_count;
        dataset->class_names = column->words;
        return ES_OK;
    }
    es_data_array numbers = {
        .type = ES_DATA_F64, .rank = 1, .count = table->row_count, .bytes = column->numbers};
    return take_labels(arena, f->path, &numbers, dataset, err);
}

static es_status read_labels(es_arena *arena, const char *path, es_dataset_opts opts,
                             es_dataset *dataset, size_t *out_count, es_error *err)
{
    file f = {0};
    es_data_array array = {.type = ES_DATA_U8};
    ES_TRY(read_whole(arena, path, opts.cap_bytes, &f, err));
    if (ends_with(path, ".u8")) {
        array.count = f.size;
        array.bytes = f.bytes;
    } else if (guess(&f) == ES_DATA_FORMAT_CSV) {
        return labels_of_table(arena, &f, opts, dataset, out_count, err);
    } else if (guess(&f) == ES_DATA_FORMAT_NPY) {
        ES_TRY(es_data_parse_npy(arena, path, f.bytes, f.size, &array, err));
    } else {
        ES_TRY(es_data_parse_idx(arena, path, f.bytes, f.size, &array, err));
    }
    *out_count = array.count;
    return take_labels(arena, path, &array, dataset, err);
}

/* ---- samples ---- */

/* The first dimension counts the samples; images of rank 3 get one channel. */
static es_status set_samples(const char *path, const es_data_array *array, bool images,
                             es_dataset *dataset, es_error *err)
{
    es_data_array x = *array;
    if (images && x.rank == 3) {
        x = (es_data_array){.name = x.name,
                            .type = x.type,
                            .rank = 4,
                            .dims = {x.dims[0], 1, x.dims[1], x.dims[2]},
                            .count = x.count,
                            .bytes = x.bytes};
    }
    if (x.rank == 0 || x.count == 0)
        return es_fail(err, ES_ERR_PARSE, "'%s' has no samples", path);
    dataset->x = x;
    dataset->count = x.dims[0];
    dataset->size = x.count / x.dims[0];
    return ES_OK;
}

static es_status from_cifar(es_arena *arena, const file *f, size_t label_bytes, es_dataset *dataset,
                            es_error *err)
{
    size_t record = label_bytes + CIFAR_IMAGE;
    size_t count = f->size / record;
    if (count == 0 || f->size % record != 0)
        return es_fail(err, ES_ERR_PARSE,
                       "'%s': %zu bytes must be a positive multiple of %zu, a CIFAR record",
                       f->path, f->size, record);
    uint8_t *images = ES_TAKE_ARRAY(arena, uint8_t, count * CIFAR_IMAGE);
    uint8_t *labels = ES_TAKE_ARRAY(arena, uint8_t, count);
    if (images == NULL || labels == NULL)
        return es_arena_full(arena, f->path, err);
    for (size_t i = 0; i < count; i++) {
        labels[i] = f->bytes[i * record + label_bytes - 1];
        memcpy(images + i * CIFAR_IMAGE, f->bytes + i * record + label_bytes, CIFAR_IMAGE);
    }
    es_data_array array = {.name = "",
                           .type = ES_DATA_U8,
                           .rank = 4,
                           .dims = {count, 3, CIFAR_SIDE, CIFAR_SIDE},
                           .count = count * CIFAR_IMAGE,
                           .bytes = images};
    es_data_array marks = {.type = ES_DATA_U8, .rank = 1, .count = count, .bytes = labels};
    ES_TRY(set_samples(f->path, &array, true, dataset, err));
    return take_labels(arena, f->path, &marks, dataset, err);
}

static const es_data_array *find_member(const es_data_array *arrays, size_t count,
                                        const char *const *names)
{
    for (; *names != NULL; names++)
        for (size_t i = 0; i < count; i++)
            if (strcmp(arrays[i].name, *names) == 0)
                return &arrays[i];
    return NULL;
}

static es_status from_npz(es_arena *arena, const file *f, size_t cap_bytes, es_dataset *dataset,
                          es_error *err)
{
    static const char *const x_names[] = {"x", "images", "data", "x_test", "x_train", NULL};
    static const char *const y_names[] = {"y", "labels", "label", "y_test", "y_train", NULL};
    es_data_array *arrays = NULL;
    size_t count = 0;
    ES_TRY(es_data_parse_npz(arena, f->path, f->bytes, f->size, cap_bytes, &arrays, &count, err));
    const es_data_array *x = count == 1 ? &arrays[0] : find_member(arrays, count, x_names);
    if (x == NULL)
        return es_fail(err, ES_ERR_PARSE,
                       "'%s': none of its %zu members is named x, images or data", f->path, count);
    ES_TRY(set_samples(f->path, x, false, dataset, err));
    const es_data_array *y = find_member(arrays, count, y_names);
    if (y == NULL || y == x)
        return ES_OK;
    if (y->count != dataset->count)
        return es_fail(err, ES_ERR_PARSE, "'%s': %zu labels for %zu samples", f->path, y->count,
                       dataset->count);
    return take_labels(arena, f->path, y, dataset, err);
}

/* How long a sample is comes from the number of labels. */
static es_status from_f32(es_arena *arena, const file *f, size_t label_count, es_dataset *dataset,
                          es_error *err)
{
    size_t count = f->size / sizeof(float);
    if (label_count == 0)
        return es_fail(err, ES_ERR_ARG,
                       "'%s': bare floats need labels, to tell how many samples they are", f->path);
    if (f->size % sizeof(float) != 0 || count == 0 || count % label_count != 0)
        return es_fail(err, ES_ERR_PARSE,
                       "'%s': %zu bytes cannot be cut into %zu samples of floats", f->path, f->size,
                       label_count);
    es_data_array array = {.name = "",
                           .type = ES_DATA_F32,
                           .rank = 2,
                           .dims = {label_count, count / label_count},
                           .count = count};
    ES_TRY(es_data_adopt(arena, f->path, f->bytes, false, &array, err));
    return set_samples(f->path, &array, false, dataset, err);
}

static es_status from_file(es_arena *arena, const file *f, size_t label_count, es_dataset_opts opts,
                           es_dataset *dataset, es_error *err)
{
    es_data_array array = {0};
    const es_data_table *table = NULL;
    switch (opts.format != ES_DATA_FORMAT_AUTO ? opts.format : guess(f)) {
    case ES_DATA_FORMAT_IDX:
        ES_TRY(es_data_parse_idx(arena, f->path, f->bytes, f->size, &array, err));
        return set_samples(f->path, &array, true, dataset, err);
    case ES_DATA_FORMAT_CIFAR10:
        return from_cifar(arena, f, 1, dataset, err);
    case ES_DATA_FORMAT_CIFAR100:
        return from_cifar(arena, f, 2, dataset, err);
    case ES_DATA_FORMAT_NPY:
        ES_TRY(es_data_parse_npy(arena, f->path, f->bytes, f->size, &array, err));
        return set_samples(f->path, &array, false, dataset, err);
    case ES_DATA_FORMAT_NPZ:
        return from_npz(arena, f, opts.cap_bytes, dataset, err);
    case ES_DATA_FORMAT_CSV:
        opts.limit = label_count > 0 ? 0 : opts.limit; /* cut when both are there */
        ES_TRY(es_data_parse_csv(arena, f->path, (const char *)f->bytes, f->size, opts.head, &table,
                                 err));
        return es_dataset_from_table(arena, table, opts, dataset, err);
    case ES_DATA_FORMAT_F32:
        return from_f32(arena, f, label_count, dataset, err);
    case ES_DATA_FORMAT_AUTO:
    case ES_DATA_FORMAT_COUNT:
        break;
    }
    return es_fail(err, ES_ERR_UNSUPPORTED,
                   "'%s' is none of IDX, CIFAR records, NPY, NPZ, CSV, .f32", f->path);
}

static es_status check_finite(const es_dataset *dataset, es_error *err)
{
    if (dataset->x.type != ES_DATA_F32 && dataset->x.type != ES_DATA_F64)
        return ES_OK;
    for (size_t i = 0; i < dataset->x.count; i++) {
        double value = es_data_at(&dataset->x, i);
        if (!isfinite(value))
            return es_fail(err, ES_ERR_PARSE, "'%s': value %zu of sample %zu is %g", dataset->name,
                           i % dataset->size + 1, i / dataset->size + 1, value);
    }
    return ES_OK;
}

es_status es_dataset_load(es_arena *arena, const char *path, const char *labels_path,
                          es_dataset_opts opts, es_dataset *out_dataset, es_error *err)
{
    es_dataset labelled = {0};
    size_t label_count = 0;
    if (labels_path != NULL)
        ES_TRY(read_labels(arena, labels_path, opts, &labelled, &label_count, err));
    file f = {0};
    es_dataset dataset = {.name = es_arena_text(arena, path)};
    if (dataset.name == NULL)
        return es_arena_full(arena, path, err);
    ES_TRY(read_whole(arena, path, opts.cap_bytes, &f, err));
    f.path = dataset.name;
    ES_TRY(from_file(arena, &f, label_count, opts, &dataset, err));
    dataset.name = f.path;
    if (labels_path != NULL) {
        if (label_count != dataset.count)
            return es_fail(err, ES_ERR_PARSE, "'%s' has %zu labels for the %zu samples of '%s'",
                           labels_path, label_count, dataset.count, path);
        dataset.labels = labelled.labels;
        dataset.class_count = labelled.class_count;
        dataset.class_names = labelled.class_names;
    }
    ES_TRY(check_finite(&dataset, err));
    *out_dataset = es_dataset_head(&dataset, opts.limit);
    return ES_OK;
}

es_status es_dataset_load_labels(es_arena *arena, const char *path, es_dataset_opts opts,
                                 es_dataset *out_dataset, es_error *err)
{
    es_dataset dataset = {.name = es_arena_text(arena, path)};
    if (dataset.name == NULL)
        return es_arena_full(arena, path, err);
    ES_TRY(read_labels(arena, path, opts, &dataset, &dataset.count, err));
    if (dataset.count == 0)
        return es_fail(err, ES_ERR_PARSE, "'%s' has no labels", path);
    *out_dataset = es_dataset_head(&dataset, opts.limit);
    return ES_OK;
}

es_status es_data_read_array(es_arena *arena, const char *path, const char *member,
                             es_data_array *out_array, es_error *err)
{
    file f = {0};
    ES_TRY(read_whole(arena, path, es_dataset_opts_default().cap_bytes, &f, err));
    if (guess(&f) == ES_DATA_FORMAT_NPY)
        return es_data_parse_npy(arena, path, f.bytes, f.size, out_array, err);
    if (guess(&f) != ES_DATA_FORMAT_NPZ)
        return es_data_parse_idx(arena, path, f.bytes, f.size, out_array, err);
    es_data_array *arrays = NULL;
    size_t count = 0;
    ES_TRY(es_data_parse_npz(arena, path, f.bytes, f.size, es_dataset_opts_default().cap_bytes,
                             &arrays, &count, err));
    const char *const names[] = {member, NULL};
    const es_data_array *found = member != NULL ? find_member(arrays, count, names)
                                 : count == 1   ? &arrays[0]
                                                : NULL;
    if (found == NULL)
        return es_fail(err, ES_ERR_ARG, "'%s': %s%s among its %zu members", path,
                       member != NULL ? "no " : "name one", member != NULL ? member : "", count);
    *out_array = *found;
    return ES_OK;
}

/* ---- using one ---- */

es_dataset es_dataset_head(const es_dataset *dataset, size_t limit)
{
    es_dataset head = *dataset;
    if (limit > 0 && limit < head.count) {
        head.count = limit;
        head.x.dims[0] = limit;
        head.x.count = limit * head.size;
    }
    return head;
}

es_status es_dataset_take(es_arena *arena, const char *name, size_t rank, const size_t *dims,
                          es_dataset *out_dataset, float **out_values, es_error *err)
{
    es_dataset dataset = {.name = name, .x = {.name = "", .type = ES_DATA_F32, .rank = rank}};
    memcpy(dataset.x.dims, dims, rank * sizeof *dims);
    size_t bytes = 0;
    ES_TRY(es_data_shape(&dataset.x, name, &bytes, err));
    assert(dataset.x.count > 0);
    float *values = ES_TAKE_ARRAY(arena, float, dataset.x.count);
    if (values == NULL)
        return es_arena_full(arena, name, err);
    dataset.x.bytes = values;
    dataset.count = dims[0];
    dataset.size = dataset.x.count / dims[0];
    *out_dataset = dataset;
    *out_values = values;
    return ES_OK;
}

void es_dataset_sample(const es_dataset *dataset, size_t row, float *out)
{
    assert(row < dataset->count);
    es_data_floats(&dataset->x, row * dataset->size, dataset->size, out);
}

void es_dataset_class_counts(const es_dataset *dataset, size_t *counts)
{
    memset(counts, 0, dataset->class_count * sizeof *counts);
    for (size_t i = 0; dataset->labels != NULL && i < dataset->count; i++)
        counts[dataset->labels[i]]++;
}
