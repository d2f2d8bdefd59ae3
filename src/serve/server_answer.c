/* The answer to an inference: which outputs, in which form, and what it cost. */
#include "base/clock.h"
#include "route/route.h"
#include "server.h"

#include <math.h>

/* ---- what is asked for ---- */

static size_t find_output(const es_session *session, const char *name)
{
    size_t count = es_session_output_count(session);
    for (size_t i = 0; i < count; i++)
        if (strcmp(es_session_output(session, i)->name, name) == 0)
            return i;
    return SIZE_MAX;
}

es_status es_server_wanted_check(const es_infer *infer, es_error *err)
{
    const es_oip_message *message = &infer->message;
    for (size_t i = 0; i < message->wanted_count; i++)
        if (find_output(infer->served->session, message->wanted[i].name) == SIZE_MAX)
            return es_fail(err, ES_ERR_ARG, "outputs[%zu].name: '%.64s' is no output of model '%s'",
                           i, message->wanted[i].name, infer->served->name);
    return ES_OK;
}

/* ---- classification: the best k as "value:index[:label]" ---- */

static double value_at(const es_tensor *tensor, size_t index)
{
    const void *data = tensor->data;
    switch (tensor->dtype) {
    case ES_DTYPE_F32:
        return (double)((const float *)data)[index];
    case ES_DTYPE_F64:
        return ((const double *)data)[index];
    case ES_DTYPE_U8:
    case ES_DTYPE_BOOL:
        return ((const uint8_t *)data)[index];
    case ES_DTYPE_I8:
        return ((const int8_t *)data)[index];
    case ES_DTYPE_U16:
        return ((const uint16_t *)data)[index];
    case ES_DTYPE_I16:
        return ((const int16_t *)data)[index];
    case ES_DTYPE_U32:
        return ((const uint32_t *)data)[index];
    case ES_DTYPE_I32:
        return ((const int32_t *)data)[index];
    case ES_DTYPE_U64:
        return (double)((const uint64_t *)data)[index];
    case ES_DTYPE_I64:
        return (double)((const int64_t *)data)[index];
    case ES_DTYPE_NONE:
    case ES_DTYPE_STRING:
    case ES_DTYPE_F16:
    case ES_DTYPE_BF16:
    case ES_DTYPE_C64:
    case ES_DTYPE_C128:
    case ES_DTYPE_COUNT:
        break;
    }
    return (double)NAN;
}

/* Does class a stand before class b? Larger first, NaN last, then by index. */
static bool class_before(const es_tensor *tensor, size_t a, size_t b)
{
    double x = value_at(tensor, a);
    double y = value_at(tensor, b);
    if (x > y || (isnan(y) && !isnan(x)))
        return true;
    return !(y > x) && !(isnan(x) && !isnan(y)) && a < b;
}

/* best[k] of the classes first..first + count, by insertion: k is small as a rule. */
static void best_classes(const es_tensor *tensor, size_t first, size_t count, size_t *best,
                         size_t k)
{
    size_t used = 0;
    for (size_t i = first; i < first + count; i++) {
        if (used == k && !class_before(tensor, i, best[k - 1]))
            continue;
        size_t at = used < k ? used++ : k - 1;
        for (; at > 0 && class_before(tensor, i, best[at - 1]); at--)
            best[at] = best[at - 1];
        best[at] = i;
    }
}

static void append_element(es_text *out, const char *words, size_t size)
{
    unsigned char head[4];
    for (size_t i = 0; i < 4; i++)
        head[i] = (unsigned char)(size >> (8 * i));
    es_text_append_n(out, (const char *)head, 4);
    es_text_append_n(out, words, size);
}

static es_status append_class(es_text *out, const es_tensor *tensor, size_t index,
                              size_t class_index, const es_served_labels *labels, es_error *err)
{
    const char *label = class_index < labels->count ? labels->items[class_index] : NULL;
    es_text words;
    es_text_init(&words, 1 << 20);
    es_text_format(&words, "%.9g:%zu", value_at(tensor, index), class_index);
    if (label != NULL)
        es_text_format(&words, ":%s", label);
    append_element(out, es_text_get(&words), words.size);
    es_status status = es_text_status(&words, err);
    es_text_done(&words);
    return status;
}

/* Rows are along the batch; without one the whole tensor is one row. */
es_status es_server_classify(es_infer *infer, size_t output, const es_tensor *from, size_t wanted,
                             es_oip_tensor *to, es_error *err)
{
    const size_t total = es_tensor_count(from);
    const bool batched = infer->served->config.max_batch_size > 0 && from->rank > 0;
    const size_t rows = batched ? (size_t)from->dims[0] : 1;
    const size_t classes = rows > 0 ? total / rows : 0;
    const size_t k = wanted < classes ? wanted : classes;
    es_text elements;
    size_t *best = ES_TAKE_ARRAY(infer->arena, size_t, k);
    if (best == NULL)
        return es_arena_full(infer->arena, "classes", err);
    if (isnan(value_at(from, 0)) && from->dtype != ES_DTYPE_F32 && from->dtype != ES_DTYPE_F64)
        return es_fail(err, ES_ERR_ARG, "output '%s': %s is not classified", to->name,
                       es_dtype_name(from->dtype));
    es_text_init(&elements, (size_t)64 << 20);
    es_status status = ES_OK;
    for (size_t row = 0; row < rows && status == ES_OK; row++) {
        best_classes(from, row * classes, classes, best, k);
        for (size_t i = 0; i < k && status == ES_OK; i++)
            status = append_class(&elements, from, best[i], best[i] - row * classes,
                                  &infer->served->labels[output], err);
    }
    if (status == ES_OK)
        status = es_text_status(&elements, err);
    char *copy = es_arena_text_n(infer->arena, es_text_get(&elements), elements.size);
    to->dtype = ES_DTYPE_STRING;
    to->rank = batched ? 2 : 1;
    to->dims[0] = batched ? (int64_t)rows : (int64_t)k;
    to->dims[1] = (int64_t)k;
    to->data = copy;
    to->size_bytes = elements.size;
    es_text_done(&elements);
    if (status == ES_OK && copy == NULL)
        status = es_arena_full(infer->arena, "classes", err);
    return status;
}

