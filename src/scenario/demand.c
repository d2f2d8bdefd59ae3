/* Demand: who asks for what, where, and how often as time goes. */
#include "scenario/internal.h"

#include <math.h>

#define J_PER_MJ 1e-3
#define TASKS_MAX 100000 /* of one entry */

/* A class and the value that asked for it. */
typedef struct es_asked_class {
    es_class item;
    const es_doc *place;
} es_asked_class;

typedef struct es_loaded_trace {
    const es_doc *place;
    const es_trace *trace;
    const char *class_name; /* NULL: every row */
} es_loaded_trace;

typedef struct es_demand_reader {
    es_reader *reader;
    ES_ARRAY(es_asked_class) classes;
    ES_ARRAY(es_loaded_trace) traces;
    bool *taken; /* [task][node] */
} es_demand_reader;

static es_status add_class(es_demand_reader *demand, const es_doc *place, const es_class *entry,
                           uint32_t node, es_error *err)
{
    es_reader *reader = demand->reader;
    bool *taken = &demand->taken[(size_t)entry->task.index * reader->nodes.count + node];
    if (*taken)
        return es_doc_fail(place, err, "task '%s' already has demand at node '%s'",
                           reader->tasks.items[entry->task.index], reader->nodes.items[node]);
    *taken = true;
    es_asked_class asked = {.item = *entry, .place = place};
    asked.item.node.index = node;
    return ES_ARRAY_PUSH(reader->scratch, &demand->classes, asked, "demand", err);
}

static es_status add_tier(es_demand_reader *demand, const es_doc *at, const es_class *entry,
                          es_error *err)
{
    ES_TRY(ES_DOC_EXPECT_KEYS(at, err, "tier"));
    size_t tier = 0;
    ES_TRY(es_doc_need_word(at, "tier", es_tier_names, ES_TIER_COUNT, &tier, err));
    size_t before = demand->classes.count;
    const es_network *network = demand->reader->scenario->network;
    for (uint32_t v = 0; v < demand->reader->nodes.count; v++) {
        if (es_network_node(network, (es_node_id){.index = v})->tier == (es_tier)tier)
            ES_TRY(add_class(demand, at, entry, v, err));
    }
    if (demand->classes.count == before)
        return es_doc_fail(es_doc_find(at, "tier"), err, "no node has tier '%s'",
                           es_tier_names[tier]);
    return ES_OK;
}

static es_status add_at(es_demand_reader *demand, const es_doc *at, const es_class *entry,
                        es_error *err)
{
    if (at->type == ES_DOC_MAP)
        return add_tier(demand, at, entry, err);
    if (at->type != ES_DOC_LIST && at->type != ES_DOC_TEXT)
        return es_doc_fail(at, err, "must be a node, a list of nodes, or {tier: ...}");
    const es_doc *const *items = at->type == ES_DOC_LIST ? at->as.list.items : &at;
    size_t count = at->type == ES_DOC_LIST ? at->as.list.count : 1;
    if (count == 0)
        return es_doc_fail(at, err, "the list needs at least one item");
    for (size_t i = 0; i < count; i++) {
        uint32_t node = 0;
        ES_TRY(es_scenario_names_expect(&demand->reader->nodes, items[i], &node, err));
        ES_TRY(add_class(demand, items[i], entry, node, err));
    }
    return ES_OK;
}

/* ---- profiles: the rate as time goes ---- */

es_status es_scenario_field_need_path(const es_reader *reader, const es_doc *map,
                                      const char **out_path, es_error *err)
{
    const char *file = NULL;
    ES_TRY(es_doc_need_text(map, "file", &file, err));
    if (strcmp(file, "-") == 0)
        return es_doc_fail(es_doc_find(map, "file"), err, "standard input is no table file");
    return es_scenario_field_path(reader, map, file, reader->scratch, out_path, err);
}

