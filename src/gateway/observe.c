/* What a controller sees of a gateway: counts since its start, per class, over all loops. */
#include "internal.h"

#include <assert.h>

void es_gateway_views_hold(es_gateway *gateway, const es_gateway_view **out_views)
{
    for (uint32_t i = 0; i < gateway->opts.loop_count; i++) {
        (void)pthread_mutex_lock(&gateway->loops[i].lock);
        out_views[i] = atomic_load(&gateway->loops[i].view);
    }
}

void es_gateway_views_release(es_gateway *gateway)
{
    for (uint32_t i = 0; i < gateway->opts.loop_count; i++)
        (void)pthread_mutex_unlock(&gateway->loops[i].lock);
}

/* The counts of one class, summed. */
typedef struct sums {
    uint64_t arrived, outcomes[ES_GATEWAY_OUTCOME_COUNT], retried, hedged, unmet;
    uint64_t buckets[ES_GATEWAY_BUCKETS];
    int64_t latency_ns;
} sums;

static void add_class(sums *all, const es_gateway_class_counts *counts)
{
    all->arrived += es_gateway_read(&counts->arrived);
    for (size_t i = 0; i < ES_GATEWAY_OUTCOME_COUNT; i++)
        all->outcomes[i] += es_gateway_read(&counts->outcomes[i]);
    all->retried += es_gateway_read(&counts->retried);
    all->hedged += es_gateway_read(&counts->hedged);
    all->unmet += es_gateway_read(&counts->unmet);
    for (size_t i = 0; i < ES_GATEWAY_BUCKETS; i++)
        all->buckets[i] += es_gateway_read(&counts->buckets[i]);
    all->latency_ns += atomic_load_explicit(&counts->latency_ns, memory_order_relaxed);
}

static void write_buckets(es_json *json, const sums *all)
{
    size_t used = ES_GATEWAY_BUCKETS;
    while (used > 0 && all->buckets[used - 1] == 0)
        used--;
    es_json_key(json, "latency_counts");
    es_json_list_begin(json);
    for (size_t i = 0; i < used; i++)
        es_json_int(json, (int64_t)all->buckets[i]);
    es_json_list_end(json);
}

static void write_options(es_json *json, const es_gateway *gateway,
                          const es_gateway_view *const *views, uint32_t c)
{
    const es_serve_table *table = views[0]->routes->table;
    const es_serve_class *class = &table->routes->classes[c];
    es_json_key(json, "options");
    es_json_list_begin(json);
    for (uint32_t o = 0; o < class->option_count; o++) {
        uint64_t taken = 0;
        for (uint32_t i = 0; i < gateway->opts.loop_count; i++)
            if (views[i]->routes->table == table)
                taken += es_gateway_read(&views[i]->taken[table->first_option[c] + o]);
        es_json_map_begin(json);
        es_json_put_text(json, "route", class->options[o].route);
        es_json_put_int(json, "taken", (int64_t)taken);
        es_json_map_end(json);
    }
    es_json_list_end(json);
}

static void write_class(es_json *json, const es_gateway *gateway,
                        const es_gateway_view *const *views, uint32_t c)
{
    const es_serve_class *class = &views[0]->routes->table->routes->classes[c];
    sums all = {0};
    for (uint32_t i = 0; i < gateway->opts.loop_count; i++) {
        uint32_t here = es_serve_table_class(views[i]->routes->table, class->task, class->entry);
        if (here != ES_SERVE_CLASS_NONE) /* loops may be one table apart */
            add_class(&all, views[i]->counts[here]);
    }
    es_json_map_begin(json);
    es_json_put_text(json, "task", class->task);
    es_json_put_text(json, "entry", class->entry);
    es_json_put_int(json, "arrived", (int64_t)all.arrived);
    for (size_t i = 0; i < ES_GATEWAY_OUTCOME_COUNT; i++)
        es_json_put_int(json, es_gateway_outcome_names[i], (int64_t)all.outcomes[i]);
    es_json_put_int(json, "retried", (int64_t)all.retried);
    es_json_put_int(json, "hedged", (int64_t)all.hedged);
    es_json_put_int(json, "unmet", (int64_t)all.unmet);
    es_json_put_number(json, "latency_s_sum", (double)all.latency_ns * 1e-9);
    write_buckets(json, &all);
    write_options(json, gateway, views, c);
    es_json_map_end(json);
}

static void write_draining(es_json *json, const es_gateway *gateway)
{
    es_json_key(json, "draining");
    es_json_list_begin(json);
    for (uint32_t i = 0; i < gateway->opts.loop_count; i++)
        for (const es_gateway_view *view = gateway->loops[i].retired; view != NULL;
             view = view->next) {
            es_json_map_begin(json);
            es_json_put_int(json, "generation", view->routes->table->routes->generation);
            es_json_put_int(json, "under_way", (int64_t)es_gateway_read(&view->under_way));
            es_json_map_end(json);
        }
    es_json_list_end(json);
}

static void write_head(es_json *json, const es_gateway *gateway,
                       const es_gateway_view *const *views)
{
    uint64_t under_way = 0;
    uint64_t stray = 0;
    for (uint32_t i = 0; i < gateway->opts.loop_count; i++) {
        stray += es_gateway_read(&gateway->loops[i].registry.stray);
        under_way += views[i] != NULL ? es_gateway_read(&views[i]->under_way) : 0;
    }
    es_json_put_text(json, "name", gateway->opts.name);
    es_json_put_int(json, "epoch_s", gateway->start_wall_s);
    es_json_put_number(json, "up_s",
                       es_s_from_ns(es_clock_now_ns(gateway->clock) - gateway->start_ns));
    es_json_put_int(json, "generation",
                    views[0] != NULL ? views[0]->routes->table->routes->generation : 0);
    es_json_put_bool(json, "kept", !gateway->unkept);
    es_json_put_int(json, "under_way", (int64_t)under_way);
    es_json_put_int(json, "stray", (int64_t)stray);
    write_draining(json, gateway);
    es_json_key(json, "latency_ends_ms");
    es_json_list_begin(json);
    for (uint32_t b = 0; b + 1 < ES_GATEWAY_BUCKETS; b++)
        es_json_number(json, es_gateway_bucket_s(b) * 1e3);
    es_json_list_end(json);
}

void es_gateway_observe_write(es_gateway *gateway, es_text *out)
{
    const es_gateway_view *views[ES_GATEWAY_LOOPS_MAX];
    es_json json;
    es_json_init(&json, out, true);
    es_gateway_views_hold(gateway, views);
    es_json_map_begin(&json);
    write_head(&json, gateway, views);
    es_json_key(&json, "classes");
    es_json_list_begin(&json);
    bool all = true;
    for (uint32_t i = 0; i < gateway->opts.loop_count; i++)
        all = all && views[i] != NULL;
    for (uint32_t c = 0; all && c < views[0]->routes->table->routes->class_count; c++)
        write_class(&json, gateway, views, c);
    es_json_list_end(&json);
    es_json_map_end(&json);
    es_gateway_views_release(gateway);
}
