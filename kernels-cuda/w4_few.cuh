// y = x·Wᵀ (+ bias, + y) with 4-bit weights and 16-bit activations, for few rows of x (tokens), on warp groups: m64nNk16 with W as
// the A operand, unpacked into registers, and x as the B operand in shared memory.
//
//   block: BANDS bands of 64 rows of W × PARTS parts of K = as many warp groups, and a producer; TOKENS rows of x
//   stage: [part][x: 2 halves of 64 columns, TOKENS rows, swizzled by the copy engine │ a record of each band]
//   cluster: `split` blocks share the bands and tokens and cut K
//
//   band 0 │ group 0 │ group 2 │ group 0 │ group 2 │ …      BANDS = PARTS = 2; one box: a record, 64 rows × 128 columns;
//   band 1 │ group 1 │ group 3 │ group 1 │ group 3 │ …      two neighbours and their x are a stage
//
// At first each warp fills stages: records by bulk copies before the wait for the kernel before this one, x by tensor copies after it;
// then the producer fills what is free. With RINGS (16 rows, PARTS > 1) x and records have rings of their own. Where all blocks are one of each
// multiprocessor, the next kernel's begin beside them: then blocks without a band hold the places that are left (W4FewProduct).
// (code − zero) or the table's value times x is summed over a group, then scaled in f32, so
// no product is rounded. At the end each warp sends its sums, in the order in which its lanes hold them, to the warps with the other
// parts of K of its rows, and adds what it gets for its share of the tokens in the order of the parts: the order of every sum is fixed.
//
// What bounds it is the instructions of unpacking, so everything that a scheme settles is settled when compiled: GROUPS is
// 1 (a scale for each 128 columns or more), 2 (for 64), or 4 (for 32; but for INT4's scales in 16 bits it serves all others too, the
// scale is looked up for each 32).
// With 128 tokens there are no registers for two sets of sums: the weight, code − zero, is scaled before it is multiplied, and
// rounded to the type of x (one scale for each 128 columns or more alone, and it has the type of x or x is BF16). With BF16 that is
// done with 64 tokens too where there are several scales for 128 columns, and from 32 on where the scale costs no instruction (FOLDED):
// FEW_SCALES. MXFP4 and NVFP4 (no TABLE, and a MODE of bytes) lose
// nothing by it, so there it is done with any number of tokens, but for MXFP4 with F16, whose range is too small.
#pragma once
#include "arrive.cuh"
#include "w4.cuh"

namespace lowbit {

struct FewShape {
    uint32_t split;      // blocks of a cluster
    uint32_t stages;
    uint32_t spans;      // records along K for a block
    uint32_t partBytes;  // of a part of a stage, a multiple of 1024
    uint32_t share;      // units of a warp's sums that each of those finishes that have parts of K: FewSums
    uint32_t xStages;    // of the ring of x, and how many stages of records are on their way at a time: FEW_RINGS
    uint32_t flight;
    uint32_t soon;       // not 0: the kernel after this one may begin with this one, else when this one has asked for its first records
};

// How the sums of a band are finished: in units of so many of a lane's registers (8 rows of x and 8 or 16 of W). The warps that
// have a part of K, in the order of the parts, finish `share` units each.
template <int TOKENS, int BANDS, int PARTS, bool SHARED>
struct FewSums {
    static constexpr int OWN = SHARED ? BANDS - 1 : BANDS;  // bands of a block's own
    static constexpr int UNIT = TOKENS == 16 ? 2 : 4, UNITS = TOKENS / 2 / UNIT, UNIT_BYTES = 32 * UNIT * 4;
    int rank;    // of the block in its cluster
    int64_t m0;  // first row of x
    int tokens, units, parts, self, share, mine;  // mine: or less than 0

    // Called anew at the end, so that nothing of it takes registers in the loop.
    __device__ __forceinline__ FewSums(const FewShape& shape, int64_t m, int part)
        : rank(int(block_of_cluster())), m0(int64_t(cluster_x()) * TOKENS), tokens(int(m - m0 < TOKENS ? m - m0 : TOKENS)),
          units((tokens + 7) / 8 * (4 / UNIT)), parts(SHARED ? 2 : int(shape.split) * PARTS), self(SHARED ? rank : rank * PARTS + part),
          share(int(shape.share)), mine(units - self * share < share ? units - self * share : share) {}

