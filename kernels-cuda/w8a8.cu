// FP8 weights with FP8 activations, quantized as fp8_quantize.cu says: y = Σ s_x·s_w·(x_q·w_q).
//
// The product: 4 warps make 64 × 64 of y in steps of 128 along K. The sum of each step is scaled and added in f32 outside
// of the tensor core, whose own accumulator keeps fewer bits on some chips; with MXFP8, where both have a power of two for every 32 of
// a row, the sum of each 32. Rows in shared memory are 144 bytes
// (36 words) apart: the 8 rows × 4 words of a fragment fall in 32 different banks.
#include "weights.cuh"

namespace lowbit {

constexpr int TILE = 64, STEP = 128, PITCH = STEP + 16, THREADS = 128;

union Shared {
    struct {
        uint8_t x[TILE][PITCH], w[TILE][PITCH];
    } in;
    float out[TILE][TILE + 1];
};

// Leaves the first `count` of 16 bytes, which may be none or less.
__device__ __forceinline__ void clear_beyond(uint4& v, int count) {
    uint32_t* word = &v.x;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int left = count - 4 * i;
        word[i] = left >= 4 ? word[i] : left <= 0 ? 0 : word[i] & (1u << 8 * left) - 1;
    }
}

enum Operands { E4M3_E4M3, E5M2_E4M3, E4M3_E5M2 };  // types of w and x

// The scales of this thread's rows of x and w for the products that begin at column k0.
template <bool Mx>
struct Scales {
    float x[2][2], w[4][2];

    __device__ __forceinline__ Scales(const Matrix& m, const void* xScales, int64_t xRowStep, int64_t xColStep, int64_t rows, int64_t row,
                                      int64_t col, int64_t k0) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int64_t gm = row + i / 2 * 16 + i % 2 * 8;
            x[i / 2][i % 2] = gm >= rows ? 0.f
                : Mx ? bf16_to_f32(static_cast<const uint16_t*>(xScales)[(k0 / STEP * xColStep + gm) * 4 + k0 / 32 % 4])
                     : static_cast<const float*>(xScales)[gm * xRowStep + k0 / STEP * xColStep];
        }
#pragma unroll
        for (int j = 0; j < 8; j++) {
            const int64_t gn = col + j / 2 * 8 + j % 2;
            w[j / 2][j % 2] = gn >= m.n || k0 >= m.k ? 0.f
                : Mx ? decode_e8m0(static_cast<const uint8_t*>(m.scales)[gn * m.scaleCols + k0 / 32])
                     : static_cast<const float*>(m.scales)[int64_t(uint32_t(gn) / m.groupRows) * m.scaleCols + uint32_t(k0) / m.groupCols];
        }
    }

    // sum += scaled part, part = 0
    __device__ __forceinline__ void add(float (&sum)[2][4][4], float (&part)[2][4][4]) const {
#pragma unroll
        for (int i = 0; i < 2; i++) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
#pragma unroll
                for (int r = 0; r < 4; r++) {
                    sum[i][j][r] = __fmaf_rn(__fmul_rn(x[i][r / 2], w[j][r % 2]), part[i][j][r], sum[i][j][r]);
                    part[i][j][r] = 0.f;
                }
            }
        }
    }
};

