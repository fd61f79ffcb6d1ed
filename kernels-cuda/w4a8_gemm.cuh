// INT4 weights times 8-bit activations on Hopper for many rows of x: y = (x · wᵀ) with scales.
//
// Rows of w are the rows of the tensor cores' tile, rows of x ("tokens") its columns. A persistent grid; each block has a producer
// warpgroup, of which one thread loads boxes of x and records of w, and two consumer warpgroups of 64 rows of w each, which convert
// their record's codes to 8 bits in registers and multiply with the x that they share.
//
//   tile of y: TOKENS rows × 128 columns; a consumer's part is multiplied CHUNK tokens at a time
//
// The sum of 128 along K, one group of w, is a chunk's own sum in the tensor cores, then scaled and added to the tile's f32 sums. With
// chunks of 64 there are two such sums, and one is added while the next is made; with larger ones the other consumer keeps the
// tensor cores busy meanwhile.
//
// Tiles that would not fill a round of blocks may be cut along K (stream_k.cuh).
#pragma once
#include "stream_k.cuh"
#include "w4a8.cuh"

namespace lowbit {

template <int TOKENS, int STAGES, int GROUPS>
struct W4a8Shape {
    static constexpr int X_BYTES = TOKENS * STEP_K, RECORD_BYTES = RECORD_SPACE<GROUPS>;
    static constexpr int RECORDS = STAGES * X_BYTES;
    static constexpr int STAGING = RECORDS + (STAGES * 2 * RECORD_BYTES + 1023) / 1024 * 1024;
    static constexpr int STAGING_BYTES = TOKENS * 128;  // of a consumer: its 64 columns of y
    static constexpr int BARRIERS = STAGING + 2 * STAGING_BYTES;
    static constexpr int EXCHANGE = BARRIERS + 16 * STAGES;  // 8 bytes of each consumer
    static constexpr int BYTES = EXCHANGE + 16;
    static_assert(BYTES <= 232448, "shared memory of a block");
};

template <class T, bool SYMMETRIC, int TOKENS, int CHUNK, int STAGES, int GROUPS>
__device__ __forceinline__ void w4a8_gemm(const Matrix& matrix, const TensorMap& xMap, const TensorMap& yMap, const W4a8Product& p, bool copyOut,
                                          uint32_t raster, const CutShape& cut, void* workspace) {
    using S = W4a8Shape<TOKENS, STAGES, GROUPS>;
    using Sum = typename T::Sum;
    constexpr int CHUNKS = TOKENS / CHUNK, PARTS = CHUNK > 80 ? 1 : 2;
    constexpr int PIECES = CHUNKS * GROUPS;  // of a step, each with a sum of its own: a group of columns of a chunk
    // A tile is stored in parts, since those of one that is cut may be finished by several blocks.
    constexpr int SHARES = 4, SHARE = TOKENS / SHARES;
    static_assert(SHARE % 16 == 0, "two matrices of 8 tokens are stored at once");
    const W4 w(matrix);
    extern __shared__ __align__(1024) uint8_t smem[];
    const uint32_t base = shared_address(smem);
    const uint32_t full = base + S::BARRIERS, empty = full + 8 * STAGES;
    // Known to be the same in a warp, it goes to uniform registers with all that follows from it: 4 % faster where chunks are small, 3 %
    // slower where they are large.
    const int warp = PARTS == 2 ? __shfl_sync(0xffffffffu, threadIdx.x / 32, 0) : threadIdx.x / 32, lane = threadIdx.x % 32;

    if (threadIdx.x == 0) {
        prefetch_tensor_map(&xMap);
        for (int i = 0; i < STAGES; i++) {
            mbarrier_init(full + 8 * i, 1);
            mbarrier_init(empty + 8 * i, 8 * WARP_ARRIVALS);
        }
        fence_mbarrier_init();
    }
    __syncthreads();

    // Tiles in bands of `raster` tiles of tokens, along N in a band: what neighbours share stays in the L2 cache.
    const uint32_t unitsM = (p.m + TOKENS - 1) / TOKENS, unitsN = uint32_t(w.n + 127) / 128, units = unitsM * unitsN;
    const auto place = [&](uint32_t unit, uint32_t& m, uint32_t& n) {
        const uint32_t band = unit / (raster * unitsN), first = band * raster, rows = min(raster, unitsM - first), i = unit - first * unitsN;
        n = i / rows;
        m = first + i - n * rows;
    };

    if (warp < 4) {
        setmaxnreg_dec<24>();
        if (warp == 0 && lane == 0) {
            const uint32_t bands = uint32_t(w.n + BAND - 1) / BAND;
            const auto load_w = [&](uint32_t stage, uint32_t un, uint32_t s) {
                mbarrier_arrive_expect(full + 8 * stage, S::X_BYTES + 2 * w.recordBytes);
#pragma unroll
                for (int c = 0; c < 2; c++) {
                    const uint32_t band = min(un * 2 + c, bands - 1);  // beyond the last: its sums are not stored
                    copy_bulk(base + S::RECORDS + (stage * 2 + c) * S::RECORD_BYTES, w.records + (uint64_t(band) * w.spans + s) * w.recordBytes,
                              w.recordBytes, full + 8 * stage);
                }
            };
            Walk walk(cut, units, w.spans, blockIdx.x, gridDim.x);
            bool on = walk.next();
            uint32_t um, un;
            place(walk.tile, um, un);
            const uint32_t early = on ? min(walk.end - walk.begin, uint32_t(STAGES)) : 0;
            for (uint32_t s = 0; s < early; s++) {
                load_w(s, un, walk.begin + s);
            }
            griddepcontrol_wait();
            uint32_t it = 0;
            for (; on; on = walk.next()) {
                place(walk.tile, um, un);
                for (uint32_t s = walk.begin; s < walk.end; s++, it++) {
                    const uint32_t stage = it % STAGES;
                    if (it >= early) {
                        barrier_wait(empty + 8 * stage, (it / STAGES & 1) ^ 1);
                        load_w(stage, un, s);
                    }
                    load_box(base + stage * S::X_BYTES, &xMap, s * STEP_K, um * TOKENS, full + 8 * stage, EVICT_NORMAL);
                }
            }
            griddepcontrol_launch_dependents();
        }
        return;
    }

    setmaxnreg_inc<240>();
    const int consumer = warp / 4 - 1, quarter = warp % 4, g = lane / 4, t = lane % 4;
    const uint32_t staging = base + S::STAGING + consumer * S::STAGING_BYTES;
    // Through shuffles, so that the compiler keeps them: made anew they are some 30 cycles between a record's arrival and its use.
    RecordOffsets at(quarter, lane);
    at.codes = __shfl_sync(0xffffffffu, at.codes + consumer * S::RECORD_BYTES, lane);
    at.scales = __shfl_sync(0xffffffffu, at.scales + consumer * S::RECORD_BYTES, lane);
    at.zeros = SYMMETRIC ? 0 : __shfl_sync(0xffffffffu, at.zeros + consumer * S::RECORD_BYTES, lane);
    const float unitScale = SYMMETRIC ? T::SYMMETRIC_UNIT : T::UNIT;
    griddepcontrol_wait();
    uint32_t stage = 0, parity = 0;
    Sum part[PARTS][CHUNK / 2];
#pragma unroll
    for (int i = 0; i < PARTS * CHUNK / 2; i++) {
        part[i / (CHUNK / 2)][i % (CHUNK / 2)] = 0;
    }
    RecordPart<GROUPS> record = {};
    Walk walk(cut, units, w.spans, blockIdx.x, gridDim.x);
    bool on = walk.next();
    if (on) {
        barrier_wait(full, 0);
        record = RecordPart<GROUPS>::template of<SYMMETRIC>(w, smem + S::RECORDS, at);
    }
    for (; on; on = walk.next()) {
        uint32_t um, un;
        place(walk.tile, um, un);
        // In pairs, the second first: a tile that is cut moves its sums four at a time, so they lie from even registers on, as the tensor
        // cores' do; a multiply-add of two operands of the same parity reads them one after the other, which cost 3 %.
        float sum[TOKENS / 2];
#pragma unroll
        for (int i = 0; i < TOKENS / 2; i++) {
            sum[i] = 0.f;
        }
        // Scales of x, for the end: two tokens a thread.
        float xScale[(TOKENS + 127) / 128];
#pragma unroll
        for (int i = 0; i < (TOKENS + 127) / 128; i++) {
            xScale[i] = __ldg(p.xScales + uint64_t(min(um * TOKENS + i * 128 + threadIdx.x % 128, p.m - 1)) * p.xScaleRow);
        }
        const bool another = walk.more();
        for (uint32_t s = walk.begin; s < walk.end; s++) {
            const uint64_t b = descriptor(base + stage * S::X_BYTES);
            const uint32_t done = empty + 8 * stage;
            uint32_t a[4][4];
            record.template convert<T, SYMMETRIC>(a);
            // Of this record, whose place the next one takes before the last sums are added. Pairs as they are take half the registers.
            const float2 only = scales_of(w, record.scales[0]);
            uint32_t scale[GROUPS];
#pragma unroll
            for (int q = 0; q < GROUPS; q++) {
                scale[q] = record.scales[q];
            }
            const auto promote = [&](int e) {
                const int c = e / GROUPS;
                const float2 own = GROUPS == 1 ? only : scales_of(w, scale[e % GROUPS]);
#pragma unroll
                for (int h = 0; h < 2; h++) {  // row by row: neighbours share their scale
#pragma unroll
                    for (int i = 0; i < CHUNK / 4; i++) {
                        const int place = i / 2 * 4 + h * 2 + i % 2;
                        float& v = sum[c * (CHUNK / 2) + (place ^ 1)];
                        v = T::add(part[e % PARTS][place], h ? own.y : own.x, v);
                    }
                }
            };
#pragma unroll
            for (int e = 0; e < PIECES; e++) {
                const int c = e / GROUPS, first = e % GROUPS * (4 / GROUPS);
                wgmma_fence();
#pragma unroll
                for (int i = 0; i < 4 / GROUPS; i++) {
                    WgmmaA<CHUNK>::add(part[e % PARTS], a[first + i], b + c * (CHUNK * STEP_K / 16) + 2 * (first + i), i);
                }
                wgmma_commit();
                if (PARTS == 2 && e > 0) {
                    wgmma_wait<1>();
                    promote(e - 1);
                }
                if (PARTS == 1 || e == PIECES - 1) {
                    wgmma_wait<0>();
                    if (e == PIECES - 1) {
                        warp_arrive(done, lane);
                        if (++stage == STAGES) {
                            stage = 0;
                            parity ^= 1;
                        }
                        // The next record comes while the last sums are added.
                        if (s + 1 < walk.end || another) {
                            barrier_wait(full + 8 * stage, parity);
                            record = RecordPart<GROUPS>::template of<SYMMETRIC>(w, smem + S::RECORDS + stage * (2 * S::RECORD_BYTES), at);
                        }
                    }
                    promote(e);
                }
            }
        }

        if (copyOut && warp % 4 == 0 && lane == 0) {
            store_wait_read();  // the tile before has left
        }
        uint32_t shares = (1 << SHARES) - 1;  // of the tile, that this block finishes
        if (walk.part()) {
            shares = join_pieces<TOKENS / 2, SHARE / 2>(sum, walk.pieces(), cut.patience, workspace, 0, 1, consumer, 2,
                                                        reinterpret_cast<float4*>(smem + (staging - base)),
                                                        reinterpret_cast<uint32_t*>(smem + S::EXCHANGE) + 2 * consumer, 1 + consumer);
            shares = __shfl_sync(0xffffffffu, shares, 0);  // the same in a warp: what follows in the loop stays in uniform registers
            if (shares == 0) {
                continue;
            }
        }

        const uint32_t n0 = un * 128 + consumer * 64 + quarter * 16, m0 = um * TOKENS;
        float bias[2];
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const uint32_t n = min(n0 + g + 8 * h, uint32_t(w.n) - 1);
            bias[h] = p.bias ? load(p.bias, p.biasType, n) : 0.f;
            if (w.rowScales) {
                const float row = __ldg(w.rowScales + n);
#pragma unroll
                for (int i = 0; i < TOKENS / 4; i++) {
                    float& v = sum[i / 2 * 4 + 2 * h + i % 2];
                    v = __fmul_rn(v, row);
                }
            }
        }
        named_barrier(1 + consumer, 128);
        float* const scales = reinterpret_cast<float*>(smem + (staging - base));
#pragma unroll
        for (int i = 0; i < (TOKENS + 127) / 128; i++) {
            scales[i * 128 + threadIdx.x % 128] = __fmul_rn(xScale[i], unitScale);
        }
        named_barrier(1 + consumer, 128);
#pragma unroll
        for (int j = 0; j < TOKENS / 8; j++) {
            const float2 x = *reinterpret_cast<const float2*>(scales + 8 * j + 2 * t);
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float& v = sum[4 * j + (i ^ 1)];
                v = __fmaf_rn(v, i % 2 ? x.y : x.x, bias[i / 2]);
            }
        }
        named_barrier(1 + consumer, 128);
        if (copyOut) {
#pragma unroll
            for (int j = 0; j < TOKENS / 8; j += 2) {
                uint32_t r[4];
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    const int at = 4 * (j + i / 2) + 2 * (i % 2);
                    r[i] = pack16(sum[at + 1], sum[at], p.yType);
                }
                const uint32_t token = 8 * (j + lane / 16) + lane % 8, piece = quarter * 2 + lane / 8 % 2;
                store_matrices_transposed(staging + token * 128 + ((piece ^ (token & 7)) << 4), r[0], r[1], r[2], r[3]);
            }
            fence_async_shared();
            named_barrier(1 + consumer, 128);
            if (warp % 4 == 0 && lane == 0) {
#pragma unroll
                for (int share = 0; share < SHARES; share++) {
                    if (shares >> share & 1) {
                        store_box(&yMap, un * 128 + consumer * 64, m0 + share * SHARE, staging + share * SHARE * 128);
                    }
                }
                store_commit();
            }
        } else {
            // A share of the tokens at a time through shared memory as [token][row].
#pragma unroll
            for (int share = 0; share < SHARES; share++) {
                if (!(shares >> share & 1)) {
                    continue;
                }
#pragma unroll
                for (int i = 0; i < SHARE / 2; i++) {
                    const int token = i / 4 * 8 + 2 * t + i % 2, row = quarter * 16 + g + i / 2 % 2 * 8;
                    scales[token * 64 + (row ^ t << 3)] = sum[share * (SHARE / 2) + (i ^ 1)];
                }
                named_barrier(1 + consumer, 128);
#pragma unroll 1
                for (int i = threadIdx.x % 128; i < SHARE * 64; i += 128) {
                    const uint32_t token = i / 64, row = i % 64, m = m0 + share * SHARE + token, n = un * 128 + consumer * 64 + row;
                    if (m < p.m && n < w.n) {
                        store(p.y, p.yType, int64_t(m) * w.n + n, scales[token * 64 + (row ^ (token / 2 % 4) << 3)]);
                    }
                }
                named_barrier(1 + consumer, 128);
            }
        }
    }
    if (copyOut && warp % 4 == 0 && lane == 0) {
        store_wait_read();
    }
}

}  // namespace lowbit

