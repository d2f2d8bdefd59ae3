/* What a request with a route means at one stage. */
#include "pipeline.h"

#include "base/percent.h"

#include <assert.h>
#include <math.h>

const char ES_TIMEOUT_HEADER[] = "Estran-Timeout-Us";
const char ES_TASK_HEADER[] = "Estran-Task";
const char ES_UNMET_HEADER[] = "Estran-Unmet";
const char ES_FAILED_HEADER[] = "Estran-Failed";

/* Parameters of tensors between stages. */
static const char SCALE[] = "estran_scale";
static const char ZERO_POINT[] = "estran_zero_point";
static const char OF_REQUEST[] = "estran_request";

enum { ANSWER_PARAMS_MAX = 12 };

/* ---- receive ---- */

static es_status fail_param(const es_oip_tensor *tensor, const char *name, const char *expected,
                            es_error *err)
{
    return es_fail(err, ES_ERR_ARG, "tensor '%s': parameter %s must be %s", tensor->name, name,
                   expected);
}

static es_status read_scale(const es_oip_tensor *tensor, const es_oip_param *scale,
                            es_payload_scale *out, es_error *err)
{
    const es_oip_param *zero = es_oip_param_find(&tensor->params, ZERO_POINT);
    double value = scale->type == ES_DOC_NUMBER ? scale->as.number
                   : scale->type == ES_DOC_INT  ? (double)scale->as.integer
                                                : 0;
    if (!(value > 0) || value > (double)__FLT_MAX__ || !((float)value > 0))
        return fail_param(tensor, SCALE, "a number above 0", err);
    if (zero == NULL || zero->type != ES_DOC_INT || zero->as.integer < 0 ||
        zero->as.integer > UINT8_MAX)
        return fail_param(tensor, ZERO_POINT, "from 0 to 255", err);
    if (tensor->dtype != ES_DTYPE_U8)
        return es_fail(err, ES_ERR_ARG, "tensor '%s': %s needs datatype UINT8, not %s",
                       tensor->name, SCALE, es_oip_dtype_name(tensor->dtype));
    *out = (es_payload_scale){.scale = (float)value, .zero_point = (uint8_t)zero->as.integer};
    return ES_OK;
}

/* An 8-bit payload becomes floats again; anything else stays as it is. */
static es_status unpack(es_arena *arena, es_oip_tensor *tensor, es_error *err)
{
    const es_oip_param *scale = es_oip_param_find(&tensor->params, SCALE);
    es_payload_scale how;
    if (scale == NULL)
        return ES_OK;
    ES_TRY(read_scale(tensor, scale, &how, err));
    float *values = ES_TAKE_ARRAY(arena, float, tensor->size_bytes);
    if (values == NULL)
        return es_arena_full(arena, "8-bit payload", err);
    es_payload_unpack(tensor->data, tensor->size_bytes, how, values);
    tensor->dtype = ES_DTYPE_F32;
    tensor->data = values;
    tensor->size_bytes *= sizeof *values;
    tensor->params = (es_oip_params){0};
    return ES_OK;
}

static bool is_of_request(const es_oip_tensor *tensor)
{
    const es_oip_param *mark = es_oip_param_find(&tensor->params, OF_REQUEST);
    return mark != NULL && mark->type == ES_DOC_BOOL && mark->as.boolean;
}

static es_status part_tensors(es_arena *arena, es_pipeline_request *request, es_error *err)
{
    const es_oip_message *message = &request->message;
    for (size_t i = 0; i < message->tensor_count; i++) {
        const es_oip_tensor *tensor = &message->tensors[i];
        if (is_of_request(tensor)) {
            request->own[request->own_count] = *tensor;
            request->own[request->own_count++].params = (es_oip_params){0};
        } else {
            request->inputs[request->input_count] = *tensor;
            ES_TRY(unpack(arena, &request->inputs[request->input_count++], err));
        }
    }
    bool is_request =
        request->visit_count == 0 || request->route.stages[0].input == ES_STAGE_INPUT_REQUEST;
    if (request->own_count == 0 && is_request) {
        memcpy(request->own, request->inputs, request->input_count * sizeof *request->own);
        request->own_count = request->input_count;
    }
    return ES_OK;
}

