/* Configurations: the first byte says the format. What is accepted must be within its bounds. */
#include "model_config.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const es_model_config *config)
{
    assert(config->max_batch_size <= ES_BATCH_ROWS_MAX);
    assert(config->replica_count <= ES_MODEL_CONFIG_REPLICAS_MAX);
    assert(config->priority_levels <= ES_BATCH_LEVELS_MAX);
    assert(config->preferred_count <= ES_BATCH_PREFERRED_MAX);
    for (size_t i = 0; i < config->preferred_count; i++)
        assert(config->preferred[i] >= 1 && config->preferred[i] <= config->max_batch_size);
    for (size_t i = 0; i < config->input_count; i++)
        assert(config->inputs[i].name != NULL && config->inputs[i].rank <= ES_TENSOR_RANK_MAX);
    for (size_t i = 0; i < config->warmup_count; i++)
        assert(config->warmups[i].count >= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"config.pbtxt", "config.json", "config.yaml"};
    es_model_config config;
    if (size == 0)
        return 0;
    es_arena *arena = es_arena_new(1 << 24);
    char *text = malloc(size);
    if (arena != NULL && text != NULL) {
        memcpy(text, data + 1, size - 1);
        if (es_model_config_parse(arena, names[data[0] % 3], text, size - 1, &config, NULL) ==
            ES_OK)
            check(&config);
    }
    free(text);
    es_arena_free(arena);
    return 0;
}
