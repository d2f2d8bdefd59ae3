/*
 * By counters: active watts of the node over its busy processor seconds, of windows in which
 * enough was done to tell, smoothed. Before the first such window, and where there are no counters,
 * by the model: (busy - idle) / processors.
 */
#include "joules.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static const int64_t period_ns = 500 * ES_NS_PER_MS;
static const double busy_s_min = 0.1; /* ten ticks: less does not tell */
static const double smoothing = 0.25;
static const double active_w_min = 1e-3; /* a busy processor costs something */

typedef struct es_joules_mark {
    es_meter_mark counters;
    double node_s, all_s, own_s; /* processor time */
} es_joules_mark;

struct es_joules {
    es_arena *arena;
    es_meter *meter;
    es_joules_opts opts;
    double model_w; /* of one busy processor */
    bool counters;
    _Atomic double counted_w; /* of one busy processor, by counters; 0: not yet known */
    pthread_t thread;
    bool thread_runs;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t end;
    bool stopping;
    char source[ES_JOULES_SOURCE_SIZE]; /* of counters; written once, before counted_w */
    es_joules_mark watts_mark, energy_mark;
    double own_start_s;
    double energy_j; /* of the process, by counters */
};

static bool cpu_times(const es_joules *joules, double *out_node_s, double *out_all_s,
                      double *out_own_s)
{
    return es_meter_cpu_node(es_meter_root(joules->meter), out_node_s, out_all_s, NULL) == ES_OK &&
           es_meter_cpu_process("", getpid(), out_own_s, NULL) == ES_OK;
}

/* A stretch of time between two looks at the counters. */
typedef struct window {
    bool known;
    double covered_s, energy_j; /* of the node */
    double idle_j;              /* of it at rest */
    double busy_s, own_s;       /* processor time, of the node and of this process */
    es_meter_figure figure;
} window;

/* Since the mark, which is moved when the window is known and, unless whole, large enough to tell
 * watts by. The lock is held. */
static window look_since(es_joules *joules, es_joules_mark *mark, bool whole)
{
    es_joules_mark now;
    es_meter_read(joules->meter, &now.counters);
    es_meter_figure figure = es_meter_between(joules->meter, &mark->counters, &now.counters);
    if (!figure.known || !cpu_times(joules, &now.node_s, &now.all_s, &now.own_s))
        return (window){.known = false}; /* the next window covers this one too */
    window seen = {.known = true,
                   .covered_s = figure.covered_s,
                   .energy_j = figure.energy_j,
                   .busy_s = fmax(0, now.node_s - mark->node_s),
                   .own_s = fmax(0, now.own_s - mark->own_s),
                   .figure = figure};
    if (!whole && seen.busy_s < busy_s_min && seen.own_s < busy_s_min && seen.covered_s < 10)
        return (window){.known = false}; /* wait until more was done, or until long enough */
    double passed_s = now.all_s - mark->all_s;
    double utilisation = passed_s > 0 ? seen.busy_s / passed_s : 1;
    seen.idle_j = es_meter_idle_j(figure.energy_j, figure.covered_s, utilisation, (double)NAN);
    *mark = now;
    return seen;
}

/* What this process has used above rest until now. The lock is held. */
static void add_energy(es_joules *joules)
{
    window seen = look_since(joules, &joules->energy_mark, true);
    if (!seen.known)
        return;
    es_meter_share own = {.busy_s = seen.own_s};
    es_meter_share residue;
    if (es_meter_split(seen.energy_j, seen.idle_j, seen.busy_s, ES_METER_IDLE_NONE, &own, 1,
                       &residue, NULL) == ES_OK)
        joules->energy_j += own.active_j;
    if (joules->source[0] == '\0')
        (void)es_meter_figure_source(&seen.figure, joules->source, sizeof joules->source);
}

/* Watts of a busy processor. The lock is held. */
static void look(es_joules *joules)
{
    add_energy(joules); /* the source is known before the watts */
    window seen = look_since(joules, &joules->watts_mark, false);
    if (!seen.known || seen.busy_s < busy_s_min)
        return;
    double watts = fmax(active_w_min, (seen.energy_j - seen.idle_j) / seen.busy_s);
    double before = atomic_load(&joules->counted_w);
    atomic_store(&joules->counted_w, before == 0 ? watts : before + smoothing * (watts - before));
}

void es_joules_look(es_joules *joules)
{
    (void)pthread_mutex_lock(&joules->lock);
    if (joules->counters)
        look(joules);
    (void)pthread_mutex_unlock(&joules->lock);
}

