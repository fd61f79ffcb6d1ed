// What the quantizers of activations share. Codes [M, pitch] and scales s, 1 where amax is 0 and never below 2⁻¹²⁶, over the whole
// matrix, a row, or 128 or 32 neighbours of a row. E4M3: s = amax/448, x_q = E4M3(x / s); E5M2 the same with 57344: the quotient rounded
// as IEEE division does, then to the code's nearest, ties to even, saturating; a NaN stays NaN and does not enter amax. INT8:
// s = amax/127, x_q = x / s to the nearest, ties to even, within ±127; a NaN becomes 0. Codes are zero beyond K. Interleaved, the columns of every 16 lie as
// 0 8 1 9 … 7 15: what w4a8.cuh wants.
//
// A thread takes 16 neighbours at a time. Each value is read once where a row fits the registers of a block, 16384 values.
#pragma once
#include "hopper.cuh"
#include "weights.cuh"

// Hopper lets the next kernel start early, and this one before its predecessor has ended.
#if __CUDA_ARCH__ >= 900
#define LOWBIT_DEPENDENT() (griddepcontrol_launch_dependents(), griddepcontrol_wait())
#else
#define LOWBIT_DEPENDENT() ((void)0)
#endif

namespace lowbit {

constexpr int THREADS = 256, MOST_THREADS = 1024, VECTOR = 16;

// What codes are, numbered as in io.lowbit.cuda.kernels.Fp8Activations.
enum Code : uint32_t { CODE_E4M3 = 0, CODE_E5M2 = 1, CODE_INT8 = 2 };

// A scale, and how to divide by it: two corrections of v · (1/s) give what the division gives where nothing leaves f32's range, which a
// power of two sees to. An infinite scale is not corrected by: what it divides is 0, or NaN.
struct Scale {
    float s, power, divisor, inverse;

    __device__ __forceinline__ Scale(float scale) : s(scale) {
        power = scale < 0x1p-60f ? 0x1p90f : scale > 0x1p60f ? 0x1p-90f : 1.f;
        divisor = __fmul_rn(scale, power);
        inverse = __fdiv_rn(1.f, divisor);
        divisor = inverse == 0.f ? 0.f : divisor;
    }

    // v[j] / s for |v[j]| up to 57344 · s. Quotients too small for any code may be a little off. The remainders have the opposite sign, so
    // that a zero of either sign stays what it is.
    __device__ __forceinline__ void divide(float (&v)[VECTOR]) const {
        if (power != 1.f) {
#pragma unroll
            for (int j = 0; j < VECTOR; j++) {
                v[j] = __fmul_rn(v[j], power);
            }
        }
#pragma unroll
        for (int j = 0; j < VECTOR; j++) {
            float q = __fmul_rn(v[j], inverse);
            q = __fmaf_rn(-__fmaf_rn(q, divisor, -v[j]), inverse, q);
            v[j] = __fmaf_rn(-__fmaf_rn(q, divisor, -v[j]), inverse, q);
        }
    }
};

__device__ __forceinline__ float scale_of(float amax, uint32_t code) {
    return amax == 0.f ? 1.f : fmaxf(__fdiv_rn(amax, code == CODE_E4M3 ? 448.f : code == CODE_E5M2 ? 57344.f : 127.f), 0x1p-126f);
}

// The smallest power of two from 2^-126 on that is not below s.
__device__ __forceinline__ float up_to_power(float s) {
    return __uint_as_float(max((__float_as_uint(s) + 0x7fffff) & 0x7f800000, 0x800000u));
}

// N neighbours, 8 or 16; `whole` where they lie within the row and on a 16-byte boundary, else those before `count` are there.
template <int N>
__device__ __forceinline__ void load_vector(float* v, const void* x, uint32_t type, int64_t i, int64_t count, bool whole) {
    if (!whole) {
#pragma unroll
        for (int j = 0; j < N; j++) {
            v[j] = j < count ? load(x, type, i + j) : 0.f;
        }
    } else if (type == F32) {
        const float4* p = reinterpret_cast<const float4*>(static_cast<const float*>(x) + i);
#pragma unroll
        for (int j = 0; j < N / 4; j++) {
            const float4 a = p[j];
            v[4 * j] = a.x, v[4 * j + 1] = a.y, v[4 * j + 2] = a.z, v[4 * j + 3] = a.w;
        }
    } else {
        uint4 q[N / 8];
#pragma unroll
        for (int j = 0; j < N / 8; j++) {
            q[j] = reinterpret_cast<const uint4*>(static_cast<const uint16_t*>(x) + i)[j];
        }
#pragma unroll
        for (int j = 0; j < N; j++) {
            const uint32_t w[4] = {q[j / 8].x, q[j / 8].y, q[j / 8].z, q[j / 8].w};
            const uint16_t h = uint16_t(w[j % 8 / 2] >> 16 * (j % 2));
            v[j] = type == F16 ? f16_to_f32(h) : bf16_to_f32(h);
        }
    }
}

// A NaN loses.
__device__ __forceinline__ float largest(const float (&v)[VECTOR], float amax) {
#pragma unroll
    for (int j = 0; j < VECTOR; j++) {
        amax = fmaxf(amax, fabsf(v[j]));
    }
    return amax;
}

__device__ __forceinline__ uint32_t encode_int8(float v) {
    return uint32_t(__float2int_rn(fminf(fmaxf(v != v ? 0.f : v, -127.f), 127.f))) & 0xff;
}

// Columns i … i + 15 of a row of codes; v is lost.
__device__ __forceinline__ void store_vector(uint8_t* row, int64_t i, float (&v)[VECTOR], const Scale& s, uint32_t code, uint32_t interleaved) {
    s.divide(v);
    uint32_t w[4];
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const float* p = v + 4 * j;
        w[j] = code == CODE_E4M3   ? cvt_rn_satfinite_e4m3x2_f32(p[0], p[1]) | uint32_t(cvt_rn_satfinite_e4m3x2_f32(p[2], p[3])) << 16
               : code == CODE_E5M2 ? cvt_rn_satfinite_e5m2x2_f32(p[0], p[1]) | uint32_t(cvt_rn_satfinite_e5m2x2_f32(p[2], p[3])) << 16
                                   : encode_int8(p[0]) | encode_int8(p[1]) << 8 | encode_int8(p[2]) << 16 | encode_int8(p[3]) << 24;
    }
    if (interleaved) {
        const uint32_t q[4] = {w[0], w[1], w[2], w[3]};
        w[0] = __byte_perm(q[0], q[2], 0x5140);
        w[1] = __byte_perm(q[0], q[2], 0x7362);
        w[2] = __byte_perm(q[1], q[3], 0x5140);
        w[3] = __byte_perm(q[1], q[3], 0x7362);
    }
    *reinterpret_cast<uint4*>(row + i) = make_uint4(w[0], w[1], w[2], w[3]);
}

