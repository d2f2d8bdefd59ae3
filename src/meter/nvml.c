/* NVIDIA GPUs through NVML, loaded when it is there: the energy counter, else the power. */
#include "internal.h"

#include <dlfcn.h>
#include <string.h>

enum { NVML_OK = 0, NVML_NAME_SIZE = 96, NVML_GPUS_MAX = 32 };

typedef void *nvml_device;

struct es_nvml {
    void *library;
    int (*init)(void);
    int (*shutdown)(void);
    int (*device_count)(unsigned int *count);
    int (*device_at)(unsigned int index, nvml_device *device);
    int (*device_name)(nvml_device device, char *name, unsigned int size);
    int (*energy)(nvml_device device, unsigned long long *millijoules);
    int (*power)(nvml_device device, unsigned int *milliwatts);
    int (*mig_mode)(nvml_device device, unsigned int *now, unsigned int *pending); /* may be NULL */
    const char *(*error_text)(int code);
};

/* [from memory] NVIDIA gives +-5 % for its power readings. */
static const double accuracy = 0.05;
static const double update_energy_s = 0.1;
static const double update_power_s = 1; /* [found] the mean of a second on Ampere and later */

static const char energy_call[] = "nvmlDeviceGetTotalEnergyConsumption (since driver load)";
static const char power_call[] = "nvmlDeviceGetPowerUsage (mean of up to 1 s)";

/* A function pointer out of the library; ISO C has no cast for it. */
static bool symbol(const es_nvml *nvml, const char *name, void *out_function)
{
    void *address = dlsym(nvml->library, name);
    memcpy(out_function, &address, sizeof address);
    return address != NULL;
}

static bool load(es_meter *meter, es_nvml *nvml, const char *library)
{
    nvml->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (nvml->library == NULL) {
        es_meter_reject(meter, ES_METER_NVML, library, "not there: no NVIDIA driver");
        return false;
    }
    (void)symbol(nvml, "nvmlDeviceGetMigMode", &nvml->mig_mode); /* older drivers have none */
    const char *missing =
        !symbol(nvml, "nvmlInit_v2", &nvml->init)                     ? "nvmlInit_v2"
        : !symbol(nvml, "nvmlShutdown", &nvml->shutdown)              ? "nvmlShutdown"
        : !symbol(nvml, "nvmlDeviceGetCount_v2", &nvml->device_count) ? "nvmlDeviceGetCount_v2"
        : !symbol(nvml, "nvmlDeviceGetHandleByIndex_v2", &nvml->device_at)
            ? "nvmlDeviceGetHandleByIndex_v2"
        : !symbol(nvml, "nvmlDeviceGetName", &nvml->device_name) ? "nvmlDeviceGetName"
        : !symbol(nvml, "nvmlDeviceGetPowerUsage", &nvml->power) ? "nvmlDeviceGetPowerUsage"
        : !symbol(nvml, "nvmlDeviceGetTotalEnergyConsumption", &nvml->energy)
            ? "nvmlDeviceGetTotalEnergyConsumption"
        : !symbol(nvml, "nvmlErrorString", &nvml->error_text) ? "nvmlErrorString"
                                                              : NULL;
    if (missing != NULL)
        es_meter_reject(meter, ES_METER_NVML, library, "has no %s: too old", missing);
    return missing == NULL;
}

static void release(void *thing)
{
    es_nvml *nvml = thing;
    (void)nvml->shutdown(); /* nothing to do about it */
    (void)dlclose(nvml->library);
}

