/* The controller's memory: schema, opening, documents. Slots and counters: state_slots.c. */
#include "control/state_internal.h"

#include <errno.h>
#include <stdlib.h>

enum { APPLICATION_ID = 0x45535452, SCHEMA_VERSION = 1, PAGE_BYTES = 4096, SQL_TEXT_MAX = 512 };

static const char *const document_names[ES_STATE_DOCUMENT_COUNT] = {"plan", "target", "routes"};

static const char schema[] =
    "CREATE TABLE owner(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE document(name TEXT PRIMARY KEY, slot INTEGER NOT NULL, text TEXT NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE generation(last INTEGER NOT NULL);"
    "INSERT INTO generation VALUES(0);"
    "CREATE TABLE step(step INTEGER NOT NULL, count INTEGER NOT NULL, text TEXT NOT NULL);"
    "CREATE TABLE slot(slot INTEGER PRIMARY KEY, unix_ns INTEGER NOT NULL, usable BLOB NOT NULL,"
    " hosted BLOB NOT NULL, decision_s REAL NOT NULL, requests BLOB, elapsed_s REAL, cost REAL,"
    " regret REAL);"
    "CREATE TABLE forgotten(slots INTEGER NOT NULL, requests REAL NOT NULL, cost REAL NOT NULL,"
    " regret REAL NOT NULL);"
    "INSERT INTO forgotten VALUES(0, 0, 0, 0);"
    "CREATE TABLE counter(process TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;";

es_state_opts es_state_opts_default(void)
{
    return (es_state_opts){.size_bytes_max = (uint64_t)1 << 30};
}

uint64_t es_state_layout(uint64_t layout, const char *text)
{
    uint64_t hash = layout ^ UINT64_C(0xcbf29ce484222325); /* FNV-1a, terminator included */
    for (const char *at = text;; at++) {
        hash = (hash ^ (unsigned char)*at) * UINT64_C(0x100000001b3);
        if (*at == '\0')
            return hash;
    }
}

/* ---- errors ---- */

es_status es_state_fail(es_state *state, int code, es_error *err)
{
    const char *path = state->opts.path;
    const char *why = state->db != NULL ? sqlite3_errmsg(state->db) : sqlite3_errstr(code);
    int reason = state->db != NULL ? sqlite3_system_errno(state->db) : 0;
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return es_fail(err, ES_ERR_UNAVAILABLE,
                       "state '%s' is in use by another controller; one at a time", path);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return es_fail(err, ES_ERR_PARSE,
                       "state '%s' is damaged or not a controller's state (%s); without it the "
                       "controller starts from what nodes host",
                       path, why);
    case SQLITE_FULL:
        return es_fail(err, ES_ERR_IO,
                       "state '%s': no room left on the disk, or larger than its limit of %llu MiB",
                       path, (unsigned long long)(state->opts.size_bytes_max >> 20));
    case SQLITE_NOMEM:
        return es_fail(err, ES_ERR_NOMEM, "state '%s': out of memory", path);
    default:
        return es_fail(err, ES_ERR_IO, "state '%s': %s%s%s", path, why, reason != 0 ? ": " : "",
                       reason != 0 ? strerror(reason) : "");
    }
}

/* A failed call takes back the whole transaction, so that nobody goes on with half of it. */
static es_status roll_back(es_state *state, es_status status)
{
    if (!sqlite3_get_autocommit(state->db))
        (void)sqlite3_exec(state->db, "ROLLBACK", NULL, NULL, NULL); /* the first error counts */
    return status;
}

