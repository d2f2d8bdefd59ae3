/* The page of what compress made: a plane for each thing that a variant saves, then the figures. */
#include "report/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_SIZE = 160 };

/* A variant, or one way through a variant of several stages. */
typedef struct entry {
    char name[NAME_SIZE];
    size_t variant;
    es_bounds quality; /* all NAN without labels */
    double agreement;
    double bytes, macs, latency_ms, energy_j; /* NAN: not known */
    es_bounds speed;
} entry;

typedef struct entries {
    const es_variants_told *told;
    size_t count;
    entry *items;
} entries;

static entry entry_of(const es_variants_told *told, size_t i)
{
    const es_variant_measure *m = &told->measures[i];
    entry e = {.variant = i,
               .quality = m->quality,
               .agreement = i == 0 ? 1 : m->agreement,
               .bytes = (double)m->file_bytes,
               .macs = m->macs >= 0 ? (double)m->macs : (double)NAN,
               .latency_ms = m->latency.ms_p50,
               .energy_j = m->energy.known ? m->energy.energy_j : (double)NAN,
               .speed = m->speed};
    (void)snprintf(e.name, sizeof e.name, "%.*s", NAME_SIZE - 1, told->variants[i].name);
    if (!m->labelled)
        e.quality = (es_bounds){(double)NAN, (double)NAN, (double)NAN};
    return e;
}

static bool collect(const es_variants_told *told, entries *out)
{
    size_t room = told->count * (1 + (size_t)ES_VARIANT_PIPELINES_MAX);
    *out = (entries){.told = told, .items = calloc(room, sizeof *out->items)};
    for (size_t i = 0; i < told->count && out->items != NULL; i++) {
        const es_variant *v = &told->variants[i];
        for (size_t p = 0; p < v->pipeline_count && v->stage_count > 1; p++) {
            const es_pipeline_measure *m = &told->measures[i].pipelines[p];
            entry e = entry_of(told, i);
            (void)snprintf(e.name, sizeof e.name, "%.80s%.70s", v->name, v->pipelines[p].suffix);
            if (told->measures[i].labelled)
                e.quality = m->quality;
            e.agreement = m->agreement;
            e.macs = m->macs;
            e.latency_ms = m->latency_ms;
            e.energy_j = m->energy_j;
            e.speed = m->speed;
            out->items[out->count++] = e;
        }
        if (v->stage_count <= 1)
            out->items[out->count++] = entry_of(told, i);
    }
    return out->items != NULL;
}

/* ---- planes ---- */

typedef enum cost { LATENCY, BYTES, ENERGY, COST_COUNT } cost;

static double cost_of(const entry *e, cost what)
{
    return what == LATENCY ? 1e-3 * e->latency_ms : what == BYTES ? e->bytes : e->energy_j;
}

/* "12.5 us", "97 kB" of the whole plane. */
static es_scale scale_of(cost what, double middle)
{
    if (what != BYTES)
        return es_scale_of(what == LATENCY ? ES_UNIT_S : ES_UNIT_J, middle);
    return middle >= 1e6 ? (es_scale){1e-6, "MB"} : (es_scale){1e-3, "kB"};
}

