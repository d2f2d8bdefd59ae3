/*
 * tar: walks the regular files of a ustar archive in memory. For tests.
 */
#ifndef ES_RUNTIME_TESTING_TAR_H
#define ES_RUNTIME_TESTING_TAR_H

#include <stdbool.h>
#include <stddef.h>

typedef struct tar_file {
    char name[260];
    const char *bytes; /* inside the archive */
    size_t size;
} tar_file;

/* The file at *offset, which moves on to the next; false at the end or at anything malformed. */
bool tar_next(const char *archive, size_t archive_size, size_t *offset, tar_file *out);

#endif
