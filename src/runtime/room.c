/* How much memory this process may still take: of the machine, of its control groups (version 2 and
 * 1, this one and those above it), of its own limit. Linux; elsewhere not known. */
#include "runtime/internal.h"

#include <sys/resource.h>
#include <unistd.h>

enum { PATH_SIZE = 1024, LINE_SIZE = 512 };

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t less(uint64_t limit, uint64_t used)
{
    return limit > used ? limit - used : 0;
}

/* The number behind key (none: the first), false when it is not there or a word, as "max". */
static bool read_number(const char *path, const char *key, uint64_t *out)
{
    char line[LINE_SIZE];
    bool found = false;
    FILE *file = fopen(path, "re");
    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
        size_t size = strlen(key);
        char *end = NULL;
        if (strncmp(line, key, size) != 0)
            continue;
        *out = strtoull(line + size, &end, 10);
        found = end > line + size;
    }
    if (file != NULL)
        (void)fclose(file); /* only read */
    return found;
}

static bool read_here(const char *folder, const char *name, const char *key, uint64_t *out)
{
    char path[PATH_SIZE];
    int size = snprintf(path, sizeof path, "%s/%s", folder, name);
    return size > 0 && (size_t)size < sizeof path && read_number(path, key, out);
}

/* ---- control groups ---- */

typedef struct group_names {
    const char *mount, *limit, *used, *cached; /* cached: a line of memory.stat */
} group_names;

/* Pages of files that could be dropped count as free. */
static uint64_t group_room(const char *folder, const group_names *names)
{
    uint64_t limit = 0;
    uint64_t used = 0;
    uint64_t cached = 0;
    if (!read_here(folder, names->limit, "", &limit) || !read_here(folder, names->used, "", &used))
        return UINT64_MAX;
    (void)read_here(folder, "memory.stat", names->cached, &cached); /* else none */
    return less(limit, less(used, cached));
}

/* The group and all above it. In a container the path may be the machine's, of which only the root
 * is seen here. */
static uint64_t groups_room(const char *root, const char *group, const group_names *names)
{
    char folder[PATH_SIZE];
    uint64_t room = UINT64_MAX;
    size_t head = (size_t)snprintf(folder, sizeof folder, "%s/sys/fs/cgroup%s", root, names->mount);
    int size = snprintf(folder, sizeof folder, "%s/sys/fs/cgroup%s%s", root, names->mount, group);
    if (head >= sizeof folder || size < 0 || (size_t)size >= sizeof folder)
        return room;
    for (;;) {
        room = least(room, group_room(folder, names));
        char *slash = strrchr(folder, '/');
        if (slash == NULL || (size_t)(slash - folder) < head)
            return room;
        *slash = '\0';
    }
}

/* Lines NUMBER:CONTROLLERS:PATH; version 2 is 0::PATH. */
static uint64_t all_groups_room(const char *root)
{
    static const group_names second = {"", "memory.max", "memory.current", "inactive_file "};
    static const group_names first = {"/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                                      "total_inactive_file "};
    char line[LINE_SIZE];
    char path[PATH_SIZE];
    uint64_t room = UINT64_MAX;
    (void)snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        char *controllers = strchr(line, ':');
        char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (group == NULL)
            continue;
        *group++ = '\0';
        group[strcspn(group, "\n")] = '\0';
        if (strcmp(controllers, ":") == 0)
            room = least(room, groups_room(root, group, &second));
        else if (strcmp(controllers, ":memory") == 0)
            room = least(room, groups_room(root, group, &first));
    }
    if (file != NULL)
        (void)fclose(file); /* only read */
    return room;
}

/* ---- the whole ---- */

static uint64_t own_room(void)
{
    struct rlimit limit;
    uint64_t pages = 0;
    long page = sysconf(_SC_PAGESIZE);
    if (page <= 0 || getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
        !read_number("/proc/self/statm", "", &pages))
        return UINT64_MAX;
    return less(limit.rlim_cur, pages * (uint64_t)page);
}

uint64_t es_memory_room_bytes(const char *root)
{
    uint64_t kib = 0;
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/proc/meminfo", root);
    uint64_t machine = read_number(path, "MemAvailable:", &kib) ? kib * 1024 : UINT64_MAX;
    return least(least(machine, all_groups_room(root)), own_room());
}
