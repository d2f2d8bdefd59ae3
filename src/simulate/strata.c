#include "simulate/internal.h"

#include <assert.h>
#include <math.h>

/* Ranges around 0.5, 0.9, 0.95 and 0.99 are narrow, so that the quantile lies inside a point. */
const double es_strata_edges[ES_STRATA + 1] = {
    0,     0.1,   0.2,   0.3,   0.4,   0.48,  0.52,  0.6,   0.7,   0.78,  0.84,  0.88, 0.895,
    0.905, 0.925, 0.945, 0.955, 0.965, 0.975, 0.982, 0.988, 0.992, 0.996, 0.999, 1};

double es_strata_weight(size_t i)
{
    return es_strata_edges[i + 1] - es_strata_edges[i];
}

double es_strata_mean(const es_strata *strata)
{
    double mean = 0;
    for (size_t i = 0; i < ES_STRATA; i++)
        mean += es_strata_weight(i) * strata->value_s[i];
    return mean;
}

/* Integral of ln(share / y) from 0 to y, for 0 <= y <= share. */
static double tail_integral(double share, double y)
{
    return y > 0 ? y * log(share / y) + y : 0;
}

/* The quantile function is 0 up to 1 - share and (mean / share) ln(share / (1 - p)) above; each
 * point is its integral over the range, divided by the range. */
es_strata es_strata_of_wait(es_wait wait)
{
    es_strata strata = {{0}};
    if (wait.mean_s <= 0 || wait.share <= 0)
        return strata;
    double scale_s = wait.mean_s / wait.share;
    for (size_t i = 0; i < ES_STRATA; i++) {
        double high = fmin(1 - es_strata_edges[i], wait.share);
        double low = fmin(1 - es_strata_edges[i + 1], wait.share);
        double part = tail_integral(wait.share, high) - tail_integral(wait.share, low);
        strata.value_s[i] = scale_s * fmax(part, 0) / es_strata_weight(i);
    }
    return strata;
}

typedef struct point {
    double value_s, weight;
} point;

static int by_value(const void *a, const void *b)
{
    const point *x = a;
    const point *y = b;
    return (x->value_s > y->value_s) - (x->value_s < y->value_s);
}

/* Points of total weight 1, cut at the edges: each stratum gets the mean of what falls into it. */
static es_strata compress(point *points, size_t count)
{
    es_strata strata = {{0}};
    size_t at = 0;
    qsort(points, count, sizeof points[0], by_value);
    for (size_t i = 0; i < ES_STRATA; i++) {
        double room = es_strata_weight(i);
        double sum = 0;
        while (at < count && room > 0) {
            double taken = fmin(room, points[at].weight);
            sum += taken * points[at].value_s;
            room -= taken;
            points[at].weight -= taken;
            if (points[at].weight <= 0)
                at++;
        }
        if (room > 0) /* rounding left the last stratum a little empty */
            sum += room * points[count - 1].value_s;
        strata.value_s[i] = sum / es_strata_weight(i);
    }
    return strata;
}

es_strata es_strata_of_backlog(double first_s, double last_s, double drained,
                               const es_strata *settled)
{
    assert(drained >= 0);
    assert(drained <= 1);
    point points[2 * ES_STRATA];
    for (size_t i = 0; i < ES_STRATA; i++) {
        double middle = (es_strata_edges[i] + es_strata_edges[i + 1]) / 2;
        points[i] = (point){.value_s = first_s + (last_s - first_s) * middle,
                            .weight = drained * es_strata_weight(i)};
        points[ES_STRATA + i] =
            (point){.value_s = settled->value_s[i], .weight = (1 - drained) * es_strata_weight(i)};
    }
    return compress(points, 2 * (size_t)ES_STRATA);
}

es_strata es_strata_sum(const es_strata *a, const es_strata *b)
{
    point points[ES_STRATA * ES_STRATA];
    for (size_t i = 0; i < ES_STRATA; i++) {
        for (size_t j = 0; j < ES_STRATA; j++)
            points[i * ES_STRATA + j] =
                (point){.value_s = a->value_s[i] + b->value_s[j],
                        .weight = es_strata_weight(i) * es_strata_weight(j)};
    }
    return compress(points, (size_t)ES_STRATA * ES_STRATA);
}
