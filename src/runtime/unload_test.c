/* Unloading a session gives its memory back to the system, again and again. */
#include "base/file.h"
#include "runtime/internal.h"
#include "runtime/testing/shared.h"
#include "runtime/testing/tiny_model.h"

/* Four layers of 2048 x 2048 float weights: 64 MiB. */
enum { WIDTH = 2048, LAYERS = 4, CYCLES = 5, MIB = 1024 * 1024 };
static const uint64_t weights_bytes = (uint64_t)LAYERS * WIDTH * WIDTH * 4;

/* The sanitisers keep freed memory back on purpose. */
static bool sanitised(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return true;
#else
    return false;
#endif
#else
    return false;
#endif
}

static void write_model(char *path, size_t size)
{
    es_error err = {0};
    const void *bytes = NULL;
    size_t count = 0;
    es_arena *arena = es_arena_new((size_t)1 << 30);
    (void)snprintf(path, size, "%s/runtime-unload.onnx", ES_TEST_BINARY_DIR);
    assert_ok_err(tiny_layers(arena, 1, WIDTH, LAYERS, &bytes, &count, &err), err);
    assert_ok_err(es_file_write(path, bytes, count, &err), err);
    es_arena_free(arena);
    es_memory_trim();
}

static uint64_t load_run_unload(fixture *all, const char *path)
{
    es_error err = {0};
    es_session *session = NULL;
    static float in[WIDTH];
    assert_ok_err(es_session_open(all->runtime, path, es_session_opts_default(), &session, &err),
                  err);
    es_tensor x = es_tensor_make(ES_DTYPE_F32, (int64_t[]){1, WIDTH}, 2, in);
    es_tensor y = {.dtype = ES_DTYPE_NONE};
    in[0] = 1;
    assert_ok_err(es_session_run(session, &x, 1, &y, 1, &err), err);
    es_tensor_done(&y);
    uint64_t loaded = es_memory_resident_bytes();
    es_session_unref(session);
    return loaded;
}

static void memory_comes_back(void **state)
{
    fixture *all = fixture_get(state);
    if (sanitised() || es_memory_resident_bytes() == 0)
        skip();
    char path[4096];
    write_model(path, sizeof path);
    uint64_t before = es_memory_resident_bytes();
    uint64_t after_first = 0;
    for (int cycle = 0; cycle < CYCLES; cycle++) {
        uint64_t loaded = load_run_unload(all, path);
        uint64_t after = es_memory_resident_bytes();
        print_message("cycle %d: before %.1f MiB, loaded %.1f MiB, unloaded %.1f MiB\n", cycle,
                      (double)before / MIB, (double)loaded / MIB, (double)after / MIB);
        assert_true(loaded > before + weights_bytes * 9 / 10);
        /* the first load also touches the library's own code and tables */
        assert_true(after < before + 16 * MIB);
        if (cycle == 0)
            after_first = after;
        assert_true(after < after_first + 4 * MIB);
    }
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(memory_comes_back)};
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
