#include "base/log.h"

#include <stdatomic.h>

static _Atomic int level_now = ES_LOG_INFO;

void es_log_level_set(es_log_level level)
{
    atomic_store(&level_now, (int)level);
}

es_log_level es_log_level_get(void)
{
    return (es_log_level)atomic_load(&level_now);
}

void es_log(es_log_level level, const char *module, const char *format, ...)
{
    static const char *const names[ES_LOG_COUNT] = {"error", "warning", "info", "debug"};
    if (level > es_log_level_get())
        return;
    char line[1024];
    int head = snprintf(line, sizeof line, "%s %s ", names[level], module);
    if (head < 0 || (size_t)head >= sizeof line)
        return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line + head, sizeof line - (size_t)head, format, args);
    va_end(args);
    (void)fprintf(stderr, "%s\n", line); /* nowhere to report a failure of the log itself */
}
