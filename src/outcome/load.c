#include "base/checked.h"
#include "base/file.h"
#include "outcome/internal.h"

#include <assert.h>
#include <float.h>
#include <math.h>

#define LOAD_BYTES_MAX ((size_t)4 << 30)
#define LINE_BYTES_MAX ((size_t)256 << 20) /* of the tree of one line */
enum { INTERVALS_MAX = 1024 };
#define COUNT_MAX INT64_C(100000000) /* slots, and cells of one outcome */

typedef enum line_kind {
    LINE_CELL,
    LINE_SLOT,
    LINE_NODE,
    LINE_CLASS,
    LINE_INTERVAL,
    LINE_TOTAL,
    LINE_KIND_COUNT
} line_kind;
static const char *const line_words[LINE_KIND_COUNT] = {"cell",  "slot",     "node",
                                                        "class", "interval", "total"};

/* The outcome being filled; one byte per line that may come, to find repeats. */
typedef struct es_outcome_loader {
    es_arena *arena;
    es_outcome *outcome;
    es_outcome_row *rows, *slot_rows, *class_rows;
    es_histogram **histograms;
    es_node_use *uses;
    double *pipeline_served;
    es_interval *intervals;
    char *seen[LINE_KIND_COUNT];
    bool has_total;
} es_outcome_loader;

/* ---- small readers ---- */

/* NaN was written as null; a missing key is a mistake all the same. */
static es_status need_nullable(const es_doc *map, const char *key, double max, double *out,
                               es_error *err)
{
    const es_doc *value = NULL;
    ES_TRY(es_doc_need(map, key, &value, err));
    *out = (double)NAN;
    return value->type == ES_DOC_NULL ? ES_OK : es_doc_expect_number(value, 0, max, out, err);
}

static es_status need_amount(const es_doc *map, const char *key, double *out, es_error *err)
{
    return es_doc_need_number(map, key, 0, DBL_MAX, out, err);
}

static es_status need_index(const es_doc *map, const char *key, size_t count, size_t *out,
                            es_error *err)
{
    int64_t index = 0;
    ES_TRY(es_doc_need_int(map, key, 0, INT64_MAX, &index, err));
    if ((uint64_t)index >= count)
        return es_doc_fail(es_doc_find(map, key), err, "must be < %zu, as the header says", count);
    *out = (size_t)index;
    return ES_OK;
}

static es_status copy_text(es_arena *arena, const es_doc *map, const char *key, const char **out,
                           es_error *err)
{
    const char *words = NULL;
    ES_TRY(es_doc_need_text(map, key, &words, err));
    *out = es_arena_text(arena, words);
    return *out != NULL ? ES_OK : es_arena_full(arena, "outcome", err);
}

static es_status copy_names(es_arena *arena, const es_doc *map, const char *key,
                            const char *const **out, size_t *out_count, es_error *err)
{
    const es_doc *list = NULL;
    void *taken = NULL;
    ES_TRY(es_doc_need_list(map, key, &list, err));
    size_t count = list->as.list.count;
    ES_TRY(es_arena_take_or_fail(arena, count, sizeof(char *), key, &taken, err));
    const char **names = taken;
    for (size_t i = 0; i < count; i++) {
        const char *name = NULL;
        ES_TRY(es_doc_expect_text(list->as.list.items[i], &name, err));
        names[i] = es_arena_text(arena, name);
        if (names[i] == NULL)
            return es_arena_full(arena, "outcome", err);
    }
    *out = names;
    *out_count = count;
    return ES_OK;
}

/* ---- header ---- */

static es_status load_seed(const es_doc *map, uint64_t *out, es_error *err)
{
    const es_doc *value = NULL;
    int64_t number = 0;
    ES_TRY(es_doc_need(map, "seed", &value, err));
    if (value->type == ES_DOC_TEXT) {
        if (es_text_to_uint64(value->as.text.bytes, out) && *out > INT64_MAX)
            return ES_OK;
        return es_doc_fail(value, err, "text '%s' must be a whole number above 2^63 - 1",
                           value->as.text.bytes);
    }
    ES_TRY(es_doc_expect_int(value, 0, INT64_MAX, &number, err));
    *out = (uint64_t)number;
    return ES_OK;
}

