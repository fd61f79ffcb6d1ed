// architectures: 90a
// FP8 products for many rows of x, E4M3 × E4M3. What each is good for: io/lowbit/cuda/kernels/choice.txt.
#include "fp8_gemm.cuh"

FP8_GEMM(fp8_e4m3_e4m3_fast_256x128_s4_c1, E4M3_E4M3, 2, 128, 4, 1, FAST)
FP8_GEMM(fp8_e4m3_e4m3_fast_256x128_s4_c2, E4M3_E4M3, 2, 128, 4, 2, FAST)
FP8_GEMM(fp8_e4m3_e4m3_fast_256x112_s4_c1, E4M3_E4M3, 2, 112, 4, 1, FAST)
FP8_GEMM(fp8_e4m3_e4m3_fast_128x224_s4_c2, E4M3_E4M3, 1, 224, 4, 2, FAST)
FP8_GEMM(fp8_e4m3_e4m3_fast_128x176_s5_c2, E4M3_E4M3, 1, 176, 5, 2, FAST)
FP8_GEMM(fp8_e4m3_e4m3_fast_128x128_s6_c1, E4M3_E4M3, 1, 128, 6, 1, FAST)
FP8_GEMM(fp8_e4m3_e4m3_fast_128x64_s8_c1, E4M3_E4M3, 1, 64, 8, 1, FAST)
FP8_GEMM(fp8_e4m3_e4m3_precise_256x128_s4_c1, E4M3_E4M3, 2, 128, 4, 1, PRECISE)
FP8_GEMM(fp8_e4m3_e4m3_precise_256x112_s4_c1, E4M3_E4M3, 2, 112, 4, 1, PRECISE)
FP8_GEMM(fp8_e4m3_e4m3_precise_128x128_s6_c1, E4M3_E4M3, 1, 128, 6, 1, PRECISE)
FP8_GEMM(fp8_e4m3_e4m3_precise_128x64_s8_c1, E4M3_E4M3, 1, 64, 8, 1, PRECISE)
FP8_GEMM(fp8_e4m3_e4m3_block_256x128_s4_c1, E4M3_E4M3, 2, 128, 4, 1, BLOCK)
FP8_GEMM(fp8_e4m3_e4m3_block_128x128_s6_c1, E4M3_E4M3, 1, 128, 6, 1, BLOCK)
FP8_GEMM(fp8_e4m3_e4m3_block_128x64_s8_c1, E4M3_E4M3, 1, 64, 8, 1, BLOCK)
