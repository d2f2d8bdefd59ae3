/*
 * RAPL through the powercap tree. Zones are listed flat in class/powercap; where that folder is
 * missing they are found nested below the control type. A zone's key is its name behind its
 * package's, so that the cores of two sockets stay apart and MSR and MMIO show one package once.
 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { CONSTRAINTS_MAX = 6 };

/* [from memory] between the counter and a meter at the processor's supply */
static const double accuracy = 0.05;
static const double update_s = 1e-3; /* [found] about every millisecond */
static const double power_limit_w_max = 2e4;

static const char needs_root[] = "; since kernel 5.10 only root may read it: run as root, or "
                                 "'chmod -R a+r /sys/class/powercap'";

static es_meter_part zone_part(const char *name)
{
    if (strncmp(name, "package", 7) == 0)
        return ES_METER_PACKAGE;
    return strcmp(name, "psys") == 0     ? ES_METER_PLATFORM
           : strcmp(name, "core") == 0   ? ES_METER_CORE
           : strcmp(name, "uncore") == 0 ? ES_METER_UNCORE
           : strcmp(name, "dram") == 0   ? ES_METER_DRAM
                                         : ES_METER_OTHER;
}

/* The largest limit that the zone tells, in watts; 0 when it tells none. */
static double zone_limit_w(const char *folder)
{
    static const char *const files[] = {"max_power_uw", "power_limit_uw"};
    uint64_t most = 0;
    for (int i = 0; i < CONSTRAINTS_MAX; i++) {
        for (size_t k = 0; k < 2; k++) {
            char path[ES_METER_PATH_SIZE];
            uint64_t limit = 0;
            if (es_sysfs_path(path, "%s/constraint_%d_%s", folder, i, files[k]) &&
                es_sysfs_unsigned(path, &limit) && limit > most)
                most = limit;
        }
    }
    double limit_w = (double)most * 1e-6;
    return limit_w <= power_limit_w_max ? limit_w : 0;
}

static const es_channel *find_key(const es_meter *meter, const char *key)
{
    for (size_t i = 0; i < meter->channel_count; i++)
        if (meter->channels[i].face.source == ES_METER_RAPL &&
            strcmp(meter->channels[i].face.name, key) == 0)
            return &meter->channels[i];
    return NULL;
}

/* package is the name of the zone above, or NULL. */
static void add_zone(es_meter *meter, const char *folder, const char *name, const char *package)
{
    char key[ES_METER_WORDS_SIZE];
    char path[ES_METER_PATH_SIZE];
    (void)snprintf(key, sizeof key, "%s%s%s", package != NULL ? package : "",
                   package != NULL ? "/" : "", name);
    if (!es_sysfs_path(path, "%s/energy_uj", folder))
        return;
    const es_channel *same = find_key(meter, key);
    if (same != NULL) {
        es_meter_reject(meter, ES_METER_RAPL, path, "%s again: already read from %s", key,
                        same->face.path);
        return;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t now = 0;
    if (fd < 0 || !es_sysfs_unsigned_fd(fd, &now)) {
        int reason = errno;
        es_meter_reject(meter, ES_METER_RAPL, path, "%s: cannot be read: %s%s", key,
                        fd < 0 ? strerror(reason) : "no number in it",
                        fd < 0 && (reason == EACCES || reason == EPERM) ? needs_root : "");
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    es_channel *channel = es_channel_add(meter, ES_METER_RAPL, zone_part(name), key, path);
    if (channel == NULL) {
        (void)close(fd);
        return;
    }
    channel->fd = fd;
    channel->reading = ES_READ_COUNTER;
    channel->scale = 1e-6;
    channel->accuracy = accuracy;
    channel->face.resolution_s = update_s;
    if (!es_sysfs_path(path, "%s/max_energy_range_uj", folder) ||
        !es_sysfs_unsigned(path, &channel->range))
        channel->range = 0; /* a wrap then costs one sample */
    channel->face.range_j = (double)channel->range * 1e-6;
    double limit_w = zone_limit_w(folder);
    if (limit_w > 0 && meter->opts.power_w_max <= 0)
        channel->face.power_w_max = limit_w;
}

/* The name of the zone that `zone` ("intel-rapl:0:1") is in; false at the top. */
static bool zone_above(const char *base, const char *zone, bool nested, char *out, size_t size)
{
    const char *first = strchr(zone, ':');
    const char *last = strrchr(zone, ':');
    char path[ES_METER_PATH_SIZE];
    if (first == last)
        return false;
    int length = (int)(last - zone);
    bool fits = nested ? es_sysfs_path(path, "%s/name", base)
                       : es_sysfs_path(path, "%s/%.*s/name", base, length, zone);
    if (!fits || !es_sysfs_read(path, out, size) || out[0] == '\0')
        (void)snprintf(out, size, "%.*s", length, zone);
    return true;
}

/* Zones in folder base whose name starts with `type:`; nested ones below each where asked. */
static size_t scan(es_meter *meter, const char *base, const char *type, bool nested, int depth)
{
    const char **zones = NULL;
    size_t count = es_sysfs_list(meter->arena, base, &zones);
    size_t found = 0;
    size_t type_size = strlen(type);
    for (size_t i = 0; i < count; i++) {
        if (strncmp(zones[i], type, type_size) != 0 || zones[i][type_size] != ':')
            continue;
        char folder[ES_METER_PATH_SIZE];
        char path[ES_METER_PATH_SIZE];
        char name[64];
        char above[64];
        if (!es_sysfs_path(folder, "%s/%s", base, zones[i]) ||
            !es_sysfs_path(path, "%s/name", folder))
            continue;
        found++;
        if (es_sysfs_read(path, name, sizeof name) && name[0] != '\0') {
            bool inner = zone_above(base, zones[i], nested, above, sizeof above);
            add_zone(meter, folder, name, inner ? above : NULL);
        } else {
            es_meter_reject(meter, ES_METER_RAPL, path, "cannot be read: %s", strerror(errno));
        }
        if (nested && depth > 0)
            found += scan(meter, folder, type, true, depth - 1);
    }
    return found;
}

void es_rapl_find(es_meter *meter)
{
    static const char *const types[] = {"intel-rapl", "intel-rapl-mmio"}; /* MSR first */
    char base[ES_METER_PATH_SIZE];
    size_t found = 0;
    for (size_t i = 0; i < 2; i++)
        if (es_sysfs_path(base, "%s/sys/class/powercap", meter->root))
            found += scan(meter, base, types[i], false, 0);
    for (size_t i = 0; i < 2 && found == 0; i++)
        if (es_sysfs_path(base, "%s/sys/devices/virtual/powercap/%s", meter->root, types[i]))
            found += scan(meter, base, types[i], true, 1);
    if (found == 0 && es_sysfs_path(base, "%s/sys/class/powercap", meter->root))
        es_meter_reject(meter, ES_METER_RAPL, base,
                        "no zone: a virtual machine, another make of processor, or a kernel "
                        "without it (AMD Zen needs 5.11)");
}
