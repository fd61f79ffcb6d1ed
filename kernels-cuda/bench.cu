// What the benchmark harness runs itself: random data, a plain read of memory, and the reference product that every timed
// kernel is held to. Plain code on purpose: it shares no tile, no pipeline and no rounding with the kernels it judges.
#include "weights.cuh"

namespace lowbit {

// The finalizer of splitmix64: one well-mixed word for each counter.
__device__ __forceinline__ uint64_t mix(uint64_t z) {
    z += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

__device__ __forceinline__ float block_max(float v) {
    __shared__ float part[8];
    for (int d = 16; d > 0; d /= 2) {
        v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, d));
    }
    __syncthreads();
    if (threadIdx.x % 32 == 0) {
        part[threadIdx.x / 32] = v;
    }
    __syncthreads();
    v = part[0];
    for (int i = 1; i < int(blockDim.x / 32); i++) {
        v = fmaxf(v, part[i]);
    }
    return v;
}

__device__ __forceinline__ float scale_of(float amax, uint32_t int8) {
    return amax == 0.f ? 1.f : __fdiv_rn(amax, int8 ? 127.f : 448.f);
}

// To the nearest, ties to even, within ±127; a NaN becomes 0.
__device__ __forceinline__ int8_t encode_int8(float v) {
    return v != v ? int8_t(0) : int8_t(rintf(fminf(fmaxf(v, -127.f), 127.f)));
}

}  // namespace lowbit

// out[i] ← a normal number of the given deviation; the same seed gives the same numbers.
extern "C" __global__ void __launch_bounds__(256) LOWBIT_NAME(ARCH, bench_normal)(void* out, uint32_t type, int64_t count, uint64_t seed,
                                                                                float deviation) {
    using namespace lowbit;
    for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += int64_t(gridDim.x) * blockDim.x) {
        const uint64_t bits = mix(seed + mix(uint64_t(i)));
        const float u = (float(uint32_t(bits >> 40)) + 1.f) * 0x1p-24f;  // (0, 1]
        const float turn = float(uint32_t(bits) >> 8) * 0x1p-23f;  // [0, 2)
        store(out, type, i, deviation * sqrtf(-2.f * logf(u)) * cospif(turn));
    }
}

// Reads 16 bytes a thread and step, and writes only what never happens. UNROLL loads are in flight at once.
template <int UNROLL>
__device__ __forceinline__ void bench_read(const uint4* in, int64_t words, uint32_t* sink) {
    const int64_t step = int64_t(gridDim.x) * blockDim.x;
    uint32_t seen = 0;
    int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    for (; i + (UNROLL - 1) * step < words; i += UNROLL * step) {
        uint4 v[UNROLL];
#pragma unroll
        for (int j = 0; j < UNROLL; j++) {
            v[j] = __ldg(in + i + j * step);
        }
#pragma unroll
        for (int j = 0; j < UNROLL; j++) {
            seen |= v[j].x & v[j].y & v[j].z & v[j].w;
        }
    }
    for (; i < words; i += step) {
        const uint4 v = __ldg(in + i);
        seen |= v.x & v.y & v.z & v.w;
    }
    if (seen == 0xffffffffu) {
        *sink = seen;
    }
}

#define BENCH_READ(unroll)                                                                                        \
    extern "C" __global__ void __launch_bounds__(512) LOWBIT_NAME(ARCH, bench_read_##unroll)(const uint4* in, int64_t words, \
                                                                                            uint32_t* sink) {     \
        bench_read<unroll>(in, words, sink);                                                                      \
    }
BENCH_READ(1)
BENCH_READ(4)
BENCH_READ(8)

// amax (zeroed before) ← max |x|.
extern "C" __global__ void __launch_bounds__(256) LOWBIT_NAME(ARCH, bench_amax)(const void* x, uint32_t type, int64_t count, uint32_t* amax) {
    using namespace lowbit;
    float v = 0.f;
    for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += int64_t(gridDim.x) * blockDim.x) {
        v = fmaxf(v, fabsf(load(x, type, i)));
    }
    v = block_max(v);
    if (threadIdx.x == 0) {
        atomicMax(amax, __float_as_uint(v));
    }
}

