#include "plan/or_instances.h"

#include "base/array.h"
#include "base/file.h"

#include <dirent.h>
#include <math.h>
#include <sys/stat.h>

const char *const es_or_set_names[ES_OR_SET_COUNT] = {"ufl",          "cfl", "cfl-orlib", "sscflp",
                                                      "sscflp-orlib", "gap", "pmed"};
const char *const es_or_set_folders[ES_OR_SET_COUNT] = {
    "or-cap", "or-cap", "or-sscflp-orlib", "or-sscflp", "or-sscflp-orlib", "or-gap", "or-pmed"};

static const size_t FILE_BYTES_MAX = (size_t)64 << 20;

/* Costs, demands and capacities of a location or assignment problem. */
typedef struct matrices {
    uint32_t facility_count;
    uint32_t customer_count;
    double *capacity; /* [facility] */
    double *fixed;    /* [facility] */
    double *demand;   /* [customer] */
    double *cost;     /* [customer][facility] of all the demand */
    double *weight;   /* [customer][facility], of assignment; else NULL */
} matrices;

typedef struct reader {
    es_arena *arena;
    const char *path;
    char *at;
    es_error *err;
} reader;

/* ---- reading ---- */

static es_status open_file(reader *r, const char *folder, const char *file)
{
    size_t size;
    char *bytes;
    r->path = es_file_join(r->arena, folder, file);
    if (r->path == NULL)
        return es_arena_full(r->arena, "path", r->err);
    ES_TRY(es_file_read_gz(r->arena, r->path, FILE_BYTES_MAX, &bytes, &size, r->err));
    r->at = bytes;
    return ES_OK;
}

/* NAME.txt, NAME.txt.gz or NAME. */
static es_status open_instance(reader *r, const char *folder, const char *name)
{
    static const char *const endings[] = {"txt", "txt.gz"};
    for (size_t i = 0; i < 2; i++) {
        struct stat about;
        const char *file = es_arena_format(r->arena, "%s.%s", name, endings[i]);
        const char *path = file != NULL ? es_file_join(r->arena, folder, file) : NULL;
        if (path == NULL)
            return es_arena_full(r->arena, "path", r->err);
        if (stat(path, &about) == 0)
            return open_file(r, folder, file);
    }
    return open_file(r, folder, name);
}

