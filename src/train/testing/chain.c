#include "train/testing/chain.h"

#ifndef ES_TRAIN_HAS_ONEDNN

es_chain *es_chain_new(const float *x, const uint32_t *labels, size_t batch, uint32_t threads)
{
    (void)x;
    (void)labels;
    (void)batch;
    (void)threads;
    return NULL;
}

bool es_chain_step(es_chain *chain)
{
    return chain != NULL;
}

#else

#include "train/onednn.h"

#include <math.h>

enum { BLOCKS = 4, PRIMITIVES_MAX = 64, ARGS_MAX = 6 };

/* conv 5x5 16, pool, conv 5x5 32, pool, dense 128, dense 10; ReLU done in the first three. */
typedef struct block {
    int units;
    bool conv, relu;
    dnnl_memory_t value, pooled, workspace, weight, bias, gradient, pooled_gradient,
        weight_gradient, bias_gradient;
    float *weight_values, *weight_slopes, *weight_speed, *bias_values, *bias_slopes, *bias_speed;
    size_t weight_count;
} block;

typedef struct step {
    dnnl_primitive_t primitive;
    int count;
    dnnl_exec_arg_t args[ARGS_MAX];
} step;

struct es_chain {
    es_onednn_library lib;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    size_t batch;
    uint32_t threads;
    const uint32_t *labels;
    block blocks[BLOCKS];
    step steps[PRIMITIVES_MAX];
    size_t count, forward_count;
    float *logits, *slopes;
};

static void check(dnnl_status_t status, const char *what)
{
    if (status == dnnl_success)
        return;
    (void)fprintf(stderr, "chain: %s: status %d\n", what, (int)status);
    exit(1);
}

static dnnl_memory_desc_t desc_of(const es_chain *c, int rank, const dnnl_dims_t dims, bool any)
{
    static const dnnl_format_tag_t plain[] = {dnnl_format_tag_undef, dnnl_a, dnnl_ab, dnnl_abc,
                                              dnnl_abcd};
    dnnl_memory_desc_t desc;
    check(c->lib.memory_desc_init_by_tag(&desc, rank, dims, dnnl_f32,
                                         any ? dnnl_format_tag_any : plain[rank]),
          "desc");
    return desc;
}

static dnnl_memory_t memory_of(es_chain *c, const dnnl_memory_desc_t *desc, float **out_values)
{
    size_t size = (c->lib.memory_desc_get_size(desc) + 63) / 64 * 64;
    void *values = NULL;
    dnnl_memory_t memory = NULL;
    if (posix_memalign(&values, 64, size > 0 ? size : 64) != 0)
        exit(1);
    memset(values, 0, size);
    check(c->lib.memory_create(&memory, desc, c->engine, values), "memory");
    if (out_values != NULL)
        *out_values = values;
    return memory;
}

static const dnnl_memory_desc_t *ask(const es_chain *c, const_dnnl_primitive_desc_t pd,
                                     dnnl_query_t what)
{
    return c->lib.primitive_desc_query_md(pd, what, 0);
}

static void add(es_chain *c, const_dnnl_primitive_desc_t pd, int count, const dnnl_exec_arg_t *args)
{
    step *s = &c->steps[c->count++];
    s->count = count;
    memcpy(s->args, args, (size_t)count * sizeof *args);
    check(c->lib.primitive_create(&s->primitive, pd), "primitive");
}

/* memory itself, or a copy in the layout wanted, reordered at each step. */
static dnnl_memory_t as(es_chain *c, dnnl_memory_t memory, const dnnl_memory_desc_t *have,
                        const dnnl_memory_desc_t *want)
{
    dnnl_primitive_desc_t pd = NULL;
    if (c->lib.memory_desc_equal(have, want))
        return memory;
    dnnl_memory_t out = memory_of(c, want, NULL);
    check(c->lib.reorder_primitive_desc_create(&pd, have, c->engine, want, c->engine, NULL),
          "reorder");
    add(c, pd, 2, (dnnl_exec_arg_t[]){{DNNL_ARG_FROM, memory}, {DNNL_ARG_TO, out}});
    return out;
}

