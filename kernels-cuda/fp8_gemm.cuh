// FP8 products on Hopper for many rows of x: y = (x · wᵀ) with scales.
//
// A persistent grid. Each block has a producer warpgroup, of which one thread loads boxes of x and w and scales of x, one stores boxes
// of y and a warp fetches scales that change along K, and two consumer warpgroups that multiply. Both operands of a tile lie in shared memory
// in STAGES stages of 128 along K, handed over by barriers: full (bytes have arrived) and empty (all consumers are done). Scales that change
// along K lie in two slots for RUN stages each, with barriers of their own: scaled and read.
//
//   tile of y: 128·MR rows × TILE_N columns; consumer c makes rows [64·MR·c, 64·MR·(c+1)), as MR blocks of 64
//
// Where sums are added up in f32 (PRECISE and BLOCK), a consumer multiplies 64 × TILE_N × 128 into a sum of its own and then adds
// that to the tile's; meanwhile the other consumer keeps the tensor cores busy.
//
// The two consumers use one staging buffer in turns for their part of y, so one of them stores while the other multiplies,
// and they stay out of step from the first tile on. Where there is nothing to stay out of step for (OWN_STORES), each warp turns values of
// 16 bits in 2 KB of its own and stores them itself, 16 bytes a lane.
//
// Tiles may be cut along K (cuts.cuh): the first that a block makes is then the tail of one, whose sums it leaves in the workspace, where
// the fourth warp of the producer's warpgroup says that they are there.
#pragma once
#include "cuts.cuh"
#include "fp8.cuh"

namespace lowbit {

// Tiles in bands of `group` rows of them, each walked down its columns.
struct Raster {
    uint32_t unitsM, unitsN, group;

