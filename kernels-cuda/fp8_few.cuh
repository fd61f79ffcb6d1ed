// FP8 products on Hopper for few rows of x, where reading w is what takes the time: y = (x · wᵀ) with scales.
//
// The operands are swapped: rows of w are the rows of the tensor cores' tile (64 for each of WARPGROUPS consumers), rows of x
// its TILE_M columns, so that few rows of x waste little. A cluster of SPLIT blocks makes a tile: each sums a part of K, then they
// add their sums in the order of K, each for a part of the tile, through distributed shared memory.
//
// A tile has ROWS rows of w, as many as leave no multiprocessor without a block in the last round, or none with one more than
// the others; 64 need not divide them. With TURNS = 2 a second set of warpgroups takes every second step of K, so that one
// multiplies while the other waits, adds or scales.
//
// The weights do not depend on the kernels before this one: their first stages are loaded before waiting for those. What is
// asked for after that wait, x, queues behind the weights that this multiprocessor is loading for the kernel after this one;
// so where the product is short, only AHEAD stages of weights are on their way at a time.
//
// Blocks beyond the matrix wait for the kernel before and end: they hold a place, so that no multiprocessor gets two blocks of
// one product while another has none.
#pragma once
#include "fp8.cuh"

namespace lowbit {

// Shared memory: the stages of w, then those of x, where the finished sums lie in the end, then what each block of a split receives of the others'
// sums, then scales and barriers.
template <int WARPGROUPS, int TURNS, int ROWS, int TILE_M, int STAGES, int X_STAGES, int SPLIT, Fp8Mode MODE>
struct FewShape {
    static constexpr int W_BYTES = ROWS * STEP_K, X_BYTES = TILE_M * STEP_K, RING_BYTES = STAGES * W_BYTES;
    // A block of a split finishes every FINISHED sums of a thread: some rows of x, or where those are 8, half of the rows of w.
    static constexpr int PART = TILE_M / 2 / TURNS, FINISHED = PART / SPLIT;
    static constexpr bool HALVES = FINISHED == 2;
    static constexpr int ROWS_X = HALVES ? TILE_M : TILE_M / SPLIT, ROWS_W = HALVES ? ROWS / 2 : ROWS;
    static constexpr int VECTOR = HALVES ? 2 : 4;  // floats that are sent together
    static constexpr int PITCH = ROWS + 4;         // floats between rows of x in the finished sums: no bank conflicts
    static constexpr int SUMS = RING_BYTES + X_STAGES * X_BYTES, SUM_BYTES = FINISHED * 128 * WARPGROUPS * TURNS * 4;
    static constexpr int SCALES = SUMS + (SPLIT - 1) * SUM_BYTES;
    static_assert(FINISHED % 4 == 0 || TILE_M == 8 && SPLIT == 2, "whole blocks of 8 rows of x, or halves of one");
    static_assert(ROWS_X * PITCH * 4 <= SUMS, "the finished sums fit in the stages");
    // Blocks of 128 rows that the tile has a part in, wherever it begins; a warp's 16 rows are in one.
    static constexpr int SCALE_ROWS = 128 % ROWS == 0 ? 1 : (112 + ROWS - 1) / 128 + 1;
    // The scales of x; BLOCK: those of two chunks of steps, of x and then of w.
    static constexpr int CHUNK = 8, SCALES_W = SCALES + 2 * CHUNK * TILE_M * 4;
    static constexpr int BARRIERS = MODE == BLOCK ? SCALES_W + SCALE_ROWS * 2 * CHUNK * 4 : SCALES + TILE_M * 4;
    static constexpr int BYTES = BARRIERS + (2 * STAGES + X_STAGES + 1 + (MODE == BLOCK ? 4 : 0)) * 8;
    // With another warpgroup's products under way meanwhile, scales can be read when they are wanted, which takes fewer registers.
    static constexpr bool EARLY_SCALES = WARPGROUPS * TURNS == 1;
    // Stages of weights on their way at a time before the wait, as measured; MORE where all blocks of two launches find room.
    static constexpr int AHEAD = SPLIT == 1 ? MODE == FAST ? 2 : STAGES : TILE_M < 64 || STAGES < 5 || X_STAGES < STAGES || ROWS > 64 ? 3 : TURNS;
    static constexpr int MORE = SPLIT > 1 && TILE_M <= 16 && ROWS == 64 ? 6 : AHEAD, ROOM = 264;
    static constexpr int LEAST = STAGES < X_STAGES ? STAGES : X_STAGES;
    static_assert(TURNS == 1 || TURNS == 2 && STAGES % 2 == 0 && X_STAGES % 2 == 0, "who waits for a barrier must see each of its phases: a stage is one turn's");
    static_assert(ROWS % (MODE == BLOCK ? 16 : 8) == 0 && ROWS <= 64 * WARPGROUPS && ROWS > 64 * (WARPGROUPS - 1) && ROWS >= 64, "rows of w");
    static_assert(BYTES <= 232448, "shared memory of a block");
};

template <Fp8Types T, int WARPGROUPS, int TURNS, int ROWS, int TILE_M, int STAGES, int X_STAGES, int SPLIT, Fp8Mode MODE>
__device__ __forceinline__ void fp8_few(const TensorMap& xMap, const TensorMap& wMap, const Fp8Product& p) {
    using S = FewShape<WARPGROUPS, TURNS, ROWS, TILE_M, STAGES, X_STAGES, SPLIT, MODE>;
    constexpr int WARPS = 4 * WARPGROUPS * TURNS, CONSUMERS = 32 * WARPS;
    extern __shared__ __align__(1024) uint8_t smem[];
    const uint32_t base = shared_address(smem);
    // Of w and of x of a stage, of the stage when it is free, of the other blocks' sums, of scales.
    const uint32_t wFull = base + S::BARRIERS, xFull = wFull + 8 * STAGES, empty = xFull + 8 * X_STAGES, gathered = empty + 8 * STAGES;
    const uint32_t scaled = gathered + 8, used = scaled + 16;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const uint32_t split = SPLIT > 1 ? cluster_rank() : 0;
    // Rows of a box that lie beyond a matrix cost more than rows that are there. So the last of several tiles begins earlier and
    // leaves to the one before what both have, and the box of x has no more rows than x: what then lies in the other rows of a
    // stage goes into sums that nobody stores.
    const int32_t ownN = blockIdx.x / SPLIT * ROWS, ownM = blockIdx.y * TILE_M;
    constexpr int STEP_N = MODE == BLOCK ? 16 : 8;
    const bool earlier = int(p.n) > ROWS && (MODE != BLOCK || S::SCALE_ROWS > 1);
    const int32_t n0 = min(ownN, earlier ? (int(p.n) - ROWS + STEP_N - 1) / STEP_N * STEP_N : ownN);
    const int32_t m0 = min(ownM, int(p.m) > TILE_M ? (int(p.m) - TILE_M + 7) / 8 * 8 : ownM);
    const uint32_t xBytes = min(TILE_M, int(p.m)) * STEP_K;
    const uint32_t allSteps = (p.k + STEP_K - 1) / STEP_K;
    const uint32_t first = allSteps * split / SPLIT, steps = allSteps * (split + 1) / SPLIT - first;

    const auto load_w = [&](uint32_t s) {
        mbarrier_arrive_expect(wFull + 8 * (s % STAGES), S::W_BYTES);
        load_box(base + s % STAGES * S::W_BYTES, &wMap, (first + s) * STEP_K, n0, wFull + 8 * (s % STAGES), EVICT_FIRST);
    };
    const auto load_x = [&](uint32_t s) {
        mbarrier_arrive_expect(xFull + 8 * (s % X_STAGES), xBytes);
        load_box(base + S::RING_BYTES + s % X_STAGES * S::X_BYTES, &xMap, (first + s) * STEP_K, m0, xFull + 8 * (s % X_STAGES), EVICT_LAST);
    };

    if (uint32_t(ownN) >= p.n) {
        griddepcontrol_launch_dependents();
        griddepcontrol_wait();
        return;
    }
    if (threadIdx.x == CONSUMERS) {
        prefetch_tensor_map(&xMap);
        prefetch_tensor_map(&wMap);
        for (int i = 0; i < STAGES; i++) {
            mbarrier_init(wFull + 8 * i, 1);
            mbarrier_init(empty + 8 * i, 4 * WARPGROUPS * WARP_ARRIVALS);
        }
        for (int i = 0; i < X_STAGES; i++) {
            mbarrier_init(xFull + 8 * i, 1);
        }
        mbarrier_init(gathered, 1);
        if (MODE == BLOCK) {
            for (int i = 0; i < 2; i++) {
                mbarrier_init(scaled + 8 * i, 32);
                mbarrier_init(used + 8 * i, WARPS * WARP_ARRIVALS);
            }
        }
        fence_mbarrier_init();
        if (SPLIT > 1) {
            mbarrier_arrive_expect(gathered, (SPLIT - 1) * S::SUM_BYTES);
        }
    }
    __syncwarp();
    if (SPLIT > 1) {
        cluster_arrive();
    }
    __syncthreads();

    if (warp >= WARPS) {
        if (MODE == BLOCK && warp > WARPS) {
            // Ordinary loads, a chunk before they are wanted: of x four rows at once, of w a step in each lane.
            constexpr int VECTORS = TILE_M / 4, EACH = (S::CHUNK * VECTORS + 31) / 32;
            static_assert(MODE != BLOCK || S::CHUNK * VECTORS % 32 == 0, "each lane has as many");
            const uint32_t lines = (p.m + 3) / 4 * 4;
            const auto w_from = [&](uint32_t s) {
                const uint32_t row = min(uint32_t(n0) / 128 + lane / S::CHUNK, (p.n - 1) / 128), col = min(first + s + lane % S::CHUNK, allSteps - 1);
                return __ldg(p.wScales + uint64_t(row) * p.wScaleRow + uint64_t(col) * p.wScaleCol);
            };
            const auto x_from = [&](uint32_t s, float4 (&x)[EACH]) {
#pragma unroll
                for (int i = 0; i < EACH; i++) {
                    const uint32_t step = (lane + 32 * i) / VECTORS, m = m0 + (lane + 32 * i) % VECTORS * 4;
                    if (p.xScaleRow != 0 && m < lines) {
                        x[i] = *reinterpret_cast<const float4*>(p.xScales + uint64_t(min(first + s + step, allSteps - 1)) * p.xScaleCol + m);
                    }
                }
            };
            float w = w_from(0);
            float4 x[EACH] = {};
            griddepcontrol_wait();
            x_from(0, x);
            for (uint32_t s = 0; s < steps; s += S::CHUNK) {
                const uint32_t half = s / S::CHUNK & 1;
                if (s >= 2 * S::CHUNK) {
                    barrier_wait(used + 8 * half, s / S::CHUNK / 2 - 1 & 1);
                }
#pragma unroll
                for (int i = 0; i < EACH; i++) {
                    if (p.xScaleRow != 0) {
                        *reinterpret_cast<float4*>(smem + S::SCALES + (half * S::CHUNK * VECTORS + lane + 32 * i) * 16) = x[i];
                    }
                }
                if (lane < S::SCALE_ROWS * S::CHUNK) {
                    store_shared(base + S::SCALES_W + ((lane / S::CHUNK * 2 + half) * S::CHUNK + lane % S::CHUNK) * 4, w);
                }
                barrier_arrive(scaled + 8 * half);
                w = w_from(s + S::CHUNK);
                x_from(s + S::CHUNK, x);
            }
        } else if (lane == 0) {
            // x may still be written by the kernels before this one, but the L2 cache is where all meet: the blocks fetch it together.
            constexpr uint32_t SHARES = 8;
            for (uint32_t s = blockIdx.x / SPLIT % SHARES; s < steps; s += SHARES) {
                prefetch_box(&xMap, (first + s) * STEP_K, m0);
            }
            if (SPLIT == 1) {
                griddepcontrol_launch_dependents();
            }
            const uint32_t ahead = gridDim.x <= S::ROOM ? S::MORE : S::AHEAD;
            for (uint32_t s = 0; s < min(steps, uint32_t(STAGES)); s++) {
                if (s >= ahead) {
                    barrier_wait(wFull + 8 * (s - ahead), 0);
                }
                load_w(s);
            }
            if (SPLIT > 1) {
                griddepcontrol_launch_dependents();
            }
            griddepcontrol_wait();
            for (uint32_t s = 0; s + S::LEAST < steps; s++) {  // step s has been read, of w and of x
                barrier_wait(empty + 8 * (s % STAGES), s / STAGES & 1);
                if (s + STAGES < steps) {
                    load_w(s + STAGES);
                }
                if (s + X_STAGES < steps) {
                    load_x(s + X_STAGES);
                }
            }
        }
        __syncwarp();
        if (SPLIT > 1) {
            cluster_wait();
        }
        return;
    }

    const int consumer = warp / 4 % WARPGROUPS, turn = warp / 4 / WARPGROUPS, g = lane / 4, t = lane % 4;
    float* const scales = reinterpret_cast<float*>(smem + S::SCALES);
    // This thread stores y for four rows of w, and every row of x that is its own.
    constexpr int VECTORS = S::ROWS_W / 4;
    const uint32_t vector = threadIdx.x % VECTORS, col = S::HALVES ? vector / 2 * 16 + split * 8 + vector % 2 * 4 : vector * 4, n = n0 + col;
    const uint32_t firstX = S::HALVES ? 0 : split * S::ROWS_X;
    float ws[4], bias[4];
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const uint32_t row = min(n + j, p.n - 1);
        ws[j] = MODE == BLOCK ? 1.f : __ldg(p.wScales + uint64_t(row) * p.wScaleRow);
        bias[j] = p.bias ? __ldg(p.bias + row) : 0.f;
    }
    const uint32_t zero = p.yType >> 16;  // which no compiler knows
    griddepcontrol_wait();
    if (lane == 0) {  // x of the first stages, by all warps: one after the other would take longer than the first to come
        for (uint32_t s = warp; s < min(steps, uint32_t(X_STAGES)); s += WARPS) {
            load_x(s);
        }
    }
    __syncwarp();

