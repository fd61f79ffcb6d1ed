// The arithmetic from the codes of a record (records.cuh) to halves and scales.
#pragma once
#include "weights.cuh"
#include "wgmma.cuh"

namespace lowbit {

// A CUtensorMap: how the copy engine reads x.
struct alignas(64) TensorMap {
    uint8_t bytes[128];
};

// The two 16-bit activation types.
struct Bf16 {
    static constexpr uint32_t TYPE = BF16, MAGIC = 0x43004300;  // 128
    static __device__ __forceinline__ uint32_t plus(uint32_t a, uint32_t b) { return add_bf16x2(a, b); }
    static __device__ __forceinline__ uint32_t times(uint32_t a, uint32_t b) { return mul_bf16x2(a, b); }
    static __device__ __forceinline__ uint32_t pair(float low, float high) { return cvt_rn_bf16x2_f32(low, high); }
    static __device__ __forceinline__ float low(uint32_t v) { return __uint_as_float(v << 16); }
    static __device__ __forceinline__ float high(uint32_t v) { return __uint_as_float(v & 0xffff0000u); }
    static __device__ __forceinline__ void mma(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
        const uint32_t b[2] = {b0, b1};
        mma_m16n8k16_bf16(d, a, b);
    }
    template <int N>
    static __device__ __forceinline__ void wgmma(float (&d)[N / 2], const uint32_t (&a)[4], uint64_t b, int accumulate) {
        Wgmma<N>::bf16(d, a, b, accumulate);
    }
};

struct Half {
    static constexpr uint32_t TYPE = F16, MAGIC = 0x64006400;  // 1024
    static __device__ __forceinline__ uint32_t plus(uint32_t a, uint32_t b) { return add_f16x2(a, b); }
    static __device__ __forceinline__ uint32_t times(uint32_t a, uint32_t b) { return mul_f16x2(a, b); }
    static __device__ __forceinline__ uint32_t pair(float low, float high) { return cvt_rn_f16x2_f32(low, high); }
    static __device__ __forceinline__ float low(uint32_t v) { return cvt_f32_f16(uint16_t(v)); }
    static __device__ __forceinline__ float high(uint32_t v) { return cvt_f32_f16(uint16_t(v >> 16)); }
    static __device__ __forceinline__ void mma(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
        const uint32_t b[2] = {b0, b1};
        mma_m16n8k16_f16(d, a, b);
    }
    template <int N>
    static __device__ __forceinline__ void wgmma(float (&d)[N / 2], const uint32_t (&a)[4], uint64_t b, int accumulate) {
        Wgmma<N>::f16(d, a, b, accumulate);
    }
};

// INT4: code − zero, exact in 16 bits. A code under the magic number is magic + code; `zero` holds −(magic + zero point) of
// rows g and g + 8, twice each.
template <class T>
__device__ __forceinline__ void unpack_int4(uint32_t (&a)[4], uint32_t word, const uint32_t (&zero)[2]) {
#pragma unroll
    for (int j = 0; j < 4; j++) {
        a[j] = T::plus(lop3_and_or(word >> 4 * j, 0x000f000fu, T::MAGIC), zero[j % 2]);
    }
}

template <class T>
__device__ __forceinline__ uint32_t minus_zero(uint32_t zero) {
    return (T::MAGIC | 0x80008000u) + zero * 0x10001u;
}

// Codebooks: the table of pairs lies 32 times in shared memory, one copy for each lane in its own bank.
__device__ __forceinline__ void unpack_table(uint32_t (&a)[4], uint32_t word, const uint8_t* table, uint32_t lane4) {
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const uint32_t at = (j == 0 ? word << 7 : word >> (8 * j - 7)) & 0x7f80u;
        a[j] = *reinterpret_cast<const uint32_t*>(table + (at | lane4));
    }
}

constexpr int TABLE_BYTES = 256 * 128;

// Fills the table of pairs: every warp makes a share of the entries.
template <class T>
__device__ __forceinline__ void spread_table(uint8_t* shared, uint32_t codebook, int warp, int warps, int lane) {
    for (int first = warp * 32; first < 256; first += warps * 32) {
        const uint32_t i = first + lane, pair = T::pair(codebook_value(codebook, i & 15), codebook_value(codebook, i >> 4));
        for (int j = 0; j < 32; j++) {
            reinterpret_cast<uint32_t*>(shared)[(first + j) * 32 + lane] = __shfl_sync(0xffffffffu, pair, j);
        }
    }
}

