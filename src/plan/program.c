#include "plan/internal.h"

#include <limits.h>
#include <math.h>

/* A program being written. */
typedef struct writer {
    es_arena *arena;
    const es_problem *problem;
    const bool *fixed_hosts;
    es_program *program;
    uint32_t *row_of;   /* [max(host_count + 2 node_count, link_row_count)] */
    uint32_t *class_of; /* the class that last set row_of, plus 1 */
    uint32_t host_base; /* columns of hosts and nodes come from here on */
    es_error *err;
} writer;

static es_status add_col(writer *w, double cost, double upper, bool integer, uint32_t *out_col)
{
    es_program *program = w->program;
    if (program->col_cost.count >= INT_MAX)
        return es_fail(w->err, ES_ERR_LIMIT, "plan: more than %d columns", INT_MAX);
    if (w->problem->costless)
        cost = 0.0;
    ES_TRY(ES_ARRAY_PUSH(w->arena, &program->col_cost, cost, "columns", w->err));
    ES_TRY(ES_ARRAY_PUSH(w->arena, &program->col_upper, upper, "columns", w->err));
    ES_TRY(ES_ARRAY_PUSH(w->arena, &program->col_integer, integer, "columns", w->err));
    *out_col = (uint32_t)program->col_cost.count - 1;
    return ES_OK;
}

static es_status add_row(writer *w, es_row_tag tag, double lower, double upper, uint32_t *out_row)
{
    es_program *program = w->program;
    if (program->row_lower.count >= INT_MAX)
        return es_fail(w->err, ES_ERR_LIMIT, "plan: more than %d rows", INT_MAX);
    ES_TRY(ES_ARRAY_PUSH(w->arena, &program->row_lower, lower, "rows", w->err));
    ES_TRY(ES_ARRAY_PUSH(w->arena, &program->row_upper, upper, "rows", w->err));
    ES_TRY(ES_ARRAY_PUSH(w->arena, &program->row_tags, tag, "rows", w->err));
    *out_row = (uint32_t)program->row_lower.count - 1;
    return ES_OK;
}

static es_status add_term(writer *w, uint32_t row, uint32_t col, double value)
{
    if (value == 0.0)
        return ES_OK;
    es_term term = {row, col, value};
    if (w->program->terms.count >= INT_MAX)
        return es_fail(w->err, ES_ERR_LIMIT, "plan: more than %d coefficients", INT_MAX);
    return ES_ARRAY_PUSH(w->arena, &w->program->terms, term, "coefficients", w->err);
}

static es_status take_cols(writer *w, uint32_t **out, size_t count)
{
    *out = ES_TAKE_ARRAY(w->arena, uint32_t, count);
    if (*out == NULL)
        return es_arena_full(w->arena, "columns", w->err);
    memset(*out, 0xff, count * sizeof **out);
    return ES_OK;
}

static bool path_wanted(const writer *w, uint32_t class_index, const es_path *path)
{
    if (!es_path_allowed(w->problem, class_index, path))
        return false;
    for (uint32_t k = 0; w->fixed_hosts != NULL && k < path->stage_count; k++)
        if (!w->fixed_hosts[w->problem->stage_hosts[path->stage_first + k]])
            return false;
    return true;
}

/* x of every path and u of every class, and their sum is 1. */
static es_status write_classes(writer *w)
{
    const es_problem *problem = w->problem;
    for (uint32_t r = 0; r < problem->class_count; r++) {
        double rate = es_problem_rate(problem, r);
        uint32_t row;
        ES_TRY(add_row(w, (es_row_tag){ES_ROW_CLASS, r, r}, 1.0, 1.0, &row));
        for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++) {
            const es_path *path = &problem->paths[p];
            if (!path_wanted(w, r, path))
                continue;
            ES_TRY(add_col(w, rate * path->cost, 1.0, problem->unsplittable,
                           &w->program->path_cols[p]));
            ES_TRY(add_term(w, row, w->program->path_cols[p], 1.0));
        }
        if (!problem->class_off[r] && !isfinite(problem->refusal_cost))
            continue;
        double cost = problem->class_off[r] ? 0.0 : rate * problem->refusal_cost;
        ES_TRY(add_col(w, cost, 1.0, problem->unsplittable, &w->program->refused_cols[r]));
        ES_TRY(add_term(w, row, w->program->refused_cols[r], 1.0));
    }
    return ES_OK;
}

