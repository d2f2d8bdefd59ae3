#include "plan/internal.h"

#include <coin/Cbc_C_Interface.h>
#include <coin/Clp_C_Interface.h>
#include <math.h>

/* Interrupted while it preprocesses, the library crashes; without preprocessing it aborts on some
 * programs of a few columns. So preprocessing is for tiny programs, and those get time to end. */
static const size_t TINY_COLUMNS = 64;
static const double TINY_TIME_S = 0.5;

/* COIN's word for no bound. */
#define COIN_INFINITY 1e30

/* A program in the shape COIN takes. */
typedef struct coin_arrays {
    int *starts;
    int *rows;
    double *values;
    double *col_lower;
    double *row_lower;
    double *row_upper;
    double *cost;
    size_t integer_count;
    double scale;  /* of the cost, a power of two */
    bool costless; /* any plan will do */
    bool in_time;  /* the solver ended well before its time limit */
} coin_arrays;

/* Brings the objective to about 1e4, so that the absolute tolerances inside are small beside it. */
static double objective_scale(const es_program *program, double size)
{
    if (!(size > 0.0) || !isfinite(size))
        for (size_t c = 0; c < program->col_cost.count; c++)
            size = fmax(isfinite(size) ? size : 0.0, fabs(program->col_cost.items[c]));
    return size > 0.0 ? exp2(round(log2(1e4 / size))) : 1.0;
}

static double coin_bound(double bound)
{
    return bound >= COIN_INFINITY    ? COIN_INFINITY
           : bound <= -COIN_INFINITY ? -COIN_INFINITY
                                     : bound;
}

static es_status take_coin(es_arena *arena, const es_program *program, double size,
                           coin_arrays *coin, es_error *err)
{
    size_t col_count = program->col_cost.count;
    size_t row_count = program->row_lower.count;
    ES_TRY(es_program_columns(arena, program, &coin->starts, &coin->rows, &coin->values, err));
    coin->col_lower = ES_TAKE_ARRAY(arena, double, col_count);
    coin->cost = ES_TAKE_ARRAY(arena, double, col_count);
    coin->row_lower = ES_TAKE_ARRAY(arena, double, row_count);
    coin->row_upper = ES_TAKE_ARRAY(arena, double, row_count);
    if (coin->col_lower == NULL || coin->cost == NULL || coin->row_lower == NULL ||
        coin->row_upper == NULL)
        return es_arena_full(arena, "program", err);
    coin->scale = objective_scale(program, size);
    coin->costless = true;
    for (size_t c = 0; c < col_count; c++) {
        coin->cost[c] = coin->scale * program->col_cost.items[c];
        coin->costless = coin->costless && coin->cost[c] == 0.0;
        coin->integer_count += program->col_integer.items[c] ? 1 : 0;
    }
    /* Clp 1.17 aborts the process on some all-zero objectives, so hosts cost something then. */
    for (size_t c = 0; coin->costless && c < col_count; c++)
        coin->cost[c] = coin->integer_count == 0 || program->col_integer.items[c] ? 1.0 : 0.0;
    for (size_t i = 0; i < row_count; i++) {
        coin->row_lower[i] = coin_bound(program->row_lower.items[i]);
        coin->row_upper[i] = coin_bound(program->row_upper.items[i]);
    }
    return ES_OK;
}

/* Copies the columns' values into shares, refusals and hosts. */
static void read_columns(const es_problem *problem, const es_program *program, const double *value,
                         es_solution *solution)
{
    for (uint32_t p = 0; p < problem->path_count; p++)
        if (program->path_cols[p] != ES_INDEX_NONE)
            solution->shares[p] = value[program->path_cols[p]];
    for (uint32_t r = 0; r < problem->class_count; r++)
        if (program->refused_cols[r] != ES_INDEX_NONE)
            solution->refused[r] = value[program->refused_cols[r]];
    for (uint32_t h = 0; h < problem->host_count; h++)
        solution->host_on[h] =
            program->host_cols[h] == ES_INDEX_NONE || value[program->host_cols[h]] > 0.5;
}

