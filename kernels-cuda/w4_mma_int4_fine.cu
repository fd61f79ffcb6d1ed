// architectures: 89
// w4_mma.cuh for INT4 in groups of 32 or 64, or with f32 scales.
#include "w4_mma.cuh"

W4MMA_TYPES(int4_fine, false, SCALE_16_F32, true)
