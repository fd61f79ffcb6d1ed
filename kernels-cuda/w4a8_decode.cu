// architectures: 90a
// y = x·Wᵀ (+ bias) for a few rows of x (tokens): INT4 weights in records, 8-bit activations, m16n8k16 with W as the A operand. The
// plan is that of w4_decode.cu: a warp has a ring of records of its own and fetches their columns of x itself, a cluster of `split`
// blocks cuts the K of a band, and blocks beyond the matrix hold a place.
//
// Codes of W and of x are exact in f16, so products are exact and sums are f32: this kernel sums exactly, and takes any number
// of rows, 8 at a time. x arrives as 8 bits a column, interleaved as w4a8.cuh says, and a lane's four columns of a step of 16
// are one word: 2t, 2t+8, 2t+1, 2t+9.
#include "w4.cuh"

namespace lowbit {

constexpr int TOKENS = 8, PITCH = BAND + 4;  // partial sums lie [token][row]; the pitch spreads them over the banks
constexpr uint32_t X_PITCH = SPAN + 16;      // bytes from row to row of x of a record; spreads them likewise

struct W4a8DecodeShape {
    uint32_t split;   // blocks of a cluster
    uint32_t stages;  // of a ring
    uint32_t spans;   // records along K for a block
    uint32_t late;    // not 0: the kernel after this one may begin when the one before has ended, else when this one has begun
    uint32_t xPitch;  // bytes from row to row of the codes of x
};

// Four 8-bit columns of x as the B operand of a step: registers (2t, 2t+1) and (2t+8, 2t+9).
struct E4m3Columns {
    static __device__ __forceinline__ void convert(uint32_t& low, uint32_t& high, uint32_t columns) {
        const uint32_t ordered = __byte_perm(columns, 0, 0x3120);
        asm("{ .reg .b16 l, h; mov.b32 {l, h}, %2; cvt.rn.f16x2.e4m3x2 %0, l; cvt.rn.f16x2.e4m3x2 %1, h; }" : "=r"(low), "=r"(high) : "r"(ordered));
    }
};

struct S8Columns {
    static __device__ __forceinline__ void convert(uint32_t& low, uint32_t& high, uint32_t columns) {
        const uint32_t biased = columns ^ 0x80808080u;  // 1024 + 128 + x under the magic number
        low = add_f16x2(__byte_perm(biased, 0x64646464u, 0x4240), 0xe480e480u);
        high = add_f16x2(__byte_perm(biased, 0x64646464u, 0x4341), 0xe480e480u);
    }
};

// FINE: groups of 32 or 64 columns. ZEROS: zero points.
// TOGETHER: tiles of 16 rows of W unpacked side by side; x is converted once for each of the 4 / TOGETHER, which costs fewer registers than to keep it.
template <class X, bool FINE, bool ZEROS, int TOGETHER>
__device__ __forceinline__ void w4a8_decode(const Matrix& matrix, const W4a8DecodeShape& shape, const uint8_t* x, const float* xScales,
                                            uint32_t xScaleRow, void* y, uint32_t yType, const void* bias, uint32_t biasType, uint32_t m) {
    const W4 w(matrix);
    extern __shared__ __align__(128) uint8_t shared[];
    const int warps = blockDim.x / 32, warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const uint32_t rank = blockIdx.x % shape.split, band = blockIdx.x / shape.split, m0 = blockIdx.y * TOKENS;
    const uint32_t rows = min(m - m0, uint32_t(TOKENS));
    if (!shape.late) {
        griddepcontrol_launch_dependents();
    }
    if (int64_t(band) * BAND >= w.n) {
        griddepcontrol_wait();
        return;
    }

    // Shared memory: rings of (record │ its columns of x) │ barriers │ scales of x │ sums of the cluster's other blocks
    const uint32_t stageBytes = whole_lines(w.recordBytes + rows * X_PITCH), ringBytes = shape.stages * stageBytes;
    uint8_t* const ring = shared + warp * ringBytes;
    uint8_t* const barriers = shared + warps * ringBytes;
    const uint32_t gathered = shared_address(barriers), full = gathered + 16 + warp * shape.stages * 8;
    float* const scales = reinterpret_cast<float*>(barriers + 16 + warps * shape.stages * 8);  // of x
    float* const others = scales + TOKENS;
    const uint32_t sums = BAND * rows;

    const uint32_t firstSpan = rank * shape.spans, lastSpan = min(firstSpan + shape.spans, w.spans);
    const auto load_record = [&](uint32_t span, uint32_t stage) {
        mbarrier_arrive_expect(full + stage * 8, w.recordBytes);
        copy_bulk_evict_first(shared_address(ring + stage * stageBytes), w.records + wide_product(band * w.spans + span, w.recordBytes), w.recordBytes,
                              full + stage * 8);
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
            load_record(span, s);
        }
        if (warp == 0 && rank == 0 && shape.split > 1) {
            mbarrier_arrive_expect(gathered, (shape.split - 1) * sums * 4);
        }
    }
    __syncwarp();
    if (shape.split > 1) {
        cluster_arrive_relaxed();
    }
    // The columns of x of a record; its rows are whole records long. A lane copies 16 columns of rows first, first + step …: `from` and
    // `to` are where they begin in its first row.
    const auto copy_x = [&](uint32_t to, const uint8_t* from, uint32_t first, uint32_t step) {
#pragma unroll 1
        for (uint32_t r = first; r < rows; r += step) {
            copy_async16(to, from, 16);
            to += step * X_PITCH;
            from += step * shape.xPitch;
        }
    };
    // Of the first records a row of four by one instruction: everything waits for this, so its addresses are there before.
    uint32_t span0 = firstSpan + warp + lane / 8 * warps, to0 = shared_address(ring) + lane / 8 * stageBytes + w.recordBytes + lane % 8 * 16;
    const uint8_t* from0 = x + uint64_t(m0) * shape.xPitch + span0 * SPAN + lane % 8 * 16;
    keep_before(from0, to0);
    griddepcontrol_wait();
    if (shape.late) {
        griddepcontrol_launch_dependents();
    }
    for (uint32_t s = lane / 8; s < shape.stages; s += 4, span0 += 4 * warps, to0 += 4 * stageBytes, from0 += 4 * warps * SPAN) {
        if (span0 < lastSpan) {
            copy_x(to0, from0, 0, 1);
        }
    }
    copy_async_commit();
    if (threadIdx.x < TOKENS) {  // for the end
        scales[threadIdx.x] = threadIdx.x < rows ? xScales[uint64_t(m0 + threadIdx.x) * xScaleRow] : 0.f;
    }

