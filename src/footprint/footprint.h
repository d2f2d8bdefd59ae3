/*
 * footprint: joules to grams of CO2e and the rest of a life cycle, per request and per year.
 *
 * Pure functions on factor tables; knows no scenario and no outcome. Every figure is low, value,
 * high; what no factor is known for is NAN, never 0, and says so where it is printed. A factor has
 * a source; figures of different sources are never put side by side (es_footprint_comparable).
 * Units: joules (_j), kWh, gwp in gCO2e, adpe in kgSbe, pe in MJ, water in L; of hardware in kgCO2e
 * where a name says _kg. Threads: tables are read-only once loaded.
 */
#ifndef ES_FOOTPRINT_FOOTPRINT_H
#define ES_FOOTPRINT_FOOTPRINT_H

#include "base/arena.h"
#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

#define ES_JOULES_PER_KWH 3.6e6
#define ES_HOURS_PER_YEAR 8760.0

/* ---- estimates: low <= value <= high, all >= 0; NAN: not known ---- */

typedef struct es_estimate {
    double low, value, high;
} es_estimate;

es_estimate es_estimate_exact(double value);
es_estimate es_estimate_unknown(void);
bool es_estimate_known(es_estimate a);
es_estimate es_estimate_add(es_estimate a, es_estimate b);
es_estimate es_estimate_times(es_estimate a, es_estimate b);
es_estimate es_estimate_scale(es_estimate a, double factor); /* factor >= 0 */

/* ---- factor tables (docs/reference/footprint.md) ---- */

typedef struct es_factor {
    const char *name; /* "grid/FRA/gwp" */
    es_estimate is;
    bool bounded; /* low and high were stated; else they are the value */
    const char *unit;
    const char *source;
    int64_t year;
    const char *scope;
    const char *tag; /* "found", "derived", "from memory", "user" */
    const char *file;
    uint32_t line;
} es_factor;

typedef struct es_factor_alias {
    const char *name, *zone;
} es_factor_alias;

typedef struct es_factors {
    size_t count;
    const es_factor *items; /* by name, then source */
    size_t alias_count;
    const es_factor_alias *aliases;
} es_factors;

/* The tables of data/factors, built into the program. */
es_status es_factors_builtin(es_arena *arena, const es_factors **out_factors,
                             es_error *err) ES_MUST_CHECK;

/* base (may be NULL) with the rows of a file on top: a row of the same name and source replaces,
 * others are added. Errors: ES_ERR_PARSE with file:line:column, ES_ERR_IO. */
es_status es_factors_load(es_arena *arena, const char *path, const es_factors *base,
                          const es_factors **out_factors, es_error *err) ES_MUST_CHECK;
es_status es_factors_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                           const es_factors *base, const es_factors **out_factors,
                           es_error *err) ES_MUST_CHECK;

/* "FR" gives "FRA"; a zone without alias gives itself. */
const char *es_factors_zone(const es_factors *factors, const char *zone);

/* The factor of a name in one source; NULL when that source has none. source NULL: of the only
 * source there is; NULL also when there are several. O(log count). */
const es_factor *es_factors_find(const es_factors *factors, const char *name, const char *source);

/* The same, but absence, several sources without a choice, and another unit than expected are
 * errors (ES_ERR_ARG) that name the sources that have it, or the place of the odd unit. */
es_status es_factors_need(const es_factors *factors, const char *name, const char *source,
                          const char *unit, const es_factor **out_factor,
                          es_error *err) ES_MUST_CHECK;

/* ---- life-cycle criteria ---- */

typedef enum es_criterion {
    ES_CRITERION_GWP,
    ES_CRITERION_ADPE,
    ES_CRITERION_PE,
    ES_CRITERION_WATER,
    ES_CRITERION_COUNT
} es_criterion;
extern const char *const es_criterion_names[ES_CRITERION_COUNT]; /* "gwp", ... */
extern const char *const es_criterion_units[ES_CRITERION_COUNT]; /* "gCO2e", "kgSbe", "MJ", "L" */

typedef struct es_impact {
    es_estimate of[ES_CRITERION_COUNT];
} es_impact;

