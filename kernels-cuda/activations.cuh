// What the quantizers of activations share. Codes [M, pitch] and scales s, 1 where amax is 0 and never below 2⁻¹²⁶, over the whole
// matrix, a row, or 128 or 32 neighbours of a row. E4M3: s = amax/448, x_q = E4M3(x / s); E5M2 the same with 57344: the quotient rounded
// as IEEE division does, then to the code's nearest, ties to even, saturating; a NaN stays NaN and does not enter amax. INT8:
// s = amax/127, x_q = x / s to the nearest, ties to even, within ±127; a NaN becomes 0. Codes are zero beyond K. Interleaved, the columns of every 16 lie as
// 0 8 1 9 … 7 15: what w4a8.cuh wants.
//
// 16-byte loads, each value read once where a row fits the registers of a block, conversion by the hardware, two at a time.
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

constexpr int THREADS = 256, WARPS = THREADS / 32, VECTOR = 8, HELD = 4;

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

    // For |v| up to 57344 · s. A quotient too small for any code may be a little off.
    __device__ __forceinline__ float divide(float v) const {
        const float u = __fmul_rn(v, power);
        float q = __fmul_rn(u, inverse);
        q = __fmaf_rn(__fmaf_rn(-q, divisor, u), inverse, q);
        q = __fmaf_rn(__fmaf_rn(-q, divisor, u), inverse, q);
        return copysignf(q, v);
    }
};

__device__ __forceinline__ float scale_of(float amax, uint32_t code) {
    return amax == 0.f ? 1.f : fmaxf(__fdiv_rn(amax, code == CODE_E4M3 ? 448.f : code == CODE_E5M2 ? 57344.f : 127.f), 0x1p-126f);
}

// The smallest power of two from 2^-126 on that is not below s.
__device__ __forceinline__ float up_to_power(float s) {
    return __uint_as_float(max((__float_as_uint(s) + 0x7fffff) & 0x7f800000, 0x800000u));
}

