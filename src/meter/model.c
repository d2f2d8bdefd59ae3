/*
 * The declared power model, for what no counter covers. Undeclared, it is a generic processor of a
 * cloud: 0.74 to 3.5 W per logical processor, and anything between 0.45 .. 3.04 idle and
 * 1.69 .. 8.58 busy is possible [found: Cloud Carbon Footprint's table over makes of processors].
 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

/* [found] BoaviztAPI's default curve (Xeon Platinum), P(u %) = a ln(b (u + c)) + d; only its shape
 * between idle and busy is used. */
static const double log_a = 171.1813, log_b = 0.0354, log_c = 36.8953, log_d = -10.1336;

static const double ticks_resolution_s = 0.01;

static double log_power(double percent)
{
    return log_a * log(log_b * (percent + log_c)) + log_d;
}

double es_meter_model_power_w(const es_meter_model *model, double utilisation, double frequency)
{
    double u = fmin(fmax(utilisation, 0), 1);
    double f = fmin(fmax(frequency, 0), 1);
    double load = model->curve == ES_METER_LOG
                      ? (log_power(100 * u) - log_power(0)) / (log_power(100) - log_power(0))
                  : model->curve == ES_METER_DVFS ? u * f * f * f
                                                  : u;
    return model->idle_w + (model->busy_w - model->idle_w) * load;
}

static es_status check(const es_meter_model *model, bool *out_declared, es_error *err)
{
    *out_declared = model->busy_w != 0 || model->idle_w != 0;
    if (!*out_declared)
        return ES_OK;
    if (!(model->idle_w >= 0 && isfinite(model->idle_w)))
        return es_fail(err, ES_ERR_ARG, "idle_w=%g must be finite and >= 0", model->idle_w);
    if (!(model->busy_w > 0 && model->busy_w >= model->idle_w && isfinite(model->busy_w)))
        return es_fail(err, ES_ERR_ARG, "busy_w=%g must be > 0 and >= idle_w=%g", model->busy_w,
                       model->idle_w);
    if (!(model->uncertainty >= 0 && model->uncertainty <= 1))
        return es_fail(err, ES_ERR_ARG, "uncertainty=%g must be in 0..1", model->uncertainty);
    return ES_OK;
}

static es_meter_model scaled(const es_meter_model *model, double idle_w, double busy_w)
{
    return (es_meter_model){.curve = model->curve, .idle_w = idle_w, .busy_w = busy_w};
}

/* Opens the current frequencies; a machine that tells none is taken to run at its highest. */
static void find_frequencies(es_meter *meter)
{
    es_model_state *model = &meter->model;
    model->fd_frequencies = ES_TAKE_ARRAY(meter->arena, int, model->cpu_count);
    for (uint32_t i = 0; model->fd_frequencies != NULL && i < model->cpu_count; i++) {
        char path[ES_METER_PATH_SIZE];
        uint64_t khz = 0;
        if (!es_sysfs_path(path, "%s/sys/devices/system/cpu/cpu%u/cpufreq/cpuinfo_max_freq",
                           meter->root, i) ||
            !es_sysfs_unsigned(path, &khz) || khz == 0 ||
            !es_sysfs_path(path, "%s/sys/devices/system/cpu/cpu%u/cpufreq/scaling_cur_freq",
                           meter->root, i))
            continue;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        model->fd_frequencies[model->frequency_count++] = fd;
        model->frequency_khz_max = fmax(model->frequency_khz_max, (double)khz);
    }
    if (model->frequency_count == 0)
        es_meter_reject(meter, ES_METER_MODEL, "cpufreq",
                        "no frequencies: the model takes the highest");
}

static double frequency_ratio(const es_model_state *model)
{
    double sum = 0;
    size_t count = 0;
    for (size_t i = 0; i < model->frequency_count; i++) {
        uint64_t khz = 0;
        if (es_sysfs_unsigned_fd(model->fd_frequencies[i], &khz)) {
            sum += (double)khz / model->frequency_khz_max;
            count++;
        }
    }
    return count > 0 ? sum / (double)count : 1;
}

