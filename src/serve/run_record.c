#include "base/document.h"
#include "run_internal.h"

#include <math.h>
#include <string.h>

#define J_PER_KWH 3.6e6

/* As the scenario declares it: of the segment where it was measured, else of the hardware kind. */
double es_run_power_w(const es_scenario *scenario, uint32_t segment, uint32_t node)
{
    es_service service =
        es_scenario_service(scenario, (es_segment_id){segment}, (es_node_id){node});
    if (isfinite(service.time_s) && service.time_s > 0)
        return service.energy_j / service.time_s;
    return scenario->kinds[scenario->node_kinds[node]].server_w;
}

static double intensity(const es_run *run, uint32_t node)
{
    return es_scenario_carbon_gco2e_per_kwh(run->scenario, (es_node_id){node});
}

/* The rules of es_scenario_price: a transfer's carbon is that of the mean of its two ends. */
static void add_transfer(const es_run *run, uint32_t from, uint32_t to, double bytes,
                         es_sample *sample)
{
    es_route route;
    if (from == to ||
        !es_routes_get(run->scenario->routes, (es_node_id){from}, (es_node_id){to}, &route))
        return;
    double energy_j = 8 * bytes * route.energy_j_per_bit;
    sample->energy_network_j += energy_j;
    sample->carbon_g += energy_j * (intensity(run, from) + intensity(run, to)) / 2 / J_PER_KWH;
}

void es_run_account(const es_run *run, size_t routing, uint32_t stages_run, const double *service_s,
                    es_sample *sample)
{
    const es_run_way *way = &run->ways[routing];
    uint32_t before = way->origin;
    for (uint32_t k = 0; k < stages_run; k++) {
        const es_run_stage *stage = &way->stages[k];
        double energy_j = service_s[k] * es_run_power_w(run->scenario, stage->segment, stage->node);
        add_transfer(run, before, stage->node, stage->input_bytes, sample);
        sample->energy_compute_j += energy_j;
        sample->carbon_g += energy_j * intensity(run, stage->node) / J_PER_KWH;
        before = stage->node;
    }
    if (sample->fate == ES_FATE_SERVED)
        add_transfer(run, before, way->origin, (double)way->output_bytes, sample);
}

/* ---- what nodes have used, asked at the ends of slots ---- */

typedef struct question {
    es_run *run;
    uint32_t node, boundary;
} question;

static es_status read_answer(const question *asked, const es_http_reply *reply)
{
    es_run *run = asked->run;
    es_run_node *node = &run->nodes[asked->node];
    const es_doc *root = NULL;
    const char *source = NULL;
    double busy_s = 0;
    double energy_j = 0;
    es_arena_reset(run->scratch);
    ES_TRY(es_doc_parse_json(run->scratch, "observation", reply->body, reply->body_bytes, &root,
                             NULL));
    ES_TRY(es_doc_need_number(root, "busy_s", 0, 1e300, &busy_s, NULL));
    ES_TRY(es_doc_need_number(root, "energy_j", 0, 1e300, &energy_j, NULL));
    ES_TRY(es_doc_need_text(root, "energy_source", &source, NULL));
    node->busy_s[asked->boundary] = busy_s;
    if (strcmp(source, "model") == 0)
        return ES_OK; /* no counters: what the scenario declares stands alone */
    node->energy_j[asked->boundary] = energy_j;
    (void)snprintf(node->energy_source, sizeof node->energy_source, "%s", source);
    return ES_OK;
}

static void on_answer(void *context, const es_http_result *result)
{
    const question *asked = context;
    asked->run->nodes[asked->node].told++;
    if (result->end == ES_HTTP_END_REPLY && result->reply.status == 200)
        (void)read_answer(asked, &result->reply); /* what is not told stays NAN */
    else if (result->end != ES_HTTP_END_CANCELLED)
        es_run_node_look(asked->run, asked->node, 0);
}