/* Average quality of what is served: sum of x (q - least) >= 0. */
static es_status write_quality(writer *w)
{
    const es_problem *problem = w->problem;
    for (uint32_t r = 0; r < problem->class_count; r++) {
        bool binds = false;
        uint32_t row;
        for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++)
            binds = binds || problem->paths[p].quality < problem->quality_min[r];
        if (!binds)
            continue;
        ES_TRY(add_row(w, (es_row_tag){ES_ROW_QUALITY, r, r}, 0.0, (double)INFINITY, &row));
        for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++)
            if (w->program->path_cols[p] != ES_INDEX_NONE)
                ES_TRY(add_term(w, row, w->program->path_cols[p],
                                problem->paths[p].quality - problem->quality_min[r]));
    }
    return ES_OK;
}

/* The most each node can be asked to compute: per class its heaviest path, summed. */
static es_status worst_loads(writer *w, double **out_worst)
{
    const es_problem *problem = w->problem;
    double *worst = ES_TAKE_ARRAY(w->arena, double, problem->node_count);
    double *most = ES_TAKE_ARRAY(w->arena, double, problem->node_count);
    double *here = ES_TAKE_ARRAY(w->arena, double, problem->node_count);
    if (worst == NULL || most == NULL || here == NULL)
        return es_arena_full(w->arena, "loads", w->err);
    for (uint32_t r = 0; r < problem->class_count; r++) {
        memset(most, 0, problem->node_count * sizeof *most);
        for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++) {
            const es_path *path = &problem->paths[p];
            const uint32_t *hosts = problem->stage_hosts + path->stage_first;
            for (uint32_t k = 0; k < path->stage_count; k++)
                here[problem->hosts[hosts[k]].node.index] +=
                    problem->stage_loads[path->stage_first + k];
            for (uint32_t k = 0; k < path->stage_count; k++) {
                uint32_t v = problem->hosts[hosts[k]].node.index;
                most[v] = fmax(most[v], here[v]);
                here[v] = 0.0;
            }
        }
        for (uint32_t v = 0; v < problem->node_count; v++)
            worst[v] += es_problem_rate(problem, r) * most[v];
    }
    *out_worst = worst;
    return ES_OK;
}

/* Busy seconds per second of a node, over its capacity, at most 1; 0 while the node is off. */
static es_status write_compute(writer *w)
{
    const es_problem *problem = w->problem;
    double *worst = NULL;
    ES_TRY(worst_loads(w, &worst));
    for (uint32_t v = 0; v < problem->node_count; v++) {
        w->row_of[v] = ES_INDEX_NONE;
        if (!(worst[v] > problem->compute_s[v]))
            continue;
        uint32_t on = w->program->on_cols[v];
        ES_TRY(add_row(w, (es_row_tag){ES_ROW_COMPUTE, v, 0}, -(double)INFINITY,
                       on == ES_INDEX_NONE ? 1.0 : 0.0, &w->row_of[v]));
        if (on != ES_INDEX_NONE)
            ES_TRY(add_term(w, w->row_of[v], on, -1.0));
    }
    for (uint32_t r = 0; r < problem->class_count; r++)
        for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++) {
            const es_path *path = &problem->paths[p];
            if (w->program->path_cols[p] == ES_INDEX_NONE)
                continue;
            for (uint32_t k = 0; k < path->stage_count; k++) {
                uint32_t v = problem->hosts[problem->stage_hosts[path->stage_first + k]].node.index;
                if (w->row_of[v] != ES_INDEX_NONE)
                    ES_TRY(add_term(w, w->row_of[v], w->program->path_cols[p],
                                    es_problem_rate(problem, r) *
                                        problem->stage_loads[path->stage_first + k] /
                                        problem->compute_s[v]));
            }
        }
    return ES_OK;
}

