// Activations to 8 bits: codes [M, pitch] and scales s, 1 where amax is 0, over the whole matrix, a row, or 128 neighbours of a
// row. E4M3: s = amax/448, x_q = E4M3(x / s): IEEE division, round to nearest even, saturating; a NaN stays NaN and does not
// enter amax. INT8, a row: s = amax/127, x_q = x / s to the nearest, ties to even, within ±127; a NaN becomes 0. Codes are
// zero beyond K. Interleaved, the columns of every 16 lie as 0 8 1 9 … 7 15: what w4a8.cuh wants.
//
// The bits are those of the scalar definition; what this file adds to w8a8.cu is speed: 16-byte loads, each value read once
// where a row fits the registers of a block, conversion by the hardware, two at a time.
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

__device__ __forceinline__ float scale_of(float amax, float largest = 448.f) {
    return amax == 0.f ? 1.f : __fdiv_rn(amax, largest);
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

__device__ __forceinline__ uint32_t encode_pair(float low, float high) {
    uint16_t r;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(r) : "f"(high), "f"(low));
    // Every NaN is 0x7f, whatever its sign.
    return r;
}

__device__ __forceinline__ uint32_t encode_int8(float v) {
    return uint32_t(__float2int_rn(fminf(fmaxf(v != v ? 0.f : v, -127.f), 127.f))) & 0xff;
}

// Columns i … i + 7 of a row of codes. Interleaved: the lane beside has the other half of the 16, and calls this too.
template <bool INT8>
__device__ __forceinline__ void store_vector(uint8_t* row, int64_t i, const float (&v)[VECTOR], float s, uint32_t interleaved) {
    uint32_t w[2];
#pragma unroll
    for (int j = 0; j < 2; j++) {
        float q[4];
#pragma unroll
        for (int h = 0; h < 4; h++) {
            q[h] = __fdiv_rn(v[4 * j + h], s);
        }
        w[j] = INT8 ? encode_int8(q[0]) | encode_int8(q[1]) << 8 | encode_int8(q[2]) << 16 | encode_int8(q[3]) << 24
                    : encode_pair(q[0], q[1]) | encode_pair(q[2], q[3]) << 16;
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

// One block a row; scales[m].
template <bool INT8>
__device__ __forceinline__ void quantize_row(const void* x, uint32_t xType, int64_t m, int64_t k, int64_t pitch, uint8_t* codes, float* scales,
                                             uint32_t interleaved) {
    LOWBIT_DEPENDENT();
    const bool whole = vectors(x, k);
    for (int64_t row = blockIdx.x; row < m; row += gridDim.x) {
        float v[HELD][VECTOR], amax = 0.f;
#pragma unroll
        for (int h = 0; h < HELD; h++) {
            const int64_t i = (int64_t(h) * THREADS + threadIdx.x) * VECTOR;
            load_vector(v[h], x, xType, row * k + i, k - i, whole && i < k);
        }
#pragma unroll
        for (int h = 0; h < HELD; h++) {
            amax = largest(v[h], amax);
        }
        for (int64_t i = (int64_t(HELD) * THREADS + threadIdx.x) * VECTOR; i < k; i += THREADS * VECTOR) {
            float u[VECTOR];
            load_vector(u, x, xType, row * k + i, k - i, whole);
            amax = largest(u, amax);
        }
        const float s = scale_of(block_max(amax), INT8 ? 127.f : 448.f);
#pragma unroll
        for (int h = 0; h < HELD; h++) {
            const int64_t i = (int64_t(h) * THREADS + threadIdx.x) * VECTOR;
            if (i < pitch) {
                store_vector<INT8>(codes + row * pitch, i, v[h], s, interleaved);
            }
        }
        for (int64_t i = (int64_t(HELD) * THREADS + threadIdx.x) * VECTOR; i < pitch; i += THREADS * VECTOR) {
            float u[VECTOR];
            load_vector(u, x, xType, row * k + i, k - i, whole && i < k);
            store_vector<INT8>(codes + row * pitch, i, u, s, interleaved);
        }
        if (threadIdx.x == 0) {
            scales[row] = s;
        }
    }
}

}  // namespace lowbit

// Each block's largest magnitude to parts[blockIdx.x].
extern "C" __global__ void __launch_bounds__(256) LOWBIT_NAME(ARCH, fp8_amax_tensor)(const void* x, uint32_t xType, int64_t elements,
                                                                                   float* parts) {
    using namespace lowbit;
    LOWBIT_DEPENDENT();
    float amax = 0.f;
    const bool aligned = vectors(x, 0);
    const int64_t step = int64_t(gridDim.x) * THREADS * VECTOR;
    for (int64_t i = (int64_t(blockIdx.x) * THREADS + threadIdx.x) * VECTOR; i < elements; i += step) {
        float v[VECTOR];
        load_vector(v, x, xType, i, elements - i, aligned && i + VECTOR <= elements);
        amax = largest(v, amax);
    }
    amax = block_max(amax);
    if (threadIdx.x == 0) {
        parts[blockIdx.x] = amax;
    }
}

// Codes and scales[0] from the `count` parts.
extern "C" __global__ void __launch_bounds__(256) LOWBIT_NAME(ARCH, fp8_quantize_tensor)(
    const void* x, uint32_t xType, int64_t m, int64_t k, int64_t pitch, const float* parts, uint32_t count, uint8_t* codes, float* scales,
    uint32_t interleaved) {
    using namespace lowbit;
    LOWBIT_DEPENDENT();
    float amax = 0.f;
    for (uint32_t i = threadIdx.x; i < count; i += THREADS) {
        amax = fmaxf(amax, parts[i]);
    }
    const float s = scale_of(block_max(amax));
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        scales[0] = s;
    }
    const bool whole = vectors(x, k);
    const int64_t perRow = pitch / VECTOR, all = m * perRow;
    for (int64_t j = int64_t(blockIdx.x) * THREADS + threadIdx.x; j < all; j += int64_t(gridDim.x) * THREADS) {
        const int64_t row = j / perRow, i = (j - row * perRow) * VECTOR;
        float v[VECTOR];
        load_vector(v, x, xType, row * k + i, k - i, whole && i < k);
        store_vector<false>(codes + row * pitch, i, v, s, interleaved);
    }
}

