// Canonical codes, scales and zero points into records (records.cuh). `from` is the canonical struct Matrix, `to` that of the
// records, whose memory is zero. io.lowbit.cuda.kernels.RecordLayout packs the same bytes.
#include "weights.cuh"

namespace lowbit {

// One word a thread: every word has one writer.
template <class Code>
__device__ __forceinline__ void pack_codes(const Matrix& from, const Matrix& to, bool table, Code code) {
    const int64_t bands = (to.n + BAND - 1) / BAND, words = bands * to.scaleCols * (CODE_BYTES / 4);
    for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < words; i += int64_t(gridDim.x) * blockDim.x) {
        const int64_t record = i / (CODE_BYTES / 4);
        const uint32_t at = i % (CODE_BYTES / 4), step = at % 4, lane = at / 4 % 32, tile = at / 128 % 4, half = at / 512;
        const int64_t row0 = record / to.scaleCols * BAND + tile * 16 + lane / 4, col0 = record % to.scaleCols * SPAN + half * 64 + step * 16 + lane % 4 * 2;
        uint32_t word = 0;
        for (int j = 0; j < 4; j++) {
            for (int e = 0; e < 2; e++) {
                const int64_t row = row0 + j % 2 * 8, col = col0 + j / 2 * 8 + e;
                if (row < to.n && col < to.k) {
                    word |= code(row, col) << (table ? 8 * j + 4 * e : 4 * j + 16 * e);
                }
            }
        }
        *reinterpret_cast<uint32_t*>(const_cast<uint8_t*>(to.codes) + record * to.groupCols + at * 4) = word;
    }
}

__device__ __forceinline__ uint8_t* scale_place(const Matrix& to, int64_t row, int64_t col, uint32_t& at) {
    const RecordPlace place(to.scaleCols, to.groupCols, to.groupRows, false, uint32_t(row), uint32_t(col));
    at = place.scale;
    return const_cast<uint8_t*>(to.codes) + place.record;
}

// Every scale of a row in the records: its columns are SPAN / groups wide.
template <class Put>
__device__ __forceinline__ void pack_scales(const Matrix& to, Put put) {
    const int64_t width = to.groupRows ? SPAN / to.groupRows : SPAN, across = to.groupRows ? (to.k + width - 1) / width : 1;
    for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < to.n * across; i += int64_t(gridDim.x) * blockDim.x) {
        put(i / across, i % across * width);
    }
}

// Act-order: the original column of each column sorted by group, those of a group as they came. A thread finds the place of a
// column by counting those before it.
__device__ __forceinline__ void sort_columns(const Matrix& from, const Matrix& to) {
    const int32_t* const groups = static_cast<const int32_t*>(from.nestedMap);
    int32_t* const order = static_cast<int32_t*>(const_cast<void*>(to.nestedMap));
    for (int64_t col = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; col < from.k; col += int64_t(gridDim.x) * blockDim.x) {
        const int32_t group = groups[col];
        int64_t place = 0;
#pragma unroll 8
        for (int64_t i = 0; i < from.k; i++) {
            const int32_t other = groups[i];
            place += other < group || (other == group && i < col);
        }
        order[place] = int32_t(col);
    }
}

__device__ __forceinline__ void pack_int4(const Matrix& from, const Matrix& to) {
    const uint32_t* const order = static_cast<const uint32_t*>(to.nestedMap);
    pack_codes(from, to, false, [&](int64_t row, int64_t col) {
        return nibble(from.codes, (from.k + 1) >> 1, uint32_t(row), order ? order[col] : uint32_t(col));
    });
    pack_scales(to, [&](int64_t row, int64_t col) {
        const int64_t gridRow = row / from.groupRows, group = col / from.groupCols, i = gridRow * from.scaleCols + group;
        if (to.groupRows == 0) {
            static_cast<float*>(const_cast<void*>(to.scales))[row] = load(from.scales, from.scaleType, i);
            return;
        }
        uint32_t at;
        uint8_t* record = scale_place(to, row, col, at);
        const int bytes = from.scaleType == F32 ? 4 : 2;
        if (bytes == 4) {
            reinterpret_cast<uint32_t*>(record + CODE_BYTES)[at] = static_cast<const uint32_t*>(from.scales)[i];
        } else {
            reinterpret_cast<uint16_t*>(record + CODE_BYTES)[at] = static_cast<const uint16_t*>(from.scales)[i];
        }
        if (from.zeros) {
            record[CODE_BYTES + BAND * to.groupRows * bytes + at] = nibble(from.zeros, (from.scaleCols + 1) >> 1, uint32_t(gridRow), uint32_t(group));
        }
    });
}

__device__ __forceinline__ void pack_bnb4(const Matrix& from, const Matrix& to) {
    pack_codes(from, to, true, [&](int64_t row, int64_t col) {
        const int64_t i = row * from.k + col;
        const uint32_t pair = from.codes[i >> 1];
        return i & 1 ? pair & 15 : pair >> 4;
    });
    pack_scales(to, [&](int64_t row, int64_t col) {
        const int64_t block = (row * from.k + col) >> from.blockShift;
        uint32_t at;
        uint8_t* record = scale_place(to, row, col, at);
        if (from.nestedCodes) {
            record[CODE_BYTES + at] = from.nestedCodes[block];
        } else {
            reinterpret_cast<uint32_t*>(record + CODE_BYTES)[at] = static_cast<const uint32_t*>(from.scales)[block];
        }
    });
    if (from.nestedCodes) {
        const int64_t blocks = ((from.n * from.k - 1) >> from.blockShift) + 1, count = (blocks + 255) >> 8;
        for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += int64_t(gridDim.x) * blockDim.x) {
            const_cast<float*>(to.nestedAbsmax)[i] = from.nestedAbsmax[i];
        }
        for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < 256; i += int64_t(gridDim.x) * blockDim.x) {
            static_cast<float*>(const_cast<void*>(to.nestedMap))[i] = static_cast<const float*>(from.nestedMap)[i];
        }
    }
}

// MXFP4 and NVFP4: one byte a scale.
__device__ __forceinline__ void pack_e2m1(const Matrix& from, const Matrix& to) {
    pack_codes(from, to, false, [&](int64_t row, int64_t col) { return nibble(from.codes, (from.k + 1) >> 1, uint32_t(row), uint32_t(col)); });
    pack_scales(to, [&](int64_t row, int64_t col) {
        uint32_t at;
        uint8_t* record = scale_place(to, row, col, at);
        record[CODE_BYTES + at] = static_cast<const uint8_t*>(from.scales)[row * from.scaleCols + col / (SPAN / to.groupRows)];
    });
}

}  // namespace lowbit

#define PACK(scheme)                                                                                                  \
    extern "C" __global__ void __launch_bounds__(256) LOWBIT_NAME(ARCH, pack_records_##scheme)(                         \
        const __grid_constant__ lowbit::Matrix from, const __grid_constant__ lowbit::Matrix to) {                     \
        lowbit::pack_##scheme(from, to);                                                                              \
    }
PACK(int4)
PACK(bnb4)
PACK(e2m1)

// Before pack_records_int4 of a matrix with act-order.
extern "C" __global__ void __launch_bounds__(256) LOWBIT_NAME(ARCH, sort_columns)(
    const __grid_constant__ lowbit::Matrix from, const __grid_constant__ lowbit::Matrix to) {
    lowbit::sort_columns(from, to);
}
