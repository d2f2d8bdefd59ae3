/*
 * Which nodes run on codes. Products by weights do wherever there is an integer kernel; what lies
 * between two of them does when all of its inputs are codes already, and it leads on to the next
 * one. Everything else stays float, so that no value is rounded for nothing.
 */
#include "compress/internal.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *op;
    es_region_kind kind;
} kinds[] = {
    {"Conv", ES_REGION_CONV},        {"Gemm", ES_REGION_GEMM},
    {"MatMul", ES_REGION_MATMUL},    {"Add", ES_REGION_BINARY},
    {"Mul", ES_REGION_BINARY},       {"Concat", ES_REGION_CONCAT},
    {"AveragePool", ES_REGION_MEAN}, {"GlobalAveragePool", ES_REGION_MEAN},
    {"Sigmoid", ES_REGION_UNARY},    {"LeakyRelu", ES_REGION_UNARY},
    {"Relu", ES_REGION_CLAMP},       {"Clip", ES_REGION_CLAMP},
    {"MaxPool", ES_REGION_MOVE},     {"Flatten", ES_REGION_MOVE},
    {"Gather", ES_REGION_MOVE},      {"Reshape", ES_REGION_MOVE},
    {"Resize", ES_REGION_MOVE},      {"Slice", ES_REGION_MOVE},
    {"Split", ES_REGION_MOVE},       {"Squeeze", ES_REGION_MOVE},
    {"Transpose", ES_REGION_MOVE},   {"Unsqueeze", ES_REGION_MOVE},
};

bool es_region_has_weights(es_region_kind kind)
{
    return kind == ES_REGION_CONV || kind == ES_REGION_GEMM || kind == ES_REGION_MATMUL;
}

static bool is_product(es_region_kind kind)
{
    return es_region_has_weights(kind) || kind == ES_REGION_PRODUCT;
}

bool es_regions_takes_codes(const es_regions *r, size_t node, size_t index)
{
    const es_wiring *w = r->w;
    if (!es_wiring_is_activation(w, es_wiring_input(w, node, index)))
        return false;
    switch (r->nodes[node].kind) {
    case ES_REGION_FLOAT:
    case ES_REGION_CLAMP:
        return false;
    case ES_REGION_PRODUCT:
    case ES_REGION_BINARY:
    case ES_REGION_CONCAT:
        return true;
    case ES_REGION_CONV:
    case ES_REGION_GEMM:
    case ES_REGION_MATMUL:
    case ES_REGION_MOVE:
    case ES_REGION_MEAN:
    case ES_REGION_UNARY:
    default:
        return index == 0;
    }
}

/* ---- what a node could be, by itself ---- */

static es_status check_layer(const es_wiring *w, size_t node, const char **why, es_error *err)
{
    es_layer l;
    bool found = false;
    ES_TRY(es_layer_read(w, node, &l, &found, err));
    if (!found)
        *why = "weights are not constant, or it does more than multiply by them";
    else if (es_wiring_is(w, node, "Conv") && l.shape.tensor.rank < 3)
        *why = "weights have fewer than 3 dimensions";
    return ES_OK;
}

static const char *check_move(const es_wiring *w, size_t node)
{
    if (es_wiring_is(w, node, "Resize") &&
        strcmp(es_model_attr_text(w->model, node, "mode", "nearest"), "nearest") != 0)
        return "resizes by other than nearest";
    if (es_wiring_is(w, node, "MaxPool") && w->ops[node].output_count > 1)
        return "gives indices too";
    return NULL;
}

/* The bounds of a Relu or Clip. False: not constant. */
static bool clamp_bounds(const es_wiring *w, size_t node, double *low, double *high)
{
    double *bounds[2] = {low, high};
    *low = es_wiring_is(w, node, "Relu") ? 0 : (double)-INFINITY;
    *high = (double)INFINITY;
    for (size_t i = 0; i < 2 && es_wiring_is(w, node, "Clip"); i++) {
        size_t v = es_wiring_input(w, node, i + 1);
        es_model_weight weight;
        const float *value = NULL;
        if (v == ES_NONE)
            continue;
        if (!es_wiring_is_weight(w, v) || es_wiring_floats(w, v, &weight, &value, NULL) != ES_OK ||
            weight.tensor.elements != 1)
            return false;
        *bounds[i] = (double)value[0];
    }
    return true;
}

