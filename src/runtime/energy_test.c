/* Joules of one request on a machine whose counter follows the clock: 10 W asleep, 30 W awake. */
#include "base/file.h"
#include "runtime/internal.h"
#include "runtime/testing/shared.h"
#include "runtime/testing/tiny_model.h"

#include <fcntl.h>
#include <math.h>

#define ZONE "sys/class/powercap/intel-rapl:0"

typedef struct machine {
    es_clock clock; /* first: the clock is the machine */
    char root[128];
    int fd; /* of the counter */
    int64_t time_ns;
    double energy_j, rest_w, awake_w;
} machine;

static void put(const machine *now, const char *path, const char *words)
{
    char whole[512];
    (void)snprintf(whole, sizeof whole, "%s/%s", now->root, path);
    FILE *file = fopen(whole, "we");
    assert_non_null(file);
    assert_true(fprintf(file, "%s\n", words) > 0);
    assert_int_equal(fclose(file), 0);
}

static void pass(machine *now, int64_t until_ns, double power_w)
{
    char words[32];
    now->energy_j += power_w * es_s_from_ns(until_ns - now->time_ns);
    now->time_ns = until_ns;
    int size = snprintf(words, sizeof words, "%020.0f\n", now->energy_j * 1e6);
    assert_int_equal(pwrite(now->fd, words, (size_t)size, 0), size);
}

static int64_t look(es_clock *clock)
{
    machine *now = (machine *)clock;
    pass(now, now->time_ns + ES_NS_PER_MS, now->awake_w);
    return now->time_ns;
}

static void sleep_until(es_clock *clock, int64_t when_ns)
{
    machine *now = (machine *)clock;
    if (when_ns > now->time_ns)
        pass(now, when_ns, now->rest_w);
}

static const es_profile *profile(fixture *all, double rest_w, double awake_w, double budget_s)
{
    es_error err = {0};
    const void *bytes = NULL;
    size_t size = 0;
    char folder[512];
    char *path = es_arena_format(all->arena, "%s/runtime-energy.onnx", ES_TEST_BINARY_DIR);
    assert_ok_err(tiny_layers(all->arena, -1, 16, 1, &bytes, &size, &err), err);
    assert_ok_err(es_file_write(path, bytes, size, &err), err);
    machine now = {.clock = {.now_ns = look, .sleep_until_ns = sleep_until},
                   .energy_j = 1,
                   .rest_w = rest_w,
                   .awake_w = awake_w};
    (void)snprintf(now.root, sizeof now.root, "/tmp/estran-energy-XXXXXX");
    assert_non_null(mkdtemp(now.root));
    (void)snprintf(folder, sizeof folder, "%s/" ZONE, now.root);
    assert_ok_err(es_file_make_folder(folder, &err), err);
    put(&now, ZONE "/name", "package-0");
    put(&now, ZONE "/energy_uj", "0");
    (void)snprintf(folder, sizeof folder, "%s/" ZONE "/energy_uj", now.root);
    now.fd = open(folder, O_WRONLY | O_CLOEXEC);
    assert_true(now.fd >= 0);
    pass(&now, ES_NS_PER_S, rest_w);
    es_meter_opts meter_opts = es_meter_opts_default();
    meter_opts.root = now.root;
    meter_opts.clock = &now.clock;
    meter_opts.nvml_library = "";
    es_profile_opts opts = es_profile_opts_default();
    opts.clock = &now.clock;
    opts.time_budget_s = budget_s;
    opts.batch_max = 1;
    opts.per_cut = false;
    assert_ok_err(es_meter_new(all->arena, meter_opts, &opts.meter, &err), err);
    const es_profile *got = NULL;
    assert_ok_err(es_profile_run(all->arena, all->runtime, path, opts, &got, &err), err);
    (void)remove(path);
    assert_int_equal(close(now.fd), 0);
    static const char *const files[] = {ZONE "/energy_uj", ZONE "/name", ZONE, "sys/class/powercap",
                                        "sys/class",       "sys",        ""};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        (void)snprintf(folder, sizeof folder, "%s/%s", now.root, files[i]);
        assert_int_equal(remove(folder), 0);
    }
    return got;
}

/* A run takes one look at the clock: 1 ms at 20 W more than at rest. */
static void counter_above_rest(void **state)
{
    const es_profile *got = profile(fixture_get(state), 10, 30, 10);
    assert_null(got->energy_note);
    assert_true(got->energy.known && got->energy.runs > 100);
    assert_string_equal(got->energy.source, "rapl");
    assert_string_equal(got->energy.method, "counter");
    assert_true(fabs(got->energy.energy_j - 0.020) < 0.002);
    assert_true(got->energy.low_j < got->energy.energy_j &&
                got->energy.high_j > got->energy.energy_j);
    assert_true(got->energy.rest_w > 9.9 && got->energy.rest_w < 11.5);
    ES_CLEANUP(es_text_done) es_text text;
    es_text_init(&text, 1 << 20);
    es_json json;
    es_json_init(&json, &text, true);
    es_profile_write_json(got, &json);
    assert_non_null(strstr(es_text_get(&text), "\"source\":\"rapl\",\"method\":\"counter\""));
}

/* Nothing on top of rest is not zero joules: it is not known. */
static void nothing_above_rest(void **state)
{
    const es_profile *got = profile(fixture_get(state), 30, 30, 10);
    if (!got->energy.known) {
        assert_non_null(strstr(got->energy_note, "no more was used than at rest"));
        return;
    }
    assert_true(got->energy.energy_j > 0 && got->energy.energy_j < 1e-6); /* rounding of the file */
}

static void short_budget(void **state)
{
    const es_profile *got = profile(fixture_get(state), 10, 30, 1);
    assert_false(got->energy.known);
    assert_string_equal(got->energy_note, "the time budget is too short to measure energy");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counter_above_rest),
        cmocka_unit_test(nothing_above_rest),
        cmocka_unit_test(short_budget),
    };
    return cmocka_run_group_tests_name("runtime.energy", tests, fixture_start, fixture_stop);
}
