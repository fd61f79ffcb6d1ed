// What the FP8 products on Hopper share: their arguments, scales and stores.
#pragma once
#include "hopper.cuh"
#include "scalar.cuh"
#include "wgmma_fp8.cuh"

namespace lowbit {

// How a product is summed and scaled.
//   FAST     one sum over all of K in the tensor core's accumulator, scaled at the end
//   PRECISE  the accumulator is added to an f32 sum every 128 of K, scaled at the end
//   BLOCK    the same with a scale for every 128 of K
enum Fp8Mode { FAST, PRECISE, BLOCK };

// Passed by value; io.lowbit.cuda.kernels writes the same bytes.
struct Fp8Product {
    const float* xScales;   //  0  scale of x[row, col]: xScales[row·xScaleRow + col/128·xScaleCol]
    const float* wScales;   //  8  scale of w[row, col]: wScales[row/wGroupRows·wScaleRow + col/wGroupCols·wScaleCol]
    void* y;                // 16
    const float* bias;      // 24  null for none
    uint32_t m;             // 32
    uint32_t n;             // 36
    uint32_t k;             // 40
    uint32_t xScaleRow;     // 44
    uint32_t xScaleCol;     // 48
    uint32_t wScaleRow;     // 52
    uint32_t wScaleCol;     // 56
    uint32_t wGroupRows;    // 60
    uint32_t wGroupCols;    // 64
    uint32_t yType;         // 68
    uint32_t copyOut;       // 72  1: y is written by the copy engine through its map (16-bit types, rows a multiple of 16 bytes)
    uint32_t raster;        // 76  rows of tiles that are walked together
    uint32_t policy;        // 80
    uint32_t tiled;         // 84
};
static_assert(sizeof(Fp8Product) == 88, "Java writes 88 bytes");

__device__ __forceinline__ uint32_t pack16(float low, float high, uint32_t type) {
    uint32_t r;
    if (type == BF16) {
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    } else {
        asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    }
    return r;
}

// One warp is done with a stage: it tells every block that writes there, which are the first CLUSTER of the cluster.
template <int CLUSTER>
__device__ __forceinline__ void release(uint32_t empty, int lane) {
    if (CLUSTER == 1) {
        if (lane == 0) {
            barrier_arrive(empty);
        }
    } else if (lane < CLUSTER) {
        barrier_arrive_remote(empty, lane);
    }
}

}  // namespace lowbit
