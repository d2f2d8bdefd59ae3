/* A training as curves of loss and accuracy, and as a page. */
#include "report/internal.h"

#include <math.h>

enum { WIDTH = 860, HEIGHT = 300, PANEL = 430, LEFT = 56, RIGHT = 14, TOP = 44, FOOT = 44 };

static const char style[] =
    "<style>svg.own{font-family:system-ui,sans-serif;background:#fff}"
    ".own text{fill:#1b2127;font-size:12px}.own .tick,.own .name{fill:#5a6672}"
    ".own text.tick{font-size:11px}.own .grid{stroke:#dde2e7}.own .base{stroke:#5a6672}"
    ".own .line{fill:none;stroke-width:2}.own .seen{stroke:#6b7680;stroke-dasharray:5 4}"
    ".own .held{stroke:#0072b2}.own .best{fill:#d55e00;stroke:#fff}</style>\n";

/* A curve: which number of an epoch, and what it is multiplied by to be shown. */
typedef double (*value_fn)(const es_fit_epoch *epoch);

static double loss_seen(const es_fit_epoch *epoch)
{
    return epoch->loss;
}

static double loss_held(const es_fit_epoch *epoch)
{
    return epoch->held_loss;
}

static double accuracy_seen(const es_fit_epoch *epoch)
{
    return 100 * epoch->accuracy;
}

static double accuracy_held(const es_fit_epoch *epoch)
{
    return 100 * epoch->held_accuracy;
}

static void range_of(const es_fit_result *result, value_fn value, double *low, double *high)
{
    for (size_t i = 0; i < result->epoch_count; i++) {
        double y = value(&result->epochs[i]);
        if (isfinite(y)) {
            *low = fmin(*low, y);
            *high = fmax(*high, y);
        }
    }
}

static void put_curve(es_svg *svg, const es_fit_result *result, value_fn value, const es_axis *x,
                      const es_axis *y, const char *class, const char *title)
{
    if (result->epoch_count == 0 || !isfinite(value(&result->epochs[0])))
        return;
    es_svg_polyline_begin(svg, class);
    for (size_t i = 0; i < result->epoch_count; i++)
        es_svg_polyline_point(svg, es_axis_at(x, (double)i + 1),
                              es_axis_at(y, value(&result->epochs[i])));
    es_svg_polyline_end(svg, title);
}

static void put_best(es_svg *svg, const es_fit_result *result, value_fn value, const es_axis *x,
                     const es_axis *y)
{
    char title[96];
    double best = result->epoch_count > 0 ? value(&result->epochs[result->best]) : (double)NAN;
    if (!isfinite(best))
        return;
    (void)snprintf(title, sizeof title, "best: epoch %zu, %.4g", result->best + 1, best);
    es_svg_circle(svg, es_axis_at(x, (double)result->best + 1), es_axis_at(y, best), 4.5, "best",
                  title);
}

static void put_panel(es_svg *svg, const es_fit_result *result, double left, const char *name,
                      value_fn seen, value_fn held, bool from_zero)
{
    double low = (double)INFINITY;
    double high = -(double)INFINITY;
    range_of(result, seen, &low, &high);
    range_of(result, held, &low, &high);
    if (!(high >= low))
        return; /* not measured */
    es_box box = {left + LEFT, TOP, left + PANEL - RIGHT, HEIGHT - FOOT};
    es_axis x = es_axis_make(0, fmax((double)result->epoch_count, 5), box.left, box.right, false);
    double room = fmax(0.05 * (high - low), 1e-6 * fmax(fabs(high), 1));
    double step = pow(10, floor(log10(high - low + room))); /* the axis begins at a round number */
    es_axis y = {.low = from_zero && low > 0 ? 0 : floor(low / step) * step,
                 .high = high + room,
                 .start = box.bottom,
                 .end = box.top};
    es_svg_axis_x(svg, &x, box, "epoch");
    es_svg_axis_y(svg, &y, box, name);
    put_curve(svg, result, seen, &x, &y, "line seen", "training batches");
    put_curve(svg, result, held, &x, &y, "line held", "held back");
    put_best(svg, result, isfinite(held(&result->epochs[0])) ? held : seen, &x, &y);
}

