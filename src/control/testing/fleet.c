#include "fleet.h"

#include <signal.h>
#include <sys/mman.h>

/* What the interface needs besides the shared part. */
typedef struct caller {
    fleet *own;
    es_world *world;
    es_arena *arena; /* of what is seen */
    es_fleet_seen seen[FLEET_NODES + FLEET_GATEWAYS];
    es_fleet_class classes[FLEET_GATEWAYS][FLEET_CLASSES];
    es_fleet_taken taken[FLEET_GATEWAYS][FLEET_CLASSES][FLEET_WAYS];
    const char *models[FLEET_NODES][FLEET_MODELS];
    char epochs[FLEET_NODES + FLEET_GATEWAYS][32];
} caller;

fleet *fleet_new(uint32_t gateway_count)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(ftruncate(fileno(file), (off_t)sizeof(fleet)), 0);
    fleet *own = mmap(NULL, sizeof *own, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file), 0);
    assert_true(own != MAP_FAILED);
    assert_int_equal(fclose(file), 0);
    *own = (fleet){.gateway_count = gateway_count,
                   .unix_ns = INT64_C(1800000000) * ES_NS_PER_S,
                   .tells_uptime = true,
                   .tells_drained = true,
                   .under_way_s = 0.1};
    es_clock_manual_init(&own->clock, ES_NS_PER_S);
    for (uint32_t v = 0; v < FLEET_NODES; v++)
        own->nodes[v].up = true;
    for (uint32_t g = 0; g < gateway_count; g++)
        own->gateways[g] = (fleet_gateway){.up = true, .start_ns = ES_NS_PER_S};
    return own;
}

void fleet_free(fleet *own)
{
    assert_int_equal(munmap(own, sizeof *own), 0);
}

const es_cluster *fleet_cluster(fleet *own, es_arena *arena)
{
    static const char *const nodes[] = {"phone", "edge box", "cloud"};
    static const char *const gateways[] = {"gateway", "spare gateway"};
    es_cluster *cluster = ES_TAKE_ONE(arena, es_cluster);
    es_cluster_process *list =
        ES_TAKE_ARRAY(arena, es_cluster_process, FLEET_NODES + FLEET_GATEWAYS);
    assert_true(cluster != NULL && list != NULL);
    for (uint32_t v = 0; v < FLEET_NODES; v++)
        list[v] = (es_cluster_process){.name = nodes[v], .url = "http://127.0.0.1:1"};
    for (uint32_t g = 0; g < own->gateway_count; g++)
        list[FLEET_NODES + g] =
            (es_cluster_process){.name = gateways[g], .url = "http://127.0.0.1:2"};
    *cluster = (es_cluster){.file = "cluster.yaml",
                            .node_count = FLEET_NODES,
                            .nodes = list,
                            .gateway_count = own->gateway_count,
                            .gateways = list + FLEET_NODES};
    return cluster;
}

int64_t fleet_unix_ns(void *context)
{
    fleet *own = context;
    return own->unix_ns + own->clock.time_ns;
}

/* ---- coming and going ---- */

void fleet_node_stop(fleet *own, uint32_t node)
{
    own->nodes[node].up = false;
    memset(own->nodes[node].hosted, 0, sizeof own->nodes[node].hosted);
}

void fleet_node_start(fleet *own, uint32_t node)
{
    fleet_node_stop(own, node);
    own->nodes[node].up = true;
    own->nodes[node].knows_peers = false;
    own->nodes[node].starts++;
}

void fleet_gateway_stop(fleet *own, uint32_t gateway)
{
    own->gateways[gateway].up = false;
    own->gateways[gateway].old_count = 0;
}

void fleet_gateway_start(fleet *own, uint32_t gateway)
{
    fleet_gateway *one = &own->gateways[gateway];
    one->up = true;
    one->starts++;
    one->start_ns = own->clock.time_ns;
    memset(one->arrived, 0, sizeof one->arrived);
}

/* ---- nodes ---- */

static uint32_t model_of(const caller *c, const char *name)
{
    for (uint32_t m = 0; m < FLEET_MODELS; m++)
        if (strcmp(c->world->segments[m].name, name) == 0)
            return m;
    fail_msg("no model '%s'", name);
    return 0;
}

static bool uses(const fleet_way *ways, uint32_t count, uint32_t node, uint32_t model)
{
    for (uint32_t w = 0; w < count; w++)
        for (uint32_t k = 0; k < ways[w].stage_count; k++)
            if (ways[w].nodes[k] == node && ways[w].models[k] == model)
                return true;
    return false;
}

