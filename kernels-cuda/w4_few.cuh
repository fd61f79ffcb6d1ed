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
// The producer fills the stages: records by bulk copies (before the wait for the kernel before this one, as far as there are
// stages), x by tensor copies. (code − zero) or the table's value times x is summed over a group, then scaled in f32, so no
// product is rounded. At the end each block of a cluster adds its share of the tokens over all parts and blocks, in their
// order: the order of every sum is fixed.
//
// What bounds it is the instructions of unpacking, so everything that a scheme settles is settled when compiled: GROUPS is
// 1 (a scale for each 128 columns or more), 2 (for 64), or 4 (for 32; but for INT4's scales in 16 bits it serves all others too, the
// scale is looked up for each 32).
// With 128 tokens there are no registers for two sets of sums: the weight, code − zero, is scaled before it is multiplied, and
// rounded to the type of x (one scale for each 128 columns or more alone, and it has the type of x or x is BF16). With 64 tokens
// and BF16 that is done where there are several scales for 128 columns: FEW_SCALES. MXFP4 and NVFP4 (no TABLE, and a MODE of bytes) lose
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
};

// Where weights are scaled before they are multiplied.
template <class T, int TOKENS, ScaleMode MODE, int GROUPS, bool TABLE>
constexpr bool FEW_SCALES = TOKENS >= 128 || (!TABLE && E2M1_SCALED<T, MODE>) || (TOKENS == 64 && T::TYPE == BF16 && GROUPS > 1 && !(GROUPS == 4 && TABLE) &&
                                              (MODE == SCALE_16 || MODE == SCALE_F32 || MODE == SCALE_NESTED));

// Where registers are short, the producer is a warp group too and gives its own away.
template <int TOKENS, int GROUPS>
constexpr bool FEW_MOVES_REGISTERS = TOKENS >= 128 || (TOKENS >= 64 && GROUPS == 4);

