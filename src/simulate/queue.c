#include "simulate/internal.h"

#include <assert.h>
#include <math.h>

double es_erlang_c(uint32_t servers, double load)
{
    assert(servers >= 1);
    assert(load < servers);
    double blocked = 1; /* Erlang B by its recursion in the number of servers */
    for (uint32_t k = 1; k <= servers; k++)
        blocked = load * blocked / (k + load * blocked);
    return blocked / (1 - load / servers * (1 - blocked));
}

/* (c_a^2 + c_s^2) / 2 of the mixture. */
static double variability(const es_load *load)
{
    double mean_s = load->work_s / load->count;
    double service = fmax(load->squares / load->count / (mean_s * mean_s) - 1, 0);
    return (load->variation / load->count + service) / 2;
}

es_wait es_queue_wait(const es_load *load, uint32_t servers, double duration_s)
{
    if (load->count <= 0 || load->work_s <= 0)
        return (es_wait){0};
    double offered = load->work_s / duration_s;
    double waits = es_erlang_c(servers, offered);
    double mean_s = load->work_s / load->count;
    return (es_wait){.mean_s = waits * mean_s / (servers - offered) * variability(load),
                     .share = waits};
}

double es_queue_wait_bound(const es_load *load, uint32_t servers, double duration_s,
                           double horizon_s)
{
    static const double PI = 3.14159265358979323846;
    if (load->count <= 0 || load->work_s <= 0)
        return 0;
    double mean_s = load->work_s / load->count;
    double rate = load->count / duration_s;
    return 2.0 / 3 * sqrt(2 * horizon_s / PI) * mean_s * sqrt(rate * 2 * variability(load)) /
           servers;
}
