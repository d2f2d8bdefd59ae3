/*
 * The operators that are known: one row each, sorted by name within a domain.
 */
#include "model/internal.h"

#define ROW(op_name, shape_name, work_name, variant)                                               \
    {                                                                                              \
        .name = (op_name), .shape = es_shape_##shape_name, .work = ES_WORK_##work_name,            \
        .arg = (int32_t)(variant)                                                                  \
    }
#define MAC_ROW(op_name, shape_name, macs_name, variant)                                           \
    {                                                                                              \
        .name = (op_name), .shape = es_shape_##shape_name, .work = ES_WORK_MACS,                   \
        .macs = es_macs_##macs_name, .arg = (int32_t)(variant)                                     \
    }

/* clang-format off */
/* ai.onnx */
static const es_op_row standard[] = {
    ROW("Abs", same, ELEMENT, ES_FOLD_ABS),
    ROW("Acos", same, ELEMENT, 0),
    ROW("Acosh", same, ELEMENT, 0),
    ROW("Add", broadcast, ELEMENT, ES_FOLD_ADD),
    ROW("Affine", same, ELEMENT, 0),
    ROW("AffineGrid", affine_grid, ELEMENT, 0),
    ROW("And", compare, ELEMENT, ES_FOLD_AND),
    ROW("ArgMax", arg, READ, 0),
    ROW("ArgMin", arg, READ, 0),
    ROW("Asin", same, ELEMENT, 0),
    ROW("Asinh", same, ELEMENT, 0),
    ROW("Atan", same, ELEMENT, 0),
    ROW("Atanh", same, ELEMENT, 0),
    MAC_ROW("Attention", attention, attention, 0),
    ROW("AveragePool", pool, READ, 0),
    ROW("BatchNormalization", batchnorm, ELEMENT, 0),
    ROW("Bernoulli", like, ELEMENT, 0),
    ROW("BitCast", cast, FREE, 0),
    ROW("BitShift", broadcast, ELEMENT, ES_FOLD_NONE),
    ROW("BitwiseAnd", broadcast, ELEMENT, ES_FOLD_NONE),
    ROW("BitwiseNot", same, ELEMENT, 0),
    ROW("BitwiseOr", broadcast, ELEMENT, ES_FOLD_NONE),
    ROW("BitwiseXor", broadcast, ELEMENT, ES_FOLD_NONE),
    ROW("BlackmanWindow", window, ELEMENT, 0),
    ROW("Cast", cast, FREE, 0),
    ROW("CastLike", cast_like, FREE, 0),
    ROW("Ceil", same, ELEMENT, ES_FOLD_CEIL),
    ROW("Celu", same, ELEMENT, 0),
    ROW("CenterCropPad", crop_pad, FREE, 0),
    ROW("Clip", same, ELEMENT, 0),
    ROW("Col2Im", col2im, ELEMENT, 0),
    ROW("Compress", compress, FREE, 0),
    ROW("Concat", concat, FREE, 0),
    ROW("ConcatFromSequence", sequence_element, FREE, 0),
    ROW("Constant", constant, FREE, 0),
    ROW("ConstantOfShape", constant_of_shape, FREE, 0),
    MAC_ROW("Conv", conv, conv, 0),
    MAC_ROW("ConvInteger", conv, conv, 2),
    MAC_ROW("ConvTranspose", conv_transpose, conv_transpose, 0),
    ROW("Cos", same, ELEMENT, 0),
    ROW("Cosh", same, ELEMENT, 0),
    ROW("CumProd", same, ELEMENT, 0),
    ROW("CumSum", same, ELEMENT, 0),
    MAC_ROW("DFT", dft, dft, 0),
    MAC_ROW("DeformConv", deform, deform, 0),
    ROW("DepthToSpace", depth_space, FREE, 1),
    ROW("DequantizeLinear", dequantize, ELEMENT, 0),
    ROW("Det", det, READ, 0),
    ROW("Div", broadcast, ELEMENT, ES_FOLD_DIV),
    ROW("Dropout", dropout, FREE, 0),
    ROW("DynamicQuantizeLinear", dynamic_quantize, ELEMENT, 0),
    MAC_ROW("Einsum", einsum, einsum, 0),
    ROW("Elu", same, ELEMENT, 0),
    ROW("Equal", compare, ELEMENT, ES_FOLD_EQUAL),
    ROW("Erf", same, ELEMENT, 0),
    ROW("Exp", same, ELEMENT, 0),
    ROW("Expand", expand, FREE, 0),
    ROW("EyeLike", like, FREE, 0),
    ROW("Flatten", flatten, FREE, 0),
    ROW("Floor", same, ELEMENT, ES_FOLD_FLOOR),
    MAC_ROW("GRU", rnn, rnn, 3),
    ROW("Gather", gather, FREE, 0),
    ROW("GatherElements", gather_elements, FREE, 0),
    ROW("GatherND", gather_nd, FREE, 0),
    ROW("Gelu", same, ELEMENT, 0),
    MAC_ROW("Gemm", gemm, gemm, 0),
    ROW("GlobalAveragePool", global_pool, READ, 0),
    ROW("GlobalLpPool", global_pool, READ, 0),
    ROW("GlobalMaxPool", global_pool, READ, 0),
    ROW("Greater", compare, ELEMENT, ES_FOLD_GREATER),
    ROW("GreaterOrEqual", compare, ELEMENT, ES_FOLD_GREATER_EQUAL),
    ROW("GridSample", grid, ELEMENT, 0),
    ROW("GroupNormalization", same, ELEMENT, 0),
    ROW("HammingWindow", window, ELEMENT, 0),
    ROW("HannWindow", window, ELEMENT, 0),
    ROW("HardSigmoid", same, ELEMENT, 0),
    ROW("HardSwish", same, ELEMENT, 0),
    ROW("Hardmax", same, ELEMENT, 0),
    ROW("Identity", same, FREE, ES_FOLD_COPY),
    ROW("If", if_else, FREE, 0),
    ROW("ImageDecoder", loose, ELEMENT, 0),
    ROW("ImageScaler", same, ELEMENT, 0),
    ROW("InstanceNormalization", same, ELEMENT, 0),
    ROW("IsInf", same_typed, ELEMENT, ES_MODEL_BOOL),
    ROW("IsNaN", same_typed, ELEMENT, ES_MODEL_BOOL),
    ROW("LRN", same, ELEMENT, 0),
    MAC_ROW("LSTM", rnn, rnn, 4),
    ROW("LayerNormalization", layernorm, ELEMENT, 0),
    ROW("LeakyRelu", same, ELEMENT, 0),
    ROW("Less", compare, ELEMENT, ES_FOLD_LESS),
    ROW("LessOrEqual", compare, ELEMENT, ES_FOLD_LESS_EQUAL),
    ROW("Log", same, ELEMENT, 0),
    ROW("LogSoftmax", same, ELEMENT, 0),
    ROW("Loop", loop, FREE, 0),
    ROW("LpNormalization", same, ELEMENT, 0),
    ROW("LpPool", pool, READ, 0),
    MAC_ROW("MatMul", matmul, matmul, 0),
    MAC_ROW("MatMulInteger", matmul, matmul, 1),
    ROW("Max", variadic, ELEMENT, ES_FOLD_MAX),
    ROW("MaxPool", pool, READ, 0),
    ROW("MaxRoiPool", roi, ELEMENT, 1),
    ROW("MaxUnpool", unpool, ELEMENT, 0),
    ROW("Mean", variadic, ELEMENT, ES_FOLD_NONE),
    ROW("MeanVarianceNormalization", same, ELEMENT, 0),
    ROW("MelWeightMatrix", mel, ELEMENT, 0),
    ROW("Min", variadic, ELEMENT, ES_FOLD_MIN),
    ROW("Mish", same, ELEMENT, 0),
    ROW("Mod", broadcast, ELEMENT, ES_FOLD_MOD),
    ROW("Mul", broadcast, ELEMENT, ES_FOLD_MUL),
    ROW("Multinomial", multinomial, ELEMENT, 0),
    ROW("Neg", same, ELEMENT, ES_FOLD_NEG),
    ROW("NegativeLogLikelihoodLoss", loss, READ, 0),
    ROW("NonMaxSuppression", nms, READ, 0),
    ROW("NonZero", nonzero, READ, 0),
    ROW("Not", same, ELEMENT, ES_FOLD_NOT),
    ROW("OneHot", onehot, FREE, 0),
    ROW("Optional", optional, FREE, 0),
    ROW("OptionalGetElement", optional_get, FREE, 0),
    ROW("OptionalHasElement", loose, FREE, ES_MODEL_BOOL),
    ROW("Or", compare, ELEMENT, ES_FOLD_OR),
    ROW("PRelu", same, ELEMENT, 0),
    ROW("Pad", pad, FREE, 0),
    ROW("ParametricSoftplus", same, ELEMENT, 0),
    ROW("Pow", broadcast, ELEMENT, ES_FOLD_POW),
    MAC_ROW("QLinearConv", conv, conv, 1),
    MAC_ROW("QLinearMatMul", matmul, matmul, 2),
    ROW("QuantizeLinear", quantize, ELEMENT, 0),
    ROW("RMSNormalization", same, ELEMENT, 0),
    MAC_ROW("RNN", rnn, rnn, 1),
    ROW("RandomNormal", random, ELEMENT, 0),
    ROW("RandomNormalLike", like, ELEMENT, 0),
    ROW("RandomUniform", random, ELEMENT, 0),
    ROW("RandomUniformLike", like, ELEMENT, 0),
    ROW("Range", range, ELEMENT, 0),
    ROW("Reciprocal", same, ELEMENT, 0),
    ROW("ReduceL1", reduce, READ, ES_FOLD_NONE),
    ROW("ReduceL2", reduce, READ, ES_FOLD_NONE),
    ROW("ReduceLogSum", reduce, READ, ES_FOLD_NONE),
    ROW("ReduceLogSumExp", reduce, READ, ES_FOLD_NONE),
    ROW("ReduceMax", reduce, READ, ES_FOLD_MAX),
    ROW("ReduceMean", reduce, READ, ES_FOLD_NONE),
    ROW("ReduceMin", reduce, READ, ES_FOLD_MIN),
    ROW("ReduceProd", reduce, READ, ES_FOLD_PROD),
    ROW("ReduceSum", reduce, READ, ES_FOLD_SUM),
    ROW("ReduceSumSquare", reduce, READ, ES_FOLD_NONE),
    ROW("RegexFullMatch", same_typed, ELEMENT, ES_MODEL_BOOL),
    ROW("Relu", same, ELEMENT, 0),
    ROW("Reshape", reshape, FREE, 0),
    ROW("Resize", resize, ELEMENT, 0),
    ROW("ReverseSequence", same, FREE, 0),
    ROW("RoiAlign", roi, ELEMENT, 0),
    ROW("RotaryEmbedding", same, ELEMENT, 0),
    ROW("Round", same, ELEMENT, ES_FOLD_ROUND),
    ROW("STFT", stft, ELEMENT, 0),
    ROW("Scale", same, ELEMENT, 0),
    ROW("ScaledTanh", same, ELEMENT, 0),
    ROW("Scan", scan, FREE, 0),
    ROW("Scatter", same, FREE, 0),
    ROW("ScatterElements", same, FREE, 0),
    ROW("ScatterND", same, FREE, 0),
    ROW("Selu", same, ELEMENT, 0),
    ROW("SequenceAt", sequence_element, FREE, 0),
    ROW("SequenceConstruct", sequence, FREE, 0),
    ROW("SequenceEmpty", sequence, FREE, 0),
    ROW("SequenceErase", sequence, FREE, 0),
    ROW("SequenceInsert", sequence, FREE, 0),
    ROW("SequenceLength", scalar, FREE, ES_MODEL_INT64),
    ROW("SequenceMap", loose, FREE, 0),
    ROW("Shape", shape, FREE, 0),
    ROW("Shrink", same, ELEMENT, 0),
    ROW("Sigmoid", same, ELEMENT, 0),
    ROW("Sign", same, ELEMENT, 0),
    ROW("Sin", same, ELEMENT, 0),
    ROW("Sinh", same, ELEMENT, 0),
    ROW("Size", size, FREE, 0),
    ROW("Slice", slice, FREE, 0),
    ROW("Softmax", same, ELEMENT, 0),
    ROW("SoftmaxCrossEntropyLoss", loss, READ, 0),
    ROW("Softplus", same, ELEMENT, 0),
    ROW("Softsign", same, ELEMENT, 0),
    ROW("SpaceToDepth", depth_space, FREE, 0),
    ROW("Split", split, FREE, 0),
    ROW("SplitToSequence", split_sequence, FREE, 0),
    ROW("Sqrt", same, ELEMENT, ES_FOLD_SQRT),
    ROW("Squeeze", squeeze, FREE, 0),
    ROW("StringConcat", broadcast, ELEMENT, ES_FOLD_NONE),
    ROW("StringNormalizer", loose, ELEMENT, 0),
    ROW("StringSplit", loose, ELEMENT, 0),
    ROW("Sub", broadcast, ELEMENT, ES_FOLD_SUB),
    ROW("Sum", variadic, ELEMENT, ES_FOLD_ADD),
    ROW("Swish", same, ELEMENT, 0),
    ROW("Tan", same, ELEMENT, 0),
    ROW("Tanh", same, ELEMENT, 0),
    ROW("TensorScatter", same, FREE, 0),
    ROW("TfIdfVectorizer", loose, ELEMENT, 0),
    ROW("ThresholdedRelu", same, ELEMENT, 0),
    ROW("Tile", tile, FREE, 0),
    ROW("TopK", topk, READ, 0),
    ROW("Transpose", transpose, FREE, 0),
    ROW("Trilu", same, FREE, 0),
    ROW("Unique", unique, READ, 0),
    ROW("Unsqueeze", unsqueeze, FREE, 0),
    ROW("Upsample", resize, ELEMENT, 1),
    ROW("Where", where, ELEMENT, 0),
    ROW("Xor", compare, ELEMENT, ES_FOLD_XOR),
};

