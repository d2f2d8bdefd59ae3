#include "base/file.h"
#include "test_model.h"

/* ---- a protobuf writer for files that the builder refuses to make ---- */

typedef struct wire {
    uint8_t bytes[8192];
    size_t size;
} wire;

static void put(wire *w, const void *bytes, size_t size)
{
    assert_true(size <= sizeof w->bytes - w->size);
    memcpy(w->bytes + w->size, bytes, size);
    w->size += size;
}

static void put_number(wire *w, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        put(w, &(uint8_t){(uint8_t)(value | 0x80)}, 1);
    put(w, &(uint8_t){(uint8_t)value}, 1);
}

static void put_int(wire *w, uint32_t field, int64_t value)
{
    put_number(w, (uint64_t)field << 3);
    put_number(w, (uint64_t)value);
}

static void put_bytes(wire *w, uint32_t field, const void *bytes, size_t size)
{
    put_number(w, ((uint64_t)field << 3) | 2);
    put_number(w, size);
    put(w, bytes, size);
}

static void put_text(wire *w, uint32_t field, const char *text)
{
    put_bytes(w, field, text, strlen(text));
}

static void put_wire(wire *w, uint32_t field, const wire *inner)
{
    put_bytes(w, field, inner->bytes, inner->size);
}

/* A model around a graph: ir_version 8, opset 17. */
static wire model_around(const wire *graph)
{
    wire opset = {.size = 0};
    put_text(&opset, 1, "");
    put_int(&opset, 2, 17);
    wire model = {.size = 0};
    put_int(&model, 1, 8);
    put_wire(&model, 8, &opset);
    put_wire(&model, 7, graph);
    return model;
}

static wire value_info(const char *name, size_t rank, const int64_t *dims)
{
    wire shape = {.size = 0};
    for (size_t i = 0; i < rank; i++) {
        wire dim = {.size = 0};
        put_int(&dim, 1, dims[i]);
        put_wire(&shape, 1, &dim);
    }
    wire tensor = {.size = 0};
    put_int(&tensor, 1, 1);
    put_wire(&tensor, 2, &shape);
    wire type = {.size = 0};
    put_wire(&type, 1, &tensor);
    wire info = {.size = 0};
    put_text(&info, 1, name);
    put_wire(&info, 2, &type);
    return info;
}

static wire node(const char *op, const char *in, const char *in2, const char *out)
{
    wire n = {.size = 0};
    put_text(&n, 1, in);
    if (in2 != NULL)
        put_text(&n, 1, in2);
    put_text(&n, 2, out);
    put_text(&n, 3, out);
    put_text(&n, 4, op);
    return n;
}

/* Graph x -> Add(x, w) -> y, with the initializer given. */
static wire add_graph(const wire *tensor)
{
    wire graph = {.size = 0};
    wire n = node("Add", "x", "w", "y");
    put_wire(&graph, 1, &n);
    if (tensor != NULL)
        put_wire(&graph, 5, tensor);
    wire x = value_info("x", DIMS(1, 3));
    wire y = value_info("y", DIMS(1, 3));
    put_wire(&graph, 11, &x);
    put_wire(&graph, 12, &y);
    return graph;
}

static wire tensor_of(int64_t type, size_t rank, const int64_t *dims, const void *raw, size_t size)
{
    wire t = {.size = 0};
    for (size_t i = 0; i < rank; i++)
        put_int(&t, 1, dims[i]);
    put_int(&t, 2, type);
    put_text(&t, 8, "w");
    if (raw != NULL)
        put_bytes(&t, 9, raw, size);
    return t;
}

static es_status parse(es_arena *arena, const wire *model, const es_model **out, es_error *err)
{
    return es_model_parse(arena, "m.onnx", model->bytes, model->size, es_model_opts_default(), out,
                          err);
}

static void refuse(const wire *model, es_status status, const char *words)
{
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_error err = {0};
    const es_model *out = NULL;
    assert_fails(parse(arena, model, &out, &err), status, err, words);
    assert_true(strncmp(err.text, "model 'm.onnx': ", 16) == 0);
    assert_null(strchr(err.text, '\n'));
    assert_null(out);
    es_arena_free(arena);
}

