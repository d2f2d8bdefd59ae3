/* idn-rec-1: the setting of spec/inference-delivery.md §1.8. Every constant here is a
 * reconstruction from memory; quality of five variants and the ranks' meaning excepted, none was
 * found in a text, and no result with it is the paper's. */
#include "online/internal.h"

enum {
    CLOUDS = 1,
    CENTRES = 1,
    OFFICES_2 = 2,
    OFFICES_3 = 8,
    STATIONS = 24,
    NODES = CLOUDS + CENTRES + OFFICES_2 + OFFICES_3 + STATIONS,
    TASKS = 20,
    VARIANTS = 6,
    COPIES = 3,
    HOPS = 5,
    MODELS = TASKS * VARIANTS,
    SHIFT_RANKS = 5
};
#define RATE_RPS 7500.0
#define ZIPF 1.2
#define SLOT_S 60.0
#define MB 1e6
#define GB 1e9

typedef struct variant {
    const char *name;
    double quality; /* mAP@0.5 */
    double size_mb;
    double fps_titan, fps_980;
} variant;

static const variant variants[VARIANTS] = {
    {"yolov4-608", 0.657, 1577, 41.7, 14.2},   {"yolov4-512", 0.649, 1185, 55.5, 18.9},
    {"yolov4-416", 0.628, 1009, 73.8, 25.1},   {"yolov4-320", 0.600, 805, 100, 37},
    {"yolov4-tiny-416", 0.402, 187, 888, 292}, {"yolov4-tiny-288", 0.344, 160, 1272, 542},
};

/* Of the tiers from the cloud down. */
static const uint32_t tier_first[HOPS + 1] = {0, 1, 2, 4, 12, NODES};
static const uint32_t fan_out[HOPS] = {0, 1, 2, 4, 3};
static const double rtt_ms[HOPS] = {0, 40, 15, 6, 6}; /* to the tier above */
static const double budget_gb[HOPS] = {(double)INFINITY, 16, 12, 8, 4};
static const char *const tier_words[HOPS] = {"cloud", "centre", "office2", "office3", "station"};
static const es_tier tiers_of[HOPS] = {ES_TIER_CLOUD, ES_TIER_NETWORK, ES_TIER_NETWORK,
                                       ES_TIER_EDGE, ES_TIER_EDGE};

static uint32_t tier_of(uint32_t node)
{
    uint32_t tier = 0;
    while (node >= tier_first[tier + 1])
        tier++;
    return tier;
}

static uint32_t parent_of(uint32_t node)
{
    uint32_t tier = tier_of(node);
    return tier_first[tier - 1] + (node - tier_first[tier]) / fan_out[tier];
}

static double fps_of(uint32_t node, uint32_t v)
{
    return tier_of(node) <= 2 ? variants[v].fps_titan : variants[v].fps_980;
}

static es_status name_all(es_arena *arena, es_idn *idn, es_error *err)
{
    const char **nodes = NULL;
    const char **models = NULL;
    const char **types = NULL;
    es_tier *tiers = NULL;
    double *budgets = NULL;
    ES_TRY(es_online_take(arena, NODES, sizeof *nodes, &nodes, err));
    ES_TRY(es_online_take(arena, MODELS, sizeof *models, &models, err));
    ES_TRY(es_online_take(arena, (size_t)TASKS * STATIONS, sizeof *types, &types, err));
    ES_TRY(es_online_take(arena, NODES, sizeof *tiers, &tiers, err));
    ES_TRY(es_online_take(arena, NODES, sizeof *budgets, &budgets, err));
    bool full = false;
    for (uint32_t v = 0; v < NODES; v++) {
        uint32_t tier = tier_of(v);
        tiers[v] = tiers_of[tier];
        budgets[v] = budget_gb[tier] * GB;
        nodes[v] = es_arena_format(arena, "%s %u", tier_words[tier], v - tier_first[tier] + 1);
        full = full || nodes[v] == NULL;
    }
    for (uint32_t m = 0; m < MODELS; m++) {
        models[m] =
            es_arena_format(arena, "task %u %s", m / VARIANTS + 1, variants[m % VARIANTS].name);
        full = full || models[m] == NULL;
    }
    for (uint32_t t = 0; t < TASKS * STATIONS; t++) {
        types[t] = es_arena_format(arena, "task %u at station %u", t % TASKS + 1, t / TASKS + 1);
        full = full || types[t] == NULL;
    }
    if (full)
        return es_arena_full(arena, "idn-rec-1", err);
    idn->node_names = nodes;
    idn->model_names = models;
    idn->type_names = types;
    idn->tiers = tiers;
    idn->budget_bytes = budgets;
    return ES_OK;
}

