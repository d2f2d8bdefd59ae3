/* A schedule as a Gantt chart, and quality against a budget as a curve. */
#include "report/internal.h"

#include <math.h>

enum {
    WIDTH = 860,
    LEFT = 110,
    RIGHT = 106,
    TOP = 34,
    FOOT = 56,
    ROW = 26,
    ROWS_MAX = 60,   /* machines shown; the others are counted */
    BARS_MAX = 2000, /* tasks drawn each for itself; more are drawn as columns of busy time */
    SHADES = 7,
    COLUMNS = 320, /* of a chart with more tasks than that */
    CURVE_WIDTH = 620,
    CURVE_HEIGHT = 380,
    NAME_SIZE = 96
};

static const char style[] =
    "<style>svg.own{font-family:system-ui,sans-serif;background:#fff}"
    ".own text{fill:#1b2127;font-size:12px}.own .tick,.own .name{fill:#5a6672}"
    ".own text.tick{font-size:11px}.own .grid{stroke:#dde2e7}.own .base{stroke:#5a6672}"
    ".own .lane{fill:#f5f7f9}.own .shut{fill:#c6ced5}.own .edge{stroke:#b8c0c7;stroke-dasharray:2 "
    "3}"
    ".own .wide{stroke:#fff;stroke-width:.6}.own .inside{fill:#fff;font-size:10px}"
    ".own .bound{fill:none;stroke:#d55e00;stroke-width:1.5;stroke-dasharray:5 4}"
    ".own .line{fill:none;stroke-width:2}.own .l0{stroke:#0072b2}.own .l1{stroke:#6b7680}"
    ".own circle{stroke:#fff;fill:#0072b2}.own .tagged{fill:#1b2127;font-size:11px}"
    ".own .g0{fill:#fde0c5}.own .g1{fill:#f8b58b}.own .g2{fill:#e58c6a}.own .g3{fill:#b07aa1}"
    ".own .g4{fill:#7d74ae}.own .g5{fill:#4a6fa5}.own .g6{fill:#1f4e79}</style>\n";

/* The opening tag with a size of its own, so that the file is a picture by itself. */
static es_svg begin(es_text *out, double width, double height, const char *title)
{
    es_text_format(out,
                   "<svg class=\"own\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" "
                   "role=\"img\"><title>",
                   width, height);
    es_put_html(out, title, 0);
    es_text_append(out, "</title>\n");
    es_text_append(out, style);
    es_text_format(out, "<rect width=\"%g\" height=\"%g\" fill=\"#fff\"/>\n", width, height);
    return (es_svg){.out = out, .width = width, .height = height};
}

/* How much of its largest work a task got, as a shade. */
static int shade_of(const es_tasks *tasks, const es_schedule *schedule, uint32_t i)
{
    const es_curve *curve = &tasks->curves[tasks->tasks[i].curve];
    double most = curve->work[curve->point_count - 1];
    double share = most > 0 ? schedule->entries[i].work / most : 1;
    int shade = (int)(share * (SHADES - 1) + 1e-9);
    return shade < 0 ? 0 : shade >= SHADES ? SHADES - 1 : shade;
}

static void task_title(const es_tasks *tasks, const es_machines *machines,
                       const es_schedule *schedule, uint32_t i, char out[256])
{
    const es_schedule_entry *entry = &schedule->entries[i];
    char work[ES_NUMBER_SIZE], quality[ES_NUMBER_SIZE], start[ES_NUMBER_SIZE], end[ES_NUMBER_SIZE],
        deadline[ES_NUMBER_SIZE];
    const char *name = tasks->tasks[i].name;
    char number[16];
    (void)snprintf(number, sizeof number, "task %u", i);
    (void)snprintf(out, 256, "%.60s on %.60s: %s to %s s, deadline %s s; %s %.20s, quality %s",
                   name != NULL ? name : number, machines->machines[entry->machine].name,
                   es_show_number(entry->start_s, start), es_show_number(entry->end_s, end),
                   es_show_number(tasks->tasks[i].deadline_s, deadline),
                   es_show_number(entry->work, work), tasks->work_unit,
                   es_show_number(entry->quality, quality));
}

