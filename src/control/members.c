/* Who is there: looks at nodes and gateways, what they host, what they were told. */
#include "control/internal.h"

#define SOON_S 0.2    /* after a first miss or hit, to be sure */
#define BACKOFF_S 0.5 /* the first pause for one that is gone, doubled each time */
#define BACKOFF_S_MAX 4
#define BLOCK_S 30 /* the first pause for a model that a node refused */
#define BLOCK_S_MAX 3600
enum { MISSES_DOWN = 2, HITS_UP = 2 };

static int64_t now_ns(const es_controller *c)
{
    return es_clock_now_ns(c->given.clock);
}

es_member *es_member_of_node(es_controller *c, es_node_id node)
{
    uint32_t at = c->member_of[node.index];
    return at > 0 ? &c->members[at - 1] : NULL;
}

static es_status init_member(es_controller *c, es_member *member, const es_cluster_process *process,
                             bool gateway, uint32_t index, es_error *err)
{
    const es_network *network = c->scenario.network;
    const char *place = gateway ? process->entry : process->name;
    *member =
        (es_member){.process = process,
                    .gateway = gateway,
                    .index = index,
                    .backoff_s = BACKOFF_S,
                    .node = place != NULL ? es_network_node_find(network, place) : ES_NODE_NONE};
    if (place != NULL && es_node_is_none(member->node))
        return es_fail(err, ES_ERR_ARG, "cluster: '%s' is not a node of scenario '%s'", place,
                       c->scenario.name);
    return ES_OK;
}

es_status es_members_init(es_controller *c, es_error *err)
{
    const es_cluster *cluster = c->given.cluster;
    c->member_count = cluster->node_count + cluster->gateway_count;
    c->members = ES_TAKE_ARRAY(c->arena, es_member, c->member_count);
    c->member_of = ES_TAKE_ARRAY(c->arena, uint32_t, c->node_count);
    c->readings = ES_TAKE_ARRAY(c->arena, es_reading, cluster->gateway_count);
    if (c->members == NULL || c->member_of == NULL || c->readings == NULL)
        return es_arena_full(c->arena, "members", err);
    for (size_t i = 0; i < cluster->node_count; i++) {
        ES_TRY(init_member(c, &c->members[i], &cluster->nodes[i], false, (uint32_t)i, err));
        c->member_of[c->members[i].node.index] = (uint32_t)i + 1;
    }
    for (size_t i = 0; i < cluster->gateway_count; i++)
        ES_TRY(init_member(c, &c->members[cluster->node_count + i], &cluster->gateways[i], true,
                           (uint32_t)i, err));
    return ES_OK;
}

/* ---- coming and going ---- */

static void set_up(es_controller *c, es_member *member, bool up)
{
    if (member->up == up)
        return;
    member->up = up;
    member->changed_ns = now_ns(c);
    member->backoff_s = BACKOFF_S;
    if (up)
        es_log(ES_LOG_INFO, "controller", "%s '%s' answers", member->gateway ? "gateway" : "node",
               member->process->name);
    else
        es_log(ES_LOG_WARNING, "controller", "%s '%s' does not answer: %s",
               member->gateway ? "gateway" : "node", member->process->name, member->trouble);
}

static void forget_hosted(es_controller *c, es_member *member)
{
    bool *row = &c->hosted[(size_t)member->node.index * c->segment_count];
    for (uint32_t s = 0; s < c->segment_count; s++) {
        c->move.stale = c->move.stale || row[s];
        row[s] = false;
    }
}

void es_member_missed(es_controller *c, es_member *member, const es_error *err)
{
    (void)snprintf(member->trouble, sizeof member->trouble, "%s", es_error_text(err));
    member->hits = 0;
    member->misses++;
    bool gone = member->misses >= MISSES_DOWN || !member->known;
    member->known = true;
    if (!gone) {
        member->probe_ns = now_ns(c) + es_ns_from_s(SOON_S);
        return;
    }
    set_up(c, member, false);
    if (!member->gateway)
        forget_hosted(c, member);
    member->probe_ns = now_ns(c) + es_ns_from_s(member->backoff_s);
    member->backoff_s = fmin(2 * member->backoff_s, BACKOFF_S_MAX);
}

