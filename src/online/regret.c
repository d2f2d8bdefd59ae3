#include "online/internal.h"

/* With the size-weighted l1 norm the map is 1/b-strongly convex (Pinsker); D_v is the largest
 * divergence from the start. psi = 1 - 1/e. */
double es_online_regret_bound(const es_idn *idn, double theta, uint32_t slot_count)
{
    double divergence = 0;
    double budgets = 0;
    for (uint32_t v = 0; v < idn->node_count; v++) {
        double sizes = 0;
        for (uint32_t i = idn->node_first[v]; i < idn->node_first[v + 1]; i++)
            if (!idn->items[i].pinned && idn->use_first[i] < idn->use_first[i + 1])
                sizes += idn->items[i].copies * idn->items[i].size_bytes;
        double budget = fmin(es_idn_free_bytes(idn, v), sizes);
        if (budget <= 0)
            continue;
        divergence += budget * log(sizes / budget);
        budgets += budget;
    }
    return (1 - exp(-1)) * theta * sqrt(2.0 * slot_count * divergence * budgets);
}

double es_online_slope(const double *slots, const double *regret, size_t count)
{
    double sum_x = 0;
    double sum_y = 0;
    double sum_xx = 0;
    double sum_xy = 0;
    double n = 0;
    for (size_t i = 0; i < count; i++) {
        if (slots[i] * 16 < slots[count - 1])
            continue;
        if (!(regret[i] > 0))
            return (double)NAN;
        double x = log(slots[i]);
        double y = log(regret[i]);
        sum_x += x;
        sum_y += y;
        sum_xx += x * x;
        sum_xy += x * y;
        n += 1;
    }
    double spread = n * sum_xx - sum_x * sum_x;
    double slope = n >= 4 && spread > 0 ? (n * sum_xy - sum_x * sum_y) / spread : (double)NAN;
    return fabs(slope) < 1e-9 ? 0 : slope;
}
