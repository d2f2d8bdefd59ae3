/* What we parse ourselves of a request's line and its Authorization. The first byte chooses. */
#include "internal.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_path(const char *text)
{
    static const char *const PATTERNS[] = {"/v2/models/{model}/versions/{version}/infer", "/v2",
                                           "/{a}/{b}/{c}/{d}"};
    char scratch[128];
    es_http_match match;
    for (size_t i = 0; i < sizeof PATTERNS / sizeof PATTERNS[0]; i++) {
        if (!es_http_path_fits(PATTERNS[i], text, &match, scratch, sizeof scratch))
            continue;
        for (size_t k = 0; k < match.count; k++)
            assert(match.values[k][0] != '\0' && strlen(match.values[k]) < sizeof scratch);
    }
    (void)es_http_pattern_check(text, NULL); /* either is fine */
}

static void fuzz_query(const char *text)
{
    char out[32];
    if (es_http_query_find(text, "estran_slo_ms", out, sizeof out))
        assert(strlen(out) < sizeof out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const es_http_token TOKEN = {"0123456789abcdef", 1};
    if (size == 0)
        return 0;
    char *text = malloc(size); /* exactly as large, so that reading past it shows */
    if (text == NULL)
        return 0;
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    if (data[0] % 3 == 0)
        fuzz_path(text);
    else if (data[0] % 3 == 1)
        fuzz_query(text);
    else if (es_http_bearer_roles(text, &TOKEN, 1) != 0)
        assert(strstr(text, TOKEN.text) != NULL);
    free(text);
    return 0;
}
