// architectures: 90a
// y = x·Wᵀ (+ bias, + y) for few rows of x (tokens): 4-bit weights, 16-bit activations, m16n8k16 with W as the A operand.
//
// The weights are the bytes that cost time: each is read once, and nothing waits between the memory and the warp that
// multiplies it. A warp owns a ring of records in shared memory, fills it with bulk copies, and takes the records of one
// band of 64 rows in turn; no other warp has a part in that.
//
//   cluster: `split` blocks share the bands of a block and cut K     block: 4 warps = `bands` bands × (4 / bands) parts of K
//
//   band 0 │ warp 0 │ warp 1 │ warp 2 │ warp 3 │ warp 0 │ …      one box: a record, 64 rows × 128 columns
//   band 1 │ warp 4 │ warp 5 │ warp 6 │ warp 7 │ warp 4 │ …
//
// Weights do not depend on the kernel before this one, so the rings are filled before the wait for it; x comes after.
// (code − zero) or the table's value times x is summed over a group in f32, then scaled in f32; MXFP4 and NVFP4 (no TABLE, and a MODE of
// bytes) are scaled before, where that is exact. The sums of a band are
// added over its warps and then over the cluster's blocks, both in their order: the order of every sum is fixed.
#include "w4.cuh"

namespace lowbit {

constexpr int DECODE_WARPS = 4, PITCH = BAND + 4;  // partial sums lie [token][row]; the pitch spreads them over the banks

struct DecodeShape {
    uint32_t bands;   // of a block: 1, 2 or 4
    uint32_t split;   // blocks of a cluster
    uint32_t stages;  // of a ring, at least 2
    uint32_t spans;   // records along K for a block
};

__device__ __forceinline__ uint32_t round_up(uint32_t v, uint32_t to) {
    return (v + to - 1) / to * to;
}

template <class T, int TILES, bool TABLE, ScaleMode MODE, bool FINE>
__device__ __forceinline__ void decode(const Matrix& matrix, const DecodeShape& shape, const uint16_t* x, void* y, uint32_t yType, const void* bias,
                                       uint32_t biasType, int64_t m) {
    const W4 w(matrix);
    constexpr bool E2M1 = !TABLE && (MODE == SCALE_E8M0 || MODE == SCALE_E4M3), SCALED = E2M1 && E2M1_SCALED<T, MODE>;
    constexpr int TOKENS = 8 * TILES, TOGETHER = TILES == 1 ? 4 : 2;  // tiles of 16 rows unpacked side by side: as registers allow
    extern __shared__ __align__(128) uint8_t shared[];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const int parts = DECODE_WARPS / shape.bands;
    const int band = warp / parts, part = warp % parts;
    const uint32_t rank = blockIdx.x % shape.split;
    const int64_t firstBand = int64_t(blockIdx.x / shape.split) * shape.bands;
    const int64_t bands = (w.n + BAND - 1) / BAND;
    const int64_t m0 = int64_t(blockIdx.y) * TOKENS;
    const int rows = int(m - m0 < TOKENS ? m - m0 : TOKENS);

    // Shared memory: table │ nested map │ rings │ x │ barriers │ sums of the cluster
    const uint32_t ringBytes = shape.stages * w.recordBytes;
    const uint32_t xPitch = (shape.spans * SPAN + 8) * 2;
    float* const map = reinterpret_cast<float*>(shared + (TABLE ? TABLE_BYTES : 0));
    uint8_t* const rings = shared + (TABLE ? TABLE_BYTES : 0) + (MODE == SCALE_NESTED ? 1024 : 0);
    uint8_t* const ring = rings + warp * ringBytes;
    uint8_t* const xs = rings + DECODE_WARPS * ringBytes;
    const uint32_t gathered = shared_address(xs) + round_up(rows * xPitch, 16);
    const uint32_t xFull = gathered + 8, full = gathered + 16 + warp * shape.stages * 8;
    float* const others = reinterpret_cast<float*>(xs + round_up(rows * xPitch, 16) + 16 + DECODE_WARPS * shape.stages * 8);
    const uint32_t sums = shape.bands * BAND * rows;

    const uint32_t firstSpan = rank * shape.spans;
    const uint32_t lastSpan = firstSpan + shape.spans < w.spans ? firstSpan + shape.spans : w.spans;
    const int count = firstBand + band < bands && lastSpan > firstSpan + part ? (lastSpan - firstSpan - part + parts - 1) / parts : 0;
    const uint8_t* const records = w.records + ((firstBand + band) * w.spans + firstSpan + part) * w.recordBytes;

    if (lane == 0) {
        for (uint32_t s = 0; s < shape.stages; s++) {
            mbarrier_init(full + s * 8, 1);
        }
        if (warp == 0) {
            mbarrier_init(gathered, 1);
            mbarrier_init(xFull, 1);
        }
        fence_mbarrier_init();
        for (int i = 0; i < count && i < int(shape.stages); i++) {
            mbarrier_arrive_expect(full + i * 8, w.recordBytes);
            copy_bulk_evict_first(shared_address(ring + i * w.recordBytes), records + int64_t(i) * parts * w.recordBytes, w.recordBytes,
                                  full + i * 8);
        }
        if (warp == 0 && rank == 0 && shape.split > 1) {
            mbarrier_arrive_expect(gathered, (shape.split - 1) * sums * 4);
        }
    }
    __syncwarp();
    if (shape.split > 1) {
        cluster_arrive_relaxed();
    }
    griddepcontrol_launch_dependents();
    if (TABLE) {
        spread_table<T>(shared, w.codebook, warp, DECODE_WARPS, lane);
    }
    if (MODE == SCALE_NESTED) {
        for (int i = threadIdx.x; i < 256; i += DECODE_WARPS * 32) {
            map[i] = w.nestedMap[i];
        }
    }
    // x of this block's columns, zero beyond K.
    const int64_t k0 = int64_t(firstSpan) * SPAN;
    const int columns = shape.spans * SPAN, given = int(w.k - k0 < columns ? (w.k > k0 ? w.k - k0 : 0) : columns);
    for (int i = threadIdx.x; i < rows * (columns - given); i += DECODE_WARPS * 32) {
        *reinterpret_cast<uint16_t*>(xs + i / (columns - given) * xPitch + (given + i % (columns - given)) * 2) = 0;
    }
    const uint16_t* const from = x + m0 * w.k + k0;
    const bool even = w.k % 8 == 0 && reinterpret_cast<uintptr_t>(x) % 16 == 0 && given > 0;
    __syncthreads();  // what came before the wait is there: barriers, table, zeros
    griddepcontrol_wait();
    if (even) {
        if (threadIdx.x == 0) {
            mbarrier_arrive_expect(xFull, rows * given * 2);
            for (int r = 0; r < rows; r++) {
                copy_bulk(shared_address(xs + r * xPitch), from + r * w.k, given * 2, xFull);
            }
        }
        mbarrier_wait(xFull, 0);
    } else {
        for (int i = threadIdx.x; i < rows * given; i += DECODE_WARPS * 32) {
            const int r = i / given, c = i % given;
            *reinterpret_cast<uint16_t*>(xs + r * xPitch + c * 2) = from[r * w.k + c];
        }
        __syncthreads();
    }

    float acc[4][TILES][4] = {}, sum[4][TILES][4] = {};
    NestedLanes absmax;
    float own[4] = {};  // nested: of each tile the scale that this lane makes for the others
    // Steps of 16 columns: a group is 2^shift of them. Bit i of `ends`: a group ends with step i of a record.
    const int shift = w.groups == 8 ? 0 : w.groups == 4 ? 1 : w.groups == 2 ? 2 : 3;
    const uint32_t ends = w.groups == 8 ? 0xff : w.groups == 4 ? 0xaa : w.groups == 2 ? 0x88 : w.groups == 1 ? 0x80 : 0;
    // The tokens that a lane addresses for ldmatrix; those beyond the last are its copies, and their sums are not used.
    uint32_t xAt[TILES];
#pragma unroll
    for (int i = 0; i < TILES; i++) {
        const int token = i * 8 + lane % 8;
        xAt[i] = shared_address(xs) + (token < rows ? token : rows - 1) * xPitch + part * SPAN * 2 + lane / 8 * 16;
    }

    const auto scale = [&](const uint8_t* record, int group, int tile) {
        const int from = group % 2 * 16 + g * 2;
        const float2 s = MODE == SCALE_NESTED ? float2{__shfl_sync(0xffffffffu, own[tile], from), __shfl_sync(0xffffffffu, own[tile], from + 1)}
                                              : scale_pair<MODE>(w, record + CODE_BYTES, group * BAND + tile * 16 + g * 2, float2{}, map);
#pragma unroll
        for (int j = 0; j < TILES; j++) {
#pragma unroll
            for (int e = 0; e < 4; e++) {
                acc[tile][j][e] = __fmaf_rn(sum[tile][j][e], e < 2 ? s.x : s.y, acc[tile][j][e]);
                sum[tile][j][e] = 0.f;
            }
        }
    };
    const auto zeroPoints = [&](uint32_t (&zero)[2], const uint8_t* record, int group, int tile) {
        const uint32_t pair = *reinterpret_cast<const uint16_t*>(record + w.zeroOffset + group * BAND + tile * 16 + g * 2);
        zero[0] = minus_zero<T>(pair & 0xff);
        zero[1] = minus_zero<T>(pair >> 8);
    };

    uint32_t stage = 0, parity = 0;
#pragma unroll 1
    for (int i = 0; i < count; i++) {
        const uint8_t* const record = ring + stage * w.recordBytes;
        if (MODE == SCALE_NESTED) {
            absmax.move(w, (firstBand + band) * BAND, lane, int(firstSpan) + part + i * parts);
        }
        mbarrier_wait(full + stage * 8, parity);
        bool large = false;  // known to be the same in a warp
        if (SCALED && MODE == SCALE_E8M0) {
            const uint2 scales = reinterpret_cast<const uint2*>(record + CODE_BYTES)[lane];  // all of the record's
            large = any_large_e8m0(scales.x | scales.y);
        }
#pragma unroll 1
        for (int half = 0; half < 2; half++) {
            if (MODE == SCALE_NESTED) {  // of the one or two groups of this half
                const int group = w.groups == 4 ? half * 2 + lane / 16 : w.groups == 2 ? half : 0;
#pragma unroll
                for (int tile = 0; tile < 4; tile++) {
                    own[tile] = __fadd_rn(__fmul_rn(map[record[CODE_BYTES + group * BAND + tile * 16 + lane % 16]], absmax.value[tile]), w.nestedOffset);
                }
            }
#pragma unroll
            for (int first = 0; first < 4; first += TOGETHER) {
                uint4 codes[TOGETHER];
                uint32_t zero[TOGETHER][2];
#pragma unroll
                for (int i = 0; i < TOGETHER; i++) {
                    codes[i] = *reinterpret_cast<const uint4*>(record + half * 2048 + ((first + i) * 32 + lane) * 16);
                    zero[i][0] = zero[i][1] = minus_zero<T>(8);
                }
                if (!TABLE && !E2M1 && w.zeroOffset) {
#pragma unroll
                    for (int i = 0; i < TOGETHER; i++) {
                        zeroPoints(zero[i], record, half * 4 >> shift, first + i);
                    }
                }
                uint32_t factor[E2M1 ? TOGETHER : 1][2], made[E2M1 ? TOGETHER : 1], rest[E2M1 ? TOGETHER : 1];
                const auto scales = [&](int group, int tile) {
                    return *reinterpret_cast<const uint16_t*>(record + CODE_BYTES + group * BAND + tile * 16 + g * 2);
                };
                if (SCALED) {  // E8M0's of group t % 2 of this half, E4M3's of step t
#pragma unroll
                    for (int i = 0; i < TOGETHER; i++) {
                        const uint32_t pair = scales(MODE == SCALE_E8M0 ? half * 2 + t % 2 : half * 4 + t, first + i);
                        made[i] = MODE == SCALE_E8M0 ? e8m0_factors(pair) : e4m3_factors<T>(pair);
                        if (large) {
                            rest[i] = e8m0_rest(pair);
                        }
                    }
                }
                uint32_t b[TILES][4];
#pragma unroll
                for (int step = 0; step < 4; step++) {
                    if (step % 2 == 0) {
#pragma unroll
                        for (int j = 0; j < TILES; j++) {
                            ldmatrix_x4(b[j], xAt[j] + half * 128 + step * 32);
                        }
                    }
#pragma unroll
                    for (int i = 0; i < TOGETHER; i++) {
                        const uint32_t word = step == 0 ? codes[i].x : step == 1 ? codes[i].y : step == 2 ? codes[i].z : codes[i].w;
                        uint32_t a[4];
                        if (E2M1) {
                            if (!SCALED) {
                                factor[i][0] = factor[i][1] = T::E2M1_UNIT;
                            } else if (MODE == SCALE_E4M3 || step % 2 == 0) {
                                spread_factors(factor[i], made[i], (lane & 28) + (MODE == SCALE_E4M3 ? step : step / 2));
                            }
                            unpack_e2m1<T>(a, word, factor[i][0], factor[i][1]);
                            if (large) {
                                scale_rest<T>(a, rest[i], (lane & 28) + step / 2);
                            }
                        } else if (TABLE) {
                            unpack_table(a, word, shared, lane * 4);
                        } else {
                            unpack_int4<T>(a, word, zero[i]);
                        }
#pragma unroll
                        for (int j = 0; j < TILES; j++) {
                            T::mma(sum[first + i][j], a, b[j][step % 2 * 2], b[j][step % 2 * 2 + 1]);
                        }
                    }
                    if (FINE && !SCALED && (ends >> (half * 4 + step) & 1)) {
#pragma unroll
                        for (int i = 0; i < TOGETHER; i++) {
                            scale(record, (half * 4 + step) >> shift, first + i);
                            if (!TABLE && !E2M1 && step < 3 && w.zeroOffset) {
                                zeroPoints(zero[i], record, (half * 4 + step + 1) >> shift, first + i);
                            }
                        }
                    }
                }
            }
        }
        if (!FINE && w.groups) {
#pragma unroll
            for (int tile = 0; tile < 4; tile++) {
                scale(record, 0, tile);
            }
        }
#pragma unroll
        for (int j = 0; j < TILES; j++) {
            xAt[j] += parts * SPAN * 2;
        }
        __syncwarp();  // the record has been read
        if (lane == 0 && i + int(shape.stages) < count) {
            mbarrier_arrive_expect(full + stage * 8, w.recordBytes);
            copy_bulk_evict_first(shared_address(ring + stage * w.recordBytes), records + int64_t(i + shape.stages) * parts * w.recordBytes,
                                  w.recordBytes, full + stage * 8);
        }
        if (++stage == shape.stages) {
            stage = 0;
            parity ^= 1;
        }
    }

    // Sums of the warps, each in its own ring: all its records have been read.
    float* const mine = reinterpret_cast<float*>(ring);
#pragma unroll
    for (int tile = 0; tile < 4; tile++) {
#pragma unroll
        for (int j = 0; j < TILES; j++) {
#pragma unroll
            for (int e = 0; e < 4; e++) {
                mine[(j * 8 + 2 * t + e % 2) * PITCH + tile * 16 + g + e / 2 * 8] =
                    !SCALED && w.groups ? acc[tile][j][e] : E2M1 ? __fmul_rn(sum[tile][j][e], E2M1_SUMS<MODE>) : sum[tile][j][e];
            }
        }
    }
    __syncthreads();
    if (shape.split > 1) {
        cluster_wait();
    }
    const uint32_t leader = cluster_address(shared_address(others), 0), leaderBarrier = cluster_address(gathered, 0);
    const uint32_t type = yType & ~ADD;
    bool waited = false;
    for (uint32_t i = threadIdx.x; i < sums; i += DECODE_WARPS * 32) {
        const int row = i % BAND, b = i / BAND % shape.bands, token = i / BAND / shape.bands;
        const float* p = reinterpret_cast<const float*>(rings + b * parts * ringBytes) + token * PITCH + row;
        float v = *p;
        for (int j = 1; j < parts; j++) {
            v = __fadd_rn(v, *reinterpret_cast<const float*>(reinterpret_cast<const uint8_t*>(p) + j * ringBytes));
        }
        if (rank != 0) {
            store_cluster(leader + ((rank - 1) * sums + i) * 4, v, leaderBarrier);
            continue;
        }
        const int64_t n = (firstBand + b) * BAND + row, at = (m0 + token) * w.n + n;
        const float before = yType & ADD && n < w.n ? load(y, type, at) : 0.f;  // on its way while the other blocks' sums come
        if (shape.split > 1) {
            if (!waited) {
                mbarrier_wait(gathered, 0);
                waited = true;
            }
            for (uint32_t j = 1; j < shape.split; j++) {
                v = __fadd_rn(v, others[(j - 1) * sums + i]);
            }
        }
        if (n < w.n) {
            v = __fmul_rn(v, w.rowScales ? __fmul_rn(w.rowScales[n], w.matrixScale) : w.matrixScale);
            v = bias ? __fadd_rn(v, load(bias, biasType, n)) : v;
            store(y, type, at, yType & ADD ? __fadd_rn(before, v) : v);
        }
    }
}

}  // namespace lowbit