es_impact es_impact_zero(void);
es_impact es_impact_add(es_impact a, es_impact b);
es_impact es_impact_scale(es_impact a, double factor);

/* One kWh in a zone, all from one source: gwp must be there, the others may be unknown. */
es_status es_impact_grid(const es_factors *factors, const char *zone, const char *source,
                         es_impact *out_impact, es_error *err) ES_MUST_CHECK;

/* The making of one piece ("hardware/NAME"), and its life in hours (of hardware/component where the
 * piece states none). At least one criterion must be there. */
es_status es_impact_hardware(const es_factors *factors, const char *name, es_impact *out_impact,
                             double *out_life_h, const char **out_source,
                             es_error *err) ES_MUST_CHECK;

/* Share of a piece for having it used_s seconds, share (0..1) of it: TE * TiR/EL * RR/ToR. */
es_impact es_impact_share(es_impact piece, double life_h, double used_s, double share);

/* ---- embodied impacts from parts (Boavizta's method) ---- */

typedef struct es_server_parts {
    uint32_t cpus;
    double die_mm2; /* of each */
    uint32_t ram_sticks;
    double ram_gb; /* of each */
    uint32_t ssds;
    double ssd_gb; /* of each */
    uint32_t hdds;
    uint32_t psus;
    double psu_kg; /* of each; default 2.99 */
} es_server_parts;
es_server_parts es_server_parts_default(void); /* two power supplies of 2.99 kg, nothing else */

/* A rack server with one board, case and assembly. Water: not known. */
es_status es_impact_server(const es_factors *factors, es_server_parts parts, es_impact *out_impact,
                           es_error *err) ES_MUST_CHECK;

typedef struct es_gpu_parts {
    double die_mm2_effective;
    uint32_t vram_dies;
    double vram_gb;
    double pwb_cm2, casing_kg, heatsink_kg, total_kg;
    double boat_km, truck_km, plane_km;
} es_gpu_parts;

/* Area of wafer that one good die of area_mm2 > 0 takes: 300 mm wafers, cuts, rims and yield. */
double es_die_effective_mm2(double area_mm2);

es_status es_impact_gpu(const es_factors *factors, es_gpu_parts parts, es_impact *out_impact,
                        es_error *err) ES_MUST_CHECK;

/* ---- from joules to a footprint ---- */

typedef enum es_boundary {
    ES_BOUNDARY_DEVICE,
    ES_BOUNDARY_EDGE,
    ES_BOUNDARY_NETWORK,
    ES_BOUNDARY_CLOUD,
    ES_BOUNDARY_IDLE,
    ES_BOUNDARY_COOLING,
    ES_BOUNDARY_EMBODIED,
    ES_BOUNDARY_END_OF_LIFE,
    ES_BOUNDARY_COUNT
} es_boundary;
extern const char *const es_boundary_names[ES_BOUNDARY_COUNT];

/* Joules drawn in one place from one grid, and the hardware that it took. */
typedef struct es_footprint_use {
    const char *place;
    es_boundary part;       /* DEVICE, EDGE, NETWORK or CLOUD */
    double dynamic_j;       /* grows with demand */
    double idle_j;          /* does not */
    es_estimate pue;        /* >= 1 */
    es_impact grid;         /* per kWh */
    es_estimate site_l_kwh; /* water on site per kWh of equipment; unknown: left out */
    es_impact embodied;     /* share for this use, see es_impact_share; zero: none */
} es_footprint_use;

typedef struct es_footprint_row {
    const char *place;
    es_boundary part;
    es_estimate dynamic_kwh, idle_kwh; /* with PUE */
    es_impact dynamic, idle, embodied, total;
} es_footprint_row;

/* What the numbers are about; all of it is kept. */
typedef struct es_footprint_frame {
    double units;      /* how many functional units, >= 0 */
    const char *unit;  /* "request" */
    double duration_s; /* over which it happened, > 0 */
    uint32_t boundary; /* bit 1 << es_boundary of what is counted */
    size_t source_count;
    const char *const *sources; /* "grid: ecologits 2025 (life cycle of generation)" */
} es_footprint_frame;

