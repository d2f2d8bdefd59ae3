/*
 * One batch: inputs are put side by side in the runner's buffers (a lone job's own are used as they
 * are), and each job gets its slice of the outputs. When jobs fail together each is run alone, so
 * that only the guilty one fails.
 */
#include "base/checked.h"
#include "runtime/batch_internal.h"

#include <assert.h>
#include <stdalign.h>

enum { BUFFER_ALIGN = 64 };

/* ---- buffers ---- */

/* Bytes of one row; SIZE_MAX when another dim is free too. */
static size_t row_bytes(const es_port *port)
{
    es_tensor row = es_port_tensor(port, 1);
    for (size_t i = 1; i < port->rank; i++)
        if (port->dims[i] < 0)
            return SIZE_MAX;
    return row.size_bytes;
}

static bool shape_fixed(const es_port *port)
{
    for (size_t i = 0; i < port->rank; i++)
        if (port->dims[i] < 0)
            return false;
    return port->rank > 0;
}

/* Bytes that the port's buffer takes; 0: none, its size shows when it is needed. */
static size_t buffer_bytes(const es_batch_runner *runner, const es_port *port, bool is_input)
{
    size_t row = row_bytes(port);
    size_t bytes = 0;
    if (row == SIZE_MAX || es_dtype_size(port->dtype) == 0)
        return 0;
    if (runner->rows_max == 0)
        return !is_input && shape_fixed(port) ? row : 0;
    if (is_input && runner->rows_max == 1)
        return 0; /* never put side by side */
    if (!es_size_mul(row, runner->rows_max, &bytes) || bytes > runner->buffer_bytes_max)
        return 0;
    return bytes;
}

static size_t aligned(size_t bytes)
{
    return (bytes + BUFFER_ALIGN - 1) / BUFFER_ALIGN * BUFFER_ALIGN;
}

static size_t buffers_place(es_batch_runner *runner, bool is_input, size_t used)
{
    const es_session *session = runner->session;
    size_t count = is_input ? session->input_count : session->output_count;
    for (size_t i = 0; i < count; i++) {
        const es_port *port = is_input ? &session->inputs[i] : &session->outputs[i];
        es_tensor *tensor = is_input ? &runner->inputs[i] : &runner->outputs[i];
        size_t bytes = buffer_bytes(runner, port, is_input);
        *tensor = es_port_tensor(port, 1);
        if (bytes == 0 || bytes > runner->buffer_bytes_max - used)
            continue;
        if (runner->memory != NULL)
            tensor->data = runner->memory + used;
        used += aligned(bytes);
    }
    return used;
}

es_status es_batch_runner_init(es_batch_runner *runner, es_session *session, uint32_t rows_max,
                               size_t buffer_bytes_max, es_error *err)
{
    *runner = (es_batch_runner){
        .session = session, .rows_max = rows_max, .buffer_bytes_max = buffer_bytes_max};
    size_t bytes = buffers_place(runner, false, buffers_place(runner, true, 0));
    if (bytes == 0)
        return ES_OK;
    void *memory = NULL;
    if (posix_memalign(&memory, BUFFER_ALIGN, bytes) != 0)
        return es_fail(err, ES_ERR_NOMEM, "no memory for %zu bytes of batches", bytes);
    runner->memory = memory;
    (void)buffers_place(runner, false, buffers_place(runner, true, 0));
    return ES_OK;
}

void es_batch_runner_done(es_batch_runner *runner)
{
    for (size_t i = 0; i < ES_SESSION_PORTS_MAX; i++)
        if (runner->grown_bytes[i] > 0)
            free(runner->inputs[i].data);
    free(runner->memory);
    *runner = (es_batch_runner){.session = NULL};
}

/* Room for an input whose size is not known beforehand. */
static es_status input_grow(es_batch_runner *runner, size_t index, size_t bytes, es_error *err)
{
    es_tensor *input = &runner->inputs[index];
    bool own = runner->grown_bytes[index] > 0;
    if ((input->data != NULL && !own) || bytes <= runner->grown_bytes[index])
        return ES_OK;
    if (bytes > runner->buffer_bytes_max)
        return es_fail(err, ES_ERR_LIMIT, "a batch of %zu bytes is larger than %zu", bytes,
                       runner->buffer_bytes_max);
    void *memory = NULL;
    if (posix_memalign(&memory, BUFFER_ALIGN, aligned(bytes)) != 0)
        return es_fail(err, ES_ERR_NOMEM, "no memory for a batch of %zu bytes", bytes);
    if (own)
        free(input->data);
    input->data = memory;
    runner->grown_bytes[index] = bytes;
    return ES_OK;
}