    __device__ __forceinline__ void at(uint32_t unit, uint32_t& m, uint32_t& n) const {
        uint32_t band = unit / (group * unitsN), first = band * group;
        uint32_t rows = min(group, unitsM - first), i = unit - first * unitsN;
        n = i / rows;
        m = first + i - n * rows;
    }
};

// The sums become values of y: scaled (but in BLOCK mode) and with the bias added. Both consumers come here at the same time, while nothing
// multiplies: what a product does not have is not worked out.
template <int MR, int TILE_N, Fp8Mode MODE>
__device__ __forceinline__ void scale_sums(float (&sum)[MR][TILE_N / 2], const float (&xs)[MR][2], const float* wScales, const Fp8Product& p,
                                       uint32_t n0, int t) {
    // value(i, v): this thread's sum i of block j of 8 columns; odd ones lie in the second of two columns.
    const auto each = [&](int j, auto&& value) {
#pragma unroll
        for (int i = 0; i < 4 * MR; i++) {
            value(i, sum[i / 4][4 * j + i % 4]);
        }
    };
    const auto scales = [&](int j) { return *reinterpret_cast<const float2*>(wScales + j * 8 + 2 * t); };
    if (MODE != BLOCK && p.xScaleRow == 0) {  // one scale for all of x
#pragma unroll
        for (int j = 0; j < TILE_N / 8; j++) {
            const float2 ws = scales(j);
            const float scale[2] = {__fmul_rn(xs[0][0], ws.x), __fmul_rn(xs[0][0], ws.y)};
            each(j, [&](int i, float& v) { v = __fmul_rn(v, scale[i % 2]); });
        }
    } else if (MODE != BLOCK) {
#pragma unroll
        for (int j = 0; j < TILE_N / 8; j++) {
            const float2 ws = scales(j);
            each(j, [&](int i, float& v) { v = __fmul_rn(v, __fmul_rn(xs[i / 4][i / 2 % 2], i % 2 ? ws.y : ws.x)); });
        }
    }
    if (p.bias) {
#pragma unroll
        for (int j = 0; j < TILE_N / 8; j++) {
            const uint32_t n = n0 + j * 8 + 2 * t;
            const float bias[2] = {n < p.n ? __ldg(p.bias + n) : 0.f, n + 1 < p.n ? __ldg(p.bias + n + 1) : 0.f};
            each(j, [&](int i, float& v) { v = __fadd_rn(v, bias[i % 2]); });
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

// The sums as codes: word j of row i has columns 16·j + 4·t … + 3 of it. Each lane of four has collected four neighbours.
template <int MR, int TILE_N>
__device__ __forceinline__ void pack_codes(uint32_t (&words)[2 * MR][TILE_N / 16], const float (&sum)[MR][TILE_N / 2], const Fp8Product& p, int t) {
    static_assert(TILE_N % 16 == 0, "two blocks of 8 columns");
    const float inverse = __fdiv_rn(1.f, p.yScale);
    const int from = threadIdx.x % 32 - t + t % 2 * 2;
#pragma unroll
    for (int i = 0; i < 2 * MR; i++) {
#pragma unroll
        for (int j = 0; j < TILE_N / 16; j++) {
            const float* v = &sum[i / 2][8 * j + i % 2 * 2];
            const uint32_t codes = pack8(v[0], v[1], p.yType, inverse) | pack8(v[4], v[5], p.yType, inverse) << 16;
            const uint32_t low = __shfl_sync(0xffffffff, codes, from), high = __shfl_sync(0xffffffff, codes, from + 1);
            words[i][j] = __byte_perm(low, high, t < 2 ? 0x5410 : 0x7632);
        }
    }
}

template <int MR, int TILE_N, int STAGES, Fp8Mode MODE>
struct GemmShape {
    static constexpr int TILE_M = 128 * MR;
    static constexpr int X_BYTES = TILE_M * STEP_K, W_BYTES = TILE_N * STEP_K, STAGE_BYTES = X_BYTES + W_BYTES;
    static constexpr int PANELS = (TILE_N + 63) / 64;  // of 64 columns; the last one overlaps its neighbour where 64 does not divide TILE_N
    // Blocks of 64 rows that a consumer stages at a time; in BLOCK mode the scales need the room.
    static constexpr int STAGED = MODE == BLOCK ? 1 : MR;
    // Tiles of 128 rows are for products of so few tiles that a block has one or two, and nobody multiplies while another stores: a turn
    // with the staging buffer is 0.8 µs of 11 to 100. In BLOCK mode 256 rows take two turns each. Elsewhere turns are faster: both
    // consumers in step stand still together for 2.8 µs after each tile, instead of 1.7.
    static constexpr bool OWN_STORES = MR == 1 || MODE == BLOCK;
    static constexpr int WARP_BYTES = 16 * 128, PARTS_BYTES = STAGED * PANELS * 8192;
    static constexpr int STAGING_BYTES = PARTS_BYTES > 8 * WARP_BYTES ? PARTS_BYTES : 8 * WARP_BYTES;
    static constexpr int STAGING = STAGES * STAGE_BYTES;
    static constexpr int SCALES = STAGING + STAGING_BYTES;
    // BLOCK: two slots for the scales of RUN steps, those of x, then those of w. Else the scales of w, for each consumer.
    static constexpr int RUN = 8, W_SCALES = RUN * TILE_M * 4, SLOT_BYTES = W_SCALES + 128;
    // BLOCK: a tile lies in one block of 128 columns that share a scale, or in two, which meet at a multiple of SCALED_COLS.
    static constexpr int W_BLOCKS = 128 % TILE_N == 0 ? 1 : 2, SCALED_COLS = W_BLOCKS == 1 ? TILE_N : TILE_N & -TILE_N;
    static constexpr int W_STEPS = 32 / W_BLOCKS;  // whose scales of w a warp has in its lanes
    static constexpr int SUMS = MR * TILE_N / 2;  // of a thread
    // Which may be told to cut tiles along K: those that gain by it somewhere. In the others nothing of it is compiled.
    static constexpr bool MAY_CUT = TILE_N == 128 && (MR == 2 ? MODE != PRECISE : MODE == BLOCK);
    static constexpr int BARRIERS = SCALES + (MODE == BLOCK ? 2 * SLOT_BYTES : 2 * TILE_N * 4);
    static constexpr int BYTES = BARRIERS + (2 * STAGES + (MODE == BLOCK ? 8 : 4)) * 8;
    static_assert(BYTES <= 232448, "shared memory of a block");
    static_assert(MODE != BLOCK || TILE_N <= 128 + SCALED_COLS, "no more than two scales of w for the columns of a tile");
};

// Where things lie in shared memory.
template <typename S, int STAGES>
struct Places {
    uint32_t base, full, empty, staged, turn, scaled, read;

    explicit __device__ __forceinline__ Places(uint32_t base)
        : base(base), full(base + S::BARRIERS), empty(full + 8 * STAGES), staged(empty + 8 * STAGES), turn(staged + 16), scaled(turn + 16), read(scaled + 16) {}
};

template <Fp8Types T, int MR, int TILE_N, int STAGES, Fp8Mode MODE>
__device__ __forceinline__ void fp8_gemm(const TensorMap& xMap, const TensorMap& wMap, const TensorMap& yMap, const TensorMap& scaleMap, const Fp8Product& p,
                                         const Cuts& asked, uint32_t copyOut, uint32_t bands) {
    using S = GemmShape<MR, TILE_N, STAGES, MODE>;
    const Cuts cuts = S::MAY_CUT ? asked : Cuts{};
    extern __shared__ __align__(1024) uint8_t smem[];
    const Places<S, STAGES> places(shared_address(smem));
    const uint32_t base = places.base, full = places.full, empty = places.empty, staged = places.staged, turn = places.turn;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const uint32_t block = blockIdx.x, blocks = gridDim.x;
    // A way through the tiles. Each warp has its own, worked out from numbers that the compiler takes for the warp's alone: what
    // all had in common would be spilled where the registers are shared out.
    struct Way {
        Raster raster;
        uint32_t steps;
        CutWalk walk;
    };
    const auto start = [&]() {
        uint32_t m = p.m, n = p.n, k = p.k, at = block;
        asm volatile("" : "+r"(m), "+r"(n), "+r"(k), "+r"(at));
        const uint32_t steps = (k + STEP_K - 1) / STEP_K;
        return Way{{(m + S::TILE_M - 1) / S::TILE_M, (n + TILE_N - 1) / TILE_N, bands}, steps, CutWalk(cuts, steps, at, blocks)};
    };
    const auto more = [&](const Way& way) { return way.walk.tile < way.raster.unitsM * way.raster.unitsN; };
    const auto next = [&](Way& way) { way.walk.next(cuts, way.steps, block, blocks); };
    // The first row and column of a unit's tile. Rows of a box that lie beyond a matrix cost more than rows that are there, so the last of
    // several tiles begins at the latest where it still has whole rows (columns: a multiple of 16, where boxes of y in 8 bits are stored), and
    // makes some twice, which have the same bits. But not where tiles are cut along K; and all columns of a tile in BLOCK mode have one scale.
    const auto last_tile = [](uint32_t all, uint32_t tile, uint32_t step) { return all > tile ? (all - tile + step - 1) / step * step : 0; };
    const auto tile_at = [&](const Way& way, uint32_t& m, uint32_t& n) {
        way.raster.at(way.walk.tile, m, n);
        m *= S::TILE_M;
        n *= TILE_N;
        if (cuts.runs == 0) {
            m = min(m, last_tile(p.m, S::TILE_M, 8));
            n = MODE == BLOCK ? n : min(n, last_tile(p.n, TILE_N, 16));
        }
    };

    const auto load_x = [&](uint32_t stage, uint32_t s, int32_t m0) {
        load_box(base + stage * S::STAGE_BYTES, &xMap, s * STEP_K, m0, full + 8 * stage, EVICT_NORMAL);
    };
    const auto load_w = [&](uint32_t stage, uint32_t s, int32_t n0) {
        load_box(base + stage * S::STAGE_BYTES + S::X_BYTES, &wMap, s * STEP_K, n0, full + 8 * stage, EVICT_NORMAL);
    };
    // Boxes of x have no more rows than x; what lies in the other rows of a stage is anything, and never stored.
    const auto expect = [&](uint32_t stage) { mbarrier_arrive_expect(full + 8 * stage, min(uint32_t(S::TILE_M), p.m) * STEP_K + S::W_BYTES); };
    // Weights do not depend on the kernels before this one: those of the first stages.
    const auto early = [&](const Way& way) { return more(way) ? min(way.walk.last - way.walk.first, uint32_t(STAGES)) : 0; };
    const auto load_early = [&](const Way& way) {
        if (more(way)) {
            uint32_t m0, n0;
            tile_at(way, m0, n0);
            for (uint32_t s = 0; s < early(way); s++) {
                expect(s);
                load_w(s, way.walk.first + s, n0);
            }
        }
    };

    if (threadIdx.x == 32) {
        // x may still be written by the kernels before this one, but the L2 cache is where all meet: the blocks with the same rows
        // fetch together what the first stages take.
        const Way way = start();
        if (more(way)) {
            constexpr uint32_t SHARES = 8;
            uint32_t m0, n0;
            tile_at(way, m0, n0);
            for (uint32_t s = n0 / TILE_N % SHARES; s < early(way); s += SHARES) {
                prefetch_box(&xMap, (way.walk.first + s) * STEP_K, m0);
            }
        }
    }
    if (threadIdx.x == 0) {
        prefetch_tensor_map(&xMap);
        prefetch_tensor_map(&wMap);
        for (int i = 0; i < STAGES; i++) {
            mbarrier_init(full + 8 * i, 1);
            mbarrier_init(empty + 8 * i, 8 * WARP_ARRIVALS);
        }
        for (int i = 0; i < 2; i++) {
            mbarrier_init(staged + 8 * i, 4);
            mbarrier_init(turn + 8 * i, 1);
            if (MODE == BLOCK) {
                mbarrier_init(places.scaled + 8 * i, 1 + S::RUN * S::W_BLOCKS);
                mbarrier_init(places.read + 8 * i, 8 * WARP_ARRIVALS);
            }
        }
        fence_mbarrier_init();
        load_early(start());  // nobody but this thread and the copy engine is needed for it
    }
    __syncthreads();

    if (warp < 4) {
        setmaxnreg_dec<40>();
        if (warp == 0 && lane == 0) {
            Way way = start();
            uint32_t there = early(way);
            griddepcontrol_wait();
            uint32_t stage = 0, parity = 0;
            for (; more(way); next(way)) {
                uint32_t m0, n0;
                tile_at(way, m0, n0);
                for (uint32_t s = way.walk.first; s < way.walk.last; s++) {
                    if (there > 0) {
                        there--;
                    } else {
                        barrier_wait(empty + 8 * stage, parity ^ 1);
                        expect(stage);
                        load_w(stage, s, n0);
                    }
                    load_x(stage, s, m0);
                    if (++stage == STAGES) {
                        stage = 0;
                        parity ^= 1;
                    }
                }
            }
            griddepcontrol_launch_dependents();
        } else if (MODE == BLOCK && warp == 2) {
            // The scales of RUN steps at a time: those of x in one box, those of w from the lanes, which have those of W_STEPS, loaded as long before.
            uint32_t slot = 0, parity = 0;
            Way way = start();
            for (; more(way); next(way)) {
                uint32_t m0, n0;
                tile_at(way, m0, n0);
                const auto scales_from = [&](uint32_t s) {
                    return __ldg(p.wScales + uint64_t(min(n0 + lane / S::W_STEPS * 128, p.n - 1) / 128) * p.wScaleRow +
                                 uint64_t(min(s + lane % S::W_STEPS, way.steps - 1)) * p.wScaleCol);
                };
                float w = scales_from(way.walk.first), then = scales_from(way.walk.first + S::W_STEPS);
                griddepcontrol_wait();
                for (uint32_t s = way.walk.first; s < way.walk.last; s += S::RUN) {
                    const uint32_t i = (s - way.walk.first) % S::W_STEPS;
                    const uint32_t to = base + S::SCALES + slot * S::SLOT_BYTES, scaled = places.scaled + 8 * slot;
                    barrier_wait(places.read + 8 * slot, parity ^ 1);
                    if (p.xScaleRow != 0 && p.xScaleCol == 0) {  // the same along K
                        const uint32_t bytes = min(uint32_t(S::TILE_M), (p.m + 3) / 4 * 4 - m0) * 4;
                        if (lane == 0) {
                            mbarrier_arrive_expect(scaled, S::RUN * bytes);
                        }
                        __syncwarp();
                        if (lane < S::RUN) {
                            copy_bulk(to + lane * S::TILE_M * 4, p.xScales + m0, bytes, scaled);
                        }
                    } else if (lane == 0 && p.xScaleRow != 0) {
                        mbarrier_arrive_expect(scaled, S::W_SCALES);
                        load_box(to, &scaleMap, m0, s, scaled, EVICT_NORMAL);
                    } else if (lane == 0) {
                        barrier_arrive(scaled);
                    }
                    if (lane % S::W_STEPS / S::RUN == i / S::RUN) {
                        store_shared(to + S::W_SCALES + (lane % S::RUN * S::W_BLOCKS + lane / S::W_STEPS) * 4, w);
                        barrier_arrive(scaled);
                    }
                    if (i == S::W_STEPS - S::RUN) {
                        w = then;
                        then = scales_from(s + S::RUN + S::W_STEPS);
                    }
                    slot ^= 1;
                    parity ^= slot ^ 1;
                }
            }
        } else if (warp == 1 && lane == 0 && copyOut && (!S::OWN_STORES || p.yType >= E4M3)) {
            uint32_t parity = 0;
            Way way = start();
            for (; more(way); next(way)) {
                if (!way.walk.owned()) {
                    continue;
                }
                uint32_t m0, n0;
                tile_at(way, m0, n0);
                for (int c = 0; c < 2; c++) {
                    for (int first = 0; first < MR; first += S::STAGED) {
                        barrier_wait(staged + 8 * c, S::STAGED == MR ? parity : first);
                        for (int mr = 0; mr < S::STAGED; mr++) {
                            for (int panel = 0; panel < S::PANELS; panel++) {
                                store_box(&yMap, n0 + min(panel * 64, TILE_N - 64), m0 + (c * MR + first + mr) * 64,
                                          base + S::STAGING + (mr * S::PANELS + panel) * 8192);
                            }
                        }
                        store_commit();
                        store_wait_read();
                        barrier_arrive(turn + 8 * (first + S::STAGED < MR ? c : 1 - c));
                    }
                }
                parity ^= 1;
            }
        } else if (S::MAY_CUT && warp == 3 && cuts.runs > 0) {
            // What the consumers have left for others, the first thing they do, is there.
            const Way way = start();
            for (uint32_t c = 0; c < 2 && more(way) && !way.walk.owned(); c++) {
                named_barrier(3 + c, 128 + 32);
                if (lane == 0) {
                    Slot<2, S::SUMS>(cuts.workspace, block, c).publish();
                }
            }
        }
    } else {
        setmaxnreg_inc<232>();
        // Through a shuffle, since ptxas would work the address of shared memory out again in every step.
        const Places<S, STAGES> places(__shfl_sync(0xffffffff, shared_address(smem), 0));
        const uint32_t base = places.base, full = places.full, empty = places.empty, staged = places.staged, turn = places.turn;
        const int consumer = __shfl_sync(0xffffffff, warp / 4 - 1, 0), row = warp % 4 * 16, g = lane / 4, t = lane % 4;
        const uint32_t staging = base + S::STAGING;
        float* const wScales = reinterpret_cast<float*>(smem + S::SCALES) + consumer * TILE_N;
        float sum[MR][TILE_N / 2];
        float part[TILE_N / 2];
#pragma unroll
        for (int i = 0; i < TILE_N / 2; i++) {
            part[i] = 0.f;
        }
        const uint32_t zero = uint32_t(copyOut) >> 1;  // which no compiler knows
        // BLOCK: where this thread's first row has its scale among a step's. Through shuffles for the same reason.
        const uint32_t scaleAt = __shfl_sync(0xffffffff, base + S::SCALES + (consumer * 64 * MR + row + g) * 4, lane);
        const int self = MODE == BLOCK ? __shfl_sync(0xffffffff, lane, lane) : lane;
        griddepcontrol_wait();
        if (p.yType >= E4M3 && blockIdx.x == 0 && threadIdx.x == 128) {
            *p.yScaleTo = p.yScale;
        }
        if (MODE == BLOCK && p.xScaleRow == 0) {  // one scale for all of x: there once and for all
            for (int i = threadIdx.x % 128; i < 2 * S::RUN * 64 * MR; i += 128) {
                const int step = i / (64 * MR);
                store_shared(base + S::SCALES + step / S::RUN * S::SLOT_BYTES + (step % S::RUN * S::TILE_M + consumer * 64 * MR + i % (64 * MR)) * 4,
                             *p.xScales);
            }
            named_barrier(1 + consumer, 128);
        }
        // The operands of a stage: those of the first, and how far a stage lies from it.
        const uint64_t firstA = descriptor(base + consumer * 64 * MR * STEP_K), firstB = descriptor(base + S::X_BYTES);
        Way way = start();
        uint32_t tile = 0, stage = 0, parity = 0, stageAt = 0;
        // BLOCK: where the scales of the next step are, those of x and that of w: step `run` of a slot.
        uint32_t run = 0, slot = 0, slotParity = 0, xScaleFrom = scaleAt, wScaleFrom = base + S::SCALES + S::W_SCALES;
        const auto next_slot = [&]() {
            slot ^= 1;
            slotParity ^= slot ^ 1;
            run = 0;
            xScaleFrom = scaleAt + slot * S::SLOT_BYTES;
            wScaleFrom = base + S::SCALES + S::W_SCALES + slot * S::SLOT_BYTES;
        };
        for (; more(way); next(way)) {
            uint32_t tileM, tileN;
            tile_at(way, tileM, tileN);
            const uint32_t m0 = tileM + consumer * MR * 64 + row + g, n0 = tileN;  // this thread's first row

            float xs[MR][2] = {};  // asked for now: after the product nobody multiplies while they come
            if (MODE != BLOCK && way.walk.owned()) {
#pragma unroll
                for (int i = 0; i < 2 * MR; i++) {
                    xs[i / 2][i % 2] = p.xScales[uint64_t(min(m0 + i / 2 * 64 + i % 2 * 8, p.m - 1)) * p.xScaleRow];
                }
                named_barrier(1 + consumer, 128);  // the scales of the tile before have been read
                for (int i = threadIdx.x % 128; i < TILE_N; i += 128) {
                    const uint32_t n = min(n0 + i, p.n - 1);
                    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(shared_address(wScales + i)),
                                 "l"(p.wScales + uint64_t(n) * p.wScaleRow)
                                 : "memory");
                }
            }
            const auto operands = [&](uint64_t& a, uint64_t& b) {
                a = descriptor_at(firstA, stageAt);
                b = descriptor_at(firstB, stageAt);
            };
            const auto next_stage = [&]() {
                stageAt += S::STAGE_BYTES;
                if (++stage == STAGES) {
                    stage = stageAt = 0;
                    parity ^= 1;
                }
            };

#pragma unroll
            for (int i = 0; i < TILE_N / 2; i++) {
#pragma unroll
                for (int mr = 0; mr < MR; mr++) {
                    sum[mr][i] = 0.f;
                }
            }
            // An owner adds the sums of others on its way, when they should have been there for a while, or at its end.
            const uint32_t others = S::MAY_CUT && way.walk.owned() ? way.walk.others(cuts, way.steps, block, blocks) : 0;
            uint32_t s = way.walk.first, until = others == 1 ? min(cuts.after, way.walk.last) : way.walk.last;
#pragma unroll 1
            for (bool add = others > 0;;) {
                if (MODE == FAST) {
                    uint32_t before = empty;
                    for (const uint32_t begin = s; s < until; s++) {
                        barrier_wait(full + 8 * stage, parity);
                        uint64_t a, b;
                        operands(a, b);
                        wgmma_fence();
#pragma unroll
                        for (int i = 0; i < STEP_K / 32; i++) {
#pragma unroll
                            for (int mr = 0; mr < MR; mr++) {
                                Wgmma<TILE_N>::template add<T>(sum[mr], a + 2 * i + 512 * mr, b + 2 * i, s != way.walk.first | i);
                            }
                        }
                        wgmma_commit();
                        wgmma_wait<1>();
                        warp_arrive(before, lane, s != begin);
                        before = empty + 8 * stage;
                        next_stage();
                    }
                    wgmma_wait<0>();
                    warp_arrive(before, lane);
                } else {
                    // What a consumer does between the end of a multiplication and the start of its next one is time lost, so everything but
                    // the additions stands between the instructions of a multiplication, which wait for the tensor cores anyway, or in BLOCK
                    // mode, where that is more, behind them. ptxas moves nothing up across the loop of a barrier_wait.
                    constexpr bool LATE = TILE_N > 64;
                    barrier_wait(full + 8 * stage, parity);
                    uint64_t a, b;
                    operands(a, b);
                    uint32_t before = 0;
                    constexpr int PARTS = TILE_N / S::SCALED_COLS;
                    float xScale[2 * MR], wScale[S::W_BLOCKS], scale[PARTS][2 * MR];  // BLOCK
                    const auto multiply_scales = [&](int j, const float (&w)[S::W_BLOCKS]) {
#pragma unroll
                        for (int q = 0; q < PARTS; q++) {
                            scale[q][j] = __fmul_rn(xScale[j], n0 % 128 + q * S::SCALED_COLS < 128 ? w[0] : w[S::W_BLOCKS - 1]);
                        }
                    };
                    const auto load_scales = [&]() {
                        if (LATE || run == 0) {
                            barrier_wait(places.scaled + 8 * slot, slotParity);
                        }
                        // A load from shared memory takes long while the tensor cores read there.
#pragma unroll
                        for (int j = 0; j < 2 * MR; j++) {
                            xScale[j] = load_shared(xScaleFrom + (j / 2 * 64 + j % 2 * 8) * 4);
                        }
#pragma unroll
                        for (int j = 0; j < S::W_BLOCKS; j++) {
                            wScale[j] = load_shared(wScaleFrom + 4 * j);
                        }
                    };
#pragma unroll 1
                    for (const uint32_t begin = s; s < until; s++) {
                        uint64_t nextA = a, nextB = b;
                        const auto next_operands = [&]() {
                            before = empty + 8 * stage;
                            next_stage();
                            if (s + 1 < until) {
                                barrier_wait(full + 8 * stage, parity);
                            }
                            operands(nextA, nextB);
                        };
#pragma unroll
                        for (int mr = 0; mr < MR; mr++) {
                            wgmma_fence();
#pragma unroll
                            for (int i = 0; i < STEP_K / 32; i++) {
                                Wgmma<TILE_N>::template add<T>(part, a + 2 * i + 512 * mr, b + 2 * i, i);
                                if (i == 0 && mr == 0) {
                                    if (MODE == BLOCK && !LATE) {
                                        load_scales();
                                    }
                                    warp_arrive(before, self, s != begin);
                                }
                                if (MODE == PRECISE && i == 1 && mr == MR - 1) {
                                    next_operands();
                                }
                            }
                            wgmma_commit();
                            if (MODE == BLOCK && LATE && mr == 0) {
                                load_scales();
#pragma unroll
                                for (int j = 0; j < 2 * MR; j++) {
                                    multiply_scales(j, wScale);
                                }
                            }
                            if (MODE == BLOCK && mr == MR - 1) {
                                next_operands();
                                warp_arrive(places.read + 8 * (slot ^ 1), self, run == 0 && s != way.walk.first);
                                xScaleFrom += S::TILE_M * 4;
                                wScaleFrom += 4 * S::W_BLOCKS;
                                if (++run == S::RUN) {
                                    next_slot();
                                }
                            }
                            wgmma_wait<0>();
                            if (MODE == BLOCK && !LATE) {
                                const float w[S::W_BLOCKS] = {after(wScale[0], part[0], zero)};
#pragma unroll
                                for (int j = 2 * mr; j < 2 * mr + 2; j++) {
                                    multiply_scales(j, w);
                                }
                            }
#pragma unroll
                            for (int i = 0; i < TILE_N / 2; i++) {
                                sum[mr][i] = MODE == BLOCK ? __fmaf_rn(part[i], scale[i * 2 / S::SCALED_COLS][2 * mr + i / 2 % 2], sum[mr][i])
                                                           : __fadd_rn(part[i], sum[mr][i]);
                            }
                        }
                        a = nextA;
                        b = nextB;
                    }
                    warp_arrive(before, lane);
                }
                if (add) {
                    add = false;
                    for (uint32_t i = 1; i <= others; i++) {
                        const Slot<2, S::SUMS> slot(cuts.workspace, block - i * cuts.groups, consumer);
                        if (threadIdx.x % 128 == 0) {
                            slot.await();
                        }
                        named_barrier(1 + consumer, 128);
                        slot.add_to(sum);
                    }
                }
                if (until == way.walk.last) {
                    break;
                }
                until = way.walk.last;
            }
            if (MODE == BLOCK) {
                if (run > 0) {
                    next_slot();
                }
                warp_arrive(places.read + 8 * (slot ^ 1), lane);
            }
            if (S::MAY_CUT && !way.walk.owned()) {
                Slot<2, S::SUMS>(cuts.workspace, block, consumer).store(sum);
                named_barrier_arrive(3 + consumer, 128 + 32);
                continue;
            }

            if (MODE != BLOCK) {
                asm volatile("cp.async.wait_all;" ::: "memory");
                named_barrier(1 + consumer, 128);
            }
            scale_sums<MR, TILE_N, MODE>(sum, xs, wScales, p, n0, t);
            const auto rows = [&](auto&& store) {
#pragma unroll
                for (int i = 0; i < 2 * MR; i++) {
                    const uint32_t m = m0 + i / 2 * 64 + i % 2 * 8, n = n0 + 2 * t;
                    if (m < p.m) {
                        store(i, uint64_t(m) * p.n + n, int32_t(p.n - n));
                    }
                }
            };
            // Puts panels of 64 columns, the last one at TILE_N - 64, into the staging buffer when it is this consumer's turn.
            const auto put = [&](auto&& store) {
#pragma unroll
                for (int mr = 0; mr < MR; mr++) {
                    if (mr % S::STAGED == 0) {
                        barrier_wait(turn + 8 * consumer, (S::STAGED == MR ? tile : mr) ^ 1 ^ consumer);
                    }
#pragma unroll
                    for (int panel = 0; panel < S::PANELS; panel++) {
                        store(mr, staging + (mr % S::STAGED * S::PANELS + panel) * 8192, panel * 64 < TILE_N - 64 ? panel * 64 : TILE_N - 64);
                    }
                    if ((mr + 1) % S::STAGED == 0) {
                        fence_async_shared();
                        __syncwarp();
                        if (lane == 0) {
                            barrier_arrive(staged + 8 * consumer);
                        }
                    }
                }
            };
            if (p.yType == F32) {
                rows([&](int i, uint64_t at, int32_t left) {
                    store_row<TILE_N>(static_cast<float*>(p.y) + at, left, [&](int j, int h) { return sum[i / 2][4 * j + i % 2 * 2 + h]; });
                });
            } else if (p.yType >= E4M3) {
                // Panels of 64 codes a row, pieces of 16 bytes swizzled as boxes of 64 bytes are.
                uint32_t words[2 * MR][TILE_N / 16];
                pack_codes<MR, TILE_N>(words, sum, p, t);
                put([&](int mr, uint32_t to, int at) {
#pragma unroll
                    for (int i = 0; i < 8; i++) {
                        const uint32_t sr = row + g + i / 4 * 8, piece = i % 4;
                        store_shared(to + sr * 64 + ((piece ^ (sr / 2 & 3)) << 4) + 4 * t, words[2 * mr + i / 4][at / 16 + i % 4]);
                    }
                });
            } else {
                uint32_t packed[MR][TILE_N / 4];
                if (p.yType == BF16) {
                    pack_sums<MR, TILE_N, BF16>(packed, sum);
                } else {
                    pack_sums<MR, TILE_N, F16>(packed, sum);
                }
                if (copyOut && !S::OWN_STORES) {
                    // Panels of 64 values a row, pieces of 16 bytes swizzled as boxes of 128 bytes are.
                    put([&](int mr, uint32_t to, int at) {
#pragma unroll
                        for (int i = 0; i < 4; i++) {
                            const uint32_t sr = row + lane % 16, piece = i * 2 + lane / 16;
                            const uint32_t* r = &packed[mr][(at + i * 16) / 4];
                            store_matrices(to + sr * 128 + ((piece ^ (sr & 7)) << 4), r[0], r[1], r[2], r[3]);
                        }
                    });
                } else if (copyOut) {
                    // 16 rows of 64 columns at a time, pieces of 16 bytes swizzled.
                    const uint32_t own = staging + (consumer * 4 + warp % 4) * S::WARP_BYTES, piece = lane % 8;
#pragma unroll
                    for (int i = 0; i < MR * S::PANELS; i++) {
                        const int mr = i / S::PANELS, at = min(i % S::PANELS * 64, TILE_N - 64);
                        __syncwarp();
#pragma unroll
                        for (int j = 0; j < 4; j++) {
                            const uint32_t r = lane % 16;
                            const uint32_t* v = &packed[mr][(at + j * 16) / 4];
                            store_matrices(own + r * 128 + (((j * 2 + lane / 16) ^ (r & 7)) << 4), v[0], v[1], v[2], v[3]);
                        }
                        __syncwarp();
                        const uint32_t n = n0 + at + piece * 8;
#pragma unroll
                        for (int j = 0; j < 4; j++) {
                            const uint32_t r = lane / 8 + 4 * j, m = m0 - g + mr * 64 + r;
                            const uint4 v = load_shared4(own + r * 128 + ((piece ^ (r & 7)) << 4));
                            if (m < p.m && n < p.n) {
                                *reinterpret_cast<uint4*>(static_cast<uint16_t*>(p.y) + uint64_t(m) * p.n + n) = v;
                            }
                        }
                    }
                } else {
                    rows([&](int i, uint64_t at, int32_t left) {
                        store_row<TILE_N>(static_cast<uint16_t*>(p.y) + at, left,
                                            [&](int j, int h) { return uint16_t(packed[i / 2][2 * j + i % 2] >> 16 * h); });
                    });
                }
            }
            tile ^= 1;
        }
    }
}

}  // namespace lowbit

#define FP8_GEMM(name, T, MR, TILE_N, STAGES, MODE)                                                                                 \
    extern "C" __global__ void __launch_bounds__(384, 1) LOWBIT_NAME(ARCH, name)(                                                   \
        const __grid_constant__ lowbit::TensorMap xMap, const __grid_constant__ lowbit::TensorMap wMap,                             \
        const __grid_constant__ lowbit::TensorMap yMap, const __grid_constant__ lowbit::TensorMap scaleMap, const float* xScales,   \
        const float* wScales, const float* bias, void* y, uint32_t yType, uint32_t m, uint32_t n, uint32_t k, uint32_t xScaleRow,   \
        uint32_t xScaleCol, uint32_t wScaleRow, uint32_t wScaleCol, uint32_t copyOut, uint32_t raster, uint32_t yPitch,             \
        float yScale, float* yScaleTo, uint32_t* workspace, uint32_t groups, uint32_t runs, uint32_t runTiles, uint32_t span,       \
        uint32_t after) {                                                                                                           \
        const lowbit::Fp8Product p = {xScales,   wScales,   bias,      y,         yType,  m,      n,       k,                        \
                                      xScaleRow, xScaleCol, wScaleRow, wScaleCol, yPitch, yScale, yScaleTo};                        \
        lowbit::fp8_gemm<lowbit::T, MR, TILE_N, STAGES, lowbit::MODE>(                                                              \
            xMap, wMap, yMap, scaleMap, p, {workspace, groups, runs, runTiles, span, after}, copyOut, raster);                      \
    }
