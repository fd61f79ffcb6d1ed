// FP8 products on Hopper for few rows of x, where reading w is what takes the time: y = (x · wᵀ) with scales.
//
// The operands are swapped: rows of w are the rows of the tensor cores' tile (64 for each of WARPGROUPS consumers), rows of x
// its TILE_M columns, so that few rows of x waste little. A cluster of SPLIT·SHARE blocks makes SHARE tiles: SPLIT blocks each
// sum a part of K, then add their sums in the order of K, each for a part of the tile, through distributed shared memory.
// The SHARE blocks with the same part of K load x together.
//
// The weights do not depend on the kernels before this one: their first stages are loaded before waiting for those.
#pragma once
#include "fp8.cuh"

namespace lowbit {


// Shared memory: the stages, then what each block of a split receives of the sums of all of them, then scales and barriers.
template <int WARPGROUPS, int TILE_M, int STAGES, int SPLIT, Fp8Mode MODE>
struct FewShape {
    static constexpr int TILE_N = 64 * WARPGROUPS;
    static constexpr int W_BYTES = TILE_N * STEP_K, X_BYTES = TILE_M * STEP_K, STAGE_BYTES = W_BYTES + X_BYTES;
    static constexpr int ROWS = TILE_N / SPLIT;  // of w that a block of a split finishes
    static constexpr int PITCH = ROWS + 4;       // floats between rows of x in the sums: no bank conflicts
    static constexpr int SUMS = STAGES * STAGE_BYTES;
    static constexpr int SCALES = SUMS + SPLIT * TILE_M * PITCH * 4;
    // BLOCK: the scales of two chunks of steps, for each those of x, then that of w. Else the scales of x.
    static constexpr int CHUNK = 8, STEP_SCALES = TILE_M + 4;
    static constexpr int BARRIERS = SCALES + (MODE == BLOCK ? 2 * CHUNK * STEP_SCALES : TILE_M) * 4;
    static constexpr int BYTES = BARRIERS + (2 * STAGES + (MODE == BLOCK ? 4 : 0)) * 8;
    static_assert(BYTES <= 232448, "shared memory of a block");
};

template <Fp8Types T, int WARPGROUPS, int TILE_M, int STAGES, int SHARE, int SPLIT, Fp8Mode MODE>
__device__ __forceinline__ void fp8_few(const TensorMap& xMap, const TensorMap& wMap, const Fp8Product& p) {
    using S = FewShape<WARPGROUPS, TILE_M, STAGES, SPLIT, MODE>;
    constexpr int CLUSTER = SHARE * SPLIT, CONSUMERS = 128 * WARPGROUPS;
    extern __shared__ __align__(1024) uint8_t smem[];
    const uint32_t base = shared_address(smem);
    const uint32_t full = base + S::BARRIERS, empty = full + 8 * STAGES, scaled = empty + 8 * STAGES, used = scaled + 16;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const uint32_t rank = CLUSTER > 1 ? cluster_rank() : 0, share = rank % SHARE, split = rank / SHARE;
    const int32_t n0 = (blockIdx.x / CLUSTER * SHARE + share) * S::TILE_N, m0 = blockIdx.y * TILE_M;
    const uint32_t allSteps = (p.k + STEP_K - 1) / STEP_K;
    const uint32_t first = allSteps * split / SPLIT, steps = allSteps * (split + 1) / SPLIT - first;

    const auto load_w = [&](uint32_t s) {
        const uint32_t to = base + s % STAGES * S::STAGE_BYTES, bar = full + 8 * (s % STAGES);
        mbarrier_arrive_expect(bar, S::STAGE_BYTES);
        load_box(to, &wMap, (first + s) * STEP_K, n0, bar, EVICT_FIRST);
    };

    if (threadIdx.x == CONSUMERS) {
        prefetch_tensor_map(&xMap);
        prefetch_tensor_map(&wMap);
        for (int i = 0; i < STAGES; i++) {
            mbarrier_init(full + 8 * i, 1);
            mbarrier_init(empty + 8 * i, 4 * WARPGROUPS * SHARE);
        }
        if (MODE == BLOCK) {
            for (int i = 0; i < 2; i++) {
                mbarrier_init(scaled + 8 * i, 32);
                mbarrier_init(used + 8 * i, 4 * WARPGROUPS);
            }
        }
        fence_mbarrier_init();
        griddepcontrol_launch_dependents();
        for (uint32_t s = 0; s < min(steps, uint32_t(STAGES)); s++) {
            load_w(s);
        }
        // x may still be written by the kernels before this one, but the L2 cache is where all meet: the blocks fetch it together.
        constexpr uint32_t SHARES = 8;
        for (uint32_t s = blockIdx.x / CLUSTER % SHARES; s < steps; s += SHARES) {
            prefetch_box(&xMap, (first + s) * STEP_K, m0);
        }
    }
    __syncwarp();
    if (CLUSTER > 1) {
        cluster_arrive();
    }
    if (SHARE > 1) {
        cluster_wait();
    } else {
        __syncthreads();
    }

    if (warp >= 4 * WARPGROUPS) {
        if (MODE == BLOCK && warp > 4 * WARPGROUPS) {
            // The scales; loads of the consumers' own would have to be there before they could multiply.
            const float* w = p.wScales + uint64_t(min(uint32_t(n0), p.n - 1) / 128) * p.wScaleRow + uint64_t(first) * p.wScaleCol;
            griddepcontrol_wait();
            for (uint32_t s = 0; s < steps; s += S::CHUNK) {
                const uint32_t half = s / S::CHUNK & 1;
                if (s >= 2 * S::CHUNK) {
                    barrier_wait(used + 8 * half, s / S::CHUNK / 2 - 1 & 1);
                }
                const uint32_t to = base + S::SCALES + half * S::CHUNK * S::STEP_SCALES * 4, count = min(steps - s, uint32_t(S::CHUNK));
                for (uint32_t i = lane; i < count * TILE_M; i += 32) {
                    const uint32_t m = m0 + i % TILE_M;
                    if (m < p.m) {
                        copy_float(to + (i / TILE_M * S::STEP_SCALES + i % TILE_M) * 4,
                                   p.xScales + uint64_t(m) * p.xScaleRow + uint64_t(first + s + i / TILE_M) * p.xScaleCol);
                    }
                }
                if (lane < count) {
                    copy_float(to + (lane * S::STEP_SCALES + TILE_M) * 4, w + uint64_t(s + lane) * p.wScaleCol);
                }
                copies_arrive(scaled + 8 * half);
            }
        } else if (lane == 0) {
            griddepcontrol_wait();
            for (uint32_t s = 0; s < steps; s++) {
                const uint32_t stage = s % STAGES, x = base + stage * S::STAGE_BYTES + S::W_BYTES, bar = full + 8 * stage;
                if (s >= STAGES) {
                    barrier_wait(empty + 8 * stage, s / STAGES - 1 & 1);
                    load_w(s);
                }
                if (SHARE > 1) {
                    constexpr int PART = TILE_M / SHARE;
                    load_box_multicast(x + share * PART * STEP_K, &xMap, (first + s) * STEP_K, m0 + share * PART, bar,
                                       ((1 << SHARE) - 1) << (split * SHARE), EVICT_LAST);
                } else {
                    load_box(x, &xMap, (first + s) * STEP_K, m0, bar, EVICT_LAST);
                }
            }
        }
        __syncwarp();
        if (CLUSTER > 1) {
            if (SHARE == 1) {
                cluster_wait();
            }
            if (SPLIT > 1) {
                cluster_arrive();
                cluster_wait();
            }
        }
        return;
    }

    const int consumer = warp / 4, g = lane / 4, t = lane % 4;
    float* const scales = reinterpret_cast<float*>(smem + S::SCALES);
    // This thread finishes four rows of w, for every row of x that is its own.
    constexpr int VECTORS = S::ROWS / 4;
    const uint32_t col = threadIdx.x % VECTORS * 4, n = n0 + split * S::ROWS + col;
    float ws[4], bias[4];
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const uint32_t row = min(n + j, p.n - 1);
        ws[j] = MODE == BLOCK ? 1.f : __ldg(p.wScales + uint64_t(row) * p.wScaleRow);
        bias[j] = p.bias ? __ldg(p.bias + row) : 0.f;
    }
    griddepcontrol_wait();

