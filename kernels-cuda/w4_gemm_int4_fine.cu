// architectures: 90a
// w4_gemm.cuh for every other INT4: f32 scales, groups that are longer than K.
#include "w4_gemm.cuh"

GEMM_TYPES(int4_fine, 128, 3, 1, false, SCALE_16_F32, 0, true)
GEMM_TYPES(int4_fine, 256, 2, 2, false, SCALE_16_F32, 0, true)
