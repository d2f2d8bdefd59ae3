#include "internal.h"

const char *const es_load_scenario_names[ES_LOAD_SCENARIO_COUNT] = {"SingleStream", "MultiStream",
                                                                    "Server", "Offline"};

/* ---- options ---- */

es_load_opts es_load_opts_default(void)
{
    return (es_load_opts){.scenario = ES_LOAD_SERVER,
                          .rate_rps = 10,
                          .connections = 64,
                          .batch = 1,
                          .samples_per_query = 8,
                          .duration_s = 10,
                          .query_count_min = 100,
                          .warm_up_s = 1,
                          .latency_target_s = 0.1,
                          .timeout_s = 10};
}

static es_status check_range(const char *name, double value, double min, double max, es_error *err)
{
    if (!(value >= min && value <= max))
        return es_fail(err, ES_ERR_ARG, "%s=%g must be in [%g, %g]", name, value, min, max);
    return ES_OK;
}

static es_status check_opts(const es_load_opts *opts, es_error *err)
{
    if (opts->url == NULL || opts->model == NULL || opts->model[0] == '\0' ||
        strpbrk(opts->model, "/?# \r\n%") != NULL)
        return es_fail(err, ES_ERR_ARG,
                       "a load needs url and model, which holds no '/ ? # %%' or "
                       "spaces");
    if (opts->model_version != NULL && strpbrk(opts->model_version, "/?# \r\n%") != NULL)
        return es_fail(err, ES_ERR_ARG, "model_version '%s' must be one word", opts->model_version);
    if ((unsigned)opts->scenario >= ES_LOAD_SCENARIO_COUNT)
        return es_fail(err, ES_ERR_ARG, "scenario %d is none", (int)opts->scenario);
    ES_TRY(check_range("rate_rps", opts->rate_rps, 1e-3, 1e7, err));
    ES_TRY(check_range("connections", opts->connections, 1, 16384, err));
    ES_TRY(check_range("batch", opts->batch, 1, 65536, err));
    ES_TRY(check_range("duration_s", opts->duration_s, 0, 1e6, err));
    ES_TRY(check_range("duration_s_max", opts->duration_s_max, 0, 1e6, err));
    ES_TRY(check_range("warm_up_s", opts->warm_up_s, 0, 1e5, err));
    ES_TRY(check_range("latency_target_s", opts->latency_target_s, 1e-6, 1e4, err));
    ES_TRY(check_range("timeout_s", opts->timeout_s, 1e-3, 86400, err));
    if (!(opts->percentile >= 0 && opts->percentile < 1))
        return es_fail(err, ES_ERR_ARG, "percentile=%g must be in (0, 1), or 0", opts->percentile);
    if (opts->samples_per_query < opts->batch || opts->samples_per_query > 1u << 20 ||
        opts->samples_per_query % opts->batch != 0)
        return opts->scenario != ES_LOAD_MULTI_STREAM
                   ? ES_OK
                   : es_fail(err, ES_ERR_ARG, "samples_per_query=%u must be a multiple of batch=%u",
                             opts->samples_per_query, opts->batch);
    return ES_OK;
}

static es_status copy_texts(es_arena *arena, const char *const **texts, size_t count, es_error *err)
{
    const char **copies = ES_TAKE_ARRAY(arena, const char *, count);
    for (size_t i = 0; copies != NULL && i < count; i++)
        if ((copies[i] = es_arena_text(arena, (*texts)[i])) == NULL)
            return es_arena_full(arena, "options of a load", err);
    *texts = copies;
    return copies != NULL ? ES_OK : es_arena_full(arena, "options of a load", err);
}

static es_status copy_opts(es_load *load, const es_load_opts *opts, es_error *err)
{
    es_arena *arena = load->arena;
    load->opts = *opts;
    const char **texts[] = {&load->opts.url,     &load->opts.model,
                            &load->opts.token,   &load->opts.model_version,
                            &load->opts.ca_file, &load->opts.certificate_file,
                            &load->opts.input,   &load->opts.key_file};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (*texts[i] != NULL && (*texts[i] = es_arena_text(arena, *texts[i])) == NULL)
            return es_arena_full(arena, "options of a load", err);
    ES_TRY(copy_texts(arena, &load->opts.shapes, opts->shape_count, err));
    ES_TRY(copy_texts(arena, &load->opts.parameters, opts->parameter_count, err));
    if (opts->percentile <= 0)
        load->opts.percentile = opts->scenario == ES_LOAD_SINGLE_STREAM ? 0.9 : 0.99;
    load->model_path =
        opts->model_version == NULL
            ? es_arena_format(arena, "/v2/models/%s", opts->model)
            : es_arena_format(arena, "/v2/models/%s/versions/%s", opts->model, opts->model_version);
    if (load->model_path != NULL)
        load->infer_path = es_arena_format(arena, "%s/infer", load->model_path);
    return load->infer_path != NULL ? ES_OK : es_arena_full(arena, "options of a load", err);
}

/* ---- asking ---- */

typedef struct asked {
    es_arena *arena;
    es_http_reply *reply;
    es_error *err;
    es_status status;
    bool ended;
} asked;

