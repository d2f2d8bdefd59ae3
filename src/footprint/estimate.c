#include "footprint/footprint.h"

#include <math.h>

es_estimate es_estimate_exact(double value)
{
    return (es_estimate){value, value, value};
}

es_estimate es_estimate_unknown(void)
{
    return es_estimate_exact((double)NAN);
}

bool es_estimate_known(es_estimate a)
{
    return !isnan(a.value);
}

es_estimate es_estimate_add(es_estimate a, es_estimate b)
{
    return (es_estimate){a.low + b.low, a.value + b.value, a.high + b.high};
}

/* Both are >= 0, so the ends are the products of the ends. */
es_estimate es_estimate_times(es_estimate a, es_estimate b)
{
    return (es_estimate){a.low * b.low, a.value * b.value, a.high * b.high};
}

es_estimate es_estimate_scale(es_estimate a, double factor)
{
    return (es_estimate){a.low * factor, a.value * factor, a.high * factor};
}

const char *const es_criterion_names[ES_CRITERION_COUNT] = {"gwp", "adpe", "pe", "water"};
const char *const es_criterion_units[ES_CRITERION_COUNT] = {"gCO2e", "kgSbe", "MJ", "L"};

es_impact es_impact_zero(void)
{
    return (es_impact){0};
}

es_impact es_impact_add(es_impact a, es_impact b)
{
    for (int c = 0; c < ES_CRITERION_COUNT; c++)
        a.of[c] = es_estimate_add(a.of[c], b.of[c]);
    return a;
}

es_impact es_impact_scale(es_impact a, double factor)
{
    for (int c = 0; c < ES_CRITERION_COUNT; c++)
        a.of[c] = es_estimate_scale(a.of[c], factor);
    return a;
}

es_impact es_impact_share(es_impact piece, double life_h, double used_s, double share)
{
    return es_impact_scale(piece, used_s / (life_h * 3600) * share);
}
