/*
 * Who used it. With energy E, idle part I, busy time B of everybody and b_i of part i:
 *   active_i = (E - I) b_i / B      idle_i = I / n | I b_i / B | 0      residue = E - sum
 */
#include "internal.h"

#include <math.h>

static const char *const idle_names[] = {"none", "equal", "use"};

const char *es_meter_idle_name(es_meter_idle idle)
{
    return idle < ES_METER_IDLE_COUNT ? idle_names[idle] : "none";
}

double es_meter_idle_j(double energy_j, double interval_s, double utilisation, double idle_w)
{
    double idle_j =
        isnan(idle_w) ? energy_j * (1 - fmin(fmax(utilisation, 0), 1)) : idle_w * interval_s;
    return fmin(fmax(idle_j, 0), energy_j);
}

/* Takes value off *left, and never more than there is: rounding may not make joules. */
static double take(double *left, double value)
{
    double taken = fmin(value, *left);
    *left -= taken;
    return taken;
}

static bool sound(double value)
{
    return isfinite(value) && value >= 0;
}

es_status es_meter_split(double energy_j, double idle_j, double busy_s, es_meter_idle policy,
                         es_meter_share *shares, size_t count, es_meter_share *out_residue,
                         es_error *err)
{
    if (!sound(energy_j) || !sound(idle_j) || idle_j > energy_j)
        return es_fail(err, ES_ERR_ARG, "energy_j=%g, idle_j=%g: expected 0 <= idle_j <= energy_j",
                       energy_j, idle_j);
    double sum_s = 0;
    for (size_t i = 0; i < count; i++) {
        if (!sound(shares[i].busy_s))
            return es_fail(err, ES_ERR_ARG, "shares[%zu]: busy_s=%g must be finite and >= 0", i,
                           shares[i].busy_s);
        sum_s += shares[i].busy_s;
    }
    if (!sound(busy_s) || !isfinite(sum_s))
        return es_fail(err, ES_ERR_ARG, "busy_s=%g must be finite and >= 0", busy_s);
    double whole_s = fmax(busy_s, sum_s);
    double active_left_j = energy_j - idle_j;
    double idle_left_j = idle_j;
    double active_j = active_left_j;
    for (size_t i = 0; i < count; i++) {
        double part = whole_s > 0 ? shares[i].busy_s / whole_s : 0;
        double idle_part = policy == ES_METER_IDLE_EQUAL ? 1 / (double)count
                           : policy == ES_METER_IDLE_USE ? part
                                                         : 0;
        shares[i].active_j = take(&active_left_j, active_j * part);
        shares[i].idle_j = take(&idle_left_j, idle_j * idle_part);
    }
    *out_residue = (es_meter_share){
        .busy_s = whole_s - sum_s,
        .active_j = active_left_j,
        .idle_j = idle_left_j,
    };
    return ES_OK;
}
