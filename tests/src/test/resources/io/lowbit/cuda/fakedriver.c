// A libcuda.so.1 without a GPU behind it, for FakeDriverTest: memory is the host's, kernels do nothing. What it says of
// itself is given when it is compiled (-DVERSION=11080 and so on). When the process ends it tells what is still open.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef INIT
#define INIT 0  // what cuInit returns
#endif
#ifndef VERSION
#define VERSION 13000
#endif
#ifndef COUNT
#define COUNT 1
#endif
#ifndef MAJOR
#define MAJOR 9
#endif
#ifndef MINOR
#define MINOR 0
#endif
#ifndef POOLS
#define POOLS 1
#endif
#ifndef RETAIN
#define RETAIN 0  // what cuDevicePrimaryCtxRetain returns
#endif
#define MEMORY (1ull << 30)

#define EXPORT __attribute__((visibility("default")))
typedef unsigned long long ptr;

static int broken;  // the error that a kernel has left: every call in the context returns it
static long contexts, streams, events, modules, graphs, blocks, pinned;
static ptr used;

#define CALL(name, ...) EXPORT int name(__VA_ARGS__)
#define IN_CONTEXT                \
    do {                          \
        if (broken) return broken; \
    } while (0)
#define ADD(counter, by) __atomic_add_fetch(&counter, by, __ATOMIC_SEQ_CST)

static int make(void** out, long* counter) {
    IN_CONTEXT;
    *out = (void*)(0x1000 + ADD(*counter, 1));
    return 0;
}

CALL(cuInit, unsigned flags) { return INIT; }
CALL(cuDriverGetVersion, int* out) { *out = VERSION; return 0; }
CALL(cuGetErrorName, int e, const char** out) {
    *out = e == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : e == 34 ? "CUDA_ERROR_STUB_LIBRARY" : e == 100 ? "CUDA_ERROR_NO_DEVICE"
         : e == 46 ? "CUDA_ERROR_DEVICE_UNAVAILABLE" : e == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS"
         : e == 803 ? "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH" : NULL;
    return *out ? 0 : 1;
}
CALL(cuGetErrorString, int e, const char** out) { *out = "said by a fake driver"; return 0; }
CALL(cuDeviceGetCount, int* out) { *out = COUNT; return 0; }
CALL(cuDeviceGet, int* out, int ordinal) { *out = ordinal; return 0; }
CALL(cuDeviceGetName, char* out, int size, int device) { strncpy(out, "Fake GPU", size); return 0; }
CALL(cuDeviceGetPCIBusId, char* out, int size, int device) { strncpy(out, "0000:00:00.0", size); return 0; }
CALL(cuDeviceTotalMem_v2, size_t* out, int device) { *out = MEMORY; return 0; }
CALL(cuDeviceGetAttribute, int* out, int attribute, int device) {
    switch (attribute) {
        case 75: *out = MAJOR; break;
        case 76: *out = MINOR; break;
        case 115: *out = POOLS; break;  // memory pools supported
        default: *out = 132;
    }
    return 0;
}
CALL(cuDeviceGetDefaultMemPool, void** out, int device) { *out = (void*)0x2000; return 0; }
CALL(cuDevicePrimaryCtxRetain, void** out, int device) { return RETAIN ? RETAIN : make(out, &contexts); }
CALL(cuDevicePrimaryCtxRelease_v2, int device) { ADD(contexts, -1); return 0; }
CALL(cuCtxPushCurrent_v2, void* context) { return 0; }
CALL(cuCtxPopCurrent_v2, void** out) { *out = NULL; return 0; }
CALL(cuCtxSynchronize, void) { IN_CONTEXT; return 0; }
CALL(cuMemGetInfo_v2, size_t* free, size_t* total) { IN_CONTEXT; *free = MEMORY - used; *total = MEMORY; return 0; }
CALL(cuMemPoolTrimTo, void* pool, size_t keep) { IN_CONTEXT; return 0; }
CALL(cuModuleLoadDataEx, void** out, const void* image, unsigned n, int* options, void** values) { return make(out, &modules); }
CALL(cuModuleUnload, void* module) { IN_CONTEXT; ADD(modules, -1); return 0; }
CALL(cuModuleGetFunction, void** out, void* module, const char* name) { IN_CONTEXT; *out = (void*)0x3000; return 0; }
CALL(cuFuncSetAttribute, void* function, int attribute, int value) { IN_CONTEXT; return 0; }

