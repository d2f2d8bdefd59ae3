/*
 * Joules of one request. The node is watched at rest and then under runs back to back:
 *   counter  (E - P_rest T) own / (work of the node more than at rest) / runs
 *   model    (E - P_idle T) own / (work of the node) / runs
 * so what the machine uses anyhow, and what others do meanwhile, is not charged to the model. The
 * bounds are those of E, as the same sensor errs alike in both windows.
 */
#include "runtime/internal.h"

#include <math.h>
#include <unistd.h>

static const double window_part = 0.15; /* of the time budget */
static const double window_s_max = 2;
static const double window_s_min = 0.2;  /* processor time is told in ticks of 10 ms */
static const double rest_part = 0.5;     /* of the window */
static const double busy_more_min = 0.5; /* of the own work, else nothing can be told */
static const int64_t read_ns = 50 * ES_NS_PER_MS;

typedef struct window {
    es_meter_figure figure;
    double node_s, own_s; /* processor time */
    bool cpu_known;
    uint64_t runs;
} window;

static bool cpu_times(const es_meter *meter, double *out_node_s, double *out_own_s)
{
    double all_s = 0;
    const char *root = es_meter_root(meter);
    return es_meter_cpu_node(root, out_node_s, &all_s, NULL) == ES_OK &&
           es_meter_cpu_process("", getpid(), out_own_s, NULL) == ES_OK;
}

/* Runs, or rests where binding is NULL, until the time is up. */
static es_status watch(es_profiling *now, es_binding *binding, double time_s, window *out,
                       es_error *err)
{
    es_meter *meter = now->opts.meter;
    es_clock *clock = now->opts.clock;
    double node_s = 0;
    double own_s = 0;
    es_meter_mark first;
    es_meter_mark last;
    *out = (window){.cpu_known = cpu_times(meter, &node_s, &own_s)};
    es_meter_read(meter, &first);
    int64_t time_ns = es_clock_now_ns(clock);
    int64_t end_ns = time_ns + es_ns_from_s(time_s);
    while (time_ns < end_ns) {
        int64_t next_ns = time_ns + read_ns < end_ns ? time_ns + read_ns : end_ns;
        if (binding == NULL)
            es_clock_sleep_until_ns(clock, next_ns);
        for (time_ns = es_clock_now_ns(clock); binding != NULL && time_ns < next_ns;
             time_ns = es_clock_now_ns(clock)) {
            ES_TRY(es_binding_run(binding, err));
            out->runs++;
        }
        es_meter_read(meter, &last);
    }
    out->cpu_known = out->cpu_known && cpu_times(meter, &out->node_s, &out->own_s);
    out->node_s -= node_s;
    out->own_s -= own_s;
    out->figure = es_meter_between(meter, &first, &last);
    return ES_OK;
}

/* By a model: rest is declared, and what is above it goes by processor time. */
static bool modelled_part(const window *work, double idle_w, double *out_part)
{
    const es_meter_figure *figure = &work->figure;
    double active = 1 - idle_w * figure->covered_s / figure->energy_j;
    double share = work->cpu_known && work->node_s > 0 ? fmin(1, work->own_s / work->node_s) : 1;
    *out_part = fmax(0, active) * share;
    return *out_part > 0;
}

/* By a counter: what came on top of rest, for the processor time that came on top. False when
 * others were so busy at rest that little did. */
static bool measured_part(const window *rest, const window *work, double *out_part)
{
    double scale = work->figure.covered_s / rest->figure.covered_s;
    double more = 1 - rest->figure.energy_j * scale / work->figure.energy_j;
    double share = 1;
    if (rest->cpu_known && work->cpu_known && work->own_s > 0) {
        double own_more_s = work->own_s - rest->own_s * scale;
        double node_more_s = work->node_s - rest->node_s * scale;
        if (node_more_s < busy_more_min * own_more_s)
            return false;
        share = own_more_s / node_more_s;
    }
    *out_part = fmin(1, more * share);
    return *out_part > 0;
}

static void fill(es_profiling *now, const window *rest, const window *work)
{
    es_profile_energy *energy = &now->profile->energy;
    const es_meter_figure *figure = &work->figure;
    double idle_w = es_meter_idle_w(now->opts.meter);
    double part = 0;
    bool good =
        isnan(idle_w) ? measured_part(rest, work, &part) : modelled_part(work, idle_w, &part);
    if (!good) {
        now->profile->energy_note = "no more was used than at rest: others were as busy then";
        return;
    }
    char words[64];
    (void)es_meter_figure_source(figure, words, sizeof words);
    part /= (double)work->runs;
    *energy = (es_profile_energy){
        .energy_j = part * figure->energy_j,
        .low_j = part * figure->low_j,
        .high_j = part * figure->high_j,
        .rest_w = isnan(idle_w) ? rest->figure.power_w : idle_w,
        .covered_s = figure->covered_s,
        .runs = work->runs,
        .source = es_arena_text(now->arena, words),
        .method = es_meter_method_name(figure->method),
        .boundary = es_arena_text(now->arena, es_meter_boundary(now->opts.meter)),
    };
    energy->known = energy->source != NULL && energy->boundary != NULL;
    now->profile->energy_note = energy->known ? NULL : "no memory left";
}

es_status es_profiling_energy(es_profiling *now, es_binding *binding, es_error *err)
{
    now->profile->energy_note = "not asked for";
    if (now->opts.meter == NULL)
        return ES_OK;
    double time_s = fmin(window_s_max, window_part * now->opts.time_budget_s);
    now->profile->energy_note = "the time budget is too short to measure energy";
    if (time_s < window_s_min)
        return ES_OK;
    if (now->opts.progress != NULL)
        now->opts.progress(now->opts.progress_context, "energy", now->work_done / now->work_total);
    window rest;
    window work;
    ES_TRY(watch(now, NULL, rest_part * time_s, &rest, err));
    ES_TRY(es_within(err, watch(now, binding, time_s, &work, err), "measuring energy"));
    now->profile->energy_note = "the meter gave nothing";
    if (rest.figure.known && work.figure.known && rest.figure.covered_s > 0 && work.runs > 0)
        fill(now, &rest, &work);
    return ES_OK;
}
