// y = x·Wᵀ (+ bias, + y) with 4-bit weights in records (records.cuh) and 16-bit activations, for GPUs without bulk copies and warp
// groups (Ada): m16n8k16 with W as the A operand, unpacked into registers, and x as the B operand; a ring of stages that
// cp.async fills.
//
//   block: one band of 64 rows of W × PARTS parts of K × SLICES slices of the band = 8 warps; TOKENS rows of x
//   stage: [part][x: TOKENS rows of 128 columns, pieces of 16 bytes permuted │ …][part][a record]
//
//             K: records of 128 columns, PARTS of them a stage                  PARTS = 4, SLICES = 2
//   rows  0…31 │ warp 0 │ warp 2 │ warp 4 │ warp 6 │ warp 0 │ …
//   rows 32…63 │ warp 1 │ warp 3 │ warp 5 │ warp 7 │ warp 1 │ …
//
// All warps fill a stage: the records of a band follow each other, so a stage's are one run of bytes. One barrier a stage says
// both that it is there and that the one before may be filled again. `split` blocks may cut K further; their sums go through
// the stream's workspace.
//
// (code − zero) or the table's value times x is summed over a group in f32, then scaled in f32. The sums are added over the
// parts and then over the blocks, both in their order, by whichever block comes last: the order of every sum is fixed.
//
// x: piece c (8 columns) of a row lies at c ^ (row % 8), so that the 8 rows of an ldmatrix fall into different banks. Codebooks:
// the table of pairs lies 8 times in shared memory; 4 lanes share a copy. 32 copies, one a bank, would cost a third of Ada's
// shared memory, and what they save is hidden behind the memory.
#pragma once
#include "w4.cuh"