static void refuse_graph(const wire *graph, es_status status, const char *words)
{
    wire model = model_around(graph);
    refuse(&model, status, words);
}

static void refuse_tensor(const wire *tensor, es_status status, const char *words)
{
    wire graph = add_graph(tensor);
    refuse_graph(&graph, status, words);
}

/* ---- tests ---- */

static const float three[3] = {1, 2, 3};

static void test_good(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_error err = {0};
    const es_model *model = NULL;
    wire tensor = tensor_of(1, DIMS(3), three, sizeof three);
    wire graph = add_graph(&tensor);
    wire bytes = model_around(&graph);
    assert_ok_err(parse(arena, &bytes, &model, &err), err);
    assert_string_equal(es_model_name(model), "m.onnx");
    assert_int_equal(es_model_ir_version(model), 8);
    assert_int_equal(es_model_opset_count(model), 1);
    assert_string_equal(es_model_opset_at(model, 0).domain, "ai.onnx");
    assert_int_equal(es_model_opset_of(model, "ai.onnx"), 17);
    assert_int_equal(es_model_opset_of(model, "com.microsoft"), 0);
    assert_int_equal(es_model_input_count(model), 1);
    assert_string_equal(test_shape(es_model_input(model, 0)), "1x3");
    assert_int_equal(es_model_weight_count(model), 1);
    assert_memory_equal(es_model_weight_at(model, 0).data, three, sizeof three);
    const void *again = NULL;
    size_t size = 0;
    assert_ok_err(es_model_bytes(arena, model, &again, &size, &err), err);
    assert_int_equal(size, bytes.size);
    es_arena_free(arena);
}

/* Fields that the schema does not know stay in the file. */
static void test_unknown_fields_stay(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_error err = {0};
    const es_model *model = NULL;
    wire tensor = tensor_of(1, DIMS(3), three, sizeof three);
    wire graph = add_graph(&tensor);
    put_text(&graph, 16, "from a later version");
    wire bytes = model_around(&graph);
    assert_ok_err(parse(arena, &bytes, &model, &err), err);
    const void *again = NULL;
    size_t size = 0;
    assert_ok_err(es_model_bytes(arena, model, &again, &size, &err), err);
    assert_int_equal(size, bytes.size);
    es_arena_free(arena);
}

static void test_bad_tensors(void **state)
{
    (void)state;
    wire t = tensor_of(1, DIMS(3), three, 8);
    refuse_tensor(&t, ES_ERR_PARSE,
                  "initializer 0: tensor 'w': 8 bytes of data, its 3 elements of "
                  "FLOAT need 12");
    t = tensor_of(1, DIMS(3), NULL, 0);
    refuse_tensor(&t, ES_ERR_PARSE, "0 values of FLOAT data, expected 3");
    t = tensor_of(1, DIMS(-3), three, sizeof three);
    refuse_tensor(&t, ES_ERR_PARSE, "dimension 0 is -3, must be >= 0");
    t = tensor_of(1, DIMS(INT64_MAX, 3), three, sizeof three);
    refuse_tensor(&t, ES_ERR_LIMIT, "more elements than 64 bits can count");
    t = tensor_of(1, DIMS(INT64_MAX / 2), three, sizeof three);
    refuse_tensor(&t, ES_ERR_LIMIT, "more bytes than 64 bits can count");
    t = tensor_of(1, DIMS(INT64_MAX, 0, INT64_MAX), NULL, 0);
    refuse_tensor(&t, ES_ERR_LIMIT, "more elements than 64 bits can count");
    t = tensor_of(99, DIMS(3), three, sizeof three);
    refuse_tensor(&t, ES_ERR_UNSUPPORTED, "element type 99 is not known");
    t = tensor_of(1, DIMS(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3), three, sizeof three);
    refuse_tensor(&t, ES_ERR_LIMIT, "17 dimensions, at most 16");
    t = tensor_of(1, DIMS(3), three, sizeof three);
    put_bytes(&t, 4, three, sizeof three);
    refuse_tensor(&t, ES_ERR_PARSE, "has both raw and typed data");
}

