/*
 * Where the layers of a split come from: an ONNX file, cut at its single-tensor points, or a
 * document of `estran profile`; and the problem of such a model over nodes of a scenario.
 */
#include "base/file.h"
#include "model/model.h"
#include "plan/plan.h"

#include <math.h>

#define FILE_BYTES_MAX ((size_t)256 << 20)
enum { PATH_LINKS_MAX = 1024 };

static es_status layers_take(es_arena *arena, size_t count, const char *path, es_split_model *out,
                             es_error *err)
{
    if (count > ES_SPLIT_LAYERS_MAX)
        return es_fail(err, ES_ERR_LIMIT, "%s: %zu segments between cut points, at most %d", path,
                       count, ES_SPLIT_LAYERS_MAX);
    out->layer_count = count;
    out->layers = ES_TAKE_ARRAY(arena, es_split_layer, count);
    return out->layers != NULL ? ES_OK : es_arena_full(arena, "split", err);
}

/* ---- an ONNX file ---- */

/* What the analysis knows, else what the model declares; -1: not known. */
static double bytes_of(const es_model_analysis *analysis, const es_model_tensor *tensor)
{
    const es_model_tensor *known = es_model_analysis_find(analysis, tensor->name);
    return known != NULL && known->bytes >= 0 ? (double)known->bytes : (double)tensor->bytes;
}

static es_status fill_ends(const es_model *model, const es_model_analysis *analysis,
                           const char *path, es_split_model *out, es_error *err)
{
    for (size_t side = 0; side < 2; side++) {
        size_t count = side == 0 ? es_model_input_count(model) : es_model_output_count(model);
        for (size_t i = 0; i < count; i++) {
            const es_model_tensor *tensor =
                side == 0 ? es_model_input(model, i) : es_model_output(model, i);
            double bytes = bytes_of(analysis, tensor);
            if (bytes < 0)
                return es_fail(err, ES_ERR_UNSUPPORTED,
                               "%s: %s '%s': its size in bytes is not known from the model", path,
                               side == 0 ? "input" : "output", tensor->name);
            *(side == 0 ? &out->input_bytes : &out->answer_bytes) += bytes;
        }
    }
    return ES_OK;
}

/* Layer i lies before cut i. A weight used on both sides of a cut counts in both layers. */
static void fill_layer(const es_model_analysis *analysis, const es_model_cut_point *before,
                       const es_model_cut_point *after, es_split_layer *out)
{
    int64_t macs = after != NULL ? after->macs_before : analysis->macs;
    int64_t held = after != NULL ? after->parameter_bytes_before : analysis->parameter_bytes;
    int64_t left = before != NULL ? before->parameter_bytes_after : analysis->parameter_bytes;
    macs -= before != NULL ? before->macs_before : 0;
    held -= before != NULL ? before->parameter_bytes_before : 0;
    left -= after != NULL ? after->parameter_bytes_after : 0;
    *out = (es_split_layer){.output = after != NULL ? after->tensor->name : NULL,
                            .macs = (double)macs,
                            .host_time_s = NAN,
                            .memory_bytes = (double)(held > left ? held : left),
                            .output_bytes = after != NULL ? (double)after->tensor->bytes : 0,
                            .survival = 1};
}

static es_status load_onnx(es_arena *arena, const char *path, es_split_model *out, es_error *err)
{
    const es_model *model = NULL;
    const es_model_analysis *analysis = NULL;
    es_model_cut_list cuts = {0};
    ES_TRY(es_model_load(arena, path, es_model_opts_default(), &model, err));
    es_model_analyse_opts opts = es_model_analyse_opts_default();
    opts.unknown_allowed = true;
    ES_TRY(es_model_analyse(arena, model, opts, &analysis, err));
    ES_TRY(es_model_cut_points(arena, model, analysis, &cuts, err));
    ES_TRY(fill_ends(model, analysis, path, out, err));
    ES_TRY(layers_take(arena, cuts.count + 1, path, out, err));
    const es_model_cut_point *before = NULL;
    size_t count = 0;
    for (size_t i = 0; i <= cuts.count; i++) {
        const es_model_cut_point *after = i < cuts.count ? &cuts.points[i] : NULL;
        if (after != NULL && after->tensor->bytes < 0)
            continue; /* what would be shipped is not known: no place to cut */
        fill_layer(analysis, before, after, &out->layers[count++]);
        before = after;
    }
    out->layer_count = count;
    return ES_OK;
}

/* ---- a profile ---- */

