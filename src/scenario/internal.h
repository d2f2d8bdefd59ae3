/*
 * scenario, private: what the parts of the reader share while a document is turned into a scenario.
 *
 * Order: include (lists of other files), places (kinds, nodes, links), catalogue (tasks, segments,
 * pipelines), wishes (demand, objective, constraints), services (the table), check (can everything
 * be served). All texts are copied into the scenario's arena; the document tree lives in scratch
 * and goes after reading.
 */
#ifndef ES_SCENARIO_INTERNAL_H
#define ES_SCENARIO_INTERNAL_H

#include "base/array.h"
#include "base/document.h"
#include "scenario/scenario.h"

/* Bounds of what a scenario takes: wide enough for anything real, narrow enough to catch a value
 * in the wrong unit and to keep every sum finite. */
enum { ES_SCENARIO_NAME_MAX = 128 };             /* bytes of a name */
#define ES_SCENARIO_FILE_MAX ((size_t)256 << 20) /* bytes of a file */
#define ES_SCENARIO_BYTES_MAX 1e15
#define ES_SCENARIO_TIME_S_MAX 1e7
#define ES_SCENARIO_POWER_W_MAX 1e9
#define ES_SCENARIO_ENERGY_J_MAX 1e9
#define ES_SCENARIO_RATE_RPS_MAX 1e9
#define ES_SCENARIO_WORK_MACS_MAX 1e18
#define ES_SCENARIO_SLOWDOWN_MAX 1e9
#define ES_SCENARIO_PROCESSORS_MAX 1e6
#define ES_SCENARIO_WEIGHT_MAX 1e12
#define ES_SCENARIO_CARBON_MAX 1e6

/* Names of one sort of thing, in order, found in O(1). */
typedef struct es_scenario_names {
    const char *what;     /* "kind", for messages */
    const char **items;   /* in the scenario's arena */
    const es_doc **where; /* the value that gave each name */
    uint32_t count;
    uint32_t capacity;
    uint32_t *slots; /* hash table of index + 1; 0: empty */
    uint32_t slot_count;
} es_scenario_names;

/* What a kind or a node says about its hardware; NAN: not said. */
typedef struct es_hardware {
    uint32_t base; /* the kind it comes from, ES_INDEX_NONE: none */
    double slowdown;
    double macs_per_s;
    double processors;
    double utilisation_max;
    double memory_bytes;
    double idle_w;
    double busy_w;
} es_hardware;

/* A row of the service table before its times are known. */
typedef struct es_row {
    es_kind kind;
    uint32_t base;
    bool runs; /* false: no processors */
} es_row;

/* One entry of a segment's `on`. */
typedef struct es_on {
    uint32_t segment;
    uint32_t kind; /* ES_INDEX_NONE: the host */
    double time_s;
    double energy_j; /* NAN: not measured */
} es_on;

typedef struct es_reader {
    es_arena *arena;    /* the scenario's */
    es_arena *scratch;  /* for as long as reading takes */
    const char *file;   /* the scenario's; values of included files have another */
    const char *folder; /* of that one */
    es_scenario *scenario;

    es_scenario_names kinds; /* the declared ones; nodes may add rows of their own behind them */
    const es_hardware *kind_hardware;
    ES_ARRAY(es_row) rows;
    es_scenario_names nodes;

    es_scenario_names tasks;
    const es_doc **task_places; /* the map of each task */
    es_scenario_names segments;
    es_segment *segment_items;
    const bool *segment_output_given;
    ES_ARRAY(es_on) on; /* grouped by segment */
    uint32_t *on_last;  /* per kind, then the host: 1 + its latest entry of `on`; 0: none yet */
    es_scenario_names pipelines;
    const es_doc **pipeline_places; /* in the order of scenario->pipelines */
    const es_doc **class_places;
} es_reader;

/* ---- scenario.c ---- */
/* All keys that a scenario may have. */
es_status es_scenario_expect_keys(const es_doc *root, es_error *err) ES_MUST_CHECK;

/* ---- include.c ---- */
/* root with the lists of the files that it includes before its own; root itself when there are
 * none. All in scratch. */
es_status es_scenario_include(es_arena *scratch, const char *folder, const es_doc *root,
                              const es_doc **out_root, es_error *err) ES_MUST_CHECK;

