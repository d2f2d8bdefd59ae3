#include "model/model.h"

#include "model/internal.h"

enum { OPSETS_MAX = 256 };

static es_status check_header(const Onnx__ModelProto *proto, es_error *err)
{
    if (proto->graph == NULL)
        return es_fail(err, ES_ERR_PARSE, "has no graph: not an ONNX model, or cut off");
    if (!proto->has_ir_version || proto->ir_version < 1)
        return es_fail(err, ES_ERR_PARSE, "ir_version is %lld, must be >= 1",
                       proto->has_ir_version ? (long long)proto->ir_version : 0LL);
    if (proto->n_opset_import == 0 && proto->ir_version >= 3)
        return es_fail(err, ES_ERR_PARSE, "opset_import is missing (needed since ir_version 3)");
    if (proto->n_opset_import > OPSETS_MAX)
        return es_fail(err, ES_ERR_LIMIT, "%zu opset imports, at most %d are supported",
                       proto->n_opset_import, OPSETS_MAX);
    for (size_t i = 0; i < proto->n_opset_import; i++) {
        const char *domain = es_domain(proto->opset_import[i]->domain);
        if (proto->opset_import[i]->version < 1)
            return es_fail(err, ES_ERR_PARSE, "opset version of %s is %lld, must be >= 1", domain,
                           (long long)proto->opset_import[i]->version);
        for (size_t k = 0; k < i; k++) {
            const Onnx__OperatorSetIdProto *other = proto->opset_import[k];
            if (strcmp(es_domain(other->domain), domain) == 0 &&
                other->version != proto->opset_import[i]->version)
                return es_fail(err, ES_ERR_PARSE, "opset of %s is imported as %lld and as %lld",
                               domain, (long long)other->version,
                               (long long)proto->opset_import[i]->version);
        }
    }
    return ES_OK;
}

/* Inputs and outputs as declared, for the face. */
static es_status tell_declared(es_arena *arena, es_model *model, es_error *err)
{
    const es_graph *graph = model->graph;
    es_symbols symbols = {0};
    es_model_analyse_opts opts = {.free_dim = 0};
    es_infer infer = {.arena = arena, .model = model, .symbols = &symbols, .opts = &opts};
    model->inputs = ES_TAKE_ARRAY(arena, es_model_tensor, graph->input_count);
    model->outputs = ES_TAKE_ARRAY(arena, es_model_tensor, graph->output_count);
    if (model->inputs == NULL || model->outputs == NULL)
        return es_arena_full(arena, "inputs and outputs", err);
    for (size_t i = 0; i < graph->input_count + graph->output_count; i++) {
        bool in = i < graph->input_count;
        size_t at = in ? i : i - graph->input_count;
        const es_value *value = &graph->values.items[in ? graph->inputs[at] : graph->outputs[at]];
        const Onnx__ValueInfoProto *info = in ? value->declared : graph->proto->output[at];
        es_fact fact = {0};
        es_status status = es_fact_declared(&infer, info->type, true, &fact, err);
        if (status == ES_OK && in && info->type == NULL)
            status = es_fail(err, ES_ERR_PARSE, "has no type");
        ES_TRY(es_within(err, status, "graph %s '%s'", in ? "input" : "output", value->name));
        ES_TRY(es_fact_tell(arena, &symbols, value->name, &fact,
                            in ? &model->inputs[at] : &model->outputs[at], err));
    }
    return ES_OK;
}

/* Declared types of inner values must make sense too. */
static es_status check_value_info(es_arena *arena, es_model *model, es_error *err)
{
    es_symbols symbols = {0};
    es_model_analyse_opts opts = {.free_dim = 0};
    es_infer infer = {.arena = arena, .model = model, .symbols = &symbols, .opts = &opts};
    const Onnx__GraphProto *proto = model->graph->proto;
    for (size_t i = 0; i < proto->n_value_info; i++) {
        es_fact fact = {0};
        const char *name = proto->value_info[i]->name;
        ES_TRY(es_within(err,
                         es_fact_declared(&infer, proto->value_info[i]->type, false, &fact, err),
                         "value_info '%s'", name != NULL ? name : ""));
    }
    return ES_OK;
}

es_status es_model_of(es_arena *arena, const char *name, Onnx__ModelProto *proto,
                      const es_model **out_model, es_error *err)
{
    ES_TRY(check_header(proto, err));
    es_model *model = ES_TAKE_ONE(arena, es_model);
    if (model == NULL)
        return es_arena_full(arena, "model", err);
    model->name = es_arena_text(arena, name);
    if (model->name == NULL)
        return es_arena_full(arena, "model", err);
    model->proto = proto;
    ES_TRY(es_graph_make(arena, proto->graph, NULL, &model->node_total, &model->graph, err));
    for (size_t i = 0; i < proto->n_functions; i++) {
        const char *function = proto->functions[i]->name;
        if (function != NULL && es_names_find(&model->functions, function) == ES_NO_VALUE)
            ES_TRY(es_names_add(arena, &model->functions, function, (uint32_t)i, err));
    }
    ES_TRY(tell_declared(arena, model, err));
    ES_TRY(check_value_info(arena, model, err));
    *out_model = model;
    return ES_OK;
}

/* ---- getters ---- */

const char *es_model_name(const es_model *model)
{
    return model->name;
}

const char *es_model_graph(const es_model *model)
{
    const char *name = model->graph->proto->name;
    return name != NULL ? name : "";
}

int64_t es_model_ir_version(const es_model *model)
{
    return model->proto->ir_version;
}

size_t es_model_opset_count(const es_model *model)
{
    return model->proto->n_opset_import;
}

es_model_opset es_model_opset_at(const es_model *model, size_t index)
{
    const Onnx__OperatorSetIdProto *import = model->proto->opset_import[index];
    return (es_model_opset){.domain = es_domain(import->domain), .version = import->version};
}

int64_t es_model_opset_of(const es_model *model, const char *domain)
{
    const char *wanted = es_domain(domain);
    for (size_t i = 0; i < model->proto->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *import = model->proto->opset_import[i];
        if (strcmp(es_domain(import->domain), wanted) == 0)
            return import->version;
    }
    return model->proto->n_opset_import == 0 && strcmp(wanted, "ai.onnx") == 0 ? 1 : 0;
}

size_t es_model_node_count(const es_model *model)
{
    return model->graph->node_count;
}

size_t es_model_input_count(const es_model *model)
{
    return model->graph->input_count;
}

const es_model_tensor *es_model_input(const es_model *model, size_t index)
{
    return &model->inputs[index];
}

size_t es_model_output_count(const es_model *model)
{
    return model->graph->output_count;
}

const es_model_tensor *es_model_output(const es_model *model, size_t index)
{
    return &model->outputs[index];
}

size_t es_model_stem_size(const char *path)
{
    static const char ending[] = ".onnx";
    const size_t more = sizeof ending - 1;
    size_t size = strlen(path);
    return size > more && strcmp(path + size - more, ending) == 0 ? size - more : size;
}

const char *es_model_file_name(es_arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    return es_arena_text_n(arena, name, es_model_stem_size(name));
}