// The second argument of Lowbit's product kernels is the address of x: one that is not there breaks the context, which shows
// when it is next waited for.
static int launch(void** arguments) {
    IN_CONTEXT;
    if (arguments[1] && *(ptr*)arguments[1] == 0x1000) {
        broken = 700;
    }
    return 0;
}
CALL(cuLaunchKernel, void* f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void* stream,
     void** arguments, void** extra) {
    return launch(arguments);
}
CALL(cuLaunchKernelEx, const void* config, void* f, void** arguments, void** extra) { return launch(arguments); }
CALL(cuTensorMapEncodeTiled, void* map, int type, unsigned rank, void* address, const void* dims, const void* strides, const void* box,
     const void* steps, int interleave, int swizzle, int promotion, int fill) {
    IN_CONTEXT;
    return 0;
}

// The size stands before each block, so that what is free can be told.
CALL(cuMemAllocAsync, ptr* out, size_t bytes, void* stream) {
    IN_CONTEXT;
    if (bytes > MEMORY - used) {
        return 2;
    }
    char* block = aligned_alloc(256, (bytes + 511) / 256 * 256);
    *(size_t*)block = bytes;
    *out = (ptr)(block + 256);
    ADD(used, bytes);
    ADD(blocks, 1);
    return 0;
}
CALL(cuMemFreeAsync, ptr at, void* stream) {
    IN_CONTEXT;
    char* block = (char*)at - 256;
    ADD(used, -*(size_t*)block);
    ADD(blocks, -1);
    free(block);
    return 0;
}
CALL(cuMemHostAlloc, void** out, size_t bytes, unsigned flags) { IN_CONTEXT; *out = malloc(bytes); ADD(pinned, 1); return 0; }
CALL(cuMemFreeHost, void* at) { IN_CONTEXT; free(at); ADD(pinned, -1); return 0; }
CALL(cuMemcpyHtoDAsync_v2, ptr to, const void* from, size_t bytes, void* stream) { IN_CONTEXT; memcpy((void*)to, from, bytes); return 0; }
CALL(cuMemcpyDtoHAsync_v2, void* to, ptr from, size_t bytes, void* stream) { IN_CONTEXT; memcpy(to, (void*)from, bytes); return 0; }
CALL(cuMemcpyDtoDAsync_v2, ptr to, ptr from, size_t bytes, void* stream) { IN_CONTEXT; memcpy((void*)to, (void*)from, bytes); return 0; }
CALL(cuMemsetD8Async, ptr at, unsigned char value, size_t bytes, void* stream) { IN_CONTEXT; memset((void*)at, value, bytes); return 0; }
CALL(cuStreamCreate, void** out, unsigned flags) { return make(out, &streams); }
CALL(cuStreamDestroy_v2, void* stream) { IN_CONTEXT; ADD(streams, -1); return 0; }
CALL(cuStreamSynchronize, void* stream) { IN_CONTEXT; return 0; }
CALL(cuStreamWaitEvent, void* stream, void* event, unsigned flags) { IN_CONTEXT; return 0; }
CALL(cuStreamBeginCapture_v2, void* stream, int mode) { IN_CONTEXT; return 0; }
CALL(cuStreamEndCapture, void* stream, void** out) { return make(out, &graphs); }
CALL(cuEventCreate, void** out, unsigned flags) { return make(out, &events); }
CALL(cuEventDestroy_v2, void* event) { IN_CONTEXT; ADD(events, -1); return 0; }
CALL(cuEventRecord, void* event, void* stream) { IN_CONTEXT; return 0; }
CALL(cuEventQuery, void* event) { IN_CONTEXT; return 0; }
CALL(cuEventSynchronize, void* event) { IN_CONTEXT; return 0; }
CALL(cuEventElapsedTime, float* out, void* from, void* to) { IN_CONTEXT; *out = 1; return 0; }
CALL(cuGraphInstantiateWithFlags, void** out, void* graph, unsigned long long flags) { return make(out, &graphs); }
CALL(cuGraphLaunch, void* graph, void* stream) { IN_CONTEXT; return 0; }
CALL(cuGraphExecDestroy, void* graph) { IN_CONTEXT; ADD(graphs, -1); return 0; }
CALL(cuGraphDestroy, void* graph) { IN_CONTEXT; ADD(graphs, -1); return 0; }

static __attribute__((destructor)) void report(void) {
    printf("still open: %ld contexts, %ld streams, %ld events, %ld modules, %ld graphs, %ld blocks of %llu bytes, %ld pinned\n", contexts, streams,
           events, modules, graphs, blocks, used, pinned);
    fflush(stdout);
}
