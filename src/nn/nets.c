/*
 * Standard nets. Those of MLPerf Tiny (Banbury et al. 2021) as its reference code has them, without
 * the biases that a batch norm behind them makes idle.
 */
#include "nn/maker.h"

enum { STEP = 4, MOBILENET_STEP = 8, SMALL_SIDE = 64 };

/* LeCun et al. 1998 with rectifiers and max pools: 28 x 28 gives 61706 parameters. */
void es_nn_net_lenet(es_nn_maker *m, const es_nn_wishes *w)
{
    es_nn_layer conv = {.kind = ES_NN_CONV,
                        .name = "conv1",
                        .window = {.kernel = {5, 5}, .pad_before = {2, 2}, .pad_after = {2, 2}}};
    es_nn_make(m, conv, es_nn_channels(6, w->width, 2), true);
    es_nn_make_plain(m, ES_NN_RELU, "conv1-relu");
    es_nn_make_max_pool(m, "pool1", 2);
    conv = (es_nn_layer){.kind = ES_NN_CONV, .name = "conv2", .window = {.kernel = {5, 5}}};
    es_nn_make(m, conv, es_nn_channels(16, w->width, 2), true);
    es_nn_make_plain(m, ES_NN_RELU, "conv2-relu");
    es_nn_make_max_pool(m, "pool2", 2);
    es_nn_make_plain(m, ES_NN_FLATTEN, "flatten");
    es_nn_make_dense(m, "dense1", es_nn_channels(120, w->width, 4), true);
    es_nn_make_plain(m, ES_NN_RELU, "dense1-relu");
    es_nn_make_dense(m, "dense2", es_nn_channels(84, w->width, 4), true);
    es_nn_make_plain(m, ES_NN_RELU, "dense2-relu");
    es_nn_make_classifier(m, w);
}

/* Two convolutions and a way past them; that way is a convolution where stride or channels change.
 */
static void residual(es_nn_maker *m, size_t number, size_t units, size_t stride)
{
    es_nn_id in = m->at;
    es_nn_make_block(m, (es_nn_block){.name = es_nn_make_name(m, "block", number, "-a"),
                                      .units = units,
                                      .kernel = {3},
                                      .stride = stride,
                                      .act = ES_NN_RELU});
    es_nn_make_block(m, (es_nn_block){.name = es_nn_make_name(m, "block", number, "-b"),
                                      .units = units,
                                      .kernel = {3}});
    es_nn_id main = m->at;
    if (m->status == ES_OK && !es_nn_shape_same(es_nn_at(m->nn, in)->shape, es_nn_made_shape(m))) {
        es_nn_layer past = {.kind = ES_NN_CONV,
                            .name = es_nn_make_name(m, "block", number, "-past"),
                            .window = {.kernel = {1, 1}, .stride = {stride, stride}}};
        m->at = in;
        es_nn_make(m, past, units, true);
        in = m->at;
        m->at = main;
    }
    es_nn_make_add(m, es_nn_make_name(m, "block", number, "-add"), in);
    es_nn_make_plain(m, ES_NN_RELU, es_nn_make_name(m, "block", number, "-relu"));
}

void es_nn_net_resnet_8(es_nn_maker *m, const es_nn_wishes *w)
{
    size_t units = es_nn_channels(16, w->width, STEP);
    es_nn_make_block(
        m, (es_nn_block){.name = "stem", .units = units, .kernel = {3}, .act = ES_NN_RELU});
    residual(m, 1, units, 1);
    residual(m, 2, es_nn_channels(32, w->width, STEP), 2);
    residual(m, 3, es_nn_channels(64, w->width, STEP), 2);
    es_nn_make_plain(m, ES_NN_GLOBAL_POOL, "pool");
    es_nn_make_classifier(m, w);
}

