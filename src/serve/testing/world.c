#include "world.h"

#include "base/file.h"
#include "tiny_onnx.h"

#include <math.h>

/* a 64 -> b 32 -> relu -> c 8 -> softmax: whole, and cut behind the relu; a small one; one with an
 * exit beside the tensor that goes on; one of the wrong width; one with two inputs. */
static const char head[] =
    "format: estran-scenario\n"
    "version: 1\n"
    "name: world\n"
    "slots: {length_s: 0.5, count: 2}\n"
    "kinds:\n"
    "  - {name: fast, slowdown: 1, processors: 2, memory_mb: 100, idle_w: 1, busy_w: 5}\n"
    "  - {name: fixed, processors: 1, memory_mb: 100, idle_w: 1, busy_w: 5}\n"
    "nodes:\n"
    "  - {name: device, tier: device, kind: fast, carbon_gco2e_per_kwh: 100}\n"
    "  - {name: edge, tier: edge, kind: fixed, carbon_gco2e_per_kwh: 200}\n"
    "  - {name: cloud, tier: cloud, kind: fast, carbon_gco2e_per_kwh: 400}\n"
    "links:\n"
    "  - {between: [device, edge], latency_ms: 5, bandwidth_mbps: 2, energy_nj_per_bit: 100}\n"
    "  - {between: [edge, cloud], latency_ms: 10, bandwidth_mbps: 10, energy_nj_per_bit: 10}\n"
    "tasks:\n"
    "  - {name: t, input_bytes: 256, output_bytes: 32}\n"
    "  - {name: wrong, input_bytes: 200, output_bytes: 32}\n"
    "  - {name: known, input_bytes: 256, output_bytes: 32, samples: samples.f32,\n"
    "     labels: labels.u8}\n"
    "segments:\n"
    "  - {name: whole, file: whole.onnx, memory_mb: 1, on: [{kind: host, time_ms: 0.02},\n"
    "                                                       {kind: fixed, time_ms: 20}]}\n"
    "  - {name: head, file: head.onnx, memory_mb: 1, output_bytes: 128,\n"
    "     on: [{kind: host, time_ms: 0.02}, {kind: fixed, time_ms: 20}]}\n"
    "  - {name: tail, file: tail.onnx, memory_mb: 1, on: [{kind: host, time_ms: 0.02},\n"
    "                                                     {kind: fixed, time_ms: 20}]}\n"
    "  - {name: exits, file: exits.onnx, memory_mb: 1, output_bytes: 128,\n"
    "     on: [{kind: host, time_ms: 0.02}]}\n"
    "  - {name: small, file: small.onnx, memory_mb: 1, on: [{kind: host, time_ms: 0.02}]}\n"
    "  - {name: two, file: two.onnx, memory_mb: 1, on: [{kind: host, time_ms: 0.02}]}\n"
    "  - {name: absent, file: absent.onnx, memory_mb: 1, on: [{kind: host, time_ms: 0.02}]}\n"
    "  - {name: none, memory_mb: 1, on: [{kind: host, time_ms: 0.02}]}\n"
    "pipelines:\n"
    "  - {name: whole, task: t, quality: 0.9, stages: [{segment: whole}]}\n"
    "  - {name: split, task: t, quality: 0.9, stages: [{segment: head}, {segment: tail}]}\n"
    "  - {name: early, task: t, quality: 0.85,\n"
    "     stages: [{segment: exits, exit_threshold: 0.6, exit_output: 1},\n"
    "              {segment: tail, reach: 0.5}]}\n"
    "  - {name: cascade, task: t, quality: 0.8,\n"
    "     stages: [{segment: small, exit_threshold: 0.6},\n"
    "              {segment: whole, reach: 0.5, input: request}]}\n"
    "  - {name: mixed, task: t, quality: 0.8,\n"
    "     stages: [{segment: exits, exit_threshold: 0.6, exit_output: 1},\n"
    "              {segment: tail, reach: 0.5, exit_threshold: 1},\n"
    "              {segment: whole, reach: 0.5, input: request}]}\n"
    "  - {name: two, task: t, quality: 0.8, stages: [{segment: two}]}\n"
    "  - {name: absent, task: t, quality: 0.8, stages: [{segment: absent}]}\n"
    "  - {name: none, task: t, quality: 0.8, stages: [{segment: none}]}\n"
    "  - {name: wrong, task: wrong, quality: 0.8, stages: [{segment: whole}]}\n"
    "  - {name: known, task: known, quality: 0.8, stages: [{segment: whole}]}\n";

static const char steady[] = "demand:\n"
                             "  - {task: t, at: device, rate_rps: 50, arrivals: constant}\n";

static void finish(const world *w, tiny_model *model, const char *name)
{
    char path[1024];
    es_error err = {0};
    (void)snprintf(path, sizeof path, "%s/%s", w->folder, name);
    assert_ok_err(tiny_write(model, path, &err), err);
}

static void head_layers(tiny_model *model)
{
    tiny_begin(model);
    tiny_input(model, "x", WORLD_INPUTS);
    tiny_dense(model, "x", "hidden", WORLD_INPUTS, WORLD_HIDDEN, 1);
    tiny_op(model, "Relu", "hidden", NULL, "active");
}

static void tail_layers(tiny_model *model)
{
    tiny_dense(model, "active", "logits", WORLD_HIDDEN, WORLD_CLASSES, 2);
    tiny_op(model, "Softmax", "logits", NULL, "y");
}