static es_status read_series(es_demand_reader *demand, const es_doc *map, es_rate_profile *profile,
                             es_error *err)
{
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "kind", "file", "column", "from_s", "repeat_s"));
    const char *path = NULL;
    const char *column = NULL;
    double from_s = 0;
    ES_TRY(es_scenario_field_need_path(demand->reader, map, &path, err));
    ES_TRY(es_doc_get_text(map, "column", &column, err));
    ES_TRY(es_doc_get_number(map, "from_s", 0, ES_SCENARIO_TIME_S_MAX * 100, &from_s, err));
    ES_TRY(es_scenario_field_get_positive(map, "repeat_s", ES_SCENARIO_TIME_S_MAX * 100,
                                          &profile->period_s, err));
    es_reader *reader = demand->reader;
    const es_series *series = NULL;
    es_status status = es_series_load(reader->arena, path, column, from_s, &series, err);
    ES_TRY(es_scenario_field_at(es_doc_find(map, "file"), status, err));
    double end_s = reader->scenario->slot_s * reader->scenario->slot_count;
    if (profile->period_s > 0)
        end_s = profile->period_s;
    double mean = es_series_mean(series, 0, end_s);
    if (!(mean > 0))
        return es_doc_fail(map, err, "the series is 0 over the whole run");
    double *factors = NULL;
    es_series *scaled = NULL;
    ES_TRY(es_scenario_field_take(reader->arena, series->count, sizeof *factors, "series", &factors,
                                  err));
    ES_TRY(es_scenario_field_take(reader->arena, 1, sizeof *scaled, "series", &scaled, err));
    for (size_t i = 0; i < series->count; i++)
        factors[i] = series->value[i] / mean;
    *scaled = *series;
    scaled->value = factors;
    profile->series = scaled;
    return ES_OK;
}

static es_status read_profile(es_demand_reader *demand, const es_doc *map, es_rate_profile *profile,
                              es_error *err)
{
    static const char *const kinds[] = {[ES_PROFILE_ON_OFF] = "on-off",
                                        [ES_PROFILE_DIURNAL] = "diurnal",
                                        [ES_PROFILE_POPULARITY] = "popularity",
                                        [ES_PROFILE_FLASH] = "flash",
                                        [ES_PROFILE_SERIES] = "series"};
    size_t kind = 0;
    double max_s = ES_SCENARIO_TIME_S_MAX;
    ES_TRY(es_doc_expect_map(map, err));
    ES_TRY(es_doc_need_word(map, "kind", kinds, ES_PROFILE_COUNT, &kind, err));
    *profile = (es_rate_profile){.kind = (es_rate_profile_kind)kind, .depth = 0.5};
    switch (profile->kind) {
    case ES_PROFILE_ON_OFF:
        ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "kind", "on_s", "off_s"));
        ES_TRY(es_scenario_field_need_positive(map, "on_s", max_s, &profile->on_s, err));
        return es_scenario_field_need_positive(map, "off_s", max_s, &profile->off_s, err);
    case ES_PROFILE_DIURNAL:
        ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "kind", "period_s", "depth", "peak_s"));
        profile->period_s = 86400;
        ES_TRY(es_scenario_field_get_positive(map, "period_s", max_s, &profile->period_s, err));
        ES_TRY(es_doc_get_number(map, "depth", 0, 1, &profile->depth, err));
        return es_doc_get_number(map, "peak_s", 0, max_s, &profile->peak_s, err);
    case ES_PROFILE_FLASH:
        ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "kind", "start_s", "factor", "half_life_s"));
        ES_TRY(es_doc_need_number(map, "start_s", 0, max_s, &profile->start_s, err));
        ES_TRY(es_doc_need_number(map, "factor", 0, 1e6, &profile->factor, err));
        return es_scenario_field_need_positive(map, "half_life_s", max_s, &profile->half_life_s,
                                               err);
    case ES_PROFILE_SERIES:
        return read_series(demand, map, profile, err);
    case ES_PROFILE_POPULARITY:
    case ES_PROFILE_COUNT:
        break;
    }
    return es_doc_fail(es_doc_find(map, "kind"), err,
                       "popularity is a key of the entry, beside a list of tasks");
}

