/* GET /: one page for people, read-only, nothing loaded from elsewhere. */
#include "base/clock.h"
#include "server.h"

#include <math.h>
#include <unistd.h>

enum { PAGE_BYTES_MAX = 64 << 20 };

static const char HEAD[] =
    "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<meta http-equiv=\"refresh\" content=\"5\">"
    "<meta name=\"viewport\" content=\"width=device-width\">"
    "<style>body{font:14px/1.5 system-ui,sans-serif;margin:2em;color:#222;background:#fff}"
    "table{border-collapse:collapse;margin:1em 0}th,td{padding:.3em .8em;text-align:right;"
    "border-bottom:1px solid #ddd}th:first-child,td:first-child{text-align:left}"
    ".READY{color:#060}.UNAVAILABLE{color:#a00}.LOADING,.UNLOADING{color:#850}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}th,td{border-color:#444}"
    ".READY{color:#7c7}.UNAVAILABLE{color:#f88}.LOADING,.UNLOADING{color:#fc6}}</style>";

static void put_escaped(es_text *out, const char *words)
{
    for (const char *c = words; *c != '\0'; c++) {
        if (*c == '<')
            es_text_append(out, "&lt;");
        else if (*c == '>')
            es_text_append(out, "&gt;");
        else if (*c == '&')
            es_text_append(out, "&amp;");
        else if (*c == '"')
            es_text_append(out, "&quot;");
        else
            es_text_append_n(out, c, 1);
    }
}

static void put_cell(es_text *out, double value, const char *unit)
{
    if (isnan(value))
        es_text_append(out, "<td>–</td>");
    else
        es_text_format(out, "<td>%.4g%s</td>", value, unit);
}

static void put_figures(es_text *out, const es_server *server, const es_served *served)
{
    const es_served_counts *counts = &served->counts;
    es_batcher_stats stats;
    es_batcher_stats_get(served->batcher, &stats, NULL, 0);
    uint64_t answered = atomic_load(&counts->outcomes[ES_SERVED_OK].count);
    uint64_t failed = 0;
    double none = (double)NAN;
    for (size_t i = ES_SERVED_OK + 1; i < ES_SERVED_OUTCOME_COUNT; i++)
        failed += atomic_load(&counts->outcomes[i].count);
    double answers = (double)answered;
    double energy_j =
        (double)(atomic_load(&counts->energy_model_pj) + atomic_load(&counts->energy_counted_pj)) /
        1e12;
    put_cell(out, answers, "");
    put_cell(out, (double)failed, "");
    put_cell(out, (double)stats.waiting, "");
    put_cell(out,
             answered > 0 ? (double)atomic_load(&counts->outcomes[ES_SERVED_OK].ns) / answers / 1e6
                          : none,
             " ms");
    put_cell(out, stats.runs > 0 ? (double)stats.run_ns / (double)stats.runs / 1e6 : none, " ms");
    put_cell(out, stats.runs > 0 ? (double)stats.rows / (double)stats.runs : none, "");
    put_cell(out, energy_j, " J");
    put_cell(out, es_joules_grams(server->joules, energy_j), " g");
}

static void put_row(es_text *out, const es_server *server, const es_repository_entry *entry)
{
    const char *state = es_model_state_names[entry->state];
    es_text_append(out, "<tr><td>");
    put_escaped(out, entry->name);
    if (entry->version > 0)
        es_text_format(out, " <small>%lld</small>", (long long)entry->version);
    es_text_format(out, "</td><td class=\"%s\">%s", state, state);
    if (entry->reason[0] != '\0') {
        es_text_append(out, "<br><small>");
        put_escaped(out, entry->reason);
        es_text_append(out, "</small>");
    }
    es_text_append(out, "</td>");
    if (entry->served != NULL)
        put_figures(out, server, entry->served);
    else
        es_text_append(out, "<td colspan=\"8\"></td>");
    es_text_append(out, "</tr>");
}

static void put_page(es_text *out, es_server *server, const es_server_listing *all)
{
    static const char *const phases[ES_SERVER_PHASE_COUNT] = {"starting", "ready", "stopping"};
    es_joules_total total;
    es_joules_total_get(server->joules, &total);
    es_text_append(out, HEAD);
    es_text_append(out, "<title>");
    put_escaped(out, server->opts.name);
    es_text_append(out, "</title></head><body><h1>");
    put_escaped(out, server->opts.name);
    es_text_format(out, "</h1><p>%s for %.0f s · %.1f MiB · %.4g J above rest (%s)</p>",
                   phases[atomic_load(&server->phase)],
                   es_s_from_ns(es_clock_now_ns(server->clock) - server->start_ns),
                   (double)es_server_memory_bytes() / (1 << 20), total.energy_j, total.source);
    uint64_t dropped = server->log != NULL ? es_request_log_dropped(server->log) : 0;
    if (dropped > 0)
        es_text_format(out, "<p>The request log could not write %llu lines.</p>",
                       (unsigned long long)dropped);
    es_text_append(out, "<table><tr><th>model</th><th>state</th><th>answered</th><th>failed</th>"
                        "<th>waiting</th><th>latency</th><th>run</th><th>rows/run</th>"
                        "<th>energy</th><th>CO2e</th></tr>");
    for (size_t i = 0; i < all->count; i++)
        put_row(out, server, &all->entries[i]);
    es_text_append(out, "</table><p><a href=\"metrics\">metrics</a></p></body></html>\n");
}

uint64_t es_server_memory_bytes(void)
{
    unsigned long long size = 0;
    unsigned long long resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return 0;
    int read = fscanf(file, "%llu %llu", &size, &resident);
    (void)fclose(file); /* was only read */
    long page = sysconf(_SC_PAGESIZE);
    return read == 2 && page > 0 ? resident * (uint64_t)page : 0;
}

void es_server_page(void *context, es_http_request *request)
{
    es_server *server = context;
    es_server_listing all;
    es_text text;
    es_error err = {0};
    if (!es_server_listing_take(server, request, &all))
        return;
    es_text_init(&text, PAGE_BYTES_MAX);
    put_page(&text, server, &all);
    es_server_listing_done(&all);
    static const es_http_header headers[] = {
        {"Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"},
        {"Cache-Control", "no-store"}};
    if (es_text_status(&text, &err) != ES_OK)
        es_http_answer_fail(request, &err);
    else
        es_http_answer_send(request, &(es_http_answer){.status = 200,
                                                       .content_type = "text/html; charset=utf-8",
                                                       .headers = headers,
                                                       .header_count = 2,
                                                       .body = es_text_get(&text),
                                                       .body_bytes = text.size});
    es_text_done(&text);
}