    if (MODE != BLOCK && threadIdx.x < TILE_M) {
        scales[threadIdx.x] = p.xScales[uint64_t(min(m0 + threadIdx.x, p.m - 1)) * p.xScaleRow];
    }

    const auto release_stage = [&](uint32_t s) {
        const uint32_t bar = empty + 8 * (s % STAGES);
        if (SHARE == 1) {
            if (lane == 0) {
                barrier_arrive(bar);
            }
        } else if (lane < SHARE) {
            barrier_arrive_remote(bar, split * SHARE + lane);
        }
    };
    float sum[TILE_M / 2], part[TILE_M / 2];
#pragma unroll
    for (int i = 0; i < TILE_M / 2; i++) {
        sum[i] = 0.f;
        part[i] = 0.f;
    }
    for (uint32_t s = 0; s < steps; s++) {
        const uint32_t stage = s % STAGES, w = base + stage * S::STAGE_BYTES;
        barrier_wait(full + 8 * stage, s / STAGES & 1);
        const uint64_t a = descriptor(w + consumer * 64 * STEP_K), b = descriptor(w + S::W_BYTES);
        wgmma_fence();
#pragma unroll
        for (int i = 0; i < STEP_K / 32; i++) {
            if (MODE == FAST) {
                Wgmma<TILE_M>::template add<T>(sum, a + 2 * i, b + 2 * i, 1);
            } else {
                Wgmma<TILE_M>::template add<T>(part, a + 2 * i, b + 2 * i, i);
            }
        }
        wgmma_commit();
        if (MODE == FAST) {
            wgmma_wait<1>();
            if (s > 0 && s - 1 + STAGES < steps) {
                release_stage(s - 1);
            }
        } else {
            float scale[MODE == BLOCK ? TILE_M / 4 : 1];
            if (MODE == BLOCK) {
                const uint32_t chunk = s / S::CHUNK, from = base + S::SCALES + s % (2 * S::CHUNK) * S::STEP_SCALES * 4;
                if (s % S::CHUNK == 0) {
                    barrier_wait(scaled + 8 * (chunk & 1), chunk / 2 & 1);
                }
                const float w = load_shared(from + TILE_M * 4);
#pragma unroll
                for (int j = 0; j < TILE_M / 8; j++) {
                    float x, y;
                    asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];" : "=f"(x), "=f"(y) : "r"(from + (8 * j + 2 * t) * 4) : "memory");
                    scale[2 * j] = __fmul_rn(x, w);
                    scale[2 * j + 1] = __fmul_rn(y, w);
                }
                if (s % S::CHUNK == S::CHUNK - 1) {
                    __syncwarp();
                    if (lane == 0) {
                        barrier_arrive(used + 8 * (chunk & 1));
                    }
                }
            }
            wgmma_wait<0>();
            if (s + STAGES < steps) {
                release_stage(s);
            }
#pragma unroll
            for (int i = 0; i < TILE_M / 2; i++) {
                sum[i] = MODE == BLOCK ? __fmaf_rn(part[i], scale[i / 4 * 2 + i % 2], sum[i]) : __fadd_rn(part[i], sum[i]);
            }
        }
    }
    wgmma_wait<0>();

    // Every sum to the block of the split that finishes its row of w; the rows of a warp have one such block.
    const uint32_t row = consumer * 64 + warp % 4 * 16;
    uint32_t to = base + S::SUMS + ((split * TILE_M + 2 * t) * S::PITCH + row % S::ROWS + g) * 4;
    if (SPLIT > 1) {
        if (SHARE == 1) {
            cluster_wait();  // all blocks have started
        }
        to = remote_address(to, row / S::ROWS * SHARE + share);
    }
