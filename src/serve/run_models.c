/* What the nodes say of their models, held against the stages that are to run there; and with it
 * the headers of requests. */
#include "base/document.h"
#include "base/percent.h"
#include "oip/oip.h"
#include "run_internal.h"

#include <string.h>

/* ---- what a node says ---- */

static es_status ask(es_run *run, es_http_client *client, es_http_method method, const char *path,
                     es_http_reply *reply, es_error *err)
{
    const char *body = method == ES_HTTP_POST ? "{}" : NULL;
    const es_http_call call = {
        .method = method, .path = path, .body = body, .body_bytes = body != NULL ? 2 : 0};
    return es_http_client_call(client, run->scratch, &call, run->opts.stop, reply, err);
}

static es_status read_ports(es_run *run, const es_doc *root, const char *key, es_port **out_ports,
                            size_t *out_count, es_error *err)
{
    const es_doc *list = NULL;
    ES_TRY(es_doc_need_list(root, key, &list, err));
    size_t count = list->as.list.count;
    es_port *ports = ES_TAKE_ARRAY(run->arena, es_port, count);
    if (ports == NULL)
        return es_arena_full(run->arena, "ports of models", err);
    for (size_t i = 0; i < count; i++) {
        ES_TRY(es_oip_read_port(list->as.list.items[i], &ports[i], err));
        ports[i].name = es_arena_text(run->arena, ports[i].name);
        if (ports[i].name == NULL)
            return es_arena_full(run->arena, "ports of models", err);
    }
    *out_ports = ports;
    *out_count = count;
    return ES_OK;
}

/* Why a model is not ready. */
static es_status tell_reason(es_run *run, es_http_client *client, const char *name, es_error *err)
{
    es_http_reply reply;
    const es_doc *root = NULL;
    ES_TRY(ask(run, client, ES_HTTP_POST, "/v2/repository/index", &reply, err));
    ES_TRY(es_doc_parse_json(run->scratch, "index", reply.body, reply.body_bytes, &root, err));
    for (size_t i = 0; root->type == ES_DOC_LIST && i < root->as.list.count; i++) {
        const char *model = NULL;
        const char *reason = NULL;
        ES_TRY(es_doc_need_text(root->as.list.items[i], "name", &model, err));
        ES_TRY(es_doc_get_text(root->as.list.items[i], "reason", &reason, err));
        if (strcmp(model, name) == 0 && reason != NULL)
            return es_fail(err, ES_ERR_UNAVAILABLE, "%s", reason);
    }
    return es_fail(err, ES_ERR_UNAVAILABLE, "the node did not load it");
}

static es_status learn_model(es_run *run, es_http_client *client, es_run_model *model,
                             es_error *err)
{
    const char *name = run->scenario->segments[model->segment].name;
    es_http_reply reply;
    const es_doc *root = NULL;
    es_text path;
    es_text_init(&path, ES_SERVE_HEADER_BYTES_MAX);
    es_text_append(&path, "/v2/models/");
    es_percent_encode(&path, name);
    es_status status = es_text_status(&path, err);
    if (status == ES_OK)
        status = ask(run, client, ES_HTTP_GET, es_text_get(&path), &reply, err);
    es_text_done(&path);
    ES_TRY(status);
    if (reply.status != 200)
        return tell_reason(run, client, name, err);
    ES_TRY(es_doc_parse_json(run->scratch, "metadata", reply.body, reply.body_bytes, &root, err));
    ES_TRY(read_ports(run, root, "inputs", &model->inputs, &model->input_count, err));
    return read_ports(run, root, "outputs", &model->outputs, &model->output_count, err);
}

static es_status learn_node(es_run *run, uint32_t v, es_error *err)
{
    es_run_node *node = &run->nodes[v];
    es_http_peer_opts to = es_http_peer_opts_default();
    to.url = node->url;
    to.token = run->own_token;
    ES_CLEANUP(es_http_client_free_p) es_http_client *client = NULL;
    ES_TRY(es_http_client_new(to, &client, err));
    for (uint32_t i = 0; i < node->model_count; i++) {
        es_arena_reset(run->scratch);
        ES_TRY(es_within(err, learn_model(run, client, &node->models[i], err), "segment '%s'",
                         run->scenario->segments[node->models[i].segment].name));
    }
    return ES_OK;
}

/* ---- what a stage wants ---- */

const es_run_model *es_run_model_of(const es_run *run, const es_run_stage *stage)
{
    const es_run_node *node = &run->nodes[stage->node];
    for (uint32_t i = 0; i < node->model_count; i++)
        if (node->models[i].segment == stage->segment)
            return &node->models[i];
    return NULL;
}

static size_t port_bytes(const es_port *port)
{
    return es_port_tensor(port, 1).size_bytes;
}

static const char *shape_text(const es_port *port, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "%s[", es_dtype_name(port->dtype));
    for (size_t i = 0; i < port->rank && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, i == 0 ? "%lld" : ",%lld",
                                 (long long)port->dims[i]);
    if (used < size)
        (void)snprintf(out + used, size - used, "]"); /* only for people */
    return out;
}