/* The start's values for every integer column, and for the shares. */
static void give_start(Cbc_Model *model, const es_problem *problem, const es_program *program,
                       const es_solution *start, int *cols, double *values)
{
    int count = 0;
    for (uint32_t h = 0; h < problem->host_count; h++) {
        const es_host *host = &problem->hosts[h];
        uint32_t on = program->on_cols[host->node.index];
        if (program->host_cols[h] != ES_INDEX_NONE && program->host_cols[h] != on) {
            cols[count] = (int)program->host_cols[h];
            values[count++] = start->host_on[h] ? 1.0 : 0.0;
        }
        uint32_t used = program->segment_cols[host->segment.index];
        if (start->host_on[h] && on != ES_INDEX_NONE) {
            cols[count] = (int)on;
            values[count++] = 1.0;
        }
        if (start->host_on[h] && used != ES_INDEX_NONE) {
            cols[count] = (int)used;
            values[count++] = 1.0;
        }
    }
    for (uint32_t p = 0; p < problem->path_count; p++)
        if (program->path_cols[p] != ES_INDEX_NONE && start->shares[p] > 0.0) {
            cols[count] = (int)program->path_cols[p];
            values[count++] = start->shares[p];
        }
    for (uint32_t r = 0; problem->unsplittable && r < problem->class_count; r++)
        if (program->refused_cols[r] != ES_INDEX_NONE && start->refused[r] > 0.0) {
            cols[count] = (int)program->refused_cols[r];
            values[count++] = start->refused[r];
        }
    Cbc_setMIPStartI(model, count, cols, values);
}

static void set_parameters(Cbc_Model *model, const es_plan_opts *opts, bool costless, bool tiny,
                           double left_s)
{
    char text[64];
    Cbc_setLogLevel(model, 0);
    Cbc_setParameter(model, "slogLevel", "0");
    Cbc_setParameter(model, "timeMode", "elapsed");
    if (!tiny)
        Cbc_setParameter(model, "preprocess", "off");
    (void)snprintf(text, sizeof text, "%.3f", left_s);
    Cbc_setParameter(model, "seconds", text);
    (void)snprintf(text, sizeof text, "%.17g", costless ? 1.0 : opts->gap_relative);
    Cbc_setParameter(model, "ratioGap", text);
    (void)snprintf(text, sizeof text, "%u", (unsigned)(opts->seed % 1000000007u + 1u));
    Cbc_setParameter(model, "randomSeed", text);
    Cbc_setParameter(model, "randomCbcSeed", text);
    if (opts->thread_count > 1) {
        (void)snprintf(text, sizeof text, "%u", (unsigned)opts->thread_count);
        Cbc_setParameter(model, "threads", text);
    }
}

static void load_model(Cbc_Model *model, const es_program *program, const coin_arrays *coin)
{
    char name[32];
    Cbc_loadProblem(model, (int)program->col_cost.count, (int)program->row_lower.count,
                    coin->starts, coin->rows, coin->values, coin->col_lower,
                    program->col_upper.items, coin->cost, coin->row_lower, coin->row_upper);
    Cbc_setObjSense(model, 1.0);
    for (size_t c = 0; c < program->col_cost.count; c++) {
        /* A start is matched by name. */
        (void)snprintf(name, sizeof name, "c%zu", c);
        Cbc_setColName(model, (int)c, name);
        if (program->col_integer.items[c])
            Cbc_setInteger(model, (int)c);
    }
    /* Named columns beside unnamed rows crash the library's presolve. */
    for (size_t i = 0; i < program->row_lower.count; i++) {
        (void)snprintf(name, sizeof name, "r%zu", i);
        Cbc_setRowName(model, (int)i, name);
    }
}

