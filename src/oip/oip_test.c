/* Golden examples of the protocol's documents, every refusal by name, and round trips. */
#include "base/rng.h"
#include "es_test.h"
#include "oip.h"

static es_arena *arena;

static es_status decode(const char *json, es_oip_message *out, es_error *err)
{
    return es_oip_decode(arena, ES_OIP_REQUEST, json, strlen(json), ES_OIP_DOUBT, out, err);
}

/* The request of the protocol's own text (triton-inference-server, HTTP/REST). */
static void reads_the_json_example(void **state)
{
    static const char JSON[] =
        "{\"id\":\"42\",\"inputs\":[{\"name\":\"input0\",\"shape\":[2,2],\"datatype\":\"UINT32\","
        "\"data\":[1,2,3,4]},{\"name\":\"input1\",\"shape\":[3],\"datatype\":\"BOOL\","
        "\"data\":[true]}],\"outputs\":[{\"name\":\"output0\"}]}";
    static const char GOOD[] =
        "{\"id\":\"42\",\"inputs\":[{\"name\":\"input0\",\"shape\":[2,2],\"datatype\":\"UINT32\","
        "\"data\":[[1,2],[3,4]]},{\"name\":\"input1\",\"shape\":[3],\"datatype\":\"BOOL\","
        "\"data\":[true,0,1]}],\"outputs\":[{\"name\":\"output0\"}],"
        "\"parameters\":{\"priority\":1,\"timeout\":2000,\"estran_slo_ms\":12.5}}";
    es_oip_message got;
    es_error err = {0};
    (void)state;
    assert_fails(decode(JSON, &got, &err), ES_ERR_PARSE, err, "inputs[1].data: 1 values");
    assert_ok_err(decode(GOOD, &got, &err), err);
    assert_string_equal(got.id, "42");
    assert_int_equal(got.tensor_count, 2);
    static const uint32_t NUMBERS[] = {1, 2, 3, 4};
    assert_int_equal(got.tensors[0].size_bytes, 16);
    assert_memory_equal(got.tensors[0].data, NUMBERS, 16);
    assert_memory_equal(got.tensors[1].data, "\1\0\1", 3);
    assert_int_equal(got.wanted_count, 1);
    assert_int_equal(got.wanted[0].binary, ES_OIP_DOUBT);
    assert_int_equal(got.priority, 1);
    assert_int_equal(got.timeout_us, 2000);
    assert_true(es_oip_param_find(&got.params, "estran_slo_ms")->as.number == 12.5);
    assert_null(es_oip_param_find(&got.params, "absent"));
}

/* The binary example: 16 + 3 bytes behind the JSON of the request, 24 behind the answer's. */
static void reads_the_binary_example(void **state)
{
    static const char JSON[] =
        "{\"model_name\":\"mymodel\",\"inputs\":[{\"name\":\"input0\",\"shape\":[2,2],"
        "\"datatype\":\"UINT32\",\"parameters\":{\"binary_data_size\":16}},{\"name\":\"input1\","
        "\"shape\":[3],\"datatype\":\"BOOL\",\"parameters\":{\"binary_data_size\":3}}],"
        "\"outputs\":[{\"name\":\"output0\",\"parameters\":{\"binary_data\":true}}]}";
    enum { JSON_SIZE = sizeof JSON - 1 };
    unsigned char body[JSON_SIZE + 20];
    es_oip_message got;
    es_error err = {0};
    (void)state;
    memcpy(body, JSON, JSON_SIZE);
    for (int i = 0; i < 19; i++)
        body[JSON_SIZE + i] = (unsigned char)i;
    assert_ok_err(es_oip_decode(arena, ES_OIP_REQUEST, body, JSON_SIZE + 19, JSON_SIZE, &got, &err),
                  err);
    assert_true(got.tensors[0].binary);
    assert_memory_equal(got.tensors[0].data, body + JSON_SIZE, 16);
    assert_int_equal((uintptr_t)got.tensors[0].data % 4, 0);
    assert_memory_equal(got.tensors[1].data, body + JSON_SIZE + 16, 3);
    assert_int_equal(got.wanted[0].binary, 1);
    assert_int_equal(got.tensors[0].params.count, 0);
    assert_fails(es_oip_decode(arena, ES_OIP_REQUEST, body, JSON_SIZE + 18, JSON_SIZE, &got, &err),
                 ES_ERR_PARSE, err, "binary_data_size: 3 bytes, but 2 are left");
    assert_fails(es_oip_decode(arena, ES_OIP_REQUEST, body, JSON_SIZE + 20, JSON_SIZE, &got, &err),
                 ES_ERR_PARSE, err, "1 bytes behind the JSON");
    assert_fails(es_oip_decode(arena, ES_OIP_REQUEST, body, 10, 11, &got, &err), ES_ERR_ARG, err,
                 "Inference-Header-Content-Length: 11");
    assert_fails(es_oip_decode(arena, ES_OIP_REQUEST, body, 10, 0, &got, &err), ES_ERR_ARG, err,
                 "from 1 to the 10");
}

