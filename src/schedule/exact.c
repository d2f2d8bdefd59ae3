/* Branch and bound on the cells of tasks, and on points of curves when discrete. */
#include "schedule/internal.h"

#include <math.h>

static const double WORK_MIN = 1e-7; /* relative to a task's work: less is noise of the simplex */
static const double LP_TIME_S = 60.0;

typedef enum branch_kind { BRANCH_CELL, BRANCH_POINT } branch_kind;

/* A node of the tree on the way down. */
typedef struct frame {
    branch_kind kind;
    uint32_t task;
    uint32_t segment; /* POINT: first segment above the point below */
    uint32_t child;   /* next to try */
    uint32_t child_count;
    uint32_t cell_first; /* CELL: the one to try first */
    double bound;        /* of the node itself */
} frame;

typedef struct tree {
    const es_instance *instance;
    es_arena *scratch;
    es_arena *node; /* emptied at every node */
    es_lp *lp;
    bool discrete;
    double gap;
    const es_limit *limit;
    es_assigned *best;
    es_refit *refit;
    frame *frames;
    uint32_t depth;
    uint32_t *fixed;     /* [task_count] cell, ES_NOWHERE: nowhere, FREE: not decided */
    uint32_t *points_lo; /* [task_count] segments that are full at least */
    uint32_t *points_hi; /* [task_count] segments that may be used */
    uint32_t *cell_of;   /* of a rounded node */
    double *work;
    double *busy_s;
    es_error *err;
} tree;

#define FREE (UINT32_MAX - 1)

static uint32_t work_col(const tree *t, uint32_t j, uint32_t c)
{
    return t->instance->first[t->instance->task_count] + j * t->instance->cell_count + c;
}

typedef struct lp_arrays {
    double *gain, *lower, *upper, *row_lower, *row_upper;
    ES_ARRAY(es_lp_term) terms;
} lp_arrays;

static es_status add_term(tree *t, lp_arrays *a, uint32_t row, uint32_t col, double value)
{
    es_lp_term term = {row, col, value};
    return value == 0.0 ? ES_OK : ES_ARRAY_PUSH(t->scratch, &a->terms, term, "terms", t->err);
}

/* Rows: work of each task; work before each deadline per cell; budgets. */
static es_status fill(tree *t, lp_arrays *a)
{
    const es_instance *in = t->instance;
    uint32_t n = in->task_count;
    uint32_t m = in->cell_count;
    for (uint32_t j = 0; j < n; j++) {
        for (uint32_t s = in->first[j]; s < in->first[j + 1]; s++) {
            a->gain[s] = in->slope[s];
            a->upper[s] = in->length[s];
            ES_TRY(add_term(t, a, j, s, 1.0));
        }
        for (uint32_t c = 0; c < m; c++) {
            const es_cell *cell = &in->cells[c];
            uint32_t col = work_col(t, j, c);
            a->upper[col] = cell->speed * es_cell_room_s(cell, in->deadline[j]);
            ES_TRY(add_term(t, a, j, col, -1.0));
            for (uint32_t k = j; k < n; k++)
                ES_TRY(add_term(t, a, n + k * m + c, col, 1.0));
            for (uint32_t b = 0; b < ES_BUDGET_COUNT; b++)
                if (isfinite(in->budget[b]))
                    ES_TRY(add_term(t, a, n + n * m + b, col, cell->use_per_s[b] / cell->speed));
            a->row_upper[n + j * m + c] = a->upper[col];
            a->row_lower[n + j * m + c] = -(double)INFINITY;
        }
    }
    for (uint32_t b = 0; b < ES_BUDGET_COUNT; b++) {
        a->row_lower[n + n * m + b] = -(double)INFINITY;
        a->row_upper[n + n * m + b] = in->budget[b];
    }
    return ES_OK;
}

