/* A million devices that choose among 100 gateways, about 4 candidates each; and ALOHA over
 * gateways and spreading factors. */
#include "base/rng.h"
#include "es_bench.h"
#include "plan/plan.h"

#include <stdio.h>

enum { PLAYERS = 1000 * 1000, GATEWAYS = 100, CANDIDATES = 4 };

typedef struct field {
    es_hedonic_game game;
    es_hedonic_resource resources[GATEWAYS];
} field;

/* Gateways on a square; a device sees its 3 to 5 nearest out of ten drawn at random. */
static bool draw(es_arena *arena, field *out, es_hedonic_resource resource, bool own_loads)
{
    es_rng rng = es_rng_make(1, 0);
    uint32_t *first = ES_TAKE_ARRAY(arena, uint32_t, PLAYERS + 1);
    uint32_t *to = ES_TAKE_ARRAY(arena, uint32_t, (size_t)PLAYERS * (CANDIDATES + 1));
    double *value = ES_TAKE_ARRAY(arena, double, (size_t)PLAYERS *(CANDIDATES + 1));
    double *alone = ES_TAKE_ARRAY(arena, double, PLAYERS);
    double *load = ES_TAKE_ARRAY(arena, double, (size_t)PLAYERS *(CANDIDATES + 1));
    if (first == NULL || to == NULL || value == NULL || load == NULL || alone == NULL)
        return false;
    uint32_t count = 0;
    for (uint32_t i = 0; i < PLAYERS; i++) {
        first[i] = count;
        uint32_t wanted = CANDIDATES - 1 + (uint32_t)es_rng_below(&rng, 3);
        /* popular places: the square draws devices to the gateways with small numbers */
        double u = es_rng_double(&rng);
        uint32_t home = (uint32_t)(u * u * GATEWAYS);
        double own = 0.5 + es_rng_double(&rng);
        for (uint32_t c = 0; c < wanted; c++) {
            to[count] = (home + c * (1 + (i % 7))) % GATEWAYS;
            value[count] = 1 - 0.1 * c - 0.2 * es_rng_double(&rng);
            load[count++] = own;
        }
    }
    first[PLAYERS] = count;
    for (uint32_t g = 0; g < GATEWAYS; g++)
        out->resources[g] = resource;
    out->game = (es_hedonic_game){.player_count = PLAYERS,
                                  .resource_count = GATEWAYS,
                                  .resources = out->resources,
                                  .first = first,
                                  .choice_resource = to,
                                  .choice_value = value,

                                  .alone = alone,
                                  .choice_load = own_loads ? load : NULL};
    return true;
}

/* Times one game; names has room for what the rows say. */
static bool measure(es_bench *out, char names[3][96], const char *name,
                    es_hedonic_resource resource, bool own_loads)
{
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)3 << 30);
    field *given = ES_TAKE_ONE(arena, field);
    if (given == NULL || !draw(arena, given, resource, own_loads))
        return false;
    es_hedonic partition = {0};
    es_error err = {0};
    es_hedonic_opts opts = es_hedonic_opts_default();
    int64_t start_ns = es_clock_now_ns(es_clock_system());
    if (es_hedonic_solve(arena, &given->game, opts, &partition, &err) != ES_OK) {
        (void)fprintf(stderr, "hedonic_bench: %s\n", es_error_text(&err));
        return false;
    }
    double took_s = es_s_from_ns(es_clock_now_ns(es_clock_system()) - start_ns);
    es_hedonic_optimum best = {0};
    if (es_hedonic_optimum_of(arena, &given->game, &partition, &best, &err) != ES_OK)
        return false;
    double anarchy = es_hedonic_anarchy(partition.welfare, best.bound);
    (void)fprintf(stderr,
                  "%-10s %.2f s, %u passes, %.2f M moves, %u unstable, welfare %.6g, "
                  "optimum %.6g..%.6g, anarchy at most %.5f\n",
                  name, took_s, partition.pass_count, (double)partition.move_count * 1e-6,
                  partition.unstable_count, partition.welfare, best.welfare, best.bound, anarchy);
    (void)snprintf(names[0], sizeof names[0], "plan: 1e6 devices, %s: wall to stability", name);
    (void)snprintf(names[1], sizeof names[1], "plan: 1e6 devices, %s: who would move", name);
    (void)snprintf(names[2], sizeof names[2], "plan: 1e6 devices, %s: anarchy at most", name);
    es_bench_add(out, names[0], took_s, "s", "lower", 10.0);
    es_bench_add(out, names[1], partition.unstable_count, "", "lower", 0.0);
    es_bench_add(out, names[2], anarchy, "times", "lower", (double)NAN);
    return true;
}

int main(void)
{
    const es_hedonic_resource linear = {.price = 2e-5, .power = 1, .load_max = (double)INFINITY};
    const es_hedonic_resource square = {.price = 1e-9, .power = 2, .load_max = (double)INFINITY};
    const es_hedonic_resource full = {.price = 1e-5, .power = 1, .load_max = 12000};
    const es_hedonic_resource learning = {
        .gain = 0.3, .gain_load = 5000, .price = 2e-5, .power = 1, .load_max = (double)INFINITY};
    const struct {
        const char *name;
        es_hedonic_resource resource;
        bool own_loads;
    } games[] = {{"linear", linear, false},
                 {"square", square, false},
                 {"capacity", full, false},
                 {"learning", learning, false},
                 {"weighted", linear, true}};
    enum { GAMES = sizeof games / sizeof *games };
    static char names[GAMES][3][96];
    es_bench out = {0};
    for (size_t i = 0; i < GAMES; i++)
        if (!measure(&out, names[i], games[i].name, games[i].resource, games[i].own_loads))
            return 1;
    return es_bench_print(&out);
}
