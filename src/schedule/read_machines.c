/* Machines as a document. */
#include "base/file.h"
#include "schedule/documents.h"

#include <math.h>

enum { MACHINES_MAX = 100000, PERIODS_MAX = 100000 };
static const double J_PER_KWH = 3.6e6;

typedef struct zone {
    const char *name;
    uint32_t period_count;
    const es_period *periods;
} zone;

typedef struct reader {
    es_arena *arena;
    const char *folder; /* of the document; NULL: it names no files */
    ES_ARRAY(zone) zones;
    ES_ARRAY(es_machine) machines;
    es_error *err;
} reader;

/* { file, column, from_s, count, scale }: means over count periods of a table. A joule is never
 * worth wasting, so that prices below 0 count as 0. */
static es_status read_table(reader *r, const es_doc *doc, double period_s, double **out,
                            size_t *out_count)
{
    const char *file = NULL;
    const char *column = NULL;
    double from_s = 0.0;
    double scale = 1.0;
    int64_t count = 24;
    const es_series *series = NULL;
    ES_TRY(ES_DOC_EXPECT_KEYS(doc, r->err, "file", "column", "from_s", "count", "scale"));
    ES_TRY(es_doc_need_text(doc, "file", &file, r->err));
    ES_TRY(es_doc_get_text(doc, "column", &column, r->err));
    ES_TRY(es_doc_get_number(doc, "from_s", 0.0, ES_TIME_MAX_S, &from_s, r->err));
    ES_TRY(es_doc_get_int(doc, "count", 1, PERIODS_MAX, &count, r->err));
    ES_TRY(es_doc_get_number(doc, "scale", 0.0, 1e9, &scale, r->err));
    if (r->folder == NULL)
        return es_doc_fail(doc, r->err, "only a document that is a file may name another");
    char *path = es_file_join(r->arena, r->folder, file);
    *out = ES_TAKE_ARRAY(r->arena, double, (size_t)count);
    if (path == NULL || *out == NULL)
        return es_arena_full(r->arena, "zones", r->err);
    ES_TRY(es_series_load(r->arena, path, column, from_s, &series, r->err));
    for (int64_t i = 0; i < count; i++)
        (*out)[i] = fmax(
            scale * es_series_mean(series, (double)i * period_s, (double)(i + 1) * period_s), 0.0);
    *out_count = (size_t)count;
    return ES_OK;
}

/* A number, a list of them or a table. *out [count] lives in the arena; count 0: absent. */
static es_status read_series(reader *r, const es_doc *doc, const char *key, double period_s,
                             double **out, size_t *out_count)
{
    const es_doc *value = es_doc_find(doc, key);
    *out_count = 0;
    *out = NULL;
    if (value == NULL || value->type == ES_DOC_NULL)
        return ES_OK;
    if (value->type == ES_DOC_MAP)
        return read_table(r, value, period_s, out, out_count);
    bool list = value->type == ES_DOC_LIST;
    size_t count = list ? value->as.list.count : 1;
    if (count == 0 || count > PERIODS_MAX)
        return es_doc_fail(value, r->err, "must hold 1 to %d numbers", PERIODS_MAX);
    *out = ES_TAKE_ARRAY(r->arena, double, count);
    if (*out == NULL)
        return es_arena_full(r->arena, "zones", r->err);
    for (size_t i = 0; i < count; i++)
        ES_TRY(es_doc_expect_number(list ? value->as.list.items[i] : value, 0.0, 1e9, &(*out)[i],
                                    r->err));
    *out_count = count;
    return ES_OK;
}

/* Periods of a map with carbon_gco2e_per_kwh, price_per_kwh, pue, period_s: of a zone or a machine.
 */