static bool is_under_way(const fleet *own, const fleet_gateway *gateway)
{
    return gateway->old_count > 0 &&
           own->clock.time_ns < gateway->routed_ns + es_ns_from_s(own->under_way_s);
}

static void load(caller *c, es_fleet_call *call)
{
    fleet_node *node = &c->own->nodes[call->process];
    uint32_t model = model_of(c, call->text);
    double bytes = 0;
    if (node->refuses[model]) {
        call->status = es_fail(&call->err, ES_ERR_IO, "no memory for '%s'", call->text);
        return;
    }
    node->hosted[model] = true;
    for (uint32_t m = 0; m < FLEET_MODELS; m++)
        bytes += node->hosted[m] ? c->world->segments[m].memory_bytes : 0;
    c->own->overfull += bytes > c->world->nodes[call->process].memory_bytes * (1 + 1e-9);
    c->own->changes++;
}

static void unload(caller *c, es_fleet_call *call)
{
    uint32_t model = model_of(c, call->text);
    for (uint32_t g = 0; g < c->own->gateway_count; g++) {
        const fleet_gateway *gateway = &c->own->gateways[g];
        if (!gateway->up && !gateway->cut_off)
            continue;
        c->own->lost += uses(gateway->ways, gateway->way_count, call->process, model);
        c->own->lost += is_under_way(c->own, gateway) &&
                        uses(gateway->old, gateway->old_count, call->process, model);
    }
    c->own->nodes[call->process].hosted[model] = false;
    c->own->changes++;
}

static void observe_node(caller *c, es_fleet_call *call)
{
    uint32_t v = call->process;
    es_fleet_seen *seen = &c->seen[v];
    *seen = (es_fleet_seen){.epoch = c->epochs[v], .uptime_s = (double)NAN, .models = c->models[v]};
    (void)snprintf(c->epochs[v], sizeof c->epochs[v], "start %d", c->own->nodes[v].starts);
    for (uint32_t m = 0; m < FLEET_MODELS; m++)
        if (c->own->nodes[v].hosted[m])
            c->models[v][seen->model_count++] = c->world->segments[m].name;
    call->seen = seen;
}

/* ---- gateways ---- */

static uint32_t node_of(const caller *c, const char *name)
{
    es_node_id id = es_network_node_find(c->world->scenario.network, name);
    assert_false(es_node_is_none(id));
    return id.index;
}

static void take_class(caller *c, fleet_gateway *gateway, es_arena *arena,
                       const es_serve_class *one)
{
    uint32_t class_index = strcmp(one->entry, "phone") == 0 ? 0 : 1;
    gateway->refused[class_index] = one->refused_share;
    for (size_t i = 0; i < one->option_count; i++) {
        es_serve_route route;
        es_error err = {0};
        assert_ok_err(es_serve_route_decode(arena, one->options[i].route, &route, &err), err);
        assert_true(gateway->way_count < FLEET_WAYS);
        fleet_way *way = &gateway->ways[gateway->way_count++];
        *way = (fleet_way){.class_index = class_index,
                           .stage_count = route.stage_count,
                           .share = one->options[i].share};
        (void)snprintf(way->route, sizeof way->route, "%s", one->options[i].route);
        for (uint32_t k = 0; k < route.stage_count; k++) {
            way->nodes[k] = node_of(c, route.stages[k].node);
            way->models[k] = model_of(c, route.stages[k].model);
            const fleet_node *node = &c->own->nodes[way->nodes[k]];
            c->own->misrouted += node->up && !node->hosted[way->models[k]];
            c->own->misrouted += node->up && !node->knows_peers;
        }
    }
}

static void take_routes(caller *c, es_fleet_call *call)
{
    fleet_gateway *gateway = &c->own->gateways[call->process];
    const es_serve_routes *routes = NULL;
    es_error err = {0};
    es_arena *arena = es_arena_new((size_t)16 << 20);
    assert_ok_err(
        es_serve_routes_parse(arena, "routes", call->text, strlen(call->text), &routes, &err), err);
    if (routes->generation < gateway->generation) {
        call->newer = gateway->generation;
        call->status =
            es_fail(&call->err, ES_ERR_ARG, "older than %lld", (long long)gateway->generation);
    } else if (routes->generation > gateway->generation) {
        memcpy(gateway->old, gateway->ways, sizeof gateway->old);
        gateway->old_count = gateway->way_count;
        gateway->way_count = 0;
        gateway->generation = routes->generation;
        gateway->routed_ns = c->own->clock.time_ns;
        for (size_t i = 0; i < routes->class_count; i++)
            take_class(c, gateway, arena, &routes->classes[i]);
        c->own->changes++;
    }
    es_arena_free(arena);
}

