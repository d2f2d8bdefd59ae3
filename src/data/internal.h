/*
 * data/internal: what the parsers share.
 */
#ifndef ES_DATA_INTERNAL_H
#define ES_DATA_INTERNAL_H

#include "data/data.h"

/* Fills count from rank and dims; size_bytes is count values. ES_ERR_LIMIT on overflow. */
es_status es_data_shape(es_data_array *array, const char *name, size_t *out_size_bytes,
                        es_error *err) ES_MUST_CHECK;

/* Values of array->type from raw (array->count of them, any alignment), swapped when told. One-byte
 * values and aligned ones stay where they are. */
es_status es_data_adopt(es_arena *arena, const char *name, const void *raw, bool swap,
                        es_data_array *array, es_error *err) ES_MUST_CHECK;

/* A table as samples, by the options for CSV. */
es_status es_dataset_from_table(es_arena *arena, const es_data_table *table, es_dataset_opts opts,
                                es_dataset *out_dataset, es_error *err) ES_MUST_CHECK;

/* count * size floats for x of a dataset, zeroed. */
es_status es_dataset_take(es_arena *arena, const char *name, size_t rank, const size_t *dims,
                          es_dataset *out_dataset, float **out_values, es_error *err) ES_MUST_CHECK;

#endif
