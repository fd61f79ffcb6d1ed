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
#pragma once
#include "w4a8.cuh"

namespace lowbit {

template <int TOKENS, int STAGES, int GROUPS>
struct W4a8Shape {
    static constexpr int X_BYTES = TOKENS * STEP_K, RECORD_BYTES = RECORD_SPACE<GROUPS>;
    static constexpr int RECORDS = STAGES * X_BYTES;
    static constexpr int STAGING = RECORDS + (STAGES * 2 * RECORD_BYTES + 1023) / 1024 * 1024;
    static constexpr int STAGING_BYTES = TOKENS * 128;  // of a consumer: its 64 columns of y
    static constexpr int BARRIERS = STAGING + 2 * STAGING_BYTES;
    static constexpr int BYTES = BARRIERS + 16 * STAGES;
    static_assert(BYTES <= 232448, "shared memory of a block");
};

template <class T, bool SYMMETRIC, int TOKENS, int CHUNK, int STAGES, int GROUPS>
__device__ __forceinline__ void w4a8_gemm(const Matrix& matrix, const TensorMap& xMap, const TensorMap& yMap, const W4a8Product& p, bool copyOut,
                                          uint32_t raster) {
    using S = W4a8Shape<TOKENS, STAGES, GROUPS>;
    using Sum = typename T::Sum;
    constexpr int CHUNKS = TOKENS / CHUNK, PARTS = CHUNK > 80 ? 1 : 2;
    constexpr int PIECES = CHUNKS * GROUPS;  // of a step, each with a sum of its own: a group of columns of a chunk
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
            uint32_t unit = blockIdx.x, um, un;
            const uint32_t early = unit < units ? min(w.spans, uint32_t(STAGES)) : 0;
            place(unit, um, un);
            for (uint32_t s = 0; s < early; s++) {
                load_w(s, un, s);
            }
            griddepcontrol_wait();
            uint32_t it = 0;
            for (; unit < units; unit += gridDim.x) {
                place(unit, um, un);
                for (uint32_t s = 0; s < w.spans; s++, it++) {
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
    const float unitScale = SYMMETRIC ? T::SYMMETRIC_UNIT : T::UNIT;
    griddepcontrol_wait();
    uint32_t stage = 0, parity = 0;
    Sum part[PARTS][CHUNK / 2];
#pragma unroll
    for (int i = 0; i < PARTS * CHUNK / 2; i++) {
        part[i / (CHUNK / 2)][i % (CHUNK / 2)] = 0;
    }
    RecordPart<GROUPS> record = {};
    if (blockIdx.x < units) {
        barrier_wait(full, 0);
        record = RecordPart<GROUPS>::template of<SYMMETRIC>(w, smem + S::RECORDS + consumer * S::RECORD_BYTES, quarter, lane);
    }
    for (uint32_t unit = blockIdx.x; unit < units; unit += gridDim.x) {
        uint32_t um, un;
        place(unit, um, un);
        float sum[TOKENS / 2];
#pragma unroll
        for (int i = 0; i < TOKENS / 2; i++) {
            sum[i] = 0.f;
        }
        // Scales of x: two tokens a thread, for all of them in the end.
        float mine[(TOKENS + 127) / 128];
#pragma unroll
        for (int i = 0; i < (TOKENS + 127) / 128; i++) {
            mine[i] = __ldg(p.xScales + uint64_t(min(um * TOKENS + i * 128 + threadIdx.x % 128, p.m - 1)) * p.xScaleRow);
        }
        const bool another = unit + gridDim.x < units;
        for (uint32_t s = 0; s < w.spans; s++) {
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
                        const int at = i / 2 * 4 + h * 2 + i % 2;
                        float& v = sum[c * (CHUNK / 2) + at];
                        v = T::add(part[e % PARTS][at], h ? own.y : own.x, v);
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
                        if (s + 1 < w.spans || another) {
                            barrier_wait(full + 8 * stage, parity);
                            record = RecordPart<GROUPS>::template of<SYMMETRIC>(
                                w, smem + S::RECORDS + (stage * 2 + consumer) * S::RECORD_BYTES, quarter, lane);
                        }
                    }
                    promote(e);
                }
            }
        }

        const uint32_t n0 = un * 128 + consumer * 64 + quarter * 16, m0 = um * TOKENS;
        float rows[2], bias[2];
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const uint32_t n = min(n0 + g + 8 * h, uint32_t(w.n) - 1);
            rows[h] = w.rowScales ? __fmul_rn(unitScale, __ldg(w.rowScales + n)) : unitScale;
            bias[h] = p.bias ? load(p.bias, p.biasType, n) : 0.f;
        }
        if (copyOut && warp % 4 == 0 && lane == 0) {
            store_wait_read();  // the tile before has left
        }
        named_barrier(1 + consumer, 128);
        float* const scales = reinterpret_cast<float*>(smem + (staging - base));
#pragma unroll
        for (int i = 0; i < (TOKENS + 127) / 128; i++) {
            scales[i * 128 + threadIdx.x % 128] = mine[i];
        }
        named_barrier(1 + consumer, 128);
#pragma unroll
        for (int j = 0; j < TOKENS / 8; j++) {
            const float2 x = *reinterpret_cast<const float2*>(scales + 8 * j + 2 * t);
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float& v = sum[4 * j + i];
                v = __fadd_rn(__fmul_rn(v, __fmul_rn(i % 2 ? x.y : x.x, rows[i / 2])), bias[i / 2]);
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
                    r[i] = pack16(sum[at], sum[at + 1], p.yType);
                }
                const uint32_t token = 8 * (j + lane / 16) + lane % 8, piece = quarter * 2 + lane / 8 % 2;
                store_matrices_transposed(staging + token * 128 + ((piece ^ (token & 7)) << 4), r[0], r[1], r[2], r[3]);
            }
            fence_async_shared();
            named_barrier(1 + consumer, 128);
            if (warp % 4 == 0 && lane == 0) {
                store_box(&yMap, un * 128 + consumer * 64, m0, staging);
                store_commit();
            }
        } else {
            // Half of the tokens at a time through shared memory as [token][row].
            constexpr int HALF = TOKENS / 2;
#pragma unroll
            for (int pass = 0; pass < 2; pass++) {
#pragma unroll
                for (int i = 0; i < HALF / 2; i++) {
                    const int token = i / 4 * 8 + 2 * t + i % 2, row = quarter * 16 + g + i / 2 % 2 * 8;
                    scales[token * 64 + (row ^ t << 3)] = sum[pass * (HALF / 2) + i];
                }
                named_barrier(1 + consumer, 128);
#pragma unroll 1
                for (int i = threadIdx.x % 128; i < HALF * 64; i += 128) {
                    const uint32_t token = i / 64, row = i % 64, m = m0 + pass * HALF + token, n = un * 128 + consumer * 64 + row;
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

// CopyOut 1: y is written by the copy engine through its map: a 16-bit type, y and its rows on 16-byte boundaries. Raster: tiles of
// tokens that are walked together.
#define W4A8_GEMM(name, T, SYMMETRIC, TOKENS, CHUNK, STAGES, GROUPS)                                                                 \
    extern "C" __global__ void __launch_bounds__(384, 1) LOWBIT_NAME(ARCH, name)(                                                   \
        const __grid_constant__ lowbit::Matrix w, const __grid_constant__ lowbit::TensorMap xMap,                                   \
        const __grid_constant__ lowbit::TensorMap yMap, const float* xScales, const void* bias, void* y, uint32_t biasType,         \
        uint32_t yType, uint32_t m, uint32_t xScaleRow, uint32_t copyOut, uint32_t raster) {                                         \
        const lowbit::W4a8Product p = {xScales, bias, y, biasType, yType, m, xScaleRow};                                            \
        lowbit::w4a8_gemm<lowbit::T, SYMMETRIC, TOKENS, CHUNK, STAGES, GROUPS>(w, xMap, yMap, p, copyOut, raster);                   \
    }
