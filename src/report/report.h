/*
 * report: tables for the terminal, one self-contained HTML page, SVG charts, CSV.
 *
 * Told from scenario, plans and outcomes alone; it never asks the programs that wrote them, and
 * cannot tell a simulated outcome from a real one. Same inputs, same bytes: no clock, no locale.
 */
#ifndef ES_REPORT_REPORT_H
#define ES_REPORT_REPORT_H

#include "compress/compress.h"
#include "footprint/footprint.h"
#include "outcome/outcome.h"
#include "quality/quality.h"
#include "report/compare.h"
#include "schedule/schedule.h"
#include "train/train.h"

/* One column of the comparison: a plan, what was predicted for it, what happened. */
typedef struct es_report_case {
    const char *label;           /* "plan", "device only", "cloud only" */
    const es_plan *plan;         /* may be NULL */
    const es_outcome *predicted; /* from simulate; may be NULL */
    const es_outcome *measured;  /* from a run; may be NULL */
    const char *note;            /* why a case has no outcome, e.g. "no feasible plan"; or NULL */
} es_report_case;

typedef struct es_report {
    const char *title; /* NULL: the scenario's name */
    const es_scenario *scenario;
    size_t case_count;
    const es_report_case *cases; /* the first is the one recommended */
    const char *made_by;         /* "estran 0.1.0 (abc1234)", shown in the footer; may be NULL */
    const char *machine;         /* what the run ran on; may be NULL */
} es_report;

/* The comparison as a table of at most width columns (>= 60); ANSI bold when color. */
void es_report_text(const es_report *report, size_t width, bool color, es_text *out);

/* A whole page: no script from elsewhere, no font, no request; light and dark. */
void es_report_html(const es_report *report, es_text *out);

/* One row per case, slot and class. */
void es_report_csv(const es_report *report, es_text *out);

/* A front as an SVG file of its own: two objectives as axes, a third as colour; between two also
 * the proven bound, where the front is not exact. */
void es_report_front(const es_front *front, es_text *out);

/* A case to be seen beside a front: per request, in the front's first two measures. */
typedef struct es_front_case {
    const char *label;
    double values[2];
} es_front_case;

/* The same per request, with cases as rings; rate_rps > 0 is what the front's sums are of. Cases
 * beyond three times the points' largest value are named instead. */
void es_report_front_each(const es_front *front, double rate_rps, const es_front_case *cases,
                          size_t case_count, es_text *out);

/* ---- schedules ---- */

/* What runs where and when, as an SVG file of its own. Not for fractional schedules. */
void es_report_gantt(const es_tasks *tasks, const es_machines *machines,
                     const es_schedule *schedule, es_text *out);

/* Mean quality of a task against a budget, with the bound, as an SVG file of its own. */
void es_report_schedule_curve(const es_schedule_point *points, uint32_t count, uint32_t task_count,
                              es_budget budget, es_text *out);

typedef struct es_schedule_case {
    const char *label;
    const es_schedule *schedule;
} es_schedule_case;

typedef struct es_schedule_report {
    const char *title;
    const es_tasks *tasks;
    const es_machines *machines;
    const es_schedule *schedule;
    const char *note;     /* NULL: nothing to say */
    uint32_t point_count; /* 0: no curve of energy */
    const es_schedule_point *points;
    size_t case_count; /* 0: no table of methods */
    const es_schedule_case *cases;
    const char *made_by;
} es_schedule_report;

/* A whole page like that of es_report_html. */
void es_report_schedule(const es_schedule_report *report, es_text *out);

/* ---- footprints ---- */

typedef struct es_report_footprint_case {
    const char *label;
    const es_footprint *footprint;
    double quality;   /* mean of the served; NAN: not known */
    double served;    /* requests; savings in total are told where two serve the same */
    double asked;     /* requests that arrived; 0: not known */
    double plain_j;   /* per served request without PUE, as a front counts it; NAN: not known */
    const char *note; /* what a baseline ignores; or NULL */
} es_report_footprint_case;

/* What case `of` saves against case `than`. */
typedef struct es_report_saving {
    size_t of, than;
} es_report_saving;

typedef struct es_report_footprints {
    const char *title;
    size_t case_count;
    const es_report_footprint_case *cases; /* all comparable: es_footprint_comparable */
    size_t saving_count;
    const es_report_saving *savings;
    double growth;         /* of demand per year, e.g. 0.2; 0: not asked */
    const es_front *front; /* of energy and quality, drawn on the page; may be NULL */
    double rate_rps;       /* of all classes, that the front's sums are of */
    const char *made_by;   /* may be NULL */
} es_report_footprints;

/* A table for the terminal, with boundary and sources beside it. */
void es_report_footprint_text(const es_report_footprints *report, es_text *out);
/* The document estran-footprint (docs/reference/footprint.md). */
void es_report_footprint_json(const es_report_footprints *report, es_text *out);
/* A page, and a picture of its own: grams per unit by place and cause, with low and high. */
void es_report_footprint_html(const es_report_footprints *report, es_text *out);
void es_report_footprint_svg(const es_report_footprints *report, es_text *out);

/* ---- training ---- */

typedef struct es_report_fact {
    const char *name, *value;
} es_report_fact;

typedef struct es_report_training {
    const char *title;
    const es_fit_result *result;
    const es_report_fact *facts; /* net, data, settings, figures: the page's table, in order */
    size_t fact_count;
    const char *made_by; /* may be NULL */
} es_report_training;

/* Loss and accuracy by epoch, of the training batches and of what was held back, as an SVG file of
 * its own; and a page with it. */
void es_report_training_svg(const es_report_training *report, es_text *out);
void es_report_training_html(const es_report_training *report, es_text *out);

/* ---- variants ---- */

/* What `compress` made: quality (without labels how often the class is the original's) against
 * latency, bytes and, where known, joules; the figures; the recipes. A page. */
void es_report_variants_html(const es_variants_told *told, const char *made_by, es_text *out);

/* ---- calibration ---- */

/* A reliability diagram as an SVG file of its own: bins before and after calibration. */
void es_report_reliability(const char *title, const es_reliability *before,
                           const es_reliability *after, es_text *out);

#endif