static es_status classify(es_regions *r, size_t node, es_error *err)
{
    const es_wiring *w = r->w;
    es_region_node *n = &r->nodes[node];
    double low = 0;
    double high = 0;
    n->kind = ES_REGION_FLOAT;
    n->why_not = "no integer kernel";
    if (strcmp(w->ops[node].domain, "ai.onnx") != 0 || w->ops[node].output_count == 0)
        return ES_OK;
    size_t row = 0;
    while (row < sizeof kinds / sizeof *kinds && strcmp(kinds[row].op, w->ops[node].op) != 0)
        row++;
    if (row == sizeof kinds / sizeof *kinds)
        return ES_OK;
    es_region_kind kind = kinds[row].kind;
    n->why_not = NULL;
    if (kind == ES_REGION_MATMUL && es_wiring_is_activation(w, es_wiring_input(w, node, 1)))
        kind = ES_REGION_PRODUCT;
    if (es_region_has_weights(kind))
        ES_TRY(check_layer(w, node, &n->why_not, err));
    else if (kind == ES_REGION_MOVE)
        n->why_not = check_move(w, node);
    else if (kind == ES_REGION_CLAMP && !clamp_bounds(w, node, &low, &high))
        n->why_not = "bounds are not constant";
    if (n->why_not == NULL && kind != ES_REGION_BINARY && kind != ES_REGION_CONCAT &&
        !es_wiring_is_activation(w, es_wiring_input(w, node, 0)))
        n->why_not = "does not work on 32-bit floats";
    if (n->why_not == NULL)
        n->kind = kind;
    return ES_OK;
}

/* ---- what the neighbours allow ---- */

static bool is_made_as_codes(const es_regions *r, size_t value)
{
    size_t maker = r->w->values[value].maker;
    return maker != ES_NONE && r->nodes[maker].kind != ES_REGION_FLOAT;
}

/* All activations that come in are codes, and there is one. */
static bool has_codes(const es_regions *r, size_t node)
{
    const es_wiring *w = r->w;
    bool any = false;
    for (size_t i = 0; i < w->ops[node].input_count; i++) {
        size_t v = w->inputs[node][i];
        bool counts =
            r->nodes[node].kind == ES_REGION_CLAMP ? i == 0 : es_regions_takes_codes(r, node, i);
        if (!counts) {
            bool constant = v == ES_NONE || w->values[v].constant;
            if (!constant && (r->nodes[node].kind == ES_REGION_BINARY ||
                              r->nodes[node].kind == ES_REGION_CONCAT))
                return false; /* integers, or a type that is not known */
            continue;
        }
        if (!is_made_as_codes(r, v))
            return false;
        any = true;
    }
    return any;
}

static void stay_float(es_region_node *node, const char *why)
{
    node->kind = ES_REGION_FLOAT;
    node->why_not = why;
}

/* A CLAMP belongs to what makes its input: alone, and with a range of its own. */
static bool can_clamp(const es_regions *r, size_t node)
{
    const es_wiring *w = r->w;
    size_t v = w->inputs[node][0];
    if (!es_wiring_private(w, v) || w->values[v].maker == ES_NONE)
        return false;
    es_region_kind kind = r->nodes[w->values[v].maker].kind;
    return kind != ES_REGION_MOVE && kind != ES_REGION_CONCAT && kind != ES_REGION_CLAMP;
}

static void check_neighbours(es_regions *r)
{
    for (size_t n = 0; n < r->w->node_count; n++) {
        es_region_node *node = &r->nodes[n];
        if (node->kind == ES_REGION_FLOAT || is_product(node->kind))
            continue;
        if (!has_codes(r, n))
            stay_float(node, "not all inputs are integers");
        else if (node->kind == ES_REGION_CLAMP && !can_clamp(r, n))
            stay_float(node, "cannot be part of the range before it");
    }
}

