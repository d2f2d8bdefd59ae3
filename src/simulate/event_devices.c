/* Populations of devices and the grid in event mode. The requests of a population are one stream;
 * which device asks is drawn: for Poisson arrivals that is exactly as if each had its own. */
#include "base/clock.h"
#include "simulate/events.h"

#include <math.h>

static bool is_alive(const es_world *world, const es_source *home, es_device *device)
{
    if (device->dead)
        return false;
    double spent_j = device->spent_j + home->device_idle_w * es_s_from_ns(world->now_ns);
    device->dead = spent_j >= home->device_battery_j;
    return !device->dead;
}

bool es_device_pick(es_world *world, uint32_t class_id, uint32_t *out_device, uint32_t *out_source)
{
    es_source *home = &world->sources[class_id];
    uint32_t index =
        home->first_device + (uint32_t)es_rng_below(&home->device_rng, home->device_count);
    es_device *device = &world->devices[index];
    if (!is_alive(world, home, device))
        return false;
    device->spent_j += home->device_request_j;
    *out_device = index;
    *out_source = device->place;
    return true;
}

int64_t es_device_next_move_ns(es_world *world, uint32_t class_id)
{
    es_source *home = &world->sources[class_id];
    double rate = home->move_rate * home->device_count;
    if (!(rate > 0) || home->peer_count < 2)
        return INT64_MAX;
    return world->now_ns + es_ns_from_s(fmin(es_rng_exponential(&home->device_rng, rate), 4e9));
}

/* To any other place of the same demand, each as likely. */
void es_device_move(es_world *world, uint32_t class_id)
{
    es_source *home = &world->sources[class_id];
    int64_t next_ns = es_device_next_move_ns(world, class_id);
    es_device *device =
        &world->devices[home->first_device +
                        (uint32_t)es_rng_below(&home->device_rng, home->device_count)];
    const uint32_t *peers = &world->peers[home->first_peer];
    uint32_t draw = (uint32_t)es_rng_below(&home->device_rng, home->peer_count - 1);
    device->place = peers[draw] == device->place ? peers[home->peer_count - 1] : peers[draw];
    if (next_ns <= world->end_ns)
        es_world_schedule(world, next_ns, es_event_what(ES_EVENT_MOVE, 0, class_id));
}

/* ---- the grid ---- */

#define J_PER_KWH 3.6e6

void es_carbon_change(es_world *world)
{
    int64_t next_ns = INT64_MAX;
    for (uint32_t v = 0; v < world->node_count; v++) {
        es_intensity *intensity = &world->intensities[v];
        const es_series *series = intensity->series;
        if (series == NULL)
            continue;
        es_node_account(world, &world->nodes[v]);
        while (intensity->at + 1 < series->count &&
               series->start_ns[intensity->at + 1] <= world->now_ns)
            intensity->at++;
        world->nodes[v].g_per_j = series->value[intensity->at] / J_PER_KWH;
        if (intensity->at + 1 < series->count && series->start_ns[intensity->at + 1] < next_ns)
            next_ns = series->start_ns[intensity->at + 1];
    }
    for (uint32_t i = 0; i < world->step_count; i++) {
        es_step *step = &world->steps[i];
        if (step->kind == ES_STEP_VISIT)
            step->carbon_g = step->energy_j * world->nodes[step->place].g_per_j;
        else if (step->kind == ES_STEP_CROSS)
            step->carbon_g = step->energy_j *
                             (world->nodes[step->from].g_per_j + world->nodes[step->to].g_per_j) /
                             2;
    }
    if (next_ns <= world->end_ns)
        es_world_schedule(world, next_ns, es_event_what(ES_EVENT_CARBON, 0, 0));
}