/* ai.onnx.ml */
static const es_op_row classical[] = {
    ROW("ArrayFeatureExtractor", per_row, FREE, 0),
    ROW("Binarizer", same, ELEMENT, 0),
    ROW("CastMap", loose, ELEMENT, ES_MODEL_FLOAT),
    ROW("CategoryMapper", ml_same, ELEMENT, 1),
    ROW("DictVectorizer", loose, ELEMENT, ES_MODEL_FLOAT),
    ROW("FeatureVectorizer", features, FREE, 0),
    ROW("Imputer", same, ELEMENT, 0),
    ROW("LabelEncoder", ml_same, ELEMENT, 1),
    MAC_ROW("LinearClassifier", linear, linear, 1),
    MAC_ROW("LinearRegressor", linear, linear, 0),
    ROW("Normalizer", ml_same, ELEMENT, 0),
    ROW("OneHotEncoder", loose, ELEMENT, ES_MODEL_FLOAT),
    MAC_ROW("SVMClassifier", linear, linear, 1),
    MAC_ROW("SVMRegressor", linear, linear, 0),
    ROW("Scaler", ml_same, ELEMENT, 0),
    ROW("TreeEnsemble", per_row, ELEMENT, 0),
    MAC_ROW("TreeEnsembleClassifier", tree, tree, 1),
    MAC_ROW("TreeEnsembleRegressor", tree, tree, 0),
    ROW("ZipMap", zipmap, FREE, 0),
};

