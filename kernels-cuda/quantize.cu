// Floats to codes and scales, in the canonical layout, with the bits of io.lowbit.quant: IEEE divisions, no contraction,
// maxima (which have no order) taken in parallel, the one sum (the mean of bitsandbytes' absmax) in the CPU's order.
//
// Scales first, then codes from the scales as stored. A warp finds the range of a group; a thread makes a byte of codes.
#include "weights.cuh"

namespace lowbit {

constexpr uint32_t INFINITE = 0x7f800000u, MIN_NORMAL = 0x00800000u;

// The matrix to quantize: [n, k] row-major.
struct Source {
    const void* x;
    uint32_t type;           // Type
    uint32_t zeroNonFinite;  // NaN and infinities count as 0
    int64_t n, k;
};
static_assert(sizeof(Source) == 32, "DeviceQuantizer.java writes 32 bytes");

__device__ __forceinline__ bool finite(float v) {
    return (__float_as_uint(v) & 0x7fffffffu) < INFINITE;
}

__device__ __forceinline__ float weight(const Source& s, int64_t i) {
    float v = load(s.x, s.type, i);
    return s.zeroNonFinite && !finite(v) ? 0.f : v;
}

// Bits of the largest weight, at least 0, and of the smallest one's magnitude, at least 0; both order as integers.
// Weights that are not finite are left out.
struct Range {
    uint32_t high = 0, low = 0;

    __device__ __forceinline__ void add(float v) {
        if (finite(v)) {
            uint32_t u = __float_as_uint(v);
            if (u >> 31) {
                low = max(low, u & 0x7fffffffu);
            } else {
                high = max(high, u);
            }
        }
    }

    // Over the lanes of a warp.
    __device__ __forceinline__ void join() {
        high = __reduce_max_sync(0xffffffffu, high);
        low = __reduce_max_sync(0xffffffffu, low);
    }

