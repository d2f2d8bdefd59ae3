/* A table as samples: one per row, or windows of a series. */
#include "base/checked.h"
#include "base/text.h"
#include "data/internal.h"

#include <math.h>
#include <string.h>

/* One feature: a column of numbers, or one word of a column of words. */
typedef struct feature {
    const es_data_column *column;
    uint32_t word;
} feature;

typedef struct maker {
    es_arena *arena;
    const es_data_table *table;
    es_dataset_opts opts;
    const es_data_column *label; /* NULL: none */
    const feature *features;
    size_t feature_count;
} maker;

static es_status find_label(maker *m, es_error *err)
{
    const es_data_table *table = m->table;
    if (m->opts.label != NULL) {
        m->label = es_data_table_column(table, m->opts.label);
        return m->label != NULL ? ES_OK
                                : es_fail(err, ES_ERR_ARG, "'%s': there is no column '%s'",
                                          table->name, m->opts.label);
    }
    static const char *const usual[] = {"label", "class", "Label", "Class"};
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++)
        for (size_t k = 0; m->label == NULL && k < table->column_count; k++)
            if (strcmp(table->columns[k].name, usual[i]) == 0)
                m->label = &table->columns[k];
    for (size_t k = table->column_count; m->label == NULL && k-- > 0;)
        if (table->columns[k].codes != NULL)
            m->label = &table->columns[k];
    return ES_OK;
}

static es_status mark_left_out(const maker *m, bool *left_out, es_error *err)
{
    for (const char *at = m->opts.leave_out; at != NULL && *at != '\0';) {
        size_t size = strcspn(at, ",");
        char *name = es_arena_text_n(m->arena, at, size);
        if (name == NULL)
            return es_arena_full(m->arena, "columns", err);
        const es_data_column *column = es_data_table_column(m->table, name);
        if (column == NULL)
            return es_fail(err, ES_ERR_ARG, "'%s': there is no column '%s' to leave out",
                           m->table->name, name);
        left_out[column - m->table->columns] = true;
        at += size + (at[size] == ',' ? 1 : 0);
    }
    return ES_OK;
}

static es_status find_features(maker *m, es_error *err)
{
    const es_data_table *table = m->table;
    bool *left_out = ES_TAKE_ARRAY(m->arena, bool, table->column_count);
    if (left_out == NULL)
        return es_arena_full(m->arena, "columns", err);
    ES_TRY(mark_left_out(m, left_out, err));
    size_t count = 0;
    for (size_t i = 0; i < table->column_count; i++) {
        const es_data_column *column = &table->columns[i];
        if (&table->columns[i] == m->label)
            left_out[i] = true;
        if (left_out[i])
            continue;
        if (column->codes != NULL && !m->opts.one_hot)
            return es_fail(err, ES_ERR_ARG, "'%s': column '%s' has words ('%.40s'), not numbers",
                           table->name, column->name, column->words[0]);
        count += column->codes != NULL ? column->word_count : 1;
    }
    if (count == 0)
        return es_fail(err, ES_ERR_PARSE, "'%s': no column is left as a feature", table->name);
    if (count > ES_DATA_COLUMNS_MAX)
        return es_fail(err, ES_ERR_LIMIT,
                       "'%s': %zu features of words and numbers are more than %d", table->name,
                       count, ES_DATA_COLUMNS_MAX);
    feature *features = ES_TAKE_ARRAY(m->arena, feature, count);
    if (features == NULL)
        return es_arena_full(m->arena, "features", err);
    for (size_t i = 0; i < table->column_count; i++)
        for (uint32_t w = 0; !left_out[i] && (w == 0 || w < table->columns[i].word_count); w++)
            features[m->feature_count++] = (feature){.column = &table->columns[i], .word = w};
    m->features = features;
    return ES_OK;
}

/* Numbers keep their value as label; words get theirs by appearance. */
static es_status label_of(const maker *m, size_t row, uint32_t *out, es_error *err)
{
    if (m->label->codes != NULL) {
        *out = m->label->codes[row];
        return ES_OK;
    }
    double value = m->label->numbers[row];
    if (!(value >= 0 && value <= 1 << 20) || value > floor(value))
        return es_fail(err, ES_ERR_PARSE,
                       "'%s': label %g of row %zu must be a whole number from 0 to %d",
                       m->table->name, value, row + 1, 1 << 20);
    *out = (uint32_t)value;
    return ES_OK;
}

