#include "footprint/footprint.h"

#include <math.h>

const char *const es_boundary_names[ES_BOUNDARY_COUNT] = {
    "device", "edge", "network", "cloud", "idle", "cooling", "embodied", "end of life"};

#define BIT(boundary) (1u << (boundary))

static es_status check(const es_footprint_use *use, uint32_t boundary, es_error *err)
{
    if (use->part > ES_BOUNDARY_CLOUD || (boundary & BIT(use->part)) == 0)
        return es_fail(err, ES_ERR_ARG, "footprint: '%s' lies outside the boundary", use->place);
    if (!(use->dynamic_j >= 0 && isfinite(use->dynamic_j)))
        return es_fail(err, ES_ERR_ARG, "footprint: '%s': dynamic_j=%g must be >= 0", use->place,
                       use->dynamic_j);
    if (!(use->idle_j >= 0 && isfinite(use->idle_j)))
        return es_fail(err, ES_ERR_ARG, "footprint: '%s': idle_j=%g must be >= 0", use->place,
                       use->idle_j);
    if (!(use->pue.low >= 1 && use->pue.value >= use->pue.low && use->pue.high >= use->pue.value))
        return es_fail(err, ES_ERR_ARG, "footprint: '%s': pue=%g must be >= 1", use->place,
                       use->pue.value);
    return ES_OK;
}

/* Equipment joules to impacts: with PUE from the grid, without it for water on site. */
static es_impact draw(const es_footprint_use *use, double joules, es_estimate *out_kwh)
{
    double kwh = joules / ES_JOULES_PER_KWH;
    es_impact impact = es_impact_zero();
    *out_kwh = es_estimate_scale(use->pue, kwh);
    if (joules <= 0) /* no joule, no impact, whatever is not known about the grid */
        return impact;
    for (int c = 0; c < ES_CRITERION_COUNT; c++)
        impact.of[c] = es_estimate_times(*out_kwh, use->grid.of[c]);
    es_estimate site = es_estimate_scale(use->site_l_kwh, kwh);
    if (es_estimate_known(site))
        impact.of[ES_CRITERION_WATER] = es_estimate_add(impact.of[ES_CRITERION_WATER], site);
    return impact;
}

static es_footprint_row make_row(const es_footprint_use *use, uint32_t boundary)
{
    es_footprint_row row = {.place = use->place, .part = use->part};
    row.dynamic = draw(use, use->dynamic_j, &row.dynamic_kwh);
    if ((boundary & BIT(ES_BOUNDARY_IDLE)) != 0)
        row.idle = draw(use, use->idle_j, &row.idle_kwh);
    if ((boundary & BIT(ES_BOUNDARY_EMBODIED)) != 0)
        row.embodied = use->embodied;
    row.total = es_impact_add(es_impact_add(row.dynamic, row.idle), row.embodied);
    return row;
}

static void add_row(es_footprint_row *total, const es_footprint_row *row)
{
    total->dynamic_kwh = es_estimate_add(total->dynamic_kwh, row->dynamic_kwh);
    total->idle_kwh = es_estimate_add(total->idle_kwh, row->idle_kwh);
    total->dynamic = es_impact_add(total->dynamic, row->dynamic);
    total->idle = es_impact_add(total->idle, row->idle);
    total->embodied = es_impact_add(total->embodied, row->embodied);
    total->total = es_impact_add(total->total, row->total);
}

es_status es_footprint_make(es_arena *arena, const es_footprint_use *uses, size_t count,
                            es_footprint_frame frame, const es_footprint **out_footprint,
                            es_error *err)
{
    if (!(frame.duration_s > 0 && isfinite(frame.duration_s)))
        return es_fail(err, ES_ERR_ARG, "footprint: duration_s=%g must be > 0", frame.duration_s);
    if (!(frame.units >= 0 && isfinite(frame.units)))
        return es_fail(err, ES_ERR_ARG, "footprint: units=%g must be >= 0", frame.units);
    es_footprint *made = ES_TAKE_ONE(arena, es_footprint);
    es_footprint_row *rows = ES_TAKE_ARRAY(arena, es_footprint_row, count);
    if (made == NULL || rows == NULL)
        return es_arena_full(arena, "footprint", err);
    made->total = (es_footprint_row){.place = "total", .part = ES_BOUNDARY_COUNT};
    for (size_t i = 0; i < count; i++) {
        ES_TRY(check(&uses[i], frame.boundary, err));
        rows[i] = make_row(&uses[i], frame.boundary);
        add_row(&made->total, &rows[i]);
    }
    made->frame = frame;
    made->rows = rows;
    made->row_count = count;
    made->per_unit =
        es_impact_scale(made->total.total, frame.units > 0 ? 1 / frame.units : (double)NAN);
    *out_footprint = made;
    return ES_OK;
}