// xScales: f32, of x[row, col] xScales[row·scaleRowStep + col/128·scaleColStep]; with MXFP8 bf16,
// xScales[(col/128·scaleColStep + row)·4 + col/32%4].
template <Operands T, bool Mx>
__device__ __forceinline__ void w8a8(const Matrix& w, const uint8_t* x, int64_t pitch, const void* xScales, int64_t scaleRowStep,
                                     int64_t scaleColStep, void* y, uint32_t yType, const void* bias, uint32_t biasType, int64_t m,
                                     int64_t yPitch, float yScale, float* yScaleTo) {
    __shared__ __align__(16) Shared shared;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int g = lane / 4, t = lane % 4;
    const int warpM = warp / 2 * 32, warpN = warp % 2 * 32;
    const int64_t n0 = int64_t(blockIdx.x) * TILE;
    const bool words = w.k % 4 == 0;
    const float inverse = __fdiv_rn(1.f, yScale);
    if (yType >= E4M3 && blockIdx.x + blockIdx.y + threadIdx.x == 0) {
        *yScaleTo = yScale;
    }

    for (int64_t m0 = int64_t(blockIdx.y) * TILE; m0 < m; m0 += int64_t(gridDim.y) * TILE) {
        float sum[2][4][4] = {};
        for (int64_t k0 = 0; k0 < w.k; k0 += STEP) {
#pragma unroll 2
            for (int i = threadIdx.x; i < TILE * STEP / 16; i += THREADS) {
                int row = i / (STEP / 16), col = i % (STEP / 16) * 16;
                uint4 v = make_uint4(0, 0, 0, 0);
                if (m0 + row < m) {
                    v = *reinterpret_cast<const uint4*>(x + (m0 + row) * pitch + k0 + col);
                    if (k0 + col + 16 > w.k) {  // what stands beyond K may be anything
                        clear_beyond(v, int(w.k - k0) - col);
                    }
                }
                *reinterpret_cast<uint4*>(&shared.in.x[row][col]) = v;
            }
#pragma unroll 2
            for (int i = threadIdx.x; i < TILE * STEP / 4; i += THREADS) {
                int row = i / (STEP / 4), col = i % (STEP / 4) * 4;
                uint32_t v = 0;
                if (n0 + row < w.n && k0 + col < w.k) {
                    const uint8_t* p = w.codes + (n0 + row) * w.k + k0 + col;
                    if (words) {
                        v = *reinterpret_cast<const uint32_t*>(p);
                    } else {
                        for (int j = 0; j < 4 && k0 + col + j < w.k; j++) {
                            v |= uint32_t(p[j]) << 8 * j;
                        }
                    }
                }
                *reinterpret_cast<uint32_t*>(&shared.in.w[row][col]) = v;
            }
            __syncthreads();
            float part[2][4][4] = {};
#pragma unroll
            for (int ks = 0; ks < STEP; ks += 32) {
                uint32_t a[2][4], b[4][2];
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    const uint8_t* p = &shared.in.x[warpM + i * 16 + g][ks + 4 * t];
                    a[i][0] = *reinterpret_cast<const uint32_t*>(p);
                    a[i][1] = *reinterpret_cast<const uint32_t*>(p + 8 * PITCH);
                    a[i][2] = *reinterpret_cast<const uint32_t*>(p + 16);
                    a[i][3] = *reinterpret_cast<const uint32_t*>(p + 8 * PITCH + 16);
                }
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    const uint8_t* p = &shared.in.w[warpN + j * 8 + g][ks + 4 * t];
                    b[j][0] = *reinterpret_cast<const uint32_t*>(p);
                    b[j][1] = *reinterpret_cast<const uint32_t*>(p + 16);
                }
#pragma unroll
                for (int i = 0; i < 2; i++) {
#pragma unroll
                    for (int j = 0; j < 4; j++) {
                        if (T == E4M3_E4M3) {
                            mma_m16n8k32_e4m3_e4m3(part[i][j], a[i], b[j]);
                        } else if (T == E5M2_E4M3) {
                            mma_m16n8k32_e4m3_e5m2(part[i][j], a[i], b[j]);
                        } else {
                            mma_m16n8k32_e5m2_e4m3(part[i][j], a[i], b[j]);
                        }
                    }
                }
                if (Mx || ks == STEP - 32) {
                    Scales<Mx>(w, xScales, scaleRowStep, scaleColStep, m, m0 + warpM + g, n0 + warpN + 2 * t, Mx ? k0 + ks : k0).add(sum, part);
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
                    shared.out[warpM + i * 16 + g + r / 2 * 8][warpN + j * 8 + 2 * t + r % 2] = sum[i][j][r];
                }
            }
        }
        __syncthreads();
#pragma unroll 1
        for (int i = threadIdx.x; i < TILE * TILE; i += THREADS) {
            int64_t gm = m0 + i / TILE, gn = n0 + i % TILE;
            if (gm < m && gn < w.n) {
                float v = shared.out[i / TILE][i % TILE];
                v = bias ? __fadd_rn(v, load(bias, biasType, gn)) : v;
                if (yType >= E4M3) {
                    v = __fmul_rn(v, inverse);
                    static_cast<uint8_t*>(y)[gm * yPitch + gn] = yType == E4M3 ? encode_e4m3(v) : encode_e5m2(v);
                } else {
                    store(y, yType, gm * w.n + gn, v);
                }
            }
        }
        __syncthreads();
    }
}

}  // namespace lowbit

// y in 8 bits, E4M3 or E5M2: code(y · (1 / yScale)), saturating, rows yPitch bytes apart; yScale is put to *yScaleTo too.
#define W8A8(suffix, T, MX)                                                                                                 \
    extern "C" __global__ void __launch_bounds__(lowbit::THREADS) LOWBIT_NAME(ARCH, linear_##suffix)(                       \
        const __grid_constant__ lowbit::Matrix w, const uint8_t* x, int64_t pitch, const void* xScales,                     \
        int64_t scaleRowStep, int64_t scaleColStep, void* y, uint32_t yType, const void* bias, uint32_t biasType,           \
        int64_t m, int64_t yPitch, float yScale, float* yScaleTo) {                                                         \
        lowbit::w8a8<lowbit::T, MX>(w, x, pitch, xScales, scaleRowStep, scaleColStep, y, yType, bias, biasType, m, yPitch,      \
                                yScale, yScaleTo);                                                                          \
    }
W8A8(e4m3_e4m3_block, E4M3_E4M3, false)
W8A8(e5m2_e4m3_block, E5M2_E4M3, false)
W8A8(e4m3_e5m2_block, E4M3_E5M2, false)
W8A8(e4m3_e4m3_block32, E4M3_E4M3, true)
W8A8(e5m2_e4m3_block32, E5M2_E4M3, true)