static es_status check_size(const es_doc *map, const es_outcome *outcome, size_t classes,
                            size_t nodes, es_error *err)
{
    size_t cells = 0;
    size_t wider = classes > nodes ? classes : nodes;
    if (wider > UINT32_MAX || !es_size_mul(outcome->slot_count, wider, &cells) ||
        cells > (size_t)COUNT_MAX)
        return es_doc_fail(map, err,
                           "slot_count=%u with %zu classes and %zu nodes is more than %lld cells",
                           outcome->slot_count, classes, nodes, (long long)COUNT_MAX);
    return ES_OK;
}

static es_status load_header(es_outcome_loader *loader, const es_doc *map, es_error *err)
{
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "format", "version", "scenario", "label", "source", "seed",
                              "slot_s", "slot_count", "classes", "nodes", "pipelines"));
    ES_TRY(es_doc_expect_format(map, "estran-outcome", 1, err));
    es_outcome *outcome = ES_TAKE_ONE(loader->arena, es_outcome);
    if (outcome == NULL)
        return es_arena_full(loader->arena, "outcome", err);
    int64_t slots = 0;
    size_t classes = 0;
    size_t nodes = 0;
    es_arena *arena = loader->arena;
    ES_TRY(copy_text(arena, map, "scenario", &outcome->scenario, err));
    ES_TRY(copy_text(arena, map, "label", &outcome->label, err));
    ES_TRY(copy_text(arena, map, "source", &outcome->source, err));
    ES_TRY(load_seed(map, &outcome->seed, err));
    ES_TRY(es_doc_need_number(map, "slot_s", DBL_MIN, DBL_MAX, &outcome->slot_s, err));
    ES_TRY(es_doc_need_int(map, "slot_count", 1, COUNT_MAX, &slots, err));
    ES_TRY(copy_names(arena, map, "classes", &outcome->class_names, &classes, err));
    ES_TRY(copy_names(arena, map, "nodes", &outcome->node_names, &nodes, err));
    ES_TRY(copy_names(arena, map, "pipelines", &outcome->pipeline_names, &outcome->pipeline_count,
                      err));
    outcome->slot_count = (uint32_t)slots;
    ES_TRY(check_size(map, outcome, classes, nodes, err));
    outcome->class_count = (uint32_t)classes;
    outcome->node_count = (uint32_t)nodes;
    loader->outcome = outcome;
    return ES_OK;
}

static es_status take(es_outcome_loader *loader, size_t count, size_t size, void *out,
                      es_error *err)
{
    void *taken = NULL;
    ES_TRY(es_arena_take_or_fail(loader->arena, count, size, "outcome", &taken, err));
    memcpy(out, &taken, sizeof taken);
    return ES_OK;
}

