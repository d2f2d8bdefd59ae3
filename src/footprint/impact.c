/* Impacts of a kWh, of a piece of hardware, of servers and GPU cards from their parts. */
#include "footprint/internal.h"

#include <math.h>

#define PI 3.14159265358979323846
enum { NAME_SIZE = 192 };

static const char *const hardware_units[] = {"kgCO2e", "kgSbe", "MJ", "L"};
#define GRAMS_PER_KG 1000.0

/* name/gwp and so on; unit "%s%s" of the criterion and per. Absent ones are unknown. */
static es_status collect(const es_factors *factors, const char *prefix, const char *source,
                         const char *const *units, const char *per, es_impact *out,
                         const es_factor **out_any, es_error *err)
{
    for (int c = 0; c < ES_CRITERION_COUNT; c++) {
        char name[NAME_SIZE];
        char unit[NAME_SIZE];
        (void)snprintf(name, sizeof name, "%s/%s", prefix, es_criterion_names[c]);
        (void)snprintf(unit, sizeof unit, "%s%s", units[c], per);
        out->of[c] = es_estimate_unknown();
        const es_factor *factor = es_factors_find(factors, name, source);
        if (factor == NULL)
            continue;
        ES_TRY(es_factors_need(factors, name, source, unit, &factor, err));
        out->of[c] = factor->is;
        if (*out_any == NULL)
            *out_any = factor;
        else if (strcmp((*out_any)->source, factor->source) != 0)
            return es_fail(err, ES_ERR_ARG, "%s: sources '%s' and '%s' would be mixed", prefix,
                           (*out_any)->source, factor->source);
    }
    return ES_OK;
}

es_status es_impact_grid(const es_factors *factors, const char *zone, const char *source,
                         es_impact *out_impact, es_error *err)
{
    char prefix[NAME_SIZE];
    char name[NAME_SIZE];
    const char *known = es_factors_zone(factors, zone);
    if (strlen(known) > NAME_SIZE / 2)
        return es_fail(err, ES_ERR_ARG, "zone '%.20s...' is too long", known);
    (void)snprintf(prefix, sizeof prefix, "grid/%s", known);
    (void)snprintf(name, sizeof name, "grid/%s/gwp", known);
    const es_factor *factor = NULL;
    ES_TRY(es_factors_need(factors, name, source, "gCO2e/kWh", &factor, err));
    return collect(factors, prefix, factor->source, es_criterion_units, "/kWh", out_impact, &factor,
                   err);
}

es_status es_impact_hardware(const es_factors *factors, const char *name, es_impact *out_impact,
                             double *out_life_h, const char **out_source, es_error *err)
{
    char prefix[NAME_SIZE];
    if (strlen(name) > NAME_SIZE / 2)
        return es_fail(err, ES_ERR_ARG, "hardware '%.20s...' is too long", name);
    (void)snprintf(prefix, sizeof prefix, "hardware/%s", name);
    es_impact impact;
    const es_factor *any = NULL;
    ES_TRY(collect(factors, prefix, NULL, hardware_units, "", &impact, &any, err));
    if (any == NULL)
        return es_fail(err, ES_ERR_ARG, "no factor '%s/gwp' in any table", prefix);
    impact.of[ES_CRITERION_GWP] = es_estimate_scale(impact.of[ES_CRITERION_GWP], GRAMS_PER_KG);
    (void)snprintf(prefix, sizeof prefix, "hardware/%s/life", name);
    const es_factor *life = es_factors_find(factors, prefix, any->source);
    if (life == NULL)
        ES_TRY(es_factors_need(factors, "hardware/component/life", NULL, "h", &life, err));
    if (strcmp(life->unit, "h") != 0 || !(life->is.value > 0))
        return es_fail(err, ES_ERR_ARG, "%s:%u: %s: %g %s, expected hours > 0", life->file,
                       life->line, life->name, life->is.value, life->unit);
    *out_impact = impact;
    *out_life_h = life->is.value;
    *out_source = any->source;
    return ES_OK;
}

/* ---- from parts ---- */

typedef struct impact_sum {
    const es_factors *factors;
    es_impact impact;
    es_error *err;
} impact_sum;

/* Adds amount of part/name, whose unit is per (such as "/kg"). */
static es_status add(impact_sum *sum, const char *part, const char *per, es_estimate amount)
{
    char prefix[NAME_SIZE];
    es_impact impact;
    const es_factor *any = NULL;
    (void)snprintf(prefix, sizeof prefix, "part/%s", part);
    ES_TRY(collect(sum->factors, prefix, NULL, hardware_units, per, &impact, &any, sum->err));
    if (any == NULL)
        return es_fail(sum->err, ES_ERR_ARG, "no factor '%s/gwp' in any table", prefix);
    for (int c = 0; c < ES_CRITERION_COUNT; c++)
        impact.of[c] = es_estimate_times(impact.of[c], amount);
    impact.of[ES_CRITERION_GWP] = es_estimate_scale(impact.of[ES_CRITERION_GWP], GRAMS_PER_KG);
    sum->impact = es_impact_add(sum->impact, impact);
    return ES_OK;
}

