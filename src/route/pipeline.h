/*
 * pipeline, private to route: what a request with a route means at one stage, as transformations of
 * messages. No sockets, no models, no threads: the node runs the model and sends what comes out.
 *
 * receive -> (the model) -> step -> answer, or next (over HTTP), or advance (the same node again).
 * Everything lives in the arena of the request; tensors are borrowed unless said otherwise.
 */
#ifndef ES_ROUTE_PIPELINE_H
#define ES_ROUTE_PIPELINE_H

#include "oip/oip.h"
#include "routes.h"

extern const char ES_TIMEOUT_HEADER[]; /* "Estran-Timeout-Us": time left; goes before the body's */
extern const char ES_TASK_HEADER[];    /* "Estran-Task": NAME[;output=NAME] of the answer */
extern const char ES_UNMET_HEADER[];   /* "Estran-Unmet": wishes that the option does not meet */
extern const char ES_FAILED_HEADER[];  /* "Estran-Failed": the node that did not answer */

/* A request that is at a stage of this node: route.stages[0]. */
typedef struct es_pipeline_request {
    es_serve_route route;
    es_serve_visit visits[ES_STAGE_COUNT_MAX]; /* stages passed so far */
    uint32_t visit_count;
    const char *task;   /* model_name of the answer; NULL: the model's name stays */
    const char *output; /* name of the answer's tensor unless the request asks for another; NULL:
                           the model's name stays */
    const char *unmet;  /* NULL: none */
    es_oip_message message; /* as it came */
    size_t input_count;
    es_oip_tensor inputs[ES_OIP_TENSORS_MAX]; /* of this stage */
    size_t own_count;                         /* the request's own tensors; 0: not here */
    es_oip_tensor own[ES_OIP_TENSORS_MAX];
} es_pipeline_request;

/* The values of the headers that a request carries; NULL where absent. */
typedef struct es_pipeline_headers {
    const char *route; /* required */
    const char *stages;
    const char *task;
    const char *unmet;
} es_pipeline_headers;

/* Reads the headers, parts the message's tensors into those of this stage and those that travel
 * along for a later one, and turns 8-bit payloads into floats (in the arena). ES_ERR_PARSE or
 * ES_ERR_ARG: what is wrong with header or tensor. */
es_status es_pipeline_receive(es_arena *arena, const es_pipeline_headers *headers,
                              const es_oip_message *message, es_pipeline_request *out,
                              es_error *err) ES_MUST_CHECK;

/* Where model and request have one input each, the tensor takes the port's name: stages do not know
 * each other's names. Otherwise names stay. */
void es_pipeline_name_input(es_pipeline_request *request, const es_session *session);

/* What comes out of a stage, as the model names it. */
typedef struct es_pipeline_outputs {
    size_t count;
    const es_port *const *ports; /* [count] */
    const es_tensor *tensors;    /* [count] */
} es_pipeline_outputs;

typedef struct es_pipeline_step {
    bool leaves;       /* the answer goes back from here */
    bool has_answer;   /* `answer` may go back, marked, if what follows fails */
    size_t answer;     /* index of the output that is the answer here */
    size_t forward;    /* index of the output that goes on; not used when the next stage takes the
                          request again */
    double confidence; /* least over the rows; NAN: was not asked for */
} es_pipeline_step;

/* Largest class probability of values[count]: softmax unless they are probabilities already. */
double es_stage_confidence(const float *values, size_t count);

/* Does the request leave here? An exit needs an output of 32-bit floats, [rows, ..., classes] with
 * as many rows as the inputs; all rows must be sure. ES_ERR_ARG: an output that does not exist. */
es_status es_pipeline_decide(const es_pipeline_request *request, const es_pipeline_outputs *outputs,
                             es_pipeline_step *out, es_error *err) ES_MUST_CHECK;

/* Appends what this stage did to the request's visits. */
void es_pipeline_visit(es_pipeline_request *request, const es_serve_visit *visit);

/* The message for the next stage: its tensors borrow from outputs and request, but for an 8-bit
 * payload, which is made in the arena. */
es_status es_pipeline_next(es_arena *arena, const es_pipeline_request *request,
                           const es_pipeline_step *step, const es_pipeline_outputs *outputs,
                           es_oip_message *out, es_error *err) ES_MUST_CHECK;

/* The same without a message, when the next stage is here too: the request moves on by one stage,
 * with copies in the arena of what it needs of outputs. No 8-bit payload is made. */
es_status es_pipeline_advance(es_arena *arena, es_pipeline_request *request,
                              const es_pipeline_step *step, const es_pipeline_outputs *outputs,
                              es_error *err) ES_MUST_CHECK;

/* The answer that leaves here: one tensor, named as the request asked when it asked for one, and
 * the parameters estran_*. partial: it stands in for one that did not come. */
es_status es_pipeline_answer(es_arena *arena, const es_pipeline_request *request,
                             const es_pipeline_step *step, const es_pipeline_outputs *outputs,
                             bool partial, es_oip_message *out, es_error *err) ES_MUST_CHECK;

/* The parameters estran_node, _variant, _exit, _queue_us, _compute_us, _energy_joules,
 * _energy_source, _gco2e of what was done, and _partial, _unmet; for answers without a route too.
 * Sums over visits; joules and grams only when known of all. visit_count >= 1. */
es_status es_pipeline_params(es_arena *arena, const es_serve_visit *visits, uint32_t visit_count,
                             bool partial, const char *unmet, es_oip_params *out,
                             es_error *err) ES_MUST_CHECK;

/* ---- payload.c: floats as 8 bits ---- */

/* x = scale * (q - zero_point) */
typedef struct es_payload_scale {
    float scale; /* > 0 */
    uint8_t zero_point;
} es_payload_scale;

/* Zero stays exactly zero; the error is at most half a scale. False, and nothing is written, when
 * a value is not finite. O(count). */
bool es_payload_pack(const float *restrict values, size_t count, uint8_t *restrict out,
                     es_payload_scale *out_scale);
void es_payload_unpack(const uint8_t *restrict packed, size_t count, es_payload_scale scale,
                       float *restrict out);

#endif
