/* estran meter: watts and joules of this node, with their source. */
#include "meter/meter.h"

#include "cli/cli.h"

#include <math.h>

enum { PROCESSES_MAX = 64, SCRATCH_MB = 16 };
static const double poll_s = 0.1; /* power has to be integrated; and Ctrl-C is to be heard */

typedef struct options {
    double interval;
    double duration;
    bool explain;
    const char *root;
    double idle_w, busy_w, uncertainty;
    size_t curve;
    bool model_only;
    double calibration;
    bool dram;
    es_cli_texts processes;
    size_t idle;
    const char *nvml;
} options;

static const char *const curves[] = {"linear", "log", "dvfs"};
static const char *const idles[] = {"none", "equal", "use"};

static const es_option rows[] = {
    {.name = "interval",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, interval),
     .value = "SECONDS",
     .fallback = "1",
     .min = 0.1,
     .max = 86400,
     .help = "between two figures"},
    {.name = "duration",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, duration),
     .value = "SECONDS",
     .fallback = "0",
     .min = 0,
     .max = 1e7,
     .help = "stop after this; 0: at Ctrl-C"},
    {.name = "explain",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, explain),
     .help = "tell what can be read, what was rejected and why, and end"},
    {.name = "process",
     .type = ES_OPTION_TEXTS,
     .offset = offsetof(options, processes),
     .value = "PID",
     .help = "show this process's share too; may be repeated"},
    {.name = "idle",
     .type = ES_OPTION_WORD,
     .offset = offsetof(options, idle),
     .value = "WORD",
     .fallback = "none",
     .words = idles,
     .word_count = sizeof idles / sizeof idles[0],
     .help = "who bears what is used at rest: nobody, the processes alike, or all by use"},
    {.name = "dram",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, dram),
     .help = "add RAPL's memory domain (some processors count it in the package)"},
    {.name = "calibration",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, calibration),
     .value = "RATIO",
     .fallback = "1",
     .min = 1e-3,
     .max = 1e3,
     .help = "multiply the total, as a meter at the socket would have it"},
    {.name = "idle-w",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, idle_w),
     .value = "WATTS",
     .fallback = "0",
     .min = 0,
     .max = 1e6,
     .help = "declared power at rest, for machines without counters"},
    {.name = "busy-w",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, busy_w),
     .value = "WATTS",
     .fallback = "0",
     .min = 0,
     .max = 1e6,
     .help = "declared power at full use"},
    {.name = "curve",
     .type = ES_OPTION_WORD,
     .offset = offsetof(options, curve),
     .value = "WORD",
     .fallback = "linear",
     .words = curves,
     .word_count = sizeof curves / sizeof curves[0],
     .help = "of the declared power over utilisation"},
    {.name = "uncertainty",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, uncertainty),
     .value = "RATIO",
     .fallback = "0.2",
     .min = 0,
     .max = 1,
     .help = "of the declared power"},
    {.name = "model-only",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, model_only),
     .help = "look at no counter"},
    {.name = "root",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, root),
     .value = "FOLDER",
     .help = "where sys and proc are: the host's, mounted into a container"},
    {.name = "nvml",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, nvml),
     .value = "FILE",
     .help = "NVIDIA's library; else libnvidia-ml.so.1"},
};

typedef struct process {
    int64_t pid;
    double cpu_s;
    bool gone;
    double energy_j; /* so far */
} process;

typedef struct watch {
    es_cli *cli;
    es_arena *scratch; /* of one picture */
    const options *chosen;
    es_meter *meter;
    es_meter_mark start, before, now;
    process *processes;
    size_t process_count;
    double node_busy_s, node_all_s;
    bool node_known;
    es_meter_share *shares; /* of the last interval */
    es_meter_share residue;
    double residue_j; /* so far */
    size_t lines;     /* on the screen, to be drawn over */
} watch;

/* ---- shares of processes ---- */

