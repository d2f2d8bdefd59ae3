/*
 * Checkpoints: a line "estran-checkpoint 1 JSON-BYTES VALUE-BYTES", a JSON map (settings, progress,
 * epochs), then float32 values, little-endian: parameters, moments, best, average.
 */
#include "base/file.h"
#include "train/fit.h"

#include <math.h>

static const char magic[] = "estran-checkpoint";
enum { VERSION = 1, HEAD_CAP_BYTES = 16 << 20, LINE_MAX_BYTES = 128 };

/* ---- what must be the same ---- */

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t hash_net(const es_nn *nn)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < nn->layers.count; i++) {
        const es_nn_layer *layer = &nn->layers.items[i];
        const uint32_t kind = (uint32_t)layer->kind;
        hash = hash_bytes(hash, layer->name, strlen(layer->name));
        hash = hash_bytes(hash, &kind, sizeof kind);
        hash = hash_bytes(hash, layer->shape.dims, layer->shape.rank * sizeof layer->shape.dims[0]);
        hash = hash_bytes(hash, &layer->frozen, sizeof layer->frozen);
    }
    return hash;
}

static void put_hash(es_json *json, const char *key, uint64_t hash)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    es_json_put_text(json, key, text);
}

static void put_optimiser(es_json *json, const es_optimiser_opts *o)
{
    es_json_put_text(json, "optimiser", es_optimiser_names[o->kind]);
    es_json_put_number(json, "momentum", o->momentum);
    es_json_put_bool(json, "nesterov", o->nesterov);
    es_json_put_number(json, "beta1", o->beta1);
    es_json_put_number(json, "beta2", o->beta2);
    es_json_put_number(json, "epsilon", o->epsilon);
    es_json_put_number(json, "weight_decay", o->weight_decay);
    es_json_put_bool(json, "decay_all", o->decay_all);
    es_json_put_number(json, "clip_norm", o->clip_norm);
}

static void put_rate(es_json *json, const es_rate_opts *r)
{
    es_json_put_text(json, "schedule", es_rate_names[r->kind]);
    es_json_put_number(json, "rate", r->rate);
    es_json_put_number(json, "last", r->last);
    es_json_put_number(json, "warm_up", r->warm_up);
    es_json_put_number(json, "drop", r->drop);
    es_json_key(json, "shares");
    es_json_list_begin(json);
    for (size_t i = 0; i < 4; i++)
        es_json_number(json, r->shares[i]);
    es_json_list_end(json);
}

static void put_augment(es_json *json, const es_augment_opts *a)
{
    es_json_put_int(json, "shift", (int64_t)a->shift);
    es_json_put_bool(json, "flip", a->flip);
    es_json_put_int(json, "erase", (int64_t)a->erase);
    es_json_put_number(json, "stretch", a->stretch);
    es_json_put_number(json, "noise", a->noise);
    es_json_put_number(json, "mixup", a->mixup);
    es_json_put_number(json, "fill", (double)a->fill);
}

static void put_settings(es_json *json, const es_fit_state *fit)
{
    const es_fit_opts *opts = fit->opts;
    es_json_map_begin(json);
    put_hash(json, "net", hash_net(fit->nn));
    es_json_put_int(json, "samples", (int64_t)fit->set->count);
    put_hash(json, "rows", fit->rows_hash);
    es_json_put_int(json, "seed", (int64_t)opts->seed);
    es_json_put_text(json, "backend", es_train_backend_names[es_train_engine_backend(fit->engine)]);
    es_json_put_int(json, "threads", es_train_engine_thread_count(fit->engine));
    es_json_put_int(json, "epochs", opts->epoch_count);
    es_json_put_int(json, "batch", (int64_t)opts->batch);
    es_json_put_text(json, "loss", es_fit_loss_names[opts->loss]);
    es_json_put_bool(json, "own_step", opts->hooks.step != NULL);
    es_json_put_number(json, "label_smoothing", opts->label_smoothing);
    es_json_put_number(json, "average", opts->average);
    es_json_put_int(json, "patience", opts->patience);
    es_json_put_bool(json, "keep_best", opts->keep_best);
    put_optimiser(json, &opts->optimiser);
    put_rate(json, &opts->rate);
    put_augment(json, &opts->augment);
    es_json_key(json, "output_weights");
    es_json_list_begin(json);
    for (size_t k = 0; k < fit->engine->graph.output_count; k++)
        es_json_number(json, opts->output_weights[k]);
    es_json_list_end(json);
    es_json_map_end(json);
}

/* ---- writing ---- */