static es_status build(tree *t)
{
    const es_instance *in = t->instance;
    size_t cols = in->first[in->task_count] + (size_t)in->task_count * in->cell_count;
    size_t rows = in->task_count + (size_t)in->task_count * in->cell_count + ES_BUDGET_COUNT;
    lp_arrays a = {.gain = ES_TAKE_ARRAY(t->scratch, double, cols),
                   .lower = ES_TAKE_ARRAY(t->scratch, double, cols),
                   .upper = ES_TAKE_ARRAY(t->scratch, double, cols),
                   .row_lower = ES_TAKE_ARRAY(t->scratch, double, rows),
                   .row_upper = ES_TAKE_ARRAY(t->scratch, double, rows)};
    if (a.gain == NULL || a.lower == NULL || a.upper == NULL || a.row_lower == NULL ||
        a.row_upper == NULL)
        return es_arena_full(t->scratch, "linear program", t->err);
    ES_TRY(fill(t, &a));
    es_lp_spec spec = {.row_count = (uint32_t)rows,
                       .col_count = (uint32_t)cols,
                       .gain = a.gain,
                       .lower = a.lower,
                       .upper = a.upper,
                       .row_lower = a.row_lower,
                       .row_upper = a.row_upper,
                       .term_count = a.terms.count,
                       .terms = a.terms.items};
    return es_lp_new(&spec, &t->lp, t->err);
}

static double network_use(const es_instance *in, uint32_t cell, uint32_t j, uint32_t b)
{
    return in->cells[cell].use_per_bit[b] * in->input_bits[j];
}

/* Bounds of the task's columns from what is decided about it. */
static void apply(tree *t, uint32_t j)
{
    const es_instance *in = t->instance;
    for (uint32_t c = 0; c < in->cell_count; c++) {
        bool open = t->fixed[j] == FREE || t->fixed[j] == c;
        double room = in->cells[c].speed * es_cell_room_s(&in->cells[c], in->deadline[j]);
        es_lp_set_bounds(t->lp, work_col(t, j, c), 0.0, open ? room : 0.0);
    }
    for (uint32_t s = in->first[j]; s < in->first[j + 1]; s++)
        es_lp_set_bounds(t->lp, s, s < t->points_lo[j] ? in->length[s] : 0.0,
                         s < t->points_hi[j] ? in->length[s] : 0.0);
}

static void apply_network(tree *t)
{
    const es_instance *in = t->instance;
    for (uint32_t b = 0; in->networked && b < ES_BUDGET_COUNT; b++) {
        double left = in->budget[b];
        for (uint32_t j = 0; j < in->task_count; j++)
            if (t->fixed[j] != FREE && t->fixed[j] != ES_NOWHERE)
                left -= network_use(in, t->fixed[j], j, b);
        /* A negative side makes the node infeasible, as it is. */
        es_lp_set_row_bounds(t->lp, in->task_count + in->task_count * in->cell_count + b,
                             -(double)INFINITY, left);
    }
}

static void keep_if_better(tree *t, double gain)
{
    if (!(gain > t->best->gain))
        return;
    t->best->gain = gain;
    memcpy(t->best->cell_of, t->cell_of, t->instance->task_count * sizeof *t->cell_of);
    memcpy(t->best->work, t->work, t->instance->task_count * sizeof *t->work);
}

/* The node's answer rounded to most work per task. */
static es_status round_node(tree *t, const double *values)
{
    const es_instance *in = t->instance;
    es_mix mix = {0};
    for (uint32_t j = 0; j < in->task_count; j++) {
        double most = 0.0;
        t->cell_of[j] = ES_NOWHERE;
        for (uint32_t c = 0; c < in->cell_count; c++)
            if (values[work_col(t, j, c)] > most) {
                most = values[work_col(t, j, c)];
                t->cell_of[j] = c;
            }
    }
    ES_TRY(
        es_refit_solve(t->refit, t->scratch, t->cell_of, 1e-10, t->work, t->busy_s, &mix, t->err));
    if (!isfinite(mix.gain))
        return ES_OK;
    if (t->discrete) {
        es_assigned rounded = {t->cell_of, t->work, mix.gain};
        ES_TRY(es_discrete_round(t->node, in, &rounded, t->err));
        mix.gain = rounded.gain;
    }
    keep_if_better(t, mix.gain);
    return ES_OK;
}

/* A task whose work sits on several cells, or whose transfer is not charged yet: the one with most
 * work beside its largest part. False: there is none. */
