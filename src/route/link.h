/*
 * link: a directed link of a network, emulated in user space: store and forward. Pure arithmetic on
 * nanoseconds of any clock; who holds a message until it arrives is the user's matter.
 */
#ifndef ES_ROUTE_LINK_H
#define ES_ROUTE_LINK_H

#include <stdint.h>

typedef struct es_link_emulator {
    int64_t latency_ns;
    double ns_per_byte;
    int64_t free_ns;      /* when the last byte enqueued so far will have left */
    double free_fraction; /* part of a nanosecond beyond free_ns, so that nothing drifts */
    double relay_ns_per_byte;
    int64_t last_ns; /* the latest arrival so far: nothing overtakes */
} es_link_emulator;

/* A link, or several behind each other as one: latency_ns >= 0 of all; bandwidth_bps > 0 of the
 * narrowest, before which messages queue; relay_s_per_bit >= 0, what each bit takes in the others,
 * which store and forward (0: there are none). Exact for messages of one size. */
es_link_emulator es_link_emulator_make(int64_t latency_ns, double bandwidth_bps,
                                       double relay_s_per_bit);

/* When `bytes` (>= 0) handed over at now_ns arrive at the other end: they leave one after the
 * other, then travel. Never decreasing from call to call; saturates far in the future. */
int64_t es_link_emulator_enqueue(es_link_emulator *link, int64_t now_ns, double bytes);

#endif
