/* Matrix product in portable C: panels of b packed so that the inner loop is a row of a register
 * tile; the compiler makes vectors of it. */
#include "train/internal.h"

enum { ROWS = 4, COLUMNS = 8, DEPTH = 256 }; /* tile 4 x 8; a panel of b stays in the first cache */

typedef struct strided { /* element (i, j) at i * row + j * column */
    const es_real *values;
    size_t row, column;
} strided;

static void pack(strided b, size_t first_row, size_t depth, size_t first, size_t width,
                 es_real *restrict panel)
{
    for (size_t p = 0; p < depth; p++) {
        const es_real *from = b.values + (first_row + p) * b.row + first * b.column;
        for (size_t j = 0; j < width; j++)
            panel[p * COLUMNS + j] = from[j * b.column];
        for (size_t j = width; j < COLUMNS; j++)
            panel[p * COLUMNS + j] = 0;
    }
}

static void full_tile(size_t depth, const es_real *restrict a, size_t row, size_t column,
                      const es_real *restrict panel, es_real sums[ROWS][COLUMNS])
{
    es_real tile[ROWS][COLUMNS] = {{0}};
    for (size_t p = 0; p < depth; p++)
        for (size_t i = 0; i < ROWS; i++)
            for (size_t j = 0; j < COLUMNS; j++)
                tile[i][j] += a[i * row + p * column] * panel[p * COLUMNS + j];
    memcpy(sums, tile, sizeof tile);
}

static void part_tile(size_t rows, size_t depth, strided a, const es_real *restrict panel,
                      es_real sums[ROWS][COLUMNS])
{
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < COLUMNS; j++)
            sums[i][j] = 0;
        for (size_t p = 0; p < depth; p++)
            for (size_t j = 0; j < COLUMNS; j++)
                sums[i][j] += a.values[i * a.row + p * a.column] * panel[p * COLUMNS + j];
    }
}

static void put_tile(size_t rows, size_t width, bool add, es_real sums[ROWS][COLUMNS], es_real *c,
                     size_t c_step)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < width; j++)
            c[i * c_step + j] = add ? c[i * c_step + j] + sums[i][j] : sums[i][j];
}

void es_gemm_plain(const void *context, bool turn_a, bool turn_b, size_t m, size_t n, size_t k,
                   const es_real *a, size_t a_step, const es_real *b, size_t b_step, bool add,
                   es_real *c, size_t c_step)
{
    (void)context;
    es_real panel[DEPTH * COLUMNS];
    es_real sums[ROWS][COLUMNS];
    strided left = {a, turn_a ? 1 : a_step, turn_a ? a_step : 1};
    strided right = {b, turn_b ? 1 : b_step, turn_b ? b_step : 1};
    for (size_t first = 0; first < n; first += COLUMNS) {
        size_t width = n - first < COLUMNS ? n - first : COLUMNS;
        for (size_t from = 0; from < k || from == 0; from += DEPTH) {
            size_t depth = k - from < DEPTH ? k - from : DEPTH;
            pack(right, from, depth, first, width, panel);
            for (size_t i = 0; i < m; i += ROWS) {
                size_t rows = m - i < ROWS ? m - i : ROWS;
                strided at = {left.values + i * left.row + from * left.column, left.row,
                              left.column};
                if (rows == ROWS)
                    full_tile(depth, at.values, at.row, at.column, panel, sums);
                else
                    part_tile(rows, depth, at, panel, sums);
                put_tile(rows, width, add || from > 0, sums, c + i * c_step + first, c_step);
            }
        }
    }
}