static void put_plane(const entries *all, cost what, es_text *out)
{
    static const char *const names[] = {"one request", "models", "energy of one request"};
    static const char *const titles[] = {"Quality against latency", "Quality against bytes",
                                         "Quality against energy"};
    bool labelled = all->told->measures[0].labelled;
    es_spot *spots = calloc(all->count + 1, sizeof *spots);
    double low = (double)INFINITY;
    double high = 0;
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++) {
        double value = cost_of(&all->items[i], what);
        low = value > 0 ? fmin(low, value) : low;
        high = value > 0 ? fmax(high, value) : high;
    }
    if (spots == NULL || !(high > 0)) {
        free(spots);
        return;
    }
    es_scale scale = scale_of(what, sqrt(low * high));
    for (size_t i = 0; i < all->count; i++) {
        const entry *e = &all->items[i];
        double y = labelled ? e->quality.value : e->agreement;
        if (!(cost_of(e, what) > 0) || isnan(y))
            continue;
        spots[count++] = (es_spot){.x = scale.factor * cost_of(e, what),
                                   .y = 100 * y,
                                   .low = labelled ? 100 * e->quality.low : 0,
                                   .high = labelled ? 100 * e->quality.high : 0,
                                   .name = e->name,
                                   .title = e->name,
                                   .class = "s0",
                                   .chosen = e->variant == 0,
                                   .pale = !all->told->measures[e->variant].offered};
    }
    char name[64];
    (void)snprintf(name, sizeof name, "%s, %s (logarithmic)", names[what], scale.unit);
    es_plane plane = {.title = titles[what],
                      .x_name = name,
                      .y_name = labelled ? "quality, %" : "class as the original's, %",
                      .spots = spots,
                      .count = count,
                      .y_least = (double)NAN};
    es_text_append(out, "<figure>\n");
    es_draw_plane(&plane, out);
    es_text_append(out, "</figure>\n");
    free(spots);
}

/* ---- words ---- */

/* Of what is offered and loses at most half a point, the least cost. */
static const entry *best_of(const entries *all, cost what)
{
    const entry *best = &all->items[0];
    for (size_t i = 1; i < all->count; i++) {
        const entry *e = &all->items[i];
        if (all->told->measures[e->variant].offered &&
            e->quality.value >= all->items[0].quality.value - 0.005 &&
            cost_of(e, what) < cost_of(best, what))
            best = e;
    }
    return best;
}

static void put_bold(es_text *out, const char *text)
{
    es_text_append(out, "<b>");
    es_put_html(out, text, 0);
    es_text_append(out, "</b>");
}

static void put_summary(const entries *all, es_text *out)
{
    const entry *whole = &all->items[0];
    const entry *fast = best_of(all, LATENCY);
    const entry *small = best_of(all, BYTES);
    char number[ES_NUMBER_SIZE];
    if (!all->told->measures[0].labelled)
        return;
    es_text_append(out, "<p class=\"summary\">");
    if (fast == whole && small == whole) {
        es_text_append(out, "No variant within half a point of the original's quality is faster "
                            "or smaller.</p>\n");
        return;
    }
    es_text_format(out,
                   "Within half a point of the original's %.2f %%: ", 100 * whole->quality.value);
    if (fast != whole) {
        put_bold(out, fast->name);
        es_text_format(out, " is the fastest, %s times as fast",
                       es_show_number(fast->speed.value, number));
    }
    if (small != whole && fast != whole)
        es_text_append(out, small == fast ? ", and" : "; ");
    if (small != whole && small != fast)
        put_bold(out, small->name);
    if (small != whole)
        es_text_format(out, "%s the smallest, with %s %% of the bytes", small != fast ? " is" : "",
                       es_show_number(100 * small->bytes / whole->bytes, number));
    es_text_append(out, ".</p>\n");
}

static void put_number(es_text *out, double value)
{
    char number[ES_NUMBER_SIZE];
    es_text_format(out, "<td class=\"n\">%s</td>", es_show_number(value, number));
}

/* The interval stands below. */
static void put_bounds(es_text *out, es_bounds b, double factor)
{
    if (isnan(b.value))
        es_text_append(out, "<td class=\"n\">" ES_DASH "</td>");
    else
        es_text_format(out, "<td class=\"n\">%.2f<small>%.2f to %.2f</small></td>",
                       factor * b.value, factor * b.low, factor * b.high);
}

