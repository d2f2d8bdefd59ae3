/*
 * shared: what the test programs of runtime begin with.
 */
#ifndef ES_RUNTIME_TESTING_SHARED_H
#define ES_RUNTIME_TESTING_SHARED_H

#include "es_test.h"
#include "runtime/runtime.h"

typedef struct fixture {
    es_runtime *runtime; /* NULL where the library is absent: the tests then skip */
    es_arena *arena;
} fixture;

static inline int fixture_start(void **state)
{
    static fixture only;
    es_error err = {0};
    only.arena = es_arena_new((size_t)4 << 30);
    es_status status = es_runtime_new(es_runtime_opts_default(), &only.runtime, &err);
    if (status != ES_OK)
        print_message("skipped: %s\n", es_error_text(&err));
    *state = &only;
    return only.arena == NULL || (status != ES_OK && status != ES_ERR_UNAVAILABLE);
}

static inline int fixture_stop(void **state)
{
    fixture *only = *state;
    es_runtime_free(only->runtime);
    es_arena_free(only->arena);
    return 0;
}

/* A test calls it first. */
static inline fixture *fixture_get(void **state)
{
    fixture *only = *state;
    if (only->runtime == NULL)
        skip();
    es_arena_reset(only->arena);
    return only;
}

#endif