    // Where the block's bands lie. SHARED: each block's own, then the one of both.
    __device__ __forceinline__ int64_t band(int i) const {
        return SHARED ? int64_t(blockIdx.y) * (2 * OWN + 1) + (i == OWN ? 2 * OWN : rank * OWN + i) : int64_t(blockIdx.y) * BANDS + i;
    }
};

// The end: each warp's sums to those that finish them, their sum in the order of the parts, times the scale of the row and `factor`, and
// the bias; y. `sums`: in shared memory, [warp that finishes][part][unit of its share][lane]; `arrived`: a barrier for each warp.
template <class T, int TOKENS, int BANDS, int PARTS, bool SHARED>
__device__ __forceinline__ void finish_sums(const W4& w, const FewShape& shape, const float (&acc)[TOKENS / 2], uint32_t stages, uint32_t sums,
                                            uint32_t sumsOfWarp, uint32_t arrived, float factor, void* y, uint32_t yType, const void* bias,
                                            uint32_t biasType, int64_t m) {
    using Sums = FewSums<TOKENS, BANDS, PARTS, SHARED>;
    constexpr int OWN = SHARED ? BANDS - 1 : BANDS, CONSUMERS = BANDS * PARTS * 128;
    constexpr int UNIT = Sums::UNIT, UNITS = Sums::UNITS, UNIT_BYTES = Sums::UNIT_BYTES;
    constexpr int AT_ONCE = UNIT == 4 ? 2 : 1;  // units that are finished side by side, for one would wait at each step
    const int warp = __shfl_sync(0xffffffffu, threadIdx.x / 32, 0), lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const int quarter = warp % 4, part = warp / 4 / BANDS, band = warp / 4 % BANDS;
    const bool sharedBand = SHARED && band == OWN, exchanges = SHARED ? sharedBand : PARTS > 1 || shape.split > 1;
    const Sums end(shape, m, part);
    // The scale and bias of rows g and g + 8, early.
    const int64_t n0 = end.band(band) * BAND + quarter * 16;
    float scale[2], add[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const int64_t n = n0 + h * 8 + g;
        scale[h] = __fmul_rn(w.rowScales && n < w.n ? __fmul_rn(w.rowScales[n], w.matrixScale) : w.matrixScale, factor);
        add[h] = bias && n < w.n ? load(bias, biasType, n) : 0.f;
    }
    // Stores v, the sums of units from `unit` on, `there` of them; `scratch`: where this lane's sums of the first came from. Halves
    // change from a lane's two tokens of a row to two rows of a token on their way.
    const bool wide = (yType & ~ADD) != F32 && w.n % 2 == 0 && reinterpret_cast<uintptr_t>(y) % 4 == 0;
    const int rowsLeft = int(w.n - n0 < 16 ? w.n - n0 : 16);
    uint32_t* const pairs = reinterpret_cast<uint32_t*>(static_cast<uint16_t*>(y) + (end.m0 + g) * w.n + n0 + 2 * t);
    const auto finish = [&](float(&v)[AT_ONCE * UNIT], int unit, int there, uint32_t scratch) {
        constexpr int PAIRS = AT_ONCE * UNIT / 2;
        const auto tokensOf = [&](int i) { return (unit + i / (UNIT / 2)) * UNIT / 4 * 8; };  // the first of 8
        const auto half = [&](int i) { return UNIT == 4 ? i % 2 : unit % 2; };                // 1: rows 8 … 15
        const auto present = [&](int i) { return i / (UNIT / 2) < there; };
#pragma unroll
        for (int i = 0; i < PAIRS; i++) {
            const float s = half(i) ? scale[1] : scale[0], b = half(i) ? add[1] : add[0];
#pragma unroll
            for (int e = 0; e < 2; e++) {
                v[2 * i + e] = __fmul_rn(v[2 * i + e], s);
                v[2 * i + e] = bias ? __fadd_rn(v[2 * i + e], b) : v[2 * i + e];
            }
        }
        if (wide) {
            const auto stored = [&](int i) { return present(i) && tokensOf(i) + g < end.tokens && 2 * t + half(i) * 8 < rowsLeft; };
            const auto to = [&](int i) { return pairs + (tokensOf(i) * w.n + half(i) * 8) / 2; };
            if (yType & ADD) {
                uint32_t old[PAIRS];
#pragma unroll
                for (int i = 0; i < PAIRS; i++) {
                    old[i] = stored(i) ? *to(i) : 0;
                }
#pragma unroll
                for (int i = 0; i < PAIRS; i++) {
                    const float2 before = floats(transpose_halves(old[i]), yType & ~ADD);
                    v[2 * i] = __fadd_rn(before.x, v[2 * i]);
                    v[2 * i + 1] = __fadd_rn(before.y, v[2 * i + 1]);
                }
            }
            uint32_t now[PAIRS];
#pragma unroll
            for (int i = 0; i < PAIRS; i++) {
                now[i] = transpose_halves(halves(v[2 * i], v[2 * i + 1], yType & ~ADD));
            }
#pragma unroll
            for (int i = 0; i < PAIRS; i++) {
                if (stored(i)) {
                    *to(i) = now[i];
                }
            }
        } else {  // rows one by one: F32, and N that is odd
#pragma unroll
            for (int i = 0; i < PAIRS; i++) {
                if (present(i)) {
                    store_shared2(scratch + i / (UNIT / 2) * UNIT_BYTES + i % (UNIT / 2) * 8, v[2 * i], v[2 * i + 1]);
                }
            }
#pragma unroll 1
            for (int i = 0; i < PAIRS * 2; i++) {
                const int token = tokensOf(i / 2) + 2 * t + i % 2;
                const int64_t n = n0 + half(i / 2) * 8 + g;
                if (present(i / 2) && n < w.n && token < end.tokens) {
                    put(y, yType, (end.m0 + token) * w.n + n, __uint_as_float(load_shared1(scratch + i / UNIT * UNIT_BYTES + i % UNIT * 4)));
                }
            }
        }
    };
    // Where nobody shares the band's K: a part alone, through the memory of the stages once all warps are done with them. (Straight from
    // the registers, the code for a unit would be there for each.)
    const int parts = exchanges ? end.parts : 1, self = exchanges ? end.self : 0;
    const int share = exchanges ? end.share : UNITS, mine = exchanges ? end.mine : end.units;
    const uint32_t base = exchanges ? sums : stages, ofWarp = exchanges ? sumsOfWarp : UNITS * UNIT_BYTES;
    if (SHARED || (PARTS == 1 && shape.split == 1)) {
        named_barrier(1, CONSUMERS);
    }
    const auto warpOf = [&](int p) { return !exchanges ? warp : SHARED ? quarter : (p % PARTS * BANDS + band) * 4 + quarter; };
    const uint32_t own = base + warpOf(self) * ofWarp + lane * (UNIT * 4);
    int owner = 0, firstOfOwner = 0;
#pragma unroll
    for (int unit = 0; unit < UNITS; unit++) {
        if (unit < end.units) {
            if (unit - firstOfOwner == share) {
                owner++;
                firstOfOwner = unit;
            }
            const uint32_t to = base + warpOf(owner) * ofWarp + (self * share + unit - firstOfOwner) * UNIT_BYTES + lane * (UNIT * 4);
            const float* const v = acc + unit * UNIT;
            if (owner == self || shape.split == 1) {
                if constexpr (UNIT == 4) {
                    store_shared4(to, v[0], v[1], v[2], v[3]);
                } else {
                    store_shared2(to, v[0], v[1]);
                }
            } else {
                const uint32_t block = SHARED ? owner : owner / PARTS;
                const uint32_t barrier = arrived + (SHARED ? warp : warpOf(owner)) * 8;
                const uint32_t remote = cluster_address(to, block), remoteBarrier = cluster_address(barrier, block);
                if constexpr (UNIT == 4) {
                    store_cluster(remote, v[0], v[1], v[2], v[3], remoteBarrier);
                } else {
                    store_cluster(remote, v[0], v[1], remoteBarrier);
                }
            }
        }
    }
    if (PARTS > 1 && shape.split == 1) {
        named_barrier(1, CONSUMERS);
    } else if (exchanges && mine > 0) {
        mbarrier_wait(arrived + warp * 8, 0);  // so nobody writes here after this block has gone
    }
#pragma unroll 1
    for (int k = 0; k < mine; k += AT_ONCE) {
        float v[AT_ONCE * UNIT] = {};
        const int there = mine - k < AT_ONCE ? mine - k : AT_ONCE;
#pragma unroll 4
        for (int p = 0; p < parts; p++) {
#pragma unroll
            for (int i = 0; i < AT_ONCE; i++) {
                const uint32_t from = own + (p * share + (i < there ? k + i : k)) * UNIT_BYTES;
                float* const sum = v + i * UNIT;
                if constexpr (UNIT == 4) {
                    const uint4 u = load_shared4(from);
                    sum[0] = __fadd_rn(sum[0], __uint_as_float(u.x));
                    sum[1] = __fadd_rn(sum[1], __uint_as_float(u.y));
                    sum[2] = __fadd_rn(sum[2], __uint_as_float(u.z));
                    sum[3] = __fadd_rn(sum[3], __uint_as_float(u.w));
                } else {
                    const uint2 u = load_shared2(from);
                    sum[0] = __fadd_rn(sum[0], __uint_as_float(u.x));
                    sum[1] = __fadd_rn(sum[1], __uint_as_float(u.y));
                }
            }
        }
        finish(v, self * share + k, there, own + k * UNIT_BYTES);
    }
}

// Where weights are scaled before they are multiplied.
template <class T, int TOKENS, ScaleMode MODE, int GROUPS, bool TABLE, bool ZEROS>
constexpr bool FEW_SCALES = TOKENS >= 128 || (!TABLE && E2M1_SCALED<T, MODE>) || (TOKENS >= 32 && FOLDED<T, MODE, TABLE, ZEROS>) ||
                            (TOKENS == 64 && T::TYPE == BF16 && GROUPS > 1 && !(GROUPS == 4 && TABLE) &&
                                              (MODE == SCALE_16 || MODE == SCALE_F32 || MODE == SCALE_NESTED));

// Where registers are short, the producer is a warp group too and gives its own away.
template <int TOKENS, int GROUPS>
constexpr bool FEW_MOVES_REGISTERS = TOKENS >= 128 || (TOKENS >= 64 && GROUPS == 4);

// 16 rows with K cut over warp groups: records and x in rings of their own, each with a producer. Records are asked for as fast as they
// come, `flight` stages at a time: what lies behind a longer queue, the x of the kernel before, would wait for it. Where x is more, two
// rings cost more than they hide.
template <int TOKENS, int PARTS>
constexpr bool FEW_RINGS = TOKENS == 16 && PARTS > 1;

template <int TOKENS, int BANDS, int PARTS>
constexpr int FEW_THREADS = BANDS * PARTS * 128 + (FEW_MOVES_REGISTERS<TOKENS, BANDS * PARTS> ? 128 : FEW_RINGS<TOKENS, PARTS> ? 64 : 32);

// Which table of codebooks. Two blocks of a multiprocessor, or many sums, have more stages without the wide one.
template <int TOKENS, int BANDS, int PARTS, ScaleMode MODE>
constexpr bool FEW_WIDE = (TOKENS >= 64 && PARTS == 1) || (TOKENS == 16 && BANDS == 2 && MODE == SCALE_NESTED);

template <class T, int TOKENS, int BANDS, int PARTS, bool TABLE, ScaleMode MODE, int GROUPS, bool ZEROS, bool SHARED>
__device__ __forceinline__ void few(const Matrix& matrix, const FewShape& shape, const void* xMap, void* y, uint32_t yType, const void* bias,
                                    uint32_t biasType, int64_t m) {
    const W4 w(matrix);
    constexpr bool NESTED = (MODE & SCALE_NESTED) != 0, AHEAD = MODE == SCALE_NESTED, MOVE_REGISTERS = FEW_MOVES_REGISTERS<TOKENS, BANDS * PARTS>;
    constexpr bool SCALED = FEW_SCALES<T, TOKENS, MODE, GROUPS, TABLE, ZEROS>, E2M1 = !TABLE && (MODE == SCALE_E8M0 || MODE == SCALE_E4M3);
    constexpr bool WIDE = FEW_WIDE<TOKENS, BANDS, PARTS, MODE>, RINGS = FEW_RINGS<TOKENS, PARTS>;
    static_assert((!SHARED || PARTS == 1) && (!AHEAD || GROUPS == 2) && (!RINGS || !MOVE_REGISTERS));
    // What sums have been divided by.
    constexpr bool FOLDS = SCALED && FOLDED<T, MODE, TABLE, ZEROS>;
    constexpr float FACTOR = E2M1 ? E2M1_SUMS<MODE> : FOLDS ? 1.f / FOLDED_STEP : TABLE || SCALED ? 1.f : 1.f / CODE_STEP<T>;
    constexpr int OWN = SHARED ? BANDS - 1 : BANDS;  // bands of a block's own
    constexpr int CONSUMERS = BANDS * PARTS * 128, PRODUCER = CONSUMERS / 32, WARPS = FEW_THREADS<TOKENS, BANDS, PARTS> / 32, X_BYTES = TOKENS * SPAN * 2;
    using Sums = FewSums<TOKENS, BANDS, PARTS, SHARED>;
    extern __shared__ __align__(1024) uint8_t shared[];
    // Known to be the same in a warp: descriptors stay in uniform registers.
    const int warp = __shfl_sync(0xffffffffu, threadIdx.x / 32, 0), lane = threadIdx.x % 32;
    const int group = warp / 4, quarter = warp % 4, part = group / BANDS, band = group % BANDS;
    const Sums start(shape, m, part);
    const uint32_t rank = start.rank;
    const int64_t bands = (w.n + BAND - 1) / BAND;
    const int64_t sharedBand = start.band(OWN), firstBand = start.band(0);

    if (shape.soon) {
        griddepcontrol_launch_dependents();
    }
    if (!SHARED && firstBand >= bands) {  // a block that only holds a place of a multiprocessor
        griddepcontrol_wait();
        return;
    }

    // Shared memory: stages (RINGS: of x │ of records) │ table │ nested map │ sums of the parts │ barriers
    const uint32_t placeBytes = whole_lines(w.recordBytes), partBytes = RINGS ? BANDS * placeBytes : shape.partBytes, stageBytes = PARTS * partBytes;
    const uint32_t xPartBytes = RINGS ? X_BYTES : partBytes, xStageBytes = PARTS * xPartBytes, xStages = RINGS ? shape.xStages : shape.stages;
    uint8_t* const records = shared + (RINGS ? xStages * xStageBytes : X_BYTES);
    uint8_t* const table = shared + (RINGS ? xStages * xStageBytes : 0) + shape.stages * stageBytes;
    float* const map = reinterpret_cast<float*>(table + (TABLE ? TABLE_SIZE<WIDE> : 0));
    const bool exchanges = SHARED ? band == OWN : PARTS > 1 || shape.split > 1;
    const uint32_t sums = shared_address(map + (NESTED ? 256 : 0)), sumsOfWarp = start.parts > 1 ? start.parts * shape.share * Sums::UNIT_BYTES : 0;
    const uint32_t full = sums + (SHARED ? 4 : CONSUMERS / 32) * sumsOfWarp, empty = full + shape.stages * 8,
                   xFull = RINGS ? empty + shape.stages * 8 : full, xEmpty = RINGS ? xFull + xStages * 8 : empty, arrived = xEmpty + xStages * 8;

    const uint32_t firstSpan = SHARED ? 0 : rank * shape.spans;
    const uint32_t lastSpan = !SHARED && firstSpan + shape.spans < w.spans ? firstSpan + shape.spans : w.spans;
    const auto sharing = [&](int i) { return (uint32_t(i) >= shape.spans) == (rank == 1); };  // SHARED: this half of K is the block's
    const int count = lastSpan > firstSpan ? lastSpan - firstSpan : 0;

    // Each warp makes the barriers of some stages and fills these: one after the other, copies take longer to ask for than to come.
    const int rounds = (count + PARTS - 1) / PARTS, begun = rounds < int(shape.stages) ? rounds : int(shape.stages);
    const int xBegun = rounds < int(xStages) ? rounds : int(xStages), flying = RINGS && begun > int(shape.flight) ? int(shape.flight) : begun;
    const auto loadRecords = [&](int i, uint32_t stage) {  // of round i; but for RINGS says that their x will come too
        const int present = count - i * PARTS < PARTS ? count - i * PARTS : PARTS;
        const bool all = !SHARED || sharing(i);
        const uint64_t bandBytes = uint64_t(w.spans) * w.recordBytes;
        const uint8_t* from = w.records + (firstBand < bands ? firstBand : bands - 1) * bandBytes + uint64_t(firstSpan + i * PARTS) * w.recordBytes;
        const int last = int(bands - 1 - firstBand);  // bands beyond are its copies: their sums are not stored
        uint32_t at = shared_address(records) + stage * stageBytes;
        mbarrier_arrive_expect(full + stage * 8, present * ((RINGS ? 0 : X_BYTES) + (all ? BANDS : OWN) * w.recordBytes));
#pragma unroll 1
        for (int p = 0; p < present; p++) {
            const uint8_t* record = from;
#pragma unroll 1
            for (int b = 0; b < OWN; b++) {
                copy_bulk_evict_first(at + b * placeBytes, record, w.recordBytes, full + stage * 8);
                record += b < last ? bandBytes : 0;
            }
            if (SHARED && all) {
                copy_bulk_evict_first(at + OWN * placeBytes, w.records + (sharedBand < bands ? sharedBand : bands - 1) * bandBytes + uint64_t(i) * w.recordBytes,
                                      w.recordBytes, full + stage * 8);
            }
            from += w.recordBytes;
            at += partBytes;
        }
    };
    const auto loadX = [&](int i, uint32_t stage) {
        const int present = count - i * PARTS < PARTS ? count - i * PARTS : PARTS;
        if (RINGS) {
            mbarrier_arrive_expect(xFull + stage * 8, present * X_BYTES);
        }
#pragma unroll 1
        for (int p = 0; p < present; p++) {
            const int column = int(firstSpan + i * PARTS + p) * SPAN;
            const uint32_t to = shared_address(shared) + stage * xStageBytes + p * xPartBytes;
            copy_tensor_2d(to, xMap, column, int(start.m0), xFull + stage * 8);
            copy_tensor_2d(to + X_BYTES / 2, xMap, column + 64, int(start.m0), xFull + stage * 8);
        }
    };
    if (lane == 0) {
        for (int s = warp; s < int(xStages); s += WARPS) {
            mbarrier_init(xFull + s * 8, 1);
            mbarrier_init(xEmpty + s * 8, CONSUMERS / 32 * WARP_ARRIVALS);
        }
        if (RINGS && warp == PRODUCER) {
            for (int s = 0; s < int(shape.stages); s++) {
                mbarrier_init(full + s * 8, 1);
                mbarrier_init(empty + s * 8, CONSUMERS / 32 * WARP_ARRIVALS);
            }
        }
        if (exchanges && warp < CONSUMERS / 32) {
            mbarrier_init(arrived + warp * 8, 1);
        }
        fence_mbarrier_init();
        for (int s = RINGS ? 0 : warp; s < (RINGS && warp != PRODUCER ? 0 : flying); s += RINGS ? 1 : WARPS) {
            loadRecords(s, s);
        }
        if (exchanges && warp < CONSUMERS / 32) {
            mbarrier_arrive_expect(arrived + warp * 8, start.mine > 0 ? (start.parts - 1) * start.mine * Sums::UNIT_BYTES : 0);
        }
        prefetch_tensor_map(xMap);
    }
    if (TABLE) {  // while the first records are under way
        if (NESTED && w.nestedMap) {
            for (int i = threadIdx.x; i < 256; i += blockDim.x) {
                map[i] = w.nestedMap[i];
            }
        }
        spread_table<T, WIDE>(table, w.codebook, warp, blockDim.x / 32, lane);
    }
    __syncthreads();
    if (shape.split > 1) {
        cluster_arrive_relaxed();  // the barriers of all blocks are ready
    }
    if (!shape.soon) {
        griddepcontrol_launch_dependents();
    }
    if (RINGS && warp == PRODUCER) {  // of records, which waits for no kernel
        if (lane == 0) {
            uint32_t stage = flying == int(shape.stages) ? 0 : flying, parity = 0, there = 0, thereParity = 0;
#pragma unroll 1
            for (int i = flying; i < rounds; i++) {
                mbarrier_wait(full + there * 8, thereParity);
                if (++there == shape.stages) {
                    there = 0;
                    thereParity ^= 1;
                }
                if (i >= int(shape.stages)) {
                    mbarrier_wait(empty + stage * 8, parity);
                }
                loadRecords(i, stage);
                if (++stage == shape.stages) {
                    stage = 0;
                    parity ^= i >= int(shape.stages);
                }
            }
        }
        return;
    }
    griddepcontrol_wait();
    if (lane == 0) {
        for (int s = RINGS && warp > PRODUCER ? xBegun : warp; s < xBegun; s += RINGS ? PRODUCER : WARPS) {
            loadX(s, s);
        }
    }
    __syncwarp();
    if (shape.split > 1) {
        cluster_wait();  // not at the end, where it would be waited for
    }

    if (warp >= PRODUCER) {  // the producer, with RINGS of x
        if (MOVE_REGISTERS) {
            setmaxnreg_dec<TOKENS >= 128 ? 40 : 32>();
        }
        if (warp == PRODUCER + RINGS && lane == 0) {
            uint32_t stage = 0, parity = 0;
#pragma unroll 1
            for (int i = xBegun; i < rounds; i++) {
                mbarrier_wait(xEmpty + stage * 8, parity);
                if (!RINGS) {
                    loadRecords(i, stage);
                }
                loadX(i, stage);
                if (++stage == xStages) {
                    stage = 0;
                    parity ^= 1;
                }
            }
        }
        return;
    }

    if (MOVE_REGISTERS) {
        setmaxnreg_inc<TOKENS >= 128 ? 232 : 112>();
    }
    const int g = lane / 4, t = lane % 4;
    const int shift = w.groups == 8 ? 0 : w.groups == 4 ? 1 : w.groups == 2 ? 2 : 3;   // a group is 2^shift steps of 16 columns
    const int lanePair = quarter * 16 + g * 2;
    const int64_t row = (SHARED && band == OWN ? sharedBand : firstBand + band) * BAND + quarter * 16 + g;
    const uint32_t partAt = shared_address(records) + part * partBytes, recordAt = band * placeBytes, xPartAt = shared_address(shared) + part * xPartBytes;
    // Through a shuffle, so that the compiler keeps them instead of making them anew for every record. One scale for a row
    // lies behind the records, and a record without zero points has none: then what is read there is not used.
    const bool scales = GROUPS > 1 || w.groups;
    const uint32_t codeAt = __shfl_sync(0xffffffffu, recordAt + (quarter * 32 + lane) * 16, lane);
    const uint32_t scaleAt = __shfl_sync(0xffffffffu, recordAt + (scales ? CODE_BYTES + (AHEAD ? lane / 16 * BAND + quarter * 16 + lane % 16 : lanePair * (MODE == SCALE_F32 ? 4 : E2M1 ? 1 : 2)) : 0), lane);
    const uint32_t zeroAt = ZEROS ? __shfl_sync(0xffffffffu, recordAt + w.zeroOffset + lanePair, lane) : 0;
    NestedAbsmax<1> absmax;
    int absmaxUntil = 0;
    NestedLane ahead;
    if (AHEAD) {
        ahead.begin(w, row - g, lane, int(firstSpan) + part);
    }
    const uint32_t mapAt = shared_address(map);

    float acc[TOKENS / 2];
#pragma unroll
    for (int i = 0; i < TOKENS / 2; i++) {
        acc[i] = 0.f;
    }
    uint32_t stage = 0, parity = 0, at = partAt, xStage = 0, xParity = 0, xAt = xPartAt;
    const auto advance = [&]() {
        at += stageBytes;
        if (++stage == shape.stages) {
            stage = 0;
            parity ^= 1;
            at = partAt;
        }
        if (RINGS) {
            xAt += xStageBytes;
            if (++xStage == xStages) {
                xStage = 0;
                xParity ^= 1;
                xAt = xPartAt;
            }
        }
    };
    const auto awaitX = [&]() {
        if (RINGS) {
            mbarrier_wait(xFull + xStage * 8, xParity);
        }
    };
    const auto release = [&]() {
        warp_arrive(empty + stage * 8, lane);
        if (RINGS) {
            warp_arrive(xEmpty + xStage * 8, lane);
        }
    };
    if constexpr (TABLE && SCALED) {
        // What a lookup takes is longer than a product: they run two steps ahead of the products, and over the ends of records.
        static_assert(GROUPS == 2 && !RINGS);
        int span = int(firstSpan) + part;
        const auto mine = [&]() { return span < int(lastSpan) && (!SHARED || band != OWN || sharing(span)); };
        const auto others = [&]() {  // passes over records of the last band that the other block multiplies, which are neighbours
#pragma unroll 1
            for (; SHARED && span < int(lastSpan) && !mine(); span += PARTS) {
                mbarrier_wait(full + stage * 8, parity);
                warp_arrive(empty + stage * 8, lane);
                advance();
            }
        };
        uint4 codes[2];
        uint32_t scale[2][2], value[2][4], a[4][4];  // by half of the record and half of the rows; of the next two steps; of four products
        const auto wordOf = [&](int step) {
            const uint4& c = codes[step / 4];
            return step % 4 == 0 ? c.x : step % 4 == 1 ? c.y : step % 4 == 2 ? c.z : c.w;
        };
        const auto begin = [&]() {
            if (AHEAD) {
                ahead.move(w, span);
            }
            mbarrier_wait(full + stage * 8, parity);
            codes[0] = load_shared4(at + codeAt);
            codes[1] = load_shared4(at + codeAt + CODE_BYTES / 2);
            uint32_t own = 0;  // the scale that this lane makes, twice
            if (AHEAD) {
                const float s = ahead.scale(w, at + scaleAt, mapAt);
                own = T::pair(s, s);
            }
#pragma unroll
            for (int k = 0; k < 2; k++) {
                if (AHEAD) {
                    scale[k][0] = __shfl_sync(0xffffffffu, own, k * 16 + g * 2);
                    scale[k][1] = __shfl_sync(0xffffffffu, own, k * 16 + g * 2 + 1);
                } else {
                    const uint2 pair = load_shared2(at + scaleAt + k * BAND * 4);
                    scale[k][0] = T::pair(__uint_as_float(pair.x), __uint_as_float(pair.x));
                    scale[k][1] = T::pair(__uint_as_float(pair.y), __uint_as_float(pair.y));
                }
                unpack_table<WIDE>(value[k], wordOf(k), table, lane * 4);
            }
        };
        others();
        bool more = mine();
        if (more) {
            begin();
        }
#pragma unroll 1
        while (more) {
            const uint64_t b = wgmma_descriptor(at - X_BYTES);
            const uint32_t done = empty + stage * 8;
#pragma unroll
            for (int step = 0; step < 8; step++) {
                if (step >= 4) {
                    wgmma_wait<3>();  // the step before the last three has let go of its registers
                }
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    a[step % 4][j] = T::times(value[step % 2][j], scale[step / 4][j % 2]);
                }
                if (step < 6) {
                    unpack_table<WIDE>(value[step % 2], wordOf(step + 2), table, lane * 4);
                }
                wgmma_fence();
                T::template wgmma<TOKENS>(acc, a[step % 4], b + (step / 4 * (X_BYTES / 2) + step % 4 * 32) / 16, 1);
                wgmma_commit();
            }
            advance();
            span += PARTS;
            more = mine();
            if (more) {
                begin();
            }
            wgmma_wait<0>();
            warp_arrive(done, lane);
        }
        others();
    } else {
#pragma unroll 1
        for (int span = int(firstSpan) + part; span < int(lastSpan); span += PARTS) {
            if (SHARED && band == OWN && !sharing(span)) {
                mbarrier_wait(full + stage * 8, parity);
                warp_arrive(empty + stage * 8, lane);
                advance();
                continue;
            }
            const uint8_t* const record = records + stage * stageBytes + part * partBytes + recordAt;
            const uint64_t b = wgmma_descriptor(RINGS ? xAt : at - X_BYTES);
            if (AHEAD) {
                ahead.move(w, span);
            } else if (NESTED && span >= absmaxUntil && w.scaleMode & SCALE_NESTED) {
                absmaxUntil = span + int((absmax.load(w, row, int64_t(span) * SPAN) + SPAN - 1) / SPAN);
            }
            mbarrier_wait(full + stage * 8, parity);
            const uint4 codes[2] = {load_shared4(at + codeAt), load_shared4(at + codeAt + CODE_BYTES / 2)};
            uint32_t own = 0;  // AHEAD: the scale that this lane makes
            if (AHEAD) {
                const float scale = ahead.scale(w, at + scaleAt, mapAt);
                own = __float_as_uint(scale);
            }
            const auto wordOf = [&](int step) {
                const uint4& c = codes[step / 4];
                return step % 4 == 0 ? c.x : step % 4 == 1 ? c.y : step % 4 == 2 ? c.z : c.w;
            };
            const auto loadScales = [&](int step) {  // early, what needs no arithmetic
                const int index = GROUPS == 1 ? 0 : step / (8 / GROUPS);
                return MODE == SCALE_16    ? uint2{load_shared1(at + scaleAt + index * BAND * 2), 0}
                       : MODE == SCALE_F32 ? load_shared2(at + scaleAt + index * BAND * 4)
                       : E2M1 && !SCALED   ? uint2{load_shared_u16(at + scaleAt + index * BAND), 0}
                       : AHEAD             ? uint2{__shfl_sync(0xffffffffu, own, index * 16 + g * 2), __shfl_sync(0xffffffffu, own, index * 16 + g * 2 + 1)}
                                           : uint2{0, 0};
            };
            const auto scaleOf = [&](uint2 loaded, int step) {
                if (MODE == SCALE_16) {
                    const float2 s = w.scaleMode & SCALE_BF16
                                         ? float2{__uint_as_float(loaded.x << 16), __uint_as_float(loaded.x & 0xffff0000u)}
                                         : float2{cvt_f32_f16(uint16_t(loaded.x)), cvt_f32_f16(uint16_t(loaded.x >> 16))};
                    return scales ? s : float2{1.f, 1.f};
                }
                if (MODE == SCALE_F32) {
                    return float2{__uint_as_float(loaded.x), __uint_as_float(loaded.y)};
                }
                if (AHEAD) {
                    return float2{__uint_as_float(loaded.x), __uint_as_float(loaded.y)};
                }
                if (E2M1) {  // E8M0
                    return float2{decode_e8m0(loaded.x & 0xff), decode_e8m0(loaded.x >> 8)};
                }
                return scale_pair<MODE>(w, record + CODE_BYTES, (GROUPS == 2 ? step / 4 : step >> shift) * BAND + lanePair, absmax.value[0], map);
            };

            if constexpr (SCALED) {
                constexpr int STEPS = 8 / GROUPS;  // of a group
                constexpr float unit = 1.f / CODE_STEP<T>;
                uint32_t a[4][4], zero[2] = {zero_step<T>(8, 0), zero_step<T>(8, 1)}, low, high;
                uint2 loaded[GROUPS];
#pragma unroll
                for (int k = 0; k < GROUPS; k++) {
                    loaded[k] = loadScales(k * STEPS);
                }
                bool large = false;                     // known to be the same in a warp
                uint32_t factor[2] = {}, addend[2] = {};
                uint32_t made[2] = {};  // E2M1: what this lane makes, E8M0's factors of group t and their rest, E4M3's of steps 2t and 2t + 1
                if (E2M1 && MODE == SCALE_E8M0) {
                    const uint32_t pair = load_shared_u16(at + scaleAt + t * BAND);
                    made[0] = e8m0_factors(pair);
                    large = any_large_e8m0(pair);
                    if (large) {
                        made[1] = e8m0_rest(pair);
                    }
                } else if (E2M1) {
#pragma unroll
                    for (int k = 0; k < 2; k++) {
                        made[k] = e4m3_factors<T>(load_shared_u16(at + scaleAt + (2 * t + k) * BAND));
                    }
                }
                const auto begin = [&](int step) {
                    if (E2M1) {
                        spread_factors(factor, made[MODE == SCALE_E4M3 ? step % 2 : 0], (lane & 28) + step / 2);
                        return;
                    }
                    const float2 scale = scaleOf(loaded[step / STEPS], step);
                    if (FOLDS) {
                        fold_scale(factor, addend, scale);
                        return;
                    }
                    low = T::pair(scale.x * unit, scale.x * unit);
                    high = T::pair(scale.y * unit, scale.y * unit);
                    if (ZEROS) {
                        const uint32_t there = load_shared_u16(at + zeroAt + step / STEPS * BAND);
                        const uint32_t both = w.zeroOffset ? there : 0x808;
                        zero[0] = zero_step<T>(both & 0xff, 0);
                        zero[1] = zero_step<T>(both >> 8, 1);
                    }
                };
                begin(0);
                awaitX();
#pragma unroll
                for (int step = 0; step < 8; step++) {
                    if (step >= 4) {
                        wgmma_wait<3>();  // the step before the last three has let go of its registers
                    }
                    if (E2M1) {
                        unpack_e2m1<T>(a[step % 4], wordOf(step), factor[0], factor[1]);
                        if (large) {
                            scale_rest<T>(a[step % 4], made[1], (lane & 28) + step / 2);
                        }
                    } else if (FOLDS) {
                        unpack_folded(a[step % 4], wordOf(step), factor, addend);
                    } else {
                        unpack_codes<T>(a[step % 4], wordOf(step), zero);
#pragma unroll
                        for (int j = 0; j < 4; j++) {
                            a[step % 4][j] = T::times(a[step % 4][j], j % 2 ? high : low);
                        }
                    }
                    wgmma_fence();
                    T::template wgmma<TOKENS>(acc, a[step % 4], b + (step / 4 * (X_BYTES / 2) + step % 4 * 32) / 16, 1);
                    wgmma_commit();
                    if (step < 7 && (step + 1) % STEPS == 0) {
                        begin(step + 1);
                    }
                }
                wgmma_wait<0>();  // meanwhile the other group's products are under way
                release();
            } else {
                float sum[TOKENS / 2];
                uint32_t a[2][2][4], zero[2] = {zero_step<T>(8, 0), zero_step<T>(8, 1)};
                const auto unpack = [&](int unit) {
                    if (ZEROS && unit * GROUPS % 4 == 0) {
                        const uint32_t there = load_shared_u16(at + zeroAt + (GROUPS < 4 || MODE == SCALE_16 ? unit * GROUPS / 4 : unit * 2 >> shift) * BAND);
                        const uint32_t both = w.zeroOffset ? there : 0x808;
                        zero[0] = zero_step<T>(both & 0xff, 0);
                        zero[1] = zero_step<T>(both >> 8, 1);
                    }
#pragma unroll
                    for (int s = 0; s < 2; s++) {
                        uint32_t(&to)[4] = a[unit % 2][s];
                        if (E2M1) {
                            unpack_e2m1<T>(to, wordOf(unit * 2 + s), T::E2M1_UNIT, T::E2M1_UNIT);
                        } else if (TABLE) {
                            unpack_table<WIDE>(to, wordOf(unit * 2 + s), table, lane * 4);
                        } else {
                            unpack_codes<T>(to, wordOf(unit * 2 + s), zero);
                        }
                    }
                };
                unpack(0);
                awaitX();
#pragma unroll
                for (int unit = 0; unit < 4; unit++) {
                    const bool fresh = unit * GROUPS % 4 == 0, ends = (unit + 1) * GROUPS % 4 == 0;
                    const uint2 loaded = ends ? loadScales(unit * 2) : uint2{0, 0};
                    wgmma_fence();
                    T::template wgmma<TOKENS>(sum, a[unit % 2][0], b + (unit / 2 * (X_BYTES / 2) + unit % 2 * 64) / 16, !fresh);
                    T::template wgmma<TOKENS>(sum, a[unit % 2][1], b + (unit / 2 * (X_BYTES / 2) + unit % 2 * 64 + 32) / 16, 1);
                    wgmma_commit();
                    if (unit < 3) {
                        if (unit > 0 && !fresh) {
                            wgmma_wait<1>();  // the unit before has let go of its registers
                        }
                        unpack(unit + 1);
                    }
                    if (ends) {
                        const float2 scale = scaleOf(loaded, unit * 2);
                        wgmma_wait<0>();
                        if (unit == 3) {
                            release();
                        }
#pragma unroll
                        for (int j = 0; j < TOKENS / 2; j++) {
                            acc[j] = __fmaf_rn(sum[j], j % 4 < 2 ? scale.x : scale.y, acc[j]);
                        }
                    }
                }
            }
            advance();
        }
    }

