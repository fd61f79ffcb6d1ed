// y = x·Wᵀ (+ bias) with INT4 weights in records (records.cuh) and activations of 8 or 4 bits, for GPUs without bulk copies and warp
// groups (Ada): mma.sync with W as the A operand, converted in registers, and x as the B operand; a ring of stages that cp.async
// fills. The plan is that of w4_mma.cuh.
//
//   block: BANDS bands of 64 rows of W × TOKENS rows of x; 8 warps: PARTS parts of K × SLICES of the rows of W × HALVES of the tokens
//   stage: [part][x: TOKENS rows of 128 columns, pieces of 16 bytes permuted │ …][band][part][a record]
//
// `split` blocks may cut K further; their sums go through the stream's workspace. The sums of a group, or of a record where
// groups are longer, are made in the tensor core, then scaled and added in f32: over the parts and then over the blocks, both
// in their order, by whichever block comes last. The order of every sum is fixed.
//
// x: piece c of a row lies where 8 neighbouring rows fall into different banks: at c ^ (row % 8) of the 8 pieces of 8-bit rows, at
// c ^ (row / 2 % 4) of the 4 pieces of 4-bit rows, of which two share 128 bytes.
#pragma once
#include "w4a8.cuh"

namespace lowbit {

constexpr int A8_WARPS = 8, A8_THREADS = 32 * A8_WARPS;
constexpr int A8_COUNTERS = 16384;  // Stream.COUNTER_BYTES

struct W4a8MmaShape {
    uint32_t split;   // blocks that cut K
    uint32_t stages;  // 2, 3 or 4
    uint32_t spans;   // records along K for a block
    uint32_t xPitch;  // bytes from row to row of the codes of x
};

// What the tensor core multiplies: STEPS instructions for half a record, 64 columns. UNIT: what a sum is to be multiplied with.
struct MmaE4m3 {
    using Sum = float;
    static constexpr int BITS = 8, STEPS = 2;
    static constexpr float UNIT = E4m3Weights::UNIT;

    static __device__ __forceinline__ void weights(uint32_t (&a)[4], const uint4& codes, int step, const uint32_t (&zero)[2]) {
        fragment<E4m3Weights, false>(a, step ? codes.z : codes.x, step ? codes.w : codes.y, zero);
    }
    static __device__ __forceinline__ void mma(Sum (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) { mma_m16n8k32_e4m3_e4m3(d, a, b); }
    static __device__ __forceinline__ float add(Sum part, float scale, float sum) { return E4m3Weights::add(part, scale, sum); }
};

struct MmaS8 {
    using Sum = int32_t;
    static constexpr int BITS = 8, STEPS = 2;
    static constexpr float UNIT = S8Weights::UNIT;

    static __device__ __forceinline__ void weights(uint32_t (&a)[4], const uint4& codes, int step, const uint32_t (&zero)[2]) {
        fragment<S8Weights, false>(a, step ? codes.z : codes.x, step ? codes.w : codes.y, zero);
    }
    static __device__ __forceinline__ void mma(Sum (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) { mma_m16n8k32_s8(d, a, b); }
    static __device__ __forceinline__ float add(Sum part, float scale, float sum) { return S8Weights::add(part, scale, sum); }
};

// Symmetric codes alone: code − 8 is a nibble's own two's complement, other zero points would not fit. A word of 16 columns has row g
// in its even nibbles and row g+8 in its odd ones; a register takes a row of two words, the second one's in the high nibbles,
// as int4_quantize.cu has x.
struct MmaS4 {
    using Sum = int32_t;
    static constexpr int BITS = 4, STEPS = 1;
    static constexpr float UNIT = 1.f;

