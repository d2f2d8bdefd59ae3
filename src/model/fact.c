/*
 * Facts: what is known of a value. From declared types, from tensors; compared, told.
 */
#include "model/internal.h"

/* ---- dimensions ---- */

bool es_dim_same(es_dim a, es_dim b)
{
    if (a.symbol == 0 && b.symbol == 0)
        return a.v == b.v;
    return a.symbol > 0 && a.symbol == b.symbol;
}

es_dims es_dims_unknown(int32_t rank)
{
    es_dims dims = {.rank = rank};
    for (int32_t i = 0; i < rank && i < ES_RANK_MAX; i++)
        dims.d[i] = es_dim_unknown();
    return dims;
}

es_dim es_dim_mul(es_dim a, es_dim b)
{
    int64_t v = 0;
    if (es_dim_known(a) && a.v == 1)
        return b;
    if (es_dim_known(b) && b.v == 1)
        return a;
    if (!es_dim_known(a) || !es_dim_known(b) || !es_int64_mul(a.v, b.v, &v))
        return es_dim_unknown();
    return es_dim_of(v);
}

bool es_dims_product(const es_dims *dims, int32_t from, int32_t to, int64_t *out)
{
    int64_t product = 1;
    if (dims->rank < 0)
        return false;
    for (int32_t i = from; i < to; i++) {
        if (!es_dim_known(dims->d[i]) || !es_int64_mul(product, dims->d[i].v, &product))
            return false;
    }
    *out = product;
    return true;
}

int64_t es_fact_elements(const es_fact *fact)
{
    int64_t elements = 1;
    if (fact->kind != ES_MODEL_KIND_TENSOR || fact->rank < 0)
        return -1;
    for (int32_t i = 0; i < fact->rank; i++) {
        if (!es_dim_known(fact->dims[i]) || !es_int64_mul(elements, fact->dims[i].v, &elements))
            return -1;
    }
    return elements;
}

int64_t es_fact_bytes(const es_fact *fact)
{
    int64_t bytes = 0;
    return es_type_bytes(fact->type, es_fact_elements(fact), &bytes) ? bytes : -1;
}

/* ---- from the file ---- */

static es_status symbol_of(es_infer *infer, const char *name, int32_t *out, es_error *err)
{
    es_symbols *symbols = infer->symbols;
    bool named = name != NULL && name[0] != '\0';
    if (named) {
        uint32_t found = es_names_find(&symbols->index, name);
        if (found != ES_NO_VALUE) {
            *out = (int32_t)found;
            return ES_OK;
        }
    }
    ES_TRY(
        ES_ARRAY_PUSH(infer->arena, &symbols->names, named ? name : NULL, "free dimensions", err));
    *out = (int32_t)symbols->names.count;
    if (named)
        ES_TRY(es_names_add(infer->arena, &symbols->index, name, (uint32_t)*out, err));
    return ES_OK;
}

/* A free dimension of an input: bound to a value, or a symbol. */
static es_status free_dim(es_infer *infer, const char *name, es_dim *out, es_error *err)
{
    const es_model_analyse_opts *opts = infer->opts;
    int64_t value = opts->free_dim;
    bool by_name = false;
    for (size_t i = 0; i < opts->binding_count && !by_name; i++) {
        const es_model_binding *binding = &opts->bindings[i];
        by_name = binding->name != NULL && name != NULL && strcmp(binding->name, name) == 0;
        if (by_name || binding->name == NULL)
            value = binding->value;
    }
    if (value > 0) {
        *out = es_dim_of(value);
        return ES_OK;
    }
    out->v = -1;
    return symbol_of(infer, name, &out->symbol, err);
}

static es_status declared_dim(es_infer *infer, const Onnx__TensorShapeProto__Dimension *dim,
                              size_t index, bool free_dims, es_dim *out, es_error *err)
{
    const char *name = NULL;
    if (dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE) {
        if (dim->dim_value < -1)
            return es_fail(err, ES_ERR_PARSE, "dimension %zu is %lld, must be >= 0", index,
                           (long long)dim->dim_value);
        if (dim->dim_value >= 0) {
            *out = es_dim_of(dim->dim_value);
            return ES_OK;
        }
    } else if (dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM) {
        name = dim->dim_param;
    }
    *out = es_dim_unknown();
    return free_dims ? free_dim(infer, name, out, err) : ES_OK;
}

static es_status declared_tensor(es_infer *infer, const Onnx__TypeProto__Tensor *tensor,
                                 bool free_dims, es_fact *out, es_error *err)
{
    *out =
        (es_fact){.kind = ES_MODEL_KIND_TENSOR, .type = tensor->elem_type, .rank = -1, .set = true};
    if (tensor->elem_type != 0 &&
        strcmp(es_model_type_name((es_model_type)tensor->elem_type), "UNDEFINED") == 0)
        return es_fail(err, ES_ERR_UNSUPPORTED, "element type %d is not known",
                       (int)tensor->elem_type);
    if (tensor->shape == NULL)
        return ES_OK;
    size_t rank = tensor->shape->n_dim;
    if (rank > ES_RANK_MAX)
        return es_fail(err, ES_ERR_LIMIT, "%zu dimensions, at most %d are supported", rank,
                       ES_RANK_MAX);
    es_dim *dims = ES_TAKE_ARRAY(infer->arena, es_dim, rank);
    if (dims == NULL)
        return es_arena_full(infer->arena, "shape", err);
    int64_t elements = 1;
    for (size_t i = 0; i < rank; i++) {
        ES_TRY(declared_dim(infer, tensor->shape->dim[i], i, free_dims, &dims[i], err));
        int64_t factor = es_dim_known(dims[i]) && dims[i].v > 0 ? dims[i].v : 1;
        if (!es_int64_mul(elements, factor, &elements) || elements > INT64_MAX / 16)
            return es_fail(err, ES_ERR_LIMIT, "more elements than 60 bits can count");
    }
    out->rank = (int32_t)rank;
    out->dims = dims;
    return ES_OK;
}

