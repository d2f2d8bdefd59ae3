/* A load: find, read the configuration, open and warm up every version, then show all at once. */
#include "base/file.h"
#include "base/log.h"
#include "repository_internal.h"

enum { LOAD_ARENA_BYTES = 64 << 20, MODEL_ARENA_BYTES = 64 << 20 };

typedef struct load {
    es_repository *repository;
    const es_repository_change *change;
    es_arena *arena; /* of the load */
    es_scan_model model;
    es_model_config config;
    es_served **served; /* [version_count] */
} load;

/* ---- what is to be loaded ---- */

static es_status config_read(load *now, es_error *err)
{
    char *bytes = NULL;
    size_t size = 0;
    now->config = es_model_config_default();
    if (now->change->config != NULL)
        return es_model_config_parse(now->arena, "config.json", now->change->config,
                                     strlen(now->change->config), &now->config, err);
    if (now->model.config_path == NULL)
        return ES_OK;
    ES_TRY(es_file_read(now->arena, now->model.config_path, ES_MODEL_CONFIG_BYTES_MAX, &bytes,
                        &size, err));
    return es_model_config_parse(now->arena, now->model.config_path, bytes, size, &now->config,
                                 err);
}

/* Files of the request stand in for the folder altogether. */
static es_status find_given(load *now, es_error *err)
{
    const es_repository_change *change = now->change;
    now->model = (es_scan_model){.name = change->name};
    now->model.versions = ES_TAKE_ARRAY(now->arena, es_scan_version, change->file_count);
    if (now->model.versions == NULL)
        return es_arena_full(now->arena, "versions", err);
    for (size_t i = 0; i < change->file_count; i++) {
        size_t at = now->model.version_count++;
        for (; at > 0 && now->model.versions[at - 1].version > change->files[i].version; at--)
            now->model.versions[at] = now->model.versions[at - 1];
        now->model.versions[at] = (es_scan_version){.version = change->files[i].version};
    }
    return ES_OK;
}

static es_status find(load *now, es_error *err)
{
    if (now->change->file_count > 0)
        ES_TRY(find_given(now, err));
    else
        ES_TRY(es_scan_model_find(now->arena, now->repository->folder, now->change->name,
                                  &now->model, err));
    ES_TRY(config_read(now, err));
    for (size_t i = 0; i < now->config.ignored_count; i++)
        es_log(ES_LOG_INFO, "serve", "model '%.255s': '%s' of its configuration is read over",
               now->change->name, now->config.ignored[i]);
    es_scan_choose(&now->config, now->model.versions, &now->model.version_count);
    if (now->model.version_count == 0)
        return es_fail(err, ES_ERR_PARSE,
                       "model '%.255s' has no version that its version_policy wants",
                       now->change->name);
    now->served = ES_TAKE_ARRAY(now->arena, es_served *, now->model.version_count);
    return now->served != NULL ? ES_OK : es_arena_full(now->arena, "versions", err);
}

/* ---- opening ---- */

static void retire(void *context, es_served *served)
{
    es_repository *repository = context;
    (void)pthread_mutex_lock(&repository->lock);
    served->next_retired = repository->retired;
    repository->retired = served;
    (void)pthread_cond_signal(&repository->work);
    (void)pthread_mutex_unlock(&repository->lock);
}

/* The configuration's texts must live as long as the model: it is read once more into its arena. */
static es_status source_fill(load *now, es_arena *arena, size_t index, es_served_source *out,
                             es_error *err)
{
    const es_scan_version *version = &now->model.versions[index];
    const char *file = now->config.default_model_filename;
    load own = *now;
    own.arena = arena;
    ES_TRY(config_read(&own, err));
    es_model_config *config = ES_TAKE_ONE(arena, es_model_config);
    if (config == NULL)
        return es_arena_full(arena, "configuration", err);
    *config = own.config;
    *out = (es_served_source){.name = now->change->name,
                              .version = version->version,
                              .number = ++now->repository->made,
                              .folder = now->model.folder,
                              .config = config};
    for (size_t i = 0; i < now->change->file_count; i++) {
        if (now->change->files[i].version == version->version) {
            out->bytes = now->change->files[i].bytes;
            out->size = now->change->files[i].size;
            return ES_OK;
        }
    }
    out->path = now->model.folder == NULL
                    ? version->path
                    : es_file_join(now->arena, version->path, file != NULL ? file : "model.onnx");
    return out->path != NULL ? ES_OK : es_arena_full(now->arena, "path", err);
}

