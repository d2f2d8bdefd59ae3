/* The controller's state: what it keeps, through kill -9 at any moment, full disks and damage. */
#include "base/rng.h"
#include "base/text.h"
#include "control/state.h"
#include "es_test.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

enum { CLASSES = 3, ITEMS = 11, ROUNDS = 4, CALLS_MAX = 256, DUMP_MAX = 1 << 20 };

static char path[512];

static void remove_file(void)
{
    char name[600];
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    for (int i = 0; i < 4; i++) {
        (void)snprintf(name, sizeof name, "%s%s", path, ends[i]);
        (void)unlink(name);
    }
}

static int fresh(void **state)
{
    (void)state;
    /* memory, where there is such a folder: a kill does not need the disk, and hundreds of syncs
     * take a minute */
    const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : ES_TEST_BINARY_DIR;
    (void)snprintf(path, sizeof path, "%s/estran_state_test_%ld.db", folder, (long)getpid());
    remove_file();
    return 0;
}

static int gone(void **state)
{
    (void)state;
    remove_file();
    return 0;
}

static es_state_opts options(void)
{
    es_state_opts opts = es_state_opts_default();
    opts.path = path;
    opts.scenario = "world";
    opts.policy = "replan";
    opts.seed = 7;
    opts.slot_s = 2;
    opts.class_count = CLASSES;
    opts.item_count = ITEMS;
    opts.layout = es_state_layout(es_state_layout(0, "a"), "b");
    return opts;
}

static es_state *opened(void)
{
    es_state *state = NULL;
    es_error err = {0};
    assert_ok_err(es_state_open(options(), &state, &err), err);
    return state;
}

/* ---- a state as text ---- */

static es_status dump_slot(void *context, const es_state_slot *slot, es_error *err)
{
    es_text *text = context;
    (void)err;
    es_text_format(text, "slot %u at %lld %g:", slot->slot, (long long)slot->unix_ns,
                   slot->decision_s);
    for (int i = 0; i < ITEMS; i++)
        es_text_format(text, " %d%d", slot->usable[i], slot->hosted[i]);
    if (slot->observed)
        es_text_format(text, " came %g %g %g in %g cost %g %g", slot->requests[0],
                       slot->requests[1], slot->requests[2], slot->elapsed_s, slot->cost,
                       slot->regret);
    es_text_append(text, "\n");
    return ES_OK;
}

static void dump(es_state *state, es_text *text)
{
    es_arena *arena = es_arena_new(1 << 20);
    const char *found = NULL;
    uint32_t step = 0;
    uint32_t count = 0;
    int64_t generation = 0;
    es_state_totals totals;
    es_error err = {0};
    es_text_clear(text);
    for (int d = 0; d < ES_STATE_DOCUMENT_COUNT; d++) {
        uint32_t slot = 0;
        assert_ok_err(es_state_get(state, (es_state_document)d, arena, &found, &slot, &err), err);
        es_text_format(text, "%d: %u %s\n", d, slot, found != NULL ? found : "-");
    }
    assert_ok_err(es_state_step_get(state, arena, &step, &count, &found, &err), err);
    es_text_format(text, "step %u of %u %s\n", step, count, count > 0 ? found : "-");
    assert_ok_err(es_state_generation_last(state, &generation, &err), err);
    es_text_format(text, "generation %lld\n", (long long)generation);
    assert_ok_err(es_state_counter_get(state, "gateway", arena, &found, &err), err);
    es_text_format(text, "counter %s\n", found != NULL ? found : "-");
    assert_ok_err(es_state_totals_get(state, &totals, &err), err);
    es_text_format(text, "totals %llu %g %g %g\n", (unsigned long long)totals.slots,
                   totals.requests, totals.cost, totals.regret);
    assert_ok_err(es_state_slots(state, dump_slot, text, &err), err);
    es_arena_free(arena);
}

/* ---- what a controller does, call by call ---- */

typedef struct script {
    es_state *state;
    es_error err;
    es_status status;
    int call;                              /* done so far */
    int kill_at;                           /* before this one */
    int commits;                           /* that have returned */
    void (*committed)(struct script *own); /* may be NULL */
    void *context;
} script;

