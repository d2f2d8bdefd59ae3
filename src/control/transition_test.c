/* Transitions between random plans, played on a cluster that checks every moment. */
#include "base/rng.h"
#include "control/transition.h"
#include "es_world.h"

enum { NODES_MAX = 12, SEGMENTS_MAX = 10, CELLS_MAX = NODES_MAX * SEGMENTS_MAX, SEEDS = 300 };

typedef struct cluster {
    es_arena *arena;
    const es_scenario *scenario;
    const es_idn *idn;
    es_rng rng;
    uint32_t node_count, segment_count;
    bool hosted[CELLS_MAX]; /* [node][segment] */
    bool usable[CELLS_MAX];
    bool busy[CELLS_MAX]; /* requests may be under way there */
    const es_plan *routes;
    uint32_t gone;       /* a node that was lost; NODES_MAX: none */
    const es_plan *next; /* wanted */
    const es_transition *playing;
    size_t step;
} cluster;

/* ---- random networks and plans ---- */

static uint32_t below(cluster *own, uint32_t bound)
{
    return (uint32_t)es_rng_below(&own->rng, bound);
}

static void write_scenario(cluster *own, es_text *text)
{
    uint32_t nodes = own->node_count;
    es_text_append(text, "format: estran-scenario\nversion: 1\nslots: {length_s: 10, count: 4}\n"
                         "kinds: [{name: box, idle_w: 5, busy_w: 25}]\nnodes:\n");
    for (uint32_t v = 0; v < nodes; v++)
        es_text_format(text, "  - {name: n%u, tier: %s, kind: box, memory_mb: %u}\n", v,
                       v == nodes - 1 ? "cloud" : "edge", 6 + below(own, nodes < 5 ? 3 : 14));
    es_text_append(text, "links:\n");
    for (uint32_t v = 0; v + 1 < nodes; v++)
        es_text_format(text, "  - {between: [n%u, n%u], latency_ms: 1}\n", v,
                       v + 1 + below(own, nodes - v - 1));
    es_text_append(text, "tasks: [{name: t, input_bytes: 1000, output_bytes: 10}]\nsegments:\n");
    for (uint32_t s = 0; s < own->segment_count; s++)
        es_text_format(text, "  - {name: s%u, memory_mb: %u, on: [{kind: box, time_ms: %u}]}\n", s,
                       1 + below(own, 6), 1 + below(own, 9));
    es_text_append(text, "pipelines:\n");
    for (uint32_t p = 0; p < own->segment_count; p++) {
        es_text_format(text, "  - {name: p%u, task: t, quality: 0.%u, stages: [{segment: s%u}", p,
                       5 + below(own, 5), p);
        if (below(own, 2) == 0)
            es_text_format(text, ", {segment: s%u, input: request, reach: 0.5}",
                           below(own, own->segment_count));
        es_text_append(text, "]}\n");
    }
    es_text_append(text, "demand:\n");
    for (uint32_t v = 0; v < nodes; v++)
        if (v == 0 || below(own, 2) == 0)
            es_text_format(text, "  - {task: t, at: n%u, rate_rps: %u}\n", v, 1 + below(own, 20));
    es_text_append(text, "objective: {latency_per_s: 1, quality: 1, refusal_cost: 5}\n");
}

static void cluster_init(cluster *own, uint64_t seed)
{
    *own = (cluster){
        .arena = es_arena_new((size_t)256 << 20), .rng = es_rng_make(seed, 0), .gone = NODES_MAX};
    es_text text;
    es_error err = {0};
    es_text_init(&text, 1 << 20);
    own->node_count = 2 + below(own, NODES_MAX - 2);
    own->segment_count = 2 + below(own, SEGMENTS_MAX - 2);
    write_scenario(own, &text);
    assert_ok_err(es_scenario_parse(own->arena, "random.yaml", NULL, es_text_get(&text), text.size,
                                    false, &own->scenario, &err),
                  err);
    assert_ok_err(es_idn_from_scenario(own->arena, own->scenario, &own->idn, &err), err);
    es_text_done(&text);
    memset(own->usable, true, sizeof own->usable);
}