    __device__ __forceinline__ float absmax() const {
        return __uint_as_float(max(high, low));
    }
};

__device__ __forceinline__ float larger(float a, float b) {
    return a > b ? a : b;
}

__device__ __forceinline__ int64_t thread() {
    return int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
}

__device__ __forceinline__ int64_t threads() {
    return int64_t(gridDim.x) * blockDim.x;
}

// A NaN keeps its sign and the upper bits of its payload and becomes quiet.
__device__ __forceinline__ uint16_t f32_to_f16(float v) {
    uint32_t u = __float_as_uint(v);
    if ((u & 0x7fffffffu) > INFINITE) {
        return uint16_t(u >> 16 & 0x8000 | 0x7e00 | (u >> 13 & 0x3ff));
    }
    return cvt_rn_f16_f32(v);
}

// ---- INT4

// The scale as stored; infinite where it overflows its type.
__device__ __forceinline__ float round_scale(float scale, uint32_t type) {
    float rounded = type == F16 ? f16_to_f32(f32_to_f16(scale)) : type == BF16 ? bf16_to_f32(f32_to_bf16(scale)) : scale;
    return larger(rounded, type == F16 ? 0x1p-24f : __uint_as_float(MIN_NORMAL));
}

__device__ __forceinline__ uint32_t encode_int4(float y, int zero) {
    if (y != y) {
        return uint32_t(zero);
    }
    int q = int(rintf(fminf(fmaxf(y, -32.f), 32.f))) + zero;
    return uint32_t(min(max(q, 0), 15));
}

struct Int4Grid {
    float scale;
    int zero;
};

__device__ __forceinline__ Int4Grid int4_grid(const Range& range, uint32_t scaleType, bool symmetric) {
    const bool none = (range.high | range.low) == 0;  // all zeros: GPTQ takes -1..1
    const float low = none ? -1.f : -__uint_as_float(range.low), high = none ? 1.f : __uint_as_float(range.high);
    const float scale = round_scale(symmetric && !none ? __fdiv_rn(range.absmax(), 7.5f) : __fdiv_rn(__fsub_rn(high, low), 15.f), scaleType);
    return {scale, symmetric ? 8 : int(encode_int4(__fdiv_rn(-low, scale), 0))};
}

// ---- FP8

__device__ __forceinline__ float fp8_scale(const Range& range, float largest, bool reciprocal) {
    if ((range.high | range.low) == 0) {
        return 0x1p-23f;
    }
    float scale = reciprocal ? __fmul_rn(range.absmax(), __fdiv_rn(1.f, largest)) : __fdiv_rn(range.absmax(), largest);
    return larger(scale, __uint_as_float(MIN_NORMAL));
}

// ---- E2M1, NF4, bitsandbytes' FP4

__device__ __forceinline__ uint32_t encode_e2m1(float x) {
    if (x != x) {
        return 7;
    }
    const float a = fabsf(x);
    uint32_t code = a < 1.75f ? (a <= 0.25f ? 0 : a < 0.75f ? 1 : a <= 1.25f ? 2 : 3) : (a <= 2.5f ? 4 : a < 3.5f ? 5 : a <= 5.f ? 6 : 7);
    return __float_as_uint(x) >> 31 << 3 | code;
}

// The number of thresholds that y exceeds.
__device__ __forceinline__ uint32_t encode_nf4(float y) {
    const uint32_t thresholds[15] = {0xbf591cd8, 0xbf1c5270, 0xbeeb8480, 0xbeadea76, 0xbe703cec, 0xbe0d38bc, 0xbd3a7871, 0x3d22faff,
                                     0x3df64862, 0x3e5067e0, 0x3e9582d4, 0x3ec753f9, 0x3f006d04, 0x3f248daf, 0x3f5c89da};
    uint32_t code = 0;
#pragma unroll
    for (int i = 0; i < 15; i++) {
        code += y > __uint_as_float(thresholds[i]);
    }
    return code;
}

__device__ __forceinline__ uint32_t encode_fp4(float y) {
    const float thresholds[7] = {0.00260417f, 0.0859375f, 0.20833333f, 0.29166667f, 0.4166667f, 0.583333f, 0.8333333f};
    const float a = fabsf(y);
    uint32_t rank = 0;
#pragma unroll
    for (int i = 0; i < 7; i++) {
        rank += a > thresholds[i];
    }
    return (0x32547610u >> 4 * rank & 7) | (y < 0.f ? 8 : 0);  // codes by rising magnitude: 0 1 6 7 4 5 2 3
}

template <bool Nf4>
__device__ __forceinline__ uint32_t encode_bnb4(float y) {
    return Nf4 ? encode_nf4(y) : encode_fp4(y);
}

// ---- MXFP4, MXFP8, NVFP4

// What the scale rules need of a block's elements: io.lowbit.format.MxElement.
struct MxElement {
    int emax;
    float largest;
    int mantissaBits;
};

// E8M0 code of a block's scale: FLOOR 0, RCEIL 1, CEIL 2, EVEN 3, as MxScaleRule numbers them.
__device__ __forceinline__ uint32_t mx_scale(uint32_t amax, uint32_t rule, MxElement e) {
    int code;
    if (rule == 1) {
        uint32_t a = __float_as_uint(__fdiv_rn(__uint_as_float(amax), e.largest));
        uint32_t exponent = a >> 23, mantissa = a & 0x7fffff;
        code = int(exponent + (exponent == 0 ? mantissa > 0x400000 : mantissa != 0));
    } else if (rule == 2) {
        code = int(amax >> 23) + ((amax & 0x7fffff) != 0) - e.emax;
    } else if (rule == 3) {
        code = int((amax + (1u << (22 - e.mantissaBits))) >> 23) - e.emax;
    } else {
        code = int(amax >> 23) - e.emax;
    }
    return uint32_t(min(max(code, 0), 254));
}

__device__ __forceinline__ float nv_tensor_scale(float amax) {
    return amax == 0.f ? 1.f : larger(__fdiv_rn(amax, 2688.f), __uint_as_float(MIN_NORMAL));
}

__device__ __forceinline__ uint32_t nv_block_scale(float amax, float tensorScale) {
    float s = __fdiv_rn(__fdiv_rn(amax, 6.f), tensorScale);
    s = larger(s, 0x1p-6f);
    return encode_e4m3(s < 448.f ? s : 448.f);
}

// A block of E2M1 codes by its lanes: every even lane writes the byte of its own column and the next lane's.
__device__ __forceinline__ void store_pairs(uint8_t* row, int64_t col, int64_t k, uint32_t code) {
    uint32_t other = __shfl_down_sync(0xffffffffu, code, 1);
    if (col % 2 == 0 && col < k) {
        row[col / 2] = uint8_t(code | (col + 1 < k ? other << 4 : 0));
    }
}

}  // namespace lowbit