/* com.microsoft */
static const es_op_row microsoft[] = {
    ROW("BiasGelu", same, ELEMENT, 0),
    ROW("DequantizeLinear", dequantize, ELEMENT, 0),
    MAC_ROW("DynamicQuantizeMatMul", matmul, matmul, 3),
    ROW("FastGelu", same, ELEMENT, 0),
    MAC_ROW("FusedConv", conv, conv, 0),
    MAC_ROW("FusedGemm", gemm, gemm, 0),
    MAC_ROW("FusedMatMul", matmul, matmul, 4),
    ROW("Gelu", same, ELEMENT, 0),
    MAC_ROW("MatMulIntegerToFloat", matmul, matmul, 3),
    MAC_ROW("QGemm", gemm, gemm, 1),
    ROW("QLinearAdd", quantize, ELEMENT, 7),
    ROW("QLinearAveragePool", pool, READ, 1),
    ROW("QLinearConcat", concat, FREE, 1),
    ROW("QLinearGlobalAveragePool", global_pool, READ, 1),
    ROW("QLinearLeakyRelu", quantize, ELEMENT, 4),
    ROW("QLinearMul", quantize, ELEMENT, 7),
    ROW("QLinearSigmoid", quantize, ELEMENT, 4),
    ROW("QLinearSoftmax", quantize, ELEMENT, 4),
    ROW("QuantizeLinear", quantize, ELEMENT, 0),
    ROW("QuickGelu", same, ELEMENT, 0),
    ROW("SimplifiedLayerNormalization", same, ELEMENT, 0),
    ROW("SkipLayerNormalization", skip_norm, ELEMENT, 0),
    ROW("SkipSimplifiedLayerNormalization", skip_norm, ELEMENT, 0),
    MAC_ROW("TransposeMatMul", matmul, matmul, 4),
};

