/* Views, steps, and where in one block of memory every buffer lies. */
#include "train/onednn.h"

#include <assert.h>

enum { ALIGNMENT = 64 };

es_status es_onednn_check(const es_onednn_plan *plan, size_t layer, dnnl_status_t status,
                          es_error *err)
{
    const es_nn_layer *at = es_onednn_nn_layer(plan, layer);
    if (status == dnnl_success)
        return ES_OK;
    if (status == dnnl_out_of_memory)
        return es_fail(err, ES_ERR_NOMEM, "layer '%s': oneDNN is out of memory", at->name);
    if (status == dnnl_unimplemented)
        return es_fail(err, ES_ERR_UNSUPPORTED,
                       "layer '%s': oneDNN has no %s of this form; the plain backend has", at->name,
                       es_nn_kind_name(at->kind));
    return es_fail(err, ES_ERR_INTERNAL, "layer '%s' (%s): oneDNN's status %d", at->name,
                   es_nn_kind_name(at->kind), (int)status);
}

/* ---- descriptions of memory ---- */

dnnl_memory_desc_t es_onednn_desc(const es_onednn_plan *plan, int rank, const dnnl_dims_t dims,
                                  bool any)
{
    static const dnnl_format_tag_t plain[] = {
        dnnl_format_tag_undef, dnnl_a, dnnl_ab, dnnl_abc, dnnl_abcd, dnnl_abcde};
    dnnl_memory_desc_t desc;
    dnnl_status_t status = plan->lib->memory_desc_init_by_tag(
        &desc, rank, dims, dnnl_f32, any ? dnnl_format_tag_any : plain[rank]);
    assert(status == dnnl_success); /* ranks 1 to 5 with sizes above 0 */
    (void)status;
    return desc;
}

dnnl_memory_desc_t es_onednn_value_desc(const es_onednn_plan *plan, es_nn_shape shape, bool any)
{
    dnnl_dims_t dims = {(dnnl_dim_t)plan->samples, (dnnl_dim_t)shape.dims[0], 1, 1};
    if (shape.rank == 3) {
        dims[2] = (dnnl_dim_t)shape.dims[1];
        dims[3] = (dnnl_dim_t)shape.dims[2];
    } else if (shape.rank == 2) {
        dims[3] = (dnnl_dim_t)shape.dims[1];
    }
    return es_onednn_desc(plan, shape.rank == 1 ? 2 : 4, dims, any);
}

dnnl_memory_desc_t es_onednn_vector_desc(const es_onednn_plan *plan, size_t count)
{
    dnnl_dims_t dims = {(dnnl_dim_t)count};
    return es_onednn_desc(plan, 1, dims, false);
}

dnnl_memory_desc_t es_onednn_plain_desc(const es_onednn_plan *plan, const dnnl_memory_desc_t *desc)
{
    return es_onednn_desc(plan, desc->ndims, desc->dims, false);
}

/* ---- views ---- */

static es_status view_make(es_onednn_plan *plan, const dnnl_memory_desc_t *desc, uint32_t buffer,
                           void *data, es_view **out_view, es_error *err)
{
    es_view *view = ES_TAKE_ONE(plan->arena, es_view);
    if (view == NULL)
        return es_arena_full(plan->arena, "views", err);
    *view = (es_view){.desc = *desc, .buffer = buffer, .data = data};
    ES_TRY(ES_ARRAY_PUSH(plan->arena, &plan->views, view, "views", err));
    if (plan->lib->memory_create(&view->memory, desc, plan->dnnl,
                                 data != NULL ? data : DNNL_MEMORY_NONE) != dnnl_success)
        return es_fail(err, ES_ERR_NOMEM, "oneDNN has no memory for a view");
    *out_view = view;
    return ES_OK;
}

es_status es_onednn_view_new(es_onednn_plan *plan, const dnnl_memory_desc_t *desc,
                             es_view **out_view, es_error *err)
{
    es_onednn_buffer buffer = {.size = plan->lib->memory_desc_get_size(desc), .first = SIZE_MAX};
    assert(desc->format_kind != dnnl_format_kind_any);
    ES_TRY(ES_ARRAY_PUSH(plan->arena, &plan->buffers, buffer, "buffers", err));
    return view_make(plan, desc, (uint32_t)(plan->buffers.count - 1), NULL, out_view, err);
}

es_status es_onednn_view_over(es_onednn_plan *plan, const dnnl_memory_desc_t *desc,
                              const es_view *under, es_view **out_view, es_error *err)
{
    ES_TRY(view_make(plan, desc, under->buffer, under->data, out_view, err));
    (*out_view)->of_x = under->of_x;
    return under->of_x ? ES_ARRAY_PUSH(plan->arena, &plan->x_views, *out_view, "views", err)
                       : ES_OK;
}

