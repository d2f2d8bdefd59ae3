/*
 * Operators of older opsets in the form of opset 13: mostly attributes that became inputs. One row
 * per operator whose form or meaning changed between 7 and 13.
 */
#include "model/internal.h"

#include <math.h>

typedef struct upgrade {
    es_arena *arena;
    const es_model *model;
    es_model_build *build;
    es_infer *infer; /* shapes, for what depends on the rank */
    size_t node;
    int64_t version; /* of the default domain, before */
} upgrade;

typedef struct rule {
    const char *op;
    int64_t since; /* the opset that changed it */
    es_status (*apply)(upgrade *u, es_error *err);
} rule;

/* ---- helpers ---- */

static const char *add_ints(upgrade *u, const char *stem, const int64_t *values, size_t count,
                            bool scalar)
{
    const char *name = es_model_build_fresh(u->build, stem);
    int64_t dims[1] = {(int64_t)count};
    es_model_build_weight(u->build, name, ES_MODEL_INT64, scalar ? 0 : 1, dims, values,
                          count * sizeof *values);
    return name;
}

static const char *add_float(upgrade *u, const char *stem, float value)
{
    const char *name = es_model_build_fresh(u->build, stem);
    es_model_build_weight(u->build, name, ES_MODEL_FLOAT, 0, NULL, &value, sizeof value);
    return name;
}

static void drop_attr(upgrade *u, const char *name)
{
    const Onnx__NodeProto *proto = u->model->graph->nodes[u->node].proto;
    for (size_t i = 0; i < proto->n_attribute; i++) {
        if (strcmp(es_text_of(proto->attribute[i]->name), name) == 0) {
            es_model_build_choose(u->build, u->node);
            es_model_build_drop_attr(u->build, name);
            return;
        }
    }
}

static void set_input(upgrade *u, size_t index, const char *value)
{
    es_model_op op = es_model_op_at(u->model, u->node);
    for (size_t i = op.input_count; i < index; i++) /* optional ones between are not given */
        es_model_build_set_input(u->build, u->node, i, "");
    es_model_build_set_input(u->build, u->node, index, value);
}

/* The ints attribute becomes input number index; nothing when it is missing. */
static void ints_to_input(upgrade *u, const char *attr, size_t index)
{
    size_t count = 0;
    const int64_t *values = es_model_attr_ints(u->model, u->node, attr, &count);
    if (values == NULL)
        return;
    set_input(u, index, add_ints(u, attr, values, count, false));
    drop_attr(u, attr);
}

static const es_fact *fact_of(const upgrade *u, const char *value)
{
    uint32_t number = es_names_find(&u->model->graph->names, value);
    return number != ES_NO_VALUE ? &u->infer->facts[number] : NULL;
}

static es_status need_float(const upgrade *u, es_error *err)
{
    es_model_op op = es_model_op_at(u->model, u->node);
    const es_fact *fact = op.input_count > 0 ? fact_of(u, op.inputs[0]) : NULL;
    if (fact == NULL || fact->type != ES_MODEL_FLOAT)
        return es_fail(err, ES_ERR_UNSUPPORTED, "can be upgraded for FLOAT only, it works on %s",
                       fact != NULL ? es_model_type_name((es_model_type)fact->type) : "nothing");
    return ES_OK;
}

/* ---- rules ---- */

static es_status axes(upgrade *u, es_error *err)
{
    (void)err;
    ints_to_input(u, "axes", 1);
    return ES_OK;
}

static es_status split(upgrade *u, es_error *err)
{
    (void)err;
    ints_to_input(u, "split", 1);
    return ES_OK;
}

static es_status clip(upgrade *u, es_error *err)
{
    float low = es_model_attr_float(u->model, u->node, "min", -INFINITY);
    float high = es_model_attr_float(u->model, u->node, "max", INFINITY);
    ES_TRY(need_float(u, err));
    if (isfinite(low))
        set_input(u, 1, add_float(u, "clip_min", low));
    if (isfinite(high)) {
        if (!isfinite(low))
            es_model_build_set_input(u->build, u->node, 1, "");
        es_model_build_set_input(u->build, u->node, 2, add_float(u, "clip_max", high));
    }
    drop_attr(u, "min");
    drop_attr(u, "max");
    return ES_OK;
}

static es_status pad(upgrade *u, es_error *err)
{
    float value = es_model_attr_float(u->model, u->node, "value", 0.0f);
    ES_TRY(need_float(u, err));
    ints_to_input(u, "pads", 1);
    es_model_build_set_input(u->build, u->node, 2, add_float(u, "pad_value", value));
    drop_attr(u, "value");
    return ES_OK;
}

