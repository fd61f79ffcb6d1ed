// 4-bit weights in the order in which tensor cores take them: io.lowbit.cuda.kernels.RecordLayout is the definition.
//
// A matrix [N, K] is cut into records of 64 rows × 128 columns. The records of one band of 64 rows follow each other along
// K, bands follow each other along N; beyond N and K everything is zero bytes, and x is zero beyond K:
//
//   record    4096 bytes of codes │ scales │ zero points        the length is a multiple of 64
//
// Codes. The A fragments of m16n8k16 (a warp) and of m64nNk16 (a warp group) are the same 16 × 16 halves for a warp, so one
// order serves both. 16 bytes hold what one lane needs for 64 columns of its 16 rows:
//
//   byte = half·2048 + (tile·32 + lane)·16 + step·4      half: 64 columns, tile: 16 rows, step: 16 columns
//   word = 8 codes of rows g, g+8 and columns 2t, 2t+1, 2t+8, 2t+9 of that step (g = lane/4, t = lane%4):
//
//          column     2t  2t+1   2t+8  2t+9
//          row g      register 0  register 2     INT4, E2M1: column e of register j at bits 4j + 16e, so that
//          row g+8    register 1  register 3                 (word >> 4j) & 0x000f000f are the two codes of a register
//                                                NF4, FP4:   column e of register j at bits 8j + 4e, so that byte j
//                                                            indexes a table of pairs
//
// Scales: `groups` (1, 2, 4 or 8) for each row of a record, [group][tile][g][row g, row g+8]: a lane reads its two rows at
// once. They have the scheme's type. Groups of more than 128 columns repeat their scale. With 0 groups (INT4, one scale for
// a row) an f32 for each row lies after the records, and waits for the sum. Zero points: one byte each, in the same order.
//
// Act-order (INT4): columns lie sorted by group, those of a group as they came. After everything else lies the original column
// of each, int32, and 0 from K to the end of the last record: who multiplies takes the columns of x in that order.
#pragma once
#include "scalar.cuh"

namespace lowbit {

constexpr int BAND = 64, SPAN = 128, CODE_BYTES = BAND * SPAN / 2;

// How a record's scales are stored. Bits, so that a kernel for several of them asks one after the other: a jump table costs
// more than a record.
enum ScaleMode : uint32_t {
    SCALE_F16 = 1,
    SCALE_BF16 = 2,
    SCALE_F32 = 4,
    SCALE_E8M0 = 8,
    SCALE_E4M3 = 16,
    SCALE_NESTED = 32,
    SCALE_16 = SCALE_F16 | SCALE_BF16,
    SCALE_16_F32 = SCALE_16 | SCALE_F32,
    SCALE_BYTE = SCALE_E8M0 | SCALE_E4M3,
    SCALE_BNB = SCALE_F32 | SCALE_NESTED,
    SCALE_ANY = 63
};
enum Codebook : uint32_t { CODEBOOK_NF4 = 0, CODEBOOK_FP4 = 1, CODEBOOK_E2M1 = 2 };

// A matrix in records, out of the fields of struct Matrix that RecordLayout.describe fills for it.
struct W4 {
    const uint8_t* records;
    const float* rowScales;     // one f32 for each row, or null
    const float* nestedAbsmax;
    const float* nestedMap;
    int64_t n, k;
    uint32_t spans;             // records of a band
    uint32_t recordBytes;
    uint32_t groups;            // scales of a row in a record
    uint32_t scaleMode;         // one bit of ScaleMode
    uint32_t codebook;
    uint32_t zeroOffset;        // of the zero points in a record; 0: none
    uint32_t blockShift;        // nested: log2 of the block
    float nestedOffset;
    float matrixScale;          // multiplies every sum

    template <class Matrix>
    __device__ __forceinline__ W4(const Matrix& m)
        : records(m.codes), rowScales(static_cast<const float*>(m.scales)), nestedAbsmax(m.nestedAbsmax),
          nestedMap(static_cast<const float*>(m.nestedMap)), n(m.n), k(m.k), spans(uint32_t(m.scaleCols)), recordBytes(m.groupCols),
          groups(m.groupRows), scaleMode(m.scaleType & 63), codebook(m.scaleType >> 8 & 3),
          zeroOffset(m.zeros ? CODE_BYTES + BAND * m.groupRows * (m.scaleType & SCALE_F32 ? 4 : 2) : 0), blockShift(m.blockShift),
          nestedOffset(m.nestedOffset), matrixScale(m.scaleType >> 12 & 1 ? __frcp_rn(m.tensorScale) : m.tensorScale) {}
};

__device__ __forceinline__ float codebook_value(uint32_t codebook, uint32_t code) {
    return codebook == CODEBOOK_E2M1 ? decode_e2m1(code) : __uint_as_float((codebook == CODEBOOK_NF4 ? lowbit_nf4 : lowbit_fp4)[code]);
}

// Where a weight lies.
struct RecordPlace {
    int64_t record;   // byte of the record
    uint32_t word;    // byte of its word in the record
    uint32_t shift;   // bit of its code in the word
    uint32_t scale;   // index of its scale and zero point in the record

    __device__ __forceinline__ RecordPlace(int64_t spans, uint32_t recordBytes, uint32_t groups, bool table, uint32_t row, uint32_t col) {
        const uint32_t tile = row / 16 % 4, h = row / 8 % 2, g = row % 8;
        const uint32_t c = col % SPAN, step = c / 16 % 4, j = h + c / 8 % 2 * 2, t = c / 2 % 4, e = c % 2;
        record = (row / BAND * spans + col / SPAN) * recordBytes;
        word = c / 64 * 2048 + (tile * 32 + g * 4 + t) * 16 + step * 4;
        shift = table ? 8 * j + 4 * e : 4 * j + 16 * e;
        scale = c * groups / SPAN * BAND + tile * 16 + g * 2 + h;
    }
};

}  // namespace lowbit
