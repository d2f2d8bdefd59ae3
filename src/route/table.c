/* Routes ready to be looked up: sealed, counted, shared by loops. */
#include "choose.h"
#include "routes_internal.h"

#include <assert.h>
#include <stdatomic.h>

/* What is being built. */
typedef struct builder {
    es_arena *arena;
    es_arena *scratch; /* reset for every route */
    es_serve_table *table;
    const char **nodes;
    size_t node_slot_count;
    uint32_t *node_slots; /* 1 + number in nodes */
    es_error *err;
} builder;

static es_status take(builder *b, size_t count, size_t size, void **out)
{
    return es_arena_take_or_fail(b->arena, count, size, "table of routes", out, b->err);
}

#define TAKE(b, count, out)                                                                        \
    __extension__({                                                                                \
        void *taken_ = NULL;                                                                       \
        es_status status_ = take((b), (count), sizeof **(out), &taken_);                           \
        if (status_ == ES_OK)                                                                      \
            *(out) = taken_;                                                                       \
        status_;                                                                                   \
    })

/* The number of a node by its name, a new one when it is new. */
static uint32_t number_of(builder *b, const char *name)
{
    size_t mask = b->node_slot_count - 1;
    size_t at = (size_t)es_serve_hash(name, "") & mask;
    for (; b->node_slots[at] != 0; at = (at + 1) & mask)
        if (strcmp(b->nodes[b->node_slots[at] - 1], name) == 0)
            return b->node_slots[at] - 1;
    const char *kept = es_arena_text(b->arena, name);
    if (kept == NULL)
        return UINT32_MAX;
    b->nodes[b->table->node_count] = kept;
    b->node_slots[at] = ++b->table->node_count;
    return b->table->node_count - 1;
}

static es_status count_all(builder *b, size_t *out_stages)
{
    const es_serve_routes *routes = b->table->routes;
    uint32_t *first = NULL;
    ES_TRY(TAKE(b, routes->class_count + 1, &first));
    size_t stages = 0;
    for (size_t c = 0; c < routes->class_count; c++) {
        first[c + 1] = first[c] + (uint32_t)routes->classes[c].option_count;
        for (size_t o = 0; o < routes->classes[c].option_count; o++)
            stages += routes->classes[c].options[o].stage_count;
    }
    b->table->first_option = first;
    b->table->option_count = first[routes->class_count];
    *out_stages = stages;
    return ES_OK;
}

/* Shares add up to 1 to 1e-6 only; over a million requests that would be one. */
static void put_shares(const es_serve_class *class, double *shares, double *refused_share)
{
    double sum = class->refused_share;
    for (size_t o = 0; o < class->option_count; o++)
        sum += class->options[o].share;
    for (size_t o = 0; o < class->option_count; o++)
        shares[o] = class->options[o].share / sum;
    *refused_share = class->refused_share / sum;
}

static es_status put_stages(builder *b, const es_serve_option *option, uint32_t *stage_nodes)
{
    es_serve_route route;
    es_arena_reset(b->scratch);
    ES_TRY(es_serve_route_decode(b->scratch, option->route, &route, b->err));
    assert(route.stage_count == option->stage_count);
    for (uint32_t k = 0; k < route.stage_count; k++)
        if ((stage_nodes[k] = number_of(b, route.stages[k].node)) == UINT32_MAX)
            return es_arena_full(b->arena, "table of routes", b->err);
    return ES_OK;
}

static es_status put_options(builder *b, size_t stage_count)
{
    es_serve_table *table = b->table;
    const es_serve_routes *routes = table->routes;
    double *shares = NULL;
    double *refused = NULL;
    uint32_t *first_stage = NULL;
    uint32_t *stage_nodes = NULL;
    ES_TRY(TAKE(b, table->option_count, &shares));
    ES_TRY(TAKE(b, routes->class_count, &refused));
    ES_TRY(TAKE(b, table->option_count + 1, &first_stage));
    ES_TRY(TAKE(b, stage_count, &stage_nodes));
    ES_TRY(TAKE(b, stage_count, &b->nodes));
    b->node_slot_count = es_serve_table_size(stage_count);
    ES_TRY(TAKE(b, b->node_slot_count, &b->node_slots));
    uint32_t option = 0;
    for (size_t c = 0; c < routes->class_count; c++) {
        const es_serve_class *class = &routes->classes[c];
        put_shares(class, shares + option, &refused[c]);
        for (size_t o = 0; o < class->option_count; o++, option++) {
            first_stage[option + 1] = first_stage[option] + class->options[o].stage_count;
            ES_TRY(put_stages(b, &class->options[o], stage_nodes + first_stage[option]));
        }
    }
    table->shares = shares;
    table->refused_shares = refused;
    table->first_stage = first_stage;
    table->stage_nodes = stage_nodes;
    table->nodes = b->nodes;
    return ES_OK;
}