static void *watch(void *context)
{
    es_joules *joules = context;
    es_clock *clock = es_clock_system();
    (void)pthread_mutex_lock(&joules->lock);
    while (!joules->stopping) {
        int64_t when_ns = es_clock_now_ns(clock) + period_ns;
        struct timespec when = {.tv_sec = (time_t)(when_ns / ES_NS_PER_S),
                                .tv_nsec = (long)(when_ns % ES_NS_PER_S)};
        (void)pthread_cond_timedwait(&joules->end, &joules->lock, &when);
        look(joules);
    }
    (void)pthread_mutex_unlock(&joules->lock);
    return NULL;
}

static es_status thread_start(es_joules *joules, es_error *err)
{
    sigset_t every;
    sigset_t before;
    (void)sigfillset(&every); /* signals are for the program's own thread */
    (void)pthread_sigmask(SIG_SETMASK, &every, &before);
    joules->thread_runs = pthread_create(&joules->thread, NULL, watch, joules) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return joules->thread_runs ? ES_OK
                               : es_fail(err, ES_ERR_NOMEM, "cannot start the meter's thread");
}

static es_status fill(es_joules *joules, es_error *err)
{
    es_meter_opts opts = es_meter_opts_default();
    if (joules->opts.root != NULL)
        opts.root = joules->opts.root;
    opts.clock = joules->opts.clock;
    opts.model.idle_w = joules->opts.idle_w;
    opts.model.busy_w = joules->opts.busy_w;
    ES_TRY(es_meter_new(joules->arena, opts, &joules->meter, err));
    joules->model_w = fmax(active_w_min, es_meter_active_w(joules->meter));
    es_joules_mark *mark = &joules->watts_mark;
    if (!cpu_times(joules, &mark->node_s, &mark->all_s, &mark->own_s))
        return ES_OK; /* processor time is not told: the model alone */
    joules->own_start_s = mark->own_s;
    joules->counters = isnan(es_meter_idle_w(joules->meter));
    es_meter_read(joules->meter, &mark->counters);
    joules->energy_mark = *mark;
    return joules->counters && !joules->opts.by_hand ? thread_start(joules, err) : ES_OK;
}

es_status es_joules_new(es_joules_opts opts, es_joules **out_joules, es_error *err)
{
    pthread_condattr_t attributes;
    es_joules *joules = calloc(1, sizeof *joules);
    es_arena *arena = es_arena_new((size_t)16 << 20);
    if (joules == NULL || arena == NULL) {
        free(joules);
        es_arena_free(arena);
        return es_fail(err, ES_ERR_NOMEM, "no memory for a meter");
    }
    joules->arena = arena;
    joules->opts = opts;
    atomic_init(&joules->counted_w, 0);
    /* these cannot fail on Linux */
    (void)pthread_mutex_init(&joules->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&joules->end, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    es_status status = fill(joules, err);
    if (status != ES_OK) {
        es_joules_free(joules);
        return status;
    }
    *out_joules = joules;
    return ES_OK;
}

void es_joules_free(es_joules *joules)
{
    if (joules == NULL)
        return;
    (void)pthread_mutex_lock(&joules->lock);
    joules->stopping = true;
    (void)pthread_cond_signal(&joules->end);
    (void)pthread_mutex_unlock(&joules->lock);
    if (joules->thread_runs)
        (void)pthread_join(joules->thread, NULL); /* ours, joinable */
    (void)pthread_cond_destroy(&joules->end);
    (void)pthread_mutex_destroy(&joules->lock);
    es_arena_free(joules->arena);
    free(joules);
}

double es_joules_of(const es_joules *joules, double busy_s, const char **out_source)
{
    double watts = atomic_load_explicit(&joules->counted_w, memory_order_acquire);
    *out_source = watts > 0 ? joules->source : "model";
    return busy_s * (watts > 0 ? watts : joules->model_w);
}

double es_joules_grams(const es_joules *joules, double energy_j)
{
    return energy_j / 3.6e6 * joules->opts.g_per_kwh;
}

void es_joules_total_get(es_joules *joules, es_joules_total *out)
{
    *out = (es_joules_total){.source = "model"};
    if (es_meter_cpu_process("", getpid(), &out->busy_s, NULL) != ES_OK)
        return;
    (void)pthread_mutex_lock(&joules->lock);
    if (joules->counters)
        add_energy(joules);
    if (joules->source[0] != '\0') {
        out->energy_j = joules->energy_j;
        memcpy(out->source, joules->source, sizeof out->source);
    } else {
        out->energy_j = joules->model_w * fmax(0, out->busy_s - joules->own_start_s);
    }
    (void)pthread_mutex_unlock(&joules->lock);
}
