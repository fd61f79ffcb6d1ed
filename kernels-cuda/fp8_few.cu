// FP8 products on Hopper for few rows of x, where reading w is what takes the time: y = (x · wᵀ) with scales.
//
// The operands are swapped: rows of w are the rows of the tensor cores' tile (64 for each of WARPGROUPS consumers), rows of x
// its TILE_M columns, so that few rows of x waste little. A cluster of SPLIT·SHARE blocks makes SHARE tiles: SPLIT blocks each
// sum a part of K, then add their sums in the order of K, each for a part of the tile, through distributed shared memory.
// The SHARE blocks with the same part of K load x together.
//
// The weights do not depend on the kernels before this one: their first stages are loaded before waiting for those.
#include "fp8.cuh"

namespace lowbit {

constexpr int STEP_K = 128;

template <int WARPGROUPS, int TILE_M, int STAGES>
struct FewShape {
    static constexpr int TILE_N = 64 * WARPGROUPS;
    static constexpr int W_BYTES = TILE_N * STEP_K, X_BYTES = TILE_M * STEP_K, STAGE_BYTES = W_BYTES + X_BYTES;
    static constexpr int PITCH = TILE_N + 4;  // floats between rows of the tile of y in shared memory: no bank conflicts
    static constexpr int BARRIERS = STAGES * STAGE_BYTES > TILE_M * PITCH * 4 ? STAGES * STAGE_BYTES : TILE_M * PITCH * 4;
    static constexpr int BYTES = BARRIERS + 2 * STAGES * 8;
    static_assert(BYTES <= 232448, "shared memory of a block");
};

template <Fp8Types T, int WARPGROUPS, int TILE_M, int STAGES, int SHARE, int SPLIT, Fp8Mode MODE>
__device__ __forceinline__ void fp8_few(const TensorMap& xMap, const TensorMap& wMap, const Fp8Product& p) {
    using S = FewShape<WARPGROUPS, TILE_M, STAGES>;
    constexpr int CLUSTER = SHARE * SPLIT, CONSUMERS = 128 * WARPGROUPS;
    extern __shared__ __align__(1024) uint8_t smem[];
    const uint32_t base = shared_address(smem);
    const uint32_t full = base + S::BARRIERS, empty = full + 8 * STAGES;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const uint32_t rank = CLUSTER > 1 ? cluster_rank() : 0, share = rank % SHARE, split = rank / SHARE;
    const int32_t n0 = (blockIdx.x / CLUSTER * SHARE + share) * S::TILE_N, m0 = blockIdx.y * TILE_M;
    const uint32_t allSteps = (p.k + STEP_K - 1) / STEP_K;
    const uint32_t first = allSteps * split / SPLIT, steps = allSteps * (split + 1) / SPLIT - first;

    const auto load_w = [&](uint32_t to, uint32_t s, uint32_t bar) {
        if (p.tiled) {
#pragma unroll
            for (int i = 0; i < WARPGROUPS; i++) {
                load_box(to + i * 8192, &wMap, 0, ((n0 / 64 + i) * allSteps + first + s) * 64, bar, EVICT_FIRST);
            }
        } else {
            load_box(to, &wMap, (first + s) * STEP_K, n0, bar, EVICT_FIRST);
        }
    };
    if (threadIdx.x == CONSUMERS) {
        prefetch_map(&xMap);
        prefetch_map(&wMap);
        for (int i = 0; i < STAGES; i++) {
            barrier_init(full + 8 * i, 1);
            barrier_init(empty + 8 * i, 4 * WARPGROUPS * SHARE);
        }
        barrier_init_done();
        launch_dependents();
        if (SHARE == 1) {
            for (uint32_t s = 0; s < min(steps, uint32_t(STAGES)); s++) {
                barrier_expect(full + 8 * s, S::STAGE_BYTES);
                load_w(base + s * S::STAGE_BYTES, s, full + 8 * s);
            }
        }
    }
    __syncwarp();
    if (SHARE > 1) {
        cluster_sync();
    } else {
        __syncthreads();
    }

    if (warp == 4 * WARPGROUPS) {
        if (lane == 0) {
            if (SHARE > 1) {
                for (uint32_t s = 0; s < min(steps, uint32_t(STAGES)); s++) {
                    barrier_expect(full + 8 * s, S::STAGE_BYTES);
                    load_w(base + s * S::STAGE_BYTES, s, full + 8 * s);
                }
            }
            for (uint32_t s = STAGES; s < min(steps, STAGES + p.prefetch); s++) {
                if (p.tiled) {
                    for (int i = 0; i < WARPGROUPS; i++) {
                        prefetch_box(&wMap, 0, ((n0 / 64 + i) * allSteps + first + s) * 64);
                    }
                } else {
                    prefetch_box(&wMap, (first + s) * STEP_K, n0);
                }
            }
            wait_for_predecessors();
            for (uint32_t s = 0; s < steps; s++) {
                const uint32_t stage = s % STAGES, w = base + stage * S::STAGE_BYTES, bar = full + 8 * stage;
                if (s >= STAGES) {
                    barrier_wait(empty + 8 * stage, s / STAGES - 1 & 1);
                    barrier_expect(bar, S::STAGE_BYTES);
                    load_w(w, s, bar);
                }
                if (SHARE > 1) {
                    constexpr int PART = TILE_M / SHARE;
                    load_box_multicast(w + S::W_BYTES + share * PART * STEP_K, &xMap, (first + s) * STEP_K, m0 + share * PART, bar,
                                       ((1 << SHARE) - 1) << (split * SHARE), EVICT_LAST);
                } else {
                    load_box(w + S::W_BYTES, &xMap, (first + s) * STEP_K, m0, bar, EVICT_LAST);
                }
            }
        }
        __syncwarp();
    } else {
        const int consumer = warp / 4, g = lane / 4, t = lane % 4;
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
        if (MODE == BLOCK) {
            wait_for_predecessors();
        }
        for (uint32_t s = 0; s < steps; s++) {
            const uint32_t stage = s % STAGES, w = base + stage * S::STAGE_BYTES;
            float scale[TILE_M / 4];
            if (MODE == BLOCK) {
                const uint32_t step = first + s;
                const float ws = p.wScales[uint64_t(n0 + consumer * 64) / p.wGroupRows * p.wScaleRow + uint64_t(step * STEP_K / p.wGroupCols) * p.wScaleCol];
#pragma unroll
                for (int i = 0; i < TILE_M / 4; i++) {
                    const uint32_t m = min(m0 + i / 2 * 8 + 2 * t + i % 2, p.m - 1);
                    scale[i] = __fmul_rn(p.xScales[uint64_t(m) * p.xScaleRow + uint64_t(step) * p.xScaleCol], ws);
                }
            }
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
        named_sync(1, CONSUMERS);
        float* const tile = reinterpret_cast<float*>(smem);
#pragma unroll
        for (int i = 0; i < TILE_M / 2; i++) {
            tile[(i / 4 * 8 + 2 * t + i % 2) * S::PITCH + consumer * 64 + warp % 4 * 16 + g + i / 2 % 2 * 8] = sum[i];
        }
    }
    if (CLUSTER > 1) {
        cluster_sync();
    } else {
        __syncthreads();
    }
    if (warp < 4 * WARPGROUPS) {
        wait_for_predecessors();
        constexpr int VECTORS = S::TILE_N / 4;
        const uint32_t all = min(TILE_M, int(p.m) - m0) * VECTORS, end = all * (split + 1) / SPLIT;
        const bool whole = p.n % 4 == 0;
        for (uint32_t i = all * split / SPLIT + threadIdx.x; i < end; i += CONSUMERS) {
            const uint32_t row = i / VECTORS, col = i % VECTORS * 4;
            const uint32_t from = base + (row * S::PITCH + col) * 4;
            float v[4] = {0.f, 0.f, 0.f, 0.f};
#pragma unroll
            for (int r = 0; r < SPLIT; r++) {
                const float4 q = CLUSTER > 1 ? load_remote(from, r * SHARE + share) : *reinterpret_cast<const float4*>(smem + (row * S::PITCH + col) * 4);
                v[0] = __fadd_rn(v[0], q.x);
                v[1] = __fadd_rn(v[1], q.y);
                v[2] = __fadd_rn(v[2], q.z);
                v[3] = __fadd_rn(v[3], q.w);
            }
            const uint32_t m = m0 + row, n = n0 + col;
            const float xs = MODE == BLOCK ? 1.f : p.xScales[uint64_t(m) * p.xScaleRow];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                if (n + j < p.n) {
                    if (MODE != BLOCK) {
                        v[j] = __fmul_rn(v[j], __fmul_rn(xs, p.wScales[uint64_t(n + j) * p.wScaleRow]));
                    }
                    if (p.bias) {
                        v[j] = __fadd_rn(v[j], __ldg(p.bias + n + j));
                    }
                }
            }
            const int64_t at = int64_t(m) * p.n + n;
            if (whole && n + 3 < p.n) {
                if (p.yType == F32) {
                    *reinterpret_cast<float4*>(static_cast<float*>(p.y) + at) = make_float4(v[0], v[1], v[2], v[3]);
                } else {
                    *reinterpret_cast<uint2*>(static_cast<uint16_t*>(p.y) + at) = make_uint2(pack16(v[0], v[1], p.yType), pack16(v[2], v[3], p.yType));
                }
            } else {
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    if (n + j < p.n) {
                        store(p.y, p.yType, at + j, v[j]);
                    }
                }
            }
        }
    }
    if (CLUSTER > 1) {
        __syncwarp();
        cluster_sync();  // nobody leaves while others read its sums
    }
}

}  // namespace lowbit

#define FP8_FEW(name, T, WARPGROUPS, TILE_M, STAGES, SHARE, SPLIT, MODE)                                                          \
    extern "C" __global__ void __launch_bounds__(128 * WARPGROUPS + 32, 1) LOWBIT_NAME(ARCH, name)(                              \
        const __grid_constant__ lowbit::TensorMap xMap, const __grid_constant__ lowbit::TensorMap wMap,                          \
        const __grid_constant__ lowbit::Fp8Product p) {                                                                          \
        lowbit::fp8_few<lowbit::T, WARPGROUPS, TILE_M, STAGES, SHARE, SPLIT, lowbit::MODE>(xMap, wMap, p);                       \
    }
#define LOWBIT_PASTE(a, b) a##_##b
#define LOWBIT_NAME(arch, name) LOWBIT_PASTE(arch, name)

FP8_FEW_VARIANTS
