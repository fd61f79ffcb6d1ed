// architectures: 90a
// y = x·Wᵀ (+ bias, + y) for few rows of x (tokens): 4-bit weights, 16-bit activations, m16n8k16 with W as the A operand.
//
// The weights are the bytes that cost time: each is read once, and nothing waits between the memory and the warp that
// multiplies it. A warp owns a ring of records in shared memory, fills it with bulk copies, and takes records of one band of 64
// rows, every so-manieth along K, with their columns of x; no other warp has a part in that.
//
//   cluster: `split` blocks cut K of a band     block: 8 or 16 warps cut its part of K further
//
//   band │ warp 0 │ warp 1 │ … │ warp 7 │ warp 0 │ …      one box: a record, 64 rows × 128 columns
//
// Weights do not depend on the kernel before this one, so the rings are filled before the wait for it; x comes after, by small
// copies of each warp: one bulk copy for all would queue behind the bulk copies of weights for the kernel after this one. What a
// record is multiplied with has its place beside the record and comes from L2 while that comes from memory: a block's shared
// memory, and with it the number of blocks at once, does not depend on K, and hardly on the rows of x.
// What counts as much as the bytes is that every multiprocessor has as many blocks of this product as every other, while
// blocks of the kernels before and after are there too: DecodePlan chooses warps, split, stages and grid by that, and blocks
// beyond the matrix wait for the kernel before and end, to hold a place.
//
// (code − zero) or the table's value times x is summed over a group in f32, then scaled in f32; MXFP4 and NVFP4 (no TABLE, and a MODE of
// bytes) are scaled before, where that is exact. The sums of a band are
// added over its warps and then over the cluster's blocks, both in their order: the order of every sum is fixed.
#include "w4.cuh"

namespace lowbit {

constexpr int TOKENS = 8, PITCH = BAND + 4;   // partial sums lie [token][row]; the pitch spreads them over the banks
constexpr uint32_t X_PITCH = (SPAN + 8) * 2;  // bytes from row to row of x of a record; spreads them likewise

struct DecodeShape {
    uint32_t split;   // blocks of a cluster
    uint32_t stages;  // of a ring
    uint32_t spans;   // records along K for a block
    uint32_t late;    // not 0: the kernel after this one may begin when the one before has ended, else when this one has begun
};

// Where things lie in shared memory: table │ nested map │ rings of (record │ its columns of x) │ barriers │ sums of the cluster
template <bool TABLE, ScaleMode MODE>
struct DecodePlaces {
    uint32_t stageBytes, ringBytes;
    uint8_t *rings, *barriers, *others;