/* What both directions of a block share. */
typedef struct shape {
    dnnl_memory_desc_t in, in_any, weight, bias, out;
    dnnl_dims_t ones, none, pad;
} shape;

static shape shape_of(const es_chain *c, const block *b, const dnnl_memory_desc_t *in)
{
    shape s = {.in = *in, .ones = {1, 1}, .pad = {2, 2}};
    dnnl_dims_t units = {b->units};
    dnnl_dims_t out = {(dnnl_dim_t)c->batch, b->units, in->dims[2], in->dims[3]};
    dnnl_dims_t weight = {b->units, in->dims[1], b->conv ? 5 : in->dims[2],
                          b->conv ? 5 : in->dims[3]};
    s.in_any = desc_of(c, in->ndims, in->dims, true);
    s.weight = desc_of(c, in->ndims, weight, true);
    s.bias = desc_of(c, 1, units, false);
    s.out = desc_of(c, b->conv ? 4 : 2, out, true);
    return s;
}

typedef union op {
    dnnl_convolution_desc_t conv;
    dnnl_inner_product_desc_t dense;
    dnnl_pooling_v2_desc_t pool;
    dnnl_eltwise_desc_t relu;
} op;

typedef struct made { /* descriptions kept from the way forward */
    dnnl_primitive_desc_t main, pool;
    dnnl_memory_desc_t in, out, pooled;
    dnnl_memory_t source; /* as taken */
} made;

static dnnl_primitive_desc_t describe(const es_chain *c, const op *o,
                                      const_dnnl_primitive_attr_t attr,
                                      const_dnnl_primitive_desc_t hint)
{
    dnnl_primitive_desc_t pd = NULL;
    check(c->lib.primitive_desc_create(&pd, o, attr, c->engine, hint), "primitive description");
    return pd;
}

static void start_weights(es_chain *c, block *b, const_dnnl_primitive_desc_t pd, const shape *s,
                          es_rng *rng)
{
    const dnnl_memory_desc_t *form = ask(c, pd, dnnl_query_weights_md);
    b->weight_count = c->lib.memory_desc_get_size(form) / sizeof(float);
    b->weight = memory_of(c, form, &b->weight_values);
    b->bias = memory_of(c, &s->bias, &b->bias_values);
    b->weight_speed = calloc(b->weight_count, sizeof(float));
    b->bias_speed = calloc((size_t)b->units, sizeof(float));
    if (b->weight_speed == NULL || b->bias_speed == NULL)
        exit(1);
    for (size_t i = 0; i < b->weight_count; i++)
        b->weight_values[i] = (float)(0.05 * es_rng_normal(rng));
}

static dnnl_primitive_attr_t with_relu(const es_chain *c)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    check(c->lib.primitive_attr_create(&attr), "attr");
    check(c->lib.post_ops_create(&ops), "post ops");
    check(c->lib.post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, 0, 0), "relu");
    check(c->lib.primitive_attr_set_post_ops(attr, ops), "attr");
    return attr;
}

static void pool_desc(const es_chain *c, const made *m, bool back, op *o)
{
    const dnnl_dims_t two = {2, 2};
    const dnnl_dims_t none = {0, 0};
    dnnl_dims_t half = {m->out.dims[0], m->out.dims[1], m->out.dims[2] / 2, m->out.dims[3] / 2};
    dnnl_memory_desc_t any = desc_of(c, 4, half, true);
    check(back ? c->lib.pooling_v2_backward_desc_init(&o->pool, dnnl_pooling_max, &m->out,
                                                      &m->pooled, two, two, none, none, none)
               : c->lib.pooling_v2_forward_desc_init(&o->pool, dnnl_forward_training,
                                                     dnnl_pooling_max, &m->out, &any, two, two,
                                                     none, none, none),
          "pool");
}