static es_status parse_processes(watch *now, es_error *err)
{
    const es_cli_texts *given = &now->chosen->processes;
    const char *root = now->chosen->root != NULL ? now->chosen->root : "";
    if (given->count > PROCESSES_MAX)
        return es_fail(err, ES_ERR_ARG, "--process: %zu given, at most %d", given->count,
                       PROCESSES_MAX);
    now->processes = ES_TAKE_ARRAY(now->cli->arena, process, given->count);
    now->shares = ES_TAKE_ARRAY(now->cli->arena, es_meter_share, given->count);
    if (now->processes == NULL || now->shares == NULL)
        return es_arena_full(now->cli->arena, "processes", err);
    now->process_count = given->count;
    for (size_t i = 0; i < given->count; i++) {
        process *one = &now->processes[i];
        if (!es_text_to_int64(given->items[i], &one->pid) || one->pid <= 0)
            return es_fail(err, ES_ERR_ARG, "--process: '%s' must be a whole number > 0",
                           given->items[i]);
        ES_TRY(es_within(err, es_meter_cpu_process(root, one->pid, &one->cpu_s, err),
                         "--process %s", given->items[i]));
    }
    now->node_known = es_meter_cpu_node(root, &now->node_busy_s, &now->node_all_s, err) == ES_OK;
    if (given->count > 0 && !now->node_known)
        return es_within(err, ES_ERR_UNAVAILABLE, "--process");
    return ES_OK;
}

/* Splits what was used since the last time. */
static es_status share_out(watch *now, const es_meter_figure *figure, es_error *err)
{
    const char *root = now->chosen->root != NULL ? now->chosen->root : "";
    double busy_s = now->node_busy_s;
    double all_s = now->node_all_s;
    ES_TRY(es_meter_cpu_node(root, &busy_s, &all_s, err));
    for (size_t i = 0; i < now->process_count; i++) {
        process *one = &now->processes[i];
        double cpu_s = one->cpu_s;
        one->gone = es_meter_cpu_process(root, one->pid, &cpu_s, NULL) != ES_OK;
        now->shares[i] = (es_meter_share){.busy_s = fmax(0, cpu_s - one->cpu_s)};
        one->cpu_s = cpu_s;
    }
    double worked_s = fmax(0, busy_s - now->node_busy_s);
    double passed_s = all_s - now->node_all_s;
    now->node_busy_s = busy_s;
    now->node_all_s = all_s;
    if (!figure->known)
        return ES_OK;
    double utilisation = passed_s > 0 ? worked_s / passed_s : 0;
    double idle_j = es_meter_idle_j(figure->energy_j, figure->covered_s, utilisation,
                                    es_meter_idle_w(now->meter));
    ES_TRY(es_meter_split(figure->energy_j, idle_j, worked_s, (es_meter_idle)now->chosen->idle,
                          now->shares, now->process_count, &now->residue, err));
    for (size_t i = 0; i < now->process_count; i++)
        now->processes[i].energy_j += now->shares[i].active_j + now->shares[i].idle_j;
    now->residue_j += now->residue.active_j + now->residue.idle_j;
    return ES_OK;
}

/* ---- JSON lines ---- */

static void put_channel(es_json *json, const es_meter_channel *face)
{
    es_json_map_begin(json);
    es_json_put_text(json, "name", face->name);
    es_json_put_text(json, "source", es_meter_source_name(face->source));
    es_json_put_text(json, "method", es_meter_method_name(face->method));
    es_json_put_text(json, "part", es_meter_part_name(face->part));
    es_json_put_text(json, "path", face->path);
    es_json_put_bool(json, "counted", face->counted);
    es_json_put_text(json, "note", face->note);
    es_json_put_number(json, "power_w_max", face->power_w_max);
    es_json_map_end(json);
}

static void put_rejections(const es_meter *meter, es_json *json)
{
    es_json_key(json, "rejected");
    es_json_list_begin(json);
    for (size_t i = 0; i < es_meter_rejection_count(meter); i++) {
        const es_meter_rejection *rejection = es_meter_rejection_at(meter, i);
        es_json_map_begin(json);
        es_json_put_text(json, "source", es_meter_source_name(rejection->source));
        es_json_put_text(json, "what", rejection->what);
        es_json_put_text(json, "why", rejection->why);
        es_json_map_end(json);
    }
    es_json_list_end(json);
}

