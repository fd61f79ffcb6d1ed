// FP8 products on Hopper for many rows of x: y = (x · wᵀ) with scales.
//
// A persistent grid. Each block has a producer warpgroup, of which one thread loads boxes of x and w and one stores boxes of y,
// and two consumer warpgroups that multiply. Both operands of a tile lie in shared memory in STAGES stages of 128 along K,
// handed over by barriers: full (bytes have arrived) and empty (all consumers are done). Blocks of a cluster of CLUSTER lie
// along M and share w: each loads its part of w's rows into all of them.
//
//   tile of y: TILE_M = 128·MR rows × TILE_N columns; consumer c makes rows [64·MR·c, 64·MR·(c+1)), as MR blocks of 64
//
// The two consumers use one staging buffer in turns for their part of y, so one of them stores while the other multiplies,
// and they stay out of step from the first tile on.
#include "fp8.cuh"

namespace lowbit {

constexpr int STEP_K = 128;

template <int MR, int TILE_N, int STAGES, int CLUSTER>
struct GemmShape {
    static constexpr int TILE_M = 128 * MR;
    static constexpr int X_BYTES = TILE_M * STEP_K, W_BYTES = TILE_N * STEP_K, STAGE_BYTES = X_BYTES + W_BYTES;
    static constexpr int STAGING_BYTES = 64 * MR * TILE_N * 2;
    static constexpr int STAGING = STAGES * STAGE_BYTES;
    static constexpr int SCALES = STAGING + STAGING_BYTES;          // of w, for each consumer
    static constexpr int BARRIERS = SCALES + 2 * TILE_N * 4;
    static constexpr int BYTES = BARRIERS + (2 * STAGES + 4) * 8;
    static_assert(BYTES <= 232448, "shared memory of a block");
};

struct TileWalk {
    uint32_t unitsM, unitsN, group, unit, step;

    __device__ __forceinline__ bool more() const { return unit < unitsM * unitsN; }

