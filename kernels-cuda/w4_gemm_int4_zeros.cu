// architectures: 90a
// w4_gemm.cuh for INT4 with zero points, one scale for 128 columns or more.
#include "w4_gemm.cuh"

GEMM_TYPES(int4_zeros, 128, 3, 1, false, SCALE_16, 1, true)
GEMM_TYPES(int4_zeros, 256, 2, 2, false, SCALE_16, 1, true)