static void put_lane(es_svg *svg, const es_machines *machines, uint32_t r, const es_axis *x,
                     double horizon_s)
{
    const es_machine *machine = &machines->machines[r];
    double top = TOP + (double)r * ROW;
    es_svg_rect(svg, LEFT, top + 3, WIDTH - LEFT - RIGHT, ROW - 6, 2, "lane", NULL);
    es_svg_text(svg, LEFT - 8, top + ROW / 2.0 + 4, "end", "machine", machine->name, 15);
    if (machine->open_s > 0)
        es_svg_rect(svg, LEFT, top + 3, es_axis_at(x, fmin(machine->open_s, horizon_s)) - LEFT,
                    ROW - 6, 2, "shut", "not open yet");
    if (machine->close_s < horizon_s)
        es_svg_rect(svg, es_axis_at(x, machine->close_s), top + 3,
                    es_axis_at(x, horizon_s) - es_axis_at(x, machine->close_s), ROW - 6, 2, "shut",
                    "closed");
    for (uint32_t p = 1; p < machine->period_count && machine->periods[p].start_s < horizon_s; p++)
        es_svg_line(svg, es_axis_at(x, machine->periods[p].start_s), top + 3,
                    es_axis_at(x, machine->periods[p].start_s), top + ROW - 3, "edge");
}

static void put_bars(es_svg *svg, const es_tasks *tasks, const es_machines *machines,
                     const es_schedule *schedule, const es_axis *x, uint32_t rows)
{
    for (uint32_t i = 0; i < schedule->task_count; i++) {
        const es_schedule_entry *entry = &schedule->entries[i];
        char class[16];
        char title[256];
        if (entry->machine == UINT32_MAX || entry->machine >= rows)
            continue;
        task_title(tasks, machines, schedule, i, title);
        double left = es_axis_at(x, entry->start_s);
        double width = fmax(es_axis_at(x, entry->end_s) - left, 0.4);
        (void)snprintf(class, sizeof class, "bar%s g%d", width > 4 ? " wide" : "",
                       shade_of(tasks, schedule, i));
        es_svg_rect(svg, left, TOP + (double)entry->machine * ROW + 3, width, ROW - 6, 1, class,
                    title);
        if (tasks->tasks[i].name != NULL && width > 7.0 * (double)strlen(tasks->tasks[i].name) + 4)
            es_svg_text(svg, left + width / 2, TOP + (double)entry->machine * ROW + ROW / 2.0 + 4,
                        "middle", shade_of(tasks, schedule, i) >= 3 ? "inside" : "tagged",
                        tasks->tasks[i].name, 0);
    }
}

/* Too many tasks for a bar each: columns in which a machine is busy, in their mean shade. */
static void put_columns(es_svg *svg, const es_tasks *tasks, const es_schedule *schedule,
                        const es_axis *x, uint32_t row)
{
    double busy_s[COLUMNS] = {0};
    double shade[COLUMNS] = {0};
    double column_s = x->high / COLUMNS;
    for (uint32_t i = 0; i < schedule->task_count; i++) {
        const es_schedule_entry *entry = &schedule->entries[i];
        if (entry->machine != row)
            continue;
        int first = (int)fmin(fmax(entry->start_s / column_s, 0), COLUMNS - 1);
        int last = (int)fmin(fmax(entry->end_s / column_s, 0), COLUMNS - 1);
        for (int k = first; k <= last; k++) {
            double part =
                fmin(entry->end_s, (k + 1) * column_s) - fmax(entry->start_s, k * column_s);
            busy_s[k] += fmax(part, 0);
            shade[k] += fmax(part, 0) * shade_of(tasks, schedule, i);
        }
    }
    for (int k = 0; k < COLUMNS; k++) {
        char class[16];
        if (busy_s[k] < 0.05 * column_s)
            continue;
        (void)snprintf(class, sizeof class, "g%d", (int)(shade[k] / busy_s[k] + 0.5));
        double left = es_axis_at(x, k * column_s);
        double height = (ROW - 6) * fmin(busy_s[k] / column_s, 1);
        es_svg_rect(svg, left, TOP + (double)row * ROW + ROW - 3 - height,
                    es_axis_at(x, (k + 1) * column_s) - left + 0.3, height, 0, class, NULL);
    }
}

static void put_shades(es_svg *svg)
{
    double left = WIDTH - RIGHT + 36;
    es_svg_text(svg, WIDTH - 8, TOP - 12, "end", "name", "of all work", 0);
    for (int i = 0; i < SHADES; i++) {
        char class[16];
        char label[32];
        double top = TOP + 16.0 * (SHADES - 1 - i);
        (void)snprintf(class, sizeof class, "g%d", i);
        (void)snprintf(label, sizeof label, "%s%d %%", i < SHADES - 1 ? "\xe2\x89\xa5 " : "",
                       (100 * i + SHADES - 2) / (SHADES - 1));
        es_svg_rect(svg, left, top, 14, 14, 2, class, NULL);
        es_svg_text(svg, left + 20, top + 11, "start", "tick", label, 0);
    }
}

