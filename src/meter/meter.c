/* Life of a meter, its samples and the figures between two of them. */
#include "internal.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

enum { FAILED_MAX = 10, FALL_BACK_AFTER = 3, REJECTIONS_MAX = 256, REASON_SIZE = 400 };
static const int64_t still_ns_max = ES_NS_PER_S;

/* A plausible most, in watts, by part: it only has to catch the absurd. */
static const double power_w_by_part[ES_METER_PART_COUNT] = {
    [ES_METER_PLATFORM] = 5000, [ES_METER_PACKAGE] = 1000, [ES_METER_CORE] = 1000,
    [ES_METER_UNCORE] = 500,    [ES_METER_DRAM] = 500,     [ES_METER_GPU] = 2000,
    [ES_METER_RAIL] = 500,      [ES_METER_OTHER] = 5000,
};

es_meter_opts es_meter_opts_default(void)
{
    return (es_meter_opts){.root = "", .calibration = 1, .model = {.uncertainty = 0.2}};
}

es_channel *es_channel_add(es_meter *meter, es_meter_source source, es_meter_part part,
                           const char *name, const char *path)
{
    if (meter->channel_count >= ES_METER_CHANNELS_MAX) {
        es_meter_reject(meter, source, name, "more than %d channels", ES_METER_CHANNELS_MAX);
        return NULL;
    }
    es_channel *channel = &meter->channels[meter->channel_count];
    *channel = (es_channel){
        .face = {.name = es_arena_text(meter->arena, name),
                 .path = es_arena_text(meter->arena, path),
                 .source = source,
                 .part = part,
                 .power_w_max =
                     meter->opts.power_w_max > 0 ? meter->opts.power_w_max : power_w_by_part[part]},
        .fd = -1,
        .fd_other = -1,
        .fd_status = -1,
    };
    if (channel->face.name == NULL || channel->face.path == NULL)
        return NULL;
    meter->channel_count++;
    return channel;
}

void es_meter_reject(es_meter *meter, es_meter_source source, const char *what, const char *format,
                     ...)
{
    char words[REASON_SIZE];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(words, sizeof words, format, args); /* cut when long */
    va_end(args);
    es_meter_rejection rejection = {
        .source = source,
        .what = es_arena_text(meter->arena, what),
        .why = es_arena_text(meter->arena, words),
    };
    if (meter->rejections.count >= REJECTIONS_MAX || rejection.what == NULL ||
        rejection.why == NULL)
        return;
    (void)ES_ARRAY_PUSH(meter->arena, &meter->rejections, rejection, "rejections", NULL); /* cut */
}

static void close_fd(int fd)
{
    if (fd >= 0)
        (void)close(fd); /* it was only read */
}

static void release(void *thing)
{
    es_meter *meter = thing;
    for (size_t i = 0; i < meter->channel_count; i++) {
        close_fd(meter->channels[i].fd);
        close_fd(meter->channels[i].fd_other);
        close_fd(meter->channels[i].fd_status);
    }
    close_fd(meter->model.fd_stat);
    for (size_t i = 0; i < meter->model.frequency_count; i++)
        close_fd(meter->model.fd_frequencies[i]);
}

static es_status check(const es_meter_opts *opts, es_error *err)
{
    if (!(opts->calibration > 0 && isfinite(opts->calibration)))
        return es_fail(err, ES_ERR_ARG, "calibration=%g must be finite and > 0", opts->calibration);
    if (!(opts->power_w_max >= 0 && isfinite(opts->power_w_max)))
        return es_fail(err, ES_ERR_ARG, "power_w_max=%g must be finite and >= 0",
                       opts->power_w_max);
    if (opts->model.curve >= ES_METER_CURVE_COUNT)
        return es_fail(err, ES_ERR_ARG, "curve=%d is unknown", (int)opts->model.curve);
    return ES_OK;
}

es_status es_meter_new(es_arena *arena, es_meter_opts opts, es_meter **out_meter, es_error *err)
{
    ES_TRY(check(&opts, err));
    es_meter *meter = ES_TAKE_ONE(arena, es_meter);
    if (meter == NULL)
        return es_arena_full(arena, "meter", err);
    meter->arena = arena;
    meter->opts = opts;
    meter->opts.clock = opts.clock != NULL ? opts.clock : es_clock_system();
    meter->root = es_arena_text(arena, opts.root != NULL ? opts.root : "");
    meter->channels = ES_TAKE_ARRAY(arena, es_channel, ES_METER_CHANNELS_MAX);
    meter->model.fd_stat = -1;
    if (meter->root == NULL || meter->channels == NULL)
        return es_arena_full(arena, "meter", err);
    ES_TRY(es_arena_attach(arena, meter, release, err));
    if (!opts.model_only) {
        es_rapl_find(meter);
        es_nvml_find(meter);
        es_hwmon_find(meter);
        es_battery_find(meter);
    }
    ES_TRY(es_model_find(meter, err));
    es_meter_arbitrate(meter);
    es_meter_mark first;
    es_meter_read(meter, &first);
    *out_meter = meter;
    return ES_OK;
}

