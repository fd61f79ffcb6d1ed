// architectures: 90a
// w4_gemm.cuh for INT4, symmetric, one scale for 128 columns or more in 16 bits.
#include "w4_gemm.cuh"

GEMM_TYPES(int4, 128, 2, 2, false, SCALE_16, 1, false)
GEMM_TYPES(int4, 128, 3, 1, false, SCALE_16, 1, false)
GEMM_TYPES(int4, 256, 2, 2, false, SCALE_16, 1, false)