static es_status read_periods(reader *r, const es_doc *doc, uint32_t *out_count,
                              const es_period **out_periods)
{
    double *carbon;
    double *price;
    size_t carbon_count;
    size_t price_count;
    double pue = 1.0;
    double period_s = 3600.0;
    ES_TRY(es_doc_get_number(doc, "pue", 1.0, 100.0, &pue, r->err));
    ES_TRY(es_doc_get_number(doc, "period_s", 1e-6, ES_TIME_MAX_S, &period_s, r->err));
    ES_TRY(read_series(r, doc, "carbon_gco2e_per_kwh", period_s, &carbon, &carbon_count));
    ES_TRY(read_series(r, doc, "price_per_kwh", period_s, &price, &price_count));
    size_t count = carbon_count > price_count ? carbon_count : price_count;
    count = count > 0 ? count : 1;
    if ((carbon_count > 1 && carbon_count < count) || (price_count > 1 && price_count < count))
        return es_doc_fail(doc, r->err,
                           "carbon_gco2e_per_kwh has %zu periods and price_per_kwh %zu: give both "
                           "the same number, or one number for all",
                           carbon_count, price_count);
    es_period *periods = ES_TAKE_ARRAY(r->arena, es_period, count);
    if (periods == NULL)
        return es_arena_full(r->arena, "zones", r->err);
    for (size_t i = 0; i < count; i++) {
        double grams = carbon_count == 0 ? 0.0 : carbon[carbon_count > 1 ? i : 0];
        double money = price_count == 0 ? 0.0 : price[price_count > 1 ? i : 0];
        periods[i] = (es_period){.start_s = (double)i * period_s,
                                 .carbon_g_per_j = pue * grams / J_PER_KWH,
                                 .price_per_j = pue * money / J_PER_KWH};
    }
    *out_count = (uint32_t)count;
    *out_periods = periods;
    return ES_OK;
}

static es_status read_zone(reader *r, const es_doc *doc)
{
    zone added = {0};
    ES_TRY(ES_DOC_EXPECT_KEYS(doc, r->err, "name", "carbon_gco2e_per_kwh", "price_per_kwh", "pue",
                              "period_s"));
    ES_TRY(es_doc_need_text(doc, "name", &added.name, r->err));
    for (size_t i = 0; i < r->zones.count; i++)
        if (strcmp(r->zones.items[i].name, added.name) == 0)
            return es_doc_fail(doc, r->err, "zone '%s' is given twice", added.name);
    ES_TRY(read_periods(r, doc, &added.period_count, &added.periods));
    return ES_ARRAY_PUSH(r->arena, &r->zones, added, "zones", r->err);
}

static es_status read_where(reader *r, const es_doc *doc, es_machine *machine)
{
    const char *name = NULL;
    ES_TRY(es_doc_get_text(doc, "zone", &name, r->err));
    if (name == NULL)
        return read_periods(r, doc, &machine->period_count, &machine->periods);
    static const char *const own[] = {"carbon_gco2e_per_kwh", "price_per_kwh", "pue", "period_s"};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (es_doc_find(doc, own[i]) != NULL)
            return es_doc_fail(es_doc_find(doc, own[i]), r->err, "zone '%s' says it already", name);
    for (size_t i = 0; i < r->zones.count; i++)
        if (strcmp(r->zones.items[i].name, name) == 0) {
            machine->period_count = r->zones.items[i].period_count;
            machine->periods = r->zones.items[i].periods;
            return ES_OK;
        }
    return es_doc_fail(es_doc_find(doc, "zone"), r->err, "there is no zone '%s'", name);
}

static es_status read_network(reader *r, const es_doc *doc, es_machine *machine)
{
    const es_doc *network = NULL;
    double latency_ms = 0.0;
    double mbps = 0.0;
    double nj = 0.0;
    ES_TRY(es_doc_get_map(doc, "network", &network, r->err));
    if (network == NULL)
        return ES_OK;
    ES_TRY(
        ES_DOC_EXPECT_KEYS(network, r->err, "latency_ms", "bandwidth_mbps", "energy_nj_per_bit"));
    ES_TRY(es_doc_get_number(network, "latency_ms", 0.0, 1e9, &latency_ms, r->err));
    ES_TRY(es_doc_get_number(network, "bandwidth_mbps", 1e-6, 1e9, &mbps, r->err));
    ES_TRY(es_doc_get_number(network, "energy_nj_per_bit", 0.0, 1e12, &nj, r->err));
    machine->latency_s = 1e-3 * latency_ms;
    machine->bandwidth_bps = 1e6 * mbps;
    machine->energy_j_per_bit = 1e-9 * nj;
    return ES_OK;
}