static es_status slice(upgrade *u, es_error *err)
{
    (void)err;
    ints_to_input(u, "starts", 1);
    es_model_op op = es_model_op_at(u->model, u->node);
    size_t count = 0;
    const int64_t *ends = es_model_attr_ints(u->model, u->node, "ends", &count);
    es_model_build_set_input(u->build, u->node, op.input_count + 1,
                             add_ints(u, "ends", ends, count, false));
    drop_attr(u, "ends");
    const int64_t *axis = es_model_attr_ints(u->model, u->node, "axes", &count);
    if (axis != NULL) {
        es_model_build_set_input(u->build, u->node, op.input_count + 2,
                                 add_ints(u, "axes", axis, count, false));
        drop_attr(u, "axes");
    }
    return ES_OK;
}

static es_status top_k(upgrade *u, es_error *err)
{
    (void)err;
    int64_t k = es_model_attr_int(u->model, u->node, "k", 0);
    set_input(u, 1, add_ints(u, "k", &k, 1, false));
    drop_attr(u, "k");
    return ES_OK;
}

/* What these did before had no name for how it maps coordinates: asymmetric, rounding down. */
static void resize_as_before(upgrade *u)
{
    es_model_build_choose(u->build, u->node);
    es_model_build_text(u->build, "coordinate_transformation_mode", "asymmetric");
    es_model_build_text(u->build, "nearest_mode", "floor");
}

static es_status upsample(upgrade *u, es_error *err)
{
    (void)err;
    size_t count = 0;
    const float *scales = es_model_attr_floats(u->model, u->node, "scales", &count);
    es_model_op op = es_model_op_at(u->model, u->node);
    const char *name = op.input_count > 1 ? op.inputs[1] : es_model_build_fresh(u->build, "scales");
    if (scales != NULL) {
        es_model_build_weight(u->build, name, ES_MODEL_FLOAT, 1, (const int64_t[]){(int64_t)count},
                              scales, count * sizeof *scales);
        drop_attr(u, "scales");
    }
    es_model_build_op(u->build, u->node, "Resize");
    es_model_build_set_input(u->build, u->node, 1, "");
    es_model_build_set_input(u->build, u->node, 2, name);
    resize_as_before(u);
    return ES_OK;
}

static es_status resize(upgrade *u, es_error *err)
{
    es_model_op op = es_model_op_at(u->model, u->node);
    if (op.input_count != 2)
        return es_fail(err, ES_ERR_PARSE, "has %zu inputs, must have 2", op.input_count);
    es_model_build_set_input(u->build, u->node, 1, "");
    es_model_build_set_input(u->build, u->node, 2, op.inputs[1]);
    resize_as_before(u);
    return ES_OK;
}

static es_status dropout(upgrade *u, es_error *err)
{
    (void)err;
    drop_attr(u, "ratio"); /* does nothing when not training */
    return ES_OK;
}

static es_status batch_norm(upgrade *u, es_error *err)
{
    if (es_model_attr_int(u->model, u->node, "spatial", 1) != 1)
        return es_fail(err, ES_ERR_UNSUPPORTED, "with spatial=0 has no form in opset 13");
    drop_attr(u, "spatial");
    return ES_OK;
}

static es_status scatter(upgrade *u, es_error *err)
{
    (void)err;
    es_model_build_op(u->build, u->node, "ScatterElements");
    return ES_OK;
}

static es_status scan(upgrade *u, es_error *err)
{
    (void)u;
    return es_fail(err, ES_ERR_UNSUPPORTED, "of opset 8 has no form in opset 13");
}

/* x -> Flatten(axis) -> op over the last axis -> Reshape to x's shape */
static void soften_flat(upgrade *u, int64_t axis)
{
    es_model_op op = es_model_op_at(u->model, u->node);
    const char *shape = es_model_build_fresh(u->build, "shape");
    const char *flat = es_model_build_fresh(u->build, "flat");
    const char *soft = es_model_build_fresh(u->build, "soft");
    es_model_build_node(u->build, "Shape", NULL, "", (const char *[]){op.inputs[0], NULL},
                        (const char *[]){shape, NULL});
    es_model_build_node(u->build, "Flatten", NULL, "", (const char *[]){op.inputs[0], NULL},
                        (const char *[]){flat, NULL});
    es_model_build_int(u->build, "axis", axis);
    es_model_build_set_input(u->build, u->node, 0, flat);
    es_model_build_set_output(u->build, u->node, 0, soft);
    es_model_build_choose(u->build, u->node);
    es_model_build_int(u->build, "axis", -1);
    es_model_build_node(u->build, "Reshape", NULL, "", (const char *[]){soft, shape, NULL},
                        (const char *[]){op.outputs[0], NULL});
}

