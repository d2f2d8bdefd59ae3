/* Figures between two marks, in numbers, words and JSON. */
#include "internal.h"

#include <math.h>
#include <string.h>

static const char *const source_names[] = {"rapl", "nvml", "ina", "hwmon", "battery", "model"};
static const char *const method_names[] = {"counter", "polled", "model"};
static const char *const part_names[] = {"platform", "package", "core", "uncore",
                                         "dram",     "gpu",     "rail", "other"};
static const char *const curve_names[] = {"linear", "log", "dvfs"};

const char *es_meter_source_name(es_meter_source source)
{
    return source < ES_METER_SOURCE_COUNT ? source_names[source] : "none";
}

const char *es_meter_method_name(es_meter_method method)
{
    return method < ES_METER_METHOD_COUNT ? method_names[method] : "none";
}

const char *es_meter_part_name(es_meter_part part)
{
    return part < ES_METER_PART_COUNT ? part_names[part] : "none";
}

const char *es_meter_curve_name(es_meter_curve curve)
{
    return curve < ES_METER_CURVE_COUNT ? curve_names[curve] : "none";
}

static es_meter_figure between(const es_meter_sum *from, const es_meter_sum *to,
                               int64_t interval_ns, int64_t covered_ns, double resolution_s,
                               double factor)
{
    double covered_s = es_s_from_ns(covered_ns);
    bool known = covered_ns > 0;
    double energy_j = factor * (to->energy_j - from->energy_j);
    double power_w = known ? energy_j / covered_s : (double)NAN;
    double ends_j = known ? 2 * resolution_s * power_w : 0; /* an update too much or too few */
    double low_j = factor * (to->low_j - from->low_j) - ends_j;
    return (es_meter_figure){
        .known = known,
        .energy_j = known ? energy_j : (double)NAN,
        .low_j = known ? fmax(0, low_j) : 0,
        .high_j = factor * (to->high_j - from->high_j) + ends_j,
        .power_w = power_w,
        .interval_s = es_s_from_ns(interval_ns),
        .covered_s = covered_s,
        .samples = to->samples - from->samples,
        .dropped = to->dropped - from->dropped,
    };
}

es_meter_figure es_meter_channel_between(const es_meter *meter, size_t channel,
                                         const es_meter_mark *from, const es_meter_mark *to)
{
    const es_meter_channel *face = &meter->channels[channel].face;
    const es_meter_sum *first = &from->channels[channel];
    const es_meter_sum *last = &to->channels[channel];
    es_meter_figure figure = between(first, last, to->time_ns - from->time_ns,
                                     last->covered_ns - first->covered_ns, face->resolution_s, 1);
    figure.source = face->source;
    figure.sources = figure.known ? 1U << face->source : 0;
    figure.method = face->method;
    return figure;
}

/* Covered by every counted channel. Within one epoch each channel's own time is exact, though they
 * update at different moments. */
static int64_t covered_ns(const es_meter *meter, const es_meter_mark *from, const es_meter_mark *to)
{
    if (from->epoch != to->epoch || to->epoch != meter->sums.epoch)
        return to->total.covered_ns - from->total.covered_ns;
    int64_t least_ns = INT64_MAX;
    for (size_t i = 0; i < to->channel_count; i++) {
        if (!meter->channels[i].face.counted)
            continue;
        int64_t time_ns = to->channels[i].covered_ns - from->channels[i].covered_ns;
        least_ns = time_ns < least_ns ? time_ns : least_ns;
    }
    return least_ns < INT64_MAX ? least_ns : 0;
}

/* The worst method and the slowest update among channels of a source that took part. */
static void look_at_channels(const es_meter *meter, const es_meter_mark *from,
                             const es_meter_mark *to, es_meter_method *out_method,
                             double *out_resolution_s)
{
    *out_method = ES_METER_COUNTER;
    *out_resolution_s = 0;
    for (size_t i = 0; i < to->channel_count; i++) {
        const es_meter_channel *face = &meter->channels[i].face;
        bool took_part = (face->counted || meter->channels[i].lost) &&
                         to->channels[i].covered_ns > from->channels[i].covered_ns &&
                         to->source_ns[face->source] > from->source_ns[face->source];
        if (!took_part)
            continue;
        *out_method = face->method > *out_method ? face->method : *out_method;
        *out_resolution_s = fmax(*out_resolution_s, face->resolution_s);
    }
}

es_meter_figure es_meter_between(const es_meter *meter, const es_meter_mark *from,
                                 const es_meter_mark *to)
{
    es_meter_method method = ES_METER_COUNTER;
    double resolution_s = 0;
    look_at_channels(meter, from, to, &method, &resolution_s);
    es_meter_figure figure =
        between(&from->total, &to->total, to->time_ns - from->time_ns, covered_ns(meter, from, to),
                resolution_s, meter->opts.calibration);
    figure.method = method;
    double most_j = -1;
    for (unsigned int source = 0; source < ES_METER_SOURCE_COUNT; source++) {
        if (to->source_ns[source] == from->source_ns[source])
            continue;
        double energy_j = to->source_j[source] - from->source_j[source];
        figure.sources |= 1U << source;
        if (energy_j > most_j) {
            figure.source = (es_meter_source)source;
            most_j = energy_j;
        }
    }
    return figure;
}

const char *es_meter_figure_source(const es_meter_figure *figure, char *out, size_t size)
{
    size_t used = 0;
    (void)snprintf(out, size, "none");
    for (unsigned int source = 0; source < ES_METER_SOURCE_COUNT && figure->known; source++) {
        if ((figure->sources >> source & 1) == 0 || used >= size)
            continue;
        int more =
            snprintf(out + used, size - used, "%s%s", used > 0 ? "+" : "", source_names[source]);
        used += more > 0 ? (size_t)more : 0;
    }
    return out;
}

void es_meter_figure_json(const es_meter_figure *figure, es_json *json)
{
    char words[ES_METER_WORDS_SIZE];
    es_json_put_number(json, "energy_j", figure->energy_j);
    es_json_put_number(json, "energy_j_low", figure->known ? figure->low_j : (double)NAN);
    es_json_put_number(json, "energy_j_high", figure->known ? figure->high_j : (double)NAN);
    es_json_put_number(json, "power_w", figure->power_w);
    es_json_put_number(json, "interval_s", figure->interval_s);
    es_json_put_number(json, "covered_s", figure->covered_s);
    es_json_put_text(json, "source", es_meter_figure_source(figure, words, sizeof words));
    es_json_put_text(json, "method", figure->known ? es_meter_method_name(figure->method) : "none");
    es_json_put_int(json, "samples", figure->samples);
    es_json_put_int(json, "dropped", figure->dropped);
}