typedef struct es_footprint {
    es_footprint_frame frame;
    size_t row_count;
    const es_footprint_row *rows; /* as the uses came */
    es_footprint_row total;       /* part: COUNT */
    es_impact per_unit; /* NAN for 0 units. Of GWP this is the SCI of the unit: (E * I + M) / R */
} es_footprint;

/* ES_ERR_ARG names the use that is out of range or outside the boundary. Without the bits IDLE and
 * EMBODIED these are left out. O(uses). */
es_status es_footprint_make(es_arena *arena, const es_footprint_use *uses, size_t count,
                            es_footprint_frame frame, const es_footprint **out_footprint,
                            es_error *err) ES_MUST_CHECK;

/* ES_ERR_ARG, naming the difference, unless unit, boundary and every source are the same. */
es_status es_footprint_comparable(const es_footprint *a, const es_footprint *b,
                                  es_error *err) ES_MUST_CHECK;

/* "device + edge + idle (not: network, embodied, ...)" */
void es_footprint_boundary_text(uint32_t boundary, es_text *out);

/* What a year gives at this demand times 1 + growth: dynamic grows, idle and embodied do not. */
es_impact es_footprint_year(const es_footprint *footprint, double growth);
es_estimate es_footprint_year_kwh(const es_footprint *footprint, double growth);

/* Growth of demand at which the lesser footprint has become as large as the greater one is, on
 * central values: > 0 while there is a saving, <= 0 when there is none; INFINITY when nothing of it
 * grows; NAN when the criterion is not known. energy: in kWh instead of the criterion. */
double es_footprint_rebound(const es_footprint *lesser, const es_footprint *greater,
                            es_criterion criterion);
double es_footprint_rebound_energy(const es_footprint *lesser, const es_footprint *greater);

/* ---- carbon intensity as time goes ---- */

/* Rises of time with values in gCO2e/kWh; each holds until the next, the last one step longer. */
typedef struct es_intensity {
    const char *zone;
    size_t count;
    const double *time_s; /* from the first sample, so [0] is 0 */
    const double *g_per_kwh;
    double step_s; /* length of the last sample */
} es_intensity;

/* A CSV file with a head; time is the first column (seconds, or YYYY-MM-DD[ T]hh:mm[:ss], UTC).
 * column: name of the column with gCO2e/kWh, or NULL: the second. .gz is unpacked. Errors:
 * ES_ERR_PARSE with file:line, ES_ERR_IO. */
es_status es_intensity_load(es_arena *arena, const char *path, const char *zone, const char *column,
                            const es_intensity **out_intensity, es_error *err) ES_MUST_CHECK;
es_status es_intensity_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                             const char *zone, const char *column,
                             const es_intensity **out_intensity, es_error *err) ES_MUST_CHECK;

/* Mean over [from_s, from_s + length_s), length_s > 0. ES_ERR_ARG when the series ends before. */
es_status es_intensity_mean(const es_intensity *intensity, double from_s, double length_s,
                            double *out_g_per_kwh, es_error *err) ES_MUST_CHECK;

/* Mean weighted by joules[count], each drawn over a slot of slot_s; the plain mean where no joules
 * are drawn at all. */
es_status es_intensity_weighted(const es_intensity *intensity, double from_s, double slot_s,
                                const double *joules, size_t count, double *out_g_per_kwh,
                                es_error *err) ES_MUST_CHECK;

/* ---- power of servers that nobody measured (power.c); library only ---- */

typedef enum es_cpu_range {
    ES_CPU_XEON_PLATINUM, /* BoaviztAPI's default for an unknown processor */
    ES_CPU_XEON_GOLD,
    ES_CPU_XEON_SILVER,
    ES_CPU_XEON_E5,
    ES_CPU_XEON_E3,
    ES_CPU_XEON_E,
    ES_CPU_RANGE_COUNT
} es_cpu_range;
extern const char *const es_cpu_range_names[ES_CPU_RANGE_COUNT];

/* Watts of one processor at utilisation 0..1 (clamped): BoaviztAPI's a ln(b (u + c)) + d. */
double es_power_cpu_w(es_cpu_range range, double utilisation);
/* Of one processor of which only the thermal design power is known: CodeCarbon's TDP (0.1 + 0.9
 * u^3). Its code has a second rule, max(TDP u, 0.1 TDP), which is not taken. */
