/* Slots, totals and counters of a state. */
#include "control/state_internal.h"

#include <math.h>
#include <stdlib.h>

static size_t bits_bytes(const es_state *state)
{
    return ((size_t)state->opts.item_count + 7) / 8;
}

es_status es_state_rooms(es_state *state, es_error *err)
{
    state->room_bits = calloc(2 * bits_bytes(state) + 1, 1);
    state->room_flags = calloc(2 * (size_t)state->opts.item_count + 1, sizeof(bool));
    state->room_numbers = calloc((size_t)state->opts.class_count + 1, sizeof(double));
    if (state->room_bits == NULL || state->room_flags == NULL || state->room_numbers == NULL)
        return es_fail(err, ES_ERR_NOMEM, "state: no memory");
    return ES_OK;
}

static const unsigned char *pack(es_state *state, int room, const bool *flags)
{
    unsigned char *bits = state->room_bits + (size_t)room * bits_bytes(state);
    memset(bits, 0, bits_bytes(state));
    for (uint32_t i = 0; i < state->opts.item_count; i++)
        if (flags[i])
            bits[i / 8] = (unsigned char)(bits[i / 8] | 1u << i % 8);
    return bits;
}

static es_status unpack(es_state *state, sqlite3_stmt *statement, int column, int room,
                        const bool **out, es_error *err)
{
    bool *flags = state->room_flags + (size_t)room * state->opts.item_count;
    const unsigned char *bits = sqlite3_column_blob(statement, column);
    if ((size_t)sqlite3_column_bytes(statement, column) != bits_bytes(state))
        return es_state_damaged(state, "a slot has another number of places", err);
    for (uint32_t i = 0; i < state->opts.item_count; i++)
        flags[i] = bits[i / 8] >> i % 8 & 1;
    *out = flags;
    return ES_OK;
}

es_status es_state_decide(es_state *state, const es_state_slot *slot, es_error *err)
{
    ES_CLEANUP(es_state_statement_p) sqlite3_stmt *statement = NULL;
    int bytes = (int)bits_bytes(state);
    ES_TRY(es_state_prepare(state,
                            "INSERT INTO slot(slot, unix_ns, usable, hosted, decision_s)"
                            " VALUES(?1, ?2, ?3, ?4, ?5)",
                            &statement, err));
    (void)sqlite3_bind_int64(statement, 1, slot->slot); /* fail only for a bad index */
    (void)sqlite3_bind_int64(statement, 2, slot->unix_ns);
    (void)sqlite3_bind_blob(statement, 3, pack(state, 0, slot->usable), bytes, SQLITE_STATIC);
    (void)sqlite3_bind_blob(statement, 4, pack(state, 1, slot->hosted), bytes, SQLITE_STATIC);
    (void)sqlite3_bind_double(statement, 5, slot->decision_s);
    return es_state_finish(state, statement, err);
}

es_status es_state_observe(es_state *state, const es_state_slot *slot, es_error *err)
{
    ES_CLEANUP(es_state_statement_p) sqlite3_stmt *statement = NULL;
    int bytes = (int)(state->opts.class_count * sizeof(double));
    ES_TRY(es_state_prepare(state,
                            "UPDATE slot SET requests=?2, elapsed_s=?3, cost=?4, regret=?5"
                            " WHERE slot=?1",
                            &statement, err));
    (void)sqlite3_bind_int64(statement, 1, slot->slot);
    (void)sqlite3_bind_blob(statement, 2, slot->requests, bytes, SQLITE_STATIC);
    (void)sqlite3_bind_double(statement, 3, slot->elapsed_s);
    (void)sqlite3_bind_double(statement, 4, slot->cost);
    (void)sqlite3_bind_double(statement, 5, slot->regret);
    ES_TRY(es_state_finish(state, statement, err));
    if (sqlite3_changes(state->db) != 1)
        return es_state_damaged(state, "a slot was observed that was never decided", err);
    return ES_OK;
}

static es_status read_slot(es_state *state, sqlite3_stmt *statement, es_state_slot *out,
                           es_error *err)
{
    size_t bytes = state->opts.class_count * sizeof(double);
    *out = (es_state_slot){.slot = (uint32_t)sqlite3_column_int64(statement, 0),
                           .unix_ns = sqlite3_column_int64(statement, 1),
                           .decision_s = sqlite3_column_double(statement, 4),
                           .observed = sqlite3_column_type(statement, 5) != SQLITE_NULL,
                           .requests = state->room_numbers,
                           .elapsed_s = sqlite3_column_double(statement, 6),
                           .cost = sqlite3_column_double(statement, 7),
                           .regret = sqlite3_column_double(statement, 8)};
    ES_TRY(unpack(state, statement, 2, 0, &out->usable, err));
    ES_TRY(unpack(state, statement, 3, 1, &out->hosted, err));
    memset(state->room_numbers, 0, bytes);
    if (!out->observed)
        return ES_OK;
    const void *numbers = sqlite3_column_blob(statement, 5);
    if ((size_t)sqlite3_column_bytes(statement, 5) != bytes)
        return es_state_damaged(state, "a slot has another number of classes", err);
    if (bytes > 0)
        memcpy(state->room_numbers, numbers, bytes);
    for (uint32_t c = 0; c < state->opts.class_count; c++)
        if (!(state->room_numbers[c] >= 0 && isfinite(state->room_numbers[c])))
            return es_state_damaged(state, "a slot has requests that are not a number >= 0", err);
    return ES_OK;
}

