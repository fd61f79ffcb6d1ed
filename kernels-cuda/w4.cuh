// The arithmetic from the codes of a record (records.cuh) to halves and scales.
#pragma once
#include "weights.cuh"
#include "wgmma.cuh"

namespace lowbit {

// Up to whole lines of 128 bytes: a bulk copy to a place that is not the start of one takes longer.
__device__ __forceinline__ uint32_t whole_lines(uint32_t bytes) {
    return (bytes + 127) & ~127u;
}

// A CUtensorMap: how the copy engine reads x.
struct alignas(64) TensorMap {
    uint8_t bytes[128];
};

// The two 16-bit activation types. E2M1_*: where unpack_e2m1 puts exponent and mantissa, and what makes the value of it.
struct Bf16 {
    static constexpr uint32_t TYPE = BF16, MAGIC = 0x43004300;  // 128
    static constexpr uint32_t E2M1_BITS = 0x01c001c0, E2M1_SHIFT = 6, E2M1_UNIT = 0x7e807e80;  // 2^126
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
    static constexpr uint32_t E2M1_BITS = 0x0e000e00, E2M1_SHIFT = 9, E2M1_UNIT = 0x74007400;  // 2^14
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

// The same with one shift instead of three, code − zero times CODE_STEP of the type (a power of two: exact). The two codes of a
// byte are taken where they are.
//
// BF16: subnormals and the first binade above have the same step, 2^-133, so the low 8 bits of a half are a number as they
// are; one fma brings it to 2^-6 a step and takes the zero point off. F16: 4 bits further up are a step of 1 under a smaller
// magic number. `zero` comes from zero_step: of rows g and g + 8.
template <class T>
constexpr float CODE_STEP = T::TYPE == BF16 ? 0x1p-6f : 1.f;

template <class T>
__device__ __forceinline__ void unpack_codes(uint32_t (&a)[4], uint32_t word, const uint32_t (&zero)[2]) {
    const uint32_t upper = word >> 8;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const uint32_t from = j < 2 ? word : upper;
        if (T::TYPE == BF16) {
            a[j] = fma_bf16x2(from & (j % 2 ? 0x00f000f0u : 0x000f000fu), j % 2 ? 0x7d007d00u : 0x7f007f00u, zero[j % 2]);  // 2^123, 2^127
        } else {
            a[j] = add_f16x2(lop3_and_or(from, j % 2 ? 0x00f000f0u : 0x000f000fu, j % 2 ? 0x54005400u : 0x64006400u), zero[j % 2]);  // 64, 1024
        }
    }
}

// −zero of row g (0) or g + 8 (1), zero < 64.
template <class T>
__device__ __forceinline__ uint32_t zero_step(uint32_t zero, int row) {
    if (T::TYPE == BF16) {
        return mul_bf16x2(zero * 0x10001u, 0xff00ff00u);  // −2^127
    }
    return row ? 0xd400d400u + zero * 0x100010u : 0xe400e400u + zero * 0x10001u;
}

// BF16 without zero points: (code − 8) times its scale, times FOLDED_STEP. The fma that takes the 8 off multiplies with the scale too: rounded
// once, to what a product of both would be. Scales of F16 are all small enough for that, those of BF16 below 2^17.
constexpr float FOLDED_STEP = 0x1p-22f;

template <class T, ScaleMode MODE, bool TABLE, bool ZEROS>
constexpr bool FOLDED = T::TYPE == BF16 && MODE == SCALE_16 && !TABLE && !ZEROS;

// Of rows g and g + 8, whose codes lie 4 bits higher.
__device__ __forceinline__ void fold_scale(uint32_t (&factor)[2], uint32_t (&addend)[2], float2 scale) {
    const float low = __fmul_rn(scale.x, 0x1p111f), high = __fmul_rn(scale.y, 0x1p107f);
    factor[0] = cvt_rn_bf16x2_f32(low, low);
    factor[1] = cvt_rn_bf16x2_f32(high, high);
    addend[0] = mul_bf16x2(factor[0], 0x80088008u);  // −2^-130, a subnormal
    addend[1] = mul_bf16x2(factor[1], 0x80808080u);  // −2^-126
}

__device__ __forceinline__ void unpack_folded(uint32_t (&a)[4], uint32_t word, const uint32_t (&factor)[2], const uint32_t (&addend)[2]) {
    const uint32_t upper = word >> 8;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        a[j] = fma_bf16x2((j < 2 ? word : upper) & (j % 2 ? 0x00f000f0u : 0x000f000fu), factor[j % 2], addend[j % 2]);
    }
}