static es_status take_all(es_outcome_loader *loader, es_error *err)
{
    const es_outcome *outcome = loader->outcome;
    assert(outcome != NULL);
    size_t slots = outcome->slot_count;
    size_t classes = outcome->class_count;
    size_t cells = slots * classes;
    size_t uses = slots * outcome->node_count;
    ES_TRY(take(loader, cells, sizeof *loader->rows, &loader->rows, err));
    ES_TRY(take(loader, slots, sizeof *loader->rows, &loader->slot_rows, err));
    ES_TRY(take(loader, classes, sizeof *loader->rows, &loader->class_rows, err));
    ES_TRY(take(loader, classes, sizeof(es_histogram *), &loader->histograms, err));
    ES_TRY(take(loader, uses, sizeof *loader->uses, &loader->uses, err));
    ES_TRY(take(loader, outcome->pipeline_count, sizeof(double), &loader->pipeline_served, err));
    const size_t lines[LINE_KIND_COUNT] = {cells, slots, uses, classes, INTERVALS_MAX, 1};
    ES_TRY(take(loader, INTERVALS_MAX, sizeof *loader->intervals, &loader->intervals, err));
    for (int k = 0; k < LINE_KIND_COUNT; k++)
        ES_TRY(take(loader, lines[k], 1, &loader->seen[k], err));
    for (size_t i = 0; i < cells; i++)
        loader->rows[i] = es_outcome_row_empty();
    for (size_t i = 0; i < slots; i++)
        loader->slot_rows[i] = es_outcome_row_empty();
    for (size_t i = 0; i < classes; i++) {
        loader->class_rows[i] = es_outcome_row_empty();
        loader->histograms[i] = es_histogram_new(loader->arena);
        if (loader->histograms[i] == NULL)
            return es_arena_full(loader->arena, "outcome", err);
    }
    for (size_t i = 0; i < uses; i++) {
        loader->uses[i].slot = (uint32_t)(i / outcome->node_count);
        loader->uses[i].node.index = (uint32_t)(i % outcome->node_count);
    }
    return ES_OK;
}

/* ---- lines ---- */

#define ROW_KEYS                                                                                   \
    "arrived", "served", "refused", "failed", "in_flight", "late", "quality_mean",                 \
        "latency_s_mean", "latency_s_mean_ci95", "latency_s_p50", "latency_s_p90",                 \
        "latency_s_p95", "latency_s_p99", "latency_s_max", "energy_compute_j", "energy_network_j", \
        "carbon_g"

static es_status load_row(const es_doc *map, es_outcome_row *row, es_error *err)
{
    ES_TRY(need_amount(map, "arrived", &row->arrived, err));
    ES_TRY(need_amount(map, "served", &row->served, err));
    ES_TRY(need_amount(map, "refused", &row->refused, err));
    ES_TRY(need_amount(map, "failed", &row->failed, err));
    ES_TRY(need_amount(map, "in_flight", &row->in_flight, err));
    ES_TRY(need_amount(map, "late", &row->late, err));
    ES_TRY(need_nullable(map, "quality_mean", 1, &row->quality_mean, err));
    ES_TRY(need_nullable(map, "latency_s_mean", DBL_MAX, &row->latency_s_mean, err));
    ES_TRY(need_nullable(map, "latency_s_mean_ci95", DBL_MAX, &row->latency_s_mean_ci95, err));
    ES_TRY(need_nullable(map, "latency_s_p50", DBL_MAX, &row->latency_s_p50, err));
    ES_TRY(need_nullable(map, "latency_s_p90", DBL_MAX, &row->latency_s_p90, err));
    ES_TRY(need_nullable(map, "latency_s_p95", DBL_MAX, &row->latency_s_p95, err));
    ES_TRY(need_nullable(map, "latency_s_p99", DBL_MAX, &row->latency_s_p99, err));
    ES_TRY(need_nullable(map, "latency_s_max", DBL_MAX, &row->latency_s_max, err));
    ES_TRY(need_amount(map, "energy_compute_j", &row->energy_compute_j, err));
    ES_TRY(need_amount(map, "energy_network_j", &row->energy_network_j, err));
    ES_TRY(need_amount(map, "carbon_g", &row->carbon_g, err));
    if (!es_outcome_row_conserves(row))
        return es_doc_fail(map, err,
                           "arrived=%.9g must be served=%.9g + refused=%.9g + failed=%.9g + "
                           "in_flight=%.9g",
                           row->arrived, row->served, row->refused, row->failed, row->in_flight);
    return ES_OK;
}

