/* Where the warm-up of a run ends. */
#include "simulate/event_mode.h"

#include <string.h>

es_status es_batches_init(es_arena *arena, es_batches *batches, es_error *err)
{
    void *mean = NULL;
    void *start_s = NULL;
    ES_TRY(es_arena_take_or_fail(arena, ES_BATCHES_MAX, sizeof(double), "warm-up", &mean, err));
    ES_TRY(es_arena_take_or_fail(arena, ES_BATCHES_MAX, sizeof(double), "warm-up", &start_s, err));
    *batches = (es_batches){.mean = mean, .start_s = start_s, .size = ES_BATCH_FIRST};
    return ES_OK;
}

static void halve(es_batches *batches)
{
    for (size_t i = 0; i < batches->count / 2; i++) {
        batches->mean[i] = (batches->mean[2 * i] + batches->mean[2 * i + 1]) / 2;
        batches->start_s[i] = batches->start_s[2 * i];
    }
    batches->count /= 2;
    batches->size *= 2;
}

void es_batches_add(es_batches *batches, double when_s, double value)
{
    if (batches->filled == 0)
        batches->sum_start_s = when_s;
    batches->sum += value;
    if (++batches->filled < batches->size)
        return;
    batches->mean[batches->count] = batches->sum / (double)batches->size;
    batches->start_s[batches->count++] = batches->sum_start_s;
    batches->sum = 0;
    batches->filled = 0;
    if (batches->count == ES_BATCHES_MAX)
        halve(batches);
}

size_t es_warm_up_mser(const double *values, size_t count)
{
    double sum = 0;
    double squares = 0;
    double least = 0;
    size_t best = 0;
    bool found = false;
    double shift = count > 0 ? values[count - 1] : 0; /* keeps the squares small */
    for (size_t d = count; d-- > 0;) {
        double value = values[d] - shift;
        sum += value;
        squares += value * value;
        double left = (double)(count - d);
        double error = (squares - sum * sum / left) / (left * left);
        if (d > count / 2)
            continue;
        if (!found || error <= least) {
            found = true;
            least = error;
            best = d;
        }
    }
    return best;
}