/* Room for the popularity is left at the end. */
static es_status read_profiles(es_demand_reader *demand, const es_doc *map,
                               es_rate_profile **out_profiles, uint32_t *out_count, es_error *err)
{
    const es_doc *list = NULL;
    ES_TRY(es_doc_get_list(map, "profile", &list, err));
    size_t count = list == NULL ? 0 : list->as.list.count;
    if (count >= ES_PROFILES_MAX)
        return es_doc_fail(list, err, "at most %d profiles may multiply", ES_PROFILES_MAX - 1);
    ES_TRY(es_scenario_field_take(demand->reader->arena, ES_PROFILES_MAX, sizeof **out_profiles,
                                  "profiles", out_profiles, err));
    bool on_off = false;
    for (size_t i = 0; i < count; i++) {
        const es_doc *item = list->as.list.items[i];
        ES_TRY(read_profile(demand, item, &(*out_profiles)[i], err));
        if ((*out_profiles)[i].kind == ES_PROFILE_ON_OFF && on_off)
            return es_doc_fail(item, err, "there is an on-off profile already");
        on_off = on_off || (*out_profiles)[i].kind == ES_PROFILE_ON_OFF;
    }
    *out_count = (uint32_t)count;
    return ES_OK;
}

static es_status read_popularity(const es_doc *map, es_rate_profile *profile, es_error *err)
{
    *profile = (es_rate_profile){
        .kind = ES_PROFILE_POPULARITY, .exponent = 1, .period_s = 3600, .shift = 1};
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "exponent", "change", "period_s", "shift"));
    size_t change = ES_POPULARITY_FIXED;
    int64_t shift = 1;
    ES_TRY(es_doc_get_number(map, "exponent", 0, 100, &profile->exponent, err));
    ES_TRY(es_doc_get_word(map, "change", es_popularity_names, ES_POPULARITY_COUNT, &change, err));
    ES_TRY(es_scenario_field_get_positive(map, "period_s", ES_SCENARIO_TIME_S_MAX,
                                          &profile->period_s, err));
    ES_TRY(es_doc_get_int(map, "shift", 0, TASKS_MAX, &shift, err));
    profile->popularity = (es_popularity)change;
    profile->shift = (uint32_t)shift;
    return ES_OK;
}

/* ---- devices, traces ---- */

static es_status read_devices(const es_doc *map, es_class *entry, es_error *err)
{
    const es_doc *devices = NULL;
    entry->devices.battery_j = (double)INFINITY;
    ES_TRY(es_doc_get_map(map, "devices", &devices, err));
    if (devices == NULL)
        return ES_OK;
    int64_t count = 0;
    double moves = 0;
    ES_TRY(ES_DOC_EXPECT_KEYS(devices, err, "count", "battery_j", "idle_mw", "request_mj",
                              "moves_per_hour"));
    ES_TRY(es_doc_need_int(devices, "count", 1, INT64_C(100000000), &count, err));
    ES_TRY(es_scenario_field_get_positive(devices, "battery_j", ES_SCENARIO_ENERGY_J_MAX,
                                          &entry->devices.battery_j, err));
    ES_TRY(
        es_scenario_field_get_scaled(devices, "idle_mw", 1e-3, 1e12, &entry->devices.idle_w, err));
    ES_TRY(es_scenario_field_get_scaled(devices, "request_mj", J_PER_MJ, 1e12,
                                        &entry->devices.request_j, err));
    ES_TRY(es_doc_get_number(devices, "moves_per_hour", 0, 1e6, &moves, err));
    entry->devices.count = (uint32_t)count;
    entry->devices.move_per_s = moves / 3600;
    if (entry->arrivals.kind != ES_ARRIVAL_POISSON)
        return es_doc_fail(devices, err, "devices ask at random: arrivals must be poisson");
    return ES_OK;
}