namespace lowbit {

constexpr int MMA_WARPS = 8, MMA_THREADS = 32 * MMA_WARPS, TABLE_COPIES = 8, SMALL_TABLE_BYTES = 256 * TABLE_COPIES * 4;
constexpr int SUM_PITCH = BAND + 4;  // sums lie [part][token][row]; the pitch spreads them over the banks

struct MmaShape {
    uint32_t split;   // blocks that cut K
    uint32_t stages;  // 2, 3 or 4
    uint32_t spans;   // records along K for a block
};

constexpr int COUNTERS = 16384;  // Stream.COUNTER_BYTES

__device__ __forceinline__ void unpack_small_table(uint32_t (&a)[4], uint32_t word, const uint8_t* table) {
#pragma unroll
    for (int j = 0; j < 4; j++) {
        a[j] = *reinterpret_cast<const uint32_t*>(table + ((j == 0 ? word << 5 : word >> (8 * j - 5)) & 0x1fe0u));
    }
}

template <class T, int TOKENS, int PARTS, bool TABLE, ScaleMode MODE, bool FINE>
__device__ __forceinline__ void mma_records(const Matrix& matrix, const MmaShape& shape, const uint16_t* x, void* y, uint32_t yType,
                                            const void* bias, uint32_t biasType, int64_t m, uint32_t* workspace) {
    const W4 w(matrix);
    // A warp has TILES tiles of 16 rows of W and GROUPS8 groups of 8 tokens.
    constexpr int SLICES = MMA_WARPS / PARTS, TILES = 4 / SLICES, GROUPS8 = TOKENS / 8;
    constexpr int X_ROW = SPAN * 2, PIECES = X_ROW / 16, X_BYTES = TOKENS * X_ROW;
    constexpr bool NESTED = (MODE & SCALE_NESTED) != 0, E2M1 = !TABLE && MODE == SCALE_BYTE;
    extern __shared__ __align__(128) uint8_t shared[];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const int part = warp / SLICES, slice = warp % SLICES;
    // Blocks that read the same records are neighbours.
    const uint32_t rank = blockIdx.x % shape.split, tile = blockIdx.x / shape.split, tokenTiles = uint32_t((m + TOKENS - 1) / TOKENS);
    const int64_t band = tile / tokenTiles, m0 = int64_t(tile % tokenTiles) * TOKENS;
    const int rows = int(m - m0 < TOKENS ? m - m0 : TOKENS);

    // Shared memory: table │ nested map │ stages, and after them the sums of the parts
    const bool nested = NESTED && (MODE == SCALE_NESTED || w.scaleMode & SCALE_NESTED);
    uint8_t* const table = shared;
    float* const map = reinterpret_cast<float*>(shared + (TABLE ? SMALL_TABLE_BYTES : 0));
    uint8_t* const ring = shared + (TABLE ? SMALL_TABLE_BYTES : 0) + (NESTED ? 1024 : 0);
    const uint32_t stageBytes = PARTS * (X_BYTES + w.recordBytes);

    const uint32_t firstSpan = rank * shape.spans;
    const uint32_t lastSpan = firstSpan + shape.spans < w.spans ? firstSpan + shape.spans : w.spans;
    const int count = lastSpan > firstSpan ? lastSpan - firstSpan : 0, rounds = (count + PARTS - 1) / PARTS;
    const uint8_t* const records = w.records + (band * w.spans + firstSpan) * w.recordBytes;
    const uint16_t* const from = x + m0 * w.k;
    const bool even = w.k % 8 == 0 && reinterpret_cast<uintptr_t>(x) % 16 == 0;

    const auto fill = [&](int round, uint32_t stage) {
        const int present = count - round * PARTS < PARTS ? count - round * PARTS : PARTS;
        const uint32_t to = shared_address(ring) + stage * stageBytes;
        const uint8_t* const run = records + int64_t(round) * PARTS * w.recordBytes;
        for (uint32_t i = threadIdx.x * 16; i < present * w.recordBytes; i += MMA_THREADS * 16) {
            copy_async16(to + PARTS * X_BYTES + i, run + i, 16);
        }
        for (int i = threadIdx.x; i < present * TOKENS * PIECES; i += MMA_THREADS) {
            const int token = i / PIECES % TOKENS, piece = i % PIECES;
            const int64_t column = (int64_t(firstSpan) + round * PARTS + i / (PIECES * TOKENS)) * SPAN + piece * 8;
            const uint32_t at = i / PIECES * X_ROW + (piece ^ token % 8) * 16;
            if (even) {
                const bool there = token < rows && column < w.k;
                copy_async16(to + at, there ? from + token * w.k + column : x, there ? 16 : 0);
            } else {
                uint16_t* const p = reinterpret_cast<uint16_t*>(ring + stage * stageBytes + at);
#pragma unroll
                for (int e = 0; e < 8; e++) {
                    p[e] = token < rows && column + e < w.k ? from[token * w.k + column + e] : 0;
                }
            }
        }
    };

    for (uint32_t s = 0; s + 1 < shape.stages; s++) {
        if (int(s) < rounds) {
            fill(s, s);
        }
        copy_async_commit();
    }
    if (TABLE) {
        for (int i = threadIdx.x; i < 256 * TABLE_COPIES; i += MMA_THREADS) {
            const uint32_t pair = i / TABLE_COPIES;
            reinterpret_cast<uint32_t*>(table)[i] = T::pair(codebook_value(w.codebook, pair & 15), codebook_value(w.codebook, pair >> 4));
        }
    }
    if (nested) {
        for (int i = threadIdx.x; i < 256; i += MMA_THREADS) {
            map[i] = w.nestedMap[i];
        }
    }

    float acc[TILES][GROUPS8][4] = {}, sum[TILES][GROUPS8][4] = {};
    NestedAbsmax<TILES> absmax;
    const int firstTile = slice * TILES;
    const int64_t row = band * BAND + firstTile * 16 + g;
    // Steps of 16 columns: a group is 2^shift of them. Bit i of `ends`: a group ends with step i of a record.
    const int shift = w.groups == 8 ? 0 : w.groups == 4 ? 1 : w.groups == 2 ? 2 : 3;
    const uint32_t ends = w.groups == 8 ? 0xff : w.groups == 4 ? 0xaa : w.groups == 2 ? 0x88 : w.groups == 1 ? 0x80 : 0;
    const uint8_t* const ownTable = table + lane % TABLE_COPIES * 4;

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
            const uint32_t xAt = shared_address(ring) + stage * stageBytes + part * X_BYTES + lane % 8 * X_ROW;
            const uint8_t* const record = ring + stage * stageBytes + PARTS * X_BYTES + part * w.recordBytes;
            if (nested) {
                absmax.move(w, row, (int64_t(firstSpan) + i * PARTS + part) * SPAN);
            }
            const auto scale = [&](int group, int own) {
                const float2 s = scale_pair<MODE>(w, record + CODE_BYTES, group * BAND + (firstTile + own) * 16 + g * 2, absmax.value[own], map);
#pragma unroll
                for (int j = 0; j < GROUPS8; j++) {
#pragma unroll
                    for (int e = 0; e < 4; e++) {
                        acc[own][j][e] = __fmaf_rn(sum[own][j][e], e < 2 ? s.x : s.y, acc[own][j][e]);
                        sum[own][j][e] = 0.f;
                    }
                }
            };
            const auto zeroPoints = [&](uint32_t (&zero)[2], int group, int own) {
                const uint32_t pair = *reinterpret_cast<const uint16_t*>(record + w.zeroOffset + group * BAND + (firstTile + own) * 16 + g * 2);
                zero[0] = minus_zero<T>(pair & 0xff);
                zero[1] = minus_zero<T>(pair >> 8);
            };
#pragma unroll 1
            for (int half = 0; half < 2; half++) {
                uint4 codes[TILES];
                uint32_t zero[TILES][2];
#pragma unroll
                for (int own = 0; own < TILES; own++) {
                    codes[own] = *reinterpret_cast<const uint4*>(record + half * (CODE_BYTES / 2) + ((firstTile + own) * 32 + lane) * 16);
                    zero[own][0] = zero[own][1] = minus_zero<T>(8);
                    if (!TABLE && !E2M1 && w.zeroOffset) {
                        zeroPoints(zero[own], half * 4 >> shift, own);
                    }
                }
                uint32_t b[GROUPS8][4];
#pragma unroll
                for (int step = 0; step < 4; step++) {
                    if (step % 2 == 0) {
#pragma unroll
                        for (int j = 0; j < GROUPS8; j++) {
                            ldmatrix_x4(b[j], xAt + j * 8 * X_ROW + ((half * 8 + step * 2 + lane / 8) ^ lane % 8) * 16);
                        }
                    }
#pragma unroll
                    for (int own = 0; own < TILES; own++) {
                        const uint4& c = codes[own];
                        const uint32_t word = step == 0 ? c.x : step == 1 ? c.y : step == 2 ? c.z : c.w;
                        uint32_t a[4];
                        if (E2M1) {
                            unpack_e2m1<T>(a, word, T::E2M1_UNIT, T::E2M1_UNIT);
                        } else if (TABLE) {
                            unpack_small_table(a, word, ownTable);
                        } else {
                            unpack_int4<T>(a, word, zero[own]);
                        }
#pragma unroll
                        for (int j = 0; j < GROUPS8; j++) {
                            T::mma(sum[own][j], a, b[j][step % 2 * 2], b[j][step % 2 * 2 + 1]);
                        }
                    }
                    if (FINE && (ends >> (half * 4 + step) & 1)) {
#pragma unroll
                        for (int own = 0; own < TILES; own++) {
                            scale((half * 4 + step) >> shift, own);
                            if (!TABLE && !E2M1 && step < 3 && w.zeroOffset) {
                                zeroPoints(zero[own], (half * 4 + step + 1) >> shift, own);
                            }
                        }
                    }
                }
            }
            if (!FINE && w.groups) {
#pragma unroll
                for (int own = 0; own < TILES; own++) {
                    scale(0, own);
                }
            }
        }
        stage = stage + 1 == shape.stages ? 0 : stage + 1;
        free = free + 1 == shape.stages ? 0 : free + 1;
    }

    // Sums of the parts, where the stages were.
    copy_async_wait<0>();
    __syncthreads();
    float* const parts = reinterpret_cast<float*>(ring);