    __device__ __forceinline__ void at(uint32_t& m, uint32_t& n) const {
        uint32_t band = unit / (group * unitsN), first = band * group;
        uint32_t rows = min(group, unitsM - first), i = unit - first * unitsN;
        n = i / rows;
        m = first + i - n * rows;
    }
};

template <Fp8Types T, int MR, int TILE_N, int STAGES, int CLUSTER, Fp8Mode MODE>
__device__ __forceinline__ void fp8_gemm(const TensorMap& xMap, const TensorMap& wMap, const TensorMap& yMap, const Fp8Product& p) {
    using S = GemmShape<MR, TILE_N, STAGES, CLUSTER>;
    extern __shared__ __align__(1024) uint8_t smem[];
    const uint32_t base = shared_address(smem);
    const uint32_t full = base + S::BARRIERS, empty = full + 8 * STAGES, staged = empty + 8 * STAGES, turn = staged + 16;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const uint32_t rank = CLUSTER > 1 ? cluster_rank() : 0;

    if (threadIdx.x == 0) {
        prefetch_map(&xMap);
        prefetch_map(&wMap);
        for (int i = 0; i < STAGES; i++) {
            barrier_init(full + 8 * i, 1);
            barrier_init(empty + 8 * i, 8 * CLUSTER);
        }
        for (int i = 0; i < 2; i++) {
            barrier_init(staged + 8 * i, 4);
            barrier_init(turn + 8 * i, 1);
        }
        barrier_init_done();
    }
    if (CLUSTER > 1) {
        cluster_sync();
    } else {
        __syncthreads();
    }

    TileWalk walk;
    walk.unitsM = (p.m + S::TILE_M * CLUSTER - 1) / (S::TILE_M * CLUSTER);
    walk.unitsN = (p.n + TILE_N - 1) / TILE_N;
    walk.group = p.raster;
    walk.unit = blockIdx.x / CLUSTER;
    walk.step = gridDim.x / CLUSTER;
    const uint32_t steps = (p.k + STEP_K - 1) / STEP_K;

    if (warp < 4) {
        registers_down<40>();
        if (warp == 0 && lane == 0) {
            wait_for_predecessors();
            uint32_t it = 0;
            for (; walk.more(); walk.unit += walk.step) {
                uint32_t um, un;
                walk.at(um, un);
                const int32_t m0 = (um * CLUSTER + rank) * S::TILE_M, n0 = un * TILE_N;
                for (uint32_t s = 0; s < steps; s++, it++) {
                    const uint32_t stage = it % STAGES, parity = it / STAGES & 1;
                    const uint32_t x = base + stage * S::STAGE_BYTES, w = x + S::X_BYTES, bar = full + 8 * stage;
                    if (CLUSTER > 1) {
                        barrier_wait_cluster(empty + 8 * stage, parity ^ 1);
                    } else {
                        barrier_wait(empty + 8 * stage, parity ^ 1);
                    }
                    barrier_expect(bar, S::STAGE_BYTES);
                    load_box(x, &xMap, s * STEP_K, m0, bar, EVICT_NORMAL);
                    if (CLUSTER > 1) {
                        constexpr int PART = TILE_N / CLUSTER;
                        load_box_multicast(w + rank * PART * STEP_K, &wMap, s * STEP_K, n0 + rank * PART, bar, (1 << CLUSTER) - 1,
                                           EVICT_NORMAL);
                    } else {
                        load_box(w, &wMap, s * STEP_K, n0, bar, EVICT_NORMAL);
                    }
                }
            }
            launch_dependents();
        } else if (warp == 1 && lane == 0 && p.copyOut) {
            uint32_t parity = 0;
            for (; walk.more(); walk.unit += walk.step, parity ^= 1) {
                uint32_t um, un;
                walk.at(um, un);
                const int32_t m0 = (um * CLUSTER + rank) * S::TILE_M, n0 = un * TILE_N;
                for (int c = 0; c < 2; c++) {
                    barrier_wait(staged + 8 * c, parity);
                    for (int mr = 0; mr < MR; mr++) {
                        for (int col = 0; col < TILE_N; col += 64) {
                            store_box(&yMap, n0 + col, m0 + (c * MR + mr) * 64, base + S::STAGING + (mr * TILE_N + col) * 128);
                        }
                    }
                    store_commit();
                    store_wait_read();
                    barrier_arrive(turn + 8 * (1 - c));
                }
            }
        }
    } else {
        registers_up<232>();
        const int consumer = warp / 4 - 1, row = warp % 4 * 16, g = lane / 4, t = lane % 4;
        const uint32_t staging = base + S::STAGING;
        float* const wScales = reinterpret_cast<float*>(smem + S::SCALES) + consumer * TILE_N;
        float sum[MR][TILE_N / 2];
        float part[TILE_N / 2];
#pragma unroll
        for (int i = 0; i < TILE_N / 2; i++) {
#pragma unroll
            for (int mr = 0; mr < MR; mr++) {
                sum[mr][i] = 0.f;
            }
            part[i] = 0.f;
        }
        wait_for_predecessors();
        uint32_t it = 0, tile = 0;
        for (; walk.more(); walk.unit += walk.step, tile ^= 1) {
            uint32_t um, un;
            walk.at(um, un);
            const uint32_t m0 = (um * CLUSTER + rank) * S::TILE_M + consumer * 64 * MR + row + g, n0 = un * TILE_N;

            if (MODE != BLOCK) {
                named_sync(1 + consumer, 128);  // the scales of the tile before have been read
                for (int i = threadIdx.x % 128; i < TILE_N; i += 128) {
                    const uint32_t n = min(n0 + i, p.n - 1);
                    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(shared_address(wScales + i)),
                                 "l"(p.wScales + uint64_t(n) * p.wScaleRow)
                                 : "memory");
                }
            }
            float xs[MR][2];
#pragma unroll
            for (int i = 0; i < 2 * MR; i++) {
                const uint32_t m = min(m0 + i / 2 * 64 + i % 2 * 8, p.m - 1);
                xs[i / 2][i % 2] = MODE == BLOCK ? 0.f : p.xScales[uint64_t(m) * p.xScaleRow];
            }

            if (MODE == FAST) {
                for (uint32_t s = 0; s < steps; s++, it++) {
                    const uint32_t stage = it % STAGES;
                    barrier_wait(full + 8 * stage, it / STAGES & 1);
                    const uint32_t x = base + stage * S::STAGE_BYTES;
                    const uint64_t a = descriptor(x + consumer * 64 * MR * STEP_K), b = descriptor(x + S::X_BYTES);
                    wgmma_fence();
#pragma unroll
                    for (int i = 0; i < STEP_K / 32; i++) {
#pragma unroll
                        for (int mr = 0; mr < MR; mr++) {
                            Wgmma<TILE_N>::template add<T>(sum[mr], a + 2 * i + 512 * mr, b + 2 * i, s | i);
                        }
                    }
                    wgmma_commit();
                    wgmma_wait<1>();
                    if (s > 0) {
                        release<CLUSTER>(empty + 8 * ((it - 1) % STAGES), lane);
                    }
                }
                wgmma_wait<0>();
                release<CLUSTER>(empty + 8 * ((it - 1) % STAGES), lane);
            } else {
#pragma unroll
                for (int i = 0; i < TILE_N / 2; i++) {
#pragma unroll
                    for (int mr = 0; mr < MR; mr++) {
                        sum[mr][i] = 0.f;
                    }
                }
                float next[MR][2], nextW = 0.f;
                if (MODE == BLOCK) {
#pragma unroll
                    for (int i = 0; i < 2 * MR; i++) {
                        next[i / 2][i % 2] = p.xScales[uint64_t(min(m0 + i / 2 * 64 + i % 2 * 8, p.m - 1)) * p.xScaleRow];
                    }
                    nextW = p.wScales[uint64_t(n0 / p.wGroupRows) * p.wScaleRow];
                }
                for (uint32_t s = 0; s < steps; s++, it++) {
                    const uint32_t stage = it % STAGES;
                    float scale[MR][2];
                    if (MODE == BLOCK) {
#pragma unroll
                        for (int i = 0; i < 2 * MR; i++) {
                            scale[i / 2][i % 2] = __fmul_rn(next[i / 2][i % 2], nextW);
                        }
                        const uint32_t ahead = min(s + 1, steps - 1);
#pragma unroll
                        for (int i = 0; i < 2 * MR; i++) {
                            next[i / 2][i % 2] = p.xScales[uint64_t(min(m0 + i / 2 * 64 + i % 2 * 8, p.m - 1)) * p.xScaleRow +
                                                           uint64_t(ahead) * p.xScaleCol];
                        }
                        nextW = p.wScales[uint64_t(n0 / p.wGroupRows) * p.wScaleRow + uint64_t(ahead * STEP_K / p.wGroupCols) * p.wScaleCol];
                    }
                    barrier_wait(full + 8 * stage, it / STAGES & 1);
                    const uint32_t x = base + stage * S::STAGE_BYTES;
                    const uint64_t a = descriptor(x + consumer * 64 * MR * STEP_K), b = descriptor(x + S::X_BYTES);
#pragma unroll
                    for (int mr = 0; mr < MR; mr++) {
                        wgmma_fence();
#pragma unroll
                        for (int i = 0; i < STEP_K / 32; i++) {
                            Wgmma<TILE_N>::template add<T>(part, a + 2 * i + 512 * mr, b + 2 * i, i);
                        }
                        wgmma_commit();
                        wgmma_wait<0>();
                        if (mr == MR - 1) {
                            release<CLUSTER>(empty + 8 * stage, lane);
                        }
#pragma unroll
                        for (int i = 0; i < TILE_N / 2; i++) {
                            sum[mr][i] = MODE == BLOCK ? __fmaf_rn(part[i], scale[mr][i / 2 % 2], sum[mr][i]) : __fadd_rn(part[i], sum[mr][i]);
                        }
                    }
                }
            }

            if (MODE != BLOCK) {
                asm volatile("cp.async.wait_all;" ::: "memory");
                named_sync(1 + consumer, 128);
            }
            if (p.copyOut) {
                barrier_wait(turn + 8 * consumer, tile ^ 1 ^ consumer);
            }
#pragma unroll
            for (int mr = 0; mr < MR; mr++) {
#pragma unroll
                for (int col = 0; col < TILE_N; col += 16) {
                    uint32_t r[4];
                    float v[2][4];
#pragma unroll
                    for (int h = 0; h < 2; h++) {
                        const int c = col + 8 * h + 2 * t;
                        const float* d = &sum[mr][(col + 8 * h) / 2];
                        float bias[2] = {0.f, 0.f};
                        if (p.bias) {
                            bias[0] = __ldg(p.bias + min(n0 + c, p.n - 1));
                            bias[1] = __ldg(p.bias + min(n0 + c + 1, p.n - 1));
                        }
                        float2 ws = MODE == BLOCK ? make_float2(1.f, 1.f) : *reinterpret_cast<const float2*>(wScales + c);
#pragma unroll
                        for (int i = 0; i < 4; i++) {
                            v[h][i] = MODE == BLOCK ? d[i] : __fmul_rn(d[i], __fmul_rn(xs[mr][i / 2], i % 2 ? ws.y : ws.x));
                            v[h][i] = __fadd_rn(v[h][i], bias[i % 2]);
                        }
                        if (!p.copyOut) {
#pragma unroll
                            for (int i = 0; i < 4; i++) {
                                const uint32_t m = m0 + mr * 64 + i / 2 * 8, n = n0 + c + i % 2;
                                if (m < p.m && n < p.n) {
                                    store(p.y, p.yType, int64_t(m) * p.n + n, v[h][i]);
                                }
                            }
                        }
                    }
                    if (p.copyOut) {
                        r[0] = pack16(v[0][0], v[0][1], p.yType);
                        r[1] = pack16(v[0][2], v[0][3], p.yType);
                        r[2] = pack16(v[1][0], v[1][1], p.yType);
                        r[3] = pack16(v[1][2], v[1][3], p.yType);
                        const uint32_t sr = row + lane % 16, piece = col % 64 / 8 + lane / 16;
                        store_matrices(staging + (mr * TILE_N + col / 64 * 64) * 128 + sr * 128 + ((piece ^ (sr & 7)) << 4), r);
                    }
                }
            }
            if (p.copyOut) {
                fence_async_shared();
                __syncwarp();
                if (lane == 0) {
                    barrier_arrive(staged + 8 * consumer);
                }
            }
        }
    }
    if (CLUSTER > 1) {
        __syncwarp();
        cluster_sync();  // nobody leaves while others may still write to its barriers
    }
}

}  // namespace lowbit