static void writes_the_answer_example(void **state)
{
    static const float VALUES[] = {1, 1.1f, 2, 2.2f, 3, -0.5f};
    es_oip_tensor output = {.name = "output0",
                            .dtype = ES_DTYPE_F32,
                            .rank = 2,
                            .dims = {3, 2},
                            .data = VALUES,
                            .size_bytes = 24};
    const es_oip_param node = {.name = "estran_node", .type = ES_DOC_TEXT, .as.text = "edge \"1\""};
    es_oip_message answer = {.model_name = "mymodel",
                             .model_version = "1",
                             .id = "42",
                             .tensors = &output,
                             .tensor_count = 1};
    es_text text;
    int64_t json_size = 0;
    es_error err = {0};
    (void)state;
    es_text_init(&text, 4096);
    answer.params = (es_oip_params){&node, 1};
    assert_ok_err(es_oip_encode(ES_OIP_ANSWER, &answer, &text, &json_size, &err), err);
    assert_int_equal(json_size, ES_OIP_DOUBT);
    assert_string_equal(
        es_text_get(&text),
        "{\"model_name\":\"mymodel\",\"model_version\":\"1\",\"id\":\"42\",\"outputs\":[{\"name\":"
        "\"output0\",\"datatype\":\"FP32\",\"shape\":[3,2],\"data\":[1,1.1,2,2.2,3,-0.5]}],"
        "\"parameters\":{\"estran_node\":\"edge \\\"1\\\"\"}}");
    es_text_clear(&text);
    output.binary = true;
    assert_ok_err(es_oip_encode(ES_OIP_ANSWER, &answer, &text, &json_size, &err), err);
    assert_int_equal((size_t)json_size + 24, text.size);
    assert_memory_equal(text.bytes + json_size, VALUES, 24);
    text.bytes[json_size] = '\0';
    assert_non_null(strstr(text.bytes, "\"parameters\":{\"binary_data_size\":24}"));
    output.size_bytes = 20;
    assert_fails(es_oip_encode(ES_OIP_ANSWER, &answer, &text, &json_size, &err), ES_ERR_ARG, err,
                 "'output0': 20 bytes");
    output.dtype = ES_DTYPE_C64;
    assert_fails(es_oip_encode(ES_OIP_ANSWER, &answer, &text, &json_size, &err), ES_ERR_ARG, err,
                 "not in the protocol");
    es_text_done(&text);
}

#define INPUT(rest) "{\"inputs\":[{\"name\":\"x\"," rest "}]}"