static void observe_gateway(caller *c, es_fleet_call *call)
{
    uint32_t g = call->process;
    static const char *const entries[] = {"phone", "edge box"};
    const fleet_gateway *gateway = &c->own->gateways[g];
    char *epoch = c->epochs[FLEET_NODES + g];
    es_fleet_seen *seen = &c->seen[FLEET_NODES + g];
    (void)snprintf(epoch, sizeof c->epochs[0], "start %d", gateway->starts);
    *seen = (es_fleet_seen){
        .epoch = epoch,
        .uptime_s = c->own->tells_uptime ? es_s_from_ns(c->own->clock.time_ns - gateway->start_ns)
                                         : (double)NAN,
        .generation = gateway->generation,
        .tells_drained = c->own->tells_drained,
        .drained = !is_under_way(c->own, gateway),
        .class_count = FLEET_CLASSES,
        .classes = c->classes[g]};
    for (int k = 0; k < FLEET_CLASSES; k++)
        c->classes[g][k] = (es_fleet_class){.task = "detect",
                                            .entry = entries[k],
                                            .arrived = gateway->arrived[k],
                                            .answered = gateway->arrived[k]};
    for (uint32_t w = 0; w < gateway->way_count; w++) {
        const fleet_way *way = &gateway->ways[w];
        es_fleet_class *one = &c->classes[g][way->class_index];
        es_fleet_taken *taken = c->taken[g][way->class_index];
        taken[one->option_count++] = (es_fleet_taken){
            .route = way->route, .taken = way->share * gateway->arrived[way->class_index]};
        one->options = taken;
    }
    call->seen = seen;
}

/* ---- calls ---- */

static void do_call(caller *c, es_fleet_call *call)
{
    bool up = call->gateway ? c->own->gateways[call->process].up : c->own->nodes[call->process].up;
    call->status = ES_OK;
    call->newer = 0;
    if (!up) {
        call->status = es_fail(&call->err, ES_ERR_UNAVAILABLE, "connection refused");
        return;
    }
    switch (call->verb) {
    case ES_FLEET_OBSERVE:
        if (call->gateway)
            observe_gateway(c, call);
        else
            observe_node(c, call);
        break;
    case ES_FLEET_LOAD:
        load(c, call);
        break;
    case ES_FLEET_UNLOAD:
        unload(c, call);
        break;
    case ES_FLEET_PEERS:
        c->own->nodes[call->process].knows_peers = true;
        break;
    case ES_FLEET_ROUTES:
        take_routes(c, call);
        break;
    case ES_FLEET_VERB_COUNT:
        fail();
    }
}

static void do_calls(void *context, es_fleet_call *calls, size_t count)
{
    caller *c = context;
    for (size_t i = 0; i < count; i++) {
        uint64_t number = ++c->own->calls;
        if (number == c->own->kill_before)
            (void)raise(SIGKILL);
        do_call(c, &calls[i]);
        if (number == c->own->kill_after)
            (void)raise(SIGKILL);
    }
}

es_fleet fleet_interface(fleet *own, es_world *world)
{
    caller *c = ES_TAKE_ONE(world->arena, caller);
    assert_non_null(c);
    c->own = own;
    c->world = world;
    return (es_fleet){.context = c, .call = do_calls};
}

void fleet_describe(const fleet *own, es_text *out)
{
    for (uint32_t v = 0; v < FLEET_NODES; v++)
        for (uint32_t m = 0; m < FLEET_MODELS; m++)
            es_text_format(out, "%d", own->nodes[v].hosted[m]);
    for (uint32_t g = 0; g < own->gateway_count; g++) {
        const fleet_gateway *gateway = &own->gateways[g];
        es_text_format(out, "; gateway %u:", g);
        for (uint32_t w = 0; w < gateway->way_count; w++) {
            es_text_format(out, " %u %.4f", gateway->ways[w].class_index, gateway->ways[w].share);
            for (uint32_t k = 0; k < gateway->ways[w].stage_count; k++)
                es_text_format(out, " %u/%u", gateway->ways[w].nodes[k],
                               gateway->ways[w].models[k]);
        }
    }
}