static double bytes_of(const cluster *own, uint32_t segment)
{
    return own->scenario->segments[segment].memory_bytes;
}

static double held_bytes(const cluster *own, const bool *hosted, uint32_t node)
{
    double bytes = 0;
    for (uint32_t s = 0; s < own->segment_count; s++)
        bytes += hosted[node * own->segment_count + s] ? bytes_of(own, s) : 0;
    return bytes;
}

static double memory_of(const cluster *own, uint32_t node)
{
    return es_network_node(own->scenario->network, (es_node_id){node})->memory_bytes;
}

static bool stands(const cluster *own, const bool *hosted, es_pipeline_id pipeline,
                   const es_node_id *nodes)
{
    const es_pipeline *one = &own->scenario->pipelines[pipeline.index];
    for (uint32_t k = 0; k < one->stage_count; k++)
        if (!hosted[nodes[k].index * own->segment_count + one->stages[k].segment.index])
            return false;
    return true;
}

/* Fills nodes, some nearly full, routes each class over some of what is there. */
static const es_plan *draw_plan(cluster *own)
{
    bool hosted[CELLS_MAX] = {0};
    es_plan *plan = ES_TAKE_ONE(own->arena, es_plan);
    es_placement *placements = ES_TAKE_ARRAY(own->arena, es_placement, CELLS_MAX);
    es_routing *routings = ES_TAKE_ARRAY(own->arena, es_routing, 4096);
    double *refused = ES_TAKE_ARRAY(own->arena, double, own->scenario->class_count);
    uint32_t tries = 5 + below(own, 60);
    uint32_t nodes = own->node_count - below(own, 2); /* the last may have room for bridges */
    for (uint32_t i = 0; i < tries; i++) {
        uint32_t v = below(own, nodes);
        uint32_t s = below(own, own->segment_count);
        bool *cell = &hosted[v * own->segment_count + s];
        if (*cell || held_bytes(own, hosted, v) + bytes_of(own, s) > memory_of(own, v))
            continue;
        *cell = true;
    }
    for (uint32_t i = 0; i < own->node_count * own->segment_count; i++)
        if (hosted[i])
            placements[plan->placement_count++] = (es_placement){
                .node = {i / own->segment_count}, .segment = {i % own->segment_count}};
    for (uint32_t c = 0; c < own->scenario->class_count; c++) {
        size_t from = plan->routing_count;
        for (uint32_t k = own->idn->type_first[c]; k < own->idn->type_first[c + 1]; k++) {
            const es_idn_option *option = &own->idn->options[k];
            if (option->item_count == 0 || !stands(own, hosted, option->pipeline, option->nodes) ||
                below(own, 3) > 0 || plan->routing_count - from == 3)
                continue;
            routings[plan->routing_count] =
                (es_routing){.class_id = {c}, .pipeline = option->pipeline};
            memcpy(routings[plan->routing_count++].nodes, option->nodes, sizeof option->nodes);
        }
        refused[c] = plan->routing_count == from ? 1 : below(own, 4) == 0 ? 0.25 : 0;
        for (size_t r = from; r < plan->routing_count; r++)
            routings[r].share = (1 - refused[c]) / (double)(plan->routing_count - from);
    }
    plan->placements = placements;
    plan->routings = routings;
    plan->refused_share = refused;
    plan->scenario = own->scenario->name;
    return plan;
}

/* ---- the cluster ---- */

static bool has_way(const cluster *own, uint32_t class_index)
{
    if (own->next->refused_share[class_index] > 1 - 1e-9)
        return false; /* and none is looked for */
    for (uint32_t k = own->idn->type_first[class_index]; k < own->idn->type_first[class_index + 1];
         k++)
        if (own->idn->options[k].item_count > 0 &&
            stands(own, own->hosted, own->idn->options[k].pipeline, own->idn->options[k].nodes))
            return true;
    return false;
}