static es_status read_trace(es_demand_reader *demand, const es_doc *map, es_error *err)
{
    es_reader *reader = demand->reader;
    const es_doc *given = NULL;
    const char *path = NULL;
    size_t format = ES_TRACE_CSV;
    es_loaded_trace loaded = {0};
    ES_TRY(es_doc_get_map(map, "trace", &given, err));
    if (given == NULL)
        return es_doc_fail(map, err, "arrivals: trace needs trace: {file: ...}");
    ES_TRY(ES_DOC_EXPECT_KEYS(given, err, "file", "format", "class"));
    ES_TRY(es_scenario_field_need_path(reader, given, &path, err));
    ES_TRY(es_doc_get_word(given, "format", es_trace_format_names, ES_TRACE_FORMAT_COUNT, &format,
                           err));
    ES_TRY(es_doc_get_text(given, "class", &loaded.class_name, err));
    loaded.place = given;
    es_status status =
        es_trace_load(reader->scratch, path, (es_trace_format)format, &loaded.trace, err);
    ES_TRY(es_scenario_field_at(es_doc_find(given, "file"), status, err));
    if (loaded.class_name != NULL && loaded.trace->classes == NULL)
        return es_doc_fail(es_doc_find(given, "class"), err, "format %s has no classes",
                           es_trace_format_names[format]);
    return ES_ARRAY_PUSH(reader->scratch, &demand->traces, loaded, "traces", err);
}

static bool row_is(const es_loaded_trace *loaded, size_t i, const char *task, const char *node)
{
    const char *name = loaded->trace->classes == NULL ? NULL : loaded->trace->classes[i];
    if (name == NULL)
        return true;
    if (loaded->class_name != NULL)
        return strcmp(name, loaded->class_name) == 0;
    size_t size = strlen(task);
    return strncmp(name, task, size) == 0 &&
           (name[size] == 0 ||
            (strncmp(name + size, " at ", 4) == 0 && strcmp(name + size + 4, node) == 0));
}

/* The rows of one class; its rate is that of the run. */
static es_status take_rows(es_demand_reader *demand, es_loaded_trace *loaded, es_class *class,
                           es_error *err)
{
    es_reader *reader = demand->reader;
    const char *task = reader->tasks.items[class->task.index];
    const char *node = reader->nodes.items[class->node.index];
    double end_s = reader->scenario->slot_s * reader->scenario->slot_count;
    int64_t *times_ns = NULL;
    size_t count = 0;
    ES_TRY(es_scenario_field_take(reader->arena, loaded->trace->count, sizeof *times_ns, "trace",
                                  &times_ns, err));
    for (size_t i = 0; i < loaded->trace->count; i++) {
        if (row_is(loaded, i, task, node))
            times_ns[count++] = loaded->trace->times_ns[i];
    }
    class->arrivals.times_ns = times_ns;
    class->arrivals.time_count = count;
    class->arrivals.rate_rps = es_arrivals_count_between(&class->arrivals, 0, end_s) / end_s;
    if (class->arrivals.rate_rps > 0)
        return ES_OK;
    return es_doc_fail(loaded->place, err, "no request of '%s at %s' comes in the %g s of the run",
                       task, node, end_s);
}

/* Rows that name no class of the scenario at all. */
static es_status check_rows(const es_demand_reader *demand, const es_loaded_trace *loaded,
                            es_error *err)
{
    const es_reader *reader = demand->reader;
    const es_trace *trace = loaded->trace;
    const char *known = NULL; /* neighbours are often alike */
    for (size_t i = 0; trace->classes != NULL && loaded->class_name == NULL && i < trace->count;
         i++) {
        bool found = known == trace->classes[i];
        for (size_t c = 0; !found && c < demand->classes.count; c++) {
            const es_class *class = &demand->classes.items[c].item;
            found = row_is(loaded, i, reader->tasks.items[class->task.index],
                           reader->nodes.items[class->node.index]);
        }
        if (!found)
            return es_fail(err, ES_ERR_PARSE,
                           "%s:%u: class '%.80s' is not in the scenario: a task with demand, or "
                           "'TASK at NODE'",
                           trace->name, trace->lines[i], trace->classes[i]);
        known = trace->classes[i];
    }
    return ES_OK;
}

