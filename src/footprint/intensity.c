/* Carbon intensity of a zone as time goes. */
#include "base/array.h"
#include "base/file.h"
#include "footprint/internal.h"

#include <math.h>

#define INTENSITY_MAX 1e5
typedef ES_ARRAY(double) doubles;

/* Days from 1970-01-01 in the Gregorian calendar. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* Reads exactly count digits; false when there are others. */
static bool digits(const char **at, int count, int64_t *out)
{
    *out = 0;
    for (int i = 0; i < count; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        *out = *out * 10 + (**at - '0');
    }
    return true;
}

/* YYYY-MM-DD[ T]hh:mm[:ss][Z or +00:00] */
static bool read_date(const char *at, double *out_s)
{
    int64_t year;
    int64_t month;
    int64_t day;
    int64_t hour;
    int64_t minute;
    int64_t second = 0;
    if (!digits(&at, 4, &year) || *at++ != '-' || !digits(&at, 2, &month) || *at++ != '-' ||
        !digits(&at, 2, &day) || (*at != ' ' && *at != 'T'))
        return false;
    at++;
    if (!digits(&at, 2, &hour) || *at++ != ':' || !digits(&at, 2, &minute))
        return false;
    if (*at == ':') {
        at++;
        if (!digits(&at, 2, &second))
            return false;
    }
    if (*at != '\0' && strcmp(at, "Z") != 0 && strcmp(at, "+00:00") != 0)
        return false;
    if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60)
        return false;
    *out_s = (double)(days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second);
    return true;
}

static es_status read_row(const es_csv *csv, size_t column, double *time_s, double *value,
                          es_error *err)
{
    if (!es_text_to_double(csv->cells[0], time_s) && !read_date(csv->cells[0], time_s))
        return es_csv_fail(csv, err, "time: '%.40s' is neither seconds nor YYYY-MM-DD hh:mm (UTC)",
                           csv->cells[0]);
    ES_TRY(es_csv_number(csv, column, "intensity", value, err));
    if (!(*value >= 0 && *value <= INTENSITY_MAX))
        return es_csv_fail(csv, err, "intensity: %s must be 0..%g gCO2e/kWh",
                           isnan(*value) ? "an empty cell" : csv->cells[column], INTENSITY_MAX);
    return ES_OK;
}

static es_status find_column(const es_csv *csv, const char *column, size_t *out, es_error *err)
{
    *out = 1;
    if (column != NULL)
        *out = es_csv_column(csv, &column, 1);
    if (*out == SIZE_MAX)
        return es_csv_fail(csv, err, "no column '%s'", column);
    if (*out >= csv->count)
        return es_csv_fail(csv, err, "one column, expected time and gCO2e/kWh");
    return ES_OK;
}

es_status es_intensity_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                             const char *zone, const char *column,
                             const es_intensity **out_intensity, es_error *err)
{
    es_csv csv = es_csv_make(name, bytes, size);
    doubles times = {0};
    doubles values = {0};
    bool more = false;
    size_t at = 0;
    ES_TRY(es_csv_next(arena, &csv, &more, err));
    if (!more)
        return es_csv_fail(&csv, err, "empty, expected a head and rows");
    ES_TRY(find_column(&csv, column, &at, err));
    for (;;) {
        double time_s = 0;
        double value = 0;
        ES_TRY(es_csv_next(arena, &csv, &more, err));
        if (!more)
            break;
        ES_TRY(read_row(&csv, at, &time_s, &value, err));
        if (times.count > 0 && !(time_s > times.items[times.count - 1]))
            return es_csv_fail(&csv, err, "time: '%.40s' must be after the row before",
                               csv.cells[0]);
        ES_TRY(ES_ARRAY_PUSH(arena, &times, time_s, "intensity", err));
        ES_TRY(ES_ARRAY_PUSH(arena, &values, value, "intensity", err));
    }
    if (times.count < 2)
        return es_csv_fail(&csv, err, "%zu rows, expected at least two", times.count);
    es_intensity *made = ES_TAKE_ONE(arena, es_intensity);
    if (made == NULL || (zone != NULL && (made->zone = es_arena_text(arena, zone)) == NULL))
        return es_arena_full(arena, "intensity", err);
    made->step_s = times.items[times.count - 1] - times.items[times.count - 2];
    for (size_t i = times.count; i > 0; i--)
        times.items[i - 1] -= times.items[0];
    made->count = times.count;
    made->time_s = times.items;
    made->g_per_kwh = values.items;
    *out_intensity = made;
    return ES_OK;
}

es_status es_intensity_load(es_arena *arena, const char *path, const char *zone, const char *column,
                            const es_intensity **out_intensity, es_error *err)
{
    char *bytes = NULL;
    size_t size = 0;
    ES_TRY(es_file_read_gz(arena, path, ES_FOOTPRINT_FILE_MAX, &bytes, &size, err));
    return es_intensity_parse(arena, path, bytes, size, zone, column, out_intensity, err);
}

/* Index of the sample that holds at time_s >= 0. */
static size_t index_at(const es_intensity *intensity, double time_s)
{
    size_t low = 0;
    size_t high = intensity->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (intensity->time_s[middle] <= time_s)
            low = middle;
        else
            high = middle;
    }
    return low;
}

es_status es_intensity_mean(const es_intensity *intensity, double from_s, double length_s,
                            double *out_g_per_kwh, es_error *err)
{
    double to_s = from_s + length_s;
    double end_s = intensity->time_s[intensity->count - 1] + intensity->step_s;
    if (!(from_s >= 0 && length_s > 0 && to_s <= end_s * (1 + 1e-12)))
        return es_fail(err, ES_ERR_ARG,
                       "intensity of zone '%s' is known for %g s, %g to %g s were asked for",
                       intensity->zone != NULL ? intensity->zone : "?", end_s, from_s, to_s);
    double sum = 0;
    for (size_t i = index_at(intensity, from_s); i < intensity->count; i++) {
        double start = fmax(from_s, intensity->time_s[i]);
        double stop = i + 1 < intensity->count ? fmin(to_s, intensity->time_s[i + 1]) : to_s;
        if (start >= to_s)
            break;
        sum += (stop - start) * intensity->g_per_kwh[i];
    }
    *out_g_per_kwh = sum / length_s;
    return ES_OK;
}

es_status es_intensity_weighted(const es_intensity *intensity, double from_s, double slot_s,
                                const double *joules, size_t count, double *out_g_per_kwh,
                                es_error *err)
{
    double sum = 0;
    double weight = 0;
    double plain = 0;
    for (size_t i = 0; i < count; i++) {
        double mean = 0;
        ES_TRY(es_intensity_mean(intensity, from_s + (double)i * slot_s, slot_s, &mean, err));
        sum += mean * joules[i];
        weight += joules[i];
        plain += mean;
    }
    *out_g_per_kwh = weight > 0 ? sum / weight : count > 0 ? plain / (double)count : (double)NAN;
    return ES_OK;
}