es_status es_onednn_view_outside(es_onednn_plan *plan, const dnnl_memory_desc_t *desc, void *data,
                                 es_view **out_view, es_error *err)
{
    return view_make(plan, desc, ES_ONEDNN_NO_BUFFER, data, out_view, err);
}

static void touch(es_onednn_plan *plan, const es_view *view, size_t step)
{
    if (view->buffer == ES_ONEDNN_NO_BUFFER)
        return;
    es_onednn_buffer *buffer = &plan->buffers.items[view->buffer];
    if (buffer->first == SIZE_MAX)
        buffer->first = step;
    if (buffer->last < step)
        buffer->last = step;
}

void es_onednn_keep(es_onednn_plan *plan, const es_view *view)
{
    touch(plan, view, SIZE_MAX - 1);
}

es_status es_onednn_reorder(es_onednn_plan *plan, size_t layer, es_view *from, es_view *to,
                            es_error *err)
{
    dnnl_primitive_desc_t pd = NULL;
    const es_onednn_arg args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    ES_TRY(es_onednn_check(plan, layer,
                           plan->lib->reorder_primitive_desc_create(
                               &pd, &from->desc, plan->dnnl, &to->desc, plan->dnnl, plan->attr),
                           err));
    es_status status = es_onednn_step_add(plan, layer, pd, args, 2, err);
    (void)plan->lib->primitive_desc_destroy(pd); /* fails only for NULL */
    return status;
}

es_status es_onednn_as(es_onednn_plan *plan, size_t layer, es_view *view,
                       const dnnl_memory_desc_t *desc, es_view **out_view, es_error *err)
{
    es_view *at = view;
    while (at != NULL && !plan->lib->memory_desc_equal(&at->desc, desc))
        at = at->converted;
    if (at == NULL) {
        ES_TRY(es_onednn_view_new(plan, desc, &at, err));
        ES_TRY(es_onednn_reorder(plan, layer, view, at, err));
        at->converted = view->converted;
        view->converted = at;
    }
    *out_view = at;
    return ES_OK;
}

es_status es_onednn_as_plain(es_onednn_plan *plan, size_t layer, es_view *view, es_view **out_view,
                             es_error *err)
{
    dnnl_memory_desc_t plain = es_onednn_plain_desc(plan, &view->desc);
    return es_onednn_as(plan, layer, view, &plain, out_view, err);
}

/* ---- steps ---- */

es_status es_onednn_describe(const es_onednn_plan *plan, size_t layer, const void *op_desc,
                             const_dnnl_primitive_attr_t attr, const_dnnl_primitive_desc_t hint,
                             dnnl_primitive_desc_t *out_pd, es_error *err)
{
    return es_onednn_check(plan, layer,
                           plan->lib->primitive_desc_create(
                               out_pd, op_desc, attr != NULL ? attr : plan->attr, plan->dnnl, hint),
                           err);
}

const dnnl_memory_desc_t *es_onednn_query(const es_onednn_plan *plan,
                                          const_dnnl_primitive_desc_t pd, dnnl_query_t what)
{
    const dnnl_memory_desc_t *desc = plan->lib->primitive_desc_query_md(pd, what, 0);
    assert(desc != NULL);
    return desc;
}

/* All primitives share one piece of memory to work in: they run one after the other. */
static es_status add_scratch(es_onednn_plan *plan, es_onednn_step *step,
                             const_dnnl_primitive_desc_t pd, es_error *err)
{
    const dnnl_memory_desc_t *desc = es_onednn_query(plan, pd, dnnl_query_scratchpad_md);
    size_t size = plan->lib->memory_desc_get_size(desc);
    dnnl_memory_t memory = NULL;
    if (size == 0)
        return ES_OK;
    if (plan->lib->memory_create(&memory, desc, plan->dnnl, DNNL_MEMORY_NONE) != dnnl_success)
        return es_fail(err, ES_ERR_NOMEM, "oneDNN has no memory for a view");
    plan->scratch_size = size > plan->scratch_size ? size : plan->scratch_size;
    step->args[step->arg_count++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, memory};
    es_status status =
        ES_ARRAY_PUSH(plan->arena, &plan->scratch_memories, memory, "scratch memory", err);
    if (status != ES_OK)
        (void)plan->lib->memory_destroy(memory); /* the first failure is the one to tell */
    return status;
}

es_status es_onednn_step_add(es_onednn_plan *plan, size_t layer, const_dnnl_primitive_desc_t pd,
                             const es_onednn_arg *args, size_t arg_count, es_error *err)
{
    es_onednn_step step = {.layer = layer};
    assert(arg_count < ES_ONEDNN_ARGS_MAX);
    for (size_t i = 0; i < arg_count; i++) {
        assert(args[i].view != NULL);
        step.args[step.arg_count++] = (dnnl_exec_arg_t){args[i].name, args[i].view->memory};
        touch(plan, args[i].view, plan->steps.count);
    }
    ES_TRY(add_scratch(plan, &step, pd, err));
    ES_TRY(es_onednn_check(plan, layer, plan->lib->primitive_create(&step.primitive, pd), err));
    es_status status = ES_ARRAY_PUSH(plan->arena, &plan->steps, step, "steps", err);
    if (status != ES_OK)
        (void)plan->lib->primitive_destroy(step.primitive); /* likewise */
    return status;
}