es_status es_state_exec(es_state *state, const char *sql, es_error *err)
{
    int code = sqlite3_exec(state->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? ES_OK : roll_back(state, es_state_fail(state, code, err));
}

es_status es_state_prepare(es_state *state, const char *sql, sqlite3_stmt **out, es_error *err)
{
    int code = sqlite3_prepare_v2(state->db, sql, -1, out, NULL);
    return code == SQLITE_OK ? ES_OK : roll_back(state, es_state_fail(state, code, err));
}

es_status es_state_row(es_state *state, sqlite3_stmt *statement, bool *out_row, es_error *err)
{
    int code = sqlite3_step(statement);
    *out_row = code == SQLITE_ROW;
    if (code == SQLITE_ROW || code == SQLITE_DONE)
        return ES_OK;
    return roll_back(state, es_state_fail(state, code, err));
}

es_status es_state_finish(es_state *state, sqlite3_stmt *statement, es_error *err)
{
    bool row = false;
    return es_state_row(state, statement, &row, err);
}

void es_state_statement_p(sqlite3_stmt **statement)
{
    (void)sqlite3_finalize(*statement); /* what failed was told by the step */
}

es_status es_state_damaged(es_state *state, const char *what, es_error *err)
{
    return roll_back(
        state, es_fail(err, ES_ERR_PARSE, "state '%s' is damaged: %s", state->opts.path, what));
}

/* ---- opening ---- */

static es_status read_int(es_state *state, const char *sql, int64_t *out, es_error *err)
{
    ES_CLEANUP(es_state_statement_p) sqlite3_stmt *statement = NULL;
    bool row = false;
    ES_TRY(es_state_prepare(state, sql, &statement, err));
    ES_TRY(es_state_row(state, statement, &row, err));
    *out = row ? sqlite3_column_int64(statement, 0) : 0;
    return ES_OK;
}

/* In exclusive mode the first access takes the lock and keeps it, and no shared memory is used. */
static es_status set_up(es_state *state, es_error *err)
{
    char sql[SQL_TEXT_MAX];
    uint64_t pages = state->opts.size_bytes_max / PAGE_BYTES;
    (void)snprintf(sql, sizeof sql,
                   "PRAGMA page_size=%d; PRAGMA journal_mode=WAL;"
                   "PRAGMA synchronous=FULL; PRAGMA journal_size_limit=1048576;"
                   "PRAGMA max_page_count=%llu; BEGIN IMMEDIATE; COMMIT",
                   PAGE_BYTES, (unsigned long long)(pages < 64 ? 64 : pages));
    return es_state_exec(state, sql, err);
}

static es_status check_file(es_state *state, es_error *err)
{
    ES_CLEANUP(es_state_statement_p) sqlite3_stmt *statement = NULL;
    bool row = false;
    ES_TRY(es_state_prepare(state, "PRAGMA quick_check(1)", &statement, err));
    ES_TRY(es_state_row(state, statement, &row, err));
    const char *found = row ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    if (found == NULL || strcmp(found, "ok") != 0)
        return es_state_damaged(state, found != NULL ? found : "it cannot be checked", err);
    return ES_OK;
}

static es_status create(es_state *state, es_error *err)
{
    char sql[SQL_TEXT_MAX];
    (void)snprintf(sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=%d",
                   APPLICATION_ID, SCHEMA_VERSION);
    ES_TRY(es_state_begin(state, err));
    ES_TRY(es_state_exec(state, schema, err));
    ES_TRY(es_state_exec(state, sql, err));
    return es_state_commit(state, err);
}

/* Nothing is written before it is known whose file it is. */
static es_status check_version(es_state *state, es_error *err)
{
    int64_t application = 0;
    int64_t version = 0;
    int64_t tables = 0;
    ES_TRY(es_state_exec(state, "PRAGMA locking_mode=EXCLUSIVE", err));
    ES_TRY(read_int(state, "PRAGMA application_id", &application, err));
    ES_TRY(read_int(state, "PRAGMA user_version", &version, err));
    ES_TRY(read_int(state, "SELECT count(*) FROM sqlite_master", &tables, err));
    if (application == 0 && version == 0 && tables == 0) {
        ES_TRY(set_up(state, err));
        return create(state, err);
    }
    if (application != APPLICATION_ID)
        return es_fail(err, ES_ERR_PARSE,
                       "state '%s' is a database of another program; give the controller a file "
                       "of its own",
                       state->opts.path);
    if (version > SCHEMA_VERSION)
        return es_fail(err, ES_ERR_UNSUPPORTED,
                       "state '%s' has version %lld, this program reads up to %d: it was written "
                       "by a newer one",
                       state->opts.path, (long long)version, SCHEMA_VERSION);
    ES_TRY(set_up(state, err));
    return check_file(state, err);
}

/* ---- whose it is ---- */

static es_status own(es_state *state, const char *name, const char *value, es_error *err)
{
    ES_CLEANUP(es_state_statement_p) sqlite3_stmt *statement = NULL;
    bool row = false;
    ES_TRY(es_state_prepare(state, "SELECT value FROM owner WHERE name=?1", &statement, err));
    (void)sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC); /* fails only for a bad index */
    ES_TRY(es_state_row(state, statement, &row, err));
    if (row) {
        const char *found = (const char *)sqlite3_column_text(statement, 0);
        if (found != NULL && strcmp(found, value) == 0)
            return ES_OK;
        return roll_back(state,
                         es_fail(err, ES_ERR_ARG,
                                 "state '%s' belongs to %s '%s', not to '%s'; give each its own",
                                 state->opts.path, name, found != NULL ? found : "", value));
    }
    ES_CLEANUP(es_state_statement_p) sqlite3_stmt *insert = NULL;
    ES_TRY(es_state_prepare(state, "INSERT INTO owner VALUES(?1, ?2)", &insert, err));
    (void)sqlite3_bind_text(insert, 1, name, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(insert, 2, value, -1, SQLITE_STATIC);
    return es_state_finish(state, insert, err);
}

static es_status check_owner(es_state *state, es_error *err)
{
    const es_state_opts *opts = &state->opts;
    char number[64];
    ES_TRY(es_state_begin(state, err));
    ES_TRY(own(state, "scenario", opts->scenario, err));
    ES_TRY(own(state, "policy", opts->policy, err));
    (void)snprintf(number, sizeof number, "%llu", (unsigned long long)opts->seed);
    ES_TRY(own(state, "seed", number, err));
    (void)snprintf(number, sizeof number, "%.17g s", opts->slot_s);
    ES_TRY(own(state, "slots of", number, err));
    (void)snprintf(number, sizeof number, "%u classes, %u places for models, %016llx",
                   opts->class_count, opts->item_count, (unsigned long long)opts->layout);
    ES_TRY(own(state, "a scenario with", number, err));
    return es_state_commit(state, err);
}

/* ---- life ---- */

/* The file as it is, into memory. */
static es_status copy_file(es_state *state, es_error *err)
{
    sqlite3 *file = NULL;
    int code = sqlite3_open_v2(state->opts.path, &file, SQLITE_OPEN_READONLY, NULL);
    if ((code & 0xff) == SQLITE_CANTOPEN) { /* there is none yet: an empty copy */
        (void)sqlite3_close(file);
        return ES_OK;
    }
    if (code == SQLITE_OK) {
        sqlite3_backup *backup = sqlite3_backup_init(state->db, "main", file, "main");
        code = backup != NULL ? sqlite3_backup_step(backup, -1) : sqlite3_errcode(state->db);
        if (backup != NULL)
            (void)sqlite3_backup_finish(backup); /* the step told */
    }
    (void)sqlite3_close(file);
    return code == SQLITE_OK || code == SQLITE_DONE ? ES_OK : es_state_fail(state, code, err);
}

static es_status open_all(es_state *state, es_error *err)
{
    const char *path = state->opts.copy ? ":memory:" : state->opts.path;
    int code = sqlite3_open_v2(
        path, &state->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code != SQLITE_OK)
        return es_state_fail(state, code, err);
    (void)sqlite3_extended_result_codes(state->db, 1);
    if (state->opts.copy)
        ES_TRY(copy_file(state, err));
    ES_TRY(check_version(state, err));
    return check_owner(state, err);
}

es_status es_state_open(es_state_opts opts, es_state **out_state, es_error *err)
{
    es_state *state = calloc(1, sizeof *state);
    if (state == NULL)
        return es_fail(err, ES_ERR_NOMEM, "state: no memory");
    state->opts = opts;
    es_status status = open_all(state, err);
    if (status == ES_OK)
        status = es_state_rooms(state, err);
    if (status != ES_OK) {
        es_state_close(state);
        return status;
    }
    *out_state = state;
    return ES_OK;
}

void es_state_close(es_state *state)
{
    if (state == NULL)
        return;
    (void)sqlite3_close(state->db); /* statements are finalized where they are made */
    free(state->room_bits);
    free(state->room_flags);
    free(state->room_numbers);
    free(state);
}

void es_state_close_p(es_state **state)
{
    es_state_close(*state);
    *state = NULL;
}

es_status es_state_begin(es_state *state, es_error *err)
{
    return es_state_exec(state, "BEGIN IMMEDIATE", err);
}

es_status es_state_commit(es_state *state, es_error *err)
{
    return es_state_exec(state, "COMMIT", err);
}

/* ---- documents ---- */

es_status es_state_put(es_state *state, es_state_document which, uint32_t slot, const char *text,
                       es_error *err)
{
    ES_CLEANUP(es_state_statement_p) sqlite3_stmt *statement = NULL;
    if (text == NULL && which == ES_STATE_TARGET)
        ES_TRY(es_state_exec(state, "DELETE FROM step", err));
    ES_TRY(es_state_prepare(state,
                            text != NULL ? "REPLACE INTO document VALUES(?1, ?2, ?3)"
                                         : "DELETE FROM document WHERE name=?1",
                            &statement, err));
    (void)sqlite3_bind_text(statement, 1, document_names[which], -1, SQLITE_STATIC);
    if (text != NULL) {
        (void)sqlite3_bind_int64(statement, 2, slot);
        (void)sqlite3_bind_text(statement, 3, text, -1, SQLITE_STATIC);
    }
    return es_state_finish(state, statement, err);
}

es_status es_state_copy_text(es_state *state, sqlite3_stmt *statement, int column, es_arena *arena,
                             const char **out, es_error *err)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    if (text == NULL)
        return es_state_damaged(state, "a text is missing", err);
    *out = es_arena_text_n(arena, text, (size_t)sqlite3_column_bytes(statement, column));
    return *out != NULL ? ES_OK : es_arena_full(arena, "state", err);
}

