/* What a controller shows: JSON, metrics, a page. */
#include "base/exposition.h"
#include "control/internal.h"

static const char *node_name(const es_controller *c, uint32_t v)
{
    return es_network_node(c->scenario.network, (es_node_id){v})->name;
}

static const char *class_task(const es_controller *c, uint32_t k)
{
    return c->scenario.tasks[c->scenario.classes[k].task.index].name;
}

static const char *class_entry(const es_controller *c, uint32_t k)
{
    return node_name(c, c->scenario.classes[k].node.index);
}

static double since_s(const es_controller *c, int64_t then_ns)
{
    return es_s_from_ns(es_clock_now_ns(c->given.clock) - then_ns);
}

/* ---- JSON ---- */

void es_controller_write_plan(const es_controller *c, es_text *out)
{
    es_json json;
    if (c->goal != NULL) {
        es_plan_write(c->goal, &c->scenario, out);
        return;
    }
    es_json_init(&json, out, false);
    es_json_null(&json);
}

static void put_hosted(const es_controller *c, const es_member *member, es_json *json)
{
    es_json_key(json, "hosted");
    es_json_list_begin(json);
    for (uint32_t s = 0; s < c->segment_count; s++)
        if (c->hosted[es_cell(c, member->node, (es_segment_id){s})])
            es_json_text(json, c->scenario.segments[s].name);
    es_json_list_end(json);
}

static void put_member(const es_controller *c, const es_member *member, es_json *json)
{
    es_json_map_begin(json);
    es_json_put_text(json, "name", member->process->name);
    es_json_put_text(json, "url", member->process->url);
    es_json_put_bool(json, "up", member->up);
    es_json_put_number(json, "since_s", since_s(c, member->changed_ns));
    if (member->gateway) {
        es_json_put_int(json, "generation", member->generation);
        es_json_put_bool(json, "behind", member->behind_ns > 0);
    } else {
        put_hosted(c, member, json);
    }
    es_json_put_text(json, "trouble", member->trouble[0] != '\0' ? member->trouble : NULL);
    es_json_map_end(json);
}

static void put_members(const es_controller *c, es_json *json, const char *key, bool gateways)
{
    es_json_key(json, key);
    es_json_list_begin(json);
    for (size_t i = 0; i < c->member_count; i++)
        if (c->members[i].gateway == gateways)
            put_member(c, &c->members[i], json);
    es_json_list_end(json);
}

static void put_transition(const es_controller *c, es_json *json)
{
    const es_move *move = &c->move;
    size_t count = move->transition != NULL ? move->transition->step_count : 0;
    es_text line;
    es_json_key(json, "transition");
    if (count == 0 || move->at == count) {
        es_json_null(json);
        return;
    }
    es_text_init(&line, ES_DOCUMENT_BYTES_MAX);
    es_json_map_begin(json);
    es_json_put_int(json, "step", (int64_t)move->at + 1);
    es_json_put_int(json, "count", (int64_t)count);
    es_json_put_int(json, "failures", move->failures);
    es_json_key(json, "steps");
    es_json_list_begin(json);
    for (size_t i = 0; i < count; i++) {
        es_text_clear(&line);
        es_transition_tell(move->transition, &c->scenario, i, &line);
        es_json_text(json, es_text_get(&line));
    }
    es_json_list_end(json);
    es_json_map_end(json);
    es_text_done(&line);
}

/* The i-th of the last slots, 0 the oldest kept. */
static const es_recent *recent_of(const es_controller *c, uint32_t i)
{
    uint32_t count = c->recent_count < ES_RECENT ? c->recent_count : ES_RECENT;
    return &c->recent[(c->recent_count - count + i) % ES_RECENT];
}

static uint32_t recent_count(const es_controller *c)
{
    return c->recent_count < ES_RECENT ? c->recent_count : ES_RECENT;
}

static void put_slots(const es_controller *c, es_json *json)
{
    es_json_key(json, "slots");
    es_json_list_begin(json);
    for (uint32_t i = 0; i < recent_count(c); i++) {
        const es_recent *one = recent_of(c, i);
        es_json_map_begin(json);
        es_json_put_int(json, "slot", one->slot);
        es_json_put_number(json, "observed_s", one->elapsed_s);
        es_json_put_number(json, "requests", one->requests);
        es_json_put_number(json, "cost", one->cost);
        es_json_put_number(json, "regret", one->regret);
        es_json_put_number(json, "decision_s", one->decision_s);
        es_json_map_end(json);
    }
    es_json_list_end(json);
}

