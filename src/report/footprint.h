/*
 * report/footprint: what the table, the document and the page of footprints share.
 */
#ifndef ES_REPORT_FOOTPRINT_H
#define ES_REPORT_FOOTPRINT_H

#include "report/internal.h"

typedef enum es_foot_figure {
    ES_FOOT_ENERGY,
    ES_FOOT_GWP,
    ES_FOOT_GWP_DYNAMIC,
    ES_FOOT_GWP_IDLE,
    ES_FOOT_GWP_EMBODIED,
    ES_FOOT_ADPE,
    ES_FOOT_PE,
    ES_FOOT_WATER,
    ES_FOOT_YEAR_ENERGY,
    ES_FOOT_YEAR_GWP,
    ES_FOOT_FIGURE_COUNT
} es_foot_figure;

typedef struct es_foot_info {
    const char *name;
    const char *key;  /* of the document, with its unit */
    const char *unit; /* of tables, before scaling */
    double factor;    /* from the document's unit to it */
    bool part;        /* of the figure above it */
} es_foot_info;
extern const es_foot_info es_foot_figures[ES_FOOT_FIGURE_COUNT];

/* Per functional unit; years per year. */
es_estimate es_foot_value(const es_footprint *footprint, es_foot_figure figure);

/* A figure that nobody knows gets no row. */
bool es_foot_shows(const es_report_footprints *report, es_foot_figure figure);

/* Thousands: "mJ" and 1000 for values around 0.02 J. The unit text goes to unit. */
double es_foot_scale(const es_report_footprints *report, es_foot_figure figure, char unit[32]);

/* "60000", or "60000 of 127583" where some were not. */
enum { ES_FOOT_SERVED_SIZE = 72 };
const char *es_foot_served(const es_report_footprint_case *one, char out[ES_FOOT_SERVED_SIZE]);

/* "plan against cloud only: 41 % less energy (...)". */
void es_foot_saving(const es_report_footprints *report, const es_report_saving *saving,
                    es_text *out);

#endif
