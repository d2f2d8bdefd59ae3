#include "base/file.h"
#include "es_test.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <zlib.h>

#define FOLDER ES_TEST_BINARY_DIR "/base_file_test"

enum { CAP = 1 << 20 };

static void remove_files(void)
{
    DIR *folder = opendir(FOLDER);
    if (folder == NULL)
        return;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        char path[4096];
        (void)snprintf(path, sizeof path, "%s/%s", FOLDER, entry->d_name);
        if (entry->d_name[0] != '.' && unlink(path) != 0)
            (void)rmdir(path);
    }
    (void)closedir(folder);
    (void)rmdir(FOLDER);
}

static int begin(void **state)
{
    remove_files();
    *state = es_arena_new(CAP);
    return *state == NULL || es_file_make_folder(FOLDER, NULL) != ES_OK;
}

static int finish(void **state)
{
    es_arena_free(*state);
    remove_files();
    return 0;
}

static size_t file_count(void)
{
    DIR *folder = opendir(FOLDER);
    assert_non_null(folder);
    size_t count = 0;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder))
        count += entry->d_name[0] != '.';
    (void)closedir(folder);
    return count;
}

static void assert_content(es_arena *arena, const char *path, const char *wanted,
                           size_t wanted_size)
{
    es_error err = {0};
    char *bytes = NULL;
    size_t size = 0;
    assert_ok_err(es_file_read(arena, path, CAP, &bytes, &size, &err), err);
    assert_int_equal(size, wanted_size);
    assert_memory_equal(bytes, wanted, size);
    assert_int_equal(bytes[size], '\0');
}

static void what_is_written_is_read(void **state)
{
    es_error err = {0};
    assert_ok_err(es_file_write(FOLDER "/a", "one\0two", 7, &err), err);
    assert_content(*state, FOLDER "/a", "one\0two", 7);
    assert_ok_err(es_file_write(FOLDER "/a", "", 0, &err), err); /* replaces */
    assert_content(*state, FOLDER "/a", "", 0);
    assert_int_equal(file_count(), 1);
    assert_true(es_file_exists(FOLDER "/a"));
    assert_false(es_file_exists(FOLDER "/b"));
}

static void large_files_are_whole(void **state)
{
    es_error err = {0};
    size_t size = 300001; /* not a multiple of any chunk */
    char *bytes = es_arena_take(*state, size, 1);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 7 % 251);
    assert_ok_err(es_file_write(FOLDER "/a", bytes, size, &err), err);
    assert_content(*state, FOLDER "/a", bytes, size);
}

static void the_cap_is_the_largest_size(void **state)
{
    es_error err = {0};
    char *bytes = NULL;
    size_t size = 0;
    assert_ok_err(es_file_write(FOLDER "/a", "12345", 5, &err), err);
    assert_ok_err(es_file_read(*state, FOLDER "/a", 5, &bytes, &size, &err), err);
    bytes = NULL;
    assert_fails(es_file_read(*state, FOLDER "/a", 4, &bytes, &size, &err), ES_ERR_LIMIT, err,
                 "limit of 4 bytes");
    assert_null(bytes);
    es_arena *tiny = es_arena_new(4);
    assert_fails(es_file_read(tiny, FOLDER "/a", 5, &bytes, &size, &err), ES_ERR_NOMEM, err,
                 FOLDER "/a");
    assert_null(bytes);
    es_arena_free(tiny);
}

static void a_missing_file_and_a_folder_say_so(void **state)
{
    es_error err = {0};
    char *bytes = NULL;
    size_t size = 0;
    assert_fails(es_file_read(*state, FOLDER "/none", CAP, &bytes, &size, &err), ES_ERR_IO, err,
                 "No such file");
    assert_fails(es_file_read(*state, FOLDER, CAP, &bytes, &size, &err), ES_ERR_IO, err,
                 "it is a folder");
    assert_fails(es_file_write(FOLDER, "x", 1, &err), ES_ERR_IO, err, "it is a folder");
    assert_fails(es_file_write(FOLDER "/none/a", "x", 1, &err), ES_ERR_IO, err, "No such file");
    assert_int_equal(file_count(), 0);
}

static void write_gz(const char *path, const char *bytes, size_t size)
{
    gzFile file = gzopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, bytes, (unsigned)size), (int)size);
    assert_int_equal(gzclose(file), Z_OK);
}

static void gzip_is_unpacked_where_asked(void **state)
{
    es_error err = {0};
    char *bytes = NULL;
    size_t size = 0;
    write_gz(FOLDER "/a.gz", "hello", 5);
    assert_ok_err(es_file_read_gz(*state, FOLDER "/a.gz", 5, &bytes, &size, &err), err);
    assert_int_equal(size, 5);
    assert_string_equal(bytes, "hello");
    assert_fails(es_file_read(*state, FOLDER "/a.gz", CAP, &bytes, &size, &err), ES_ERR_PARSE, err,
                 "gzip");
    assert_ok_err(es_file_write(FOLDER "/plain", "plain", 5, &err), err);
    assert_ok_err(es_file_read_gz(*state, FOLDER "/plain", 5, &bytes, &size, &err), err);
    assert_string_equal(bytes, "plain");
}

