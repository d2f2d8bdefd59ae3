/* What reading costs: a machine of two sockets on a folder of /tmp, and this machine as it is. */
#include "base/file.h"
#include "es_bench.h"
#include "meter/meter.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READS = 2000, ROUNDS = 11, SAMPLES = 30 };

typedef struct job {
    es_meter *meter;
} job;

static bool put(const char *root, const char *path, const char *words)
{
    char whole[512];
    (void)snprintf(whole, sizeof whole, "%s/%s", root, path);
    char *slash = strrchr(whole, '/');
    *slash = '\0';
    if (es_file_make_folder(whole, NULL) != ES_OK)
        return false;
    *slash = '/';
    FILE *file = fopen(whole, "we");
    return file != NULL && fputs(words, file) >= 0 && fclose(file) == 0;
}

/* Two packages with core, uncore and memory, the platform, and a board of three rails. */
static bool make_machine(const char *root)
{
    static const char *const zones[] = {"0", "0:0", "0:1", "0:2", "1", "1:0", "1:1", "1:2", "2"};
    static const char *const names[] = {"package-0", "core",   "uncore", "dram", "package-1",
                                        "core",      "uncore", "dram",   "psys"};
    char path[256];
    bool good = put(root, "proc/stat", "cpu  1 2 3 4 5 6 7 8\ncpu0 1 2 3 4\n");
    for (size_t i = 0; i < sizeof zones / sizeof zones[0]; i++) {
        (void)snprintf(path, sizeof path, "sys/class/powercap/intel-rapl:%s/name", zones[i]);
        good = put(root, path, names[i]) && good;
        (void)snprintf(path, sizeof path, "sys/class/powercap/intel-rapl:%s/energy_uj", zones[i]);
        good = put(root, path, "123456789012") && good;
    }
    return good;
}

static bool read_often(void *context)
{
    const job *now = context;
    es_meter_mark mark;
    for (int i = 0; i < READS; i++)
        es_meter_read(now->meter, &mark);
    return true;
}

static double cpu_s(void)
{
    struct rusage use;
    if (getrusage(RUSAGE_SELF, &use) != 0)
        return 0;
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6;
}

/* Processor time over wall time at ten samples per second, in per cent. */
static double sampling_percent(es_meter *meter)
{
    es_clock *clock = es_clock_system();
    int64_t start_ns = es_clock_now_ns(clock);
    double start_s = cpu_s();
    for (int i = 1; i <= SAMPLES; i++) {
        es_meter_mark mark;
        es_clock_sleep_until_ns(clock, start_ns + i * 100 * ES_NS_PER_MS);
        es_meter_read(meter, &mark);
    }
    return 100 * (cpu_s() - start_s) / es_s_from_ns(es_clock_now_ns(clock) - start_ns);
}

static void remove_all(const char *root)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf -- '%s'", root);
    (void)system(command); /* a folder that stays in /tmp harms nobody */
}

int main(void)
{
    char root[] = "/tmp/estran-bench-XXXXXX";
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)64 << 20);
    if (arena == NULL || mkdtemp(root) == NULL || !make_machine(root))
        return 1;
    es_meter_opts opts = es_meter_opts_default();
    job machine = {.meter = NULL};
    job here = {.meter = NULL};
    es_error err = {0};
    es_status status = es_meter_new(arena, opts, &here.meter, &err);
    opts.root = root;
    opts.nvml_library = "";
    if (status == ES_OK)
        status = es_meter_new(arena, opts, &machine.meter, &err);
    if (status != ES_OK) {
        (void)fprintf(stderr, "%s\n", es_error_text(&err));
        return 1;
    }
    es_bench_job jobs[] = {{.what = "nine domains", .run = read_often, .context = &machine},
                           {.what = "here", .run = read_often, .context = &here}};
    if (!es_bench_time(jobs, 2, ROUNDS))
        return 1;
    double machine_percent = sampling_percent(machine.meter);
    double here_percent = sampling_percent(here.meter);
    remove_all(root);
    es_bench bench = {.count = 0};
    es_bench_add(&bench, "read nine RAPL domains (files in /tmp)", jobs[0].median_s / READS * 1e6,
                 "us", "lower", 20);
    es_bench_add(&bench, "read this machine", jobs[1].median_s / READS * 1e6, "us", "lower", 20);
    es_bench_add(&bench, "processor at 10 Hz, nine domains", machine_percent, "%", "lower", 0.1);
    es_bench_add(&bench, "processor at 10 Hz, this machine", here_percent, "%", "lower", 0.1);
    return es_bench_print(&bench);
}
