// y = x·Wᵀ (+ bias, + y) on tensor cores, for any M, N and K and every scheme.
//
// Exact operands. A weight is the f32 that value() gives; an activation is F32, F16 or BF16. Neither is rounded: each is
// cut into bf16 pieces that share its sign and add up to it exactly (v = v0 + v1 + v2; 8 significant bits each, cut by
// truncation so that no piece overflows), and the product is the sum over all pairs of pieces. BF16 needs 1 piece, F16
// 2, f32 3; the host passes the count that is enough for the weights (xPieces follows from x's type). The large products
// x0·w0 are summed apart from the small ones, so that the small ones round at their own size.
// An infinite activation gives NaN here, because infinity times a zero piece is NaN.
//
// A block of 4 warps makes 64 rows × 64 columns of y, in steps of 32 along K:
//
//            K step 32                   N
//        ┌───────────────┐        ┌─────┬─────┐
//   64 M │ x pieces, bf16│        │warp0│warp1│ 32 rows
//        └───────────────┘        ├─────┼─────┤           each warp: 2 × 4 tiles of m16n8
//        ┌───────────────┐      M │warp2│warp3│ 32 rows
//   64 N │ W pieces, bf16│        └─────┴─────┘
//        └───────────────┘          32    32 columns
//
// Rows in shared memory are 40 halves (20 words) apart: the 8 rows × 4 words that a warp reads as one fragment then fall
// in 32 different banks. No split along K and no atomics: the order of every sum is fixed. The finished tile goes through
// shared memory, so that y's rows are written by neighbouring threads and the code for y's type stands there once.
#include "weights.cuh"

