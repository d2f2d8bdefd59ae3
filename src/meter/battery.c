/* Batteries: what leaves them is what the machine uses, as long as the status says Discharging.
 * Drivers differ in the current's sign, so only the status is believed. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const double accuracy = 0.10; /* [from memory] of fuel gauges */
static const double update_s = 10;   /* [found] 1 to 60 s */

static int open_in(const char *folder, const char *name)
{
    char path[ES_METER_PATH_SIZE];
    return es_sysfs_path(path, "%s/%s", folder, name) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
}

static void close_all(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
}

/* A battery that discharges: power_now, else voltage_now times current_now. */
static void add_battery(es_meter *meter, const char *folder, const char *name)
{
    char path[ES_METER_PATH_SIZE];
    int fds[] = {open_in(folder, "status"), open_in(folder, "power_now"), -1};
    int64_t value = 0;
    bool power = fds[1] >= 0 && es_sysfs_signed_fd(fds[1], &value);
    if (!power) {
        close_all(&fds[1], 1);
        fds[1] = open_in(folder, "voltage_now");
        fds[2] = open_in(folder, "current_now");
    }
    bool good = power || (fds[1] >= 0 && fds[2] >= 0 && es_sysfs_signed_fd(fds[1], &value) &&
                          es_sysfs_signed_fd(fds[2], &value));
    es_channel *channel = NULL;
    if (!good)
        es_meter_reject(meter, ES_METER_BATTERY, folder,
                        "neither power_now nor voltage_now and current_now can be read");
    else if (es_sysfs_path(path, "%s/%s", folder, power ? "power_now" : "current_now"))
        channel = es_channel_add(meter, ES_METER_BATTERY, ES_METER_PLATFORM, name, path);
    if (channel == NULL) {
        close_all(fds, 3);
        return;
    }
    channel->fd_status = fds[0];
    channel->fd = fds[1];
    channel->fd_other = fds[2];
    channel->reading = ES_READ_BATTERY;
    channel->face.method = ES_METER_POLLED;
    channel->face.resolution_s = update_s;
    channel->scale = power ? 1e-6 : 1e-12;
    channel->accuracy = accuracy;
}

static void look_at(es_meter *meter, const char *base, const char *name)
{
    char folder[ES_METER_PATH_SIZE];
    char path[ES_METER_PATH_SIZE];
    char words[64];
    if (!es_sysfs_path(folder, "%s/%s", base, name) || !es_sysfs_path(path, "%s/type", folder) ||
        !es_sysfs_read(path, words, sizeof words) || strcmp(words, "Battery") != 0)
        return; /* a charger */
    if (es_sysfs_path(path, "%s/scope", folder) && es_sysfs_read(path, words, sizeof words) &&
        strcmp(words, "Device") == 0) {
        es_meter_reject(meter, ES_METER_BATTERY, folder, "of a device beside the machine");
        return;
    }
    if (!es_sysfs_path(path, "%s/status", folder) || !es_sysfs_read(path, words, sizeof words))
        es_meter_reject(meter, ES_METER_BATTERY, path, "cannot be read: %s", strerror(errno));
    else if (strcmp(words, "Discharging") != 0)
        es_meter_reject(meter, ES_METER_BATTERY, folder,
                        "status is '%s': only a battery that discharges tells what is used", words);
    else
        add_battery(meter, folder, name);
}

void es_battery_find(es_meter *meter)
{
    char base[ES_METER_PATH_SIZE];
    const char **names = NULL;
    if (!es_sysfs_path(base, "%s/sys/class/power_supply", meter->root))
        return;
    size_t count = es_sysfs_list(meter->arena, base, &names);
    size_t before = meter->channel_count + meter->rejections.count;
    for (size_t i = 0; i < count; i++)
        look_at(meter, base, names[i]);
    if (meter->channel_count + meter->rejections.count == before)
        es_meter_reject(meter, ES_METER_BATTERY, base, "no battery");
}