es_status es_fact_declared(es_infer *infer, const Onnx__TypeProto *type, bool free_dims,
                           es_fact *out, es_error *err)
{
    *out = (es_fact){.kind = ES_MODEL_KIND_UNKNOWN, .rank = -1};
    if (type == NULL)
        return ES_OK;
    switch ((int)type->value_case) {
    case ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE:
        return declared_tensor(infer, type->tensor_type, free_dims, out, err);
    case ONNX__TYPE_PROTO__VALUE_SPARSE_TENSOR_TYPE:
        *out = (es_fact){.kind = ES_MODEL_KIND_SPARSE,
                         .type = type->sparse_tensor_type->elem_type,
                         .rank = -1,
                         .set = true};
        return ES_OK;
    case ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE:
    case ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE: {
        bool sequence = type->value_case == ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE;
        es_fact element = {0}; /* nesting is bounded by ES_WIRE_DEPTH_MAX */
        ES_TRY(es_fact_declared(
            infer, sequence ? type->sequence_type->elem_type : type->optional_type->elem_type,
            false, &element, err));
        *out = (es_fact){.kind = sequence ? ES_MODEL_KIND_SEQUENCE : ES_MODEL_KIND_OPTIONAL,
                         .type = element.type,
                         .rank = -1,
                         .set = true};
        return ES_OK;
    }
    case ONNX__TYPE_PROTO__VALUE_MAP_TYPE:
        *out = (es_fact){.kind = ES_MODEL_KIND_MAP, .rank = -1, .set = true};
        return ES_OK;
    default:
        return ES_OK;
    }
}

es_status es_fact_tensor(es_infer *infer, const Onnx__TensorProto *tensor, es_fact *out,
                         es_error *err)
{
    es_dim *dims = ES_TAKE_ARRAY(infer->arena, es_dim, tensor->n_dims);
    if (dims == NULL)
        return es_arena_full(infer->arena, "shape", err);
    for (size_t i = 0; i < tensor->n_dims; i++)
        dims[i] = es_dim_of(tensor->dims[i]);
    *out = (es_fact){.kind = ES_MODEL_KIND_TENSOR,
                     .type = tensor->data_type,
                     .rank = (int32_t)tensor->n_dims,
                     .dims = dims,
                     .tensor = tensor,
                     .set = true};
    return ES_OK;
}

/* ---- to the caller ---- */

es_status es_fact_tell(es_arena *arena, const es_symbols *symbols, const char *name,
                       const es_fact *fact, es_model_tensor *out, es_error *err)
{
    *out = (es_model_tensor){.name = name,
                             .kind = fact->kind,
                             .type = (es_model_type)fact->type,
                             .rank = fact->rank,
                             .elements = es_fact_elements(fact),
                             .bytes = es_fact_bytes(fact)};
    if (fact->rank < 0)
        return ES_OK;
    size_t rank = (size_t)fact->rank;
    int64_t *dims = ES_TAKE_ARRAY(arena, int64_t, rank);
    const char **words = ES_TAKE_ARRAY(arena, const char *, rank);
    if (dims == NULL || words == NULL)
        return es_arena_full(arena, "shape", err);
    for (size_t i = 0; i < rank; i++) {
        es_dim dim = fact->dims[i];
        dims[i] = es_dim_known(dim) ? dim.v : -1;
        if (dim.symbol > 0 && (size_t)dim.symbol <= symbols->names.count)
            words[i] = symbols->names.items[dim.symbol - 1];
    }
    out->dims = dims;
    out->symbols = words;
    return ES_OK;
}

es_status es_fact_meet(es_arena *arena, es_fact *into, const es_fact *other, es_error *err)
{
    into->data = NULL;
    into->tensor = NULL;
    if (into->kind != other->kind) {
        *into = (es_fact){.kind = ES_MODEL_KIND_UNKNOWN, .rank = -1, .set = true};
        return ES_OK;
    }
    if (into->type != other->type)
        into->type = ES_MODEL_UNDEFINED;
    if (into->rank != other->rank) {
        into->rank = -1;
        into->dims = NULL;
    }
    if (into->rank <= 0)
        return ES_OK;
    es_dim *dims = ES_TAKE_ARRAY(arena, es_dim, (size_t)into->rank);
    if (dims == NULL)
        return es_arena_full(arena, "shape", err);
    for (int32_t i = 0; i < into->rank; i++)
        dims[i] = es_dim_same(into->dims[i], other->dims[i]) ? into->dims[i] : es_dim_unknown();
    into->dims = dims;
    return ES_OK;
}