void es_run_ask_stats(es_run *run, uint32_t boundary)
{
    for (uint32_t v = 0; v < run->node_count; v++) {
        question *asked = ES_TAKE_ONE(run->arena, question);
        if (run->nodes[v].dead || asked == NULL)
            continue;
        *asked = (question){.run = run, .node = v, .boundary = boundary};
        const es_http_call call = {.method = ES_HTTP_GET,
                                   .path = "/estran/v1/observe",
                                   .repeatable = true,
                                   .called = on_answer,
                                   .context = asked};
        if (es_http_call_send(run->nodes[v].http, &call, NULL, NULL) != ES_OK)
            run->nodes[v].told++; /* it stays unknown */
    }
}

bool es_run_stats_complete(const es_run *run)
{
    for (uint32_t v = 0; v < run->node_count; v++)
        if (!run->nodes[v].dead && run->nodes[v].told < run->boundary_count)
            return false;
    return run->boundary_next == run->boundary_count;
}

/* Mean watts above idle of a busy processor of the node: over the segments it hosts. */
static double node_power_w(const es_run *run, uint32_t v)
{
    const es_run_node *node = &run->nodes[v];
    double sum = 0;
    for (uint32_t i = 0; i < node->model_count; i++)
        sum += es_run_power_w(run->scenario, node->models[i].segment, v);
    return node->model_count > 0 ? sum / node->model_count : 0;
}

static double model_bytes(const es_run *run, uint32_t v)
{
    const es_run_node *node = &run->nodes[v];
    double bytes = 0;
    for (uint32_t i = 0; i < node->model_count; i++)
        bytes += run->scenario->segments[node->models[i].segment].memory_bytes;
    return bytes;
}

/* Busy between two boundaries; a boundary that was not answered (the node died) adds nothing. */
static double busy_between(const es_run_node *node, uint32_t slot)
{
    double before_s = node->busy_s[slot];
    double after_s = node->busy_s[slot + 1];
    return after_s > before_s ? after_s - before_s : 0; /* false for NAN */
}

/* By the machine's counters; before the first update of a counter a node has used nothing yet. */
static double measured_between(const es_run_node *node, uint32_t slot)
{
    double before_j = isnan(node->energy_j[slot]) && slot == 0 ? 0 : node->energy_j[slot];
    double after_j = node->energy_j[slot + 1];
    return after_j > before_j ? after_j - before_j : 0;
}

es_status es_run_record_nodes(es_run *run, es_error *err)
{
    const es_scenario *scenario = run->scenario;
    for (uint32_t v = 0; v < run->node_count; v++) {
        const es_run_node *node = &run->nodes[v];
        double idle_w = es_network_node(scenario->network, (es_node_id){v})->idle_w;
        double alive_s =
            node->dead ? es_s_from_ns(node->died_ns - run->time_0_ns) : (double)INFINITY;
        double power_w = node_power_w(run, v);
        for (uint32_t slot = 0; slot + 1 < run->boundary_count; slot++) {
            double from_s = slot * scenario->slot_s;
            double to_s = fmin(from_s + scenario->slot_s, run->duration_s);
            double on_s = fmax(0, fmin(to_s, alive_s) - from_s);
            double busy_s = busy_between(node, slot);
            double measured_j = measured_between(node, slot);
            es_node_use use = {
                .measured_j = measured_j,
                .measured_source = measured_j > 0 ? node->energy_source : NULL,
                .slot = slot,
                .node = {v},
                .busy_s = busy_s,
                .duration_s = to_s - from_s,
                .idle_j = node->model_count > 0 ? idle_w * on_s : 0,
                .dynamic_j = busy_s * power_w,
                .model_bytes_loaded = slot == 0 ? model_bytes(run, v) : 0,
                .died = node->dead && alive_s < to_s,
            };
            ES_TRY(es_outcome_add_node(run->recorder, &use, err));
        }
    }
    return ES_OK;
}
