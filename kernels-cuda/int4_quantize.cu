// Activations to INT4, for Ada's 4-bit tensor cores: s = amax/7 of a row, never below 2⁻¹²⁶ and 1 where amax is 0; x_q = x / s to the
// nearest, ties to even, within ±7; a NaN becomes 0. Two codes a byte, zero beyond K; a row begins where the row of 8-bit codes would:
// `pitch` bytes from the one before.
//
// Byte p of the 16 for 32 columns has, in its low and its high nibble:
//   in order       columns 2p and 2p + 1
//   interleaved    columns c and c + 16, where c is the p-th of 0 8 1 9 … 7 15: what w4a8_mma.cuh wants
#include "activations.cuh"

namespace lowbit {

constexpr int RUN = 32;  // columns that a thread takes at once

__device__ __forceinline__ uint32_t encode_int4(float v) {
    return uint32_t(__float2int_rn(fminf(fmaxf(v != v ? 0.f : v, -7.f), 7.f))) & 15;
}

}  // namespace lowbit

// One block a row; scales[m].
extern "C" __global__ void __launch_bounds__(256) LOWBIT_NAME(ARCH, int4_quantize_row)(const void* x, uint32_t xType, int64_t m, int64_t k,
                                                                                     int64_t pitch, uint8_t* codes, float* scales,
                                                                                     uint32_t interleaved) {
    using namespace lowbit;
    LOWBIT_DEPENDENT();
    const Plain source(x, xType, k);
    for (int64_t row = blockIdx.x; row < m; row += gridDim.x) {
        float amax = 0.f;
        for (int64_t i = int64_t(threadIdx.x) * VECTOR; i < k; i += THREADS * VECTOR) {
            float v[VECTOR];
            source.load(v, row, i);
            amax = largest(v, amax);
        }
        amax = block_reduce<false>(amax);
        const Scale s(amax == 0.f ? 1.f : fmaxf(__fdiv_rn(amax, 7.f), 0x1p-126f));
        for (int64_t i = int64_t(threadIdx.x) * RUN; i < pitch; i += THREADS * RUN) {
            uint32_t w[4] = {};
#pragma unroll
            for (int part = 0; part < RUN / VECTOR; part++) {
                float v[VECTOR];
                source.load(v, row, i + part * VECTOR);
                s.divide(v);
#pragma unroll
                for (int j = 0; j < VECTOR; j++) {
                    const uint32_t q = encode_int4(v[j]);
                    const int p = j % 8 * 2 + j / 8;
                    if (interleaved) {
                        w[p / 4] |= q << (p % 4 * 8 + part * 4);
                    } else {
                        w[part * 2 + j / 8] |= q << j % 8 * 4;
                    }
                }
            }
            *reinterpret_cast<uint4*>(codes + row * pitch + i / 2) = make_uint4(w[0], w[1], w[2], w[3]);
        }
        if (threadIdx.x == 0) {
            scales[row] = s.s;
        }
    }
}
