/* In builds without oneDNN's headers. */
#include "train/internal.h"

static es_status make(es_train_engine *engine, es_error *err)
{
    (void)engine;
    return es_fail(err, ES_ERR_UNAVAILABLE,
                   "this build has no oneDNN: install libdnnl-dev and configure again, or take "
                   "the plain backend");
}

const es_train_backend_ops es_train_onednn_ops = {.make = make};