/* ---- outputs ---- */

static void output_fill(const es_infer *infer, size_t index, const es_tensor *from, int binary,
                        es_oip_tensor *to)
{
    *to = (es_oip_tensor){
        .name = es_session_output(infer->served->session, index)->name,
        .dtype = from->dtype,
        .rank = from->rank,
        .data = from->data,
        .size_bytes = from->size_bytes,
        .binary = binary == ES_OIP_DOUBT ? infer->message.binary_output : binary == 1,
    };
    for (size_t i = 0; i < from->rank; i++)
        to->dims[i] = from->dims[i];
    const es_served_port *port = &infer->served->outputs[index];
    if (!port->reshaped)
        return;
    to->rank = port->face.rank;
    for (size_t i = 0; i < to->rank; i++)
        to->dims[i] = port->face.dims[i] < 0 ? from->dims[i] : port->face.dims[i];
}

static es_status outputs_choose(es_infer *infer, const es_tensor *outputs, es_oip_message *out,
                                es_error *err)
{
    const es_oip_message *asked = &infer->message;
    const size_t all = es_session_output_count(infer->served->session);
    const size_t room = asked->wanted_count > 0 ? asked->wanted_count : all;
    es_oip_tensor *tensors = ES_TAKE_ARRAY(infer->arena, es_oip_tensor, room);
    size_t used = 0;
    if (tensors == NULL)
        return es_arena_full(infer->arena, "outputs", err);
    for (size_t i = 0; i < all && asked->wanted_count == 0; i++) /* what cannot travel stays */
        if (es_oip_dtype_name(outputs[i].dtype) != NULL)
            output_fill(infer, i, &outputs[i], ES_OIP_DOUBT, &tensors[used++]);
    for (size_t i = 0; i < asked->wanted_count; i++) {
        const es_oip_wanted *wanted = &asked->wanted[i];
        size_t index = find_output(infer->served->session, wanted->name); /* was checked */
        output_fill(infer, index, &outputs[index], wanted->binary, &tensors[used]);
        if (wanted->classification > 0)
            ES_TRY(es_server_classify(infer, index, &outputs[index], (size_t)wanted->classification,
                                      &tensors[used], err));
        used++;
    }
    out->tensors = tensors;
    out->tensor_count = used;
    return ES_OK;
}

/* ---- what it cost ---- */

/* To six digits: nobody measures more, and it is short to write. */
static double rounded(double value)
{
    if (!(value > 0) || isinf(value))
        return value;
    double scale = pow(10, 5 - floor(log10(value)));
    return isfinite(scale) && scale > 0 ? round(value * scale) / scale : value;
}

void es_server_load_report(const es_infer *infer, char *out, size_t size)
{
    es_batcher_stats stats;
    es_batcher_stats_get(infer->served->batcher, &stats, NULL, 0);
    double used = (double)stats.running / infer->served->config.replica_count;
    double run_s = es_s_from_ns(stats.run_ns_expected);
    if (infer->load_format == ES_LOAD_JSON)
        (void)snprintf(out, size,
                       "JSON {\"application_utilization\":%.3g,\"named_metrics\":{"
                       "\"waiting_requests\":%llu,\"run_seconds\":%.6g}}",
                       used, (unsigned long long)stats.waiting, run_s);
    else
        (void)snprintf(out, size,
                       "TEXT application_utilization=%.3g, named_metrics.waiting_requests=%llu, "
                       "named_metrics.run_seconds=%.6g",
                       used, (unsigned long long)stats.waiting, run_s);
}

es_status es_server_answer_make(es_infer *infer, const es_tensor *outputs, int64_t *out_json_size,
                                es_error *err)
{
    es_oip_message message = {
        .model_name = infer->served->name,
        .model_version = infer->served->version_text,
        .id = infer->message.id,
    };
    infer->visit.joules = rounded(infer->visit.joules);
    infer->visit.grams = rounded(infer->visit.grams);
    ES_TRY(outputs_choose(infer, outputs, &message, err));
    ES_TRY(es_pipeline_params(infer->arena, &infer->visit, 1, false, NULL, &message.params, err));
    es_serve_visit_append(&infer->stages, &infer->visit);
    return es_oip_encode(ES_OIP_ANSWER, &message, &infer->body, out_json_size, err);
}
