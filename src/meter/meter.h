/*
 * meter: joules really used on this node, each figure with its source.
 *
 * Reads sysfs and proc below opts.root, and NVML by dlopen; writes nothing. Sources in order of
 * trust: RAPL, NVML, INA rails, hwmon, battery; what no counter covers comes from a declared power
 * model and says so. What was looked at and not used is listed with the reason.
 * Units: joules, watts, nanoseconds of opts.clock. A counter is differenced over the whole
 * interval, power is integrated by the trapezoid rule; nothing is ever scaled up to an interval.
 * Threads: a meter has one owner. Errors: ES_ERR_ARG (options), ES_ERR_NOMEM. A machine without
 * counters is not an error: the figures then say "model".
 */
#ifndef ES_METER_METER_H
#define ES_METER_METER_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/document.h"

#include <stdbool.h>
#include <stdint.h>

enum { ES_METER_CHANNELS_MAX = 64 };

typedef enum es_meter_source {
    ES_METER_RAPL,
    ES_METER_NVML,
    ES_METER_INA,
    ES_METER_HWMON,
    ES_METER_BATTERY,
    ES_METER_MODEL,
    ES_METER_SOURCE_COUNT
} es_meter_source;

/* From best to worst. */
typedef enum es_meter_method {
    ES_METER_COUNTER, /* the hardware adds up joules */
    ES_METER_POLLED,  /* watts, integrated here */
    ES_METER_MODELLED,
    ES_METER_METHOD_COUNT
} es_meter_method;

typedef enum es_meter_part {
    ES_METER_PLATFORM, /* everything behind one input: psys, VDD_IN, battery */
    ES_METER_PACKAGE,
    ES_METER_CORE,
    ES_METER_UNCORE,
    ES_METER_DRAM,
    ES_METER_GPU,
    ES_METER_RAIL, /* a rail of a board; rails of one board do not overlap */
    ES_METER_OTHER,
    ES_METER_PART_COUNT
} es_meter_part;

const char *es_meter_source_name(es_meter_source source); /* "rapl", "nvml", ..., "model" */
const char *es_meter_method_name(es_meter_method method); /* "counter", "polled", "model" */
const char *es_meter_part_name(es_meter_part part);       /* "platform", "package", ... */

/* ---- the declared power model ---- */

typedef enum es_meter_curve {
    ES_METER_LINEAR, /* idle + (busy - idle) u */
    ES_METER_LOG,    /* idle + (busy - idle) s(u), s logarithmic with s(0) = 0, s(1) = 1 */
    ES_METER_DVFS,   /* idle + (busy - idle) u (f / f_max)^3 */
    ES_METER_CURVE_COUNT
} es_meter_curve;

const char *es_meter_curve_name(es_meter_curve curve); /* "linear", "log", "dvfs" */

typedef struct es_meter_model {
    es_meter_curve curve; /* default LINEAR */
    double idle_w;        /* >= 0; both 0: a generic figure per logical processor */
    double busy_w;        /* > 0 and >= idle_w, when declared */
    double uncertainty;   /* relative, 0..1, of a declared model; default 0.2 */
} es_meter_model;

/* Watts at utilisation u in [0, 1] (clamped) and frequency ratio f / f_max in [0, 1]. */
double es_meter_model_power_w(const es_meter_model *model, double utilisation, double frequency);

/* ---- discovery ---- */

typedef struct es_meter_opts {
    const char *root;         /* "" is this machine's; tests and containers give another folder */
    es_clock *clock;          /* NULL: the system's */
    const char *nvml_library; /* NULL: libnvidia-ml.so.1; "": none */
    bool dram;                /* add RAPL's memory domain to the total; default false: on some
                                 platforms the package already holds it */
    bool model_only;          /* look at no counter; default false */
    double calibration;       /* the total is multiplied by this, > 0; default 1 */
    double power_w_max;       /* a channel above this is not believed; 0: by part; default 0 */
    es_meter_model model;
} es_meter_opts;

es_meter_opts es_meter_opts_default(void);

/* One thing that can be read. */
typedef struct es_meter_channel {
    const char *name; /* "package-0/dram", "VDD_IN", "gpu 0: Tesla T4", "BAT0", "model" */
    const char *path; /* file, or NVML call with its window */
    es_meter_source source;
    es_meter_method method;
    es_meter_part part;
    bool counted;        /* part of the total */
    const char *note;    /* why it is not; NULL when it is */
    double power_w_max;  /* more is not believed */
    double range_j;      /* the counter wraps after this; 0: never, or not known */
    double resolution_s; /* time between updates of what is read */
} es_meter_channel;

typedef struct es_meter_rejection {
    es_meter_source source;
    const char *what; /* file, zone or library */
    const char *why;
} es_meter_rejection;

typedef struct es_meter es_meter; /* lives in the arena, which closes its files */

/* Finds what there is and takes the first sample. Names are copied. */
es_status es_meter_new(es_arena *arena, es_meter_opts opts, es_meter **out_meter,
                       es_error *err) ES_MUST_CHECK;