void es_report_gantt(const es_tasks *tasks, const es_machines *machines,
                     const es_schedule *schedule, es_text *out)
{
    double horizon_s = 0;
    uint32_t placed = 0;
    for (uint32_t i = 0; i < schedule->task_count; i++) {
        placed += schedule->entries[i].machine != UINT32_MAX ? 1 : 0;
        horizon_s = fmax(horizon_s, tasks->tasks[i].deadline_s);
    }
    uint32_t rows = schedule->machine_count < ROWS_MAX ? schedule->machine_count : ROWS_MAX;
    double bottom = TOP + fmax(rows * ROW, 16.0 * SHADES);
    char note[NAME_SIZE];
    es_svg svg = begin(out, WIDTH, bottom + FOOT, "Schedule: what runs where and when");
    es_axis x = es_axis_make(0, horizon_s, LEFT, WIDTH - RIGHT, false);
    x.high = horizon_s > 0 ? horizon_s : 1;
    for (uint32_t r = 0; r < rows; r++)
        put_lane(&svg, machines, r, &x, horizon_s);
    es_svg_axis_x(&svg, &x, (es_box){LEFT, TOP, WIDTH - RIGHT, TOP + (double)rows * ROW}, "");
    if (placed <= BARS_MAX)
        put_bars(&svg, tasks, machines, schedule, &x, rows);
    for (uint32_t r = 0; placed > BARS_MAX && r < rows; r++)
        put_columns(&svg, tasks, schedule, &x, r);
    put_shades(&svg);
    (void)snprintf(note, sizeof note, "time, s; %u of %u tasks run%s%s", placed,
                   schedule->task_count,
                   placed > BARS_MAX ? "; height: share of the time busy" : "",
                   rows < schedule->machine_count ? "; the first machines shown" : "");
    es_svg_text(&svg, (LEFT + WIDTH - RIGHT) / 2.0, TOP + (double)rows * ROW + 34, "middle", "name",
                note, 0);
    es_svg_end(&svg);
}

/* ---- quality against a budget ---- */

/* From a round number below low to one above high. */
static es_axis narrow_axis(double low, double high, double start, double end)
{
    double room = fmax(0.06 * (high - low), 1e-6 * fmax(fabs(high), 1e-9));
    double power = pow(10, floor(log10((high - low + 2 * room) / 4)));
    double digits = (high - low + 2 * room) / 4 / power;
    double step = power * (digits <= 1 ? 1 : digits <= 2 ? 2 : digits <= 5 ? 5 : 10);
    return (es_axis){.low = fmax(floor((low - room) / step) * step, 0),
                     .high = ceil((high + room) / step) * step,
                     .start = start,
                     .end = end};
}

void es_report_schedule_curve(const es_schedule_point *points, uint32_t count, uint32_t task_count,
                              es_budget budget, es_text *out)
{
    double low = (double)INFINITY;
    double high = 0;
    double most = 0;
    char name[NAME_SIZE];
    es_svg svg =
        begin(out, CURVE_WIDTH, CURVE_HEIGHT, "Mean quality against what the budget allows");
    double mean = task_count > 0 ? 1.0 / task_count : 1.0;
    for (uint32_t i = 0; i < count; i++) {
        low = fmin(low, points[i].quality * mean);
        high = fmax(high, points[i].bound * mean);
        most = fmax(most, points[i].budget);
    }
    es_box box = {72, 40, CURVE_WIDTH - 24, CURVE_HEIGHT - FOOT};
    es_axis x = es_axis_make(0, most, box.left, box.right, false);
    x.high = most > 0 ? most : 1;
    es_axis y = narrow_axis(low, high, box.bottom, box.top);
    (void)snprintf(name, sizeof name, "%s budget, %s", es_budget_names[budget],
                   es_budget_units[budget]);
    es_svg_axis_x(&svg, &x, box, name);
    es_svg_axis_y(&svg, &y, box, "mean quality of a task");
    es_svg_polyline_begin(&svg, "bound");
    for (uint32_t i = 0; i < count; i++)
        es_svg_polyline_point(&svg, es_axis_at(&x, points[i].budget),
                              es_axis_at(&y, points[i].bound * mean));
    es_svg_polyline_end(&svg, "proven: nothing is above this line");
    es_svg_polyline_begin(&svg, "line l0");
    for (uint32_t i = 0; i < count; i++)
        es_svg_polyline_point(&svg, es_axis_at(&x, points[i].budget),
                              es_axis_at(&y, points[i].quality * mean));
    es_svg_polyline_end(&svg, "schedules found");
    for (uint32_t i = 0; i < count; i++) {
        char title[NAME_SIZE];
        char number[ES_NUMBER_SIZE];
        (void)snprintf(title, sizeof title, "%.0f %% of the budget of full use: mean quality %s",
                       100 * points[i].share, es_show_number(points[i].quality * mean, number));
        es_svg_circle(&svg, es_axis_at(&x, points[i].budget),
                      es_axis_at(&y, points[i].quality * mean), 3.5, "", title);
    }
    es_svg_end(&svg);
}

