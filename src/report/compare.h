/*
 * report/compare: policies on the same sample paths, told as a table, a page and a picture. Part of
 * the face report.h.
 */
#ifndef ES_REPORT_COMPARE_H
#define ES_REPORT_COMPARE_H

#include "simulate/simulate.h"

/* Policies as rows; differences are to the first. ANSI bold when color. */
void es_report_compare_text(const es_comparison *comparison, bool color, es_text *out);

/* A whole page like that of es_report_html. made_by may be NULL. */
void es_report_compare_html(const es_comparison *comparison, const char *made_by, es_text *out);

/* Regret over slots, both logarithmic, as an SVG file of its own. */
void es_report_compare_svg(const es_comparison *comparison, es_text *out);

/* The document estran-comparison, version 1 (docs/reference/compare.md). */
void es_report_compare_json(const es_comparison *comparison, es_text *out);

/* The charts of the page; alone: with its own style, as a file. */
void es_chart_regret(const es_comparison *comparison, bool alone, es_text *out);
void es_chart_differences(const es_comparison *comparison, es_text *out);

#endif