static bool find_split(const tree *t, const double *values, frame *out)
{
    const es_instance *in = t->instance;
    double worst = 0.0;
    bool found = false;
    for (uint32_t j = 0; j < in->task_count; j++) {
        double total = 0.0;
        double most = 0.0;
        uint32_t first = 0;
        if (t->fixed[j] != FREE)
            continue;
        for (uint32_t c = 0; c < in->cell_count; c++) {
            double part = values[work_col(t, j, c)];
            total += part;
            if (part > most) {
                most = part;
                first = c;
            }
        }
        bool uncharged = network_use(in, first, j, ES_BUDGET_ENERGY) > 0.0 &&
                         total > WORK_MIN * es_instance_work_max(in, j);
        double split = total - most;
        if (split <= WORK_MIN * es_instance_work_max(in, j) && !uncharged)
            continue;
        double score = split + (uncharged ? 1e-3 * total : 0.0);
        if (found && score <= worst)
            continue;
        found = true;
        worst = score;
        *out = (frame){.kind = BRANCH_CELL,
                       .task = j,
                       .cell_first = first,
                       .child_count = in->cell_count + (in->networked ? 1 : 0)};
    }
    return found;
}

/* A task whose work is between two points: the one farthest from either. */
static bool find_between(const tree *t, const double *values, frame *out)
{
    const es_instance *in = t->instance;
    double worst = 0.0;
    for (uint32_t j = 0; j < in->task_count; j++)
        for (uint32_t s = in->first[j]; s < in->first[j + 1]; s++) {
            double part = values[s] / in->length[s];
            double away = fmin(part, 1.0 - part);
            if (away <= WORK_MIN || away * in->length[s] * in->slope[s] <= worst)
                continue;
            worst = away * in->length[s] * in->slope[s];
            *out = (frame){.kind = BRANCH_POINT, .task = j, .segment = s, .child_count = 2};
        }
    return worst > 0.0;
}

/* The answer has every task on one cell and, when discrete, at a point: it is a schedule. */
static es_status take_leaf(tree *t, const double *values)
{
    const es_instance *in = t->instance;
    if (!t->discrete)
        return round_node(t, values); /* the refit makes it exactly feasible */
    double gain = 0.0;
    for (uint32_t j = 0; j < in->task_count; j++) {
        t->work[j] = 0.0;
        t->cell_of[j] = ES_NOWHERE;
        for (uint32_t s = in->first[j]; s < in->first[j + 1]; s++)
            if (values[s] > 0.5 * in->length[s]) {
                t->work[j] += in->length[s];
                gain += in->length[s] * in->slope[s];
            }
        double most = 0.0;
        for (uint32_t c = 0; c < in->cell_count; c++)
            if (values[work_col(t, j, c)] > most) {
                most = values[work_col(t, j, c)];
                t->cell_of[j] = c;
            }
    }
    keep_if_better(t, gain);
    return ES_OK;
}

/* Solves the node that stands in the program; *out_open: it was branched on and pushed. */
static es_status visit(tree *t, bool *out_open, bool *out_failed)
{
    *out_open = false;
    es_lp_answer answer = es_lp_solve(t->lp, LP_TIME_S);
    if (answer == ES_LP_UNKNOWN)
        *out_failed = true;
    if (answer != ES_LP_OPTIMAL)
        return ES_OK;
    double bound = es_lp_objective(t->lp);
    if (bound <= t->best->gain + t->gap * fabs(t->best->gain))
        return ES_OK;
    const double *values = es_lp_values(t->lp);
    frame next = {0};
    bool split = find_split(t, values, &next);
    if (!split && !(t->discrete && find_between(t, values, &next)))
        return take_leaf(t, values);
    ES_TRY(round_node(t, values));
    next.bound = bound;
    t->frames[t->depth++] = next;
    *out_open = true;
    return ES_OK;
}

/* What the first depth frames decided about the points of a task. */
static void restore_points(tree *t, uint32_t task, uint32_t depth)
{
    t->points_lo[task] = t->instance->first[task];
    t->points_hi[task] = t->instance->first[task + 1];
    for (uint32_t d = 0; d < depth; d++) {
        const frame *f = &t->frames[d];
        if (f->kind != BRANCH_POINT || f->task != task)
            continue;
        if (f->child == 1)
            t->points_lo[task] = f->segment + 1;
        else
            t->points_hi[task] = f->segment;
    }
}