static es_status load_segment(const es_doc *segment, bool last, es_split_layer *out, es_error *err)
{
    const double most = 1e18;
    double time_ms = 0;
    *out = (es_split_layer){.survival = 1};
    ES_TRY(es_doc_expect_map(segment, err));
    ES_TRY(es_doc_get_text(segment, "cut", &out->output, err));
    if (out->output == NULL && !last)
        return es_doc_fail(segment, err, "only the last segment ends without a cut");
    if (out->output != NULL && last)
        return es_doc_fail(
            segment, err, "the last segment ends in the model's outputs, not in '%s'", out->output);
    ES_TRY(es_doc_need_number(segment, "latency_ms_p50", 0, 1e9, &time_ms, err));
    ES_TRY(es_doc_need_number(segment, "output_bytes", 0, most, &out->output_bytes, err));
    ES_TRY(es_doc_need_number(segment, "params_bytes", 0, most, &out->memory_bytes, err));
    ES_TRY(es_doc_get_number(segment, "macs", 0, most, &out->macs, err));
    out->host_time_s = time_ms * 1e-3;
    return ES_OK;
}

/* A cut costs time of its own: what is measured as a whole bounds the sum of its parts. */
static void scale_times(es_split_model *model, double whole_s)
{
    double sum_s = 0;
    for (size_t i = 0; i < model->layer_count; i++)
        sum_s += model->layers[i].host_time_s;
    if (sum_s <= whole_s)
        return;
    for (size_t i = 0; i < model->layer_count; i++)
        model->layers[i].host_time_s *= whole_s / sum_s;
}

static es_status load_profile(es_arena *arena, const char *path, es_split_model *out, es_error *err)
{
    const es_doc *root = NULL;
    const es_doc *segments = NULL;
    double whole_ms = 0;
    ES_TRY(es_doc_read(arena, path, FILE_BYTES_MAX, &root, err));
    if (root->type == ES_DOC_LIST) {
        if (root->as.list.count != 1)
            return es_doc_fail(root, err, "%zu profiles, expected one model", root->as.list.count);
        root = root->as.list.items[0];
    }
    ES_TRY(es_doc_expect_map(root, err));
    ES_TRY(es_doc_expect_format(root, "estran-profile", 1, err));
    ES_TRY(es_doc_get_text(root, "variant", &out->name, err));
    ES_TRY(es_doc_need_number(root, "input_bytes", 0, 1e18, &out->input_bytes, err));
    ES_TRY(es_doc_need_number(root, "output_bytes", 0, 1e18, &out->answer_bytes, err));
    ES_TRY(es_doc_need_number(root, "latency_ms_p50", 0, 1e9, &whole_ms, err));
    ES_TRY(es_doc_need_list(root, "segments", &segments, err));
    if (segments->as.list.count == 0)
        return es_doc_fail(segments, err,
                           "no segments; profile the model without --no-cuts, or give the .onnx");
    ES_TRY(layers_take(arena, segments->as.list.count, path, out, err));
    for (size_t i = 0; i < out->layer_count; i++)
        ES_TRY(load_segment(segments->as.list.items[i], i + 1 == out->layer_count, &out->layers[i],
                            err));
    scale_times(out, whole_ms * 1e-3);
    return ES_OK;
}

es_status es_split_model_load(es_arena *arena, const char *path, const es_split_model **out_model,
                              es_error *err)
{
    size_t size = strlen(path);
    es_split_model *model = ES_TAKE_ONE(arena, es_split_model);
    const char *slash = strrchr(path, '/');
    if (model == NULL)
        return es_arena_full(arena, "split", err);
    model->name = es_arena_text(arena, slash != NULL ? slash + 1 : path);
    if (size > 5 && strcmp(path + size - 5, ".json") == 0)
        ES_TRY(load_profile(arena, path, model, err));
    else
        ES_TRY(load_onnx(arena, path, model, err));
    *out_model = model;
    return ES_OK;
}

/* ---- the problem ---- */

/* Time of a layer on a node's kind, NAN when it cannot be told. */
static double layer_time_s(const es_kind *kind, const es_split_layer *layer)
{
    if (kind->slowdown > 0 && !isnan(layer->host_time_s))
        return kind->slowdown * layer->host_time_s;
    return kind->macs_per_s > 0 ? layer->macs / kind->macs_per_s : (double)NAN;
}