/* ---- names.c ---- */
es_status es_scenario_names_init(es_arena *scratch, es_scenario_names *names, const char *what,
                                 size_t capacity, es_error *err) ES_MUST_CHECK;
/* Adds map.name; fails on a missing, bad or taken name. */
es_status es_scenario_names_add(es_arena *arena, es_scenario_names *names, const es_doc *map,
                                const char **out_name, es_error *err) ES_MUST_CHECK;
/* ES_INDEX_NONE when absent. */
uint32_t es_scenario_names_find(const es_scenario_names *names, const char *name);
/* The thing that value names; an unknown name is an error that offers the nearest. */
es_status es_scenario_names_expect(const es_scenario_names *names, const es_doc *value,
                                   uint32_t *out_index, es_error *err) ES_MUST_CHECK;
es_status es_scenario_names_need(const es_scenario_names *names, const es_doc *map, const char *key,
                                 uint32_t *out_index, es_error *err) ES_MUST_CHECK;

/* ---- fields.c: getters on top of the schema walker ---- */
/* Like es_doc_get_number and es_doc_need_number with 0 excluded; max inclusive. */
es_status es_scenario_field_get_positive(const es_doc *map, const char *key, double max,
                                         double *out, es_error *err) ES_MUST_CHECK;
es_status es_scenario_field_need_positive(const es_doc *map, const char *key, double max,
                                          double *out, es_error *err) ES_MUST_CHECK;
/* Reads key in a unit that is `scale` of ours; max is in the key's. Absent: *out stays. */
es_status es_scenario_field_get_scaled(const es_doc *map, const char *key, double scale, double max,
                                       double *out, es_error *err) ES_MUST_CHECK;
/* memory_mb or memory_bytes, not both. Absent: *out stays. */
es_status es_scenario_field_get_memory(const es_doc *map, double *out, es_error *err) ES_MUST_CHECK;
/* A list under key with at least one item. */
es_status es_scenario_field_need_items(const es_doc *map, const char *key, const es_doc **out,
                                       es_error *err) ES_MUST_CHECK;
/* Gives status back; an ES_ERR_ARG or ES_ERR_IO of a lower module becomes a parse error at
 * value. */
es_status es_scenario_field_at(const es_doc *value, es_status status, es_error *err) ES_MUST_CHECK;
/* Zeroed memory or ES_ERR_NOMEM; use with an explicit type at the call. */
es_status es_scenario_field_take(es_arena *arena, size_t count, size_t size, const char *what,
                                 void *out, es_error *err) ES_MUST_CHECK;
/* A copy of text (NULL gives NULL). */
es_status es_scenario_field_copy(es_arena *arena, const char *text, const char **out,
                                 es_error *err) ES_MUST_CHECK;

/* file against the folder of the document that map stands in. */
es_status es_scenario_field_path(const es_reader *reader, const es_doc *map, const char *file,
                                 es_arena *arena, const char **out_path,
                                 es_error *err) ES_MUST_CHECK;

/* ---- places.c, catalogue.c, pipelines.c, wishes.c: the sections of the document ---- */
es_status es_scenario_read_places(es_reader *reader, const es_doc *root,
                                  es_error *err) ES_MUST_CHECK;
es_status es_scenario_read_catalogue(es_reader *reader, const es_doc *root,
                                     es_error *err) ES_MUST_CHECK;
es_status es_scenario_read_pipelines(es_reader *reader, const es_doc *root,
                                     es_error *err) ES_MUST_CHECK;
es_status es_scenario_read_wishes(es_reader *reader, const es_doc *root,
                                  es_error *err) ES_MUST_CHECK;
/* ---- demand.c, after slots ---- */
/* map.file as a path; lives in scratch. */
es_status es_scenario_field_need_path(const es_reader *reader, const es_doc *map,
                                      const char **out_path, es_error *err) ES_MUST_CHECK;
es_status es_scenario_read_demand(es_reader *reader, const es_doc *root,
                                  es_error *err) ES_MUST_CHECK;
/* ---- events.c, after places ---- */
es_status es_scenario_read_events(es_reader *reader, const es_doc *root,
                                  es_error *err) ES_MUST_CHECK;

/* ---- services.c ---- */
es_status es_scenario_services_resolve(es_reader *reader, es_error *err) ES_MUST_CHECK;

/* ---- check.c: every stage has a node, every class an answer ---- */
es_status es_scenario_check(const es_reader *reader, es_error *err) ES_MUST_CHECK;

#endif