es_status es_onednn_call_add(es_onednn_plan *plan, size_t layer,
                             void (*run)(es_onednn_plan *plan, size_t layer), es_view *const *views,
                             size_t view_count, es_error *err)
{
    es_onednn_step step = {.layer = layer, .run = run};
    for (size_t i = 0; i < view_count; i++)
        if (views[i] != NULL)
            touch(plan, views[i], plan->steps.count);
    return ES_ARRAY_PUSH(plan->arena, &plan->steps, step, "steps", err);
}

/* ---- places ---- */

static size_t aligned(size_t size)
{
    return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static bool at_once(const es_onednn_buffer *a, const es_onednn_buffer *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* The lowest place where the buffer meets none that is in use at the same time; buffers before it
 * have their places. `sorted` is by offset. O(buffers). */
static size_t lowest_place(const es_onednn_buffer *all, const uint32_t *sorted, size_t count,
                           const es_onednn_buffer *buffer)
{
    size_t place = 0;
    for (size_t i = 0; i < count; i++) {
        const es_onednn_buffer *other = &all[sorted[i]];
        if (!at_once(other, buffer))
            continue;
        if (place + aligned(buffer->size) <= other->offset)
            break;
        size_t behind = other->offset + aligned(other->size);
        place = behind > place ? behind : place;
    }
    return place;
}

static es_status place_buffers(es_onednn_plan *plan, es_error *err)
{
    es_onednn_buffer *all = plan->buffers.items;
    uint32_t *sorted = ES_TAKE_ARRAY(plan->arena, uint32_t, plan->buffers.count);
    size_t count = 0;
    if (sorted == NULL)
        return es_arena_full(plan->arena, "buffers", err);
    for (size_t i = 0; i < plan->buffers.count; i++) {
        if (all[i].first == SIZE_MAX)
            continue; /* nobody uses it */
        all[i].offset = lowest_place(all, sorted, count, &all[i]);
        size_t at = count++;
        for (; at > 0 && all[sorted[at - 1]].offset > all[i].offset; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = (uint32_t)i;
        size_t end = all[i].offset + aligned(all[i].size);
        plan->pool_size = end > plan->pool_size ? end : plan->pool_size;
    }
    return ES_OK;
}

es_status es_onednn_settle(es_onednn_plan *plan, es_error *err)
{
    ES_TRY(place_buffers(plan, err));
    size_t total = plan->pool_size + aligned(plan->scratch_size) + ALIGNMENT;
    size_t used = es_onednn_used_bytes(plan->engine);
    if (used + total > plan->engine->opts.cap_bytes)
        return es_fail(err, ES_ERR_NOMEM,
                       "a batch of %zu takes %zu bytes, the engine may have %zu: take a smaller "
                       "batch",
                       plan->samples, total, plan->engine->opts.cap_bytes);
    if (posix_memalign(&plan->pool, ALIGNMENT, total) != 0)
        return es_fail(err, ES_ERR_NOMEM, "no memory for a batch of %zu (%zu bytes)", plan->samples,
                       total);
    memset(plan->pool, 0, total); /* padding of blocked layouts must be 0 */
    for (size_t i = 0; i < plan->views.count; i++) {
        es_view *view = plan->views.items[i];
        if (view->buffer == ES_ONEDNN_NO_BUFFER)
            continue;
        view->data = (char *)plan->pool + plan->buffers.items[view->buffer].offset;
        ES_TRY(es_onednn_check(plan, 0, plan->lib->memory_set_data_handle(view->memory, view->data),
                               err));
    }
    for (size_t i = 0; i < plan->scratch_memories.count; i++)
        ES_TRY(es_onednn_check(
            plan, 0,
            plan->lib->memory_set_data_handle(plan->scratch_memories.items[i],
                                              (char *)plan->pool + aligned(plan->pool_size)),
            err));
    return ES_OK;
}

es_status es_onednn_run(es_onednn_plan *plan, size_t from, size_t to, es_error *err)
{
    for (size_t i = from; i < to; i++) {
        const es_onednn_step *step = &plan->steps.items[i];
        if (step->run != NULL)
            step->run(plan, step->layer);
        else if (step->primitive != NULL)
            ES_TRY(es_onednn_check(plan, step->layer,
                                   plan->lib->primitive_execute(step->primitive, plan->stream,
                                                                step->arg_count, step->args),
                                   err));
    }
    return ES_OK;
}
