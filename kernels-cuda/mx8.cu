// architectures: 90a
// MXFP8 products. What each is good for: io/lowbit/cuda/kernels/choice.txt.
#include "mx8.cuh"

MX8(mx8_e4m3_e4m3_16x64_s10_k2_p4, E4M3_E4M3, 1, 16, 10, 2, 4)
MX8(mx8_e4m3_e4m3_64x64_s6_k2_p4, E4M3_E4M3, 1, 64, 6, 2, 4)
MX8(mx8_e4m3_e4m3_64x128_s7_k1_p4, E4M3_E4M3, 2, 64, 7, 1, 4)
MX8(mx8_e4m3_e4m3_128x128_s6_k1_p2, E4M3_E4M3, 2, 128, 6, 1, 2)
MX8(mx8_e5m2_e4m3_16x64_s10_k2_p4, E5M2_E4M3, 1, 16, 10, 2, 4)
MX8(mx8_e5m2_e4m3_64x64_s6_k2_p4, E5M2_E4M3, 1, 64, 6, 2, 4)
MX8(mx8_e5m2_e4m3_128x128_s6_k1_p2, E5M2_E4M3, 2, 128, 6, 1, 2)