    float acc[4][4] = {};
    const uint32_t middle[2] = {zero_step<Half>(8, 0), zero_step<Half>(8, 1)};  // the zero points of a symmetric scheme
    const uint32_t ends = w.groups == 4 ? 0xaa : 0x88;  // FINE: bit i: a group ends with step i of a record
    const uint32_t scalesAt = FINE || w.groups ? CODE_BYTES : 0;  // with one scale for a row there are none, and what is read there is not used
    uint32_t stage = 0, parity = 0;
    bool ahead = false;
#pragma unroll 1
    for (uint32_t span = firstSpan + warp; span < lastSpan; span += warps) {
        const uint32_t lane = lane_now(), g = lane / 4, t = lane % 4;
        const uint8_t* const record = ring + stage * stageBytes;
        // Of its x, this lane's columns of a token; those beyond the last are its copies, and their sums are not used.
        const uint8_t* const columns = record + w.recordBytes + min(uint32_t(g), rows - 1) * X_PITCH + t * 4;
        mbarrier_wait(full + stage * 8, parity);
        // All of x that was asked for; but in a ring of several, after the first record, not what was asked for last: it is a later record's.
        if (shape.stages > 1 && ahead) {
            copy_async_wait<1>();
        } else {
            copy_async_wait<0>();
        }
        ahead = true;
        __syncwarp();
#pragma unroll
        for (int first = 0; first < 4; first += TOGETHER) {
            float sum[TOGETHER][4] = {};
            uint32_t zero[TOGETHER][2];
            const auto scale = [&](int group, int i) {
                float2 s = scale_pair<SCALE_16>(w, record + scalesAt, group * BAND + (first + i) * 16 + g * 2, float2{}, nullptr);
                if (!FINE && !w.groups) {
                    s = float2{1.f, 1.f};
                }
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    acc[first + i][e] = __fmaf_rn(sum[i][e], e < 2 ? s.x : s.y, acc[first + i][e]);
                    sum[i][e] = 0.f;
                }
            };
            const auto zeroPoints = [&](int group, int i) {
                const uint32_t pair = *reinterpret_cast<const uint16_t*>(record + w.zeroOffset + group * BAND + (first + i) * 16 + g * 2);
                zero[i][0] = zero_step<Half>(pair & 0xff, 0);
                zero[i][1] = zero_step<Half>(pair >> 8, 1);
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
                uint4 codes[TOGETHER];
#pragma unroll
                for (int i = 0; i < TOGETHER; i++) {
                    codes[i] = *reinterpret_cast<const uint4*>(record + half * 2048 + ((first + i) * 32 + lane) * 16);
                }
#pragma unroll
                for (int step = 0; step < 4; step++) {
                    uint32_t b[2];
                    X::convert(b[0], b[1], *reinterpret_cast<const uint32_t*>(columns + half * 64 + step * 16));
#pragma unroll
                    for (int i = 0; i < TOGETHER; i++) {
                        const uint32_t word = step == 0 ? codes[i].x : step == 1 ? codes[i].y : step == 2 ? codes[i].z : codes[i].w;
                        uint32_t a[4];
                        unpack_codes<Half>(a, word, zero[i]);
                        mma_m16n8k16_f16(sum[i], a, b);
                    }
                    if (FINE && (ends >> (half * 4 + step) & 1)) {
                        const int shift = w.groups == 4 ? 1 : 2;
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
            if (!FINE) {
#pragma unroll
                for (int i = 0; i < TOGETHER; i++) {
                    scale(0, i);
                }
            }
        }
        __syncwarp();  // the record has been read
        if (const uint32_t next = span + shape.stages * warps; next < lastSpan) {
            if (lane == 0) {
                load_record(next, stage);
            }
            const uint32_t lane = lane_now();
            copy_x(shared_address(record) + w.recordBytes + lane / 8 * X_PITCH + lane % 8 * 16,
                   x + uint64_t(m0 + lane / 8) * shape.xPitch + next * SPAN + lane % 8 * 16, lane / 8, 4);
        }
        copy_async_commit();  // of nothing at the end, so that the last but one is always the next record's
        if (++stage == shape.stages) {
            stage = 0;
            parity ^= 1;
        }
    }

    // Sums of the warps, each in its own ring: all its records have been read.
    float* const mine = reinterpret_cast<float*>(ring);
#pragma unroll
    for (int tile = 0; tile < 4; tile++) {
#pragma unroll
        for (int e = 0; e < 4; e++) {
            if (2 * t + e % 2 < rows) {
                mine[(2 * t + e % 2) * PITCH + tile * 16 + g + e / 2 * 8] = acc[tile][e];
            }
        }
    }
    __syncthreads();
    if (shape.split > 1) {
        cluster_wait();
    }
    const uint32_t leader = cluster_address(shared_address(others), 0), leaderBarrier = cluster_address(gathered, 0);
    bool waited = false;
    for (uint32_t i = threadIdx.x; i < sums; i += blockDim.x) {
        const uint32_t row = i % BAND, token = i / BAND;
        const uint8_t* const p = shared + (token * PITCH + row) * 4;
        float v = 0.f;
        for (int j = 0; j < warps; j += 4) {
            float part[4];
#pragma unroll
            for (int q = 0; q < 4; q++) {
                part[q] = *reinterpret_cast<const float*>(p + (j + q) * ringBytes);
            }
#pragma unroll
            for (int q = 0; q < 4; q++) {
                v = __fadd_rn(v, part[q]);
            }
        }
        if (rank != 0) {
            store_cluster(leader + ((rank - 1) * sums + i) * 4, v, leaderBarrier);
            continue;
        }
        if (shape.split > 1) {
            if (!waited) {
                mbarrier_wait(gathered, 0);
                waited = true;
            }
            for (uint32_t j = 1; j < shape.split; j++) {
                v = __fadd_rn(v, others[(j - 1) * sums + i]);
            }
        }
        const uint32_t n = band * BAND + row;
        if (n < w.n) {
            const float scale = scales[token];
            v = __fmul_rn(v, w.rowScales ? __fmul_rn(w.rowScales[n], scale) : scale);
            store(y, yType, int64_t(m0 + token) * w.n + n, bias ? __fadd_rn(v, load(bias, biasType, n)) : v);
        }
    }
}

}  // namespace lowbit

// Threads and blocks of a multiprocessor at once that registers are to suffice for.
#define W4A8_DECODE(name, X, FINE, ZEROS, TOGETHER, THREADS, BLOCKS)                                                           \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) LOWBIT_NAME(ARCH, name)(                                     \
        const __grid_constant__ lowbit::Matrix w, const __grid_constant__ lowbit::W4a8DecodeShape shape, const uint8_t* x,         \
        const float* xScales, uint32_t xScaleRow, void* y, uint32_t yType, const void* bias, uint32_t biasType, uint32_t m) {     \
        lowbit::w4a8_decode<lowbit::X, FINE, ZEROS, TOGETHER>(w, shape, x, xScales, xScaleRow, y, yType, bias, biasType, m);       \
    }
#define W4A8_DECODE_KINDS(name, X)                            \
    W4A8_DECODE(name, X, false, false, 4, 256, 3)             \
    W4A8_DECODE(name##_many, X, false, false, 2, 512, 2)      \
    W4A8_DECODE(name##_zeros, X, false, true, 2, 256, 3)      \
    W4A8_DECODE(name##_fine, X, true, false, 2, 256, 2)       \
    W4A8_DECODE(name##_fine_zeros, X, true, true, 2, 256, 2)
W4A8_DECODE_KINDS(w4a8_decode_e4m3, E4m3Columns)
W4A8_DECODE_KINDS(w4a8_decode_s8, S8Columns)