template <class T, int TOKENS, int BANDS, int PARTS, bool TABLE, ScaleMode MODE, int GROUPS, bool ZEROS, bool SHARED>
__device__ __forceinline__ void few(const Matrix& matrix, const FewShape& shape, const void* xMap, void* y, uint32_t yType, const void* bias,
                                    uint32_t biasType, int64_t m) {
    const W4 w(matrix);
    constexpr bool NESTED = (MODE & SCALE_NESTED) != 0, AHEAD = MODE == SCALE_NESTED, MOVE_REGISTERS = FEW_MOVES_REGISTERS<TOKENS, BANDS * PARTS>;
    constexpr bool SCALED = FEW_SCALES<T, TOKENS, MODE, GROUPS, TABLE>, E2M1 = !TABLE && (MODE == SCALE_E8M0 || MODE == SCALE_E4M3);
    static_assert(!SHARED || PARTS == 1);
    constexpr int OWN = SHARED ? BANDS - 1 : BANDS;  // bands of a block's own
    constexpr int CONSUMERS = BANDS * PARTS * 128, X_BYTES = TOKENS * SPAN * 2, ROWS = OWN * BAND, PAIR_PITCH = ROWS + 8, SHARED_PITCH = BAND + 8;
    extern __shared__ __align__(1024) uint8_t shared[];
    const int warp = __shfl_sync(0xffffffffu, threadIdx.x / 32, 0), lane = threadIdx.x % 32;  // known to be the same in a warp: descriptors stay in uniform registers
    const uint32_t rank = blockIdx.x % shape.split;
    const int64_t m0 = int64_t(blockIdx.x / shape.split) * TOKENS;
    const int64_t bands = (w.n + BAND - 1) / BAND;
    const int64_t sharedBand = int64_t(blockIdx.y) * (2 * OWN + 1) + 2 * OWN;
    const int64_t firstBand = SHARED ? sharedBand - (2 - int(rank)) * OWN : int64_t(blockIdx.y) * BANDS;

    // Shared memory: stages │ table │ nested map │ sums of the cluster │ barriers
    const uint32_t stageBytes = PARTS * shape.partBytes;
    uint8_t* const table = shared + shape.stages * stageBytes;
    float* const map = reinterpret_cast<float*>(table + (TABLE ? TABLE_BYTES : 0));
    const int tokens = int(m - m0 < TOKENS ? m - m0 : TOKENS);
    const int pairs = (tokens + 1) / 2, share = (pairs + int(shape.split) - 1) / int(shape.split);  // pairs of tokens that a block finishes
    float2* const gathered = reinterpret_cast<float2*>(map + (NESTED ? 256 : 0));
    float2* const gatheredShared = gathered + pairs * PAIR_PITCH;  // SHARED: of the block's own bands, then of the shared one
    const uint32_t full = shared_address(gathered) + (SHARED ? pairs * PAIR_PITCH + 2 * share * SHARED_PITCH : shape.split * PARTS * share * PAIR_PITCH) * 8, empty = full + shape.stages * 8;
    const uint32_t arrived = empty + shape.stages * 8;

    const uint32_t firstSpan = SHARED ? 0 : rank * shape.spans;
    const uint32_t lastSpan = !SHARED && firstSpan + shape.spans < w.spans ? firstSpan + shape.spans : w.spans;
    const auto sharing = [&](int i) { return (uint32_t(i) >= shape.spans) == (rank == 1); };  // SHARED: this half of K is the block's
    const int count = lastSpan > firstSpan ? lastSpan - firstSpan : 0;

    if (threadIdx.x == 0) {
        for (uint32_t s = 0; s < shape.stages; s++) {
            mbarrier_init(full + s * 8, 1);
            mbarrier_init(empty + s * 8, CONSUMERS / 32 * WARP_ARRIVALS);
        }
        mbarrier_init(arrived, 1);
        fence_mbarrier_init();
        if (shape.split > 1) {
            const int mine = pairs - int(rank) * share < share ? pairs - int(rank) * share : share;
            mbarrier_arrive_expect(arrived, mine > 0 ? (SHARED ? 2 * BAND : shape.split * PARTS * ROWS) * mine * 8 : 0);
        }
    }
    if (TABLE) {
        if (NESTED && w.nestedMap) {
            for (int i = threadIdx.x; i < 256; i += blockDim.x) {
                map[i] = w.nestedMap[i];
            }
        }
        spread_table<T>(table, w.codebook, warp, blockDim.x / 32, lane);
    }
    __syncthreads();
    if (shape.split > 1) {
        cluster_arrive_relaxed();  // the barriers of all blocks are ready
    }
    griddepcontrol_launch_dependents();

    if (warp >= CONSUMERS / 32) {  // the producer
        if (MOVE_REGISTERS) {
            setmaxnreg_dec<TOKENS >= 128 ? 40 : 32>();
        }
        if (warp == CONSUMERS / 32 && lane == 0) {
            prefetch_tensor_map(xMap);
            const uint8_t* from = w.records + ((firstBand < bands ? firstBand : bands - 1) * w.spans + firstSpan) * w.recordBytes;
            const uint64_t bandBytes = uint64_t(w.spans) * w.recordBytes;
            const int last = int(bands - 1 - firstBand);  // bands beyond are its copies: their sums are not stored
            const int rounds = (count + PARTS - 1) / PARTS, ahead = rounds < int(shape.stages) ? rounds : int(shape.stages);
            uint32_t stage = 0, parity = 1;
#pragma unroll 1
            for (int i = 0; i < rounds; i++) {
                const uint32_t filled = full + stage * 8;
                const int present = count - i * PARTS < PARTS ? count - i * PARTS : PARTS;
                uint32_t at = shared_address(shared) + stage * stageBytes + X_BYTES;
                if (i >= ahead) {
                    mbarrier_wait(empty + stage * 8, parity);
                }
                const bool all = !SHARED || sharing(i);
                mbarrier_arrive_expect(filled, present * (X_BYTES + (all ? BANDS : OWN) * w.recordBytes));
#pragma unroll 1
                for (int p = 0; p < present; p++) {
                    const uint8_t* record = from;
#pragma unroll 1
                    for (int b = 0; b < OWN; b++) {
                        copy_bulk_evict_first(at + b * w.recordBytes, record, w.recordBytes, filled);
                        record += b < last ? bandBytes : 0;
                    }
                    if (SHARED && all) {
                        copy_bulk_evict_first(at + OWN * w.recordBytes, w.records + ((sharedBand < bands ? sharedBand : bands - 1) * w.spans + i) * w.recordBytes,
                                              w.recordBytes, filled);
                    }
                    from += w.recordBytes;
                    at += shape.partBytes;
                }
                if (i == ahead - 1) {
                    griddepcontrol_wait();
                }
                if (i >= ahead - 1) {  // x of this stage; at first, of all
#pragma unroll 1
                    for (int j = i < ahead ? 0 : i * PARTS; j < i * PARTS + present; j++) {
                        const int s = i < ahead ? j / PARTS : int(stage), column = int(firstSpan + j) * SPAN;
                        const uint32_t to = shared_address(shared) + s * stageBytes + j % PARTS * shape.partBytes;
                        copy_tensor_2d(to, xMap, column, int(m0), full + s * 8);
                        copy_tensor_2d(to + X_BYTES / 2, xMap, column + 64, int(m0), full + s * 8);
                    }
                }
                if (++stage == shape.stages) {
                    stage = 0;
                    parity ^= 1;
                }
            }
        }
        __syncwarp();
        if (shape.split > 1) {
            cluster_wait();
        }
        return;
    }

    if (MOVE_REGISTERS) {
        setmaxnreg_inc<TOKENS >= 128 ? 232 : 112>();
    }
    const int group = warp / 4, quarter = warp % 4, part = group / BANDS, band = group % BANDS, g = lane / 4, t = lane % 4;
    const int mine = count > part ? (count - part + PARTS - 1) / PARTS : 0;
    const int shift = w.groups == 8 ? 0 : w.groups == 4 ? 1 : w.groups == 2 ? 2 : 3;   // a group is 2^shift steps of 16 columns
    const int lanePair = quarter * 16 + g * 2;
    const int64_t row = (SHARED && band == OWN ? sharedBand : firstBand + band) * BAND + quarter * 16 + g;
    const uint32_t partAt = shared_address(shared) + part * shape.partBytes, recordAt = X_BYTES + band * w.recordBytes;
    // Through a shuffle, so that the compiler keeps them instead of making them anew for every record. One scale for a row
    // lies behind the records, and a record without zero points has none: then what is read there is not used.
    const bool scales = GROUPS > 1 || w.groups;
    const uint32_t codeAt = __shfl_sync(0xffffffffu, recordAt + (quarter * 32 + lane) * 16, lane);
    const uint32_t scaleAt = __shfl_sync(0xffffffffu, recordAt + (scales ? CODE_BYTES + lanePair * (MODE == SCALE_F32 ? 4 : E2M1 || AHEAD ? 1 : 2) : 0), lane);
    const uint32_t zeroAt = ZEROS ? __shfl_sync(0xffffffffu, recordAt + w.zeroOffset + lanePair, lane) : 0;
    NestedAbsmax<1> absmax;
    int absmaxUntil = 0;
    NestedAhead ahead;
    if (AHEAD) {
        ahead.begin(w, row, int(firstSpan) + part);
    }
    const uint32_t mapAt = shared_address(map);

    float acc[TOKENS / 2];
#pragma unroll
    for (int i = 0; i < TOKENS / 2; i++) {
        acc[i] = 0.f;
    }
    uint32_t stage = 0, parity = 0, at = partAt;
    const auto advance = [&]() {
        at += stageBytes;
        if (++stage == shape.stages) {
            stage = 0;
            parity ^= 1;
            at = partAt;
        }
    };
#pragma unroll 1
    for (int i = 0; i < mine; i++) {
        if (SHARED && band == OWN && !sharing(i)) {
            mbarrier_wait(full + stage * 8, parity);
            warp_arrive(empty + stage * 8, lane);
            advance();
            continue;
        }
        const uint8_t* const record = shared + stage * stageBytes + part * shape.partBytes + recordAt;
        const uint64_t b = wgmma_descriptor(at);
        if (AHEAD) {
            ahead.move(w, int(firstSpan) + i * PARTS + part);
        } else if (NESTED && i >= absmaxUntil && w.scaleMode & SCALE_NESTED) {
            absmaxUntil = i + int((absmax.load(w, row, (int64_t(firstSpan) + i * PARTS + part) * SPAN) + PARTS * SPAN - 1) / (PARTS * SPAN));
        }
        mbarrier_wait(full + stage * 8, parity);
        const uint4 codes[2] = {load_shared4(at + codeAt), load_shared4(at + codeAt + CODE_BYTES / 2)};
        uint2 entries[AHEAD ? GROUPS : 1];  // of the nested map: two loads one after the other, so they are under way early
        if (AHEAD) {
            uint32_t bytes[GROUPS];
#pragma unroll
            for (int k = 0; k < GROUPS; k++) {
                bytes[k] = load_shared_u16(at + scaleAt + k * BAND);
            }
#pragma unroll
            for (int k = 0; k < GROUPS; k++) {
                entries[k] = uint2{load_shared1(mapAt + (bytes[k] & 0xff) * 4), load_shared1(mapAt + (bytes[k] >> 8) * 4)};
            }
        }
        const auto wordOf = [&](int step) {
            const uint4& c = codes[step / 4];
            return step % 4 == 0 ? c.x : step % 4 == 1 ? c.y : step % 4 == 2 ? c.z : c.w;
        };
        const auto loadScales = [&](int step) {  // early, what needs no arithmetic
            const int index = GROUPS == 1 ? 0 : step / (8 / GROUPS);
            return MODE == SCALE_16    ? uint2{load_shared1(at + scaleAt + index * BAND * 2), 0}
                   : MODE == SCALE_F32 ? load_shared2(at + scaleAt + index * BAND * 4)
                   : E2M1              ? uint2{load_shared_u16(at + scaleAt + index * BAND), 0}
                   : AHEAD             ? entries[AHEAD ? index : 0]
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
                return float2{ahead.scale(w, 0, loaded.x), ahead.scale(w, 1, loaded.y)};
            }
            if (E2M1) {  // E8M0
                return float2{decode_e8m0(loaded.x & 0xff), decode_e8m0(loaded.x >> 8)};
            }
            return scale_pair<MODE>(w, record + CODE_BYTES, (GROUPS == 2 ? step / 4 : step >> shift) * BAND + lanePair, absmax.value[0], map);
        };

        if constexpr (SCALED) {
            constexpr int STEPS = 8 / GROUPS;  // of a group
            uint32_t a[4][4], zero[2] = {minus_zero<T>(8), minus_zero<T>(8)}, low, high;
            uint2 loaded[GROUPS];
#pragma unroll
            for (int k = 0; k < GROUPS; k++) {
                loaded[k] = loadScales(k * STEPS);
            }
            bool large = false;  // known to be the same in a warp
            if (E2M1 && MODE == SCALE_E8M0) {
                large = any_large_e8m0(loaded[0].x | loaded[GROUPS > 1].x | loaded[GROUPS > 2 ? 2 : 0].x | loaded[GROUPS - 1].x);
            }
            uint32_t factor[2] = {};
            const auto begin = [&](int step) {
                if (E2M1) {
                    e2m1_factors<T, MODE>(factor, loaded[step / STEPS].x);
                    return;
                }
                const float2 scale = scaleOf(loaded[step / STEPS], step);
                low = T::pair(scale.x, scale.x);
                high = T::pair(scale.y, scale.y);
                if (ZEROS) {
                    const uint32_t there = load_shared_u16(at + zeroAt + step / STEPS * BAND);
                    const uint32_t both = w.zeroOffset ? there : 0x808;
                    zero[0] = minus_zero<T>(both & 0xff);
                    zero[1] = minus_zero<T>(both >> 8);
                }
            };
            begin(0);
#pragma unroll
            for (int step = 0; step < 8; step++) {
                if (step >= 4) {
                    wgmma_wait<3>();  // the step before the last three has let go of its registers
                }
                if (E2M1) {
                    unpack_e2m1<T>(a[step % 4], wordOf(step), factor[0], factor[1]);
                    if (large) {
                        scale_large<T>(a[step % 4], loaded[step / STEPS].x);
                    }
                } else {
                    if (TABLE) {
                        unpack_table(a[step % 4], wordOf(step), table, lane * 4);
                    } else {
                        unpack_int4<T>(a[step % 4], wordOf(step), zero);
                    }
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
            warp_arrive(empty + stage * 8, lane);
        } else {
            float sum[TOKENS / 2];
            uint32_t a[2][2][4], zero[2] = {minus_zero<T>(8), minus_zero<T>(8)};
            const auto unpack = [&](int unit) {
                if (ZEROS && unit * GROUPS % 4 == 0) {
                    const uint32_t there = load_shared_u16(at + zeroAt + (GROUPS < 4 || MODE == SCALE_16 ? unit * GROUPS / 4 : unit * 2 >> shift) * BAND);
                    const uint32_t both = w.zeroOffset ? there : 0x808;
                    zero[0] = minus_zero<T>(both & 0xff);
                    zero[1] = minus_zero<T>(both >> 8);
                }
#pragma unroll
                for (int s = 0; s < 2; s++) {
                    uint32_t(&to)[4] = a[unit % 2][s];
                    if (E2M1) {
                        unpack_e2m1<T>(to, wordOf(unit * 2 + s), T::E2M1_UNIT, T::E2M1_UNIT);
                    } else if (TABLE) {
                        unpack_table(to, wordOf(unit * 2 + s), table, lane * 4);
                    } else {
                        unpack_int4<T>(to, wordOf(unit * 2 + s), zero);
                    }
                }
            };
            unpack(0);
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
                        warp_arrive(empty + stage * 8, lane);
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

    // Each block finishes a share of the pairs of tokens: [block of the cluster, part][pair][row].
    if (shape.split > 1) {
        cluster_wait();
    }
#pragma unroll
    for (int j = 0; j < TOKENS / 8; j++) {
        const bool exchanged = SHARED ? band == OWN : shape.split > 1;
        const int pair = j * 4 + t, owner = pair / share, slot = (int(rank) * PARTS + part) * share + pair - owner * share;
        float2* const first = SHARED ? (band == OWN ? gatheredShared + slot * SHARED_PITCH : gathered + pair * PAIR_PITCH + band * BAND)
                                     : gathered + slot * PAIR_PITCH + band * BAND;
        if (pair < pairs) {
#pragma unroll
            for (int h = 0; h < 2; h++) {
                float2* const to = first + quarter * 16 + g + h * 8;
                if (exchanged) {
                    store_cluster(cluster_address(shared_address(to), owner), acc[j * 4 + h * 2], acc[j * 4 + h * 2 + 1],
                                  cluster_address(arrived, owner));
                } else {
                    *to = float2{acc[j * 4 + h * 2], acc[j * 4 + h * 2 + 1]};
                }
            }
        }
    }
    if (shape.split > 1) {
        mbarrier_wait(arrived, 0);  // so nobody writes here after this block has gone
    }
    if (SHARED || shape.split == 1) {
        named_barrier(1, CONSUMERS);
    }
    griddepcontrol_wait();
    const int firstPair = int(rank) * share, lastPair = firstPair + share < pairs ? firstPair + share : pairs;
    const bool wide = w.n % 4 == 0 && reinterpret_cast<uintptr_t>(y) % 16 == 0;
    // Pairs of tokens first … last − 1, rows of W from n0 on: `sums` sums of each.
    const auto finish = [&](const float2* from0, int sums, int first, int last, int rows, int64_t n0) {
        for (int i = threadIdx.x; i < (last - first) * (rows / 4); i += CONSUMERS) {
            const int r = i % (rows / 4) * 4, slot = i / (rows / 4), token = (first + slot) * 2;
            const int64_t n = n0 + r;
            if (n >= w.n) {
                continue;
            }
            float v[2][4] = {};  // of two tokens
            for (int s = 0; s < sums; s++) {
                const float4* const from = reinterpret_cast<const float4*>(from0 + (s * share + slot) * (rows + 8) + r);
                const float4 u0 = from[0], u1 = from[1];
                v[0][0] = __fadd_rn(v[0][0], u0.x);
                v[1][0] = __fadd_rn(v[1][0], u0.y);
                v[0][1] = __fadd_rn(v[0][1], u0.z);
                v[1][1] = __fadd_rn(v[1][1], u0.w);
                v[0][2] = __fadd_rn(v[0][2], u1.x);
                v[1][2] = __fadd_rn(v[1][2], u1.y);
                v[0][3] = __fadd_rn(v[0][3], u1.z);
                v[1][3] = __fadd_rn(v[1][3], u1.w);
            }
#pragma unroll
            for (int e = 0; e < 4; e++) {
                if (n + e < w.n) {
                    const float scale = w.rowScales ? __fmul_rn(w.rowScales[n + e], w.matrixScale) : w.matrixScale;
                    const float b = bias ? load(bias, biasType, n + e) : 0.f;
                    for (int h = 0; h < 2; h++) {
                        v[h][e] = __fmul_rn(E2M1 ? __fmul_rn(v[h][e], E2M1_SUMS<MODE>) : v[h][e], scale);
                        v[h][e] = bias ? __fadd_rn(v[h][e], b) : v[h][e];
                    }
                }
            }
            for (int h = 0; h < 2 && token + h < tokens; h++) {
                const int64_t to = (m0 + token + h) * w.n + n;
                if (wide) {
                    put_rows(y, yType, to, v[h]);
                } else {
                    for (int e = 0; e < 4 && n + e < w.n; e++) {
                        put(y, yType, to + e, v[h][e]);
                    }
                }
            }
        }
    };
    if (SHARED) {
        finish(gathered, 1, 0, pairs, ROWS, firstBand * BAND);
        finish(gatheredShared, 2, firstPair, lastPair, BAND, sharedBand * BAND);
    } else {
        finish(gathered, int(shape.split) * PARTS, firstPair, lastPair, ROWS, firstBand * BAND);
    }
}

}  // namespace lowbit

// BLOCKS: of a multiprocessor. 16 rows with two bands: three, where shared memory lets them (11008 × 4096: 12.4 µs, with two 15.2).
#define FEW(name, T, TOKENS, BANDS, PARTS, BLOCKS, TABLE, MODE, GROUPS, ZEROS, SHARED)                                              \
    extern "C" __global__ void __launch_bounds__(BANDS * PARTS * 128 + (lowbit::FEW_MOVES_REGISTERS<TOKENS, BANDS * PARTS> ? 128 : 32), BLOCKS) \
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