static void put_table(const entries *all, es_text *out)
{
    es_text_append(out, "<h2>Figures</h2>\n<div class=\"scroll\"><table><thead><tr><th>Variant</th>"
                        "<th class=\"n\">Quality, %</th><th class=\"n\">As original, %</th>"
                        "<th class=\"n\">Models, kB</th><th class=\"n\">MACs, M</th>"
                        "<th class=\"n\">Request, ms</th><th class=\"n\">Times as fast</th>"
                        "<th class=\"n\">Energy, mJ</th><th>Offered</th></tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < all->count; i++) {
        const entry *e = &all->items[i];
        const es_variant_measure *m = &all->told->measures[e->variant];
        es_text_append(out, e->variant == 0 ? "<tr class=\"first\"><th>" : "<tr><th>");
        es_put_html(out, e->name, 0);
        es_text_append(out, "</th>");
        put_bounds(out, e->quality, 100);
        put_number(out, 100 * e->agreement);
        put_number(out, 1e-3 * e->bytes);
        put_number(out, 1e-6 * e->macs);
        put_number(out, e->latency_ms);
        put_bounds(out, e->speed, 1);
        put_number(out, 1e3 * e->energy_j);
        es_text_append(out, m->offered ? "<td>yes</td></tr>\n" : "<td>no: ");
        if (!m->offered) {
            es_put_html(out, m->why_not, 0);
            es_text_append(out, "</td></tr>\n");
        }
    }
    es_text_append(out, "</tbody></table></div>\n");
}

/* ---- stages ---- */

/* Share of requests that come to a stage, and from which confidence on they leave there. */
static void put_reach(const es_variant *v, const es_pipeline_measure *m, size_t p, size_t k,
                      es_text *out)
{
    double threshold = v->pipelines[p].thresholds[k];
    char number[ES_NUMBER_SIZE];
    es_text_format(out, "<td class=\"n\">%s", es_show_number(100 * m->reach[k], number));
    if (v->stages[k].exit && threshold <= 1)
        es_text_format(out, "<small>leave from %.1f %%</small>", 100 * threshold);
    else if (v->stages[k].exit)
        es_text_append(out, "<small>all go on</small>");
    es_text_append(out, "</td>");
}

static void put_stage(const es_variant *v, const es_variant_measure *m, size_t k, es_text *out)
{
    const es_stage_measure *stage = &m->stages[k];
    es_text_format(out, "<tr><th>%zu</th>", k + 1);
    put_number(out, 100 * stage->accuracy);
    put_number(out, stage->macs >= 0 ? 1e-6 * (double)stage->macs : (double)NAN);
    put_number(out, stage->latency.ms_p50);
    put_number(out, 1e-3 * (double)stage->file_bytes);
    if (stage->forward_bytes > 0)
        es_text_format(out, "<td class=\"n\">%zu</td>", stage->forward_bytes);
    else
        es_text_append(out, "<td class=\"n\">" ES_DASH "</td>");
    for (size_t p = 0; p < v->pipeline_count; p++)
        put_reach(v, &m->pipelines[p], p, k, out);
    es_text_append(out, "</tr>\n");
}

static void put_stages_of(const es_variant *v, const es_variant_measure *m, es_text *out)
{
    es_text_append(out, "<h3>");
    es_put_html(out, v->name, 0);
    es_text_append(out, "</h3>\n<div class=\"scroll\"><table><thead><tr><th>Stage</th>"
                        "<th class=\"n\">Its answers right, %</th><th class=\"n\">MACs, M</th>"
                        "<th class=\"n\">Time, ms</th><th class=\"n\">Model, kB</th>"
                        "<th class=\"n\">Sends on, bytes</th>");
    for (size_t p = 0; p < v->pipeline_count; p++) {
        const char *suffix = v->pipelines[p].suffix;
        es_text_append(out, "<th class=\"n\">");
        es_put_html(out, suffix[0] == '-' ? suffix + 1 : suffix[0] != '\0' ? suffix : "all", 0);
        es_text_append(out, ", % come</th>");
    }
    es_text_append(out, "</tr></thead>\n<tbody>\n");
    for (size_t k = 0; k < v->stage_count; k++)
        put_stage(v, m, k, out);
    es_text_append(out, "</tbody></table></div>\n");
}

