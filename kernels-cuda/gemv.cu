// y = x·Wᵀ (+ bias, + y) for a few rows of x: one warp makes one column of y for up to 8 rows, so each weight is decoded once.
// Lane l takes columns 2l, 2l+1, 2l+64, 2l+65, …; f32 fused multiply-adds in that order, then a butterfly over the lanes:
// the order of every sum is fixed, and no operand is rounded.
#include "weights.cuh"

namespace lowbit {

constexpr int ROWS = 8, WARPS = 4, CHUNK = 512;

template <class S>
__device__ __forceinline__ void gemv(const Matrix& w, const void* x, uint32_t xType, void* y, uint32_t yType, const void* bias,
                                     uint32_t biasType, int64_t m) {
    __shared__ __align__(16) float sx[ROWS][CHUNK];  // x as f32, zero beyond K
    const int lane = threadIdx.x % 32;
    const int64_t n = int64_t(blockIdx.x) * WARPS + threadIdx.x / 32;
    for (int64_t m0 = int64_t(blockIdx.y) * ROWS; m0 < m; m0 += int64_t(gridDim.y) * ROWS) {
        const int rows = int(m - m0 < ROWS ? m - m0 : ROWS);
        float acc[ROWS] = {};
        for (int64_t k0 = 0; k0 < w.k; k0 += CHUNK) {
            const int columns = int(w.k - k0 < CHUNK ? w.k - k0 : CHUNK);
            __syncthreads();  // the last chunk has been read
            for (int r = 0; r < rows; r++) {
#pragma unroll 2
                for (int i = threadIdx.x; i < CHUNK; i += 32 * WARPS) {
                    sx[r][i] = i < columns ? load(x, xType, (m0 + r) * w.k + k0 + i) : 0.f;
                }
            }
            __syncthreads();
            if (n < w.n) {
#pragma unroll 2
                for (int i = 2 * lane; i < columns; i += 64) {
                    const float w0 = S::value(w, uint32_t(n), uint32_t(k0 + i));
                    const float w1 = i + 1 < columns ? S::value(w, uint32_t(n), uint32_t(k0 + i + 1)) : 0.f;
#pragma unroll
                    for (int r = 0; r < ROWS; r++) {
                        if (r < rows) {
                            const float2 v = *reinterpret_cast<const float2*>(&sx[r][i]);
                            acc[r] = __fmaf_rn(v.y, w1, __fmaf_rn(v.x, w0, acc[r]));
                        }
                    }
                }
            }
        }
        float mine = 0.f;  // lane r keeps row r
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
#pragma unroll
            for (int d = 16; d > 0; d /= 2) {
                acc[r] = __fadd_rn(acc[r], __shfl_xor_sync(0xffffffffu, acc[r], d));
            }
            mine = lane == r ? acc[r] : mine;
        }
        if (lane < rows && n < w.n) {
            put(y, yType, (m0 + lane) * w.n + n, bias ? __fadd_rn(mine, load(bias, biasType, n)) : mine);
        }
    }
}

}  // namespace lowbit

#define GEMV(suffix, S)                                                                                            \
    extern "C" __global__ void __launch_bounds__(32 * lowbit::WARPS, 8) LOWBIT_NAME(ARCH, gemv_##suffix)(             \
        const __grid_constant__ lowbit::Matrix w, const void* x, uint32_t xType, void* y, uint32_t yType,          \
        const void* bias, uint32_t biasType, int64_t m) {                                                          \
        lowbit::gemv<S>(w, x, xType, y, yType, bias, biasType, m);                                                 \
    }
LOWBIT_SCHEMES(GEMV)