/* NAME[;output=NAME], percent-encoded. */
static es_status read_task(es_arena *arena, const char *text, es_pipeline_request *out,
                           es_error *err)
{
    static const char OUTPUT[] = ";output=";
    char name[ES_SERVE_NAME_BYTES_MAX + 1];
    out->task = out->output = NULL;
    if (text == NULL)
        return ES_OK;
    size_t size = strcspn(text, ";");
    const char *rest = text + size;
    bool has_output = strncmp(rest, OUTPUT, sizeof OUTPUT - 1) == 0;
    if (!es_percent_decode(text, size, false, name, sizeof name) || (*rest != '\0' && !has_output))
        return es_fail(err, ES_ERR_ARG, "%s: '%.64s' must be NAME or NAME;output=NAME",
                       ES_TASK_HEADER, text);
    out->task = es_arena_text(arena, name);
    if (out->task != NULL && !has_output)
        return ES_OK;
    rest += sizeof OUTPUT - 1;
    if (out->task == NULL)
        return es_arena_full(arena, "task", err);
    if (!es_percent_decode(rest, strlen(rest), false, name, sizeof name))
        return es_fail(err, ES_ERR_ARG, "%s: '%.64s' must be NAME or NAME;output=NAME",
                       ES_TASK_HEADER, text);
    out->output = es_arena_text(arena, name);
    return out->output != NULL ? ES_OK : es_arena_full(arena, "task", err);
}

es_status es_pipeline_receive(es_arena *arena, const es_pipeline_headers *headers,
                              const es_oip_message *message, es_pipeline_request *out,
                              es_error *err)
{
    out->message = *message;
    out->input_count = 0;
    out->own_count = 0;
    ES_TRY(es_serve_route_decode(arena, headers->route, &out->route, err));
    ES_TRY(es_serve_visits_decode(arena, headers->stages, out->visits, &out->visit_count, err));
    if (out->visit_count + out->route.stage_count > ES_STAGE_COUNT_MAX)
        return es_fail(err, ES_ERR_ARG, "%u stages passed and %u to go are more than %d",
                       out->visit_count, out->route.stage_count, ES_STAGE_COUNT_MAX);
    ES_TRY(read_task(arena, headers->task, out, err));
    out->unmet = es_arena_text(arena, headers->unmet);
    if (headers->unmet != NULL && out->unmet == NULL)
        return es_arena_full(arena, "headers of a request", err);
    if (message->wanted_count > 1)
        return es_fail(err, ES_ERR_ARG, "outputs: a pipeline has one answer, %zu are asked for",
                       message->wanted_count);
    return part_tensors(arena, out, err);
}

void es_pipeline_name_input(es_pipeline_request *request, const es_session *session)
{
    if (request->input_count == 1 && es_session_input_count(session) == 1)
        request->inputs[0].name = es_session_input(session, 0)->name;
}

/* ---- decide ---- */

double es_stage_confidence(const float *values, size_t count)
{
    double sum = 0;
    bool within = count > 0;
    for (size_t i = 0; i < count; i++) {
        within = within && values[i] >= 0 && values[i] <= 1;
        sum += (double)values[i];
    }
    bool probabilities = within && fabs(sum - 1) < 1e-3;
    return es_confidence_max_prob(values, count, !probabilities);
}

static es_status find_output(const es_serve_stage *stage, const char *key,
                             const es_serve_output *wanted, const es_pipeline_outputs *outputs,
                             size_t *out, es_error *err)
{
    if (wanted->name == NULL) {
        *out = wanted->index;
        return wanted->index < outputs->count
                   ? ES_OK
                   : es_fail(err, ES_ERR_ARG, "model '%s': %s=%u, but it has %zu outputs",
                             stage->model, key, wanted->index, outputs->count);
    }
    for (size_t i = 0; i < outputs->count; i++)
        if (strcmp(outputs->ports[i]->name, wanted->name) == 0) {
            *out = i;
            return ES_OK;
        }
    return es_fail(err, ES_ERR_ARG, "model '%s': %s=%s is none of its outputs", stage->model, key,
                   wanted->name);
}