static void fill_type(es_idn_option *options, uint32_t task, uint32_t station, double alpha)
{
    uint32_t node = tier_first[HOPS - 1] + station;
    double path_ms = 0;
    for (uint32_t hop = 0; hop < HOPS; hop++) {
        for (uint32_t v = 0; v < VARIANTS; v++) {
            double fps = fps_of(node, v);
            double latency_ms = path_ms + 1000 / fps;
            options[hop * VARIANTS + v] = (es_idn_option){
                .cost = latency_ms + alpha * (1 - variants[v].quality),
                .capacity = node == 0 ? (double)INFINITY : fps * SLOT_S,
                .latency_s = latency_ms / 1000,
                .quality = variants[v].quality,
                .hop = hop,
                .group = node * TASKS + task,
                .item_count = 1,
                .items = {node * MODELS + task * VARIANTS + v},
                .pipeline = {ES_INDEX_NONE},
                .nodes = {{node}},
            };
        }
        path_ms += rtt_ms[tier_of(node)];
        if (node != 0)
            node = parent_of(node);
    }
}

es_status es_idn_rec_1(es_arena *arena, double alpha, const es_idn **out_idn, es_error *err)
{
    if (!(alpha >= 0 && isfinite(alpha)))
        return es_fail(err, ES_ERR_ARG, "alpha=%g must be finite and >= 0", alpha);
    enum { TYPES = TASKS * STATIONS, PER_TYPE = HOPS * VARIANTS };
    es_idn idn = {.name = "idn-rec-1",
                  .cost_unit = "ms",
                  .slot_s = SLOT_S,
                  .node_count = NODES,
                  .model_count = MODELS,
                  .item_count = NODES * MODELS,
                  .type_count = TYPES,
                  .group_count = NODES * TASKS};
    es_idn_item *items = NULL;
    es_idn_option *options = NULL;
    uint32_t *first = NULL;
    ES_TRY(name_all(arena, &idn, err));
    ES_TRY(es_online_take(arena, idn.item_count, sizeof *items, &items, err));
    ES_TRY(es_online_take(arena, (size_t)TYPES * PER_TYPE, sizeof *options, &options, err));
    ES_TRY(es_online_take(arena, TYPES + 1, sizeof *first, &first, err));
    for (uint32_t i = 0; i < idn.item_count; i++) {
        uint32_t node = i / MODELS;
        items[i] = (es_idn_item){.node = node,
                                 .model = i % MODELS,
                                 .copies = node == 0 ? 1 : COPIES,
                                 .pinned = node == 0,
                                 .size_bytes = variants[i % VARIANTS].size_mb * MB};
    }
    for (uint32_t t = 0; t < TYPES; t++) {
        first[t + 1] = (t + 1) * PER_TYPE;
        fill_type(&options[t * PER_TYPE], t % TASKS, t / TASKS, alpha);
    }
    idn.items = items;
    idn.options = options;
    idn.type_first = first;
    return es_idn_new(arena, &idn, out_idn, err);
}

void es_idn_rec_1_demand(const es_idn *idn, uint32_t slot, uint32_t shift_slots,
                         double *out_requests)
{
    double sum = 0;
    for (uint32_t rank = 1; rank <= TASKS; rank++)
        sum += pow(rank, -ZIPF);
    uint32_t shift = shift_slots > 0 ? slot / shift_slots * SHIFT_RANKS % TASKS : 0;
    for (uint32_t task = 0; task < TASKS; task++) {
        uint32_t rank = (task + shift) % TASKS + 1;
        double requests = RATE_RPS * SLOT_S * pow(rank, -ZIPF) / sum / STATIONS;
        for (uint32_t station = 0; station < STATIONS; station++)
            out_requests[station * TASKS + task] = requests;
    }
    (void)idn; /* the same for every alpha */
}