static void add_device(es_meter *meter, const es_nvml *nvml, unsigned int index)
{
    nvml_device device = NULL;
    char gpu[32];
    char model[NVML_NAME_SIZE] = "";
    char name[NVML_NAME_SIZE + 64];
    (void)snprintf(gpu, sizeof gpu, "gpu %u", index);
    int code = nvml->device_at(index, &device);
    if (code != NVML_OK) {
        es_meter_reject(meter, ES_METER_NVML, gpu, "%s", nvml->error_text(code));
        return;
    }
    if (nvml->device_name(device, model, sizeof model) != NVML_OK)
        model[0] = '\0';
    unsigned int mig = 0;
    unsigned int pending = 0;
    bool sliced =
        nvml->mig_mode != NULL && nvml->mig_mode(device, &mig, &pending) == NVML_OK && mig == 1;
    (void)snprintf(name, sizeof name, "%s: %.90s%s", gpu, model,
                   sliced ? " (MIG: all instances together)" : "");
    unsigned long long energy = 0;
    unsigned int power = 0;
    int energy_code = nvml->energy(device, &energy);
    code = energy_code != NVML_OK ? nvml->power(device, &power) : NVML_OK;
    if (code != NVML_OK) {
        es_meter_reject(meter, ES_METER_NVML, name, "no energy (%s) and no power (%s)",
                        nvml->error_text(energy_code), nvml->error_text(code));
        return;
    }
    if (energy_code != NVML_OK)
        es_meter_reject(meter, ES_METER_NVML, name, "energy counter: %s; its power is polled",
                        nvml->error_text(energy_code));
    if (sliced)
        es_meter_reject(meter, ES_METER_NVML, name,
                        "MIG is on: there is no energy of one instance, only of the whole GPU");
    es_channel *channel = es_channel_add(meter, ES_METER_NVML, ES_METER_GPU, name,
                                         energy_code == NVML_OK ? energy_call : power_call);
    if (channel == NULL)
        return;
    channel->device = device;
    channel->reading = energy_code == NVML_OK ? ES_READ_NVML_ENERGY : ES_READ_NVML_POWER;
    channel->face.method = energy_code == NVML_OK ? ES_METER_COUNTER : ES_METER_POLLED;
    channel->face.resolution_s = energy_code == NVML_OK ? update_energy_s : update_power_s;
    channel->scale = 1e-3;
    channel->accuracy = accuracy;
}

void es_nvml_find(es_meter *meter)
{
    const char *library =
        meter->opts.nvml_library != NULL ? meter->opts.nvml_library : "libnvidia-ml.so.1";
    if (library[0] == '\0')
        return;
    es_nvml *nvml = ES_TAKE_ONE(meter->arena, es_nvml);
    if (nvml == NULL)
        return;
    if (!load(meter, nvml, library)) {
        if (nvml->library != NULL)
            (void)dlclose(nvml->library);
        return;
    }
    int code = nvml->init();
    if (code != NVML_OK) {
        es_meter_reject(meter, ES_METER_NVML, library, "does not start: %s",
                        nvml->error_text(code));
        (void)dlclose(nvml->library);
        return;
    }
    if (es_arena_attach(meter->arena, nvml, release, NULL) != ES_OK)
        return; /* released at once */
    meter->nvml = nvml;
    unsigned int count = 0;
    code = nvml->device_count(&count);
    if (code != NVML_OK || count == 0)
        es_meter_reject(meter, ES_METER_NVML, library, "%s",
                        code != NVML_OK ? nvml->error_text(code) : "no GPU");
    for (unsigned int i = 0; code == NVML_OK && i < count && i < NVML_GPUS_MAX; i++)
        add_device(meter, nvml, i);
}

bool es_nvml_read(const es_nvml *nvml, const es_channel *channel, uint64_t *out, const char **why)
{
    unsigned long long energy = 0;
    unsigned int power = 0;
    bool counter = channel->reading == ES_READ_NVML_ENERGY;
    int code =
        counter ? nvml->energy(channel->device, &energy) : nvml->power(channel->device, &power);
    *out = counter ? energy : power;
    *why = code != NVML_OK ? nvml->error_text(code) : NULL;
    return code == NVML_OK;
}

bool es_nvml_fall_back(const es_nvml *nvml, es_channel *channel)
{
    unsigned int power = 0;
    if (channel->reading != ES_READ_NVML_ENERGY || nvml->power(channel->device, &power) != NVML_OK)
        return false;
    channel->reading = ES_READ_NVML_POWER;
    channel->face.method = ES_METER_POLLED;
    channel->face.path = power_call;
    channel->face.resolution_s = update_power_s;
    channel->has_last = false;
    channel->failed_in_row = 0;
    return true;
}
