/* The rate as training goes on. */
#include "train/internal.h"

#include <math.h>

static const double PI = 3.14159265358979323846;

const char *const es_rate_names[ES_RATE_COUNT] = {[ES_RATE_CONSTANT] = "constant",
                                                  [ES_RATE_STEP] = "step",
                                                  [ES_RATE_COSINE] = "cosine",
                                                  [ES_RATE_LINEAR] = "linear"};

es_rate_opts es_rate_opts_default(void)
{
    return (es_rate_opts){
        .kind = ES_RATE_COSINE, .rate = 0.1, .warm_up = 0.05, .drop = 0.1, .shares = {0.5, 0.75}};
}

double es_rate_at(const es_rate_opts *opts, double share)
{
    if (share < opts->warm_up)
        return opts->rate * share / opts->warm_up;
    double left = opts->warm_up < 1 ? (share - opts->warm_up) / (1 - opts->warm_up) : 1;
    double factor = 1;
    if (opts->kind == ES_RATE_COSINE)
        factor = opts->last + (1 - opts->last) * 0.5 * (1 + cos(PI * left));
    else if (opts->kind == ES_RATE_LINEAR)
        factor = opts->last + (1 - opts->last) * (1 - left);
    for (size_t i = 0; opts->kind == ES_RATE_STEP && i < 4; i++)
        factor *= opts->shares[i] > 0 && share >= opts->shares[i] ? opts->drop : 1;
    return opts->rate * factor;
}