#define KERNEL(name) extern "C" __global__ void __launch_bounds__(256) LOWBIT_NAME(ARCH, quantize_##name)
using namespace lowbit;

// What the whole matrix is like: out[0], out[1] = Range; count and first index of weights that are not finite (first = all
// ones where there is none). Zeroed, first set to all ones, before.
KERNEL(scan)(const __grid_constant__ Source s, uint32_t* range, unsigned long long* count, unsigned long long* first) {
    const int64_t total = s.n * s.k;
    Range r;
    unsigned long long bad = 0, at = ~0ull;
    for (int64_t i = thread(); i < total; i += threads()) {
        float v = load(s.x, s.type, i);
        r.add(v);
        if (!finite(v)) {
            bad++;
            at = min(at, (unsigned long long)i);
        }
    }
    r.join();
    if (threadIdx.x % 32 == 0) {
        atomicMax(range, r.high);
        atomicMax(range + 1, r.low);
    }
    if (bad) {
        atomicAdd(count, bad);
        atomicMin(first, at);
    }
}

KERNEL(dense)(const __grid_constant__ Source s, void* out, uint32_t type, uint32_t saturate) {
    const float most = type == F16 ? 65504.f : type == BF16 ? 0x1.fep127f : 0x1.fffffep127f;
    const int64_t total = s.n * s.k;
    for (int64_t i = thread(); i < total; i += threads()) {
        float v = weight(s, i);
        if (saturate && finite(v)) {
            v = v > most ? most : v < -most ? -most : v;
        }
        if (type == F16) {
            static_cast<uint16_t*>(out)[i] = f32_to_f16(v);
        } else {
            store(out, type, i, v);
        }
    }
}

// One warp for two groups that share a byte of zero points. With `whole`, the range of the matrix is one group's. `overflow`
// (all ones before) gets the first group, row-major, whose scale its type does not hold.
KERNEL(int4_scales)(const __grid_constant__ Source s, const uint32_t* whole, int64_t rows, int64_t groups, int64_t size, uint32_t scaleType,
                    uint32_t symmetric, void* scales, uint8_t* zeros, unsigned long long* overflow) {
    const int lane = threadIdx.x % 32;
    const int64_t pairs = (groups + 1) / 2;
    for (int64_t p = thread() / 32; p < rows * pairs; p += threads() / 32) {
        const int64_t row = p / pairs, g0 = (p - row * pairs) * 2;
        uint32_t zero = 0;
        for (int64_t g = g0; g < g0 + 2 && g < groups; g++) {
            Range r;
            if (whole) {
                r.high = whole[0];
                r.low = whole[1];
            } else {
                const int64_t from = g * size, to = min(from + size, s.k);
                for (int64_t col = from + lane; col < to; col += 32) {
                    r.add(weight(s, row * s.k + col));
                }
                r.join();
            }
            const Int4Grid grid = int4_grid(r, scaleType, symmetric);
            zero |= uint32_t(grid.zero) << 4 * (g - g0);
            if (lane == 0) {
                store(scales, scaleType, row * groups + g, grid.scale);
                if (!finite(grid.scale)) {
                    atomicMin(overflow, (unsigned long long)(row * groups + g));
                }
            }
        }
        if (zeros && lane == 0) {
            zeros[p] = uint8_t(zero);
        }
    }
}

// w describes the result, whose scales and zero points are there.
KERNEL(int4_codes)(const __grid_constant__ Source s, const __grid_constant__ Matrix w, uint8_t* codes) {
    const int64_t rowBytes = (s.k + 1) / 2;
    for (int64_t i = thread(); i < s.n * rowBytes; i += threads()) {
        const int64_t row = i / rowBytes;
        const uint32_t gridRow = uint32_t(row) / w.groupRows;
        uint32_t pair = 0;
        for (int j = 0; j < 2; j++) {
            const int64_t col = (i - row * rowBytes) * 2 + j;
            if (col < s.k) {
                const uint32_t group = uint32_t(col) / w.groupCols;
                const int zero = w.zeros ? int(nibble(w.zeros, (w.scaleCols + 1) >> 1, gridRow, group)) : 8;
                const float scale = load(w.scales, w.scaleType, int64_t(gridRow) * w.scaleCols + group);
                pair |= encode_int4(__fdiv_rn(weight(s, row * s.k + col), scale), zero) << 4 * j;
            }
        }
        codes[i] = uint8_t(pair);
    }
}

