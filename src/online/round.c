#include "online/internal.h"

#define WHOLE 1e-7 /* closer than this to a whole number is whole: above the floor of y */

static bool is_fractional(double part)
{
    return part > WHOLE && part < 1 - WHOLE;
}

/* One pairing step of dependent rounding: moves mass between a and b until one of them is whole,
 * keeping the weighted sum and both means. */
static void pair(double *part, const double *size, uint32_t a, uint32_t b, double draw)
{
    double to_a = es_least(size[a] * (1 - part[a]), size[b] * part[b]);
    double to_b = es_least(size[a] * part[a], size[b] * (1 - part[b]));
    if (draw * (to_a + to_b) < to_b) {
        part[a] += to_a / size[a];
        part[b] -= to_a / size[b];
    } else {
        part[a] -= to_b / size[a];
        part[b] += to_b / size[b];
    }
}

void es_online_round(const double *u, const double *size, const uint32_t *order,
                     const double *uniform, size_t count, double budget, es_round_opts opts,
                     double *scratch, uint32_t *out_copies)
{
    double *part = scratch;
    uint32_t open = ES_INDEX_NONE;
    for (size_t i = 0; i < count; i++) {
        double whole = floor(u[i] + WHOLE);
        part[i] = es_most(u[i] - whole, 0);
        out_copies[i] = (uint32_t)whole;
    }
    for (size_t at = 0; at < count; at++) {
        uint32_t i = order[at];
        if (!is_fractional(part[i]))
            continue;
        if (open != ES_INDEX_NONE) {
            pair(part, size, open, i, uniform[i]);
            if (is_fractional(part[open]))
                continue;
        }
        open = is_fractional(part[i]) ? i : ES_INDEX_NONE;
    }
    double used = 0;
    for (size_t i = 0; i < count; i++) {
        if (i != open)
            out_copies[i] += part[i] > 0.5;
        used += out_copies[i] * size[i];
    }
    if (open != ES_INDEX_NONE && uniform[count] < part[open] &&
        (opts.unbiased || used + size[open] <= budget * (1 + 1e-9)))
        out_copies[open]++;
}