static es_status read_machine(reader *r, const es_doc *doc)
{
    static const double LEAST = 1e-12;
    es_machine machine = {.close_s = (double)INFINITY};
    int64_t count = 1;
    ES_TRY(ES_DOC_EXPECT_KEYS(doc, r->err, "name", "count", "speed_per_s", "busy_w", "idle_w",
                              "open_s", "close_s", "zone", "carbon_gco2e_per_kwh", "price_per_kwh",
                              "pue", "period_s", "network"));
    ES_TRY(es_doc_need_text(doc, "name", &machine.name, r->err));
    ES_TRY(es_doc_need_number(doc, "speed_per_s", LEAST, 1e18, &machine.speed_per_s, r->err));
    ES_TRY(es_doc_need_number(doc, "busy_w", 0.0, 1e12, &machine.busy_w, r->err));
    ES_TRY(es_doc_get_number(doc, "idle_w", 0.0, 1e12, &machine.idle_w, r->err));
    ES_TRY(es_doc_get_number(doc, "open_s", 0.0, ES_TIME_MAX_S, &machine.open_s, r->err));
    ES_TRY(es_doc_get_number(doc, "close_s", 0.0, ES_TIME_MAX_S, &machine.close_s, r->err));
    ES_TRY(es_doc_get_int(doc, "count", 1, MACHINES_MAX, &count, r->err));
    if (machine.idle_w > machine.busy_w)
        return es_doc_fail(es_doc_find(doc, "idle_w"), r->err, "%g must be at most busy_w=%g",
                           machine.idle_w, machine.busy_w);
    if (!(machine.close_s > machine.open_s))
        return es_doc_fail(es_doc_find(doc, "close_s"), r->err, "%g must be more than open_s=%g",
                           machine.close_s, machine.open_s);
    ES_TRY(read_where(r, doc, &machine));
    ES_TRY(read_network(r, doc, &machine));
    if (r->machines.count + (size_t)count > MACHINES_MAX)
        return es_doc_fail(doc, r->err, "more than %d machines", MACHINES_MAX);
    const char *name = machine.name;
    for (int64_t i = 0; i < count; i++) {
        if (count > 1)
            machine.name = es_arena_format(r->arena, "%s-%d", name, (int)i + 1);
        if (machine.name == NULL)
            return es_arena_full(r->arena, "machines", r->err);
        ES_TRY(ES_ARRAY_PUSH(r->arena, &r->machines, machine, "machines", r->err));
    }
    return ES_OK;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static es_status check_names(reader *r, const es_doc *machines)
{
    const char **names = ES_TAKE_ARRAY(r->arena, const char *, r->machines.count);
    if (names == NULL)
        return es_arena_full(r->arena, "machines", r->err);
    for (size_t i = 0; i < r->machines.count; i++)
        names[i] = r->machines.items[i].name;
    qsort(names, r->machines.count, sizeof *names, by_text);
    for (size_t i = 1; i < r->machines.count; i++)
        if (strcmp(names[i], names[i - 1]) == 0)
            return es_doc_fail(machines, r->err, "machine '%s' is given twice", names[i]);
    return ES_OK;
}

static es_status read_document(reader *r, const es_doc *root, const es_machines **out)
{
    const es_doc *zones = NULL;
    const es_doc *machines = NULL;
    ES_TRY(es_doc_expect_map(root, r->err));
    ES_TRY(es_doc_expect_format(root, "estran-machines", 1, r->err));
    ES_TRY(
        ES_DOC_EXPECT_KEYS(root, r->err, "format", "version", "description", "zones", "machines"));
    ES_TRY(es_doc_get_list(root, "zones", &zones, r->err));
    ES_TRY(es_doc_need_list(root, "machines", &machines, r->err));
    for (size_t i = 0; zones != NULL && i < zones->as.list.count; i++)
        ES_TRY(read_zone(r, zones->as.list.items[i]));
    for (size_t i = 0; i < machines->as.list.count; i++)
        ES_TRY(read_machine(r, machines->as.list.items[i]));
    if (r->machines.count == 0)
        return es_doc_fail(machines, r->err, "must name at least one machine");
    ES_TRY(check_names(r, machines));
    es_machines *made = ES_TAKE_ONE(r->arena, es_machines);
    if (made == NULL)
        return es_arena_full(r->arena, "machines", r->err);
    *made =
        (es_machines){.machine_count = (uint32_t)r->machines.count, .machines = r->machines.items};
    *out = made;
    return ES_OK;
}

es_status es_machines_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                            const es_machines **out_machines, es_error *err)
{
    reader r = {.arena = arena, .err = err};
    const es_doc *root = NULL;
    ES_TRY(es_doc_parse_yaml(arena, name, bytes, size, &root, err));
    return read_document(&r, root, out_machines);
}

es_status es_machines_load(es_arena *arena, const char *path, const es_machines **out_machines,
                           es_error *err)
{
    reader r = {.arena = arena, .folder = es_file_folder(arena, path), .err = err};
    const es_doc *root = NULL;
    if (r.folder == NULL)
        return es_arena_full(arena, "machines", err);
    ES_TRY(es_doc_read(arena, path, ES_SCHEDULE_FILE_MAX, &root, err));
    return read_document(&r, root, out_machines);
}