/* The next number; a word in its place gives NAN. */
static es_status next(reader *r, double *out)
{
    char *end;
    while (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t')
        r->at++;
    if (*r->at == '\0')
        return es_fail(r->err, ES_ERR_PARSE, "%s: ends early", r->path);
    *out = strtod(r->at, &end);
    if (end == r->at) {
        *out = (double)NAN;
        while (*end > ' ')
            end++;
    }
    r->at = end;
    return ES_OK;
}

static es_status next_count(reader *r, uint32_t *out)
{
    double number;
    ES_TRY(next(r, &number));
    if (!(number >= 1.0 && number <= 1e5))
        return es_fail(r->err, ES_ERR_PARSE, "%s: %g must be 1..1e5", r->path, number);
    *out = (uint32_t)number;
    return ES_OK;
}

static es_status take(reader *r, size_t count, double **out)
{
    *out = ES_TAKE_ARRAY(r->arena, double, count);
    return *out != NULL ? ES_OK : es_arena_full(r->arena, "instance", r->err);
}

static es_status take_matrices(reader *r, matrices *m)
{
    size_t cells = (size_t)m->facility_count * m->customer_count;
    ES_TRY(take(r, m->facility_count, &m->capacity));
    ES_TRY(take(r, m->facility_count, &m->fixed));
    ES_TRY(take(r, m->customer_count, &m->demand));
    return take(r, cells, &m->cost);
}

static es_status read_list(reader *r, double *out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ES_TRY(next(r, &out[i]));
    return ES_OK;
}

/* m x n by facility, turned round. */
static es_status read_by_facility(reader *r, const matrices *m, double *out)
{
    for (uint32_t i = 0; i < m->facility_count; i++)
        for (uint32_t j = 0; j < m->customer_count; j++)
            ES_TRY(next(r, &out[(size_t)j * m->facility_count + i]));
    return ES_OK;
}

static es_status read_pairs(reader *r, matrices *m)
{
    for (uint32_t i = 0; i < m->facility_count; i++) {
        ES_TRY(next(r, &m->capacity[i]));
        ES_TRY(next(r, &m->fixed[i]));
    }
    return ES_OK;
}

static es_status read_cap(reader *r, matrices *m)
{
    ES_TRY(read_pairs(r, m));
    for (uint32_t j = 0; j < m->customer_count; j++) {
        ES_TRY(next(r, &m->demand[j]));
        ES_TRY(read_list(r, m->cost + (size_t)j * m->facility_count, m->facility_count));
    }
    return ES_OK;
}

static es_status read_sscflp(reader *r, matrices *m)
{
    ES_TRY(read_list(r, m->capacity, m->facility_count));
    ES_TRY(read_list(r, m->fixed, m->facility_count));
    ES_TRY(read_list(r, m->demand, m->customer_count));
    return read_list(r, m->cost, (size_t)m->facility_count * m->customer_count);
}

static es_status read_orlib(reader *r, matrices *m, double *out_known)
{
    ES_TRY(read_pairs(r, m));
    ES_TRY(read_list(r, m->demand, m->customer_count));
    ES_TRY(read_by_facility(r, m, m->cost));
    return next(r, out_known);
}

static es_status read_gap(reader *r, matrices *m)
{
    ES_TRY(take(r, (size_t)m->facility_count * m->customer_count, &m->weight));
    ES_TRY(read_by_facility(r, m, m->cost));
    ES_TRY(read_by_facility(r, m, m->weight));
    return read_list(r, m->capacity, m->facility_count);
}

/* ---- scenarios ---- */

typedef struct maker {
    es_arena *arena;
    es_scenario *scenario;
    es_network *network;
    uint32_t kind_count;
    es_service *services;
    es_task *tasks;
    es_stage *stages;
    es_class *classes;
    uint32_t *node_kinds;
    es_error *err;
} maker;

static es_status begin(maker *m, const char *name, uint32_t node_count, uint32_t kind_count,
                       uint32_t task_count, uint32_t class_count)
{
    m->scenario = ES_TAKE_ONE(m->arena, es_scenario);
    m->kind_count = kind_count;
    m->services = ES_TAKE_ARRAY(m->arena, es_service, (size_t)kind_count * task_count);
    m->node_kinds = ES_TAKE_ARRAY(m->arena, uint32_t, node_count);
    m->tasks = ES_TAKE_ARRAY(m->arena, es_task, task_count);
    m->classes = ES_TAKE_ARRAY(m->arena, es_class, class_count);
    es_kind *kinds = ES_TAKE_ARRAY(m->arena, es_kind, kind_count);
    es_segment *segments = ES_TAKE_ARRAY(m->arena, es_segment, task_count);
    es_pipeline *pipelines = ES_TAKE_ARRAY(m->arena, es_pipeline, task_count);
    es_stage *stages = m->stages = ES_TAKE_ARRAY(m->arena, es_stage, task_count);
    uint32_t *first = ES_TAKE_ARRAY(m->arena, uint32_t, (size_t)task_count + 1);
    if (m->scenario == NULL || m->services == NULL || m->node_kinds == NULL || m->tasks == NULL ||
        m->classes == NULL || kinds == NULL || segments == NULL || pipelines == NULL ||
        stages == NULL || first == NULL)
        return es_arena_full(m->arena, "scenario", m->err);
    for (uint32_t k = 0; k < kind_count; k++)
        kinds[k].name = "kind";
    for (uint32_t t = 0; t < task_count; t++) {
        const char *item = es_arena_format(m->arena, "item-%u", (unsigned)t);
        if (item == NULL)
            return es_arena_full(m->arena, "names", m->err);
        m->tasks[t] = (es_task){.name = item, .deadline_s = (double)INFINITY};
        segments[t] = (es_segment){.name = item, .variant = item};
        stages[t] = (es_stage){
            .segment = {t}, .reach = 1.0, .input = ES_STAGE_INPUT_REQUEST, .exit_threshold = 2.0};
        pipelines[t] = (es_pipeline){
            .name = item, .task = {t}, .quality = 1.0, .stage_count = 1, .stages = &stages[t]};
        first[t + 1] = t + 1;
    }
    for (uint32_t r = 0; r < class_count; r++)
        m->classes[r] = (es_class){.arrivals = {.kind = ES_ARRIVAL_POISSON, .rate_rps = 1.0},
                                   .deadline_s = (double)INFINITY};
    *m->scenario = (es_scenario){
        .file = name,
        .name = name,
        .description = "",
        .seed = 1,
        .slot_s = 1.0,
        .slot_count = 1,
        .kind_count = kind_count,
        .kinds = kinds,
        .node_kinds = m->node_kinds,
        .task_count = task_count,
        .tasks = m->tasks,
        .segment_count = task_count,
        .segments = segments,
        .services = m->services,
        .pipeline_count = task_count,
        .pipelines = pipelines,
        .task_pipelines = first,
        .class_count = class_count,
        .classes = m->classes,
        .objective = {.energy_per_j = 1.0, .idle_per_j = 1.0, .refusal_cost = (double)INFINITY},
        .replicas_min = 1};
    return es_network_new(m->arena, &m->network, m->err);
}

static es_status add_node(maker *m, const char *word, uint32_t number, double capacity,
                          double idle_w, uint32_t *out)
{
    es_node node = es_node_default();
    node.name = es_arena_format(m->arena, "%s-%u", word, (unsigned)number);
    node.tier = capacity > 0.0 ? ES_TIER_EDGE : ES_TIER_DEVICE;
    node.processors = capacity;
    node.utilisation_max = 1.0;
    node.memory_bytes = 1.0;
    node.idle_w = idle_w;
    node.busy_w = idle_w;
    if (node.name == NULL)
        return es_arena_full(m->arena, "names", m->err);
    es_node_id id;
    ES_TRY(es_network_node_add(m->network, &node, &id, m->err));
    *out = id.index;
    return ES_OK;
}

static es_status add_link(maker *m, uint32_t from, uint32_t to, double latency_s,
                          double energy_j_per_bit)
{
    es_link link = es_link_default();
    link.from = (es_node_id){from};
    link.to = (es_node_id){to};
    link.latency_s = latency_s;
    link.energy_j_per_bit = energy_j_per_bit;
    link.bandwidth_bps = 1e15;
    return es_network_link_add(m->network, &link, NULL, m->err);
}

static es_status finish(maker *m)
{
    es_routes *routes;
    ES_TRY(es_network_seal(m->network, m->err));
    ES_TRY(
        es_network_routes_new(m->arena, m->network, es_routes_weights_default(), &routes, m->err));
    ES_TRY(es_routes_all(routes, NULL, m->err));
    m->scenario->network = m->network;
    m->scenario->routes = routes;
    return ES_OK;
}

/* A request is one bit; a customer sends as many per second as its demand, straight to a facility:
 * any way round is three links long. */
static es_status make_location(maker *m, const char *name, const matrices *given, bool capacitated,
                               bool unsplittable)
{
    static const double ENOUGH = 1e12;
    uint32_t facilities = given->facility_count;
    uint32_t v;
    ES_TRY(begin(m, name, facilities + given->customer_count, 1, 1, given->customer_count));
    m->scenario->unsplittable = unsplittable;
    m->tasks[0].input_bytes = 1.0 / 8.0;
    m->stages[0].input_bytes = 1.0 / 8.0;
    m->services[0] = (es_service){.time_s = 1.0};
    for (uint32_t i = 0; i < facilities; i++)
        ES_TRY(add_node(m, "facility", i, capacitated ? given->capacity[i] : ENOUGH,
                        given->fixed[i], &v));
    for (uint32_t j = 0; j < given->customer_count; j++) {
        double demand = given->demand[j];
        if (!(demand > 0.0))
            return es_fail(m->err, ES_ERR_PARSE, "%s: customer %u: demand %g must be > 0", name,
                           (unsigned)j, demand);
        ES_TRY(add_node(m, "customer", j, 0.0, 0.0, &v));
        m->classes[j].node = (es_node_id){v};
        m->classes[j].arrivals.rate_rps = demand;
        for (uint32_t i = 0; i < facilities; i++)
            ES_TRY(add_link(m, v, i, 1.0, given->cost[(size_t)j * facilities + i] / demand));
    }
    return finish(m);
}

static es_status make_assignment(maker *m, const char *name, const matrices *given)
{
    uint32_t agents = given->facility_count;
    uint32_t items = given->customer_count;
    uint32_t client;
    uint32_t v;
    ES_TRY(begin(m, name, agents + 1, agents, items, items));
    m->scenario->unsplittable = true;
    for (uint32_t i = 0; i < agents; i++) {
        ES_TRY(add_node(m, "agent", i, given->capacity[i], 0.0, &v));
        m->node_kinds[v] = i;
    }
    ES_TRY(add_node(m, "client", 0, 0.0, 0.0, &client));
    for (uint32_t i = 0; i < agents; i++)
        ES_TRY(add_link(m, client, i, 0.0, 0.0));
    for (uint32_t j = 0; j < items; j++) {
        m->classes[j].task.index = j;
        m->classes[j].node = (es_node_id){client};
        for (uint32_t i = 0; i < agents; i++) {
            size_t cell = (size_t)j * agents + i;
            m->services[(size_t)i * items + j] =
                (es_service){given->weight[cell], given->cost[cell]};
        }
    }
    return finish(m);
}

/* Of two edges between the same nodes the last one counts. */
static es_status make_median(maker *m, reader *r, const char *name)
{
    uint32_t node_count;
    uint32_t edge_count;
    uint32_t hosts;
    uint32_t v;
    double *length;
    ES_TRY(next_count(r, &node_count));
    ES_TRY(next_count(r, &edge_count));
    ES_TRY(next_count(r, &hosts));
    ES_TRY(begin(m, name, node_count, 1, 1, node_count));
    ES_TRY(take(r, (size_t)node_count * node_count, &length));
    m->scenario->hosts_max = hosts;
    m->scenario->objective.latency_per_s = 0.5; /* there and back */
    for (uint32_t e = 0; e < edge_count; e++) {
        uint32_t ends[2];
        double cost;
        ES_TRY(next_count(r, &ends[0]));
        ES_TRY(next_count(r, &ends[1]));
        ES_TRY(next(r, &cost));
        if (ends[0] > node_count || ends[1] > node_count || ends[0] == ends[1])
            return es_fail(r->err, ES_ERR_PARSE, "%s: edge %u joins %u and %u", r->path,
                           (unsigned)e, (unsigned)ends[0], (unsigned)ends[1]);
        uint32_t low = (ends[0] < ends[1] ? ends[0] : ends[1]) - 1;
        uint32_t high = (ends[0] < ends[1] ? ends[1] : ends[0]) - 1;
        length[(size_t)low * node_count + high] = cost;
    }
    for (uint32_t i = 0; i < node_count; i++) {
        ES_TRY(add_node(m, "vertex", i, 1.0, 0.0, &v));
        m->classes[i].node = (es_node_id){v};
    }
    for (uint32_t i = 0; i < node_count; i++)
        for (uint32_t j = i + 1; j < node_count; j++)
            if (length[(size_t)i * node_count + j] > 0.0)
                ES_TRY(add_link(m, i, j, length[(size_t)i * node_count + j], 0.0));
    return finish(m);
}

/* ---- known values ---- */

/* What follows `key` in a file of lines; the rest of that line is at r->at. */
static es_status find_line(reader *r, const char *folder, const char *file, const char *key)
{
    ES_TRY(open_file(r, folder, file));
    size_t size = strlen(key);
    for (char *line = r->at; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n' ? 1 : 0;
        if (strncmp(line, key, size) == 0 &&
            (line[size] == ' ' || line[size] == ',' || line[size] == '\t')) {
            r->at = line + size + 1;
            return ES_OK;
        }
    }
    return es_fail(r->err, ES_ERR_PARSE, "%s: has no line of '%s'", r->path, key);
}

/* Path,Format,Dataset,Items,Agents,bound,Optimum,best: the last three of a line. */
static es_status known_gap(reader *r, const char *folder, const char *name,
                           es_or_instance *instance)
{
    char *key = es_arena_format(r->arena, "%s", name);
    double figures[3] = {0};
    if (key == NULL)
        return es_arena_full(r->arena, "name", r->err);
    char *bar = strchr(key, '_');
    if (bar != NULL)
        *bar = '/';
    ES_TRY(find_line(r, folder, "gap_best_known.csv", key));
    int commas = 0;
    for (; *r->at != '\0' && *r->at != '\n'; r->at++) {
        if (*r->at == ',' && ++commas >= 4)
            figures[commas - 4] = strtod(r->at + 1, NULL);
    }
    instance->known_low = figures[1] > 0.0 ? figures[1] : figures[0];
    instance->known_high = figures[1] > 0.0   ? figures[1]
                           : figures[2] > 0.0 ? figures[2]
                                              : (double)INFINITY;
    return ES_OK;
}

/* Line k of NAME's list of optima, where NAME is Lib_1_pk. */
static es_status known_sscflp(reader *r, const char *folder, const char *name, double *out)
{
    const char *at = strstr(name, "_p");
    if (at == NULL)
        return es_fail(r->err, ES_ERR_ARG, "'%s' must be Lib_<n>_p<k>", name);
    const char *file = es_arena_format(r->arena, "%.*s_os_optima.txt", (int)(at - name), name);
    if (file == NULL)
        return es_arena_full(r->arena, "name", r->err);
    ES_TRY(open_file(r, folder, file));
    for (unsigned long k = strtoul(at + 2, NULL, 10); k > 0; k--)
        ES_TRY(next(r, out));
    return ES_OK;
}

static es_status read_known(reader *r, es_or_set set, const char *folder, const char *name,
                            double in_file, es_or_instance *instance)
{
    double known = in_file;
    if (set == ES_OR_GAP)
        return known_gap(r, folder, name, instance);
    if (set == ES_OR_SSCFLP)
        ES_TRY(known_sscflp(r, folder, name, &known));
    if (set == ES_OR_UFL || set == ES_OR_CFL) {
        ES_TRY(find_line(r, folder, "optimal-solutions.txt", name));
        ES_TRY(next(r, &known));
    }
    if (set == ES_OR_PMED) {
        ES_TRY(find_line(r, folder, "pmedopt.csv", name));
        for (int commas = 0; commas < 2; r->at++)
            commas += *r->at == ',' ? 1 : 0;
        ES_TRY(next(r, &known));
    }
    /* What costs so much when customers may not be split costs no more when they may. */
    instance->known_low = set == ES_OR_CFL_ORLIB ? 0.0 : known;
    instance->known_high = known;
    return ES_OK;
}

/* ---- all ---- */

es_status es_or_load(es_arena *arena, es_or_set set, const char *folder, const char *name,
                     es_or_instance *out_instance, es_error *err)
{
    reader r = {.arena = arena, .err = err};
    maker m = {.arena = arena, .err = err};
    matrices given = {0};
    double in_file = 0.0;
    const char *kept = es_arena_text(arena, name);
    if (kept == NULL)
        return es_arena_full(arena, "name", err);
    ES_TRY(open_instance(&r, folder, name));
    if (set == ES_OR_PMED) {
        ES_TRY(make_median(&m, &r, kept));
    } else {
        ES_TRY(next_count(&r, &given.facility_count));
        ES_TRY(next_count(&r, &given.customer_count));
        ES_TRY(take_matrices(&r, &given));
        if (set == ES_OR_UFL || set == ES_OR_CFL)
            ES_TRY(read_cap(&r, &given));
        else if (set == ES_OR_SSCFLP)
            ES_TRY(read_sscflp(&r, &given));
        else if (set == ES_OR_SSCFLP_ORLIB || set == ES_OR_CFL_ORLIB)
            ES_TRY(read_orlib(&r, &given, &in_file));
        else
            ES_TRY(read_gap(&r, &given));
        if (set == ES_OR_GAP)
            ES_TRY(make_assignment(&m, kept, &given));
        else
            ES_TRY(make_location(&m, kept, &given, set != ES_OR_UFL,
                                 set == ES_OR_SSCFLP || set == ES_OR_SSCFLP_ORLIB));
    }
    es_or_instance instance = {
        .scenario = m.scenario,
        .tolerance = strcmp(es_or_set_folders[set], "or-sscflp-orlib") == 0 ? 1e-6 : 1e-7};
    ES_TRY(read_known(&r, set, folder, kept, in_file, &instance));
    *out_instance = instance;
    return ES_OK;
}

typedef struct entry {
    const char *name;
    off_t bytes;
} entry;

static int by_size(const void *left, const void *right)
{
    const entry *a = left;
    const entry *b = right;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? -1 : 1;
    return strcmp(a->name, b->name);
}

static bool is_instance(es_or_set set, const char *file)
{
    static const char *const starts[ES_OR_SET_COUNT] = {"cap", "cap", "cap", "Lib_",
                                                        "cap", "",    "pmed"};
    if (strncmp(file, starts[set], strlen(starts[set])) != 0 || file[0] == '.')
        return false;
    if (set == ES_OR_CFL && strncmp(file, "capa", 4) == 0)
        return false; /* its capacities are not in the file */
    return strstr(file, "optima") == NULL && strstr(file, ".csv") == NULL &&
           strstr(file, "README") == NULL && strstr(file, ".opt") == NULL &&
           strstr(file, "NOTICE") == NULL;
}

es_status es_or_list(es_arena *arena, es_or_set set, const char *folder,
                     const char *const **out_names, size_t *out_count, es_error *err)
{
    ES_ARRAY(entry) found = {0};
    es_status status = ES_OK;
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return es_fail(err, ES_ERR_IO, "cannot open folder '%s'", folder);
    for (struct dirent *file = readdir(dir); file != NULL && status == ES_OK; file = readdir(dir)) {
        struct stat about;
        if (!is_instance(set, file->d_name))
            continue;
        char *name = es_arena_format(arena, "%s", file->d_name);
        const char *path = es_file_join(arena, folder, file->d_name);
        entry one = {.name = name};
        if (name == NULL || path == NULL || stat(path, &about) != 0)
            continue;
        one.bytes = about.st_size;
        char *dot = strstr(name, ".txt");
        if (dot != NULL)
            *dot = '\0';
        status = ES_ARRAY_PUSH(arena, &found, one, "instances", err);
    }
    (void)closedir(dir); /* only read */
    ES_TRY(status);
    const char **names = ES_TAKE_ARRAY(arena, const char *, found.count);
    if (names == NULL)
        return es_arena_full(arena, "instances", err);
    if (found.count > 1)
        qsort(found.items, found.count, sizeof *found.items, by_size);
    for (size_t i = 0; i < found.count; i++)
        names[i] = found.items[i].name;
    *out_names = names;
    *out_count = found.count;
    return ES_OK;
}
