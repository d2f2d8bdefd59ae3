/*
 * state_internal: what state.c and state_slots.c share. Only they see SQLite.
 */
#ifndef ES_CONTROL_STATE_INTERNAL_H
#define ES_CONTROL_STATE_INTERNAL_H

#include "control/state.h"

#include <sqlite3.h>

struct es_state {
    es_state_opts opts; /* texts are the caller's, kept while open */
    sqlite3 *db;
    unsigned char *room_bits; /* of two lists of items, packed */
    bool *room_flags;         /* of two lists of items */
    double *room_numbers;     /* [class] */
};

/* Allocates the rooms. */
es_status es_state_rooms(es_state *state, es_error *err) ES_MUST_CHECK;

/* Each rolls back the open transaction when it fails. */
es_status es_state_fail(es_state *state, int code, es_error *err);
es_status es_state_damaged(es_state *state, const char *what, es_error *err);
es_status es_state_exec(es_state *state, const char *sql, es_error *err) ES_MUST_CHECK;
es_status es_state_prepare(es_state *state, const char *sql, sqlite3_stmt **out,
                           es_error *err) ES_MUST_CHECK;
es_status es_state_row(es_state *state, sqlite3_stmt *statement, bool *out_row,
                       es_error *err) ES_MUST_CHECK;
es_status es_state_finish(es_state *state, sqlite3_stmt *statement, es_error *err) ES_MUST_CHECK;
es_status es_state_copy_text(es_state *state, sqlite3_stmt *statement, int column, es_arena *arena,
                             const char **out, es_error *err) ES_MUST_CHECK;
void es_state_statement_p(sqlite3_stmt **statement); /* for ES_CLEANUP */

#endif
