/* Room for memory as the system's files tell it, over trees of files as containers see them. */
#include "base/file.h"
#include "es_test.h"
#include "runtime/internal.h"
#include "runtime/testing/shared.h"
#include "runtime/testing/tiny_model.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const char root[] = ES_TEST_BINARY_DIR "/room";

static void put(const char *name, const char *text)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", root, name);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    assert_ok(es_file_make_folder(path, NULL));
    *slash = '/';
    assert_ok(es_file_write(path, text, strlen(text), NULL));
}

static void clear(void)
{
    char command[600];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", root);
    assert_int_equal(system(command), 0);
}

static void of_the_machine(void **state)
{
    (void)state;
    clear();
    assert_true(es_memory_room_bytes(root) == UINT64_MAX);
    put("proc/meminfo", "MemTotal:       2000 kB\nMemAvailable:    1000 kB\n");
    assert_true(es_memory_room_bytes(root) == 1000 * 1024);
}

static void of_groups_of_version_2(void **state)
{
    (void)state;
    clear();
    put("proc/meminfo", "MemAvailable:    1000 kB\n");
    put("proc/self/cgroup", "0::/pod/one\n");
    assert_true(es_memory_room_bytes(root) == 1000 * 1024);
    put("sys/fs/cgroup/pod/one/memory.max", "max\n");
    put("sys/fs/cgroup/pod/one/memory.current", "5000\n");
    assert_true(es_memory_room_bytes(root) == 1000 * 1024);
    put("sys/fs/cgroup/pod/memory.max", "100000\n"); /* the one above counts too */
    put("sys/fs/cgroup/pod/memory.current", "70000\n");
    assert_true(es_memory_room_bytes(root) == 30000);
    put("sys/fs/cgroup/pod/memory.stat", "anon 50000\ninactive_file 15000\nactive_file 5000\n");
    assert_true(es_memory_room_bytes(root) == 45000);
    put("sys/fs/cgroup/pod/one/memory.max", "6000\n");
    assert_true(es_memory_room_bytes(root) == 1000);
    put("sys/fs/cgroup/pod/one/memory.current", "7000\n");
    assert_true(es_memory_room_bytes(root) == 0);
}

static void of_groups_of_version_1(void **state)
{
    (void)state;
    clear();
    put("proc/self/cgroup", "3:cpu,cpuacct:/\n4:memory:/docker/abc\n0::/\n");
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9000\n"); /* the container's, as its root */
    put("sys/fs/cgroup/memory/memory.usage_in_bytes", "4000\n");
    put("sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 500\n");
    assert_true(es_memory_room_bytes(root) == 5500);
    put("proc/self/cgroup", "nothing\n::\n4:memory\n");
    assert_true(es_memory_room_bytes(root) == UINT64_MAX);
}

static void of_this_machine(void **state)
{
    (void)state;
    assert_true(es_memory_room_bytes("") > (uint64_t)1 << 20);
}

/* A child, since limits cannot be raised again by everybody. */
static void a_model_that_does_not_fit_is_refused(void **state)
{
    enum { WIDTH = 2048, LAYERS = 2 };
    fixture *only = fixture_get(state);
    const void *bytes = NULL;
    size_t size = 0;
    es_error err = {0};
    assert_ok(tiny_layers(only->arena, 1, WIDTH, LAYERS, &bytes, &size, NULL)); /* 32 MB */
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        es_session *session = NULL;
        uint64_t pages = 0;
        FILE *file = fopen("/proc/self/statm", "re");
        unsigned long long all = 0;
        if (file == NULL || fscanf(file, "%llu", &all) != 1)
            _exit(2);
        pages = all;
        rlim_t room = pages * (rlim_t)sysconf(_SC_PAGESIZE) + ((rlim_t)40 << 20);
        struct rlimit limit = {.rlim_cur = room, .rlim_max = room};
        if (setrlimit(RLIMIT_AS, &limit) != 0)
            _exit(3);
        es_status status = es_session_open_bytes(only->runtime, bytes, size,
                                                 es_session_opts_default(), &session, &err);
        bool good = status == ES_ERR_NOMEM && strstr(err.text, "MB") != NULL;
        _exit(good ? 0 : 1);
    }
    int status = 0;
    assert_true(waitpid(child, &status, 0) == child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_the_machine), cmocka_unit_test(of_groups_of_version_2),
        cmocka_unit_test(of_groups_of_version_1), cmocka_unit_test(of_this_machine),
        cmocka_unit_test(a_model_that_does_not_fit_is_refused)};
    int failed = cmocka_run_group_tests(tests, fixture_start, fixture_stop);
    clear();
    return failed;
}
