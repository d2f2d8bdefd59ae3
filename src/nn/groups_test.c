/* Dependency groups of known nets, and what must hold of those of any net. */
#include "nn/testing/random_net.h"
#include "test_nn.h"

enum { SEEDS = 300 };

static const es_nn_id input = {0};

static es_nn_groups find(es_arena *arena, const es_nn *nn)
{
    es_error err = {0};
    es_nn_groups groups = {0};
    assert_ok_err(es_nn_groups_find(arena, nn, &groups, &err), err);
    return groups;
}

/* The group with the channels that a layer gives, its channel `channel` among them. */
static const es_nn_group *group_of(const es_nn *nn, es_nn_groups groups, const char *layer)
{
    es_nn_id id = es_nn_find(nn, layer);
    for (size_t g = 0; g < groups.count; g++) {
        for (size_t i = 0; i < groups.items[g].layer_count; i++) {
            if (groups.items[g].layers[i].index == id.index)
                return &groups.items[g];
        }
    }
    fail_msg("no group of '%s'", layer);
    return NULL;
}

static const es_nn_slice *slice_of(const es_nn *nn, const es_nn_group *group, const char *layer,
                                   uint32_t param, uint32_t axis)
{
    es_nn_id id = es_nn_find(nn, layer);
    for (size_t i = 0; i < group->slice_count; i++) {
        const es_nn_slice *slice = &group->slices[i];
        if (slice->layer.index == id.index && slice->param == param && slice->axis == axis)
            return slice;
    }
    return NULL;
}

#define assert_slice(nn, group, layer, param, axis, wanted_first, wanted_stride, wanted_span)      \
    do {                                                                                           \
        const es_nn_slice *slice_ = slice_of((nn), (group), (layer), (param), (axis));             \
        assert_non_null(slice_);                                                                   \
        assert_int_equal(slice_->first, (wanted_first));                                           \
        assert_int_equal(slice_->stride, (wanted_stride));                                         \
        assert_int_equal(slice_->span, (wanted_span));                                             \
    } while (0)

/* ---- ResNet-18, the example of DepGraph ---- */

static es_nn_id named_norm(es_nn *nn, const char *name, es_nn_id in)
{
    es_nn_layer layer = {.kind = ES_NN_BATCH_NORM, .name = name, .input_count = 1, .inputs = {in}};
    return test_add(nn, layer, 0, false);
}

static es_nn_id basic_block(es_nn *nn, const char *name, es_nn_id in, size_t units, size_t stride)
{
    char part[64];
    (void)snprintf(part, sizeof part, "%s.conv1", name);
    es_nn_id x = test_conv(nn, part, in, units, 3, stride);
    (void)snprintf(part, sizeof part, "%s.bn1", name);
    x = test_plain(nn, ES_NN_RELU, named_norm(nn, part, x));
    (void)snprintf(part, sizeof part, "%s.conv2", name);
    x = test_conv(nn, part, x, units, 3, 1);
    (void)snprintf(part, sizeof part, "%s.bn2", name);
    x = named_norm(nn, part, x);
    if (stride > 1) {
        (void)snprintf(part, sizeof part, "%s.downsample", name);
        in = test_conv(nn, part, in, units, 1, stride);
        (void)snprintf(part, sizeof part, "%s.downbn", name);
        in = named_norm(nn, part, in);
    }
    return test_plain(nn, ES_NN_RELU, test_two(nn, ES_NN_ADD, x, in));
}