void es_report_training_svg(const es_report_training *report, es_text *out)
{
    es_text_format(out,
                   "<svg class=\"own\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
                   "role=\"img\"><title>Training of ",
                   WIDTH, HEIGHT);
    es_put_html(out, report->title, 0);
    es_text_format(out, "</title>\n%s<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", style,
                   WIDTH, HEIGHT);
    es_svg svg = {.out = out, .width = WIDTH, .height = HEIGHT};
    es_svg_text(&svg, LEFT, 18, "start", "name",
                "dashed: training batches as they went by; blue: held back; dot: the best epoch",
                0);
    put_panel(&svg, report->result, 0, "loss", loss_seen, loss_held, true);
    put_panel(&svg, report->result, PANEL, "accuracy, %", accuracy_seen, accuracy_held, false);
    es_svg_end(&svg);
}

/* ---- the page ---- */

static void put_facts(const es_report_training *report, es_text *out)
{
    es_text_append(out, "<h2>What was done</h2>\n<div class=\"scroll\"><table><tbody>\n");
    for (size_t i = 0; i < report->fact_count; i++) {
        es_text_append(out, "<tr><th>");
        es_put_html(out, report->facts[i].name, 0);
        es_text_append(out, "</th><td>");
        es_put_html(out, report->facts[i].value, 0);
        es_text_append(out, "</td></tr>\n");
    }
    es_text_append(out, "</tbody></table></div>\n");
}

static void put_cell(es_text *out, double value)
{
    char number[ES_NUMBER_SIZE];
    es_text_format(out, "<td class=\"n\">%s</td>", es_show_number(value, number));
}

static void put_percent(es_text *out, double share)
{
    if (isfinite(share))
        es_text_format(out, "<td class=\"n\">%.2f</td>", 100 * share);
    else
        es_text_append(out, "<td class=\"n\">" ES_DASH "</td>");
}

static void put_epochs(const es_fit_result *result, es_text *out)
{
    es_text_append(out, "<h2>Epoch by epoch</h2>\n<div class=\"scroll\"><table><thead><tr>"
                        "<th>epoch</th><th class=\"n\">rate</th><th class=\"n\">loss</th>"
                        "<th class=\"n\">accuracy, %</th><th class=\"n\">loss, held back</th>"
                        "<th class=\"n\">accuracy, held back, %</th><th class=\"n\">s</th></tr>"
                        "</thead><tbody>\n");
    for (size_t i = 0; i < result->epoch_count; i++) {
        const es_fit_epoch *epoch = &result->epochs[i];
        es_text_format(out, "<tr%s><th>%zu</th>", i == result->best ? " class=\"first\"" : "",
                       i + 1);
        put_cell(out, epoch->rate);
        put_cell(out, epoch->loss);
        put_percent(out, epoch->accuracy);
        put_cell(out, epoch->held_loss);
        put_percent(out, epoch->held_accuracy);
        put_cell(out, epoch->seconds);
        es_text_append(out, "</tr>\n");
    }
    es_text_append(out, "</tbody></table></div>\n");
}

void es_report_training_html(const es_report_training *report, es_text *out)
{
    es_page_open(report->title, "", out);
    es_text_append(out, "<main>\n<h1>");
    es_put_html(out, report->title, 0);
    es_text_format(out, "</h1><p class=\"lead\">Trained for %zu epochs</p>\n<figure>",
                   report->result->epoch_count);
    es_report_training_svg(report, out);
    es_text_append(out, "</figure>\n");
    put_facts(report, out);
    put_epochs(report->result, out);
    es_text_append(out, "<footer>");
    es_put_html(out, report->made_by != NULL ? report->made_by : "estran", 0);
    es_text_append(out, "</footer></main></body></html>\n");
}