es_status es_model_find(es_meter *meter, es_error *err)
{
    es_model_state *model = &meter->model;
    const es_meter_model *given = &meter->opts.model;
    bool declared = false;
    char path[ES_METER_PATH_SIZE];
    ES_TRY(check(given, &declared, err));
    enum { STAT_SIZE = 1 << 16 };
    char *words = es_arena_take(meter->arena, STAT_SIZE, 1);
    if (words == NULL)
        return es_arena_full(meter->arena, "meter", err);
    uint64_t busy = 0;
    uint64_t all = 0;
    model->cpu_count = 1;
    model->fd_stat = -1;
    if (es_sysfs_path(path, "%s/proc/stat", meter->root) && es_sysfs_read(path, words, STAT_SIZE) &&
        es_proc_stat_parse(words, &busy, &all, &model->cpu_count))
        model->fd_stat = open(path, O_RDONLY | O_CLOEXEC);
    if (model->fd_stat < 0)
        es_meter_reject(meter, ES_METER_MODEL, path,
                        "cannot be used: the model lies between idle and busy");
    if (model->cpu_count == 0)
        model->cpu_count = 1;
    double n = model->cpu_count;
    model->default_used = !declared;
    model->central = declared ? *given : scaled(given, 0.74 * n, 3.5 * n);
    model->low = declared ? scaled(given, given->idle_w * (1 - given->uncertainty),
                                   given->busy_w * (1 - given->uncertainty))
                          : scaled(given, 0.45 * n, 1.69 * n);
    model->high = declared ? scaled(given, given->idle_w * (1 + given->uncertainty),
                                    given->busy_w * (1 + given->uncertainty))
                           : scaled(given, 3.04 * n, 8.58 * n);
    if (given->curve == ES_METER_DVFS)
        find_frequencies(meter);
    es_channel *channel =
        es_channel_add(meter, ES_METER_MODEL, ES_METER_PLATFORM, "model",
                       declared ? "declared power model" : "generic power model, not declared");
    if (channel == NULL)
        return meter->channel_count < ES_METER_CHANNELS_MAX
                   ? es_arena_full(meter->arena, "meter", err)
                   : es_fail(err, ES_ERR_LIMIT, "more than %d channels", ES_METER_CHANNELS_MAX);
    channel->reading = ES_READ_MODEL;
    channel->face.method = ES_METER_MODELLED;
    channel->face.resolution_s = ticks_resolution_s;
    channel->face.power_w_max = model->high.busy_w;
    return ES_OK;
}

void es_model_power(es_meter *meter, double *out_low_w, double *out_w, double *out_high_w)
{
    es_model_state *model = &meter->model;
    char words[256]; /* the first line */
    uint64_t busy = 0;
    uint64_t all = 0;
    uint32_t count = 0;
    bool known = model->fd_stat >= 0 && es_sysfs_read_fd(model->fd_stat, words, sizeof words) &&
                 es_proc_stat_parse(words, &busy, &all, &count);
    bool moved = known && model->has_ticks && all > model->all && busy >= model->busy;
    if (moved)
        model->utilisation = (double)(busy - model->busy) / (double)(all - model->all);
    bool guess = !known || (!moved && !model->has_ticks);
    double f = meter->opts.model.curve == ES_METER_DVFS ? frequency_ratio(model) : 1;
    if (known && (moved || !model->has_ticks)) { /* within a tick the last utilisation holds */
        model->busy = busy;
        model->all = all;
        model->has_ticks = true;
    }
    if (guess) {
        *out_low_w = es_meter_model_power_w(&model->low, 0, f);
        *out_w = es_meter_model_power_w(&model->central, 0.5, f);
        *out_high_w = es_meter_model_power_w(&model->high, 1, f);
        return;
    }
    *out_low_w = es_meter_model_power_w(&model->low, model->utilisation, f);
    *out_w = es_meter_model_power_w(&model->central, model->utilisation, f);
    *out_high_w = es_meter_model_power_w(&model->high, model->utilisation, f);
}