static bool is_default(const es_serve_output *output)
{
    return output->name == NULL && output->index == ES_INDEX_NONE;
}

static es_status find_outputs(const es_serve_stage *stage, const es_pipeline_outputs *outputs,
                              es_pipeline_step *out, es_error *err)
{
    out->answer = 0;
    if (!is_default(&stage->exit_output))
        ES_TRY(find_output(stage, "exit-output", &stage->exit_output, outputs, &out->answer, err));
    out->forward = out->answer == 0 && outputs->count > 1 ? 1 : 0;
    if (!is_default(&stage->forward))
        ES_TRY(find_output(stage, "forward", &stage->forward, outputs, &out->forward, err));
    return ES_OK;
}

/* The least sure of the rows decides: they leave together. */
static es_status confidence_of(const es_serve_stage *stage, const es_tensor *tensor, double *out,
                               es_error *err)
{
    if (tensor->dtype != ES_DTYPE_F32)
        return es_fail(err, ES_ERR_ARG, "model '%s': an exit needs an answer of type f32, not %s",
                       stage->model, es_dtype_name(tensor->dtype));
    size_t count = tensor->size_bytes / sizeof(float);
    size_t rows = tensor->rank >= 2 && tensor->dims[0] > 0 ? (size_t)tensor->dims[0] : 1;
    const float *values = tensor->data;
    double least = 1;
    for (size_t row = 0; row < rows; row++) {
        double sure = es_stage_confidence(values + row * (count / rows), count / rows);
        least = sure < least ? sure : least;
    }
    *out = least;
    return ES_OK;
}

es_status es_pipeline_decide(const es_pipeline_request *request, const es_pipeline_outputs *outputs,
                             es_pipeline_step *out, es_error *err)
{
    const es_serve_route *route = &request->route;
    const es_serve_stage *stage = &route->stages[0];
    bool last = route->stage_count == 1;
    es_pipeline_step step = {.leaves = last, .confidence = (double)NAN};
    if (outputs->count == 0)
        return es_fail(err, ES_ERR_ARG, "model '%s' has no outputs", stage->model);
    ES_TRY(find_outputs(stage, outputs, &step, err));
    step.has_answer = last || stage->exit <= 1 || route->stages[1].input == ES_STAGE_INPUT_REQUEST;
    if (!last && stage->exit <= 1) {
        ES_TRY(confidence_of(stage, &outputs->tensors[step.answer], &step.confidence, err));
        step.leaves = step.confidence >= stage->exit;
    }
    *out = step;
    return ES_OK;
}

void es_pipeline_visit(es_pipeline_request *request, const es_serve_visit *visit)
{
    assert(request->visit_count < ES_STAGE_COUNT_MAX);
    request->visits[request->visit_count++] = *visit;
}

/* ---- next and advance ---- */

static es_oip_tensor tensor_of(const es_port *port, const es_tensor *tensor)
{
    es_oip_tensor out = {.name = port->name,
                         .dtype = tensor->dtype,
                         .rank = tensor->rank,
                         .data = tensor->data,
                         .size_bytes = tensor->size_bytes,
                         .binary = true};
    memcpy(out.dims, tensor->dims, sizeof out.dims);
    return out;
}

static es_status pack(es_arena *arena, es_oip_tensor *tensor, es_error *err)
{
    es_payload_scale how;
    size_t count = tensor->size_bytes / sizeof(float);
    uint8_t *packed = es_arena_take(arena, count, 1);
    es_oip_param *params = ES_TAKE_ARRAY(arena, es_oip_param, 2);
    if (packed == NULL || params == NULL)
        return es_arena_full(arena, "8-bit payload", err);
    if (!es_payload_pack(tensor->data, count, packed, &how))
        return ES_OK; /* not all finite: as they are */
    params[0] =
        (es_oip_param){.name = SCALE, .type = ES_DOC_NUMBER, .as.number = (double)how.scale};
    params[1] =
        (es_oip_param){.name = ZERO_POINT, .type = ES_DOC_INT, .as.integer = how.zero_point};
    tensor->dtype = ES_DTYPE_U8;
    tensor->data = packed;
    tensor->size_bytes = count;
    tensor->params = (es_oip_params){.items = params, .count = 2};
    return ES_OK;
}

