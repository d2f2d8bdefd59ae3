#include "plan/placement_instance.h"

#include "base/document.h"
#include "base/file.h"
#include "plan/decompose.h"

#include <math.h>

enum { FILE_BYTES_MAX = 1 << 28 };
static const double NUMBER_MAX = 1e15;

/* A file being read. */
typedef struct reader {
    es_arena *arena;
    es_problem *problem;
    es_class *classes;
    es_host *hosts;
    es_path *paths;
    uint32_t *host_of; /* [node][variant], host + 1 */
    uint32_t variant_max;
    es_error *err;
} reader;

static es_status need_index(const es_doc *map, const char *key, uint32_t count, uint32_t *out,
                            es_error *err)
{
    int64_t index;
    ES_TRY(es_doc_need_int(map, key, 0, (int64_t)count - 1, &index, err));
    *out = (uint32_t)index;
    return ES_OK;
}

static es_status read_nodes(reader *r, const es_doc *nodes)
{
    es_problem *problem = r->problem;
    problem->node_count = (uint32_t)nodes->as.list.count;
    problem->memory_bytes = ES_TAKE_ARRAY(r->arena, double, problem->node_count);
    problem->compute_s = ES_TAKE_ARRAY(r->arena, double, problem->node_count);
    if (problem->memory_bytes == NULL || problem->compute_s == NULL)
        return es_arena_full(r->arena, "nodes", r->err);
    for (uint32_t v = 0; v < problem->node_count; v++) {
        const es_doc *node = nodes->as.list.items[v];
        ES_TRY(
            es_doc_need_number(node, "memory", 0, NUMBER_MAX, &problem->memory_bytes[v], r->err));
        ES_TRY(es_doc_need_number(node, "compute", 0, NUMBER_MAX, &problem->compute_s[v], r->err));
    }
    return ES_OK;
}

static es_status read_hosting(reader *r, const es_doc *hosting)
{
    enum { VARIANT_MAX = 4096 };
    es_problem *problem = r->problem;
    problem->host_count = (uint32_t)hosting->as.list.count;
    r->hosts = ES_TAKE_ARRAY(r->arena, es_host, problem->host_count);
    r->host_of = ES_TAKE_ARRAY(r->arena, uint32_t, (size_t)problem->node_count * VARIANT_MAX);
    if (r->hosts == NULL || r->host_of == NULL)
        return es_arena_full(r->arena, "hosting", r->err);
    r->variant_max = VARIANT_MAX;
    for (uint32_t h = 0; h < problem->host_count; h++) {
        const es_doc *row = hosting->as.list.items[h];
        es_host *host = &r->hosts[h];
        ES_TRY(need_index(row, "node", problem->node_count, &host->node.index, r->err));
        ES_TRY(need_index(row, "variant", VARIANT_MAX, &host->segment.index, r->err));
        ES_TRY(es_doc_need_number(row, "memory", 0, NUMBER_MAX, &host->memory_bytes, r->err));
        ES_TRY(es_doc_need_number(row, "cost", 0, NUMBER_MAX, &host->hosting_per_s, r->err));
        r->host_of[(size_t)host->node.index * VARIANT_MAX + host->segment.index] = h + 1;
        if (host->segment.index >= problem->segment_count)
            problem->segment_count = host->segment.index + 1;
    }
    problem->hosts = r->hosts;
    return es_problem_index_hosts(r->arena, problem, r->err);
}

/* Cheapest first, then by stage. */
static int compare_paths(const void *left, const void *right)
{
    const es_path *a = left;
    const es_path *b = right;
    if (a->cost != b->cost)
        return a->cost < b->cost ? -1 : 1;
    return a->stage_first < b->stage_first ? -1 : a->stage_first > b->stage_first;
}

static es_status read_class(reader *r, const es_doc *row, uint32_t index, uint32_t *stage_hosts,
                            double *stage_loads, double *class_cost_min)
{
    es_problem *problem = r->problem;
    const es_doc *options;
    double refusal;
    ES_TRY(es_doc_need_number(row, "refuse_cost", 1e-9, NUMBER_MAX, &refusal, r->err));
    r->classes[index].arrivals.rate_rps = refusal;
    ES_TRY(es_doc_need_list(row, "options", &options, r->err));
    uint32_t first = problem->path_count;
    class_cost_min[index] = INFINITY;
    for (size_t i = 0; i < options->as.list.count; i++) {
        const es_doc *option = options->as.list.items[i];
        uint32_t v;
        uint32_t s;
        double cost;
        double load;
        ES_TRY(need_index(option, "node", problem->node_count, &v, r->err));
        ES_TRY(need_index(option, "variant", r->variant_max, &s, r->err));
        ES_TRY(es_doc_need_number(option, "cost", 0, NUMBER_MAX, &cost, r->err));
        ES_TRY(es_doc_need_number(option, "load", 0, NUMBER_MAX, &load, r->err));
        uint32_t host = r->host_of[(size_t)v * r->variant_max + s];
        if (host == 0)
            return es_doc_fail(option, r->err, "node %u does not list variant %u", (unsigned)v,
                               (unsigned)s);
        uint32_t p = problem->path_count++;
        stage_hosts[p] = host - 1;
        stage_loads[p] = load / refusal;
        r->paths[p] = (es_path){.pipeline = {s},
                                .stage_count = 1,
                                .stage_first = p,
                                .cost = cost / refusal,
                                .quality = 1.0};
        class_cost_min[index] = fmin(class_cost_min[index], cost / refusal);
    }
    qsort(r->paths + first, problem->path_count - first, sizeof *r->paths, compare_paths);
    return ES_OK;
}

