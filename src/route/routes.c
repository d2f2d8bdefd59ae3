/* The documents of gateways and nodes: routes and peers, read whole and checked, and written. */
#include "routes_internal.h"

#include <math.h>

static const char FORMAT[] = "estran-routes";
enum { VERSION = 1, SCRATCH_BYTES_MAX = 1 << 30 };
static const double SHARE_SUM_TOLERANCE = 1e-6;

/* ---- texts ---- */

es_status es_serve_need_name(es_arena *arena, const es_doc *map, const char *key, const char **out,
                             es_error *err)
{
    const char *name = NULL;
    ES_TRY(es_doc_need_text(map, key, &name, err));
    const es_doc *value = es_doc_find(map, key);
    if (*name == '\0' || strlen(name) > ES_SERVE_NAME_BYTES_MAX)
        return es_doc_fail(value, err, "must have 1 to %d bytes", ES_SERVE_NAME_BYTES_MAX);
    for (const char *c = name; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return es_doc_fail(value, err, "must not hold control characters");
    *out = es_arena_text(arena, name);
    return *out == NULL ? es_arena_full(arena, key, err) : ES_OK;
}

es_status es_serve_need_url(es_arena *arena, const es_doc *map, const char **out, es_error *err)
{
    const char *url = NULL;
    ES_TRY(es_doc_need_text(map, "url", &url, err));
    const char *host = strncmp(url, "http://", 7) == 0    ? url + 7
                       : strncmp(url, "https://", 8) == 0 ? url + 8
                                                          : "";
    bool good = *host != '\0' && strlen(url) <= ES_SERVE_URL_BYTES_MAX;
    for (const char *c = host; *c != '\0'; c++)
        good = good && *c > 0x20 && *c < 0x7f && strchr("/?#@\\", *c) == NULL;
    if (!good)
        return es_doc_fail(es_doc_find(map, "url"), err,
                           "url '%.100s' must be http://HOST:PORT or https://HOST:PORT", url);
    *out = es_arena_text(arena, url);
    return *out == NULL ? es_arena_full(arena, "url", err) : ES_OK;
}

bool es_serve_token_is_good(const char *token)
{
    bool good = *token != '\0' && strlen(token) <= ES_SERVE_TOKEN_BYTES_MAX;
    for (const char *c = token; *c != '\0'; c++)
        good = good && *c > 0x20 && *c < 0x7f;
    return good;
}

/* ---- a set of texts, to find what stands twice ---- */

static uint64_t hash(const char *text, uint64_t h)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++)
        h = (h ^ *c) * UINT64_C(0x100000001b3);
    return (h ^ (h >> 32)) * UINT64_C(0xd6e8feb86659fd93);
}

uint64_t es_serve_hash(const char *first, const char *second)
{
    uint64_t h = hash(second, hash(first, UINT64_C(0xcbf29ce484222325)));
    return h ^ (h >> 32);
}

size_t es_serve_table_size(size_t count)
{
    size_t size = 8;
    while (size < 2 * count)
        size *= 2;
    return size;
}

/* ---- peers ---- */

static es_status read_peer(es_arena *arena, const es_doc *map, es_serve_peer *out, es_error *err)
{
    const char *token = NULL;
    double latency_ms = 0;
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "name", "url", "token", "latency_ms", "bandwidth_bps",
                              "relay_s_per_bit", "one_way"));
    ES_TRY(es_serve_need_name(arena, map, "name", &out->name, err));
    ES_TRY(es_serve_need_url(arena, map, &out->url, err));
    ES_TRY(es_doc_get_text(map, "token", &token, err));
    if (token != NULL && !es_serve_token_is_good(token))
        return es_doc_fail(es_doc_find(map, "token"), err,
                           "must have 1 to %d printing characters without spaces",
                           ES_SERVE_TOKEN_BYTES_MAX);
    out->token = es_arena_text(arena, token);
    if (token != NULL && out->token == NULL)
        return es_arena_full(arena, "token", err);
    out->bandwidth_bps = (double)INFINITY;
    ES_TRY(es_doc_get_number(map, "latency_ms", 0, 1e12, &latency_ms, err));
    ES_TRY(es_doc_get_number(map, "bandwidth_bps", ES_LINK_BANDWIDTH_MIN_BPS,
                             ES_LINK_BANDWIDTH_MAX_BPS, &out->bandwidth_bps, err));
    ES_TRY(es_doc_get_number(map, "relay_s_per_bit", 0, 1 / ES_LINK_BANDWIDTH_MIN_BPS,
                             &out->relay_s_per_bit, err));
    ES_TRY(es_doc_get_bool(map, "one_way", &out->one_way, err));
    out->latency_s = latency_ms / 1e3;
    return ES_OK;
}