void es_controller_write_status(const es_controller *c, es_text *out)
{
    es_json json;
    es_json_init(&json, out, false);
    es_json_map_begin(&json);
    es_json_put_text(&json, "format", "estran-controller");
    es_json_put_int(&json, "version", 1);
    es_json_put_text(&json, "scenario", c->scenario.name);
    es_json_put_text(&json, "policy", c->given.policy);
    es_json_put_number(&json, "slot_s", c->scenario.slot_s);
    es_json_key(&json, "slot");
    if (c->decided)
        es_json_int(&json, c->slot);
    else
        es_json_null(&json);
    es_json_put_bool(&json, "settled", es_controller_is_settled(c));
    es_json_put_int(&json, "generation", c->force != NULL ? c->generation : 0);
    es_json_put_text(&json, "trouble", c->trouble[0] != '\0' ? c->trouble : NULL);
    put_members(c, &json, "nodes", false);
    put_members(c, &json, "gateways", true);
    put_transition(c, &json);
    es_json_key(&json, "totals");
    es_json_map_begin(&json);
    es_json_put_int(&json, "slots", (int64_t)c->totals.slots);
    es_json_put_number(&json, "requests", c->totals.requests);
    es_json_put_number(&json, "cost", c->totals.cost);
    es_json_put_number(&json, "regret", c->totals.regret);
    es_json_map_end(&json);
    put_slots(c, &json);
    es_json_map_end(&json);
}

/* ---- metrics: text format 0.0.4 ---- */

static void put_figure(es_text *out, const char *name, const char *type, const char *help,
                       double figure)
{
    es_exposition_family(out, name, type, help);
    es_exposition_sample(out, name, NULL, 0, figure);
}

static void put_decisions(const es_controller *c, es_text *out)
{
    static const char name[] = "estran_decision_duration_seconds";
    es_exposition_family(out, name, "histogram", "Time that the policy took to decide a slot.");
    es_exposition_histogram(out, name, NULL, 0, es_decision_ends_s, c->decisions,
                            ES_DECISION_BUCKETS, c->decision_s_sum);
}

/* Of each class over the gateways that tell, weighted by what they answered. */
static double accuracy_of(const es_controller *c, uint32_t k)
{
    double sum = 0;
    double weight = 0;
    for (size_t g = 0; g < c->given.cluster->gateway_count; g++) {
        const es_reading *reading = &c->readings[g];
        if (!reading->known || !isfinite(reading->quality[k]))
            continue;
        sum += reading->answered[k] * reading->quality[k];
        weight += reading->answered[k];
    }
    return weight > 0 ? sum / weight : (double)NAN;
}

static void put_accuracy(const es_controller *c, es_text *out)
{
    static const char name[] = "estran_accuracy_estimate_ratio";
    bool any = false;
    for (uint32_t k = 0; k < c->class_count; k++) {
        double accuracy = accuracy_of(c, k);
        if (!isfinite(accuracy))
            continue;
        if (!any)
            es_exposition_family(
                out, name, "gauge",
                "Expected quality of what was answered since the gateways started.");
        any = true;
        const es_exposition_label labels[] = {{"task", class_task(c, k)},
                                              {"entry", class_entry(c, k)}};
        es_exposition_sample(out, name, labels, 2, accuracy);
    }
}

static void put_up(const es_controller *c, es_text *out, const char *name, const char *label,
                   bool gateways, const char *help)
{
    es_exposition_family(out, name, "gauge", help);
    for (size_t i = 0; i < c->member_count; i++) {
        const es_exposition_label which = {label, c->members[i].process->name};
        if (c->members[i].gateway == gateways)
            es_exposition_sample(out, name, &which, 1, c->members[i].up);
    }
}

void es_controller_write_metrics(const es_controller *c, es_text *out)
{
    put_figure(out, "estran_regret_total", "counter",
               "Objective that the best allocation of each slot would have saved, in hindsight.",
               c->totals.regret);
    put_figure(out, "estran_slots_total", "counter", "Slots observed.", (double)c->totals.slots);
    put_figure(out, "estran_transitions_total", "counter", "Plans brought into force.",
               (double)c->transitions);
    put_figure(out, "estran_routes_generation", "gauge", "Of the routes in force.",
               (double)c->generation);
    put_figure(out, "estran_controller_settled", "gauge",
               "Whether all that was decided is in force.", es_controller_is_settled(c));
    put_figure(out, "estran_controller_trouble", "gauge",
               "Whether something keeps the controller from working.", c->trouble[0] != '\0');
    put_decisions(c, out);
    put_accuracy(c, out);
    put_up(c, out, "estran_node_up", "node", false, "Whether a node answers the controller.");
    put_up(c, out, "estran_gateway_up", "gateway", true,
           "Whether a gateway answers the controller.");
}

/* ---- the page ---- */

static void put_html(es_text *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '&')
            es_text_append(out, "&amp;");
        else if (*text == '<')
            es_text_append(out, "&lt;");
        else if (*text == '>')
            es_text_append(out, "&gt;");
        else
            es_text_append_n(out, text, 1);
    }
}

static void put_cell(es_text *out, const char *text)
{
    es_text_append(out, "<td>");
    put_html(out, text);
    es_text_append(out, "</td>");
}