#pragma unroll
    for (int own = 0; own < TILES; own++) {
#pragma unroll
        for (int j = 0; j < GROUPS8; j++) {
#pragma unroll
            for (int e = 0; e < 4; e++) {
                parts[(part * TOKENS + j * 8 + 2 * t + e % 2) * SUM_PITCH + (firstTile + own) * 16 + g + e / 2 * 8] =
                    w.groups ? acc[own][j][e] : sum[own][j][e];
            }
        }
    }
    __syncthreads();
    const auto sumOfParts = [&](int i) {
        const float* const p = parts + i / BAND * SUM_PITCH + i % BAND;
        float v = *p;
#pragma unroll
        for (int j = 1; j < PARTS; j++) {
            v = __fadd_rn(v, p[j * TOKENS * SUM_PITCH]);
        }
        return v;
    };
    // The workspace: counters, one for each tile of y, 0 before and after │ sums [tile of y][block][token][row].
    constexpr int TILE = TOKENS * BAND;
    float* const others = reinterpret_cast<float*>(workspace + COUNTERS) + int64_t(tile) * shape.split * TILE;
    if (shape.split > 1) {
        float* const mine = others + rank * TILE;
        for (int i = threadIdx.x; i < rows * BAND; i += MMA_THREADS) {
            mine[i] = sumOfParts(i);
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
    for (int i = threadIdx.x; i < rows * BAND; i += MMA_THREADS) {
        const int64_t n = band * BAND + i % BAND;
        if (n < w.n) {
            float v;
            if (shape.split > 1) {
                v = __ldcg(others + i);
                for (uint32_t j = 1; j < shape.split; j++) {
                    v = __fadd_rn(v, __ldcg(others + j * TILE + i));
                }
            } else {
                v = sumOfParts(i);
            }
            v = __fmul_rn(v, w.rowScales ? __fmul_rn(w.rowScales[n], w.matrixScale) : w.matrixScale);
            put(y, yType, (m0 + i / BAND) * w.n + n, bias ? __fadd_rn(v, load(bias, biasType, n)) : v);
        }
    }
}

}  // namespace lowbit

