/* How requests are put together and wait: dynamic_batching. */
#include "model_config_internal.h"

/* Overwrites what is given. */
static es_status read_queue_policy(const es_doc *map, es_batch_level *out, es_error *err)
{
    static const char *const actions[] = {"REJECT", "DELAY"};
    int64_t timeout_us = out->timeout_ns / ES_NS_PER_US;
    size_t action = out->delay_late ? 1 : 0;
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "timeout_action", "default_timeout_microseconds",
                              "allow_timeout_override", "max_queue_size"));
    ES_TRY(es_doc_get_word(map, "timeout_action", actions, 2, &action, err));
    ES_TRY(es_config_get_integer(map, "default_timeout_microseconds", 0, INT64_C(1000000000000),
                                 &timeout_us, err));
    if (es_doc_find(map, "allow_timeout_override") == NULL)
        out->timeout_override = false;
    ES_TRY(es_doc_get_bool(map, "allow_timeout_override", &out->timeout_override, err));
    ES_TRY(es_config_get_u32(map, "max_queue_size", 0, 1 << 20, &out->queue_max, err));
    out->timeout_ns = timeout_us * ES_NS_PER_US;
    out->delay_late = action == 1;
    return ES_OK;
}

/* A map of protobuf: {"1": {...}} in JSON, [{key: 1 value {...}}] in its text format. */
static es_status read_level_policies(const es_doc *value, es_model_config *out, es_error *err)
{
    es_config_items list;
    bool is_plain = value != NULL && value->type == ES_DOC_MAP && es_doc_find(value, "key") == NULL;
    es_config_items_of(value, &list);
    size_t count = is_plain ? value->as.map.count : list.count;
    for (size_t i = 0; i < count; i++) {
        int64_t level = 0;
        const es_doc *policy = NULL;
        if (is_plain) {
            const es_doc_member *member = &value->as.map.members[i];
            policy = member->value;
            if (!es_text_to_int64(member->key, &level))
                level = 0;
        } else {
            ES_TRY(ES_DOC_EXPECT_KEYS(list.at[i], err, "key", "value"));
            ES_TRY(es_config_get_integer(list.at[i], "key", 1, ES_BATCH_LEVELS_MAX, &level, err));
            ES_TRY(es_doc_need_map(list.at[i], "value", &policy, err));
        }
        if (level < 1 || level > (int64_t)out->priority_levels)
            return es_doc_fail(policy, err, "priority %lld must be in 1..priority_levels=%u",
                               (long long)level, out->priority_levels);
        ES_TRY(read_queue_policy(policy, &out->levels[level - 1], err));
    }
    return ES_OK;
}

static es_status read_levels(const es_doc *map, es_model_config *out, es_error *err)
{
    const es_doc *policy = NULL;
    ES_TRY(es_config_get_u32(map, "priority_levels", 0, ES_BATCH_LEVELS_MAX, &out->priority_levels,
                             err));
    ES_TRY(es_config_get_u32(map, "default_priority_level", 0, ES_BATCH_LEVELS_MAX,
                             &out->default_priority_level, err));
    bool inside =
        out->default_priority_level >= 1 && out->default_priority_level <= out->priority_levels;
    if (out->priority_levels > 0 ? !inside : out->default_priority_level > 0)
        return es_doc_fail(map, err, "default_priority_level=%u must be in 1..priority_levels=%u",
                           out->default_priority_level, out->priority_levels);
    ES_TRY(es_doc_get_map(map, "default_queue_policy", &policy, err));
    if (policy != NULL)
        ES_TRY(read_queue_policy(policy, &out->levels[0], err));
    for (size_t i = 1; i < ES_BATCH_LEVELS_MAX; i++)
        out->levels[i] = out->levels[0];
    return read_level_policies(es_doc_find(map, "priority_queue_policy"), out, err);
}

static es_status read_preferred(const es_doc *map, es_model_config *out, es_error *err)
{
    es_config_items list;
    es_config_items_of(es_doc_find(map, "preferred_batch_size"), &list);
    if (list.count > ES_BATCH_PREFERRED_MAX)
        return es_doc_fail(es_doc_find(map, "preferred_batch_size"), err,
                           "%zu sizes are more than %d", list.count, ES_BATCH_PREFERRED_MAX);
    for (size_t i = 0; i < list.count; i++) {
        int64_t size = 0;
        ES_TRY(es_config_expect_integer(list.at[i], 1, out->max_batch_size, &size, err));
        size_t at = i;
        for (; at > 0 && out->preferred[at - 1] > (uint32_t)size; at--)
            out->preferred[at] = out->preferred[at - 1];
        if (at > 0 && out->preferred[at - 1] == (uint32_t)size)
            return es_doc_fail(list.at[i], err, "%lld is there twice", (long long)size);
        out->preferred[at] = (uint32_t)size;
    }
    out->preferred_count = list.count;
    return ES_OK;
}

es_status es_config_read_batching(const es_doc *root, es_model_config *out, es_error *err)
{
    const es_doc *map = NULL;
    ES_TRY(es_doc_get_map(root, "dynamic_batching", &map, err));
    if (map == NULL)
        return ES_OK;
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "preferred_batch_size", "max_queue_delay_microseconds",
                              "preserve_ordering", "priority_levels", "default_priority_level",
                              "default_queue_policy", "priority_queue_policy"));
    if (out->max_batch_size_given && out->max_batch_size == 0)
        return es_doc_fail(map, err, "dynamic_batching needs max_batch_size >= 1");
    if (!out->max_batch_size_given)
        return es_doc_fail(map, err, "dynamic_batching needs max_batch_size");
    out->batching = true;
    ES_TRY(read_preferred(map, out, err));
    ES_TRY(es_config_get_integer(map, "max_queue_delay_microseconds", 0, INT64_C(60000000),
                                 &out->max_queue_delay_us, err));
    ES_TRY(es_doc_get_bool(map, "preserve_ordering", &out->preserve_ordering, err));
    return read_levels(map, out, err);
}