static es_status load_histogram(const es_doc *map, es_histogram *histogram, es_error *err)
{
    const es_doc *buckets = NULL;
    const es_doc *weights = NULL;
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "weight", "sum_s", "min_s", "max_s", "buckets", "weights"));
    ES_TRY(need_amount(map, "weight", &histogram->weight, err));
    ES_TRY(need_amount(map, "sum_s", &histogram->sum_s, err));
    ES_TRY(need_amount(map, "min_s", &histogram->min_s, err));
    ES_TRY(need_amount(map, "max_s", &histogram->max_s, err));
    ES_TRY(es_doc_need_list(map, "buckets", &buckets, err));
    ES_TRY(es_doc_need_list(map, "weights", &weights, err));
    if (histogram->min_s > histogram->max_s)
        return es_doc_fail(es_doc_find(map, "min_s"), err, "must be <= max_s=%g", histogram->max_s);
    size_t count = buckets->as.list.count;
    if (weights->as.list.count != count)
        return es_doc_fail(weights, err, "has %zu numbers but there are %zu buckets",
                           weights->as.list.count, count);
    int64_t least = 0;
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t bucket = 0;
        double weight = 0;
        ES_TRY(
            es_doc_expect_int(buckets->as.list.items[i], least, ES_BUCKET_COUNT - 1, &bucket, err));
        ES_TRY(es_doc_expect_number(weights->as.list.items[i], DBL_MIN, DBL_MAX, &weight, err));
        if (!es_histogram_bucket_add(histogram, (size_t)bucket, weight))
            return es_histogram_status(histogram, err);
        least = bucket + 1;
        sum += weight;
    }
    if (fabs(sum - histogram->weight) > 1e-6 * fmax(sum, histogram->weight))
        return es_doc_fail(weights, err, "add up to %.9g but weight is %.9g", sum,
                           histogram->weight);
    return ES_OK;
}

static es_status load_cell(es_outcome_loader *loader, const es_doc *map, size_t *out_at,
                           es_error *err)
{
    size_t slot = 0;
    size_t class = 0;
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "what", "slot", "class", ROW_KEYS));
    ES_TRY(need_index(map, "slot", loader->outcome->slot_count, &slot, err));
    ES_TRY(need_index(map, "class", loader->outcome->class_count, &class, err));
    *out_at = slot * loader->outcome->class_count + class;
    return load_row(map, &loader->rows[*out_at], err);
}

static es_status load_slot(es_outcome_loader *loader, const es_doc *map, size_t *out_at,
                           es_error *err)
{
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "what", "slot", ROW_KEYS));
    ES_TRY(need_index(map, "slot", loader->outcome->slot_count, out_at, err));
    return load_row(map, &loader->slot_rows[*out_at], err);
}

static es_status load_node(es_outcome_loader *loader, const es_doc *map, size_t *out_at,
                           es_error *err)
{
    size_t slot = 0;
    size_t node = 0;
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "what", "slot", "node", "busy_s", "duration_s", "idle_j",
                              "dynamic_j", "measured_j", "measured_source", "loaded_bytes",
                              "died"));
    ES_TRY(need_index(map, "slot", loader->outcome->slot_count, &slot, err));
    ES_TRY(need_index(map, "node", loader->outcome->node_count, &node, err));
    *out_at = slot * loader->outcome->node_count + node;
    es_node_use *use = &loader->uses[*out_at];
    const es_doc *died = NULL;
    ES_TRY(need_amount(map, "busy_s", &use->busy_s, err));
    ES_TRY(need_amount(map, "duration_s", &use->duration_s, err));
    ES_TRY(need_amount(map, "idle_j", &use->idle_j, err));
    ES_TRY(need_amount(map, "dynamic_j", &use->dynamic_j, err));
    if (es_doc_find(map, "measured_j") != NULL || es_doc_find(map, "measured_source") != NULL) {
        ES_TRY(need_amount(map, "measured_j", &use->measured_j, err));
        ES_TRY(copy_text(loader->arena, map, "measured_source", &use->measured_source, err));
    }
    ES_TRY(need_amount(map, "loaded_bytes", &use->model_bytes_loaded, err));
    ES_TRY(es_doc_need(map, "died", &died, err));
    return es_doc_get_bool(map, "died", &use->died, err);
}