    if (MODE != BLOCK) {
        for (uint32_t i = threadIdx.x; i < TILE_M; i += CONSUMERS) {
            scales[i] = p.xScales[uint64_t(min(m0 + i, p.m - 1)) * p.xScaleRow];
        }
    } else if (p.xScaleRow == 0) {  // one scale for all of x: there once and for all
        for (int i = threadIdx.x; i < 2 * S::CHUNK * TILE_M; i += CONSUMERS) {
            scales[i] = *p.xScales;
        }
        named_barrier(1, CONSUMERS);
    }

    // Through shuffles, or ptxas would not know what a warp's threads share (descriptors do best in registers that they share), and
    // would work the rest out again in every step.
    const uint32_t place = __shfl_sync(0xffffffff, base, 0), count = __shfl_sync(0xffffffff, steps, 0);
    const uint32_t readyW = place + S::BARRIERS, readyX = readyW + 8 * STAGES, done = readyX + 8 * X_STAGES;
    // The last warpgroup's rows end with the tile's, so it has some of the one before too where 64 does not divide them.
    const int firstRow = min(consumer * 64, ROWS - 64);
    const uint64_t firstA = descriptor(place + __shfl_sync(0xffffffff, firstRow, 0) * STEP_K), firstB = descriptor(place + S::RING_BYTES);
    const int self = __shfl_sync(0xffffffff, lane, lane);
    const uint32_t scaleAt = place + S::SCALES + self % 4 * 8;
    const uint32_t scaleWAt = place + S::SCALES_W + (S::SCALE_ROWS > 1 ? ((n0 + firstRow + warp % 4 * 16) / 128 - n0 / 128) * 2 * S::CHUNK * 4 : 0);
    // A stage is free for another step, where there is one.
    const auto release_stage = [&](uint32_t stage, bool really) { warp_arrive(done + 8 * stage, self, really); };
    float sum[TILE_M / 2], part[TILE_M / 2];
#pragma unroll
    for (int i = 0; i < TILE_M / 2; i++) {
        sum[i] = 0.f;
        part[i] = 0.f;
    }
    const uint32_t ownTurn = TURNS > 1 ? __shfl_sync(0xffffffff, turn, 0) : 0;
    uint32_t stage = ownTurn, stageAt = ownTurn * S::W_BYTES, parity = 0;
    uint32_t xStage = ownTurn, xStageAt = ownTurn * S::X_BYTES, xParity = 0;
#pragma unroll 1
    for (uint32_t s = ownTurn; s < count; s += TURNS) {
        barrier_wait(readyW + 8 * stage, parity);
        barrier_wait(readyX + 8 * xStage, xParity);
        float scale[MODE == BLOCK ? TILE_M / 4 : 1], stepScale = 0.f;
        const auto read_scales = [&] {
            const uint32_t from = scaleAt + s % (2 * S::CHUNK) * TILE_M * 4;
#pragma unroll
            for (int j = 0; j < TILE_M / 8; j++) {
                asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];" : "=f"(scale[2 * j]), "=f"(scale[2 * j + 1]) : "r"(from + 8 * j * 4) : "memory");
            }
            stepScale = load_shared(scaleWAt + s % (2 * S::CHUNK) * 4);
        };
        if (MODE == BLOCK) {
            if (s % S::CHUNK < TURNS) {
                barrier_wait(scaled + s / S::CHUNK % 2 * 8, s / S::CHUNK / 2 & 1);
            }
            if (S::EARLY_SCALES) {
                read_scales();  // read before the product, multiplied after it: nothing waits for these
            }
        }
        const uint64_t a = descriptor_at(firstA, stageAt), b = descriptor_at(firstB, xStageAt);
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
            release_stage(stage < TURNS ? STAGES - TURNS + stage : stage - TURNS, s >= TURNS && s - TURNS + S::LEAST < count);
        } else {
            wgmma_wait<0>();
            release_stage(stage, s + S::LEAST < count);
            if (MODE == BLOCK) {
                if (!S::EARLY_SCALES) {
                    read_scales();
                }
                const float w = S::EARLY_SCALES ? after(stepScale, part[0], zero) : stepScale;
#pragma unroll
                for (int j = 0; j < TILE_M / 4; j++) {
                    scale[j] = __fmul_rn(scale[j], w);
                }
            }
#pragma unroll
            for (int i = 0; i < TILE_M / 2; i++) {
                sum[i] = MODE == BLOCK ? __fmaf_rn(part[i], scale[i / 4 * 2 + i % 2], sum[i]) : __fadd_rn(part[i], sum[i]);
            }
        }
        stageAt += TURNS * S::W_BYTES;
        if ((stage += TURNS) >= STAGES) {
            stage -= STAGES;
            stageAt -= S::RING_BYTES;
            parity ^= 1;
        }
        xStageAt += TURNS * S::X_BYTES;
        if ((xStage += TURNS) >= X_STAGES) {
            xStage -= X_STAGES;
            xStageAt -= X_STAGES * S::X_BYTES;
            xParity ^= 1;
        }
        if (MODE == BLOCK) {
            warp_arrive(used + s / S::CHUNK % 2 * 8, self, s % S::CHUNK >= S::CHUNK - TURNS);
        }
    }
    wgmma_wait<0>();
    if (TURNS > 1) {
        // The two warpgroups that took turns each finish a half: they give each other the sums of the other's.
        named_barrier(1, CONSUMERS);  // nobody reads the stages any more
        float4* const lent = reinterpret_cast<float4*>(smem) + threadIdx.x % (128 * WARPGROUPS);
#pragma unroll
        for (int h = 0; h < 2; h++) {
            if (turn != h) {
#pragma unroll
                for (int i = 0; i < S::PART; i += 4) {
                    const float* from = &sum[i / S::FINISHED * 2 * S::FINISHED + h * S::FINISHED + i % S::FINISHED];
                    lent[(h * S::PART + i) * 32 * WARPGROUPS] = make_float4(from[0], from[1], from[2], from[3]);
                }
            }
        }
        named_barrier(1, CONSUMERS);
#pragma unroll
        for (int h = 0; h < 2; h++) {
            if (turn == h) {
#pragma unroll
                for (int i = 0; i < S::PART; i += 4) {
                    const float4 q = lent[(h * S::PART + i) * 32 * WARPGROUPS];
                    const float* own = &sum[i / S::FINISHED * 2 * S::FINISHED + h * S::FINISHED + i % S::FINISHED];
                    part[i] = __fadd_rn(own[0], q.x);
                    part[i + 1] = __fadd_rn(own[1], q.y);
                    part[i + 2] = __fadd_rn(own[2], q.z);
                    part[i + 3] = __fadd_rn(own[3], q.w);
                }
            }
        }
#pragma unroll
        for (int i = 0; i < S::PART; i++) {
            sum[i] = part[i];
        }
    }

    // The sums that other blocks of the split finish to those, as they lie in the threads.
    const uint32_t received = base + S::SUMS + threadIdx.x * S::VECTOR * 4;
    float total[S::FINISHED];
    if (SPLIT > 1) {
        cluster_wait();  // all blocks have started
    }
