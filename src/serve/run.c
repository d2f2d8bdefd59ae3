#include "run_internal.h"

#include <sys/resource.h>

enum { STOP_GRACE_MS = 1000, FILES_MAX = 65535, SCRATCH_BYTES_MAX = 1 << 30 };

es_run_opts es_run_opts_default(void)
{
    return (es_run_opts){.label = "plan",
                         .warm_up_s = 0.5,
                         .queue_capacity = 1024,
                         .grace_s = 2,
                         .start_timeout_s = 60};
}

bool es_run_cancelled(const es_run *run)
{
    return run->opts.stop != NULL && *run->opts.stop != 0;
}

static es_status check_opts(const es_scenario *scenario, const es_run_opts *opts, es_error *err)
{
    double total_s = scenario->slot_s * scenario->slot_count;
    uint32_t nodes = es_network_node_count(scenario->network);
    if (opts->program == NULL)
        return es_fail(err, ES_ERR_ARG, "a run needs the program that serves a node");
    if (nodes > ES_RUN_NODE_MAX)
        return es_fail(err, ES_ERR_LIMIT,
                       "a run starts one process per node: %u nodes must be at most %d", nodes,
                       ES_RUN_NODE_MAX);
    if (!(opts->duration_s >= 0) || opts->duration_s > total_s * (1 + 1e-9))
        return es_fail(err, ES_ERR_ARG, "duration_s=%g must be 0 to %g, the slots of the scenario",
                       opts->duration_s, total_s);
    if (!(opts->warm_up_s >= 0) || !(opts->grace_s >= 0) || !(opts->start_timeout_s > 0) ||
        opts->warm_up_s > 1e6 || opts->grace_s > 1e6 || opts->start_timeout_s > 1e6)
        return es_fail(err, ES_ERR_ARG,
                       "warm_up_s=%g and grace_s=%g must be 0 to 1e6, start_timeout_s=%g > 0",
                       opts->warm_up_s, opts->grace_s, opts->start_timeout_s);
    if (opts->queue_capacity == 0)
        return es_fail(err, ES_ERR_ARG, "queue_capacity=0 must be > 0");
    return ES_OK;
}

/* A request under way is a connection: this process and those that it starts may need many. */
static void raise_files(struct rlimit *before)
{
    if (getrlimit(RLIMIT_NOFILE, before) != 0) {
        *before = (struct rlimit){0};
        return;
    }
    struct rlimit more = *before;
    more.rlim_cur = before->rlim_max < FILES_MAX ? before->rlim_max : FILES_MAX;
    if (more.rlim_cur > before->rlim_cur)
        (void)setrlimit(RLIMIT_NOFILE, &more); /* fewer requests at once without */
}

static es_status execute(es_run *run, es_error *err)
{
    ES_TRY(es_run_configure(run, err));
    run->scratch = es_arena_new(SCRATCH_BYTES_MAX);
    if (run->scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for replies");
    ES_TRY(es_run_folder_make(run, err));
    ES_TRY(es_run_nodes_start(run, err));
    es_run_folder_remove(run); /* all is loaded */
    ES_TRY(es_run_inputs_make(run, err));
    ES_TRY(es_outcome_recorder_new(run->arena, run->scenario, run->plan, run->opts.label, "run",
                                   run->seed, &run->recorder, err));
    return es_run_drive(run, err);
}

/* What is under way is forgotten; then the processes are ended and reaped. */
static void stop_all(es_run *run)
{
    es_child *children[ES_RUN_NODE_MAX];
    uint32_t count = run->nodes != NULL ? run->node_count : 0;
    es_http_caller_free(run->caller); /* its callbacks find requests that have their fate */
    for (uint32_t v = 0; v < count; v++) {
        es_http_peer_unref(run->nodes[v].http);
        children[v] = &run->nodes[v].child;
    }
    es_children_end(children, count, STOP_GRACE_MS);
    for (size_t i = 0; i < run->pending.count; i++)
        es_text_done(&run->pending.items[i]->body);
    es_run_folder_remove(run);
    es_chooser_free(run->chooser);
    es_arena_free(run->scratch);
}

es_status es_run_plan(es_arena *arena, const es_scenario *scenario, const es_plan *plan,
                      es_run_opts opts, const es_outcome **out_outcome, es_error *err)
{
    es_error own = {0};
    struct rlimit files;
    ES_TRY(check_opts(scenario, &opts, err));
    es_run run = {
        .arena = arena,
        .scenario = scenario,
        .plan = plan,
        .opts = opts,
        .seed = opts.seed != 0 ? opts.seed : scenario->seed,
        .duration_s =
            opts.duration_s > 0 ? opts.duration_s : scenario->slot_s * scenario->slot_count,
        .node_count = es_network_node_count(scenario->network),
        .err = err != NULL ? err : &own,
    };
    raise_files(&files);
    es_status status = execute(&run, run.err);
    stop_all(&run);
    if (files.rlim_max > 0)
        (void)setrlimit(RLIMIT_NOFILE, &files); /* it was so before */
    ES_TRY(status);
    es_outcome_observed(run.recorder, run.duration_s);
    return es_outcome_seal(run.recorder, out_outcome, err);
}
