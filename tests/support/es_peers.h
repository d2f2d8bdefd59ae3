/*
 * es_peers: the same tandem in other simulators, as programs (tests/peers) that read a file.
 */
#ifndef ES_PEERS_H
#define ES_PEERS_H

#include "es_tandem.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

typedef struct es_peer_answer {
    double end_s, latency_s, wall_s, energy_j;
} es_peer_answer;

/* The arrivals of the tandem's first `count` requests, and all else, into a new file; busy_w 0: no
 * energy is asked for. False when it cannot be written. path: "/tmp/…XXXXXX". */
static inline bool es_peer_write(const es_tandem *tandem, double busy_w, uint32_t count, char *path)
{
    int handle = mkstemp(path);
    FILE *file = handle < 0 ? NULL : fdopen(handle, "w");
    if (file == NULL)
        return false;
    es_arrival_stream stream = es_arrival_stream_make(tandem->arrivals, tandem->seed, 0);
    bool good = fprintf(file, "%u %.17g %.17g %.17g %.17g %.17g %.17g %u\n", tandem->node_count,
                        tandem->service_s, tandem->bits / 8, tandem->bandwidth_bps,
                        tandem->latency_s, tandem->idle_w, busy_w, count) > 0;
    for (uint32_t i = 0; i < count; i++) {
        int64_t when_ns = es_arrival_next_ns(&stream);
        good = fprintf(file, "%" PRId64 ".%09" PRId64 "\n", when_ns / ES_NS_PER_S,
                       when_ns % ES_NS_PER_S) > 0 &&
               good;
    }
    return fclose(file) == 0 && good;
}

/* Runs `program path`; false when it is not there or answers nothing. */
static inline bool es_peer_ask(const char *program, const char *path, es_peer_answer *out)
{
    char command[4096];
    (void)snprintf(command, sizeof command, "%s %s 2>/dev/null", program, path);
    FILE *pipe = popen(command, "r"); /* a program of ours and a file of ours */
    if (pipe == NULL)
        return false;
    int read =
        fscanf(pipe, "%lf %lf %lf %lf", &out->end_s, &out->latency_s, &out->wall_s, &out->energy_j);
    return pclose(pipe) == 0 && read == 4;
}

#endif