static es_nn *resnet_18(es_arena *arena)
{
    static const char *const names[4][2] = {{"layer1.0", "layer1.1"},
                                            {"layer2.0", "layer2.1"},
                                            {"layer3.0", "layer3.1"},
                                            {"layer4.0", "layer4.1"}};
    es_nn *nn = test_net(arena, SHAPE(3, 224, 224));
    es_nn_id x = named_norm(nn, "bn1", test_conv(nn, "conv1", input, 64, 7, 2));
    x = test_plain(nn, ES_NN_RELU, x);
    x = test_add(nn, test_window(ES_NN_MAX_POOL, x, 3, 2), 0, false);
    for (size_t stage = 0; stage < 4; stage++) {
        x = basic_block(nn, names[stage][0], x, (size_t)64 << stage, stage > 0 ? 2 : 1);
        x = basic_block(nn, names[stage][1], x, (size_t)64 << stage, 1);
    }
    x = test_dense(nn, "fc", test_plain(nn, ES_NN_GLOBAL_POOL, x), 1000);
    test_output(nn, "y", x);
    test_seal(nn);
    return nn;
}

/* Sides of layers in a group: those whose output it is, and those whose weights read it. */
static size_t items_of(const es_nn_group *group)
{
    size_t items = group->layer_count;
    for (size_t i = 0; i < group->slice_count; i++)
        items += group->slices[i].axis == 1; /* no GRU here: one per reader */
    return items;
}

static void resnet_18_as_in_depgraph(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = resnet_18(arena);
    es_nn_groups groups = find(arena, nn);
    const es_nn_group *first = group_of(nn, groups, "conv1");
    static const char *const outs[] = {"conv1", "layer1.0.conv2", "layer1.1.conv2"};
    static const char *const norms[] = {"bn1", "layer1.0.bn2", "layer1.1.bn2"};
    static const char *const readers[] = {"layer1.0.conv1", "layer1.1.conv1", "layer2.0.conv1",
                                          "layer2.0.downsample"};
    assert_int_equal(items_of(first), 16);
    assert_int_equal(first->channels, 64);
    assert_false(first->fixed);
    for (size_t i = 0; i < 3; i++)
        assert_slice(nn, first, outs[i], 0, 0, 0, 1, 1);
    for (uint32_t p = 0; p < 4; p++)
        for (size_t i = 0; i < 3; i++)
            assert_slice(nn, first, norms[i], p, 0, 0, 1, 1);
    for (size_t i = 0; i < 4; i++)
        assert_slice(nn, first, readers[i], 0, 1, 0, 1, 1);
    assert_int_equal(first->slice_count, 3 + 3 * 4 + 4);
    /* The input, the answer, one per stage, one inside each block. */
    assert_int_equal(groups.count, 2 + 4 + 8);
    assert_true(groups.items[0].fixed);
    assert_true(group_of(nn, groups, "fc")->fixed);
    es_arena_free(arena);
}

/* Half of all channels: the figures of Torch-Pruning's table, 11.69 -> 3.06 M parameters, 1.822 ->
 * 0.487 G MACs (which count norms and biases a little differently). */
static void resnet_18_halved(void **state)
{
    (void)state;
    es_error err = {0};
    es_nn *half = NULL;
    es_arena *arena = es_arena_new((size_t)1 << 30);
    es_nn *nn = resnet_18(arena);
    es_nn_groups groups = find(arena, nn);
    const bool **keep = ES_TAKE_ARRAY(arena, const bool *, groups.count);
    for (size_t g = 0; g < groups.count; g++) {
        bool *mask = ES_TAKE_ARRAY(arena, bool, groups.items[g].channels);
        for (size_t c = 0; c < groups.items[g].channels; c++)
            mask[c] = groups.items[g].fixed || c % 2 == 0;
        keep[g] = mask;
    }
    assert_ok_err(es_nn_keep(arena, nn, &groups, keep, &half, NULL, &err), err);
    es_nn_work before = es_nn_work_of(nn);
    es_nn_work after = es_nn_work_of(half);
    assert_int_equal(before.macs, 1814073344);
    assert_int_equal(before.params, 11689512 - 4800); /* scale and shift are one bias */
    assert_true(after.params > 3040000 && after.params < 3080000);
    assert_true(after.macs > 475000000 && after.macs < 490000000);
    es_arena_free(arena);
}

/* ---- single rules ---- */