static es_status read_classes(reader *r, const char *name, const es_doc *list)
{
    es_problem *problem = r->problem;
    size_t path_max = 0;
    problem->class_count = (uint32_t)list->as.list.count;
    ES_TRY(es_problem_bare_scenario(r->arena, name, problem->node_count, NULL, problem->class_count,
                                    &r->classes, &problem->scenario, r->err));
    for (uint32_t c = 0; c < problem->class_count; c++) {
        const es_doc *options;
        ES_TRY(es_doc_need_list(list->as.list.items[c], "options", &options, r->err));
        path_max += options->as.list.count;
    }
    r->paths = ES_TAKE_ARRAY(r->arena, es_path, path_max);
    uint32_t *stage_hosts = ES_TAKE_ARRAY(r->arena, uint32_t, path_max);
    double *stage_loads = ES_TAKE_ARRAY(r->arena, double, path_max);
    uint32_t *class_paths = ES_TAKE_ARRAY(r->arena, uint32_t, problem->class_count + 1);
    double *class_cost_min = ES_TAKE_ARRAY(r->arena, double, problem->class_count);
    problem->quality_min = ES_TAKE_ARRAY(r->arena, double, problem->class_count);
    problem->deadline_off = ES_TAKE_ARRAY(r->arena, bool, problem->class_count);
    problem->class_off = ES_TAKE_ARRAY(r->arena, bool, problem->class_count);
    if (r->paths == NULL || stage_hosts == NULL || stage_loads == NULL || class_paths == NULL ||
        class_cost_min == NULL || problem->quality_min == NULL || problem->deadline_off == NULL ||
        problem->class_off == NULL)
        return es_arena_full(r->arena, "classes", r->err);
    for (uint32_t c = 0; c < problem->class_count; c++) {
        ES_TRY(read_class(r, list->as.list.items[c], c, stage_hosts, stage_loads, class_cost_min));
        class_paths[c + 1] = problem->path_count;
    }
    problem->class_paths = class_paths;
    problem->paths = r->paths;
    problem->stage_hosts = stage_hosts;
    problem->stage_loads = stage_loads;
    problem->class_cost_min = class_cost_min;
    return ES_OK;
}

static es_status read_known(const es_doc *root, es_placement_instance *instance, es_error *err)
{
    const es_doc *known;
    ES_TRY(es_doc_need_map(root, "known", &known, err));
    instance->lp_bound = instance->optimum = instance->cut_bound = instance->best_known = NAN;
    ES_TRY(es_doc_get_number(known, "lp_bound", 0, NUMBER_MAX, &instance->lp_bound, err));
    ES_TRY(es_doc_get_number(known, "optimum", 0, NUMBER_MAX, &instance->optimum, err));
    ES_TRY(es_doc_get_number(known, "cut_bound", 0, NUMBER_MAX, &instance->cut_bound, err));
    return es_doc_get_number(known, "best_known", 0, NUMBER_MAX, &instance->best_known, err);
}

es_status es_placement_instance_load(es_arena *arena, const char *path,
                                     es_placement_instance *out_instance, es_error *err)
{
    char *bytes;
    size_t size;
    const es_doc *root;
    const es_doc *nodes;
    const es_doc *hosting;
    const es_doc *classes;
    const char *name;
    ES_TRY(es_file_read_gz(arena, path, FILE_BYTES_MAX, &bytes, &size, err));
    ES_TRY(es_doc_parse_json(arena, path, bytes, size, &root, err));
    ES_TRY(es_doc_need_text(root, "name", &name, err));
    ES_TRY(es_doc_need_list(root, "nodes", &nodes, err));
    ES_TRY(es_doc_need_list(root, "hosting", &hosting, err));
    ES_TRY(es_doc_need_list(root, "classes", &classes, err));
    es_problem *problem = ES_TAKE_ONE(arena, es_problem);
    if (problem == NULL)
        return es_arena_full(arena, "problem", err);
    *problem = (es_problem){.refusal_cost = 1.0, .replicas_min = 1};
    reader r = {.arena = arena, .problem = problem, .err = err};
    es_placement_instance instance = {.problem = problem};
    ES_TRY(read_nodes(&r, nodes));
    ES_TRY(read_hosting(&r, hosting));
    ES_TRY(read_classes(&r, name, classes));
    ES_TRY(read_known(root, &instance, err));
    *out_instance = instance;
    return ES_OK;
}