static void put_epochs(es_json *json, const es_fit_state *fit)
{
    es_json_key(json, "epochs");
    es_json_list_begin(json);
    for (size_t i = 0; i < fit->epoch_count; i++) {
        const es_fit_epoch *epoch = &fit->epochs[i];
        es_json_map_begin(json);
        es_json_put_number(json, "rate", epoch->rate);
        es_json_put_number(json, "loss", epoch->loss);
        es_json_put_number(json, "accuracy", epoch->accuracy);
        es_json_put_number(json, "held_loss", epoch->held_loss);
        es_json_put_number(json, "held_accuracy", epoch->held_accuracy);
        es_json_put_number(json, "seconds", epoch->seconds);
        es_json_put_bool(json, "best", epoch->best);
        es_json_map_end(json);
    }
    es_json_list_end(json);
}

static void put_head(const es_fit_state *fit, uint64_t sum, es_text *out)
{
    es_json json;
    es_json_init(&json, out, false);
    es_json_map_begin(&json);
    es_json_key(&json, "settings");
    put_settings(&json, fit);
    es_json_put_int(&json, "step", (int64_t)fit->step);
    es_json_put_int(&json, "optimiser_step", (int64_t)fit->optimiser.step);
    es_json_put_number(&json, "loss_sum", fit->loss_sum);
    es_json_put_int(&json, "right", (int64_t)fit->right);
    es_json_put_int(&json, "seen", (int64_t)fit->seen);
    es_json_put_number(&json, "epoch_s", fit->epoch_s);
    es_json_put_number(&json, "total_s", fit->total_s);
    es_json_put_int(&json, "best_at", (int64_t)fit->best_at);
    put_epochs(&json, fit);
    put_hash(&json, "sum", sum);
    es_json_map_end(&json);
}

/* The parts of the values behind the parameters, in order; NULL: the state has none. */
enum { PARTS = 4 };
typedef struct part {
    float *values;
    size_t count;
} part;

static size_t parts_of(const es_fit_state *fit, part out[PARTS])
{
    size_t moments = fit->optimiser.params->total;
    size_t total = fit->value_count;
    out[0] = (part){fit->optimiser.first, moments};
    out[1] = (part){fit->optimiser.second, moments};
    out[2] = (part){fit->best, fit->value_count};
    out[3] = (part){fit->average, fit->value_count};
    for (size_t i = 0; i < PARTS; i++)
        total += out[i].values != NULL ? out[i].count : 0;
    return total * sizeof(float);
}