es_status es_state_get(es_state *state, es_state_document which, es_arena *arena,
                       const char **out_text, uint32_t *out_slot, es_error *err)
{
    ES_CLEANUP(es_state_statement_p) sqlite3_stmt *statement = NULL;
    bool row = false;
    *out_text = NULL;
    ES_TRY(
        es_state_prepare(state, "SELECT slot, text FROM document WHERE name=?1", &statement, err));
    (void)sqlite3_bind_text(statement, 1, document_names[which], -1, SQLITE_STATIC);
    ES_TRY(es_state_row(state, statement, &row, err));
    if (!row)
        return ES_OK;
    if (out_slot != NULL)
        *out_slot = (uint32_t)sqlite3_column_int64(statement, 0);
    return es_state_copy_text(state, statement, 1, arena, out_text, err);
}

es_status es_state_generation_last(es_state *state, int64_t *out_generation, es_error *err)
{
    return read_int(state, "SELECT last FROM generation", out_generation, err);
}

es_status es_state_generation(es_state *state, int64_t above, int64_t *out_generation,
                              es_error *err)
{
    ES_CLEANUP(es_state_statement_p) sqlite3_stmt *statement = NULL;
    bool row = false;
    ES_TRY(es_state_prepare(state, "UPDATE generation SET last = max(last, ?1) + 1 RETURNING last",
                            &statement, err));
    (void)sqlite3_bind_int64(statement, 1, above);
    ES_TRY(es_state_row(state, statement, &row, err));
    if (!row)
        return es_state_damaged(state, "it has no generation", err);
    int64_t given = sqlite3_column_int64(statement, 0);
    ES_TRY(es_state_finish(state, statement, err));
    *out_generation = given;
    return ES_OK;
}