double es_power_tdp_w(double tdp_w, double utilisation);
/* Of the whole server, Boavizta: (processors + 0.284 W/GB memory + GPUs) times 1.33 for the rest
 * (1.2 to 1.6). */
es_estimate es_power_server_w(double cpu_w, double ram_gb, double gpu_w);

/* ---- learning: centralised, federated, by consensus ---- */

typedef struct es_learning {
    double server_j;          /* of one round in the data centre: P_0 T_0 B_0 */
    double device_j;          /* of one round on one device: P_k T_k B_k */
    double pue;               /* >= 1, of the data centre */
    uint32_t devices, active; /* K, and K_a of them per round */
    uint32_t neighbours;      /* that each active device sends to (consensus) */
    double rounds_central, rounds_federated, rounds_consensus;
    double aggregation;                  /* server's share of a centralised round: 0..1 */
    double model_bits;                   /* b(W), after compression */
    double data_bits;                    /* sum over devices */
    double uploads;                      /* how often the raw data are sent */
    double uplink_bit_j, downlink_bit_j; /* bits per joule, > 0 */
    double sidelink_bit_j;               /* 0: no sidelinks, through the infrastructure */
    double sleep_j;                      /* of one idle device per round */
    double server_g_kwh, device_g_kwh;   /* where the joules are drawn */
} es_learning;
es_learning es_learning_default(void);

typedef struct es_learning_cost {
    double compute_j, network_j; /* with PUE where the data centre draws */
    double server_part_j;        /* of both, drawn at the data centre */
    double total_j, carbon_g;
} es_learning_cost;

es_status es_learning_check(const es_learning *learning, es_error *err) ES_MUST_CHECK;
es_learning_cost es_learning_central(const es_learning *learning);
es_learning_cost es_learning_federated(const es_learning *learning);
es_learning_cost es_learning_consensus(const es_learning *learning);

/* Links' efficiency (bit/J, all links scaled together from as they are) at which federated costs as
 * many joules as centralised: below it (or above, *out_below false) federated is cheaper. 0 when
 * federated is never cheaper, INFINITY when it always is. */
double es_learning_break_even(const es_learning *learning, bool consensus, bool *out_below);

/* Raw bits over model bits moved: alpha D / (n K_a b(W) + PUE n K b(W)), per joule of each link;
 * low efficiency favours federated only above 1. */
double es_learning_traffic_ratio(const es_learning *learning);

/* ---- small is sufficient ---- */

typedef struct es_small_model {
    const char *task, *name;
    double utility;
    double size;       /* parameters, or joules per inference with exponent 1; > 0 */
    double popularity; /* requests, downloads, >= 0 */
} es_small_model;

typedef struct es_small_opts {
    double margin;   /* utility given up: a share of the best, or so many points when absolute */
    bool absolute;   /* for scores without a zero, such as Elo */
    double exponent; /* energy grows as size to this power */
} es_small_opts;
es_small_opts es_small_opts_default(void); /* 5 %, 1 */

typedef struct es_small_choice {
    const char *task;
    size_t model_count;
    const es_small_model *best;       /* of the greatest utility; ties: the smaller */
    const es_small_model *sufficient; /* smallest within the margin */
    double before, after;             /* popularity-weighted size^exponent */
    double saving;                    /* 0..1 */
} es_small_choice;

/* One task's models. Who uses a smaller model keeps it. ES_ERR_ARG: no model, or no popularity. */
es_status es_small_choose(const es_small_model *models, size_t count, es_small_opts opts,
                          es_small_choice *out_choice, es_error *err) ES_MUST_CHECK;

/* A CSV file with a head: task,model,utility,size,popularity in any order, more columns are
 * ignored; without a task column all rows are of the task `name`. Rows without a size (empty or 0)
 * are left out and counted. Grouped by task in the order they first appear. */
es_status es_small_load(es_arena *arena, const char *path, const es_small_model **out_models,
                        size_t *out_count, size_t *out_left_out, es_error *err) ES_MUST_CHECK;
es_status es_small_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                         const es_small_model **out_models, size_t *out_count, size_t *out_left_out,
                         es_error *err) ES_MUST_CHECK;

#endif
