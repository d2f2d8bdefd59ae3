/*
 * model_config_internal: what the readers of the configuration's parts share.
 */
#ifndef ES_SERVE_MODEL_CONFIG_INTERNAL_H
#define ES_SERVE_MODEL_CONFIG_INTERNAL_H

#include "model_config.h"

/* ---- model_config_values.c: one value or a list of them; digits in quotes (protobuf's JSON
 * writes int64 so) ---- */

typedef struct es_config_items {
    const es_doc *const *at;
    size_t count;
    const es_doc *single;
} es_config_items;

/* value NULL: none. out must stay where it is. */
void es_config_items_of(const es_doc *value, es_config_items *out);

es_status es_config_expect_integer(const es_doc *value, int64_t min, int64_t max, int64_t *out,
                                   es_error *err) ES_MUST_CHECK;
/* Absent: *out stays. */
es_status es_config_get_integer(const es_doc *map, const char *key, int64_t min, int64_t max,
                                int64_t *out, es_error *err) ES_MUST_CHECK;
es_status es_config_get_u32(const es_doc *map, const char *key, uint32_t min, uint32_t max,
                            uint32_t *out, es_error *err) ES_MUST_CHECK;
es_status es_config_get_copy(es_arena *arena, const es_doc *map, const char *key, const char **out,
                             es_error *err) ES_MUST_CHECK;
/* Names of files stand below the model's folder and nowhere else. */
es_status es_config_get_file(es_arena *arena, const es_doc *map, const char *key, const char **out,
                             es_error *err) ES_MUST_CHECK;
es_status es_config_get_dtype(const es_doc *map, es_dtype *out, es_error *err) ES_MUST_CHECK;
/* value NULL: rank 0. */
es_status es_config_read_dims(const es_doc *value, size_t *out_rank,
                              int64_t out_dims[ES_TENSOR_RANK_MAX], es_error *err) ES_MUST_CHECK;

/* ---- parts ---- */
es_status es_config_read_batching(const es_doc *root, es_model_config *out,
                                  es_error *err) ES_MUST_CHECK;
es_status es_config_read_warmups(es_arena *arena, const es_doc *root, es_model_config *out,
                                 es_error *err) ES_MUST_CHECK;

#endif