/* What a node hosts is what it says. */
static void take_models(es_controller *c, es_member *member, const es_fleet_seen *seen)
{
    bool *row = &c->hosted[(size_t)member->node.index * c->segment_count];
    for (uint32_t s = 0; s < c->segment_count; s++) {
        bool there = false;
        for (size_t m = 0; m < seen->model_count && !there; m++)
            there = strcmp(seen->models[m], c->scenario.segments[s].name) == 0;
        c->move.stale = c->move.stale || row[s] != there;
        row[s] = there;
    }
}

static void take_gateway(es_controller *c, es_member *member, const es_fleet_seen *seen)
{
    member->generation = seen->generation;
    member->drained = seen->drained;
    member->tells_drained = seen->tells_drained;
    if (c->force == NULL || member->generation == c->generation)
        member->behind_ns = 0;
    else if (member->behind_ns == 0)
        member->behind_ns = now_ns(c);
}

/* ---- peers: every node may forward to every other, showing a token of its own ---- */

static es_status write_peers(const es_controller *c, const es_member *member, es_text *out,
                             es_error *err)
{
    const es_cluster *cluster = c->given.cluster;
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new((size_t)64 << 20);
    es_serve_peer *peers =
        scratch != NULL ? ES_TAKE_ARRAY(scratch, es_serve_peer, cluster->node_count) : NULL;
    size_t count = 0;
    if (peers == NULL)
        return es_fail(err, ES_ERR_NOMEM, "controller: no memory for peers");
    for (size_t i = 0; i < cluster->node_count; i++) {
        const es_cluster_process *other = &cluster->nodes[i];
        es_route way;
        if (i == member->index)
            continue;
        peers[count] = (es_serve_peer){
            .name = other->name, .url = other->url, .bandwidth_bps = (double)INFINITY};
        if (c->given.emulate &&
            es_routes_get(c->scenario.routes, member->node, c->members[i].node, &way)) {
            peers[count].latency_s = way.latency_s;
            peers[count].bandwidth_bps = 1 / way.seconds_per_bit;
        }
        count++;
    }
    es_serve_peers_write(peers, count, true, out);
    return es_text_status(out, err);
}

/* A node that does not know its peers cannot do its part: it counts as gone. */
static void tell_peers(es_controller *c, es_member *member)
{
    es_fleet_call call = {.verb = ES_FLEET_PEERS, .process = member->index};
    es_text text;
    es_text_init(&text, ES_SERVE_DOCUMENT_BYTES_MAX);
    call.status = write_peers(c, member, &text, &call.err);
    call.text = es_text_get(&text);
    if (call.status == ES_OK)
        c->given.fleet.call(c->given.fleet.context, &call, 1);
    es_text_done(&text);
    member->told = call.status == ES_OK;
    if (!member->told)
        es_member_missed(c, member, &call.err);
}

/* ---- looks ---- */

static void take_answer(es_controller *c, es_member *member, const es_fleet_seen *seen)
{
    const char *epoch = seen->epoch != NULL ? seen->epoch : "";
    if (strcmp(member->epoch, epoch) != 0) {
        (void)snprintf(member->epoch, sizeof member->epoch, "%s", epoch);
        member->told = false;
    }
    bool first = !member->known;
    member->known = true;
    member->misses = 0;
    member->hits++;
    member->seen_ns = now_ns(c);
    if (member->gateway)
        take_gateway(c, member, seen);
    else
        take_models(c, member, seen);
    if (!member->gateway && !member->told && !c->given.dry_run) {
        tell_peers(c, member);
        if (!member->told)
            return;
    }
    member->trouble[0] = '\0';
    if (first || member->hits >= HITS_UP)
        set_up(c, member, true);
    double pause_s = member->up ? c->given.probe_s : SOON_S;
    if (c->move.draining && member->gateway)
        pause_s = fmin(pause_s, SOON_S);
    member->probe_ns = now_ns(c) + es_ns_from_s(pause_s);
}

