// architectures: 90a
// w4_gemm.cuh for INT4 in groups of 32 columns, symmetric and with zero points.
#include "w4_gemm.cuh"

GEMM_TYPES(int4_g32, 128, 3, 1, false, SCALE_16, 4, false)
GEMM_TYPES(int4_g32, 256, 2, 2, false, SCALE_16, 4, false)
GEMM_TYPES(int4_g32_zeros, 128, 3, 1, false, SCALE_16, 4, true)
GEMM_TYPES(int4_g32_zeros, 256, 2, 2, false, SCALE_16, 4, true)