static bool is_told(const es_transition *transition, size_t step, uint32_t class_index)
{
    for (size_t i = 0; i < transition->loss_count; i++)
        if (transition->losses[i].step == step &&
            transition->losses[i].class_id.index == class_index && transition->losses[i].all)
            return true;
    return false;
}

/* Routes may only lead over what is hosted; over a lost node where there is nothing else, or what
 * there is must make room: then that is told. */
static void assert_sound(const cluster *own, const es_routing *routing)
{
    bool over_gone = false;
    for (uint32_t k = 0; k < own->scenario->pipelines[routing->pipeline.index].stage_count; k++)
        over_gone = over_gone || routing->nodes[k].index == own->gone;
    if (over_gone)
        assert_true(!has_way(own, routing->class_id.index) ||
                    is_told(own->playing, own->step, routing->class_id.index));
    else
        assert_true(stands(own, own->hosted, routing->pipeline, routing->nodes));
}

static void occupy(cluster *own)
{
    for (size_t r = 0; own->routes != NULL && r < own->routes->routing_count; r++) {
        const es_routing *routing = &own->routes->routings[r];
        const es_pipeline *one = &own->scenario->pipelines[routing->pipeline.index];
        for (uint32_t k = 0; k < one->stage_count; k++)
            own->busy[routing->nodes[k].index * own->segment_count + one->stages[k].segment.index] =
                true;
    }
}

static void follow(cluster *own, const es_plan *plan)
{
    double share[NODES_MAX] = {0};
    for (size_t r = 0; r < plan->routing_count; r++) {
        assert_sound(own, &plan->routings[r]);
        assert_true(plan->routings[r].share > 0);
        share[plan->routings[r].class_id.index] += plan->routings[r].share;
    }
    for (uint32_t c = 0; c < own->scenario->class_count; c++)
        assert_near(share[c] + plan->refused_share[c], 1, 1e-6);
    own->routes = plan;
    occupy(own);
}

static void drain(cluster *own)
{
    memset(own->busy, 0, sizeof own->busy);
    occupy(own);
}

static void play(cluster *own, const es_transition *transition, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        const es_step *step = &transition->steps[i];
        own->playing = transition;
        own->step = i;
        uint32_t at = step->node.index * own->segment_count + step->segment.index;
        switch (step->kind) {
        case ES_STEP_LOAD:
            assert_true(own->usable[at]);
            assert_false(own->hosted[at]);
            own->hosted[at] = true;
            assert_true(held_bytes(own, own->hosted, step->node.index) <=
                        memory_of(own, step->node.index) * (1 + 1e-9));
            break;
        case ES_STEP_ROUTE:
            follow(own, transition->tables[step->table]);
            break;
        case ES_STEP_DRAIN:
            drain(own);
            break;
        case ES_STEP_UNLOAD:
            assert_true(own->hosted[at]);
            assert_false(own->busy[at]);
            own->hosted[at] = false;
            break;
        case ES_STEP_KIND_COUNT:
            fail();
        }
    }
}

static es_transition_given given_of(const cluster *own, const es_plan *next, bool undrained)
{
    return (es_transition_given){.scenario = own->scenario,
                                 .idn = own->idn,
                                 .hosted = own->hosted,
                                 .usable = own->usable,
                                 .now = own->routes,
                                 .next = next,
                                 .undrained = undrained};
}

static const es_transition *plan_from(cluster *own, const es_plan *next, bool undrained)
{
    const es_transition *transition = NULL;
    es_error err = {0};
    es_transition_given given = given_of(own, next, undrained);
    own->next = next;
    assert_ok_err(es_transition_plan(own->arena, &given, &transition, &err), err);
    return transition;
}

static void assert_reached(const cluster *own, const es_plan *next)
{
    bool wanted[CELLS_MAX] = {0};
    for (size_t p = 0; p < next->placement_count; p++)
        wanted[next->placements[p].node.index * own->segment_count +
               next->placements[p].segment.index] = true;
    assert_memory_equal(wanted, own->hosted, sizeof wanted);
    assert_int_equal(own->routes->routing_count, next->routing_count);
    for (size_t r = 0; r < next->routing_count; r++)
        assert_near(own->routes->routings[r].share, next->routings[r].share, 1e-9);
}

