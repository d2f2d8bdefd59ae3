#include "base/file.h"
#include "cli/cli.h"

#include <math.h>

enum { BAR_SIZE = 30 };

void es_cli_say(const es_cli *cli, const char *format, ...)
{
    if (cli->quiet)
        return;
    va_list args;
    va_start(args, format);
    (void)vfprintf(stderr, format, args); /* talk: nowhere to report its own failure */
    va_end(args);
    (void)fputc('\n', stderr);
}

es_status es_cli_print(es_text *text, es_error *err)
{
    es_status status = es_text_status(text, err);
    if (status == ES_OK)
        status = es_file_write("-", es_text_get(text), text->size, err);
    es_text_clear(text);
    return status;
}

void es_cli_progress(const es_cli *cli, const char *what, double done)
{
    if (cli->quiet || !cli->terminal)
        return;
    if (done >= 1) {
        (void)fputs("\r\033[K", stderr);
        return;
    }
    char bar[BAR_SIZE + 1];
    int full = done > 0 ? (int)(done * BAR_SIZE) : 0;
    for (int i = 0; i < BAR_SIZE; i++)
        bar[i] = i < full ? '#' : ' ';
    bar[BAR_SIZE] = '\0';
    (void)fprintf(stderr, "\r\033[K%s [%s] %3.0f %%", what, bar, 100 * fmax(done, 0));
    (void)fflush(stderr);
}

static void scaled(es_text *out, double value, const double *sizes, const char *const *units,
                   size_t count)
{
    size_t unit = 0;
    while (unit + 1 < count && fabs(value) < sizes[unit])
        unit++;
    double shown = value / sizes[unit];
    int digits = fabs(shown) >= 99.95 ? 0 : fabs(shown) >= 9.995 ? 1 : 2;
    es_text_format(out, "%.*f %s", digits, shown, units[unit]);
}

void es_cli_seconds(es_text *out, double seconds)
{
    static const double sizes[] = {1, 1e-3, 1e-6};
    static const char *const units[] = {"s", "ms", "us"};
    if (isfinite(seconds))
        scaled(out, seconds, sizes, units, 3);
    else
        es_text_append(out, "-");
}

void es_cli_bytes(es_text *out, double bytes)
{
    static const double sizes[] = {1e9, 1e6, 1e3, 1};
    static const char *const units[] = {"GB", "MB", "kB", "B"};
    if (isfinite(bytes))
        scaled(out, bytes, sizes, units, 4);
    else
        es_text_append(out, "-");
}

void es_cli_cell(es_cli_table *table, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args); /* a longer cell is cut */
    va_end(args);
    const char *cell = es_arena_text(table->arena, text);
    /* A table is for people: without memory it misses cells, the data elsewhere is whole. */
    es_status status = ES_ARRAY_PUSH(table->arena, &table->cells, cell != NULL ? cell : "", "table",
                                     (es_error *)NULL);
    (void)status;
}

void es_cli_table_print(const es_cli_table *table, es_text *out)
{
    size_t rows = table->columns > 0 ? table->cells.count / table->columns : 0;
    for (size_t row = 0; row < rows; row++) {
        for (size_t column = 0; column < table->columns; column++) {
            size_t width = 0;
            for (size_t i = 0; i < rows; i++) {
                size_t size = strlen(table->cells.items[i * table->columns + column]);
                width = size > width ? size : width;
            }
            const char *cell = table->cells.items[row * table->columns + column];
            es_text_format(out, column == 0 ? "%-*s" : "  %*s", (int)width, cell);
        }
        es_text_append(out, "\n");
    }
}
