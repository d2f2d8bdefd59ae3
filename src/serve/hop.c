#include "hop.h"

#include "base/clock.h"
#include "pipeline.h"

#include <assert.h>

enum { MARGIN_US = 500, MARGIN_SHARE = 50 };

uint64_t es_hop_timeout_us(int64_t left_ns, int64_t back_ns)
{
    int64_t left_us = (left_ns - back_ns) / ES_NS_PER_US;
    int64_t margin_us = MARGIN_US + left_us / MARGIN_SHARE;
    if (left_us > 2 * margin_us)
        return (uint64_t)(left_us - margin_us);
    return left_us > 2 ? (uint64_t)left_us / 2 : 1;
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
    "Estran-Failed", "endpoint-load-metrics",           "Retry-After"};

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
    reply->body_bytes = result->reply.body_bytes;
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
