/* A library that only says that it is ONNX Runtime of the version in FAKE_ORT_VERSION, and fails
 * the test by a crash when it is used further. */
#include <stdint.h>
#include <stdlib.h>

struct base {
    const void *(*get_api)(uint32_t version);
    const char *(*get_version)(void);
};

const struct base *OrtGetApiBase(void);

static const void *get_api(uint32_t version)
{
    (void)version;
    return NULL;
}

static const char *get_version(void)
{
    const char *version = getenv("FAKE_ORT_VERSION");
    return version != NULL ? version : "0.0.0";
}

const struct base *OrtGetApiBase(void)
{
    static const struct base only = {get_api, get_version};
    return &only;
}
