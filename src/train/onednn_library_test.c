/* How oneDNN is loaded: OpenMP's threads must not spin for long. Each case in a process of its own,
 * since a library is loaded once. */
#include "train/testing/nets.h"
#include "train/train.h"

#include <dlfcn.h>
#include <sys/wait.h>

enum { NO_ONEDNN = 77, NO_OPENMP = 78 };

/* Threads of an engine that asked for two. */
static int threads_got(void)
{
    es_error err = {0};
    es_arena *arena = es_arena_new((size_t)64 << 20);
    es_nn *nn = es_train_case_make(arena, &es_train_cases[0], 1);
    es_train_engine *engine = NULL;
    es_train_engine_opts opts = es_train_engine_opts_default();
    opts.backend = ES_TRAIN_ONEDNN;
    opts.thread_count = 2;
    es_status status = es_train_engine_new(nn, opts, &engine, &err);
    int got = status == ES_OK ? (int)es_train_engine_thread_count(engine) : NO_ONEDNN;
    es_train_engine_free(engine);
    es_arena_free(arena);
    return got;
}

static int fresh(void)
{
    (void)unsetenv("OMP_WAIT_POLICY");
    int got = threads_got();
    const char *policy = getenv("OMP_WAIT_POLICY");
    const char *spins = getenv("GOMP_SPINCOUNT");
    return got == NO_ONEDNN || (policy != NULL && strcmp(policy, "passive") == 0 && spins != NULL)
               ? got
               : 0;
}

static int openmp_first(void)
{
    (void)unsetenv("OMP_WAIT_POLICY");
    return dlopen("libgomp.so.1", RTLD_NOW | RTLD_GLOBAL) != NULL ? threads_got() : NO_OPENMP;
}

static int openmp_first_but_passive(void)
{
    (void)setenv("OMP_WAIT_POLICY", "passive", 1);
    return dlopen("libgomp.so.1", RTLD_NOW | RTLD_GLOBAL) != NULL ? threads_got() : NO_OPENMP;
}

static int theirs_stands(void)
{
    (void)setenv("OMP_WAIT_POLICY", "active", 1);
    int got = threads_got();
    bool stands = strcmp(getenv("OMP_WAIT_POLICY"), "active") == 0;
    return stands && getenv("GOMP_SPINCOUNT") == NULL ? got : 0;
}

static void expect(int (*run)(void), int wanted)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(run());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == NO_ONEDNN || WEXITSTATUS(status) == NO_OPENMP) {
        print_message("skipped: oneDNN or OpenMP is not there\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), wanted);
}

static void waits_passively(void **state)
{
    (void)state;
    expect(fresh, 2);
}

/* It has read the environment already: one thread waits for nobody. */
static void one_thread_where_others_spin(void **state)
{
    (void)state;
    expect(openmp_first, 1);
}

static void the_users_wish_stands(void **state)
{
    (void)state;
    expect(openmp_first_but_passive, 2);
    expect(theirs_stands, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(waits_passively),
                                       cmocka_unit_test(one_thread_where_others_spin),
                                       cmocka_unit_test(the_users_wish_stands)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