#pragma unroll
    for (int f = 0; f < SPLIT; f++) {
        if (uint32_t(f) == split) {
#pragma unroll
            for (int i = 0; i < S::FINISHED; i++) {
                total[i] = sum[f * S::FINISHED + i];
            }
        } else {
            const uint32_t to = remote_address(received + (split - (int(split) > f)) * S::SUM_BYTES, f), arrived = remote_address(gathered, f);
#pragma unroll
            for (int i = 0; i < S::FINISHED; i += S::VECTOR) {
                const float* from = &sum[f * S::FINISHED + i];
                if (S::HALVES) {
                    store_cluster(to + i * CONSUMERS * 4, from[0], from[1], arrived);
                } else {
                    store_cluster(to + i * CONSUMERS * 4, from[0], from[1], from[2], from[3], arrived);
                }
            }
        }
    }
    if (SPLIT > 1) {
        barrier_wait(gathered, 0);
        // Added in the order of K.
        float own[S::FINISHED];
#pragma unroll
        for (int i = 0; i < S::FINISHED; i++) {
            own[i] = total[i];
        }
#pragma unroll
        for (int q = 0; q < SPLIT; q++) {
#pragma unroll
            for (int i = 0; i < S::FINISHED; i += S::VECTOR) {
                float v[S::VECTOR];
#pragma unroll
                for (int j = 0; j < S::VECTOR; j++) {
                    v[j] = own[i + j];
                }
                if (uint32_t(q) != split) {
                    const uint32_t from = received + (q - (q > int(split))) * S::SUM_BYTES + i * CONSUMERS * 4;
                    load_shared_floats(v, from);
                }
#pragma unroll
                for (int j = 0; j < S::VECTOR; j++) {
                    total[i + j] = q == 0 ? v[j] : __fadd_rn(total[i + j], v[j]);
                }
            }
        }
    }
    named_barrier(1, CONSUMERS);  // nobody reads the stages any more
    // Rows of x, as y wants them.
    float* const finished = reinterpret_cast<float*>(smem);