template <int LANES>
__device__ __forceinline__ float lanes_max(float v) {
#pragma unroll
    for (int d = LANES / 2; d > 0; d /= 2) {
        v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, d));
    }
    return v;
}

// j / n of 0 ≤ j < all, in 32 bits where that is enough: the division of 64 takes longer than a vector does.
__device__ __forceinline__ int64_t quotient(int64_t j, int64_t n, int64_t all) {
    return all >> 32 ? j / n : uint32_t(j) / uint32_t(n);
}

// What `whole` takes of a tensor: its rows begin on 16-byte boundaries and vectors do not go beyond them.
__device__ __forceinline__ bool vectors(const void* x, int64_t k) {
    return k % VECTOR == 0 && reinterpret_cast<uintptr_t>(x) % 16 == 0;
}

// Σ v², added to `sum` one after the other.
__device__ __forceinline__ float sum_squares(const float (&v)[VECTOR], float sum) {
#pragma unroll
    for (int j = 0; j < VECTOR; j++) {
        sum = __fmaf_rn(v[j], v[j], sum);
    }
    return sum;
}

__device__ __forceinline__ float lanes_sum(float v) {
#pragma unroll
    for (int d = 16; d > 0; d /= 2) {
        v = __fadd_rn(v, __shfl_xor_sync(0xffffffffu, v, d));
    }
    return v;
}

// The largest, or the sum, over the block in every thread: a tree in each warp, then one over the warps. All warps are whole.
template <bool SUM>
__device__ __forceinline__ float block_reduce(float v) {
    __shared__ float part[32];
    const int lane = threadIdx.x % 32;
    v = SUM ? lanes_sum(v) : lanes_max<32>(v);
    __syncthreads();  // the last one has been read
    if (lane == 0) {
        part[threadIdx.x / 32] = v;
    }
    __syncthreads();
    v = lane < blockDim.x / 32 ? part[lane] : 0.f;
    return SUM ? lanes_sum(v) : lanes_max<32>(v);
}

// Where values come from, 16 neighbours of a row at a time, i being a multiple of 16; zero from K on. What has to be known of the whole
// row first (NORMS) is Σ x², from which norm() makes what finish() wants.

struct Plain {
    static constexpr bool NORMS = false;
    const void* x;
    uint32_t type;
    int64_t k;
    bool whole;

    __device__ __forceinline__ Plain(const void* x, uint32_t type, int64_t k) : x(x), type(type), k(k), whole(vectors(x, k)) {}

    __device__ __forceinline__ void load(float (&v)[VECTOR], int64_t row, int64_t i) const {
        load_vector<VECTOR>(v, x, type, row * k + i, k - i, whole && i < k);
    }

    __device__ __forceinline__ float norm(float) const { return 0.f; }

