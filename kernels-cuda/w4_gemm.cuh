// y = x·Wᵀ (+ bias, + y) with 4-bit weights and 16-bit activations, for many rows of x (tokens), on warp groups: m64nNk16 with W as
// the A operand, unpacked and scaled in registers, and x as the B operand in shared memory.
//
//   block: BANDS warp groups, each 64 rows of W (a band), and two producers; TOKENS rows of x; as many blocks as the GPU has
//          multiprocessors, each taking tile after tile, or cutting the K of the last ones (stream_k.cuh)
//   ring of x: units of 64 columns, swizzled by the copy engine │ ring of W: the records of a block's bands
//   cluster: CLUSTER blocks take tiles of neighbouring bands and the same tokens, and each loads its part of x for all
//
// The producers run ahead of the consumers over the ends of tiles, so that a tile begins with full rings. There are no
// registers for two sets of sums, so the scaled weight is rounded once to the type of x, where a scale has to be rounded to
// it first that too (ProductKernel.operandRounding says so). A tile's sums run over K in order; where K is cut, a piece's do, and the
// pieces' are added in order.
//
// GROUPS: scales of a row in a record, 1, 2 or 4, in 16 bits; 2 with a TABLE; 4 or 8 in bytes (MXFP4, NVFP4); 0: looked up for each 32
// columns. ZEROS: there may be zero points; with GROUPS 1 and none of them the scale has the type of x.
#pragma once
#include "arrive.cuh"
#include "stream_k.cuh"
#include "w4.cuh"