void es_members_probe(es_controller *c)
{
    size_t count = 0;
    for (size_t i = 0; i < c->member_count; i++) {
        es_member *member = &c->members[i];
        if (member->known && member->probe_ns > now_ns(c))
            continue;
        c->calls[count++] = (es_fleet_call){
            .verb = ES_FLEET_OBSERVE, .gateway = member->gateway, .process = member->index};
    }
    if (count == 0)
        return;
    c->given.fleet.call(c->given.fleet.context, c->calls, count);
    for (size_t i = 0; i < count; i++) {
        /* a copy: telling peers makes calls of its own */
        es_fleet_call call = c->calls[i];
        es_member *member =
            &c->members[call.process + (call.gateway ? c->given.cluster->node_count : 0)];
        if (call.status == ES_OK)
            take_answer(c, member, call.seen);
        else
            es_member_missed(c, member, &call.err);
    }
}

int64_t es_members_next_ns(const es_controller *c)
{
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < c->member_count; i++) {
        const es_member *member = &c->members[i];
        next = member->probe_ns < next ? member->probe_ns : next;
        if (member->behind_ns > 0 && member->up && member->retry_ns < next)
            next = member->retry_ns;
    }
    return next;
}

/* ---- what can be loaded ---- */

static uint32_t item_of(const es_controller *c, es_node_id node, es_segment_id segment)
{
    for (uint32_t i = c->idn->node_first[node.index]; i < c->idn->node_first[node.index + 1]; i++)
        if (c->idn->items[i].model == segment.index)
            return i;
    return ES_INDEX_NONE;
}

void es_members_block(es_controller *c, es_node_id node, es_segment_id segment)
{
    uint32_t item = item_of(c, node, segment);
    if (item == ES_INDEX_NONE)
        return;
    es_block *block = &c->blocks[item];
    block->backoff_s = block->backoff_s > 0 ? fmin(2 * block->backoff_s, BLOCK_S_MAX) : BLOCK_S;
    block->until_ns = now_ns(c) + es_ns_from_s(block->backoff_s);
}

void es_members_loaded(es_controller *c, es_node_id node, es_segment_id segment)
{
    uint32_t item = item_of(c, node, segment);
    if (item != ES_INDEX_NONE)
        c->blocks[item] = (es_block){0};
}

void es_members_usable(es_controller *c)
{
    memset(c->cells, 0, (size_t)c->node_count * c->segment_count * sizeof *c->cells);
    for (uint32_t i = 0; i < c->item_count; i++) {
        const es_idn_item *item = &c->idn->items[i];
        const es_member *member = es_member_of_node(c, (es_node_id){item->node});
        c->usable[i] = member != NULL && member->up && c->blocks[i].until_ns <= now_ns(c);
        c->cells[es_cell(c, (es_node_id){item->node}, (es_segment_id){item->model})] = c->usable[i];
    }
}

/* ---- gateways that are behind ---- */

bool es_members_behind(const es_controller *c)
{
    int64_t patience_ns = es_ns_from_s(c->given.patience_s);
    for (size_t i = 0; i < c->member_count; i++) {
        const es_member *member = &c->members[i];
        if (member->gateway && member->behind_ns > 0 && now_ns(c) - member->behind_ns < patience_ns)
            return true;
    }
    return false;
}

