/*
 * Loads oneDNN at run time, for the sake of its OpenMP: libgomp reads OMP_WAIT_POLICY when it is
 * loaded, and with the default its threads spin while they wait; beside other work on the machine
 * a training step was measured 17 times slower. A short spin, some 50 us, bridges the gaps within a
 * step: 1.3 to 1.7 times the speed of two threads that never spin, and no slower beside other work.
 * Linking would load libgomp before main; starting ourselves anew with another environment would
 * surprise whoever started us. So: setenv, dlopen.
 */
#include "train/onednn.h"

#include <dlfcn.h>

static const char soname[] = "libdnnl.so.2";

static es_status find(void *handle, const char *name, void *slot, es_error *err)
{
    void *symbol = dlsym(handle, name);
    if (symbol == NULL)
        return es_fail(err, ES_ERR_UNAVAILABLE, "%s has no %s", soname, name);
    memcpy(slot, &symbol, sizeof symbol); /* C has no cast from data to function */
    return ES_OK;
}

static es_status fill(void *handle, es_onednn_library *library, es_error *err)
{
#define X(name) ES_TRY(find(handle, "dnnl_" #name, &library->name, err));
    ES_ONEDNN_FUNCTIONS(X)
#undef X
    ES_TRY(find(handle, "omp_set_num_threads", &library->omp_set_num_threads, err));
    const dnnl_version_t *version = library->version();
    if (version->major != DNNL_VERSION_MAJOR || version->minor < DNNL_VERSION_MINOR)
        return es_fail(err, ES_ERR_UNAVAILABLE, "%s is oneDNN %d.%d, wanted %d.%d or a later %d",
                       soname, version->major, version->minor, DNNL_VERSION_MAJOR,
                       DNNL_VERSION_MINOR, DNNL_VERSION_MAJOR);
    return ES_OK;
}

es_status es_onednn_load(es_onednn_library *out_library, es_error *err)
{
    void *before = dlopen("libgomp.so.1", RTLD_NOW | RTLD_NOLOAD);
    const bool ours = getenv("OMP_WAIT_POLICY") == NULL; /* to choose: nobody else has */
    es_onednn_library library = {.spins = before != NULL && ours};
    if (before != NULL)
        (void)dlclose(before); /* ours was one more reference */
    else if (ours && (setenv("OMP_WAIT_POLICY", "passive", 0) != 0 ||
                      setenv("GOMP_SPINCOUNT", "3000", 0) != 0))
        return es_fail(err, ES_ERR_NOMEM, "cannot set OMP_WAIT_POLICY or GOMP_SPINCOUNT");
    void *handle = dlopen(soname, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL)
        return es_fail(err, ES_ERR_UNAVAILABLE, "cannot load oneDNN: %s", dlerror());
    ES_TRY(fill(handle, &library, err)); /* the handle stays: OpenMP keeps threads until exit */
    *out_library = library;
    return ES_OK;
}