static void put_header(const watch *now, es_text *out)
{
    es_json json;
    es_json_init(&json, out, true);
    es_json_map_begin(&json);
    es_json_put_text(&json, "format", "estran-meter");
    es_json_put_int(&json, "version", 1);
    es_json_put_text(&json, "boundary", es_meter_boundary(now->meter));
    es_json_put_text(&json, "idle", es_meter_idle_name((es_meter_idle)now->chosen->idle));
    es_json_key(&json, "channels");
    es_json_list_begin(&json);
    for (size_t i = 0; i < es_meter_channel_count(now->meter); i++)
        put_channel(&json, es_meter_channel_at(now->meter, i));
    es_json_list_end(&json);
    put_rejections(now->meter, &json);
    es_json_map_end(&json);
}

static void put_processes(const watch *now, bool total, es_json *json)
{
    es_json_key(json, "processes");
    es_json_list_begin(json);
    for (size_t i = 0; i < now->process_count; i++) {
        const es_meter_share *share = &now->shares[i];
        es_json_map_begin(json);
        es_json_put_int(json, "pid", now->processes[i].pid);
        es_json_put_bool(json, "gone", now->processes[i].gone);
        es_json_put_number(json, "energy_j",
                           total ? now->processes[i].energy_j : share->active_j + share->idle_j);
        es_json_map_end(json);
    }
    es_json_list_end(json);
    es_json_put_number(json, "residue_j",
                       total ? now->residue_j : now->residue.active_j + now->residue.idle_j);
}

static void put_figure(const watch *now, const char *what, const es_meter_mark *from, bool total,
                       es_text *out)
{
    es_meter_figure figure = es_meter_between(now->meter, from, &now->now);
    es_json json;
    es_json_init(&json, out, true);
    es_json_map_begin(&json);
    es_json_put_text(&json, "what", what);
    es_json_put_number(&json, "time_s", es_s_from_ns(now->now.time_ns - now->start.time_ns));
    es_meter_figure_json(&figure, &json);
    es_json_put_text(&json, "boundary", es_meter_boundary(now->meter));
    es_json_key(&json, "channels");
    es_json_list_begin(&json);
    for (size_t i = 0; i < es_meter_channel_count(now->meter); i++) {
        es_meter_figure one = es_meter_channel_between(now->meter, i, from, &now->now);
        es_json_map_begin(&json);
        es_json_put_text(&json, "name", es_meter_channel_at(now->meter, i)->name);
        es_json_put_bool(&json, "counted", es_meter_channel_at(now->meter, i)->counted);
        es_meter_figure_json(&one, &json);
        es_json_map_end(&json);
    }
    es_json_list_end(&json);
    if (now->process_count > 0)
        put_processes(now, total, &json);
    es_json_map_end(&json);
}

/* ---- for people ---- */

static void say_figure(const es_meter_figure *figure, es_text *out)
{
    char words[64];
    if (!figure->known) {
        es_text_append(out, "nothing could be measured");
        return;
    }
    double spread_w = figure->covered_s > 0 ? 1 / figure->covered_s : 0;
    es_text_format(out, "%.4g W (%.3g to %.3g)  %.4g J in %.3g s  source: %s, %s", figure->power_w,
                   figure->low_j * spread_w, figure->high_j * spread_w, figure->energy_j,
                   figure->covered_s, es_meter_figure_source(figure, words, sizeof words),
                   es_meter_method_name(figure->method));
    if (figure->dropped > 0)
        es_text_format(out, "  (%u readings dropped)", figure->dropped);
}

static void explain(const watch *now, es_text *out)
{
    es_cli_table table = {.arena = now->scratch, .columns = 5};
    const char *const head[] = {"channel", "source", "method", "part", "in the total"};
    for (size_t i = 0; i < 5; i++)
        es_cli_cell(&table, "%s", head[i]);
    for (size_t i = 0; i < es_meter_channel_count(now->meter); i++) {
        const es_meter_channel *face = es_meter_channel_at(now->meter, i);
        es_cli_cell(&table, "%.48s", face->name);
        es_cli_cell(&table, "%s", es_meter_source_name(face->source));
        es_cli_cell(&table, "%s", es_meter_method_name(face->method));
        es_cli_cell(&table, "%s", es_meter_part_name(face->part));
        es_cli_cell(&table, "%s", face->counted ? "yes" : "no");
    }
    es_cli_table_print(&table, out);
    for (size_t i = 0; i < es_meter_channel_count(now->meter); i++) {
        const es_meter_channel *face = es_meter_channel_at(now->meter, i);
        es_text_format(out, "  %.48s: %s%s%s\n", face->name, face->path,
                       face->note != NULL ? "; not in the total: " : "",
                       face->note != NULL ? face->note : "");
    }
    es_text_format(out, "total: %s\n", es_meter_boundary(now->meter));
    if (es_meter_rejection_count(now->meter) > 0)
        es_text_append(out, "rejected\n");
    for (size_t i = 0; i < es_meter_rejection_count(now->meter); i++) {
        const es_meter_rejection *rejection = es_meter_rejection_at(now->meter, i);
        es_text_format(out, "  %s: %s: %s\n", es_meter_source_name(rejection->source),
                       rejection->what, rejection->why);
    }
}