    finish_sums<T, TOKENS, BANDS, PARTS, SHARED>(w, shape, acc, shared_address(shared), sums, sumsOfWarp, arrived, FACTOR, y, yType, bias,
                                                 biasType, m);
}

}  // namespace lowbit

// BLOCKS: of a multiprocessor. 16 rows with two bands: three, where shared memory lets them (11008 × 4096: 12.4 µs, with two 15.2).
#define FEW(name, T, TOKENS, BANDS, PARTS, BLOCKS, TABLE, MODE, GROUPS, ZEROS, SHARED)                                              \
    extern "C" __global__ void __launch_bounds__(lowbit::FEW_THREADS<TOKENS, BANDS, PARTS>, BLOCKS) \
        LOWBIT_NAME(ARCH, name)(                                                                                                     \
            const __grid_constant__ lowbit::Matrix w, const __grid_constant__ lowbit::FewShape shape,                                 \
            const __grid_constant__ lowbit::TensorMap xMap, void* y, uint32_t yType, const void* bias, uint32_t biasType, int64_t m) { \
        lowbit::few<T, TOKENS, BANDS, PARTS, TABLE, lowbit::MODE, GROUPS, ZEROS, SHARED>(w, shape, &xMap, y, yType, bias, biasType, m); \
    }
#define FEW_TYPES(kind, TOKENS, BANDS, PARTS, BLOCKS, TABLE, MODE, GROUPS, ZEROS)                                                                        \
    FEW(w4few##TOKENS##x##BANDS##x##PARTS##_##kind##_bf16, lowbit::Bf16, TOKENS, BANDS, PARTS, BLOCKS, TABLE, MODE, GROUPS, ZEROS, false) \
    FEW(w4few##TOKENS##x##BANDS##x##PARTS##_##kind##_f16, lowbit::Half, TOKENS, BANDS, PARTS, BLOCKS, TABLE, MODE, GROUPS, ZEROS, false)
// The last of the bands is shared by a cluster of two.
#define FEW_SHARED_TYPES(kind, TOKENS, BANDS, TABLE, MODE, GROUPS, ZEROS)                                                        \
    FEW(w4few##TOKENS##x##BANDS##shared_##kind##_bf16, lowbit::Bf16, TOKENS, BANDS, 1, 1, TABLE, MODE, GROUPS, ZEROS, true) \
    FEW(w4few##TOKENS##x##BANDS##shared_##kind##_f16, lowbit::Half, TOKENS, BANDS, 1, 1, TABLE, MODE, GROUPS, ZEROS, true)