static bool next_call(script *own)
{
    if (own->call++ == own->kill_at)
        (void)raise(SIGKILL);
    return own->status == ES_OK;
}

static void done_commit(script *own)
{
    if (own->status != ES_OK)
        return;
    own->commits++;
    if (own->committed != NULL)
        own->committed(own);
}

#define CALL(own, what)                                                                            \
    do {                                                                                           \
        if (next_call(own))                                                                        \
            (own)->status = (what);                                                                \
    } while (0)

static es_state_slot slot_of(uint32_t round, bool *flags, double *requests)
{
    for (int i = 0; i < 2 * ITEMS; i++)
        flags[i] = (round * 7 + (uint32_t)i * 5) % 3 == 0;
    for (uint32_t c = 0; c < CLASSES; c++)
        requests[c] = round * 10 + c + 0.5;
    return (es_state_slot){.slot = round,
                           .unix_ns = 1000 + round,
                           .usable = flags,
                           .hosted = flags + ITEMS,
                           .decision_s = 0.25,
                           .requests = requests,
                           .elapsed_s = 2.5,
                           .cost = 3 * round,
                           .regret = 0.5};
}

static void play_round(script *own, uint32_t round)
{
    bool flags[2 * ITEMS];
    double requests[CLASSES];
    char text[64];
    int64_t generation = 0;
    es_state *state = own->state;
    es_error *err = &own->err;
    es_state_slot slot = slot_of(round, flags, requests);
    (void)snprintf(text, sizeof text, "{\"plan\": %u}", round);
    CALL(own, es_state_begin(state, err));
    CALL(own, es_state_decide(state, &slot, err));
    CALL(own, es_state_put(state, ES_STATE_TARGET, round, text, err));
    CALL(own, es_state_step(state, 0, 3, "load, route, unload", err));
    CALL(own, es_state_commit(state, err));
    done_commit(own);
    for (uint32_t k = 1; k < 3; k++) {
        CALL(own, es_state_begin(state, err));
        CALL(own, es_state_generation(state, 0, &generation, err));
        CALL(own, es_state_put(state, ES_STATE_ROUTES, round, text, err));
        CALL(own, es_state_step(state, k, 3, "load, route, unload", err));
        CALL(own, es_state_commit(state, err));
        done_commit(own);
    }
    CALL(own, es_state_begin(state, err));
    CALL(own, es_state_put(state, ES_STATE_PLAN, round, text, err));
    CALL(own, es_state_put(state, ES_STATE_TARGET, round, NULL, err));
    CALL(own, es_state_commit(state, err));
    done_commit(own);
    CALL(own, es_state_begin(state, err));
    CALL(own, es_state_observe(state, &slot, err));
    CALL(own, es_state_counter_put(state, "gateway", text, err));
    CALL(own, es_state_commit(state, err));
    done_commit(own);
    if (round % 2 == 1) {
        CALL(own, es_state_forget(state, round, err));
        done_commit(own);
    }
}

static void play(script *own)
{
    for (uint32_t round = 0; round < ROUNDS && own->status == ES_OK; round++)
        play_round(own, round);
}

/* What the state is after each commit of an undisturbed run. */
typedef struct history {
    char *dumps[CALLS_MAX];
    int count;
    es_text text;
} history;

static void note(script *own)
{
    history *all = own->context;
    dump(own->state, &all->text);
    all->dumps[all->count] = strdup(es_text_get(&all->text));
    assert_non_null(all->dumps[all->count++]);
}

/* The number of calls. */
static int history_make(history *all)
{
    *all = (history){0};
    es_text_init(&all->text, DUMP_MAX);
    script own = {.state = opened(), .kill_at = -1, .committed = note, .context = all};
    note(&own); /* of an empty state */
    play(&own);
    assert_ok_err(own.status, own.err);
    es_state_close(own.state);
    remove_file();
    return own.call;
}

static void history_done(history *all)
{
    for (int i = 0; i < all->count; i++)
        free(all->dumps[i]);
    es_text_done(&all->text);
}

/* Which commit a reopened file is at; -1: none of them. */
static int find_now(history *all)
{
    es_state *state = opened();
    dump(state, &all->text);
    es_state_close(state);
    for (int i = 0; i < all->count; i++)
        if (strcmp(all->dumps[i], es_text_get(&all->text)) == 0)
            return i;
    return -1;
}

