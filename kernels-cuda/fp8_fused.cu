// What stands before a linear layer, together with the quantization of its result (activations.cuh): RMSNorm, and the gate of a
// SwiGLU network. All arithmetic is f32, and the f32 result is what is quantized: it is rounded to no narrower type in between.
#include "activations.cuh"

namespace lowbit {

// 16 of the values before they are quantized, for who wants them too.
__device__ __forceinline__ void keep(float* values, int64_t row, int64_t i, int64_t k, const float (&v)[VECTOR]) {
    if (values) {
#pragma unroll
        for (int j = 0; j < VECTOR; j++) {
            if (i + j < k) {
                values[row * k + i + j] = v[j];
            }
        }
    }
}

// (x · 1/√(Σx²/k + ε)) · weight, each product rounded.
struct Normed : Plain {
    static constexpr bool NORMS = true;
    const void* weight;
    uint32_t weightType;
    float epsilon;
    float* values;
    bool wholeWeight;

    __device__ __forceinline__ Normed(const void* x, uint32_t type, int64_t k, const void* weight, uint32_t weightType, float epsilon, float* values)
        : Plain(x, type, k), weight(weight), weightType(weightType), epsilon(epsilon), values(values),
          wholeWeight(vectors(weight, k)) {}

    __device__ __forceinline__ float norm(float squares) const {
        return __fdiv_rn(1.f, __fsqrt_rn(__fadd_rn(__fdiv_rn(squares, float(k)), epsilon)));
    }

    __device__ __forceinline__ void finish(float (&v)[VECTOR], int64_t row, int64_t i, float inverse) const {
#pragma unroll
        for (int half = 0; half < VECTOR; half += VECTOR / 2) {
            float w[VECTOR / 2];
            load_vector<VECTOR / 2>(w, weight, weightType, i + half, k - i - half, wholeWeight && i < k);
#pragma unroll
            for (int j = 0; j < VECTOR / 2; j++) {
                // Zero beyond K, whatever the row's sum is.
                v[half + j] = half + j < k - i ? __fmul_rn(__fmul_rn(v[half + j], inverse), w[j]) : 0.f;
            }
        }
        keep(values, row, i, k, v);
    }
};

// g / (1 + e^-g), with t = e^-|g| as g / (1 + t) or g·t / (1 + t): nothing overflows. The quotient by a corrected reciprocal, to the last bit
// or one beside it.
__device__ __forceinline__ float silu(float g) {
    const float t = expf(-fabsf(g)), d = __fadd_rn(1.f, t), n = g < 0.f ? __fmul_rn(g, t) : g;
    const float r = rcp_approx_f32(d), q = __fmul_rn(n, r);
    return __fmaf_rn(-__fmaf_rn(q, d, -n), r, q);
}

// silu(gate) · up, each step rounded.
struct Gated : Plain {
    const void* up;
    bool wholeUp;
    float* values;

    __device__ __forceinline__ Gated(const void* gate, const void* up, uint32_t type, int64_t k, float* values)
        : Plain(gate, type, k), up(up), wholeUp(vectors(up, k)), values(values) {}

    __device__ __forceinline__ void load(float (&v)[VECTOR], int64_t row, int64_t i) const {
#pragma unroll
        for (int half = 0; half < VECTOR; half += VECTOR / 2) {
            float u[VECTOR / 2];
            load_vector<VECTOR / 2>(v + half, x, type, row * k + i + half, k - i - half, whole && i < k);
            load_vector<VECTOR / 2>(u, up, type, row * k + i + half, k - i - half, wholeUp && i < k);
#pragma unroll
            for (int j = 0; j < VECTOR / 2; j++) {
                v[half + j] = __fmul_rn(silu(v[half + j]), u[j]);
            }
        }
        keep(values, row, i, k, v);
    }
};

}  // namespace lowbit

#define NORM_QUANTIZE(name, BLOCKS)                                                                                                 \
    extern "C" __global__ void __launch_bounds__(lowbit::MOST_THREADS) LOWBIT_NAME(ARCH, name)(                                                   \
        const void* x, uint32_t xType, const void* weight, uint32_t weightType, float epsilon, float* values, int64_t m, int64_t k, \
        int64_t pitch, uint8_t* codes, float* scales, uint32_t code, uint32_t interleaved, int64_t scaleStep, uint32_t ue8m0) {     \
        using namespace lowbit;                                                                                                     \
        LOWBIT_DEPENDENT();                                                                                                         \
        quantize_row<BLOCKS>(Normed(x, xType, k, weight, weightType, epsilon, values), m, k, pitch, codes, scales, code,            \
                             interleaved, scaleStep, ue8m0);                                                                        \
    }
NORM_QUANTIZE(norm_quantize_row, false)
NORM_QUANTIZE(norm_quantize_block128, true)

extern "C" __global__ void __launch_bounds__(lowbit::MOST_THREADS) LOWBIT_NAME(ARCH, silu_quantize_row)(
    const void* gate, const void* up, uint32_t type, float* values, int64_t m, int64_t k, int64_t pitch, uint8_t* codes,
    float* scales, uint32_t code, uint32_t interleaved) {
    using namespace lowbit;
    LOWBIT_DEPENDENT();
    quantize_row<false>(Gated(gate, up, type, k, values), m, k, pitch, codes, scales, code, interleaved, 0, 0);
}

extern "C" __global__ void __launch_bounds__(256) LOWBIT_NAME(ARCH, silu_quantize_block128)(
    const void* gate, const void* up, uint32_t type, float* values, int64_t m, int64_t k, int64_t pitch, uint8_t* codes,
    float* scales, uint32_t interleaved, int64_t scaleStep, uint32_t ue8m0) {
    using namespace lowbit;
    LOWBIT_DEPENDENT();
    quantize_blocks(Gated(gate, up, type, k, values), m, pitch, codes, scales, interleaved, scaleStep, ue8m0);
}
