/* A server of the Open Inference Protocol without models, for tests of what calls such servers: it
 * takes a known time, stalls when told, fails some. */
#ifndef ES_OIP_OIP_STUB_H
#define ES_OIP_OIP_STUB_H

#include "base/queue.h"
#include "http/http.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

typedef struct oip_stub {
    /* set before oip_stub_start */
    double service_s;
    bool serial;         /* one at a time; else each takes its time from when it came */
    uint32_t fail_every; /* every nth inference is answered 503; 0: none */
    /* at any time */
    _Atomic int64_t stall_from_ns, stall_to_ns; /* nothing is answered between */
    /* read by the test */
    _Atomic uint64_t inferences, failed, malformed, rows;
    /* private */
    es_http_server *server;
    es_queue *waiting;
    pthread_t worker;
    int64_t free_ns;
} oip_stub;

void oip_stub_start(oip_stub *stub, char url[64]);
void oip_stub_stop(oip_stub *stub);

#endif