es_status es_state_slots(es_state *state,
                         es_status (*each)(void *context, const es_state_slot *slot, es_error *err),
                         void *context, es_error *err)
{
    ES_CLEANUP(es_state_statement_p) sqlite3_stmt *statement = NULL;
    ES_TRY(es_state_prepare(state,
                            "SELECT slot, unix_ns, usable, hosted, decision_s, requests, elapsed_s,"
                            " cost, regret FROM slot ORDER BY slot",
                            &statement, err));
    for (;;) {
        es_state_slot slot;
        bool row = false;
        ES_TRY(es_state_row(state, statement, &row, err));
        if (!row)
            return ES_OK;
        ES_TRY(read_slot(state, statement, &slot, err));
        ES_TRY(each(context, &slot, err));
    }
}

/* ---- totals ---- */

typedef struct sums {
    uint32_t before, class_count;
    es_state_totals totals;
} sums;

static es_status add(void *context, const es_state_slot *slot, es_error *err)
{
    sums *own = context;
    (void)err;
    if (!slot->observed || slot->slot >= own->before)
        return ES_OK;
    own->totals.slots++;
    for (uint32_t c = 0; c < own->class_count; c++)
        own->totals.requests += slot->requests[c];
    own->totals.cost += slot->cost;
    own->totals.regret += slot->regret;
    return ES_OK;
}

es_status es_state_totals_get(es_state *state, es_state_totals *out, es_error *err)
{
    ES_CLEANUP(es_state_statement_p) sqlite3_stmt *statement = NULL;
    sums own = {.before = UINT32_MAX, .class_count = state->opts.class_count};
    bool row = false;
    ES_TRY(es_state_prepare(state, "SELECT slots, requests, cost, regret FROM forgotten",
                            &statement, err));
    ES_TRY(es_state_row(state, statement, &row, err));
    if (!row)
        return es_state_damaged(state, "it has no totals", err);
    own.totals = (es_state_totals){.slots = (uint64_t)sqlite3_column_int64(statement, 0),
                                   .requests = sqlite3_column_double(statement, 1),
                                   .cost = sqlite3_column_double(statement, 2),
                                   .regret = sqlite3_column_double(statement, 3)};
    ES_TRY(es_state_slots(state, add, &own, err));
    *out = own.totals;
    return ES_OK;
}

static es_status add_forgotten(es_state *state, const es_state_totals *totals, es_error *err)
{
    ES_CLEANUP(es_state_statement_p) sqlite3_stmt *statement = NULL;
    ES_TRY(es_state_prepare(state,
                            "UPDATE forgotten SET slots=slots+?1, requests=requests+?2,"
                            " cost=cost+?3, regret=regret+?4",
                            &statement, err));
    (void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)totals->slots);
    (void)sqlite3_bind_double(statement, 2, totals->requests);
    (void)sqlite3_bind_double(statement, 3, totals->cost);
    (void)sqlite3_bind_double(statement, 4, totals->regret);
    return es_state_finish(state, statement, err);
}

es_status es_state_forget(es_state *state, uint32_t before, es_error *err)
{
    ES_CLEANUP(es_state_statement_p) sqlite3_stmt *statement = NULL;
    sums own = {.before = before, .class_count = state->opts.class_count};
    bool alone = sqlite3_get_autocommit(state->db) != 0;
    if (alone)
        ES_TRY(es_state_begin(state, err));
    ES_TRY(es_state_slots(state, add, &own, err));
    ES_TRY(add_forgotten(state, &own.totals, err));
    ES_TRY(es_state_prepare(state, "DELETE FROM slot WHERE slot < ?1", &statement, err));
    (void)sqlite3_bind_int64(statement, 1, before);
    ES_TRY(es_state_finish(state, statement, err));
    return alone ? es_state_commit(state, err) : ES_OK;
}

/* ---- counters ---- */

es_status es_state_counter_put(es_state *state, const char *process, const char *text,
                               es_error *err)
{
    ES_CLEANUP(es_state_statement_p) sqlite3_stmt *statement = NULL;
    ES_TRY(es_state_prepare(state, "REPLACE INTO counter VALUES(?1, ?2)", &statement, err));
    (void)sqlite3_bind_text(statement, 1, process, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(statement, 2, text, -1, SQLITE_STATIC);
    return es_state_finish(state, statement, err);
}

es_status es_state_counter_get(es_state *state, const char *process, es_arena *arena,
                               const char **out_text, es_error *err)
{
    ES_CLEANUP(es_state_statement_p) sqlite3_stmt *statement = NULL;
    bool row = false;
    *out_text = NULL;
    ES_TRY(es_state_prepare(state, "SELECT text FROM counter WHERE process=?1", &statement, err));
    (void)sqlite3_bind_text(statement, 1, process, -1, SQLITE_STATIC);
    ES_TRY(es_state_row(state, statement, &row, err));
    return row ? es_state_copy_text(state, statement, 0, arena, out_text, err) : ES_OK;
}