static void it_keeps_what_it_is_told(void **state)
{
    (void)state;
    history all;
    (void)history_make(&all);
    script own = {.state = opened(), .kill_at = -1};
    play(&own);
    assert_ok_err(own.status, own.err);
    es_state_close(own.state);
    assert_int_equal(find_now(&all), all.count - 1);
    assert_non_null(strstr(all.dumps[all.count - 1], "came 30.5 31.5 32.5 in 2.5 cost 9 0.5"));
    assert_non_null(strstr(all.dumps[all.count - 1], "generation 8"));
    assert_non_null(strstr(all.dumps[all.count - 1], "totals 4 "));
    history_done(&all);
}

static int wait_for(pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    return status;
}

static void tell(script *own)
{
    const int *fd = own->context;
    if (write(*fd, "c", 1) != 1)
        _exit(8);
}

/* Plays the script in a child that kills itself before call kill_at, or that is killed after
 * sleep_ns; the commits it told of. */
static int play_and_die(int kill_at, long sleep_ns)
{
    int pipes[2];
    char told[CALLS_MAX];
    int count = 0;
    remove_file();
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        script own = {.kill_at = kill_at, .committed = tell, .context = &pipes[1]};
        if (es_state_open(options(), &own.state, &own.err) != ES_OK)
            _exit(9);
        tell(&own);
        play(&own);
        _exit(own.status == ES_OK ? 0 : 7);
    }
    (void)close(pipes[1]);
    if (sleep_ns > 0) {
        struct timespec pause = {.tv_nsec = sleep_ns};
        (void)nanosleep(&pause, NULL);
        (void)kill(child, SIGKILL);
    }
    for (ssize_t got; (got = read(pipes[0], told, sizeof told)) > 0;)
        count += (int)got;
    (void)close(pipes[0]);
    int status = wait_for(child);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    return count;
}

/* Killed before every call, inside transactions and between them: what was committed is there, and
 * nothing else. */
static void killed_before_every_call(void **state)
{
    (void)state;
    history all;
    int calls = history_make(&all);
    assert_true(calls > 80 && calls < CALLS_MAX);
    for (int n = 0; n < calls; n++) {
        int told = play_and_die(n, 0);
        assert_int_equal(find_now(&all), told - 1);
    }
    history_done(&all);
}

/* Killed at any time, in the middle of a write too. */
static void killed_at_any_time(void **state)
{
    (void)state;
    history all;
    es_rng rng = es_rng_make(es_test_seed(1), 0);
    (void)history_make(&all);
    for (int n = 0; n < 30; n++) {
        int told = play_and_die(-1, 1 + (long)es_rng_below(&rng, 60000000));
        int now = find_now(&all);
        assert_true(told == 0 || now == told - 1 || now == told);
    }
    history_done(&all);
}

/* ---- full ---- */

/* A limit on the size of files, met after so many bytes: the call fails, the file is as before. */
static void a_full_disk(void **state)
{
    (void)state;
    history all;
    int failed = 0;
    (void)history_make(&all);
    for (rlim_t bytes = 8 << 10; bytes < 256 << 10; bytes += 12 << 10) {
        remove_file();
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            script own = {.kill_at = -1};
            struct rlimit limit = {.rlim_cur = bytes, .rlim_max = bytes};
            (void)signal(SIGXFSZ, SIG_IGN);
            (void)setrlimit(RLIMIT_FSIZE, &limit);
            own.status = es_state_open(options(), &own.state, &own.err);
            play(&own);
            bool clean = own.status == ES_OK ||
                         (own.status == ES_ERR_IO && strstr(own.err.text, "state '") != NULL);
            _exit(!clean ? 9 : own.status == ES_OK ? 0 : 1);
        }
        int status = wait_for(child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
        failed += WEXITSTATUS(status);
        assert_true(find_now(&all) >= 0);
    }
    assert_true(failed > 3);
    history_done(&all);
}