/* A sparse weight: its shape is that of the dense tensor. */
static void test_sparse(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_error err = {0};
    const es_model *model = NULL;
    wire values = tensor_of(1, DIMS(3), three, sizeof three);
    wire indices = tensor_of(7, DIMS(3), ((const int64_t[]){0, 1, 4}), 24);
    wire sparse = {.size = 0};
    put_wire(&sparse, 1, &values);
    put_wire(&sparse, 2, &indices);
    put_int(&sparse, 3, 2);
    put_int(&sparse, 3, 3);
    wire graph = add_graph(NULL);
    put_wire(&graph, 15, &sparse);
    wire bytes = model_around(&graph);
    assert_ok_err(parse(arena, &bytes, &model, &err), err);
    assert_shape(test_analyse(arena, model), "y", "2x3");
    put_int(&sparse, 3, -1);
    graph = add_graph(NULL);
    put_wire(&graph, 15, &sparse);
    refuse_graph(&graph, ES_ERR_PARSE, "sparse initializer 0: dimension 2 is -1");
    es_arena_free(arena);
}

static void test_bad_graphs(void **state)
{
    (void)state;
    wire empty = {.size = 0};
    refuse(&empty, ES_ERR_PARSE, "is empty");
    put_int(&empty, 1, 8);
    refuse(&empty, ES_ERR_PARSE, "has no graph");
    wire graph = add_graph(NULL);
    refuse_graph(&graph, ES_ERR_PARSE,
                 "node 0 'y' (Add): input 1: 'w' is no graph input, no initializer and no output");
    wire model = {.size = 0};
    put_wire(&model, 7, &graph);
    refuse(&model, ES_ERR_PARSE, "ir_version is 0, must be >= 1");
    model.size = 0;
    put_int(&model, 1, 8);
    put_wire(&model, 7, &graph);
    refuse(&model, ES_ERR_PARSE, "opset_import is missing");
    wire tensor = tensor_of(1, DIMS(3), three, sizeof three);
    graph = add_graph(&tensor);
    put_wire(&graph, 5, &tensor);
    refuse_graph(&graph, ES_ERR_PARSE, "initializer 'w' comes twice");
    graph = add_graph(&tensor);
    wire twice = node("Relu", "x", NULL, "y");
    put_wire(&graph, 1, &twice);
    refuse_graph(&graph, ES_ERR_PARSE, "node 1 'y' (Relu): output 'y' is also made by node 0");
    graph = add_graph(&tensor);
    twice = node("Relu", "y", NULL, "x");
    put_wire(&graph, 1, &twice);
    refuse_graph(&graph, ES_ERR_PARSE, "output 'x' is also a graph input");
    graph = add_graph(&tensor);
    wire info = value_info("y", DIMS(1, 3));
    put_wire(&graph, 12, &info);
    refuse_graph(&graph, ES_ERR_PARSE, "graph output 'y' comes twice");
    graph = add_graph(&tensor);
    info = value_info("gone", DIMS(1));
    put_wire(&graph, 12, &info);
    refuse_graph(&graph, ES_ERR_PARSE, "graph output 1: 'gone' is no graph input");
    graph = add_graph(&tensor);
    info = value_info("x2", DIMS(-2));
    put_wire(&graph, 11, &info);
    refuse_graph(&graph, ES_ERR_PARSE, "graph input 'x2': dimension 0 is -2");
    graph = add_graph(&tensor);
    info = value_info("x2", DIMS(INT64_MAX, INT64_MAX));
    put_wire(&graph, 11, &info);
    refuse_graph(&graph, ES_ERR_LIMIT, "more elements than 60 bits");
    graph = add_graph(&tensor);
    wire nameless = {.size = 0};
    put_text(&nameless, 2, "z");
    put_wire(&graph, 1, &nameless);
    refuse_graph(&graph, ES_ERR_PARSE, "node 1 '' has no operator");
    graph = add_graph(&tensor);
    nameless.size = 0;
    put_text(&nameless, 1, "untyped");
    put_wire(&graph, 11, &nameless);
    refuse_graph(&graph, ES_ERR_PARSE, "graph input 'untyped': has no type");
}