static void forward_block(es_chain *c, block *b, dnnl_memory_t in, made *m, es_rng *rng)
{
    shape s = shape_of(c, b, &m->in);
    op o;
    check(b->conv ? c->lib.dilated_convolution_forward_desc_init(
                        &o.conv, dnnl_forward_training, dnnl_convolution_direct, &s.in_any,
                        &s.weight, &s.bias, &s.out, s.ones, s.none, s.pad, s.pad)
                  : c->lib.inner_product_forward_desc_init(&o.dense, dnnl_forward_training,
                                                           &s.in_any, &s.weight, &s.bias, &s.out),
          "forward");
    m->main = describe(c, &o, b->relu ? with_relu(c) : NULL, NULL);
    start_weights(c, b, m->main, &s, rng);
    m->source = as(c, in, &m->in, ask(c, m->main, dnnl_query_src_md));
    m->out = *ask(c, m->main, dnnl_query_dst_md);
    b->value = memory_of(c, &m->out, NULL);
    add(c, m->main, 4,
        (dnnl_exec_arg_t[]){{DNNL_ARG_SRC, m->source},
                            {DNNL_ARG_WEIGHTS, b->weight},
                            {DNNL_ARG_BIAS, b->bias},
                            {DNNL_ARG_DST, b->value}});
    if (!b->conv)
        return;
    pool_desc(c, m, false, &o);
    m->pool = describe(c, &o, NULL, NULL);
    m->pooled = *ask(c, m->pool, dnnl_query_dst_md);
    b->pooled = memory_of(c, &m->pooled, NULL);
    b->workspace = memory_of(c, ask(c, m->pool, dnnl_query_workspace_md), NULL);
    add(c, m->pool, 3,
        (dnnl_exec_arg_t[]){{DNNL_ARG_SRC, b->value},
                            {DNNL_ARG_DST, b->pooled},
                            {DNNL_ARG_WORKSPACE, b->workspace}});
}

static void backward_activation(es_chain *c, block *b, made *m)
{
    op o;
    if (b->conv) {
        pool_desc(c, m, true, &o);
        dnnl_primitive_desc_t pd = describe(c, &o, NULL, m->pool);
        b->gradient = memory_of(c, &m->out, NULL);
        add(c, pd, 3,
            (dnnl_exec_arg_t[]){{DNNL_ARG_DIFF_DST, b->pooled_gradient},
                                {DNNL_ARG_DIFF_SRC, b->gradient},
                                {DNNL_ARG_WORKSPACE, b->workspace}});
    }
    if (!b->relu)
        return;
    check(c->lib.eltwise_forward_desc_init(&o.relu, dnnl_forward_training,
                                           dnnl_eltwise_relu_use_dst_for_bwd, &m->out, 0, 0),
          "relu");
    dnnl_primitive_desc_t hint = describe(c, &o, NULL, NULL);
    check(c->lib.eltwise_backward_desc_init(&o.relu, dnnl_eltwise_relu_use_dst_for_bwd, &m->out,
                                            &m->out, 0, 0),
          "relu");
    add(c, describe(c, &o, NULL, hint), 3,
        (dnnl_exec_arg_t[]){{DNNL_ARG_DST, b->value},
                            {DNNL_ARG_DIFF_DST, b->gradient},
                            {DNNL_ARG_DIFF_SRC, b->gradient}});
}

