/* Element types, tensors, and the little arithmetic on a classifier's output. */
#include "base/checked.h"
#include "runtime/internal.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[ES_DTYPE_COUNT] = {
    [ES_DTYPE_NONE] = {"none", 0},     [ES_DTYPE_F32] = {"f32", 4},
    [ES_DTYPE_U8] = {"u8", 1},         [ES_DTYPE_I8] = {"i8", 1},
    [ES_DTYPE_U16] = {"u16", 2},       [ES_DTYPE_I16] = {"i16", 2},
    [ES_DTYPE_I32] = {"i32", 4},       [ES_DTYPE_I64] = {"i64", 8},
    [ES_DTYPE_STRING] = {"string", 0}, [ES_DTYPE_BOOL] = {"bool", 1},
    [ES_DTYPE_F16] = {"f16", 2},       [ES_DTYPE_F64] = {"f64", 8},
    [ES_DTYPE_U32] = {"u32", 4},       [ES_DTYPE_U64] = {"u64", 8},
    [ES_DTYPE_C64] = {"c64", 8},       [ES_DTYPE_C128] = {"c128", 16},
    [ES_DTYPE_BF16] = {"bf16", 2},
};

size_t es_dtype_size(es_dtype dtype)
{
    return (unsigned)dtype < ES_DTYPE_COUNT ? dtypes[dtype].size : 0;
}

const char *es_dtype_name(es_dtype dtype)
{
    return (unsigned)dtype < ES_DTYPE_COUNT ? dtypes[dtype].name : "none";
}

size_t es_tensor_count(const es_tensor *tensor)
{
    assert(tensor->rank <= ES_TENSOR_RANK_MAX);
    size_t count = 1;
    for (size_t i = 0; i < tensor->rank; i++) {
        if (tensor->dims[i] < 0)
            return SIZE_MAX;
        if (!es_size_mul(count, (size_t)tensor->dims[i], &count))
            return SIZE_MAX;
    }
    return count;
}

es_tensor es_tensor_make(es_dtype dtype, const int64_t *dims, size_t rank, void *data)
{
    assert(rank <= ES_TENSOR_RANK_MAX);
    es_tensor tensor = {.dtype = dtype, .rank = rank, .data = data};
    for (size_t i = 0; i < rank; i++)
        tensor.dims[i] = dims[i];
    if (!es_size_mul(es_tensor_count(&tensor), es_dtype_size(dtype), &tensor.size_bytes))
        tensor.size_bytes = SIZE_MAX;
    return tensor;
}

es_tensor es_port_tensor(const es_port *port, int64_t free_dim)
{
    int64_t dims[ES_TENSOR_RANK_MAX] = {0};
    for (size_t i = 0; i < port->rank; i++)
        dims[i] = port->dims[i] < 0 ? free_dim : port->dims[i];
    return es_tensor_make(port->dtype, dims, port->rank, NULL);
}

void es_tensor_fill(es_tensor *tensor, es_rng *rng)
{
    size_t count = es_tensor_count(tensor);
    if (tensor->dtype == ES_DTYPE_F32) {
        float *values = tensor->data;
        for (size_t i = 0; i < count; i++)
            values[i] = (float)(es_rng_u64(rng) >> 40) * 0x1p-24f;
    } else if (tensor->dtype == ES_DTYPE_F64) {
        double *values = tensor->data;
        for (size_t i = 0; i < count; i++)
            values[i] = es_rng_double(rng);
    } else if (tensor->size_bytes == count) {
        unsigned char *values = tensor->data;
        for (size_t i = 0; i < count; i++)
            values[i] = (unsigned char)(es_rng_u64(rng) >> 63);
    }
}

void es_tensor_done(es_tensor *tensor)
{
    if (tensor == NULL)
        return;
    if (tensor->owner != NULL)
        tensor->runtime->api.ReleaseValue(tensor->owner);
    *tensor = (es_tensor){.dtype = ES_DTYPE_NONE};
}

const char *es_shape_text(es_dtype dtype, const int64_t *dims, size_t rank, char *text, size_t size)
{
    int used = snprintf(text, size, "%s[", es_dtype_name(dtype));
    for (size_t i = 0; i < rank && used > 0 && (size_t)used < size; i++) {
        const char *between = i == 0 ? "" : "x";
        int more = dims[i] < 0
                       ? snprintf(text + used, size - (size_t)used, "%s?", between)
                       : snprintf(text + used, size - (size_t)used, "%s%" PRId64, between, dims[i]);
        used = more < 0 ? more : used + more;
    }
    if (used > 0 && (size_t)used < size)
        (void)snprintf(text + used, size - (size_t)used, "]");
    return text;
}