static void cell_energy(es_cli_table *table, double energy_j)
{
    es_cli_cell(table, "%.4g J", energy_j);
}

static void show_parts(const watch *now, const char *power, es_text *out)
{
    es_cli_table table = {.arena = now->scratch, .columns = 5};
    const char *const head[] = {"", power, "so far", "source", "in the total"};
    for (size_t i = 0; i < 5; i++)
        es_cli_cell(&table, "%s", head[i]);
    for (size_t i = 0; i < es_meter_channel_count(now->meter); i++) {
        const es_meter_channel *face = es_meter_channel_at(now->meter, i);
        if (face->source == ES_METER_MODEL && !face->counted)
            continue;
        es_meter_figure last = es_meter_channel_between(now->meter, i, &now->before, &now->now);
        es_meter_figure all = es_meter_channel_between(now->meter, i, &now->start, &now->now);
        es_cli_cell(&table, "%.40s", face->name);
        es_cli_cell(&table, last.known ? "%.4g W" : "-", last.power_w);
        es_cli_cell(&table, all.known ? "%.4g J" : "-", all.energy_j);
        es_cli_cell(&table, "%s", es_meter_source_name(face->source));
        es_cli_cell(&table, "%s", face->counted ? "yes" : "no");
    }
    es_cli_table_print(&table, out);
    if (now->process_count == 0)
        return;
    es_cli_table parts = {.arena = now->scratch, .columns = 3};
    es_cli_cell(&parts, "process");
    es_cli_cell(&parts, "last");
    es_cli_cell(&parts, "so far");
    for (size_t i = 0; i < now->process_count; i++) {
        const process *one = &now->processes[i];
        es_cli_cell(&parts, "%lld%s", (long long)one->pid, one->gone ? " (gone)" : "");
        cell_energy(&parts, now->shares[i].active_j + now->shares[i].idle_j);
        cell_energy(&parts, one->energy_j);
    }
    es_cli_cell(&parts, "all else and rest");
    cell_energy(&parts, now->residue.active_j + now->residue.idle_j);
    cell_energy(&parts, now->residue_j);
    es_cli_table_print(&parts, out);
}

/* On a terminal the picture is drawn over itself. */
static void draw(watch *now, es_text *out)
{
    if (now->lines > 0)
        es_text_format(out, "\033[%zuA\033[J", now->lines);
    size_t from = out->size;
    es_meter_figure last = es_meter_between(now->meter, &now->before, &now->now);
    es_text_format(out, "%.1f s  ", es_s_from_ns(now->now.time_ns - now->start.time_ns));
    say_figure(&last, out);
    es_text_append(out, "\n");
    if (now->cli->color)
        show_parts(now, "now", out);
    now->lines = 0;
    const char *words = es_text_get(out);
    for (size_t i = from; i < out->size && now->cli->color; i++)
        now->lines += words[i] == '\n';
}

static void say_total(watch *now, es_text *out)
{
    now->before = now->start;
    es_meter_figure figure = es_meter_between(now->meter, &now->start, &now->now);
    if (!now->cli->color)
        show_parts(now, "mean", out);
    es_text_append(out, "total  ");
    say_figure(&figure, out);
    es_text_format(out, "\nof: %s\n", es_meter_boundary(now->meter));
}

/* ---- the verb ---- */