static void a_gzip_bomb_stops_at_the_cap(void **state)
{
    es_error err = {0};
    char *zeros = es_arena_take(*state, 500000, 1);
    char *bytes = NULL;
    size_t size = 0;
    write_gz(FOLDER "/a.gz", zeros, 500000);
    assert_fails(es_file_read_gz(*state, FOLDER "/a.gz", 10000, &bytes, &size, &err), ES_ERR_LIMIT,
                 err, "limit of 10000 bytes");
    assert_null(bytes);
}

static void broken_gzip_is_an_error(void **state)
{
    es_error err = {0};
    char *bytes = NULL;
    char *packed = NULL;
    size_t size = 0;
    size_t packed_size = 0;
    write_gz(FOLDER "/a.gz", "hello hello hello", 17);
    assert_true(rename(FOLDER "/a.gz", FOLDER "/raw") == 0);
    int descriptor = open(FOLDER "/raw", O_RDONLY);
    packed = es_arena_take(*state, 1000, 1);
    packed_size = (size_t)read(descriptor, packed, 1000);
    (void)close(descriptor);
    for (size_t cut = 3; cut < packed_size; cut++) { /* fewer bytes are not gzip at all */
        assert_ok(es_file_write(FOLDER "/cut.gz", packed, cut, &err));
        if (es_file_read_gz(*state, FOLDER "/cut.gz", CAP, &bytes, &size, &err) != ES_ERR_PARSE)
            fail_msg("cut at %zu of %zu bytes: not refused", cut, packed_size);
        assert_non_null(strstr(es_error_text(&err), "cut.gz"));
    }
    packed[packed_size - 6] ^= 1; /* the checksum */
    assert_ok(es_file_write(FOLDER "/sum.gz", packed, packed_size, &err));
    assert_fails(es_file_read_gz(*state, FOLDER "/sum.gz", CAP, &bytes, &size, &err), ES_ERR_PARSE,
                 err, "sum.gz");
}

/* A disk that is full, as far as a test can make one. */
static void a_failed_write_leaves_the_old_file_and_no_other(void **state)
{
    es_error err = {0};
    static char bytes[100000];
    assert_ok_err(es_file_write(FOLDER "/a", "old", 3, &err), err);
    struct rlimit kept;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &kept), 0);
    struct rlimit small = {.rlim_cur = 50000, .rlim_max = kept.rlim_max};
    void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    es_status status = es_file_write(FOLDER "/a", bytes, sizeof bytes, &err);
    es_status fresh = es_file_write(FOLDER "/b", bytes, sizeof bytes, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &kept), 0);
    (void)signal(SIGXFSZ, before);
    assert_int_equal(status, ES_ERR_IO);
    assert_int_equal(fresh, ES_ERR_IO);
    assert_non_null(strstr(es_error_text(&err), "File too large"));
    assert_content(*state, FOLDER "/a", "old", 3);
    assert_int_equal(file_count(), 1);
}

static mode_t mode_of(const char *path)
{
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    return about.st_mode & 0777;
}

static void modes_follow_the_mask_or_the_old_file(void **state)
{
    (void)state;
    mode_t mask = umask(027);
    assert_ok(es_file_write(FOLDER "/a", "x", 1, NULL));
    (void)umask(mask);
    assert_int_equal(mode_of(FOLDER "/a"), 0640);
    assert_int_equal(chmod(FOLDER "/a", 0600), 0);
    assert_ok(es_file_write(FOLDER "/a", "y", 1, NULL));
    assert_int_equal(mode_of(FOLDER "/a"), 0600);
}