// MXFP4 and NVFP4. E2M1's exponent and mantissa at the place of T's lowest bits of exponent and highest of mantissa are the value over
// E2M1_UNIT, subnormals included. `low` and `high`, of rows g and g + 8, twice each: E2M1_UNIT, or that times a scale.
template <class T>
__device__ __forceinline__ void unpack_e2m1(uint32_t (&a)[4], uint32_t word, uint32_t low, uint32_t high) {
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const int left = int(T::E2M1_SHIFT) - 4 * j;
        const uint32_t magnitude = left > 0 ? word << (left > 0 ? left : 0) : word >> (left > 0 ? 0 : -left), sign = word << (12 - 4 * j);
        a[j] = T::times(lop3_and_or(magnitude, T::E2M1_BITS, sign & 0x80008000u), j % 2 ? high : low);
    }
}

// Scales that go into E2M1's weights before these are multiplied, exactly: there are 5 bits of mantissa at most (NVFP4), or the range
// of the scale is T's own (MXFP4 with BF16).
template <class T, ScaleMode MODE>
constexpr bool E2M1_SCALED = MODE == SCALE_E4M3 || (MODE == SCALE_E8M0 && T::TYPE == BF16);

// What such sums are multiplied by: an E4M3 times BF16's E2M1_UNIT would be too large.
template <ScaleMode MODE>
constexpr float E2M1_SUMS = MODE == SCALE_E4M3 ? 128.f : 1.f;

// Factors of unpack_e2m1 from the scales of rows g and g + 8, two bytes: the four lanes that share rows make them in turns, and
// spread_factors sends a pair to all of them, each factor twice.

// E4M3: times E2M1_UNIT over E2M1_SUMS.
template <class T>
__device__ __forceinline__ uint32_t e4m3_factors(uint32_t pair) {
    const uint32_t both = cvt_rn_f16x2_e4m3x2(pair);
    return T::TYPE == BF16 ? T::times(T::pair(cvt_f32_f16(uint16_t(both)), cvt_f32_f16(uint16_t(both >> 16))), 0x7b007b00u)  // 2^119
                           : T::times(both, 0x58005800u);                                                                    // 2^7
}

// E8M0, for BF16: times E2M1_UNIT, which has the exponent s + 126. Of scales above 2 that is too large: they take 2 here, and the
// rest by e8m0_rest.
__device__ __forceinline__ uint32_t e8m0_factors(uint32_t pair) {
    return __vminu2(__byte_perm(pair, 0, 0x4140), 0x00800080u) * 128 + 126 * 0x00800080u;
}

// 2^(s − 128), for 255 not a number; 1 where nothing is left.
__device__ __forceinline__ uint32_t e8m0_rest(uint32_t pair) {
    const uint32_t low = pair & 0xff, high = pair >> 8;
    return (low == 255 ? 0x7fc0 : ((low > 128 ? low : 128) - 1) << 7) | (high == 255 ? 0x7fc0 : ((high > 128 ? high : 128) - 1) << 7) << 16;
}

// True where any lane has one above 2, or 2.
__device__ __forceinline__ bool any_large_e8m0(uint32_t scales) {
    return __any_sync(0xffffffffu, scales & 0x80808080u);
}

__device__ __forceinline__ void spread_factors(uint32_t (&factor)[2], uint32_t made, int lane) {
    const uint32_t both = __shfl_sync(0xffffffffu, made, lane);
    factor[0] = __byte_perm(both, 0, 0x1010);
    factor[1] = __byte_perm(both, 0, 0x3232);
}

// Registers of a step times what is left of their scales.
template <class T>
__device__ __forceinline__ void scale_rest(uint32_t (&a)[4], uint32_t made, int lane) {
    uint32_t rest[2];
    spread_factors(rest, made, lane);
#pragma unroll
    for (int j = 0; j < 4; j++) {
        a[j] = T::times(a[j], rest[j % 2]);
    }
}

// Codebooks: the table of pairs lies 32 times in shared memory, one copy for each lane in its own bank. What an address costs is
// what a lookup costs, so entries lie where byte permutations alone make the address of byte j of a word:
//
//   WIDE    entry e at 256·e + 4·lane, 64 KB of which half are unused: (e, 4·lane) in one permutation
//   else    entry e at 256·(e % 128) + 128·(e / 128) + 4·lane, 32 KB: (e % 128, its highest bit │ 4·lane), the two bytes masked for a word at once
template <bool WIDE = false>
__device__ __forceinline__ void unpack_table(uint32_t (&a)[4], uint32_t word, const uint8_t* table, uint32_t lane4) {
    const uint32_t upper = word & 0x7f7f7f7fu, lower = lop3_and_or(word, 0x80808080u, lane4 * 0x01010101u);
#pragma unroll
    for (int j = 0; j < 4; j++) {
        // 8 + j: the sign of byte j eight times, which is zero.
        const uint32_t at = WIDE ? __byte_perm(word, lane4, 0x5504 | j << 4) : prmt(upper, lower, 0x8804 + 0x1111 * j);
        a[j] = *reinterpret_cast<const uint32_t*>(table + at);
    }
}