/* *out_table: names of peers to their numbers, for es_serve_find. */
static es_status read_peers(es_arena *arena, es_arena *scratch, const es_doc *list,
                            const es_serve_peer **out_peers, uint32_t **out_table, es_error *err)
{
    size_t count = list->as.list.count;
    size_t size = es_serve_table_size(count);
    es_serve_peer *peers = ES_TAKE_ARRAY(arena, es_serve_peer, count);
    uint32_t *table = ES_TAKE_ARRAY(scratch, uint32_t, size);
    if (peers == NULL || table == NULL)
        return es_arena_full(peers == NULL ? arena : scratch, "peers", err);
    for (size_t i = 0; i < count; i++) {
        const es_doc *map = list->as.list.items[i];
        ES_TRY(read_peer(arena, map, &peers[i], err));
        size_t at = (size_t)es_serve_hash(peers[i].name, "") & (size - 1);
        for (; table[at] != 0; at = (at + 1) & (size - 1))
            if (strcmp(peers[table[at] - 1].name, peers[i].name) == 0)
                return es_doc_fail(es_doc_find(map, "name"), err, "peer '%s' stands twice",
                                   peers[i].name);
        table[at] = (uint32_t)(i + 1);
    }
    *out_peers = peers;
    *out_table = table;
    return ES_OK;
}

es_status es_serve_peers_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                               const es_serve_peer **out_peers, size_t *out_count, es_error *err)
{
    const es_doc *root = NULL;
    const es_doc *list = NULL;
    uint32_t *table = NULL;
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(SCRATCH_BYTES_MAX);
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory to read peers");
    ES_TRY(es_doc_parse_json(scratch, name, bytes, size, &root, err));
    ES_TRY(ES_DOC_EXPECT_KEYS(root, err, "peers"));
    ES_TRY(es_doc_need_list(root, "peers", &list, err));
    ES_TRY(read_peers(arena, scratch, list, out_peers, &table, err));
    *out_count = list->as.list.count;
    return ES_OK;
}

/* Milliseconds that read back as exactly these seconds, where there are such. */
static void put_ms(es_json *json, const char *key, double seconds)
{
    double ms = seconds * 1e3;
    double below = nextafter(ms, 0);
    double above = nextafter(ms, (double)INFINITY);
    if (ms / 1e3 < seconds && above / 1e3 <= seconds)
        ms = above;
    else if (ms / 1e3 > seconds && below / 1e3 >= seconds)
        ms = below;
    es_json_put_number(json, key, ms);
}

static void write_peers(es_json *json, const es_serve_peer *peers, size_t count, bool with_tokens)
{
    es_json_key(json, "peers");
    es_json_list_begin(json);
    for (size_t i = 0; i < count; i++) {
        es_json_map_begin(json);
        es_json_put_text(json, "name", peers[i].name);
        es_json_put_text(json, "url", peers[i].url);
        if (with_tokens && peers[i].token != NULL)
            es_json_put_text(json, "token", peers[i].token);
        if (peers[i].latency_s > 0)
            put_ms(json, "latency_ms", peers[i].latency_s);
        if (isfinite(peers[i].bandwidth_bps))
            es_json_put_number(json, "bandwidth_bps", peers[i].bandwidth_bps);
        if (peers[i].relay_s_per_bit > 0)
            es_json_put_number(json, "relay_s_per_bit", peers[i].relay_s_per_bit);
        if (peers[i].one_way)
            es_json_put_bool(json, "one_way", true);
        es_json_map_end(json);
    }
    es_json_list_end(json);
}

void es_serve_peers_write(const es_serve_peer *peers, size_t count, bool with_tokens, es_text *out)
{
    es_json json;
    es_json_init(&json, out, false);
    es_json_map_begin(&json);
    write_peers(&json, peers, count, with_tokens);
    es_json_map_end(&json);
}

/* ---- routes: reading ---- */

typedef struct reader {
    es_arena *arena;
    es_arena *scratch;
    es_arena *header; /* reset for every route */
    es_serve_routes *routes;
    const uint32_t *peer_table;
    es_error *err;
} reader;

static es_status find_peer(const reader *r, const es_doc *place, const char *name, uint32_t *out)
{
    const es_serve_routes *routes = r->routes;
    size_t mask = es_serve_table_size(routes->peer_count) - 1;
    size_t at = (size_t)es_serve_hash(name, "") & mask;
    for (; r->peer_table[at] != 0; at = (at + 1) & mask)
        if (strcmp(routes->peers[r->peer_table[at] - 1].name, name) == 0) {
            *out = r->peer_table[at] - 1;
            return ES_OK;
        }
    return es_doc_fail(place, r->err, "its first node '%s' must be one of the peers", name);
}

