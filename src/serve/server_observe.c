/* GET /estran/v1/observe: cumulative figures for a controller; the difference of two is a slot. A
 * new epoch says that counting began anew. */
#include "base/clock.h"
#include "server.h"

#include <math.h>

enum { TEXT_BYTES_MAX = 64 << 20 };

static void put_model(es_json *json, const es_server *server, const es_served *served,
                      const es_batcher_stats *stats)
{
    const es_served_counts *counts = &served->counts;
    double energy_j =
        (double)(atomic_load(&counts->energy_model_pj) + atomic_load(&counts->energy_counted_pj)) /
        1e12;
    es_json_map_begin(json);
    es_json_put_text(json, "name", served->name);
    es_json_put_text(json, "version", served->version_text);
    es_json_put_int(json, "number", (int64_t)served->number);
    es_json_key(json, "requests");
    es_json_map_begin(json);
    for (size_t i = 0; i < ES_SERVED_OUTCOME_COUNT; i++)
        es_json_put_int(json, es_served_outcome_names[i],
                        (int64_t)atomic_load(&counts->outcomes[i].count));
    es_json_map_end(json);
    es_json_put_int(json, "rows", (int64_t)stats->rows);
    es_json_put_int(json, "runs", (int64_t)stats->runs);
    es_json_put_number(json, "busy_s", es_s_from_ns(stats->run_ns));
    es_json_put_number(json, "queue_s", es_s_from_ns(stats->queue_ns));
    es_json_put_int(json, "waiting", (int64_t)stats->waiting);
    es_json_put_int(json, "running", (int64_t)stats->running);
    es_json_put_int(json, "replicas", served->config.replica_count);
    es_json_put_number(json, "energy_j", energy_j);
    es_json_put_number(json, "carbon_g", es_joules_grams(server->joules, energy_j));
    es_json_map_end(json);
}

void es_server_observe(void *context, es_http_request *request)
{
    es_server *server = context;
    es_server_listing all;
    es_text text;
    es_json json;
    es_joules_total total;
    double busy_s = 0;
    int64_t waiting = 0;
    if (!es_server_listing_take(server, request, &all))
        return;
    es_joules_total_get(server->joules, &total);
    es_text_init(&text, TEXT_BYTES_MAX);
    es_json_init(&json, &text, true);
    es_json_map_begin(&json);
    es_json_put_text(&json, "format", "estran-observation");
    es_json_put_int(&json, "version", 1);
    es_json_put_text(&json, "node", server->opts.name);
    es_json_put_int(&json, "epoch", server->start_wall_ns);
    es_json_put_number(&json, "elapsed_s",
                       es_s_from_ns(es_clock_now_ns(server->clock) - server->start_ns));
    es_json_key(&json, "models");
    es_json_list_begin(&json);
    for (size_t i = 0; i < all.count; i++) {
        es_batcher_stats stats;
        if (all.entries[i].served == NULL)
            continue;
        es_batcher_stats_get(all.entries[i].served->batcher, &stats, NULL, 0);
        busy_s += es_s_from_ns(stats.run_ns);
        waiting += (int64_t)stats.waiting;
        put_model(&json, server, all.entries[i].served, &stats);
    }
    es_json_list_end(&json);
    if (server->machine != NULL) { /* what the emulated processors were busy with */
        es_machine_stats machine;
        es_machine_stats_get(server->machine, es_clock_now_ns(server->clock), &machine);
        busy_s = machine.busy_s;
        waiting = (int64_t)machine.waiting;
    }
    es_json_put_number(&json, "busy_s", busy_s); /* of models that are still there */
    es_json_put_int(&json, "waiting", waiting);
    es_json_put_number(&json, "process_s", total.busy_s);
    es_json_put_number(&json, "energy_j", total.energy_j);
    es_json_put_text(&json, "energy_source", total.source);
    es_json_put_int(&json, "memory_bytes", (int64_t)es_server_memory_bytes());
    es_json_map_end(&json);
    es_server_listing_done(&all);
    es_http_answer_json(request, 200, &text);
}