/* Softmax and its like ran over all axes from `axis` on (default 1), and run over one since. */
static es_status softmax(upgrade *u, es_error *err)
{
    (void)err;
    es_model_op op = es_model_op_at(u->model, u->node);
    int64_t axis = es_model_attr_int(u->model, u->node, "axis", 1);
    const es_fact *fact = fact_of(u, op.inputs[0]);
    int64_t rank = fact != NULL ? fact->rank : -1;
    bool same = rank > 0;
    int64_t first = axis < 0 ? axis + rank : axis;
    for (int64_t i = first + 1; same && i < rank; i++)
        same = es_dim_known(fact->dims[i]) && fact->dims[i].v == 1;
    if (!same) {
        soften_flat(u, axis);
        return ES_OK;
    }
    es_model_build_choose(u->build, u->node);
    es_model_build_int(u->build, "axis", axis);
    return ES_OK;
}

static const rule rules[] = {
    {"BatchNormalization", 9, batch_norm},
    {"Scan", 9, scan},
    {"Slice", 10, slice},
    {"TopK", 10, top_k},
    {"Upsample", 10, upsample},
    {"Clip", 11, clip},
    {"Pad", 11, pad},
    {"Resize", 11, resize},
    {"Scatter", 11, scatter},
    {"Dropout", 12, dropout},
    {"Hardmax", 13, softmax},
    {"LogSoftmax", 13, softmax},
    {"ReduceSum", 13, axes},
    {"Softmax", 13, softmax},
    {"Split", 13, split},
    {"Squeeze", 13, axes},
    {"Unsqueeze", 13, axes},
};

static const rule *rule_of(const Onnx__NodeProto *node, int64_t version)
{
    if (strcmp(es_domain(node->domain), "ai.onnx") != 0)
        return NULL;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (version < rules[i].since && strcmp(rules[i].op, es_text_of(node->op_type)) == 0)
            return &rules[i];
    }
    return NULL;
}

/* Subgraphs are not rewritten: they must not need it. Recursion is bounded by ES_WIRE_DEPTH_MAX. */
static es_status check_subgraph(const es_graph *graph, int64_t version, es_error *err)
{
    for (size_t i = 0; i < graph->node_count; i++) {
        const es_gnode *node = &graph->nodes[i];
        if (rule_of(node->proto, version) != NULL)
            return es_fail(err, ES_ERR_UNSUPPORTED, "%s in a subgraph changed since opset %lld",
                           node->proto->op_type, (long long)version);
        for (uint32_t g = 0; g < node->subgraph_count; g++)
            ES_TRY(check_subgraph(node->subgraphs[g], version, err));
    }
    return ES_OK;
}

static es_status upgrade_node(upgrade *u, es_error *err)
{
    const es_gnode *node = &u->model->graph->nodes[u->node];
    const rule *found = rule_of(node->proto, u->version);
    for (uint32_t g = 0; g < node->subgraph_count; g++)
        ES_TRY(check_subgraph(node->subgraphs[g], u->version, err));
    if (found == NULL)
        return ES_OK;
    if (node->proto->n_input == 0 || node->proto->n_output == 0)
        return es_fail(err, ES_ERR_PARSE, "has no input or no output");
    return found->apply(u, err);
}

static es_status run(es_arena *arena, const es_model *model, const es_model **out_model,
                     es_error *err)
{
    upgrade u = {.arena = arena, .model = model, .version = es_model_opset_of(model, "")};
    if (u.version >= ES_MODEL_OPSET_UPGRADED) {
        *out_model = model;
        return ES_OK;
    }
    if (u.version < ES_MODEL_OPSET_OLDEST)
        return es_fail(err, ES_ERR_UNSUPPORTED, "opset %lld: upgrading needs at least %d",
                       (long long)u.version, ES_MODEL_OPSET_OLDEST);
    es_model_analyse_opts opts = {.free_dim = 0, .unknown_allowed = true};
    ES_TRY(es_infer_model(arena, model, &opts, false, &u.infer, err));
    u.build = es_model_build_from(arena, model);
    if (u.build == NULL)
        return es_arena_full(arena, "model", err);
    for (u.node = 0; u.node < model->graph->node_count; u.node++) {
        const Onnx__NodeProto *proto = model->graph->nodes[u.node].proto;
        es_status status = upgrade_node(&u, err);
        if (status != ES_OK)
            return es_within(err, status, "node %zu '%s' (%s)", u.node, es_text_of(proto->name),
                             es_text_of(proto->op_type));
    }
    es_model_build_domain(u.build, "", ES_MODEL_OPSET_UPGRADED);
    return es_model_build_finish(u.build, out_model, err);
}

es_status es_model_upgrade(es_arena *arena, const es_model *model, const es_model **out_model,
                           es_error *err)
{
    return es_within(err, run(arena, model, out_model, err), "model '%s'", model->name);
}