/* Gives up on a channel that fails again and again, or whose counter never moves. */
static bool give_up(es_meter *meter, es_channel *channel)
{
    if (channel->failed_in_row >= FALL_BACK_AFTER && channel->reading == ES_READ_NVML_ENERGY &&
        es_nvml_fall_back(meter->nvml, channel)) {
        es_meter_reject(meter, channel->face.source, channel->face.name,
                        "the energy counter cannot be believed; its power is polled");
        return false;
    }
    bool still = channel->still_ns >= still_ns_max;
    if (!still && channel->failed_in_row < FAILED_MAX)
        return false;
    channel->lost = true;
    es_meter_reject(meter, channel->face.source, channel->face.path,
                    still ? "%s: the counter stands still: switched off, or nothing behind it"
                          : "%s: not to be believed any more, %d readings in a row",
                    channel->face.name, FAILED_MAX);
    return true;
}

/* What the channel got since `before` goes to the total. */
static void add_to_total(es_meter *meter, const es_channel *channel, const es_meter_sum *before)
{
    es_meter_mark *sums = &meter->sums;
    const es_meter_sum *now = &channel->sum;
    sums->total.energy_j += now->energy_j - before->energy_j;
    sums->total.low_j += now->low_j - before->low_j;
    sums->total.high_j += now->high_j - before->high_j;
    sums->total.samples += now->samples - before->samples;
    sums->total.dropped += now->dropped - before->dropped;
    sums->source_j[channel->face.source] += now->energy_j - before->energy_j;
    sums->source_ns[channel->face.source] += now->covered_ns - before->covered_ns;
}

void es_meter_read(es_meter *meter, es_meter_mark *out_mark)
{
    int64_t now_ns = es_clock_now_ns(meter->opts.clock);
    int64_t covered_ns = INT64_MAX;
    bool lost = false;
    for (size_t i = 0; i < meter->channel_count; i++) {
        es_channel *channel = &meter->channels[i];
        es_meter_sum before = channel->sum;
        bool idle = channel->reading == ES_READ_MODEL && !channel->face.counted;
        if (channel->lost || idle) {
            channel->last_ns = now_ns; /* a model that takes over starts here */
            continue;
        }
        (void)es_channel_sample(meter, channel, now_ns);
        if (channel->face.counted) {
            add_to_total(meter, channel, &before);
            int64_t got_ns = channel->sum.covered_ns - before.covered_ns;
            covered_ns = got_ns < covered_ns ? got_ns : covered_ns;
        }
        lost = give_up(meter, channel) || lost;
    }
    meter->sums.total.covered_ns += covered_ns < INT64_MAX ? covered_ns : 0;
    meter->sums.time_ns = now_ns;
    *out_mark = meter->sums;
    out_mark->channel_count = meter->channel_count;
    for (size_t i = 0; i < meter->channel_count; i++)
        out_mark->channels[i] = meter->channels[i].sum;
    if (lost)
        es_meter_arbitrate(meter);
}

size_t es_meter_channel_count(const es_meter *meter)
{
    return meter->channel_count;
}

const es_meter_channel *es_meter_channel_at(const es_meter *meter, size_t index)
{
    return &meter->channels[index].face;
}

size_t es_meter_rejection_count(const es_meter *meter)
{
    return meter->rejections.count;
}

const es_meter_rejection *es_meter_rejection_at(const es_meter *meter, size_t index)
{
    return &meter->rejections.items[index];
}

const char *es_meter_boundary(const es_meter *meter)
{
    return meter->boundary;
}

const char *es_meter_root(const es_meter *meter)
{
    return meter->root;
}

double es_meter_idle_w(const es_meter *meter)
{
    for (size_t i = 0; i < meter->channel_count; i++)
        if (meter->channels[i].face.counted && meter->channels[i].reading != ES_READ_MODEL)
            return (double)NAN;
    return meter->opts.calibration * meter->model.central.idle_w;
}

double es_meter_active_w(const es_meter *meter)
{
    const es_model_state *model = &meter->model;
    return meter->opts.calibration * (model->central.busy_w - model->central.idle_w) /
           model->cpu_count;
}

double es_meter_period_s_max(const es_meter *meter)
{
    double period_s = INFINITY;
    for (size_t i = 0; i < meter->channel_count; i++) {
        const es_meter_channel *face = &meter->channels[i].face;
        if (face->range_j > 0 && !meter->channels[i].lost)
            period_s = fmin(period_s, face->range_j / face->power_w_max / 2);
    }
    return period_s;
}