static void settle(cluster *own)
{
    const es_plan *plan = draw_plan(own);
    const es_transition *transition = plan_from(own, plan, false);
    play(own, transition, 0, transition->step_count);
    drain(own);
}

/* ---- properties ---- */

static void every_moment_is_sound(void **state)
{
    (void)state;
    uint64_t first = es_test_seed(1);
    uint32_t exchanges = 0;
    for (uint64_t seed = first; seed < first + SEEDS; seed++) {
        cluster own;
        cluster_init(&own, seed);
        settle(&own);
        const es_plan *next = draw_plan(&own);
        const es_transition *transition = plan_from(&own, next, false);
        exchanges += transition->table_count > 1;
        play(&own, transition, 0, transition->step_count);
        assert_reached(&own, next);
        assert_int_equal(plan_from(&own, next, false)->step_count, 0);
        es_arena_free(own.arena);
    }
    assert_true(es_test_seed(0) != 0 || exchanges > SEEDS / 10); /* tight nodes did occur */
}

/* Killed after any step: what is planned from there ends at the same. */
static void it_resumes_anywhere(void **state)
{
    (void)state;
    uint64_t first = es_test_seed(1000);
    for (uint64_t seed = first; seed < first + SEEDS / 3; seed++) {
        cluster own;
        cluster_init(&own, seed);
        settle(&own);
        const es_plan *next = draw_plan(&own);
        const es_transition *transition = plan_from(&own, next, false);
        for (size_t cut = 0; cut <= transition->step_count; cut++) {
            cluster twin = own;
            play(&twin, transition, 0, cut);
            const es_transition *rest = plan_from(&twin, next, true);
            play(&twin, rest, 0, rest->step_count);
            assert_reached(&twin, next);
        }
        es_arena_free(own.arena);
    }
}

/* Whether routes lead over the lost node that could go another way. */
static bool is_hit(const cluster *own)
{
    for (size_t r = 0; own->routes != NULL && r < own->routes->routing_count; r++) {
        const es_routing *routing = &own->routes->routings[r];
        for (uint32_t k = 0; k < own->scenario->pipelines[routing->pipeline.index].stage_count; k++)
            if (routing->nodes[k].index == own->gone && has_way(own, routing->class_id.index))
                return true;
    }
    return false;
}

/* A node loses power after any step: routes leave it first, the rest comes as near as it can. */
static void a_node_may_go_at_any_step(void **state)
{
    (void)state;
    uint64_t first = es_test_seed(2000);
    for (uint64_t seed = first; seed < first + SEEDS / 3; seed++) {
        cluster own;
        cluster_init(&own, seed);
        settle(&own);
        const es_plan *next = draw_plan(&own);
        const es_transition *transition = plan_from(&own, next, false);
        for (size_t cut = 0; cut <= transition->step_count; cut++) {
            cluster twin = own;
            uint32_t gone = below(&own, own.node_count);
            play(&twin, transition, 0, cut);
            memset(&twin.hosted[gone * own.segment_count], 0, own.segment_count);
            memset(&twin.usable[gone * own.segment_count], 0, own.segment_count);
            twin.gone = gone;
            const es_transition *rest = plan_from(&twin, next, true);
            assert_true(!is_hit(&twin) || rest->steps[0].kind == ES_STEP_ROUTE);
            play(&twin, rest, 0, rest->step_count);
            for (size_t p = 0; p < next->placement_count; p++)
                if (next->placements[p].node.index != gone)
                    assert_true(twin.hosted[next->placements[p].node.index * own.segment_count +
                                            next->placements[p].segment.index]);
        }
        es_arena_free(own.arena);
    }
}

/* ---- losses are told, and unavoidable ---- */

