#include "repository.h"

#include "base/log.h"
#include "repository_internal.h"

#include <assert.h>
#include <signal.h>

const char *const es_model_state_names[ES_MODEL_STATE_COUNT] = {
    [ES_MODEL_UNAVAILABLE] = "UNAVAILABLE",
    [ES_MODEL_LOADING] = "LOADING",
    [ES_MODEL_READY] = "READY",
    [ES_MODEL_UNLOADING] = "UNLOADING",
};

/* ---- rows ---- */

static int compare(const es_repository_row *row, const char *name, int64_t version)
{
    int names = strcmp(row->name, name);
    return names != 0 ? names : (row->version > version) - (row->version < version);
}

/* The first row that is not before (name, version). */
static size_t lower_bound(const es_repository *repository, const char *name, int64_t version)
{
    size_t low = 0;
    size_t high = repository->row_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(&repository->rows[middle], name, version) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

es_repository_row *es_repository_row_find(es_repository *repository, const char *name,
                                          int64_t version)
{
    size_t at = lower_bound(repository, name, version);
    if (at == repository->row_count || strcmp(repository->rows[at].name, name) != 0 ||
        (version != 0 && repository->rows[at].version != version))
        return NULL;
    return &repository->rows[at];
}

es_repository_row *es_repository_row_make(es_repository *repository, const char *name,
                                          int64_t version)
{
    size_t at = lower_bound(repository, name, version);
    if (at < repository->row_count && compare(&repository->rows[at], name, version) == 0)
        return &repository->rows[at];
    if (repository->row_count == repository->row_capacity) {
        size_t capacity = repository->row_capacity == 0 ? 16 : 2 * repository->row_capacity;
        es_repository_row *rows = capacity > (size_t)2 * ES_REPOSITORY_MODELS_MAX
                                      ? NULL
                                      : realloc(repository->rows, capacity * sizeof *rows);
        if (rows == NULL)
            return NULL;
        repository->rows = rows;
        repository->row_capacity = capacity;
    }
    es_repository_row *row = &repository->rows[at];
    memmove(row + 1, row, (repository->row_count - at) * sizeof *row);
    repository->row_count++;
    *row = (es_repository_row){.version = version, .state = ES_MODEL_UNAVAILABLE};
    (void)snprintf(row->name, sizeof row->name, "%s", name);
    return row;
}

void es_repository_row_remove(es_repository *repository, es_repository_row *row)
{
    size_t at = (size_t)(row - repository->rows);
    memmove(row, row + 1, (repository->row_count - at - 1) * sizeof *row);
    repository->row_count--;
}

void es_repository_row_set(es_repository_row *row, es_model_state state, const char *reason)
{
    row->state = state;
    (void)snprintf(row->reason, sizeof row->reason, "%s", reason);
}

void es_repository_rescan(es_repository *repository)
{
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)64 << 20);
    const char *const *names = NULL;
    size_t count = 0;
    if (arena == NULL || es_scan_names(arena, repository->folder, &names, &count, NULL) != ES_OK)
        return; /* what is served stays; a load will say what is wrong */
    (void)pthread_mutex_lock(&repository->lock);
    for (size_t i = 0; i < count; i++) {
        if (es_repository_row_find(repository, names[i], 0) != NULL)
            continue;
        es_repository_row *row = es_repository_row_make(repository, names[i], 0);
        if (row != NULL)
            es_repository_row_set(row, ES_MODEL_UNAVAILABLE, "not loaded");
    }
    (void)pthread_mutex_unlock(&repository->lock);
}

/* ---- for requests ---- */

es_found es_repository_find(es_repository *repository, const char *name, const char *version,
                            es_served **out_served)
{
    int64_t wanted = 0;
    es_found found = ES_FOUND_NO_MODEL;
    bool any = version == NULL || *version == '\0';
    if (!any && (!es_text_to_int64(version, &wanted) || wanted < 1))
        wanted = -1; /* no version has it, but the model may be there */
    (void)pthread_mutex_lock(&repository->lock);
    for (size_t at = lower_bound(repository, name, 0);
         at < repository->row_count && strcmp(repository->rows[at].name, name) == 0; at++) {
        es_repository_row *row = &repository->rows[at];
        bool fits = any || row->version == wanted;
        if (row->version == 0 || !fits) {
            found = found == ES_FOUND_NO_MODEL ? (any ? ES_FOUND_NOT_READY : ES_FOUND_NO_VERSION)
                                               : found;
        } else if (row->served != NULL) { /* the last one is the highest */
            *out_served = row->served;
            found = ES_FOUND;
        } else if (found != ES_FOUND) {
            found = ES_FOUND_NOT_READY;
        }
    }
    if (found == ES_FOUND)
        (void)es_served_ref(*out_served);
    (void)pthread_mutex_unlock(&repository->lock);
    return found;
}

