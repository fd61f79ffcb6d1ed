// What the products of INT4 weights and 8-bit activations on Hopper share: arguments, and the codes of a record (records.cuh)
// as the tensor cores' 8-bit operands.
//
// Activations lie as Fp8Activations.java says, the columns of every 16 interleaved: 0 8 1 9 2 10 … 7 15. In that order a word of a
// record, two neighbours along K of rows g and g+8 and the two 8 columns on, is four neighbours of row g (even nibbles) and four
// of row g+8 (odd nibbles). Sums do not depend on the order, so W4A16 and W4A8 read the same records.
#pragma once
#include "arrive.cuh"
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
    static constexpr float UNIT = 512.f, SYMMETRIC_UNIT = 512.f;  // what a product is to be multiplied with

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
    static constexpr float UNIT = 1.f, SYMMETRIC_UNIT = 0.0625f;

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

// Space for a record with 16-bit scales and zero points: bulk copies are slower to places that do not begin on a line of 128 bytes.
template <int GROUPS>
constexpr int RECORD_SPACE = (CODE_BYTES + GROUPS * BAND * 3 + 127) / 128 * 128;

// Where a lane finds its part of a record, from the record's beginning on.
struct RecordOffsets {
    uint32_t codes, scales, zeros;  // zeros: less W4::zeroOffset

    // `quarter`: 16 of the record's rows.
    __device__ __forceinline__ RecordOffsets(int quarter, int lane)
        : codes((quarter * 32 + lane) * 16), scales(CODE_BYTES + (quarter * 16 + lane / 4 * 2) * 2), zeros(quarter * 16 + lane / 4 * 2) {}
};

// What a lane needs of a record of GROUPS groups along K.
template <int GROUPS>
struct RecordPart {
    uint4 codes[2];           // of the two halves of its columns
    uint32_t scales[GROUPS];  // of rows g and g + 8
    uint32_t zeros[GROUPS];

    // Not SYMMETRIC: with zero points, or 8 for all where the record has none.
    template <bool SYMMETRIC>
    static __device__ __forceinline__ RecordPart of(const W4& w, const uint8_t* record, const RecordOffsets& at) {
        const uint8_t* const codes = record + at.codes;
        RecordPart part = {{*reinterpret_cast<const uint4*>(codes), *reinterpret_cast<const uint4*>(codes + CODE_BYTES / 2)}};
#pragma unroll
        for (int q = 0; q < GROUPS; q++) {
            part.scales[q] = *reinterpret_cast<const uint32_t*>(record + at.scales + q * BAND * 2);
            part.zeros[q] = SYMMETRIC ? 0u : *reinterpret_cast<const uint16_t*>(record + at.zeros + w.zeroOffset + q * BAND);
            if (GROUPS > 1 && !SYMMETRIC && w.zeroOffset == 0) {
                part.zeros[q] = 0x0808u;
            }
        }
        return part;
    }

    // The operands of the record's 128 columns.
    template <class T, bool SYMMETRIC>
    __device__ __forceinline__ void convert(uint32_t (&a)[4][4]) const {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            convert<T, SYMMETRIC>(a[i], i);
        }
    }

    // Those of the i-th 32.
    template <class T, bool SYMMETRIC>
    __device__ __forceinline__ void convert(uint32_t (&a)[4], int i) const {
        const uint32_t pair = zeros[i * GROUPS / 4], zero[2] = {(pair & 0xff) * 0x01010101u, (pair >> 8) * 0x01010101u};
        const uint4& c = codes[i / 2];
        fragment<T, SYMMETRIC>(a, i % 2 ? c.z : c.x, i % 2 ? c.w : c.y, zero);
    }
};

// Scales of the lane's rows g and g + 8 from their pair in the record; 1 where a row has one scale and that waits for the sum.
__device__ __forceinline__ float2 scales_of(const W4& w, uint32_t pair) {
    const bool bf16 = w.scaleMode & SCALE_BF16;
    const float low = bf16 ? __uint_as_float(pair << 16) : cvt_f32_f16(uint16_t(pair));
    const float high = bf16 ? __uint_as_float(pair & 0xffff0000u) : cvt_f32_f16(uint16_t(pair >> 16));
    return w.groups ? float2{low, high} : float2{1.f, 1.f};
}

__device__ __forceinline__ uint32_t pack16(float low, float high, uint32_t type) {
    return type == BF16 ? cvt_rn_bf16x2_f32(low, high) : cvt_rn_f16x2_f32(low, high);
}

}  // namespace lowbit