static void page_member(const es_controller *c, const es_member *member, es_text *out)
{
    es_text_append(out, member->up ? "<tr>" : "<tr class=\"down\">");
    put_cell(out, member->process->name);
    es_text_format(out, "<td>%s %.0f s</td><td>", member->up ? "answers since" : "gone since",
                   since_s(c, member->changed_ns));
    if (member->gateway)
        es_text_format(out, "routes %lld%s", (long long)member->generation,
                       member->behind_ns > 0 ? ", behind" : "");
    for (uint32_t s = 0; !member->gateway && s < c->segment_count; s++)
        if (c->hosted[es_cell(c, member->node, (es_segment_id){s})]) {
            put_html(out, c->scenario.segments[s].name);
            es_text_append(out, " ");
        }
    es_text_append(out, "</td>");
    put_cell(out, member->trouble);
    es_text_append(out, "</tr>\n");
}

static void page_routes(const es_controller *c, es_text *out)
{
    es_text_format(out,
                   "<h2>Routes in force: generation %lld</h2>\n<table>"
                   "<tr><th>requests</th><th>share</th><th>pipeline</th><th>over</th></tr>\n",
                   (long long)c->generation);
    for (size_t r = 0; c->force != NULL && r < c->force->routing_count; r++) {
        const es_routing *routing = &c->force->routings[r];
        const es_pipeline *pipeline = &c->scenario.pipelines[routing->pipeline.index];
        es_text_append(out, "<tr><td>");
        put_html(out, class_task(c, routing->class_id.index));
        es_text_append(out, " at ");
        put_html(out, class_entry(c, routing->class_id.index));
        es_text_format(out, "</td><td>%.1f %%</td>", 100 * routing->share);
        put_cell(out, pipeline->name);
        es_text_append(out, "<td>");
        for (uint32_t k = 0; k < pipeline->stage_count; k++) {
            es_text_append(out, k > 0 ? " &rarr; " : "");
            put_html(out, node_name(c, routing->nodes[k].index));
        }
        es_text_append(out, "</td></tr>\n");
    }
    es_text_append(out, "</table>\n");
}

static void page_transition(const es_controller *c, es_text *out)
{
    const es_move *move = &c->move;
    size_t count = move->transition != NULL ? move->transition->step_count : 0;
    if (count == 0 || move->at == count) {
        es_text_append(out, "<p>No transition is under way.</p>\n");
        return;
    }
    es_text_format(out, "<h2>Transition: step %zu of %zu</h2>\n<ol>", move->at + 1, count);
    es_text line;
    es_text_init(&line, ES_DOCUMENT_BYTES_MAX);
    for (size_t i = 0; i < count; i++) {
        es_text_clear(&line);
        es_transition_tell(move->transition, &c->scenario, i, &line);
        es_text_append(out, i < move->at ? "<li class=\"done\">" : "<li>");
        put_html(out, es_text_get(&line));
        es_text_append(out, "</li>\n");
    }
    es_text_done(&line);
    es_text_append(out, "</ol>\n");
}

static void page_slots(const es_controller *c, es_text *out)
{
    es_text_append(out, "<h2>Last slots</h2>\n<table><tr><th>slot</th><th>requests</th>"
                        "<th>cost</th><th>regret</th><th>decided in</th></tr>\n");
    for (uint32_t i = recent_count(c); i > 0; i--) {
        const es_recent *one = recent_of(c, i - 1);
        es_text_format(out,
                       "<tr><td>%u</td><td>%.4g</td><td>%.4g</td><td>%.3g</td><td>%.2g s</td>"
                       "</tr>\n",
                       one->slot, one->requests, one->cost, one->regret, one->decision_s);
    }
    es_text_append(out, "</table>\n");
}

void es_controller_write_page(const es_controller *c, es_text *out)
{
    es_text_append(out, "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">"
                        "<meta http-equiv=\"refresh\" content=\"5\"><title>estran controller: ");
    put_html(out, c->scenario.name);
    es_text_append(out, "</title><style>body{font:15px sans-serif;margin:2em;max-width:70em}"
                        "table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:left;"
                        "border-bottom:1px solid #ddd}.down{color:#b00}.done{color:#999}"
                        "</style></head><body>\n<h1>");
    put_html(out, c->scenario.name);
    es_text_append(out, "</h1>\n<p>Policy ");
    put_html(out, c->given.policy);
    if (c->decided)
        es_text_format(out, ", slot %u of %g s", c->slot, c->scenario.slot_s);
    es_text_format(out, ". %s</p>\n",
                   es_controller_is_settled(c) ? "All that was decided is in force."
                                               : "On the way to what was decided.");
    if (c->trouble[0] != '\0') {
        es_text_append(out, "<p class=\"down\">");
        put_html(out, c->trouble);
        es_text_append(out, "</p>\n");
    }
    es_text_append(out, "<h2>Nodes and gateways</h2>\n<table><tr><th>name</th><th></th>"
                        "<th>has</th><th>trouble</th></tr>\n");
    for (size_t i = 0; i < c->member_count; i++)
        page_member(c, &c->members[i], out);
    es_text_append(out, "</table>\n");
    page_transition(c, out);
    page_routes(c, out);
    page_slots(c, out);
    es_text_append(out, "<p><a href=\"/estran/v1/status\">status</a> "
                        "<a href=\"/estran/v1/plan\">plan</a> <a href=\"/metrics\">metrics</a>"
                        "</p></body></html>\n");
}
