/*
 * The model with QuantizeLinear and DequantizeLinear around what runs on codes. A runtime that
 * knows the form turns DequantizeLinear, operator, QuantizeLinear into one integer operator; one
 * that does not still gets the same numbers to rounding.
 */
#include "compress/internal.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum {
    INPUTS_ALIGN = 4,
    OUTPUTS_MIN = 16,
    WIDE_MAX = 64 /* products of an output that are few either way */
};

typedef struct writer {
    es_arena *arena;
    const es_regions *r;
    const es_wiring *w;
    es_qdq_opts opts;
    es_model_build *build;
    es_qdq *out;
    const char **scales; /* by group: names of its scale and zero point */
    const char **zeros;
    const char **codes; /* by value: the name of its codes */
    size_t *makers;     /* by value: the node that makes it once clamps are gone */
} writer;

static const char *fresh(writer *q, const char *stem, const char *what)
{
    const char *name = es_arena_format(q->arena, "%s_%s", stem, what);
    return es_model_build_fresh(q->build, name != NULL ? name : stem);
}

/* ---- parameters ---- */

static void put_scale(writer *q, const char *scale, const char *zero, es_affine affine)
{
    uint8_t zero_u8 = (uint8_t)affine.zero;
    int8_t zero_s8 = (int8_t)affine.zero;
    bool is_signed = affine.low < 0;
    es_model_build_weight(q->build, scale, ES_MODEL_FLOAT, 0, NULL, &affine.scale, sizeof(float));
    es_model_build_weight(q->build, zero, is_signed ? ES_MODEL_INT8 : ES_MODEL_UINT8, 0, NULL,
                          is_signed ? (const void *)&zero_s8 : (const void *)&zero_u8, 1);
}

/* The names of the scale and zero point of a value's group. */
static void parameters_of(writer *q, size_t value, const char **scale, const char **zero)
{
    size_t group = q->r->values[value].group;
    if (q->scales[group] == NULL) {
        q->scales[group] = fresh(q, q->w->values[group].name, "scale");
        q->zeros[group] = fresh(q, q->w->values[group].name, "zero");
        put_scale(q, q->scales[group], q->zeros[group], q->opts.affines[value]);
    }
    *scale = q->scales[group];
    *zero = q->zeros[group];
}

static void add_node(writer *q, const char *op, const char *x, const char *scale, const char *zero,
                     const char *y)
{
    es_model_build_node(q->build, op, NULL, y, (const char *[]){x, scale, zero, NULL},
                        (const char *[]){y, NULL});
}

/* ---- values ---- */

/* Whether the codes can tell nothing that the clamp forbids, to within half a step. */
static bool saturation_clamps(const writer *q, size_t node)
{
    const es_region_node *n = &q->r->nodes[node];
    if (n->kind != ES_REGION_CLAMP || q->r->is_signed)
        return false;
    es_affine a = q->opts.affines[q->w->outputs[node][0]];
    double slack = 0.51 * (double)a.scale;
    return (double)es_affine_value(a, a.low) >= n->floor - (n->floor == 0 ? 0 : slack) &&
           (double)es_affine_value(a, a.high) <= n->ceiling + slack;
}

/* Clamps that saturation does go; what is before them makes their result. */
static void drop_clamps(writer *q)
{
    for (size_t n = 0; n < q->w->node_count; n++) {
        if (!saturation_clamps(q, n))
            continue;
        size_t x = q->w->inputs[n][0];
        size_t y = q->w->outputs[n][0];
        size_t maker = q->w->values[x].maker;
        size_t port = 0;
        while (q->w->outputs[maker][port] != x)
            port++;
        es_model_build_drop_node(q->build, n);
        es_model_build_set_output(q->build, maker, port, q->w->values[y].name);
        q->out->names[x] = NULL;
        q->makers[y] = maker;
    }
}

static size_t port_of(const writer *q, size_t value)
{
    size_t maker = q->makers[value];
    size_t port = 0;
    while (port < q->w->ops[maker].output_count) {
        size_t made = q->w->outputs[maker][port];
        if (made != ES_NONE && (made == value || (q->r->values[made].shown == value)))
            return port;
        port++;
    }
    return 0;
}