static void take_reply(void *context, const es_http_result *result)
{
    asked *a = context;
    a->ended = true;
    a->status = result->status;
    if (result->status != ES_OK) {
        (void)es_fail(a->err, result->status, "%s", es_error_text(result->why));
        return;
    }
    const char *json_size = es_http_reply_header(&result->reply, ES_OIP_JSON_SIZE_HEADER);
    es_http_header *header = ES_TAKE_ONE(a->arena, es_http_header);
    *a->reply = (es_http_reply){
        .status = result->reply.status,
        .headers = header,
        .body = es_arena_text_n(a->arena, result->reply.body, result->reply.body_bytes),
        .body_bytes = result->reply.body_bytes};
    if (header == NULL || a->reply->body == NULL) {
        a->status = es_arena_full(a->arena, "reply", a->err);
    } else if (json_size != NULL) {
        *header = (es_http_header){.name = ES_OIP_JSON_SIZE_HEADER,
                                   .value = es_arena_text(a->arena, json_size)};
        a->reply->header_count = header->value != NULL;
    }
}

es_status es_load_ask(es_load *load, es_arena *arena, const es_http_call *call,
                      es_http_reply *out_reply, es_error *err)
{
    asked a = {.arena = arena, .reply = out_reply, .err = err};
    es_http_call sent = *call;
    sent.called = take_reply;
    sent.context = &a;
    sent.timeout_s = load->opts.timeout_s;
    ES_TRY(es_http_call_send(load->peer, &sent, NULL, err));
    while (!a.ended)
        es_http_caller_run(load->caller, INT64_MAX);
    ES_TRY(a.status);
    if (out_reply->status != 200)
        return es_fail(err, ES_ERR_UNAVAILABLE, "%s %s%s: status %d: %.200s",
                       es_http_method_name(call->method), load->opts.url, call->path,
                       out_reply->status, (const char *)out_reply->body);
    return ES_OK;
}

/* ---- life ---- */

static es_status connect_to(es_load *load, es_error *err)
{
    const es_load_opts *opts = &load->opts;
    es_http_caller_opts caller = es_http_caller_opts_default();
    es_http_peer_opts peer = es_http_peer_opts_default();
    caller.by_hand = true;
    caller.calls_max = ES_LOAD_OUTSTANDING_MAX;
    caller.connections_max = opts->connections;
    peer.url = opts->url;
    peer.token = opts->token;
    peer.ca_file = opts->ca_file;
    peer.certificate_file = opts->certificate_file;
    peer.key_file = opts->key_file;
    peer.timeout_s = opts->timeout_s;
    peer.connections_max = opts->connections;
    peer.waiting_max = ES_LOAD_OUTSTANDING_MAX;
    ES_TRY(es_http_caller_new(caller, &load->caller, err));
    return es_http_peer_new(load->caller, peer, &load->peer, err);
}

static es_status read_metadata(es_load *load, es_arena *scratch, const es_doc **out, es_error *err)
{
    es_http_reply reply = {0};
    es_http_call call = {.method = ES_HTTP_GET, .path = load->model_path, .repeatable = true};
    ES_TRY(es_load_ask(load, scratch, &call, &reply, err));
    return es_within(err,
                     es_doc_parse_json(scratch, "metadata", reply.body, reply.body_bytes, out, err),
                     "model '%s'", load->opts.model);
}

/* One request, so that a model that does not answer is told now and not as ten thousand faults. */
static es_status try_one(es_load *load, es_arena *scratch, es_error *err)
{
    es_http_reply reply = {0};
    es_oip_message answer;
    int64_t json_size = 0;
    const es_load_body *body = &load->bodies[0];
    es_http_header header;
    const es_http_call call = es_load_call(load, body, &header);
    ES_TRY(es_load_ask(load, scratch, &call, &reply, err));
    const char *value = es_http_reply_header(&reply, ES_OIP_JSON_SIZE_HEADER);
    if (!es_oip_json_size(value, &json_size))
        return es_fail(err, ES_ERR_PARSE, "answer of '%s': %s: '%s' is not a number",
                       load->opts.model, ES_OIP_JSON_SIZE_HEADER, value);
    return es_within(err,
                     es_oip_decode(scratch, ES_OIP_ANSWER, reply.body, reply.body_bytes, json_size,
                                   &answer, err),
                     "answer of '%s'", load->opts.model);
}

es_status es_load_new(es_load_opts opts, es_load **out_load, es_error *err)
{
    enum { LOAD_BYTES_MAX = 1 << 30, SCRATCH_BYTES_MAX = 256 << 20 };
    const es_doc *metadata = NULL;
    ES_TRY(check_opts(&opts, err));
    ES_CLEANUP(es_load_free_p) es_load *load = calloc(1, sizeof *load);
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(SCRATCH_BYTES_MAX);
    if (load == NULL || scratch == NULL || (load->arena = es_arena_new(LOAD_BYTES_MAX)) == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for a load");
    ES_TRY(copy_opts(load, &opts, err));
    load->warm_latency = es_histogram_new(load->arena);
    load->warm_delay = es_histogram_new(load->arena);
    if (load->warm_latency == NULL || load->warm_delay == NULL)
        return es_arena_full(load->arena, "histograms", err);
    ES_TRY(connect_to(load, err));
    ES_TRY(read_metadata(load, scratch, &metadata, err));
    ES_TRY(es_load_inputs_make(load, metadata, err));
    ES_TRY(try_one(load, scratch, err));
    *out_load = ES_TAKE(load);
    return ES_OK;
}

void es_load_free(es_load *load)
{
    if (load == NULL)
        return;
    es_http_peer_unref(load->peer);
    es_http_caller_free(load->caller);
    es_arena_free(load->arena);
    free(load);
}

void es_load_free_p(es_load **load)
{
    es_load_free(*load);
}