#define DECODE(suffix, T, TILES, TABLE, MODE, FINE)                                                                              \
    extern "C" __global__ void __launch_bounds__(32 * lowbit::DECODE_WARPS, 4) LOWBIT_NAME(ARCH, suffix)(                           \
        const __grid_constant__ lowbit::Matrix w, const __grid_constant__ lowbit::DecodeShape shape, const uint16_t* x, void* y,       \
        uint32_t yType, const void* bias, uint32_t biasType, int64_t m) {                                                        \
        lowbit::decode<T, TILES, TABLE, lowbit::MODE, FINE>(w, shape, x, y, yType, bias, biasType, m);                           \
    }
#define DECODE_SCHEMES(name, types, T, TILES)                                                  \
    DECODE(name##_int4_##types, T, TILES, false, SCALE_16, false)                              \
    DECODE(name##_int4_fine_##types, T, TILES, false, SCALE_16_F32, true)                      \
    DECODE(name##_table_f32_##types, T, TILES, true, SCALE_F32, true)                          \
    DECODE(name##_table_nested_##types, T, TILES, true, SCALE_NESTED, true)                    \
    DECODE(name##_mxfp4_##types, T, TILES, false, SCALE_E8M0, true)                            \
    DECODE(name##_nvfp4_##types, T, TILES, false, SCALE_E4M3, true)
DECODE_SCHEMES(w4decode8, bf16, lowbit::Bf16, 1)
DECODE_SCHEMES(w4decode8, f16, lowbit::Half, 1)