static void concats_shift(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = test_net(arena, SHAPE(3, 8, 8));
    es_nn_id a = test_conv(nn, "a", input, 4, 3, 1);
    es_nn_id b = test_conv(nn, "b", input, 6, 3, 1);
    es_nn_id joined = test_two(nn, ES_NN_CONCAT, a, b);
    es_nn_id c = test_conv(nn, "c", joined, 5, 3, 1);
    es_nn_id flat = test_plain(nn, ES_NN_FLATTEN, c);
    test_output(nn, "y", test_dense(nn, "d", flat, 3));
    test_seal(nn);
    es_nn_groups groups = find(arena, nn);
    assert_int_equal(groups.count, 5);
    assert_slice(nn, group_of(nn, groups, "a"), "c", 0, 1, 0, 1, 1);
    assert_slice(nn, group_of(nn, groups, "b"), "c", 0, 1, 4, 1, 1);
    assert_slice(nn, group_of(nn, groups, "c"), "d", 0, 1, 0, 64, 64);
    es_arena_free(arena);
}

/* A sum over a concat parts the other side too. */
static void sums_over_concats_part(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = test_net(arena, SHAPE(3, 8, 8));
    es_nn_id a = test_conv(nn, "a", input, 4, 3, 1);
    es_nn_id b = test_conv(nn, "b", input, 6, 3, 1);
    es_nn_id c = test_conv(nn, "c", input, 10, 3, 1);
    es_nn_id sum = test_two(nn, ES_NN_ADD, c, test_two(nn, ES_NN_CONCAT, a, b));
    test_output(nn, "y", test_conv(nn, "d", sum, 2, 1, 1));
    test_seal(nn);
    es_nn_groups groups = find(arena, nn);
    assert_int_equal(group_of(nn, groups, "a")->channels, 4);
    assert_slice(nn, group_of(nn, groups, "a"), "c", 0, 0, 0, 1, 1);
    assert_slice(nn, group_of(nn, groups, "b"), "c", 0, 0, 4, 1, 1);
    assert_slice(nn, group_of(nn, groups, "b"), "d", 0, 1, 4, 1, 1);
    es_arena_free(arena);
}

static void grouped_convolutions_go_by_groups(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = test_net(arena, SHAPE(3, 8, 8));
    es_nn_id a = test_conv(nn, "a", input, 12, 3, 1);
    es_nn_layer grouped = test_window(ES_NN_CONV, a, 3, 1);
    grouped.groups = 4;
    grouped.name = "grouped";
    es_nn_id b = test_add(nn, grouped, 8, true);
    es_nn_layer depthwise = test_window(ES_NN_CONV, b, 3, 1);
    depthwise.groups = 8;
    depthwise.name = "depthwise";
    es_nn_id c = test_add(nn, depthwise, 16, false);
    test_output(nn, "y", test_conv(nn, "d", c, 2, 1, 1));
    test_seal(nn);
    es_nn_groups groups = find(arena, nn);
    const es_nn_group *group = group_of(nn, groups, "a");
    assert_int_equal(group->channels, 4);
    assert_slice(nn, group, "a", 0, 0, 0, 3, 3);
    assert_slice(nn, group, "grouped", 0, 0, 0, 2, 2);
    assert_slice(nn, group, "grouped", 1, 0, 0, 2, 2);
    assert_slice(nn, group, "depthwise", 0, 0, 0, 4, 4);
    assert_slice(nn, group, "d", 0, 1, 0, 4, 4);
    assert_null(slice_of(nn, group, "grouped", 0, 1));
    es_arena_free(arena);
}

