// The tiles of the W4A8 kernels, the same for each type of activations, with and without zero points: one source file for each,
// since what a layer does not use need not be compiled when it is loaded. What each is good for: io/lowbit/cuda/kernels/choice.txt.
#pragma once
#include "w4a8_few.cuh"
#include "w4a8_gemm.cuh"

// `zero` follows the names of kernels for weights with zero points.
#define W4A8_KERNELS(type, zero, T, SYMMETRIC)                                                                                      \
    W4A8_FEW(w4a8_few_##type##_16x64_w4_s16_k1##zero, T, SYMMETRIC, 16, 1, 4, 16, 1, 1, 1)                                          \
    W4A8_FEW(w4a8_few_##type##_16x64_w2_s12_k2##zero, T, SYMMETRIC, 16, 1, 2, 12, 2, 2, 1)                                          \
    W4A8_FEW(w4a8_few_##type##_16x64_w2_s12_k1##zero, T, SYMMETRIC, 16, 1, 2, 12, 1, 2, 1)                                          \
    W4A8_FEW(w4a8_few_##type##_16x64_w2_s8_k4##zero, T, SYMMETRIC, 16, 1, 2, 8, 4, 3, 1)                                            \
    W4A8_FEW(w4a8_few_##type##_32x64_w2_s10_k2##zero, T, SYMMETRIC, 32, 1, 2, 10, 2, 2, 1)                                          \
    W4A8_FEW(w4a8_few_##type##_32x64_w2_s10_k1##zero, T, SYMMETRIC, 32, 1, 2, 10, 1, 2, 1)                                          \
    W4A8_FEW(w4a8_few_##type##_32x64_w2_s6_k4##zero, T, SYMMETRIC, 32, 1, 2, 6, 4, 3, 1)                                            \
    W4A8_FEW(w4a8_few_##type##_64x64_w3_s9_k2##zero, T, SYMMETRIC, 64, 1, 3, 9, 2, 1, 1)                                            \
    W4A8_FEW(w4a8_few_##type##_64x64_w2_s6_k2##zero, T, SYMMETRIC, 64, 1, 2, 6, 2, 2, 1)                                            \
    W4A8_FEW(w4a8_few_##type##_64x64_w2_s6_k1##zero, T, SYMMETRIC, 64, 1, 2, 6, 1, 2, 1)                                            \
    W4A8_FEW(w4a8_few_##type##_64x128_w2_s8_k2##zero, T, SYMMETRIC, 64, 2, 2, 8, 2, 1, 1)                                           \
    W4A8_FEW(w4a8_few_##type##_128x128_w1_s4_k2##zero, T, SYMMETRIC, 128, 2, 1, 4, 2, 1, 1)                                         \
    W4A8_GEMM(w4a8_##type##_128x128_s7##zero, T, SYMMETRIC, 128, 64, 7, 1)                                                          \
    W4A8_GEMM(w4a8_##type##_256x128_s4##zero, T, SYMMETRIC, 256, 64, 4, 1)

// Groups of 32 or 64 columns, GROUPS of them in a record, with or without zero points: the sums of the groups are most of what these
// kernels do, so what zero points cost hardly shows.
#define W4A8_FINE(type, group, T, SMALL, CHUNK, GROUPS)                                                                             \
    W4A8_FEW(w4a8_few_##type##_16x64_w2_s12_k2_##group, T, false, 16, 1, 2, 12, 2, 2, GROUPS)                                        \
    W4A8_FEW(w4a8_few_##type##_16x64_w2_s12_k1_##group, T, false, 16, 1, 2, 12, 1, 2, GROUPS)                                       \
    W4A8_FEW(w4a8_few_##type##_64x64_w3_s9_k2_##group, T, false, 64, 1, 3, 9, 2, 1, GROUPS)                                         \
    W4A8_FEW(w4a8_few_##type##_64x64_w3_s9_k1_##group, T, false, 64, 1, 3, 9, 1, 1, GROUPS)                                         \
    W4A8_GEMM(w4a8_##type##_128x128_s7_##group, T, false, 128, SMALL, 7, GROUPS)                                                        \
    W4A8_GEMM(w4a8_##type##_256x128_s3_##group, T, false, 256, CHUNK, 3, GROUPS)
