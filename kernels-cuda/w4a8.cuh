// What the products of INT4 weights and 8-bit activations on Hopper share: arguments, and the codes of a record (records.cuh)
// as the tensor cores' 8-bit operands.
//
// Activations lie as Fp8Activations.java says, the columns of every 16 interleaved: 0 8 1 9 2 10 … 7 15. In that order a word of a
// record, two neighbours along K of rows g and g+8 and the two 8 columns on, is four neighbours of row g (even nibbles) and four
// of row g+8 (odd nibbles). Sums do not depend on the order, so W4A16 and W4A8 read the same records.
#pragma once
#include "hopper.cuh"
#include "weights.cuh"
#include "wgmma_a8.cuh"

namespace lowbit {

constexpr int STEP_K = 128;  // bytes along K of a stage: one row of the 128-byte swizzle, one record

struct W4a8Product {
    const float* xScales;  // of row m: xScales[m·xScaleRow]
    const void* bias;      // null for none
    void* y;
    uint32_t biasType;
    uint32_t yType;
    uint32_t m;
    uint32_t xScaleRow;
};

// Four weights of a byte each, in nibbles `odd` of a word: code − zero. SYMMETRIC: zero is 8; else `zero` holds it four times.
//
// E4M3: a byte 0 … 15 is that number times 2⁻⁹, so the magnitude needs no conversion, only its sign beside it.
struct E4m3Weights {
    using Sum = float;
    static constexpr float UNIT = 512.f;          // times a product
    static constexpr float SYMMETRIC_UNIT = 512.f;

    template <bool SYMMETRIC>
    static __device__ __forceinline__ uint32_t convert(uint32_t word, bool odd, uint32_t zero) {
        const uint32_t codes = (odd ? word >> 4 : word) & 0x0f0f0f0fu;
        if (SYMMETRIC) {
            return __vabsdiffu4(codes, 0x08080808u) | (~(odd ? word : word << 4) & 0x80808080u);
        }
        return __vabsdiffu4(codes, zero) | (~((codes | 0x80808080u) - zero) & 0x80808080u);
    }

    static __device__ __forceinline__ float add(float part, float scale, float sum) { return __fmaf_rn(part, scale, sum); }
};

// s8. SYMMETRIC: sixteen times the weight.
struct S8Weights {
    using Sum = int32_t;
    static constexpr float UNIT = 1.f;
    static constexpr float SYMMETRIC_UNIT = 0.0625f;

    template <bool SYMMETRIC>
    static __device__ __forceinline__ uint32_t convert(uint32_t word, bool odd, uint32_t zero) {
        if (SYMMETRIC) {
            return ((odd ? word : word << 4) & 0xf0f0f0f0u) ^ 0x80808080u;
        }
        return ((((odd ? word >> 4 : word) & 0x0f0f0f0fu) | 0x80808080u) - zero) ^ 0x80808080u;
    }

    // A sum of 128 is exact in f32.
    static __device__ __forceinline__ float add(int32_t part, float scale, float sum) { return __fmaf_rn(__int2float_rn(part), scale, sum); }
};

// The operand of a warp for 32 columns from two words of neighbouring steps of 16.
template <class T, bool SYMMETRIC>
__device__ __forceinline__ void fragment(uint32_t (&a)[4], uint32_t first, uint32_t second, const uint32_t (&zero)[2]) {
    a[0] = T::template convert<SYMMETRIC>(first, false, zero[0]);
    a[1] = T::template convert<SYMMETRIC>(first, true, zero[1]);
    a[2] = T::template convert<SYMMETRIC>(second, false, zero[0]);
    a[3] = T::template convert<SYMMETRIC>(second, true, zero[1]);
}

// The operands of all of a record's 128 columns; `codes` is the lane's first 16 bytes there.
template <class T, bool SYMMETRIC>
__device__ __forceinline__ void fragments(uint32_t (&a)[4][4], const uint8_t* codes, const uint32_t (&zero)[2]) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const uint4 c = *reinterpret_cast<const uint4*>(codes + half * (CODE_BYTES / 2));
        fragment<T, SYMMETRIC>(a[2 * half], c.x, c.y, zero);
        fragment<T, SYMMETRIC>(a[2 * half + 1], c.z, c.w, zero);
    }
}

// Scales of the lane's rows g and g + 8; one group in a record, or 1 where a row has one scale and that waits for the sum.
__device__ __forceinline__ float2 scales_of(const W4& w, const uint8_t* record, int lanePair) {
    if (!w.groups) {
        return float2{1.f, 1.f};
    }
    const uint32_t pair = *reinterpret_cast<const uint32_t*>(record + CODE_BYTES + lanePair * 2);
    return w.scaleMode & SCALE_BF16 ? float2{__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u)}
                                    : float2{cvt_f32_f16(uint16_t(pair)), cvt_f32_f16(uint16_t(pair >> 16))};
}

template <bool SYMMETRIC>
__device__ __forceinline__ void zeros_of(uint32_t (&zero)[2], const W4& w, const uint8_t* record, int lanePair) {
    if (!SYMMETRIC) {
        const uint32_t pair = *reinterpret_cast<const uint16_t*>(record + w.zeroOffset + lanePair);
        zero[0] = (pair & 0xff) * 0x01010101u;
        zero[1] = (pair >> 8) * 0x01010101u;
    }
}

__device__ __forceinline__ uint32_t pack16(float low, float high, uint32_t type) {
    return type == BF16 ? cvt_rn_bf16x2_f32(low, high) : cvt_rn_f16x2_f32(low, high);
}

}  // namespace lowbit
