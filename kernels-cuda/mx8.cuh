// MXFP8 products on Hopper: y = x · wᵀ where both have a power-of-two scale for every 32 of a row.
//
// One wgmma takes 32 along K, a block: its sums come fresh out of the tensor core, are multiplied by 2^(e_x + e_w) (exact, as long
// as that is a normal f32) and added up in f32, by one fused instruction a value. The 2^(e_x + e_w) are a product of matrices
// too, the scales of 16 rows of w times those of 8 rows of x, and come from mma.sync, in the very order that wgmma's sums have:
//
//   A [16×8]: row r, column i = the scale of block i of row r of w, for the one block i that is looked at, else 0
//   B [8×8]:  row i, column c = the scale of block i of row c of x, i < 4; A's columns beyond are 0
//
// The operands are swapped as in fp8_few.cuh: rows of w are the rows of the tensor cores' tile, 64 for each of WARPGROUPS
// consumers, rows of x its TILE_M columns. Each thread loads the scales of its two rows of w itself, a byte for every 32; those of x
// come as bf16 with x. A cluster of SPLIT blocks shares one tile: each sums a part of K, then they add their sums in the order of K,
// each for a part of the tile, through distributed shared memory.
//
// The weights do not depend on the kernels before this one: their first stages are loaded before waiting for those.
#pragma once
#include "arrive.cuh"
#include "fp8.cuh"

