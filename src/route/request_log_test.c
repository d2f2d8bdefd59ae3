/* A disk that is full in the middle of a line: whole lines are kept, the others counted. */
#include "es_test.h"
#include "request_log.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum { LINES = 400, SEEDS = 20 };

static char path[] = ES_TEST_BINARY_DIR "/request-log-XXXXXX";

static void add_lines(es_request_log *log, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        es_request_log_add(log, &(es_request_line){.class_name = "look",
                                                   .model = "add",
                                                   .outcome = "ok",
                                                   .rows = i,
                                                   .total_ns = 1000000});
}

/* Lines, each of which begins and ends as one; fails on any other. */
static uint64_t count_whole(void)
{
    char line[1024];
    uint64_t count = 0;
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    for (; fgets(line, sizeof line, file) != NULL; count++) {
        size_t size = strlen(line);
        if (strncmp(line, "{\"time_s\":", 10) != 0 || strcmp(line + size - 2, "}\n") != 0)
            fail_msg("line %" PRIu64 " is '%s'", count, line);
    }
    (void)fclose(file);
    return count;
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_full_in_the_middle_of_a_line(void **state)
{
    (void)state;
    (void)signal(SIGXFSZ, SIG_IGN);
    for (rlim_t room = 1000; room < 1000 + SEEDS; room++) {
        es_request_log *log = NULL;
        assert_int_equal(truncate(path, 0), 0);
        limit_files(room);
        assert_ok(es_request_log_open(path, &log, NULL));
        add_lines(log, LINES);
        es_request_log_close(log); /* writes what waits */
        limit_files(RLIM_INFINITY);
        uint64_t kept = count_whole();
        assert_true(kept > 0 && kept < LINES);
        assert_ok(es_request_log_open(path, &log, NULL));
        add_lines(log, 3);
        assert_true(es_request_log_dropped(log) == 0);
        es_request_log_close(log);
        assert_true(count_whole() == kept + 3);
    }
}

/* The same log, before and after there is room again. */
static void test_counts_and_recovers(void **state)
{
    es_request_log *log = NULL;
    (void)state;
    assert_int_equal(truncate(path, 0), 0);
    limit_files(500);
    assert_ok(es_request_log_open(path, &log, NULL));
    add_lines(log, LINES);
    while (es_request_log_dropped(log) == 0)
        (void)poll(NULL, 0, 1);
    uint64_t kept = count_whole();
    assert_true(kept + es_request_log_dropped(log) == LINES);
    limit_files(RLIM_INFINITY);
    add_lines(log, 5);
    es_request_log_close(log);
    assert_true(count_whole() == kept + 5);
}

/* What cannot be cut is ended: only the torn line is lost to the reader. */
static void test_a_pipe_that_refuses(void **state)
{
    es_request_log *log = NULL;
    (void)state;
    assert_ok(es_request_log_open("/dev/full", &log, NULL));
    add_lines(log, 2);
    while (es_request_log_dropped(log) == 0)
        (void)poll(NULL, 0, 1);
    assert_true(es_request_log_dropped(log) == 2);
    es_request_log_close(log);
}

static int make(void **state)
{
    (void)state;
    int file = mkstemp(path);
    return file >= 0 ? close(file) : -1;
}

static int unmake(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_full_in_the_middle_of_a_line),
                                       cmocka_unit_test(test_counts_and_recovers),
                                       cmocka_unit_test(test_a_pipe_that_refuses)};
    return cmocka_run_group_tests(tests, make, unmake);
}
