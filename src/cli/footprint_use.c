/* From outcomes to footprints: grids, PUE, water and hardware of every node that was used. */
#include "cli/footprint.h"

#include <math.h>

enum { SERIES_MAX = 64, SOURCES_MAX = 256, NAME_SIZE = 192 };

typedef struct work {
    es_cli *cli;
    const es_footprint_options *chosen;
    const es_scenario *scenario;
    const es_factors *factors;
    size_t series_count;
    const char *series_zones[SERIES_MAX];
    const es_intensity *series[SERIES_MAX];
    const char *sources[SOURCES_MAX];
    size_t source_count;
} work;

static es_status add_source(work *w, const char *text, es_error *err)
{
    if (text == NULL)
        return es_arena_full(w->cli->arena, "sources", err);
    for (size_t i = 0; i < w->source_count; i++)
        if (strcmp(w->sources[i], text) == 0)
            return ES_OK;
    if (w->source_count == SOURCES_MAX)
        return es_fail(err, ES_ERR_LIMIT, "more than %d sources", SOURCES_MAX);
    w->sources[w->source_count++] = text;
    return ES_OK;
}

static es_status add_factor(work *w, const char *what, const es_factor *factor, es_error *err)
{
    return add_source(w,
                      es_arena_format(w->cli->arena, "%s: %s %lld, %s [%s]", what, factor->source,
                                      (long long)factor->year, factor->scope, factor->tag),
                      err);
}

es_status es_footprint_split(es_cli *cli, const char *option, const char *words,
                             const char **out_name, const char **out_value, es_error *err)
{
    const char *equals = strchr(words, '=');
    *out_name = NULL;
    *out_value = words;
    if (equals == NULL)
        return ES_OK;
    if (equals == words || equals[1] == '\0')
        return es_fail(err, ES_ERR_ARG, "--%s: '%s', expected NAME=VALUE", option, words);
    *out_name = es_arena_text_n(cli->arena, words, (size_t)(equals - words));
    *out_value = equals + 1;
    return *out_name != NULL ? ES_OK : es_arena_full(cli->arena, option, err);
}

/* The value given for name in a list of NAME=VALUE, the last one winning; a bare VALUE is for all
 * the others. NULL: none. */
static es_status lookup(work *w, const char *option, const es_cli_texts *texts, const char *name,
                        const char **out, es_error *err)
{
    bool exact = false;
    *out = NULL;
    for (size_t i = 0; i < texts->count; i++) {
        const char *left = NULL;
        const char *right = NULL;
        ES_TRY(es_footprint_split(w->cli, option, texts->items[i], &left, &right, err));
        if (left != NULL && strcmp(left, name) == 0) {
            *out = right;
            exact = true;
        } else if (left == NULL && !exact) {
            *out = right;
        }
    }
    return ES_OK;
}

static es_status zone_of(work *w, const es_node *node, const char **out_zone, es_error *err)
{
    const char *given = NULL;
    const char *own = node->carbon_zone != NULL ? node->carbon_zone : "";
    ES_TRY(lookup(w, "zone", &w->chosen->zones, node->name, &given, err));
    /* a bare --zone is for nodes without one */
    for (size_t i = 0; own[0] != '\0' && given != NULL && i < w->chosen->zones.count; i++)
        if (given == w->chosen->zones.items[i])
            given = NULL;
    const char *zone = given != NULL ? given : own;
    *out_zone = zone[0] != '\0' ? es_factors_zone(w->factors, zone) : "";
    return ES_OK;
}

static es_status series_grid(work *w, const es_node *node, const char *zone, const double *joules,
                             size_t slots, es_impact *out, es_error *err)
{
    for (size_t i = 0; i < w->series_count; i++) {
        double mean = 0;
        if (strcmp(w->series_zones[i], zone) != 0)
            continue;
        ES_TRY(es_intensity_weighted(w->series[i], w->chosen->from_h * 3600, w->scenario->slot_s,
                                     joules, slots, &mean, err));
        out->of[ES_CRITERION_GWP] = es_estimate_exact(mean);
        return ES_OK;
    }
    return es_fail(err, ES_ERR_ARG,
                   "node '%s': zone '%s' has no --series, others have; sources are never mixed",
                   node->name, zone);
}