    static __device__ __forceinline__ void rows(uint32_t& even, uint32_t& odd, uint32_t first, uint32_t second) {
        even = ((first & 0x0f0f0f0fu) | (second << 4 & 0xf0f0f0f0u)) ^ 0x88888888u;
        odd = ((first >> 4 & 0x0f0f0f0fu) | (second & 0xf0f0f0f0u)) ^ 0x88888888u;
    }
    static __device__ __forceinline__ void weights(uint32_t (&a)[4], const uint4& codes, int, const uint32_t (&)[2]) {
        rows(a[0], a[1], codes.x, codes.y);
        rows(a[2], a[3], codes.z, codes.w);
    }
    static __device__ __forceinline__ void mma(Sum (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) { mma_m16n8k64_s4(d, a, b); }
    static __device__ __forceinline__ float add(Sum part, float scale, float sum) { return S8Weights::add(part, scale, sum); }
};

template <class T, int TOKENS, int BANDS, int PARTS, int HALVES>
__device__ __forceinline__ void w4a8_mma(const Matrix& matrix, const W4a8MmaShape& shape, const uint8_t* x, const W4a8Product& p,
                                         uint32_t* workspace) {
    const W4 w(matrix);
    // A warp has TILES tiles of 16 rows of W and GROUPS8 groups of 8 tokens.
    constexpr int SLICES = A8_WARPS / PARTS / HALVES, TILES = 4 * BANDS / SLICES, GROUPS8 = TOKENS / 8 / HALVES, ROWS = BAND * BANDS;
    constexpr int X_ROW = SPAN * T::BITS / 8, PIECES = X_ROW / 16, X_BYTES = TOKENS * X_ROW;
    constexpr int PITCH = ROWS + 4;  // sums lie [part][token][row]; the pitch spreads them over the banks
    extern __shared__ __align__(128) uint8_t shared[];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const int part = warp / (SLICES * HALVES), slice = warp / HALVES % SLICES, firstToken = warp % HALVES * (TOKENS / HALVES);
    // Blocks that read the same records are neighbours.
    const uint32_t rank = blockIdx.x % shape.split, tile = blockIdx.x / shape.split, tokenTiles = (p.m + TOKENS - 1) / TOKENS;
    const uint32_t firstBand = tile / tokenTiles * BANDS, m0 = tile % tokenTiles * TOKENS, bands = uint32_t((w.n + BAND - 1) / BAND);
    const int rows = int(min(p.m - m0, uint32_t(TOKENS)));
    const uint32_t stageBytes = PARTS * (X_BYTES + BANDS * w.recordBytes);

    const uint32_t firstSpan = rank * shape.spans, lastSpan = min(firstSpan + shape.spans, w.spans);
    const int count = lastSpan > firstSpan ? int(lastSpan - firstSpan) : 0, rounds = (count + PARTS - 1) / PARTS;

    const auto fill = [&](int round, uint32_t stage) {
        const int present = min(count - round * PARTS, PARTS);
        const uint32_t to = shared_address(shared) + stage * stageBytes, span = firstSpan + round * PARTS;
#pragma unroll
        for (int b = 0; b < BANDS; b++) {
            const uint32_t band = min(firstBand + b, bands - 1);  // beyond the last: its sums are not stored
            const uint8_t* const run = w.records + (uint64_t(band) * w.spans + span) * w.recordBytes;
            for (uint32_t i = threadIdx.x * 16; i < present * w.recordBytes; i += A8_THREADS * 16) {
                copy_async16(to + PARTS * (X_BYTES + b * w.recordBytes) + i, run + i, 16);
            }
        }
        for (int i = threadIdx.x; i < present * TOKENS * PIECES; i += A8_THREADS) {
            const int token = i / PIECES % TOKENS, piece = i % PIECES;
            const uint8_t* const from = x + uint64_t(m0 + min(token, rows - 1)) * shape.xPitch + (span + i / (PIECES * TOKENS)) * X_ROW + piece * 16;
            const int at = piece ^ (PIECES == 8 ? token % 8 : token / 2 % 4);
            copy_async16(to + i / PIECES * X_ROW + at * 16, from, token < rows ? 16 : 0);
        }
    };

    for (uint32_t s = 0; s + 1 < shape.stages; s++) {
        if (int(s) < rounds) {
            fill(s, s);
        }
        copy_async_commit();
    }

    float sum[TILES][GROUPS8][4] = {};
    typename T::Sum partial[TILES][GROUPS8][4] = {};
    // Bit i of `ends`: a group, or the record, ends with the i-th 32 columns; `shift`: log2 of those in a group.
    const uint32_t ends = w.groups == 4 ? 15 : w.groups == 2 ? 10 : 8, shift = w.groups == 4 ? 0 : w.groups == 2 ? 1 : 2;

    uint32_t stage = 0, free = shape.stages - 1;
#pragma unroll 1
    for (int i = 0; i < rounds; i++) {
        if (shape.stages == 2) {
            copy_async_wait<0>();
        } else if (shape.stages == 3) {
            copy_async_wait<1>();
        } else {
            copy_async_wait<2>();
        }
        __syncthreads();  // this stage is there for all, and all have read the one before
        if (i + int(shape.stages) - 1 < rounds) {
            fill(i + shape.stages - 1, free);
        }
        copy_async_commit();
        if (i * PARTS + part < count) {
            const uint32_t xAt = shared_address(shared) + stage * stageBytes + part * X_BYTES;
            // Of the warp's first tile; a tile is 16 rows, and a warp's lie in one band.
            constexpr int TILES_OF_BAND = 4;
            const int band = slice * TILES / TILES_OF_BAND, firstTile = slice * TILES % TILES_OF_BAND;
            const uint8_t* const record = shared + stage * stageBytes + PARTS * (X_BYTES + band * w.recordBytes) + part * w.recordBytes;
            uint32_t b[GROUPS8][4];
#pragma unroll (T::BITS == 4 ? 2 : 1)
            for (int half = 0; half < 2; half++) {
                if (T::BITS == 8 || half == 0) {
#pragma unroll
                    for (int j = 0; j < GROUPS8; j++) {
                        const int token = firstToken + j * 8 + lane % 8, piece = (T::BITS == 8 ? half * 4 : 0) + lane / 8;
                        ldmatrix_x4(b[j], xAt + token * X_ROW + (piece ^ (PIECES == 8 ? token % 8 : token / 2 % 4)) * 16);
                    }
                }
                uint4 codes[TILES];
#pragma unroll
                for (int own = 0; own < TILES; own++) {
                    codes[own] = *reinterpret_cast<const uint4*>(record + half * (CODE_BYTES / 2) + ((firstTile + own) * 32 + lane) * 16);
                }
#pragma unroll
                for (int step = 0; step < T::STEPS; step++) {
                    const int last = half * 2 + (T::STEPS == 1 ? 1 : step), group = last >> shift;  // `last` of the 32s of this step
#pragma unroll
                    for (int own = 0; own < TILES; own++) {
                        const int pair = (firstTile + own) * 16 + g * 2;
                        uint32_t zeros = 0x808;
                        if (T::BITS == 8 && w.zeroOffset) {
                            zeros = *reinterpret_cast<const uint16_t*>(record + w.zeroOffset + group * BAND + pair);
                        }
                        const uint32_t zero[2] = {(zeros & 0xff) * 0x01010101u, (zeros >> 8) * 0x01010101u};
                        uint32_t a[4];
                        T::weights(a, codes[own], step, zero);
#pragma unroll
                        for (int j = 0; j < GROUPS8; j++) {
                            const int at = (T::BITS == 8 ? step : half) * 2;
                            T::mma(partial[own][j], a, {b[j][at], b[j][at + 1]});
                        }
                    }
                    if (ends >> last & 1) {
#pragma unroll
                        for (int own = 0; own < TILES; own++) {
                            // A record without scales ends before them.
                            const uint8_t* const scales = record + CODE_BYTES + group * BAND * 2 + ((firstTile + own) * 16 + g * 2) * 2;
                            const float2 s = scales_of(w, w.groups ? *reinterpret_cast<const uint32_t*>(scales) : 0u);
#pragma unroll
                            for (int j = 0; j < GROUPS8; j++) {
#pragma unroll
                                for (int e = 0; e < 4; e++) {
                                    sum[own][j][e] = T::add(partial[own][j][e], e < 2 ? s.x : s.y, sum[own][j][e]);
                                    partial[own][j][e] = 0;
                                }
                            }
                        }
                    }
                }
            }
        }
        stage = stage + 1 == shape.stages ? 0 : stage + 1;
        free = free + 1 == shape.stages ? 0 : free + 1;
    }

    // Sums of the parts, where the stages were.
    copy_async_wait<0>();
    __syncthreads();
    float* const parts = reinterpret_cast<float*>(shared);
#pragma unroll
    for (int own = 0; own < TILES; own++) {
#pragma unroll
        for (int j = 0; j < GROUPS8; j++) {
#pragma unroll
            for (int e = 0; e < 4; e++) {
                parts[(part * TOKENS + firstToken + j * 8 + 2 * t + e % 2) * PITCH + (slice * TILES + own) * 16 + g + e / 2 * 8] = sum[own][j][e];
            }
        }
    }
    __syncthreads();
    const auto sum_of_parts = [&](int i) {
        const float* const q = parts + i / ROWS * PITCH + i % ROWS;
        float v = *q;
#pragma unroll
        for (int j = 1; j < PARTS; j++) {
            v = __fadd_rn(v, q[j * TOKENS * PITCH]);
        }
        return v;
    };
    // The workspace: counters, one for each tile of y, 0 before and after │ sums [tile of y][block][token][row].
    constexpr int TILE = TOKENS * ROWS;
    float* const others = reinterpret_cast<float*>(workspace + A8_COUNTERS) + int64_t(tile) * shape.split * TILE;
    if (shape.split > 1) {
        float* const mine = others + rank * TILE;
        for (int i = threadIdx.x; i < rows * ROWS; i += A8_THREADS) {
            mine[i] = sum_of_parts(i);
        }
        __shared__ uint32_t before;
        __threadfence();
        __syncthreads();
        if (threadIdx.x == 0) {
            before = atomicAdd(workspace + tile, 1);
        }
        __syncthreads();
        if (before + 1 < shape.split) {
            return;
        }
        __threadfence();
        if (threadIdx.x == 0) {
            workspace[tile] = 0;
        }
    }
    for (int i = threadIdx.x; i < rows * ROWS; i += A8_THREADS) {
        const int64_t n = int64_t(firstBand) * BAND + i % ROWS;
        if (n < w.n) {
            float v;
            if (shape.split > 1) {
                v = __ldcg(others + i);
                for (uint32_t j = 1; j < shape.split; j++) {
                    v = __fadd_rn(v, __ldcg(others + j * TILE + i));
                }
            } else {
                v = sum_of_parts(i);
            }
            const uint32_t token = m0 + i / ROWS;
            const float unit = w.rowScales ? __fmul_rn(T::UNIT, w.rowScales[n]) : T::UNIT;
            v = __fmul_rn(v, __fmul_rn(p.xScales[uint64_t(token) * p.xScaleRow], unit));
            store(p.y, p.yType, int64_t(token) * w.n + n, p.bias ? __fadd_rn(v, load(p.bias, p.biasType, n)) : v);
        }
    }
}

}  // namespace lowbit

#define W4A8_MMA(name, T, TOKENS, BANDS, PARTS, HALVES)                                                                              \
    extern "C" __global__ void __launch_bounds__(lowbit::A8_THREADS, 1) LOWBIT_NAME(ARCH, name)(                                     \
        const __grid_constant__ lowbit::Matrix w, const __grid_constant__ lowbit::W4a8MmaShape shape, const uint8_t* x,             \
        const float* xScales, const void* bias, void* y, uint32_t biasType, uint32_t yType, uint32_t m, uint32_t xScaleRow,          \
        uint32_t* workspace) {                                                                                                      \
        const lowbit::W4a8Product p = {xScales, bias, y, biasType, yType, m, xScaleRow};                                            \
        lowbit::w4a8_mma<lowbit::T, TOKENS, BANDS, PARTS, HALVES>(w, shape, x, p, workspace);                                        \
    }
// The tiles; what each is good for: io/lowbit/cuda/kernels/choice.txt.
#define W4A8_MMA_TILES(name, T)             \
    W4A8_MMA(name##_8, T, 8, 1, 4, 1)       \
    W4A8_MMA(name##_32, T, 32, 1, 2, 1)     \
    W4A8_MMA(name##_128, T, 128, 2, 1, 2)
