/* A process that loads the library, opens a session and runs it leaves no file and opens no socket.
 * Started with the argument `child`, this program is that process. */
#include "base/file.h"
#include "runtime/testing/shared.h"
#include "runtime/testing/tiny_model.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { CHILD_OK = 0, CHILD_NO_LIBRARY = 77 };

/* ---- the child ---- */

static int child_run(void)
{
    es_error err = {0};
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)64 << 20);
    ES_CLEANUP(es_runtime_free_p) es_runtime *runtime = NULL;
    es_status status = es_runtime_new(es_runtime_opts_default(), &runtime, &err);
    if (status == ES_ERR_UNAVAILABLE)
        return CHILD_NO_LIBRARY;
    const void *bytes = NULL;
    size_t size = 0;
    ES_CLEANUP(es_session_unref_p) es_session *session = NULL;
    if (status == ES_OK)
        status = tiny_add(arena, 1, &bytes, &size, &err);
    if (status == ES_OK)
        status =
            es_session_open_bytes(runtime, bytes, size, es_session_opts_default(), &session, &err);
    float in[4] = {1, 1, 1, 1};
    float out[4] = {0};
    es_tensor x = es_tensor_make(ES_DTYPE_F32, (int64_t[]){1, 4}, 2, in);
    es_tensor y = es_tensor_make(ES_DTYPE_F32, (int64_t[]){1, 4}, 2, out);
    for (int run = 0; run < 100 && status == ES_OK; run++)
        status = es_session_run(session, &x, 1, &y, 1, &err);
    if (status != ES_OK)
        (void)fprintf(stderr, "child: %s\n", es_error_text(&err));
    return status == ES_OK && out[0] == 2.0f ? CHILD_OK : 1;
}

/* ---- the parent ---- */

static bool have_strace(void)
{
    return access("/usr/bin/strace", X_OK) == 0;
}

/* Runs this program again as the child, in an empty home and without the variables that would
 * switch telemetry off by themselves; under strace when traced is not NULL. */
static int child_start(const char *home, const char *temporary, const char *traced)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char self[4096];
        ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
        if (size <= 0 || chdir(home) != 0)
            _exit(1);
        self[size] = '\0';
        (void)setenv("HOME", home, 1);
        (void)setenv("TMPDIR", temporary, 1);
        (void)unsetenv("CI");
        (void)setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* it cannot work under strace */
        (void)unsetenv("XDG_CACHE_HOME");
        (void)unsetenv("ORT_DISABLE_TELEMETRY");
        (void)unsetenv("ORT_RUNNING_UNIT_TESTS");
        if (traced == NULL)
            (void)execl(self, self, "child", (char *)NULL);
        else
            (void)execl("/usr/bin/strace", "strace", "-f", "-qq", "-e", "trace=%network", "-o",
                        traced, self, "child", (char *)NULL);
        _exit(1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static size_t entries(const char *folder)
{
    size_t count = 0;
    DIR *listing = opendir(folder);
    assert_non_null(listing);
    for (struct dirent *entry = readdir(listing); entry != NULL; entry = readdir(listing)) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        print_message("unexpected: %s/%s\n", folder, entry->d_name);
        count++;
    }
    assert_int_equal(closedir(listing), 0);
    return count;
}

static void folders_make(char *home, char *temporary, size_t size)
{
    (void)snprintf(home, size, "%s/quiet-home-XXXXXX", ES_TEST_BINARY_DIR);
    (void)snprintf(temporary, size, "%s/quiet-tmp-XXXXXX", ES_TEST_BINARY_DIR);
    assert_non_null(mkdtemp(home));
    assert_non_null(mkdtemp(temporary));
}

static void empty_home_stays_empty(void **state)
{
    (void)state;
    char home[1024];
    char temporary[1024];
    folders_make(home, temporary, sizeof home);
    int result = child_start(home, temporary, NULL);
    size_t left = entries(home) + entries(temporary);
    assert_int_equal(rmdir(home), 0);
    assert_int_equal(rmdir(temporary), 0);
    if (result == CHILD_NO_LIBRARY)
        skip();
    assert_int_equal(result, CHILD_OK);
    assert_int_equal(left, 0);
}

static void no_socket_is_opened(void **state)
{
    (void)state;
    if (!have_strace()) {
        print_message("skipped: no strace\n");
        skip();
    }
    char home[1024];
    char temporary[1024];
    char trace[1100];
    folders_make(home, temporary, sizeof home);
    (void)snprintf(trace, sizeof trace, "%s.trace", home);
    int result = child_start(home, temporary, trace);
    es_arena *arena = es_arena_new((size_t)16 << 20);
    char *lines = NULL;
    size_t size = 0;
    es_error err = {0};
    es_status status = es_file_read(arena, trace, (size_t)8 << 20, &lines, &size, &err);
    (void)unlink(trace);
    assert_int_equal(rmdir(home), 0);
    assert_int_equal(rmdir(temporary), 0);
    if (result == CHILD_NO_LIBRARY || status != ES_OK) { /* strace may not be allowed here */
        es_arena_free(arena);
        skip();
    }
    if (strstr(lines, "ptrace") != NULL || result != CHILD_OK)
        print_message("%s\n", lines);
    assert_int_equal(result, CHILD_OK);
    if (strstr(lines, "socket(") != NULL || strstr(lines, "connect(") != NULL)
        fail_msg("the library opened a socket:\n%s", lines);
    es_arena_free(arena);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "child") == 0)
        return child_run();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_home_stays_empty),
        cmocka_unit_test(no_socket_is_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