// One warp a tile of rowsInTile x colsInTile; with `whole`, one scale from the range of the matrix.
KERNEL(fp8_scales)(const __grid_constant__ Source s, const uint32_t* whole, int64_t scaleRows, int64_t scaleCols, int64_t rowsInTile,
                   int64_t colsInTile, float largest, uint32_t reciprocal, float* scales) {
    const int lane = threadIdx.x % 32;
    for (int64_t t = thread() / 32; t < scaleRows * scaleCols; t += threads() / 32) {
        Range r;
        if (whole) {
            r.high = whole[0];
            r.low = whole[1];
        } else {
            const int64_t tileRow = t / scaleCols, tileCol = t - tileRow * scaleCols;
            const int64_t toRow = min((tileRow + 1) * rowsInTile, s.n), toCol = min((tileCol + 1) * colsInTile, s.k);
            for (int64_t row = tileRow * rowsInTile; row < toRow; row++) {
                for (int64_t col = tileCol * colsInTile + lane; col < toCol; col += 32) {
                    r.add(weight(s, row * s.k + col));
                }
            }
            r.join();
        }
        if (lane == 0) {
            scales[t] = fp8_scale(r, largest, reciprocal);
        }
    }
}

// `beyond`: the code of magnitudes beyond the largest finite one.
KERNEL(fp8_codes)(const __grid_constant__ Source s, const __grid_constant__ Matrix w, uint8_t* codes, uint32_t e4m3, uint32_t reciprocal,
                  uint32_t beyond) {
    for (int64_t i = thread(); i < s.n * s.k; i += threads()) {
        const int64_t row = i / s.k;
        const float scale =
            static_cast<const float*>(w.scales)[int64_t(uint32_t(row) / w.groupRows) * w.scaleCols + uint32_t(i - row * s.k) / w.groupCols];
        const float v = weight(s, i);
        const float y = reciprocal ? __fmul_rn(v, __fdiv_rn(1.f, scale)) : __fdiv_rn(v, scale);
        codes[i] = uint8_t(e4m3 ? encode_e4m3(y, beyond) : encode_e5m2(y, beyond));
    }
}

// One warp a block of the flat matrix. A block below 2^-126, whose reciprocal would overflow, counts as zeros.
KERNEL(bnb4_absmax)(const __grid_constant__ Source s, int64_t blocks, int64_t size, float* absmax) {
    const int lane = threadIdx.x % 32;
    const int64_t total = s.n * s.k;
    for (int64_t b = thread() / 32; b < blocks; b += threads() / 32) {
        const int64_t to = min((b + 1) * size, total);
        Range r;
        for (int64_t i = b * size + lane; i < to; i += 32) {
            r.add(weight(s, i));
        }
        r.join();
        if (lane == 0) {
            absmax[b] = r.absmax() < __uint_as_float(MIN_NORMAL) ? 0.f : r.absmax();
        }
    }
}

// zeroCode: codes of all-zero blocks; padCode: of the half byte beyond the last weight.
KERNEL(bnb4_codes)(const __grid_constant__ Source s, const float* absmax, uint32_t blockShift, uint32_t nf4, uint32_t zeroCode,
                   uint32_t padCode, uint8_t* codes) {
    const int64_t total = s.n * s.k;
    for (int64_t i = thread(); i < (total + 1) / 2; i += threads()) {
        const float max = absmax[2 * i >> blockShift];
        const float inverse = __fdiv_rn(1.f, max);
        uint32_t pair = 0;
        for (int j = 0; j < 2; j++) {
            uint32_t code = padCode;
            if (2 * i + j < total) {
                code = zeroCode;
                if (max != 0.f) {
                    const float y = __fmul_rn(weight(s, 2 * i + j), inverse);
                    code = nf4 ? encode_bnb4<true>(y) : encode_bnb4<false>(y);
                }
            }
            pair = pair << 4 | code;
        }
        codes[i] = uint8_t(pair);
    }
}