// CopyOut 1: y is written by the copy engine through its map: a 16-bit type, y and its rows on 16-byte boundaries; a box is a quarter of
// a tile's tokens. Raster: tiles of tokens that are walked together.
#define W4A8_GEMM(name, T, SYMMETRIC, TOKENS, CHUNK, STAGES, GROUPS)                                                                 \
    extern "C" __global__ void __launch_bounds__(384, 1) LOWBIT_NAME(ARCH, name)(                                                   \
        const __grid_constant__ lowbit::Matrix w, const __grid_constant__ lowbit::TensorMap xMap,                                   \
        const __grid_constant__ lowbit::TensorMap yMap, const float* xScales, const void* bias, void* y, uint32_t biasType,         \
        uint32_t yType, uint32_t m, uint32_t xScaleRow, uint32_t copyOut, uint32_t raster, uint32_t whole,      \
        uint32_t patience, void* workspace) {                                         \
        const lowbit::W4a8Product p = {xScales, bias, y, biasType, yType, m, xScaleRow};                                            \
        lowbit::w4a8_gemm<lowbit::T, SYMMETRIC, TOKENS, CHUNK, STAGES, GROUPS>(w, xMap, yMap, p, copyOut, raster, lowbit::CutShape{whole, patience}, workspace);                   \
    }