    __device__ __forceinline__ DecodePlaces(uint32_t stages, uint32_t recordBytes, uint32_t rows, uint8_t* shared)
        : stageBytes(whole_lines(recordBytes + rows * X_PITCH)), ringBytes(stages * stageBytes),
          rings(shared + (TABLE ? TABLE_BYTES : 0) + (MODE == SCALE_NESTED ? 1024 : 0)), barriers(rings + blockDim.x / 32 * ringBytes),
          others(barriers + 16 + blockDim.x / 32 * stages * 8) {}
};

// A record has LEAST to MOST scales for a row; where these are the same number, INT4's kernels know all of a record when compiled, and there is a
// loop of its own for codebooks (in blocks of 64 columns). ZEROS: INT4 with zero points. MANY: 16 warps. TOGETHER: tiles of 16 rows
// unpacked side by side, as registers allow.
template <class T, bool TABLE, ScaleMode MODE, int LEAST, int MOST, bool ZEROS, bool MANY, int TOGETHER>
__device__ __forceinline__ void decode(const Matrix& matrix, const DecodeShape& shape, const uint16_t* x, void* y, uint32_t yType, const void* bias,
                                       uint32_t biasType, int64_t m) {
    const W4 w(matrix);
    constexpr bool E2M1 = !TABLE && (MODE == SCALE_E8M0 || MODE == SCALE_E4M3), SCALED = E2M1 && E2M1_SCALED<T, MODE>, INT4 = !TABLE && !E2M1;
    constexpr bool FINE = MOST > 1, HALVES = TABLE && LEAST == MOST, KNOWN = !TABLE && LEAST == MOST;
    static_assert(!HALVES || MOST == 2);
    constexpr uint32_t SCALES = MOST * BAND * (MODE == SCALE_16 ? 2 : 1), ZERO_POINTS = ZEROS ? MOST * BAND : 0;
    const uint32_t groups = KNOWN ? MOST : w.groups, recordBytes = KNOWN ? CODE_BYTES + SCALES + ZERO_POINTS : w.recordBytes;
    const uint32_t zeroOffset = KNOWN ? CODE_BYTES + SCALES : w.zeroOffset;
    extern __shared__ __align__(128) uint8_t shared[];
    const int warps = blockDim.x / 32, warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const uint32_t rank = blockIdx.x % shape.split;
    const uint32_t band = blockIdx.x / shape.split, m0 = blockIdx.y * TOKENS;
    const uint32_t rows = m - m0 < TOKENS ? m - m0 : TOKENS;
    if (!shape.late) {
        griddepcontrol_launch_dependents();
    }
    if (int64_t(band) * BAND >= w.n) {
        griddepcontrol_wait();
        return;
    }

    const DecodePlaces<TABLE, MODE> places(shape.stages, recordBytes, rows, shared);
    const uint32_t stageBytes = places.stageBytes;
    float* const map = reinterpret_cast<float*>(shared + (TABLE ? TABLE_BYTES : 0));
    uint8_t* const ring = places.rings + warp * places.ringBytes;
    const uint32_t gathered = shared_address(places.barriers), full = gathered + 16 + warp * shape.stages * 8;
    const uint32_t sums = BAND * rows;

    const uint32_t firstSpan = rank * shape.spans;
    const uint32_t lastSpan = firstSpan + shape.spans < w.spans ? firstSpan + shape.spans : w.spans;
    const auto fetch = [&](uint32_t span, uint8_t* to, uint32_t barrier) {
        mbarrier_arrive_expect(barrier, recordBytes);
        copy_bulk_evict_first(shared_address(to), w.records + wide_product(band * w.spans + span, recordBytes), recordBytes, barrier);
    };

    if (lane == 0) {
#pragma unroll 1
        for (uint32_t s = 0; s < shape.stages; s++) {
            mbarrier_init(full + s * 8, 1);
        }
        if (warp == 0) {
            mbarrier_init(gathered, 1);
        }
        fence_mbarrier_init();
        for (uint32_t s = 0, span = firstSpan + warp; s < shape.stages && span < lastSpan; s++, span += warps) {
            fetch(span, ring + s * stageBytes, full + s * 8);
        }
        if (warp == 0 && rank == 0 && shape.split > 1) {
            mbarrier_arrive_expect(gathered, (shape.split - 1) * sums * 4);
        }
    }
    __syncwarp();
    if (shape.split > 1) {
        cluster_arrive_relaxed();
    }
    if (TABLE) {
        spread_table<T>(shared, w.codebook, warp, warps, lane);
    }
    if (MODE == SCALE_NESTED) {
        for (int i = threadIdx.x; i < 256; i += blockDim.x) {
            map[i] = w.nestedMap[i];
        }
    }
    if (TABLE || MODE == SCALE_NESTED) {
        __syncthreads();
    }
    // Nested scales of the next record, of which a lane makes four: their absmax, a weight too, is asked for before the wait.
    float next[4] = {};
    const auto ask = [&](uint32_t span) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            next[i] = *NestedQuad::absmax(w, band, lane_now(), span, i);
        }
    };
    if (HALVES && MODE == SCALE_NESTED && firstSpan + warp < lastSpan) {
        ask(firstSpan + warp);
    }
    // The columns of x of a record, zero beyond K. A lane copies 8 columns of rows first, first + step …: `from` and `to` are where
    // they begin in its first row; or all lanes copy them column by column.
    const bool aligned = w.k % 8 == 0 && reinterpret_cast<uintptr_t>(x) % 16 == 0;
    const auto copy_x = [&](uint32_t to, const uint16_t* from, uint32_t first, uint32_t step, bool inside) {
#pragma unroll 1
        for (uint32_t r = first; r < rows; r += step) {
            copy_async16(to, from, inside ? 16 : 0);
            to += step * X_PITCH;
            from += step * w.k;
        }
    };
    const auto store_x = [&](uint32_t span, uint8_t* record, uint32_t lane) {
        uint8_t* const to = record + recordBytes;
#pragma unroll 1
        for (uint32_t i = lane; i < rows * SPAN; i += 32) {
            const int64_t k = int64_t(span) * SPAN + i % SPAN;
            *reinterpret_cast<uint16_t*>(to + i / SPAN * X_PITCH + i % SPAN * 2) = k < w.k ? x[int64_t(m0 + i / SPAN) * w.k + k] : 0;
        }
    };
    // Of the first records a row of two by one instruction: everything waits for this, so its addresses are there before.
    uint32_t span0 = firstSpan + warp + lane / 16 * warps, to0 = shared_address(ring) + lane / 16 * stageBytes + recordBytes + lane % 16 * 16;
    const uint16_t* from0 = x + int64_t(m0) * w.k + int64_t(span0) * SPAN + lane % 16 * 8;
    keep_before(from0, to0);
    griddepcontrol_wait();
    if (shape.late) {
        griddepcontrol_launch_dependents();
    }
    if (aligned) {
        for (uint32_t s = lane / 16; s < shape.stages; s += 2, span0 += 2 * warps, to0 += 2 * stageBytes, from0 += 2 * warps * SPAN) {
            if (span0 < lastSpan) {
                copy_x(to0, from0, 0, 1, span0 * SPAN + lane % 16 * 8 < w.k);
            }
        }
        copy_async_commit();
    } else {
#pragma unroll 1
        for (uint32_t s = 0, span = firstSpan + warp; s < shape.stages && span < lastSpan; s++, span += warps) {
            store_x(span, ring + s * stageBytes, lane);
        }
    }

    float acc[4][4] = {};
    NestedLanes absmax;
    float own[4] = {};  // nested: of each tile the scale that this lane makes for the others
    // Steps of 16 columns: a group is 2^shift of them. Bit i of `ends`: a group ends with step i of a record.
    const int shift = groups == 8 ? 0 : groups == 4 ? 1 : groups == 2 ? 2 : 3;
    const uint32_t ends = groups == 8 ? 0xff : groups == 4 ? 0xaa : groups == 2 ? 0x88 : groups == 1 ? 0x80 : 0;
    const uint32_t scalesAt = FINE || groups ? CODE_BYTES : 0;  // with one scale for a row there are none, and what is read there is not used
    const uint32_t middle[2] = {zero_step<T>(8, 0), zero_step<T>(8, 1)};  // the zero points of a symmetric scheme

    uint32_t stage = 0, parity = 0;
    if constexpr (HALVES) {
        // What a lookup takes is longer than a product: they run a step ahead of the products, the first of a record's while x comes.
        // Made anew for each record, and after it: what is kept takes the registers of lookups.
        const auto last = [&]() {
            return MODE == SCALE_NESTED ? min(block_of_cluster() * shape.spans + shape.spans, w.spans) : lastSpan;
        };
#pragma unroll 1
        for (uint32_t span = firstSpan + warp; span < last(); span += warps) {
            const auto there = [&]() { return places.rings + thread_now() / 32 * places.ringBytes + stage * stageBytes; };
            const auto barrier = [&]() { return shared_address(places.barriers) + 16 + (thread_now() / 32 * shape.stages + stage) * 8; };
            uint8_t* const record = there();
            const uint32_t lane = lane_now();
            const auto codesOf = [&](int unit) {  // of a tile's 16 rows and 64 columns, the tiles of the first half first
                return load_shared4(shared_address(record) + unit * 512 + lane * 16);
            };
            mbarrier_wait(barrier(), parity);
            uint4 codes = codesOf(0);
            if (MODE == SCALE_NESTED) {
                const uint32_t four = reinterpret_cast<const uint32_t*>(record + CODE_BYTES)[lane];
                float s[4];
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    s[i] = __fadd_rn(__fmul_rn(map[four >> 8 * i & 0xff], next[i]), w.nestedOffset);
                }
                __syncwarp();  // each lane has its first codes: the scales, as f32, take their place
                reinterpret_cast<float4*>(record)[lane] = float4{s[0], s[1], s[2], s[3]};
            }
            uint32_t value[4];
            unpack_table(value, codes.x, shared, lane * 4);
            const uint32_t xAt = shared_address(record) + recordBytes + min(lane % 8, rows - 1) * X_PITCH + lane / 8 * 16;
            if (shape.stages > 1 && span >= firstSpan + warps) {
                copy_async_wait<1>();
            } else {
                copy_async_wait<0>();
            }
            __syncwarp();
#pragma unroll(MANY ? 1 : 2)
            for (int half = 0; half < 2; half++) {
                uint32_t b[2][4];
                ldmatrix_x4(b[0], xAt + half * 128);
                ldmatrix_x4(b[1], xAt + half * 128 + 64);
#pragma unroll
                for (int tile = 0; tile < 4; tile++) {
                    uint4 following;
                    const uint2 scale = load_shared2(shared_address(record) + (MODE == SCALE_NESTED ? 0 : CODE_BYTES) + half * (BAND * 4) + tile * 64 + lane / 4 * 8);
                    float sum[4] = {};
#pragma unroll
                    for (int step = 0; step < 4; step++) {
                        uint32_t a[4];
#pragma unroll
                        for (int j = 0; j < 4; j++) {
                            a[j] = value[j];
                        }
                        if (step == 2) {
                            following = codesOf((half * 4 + tile + 1) % 8);  // after the last none that is used
                        }
                        unpack_table(value, step == 0 ? codes.y : step == 1 ? codes.z : step == 2 ? codes.w : following.x, shared, lane * 4);
                        T::mma(sum, a, b[step / 2][step % 2 * 2], b[step / 2][step % 2 * 2 + 1]);
                    }
#pragma unroll
                    for (int e = 0; e < 4; e++) {
                        acc[tile][e] = __fmaf_rn(sum[e], __uint_as_float(e < 2 ? scale.x : scale.y), acc[tile][e]);
                    }
                    codes = following;
                }
            }
            if (MODE == SCALE_NESTED) {
                fence_async_shared();  // the scales were written here, and the copy engine writes next
            }
            __syncwarp();  // the record has been read
            if (const uint32_t later = span + shape.stages * warps; later < last()) {
                const uint32_t lane = lane_now();
                uint8_t* const record = there();
                if (lane == 0) {
                    fetch(later, record, barrier());
                }
                if (aligned) {
                    copy_x(shared_address(record) + recordBytes + lane / 16 * X_PITCH + lane % 16 * 16,
                           x + int64_t(m0 + lane / 16) * w.k + int64_t(later) * SPAN + lane % 16 * 8, lane / 16, 2, later * SPAN + lane % 16 * 8 < w.k);
                } else {
                    store_x(later, record, lane);
                }
            }
            if (MODE == SCALE_NESTED && span + warps < last()) {
                ask(span + warps);
            }
            copy_async_commit();  // of nothing at the end, so that the last but one is always the next record's
            if (++stage == shape.stages) {
                stage = 0;
                parity ^= 1;
            }
        }
    } else {
#pragma unroll 1
    for (uint32_t span = firstSpan + warp; span < lastSpan; span += warps) {
        const uint8_t* const record = ring + stage * stageBytes;
        // Of its x, what this lane addresses for ldmatrix: a token; those beyond the last are its copies, and their sums are not used.
        const uint32_t at = ZEROS ? lane_now() : lane, xAt = shared_address(record) + recordBytes + min(at % 8, rows - 1) * X_PITCH + at / 8 * 16;
        if (MODE == SCALE_NESTED) {
            absmax.move(w, band * BAND, lane, span);
        }
        mbarrier_wait(full + stage * 8, parity);
        // All of x that was asked for; but in a ring of several, after the first record, not what was asked for last: it is a later record's.
        if (shape.stages > 1 && span >= firstSpan + warps) {
            copy_async_wait<1>();
        } else {
            copy_async_wait<0>();
        }
        __syncwarp();
        bool large = false;  // known to be the same in a warp
        if (SCALED && MODE == SCALE_E8M0) {
            const uint2 scales = reinterpret_cast<const uint2*>(record + CODE_BYTES)[lane];  // all of the record's
            large = any_large_e8m0(scales.x | scales.y);
        }
#pragma unroll
        for (int first = 0; first < 4; first += TOGETHER) {
            float sum[TOGETHER][4] = {};
            uint32_t zero[TOGETHER][2];
            const auto scale = [&](int group, int i) {
                float2 s;
                if (MODE == SCALE_NESTED) {
                    const int from = group % 2 * 16 + g * 2;
                    s = float2{__shfl_sync(0xffffffffu, own[first + i], from), __shfl_sync(0xffffffffu, own[first + i], from + 1)};
                } else {
                    s = scale_pair<MODE>(w, record + scalesAt, group * BAND + (first + i) * 16 + g * 2, float2{}, map);
                }
                if (!FINE && !groups) {
                    s = float2{1.f, 1.f};
                }
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    acc[first + i][e] = __fmaf_rn(sum[i][e], e < 2 ? s.x : s.y, acc[first + i][e]);
                    sum[i][e] = 0.f;
                }
            };
            const auto zeroPoints = [&](int group, int i) {
                const uint32_t pair = *reinterpret_cast<const uint16_t*>(record + zeroOffset + group * BAND + (first + i) * 16 + g * 2);
                zero[i][0] = zero_step<T>(pair & 0xff, 0);
                zero[i][1] = zero_step<T>(pair >> 8, 1);
            };
#pragma unroll
            for (int i = 0; i < TOGETHER; i++) {
                zero[i][0] = middle[0];
                zero[i][1] = middle[1];
                if (ZEROS) {
                    zeroPoints(0, i);
                }
            }
#pragma unroll
            for (int half = 0; half < 2; half++) {
                if (MODE == SCALE_NESTED) {  // of the one or two groups of this half
                    const int group = groups == 4 ? half * 2 + lane / 16 : groups == 2 ? half : 0;
#pragma unroll
                    for (int i = 0; i < TOGETHER; i++) {
                        const uint32_t code = record[CODE_BYTES + group * BAND + (first + i) * 16 + lane % 16];
                        own[first + i] = __fadd_rn(__fmul_rn(map[code], absmax.value[first + i]), w.nestedOffset);
                    }
                }
                uint4 codes[TOGETHER];
#pragma unroll
                for (int i = 0; i < TOGETHER; i++) {
                    codes[i] = *reinterpret_cast<const uint4*>(record + half * 2048 + ((first + i) * 32 + lane) * 16);
                }
                uint32_t factor[E2M1 ? TOGETHER : 1][2], made[E2M1 ? TOGETHER : 1], rest[E2M1 ? TOGETHER : 1];
                if (SCALED) {  // E8M0's of group t % 2 of this half, E4M3's of step t
#pragma unroll
                    for (int i = 0; i < TOGETHER; i++) {
                        const int group = MODE == SCALE_E8M0 ? half * 2 + t % 2 : half * 4 + t;
                        const uint32_t pair = *reinterpret_cast<const uint16_t*>(record + CODE_BYTES + group * BAND + (first + i) * 16 + g * 2);
                        made[i] = MODE == SCALE_E8M0 ? e8m0_factors(pair) : e4m3_factors<T>(pair);
                        if (large) {
                            rest[i] = e8m0_rest(pair);
                        }
                    }
                }
                uint32_t b[4];
#pragma unroll
                for (int step = 0; step < 4; step++) {
                    if (step % 2 == 0) {
                        ldmatrix_x4(b, xAt + half * 128 + step * 32);
                    }
#pragma unroll
                    for (int i = 0; i < TOGETHER; i++) {
                        const uint32_t word = step == 0 ? codes[i].x : step == 1 ? codes[i].y : step == 2 ? codes[i].z : codes[i].w;
                        uint32_t a[4];
                        if (E2M1) {
                            if (!SCALED) {
                                factor[i][0] = factor[i][1] = T::E2M1_UNIT;
                            } else if (MODE == SCALE_E4M3 || step % 2 == 0) {
                                spread_factors(factor[i], made[i], (lane & 28) + (MODE == SCALE_E4M3 ? step : step / 2));
                            }
                            unpack_e2m1<T>(a, word, factor[i][0], factor[i][1]);
                            if (large) {
                                scale_rest<T>(a, rest[i], (lane & 28) + step / 2);
                            }
                        } else if (TABLE) {
                            unpack_table(a, word, shared, lane * 4);
                        } else {
                            unpack_codes<T>(a, word, zero[i]);
                        }
                        T::mma(sum[i], a, b[step % 2 * 2], b[step % 2 * 2 + 1]);
                    }
                    if (FINE && !SCALED && (ends >> (half * 4 + step) & 1)) {
#pragma unroll
                        for (int i = 0; i < TOGETHER; i++) {
                            scale((half * 4 + step) >> shift, i);
                            if (ZEROS && half * 4 + step < 7) {
                                zeroPoints((half * 4 + step + 1) >> shift, i);
                            }
                        }
                    }
                }
            }
            if (!FINE || SCALED) {
#pragma unroll
                for (int i = 0; i < TOGETHER; i++) {
                    if (!SCALED) {
                        scale(0, i);
                    } else {
#pragma unroll
                        for (int e = 0; e < 4; e++) {
                            acc[first + i][e] = __fadd_rn(acc[first + i][e], sum[i][e]);
                        }
                    }
                }
            }
        }
        __syncwarp();  // the record has been read
        if (const uint32_t next = span + shape.stages * warps; next < lastSpan) {
            if (lane == 0) {
                fetch(next, ring + stage * stageBytes, full + stage * 8);
            }
            const uint32_t lane = lane_now();
            if (aligned) {
                copy_x(shared_address(record) + recordBytes + lane / 16 * X_PITCH + lane % 16 * 16,
                       x + int64_t(m0 + lane / 16) * w.k + int64_t(next) * SPAN + lane % 16 * 8, lane / 16, 2, next * SPAN + lane % 16 * 8 < w.k);
            } else {
                store_x(next, ring + stage * stageBytes, lane);
            }
        }
        copy_async_commit();  // of nothing at the end, so that the last but one is always the next record's
        if (++stage == shape.stages) {
            stage = 0;
            parity ^= 1;
        }
    }

    }

    // Sums of the warps, each in its own ring: all its records have been read.
    uint32_t stagesNow = shape.stages, threadNow = threadIdx.x, blockNow = blockIdx.x;
    if (HALVES) {  // reckoned anew where things lie: kept over the loop, it would take the registers of lookups
        asm volatile("" : "+r"(stagesNow), "+r"(threadNow), "+r"(blockNow));
    }
    const DecodePlaces<TABLE, MODE> end = HALVES ? DecodePlaces<TABLE, MODE>(stagesNow, recordBytes, rows, shared) : places;
    const uint32_t rankNow = HALVES ? blockNow % shape.split : rank, bandNow = HALVES ? blockNow / shape.split : band;
    const uint32_t laneNow = HALVES ? threadNow % 32 : lane, gatheredNow = HALVES ? shared_address(end.barriers) : gathered;
    const float* const others = reinterpret_cast<const float*>(end.others);
    float* const mine = reinterpret_cast<float*>(HALVES ? end.rings + threadNow / 32 * end.ringBytes : ring);
