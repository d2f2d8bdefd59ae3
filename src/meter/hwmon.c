/*
 * Rails of boards and other sensors in hwmon, and the older INA3221 driver under iio. Units are by
 * driver: the hwmon rule is microwatt and microjoule, ina3221 gives millivolt and milliampere, the
 * iio driver milliwatt.
 */
#include "internal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { INA_RAILS = 3 };

/* [from memory] shunt and amplifier of an INA; other sensors are taken as worse */
static const double accuracy_ina = 0.05;
static const double accuracy_other = 0.10;
static const double update_s = 0.1;

static bool holds(const char *words, const char *part)
{
    size_t size = strlen(part);
    for (; *words != '\0'; words++) {
        size_t i = 0;
        while (i < size && tolower((unsigned char)words[i]) == part[i])
            i++;
        if (i == size)
            return true;
    }
    return false;
}

/* VDD_IN, POM_5V_IN, VIN, system, total: the input of the whole board. */
static bool is_input_rail(const char *label)
{
    size_t size = strlen(label);
    bool ends_in = size >= 3 && holds(label + size - 3, "_in");
    return ends_in || (size == 3 && holds(label, "vin")) || holds(label, "system") ||
           holds(label, "total");
}

static es_meter_part rail_part(const char *label)
{
    return is_input_rail(label) ? ES_METER_PLATFORM : ES_METER_RAIL;
}

/* Opens a file and reads it once, so that one that fails is known now. -1: rejected. */
static int open_sound(es_meter *meter, es_meter_source source, const char *path, const char *label)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int64_t value = 0;
    char words[64];
    if (fd >= 0 && es_sysfs_read_fd(fd, words, sizeof words) && es_text_to_int64(words, &value))
        return fd;
    int reason = errno;
    es_meter_reject(meter, source, path, "%s: cannot be read: %s", label,
                    fd >= 0 && reason == 0 ? "no number in it" : strerror(reason));
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

static es_channel *add_file(es_meter *meter, es_meter_source source, es_meter_part part,
                            const char *label, const char *path, double scale, bool counter)
{
    errno = 0;
    int fd = open_sound(meter, source, path, label);
    if (fd < 0)
        return NULL;
    es_channel *channel = es_channel_add(meter, source, part, label, path);
    if (channel == NULL) {
        (void)close(fd);
        return NULL;
    }
    channel->fd = fd;
    channel->reading = counter ? ES_READ_COUNTER : ES_READ_POWER;
    channel->face.method = counter ? ES_METER_COUNTER : ES_METER_POLLED;
    channel->face.resolution_s = update_s;
    channel->scale = scale;
    channel->accuracy = source == ES_METER_INA ? accuracy_ina : accuracy_other;
    return channel;
}

static bool known_path(const es_meter *meter, es_meter_source source, const char *tail)
{
    for (size_t i = 0; i < meter->channel_count; i++) {
        const char *path = meter->channels[i].face.path;
        size_t size = strlen(path);
        size_t tail_size = strlen(tail);
        if (meter->channels[i].face.source == source && size > tail_size &&
            strcmp(path + size - tail_size, tail) == 0)
            return true;
    }
    return false;
}

/* A rail without a power file: voltage times current. */
static void add_product(es_meter *meter, const char *label, const char *volts, const char *amperes,
                        double scale)
{
    errno = 0;
    int fd_volts = open_sound(meter, ES_METER_INA, volts, label);
    errno = 0;
    int fd_amperes = fd_volts >= 0 ? open_sound(meter, ES_METER_INA, amperes, label) : -1;
    es_channel *channel =
        fd_amperes >= 0 ? es_channel_add(meter, ES_METER_INA, rail_part(label), label, amperes)
                        : NULL;
    if (channel == NULL) {
        if (fd_volts >= 0)
            (void)close(fd_volts);
        if (fd_amperes >= 0)
            (void)close(fd_amperes);
        return;
    }
    channel->fd = fd_volts;
    channel->fd_other = fd_amperes;
    channel->reading = ES_READ_PRODUCT;
    channel->face.method = ES_METER_POLLED;
    channel->face.resolution_s = update_s;
    channel->scale = scale;
    channel->accuracy = accuracy_ina;
}

static void find_ina3221(es_meter *meter, const char *folder, const char *hwmon)
{
    for (int i = 1; i <= INA_RAILS; i++) { /* in4.. are shunts and their sum */
        char path[ES_METER_PATH_SIZE];
        char volts[ES_METER_PATH_SIZE];
        char amperes[ES_METER_PATH_SIZE];
        char tail[ES_METER_WORDS_SIZE];
        char label[64];
        if (!es_sysfs_path(path, "%s/in%d_label", folder, i) ||
            !es_sysfs_path(volts, "%s/in%d_input", folder, i) ||
            !es_sysfs_path(amperes, "%s/curr%d_input", folder, i))
            continue;
        (void)snprintf(tail, sizeof tail, "/%s/curr%d_input", hwmon, i);
        if (known_path(meter, ES_METER_INA, tail))
            continue; /* the same chip by another way */
        if (!es_sysfs_read(path, label, sizeof label)) {
            if (errno != ENOENT)
                es_meter_reject(meter, ES_METER_INA, path, "cannot be read: %s", strerror(errno));
            continue; /* a rail that is not wired has no label */
        }
        add_product(meter, label, volts, amperes, 1e-6);
    }
}

static es_meter_part sensor_part(const char *driver, const char *label, bool ina)
{
    if (ina)
        return rail_part(label);
    if (strcmp(driver, "power_meter") == 0)
        return ES_METER_PLATFORM;
    if (strcmp(driver, "amdgpu") == 0)
        return ES_METER_GPU;
    if (strcmp(driver, "amd_energy") == 0)
        return holds(label, "socket") ? ES_METER_PACKAGE : ES_METER_CORE;
    return ES_METER_OTHER;
}