static void read_answer(Cbc_Model *model, const es_problem *problem, const es_program *program,
                        const es_plan_opts *opts, const coin_arrays *coin, es_solution *solution)
{
    const double *best = Cbc_bestSolution(model);
    if (best == NULL && Cbc_isProvenOptimal(model))
        best = Cbc_getColSolution(model);
    /* Stopped by time inside its first linear program, the library claims infeasibility. */
    bool done = coin->in_time && !Cbc_isSecondsLimitReached(model);
    if (done && Cbc_isProvenInfeasible(model) && best == NULL) {
        solution->quality = ES_PLAN_INFEASIBLE;
        solution->bound = (double)INFINITY;
        return;
    }
    double bound = Cbc_getBestPossibleObjValue(model);
    double objective = Cbc_getObjValue(model);
    bool proven = done && Cbc_isProvenOptimal(model) != 0;
    /* Once done, the library reports its best value as the bound, which it proved only within the
     * gap it was allowed. */
    if (best != NULL && proven)
        bound = fmin(bound, objective - opts->gap_relative * fabs(objective));
    solution->bound = fabs(bound) >= COIN_INFINITY ? -(double)INFINITY : bound / coin->scale;
    /* Stopped early, its bound may come from a linear program that was not finished. */
    if (!done && best == NULL)
        solution->bound = -(double)INFINITY;
    if (coin->costless)
        solution->bound = 0.0;
    solution->quality = ES_PLAN_UNKNOWN;
    if (best == NULL)
        return;
    read_columns(problem, program, best, solution);
    solution->quality = proven ? ES_PLAN_OPTIMAL : ES_PLAN_FEASIBLE;
}

static void load_linear(Clp_Simplex *model, const es_program *program, const coin_arrays *coin)
{
    Clp_setLogLevel(model, 0);
    Clp_loadProblem(model, (int)program->col_cost.count, (int)program->row_lower.count,
                    coin->starts, coin->rows, coin->values, coin->col_lower,
                    program->col_upper.items, coin->cost, coin->row_lower, coin->row_upper);
}

static bool is_integral(const es_program *program, const double *value)
{
    static const double TOLERANCE = 1e-6;
    for (size_t c = 0; c < program->col_cost.count; c++)
        if (program->col_integer.items[c] && value[c] > TOLERANCE && value[c] < 1.0 - TOLERANCE)
            return false;
    return true;
}

/* The program without the integers: OPTIMAL when its answer has them all the same, else UNKNOWN
 * with the bound it proves, if it came to an end in time. */
static es_status run_linear(const es_problem *problem, const es_program *program,
                            const coin_arrays *coin, double left_s, es_solution *solution,
                            es_error *err)
{
    static const double TOLERANCE = 1e-7; /* of the simplex */
    Clp_Simplex *model = Clp_newModel();
    if (model == NULL)
        return es_fail(err, ES_ERR_NOMEM, "plan: no memory for the solver");
    load_linear(model, program, coin);
    Clp_setMaximumSeconds(model, left_s);
    (void)Clp_dual(model, 0); /* its answer is the status asked for next */
    solution->quality = ES_PLAN_UNKNOWN;
    solution->bound = -(double)INFINITY;
    if (Clp_isProvenOptimal(model)) {
        double objective = Clp_objectiveValue(model);
        const double *value = Clp_getColSolution(model);
        solution->bound =
            coin->costless ? 0.0 : (objective - TOLERANCE * fabs(objective)) / coin->scale;
        if (is_integral(program, value)) {
            solution->quality = ES_PLAN_OPTIMAL;
            read_columns(problem, program, value, solution);
        }
    } else if (Clp_isProvenPrimalInfeasible(model)) {
        solution->quality = ES_PLAN_INFEASIBLE;
        solution->bound = (double)INFINITY;
    }
    Clp_deleteModel(model);
    return ES_OK;
}