es_status es_fit_checkpoint_write(const es_fit_state *fit, const char *path, es_error *err)
{
    part parts[PARTS];
    size_t size = parts_of(fit, parts);
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(size + HEAD_CAP_BYTES);
    float *values = arena != NULL ? es_arena_take(arena, size + 1, 1) : NULL;
    ES_CLEANUP(es_text_done) es_text head;
    ES_CLEANUP(es_text_done) es_text whole;
    es_text_init(&head, HEAD_CAP_BYTES);
    es_text_init(&whole, size + HEAD_CAP_BYTES);
    if (values == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for a checkpoint of %zu bytes", size);
    es_fit_values_get(fit->nn, values);
    float *at = values + fit->value_count;
    for (size_t i = 0; i < PARTS; i++) {
        if (parts[i].values == NULL)
            continue;
        memcpy(at, parts[i].values, parts[i].count * sizeof *at);
        at += parts[i].count;
    }
    put_head(fit, hash_bytes(UINT64_C(0xcbf29ce484222325), values, size), &head);
    es_text_format(&whole, "%s %d %zu %zu\n", magic, VERSION, head.size, size);
    es_text_append_n(&whole, es_text_get(&head), head.size);
    es_text_append_n(&whole, (const char *)values, size);
    ES_TRY(es_text_status(&head, err));
    ES_TRY(es_text_status(&whole, err));
    return es_within(err, es_file_write(path, es_text_get(&whole), whole.size, err), "checkpoint");
}

/* ---- reading ---- */

/* The first setting that differs is the one to tell. */
static es_status check_settings(es_arena *arena, const es_fit_state *fit, const char *name,
                                const es_doc *there, es_error *err)
{
    ES_CLEANUP(es_text_done) es_text text;
    ES_CLEANUP(es_text_done) es_text one;
    ES_CLEANUP(es_text_done) es_text other;
    const es_doc *here = NULL;
    es_json json;
    es_text_init(&text, HEAD_CAP_BYTES);
    es_text_init(&one, HEAD_CAP_BYTES);
    es_text_init(&other, HEAD_CAP_BYTES);
    es_json_init(&json, &text, true);
    put_settings(&json, fit);
    ES_TRY(es_text_status(&text, err));
    ES_TRY(es_doc_parse_json(arena, "settings", es_text_get(&text), text.size, &here, err));
    for (size_t i = 0; i < here->as.map.count; i++) {
        const es_doc_member *member = &here->as.map.members[i];
        const es_doc *found = es_doc_find(there, member->key);
        es_text_clear(&one);
        es_text_clear(&other);
        es_json_init(&json, &one, true);
        es_json_doc(&json, member->value);
        es_json_init(&json, &other, true);
        if (found != NULL)
            es_json_doc(&json, found);
        if (strcmp(es_text_get(&one), es_text_get(&other)) == 0)
            continue;
        return es_fail(err, ES_ERR_ARG,
                       "checkpoint '%s' is of another training: %s is %.*s here, %.*s there", name,
                       member->key, (int)strcspn(es_text_get(&one), "\n"), es_text_get(&one),
                       (int)strcspn(es_text_get(&other), "\n"), es_text_get(&other));
    }
    return ES_OK;
}

static es_status read_epochs(es_fit_state *fit, const es_doc *root, es_error *err)
{
    const es_doc *list = NULL;
    ES_TRY(es_doc_need_list(root, "epochs", &list, err));
    if (list->as.list.count > fit->opts->epoch_count)
        return es_doc_fail(list, err, "%zu epochs, at most %u expected", list->as.list.count,
                           fit->opts->epoch_count);
    for (size_t i = 0; i < list->as.list.count; i++) {
        const es_doc *item = list->as.list.items[i];
        es_fit_epoch epoch = {.epoch = i,
                              .accuracy = (double)NAN,
                              .held_loss = (double)NAN,
                              .held_accuracy = (double)NAN};
        ES_TRY(es_doc_expect_map(item, err));
        ES_TRY(es_doc_need_number(item, "rate", 0, 1e300, &epoch.rate, err));
        ES_TRY(es_doc_need_number(item, "loss", -1e300, 1e300, &epoch.loss, err));
        ES_TRY(es_doc_get_number(item, "accuracy", 0, 1, &epoch.accuracy, err));
        ES_TRY(es_doc_get_number(item, "held_loss", -1e300, 1e300, &epoch.held_loss, err));
        ES_TRY(es_doc_get_number(item, "held_accuracy", 0, 1, &epoch.held_accuracy, err));
        ES_TRY(es_doc_need_number(item, "seconds", 0, 1e300, &epoch.seconds, err));
        ES_TRY(es_doc_get_bool(item, "best", &epoch.best, err));
        fit->epochs[i] = epoch;
    }
    fit->epoch_count = list->as.list.count;
    return ES_OK;
}

static es_status need_count(const es_doc *root, const char *key, uint64_t most, uint64_t *out,
                            es_error *err)
{
    int64_t number = 0;
    ES_TRY(
        es_doc_need_int(root, key, 0, most < INT64_MAX ? (int64_t)most : INT64_MAX, &number, err));
    *out = (uint64_t)number;
    return ES_OK;
}

static es_status read_progress(es_fit_state *fit, const es_doc *root, es_error *err)
{
    uint64_t best_at = 0;
    uint64_t all = fit->steps_per_epoch * fit->opts->epoch_count;
    ES_TRY(read_epochs(fit, root, err));
    ES_TRY(need_count(root, "step", all, &fit->step, err));
    ES_TRY(need_count(root, "optimiser_step", all, &fit->optimiser.step, err));
    ES_TRY(need_count(root, "right", fit->row_count, &fit->right, err));
    ES_TRY(need_count(root, "seen", fit->row_count, &fit->seen, err));
    ES_TRY(need_count(root, "best_at", fit->opts->epoch_count - 1, &best_at, err));
    ES_TRY(es_doc_need_number(root, "loss_sum", -1e300, 1e300, &fit->loss_sum, err));
    ES_TRY(es_doc_need_number(root, "epoch_s", 0, 1e300, &fit->epoch_s, err));
    ES_TRY(es_doc_need_number(root, "total_s", 0, 1e300, &fit->total_s, err));
    fit->best_at = (size_t)best_at;
    if (fit->step / fit->steps_per_epoch != fit->epoch_count ||
        (fit->best_at > 0 && fit->best_at >= fit->epoch_count))
        return es_doc_fail(root, err, "step %llu and best_at %zu do not go with %zu epochs",
                           (unsigned long long)fit->step, fit->best_at, fit->epoch_count);
    return ES_OK;
}

static es_status read_values(es_fit_state *fit, const es_doc *root, const char *bytes, size_t size,
                             const part parts[PARTS], es_error *err)
{
    const char *sum = NULL;
    char wanted[32];
    ES_TRY(es_doc_need_text(root, "sum", &sum, err));
    (void)snprintf(wanted, sizeof wanted, "%016llx",
                   (unsigned long long)hash_bytes(UINT64_C(0xcbf29ce484222325), bytes, size));
    if (strcmp(sum, wanted) != 0)
        return es_doc_fail(root, err, "sum is %.32s, of the values there %s: the file is damaged",
                           sum, wanted);
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(size + 4096);
    float *values = arena != NULL ? es_arena_take(arena, size + 1, 1) : NULL;
    if (values == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for %zu bytes of values", size);
    memcpy(values, bytes, size); /* aligned */
    es_fit_values_set(fit->nn, values);
    float *at = values + fit->value_count;
    for (size_t i = 0; i < PARTS; i++) {
        if (parts[i].values == NULL)
            continue;
        memcpy(parts[i].values, at, parts[i].count * sizeof *at);
        at += parts[i].count;
    }
    return ES_OK;
}

/* Word and three numbers of the first line; false when it is another. */
static bool read_words(const char *bytes, size_t size, uint64_t numbers[3], size_t *out_at)
{
    char line[LINE_MAX_BYTES] = {0};
    const char *newline = memchr(bytes, '\n', size < sizeof line - 1 ? size : sizeof line - 1);
    if (newline == NULL)
        return false;
    memcpy(line, bytes, (size_t)(newline - bytes));
    *out_at = (size_t)(newline - bytes) + 1;
    char *at = line + sizeof magic - 1;
    if (strncmp(line, magic, sizeof magic - 1) != 0)
        return false;
    for (size_t i = 0; i < 3; i++) {
        if (*at != ' ')
            return false;
        char *word = at + 1;
        at = word + strcspn(word, " ");
        char end = *at;
        *at = '\0';
        if (!es_text_to_uint64(word, &numbers[i]))
            return false;
        *at = end;
    }
    return *at == '\0';
}

/* *out_at: where the JSON begins. */
static es_status read_line(const char *name, const char *bytes, size_t size, size_t *out_head,
                           size_t *out_values, size_t *out_at, es_error *err)
{
    uint64_t numbers[3] = {0};
    if (!read_words(bytes, size, numbers, out_at) || numbers[0] < 1)
        return es_fail(err, ES_ERR_PARSE, "'%s' is no checkpoint of estran", name);
    if (numbers[0] > VERSION)
        return es_fail(err, ES_ERR_PARSE, "checkpoint '%s' has version %llu, known is %d", name,
                       (unsigned long long)numbers[0], VERSION);
    *out_head = (size_t)numbers[1];
    *out_values = (size_t)numbers[2];
    if (*out_head > size - *out_at || *out_values != size - *out_at - *out_head)
        return es_fail(err, ES_ERR_PARSE, "checkpoint '%s' has %zu bytes, not what it says itself",
                       name, size);
    return ES_OK;
}

es_status es_fit_checkpoint_parse(es_fit_state *fit, const char *name, const char *bytes,
                                  size_t size, es_error *err)
{
    part parts[PARTS];
    const es_doc *root = NULL;
    const es_doc *settings = NULL;
    size_t head = 0;
    size_t values = 0;
    size_t at = 0;
    ES_TRY(read_line(name, bytes, size, &head, &values, &at, err));
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(4 * (size_t)HEAD_CAP_BYTES);
    if (arena == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory to read '%s'", name);
    ES_TRY(es_doc_parse_json(arena, name, bytes + at, head, &root, err));
    ES_TRY(es_doc_expect_map(root, err));
    ES_TRY(es_doc_need_map(root, "settings", &settings, err));
    ES_TRY(check_settings(arena, fit, name, settings, err));
    size_t wanted = parts_of(fit, parts);
    if (wanted != values)
        return es_fail(err, ES_ERR_PARSE, "checkpoint '%s' has %zu bytes of values, wanted %zu",
                       name, values, wanted);
    ES_TRY(read_progress(fit, root, err));
    return read_values(fit, root, bytes + at + head, values, parts, err);
}

es_status es_fit_checkpoint_read(es_fit_state *fit, const char *path, es_error *err)
{
    part parts[PARTS];
    size_t cap = parts_of(fit, parts) + HEAD_CAP_BYTES;
    char *bytes = NULL;
    size_t size = 0;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(cap + 4096);
    if (arena == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory to read '%s'", path);
    ES_TRY(es_within(err, es_file_read(arena, path, cap, &bytes, &size, err), "checkpoint"));
    return es_fit_checkpoint_parse(fit, path, bytes, size, err);
}
