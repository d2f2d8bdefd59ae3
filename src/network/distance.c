#include "network/internal.h"

#include <math.h>

static double radians(double degrees)
{
    return degrees * (3.14159265358979323846 / 180.0);
}

/* Haversine: h = sin^2(dphi / 2) + cos(phi_a) cos(phi_b) sin^2(dlambda / 2); d = 2 R asin(sqrt h).
 * Rounding may carry h just above 1 for opposite points. */
double es_distance_km(double latitude_a_deg, double longitude_a_deg, double latitude_b_deg,
                      double longitude_b_deg)
{
    double phi_a = radians(latitude_a_deg);
    double phi_b = radians(latitude_b_deg);
    double half_phi = sin((phi_b - phi_a) / 2.0);
    double half_lambda = sin(radians(longitude_b_deg - longitude_a_deg) / 2.0);
    double h = half_phi * half_phi + cos(phi_a) * cos(phi_b) * half_lambda * half_lambda;
    return 2.0 * ES_EARTH_RADIUS_KM * asin(sqrt(fmin(1.0, fmax(0.0, h))));
}

double es_fibre_latency_s(double length_km, double stretch)
{
    return length_km * stretch / ES_FIBRE_SPEED_KM_PER_S;
}
