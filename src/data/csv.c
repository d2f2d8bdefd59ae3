/* CSV: columns of numbers, columns of words. Read once for its size, once for its values. */
#include "base/array.h"
#include "base/text.h"
#include "data/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WORDS_MAX = 1 << 20, NUMBER_SIZE_MAX = 63 };

typedef struct cell {
    const char *bytes;
    size_t size;
    bool escaped; /* quotes within are doubled */
} cell;

typedef struct lines {
    const char *name, *at, *end;
    size_t number; /* of the line last read, from 1 */
} lines;

/* A column while it is read. */
typedef struct words {
    ES_ARRAY(const char *) items;
    uint32_t *slots; /* index + 1 into items, by hash; a power of two */
    size_t slot_count;
} words;

typedef struct csv {
    es_arena *arena;
    lines lines;
    size_t column_count;
    bool *is_words;
    words *words;
    double **numbers;
    uint32_t **codes;
} csv;

static bool next_line(lines *l, cell *out)
{
    while (l->at < l->end) {
        const char *start = l->at;
        const char *stop = memchr(start, '\n', (size_t)(l->end - start));
        l->at = stop != NULL ? stop + 1 : l->end;
        stop = stop != NULL ? stop : l->end;
        l->number++;
        if (stop > start && stop[-1] == '\r')
            stop--;
        if (stop > start) {
            *out = (cell){.bytes = start, .size = (size_t)(stop - start)};
            return true;
        }
    }
    return false;
}

/* Cuts the first cell off; rest->bytes is NULL behind the last. False when a quote stays open. */
static bool next_cell(cell *rest, cell *out)
{
    const char *at = rest->bytes;
    const char *end = at + rest->size;
    *out = (cell){0};
    if (at < end && *at == '"') {
        out->bytes = ++at;
        while (at < end && (*at != '"' || (at + 1 < end && at[1] == '"'))) {
            out->escaped = out->escaped || *at == '"';
            at += *at == '"' ? 2 : 1;
        }
        if (at >= end)
            return false;
        out->size = (size_t)(at - out->bytes);
        at++;
        if (at < end && *at != ',')
            return false;
    } else {
        while (at < end && (*at == ' ' || *at == '\t'))
            at++;
        out->bytes = at;
        while (at < end && *at != ',')
            at++;
        const char *last = at;
        while (last > out->bytes && (last[-1] == ' ' || last[-1] == '\t'))
            last--;
        out->size = (size_t)(last - out->bytes);
    }
    *rest = at < end ? (cell){.bytes = at + 1, .size = (size_t)(end - at) - 1} : (cell){0};
    return true;
}

/* Empty and "nan" count as missing. */
static bool to_number(const cell *c, double *out)
{
    char copy[NUMBER_SIZE_MAX + 1];
    if (c->size == 0 ||
        (c->size == 3 && (memcmp(c->bytes, "NaN", 3) == 0 || memcmp(c->bytes, "nan", 3) == 0))) {
        *out = (double)NAN;
        return true;
    }
    if (c->size > NUMBER_SIZE_MAX || memchr(c->bytes, '\0', c->size) != NULL)
        return false;
    memcpy(copy, c->bytes, c->size);
    copy[c->size] = '\0';
    return es_text_to_double(copy, out);
}

static char *to_text(es_arena *arena, const cell *c)
{
    char *copy = es_arena_text_n(arena, c->bytes, c->size);
    if (copy == NULL || !c->escaped)
        return copy;
    char *to = copy;
    for (size_t i = 0; i < c->size; i++) {
        *to++ = c->bytes[i];
        if (c->bytes[i] == '"')
            i++;
    }
    *to = '\0';
    return copy;
}

/* With file and line. */
static es_status fail(const csv *c, es_error *err, const char *format, ...) ES_PRINTF(3, 4);
static es_status fail(const csv *c, es_error *err, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    es_status status = es_fail_v(err, ES_ERR_PARSE, format, arguments);
    va_end(arguments);
    return es_within(err, status, "%s:%zu", c->lines.name, c->lines.number);
}

