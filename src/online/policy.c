#include "online/internal.h"

typedef struct row {
    const char *name;
    es_policy_maker *make;
    bool knows_future;
    const char *help;
} row;

static const row rows[] = {
    {"infida", es_policy_infida, false, "mirror ascent, coupled rounding, local repair"},
    {"infida-offline", es_policy_infida_offline, true, "the same on the mean of all demand, kept"},
    {"olag", es_policy_olag, false, "online load-aware greedy, by node"},
    {"static-greedy", es_policy_greedy, true, "greedy on all demand, kept"},
    {"replan", es_policy_replan, false, "plan anew every few slots from what was seen"},
    {"lru", es_policy_lru, false, "models of the tasks seen last"},
    {"lfu", es_policy_lfu, false, "models of the tasks seen most"},
    {"hottest", es_policy_hottest, false, "what saved most in the last slot, per byte"},
    {"random", es_policy_random, false, "whatever fits, drawn once"},
    {"device-only", es_policy_device_only, false, "greedy on devices alone"},
    {"edge-only", es_policy_edge_only, false, "greedy on the edge alone"},
    {"cloud-only", es_policy_cloud_only, false, "greedy on the cloud alone"},
    {"adahedge", es_policy_adahedge, false,
     "a learner chooses among infida, olag, hottest, edge-only"},
    {"exp3", es_policy_exp3, false, "the same, seeing only the cost of what it chose"},
    {"exp3-ix", es_policy_exp3_ix, false, "the same, with high probability"},
    {"process", es_policy_process, false, "COMMAND that speaks JSON lines"},
};
enum { ROW_COUNT = sizeof rows / sizeof rows[0] };

bool es_policy_list(size_t index, const char **out_name, const char **out_help)
{
    if (index >= ROW_COUNT)
        return false;
    *out_name = rows[index].name;
    *out_help = rows[index].help;
    return true;
}

static const row *find(const char *spec)
{
    size_t size = strcspn(spec, ":");
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (strlen(rows[i].name) == size && memcmp(rows[i].name, spec, size) == 0)
            return &rows[i];
    return NULL;
}

bool es_policy_knows_future(const char *spec)
{
    const row *found = find(spec);
    return found != NULL && found->knows_future;
}

static es_status fail_unknown(const char *spec, es_error *err)
{
    const char *names[ROW_COUNT];
    char name[64] = {0};
    size_t size = strcspn(spec, ":");
    memcpy(name, spec, size < sizeof name ? size : sizeof name - 1);
    for (size_t i = 0; i < ROW_COUNT; i++)
        names[i] = rows[i].name;
    const char *nearest = es_text_nearest(name, names, ROW_COUNT);
    if (nearest != NULL)
        return es_fail(err, ES_ERR_ARG, "unknown policy '%s' (did you mean '%s'?)", name, nearest);
    es_text list;
    es_text_init(&list, ES_ERROR_SIZE);
    for (size_t i = 0; i < ROW_COUNT; i++)
        es_text_format(&list, "%s%s", i > 0 ? ", " : "", rows[i].name);
    (void)es_fail(err, ES_ERR_ARG, "unknown policy '%s'; there are: %s", name, es_text_get(&list));
    es_text_done(&list);
    return ES_ERR_ARG;
}

es_status es_policy_make(const es_policy_given *given, const char *spec, es_policy *out_policy,
                         es_error *err)
{
    const row *found = find(spec);
    if (found == NULL)
        return fail_unknown(spec, err);
    if (found->knows_future && given->future == NULL)
        return es_fail(err, ES_ERR_ARG,
                       "policy '%s' needs to know all demand beforehand: it is a "
                       "reference for comparing, not a policy to run",
                       found->name);
    size_t size = strlen(found->name);
    return found->make(given, spec[size] == ':' ? spec + size + 1 : "", out_policy, err);
}

void es_policy_done(es_policy *policy)
{
    if (policy == NULL)
        return;
    if (policy->done != NULL)
        policy->done(policy->memory);
    *policy = (es_policy){0};
}

static es_status set_key(const char *name, const char *pair, size_t size, es_policy_key *keys,
                         size_t count, es_error *err)
{
    char word[128];
    if (size >= sizeof word)
        return es_fail(err, ES_ERR_ARG, "policy '%s': option of %zu bytes is too long", name, size);
    memcpy(word, pair, size);
    word[size] = '\0';
    char *equals = strchr(word, '=');
    if (equals == NULL)
        return es_fail(err, ES_ERR_ARG, "policy '%s': '%s' must be KEY=NUMBER", name, word);
    *equals = '\0';
    const char *names[16];
    for (size_t i = 0; i < count; i++) {
        names[i] = keys[i].name;
        if (strcmp(keys[i].name, word) != 0)
            continue;
        double value = 0;
        if (!es_text_to_double(equals + 1, &value) || value < keys[i].min || value > keys[i].max)
            return es_fail(err, ES_ERR_ARG, "policy '%s': %s=%s must be a number from %g to %g",
                           name, word, equals + 1, keys[i].min, keys[i].max);
        keys[i].value = value;
        return ES_OK;
    }
    const char *nearest = es_text_nearest(word, names, count);
    return es_fail(err, ES_ERR_ARG, "policy '%s': unknown option '%s'%s%s%s", name, word,
                   nearest != NULL ? " (did you mean '" : "", nearest != NULL ? nearest : "",
                   nearest != NULL ? "'?)" : "");
}

es_status es_policy_keys(const char *name, const char *options, es_policy_key *keys, size_t count,
                         es_error *err)
{
    while (*options != '\0') {
        size_t size = strcspn(options, ":");
        ES_TRY(set_key(name, options, size, keys, count, err));
        options += size + (options[size] == ':');
    }
    return ES_OK;
}

/* Drops from the last item backwards until the node holds. */
static bool clip_node(const es_idn *idn, uint32_t node, uint32_t *hosted)
{
    double used = 0;
    for (uint32_t i = idn->node_first[node]; i < idn->node_first[node + 1]; i++)
        used += hosted[i] * idn->items[i].size_bytes;
    double budget = idn->budget_bytes[node] * (1 + 1e-9);
    bool over = used > budget;
    for (uint32_t i = idn->node_first[node + 1]; i > idn->node_first[node] && used > budget; i--) {
        const es_idn_item *item = &idn->items[i - 1];
        while (!item->pinned && hosted[i - 1] > 0 && used > budget) {
            hosted[i - 1]--;
            used -= item->size_bytes;
        }
    }
    return over;
}

es_policy_violations es_policy_clip(const es_idn *idn, uint32_t *hosted)
{
    es_policy_violations found = {0};
    for (uint32_t i = 0; i < idn->item_count; i++) {
        found.over_copies += hosted[i] > idn->items[i].copies;
        if (idn->items[i].pinned || hosted[i] > idn->items[i].copies)
            hosted[i] = idn->items[i].copies;
    }
    for (uint32_t v = 0; v < idn->node_count; v++)
        found.over_budget += clip_node(idn, v, hosted);
    return found;
}