static es_status put_names(builder *b)
{
    es_serve_table *table = b->table;
    const es_serve_routes *routes = table->routes;
    size_t count = es_serve_table_size(routes->class_count);
    size_t mask = count - 1;
    uint32_t *by_place = NULL;
    uint32_t *by_task = NULL;
    bool *only_one = NULL;
    ES_TRY(TAKE(b, count, &by_place));
    ES_TRY(TAKE(b, count, &by_task));
    ES_TRY(TAKE(b, routes->class_count, &only_one));
    for (uint32_t c = 0; c < routes->class_count; c++) {
        const es_serve_class *class = &routes->classes[c];
        size_t at = (size_t)es_serve_hash(class->task, class->entry) & mask;
        while (by_place[at] != 0)
            at = (at + 1) & mask;
        by_place[at] = c + 1;
        at = (size_t)es_serve_hash(class->task, "") & mask;
        while (by_task[at] != 0 && strcmp(routes->classes[by_task[at] - 1].task, class->task) != 0)
            at = (at + 1) & mask;
        if (by_task[at] == 0)
            by_task[at] = c + 1;
        else
            only_one[by_task[at] - 1] = false;
        only_one[c] = by_task[at] == c + 1;
    }
    table->slot_count = count;
    table->by_place = by_place;
    table->by_task = by_task;
    table->only_one = only_one;
    return ES_OK;
}

es_status es_serve_table_new(es_arena *arena, const es_serve_routes *routes,
                             es_serve_table **out_table, es_error *err)
{
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(1 << 20);
    es_serve_table *table = ES_TAKE_ONE(arena, es_serve_table);
    if (scratch == NULL || table == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for the table of routes");
    builder b = {.arena = arena, .scratch = scratch, .table = table, .err = err};
    size_t stage_count = 0;
    table->routes = routes;
    ES_TRY(count_all(&b, &stage_count));
    ES_TRY(put_options(&b, stage_count));
    ES_TRY(put_names(&b));
    table->arena = arena;
    atomic_init(&table->refs, 1);
    *out_table = table;
    return ES_OK;
}

es_serve_table *es_serve_table_ref(es_serve_table *table)
{
    atomic_fetch_add_explicit(&table->refs, 1, memory_order_relaxed);
    return table;
}

void es_serve_table_unref(es_serve_table *table)
{
    if (table != NULL && atomic_fetch_sub_explicit(&table->refs, 1, memory_order_acq_rel) == 1)
        es_arena_free(table->arena);
}

static size_t task_slot(const es_serve_table *table, const char *task)
{
    const es_serve_class *classes = table->routes->classes;
    size_t mask = table->slot_count - 1;
    size_t at = (size_t)es_serve_hash(task, "") & mask;
    while (table->by_task[at] != 0 && strcmp(classes[table->by_task[at] - 1].task, task) != 0)
        at = (at + 1) & mask;
    return at;
}

bool es_serve_table_is_first(const es_serve_table *table, uint32_t class_index)
{
    const char *task = table->routes->classes[class_index].task;
    return table->by_task[task_slot(table, task)] == class_index + 1;
}

uint32_t es_serve_table_class(const es_serve_table *table, const char *task, const char *entry)
{
    const es_serve_class *classes = table->routes->classes;
    size_t mask = table->slot_count - 1;
    if (entry == NULL) {
        uint32_t first = table->by_task[task_slot(table, task)];
        if (first == 0)
            return ES_SERVE_CLASS_NONE;
        return table->only_one[first - 1] ? first - 1 : ES_SERVE_CLASS_MANY;
    }
    size_t at = (size_t)es_serve_hash(task, entry) & mask;
    for (; table->by_place[at] != 0; at = (at + 1) & mask) {
        uint32_t c = table->by_place[at] - 1;
        if (strcmp(classes[c].task, task) == 0 && strcmp(classes[c].entry, entry) == 0)
            return c;
    }
    return ES_SERVE_CLASS_NONE;
}

uint32_t es_serve_table_node(const es_serve_table *table, const char *name)
{
    for (uint32_t v = 0; v < table->node_count; v++)
        if (strcmp(table->nodes[v], name) == 0)
            return v;
    return UINT32_MAX;
}