/* Zhang et al. 2017, as MLPerf Tiny's keyword spotting: 49 frames of 10 coefficients. */
void es_nn_net_ds_cnn(es_nn_maker *m, const es_nn_wishes *w)
{
    size_t units = es_nn_channels(64, w->width, STEP);
    es_nn_make_block(
        m, (es_nn_block){
               .name = "stem", .units = units, .kernel = {10, 4}, .stride = 2, .act = ES_NN_RELU});
    es_nn_make_dropout(m, "stem-dropout", w->dropout / 2);
    for (size_t i = 1; i <= 4; i++) {
        es_nn_make_block(m, (es_nn_block){.name = es_nn_make_name(m, "block", i, "-depthwise"),
                                          .kernel = {3},
                                          .depthwise = true,
                                          .act = ES_NN_RELU});
        es_nn_make_block(m, (es_nn_block){.name = es_nn_make_name(m, "block", i, "-point"),
                                          .units = units,
                                          .kernel = {1},
                                          .act = ES_NN_RELU});
    }
    es_nn_make_plain(m, ES_NN_GLOBAL_POOL, "pool");
    es_nn_make_classifier(m, w);
}

/* Expands, filters each channel, projects; adds its input where the shape allows. */
static void inverted_residual(es_nn_maker *m, size_t number, size_t expand, size_t units,
                              size_t stride)
{
    es_nn_id in = m->at;
    if (expand > 1)
        es_nn_make_block(m, (es_nn_block){.name = es_nn_make_name(m, "block", number, "-expand"),
                                          .units = expand * es_nn_made_shape(m).dims[0],
                                          .kernel = {1},
                                          .act = ES_NN_RELU6});
    es_nn_make_block(m, (es_nn_block){.name = es_nn_make_name(m, "block", number, "-depthwise"),
                                      .kernel = {3},
                                      .stride = stride,
                                      .depthwise = true,
                                      .act = ES_NN_RELU6});
    es_nn_make_block(m, (es_nn_block){.name = es_nn_make_name(m, "block", number, "-project"),
                                      .units = units,
                                      .kernel = {1}});
    if (m->status == ES_OK && es_nn_shape_same(es_nn_at(m->nn, in)->shape, es_nn_made_shape(m)))
        es_nn_make_add(m, es_nn_make_name(m, "block", number, "-add"), in);
}

