/* The cluster document: where nodes, gateways and the controller of a scenario are. */
#include "base/file.h"
#include "routes_internal.h"

enum { VERSION = 1, SCRATCH_BYTES_MAX = 1 << 28 };

typedef struct reader {
    es_arena *arena;
    es_arena *scratch;
    const char *folder;
    const es_scenario *scenario; /* NULL: names are not checked */
    es_error *err;
} reader;

static es_status read_token(reader *r, const es_doc *map, const char **out)
{
    const char *name = NULL;
    char *bytes = NULL;
    size_t size = 0;
    es_error why = {0};
    ES_TRY(es_doc_get_text(map, "token_file", &name, r->err));
    if (name == NULL)
        return ES_OK;
    const es_doc *place = es_doc_find(map, "token_file");
    char *path = es_file_join(r->arena, r->folder, name);
    if (path == NULL)
        return es_arena_full(r->arena, "token_file", r->err);
    if (es_file_read(r->arena, path, ES_SERVE_TOKEN_BYTES_MAX + 2, &bytes, &size, &why) != ES_OK)
        return es_doc_fail(place, r->err, "%s", why.text);
    bytes[strcspn(bytes, "\r\n")] = '\0';
    if (!es_serve_token_is_good(bytes))
        return es_doc_fail(place, r->err,
                           "'%s' must hold one line of 1 to %d printing characters without spaces",
                           path, ES_SERVE_TOKEN_BYTES_MAX);
    *out = bytes;
    return ES_OK;
}

static es_status read_place(reader *r, const es_doc *map, es_cluster_process *out)
{
    const char *ca_file = NULL;
    ES_TRY(es_serve_need_url(r->arena, map, &out->url, r->err));
    ES_TRY(read_token(r, map, &out->token));
    ES_TRY(es_doc_get_text(map, "ca_file", &ca_file, r->err));
    if (ca_file != NULL) {
        out->ca_file = es_file_join(r->arena, r->folder, ca_file);
        if (out->ca_file == NULL)
            return es_arena_full(r->arena, "ca_file", r->err);
    }
    return ES_OK;
}

static es_status check_node(const reader *r, const es_doc *place, const char *name)
{
    if (r->scenario == NULL)
        return ES_OK;
    const es_network *network = r->scenario->network;
    if (!es_node_is_none(es_network_node_find(network, name)))
        return ES_OK;
    uint32_t count = es_network_node_count(network);
    const char **names = ES_TAKE_ARRAY(r->scratch, const char *, count);
    if (names == NULL)
        return es_arena_full(r->scratch, "names", r->err);
    for (uint32_t v = 0; v < count; v++)
        names[v] = es_network_node(network, (es_node_id){v})->name;
    const char *nearest = es_text_nearest(name, names, count);
    return es_doc_fail(place, r->err, "node '%s' is not in scenario '%s'%s%s%s", name,
                       r->scenario->name, nearest != NULL ? "; did you mean '" : "",
                       nearest != NULL ? nearest : "", nearest != NULL ? "'?" : "");
}

static es_status read_node(reader *r, const es_doc *map, es_cluster_process *out)
{
    ES_TRY(ES_DOC_EXPECT_KEYS(map, r->err, "name", "url", "token_file", "ca_file"));
    ES_TRY(es_serve_need_name(r->arena, map, "name", &out->name, r->err));
    ES_TRY(check_node(r, es_doc_find(map, "name"), out->name));
    return read_place(r, map, out);
}

static es_status read_gateway(reader *r, const es_doc *map, es_cluster_process *out)
{
    ES_TRY(ES_DOC_EXPECT_KEYS(map, r->err, "name", "url", "token_file", "ca_file", "entry"));
    ES_TRY(es_serve_need_name(r->arena, map, "name", &out->name, r->err));
    if (es_doc_find(map, "entry") != NULL) {
        ES_TRY(es_serve_need_name(r->arena, map, "entry", &out->entry, r->err));
        ES_TRY(check_node(r, es_doc_find(map, "entry"), out->entry));
    }
    return read_place(r, map, out);
}

typedef es_status read_process(reader *r, const es_doc *map, es_cluster_process *out);