static bool has_source(const es_footprint *footprint, const char *source)
{
    for (size_t i = 0; i < footprint->frame.source_count; i++)
        if (strcmp(footprint->frame.sources[i], source) == 0)
            return true;
    return false;
}

es_status es_footprint_comparable(const es_footprint *a, const es_footprint *b, es_error *err)
{
    if (strcmp(a->frame.unit, b->frame.unit) != 0)
        return es_fail(err, ES_ERR_ARG, "not comparable: per '%s' and per '%s'", a->frame.unit,
                       b->frame.unit);
    uint32_t differ = a->frame.boundary ^ b->frame.boundary;
    for (uint32_t i = 0; i < ES_BOUNDARY_COUNT; i++)
        if ((differ & BIT(i)) != 0)
            return es_fail(err, ES_ERR_ARG, "not comparable: only one of the two counts %s",
                           es_boundary_names[i]);
    for (int side = 0; side < 2; side++) {
        const es_footprint *one = side == 0 ? a : b;
        const es_footprint *other = side == 0 ? b : a;
        for (size_t i = 0; i < one->frame.source_count; i++)
            if (!has_source(other, one->frame.sources[i]))
                return es_fail(err, ES_ERR_ARG,
                               "not comparable: only one of the two uses the source '%s'; sources "
                               "are never mixed within a comparison",
                               one->frame.sources[i]);
    }
    return ES_OK;
}

void es_footprint_boundary_text(uint32_t boundary, es_text *out)
{
    const char *between = "";
    for (uint32_t i = 0; i < ES_BOUNDARY_COUNT; i++) {
        if ((boundary & BIT(i)) != 0) {
            es_text_format(out, "%s%s", between, es_boundary_names[i]);
            between = " + ";
        }
    }
    between = " (not counted: ";
    for (uint32_t i = 0; i < ES_BOUNDARY_COUNT; i++) {
        if ((boundary & BIT(i)) == 0) {
            es_text_format(out, "%s%s", between, es_boundary_names[i]);
            between = ", ";
        }
    }
    if (strcmp(between, ", ") == 0)
        es_text_append(out, ")");
}

/* ---- a year, and demand that grows ---- */

static double years(const es_footprint *footprint)
{
    return ES_HOURS_PER_YEAR * 3600 / footprint->frame.duration_s;
}

es_impact es_footprint_year(const es_footprint *footprint, double growth)
{
    const es_footprint_row *total = &footprint->total;
    es_impact grown = es_impact_scale(total->dynamic, 1 + growth);
    return es_impact_scale(es_impact_add(es_impact_add(grown, total->idle), total->embodied),
                           years(footprint));
}

es_estimate es_footprint_year_kwh(const es_footprint *footprint, double growth)
{
    const es_footprint_row *total = &footprint->total;
    es_estimate grown = es_estimate_scale(total->dynamic_kwh, 1 + growth);
    return es_estimate_scale(es_estimate_add(grown, total->idle_kwh), years(footprint));
}

/* lesser_still + lesser_moving * (1 + g) = greater */
static double growth_until(double lesser_moving, double lesser_still, double greater)
{
    if (isnan(lesser_moving) || isnan(lesser_still) || isnan(greater))
        return (double)NAN;
    if (lesser_moving > 0)
        return (greater - lesser_still) / lesser_moving - 1;
    return lesser_still < greater ? (double)INFINITY : lesser_still > greater ? -1 : 0;
}

double es_footprint_rebound(const es_footprint *lesser, const es_footprint *greater,
                            es_criterion criterion)
{
    double k = years(lesser);
    const es_footprint_row *total = &lesser->total;
    return growth_until(k * total->dynamic.of[criterion].value,
                        k * (total->idle.of[criterion].value + total->embodied.of[criterion].value),
                        es_footprint_year(greater, 0).of[criterion].value);
}

double es_footprint_rebound_energy(const es_footprint *lesser, const es_footprint *greater)
{
    double k = years(lesser);
    return growth_until(k * lesser->total.dynamic_kwh.value, k * lesser->total.idle_kwh.value,
                        es_footprint_year_kwh(greater, 0).value);
}