/* Codes between the maker of a value and all of its users. */
static void code_made(writer *q, size_t value)
{
    const es_wire *wire = &q->w->values[value];
    const char *scale = NULL;
    const char *zero = NULL;
    parameters_of(q, value, &scale, &zero);
    const char *codes = fresh(q, wire->name, "q");
    const char *raw = wire->name;
    const char *back = wire->name;
    if (wire->is_output) { /* the name stays with what goes out */
        raw = fresh(q, wire->name, "raw");
        es_model_build_set_output(q->build, q->makers[value], port_of(q, value), raw);
    } else {
        back = fresh(q, wire->name, "dq");
        es_model_build_replace(q->build, wire->name, back);
    }
    add_node(q, "QuantizeLinear", raw, scale, zero, codes);
    add_node(q, "DequantizeLinear", codes, scale, zero, back);
    q->out->names[value] = back;
    q->codes[value] = codes;
}

/* Codes for those users of a float value that take them. */
static void code_entry(writer *q, size_t value)
{
    const es_wire *wire = &q->w->values[value];
    const char *scale = NULL;
    const char *zero = NULL;
    parameters_of(q, value, &scale, &zero);
    const char *codes = fresh(q, wire->name, "q");
    const char *back = fresh(q, wire->name, "dq");
    add_node(q, "QuantizeLinear", wire->name, scale, zero, codes);
    add_node(q, "DequantizeLinear", codes, scale, zero, back);
    for (size_t i = 0; i < wire->use_count; i++) {
        es_wire_use use = wire->uses[i];
        if (use.input != ES_NONE && es_regions_takes_codes(q->r, use.node, use.input))
            es_model_build_set_input(q->build, use.node, use.input, back);
    }
    q->out->names[value] = back;
    q->codes[value] = codes;
}

/* ---- constants ---- */

static void put_dequantised(writer *q, const char *stem, es_model_type type, size_t rank,
                            const int64_t *dims, const void *codes, size_t size, const char *scale,
                            const char *zero, int64_t axis, const char **out_name)
{
    const char *name = fresh(q, stem, "q");
    *out_name = fresh(q, stem, "dq");
    es_model_build_weight(q->build, name, type, rank, dims, codes, size);
    add_node(q, "DequantizeLinear", name, scale, zero, *out_name);
    if (axis >= 0)
        es_model_build_int(q->build, "axis", axis);
}

/* A constant beside activations, in their scale (Concat) or one of its own (Add, Mul). */
static es_status code_constant(writer *q, size_t node, size_t index, es_error *err)
{
    size_t v = q->w->inputs[node][index];
    es_model_weight weight;
    const float *x = NULL;
    const char *scale = NULL;
    const char *zero = NULL;
    const char *name = NULL;
    ES_TRY(es_wiring_floats(q->w, v, &weight, &x, err));
    size_t count = (size_t)weight.tensor.elements;
    es_affine affine;
    if (q->r->nodes[node].kind == ES_REGION_CONCAT) {
        size_t y = q->w->outputs[node][0];
        affine = q->opts.affines[q->r->values[y].shown];
        parameters_of(q, q->r->values[y].shown, &scale, &zero);
    } else {
        es_seen seen = {.low = INFINITY, .high = -INFINITY};
        es_seen_extremes(&seen, x, count);
        affine = q->r->is_signed ? es_affine_symmetric((double)seen.reach, INT8_MAX)
                                 : es_affine_u8((double)seen.low, (double)seen.high);
        scale = fresh(q, weight.tensor.name, "scale");
        zero = fresh(q, weight.tensor.name, "zero");
        put_scale(q, scale, zero, affine);
    }
    uint8_t *codes = ES_TAKE_ARRAY(q->arena, uint8_t, count);
    if (codes == NULL)
        return es_arena_full(q->arena, "constant", err);
    for (size_t i = 0; i < count; i++)
        codes[i] = (uint8_t)es_affine_code(affine, x[i]);
    put_dequantised(q, weight.tensor.name, affine.low < 0 ? ES_MODEL_INT8 : ES_MODEL_UINT8,
                    (size_t)weight.tensor.rank, weight.tensor.dims, codes, count, scale, zero, -1,
                    &name);
    es_model_build_set_input(q->build, node, index, name);
    return ES_OK;
}

static es_status code_constants(writer *q, size_t node, es_error *err)
{
    es_region_kind kind = q->r->nodes[node].kind;
    if (kind != ES_REGION_BINARY && kind != ES_REGION_CONCAT)
        return ES_OK;
    for (size_t i = 0; i < q->w->ops[node].input_count; i++) {
        size_t v = q->w->inputs[node][i];
        if (v != ES_NONE && q->w->values[v].constant)
            ES_TRY(code_constant(q, node, i, err));
    }
    return ES_OK;
}

