// ggml's blocks as GGUF files hold them (io.lowbit.format.GgmlBlock describes each), and 8-bit integers with a scale a row.
// Every type has value(matrix, row, col) like those of weights.cuh, with the same bits as the Java code.
#pragma once
#include "weights.cuh"

namespace lowbit {

// Named as a C name, as the tables of scalar.cuh.
extern "C" __constant__ const int8_t lowbit_iq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// Blocks may begin at any even byte.
__device__ __forceinline__ float half_at(const uint8_t* p) {
    return f16_to_f32(*reinterpret_cast<const uint16_t*>(p));
}

__device__ __forceinline__ uint32_t word_at(const uint8_t* p) {
    const uint16_t* h = reinterpret_cast<const uint16_t*>(p);
    return h[0] | uint32_t(h[1]) << 16;
}

// Nibbles of 32: element j in the low half of byte j, j+16 in the high one.
__device__ __forceinline__ uint32_t split(const uint8_t* p, uint32_t i) {
    return p[i & 15] >> (i >> 4) * 4 & 15;
}

// Nibbles of 256 in chunks of 64: element l of a chunk in the low half of byte l, l+32 in the high one.
__device__ __forceinline__ uint32_t chunk(const uint8_t* p, uint32_t i) {
    return p[32 * (i >> 6) + (i & 31)] >> (i >> 5 & 1) * 4 & 15;
}

__device__ __forceinline__ uint32_t scale6(const uint8_t* s, uint32_t j) {
    return j < 4 ? s[j] & 63 : (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
}

__device__ __forceinline__ uint32_t minimum6(const uint8_t* s, uint32_t j) {
    return j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | (s[j] >> 6) << 4;
}

// A format: block length and bytes, and at(block, element).
struct Q4_1 {
    enum { ELEMENTS = 32, BYTES = 20 };
    static __device__ __forceinline__ float at(const uint8_t* b, uint32_t i) {
        return __fadd_rn(times(half_at(b), float(split(b + 4, i))), half_at(b + 2));
    }
};

struct Q5_0 {
    enum { ELEMENTS = 32, BYTES = 22 };
    static __device__ __forceinline__ float at(const uint8_t* b, uint32_t i) {
        int q = int(split(b + 6, i) | (word_at(b + 2) >> i & 1) << 4) - 16;
        return times(half_at(b), float(q));
    }
};

struct Q5_1 {
    enum { ELEMENTS = 32, BYTES = 24 };
    static __device__ __forceinline__ float at(const uint8_t* b, uint32_t i) {
        uint32_t q = split(b + 8, i) | (word_at(b + 4) >> i & 1) << 4;
        return __fadd_rn(times(half_at(b), float(q)), half_at(b + 2));
    }
};

struct Q8_0 {
    enum { ELEMENTS = 32, BYTES = 34 };
    static __device__ __forceinline__ float at(const uint8_t* b, uint32_t i) {
        return times(half_at(b), float(int8_t(b[2 + i])));
    }
};

// Q4_K and Q5_K: the latter has 32 bytes of fifth bits before the nibbles.
template <bool Five>
struct Qk {
    enum { ELEMENTS = 256, BYTES = Five ? 176 : 144 };
    static __device__ __forceinline__ float at(const uint8_t* b, uint32_t i) {
        uint32_t part = i >> 5;
        uint32_t q = chunk(b + (Five ? 48 : 16), i);
        if (Five) {
            q |= (b[16 + (i & 31)] >> part & 1) << 4;
        }
        float factor = times(half_at(b), float(scale6(b + 4, part)));
        float minimum = times(half_at(b + 2), float(minimum6(b + 4, part)));
        return __fadd_rn(times(factor, float(q)), -minimum);
    }
};

struct Q6_K {
    enum { ELEMENTS = 256, BYTES = 210 };
    static __device__ __forceinline__ float at(const uint8_t* b, uint32_t i) {
        uint32_t half = i >> 7, l = i & 31, quarter = i >> 5 & 3;
        uint32_t low = b[64 * half + l + 32 * (quarter & 1)] >> (quarter & 2) * 2 & 15;
        uint32_t high = b[128 + 32 * half + l] >> 2 * quarter & 3;
        float factor = times(half_at(b + 208), float(int8_t(b[192 + (i >> 4)])));
        return times(factor, float(int(low | high << 4) - 32));
    }
};

struct Iq4Nl {
    enum { ELEMENTS = 32, BYTES = 18 };
    static __device__ __forceinline__ float at(const uint8_t* b, uint32_t i) {
        return times(half_at(b), float(lowbit_iq4[split(b + 2, i)]));
    }
};

struct Iq4Xs {
    enum { ELEMENTS = 256, BYTES = 136 };
    static __device__ __forceinline__ float at(const uint8_t* b, uint32_t i) {
        uint32_t part = i >> 5;
        uint32_t high = *reinterpret_cast<const uint16_t*>(b + 2) >> 2 * part & 3;
        uint32_t low = b[4 + (part >> 1)] >> 4 * (part & 1) & 15;
        float factor = times(half_at(b), float(int(low | high << 4) - 32));
        return times(factor, float(lowbit_iq4[split(b + 8 + 16 * part, i & 31)]));
    }
};

template <class F>
struct Ggml {
    static __device__ __forceinline__ float value(const Matrix& w, uint32_t row, uint32_t col) {
        int64_t block = int64_t(row) * (w.k / F::ELEMENTS) + col / F::ELEMENTS;
        return F::at(w.codes + block * F::BYTES, col % F::ELEMENTS);
    }
};

struct Int8 {
    static __device__ __forceinline__ float value(const Matrix& w, uint32_t row, uint32_t col) {
        return times(float(int8_t(w.codes[int64_t(row) * w.k + col])), static_cast<const float*>(w.scales)[row]);
    }
};

}  // namespace lowbit

#undef LOWBIT_SCHEMES
#define LOWBIT_SCHEMES(X)                            \
    X(int8_row, lowbit::Int8)                        \
    X(q4_1_block, lowbit::Ggml<lowbit::Q4_1>)        \
    X(q5_0_block, lowbit::Ggml<lowbit::Q5_0>)        \
    X(q5_1_block, lowbit::Ggml<lowbit::Q5_1>)        \
    X(q8_0_block, lowbit::Ggml<lowbit::Q8_0>)        \
    X(q4_k_block, lowbit::Ggml<lowbit::Qk<false>>)   \
    X(q5_k_block, lowbit::Ggml<lowbit::Qk<true>>)    \
    X(q6_k_block, lowbit::Ggml<lowbit::Q6_K>)        \
    X(iq4_nl_block, lowbit::Ggml<lowbit::Iq4Nl>)     \
    X(iq4_xs_block, lowbit::Ggml<lowbit::Iq4Xs>)
