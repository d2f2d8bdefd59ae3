/*
 * A folder of the run's own, which only its user may enter: a model repository per node and the
 * tokens. FOLDER/tokens; FOLDER/NODE/SEGMENT/config.json and FOLDER/NODE/SEGMENT/1, a link to the
 * folder where the model's file lies, so that weights beside it are found. It is gone once the
 * nodes have read it.
 */
#include "base/document.h"
#include "base/file.h"
#include "run_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEXT_BYTES_MAX = 1 << 20 };

const char *es_run_folder_of(const es_run *run, uint32_t node)
{
    return es_arena_format(run->arena, "%s/%u", run->folder, node);
}

const char *es_run_folder_tokens(const es_run *run)
{
    return es_arena_format(run->arena, "%s/tokens", run->folder);
}

/* ---- tokens ---- */

static es_status draw_token(char out[ES_RUN_TOKEN_SIZE], es_error *err)
{
    uint8_t bytes[(ES_RUN_TOKEN_SIZE - 1) / 2];
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, bytes, sizeof bytes) : -1;
    if (fd >= 0)
        (void)close(fd); /* only read from */
    if (got != (ssize_t)sizeof bytes)
        return es_fail(err, ES_ERR_IO, "cannot read /dev/urandom");
    for (size_t i = 0; i < sizeof bytes; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", bytes[i]); /* two digits and the end */
    return ES_OK;
}

static es_status write_text(const char *path, es_text *text, es_error *err)
{
    ES_TRY(es_text_status(text, err));
    return es_file_write(path, text->bytes, text->size, err);
}

static es_status write_tokens(es_run *run, es_error *err)
{
    ES_TRY(draw_token(run->own_token, err));
    ES_TRY(draw_token(run->peer_token, err));
    const char *path = es_run_folder_tokens(run);
    char *text =
        es_arena_format(run->arena, "controller %s\nnode %s\n", run->own_token, run->peer_token);
    if (path == NULL || text == NULL)
        return es_arena_full(run->arena, "tokens", err);
    return es_file_write(path, text, strlen(text), err);
}

/* ---- models ---- */

static void write_config(const es_run *run, uint32_t v, const es_run_model *model, es_text *text)
{
    es_json json;
    es_text service;
    double time_s =
        es_scenario_service(run->scenario, (es_segment_id){model->segment}, (es_node_id){v}).time_s;
    es_json_init(&json, text, true);
    es_json_map_begin(&json);
    es_json_put_text(&json, "name", run->scenario->segments[model->segment].name);
    es_json_put_text(&json, "default_model_filename", strrchr(model->file, '/') + 1);
    es_json_put_int(&json, "max_batch_size", 0); /* one at a time, as the plan has it */
    es_json_key(&json, "instance_group");
    es_json_list_begin(&json);
    es_json_map_begin(&json);
    es_json_put_int(&json, "count", run->nodes[v].processors);
    es_json_map_end(&json);
    es_json_list_end(&json);
    es_json_key(&json, "parameters");
    es_json_map_begin(&json);
    if (isfinite(time_s)) {
        es_text_init(&service, 64);
        es_text_double(&service, 1e6 * time_s);
        es_json_put_text(&json, "estran_service_us", es_text_get(&service));
        es_text_done(&service);
    }
    es_json_map_end(&json);
    es_json_map_end(&json);
}

static es_status make_model(es_run *run, uint32_t v, const es_run_model *model, es_error *err)
{
    const char *name = run->scenario->segments[model->segment].name;
    char *folder = es_arena_format(run->arena, "%s/%u/%s", run->folder, v, name);
    char *version = es_arena_format(run->arena, "%s/%u/%s/1", run->folder, v, name);
    char *config = es_arena_format(run->arena, "%s/%u/%s/config.json", run->folder, v, name);
    char *target = es_arena_text(run->arena, model->file);
    es_text text;
    if (folder == NULL || version == NULL || config == NULL || target == NULL)
        return es_arena_full(run->arena, "paths of models", err);
    *strrchr(target, '/') = '\0';
    ES_TRY(es_file_make_folder(folder, err));
    if (symlink(*target != '\0' ? target : "/", version) != 0)
        return es_fail(err, ES_ERR_IO, "cannot link '%s': %s", version, strerror(errno));
    es_text_init(&text, TEXT_BYTES_MAX);
    write_config(run, v, model, &text);
    es_status status = write_text(config, &text, err);
    es_text_done(&text);
    return status;
}

es_status es_run_folder_make(es_run *run, es_error *err)
{
    const char *place = getenv("TMPDIR");
    char *folder = es_arena_format(run->arena, "%s/estran-run.XXXXXX",
                                   place != NULL && *place != '\0' ? place : "/tmp");
    if (folder == NULL)
        return es_arena_full(run->arena, "paths of models", err);
    if (mkdtemp(folder) == NULL)
        return es_fail(err, ES_ERR_IO, "cannot make folder '%s': %s", folder, strerror(errno));
    run->folder = folder;
    ES_TRY(write_tokens(run, err));
    for (uint32_t v = 0; v < run->node_count; v++) {
        const char *own = es_run_folder_of(run, v);
        if (own == NULL)
            return es_arena_full(run->arena, "paths of models", err);
        ES_TRY(es_file_make_folder(own, err));
        for (uint32_t i = 0; i < run->nodes[v].model_count; i++)
            ES_TRY(make_model(run, v, &run->nodes[v].models[i], err));
    }
    return ES_OK;
}

/* Only what was made; what cannot be removed stays: it holds no secret that is still of use. */
static void remove_one(const es_run *run, const char *name)
{
    char path[4096];
    int size = snprintf(path, sizeof path, "%s%s", run->folder, name);
    if (size > 0 && (size_t)size < sizeof path)
        (void)remove(path);
}

void es_run_folder_remove(es_run *run)
{
    static const char *const parts[] = {"/1", "/config.json", ""};
    char name[1024];
    if (run->folder == NULL)
        return;
    remove_one(run, "/tokens");
    for (uint32_t v = 0; v < run->node_count; v++) {
        for (uint32_t i = 0; i < run->nodes[v].model_count; i++)
            for (size_t k = 0; k < sizeof parts / sizeof parts[0]; k++) {
                (void)snprintf(name, sizeof name, "/%u/%s%s", v,
                               run->scenario->segments[run->nodes[v].models[i].segment].name,
                               parts[k]);
                remove_one(run, name);
            }
        (void)snprintf(name, sizeof name, "/%u", v);
        remove_one(run, name);
    }
    remove_one(run, "");
    run->folder = NULL;
}