/* Larger than it may be: told as such; forgetting makes room again. */
static void a_limit_on_its_size(void **state)
{
    (void)state;
    es_state_opts opts = options();
    es_state *own = NULL;
    es_error err = {0};
    es_status status = ES_OK;
    uint32_t round = 0;
    bool flags[2 * ITEMS];
    double requests[CLASSES];
    opts.size_bytes_max = 256 << 10;
    assert_ok_err(es_state_open(opts, &own, &err), err);
    while (status == ES_OK && round < 100000) {
        status = es_state_begin(own, &err);
        for (uint32_t end = round + 256; status == ES_OK && round < end; round++) {
            es_state_slot slot = slot_of(round, flags, requests);
            status = es_state_decide(own, &slot, &err);
        }
        if (status == ES_OK)
            status = es_state_commit(own, &err);
    }
    assert_int_equal(status, ES_ERR_IO);
    assert_non_null(strstr(es_error_text(&err), "no room left"));
    round -= round % 256;
    assert_ok_err(es_state_forget(own, round - 100, &err), err);
    es_state_slot slot = slot_of(round, flags, requests);
    assert_ok_err(es_state_decide(own, &slot, &err), err);
    es_state_close(own);
}

/* Slots come and go for ever, the file stays, the totals count all. */
static void it_stays_small(void **state)
{
    (void)state;
    es_state *own = opened();
    es_error err = {0};
    es_state_totals totals;
    struct stat info;
    off_t half = 0;
    bool flags[2 * ITEMS];
    double requests[CLASSES];
    for (uint32_t round = 0; round < 64 * 64; round++) {
        es_state_slot slot = slot_of(round, flags, requests);
        if (round % 64 == 0)
            assert_ok_err(es_state_begin(own, &err), err);
        assert_ok_err(es_state_decide(own, &slot, &err), err);
        assert_ok_err(es_state_observe(own, &slot, &err), err);
        if (round % 64 != 63)
            continue;
        assert_ok_err(es_state_forget(own, round - 63, &err), err);
        assert_ok_err(es_state_commit(own, &err), err);
        if (round == 32 * 64 - 1) {
            assert_int_equal(stat(path, &info), 0);
            half = info.st_size;
        }
    }
    assert_int_equal(stat(path, &info), 0);
    assert_true(info.st_size <= half + (64 << 10));
    assert_ok_err(es_state_totals_get(own, &totals, &err), err);
    assert_int_equal(totals.slots, 64 * 64);
    assert_true(fabs(totals.regret - 32 * 64) < 1e-6);
    es_state_close(own);
}

/* ---- files that are not what they should be ---- */

static void refused(es_state_opts opts, es_status wanted, const char *words)
{
    es_state *own = NULL;
    es_error err = {0};
    assert_fails(es_state_open(opts, &own, &err), wanted, err, words);
    assert_null(own);
}

static void write_file(const char *bytes, size_t size)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void run_sql(const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void not_ours(void **state)
{
    (void)state;
    es_state_opts opts = options();
    static const char text[] = "this is no database, and long enough for a header: "
                               "0123456789012345678901234567890123456789012345678901234567890123";
    write_file(text, sizeof text);
    refused(opts, ES_ERR_PARSE, "is damaged or not a controller's state");
    remove_file();
    run_sql("CREATE TABLE t(a); PRAGMA application_id=5");
    refused(opts, ES_ERR_PARSE, "is a database of another program");
    run_sql("DROP TABLE t"); /* still in its own journal mode, and writable */
    remove_file();
    es_state_close(opened());
    run_sql("PRAGMA user_version=2");
    refused(opts, ES_ERR_UNSUPPORTED, "has version 2, this program reads up to 1");
    run_sql("PRAGMA user_version=1; DROP TABLE counter");
    es_state *own = NULL;
    es_error err = {0};
    assert_ok_err(es_state_open(opts, &own, &err), err);
    assert_fails(es_state_counter_put(own, "gateway", "", &err), ES_ERR_IO, err, "no such table");
    es_state_close(own);
    opts.path = ES_TEST_BINARY_DIR "/no/such/folder/state.db";
    refused(opts, ES_ERR_IO, "unable to open");
}

static void another_owner(void **state)
{
    (void)state;
    es_state_close(opened());
    es_state_opts opts = options();
    opts.scenario = "other";
    refused(opts, ES_ERR_ARG, "belongs to scenario 'world', not to 'other'");
    opts = options();
    opts.policy = "infida";
    refused(opts, ES_ERR_ARG, "belongs to policy 'replan', not to 'infida'");
    opts = options();
    opts.layout++;
    refused(opts, ES_ERR_ARG, "a scenario with");
    es_state_close(opened());
}

static void one_at_a_time(void **state)
{
    (void)state;
    es_state *own = opened();
    refused(options(), ES_ERR_UNAVAILABLE, "in use by another controller");
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        es_state *other = NULL;
        es_error err = {0};
        _exit(es_state_open(options(), &other, &err) == ES_ERR_UNAVAILABLE ? 0 : 1);
    }
    assert_int_equal(wait_for(child), 0);
    es_state_close(own);
    es_state_close(opened());
}

