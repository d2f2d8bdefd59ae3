/*
 * A net from a list of layers: each a word (`relu`), or a map with the kind as its key and what the
 * kind asks for as its value (`conv: {units: 16, kernel: 3}`).
 */
#include "nn/maker.h"

enum { SIZE_MAX_SPEC = 1 << 16, UNITS_MAX = 1 << 16 };

/* Keys of a kind; every kind has name, from and frozen too. */
static const struct {
    es_nn_kind kind;
    const char *keys[8];
} kinds[] = {
    {ES_NN_CONV, {"units", "kernel", "stride", "dilation", "padding", "groups", "bias"}},
    {ES_NN_DENSE, {"units", "bias"}},
    {ES_NN_BATCH_NORM, {"epsilon", "momentum"}},
    {ES_NN_SCALE, {"factor", "offset"}},
    {ES_NN_RELU, {NULL}},
    {ES_NN_RELU6, {NULL}},
    {ES_NN_HARD_SWISH, {NULL}},
    {ES_NN_SIGMOID, {NULL}},
    {ES_NN_TANH, {NULL}},
    {ES_NN_MAX_POOL, {"kernel", "stride", "padding"}},
    {ES_NN_AVERAGE_POOL, {"kernel", "stride", "padding"}},
    {ES_NN_GLOBAL_POOL, {NULL}},
    {ES_NN_ADD, {NULL}},
    {ES_NN_CONCAT, {NULL}},
    {ES_NN_FLATTEN, {NULL}},
    {ES_NN_DROPOUT, {"rate"}},
    {ES_NN_UPSAMPLE, {"factor"}},
    {ES_NN_GRU, {"units", "bias"}},
    {ES_NN_LAST, {NULL}},
    {ES_NN_QUANTISE, {"factor", "offset"}},
    {ES_NN_SOFTMAX, {NULL}},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* ---- kinds and their keys ---- */

static es_status find_kind(const es_doc *at, const char *word, size_t *out, es_error *err)
{
    const char *words[KINDS];
    for (size_t i = 0; i < KINDS; i++) {
        words[i] = es_nn_kind_name(kinds[i].kind);
        if (strcmp(words[i], word) == 0) {
            *out = i;
            return ES_OK;
        }
    }
    const char *near = es_text_nearest(word, words, KINDS);
    return es_doc_fail(at, err, "unknown kind of layer '%s'%s%s%s", word,
                       near != NULL ? ", did you mean '" : "", near != NULL ? near : "",
                       near != NULL ? "'?" : "");
}

static es_status expect_keys(const es_doc *map, size_t which, es_error *err)
{
    const char *known[11] = {"name", "from", "frozen"};
    size_t count = 3;
    for (size_t i = 0; kinds[which].keys[i] != NULL; i++)
        known[count++] = kinds[which].keys[i];
    return es_doc_expect_keys(map, known, count, err);
}

/* ---- what layers have in common ---- */

static es_status read_from_one(const es_nn *nn, const es_doc *value, es_nn_layer *layer,
                               es_error *err)
{
    const char *name = NULL;
    ES_TRY(es_doc_expect_text(value, &name, err));
    es_nn_id id = es_nn_find(nn, name);
    if (!es_nn_is(id))
        return es_doc_fail(value, err, "no layer '%s' stands before", name);
    if (layer->input_count == ES_NN_INPUTS_MAX)
        return es_doc_fail(value, err, "more than %d inputs", ES_NN_INPUTS_MAX);
    layer->inputs[layer->input_count++] = id;
    return ES_OK;
}

static es_status read_from(const es_nn *nn, const es_doc *map, es_nn_layer *layer, es_error *err)
{
    const es_doc *from = es_doc_find(map, "from");
    if (from == NULL)
        return ES_OK;
    if (from->type != ES_DOC_LIST)
        return read_from_one(nn, from, layer, err);
    for (size_t i = 0; i < from->as.list.count; i++)
        ES_TRY(read_from_one(nn, from->as.list.items[i], layer, err));
    return ES_OK;
}

/* One number for both places of a window, or a list of as many as there are. */
static es_status read_pair(const es_doc *map, const char *key, size_t places, int64_t min,
                           size_t *out, es_error *err)
{
    const es_doc *value = es_doc_find(map, key);
    int64_t number = 0;
    if (value == NULL)
        return ES_OK;
    if (value->type == ES_DOC_LIST && value->as.list.count != places)
        return es_doc_fail(value, err, "%zu numbers, expected %zu", value->as.list.count, places);
    for (size_t i = 0; i < places; i++) {
        const es_doc *one = value->type == ES_DOC_LIST ? value->as.list.items[i] : value;
        ES_TRY(es_doc_expect_int(one, min, SIZE_MAX_SPEC, &number, err));
        out[i] = (size_t)number;
    }
    return ES_OK;
}

static es_status read_padding(const es_doc *map, es_nn_shape in, const char *fallback,
                              es_nn_window *window, es_error *err)
{
    static const char *const words[] = {"same", "valid", "causal"};
    const es_doc *value = es_doc_find(map, "padding");
    size_t places = in.rank - 1;
    size_t word = fallback[0] == 's' ? 0 : 1;
    if (value != NULL && value->type != ES_DOC_TEXT) {
        ES_TRY(read_pair(map, "padding", places, 0, window->pad_before, err));
        memcpy(window->pad_after, window->pad_before, sizeof window->pad_after);
        return ES_OK;
    }
    ES_TRY(es_doc_get_word(map, "padding", words, 3, &word, err));
    for (size_t i = 0; i < places; i++) {
        if (word == 0)
            es_nn_pad_same(window, i, in.dims[i + 1]);
        else if (word == 2)
            window->pad_before[i] =
                (window->dilation[i] > 0 ? window->dilation[i] : 1) * (window->kernel[i] - 1);
    }
    return ES_OK;
}

static es_status read_window(const es_doc *map, es_nn_shape in, bool is_pool, es_nn_layer *layer,
                             es_error *err)
{
    es_nn_window *window = &layer->window;
    const es_doc *kernel = NULL;
    if (in.rank < 2) /* said well when the layer is added */
        return ES_OK;
    ES_TRY(es_doc_need(map, "kernel", &kernel, err));
    ES_TRY(read_pair(map, "kernel", in.rank - 1, 1, window->kernel, err));
    if (is_pool)
        memcpy(window->stride, window->kernel, sizeof window->stride);
    ES_TRY(read_pair(map, "stride", in.rank - 1, 1, window->stride, err));
    ES_TRY(read_pair(map, "dilation", in.rank - 1, 1, window->dilation, err));
    return read_padding(map, in, is_pool ? "valid" : "same", window, err);
}

static es_status read_numbers(const es_doc *map, es_nn_shape in, es_nn_layer *layer, es_error *err)
{
    int64_t groups = 1;
    ES_TRY(es_doc_get_int(map, "groups", 1, UNITS_MAX, &groups, err));
    layer->groups = (size_t)groups;
    ES_TRY(es_doc_get_number(map, "epsilon", 1e-12, 0.5, &layer->epsilon, err));
    ES_TRY(es_doc_get_number(map, "momentum", 1e-3, 0.9999, &layer->momentum, err));
    ES_TRY(es_doc_get_number(map, "rate", 0, 0.95, &layer->rate, err));
    ES_TRY(es_doc_get_text(map, "name", &layer->name, err));
    ES_TRY(es_doc_get_bool(map, "frozen", &layer->frozen, err));
    if (layer->kind == ES_NN_UPSAMPLE && in.rank > 1)
        ES_TRY(read_pair(map, "factor", in.rank - 1, 1, layer->window.stride, err));
    bool is_pool = layer->kind == ES_NN_MAX_POOL || layer->kind == ES_NN_AVERAGE_POOL;
    if (is_pool || layer->kind == ES_NN_CONV)
        return read_window(map, in, is_pool, layer, err);
    return ES_OK;
}

/* ---- scales ---- */

static es_status read_factor(const es_doc *map, const char *key, es_nn_param *param, es_error *err)
{
    const es_doc *value = es_doc_find(map, key);
    double number = 0;
    if (value == NULL)
        return ES_OK;
    if (value->type == ES_DOC_LIST && value->as.list.count != param->count)
        return es_doc_fail(value, err, "%zu numbers, expected %zu, one per channel",
                           value->as.list.count, param->count);
    for (size_t i = 0; i < param->count; i++) {
        const es_doc *one = value->type == ES_DOC_LIST ? value->as.list.items[i] : value;
        ES_TRY(es_doc_expect_number(one, -1e30, 1e30, &number, err));
        param->values[i] = (float)number;
    }
    return ES_OK;
}

static es_status read_factors(const es_doc *map, es_nn_layer *layer, es_error *err)
{
    ES_TRY(read_factor(map, "factor", es_nn_param_of(layer, ES_NN_FACTOR), err));
    return read_factor(map, "offset", es_nn_param_of(layer, ES_NN_OFFSET), err);
}

es_status es_nn_spec_scale(es_nn_maker *m, const es_doc *map, const char *name, es_error *err)
{
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "factor", "offset"));
    es_nn_make_plain(m, ES_NN_SCALE, name);
    ES_TRY(m->status);
    return read_factors(map, &m->nn->layers.items[m->at.index], err);
}