static bool shape_fits(const es_port *port, const es_tensor *tensor)
{
    if (port->dtype != tensor->dtype)
        return false;
    if (port->rank == 0) /* a scalar or a shape left open: the library looks itself */
        return true;
    if (port->rank != tensor->rank)
        return false;
    for (size_t i = 0; i < port->rank; i++)
        if (port->dims[i] >= 0 && port->dims[i] != tensor->dims[i])
            return false;
    return true;
}

static es_status port_mismatch(const es_port *port, const es_tensor *tensor, const char *kind,
                               size_t index, es_error *err)
{
    char got[96];
    char wanted[96];
    return es_fail(err, ES_ERR_ARG, "%s %zu '%s': got %s, expected %s", kind, index, port->name,
                   es_shape_text(tensor->dtype, tensor->dims, tensor->rank, got, sizeof got),
                   es_shape_text(port->dtype, port->dims, port->rank, wanted, sizeof wanted));
}

static es_status memory_check(const es_port *port, const es_tensor *tensor, const char *kind,
                              size_t index, es_error *err)
{
    size_t wanted = 0;
    if (!es_size_mul(es_tensor_count(tensor), es_dtype_size(tensor->dtype), &wanted))
        return es_fail(err, ES_ERR_ARG, "%s %zu '%s': its size overflows", kind, index, port->name);
    if (tensor->size_bytes != wanted)
        return es_fail(err, ES_ERR_ARG, "%s %zu '%s': got %zu bytes, expected %zu", kind, index,
                       port->name, tensor->size_bytes, wanted);
    if (tensor->data == NULL && wanted > 0)
        return es_fail(err, ES_ERR_ARG, "%s %zu '%s': data is NULL, expected %zu bytes", kind,
                       index, port->name, wanted);
    return ES_OK;
}

es_status es_ports_check(const es_port *ports, size_t port_count, const es_tensor *tensors,
                         size_t count, const char *kind, es_error *err)
{
    if (count != port_count)
        return es_fail(err, ES_ERR_ARG, "got %zu %ss, expected %zu", count, kind, port_count);
    bool output = kind[0] == 'o';
    for (size_t i = 0; i < count; i++) {
        if (output && (tensors[i].data == NULL || es_dtype_size(ports[i].dtype) == 0))
            continue;
        if (es_dtype_size(ports[i].dtype) == 0)
            return es_fail(err, ES_ERR_UNSUPPORTED,
                           "%s %zu '%s': only tensors of numbers can be given", kind, i,
                           ports[i].name);
        if (tensors[i].rank > ES_TENSOR_RANK_MAX)
            return es_fail(err, ES_ERR_ARG, "%s %zu '%s': rank=%zu must be <= %d", kind, i,
                           ports[i].name, tensors[i].rank, ES_TENSOR_RANK_MAX);
        if (!shape_fits(&ports[i], &tensors[i]))
            return port_mismatch(&ports[i], &tensors[i], kind, i, err);
        ES_TRY(memory_check(&ports[i], &tensors[i], kind, i, err));
    }
    return ES_OK;
}

es_status es_tensor_wrap(const es_runtime *runtime, const es_tensor *tensor, OrtValue **out_value,
                         es_error *err)
{
    *out_value = NULL;
    static char nothing; /* a place for tensors without elements; never read or written */
    void *data = tensor->data != NULL ? tensor->data : &nothing;
    OrtStatus *status = runtime->api.CreateTensorWithDataAsOrtValue(
        runtime->memory, data, tensor->size_bytes, tensor->dims, tensor->rank, (int)tensor->dtype,
        out_value);
    return es_ort_made(runtime, status, *out_value, "tensor", err);
}

void es_softmax(float *values, size_t count)
{
    float largest = values[0];
    for (size_t i = 1; i < count; i++)
        largest = values[i] > largest ? values[i] : largest;
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        values[i] = expf(values[i] - largest);
        sum += (double)values[i];
    }
    for (size_t i = 0; i < count; i++)
        values[i] = (float)((double)values[i] / sum);
}

double es_confidence_max_prob(const float *values, size_t count, bool is_logits)
{
    if (count == 0)
        return 0;
    double largest = -(double)INFINITY;
    for (size_t i = 0; i < count; i++) {
        if (isnan(values[i]))
            return 0;
        largest = fmax(largest, (double)values[i]);
    }
    if (!is_logits)
        return fmin(fmax(largest, 0), 1);
    if (isinf(largest)) /* all -inf, or some +inf: no distribution */
        return 0;
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += exp((double)values[i] - largest);
    return 1 / sum;
}

size_t es_argmax(const float *values, size_t count)
{
    size_t best = 0;
    for (size_t i = 1; i < count; i++)
        if (values[i] > values[best] || (isnan(values[best]) && !isnan(values[i])))
            best = i;
    return best;
}