static bool has_leading_user(const es_regions *r, size_t node)
{
    const es_wiring *w = r->w;
    for (size_t k = 0; k < w->ops[node].output_count; k++) {
        size_t v = w->outputs[node][k];
        for (size_t i = 0; v != ES_NONE && i < w->values[v].use_count; i++) {
            es_wire_use use = w->values[v].uses[i];
            const es_region_node *user = &r->nodes[use.node];
            bool takes = user->kind == ES_REGION_CLAMP ||
                         (use.input != ES_NONE && es_regions_takes_codes(r, use.node, use.input));
            if (takes && user->leads)
                return true;
        }
    }
    return false;
}

/* Backwards: a node leads when it is a product, or an user of it leads. What does not is float. */
static void drop_loose_ends(es_regions *r)
{
    for (size_t n = r->w->node_count; n-- > 0;) {
        es_region_node *node = &r->nodes[n];
        if (node->kind == ES_REGION_FLOAT)
            continue;
        bool conv = node->kind == ES_REGION_CLAMP &&
                    r->w->values[r->w->inputs[n][0]].maker != ES_NONE &&
                    r->nodes[r->w->values[r->w->inputs[n][0]].maker].kind == ES_REGION_CONV;
        node->leads = is_product(node->kind) || has_leading_user(r, n);
        if (!node->leads && !conv) /* a convolution gives codes in any case */
            stay_float(node, "no integer product behind it");
    }
}

/* ---- values ---- */

static size_t group_of(es_regions *r, size_t value)
{
    while (r->values[value].group != value)
        value = r->values[value].group = r->values[r->values[value].group].group;
    return value;
}

static void join(es_regions *r, size_t a, size_t b)
{
    size_t x = group_of(r, a);
    size_t y = group_of(r, b);
    es_region_value *kept = &r->values[x < y ? x : y];
    const es_region_value *gone = &r->values[x < y ? y : x];
    kept->floor = fmax(kept->floor, gone->floor);
    kept->ceiling = fmin(kept->ceiling, gone->ceiling);
    r->values[x > y ? x : y].group = x < y ? x : y;
}

static void code(es_regions *r, size_t value)
{
    if (!r->values[value].coded)
        r->values[value].group = value;
    r->values[value].coded = true;
}

/* Outputs of a quantised node: codes, unless a product by a matrix ends there, which can give
 * floats by itself. */
static void code_outputs(es_regions *r, size_t node)
{
    const es_wiring *w = r->w;
    es_region_kind kind = r->nodes[node].kind;
    bool can_end = is_product(kind) && kind != ES_REGION_CONV;
    if (can_end && !has_leading_user(r, node))
        return;
    for (size_t k = 0; k < w->ops[node].output_count; k++) {
        size_t v = w->outputs[node][k];
        if (v == ES_NONE)
            continue;
        if (es_wiring_private(w, v) &&
            r->nodes[w->values[v].uses[0].node].kind == ES_REGION_CLAMP) {
            r->values[v].shown = w->outputs[w->values[v].uses[0].node][0];
            continue; /* the codes are those of what comes out of the clamp */
        }
        code(r, v);
    }
}

static void code_inputs(es_regions *r, size_t node)
{
    const es_wiring *w = r->w;
    for (size_t i = 0; i < w->ops[node].input_count; i++) {
        size_t v = w->inputs[node][i];
        if (!es_regions_takes_codes(r, node, i))
            continue;
        if (!r->values[v].coded)
            r->values[v].entry = true;
        code(r, v);
    }
}

static void share_moved(es_regions *r, size_t node)
{
    const es_wiring *w = r->w;
    size_t y = w->outputs[node][0];
    if (r->nodes[node].kind != ES_REGION_MOVE || y == ES_NONE)
        return;
    join(r, y, w->inputs[node][0]);
    for (size_t k = 1; k < w->ops[node].output_count; k++)
        if (w->outputs[node][k] != ES_NONE)
            join(r, y, w->outputs[node][k]);
}

/* Side by side in one scale, unless some could saturate where others must not: a Relu that needs no
 * operator, beside values below zero, would need one again. Then each keeps its scale. */