static es_status add_count(impact_sum *sum, const char *part, double count)
{
    return add(sum, part, "", es_estimate_exact(count));
}

/* Die area of so many GB: the denser, the smaller. */
static es_status add_memory(impact_sum *sum, const char *die, const char *density_name, double gb)
{
    const es_factor *density = NULL;
    ES_TRY(es_factors_need(sum->factors, density_name, NULL, "GB/cm2", &density, sum->err));
    if (!(density->is.low > 0))
        return es_fail(sum->err, ES_ERR_ARG, "%s:%u: %s: low %g must be > 0", density->file,
                       density->line, density->name, density->is.low);
    return add(sum, die, "/cm2",
               (es_estimate){gb / density->is.high, gb / density->is.value, gb / density->is.low});
}

es_server_parts es_server_parts_default(void)
{
    return (es_server_parts){.psus = 2, .psu_kg = 2.99};
}

es_status es_impact_server(const es_factors *factors, es_server_parts parts, es_impact *out_impact,
                           es_error *err)
{
    impact_sum total = {.factors = factors, .impact = es_impact_zero(), .err = err};
    ES_TRY(add(&total, "cpu-die", "/mm2", es_estimate_exact(parts.cpus * parts.die_mm2)));
    ES_TRY(add_count(&total, "cpu", parts.cpus));
    ES_TRY(add_memory(&total, "ram-die", "density/ram", parts.ram_sticks * parts.ram_gb));
    ES_TRY(add_count(&total, "ram", parts.ram_sticks));
    ES_TRY(add_memory(&total, "ssd-die", "density/ssd", parts.ssds * parts.ssd_gb));
    ES_TRY(add_count(&total, "ssd", parts.ssds));
    ES_TRY(add_count(&total, "hdd", parts.hdds));
    ES_TRY(add_count(&total, "motherboard", 1));
    ES_TRY(add(&total, "psu", "/kg", es_estimate_exact(parts.psus * parts.psu_kg)));
    ES_TRY(add_count(&total, "rack-case", 1));
    ES_TRY(add_count(&total, "assembly", 1));
    *out_impact = total.impact;
    return ES_OK;
}

double es_die_effective_mm2(double area_mm2)
{
    double cut = sqrt(area_mm2) + 0.2;
    double area = cut * cut;
    double wafer = PI * 150 * 150;
    double dies = wafer / area - PI * 300 / sqrt(2 * area);
    double yield = exp(-sqrt(area / 100 * 0.1));
    return wafer / dies / yield;
}

es_status es_impact_gpu(const es_factors *factors, es_gpu_parts parts, es_impact *out_impact,
                        es_error *err)
{
    static const double vram_mm2_per_gb = 15.5;
    impact_sum total = {.factors = factors, .impact = es_impact_zero(), .err = err};
    double die = parts.vram_dies > 0 ? parts.vram_gb * vram_mm2_per_gb / parts.vram_dies : 0;
    double vram = parts.vram_dies > 0 ? parts.vram_dies * es_die_effective_mm2(die) : 0;
    ES_TRY(add(&total, "gpu-casing", "/kg", es_estimate_exact(parts.casing_kg)));
    ES_TRY(add(&total, "gpu-heatsink", "/kg", es_estimate_exact(parts.heatsink_kg)));
    ES_TRY(add(&total, "gpu-pwb", "/cm2", es_estimate_exact(parts.pwb_cm2)));
    ES_TRY(add(&total, "gpu-die", "/mm2", es_estimate_exact(parts.die_mm2_effective)));
    ES_TRY(add(&total, "gpu-vram", "/mm2", es_estimate_exact(vram)));
    ES_TRY(add(&total, "gpu-upstream", "/kg", es_estimate_exact(parts.total_kg)));
    ES_TRY(add(&total, "gpu-boat", "/kg/km", es_estimate_exact(parts.total_kg * parts.boat_km)));
    ES_TRY(add(&total, "gpu-truck", "/kg/km", es_estimate_exact(parts.total_kg * parts.truck_km)));
    ES_TRY(add(&total, "gpu-plane", "/kg/km", es_estimate_exact(parts.total_kg * parts.plane_km)));
    ES_TRY(add(&total, "gpu-eol", "/kg", es_estimate_exact(parts.total_kg)));
    *out_impact = total.impact;
    return ES_OK;
}
