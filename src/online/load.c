#include "online/internal.h"

es_status es_idn_load_new(es_arena *arena, const es_idn *idn, es_idn_load *out_load, es_error *err)
{
    es_idn_load load = {.idn = idn};
    ES_TRY(es_online_take(arena, idn->type_count, sizeof *load.requests, &load.requests, err));
    ES_TRY(es_online_take(arena, idn->group_count, sizeof *load.per_group, &load.per_group, err));
    ES_TRY(es_online_take(arena, idn->item_count, sizeof *load.pinned, &load.pinned, err));
    es_idn_pinned(idn, load.pinned);
    *out_load = load;
    return ES_OK;
}

void es_idn_load_set(es_idn_load *load, const double *requests)
{
    const es_idn *idn = load->idn;
    load->total = 0;
    for (uint32_t t = 0; t < idn->type_count; t++) {
        load->requests[t] = requests[t];
        load->total += requests[t];
    }
    for (uint32_t g = 0; g < idn->group_count; g++) {
        double sum = 0;
        for (uint32_t i = idn->group_first[g]; i < idn->group_first[g + 1]; i++)
            sum += requests[idn->group_types[i]];
        load->per_group[g] = sum > 0 ? 1 / sum : 0;
    }
    load->base_cost = es_idn_cost(load, load->pinned);
}

/* What one copy of option k serves of r requests. */
static inline double capacity_of(const es_idn *idn, const double *per_group, uint32_t k, double r)
{
    return es_least(r, idn->capacities[k] * r * per_group[idn->groups[k]]);
}

static inline double hosted_of(const es_idn *idn, uint32_t k, const double *hosted)
{
    uint32_t item = idn->main_item[k];
    return item != ES_INDEX_NONE ? hosted[item] : es_idn_hosted_of(idn, k, hosted);
}

double es_idn_load_capacity(const es_idn_load *load, uint32_t type, uint32_t option)
{
    double r = load->requests[type];
    return r > 0 ? capacity_of(load->idn, load->per_group, option, r) : 0;
}

/* Cost of a type; *out_rank is the option that serves its last request. */
static double fill(const es_idn_load *load, uint32_t type, const double *hosted, uint32_t *out_rank)
{
    const es_idn *idn = load->idn;
    double r = load->requests[type];
    double left = r;
    double cost = 0;
    uint32_t last = idn->type_first[type + 1] - 1;
    uint32_t k = idn->type_first[type];
    for (; k < last; k++) {
        double served = hosted_of(idn, k, hosted);
        if (served <= 0)
            continue;
        served *= capacity_of(idn, load->per_group, k, r);
        if (served >= left)
            break;
        cost += served * idn->costs[k];
        left -= served;
    }
    *out_rank = k;
    return cost + left * idn->costs[k];
}

double es_idn_cost(const es_idn_load *load, const double *hosted)
{
    double cost = 0;
    uint32_t rank = 0;
    for (uint32_t t = 0; t < load->idn->type_count; t++)
        if (load->requests[t] > 0)
            cost += fill(load, t, hosted, &rank);
    return cost;
}

double es_idn_gain(const es_idn_load *load, const double *hosted)
{
    return load->base_cost - es_idn_cost(load, hosted);
}

double es_idn_type_cost(const es_idn_load *load, uint32_t type, const double *hosted)
{
    uint32_t rank = 0;
    return load->requests[type] > 0 ? fill(load, type, hosted, &rank) : 0;
}

uint32_t es_idn_scarcest(const es_idn *idn, uint32_t option, const double *hosted)
{
    const es_idn_option *one = &idn->options[option];
    uint32_t scarcest = one->items[0];
    for (uint32_t i = 1; i < one->item_count; i++)
        if (hosted[one->items[i]] < hosted[scarcest])
            scarcest = one->items[i];
    return scarcest;
}

double es_idn_gradient(const es_idn_load *load, const double *hosted, double *out_gradient)
{
    const es_idn *idn = load->idn;
    double cost = 0;
    memset(out_gradient, 0, idn->item_count * sizeof *out_gradient);
    for (uint32_t t = 0; t < idn->type_count; t++) {
        double r = load->requests[t];
        if (r <= 0)
            continue;
        uint32_t rank = 0;
        cost += fill(load, t, hosted, &rank);
        double worst = idn->costs[rank];
        for (uint32_t k = idn->type_first[t]; k < rank; k++) {
            uint32_t item = idn->main_item[k];
            if (item == ES_INDEX_NONE)
                item = es_idn_scarcest(idn, k, hosted);
            out_gradient[item] += capacity_of(idn, load->per_group, k, r) * (worst - idn->costs[k]);
        }
    }
    return cost;
}

es_idn_service es_idn_serve(const es_idn_load *load, const double *hosted, double *served)
{
    const es_idn *idn = load->idn;
    es_idn_service sum = {0};
    if (served != NULL)
        memset(served, 0, idn->type_first[idn->type_count] * sizeof *served);
    for (uint32_t t = 0; t < idn->type_count; t++) {
        double left = load->requests[t];
        uint32_t last = idn->type_first[t + 1] - 1;
        for (uint32_t k = idn->type_first[t]; k <= last && left > 0; k++) {
            double part = left;
            if (k < last)
                part = es_least(left, hosted_of(idn, k, hosted) *
                                          capacity_of(idn, load->per_group, k, load->requests[t]));
            if (part <= 0)
                continue;
            const es_idn_option *option = &idn->options[k];
            sum.cost += part * option->cost;
            sum.refused += option->item_count == 0 ? part : 0;
            sum.latency_s += part * option->latency_s;
            sum.quality += part * option->quality;
            if (served != NULL)
                served[k] = part;
            left -= part;
        }
    }
    return sum;
}