/* Sandler et al. 2018. Images below 64 places on a side skip the first two halvings. */
void es_nn_net_mobilenet_v2(es_nn_maker *m, const es_nn_wishes *w)
{
    static const struct {
        size_t expand, units, count, stride;
    } stages[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                  {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
    es_nn_shape in = es_nn_made_shape(m);
    size_t side = in.rank == 3 && in.dims[2] < in.dims[1] ? in.dims[2] : in.dims[in.rank - 1];
    bool small = side < SMALL_SIDE;
    size_t number = 0;
    es_nn_make_block(m, (es_nn_block){.name = "stem",
                                      .units = es_nn_channels(32, w->width, MOBILENET_STEP),
                                      .kernel = {3},
                                      .stride = small ? 1 : 2,
                                      .act = ES_NN_RELU6});
    for (size_t s = 0; s < sizeof stages / sizeof *stages; s++) {
        for (size_t i = 0; i < stages[s].count; i++) {
            size_t stride = i > 0 || (small && s == 1) ? 1 : stages[s].stride;
            size_t units = es_nn_channels((double)stages[s].units, w->width, MOBILENET_STEP);
            inverted_residual(m, ++number, stages[s].expand, units, stride);
        }
    }
    es_nn_make_block(
        m, (es_nn_block){.name = "head",
                         .units = es_nn_channels(1280, w->width > 1 ? w->width : 1, MOBILENET_STEP),
                         .kernel = {1},
                         .act = ES_NN_RELU6});
    es_nn_make_plain(m, ES_NN_GLOBAL_POOL, "pool");
    es_nn_make_classifier(m, w);
}

/* A convolution, then one with a way past it, which needs no convolution of its own. */
static void half_residual(es_nn_maker *m, size_t number, size_t units)
{
    es_nn_make_block(m, (es_nn_block){.name = es_nn_make_name(m, "block", number, "-a"),
                                      .units = units,
                                      .kernel = {3},
                                      .act = ES_NN_RELU});
    es_nn_id in = m->at;
    es_nn_make_block(m, (es_nn_block){.name = es_nn_make_name(m, "block", number, "-b"),
                                      .units = units,
                                      .kernel = {3}});
    es_nn_make_add(m, es_nn_make_name(m, "block", number, "-add"), in);
    es_nn_make_plain(m, ES_NN_RELU, es_nn_make_name(m, "block", number, "-relu"));
}

/* A small one of our own. Halving by pools costs no parameters, and lets convolutions see all
 * places first; with strides instead it was 1.7 points worse on Fashion-MNIST (12 epochs, one
 * seed). */
void es_nn_net_cnn(es_nn_maker *m, const es_nn_wishes *w)
{
    size_t units = es_nn_channels(16, w->width, STEP);
    es_nn_make_block(
        m, (es_nn_block){.name = "stem", .units = units, .kernel = {3}, .act = ES_NN_RELU});
    half_residual(m, 1, units);
    es_nn_make_max_pool(m, "pool1", 2);
    half_residual(m, 2, es_nn_channels(40, w->width, STEP));
    es_nn_make_max_pool(m, "pool2", 2);
    half_residual(m, 3, es_nn_channels(64, w->width, STEP));
    es_nn_make_plain(m, ES_NN_GLOBAL_POOL, "pool");
    es_nn_make_classifier(m, w);
}

/* MLPerf Tiny's anomaly detection; rebuilds its input, made flat. */
void es_nn_net_autoencoder(es_nn_maker *m, const es_nn_wishes *w)
{
    size_t hidden = es_nn_channels((double)w->units, w->width, STEP);
    if (es_nn_made_shape(m).rank > 1)
        es_nn_make_plain(m, ES_NN_FLATTEN, "flatten");
    size_t size = es_nn_made_shape(m).count;
    for (size_t i = 1; i <= 2 * w->blocks + 1; i++) {
        bool is_code = i == w->blocks + 1;
        es_nn_make_dense(m, is_code ? "code" : es_nn_make_name(m, "dense", i, ""),
                         is_code ? w->code : hidden, false);
        es_nn_make_plain(m, ES_NN_BATCH_NORM,
                         is_code ? "code-norm" : es_nn_make_name(m, "dense", i, "-norm"));
        es_nn_make_plain(m, ES_NN_RELU,
                         is_code ? "code-relu" : es_nn_make_name(m, "dense", i, "-relu"));
    }
    es_nn_make_dense(m, "output", size, true);
}

/* Bai et al. 2018: causal convolutions whose dilation doubles block by block; here the mean over
 * all steps goes to the classifier. */
void es_nn_net_temporal_cnn(es_nn_maker *m, const es_nn_wishes *w)
{
    size_t units = es_nn_channels((double)w->units, w->width, STEP);
    for (size_t i = 1; i <= w->blocks; i++) {
        es_nn_id in = m->at;
        es_nn_block block = {.units = units,
                             .kernel = {w->kernel},
                             .dilation = (size_t)1 << (i - 1),
                             .causal = true,
                             .act = ES_NN_RELU};
        block.name = es_nn_make_name(m, "block", i, "-a");
        es_nn_make_block(m, block);
        es_nn_make_dropout(m, es_nn_make_name(m, "block", i, "-dropout"), w->dropout);
        block.name = es_nn_make_name(m, "block", i, "-b");
        block.act = ES_NN_INPUT;
        es_nn_make_block(m, block);
        es_nn_id main = m->at;
        if (m->status == ES_OK && es_nn_at(m->nn, in)->shape.dims[0] != units) {
            m->at = in;
            es_nn_make(m,
                       (es_nn_layer){.kind = ES_NN_CONV,
                                     .name = es_nn_make_name(m, "block", i, "-past"),
                                     .window = {.kernel = {1, 1}}},
                       units, true);
            in = m->at;
            m->at = main;
        }
        es_nn_make_add(m, es_nn_make_name(m, "block", i, "-add"), in);
        es_nn_make_plain(m, ES_NN_RELU, es_nn_make_name(m, "block", i, "-relu"));
    }
    es_nn_make_plain(m, ES_NN_GLOBAL_POOL, "pool");
    es_nn_make_classifier(m, w);
}

void es_nn_net_gru(es_nn_maker *m, const es_nn_wishes *w)
{
    for (size_t i = 1; i <= w->blocks; i++)
        es_nn_make(m, (es_nn_layer){.kind = ES_NN_GRU, .name = es_nn_make_name(m, "gru", i, "")},
                   es_nn_channels((double)w->units, w->width, STEP), true);
    es_nn_make_plain(m, ES_NN_LAST, "last");
    es_nn_make_classifier(m, w);
}
