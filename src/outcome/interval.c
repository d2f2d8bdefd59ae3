#include "outcome/internal.h"

#include <assert.h>
#include <math.h>

/* Exact to the digits shown for few degrees of freedom; above, the expansion of Abramowitz and
 * Stegun 26.7.5, whose error is below 1e-6 there. */
double es_student_t_975(uint32_t freedom)
{
    static const double table[] = {12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912,
                                   2.364624,  2.306004, 2.262157, 2.228139, 2.200985, 2.178813,
                                   2.160369,  2.144787, 2.131450, 2.119905, 2.109816, 2.100922,
                                   2.093024,  2.085963, 2.079614, 2.073873, 2.068658, 2.063899,
                                   2.059539,  2.055529, 2.051831, 2.048407, 2.045230, 2.042272};
    enum { TABLE_COUNT = sizeof table / sizeof table[0] };
    assert(freedom >= 1);
    if (freedom <= TABLE_COUNT)
        return table[freedom - 1];
    const double z = 1.959963984540054;
    double n = freedom;
    double z3 = z * z * z;
    double z5 = z3 * z * z;
    double z7 = z5 * z * z;
    return z + (z3 + z) / (4 * n) + (5 * z5 + 16 * z3 + 3 * z) / (96 * n * n) +
           (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * n * n * n);
}

double es_mean_ci95(const double *values, size_t count)
{
    if (count < 2)
        return (double)NAN;
    double mean = 0;
    for (size_t i = 0; i < count; i++)
        mean += values[i] / (double)count;
    double squares = 0;
    for (size_t i = 0; i < count; i++)
        squares += (values[i] - mean) * (values[i] - mean);
    double variance = squares / (double)(count - 1);
    uint32_t freedom = count - 1 > UINT32_MAX ? UINT32_MAX : (uint32_t)(count - 1);
    return es_student_t_975(freedom) * sqrt(variance / (double)count);
}