static void backward_weights(es_chain *c, block *b, made *m, const shape *s)
{
    op o;
    check(b->conv ? c->lib.dilated_convolution_backward_weights_desc_init(
                        &o.conv, dnnl_convolution_direct, &s->in_any, &s->weight, &s->bias, &s->out,
                        s->ones, s->none, s->pad, s->pad)
                  : c->lib.inner_product_backward_weights_desc_init(&o.dense, &s->in_any,
                                                                    &s->weight, &s->bias, &s->out),
          "weights");
    dnnl_primitive_desc_t pd = describe(c, &o, NULL, m->main);
    const dnnl_memory_desc_t *form = ask(c, pd, dnnl_query_diff_weights_md);
    dnnl_memory_t source =
        as(c, m->source, ask(c, m->main, dnnl_query_src_md), ask(c, pd, dnnl_query_src_md));
    dnnl_memory_t gradient = as(c, b->gradient, &m->out, ask(c, pd, dnnl_query_diff_dst_md));
    dnnl_memory_t whole = memory_of(c, form, &b->weight_slopes);
    b->bias_gradient = memory_of(c, &s->bias, &b->bias_slopes);
    add(c, pd, 4,
        (dnnl_exec_arg_t[]){{DNNL_ARG_SRC, source},
                            {DNNL_ARG_DIFF_DST, gradient},
                            {DNNL_ARG_DIFF_WEIGHTS, whole},
                            {DNNL_ARG_DIFF_BIAS, b->bias_gradient}});
    /* SGD works on the weights' own layout */
    const dnnl_memory_desc_t *own = ask(c, m->main, dnnl_query_weights_md);
    if (c->lib.memory_desc_equal(form, own))
        return;
    dnnl_memory_t moved = memory_of(c, own, &b->weight_slopes);
    dnnl_primitive_desc_t reorder = NULL;
    check(c->lib.reorder_primitive_desc_create(&reorder, form, c->engine, own, c->engine, NULL),
          "reorder");
    add(c, reorder, 2, (dnnl_exec_arg_t[]){{DNNL_ARG_FROM, whole}, {DNNL_ARG_TO, moved}});
}

static void backward_source(es_chain *c, block *b, block *before, made *m, const made *earlier,
                            const shape *s)
{
    op o;
    check(b->conv ? c->lib.dilated_convolution_backward_data_desc_init(
                        &o.conv, dnnl_convolution_direct, &s->in_any, &s->weight, &s->out, s->ones,
                        s->none, s->pad, s->pad)
                  : c->lib.inner_product_backward_data_desc_init(&o.dense, &s->in_any, &s->weight,
                                                                 &s->out),
          "source");
    dnnl_primitive_desc_t pd = describe(c, &o, NULL, m->main);
    dnnl_memory_t gradient = as(c, b->gradient, &m->out, ask(c, pd, dnnl_query_diff_dst_md));
    dnnl_memory_t weight =
        as(c, b->weight, ask(c, m->main, dnnl_query_weights_md), ask(c, pd, dnnl_query_weights_md));
    const dnnl_memory_desc_t *form = ask(c, pd, dnnl_query_diff_src_md);
    dnnl_memory_t source = memory_of(c, form, NULL);
    add(c, pd, 3,
        (dnnl_exec_arg_t[]){{DNNL_ARG_DIFF_DST, gradient},
                            {DNNL_ARG_WEIGHTS, weight},
                            {DNNL_ARG_DIFF_SRC, source}});
    source = as(c, source, form, before->conv ? &earlier->pooled : &earlier->out);
    if (before->conv)
        before->pooled_gradient = source;
    else
        before->gradient = source;
}

