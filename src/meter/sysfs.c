/* Text files of the kernel: one number or word each. */
#include "internal.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { NUMBER_SIZE = 64 };

bool es_sysfs_path(char out[ES_METER_PATH_SIZE], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = vsnprintf(out, ES_METER_PATH_SIZE, format, args);
    va_end(args);
    return size > 0 && size < ES_METER_PATH_SIZE;
}

static void trim(char *words)
{
    size_t size = strlen(words);
    while (size > 0 && isspace((unsigned char)words[size - 1]))
        words[--size] = '\0';
    size_t first = 0;
    while (isspace((unsigned char)words[first]))
        first++;
    memmove(words, words + first, size - first + 1);
}

bool es_sysfs_read_fd(int fd, char *out, size_t size)
{
    ssize_t got = pread(fd, out, size - 1, 0);
    out[got > 0 ? got : 0] = '\0';
    if (got < 0)
        return false;
    trim(out);
    return true;
}

bool es_sysfs_read(const char *path, char *out, size_t size)
{
    out[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool good = es_sysfs_read_fd(fd, out, size);
    int reason = errno;
    (void)close(fd); /* it was only read */
    errno = reason;
    return good;
}

bool es_sysfs_unsigned_fd(int fd, uint64_t *out)
{
    char words[NUMBER_SIZE];
    return es_sysfs_read_fd(fd, words, sizeof words) && es_text_to_uint64(words, out);
}

bool es_sysfs_signed_fd(int fd, int64_t *out)
{
    char words[NUMBER_SIZE];
    return es_sysfs_read_fd(fd, words, sizeof words) && es_text_to_int64(words, out);
}

bool es_sysfs_unsigned(const char *path, uint64_t *out)
{
    char words[NUMBER_SIZE];
    return es_sysfs_read(path, words, sizeof words) && es_text_to_uint64(words, out);
}

static int by_name(const void *a, const void *b)
{
    const char *const *left = a;
    const char *const *right = b;
    size_t left_size = strlen(*left);
    size_t right_size = strlen(*right);
    if (left_size != right_size) /* hwmon2 before hwmon10 */
        return left_size < right_size ? -1 : 1;
    return strcmp(*left, *right);
}

size_t es_sysfs_list(es_arena *arena, const char *path, const char ***out_names)
{
    DIR *folder = opendir(path);
    if (folder == NULL)
        return 0;
    const char **names = ES_TAKE_ARRAY(arena, const char *, ES_METER_LIST_MAX);
    size_t count = 0;
    struct dirent *entry;
    while (names != NULL && count < ES_METER_LIST_MAX && (entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        names[count] = es_arena_text(arena, entry->d_name);
        count += names[count] != NULL;
    }
    (void)closedir(folder); /* it was only read */
    if (count > 0)
        qsort((void *)names, count, sizeof *names, by_name);
    *out_names = names;
    return count;
}

bool es_sysfs_numbered(const char *name, const char *before, const char *after, uint32_t *out)
{
    size_t size = strlen(before);
    if (strncmp(name, before, size) != 0)
        return false;
    uint32_t number = 0;
    size_t at = size;
    for (; isdigit((unsigned char)name[at]) && at < size + 6; at++)
        number = 10 * number + (uint32_t)(name[at] - '0');
    if (at == size || strcmp(name + at, after) != 0)
        return false;
    *out = number;
    return true;
}

/* The next number behind spaces; false at anything else. */
static bool next_number(const char **at, uint64_t *out)
{
    while (**at == ' ')
        (*at)++;
    if (!isdigit((unsigned char)**at))
        return false;
    uint64_t number = 0;
    for (; isdigit((unsigned char)**at); (*at)++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(**at - '0'), &number))
            return false;
    *out = number;
    return true;
}

bool es_proc_stat_parse(const char *words, uint64_t *out_busy, uint64_t *out_all,
                        uint32_t *out_cpu_count)
{
    /* user nice system idle iowait irq softirq steal; guest is inside user */
    enum { IDLE = 3, WAIT = 4, STEAL = 7, FIELDS = 8 };
    if (strncmp(words, "cpu ", 4) != 0)
        return false;
    const char *at = words + 4;
    uint64_t busy = 0;
    uint64_t all = 0;
    for (int i = 0; i < FIELDS; i++) {
        uint64_t ticks = 0;
        if (!next_number(&at, &ticks)) {
            if (i <= IDLE)
                return false;
            break; /* old kernels have fewer */
        }
        if (i == STEAL) /* another guest's work */
            break;
        if (__builtin_add_overflow(all, ticks, &all))
            return false;
        busy += i == IDLE || i == WAIT ? 0 : ticks;
    }
    uint32_t count = 0;
    for (at = strchr(words, '\n'); at != NULL && strncmp(at, "\ncpu", 4) == 0;
         at = strchr(at + 1, '\n'))
        count++;
    *out_busy = busy;
    *out_all = all;
    *out_cpu_count = count;
    return true;
}

bool es_proc_pid_parse(const char *words, uint64_t *out_ticks)
{
    enum { FIELD_STATE = 3, FIELD_USER = 14, FIELD_SYSTEM = 15 };
    const char *at = strrchr(words, ')');
    if (at == NULL)
        return false;
    uint64_t user = 0;
    uint64_t kernel = 0;
    at++;
    for (int field = FIELD_STATE; field < FIELD_USER; field++) {
        while (*at == ' ')
            at++;
        if (*at == '\0')
            return false;
        while (*at != ' ' && *at != '\0')
            at++;
    }
    return next_number(&at, &user) && next_number(&at, &kernel) &&
           !__builtin_add_overflow(user, kernel, out_ticks);
}