static es_status read_list(reader *r, const es_doc *list, read_process *read_one,
                           const es_cluster_process **out, size_t *out_count)
{
    size_t count = list->as.list.count;
    size_t size = es_serve_table_size(count);
    es_cluster_process *items = ES_TAKE_ARRAY(r->arena, es_cluster_process, count);
    uint32_t *table = ES_TAKE_ARRAY(r->scratch, uint32_t, size);
    if (items == NULL || table == NULL)
        return es_arena_full(items == NULL ? r->arena : r->scratch, "cluster", r->err);
    for (size_t i = 0; i < count; i++) {
        const es_doc *map = list->as.list.items[i];
        ES_TRY(read_one(r, map, &items[i]));
        size_t at = (size_t)es_serve_hash(items[i].name, "") & (size - 1);
        for (; table[at] != 0; at = (at + 1) & (size - 1))
            if (strcmp(items[table[at] - 1].name, items[i].name) == 0)
                return es_doc_fail(es_doc_find(map, "name"), r->err, "'%s' stands twice",
                                   items[i].name);
        table[at] = (uint32_t)(i + 1);
    }
    *out = items;
    *out_count = count;
    return ES_OK;
}

static es_status read_cluster(reader *r, const es_doc *root, es_cluster *out)
{
    const es_doc *nodes = NULL;
    const es_doc *gateways = NULL;
    const es_doc *controller = NULL;
    ES_TRY(es_doc_expect_format(root, "estran-cluster", VERSION, r->err));
    ES_TRY(
        ES_DOC_EXPECT_KEYS(root, r->err, "format", "version", "nodes", "gateways", "controller"));
    ES_TRY(es_doc_need_list(root, "nodes", &nodes, r->err));
    ES_TRY(read_list(r, nodes, read_node, &out->nodes, &out->node_count));
    ES_TRY(es_doc_get_list(root, "gateways", &gateways, r->err));
    if (gateways != NULL)
        ES_TRY(read_list(r, gateways, read_gateway, &out->gateways, &out->gateway_count));
    ES_TRY(es_doc_get_map(root, "controller", &controller, r->err));
    if (controller == NULL)
        return ES_OK;
    es_cluster_process *process = ES_TAKE_ONE(r->arena, es_cluster_process);
    if (process == NULL)
        return es_arena_full(r->arena, "controller", r->err);
    ES_TRY(ES_DOC_EXPECT_KEYS(controller, r->err, "url", "token_file", "ca_file"));
    process->name = "controller";
    ES_TRY(read_place(r, controller, process));
    out->controller = process;
    return ES_OK;
}

static es_status make(es_arena *arena, es_arena *scratch, const char *file, const char *folder,
                      const es_scenario *scenario, const es_doc *root,
                      const es_cluster **out_cluster, es_error *err)
{
    es_cluster *cluster = ES_TAKE_ONE(arena, es_cluster);
    if (cluster == NULL || (cluster->file = es_arena_text(arena, file)) == NULL)
        return es_arena_full(arena, "cluster", err);
    reader r = {
        .arena = arena, .scratch = scratch, .folder = folder, .scenario = scenario, .err = err};
    ES_TRY(read_cluster(&r, root, cluster));
    *out_cluster = cluster;
    return ES_OK;
}

es_status es_cluster_load(es_arena *arena, const char *path, const es_scenario *scenario,
                          const es_cluster **out_cluster, es_error *err)
{
    const es_doc *root = NULL;
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(SCRATCH_BYTES_MAX);
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory to read the cluster");
    ES_TRY(es_doc_read(scratch, path, ES_SERVE_DOCUMENT_BYTES_MAX, &root, err));
    const char *folder = es_file_folder(scratch, path);
    if (folder == NULL)
        return es_arena_full(scratch, "folder", err);
    return make(arena, scratch, path, folder, scenario, root, out_cluster, err);
}

es_status es_cluster_parse(es_arena *arena, const char *name, const char *folder, const char *bytes,
                           size_t size, bool json, const es_scenario *scenario,
                           const es_cluster **out_cluster, es_error *err)
{
    const es_doc *root = NULL;
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(SCRATCH_BYTES_MAX);
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory to read the cluster");
    ES_TRY(json ? es_doc_parse_json(scratch, name, bytes, size, &root, err)
                : es_doc_parse_yaml(scratch, name, bytes, size, &root, err));
    return make(arena, scratch, name, folder, scenario, root, out_cluster, err);
}

static const es_cluster_process *find(const es_cluster_process *items, size_t count,
                                      const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(items[i].name, name) == 0)
            return &items[i];
    return NULL;
}

const es_cluster_process *es_cluster_node(const es_cluster *cluster, const char *name)
{
    return find(cluster->nodes, cluster->node_count, name);
}

const es_cluster_process *es_cluster_gateway(const es_cluster *cluster, const char *name)
{
    return find(cluster->gateways, cluster->gateway_count, name);
}
