/* The first byte chooses the format, the rest is the file. */
#include "data/data.h"

#include <assert.h>
#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(const es_data_array *array)
{
    size_t count = 1;
    for (size_t i = 0; i < array->rank; i++)
        count *= array->dims[i];
    assert(count == array->count);
    if (count > 0)
        (void)(es_data_at(array, 0) + es_data_at(array, count - 1));
}

static void look_at_table(const es_data_table *table)
{
    for (size_t i = 0; i < table->column_count; i++) {
        const es_data_column *column = &table->columns[i];
        assert((column->numbers == NULL) != (column->codes == NULL));
        for (size_t r = 0; r < table->row_count; r++)
            assert(column->codes == NULL || column->codes[r] < column->word_count);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)16 << 20);
    if (arena == NULL)
        return 0;
    es_error err = {0};
    es_data_array one = {0};
    es_data_array *many = NULL;
    size_t count = 0;
    const es_data_table *table = NULL;
    es_status status = ES_OK;
    const uint8_t *bytes = data + 1;
    size--;
    switch (data[0] % 4) {
    case 0:
        status = es_data_parse_idx(arena, "fuzz", bytes, size, &one, &err);
        break;
    case 1:
        status = es_data_parse_npy(arena, "fuzz", bytes, size, &one, &err);
        break;
    case 2:
        status = es_data_parse_npz(arena, "fuzz", bytes, size, 1 << 20, &many, &count, &err);
        break;
    default:
        status = es_data_parse_csv(arena, "fuzz", (const char *)bytes, size,
                                   (es_data_head)(data[0] / 4 % 3), &table, &err);
        break;
    }
    if (status != ES_OK) {
        assert(err.text[0] != '\0');
    } else if (table != NULL) {
        look_at_table(table);
    } else if (many != NULL) {
        for (size_t i = 0; i < count; i++)
            look(&many[i]);
    } else {
        look(&one);
    }
    return 0;
}