#pragma unroll
    for (int i = 0; i < TILE_M / 2; i++) {
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

    if (p.yType >= E4M3 && blockIdx.x + blockIdx.y + threadIdx.x == 0) {
        *p.yScaleTo = p.yScale;
    }
    const uint32_t rows = min(TILE_M, int(p.m) - m0);
    const bool whole = p.n % 4 == 0 && n < p.n;
    for (uint32_t r = threadIdx.x / VECTORS; r < rows; r += CONSUMERS / VECTORS) {
        float v[4] = {0.f, 0.f, 0.f, 0.f};
#pragma unroll
        for (int i = 0; i < SPLIT; i++) {
            const float4 q = *reinterpret_cast<const float4*>(smem + S::SUMS + ((i * TILE_M + r) * S::PITCH + col) * 4);
            v[0] = __fadd_rn(v[0], q.x);
            v[1] = __fadd_rn(v[1], q.y);
            v[2] = __fadd_rn(v[2], q.z);
            v[3] = __fadd_rn(v[3], q.w);
        }
        const float xs = MODE == BLOCK ? 1.f : scales[r];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            v[j] = __fadd_rn(MODE == BLOCK ? v[j] : __fmul_rn(v[j], __fmul_rn(xs, ws[j])), bias[j]);
        }
        const int64_t at = int64_t(m0 + r) * p.n + n;
        if (p.yType >= E4M3) {
            if (n < p.n) {  // what stands beyond it is beyond the row, within its pitch
                const float inverse = __fdiv_rn(1.f, p.yScale);
                *reinterpret_cast<uint32_t*>(static_cast<uint8_t*>(p.y) + int64_t(m0 + r) * p.yPitch + n) =
                    pack8(v[0], v[1], p.yType, inverse) | pack8(v[2], v[3], p.yType, inverse) << 16;
            }
        } else if (!whole) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
                if (n + j < p.n) {
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

#define FP8_FEW(name, T, WARPGROUPS, TILE_M, STAGES, SHARE, SPLIT, MODE)                                                            \
    extern "C" __global__ void __launch_bounds__(128 * WARPGROUPS + (lowbit::MODE == lowbit::BLOCK ? 64 : 32), 1) LOWBIT_NAME(ARCH, name)(                                 \
        const __grid_constant__ lowbit::TensorMap xMap, const __grid_constant__ lowbit::TensorMap wMap, const float* xScales,       \
        const float* wScales, const float* bias, void* y, uint32_t yType, uint32_t m, uint32_t n, uint32_t k, uint32_t xScaleRow,   \
        uint32_t xScaleCol, uint32_t wScaleRow, uint32_t wScaleCol, uint32_t yPitch, float yScale, float* yScaleTo) {                \
        const lowbit::Fp8Product p = {xScales,   wScales,   bias,      y,         yType,  m,      n,       k,                        \
                                      xScaleRow, xScaleCol, wScaleRow, wScaleCol, yPitch, yScale, yScaleTo};                        \
        lowbit::fp8_few<lowbit::T, WARPGROUPS, TILE_M, STAGES, SHARE, SPLIT, lowbit::MODE>(xMap, wMap, p);                          \
    }
