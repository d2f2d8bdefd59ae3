/*
 * Scores of all test samples at one answer, in a file beside the model: for `estran calibrate`.
 */
#include "compress/internal.h"

#include <string.h>

es_status es_sheet_put(es_arena *arena, es_sheet *sheet, size_t count, size_t sample,
                       const es_tensor *answer, es_error *err)
{
    size_t classes = es_tensor_count(answer);
    size_t cells = 0;
    if (sheet->values == NULL) {
        if (!es_size_mul(count, classes, &cells))
            return es_fail(err, ES_ERR_LIMIT, "%zu scores of %zu samples are too many", classes,
                           count);
        *sheet = (es_sheet){
            .values = ES_TAKE_ARRAY(arena, float, cells), .count = count, .classes = classes};
        if (sheet->values == NULL)
            return es_arena_full(arena, "scores", err);
    }
    memcpy(sheet->values + sample * sheet->classes, answer->data, classes * sizeof(float));
    return ES_OK;
}

es_status es_sheet_write(es_arena *arena, const es_sheet *sheet, const char *model_path,
                         es_error *err)
{
    const es_data_array array = {.name = "",
                                 .type = ES_DATA_F32,
                                 .rank = 2,
                                 .dims = {sheet->count, sheet->classes},
                                 .count = sheet->count * sheet->classes,
                                 .bytes = sheet->values};
    const char *path =
        es_arena_format(arena, "%.*s.scores.npy", (int)es_model_stem_size(model_path), model_path);
    if (path == NULL)
        return es_arena_full(arena, "path", err);
    return es_data_write_npy(path, &array, err);
}