/* Goes to the next child of the last frame. Points above first: more work is what is wanted. */
static void decide(tree *t)
{
    const es_instance *in = t->instance;
    frame *f = &t->frames[t->depth - 1];
    uint32_t child = f->child++;
    if (f->kind == BRANCH_POINT)
        restore_points(t, f->task, t->depth);
    else
        t->fixed[f->task] =
            child < in->cell_count ? (f->cell_first + child) % in->cell_count : ES_NOWHERE;
    apply(t, f->task);
    apply_network(t);
}

static void undo(tree *t)
{
    const frame *f = &t->frames[--t->depth];
    if (f->kind == BRANCH_POINT)
        restore_points(t, f->task, t->depth);
    else
        t->fixed[f->task] = FREE;
    apply(t, f->task);
    apply_network(t);
}

/* The largest bound of what was not looked at. */
static double open_bound(const tree *t)
{
    double bound = -(double)INFINITY;
    for (uint32_t d = 0; d < t->depth; d++)
        bound = fmax(bound, t->frames[d].bound);
    return bound;
}

static es_status search(tree *t, double *bound)
{
    bool open;
    bool failed = false;
    ES_TRY(visit(t, &open, &failed));
    while (t->depth > 0) {
        frame *f = &t->frames[t->depth - 1];
        bool pruned = f->bound <= t->best->gain + t->gap * fabs(t->best->gain);
        if (pruned || f->child == f->child_count) {
            undo(t);
            continue;
        }
        if (es_limit_left_s(t->limit) <= 0.0)
            break;
        decide(t);
        ES_TRY(visit(t, &open, &failed));
    }
    double proven = t->best->gain + t->gap * fabs(t->best->gain);
    if (t->depth > 0)
        proven = fmax(proven, open_bound(t));
    if (!failed)
        *bound = fmin(*bound, proven);
    return ES_OK;
}

es_status es_exact_solve(es_arena *arena, const es_instance *instance, bool discrete,
                         double gap_relative, const es_limit *limit, es_assigned *start,
                         double *bound, es_error *err)
{
    static const size_t TERMS_MAX = 20000000;
    size_t n = instance->task_count;
    size_t terms = n * (n + 1) / 2 * instance->cell_count;
    if (terms > TERMS_MAX || n == 0 || instance->cell_count == 0)
        return ES_OK; /* the start and its bound are the answer */
    ES_CLEANUP(es_arena_free_p) es_arena *node = es_arena_new(ES_SCHEDULE_SCRATCH_BYTES);
    if (node == NULL)
        return es_fail(err, ES_ERR_NOMEM, "schedule: no memory for branch and bound");
    tree t = {.instance = instance,
              .scratch = arena,
              .node = node,
              .discrete = discrete,
              .gap = gap_relative,
              .limit = limit,
              .best = start,
              .err = err,
              .frames = ES_TAKE_ARRAY(arena, frame, n + (size_t)instance->first[n] + 1),
              .fixed = ES_TAKE_ARRAY(arena, uint32_t, n),
              .points_lo = ES_TAKE_ARRAY(arena, uint32_t, n),
              .points_hi = ES_TAKE_ARRAY(arena, uint32_t, n),
              .cell_of = ES_TAKE_ARRAY(arena, uint32_t, n),
              .work = ES_TAKE_ARRAY(arena, double, n),
              .busy_s = ES_TAKE_ARRAY(arena, double, instance->cell_count)};
    if (t.frames == NULL || t.fixed == NULL || t.points_lo == NULL || t.points_hi == NULL ||
        t.cell_of == NULL || t.work == NULL || t.busy_s == NULL)
        return es_arena_full(arena, "branch and bound", err);
    for (uint32_t j = 0; j < n; j++) {
        t.fixed[j] = FREE;
        t.points_lo[j] = instance->first[j];
        t.points_hi[j] = instance->first[j + 1];
    }
    ES_TRY(es_refit_new(arena, instance, &t.refit, err));
    ES_TRY(build(&t));
    es_status status = search(&t, bound);
    es_lp_free(t.lp);
    return status;
}