/* Bits per second over a directed link, over its bandwidth, at most 1. */
static es_status write_links(writer *w)
{
    const es_problem *problem = w->problem;
    for (uint32_t i = 0; i < problem->link_row_count; i++) {
        w->row_of[i] = ES_INDEX_NONE;
        if (isfinite(problem->link_bps[i]))
            ES_TRY(
                add_row(w, (es_row_tag){ES_ROW_LINK, i, 0}, -(double)INFINITY, 1.0, &w->row_of[i]));
    }
    for (uint32_t r = 0; r < problem->class_count; r++)
        for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++) {
            const es_path *path = &problem->paths[p];
            if (w->program->path_cols[p] == ES_INDEX_NONE)
                continue;
            for (uint32_t i = path->use_first; i < path->use_first + path->use_count; i++) {
                const es_path_use *use = &problem->uses[i];
                if (w->row_of[use->row] != ES_INDEX_NONE)
                    ES_TRY(add_term(w, w->row_of[use->row], w->program->path_cols[p],
                                    es_problem_rate(problem, r) * use->bits /
                                        problem->link_bps[use->row]));
            }
        }
    return ES_OK;
}

/* Joules (or grams) per second of paths and of nodes that are on, over the budget, at most 1. */
static es_status write_budget(writer *w, es_row_kind kind, double budget)
{
    const es_problem *problem = w->problem;
    bool energy = kind == ES_ROW_ENERGY;
    double left = 1.0;
    uint32_t row;
    if (!(budget > 0.0))
        return ES_OK;
    for (uint32_t v = 0; w->fixed_hosts != NULL && v < problem->node_count; v++) {
        bool on = false;
        for (uint32_t i = problem->node_host_first[v]; i < problem->node_host_first[v + 1]; i++)
            on = on || w->fixed_hosts[problem->node_hosts[i]];
        if (on)
            left -= (energy ? es_problem_idle_w(problem, v) : es_problem_idle_g_per_s(problem, v)) /
                    budget;
    }
    ES_TRY(add_row(w, (es_row_tag){kind, 0, 0}, -(double)INFINITY, left, &row));
    for (uint32_t r = 0; r < problem->class_count; r++)
        for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++) {
            const es_path *path = &problem->paths[p];
            double each = energy ? path->energy_j : path->carbon_g;
            if (w->program->path_cols[p] != ES_INDEX_NONE)
                ES_TRY(add_term(w, row, w->program->path_cols[p],
                                es_problem_rate(problem, r) * each / budget));
        }
    for (uint32_t v = 0; v < problem->node_count; v++)
        if (w->program->on_cols[v] != ES_INDEX_NONE)
            ES_TRY(add_term(
                w, row, w->program->on_cols[v],
                (energy ? es_problem_idle_w(problem, v) : es_problem_idle_g_per_s(problem, v)) /
                    budget));
    return ES_OK;
}

/* The share of a class over all its paths that take the column of a host is at most that column:
 * x <= y in its strong form. */
static es_status cover_path(writer *w, uint32_t r, uint32_t p)
{
    const es_path *path = &w->problem->paths[p];
    const uint32_t *hosts = w->problem->stage_hosts + path->stage_first;
    const uint32_t *host_cols = w->program->host_cols;
    for (uint32_t k = 0; k < path->stage_count; k++) {
        uint32_t col = host_cols[hosts[k]];
        bool again = col == ES_INDEX_NONE;
        for (uint32_t j = 0; j < k; j++)
            again = again || host_cols[hosts[j]] == col;
        if (again)
            continue;
        uint32_t at = col - w->host_base;
        if (w->class_of[at] != r + 1) {
            w->class_of[at] = r + 1;
            ES_TRY(add_row(w, (es_row_tag){ES_ROW_COVER, hosts[k], r}, -(double)INFINITY, 0.0,
                           &w->row_of[at]));
            ES_TRY(add_term(w, w->row_of[at], col, -1.0));
        }
        ES_TRY(add_term(w, w->row_of[at], w->program->path_cols[p], 1.0));
    }
    return ES_OK;
}

static es_status write_cover(writer *w)
{
    const es_problem *problem = w->problem;
    size_t count = (size_t)problem->host_count + problem->node_count;
    if (count > 0)
        memset(w->class_of, 0, count * sizeof *w->class_of);
    for (uint32_t r = 0; r < problem->class_count; r++)
        for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++)
            if (w->program->path_cols[p] != ES_INDEX_NONE)
                ES_TRY(cover_path(w, r, p));
    return ES_OK;
}

static bool hosts_bind(const es_problem *problem)
{
    return problem->hosts_max > 0 && problem->hosts_max < problem->host_count;
}