/* ---- layers ---- */

/* One scale per channel; zero NULL: without zero points, which are 0 then. */
static es_status put_scales(writer *q, const char *stem, const float *scales, size_t count,
                            const char **scale, const char **zero, es_error *err)
{
    const int64_t dims[1] = {(int64_t)count};
    *scale = fresh(q, stem, "scale");
    es_model_build_weight(q->build, *scale, ES_MODEL_FLOAT, 1, dims, scales,
                          count * sizeof *scales);
    if (zero == NULL)
        return ES_OK;
    int8_t *zeros = ES_TAKE_ARRAY(q->arena, int8_t, count);
    if (zeros == NULL)
        return es_arena_full(q->arena, "zero points", err);
    *zero = fresh(q, stem, "zero");
    es_model_build_weight(q->build, *zero, ES_MODEL_INT8, 1, dims, zeros, count);
    return ES_OK;
}

static es_status put_bias(writer *q, const es_layer *l, const es_coded_weights *coded,
                          float input_scale, es_error *err)
{
    const char *scale = NULL;
    const char *name = NULL;
    const char *stem = q->w->ops[l->node].outputs[0];
    const int64_t dims[1] = {(int64_t)l->channels};
    float *scales = ES_TAKE_ARRAY(q->arena, float, l->channels);
    if (scales == NULL)
        return es_arena_full(q->arena, "biases", err);
    for (size_t c = 0; c < l->channels; c++)
        scales[c] = input_scale * coded->scales[c];
    stem = es_arena_format(q->arena, "%s_bias", stem);
    if (stem == NULL)
        return es_arena_full(q->arena, "biases", err);
    ES_TRY(put_scales(q, stem, scales, l->channels, &scale, NULL, err));
    put_dequantised(q, stem, ES_MODEL_INT32, 1, dims, coded->bias,
                    l->channels * sizeof *coded->bias, scale, NULL, 0, &name);
    es_model_build_set_input(q->build, l->node, 2, name);
    return ES_OK;
}

/* How many channels a convolution's input gets so that they are a multiple of four, which integer
 * kernels want; as many as there are where that is no help, or much more work. */
static size_t aligned_inputs(const writer *q, const es_layer *l)
{
    size_t wide = (l->inputs + INPUTS_ALIGN - 1) / INPUTS_ALIGN * INPUTS_ALIGN;
    bool helps = q->r->nodes[l->node].kind == ES_REGION_CONV && l->groups == 1 &&
                 l->channels % INPUTS_ALIGN == 0 && l->channels >= OUTPUTS_MIN &&
                 (3 * wide <= 4 * l->inputs || l->inner / l->inputs * wide <= WIDE_MAX);
    return helps ? wide : l->inputs;
}

/* The input of a convolution with channels of zeros behind it, as codes. */
static es_status widen_input(writer *q, const es_layer *l, size_t wide, es_error *err)
{
    size_t x = q->w->inputs[l->node][0];
    size_t rank = (size_t)l->shape.tensor.rank;
    const char *scale = NULL;
    const char *zero = NULL;
    int64_t pads[2 * ES_DATA_RANK_MAX] = {0};
    if (rank > ES_DATA_RANK_MAX)
        return es_fail(err, ES_ERR_LIMIT, "%zu dimensions", rank);
    pads[rank + 1] = (int64_t)(wide - l->inputs);
    parameters_of(q, x, &scale, &zero);
    const char *amounts = fresh(q, q->w->values[x].name, "pads");
    const char *codes = fresh(q, q->w->values[x].name, "wide_q");
    const char *back = fresh(q, q->w->values[x].name, "wide_dq");
    es_model_build_weight(q->build, amounts, ES_MODEL_INT64, 1,
                          (const int64_t[]){2 * (int64_t)rank}, pads, 2 * rank * sizeof *pads);
    es_model_build_node(q->build, "Pad", NULL, codes,
                        (const char *[]){q->codes[x], amounts, zero, NULL},
                        (const char *[]){codes, NULL});
    add_node(q, "DequantizeLinear", codes, scale, zero, back);
    es_model_build_set_input(q->build, l->node, 0, back);
    return ES_OK;
}

/* Codes [outputs, inputs, kernel] with zeros for the inputs added. */
static es_status widen_codes(writer *q, const es_layer *l, size_t wide, int8_t **codes,
                             es_error *err)
{
    size_t kernel = l->inner / l->inputs;
    int8_t *all = ES_TAKE_ARRAY(q->arena, int8_t, l->channels * wide * kernel);
    if (all == NULL)
        return es_arena_full(q->arena, "weights", err);
    for (size_t c = 0; c < l->channels; c++)
        memcpy(all + c * wide * kernel, *codes + c * l->inner, l->inner);
    *codes = all;
    return ES_OK;
}