/* The node's own grid: its series in the scenario where it has one, by the joules of each slot. */
static double scenario_grid(const work *w, es_node_id id, const double *joules, size_t slots)
{
    const es_scenario *scenario = w->scenario;
    const es_series *series =
        scenario->node_events != NULL ? scenario->node_events[id.index].carbon : NULL;
    double sum = 0;
    double weight = 0;
    double slot_s = scenario->slot_s;
    if (series == NULL)
        return es_network_node(scenario->network, id)->carbon_gco2e_per_kwh;
    for (size_t s = 0; s < slots; s++) {
        sum += joules[s] * es_series_mean(series, (double)s * slot_s, (double)(s + 1) * slot_s);
        weight += joules[s];
    }
    return weight > 0 ? sum / weight : es_series_mean(series, 0, (double)slots * slot_s);
}

/* One kWh at a node. Criteria that the chosen source does not know stay unknown. */
static es_status grid_of(work *w, es_node_id id, const double *joules, size_t slots, es_impact *out,
                         es_error *err)
{
    const es_node *node = es_network_node(w->scenario->network, id);
    const char *zone = NULL;
    for (int c = 0; c < ES_CRITERION_COUNT; c++)
        out->of[c] = es_estimate_unknown();
    ES_TRY(zone_of(w, node, &zone, err));
    if (w->series_count > 0)
        return series_grid(w, node, zone, joules, slots, out, err);
    if (strcmp(w->chosen->grid, "scenario") == 0) {
        out->of[ES_CRITERION_GWP] = es_estimate_exact(scenario_grid(w, id, joules, slots));
        return add_source(w, "grid: the scenario's own grams per kWh", err);
    }
    if (zone[0] == '\0')
        return es_fail(err, ES_ERR_ARG, "node '%s' has no carbon_zone: give --zone %s=ZONE",
                       node->name, node->name);
    ES_TRY(es_within(err, es_impact_grid(w->factors, zone, w->chosen->grid, out, err), "node '%s'",
                     node->name));
    char name[NAME_SIZE];
    (void)snprintf(name, sizeof name, "grid/%s/gwp", zone);
    return add_factor(w, "grid", es_factors_find(w->factors, name, w->chosen->grid), err);
}

/* A number given for the tier, or pue/WORD, or pue/TIER. */
static es_status pue_of(work *w, const char *tier, es_estimate *out, es_error *err)
{
    const char *given = NULL;
    double number = 0;
    char name[NAME_SIZE];
    const es_factor *factor = NULL;
    ES_TRY(lookup(w, "pue", &w->chosen->pue, tier, &given, err));
    if (given != NULL && es_text_to_double(given, &number)) {
        if (number < 1)
            return es_fail(err, ES_ERR_ARG, "--pue: %s must be >= 1", given);
        *out = es_estimate_exact(number);
        return add_source(
            w, es_arena_format(w->cli->arena, "PUE of %s: %g, as given", tier, number), err);
    }
    (void)snprintf(name, sizeof name, "pue/%.100s", given != NULL ? given : tier);
    ES_TRY(es_within(err, es_factors_need(w->factors, name, NULL, "1", &factor, err), "PUE of %s",
                     tier));
    *out = factor->is;
    char what[NAME_SIZE];
    (void)snprintf(what, sizeof what, "PUE of %s", tier);
    return add_factor(w, what, factor, err);
}

static es_status water_of(work *w, const char *tier, es_estimate *out, es_error *err)
{
    const char *given = NULL;
    double number = 0;
    *out = es_estimate_unknown();
    ES_TRY(lookup(w, "water", &w->chosen->water, tier, &given, err));
    if (given == NULL)
        return ES_OK;
    if (!es_text_to_double(given, &number) || number < 0)
        return es_fail(err, ES_ERR_ARG, "--water: '%s' must be litres per kWh, >= 0", given);
    *out = es_estimate_exact(number);
    return add_source(
        w, es_arena_format(w->cli->arena, "water on site of %s: %g L/kWh, as given", tier, number),
        err);
}

static es_status hardware_of(work *w, const es_node *node, double on_s, double busy_s,
                             es_impact *out, es_error *err)
{
    const char *given = NULL;
    const char *source = NULL;
    double life_h = 0;
    es_impact piece;
    *out = es_impact_zero();
    if (w->chosen->hardware.count == 0)
        return ES_OK;
    const char *kind = node->kind != NULL && node->kind[0] != '\0' ? node->kind : node->name;
    ES_TRY(lookup(w, "hardware", &w->chosen->hardware, kind, &given, err));
    if (given == NULL)
        return es_fail(err, ES_ERR_ARG,
                       "node '%s' of kind '%s' has no --hardware, others have: give "
                       "--hardware %s=NAME",
                       node->name, kind, kind);
    ES_TRY(es_within(err, es_impact_hardware(w->factors, given, &piece, &life_h, &source, err),
                     "--hardware %s", kind));
    double share = w->chosen->allocate == ES_ALLOCATE_BUSY && on_s > 0
                       ? fmin(busy_s / (on_s * fmax(node->processors, 1)), 1)
                       : 1;
    *out = es_impact_share(piece, life_h, on_s, share);
    return add_source(w,
                      es_arena_format(w->cli->arena, "hardware of %s: %s, %s, %g h of life", kind,
                                      given, source, life_h),
                      err);
}

