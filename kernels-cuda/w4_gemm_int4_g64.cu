// architectures: 90a
// w4_gemm.cuh for INT4 in groups of 64 columns, symmetric and with zero points.
#include "w4_gemm.cuh"

GEMM_TYPES(int4_g64, 128, 3, 1, false, SCALE_16, 2, false)
GEMM_TYPES(int4_g64, 256, 2, 2, false, SCALE_16, 2, false)
GEMM_TYPES(int4_g64_zeros, 128, 3, 1, false, SCALE_16, 2, true)
GEMM_TYPES(int4_g64_zeros, 256, 2, 2, false, SCALE_16, 2, true)