/* ---- page ---- */

static void put_tile(es_text *out, const char *value, const char *name)
{
    es_text_append(out, "<div class=\"tile\"><b>");
    es_put_html(out, value, 0);
    es_text_append(out, "</b><span>");
    es_put_html(out, name, 0);
    es_text_append(out, "</span></div>\n");
}

static void put_tiles(const es_schedule *schedule, es_text *out)
{
    char number[ES_NUMBER_SIZE];
    char words[NAME_SIZE];
    uint32_t placed = 0;
    for (uint32_t i = 0; i < schedule->task_count; i++)
        placed += schedule->entries[i].work > 0 ? 1 : 0;
    es_text_append(out, "<div class=\"tiles\">\n");
    put_tile(out, es_show_number(schedule->quality / schedule->task_count, number),
             "mean quality of a task");
    (void)snprintf(words, sizeof words, "%.2g %%", 100 * schedule->gap_relative);
    put_tile(out, schedule->optimal ? "optimal" : words,
             schedule->optimal ? "proven" : "proven gap to the best possible");
    put_tile(out, es_show_quantity(schedule->used[ES_BUDGET_ENERGY], ES_UNIT_J, number), "energy");
    (void)snprintf(words, sizeof words, "%u of %u", placed, schedule->task_count);
    put_tile(out, words, "tasks that run");
    es_text_append(out, "</div>\n");
}

static void put_methods(const es_schedule_case *cases, size_t count, uint32_t task_count,
                        es_text *out)
{
    char number[ES_NUMBER_SIZE];
    es_text_append(out, "<h2>Against other ways</h2>\n<div class=\"scroll\"><table><thead><tr><th>"
                        "method</th><th class=\"n\">mean quality</th><th class=\"n\">gap to the "
                        "bound</th><th class=\"n\">energy</th></tr></thead><tbody>\n");
    for (size_t i = 0; i < count; i++) {
        const es_schedule *one = cases[i].schedule;
        es_text_append(out, "<tr><th>");
        es_put_html(out, cases[i].label, 0);
        es_text_append(out, "</th><td class=\"n\">");
        es_put_html(out, es_show_number(one->quality / task_count, number), 0);
        es_text_format(out, "</td><td class=\"n\">%.3g %%</td><td class=\"n\">",
                       one->gap_relative > 1e-10 ? 100 * one->gap_relative : 0);
        es_put_html(out, es_show_quantity(one->used[ES_BUDGET_ENERGY], ES_UNIT_J, number), 0);
        es_text_append(out, "</td></tr>\n");
    }
    es_text_append(out, "</tbody></table></div>\n");
}

void es_report_schedule(const es_schedule_report *report, es_text *out)
{
    const es_schedule *schedule = report->schedule;
    es_page_open(report->title, "", out);
    es_text_append(out, "<main>\n<h1>");
    es_put_html(out, report->title, 0);
    es_text_format(out, "</h1><p class=\"lead\">%u tasks on %u machines, by %s</p>\n",
                   schedule->task_count, schedule->machine_count,
                   es_schedule_method_names[schedule->method]);
    put_tiles(schedule, out);
    if (report->note != NULL) {
        es_text_append(out, "<p class=\"note\">");
        es_put_html(out, report->note, 0);
        es_text_append(out, "</p>\n");
    }
    if (schedule->method != ES_SCHEDULE_FRACTIONAL) {
        es_text_append(out, "<h2>What runs where and when</h2>\n<figure class=\"scroll\">");
        es_report_gantt(report->tasks, report->machines, schedule, out);
        es_text_append(out,
                       "<figcaption>A darker bar is a task that got more of its work. Point at "
                       "a bar to read its figures.</figcaption></figure>\n");
    }
    if (report->point_count > 0) {
        es_text_append(out, "<h2>What more or less energy would do</h2>\n<figure>");
        es_report_schedule_curve(report->points, report->point_count, schedule->task_count,
                                 ES_BUDGET_ENERGY, out);
        es_text_append(out, "<figcaption>Dashed: what no schedule can exceed.</figcaption>"
                            "</figure>\n");
    }
    if (report->case_count > 0)
        put_methods(report->cases, report->case_count, schedule->task_count, out);
    es_text_append(out, "<footer>");
    es_put_html(out, report->made_by != NULL ? report->made_by : "estran", 0);
    es_text_append(out, "</footer></main></body></html>\n");
}