/* ---- words: each gets a number, by first appearance ---- */

static uint64_t hash(const char *text)
{
    uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */
    for (; *text != '\0'; text++)
        h = (h ^ (uint8_t)*text) * UINT64_C(1099511628211);
    return h;
}

static size_t slot_of(const words *w, const char *text)
{
    size_t at = (size_t)hash(text) & (w->slot_count - 1);
    while (w->slots[at] != 0 && strcmp(w->items.items[w->slots[at] - 1], text) != 0)
        at = (at + 1) & (w->slot_count - 1);
    return at;
}

static es_status grow_slots(es_arena *arena, words *w, es_error *err)
{
    w->slot_count = w->slot_count == 0 ? 64 : w->slot_count * 4;
    w->slots = ES_TAKE_ARRAY(arena, uint32_t, w->slot_count);
    if (w->slots == NULL)
        return es_arena_full(arena, "words", err);
    for (size_t i = 0; i < w->items.count; i++)
        w->slots[slot_of(w, w->items.items[i])] = (uint32_t)i + 1;
    return ES_OK;
}

static es_status word_code(csv *c, size_t column, const cell *from, uint32_t *out, es_error *err)
{
    words *w = &c->words[column];
    if (2 * w->items.count >= w->slot_count)
        ES_TRY(grow_slots(c->arena, w, err));
    char *text = to_text(c->arena, from);
    if (text == NULL)
        return es_arena_full(c->arena, "words", err);
    size_t slot = slot_of(w, text);
    if (w->slots[slot] == 0) {
        if (w->items.count == WORDS_MAX)
            return fail(c, err, "column %zu has more than %d different words", column + 1,
                        WORDS_MAX);
        ES_TRY(ES_ARRAY_PUSH(c->arena, &w->items, text, "words", err));
        w->slots[slot] = (uint32_t)w->items.count;
    }
    *out = w->slots[slot] - 1;
    return ES_OK;
}

/* ---- two passes ---- */

static es_status count_columns(csv *c, bool *out_all_words, es_error *err)
{
    cell line;
    double number;
    bool all_words = true;
    if (!next_line(&c->lines, &line))
        return es_fail(err, ES_ERR_PARSE, "'%s' is empty: expected lines of cells", c->lines.name);
    for (cell rest = line, one; rest.bytes != NULL; c->column_count++) {
        if (c->column_count == ES_DATA_COLUMNS_MAX)
            return fail(c, err, "more than %d columns", ES_DATA_COLUMNS_MAX);
        if (!next_cell(&rest, &one))
            return fail(c, err, "a quote is open or has something behind it in column %zu",
                        c->column_count + 1);
        all_words = all_words && !to_number(&one, &number);
    }
    *out_all_words = all_words;
    return ES_OK;
}

/* Counts rows and tells words from numbers. */
static es_status first_pass(csv *c, size_t *out_rows, es_error *err)
{
    size_t rows = 0;
    cell line;
    double number;
    while (next_line(&c->lines, &line)) {
        size_t column = 0;
        for (cell rest = line, one; rest.bytes != NULL; column++) {
            if (!next_cell(&rest, &one))
                return fail(c, err, "a quote is open or has something behind it in column %zu",
                            column + 1);
            if (column < c->column_count && !c->is_words[column])
                c->is_words[column] = !to_number(&one, &number);
        }
        if (column != c->column_count)
            return fail(c, err, "%zu cells, the first line has %zu", column, c->column_count);
        rows++;
    }
    if (rows == 0)
        return es_fail(err, ES_ERR_PARSE, "'%s' has no rows behind its head", c->lines.name);
    *out_rows = rows;
    return ES_OK;
}

static es_status second_pass(csv *c, es_error *err)
{
    cell line;
    for (size_t row = 0; next_line(&c->lines, &line); row++) {
        cell rest = line;
        for (size_t column = 0; column < c->column_count; column++) {
            cell one = {0};
            (void)next_cell(&rest, &one); /* the first pass saw that it goes */
            if (c->is_words[column])
                ES_TRY(word_code(c, column, &one, &c->codes[column][row], err));
            else
                (void)to_number(&one, &c->numbers[column][row]);
        }
    }
    return ES_OK;
}