static es_status write_routes(const es_controller *c, const es_member *member, es_text *out,
                              es_error *err)
{
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new((size_t)1 << 30);
    const es_serve_routes *routes = NULL;
    es_serve_make_opts opts = es_serve_make_opts_default();
    opts.generation = c->generation;
    opts.entry = member->process->entry;
    opts.emulate = c->given.emulate;
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "controller: no memory for routes");
    ES_TRY(es_serve_routes_make(scratch, &c->scenario, c->force, c->given.cluster, opts, &routes,
                                err));
    es_serve_routes whole = *routes;
    if (c->task_routes != NULL) {
        whole.task_count = c->task_routes->task_count;
        whole.tasks = c->task_routes->tasks;
    }
    es_serve_routes_write(&whole, false, out); /* tokens of the cluster are ours alone */
    return es_text_status(out, err);
}

static void take_told(es_controller *c, es_member *member, es_fleet_call *call)
{
    if (call->status == ES_OK) {
        member->generation = c->generation;
        member->behind_ns = 0;
        c->progress_ns = now_ns(c);
        member->drained = false;
        member->backoff_s = BACKOFF_S;
        if (member->probe_ns > now_ns(c) + es_ns_from_s(SOON_S))
            member->probe_ns = now_ns(c) + es_ns_from_s(SOON_S);
        return;
    }
    if (call->newer > 0) {
        member->generation = call->newer;
        member->retry_ns = now_ns(c);
        return;
    }
    (void)snprintf(member->trouble, sizeof member->trouble, "%s", es_error_text(&call->err));
    member->retry_ns = now_ns(c) + es_ns_from_s(member->backoff_s);
    member->backoff_s = fmin(2 * member->backoff_s, BACKOFF_S_MAX);
    if (call->status == ES_ERR_UNAVAILABLE)
        es_member_missed(c, member, &call->err);
    else
        es_controller_note(c, call->status, &call->err);
    member->probe_ns = now_ns(c); /* it may have newer routes, and say so */
}

/* A gateway with newer routes than ours (our state was lost): ours need a higher generation. */
static bool is_ahead(const es_controller *c, int64_t *out_generation)
{
    *out_generation = c->generation;
    for (size_t i = 0; i < c->member_count; i++)
        if (c->members[i].gateway && c->members[i].up && c->members[i].generation > *out_generation)
            *out_generation = c->members[i].generation;
    return *out_generation > c->generation;
}

static es_status overtake(es_controller *c, int64_t above, es_error *err)
{
    ES_TRY(es_state_begin(c->state, err));
    ES_TRY(es_memory_force(c, c->force, above, err));
    ES_TRY(es_state_commit(c->state, err));
    es_memory_forced(c);
    return ES_OK;
}

/* Each its document, all at once. */
static void tell_routes(es_controller *c)
{
    size_t count = 0;
    for (size_t i = c->given.cluster->node_count; i < c->member_count; i++) {
        es_member *member = &c->members[i];
        if (!member->up || member->behind_ns == 0 || member->retry_ns > now_ns(c))
            continue;
        es_fleet_call call = {.verb = ES_FLEET_ROUTES, .gateway = true, .process = member->index};
        es_text *text = &c->texts[count];
        es_text_clear(text);
        call.status = write_routes(c, member, text, &call.err);
        call.text = es_text_get(text);
        if (call.status == ES_OK)
            c->calls[count++] = call;
        else
            take_told(c, member, &call);
    }
    if (count > 0)
        c->given.fleet.call(c->given.fleet.context, c->calls, count);
    for (size_t i = 0; i < count; i++)
        take_told(c, &c->members[c->given.cluster->node_count + c->calls[i].process], &c->calls[i]);
}

void es_members_catch_up(es_controller *c)
{
    int64_t above = 0;
    es_error err = {0};
    if (c->force == NULL)
        return;
    if (is_ahead(c, &above)) {
        es_status status = overtake(c, above, &err);
        es_controller_note(c, status, &err);
        if (status != ES_OK)
            return;
    }
    tell_routes(c);
}