static es_status read_route(reader *r, const es_doc *map, es_serve_option *option)
{
    const char *text = NULL;
    es_serve_route route;
    es_error why = {0};
    ES_TRY(es_doc_need_text(map, "route", &text, r->err));
    const es_doc *place = es_doc_find(map, "route");
    es_arena_reset(r->header);
    es_status status = es_serve_route_decode(r->header, text, &route, &why);
    if (status == ES_ERR_PARSE)
        return es_doc_fail(place, r->err, "%s", why.text);
    if (status != ES_OK)
        return es_fail(r->err, status, "%s", why.text);
    ES_TRY(find_peer(r, place, route.stages[0].node, &option->peer));
    option->stage_count = route.stage_count;
    option->route = es_arena_text(r->arena, text);
    return option->route == NULL ? es_arena_full(r->arena, "routes", r->err) : ES_OK;
}

static es_status read_option(reader *r, const es_doc *map, es_serve_option *option)
{
    double latency_ms = 0;
    double p95_ms = (double)NAN;
    ES_TRY(ES_DOC_EXPECT_KEYS(map, r->err, "share", "route", "latency_ms", "latency_ms_p95",
                              "quality", "energy_j", "carbon_gco2e"));
    ES_TRY(es_doc_need_number(map, "share", 0, 1, &option->share, r->err));
    if (option->share <= 0)
        return es_doc_fail(es_doc_find(map, "share"), r->err, "share=0 must be > 0");
    ES_TRY(read_route(r, map, option));
    ES_TRY(es_doc_need_number(map, "latency_ms", 0, 1e15, &latency_ms, r->err));
    ES_TRY(es_doc_get_number(map, "latency_ms_p95", 0, 1e15, &p95_ms, r->err));
    ES_TRY(es_doc_need_number(map, "quality", 0, 1, &option->quality, r->err));
    ES_TRY(es_doc_need_number(map, "energy_j", 0, 1e300, &option->energy_j, r->err));
    ES_TRY(es_doc_need_number(map, "carbon_gco2e", 0, 1e300, &option->carbon_gco2e, r->err));
    option->latency_s = latency_ms / 1e3;
    option->latency_s_p95 = p95_ms / 1e3;
    return ES_OK;
}

static es_status read_class(reader *r, const es_doc *map, es_serve_class *class)
{
    const es_doc *list = NULL;
    double deadline_ms = (double)INFINITY;
    ES_TRY(ES_DOC_EXPECT_KEYS(map, r->err, "task", "entry", "deadline_ms", "refused_share",
                              "options"));
    ES_TRY(es_serve_need_name(r->arena, map, "task", &class->task, r->err));
    ES_TRY(es_serve_need_name(r->arena, map, "entry", &class->entry, r->err));
    ES_TRY(es_doc_get_number(map, "deadline_ms", 0, 1e15, &deadline_ms, r->err));
    class->deadline_s = deadline_ms / 1e3;
    ES_TRY(es_doc_get_number(map, "refused_share", 0, 1, &class->refused_share, r->err));
    ES_TRY(es_doc_need_list(map, "options", &list, r->err));
    if (list->as.list.count > ES_SERVE_OPTIONS_MAX)
        return es_doc_fail(list, r->err, "%zu options are more than the %d that a class may have",
                           list->as.list.count, ES_SERVE_OPTIONS_MAX);
    es_serve_option *options = ES_TAKE_ARRAY(r->arena, es_serve_option, list->as.list.count);
    if (options == NULL)
        return es_arena_full(r->arena, "options", r->err);
    class->option_count = list->as.list.count;
    class->options = options;
    double sum = class->refused_share;
    for (size_t i = 0; i < class->option_count; i++) {
        ES_TRY(read_option(r, list->as.list.items[i], &options[i]));
        sum += options[i].share;
    }
    if (fabs(sum - 1) > SHARE_SUM_TOLERANCE)
        return es_doc_fail(map, r->err,
                           "shares of task '%s' at '%s' with what is refused add up to %g, must "
                           "be 1",
                           class->task, class->entry, sum);
    return ES_OK;
}