namespace lowbit {

struct GemmShape {
    uint32_t units;   // of 64 columns in the ring of x
    uint32_t stages;  // of the ring of W
};

template <class T, int TOKENS, int BANDS, int CLUSTER, bool TABLE, ScaleMode MODE, int GROUPS, bool ZEROS>
__device__ __forceinline__ void gemm(const Matrix& matrix, const GemmShape& shape, const void* xMap, void* y, uint32_t yType, const void* bias,
                                     uint32_t biasType, int64_t m, const CutShape& cut, void* workspace) {
    const W4 w(matrix);
    constexpr bool NESTED = (MODE & SCALE_NESTED) != 0, AHEAD = MODE == SCALE_NESTED, E2M1 = !TABLE && (MODE == SCALE_E8M0 || MODE == SCALE_E4M3);
    constexpr bool FOLDS = FOLDED<T, MODE, TABLE, ZEROS>;
    constexpr int CONSUMERS = BANDS * 128, UNIT_BYTES = TOKENS * 128, CHUNK = 64, PITCH = BAND + 4;
    extern __shared__ __align__(1024) uint8_t shared[];
    const int warp = __shfl_sync(0xffffffffu, threadIdx.x / 32, 0), lane = threadIdx.x % 32;
    const int64_t bands = (w.n + BAND - 1) / BAND;
    // Of a cluster; tiles of the same weights follow each other.
    const uint32_t rank = CLUSTER == 1 ? 0 : blockIdx.x % CLUSTER;
    const uint32_t tokenTiles = uint32_t((m + TOKENS - 1) / TOKENS), tiles = tokenTiles * uint32_t((bands + BANDS * CLUSTER - 1) / (BANDS * CLUSTER));
    const uint32_t worker = blockIdx.x / CLUSTER, workers = gridDim.x / CLUSTER;
    const auto firstBandOf = [&](uint32_t tile) { return (int64_t(tile / tokenTiles) * CLUSTER + rank) * BANDS; };

    // Shared memory: ring of x │ ring of W │ sums on their way to y, of each warp group │ table │ nested map │ barriers
    const uint32_t xRing = shared_address(shared), placeBytes = whole_lines(w.recordBytes), stageBytes = BANDS * placeBytes;
    uint8_t* const wRing = shared + shape.units * UNIT_BYTES;
    float* const sums = reinterpret_cast<float*>(wRing + shape.stages * stageBytes);
    uint8_t* const table = reinterpret_cast<uint8_t*>(sums + BANDS * CHUNK * PITCH);
    float* const map = reinterpret_cast<float*>(table + (TABLE ? TABLE_BYTES : 0));
    const uint32_t xFull = shared_address(map + (NESTED ? 256 : 0)), xEmpty = xFull + shape.units * 8, wFull = xEmpty + shape.units * 8,
                   wEmpty = wFull + shape.stages * 8;

    if (threadIdx.x == 0) {
        for (uint32_t i = 0; i < shape.units; i++) {
            mbarrier_init(xFull + i * 8, 1);
            mbarrier_init(xEmpty + i * 8, CLUSTER * BANDS * 4 * WARP_ARRIVALS);
        }
        for (uint32_t i = 0; i < shape.stages; i++) {
            mbarrier_init(wFull + i * 8, 1);
            mbarrier_init(wEmpty + i * 8, BANDS * 4 * WARP_ARRIVALS);
        }
        fence_mbarrier_init();
    }
    if (TABLE) {
        if (NESTED && w.nestedMap) {
            for (int i = threadIdx.x; i < 256; i += blockDim.x) {
                map[i] = w.nestedMap[i];
            }
        }
        spread_table<T>(table, w.codebook, warp, blockDim.x / 32, lane);
    }
    __syncthreads();
    if (CLUSTER > 1) {  // the barriers of all blocks are ready
        cluster_arrive_relaxed();
        cluster_wait();
    }
    griddepcontrol_launch_dependents();

    if (warp >= CONSUMERS / 32) {
        setmaxnreg_dec<40>();
        if (warp == CONSUMERS / 32 && lane == 0) {  // the producer of W, which waits for no kernel
            const uint64_t bandBytes = uint64_t(w.spans) * w.recordBytes;
            uint32_t stage = 0, parity = 1;
            Walk walk(cut, tiles, w.spans, worker, workers);
#pragma unroll 1
            while (walk.next()) {
                const int64_t firstBand = firstBandOf(walk.tile);
                const int last = int(bands - 1 - firstBand);  // bands beyond are its copies: their sums are not stored
                const uint8_t* from = w.records + (last > 0 ? firstBand : bands - 1) * bandBytes + uint64_t(walk.begin) * w.recordBytes;
#pragma unroll 1
                for (uint32_t i = walk.begin; i < walk.end; i++) {
                    const uint32_t filled = wFull + stage * 8, to = shared_address(wRing) + stage * stageBytes;
                    mbarrier_wait(wEmpty + stage * 8, parity);
                    mbarrier_arrive_expect(filled, BANDS * w.recordBytes);
                    const uint8_t* record = from;
#pragma unroll 1
                    for (int b = 0; b < BANDS; b++) {
                        copy_bulk_evict_first(to + b * placeBytes, record, w.recordBytes, filled);
                        record += b < last ? bandBytes : 0;
                    }
                    from += w.recordBytes;
                    if (++stage == shape.stages) {
                        stage = 0;
                        parity ^= 1;
                    }
                }
            }
        } else if (warp == CONSUMERS / 32 + 1 && lane == 0) {  // the producer of x
            prefetch_tensor_map(xMap);
            griddepcontrol_wait();
            uint32_t unit = 0, parity = 1;
            Walk walk(cut, tiles, w.spans, worker, workers);
#pragma unroll 1
            while (walk.next()) {
                const int m0 = int(walk.tile % tokenTiles) * TOKENS;
#pragma unroll 1
                for (int i = int(walk.begin) * 2; i < int(walk.end) * 2; i++) {
                    const uint32_t filled = xFull + unit * 8, to = xRing + unit * UNIT_BYTES;
                    mbarrier_wait(xEmpty + unit * 8, parity);
                    mbarrier_arrive_expect(filled, UNIT_BYTES);
                    if (CLUSTER == 1) {
                        copy_tensor_2d(to, xMap, i * 64, m0, filled);
                    } else {
                        copy_tensor_2d_multicast(to + rank * (UNIT_BYTES / CLUSTER), xMap, i * 64, m0 + rank * (TOKENS / CLUSTER), filled,
                                                 (1 << CLUSTER) - 1);
                    }
                    if (++unit == shape.units) {
                        unit = 0;
                        parity ^= 1;
                    }
                }
            }
        }
        __syncwarp();
        if (CLUSTER > 1) {
            cluster_arrive_relaxed();
            cluster_wait();
        }
        return;
    }

    setmaxnreg_inc<BANDS == 2 ? 232 : 152>();
    const int group = warp / 4, quarter = warp % 4, g = lane / 4, t = lane % 4;
    const int shift = w.groups == 8 ? 0 : w.groups == 4 ? 1 : w.groups == 2 ? 2 : 3;  // a group is 2^shift steps of 16 columns
    const int lanePair = quarter * 16 + g * 2;
    // Through shuffles, so that the compiler keeps them instead of making them anew for every record.
    const uint32_t codeAt = __shfl_sync(0xffffffffu, shared_address(wRing) + group * placeBytes + (quarter * 32 + lane) * 16, lane);
    const uint32_t lane4 = TABLE ? __shfl_sync(0xffffffffu, lane * 4, lane) : 0, mapAt = AHEAD ? __shfl_sync(0xffffffffu, shared_address(map), lane) : 0;
    const uint32_t ownAt = AHEAD ? __shfl_sync(0xffffffffu, codeAt - lane * 16 - quarter * 512 + CODE_BYTES + lane / 16 * BAND + quarter * 16 + lane % 16, lane) : 0;
    const uint32_t scaleAt = E2M1 ? __shfl_sync(0xffffffffu, codeAt - lane * 16 - quarter * 512 + CODE_BYTES + lanePair, lane) : 0;  // of two rows, in bytes
    float* const mine = sums + group * CHUNK * PITCH;
    const auto releaseX = [&](uint32_t unit) {
        if (CLUSTER == 1) {
            warp_arrive(xEmpty + unit * 8, lane);
        } else {
            warp_arrive_at<CLUSTER>(xEmpty + unit * 8, 0, lane);
        }
    };
    // Of y: rows that 16 bytes can go to at once, in 16 bits and to where nothing is added.
    const bool wide = w.n % 8 == 0 && reinterpret_cast<uintptr_t>(y) % 16 == 0, halves16 = wide && (yType == BF16 || yType == F16);
    const int piece = threadIdx.x % 128;
    const uint32_t matrixAt = (lane / 16 * 8 + lane % 8) * (BAND * 2) + ((quarter * 2 + lane / 8 % 2 ^ lane % 8) << 4);
    const uint32_t pieceAt = piece / 8 * (BAND * 2) + ((piece % 8 ^ piece / 8 % 8) << 4);
    uint32_t buffer = 0;
    griddepcontrol_wait();

    float acc[TOKENS / 2];
    uint32_t a[4][4];
    uint32_t stage = 0, wParity = 0, unit = 0, xParity = 0;
    Walk walk(cut, tiles, w.spans, worker, workers);
#pragma unroll 1
    while (walk.next()) {
        const int64_t n0 = (firstBandOf(walk.tile) + group) * BAND;
        NestedLane ahead;
        NestedAbsmax<1> absmax;
        int absmaxUntil = 0;
        if (AHEAD) {
            ahead.begin(w, n0 + quarter * 16, lane, int(walk.begin));
        }
        const bool seeded = walk.part() && walk.begin == 0 && walk.pieces().seeds;
        if (seeded) {
            seed_piece(acc, walk.pieces(), workspace, rank, CLUSTER, group, BANDS, 1 + group);
        }
#pragma unroll 1
        for (int i = int(walk.begin); i < int(walk.end); i++) {
            if (AHEAD) {
                ahead.move(w, i);
            } else if (NESTED && i >= absmaxUntil && w.scaleMode & SCALE_NESTED) {
                absmaxUntil = i + int(absmax.load(w, n0 + quarter * 16 + g, int64_t(i) * SPAN) / SPAN);
            }
            const uint8_t* const record = wRing + stage * stageBytes + group * placeBytes;
            mbarrier_wait(wFull + stage * 8, wParity);
            const uint4 codes[2] = {load_shared4(codeAt + stage * stageBytes), load_shared4(codeAt + stage * stageBytes + CODE_BYTES / 2)};
            uint32_t own = 0;  // AHEAD: the scale that this lane makes, with BF16 twice in that type
            if (AHEAD) {
                const float s = ahead.scale(w, ownAt + stage * stageBytes, mapAt);
                own = T::TYPE == BF16 ? T::pair(s, s) : __float_as_uint(s);
            }
            float2 scale = {1.f, 1.f};
            uint32_t low = 0, high = 0, zero[2] = {minus_zero<T>(8), minus_zero<T>(8)};
            constexpr int STEPS = GROUPS ? 8 / GROUPS : 2;  // that share a scale
            uint32_t addend[2] = {}, factor[2] = {}, pair = 0, made[2] = {};  // E2M1: what this lane makes, E8M0's factors of group t and their rest, E4M3's of steps 2t and 2t + 1
            bool large = false;
            if (E2M1 && MODE == SCALE_E8M0) {
                pair = load_shared_u16(scaleAt + stage * stageBytes + t * BAND);
                made[0] = e8m0_factors(pair);
                large = E2M1_SCALED<T, MODE> && any_large_e8m0(pair);
                if (large) {
                    made[1] = e8m0_rest(pair);
                }
            } else if (E2M1) {
#pragma unroll
                for (int k = 0; k < 2; k++) {
                    made[k] = e4m3_factors<T>(load_shared_u16(scaleAt + stage * stageBytes + (2 * t + k) * BAND));
                }
            }
            const auto begin = [&](int step) {
                if (E2M1) {
                    if (E2M1_SCALED<T, MODE>) {
                        spread_factors(factor, made[MODE == SCALE_E4M3 ? step % 2 : 0], (lane & 28) + step / 2);
                    } else {
                        const uint32_t both = __shfl_sync(0xffffffffu, pair, (lane & 28) + step / 2);
                        factor[0] = factor[1] = T::E2M1_UNIT;
                        scale = float2{decode_e8m0(both & 0xff), decode_e8m0(both >> 8)};
                    }
                    return;
                }
                if (AHEAD) {
                    low = __shfl_sync(0xffffffffu, own, step / STEPS * 16 + g * 2);
                    high = __shfl_sync(0xffffffffu, own, step / STEPS * 16 + g * 2 + 1);
                    scale = float2{__uint_as_float(low), __uint_as_float(high)};
                    return;
                }
                const int at = (GROUPS ? step / STEPS : step >> shift) * BAND + lanePair;
                if (GROUPS != 1 && (TABLE || GROUPS || w.groups)) {
                    scale = scale_pair<MODE>(w, record + CODE_BYTES, at, absmax.value[0], map);
                } else if (GROUPS == 1) {  // one scale for a row lies behind the records: nothing is read here
                    const float2 s = scale_pair<MODE>(w, record + (w.groups ? CODE_BYTES : 0), at, absmax.value[0], map);
                    scale = w.groups ? s : float2{1.f, 1.f};
                }
                if (FOLDS) {
                    fold_scale(factor, addend, scale);
                    return;
                }
                low = T::pair(scale.x, scale.x);
                high = T::pair(scale.y, scale.y);
                if (ZEROS) {
                    const uint32_t there = *reinterpret_cast<const uint16_t*>(record + w.zeroOffset + at);
                    const uint32_t both = w.zeroOffset ? there : 0x808;
                    zero[0] = minus_zero<T>(both & 0xff);
                    zero[1] = minus_zero<T>(both >> 8);
                }
            };
            if (GROUPS) {
                begin(0);
            }
#pragma unroll
            for (int half = 0; half < 2; half++) {
                mbarrier_wait(xFull + unit * 8, xParity);
                const uint64_t b = wgmma_descriptor(xRing + unit * UNIT_BYTES);
#pragma unroll
                for (int step = 0; step < 4; step++) {
                    if (half) {
                        wgmma_wait<3>();  // the step before the last three has let go of its registers
                    }
                    if (half && step == 3) {
                        releaseX(unit == 0 ? shape.units - 1 : unit - 1);  // the half before
                    }
                    if (!GROUPS && step % STEPS == 0) {  // codebooks: the other way round is slower
                        begin(half * 4 + step);
                    }
                    const uint4& c = codes[half];
                    const uint32_t word = step == 0 ? c.x : step == 1 ? c.y : step == 2 ? c.z : c.w;
                    if (E2M1) {
                        unpack_e2m1<T>(a[step], word, factor[0], factor[1]);
                        if (large) {
                            scale_rest<T>(a[step], made[1], (lane & 28) + half * 2 + step / 2);
                        }
                    } else if (FOLDS) {
                        unpack_folded(a[step], word, factor, addend);
                    } else if (TABLE) {
                        unpack_table(a[step], word, table, lane4);
                    } else {
                        unpack_int4<T>(a[step], word, zero);
                    }
#pragma unroll
                    for (int j = 0; j < 4 && !FOLDS && !(E2M1 && E2M1_SCALED<T, MODE>); j++) {
                        if (T::TYPE == BF16 || (GROUPS == 1 && !ZEROS)) {
                            a[step][j] = T::times(a[step][j], j % 2 ? high : low);
                        } else {  // the range of F16 is too small for scales of every kind
                            const float s = j % 2 ? scale.y : scale.x;
                            a[step][j] = T::pair(__fmul_rn(T::low(a[step][j]), s), __fmul_rn(T::high(a[step][j]), s));
                        }
                    }
                    wgmma_fence();
                    T::template wgmma<TOKENS>(acc, a[step], b + step * 2, half == 0 && step == 0 ? i > int(walk.begin) || seeded : 1);
                    wgmma_commit();
                    const int next = half * 4 + step + 1;
                    if (GROUPS && next < 8 && next % STEPS == 0) {
                        begin(next);
                    }
                }
                if (++unit == shape.units) {
                    unit = 0;
                    xParity ^= 1;
                }
            }
            warp_arrive(wEmpty + stage * 8, lane);
            wgmma_wait<0>();  // meanwhile the other groups' products are under way
            releaseX(unit == 0 ? shape.units - 1 : unit - 1);
            if (++stage == shape.stages) {
                stage = 0;
                wParity ^= 1;
            }
        }

        // Where K is cut, what of the tile this group is to store.
        uint32_t stored = ~0u;
        if (walk.part() && !seeded) {
            stored = join_pieces<TOKENS / 2, CHUNK / 2>(acc, walk.pieces(), cut.patience, workspace, rank, CLUSTER, group, BANDS,
                                                       reinterpret_cast<float4*>(mine), reinterpret_cast<uint32_t*>(mine + CHUNK * BAND), 1 + group);
        }

        // Each warp group stores its band, CHUNK tokens at a time, through shared memory: [token][row]. In 16 bits there is room for two
        // chunks there, and 16-byte pieces lie at their number XOR the token's.
        const int64_t m0 = int64_t(walk.tile % tokenTiles) * TOKENS;
        float rowScale[2], rowBias[2];
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const int64_t n = n0 + quarter * 16 + g + 8 * h;
            rowScale[h] = __fmul_rn(w.rowScales && n < w.n ? __fmul_rn(w.rowScales[n], w.matrixScale) : w.matrixScale, FOLDS ? 1.f / FOLDED_STEP : 1.f);
            rowBias[h] = bias && n < w.n ? load(bias, biasType, n) : 0.f;
        }
        each<(TOKENS + CHUNK - 1) / CHUNK>([&](auto chunk) {
            constexpr int first = decltype(chunk)::value * CHUNK;
            if (!(stored >> first / CHUNK & 1)) {
                return;
            }
            const auto sum = [&](int j) {
                const int at = first / 2 + j;
                if (at >= TOKENS / 2) {
                    return 0.f;
                }
                const float v = __fmul_rn(E2M1 ? __fmul_rn(acc[at], E2M1_SUMS<MODE>) : acc[at], rowScale[j / 2 % 2]);
                return bias ? __fadd_rn(v, rowBias[j / 2 % 2]) : v;
            };
            if (halves16) {
                const uint32_t to = shared_address(mine) + buffer * (CHUNK * BAND * 2);
                buffer ^= 1;
#pragma unroll
                for (int i = 0; i < CHUNK / 16; i++) {
                    uint32_t r[4];
#pragma unroll
                    for (int j = 0; j < 4; j++) {
                        r[j] = halves(sum(i * 8 + 2 * j), sum(i * 8 + 2 * j + 1), yType);
                    }
                    store_matrices_transposed(to + matrixAt + i * (16 * BAND * 2), r[0], r[1], r[2], r[3]);
                }
                named_barrier(1 + group, 128);
                uint16_t* const at = static_cast<uint16_t*>(y) + (m0 + first + piece / 8) * w.n + n0 + piece % 8 * 8;
                const int64_t left = m - (m0 + first + piece / 8);
                if (n0 + piece % 8 * 8 < w.n) {
#pragma unroll
                    for (int i = 0; i < CHUNK / 16; i++) {
                        if (i * 16 < left && first + i * 16 + piece / 8 < TOKENS) {
                            *reinterpret_cast<uint4*>(at + i * 16 * w.n) = load_shared4(to + pieceAt + i * (16 * BAND * 2));
                        }
                    }
                }
                return;
            }
#pragma unroll
            for (int j = 0; j < CHUNK / 2 && first / 2 + j < TOKENS / 2; j++) {
                mine[(j / 4 * 8 + 2 * t + j % 2) * PITCH + quarter * 16 + g + j / 2 % 2 * 8] = sum(j);
            }
            named_barrier(1 + group, 128);
#pragma unroll 1
            for (int i = piece; i < CHUNK * (BAND / 8); i += 128) {
                const int token = i / (BAND / 8), chunkRow = i % (BAND / 8) * 8;
                const int64_t n = n0 + chunkRow, at = m0 + first + token;
                if (n >= w.n || at >= m || first + token >= TOKENS) {
                    continue;
                }
                float v[8];
                *reinterpret_cast<float4*>(v) = *reinterpret_cast<const float4*>(mine + token * PITCH + chunkRow);
                *reinterpret_cast<float4*>(v + 4) = *reinterpret_cast<const float4*>(mine + token * PITCH + chunkRow + 4);
                if (wide) {
                    put_rows(y, yType, at * w.n + n, v);
                } else {
                    for (int e = 0; e < 8; e++) {
                        if (n + e < w.n) {
                            put(y, yType, at * w.n + n + e, v[e]);
                        }
                    }
                }
            }
            named_barrier(1 + group, 128);
        });
    }
    if (CLUSTER > 1) {  // nothing is sent to a block that has gone
        cluster_arrive_relaxed();
        cluster_wait();
    }
}

}  // namespace lowbit

