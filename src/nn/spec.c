/*
 * A net from a short document: a standard net by its name, or a list of layers.
 */
#include "nn/maker.h"

enum { DIM_MAX = 1 << 20, UNITS_MAX = 1 << 16, BLOCKS_MAX = 16, KERNEL_MAX = 255 };
static const double width_max = 16;

/* What a net asks for beyond the keys of all. */
typedef enum asks {
    ASKS_CLASSES = 1,
    ASKS_DROPOUT = 2,
    ASKS_UNITS = 4,
    ASKS_BLOCKS = 8,
    ASKS_CODE = 16,
    ASKS_KERNEL = 32,
    ASKS_RESOLUTION = 64
} asks;

static const struct {
    const char *name;
    void (*make)(es_nn_maker *m, const es_nn_wishes *w);
    unsigned asks;
    const char *output;
    size_t rank; /* of the input when none is given; 0: it must be */
    size_t input[3];
    es_nn_wishes wishes;
} nets[] = {
    {"lenet",
     es_nn_net_lenet,
     ASKS_CLASSES | ASKS_DROPOUT,
     "logits",
     3,
     {1, 28, 28},
     {.classes = 10}},
    {"resnet-8",
     es_nn_net_resnet_8,
     ASKS_CLASSES | ASKS_DROPOUT,
     "logits",
     3,
     {3, 32, 32},
     {.classes = 10}},
    {"ds-cnn",
     es_nn_net_ds_cnn,
     ASKS_CLASSES | ASKS_DROPOUT,
     "logits",
     3,
     {1, 49, 10},
     {.classes = 12, .dropout = 0.4}},
    {"mobilenet-v2",
     es_nn_net_mobilenet_v2,
     ASKS_CLASSES | ASKS_DROPOUT | ASKS_RESOLUTION,
     "logits",
     3,
     {3, 224, 224},
     {.classes = 1000, .dropout = 0.2}},
    {"cnn", es_nn_net_cnn, ASKS_CLASSES | ASKS_DROPOUT, "logits", 3, {1, 28, 28}, {.classes = 10}},
    {"autoencoder",
     es_nn_net_autoencoder,
     ASKS_UNITS | ASKS_BLOCKS | ASKS_CODE,
     "output",
     1,
     {640},
     {.units = 128, .blocks = 4, .code = 8}},
    {"temporal-cnn",
     es_nn_net_temporal_cnn,
     ASKS_CLASSES | ASKS_DROPOUT | ASKS_UNITS | ASKS_BLOCKS | ASKS_KERNEL,
     "logits",
     0,
     {0},
     {.units = 32, .blocks = 4, .kernel = 3}},
    {"gru",
     es_nn_net_gru,
     ASKS_CLASSES | ASKS_DROPOUT | ASKS_UNITS | ASKS_BLOCKS,
     "logits",
     0,
     {0},
     {.units = 32, .blocks = 1}},
};
enum { NETS = sizeof nets / sizeof *nets };

static es_status read_size(const es_doc *map, const char *key, int64_t max, size_t *out,
                           es_error *err)
{
    int64_t value = (int64_t)*out;
    ES_TRY(es_doc_get_int(map, key, 1, max, &value, err));
    *out = (size_t)value;
    return ES_OK;
}

/* ---- input ---- */

static es_status read_input(const es_doc *list, es_nn_shape *out, es_error *err)
{
    size_t dims[3];
    size_t rank = list->as.list.count;
    if (rank < 1 || rank > 3)
        return es_doc_fail(list, err,
                           "%zu numbers, expected [features], [channels, steps] or [channels, "
                           "rows, columns]",
                           rank);
    for (size_t i = 0; i < rank; i++) {
        int64_t dim = 0;
        ES_TRY(es_doc_expect_int(list->as.list.items[i], 1, DIM_MAX, &dim, err));
        dims[i] = (size_t)dim;
    }
    *out = es_nn_shape_of(rank, dims);
    return ES_OK;
}