#define QUANTIZE_ROW(name, INT8)                                                                                                  \
    extern "C" __global__ void __launch_bounds__(256) LOWBIT_NAME(ARCH, name)(const void* x, uint32_t xType, int64_t m, int64_t k,     \
                                                                            int64_t pitch, uint8_t* codes, float* scales,            \
                                                                            uint32_t interleaved) {                                  \
        lowbit::quantize_row<INT8>(x, xType, m, k, pitch, codes, scales, interleaved);                                               \
    }
QUANTIZE_ROW(fp8_quantize_row, false)
QUANTIZE_ROW(int8_quantize_row, true)

// Half a warp for 128 neighbours of a row; pitch is a multiple of 128; ue8m0: scales are powers of two. The scale of row r, block b is scales[b·m + r].
extern "C" __global__ void __launch_bounds__(256) LOWBIT_NAME(ARCH, fp8_quantize_block128)(
    const void* x, uint32_t xType, int64_t m, int64_t k, int64_t pitch, uint8_t* codes, float* scales, uint32_t ue8m0, uint32_t interleaved) {
    using namespace lowbit;
    LOWBIT_DEPENDENT();
    const bool whole = vectors(x, k);
    const int64_t blocks = pitch / 128, all = m * blocks;
    const int half = threadIdx.x / 16, lane = threadIdx.x % 16;
    for (int64_t first = int64_t(blockIdx.x) * (THREADS / 16); first < all; first += int64_t(gridDim.x) * (THREADS / 16)) {
        const int64_t j = min(first + half, all - 1);  // a warp's halves shuffle together; the last one may be done twice
        const int64_t row = j / blocks, block = j - row * blocks, i = block * 128 + lane * VECTOR;
        float v[VECTOR];
        load_vector(v, x, xType, row * k + i, k - i, whole && i < k);
        float s = scale_of(lanes_max<16>(largest(v, 0.f)));
        if (ue8m0) {
            s = up_to_power(s);
        }
        store_vector<false>(codes + row * pitch, i, v, s, interleaved);
        if (lane == 0) {
            scales[block * m + row] = s;
        }
    }
}