/* Does a stage from `first` on take the request again? */
static bool wants_request(const es_serve_route *route, uint32_t first)
{
    for (uint32_t k = first; k < route->stage_count; k++)
        if (route->stages[k].input == ES_STAGE_INPUT_REQUEST)
            return true;
    return false;
}

static es_status need_own(const es_pipeline_request *request, es_error *err)
{
    return request->own_count > 0
               ? ES_OK
               : es_fail(err, ES_ERR_ARG,
                         "a later stage takes the request again, but it did not travel along");
}

static es_status put_own(const es_pipeline_request *request, bool marked, es_oip_tensor *tensors,
                         size_t *count, es_error *err)
{
    static const es_oip_param mark = {.name = OF_REQUEST, .type = ES_DOC_BOOL, .as.boolean = true};
    ES_TRY(need_own(request, err));
    if (*count + request->own_count > ES_OIP_TENSORS_MAX)
        return es_fail(err, ES_ERR_LIMIT, "more than %d tensors would go on", ES_OIP_TENSORS_MAX);
    for (size_t i = 0; i < request->own_count; i++) {
        es_oip_tensor *tensor = &tensors[(*count)++];
        *tensor = request->own[i];
        tensor->binary = true;
        if (marked)
            tensor->params = (es_oip_params){.items = &mark, .count = 1};
    }
    return ES_OK;
}

es_status es_pipeline_next(es_arena *arena, const es_pipeline_request *request,
                           const es_pipeline_step *step, const es_pipeline_outputs *outputs,
                           es_oip_message *out, es_error *err)
{
    const es_serve_route *route = &request->route;
    assert(route->stage_count > 1);
    es_oip_tensor *tensors = ES_TAKE_ARRAY(arena, es_oip_tensor, ES_OIP_TENSORS_MAX);
    if (tensors == NULL)
        return es_arena_full(arena, "what goes on", err);
    size_t count = 0;
    if (route->stages[1].input == ES_STAGE_INPUT_REQUEST) {
        ES_TRY(put_own(request, false, tensors, &count, err));
    } else {
        tensors[count] = tensor_of(outputs->ports[step->forward], &outputs->tensors[step->forward]);
        if (route->stages[0].payload == ES_SERVE_PAYLOAD_U8 && tensors[count].dtype == ES_DTYPE_F32)
            ES_TRY(pack(arena, &tensors[count], err));
        count++;
        if (wants_request(route, 2))
            ES_TRY(put_own(request, true, tensors, &count, err));
    }
    *out = request->message;
    out->tensors = tensors;
    out->tensor_count = count;
    return ES_OK;
}

es_status es_pipeline_advance(es_arena *arena, es_pipeline_request *request,
                              const es_pipeline_step *step, const es_pipeline_outputs *outputs,
                              es_error *err)
{
    es_serve_route *route = &request->route;
    assert(route->stage_count > 1);
    if (wants_request(route, 1))
        ES_TRY(need_own(request, err));
    if (route->stages[1].input == ES_STAGE_INPUT_REQUEST) {
        memcpy(request->inputs, request->own, request->own_count * sizeof *request->own);
        request->input_count = request->own_count;
    } else {
        es_oip_tensor forward =
            tensor_of(outputs->ports[step->forward], &outputs->tensors[step->forward]);
        void *copy = es_arena_take(arena, forward.size_bytes, 1);
        if (copy == NULL)
            return es_arena_full(arena, "what goes on", err);
        memcpy(copy, forward.data, forward.size_bytes);
        forward.data = copy;
        request->inputs[0] = forward;
        request->input_count = 1;
    }
    route->stage_count--;
    memmove(&route->stages[0], &route->stages[1], route->stage_count * sizeof *route->stages);
    return ES_OK;
}