/* The net with its input, from `input` or the default shape. */
static es_status start(es_nn_maker *m, es_arena *arena, const char *name, es_nn_shape shape,
                       es_error *err)
{
    const es_doc *list = NULL;
    const char *given = name;
    ES_TRY(es_doc_get_text(m->place, "name", &given, err));
    ES_TRY(es_doc_get_list(m->place, "input", &list, err));
    if (list != NULL)
        ES_TRY(read_input(list, &shape, err));
    if (shape.rank == 0)
        return es_doc_fail(m->place, err, "'input' is missing: the shape of one sample");
    size_t side = 0;
    ES_TRY(read_size(m->place, "resolution", DIM_MAX, &side, err));
    if (side > 0 && shape.rank == 3)
        shape = es_nn_shape_of(3, (const size_t[]){shape.dims[0], side, side});
    return es_nn_new(arena, given, "input", shape, &m->nn, err);
}

/* ---- standard nets ---- */

static es_status expect_keys(const es_doc *spec, unsigned wants, es_error *err)
{
    static const struct {
        const char *key;
        unsigned asks;
    } keys[] = {{"classes", ASKS_CLASSES}, {"softmax", ASKS_CLASSES},
                {"dropout", ASKS_DROPOUT}, {"units", ASKS_UNITS},
                {"blocks", ASKS_BLOCKS},   {"code", ASKS_CODE},
                {"kernel", ASKS_KERNEL},   {"resolution", ASKS_RESOLUTION}};
    const char *known[16] = {"net", "name", "input", "width", "scale"};
    size_t count = 5;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if ((wants & keys[i].asks) != 0)
            known[count++] = keys[i].key;
    }
    return es_doc_expect_keys(spec, known, count, err);
}

static es_status read_wishes(const es_doc *spec, es_nn_wishes *w, es_error *err)
{
    w->width = 1;
    ES_TRY(es_doc_get_number(spec, "width", 0.01, width_max, &w->width, err));
    ES_TRY(read_size(spec, "classes", UNITS_MAX, &w->classes, err));
    ES_TRY(es_doc_get_number(spec, "dropout", 0, 0.95, &w->dropout, err));
    ES_TRY(es_doc_get_bool(spec, "softmax", &w->softmax, err));
    ES_TRY(read_size(spec, "units", UNITS_MAX, &w->units, err));
    ES_TRY(read_size(spec, "blocks", BLOCKS_MAX, &w->blocks, err));
    ES_TRY(read_size(spec, "code", UNITS_MAX, &w->code, err));
    return read_size(spec, "kernel", KERNEL_MAX, &w->kernel, err);
}

static es_status standard(es_nn_maker *m, es_arena *arena, const es_doc *spec, es_error *err)
{
    const char *words[NETS];
    const es_doc *scale = NULL;
    size_t which = 0;
    for (size_t i = 0; i < NETS; i++)
        words[i] = nets[i].name;
    ES_TRY(es_doc_need_word(spec, "net", words, NETS, &which, err));
    ES_TRY(expect_keys(spec, nets[which].asks, err));
    es_nn_wishes wishes = nets[which].wishes;
    ES_TRY(read_wishes(spec, &wishes, err));
    if ((nets[which].asks & ASKS_CLASSES) != 0 && wishes.classes == 0)
        return es_doc_fail(spec, err, "'classes' is missing");
    es_nn_shape shape = {0};
    if (nets[which].rank > 0)
        shape = es_nn_shape_of(nets[which].rank, nets[which].input);
    ES_TRY(start(m, arena, nets[which].name, shape, err));
    ES_TRY(es_doc_get_map(spec, "scale", &scale, err));
    if (scale != NULL)
        ES_TRY(es_nn_spec_scale(m, scale, "scale", err));
    nets[which].make(m, &wishes);
    ES_TRY(m->status);
    const char *output = wishes.softmax ? "probabilities" : nets[which].output;
    return es_nn_output_add(m->nn, output, m->at, err);
}

es_status es_nn_from_spec(es_arena *arena, const es_doc *spec, uint64_t seed, es_nn **out_nn,
                          es_error *err)
{
    es_nn_maker m = {.place = spec, .err = err};
    ES_TRY(es_doc_expect_map(spec, err));
    if (es_doc_find(spec, "layers") != NULL) {
        ES_TRY(ES_DOC_EXPECT_KEYS(spec, err, "name", "input", "layers", "outputs"));
        ES_TRY(start(&m, arena, "net", (es_nn_shape){0}, err));
        ES_TRY(es_nn_spec_layers(&m, spec, err));
    } else {
        ES_TRY(standard(&m, arena, spec, err));
    }
    ES_TRY(es_nn_seal(m.nn, err));
    es_nn_init(m.nn, seed);
    *out_nn = m.nn;
    return ES_OK;
}