/* powerN_input or _average (microwatt), energyN_input (microjoule). */
static void find_sensors(es_meter *meter, const char *folder, const char *hwmon, const char *driver)
{
    const char **files = NULL;
    size_t count = es_sysfs_list(meter->arena, folder, &files);
    bool ina = strncmp(driver, "ina", 3) == 0;
    es_meter_source source = ina ? ES_METER_INA : ES_METER_HWMON;
    uint64_t seen = 0; /* power has two names for one sensor */
    for (size_t i = 0; i < count; i++) {
        uint32_t number = 0;
        bool counter = es_sysfs_numbered(files[i], "energy", "_input", &number);
        bool power = !counter && (es_sysfs_numbered(files[i], "power", "_average", &number) ||
                                  es_sysfs_numbered(files[i], "power", "_input", &number));
        char path[ES_METER_PATH_SIZE];
        char label[96];
        char tail[ES_METER_WORDS_SIZE];
        if ((!counter && !power) || number >= 64 || (power && (seen >> number & 1) != 0))
            continue;
        (void)snprintf(tail, sizeof tail, "/%.64s/%.64s", hwmon, files[i]);
        if (known_path(meter, source, tail) ||
            !es_sysfs_path(path, "%s/%s%u_label", folder, counter ? "energy" : "power", number))
            continue;
        seen |= power ? UINT64_C(1) << number : 0;
        bool labelled = es_sysfs_read(path, label, sizeof label) && label[0] != '\0';
        if (!labelled && es_sysfs_path(path, "%s/label", folder))
            labelled = es_sysfs_read(path, label, sizeof label) && label[0] != '\0';
        if (!labelled)
            (void)snprintf(label, sizeof label, "%.60s %.30s", driver, files[i]);
        if (es_sysfs_path(path, "%s/%s", folder, files[i]))
            (void)add_file(meter, source, sensor_part(driver, label, ina), label, path, 1e-6,
                           counter);
    }
}

static void find_in(es_meter *meter, const char *base)
{
    const char **names = NULL;
    size_t count = es_sysfs_list(meter->arena, base, &names);
    for (size_t i = 0; i < count; i++) {
        char folder[ES_METER_PATH_SIZE];
        char path[ES_METER_PATH_SIZE];
        char driver[64];
        if (strncmp(names[i], "hwmon", 5) != 0 || !es_sysfs_path(folder, "%s/%s", base, names[i]) ||
            !es_sysfs_path(path, "%s/name", folder))
            continue;
        if (!es_sysfs_read(path, driver, sizeof driver)) {
            es_meter_reject(meter, ES_METER_HWMON, path, "cannot be read: %s", strerror(errno));
            continue;
        }
        if (strcmp(driver, "ina3221") == 0)
            find_ina3221(meter, folder, names[i]);
        else
            find_sensors(meter, folder, names[i], driver);
    }
}

/* The driver of older Jetson kernels: milliwatt, and names in rail_name_N. */
static void find_iio(es_meter *meter, const char *folder)
{
    for (int i = 0; i < INA_RAILS; i++) {
        char path[ES_METER_PATH_SIZE];
        char power[ES_METER_PATH_SIZE];
        char label[64];
        if (!es_sysfs_path(path, "%s/rail_name_%d", folder, i) ||
            !es_sysfs_path(power, "%s/in_power%d_input", folder, i))
            continue;
        if (!es_sysfs_read(path, label, sizeof label)) {
            if (errno != ENOENT)
                es_meter_reject(meter, ES_METER_INA, path, "cannot be read: %s", strerror(errno));
            continue;
        }
        (void)add_file(meter, ES_METER_INA, rail_part(label), label, power, 1e-3, false);
    }
}

/* Folders below drivers/NAME/DEVICE/ whose name starts with `prefix`, directly or in `inner`. */
static void find_driver(es_meter *meter, const char *driver, bool iio)
{
    char base[ES_METER_PATH_SIZE];
    const char **devices = NULL;
    if (!es_sysfs_path(base, "%s/sys/bus/i2c/drivers/%s", meter->root, driver))
        return;
    size_t count = es_sysfs_list(meter->arena, base, &devices);
    for (size_t i = 0; i < count; i++) {
        char folder[ES_METER_PATH_SIZE];
        const char **inner = NULL;
        if (!iio) {
            if (es_sysfs_path(folder, "%s/%s/hwmon", base, devices[i]))
                find_in(meter, folder);
            continue;
        }
        if (!es_sysfs_path(folder, "%s/%s", base, devices[i]))
            continue;
        size_t inner_count = es_sysfs_list(meter->arena, folder, &inner);
        for (size_t k = 0; k < inner_count; k++) {
            char path[ES_METER_PATH_SIZE];
            if (strncmp(inner[k], "iio:device", 10) == 0 &&
                es_sysfs_path(path, "%s/%s", folder, inner[k]))
                find_iio(meter, path);
        }
    }
}

void es_hwmon_find(es_meter *meter)
{
    char base[ES_METER_PATH_SIZE];
    size_t before = meter->channel_count + meter->rejections.count;
    if (es_sysfs_path(base, "%s/sys/class/hwmon", meter->root))
        find_in(meter, base);
    find_driver(meter, "ina3221", false);
    find_driver(meter, "ina238", false);
    find_driver(meter, "ina3221x", true);
    if (meter->channel_count + meter->rejections.count == before)
        es_meter_reject(meter, ES_METER_HWMON, base, "no sensor of power or energy");
}
