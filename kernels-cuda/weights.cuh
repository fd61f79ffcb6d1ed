// The weight matrix in its canonical layout (io.lowbit.quant.QuantizedMatrix) and the one definition of a weight's
// value on the device. Every kernel reads weights through value(); the dequantize test holds it to the Java code bit
// for bit, so what it shows holds for the products too.
#pragma once
#include "records.cuh"

namespace lowbit {

// Passed by value; io.lowbit.cuda.kernels.MatrixArgument writes the same 96 bytes.
struct Matrix {
    const uint8_t* codes;        //  0
    const void* scales;          //  8  null for dense matrices and nested scales
    const uint8_t* zeros;        // 16  null for a symmetric scheme
    const uint8_t* nestedCodes;  // 24
    const float* nestedAbsmax;   // 32
    const void* nestedMap;       // 40  float map of nested scales; INT4: int32 group of each column, or null where in order;
                                 //     INT4 in records: int32 original column of each column, or null where in order
    int64_t n;                   // 48
    int64_t k;                   // 56
    int64_t scaleCols;           // 64  columns of the scale grid
    uint32_t groupRows;          // 72  rows that share a scale
    uint32_t groupCols;          // 76  columns that share a scale
    uint32_t scaleType;          // 80  INT4: Type; NVFP4: 1 where block scales are divided by tensorScale, not multiplied; 8-bit floats: 1
                                 //     where scales are E8M0 (MXFP8), not f32
    uint32_t blockShift;         // 84  bitsandbytes: log2 of the block
    float nestedOffset;          // 88
    float tensorScale;           // 92  NVFP4
};
static_assert(sizeof(Matrix) == 96, "MatrixArgument.java writes 96 bytes");

__device__ __forceinline__ uint32_t nibble(const uint8_t* codes, int64_t rowBytes, uint32_t row, uint32_t col) {
    uint32_t pair = codes[int64_t(row) * rowBytes + (col >> 1)];
    return col & 1 ? pair >> 4 : pair & 15;
}

// Each scheme is a type with value(matrix, row, col), for row < n and col < k.

struct Int4 {
    static __device__ __forceinline__ float value(const Matrix& w, uint32_t row, uint32_t col) {
        int q = nibble(w.codes, (w.k + 1) >> 1, row, col);
        uint32_t gridRow = row / w.groupRows;
        uint32_t group = w.nestedMap ? static_cast<const uint32_t*>(w.nestedMap)[col] : col / w.groupCols;
        int zero = 8;
        if (w.zeros) {
            zero = nibble(w.zeros, (w.scaleCols + 1) >> 1, gridRow, group);
        }
        return times(float(q - zero), load(w.scales, w.scaleType, int64_t(gridRow) * w.scaleCols + group));
    }
};

template <bool Nf4>
struct Bnb4 {
    static __device__ __forceinline__ float value(const Matrix& w, uint32_t row, uint32_t col) {
        int64_t i = int64_t(row) * w.k + col;
        uint32_t pair = w.codes[i >> 1];
        uint32_t q = i & 1 ? pair & 15 : pair >> 4;  // the even element is in the high nibble
        int64_t block = i >> w.blockShift;
        float absmax;
        if (w.nestedCodes) {
            absmax = __fadd_rn(__fmul_rn(static_cast<const float*>(w.nestedMap)[w.nestedCodes[block]], w.nestedAbsmax[block >> 8]), w.nestedOffset);
        } else {
            absmax = static_cast<const float*>(w.scales)[block];
        }
        return times(__uint_as_float((Nf4 ? lowbit_nf4 : lowbit_fp4)[q]), absmax);
    }
};

struct Mxfp4 {
    static __device__ __forceinline__ float value(const Matrix& w, uint32_t row, uint32_t col) {
        uint32_t scale = static_cast<const uint8_t*>(w.scales)[int64_t(row) * w.scaleCols + (col >> 5)];
        return times(decode_e2m1(nibble(w.codes, (w.k + 1) >> 1, row, col)), decode_e8m0(scale));
    }
};

struct Nvfp4 {
    static __device__ __forceinline__ float value(const Matrix& w, uint32_t row, uint32_t col) {
        const float block = decode_e4m3(static_cast<const uint8_t*>(w.scales)[int64_t(row) * w.scaleCols + (col >> 4)]);
        const float scale = w.scaleType ? __fdiv_rn(block, w.tensorScale) : times(w.tensorScale, block);
        return times(decode_e2m1(nibble(w.codes, (w.k + 1) >> 1, row, col)), scale);
    }
};

// The same schemes in records.
struct RecordInt4 {
    static __device__ __forceinline__ float value(const Matrix& m, uint32_t row, uint32_t col) {
        const W4 w(m);
        const RecordPlace at(w.spans, w.recordBytes, w.groups, false, row, col);
        const uint8_t* record = w.records + at.record;
        const int q = *reinterpret_cast<const uint32_t*>(record + at.word) >> at.shift & 15;
        if (w.rowScales) {
            return times(float(q - 8), w.rowScales[row]);
        }
        const int zero = w.zeroOffset ? record[w.zeroOffset + at.scale] : 8;
        const uint32_t type = w.scaleMode & SCALE_F32 ? F32 : w.scaleMode & SCALE_F16 ? F16 : BF16;
        return times(float(q - zero), load(record + CODE_BYTES, type, at.scale));
    }
};

// The original column of what value() calls column col.
template <class S>
__device__ __forceinline__ uint32_t column(const Matrix& w, uint32_t col) {
    return col;
}

template <>
__device__ __forceinline__ uint32_t column<RecordInt4>(const Matrix& w, uint32_t col) {
    return w.nestedMap ? static_cast<const uint32_t*>(w.nestedMap)[col] : col;
}

template <Codebook C>
struct RecordTable {
    static __device__ __forceinline__ float value(const Matrix& m, uint32_t row, uint32_t col) {
        const W4 w(m);
        const RecordPlace at(w.spans, w.recordBytes, w.groups, C != CODEBOOK_E2M1, row, col);
        const uint8_t* record = w.records + at.record;
        const float v = codebook_value(C, *reinterpret_cast<const uint32_t*>(record + at.word) >> at.shift & 15);
        const uint8_t* scales = record + CODE_BYTES;
        if (C == CODEBOOK_E2M1) {
            if (w.scaleMode & SCALE_E8M0) {
                return times(v, decode_e8m0(scales[at.scale]));
            }
            const float block = decode_e4m3(scales[at.scale]);
            return times(v, m.scaleType >> 12 & 1 ? __fdiv_rn(block, m.tensorScale) : times(m.tensorScale, block));
        }
        if (w.scaleMode & SCALE_F32) {
            return times(v, reinterpret_cast<const float*>(scales)[at.scale]);
        }
        const float absmax = w.nestedAbsmax[(int64_t(row) * w.k + col) >> w.blockShift >> 8];
        return times(v, __fadd_rn(__fmul_rn(w.nestedMap[scales[at.scale]], absmax), w.nestedOffset));
    }
};

// FP8 with f32 scales and MXFP8.
template <bool E4m3>
struct Fp8 {
    static __device__ __forceinline__ float value(const Matrix& w, uint32_t row, uint32_t col) {
        uint32_t q = w.codes[int64_t(row) * w.k + col];
        int64_t at = int64_t(row / w.groupRows) * w.scaleCols + col / w.groupCols;
        float scale = w.scaleType ? decode_e8m0(static_cast<const uint8_t*>(w.scales)[at]) : static_cast<const float*>(w.scales)[at];
        return times(E4m3 ? decode_e4m3(q) : decode_e5m2(q), scale);
    }
};

template <uint32_t T>
struct Dense {
    static __device__ __forceinline__ float value(const Matrix& w, uint32_t row, uint32_t col) {
        return load(w.codes, T, int64_t(row) * w.k + col);
    }
};

}  // namespace lowbit

