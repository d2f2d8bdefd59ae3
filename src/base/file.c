#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { CHUNK_SIZE = 64 * 1024, PATH_SIZE_MAX = 4096, TEMPORARY_COUNT_MAX = 100 };

static es_status fail_errno(es_error *err, const char *verb, const char *path)
{
    char reason[128];
    if (strerror_r(errno, reason, sizeof reason) != 0)
        (void)snprintf(reason, sizeof reason, "error %d", errno);
    return es_fail(err, ES_ERR_IO, "cannot %s '%s': %s", verb, path, reason);
}

static void gzclose_p(gzFile *file)
{
    if (*file != NULL)
        (void)gzclose(*file); /* read only: nothing is lost */
}

static void free_p(char **bytes)
{
    free(*bytes);
}

/* Reads all of file, growing on the heap, so that the arena gets one exact copy. */
static es_status read_all(gzFile file, const char *path, size_t cap_bytes, char **out, size_t *size,
                          es_error *err)
{
    ES_CLEANUP(free_p) char *bytes = NULL;
    size_t capacity = 0;
    size_t used = 0;
    for (;;) {
        if (used == capacity) {
            capacity = capacity > 0 ? capacity * 2 : CHUNK_SIZE;
            char *grown = realloc(bytes, capacity);
            if (grown == NULL)
                return es_fail(err, ES_ERR_NOMEM, "'%s': no memory for %zu bytes", path, capacity);
            bytes = grown;
        }
        size_t room = capacity - used;
        int got = gzread(file, bytes + used, room > 1u << 30 ? 1u << 30 : (unsigned)room);
        if (got < 0) {
            int code = 0;
            const char *why = gzerror(file, &code);
            if (code == Z_ERRNO)
                return fail_errno(err, "read", path);
            return es_fail(err, ES_ERR_PARSE, "cannot read '%s': %s", path, why);
        }
        used += (size_t)got;
        if (used > cap_bytes)
            return es_fail(err, ES_ERR_LIMIT, "'%s' is larger than the limit of %zu bytes", path,
                           cap_bytes);
        if (got == 0)
            break;
    }
    int code = Z_OK;
    const char *why = gzerror(file, &code);
    if (code == Z_BUF_ERROR) /* gzip stream cut short */
        return es_fail(err, ES_ERR_PARSE, "cannot read '%s': %s", path, why);
    *out = ES_TAKE(bytes);
    *size = used;
    return ES_OK;
}

static es_status read_file(es_arena *arena, const char *path, size_t cap_bytes, bool gunzip,
                           char **out_bytes, size_t *out_size, es_error *err)
{
    bool standard = strcmp(path, "-") == 0;
    int descriptor = standard ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return fail_errno(err, "open", path);
    struct stat about;
    if (fstat(descriptor, &about) == 0 && S_ISDIR(about.st_mode)) {
        (void)close(descriptor);
        return es_fail(err, ES_ERR_IO, "cannot read '%s': it is a folder", path);
    }
    ES_CLEANUP(gzclose_p) gzFile file = NULL;
    ES_CLEANUP(free_p) char *bytes = NULL;
    size_t size = 0;
    file = gzdopen(descriptor, "rb"); /* passes plain files through unchanged */
    if (file == NULL) {
        (void)close(descriptor);
        return es_fail(err, ES_ERR_NOMEM, "cannot read '%s': no memory", path);
    }
    if (!gunzip && gzdirect(file) == 0)
        return es_fail(err, ES_ERR_PARSE, "'%s' is gzip; gunzip it first", path);
    ES_TRY(read_all(file, path, cap_bytes, &bytes, &size, err));
    char *copy = es_arena_text_n(arena, bytes, size);
    if (copy == NULL)
        return es_within(err, es_arena_full(arena, "file", err), "'%s'", path);
    *out_bytes = copy;
    *out_size = size;
    return ES_OK;
}

es_status es_file_read(es_arena *arena, const char *path, size_t cap_bytes, char **out_bytes,
                       size_t *out_size, es_error *err)
{
    return read_file(arena, path, cap_bytes, false, out_bytes, out_size, err);
}

es_status es_file_read_gz(es_arena *arena, const char *path, size_t cap_bytes, char **out_bytes,
                          size_t *out_size, es_error *err)
{
    return read_file(arena, path, cap_bytes, true, out_bytes, out_size, err);
}