/* ---- inputs side by side ---- */

static es_status gather_input(es_batch_runner *runner, size_t index, const es_batch_list *jobs,
                              uint32_t rows, es_error *err)
{
    es_tensor *batch = &runner->inputs[index];
    const es_tensor *first = &jobs->first->inputs[index];
    size_t used = 0;
    for (const es_batch_job *job = jobs->first; job != NULL; job = job->own.next)
        used += job->inputs[index].size_bytes; /* all are in memory: no overflow */
    ES_TRY(input_grow(runner, index, used, err));
    unsigned char *to = batch->data;
    for (const es_batch_job *job = jobs->first; job != NULL; job = job->own.next) {
        const es_tensor *part = &job->inputs[index];
        if (part->size_bytes > 0)
            memcpy(to, part->data, part->size_bytes);
        to += part->size_bytes;
    }
    batch->rank = first->rank;
    for (size_t k = 1; k < first->rank; k++)
        batch->dims[k] = first->dims[k];
    batch->dims[0] = rows;
    batch->size_bytes = used;
    return ES_OK;
}

/* ---- one call ---- */

typedef struct call {
    const es_tensor *inputs;
    es_tensor outputs[ES_SESSION_PORTS_MAX];
} call;

/* Gives the library our buffers where the shapes are sure. */
static void outputs_place(const es_batch_runner *runner, uint32_t rows, bool ours, call *one)
{
    for (size_t i = 0; i < runner->session->output_count; i++) {
        const es_tensor *buffer = &runner->outputs[i];
        one->outputs[i] = (es_tensor){.data = NULL};
        if (!ours || buffer->data == NULL)
            continue;
        one->outputs[i] = *buffer;
        if (runner->rows_max > 0) {
            size_t row = buffer->size_bytes; /* of one */
            one->outputs[i].dims[0] = rows;
            one->outputs[i].size_bytes = row * rows; /* within the buffer */
        }
    }
}

/* What came fits what the ports declare, so that our buffers may be given from now on. */
static bool outputs_as_declared(const es_batch_runner *runner, uint32_t rows, const call *one)
{
    for (size_t i = 0; i < runner->session->output_count; i++) {
        const es_tensor *declared = &runner->outputs[i];
        const es_tensor *came = &one->outputs[i];
        if (declared->data == NULL)
            continue;
        if (came->rank != declared->rank || came->dtype != declared->dtype)
            return false;
        for (size_t k = 0; k < came->rank; k++) {
            bool batch = k == 0 && runner->rows_max > 0;
            if (came->dims[k] != (batch ? (int64_t)rows : declared->dims[k]))
                return false;
        }
    }
    return true;
}

static void call_done(const es_batch_runner *runner, call *one)
{
    for (size_t i = 0; i < runner->session->output_count; i++)
        es_tensor_done(&one->outputs[i]);
}

/* Jobs that ran together can be parted only along a first dim of all their rows. */
static es_status check_parts(const es_batch_runner *runner, uint32_t rows, call *one, es_error *err)
{
    for (size_t i = 0; i < runner->session->output_count; i++) {
        const es_tensor *came = &one->outputs[i];
        if (came->dtype != ES_DTYPE_NONE && (came->rank == 0 || came->dims[0] != (int64_t)rows)) {
            call_done(runner, one);
            return es_fail(err, ES_ERR_UNSUPPORTED, "output '%s' does not have the batch's %u rows",
                           runner->session->outputs[i].name, rows);
        }
    }
    return ES_OK;
}

static es_status call_run(es_batch_runner *runner, uint32_t rows, bool alone, call *one,
                          es_error *err)
{
    es_session *session = runner->session;
    bool ours = runner->outputs_known;
    outputs_place(runner, rows, ours, one);
    ES_TRY(es_session_run(session, one->inputs, session->input_count, one->outputs,
                          session->output_count, err));
    if (!alone)
        ES_TRY(check_parts(runner, rows, one, err));
    if (!ours)
        runner->outputs_known = outputs_as_declared(runner, rows, one);
    return ES_OK;
}

/* ---- a batch ---- */