static void test_order(void **state)
{
    (void)state;
    /* b needs a, but comes first */
    wire graph = {.size = 0};
    wire nodes[3] = {node("Relu", "b", NULL, "c"), node("Relu", "a", NULL, "b"),
                     node("Relu", "x", NULL, "a")};
    for (size_t i = 0; i < 3; i++)
        put_wire(&graph, 1, &nodes[i]);
    wire x = value_info("x", DIMS(1, 3));
    wire c = value_info("c", DIMS(1, 3));
    put_wire(&graph, 11, &x);
    put_wire(&graph, 12, &c);
    wire bytes = model_around(&graph);
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_error err = {0};
    const es_model *model = NULL;
    assert_ok_err(parse(arena, &bytes, &model, &err), err);
    const es_model_analysis *a = test_analyse(arena, model);
    assert_string_equal(a->nodes[0].name, "a");
    assert_string_equal(a->nodes[1].name, "b");
    assert_string_equal(a->nodes[2].name, "c");
    es_arena_free(arena);

    wire loop = {.size = 0};
    wire ring[3] = {node("Add", "x", "r", "p"), node("Relu", "p", NULL, "q"),
                    node("Relu", "q", NULL, "r")};
    for (size_t i = 0; i < 3; i++)
        put_wire(&loop, 1, &ring[i]);
    put_wire(&loop, 11, &x);
    wire out = value_info("r", DIMS(1, 3));
    put_wire(&loop, 12, &out);
    refuse_graph(&loop, ES_ERR_PARSE, "nodes form a cycle: 0 'p' (Add) <- 2 'r' (Relu) <- 1 'q'");
}

/* Graphs within graphs: refused before the recursive parser sees them. */
static void test_deep_nesting(void **state)
{
    (void)state;
    wire graph = {.size = 0};
    for (int level = 0; level < 40; level++) {
        wire attribute = {.size = 0};
        put_text(&attribute, 1, "body");
        put_wire(&attribute, 6, &graph);
        wire n = {.size = 0};
        put_text(&n, 4, "Loop");
        put_wire(&n, 5, &attribute);
        graph.size = 0;
        put_wire(&graph, 1, &n);
    }
    refuse_graph(&graph, ES_ERR_LIMIT, "nested more than 64 deep");
}

static void test_every_prefix_and_flip(void **state)
{
    (void)state;
    wire tensor = tensor_of(1, DIMS(3), three, sizeof three);
    wire graph = add_graph(&tensor);
    wire good = model_around(&graph);
    size_t accepted = 0;
    for (size_t size = 0; size < good.size; size++) {
        wire cut = good;
        cut.size = size;
        es_arena *arena = es_arena_new(1000 * 1000);
        es_error err = {0};
        const es_model *model = NULL;
        es_status status = parse(arena, &cut, &model, &err);
        assert_int_not_equal(status, ES_OK);
        assert_non_null(strstr(err.text, "model 'm.onnx': "));
        es_arena_free(arena);
    }
    for (size_t i = 0; i < good.size * 8; i++) {
        wire flipped = good;
        flipped.bytes[i / 8] ^= (uint8_t)(1u << (i % 8));
        es_arena *arena = es_arena_new(1000 * 1000);
        es_error err = {0};
        const es_model *model = NULL;
        const es_model_analysis *analysis = NULL;
        es_status status = parse(arena, &flipped, &model, &err);
        if (status == ES_OK)
            status =
                es_model_analyse(arena, model, es_model_analyse_opts_default(), &analysis, &err);
        assert_true(status == ES_OK || err.text[0] != '\0');
        accepted += status == ES_OK;
        es_arena_free(arena);
    }
    assert_true(accepted > 0 && accepted < good.size * 8);
}