static es_status open_version(load *now, size_t index, es_error *err)
{
    es_repository *repository = now->repository;
    es_served_source source;
    es_arena *arena = es_arena_new(MODEL_ARENA_BYTES);
    if (arena == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for a model");
    es_status status = source_fill(now, arena, index, &source, err);
    if (status != ES_OK) {
        es_arena_free(arena);
        return status;
    }
    ES_TRY(es_served_new(arena, repository->opts.runtime, &source, &repository->opts.defaults,
                         &now->served[index], err));
    now->served[index]->retire = retire;
    now->served[index]->retire_context = repository;
    (void)pthread_mutex_lock(&repository->lock);
    repository->alive++;
    (void)pthread_mutex_unlock(&repository->lock);
    return ES_OK;
}

/* ---- the table ---- */

/* Rows that serve stay READY while their successors are made. */
static void show_loading(load *now)
{
    es_repository *repository = now->repository;
    (void)pthread_mutex_lock(&repository->lock);
    es_repository_row *unversioned = es_repository_row_find(repository, now->change->name, 0);
    if (unversioned != NULL && unversioned->version == 0)
        es_repository_row_remove(repository, unversioned);
    for (size_t i = 0; i < now->model.version_count; i++) {
        es_repository_row *row =
            es_repository_row_make(repository, now->change->name, now->model.versions[i].version);
        if (row != NULL && row->served == NULL)
            es_repository_row_set(row, ES_MODEL_LOADING, "");
    }
    (void)pthread_mutex_unlock(&repository->lock);
}

/* Nothing was shown: what served goes on, and the rows say why. */
static void show_failure(load *now, const char *name, const es_error *err)
{
    es_repository *repository = now->repository;
    char reason[ES_REPOSITORY_REASON_SIZE];
    bool any = false;
    (void)snprintf(reason, sizeof reason, "load failed: %s", es_error_text(err));
    (void)pthread_mutex_lock(&repository->lock);
    for (size_t i = 0; i < repository->row_count; i++) {
        es_repository_row *row = &repository->rows[i];
        if (strcmp(row->name, name) != 0)
            continue;
        any = true;
        if (row->state == ES_MODEL_LOADING || row->state == ES_MODEL_UNAVAILABLE)
            es_repository_row_set(row, ES_MODEL_UNAVAILABLE, reason);
        else
            es_repository_row_set(row, row->state, reason);
    }
    es_repository_row *row = any ? NULL : es_repository_row_make(repository, name, 0);
    if (row != NULL)
        es_repository_row_set(row, ES_MODEL_UNAVAILABLE, reason);
    (void)pthread_mutex_unlock(&repository->lock);
}

/* Takes one model that is not among the new ones out of the table; NULL when there is none left. */
static es_served *take_old(load *now)
{
    es_repository *repository = now->repository;
    for (size_t i = 0; i < repository->row_count; i++) {
        es_repository_row *row = &repository->rows[i];
        bool stays = false;
        if (strcmp(row->name, now->change->name) != 0 || row->served == NULL)
            continue;
        for (size_t k = 0; k < now->model.version_count; k++)
            stays = stays || row->served == now->served[k];
        if (stays)
            continue;
        es_served *old = row->served;
        row->served = NULL;
        es_repository_row_set(row, ES_MODEL_UNLOADING, "");
        return old;
    }
    return NULL;
}

/* Rows without a version, or of failures, make room for what is there now. */
static void remove_stale(load *now)
{
    es_repository *repository = now->repository;
    for (size_t i = repository->row_count; i-- > 0;) {
        es_repository_row *row = &repository->rows[i];
        if (strcmp(row->name, now->change->name) == 0 && row->state == ES_MODEL_UNAVAILABLE)
            es_repository_row_remove(repository, row);
    }
}

/* One lock: a request finds the old versions or the new ones. Old ones are let go of afterwards. */
static es_status show_ready(load *now, es_error *err)
{
    es_repository *repository = now->repository;
    es_status status = ES_OK;
    es_served *old = NULL;
    (void)pthread_mutex_lock(&repository->lock);
    for (size_t i = 0; i < now->model.version_count; i++)
        if (es_repository_row_make(repository, now->change->name, now->model.versions[i].version) ==
            NULL)
            status = es_fail(err, ES_ERR_LIMIT, "too many models");
    for (size_t i = 0; i < now->model.version_count && status == ES_OK; i++) {
        es_repository_row *row =
            es_repository_row_find(repository, now->change->name, now->model.versions[i].version);
        es_served *fresh = now->served[i];
        now->served[i] = row->served; /* the predecessor, let go of below */
        row->served = fresh;
        es_repository_row_set(row, ES_MODEL_READY, "");
    }
    (void)pthread_mutex_unlock(&repository->lock);
    ES_TRY(status);
    for (size_t i = 0; i < now->model.version_count; i++) {
        old = now->served[i];
        (void)pthread_mutex_lock(&repository->lock);
        now->served[i] =
            es_repository_row_find(repository, now->change->name, now->model.versions[i].version)
                ->served;
        (void)pthread_mutex_unlock(&repository->lock);
        es_served_unref(old);
    }
    do {
        (void)pthread_mutex_lock(&repository->lock);
        old = take_old(now);
        if (old == NULL)
            remove_stale(now);
        (void)pthread_mutex_unlock(&repository->lock);
        es_served_unref(old);
    } while (old != NULL);
    return ES_OK;
}

/* ---- load and unload ---- */

static es_status load_versions(load *now, es_error *err)
{
    es_status status = ES_OK;
    ES_TRY(find(now, err));
    show_loading(now);
    for (size_t i = 0; i < now->model.version_count && status == ES_OK; i++)
        status = es_within(err, open_version(now, i, err), "version %lld",
                           (long long)now->model.versions[i].version);
    if (status == ES_OK)
        status = show_ready(now, err);
    if (status != ES_OK)
        for (size_t i = 0; i < now->model.version_count; i++)
            es_served_unref(now->served[i]);
    return status;
}

es_status es_repository_load(es_repository *repository, const es_repository_change *change,
                             es_error *err)
{
    es_error own = {0};
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(LOAD_ARENA_BYTES);
    load now = {.repository = repository, .change = change, .arena = arena};
    if (arena == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory to load a model");
    es_status status = load_versions(&now, &own);
    if (status == ES_OK)
        return ES_OK;
    /* a name that is nowhere gets no row: anybody could fill the table */
    if (status != ES_ERR_ARG || now.model.version_count > 0)
        show_failure(&now, change->name, &own);
    return es_fail(err, status, "%s", es_error_text(&own));
}

es_status es_repository_unload(es_repository *repository, const char *name, es_error *err)
{
    bool any = false;
    es_served *served = NULL;
    do {
        served = NULL;
        (void)pthread_mutex_lock(&repository->lock);
        for (size_t i = 0; i < repository->row_count && served == NULL; i++) {
            es_repository_row *row = &repository->rows[i];
            if (strcmp(row->name, name) != 0)
                continue;
            any = true;
            served = row->served;
            row->served = NULL;
            if (served != NULL)
                es_repository_row_set(row, ES_MODEL_UNLOADING, "");
        }
        (void)pthread_mutex_unlock(&repository->lock);
        es_served_unref(served);
    } while (served != NULL);
    return any ? ES_OK
               : es_fail(err, ES_ERR_ARG, "there is no model '%.255s' in the repository", name);
}
