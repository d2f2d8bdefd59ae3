/*
 * Which channels make the total: disjoint ones, from the sources that are trusted most.
 *   packages (RAPL, else a driver's)   + memory where asked   + GPUs of their own
 *   else one input of the whole board (psys, INA, ACPI, battery), which holds everything
 *   else the rails of a board           else the model        (a measured GPU comes on top)
 */
#include "internal.h"

#include <string.h>

/* Counts the live channels of one source and part; note says why the others are not. */
static size_t count_live(es_meter *meter, es_meter_source source, es_meter_part part, size_t most)
{
    size_t count = 0;
    for (size_t i = 0; i < meter->channel_count && count < most; i++) {
        es_channel *channel = &meter->channels[i];
        if (!channel->lost && channel->face.source == source && channel->face.part == part) {
            channel->face.counted = true;
            channel->face.note = NULL;
            count++;
        }
    }
    return count;
}

static void note_rest(es_meter *meter, es_meter_part part, const char *note)
{
    for (size_t i = 0; i < meter->channel_count; i++) {
        es_meter_channel *face = &meter->channels[i].face;
        if (!face->counted && !meter->channels[i].lost && face->part == part)
            face->note = note;
    }
}

static void clear(es_meter *meter)
{
    for (size_t i = 0; i < meter->channel_count; i++) {
        es_channel *channel = &meter->channels[i];
        channel->face.counted = false;
        channel->face.note = channel->lost ? "lost: see what was rejected"
                             : channel->reading == ES_READ_MODEL
                                 ? "counters are trusted more"
                                 : "nobody knows what it holds beside the others";
    }
}

static size_t count_processor(es_meter *meter)
{
    size_t packages = count_live(meter, ES_METER_RAPL, ES_METER_PACKAGE, SIZE_MAX);
    if (packages == 0)
        packages = count_live(meter, ES_METER_HWMON, ES_METER_PACKAGE, SIZE_MAX);
    return packages;
}

/* One input of the whole machine; batteries add up. */
static const char *count_platform(es_meter *meter)
{
    if (count_live(meter, ES_METER_RAPL, ES_METER_PLATFORM, 1) > 0)
        return "the platform as psys sees it";
    if (count_live(meter, ES_METER_INA, ES_METER_PLATFORM, 1) > 0)
        return "everything behind the board's input rail";
    if (count_live(meter, ES_METER_HWMON, ES_METER_PLATFORM, 1) > 0)
        return "everything behind the system's power meter";
    if (count_live(meter, ES_METER_BATTERY, ES_METER_PLATFORM, SIZE_MAX) > 0)
        return "everything that the battery feeds";
    return NULL;
}

static size_t count_gpus(es_meter *meter)
{
    size_t gpus = count_live(meter, ES_METER_NVML, ES_METER_GPU, SIZE_MAX);
    return gpus + count_live(meter, ES_METER_HWMON, ES_METER_GPU, SIZE_MAX);
}

static void tell(es_meter *meter, const char *base, const char *more, const char *without)
{
    (void)snprintf(meter->boundary, sizeof meter->boundary, "%s%s%s%s", base, more,
                   without[0] != '\0' ? "; without " : "", without);
}

void es_meter_arbitrate(es_meter *meter)
{
    clear(meter);
    meter->sums.epoch++;
    if (!meter->opts.model_only && count_processor(meter) > 0) {
        size_t dram =
            meter->opts.dram ? count_live(meter, ES_METER_RAPL, ES_METER_DRAM, SIZE_MAX) : 0;
        size_t gpus = count_gpus(meter);
        note_rest(meter, ES_METER_PACKAGE, "the same packages as RAPL tells");
        note_rest(meter, ES_METER_CORE, "inside the package");
        note_rest(meter, ES_METER_UNCORE, "inside the package");
        note_rest(meter, ES_METER_DRAM,
                  "only when asked for: on some platforms the package holds it");
        note_rest(meter, ES_METER_PLATFORM, "holds the packages; a figure of its own");
        note_rest(meter, ES_METER_RAIL, "may hold the packages; a figure of its own");
        tell(meter, dram > 0 ? "processor packages and memory" : "processor packages",
             gpus > 0 ? " and GPUs" : "",
             dram > 0 ? "disks, fans, network cards and the power supply's loss"
                      : "memory, disks, fans, network cards and the power supply's loss");
        return;
    }
    const char *platform = meter->opts.model_only ? NULL : count_platform(meter);
    bool rails = platform == NULL && !meter->opts.model_only &&
                 count_live(meter, ES_METER_INA, ES_METER_RAIL, SIZE_MAX) > 0;
    if (platform != NULL || rails) {
        for (int part = 0; part < ES_METER_PART_COUNT; part++)
            note_rest(meter, (es_meter_part)part, "inside what is counted, or the same again");
        tell(meter, rails ? "the rails of the board that are measured" : platform, "", "");
        return;
    }
    size_t gpus = meter->opts.model_only ? 0 : count_gpus(meter);
    (void)count_live(meter, ES_METER_MODEL, ES_METER_PLATFORM, 1);
    note_rest(meter, ES_METER_CORE, "no package to hold it against");
    tell(meter,
         meter->model.default_used ? "a generic processor's power, not declared for this machine"
                                   : "what the declared model covers",
         gpus > 0 ? ", and measured GPUs" : "",
         meter->model.default_used ? "memory, disks and the power supply's loss" : "");
}
