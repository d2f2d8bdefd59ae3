#include "runtime/testing/real_models.h"

#include "runtime/testing/tensor_file.h"

const char *const real_models[] = {
    "onnx/FastestDet",
    "onnx/dtln_model_1",
    "onnx/mlperf_tiny_resnet8_cifar10",
    "onnx/mnist-8",
    "onnx/silero_vad_16k_op15",
    "onnx/sklearn_randomforest",
    "onnx/stm_mobilenet_v2_0.35_128",
    "onnx/super_resolution",
    "onnx/tfl_helloworld_sine",
    "onnx/ultraface_RFB-320",
    "onnx/wonnx_opt-mnist",
    "onnx/yunet_s_320_320",
    "onnx-light/light_bvlc_alexnet",
    "onnx-light/light_densenet121",
    "onnx-light/light_resnet50",
    "onnx-light/light_squeezenet",
    NULL,
};

es_status real_inputs(es_arena *arena, const es_session *session, es_tensor *out_inputs,
                      es_error *err)
{
    for (size_t i = 0; i < es_session_input_count(session); i++) {
        es_port port = *es_session_input(session, i);
        if (port.rank == 2 && port.dims[0] < 0 && port.dims[1] < 0)
            port.dims[1] = REAL_SEQUENCE;
        ES_TRY(tensor_for_port(arena, &port, &out_inputs[i], err));
        tensor_fill_reference(&out_inputs[i]);
        if (port.rank == 0 && port.dtype == ES_DTYPE_I64)
            *(int64_t *)out_inputs[i].data = 16000;
    }
    return ES_OK;
}
