#include "hop.h"

#include "base/clock.h"
#include "pipeline.h"

#include <assert.h>
#include <math.h>
#include <sys/prctl.h>

static const double BANDWIDTH_NONE_BPS = 1e18;

/* ---- links ---- */

static bool same_number(double a, double b)
{
    return !(a < b) && !(a > b);
}

void es_hop_link_init(es_hop_link *link, const es_serve_peer *peer, bool emulate,
                      es_hop_link *before)
{
    (void)pthread_mutex_init(&link->lock, NULL); /* default attributes: cannot fail */
    link->emulated = emulate && (peer->latency_s > 0 || isfinite(peer->bandwidth_bps));
    link->one_way = emulate && peer->one_way;
    if (!link->emulated)
        return;
    int64_t latency_ns = es_ns_from_s(peer->latency_s);
    double bandwidth_bps = isfinite(peer->bandwidth_bps) ? peer->bandwidth_bps : BANDWIDTH_NONE_BPS;
    link->there = link->back =
        es_link_emulator_make(latency_ns, bandwidth_bps, peer->relay_s_per_bit);
    if (before == NULL || !before->emulated)
        return;
    (void)pthread_mutex_lock(&before->lock);
    if (before->there.latency_ns == latency_ns &&
        same_number(before->there.ns_per_byte, link->there.ns_per_byte) &&
        same_number(before->there.relay_ns_per_byte, link->there.relay_ns_per_byte)) {
        link->there = before->there;
        link->back = before->back;
    }
    (void)pthread_mutex_unlock(&before->lock);
}

void es_hop_link_done(es_hop_link *link)
{
    (void)pthread_mutex_destroy(&link->lock); /* nobody holds it */
}

void es_hop_be_exact(void)
{
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); /* less exact without */
}

int64_t es_hop_link_latency_ns(const es_hop_link *link)
{
    return link->emulated ? link->there.latency_ns : 0;
}

int64_t es_hop_link_due_ns(es_hop_link *link, bool back, int64_t leaves_ns, size_t bytes)
{
    if (!link->emulated)
        return 0;
    (void)pthread_mutex_lock(&link->lock);
    int64_t due_ns =
        es_link_emulator_enqueue(back ? &link->back : &link->there, leaves_ns, (double)bytes);
    (void)pthread_mutex_unlock(&link->lock);
    return due_ns;
}

size_t es_hop_payload_bytes(size_t body_bytes, const char *json_size)
{
    uint64_t json_bytes = 0;
    if (json_size == NULL || !es_text_to_uint64(json_size, &json_bytes) || json_bytes > body_bytes)
        return body_bytes;
    return body_bytes - (size_t)json_bytes;
}

/* ---- time and replies ---- */

/* A twentieth and a millisecond, for what a busy machine takes to notice that time is over; at most
 * a fifth. */
int64_t es_hop_margin_ns(int64_t left_ns)
{
    int64_t margin_ns = ES_NS_PER_MS + left_ns / 20;
    return margin_ns < left_ns / 5 ? margin_ns : left_ns / 5;
}

uint64_t es_hop_timeout_us(int64_t left_ns, int64_t back_ns)
{
    int64_t there_ns = left_ns - back_ns;
    int64_t left_us = (there_ns - es_hop_margin_ns(there_ns)) / ES_NS_PER_US;
    return left_us > 0 ? (uint64_t)left_us : 1;
}

void es_hop_reply_put(es_hop_reply *reply, const char *name, const char *value)
{
    if (value == NULL)
        return;
    assert(reply->header_count < ES_HOP_HEADERS_MAX);
    reply->headers[reply->header_count++] = (es_http_header){.name = name, .value = value};
}

/* Headers of an answer that go back to whoever asked. */
static const char *const PASSED[] = {
    "Content-Type",  "Inference-Header-Content-Length", "Estran-Stages", "Estran-Partial",
    "Estran-Failed", "endpoint-load-metrics",           "Retry-After",   "traceparent"};

void es_hop_reply_keep(es_hop_reply *reply, es_arena *arena, const es_http_result *result)
{
    *reply = (es_hop_reply){.status = result->reply.status};
    for (size_t i = 0; i < sizeof PASSED / sizeof *PASSED; i++) {
        /* A header that does not fit in memory is not passed; the body is what matters. */
        const char *value = es_arena_text(arena, es_http_reply_header(&result->reply, PASSED[i]));
        es_hop_reply_put(reply, PASSED[i], value);
        if (value != NULL && strcmp(PASSED[i], ES_STAGES_HEADER) == 0)
            reply->stages = value;
        if (value != NULL && strcmp(PASSED[i], ES_FAILED_HEADER) == 0)
            reply->failed = value;
        if (value != NULL && strcmp(PASSED[i], ES_PARTIAL_HEADER) == 0)
            reply->partial = true;
    }
    const char *leaves = es_http_reply_header(&result->reply, ES_DUE_HEADER);
    if (leaves == NULL || !es_text_to_int64(leaves, &reply->leaves_ns) || reply->leaves_ns < 0)
        reply->leaves_ns = 0;
    reply->body_bytes = result->reply.body_bytes;
    reply->payload_bytes = es_hop_payload_bytes(
        reply->body_bytes, es_http_reply_header(&result->reply, ES_OIP_JSON_SIZE_HEADER));
    reply->body = es_http_result_keep_body(result);
}

void es_hop_reply_send(es_hop_reply *reply, es_http_request *request)
{
    es_http_answer answer = {.status = reply->status,
                             .headers = reply->headers,
                             .header_count = reply->header_count,
                             .body = reply->body,
                             .body_bytes = reply->body != NULL ? reply->body_bytes : 0};
    if (reply->body != NULL) {
        answer.release = es_http_body_free;
        answer.release_context = reply->body;
    }
    reply->body = NULL;
    es_http_answer_send(request, &answer);
}

void es_hop_reply_done(es_hop_reply *reply)
{
    if (reply->body != NULL)
        es_http_body_free(reply->body);
    reply->body = NULL;
}
