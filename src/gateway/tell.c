/* What a gateway tells at once: about itself, and what tasks take and give. */
#include "internal.h"

enum { TEXT_BYTES_MAX = 1 << 24 };

static const char *const EXTENSIONS[] = {"binary_tensor_data", "classification", "parameters",
                                         "schedule_policy"};

void es_gateway_metadata(void *context, es_http_request *request)
{
    const es_gateway *gateway = context;
    es_text text;
    es_text_init(&text, TEXT_BYTES_MAX);
    es_oip_write_server(&text, "estran-gateway", gateway->opts.version, EXTENSIONS,
                        sizeof EXTENSIONS / sizeof *EXTENSIONS);
    es_http_answer_json(request, 200, &text);
}

static void send_flag(es_http_request *request, const char *name, bool value)
{
    es_text text;
    es_text_init(&text, TEXT_BYTES_MAX);
    es_text_format(&text, "{\"%s\":%s}", name, value ? "true" : "false");
    es_http_answer_json(request, value ? 200 : 503, &text);
}

void es_gateway_live(void *context, es_http_request *request)
{
    (void)context;
    send_flag(request, "live", true);
}

/* Ready: it has routes. Nodes that are down do not make it less so: others may do. */
void es_gateway_ready(void *context, es_http_request *request)
{
    es_gateway *gateway = context;
    send_flag(request, "ready",
              atomic_load(&gateway->loops[es_http_request_loop(request)].view) != NULL);
}

/* Routes that know the task; NULL: it has been answered. Only on the loop, while it is not left. */
static const es_serve_routes *routes_of(es_gateway *gateway, es_http_request *request,
                                        const char **out_task)
{
    const char *task = es_http_request_param(request, "model");
    const es_gateway_view *view = atomic_load(&gateway->loops[es_http_request_loop(request)].view);
    char text[ES_ERROR_SIZE];
    if (view == NULL) {
        es_http_answer_error(request, 503, "no routes yet");
        return NULL;
    }
    if (es_serve_table_class(view->routes->table, task, NULL) == ES_SERVE_CLASS_NONE) {
        (void)snprintf(text, sizeof text, "task '%.255s' is not known", task);
        es_http_answer_error(request, 404, text);
        return NULL;
    }
    *out_task = task;
    return view->routes->table->routes;
}

void es_gateway_task_ready(void *context, es_http_request *request)
{
    const char *task = NULL;
    es_text text;
    es_json json;
    if (routes_of(context, request, &task) == NULL)
        return;
    es_text_init(&text, TEXT_BYTES_MAX);
    es_json_init(&json, &text, true);
    es_json_map_begin(&json);
    es_json_put_text(&json, "name", task);
    es_json_put_bool(&json, "ready", true);
    es_json_map_end(&json);
    es_http_answer_json(request, 200, &text);
}

void es_gateway_task_metadata(void *context, es_http_request *request)
{
    static const es_serve_task unknown;
    const char *name = NULL;
    const es_serve_routes *routes = routes_of(context, request, &name);
    const es_serve_task *task = &unknown;
    es_text text;
    es_json json;
    if (routes == NULL)
        return;
    for (size_t i = 0; i < routes->task_count; i++)
        if (strcmp(routes->tasks[i].name, name) == 0)
            task = &routes->tasks[i];
    es_text_init(&text, TEXT_BYTES_MAX);
    es_json_init(&json, &text, true);
    es_json_map_begin(&json);
    es_json_put_text(&json, "name", name);
    es_json_put_text(&json, "platform", "estran_task");
    es_serve_task_write(&json, task);
    es_json_map_end(&json);
    es_http_answer_json(request, 200, &text);
}
