/* Fuzz: any bytes give a scenario or an error; a scenario can be priced and re-timed. The first
 * byte '{' makes it JSON. */
#include "scenario/scenario.h"

#include <assert.h>
#include <math.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(es_arena *arena, const es_scenario *scenario)
{
    double *times = ES_TAKE_ARRAY(arena, double, scenario->segment_count);
    if (times == NULL)
        return;
    for (uint32_t s = 0; s < scenario->segment_count; s++)
        times[s] = s % 2 == 0 ? 1e-3 : (double)NAN;
    const es_scenario *changed = NULL;
    if (es_scenario_with_host_times(arena, scenario, times, &changed, NULL) != ES_OK)
        return;
    uint32_t nodes = es_network_node_count(scenario->network);
    for (uint32_t p = 0; p < scenario->pipeline_count; p++) {
        es_node_id at[ES_STAGE_COUNT_MAX];
        for (uint32_t k = 0; k < ES_STAGE_COUNT_MAX; k++)
            at[k].index = (p + k) % nodes;
        es_price price =
            es_scenario_price(changed, (es_class_id){.index = 0}, (es_pipeline_id){.index = p}, at);
        assert(!isnan(price.cost));
        assert(!isnan(price.latency_max_s));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    es_arena *arena = es_arena_new((size_t)16 << 20);
    if (arena == NULL)
        return 0;
    const es_scenario *scenario = NULL;
    es_error err;
    bool json = size > 0 && data[0] == '{';
    if (es_scenario_parse(arena, "fuzz", NULL, (const char *)data, size, json, &scenario, &err) ==
        ES_OK)
        use(arena, scenario);
    es_arena_free(arena);
    return 0;
}
