/*
 * file: whole files in, whole files out; nothing half-written is left behind.
 */
#ifndef ES_BASE_FILE_H
#define ES_BASE_FILE_H

#include "base/arena.h"

#include <stdbool.h>

/* The whole of path into the arena, at most cap_bytes, with a terminator behind it. path "-" is
 * standard input. Errors: ES_ERR_IO with the system's reason; ES_ERR_LIMIT when it is larger. */
es_status es_file_read(es_arena *arena, const char *path, size_t cap_bytes, char **out_bytes,
                       size_t *out_size, es_error *err) ES_MUST_CHECK;

/* Like es_file_read, and gunzips when the file starts as gzip; cap_bytes bounds the result. */
es_status es_file_read_gz(es_arena *arena, const char *path, size_t cap_bytes, char **out_bytes,
                          size_t *out_size, es_error *err) ES_MUST_CHECK;

/* Writes to a temporary name beside path, syncs, renames: readers see the old or the new file.
 * path "-" is standard output. On failure the temporary file is removed. Devices, pipes
 * and links are written in place; a replaced file keeps its mode. */
es_status es_file_write(const char *path, const void *bytes, size_t size,
                        es_error *err) ES_MUST_CHECK;

/* Makes path and the folders above it; fine when they are there. */
es_status es_file_make_folder(const char *path, es_error *err) ES_MUST_CHECK;

bool es_file_exists(const char *path);

/* folder/name, or name alone when it is absolute or folder is NULL or empty. NULL on a full arena.
 */
char *es_file_join(es_arena *arena, const char *folder, const char *name) ES_MUST_CHECK;

/* The folder of path: "a/b.yaml" gives "a", "b.yaml" gives ".". NULL on a full arena. */
char *es_file_folder(es_arena *arena, const char *path) ES_MUST_CHECK;

#endif