static es_status load_class(es_outcome_loader *loader, const es_doc *map, size_t *out_at,
                            es_error *err)
{
    const es_doc *histogram = NULL;
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "what", "class", ROW_KEYS, "histogram"));
    ES_TRY(need_index(map, "class", loader->outcome->class_count, out_at, err));
    if (loader->seen[LINE_CLASS][*out_at] != 0)
        return ES_OK; /* the caller complains; adding to the histogram again would not */
    ES_TRY(es_doc_need_map(map, "histogram", &histogram, err));
    ES_TRY(load_histogram(histogram, loader->histograms[*out_at], err));
    return load_row(map, &loader->class_rows[*out_at], err);
}

static es_status load_interval(es_outcome_loader *loader, const es_doc *map, size_t *out_at,
                               es_error *err)
{
    es_outcome *outcome = loader->outcome;
    const char *measure = NULL;
    int64_t replications = 0;
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "what", "measure", "replications", "mean", "ci95"));
    if (outcome->interval_count == INTERVALS_MAX)
        return es_doc_fail(map, err, "there are more than %d intervals", INTERVALS_MAX);
    *out_at = outcome->interval_count;
    es_interval *interval = &loader->intervals[*out_at];
    ES_TRY(es_doc_need_text(map, "measure", &measure, err));
    ES_TRY(es_doc_need_int(map, "replications", 1, UINT32_MAX, &replications, err));
    ES_TRY(need_nullable(map, "mean", DBL_MAX, &interval->mean, err));
    ES_TRY(need_nullable(map, "ci95", DBL_MAX, &interval->ci95, err));
    if (outcome->interval_count > 0 && outcome->replication_count != replications)
        return es_doc_fail(es_doc_find(map, "replications"), err, "must be %u, as before",
                           outcome->replication_count);
    interval->measure = es_arena_text(loader->arena, measure);
    if (interval->measure == NULL)
        return es_arena_full(loader->arena, "intervals", err);
    outcome->replication_count = (uint32_t)replications;
    outcome->interval_count++;
    return ES_OK;
}

static es_status load_total(es_outcome_loader *loader, const es_doc *map, size_t *out_at,
                            es_error *err)
{
    es_outcome *outcome = loader->outcome;
    const es_doc *served = NULL;
    *out_at = 0;
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "what", ROW_KEYS, "energy_idle_j", "energy_total_j",
                              "carbon_idle_g", "objective_per_s", "pipeline_served"));
    ES_TRY(load_row(map, &outcome->total, err));
    ES_TRY(need_amount(map, "energy_idle_j", &outcome->energy_idle_j, err));
    ES_TRY(need_amount(map, "energy_total_j", &outcome->energy_total_j, err));
    ES_TRY(need_amount(map, "carbon_idle_g", &outcome->carbon_idle_g, err));
    ES_TRY(need_nullable(map, "objective_per_s", DBL_MAX, &outcome->objective_per_s, err));
    ES_TRY(es_doc_need_list(map, "pipeline_served", &served, err));
    if (served->as.list.count != outcome->pipeline_count)
        return es_doc_fail(served, err, "has %zu numbers but there are %zu pipelines",
                           served->as.list.count, outcome->pipeline_count);
    for (size_t p = 0; p < outcome->pipeline_count; p++)
        ES_TRY(es_doc_expect_number(served->as.list.items[p], 0, DBL_MAX,
                                    &loader->pipeline_served[p], err));
    loader->has_total = true;
    return ES_OK;
}

