// Storage types and the arithmetic that has to give the same bits as the scalar Java code.
#pragma once
#include "ptx.cuh"

namespace lowbit {

// Element types of activations, outputs, biases and scales, numbered as in io.lowbit.cuda.kernels.
enum Type : uint32_t { F32 = 0, F16 = 1, BF16 = 2, E4M3 = 3, E5M2 = 4 };

// A bit beside the type of y: y += instead of y =, what it holds added in f32 and the sum rounded once.
constexpr uint32_t ADD = 0x100;

// a·b, rounded once. The hardware makes every NaN 0x7fffffff; a CPU hands an operand's NaN on, so this does too.
__device__ __forceinline__ float times(float a, float b) {
    float r = __fmul_rn(a, b);
    if (r != r) {
        r = a != a ? a : b != b ? b : __uint_as_float(0xffc00000u);
    }
    return r;
}

__device__ __forceinline__ float f16_to_f32(uint16_t h) {
    if ((h & 0x7fff) > 0x7c00) {  // NaN: keep sign and payload, made quiet
        return __uint_as_float(uint32_t(h & 0x8000) << 16 | 0x7fc00000u | uint32_t(h & 0x3ff) << 13);
    }
    return cvt_f32_f16(h);
}

__device__ __forceinline__ float bf16_to_f32(uint16_t h) {
    return __uint_as_float(uint32_t(h) << 16);
}

// Round to nearest even; overflow gives infinity; a NaN stays a quiet NaN of its sign.
__device__ __forceinline__ uint16_t f32_to_bf16(float v) {
    uint32_t u = __float_as_uint(v);
    if ((u & 0x7fffffffu) > 0x7f800000u) {
        return uint16_t(u >> 16 | 0x40);
    }
    return uint16_t((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

__device__ __forceinline__ float load(const void* p, uint32_t type, int64_t i) {
    if (type == F32) {
        return static_cast<const float*>(p)[i];
    }
    uint16_t h = static_cast<const uint16_t*>(p)[i];
    return type == F16 ? f16_to_f32(h) : bf16_to_f32(h);
}

__device__ __forceinline__ void store(void* p, uint32_t type, int64_t i, float v) {
    if (type == F32) {
        static_cast<float*>(p)[i] = v;
    } else {
        static_cast<uint16_t*>(p)[i] = type == F16 ? cvt_rn_f16_f32(v) : f32_to_bf16(v);
    }
}

// An element of y = or y +=. One thread puts an element, once.
__device__ __forceinline__ void put(void* y, uint32_t yType, int64_t i, float v) {
    const uint32_t type = yType & ~ADD;
    if (yType & ADD) {
        v = __fadd_rn(load(y, type, i), v);
    }
    store(y, type, i, v);
}

__device__ __forceinline__ float decode_e4m3(uint32_t c) {
    uint32_t sign = (c & 0x80) << 24;
    if ((c & 0x7f) == 0x7f) {
        return __uint_as_float(sign | 0x7fc00000u);
    }
    // The code's bits at the f32's place are the value times 2^-120, subnormals included; the product is exact.
    float magnitude = __fmul_rn(__uint_as_float((c & 0x7f) << 20), 0x1p120f);
    return __uint_as_float(sign | __float_as_uint(magnitude));
}

__device__ __forceinline__ float decode_e5m2(uint32_t c) {
    if ((c & 0x7f) > 0x7c) {
        return __uint_as_float((c & 0x80) << 24 | 0x7fc00000u);
    }
    return cvt_f32_f16(uint16_t(c << 8));  // E5M2 is the upper byte of an F16
}

__device__ __forceinline__ float decode_e8m0(uint32_t c) {
    return __uint_as_float(c == 0xff ? 0x7fc00000u : c == 0 ? 0x00400000u : c << 23);
}

__device__ __forceinline__ float decode_e2m1(uint32_t c) {
    // Magnitudes 0, 0.5, 1, 1.5, 2, 3, 4, 6: exponent and mantissa at the f32's place are the value times 2^-126.
    float magnitude = __fmul_rn(__uint_as_float((c & 7) << 22), 0x1p126f);
    return __uint_as_float((c & 8) << 28 | __float_as_uint(magnitude));
}

// Round to nearest even; every NaN gives 0x7f. Integer arithmetic as in Float8.encode: M mantissa bits, exponent bias BIAS,
// largest finite code MAX. Magnitudes that round beyond it, and infinities, get `beyond`.
template <int M, int BIAS, uint32_t MAX>
__device__ __forceinline__ uint32_t encode_fp8(float v, uint32_t beyond = MAX) {
    uint32_t u = __float_as_uint(v), sign = u >> 31 << 7, a = u & 0x7fffffffu;
    if (a > 0x7f800000u) {
        return 0x7f;
    }
    int exponent = int(a >> 23);
    uint32_t mantissa = a & 0x7fffff;
    if (exponent) {
        mantissa |= 0x800000;
    } else {
        exponent = 1;
    }
    int target = exponent - 127 < 1 - BIAS ? 1 - BIAS : exponent - 127;
    int shift = target - M - (exponent - 150);
    uint32_t q = 0;
    if (shift <= 25) {
        uint32_t half = 1u << (shift - 1), rest = mantissa & ((1u << shift) - 1);
        q = mantissa >> shift;
        q += rest > half || (rest == half && (q & 1));
    }
    uint32_t code = q ? (uint32_t(target + BIAS - 1) << M) + q : 0;
    return sign | (code > MAX ? beyond : code);
}

// `beyond`: 0x7e saturates, 0x7f is NaN.
__device__ __forceinline__ uint32_t encode_e4m3(float v, uint32_t beyond = 0x7e) {
    return encode_fp8<3, 7, 0x7e>(v, beyond);
}

// `beyond`: 0x7b saturates, 0x7c is infinity.
__device__ __forceinline__ uint32_t encode_e5m2(float v, uint32_t beyond = 0x7b) {
    return encode_fp8<2, 15, 0x7b>(v, beyond);
}

// The values of NF4, and of bitsandbytes' FP4, whose code 8 is -0.
#define LOWBIT_NF4 \
    0xbf800000, 0xbf3239b1, 0xbf066b30, 0xbeca32a0, 0xbe91a24d, 0xbe3d353f, 0xbdba7871, 0x00000000, \
    0x3da2faff, 0x3e24cae3, 0x3e7c04dd, 0x3ead033a, 0x3ee1a4b8, 0x3f1007ab, 0x3f3913b3, 0x3f800000
#define LOWBIT_FP4 \
    0x00000000, 0x3baaaaab, 0x3f2aaaab, 0x3f800000, 0x3eaaaaab, 0x3f000000, 0x3e2aaaab, 0x3e800000, \
    0x80000000, 0xbbaaaaab, 0xbf2aaaab, 0xbf800000, 0xbeaaaaab, 0xbf000000, 0xbe2aaaab, 0xbe800000

// Named as C names: the mangled name of an internal table would carry a hash of the source file into the PTX.
extern "C" __device__ const uint32_t lowbit_nf4[16] = {LOWBIT_NF4};
extern "C" __device__ const uint32_t lowbit_fp4[16] = {LOWBIT_FP4};

// The same for a code that the compiler knows.
__device__ __forceinline__ constexpr uint32_t nf4_bits(int code) {
    constexpr uint32_t bits[16] = {LOWBIT_NF4};
    return bits[code];
}

__device__ __forceinline__ constexpr uint32_t fp4_bits(int code) {
    constexpr uint32_t bits[16] = {LOWBIT_FP4};
    return bits[code];
}

}  // namespace lowbit
