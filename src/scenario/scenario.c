/* Scenario: reading a document from end to end, and finding things in it. */
#include "base/file.h"
#include "scenario/internal.h"

static es_status build_routes(es_reader *reader, const es_doc *root, es_error *err)
{
    es_scenario *scenario = reader->scenario;
    es_routes_weights weights = es_routes_weights_default();
    double bytes = 0;
    for (uint32_t t = 0; t < scenario->task_count; t++)
        bytes += scenario->tasks[t].input_bytes;
    weights.reference_bytes = bytes / scenario->task_count;
    const es_doc *map = NULL;
    ES_TRY(es_doc_get_map(root, "routes", &map, err));
    if (map != NULL) {
        ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "latency_weight", "energy_weight", "reference_bytes"));
        ES_TRY(es_doc_get_number(map, "latency_weight", 0, ES_SCENARIO_WEIGHT_MAX,
                                 &weights.latency_weight, err));
        ES_TRY(es_doc_get_number(map, "energy_weight", 0, ES_SCENARIO_WEIGHT_MAX,
                                 &weights.energy_weight, err));
        ES_TRY(es_doc_get_number(map, "reference_bytes", 0, ES_SCENARIO_BYTES_MAX,
                                 &weights.reference_bytes, err));
    }
    ES_TRY(
        es_network_routes_new(reader->arena, scenario->network, weights, &scenario->routes, err));
    return es_routes_all(scenario->routes, NULL, err);
}

es_status es_scenario_expect_keys(const es_doc *root, es_error *err)
{
    return ES_DOC_EXPECT_KEYS(root, err, "format", "version", "name", "description", "include",
                              "seed", "slots", "kinds", "nodes", "links", "routes", "tasks",
                              "segments", "pipelines", "demand", "objective", "constraints",
                              "events");
}

static es_status read_head(es_reader *reader, const es_doc *root, es_error *err)
{
    es_scenario *scenario = reader->scenario;
    const char *name = root->file;
    const char *description = "";
    ES_TRY(es_doc_get_text(root, "name", &name, err));
    ES_TRY(es_doc_get_text(root, "description", &description, err));
    ES_TRY(es_scenario_field_copy(reader->arena, root->file, &scenario->file, err));
    ES_TRY(es_scenario_field_copy(reader->arena, name, &scenario->name, err));
    return es_scenario_field_copy(reader->arena, description, &scenario->description, err);
}

static es_status read_scenario(es_arena *arena, es_arena *scratch, const char *folder,
                               const es_doc *own, const es_scenario **out_scenario, es_error *err)
{
    es_scenario *scenario = NULL;
    const es_doc *root = NULL; /* with what it includes */
    ES_TRY(es_doc_expect_map(own, err));
    ES_TRY(es_doc_expect_format(own, "estran-scenario", 1, err));
    ES_TRY(es_scenario_expect_keys(own, err));
    ES_TRY(es_scenario_include(scratch, folder, own, &root, err));
    ES_TRY(es_scenario_field_take(arena, 1, sizeof *scenario, "a scenario", &scenario, err));
    es_reader reader = {.arena = arena,
                        .scratch = scratch,
                        .file = own->file,
                        .folder = folder,
                        .scenario = scenario};
    ES_TRY(read_head(&reader, root, err));
    ES_TRY(es_scenario_read_places(&reader, root, err));
    ES_TRY(es_scenario_read_catalogue(&reader, root, err));
    ES_TRY(es_scenario_read_pipelines(&reader, root, err));
    ES_TRY(es_scenario_read_wishes(&reader, root, err));
    ES_TRY(es_scenario_read_events(&reader, root, err));
    ES_TRY(
        es_scenario_carbon_over(arena, scenario, 0, scenario->slot_s * scenario->slot_count, err));
    ES_TRY(build_routes(&reader, root, err));
    ES_TRY(es_scenario_services_resolve(&reader, err));
    ES_TRY(es_scenario_check(&reader, err));
    *out_scenario = scenario;
    return ES_OK;
}

es_status es_scenario_load(es_arena *arena, const char *path, const es_scenario **out_scenario,
                           es_error *err)
{
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(es_arena_cap_bytes(arena));
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory to read scenario '%s'", path);
    const es_doc *root = NULL;
    ES_TRY(es_doc_read(scratch, path, ES_SCENARIO_FILE_MAX, &root, err));
    const char *folder = NULL;
    if (strcmp(path, "-") != 0) {
        folder = es_file_folder(scratch, path);
        if (folder == NULL)
            return es_arena_full(scratch, "a path", err);
    }
    return read_scenario(arena, scratch, folder, root, out_scenario, err);
}

es_status es_scenario_parse(es_arena *arena, const char *name, const char *folder,
                            const char *bytes, size_t size, bool json,
                            const es_scenario **out_scenario, es_error *err)
{
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(es_arena_cap_bytes(arena));
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory to read scenario '%s'", name);
    const es_doc *root = NULL;
    if (json)
        ES_TRY(es_doc_parse_json(scratch, name, bytes, size, &root, err));
    else
        ES_TRY(es_doc_parse_yaml(scratch, name, bytes, size, &root, err));
    return read_scenario(arena, scratch, folder, root, out_scenario, err);
}

es_task_id es_scenario_task_find(const es_scenario *scenario, const char *name)
{
    for (uint32_t i = 0; i < scenario->task_count; i++) {
        if (strcmp(scenario->tasks[i].name, name) == 0)
            return (es_task_id){.index = i};
    }
    return (es_task_id){.index = ES_INDEX_NONE};
}

es_segment_id es_scenario_segment_find(const es_scenario *scenario, const char *name)
{
    for (uint32_t i = 0; i < scenario->segment_count; i++) {
        if (strcmp(scenario->segments[i].name, name) == 0)
            return (es_segment_id){.index = i};
    }
    return (es_segment_id){.index = ES_INDEX_NONE};
}

es_pipeline_id es_scenario_pipeline_find(const es_scenario *scenario, const char *name)
{
    for (uint32_t i = 0; i < scenario->pipeline_count; i++) {
        if (strcmp(scenario->pipelines[i].name, name) == 0)
            return (es_pipeline_id){.index = i};
    }
    return (es_pipeline_id){.index = ES_INDEX_NONE};
}