#define FP8_GEMM(name, T, MR, TILE_N, STAGES, CLUSTER, MODE)                                                                     \
    extern "C" __global__ void __launch_bounds__(384, 1) LOWBIT_NAME(ARCH, name)(                                                \
        const __grid_constant__ lowbit::TensorMap xMap, const __grid_constant__ lowbit::TensorMap wMap,                          \
        const __grid_constant__ lowbit::TensorMap yMap, const __grid_constant__ lowbit::Fp8Product p) {                          \
        lowbit::fp8_gemm<lowbit::T, MR, TILE_N, STAGES, CLUSTER, lowbit::MODE>(xMap, wMap, yMap, p);                             \
    }
#define LOWBIT_PASTE(a, b) a##_##b
#define LOWBIT_NAME(arch, name) LOWBIT_PASTE(arch, name)

#ifndef FP8_VARIANTS
FP8_GEMM(fast_128x256_s4_c2, E4M3_E4M3, 1, 256, 4, 2, FAST)
FP8_GEMM(fast_128x256_s4_c1, E4M3_E4M3, 1, 256, 4, 1, FAST)
FP8_GEMM(fast_256x128_s4_c2, E4M3_E4M3, 2, 128, 4, 2, FAST)
FP8_GEMM(fast_256x128_s4_c1, E4M3_E4M3, 2, 128, 4, 1, FAST)
FP8_GEMM(precise_256x128_s4_c2, E4M3_E4M3, 2, 128, 4, 2, PRECISE)
FP8_GEMM(block_256x128_s4_c2, E4M3_E4M3, 2, 128, 4, 2, BLOCK)
FP8_GEMM(precise_128x128_s4_c2, E4M3_E4M3, 1, 128, 4, 2, PRECISE)
FP8_GEMM(fast_128x192_s4_c2, E4M3_E4M3, 1, 192, 4, 2, FAST)
FP8_GEMM(precise_128x192_s4_c2, E4M3_E4M3, 1, 192, 4, 2, PRECISE)
FP8_GEMM(fast_128x128_s4_c2, E4M3_E4M3, 1, 128, 4, 2, FAST)
#endif
