/*
 * Short names: a file of a small model is else half names. Numbers in order of appearance.
 */
#include "model/build.h"

#include <stdio.h>

typedef struct compacter {
    es_arena *arena;
    const es_graph *graph;
    char **names; /* by value: the new name, or NULL: as it is */
} compacter;

/* Names that others know: of inputs and outputs, and what subgraphs use. */
static bool *kept_values(es_arena *arena, const es_graph *graph)
{
    bool *kept = ES_TAKE_ARRAY(arena, bool, graph->values.count);
    for (size_t v = 0; kept != NULL && v < graph->values.count; v++)
        kept[v] = graph->values.items[v].source == ES_VALUE_INPUT ||
                  graph->values.items[v].source == ES_VALUE_SPARSE ||
                  graph->values.items[v].is_output;
    for (size_t n = 0; kept != NULL && n < graph->node_count; n++)
        for (uint32_t k = 0; k < graph->nodes[n].captured_count; k++)
            kept[graph->nodes[n].captured[k]] = true;
    return kept;
}

static bool is_taken(const es_names *taken, const char *name)
{
    return es_names_find(taken, name) != ES_NO_VALUE;
}

/* Names inside subgraphs must not be hidden by new ones, so numbers found there are passed over. */
static es_status take_inner(es_arena *arena, es_names *taken, const es_graph *graph, es_error *err)
{
    for (size_t v = 0; v < graph->values.count; v++)
        if (!is_taken(taken, graph->values.items[v].name))
            ES_TRY(es_names_add(arena, taken, graph->values.items[v].name, 0, err));
    for (size_t n = 0; n < graph->node_count; n++)
        for (uint32_t g = 0; g < graph->nodes[n].subgraph_count; g++)
            ES_TRY(take_inner(arena, taken, graph->nodes[n].subgraphs[g], err));
    return ES_OK;
}

static es_status choose_names(compacter *c, es_error *err)
{
    const es_graph *graph = c->graph;
    bool *kept = kept_values(c->arena, graph);
    es_names taken = {0};
    size_t number = 0;
    c->names = ES_TAKE_ARRAY(c->arena, char *, graph->values.count);
    if (kept == NULL || c->names == NULL)
        return es_arena_full(c->arena, "names", err);
    for (size_t v = 0; v < graph->values.count; v++)
        if (kept[v])
            ES_TRY(es_names_add(c->arena, &taken, graph->values.items[v].name, 0, err));
    for (size_t n = 0; n < graph->node_count; n++)
        for (uint32_t g = 0; g < graph->nodes[n].subgraph_count; g++)
            ES_TRY(take_inner(c->arena, &taken, graph->nodes[n].subgraphs[g], err));
    for (size_t v = 0; v < graph->values.count; v++) {
        char text[24];
        if (kept[v])
            continue;
        do {
            (void)snprintf(text, sizeof text, "%zu", number++);
        } while (is_taken(&taken, text));
        c->names[v] = es_arena_text(c->arena, text);
        if (c->names[v] == NULL)
            return es_arena_full(c->arena, "names", err);
    }
    return ES_OK;
}

static void rename_ports(const compacter *c, char **ports, const uint32_t *values, size_t count)
{
    for (size_t k = 0; k < count; k++)
        if (values[k] != ES_NO_VALUE && c->names[values[k]] != NULL)
            ports[k] = c->names[values[k]];
}

static es_status compact(es_arena *arena, const es_model *model, const es_model **out_model,
                         es_error *err)
{
    compacter c = {.arena = arena, .graph = model->graph};
    es_model_build *build = es_model_build_from(arena, model);
    if (build == NULL)
        return es_arena_full(arena, "model", err);
    ES_TRY(choose_names(&c, err));
    for (size_t n = 0; n < model->graph->node_count; n++) {
        const es_gnode *node = &model->graph->nodes[n];
        Onnx__NodeProto *own = es_build_own_node(build, n);
        if (own == NULL)
            break; /* finish tells why */
        own->name = NULL;
        own->doc_string = NULL;
        rename_ports(&c, own->input, node->inputs, node->input_count);
        rename_ports(&c, own->output, node->outputs, node->output_count);
    }
    for (size_t i = 0; i < build->weights.count; i++) {
        uint32_t v = es_names_find(&model->graph->names, build->weights.items[i]->name);
        Onnx__TensorProto *copy = ES_TAKE_ONE(arena, Onnx__TensorProto);
        if (copy == NULL)
            return es_arena_full(arena, "weights", err);
        *copy = *build->weights.items[i];
        copy->doc_string = NULL;
        if (c.names[v] != NULL)
            copy->name = c.names[v];
        build->weights.items[i] = copy;
    }
    return es_model_build_finish(build, out_model, err);
}

es_status es_model_compact(es_arena *arena, const es_model *model, const es_model **out_model,
                           es_error *err)
{
    return es_within(err, compact(arena, model, out_model, err), "model '%s'", model->name);
}