/* ---- entries ---- */

/* What holds for all tasks and nodes of an entry. */
static es_status read_common(es_demand_reader *demand, const es_doc *map, es_class *entry,
                             es_error *err)
{
    size_t kind = ES_ARRIVAL_POISSON;
    int64_t priority = 0;
    ES_TRY(es_doc_get_word(map, "arrivals", es_arrival_names, ES_ARRIVAL_COUNT, &kind, err));
    entry->arrivals.kind = (es_arrival_kind)kind;
    if (entry->arrivals.kind == ES_ARRIVAL_TRACE) {
        static const char *const barred[] = {"rate_rps", "profile", "popularity"};
        for (size_t i = 0; i < 3; i++) {
            if (es_doc_find(map, barred[i]) != NULL)
                return es_doc_fail(es_doc_find(map, barred[i]), err,
                                   "a trace says itself when requests come");
        }
        ES_TRY(read_trace(demand, map, err));
    } else {
        if (es_doc_find(map, "trace") != NULL)
            return es_doc_fail(es_doc_find(map, "trace"), err, "needs arrivals: trace");
        ES_TRY(es_scenario_field_need_positive(map, "rate_rps", ES_SCENARIO_RATE_RPS_MAX,
                                               &entry->arrivals.rate_rps, err));
    }
    ES_TRY(es_doc_get_int(map, "priority", 0, ES_PRIORITIES - 1, &priority, err));
    entry->priority = (uint32_t)priority;
    return read_devices(map, entry, err);
}

/* Deadline and qualities default to the task's. */
static es_status add_task(es_demand_reader *demand, const es_doc *map, es_class entry,
                          es_error *err)
{
    const es_task *task = &demand->reader->scenario->tasks[entry.task.index];
    double deadline_ms = task->deadline_s * 1e3;
    ES_TRY(es_scenario_field_get_positive(map, "deadline_ms", ES_SCENARIO_TIME_S_MAX * 1e3,
                                          &deadline_ms, err));
    entry.deadline_s =
        es_doc_find(map, "deadline_ms") == NULL ? task->deadline_s : deadline_ms / 1e3;
    entry.quality_min = task->quality_min;
    ES_TRY(es_doc_get_number(map, "quality_min", 0, 1, &entry.quality_min, err));
    entry.quality_min_each = task->quality_min_each;
    ES_TRY(es_doc_get_number(map, "quality_min_each", 0, 1, &entry.quality_min_each, err));
    const es_doc *at = NULL;
    ES_TRY(es_doc_need(map, "at", &at, err));
    return add_at(demand, at, &entry, err);
}