/* ai.onnx.preview.training */
static const es_op_row training[] = {
    ROW("Adagrad", training, ELEMENT, 3),
    ROW("Adam", training, ELEMENT, 4),
    ROW("Gradient", loose, ELEMENT, 0),
    ROW("Momentum", training, ELEMENT, 3),
};

/* clang-format on */

static const struct {
    const char *name;
    const es_op_row *rows;
    size_t count;
} domains[] = {
    {"", standard, sizeof standard / sizeof *standard},
    {"ai.onnx", standard, sizeof standard / sizeof *standard},
    {"ai.onnx.ml", classical, sizeof classical / sizeof *classical},
    {"com.microsoft", microsoft, sizeof microsoft / sizeof *microsoft},
    {"ai.onnx.preview.training", training, sizeof training / sizeof *training},
};

const es_op_row *es_op_find(const char *domain, const char *name)
{
    const char *wanted = domain != NULL ? domain : "";
    size_t at = 0;
    while (at < sizeof domains / sizeof *domains && strcmp(domains[at].name, wanted) != 0)
        at++;
    if (at == sizeof domains / sizeof *domains)
        return NULL;
    size_t low = 0;
    size_t high = domains[at].count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, domains[at].rows[middle].name);
        if (order == 0)
            return &domains[at].rows[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