static void test_caps(void **state)
{
    (void)state;
    wire tensor = tensor_of(1, DIMS(3), three, sizeof three);
    wire graph = add_graph(&tensor);
    wire good = model_around(&graph);
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_error err = {0};
    const es_model *model = NULL;
    es_model_opts opts = es_model_opts_default();
    opts.size_max_bytes = 10;
    assert_fails(es_model_parse(arena, "m", good.bytes, good.size, opts, &model, &err),
                 ES_ERR_LIMIT, err, "at most 10 are allowed");
    es_arena_free(arena);
    for (size_t cap = 100; cap < 20000; cap += 100) { /* the arena fills up anywhere */
        arena = es_arena_new(cap);
        es_status status = parse(arena, &good, &model, &err);
        assert_true(status == ES_OK || status == ES_ERR_NOMEM);
        const es_model_analysis *analysis = NULL;
        if (status == ES_OK)
            status =
                es_model_analyse(arena, model, es_model_analyse_opts_default(), &analysis, &err);
        assert_true(status == ES_OK || status == ES_ERR_NOMEM);
        es_arena_free(arena);
    }
    /* many empty nodes: two bytes each in the file, a hundred in memory */
    wire bomb = {.size = 0};
    for (int i = 0; i < 2000; i++)
        put_wire(&bomb, 1, &(wire){.size = 0});
    wire bytes = model_around(&bomb);
    arena = es_arena_new(64 * 1000);
    assert_fails(parse(arena, &bytes, &model, &err), ES_ERR_NOMEM, err, "unpacked model");
    es_arena_free(arena);
}

/* ---- external data ---- */

static wire external(const char *location, const char *offset, const char *length)
{
    wire t = tensor_of(1, DIMS(3), NULL, 0);
    const char *const pairs[3][2] = {
        {"location", location}, {"offset", offset}, {"length", length}};
    for (size_t i = 0; i < 3; i++) {
        wire entry = {.size = 0};
        if (pairs[i][1] == NULL)
            continue;
        put_text(&entry, 1, pairs[i][0]);
        put_text(&entry, 2, pairs[i][1]);
        put_wire(&t, 13, &entry);
    }
    put_int(&t, 14, 1);
    return t;
}

static es_status load_external(es_arena *arena, const wire *tensor, const es_model **out,
                               es_error *err)
{
    const char *path = ES_TEST_BINARY_DIR "/model_load_test.onnx";
    wire graph = add_graph(tensor);
    wire model = model_around(&graph);
    assert_ok_err(es_file_write(path, model.bytes, model.size, err), *err);
    es_status status = es_model_load(arena, path, es_model_opts_default(), out, err);
    (void)remove(path); /* of no use any more */
    return status;
}

static void test_external_data(void **state)
{
    (void)state;
    const char *data_path = ES_TEST_BINARY_DIR "/model_load_test.bin";
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_error err = {0};
    const es_model *model = NULL;
    const float data[5] = {9, 9, 1, 2, 3};
    assert_ok_err(es_file_write(data_path, data, sizeof data, &err), err);
    wire t = external("model_load_test.bin", "8", "12");
    assert_ok_err(load_external(arena, &t, &model, &err), err);
    assert_memory_equal(es_model_weight_at(model, 0).data, three, sizeof three);
    const void *bytes = NULL; /* written, it is one file */
    size_t size = 0;
    assert_ok_err(es_model_bytes(arena, model, &bytes, &size, &err), err);
    assert_ok_err(es_model_parse(arena, "m", bytes, size, es_model_opts_default(), &model, &err),
                  err);
    assert_memory_equal(es_model_weight_at(model, 0).data, three, sizeof three);

    static const struct {
        const char *location, *offset, *length, *words;
        es_status status;
    } bad[] = {
        {"model_load_test.bin", "9", NULL, "lies outside", ES_ERR_PARSE},
        {"model_load_test.bin", "18446744073709551615", NULL, "lies outside", ES_ERR_PARSE},
        {"model_load_test.bin", "-1", NULL, "external offset '-1' is not a number", ES_ERR_PARSE},
        {"model_load_test.bin", NULL, "16", "external length is 16, dims need 12", ES_ERR_PARSE},
        {"absent.bin", NULL, NULL, "is not a readable file", ES_ERR_IO},
        {"/etc/passwd", NULL, NULL, "must be a relative path inside", ES_ERR_PARSE},
        {"x/../../model_load_test.bin", NULL, NULL, "must be a relative path", ES_ERR_PARSE},
        {"a/../../b", NULL, NULL, "must be a relative path", ES_ERR_PARSE},
        {"..", NULL, NULL, "must be a relative path", ES_ERR_PARSE},
        {"src", NULL, NULL, "is not a readable file", ES_ERR_IO},
        {NULL, NULL, NULL, "without location", ES_ERR_PARSE},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        t = external(bad[i].location, bad[i].offset, bad[i].length);
        assert_fails(load_external(arena, &t, &model, &err), bad[i].status, err, bad[i].words);
        assert_non_null(strstr(err.text, "tensor 'w'"));
    }
    t = external("model_load_test.bin", NULL, NULL);
    wire graph = add_graph(&t);
    refuse_graph(&graph, ES_ERR_UNSUPPORTED, "no folder for external data was given");
    assert_int_equal(remove(data_path), 0);
    es_arena_free(arena);
}

