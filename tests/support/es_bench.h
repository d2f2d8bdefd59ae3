/*
 * es_bench: what every benchmark program includes: rounds that interleave what is compared,
 * medians, and the JSON array on stdout.
 */
#ifndef ES_BENCH_H
#define ES_BENCH_H

#include "base/clock.h"
#include "base/document.h"

#include <math.h>

enum { ES_BENCH_ROWS_MAX = 160, ES_BENCH_ROUNDS_MAX = 101 };

typedef struct es_bench_row {
    const char *what, *unit, *better; /* better: "lower" or "higher" */
    double value, target;             /* target NAN: none */
} es_bench_row;

typedef struct es_bench {
    es_bench_row rows[ES_BENCH_ROWS_MAX];
    size_t count;
} es_bench;

static inline int es_bench_by_value(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Sorts values. */
static inline double es_bench_median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, es_bench_by_value);
    return count % 2 != 0 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static inline void es_bench_add(es_bench *bench, const char *what, double value, const char *unit,
                                const char *better, double target)
{
    if (bench->count < ES_BENCH_ROWS_MAX)
        bench->rows[bench->count++] = (es_bench_row){
            .what = what, .unit = unit, .better = better, .value = value, .target = target};
}

/* Something to time: run returns false when it failed. */
typedef struct es_bench_job {
    const char *what;
    bool (*run)(void *context);
    void *context;
    double median_s; /* filled */
} es_bench_job;

/* rounds (odd, at most ES_BENCH_ROUNDS_MAX) of all jobs in turn, after one round that does not
 * count; false when a job failed. */
static inline bool es_bench_time(es_bench_job *jobs, size_t count, size_t rounds)
{
    static double times[16][ES_BENCH_ROUNDS_MAX];
    es_clock *clock = es_clock_system();
    for (size_t round = 0; round <= rounds; round++) {
        for (size_t i = 0; i < count; i++) {
            int64_t start_ns = es_clock_now_ns(clock);
            if (!jobs[i].run(jobs[i].context)) {
                (void)fprintf(stderr, "%s failed\n", jobs[i].what);
                return false;
            }
            if (round > 0)
                times[i][round - 1] = es_s_from_ns(es_clock_now_ns(clock) - start_ns);
        }
    }
    for (size_t i = 0; i < count; i++)
        jobs[i].median_s = es_bench_median(times[i], rounds);
    return true;
}

/* The array on stdout; the exit status of the program. */
static inline int es_bench_print(const es_bench *bench)
{
    es_text text;
    es_text_init(&text, 1 << 20);
    es_json json;
    es_json_init(&json, &text, false);
    es_json_list_begin(&json);
    for (size_t i = 0; i < bench->count; i++) {
        const es_bench_row *row = &bench->rows[i];
        es_json_map_begin(&json);
        es_json_put_text(&json, "what", row->what);
        es_json_put_number(&json, "value", row->value);
        es_json_put_text(&json, "unit", row->unit);
        es_json_put_text(&json, "better", row->better);
        es_json_put_number(&json, "target", row->target); /* NAN becomes null */
        es_json_map_end(&json);
    }
    es_json_list_end(&json);
    int written = fputs(es_text_get(&text), stdout);
    es_text_done(&text);
    return written < 0 ? 1 : 0;
}

#endif