static es_status read_classes(reader *r, const es_doc *list)
{
    size_t count = list->as.list.count;
    size_t size = es_serve_table_size(count);
    es_serve_class *classes = ES_TAKE_ARRAY(r->arena, es_serve_class, count);
    uint32_t *table = ES_TAKE_ARRAY(r->scratch, uint32_t, size);
    if (classes == NULL || table == NULL)
        return es_arena_full(classes == NULL ? r->arena : r->scratch, "classes", r->err);
    for (size_t i = 0; i < count; i++) {
        es_serve_class *class = &classes[i];
        ES_TRY(read_class(r, list->as.list.items[i], class));
        size_t at = (size_t)es_serve_hash(class->task, class->entry) & (size - 1);
        for (; table[at] != 0; at = (at + 1) & (size - 1))
            if (strcmp(classes[table[at] - 1].task, class->task) == 0 &&
                strcmp(classes[table[at] - 1].entry, class->entry) == 0)
                return es_doc_fail(list->as.list.items[i], r->err, "task '%s' at '%s' stands twice",
                                   class->task, class->entry);
        table[at] = (uint32_t)(i + 1);
    }
    r->routes->classes = classes;
    r->routes->class_count = count;
    return ES_OK;
}

static es_status read_port(reader *r, const es_doc *map, es_port *out)
{
    ES_TRY(ES_DOC_EXPECT_KEYS(map, r->err, "name", "datatype", "shape"));
    ES_TRY(es_oip_read_port(map, out, r->err));
    if (out->dtype == ES_DTYPE_NONE)
        return es_doc_fail(es_doc_find(map, "datatype"), r->err,
                           "datatype '%.32s' is not in the protocol",
                           es_doc_find(map, "datatype")->as.text.bytes);
    return es_serve_need_name(r->arena, map, "name", &out->name, r->err);
}

static es_status read_ports(reader *r, const es_doc *map, const char *key, const es_port **out,
                            size_t *out_count)
{
    const es_doc *list = NULL;
    ES_TRY(es_doc_need_list(map, key, &list, r->err));
    size_t count = list->as.list.count;
    if (count > ES_OIP_TENSORS_MAX)
        return es_doc_fail(list, r->err, "%zu tensors, at most %d", count, ES_OIP_TENSORS_MAX);
    es_port *ports = ES_TAKE_ARRAY(r->arena, es_port, count);
    if (ports == NULL)
        return es_arena_full(r->arena, key, r->err);
    for (size_t i = 0; i < count; i++)
        ES_TRY(read_port(r, list->as.list.items[i], &ports[i]));
    *out = ports;
    *out_count = count;
    return ES_OK;
}

static es_status read_tasks(reader *r, const es_doc *list)
{
    size_t count = list->as.list.count;
    es_serve_task *tasks = ES_TAKE_ARRAY(r->arena, es_serve_task, count);
    if (tasks == NULL)
        return es_arena_full(r->arena, "tasks", r->err);
    for (size_t i = 0; i < count; i++) {
        const es_doc *map = list->as.list.items[i];
        ES_TRY(ES_DOC_EXPECT_KEYS(map, r->err, "name", "inputs", "outputs"));
        ES_TRY(es_serve_need_name(r->arena, map, "name", &tasks[i].name, r->err));
        for (size_t k = 0; k < i; k++)
            if (strcmp(tasks[k].name, tasks[i].name) == 0)
                return es_doc_fail(es_doc_find(map, "name"), r->err, "task '%s' stands twice",
                                   tasks[i].name);
        ES_TRY(read_ports(r, map, "inputs", &tasks[i].inputs, &tasks[i].input_count));
        ES_TRY(read_ports(r, map, "outputs", &tasks[i].outputs, &tasks[i].output_count));
    }
    r->routes->tasks = tasks;
    r->routes->task_count = count;
    return ES_OK;
}

static es_status read_routes(reader *r, const es_doc *root)
{
    const es_doc *tasks = NULL;
    const es_doc *peers = NULL;
    const es_doc *classes = NULL;
    es_serve_routes *routes = r->routes;
    uint32_t *table = NULL;
    ES_TRY(es_doc_expect_format(root, FORMAT, VERSION, r->err));
    ES_TRY(ES_DOC_EXPECT_KEYS(root, r->err, "format", "version", "generation", "plan", "peers",
                              "tasks", "classes"));
    ES_TRY(es_doc_need_int(root, "generation", 1, INT64_MAX, &routes->generation, r->err));
    ES_TRY(es_serve_need_name(r->arena, root, "plan", &routes->plan, r->err));
    ES_TRY(es_doc_need_list(root, "peers", &peers, r->err));
    ES_TRY(es_doc_need_list(root, "classes", &classes, r->err));
    ES_TRY(es_doc_get_list(root, "tasks", &tasks, r->err));
    if (tasks != NULL)
        ES_TRY(read_tasks(r, tasks));
    ES_TRY(read_peers(r->arena, r->scratch, peers, &routes->peers, &table, r->err));
    routes->peer_count = peers->as.list.count;
    r->peer_table = table;
    return read_classes(r, classes);
}