static void write_models(const world *w)
{
    tiny_model model;
    head_layers(&model);
    tail_layers(&model);
    tiny_output(&model, "y", WORLD_CLASSES);
    finish(w, &model, "whole.onnx");

    head_layers(&model);
    tiny_output(&model, "active", WORLD_HIDDEN);
    finish(w, &model, "head.onnx");

    tiny_begin(&model);
    tiny_input(&model, "active", WORLD_HIDDEN);
    tail_layers(&model);
    tiny_output(&model, "y", WORLD_CLASSES);
    finish(w, &model, "tail.onnx");

    head_layers(&model);
    tiny_dense(&model, "x", "guess", WORLD_INPUTS, WORLD_CLASSES, 3);
    tiny_output(&model, "active", WORLD_HIDDEN);
    tiny_output(&model, "guess", WORLD_CLASSES);
    finish(w, &model, "exits.onnx");

    tiny_begin(&model);
    tiny_input(&model, "x", WORLD_INPUTS);
    tiny_dense(&model, "x", "guess", WORLD_INPUTS, WORLD_CLASSES, 3);
    tiny_output(&model, "guess", WORLD_CLASSES);
    finish(w, &model, "small.onnx");

    tiny_begin(&model);
    tiny_input(&model, "x", WORLD_INPUTS);
    tiny_input(&model, "z", WORLD_INPUTS);
    tiny_op(&model, "Add", "x", "z", "y");
    tiny_output(&model, "y", WORLD_INPUTS);
    finish(w, &model, "two.onnx");

    char path[1024];
    es_error err = {0};
    const uint8_t nothing[sizeof(float) * WORLD_SAMPLES * WORLD_INPUTS] = {0};
    (void)snprintf(path, sizeof path, "%s/samples.f32", w->folder);
    assert_ok_err(es_file_write(path, nothing, sizeof nothing, &err), err);
    (void)snprintf(path, sizeof path, "%s/labels.u8", w->folder);
    assert_ok_err(es_file_write(path, nothing, WORLD_SAMPLES, &err), err);
}

void world_make(world *w, const char *rest)
{
    es_error err = {0};
    es_text text;
    *w = (world){.arena = es_arena_new((size_t)256 << 20)};
    assert_non_null(w->arena);
    (void)snprintf(w->folder, sizeof w->folder, "%s/serve-test-%ld", ES_TEST_BINARY_DIR,
                   (long)getpid());
    assert_ok_err(es_file_make_folder(w->folder, &err), err);
    write_models(w);
    es_text_init(&text, 1 << 20);
    es_text_append(&text, head);
    es_text_append(&text, rest != NULL ? rest : steady);
    assert_ok_err(es_scenario_parse(w->arena, "world.yaml", w->folder, es_text_get(&text),
                                    text.size, false, &w->scenario, &err),
                  err);
    es_text_done(&text);
    w->plan = (es_plan){.scenario = w->scenario->name,
                        .quality = ES_PLAN_FEASIBLE,
                        .placements = w->placements,
                        .routings = w->routings,
                        .refused_share = w->refused_share};
}

void world_done(world *w)
{
    static const char *const names[] = {"whole.onnx", "head.onnx", "tail.onnx",   "exits.onnx",
                                        "small.onnx", "two.onnx",  "samples.f32", "labels.u8"};
    char path[1024];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", w->folder, names[i]);
        (void)remove(path);
    }
    (void)rmdir(w->folder);
    es_arena_free(w->arena);
}

void world_route(world *w, const char *pipeline, const int *nodes, double share)
{
    es_routing *routing = &w->routings[w->plan.routing_count++];
    routing->pipeline = es_scenario_pipeline_find(w->scenario, pipeline);
    assert_true(routing->pipeline.index != ES_INDEX_NONE);
    routing->share = share;
    const es_pipeline *found = &w->scenario->pipelines[routing->pipeline.index];
    for (uint32_t k = 0; k < found->stage_count; k++) {
        es_placement wanted = {{(uint32_t)nodes[k]}, found->stages[k].segment};
        bool there = false;
        routing->nodes[k] = wanted.node;
        for (size_t i = 0; i < w->plan.placement_count; i++)
            there = there || (w->placements[i].node.index == wanted.node.index &&
                              w->placements[i].segment.index == wanted.segment.index);
        if (!there)
            w->placements[w->plan.placement_count++] = wanted;
    }
}

es_run_opts world_opts(void)
{
    es_run_opts opts = es_run_opts_default();
    opts.program = ESTRAN_PROGRAM;
    opts.warm_up_s = 0.1;
    opts.grace_s = 1;
    opts.seed = 7;
    return opts;
}

const es_outcome *world_run(world *w, es_run_opts opts)
{
    const es_outcome *outcome = NULL;
    es_error err = {0};
    assert_ok_err(es_run_plan(w->arena, w->scenario, &w->plan, opts, &outcome, &err), err);
    assert_non_null(outcome);
    world_conserves(outcome);
    return outcome;
}

void world_conserves(const es_outcome *outcome)
{
    double arrived = 0;
    for (uint32_t i = 0; i < outcome->slot_count * outcome->class_count; i++) {
        const es_outcome_row *row = &outcome->rows[i];
        assert_true(fabs(row->arrived - row->served - row->refused - row->failed - row->in_flight) <
                    1e-9);
        arrived += row->arrived;
    }
    assert_true(fabs(arrived - outcome->total.arrived) < 1e-9);
}