/* ---- the transition ---- */

es_status es_state_step(es_state *state, uint32_t step, uint32_t count, const char *text,
                        es_error *err)
{
    ES_CLEANUP(es_state_statement_p) sqlite3_stmt *statement = NULL;
    bool alone = sqlite3_get_autocommit(state->db) != 0;
    if (alone)
        ES_TRY(es_state_begin(state, err));
    ES_TRY(es_state_exec(state, "DELETE FROM step", err));
    ES_TRY(es_state_prepare(state, "INSERT INTO step VALUES(?1, ?2, ?3)", &statement, err));
    (void)sqlite3_bind_int64(statement, 1, step);
    (void)sqlite3_bind_int64(statement, 2, count);
    (void)sqlite3_bind_text(statement, 3, text, -1, SQLITE_STATIC);
    ES_TRY(es_state_finish(state, statement, err));
    return alone ? es_state_commit(state, err) : ES_OK;
}

es_status es_state_step_get(es_state *state, es_arena *arena, uint32_t *out_step,
                            uint32_t *out_count, const char **out_text, es_error *err)
{
    ES_CLEANUP(es_state_statement_p) sqlite3_stmt *statement = NULL;
    bool row = false;
    *out_step = 0;
    *out_count = 0;
    ES_TRY(es_state_prepare(state, "SELECT step, count, text FROM step", &statement, err));
    ES_TRY(es_state_row(state, statement, &row, err));
    if (!row)
        return ES_OK;
    *out_step = (uint32_t)sqlite3_column_int64(statement, 0);
    *out_count = (uint32_t)sqlite3_column_int64(statement, 1);
    return out_text != NULL ? es_state_copy_text(state, statement, 2, arena, out_text, err) : ES_OK;
}