/* ---- the list ---- */

static es_status read_settings(es_nn_maker *m, const es_doc *map, size_t which, es_error *err)
{
    es_nn_layer layer = {.kind = kinds[which].kind};
    int64_t units = 0;
    bool bias = true;
    ES_TRY(es_doc_expect_map(map, err));
    ES_TRY(expect_keys(map, which, err));
    ES_TRY(read_from(m->nn, map, &layer, err));
    es_nn_id in = layer.input_count > 0 ? layer.inputs[0] : m->at;
    ES_TRY(read_numbers(map, es_nn_at(m->nn, in)->shape, &layer, err));
    if (kinds[which].keys[0] != NULL && strcmp(kinds[which].keys[0], "units") == 0)
        ES_TRY(es_doc_need_int(map, "units", 1, UNITS_MAX, &units, err));
    ES_TRY(es_doc_get_bool(map, "bias", &bias, err));
    m->place = map;
    es_nn_make(m, layer, (size_t)units, bias);
    ES_TRY(m->status);
    if (layer.kind == ES_NN_SCALE || layer.kind == ES_NN_QUANTISE)
        return read_factors(map, &m->nn->layers.items[m->at.index], err);
    return ES_OK;
}

static es_status read_layer(es_nn_maker *m, const es_doc *item, es_error *err)
{
    size_t which = 0;
    if (item->type == ES_DOC_TEXT) {
        ES_TRY(find_kind(item, item->as.text.bytes, &which, err));
        m->place = item;
        es_nn_make_plain(m, kinds[which].kind, NULL);
        return m->status;
    }
    if (item->type != ES_DOC_MAP || item->as.map.count != 1)
        return es_doc_fail(item, err,
                           "expected a kind of layer, or a map with one as its only key");
    const es_doc_member *member = &item->as.map.members[0];
    ES_TRY(find_kind(item, member->key, &which, err));
    if (member->value->type == ES_DOC_NULL) {
        m->place = item;
        es_nn_make_plain(m, kinds[which].kind, NULL);
        return m->status;
    }
    return read_settings(m, member->value, which, err);
}

