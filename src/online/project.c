#include "online/internal.h"

#include <assert.h>

/* The capped set only grows with beta, and beta with the capped set, so passes repeat until it
 * stands still. Sums are made anew in each pass: a tail kept by subtraction cancels when h spans
 * many decades. */
void es_online_project(const double *h, const double *weight, size_t count, double budget,
                       double *y)
{
    double largest = 0;
    double all = 0;
    for (size_t i = 0; i < count; i++) {
        assert(h[i] >= 0);
        largest = es_most(largest, h[i]);
        all += weight[i];
    }
    if (all <= budget || largest <= 0) {
        double share = all <= budget ? 1 : budget / all;
        for (size_t i = 0; i < count; i++)
            y[i] = share;
        return;
    }
    double beta = 0;
    size_t capped_before = SIZE_MAX;
    for (size_t pass = 0; pass <= count; pass++) {
        double capped = 0;
        double tail = 0;
        size_t capped_count = 0;
        for (size_t i = 0; i < count; i++) {
            bool is_capped = beta * h[i] >= 1;
            capped += is_capped ? weight[i] : 0;
            tail += is_capped ? 0 : weight[i] * h[i];
            capped_count += is_capped;
        }
        if (capped_count == capped_before || tail <= 0)
            break;
        capped_before = capped_count;
        beta = es_most(budget - capped, 0) / tail;
    }
    for (size_t i = 0; i < count; i++)
        y[i] = es_least(1, beta * h[i]);
}