static es_status value_of(const maker *m, const feature *from, size_t row, float *out,
                          es_error *err)
{
    if (from->column->codes != NULL) {
        *out = from->column->codes[row] == from->word ? 1 : 0;
        return ES_OK;
    }
    *out = (float)from->column->numbers[row];
    return isfinite(*out) ? ES_OK
                          : es_fail(err, ES_ERR_PARSE, "'%s': row %zu has no number in column '%s'",
                                    m->table->name, row + 1, from->column->name);
}

/* Starts of the windows that have one label; fills labels when given. */
static es_status find_windows(const maker *m, size_t steps, size_t stride, size_t *starts,
                              uint32_t *labels, size_t *out_count, es_error *err)
{
    size_t count = 0;
    for (size_t at = 0; at + steps <= m->table->row_count; at += stride) {
        uint32_t first = 0;
        uint32_t other = 0;
        if (m->label != NULL) {
            ES_TRY(label_of(m, at, &first, err));
            other = first;
            for (size_t k = 1; k < steps && other == first; k++)
                ES_TRY(label_of(m, at + k, &other, err));
        }
        if (other != first)
            continue;
        starts[count] = at;
        labels[count++] = first;
        if (stride > m->table->row_count - at)
            break;
    }
    *out_count = count;
    return ES_OK;
}

static void set_labels(const maker *m, uint32_t *labels, es_dataset *dataset)
{
    uint32_t most = 0;
    if (m->label == NULL)
        return;
    for (size_t i = 0; i < dataset->count; i++)
        most = labels[i] > most ? labels[i] : most;
    dataset->labels = labels;
    dataset->class_count = m->label->codes != NULL ? m->label->word_count : most + 1;
    dataset->class_names = m->label->words;
}

static es_status fill(const maker *m, size_t steps, const size_t *starts, size_t count,
                      float *values, es_error *err)
{
    for (size_t i = 0; i < count; i++)
        for (size_t f = 0; f < m->feature_count; f++)
            for (size_t k = 0; k < steps; k++)
                ES_TRY(value_of(m, &m->features[f], starts[i] + k,
                                &values[(i * m->feature_count + f) * steps + k], err));
    return ES_OK;
}

es_status es_dataset_from_table(es_arena *arena, const es_data_table *table, es_dataset_opts opts,
                                es_dataset *out_dataset, es_error *err)
{
    maker m = {.arena = arena, .table = table, .opts = opts};
    size_t steps = opts.window > 0 ? opts.window : 1;
    size_t stride = opts.window > 0 && opts.stride > 0 ? opts.stride : steps;
    if (steps > table->row_count)
        return es_fail(err, ES_ERR_ARG, "'%s': %zu rows are less than a window of %zu", table->name,
                       table->row_count, steps);
    ES_TRY(find_label(&m, err));
    ES_TRY(find_features(&m, err));
    size_t most = (table->row_count - steps) / stride + 1;
    size_t *starts = ES_TAKE_ARRAY(arena, size_t, most);
    uint32_t *labels = ES_TAKE_ARRAY(arena, uint32_t, most);
    if (starts == NULL || labels == NULL)
        return es_arena_full(arena, "windows", err);
    size_t count = 0;
    ES_TRY(find_windows(&m, steps, stride, starts, labels, &count, err));
    if (count == 0)
        return es_fail(err, ES_ERR_PARSE, "'%s': no window of %zu rows has one label", table->name,
                       steps);
    if (opts.limit > 0 && count > opts.limit)
        count = opts.limit;
    float *values = NULL;
    const size_t dims[] = {count, m.feature_count, steps};
    ES_TRY(es_dataset_take(arena, table->name, opts.window > 0 ? 3 : 2, dims, out_dataset, &values,
                           err));
    set_labels(&m, labels, out_dataset);
    return fill(&m, steps, starts, count, values, err);
}