static es_status with_scratch(es_arena *arena, es_arena *scratch, const es_doc *root,
                              const es_serve_routes **out_routes, es_error *err)
{
    ES_CLEANUP(es_arena_free_p) es_arena *header = es_arena_new(1 << 20);
    es_serve_routes *routes = ES_TAKE_ONE(arena, es_serve_routes);
    if (header == NULL || routes == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory to read routes");
    reader r = {.arena = arena, .scratch = scratch, .header = header, .routes = routes, .err = err};
    ES_TRY(read_routes(&r, root));
    *out_routes = routes;
    return ES_OK;
}

es_status es_serve_routes_load(es_arena *arena, const char *path,
                               const es_serve_routes **out_routes, es_error *err)
{
    const es_doc *root = NULL;
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(SCRATCH_BYTES_MAX);
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory to read routes");
    ES_TRY(es_doc_read(scratch, path, ES_SERVE_DOCUMENT_BYTES_MAX, &root, err));
    return with_scratch(arena, scratch, root, out_routes, err);
}

es_status es_serve_routes_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                                const es_serve_routes **out_routes, es_error *err)
{
    const es_doc *root = NULL;
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(SCRATCH_BYTES_MAX);
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory to read routes");
    ES_TRY(es_doc_parse_json(scratch, name, bytes, size, &root, err));
    return with_scratch(arena, scratch, root, out_routes, err);
}

/* ---- routes: writing ---- */

static void write_option(es_json *json, const es_serve_option *option)
{
    es_json_map_begin(json);
    es_json_put_number(json, "share", option->share);
    es_json_put_text(json, "route", option->route);
    put_ms(json, "latency_ms", option->latency_s);
    if (!isnan(option->latency_s_p95))
        put_ms(json, "latency_ms_p95", option->latency_s_p95);
    es_json_put_number(json, "quality", option->quality);
    es_json_put_number(json, "energy_j", option->energy_j);
    es_json_put_number(json, "carbon_gco2e", option->carbon_gco2e);
    es_json_map_end(json);
}

static void write_class(es_json *json, const es_serve_class *class)
{
    es_json_map_begin(json);
    es_json_put_text(json, "task", class->task);
    es_json_put_text(json, "entry", class->entry);
    if (isfinite(class->deadline_s))
        put_ms(json, "deadline_ms", class->deadline_s);
    if (class->refused_share > 0)
        es_json_put_number(json, "refused_share", class->refused_share);
    es_json_key(json, "options");
    es_json_list_begin(json);
    for (size_t i = 0; i < class->option_count; i++)
        write_option(json, &class->options[i]);
    es_json_list_end(json);
    es_json_map_end(json);
}

static void write_ports(es_json *json, const char *key, const es_port *ports, size_t count)
{
    es_json_key(json, key);
    es_json_list_begin(json);
    for (size_t i = 0; i < count; i++)
        es_oip_write_port(json, &ports[i]);
    es_json_list_end(json);
}

void es_serve_task_write(es_json *json, const es_serve_task *task)
{
    write_ports(json, "inputs", task->inputs, task->input_count);
    write_ports(json, "outputs", task->outputs, task->output_count);
}

static void write_tasks(es_json *json, const es_serve_routes *routes)
{
    es_json_key(json, "tasks");
    es_json_list_begin(json);
    for (size_t i = 0; i < routes->task_count; i++) {
        es_json_map_begin(json);
        es_json_put_text(json, "name", routes->tasks[i].name);
        es_serve_task_write(json, &routes->tasks[i]);
        es_json_map_end(json);
    }
    es_json_list_end(json);
}

void es_serve_routes_write(const es_serve_routes *routes, bool with_tokens, es_text *out)
{
    es_json json;
    es_json_init(&json, out, false);
    es_json_map_begin(&json);
    es_json_put_text(&json, "format", FORMAT);
    es_json_put_int(&json, "version", VERSION);
    es_json_put_int(&json, "generation", routes->generation);
    es_json_put_text(&json, "plan", routes->plan);
    write_peers(&json, routes->peers, routes->peer_count, with_tokens);
    if (routes->task_count > 0)
        write_tasks(&json, routes);
    es_json_key(&json, "classes");
    es_json_list_begin(&json);
    for (size_t i = 0; i < routes->class_count; i++)
        write_class(&json, &routes->classes[i]);
    es_json_list_end(&json);
    es_json_map_end(&json);
}