/* CBC's first linear program cannot be interrupted and may take many times as long as the dual
 * simplex, so that of a large program is solved here first, and only what is small beside the time
 * left goes on to branch. True: *solution is the answer. */
static es_status try_linear(const es_problem *problem, const es_program *program,
                            const coin_arrays *coin, double *left_s, es_solution *solution,
                            bool *out_done, es_error *err)
{
    static const size_t LARGE_COLUMNS = 30000;
    static const double SHARE_MAX = 0.1; /* of the time left */
    *out_done = false;
    if (coin->integer_count > 0 && program->col_cost.count <= LARGE_COLUMNS)
        return ES_OK;
    es_clock *clock = es_clock_system(); /* what the library goes by */
    int64_t start_ns = es_clock_now_ns(clock);
    ES_TRY(run_linear(problem, program, coin, *left_s, solution, err));
    double took_s = es_s_from_ns(es_clock_now_ns(clock) - start_ns);
    *out_done = solution->quality != ES_PLAN_UNKNOWN || !isfinite(solution->bound) ||
                took_s > SHARE_MAX * *left_s || coin->integer_count == 0;
    *left_s -= took_s;
    return ES_OK;
}

es_status es_program_solve(es_arena *arena, const es_problem *problem, const es_program *program,
                           double size, const es_plan_opts *opts, double left_s,
                           const es_solution *start, es_solution *solution, es_error *err)
{
    coin_arrays coin = {0};
    ES_TRY(take_coin(arena, program, size, &coin, err));
    bool done;
    ES_TRY(try_linear(problem, program, &coin, &left_s, solution, &done, err));
    if (done)
        return ES_OK;
    double relaxed_bound = solution->bound;
    size_t start_max = program->col_cost.count + 2 * (size_t)problem->host_count;
    int *start_cols = ES_TAKE_ARRAY(arena, int, start_max);
    double *start_values = ES_TAKE_ARRAY(arena, double, start_max);
    if (start_cols == NULL || start_values == NULL)
        return es_arena_full(arena, "start", err);
    bool tiny = program->col_cost.count <= TINY_COLUMNS;
    if (tiny)
        left_s = fmax(left_s, TINY_TIME_S);
    Cbc_Model *model = Cbc_newModel();
    if (model == NULL)
        return es_fail(err, ES_ERR_NOMEM, "plan: no memory for the solver");
    load_model(model, program, &coin);
    set_parameters(model, opts, coin.costless, tiny, left_s);
    /* Preprocessing may add columns, and a start then looks for their names and throws. */
    if (start != NULL && !tiny)
        give_start(model, problem, program, start, start_cols, start_values);
    es_clock *clock = es_clock_system(); /* what the library goes by */
    int64_t start_ns = es_clock_now_ns(clock);
    (void)Cbc_solve(model); /* its answer is asked for below, state by state */
    coin.in_time = es_s_from_ns(es_clock_now_ns(clock) - start_ns) < 0.95 * left_s;
    read_answer(model, problem, program, opts, &coin, solution);
    if (solution->quality != ES_PLAN_INFEASIBLE)
        solution->bound = fmax(solution->bound, relaxed_bound);
    Cbc_deleteModel(model);
    return ES_OK;
}

static es_status run_cbc(es_arena *arena, const es_problem *problem, const es_plan_opts *opts,
                         double left_s, const es_solution *start, es_solution *solution,
                         es_error *err)
{
    es_program program;
    ES_TRY(es_program_build(arena, problem, NULL, &program, err));
    double size =
        start != NULL ? es_solution_cost(problem, start) : es_problem_relaxed_bound(problem);
    return es_program_solve(arena, problem, &program, size, opts, left_s, start, solution, err);
}

