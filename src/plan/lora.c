/* LoRa as a link: time on air, duty cycle, pure ALOHA. Numbers for EU868 at 125 kHz. */
#include "plan/plan.h"

#include <math.h>

enum { SPREADING_MIN = 7, SPREADING_MAX = 12 };

/* Largest application payload by spreading factor 7..12. */
static const uint32_t payload_max[] = {222, 222, 115, 51, 51, 51};

es_lora es_lora_default(uint32_t spreading_factor, uint32_t payload_bytes)
{
    return (es_lora){.spreading_factor = spreading_factor,
                     .bandwidth_hz = 125e3,
                     .payload_bytes = payload_bytes,
                     .header_bytes = 13,
                     .preamble_symbols = 8,
                     .coding_rate = 1,
                     .crc = true,
                     .duty_max = 0.01,
                     .transmit_w = 0.044 * 3.3};
}

es_status es_lora_check(const es_lora *lora, es_error *err)
{
    uint32_t factor = lora->spreading_factor;
    if (factor < SPREADING_MIN || factor > SPREADING_MAX)
        return es_fail(err, ES_ERR_ARG, "lora: spreading_factor=%u must be 7..12", factor);
    uint32_t most = payload_max[factor - SPREADING_MIN];
    if (lora->payload_bytes < 1 || lora->payload_bytes > most)
        return es_fail(err, ES_ERR_ARG,
                       "lora: payload_bytes=%u must be 1..%u at spreading factor %u",
                       lora->payload_bytes, most, factor);
    if (lora->header_bytes > 64 || lora->preamble_symbols < 1 || lora->preamble_symbols > 65535)
        return es_fail(err, ES_ERR_ARG,
                       "lora: header_bytes=%u must be 0..64, preamble_symbols=%u 1..65535",
                       lora->header_bytes, lora->preamble_symbols);
    if (lora->coding_rate < 1 || lora->coding_rate > 4)
        return es_fail(err, ES_ERR_ARG, "lora: coding_rate=%u must be 1..4 (4/5 .. 4/8)",
                       lora->coding_rate);
    if (!(lora->bandwidth_hz >= 7.8e3 && lora->bandwidth_hz <= 500e3))
        return es_fail(err, ES_ERR_ARG, "lora: bandwidth_hz=%g must be 7800..500000",
                       lora->bandwidth_hz);
    if (!(lora->duty_max > 0 && lora->duty_max <= 1))
        return es_fail(err, ES_ERR_ARG, "lora: duty_max=%g must be above 0, at most 1",
                       lora->duty_max);
    if (!(lora->transmit_w >= 0 && lora->transmit_w <= 100))
        return es_fail(err, ES_ERR_ARG, "lora: transmit_w=%g must be 0..100", lora->transmit_w);
    return ES_OK;
}

double es_lora_airtime_s(const es_lora *lora)
{
    double symbol_s = ldexp(1, (int)lora->spreading_factor) / lora->bandwidth_hz;
    /* Symbols above 16 ms need the optimisation for low data rates: SF11 and 12 at 125 kHz. */
    double slow = symbol_s > 16e-3 ? 1 : 0;
    double factor = lora->spreading_factor;
    double bytes = lora->payload_bytes + lora->header_bytes;
    double bits =
        8 * bytes - 4 * factor + 28 + (lora->crc ? 16 : 0) - (lora->implicit_header ? 20 : 0);
    double blocks = ceil(bits / (4 * (factor - 2 * slow)));
    double symbols = 8 + fmax(blocks * (lora->coding_rate + 4), 0);
    return (lora->preamble_symbols + 4.25 + symbols) * symbol_s;
}

double es_lora_silence_s(const es_lora *lora)
{
    return es_lora_airtime_s(lora) * (1 / lora->duty_max - 1);
}

double es_lora_bytes_per_day(const es_lora *lora)
{
    return 86400 * lora->duty_max / es_lora_airtime_s(lora) * lora->payload_bytes;
}

double es_lora_aloha_success(double device_count, double duty)
{
    return exp(-2 * device_count * duty);
}

es_link es_lora_link(const es_lora *lora, double other_count)
{
    double airtime_s = es_lora_airtime_s(lora);
    double bits = 8.0 * lora->payload_bytes;
    es_link link = es_link_default();
    link.latency_s = airtime_s;
    link.bandwidth_bps = bits * lora->duty_max / airtime_s;
    link.energy_j_per_bit = lora->transmit_w * airtime_s / bits;
    link.availability = es_lora_aloha_success(other_count, lora->duty_max);
    link.directed = true;
    return link;
}
