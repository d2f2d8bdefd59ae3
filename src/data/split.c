/* Parts by seed, class by class. */
#include "data/internal.h"

#include <assert.h>
#include <math.h>

typedef struct splitter {
    es_arena *arena;
    const double *shares;
    size_t part_count;
    size_t counts[ES_DATA_PARTS_MAX];
    size_t *items[ES_DATA_PARTS_MAX];
} splitter;

static es_status check(const double *shares, size_t part_count, size_t count, es_error *err)
{
    double sum = 0;
    if (part_count < 1 || part_count > ES_DATA_PARTS_MAX)
        return es_fail(err, ES_ERR_ARG, "%zu parts must be 1 to %d", part_count, ES_DATA_PARTS_MAX);
    for (size_t i = 0; i < part_count; i++) {
        if (!(shares[i] > 0))
            return es_fail(err, ES_ERR_ARG, "share %g of part %zu must be > 0", shares[i], i + 1);
        sum += shares[i];
    }
    if (!(sum <= 1 + 1e-9))
        return es_fail(err, ES_ERR_ARG, "the shares of %zu parts add up to %g, must be <= 1",
                       part_count, sum);
    if (count < part_count)
        return es_fail(err, ES_ERR_ARG, "%zu sample%s cannot be cut into %zu parts", count,
                       count == 1 ? "" : "s", part_count);
    return ES_OK;
}

/* Rows of one class: part p gets those between the rounded running sums of the shares. */
static void deal(splitter *s, const size_t *rows, size_t count)
{
    double sum = 0;
    size_t from = 0;
    for (size_t p = 0; p < s->part_count; p++) {
        sum += s->shares[p];
        size_t to = (size_t)floor(sum * (double)count + 0.5);
        to = to > count ? count : to;
        for (; from < to; from++)
            s->items[p][s->counts[p]++] = rows[from];
    }
}

/* out: rows sorted by class, classes in order, rows rising within. Counting sort. */
static es_status sort_by_class(es_arena *arena, const uint32_t *labels, size_t count,
                               uint32_t class_count, size_t *starts, size_t *out, es_error *err)
{
    size_t *at = ES_TAKE_ARRAY(arena, size_t, (size_t)class_count + 1);
    if (at == NULL)
        return es_arena_full(arena, "parts", err);
    for (size_t i = 0; i < count; i++)
        starts[labels[i] + 1]++;
    for (uint32_t c = 0; c < class_count; c++) {
        starts[c + 1] += starts[c];
        at[c] = starts[c];
    }
    for (size_t i = 0; i < count; i++)
        out[at[labels[i]]++] = i;
    return ES_OK;
}

es_status es_data_split(es_arena *arena, const uint32_t *labels, size_t count, const double *shares,
                        size_t part_count, uint64_t seed, es_data_rows out_parts[ES_DATA_PARTS_MAX],
                        es_error *err)
{
    ES_TRY(check(shares, part_count, count, err));
    uint32_t class_count = 1;
    for (size_t i = 0; labels != NULL && i < count; i++)
        class_count = labels[i] >= class_count ? labels[i] + 1 : class_count;
    splitter s = {.arena = arena, .shares = shares, .part_count = part_count};
    size_t *rows = ES_TAKE_ARRAY(arena, size_t, count);
    size_t *starts = ES_TAKE_ARRAY(arena, size_t, (size_t)class_count + 1);
    if (rows == NULL || starts == NULL)
        return es_arena_full(arena, "parts", err);
    for (size_t p = 0; p < part_count; p++) {
        s.items[p] = ES_TAKE_ARRAY(arena, size_t, count);
        if (s.items[p] == NULL)
            return es_arena_full(arena, "parts", err);
    }
    if (labels != NULL)
        ES_TRY(sort_by_class(arena, labels, count, class_count, starts, rows, err));
    starts[class_count] = count;
    for (size_t i = 0; labels == NULL && i < count; i++)
        rows[i] = i;
    for (uint32_t c = 0; c < class_count; c++) {
        es_rng rng = es_rng_make(seed, c);
        es_rng_shuffle(&rng, rows + starts[c], starts[c + 1] - starts[c]);
        deal(&s, rows + starts[c], starts[c + 1] - starts[c]);
    }
    for (size_t p = 0; p < part_count; p++) {
        if (s.counts[p] == 0)
            return es_fail(err, ES_ERR_ARG,
                           "a share of %g leaves part %zu of %zu samples empty: give more samples "
                           "or a larger share",
                           shares[p], p + 1, count);
        es_rng rng = es_rng_make(seed, (UINT64_C(1) << 32) + p); /* mixes the classes */
        es_rng_shuffle(&rng, s.items[p], s.counts[p]);
    }
    for (size_t p = 0; p < part_count; p++)
        out_parts[p] = (es_data_rows){.items = s.items[p], .count = s.counts[p]};
    return ES_OK;
}
