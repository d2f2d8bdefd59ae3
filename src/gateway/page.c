/* A page for people, read-only: what the gateway follows and what became of requests. */
#include "internal.h"

#include <math.h>

enum { ROWS_MAX = 500 };

static void put_words(es_text *out, const char *words)
{
    for (; *words != '\0'; words++) {
        if (*words == '&')
            es_text_append(out, "&amp;");
        else if (*words == '<')
            es_text_append(out, "&lt;");
        else if (*words == '>')
            es_text_append(out, "&gt;");
        else
            es_text_append_n(out, words, 1);
    }
}

static double quantile_ms(const uint64_t *buckets, double share)
{
    uint64_t all = 0;
    uint64_t below = 0;
    for (uint32_t b = 0; b < ES_GATEWAY_BUCKETS; b++)
        all += buckets[b];
    for (uint32_t b = 0; all > 0 && b < ES_GATEWAY_BUCKETS; b++) {
        below += buckets[b];
        if ((double)below >= share * (double)all)
            return es_gateway_bucket_s(b) * 1e3;
    }
    return (double)NAN;
}

static void put_ms(es_text *out, double ms)
{
    if (isnan(ms))
        es_text_append(out, "<td>&ndash;");
    else
        es_text_format(out, "<td>%.3g", ms);
}

static void put_class(es_text *out, const es_gateway *gateway, const es_gateway_view *const *views,
                      uint32_t c)
{
    const es_serve_class *class = &views[0]->routes->table->routes->classes[c];
    uint64_t buckets[ES_GATEWAY_BUCKETS] = {0};
    uint64_t outcomes[ES_GATEWAY_OUTCOME_COUNT] = {0};
    uint64_t arrived = 0;
    for (uint32_t i = 0; i < gateway->opts.loop_count; i++) {
        uint32_t here = views[i] == NULL ? ES_SERVE_CLASS_NONE
                                         : es_serve_table_class(views[i]->routes->table,
                                                                class->task, class->entry);
        if (here == ES_SERVE_CLASS_NONE)
            continue;
        const es_gateway_class_counts *counts = views[i]->counts[here];
        arrived += es_gateway_read(&counts->arrived);
        for (size_t k = 0; k < ES_GATEWAY_OUTCOME_COUNT; k++)
            outcomes[k] += es_gateway_read(&counts->outcomes[k]);
        for (size_t b = 0; b < ES_GATEWAY_BUCKETS; b++)
            buckets[b] += es_gateway_read(&counts->buckets[b]);
    }
    es_text_append(out, "<tr><th>");
    put_words(out, class->task);
    es_text_append(out, "<th>");
    put_words(out, class->entry);
    es_text_format(out, "<td>%llu", (unsigned long long)arrived);
    for (size_t k = 0; k < ES_GATEWAY_OUTCOME_COUNT; k++)
        es_text_format(out, "<td>%llu", (unsigned long long)outcomes[k]);
    put_ms(out, quantile_ms(buckets, 0.5));
    put_ms(out, quantile_ms(buckets, 0.95));
    es_text_append(out, "<td class=w>");
    for (size_t o = 0; o < class->option_count; o++) {
        es_text_format(out, "%s%.3g&nbsp;%% ", o > 0 ? "<br>" : "", class->options[o].share * 100);
        put_words(out, class->options[o].route);
    }
}

void es_gateway_page_write(es_gateway *gateway, es_text *out)
{
    const es_gateway_view *views[ES_GATEWAY_LOOPS_MAX];
    es_text_append(out, "<!doctype html><html lang=en><meta charset=utf-8>"
                        "<meta http-equiv=refresh content=5><title>");
    put_words(out, gateway->opts.name);
    es_text_append(out, "</title><style>body{font:14px/1.5 sans-serif;margin:2em}"
                        "table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:right;"
                        "border-bottom:1px solid #ccc;font-weight:normal}th,.w{text-align:left}"
                        "thead th{font-weight:bold}</style><h1>");
    put_words(out, gateway->opts.name);
    es_text_format(out, "</h1><p>estran %s, up %.0f s. ", gateway->opts.version,
                   es_s_from_ns(es_clock_now_ns(gateway->clock) - gateway->start_ns));
    es_gateway_views_hold(gateway, views);
    if (views[0] == NULL) {
        es_text_append(out, "No routes yet.</p>");
    } else {
        const es_serve_routes *routes = views[0]->routes->table->routes;
        es_text_format(out, "Follows generation %lld of ", (long long)routes->generation);
        put_words(out, routes->plan);
        if (gateway->unkept)
            es_text_append(out, ", which cannot be written to its disk");
        es_text_format(out,
                       ": %zu classes.</p><table><thead><tr><th>task<th>at<th>arrived"
                       "<th>answered<th>partial<th>refused<th>wrong<th>failed<th>p50 ms"
                       "<th>p95 ms<th>ways</thead>",
                       routes->class_count);
        for (uint32_t c = 0; c < routes->class_count && c < ROWS_MAX; c++)
            put_class(out, gateway, views, c);
        es_text_append(out, "</table>");
    }
    es_gateway_views_release(gateway);
    es_text_append(out, "</html>\n");
}