/* Each job's rows of the outputs, in the order of the list, which it empties. */
static void scatter(const es_batch_runner *runner, const call *one, es_batch_list *jobs,
                    es_batch_result result, int64_t start_ns)
{
    const size_t output_count = runner->session->output_count;
    es_tensor slices[ES_SESSION_PORTS_MAX];
    const bool alone = jobs->count == 1;
    es_batch_job *job = NULL;
    result.outputs = alone ? one->outputs : slices;
    for (size_t i = 0; !alone && i < output_count; i++) {
        slices[i] = one->outputs[i];
        slices[i].owner = NULL;
    }
    while ((job = es_batch_list_pop(jobs)) != NULL) {
        result.rows = job->own.rows;
        result.queue_ns = start_ns - job->own.queued_ns;
        for (size_t i = 0; !alone && i < output_count; i++) {
            slices[i].dims[0] = result.rows;
            slices[i].size_bytes = one->outputs[i].size_bytes / result.batch_rows * result.rows;
        }
        job->done(job, &result); /* the job is the caller's again */
        for (size_t i = 0; !alone && i < output_count; i++)
            if (slices[i].data != NULL)
                slices[i].data = (unsigned char *)slices[i].data + slices[i].size_bytes;
    }
}

/* All of jobs in one call. On failure they are left as they are. */
static es_status run_together(es_batch_runner *runner, es_clock *clock, es_batch_list *jobs,
                              uint32_t rows, int64_t start_ns, es_batch_ran *out, es_error *err)
{
    es_session *session = runner->session;
    const size_t count = jobs->count;
    call one;
    one.inputs = jobs->first->inputs;
    if (count > 1) {
        for (size_t i = 0; i < session->input_count; i++)
            ES_TRY(gather_input(runner, i, jobs, rows, err));
        one.inputs = runner->inputs;
    }
    int64_t gathered_ns = es_clock_now_ns(clock);
    int64_t cpu_ns = runner->cpu_time ? es_clock_thread_ns() : 0;
    es_status status = call_run(runner, rows, count == 1, &one, err);
    cpu_ns = runner->cpu_time ? es_clock_thread_ns() - cpu_ns : 0;
    int64_t ran_ns = es_clock_now_ns(clock);
    out->runs++;
    out->gather_ns += gathered_ns - start_ns;
    out->run_ns += ran_ns - gathered_ns;
    ES_TRY(status);
    scatter(runner, &one, jobs,
            (es_batch_result){.fate = ES_BATCH_SERVED,
                              .gather_ns = gathered_ns - start_ns,
                              .run_ns = ran_ns - gathered_ns,
                              .cpu_ns = cpu_ns,
                              .batch_rows = rows},
            start_ns);
    call_done(runner, &one);
    out->scatter_ns += es_clock_now_ns(clock) - ran_ns;
    out->served += count;
    out->rows += rows;
    return ES_OK;
}

static void run_alone(es_batch_runner *runner, es_clock *clock, es_batch_job *job,
                      es_batch_ran *out)
{
    es_error err = {0};
    es_batch_list only = {.first = NULL};
    int64_t start_ns = es_clock_now_ns(clock);
    es_batch_list_push(&only, job);
    es_status status = run_together(runner, clock, &only, job->own.rows, start_ns, out, &err);
    if (status != ES_OK && runner->outputs_known) { /* does this one have other shapes? */
        runner->outputs_known = false;
        status = run_together(runner, clock, &only, job->own.rows, start_ns, out, &err);
    }
    if (status == ES_OK)
        return;
    out->failed++;
    job->done(job, &(es_batch_result){.fate = ES_BATCH_FAILED,
                                      .error = &err,
                                      .queue_ns = start_ns - job->own.queued_ns,
                                      .rows = job->own.rows,
                                      .batch_rows = job->own.rows});
}

void es_batch_runner_run(es_batch_runner *runner, es_clock *clock, es_batch_list *jobs,
                         uint32_t rows, int64_t start_ns, es_batch_ran *out)
{
    es_batch_job *job = NULL;
    *out = (es_batch_ran){.runs = 0};
    if (jobs->count > 1) {
        if (run_together(runner, clock, jobs, rows, start_ns, out, NULL) == ES_OK)
            return;
        out->parted = true;
    }
    while ((job = es_batch_list_pop(jobs)) != NULL)
        run_alone(runner, clock, job, out);
}