static void put_stages(const es_variants_told *told, es_text *out)
{
    bool opened = false;
    for (size_t i = 0; i < told->count; i++) {
        if (told->variants[i].stage_count <= 1)
            continue;
        if (!opened)
            es_text_append(out, "<h2>Stages</h2>\n<p class=\"hint\">What each stage does by "
                                "itself; then, for each way to use them, how many requests come to "
                                "it, and how sure its answer must be to be taken.</p>\n");
        opened = true;
        put_stages_of(&told->variants[i], &told->measures[i], out);
    }
}

static void put_recipes(const es_variants_told *told, es_text *out)
{
    es_text_append(out, "<h2>Recipes</h2>\n<dl>\n");
    for (size_t i = 1; i < told->count; i++) {
        es_text_append(out, "<dt>");
        es_put_html(out, told->variants[i].name, 0);
        es_text_append(out, "</dt><dd class=\"recipe\">");
        es_put_html(out, told->variants[i].recipe, 0);
        es_text_append(out, "</dd>\n");
    }
    es_text_append(out, "</dl>\n");
}

static void put_notes(const es_variants_told *told, es_text *out)
{
    const es_profile_energy *energy = &told->measures[0].energy;
    es_text_format(
        out,
        "<h2>How to read the figures</h2>\n<dl>\n<dt>Quality</dt><dd>Share of %zu test "
        "samples answered right, with its exact 95 %% interval (the bar of a spot).</dd>\n"
        "<dt>One request</dt><dd>Median on one thread of this machine. Times as fast: "
        "the original and the variant in turn, by processor time, with its 95 %% interval. Of "
        "several "
        "stages: the mean over samples, each leaving where it leaves.</dd>\n"
        "<dt>Energy</dt><dd>",
        told->measures[0].test_count);
    if (energy->known) {
        es_text_append(out, "Of one request above rest, by ");
        es_put_html(out, energy->source, 0);
        es_text_append(out, ": ");
        es_put_html(out, energy->boundary, 0);
    } else {
        es_text_append(out, "Not known: ");
        es_put_html(out, told->measures[0].energy_note, 0);
    }
    es_text_append(out, ".</dd>\n<dt>Offered</dt><dd>Has entries in the catalogue for a scenario. "
                        "Eight-bit integers only where they were measured faster.</dd>\n</dl>\n");
}

void es_report_variants_html(const es_variants_told *told, const char *made_by, es_text *out)
{
    entries all;
    if (told->count == 0 || !collect(told, &all))
        return;
    es_page_open(told->variants[0].name, ": variants", out);
    es_text_append(out, "<main>\n<h1>");
    es_put_html(out, told->variants[0].name, 0);
    es_text_append(out, "</h1>\n<p class=\"lead\">Variants, measured on ");
    es_put_html(out, told->measures[0].node, 0);
    es_text_append(out, "; samples of ");
    const char *slash = strrchr(told->data, '/');
    es_put_html(out, slash != NULL ? slash + 1 : told->data, 0);
    es_text_append(out, "</p>\n");
    put_summary(&all, out);
    es_text_append(out,
                   "<h2>What each saves</h2>\n<p class=\"hint\">Up and left is better; the "
                   "line joins what nothing shown beats.</p>\n<ul class=\"legend\">"
                   "<li><svg class=\"key\" viewBox=\"0 0 22 22\"><circle class=\"ring\" "
                   "cx=\"11\" cy=\"11\" r=\"9\"/></svg><b>the model as given</b></li>"
                   "<li class=\"k0\"><i class=\"round\"></i><b>offered</b></li>"
                   "<li class=\"k0\"><i class=\"round pale\"></i><b>not offered</b></li></ul>\n"
                   "<div class=\"charts\">\n");
    for (int what = 0; what < COST_COUNT; what++)
        put_plane(&all, (cost)what, out);
    es_text_append(out, "</div>\n");
    put_table(&all, out);
    put_stages(told, out);
    put_recipes(told, out);
    put_notes(told, out);
    es_text_append(out, "<footer>");
    es_put_html(out, made_by != NULL ? made_by : "estran", 0);
    es_text_append(out, "</footer>\n</main>\n</body>\n</html>\n");
    free(all.items);
}