/* Marks what is unloaded right after step i; the node of it, or NODES_MAX. */
static uint32_t find_victims(const cluster *own, const es_transition *transition, size_t i,
                             bool *victims)
{
    uint32_t node = NODES_MAX;
    memset(victims, 0, CELLS_MAX * sizeof *victims);
    for (i++; i < transition->step_count; i++) {
        const es_step *step = &transition->steps[i];
        if (step->kind != ES_STEP_DRAIN && step->kind != ES_STEP_UNLOAD)
            break;
        if (step->kind == ES_STEP_DRAIN)
            continue;
        node = step->node.index;
        victims[node * own->segment_count + step->segment.index] = true;
    }
    return node;
}

/* Whether some way stands beside the victims, or would with what fits on other nodes. */
static bool could_be_served(const cluster *own, uint32_t class_index, const bool *victims,
                            uint32_t node)
{
    for (uint32_t k = own->idn->type_first[class_index]; k < own->idn->type_first[class_index + 1];
         k++) {
        const es_idn_option *option = &own->idn->options[k];
        bool hosted[CELLS_MAX];
        bool fits = option->item_count > 0;
        memcpy(hosted, own->hosted, sizeof hosted);
        for (uint32_t i = 0; i < option->item_count; i++) {
            const es_idn_item *item = &own->idn->items[option->items[i]];
            uint32_t at = item->node * own->segment_count + item->model;
            fits = fits && !victims[at] && (hosted[at] || item->node != node);
            hosted[at] = true;
        }
        for (uint32_t v = 0; v < own->node_count && fits; v++)
            fits = held_bytes(own, hosted, v) <= memory_of(own, v) * (1 + 1e-9);
        if (fits)
            return true;
    }
    return false;
}

static bool is_placed(const es_plan *plan, const es_step *step)
{
    for (size_t p = 0; p < plan->placement_count; p++)
        if (plan->placements[p].node.index == step->node.index &&
            plan->placements[p].segment.index == step->segment.index)
            return true;
    return false;
}

/* When a middle route refuses a class that both plans serve, this is told, and once its room is
 * made nothing else could serve the class either. */
static void no_class_is_left_alone_needlessly(void **state)
{
    (void)state;
    uint64_t first = es_test_seed(3000);
    uint32_t lost = 0;
    uint32_t bridges = 0;
    for (uint64_t seed = first; seed < first + SEEDS; seed++) {
        cluster own;
        cluster_init(&own, seed);
        settle(&own);
        const es_plan *next = draw_plan(&own);
        const es_transition *transition = plan_from(&own, next, false);
        for (size_t i = 0; i < transition->step_count; i++) {
            const es_step *step = &transition->steps[i];
            const es_plan *before = own.routes;
            play(&own, transition, i, i + 1);
            bridges += step->kind == ES_STEP_LOAD && !is_placed(next, step);
            if (step->kind != ES_STEP_ROUTE)
                continue;
            for (uint32_t c = 0; c < own.scenario->class_count; c++) {
                bool refused = own.routes->refused_share[c] > 1 - 1e-9;
                bool wanted = next->refused_share[c] < 1 - 1e-9;
                assert_int_equal(is_told(transition, i, c), refused && wanted);
                if (!refused || !wanted || before->refused_share[c] > 1 - 1e-9)
                    continue;
                lost++;
                bool victims[CELLS_MAX];
                uint32_t node = find_victims(&own, transition, i, victims);
                assert_false(could_be_served(&own, c, victims, node));
            }
        }
        es_arena_free(own.arena);
    }
    assert_true(es_test_seed(0) != 0 || (lost > 0 && bridges > 0)); /* both did occur */
}

/* Two models that take turns on a full node: the class crosses over a bridge, or is told that it
 * cannot. */