static void gates_of_a_gru_go_together(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = test_net(arena, SHAPE(3, 8));
    es_nn_layer layer = {.kind = ES_NN_GRU, .name = "g", .input_count = 1};
    es_nn_id gru = test_add(nn, layer, 5, true);
    layer.name = "h";
    layer.inputs[0] = gru;
    es_nn_id second = test_add(nn, layer, 7, true);
    test_output(nn, "y", test_dense(nn, "d", test_plain(nn, ES_NN_LAST, second), 2));
    test_seal(nn);
    es_nn_groups groups = find(arena, nn);
    const es_nn_group *group = group_of(nn, groups, "g");
    assert_int_equal(group->channels, 5);
    assert_int_equal(group->slice_count, 3 + 3 + 1 + 6 + 1); /* W, R both ways, B, W of h */
    assert_slice(nn, group, "g", 1, 1, 0, 1, 1);
    assert_slice(nn, group, "h", 0, 1, 0, 1, 1);
    assert_slice(nn, group_of(nn, groups, "h"), "d", 0, 1, 0, 1, 1);
    es_arena_free(arena);
}

static void a_softmax_holds_its_channels(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = test_net(arena, SHAPE(3));
    es_nn_id a = test_dense(nn, "a", input, 4);
    es_nn_id b = test_dense(nn, "b", test_plain(nn, ES_NN_SOFTMAX, a), 5);
    test_output(nn, "y", test_dense(nn, "c", b, 2));
    test_seal(nn);
    es_nn_groups groups = find(arena, nn);
    assert_true(group_of(nn, groups, "a")->fixed);
    assert_false(group_of(nn, groups, "b")->fixed);
    es_arena_free(arena);
}

/* ---- any net ---- */

static void count_slices(const es_nn_group *group, es_nn_id layer, uint32_t param, uint32_t axis,
                         uint8_t *seen)
{
    for (size_t i = 0; i < group->slice_count; i++) {
        const es_nn_slice *s = &group->slices[i];
        if (s->layer.index != layer.index || s->param != param || s->axis != axis)
            continue;
        for (size_t c = 0; c < group->channels; c++)
            for (size_t k = 0; k < s->span; k++)
                seen[s->first + c * s->stride + k]++;
    }
}

static void assert_covered(const es_nn *nn, es_nn_groups groups, uint32_t index, uint32_t param,
                           uint32_t axis, uint64_t seed)
{
    static uint8_t seen[1 << 16];
    const es_nn_layer *layer = &nn->layers.items[index];
    size_t size = layer->params[param].dims[axis];
    assert_true(size <= sizeof seen);
    memset(seen, 0, size);
    for (size_t g = 0; g < groups.count; g++)
        count_slices(&groups.items[g], (es_nn_id){index}, param, axis, seen);
    for (size_t i = 0; i < size; i++) {
        if (seen[i] != 1)
            fail_msg("ES_SEED=%" PRIu64 ": '%s' parameter %u axis %u: %zu lies in %u groups", seed,
                     layer->name, param, axis, i, seen[i]);
    }
}

/* Each row and each column of each parameter belongs to exactly one channel. */
static void every_channel_belongs_to_one_group(void **state)
{
    (void)state;
    uint64_t first = es_test_seed(1);
    for (uint64_t seed = first; seed < first + SEEDS; seed++) {
        es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
        es_nn *nn = nn_random(arena, seed, false);
        es_nn_groups groups = find(arena, nn);
        for (uint32_t i = 0; i < nn->layers.count; i++) {
            const es_nn_layer *layer = &nn->layers.items[i];
            for (uint32_t p = 0; p < layer->param_count && layer->kind != ES_NN_QUANTISE; p++) {
                assert_covered(nn, groups, i, p, 0, seed);
                if (layer->params[p].rank > 1 && (layer->kind != ES_NN_CONV || layer->groups == 1))
                    assert_covered(nn, groups, i, p, 1, seed);
            }
        }
        es_arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resnet_18_as_in_depgraph),
        cmocka_unit_test(resnet_18_halved),
        cmocka_unit_test(concats_shift),
        cmocka_unit_test(sums_over_concats_part),
        cmocka_unit_test(grouped_convolutions_go_by_groups),
        cmocka_unit_test(gates_of_a_gru_go_together),
        cmocka_unit_test(a_softmax_holds_its_channels),
        cmocka_unit_test(every_channel_belongs_to_one_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
