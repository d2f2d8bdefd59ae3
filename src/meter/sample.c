/*
 * One reading of one channel, believed or dropped.
 *   counter   d = cur >= prev ? cur - prev : range > 0 ? (range - prev) + cur : drop
 *   power     (P0 + P1) / 2 dt, uncertain by |P1 - P0| / 2 dt
 * A counter whose read fails, or that has not moved yet, is taken from the last good one on at the
 * next read; so nothing is lost and nothing looks like a wrap.
 */
#include "internal.h"

#include <math.h>
#include <string.h>

static const double bound_slack = 1.2;
static const double bound_updates = 2; /* a counter may tell of so many updates more */

static void drop(es_channel *channel)
{
    channel->sum.dropped++;
    channel->failed_in_row++;
}

/* The time since the last good reading is lost: nothing is added but to the upper bound. */
static void lose_time(es_channel *channel, int64_t now_ns)
{
    channel->sum.high_j += channel->face.power_w_max * es_s_from_ns(now_ns - channel->last_ns);
    channel->last_ns = now_ns;
}

static void add(es_channel *channel, double energy_j, double low_j, double high_j, int64_t now_ns)
{
    channel->sum.energy_j += energy_j;
    channel->sum.low_j += fmax(0, low_j);
    channel->sum.high_j += high_j;
    channel->sum.covered_ns += now_ns - channel->last_ns;
    channel->sum.samples++;
    channel->last_ns = now_ns;
    channel->failed_in_row = 0;
}

/* A part that is off may use nothing; a package, memory or a whole board never does. */
static bool may_stand_still(es_meter_part part)
{
    return part == ES_METER_CORE || part == ES_METER_UNCORE || part == ES_METER_OTHER;
}

static bool read_counter(const es_meter *meter, const es_channel *channel, uint64_t *out)
{
    const char *why = NULL;
    return channel->reading == ES_READ_NVML_ENERGY ? es_nvml_read(meter->nvml, channel, out, &why)
                                                   : es_sysfs_unsigned_fd(channel->fd, out);
}

static bool sample_counter(const es_meter *meter, es_channel *channel, int64_t now_ns)
{
    uint64_t now = 0;
    if (!read_counter(meter, channel, &now)) {
        drop(channel);
        return false;
    }
    uint64_t last = channel->last;
    double interval_s = es_s_from_ns(now_ns - channel->last_ns);
    if (channel->has_last && now == last && !may_stand_still(channel->face.part)) {
        channel->still_ns = now_ns - channel->last_ns;
        return false;
    }
    channel->still_ns = 0;
    channel->last = now;
    if (!channel->has_last) {
        channel->has_last = true;
        channel->last_ns = now_ns;
        return true;
    }
    bool wrapped = now < last;
    bool sound = !wrapped || (channel->range > 0 && last <= channel->range);
    double energy_j = (double)(wrapped ? channel->range - last + now : now - last) * channel->scale;
    double power_w = channel->face.power_w_max;
    double window_s = interval_s + bound_updates * channel->face.resolution_s;
    sound = sound && energy_j <= bound_slack * power_w * window_s;
    /* it may have gone round more than once */
    sound = sound && (channel->range == 0 || power_w * interval_s <= channel->face.range_j);
    if (!sound) {
        drop(channel);
        lose_time(channel, now_ns);
        return false;
    }
    add(channel, energy_j, energy_j * (1 - channel->accuracy), energy_j * (1 + channel->accuracy),
        now_ns);
    return true;
}

static bool discharging(const es_channel *channel)
{
    char status[32];
    return es_sysfs_read_fd(channel->fd_status, status, sizeof status) &&
           strcmp(status, "Discharging") == 0;
}

/* Watts, or false. */
static bool read_power(const es_meter *meter, const es_channel *channel, double *out_w)
{
    int64_t first = 0;
    int64_t second = 1;
    uint64_t milliwatts = 0;
    const char *why = NULL;
    if (channel->reading == ES_READ_NVML_POWER) {
        if (!es_nvml_read(meter->nvml, channel, &milliwatts, &why))
            return false;
        *out_w = (double)milliwatts * channel->scale;
        return true;
    }
    if (channel->reading == ES_READ_BATTERY && !discharging(channel))
        return false;
    if (!es_sysfs_signed_fd(channel->fd, &first) ||
        (channel->fd_other >= 0 && !es_sysfs_signed_fd(channel->fd_other, &second)))
        return false;
    double power_w = (double)first * (double)second * channel->scale;
    *out_w = channel->reading == ES_READ_BATTERY ? fabs(power_w) : power_w;
    return true;
}

static bool sample_power(const es_meter *meter, es_channel *channel, int64_t now_ns)
{
    double power_w = 0;
    bool good = read_power(meter, channel, &power_w) && power_w >= 0 &&
                power_w <= bound_slack * channel->face.power_w_max;
    bool joined = good && channel->has_last;
    if (joined) {
        double interval_s = es_s_from_ns(now_ns - channel->last_ns);
        double energy_j = (power_w + channel->last_w) / 2 * interval_s;
        double half_j = fabs(power_w - channel->last_w) / 2 * interval_s;
        add(channel, energy_j, energy_j * (1 - channel->accuracy) - half_j,
            energy_j * (1 + channel->accuracy) + half_j, now_ns);
    } else {
        lose_time(channel, now_ns);
    }
    if (!good)
        drop(channel);
    channel->has_last = good;
    channel->last_w = power_w;
    return joined;
}

static bool sample_model(es_meter *meter, es_channel *channel, int64_t now_ns)
{
    double low_w = 0;
    double power_w = 0;
    double high_w = 0;
    es_model_power(meter, &low_w, &power_w, &high_w);
    double interval_s = es_s_from_ns(now_ns - channel->last_ns);
    add(channel, power_w * interval_s, low_w * interval_s, high_w * interval_s, now_ns);
    return true;
}

bool es_channel_sample(es_meter *meter, es_channel *channel, int64_t now_ns)
{
    if (channel->last_ns == 0 && channel->sum.samples == 0 && !channel->has_last)
        channel->last_ns = now_ns; /* the first time */
    switch (channel->reading) {
    case ES_READ_COUNTER:
    case ES_READ_NVML_ENERGY:
        return sample_counter(meter, channel, now_ns);
    case ES_READ_POWER:
    case ES_READ_PRODUCT:
    case ES_READ_BATTERY:
    case ES_READ_NVML_POWER:
        return sample_power(meter, channel, now_ns);
    case ES_READ_MODEL:
        return sample_model(meter, channel, now_ns);
    }
    return false;
}
