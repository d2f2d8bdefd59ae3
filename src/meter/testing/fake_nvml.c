/* A stand-in for NVML, driven by the text file that ESTRAN_FAKE_NVML names: one line per GPU,
 * "ENERGY_MJ POWER_MW MIG"; -1 is "not supported", -2 "lost". The line "fail" fails the start. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlDeviceGetCount_v2(unsigned int *count);
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device);
int nvmlDeviceGetName(void *device, char *name, unsigned int size);
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *energy);
int nvmlDeviceGetPowerUsage(void *device, unsigned int *power);
int nvmlDeviceGetMigMode(void *device, unsigned int *now, unsigned int *pending);
const char *nvmlErrorString(int code);

enum { OK = 0, NOT_SUPPORTED = 3, DRIVER = 9, LOST = 15, GPUS = 4 };

static char handles[GPUS];

typedef struct gpu {
    long long energy_mj, power_mw, mig;
} gpu;

static int load(gpu gpus[GPUS], unsigned int *count)
{
    *count = 0;
    const char *path = getenv("ESTRAN_FAKE_NVML");
    FILE *file = path != NULL ? fopen(path, "re") : NULL;
    char line[128];
    int code = file != NULL ? OK : DRIVER;
    while (file != NULL && *count < GPUS && fgets(line, sizeof line, file) != NULL) {
        gpu *now = &gpus[*count];
        if (strncmp(line, "fail", 4) == 0)
            code = DRIVER;
        else if (sscanf(line, "%lld %lld %lld", &now->energy_mj, &now->power_mw, &now->mig) == 3)
            (*count)++;
    }
    if (file != NULL)
        (void)fclose(file);
    return code;
}

static int look(void *device, gpu *out)
{
    gpu gpus[GPUS];
    unsigned int count = 0;
    size_t index = (size_t)((char *)device - handles);
    int code = load(gpus, &count);
    if (code != OK || index >= count)
        return code != OK ? code : LOST;
    *out = gpus[index];
    return OK;
}

static int refusal(long long value)
{
    return value == -1 ? NOT_SUPPORTED : value < 0 ? LOST : OK;
}

int nvmlInit_v2(void)
{
    gpu gpus[GPUS];
    unsigned int count = 0;
    return load(gpus, &count);
}

int nvmlShutdown(void)
{
    return OK;
}

int nvmlDeviceGetCount_v2(unsigned int *count)
{
    gpu gpus[GPUS];
    return load(gpus, count);
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device)
{
    *device = &handles[index < GPUS ? index : 0];
    return index < GPUS ? OK : LOST;
}

int nvmlDeviceGetName(void *device, char *name, unsigned int size)
{
    (void)device;
    (void)snprintf(name, size, "Fake T4");
    return OK;
}

int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *energy)
{
    gpu now = {0};
    int code = look(device, &now);
    if (code == OK)
        code = refusal(now.energy_mj);
    if (code == OK)
        *energy = (unsigned long long)now.energy_mj;
    return code;
}

int nvmlDeviceGetPowerUsage(void *device, unsigned int *power)
{
    gpu now = {0};
    int code = look(device, &now);
    if (code == OK)
        code = refusal(now.power_mw);
    if (code == OK)
        *power = (unsigned int)now.power_mw;
    return code;
}

int nvmlDeviceGetMigMode(void *device, unsigned int *now, unsigned int *pending)
{
    gpu state = {0};
    int code = look(device, &state);
    if (code != OK)
        return code;
    *now = (unsigned int)state.mig;
    *pending = *now;
    return OK;
}

const char *nvmlErrorString(int code)
{
    return code == NOT_SUPPORTED ? "Not Supported"
           : code == LOST        ? "GPU is lost"
           : code == DRIVER      ? "Driver Not Loaded"
                                 : "Success";
}