namespace lowbit {

constexpr int BLOCK_K = 32, BLOCKS = STEP_K / BLOCK_K;

// One product.
struct Mx8Product {
    const uint8_t* wScales;  // [n, wScaleCols], E8M0
    const float* bias;       // null for none
    void* y;
    uint32_t yType;
    uint32_t m;
    uint32_t n;
    uint32_t k;
    uint32_t wScaleCols;
};

// Shared memory: the stages, the scales of x of each, then what each block of a split receives of the sums of all of them (for
// SPLIT = 1 in the place of the stages), then barriers.
template <int WARPGROUPS, int TILE_M, int STAGES, int SPLIT>
struct Mx8Shape {
    static constexpr int TILE_N = 64 * WARPGROUPS;
    static constexpr int W_BYTES = TILE_N * STEP_K, X_BYTES = TILE_M * STEP_K, STAGE_BYTES = W_BYTES + X_BYTES;
    static constexpr int X_SCALES = STAGES * STAGE_BYTES, SCALE_BYTES = BLOCKS * TILE_M * 2;
    static constexpr int ROWS = TILE_N / SPLIT;  // of w that a block of a split finishes
    static constexpr int PITCH = ROWS + 4;       // floats between rows of x in the sums: no bank conflicts
    static constexpr int SUMS = SPLIT == 1 ? 0 : X_SCALES + STAGES * SCALE_BYTES, SUM_BYTES = SPLIT * TILE_M * PITCH * 4;
    static constexpr int BARRIERS = SPLIT == 1 ? X_SCALES + STAGES * SCALE_BYTES : SUMS + SUM_BYTES;
    static constexpr int BYTES = BARRIERS + 2 * STAGES * 8;
    static_assert(SPLIT > 1 || SUM_BYTES <= X_SCALES, "the sums lie where the stages were");
    static_assert(BYTES <= 232448, "shared memory of a block");
};

// The E8M0 codes of blocks 4·step … 4·step + 3 of a row, lowest first; 0 beyond the row.
__device__ __forceinline__ uint32_t scale_codes(const uint8_t* row, uint32_t step, uint32_t cols) {
    const uint32_t from = step * BLOCKS;
    if (cols % BLOCKS == 0) {
        return from < cols ? __ldg(reinterpret_cast<const uint32_t*>(row + from)) : 0;
    }
    uint32_t codes = 0;
#pragma unroll
    for (uint32_t j = 0; j < BLOCKS; j++) {
        codes |= from + j < cols ? uint32_t(__ldg(row + from + j)) << 8 * j : 0;
    }
    return codes;
}

// The scales of blocks 2t and 2t + 1 as bf16, for t < 2, from the codes of all four: 2^(code − 127), or NaN.
__device__ __forceinline__ uint32_t scale_pair(uint32_t codes, int t) {
    const uint32_t low = codes >> 16 * (t & 1) & 0xff, high = codes >> 16 * (t & 1) + 8 & 0xff;
    const uint32_t odd = (low + 1 & 0xff) < 2 ? 0x40 : 0, odder = (high + 1 & 0xff) < 2 ? 0x40 : 0;  // 0 is 2^-127, a subnormal
    return (low << 7 | odd) | (high << 7 | odder) << 16;
}

template <Fp8Types T, int WARPGROUPS, int TILE_M, int STAGES, int SPLIT, int PARTS>
__device__ __forceinline__ void mx8(const TensorMap& xMap, const TensorMap& wMap, const TensorMap& scaleMap, const Mx8Product& p) {
    using S = Mx8Shape<WARPGROUPS, TILE_M, STAGES, SPLIT>;
    constexpr int CONSUMERS = 128 * WARPGROUPS, BAND = 8;
    constexpr int AHEAD = WARPGROUPS == 1 ? 4 : 2;  // steps whose scales of w are loaded together
    extern __shared__ __align__(1024) uint8_t smem[];
    const uint32_t base = shared_address(smem);
    const uint32_t full = base + S::BARRIERS, empty = full + 8 * STAGES;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const uint32_t split = SPLIT > 1 ? cluster_rank() : 0;
    // Tiles go along N in bands of 8 rows of tiles, so that what runs together shares x and w in the L2 cache.
    const uint32_t tilesN = gridDim.x / SPLIT, unit = blockIdx.y * tilesN + blockIdx.x / SPLIT;
    const uint32_t band = unit / (BAND * tilesN) * BAND, inBand = unit - band * tilesN, height = min(uint32_t(BAND), gridDim.y - band);
    const int32_t n0 = inBand / height * S::TILE_N, m0 = (band + inBand % height) * TILE_M;
    const uint32_t allSteps = (p.k + STEP_K - 1) / STEP_K;
    const uint32_t first = allSteps * split / SPLIT, steps = allSteps * (split + 1) / SPLIT - first;

    const auto load_w = [&](uint32_t s) {
        const uint32_t bar = full + 8 * (s % STAGES);
        mbarrier_arrive_expect(bar, S::STAGE_BYTES + S::SCALE_BYTES);
        load_box(base + s % STAGES * S::STAGE_BYTES, &wMap, (first + s) * STEP_K, n0, bar, WARPGROUPS == 1 ? EVICT_FIRST : EVICT_NORMAL);
    };

    if (threadIdx.x == CONSUMERS) {
        prefetch_tensor_map(&xMap);
        prefetch_tensor_map(&wMap);
        prefetch_tensor_map(&scaleMap);
        for (int i = 0; i < STAGES; i++) {
            mbarrier_init(full + 8 * i, 1);
            mbarrier_init(empty + 8 * i, 4 * WARPGROUPS * WARP_ARRIVALS);
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

    if (warp >= 4 * WARPGROUPS) {
        if (WARPGROUPS == 2) {
            setmaxnreg_dec<24>();
        }
        if (threadIdx.x == CONSUMERS) {
            griddepcontrol_wait();
            for (uint32_t s = 0; s < steps; s++) {
                const uint32_t stage = s % STAGES, bar = full + 8 * stage;
                if (s >= STAGES) {
                    barrier_wait(empty + 8 * stage, s / STAGES - 1 & 1);
                    load_w(s);
                }
                load_box(base + stage * S::STAGE_BYTES + S::W_BYTES, &xMap, (first + s) * STEP_K, m0, bar, EVICT_LAST);
                load_box(base + S::X_SCALES + stage * S::SCALE_BYTES, &scaleMap, 2 * m0, first + s, bar, EVICT_LAST);
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

    if (WARPGROUPS == 2) {
        setmaxnreg_inc<240>();
    }
    const int consumer = warp / 4, g = lane / 4, t = lane % 4;
    // This thread finishes four rows of w, for every row of x that is its own.
    constexpr int VECTORS = S::ROWS / 4;
    const uint32_t col = threadIdx.x % VECTORS * 4, n = n0 + split * S::ROWS + col;
    float bias[4];
    const auto load_bias = [&]() {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            bias[j] = p.bias ? __ldg(p.bias + min(n + j, p.n - 1)) : 0.f;
        }
    };
    if (WARPGROUPS == 1) {
        load_bias();  // early: what larger tiles have no registers for
    }
    // Its two rows of the products, and the scales of those for some steps.
    const uint8_t* wScales[2];
    uint32_t codes[2][AHEAD], next[2][AHEAD];
#pragma unroll
    for (int h = 0; h < 2; h++) {
        wScales[h] = p.wScales + uint64_t(min(uint32_t(n0) + consumer * 64 + warp % 4 * 16 + g + 8 * h, p.n - 1)) * p.wScaleCols;
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            next[h][i] = scale_codes(wScales[h], first + i, p.wScaleCols);
        }
    }

    float sum[TILE_M / 2], part[PARTS][TILE_M / 2];
#pragma unroll
    for (int i = 0; i < TILE_M / 2; i++) {
        sum[i] = 0.f;
#pragma unroll
        for (int j = 0; j < PARTS; j++) {
            part[j][i] = 0.f;
        }
    }
    // Starts the products of block i of step s. With several sums in turn the tensor cores go on while those of a block are scaled.
    const auto multiply = [&](uint32_t s, int i) {
        const uint32_t stage = s % STAGES, w = base + stage * S::STAGE_BYTES;
        const uint64_t a = descriptor(w + consumer * 64 * STEP_K), b = descriptor(w + S::W_BYTES);
        wgmma_fence();
        Wgmma<TILE_M>::template add<T>(part[i % PARTS], a + 2 * i, b + 2 * i, 0);
        wgmma_commit();
    };
    for (uint32_t s0 = 0; s0 < steps; s0 += AHEAD) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
#pragma unroll
            for (int i = 0; i < AHEAD; i++) {
                codes[h][i] = next[h][i];
                next[h][i] = scale_codes(wScales[h], first + s0 + AHEAD + i, p.wScaleCols);
            }
        }
#pragma unroll 1
        for (uint32_t s = s0; s < min(s0 + AHEAD, steps); s++) {
            const uint32_t stage = s % STAGES;
            barrier_wait(full + 8 * stage, s / STAGES & 1);
#pragma unroll
            for (int i = 0; i < PARTS - 1; i++) {
                multiply(s, i);
            }
            // B for all rows of x, and A for all blocks.
            uint32_t xScales[TILE_M / 8];
#pragma unroll
            for (int j = 0; j < TILE_M / 8; j++) {
                xScales[j] = load_shared1(base + S::X_SCALES + stage * S::SCALE_BYTES + ((8 * j + g) * 2 + t % 2) * 4);
            }
            const uint32_t pairs[2] = {scale_pair(codes[0][0], t), scale_pair(codes[1][0], t)};
#pragma unroll
            for (int i = 0; i < BLOCKS; i++) {
                const uint32_t half = t != i / 2 ? 0 : i % 2 ? 0xffff0000 : 0xffff;
                const uint32_t a[2] = {pairs[0] & half, pairs[1] & half};
                if (i + PARTS - 1 < BLOCKS) {
                    multiply(s, i + PARTS - 1);
                }
                // How many blocks may still be at work once this one is done: those behind it that have started.
                constexpr int STARTED = PARTS - 1;
                if (BLOCKS - 1 - i >= STARTED) {
                    wgmma_wait<STARTED>();
                } else if (i == BLOCKS - 1) {
                    wgmma_wait<0>();
                } else if (i == BLOCKS - 2) {
                    wgmma_wait<1>();
                } else {
                    wgmma_wait<2>();
                }
#pragma unroll
                for (int j = 0; j < TILE_M / 8; j++) {
                    float scale[4];
                    mma_m16n8k8_bf16(scale, a, xScales[j]);
#pragma unroll
                    for (int r = 0; r < 4; r++) {
                        sum[4 * j + r] = __fmaf_rn(part[i % PARTS][4 * j + r], scale[r], sum[4 * j + r]);
                    }
                }
            }
            if (s + STAGES < steps) {
                warp_arrive(empty + 8 * stage, lane);
            }
#pragma unroll
            for (int h = 0; h < 2; h++) {
#pragma unroll
                for (int i = 0; i < AHEAD - 1; i++) {
                    codes[h][i] = codes[h][i + 1];
                }
            }
        }
    }

    if (WARPGROUPS > 1) {
        load_bias();
    }
    // Every sum to the block of the split that finishes its row of w; the rows of a warp have one such block.
    const uint32_t row = consumer * 64 + warp % 4 * 16;
    uint32_t to = base + S::SUMS + ((split * TILE_M + 2 * t) * S::PITCH + row % S::ROWS + g) * 4;
    if (SPLIT > 1) {
        cluster_wait();  // all blocks have started
        to = remote_address(to, row / S::ROWS);
    } else {
        named_barrier(1, CONSUMERS);  // all have read the stages
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
#pragma unroll
        for (int j = 0; j < 4; j++) {
            v[j] = __fadd_rn(v[j], bias[j]);
        }
        const int64_t at = int64_t(m0 + r) * p.n + n;
        if (!whole) {
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

#define MX8(name, T, WARPGROUPS, TILE_M, STAGES, SPLIT, PARTS)                                                                            \
    extern "C" __global__ void __launch_bounds__(WARPGROUPS == 2 ? 384 : 128 * WARPGROUPS + 32, 1) LOWBIT_NAME(ARCH, name)(                                 \
        const __grid_constant__ lowbit::TensorMap xMap, const __grid_constant__ lowbit::TensorMap wMap,                             \
        const __grid_constant__ lowbit::TensorMap scaleMap, const uint8_t* wScales, const float* bias, void* y, uint32_t yType,     \
        uint32_t m, uint32_t n, uint32_t k, uint32_t wScaleCols) {                                                                  \
        const lowbit::Mx8Product p = {wScales, bias, y, yType, m, n, k, wScaleCols};                                                \
        lowbit::mx8<lowbit::T, WARPGROUPS, TILE_M, STAGES, SPLIT, PARTS>(xMap, wMap, scaleMap, p);                                         \
    }
