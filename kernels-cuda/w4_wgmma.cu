// architectures: 90a
// y = x·Wᵀ (+ bias) with 4-bit weights and 16-bit activations on warp groups: m64nNk16 with W as the A operand, unpacked
// into registers, and a tile of x as the B operand in shared memory.
//
//   block: GROUPS warp groups, each 64 rows of W (a band), and a producer; TOKENS rows of x
//   stage: x [2 halves of 64 columns][TOKENS][64], swizzled by the copy engine │ a record of each band
//   cluster: `split` blocks share the bands and tokens and cut K
//
// The producer fills the stages: records by bulk copies (before the wait for the kernel before this one, as far as there are
// stages), x by tensor copies. At the end the sums go through shared memory, where each block of a cluster adds its share of
// the tokens over all blocks in their order: the order of every sum is fixed.
//
// Two ways to scale. Few tokens: (code − zero) or the table's value times x is summed over a group, then scaled in f32, as
// in w4_decode.cu. Many tokens (SCALED): there are no registers for two sets of sums; the weight, code − zero or the table's
// f32 value times the f32 scale, is rounded once to the type of x.
#include "w4.cuh"

namespace lowbit {

struct WgmmaShape {
    uint32_t split;   // blocks of a cluster
    uint32_t stages;
    uint32_t spans;   // records along K for a block
    uint32_t stageBytes;
};

struct alignas(64) TensorMap {
    uint8_t bytes[128];
};

// A lane's share of one step of 16 columns, scaled in f32 and rounded once.
template <class T, bool TABLE>
__device__ __forceinline__ void unpack_scaled(uint32_t (&a)[4], uint32_t word, const uint32_t (&zero)[2], float2 scale, const uint8_t* values,
                                              uint32_t lane4) {
    if (TABLE) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const float s = j % 2 ? scale.y : scale.x;
            a[j] = T::pair(__fmul_rn(table_value(values, word, 2 * j, lane4), s), __fmul_rn(table_value(values, word, 2 * j + 1, lane4), s));
        }
    } else {
        unpack_int4<T>(a, word, zero);
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const float s = j % 2 ? scale.y : scale.x;
            a[j] = T::pair(__fmul_rn(T::low(a[j]), s), __fmul_rn(T::high(a[j]), s));
        }
    }
}

__device__ __forceinline__ uint32_t step_word(const uint4 (&codes)[2], int step) {
    const uint4& c = codes[step / 4];
    return step % 4 == 0 ? c.x : step % 4 == 1 ? c.y : step % 4 == 2 ? c.z : c.w;
}

// 8 neighbouring rows of one token.
__device__ __forceinline__ void store8(void* y, uint32_t yType, int64_t at, const float (&v)[8]) {
    if (yType == F32) {
        float4* p = reinterpret_cast<float4*>(static_cast<float*>(y) + at);
        p[0] = float4{v[0], v[1], v[2], v[3]};
        p[1] = float4{v[4], v[5], v[6], v[7]};
    } else {
        uint4 h;
        h.x = yType == F16 ? cvt_rn_f16x2_f32(v[0], v[1]) : cvt_rn_bf16x2_f32(v[0], v[1]);
        h.y = yType == F16 ? cvt_rn_f16x2_f32(v[2], v[3]) : cvt_rn_bf16x2_f32(v[2], v[3]);
        h.z = yType == F16 ? cvt_rn_f16x2_f32(v[4], v[5]) : cvt_rn_bf16x2_f32(v[4], v[5]);
        h.w = yType == F16 ? cvt_rn_f16x2_f32(v[6], v[7]) : cvt_rn_bf16x2_f32(v[6], v[7]);
        *reinterpret_cast<uint4*>(static_cast<uint16_t*>(y) + at) = h;
    }
}

