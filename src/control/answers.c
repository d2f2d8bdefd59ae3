/* What nodes and gateways answer to a look: GET /estran/v1/observe and the list of models. Keys
 * that are not needed here are ignored: they may say more. */
#include "base/document.h"
#include "control/controller.h"

#include <math.h>

/* ---- gateways ---- */

static es_status read_options(es_arena *arena, const es_doc *map, es_fleet_class *out,
                              es_error *err)
{
    const es_doc *list = NULL;
    ES_TRY(es_doc_get_list(map, "options", &list, err));
    size_t count = list != NULL ? list->as.list.count : 0;
    es_fleet_taken *options = ES_TAKE_ARRAY(arena, es_fleet_taken, count);
    if (options == NULL)
        return es_arena_full(arena, "options", err);
    for (size_t i = 0; i < count; i++) {
        ES_TRY(es_doc_expect_map(list->as.list.items[i], err));
        ES_TRY(es_doc_need_text(list->as.list.items[i], "route", &options[i].route, err));
        ES_TRY(
            es_doc_need_number(list->as.list.items[i], "taken", 0, 1e18, &options[i].taken, err));
    }
    out->option_count = count;
    out->options = options;
    return ES_OK;
}

static es_status read_class(es_arena *arena, const es_doc *map, es_fleet_class *out, es_error *err)
{
    ES_TRY(es_doc_expect_map(map, err));
    ES_TRY(es_doc_need_text(map, "task", &out->task, err));
    ES_TRY(es_doc_need_text(map, "entry", &out->entry, err));
    ES_TRY(es_doc_need_number(map, "arrived", 0, 1e18, &out->arrived, err));
    ES_TRY(es_doc_get_number(map, "answered", 0, 1e18, &out->answered, err));
    ES_TRY(es_doc_get_number(map, "partial", 0, 1e18, &out->partial, err));
    ES_TRY(es_doc_get_number(map, "refused", 0, 1e18, &out->refused, err));
    ES_TRY(es_doc_get_number(map, "failed", 0, 1e18, &out->failed, err));
    return read_options(arena, map, out, err);
}

static es_status read_draining(es_fleet_seen *seen, const es_doc *root, es_error *err)
{
    const es_doc *list = NULL;
    ES_TRY(es_doc_get_list(root, "draining", &list, err));
    seen->tells_drained = list != NULL;
    seen->drained = true;
    for (size_t i = 0; list != NULL && i < list->as.list.count; i++) {
        double under_way = 0;
        ES_TRY(es_doc_expect_map(list->as.list.items[i], err));
        ES_TRY(es_doc_need_number(list->as.list.items[i], "under_way", 0, 1e18, &under_way, err));
        seen->drained = seen->drained && under_way <= 0;
    }
    return ES_OK;
}

static es_status read_gateway(es_arena *arena, es_fleet_seen *seen, const es_doc *root,
                              es_error *err)
{
    const es_doc *classes = NULL;
    ES_TRY(es_doc_get_int(root, "generation", 0, INT64_MAX, &seen->generation, err));
    ES_TRY(read_draining(seen, root, err));
    ES_TRY(es_doc_get_list(root, "classes", &classes, err));
    size_t count = classes != NULL ? classes->as.list.count : 0;
    es_fleet_class *list = ES_TAKE_ARRAY(arena, es_fleet_class, count);
    if (list == NULL)
        return es_arena_full(arena, "classes", err);
    for (size_t i = 0; i < count; i++)
        ES_TRY(read_class(arena, classes->as.list.items[i], &list[i], err));
    seen->class_count = count;
    seen->classes = list;
    return ES_OK;
}

es_status es_fleet_read_observe(es_arena *arena, const char *name, const char *bytes, size_t size,
                                bool gateway, es_fleet_seen *seen, es_error *err)
{
    const es_doc *root = NULL;
    int64_t epoch = 0;
    ES_TRY(es_doc_parse_json(arena, name, bytes, size, &root, err));
    ES_TRY(es_doc_expect_map(root, err));
    ES_TRY(es_doc_need_int(root, gateway ? "epoch_s" : "epoch", 0, INT64_MAX, &epoch, err));
    ES_TRY(es_doc_get_number(root, gateway ? "up_s" : "elapsed_s", 0, 1e12, &seen->uptime_s, err));
    seen->epoch = es_arena_format(arena, "%lld", (long long)epoch);
    if (seen->epoch == NULL)
        return es_arena_full(arena, "epoch", err);
    return gateway ? read_gateway(arena, seen, root, err) : ES_OK;
}

/* ---- nodes: POST /v2/repository/index ---- */

es_status es_fleet_read_models(es_arena *arena, const char *name, const char *bytes, size_t size,
                               es_fleet_seen *seen, es_error *err)
{
    const es_doc *root = NULL;
    ES_TRY(es_doc_parse_json(arena, name, bytes, size, &root, err));
    ES_TRY(es_doc_expect_list(root, err));
    const char **models = ES_TAKE_ARRAY(arena, const char *, root->as.list.count);
    if (models == NULL)
        return es_arena_full(arena, "models", err);
    seen->model_count = 0;
    for (size_t i = 0; i < root->as.list.count; i++) {
        const es_doc *entry = root->as.list.items[i];
        const char *model = NULL;
        const char *state = "READY"; /* who was asked for the ready ones may leave it out */
        ES_TRY(es_doc_expect_map(entry, err));
        ES_TRY(es_doc_need_text(entry, "name", &model, err));
        ES_TRY(es_doc_get_text(entry, "state", &state, err));
        if (strcmp(state, "READY") == 0)
            models[seen->model_count++] = model;
    }
    seen->models = models;
    return ES_OK;
}