static es_status fill_node(const es_scenario *scenario, const es_split_model *model, es_node_id id,
                           double *time_s, double *energy_j, es_error *err)
{
    const es_kind *kind = &scenario->kinds[scenario->node_kinds[id.index]];
    for (size_t j = 0; j < model->layer_count; j++) {
        time_s[j] = layer_time_s(kind, &model->layers[j]);
        if (isnan(time_s[j]))
            return es_fail(err, ES_ERR_ARG,
                           "node '%s': the time of '%s' on kind '%s' is not known: it needs %s",
                           es_network_node(scenario->network, id)->name, model->name, kind->name,
                           isnan(model->layers[j].host_time_s)
                               ? "macs_per_s, or a profile instead of the model and a slowdown"
                               : "a slowdown, or macs_per_s");
        energy_j[j] = time_s[j] * kind->server_w;
    }
    return ES_OK;
}

static es_split_hop hop_between(const es_scenario *scenario, es_node_id from, es_node_id to)
{
    es_route route = {0};
    es_link_id links[PATH_LINKS_MAX];
    uint32_t count = 0;
    if (!es_routes_get(scenario->routes, from, to, &route) ||
        !es_routes_path(scenario->routes, from, to, links, PATH_LINKS_MAX, &count))
        return (es_split_hop){.latency_s = INFINITY};
    es_split_hop hop = {.latency_s = route.latency_s,
                        .seconds_per_bit = route.seconds_per_bit,
                        .energy_j_per_bit = route.energy_j_per_bit};
    for (uint32_t i = 0; i < count && i < PATH_LINKS_MAX; i++)
        hop.bottleneck_seconds_per_bit =
            fmax(hop.bottleneck_seconds_per_bit,
                 1 / es_network_link(scenario->network, links[i])->bandwidth_bps);
    return hop;
}

static es_status check_nodes(const es_scenario *scenario, const es_node_id *nodes, size_t count,
                             es_error *err)
{
    if (count < 1 || count > ES_SPLIT_NODES_MAX)
        return es_fail(err, ES_ERR_ARG, "split: %zu nodes, must be 1..%d", count,
                       ES_SPLIT_NODES_MAX);
    for (size_t k = 0; k < count; k++) {
        const es_node *node = es_network_node(scenario->network, nodes[k]);
        if (!(node->processors > 0 && node->utilisation_max > 0))
            return es_fail(err, ES_ERR_ARG, "node '%s' only forwards: leave it out of the chain",
                           node->name);
        for (size_t other = 0; other < k; other++)
            if (nodes[other].index == nodes[k].index)
                return es_fail(err, ES_ERR_ARG, "node '%s' comes twice", node->name);
    }
    return ES_OK;
}

es_status es_split_layout(es_arena *arena, const es_scenario *scenario, const es_split_model *model,
                          const es_node_id *nodes, size_t count,
                          const es_split_problem **out_problem, es_error *err)
{
    ES_TRY(check_nodes(scenario, nodes, count, err));
    size_t layers = model->layer_count;
    es_split_problem *problem = ES_TAKE_ONE(arena, es_split_problem);
    double *time_s = ES_TAKE_ARRAY(arena, double, count *layers);
    double *energy_j = ES_TAKE_ARRAY(arena, double, count *layers);
    double *memory_bytes = ES_TAKE_ARRAY(arena, double, count);
    double *processors = ES_TAKE_ARRAY(arena, double, count);
    es_split_hop *hops = ES_TAKE_ARRAY(arena, es_split_hop, count * count);
    if (problem == NULL || time_s == NULL || energy_j == NULL || memory_bytes == NULL ||
        processors == NULL || hops == NULL)
        return es_arena_full(arena, "split", err);
    for (size_t k = 0; k < count; k++) {
        const es_node *node = es_network_node(scenario->network, nodes[k]);
        ES_TRY(
            fill_node(scenario, model, nodes[k], &time_s[k * layers], &energy_j[k * layers], err));
        memory_bytes[k] = node->memory_bytes;
        processors[k] = node->processors * node->utilisation_max;
        for (size_t to = 0; to < count; to++)
            hops[k * count + to] = hop_between(scenario, nodes[k], nodes[to]);
    }
    *problem = (es_split_problem){.layer_count = layers,
                                  .node_count = count,
                                  .layers = model->layers,
                                  .time_s = time_s,
                                  .energy_j = energy_j,
                                  .memory_bytes = memory_bytes,
                                  .processors = processors,
                                  .hops = hops,
                                  .input_bytes = model->input_bytes,
                                  .answer_bytes = model->answer_bytes};
    *out_problem = problem;
    return ES_OK;
}
