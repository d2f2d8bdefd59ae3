#include "base/file.h"
#include "compress/internal.h"

#include <string.h>

enum { CPUINFO_BYTES = 1 << 20 };

bool es_cpu_saturates(void)
{
#if defined(__x86_64__) || defined(__i386__)
    char *text = NULL;
    size_t size = 0;
    bool has_vnni = false;
    es_arena *arena = es_arena_new((size_t)2 * CPUINFO_BYTES);
    if (arena != NULL &&
        es_file_read(arena, "/proc/cpuinfo", CPUINFO_BYTES, &text, &size, NULL) == ES_OK)
        has_vnni = strstr(text, " avx512_vnni") != NULL || strstr(text, " avx_vnni") != NULL;
    es_arena_free(arena);
    return !has_vnni;
#else
    return false;
#endif
}