static void refuses_by_name(void **state)
{
    static const struct {
        const char *json, *words;
    } ROWS[] = {
        {"", "request:1:1"},
        {"[]", "map"},
        {"{}", "inputs"},
        {"{\"inputs\":{}}", "inputs"},
        {"{\"inputs\":[1]}", "inputs[0]"},
        {"{\"inputs\":[{\"shape\":[1]}]}", "name"},
        {INPUT("\"shape\":[1],\"data\":[1]"), "datatype"},
        {INPUT("\"shape\":[1],\"datatype\":\"FP31\",\"data\":[1]"), "'FP31' is not a datatype"},
        {INPUT("\"shape\":[-1],\"datatype\":\"FP32\",\"data\":[1]"), "shape[0]"},
        {INPUT("\"shape\":[1.5],\"datatype\":\"FP32\",\"data\":[1]"), "shape[0]"},
        {INPUT("\"shape\":[1,1,1,1,1,1,1,1,1],\"datatype\":\"FP32\",\"data\":[1]"), "9 dimensions"},
        {INPUT("\"shape\":[4294967296,4294967296],\"datatype\":\"FP32\",\"data\":[1]"),
         "too many elements"},
        {INPUT("\"shape\":[2],\"datatype\":\"FP32\""), "data"},
        {INPUT("\"shape\":[2],\"datatype\":\"FP32\",\"data\":[1]"), "1 values do not fit"},
        {INPUT("\"shape\":[2],\"datatype\":\"FP32\",\"data\":[1,\"2\"]"), "data[1]"},
        {INPUT("\"shape\":[2],\"datatype\":\"FP32\",\"data\":[1,1e39]"), "data[1]"},
        {INPUT("\"shape\":[2],\"datatype\":\"INT8\",\"data\":[-128,128]"), "data[1]"},
        {INPUT("\"shape\":[2],\"datatype\":\"UINT64\",\"data\":[0,-1]"), "data[1]"},
        {INPUT("\"shape\":[1],\"datatype\":\"BOOL\",\"data\":[2]"), "data[0]"},
        {INPUT("\"shape\":[1],\"datatype\":\"BYTES\",\"data\":[2]"), "data[0]"},
        {INPUT("\"shape\":[1],\"datatype\":\"FP16\",\"data\":[2]"), "binary only"},
        {INPUT("\"shape\":[2,2],\"datatype\":\"FP32\",\"data\":[[1,2],[3]]"), "data[1]"},
        {INPUT("\"shape\":[2,2],\"datatype\":\"FP32\",\"data\":[[1,2],3]"), "data[1]"},
        {INPUT("\"shape\":[2,2],\"datatype\":\"FP32\",\"data\":[1,2,[3,4]]"), "data[2]"},
        {INPUT("\"shape\":[1,1],\"datatype\":\"FP32\",\"data\":[[[1]]]"), "a list where a value"},
        {INPUT("\"shape\":[1],\"datatype\":\"INT8\",\"parameters\":{\"binary_data_size\":1}"),
         "1 bytes, but 0 are left"},
        {INPUT("\"shape\":[1],\"datatype\":\"INT8\",\"parameters\":{\"binary_data_size\":-1}"),
         "binary_data_size"},
        {INPUT("\"shape\":[0],\"datatype\":\"INT8\",\"data\":[],\"parameters\":{"
               "\"binary_data_size\":0}"),
         "both data and binary_data_size"},
        {INPUT("\"shape\":[1],\"datatype\":\"INT8\",\"data\":[1],\"parameters\":{\"a\":[]}"),
         "parameters.a"},
        {"{\"inputs\":[],\"outputs\":[{\"name\":\"y\",\"parameters\":{\"classification\":0}}]}",
         "classification"},
        {"{\"inputs\":[],\"parameters\":{\"priority\":-1}}", "priority"},
        {"{\"inputs\":[],\"id\":7}", "id"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        es_oip_message got;
        es_error err = {0};
        es_status status = decode(ROWS[i].json, &got, &err);
        if (status == ES_OK || es_status_http(status) != 400 ||
            strstr(err.text, ROWS[i].words) == NULL)
            fail_msg("%s -> %s, wanted '%s'", ROWS[i].json, es_error_text(&err), ROWS[i].words);
    }
}

static void reads_raw_requests(void **state)
{
    es_port port = {.name = "x", .dtype = ES_DTYPE_F32, .rank = 3, .dims = {-1, 2, -1}};
    static const float VALUES[12] = {1, 2, 3};
    es_oip_message got;
    es_error err = {0};
    (void)state;
    assert_ok_err(es_oip_raw_decode(arena, &port, VALUES, 48, &got, &err), err);
    assert_int_equal(got.tensors[0].dims[0], 1);
    assert_int_equal(got.tensors[0].dims[2], 6);
    assert_true(got.binary_output);
    assert_fails(es_oip_raw_decode(arena, &port, VALUES, 44, &got, &err), ES_ERR_ARG, err,
                 "44 bytes does not fit input 'x'");
    port.dims[2] = 3;
    assert_fails(es_oip_raw_decode(arena, &port, VALUES, 48, &got, &err), ES_ERR_ARG, err,
                 "which has 24");
    port.dims[1] = port.dims[2] = -1;
    assert_fails(es_oip_raw_decode(arena, &port, VALUES, 48, &got, &err), ES_ERR_ARG, err,
                 "several free");
    es_port word = {.name = "s", .dtype = ES_DTYPE_STRING, .rank = 1, .dims = {-1}};
    assert_ok_err(es_oip_raw_decode(arena, &word, "abc", 3, &got, &err), err);
    assert_int_equal(got.tensors[0].size_bytes, 7);
    assert_memory_equal(got.tensors[0].data, "\3\0\0\0abc", 7);
}

/* ---- round trips of random messages ---- */

static const es_dtype DTYPES[] = {
    ES_DTYPE_BOOL, ES_DTYPE_U8,  ES_DTYPE_U16,    ES_DTYPE_U32, ES_DTYPE_I8,
    ES_DTYPE_I16,  ES_DTYPE_I32, ES_DTYPE_I64,    ES_DTYPE_F32, ES_DTYPE_F64,
    ES_DTYPE_F16,  ES_DTYPE_U64, ES_DTYPE_STRING,
};

static void draw_data(es_rng *rng, es_oip_tensor *tensor, size_t count)
{
    size_t each = tensor->dtype == ES_DTYPE_STRING ? 4 + 3 : es_dtype_size(tensor->dtype);
    unsigned char *bytes = es_arena_take(arena, count, each);
    assert_non_null(bytes);
    tensor->data = bytes;
    tensor->size_bytes = count * each;
    for (size_t i = 0; i < count; i++, bytes += each) {
        double wide = (double)es_rng_u64(rng) * 1e-3;
        float narrow = (float)wide;
        for (size_t k = 0; k < each; k++)
            bytes[k] = (unsigned char)es_rng_u64(rng);
        if (tensor->dtype == ES_DTYPE_F32)
            memcpy(bytes, &narrow, 4);
        else if (tensor->dtype == ES_DTYPE_F64)
            memcpy(bytes, &wide, 8);
        else if (tensor->dtype == ES_DTYPE_BOOL)
            *bytes &= 1;
        else if (tensor->dtype == ES_DTYPE_U64)
            bytes[7] &= 0x7f; /* above INT64_MAX: binary only */
        else if (tensor->dtype == ES_DTYPE_STRING)
            memcpy(bytes, "\3\0\0\0a\"\n", 7);
    }
}

static void draw_tensor(es_rng *rng, es_oip_tensor *tensor, const char *name)
{
    size_t count = 1;
    tensor->name = name;
    tensor->dtype = DTYPES[es_rng_u64(rng) % (sizeof DTYPES / sizeof DTYPES[0])];
    tensor->rank = es_rng_u64(rng) % 4;
    for (size_t i = 0; i < tensor->rank; i++) {
        tensor->dims[i] = (int64_t)(es_rng_u64(rng) % 5);
        count *= (size_t)tensor->dims[i];
    }
    tensor->binary = tensor->dtype == ES_DTYPE_F16 || es_rng_u64(rng) % 2 == 0;
    draw_data(rng, tensor, count);
}

static void comes_back_the_same(void **state)
{
    enum { SEEDS = 300, TENSORS = 3 };
    static const char *const NAMES[TENSORS] = {"a", "b", "c"};
    uint64_t first = es_test_seed(1);
    (void)state;
    for (uint64_t seed = first; seed < first + SEEDS; seed++) {
        es_oip_tensor tensors[TENSORS] = {0};
        es_oip_message sent = {.model_name = "m", .tensors = tensors, .tensor_count = TENSORS};
        es_oip_message got;
        es_error err = {0};
        es_rng rng;
        es_text text;
        int64_t json_size = 0;
        rng = es_rng_make(seed, 0);
        es_oip_kind kind = seed % 2 == 0 ? ES_OIP_REQUEST : ES_OIP_ANSWER;
        for (size_t i = 0; i < TENSORS; i++)
            draw_tensor(&rng, &tensors[i], NAMES[i]);
        es_text_init(&text, 1 << 20);
        assert_ok_err(es_oip_encode(kind, &sent, &text, &json_size, &err), err);
        if (es_oip_decode(arena, kind, text.bytes, text.size, json_size, &got, &err) != ES_OK)
            fail_msg("ES_SEED=%llu: %s in %s", (unsigned long long)seed, err.text, text.bytes);
        for (size_t i = 0; i < TENSORS; i++) {
            if (got.tensors[i].dtype != tensors[i].dtype ||
                got.tensors[i].binary != tensors[i].binary ||
                got.tensors[i].rank != tensors[i].rank ||
                got.tensors[i].size_bytes != tensors[i].size_bytes ||
                memcmp(got.tensors[i].data, tensors[i].data, tensors[i].size_bytes) != 0)
                fail_msg("ES_SEED=%llu: tensor %zu differs", (unsigned long long)seed, i);
        }
        es_text_done(&text);
        es_arena_reset(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_json_example),    cmocka_unit_test(reads_the_binary_example),
        cmocka_unit_test(writes_the_answer_example), cmocka_unit_test(refuses_by_name),
        cmocka_unit_test(reads_raw_requests),        cmocka_unit_test(comes_back_the_same),
    };
    arena = es_arena_new((size_t)16 << 20);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    es_arena_free(arena);
    return failed;
}
