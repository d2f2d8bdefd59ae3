/* A folder that stands for a machine: files of sys and proc written and rewritten by tests. */
#ifndef ES_METER_TESTING_TREE_H
#define ES_METER_TESTING_TREE_H

#include "base/file.h"
#include "es_test.h"
#include "meter/meter.h"

#include <dirent.h>
#include <sys/stat.h>

typedef struct tree {
    char root[64];
    es_arena *arena;
    es_clock_manual time;
    es_meter *meter;
} tree;

/* A file, or a folder with all in it; never below a link. */
static inline void tree_remove(const char *path)
{
    struct stat facts;
    DIR *folder = lstat(path, &facts) == 0 && S_ISDIR(facts.st_mode) ? opendir(path) : NULL;
    struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        char inner[1024];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name) < (int)sizeof inner)
            tree_remove(inner);
    }
    if (folder != NULL)
        (void)closedir(folder);
    (void)remove(path);
}

static inline int tree_up(void **state)
{
    static tree now;
    now = (tree){.arena = es_arena_new((size_t)64 << 20)};
    (void)snprintf(now.root, sizeof now.root, "/tmp/estran-meter-XXXXXX");
    es_clock_manual_init(&now.time, ES_NS_PER_S);
    *state = &now;
    return now.arena != NULL && mkdtemp(now.root) != NULL && chmod(now.root, 0755) == 0 ? 0 : -1;
}

static inline int tree_down(void **state)
{
    tree *now = *state;
    es_arena_free(now->arena);
    tree_remove(now->root);
    return 0;
}

/* Writes in place, so that a file that is open sees it. path is below the root. */
static inline void tree_write(const tree *now, const char *path, const char *words)
{
    char whole[512];
    (void)snprintf(whole, sizeof whole, "%s/%s", now->root, path);
    char *slash = strrchr(whole, '/');
    *slash = '\0';
    assert_ok(es_file_make_folder(whole, NULL));
    *slash = '/';
    FILE *file = fopen(whole, "we");
    assert_non_null(file);
    assert_true(fprintf(file, "%s\n", words) > 0);
    assert_int_equal(fclose(file), 0);
}

static inline void tree_number(const tree *now, const char *path, long long value)
{
    char words[32];
    (void)snprintf(words, sizeof words, "%lld", value);
    tree_write(now, path, words);
}

/* A folder where a file should be: opening works, reading fails. */
static inline void tree_unreadable(const tree *now, const char *path)
{
    char whole[512];
    (void)snprintf(whole, sizeof whole, "%s/%s", now->root, path);
    assert_ok(es_file_make_folder(whole, NULL));
}

static inline es_meter_opts tree_opts(tree *now)
{
    es_meter_opts opts = es_meter_opts_default();
    opts.root = now->root;
    opts.clock = &now->time.clock;
    opts.nvml_library = "";
    return opts;
}

static inline void tree_meter(tree *now, es_meter_opts opts)
{
    es_error err = {0};
    assert_ok_err(es_meter_new(now->arena, opts, &now->meter, &err), err);
}

static inline es_meter_mark tree_read(tree *now, double later_s)
{
    static es_meter_mark mark;
    now->time.time_ns += es_ns_from_s(later_s);
    es_meter_read(now->meter, &mark);
    return mark;
}

/* The index of a channel, or -1. */
static inline int tree_channel(const tree *now, const char *name)
{
    for (size_t i = 0; i < es_meter_channel_count(now->meter); i++)
        if (strcmp(es_meter_channel_at(now->meter, i)->name, name) == 0)
            return (int)i;
    return -1;
}

static inline const es_meter_channel *tree_face(const tree *now, const char *name)
{
    int index = tree_channel(now, name);
    if (index < 0)
        fail_msg("no channel '%s'", name);
    return es_meter_channel_at(now->meter, (size_t)index);
}

static inline es_meter_figure tree_between(const tree *now, const char *name,
                                           const es_meter_mark *from, const es_meter_mark *to)
{
    int index = tree_channel(now, name);
    if (index < 0)
        fail_msg("no channel '%s'", name);
    return es_meter_channel_between(now->meter, (size_t)index, from, to);
}

/* Something was rejected whose name and reason hold these words. */
static inline void tree_rejected(const tree *now, const char *what, const char *why)
{
    for (size_t i = 0; i < es_meter_rejection_count(now->meter); i++) {
        const es_meter_rejection *rejection = es_meter_rejection_at(now->meter, i);
        if (strstr(rejection->what, what) != NULL && strstr(rejection->why, why) != NULL)
            return;
    }
    for (size_t i = 0; i < es_meter_rejection_count(now->meter); i++)
        print_message("%s: %s\n", es_meter_rejection_at(now->meter, i)->what,
                      es_meter_rejection_at(now->meter, i)->why);
    fail_msg("nothing rejected with '%s' and '%s'", what, why);
}

static inline void tree_counted(const tree *now, const char *const *names, size_t count)
{
    size_t counted = 0;
    for (size_t i = 0; i < es_meter_channel_count(now->meter); i++) {
        const es_meter_channel *face = es_meter_channel_at(now->meter, i);
        counted += face->counted;
        assert_true(face->counted == (face->note == NULL));
    }
    for (size_t i = 0; i < count; i++)
        if (!tree_face(now, names[i])->counted)
            fail_msg("'%s' is not counted: %s", names[i], tree_face(now, names[i])->note);
    assert_int_equal(counted, count);
}

#define TREE_COUNTED(now, ...)                                                                     \
    tree_counted((now), (const char *const[]){__VA_ARGS__},                                        \
                 sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))
#define TREE_TEST(name) cmocka_unit_test_setup_teardown(name, tree_up, tree_down)
#define assert_near(a, b, within) assert_true(fabs((a) - (b)) <= (within))

#endif
