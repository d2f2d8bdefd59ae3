/* The gradient as nodes find it together: one message per active type up its path and back. */
#include "online/internal.h"

/* Least cost that options at a later hop have: what a node may assume of those it has not heard. */
static double least_beyond(const es_idn *idn, uint32_t type, uint32_t hop)
{
    for (uint32_t k = idn->type_first[type]; k < idn->type_first[type + 1]; k++)
        if (idn->options[k].hop > hop)
            return idn->costs[k];
    return (double)INFINITY;
}

/* Merges what hops 0..hop know, cheapest first; the option at which r is reached, else NONE. */
static uint32_t threshold(const es_idn_load *load, uint32_t type, uint32_t hop,
                          const double *hosted)
{
    const es_idn *idn = load->idn;
    double left = load->requests[type];
    uint32_t last = idn->type_first[type + 1] - 1;
    for (uint32_t k = idn->type_first[type]; k <= last; k++) {
        if (idn->options[k].hop > hop)
            continue;
        if (k == last)
            return k;
        left -= es_idn_hosted_of(idn, k, hosted) * es_idn_load_capacity(load, type, k);
        if (left <= 0)
            return k;
    }
    return ES_INDEX_NONE;
}

es_idn_messages es_idn_exchange(const es_idn_load *load, const double *hosted, double *out_gradient)
{
    const es_idn *idn = load->idn;
    es_idn_messages sum = {0};
    memset(out_gradient, 0, idn->item_count * sizeof *out_gradient);
    for (uint32_t t = 0; t < idn->type_count; t++) {
        uint32_t hops = 0;
        if (load->requests[t] <= 0)
            continue;
        for (uint32_t k = idn->type_first[t]; k < idn->type_first[t + 1]; k++)
            hops = idn->options[k].hop > hops ? idn->options[k].hop : hops;
        uint32_t hop = 0;
        uint32_t stop = threshold(load, t, 0, hosted);
        while (hop < hops &&
               (stop == ES_INDEX_NONE || least_beyond(idn, t, hop) < idn->costs[stop]))
            stop = threshold(load, t, ++hop, hosted);
        sum.messages += 2.0 * hop;
        for (uint32_t k = idn->type_first[t]; k < idn->type_first[t + 1]; k++) {
            if (idn->options[k].hop > hop)
                continue;
            sum.entries += 1;
            if (idn->costs[k] >= idn->costs[stop])
                continue;
            uint32_t item = idn->main_item[k];
            if (item == ES_INDEX_NONE)
                item = es_idn_scarcest(idn, k, hosted);
            out_gradient[item] +=
                es_idn_load_capacity(load, t, k) * (idn->costs[stop] - idn->costs[k]);
        }
    }
    return sum;
}
