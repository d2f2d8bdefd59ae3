/* Processor time of the node and of its processes, from proc. */
#include "internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

static double ticks_s(uint64_t ticks)
{
    long per_s = sysconf(_SC_CLK_TCK);
    return (double)ticks / (double)(per_s > 0 ? per_s : 100);
}

es_status es_meter_cpu_node(const char *root, double *out_busy_s, double *out_all_s, es_error *err)
{
    char path[ES_METER_PATH_SIZE];
    char words[ES_METER_PATH_SIZE];
    if (!es_sysfs_path(path, "%s/proc/stat", root))
        return es_fail(err, ES_ERR_ARG, "root: the path is too long");
    if (!es_sysfs_read(path, words, sizeof words))
        return es_fail(err, ES_ERR_IO, "cannot read '%s': %s", path, strerror(errno));
    uint64_t busy = 0;
    uint64_t all = 0;
    uint32_t count = 0;
    if (!es_proc_stat_parse(words, &busy, &all, &count))
        return es_fail(err, ES_ERR_PARSE, "'%s' does not start with the line of all processors",
                       path);
    *out_busy_s = ticks_s(busy);
    *out_all_s = ticks_s(all);
    return ES_OK;
}

es_status es_meter_cpu_process(const char *root, int64_t pid, double *out_busy_s, es_error *err)
{
    char path[ES_METER_PATH_SIZE];
    char words[1024];
    if (pid <= 0 || !es_sysfs_path(path, "%s/proc/%" PRId64 "/stat", root, pid))
        return es_fail(err, ES_ERR_ARG, "process %" PRId64 " must be > 0", pid);
    if (!es_sysfs_read(path, words, sizeof words))
        return es_fail(err, ES_ERR_UNAVAILABLE, "there is no process %" PRId64 ": '%s': %s", pid,
                       path, strerror(errno));
    uint64_t ticks = 0;
    if (!es_proc_pid_parse(words, &ticks))
        return es_fail(err, ES_ERR_PARSE, "'%s' holds no processor times", path);
    *out_busy_s = ticks_s(ticks);
    return ES_OK;
}