static void build(es_chain *c, const float *x)
{
    static const block plan[BLOCKS] = {{.units = 16, .conv = true, .relu = true},
                                       {.units = 32, .conv = true, .relu = true},
                                       {.units = 128, .relu = true},
                                       {.units = 10}};
    const dnnl_dims_t image = {(dnnl_dim_t)c->batch, 1, 28, 28};
    made m[BLOCKS] = {{.in = desc_of(c, 4, image, false)}};
    es_rng rng = es_rng_make(1, 0);
    float *values = NULL;
    dnnl_memory_t in = memory_of(c, &m[0].in, &values);
    memcpy(values, x, c->batch * 784 * sizeof *x);
    memcpy(c->blocks, plan, sizeof plan);
    for (size_t i = 0; i < BLOCKS; i++) {
        block *b = &c->blocks[i];
        forward_block(c, b, in, &m[i], &rng);
        in = b->conv ? b->pooled : b->value;
        if (i + 1 < BLOCKS)
            m[i + 1].in = b->conv ? m[i].pooled : m[i].out;
    }
    const dnnl_dims_t scores = {(dnnl_dim_t)c->batch, 10};
    dnnl_memory_desc_t rows = desc_of(c, 2, scores, false);
    block *last = &c->blocks[BLOCKS - 1];
    if (!c->lib.memory_desc_equal(&rows, &m[BLOCKS - 1].out))
        check(dnnl_unimplemented, "scores in rows");
    last->gradient = memory_of(c, &rows, &c->slopes);
    last->value = memory_of(c, &rows, &c->logits);
    c->steps[c->count - 1].args[3].memory = last->value; /* where we can read them */
    c->forward_count = c->count;
    for (size_t i = BLOCKS; i-- > 0;) {
        shape s = shape_of(c, &c->blocks[i], &m[i].in);
        backward_activation(c, &c->blocks[i], &m[i]);
        backward_weights(c, &c->blocks[i], &m[i], &s);
        if (i > 0)
            backward_source(c, &c->blocks[i], &c->blocks[i - 1], &m[i], &m[i - 1], &s);
    }
}

es_chain *es_chain_new(const float *x, const uint32_t *labels, size_t batch, uint32_t threads)
{
    es_chain *c = calloc(1, sizeof *c);
    es_error err = {0};
    if (c == NULL)
        exit(1);
    if (es_onednn_load(&c->lib, &err) != ES_OK) {
        (void)fprintf(stderr, "skipped: %s\n", es_error_text(&err));
        free(c);
        return NULL;
    }
    c->batch = batch;
    c->labels = labels;
    c->threads = threads;
    c->lib.omp_set_num_threads((int)threads);
    check(c->lib.engine_create(&c->engine, dnnl_cpu, 0), "engine");
    check(c->lib.stream_create(&c->stream, c->engine, dnnl_stream_default_flags), "stream");
    build(c, x);
    return c;
}

/* ---- a step ---- */

static void loss(es_chain *c)
{
    for (size_t i = 0; i < c->batch; i++) {
        const float *z = c->logits + i * 10;
        float top = z[0];
        float sum = 0;
        for (size_t k = 1; k < 10; k++)
            top = fmaxf(top, z[k]);
        for (size_t k = 0; k < 10; k++)
            sum += expf(z[k] - top);
        for (size_t k = 0; k < 10; k++)
            c->slopes[i * 10 + k] =
                (expf(z[k] - top) / sum - (k == c->labels[i] ? 1 : 0)) / (float)c->batch;
    }
}

static void descend(size_t count, const float *restrict slopes, float *restrict speed,
                    float *restrict values)
{
    for (size_t i = 0; i < count; i++) {
        speed[i] = 0.9F * speed[i] + slopes[i];
        values[i] -= 0.001F * (slopes[i] + 0.9F * speed[i]);
    }
}

bool es_chain_step(es_chain *c)
{
    c->lib.omp_set_num_threads((int)c->threads);
    for (size_t i = 0; i < c->count; i++) {
        if (i == c->forward_count)
            loss(c);
        if (c->lib.primitive_execute(c->steps[i].primitive, c->stream, c->steps[i].count,
                                     c->steps[i].args) != dnnl_success)
            return false;
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        block *b = &c->blocks[i];
        descend(b->weight_count, b->weight_slopes, b->weight_speed, b->weight_values);
        descend((size_t)b->units, b->bias_slopes, b->bias_speed, b->bias_values);
    }
    return true;
}

#endif
