/*
 * repository_internal: the table of what is served (repository.c) and how it changes
 * (repository_load.c).
 */
#ifndef ES_SERVE_REPOSITORY_INTERNAL_H
#define ES_SERVE_REPOSITORY_INTERNAL_H

#include "repository.h"

#include <pthread.h>

enum { ES_REPOSITORY_REASON_SIZE = ES_ERROR_SIZE };

typedef struct es_repository_row {
    char name[ES_REPOSITORY_NAME_MAX + 1];
    int64_t version; /* 0: none is known */
    es_model_state state;
    char reason[ES_REPOSITORY_REASON_SIZE];
    es_served *served; /* of READY */
} es_repository_row;

struct es_repository {
    es_repository_opts opts;
    char *folder;
    pthread_t thread;
    bool thread_runs;
    pthread_mutex_t lock;    /* guards all below */
    pthread_cond_t work;     /* for the thread: a change, a retired model, or the end */
    pthread_cond_t did;      /* for es_repository_load_all: a change was made */
    es_repository_row *rows; /* by name, then version */
    size_t row_count, row_capacity;
    es_repository_change *first, *last;
    size_t change_count; /* waiting */
    es_served *retired;  /* nobody holds them; by next_retired */
    size_t alive;        /* models made and not yet freed */
    uint64_t made;       /* numbers of models; the repository's thread alone */
    bool stopping;
};

/* ---- rows; the lock is held ---- */

/* NULL when there is none. version 0: any of that name. */
es_repository_row *es_repository_row_find(es_repository *repository, const char *name,
                                          int64_t version);
/* Finds or makes; NULL when memory or the limit is reached. Moves other rows. */
es_repository_row *es_repository_row_make(es_repository *repository, const char *name,
                                          int64_t version);
void es_repository_row_remove(es_repository *repository, es_repository_row *row);
void es_repository_row_set(es_repository_row *row, es_model_state state, const char *reason);

/* Rows for models in the folder that have none. Takes the lock itself. */
void es_repository_rescan(es_repository *repository);

/* ---- repository_load.c; on the repository's thread, without the lock ---- */
es_status es_repository_load(es_repository *repository, const es_repository_change *change,
                             es_error *err) ES_MUST_CHECK;
es_status es_repository_unload(es_repository *repository, const char *name,
                               es_error *err) ES_MUST_CHECK;

#endif