// x [m, k] in E4M3 or INT8: s = amax/448 or amax/127 (1 where amax is 0) over the whole matrix (width 0, from *amax), or over
// each `width` neighbours of a row; with `power` the next power of two from 2^-126 on; codes [m, k] = E4M3(x / s) or INT8(x / s), scales [1] or [m, ceil(k/width)]. One block a row.
extern "C" __global__ void __launch_bounds__(256) LOWBIT_NAME(ARCH, bench_quantize)(const void* x, uint32_t type, int64_t m, int64_t k,
                                                                                  int64_t width, uint32_t int8, const uint32_t* amax,
                                                                                  uint8_t* codes, float* scales, uint32_t power) {
    using namespace lowbit;
    const int64_t span = width == 0 ? k : width, spans = (k + span - 1) / span;
    for (int64_t row = blockIdx.x; row < m; row += gridDim.x) {
        for (int64_t part = 0; part < spans; part++) {
            const int64_t from = part * span, to = from + span < k ? from + span : k;
            float s;
            if (width == 0) {
                s = scale_of(__uint_as_float(*amax), int8);
            } else {
                float v = 0.f;
                for (int64_t i = from + threadIdx.x; i < to; i += blockDim.x) {
                    v = fmaxf(v, fabsf(load(x, type, row * k + i)));
                }
                s = scale_of(block_max(v), int8);
            }
            if (power) {
                s = __uint_as_float(max((__float_as_uint(s) + 0x7fffff) & 0x7f800000, 0x800000u));
            }
            for (int64_t i = from + threadIdx.x; i < to; i += blockDim.x) {
                const float q = __fdiv_rn(load(x, type, row * k + i), s);
                codes[row * k + i] = int8 ? uint8_t(encode_int8(q)) : uint8_t(encode_e4m3(q));
            }
            if (threadIdx.x == 0) {
                if (width != 0) {
                    scales[row * spans + part] = s;
                } else if (row == 0) {
                    scales[0] = s;
                }
            }
        }
    }
}

// out [rows, k] in f64 ← the rows of x that are listed; with codes, the values that those and their scales stand for.
extern "C" __global__ void __launch_bounds__(256) LOWBIT_NAME(ARCH, bench_rows)(const void* x, uint32_t type, const uint8_t* codes,
                                                                              const float* scales, int64_t width, uint32_t int8,
                                                                              int64_t k, const int64_t* rows, double* out) {
    using namespace lowbit;
    const int64_t row = rows[blockIdx.x];
    const int64_t spans = width == 0 ? 0 : (k + width - 1) / width;
    for (int64_t i = threadIdx.x; i < k; i += blockDim.x) {
        double v;
        if (codes == nullptr) {
            v = load(x, type, row * k + i);
        } else {
            const uint8_t code = codes[row * k + i];
            v = (int8 ? double(int8_t(code)) : double(decode_e4m3(code))) * double(width == 0 ? scales[0] : scales[row * spans + i / width]);
        }
        out[int64_t(blockIdx.x) * k + i] = v;
    }
}

// For row r and column c of the sample: out[3·(r·columns + c) ..] ← Σ x·w, Σ |x·w| in f64, and y as it is. One block each.
extern "C" __global__ void __launch_bounds__(128) LOWBIT_NAME(ARCH, bench_reference)(const double* x, const float* w, int64_t k,
                                                                                   const int64_t* rows, const int64_t* columns,
                                                                                   const void* y, uint32_t yType, int64_t n, double* out) {
    using namespace lowbit;
    __shared__ double sums[128], sizes[128];
    const int64_t r = blockIdx.y, c = blockIdx.x;
    double sum = 0, size = 0;
    for (int64_t i = threadIdx.x; i < k; i += blockDim.x) {
        const double product = x[r * k + i] * double(w[c * k + i]);
        sum += product;
        size += fabs(product);
    }
    sums[threadIdx.x] = sum;
    sizes[threadIdx.x] = size;
    __syncthreads();
    for (int d = 64; d > 0; d /= 2) {
        if (int(threadIdx.x) < d) {
            sums[threadIdx.x] += sums[threadIdx.x + d];
            sizes[threadIdx.x] += sizes[threadIdx.x + d];
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        double* to = out + 3 * (r * gridDim.x + c);
        to[0] = sums[0];
        to[1] = sizes[0];
        to[2] = load(y, yType, rows[r] * n + columns[c]);
    }
}

// first (all ones before) ← the smallest index whose element is NaN: what was poisoned and not written since, or wrong.
extern "C" __global__ void __launch_bounds__(256) LOWBIT_NAME(ARCH, bench_first_nan)(const void* y, uint32_t type, int64_t count,
                                                                                   unsigned long long* first) {
    using namespace lowbit;
    for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += int64_t(gridDim.x) * blockDim.x) {
        const float v = load(y, type, i);
        if (v != v) {
            atomicMin(first, static_cast<unsigned long long>(i));
        }
    }
}
