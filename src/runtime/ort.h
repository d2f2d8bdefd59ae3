/*
 * ort: our own declaration of the part of ONNX Runtime's C table that we use.
 *
 * The table is an array of function pointers whose places are ABI; version 17 of it is served by
 * every library from 1.17 on. X(slot, result, name, arguments).
 */
#ifndef ES_RUNTIME_ORT_H
#define ES_RUNTIME_ORT_H

#include <stddef.h>
#include <stdint.h>

typedef struct OrtStatus OrtStatus;
typedef struct OrtEnv OrtEnv;
typedef struct OrtSession OrtSession;
typedef struct OrtSessionOptions OrtSessionOptions;
typedef struct OrtRunOptions OrtRunOptions;
typedef struct OrtMemoryInfo OrtMemoryInfo;
typedef struct OrtAllocator OrtAllocator;
typedef struct OrtValue OrtValue;
typedef struct OrtTypeInfo OrtTypeInfo;
typedef struct OrtTensorTypeAndShapeInfo OrtTensorInfo;
typedef struct OrtIoBinding OrtIoBinding;

enum { ORT_API_VERSION = 17 };

/* OrtErrorCode */
enum {
    ORT_INVALID_ARGUMENT = 2,
    ORT_NO_SUCHFILE = 3,
    ORT_INVALID_PROTOBUF = 7,
    ORT_NOT_IMPLEMENTED = 9,
    ORT_INVALID_GRAPH = 10
};

/* GraphOptimizationLevel */
enum {
    ORT_OPTIMISE_NONE = 0,
    ORT_OPTIMISE_BASIC = 1,
    ORT_OPTIMISE_EXTENDED = 2,
    ORT_OPTIMISE_ALL = 99
};

#define ORT_SLOTS(X)                                                                               \
    X(1, int, GetErrorCode, (const OrtStatus *))                                                   \
    X(2, const char *, GetErrorMessage, (const OrtStatus *))                                       \
    X(3, OrtStatus *, CreateEnv, (int, const char *, OrtEnv **))                                   \
    X(6, OrtStatus *, DisableTelemetryEvents, (const OrtEnv *))                                    \
    X(7, OrtStatus *, CreateSession,                                                               \
      (const OrtEnv *, const char *, const OrtSessionOptions *, OrtSession **))                    \
    X(8, OrtStatus *, CreateSessionFromArray,                                                      \
      (const OrtEnv *, const void *, size_t, const OrtSessionOptions *, OrtSession **))            \
    X(9, OrtStatus *, Run,                                                                         \
      (OrtSession *, const OrtRunOptions *, const char *const *, const OrtValue *const *, size_t,  \
       const char *const *, size_t, OrtValue **))                                                  \
    X(10, OrtStatus *, CreateSessionOptions, (OrtSessionOptions **))                               \
    X(17, OrtStatus *, DisableMemPattern, (OrtSessionOptions *))                                   \
    X(19, OrtStatus *, DisableCpuMemArena, (OrtSessionOptions *))                                  \
    X(22, OrtStatus *, SetSessionLogSeverityLevel, (OrtSessionOptions *, int))                     \
    X(23, OrtStatus *, SetSessionGraphOptimizationLevel, (OrtSessionOptions *, int))               \
    X(24, OrtStatus *, SetIntraOpNumThreads, (OrtSessionOptions *, int))                           \
    X(25, OrtStatus *, SetInterOpNumThreads, (OrtSessionOptions *, int))                           \
    X(30, OrtStatus *, SessionGetInputCount, (const OrtSession *, size_t *))                       \
    X(31, OrtStatus *, SessionGetOutputCount, (const OrtSession *, size_t *))                      \
    X(33, OrtStatus *, SessionGetInputTypeInfo, (const OrtSession *, size_t, OrtTypeInfo **))      \
    X(34, OrtStatus *, SessionGetOutputTypeInfo, (const OrtSession *, size_t, OrtTypeInfo **))     \
    X(36, OrtStatus *, SessionGetInputName, (const OrtSession *, size_t, OrtAllocator *, char **)) \
    X(37, OrtStatus *, SessionGetOutputName,                                                       \
      (const OrtSession *, size_t, OrtAllocator *, char **))                                       \
    X(49, OrtStatus *, CreateTensorWithDataAsOrtValue,                                             \
      (const OrtMemoryInfo *, void *, size_t, const int64_t *, size_t, int, OrtValue **))          \
    X(51, OrtStatus *, GetTensorMutableData, (OrtValue *, void **))                                \
    X(55, OrtStatus *, CastTypeInfoToTensorInfo, (const OrtTypeInfo *, const OrtTensorInfo **))    \
    X(60, OrtStatus *, GetTensorElementType, (const OrtTensorInfo *, int *))                       \
    X(61, OrtStatus *, GetDimensionsCount, (const OrtTensorInfo *, size_t *))                      \
    X(62, OrtStatus *, GetDimensions, (const OrtTensorInfo *, int64_t *, size_t))                  \
    X(63, OrtStatus *, GetSymbolicDimensions, (const OrtTensorInfo *, const char **, size_t))      \
    X(65, OrtStatus *, GetTensorTypeAndShape, (const OrtValue *, OrtTensorInfo **))                \
    X(69, OrtStatus *, CreateCpuMemoryInfo, (int, int, OrtMemoryInfo **))                          \
    X(76, OrtStatus *, AllocatorFree, (OrtAllocator *, void *))                                    \
    X(78, OrtStatus *, GetAllocatorWithDefaultOptions, (OrtAllocator **))                          \
    X(92, void, ReleaseEnv, (OrtEnv *))                                                            \
    X(93, void, ReleaseStatus, (OrtStatus *))                                                      \
    X(94, void, ReleaseMemoryInfo, (OrtMemoryInfo *))                                              \
    X(95, void, ReleaseSession, (OrtSession *))                                                    \
    X(96, void, ReleaseValue, (OrtValue *))                                                        \
    X(98, void, ReleaseTypeInfo, (OrtTypeInfo *))                                                  \
    X(99, void, ReleaseTensorTypeAndShapeInfo, (OrtTensorInfo *))                                  \
    X(100, void, ReleaseSessionOptions, (OrtSessionOptions *))                                     \
    X(130, OrtStatus *, AddSessionConfigEntry, (OrtSessionOptions *, const char *, const char *))  \
    X(133, OrtStatus *, RunWithBinding,                                                            \
      (OrtSession *, const OrtRunOptions *, const OrtIoBinding *))                                 \
    X(134, OrtStatus *, CreateIoBinding, (OrtSession *, OrtIoBinding **))                          \
    X(135, void, ReleaseIoBinding, (OrtIoBinding *))                                               \
    X(136, OrtStatus *, BindInput, (OrtIoBinding *, const char *, const OrtValue *))               \
    X(137, OrtStatus *, BindOutput, (OrtIoBinding *, const char *, const OrtValue *))

struct ort_base {
    const void *(*GetApi)(uint32_t version);
    const char *(*GetVersionString)(void);
};

typedef struct ort {
    /* NOLINTNEXTLINE(bugprone-macro-parentheses): result and arguments are types */
#define X(slot, result, name, arguments) result(*name) arguments;
    ORT_SLOTS(X)
#undef X
} ort;

#endif