static es_status load_line(es_outcome_loader *loader, const es_doc *map, es_error *err)
{
    size_t kind = 0;
    size_t at = 0;
    if (loader->outcome == NULL) {
        ES_TRY(load_header(loader, map, err));
        return take_all(loader, err);
    }
    if (loader->has_total)
        return es_doc_fail(map, err, "nothing may follow the total");
    ES_TRY(es_doc_expect_map(map, err));
    ES_TRY(es_doc_need_word(map, "what", line_words, LINE_KIND_COUNT, &kind, err));
    static es_status (*const loads[LINE_KIND_COUNT])(struct es_outcome_loader *, const es_doc *,
                                                     size_t *, es_error *) = {
        load_cell, load_slot, load_node, load_class, load_interval, load_total};
    ES_TRY(loads[kind](loader, map, &at, err));
    if (loader->seen[kind][at] != 0)
        return es_doc_fail(map, err, "a line of this %s came before", line_words[kind]);
    loader->seen[kind][at] = 1;
    return ES_OK;
}

/* ---- the file ---- */

/* Each line is a document of its own, so its errors say line 1: put the true one. */
static es_status relocate(es_error *err, es_status status, const char *name, size_t line)
{
    if (status == ES_OK || err == NULL)
        return status;
    size_t size = strlen(name);
    es_error before = *err;
    if (strncmp(before.text, name, size) == 0 && strncmp(before.text + size, ":1:", 3) == 0)
        return es_fail(err, status, "%s:%zu:%s", name, line, before.text + size + 3);
    return es_fail(err, status, "%s:%zu: %s", name, line, before.text);
}

static es_status load_lines(es_outcome_loader *loader, es_arena *scratch, const char *name,
                            const char *bytes, size_t size, es_error *err)
{
    size_t line = 0;
    for (size_t at = 0; at < size;) {
        const char *end = memchr(bytes + at, '\n', size - at);
        line++;
        if (end == NULL)
            return es_fail(err, ES_ERR_PARSE,
                           "%s:%zu: the line does not end: the file is truncated", name, line);
        size_t line_size = (size_t)(end - (bytes + at));
        const es_doc *root = NULL;
        es_arena_reset(scratch);
        es_status status = es_doc_parse_json(scratch, name, bytes + at, line_size, &root, err);
        if (status == ES_OK)
            status = load_line(loader, root, err);
        if (status != ES_OK)
            return relocate(err, status, name, line);
        at += line_size + 1;
    }
    if (!loader->has_total)
        return es_fail(err, ES_ERR_PARSE, "%s:%zu: the file ends before its total line", name,
                       line + 1);
    return ES_OK;
}

es_status es_outcome_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                           const es_outcome **out_outcome, es_error *err)
{
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(LINE_BYTES_MAX);
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "%s: no memory for an arena", name);
    es_outcome_loader loader = {.arena = arena};
    ES_TRY(load_lines(&loader, scratch, name, bytes, size, err));
    es_outcome *outcome = loader.outcome;
    assert(outcome != NULL); /* there was a total, so there was a header */
    es_histogram *total = es_histogram_new(arena);
    if (total == NULL)
        return es_arena_full(arena, "histogram", err);
    for (uint32_t c = 0; c < outcome->class_count; c++)
        es_histogram_merge(total, loader.histograms[c]);
    ES_TRY(es_histogram_status(total, err));
    outcome->rows = loader.rows;
    outcome->slot_rows = loader.slot_rows;
    outcome->class_rows = loader.class_rows;
    outcome->class_histograms = (const es_histogram *const *)loader.histograms;
    outcome->histogram = total;
    outcome->node_uses = loader.uses;
    outcome->pipeline_served = loader.pipeline_served;
    outcome->intervals = loader.intervals;
    *out_outcome = outcome;
    return ES_OK;
}

es_status es_outcome_load(es_arena *arena, const char *path, const es_outcome **out_outcome,
                          es_error *err)
{
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(LOAD_BYTES_MAX);
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "%s: no memory for an arena", path);
    char *bytes = NULL;
    size_t size = 0;
    ES_TRY(es_file_read_gz(scratch, path, LOAD_BYTES_MAX, &bytes, &size, err));
    return es_outcome_parse(arena, path, bytes, size, out_outcome, err);
}
