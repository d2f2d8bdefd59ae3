/* What the operating system tells of this machine and this process (Linux; else unknown). */
#include "runtime/internal.h"

#include <fcntl.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { PROC_TEXT_SIZE = 1 << 16 };

/* The first value behind "key" and a colon in a /proc file; false when there is none. */
static bool proc_value(const char *path, const char *key, char *out, size_t size)
{
    char *text = malloc(PROC_TEXT_SIZE);
    int file = text != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t got = file >= 0 ? read(file, text, PROC_TEXT_SIZE - 1) : -1;
    if (file >= 0)
        (void)close(file); /* only read */
    bool found = false;
    if (got > 0) {
        text[got] = '\0';
        size_t key_size = strlen(key);
        for (char *line = text; line != NULL && !found; line = strchr(line, '\n')) {
            line += *line == '\n';
            char *colon = strncmp(line, key, key_size) == 0 ? strchr(line, ':') : NULL;
            if (colon == NULL)
                continue;
            colon += 1 + strspn(colon + 1, " \t");
            (void)snprintf(out, size, "%.*s", (int)strcspn(colon, "\n"), colon);
            found = true;
        }
    }
    free(text);
    return found;
}

static uint64_t status_bytes(const char *key)
{
    char value[64];
    if (!proc_value("/proc/self/status", key, value, sizeof value))
        return 0;
    return strtoull(value, NULL, 10) * 1024; /* the kernel says kB and means KiB */
}

uint64_t es_memory_resident_bytes(void)
{
    return status_bytes("VmRSS");
}

uint64_t es_memory_peak_bytes(void)
{
    return status_bytes("VmHWM");
}

void es_memory_peak_reset(void)
{
    int file = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return;
    (void)!write(file, "5", 1); /* refused: the peak is then that of the whole process */
    (void)close(file);          /* nothing of ours is in the file */
}

char *es_host_name(es_arena *arena)
{
    struct utsname names;
    return es_arena_text(arena, uname(&names) == 0 ? names.nodename : "unknown");
}

char *es_host_cpu(es_arena *arena)
{
    char name[128];
    struct utsname names;
    if (proc_value("/proc/cpuinfo", "model name", name, sizeof name))
        return es_arena_text(arena, name);
    return es_arena_text(arena, uname(&names) == 0 ? names.machine : "unknown");
}