static es_status take_columns(csv *c, size_t rows, es_error *err)
{
    c->words = ES_TAKE_ARRAY(c->arena, words, c->column_count);
    c->numbers = ES_TAKE_ARRAY(c->arena, double *, c->column_count);
    c->codes = ES_TAKE_ARRAY(c->arena, uint32_t *, c->column_count);
    if (c->words == NULL || c->numbers == NULL || c->codes == NULL)
        return es_arena_full(c->arena, c->lines.name, err);
    for (size_t i = 0; i < c->column_count; i++) {
        if (c->is_words[i])
            c->codes[i] = ES_TAKE_ARRAY(c->arena, uint32_t, rows);
        else
            c->numbers[i] = ES_TAKE_ARRAY(c->arena, double, rows);
        if (c->codes[i] == NULL && c->numbers[i] == NULL)
            return es_arena_full(c->arena, c->lines.name, err);
    }
    return ES_OK;
}

static es_status finish(csv *c, const cell *head, size_t rows, const es_data_table **out,
                        es_error *err)
{
    es_data_table *table = ES_TAKE_ONE(c->arena, es_data_table);
    es_data_column *columns = ES_TAKE_ARRAY(c->arena, es_data_column, c->column_count);
    if (table == NULL || columns == NULL)
        return es_arena_full(c->arena, c->lines.name, err);
    cell rest = *head;
    for (size_t i = 0; i < c->column_count; i++) {
        cell one = {0};
        if (head->bytes != NULL)
            (void)next_cell(&rest, &one); /* counted before */
        columns[i] = (es_data_column){
            .name = head->bytes != NULL ? to_text(c->arena, &one)
                                        : es_arena_format(c->arena, "column %zu", i + 1),
            .numbers = c->numbers[i],
            .codes = c->codes[i],
            .words = c->words[i].items.items,
            .word_count = (uint32_t)c->words[i].items.count,
        };
        if (columns[i].name == NULL)
            return es_arena_full(c->arena, c->lines.name, err);
    }
    *table = (es_data_table){.name = c->lines.name,
                             .row_count = rows,
                             .column_count = c->column_count,
                             .columns = columns};
    *out = table;
    return ES_OK;
}

es_status es_data_parse_csv(es_arena *arena, const char *name, const char *bytes, size_t size,
                            es_data_head head, const es_data_table **out_table, es_error *err)
{
    size_t mark = size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    const char *kept = es_arena_text(arena, name);
    if (kept == NULL)
        return es_arena_full(arena, name, err);
    csv c = {.arena = arena, .lines = {.name = kept, .at = bytes + mark, .end = bytes + size}};
    lines start = c.lines;
    bool all_words = false;
    ES_TRY(count_columns(&c, &all_words, err));
    c.is_words = ES_TAKE_ARRAY(arena, bool, c.column_count);
    if (c.is_words == NULL)
        return es_arena_full(arena, name, err);
    cell first = {0};
    if (head == ES_DATA_HEAD_NO || (head == ES_DATA_HEAD_GUESS && !all_words)) {
        c.lines = start;
    } else {
        lines again = start;
        (void)next_line(&again, &first); /* counted before */
    }
    start = c.lines;
    size_t rows = 0;
    ES_TRY(first_pass(&c, &rows, err));
    ES_TRY(take_columns(&c, rows, err));
    c.lines = start;
    ES_TRY(second_pass(&c, err));
    return finish(&c, &first, rows, out_table, err);
}

const es_data_column *es_data_table_column(const es_data_table *table, const char *name)
{
    uint64_t number = 0;
    for (size_t i = 0; i < table->column_count; i++)
        if (strcmp(table->columns[i].name, name) == 0)
            return &table->columns[i];
    if (es_text_to_uint64(name, &number) && number >= 1 && number <= table->column_count)
        return &table->columns[number - 1];
    return NULL;
}