#pragma unroll
    for (int i = 0; i < S::FINISHED; i++) {
        const int row = firstRow + warp % 4 * 16 + g + (S::HALVES ? split : i / 2 % 2) * 8;
        if (ROWS % 64 == 0 || row >= consumer * 64) {
            finished[((turn * S::FINISHED + i) / 4 * 8 + 2 * t + i % 2) * S::PITCH + row] = total[i];
        }
    }
    named_barrier(1, CONSUMERS);

    if (p.yType >= E4M3 && blockIdx.x + blockIdx.y + threadIdx.x == 0) {
        *p.yScaleTo = p.yScale;
    }
    const uint32_t rows = min(TILE_M, int(p.m) - m0), before = ownM - m0;
    const bool mine = threadIdx.x / VECTORS < CONSUMERS / VECTORS && n >= uint32_t(ownN);
    const bool whole = p.n % 4 == 0 && n < p.n;
    for (uint32_t at = threadIdx.x / VECTORS; mine && at < S::ROWS_X && firstX + at < rows; at += CONSUMERS / VECTORS) {
        const uint32_t r = firstX + at;
        if (r < before) {
            continue;
        }
        const float4 q = *reinterpret_cast<const float4*>(finished + at * S::PITCH + col);
        float v[4] = {q.x, q.y, q.z, q.w};
        const float xs = MODE == BLOCK ? 1.f : scales[r];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            v[j] = __fadd_rn(MODE == BLOCK ? v[j] : __fmul_rn(v[j], __fmul_rn(xs, ws[j])), bias[j]);
        }
        const int64_t to = int64_t(m0 + r) * p.n + n;
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
                    store(p.y, p.yType, to + j, v[j]);
                }
            }
        } else if (p.yType == F32) {
            *reinterpret_cast<float4*>(static_cast<float*>(p.y) + to) = make_float4(v[0], v[1], v[2], v[3]);
        } else {
            *reinterpret_cast<uint2*>(static_cast<uint16_t*>(p.y) + to) = make_uint2(pack16(v[0], v[1], p.yType), pack16(v[2], v[3], p.yType));
        }
    }
}

}  // namespace lowbit

