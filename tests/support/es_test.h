/*
 * es_test: what every test program includes: cmocka, the data folder, statuses that print why.
 */
#ifndef ES_TEST_H
#define ES_TEST_H

#include "base/status.h"

/* cmocka.h wants the others before it. */
/* clang-format off */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>
/* clang-format on */

/* Path of a file or folder of the shared real data, or NULL after saying that it is absent; the
 * test then calls skip(). ESTRAN_DATA overrides the place. The text stays until the next call. */
static inline const char *es_test_data(const char *name)
{
    static char path[4096];
    const char *root = getenv("ESTRAN_DATA");
    if (root != NULL)
        (void)snprintf(path, sizeof path, "%s/%s", root, name);
    else
        (void)snprintf(path, sizeof path, "%s/../shared/data/%s", ES_TEST_SOURCE_DIR, name);
    if (access(path, R_OK) == 0)
        return path;
    print_message("skipped: real data not found at %s (set ESTRAN_DATA)\n", path);
    return NULL;
}

/* Seed of property tests: ES_SEED=n replays one. */
static inline uint64_t es_test_seed(uint64_t fallback)
{
    const char *given = getenv("ES_SEED");
    return given != NULL ? strtoull(given, NULL, 10) : fallback;
}

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        es_status es_test_status_ = (call);                                                        \
        if (es_test_status_ != ES_OK)                                                              \
            fail_msg("%s: %s", #call, es_status_text(es_test_status_));                            \
    } while (0)

/* The call takes `&err`; on failure the text is shown. */
#define assert_ok_err(call, err)                                                                   \
    do {                                                                                           \
        if ((call) != ES_OK)                                                                       \
            fail_msg("%s: %s", #call, es_error_text(&(err)));                                      \
    } while (0)

/* The call fails with status and its text contains words. */
#define assert_fails(call, wanted_status, err, words)                                              \
    do {                                                                                           \
        es_status es_test_status_ = (call);                                                        \
        if (es_test_status_ != (wanted_status))                                                    \
            fail_msg("%s: got '%s' (%s), wanted '%s'", #call, es_status_text(es_test_status_),     \
                     es_error_text(&(err)), es_status_text(wanted_status));                        \
        if (strstr(es_error_text(&(err)), (words)) == NULL)                                        \
            fail_msg("%s: '%s' does not contain '%s'", #call, es_error_text(&(err)), (words));     \
    } while (0)

#endif
