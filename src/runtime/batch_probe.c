/* May requests be joined? Two unlike rows, alone and together: rows that do not see each other
 * give the same either way, up to the rounding of another order of sums. */
#include "runtime/internal.h"

#include <math.h>

/* Of the largest value: far above rounding (1e-6), far below a step of 8-bit scales (4e-3). */
static const double tolerance = 1e-4;
static const size_t memory_max = (size_t)1 << 30;

typedef struct probe {
    es_arena *arena;
    es_session *session;
    es_tensor inputs[3][ES_SESSION_PORTS_MAX]; /* a, b, both */
    es_tensor outputs[3][ES_SESSION_PORTS_MAX];
} probe;

static void probe_done(probe *all)
{
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < all->session->output_count; i++)
            es_tensor_done(&all->outputs[k][i]);
    es_arena_free(all->arena);
    free(all);
}

static void probe_done_p(probe **all)
{
    if (*all != NULL)
        probe_done(*all);
}

/* The second row has other signs and sizes than the first. */
static void stretch(es_tensor *row)
{
    float *values = row->data;
    size_t count = row->dtype == ES_DTYPE_F32 ? es_tensor_count(row) : 0;
    for (size_t i = 0; i < count; i++)
        values[i] = 8 * values[i] - 3;
}

static es_status input_make(probe *all, size_t index, es_error *err)
{
    es_port port = all->session->inputs[index];
    es_rng rng = es_rng_make(1, index);
    port.dims[0] = 2;
    es_tensor both = es_port_tensor(&port, 1);
    ES_TRY(es_arena_take_or_fail(all->arena, both.size_bytes, 1, "rows", &both.data, err));
    port.dims[0] = 1;
    for (size_t k = 0; k < 2; k++) {
        es_tensor row = es_port_tensor(&port, 1);
        row.data = (unsigned char *)both.data + k * row.size_bytes;
        es_tensor_fill(&row, &rng);
        if (k == 1)
            stretch(&row);
        all->inputs[k][index] = row;
    }
    all->inputs[2][index] = both;
    return ES_OK;
}

/* The double at an index of f32 or f64. */
static double value_at(const es_tensor *tensor, size_t index)
{
    return tensor->dtype == ES_DTYPE_F32 ? (double)((const float *)tensor->data)[index]
                                         : ((const double *)tensor->data)[index];
}

static bool row_equals(const es_tensor *row, const es_tensor *both, size_t k)
{
    const unsigned char *part = (const unsigned char *)both->data + k * row->size_bytes;
    if (row->size_bytes == 0 || memcmp(row->data, part, row->size_bytes) == 0)
        return true;
    if (row->dtype != ES_DTYPE_F32 && row->dtype != ES_DTYPE_F64)
        return false;
    es_tensor slice = *row;
    size_t count = es_tensor_count(row);
    double largest = 0;
    slice.data = (unsigned char *)both->data + k * row->size_bytes;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(value_at(row, i)));
    for (size_t i = 0; i < count; i++)
        if (!(fabs(value_at(row, i) - value_at(&slice, i)) <= tolerance * largest))
            return false;
    return true;
}

static bool outputs_apart(const probe *all, size_t index)
{
    const es_tensor *both = &all->outputs[2][index];
    if (both->dtype == ES_DTYPE_NONE)
        return false;
    for (size_t k = 0; k < 2; k++) {
        const es_tensor *row = &all->outputs[k][index];
        if (row->rank != both->rank || row->rank == 0 || row->dims[0] != 1 || both->dims[0] != 2 ||
            both->size_bytes != 2 * row->size_bytes || !row_equals(row, both, k))
            return false;
    }
    return true;
}

es_status es_session_rows_apart(es_session *session, bool *out_apart, es_error *err)
{
    *out_apart = false;
    if (!es_session_first_dims_free(session))
        return ES_OK;
    ES_CLEANUP(probe_done_p) probe *all = calloc(1, sizeof *all);
    if (all == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory to try two rows");
    all->session = session;
    all->arena = es_arena_new(memory_max);
    if (all->arena == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory to try two rows");
    for (size_t i = 0; i < session->input_count; i++) {
        if (es_dtype_size(session->inputs[i].dtype) == 0)
            return ES_OK;
        ES_TRY(input_make(all, i, err));
    }
    for (size_t k = 0; k < 3; k++)
        if (es_session_run(session, all->inputs[k], session->input_count, all->outputs[k],
                           session->output_count, NULL) != ES_OK)
            return ES_OK; /* a model that does not run so is not one to join requests of */
    *out_apart = true;
    for (size_t i = 0; i < session->output_count; i++)
        *out_apart = *out_apart && outputs_apart(all, i);
    return ES_OK;
}
