// INT4 weights times 8-bit activations on Hopper for few rows of x, where reading w is what takes the time: y = (x · wᵀ) with scales.
//
// Rows of w are the rows of the tensor cores' tile, rows of x its TOKENS columns. A block makes BANDS · 64 columns of y. Its warpgroups
// are WAYS for each band of w, which take the records of a band in turns: converting one record waits for much, so several are on
// their way at once. A cluster of SPLIT blocks cuts K. At the end each part's sums go to the block that finishes them, where they
// are added in the order of the parts.
//
// The weights do not depend on the kernels before this one: their first stages are loaded before waiting for those. Blocks beyond the
// matrix hold a place, so that each multiprocessor has one block of this kernel and room for one of the next.
#pragma once
#include "w4a8.cuh"

namespace lowbit {

// Shared memory: x of the stages, their records, what each block receives of the sums of all parts, then scales and barriers.
template <int TOKENS, int BANDS, int WAYS, int STAGES, int SPLIT, int GROUPS>
struct W4a8Few {
    static constexpr int X_BYTES = TOKENS * STEP_K, RECORD_BYTES = RECORD_SPACE<GROUPS>;
    static constexpr int RECORDS = STAGES * X_BYTES;
    static constexpr int ROWS = 64 * BANDS / SPLIT;  // of w that a block of a cluster finishes
    static constexpr int PITCH = ROWS + 4;           // floats between rows of x in the sums: no bank conflicts
    static constexpr int SUMS = RECORDS + STAGES * BANDS * RECORD_BYTES;
    static constexpr int SCALES = SUMS + SPLIT * WAYS * TOKENS * PITCH * 4;
    static constexpr int BARRIERS = SCALES + TOKENS * 4 + ROWS * 8;
    static constexpr int BYTES = BARRIERS + 16 * STAGES;
    static_assert(BYTES <= 232448, "shared memory of a block");
    // A stage must belong to one way for good: a warpgroup that waits for every second phase of a barrier alone would be let through
    // by the phase before the last while a copy is late.
    static_assert(STAGES % WAYS == 0, "stages are shared out among the ways");
};

template <class T, bool SYMMETRIC, int TOKENS, int BANDS, int WAYS, int STAGES, int SPLIT, int GROUPS>
__device__ __forceinline__ void w4a8_few(const Matrix& matrix, const TensorMap& xMap, const W4a8Product& p) {
    using S = W4a8Few<TOKENS, BANDS, WAYS, STAGES, SPLIT, GROUPS>;
    // Sums of groups that are made at once: as many as the registers hold.
    constexpr int PARTS = TOKENS == 16 ? GROUPS : 1;
    constexpr int CONSUMERS = 128 * BANDS * WAYS;
    const W4 w(matrix);
    extern __shared__ __align__(1024) uint8_t smem[];
    const uint32_t base = shared_address(smem);
    const uint32_t full = base + S::BARRIERS, empty = full + 8 * STAGES;
    const int warp = __shfl_sync(0xffffffffu, threadIdx.x / 32, 0), lane = threadIdx.x % 32;  // known to be the same in a warp
    const uint32_t split = SPLIT > 1 ? cluster_rank() : 0;
    const uint32_t n0 = blockIdx.x / SPLIT * 64 * BANDS, m0 = blockIdx.y * TOKENS;
    const uint32_t first = w.spans * split / SPLIT, steps = w.spans * (split + 1) / SPLIT - first;

    if (int64_t(n0) >= w.n) {  // holds a place
        if (threadIdx.x == 0) {
            griddepcontrol_launch_dependents();
        }
        griddepcontrol_wait();
        return;
    }

    const auto load_w = [&](uint32_t s) {
        const uint32_t stage = s % STAGES, bar = full + 8 * stage, bands = uint32_t(w.n + BAND - 1) / BAND;
        mbarrier_arrive_expect(bar, S::X_BYTES + BANDS * w.recordBytes);
#pragma unroll
        for (int b = 0; b < BANDS; b++) {
            const uint32_t band = min(n0 / BAND + b, bands - 1);  // beyond the last: its sums are not stored
            copy_bulk_evict_first(base + S::RECORDS + (stage * BANDS + b) * S::RECORD_BYTES,
                                  w.records + (uint64_t(band) * w.spans + first + s) * w.recordBytes, w.recordBytes, bar);
        }
    };

    if (threadIdx.x == CONSUMERS) {
        prefetch_tensor_map(&xMap);
        for (int i = 0; i < STAGES; i++) {
            mbarrier_init(full + 8 * i, 1);
            mbarrier_init(empty + 8 * i, 4 * BANDS * WARP_ARRIVALS);
        }
        fence_mbarrier_init();
        griddepcontrol_launch_dependents();
        for (uint32_t s = 0; s < min(steps, uint32_t(STAGES)); s++) {
            load_w(s);
        }
    }
    __syncwarp();
    if (SPLIT > 1) {
        cluster_arrive();
    }
    __syncthreads();

    if (warp == CONSUMERS / 32) {
        if (lane == 0) {
            griddepcontrol_wait();
            for (uint32_t s = 0; s < steps; s++) {
                const uint32_t stage = s % STAGES;
                if (s >= STAGES) {
                    barrier_wait(empty + 8 * stage, s / STAGES - 1 & 1);
                    load_w(s);
                }
                load_box(base + stage * S::X_BYTES, &xMap, (first + s) * STEP_K, m0, full + 8 * stage, EVICT_LAST);
            }
        }
        __syncwarp();
        if (SPLIT > 1) {
            cluster_wait();
            cluster_arrive();
            cluster_wait();
        }
        return;
    }

    const int group = warp / 4, band = group % BANDS, way = group / BANDS, quarter = warp % 4, g = lane / 4, t = lane % 4;
    float* const scales = reinterpret_cast<float*>(smem + S::SCALES);
    float2* const rowEnds = reinterpret_cast<float2*>(scales + TOKENS);  // scale and bias of the rows of w that this block finishes
    if (threadIdx.x < S::ROWS) {
        const uint32_t row = min(n0 + split * S::ROWS + threadIdx.x, uint32_t(w.n) - 1);
        const float unit = SYMMETRIC ? T::SYMMETRIC_UNIT : T::UNIT;
        rowEnds[threadIdx.x] = float2{w.rowScales ? __fmul_rn(unit, __ldg(w.rowScales + row)) : unit, p.bias ? load(p.bias, p.biasType, row) : 0.f};
    }
    griddepcontrol_wait();
    for (int i = threadIdx.x; i < TOKENS; i += CONSUMERS) {
        scales[i] = p.xScales[uint64_t(min(m0 + i, p.m - 1)) * p.xScaleRow];
    }

    float sum[TOKENS / 2];
    typename T::Sum part[PARTS][TOKENS / 2];
#pragma unroll
    for (int i = 0; i < TOKENS / 2; i++) {
        sum[i] = 0.f;
#pragma unroll
        for (int q = 0; q < PARTS; q++) {
            part[q][i] = 0;
        }
    }
    uint32_t stage = way, parity = 0;
    for (uint32_t s = way; s < steps; s += WAYS) {
        const uint64_t b = descriptor(base + stage * S::X_BYTES);
        barrier_wait(full + 8 * stage, parity);
        const uint8_t* const at = smem + S::RECORDS + (stage * BANDS + band) * S::RECORD_BYTES;
        auto record = RecordPart<GROUPS>::template of<SYMMETRIC>(w, at, RecordOffsets(quarter, lane));
        uint32_t a[4][4];
        if (PARTS == GROUPS) {
            record.template convert<T, SYMMETRIC>(a);
        }
        const auto promote = [&](int q) {
            const float2 scale = scales_of(w, record.scales[q]);
#pragma unroll
            for (int i = 0; i < TOKENS / 2; i++) {
                sum[i] = T::add(part[q % PARTS][i], i % 4 < 2 ? scale.x : scale.y, sum[i]);
            }
        };
#pragma unroll
        for (int q = 0; q < GROUPS; q++) {
            if (PARTS < GROUPS) {
                if (q == GROUPS / 2) {
                    record = RecordPart<GROUPS>::template of<SYMMETRIC>(w, at, RecordOffsets(quarter, lane));  // so that a half at a time is in registers
                }
#pragma unroll
                for (int i = q * 4 / GROUPS; i < (q + 1) * 4 / GROUPS; i++) {
                    record.template convert<T, SYMMETRIC>(a[i], i);
                }
            }
            if (q % PARTS == 0) {
                wgmma_fence();
            }
#pragma unroll
            for (int i = 0; i < 4 / GROUPS; i++) {
                WgmmaA<TOKENS>::add(part[q % PARTS], a[q * (4 / GROUPS) + i], b + 2 * (q * (4 / GROUPS) + i), i);
            }
            if (q % PARTS == PARTS - 1) {
                wgmma_commit();
                wgmma_wait<0>();
                if (q == GROUPS - 1 && s + STAGES < steps) {
                    warp_arrive(empty + 8 * stage, lane);
                }
#pragma unroll
                for (int j = 0; j < PARTS; j++) {
                    promote(q + 1 - PARTS + j);
                }
            }
        }
        stage += WAYS;
        if (stage >= STAGES) {
            stage -= STAGES;
            parity ^= 1;
        }
    }

    // Every sum to the block that finishes its row of w; the rows of a warp have one such block.
    const uint32_t row = band * 64 + quarter * 16;
    uint32_t to = base + S::SUMS + (((split * WAYS + way) * TOKENS + 2 * t) * S::PITCH + row % S::ROWS + g) * 4;
    if (SPLIT > 1) {
        cluster_wait();  // all blocks have started
        to = remote_address(to, row / S::ROWS);
    }
#pragma unroll
    for (int i = 0; i < TOKENS / 2; i++) {
        const uint32_t at = to + ((i / 4 * 8 + i % 2) * S::PITCH + i / 2 % 2 * 8) * 4;
        if (SPLIT > 1) {
            store_remote(at, sum[i]);
        } else {
            *reinterpret_cast<float*>(smem + (at - base)) = sum[i];
        }
    }
    if (SPLIT > 1) {
        cluster_arrive();
        cluster_wait();
    } else {
        named_barrier(1, CONSUMERS);
    }

    // A thread finishes four rows of w, for every row of x that is its own.
    constexpr int VECTORS = S::ROWS / 4;
    const uint32_t col = threadIdx.x % VECTORS * 4, n = n0 + split * S::ROWS + col, rows = min(uint32_t(TOKENS), p.m - m0);
    const bool whole = w.n % 4 == 0 && n < w.n && reinterpret_cast<uintptr_t>(p.y) % 16 == 0;
    for (uint32_t r = threadIdx.x / VECTORS; r < rows; r += CONSUMERS / VECTORS) {
        float v[4] = {0.f, 0.f, 0.f, 0.f};
#pragma unroll
        for (int i = 0; i < SPLIT * WAYS; i++) {
            const float4 q = *reinterpret_cast<const float4*>(smem + S::SUMS + ((i * TOKENS + r) * S::PITCH + col) * 4);
            v[0] = __fadd_rn(v[0], q.x);
            v[1] = __fadd_rn(v[1], q.y);
            v[2] = __fadd_rn(v[2], q.z);
            v[3] = __fadd_rn(v[3], q.w);
        }
        const float xs = scales[r];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const float2 end = rowEnds[col + j];
            v[j] = __fadd_rn(__fmul_rn(v[j], __fmul_rn(xs, end.x)), end.y);
        }
        const int64_t at = int64_t(m0 + r) * w.n + n;
        if (!whole) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
                if (n + j < w.n) {
                    store(p.y, p.yType, at + j, v[j]);
                }
            }
        } else if (p.yType == F32) {
            *reinterpret_cast<float4*>(static_cast<float*>(p.y) + at) = make_float4(v[0], v[1], v[2], v[3]);
        } else {
            *reinterpret_cast<uint2*>(static_cast<uint16_t*>(p.y) + at) = make_uint2(pack16(v[0], v[1], p.yType), pack16(v[2], v[3], p.yType));
        }
    }
}

}  // namespace lowbit

#define W4A8_FEW(name, T, SYMMETRIC, TOKENS, BANDS, WAYS, STAGES, SPLIT, BLOCKS, GROUPS)                                            \
    extern "C" __global__ void __launch_bounds__(128 * BANDS * WAYS + 32, BLOCKS) LOWBIT_NAME(ARCH, name)(                          \
        const __grid_constant__ lowbit::Matrix w, const __grid_constant__ lowbit::TensorMap xMap, const float* xScales,             \
        const void* bias, void* y, uint32_t biasType, uint32_t yType, uint32_t m, uint32_t xScaleRow) {                             \
        const lowbit::W4a8Product p = {xScales, bias, y, biasType, yType, m, xScaleRow};                                            \
        lowbit::w4a8_few<lowbit::T, SYMMETRIC, TOKENS, BANDS, WAYS, STAGES, SPLIT, GROUPS>(w, xMap, p);                             \
    }