static double node_total_bytes(const es_problem *problem, uint32_t v)
{
    double total_bytes = 0.0;
    for (uint32_t i = problem->node_host_first[v]; i < problem->node_host_first[v + 1]; i++)
        total_bytes += problem->hosts[problem->node_hosts[i]].memory_bytes;
    return total_bytes;
}

/* Whether hosting it has a price or a limit of its own, apart from the node's being on. */
static bool host_matters(const es_problem *problem, const es_host *host, bool memory_binds)
{
    return host->hosting_per_s != 0.0 || (memory_binds && host->memory_bytes > 0.0) ||
           problem->replicas_min > 1 || hosts_bind(problem);
}

/* on >= y of its hosts, where idling costs or counts. */
static es_status write_node(writer *w, uint32_t v)
{
    const es_problem *problem = w->problem;
    es_program *program = w->program;
    uint32_t first = problem->node_host_first[v];
    uint32_t end = problem->node_host_first[v + 1];
    double on_cost = es_problem_on_cost(problem, v);
    bool counts = problem->energy_w_max > 0.0 || problem->carbon_g_per_s_max > 0.0;
    bool memory_binds = node_total_bytes(problem, v) > problem->memory_bytes[v];
    uint32_t row;
    if (first < end && (on_cost > 0.0 || (counts && es_problem_idle_w(problem, v) > 0.0)))
        ES_TRY(add_col(w, on_cost, 1.0, true, &program->on_cols[v]));
    for (uint32_t i = first; i < end; i++) {
        uint32_t h = problem->node_hosts[i];
        const es_host *host = &problem->hosts[h];
        bool fits = host->memory_bytes <= problem->memory_bytes[v];
        if (!host_matters(problem, host, memory_binds)) {
            program->host_cols[h] = program->on_cols[v];
            continue;
        }
        ES_TRY(add_col(w, host->hosting_per_s, fits ? 1.0 : 0.0, true, &program->host_cols[h]));
        if (program->on_cols[v] == ES_INDEX_NONE)
            continue;
        ES_TRY(add_row(w, (es_row_tag){ES_ROW_ON, h, 0}, 0.0, (double)INFINITY, &row));
        ES_TRY(add_term(w, row, program->on_cols[v], 1.0));
        ES_TRY(add_term(w, row, program->host_cols[h], -1.0));
    }
    if (!memory_binds || !(problem->memory_bytes[v] > 0.0))
        return ES_OK;
    ES_TRY(add_row(w, (es_row_tag){ES_ROW_MEMORY, v, 0}, -(double)INFINITY, 1.0, &row));
    for (uint32_t i = first; i < end; i++) {
        const es_host *host = &problem->hosts[problem->node_hosts[i]];
        if (host->memory_bytes > 0.0)
            ES_TRY(add_term(w, row, program->host_cols[problem->node_hosts[i]],
                            host->memory_bytes / problem->memory_bytes[v]));
    }
    return ES_OK;
}

static es_status write_hosts(writer *w)
{
    const es_problem *problem = w->problem;
    uint32_t row;
    w->host_base = (uint32_t)w->program->col_cost.count;
    for (uint32_t v = 0; v < problem->node_count; v++)
        ES_TRY(write_node(w, v));
    if (!hosts_bind(problem))
        return ES_OK;
    ES_TRY(add_row(w, (es_row_tag){ES_ROW_HOSTS, 0, 0}, -(double)INFINITY,
                   (double)problem->hosts_max, &row));
    for (uint32_t h = 0; h < problem->host_count; h++)
        ES_TRY(add_term(w, row, w->program->host_cols[h], 1.0));
    return ES_OK;
}

