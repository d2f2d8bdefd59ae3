/* Energy and carbon of learning: centralised, federated with a server, by consensus. */
#include "footprint/footprint.h"

#include <math.h>

es_learning es_learning_default(void)
{
    return (es_learning){.pue = 1.67,
                         .devices = 30,
                         .active = 20,
                         .neighbours = 1,
                         .rounds_central = 100,
                         .rounds_federated = 100,
                         .rounds_consensus = 100,
                         .server_j = 590 * 0.020 * 30 * 5,
                         .device_j = 5.1 * 0.190 * 5,
                         .aggregation = 0.02,
                         .model_bits = 1e6,
                         .data_bits = 30.0 * 500 * 784 * 8,
                         .uploads = 1,
                         .uplink_bit_j = 50e3,
                         .downlink_bit_j = 50e3,
                         .sidelink_bit_j = 200e3,
                         .server_g_kwh = 473,
                         .device_g_kwh = 473};
}

static es_status at_least(const char *name, double value, double least, es_error *err)
{
    if (isfinite(value) && value >= least)
        return ES_OK;
    return es_fail(err, ES_ERR_ARG, "%s=%g must be >= %g", name, value, least);
}

es_status es_learning_check(const es_learning *l, es_error *err)
{
    const struct {
        const char *name;
        double value, least;
    } rows[] = {
        {"server_j", l->server_j, 0},
        {"device_j", l->device_j, 0},
        {"pue", l->pue, 1},
        {"devices", l->devices, 1},
        {"active", l->active, 1},
        {"rounds_central", l->rounds_central, 0},
        {"rounds_federated", l->rounds_federated, 0},
        {"rounds_consensus", l->rounds_consensus, 0},
        {"aggregation", l->aggregation, 0},
        {"model_bits", l->model_bits, 0},
        {"data_bits", l->data_bits, 0},
        {"uploads", l->uploads, 0},
        {"uplink_bit_j", l->uplink_bit_j, 1e-9},
        {"downlink_bit_j", l->downlink_bit_j, 1e-9},
        {"sidelink_bit_j", l->sidelink_bit_j, 0},
        {"sleep_j", l->sleep_j, 0},
        {"server_g_kwh", l->server_g_kwh, 0},
        {"device_g_kwh", l->device_g_kwh, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ES_TRY(at_least(rows[i].name, rows[i].value, rows[i].least, err));
    if (l->active > l->devices)
        return es_fail(err, ES_ERR_ARG, "active=%u must be <= devices=%u", l->active, l->devices);
    if (l->neighbours >= l->devices && l->neighbours > 0)
        return es_fail(err, ES_ERR_ARG, "neighbours=%u must be < devices=%u", l->neighbours,
                       l->devices);
    if (l->aggregation > 1)
        return es_fail(err, ES_ERR_ARG, "aggregation=%g must be <= 1", l->aggregation);
    return ES_OK;
}

/* The downlink is the network's, and drawn where the server is; the rest by the devices. */
static es_learning_cost cost_of(const es_learning *l, double server_compute, double device_compute,
                                double device_network, double server_network)
{
    es_learning_cost cost = {.compute_j = server_compute + device_compute,
                             .network_j = device_network + server_network,
                             .server_part_j = server_compute + server_network};
    cost.total_j = cost.compute_j + cost.network_j;
    cost.carbon_g = (cost.server_part_j * l->server_g_kwh +
                     (cost.total_j - cost.server_part_j) * l->device_g_kwh) /
                    ES_JOULES_PER_KWH;
    return cost;
}

es_learning_cost es_learning_central(const es_learning *l)
{
    return cost_of(l, l->pue * l->rounds_central * l->server_j, 0,
                   l->uploads * l->data_bits / l->uplink_bit_j, 0);
}

/* All devices take the new model, since the idle ones need it too. */
es_learning_cost es_learning_federated(const es_learning *l)
{
    double n = l->rounds_federated;
    double devices = n * (l->active * l->device_j + (l->devices - l->active) * l->sleep_j);
    return cost_of(l, l->pue * l->aggregation * n * l->server_j, devices,
                   n * l->active * l->model_bits / l->uplink_bit_j,
                   l->pue * n * l->devices * l->model_bits / l->downlink_bit_j);
}

es_learning_cost es_learning_consensus(const es_learning *l)
{
    double n = l->rounds_consensus;
    double devices = n * (l->active * l->device_j + (l->devices - l->active) * l->sleep_j);
    double bits = n * l->active * l->neighbours * l->model_bits;
    if (l->sidelink_bit_j > 0)
        return cost_of(l, 0, devices, bits / l->sidelink_bit_j, 0);
    return cost_of(l, 0, devices, bits / l->uplink_bit_j, l->pue * bits / l->downlink_bit_j);
}

/* compute + network / x is what a scheme costs with links x times as efficient: equal where
 * x = (network difference) / (compute difference). */
double es_learning_break_even(const es_learning *l, bool consensus, bool *out_below)
{
    es_learning_cost central = es_learning_central(l);
    es_learning_cost other = consensus ? es_learning_consensus(l) : es_learning_federated(l);
    double compute = central.compute_j - other.compute_j; /* what the other saves computing */
    double network = central.network_j - other.network_j; /* and moving */
    *out_below = true;
    if (compute >= 0 && network >= 0)
        return compute > 0 || network > 0 ? (double)INFINITY : 0;
    if (compute <= 0 && network <= 0)
        return 0;
    *out_below = network > 0;
    return l->uplink_bit_j * network / -compute;
}

double es_learning_traffic_ratio(const es_learning *l)
{
    es_learning_cost federated = es_learning_federated(l);
    return l->uploads * l->data_bits / l->uplink_bit_j / federated.network_j;
}