/* The rate is shared by the tasks of the list, the first being the most popular at the start. */
static es_status add_tasks(es_demand_reader *demand, const es_doc *map, const es_doc *list,
                           es_class entry, es_rate_profile *profiles, es_error *err)
{
    const es_doc *popularity = NULL;
    es_rate_profile law;
    ES_TRY(es_doc_need_map(map, "popularity", &popularity, err));
    ES_TRY(read_popularity(popularity, &law, err));
    size_t count = list->as.list.count;
    if (count == 0 || count > TASKS_MAX)
        return es_doc_fail(list, err, "the list must have 1 to %d tasks", TASKS_MAX);
    law.rank_count = (uint32_t)count;
    double sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += pow(i + 1.0, -law.exponent);
    double rate_rps = entry.arrivals.rate_rps;
    for (uint32_t i = 0; i < count; i++) {
        es_rate_profile *own = NULL;
        ES_TRY(es_scenario_field_take(demand->reader->arena, ES_PROFILES_MAX, sizeof *own,
                                      "profiles", &own, err));
        memcpy(own, profiles, ES_PROFILES_MAX * sizeof *own);
        law.rank = i;
        own[entry.arrivals.profile_count] = law;
        es_class item = entry;
        ES_TRY(es_scenario_names_expect(&demand->reader->tasks, list->as.list.items[i],
                                        &item.task.index, err));
        item.arrivals.profiles = own;
        item.arrivals.profile_count += law.popularity != ES_POPULARITY_FIXED;
        item.arrivals.rate_rps = rate_rps * pow(i + 1.0, -law.exponent) / sum;
        ES_TRY(add_task(demand, map, item, err));
    }
    return ES_OK;
}

static es_status read_entry(es_demand_reader *demand, const es_doc *map, es_error *err)
{
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "task", "at", "rate_rps", "arrivals", "deadline_ms",
                              "quality_min", "quality_min_each", "priority", "profile",
                              "popularity", "trace", "devices"));
    es_class entry = {0};
    es_rate_profile *profiles = NULL;
    const es_doc *task = NULL;
    size_t first = demand->classes.count;
    size_t trace = demand->traces.count;
    ES_TRY(es_doc_need(map, "task", &task, err));
    if (task->type != ES_DOC_LIST)
        ES_TRY(es_scenario_names_need(&demand->reader->tasks, map, "task", &entry.task.index, err));
    ES_TRY(read_common(demand, map, &entry, err));
    ES_TRY(read_profiles(demand, map, &profiles, &entry.arrivals.profile_count, err));
    if (entry.arrivals.profile_count > 0)
        entry.arrivals.profiles = profiles;
    if (task->type == ES_DOC_LIST) {
        ES_TRY(add_tasks(demand, map, task, entry, profiles, err));
    } else {
        if (es_doc_find(map, "popularity") != NULL)
            return es_doc_fail(es_doc_find(map, "popularity"), err, "needs a list of tasks");
        ES_TRY(add_task(demand, map, entry, err));
    }
    for (size_t c = first; trace < demand->traces.count && c < demand->classes.count; c++)
        ES_TRY(
            take_rows(demand, &demand->traces.items[trace], &demand->classes.items[c].item, err));
    return ES_OK;
}

es_status es_scenario_read_demand(es_reader *reader, const es_doc *root, es_error *err)
{
    const es_doc *list = NULL;
    ES_TRY(es_scenario_field_need_items(root, "demand", &list, err));
    es_demand_reader demand = {.reader = reader};
    /* both factors are below 2^30: names.c */
    ES_TRY(es_scenario_field_take(reader->scratch,
                                  (size_t)reader->tasks.count * reader->nodes.count,
                                  sizeof *demand.taken, "demand", &demand.taken, err));
    for (size_t i = 0; i < list->as.list.count; i++)
        ES_TRY(read_entry(&demand, list->as.list.items[i], err));
    for (size_t i = 0; i < demand.traces.count; i++)
        ES_TRY(check_rows(&demand, &demand.traces.items[i], err));
    es_class *classes = NULL;
    ES_TRY(es_scenario_field_take(reader->arena, demand.classes.count, sizeof *classes, "demand",
                                  &classes, err));
    ES_TRY(es_scenario_field_take(reader->scratch, demand.classes.count, sizeof(const es_doc *),
                                  "demand", &reader->class_places, err));
    for (size_t i = 0; i < demand.classes.count; i++) {
        classes[i] = demand.classes.items[i].item;
        reader->class_places[i] = demand.classes.items[i].place;
    }
    reader->scenario->classes = classes;
    reader->scenario->class_count = (uint32_t)demand.classes.count;
    return ES_OK;
}