#pragma unroll
    for (int tile = 0; tile < 4; tile++) {
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const uint32_t token = laneNow % 4 * 2 + e % 2;
            if (token < rows) {
                mine[token * PITCH + tile * 16 + laneNow / 4 + e / 2 * 8] = acc[tile][e];
            }
        }
    }
    __syncthreads();
    if (shape.split > 1) {
        cluster_wait();
    }
    const uint32_t leader = cluster_address(shared_address(others), 0), leaderBarrier = cluster_address(gatheredNow, 0);
    const uint32_t type = yType & ~ADD;
    constexpr float UNIT = E2M1 ? SCALED ? E2M1_SUMS<MODE> : 1.f : INT4 ? 1.f / CODE_STEP<T> : 1.f;  // of the sums: a power of two
    bool waited = false;
    for (uint32_t i = threadNow; i < sums; i += blockDim.x) {
        const int row = i % BAND, token = i / BAND;
        const uint8_t* const p = end.rings + (token * PITCH + row) * 4;
        float v = 0.f;
        for (int j = 0; j < warps; j += 8) {
            float part[8];
#pragma unroll
            for (int q = 0; q < 8; q++) {
                part[q] = *reinterpret_cast<const float*>(p + (j + q) * end.ringBytes);
            }
#pragma unroll
            for (int q = 0; q < 8; q++) {
                v = __fadd_rn(v, part[q]);
            }
        }
        if (rankNow != 0) {
            store_cluster(leader + ((rankNow - 1) * sums + i) * 4, v, leaderBarrier);
            continue;
        }
        const uint32_t n = bandNow * BAND + row;
        const int64_t at = int64_t(m0 + token) * w.n + n;
        const float before = yType & ADD && n < w.n ? load(y, type, at) : 0.f;  // on its way while the other blocks' sums come
        if (shape.split > 1) {
            if (!waited) {
                mbarrier_wait(gatheredNow, 0);
                waited = true;
            }
            for (uint32_t j = 1; j < shape.split; j++) {
                v = __fadd_rn(v, others[(j - 1) * sums + i]);
            }
        }
        if (n < w.n) {
            v = TABLE ? v : __fmul_rn(__fmul_rn(v, UNIT), w.rowScales ? __fmul_rn(w.rowScales[n], w.matrixScale) : w.matrixScale);
            v = bias ? __fadd_rn(v, load(bias, biasType, n)) : v;
            store(y, type, at, yType & ADD ? __fadd_rn(before, v) : v);
        }
    }
}

}  // namespace lowbit