static es_status print(es_text *out, es_error *err)
{
    ES_TRY(es_cli_print(out, err));
    return fflush(stdout) == 0 ? ES_OK : es_fail(err, ES_ERR_IO, "cannot write to stdout");
}

/* Samples until the next figure is due; false when it was stopped. */
static bool wait_until(watch *now, int64_t until_ns)
{
    es_clock *clock = es_clock_system();
    bool on = true;
    int64_t next_ns = es_clock_now_ns(clock);
    while (on && next_ns < until_ns) {
        next_ns += es_ns_from_s(fmin(poll_s, es_meter_period_s_max(now->meter)));
        next_ns = next_ns < until_ns ? next_ns : until_ns;
        es_clock_sleep_until_ns(clock, next_ns);
        es_meter_read(now->meter, &now->now);
        on = *now->cli->stop == 0;
    }
    return on;
}

static es_status watch_all(watch *now, es_text *out, es_error *err)
{
    const options *chosen = now->chosen;
    int64_t end_ns =
        chosen->duration > 0 ? now->start.time_ns + es_ns_from_s(chosen->duration) : INT64_MAX;
    int64_t step_ns = es_ns_from_s(chosen->interval);
    bool on = true;
    for (int64_t due_ns = now->start.time_ns; on && due_ns < end_ns;) {
        due_ns = due_ns < end_ns - step_ns ? due_ns + step_ns : end_ns;
        on = wait_until(now, due_ns);
        es_meter_figure last = es_meter_between(now->meter, &now->before, &now->now);
        if (now->process_count > 0)
            ES_TRY(share_out(now, &last, err));
        if (now->cli->json)
            put_figure(now, "sample", &now->before, false, out);
        else
            draw(now, out);
        now->before = now->now;
        es_arena_reset(now->scratch);
        ES_TRY(print(out, err));
    }
    if (now->cli->json)
        put_figure(now, "total", &now->start, true, out);
    else
        say_total(now, out);
    return print(out, err);
}

static es_status run(es_cli *cli, const void *given, const char *const *files, size_t count,
                     es_error *err)
{
    (void)files;
    (void)count;
    const options *chosen = given;
    es_meter_opts opts = es_meter_opts_default();
    opts.root = chosen->root != NULL ? chosen->root : "";
    opts.nvml_library = chosen->nvml;
    opts.dram = chosen->dram;
    opts.model_only = chosen->model_only;
    opts.calibration = chosen->calibration;
    opts.model = (es_meter_model){.curve = (es_meter_curve)chosen->curve,
                                  .idle_w = chosen->idle_w,
                                  .busy_w = chosen->busy_w,
                                  .uncertainty = chosen->uncertainty};
    watch *now = ES_TAKE_ONE(cli->arena, watch);
    if (now == NULL)
        return es_arena_full(cli->arena, "meter", err);
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new((size_t)SCRATCH_MB << 20);
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for the meter");
    *now = (watch){.cli = cli, .scratch = scratch, .chosen = chosen};
    ES_TRY(es_meter_new(cli->arena, opts, &now->meter, err));
    ES_TRY(parse_processes(now, err));
    es_meter_read(now->meter, &now->start);
    now->before = now->start;
    es_text out;
    es_text_init(&out, (size_t)16 << 20);
    es_status status = ES_OK;
    if (cli->json)
        put_header(now, &out);
    else if (chosen->explain)
        explain(now, &out);
    if (out.size > 0)
        status = print(&out, err);
    if (status == ES_OK && !chosen->explain)
        status = watch_all(now, &out, err);
    es_text_done(&out);
    return status;
}

const es_verb es_verb_meter = {
    .name = "meter",
    .group = "explain",
    .summary = "watts and joules of this node, and where each figure comes from",
    .arguments = "",
    .details =
        "Counters are taken before polled sensors, and those before a declared power model; each\n"
        "figure says which, with its bounds. Nothing is counted twice. On a machine without\n"
        "counters the source is 'model': declare --idle-w and --busy-w to make it yours.\n\n"
        "  estran meter --explain\n"
        "  estran meter --interval 5 --process 4242 --json",
    .file_min = 0,
    .file_max = 0,
    .options = rows,
    .option_count = sizeof rows / sizeof rows[0],
    .options_size = sizeof(options),
    .run = run,
};