static es_status check_input(const es_run_model *model, const es_run_stage *stage, es_error *err)
{
    char shape[128];
    if (model->input_count != 1)
        return es_fail(err, ES_ERR_UNSUPPORTED,
                       "model '%s' has %zu inputs; a segment that runs has exactly 1", model->file,
                       model->input_count);
    const es_port *port = &model->inputs[0];
    if (es_dtype_size(port->dtype) == 0)
        return es_fail(err, ES_ERR_UNSUPPORTED, "input '%s' is no tensor of numbers", port->name);
    if (port_bytes(port) == stage->input_bytes)
        return ES_OK;
    return es_fail(err, ES_ERR_ARG,
                   "model '%s' takes %zu bytes (input '%s', %s), but the scenario's input_bytes "
                   "for it are %u",
                   model->file, port_bytes(port), port->name, shape_text(port, shape, sizeof shape),
                   stage->input_bytes);
}

static es_status check_answer(const es_run_model *model, const es_run_stage *stage, es_error *err)
{
    if (stage->exit_output >= model->output_count)
        return es_fail(err, ES_ERR_ARG, "exit_output=%u, but model '%s' has %zu outputs",
                       stage->exit_output, model->file, model->output_count);
    const es_port *answer = &model->outputs[stage->exit_output];
    if (es_dtype_size(answer->dtype) == 0)
        return es_fail(err, ES_ERR_UNSUPPORTED, "output '%s' is no tensor of numbers",
                       answer->name);
    if (stage->exit_threshold <= 1 && answer->dtype != ES_DTYPE_F32)
        return es_fail(err, ES_ERR_UNSUPPORTED,
                       "exit_threshold needs an answer of type f32, but output %u of model '%s' "
                       "is %s",
                       stage->exit_output, model->file, es_dtype_name(answer->dtype));
    return ES_OK;
}

/* Which output goes into the next stage of a split: the one of the size that is shipped, rather
 * not the answer of an exit. */
static es_status find_forward(const es_run_model *model, const es_run_stage *stage,
                              const es_run_stage *next, uint32_t *out, es_error *err)
{
    uint32_t found = UINT32_MAX;
    for (uint32_t i = 0; i < model->output_count; i++)
        if (port_bytes(&model->outputs[i]) == next->input_bytes &&
            (found == UINT32_MAX || found == stage->exit_output))
            found = i;
    if (found == UINT32_MAX)
        return es_fail(err, ES_ERR_ARG,
                       "model '%s' has no output of the %u bytes that go into the next stage "
                       "(output 0 has %zu)",
                       model->file, next->input_bytes,
                       model->output_count > 0 ? port_bytes(&model->outputs[0]) : 0);
    *out = found;
    return ES_OK;
}

static es_status check_stage(const es_run *run, const es_run_way *way, uint32_t k,
                             es_serve_stage *told, es_error *err)
{
    const es_run_stage *stage = &way->stages[k];
    const es_run_model *model = es_run_model_of(run, stage);
    if (model == NULL)
        return es_fail(err, ES_ERR_ARG,
                       "a route runs it here, but the plan does not place it here");
    ES_TRY(check_input(model, stage, err));
    ES_TRY(check_answer(model, stage, err));
    if (k + 1 < way->stage_count && way->stages[k + 1].input == ES_STAGE_INPUT_PREVIOUS)
        ES_TRY(find_forward(model, stage, &way->stages[k + 1], &told->forward.index, err));
    return ES_OK;
}

/* ---- headers ---- */

static es_status write_texts(es_run *run, es_run_way *way, const es_serve_route *route,
                             es_error *err)
{
    es_text text;
    es_text_init(&text, ES_SERVE_HEADER_BYTES_MAX);
    es_serve_route_encode(route, 0, &text);
    es_status status = es_text_status(&text, err);
    way->header = es_arena_text(run->arena, es_text_get(&text));
    es_text_clear(&text);
    es_text_append(&text, "/v2/models/");
    es_percent_encode(&text, route->stages[0].model);
    es_text_append(&text, "/infer");
    if (status == ES_OK)
        status = es_text_status(&text, err);
    way->path = es_arena_text(run->arena, es_text_get(&text));
    es_text_done(&text);
    if (status == ES_OK && (way->header == NULL || way->path == NULL))
        status = es_arena_full(run->arena, "routes", err);
    return status;
}

es_status es_run_models_check(es_run *run, es_error *err)
{
    for (uint32_t v = 0; v < run->node_count; v++)
        ES_TRY(es_within(err, learn_node(run, v, err), "node '%s'", run->nodes[v].name));
    for (size_t r = 0; r < run->plan->routing_count; r++) {
        es_run_way *way = &run->ways[r];
        es_serve_route route = es_serve_route_of(run->scenario, &run->plan->routings[r]);
        for (uint32_t k = 0; k < way->stage_count; k++) {
            es_status status = es_within(err, check_stage(run, way, k, &route.stages[k], err),
                                         "segment '%s'", route.stages[k].model);
            ES_TRY(es_within(err, status, "node '%s'", route.stages[k].node));
        }
        ES_TRY(es_within(err, write_texts(run, way, &route, err), "routing %zu", r));
    }
    return ES_OK;
}
