/* Watts of servers that nobody measured, from what BoaviztAPI and CodeCarbon publish [found]. */
#include "footprint/footprint.h"

#include <assert.h>
#include <math.h>

const char *const es_cpu_range_names[ES_CPU_RANGE_COUNT] = {
    "Xeon Platinum", "Xeon Gold", "Xeon Silver", "Xeon E5", "Xeon E3", "Xeon E"};

static const double CPU_W_LEAST = 1;
static const double RAM_W_PER_GB = 0.284;

/* a ln(b (u + c)) + d, u in percent. */
static const struct {
    double a, b, c, d;
} curves[ES_CPU_RANGE_COUNT] = {
    [ES_CPU_XEON_PLATINUM] = {171.1813, 0.0354, 36.8953, -10.1336},
    [ES_CPU_XEON_GOLD] = {35.5688, 0.2438, 9.6694, -0.6087},
    [ES_CPU_XEON_SILVER] = {20.7794, 0.3043, 8.4241, 0.8613},
    [ES_CPU_XEON_E5] = {48.9167, 0.1349, 15.7262, -4.654},
    [ES_CPU_XEON_E3] = {342.3624, 0.0347, 36.8952, -16.4022},
    [ES_CPU_XEON_E] = {55.6501, 0.0467, 20.4146, 4.24362},
};

static double clamp(double utilisation)
{
    return fmin(fmax(utilisation, 0), 1);
}

double es_power_cpu_w(es_cpu_range range, double utilisation)
{
    assert(range < ES_CPU_RANGE_COUNT);
    double percent = 100 * clamp(utilisation);
    double watts =
        curves[range].a * log(curves[range].b * (percent + curves[range].c)) + curves[range].d;
    return fmax(watts, CPU_W_LEAST);
}

double es_power_tdp_w(double tdp_w, double utilisation)
{
    double u = clamp(utilisation);
    return tdp_w * (0.1 + 0.9 * u * u * u);
}

es_estimate es_power_server_w(double cpu_w, double ram_gb, double gpu_w)
{
    static const es_estimate with_rest = {1.2, 1.33, 1.6};
    return es_estimate_scale(with_rest, cpu_w + RAM_W_PER_GB * ram_gb + gpu_w);
}