static es_boundary part_of(es_tier tier)
{
    static const es_boundary parts[ES_TIER_COUNT] = {ES_BOUNDARY_DEVICE, ES_BOUNDARY_EDGE,
                                                     ES_BOUNDARY_NETWORK, ES_BOUNDARY_CLOUD};
    return parts[tier];
}

/* false in *out_used: the node was never on. */
static es_status node_use(work *w, const es_outcome *outcome, uint32_t v, double *joules,
                          es_footprint_use *out, bool *out_used, es_error *err)
{
    es_node_id id = es_network_node_find(w->scenario->network, outcome->node_names[v]);
    if (es_node_is_none(id))
        return es_fail(err, ES_ERR_ARG, "the outcome's node '%s' is not in the scenario",
                       outcome->node_names[v]);
    const es_node *node = es_network_node(w->scenario->network, id);
    *out = (es_footprint_use){.place = node->name, .part = part_of(node->tier)};
    double on_s = 0;
    double busy_s = 0;
    for (uint32_t s = 0; s < outcome->slot_count; s++) {
        const es_node_use *use = &outcome->node_uses[(size_t)s * outcome->node_count + v];
        joules[s] = use->dynamic_j + use->idle_j;
        out->dynamic_j += use->dynamic_j;
        out->idle_j += use->idle_j;
        on_s += use->duration_s;
        busy_s += use->busy_s;
    }
    *out_used = on_s > 0;
    if (!*out_used)
        return ES_OK;
    ES_TRY(grid_of(w, id, joules, outcome->slot_count, &out->grid, err));
    ES_TRY(pue_of(w, es_tier_name(node->tier), &out->pue, err));
    ES_TRY(water_of(w, es_tier_name(node->tier), &out->site_l_kwh, err));
    return hardware_of(w, node, on_s, busy_s, &out->embodied, err);
}

/* Links have no grid of their own: the mean of the nodes that were on, and their ends as bounds. */
static es_footprint_use network_use(const es_outcome *outcome, const es_footprint_use *nodes,
                                    size_t count)
{
    es_footprint_use use = {.place = "links",
                            .part = ES_BOUNDARY_NETWORK,
                            .dynamic_j = outcome->total.energy_network_j,
                            .pue = es_estimate_exact(1),
                            .site_l_kwh = es_estimate_unknown()};
    for (int c = 0; c < ES_CRITERION_COUNT; c++) {
        es_estimate sum = {.low = (double)INFINITY};
        for (size_t i = 0; i < count; i++) {
            sum.low = fmin(sum.low, nodes[i].grid.of[c].low);
            sum.high = fmax(sum.high, nodes[i].grid.of[c].high);
            sum.value += nodes[i].grid.of[c].value / (double)count;
        }
        use.grid.of[c] = isfinite(sum.value) && count > 0 ? sum : es_estimate_unknown();
    }
    return use;
}

static es_status make(work *w, const es_outcome *outcome, const es_footprint **out, es_error *err)
{
    es_footprint_use *uses =
        ES_TAKE_ARRAY(w->cli->arena, es_footprint_use, (size_t)outcome->node_count + 1);
    double *joules = ES_TAKE_ARRAY(w->cli->arena, double, (size_t)outcome->slot_count + 1);
    if (uses == NULL || joules == NULL)
        return es_arena_full(w->cli->arena, "uses", err);
    size_t count = 0;
    for (uint32_t v = 0; v < outcome->node_count; v++) {
        bool used = false;
        ES_TRY(node_use(w, outcome, v, joules, &uses[count], &used, err));
        count += used;
    }
    if (outcome->total.energy_network_j > 0) {
        uses[count] = network_use(outcome, uses, count);
        count++;
        ES_TRY(add_source(w, "links: joules per bit of the scenario, mean grid of the nodes in use",
                          err));
    }
    uint32_t boundary = 1u << ES_BOUNDARY_DEVICE | 1u << ES_BOUNDARY_EDGE |
                        1u << ES_BOUNDARY_NETWORK | 1u << ES_BOUNDARY_CLOUD |
                        1u << ES_BOUNDARY_IDLE | 1u << ES_BOUNDARY_COOLING;
    if (w->chosen->hardware.count > 0)
        boundary |= 1u << ES_BOUNDARY_EMBODIED;
    es_footprint_frame frame = {.units = outcome->total.served,
                                .unit = "served request",
                                .duration_s = outcome->slot_s * outcome->slot_count,
                                .boundary = boundary,
                                .sources = w->sources};
    return es_footprint_make(w->cli->arena, uses, count, frame, out, err);
}

