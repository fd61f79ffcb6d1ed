// architectures: 90a
// INT4 weights times 8-bit activations for many rows of x. What each is good for: io/lowbit/cuda/kernels/choice.txt.
#include "w4a8_gemm.cuh"

W4A8_GEMM(w4a8_e4m3_256x128, E4m3Weights, true, 256, 64, 4)
W4A8_GEMM(w4a8_e4m3_256x128c, E4m3Weights, true, 256, 128, 4)
W4A8_GEMM(w4a8_e4m3_128x128, E4m3Weights, true, 128, 64, 7)
W4A8_GEMM(w4a8_e4m3_128x128c, E4m3Weights, true, 128, 128, 7)
W4A8_GEMM(w4a8_s8_256x128, S8Weights, true, 256, 64, 4)
W4A8_GEMM(w4a8_s8_256x128c, S8Weights, true, 256, 128, 4)