// PLACES: blocks of a multiprocessor at once that registers are to suffice for.
#define FP8_FEW(name, T, WARPGROUPS, TILE_M, STAGES, SPLIT, MODE) FP8_FEW_ROWS(name, T, WARPGROUPS, 1, 64 * WARPGROUPS, TILE_M, STAGES, SPLIT, MODE, 1)
#define FP8_FEW_ROWS(name, T, WARPGROUPS, TURNS, ROWS, TILE_M, STAGES, SPLIT, MODE, PLACES)                                          \
    FP8_FEW_RINGS(name, T, WARPGROUPS, TURNS, ROWS, TILE_M, STAGES, STAGES, SPLIT, MODE, PLACES)
#define FP8_FEW_RINGS(name, T, WARPGROUPS, TURNS, ROWS, TILE_M, STAGES, X_STAGES, SPLIT, MODE, PLACES)                               \
    extern "C" __global__ void __launch_bounds__(128 * WARPGROUPS * TURNS + (lowbit::MODE == lowbit::BLOCK ? 64 : 32), PLACES)       \
        LOWBIT_NAME(ARCH, name)(                                                                                                    \
        const __grid_constant__ lowbit::TensorMap xMap, const __grid_constant__ lowbit::TensorMap wMap, const float* xScales,       \
        const float* wScales, const float* bias, void* y, uint32_t yType, uint32_t m, uint32_t n, uint32_t k, uint32_t xScaleRow,   \
        uint32_t xScaleCol, uint32_t wScaleRow, uint32_t wScaleCol, uint32_t yPitch, float yScale, float* yScaleTo) {                \
        const lowbit::Fp8Product p = {xScales,   wScales,   bias,      y,         yType,  m,      n,       k,                        \
                                      xScaleRow, xScaleCol, wScaleRow, wScaleCol, yPitch, yScale, yScaleTo};                        \
        lowbit::fp8_few<lowbit::T, WARPGROUPS, TURNS, ROWS, TILE_M, STAGES, X_STAGES, SPLIT, lowbit::MODE>(xMap, wMap, p);                                 \
    }