// Eight neighbours; `whole` where they lie within the row and on a 16-byte boundary, else those before `count` are there.
__device__ __forceinline__ void load_vector(float (&v)[VECTOR], const void* x, uint32_t type, int64_t i, int64_t count, bool whole) {
    if (!whole) {
#pragma unroll
        for (int j = 0; j < VECTOR; j++) {
            v[j] = j < count ? load(x, type, i + j) : 0.f;
        }
    } else if (type == F32) {
        const float4* p = reinterpret_cast<const float4*>(static_cast<const float*>(x) + i);
        const float4 a = p[0], b = p[1];
        v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w, v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
    } else {
        const uint4 q = *reinterpret_cast<const uint4*>(static_cast<const uint16_t*>(x) + i);
        const uint32_t w[4] = {q.x, q.y, q.z, q.w};
#pragma unroll
        for (int j = 0; j < VECTOR; j++) {
            const uint16_t h = uint16_t(w[j / 2] >> 16 * (j % 2));
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

// Columns i … i + 7 of a row of codes. Interleaved: the lane beside has the other half of the 16, and calls this too.
__device__ __forceinline__ void store_vector(uint8_t* row, int64_t i, const float (&v)[VECTOR], const Scale& s, uint32_t code, uint32_t interleaved) {
    uint32_t w[2];
    float q[VECTOR];
#pragma unroll
    for (int j = 0; j < VECTOR; j++) {
        q[j] = s.divide(v[j]);
    }
#pragma unroll
    for (int j = 0; j < 2; j++) {
        const float* p = q + 4 * j;
        w[j] = code == CODE_E4M3   ? cvt_rn_satfinite_e4m3x2_f32(p[0], p[1]) | uint32_t(cvt_rn_satfinite_e4m3x2_f32(p[2], p[3])) << 16
               : code == CODE_E5M2 ? cvt_rn_satfinite_e5m2x2_f32(p[0], p[1]) | uint32_t(cvt_rn_satfinite_e5m2x2_f32(p[2], p[3])) << 16
                                   : encode_int8(p[0]) | encode_int8(p[1]) << 8 | encode_int8(p[2]) << 16 | encode_int8(p[3]) << 24;
    }
    if (interleaved) {
        const bool odd = threadIdx.x & 1;
        const uint32_t other = __shfl_xor_sync(3u << (threadIdx.x & 30), odd ? w[0] : w[1], 1);
        const uint32_t first = odd ? other : w[0], second = odd ? w[1] : other;
        w[0] = __byte_perm(first, second, 0x5140);
        w[1] = __byte_perm(first, second, 0x7362);
    }
    *reinterpret_cast<uint2*>(row + i) = make_uint2(w[0], w[1]);
}

template <int LANES>
__device__ __forceinline__ float lanes_max(float v) {
#pragma unroll
    for (int d = LANES / 2; d > 0; d /= 2) {
        v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, d));
    }
    return v;
}

// The largest of the whole block, in every thread.
__device__ __forceinline__ float block_max(float v) {
    __shared__ float part[WARPS];
    v = lanes_max<32>(v);
    __syncthreads();
    if (threadIdx.x % 32 == 0) {
        part[threadIdx.x / 32] = v;
    }
    __syncthreads();
    v = part[0];
#pragma unroll
    for (int i = 1; i < WARPS; i++) {
        v = fmaxf(v, part[i]);
    }
    return v;
}

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

// The sum over the block in every thread: a tree in each warp, then the warps in order.
__device__ __forceinline__ float block_sum(float v) {
    __shared__ float part[WARPS];
#pragma unroll
    for (int d = 16; d > 0; d /= 2) {
        v = __fadd_rn(v, __shfl_xor_sync(0xffffffffu, v, d));
    }
    __syncthreads();
    if (threadIdx.x % 32 == 0) {
        part[threadIdx.x / 32] = v;
    }
    __syncthreads();
    float sum = part[0];
#pragma unroll
    for (int i = 1; i < WARPS; i++) {
        sum = __fadd_rn(sum, part[i]);
    }
    return sum;
}

// Where values come from, eight neighbours of a row at a time, i being a multiple of 8; zero from K on. What has to be known of the whole
// row first (NORMS) is Σ x², from which norm() makes what finish() wants.

struct Plain {
    static constexpr bool NORMS = false;
    const void* x;
    uint32_t type;
    int64_t k;
    bool whole;

    __device__ __forceinline__ Plain(const void* x, uint32_t type, int64_t k) : x(x), type(type), k(k), whole(vectors(x, k)) {}

    __device__ __forceinline__ void load(float (&v)[VECTOR], int64_t row, int64_t i) const {
        load_vector(v, x, type, row * k + i, k - i, whole && i < k);
    }

    __device__ __forceinline__ float norm(float) const { return 0.f; }

    __device__ __forceinline__ void finish(float (&)[VECTOR], int64_t, int64_t, float) const {}
};

// One block a row. BLOCKS: a scale for every 128 columns, scales[i/128·scaleStep + row], powers of two with ue8m0; else scales[row].
template <bool BLOCKS, typename Source>
__device__ __forceinline__ void quantize_row(const Source& source, int64_t m, int64_t k, int64_t pitch, uint8_t* codes, float* scales,
                                             uint32_t code, uint32_t interleaved, int64_t scaleStep, uint32_t ue8m0) {
    // The threads of a warp go on together: its 256 columns may end beyond the pitch, a multiple of 128.
    const int64_t first = int64_t(threadIdx.x) * VECTOR, warpFirst = first & ~int64_t(32 * VECTOR - 1);
    constexpr int64_t STEP = THREADS * VECTOR;
    for (int64_t row = blockIdx.x; row < m; row += gridDim.x) {
        float v[HELD][VECTOR], norm = 0.f, amax = 0.f;
#pragma unroll
        for (int h = 0; h < HELD; h++) {
            source.load(v[h], row, h * STEP + first);
        }
        if (Source::NORMS) {
            float squares = 0.f;
#pragma unroll
            for (int h = 0; h < HELD; h++) {
                squares = sum_squares(v[h], squares);
            }
            for (int64_t i = HELD * STEP + first; i < k; i += STEP) {
                float u[VECTOR];
                source.load(u, row, i);
                squares = sum_squares(u, squares);
            }
            norm = source.norm(block_sum(squares));
        }
#pragma unroll
        for (int h = 0; h < HELD; h++) {
            source.finish(v[h], row, h * STEP + first, norm);
            amax = largest(v[h], amax);
        }
        const auto store_block = [&](const float(&u)[VECTOR], int64_t i) {
            float s = scale_of(lanes_max<16>(largest(u, 0.f)), code);
            if (ue8m0) {
                s = up_to_power(s);
            }
            if (i < pitch) {
                store_vector(codes + row * pitch, i, u, Scale(s), code, interleaved);
                if (threadIdx.x % 16 == 0) {
                    scales[i / 128 * scaleStep + row] = s;
                }
            }
        };
        if (BLOCKS) {
#pragma unroll
            for (int h = 0; h < HELD; h++) {
                if (h * STEP + warpFirst < pitch) {
                    store_block(v[h], h * STEP + first);
                }
            }
            for (int64_t i = HELD * STEP; i + warpFirst < pitch; i += STEP) {
                float u[VECTOR];
                source.load(u, row, i + first);
                source.finish(u, row, i + first, norm);
                store_block(u, i + first);
            }
        } else {
            for (int64_t i = HELD * STEP + first; i < k; i += STEP) {
                float u[VECTOR];
                source.load(u, row, i);
                source.finish(u, row, i, norm);
                amax = largest(u, amax);
            }
            const Scale s(scale_of(block_max(amax), code));
#pragma unroll
            for (int h = 0; h < HELD; h++) {
                const int64_t i = h * STEP + first;
                if (i < pitch) {
                    store_vector(codes + row * pitch, i, v[h], s, code, interleaved);
                }
            }
            for (int64_t i = HELD * STEP + first; i < pitch; i += STEP) {
                float u[VECTOR];
                source.load(u, row, i);
                source.finish(u, row, i, norm);
                store_vector(codes + row * pitch, i, u, s, code, interleaved);
            }
            if (threadIdx.x == 0) {
                scales[row] = s.s;
            }
        }
    }
}

// Half a warp for 128 neighbours of a row; pitch is a multiple of 128; ue8m0: scales are powers of two. The scale of row r, block b is
// scales[b·scaleStep + r].
template <typename Source>
__device__ __forceinline__ void quantize_blocks(const Source& source, int64_t m, int64_t pitch, uint8_t* codes, float* scales, uint32_t interleaved,
                                                int64_t scaleStep, uint32_t ue8m0) {
    const int64_t blocks = pitch / 128, all = m * blocks;
    const int half = threadIdx.x / 16, lane = threadIdx.x % 16;
    for (int64_t first = int64_t(blockIdx.x) * (THREADS / 16); first < all; first += int64_t(gridDim.x) * (THREADS / 16)) {
        const int64_t j = min(first + half, all - 1);  // a warp's halves shuffle together; the last one may be done twice
        const int64_t row = j / blocks, block = j - row * blocks, i = block * 128 + lane * VECTOR;
        float v[VECTOR];
        source.load(v, row, i);
        source.finish(v, row, i, 0.f);
        float s = scale_of(lanes_max<16>(largest(v, 0.f)), CODE_E4M3);
        if (ue8m0) {
            s = up_to_power(s);
        }
        store_vector(codes + row * pitch, i, v, Scale(s), CODE_E4M3, interleaved);
        if (lane == 0) {
            scales[block * scaleStep + row] = s;
        }
    }
}

}  // namespace lowbit
