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
#pragma once
#include "fp8.cuh"

namespace lowbit {


template <int MR, int TILE_N, int STAGES, Fp8Mode MODE>
struct GemmShape {
    static constexpr int TILE_M = 128 * MR;
    static constexpr int X_BYTES = TILE_M * STEP_K, W_BYTES = TILE_N * STEP_K, STAGE_BYTES = X_BYTES + W_BYTES;
    static constexpr int PANELS = (TILE_N + 63) / 64;  // of 64 columns; the last one overlaps its neighbour where 64 does not divide TILE_N
    static constexpr int STAGING_BYTES = MR * PANELS * 8192;
    static constexpr int STAGING = STAGES * STAGE_BYTES;
    static constexpr int BAND = TILE_N % 128 == 0 ? 128 : 64, BANDS = (TILE_N + BAND - 1) / BAND;  // columns with one scale in BLOCK mode
    // BLOCK: scale of x times scale of w, for each stage, band and row of x. Else the scales of w, for each consumer.
    static constexpr int SCALES = STAGING + STAGING_BYTES;
    static constexpr int BARRIERS = SCALES + (MODE == BLOCK ? STAGES * BANDS * TILE_M : 2 * TILE_N) * 4;
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

// The sums become values of y: scaled (but in BLOCK mode) and with the bias added.
template <int MR, int TILE_N, Fp8Mode MODE>
__device__ __forceinline__ void scaled(float (&sum)[MR][TILE_N / 2], const float (&xs)[MR][2], const float* wScales, const Fp8Product& p,
                                       uint32_t n0, int t) {
#pragma unroll
    for (int j = 0; j < TILE_N / 8; j++) {
        const int c = j * 8 + 2 * t;
        const float2 ws = MODE == BLOCK ? make_float2(1.f, 1.f) : *reinterpret_cast<const float2*>(wScales + c);
        const float bias[2] = {p.bias && n0 + c < p.n ? __ldg(p.bias + n0 + c) : 0.f, p.bias && n0 + c + 1 < p.n ? __ldg(p.bias + n0 + c + 1) : 0.f};
#pragma unroll
        for (int i = 0; i < 4 * MR; i++) {
            float& v = sum[i / 4][4 * j + i % 4];
            if (MODE != BLOCK) {
                v = __fmul_rn(v, __fmul_rn(xs[i / 4][i / 2 % 2], i % 2 ? ws.y : ws.x));
            }
            v = __fadd_rn(v, bias[i % 2]);
        }
    }
}

template <int MR, int TILE_N, uint32_t TYPE>
__device__ __forceinline__ void pack_sums(uint32_t (&packed)[MR][TILE_N / 4], const float (&sum)[MR][TILE_N / 2]) {
#pragma unroll
    for (int i = 0; i < MR * TILE_N / 4; i++) {
        const int mr = i / (TILE_N / 4), j = i % (TILE_N / 4);
        packed[mr][j] = pack16(sum[mr][2 * j], sum[mr][2 * j + 1], TYPE);
    }
}

// A row of a thread's, element by element, while columns are left (counted as signed: a tile may lie beyond n). at(j, h) is
// element h of the two of block j of 8 columns.
template <int TILE_N, typename Y, typename At>
__device__ __forceinline__ void store_row(Y* y, int32_t left, const At& at) {
#pragma unroll
    for (int j = 0; j < TILE_N / 8; j++) {
        if (8 * j < left) {
            y[8 * j] = at(j, 0);
        }
        if (8 * j + 1 < left) {
            y[8 * j + 1] = at(j, 1);
        }
    }
}

template <Fp8Types T, int MR, int TILE_N, int STAGES, int CLUSTER, Fp8Mode MODE>
__device__ __forceinline__ void fp8_gemm(const TensorMap& xMap, const TensorMap& wMap, const TensorMap& yMap, const Fp8Product& p, bool copyOut, uint32_t raster) {
    using S = GemmShape<MR, TILE_N, STAGES, MODE>;
    extern __shared__ __align__(1024) uint8_t smem[];
    const uint32_t base = shared_address(smem);
    const uint32_t full = base + S::BARRIERS, empty = full + 8 * STAGES, staged = empty + 8 * STAGES, turn = staged + 16;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const uint32_t rank = CLUSTER > 1 ? cluster_rank() : 0;

    if (threadIdx.x == 0) {
        prefetch_map(&xMap);
        prefetch_map(&wMap);
        for (int i = 0; i < STAGES; i++) {
            barrier_init(full + 8 * i, MODE == BLOCK ? 2 : 1);
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
    walk.group = raster;
    walk.unit = blockIdx.x / CLUSTER;
    walk.step = gridDim.x / CLUSTER;
    const uint32_t steps = (p.k + STEP_K - 1) / STEP_K;

    if (warp < 4) {
        registers_down<40>();
        if (warp == 0 && lane == 0) {
            const auto load_w = [&](uint32_t w, uint32_t s, int32_t n0, uint32_t bar) {
                if (CLUSTER > 1) {
                    constexpr int PART = TILE_N / CLUSTER;
                    load_box_multicast(w + rank * PART * STEP_K, &wMap, s * STEP_K, n0 + rank * PART, bar, (1 << CLUSTER) - 1, EVICT_NORMAL);
                } else {
                    load_box(w, &wMap, s * STEP_K, n0, bar, EVICT_NORMAL);
                }
            };
            const uint32_t early = walk.more() ? min(steps, uint32_t(STAGES)) : 0;
            for (uint32_t s = 0; s < early; s++) {
                uint32_t um, un;
                walk.at(um, un);
                barrier_expect(full + 8 * s, S::STAGE_BYTES);
                load_w(base + s * S::STAGE_BYTES + S::X_BYTES, s, un * TILE_N, full + 8 * s);
            }
            wait_for_predecessors();
            uint32_t it = 0;
            for (; walk.more(); walk.unit += walk.step) {
                uint32_t um, un;
                walk.at(um, un);
                const int32_t m0 = (um * CLUSTER + rank) * S::TILE_M, n0 = un * TILE_N;
                for (uint32_t s = 0; s < steps; s++, it++) {
                    const uint32_t stage = it % STAGES, parity = it / STAGES & 1;
                    const uint32_t x = base + stage * S::STAGE_BYTES, w = x + S::X_BYTES, bar = full + 8 * stage;
                    if (it >= early) {
                        barrier_wait(empty + 8 * stage, parity ^ 1);
                        barrier_expect(bar, S::STAGE_BYTES);
                        load_w(w, s, n0, bar);
                    }
                    load_box(x, &xMap, s * STEP_K, m0, bar, EVICT_NORMAL);
                }
            }
            launch_dependents();
        } else if (warp == 1 && lane == 0 && copyOut) {
            uint32_t parity = 0;
            for (; walk.more(); walk.unit += walk.step, parity ^= 1) {
                uint32_t um, un;
                walk.at(um, un);
                const int32_t m0 = (um * CLUSTER + rank) * S::TILE_M, n0 = un * TILE_N;
                for (int c = 0; c < 2; c++) {
                    barrier_wait(staged + 8 * c, parity);
                    for (int mr = 0; mr < MR; mr++) {
                        for (int panel = 0; panel < S::PANELS; panel++) {
                            store_box(&yMap, n0 + min(panel * 64, TILE_N - 64), m0 + (c * MR + mr) * 64,
                                      base + S::STAGING + (mr * S::PANELS + panel) * 8192);
                        }
                    }
                    store_commit();
                    store_wait_read();
                    barrier_arrive(turn + 8 * (1 - c));
                }
            }
        } else if (MODE == BLOCK && warp == 2) {
            // The scales of a stage, read one step ahead.
            wait_for_predecessors();
            uint32_t it = 0;
            for (; walk.more(); walk.unit += walk.step) {
                uint32_t um, un;
                walk.at(um, un);
                const uint32_t m0 = (um * CLUSTER + rank) * S::TILE_M, n0 = un * TILE_N;
                constexpr int LANES = S::TILE_M / 32;
                const float *x = p.xScales + uint64_t(min(m0 + lane, p.m - 1)) * p.xScaleRow, *w[S::BANDS];
                float nextX[LANES], nextW[S::BANDS];
#pragma unroll
                for (int i = 0; i < S::BANDS; i++) {
                    w[i] = p.wScales + uint64_t(min(n0 + i * S::BAND, p.n - 1) / 128) * p.wScaleRow;
                    nextW[i] = __ldg(w[i]);
                }
#pragma unroll
                for (int i = 0; i < LANES; i++) {
                    nextX[i] = m0 + lane + 32 * i < p.m ? x[uint64_t(32 * i) * p.xScaleRow] : 0.f;
                }
                for (uint32_t s = 0; s < steps; s++, it++) {
                    const uint32_t stage = it % STAGES;
                    float* const scales = reinterpret_cast<float*>(smem + S::SCALES) + stage * S::BANDS * S::TILE_M + lane;
                    barrier_wait(empty + 8 * stage, (it / STAGES & 1) ^ 1);
#pragma unroll
                    for (int i = 0; i < S::BANDS * LANES; i++) {
                        scales[i / LANES * S::TILE_M + i % LANES * 32] = __fmul_rn(nextX[i % LANES], nextW[i / LANES]);
                    }
                    __syncwarp();
                    if (lane == 0) {
                        barrier_arrive(full + 8 * stage);
                    }
                    if (s + 1 < steps) {
                        x += p.xScaleCol;
#pragma unroll
                        for (int i = 0; i < LANES; i++) {
                            nextX[i] = m0 + lane + 32 * i < p.m ? x[uint64_t(32 * i) * p.xScaleRow] : 0.f;
                        }
#pragma unroll
                        for (int i = 0; i < S::BANDS; i++) {
                            w[i] += p.wScaleCol;
                            nextW[i] = __ldg(w[i]);
                        }
                    }
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
                for (uint32_t s = 0; s < steps; s++, it++) {
                    const uint32_t stage = it % STAGES;
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
                        float scale[2][S::BANDS];
                        if (MODE == BLOCK) {
                            const float* scales = reinterpret_cast<const float*>(smem + S::SCALES) + stage * S::BANDS * S::TILE_M +
                                                  (consumer * MR + mr) * 64 + row + g;
#pragma unroll
                            for (int i = 0; i < 2 * S::BANDS; i++) {
                                scale[i % 2][i / 2] = scales[i / 2 * S::TILE_M + i % 2 * 8];
                            }
                        }
                        wgmma_wait<0>();
                        if (mr == MR - 1) {
                            __syncwarp();
                            release<CLUSTER>(empty + 8 * stage, lane);
                        }
#pragma unroll
                        for (int i = 0; i < TILE_N / 2; i++) {
                            sum[mr][i] = MODE == BLOCK ? __fmaf_rn(part[i], scale[i / 2 % 2][i / 4 * 8 / S::BAND], sum[mr][i]) : __fadd_rn(part[i], sum[mr][i]);
                        }
                    }
                }
            }

            if (MODE != BLOCK) {
                asm volatile("cp.async.wait_all;" ::: "memory");
                named_sync(1 + consumer, 128);
            }
            scaled<MR, TILE_N, MODE>(sum, xs, wScales, p, n0, t);
            const auto rows = [&](auto&& store) {
#pragma unroll
                for (int i = 0; i < 2 * MR; i++) {
                    const uint32_t m = m0 + i / 2 * 64 + i % 2 * 8, n = n0 + 2 * t;
                    if (m < p.m) {
                        store(i, uint64_t(m) * p.n + n, int32_t(p.n - n));
                    }
                }
            };
            if (p.yType == F32) {
                rows([&](int i, uint64_t at, int32_t left) {
                    store_row<TILE_N>(static_cast<float*>(p.y) + at, left, [&](int j, int h) { return sum[i / 2][4 * j + i % 2 * 2 + h]; });
                });
            } else {
                // Packed first, so that the turn with the staging buffer is short.
                uint32_t packed[MR][TILE_N / 4];
                if (p.yType == BF16) {
                    pack_sums<MR, TILE_N, BF16>(packed, sum);
                } else {
                    pack_sums<MR, TILE_N, F16>(packed, sum);
                }
                if (copyOut) {
                    barrier_wait(turn + 8 * consumer, tile ^ 1 ^ consumer);
#pragma unroll
                    for (int mr = 0; mr < MR; mr++) {
#pragma unroll
                        for (int panel = 0; panel < S::PANELS; panel++) {
                            const int first = panel * 64 < TILE_N - 64 ? panel * 64 : TILE_N - 64;
#pragma unroll
                            for (int i = 0; i < 4; i++) {
                                const uint32_t sr = row + lane % 16, piece = i * 2 + lane / 16;
                                const uint32_t* r = &packed[mr][(first + i * 16) / 4];
                                store_matrices(staging + (mr * S::PANELS + panel) * 8192 + sr * 128 + ((piece ^ (sr & 7)) << 4), r[0], r[1], r[2], r[3]);
                            }
                        }
                    }
                    fence_async_shared();
                    __syncwarp();
                    if (lane == 0) {
                        barrier_arrive(staged + 8 * consumer);
                    }
                } else {
                    rows([&](int i, uint64_t at, int32_t left) {
                        store_row<TILE_N>(static_cast<uint16_t*>(p.y) + at, left,
                                          [&](int j, int h) { return uint16_t(packed[i / 2][2 * j + i % 2] >> 16 * h); });
                    });
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

// CopyOut 1: y is written by the copy engine through its map: a 16-bit type, y and its rows on 16-byte boundaries. Raster: rows of
// tiles that are walked together, so that what they share stays in the L2 cache.
#define FP8_GEMM(name, T, MR, TILE_N, STAGES, CLUSTER, MODE)                                                                        \
    extern "C" __global__ void __launch_bounds__(384, 1) LOWBIT_NAME(ARCH, name)(                                                   \
        const __grid_constant__ lowbit::TensorMap xMap, const __grid_constant__ lowbit::TensorMap wMap,                             \
        const __grid_constant__ lowbit::TensorMap yMap, const float* xScales, const float* wScales, const float* bias, void* y,     \
        uint32_t yType, uint32_t m, uint32_t n, uint32_t k, uint32_t xScaleRow, uint32_t xScaleCol, uint32_t wScaleRow,             \
        uint32_t wScaleCol, uint32_t copyOut, uint32_t raster) {                                                                    \
        const lowbit::Fp8Product p = {xScales, wScales, bias, y, yType, m, n, k, xScaleRow, xScaleCol, wScaleRow, wScaleCol};       \
        lowbit::fp8_gemm<lowbit::T, MR, TILE_N, STAGES, CLUSTER, lowbit::MODE>(xMap, wMap, yMap, p, copyOut, raster);               \
    }
