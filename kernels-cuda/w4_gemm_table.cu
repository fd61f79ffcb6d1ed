// architectures: 90a
// w4_gemm.cuh for codebooks: NF4 and FP4 in blocks of 64 columns with f32 and nested scales, in other blocks; MXFP4 and NVFP4.
#include "w4_gemm.cuh"

GEMM_TYPES(table_f32, 256, 2, 2, true, SCALE_F32, 2, false)
GEMM_TYPES(table_nested, 256, 2, 2, true, SCALE_NESTED, 2, false)
GEMM_TYPES(table_any, 256, 2, 2, true, SCALE_BNB, 0, false)
GEMM_TYPES(mxfp4, 256, 2, 2, false, SCALE_E8M0, 4, false)
GEMM_TYPES(nvfp4, 256, 2, 2, false, SCALE_E4M3, 8, false)
