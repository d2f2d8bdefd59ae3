#include "link.h"

#include "base/clock.h"

#include <assert.h>
#include <math.h>

/* Far enough for any run, near enough that sums of two such times do not overflow. */
#define TIME_MAX_NS (INT64_MAX / 4)

es_link_emulator es_link_emulator_make(int64_t latency_ns, double bandwidth_bps,
                                       double relay_s_per_bit)
{
    assert(latency_ns >= 0);
    assert(bandwidth_bps > 0 && relay_s_per_bit >= 0);
    return (es_link_emulator){
        .latency_ns = latency_ns < TIME_MAX_NS ? latency_ns : TIME_MAX_NS,
        .ns_per_byte = 8.0 * (double)ES_NS_PER_S / bandwidth_bps,
        .free_ns = INT64_MIN,
        .relay_ns_per_byte = 8.0 * (double)ES_NS_PER_S * relay_s_per_bit,
        .last_ns = INT64_MIN,
    };
}

int64_t es_link_emulator_enqueue(es_link_emulator *link, int64_t now_ns, double bytes)
{
    assert(bytes >= 0);
    if (now_ns > link->free_ns) {
        link->free_ns = now_ns;
        link->free_fraction = 0;
    }
    double busy_ns = bytes * link->ns_per_byte + link->free_fraction;
    double whole_ns = floor(busy_ns);
    if (whole_ns >= (double)(TIME_MAX_NS - link->free_ns)) {
        link->free_ns = link->free_ns > TIME_MAX_NS ? link->free_ns : TIME_MAX_NS;
        link->free_fraction = 0;
    } else {
        link->free_ns += (int64_t)whole_ns;
        link->free_fraction = busy_ns - whole_ns;
    }
    double relay_ns = bytes * link->relay_ns_per_byte;
    int64_t arrival_ns = link->free_ns + link->latency_ns;
    arrival_ns += relay_ns < (double)TIME_MAX_NS ? (int64_t)relay_ns : TIME_MAX_NS;
    link->last_ns = arrival_ns > link->last_ns ? arrival_ns : link->last_ns;
    return link->last_ns;
}
