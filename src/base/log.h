/*
 * log: lines for people, on stderr: `level module message key=value...`.
 *
 * Only cli, serve and kube log; libraries return errors. The level is the one mutable global.
 * Threads: any; a line is written whole.
 */
#ifndef ES_BASE_LOG_H
#define ES_BASE_LOG_H

#include "base/status.h"

typedef enum es_log_level {
    ES_LOG_ERROR,
    ES_LOG_WARNING,
    ES_LOG_INFO,
    ES_LOG_DEBUG,
    ES_LOG_COUNT
} es_log_level;

/* Lines above level are dropped; the default is ES_LOG_INFO. */
void es_log_level_set(es_log_level level);
es_log_level es_log_level_get(void);

void es_log(es_log_level level, const char *module, const char *format, ...) ES_PRINTF(3, 4);

#endif
