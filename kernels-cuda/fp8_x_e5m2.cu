// architectures: 90a
// FP8 products of weights in E4M3 and activations in E5M2. What each is good for: io/lowbit/cuda/kernels/choice.txt.
#include "fp8_few.cuh"
#include "fp8_gemm.cuh"

FP8_GEMM(fp8_e4m3_e5m2_fast_256x128_s4, E5M2_E4M3, 2, 128, 4, FAST)
FP8_GEMM(fp8_e4m3_e5m2_fast_128x128_s6, E5M2_E4M3, 1, 128, 6, FAST)
FP8_GEMM(fp8_e4m3_e5m2_precise_256x128_s4, E5M2_E4M3, 2, 128, 4, PRECISE)
FP8_FEW(fp8_e4m3_e5m2_few_precise_16x64_s10_k1, E4M3_E5M2, 1, 16, 10, 1, PRECISE)
FP8_FEW(fp8_e4m3_e5m2_few_precise_16x64_s10_k2, E4M3_E5M2, 1, 16, 10, 2, PRECISE)
FP8_FEW(fp8_e4m3_e5m2_few_precise_64x64_s5_k1, E4M3_E5M2, 1, 64, 5, 1, PRECISE)
FP8_FEW(fp8_e4m3_e5m2_few_precise_64x64_s5_k2, E4M3_E5M2, 1, 64, 5, 2, PRECISE)