es_status es_repository_index(es_repository *repository, es_arena *arena,
                              es_repository_entry **out_entries, size_t *out_count, es_error *err)
{
    bool full = false;
    (void)pthread_mutex_lock(&repository->lock);
    es_repository_entry *entries = ES_TAKE_ARRAY(arena, es_repository_entry, repository->row_count);
    size_t used = 0;
    for (; entries != NULL && used < repository->row_count && !full; used++) {
        const es_repository_row *row = &repository->rows[used];
        es_repository_entry *entry = &entries[used];
        *entry = (es_repository_entry){
            .name = es_arena_text(arena, row->name),
            .version = row->version,
            .state = row->state,
            .reason = es_arena_text(arena, row->reason),
            .served = row->served != NULL ? es_served_ref(row->served) : NULL,
        };
        full = entry->name == NULL || entry->reason == NULL;
    }
    (void)pthread_mutex_unlock(&repository->lock);
    if (entries == NULL || full) {
        es_repository_index_done(entries, used);
        return es_arena_full(arena, "index", err);
    }
    *out_entries = entries;
    *out_count = used;
    return ES_OK;
}

void es_repository_index_done(es_repository_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        es_served_unref(entries[i].served);
}

/* ---- the thread ---- */

static es_repository_change *take_change(es_repository *repository)
{
    es_repository_change *change = repository->first;
    if (change == NULL)
        return NULL;
    repository->first = change->next;
    if (repository->first == NULL)
        repository->last = NULL;
    repository->change_count--;
    return change;
}

static void finish(es_repository_change *change, es_status status, const es_error *err)
{
    if (change->done != NULL)
        change->done(change->context, status, err);
    es_arena_free(change->arena); /* the change with it */
}

static void make_change(es_repository *repository, es_repository_change *change)
{
    es_error err = {0};
    es_status status = change->unload ? es_repository_unload(repository, change->name, &err)
                                      : es_repository_load(repository, change, &err);
    if (status != ES_OK)
        es_log(ES_LOG_WARNING, "serve", "cannot %s model '%.255s': %s",
               change->unload ? "unload" : "load", change->name, es_error_text(&err));
    es_repository_rescan(repository);
    finish(change, status, &err);
}

/* What its last request has left. The lock is held, and let go of meanwhile. */
static void free_retired(es_repository *repository)
{
    es_served *served = repository->retired;
    char name[ES_REPOSITORY_NAME_MAX + 1];
    int64_t version = served->version;
    (void)snprintf(name, sizeof name, "%s", served->name);
    repository->retired = served->next_retired;
    (void)pthread_mutex_unlock(&repository->lock);
    es_served_free(served);
    (void)pthread_mutex_lock(&repository->lock);
    repository->alive--;
    es_repository_row *row = es_repository_row_find(repository, name, version);
    if (row != NULL && row->state == ES_MODEL_UNLOADING)
        es_repository_row_set(row, ES_MODEL_UNAVAILABLE, "unloaded");
}

static void *work(void *context)
{
    es_repository *repository = context;
    es_repository_change *change = NULL;
    (void)pthread_mutex_lock(&repository->lock);
    while (!repository->stopping || repository->alive > 0) {
        if (repository->retired != NULL) {
            free_retired(repository);
        } else if (!repository->stopping && (change = take_change(repository)) != NULL) {
            (void)pthread_mutex_unlock(&repository->lock);
            make_change(repository, change);
            (void)pthread_mutex_lock(&repository->lock);
            (void)pthread_cond_broadcast(&repository->did);
        } else {
            (void)pthread_cond_wait(&repository->work, &repository->lock);
        }
    }
    (void)pthread_mutex_unlock(&repository->lock);
    return NULL;
}

/* ---- changes ---- */

es_status es_repository_submit(es_repository *repository, es_repository_change *change,
                               es_error *err)
{
    (void)pthread_mutex_lock(&repository->lock);
    bool taken = !repository->stopping && repository->change_count < ES_REPOSITORY_CHANGES_MAX;
    if (taken) {
        change->next = NULL;
        if (repository->last != NULL)
            repository->last->next = change;
        else
            repository->first = change;
        repository->last = change;
        repository->change_count++;
        (void)pthread_cond_signal(&repository->work);
    }
    (void)pthread_mutex_unlock(&repository->lock);
    return taken ? ES_OK
                 : es_fail(err, ES_ERR_UNAVAILABLE, "too many loads and unloads are waiting");
}

typedef struct loading {
    es_repository *repository;
    size_t left, failed;
} loading;

static void note_loaded(void *context, es_status status, const es_error *err)
{
    loading *all = context;
    (void)err; /* was logged, and is in the index */
    (void)pthread_mutex_lock(&all->repository->lock);
    all->left--;
    all->failed += status != ES_OK;
    (void)pthread_mutex_unlock(&all->repository->lock);
}