static void test_files(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_error err = {0};
    const es_model *model = NULL;
    assert_fails(es_model_load(arena, ES_TEST_BINARY_DIR "/no_such.onnx", es_model_opts_default(),
                               &model, &err),
                 ES_ERR_IO, err, "no_such.onnx");
    wire tensor = tensor_of(1, DIMS(3), three, sizeof three);
    wire graph = add_graph(&tensor);
    wire good = model_around(&graph);
    assert_ok_err(parse(arena, &good, &model, &err), err);
    const char *path = ES_TEST_BINARY_DIR "/model_write_test.onnx";
    assert_ok_err(es_model_write(arena, model, path, &err), err);
    const es_model *back = NULL;
    assert_ok_err(es_model_load(arena, path, es_model_opts_default(), &back, &err), err);
    assert_string_equal(es_model_name(back), path);
    assert_int_equal(es_model_node_count(back), 1);
    assert_int_equal(remove(path), 0);
    es_arena_free(arena);
}

static void test_builder_remembers(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_error err = {0};
    const es_model *model = NULL;
    es_model_build *b = es_model_build_new(arena, "small", 17);
    es_model_build_int(b, "axis", 1);
    es_model_build_node(b, "Relu", NULL, "r", NAMES("x"), NAMES("y"));
    assert_fails(es_model_build_finish(b, &model, &err), ES_ERR_ARG, err,
                 "model 'small': attribute 'axis' before any node");
    b = es_model_build_new(arena, "small", 17);
    es_model_build_weight(b, "w", ES_MODEL_FLOAT, DIMS(4), three, sizeof three);
    assert_fails(es_model_build_finish(b, &model, &err), ES_ERR_PARSE, err,
                 "12 bytes of data, its 4 elements of FLOAT need 16");
    es_arena_free(arena);
}

static void test_types(void **state)
{
    (void)state;
    assert_string_equal(es_model_type_name(ES_MODEL_BFLOAT16), "BFLOAT16");
    assert_string_equal(es_model_type_name((es_model_type)1000), "UNDEFINED");
    assert_int_equal(es_model_type_bits(ES_MODEL_INT4), 4);
    assert_int_equal(es_model_type_bits(ES_MODEL_STRING), 0);
    assert_int_equal(es_model_type_bits(ES_MODEL_COMPLEX128), 128);
}

static void a_file_names_its_model(void **state)
{
    (void)state;
    static const char *const given[] = {"folder/small.onnx", "small", "a.b/c", ".onnx",
                                        "x.onnx.gz"};
    static const char *const wanted[] = {"small", "small", "c", ".onnx", "x.onnx.gz"};
    es_arena *arena = es_arena_new(1 << 16);
    for (size_t i = 0; i < sizeof given / sizeof *given; i++)
        assert_string_equal(es_model_file_name(arena, given[i]), wanted[i]);
    assert_int_equal(es_model_stem_size("folder/small.onnx"), strlen("folder/small"));
    es_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_unknown_fields_stay),
        cmocka_unit_test(test_bad_tensors),
        cmocka_unit_test(test_sparse),
        cmocka_unit_test(test_bad_graphs),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_deep_nesting),
        cmocka_unit_test(test_every_prefix_and_flip),
        cmocka_unit_test(test_caps),
        cmocka_unit_test(test_external_data),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_builder_remembers),
        cmocka_unit_test(a_file_names_its_model),
        cmocka_unit_test(test_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
