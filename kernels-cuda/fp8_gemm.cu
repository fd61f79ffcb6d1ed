// architectures: 90a
// FP8 products for many rows of x, E4M3 × E4M3. What each is good for: io/lowbit/cuda/kernels/choice.txt.
#include "fp8_gemm.cuh"

FP8_GEMM(fp8_e4m3_e4m3_fast_256x128_s4, E4M3_E4M3, 2, 128, 4, FAST)
FP8_GEMM(fp8_e4m3_e4m3_fast_256x112_s4, E4M3_E4M3, 2, 112, 4, FAST)
FP8_GEMM(fp8_e4m3_e4m3_fast_128x224_s4, E4M3_E4M3, 1, 224, 4, FAST)
FP8_GEMM(fp8_e4m3_e4m3_fast_128x192_s5, E4M3_E4M3, 1, 192, 5, FAST)
FP8_GEMM(fp8_e4m3_e4m3_fast_128x176_s5, E4M3_E4M3, 1, 176, 5, FAST)
FP8_GEMM(fp8_e4m3_e4m3_fast_128x128_s6, E4M3_E4M3, 1, 128, 6, FAST)
FP8_GEMM(fp8_e4m3_e4m3_fast_128x96_s7, E4M3_E4M3, 1, 96, 7, FAST)
FP8_GEMM(fp8_e4m3_e4m3_fast_128x64_s8, E4M3_E4M3, 1, 64, 8, FAST)
FP8_GEMM(fp8_e4m3_e4m3_precise_256x128_s4, E4M3_E4M3, 2, 128, 4, PRECISE)
FP8_GEMM(fp8_e4m3_e4m3_precise_256x112_s4, E4M3_E4M3, 2, 112, 4, PRECISE)
FP8_GEMM(fp8_e4m3_e4m3_precise_128x192_s5, E4M3_E4M3, 1, 192, 5, PRECISE)
FP8_GEMM(fp8_e4m3_e4m3_precise_128x176_s5, E4M3_E4M3, 1, 176, 5, PRECISE)
FP8_GEMM(fp8_e4m3_e4m3_precise_128x128_s6, E4M3_E4M3, 1, 128, 6, PRECISE)
FP8_GEMM(fp8_e4m3_e4m3_precise_128x96_s7, E4M3_E4M3, 1, 96, 7, PRECISE)
FP8_GEMM(fp8_e4m3_e4m3_precise_128x64_s8, E4M3_E4M3, 1, 64, 8, PRECISE)
FP8_GEMM(fp8_e4m3_e4m3_block_256x128_s4, E4M3_E4M3, 2, 128, 4, BLOCK)
FP8_GEMM(fp8_e4m3_e4m3_block_128x192_s4, E4M3_E4M3, 1, 192, 4, BLOCK)
FP8_GEMM(fp8_e4m3_e4m3_block_128x128_s6, E4M3_E4M3, 1, 128, 6, BLOCK)
FP8_GEMM(fp8_e4m3_e4m3_block_128x96_s7, E4M3_E4M3, 1, 96, 7, BLOCK)
FP8_GEMM(fp8_e4m3_e4m3_block_128x64_s8, E4M3_E4M3, 1, 64, 8, BLOCK)
