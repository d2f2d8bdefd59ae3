/*
 * simulate/control: slot mode driven by a policy, and policies compared on the same sample paths.
 * Part of the face simulate.h. Costs, gains and regrets are those of the fluid network (es_idn), in
 * its unit; the outcome, where there is a scenario, has queues too (README.md).
 */
#ifndef ES_SIMULATE_CONTROL_H
#define ES_SIMULATE_CONTROL_H

#include "online/online.h"
#include "outcome/outcome.h"

typedef struct es_control {
    uint32_t slot_count;
    double requests;             /* in all */
    const double *cost;          /* [slot] of serving all, cheapest first */
    const double *gain;          /* [slot] saved against what is pinned */
    const double *fraction_gain; /* [slot] of the fractional state; NULL: the policy has none */
    const double *moved_bytes;   /* [slot] brought to nodes that lacked them, pinned ones apart */
    double latency_s_mean, quality_mean, refused_share; /* fluid */
    double gradient_max; /* the largest |gradient| / size met: theta of the bound */
    es_policy_faults faults;
    const es_outcome *outcome; /* NULL: no scenario */
} es_control;

typedef struct es_control_opts {
    const char *policy;  /* es_policy_make */
    uint64_t seed;       /* of the policy and the outcome */
    bool clip;           /* faults are counted and clipped; else the first is an error */
    double late_s;       /* patience with a process; 0: 10 s */
    bool expected;       /* of the outcome: how chance builds up queues */
    uint32_t first_slot; /* of the scenario, which is slot 0 here; default 0 */
    /* To replay a log: what can be hosted in a slot, [item] (es_decider_decide), asked before the
     * slot is decided; and what was decided, told after. Either may be NULL. */
    const bool *(*usable)(void *context, uint32_t slot);
    void (*decided)(void *context, uint32_t slot, const uint32_t *hosted);
    void *context;
} es_control_opts;

/* Requests per slot and class as the seed draws them, [slot][class]: the very ones of slot mode. */
es_status es_simulate_demand(es_arena *arena, const es_scenario *scenario, uint64_t seed,
                             bool expected, double **out_demand, es_error *err) ES_MUST_CHECK;

/* Lets a policy decide for demand[slot_count][type]. With a scenario behind idn each slot is also
 * played with queues: requests take the hosted options, cheapest first, within the nodes' time. */
es_status es_simulate_control(es_arena *arena, const es_idn *idn, const double *demand,
                              uint32_t slot_count, es_control_opts opts, es_control *out_control,
                              es_error *err) ES_MUST_CHECK;

/* ---- compare.c ---- */

typedef enum es_compare_measure {
    ES_COMPARE_COST,     /* per request */
    ES_COMPARE_GAIN,     /* per request: what the paper calls NTAG */
    ES_COMPARE_FRACTION, /* gain of the fractional state, per request; NAN: none */
    ES_COMPARE_LATENCY,  /* s, mean: with queues where there is an outcome, else fluid */
    ES_COMPARE_P95,      /* s; NAN without an outcome */
    ES_COMPARE_QUALITY,
    ES_COMPARE_LATE,      /* share of arrived */
    ES_COMPARE_REFUSED,   /* share */
    ES_COMPARE_ENERGY,    /* J per served request, idle included */
    ES_COMPARE_CARBON,    /* g per served request, idle included */
    ES_COMPARE_OBJECTIVE, /* per second; NAN where a forbidden refusal happened */
    ES_COMPARE_MOVED,     /* bytes per slot */
    ES_COMPARE_REGRET, /* at the end, against the best fixed fractional allocation in hindsight */
    ES_COMPARE_COUNT
} es_compare_measure;
extern const char *const es_compare_names[ES_COMPARE_COUNT]; /* with units, as in JSON keys */

enum { ES_COMPARE_POINTS = 128 };

typedef struct es_compare_row {
    const char *policy;
    bool knows_future;
    es_interval figures[ES_COMPARE_COUNT];
    es_interval differences[ES_COMPARE_COUNT]; /* to the first policy, paired by replication */
    double regret[ES_COMPARE_POINTS];          /* mean over replications, at es_comparison.slots */
    double regret_ci95[ES_COMPARE_POINTS];
    double fraction_regret[ES_COMPARE_POINTS]; /* NAN: no fractional state */
    double slope, fraction_slope;              /* log-log, of the means; NAN: not positive */
    double psi_regret;                         /* (1 - 1/e) best - played, at the end */
    double psi_regret_bound;   /* derived, for the best constant step and plain rounding */
    es_policy_faults faults;   /* summed over replications */
    const es_outcome *outcome; /* of the first replication; NULL: no scenario */
} es_compare_row;

typedef struct es_comparison {
    const char *name;
    const char *cost_unit;
    uint64_t seed;
    uint32_t slot_count;
    double slot_s;
    uint32_t replication_count;
    uint32_t point_count;
    uint32_t slots[ES_COMPARE_POINTS]; /* from 1, where regret is shown */
    double best_gain;       /* per request, of the best fixed fractional allocation found */
    double best_gain_bound; /* no fixed allocation has more */
    size_t row_count;
    const es_compare_row *rows;
} es_comparison;

typedef struct es_compare_opts {
    const char *const *policies; /* specs; the first is what others are held against */
    size_t policy_count;         /* 1..ES_COMPARE_POLICIES_MAX */
    uint64_t seed;               /* replication r has seed + r */
    uint32_t replication_count;  /* >= 1; 1 gives no intervals */
    uint32_t thread_count;       /* 0: one per core; changes no byte */
    uint32_t slot_count;         /* without a scenario; with one: 0 */
    uint32_t shift_slots;        /* idn-rec-1: slots between shifts of popularity; 0: fixed */
    bool expected;
    bool clip;
    double late_s;
} es_compare_opts;
enum { ES_COMPARE_POLICIES_MAX = 32 };

es_status es_compare_run(es_arena *arena, const es_idn *idn, es_compare_opts opts,
                         const es_comparison **out_comparison, es_error *err) ES_MUST_CHECK;

#endif
