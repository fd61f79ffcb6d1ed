// What the FP8 products on Hopper share: their arguments, scales and stores.
#pragma once
#include "arrive.cuh"
#include "hopper.cuh"
#include "scalar.cuh"
#include "wgmma_fp8.cuh"

namespace lowbit {

// How a product is summed and scaled.
//   FAST     one sum over all of K in the tensor core's accumulator, scaled at the end
//   PRECISE  the accumulator is added to an f32 sum every 128 of K, scaled at the end
//   BLOCK    the same with a scale for every 128 of K
enum Fp8Mode { FAST, PRECISE, BLOCK };

constexpr int STEP_K = 128;  // bytes along K of a stage: one row of the 128-byte swizzle

// One product.
struct Fp8Product {
    const float* xScales;  // of x[row, col]: xScales[row·xScaleRow + col/128·xScaleCol]; the step along K counts in BLOCK mode alone
    const float* wScales;  // of w[row, col]: wScales[row·wScaleRow], in BLOCK mode wScales[row/128·wScaleRow + col/128·wScaleCol]
    const float* bias;     // null for none
    void* y;
    uint32_t yType;
    uint32_t m;
    uint32_t n;
    uint32_t k;
    uint32_t xScaleRow;
    uint32_t xScaleCol;
    uint32_t wScaleRow;
    uint32_t wScaleCol;
    uint32_t yPitch;  // y in 8 bits: code(y / yScale), rows that many bytes apart, a multiple of 4
    float yScale;
    float* yScaleTo;  // where yScale is put too
};

// Two codes: y as E4M3 or E5M2, saturating. `inverse` is 1 / yScale, rounded.
__device__ __forceinline__ uint32_t pack8(float low, float high, uint32_t type, float inverse) {
    low = __fmul_rn(low, inverse);
    high = __fmul_rn(high, inverse);
    return type == E4M3 ? cvt_rn_satfinite_e4m3x2_f32(low, high) : cvt_rn_satfinite_e5m2x2_f32(low, high);
}

__device__ __forceinline__ uint32_t pack16(float low, float high, uint32_t type) {
    uint32_t r;
    if (type == BF16) {
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    } else {
        asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    }
    return r;
}

__device__ __forceinline__ void store_shared(uint32_t address, float v) {
    asm volatile("st.shared.f32 [%0], %1;" ::"r"(address), "f"(v) : "memory");
}

__device__ __forceinline__ void store_shared(uint32_t address, uint32_t v) {
    asm volatile("st.shared.u32 [%0], %1;" ::"r"(address), "r"(v) : "memory");
}

__device__ __forceinline__ float load_shared(uint32_t address) {
    float v;
    asm volatile("ld.shared.f32 %0, [%1];" : "=f"(v) : "r"(address) : "memory");
    return v;
}

// v, but not before `when` is there: else ptxas moves what uses v up between the instructions of a multiplication, which then
// wait for v. `zero` is 0, which the compiler must not know.
__device__ __forceinline__ float after(float v, float when, uint32_t zero) {
    return __uint_as_float(__float_as_uint(v) ^ __float_as_uint(when) & zero);
}

}  // namespace lowbit

// Kernel names are arch_op_types_scaling. ARCH is sm90.
#define LOWBIT_PASTE(a, b) a##_##b
#define LOWBIT_NAME(arch, name) LOWBIT_PASTE(arch, name)