/* Waits until fewer than limit of them are left. */
static void wait_loaded(loading *all, size_t limit)
{
    (void)pthread_mutex_lock(&all->repository->lock);
    while (all->left >= limit)
        (void)pthread_cond_wait(&all->repository->did, &all->repository->lock);
    (void)pthread_mutex_unlock(&all->repository->lock);
}

static es_status load_one(loading *all, const char *name, es_error *err)
{
    es_arena *arena = es_arena_new((size_t)1 << 20);
    es_repository_change *change = arena != NULL ? ES_TAKE_ONE(arena, es_repository_change) : NULL;
    char *copy = change != NULL ? es_arena_text(arena, name) : NULL;
    if (copy == NULL) {
        es_arena_free(arena);
        return es_fail(err, ES_ERR_NOMEM, "no memory to load '%.255s'", name);
    }
    *change =
        (es_repository_change){.arena = arena, .name = copy, .done = note_loaded, .context = all};
    wait_loaded(all, ES_REPOSITORY_CHANGES_MAX / 2);
    (void)pthread_mutex_lock(&all->repository->lock);
    all->left++;
    (void)pthread_mutex_unlock(&all->repository->lock);
    es_status status = es_repository_submit(all->repository, change, err);
    if (status != ES_OK) {
        (void)pthread_mutex_lock(&all->repository->lock);
        all->left--;
        (void)pthread_mutex_unlock(&all->repository->lock);
        es_arena_free(arena);
    }
    return status;
}

es_status es_repository_load_all(es_repository *repository, const char *const *names, size_t count,
                                 size_t *out_failed, es_error *err)
{
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)64 << 20);
    loading all = {.repository = repository};
    es_status status = ES_OK;
    if (arena == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory to load models");
    if (count == 0)
        ES_TRY(es_scan_names(arena, repository->folder, &names, &count, err));
    for (size_t i = 0; i < count && status == ES_OK; i++)
        status = load_one(&all, names[i], err);
    wait_loaded(&all, 1);
    if (out_failed != NULL)
        *out_failed = all.failed;
    return status;
}

/* ---- life ---- */

es_status es_repository_new(es_repository_opts opts, es_repository **out_repository, es_error *err)
{
    sigset_t every;
    sigset_t before;
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new((size_t)64 << 20);
    const char *const *names = NULL;
    size_t count = 0;
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for a repository");
    ES_TRY(es_within(err, es_scan_names(scratch, opts.folder, &names, &count, err), "repository"));
    es_repository *repository = calloc(1, sizeof *repository);
    char *folder = strdup(opts.folder);
    if (repository == NULL || folder == NULL) {
        free(repository);
        free(folder);
        return es_fail(err, ES_ERR_NOMEM, "no memory for a repository");
    }
    repository->opts = opts;
    repository->folder = folder;
    /* Default attributes: these cannot fail on Linux. */
    (void)pthread_mutex_init(&repository->lock, NULL);
    (void)pthread_cond_init(&repository->work, NULL);
    (void)pthread_cond_init(&repository->did, NULL);
    es_repository_rescan(repository);
    (void)sigfillset(&every); /* signals are for the program's own thread */
    (void)pthread_sigmask(SIG_SETMASK, &every, &before);
    repository->thread_runs = pthread_create(&repository->thread, NULL, work, repository) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!repository->thread_runs) {
        es_repository_free(repository);
        return es_fail(err, ES_ERR_NOMEM, "cannot start the repository's thread");
    }
    *out_repository = repository;
    return ES_OK;
}

/* Lets go of every model; they retire when their requests have ended. */
static void unload_all(es_repository *repository)
{
    for (;;) {
        es_served *served = NULL;
        (void)pthread_mutex_lock(&repository->lock);
        for (size_t i = 0; i < repository->row_count && served == NULL; i++) {
            served = repository->rows[i].served;
            repository->rows[i].served = NULL;
        }
        (void)pthread_mutex_unlock(&repository->lock);
        if (served == NULL)
            return;
        es_served_unref(served);
    }
}

void es_repository_free(es_repository *repository)
{
    es_error err = {0};
    es_repository_change *change = NULL;
    if (repository == NULL)
        return;
    (void)es_fail(&err, ES_ERR_CANCELLED, "the node is stopping");
    (void)pthread_mutex_lock(&repository->lock);
    repository->stopping = true;
    (void)pthread_cond_signal(&repository->work);
    (void)pthread_mutex_unlock(&repository->lock);
    unload_all(repository);
    if (repository->thread_runs)
        (void)pthread_join(repository->thread, NULL); /* ours, joinable */
    while ((change = take_change(repository)) != NULL)
        finish(change, ES_ERR_CANCELLED, &err);
    (void)pthread_cond_destroy(&repository->did);
    (void)pthread_cond_destroy(&repository->work);
    (void)pthread_mutex_destroy(&repository->lock);
    free(repository->rows);
    free(repository->folder);
    free(repository);
}