/* ---- answer ---- */

static void put_text(es_oip_param *params, size_t *count, const char *name, const char *text)
{
    if (text != NULL)
        params[(*count)++] = (es_oip_param){.name = name, .type = ES_DOC_TEXT, .as.text = text};
}

static void put_int(es_oip_param *params, size_t *count, const char *name, uint64_t value)
{
    params[(*count)++] =
        (es_oip_param){.name = name, .type = ES_DOC_INT, .as.integer = (int64_t)value};
}

static void put_number(es_oip_param *params, size_t *count, const char *name, double value)
{
    if (!isnan(value))
        params[(*count)++] =
            (es_oip_param){.name = name, .type = ES_DOC_NUMBER, .as.number = value};
}

es_status es_pipeline_params(es_arena *arena, const es_serve_visit *visits, uint32_t visit_count,
                             bool partial, const char *unmet, es_oip_params *out, es_error *err)
{
    assert(visit_count >= 1);
    uint64_t queue_us = 0;
    uint64_t compute_us = 0;
    double joules = 0;
    double grams = 0;
    const es_serve_visit *last = &visits[visit_count - 1];
    const char *source = last->source;
    for (uint32_t k = 0; k < visit_count; k++) {
        queue_us += visits[k].queue_us;
        compute_us += visits[k].compute_us;
        joules += visits[k].joules; /* NAN once one is not known */
        grams += visits[k].grams;
        if (source != NULL && (visits[k].source == NULL || strcmp(source, visits[k].source) != 0))
            source = "mixed";
    }
    size_t count = 0;
    es_oip_param *params = ES_TAKE_ARRAY(arena, es_oip_param, ANSWER_PARAMS_MAX);
    if (params == NULL)
        return es_arena_full(arena, "parameters of an answer", err);
    put_text(params, &count, "estran_node", last->node);
    put_text(params, &count, "estran_variant", last->model);
    put_int(params, &count, "estran_exit", visit_count);
    put_int(params, &count, "estran_queue_us", queue_us);
    put_int(params, &count, "estran_compute_us", compute_us);
    put_number(params, &count, "estran_energy_joules", joules);
    put_text(params, &count, "estran_energy_source", isnan(joules) ? NULL : source);
    put_number(params, &count, "estran_gco2e", grams);
    put_text(params, &count, "estran_unmet", unmet);
    if (partial)
        params[count++] =
            (es_oip_param){.name = "estran_partial", .type = ES_DOC_BOOL, .as.boolean = true};
    assert(count <= ANSWER_PARAMS_MAX);
    *out = (es_oip_params){.items = params, .count = count};
    return ES_OK;
}

es_status es_pipeline_answer(es_arena *arena, const es_pipeline_request *request,
                             const es_pipeline_step *step, const es_pipeline_outputs *outputs,
                             bool partial, es_oip_message *out, es_error *err)
{
    const es_oip_message *message = &request->message;
    const es_oip_wanted *wanted = message->wanted_count > 0 ? &message->wanted[0] : NULL;
    es_oip_tensor *tensor = ES_TAKE_ONE(arena, es_oip_tensor);
    if (tensor == NULL)
        return es_arena_full(arena, "answer", err);
    *tensor = tensor_of(outputs->ports[step->answer], &outputs->tensors[step->answer]);
    tensor->binary = wanted != NULL && wanted->binary != ES_OIP_DOUBT ? wanted->binary == 1
                                                                      : message->binary_output;
    if (wanted != NULL)
        tensor->name = wanted->name;
    else if (request->output != NULL)
        tensor->name = request->output;
    *out = (es_oip_message){.model_name = request->task != NULL ? request->task
                                                                : request->route.stages[0].model,
                            .id = message->id,
                            .tensors = tensor,
                            .tensor_count = 1};
    return es_pipeline_params(arena, request->visits, request->visit_count, partial, request->unmet,
                              &out->params, err);
}