static es_status load_tables(work *w, es_error *err)
{
    const es_footprint_options *chosen = w->chosen;
    ES_TRY(es_factors_builtin(w->cli->arena, &w->factors, err));
    for (size_t i = 0; i < chosen->factors.count; i++)
        ES_TRY(
            es_factors_load(w->cli->arena, chosen->factors.items[i], w->factors, &w->factors, err));
    for (size_t i = 0; i < chosen->series.count; i++) {
        const char *zone = NULL;
        const char *path = NULL;
        ES_TRY(es_footprint_split(w->cli, "series", chosen->series.items[i], &zone, &path, err));
        if (zone == NULL)
            return es_fail(err, ES_ERR_ARG, "--series: '%s', expected ZONE=FILE",
                           chosen->series.items[i]);
        if (w->series_count == SERIES_MAX)
            return es_fail(err, ES_ERR_LIMIT, "--series: more than %d", SERIES_MAX);
        ES_TRY(es_intensity_load(w->cli->arena, path, zone, chosen->column,
                                 &w->series[w->series_count], err));
        w->series_zones[w->series_count++] = es_factors_zone(w->factors, zone);
        ES_TRY(add_source(w,
                          es_arena_format(w->cli->arena, "grid of %s: series %s%s%s", zone, path,
                                          chosen->column != NULL ? ", " : "",
                                          chosen->column != NULL ? chosen->column : ""),
                          err));
    }
    return ES_OK;
}

/* A grid source that no table has is told by the nearest one that there is. */
static es_status check_grid(const work *w, es_error *err)
{
    const char *grid = w->chosen->grid;
    const char *names[SERIES_MAX] = {"scenario"};
    size_t count = 1;
    if (strcmp(grid, "scenario") == 0)
        return ES_OK;
    for (size_t i = 0; i < w->factors->count; i++) {
        const es_factor *factor = &w->factors->items[i];
        bool known = strncmp(factor->name, "grid/", 5) != 0;
        for (size_t k = 0; !known && k < count; k++)
            known = strcmp(names[k], factor->source) == 0;
        if (!known && count < SERIES_MAX)
            names[count++] = factor->source;
    }
    for (size_t k = 0; k < count; k++)
        if (strcmp(names[k], grid) == 0)
            return ES_OK;
    const char *nearest = es_text_nearest(grid, names, count);
    return es_fail(err, ES_ERR_ARG, "--grid: no table has a source '%s'%s%s%s", grid,
                   nearest != NULL ? " (did you mean '" : "", nearest != NULL ? nearest : "",
                   nearest != NULL ? "'?)" : "; scenario, boavizta, codecarbon, ecologits");
}

es_status es_footprint_of_cases(es_cli *cli, const es_scenario *scenario,
                                const es_footprint_options *chosen, const es_footprint_cases *cases,
                                const es_footprint **out, es_error *err)
{
    work *w = ES_TAKE_ONE(cli->arena, work);
    if (w == NULL)
        return es_arena_full(cli->arena, "footprint", err);
    w->cli = cli;
    w->chosen = chosen;
    w->scenario = scenario;
    ES_TRY(load_tables(w, err));
    ES_TRY(check_grid(w, err));
    for (size_t i = 0; i < cases->count; i++)
        if (cases->items[i].outcome != NULL)
            ES_TRY(es_within(err, make(w, cases->items[i].outcome, &out[i], err), "%s",
                             cases->items[i].label));
    /* one set of tables served all cases, so all stand on the same list of sources */
    for (size_t i = 0; i < cases->count; i++) {
        if (out[i] == NULL)
            continue;
        es_footprint *copy = ES_TAKE_ONE(cli->arena, es_footprint);
        if (copy == NULL)
            return es_arena_full(cli->arena, "footprint", err);
        *copy = *out[i];
        copy->frame.source_count = w->source_count;
        out[i] = copy;
    }
    return ES_OK;
}