namespace lowbit {

constexpr int TILE_M = 64, TILE_N = 64, TILE_K = 32, STRIDE = TILE_K + 8, PIECES = 3, THREADS = 128;

// One step along K of one operand: pieces [piece][row][column].
struct Operand {
    uint16_t piece[PIECES][TILE_M][STRIDE];
};

union Shared {
    struct {
        Operand x, w;
    } in;
    float out[TILE_M][TILE_N + 1];
};

// Cuts two neighbours into bf16 pieces and stores those that are asked for.
__device__ __forceinline__ void cut(Operand& s, int pieces, int row, int col, float v0, float v1) {
#pragma unroll
    for (int p = 0; p < PIECES; p++) {
        if (p < pieces) {
            uint32_t u0 = __float_as_uint(v0) & 0xffff0000u, u1 = __float_as_uint(v1) & 0xffff0000u;
            *reinterpret_cast<uint32_t*>(&s.piece[p][row][col]) = u0 >> 16 | u1;
            // Exact: the piece is a prefix of the value's bits. A NaN or an infinity has no rest.
            v0 = (u0 & 0x7f800000u) == 0x7f800000u ? 0.f : __fsub_rn(v0, __uint_as_float(u0));
            v1 = (u1 & 0x7f800000u) == 0x7f800000u ? 0.f : __fsub_rn(v1, __uint_as_float(u1));
        }
    }
}

template <class S>
__device__ __forceinline__ void linear(const Matrix& w, const void* x, uint32_t xType, void* y, uint32_t yType, const void* bias,
                                       uint32_t biasType, int64_t m, uint32_t weightPieces) {
    __shared__ __align__(16) Shared shared;
    Operand &sx = shared.in.x, &sw = shared.in.w;
    const int xPieces = xType == F32 ? 3 : xType == F16 ? 2 : 1;
    const int wPieces = int(weightPieces);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int g = lane / 4, t = lane % 4;
    const int warpM = warp / 2 * 32, warpN = warp % 2 * 32;
    const int64_t n0 = int64_t(blockIdx.x) * TILE_N;

    for (int64_t m0 = int64_t(blockIdx.y) * TILE_M; m0 < m; m0 += int64_t(gridDim.y) * TILE_M) {
        float large[2][4][4] = {}, small[2][4][4] = {};
        for (int64_t k0 = 0; k0 < w.k; k0 += TILE_K) {
#pragma unroll 2
            for (int i = threadIdx.x; i < TILE_M * TILE_K / 2; i += THREADS) {
                int row = i / (TILE_K / 2), col = i % (TILE_K / 2) * 2;
                int64_t gm = m0 + row, gk = k0 + col;
                float v0 = 0.f, v1 = 0.f;
                if (gm < m) {
                    v0 = gk < w.k ? load(x, xType, gm * w.k + gk) : 0.f;
                    v1 = gk + 1 < w.k ? load(x, xType, gm * w.k + gk + 1) : 0.f;
                }
                cut(sx, xPieces, row, col, v0, v1);
            }
#pragma unroll 1
            for (int i = threadIdx.x; i < TILE_N * TILE_K / 2; i += THREADS) {
                int row = i / (TILE_K / 2), col = i % (TILE_K / 2) * 2;
                int64_t gn = n0 + row, gk = k0 + col;
                float v0 = 0.f, v1 = 0.f;
                if (gn < w.n) {
                    v0 = gk < w.k ? S::value(w, uint32_t(gn), uint32_t(gk)) : 0.f;
                    v1 = gk + 1 < w.k ? S::value(w, uint32_t(gn), uint32_t(gk + 1)) : 0.f;
                }
                cut(sw, wPieces, row, col, v0, v1);
            }
            __syncthreads();
#pragma unroll
            for (int ks = 0; ks < TILE_K; ks += 16) {
#pragma unroll 1
                for (int pw = 0; pw < wPieces; pw++) {
                    uint32_t b[4][2];
#pragma unroll
                    for (int j = 0; j < 4; j++) {
                        const uint16_t* p = &sw.piece[pw][warpN + j * 8 + g][ks + 2 * t];
                        b[j][0] = *reinterpret_cast<const uint32_t*>(p);
                        b[j][1] = *reinterpret_cast<const uint32_t*>(p + 8);
                    }
#pragma unroll 1
                    for (int px = 0; px < xPieces; px++) {
                        uint32_t a[2][4];
#pragma unroll
                        for (int i = 0; i < 2; i++) {
                            const uint16_t* p = &sx.piece[px][warpM + i * 16 + g][ks + 2 * t];
                            a[i][0] = *reinterpret_cast<const uint32_t*>(p);
                            a[i][1] = *reinterpret_cast<const uint32_t*>(p + 8 * STRIDE);
                            a[i][2] = *reinterpret_cast<const uint32_t*>(p + 8);
                            a[i][3] = *reinterpret_cast<const uint32_t*>(p + 8 * STRIDE + 8);
                        }
                        if ((pw | px) == 0) {
#pragma unroll
                            for (int i = 0; i < 2; i++) {
#pragma unroll
                                for (int j = 0; j < 4; j++) {
                                    mma_m16n8k16_bf16(large[i][j], a[i], b[j]);
                                }
                            }
                        } else {
#pragma unroll
                            for (int i = 0; i < 2; i++) {
#pragma unroll
                                for (int j = 0; j < 4; j++) {
                                    mma_m16n8k16_bf16(small[i][j], a[i], b[j]);
                                }
                            }
                        }
                    }
                }
            }
            __syncthreads();
        }
#pragma unroll
        for (int i = 0; i < 2; i++) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
#pragma unroll
                for (int r = 0; r < 4; r++) {
                    shared.out[warpM + i * 16 + g + r / 2 * 8][warpN + j * 8 + 2 * t + r % 2] = __fadd_rn(large[i][j][r], small[i][j][r]);
                }
            }
        }
        __syncthreads();
#pragma unroll 1
        for (int i = threadIdx.x; i < TILE_M * TILE_N; i += THREADS) {
            int64_t gm = m0 + i / TILE_N, gn = n0 + i % TILE_N;
            if (gm < m && gn < w.n) {
                float v = shared.out[i / TILE_N][i % TILE_N];
                put(y, yType, gm * w.n + gn, bias ? __fadd_rn(v, load(bias, biasType, gn)) : v);
            }
        }
        __syncthreads();
    }
}

}  // namespace lowbit

#define LINEAR(suffix, S)                                                                                            \
    extern "C" __global__ void __launch_bounds__(lowbit::THREADS) LOWBIT_NAME(ARCH, linear_##suffix)(                \
        const __grid_constant__ lowbit::Matrix w, const void* x, uint32_t xType, void* y, uint32_t yType,            \
        const void* bias, uint32_t biasType, int64_t m, uint32_t weightPieces) {                                     \
        lowbit::linear<S>(w, x, xType, y, yType, bias, biasType, m, weightPieces);                                   \
    }
LOWBIT_SCHEMES(LINEAR)