static void swap_on_a_full_node(double cloud_bytes, bool bridged)
{
    es_world world;
    es_world_init(&world);
    world.nodes[ES_WORLD_PHONE].memory_bytes = 0;
    world.nodes[ES_WORLD_EDGE].memory_bytes = 1.5e6;
    world.nodes[ES_WORLD_CLOUD].memory_bytes = cloud_bytes;
    es_world_seal(&world);
    es_world_route(&world, 0, ES_WORLD_P_TINY, ES_WORLD_EDGE, 0, 1);
    es_world_route(&world, 1, ES_WORLD_P_TINY, ES_WORLD_EDGE, 0, 1);
    es_plan now = world.plan;
    es_routing before[2];
    memcpy(before, world.routings, sizeof before);
    now.routings = before;
    world.plan.routing_count = 0;
    world.plan.placement_count = 0;
    es_world_route(&world, 0, ES_WORLD_P_LARGE, ES_WORLD_EDGE, 0, 1);
    es_world_route(&world, 1, ES_WORLD_P_LARGE, ES_WORLD_EDGE, 0, 1);
    bool hosted[ES_WORLD_NODES * ES_WORLD_SEGMENTS] = {0};
    hosted[ES_WORLD_EDGE * ES_WORLD_SEGMENTS + ES_WORLD_TINY] = true;
    const es_idn *idn = NULL;
    const es_transition *transition = NULL;
    es_error err = {0};
    es_text text;
    assert_ok_err(es_idn_from_scenario(world.arena, &world.scenario, &idn, &err), err);
    es_transition_given given = {.scenario = &world.scenario,
                                 .idn = idn,
                                 .hosted = hosted,
                                 .now = &now,
                                 .next = &world.plan};
    assert_ok_err(es_transition_plan(world.arena, &given, &transition, &err), err);
    es_text_init(&text, 1 << 16);
    for (size_t i = 0; i < transition->step_count; i++) {
        es_transition_tell(transition, &world.scenario, i, &text);
        es_text_append(&text, "\n");
    }
    assert_string_equal(es_text_get(&text),
                        bridged ? "load 'large' on 'cloud'\n"
                                  "route 1 of 2; 'detect at phone' has fewer ways meanwhile; "
                                  "'detect at edge box' has fewer ways meanwhile\n"
                                  "drain\n"
                                  "unload 'tiny' on 'edge box'\n"
                                  "load 'large' on 'edge box'\n"
                                  "route 2 of 2\n"
                                  "drain\n"
                                  "unload 'large' on 'cloud'\n"
                                : "route 1 of 2; 'detect at phone' has no way meanwhile; "
                                  "'detect at edge box' has no way meanwhile\n"
                                  "drain\n"
                                  "unload 'tiny' on 'edge box'\n"
                                  "load 'large' on 'edge box'\n"
                                  "route 2 of 2\n");
    es_text_done(&text);
    es_world_done(&world);
}

static void a_bridge_where_there_is_room(void **state)
{
    (void)state;
    swap_on_a_full_node(1e6, true);
    swap_on_a_full_node(0, false);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    es_world world;
    bool hosted[ES_WORLD_NODES * ES_WORLD_SEGMENTS] = {0};
    const es_transition *transition = NULL;
    es_error err = {0};
    es_world_init(&world);
    world.nodes[ES_WORLD_EDGE].memory_bytes = 1.5e6;
    es_world_seal(&world);
    es_world_route(&world, 0, ES_WORLD_P_CASCADE, ES_WORLD_EDGE, ES_WORLD_EDGE, 1);
    es_transition_given given = {
        .scenario = &world.scenario, .hosted = hosted, .next = &world.plan};
    assert_fails(es_transition_plan(world.arena, &given, &transition, &err), ES_ERR_ARG, err,
                 "wants 2e+06 bytes on node 'edge box' of 1.5e+06");
    world.plan.placement_count = 1;
    assert_fails(es_transition_plan(world.arena, &given, &transition, &err), ES_ERR_ARG, err,
                 "routes 'cascade' over 'large' on node 'edge box'");
    es_world_done(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_moment_is_sound),
        cmocka_unit_test(it_resumes_anywhere),
        cmocka_unit_test(a_node_may_go_at_any_step),
        cmocka_unit_test(no_class_is_left_alone_needlessly),
        cmocka_unit_test(a_bridge_where_there_is_room),
        cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