/* A problem without paths needs no solver: everything is refused, or nothing can be. */
static void answer_trivial(const es_problem *problem, es_solution *solution)
{
    solution->quality = ES_PLAN_OPTIMAL;
    for (uint32_t r = 0; r < problem->class_count; r++) {
        solution->refused[r] = 1.0;
        if (!problem->class_off[r] && !isfinite(problem->refusal_cost))
            solution->quality = ES_PLAN_INFEASIBLE;
    }
    solution->bound = solution->quality == ES_PLAN_OPTIMAL ? es_solution_cost(problem, solution)
                                                           : (double)INFINITY;
}

es_status es_solve_exact(es_arena *arena, const es_problem *problem, const es_plan_opts *opts,
                         const es_deadline *deadline, const es_solution *start,
                         es_solution **out_solution, es_error *err)
{
    es_solution *solution;
    ES_TRY(es_solution_new(arena, problem, &solution, err));
    if (problem->path_count == 0) {
        answer_trivial(problem, solution);
        *out_solution = solution;
        return ES_OK;
    }
    double left_s = es_deadline_left_s(deadline);
    solution->bound = -(double)INFINITY;
    if (left_s > 0.0)
        ES_TRY(run_cbc(arena, problem, opts, left_s, start, solution, err));
    if (solution->quality == ES_PLAN_OPTIMAL || solution->quality == ES_PLAN_FEASIBLE)
        es_solution_tidy(problem, solution);
    *out_solution = solution;
    return ES_OK;
}

/* Prices of rows, per unit of the row as it stands in the program. */
static es_status read_prices(es_arena *arena, Clp_Simplex *model, const es_program *program,
                             double scale, double **out_prices, es_error *err)
{
    const double *price = Clp_getRowPrice(model);
    double *prices = ES_TAKE_ARRAY(arena, double, program->row_lower.count);
    if (prices == NULL)
        return es_arena_full(arena, "prices", err);
    for (size_t i = 0; i < program->row_lower.count; i++)
        prices[i] = price[i] / scale;
    *out_prices = prices;
    return ES_OK;
}

es_status es_solve_routing(es_arena *arena, const es_problem *problem, const bool *host_on,
                           es_solution **out_solution, es_error *err)
{
    return es_solve_routing_priced(arena, problem, host_on, out_solution, NULL, NULL, err);
}

es_status es_solve_routing_priced(es_arena *arena, const es_problem *problem, const bool *host_on,
                                  es_solution **out_solution, es_program *out_program,
                                  double **out_prices, es_error *err)
{
    es_program program;
    coin_arrays coin = {0};
    es_solution *solution;
    ES_TRY(es_solution_new(arena, problem, &solution, err));
    ES_TRY(es_program_build(arena, problem, host_on, &program, err));
    ES_TRY(take_coin(arena, &program, es_problem_relaxed_bound(problem), &coin, err));
    solution->quality = ES_PLAN_INFEASIBLE;
    solution->bound = -(double)INFINITY;
    *out_solution = solution;
    if (program.col_cost.count == 0)
        return ES_OK;
    Clp_Simplex *model = Clp_newModel();
    if (model == NULL)
        return es_fail(err, ES_ERR_NOMEM, "plan: no memory for the solver");
    load_linear(model, &program, &coin);
    (void)Clp_dual(model, 0); /* its answer is the status asked for next */
    es_status status = ES_OK;
    if (Clp_isProvenOptimal(model)) {
        const double *value = Clp_getColSolution(model);
        /* With unsplittable classes this is good only by luck. */
        solution->quality = is_integral(&program, value) ? ES_PLAN_FEASIBLE : ES_PLAN_UNKNOWN;
        read_columns(problem, &program, value, solution);
        memcpy(solution->host_on, host_on, problem->host_count * sizeof *host_on);
        if (solution->quality == ES_PLAN_FEASIBLE)
            es_solution_tidy(problem, solution);
        if (out_prices != NULL)
            status = read_prices(arena, model, &program, coin.scale, out_prices, err);
        if (out_program != NULL)
            *out_program = program;
    }
    Clp_deleteModel(model);
    return status;
}
