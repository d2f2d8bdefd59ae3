/*
 * outcome/internal: what the files of this module share.
 */
#ifndef ES_OUTCOME_INTERNAL_H
#define ES_OUTCOME_INTERNAL_H

#include "outcome/outcome.h"

/* ---- histogram.c ---- */

/* Bucket i holds FIRST * GROWTH^i <= value < FIRST * GROWTH^(i + 1). Two more hold what lies
 * outside: BELOW and ABOVE. They are allocated by the chunk, since latencies of one class and slot
 * cluster. */
#define ES_BUCKET_FIRST_S 1e-6
#define ES_BUCKET_GROWTH 1.01
enum {
    ES_BUCKET_BELOW = 0,
    ES_BUCKET_REGULAR = 2315, /* ceil(ln 1e10 / ln 1.01) */
    ES_BUCKET_ABOVE = ES_BUCKET_REGULAR + 1,
    ES_BUCKET_COUNT = ES_BUCKET_REGULAR + 2,
    ES_BUCKET_CHUNK = 64,
    ES_BUCKET_CHUNK_COUNT = (ES_BUCKET_COUNT + ES_BUCKET_CHUNK - 1) / ES_BUCKET_CHUNK
};

struct es_histogram {
    es_arena *arena;
    double *chunks[ES_BUCKET_CHUNK_COUNT]; /* NULL: all zero */
    double weight, sum_s, min_s, max_s;
    es_status status;
    es_histogram *next_spare;
};

/* Weight of bucket i; 0 when nothing fell into it. */
double es_histogram_bucket(const es_histogram *histogram, size_t i);

/* Adds weight to bucket i and to nothing else; false when the arena is full. */
bool es_histogram_bucket_add(es_histogram *histogram, size_t i, double weight);

/* Empties it and keeps the chunks. */
void es_histogram_clear(es_histogram *histogram);

/* ---- interval.c ---- */

/* Quantile 0.975 of Student's t with freedom >= 1 degrees. */
double es_student_t_975(uint32_t freedom);

/* ---- seal.c ---- */

/* Sums of one class and slot before they become a row. */
typedef struct es_outcome_sums {
    double arrived; /* told by es_outcome_arrive */
    double fates[ES_FATE_COUNT];
    double late;
    double quality; /* times weight */
    double energy_compute_j, energy_network_j, carbon_g;
} es_outcome_sums;

struct es_outcome_recorder {
    es_arena *arena;
    const es_scenario *scenario;
    const es_plan *plan;
    es_outcome *outcome;
    es_outcome_sums *cells; /* [slot][class] */
    es_histogram **cell_histograms;
    es_node_use *node_uses;
    double *pipeline_served;
    uint32_t closed_count; /* slots 0 .. closed_count - 1 are closed */
    es_histogram *spare;   /* emptied ones, by next_spare */
    es_outcome_row *rows, *slot_rows;
    es_histogram **class_histograms;
    es_histogram *slot_histogram;
    double observed_s; /* 0: all slots */
    bool told_arrivals;
    bool sealed;
};

/* Whether the row's fates add up to its arrivals, within rounding. */
bool es_outcome_row_conserves(const es_outcome_row *row);

es_outcome_row es_outcome_row_empty(void);

#endif