// Kernel names are arch_op_types_scaling. ARCH is sm89 or sm90.
#define LOWBIT_PASTE(a, b) a##_##b
#define LOWBIT_NAME(arch, name) LOWBIT_PASTE(arch, name)

// LOWBIT_SCHEMES(X): X(suffix of the kernel's name, type) for every scheme.
#define LOWBIT_SCHEMES(X)               \
    X(int4_group, lowbit::Int4)         \
    X(nf4_block, lowbit::Bnb4<true>)    \
    X(fp4_block, lowbit::Bnb4<false>)   \
    X(mxfp4_block32, lowbit::Mxfp4)     \
    X(nvfp4_block16, lowbit::Nvfp4)     \
    X(int4_records, lowbit::RecordInt4) \
    X(nf4_records, lowbit::RecordTable<lowbit::CODEBOOK_NF4>)   \
    X(fp4_records, lowbit::RecordTable<lowbit::CODEBOOK_FP4>)   \
    X(e2m1_records, lowbit::RecordTable<lowbit::CODEBOOK_E2M1>) \
    X(e4m3_block, lowbit::Fp8<true>)    \
    X(e5m2_block, lowbit::Fp8<false>)   \
    X(f32_none, lowbit::Dense<lowbit::F32>)   \
    X(f16_none, lowbit::Dense<lowbit::F16>)   \
    X(bf16_none, lowbit::Dense<lowbit::BF16>)