// The mean of all absmax: added in f64 from the first to the last, rounded to f32 once. One block: the warps fetch while
// one thread adds.
KERNEL(bnb4_mean)(const float* absmax, int64_t blocks, float* mean) {
    constexpr int CHUNK = 2048;
    __shared__ float part[2][CHUNK];
    double sum = 0;
    for (int i = threadIdx.x; i < CHUNK && i < blocks; i += blockDim.x) {
        part[0][i] = absmax[i];
    }
    __syncthreads();
    for (int64_t from = 0; from < blocks; from += CHUNK) {
        const int now = from / CHUNK % 2;
        if (threadIdx.x == 0) {
            const int count = int(min(blocks - from, int64_t(CHUNK)));
#pragma unroll 8
            for (int i = 0; i < count; i++) {
                sum = __dadd_rn(sum, double(part[now][i]));
            }
        } else if (threadIdx.x >= 32) {
            for (int64_t i = threadIdx.x - 32; i < CHUNK && from + CHUNK + i < blocks; i += blockDim.x - 32) {
                part[1 - now][i] = absmax[from + CHUNK + i];
            }
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        *mean = blocks == 0 ? 0.f : __double2float_rn(__ddiv_rn(sum, double(blocks)));
    }
}

// bitsandbytes' dynamic map.
extern "C" __device__ const uint32_t lowbit_dynamic[256] = {
    0xbf7e3333, 0xbf7a999a, 0xbf770000, 0xbf736666, 0xbf6fcccd, 0xbf6c3333, 0xbf68999a, 0xbf650000,
    0xbf616666, 0xbf5dcccd, 0xbf5a3333, 0xbf56999a, 0xbf530000, 0xbf4f6666, 0xbf4bcccd, 0xbf483333,
    0xbf44999a, 0xbf410000, 0xbf3d6666, 0xbf39cccd, 0xbf363334, 0xbf32999a, 0xbf2f0000, 0xbf2b6666,
    0xbf27cccd, 0xbf243334, 0xbf20999a, 0xbf1d0000, 0xbf196666, 0xbf15cccd, 0xbf123334, 0xbf0e999a,
    0xbf0b0000, 0xbf076666, 0xbf03cccc, 0xbf003333, 0xbef93332, 0xbef20000, 0xbeeacccc, 0xbee3999a,
    0xbedc6666, 0xbed53333, 0xbece0000, 0xbec6cccc, 0xbebf999a, 0xbeb86666, 0xbeb13333, 0xbeaa0000,
    0xbea2cccc, 0xbe9b999a, 0xbe946666, 0xbe8d3334, 0xbe860000, 0xbe7d9999, 0xbe6f3333, 0xbe60cccd,
    0xbe526666, 0xbe440000, 0xbe35999a, 0xbe273333, 0xbe18cccd, 0xbe0a6666, 0xbdf80000, 0xbddb3334,
    0xbdc9eb85, 0xbdc428f7, 0xbdbe6667, 0xbdb8a3d7, 0xbdb2e148, 0xbdad1eb8, 0xbda75c2a, 0xbda1999a,
    0xbd9bd70a, 0xbd96147b, 0xbd9051eb, 0xbd8a8f5d, 0xbd84cccd, 0xbd7e147b, 0xbd728f5d, 0xbd670a3d,
    0xbd5b851f, 0xbd500000, 0xbd447ae1, 0xbd38f5c3, 0xbd2d70a3, 0xbd21eb85, 0xbd166667, 0xbd0ae148,
    0xbcfeb852, 0xbce7ae15, 0xbcd0a3d7, 0xbcb9999a, 0xbca28f5d, 0xbc8b851f, 0xbc68f5c3, 0xbc3ae148,
    0xbc1f3b64, 0xbc160418, 0xbc0ccccd, 0xbc039581, 0xbbf4bc6a, 0xbbe24dd3, 0xbbcfdf3b, 0xbbbd70a4,
    0xbbab020d, 0xbb989374, 0xbb8624dd, 0xbb676c8a, 0xbb428f5c, 0xbb1db22d, 0xbaf1a9fc, 0xbaa7ef9d,
    0xba7765ff, 0xba59e83e, 0xba3c6a80, 0xba1eecc1, 0xba016f01, 0xb9c7e283, 0xb98ce705, 0xb923d70b,
    0xb8ba1f4b, 0xb88aefb3, 0xb8378034, 0xb7b24206, 0xb70205ff, 0xb65a1a94, 0xb513a3b7, 0x00000000,
    0x3513a3b7, 0x365a1a94, 0x370205ff, 0x37b24206, 0x38378034, 0x388aefb3, 0x38ba1f4b, 0x3923d70b,
    0x398ce705, 0x39c7e283, 0x3a016f01, 0x3a1eecc1, 0x3a3c6a80, 0x3a59e83e, 0x3a7765ff, 0x3aa7ef9d,
    0x3af1a9fc, 0x3b1db22d, 0x3b428f5c, 0x3b676c8a, 0x3b8624dd, 0x3b989374, 0x3bab020d, 0x3bbd70a4,
    0x3bcfdf3b, 0x3be24dd3, 0x3bf4bc6a, 0x3c039581, 0x3c0ccccd, 0x3c160418, 0x3c1f3b64, 0x3c3ae148,
    0x3c68f5c3, 0x3c8b851f, 0x3ca28f5d, 0x3cb9999a, 0x3cd0a3d7, 0x3ce7ae15, 0x3cfeb852, 0x3d0ae148,
    0x3d166667, 0x3d21eb85, 0x3d2d70a3, 0x3d38f5c3, 0x3d447ae1, 0x3d500000, 0x3d5b851f, 0x3d670a3d,
    0x3d728f5d, 0x3d7e147b, 0x3d84cccd, 0x3d8a8f5d, 0x3d9051eb, 0x3d96147b, 0x3d9bd70a, 0x3da1999a,
    0x3da75c2a, 0x3dad1eb8, 0x3db2e148, 0x3db8a3d7, 0x3dbe6667, 0x3dc428f7, 0x3dc9eb85, 0x3ddb3334,
    0x3df80000, 0x3e0a6666, 0x3e18cccd, 0x3e273333, 0x3e35999a, 0x3e440000, 0x3e526666, 0x3e60cccd,
    0x3e6f3333, 0x3e7d9999, 0x3e860000, 0x3e8d3334, 0x3e946666, 0x3e9b999a, 0x3ea2cccc, 0x3eaa0000,
    0x3eb13333, 0x3eb86666, 0x3ebf999a, 0x3ec6cccc, 0x3ece0000, 0x3ed53333, 0x3edc6666, 0x3ee3999a,
    0x3eeacccc, 0x3ef20000, 0x3ef93332, 0x3f003333, 0x3f03cccc, 0x3f076666, 0x3f0b0000, 0x3f0e999a,
    0x3f123334, 0x3f15cccd, 0x3f196666, 0x3f1d0000, 0x3f20999a, 0x3f243334, 0x3f27cccd, 0x3f2b6666,
    0x3f2f0000, 0x3f32999a, 0x3f363334, 0x3f39cccd, 0x3f3d6666, 0x3f410000, 0x3f44999a, 0x3f483333,
    0x3f4bcccd, 0x3f4f6666, 0x3f530000, 0x3f56999a, 0x3f5a3333, 0x3f5dcccd, 0x3f616666, 0x3f650000,
    0x3f68999a, 0x3f6c3333, 0x3f6fcccd, 0x3f736666, 0x3f770000, 0x3f7a999a, 0x3f7e3333, 0x3f800000};

// absmax - mean to the dynamic map, one warp for 256 blocks; nested absmax and the map itself too.
KERNEL(bnb4_nest)(const float* absmax, int64_t blocks, const float* mean, uint8_t* codes, float* nestedAbsmax, float* map) {
    const int lane = threadIdx.x % 32;
    const float offset = *mean;
    if (blockIdx.x == 0) {
        map[threadIdx.x] = __uint_as_float(lowbit_dynamic[threadIdx.x]);
    }
    for (int64_t j = thread() / 32; j < (blocks + 255) / 256; j += threads() / 32) {
        const int64_t from = j * 256, to = min(from + 256, blocks);
        float most = 0.f;
        for (int64_t b = from + lane; b < to; b += 32) {
            most = larger(fabsf(__fsub_rn(absmax[b], offset)), most);
        }
        most = __uint_as_float(__reduce_max_sync(0xffffffffu, __float_as_uint(most)));
        const float inverse = __fdiv_rn(1.f, most);
        for (int64_t b = from + lane; b < to; b += 32) {
            uint32_t code = 127;
            if (most >= __uint_as_float(MIN_NORMAL)) {
                const float y = __fmul_rn(__fsub_rn(absmax[b], offset), inverse);
                // The nearest value; a tie goes to the lower code.
                uint32_t below = 0, above = 255;
                while (above - below > 1) {
                    const uint32_t middle = (below + above) / 2;
                    if (y < __uint_as_float(lowbit_dynamic[middle])) {
                        above = middle;
                    } else {
                        below = middle;
                    }
                }
                const double down = __dsub_rn(double(y), double(__uint_as_float(lowbit_dynamic[below])));
                const double up = __dsub_rn(double(__uint_as_float(lowbit_dynamic[above])), double(y));
                code = down <= up ? below : above;
            }
            codes[b] = uint8_t(code);
        }
        if (lane == 0) {
            nestedAbsmax[j] = most;
        }
    }
}

// One warp a block of 32 columns.
KERNEL(mxfp4)(const __grid_constant__ Source s, int64_t blocks, uint32_t rule, uint8_t* codes, uint8_t* scales) {
    const int lane = threadIdx.x % 32;
    const int64_t rowBytes = (s.k + 1) / 2;
    for (int64_t b = thread() / 32; b < s.n * blocks; b += threads() / 32) {
        const int64_t row = b / blocks, col = (b - row * blocks) * 32 + lane;
        const float v = col < s.k ? weight(s, row * s.k + col) : 0.f;
        Range r;
        r.add(v);
        r.join();
        const uint32_t scale = mx_scale(max(r.high, r.low), rule, {2, 6.f, 1});
        store_pairs(codes + row * rowBytes, col, s.k, encode_e2m1(__fdiv_rn(v, decode_e8m0(scale))));
        if (lane == 0) {
            scales[b] = uint8_t(scale);
        }
    }
}

// The same with 8-bit floats. `beyond`: the code of magnitudes beyond the largest finite one.
KERNEL(mxfp8)(const __grid_constant__ Source s, int64_t blocks, uint32_t rule, uint32_t e4m3, uint32_t beyond, uint8_t* codes, uint8_t* scales) {
    const int lane = threadIdx.x % 32;
    const MxElement element = e4m3 ? MxElement{8, 448.f, 3} : MxElement{15, 57344.f, 2};
    for (int64_t b = thread() / 32; b < s.n * blocks; b += threads() / 32) {
        const int64_t row = b / blocks, col = (b - row * blocks) * 32 + lane;
        const float v = col < s.k ? weight(s, row * s.k + col) : 0.f;
        Range r;
        r.add(v);
        r.join();
        const uint32_t scale = mx_scale(max(r.high, r.low), rule, element);
        const float y = __fdiv_rn(v, decode_e8m0(scale));
        if (col < s.k) {
            codes[row * s.k + col] = uint8_t(e4m3 ? encode_e4m3(y, beyond) : encode_e5m2(y, beyond));
        }
        if (lane == 0) {
            scales[b] = uint8_t(scale);
        }
    }
}

// One warp for two blocks of 16 columns. whole: the range of the matrix; tensorScale gets the scale of the matrix.
KERNEL(nvfp4)(const __grid_constant__ Source s, const uint32_t* whole, int64_t blocks, uint8_t* codes, uint8_t* scales, float* tensorScale) {
    const int lane = threadIdx.x % 32;
    const int64_t rowBytes = (s.k + 1) / 2, pairs = (blocks + 1) / 2;
    const float matrixScale = nv_tensor_scale(__uint_as_float(max(whole[0], whole[1])));
    if (thread() == 0) {
        *tensorScale = matrixScale;
    }
    for (int64_t p = thread() / 32; p < s.n * pairs; p += threads() / 32) {
        const int64_t row = p / pairs, block = (p - row * pairs) * 2 + lane / 16, col = (p - row * pairs) * 32 + lane;
        const float v = col < s.k ? weight(s, row * s.k + col) : 0.f;
        Range r;
        r.add(v);
        uint32_t most = max(r.high, r.low);
        for (int d = 8; d > 0; d /= 2) {
            most = max(most, __shfl_xor_sync(0xffffffffu, most, d));
        }
        const uint32_t scale = nv_block_scale(__uint_as_float(most), matrixScale);
        const float factor = __fmul_rn(matrixScale, decode_e4m3(scale));
        store_pairs(codes + row * rowBytes, col, s.k, encode_e2m1(__fdiv_rn(v, factor)));
        if (lane % 16 == 0 && block < blocks) {
            scales[row * blocks + block] = uint8_t(scale);
        }
    }
}