template <class T, int TOKENS, int GROUPS, bool TABLE, int MODE>
__device__ __forceinline__ void matmul(const Matrix& matrix, const WgmmaShape& shape, const void* xMap, void* y, uint32_t yType, const void* bias,
                                       uint32_t biasType, int64_t m) {
    const W4 w(matrix);
    constexpr bool SCALED = TOKENS >= 128, NESTED = (MODE & SCALE_NESTED) != 0;
    constexpr int CONSUMERS = GROUPS * 128, X_BYTES = TOKENS * SPAN * 2, PITCH = GROUPS * BAND + 4, PAIR_PITCH = GROUPS * BAND + 8;
    extern __shared__ __align__(1024) uint8_t shared[];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const uint32_t rank = blockIdx.x % shape.split;
    const int64_t m0 = int64_t(blockIdx.x / shape.split) * TOKENS;
    const int64_t firstBand = int64_t(blockIdx.y) * GROUPS, bands = (w.n + BAND - 1) / BAND;

    // Shared memory: stages │ table │ nested map │ sums of the cluster (few tokens) │ barriers
    uint8_t* const table = shared + shape.stages * shape.stageBytes;
    float* const map = reinterpret_cast<float*>(table + (TABLE ? (SCALED ? VALUES_BYTES : TABLE_BYTES) : 0));
    const int tokens = int(m - m0 < TOKENS ? m - m0 : TOKENS);
    const int pairs = (tokens + 1) / 2, share = (pairs + int(shape.split) - 1) / int(shape.split);  // pairs of tokens that a block finishes
    float2* const gathered = reinterpret_cast<float2*>(map + (NESTED ? 256 : 0));
    const uint32_t full = shared_address(gathered) + (SCALED ? 0 : shape.split * share * PAIR_PITCH * 8), empty = full + shape.stages * 8;
    const uint32_t arrived = empty + shape.stages * 8;

    const uint32_t firstSpan = rank * shape.spans;
    const uint32_t lastSpan = firstSpan + shape.spans < w.spans ? firstSpan + shape.spans : w.spans;
    const int count = lastSpan > firstSpan ? lastSpan - firstSpan : 0;

    if (threadIdx.x == 0) {
        for (uint32_t s = 0; s < shape.stages; s++) {
            mbarrier_init(full + s * 8, 1);
            mbarrier_init(empty + s * 8, GROUPS * 4);
        }
        mbarrier_init(arrived, 1);
        fence_mbarrier_init();
        if (!SCALED && shape.split > 1) {
            const int mine = pairs - int(rank) * share < share ? pairs - int(rank) * share : share;
            mbarrier_arrive_expect(arrived, mine > 0 ? shape.split * mine * GROUPS * BAND * 8 : 0);
        }
    }
    if (TABLE) {
        if (NESTED && w.nestedMap) {
            for (int i = threadIdx.x; i < 256; i += blockDim.x) {
                map[i] = w.nestedMap[i];
            }
        }
        if (SCALED) {
            spread_values(table, w.codebook, warp, blockDim.x / 32, lane);
        } else {
            spread_table<T>(table, w.codebook, warp, blockDim.x / 32, lane);
        }
    }
    __syncthreads();
    if (!SCALED && shape.split > 1) {
        cluster_arrive_relaxed();  // the barriers of all blocks are ready
    }
    griddepcontrol_launch_dependents();

    if (warp >= CONSUMERS / 32) {  // the producer
        if (TOKENS >= 128) {
            setmaxnreg_dec<40>();
        }
        if (warp == CONSUMERS / 32 && lane == 0) {
            prefetch_tensor_map(xMap);
            const auto copyRecords = [&](int i, uint32_t stage) {
                const uint32_t at = shared_address(shared) + stage * shape.stageBytes + X_BYTES;
                mbarrier_arrive_expect(full + stage * 8, X_BYTES + GROUPS * w.recordBytes);
#pragma unroll
                for (int b = 0; b < GROUPS; b++) {
                    const int64_t band = firstBand + b < bands ? firstBand + b : bands - 1;  // beyond the last: its sums are not stored
                    copy_bulk_evict_first(at + b * w.recordBytes, w.records + (band * w.spans + firstSpan + i) * w.recordBytes, w.recordBytes,
                                          full + stage * 8);
                }
            };
            const auto copyX = [&](int i, uint32_t stage) {
                const uint32_t at = shared_address(shared) + stage * shape.stageBytes;
                const int column = int(firstSpan + i) * SPAN;
                copy_tensor_2d(at, xMap, column, int(m0), full + stage * 8);
                copy_tensor_2d(at + X_BYTES / 2, xMap, column + 64, int(m0), full + stage * 8);
            };
            const int first = count < int(shape.stages) ? count : int(shape.stages);
            for (int i = 0; i < first; i++) {
                copyRecords(i, i);
            }
            griddepcontrol_wait();
            for (int i = 0; i < first; i++) {
                copyX(i, i);
            }
            for (int i = first, stage = 0, parity = 0; i < count; i++) {
                mbarrier_wait(empty + stage * 8, parity);
                copyRecords(i, stage);
                copyX(i, stage);
                if (++stage == int(shape.stages)) {
                    stage = 0;
                    parity ^= 1;
                }
            }
        }
        __syncwarp();
        if (shape.split > 1) {
            if (SCALED) {
                cluster_arrive();
                cluster_wait();
                cluster_arrive_relaxed();
            }
            cluster_wait();
        }
        return;
    }

    if (TOKENS >= 128) {
        setmaxnreg_inc<232>();
    }
    const int group = warp / 4, quarter = warp % 4;  // 16 rows of the group's 64
    const int shift = w.groups == 8 ? 0 : w.groups == 4 ? 1 : w.groups == 2 ? 2 : 3, groupSteps = w.groups ? 1 << shift : 0;
    float acc[TOKENS / 2];
    uint32_t stage = 0, parity = 0;

    NestedAbsmax<1> absmax;
    const int64_t row = (firstBand + group) * BAND + quarter * 16 + g;
    const int lanePair = quarter * 16 + g * 2;
    const auto scaleOf = [&](const uint8_t* record, int step) {
        const float2 s = scale_pair<ScaleMode(MODE)>(w, record + CODE_BYTES, (step >> shift) * BAND + lanePair, absmax.value[0], map);
        return TABLE || groupSteps ? s : float2{1.f, 1.f};
    };
    const auto zeroOf = [&](uint32_t (&zero)[2], const uint8_t* record, int step) {
        if (!TABLE) {
            const uint32_t there = *reinterpret_cast<const uint16_t*>(record + w.zeroOffset + (step >> shift) * BAND + lanePair);
            const uint32_t pair = w.zeroOffset ? there : 0x808;
            zero[0] = minus_zero<T>(pair & 0xff);
            zero[1] = minus_zero<T>(pair >> 8);
        }
    };

    if constexpr (SCALED) {
        uint32_t a[4][4];
#pragma unroll
        for (int i = 0; i < TOKENS / 2; i++) {
            acc[i] = 0.f;
        }
#pragma unroll 1
        for (int i = 0; i < count; i++) {
            const uint32_t at = shared_address(shared) + stage * shape.stageBytes;
            const uint8_t* const record = shared + stage * shape.stageBytes + X_BYTES + group * w.recordBytes;
            if (NESTED && (w.scaleMode & SCALE_NESTED)) {
                absmax.move(w, row, int64_t(firstSpan + i) * SPAN);
            }
            mbarrier_wait(full + stage * 8, parity);
            uint4 codes[2];
            codes[0] = *reinterpret_cast<const uint4*>(record + (quarter * 32 + lane) * 16);
            codes[1] = *reinterpret_cast<const uint4*>(record + 2048 + (quarter * 32 + lane) * 16);
#pragma unroll
            for (int step = 0; step < 8; step++) {
                const float2 scale = scaleOf(record, step);
                uint32_t zero[2] = {0, 0};
                zeroOf(zero, record, step);
                if (step >= 4) {
                    wgmma_wait<3>();  // the step before the last three has let go of its registers
                }
                unpack_scaled<T, TABLE>(a[step % 4], step_word(codes, step), zero, scale, table, lane * 4);
                wgmma_fence();
                T::template wgmma<TOKENS>(acc, a[step % 4], wgmma_descriptor(at + step / 4 * (X_BYTES / 2) + step % 4 * 32), 1);
                wgmma_commit();
            }
            wgmma_wait<0>();  // meanwhile the other group's products are under way
            mbarrier_arrive_if(empty + stage * 8, lane == 0);
            if (++stage == shape.stages) {
                stage = 0;
                parity ^= 1;
            }
        }
    } else {
        float sum[TOKENS / 2];
        uint32_t a[2][2][4];
        const bool scaled = TABLE && groupSteps == 1;  // NVFP4: the scaled weight has few enough bits to be exact
        const uint32_t ends = scaled || !groupSteps ? 0 : groupSteps == 2 ? 0xf : groupSteps == 4 ? 0xa : 0x8;  // bit i: a group ends with unit i
#pragma unroll
        for (int i = 0; i < TOKENS / 2; i++) {
            acc[i] = sum[i] = 0.f;
        }
        int fresh = 1;
#pragma unroll 1
        for (int i = 0; i < count; i++) {
            const uint32_t at = shared_address(shared) + stage * shape.stageBytes;
            const uint8_t* const record = shared + stage * shape.stageBytes + X_BYTES + group * w.recordBytes;
            if (NESTED && (w.scaleMode & SCALE_NESTED)) {
                absmax.move(w, row, int64_t(firstSpan + i) * SPAN);
            }
            mbarrier_wait(full + stage * 8, parity);
            uint4 codes[2];
            codes[0] = *reinterpret_cast<const uint4*>(record + (quarter * 32 + lane) * 16);
            codes[1] = *reinterpret_cast<const uint4*>(record + 2048 + (quarter * 32 + lane) * 16);
            const auto unpack = [&](uint32_t (&to)[2][4], int unit) {
                uint32_t zero[2] = {0, 0};
                zeroOf(zero, record, unit * 2);
#pragma unroll
                for (int s = 0; s < 2; s++) {
                    const uint32_t word = step_word(codes, unit * 2 + s);
                    if (TABLE) {
                        unpack_table(to[s], word, table, lane * 4);
                        if ((MODE & SCALE_E4M3) && scaled) {
                            const float2 f = scaleOf(record, unit * 2 + s);
                            const uint32_t low = T::pair(f.x, f.x), high = T::pair(f.y, f.y);
#pragma unroll
                            for (int j = 0; j < 4; j++) {
                                to[s][j] = T::times(to[s][j], j % 2 ? high : low);
                            }
                        }
                    } else {
                        unpack_int4<T>(to[s], word, zero);
                    }
                }
            };
            unpack(a[0], 0);
#pragma unroll
            for (int unit = 0; unit < 4; unit++) {
                const uint64_t b = wgmma_descriptor(at + unit / 2 * (X_BYTES / 2) + unit % 2 * 64);
                wgmma_fence();
                T::template wgmma<TOKENS>(sum, a[unit % 2][0], b, !fresh);
                T::template wgmma<TOKENS>(sum, a[unit % 2][1], b + 2, 1);
                wgmma_commit();
                if (unit < 3) {
                    unpack(a[(unit + 1) % 2], unit + 1);
                }
                const float2 scale = scaleOf(record, unit * 2);
                wgmma_wait<0>();
                fresh = ends >> unit & 1;
                if (fresh) {
#pragma unroll
                    for (int j = 0; j < TOKENS / 2; j++) {
                        acc[j] = __fmaf_rn(sum[j], j % 4 < 2 ? scale.x : scale.y, acc[j]);
                    }
                }
            }
            mbarrier_arrive_if(empty + stage * 8, lane == 0);
            if (++stage == shape.stages) {
                stage = 0;
                parity ^= 1;
            }
        }
        if (!ends) {
#pragma unroll
            for (int j = 0; j < TOKENS / 2; j++) {
                acc[j] = sum[j];
            }
        }

        // Each block finishes a share of the pairs of tokens: [block of the cluster][pair][row].
        if (shape.split > 1) {
            cluster_wait();
        }
#pragma unroll
        for (int j = 0; j < TOKENS / 8; j++) {
            const int pair = j * 4 + t, owner = pair / share, slot = (int(rank) * share + pair - owner * share) * PAIR_PITCH;
            if (pair < pairs) {
#pragma unroll
                for (int h = 0; h < 2; h++) {
                    float2* const to = gathered + slot + group * BAND + quarter * 16 + g + h * 8;
                    if (shape.split > 1) {
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
        } else {
            named_barrier(1, CONSUMERS);
        }
        griddepcontrol_wait();
        const int firstPair = int(rank) * share, lastPair = firstPair + share < pairs ? firstPair + share : pairs;
        for (int i = threadIdx.x; i < (lastPair - firstPair) * GROUPS * BAND; i += CONSUMERS) {
            const int r = i % (GROUPS * BAND), slot = i / (GROUPS * BAND), token = (firstPair + slot) * 2;
            const int64_t n = firstBand * BAND + r;
            if (n < w.n) {
                float2 v = gathered[slot * PAIR_PITCH + r];
                for (int s = 1; s < int(shape.split); s++) {
                    const float2 u = gathered[(s * share + slot) * PAIR_PITCH + r];
                    v.x = __fadd_rn(v.x, u.x);
                    v.y = __fadd_rn(v.y, u.y);
                }
                const float scale = w.rowScales ? __fmul_rn(w.rowScales[n], w.matrixScale) : w.matrixScale;
                const float b = bias ? load(bias, biasType, n) : 0.f;
                v.x = __fmul_rn(v.x, scale);
                v.y = __fmul_rn(v.y, scale);
                store(y, yType, (m0 + token) * w.n + n, bias ? __fadd_rn(v.x, b) : v.x);
                if (token + 1 < tokens) {
                    store(y, yType, (m0 + token + 1) * w.n + n, bias ? __fadd_rn(v.y, b) : v.y);
                }
            }
        }
        return;
    }

    // The sums as [token][row] over the stages, which all have been read.
    named_barrier(1, CONSUMERS);
    float* const sums = reinterpret_cast<float*>(shared);
#pragma unroll
    for (int j = 0; j < TOKENS / 2; j++) {
        sums[(j / 4 * 8 + 2 * t + j % 2) * PITCH + group * BAND + quarter * 16 + g + j / 2 % 2 * 8] = acc[j];
    }
    named_barrier(1, CONSUMERS);
    if (shape.split > 1) {
        cluster_arrive();
        cluster_wait();
    }
    griddepcontrol_wait();
    constexpr int CHUNKS = GROUPS * BAND / 8;
    const int each = (tokens + int(shape.split) - 1) / int(shape.split);
    const int firstToken = int(rank) * each, lastToken = firstToken + each < tokens ? firstToken + each : tokens;
    const bool wide = w.n % 8 == 0 && reinterpret_cast<uintptr_t>(y) % 16 == 0;
    for (int i = threadIdx.x; i < (lastToken - firstToken) * CHUNKS; i += CONSUMERS) {
        const int token = firstToken + i / CHUNKS, row = i % CHUNKS * 8;
        const int64_t n = firstBand * BAND + row;
        if (n >= w.n) {
            continue;
        }
        float v[8];
        const float* mine = sums + token * PITCH + row;
        if (shape.split == 1) {
            *reinterpret_cast<float4*>(v) = *reinterpret_cast<const float4*>(mine);
            *reinterpret_cast<float4*>(v + 4) = *reinterpret_cast<const float4*>(mine + 4);
        } else {
#pragma unroll
            for (int e = 0; e < 8; e++) {
                v[e] = 0.f;
            }
            for (uint32_t r = 0; r < shape.split; r++) {
                const uint32_t from = cluster_address(shared_address(mine), r);
                const float4 v0 = load_cluster(from), v1 = load_cluster(from + 16);
                v[0] = __fadd_rn(v[0], v0.x);
                v[1] = __fadd_rn(v[1], v0.y);
                v[2] = __fadd_rn(v[2], v0.z);
                v[3] = __fadd_rn(v[3], v0.w);
                v[4] = __fadd_rn(v[4], v1.x);
                v[5] = __fadd_rn(v[5], v1.y);
                v[6] = __fadd_rn(v[6], v1.z);
                v[7] = __fadd_rn(v[7], v1.w);
            }
        }
#pragma unroll
        for (int e = 0; e < 8; e++) {
            if (n + e < w.n) {
                v[e] = __fmul_rn(v[e], w.rowScales ? __fmul_rn(w.rowScales[n + e], w.matrixScale) : w.matrixScale);
                if (bias) {
                    v[e] = __fadd_rn(v[e], load(bias, biasType, n + e));
                }
            }
        }
        const int64_t to = (m0 + token) * w.n + n;
        if (wide) {
            store8(y, yType, to, v);
        } else {
            for (int e = 0; e < 8; e++) {
                if (n + e < w.n) {
                    store(y, yType, to + e, v[e]);
                }
            }
        }
    }
    if (shape.split > 1) {  // the others may still read this block's sums
        cluster_arrive_relaxed();
        cluster_wait();
    }
}

}  // namespace lowbit

#define WGMMA(suffix, T, TOKENS, GROUPS, TABLE, MODE, BLOCKS)                                                                    \
    extern "C" __global__ void __launch_bounds__(GROUPS * 128 + (TOKENS >= 128 ? 128 : 32), BLOCKS) LOWBIT_NAME(ARCH, suffix)(       \
        const __grid_constant__ lowbit::Matrix w, const __grid_constant__ lowbit::WgmmaShape shape,                               \
        const __grid_constant__ lowbit::TensorMap xMap, void* y, uint32_t yType, const void* bias, uint32_t biasType, int64_t m) { \
        lowbit::matmul<T, TOKENS, GROUPS, TABLE, MODE>(w, shape, &xMap, y, yType, bias, biasType, m);                            \
    }
#define WGMMA_TYPES(name, TOKENS, GROUPS, BLOCKS)                                                                    \
    WGMMA(name##_int4_bf16, lowbit::Bf16, TOKENS, GROUPS, false, lowbit::SCALE_16, BLOCKS)                           \
    WGMMA(name##_int4_f16, lowbit::Half, TOKENS, GROUPS, false, lowbit::SCALE_16, BLOCKS)                            \
    WGMMA(name##_table_bf16, lowbit::Bf16, TOKENS, GROUPS, true, lowbit::SCALE_ANY & ~lowbit::SCALE_16, BLOCKS)      \
    WGMMA(name##_table_f16, lowbit::Half, TOKENS, GROUPS, true, lowbit::SCALE_ANY & ~lowbit::SCALE_16, BLOCKS)
WGMMA_TYPES(w4wgmma16x128, 16, 2, 2)
WGMMA_TYPES(w4wgmma64x128, 64, 2, 1)
WGMMA_TYPES(w4wgmma64x192, 64, 3, 1)
WGMMA_TYPES(w4wgmma128x128, 128, 2, 1)
WGMMA_TYPES(w4wgmma256x128, 256, 2, 1)