/* Bytes turned over, ends cut off: an error or a state, never a crash. */
static void damage(void **state)
{
    (void)state;
    script own = {.state = opened(), .kill_at = -1};
    es_rng rng = es_rng_make(es_test_seed(1), 1);
    static char bytes[1 << 20];
    char copy[600];
    int refusals = 0;
    play(&own);
    es_state_close(own.state);
    (void)snprintf(copy, sizeof copy, "%s", path);
    FILE *file = fopen(copy, "r");
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    (void)fclose(file);
    assert_true(size > 8192 && size < sizeof bytes);
    for (int n = 0; n < 200; n++) {
        static char spoiled[1 << 20];
        es_error err = {0};
        es_state *state_ = NULL;
        memcpy(spoiled, bytes, size);
        size_t kept = n % 5 == 0 ? es_rng_below(&rng, size) : size;
        for (int k = 0; k < 8; k++)
            spoiled[es_rng_below(&rng, size)] = (char)es_rng_below(&rng, 256);
        remove_file();
        write_file(spoiled, kept);
        es_status status = es_state_open(options(), &state_, &err);
        refusals += status != ES_OK;
        assert_true(status == ES_OK || strstr(err.text, "state '") != NULL);
        es_state_totals totals;
        if (status == ES_OK && es_state_totals_get(state_, &totals, &err) != ES_OK)
            assert_non_null(strstr(err.text, "state '")); /* this may find it, too */
        es_state_close(state_);
    }
    assert_true(refusals > 20);
}

/* A copy may be worked on; the file stays as it is. */
static void a_copy(void **state)
{
    (void)state;
    history all;
    es_state_opts opts = options();
    es_state *own = NULL;
    es_error err = {0};
    (void)history_make(&all);
    opts.copy = true;
    assert_ok_err(es_state_open(opts, &own, &err), err); /* of nothing */
    es_state_close(own);
    assert_int_equal(access(path, F_OK), -1);
    script first = {.state = opened(), .kill_at = -1};
    play(&first);
    refused(opts, ES_ERR_UNAVAILABLE, "in use by another controller");
    es_state_close(first.state);
    assert_ok_err(es_state_open(opts, &own, &err), err);
    dump(own, &all.text);
    assert_string_equal(es_text_get(&all.text), all.dumps[all.count - 1]);
    assert_ok_err(es_state_put(own, ES_STATE_PLAN, 1, "other", &err), err);
    es_state_close(own);
    assert_int_equal(find_now(&all), all.count - 1);
    history_done(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_keeps_what_it_is_told, fresh, gone),
        cmocka_unit_test_setup_teardown(killed_before_every_call, fresh, gone),
        cmocka_unit_test_setup_teardown(killed_at_any_time, fresh, gone),
        cmocka_unit_test_setup_teardown(a_full_disk, fresh, gone),
        cmocka_unit_test_setup_teardown(a_limit_on_its_size, fresh, gone),
        cmocka_unit_test_setup_teardown(it_stays_small, fresh, gone),
        cmocka_unit_test_setup_teardown(not_ours, fresh, gone),
        cmocka_unit_test_setup_teardown(another_owner, fresh, gone),
        cmocka_unit_test_setup_teardown(one_at_a_time, fresh, gone),
        cmocka_unit_test_setup_teardown(damage, fresh, gone),
        cmocka_unit_test_setup_teardown(a_copy, fresh, gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