static es_status code_layer(writer *q, size_t node, es_error *err)
{
    size_t x = q->w->inputs[node][0];
    const es_calibration *seen = q->opts.correct;
    es_layer l;
    bool found = false;
    es_coded_weights coded;
    const char *scale = NULL;
    const char *zero = NULL;
    const char *name = NULL;
    float input_scale = q->opts.affines[x].scale;
    bool has_bias = q->r->nodes[node].kind != ES_REGION_MATMUL;
    ES_TRY(es_layer_read(q->w, node, &l, &found, err));
    assert(found); /* regions.c looked */
    bool known = seen != NULL && has_bias && seen->mean_counts[x] == l.inputs;
    ES_TRY(es_weights_code(q->arena, &l, q->opts.weight_limit, input_scale, has_bias,
                           known ? seen->means[x] : NULL, &coded, err));
    const char *stem = q->w->values[l.weight].name;
    ES_TRY(put_scales(q, stem, coded.scales, l.channels, &scale, &zero, err));
    size_t rank = (size_t)l.shape.tensor.rank;
    int64_t dims[ES_DATA_RANK_MAX];
    size_t wide = aligned_inputs(q, &l);
    if (rank > ES_DATA_RANK_MAX)
        return es_fail(err, ES_ERR_LIMIT, "weights of %zu dimensions", rank);
    memcpy(dims, l.shape.tensor.dims, rank * sizeof *dims);
    if (wide != l.inputs) {
        ES_TRY(widen_input(q, &l, wide, err));
        ES_TRY(widen_codes(q, &l, wide, &coded.codes, err));
        dims[1] = (int64_t)wide;
    }
    put_dequantised(q, stem, ES_MODEL_INT8, rank, dims, coded.codes, l.count / l.inputs * wide,
                    scale, zero, (int64_t)l.axis, &name);
    es_model_build_set_input(q->build, node, 1, name);
    q->out->weight_sqnr_db[node] = coded.sqnr_db;
    return coded.bias != NULL ? put_bias(q, &l, &coded, input_scale, err) : ES_OK;
}

es_status es_qdq_make(es_arena *arena, const es_regions *regions, es_qdq_opts opts, es_qdq *out_qdq,
                      es_error *err)
{
    const es_wiring *w = regions->w;
    es_qdq out = {.names = ES_TAKE_ARRAY(arena, const char *, w->value_count),
                  .weight_sqnr_db = ES_TAKE_ARRAY(arena, double, w->node_count)};
    writer q = {.arena = arena, .r = regions, .w = w, .opts = opts, .out = &out};
    q.build = es_model_build_from(arena, w->model);
    q.scales = ES_TAKE_ARRAY(arena, const char *, w->value_count);
    q.zeros = ES_TAKE_ARRAY(arena, const char *, w->value_count);
    q.codes = ES_TAKE_ARRAY(arena, const char *, w->value_count);
    q.makers = ES_TAKE_ARRAY(arena, size_t, w->value_count);
    if (out.names == NULL || out.weight_sqnr_db == NULL || q.build == NULL || q.scales == NULL ||
        q.zeros == NULL || q.codes == NULL || q.makers == NULL)
        return es_arena_full(arena, "quantised model", err);
    for (size_t v = 0; v < w->value_count; v++) {
        out.names[v] = w->values[v].name;
        q.makers[v] = w->values[v].maker;
    }
    drop_clamps(&q);
    for (size_t v = 0; v < w->value_count; v++)
        if (regions->values[v].coded && !regions->values[v].entry)
            code_made(&q, v);
    for (size_t v = 0; v < w->value_count; v++)
        if (regions->values[v].coded && regions->values[v].entry)
            code_entry(&q, v);
    for (size_t n = 0; n < w->node_count; n++) {
        out.weight_sqnr_db[n] = (double)NAN;
        ES_TRY(code_constants(&q, n, err));
        if (es_region_has_weights(regions->nodes[n].kind))
            ES_TRY(es_within(err, code_layer(&q, n, err), "node %zu '%s' (%s)", n, w->ops[n].name,
                             w->ops[n].op));
    }
    ES_TRY(es_model_build_finish(q.build, &out.model, err));
    *out_qdq = out;
    return ES_OK;
}