/* Replacing the name would turn /dev/null into a file, which a root user would notice late. */
static void devices_pipes_and_links_are_written_in_place(void **state)
{
    es_error err = {0};
    struct stat about;
    assert_ok_err(es_file_write("/dev/null", "x", 1, &err), err);
    assert_int_equal(stat("/dev/null", &about), 0);
    assert_true(S_ISCHR(about.st_mode));

    assert_int_equal(mkfifo(FOLDER "/pipe", 0600), 0);
    int reader = open(FOLDER "/pipe", O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    assert_ok_err(es_file_write(FOLDER "/pipe", "piped", 5, &err), err);
    char got[8] = "";
    assert_int_equal(read(reader, got, sizeof got), 5);
    assert_string_equal(got, "piped");
    (void)close(reader);

    assert_ok_err(es_file_write(FOLDER "/file", "long before", 11, &err), err);
    assert_int_equal(symlink(FOLDER "/file", FOLDER "/link"), 0);
    assert_ok_err(es_file_write(FOLDER "/link", "new", 3, &err), err);
    assert_content(*state, FOLDER "/file", "new", 3);
    assert_int_equal(lstat(FOLDER "/link", &about), 0);
    assert_true(S_ISLNK(about.st_mode));
}

static void a_left_over_temporary_is_no_obstacle(void **state)
{
    char name[4096];
    for (int attempt = 0; attempt < 3; attempt++) {
        (void)snprintf(name, sizeof name, "%s/a.%ld-%d.tmp", FOLDER, (long)getpid(), attempt);
        int descriptor = open(name, O_CREAT | O_WRONLY, 0600);
        assert_true(descriptor >= 0);
        (void)close(descriptor);
    }
    assert_ok(es_file_write(FOLDER "/a", "x", 1, NULL));
    assert_content(*state, FOLDER "/a", "x", 1);
    assert_int_equal(file_count(), 4);
}

static void standard_input_is_a_dash(void **state)
{
    es_error err = {0};
    char *bytes = NULL;
    size_t size = 0;
    assert_ok_err(es_file_write(FOLDER "/a", "from stdin", 10, &err), err);
    write_gz(FOLDER "/a.gz", "packed", 6);
    int kept = dup(STDIN_FILENO);
    int descriptor = open(FOLDER "/a", O_RDONLY);
    assert_true(dup2(descriptor, STDIN_FILENO) >= 0);
    es_status plain = es_file_read(*state, "-", CAP, &bytes, &size, &err);
    (void)close(descriptor);
    descriptor = open(FOLDER "/a.gz", O_RDONLY);
    assert_true(dup2(descriptor, STDIN_FILENO) >= 0);
    char *unpacked = NULL;
    size_t unpacked_size = 0;
    es_status packed = es_file_read_gz(*state, "-", CAP, &unpacked, &unpacked_size, &err);
    (void)close(descriptor);
    if (kept >= 0) {
        assert_true(dup2(kept, STDIN_FILENO) >= 0);
        (void)close(kept);
    }
    assert_ok(plain);
    assert_string_equal(bytes, "from stdin");
    assert_ok(packed);
    assert_string_equal(unpacked, "packed");
}

static void standard_output_is_a_dash(void **state)
{
    (void)fflush(stdout);
    int kept = dup(STDOUT_FILENO);
    int descriptor = open(FOLDER "/out", O_CREAT | O_WRONLY, 0600);
    assert_true(dup2(descriptor, STDOUT_FILENO) >= 0);
    (void)printf("first ");
    es_status status = es_file_write("-", "second", 6, NULL);
    (void)dup2(kept, STDOUT_FILENO);
    (void)close(kept);
    (void)close(descriptor);
    assert_ok(status);
    assert_content(*state, FOLDER "/out", "first second", 12);
}

static void folders_are_made_with_those_above(void **state)
{
    (void)state;
    es_error err = {0};
    assert_ok_err(es_file_make_folder(FOLDER "/x/y//z/", &err), err);
    assert_ok_err(es_file_make_folder(FOLDER "/x/y/z", &err), err);
    assert_true(es_file_exists(FOLDER "/x/y/z"));
    assert_int_equal(rmdir(FOLDER "/x/y/z"), 0);
    assert_int_equal(rmdir(FOLDER "/x/y"), 0);
    assert_ok_err(es_file_write(FOLDER "/file", "x", 1, &err), err);
    assert_fails(es_file_make_folder(FOLDER "/file", &err), ES_ERR_IO, err, "not a folder");
    assert_fails(es_file_make_folder(FOLDER "/file/x", &err), ES_ERR_IO, err, FOLDER "/file/x");
    char path[5000];
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_fails(es_file_make_folder(path, &err), ES_ERR_ARG, err, "longer");
    assert_int_equal(es_file_write(path, "x", 1, &err), ES_ERR_IO);
}

static void paths_join_and_split(void **state)
{
    assert_string_equal(es_file_join(*state, "a", "b"), "a/b");
    assert_string_equal(es_file_join(*state, "a", "/b"), "/b");
    assert_string_equal(es_file_join(*state, "", "b"), "b");
    assert_string_equal(es_file_join(*state, NULL, "b"), "b");
    assert_string_equal(es_file_folder(*state, "a/b.yaml"), "a");
    assert_string_equal(es_file_folder(*state, "a/b/c"), "a/b");
    assert_string_equal(es_file_folder(*state, "b.yaml"), ".");
    assert_string_equal(es_file_folder(*state, "/b.yaml"), "/");
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, begin, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(what_is_written_is_read),
        WITH_FOLDER(large_files_are_whole),
        WITH_FOLDER(the_cap_is_the_largest_size),
        WITH_FOLDER(a_missing_file_and_a_folder_say_so),
        WITH_FOLDER(gzip_is_unpacked_where_asked),
        WITH_FOLDER(a_gzip_bomb_stops_at_the_cap),
        WITH_FOLDER(broken_gzip_is_an_error),
        WITH_FOLDER(a_failed_write_leaves_the_old_file_and_no_other),
        WITH_FOLDER(modes_follow_the_mask_or_the_old_file),
        WITH_FOLDER(devices_pipes_and_links_are_written_in_place),
        WITH_FOLDER(a_left_over_temporary_is_no_obstacle),
        WITH_FOLDER(standard_input_is_a_dash),
        WITH_FOLDER(standard_output_is_a_dash),
        WITH_FOLDER(folders_are_made_with_those_above),
        WITH_FOLDER(paths_join_and_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