size_t es_meter_channel_count(const es_meter *meter);
const es_meter_channel *es_meter_channel_at(const es_meter *meter, size_t index); /* < count */
size_t es_meter_rejection_count(const es_meter *meter);
const es_meter_rejection *es_meter_rejection_at(const es_meter *meter, size_t index);

/* What the total covers and what not, in words. Changes when a channel is lost. */
const char *es_meter_boundary(const es_meter *meter);

/* The root it was made with; lives as long as the meter. */
const char *es_meter_root(const es_meter *meter);

/* Watts at rest as the model has them, while nothing but the model makes the total; else NAN. */
double es_meter_idle_w(const es_meter *meter);

/* Watts that one busy processor adds to rest, by the declared or the generic model: what there is
 * where no counter tells. >= 0. */
double es_meter_active_w(const es_meter *meter);

/* Read at least this often, or a counter may wrap twice unseen. Infinite when nothing wraps. */
double es_meter_period_s_max(const es_meter *meter);

/* ---- reading ---- */

/* Sums since es_meter_new; private but for the size. */
typedef struct es_meter_sum {
    double energy_j, low_j, high_j;
    int64_t covered_ns;
    uint32_t samples, dropped;
} es_meter_sum;

typedef struct es_meter_mark {
    int64_t time_ns;
    es_meter_sum total;
    double source_j[ES_METER_SOURCE_COUNT]; /* of the total */
    int64_t source_ns[ES_METER_SOURCE_COUNT];
    uint32_t epoch; /* changes with what the total is made of */
    size_t channel_count;
    es_meter_sum channels[ES_METER_CHANNELS_MAX];
} es_meter_mark;

/* Samples every channel; a reading that cannot be believed is dropped and counted. A channel that
 * fails or stands still for long is rejected, and the total goes on with what is left. No
 * allocation but for the text of a rejection. O(channels) system calls. */
void es_meter_read(es_meter *meter, es_meter_mark *out_mark);

typedef struct es_meter_figure {
    bool known;             /* false: nothing was measured in the interval (then energy is NAN) */
    double energy_j;        /* over covered_s */
    double low_j, high_j;   /* with accuracy, update times and what is missing */
    double power_w;         /* energy_j / covered_s; NAN when not known */
    double interval_s;      /* between the two marks */
    double covered_s;       /* of it; less when readings were dropped */
    es_meter_source source; /* that gave most of it */
    uint32_t sources;       /* bit per source that took part */
    es_meter_method method; /* the worst that took part */
    uint32_t samples, dropped;
} es_meter_figure;

/* Of the total, and of one channel, between two marks of one meter, in their order. */
es_meter_figure es_meter_between(const es_meter *meter, const es_meter_mark *from,
                                 const es_meter_mark *to);
es_meter_figure es_meter_channel_between(const es_meter *meter, size_t channel,
                                         const es_meter_mark *from, const es_meter_mark *to);

/* "rapl", or "rapl+nvml" when several took part; "none" when not known. */
const char *es_meter_figure_source(const es_meter_figure *figure, char *out, size_t size);

/* The figure's members into an open JSON map. */
void es_meter_figure_json(const es_meter_figure *figure, es_json *json);

/* ---- attribution: parts <= whole, and what is left is shown ---- */

/* Who bears the energy that is used whether anybody works or not. */
typedef enum es_meter_idle {
    ES_METER_IDLE_NONE,  /* nobody: it stays in the residue */
    ES_METER_IDLE_EQUAL, /* the parts, the same each */
    ES_METER_IDLE_USE,   /* everybody, by busy time; the residue by that of the others */
    ES_METER_IDLE_COUNT
} es_meter_idle;

const char *es_meter_idle_name(es_meter_idle idle); /* "none", "equal", "use" */

typedef struct es_meter_share {
    double busy_s; /* in: processor seconds of the part, >= 0 */
    double active_j, idle_j;
} es_meter_share;

/* Joules that are not due to work: idle_w * interval_s at most, where idle_w is known (not NAN);
 * else the share of the time that processors idled, as utilisation tells. In [0, energy_j]. */
double es_meter_idle_j(double energy_j, double interval_s, double utilisation, double idle_w);

/*
 * Splits energy_j, of which idle_j is idle, over shares[count] by processor time; busy_s is that of
 * everybody, and is taken as the parts' sum when it is less. Sum of shares + residue = energy_j,
 * none negative. Models within a process and requests within a model are split the same way again.
 * ES_ERR_ARG on negative or infinite numbers, or idle_j > energy_j. O(count).
 */
es_status es_meter_split(double energy_j, double idle_j, double busy_s, es_meter_idle policy,
                         es_meter_share *shares, size_t count, es_meter_share *out_residue,
                         es_error *err) ES_MUST_CHECK;

/* Processor seconds since boot of all processors together: busy, and busy + idle. */
es_status es_meter_cpu_node(const char *root, double *out_busy_s, double *out_all_s,
                            es_error *err) ES_MUST_CHECK;
/* Of one process with all its threads. ES_ERR_UNAVAILABLE: there is none. */
es_status es_meter_cpu_process(const char *root, int64_t pid, double *out_busy_s,
                               es_error *err) ES_MUST_CHECK;

#endif