template <bool WIDE>
constexpr int TABLE_SIZE = 256 * (WIDE ? 256 : 128);
constexpr int TABLE_BYTES = TABLE_SIZE<false>;

// Fills the table of pairs: every warp makes a share of the entries. The values of the 16 codes come from instructions: a kernel that
// begins would wait for memory.
template <class T, bool WIDE = false>
__device__ __forceinline__ void spread_table(uint8_t* shared, uint32_t codebook, int warp, int warps, int lane) {
    float value = 0.f;
#pragma unroll
    for (int code = 0; code < 16; code++) {
        value = lane % 16 == code ? __uint_as_float(codebook == CODEBOOK_NF4 ? nf4_bits(code) : fp4_bits(code)) : value;
    }
    for (int first = warp * 32; first < 256; first += warps * 32) {
        const uint32_t pair = T::pair(value, __shfl_sync(0xffffffffu, value, first / 16 + lane / 16));
#pragma unroll
        for (int j = 0; j < 32; j += 4) {
            const int entry = first + j + lane / 8;
            const uint32_t p = __shfl_sync(0xffffffffu, pair, j + lane / 8);
            reinterpret_cast<uint4*>(shared)[(WIDE ? entry * 16 : entry % 128 * 16 + entry / 128 * 8) + lane % 8] = uint4{p, p, p, p};
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

// Nested scales of one tile of 16 rows, in the record's order: lane l makes those of row l % 16 / 2 + l % 2 * 8 (of group l / 16, or that
// and two more), once for the four lanes that want each. The absmax of what comes next is fetched with that of what is, so that
// nobody waits for one.
struct NestedLane {
    float value = 0.f, next = 0.f;
    uint32_t after = 0;  // the index of next
    int until = 0;       // the record of the row before which value holds

    __device__ __forceinline__ float fetch(const W4& w, uint32_t index) const {
        const uint32_t last = uint32_t((w.n * w.k - 1) >> (w.blockShift + 8));
        return w.nestedAbsmax[index < last ? index : last];
    }

    // From a record of the row on; `firstRow` of the tile.
    __device__ __forceinline__ void begin(const W4& w, int64_t firstRow, int lane, int record) {
        const int shift = w.blockShift + 8;
        const int64_t row = firstRow + lane % 16 / 2 + lane % 2 * 8, at = (row < w.n ? row : w.n - 1) * w.k + int64_t(record) * SPAN;
        after = uint32_t(at >> shift) + 1;
        value = fetch(w, after - 1);
        next = fetch(w, after);
        until = record + int(((int64_t(after) << shift) - at) / SPAN);
    }

    __device__ __forceinline__ void move(const W4& w, int record) {
        while (record >= until) {
            value = next;
            next = fetch(w, ++after);
            until += (1 << (w.blockShift + 8)) / SPAN;
        }
    }

    // The scale of a code, both at shared addresses.
    __device__ __forceinline__ float scale(const W4& w, uint32_t code, uint32_t map) const {
        return __fadd_rn(__fmul_rn(__uint_as_float(load_shared1(map + load_shared_u8(code) * 4)), value), w.nestedOffset);
    }
};

// The same for four tiles, for a kernel with few records of many rows: what is next is not fetched ahead.
struct NestedLanes {
    float value[4] = {};
    int until = 0;

    __device__ __forceinline__ void move(const W4& w, int64_t firstRow, int lane, int record) {
        if (record >= until) {
            const int shift = w.blockShift + 8;
            int left = 1 << 30;
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int64_t row = firstRow + i * 16 + lane % 16 / 2 + lane % 2 * 8, at = (row < w.n ? row : w.n - 1) * w.k + int64_t(record) * SPAN;
                value[i] = w.nestedAbsmax[at >> shift];
                const int rest = ((1 << shift) - int(at & ((1 << shift) - 1))) / SPAN;
                left = rest < left ? rest : left;
            }
            until = record + left;
        }
    }
};

// Scales of a record with blocks of 64 columns, four neighbours in its order for each lane: bytes 4·lane … 4·lane + 3. Nothing is kept from
// record to record.
struct NestedQuad {
    // Where the absmax of scale i lies.
    static __device__ __forceinline__ const float* absmax(const W4& w, uint32_t band, int lane, uint32_t record, int i) {
        const uint32_t row = band * BAND + lane % 16 / 4 * 16 + lane % 4 * 2 + i / 2 + i % 2 * 8, last = uint32_t(w.n) - 1;
        return w.nestedAbsmax + (((row < last ? row : last) * w.spans + record) >> (w.blockShift + 8 - 7));  // K is a multiple of 128
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