/* A segment in use (z) has at least replicas_min hosts. */
static es_status write_replicas(writer *w)
{
    const es_problem *problem = w->problem;
    if (problem->replicas_min < 2)
        return ES_OK;
    for (uint32_t s = 0; s < problem->segment_count; s++) {
        uint32_t first = problem->segment_host_first[s];
        uint32_t end = problem->segment_host_first[s + 1];
        uint32_t row;
        if (first == end)
            continue;
        ES_TRY(add_col(w, 0.0, 1.0, true, &w->program->segment_cols[s]));
        uint32_t used = w->program->segment_cols[s];
        for (uint32_t i = first; i < end; i++) {
            ES_TRY(add_row(w, (es_row_tag){ES_ROW_USED, problem->segment_hosts[i], 0}, 0.0,
                           (double)INFINITY, &row));
            ES_TRY(add_term(w, row, used, 1.0));
            ES_TRY(add_term(w, row, w->program->host_cols[problem->segment_hosts[i]], -1.0));
        }
        ES_TRY(add_row(w, (es_row_tag){ES_ROW_REPLICAS, s, 0}, 0.0, (double)INFINITY, &row));
        ES_TRY(add_term(w, row, used, -(double)problem->replicas_min));
        for (uint32_t i = first; i < end; i++)
            ES_TRY(add_term(w, row, w->program->host_cols[problem->segment_hosts[i]], 1.0));
    }
    return ES_OK;
}

es_status es_program_build(es_arena *arena, const es_problem *problem, const bool *fixed_hosts,
                           es_program *program, es_error *err)
{
    writer w = {.arena = arena,
                .problem = problem,
                .fixed_hosts = fixed_hosts,
                .program = program,
                .err = err};
    *program = (es_program){0};
    size_t most = (size_t)problem->host_count + problem->node_count;
    most = most > problem->link_row_count ? most : problem->link_row_count;
    ES_TRY(take_cols(&w, &w.row_of, most));
    ES_TRY(take_cols(&w, &w.class_of, most));
    ES_TRY(take_cols(&w, &program->path_cols, problem->path_count));
    ES_TRY(take_cols(&w, &program->refused_cols, problem->class_count));
    ES_TRY(take_cols(&w, &program->host_cols, problem->host_count));
    ES_TRY(take_cols(&w, &program->on_cols, problem->node_count));
    ES_TRY(take_cols(&w, &program->segment_cols, problem->segment_count));
    ES_TRY(write_classes(&w));
    if (fixed_hosts == NULL)
        ES_TRY(write_hosts(&w));
    ES_TRY(write_quality(&w));
    ES_TRY(write_compute(&w));
    ES_TRY(write_links(&w));
    ES_TRY(write_budget(&w, ES_ROW_ENERGY, problem->energy_w_max));
    ES_TRY(write_budget(&w, ES_ROW_CARBON, problem->carbon_g_per_s_max));
    if (fixed_hosts != NULL)
        return ES_OK;
    ES_TRY(write_cover(&w));
    return write_replicas(&w);
}

es_status es_program_columns(es_arena *arena, const es_program *program, int **out_starts,
                             int **out_rows, double **out_values, es_error *err)
{
    size_t col_count = program->col_cost.count;
    size_t term_count = program->terms.count;
    int *starts = ES_TAKE_ARRAY(arena, int, col_count + 2);
    int *rows = ES_TAKE_ARRAY(arena, int, term_count);
    double *values = ES_TAKE_ARRAY(arena, double, term_count);
    int *places = ES_TAKE_ARRAY(arena, int, program->row_lower.count);
    if (starts == NULL || rows == NULL || values == NULL || places == NULL)
        return es_arena_full(arena, "columns", err);
    /* Counting sort by column. */
    for (size_t i = 0; i < term_count; i++)
        starts[program->terms.items[i].col + 2]++;
    for (size_t c = 0; c < col_count; c++)
        starts[c + 2] += starts[c + 1];
    for (size_t i = 0; i < term_count; i++) {
        const es_term *term = &program->terms.items[i];
        int at = starts[term->col + 1]++;
        rows[at] = (int)term->row;
        values[at] = term->value;
    }
    /* A path that meets a node or link twice has two terms in a row: one in the end. */
    int kept = 0;
    for (size_t c = 0; c < col_count; c++) {
        int first = starts[c];
        int end = starts[c + 1];
        int begin = kept;
        for (int i = first; i < end; i++) {
            int *place = &places[rows[i]]; /* plus 1 */
            if (*place > begin) {
                values[*place - 1] += values[i];
                continue;
            }
            rows[kept] = rows[i];
            values[kept++] = values[i];
            *place = kept;
        }
        starts[c] = begin;
    }
    starts[col_count] = kept;
    *out_starts = starts;
    *out_rows = rows;
    *out_values = values;
    return ES_OK;
}