static void share_concat(es_regions *r, size_t node)
{
    const es_wiring *w = r->w;
    size_t y = w->outputs[node][0];
    size_t first = ES_NONE;
    if (r->nodes[node].kind != ES_REGION_CONCAT || y == ES_NONE)
        return;
    for (size_t i = 0; i < w->ops[node].input_count; i++) {
        if (!es_regions_takes_codes(r, node, i))
            return; /* a constant */
        size_t group = group_of(r, w->inputs[node][i]);
        if (first == ES_NONE)
            first = group;
        if (r->values[group].floor != r->values[first].floor ||
            r->values[group].ceiling != r->values[first].ceiling)
            return;
    }
    for (size_t i = 0; i < w->ops[node].input_count; i++)
        join(r, y, w->inputs[node][i]);
}

/* What a CLAMP forbids, its whole group is forbidden. */
static void settle_clamps(es_regions *r)
{
    for (size_t n = 0; n < r->w->node_count; n++) {
        es_region_node *node = &r->nodes[n];
        if (node->kind != ES_REGION_CLAMP)
            continue;
        (void)clamp_bounds(r->w, n, &node->floor, &node->ceiling); /* classify() looked */
        es_region_value *value = &r->values[r->w->outputs[n][0]];
        value->floor = node->floor;
        value->ceiling = node->ceiling;
    }
}

static void settle_values(es_regions *r)
{
    size_t count = r->w->value_count;
    for (size_t v = 0; v < count; v++)
        r->values[v] = (es_region_value){
            .group = ES_NONE, .shown = v, .floor = (double)-INFINITY, .ceiling = (double)INFINITY};
    for (size_t n = 0; n < r->w->node_count; n++) {
        if (r->nodes[n].kind == ES_REGION_FLOAT)
            continue;
        r->product_count += is_product(r->nodes[n].kind);
        code_inputs(r, n);
        code_outputs(r, n);
    }
    settle_clamps(r);
    for (size_t n = 0; n < r->w->node_count; n++)
        share_moved(r, n);
    for (size_t n = 0; n < r->w->node_count; n++)
        share_concat(r, n);
    for (size_t v = 0; v < count; v++) {
        if (!r->values[v].coded)
            continue;
        r->values[v].group = group_of(r, v);
        r->coded_count++;
    }
}

/* ---- what shall stay float ---- */

static bool is_named(const es_wiring *w, size_t node, const char *word, size_t size)
{
    const char *names[3] = {w->ops[node].name, w->ops[node].op,
                            w->ops[node].output_count > 0 ? w->ops[node].outputs[0] : ""};
    for (size_t i = 0; i < 3; i++)
        if (strlen(names[i]) == size && strncmp(names[i], word, size) == 0)
            return true;
    return false;
}

static es_status skip_named(es_regions *r, const char *skip, es_error *err)
{
    while (skip != NULL && skip[0] != '\0') {
        size_t size = strcspn(skip, "|");
        bool found = size == 0;
        for (size_t n = 0; n < r->w->node_count; n++) {
            if (!is_named(r->w, n, skip, size))
                continue;
            stay_float(&r->nodes[n], "skipped as asked");
            found = true;
        }
        if (!found)
            return es_fail(err, ES_ERR_ARG,
                           "skip '%.*s': no node has that name, operator or first output",
                           (int)size, skip);
        skip += size + (skip[size] == '|' ? 1 : 0);
    }
    return ES_OK;
}

es_status es_regions_find(const es_wiring *wiring, bool is_signed, const char *skip,
                          es_regions *out_regions, es_error *err)
{
    es_regions r = {.w = wiring, .is_signed = is_signed};
    r.nodes = ES_TAKE_ARRAY(wiring->arena, es_region_node, wiring->node_count);
    r.values = ES_TAKE_ARRAY(wiring->arena, es_region_value, wiring->value_count);
    if (r.nodes == NULL || r.values == NULL)
        return es_arena_full(wiring->arena, "regions", err);
    for (size_t n = 0; n < wiring->node_count; n++)
        ES_TRY(classify(&r, n, err));
    ES_TRY(skip_named(&r, skip, err));
    check_neighbours(&r);
    drop_loose_ends(&r); /* nothing that leads stands on one */
    settle_values(&r);
    *out_regions = r;
    return ES_OK;
}