#define GEMM(kind, suffix, T, TOKENS, BANDS, CLUSTER, TABLE, MODE, GROUPS, ZEROS)                                                               \
    extern "C" __global__ void __launch_bounds__(BANDS * 128 + 128, 1) LOWBIT_NAME(ARCH, w4gemm##TOKENS##x##BANDS##_##kind##_##suffix)(  \
        const __grid_constant__ lowbit::Matrix w, const __grid_constant__ lowbit::GemmShape shape,                                     \
        const __grid_constant__ lowbit::TensorMap xMap, void* y, uint32_t yType, const void* bias, uint32_t biasType, int64_t m,         \
        uint32_t whole, uint32_t patience, void* workspace) {                                                                           \
        lowbit::gemm<T, TOKENS, BANDS, CLUSTER, TABLE, lowbit::MODE, GROUPS, ZEROS>(w, shape, &xMap, y, yType, bias, biasType, m,        \
                                                                                   lowbit::CutShape{whole, patience}, workspace);         \
    }
#define GEMM_TYPES(kind, TOKENS, BANDS, CLUSTER, TABLE, MODE, GROUPS, ZEROS)           \
    GEMM(kind, bf16, lowbit::Bf16, TOKENS, BANDS, CLUSTER, TABLE, MODE, GROUPS, ZEROS) \
    GEMM(kind, f16, lowbit::Half, TOKENS, BANDS, CLUSTER, TABLE, MODE, GROUPS, ZEROS)