#define W4MMA(kind, suffix, T, TOKENS, PARTS, TABLE, MODE, FINE)                                                                       \
    extern "C" __global__ void __launch_bounds__(lowbit::MMA_THREADS, 1) LOWBIT_NAME(ARCH, w4mma##TOKENS##_##kind##_##suffix)(            \
        const __grid_constant__ lowbit::Matrix w, const __grid_constant__ lowbit::MmaShape shape, const uint16_t* x, void* y,            \
        uint32_t yType, const void* bias, uint32_t biasType, int64_t m, uint32_t* workspace) {                                       \
        lowbit::mma_records<T, TOKENS, PARTS, TABLE, lowbit::MODE, FINE>(w, shape, x, y, yType, bias, biasType, m, workspace);          \
    }
#define W4MMA_TOKENS(kind, suffix, T, TABLE, MODE, FINE)    \
    W4MMA(kind, suffix, T, 8, 4, TABLE, MODE, FINE)         \
    W4MMA(kind, suffix, T, 16, 4, TABLE, MODE, FINE)        \
    W4MMA(kind, suffix, T, 32, 2, TABLE, MODE, FINE)        \
    W4MMA(kind, suffix, T, 64, 2, TABLE, MODE, FINE)
#define W4MMA_TYPES(kind, TABLE, MODE, FINE)                        \
    W4MMA_TOKENS(kind, bf16, lowbit::Bf16, TABLE, MODE, FINE)       \
    W4MMA_TOKENS(kind, f16, lowbit::Half, TABLE, MODE, FINE)