static es_status read_outputs(es_nn_maker *m, const es_doc *spec, es_error *err)
{
    const es_doc *list = NULL;
    es_error why = {0};
    ES_TRY(es_doc_get_list(spec, "outputs", &list, err));
    if (list == NULL)
        return es_nn_output_add(m->nn, NULL, m->at, err);
    for (size_t i = 0; i < list->as.list.count; i++) {
        const es_doc *item = list->as.list.items[i];
        es_nn_layer layer = {0};
        ES_TRY(read_from_one(m->nn, item, &layer, err));
        if (es_nn_output_add(m->nn, NULL, layer.inputs[0], &why) != ES_OK)
            return es_doc_fail(item, err, "%s", why.text);
    }
    return list->as.list.count > 0 ? ES_OK : es_doc_fail(list, err, "a net needs an output");
}

es_status es_nn_spec_layers(es_nn_maker *m, const es_doc *spec, es_error *err)
{
    const es_doc *list = NULL;
    ES_TRY(es_doc_need_list(spec, "layers", &list, err));
    if (list->as.list.count == 0)
        return es_doc_fail(list, err, "a net needs a layer");
    for (size_t i = 0; i < list->as.list.count; i++)
        ES_TRY(read_layer(m, list->as.list.items[i], err));
    return read_outputs(m, spec, err);
}