static bool write_all(int descriptor, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(descriptor, bytes, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return false;
        bytes += written;
        size -= (size_t)written;
    }
    return true;
}

/* Makes a new file beside path; O_EXCL keeps processes and threads apart. -1 with errno. */
static int make_temporary(const char *path, char temporary[PATH_SIZE_MAX])
{
    for (int attempt = 0; attempt < TEMPORARY_COUNT_MAX; attempt++) {
        int length =
            snprintf(temporary, PATH_SIZE_MAX, "%s.%ld-%d.tmp", path, (long)getpid(), attempt);
        if (length < 0 || length >= PATH_SIZE_MAX) {
            errno = ENAMETOOLONG;
            return -1;
        }
        int descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (descriptor >= 0 || errno != EEXIST)
            return descriptor;
    }
    return -1;
}

/* mode of the file that is replaced, or 0 when there is none. */
static es_status replace_file(const char *path, mode_t mode, const void *bytes, size_t size,
                              es_error *err)
{
    char temporary[PATH_SIZE_MAX];
    int descriptor = make_temporary(path, temporary);
    if (descriptor < 0)
        return fail_errno(err, "write", path);
    bool ok = write_all(descriptor, bytes, size) &&
              (mode == 0 || fchmod(descriptor, mode & 0777) == 0) && fsync(descriptor) == 0;
    es_status status = ok ? ES_OK : fail_errno(err, "write", path);
    if (close(descriptor) != 0 && status == ES_OK)
        status = fail_errno(err, "write", path);
    if (status == ES_OK && rename(temporary, path) != 0)
        status = fail_errno(err, "write", path);
    if (status != ES_OK)
        (void)unlink(temporary); /* best effort: the first failure is the one to tell */
    return status;
}

/* Devices, pipes and links are written to, never replaced: /dev/null must stay what it is. */
static es_status write_in_place(const char *path, const void *bytes, size_t size, es_error *err)
{
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (descriptor < 0)
        return fail_errno(err, "write", path);
    es_status status = write_all(descriptor, bytes, size) ? ES_OK : fail_errno(err, "write", path);
    if (close(descriptor) != 0 && status == ES_OK)
        status = fail_errno(err, "write", path);
    return status;
}

es_status es_file_write(const char *path, const void *bytes, size_t size, es_error *err)
{
    if (strcmp(path, "-") == 0) {
        (void)fflush(stdout); /* what was printed before comes first */
        return write_all(STDOUT_FILENO, bytes, size) ? ES_OK : fail_errno(err, "write", "stdout");
    }
    struct stat about;
    if (lstat(path, &about) != 0)
        return replace_file(path, 0, bytes, size, err);
    if (S_ISDIR(about.st_mode))
        return es_fail(err, ES_ERR_IO, "cannot write '%s': it is a folder", path);
    if (!S_ISREG(about.st_mode))
        return write_in_place(path, bytes, size, err);
    return replace_file(path, about.st_mode, bytes, size, err);
}

es_status es_file_make_folder(const char *path, es_error *err)
{
    char partial[PATH_SIZE_MAX];
    size_t size = strlen(path);
    if (size >= sizeof partial)
        return es_fail(err, ES_ERR_ARG, "path is longer than %d bytes: '%.80s...'", PATH_SIZE_MAX,
                       path);
    memcpy(partial, path, size + 1);
    for (size_t i = 1; i <= size; i++) {
        if (partial[i] != '/' && partial[i] != '\0')
            continue;
        char kept = partial[i];
        partial[i] = '\0';
        if (mkdir(partial, 0777) != 0 && errno != EEXIST)
            return fail_errno(err, "make folder", partial);
        partial[i] = kept;
    }
    struct stat about;
    if (stat(path, &about) != 0 || !S_ISDIR(about.st_mode))
        return es_fail(err, ES_ERR_IO, "'%s' is not a folder", path);
    return ES_OK;
}

bool es_file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

char *es_file_join(es_arena *arena, const char *folder, const char *name)
{
    if (folder == NULL || *folder == '\0' || *name == '/')
        return es_arena_text(arena, name);
    return es_arena_format(arena, "%s/%s", folder, name);
}

char *es_file_folder(es_arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return es_arena_text(arena, ".");
    return slash == path ? es_arena_text(arena, "/")
                         : es_arena_text_n(arena, path, (size_t)(slash - path));
}