    __device__ __forceinline__ void finish(float (&)[VECTOR], int64_t, int64_t, float) const {}
};

// Columns i … i + 15 of a row with a scale for every 128 columns, by all threads of a warp, some of which may be beyond the pitch.
__device__ __forceinline__ void store_block(uint8_t* codes, float* scales, int64_t row, int64_t pitch, int64_t i, float (&v)[VECTOR], uint32_t code,
                                            uint32_t interleaved, int64_t scaleStep, uint32_t ue8m0) {
    float s = scale_of(lanes_max<128 / VECTOR>(largest(v, 0.f)), code);
    if (ue8m0) {
        s = up_to_power(s);
    }
    if (i < pitch) {
        store_vector(codes + row * pitch, i, v, Scale(s), code, interleaved);
        if (threadIdx.x % (128 / VECTOR) == 0) {
            scales[i / 128 * scaleStep + row] = s;
        }
    }
}

// One block a row, of so many threads that each has a vector of it, where that can be: those are held in registers, longer rows are read
// again. BLOCKS: a scale for every 128 columns, scales[i/128·scaleStep + row], powers of two with ue8m0; else scales[row].
template <bool BLOCKS, typename Source>
__device__ __forceinline__ void quantize_row(const Source& source, int64_t m, int64_t k, int64_t pitch, uint8_t* codes, float* scales,
                                             uint32_t code, uint32_t interleaved, int64_t scaleStep, uint32_t ue8m0) {
    const int64_t first = int64_t(threadIdx.x) * VECTOR, step = int64_t(blockDim.x) * VECTOR;
    const int64_t lane = threadIdx.x % 32 * VECTOR;
    for (int64_t row = blockIdx.x; row < m; row += gridDim.x) {
        float v[VECTOR], norm = 0.f, amax = 0.f, scale = 0.f;
        if (step >= pitch) {
            source.load(v, row, first);
            if (Source::NORMS) {
                norm = source.norm(block_reduce<true>(sum_squares(v, 0.f)));
            }
            source.finish(v, row, first, norm);
            if (BLOCKS) {
                store_block(codes, scales, row, pitch, first, v, code, interleaved, scaleStep, ue8m0);
            } else {
                const Scale s(scale_of(block_reduce<false>(largest(v, 0.f)), code));
                if (first < pitch) {
                    store_vector(codes + row * pitch, first, v, s, code, interleaved);
                }
                scale = s.s;
            }
        } else {
            if (Source::NORMS) {
                float squares = 0.f;
                for (int64_t i = first; i < k; i += step) {
                    source.load(v, row, i);
                    squares = sum_squares(v, squares);
                }
                norm = source.norm(block_reduce<true>(squares));
            }
            if (BLOCKS) {
                for (int64_t i = first; i - lane < pitch; i += step) {
                    source.load(v, row, i);
                    source.finish(v, row, i, norm);
                    store_block(codes, scales, row, pitch, i, v, code, interleaved, scaleStep, ue8m0);
                }
            } else {
                for (int64_t i = first; i < k; i += step) {
                    source.load(v, row, i);
                    source.finish(v, row, i, norm);
                    amax = largest(v, amax);
                }
                const Scale s(scale_of(block_reduce<false>(amax), code));
                for (int64_t i = first; i < pitch; i += step) {
                    source.load(v, row, i);
                    source.finish(v, row, i, norm);
                    store_vector(codes + row * pitch, i, v, s, code, interleaved);
                }
                scale = s.s;
            }
        }
        if (!BLOCKS && threadIdx.x == 0) {
            scales[row] = scale;
        }
    }
}

// 8 threads for 128 neighbours of a row; pitch is a multiple of 128; ue8m0: scales are powers of two. The scale of row r, block b is
// scales[b·scaleStep + r].
template <typename Source>
__device__ __forceinline__ void quantize_blocks(const Source& source, int64_t m, int64_t pitch, uint8_t* codes, float* scales, uint32_t interleaved,
                                                int64_t scaleStep, uint32_t ue8m0) {
    constexpr int LANES = 128 / VECTOR, GROUPS = THREADS / LANES;
    const int64_t blocks = pitch / 128, all = m * blocks;
    const int group = threadIdx.x / LANES, lane = threadIdx.x % LANES;
    for (int64_t first = int64_t(blockIdx.x) * GROUPS; first < all; first += int64_t(gridDim.x) * GROUPS) {
        const int64_t j = min(first + group, all - 1);  // a warp's groups shuffle together; the last one may be done several times
        const int64_t row = quotient(j, blocks, all), i = (j - row * blocks) * 128 + lane * VECTOR;
        float v[VECTOR];
        source.load(v, row, i);
        source.finish(v, row, i, 0.f);
        store_block(codes, scales, row, pitch, i, v, CODE_E4M3, interleaved, scaleStep, ue8m0);
    }
}

}  // namespace lowbit
