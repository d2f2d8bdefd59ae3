/*
 * A branch that answers early: strided convolutions with batch norms, then a classifier; as wide as
 * its work may be (BranchyNet: cheaper than going on).
 */
#include "base/checked.h"
#include "compress/early.h"

enum { WIDTH_STEP = 4, WIDTH_MAX = 128, SIDE_STRIDED = 6, SIDE_CLASSIFIED = 4 };

typedef struct maker {
    es_nn *nn;
    es_nn_id at;
    es_status status;
    es_error *err;
} maker;

static es_nn_shape shape_at(const maker *m)
{
    return m->nn->layers.items[m->at.index].shape;
}

static void add(maker *m, es_nn_layer layer, size_t units, bool bias)
{
    if (m->status != ES_OK)
        return;
    layer.input_count = 1;
    layer.inputs[0] = m->at;
    m->status = es_nn_add(m->nn, &layer, units, bias, &m->at, m->err);
}

/* Rows and columns, or steps. */
static size_t place_rank(es_nn_shape shape)
{
    return shape.rank - 1;
}

static size_t smallest_side(es_nn_shape shape)
{
    size_t side = SIZE_MAX;
    for (size_t i = 1; i < shape.rank; i++)
        side = shape.dims[i] < side ? shape.dims[i] : side;
    return side;
}

/* Kernel 3, halved while there is enough to halve; "same" padding. */
static void add_conv(maker *m, size_t units)
{
    es_nn_shape in = shape_at(m);
    bool strided = smallest_side(in) >= SIDE_STRIDED;
    es_nn_layer conv = {.kind = ES_NN_CONV};
    for (size_t i = 0; i < place_rank(in); i++) {
        conv.window.kernel[i] = 3;
        conv.window.stride[i] = strided ? 2 : 1;
        conv.window.pad_before[i] = conv.window.pad_after[i] = 1;
    }
    add(m, conv, units, false);
    add(m, (es_nn_layer){.kind = ES_NN_BATCH_NORM}, 0, false);
    add(m, (es_nn_layer){.kind = ES_NN_RELU}, 0, false);
}

/* Means over squares, so that at most 4 x 4 places are left, each with its own weights. */
static void add_classifier(maker *m, size_t classes, bool whole)
{
    es_nn_shape in = shape_at(m);
    es_nn_layer pool = {.kind = ES_NN_AVERAGE_POOL};
    for (size_t i = 0; i < place_rank(in); i++)
        pool.window.kernel[i] = pool.window.stride[i] =
            (in.dims[i + 1] + SIDE_CLASSIFIED - 1) / SIDE_CLASSIFIED;
    if (in.rank > 1 && smallest_side(in) > SIDE_CLASSIFIED && !whole)
        add(m, pool, 0, false);
    if (in.rank > 1)
        add(m, (es_nn_layer){.kind = ES_NN_FLATTEN}, 0, false);
    add(m, (es_nn_layer){.kind = ES_NN_DENSE}, classes, true);
}

static es_status build(es_arena *arena, const es_branch_wish *wish, size_t width, es_nn **out,
                       es_error *err)
{
    es_nn *nn = NULL;
    ES_TRY(es_nn_new(arena, "branch", "branch-in", wish->in, &nn, err));
    maker m = {.nn = nn, .at = {0}, .status = ES_OK, .err = err};
    for (size_t i = 0; i < wish->depth && width > 0; i++) {
        if (wish->in.rank > 1) {
            add_conv(&m, width << (i < 2 ? i : 2));
        } else {
            add(&m, (es_nn_layer){.kind = ES_NN_DENSE}, width, true);
            add(&m, (es_nn_layer){.kind = ES_NN_RELU}, 0, false);
        }
    }
    add_classifier(&m, wish->classes, wish->whole);
    ES_TRY(m.status);
    if (wish->softmax)
        add(&m, (es_nn_layer){.kind = ES_NN_SOFTMAX}, 0, false);
    ES_TRY(m.status);
    ES_TRY(es_nn_output_add(nn, NULL, m.at, err));
    *out = nn;
    return ES_OK;
}

/* Work grows with the width: the widest within the budget by bisection; 0: no layers before the
 * classifier. */
static es_status widest(es_arena *scratch, const es_branch_wish *wish, size_t *out_width,
                        es_error *err)
{
    size_t low = 0;
    size_t high = wish->depth > 0 ? WIDTH_MAX / WIDTH_STEP + 1 : 1;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        es_nn *nn = NULL;
        es_arena_reset(scratch);
        ES_TRY(build(scratch, wish, middle * WIDTH_STEP, &nn, err));
        if (es_nn_work_of(nn).macs <= wish->macs_max)
            low = middle;
        else
            high = middle;
    }
    *out_width = low * WIDTH_STEP;
    return ES_OK;
}

es_status es_branch_make(es_arena *arena, const es_branch_wish *wish, es_nn **out_branch,
                         es_error *err)
{
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(es_arena_cap_bytes(arena));
    size_t width = 0;
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for a branch");
    ES_TRY(widest(scratch, wish, &width, err));
    ES_TRY(build(arena, wish, width, out_branch, err));
    uint64_t macs = es_nn_work_of(*out_branch).macs;
    if (macs > wish->macs_max)
        return es_fail(err, ES_ERR_ARG,
                       "even a classifier alone takes %llu MACs, more than the %llu that a branch "
                       "may",
                       (unsigned long long)macs, (unsigned long long)wish->macs_max);
    es_nn_init(*out_branch, wish->seed);
    return ES_OK;
}