// The scales of a lane's two rows (g and g + 8 of a tile of 16) as f32. `at` is the first one's place in the record's order.
// NESTED: `absmax` of the two rows, `map` in shared memory.
template <ScaleMode MODE>
__device__ __forceinline__ float2 scale_pair(const W4& w, const uint8_t* scales, int at, float2 absmax, const float* map) {
    const uint32_t mode = w.scaleMode & MODE;
    if (MODE & SCALE_16 && (MODE == SCALE_16 || mode & SCALE_16)) {
        const uint32_t pair = reinterpret_cast<const uint32_t*>(scales)[at >> 1];
        return w.scaleMode & SCALE_BF16 ? float2{__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u)}
                                        : float2{cvt_f32_f16(uint16_t(pair)), cvt_f32_f16(uint16_t(pair >> 16))};
    }
    if (MODE & SCALE_F32 && ((MODE & ~(SCALE_16 | SCALE_F32)) == 0 || mode & SCALE_F32)) {
        return reinterpret_cast<const float2*>(scales)[at >> 1];
    }
    const uint32_t pair = reinterpret_cast<const uint16_t*>(scales)[at >> 1], low = pair & 0xff, high = pair >> 8;
    if (MODE & SCALE_NESTED && (MODE == SCALE_NESTED || mode & SCALE_NESTED)) {
        return float2{__fadd_rn(__fmul_rn(map[low], absmax.x), w.nestedOffset), __fadd_rn(__fmul_rn(map[high], absmax.y), w.nestedOffset)};
    }
    return MODE == SCALE_E8M0 || (MODE != SCALE_E4M3 && mode & SCALE_E8M0) ? float2{decode_e8m0(low), decode_e8m0(high)} : float2{decode_e4m3(low), decode_e4m3(high)};
}

// The absmax of nested scales for a lane's rows g and g + 8 of TILES tiles of 16, kept from record to record: it changes
// only every 256 blocks of the row-major matrix. K is a multiple of 128, so it never changes inside of a record.
template <int TILES>
struct NestedAbsmax {
    float2 value[TILES];
    int64_t until = -1;  // the column before which value holds

    __device__ __forceinline__ void move(const W4& w, int64_t row, int64_t column) {
        if (column >= until) {
            until = column + load(w, row, column);
        }
    }

    // Returns for how many columns it holds. Loops that count records ask only when those are over: 64-bit comparisons for
    // each record cost more than its scales.
    __device__ __forceinline__ int64_t load(const W4& w, int64_t row, int64_t column) {
        const int shift = w.blockShift + 8;
        int64_t left = w.k - column;
#pragma unroll
        for (int i = 0; i < TILES; i++) {
#pragma unroll
            for (int h = 0; h < 2; h++) {
                const int64_t r = row + i * 16 + h * 8, at = (r < w.n ? r : w.n - 1) * w.k + column;
                const float v = w.nestedAbsmax[at >> shift];
                (h ? value[i].y : value[i].x) = v;
                const int64_t rest = (int64_t(1) << shift) - (at & ((int64_t(1) << shift) - 1));
                left = rest < left ? rest : left;
            }
        }
        return left;
    }
};

// Two halves of a type as f32, and two f32 rounded to them.
__device__ __forceinline__ float2 floats(uint32_t pair, uint32_t type) {
    return type == F16 ? float2{cvt_f32_f16(uint16_t(pair)), cvt_f32_f16(uint16_t(pair >> 16))}
                       : float2{__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u)};
}

__device__ __forceinline__ uint32_t halves(float low, float high, uint32_t type) {
    return type == F16 ? cvt_rn_f16x2_f32(low, high) : cvt_rn_bf16x2_f32(low, high);
}

// 4 or 8 neighbouring rows of one token: put() for each, in one access of up to 16 bytes.
template <int ROWS>
__device__ __forceinline__ void put_rows(void* y, uint32_t yType, int64_t at, float (&v)[ROWS]) {
    struct alignas(2 * ROWS) Halves {
        uint32_t pair[ROWS / 2];
    };
    const uint32_t type = yType & ~ADD;
    if (type == F32) {
        float4* const p = reinterpret_cast<float4*>(static_cast<float*>(y) + at);
#pragma unroll
        for (int i = 0; i < ROWS / 4; i++) {
            float4 u = {v[4 * i], v[4 * i + 1], v[4 * i + 2], v[4 * i + 3]};
            if (yType & ADD) {
                const float4 old = p[i];
                u = float4{__fadd_rn(old.x, u.x), __fadd_rn(old.y, u.y), __fadd_rn(old.z, u.z), __fadd_rn(old.w, u.w)};
            }
            p[i] = u;
        }
    } else {
        Halves* const p = reinterpret_cast<Halves*>(static_cast<uint16_t*>(y) + at);
        if (yType & ADD) {
            const Halves old = *p;
#pragma unroll
            for (int i = 0; i < ROWS / 2; i++) {
                const float2 u = floats(old.pair[i], type);
                v[2 * i] = __fadd_rn(u.x, v[2 * i]);
                v[2 * i + 1] = __fadd_rn(u.y, v[2 * i + 1]);
            }
        }
        Halves h;
#pragma unroll
        for (int i = 0; i < ROWS / 2; i++) {
            h.pair[i] = halves(v[2 * i], v[2 * i + 1], type);
        }
        *p = h;
    }
}

}  // namespace lowbit
