/* idn-rec-1, popularity sliding every hour: 10,000 slots of INFIDA, deciding and serving. Its
 * constants are a reconstruction; gains are compared within this program only. */
#include "es_bench.h"
#include "online/online.h"

enum { SLOTS = 10000, SHIFT = 60 };
#define ALPHA 200.0

typedef struct run {
    const es_idn *idn;
    const double *demand;
    double gain, fraction_gain, moved_bytes; /* per request, per request, per slot */
    double time_s;
} run;

static double moved(const es_idn *idn, const uint32_t *hosted, uint32_t *before, double *whole)
{
    double bytes = 0;
    for (uint32_t i = 0; i < idn->item_count; i++) {
        if (hosted[i] > before[i] && !idn->items[i].pinned)
            bytes += (hosted[i] - before[i]) * idn->items[i].size_bytes;
        before[i] = hosted[i];
        whole[i] = hosted[i];
    }
    return bytes;
}

static es_status play(run *own, const char *spec, bool watch, es_error *err)
{
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)1 << 30);
    const es_idn *idn = own->idn;
    es_policy policy;
    es_idn_load load;
    uint32_t *hosted = ES_TAKE_ARRAY(arena, uint32_t, idn->item_count);
    uint32_t *before = ES_TAKE_ARRAY(arena, uint32_t, idn->item_count);
    double *whole = ES_TAKE_ARRAY(arena, double, idn->item_count);
    if (hosted == NULL || before == NULL || whole == NULL)
        return es_arena_full(arena, "bench", err);
    es_policy_given given = {
        .arena = arena, .idn = idn, .seed = 7, .slot_count = SLOTS, .future = own->demand};
    int64_t start_ns = es_clock_now_ns(es_clock_system());
    double requests = 0;
    ES_TRY(es_policy_make(&given, spec, &policy, err));
    ES_TRY(es_idn_load_new(arena, idn, &load, err));
    es_observation last = {.requests = load.requests, .hosted = hosted};
    own->gain = own->fraction_gain = own->moved_bytes = 0;
    for (uint32_t s = 0; s < SLOTS; s++) {
        ES_TRY(policy.decide(policy.memory, s, s > 0 ? &last : NULL, hosted, err));
        (void)es_policy_clip(idn, hosted);
        own->moved_bytes += moved(idn, hosted, before, whole) / SLOTS;
        es_idn_load_set(&load, &own->demand[(size_t)s * idn->type_count]);
        last.slot = s;
        last.cost = es_idn_cost(&load, whole);
        own->gain += load.base_cost - last.cost;
        requests += load.total;
        if (watch && policy.fraction != NULL)
            own->fraction_gain += es_idn_gain(&load, policy.fraction(policy.memory));
    }
    own->time_s = es_s_from_ns(es_clock_now_ns(es_clock_system()) - start_ns);
    own->gain /= requests;
    own->fraction_gain /= requests;
    es_policy_done(&policy);
    return ES_OK;
}

static es_status measure(run *own, es_bench *bench, es_error *err)
{
    double times[3];
    for (int n = 0; n < 3; n++) {
        ES_TRY(play(own, "infida", false, err));
        times[n] = own->time_s;
    }
    es_bench_add(bench, "idn-rec-1, 10,000 slots of infida", es_bench_median(times, 3), "s",
                 "lower", 5);
    ES_TRY(play(own, "infida:repair=0", true, err));
    es_bench_add(bench, "the same without repair, all measured", own->time_s, "s", "lower",
                 (double)NAN);
    es_bench_add(bench, "rounded / fractional gain without repair", own->gain / own->fraction_gain,
                 "", "higher", (double)NAN);
    es_bench_add(bench, "updates without repair", own->moved_bytes / 1e9, "GB/slot", "lower",
                 (double)NAN);
    ES_TRY(play(own, "infida", true, err));
    double infida = own->fraction_gain;
    es_bench_add(bench, "rounded / fractional gain", own->gain / own->fraction_gain, "", "higher",
                 0.95);
    es_bench_add(bench, "updates", own->moved_bytes / 1e9, "GB/slot", "lower", 25);
    ES_TRY(play(own, "static-greedy", false, err));
    es_bench_add(bench, "fractional infida / static greedy, sliding", infida / own->gain, "",
                 "higher", 1.1);
    return ES_OK;
}

int main(void)
{
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)1 << 30);
    es_error err = {0};
    es_bench bench = {0};
    run own = {0};
    es_status status = es_idn_rec_1(arena, ALPHA, &own.idn, &err);
    if (status == ES_OK) {
        double *demand = ES_TAKE_ARRAY(arena, double, (size_t)SLOTS *own.idn->type_count);
        for (uint32_t s = 0; demand != NULL && s < SLOTS; s++)
            es_idn_rec_1_demand(own.idn, s, SHIFT, &demand[(size_t)s * own.idn->type_count]);
        own.demand = demand;
        status =
            demand != NULL ? measure(&own, &bench, &err) : es_arena_full(arena, "demand", &err);
    }
    if (status != ES_OK) {
        (void)fprintf(stderr, "online_bench: %s\n", es_error_text(&err));
        return 1;
    }
    return es_bench_print(&bench);
}