// Threads and blocks of a multiprocessor at once that registers are to suffice for.
#define DECODE(suffix, T, TABLE, MODE, LEAST, MOST, ZEROS, TOGETHER, THREADS, BLOCKS)                                            \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) LOWBIT_NAME(ARCH, suffix)(                                     \
        const __grid_constant__ lowbit::Matrix w, const __grid_constant__ lowbit::DecodeShape shape, const uint16_t* x, void* y, \
        uint32_t yType, const void* bias, uint32_t biasType, int64_t m) {                                                        \
        lowbit::decode<T, TABLE, lowbit::MODE, LEAST, MOST, ZEROS, (THREADS > 256), TOGETHER>(w, shape, x, y, yType, bias,       \
                                                                                             biasType, m);                       \
    }
#define DECODE_SCHEMES(name, types, T)                                                          \
    DECODE(name##_int4_##types, T, false, SCALE_16, 0, 1, false, 2, 256, 3)                     \
    DECODE(name##_int4_many_##types, T, false, SCALE_16, 0, 1, false, 2, 512, 2)                \
    DECODE(name##_int4_g64_##types, T, false, SCALE_16, 2, 2, false, 2, 256, 3)                 \
    DECODE(name##_int4_g64_many_##types, T, false, SCALE_16, 2, 2, false, 1, 512, 2)            \
    DECODE(name##_int4_g32_##types, T, false, SCALE_16, 4, 4, false, 1, 256, 3)                 \
    DECODE(name##_int4_g32_many_##types, T, false, SCALE_16, 4, 4, false, 1, 512, 2)            \
    DECODE(name##_int4_fine_##types, T, false, SCALE_16_F32, 0, 8, false, 2, 256, 3)            \
    DECODE(name##_int4_zeros_##types, T, false, SCALE_16, 0, 1, true, 2, 256, 3)                \
    DECODE(name##_int4_zeros_many_##types, T, false, SCALE_16, 1, 1, true, 1, 512, 2)           \
    DECODE(name##_int4_g64_zeros_##types, T, false, SCALE_16, 2, 2, true, 2, 256, 3)            \
    DECODE(name##_int4_g32_zeros_##types, T, false, SCALE_16, 4, 4, true, 2, 256, 3)            \
    DECODE(name##_int4_fine_zeros_##types, T, false, SCALE_16_F32, 0, 8, true, 2, 256, 2)       \
    DECODE(name##_table_f32_any_##types, T, true, SCALE_F32, 0, 8, false, 2, 256, 3)            \
    DECODE(name##_table_nested_any_##types, T, true, SCALE_NESTED, 0, 8, false, 2, 256, 2)      \
    DECODE(name##_table_f32_##types, T, true, SCALE_F32, 2, 2, false, 2, 256, 3)                \
    DECODE(name##_table_f32_many_##types, T, true, SCALE_F32, 2, 2, false, 2, 512, 2)           \
    DECODE(name##_table_nested_##types, T, true, SCALE_NESTED, 2, 2, false, 2, 256, 3)          \
    DECODE(name##_table_nested_many_##types, T, true, SCALE_NESTED, 2, 2, false, 2, 512, 2)     \
    DECODE(name##_mxfp4_##types, T, false, SCALE_E8M0, 0, 8, false, 2, 256, 3)                  \
    DECODE(name##_nvfp4_##types, T, false, SCALE_E4M3, 0, 8, false, 2, 256, 3)
DECODE_SCHEMES(w4decode8, bf16, lowbit::Bf16)
DECODE_SCHEMES(w4decode8, f16, lowbit::Half)
