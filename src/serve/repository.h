/*
 * repository, private to serve: the models of a folder, loaded and unloaded while requests go on.
 *
 * Layout: FOLDER/MODEL/VERSION/model.onnx with an optional config.pbtxt, config.json or config.yaml
 * in FOLDER/MODEL; or plain files FOLDER/MODEL.onnx, version 1. A thread of its own loads: the new
 * versions are opened and warmed up, then shown in the place of the old ones, which end when their
 * last request is answered. When anything of a load fails, what was served before is served on, and
 * the index says why.
 */
#ifndef ES_SERVE_REPOSITORY_H
#define ES_SERVE_REPOSITORY_H

#include "served.h"

enum {
    ES_REPOSITORY_MODELS_MAX = 4096,
    ES_REPOSITORY_NAME_MAX = 255,
    ES_REPOSITORY_CHANGES_MAX = 64 /* waiting loads and unloads; more are refused */
};

typedef struct es_repository es_repository;

typedef enum es_model_state {
    ES_MODEL_UNAVAILABLE,
    ES_MODEL_LOADING,
    ES_MODEL_READY,
    ES_MODEL_UNLOADING,
    ES_MODEL_STATE_COUNT
} es_model_state;

extern const char *const es_model_state_names[ES_MODEL_STATE_COUNT]; /* "READY", ... */

typedef struct es_repository_opts {
    es_runtime *runtime;
    const char *folder;
    es_served_defaults defaults;
} es_repository_opts;

/* Looks through the folder and starts the thread; loads nothing. */
es_status es_repository_new(es_repository_opts opts, es_repository **out_repository,
                            es_error *err) ES_MUST_CHECK;
/* Waiting changes are cancelled, all models unloaded; returns when the last one is gone. Nobody
 * may hold one by then. */
void es_repository_free(es_repository *repository);

/* ---- for requests ---- */

typedef enum es_found {
    ES_FOUND,
    ES_FOUND_NO_MODEL,
    ES_FOUND_NO_VERSION,
    ES_FOUND_NOT_READY
} es_found;

/* version NULL or empty: the highest that is ready. *out_served with a reference, when FOUND. */
es_found es_repository_find(es_repository *repository, const char *name, const char *version,
                            es_served **out_served);

/* ---- the index ---- */

typedef struct es_repository_entry {
    const char *name;
    int64_t version; /* 0: none is known */
    es_model_state state;
    const char *reason; /* "" when all is well */
    es_served *served;  /* of READY, with a reference; else NULL */
} es_repository_entry;

/* By name, then version. Lives in arena; es_repository_index_done gives the references back. */
es_status es_repository_index(es_repository *repository, es_arena *arena,
                              es_repository_entry **out_entries, size_t *out_count,
                              es_error *err) ES_MUST_CHECK;
void es_repository_index_done(es_repository_entry *entries, size_t count);

/* ---- changes ---- */

typedef struct es_repository_file {
    int64_t version;
    const void *bytes;
    size_t size;
} es_repository_file;

/* Lives in its arena, which the repository frees after done. */
typedef struct es_repository_change es_repository_change;
struct es_repository_change {
    es_arena *arena;
    bool unload;
    const char *name;
    const char *config;              /* JSON in the place of the folder's file; NULL: none */
    const es_repository_file *files; /* in the place of the folder's; then config is needed */
    size_t file_count;
    /* Called once on the repository's thread. NULL: nobody asks. */
    void (*done)(void *context, es_status status, const es_error *err);
    void *context;
    es_repository_change *next; /* private */
};

/* The change is taken over, unless it fails: ES_ERR_UNAVAILABLE too many wait, or it is ending. */
es_status es_repository_submit(es_repository *repository, es_repository_change *change,
                               es_error *err) ES_MUST_CHECK;

/* Loads names[count], or with count 0 all there are, and waits. How it went is in the index;
 * *out_failed (may be NULL) counts the models that could not be loaded. */
es_status es_repository_load_all(es_repository *repository, const char *const *names, size_t count,
                                 size_t *out_failed, es_error *err) ES_MUST_CHECK;

/* ---- repository_scan.c: what lies in the folder ---- */

typedef struct es_scan_version {
    int64_t version;
    const char *path; /* of its folder, or of the plain file */
} es_scan_version;

typedef struct es_scan_model {
    const char *name;
    const char *folder;        /* of the model; NULL: a plain file */
    const char *config_path;   /* NULL: none */
    es_scan_version *versions; /* ascending */
    size_t version_count;
} es_scan_model;

/* Names of all models, ascending. */
es_status es_scan_names(es_arena *arena, const char *folder, const char *const **out_names,
                        size_t *out_count, es_error *err) ES_MUST_CHECK;

/* One model; ES_ERR_ARG when there is none of that name. Names that leave the folder are none. */
es_status es_scan_model_find(es_arena *arena, const char *folder, const char *name,
                             es_scan_model *out, es_error *err) ES_MUST_CHECK;

/* Keeps the versions that the configuration wants, ascending. */
void es_scan_choose(const es_model_config *config, es_scan_version *versions, size_t *count);

#endif
